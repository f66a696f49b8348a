/* Deadlocks: threads and goroutines that wait for each other. Nothing here needs the GIL. */
#ifndef GOLOCK_CYCLES_H
#define GOLOCK_CYCLES_H

#include "sight/image.h"
#include "sight/objects.h"
#include "sight/waits.h"

#include <stdbool.h>
#include <stdint.h>

enum golock_on_deadlock {
    GOLOCK_DEADLOCK_IGNORE,
    GOLOCK_DEADLOCK_REPORT, /* on standard error */
    GOLOCK_DEADLOCK_RAISE,  /* DeadlockError in a wait of it, or reported where that cannot be */
    GOLOCK_DEADLOCK_QUEUE,  /* for golock_report_next */
};

#define GOLOCK_DEADLOCK_THRESHOLD 100000000 /* nanoseconds */

/* A wait for what the next member of the cycle holds. */
typedef struct {
    golock_seen_wait wait;
    golock_object_record object;
    uint64_t holder;
} golock_cycle_member;

typedef struct golock_cycle {
    struct golock_cycle *next;
    uint32_t length;
    uint32_t flags; /* GOLOCK_CYCLE_... */
    golock_cycle_member members[];
} golock_cycle;

/* Sets what becomes of deadlocks, and how many nanoseconds a wait lasts before it is examined. All
 * waits under way are examined again; a deadlock that was told is not told again. */
void golock_cycles_set(enum golock_on_deadlock on_deadlock, int64_t threshold);

/* Returns what becomes of deadlocks. */
enum golock_on_deadlock golock_cycles_on_deadlock(void);

/* Examines each wait that has reached the threshold, once, and tells of the deadlocks that it
 * finds, each once. Returns the CLOCK_MONOTONIC time of the next look, or GOLOCK_FOREVER: not
 * before golock_serve_wake is called. */
int64_t golock_sight_look(void);

/* Returns a list of the deadlocks that there are now, or NULL: none, or no memory. */
golock_cycle *golock_cycles_find(void);
void golock_cycles_free(golock_cycle *cycles);

struct golock_image_writer;
void golock_cycles_image(struct golock_image_writer *writer); /* after WAITS */

extern bool golock_look_planned;
void golock_plan_look(void);

/* Call this when a wait has been recorded, has moved to another object, or goes on after signal
 * handlers. */
static inline void
golock_look_later(void)
{
    /* Pairs with the fence in golock_sight_look, which sees the wait unless this sees that no look
     * is planned. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&golock_look_planned, __ATOMIC_RELAXED)) {
        golock_plan_look();
    }
}

/* Call this in a child process. */
void golock_cycles_after_fork(void);

#endif
