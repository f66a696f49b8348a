#include "sight/waits.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

int golock_sight = GOLOCK_SIGHT_OFF;
uint64_t golock_waits_dropped;

/* Records are allocated in blocks and never freed: a daemon thread may end within its wait. */
#define BLOCK 256
#define MOST_BLOCKS 256

static struct {
    bool locked;
    golock_wait_record *free;
    int length;
    golock_wait_record *blocks[MOST_BLOCKS];
} table;

/* The lock of the table is held for some instructions, never while Python code may run. With one
 * GIL nobody contends for it. */
static void
lock_table(void)
{
    while (__atomic_exchange_n(&table.locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void
unlock_table(void)
{
    __atomic_store_n(&table.locked, false, __ATOMIC_RELEASE);
}

/* Adds a block to the free records, if there is memory. Needs the table's lock. */
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
golock_record_wait(PyObject *object, golock_deadline deadline)
{
    const golock_wait_record begun = {
        .object = object,
        .interpreter = PyInterpreterState_Get(),
        .thread = (unsigned long)pthread_self(),
        .since = golock_now(),
        .deadline = deadline,
    };
    lock_table();
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
    unlock_table();
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
    lock_table();
    free_record(record);
    unlock_table();
}

void
golock_move_wait(golock_wait_record *record, PyObject *object)
{
    lock_table();
    record->object = object;
    unlock_table();
}

/* Calls the function with each record in use. Needs the table's lock. */
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

/* The record's thread is in its wait, or waits for the table's lock to end it, so the object is
 * alive. */
static void
copy(golock_wait_record *record, void *argument)
{
    copies *to = argument;
    if (record->interpreter == to->interpreter && to->length < to->room) {
        Py_INCREF(record->object);
        to->records[to->length++] = *record;
    }
}

static PyObject *
as_tuple(const golock_wait_record *record)
{
    return Py_BuildValue("OkLN", record->object, record->thread, (long long)record->since,
                         PyBool_FromLong(record->deadline.at != GOLOCK_FOREVER));
}

PyObject *
golock_waits(void)
{
    lock_table();
    size_t room = (size_t)table.length * BLOCK;
    unlock_table();
    copies all = {PyInterpreterState_Get(), calloc(room + 1, sizeof(golock_wait_record)), 0, room};
    if (all.records == NULL) {
        return PyErr_NoMemory();
    }
    lock_table();
    each_record(copy, &all);
    unlock_table();
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i < all.length; i++) {
        PyObject *item = list == NULL ? NULL : as_tuple(&all.records[i]);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    for (size_t i = 0; i < all.length; i++) {
        Py_DECREF(all.records[i].object);
    }
    free(all.records);
    return list;
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
    table.locked = false;
    each_record(forget_of_other_thread, NULL);
    golock_waits_dropped = 0;
}
