#include "sight/waits.h"

#include "sight/intern.h"
#include "sight/profile.h"
#include "sight/table.h"

#include <pthread.h>
#include <stdlib.h>

int golock_sight = GOLOCK_SIGHT_OFF;
int64_t golock_sight_started;
uint64_t golock_waits_dropped;

/* Records are allocated in blocks and never freed: a daemon thread may end within its wait. */
#define BLOCK 256
#define MOST_BLOCKS 256

bool golock_tables_locked;

static struct {
    golock_wait_record *free;
    int length;
    golock_wait_record *blocks[MOST_BLOCKS];
} table;

/* Adds a block to the free records, if there is memory. Needs the lock of the tables. */
static void
grow(void)
{
    golock_wait_record *block =
        table.length < MOST_BLOCKS ? calloc(BLOCK, sizeof(golock_wait_record)) : NULL;
    if (block == NULL) {
        return;
    }
    for (int i = 0; i < BLOCK; i++) {
        block[i].next_free = table.free;
        table.free = &block[i];
    }
    table.blocks[table.length++] = block;
}

golock_wait_record *
golock_record_wait(golock_object_record *object, golock_deadline deadline)
{
    const golock_wait_record begun = {
        .object = object,
        .interpreter = PyInterpreterState_Get(),
        .thread = (unsigned long)pthread_self(),
        .state = PyThreadState_GetID(PyThreadState_Get()),
        .since = golock_now(),
        .deadline = deadline,
    };
    golock_tables_lock();
    if (table.free == NULL) {
        grow();
    }
    golock_wait_record *record = table.free;
    if (record != NULL) {
        table.free = record->next_free;
        *record = begun;
    } else {
        golock_waits_dropped++;
    }
    golock_tables_unlock();
    return record;
}

static void
free_record(golock_wait_record *record)
{
    record->object = NULL;
    record->next_free = table.free;
    table.free = record;
}

void
golock_forget_wait(golock_wait_record *record)
{
    golock_tables_lock();
    free_record(record);
    golock_tables_unlock();
}

static bool
is_lock(const golock_object_record *object)
{
    return object->kind == GOLOCK_KIND_LOCK || object->kind == GOLOCK_KIND_RLOCK;
}

/* Sets the holder's part of the record: where the owner of the object is now. */
static void
record_holder(golock_wait_record *record)
{
    golock_object_record object;
    golock_thread_record holder;
    if (!golock_object_read(record->object, &object) || object.owner == 0 || !is_lock(&object)) {
        return;
    }
    record->holding_thread = object.owner;
    record->holder = object.stack;
    if (!golock_thread_find(object.owner, &holder)) {
        return;
    }
    record->holding_name = holder.name;
    /* Only the threads of this interpreter stand still while this one has the GIL. */
    if (object.owner >> 40 == golock_thread_key() >> 40 && holder.state != NULL) {
        uint32_t stack = golock_stack_of(holder.state);
        record->holder = stack != 0 ? stack : record->holder;
    }
}

void
golock_record_sleep(golock_wait_record *record)
{
    record->has_slept = true;
    record->who = golock_thread_current();
    if (record->who != NULL) {
        golock_thread_refresh_name(record->who);
    }
    record->stack = golock_stack_here();
    record_holder(record);
}

