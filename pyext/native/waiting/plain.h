/* The simple part of the protocol of internal/core/word.go: internal/core/waiter.go without the
 * hand-off. A waiter served here never requests the lock and never looks at the due time. Others
 * may use the core to wait for the same word, Go code among them.
 *
 * What these functions cannot do they pass on to the core, with the waiter as it is. Without a core
 * nobody hands the lock over.
 *
 * Like the core's, the functions that write the word of a lock that is not shared need the GIL. */
#ifndef GOLOCK_PLAIN_H
#define GOLOCK_PLAIN_H

#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

#include "golock.h"

struct golock_task;

/* The core is to do it; nothing was done. */
#define GOLOCK_PASS (-1)

/* Whether the functions below apply: there is no core, or newcomers may barge. With a threshold of
 * 0 the core keeps the order. */
bool golock_plain_applies(const struct golock_core *core);

/* These do what the functions of the same names in struct golock_core do, or return GOLOCK_PASS.
 * From golock_plain_next that means that the waiter was woken and found the lock taken: it has a
 * claimant's debt, and no Python code may run before the core has it. */
bool golock_plain_try_acquire(uint32_t *word, bool semaphore);
int golock_plain_next(const struct golock_core *core, struct golock_waiter *waiter, int reason);
bool golock_plain_stay(struct golock_waiter *waiter);
int golock_plain_release(const struct golock_core *core, uint32_t *word, bool shared, bool *named);
int golock_plain_release_semaphore(const struct golock_core *core, uint32_t *word, bool shared,
                                   uint32_t n, uint32_t most);

/* A release with `named` not NULL sets *named if it has named a claimant without waking it. The
 * caller then calls golock_plain_wake_named soon, before it runs any code; this needs no GIL. If it
 * returns false nobody slept, and the caller must call golock_plain_take_back, with the GIL. */
bool golock_plain_wake_named(uint32_t *word, bool shared);
void golock_plain_take_back(uint32_t *word, bool shared);

/* Moves a thread that sleeps on *from, which is `value`, to the word of a lock, as if it had come
 * to wait for the lock; only its place among the sleepers may be another. Returns whether a thread
 * was moved: a wake-up that it gets from then on comes from the lock. */
bool golock_plain_move(const struct golock_core *core, uint32_t *from, uint32_t value,
                       uint32_t *word, bool shared);

/* The part of a task (tasks.h). golock_plain_claim takes the lock or a permit for it, or puts it
 * into the line and announces it in the word. Returns 1, or 0 if it waits, or -1 if it cannot: see
 * golock_task_enter. golock_plain_resign ends its wait. */
int golock_plain_claim(struct golock_task *task);
void golock_plain_resign(struct golock_task *task);

/* Whether a task that newly comes may take the lock or a permit without golock_plain_claim. */
bool golock_plain_may_barge(const uint32_t *word);

/* Announces a waiter in a word of which it is not known whether it sleeps, and returns the word on
 * which it may. Pays the debt of a claimant that does not come. Tells a word whose waiters a core
 * has woken, which knows of no tasks, that tasks wait. They need no GIL if the word is changed by
 * atomic operations alone. */
uint32_t golock_plain_announce(uint32_t *word, bool semaphore);
void golock_plain_pass_claim(uint32_t *word, bool semaphore);
void golock_plain_remind(uint32_t *word, bool semaphore);

/* Wakes all who sleep on the word or are about to. They look, and sleep again unless their wait has
 * ended. */
void golock_wake_all(uint32_t *word);

#endif
