/* The clock, timeouts and deadlines. */
#ifndef GOLOCK_CLOCK_H
#define GOLOCK_CLOCK_H

#include "base/compat.h"
#include "golock.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_SECOND 1000000000

/* How long a call may wait, in nanoseconds >= 0. */
typedef struct {
    int64_t nanoseconds;
} golock_timeout;

/* When a wait ends at the latest, in nanoseconds of CLOCK_MONOTONIC. */
typedef struct {
    int64_t at;
} golock_deadline;

/* The special values: a call that only tries, and a wait without a limit. */
#define GOLOCK_TIMEOUT_ZERO ((golock_timeout){0})
#define GOLOCK_TIMEOUT_UNLIMITED ((golock_timeout){GOLOCK_FOREVER})
#define GOLOCK_DO_NOT_WAIT ((golock_deadline){0}) /* a deadline that has always passed */
#define GOLOCK_NO_LIMIT ((golock_deadline){GOLOCK_FOREVER})

static inline bool
golock_may_wait(golock_deadline deadline)
{
    return deadline.at != 0;
}

/* Returns CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t
golock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* Returns CLOCK_MONOTONIC as it was at the last tick, some milliseconds ago at most. Takes a
 * seventh of the time. */
static inline int64_t
golock_now_coarse(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* Returns the deadline of a wait that begins now: GOLOCK_NO_LIMIT if it is beyond the range of the
 * clock. Does not read the clock for the special values. */
golock_deadline golock_deadline_after(golock_timeout timeout);

#endif
