/* The simple part of the protocol of internal/core/word.go: all of internal/core/waiter.go but for the
 * hand-off. A thread that waits so never asks for the lock and never looks at the due time. It may share a
 * word with others that wait by a core, Go code among them.
 *
 * With a core, whatever is left to it is passed on to it, with the waiter as it is. Without one, nobody hands
 * the lock over.
 *
 * Like the core's, the functions that write the word of a lock that is not shared are called with the GIL. */
#ifndef GOLOCK_PLAIN_H
#define GOLOCK_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "golock.h"

/* The core is to do it: nothing was done. */
#define GOLOCK_PASS (-1)

/* Whether the functions below may be asked first: there is no core, or nothing speaks against it. Where the
 * threshold is 0 the core keeps the order. */
bool golock_plain_applies(const struct golock_core *core);

/* What the functions of these names in struct golock_core do, or GOLOCK_PASS. The latter, from
 * golock_plain_next, says that the waiter was woken and found the lock taken: it owes something, and no
 * Python code may run before it is passed on. */
bool golock_plain_try_acquire(uint32_t *word, bool semaphore);
int golock_plain_next(const struct golock_core *core, struct golock_waiter *waiter, int reason);
bool golock_plain_stay(struct golock_waiter *waiter);
int golock_plain_release(const struct golock_core *core, uint32_t *word, bool shared, bool *named);
int golock_plain_release_semaphore(const struct golock_core *core, uint32_t *word, bool shared, uint32_t n,
                                   uint32_t most);

/* A release with `named` not NULL sets it where it has named a claimant and not woken it yet. The caller does
 * so soon, by golock_plain_wake_named, which needs no GIL, and before it runs any code. Where that returns
 * false nobody slept, and golock_plain_take_back is to be called, with the GIL. */
bool golock_plain_wake_named(uint32_t *word, bool shared);
void golock_plain_take_back(uint32_t *word, bool shared);

/* Has a thread that sleeps on *from, which is `value`, sleep on the word of a lock instead, as if it had come
 * to wait for the lock, but that the kernel may put it before others. Returns whether one did: a wake that it
 * gets from then on is the lock's. */
bool golock_plain_move(const struct golock_core *core, uint32_t *from, uint32_t value, uint32_t *word,
                       bool shared);

/* Wakes all who sleep on the word, and lets nobody sleep who is about to. They look and sleep again, unless
 * they find that their wait has ended. */
void golock_wake_all(uint32_t *word);

#endif
