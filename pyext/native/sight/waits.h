/* The waits of this process while golock.sight is on: which thread waits for which object. */
#ifndef GOLOCK_WAITS_H
#define GOLOCK_WAITS_H

#include "base/clock.h"
#include "base/compat.h"
#include "sight/level.h"
#include "sight/objects.h"
#include "sight/threads.h"

#include <stdbool.h>
#include <stdint.h>

/* A wait under way. The waiting call keeps the object alive, and so its record. */
typedef struct golock_wait_record {
    golock_object_record *object; /* or NULL: the record is free */
    PyInterpreterState *interpreter;
    unsigned long thread; /* threading.get_ident() */
    uint64_t state;       /* PyThreadState_GetID() */
    bool suspended;       /* the thread runs signal handlers within its wait */
    int64_t since;
    int64_t taken;     /* the thread has been woken, and waits for the GIL since then; or 0 */
    int64_t gil_delay; /* nanoseconds for which it has waited for the GIL before */
    bool has_slept;
    golock_thread_record *who; /* once it has slept; or NULL: there was no memory */
    uint32_t stack;            /* of the thread, once it has slept */
    uint32_t holder;           /* where the holder was when the thread first slept; or 0 */
    uint32_t holding_name;     /* a string: the name of the holder, which may be gone */
    uint64_t holding_thread;   /* its key, or 0 */
    golock_deadline deadline;
    struct golock_wait_record *next_free;
} golock_wait_record;

golock_wait_record *golock_record_wait(golock_object_record *object, golock_deadline deadline);
void golock_record_sleep(golock_wait_record *record);
void golock_end_wait(golock_wait_record *record);
void golock_forget_wait(golock_wait_record *record);

/* Records that the calling thread begins to wait for the object. Returns NULL if the object is
 * NULL, or if there is no memory for the record: golock_waits_dropped counts those. Needs the
 * GIL. */
static inline golock_wait_record *
golock_wait_begins(golock_object_record *object, golock_deadline deadline)
{
    return object == NULL ? NULL : golock_record_wait(object, deadline);
}

void golock_move_wait(golock_wait_record *record, golock_object_record *object);

/* Records that a thread waits for another object, which it keeps alive, before its wait ends. The
 * profile counts its wait for the first one, and its wait for the other begins now. */
static inline void
golock_wait_moves(golock_wait_record *record, golock_object_record *object)
{
    if (record != NULL && object != NULL) {
        golock_move_wait(record, object);
    }
}

/* Py_MakePendingCalls within this wait, which is not one while signal handlers run. */
static inline int
golock_make_pending_calls(golock_wait_record *record)
{
    if (record == NULL) {
        return Py_MakePendingCalls();
    }
    __atomic_store_n(&record->suspended, true, __ATOMIC_RELEASE);
    int result = Py_MakePendingCalls();
    __atomic_store_n(&record->suspended, false, __ATOMIC_RELEASE);
    return result;
}

/* Call this before the thread sleeps: a wait that ends while it spins has no stack until then.
 * Needs the GIL. */
static inline void
golock_wait_sleeps(golock_wait_record *record)
{
    if (record != NULL && !record->has_slept) {
        golock_record_sleep(record);
    }
}

/* PyEval_RestoreThread within this wait, at the end of a sleep or a spin: the time that it takes is
 * one of waiting for the GIL. */
static inline void
golock_attach(golock_wait_record *record, PyThreadState *thread)
{
    if (record == NULL) {
        PyEval_RestoreThread(thread);
        return;
    }
    int64_t taken = golock_now();
    __atomic_store_n(&record->taken, taken, __ATOMIC_RELAXED);
    PyEval_RestoreThread(thread);
    int64_t gil_delay = __atomic_load_n(&record->gil_delay, __ATOMIC_RELAXED);
    __atomic_store_n(&record->gil_delay, gil_delay + golock_now() - taken, __ATOMIC_RELAXED);
    __atomic_store_n(&record->taken, 0, __ATOMIC_RELAXED);
}

/* Call this when the wait has ended, while the object is alive. The profile counts it. Needs the
 * GIL. */
static inline void
golock_wait_ends(golock_wait_record *record)
{
    if (record != NULL) {
        golock_end_wait(record);
    }
}

/* The same for the rest of a wait that has been counted, unless the thread has slept once more. */
static inline void
golock_counted_wait_ends(golock_wait_record *record)
{
    if (record != NULL) {
        (record->has_slept ? golock_end_wait : golock_forget_wait)(record);
    }
}

/* Returns a list of the waits of this interpreter, without those whose threads run signal handlers,
 * as tuples (object, thread, state, since, limited): the thread's identifier and that of its state,
 * the nanoseconds of CLOCK_MONOTONIC when the wait began, and whether it has a time-out. Returns
 * NULL with MemoryError set. Needs the GIL. */
PyObject *golock_waits(void);

/* How many waits were not recorded for lack of memory. */
extern uint64_t golock_waits_dropped;

/* Forgets the waits of the current interpreter, which ends: their threads never run again. */
void golock_forget_waits(void);

/* Call this in a child process: the waits of threads that do not exist there are forgotten. */
void golock_waits_after_fork(void);

#endif
