#include "sight/holds.h"

#include "base/clock.h"
#include "sight/frame.h"
#include "sight/table.h"

#include <pthread.h>
#include <stdlib.h>

#define BLOCK 256
#define MOST_BLOCKS 4096

/* Guarded by the GIL, or without one by the lock of the tables. Only the main interpreter records.
 */
static struct {
    PyInterpreterState *interpreter;
    unsigned generation;
    golock_hold *free;
    int length;
    golock_hold *blocks[MOST_BLOCKS];
} table;

static inline void
lock_holds(void)
{
#ifdef Py_GIL_DISABLED
    golock_tables_lock();
#endif
}

static inline void
unlock_holds(void)
{
#ifdef Py_GIL_DISABLED
    golock_tables_unlock();
#endif
}

/* The code objects that holds refer to: an open hash table of strong references. Dropping one may
 * run Python code, so none is dropped while something is recorded. */
static struct {
    PyCodeObject **slots;
    size_t size, used;
} codes;

#define LEAST_CODES 256
#define MOST_CODES 65536

static PyCodeObject **
slot_of(PyCodeObject **slots, size_t size, PyCodeObject *code)
{
    size_t index = ((uintptr_t)code >> 4) * 0x9E3779B97F4A7C15u & (size - 1);
    while (slots[index] != NULL && slots[index] != code) {
        index = (index + 1) & (size - 1);
    }
    return &slots[index];
}

/* Makes room for one more. Returns false if there is no memory, or too many are known. */
static bool
have_room(void)
{
    if (codes.used * 2 < codes.size) {
        return true;
    }
    size_t size = codes.size == 0 ? LEAST_CODES : 2 * codes.size;
    PyCodeObject **slots = size <= MOST_CODES ? calloc(size, sizeof(PyCodeObject *)) : NULL;
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < codes.size; i++) {
        if (codes.slots[i] != NULL) {
            *slot_of(slots, size, codes.slots[i]) = codes.slots[i];
        }
    }
    free(codes.slots);
    codes.slots = slots;
    codes.size = size;
    return true;
}

/* Returns the code, which stays alive until the recording stops, or NULL if there is no room for
 * it. */
static PyCodeObject *
keep(PyCodeObject *code)
{
    if (code == NULL || (codes.size > 0 && *slot_of(codes.slots, codes.size, code) == code)) {
        return code;
    }
    if (!have_room()) {
        return NULL;
    }
    *slot_of(codes.slots, codes.size, code) = (PyCodeObject *)Py_NewRef(code);
    codes.used++;
    return code;
}

static void
grow(void)
{
    golock_hold *block = table.length < MOST_BLOCKS ? calloc(BLOCK, sizeof(golock_hold)) : NULL;
    if (block == NULL) {
        return;
    }
    for (int i = 0; i < BLOCK; i++) {
        block[i].next_free = table.free;
        table.free = &block[i];
    }
    table.blocks[table.length++] = block;
}

static void
free_hold(golock_hold *hold)
{
    hold->lock = NULL;
    hold->next_free = table.free;
    table.free = hold;
}

