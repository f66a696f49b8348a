/* The protocol of golock/word.go without the core: the algorithm of golock/waiter.go but for the hand-off. A
 * thread that waits so never asks for the lock and never looks at the due time. It may share a word with
 * others that wait by a core, Go code among them.
 *
 * Like the core's, the functions that write the word of a lock that is not shared are called with the GIL. */
#ifndef GOLOCK_PLAIN_H
#define GOLOCK_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "golock.h"

/* What the functions of these names in struct golock_core do. */
bool golock_plain_try_acquire(uint32_t *word, bool semaphore);
int golock_plain_next(struct golock_waiter *waiter, int reason);
bool golock_plain_stay(struct golock_waiter *waiter);
bool golock_plain_release(uint32_t *word);
bool golock_plain_release_semaphore(uint32_t *word, uint32_t n, uint32_t most);

/* Wakes all who sleep on the word, and lets nobody sleep who is about to. They look and sleep again, unless
 * they find that their wait has ended. */
void golock_wake_all(uint32_t *word);

#endif
