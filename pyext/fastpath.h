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

/* With a claimant on its way, every so manieth release goes through the core, which looks at the clock:
 * see golock/handoff.go. */
#define GOLOCK_RELEASES_PER_LOOK 16

/* Frees the lock if it is held and nobody has to be woken. Releases are counted in *turns, which the
 * lock itself guards. */
static inline bool
golock_fast_release(uint32_t *word, uint8_t *turns)
{
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (old != GOLOCK_HELD && old >> GOLOCK_CLAIMANT_SHIFT != 0) {
        uint8_t turn = __atomic_load_n(turns, __ATOMIC_RELAXED) + 1;
        __atomic_store_n(turns, turn, __ATOMIC_RELAXED);
        if (turn % GOLOCK_RELEASES_PER_LOOK == 0) {
            return false;
        }
    }
    while (golock_fastpath && (old & (GOLOCK_HELD | GOLOCK_WAITERS | GOLOCK_HANDOFF)) == GOLOCK_HELD) {
        if (__atomic_compare_exchange_n(word, &old, old & ~GOLOCK_HELD, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

#endif
