#include "waiting/mutex.h"

/* The word is read relaxed here: the answer may be out of date when the caller gets it. */

int
golock_mutex_acquire_slow(golock_mutex *mutex, golock_deadline deadline, unsigned flags)
{
    if (golock_may_wait(deadline)) {
        flags |= golock_mutex_is_shared(mutex) ? GOLOCK_WAIT_SHARED : 0;
        return golock_wait(&mutex->word, golock_mutex_object(mutex), deadline, flags, NULL);
    }
    if (golock_fastpath && __atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & GOLOCK_HELD) {
        return 0;
    }
    return golock_word_try_acquire(&mutex->word);
}

bool
golock_mutex_release_slow(golock_mutex *mutex)
{
    return golock_word_release(&mutex->word, golock_mutex_is_shared(mutex));
}

void
golock_mutex_reset(golock_mutex *mutex)
{
    __atomic_store_n(&mutex->word, 0, __ATOMIC_RELAXED);
}
