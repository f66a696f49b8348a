/* C code that uses a Python lock as golock.h describes. test_sharing.py compiles and loads it. */
#include "golock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int
park(const struct golock_waiter *waiter)
{
    struct timespec until = {waiter->until / 1000000000, waiter->until % 1000000000};
    if (syscall(SYS_futex, waiter->word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, waiter->value,
                waiter->until == GOLOCK_FOREVER ? NULL : &until, NULL, waiter->channel) == 0) {
        return GOLOCK_WOKEN;
    }
    return errno == ETIMEDOUT ? GOLOCK_EXPIRED : GOLOCK_CHANGED;
}

static int
acquire(const struct golock_core *core, uint32_t *word, int64_t deadline)
{
    uint32_t unlocked = 0;
    if (__atomic_compare_exchange_n(word, &unlocked, GOLOCK_HELD, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        return 1;
    }
    struct golock_waiter waiter = {.word = word, .deadline = deadline};
    int reason = GOLOCK_ENTERED;
    for (;;) {
        int action = core->next(&waiter, reason);
        if (action != GOLOCK_PARK) {
            return action == GOLOCK_ACQUIRED;
        }
        reason = park(&waiter);
    }
}

/* Whether the address is that of a header of that kind. */
int
is_shared(const void *address, int kind)
{
    return golock_word(address, kind) != NULL;
}

/* Takes the lock within some milliseconds, and releases it. Returns what each call returned. */
int
take_and_free(const struct golock_core *core, const void *address, int milliseconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t deadline =
        (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + (int64_t)milliseconds * 1000000;
    uint32_t *word = golock_word(address, GOLOCK_LOCK);
    if (!acquire(core, word, deadline)) {
        return 0;
    }
    return 1 + core->release(word);
}

/* Increments a number that many times, each time under the lock. */
void
count(const struct golock_core *core, const void *address, long *number, int times)
{
    uint32_t *word = golock_word(address, GOLOCK_LOCK);
    for (int i = 0; i < times; i++) {
        acquire(core, word, GOLOCK_FOREVER);
        ++*number;
        core->release(word);
    }
}
