/* The calls into the core. Go runs them on a goroutine's stack of a few KiB, where a signal handler of
 * the program may not fit: so a thread has its signals blocked during a call, and takes those that came
 * when the call ends. Those that faults raise stay unblocked: the kernel ends a process that blocks one. */
#ifndef GOLOCK_CORECALL_H
#define GOLOCK_CORECALL_H

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "golock.h"

/* The kernel's set of signals. The C library's functions spare two signals of its own, whose frames fit
 * on a goroutine's stack no better. */
typedef uint64_t golock_signals;

#define GOLOCK_SIGNAL(number) ((golock_signals)1 << ((number) - 1))
#define GOLOCK_FAULTS                                                                                        \
    (GOLOCK_SIGNAL(SIGSEGV) | GOLOCK_SIGNAL(SIGBUS) | GOLOCK_SIGNAL(SIGFPE) | GOLOCK_SIGNAL(SIGILL) |        \
     GOLOCK_SIGNAL(SIGTRAP) | GOLOCK_SIGNAL(SIGSYS) | GOLOCK_SIGNAL(SIGABRT))

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

/* golock_core_<name>: what the function of that name in the table does. */
#define GOLOCK_CORE_CALL(type, name, parameters, arguments)                                                  \
    static inline type golock_core_##name parameters                                                         \
    {                                                                                                        \
        golock_signals before = golock_block_signals();                                                      \
        type result = core->name arguments;                                                                  \
        golock_restore_signals(before);                                                                      \
        return result;                                                                                       \
    }

GOLOCK_CORE_CALL(int, try_acquire, (const struct golock_core *core, uint32_t *word, bool semaphore),
                 (word, semaphore))
GOLOCK_CORE_CALL(int, next, (const struct golock_core *core, struct golock_waiter *waiter, int reason),
                 (waiter, reason))
GOLOCK_CORE_CALL(int, stay, (const struct golock_core *core, struct golock_waiter *waiter), (waiter))
GOLOCK_CORE_CALL(int, release, (const struct golock_core *core, uint32_t *word), (word))
GOLOCK_CORE_CALL(int, release_semaphore,
                 (const struct golock_core *core, uint32_t *word, uint32_t n, uint32_t most), (word, n, most))

#endif
