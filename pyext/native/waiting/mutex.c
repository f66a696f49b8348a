#include "waiting/mutex.h"

#define NO_INLINE __attribute__((noinline))

/* The word is read relaxed here: the answer may be out of date when the caller gets it. */

static inline int
acquire(golock_mutex *mutex, golock_deadline deadline, unsigned flags)
{
    if (golock_may_wait(deadline)) {
        flags |= golock_mutex_is_shared(mutex) ? GOLOCK_WAIT_SHARED : 0;
        return golock_wait(&mutex->word, golock_mutex_known(mutex), deadline, flags, NULL);
    }
    if (golock_plain_path && __atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & GOLOCK_HELD) {
        return 0;
    }
    return golock_word_try_acquire(&mutex->word);
}

/* The same while owners are recorded. The fast path is off then, so the lock may be free. */
NO_INLINE static int
acquire_and_own(golock_mutex *mutex, golock_deadline deadline, unsigned flags)
{
    golock_object_record *record = golock_mutex_know(mutex);
    if (golock_may_wait(deadline)) {
        golock_order_before(record);
    }
    int taken =
        !(flags & GOLOCK_WAIT_WOKEN) &&
        golock_fast_acquire(&mutex->word, golock_mutex_is_shared(mutex), &golock_plain_path);
    if (!taken) {
        taken = acquire(mutex, deadline, flags);
    }
    /* If the level was lowered meanwhile, the release may not be recorded. */
    if (taken > 0 && record != NULL && golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        golock_object_taken(record);
        golock_order_taken(record);
    }
    return taken;
}

int
golock_mutex_acquire_slow(golock_mutex *mutex, golock_deadline deadline, unsigned flags)
{
    return golock_sight_now() < GOLOCK_SIGHT_OWNERS ? acquire(mutex, deadline, flags)
                                                    : acquire_and_own(mutex, deadline, flags);
}

bool
golock_mutex_release_slow(golock_mutex *mutex)
{
    return golock_word_release(&mutex->word, golock_mutex_is_shared(mutex));
}

/* A task that golock.sight does not know is its loop's thread, which may seem to release what
 * others have. Locks are not ordered by what tasks have. */
void
golock_mutex_record_task(golock_mutex *mutex)
{
    golock_object_record *record =
        golock_sight_now() < GOLOCK_SIGHT_OWNERS ? NULL : golock_mutex_know(mutex);
    if (record != NULL && !golock_object_taken_by_task(record)) {
        golock_object_mark_stranger(record);
        golock_object_taken(record);
    }
}

void
golock_mutex_reset(golock_mutex *mutex)
{
    golock_object_record *record = __atomic_load_n(&mutex->record, __ATOMIC_ACQUIRE);
    if (record != NULL) {
        golock_object_reset(record);
    }
    __atomic_store_n(&mutex->word, 0, __ATOMIC_RELAXED);
}
