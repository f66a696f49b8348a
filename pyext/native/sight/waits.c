#include "sight/waits.h"

#include "sight/table.h"

#include <pthread.h>
#include <stdlib.h>

int golock_sight = GOLOCK_SIGHT_OFF;
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

void
golock_move_wait(golock_wait_record *record, golock_object_record *object)
{
    golock_tables_lock();
    record->object = object;
    golock_tables_unlock();
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
