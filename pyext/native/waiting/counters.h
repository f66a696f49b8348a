/* How many of Python's threads wait for a word, together with those for the words that share its counters.
 * The numbers are measures, for the tenure and for a call spared: a thread that is ended in its sleep is
 * counted for ever. */
#ifndef GOLOCK_COUNTERS_H
#define GOLOCK_COUNTERS_H

#include <stdint.h>

#include "golock.h"

/* Counts a waiter that is about to sleep, if it is not counted yet, until its wait has ended: among those of
 * the core, or if it is NULL of the extension. A core that ends the wait does the latter itself. */
void golock_count(const struct golock_core *core, struct golock_waiter *waiter);
void golock_uncount(const struct golock_core *core, struct golock_waiter *waiter);
int32_t golock_waiting(const struct golock_core *core, const uint32_t *word);

/* The same for a thread that is moved to the word in its sleep. Returns where it is counted. */
int32_t *golock_count_moved(const struct golock_core *core, const uint32_t *word);
void golock_uncount_moved(int32_t *counter);

/* To be called before a waiter sleeps, and after: counts those that are woken before the sleepers. */
void golock_before_sleep(const struct golock_waiter *waiter);
void golock_after_sleep(const struct golock_waiter *waiter);
int32_t golock_priority_sleepers(const uint32_t *word);

/* To be called in a child process. */
void golock_counters_after_fork(void);

#endif