static int64_t
now_coarse(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

void
golock_begin_hold(golock_hold **place, const void *lock)
{
    PyThreadState *thread = PyThreadState_Get();
    if (PyThreadState_GetInterpreter(thread) != table.interpreter) {
        golock_hold_ends(place);
        return;
    }
    int instruction = 0;
    PyCodeObject *code = golock_current_code(thread, &instruction);
    int64_t since = now_coarse();
    lock_holds();
    if (table.free == NULL) {
        grow();
    }
    golock_hold *hold = table.free;
    if (hold != NULL) {
        table.free = hold->next_free;
        hold->thread = (unsigned long)pthread_self();
        hold->state = PyThreadState_GetID(thread);
        hold->since = since;
        hold->code = keep(code);
        hold->instruction = instruction;
        hold->generation = table.generation;
        hold->lock = lock;
    }
    /* There is a former hold if code outside Python released the lock, or, without a GIL, another
     * thread did before this one had come here. */
    golock_hold *former = __atomic_exchange_n(place, hold, __ATOMIC_ACQ_REL);
    if (former != NULL) {
        free_hold(former);
    }
    unlock_holds();
}

bool
golock_end_hold(golock_hold **place)
{
    /* Without a GIL two threads may release the lock at once. */
    golock_hold *hold = __atomic_exchange_n(place, NULL, __ATOMIC_ACQ_REL);
    if (hold == NULL) {
        return false;
    }
    lock_holds();
    bool by_another =
        hold->generation == table.generation && hold->thread != (unsigned long)pthread_self();
    free_hold(hold);
    unlock_holds();
    return by_another;
}

void
golock_start_holds(void)
{
    lock_holds();
    table.generation++;
    table.interpreter = PyInterpreterState_Get();
    unlock_holds();
}

void
golock_stop_holds(void)
{
    lock_holds();
    table.generation++;
    table.interpreter = NULL;
    PyCodeObject **slots = codes.slots;
    size_t size = codes.size;
    codes.slots = NULL;
    codes.size = codes.used = 0;
    unlock_holds();
    for (size_t i = 0; i < size; i++) {
        Py_XDECREF(slots[i]);
    }
    free(slots);
}

bool
golock_records_holds(void)
{
    return table.interpreter == PyInterpreterState_Get();
}

/* Copies a hold of this lock, or of any for NULL, with a reference to its code. Returns false if
 * there is none, or none that counts. */
static bool
copy_hold(const golock_hold *hold, const void *lock, golock_hold *seen)
{
    lock_holds();
    bool counts = hold != NULL && hold->lock != NULL && (lock == NULL || hold->lock == lock) &&
                  hold->generation == table.generation && golock_records_holds();
    if (counts) {
        *seen = *hold;
        Py_XINCREF(seen->code);
    }
    unlock_holds();
    return counts;
}

/* Returns a new tuple of the copy, which begins with the lock if `whose` is true, and drops its
 * reference to the code. */
static PyObject *
as_tuple(const golock_hold *seen, bool whose)
{
    PyObject *code = seen->code == NULL ? Py_NewRef(Py_None) : (PyObject *)seen->code;
    PyObject *line = seen->code == NULL
                         ? Py_NewRef(Py_None)
                         : PyLong_FromLong(PyCode_Addr2Line(seen->code, seen->instruction));
    unsigned long long state = seen->state;
    return whose ? Py_BuildValue("NkKLNN", PyLong_FromVoidPtr((void *)seen->lock), seen->thread,
                                 state, (long long)seen->since, code, line)
                 : Py_BuildValue("kKLNN", seen->thread, state, (long long)seen->since, code, line);
}

PyObject *
golock_describe_hold(golock_hold *const *hold, const void *lock)
{
    golock_hold seen;
    return copy_hold(__atomic_load_n(hold, __ATOMIC_ACQUIRE), lock, &seen) ? as_tuple(&seen, false)
                                                                           : Py_NewRef(Py_None);
}

/* Returns the record with this index, or NULL beyond the last. */
static const golock_hold *
record_at(int index)
{
    lock_holds();
    const golock_hold *block = index / BLOCK < table.length ? table.blocks[index / BLOCK] : NULL;
    unlock_holds();
    return block == NULL ? NULL : &block[index % BLOCK];
}

PyObject *
golock_holds(void)
{
    PyObject *list = PyList_New(0);
    const golock_hold *hold;
    for (int i = 0; list != NULL && (hold = record_at(i)) != NULL; i++) {
        golock_hold seen;
        if (!copy_hold(hold, NULL, &seen)) {
            continue;
        }
        PyObject *item = as_tuple(&seen, true);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

void
golock_holds_after_fork(void)
{
    for (int i = 0; i < table.length; i++) {
        for (int j = 0; j < BLOCK; j++) {
            golock_hold *hold = &table.blocks[i][j];
            hold->thread = hold->thread == (unsigned long)pthread_self() ? hold->thread : 0;
        }
    }
}
