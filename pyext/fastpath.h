/* The uncontended operations on the lock word: one compare-and-swap each. Whatever they cannot do is
 * the core's. Taking the lock is an acquire operation and freeing it a release operation; nothing
 * else about the word needs an order, because every change of it is a read-modify-write. */
#ifndef GOLOCK_FASTPATH_H
#define GOLOCK_FASTPATH_H

#include <stdbool.h>

#include "golock.h"

/* False with GOLOCK_FASTPATH=0 in the environment: every operation goes through the core. */
extern bool golock_fastpath;

/* Takes the lock if the word says that a newcomer may. */
static inline bool
golock_fast_acquire(uint32_t *word)
{
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (golock_fastpath && (old & (GOLOCK_HELD | GOLOCK_HANDOFF)) == 0) {
        if (__atomic_compare_exchange_n(word, &old, old | GOLOCK_HELD, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

/* Frees the lock if it is held and nobody has to be woken. */
static inline bool
golock_fast_release(uint32_t *word)
{
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (golock_fastpath && (old & (GOLOCK_HELD | GOLOCK_WAITERS | GOLOCK_HANDOFF)) == GOLOCK_HELD) {
        if (__atomic_compare_exchange_n(word, &old, old & ~GOLOCK_HELD, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

#endif
