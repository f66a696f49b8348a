/* The contract between golock's C and Go: the bits of the lock word, the waiter, and the table of
 * functions that the core exports. The protocol is described in golock/word.go; golock/capi does not
 * compile when the two differ. */
#ifndef GOLOCK_H
#define GOLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* The lock word. */
#define GOLOCK_HELD 0x1u
#define GOLOCK_WAITERS 0x2u
#define GOLOCK_HANDOFF 0x4u
#define GOLOCK_DUE_SHIFT 3
#define GOLOCK_DUE_BITS 7
#define GOLOCK_DUE_UNIT 17 /* 2^17 nanoseconds */
#define GOLOCK_CLAIMANT_SHIFT 10
#define GOLOCK_CLAIMANT_MASK 0xFFFFFC00u

#define GOLOCK_FOREVER INT64_MAX
#define GOLOCK_DEFAULT_HANDOFF 1000000 /* nanoseconds */

enum golock_event {
    GOLOCK_ENTERED,
    GOLOCK_WOKEN,
    GOLOCK_CHANGED,
    GOLOCK_EXPIRED,
    GOLOCK_INTERRUPTED,
};

enum golock_action {
    GOLOCK_ACQUIRED,
    GOLOCK_PARK,
    GOLOCK_TIMED_OUT,
    GOLOCK_ABORTED,
};

/* One acquire that has to wait. It lives on the stack of the thread that waits. The caller fills in
 * word, deadline (CLOCK_MONOTONIC in nanoseconds, or GOLOCK_FOREVER) and patience (for how many
 * nanoseconds to trust that the thread comes for which the lock is reserved, or 0 for ever) and leaves
 * the rest zero. */
struct golock_waiter {
    uint32_t *word;
    int64_t deadline;
    int64_t patience;

    int64_t since;

    /* After GOLOCK_PARK: sleep by FUTEX_WAIT_BITSET while *word == value. */
    uint32_t value;
    uint32_t channel;
    int64_t until;

    bool owes;
    bool returns;
    bool counted;
};

/* The core's one exported function, golock_core_1, returns this table. The number in its name is the
 * version of everything in this file: a core of another version has no such symbol. None of its
 * functions sleeps. Those that write a word which Python threads use are called with the GIL: see
 * fastpath.h. */
struct golock_core {
    /* Takes the lock and returns 1 if it is neither held nor reserved, otherwise returns 0. */
    int (*try_acquire)(uint32_t *word);
    /* Takes what happened, returns what to do: enum golock_event, enum golock_action. */
    int (*next)(struct golock_waiter *waiter, int event);
    /* After GOLOCK_CHANGED: returns 1 if the waiter may sleep again as it is. Writes no word. */
    int (*stay)(struct golock_waiter *waiter);
    /* Frees the lock and returns 1, or returns 0 if it was free. */
    int (*release)(uint32_t *word);
    /* Sets the hand-off threshold, in nanoseconds >= 0. */
    void (*set_handoff)(int64_t nanoseconds);
    /* The version of the Go runtime, such as "go1.26.8". */
    const char *go_version;
};

#define GOLOCK_CORE_SYMBOL "golock_core_1"
typedef const struct golock_core *(*golock_core_function)(void);

#endif