/* Adds the wait to the profile, as one that has lasted until now. Returns now. */
static int64_t
profile(const golock_wait_record *record, bool by_its_thread)
{
    const int64_t now = golock_now();
    const int64_t gil_delay = __atomic_load_n(&record->gil_delay, __ATOMIC_RELAXED);
    const int64_t delay = now - record->since - gil_delay;
    const double times = golock_profile_wait(delay, gil_delay);
    golock_object_record object;
    if (times == 0 || !golock_object_read(record->object, &object)) {
        return now;
    }
    const golock_thread_record *who = record->who;
    uint32_t stack = record->stack;
    if (by_its_thread && !record->has_slept) {
        who = golock_thread_current();
        stack = golock_stack_here();
    }
    uint32_t holder = record->holder;
    if (holder == 0 && is_lock(&object)) {
        holder = golock_object_last_taken(record->object);
    }
    const struct golock_image_sample key = {
        .thread = who != NULL ? who->key : 0,
        .object = (uintptr_t)object.address,
        .holding_thread = record->holding_thread,
        .thread_name = who != NULL ? who->name : 0,
        .holding_name = record->holding_name,
        .stack = stack,
        .holder = holder,
        .created = object.created,
        .name = object.name,
        .kind = object.kind,
    };
    golock_profile_record(&key, times, delay, gil_delay);
    return now;
}

void
golock_move_wait(golock_wait_record *record, golock_object_record *object)
{
    const int64_t now = profile(record, false);
    golock_tables_lock();
    record->object = object;
    record->since = now;
    golock_tables_unlock();
    __atomic_store_n(&record->gil_delay, 0, __ATOMIC_RELAXED);
    record_holder(record);
}

void
golock_end_wait(golock_wait_record *record)
{
    profile(record, true);
    golock_forget_wait(record);
}

/* Calls the function with each record in use. Needs the lock of the tables. */
static void
each_record(void (*call)(golock_wait_record *record, void *argument), void *argument)
{
    for (int i = 0; i < table.length; i++) {
        for (int j = 0; j < BLOCK; j++) {
            if (table.blocks[i][j].object != NULL) {
                call(&table.blocks[i][j], argument);
            }
        }
    }
}

typedef struct {
    PyInterpreterState *interpreter;
    golock_wait_record *records;
    size_t length, room;
} copies;

/* The record's thread is in its wait, or waits for the lock of the tables to end it, so the object
 * is alive. */
static void
copy(golock_wait_record *record, void *argument)
{
    copies *to = argument;
    if (record->interpreter == to->interpreter && to->length < to->room &&
        !__atomic_load_n(&record->suspended, __ATOMIC_ACQUIRE)) {
        Py_INCREF((PyObject *)record->object->address);
        to->records[to->length++] = *record;
    }
}

static PyObject *
as_tuple(const golock_wait_record *record)
{
    return Py_BuildValue("OkKLN", record->object->address, record->thread,
                         (unsigned long long)record->state, (long long)record->since,
                         PyBool_FromLong(record->deadline.at != GOLOCK_FOREVER));
}

PyObject *
golock_waits(void)
{
    golock_tables_lock();
    size_t room = (size_t)table.length * BLOCK;
    golock_tables_unlock();
    copies all = {PyInterpreterState_Get(), calloc(room + 1, sizeof(golock_wait_record)), 0, room};
    if (all.records == NULL) {
        return PyErr_NoMemory();
    }
    golock_tables_lock();
    each_record(copy, &all);
    golock_tables_unlock();
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i < all.length; i++) {
        PyObject *item = list == NULL ? NULL : as_tuple(&all.records[i]);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    for (size_t i = 0; i < all.length; i++) {
        Py_DECREF((PyObject *)all.records[i].object->address);
    }
    free(all.records);
    return list;
}

static void
forget_of_interpreter(golock_wait_record *record, void *interpreter)
{
    if (record->interpreter == interpreter) {
        record->object = NULL; /* and not used again: its thread may be in its wait for ever */
    }
}

void
golock_forget_waits(void)
{
    golock_tables_lock();
    each_record(forget_of_interpreter, PyInterpreterState_Get());
    golock_tables_unlock();
}

/* A signal handler may fork within a wait, which then goes on in the child. */
static void
forget_of_other_thread(golock_wait_record *record, void *Py_UNUSED(argument))
{
    if (record->thread != (unsigned long)pthread_self()) {
        free_record(record);
    }
}

void
golock_waits_after_fork(void)
{
    golock_tables_locked = false;
    each_record(forget_of_other_thread, NULL);
    golock_waits_dropped = 0;
}
