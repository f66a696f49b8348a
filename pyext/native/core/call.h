/* The calls into the core. Go runs them on a goroutine's stack of a few KiB, too small for a signal
 * handler of the program. So a thread blocks its signals during a call, and handles them when the
 * call ends. Signals raised by faults stay unblocked: the kernel ends a process that blocks one. */
#ifndef GOLOCK_CALL_H
#define GOLOCK_CALL_H

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "golock.h"

/* The kernel's signal set. The C library's functions never block two signals of its own, whose
 * frames are too large for a goroutine's stack as well. */
typedef uint64_t golock_signals;

#define GOLOCK_SIGNAL(number) ((golock_signals)1 << ((number) - 1))
#define GOLOCK_FAULTS                                                                              \
    (GOLOCK_SIGNAL(SIGSEGV) | GOLOCK_SIGNAL(SIGBUS) | GOLOCK_SIGNAL(SIGFPE) |                      \
     GOLOCK_SIGNAL(SIGILL) | GOLOCK_SIGNAL(SIGTRAP) | GOLOCK_SIGNAL(SIGSYS) |                      \
     GOLOCK_SIGNAL(SIGABRT))

static inline golock_signals
golock_block_signals(void)
{
    const golock_signals blocked = ~GOLOCK_FAULTS;
    golock_signals before = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &blocked, &before, sizeof(golock_signals));
    return before;
}

static inline void
golock_restore_signals(golock_signals before)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(golock_signals));
}

/* These do what the functions of the same names in struct golock_core do. */

static inline int
golock_core_try_acquire(const struct golock_core *core, uint32_t *word, bool semaphore)
{
    golock_signals before = golock_block_signals();
    int taken = core->try_acquire(word, semaphore);
    golock_restore_signals(before);
    return taken;
}

static inline int
golock_core_next(const struct golock_core *core, struct golock_waiter *waiter, int reason)
{
    golock_signals before = golock_block_signals();
    int action = core->next(waiter, reason);
    golock_restore_signals(before);
    return action;
}

static inline int
golock_core_stay(const struct golock_core *core, struct golock_waiter *waiter)
{
    golock_signals before = golock_block_signals();
    int stays = core->stay(waiter);
    golock_restore_signals(before);
    return stays;
}

static inline int
golock_core_release(const struct golock_core *core, uint32_t *word)
{
    golock_signals before = golock_block_signals();
    int released = core->release(word);
    golock_restore_signals(before);
    return released;
}

static inline int
golock_core_release_semaphore(const struct golock_core *core, uint32_t *word, uint32_t n,
                              uint32_t most)
{
    golock_signals before = golock_block_signals();
    int released = core->release_semaphore(word, n, most);
    golock_restore_signals(before);
    return released;
}

#endif
