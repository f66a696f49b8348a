/* Counts the Python threads that wait for a word. Words may share a counter. The counts are
 * estimates: they set the tenure and spare calls. A thread that is ended in its sleep stays
 * counted. */
#ifndef GOLOCK_COUNTERS_H
#define GOLOCK_COUNTERS_H

#include <stdint.h>

#include "golock.h"

/* Counts a waiter, if it is not counted yet, until its wait has ended: in the core's counters, or
 * in the extension's if `core` is NULL. A core that ends the wait uncounts the waiter itself. */
void golock_count(const struct golock_core *core, struct golock_waiter *waiter);
void golock_uncount(const struct golock_core *core, struct golock_waiter *waiter);
int32_t golock_waiting(const struct golock_core *core, const uint32_t *word);

/* The same for a thread that is moved to the word while it sleeps. Returns the counter, for
 * golock_uncount_moved. */
int32_t *golock_count_moved(const struct golock_core *core, const uint32_t *word);
void golock_uncount_moved(int32_t *counter);

/* Call these before and after a waiter sleeps. They count the sleepers that are woken before those
 * on the channel GOLOCK_SLEEPER. */
void golock_before_sleep(const struct golock_waiter *waiter);
void golock_after_sleep(const struct golock_waiter *waiter);
int32_t golock_priority_sleepers(const uint32_t *word);

/* Call this in a child process. */
void golock_counters_after_fork(void);

#endif
