/* What waits and holds have cost since sight was switched on, by stacks: the samples of the image.
 * No function needs the GIL. */
#ifndef GOLOCK_PROFILE_H
#define GOLOCK_PROFILE_H

#include "sight/image.h"

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds, unless golock.sight.start() names another period. */
#define GOLOCK_PROFILE_PERIOD 20000

/* Counts a wait that has ended after so many nanoseconds, and decides whether to record it. A wait
 * of at least the period is always recorded, a shorter one with the probability nanoseconds /
 * period. Returns how many such waits the recorded one stands for, or 0: do not record it. */
double golock_profile_wait(int64_t delay, int64_t gil_delay);

/* Records a wait for which golock_profile_wait has returned `times`. Reads the key of the sample,
 * and not its counters. Objects with a creation site or a name are not told apart by address. */
void golock_profile_record(const struct golock_image_sample *key, double times, int64_t delay,
                           int64_t gil_delay);

/* Sets the period, in nanoseconds; 0: every wait is recorded. */
void golock_profile_set_period(int64_t period);

/* Forgets all samples and totals. */
void golock_profile_clear(void);

struct golock_image_writer;
void golock_profile_image(struct golock_image_writer *writer);

/* Call these around a fork. The child forgets the parent's samples. */
void golock_profile_before_fork(void);
void golock_profile_after_fork_in_parent(void);
void golock_profile_after_fork_in_child(void);

#endif
