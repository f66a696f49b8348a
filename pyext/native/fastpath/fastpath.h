/* The uncontended operations on a lock's word and on a semaphore. waiting/acquire.h does what they
 * cannot. */
#ifndef GOLOCK_FASTPATH_H
#define GOLOCK_FASTPATH_H

#include "base/compat.h"
#include "fastpath/due.h"
#include "golock.h"

#include <stdbool.h>

/* False with GOLOCK_FASTPATH=0 in the environment: every operation goes through the core. */
extern bool golock_plain_path;

/* False then too, and while golock.sight records owners: locks and semaphores take the slow path,
 * which calls the functions below with &golock_plain_path. */
extern bool golock_fastpath;

/* Changes the word from *old to new and returns true, or returns false with the word's value in
 * *old.
 *
 * If there is a GIL, it orders all changes to a word that only Python threads know: this function,
 * and the functions of the core and of plain.h that write, are called with it, and a thread that
 * waits without it only reads. So a plain store suffices, at a third of the price of a locked
 * instruction. A shared word may change at any time. It became shared with the GIL held, after the
 * last plain store.
 *
 * Taking the lock is an acquire operation and releasing it a release operation. No other order is
 * needed, because every change is a read-modify-write of this one word. */
static inline bool
golock_change(uint32_t *word, bool shared, uint32_t *old, uint32_t new, int order)
{
#ifndef Py_GIL_DISABLED
    if (!shared) {
        __atomic_store_n(word, new, __ATOMIC_RELAXED);
        return true;
    }
#else
    (void)shared;
#endif
    return __atomic_compare_exchange_n(word, old, new, false, order, __ATOMIC_RELAXED);
}

/* The flags change at any time. With a GIL a plain load spares an instruction. */
static inline bool
golock_is_enabled(const bool *enabled)
{
#ifdef Py_GIL_DISABLED
    return __atomic_load_n(enabled, __ATOMIC_RELAXED);
#else
    return *enabled;
#endif
}

/* Takes the lock if a newcomer may, and *enabled is true. */
static inline bool
golock_fast_acquire(uint32_t *word, bool shared, const bool *enabled)
{
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (golock_is_enabled(enabled) && (old & (GOLOCK_HELD | GOLOCK_HANDOFF)) == 0) {
        if (golock_change(word, shared, &old, old | GOLOCK_HELD, __ATOMIC_ACQUIRE)) {
            return true;
        }
    }
    return false;
}

/* While a claimant is on its way, every 16th release checks the clock: see
 * internal/core/handoff.go. */
#define GOLOCK_RELEASES_PER_CHECK 16

/* Counts a release, and returns whether it checks the clock. To lose a count to another thread does
 * no harm. */
static inline bool
golock_should_check_clock(uint8_t *releases)
{
    uint8_t count = __atomic_load_n(releases, __ATOMIC_RELAXED) + 1;
    __atomic_store_n(releases, count, __ATOMIC_RELAXED);
    return count % GOLOCK_RELEASES_PER_CHECK == 0;
}

/* Releases the lock if it is held, nobody has to be woken, and *enabled is true. */
static inline bool
golock_fast_release(uint32_t *word, bool shared, uint8_t *releases, const bool *enabled)
{
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (old >> GOLOCK_CLAIMANT_SHIFT != 0 && golock_should_check_clock(releases) &&
        golock_due(old)) {
        return false;
    }
    while (golock_is_enabled(enabled) &&
           (old & (GOLOCK_HELD | GOLOCK_WAITERS | GOLOCK_HANDOFF)) == GOLOCK_HELD) {
        if (golock_change(word, shared, &old, old & ~GOLOCK_HELD, __ATOMIC_RELEASE)) {
            return true;
        }
    }
    return false;
}

/* The same as golock_change, for a semaphore. */
static inline bool
golock_change_permits(union golock_semaphore *semaphore, bool shared, uint64_t *old, uint64_t new,
                      int order)
{
#ifndef Py_GIL_DISABLED
    if (!shared) {
        __atomic_store_n(&semaphore->both, new, __ATOMIC_RELAXED);
        return true;
    }
#else
    (void)shared;
#endif
    return __atomic_compare_exchange_n(&semaphore->both, old, new, false, order, __ATOMIC_RELAXED);
}

/* Takes a permit if there is one, a newcomer may, and *enabled is true. */
static inline bool
golock_fast_acquire_permit(union golock_semaphore *semaphore, bool shared, const bool *enabled)
{
    uint64_t old = __atomic_load_n(&semaphore->both, __ATOMIC_RELAXED);
    while (golock_is_enabled(enabled) && (old & (GOLOCK_HELD | GOLOCK_HANDOFF)) == 0) {
        uint64_t new = old - GOLOCK_PERMIT;
        new |= new < GOLOCK_PERMIT ? GOLOCK_HELD : 0;
        if (golock_change_permits(semaphore, shared, &old, new, __ATOMIC_ACQUIRE)) {
            return true;
        }
    }
    return false;
}

/* Adds n permits if there will not be more than `most`, nobody has to be woken, and *enabled is
 * true. */
static inline bool
golock_fast_release_permits(union golock_semaphore *semaphore, bool shared, uint32_t n,
                            uint32_t most, uint8_t *releases, const bool *enabled)
{
    uint64_t old = __atomic_load_n(&semaphore->both, __ATOMIC_RELAXED);
    if ((uint32_t)old >> GOLOCK_CLAIMANT_SHIFT != 0 && golock_should_check_clock(releases) &&
        golock_due((uint32_t)old)) {
        return false;
    }
    while (golock_is_enabled(enabled) && (old & (GOLOCK_WAITERS | GOLOCK_HANDOFF)) == 0 &&
           (old >> 32) + n <= most) {
        uint64_t new = (old + n * GOLOCK_PERMIT) & ~(uint64_t)GOLOCK_HELD;
        if (golock_change_permits(semaphore, shared, &old, new, __ATOMIC_RELEASE)) {
            return true;
        }
    }
    return false;
}

#endif
