/* The slow paths of locks and semaphores. plain.c serves the simple cases; the core, where this
 * process has one, serves the others. All functions need the GIL unless they say otherwise. */
#ifndef GOLOCK_ACQUIRE_H
#define GOLOCK_ACQUIRE_H

#include "base/clock.h"
#include "base/compat.h"
#include "sight/objects.h"

#include <stdbool.h>
#include <stdint.h>

/* Flags of golock_wait. */
#define GOLOCK_WAIT_FOR_PERMIT 0x1u  /* the word is a semaphore's */
#define GOLOCK_WAIT_NO_HANDLERS 0x2u /* run no signal handlers */
#define GOLOCK_WAIT_WOKEN 0x4u       /* the thread was woken on the word: it may be the claimant */
#define GOLOCK_WAIT_SHARED 0x8u      /* code outside Python may know the word */

/* A result of golock_wait. */
#define GOLOCK_ENDED 2

/* Takes the lock or a permit, and waits for it until the deadline, without the GIL. `object` is its
 * record, or NULL: the wait is not recorded. This is the only function that loads the core.
 *
 * Returns 1 when it was taken and 0 when the deadline has passed. Returns -1 with an exception set
 * when a signal handler raised, or DeadlockError was requested: see sight/raise.h; and GOLOCK_ENDED
 * when *ended was true; then nothing is taken.
 *
 * `ended` may be NULL. Whoever sets it must call golock_wake_all (plain.h) afterwards. */
int golock_wait(uint32_t *word, golock_object_record *object, golock_deadline deadline,
                unsigned flags, const bool *ended);

/* Takes the lock or a permit if there is one and it is not reserved. Returns whether it did. */
bool golock_word_try_acquire(uint32_t *word);
bool golock_permit_try_acquire(union golock_semaphore *semaphore);

/* Releases the lock. `shared` says whether code outside Python may know it. Returns false if it was
 * free. */
bool golock_word_release(uint32_t *word, bool shared);

/* A claimant that a release has named but not woken. The caller must wake it soon, before it runs
 * any code. */
typedef struct {
    uint32_t *word; /* or NULL: there is none */
    bool shared;
} golock_unwoken;

/* The same as golock_word_release, but leaves the wake of the claimant to the caller. */
bool golock_word_release_defer_wake(uint32_t *word, bool shared, golock_unwoken *unwoken);

/* Wakes the claimant, if there is one. Needs no GIL. Returns false if nobody slept on the word; the
 * caller must then call golock_wake_again, with the GIL. */
bool golock_wake(const golock_unwoken *unwoken);
void golock_wake_again(const golock_unwoken *unwoken);

static inline void
golock_wake_at_once(const golock_unwoken *unwoken)
{
    if (!golock_wake(unwoken)) {
        golock_wake_again(unwoken);
    }
}

/* Adds n permits. Returns false, and adds none, if there would be more than `most`. */
bool golock_permits_release(union golock_semaphore *semaphore, bool shared, uint32_t n,
                            uint32_t most);

#endif
