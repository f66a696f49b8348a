/* What golock.sight records. */
#ifndef GOLOCK_LEVEL_H
#define GOLOCK_LEVEL_H

#include "base/compat.h"

#include <stdint.h>

enum golock_sight_level {
    GOLOCK_SIGHT_OFF,
    GOLOCK_SIGHT_WAITS,  /* waits, with their stacks */
    GOLOCK_SIGHT_OWNERS, /* also who holds locks, since when and from where */
    GOLOCK_SIGHT_ORDER,  /* also the order in which locks are taken */
};

/* For the whole process. Access it atomically. */
extern int golock_sight;

/* When it was last switched on, in nanoseconds of CLOCK_MONOTONIC. Access it atomically. */
extern int64_t golock_sight_started;

static inline int
golock_sight_now(void)
{
    return __atomic_load_n(&golock_sight, __ATOMIC_ACQUIRE);
}

/* Sets the level. Needs no GIL. */
void golock_set_level(int level);

/* Drops the references to Python objects that sight had while it was on, if it is off. Returns 0.
 * Needs the GIL, and may run Python code. golock_set_level calls it soon, in the main thread. */
int golock_drop_references(void *ignored);

/* Call these around a fork. */
void golock_level_before_fork(void);
void golock_level_after_fork(void);

#endif
