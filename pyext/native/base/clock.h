/* Moments and durations, in nanoseconds. */
#ifndef GOLOCK_CLOCK_H
#define GOLOCK_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SECOND 1000000000

/* CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t
golock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* Returns the moment that is `timeout` nanoseconds from now (-1: never), or GOLOCK_FOREVER where the clock
 * does not reach. */
int64_t golock_deadline_after(int64_t timeout);

#endif
