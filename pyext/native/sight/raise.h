/* DeadlockError: how a wait for a lock is ended that is part of a deadlock. */
#ifndef GOLOCK_RAISE_H
#define GOLOCK_RAISE_H

#include "base/compat.h"
#include "sight/waits.h"

#include <stdbool.h>
#include <stdint.h>

/* The channels of the futex that no waiter of the protocol uses: internal/core/word.go. */
#define GOLOCK_RAISE_SHIFT 4
#define GOLOCK_RAISE_CHANNELS 28

/* Returns a channel on which the thread of this wait can be woken, beside those of the protocol.
 * Few others on the same word sleep on it; for them it is a wake from a stranger. */
static inline uint32_t
golock_raise_channel(const golock_wait_record *record)
{
    uint32_t number = (uint32_t)((uintptr_t)record / sizeof(*record) % GOLOCK_RAISE_CHANNELS);
    return record == NULL ? 0 : 1u << (GOLOCK_RAISE_SHIFT + number);
}

/* Says that DeadlockError may end the wait, whose thread sleeps on the word. */
static inline void
golock_wait_may_raise(golock_wait_record *record, uint32_t *word)
{
    if (record != NULL) {
        __atomic_store_n(&record->word, word, __ATOMIC_RELAXED);
    }
}

/* Requests that the wait ends with DeadlockError and this text, if it is still under way:
 * golock_raise_wake wakes its thread. Takes the text, which was allocated by malloc. Returns false
 * if there is no memory, and leaves the text to the caller. Needs no GIL. */
bool golock_raise_in(const golock_seen_wait *wait, char *text);

/* Wakes the thread. It may have looked for the request before, and be about to sleep: call this
 * again while the wait lasts. Needs no GIL. */
void golock_raise_wake(const golock_seen_wait *wait);

/* Returns the text of the request to end this wait, which the caller frees; NULL if there is
 * none. Needs no GIL. */
char *golock_raise_take(golock_wait_record *record);

/* Whether golock_raise_take has something to look at. Needs no GIL. */
static inline bool
golock_raise_is_due(const golock_wait_record *record)
{
    return record != NULL && __atomic_load_n(&record->raise, __ATOMIC_ACQUIRE) != NULL;
}

#endif
