/* How a Python thread waits: it asks the core what to do, and sleeps on its own C stack, not on a
 * goroutine's small one, where a signal handler may not fit. */
#include "corecall.h"
#include "extension.h"
#include "fastpath.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#if PY_VERSION_HEX < 0x030D0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

/* Nanoseconds. While the interpreter ends, no other thread of it comes. */
#define PATIENCE_AT_EXIT 1000000

/* Nanoseconds. For how long the thread that runs signal handlers may overlook one when it goes to sleep
 * as a claimant. */
#define OVERLOOKED 5000000

int64_t
golock_deadline_after(int64_t timeout)
{
    if (timeout < 0) {
        return GOLOCK_FOREVER;
    }
    int64_t at = golock_now();
    return timeout > GOLOCK_FOREVER - at ? GOLOCK_FOREVER : at + timeout;
}

bool
golock_runs_handlers(void)
{
    return syscall(SYS_gettid) == getpid();
}

static enum golock_reason
park(const struct golock_waiter *waiter)
{
    int64_t at = waiter->owes && golock_runs_handlers() ? golock_deadline_after(OVERLOOKED) : GOLOCK_FOREVER;
    bool early = at < waiter->until;
    if (!early) {
        at = waiter->until;
    }
    struct timespec until = {.tv_sec = at / NANOSECONDS, .tv_nsec = at % NANOSECONDS};
    long result = syscall(SYS_futex, waiter->word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, waiter->value,
                          at == GOLOCK_FOREVER ? NULL : &until, NULL, waiter->channel);
    if (result == 0) {
        return GOLOCK_WOKEN;
    }
    switch (errno) {
    case ETIMEDOUT:
        return early ? GOLOCK_INTERRUPTED : GOLOCK_EXPIRED;
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
    int reason;
    do {
        reason = park(waiter);
    } while (reason == GOLOCK_CHANGED && !golock_runs_handlers() && golock_core_stay(core, waiter));
    return reason;
}

/* Looks for the lock to become free for a moment. That can pay only where its owner may run meanwhile:
 * without a GIL. */
static bool
spin(uint32_t *word, bool semaphore)
{
#ifdef Py_GIL_DISABLED
    for (int i = 0; i < 300; i++) {
        if (semaphore ? golock_fast_take((union golock_semaphore *)word) : golock_fast_acquire(word, true)) {
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
    (void)semaphore;
#endif
    return false;
}

int
golock_wait(const golock_state *state, uint32_t *word, bool semaphore, int64_t timeout, bool interruptible)
{
    if (spin(word, semaphore)) {
        return 1;
    }
    struct golock_waiter waiter = {
        .word = word,
        .deadline = golock_deadline_after(timeout),
        .patience = Py_IsFinalizing() ? PATIENCE_AT_EXIT : 0,
        .semaphore = semaphore,
    };
    const struct golock_waiter fresh = waiter;
    const struct golock_core *core = golock_core_require(state);
    int reason = GOLOCK_ENTERED;
    while (core != NULL) {
        int action = golock_core_next(core, &waiter, reason);
        if (action == GOLOCK_ACQUIRED || action == GOLOCK_TIMED_OUT) {
            return action == GOLOCK_ACQUIRED;
        }
        reason = GOLOCK_ENTERED;
        /* Signals that came up to here would go unseen while the thread sleeps. Their handlers may do
         * anything, even fork, unless this waiter owes something: one that takes the lock would wait
         * for it. */
        if (interruptible && !waiter.owes) {
            bool raised = Py_MakePendingCalls() < 0;
            bool forked = golock_core_loaded() != core; /* and nobody knows this waiter in the child */
            if (raised) {
                if (!forked) {
                    golock_core_next(core, &waiter, GOLOCK_INTERRUPTED);
                }
                return -1;
            }
            if (forked) {
                waiter = fresh;
                core = golock_core_require(state);
                continue;
            }
        }
        if (action == GOLOCK_PARK) {
            PyThreadState *thread = PyEval_SaveThread();
            reason = sleep_detached(core, &waiter);
            PyEval_RestoreThread(thread);
        }
    }
    return -1;
}
