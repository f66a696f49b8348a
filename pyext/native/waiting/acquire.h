/* What a lock or a semaphore does when fastpath.h cannot: plain.c does the simple cases, and where this
 * process has a core, that does the others. All need the GIL. */
#ifndef GOLOCK_ACQUIRE_H
#define GOLOCK_ACQUIRE_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

/* Flags of golock_wait. */
#define GOLOCK_WAIT_FOR_PERMIT 0x1u  /* the word is a semaphore's */
#define GOLOCK_WAIT_NO_HANDLERS 0x2u /* signal handlers run later */
#define GOLOCK_WAIT_WOKEN 0x4u /* the thread has slept on the word, and was woken: it may be the claimant */

#define GOLOCK_WAIT_SHARED 0x8u /* others than Python's threads may know the word */

#define GOLOCK_ENDED 2

/* Takes the lock or a permit, and waits for it until the deadline; drops the GIL while it waits. Only this
 * loads the core. Returns 1 when it was taken and 0 when the time ran out; nothing is taken either when it
 * returns -1 with an exception set, because a signal handler raised, or GOLOCK_ENDED.
 *
 * A wait with a flag `ended` (or NULL) ends when the flag is true. Whoever sets it calls golock_wake_all
 * (plain.h) after. */
int golock_wait(uint32_t *word, golock_deadline deadline, unsigned flags, const bool *ended);

/* Takes the lock or a permit, if there is one and it is not reserved. Returns whether it did. */
bool golock_word_try_acquire(uint32_t *word);
bool golock_permit_try_acquire(union golock_semaphore *semaphore);

/* Frees the lock, which others than Python's threads may know if it is shared. Returns false if it was free.
 */
bool golock_word_release(uint32_t *word, bool shared);

/* A claimant that a release has named, and has left to the caller to wake: soon, and before it runs any code.
 */
typedef struct {
    uint32_t *word; /* or NULL: there is none */
    bool shared;
} golock_unwoken;

/* The same as golock_word_release; may leave a claimant unwoken. */
bool golock_word_release_defer_wake(uint32_t *word, bool shared, golock_unwoken *unwoken);

/* Wakes it, if there is one. Returns false, where nobody slept: then golock_wake_again is to be called, with
 * the GIL, which this does not need. */
bool golock_wake(const golock_unwoken *unwoken);
void golock_wake_again(const golock_unwoken *unwoken);

/* Both. */
static inline void
golock_wake_at_once(const golock_unwoken *unwoken)
{
    if (!golock_wake(unwoken)) {
        golock_wake_again(unwoken);
    }
}

/* Adds n permits. Returns false if there would be more than most. */
bool golock_permits_release(union golock_semaphore *semaphore, bool shared, uint32_t n, uint32_t most);

#endif
