/* How a Python thread waits: it asks the core what to do, and sleeps on its own C stack, not on a
 * goroutine's small one, where a signal handler may not fit. */
#include "extension.h"
#include "fastpath.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if PY_VERSION_HEX < 0x030D0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

/* Nanoseconds. While the interpreter ends, no other thread of it comes. */
#define PATIENCE_AT_EXIT 1000000

static int64_t
deadline_after(int64_t timeout)
{
    if (timeout < 0) {
        return GOLOCK_FOREVER;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t at = (int64_t)now.tv_sec * NANOSECONDS + now.tv_nsec;
    return timeout > GOLOCK_FOREVER - at ? GOLOCK_FOREVER : at + timeout;
}

static enum golock_event
park(const struct golock_waiter *waiter)
{
    struct timespec until = {.tv_sec = waiter->until / NANOSECONDS, .tv_nsec = waiter->until % NANOSECONDS};
    long result = syscall(SYS_futex, waiter->word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, waiter->value,
                          waiter->until == GOLOCK_FOREVER ? NULL : &until, NULL, waiter->channel);
    if (result == 0) {
        return GOLOCK_WOKEN;
    }
    switch (errno) {
    case ETIMEDOUT:
        return GOLOCK_EXPIRED;
    case EINTR:
        return GOLOCK_INTERRUPTED;
    default:
        return GOLOCK_CHANGED;
    }
}

/* Sleeps until woken. A woken thread looks at the word only when it is attached to the interpreter again:
 * once the interpreter ends, a daemon thread never is, and a lock it had taken would stay taken. */
static int
sleep_detached(const struct golock_core *core, struct golock_waiter *waiter)
{
    int event;
    do {
        event = park(waiter);
    } while (event == GOLOCK_CHANGED && core->stay(waiter));
    return event;
}

/* Looks for the lock to become free for a moment. That can pay only where its owner may run meanwhile:
 * without a GIL. */
static bool
spin(uint32_t *word)
{
#ifdef Py_GIL_DISABLED
    for (int i = 0; i < 300; i++) {
        if (golock_fast_acquire(word)) {
            return true;
        }
#ifdef __x86_64__
        __asm__ volatile("pause");
#else
        __asm__ volatile("yield");
#endif
    }
#else
    (void)word;
#endif
    return false;
}

int
golock_wait(const golock_state *state, uint32_t *word, int64_t timeout)
{
    if (spin(word)) {
        return 1;
    }
    struct golock_waiter waiter = {
        .word = word,
        .deadline = deadline_after(timeout),
        .patience = Py_IsFinalizing() ? PATIENCE_AT_EXIT : 0,
    };
    const struct golock_core *core = golock_core_get(state);
    if (core == NULL) {
        return -1;
    }
    int event = GOLOCK_ENTERED;
    for (;;) {
        int action = core->next(&waiter, event);
        if (action == GOLOCK_PARK) {
            PyThreadState *thread = PyEval_SaveThread();
            event = sleep_detached(core, &waiter);
            PyEval_RestoreThread(thread);
        }
        switch (action) {
        case GOLOCK_ACQUIRED:
            return 1;
        case GOLOCK_TIMED_OUT:
            return 0;
        case GOLOCK_ABORTED:
            /* The handlers may do anything, even fork: nothing is owed to anybody at this point. */
            if (Py_MakePendingCalls() < 0) {
                return -1;
            }
            core = golock_core_get(state);
            if (core == NULL) {
                return -1;
            }
            event = GOLOCK_ENTERED;
        }
    }
}
