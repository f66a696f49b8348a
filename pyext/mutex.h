/* A lock without its object: what golock.lock and golock.RLock are made of, and a barrier guards itself
 * with. */
#ifndef GOLOCK_MUTEX_H
#define GOLOCK_MUTEX_H

#include "extension.h"
#include "fastpath.h"

typedef struct {
    uint32_t word;
    uint8_t turns;
    bool shared; /* others than Python's threads know the word */
} golock_mutex;

/* The fast paths of fastpath.h for a mutex. */
static inline bool
golock_mutex_fast_acquire(golock_mutex *mutex)
{
    return golock_fast_acquire(&mutex->word, __atomic_load_n(&mutex->shared, __ATOMIC_RELAXED));
}

static inline bool
golock_mutex_fast_release(golock_mutex *mutex)
{
    return golock_fast_release(&mutex->word, __atomic_load_n(&mutex->shared, __ATOMIC_RELAXED),
                               &mutex->turns);
}

/* Forgets what was copied into the word of a lock or a semaphore from the parent process, where nobody of
 * this one can have waited. Returns whether there was anything to forget. */
bool golock_forgot_the_parent(uint32_t *word);

/* The slow paths, which are outlined so that the fast ones save no registers. `self` is the object that
 * the mutex is part of. */
int golock_mutex_acquire_slow(PyObject *self, golock_mutex *mutex, int64_t timeout, bool interruptible);
int golock_mutex_release_slow(PyObject *self, golock_mutex *mutex);

/* Takes the lock, and waits for it up to timeout nanoseconds (-1: no limit). Needs the GIL, and drops it
 * while it waits. Returns 1 when the lock was taken, 0 when the time ran out, -1 with an exception set when
 * a signal handler raised or the core could not be loaded; the lock is then not taken. */
static inline int
golock_mutex_acquire(PyObject *self, golock_mutex *mutex, int64_t timeout)
{
    return golock_mutex_fast_acquire(mutex) ? 1 : golock_mutex_acquire_slow(self, mutex, timeout, true);
}

/* Takes the lock as golock_mutex_acquire does, without limit, and runs no signal handlers meanwhile.
 * Returns 0, or -1 with CoreError set. */
static inline int
golock_mutex_reacquire(PyObject *self, golock_mutex *mutex)
{
    if (golock_mutex_fast_acquire(mutex)) {
        return 0;
    }
    return golock_mutex_acquire_slow(self, mutex, -1, false) < 0 ? -1 : 0;
}

/* Frees the lock. Needs the GIL. Returns 1, or 0 if it was free, or -1 with CoreError set. */
static inline int
golock_mutex_release(PyObject *self, golock_mutex *mutex)
{
    return golock_mutex_fast_release(mutex) ? 1 : golock_mutex_release_slow(self, mutex);
}

/* Returns whether a newcomer would find the lock taken. A reservation copied by fork binds nobody. */
bool golock_mutex_locked(const golock_mutex *mutex);

/* Makes the lock free, in a child process just forked. */
void golock_mutex_reset(golock_mutex *mutex);

#endif
