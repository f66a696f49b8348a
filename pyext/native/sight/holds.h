/* The locks that are held, while golock.sight records owners: by which thread, since when, and from
 * which line they were taken. */
#ifndef GOLOCK_HOLDS_H
#define GOLOCK_HOLDS_H

#include "base/compat.h"
#include "sight/level.h"

#include <stdbool.h>
#include <stdint.h>

/* A hold of one lock. Holds are never freed, but used again. */
typedef struct golock_hold {
    const void *lock;     /* its address, or NULL: the record is free */
    unsigned long thread; /* threading.get_ident(), or 0: a thread that did not survive a fork */
    uint64_t state;       /* PyThreadState_GetID(): identifiers of threads are used again */
    int64_t since;        /* CLOCK_MONOTONIC_COARSE, in nanoseconds */
    PyCodeObject *code;   /* kept alive by the table of codes; or NULL */
    int instruction;      /* of the code, in bytes */
    unsigned generation;  /* what was recorded before the last start counts no more */
    struct golock_hold *next_free;
} golock_hold;

/* Records that the calling thread has taken the lock, in *hold. Needs the GIL. */
void golock_begin_hold(golock_hold **hold, const void *lock);

/* Forgets the hold, if there is one. Returns whether another thread than the calling one had it, as
 * far as that is recorded. */
bool golock_end_hold(golock_hold **hold);

static inline void
golock_hold_begins(golock_hold **hold, const void *lock)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        golock_begin_hold(hold, lock);
    }
}

/* A hold may have been recorded before the recording was stopped. */
static inline bool
golock_hold_ends(golock_hold **hold)
{
    return __atomic_load_n(hold, __ATOMIC_RELAXED) != NULL && golock_end_hold(hold);
}

/* Begins to record, in this interpreter. Needs the GIL. */
void golock_start_holds(void);

/* Forgets what is recorded, after the level has been lowered. Drops references, so it may run
 * Python code. Needs the GIL. */
void golock_stop_holds(void);

/* Whether the current interpreter records. */
bool golock_records_holds(void);

/* Returns what is recorded of the hold of this lock: (thread, state, since, code, line), with None
 * for code and line where they are unknown. Returns None if there is none, or none that counts, and
 * NULL with MemoryError set. */
PyObject *golock_describe_hold(golock_hold *const *hold, const void *lock);

/* Returns a list of (lock, thread, state, since, code, line) for all holds, where the lock is its
 * id(); NULL with MemoryError set. Needs the GIL. */
PyObject *golock_holds(void);

/* Call this in a child process: locks held by threads that do not exist there have no owner. */
void golock_holds_after_fork(void);

#endif
