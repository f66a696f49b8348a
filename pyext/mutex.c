/* The slow paths of a lock. */
#include "mutex.h"

#include "corecall.h"

#include <unistd.h>

/* In a child process that has no core yet, whoever the word speaks of stayed in the parent. Returns
 * whether that was so, and the fast path may do now. Like everything in this file it accesses the word
 * relaxed: nobody but fastpath.h takes or frees the lock here, and what is read is a hint to where the
 * core decides, or an answer that may be old when it is given. */
bool
golock_forgot_the_parent(uint32_t *word)
{
    return golock_fastpath && (__atomic_load_n(word, __ATOMIC_RELAXED) & ~GOLOCK_HELD) != 0 &&
           golock_core_forgets(word, GOLOCK_HELD);
}

/* Takes the lock if it is free, without waiting. Returns 1 or 0, or -1 with CoreError set. */
static int
try_acquire(PyObject *self, golock_mutex *mutex)
{
    if (golock_fastpath && __atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & GOLOCK_HELD) {
        return 0;
    }
    const struct golock_core *core = golock_core_require(golock_state_of(self));
    return core == NULL ? -1 : golock_core_try_acquire(core, &mutex->word, false);
}

int
golock_mutex_acquire_slow(PyObject *self, golock_mutex *mutex, int64_t timeout, bool interruptible)
{
    if (golock_forgot_the_parent(&mutex->word) && golock_mutex_fast_acquire(mutex)) {
        return 1;
    }
    if (timeout == 0) {
        return try_acquire(self, mutex);
    }
    return golock_wait(golock_state_of(self), &mutex->word, false, timeout, interruptible);
}

int
golock_mutex_release_slow(PyObject *self, golock_mutex *mutex)
{
    if (golock_forgot_the_parent(&mutex->word) && golock_mutex_fast_release(mutex)) {
        return 1;
    }
    if (golock_fastpath && !(__atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & GOLOCK_HELD)) {
        return 0;
    }
    const struct golock_core *core = golock_core_require(golock_state_of(self));
    return core == NULL ? -1 : golock_core_release(core, &mutex->word);
}

bool
golock_mutex_locked(const golock_mutex *mutex)
{
    uint32_t word = __atomic_load_n(&mutex->word, __ATOMIC_RELAXED);
    return (word & GOLOCK_HELD) != 0 ||
           ((word & GOLOCK_HANDOFF) != 0 && word >> GOLOCK_CLAIMANT_SHIFT == (uint32_t)getpid());
}

void
golock_mutex_reset(golock_mutex *mutex)
{
    __atomic_store_n(&mutex->word, 0, __ATOMIC_RELAXED);
}
