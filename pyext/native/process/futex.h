/* futex(2) on memory that processes share. */
#ifndef GOLOCK_PROCESS_FUTEX_H
#define GOLOCK_PROCESS_FUTEX_H

#include "base/clock.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleeps while the word is `value`, until a wake on one of the channels or until the moment.
 * Returns 0 when woken, or -1 with errno set: EAGAIN if the word had another value, ETIMEDOUT, or
 * EINTR. */
static inline long
golock_shared_wait(uint32_t *word, uint32_t value, int64_t until, uint32_t channels)
{
    const struct timespec at = {.tv_sec = until / NS_PER_SECOND, .tv_nsec = until % NS_PER_SECOND};
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, until == GOLOCK_FOREVER ? NULL : &at,
                   NULL, channels);
}

/* Wakes up to `most` of those that sleep on one of the channels, and returns how many. */
static inline long
golock_shared_wake(uint32_t *word, int most, uint32_t channels)
{
    return syscall(SYS_futex, word, FUTEX_WAKE_BITSET, most, NULL, NULL, channels);
}

/* Sets the lowest bit of the word and wakes all that sleep there, in one step of the kernel's: a
 * process that is killed or stopped has done both, or neither. Returns -1 with errno set if a
 * seccomp filter refuses it; neither is done then. */
static inline long
golock_shared_set_and_wake_all(uint32_t *word)
{
    return syscall(SYS_futex, word, FUTEX_WAKE_OP, INT_MAX, NULL, word,
                   FUTEX_OP(FUTEX_OP_OR, 1, FUTEX_OP_CMP_EQ, 0));
}

/* futex_waitv(2), which older headers do not have. */
#define GOLOCK_SYS_FUTEX_WAITV 449
#define GOLOCK_WAITV_MOST 128
#define GOLOCK_WAITV_32 2u
#define GOLOCK_WAITV_PRIVATE 128u

struct golock_waitv {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

static inline long
golock_waitv(const struct golock_waitv *words, unsigned count, int64_t until)
{
    const struct timespec at = {.tv_sec = until / NS_PER_SECOND, .tv_nsec = until % NS_PER_SECOND};
    return syscall(GOLOCK_SYS_FUTEX_WAITV, words, count, 0, until == GOLOCK_FOREVER ? NULL : &at,
                   CLOCK_MONOTONIC);
}

#endif
