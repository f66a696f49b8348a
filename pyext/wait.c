/* How a Python thread waits: it asks the core what to do, and sleeps on its own C stack, not on a
 * goroutine's small one, where a signal handler may not fit. Where there is no core it asks plain.c. */
#include "slowpath.h"

#include "corecall.h"
#include "extension.h"
#include "fastpath.h"
#include "plain.h"

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

/* Who has set the flag has changed the word or woken everybody after: so it is read after both. */
static bool
has_ended(const bool *ended)
{
    return ended != NULL && __atomic_load_n(ended, __ATOMIC_SEQ_CST);
}

static int
next(const struct golock_core *core, struct golock_waiter *waiter, int reason)
{
    return core != NULL ? golock_core_next(core, waiter, reason) : golock_plain_next(waiter, reason);
}

static bool
stay(const struct golock_core *core, struct golock_waiter *waiter)
{
    return core != NULL ? golock_core_stay(core, waiter) : golock_plain_stay(waiter);
}

/* Sleeps until woken. A woken thread looks at the word only when it is attached to the interpreter again:
 * once the interpreter ends, a daemon thread never is, and a lock it had taken would stay taken. */
static int
sleep_detached(const struct golock_core *core, struct golock_waiter *waiter, const bool *ended)
{
    int reason;
    do {
        if (has_ended(ended)) {
            return GOLOCK_CHANGED;
        }
        reason = park(waiter);
    } while (reason == GOLOCK_CHANGED && !golock_runs_handlers() && stay(core, waiter));
    return reason;
}

/* Ends the wait of one that has seen the flag. It may have announced itself after the flag was set, and so
 * made the word again what another is about to sleep on: it wakes all once more. */
static int
end(const struct golock_core *core, struct golock_waiter *waiter, int reason)
{
    waiter->owes |= reason == GOLOCK_WOKEN;
    next(core, waiter, GOLOCK_INTERRUPTED);
    golock_wake_all(waiter->word);
    return GOLOCK_ENDED;
}

/* Looks for the lock to become free for a moment. That can pay only where its owner may run meanwhile:
 * without a GIL. */
static bool
spin(uint32_t *word, bool semaphore, const bool *ended)
{
#ifdef Py_GIL_DISABLED
    for (int i = 0; i < 300 && !has_ended(ended); i++) {
        if (semaphore ? golock_fast_take((union golock_semaphore *)word, true)
                      : golock_fast_acquire(word, true)) {
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
    (void)ended;
#endif
    return false;
}

int
golock_wait(uint32_t *word, int64_t timeout, unsigned flags, const bool *ended)
{
    const bool semaphore = flags & GOLOCK_WAIT_FOR_PERMIT;
    if (spin(word, semaphore, ended)) {
        return 1;
    }
    const struct golock_waiter fresh = {
        .word = word,
        .deadline = golock_deadline_after(timeout),
        .patience = Py_IsFinalizing() ? PATIENCE_AT_EXIT : 0,
        .semaphore = semaphore,
    };
    struct golock_waiter waiter = fresh;
    const struct golock_core *core = golock_core_get();
    pid_t process = getpid();
    int reason = GOLOCK_ENTERED;
    for (;;) {
        if (has_ended(ended)) {
            return end(core, &waiter, reason);
        }
        int action = next(core, &waiter, reason);
        if (action == GOLOCK_ACQUIRED || action == GOLOCK_TIMED_OUT) {
            return action == GOLOCK_ACQUIRED;
        }
        /* Signals that came up to here would go unseen while the thread sleeps. Their handlers may do
         * anything, even fork, unless this waiter owes something: one that takes the lock would wait
         * for it. */
        reason = GOLOCK_ENTERED;
        if (!(flags & GOLOCK_WAIT_NO_HANDLERS) && !waiter.owes) {
            bool raised = Py_MakePendingCalls() < 0;
            bool forked = getpid() != process; /* and nobody knows this waiter in the child */
            if (raised) {
                if (!forked) {
                    next(core, &waiter, GOLOCK_INTERRUPTED);
                }
                return -1;
            }
            if (forked) {
                waiter = fresh;
                core = golock_core_get();
                process = getpid();
                continue;
            }
        }
        if (action == GOLOCK_PARK) {
            PyThreadState *thread = PyEval_SaveThread();
            reason = sleep_detached(core, &waiter, ended);
            PyEval_RestoreThread(thread);
        }
    }
}

/* The core, if this process has one that this thread can call, or NULL. */
static const struct golock_core *
core_if_loaded(void)
{
    return golock_core_loaded() != NULL ? golock_core_get() : NULL;
}

bool
golock_word_try_acquire(uint32_t *word)
{
    const struct golock_core *core = core_if_loaded();
    return core != NULL ? golock_core_try_acquire(core, word, false) : golock_plain_try_acquire(word, false);
}

bool
golock_permit_try_acquire(union golock_semaphore *semaphore)
{
    const struct golock_core *core = core_if_loaded();
    return core != NULL ? golock_core_try_acquire(core, &semaphore->word, true)
                        : golock_plain_try_acquire(&semaphore->word, true);
}

bool
golock_word_release(uint32_t *word)
{
    const struct golock_core *core = core_if_loaded();
    return core != NULL ? golock_core_release(core, word) : golock_plain_release(word);
}

bool
golock_permits_release(union golock_semaphore *semaphore, uint32_t n, uint32_t most)
{
    const struct golock_core *core = core_if_loaded();
    return core != NULL ? golock_core_release_semaphore(core, &semaphore->word, n, most)
                        : golock_plain_release_semaphore(&semaphore->word, n, most);
}
