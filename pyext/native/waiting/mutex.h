/* A lock without a Python object: the inside of golock.Lock and golock.RLock. */
#ifndef GOLOCK_MUTEX_H
#define GOLOCK_MUTEX_H

#include "base/clock.h"
#include "base/process.h"
#include "fastpath/fastpath.h"
#include "sight/objects.h"
#include "sight/order.h"
#include "waiting/acquire.h"

typedef struct golock_mutex {
    uint32_t word;
    uint8_t releases;
    bool shared;                  /* code outside Python knows the word */
    uint8_t offset;               /* of the mutex in its object */
    uint8_t kind : 7;             /* enum golock_object_kind */
    uint8_t signals : 1;          /* other threads than its owner release it */
    golock_object_record *record; /* of golock.sight, or NULL: nothing is recorded */
} golock_mutex;

/* Returns the object that the mutex is a part of, a borrowed reference. */
static inline PyObject *
golock_mutex_object(golock_mutex *mutex)
{
    return (PyObject *)((char *)mutex - mutex->offset);
}

static inline bool
golock_mutex_is_shared(const golock_mutex *mutex)
{
    return __atomic_load_n(&mutex->shared, __ATOMIC_RELAXED);
}

/* Returns the record of the lock, made if there is none, or NULL if there is no room. */
static inline golock_object_record *
golock_mutex_know(golock_mutex *mutex)
{
    const golock_object_traits traits = {
        .kind = mutex->kind,
        .flags = (golock_mutex_is_shared(mutex) ? GOLOCK_OBJECT_SHARED : 0) |
                 (mutex->signals ? GOLOCK_OBJECT_STRANGER : 0),
        .offset = mutex->offset,
    };
    return golock_object_know(&mutex->record, golock_mutex_object(mutex), &traits);
}

/* The same, or NULL if sight is off. */
static inline golock_object_record *
golock_mutex_known(golock_mutex *mutex)
{
    return golock_sight_now() == GOLOCK_SIGHT_OFF ? NULL : golock_mutex_know(mutex);
}

/* Records where a new lock is made. */
static inline void
golock_mutex_made(golock_mutex *mutex)
{
    golock_object_record *record = golock_mutex_known(mutex);
    if (record != NULL) {
        golock_object_record_site(record);
    }
}

static inline bool
golock_mutex_fast_acquire(golock_mutex *mutex)
{
    return golock_fast_acquire(&mutex->word, golock_mutex_is_shared(mutex), &golock_fastpath);
}

static inline bool
golock_mutex_fast_release(golock_mutex *mutex)
{
    return golock_fast_release(&mutex->word, golock_mutex_is_shared(mutex), &mutex->releases,
                               &golock_fastpath);
}

/* Takes a free lock while owners are recorded and nothing more: what the fast path does otherwise.
 * Returns false if that does not apply. */
static inline bool
golock_mutex_acquire_owned(golock_mutex *mutex)
{
    golock_object_record *record = __atomic_load_n(&mutex->record, __ATOMIC_ACQUIRE);
    if (golock_sight_now() != GOLOCK_SIGHT_OWNERS || record == NULL ||
        !golock_fast_acquire(&mutex->word, golock_mutex_is_shared(mutex), &golock_plain_path)) {
        return false;
    }
    golock_object_taken(record);
    return true;
}

/* Forgets the owner, before the lock is released. Returns whether owners are recorded. */
static inline bool
golock_mutex_disown(golock_mutex *mutex)
{
    const int level = golock_sight_now();
    if (level < GOLOCK_SIGHT_OWNERS) {
        return false;
    }
    golock_object_record *record = __atomic_load_n(&mutex->record, __ATOMIC_ACQUIRE);
    if (record != NULL) {
        golock_object_released(record);
        if (level >= GOLOCK_SIGHT_ORDER) {
            golock_order_released(record);
        }
    }
    return true;
}

/* The slow paths. They are not inlined, so that the fast paths save no registers. `flags` are those
 * of golock_wait. */
int golock_mutex_acquire_slow(golock_mutex *mutex, golock_deadline deadline, unsigned flags);
bool golock_mutex_release_slow(golock_mutex *mutex);

/* Releases a lock that the fast path has not released. It may only have been off. */
static inline bool
golock_mutex_release_contended(golock_mutex *mutex)
{
    return (golock_mutex_disown(mutex) &&
            golock_fast_release(&mutex->word, golock_mutex_is_shared(mutex), &mutex->releases,
                                &golock_plain_path)) ||
           golock_mutex_release_slow(mutex);
}

/* Takes the lock, and waits for it until the deadline. Needs the GIL, and drops it while it waits.
 * Returns 1 when the lock was taken, 0 when the deadline has passed, and -1 with an exception set
 * when a signal handler raised; the lock is then not taken. */
static inline int
golock_mutex_acquire(golock_mutex *mutex, golock_deadline deadline)
{
    return golock_mutex_fast_acquire(mutex) ? 1 : golock_mutex_acquire_slow(mutex, deadline, 0);
}

/* Takes the lock, without a deadline and without running signal handlers. `woken` says that the
 * thread was moved to the word while it slept, and was woken there. Needs the GIL, and drops it
 * while it waits. */
static inline void
golock_mutex_reacquire(golock_mutex *mutex, bool woken)
{
    if (woken) {
        golock_mutex_acquire_slow(mutex, GOLOCK_NO_LIMIT,
                                  GOLOCK_WAIT_NO_HANDLERS | GOLOCK_WAIT_WOKEN);
    } else if (!golock_mutex_fast_acquire(mutex)) {
        golock_mutex_acquire_slow(mutex, GOLOCK_NO_LIMIT, GOLOCK_WAIT_NO_HANDLERS);
    }
}

/* Releases the lock. Needs the GIL. Returns false if it was free. */
static inline bool
golock_mutex_release(golock_mutex *mutex)
{
    return golock_mutex_fast_release(mutex) || golock_mutex_release_contended(mutex);
}

/* The same as golock_mutex_release, but leaves the wake of the claimant to the caller. */
static inline bool
golock_mutex_release_defer_wake(golock_mutex *mutex, golock_unwoken *unwoken)
{
    unwoken->word = NULL;
    golock_mutex_disown(mutex);
    return golock_mutex_fast_release(mutex) ||
           golock_word_release_defer_wake(&mutex->word, golock_mutex_is_shared(mutex), unwoken);
}

/* Returns whether a newcomer would have to wait. A reservation copied by fork reserves nothing. */
static inline bool
golock_mutex_locked(const golock_mutex *mutex)
{
    uint32_t word = __atomic_load_n(&mutex->word, __ATOMIC_RELAXED);
    return (word & GOLOCK_HELD) != 0 || ((word & GOLOCK_HANDOFF) != 0 &&
                                         word >> GOLOCK_CLAIMANT_SHIFT == (uint32_t)golock_process);
}

/* Records, while owners are recorded, that the task that the calling thread runs has taken the
 * lock. Needs the GIL. */
void golock_mutex_record_task(golock_mutex *mutex);

/* Makes the lock free, in a child process just forked. */
void golock_mutex_reset(golock_mutex *mutex);

#endif
