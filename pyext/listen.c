/* How a Python thread waits for a notification: the core keeps the listeners of each word, and each thread
 * sleeps on its own listener. */
#include "corecall.h"
#include "extension.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

golock_listening *
golock_listening_new(void)
{
    golock_listening *listening = PyMem_RawCalloc(1, sizeof(golock_listening));
    if (listening == NULL) {
        PyErr_NoMemory();
    }
    return listening;
}

int
golock_listen(const golock_state *state, uint32_t *word, golock_listening *listening)
{
    memset(listening, 0, sizeof(*listening));
    listening->core = golock_core_get(state);
    return listening->core == NULL ? -1 : golock_core_listen(listening->core, word, &listening->listener);
}

/* What is told comes with what was done before: an acquire. */
static uint32_t
told(const golock_listening *listening)
{
    return __atomic_load_n(&listening->listener.told, __ATOMIC_ACQUIRE);
}

uint32_t
golock_withdraw(uint32_t *word, golock_listening *listening)
{
    if (told(listening) == 0 && listening->core != NULL && listening->core == golock_core_loaded()) {
        golock_core_withdraw(listening->core, word, &listening->listener);
    }
    return told(listening);
}

int
golock_notify(const golock_state *state, uint32_t *word, uint32_t n, uint32_t told)
{
    if (golock_core_absent(word, GOLOCK_SET)) {
        return 0;
    }
    const struct golock_core *core = golock_core_get(state);
    if (core == NULL) {
        return -1;
    }
    golock_core_notify(core, word, n, told);
    return 0;
}

/* Sleeps until told, or until the time has come: then returns false. A thread that runs signal handlers also
 * returns when a signal has come. */
static bool
sleep_detached(const golock_listening *listening, int64_t deadline)
{
    const struct timespec until = {.tv_sec = deadline / NANOSECONDS, .tv_nsec = deadline % NANOSECONDS};
    for (;;) {
        long result = syscall(SYS_futex, &listening->listener.told, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0,
                              deadline == GOLOCK_FOREVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
        if (told(listening) != 0) {
            return true;
        }
        if (result < 0 && errno == ETIMEDOUT) {
            return false;
        }
        if (result < 0 && errno == EINTR && golock_runs_handlers()) {
            return true;
        }
    }
}

int64_t
golock_await(const golock_state *state, uint32_t *word, golock_listening *listening, int64_t deadline)
{
    bool in_time = true;
    while (in_time && told(listening) == 0) {
        /* Signals that came up to here would go unseen while the thread sleeps. Their handlers may do
         * anything, even fork: nobody knows this listener in the child. */
        if (Py_MakePendingCalls() < 0) {
            return -1;
        }
        if (told(listening) == 0 && listening->core != golock_core_loaded()) {
            int listens = golock_listen(state, word, listening);
            if (listens < 0) {
                return -1;
            }
            if (listens == 0) { /* the event is set: nobody else will tell it, and it is not to be withdrawn */
                listening->listener.told = GOLOCK_TOLD;
                break;
            }
        }
        PyThreadState *thread = PyEval_SaveThread();
        in_time = sleep_detached(listening, deadline);
        PyEval_RestoreThread(thread);
    }
    return told(listening);
}
