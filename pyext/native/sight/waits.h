/* The waits of this process while golock.sight is on: which thread or goroutine waits for which
 * object. A wait is recorded from the moment when it first sleeps. */
#ifndef GOLOCK_WAITS_H
#define GOLOCK_WAITS_H

#include "base/clock.h"
#include "base/compat.h"
#include "sight/image.h"
#include "sight/level.h"
#include "sight/objects.h"
#include "sight/threads.h"

#include <stdbool.h>
#include <stdint.h>

/* Records are allocated in blocks and never freed, but used again. Only the waiter writes a record,
 * and whoever moves it to another object; the version is odd meanwhile. Read it by
 * golock_wait_read. */
typedef struct golock_wait_record {
    uint32_t version;
    uint32_t flags;               /* GOLOCK_WAIT_... */
    golock_object_record *object; /* or NULL: the record is free. The waiter keeps it alive. */
    uint64_t address;             /* of the object */
    uint64_t thread;              /* the key of the waiter */
    int64_t since;                /* when the wait for this object began */
    int64_t resumed;              /* when signal handlers last returned, or `since` */
    int64_t deadline;             /* or GOLOCK_FOREVER */
    int64_t taken;           /* the thread has been woken, and waits for the GIL since then; or 0 */
    int64_t gil_delay;       /* nanoseconds for which it has waited for the GIL before */
    uint32_t stack;          /* of the waiter */
    uint32_t holder;         /* the stack of the object's owner when the wait began; or 0 */
    uint64_t holding_thread; /* the owner's key then, or 0 */
    uint32_t holding_name;   /* the owner's name: a string, or 0 */
    uint32_t name;           /* the waiter's */
    golock_thread_record *who;  /* the waiter, or NULL: a goroutine */
    uint32_t *word;             /* where it sleeps, if DeadlockError may end the wait; or NULL */
    struct golock_raise *raise; /* a request for that, or NULL: see raise.h */
    struct golock_wait_record *next_free;
} golock_wait_record;

/* A wait under way, as it was at one moment. */
typedef struct {
    golock_wait_record *record;
    uint32_t version; /* another one when the record has been written since */
    uint32_t flags;
    golock_object_record *object;
    uint64_t address;
    uint64_t thread;
    int64_t since, resumed, deadline, taken, gil_delay;
    uint64_t holding_thread;
    uint32_t stack, holder, holding_name, name;
    uint32_t *word;
    unsigned long identifier; /* threading.get_ident() of the waiter; 0 for a goroutine */
} golock_seen_wait;

/* All records have an index below the length, which only grows. */
uint32_t golock_waits_length(void);
golock_wait_record *golock_wait_at(uint32_t index);

/* Reads a wait. Returns false if the record is free, or is being written. Needs no GIL. */
bool golock_wait_read(golock_wait_record *record, golock_seen_wait *seen);

/* Records that the calling thread, which has waited for the object since then, is about to sleep.
 * Returns NULL if the object is NULL, or if there is no room, which golock_waits_dropped counts.
 * Needs the GIL. Never runs Python code. */
golock_wait_record *golock_record_wait(golock_object_record *object, int64_t since,
                                       golock_deadline deadline);

/* Call this before each sleep; the first one is recorded in *record, which other threads may
 * read. */
static inline void
golock_wait_sleeps(golock_wait_record **record, golock_object_record *object, int64_t since,
                   golock_deadline deadline)
{
    if (object != NULL && *record == NULL) {
        __atomic_store_n(record, golock_record_wait(object, since, deadline), __ATOMIC_RELEASE);
    }
}

/* Returns the record of another thread's wait, or NULL. */
static inline golock_wait_record *
golock_wait_of(golock_wait_record *const *record)
{
    return __atomic_load_n(record, __ATOMIC_ACQUIRE);
}

/* Records the wait of a goroutine, or of Go code in a thread that Python knows. Returns NULL if
 * there is no room. Needs no GIL. */
golock_wait_record *golock_record_wait_by(golock_object_record *object, uint64_t key,
                                          int64_t deadline, uint32_t stack, uint32_t flags);

/* Records the wait of the task that the calling thread runs. Returns NULL if no task is known, or
 * there is no room. Needs the GIL. Never runs Python code. */
golock_wait_record *golock_record_task_wait(golock_object_record *object, int64_t deadline);

/* Records that a thread waits for another object, which it keeps alive, before its wait ends. The
 * profile counts its wait for the first one, and its wait for the other begins now. Needs the
 * GIL. */
void golock_move_wait(golock_wait_record *record, golock_object_record *object);

static inline void
golock_wait_moves(golock_wait_record *record, golock_object_record *object)
{
    if (record != NULL && object != NULL) {
        golock_move_wait(record, object);
    }
}

/* Marks the wait of a thread that begins to run signal handlers, or has done so. */
void golock_suspend_wait(golock_wait_record *record, bool suspended);

/* Py_MakePendingCalls within this wait, which is not one while signal handlers run. */
static inline int
golock_make_pending_calls(golock_wait_record *record)
{
    if (record == NULL) {
        return Py_MakePendingCalls();
    }
    golock_suspend_wait(record, true);
    int result = Py_MakePendingCalls();
    golock_suspend_wait(record, false);
    return result;
}

/* PyEval_RestoreThread within this wait, at the end of a sleep: the time that it takes is one of
 * waiting for the GIL. */
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

/* The end of a recorded wait, which the profile counts. Needs no GIL. */
void golock_end_wait(golock_wait_record *record);

/* The profile counts a wait that has ended without a sleep. Needs the GIL. */
void golock_count_wait(golock_object_record *object, int64_t since);

/* Call this when a wait for the object, which began at `since`, has ended, while the object is
 * alive. The record is NULL if the thread has not slept. Needs the GIL. */
static inline void
golock_wait_ends(golock_wait_record *record, golock_object_record *object, int64_t since)
{
    if (record != NULL) {
        golock_end_wait(record);
    } else if (object != NULL) {
        golock_count_wait(object, since);
    }
}

/* How many waits were not recorded for lack of room. Access it atomically. */
extern uint64_t golock_waits_dropped;

/* Writes the waits under way as samples of the profile, at most `room`. Returns how many. */
uint64_t golock_waits_samples(int64_t now, struct golock_image_sample *samples, uint64_t room);

struct golock_image_wait golock_wait_image(const golock_seen_wait *seen);
struct golock_image_writer;
void golock_waits_image(struct golock_image_writer *writer);

/* Forgets the waits of the current interpreter, which ends: their threads never run again. */
void golock_forget_waits(void);

/* Call this in a child process, before golock_threads_after_fork: the waits of threads that do not
 * exist there are forgotten. */
void golock_waits_after_fork(void);

#endif
