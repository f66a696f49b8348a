/* futex(2), private to the process. */
#ifndef GOLOCK_FUTEX_H
#define GOLOCK_FUTEX_H

#include "base/clock.h"

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GOLOCK_ANY_CHANNEL FUTEX_BITSET_MATCH_ANY

/* Sleeps while the word is `value`, until a wake on one of the channels or until the deadline.
 * Returns 0 when woken, or -1 with errno set: EAGAIN if the word had another value, ETIMEDOUT, or
 * EINTR. */
static inline long
golock_futex_wait(uint32_t *word, uint32_t value, golock_deadline deadline, uint32_t channels)
{
    const struct timespec until = {.tv_sec = deadline.at / NS_PER_SECOND,
                                   .tv_nsec = deadline.at % NS_PER_SECOND};
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
                   deadline.at == GOLOCK_FOREVER ? NULL : &until, NULL, channels);
}

/* Wakes up to `most` of those that sleep on one of the channels, and returns how many. The memory
 * may be gone; then nobody sleeps there. */
static inline long
golock_futex_wake(uint32_t *word, int most, uint32_t channels)
{
    return syscall(SYS_futex, word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, most, NULL, NULL,
                   channels);
}

/* Moves up to `most` of those that sleep on the word to another word, if this one is `value`.
 * Returns how many, or -1 with errno set: EAGAIN if the word had another value, EFAULT if there is
 * no memory. */
static inline long
golock_futex_move(const uint32_t *word, uint32_t value, size_t most, const uint32_t *to)
{
    return syscall(SYS_futex, word, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 0, most, to, value);
}

#endif
