/* How a Python thread waits for a notification: the core keeps the listeners of each word, and each thread
 * sleeps on its own listener. */
#include "corecall.h"
#include "extension.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
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
    memset(&listening->listener, 0, sizeof(listening->listener));
    listening->core = golock_core_require(state);
    if (listening->core == NULL) {
        return -1;
    }
    golock_core_listen(listening->core, word, &listening->listener);
    return 0;
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

/* A signal handler may fork, and in the child process the wait below it goes on. The child's core does not
 * know of it until the handler has returned, but who notifies before must find it: so these waits are kept
 * here. */
static _Thread_local golock_listening *innermost;
static struct {
    pthread_mutex_t mutex;
    golock_listening *first;
} inherited = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void
golock_listen_after_fork(void)
{
    inherited.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    inherited.first = innermost;
}

bool
golock_has_inherited(void)
{
    return __atomic_load_n(&inherited.first, __ATOMIC_RELAXED) != NULL;
}

static uint32_t
notify_inherited(const uint32_t *word, uint32_t n, uint32_t what)
{
    uint32_t count = 0;
    pthread_mutex_lock(&inherited.mutex);
    for (golock_listening *each = inherited.first; each != NULL && count < n; each = each->outer) {
        if (each->word == word && told(each) == 0) {
            __atomic_store_n(&each->listener.told, what, __ATOMIC_RELEASE);
            count++;
        }
    }
    pthread_mutex_unlock(&inherited.mutex);
    return count;
}

int
golock_notify(const golock_state *state, uint32_t *word, uint32_t n, uint32_t told)
{
    if (golock_has_inherited()) {
        n -= notify_inherited(word, n, told);
    }
    if (golock_core_forgets(word, 0)) {
        return 0;
    }
    const struct golock_core *core = golock_core_require(state);
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

/* The innermost goes first. The caller has the mutex. */
static void
disinherit(const golock_listening *listening)
{
    if (inherited.first == listening) {
        __atomic_store_n(&inherited.first, listening->outer, __ATOMIC_RELAXED);
    }
}

/* Listens anew if a handler has forked, and this is the child process: in one step, for another thread of the
 * child to find it in either place. Returns 0, or -1 with an exception set. */
static int
listen_again(const golock_state *state, uint32_t *word, golock_listening *listening)
{
    if (listening->core == golock_core_loaded()) {
        return 0;
    }
    pthread_mutex_lock(&inherited.mutex);
    int result = told(listening) != 0 ? 0 : golock_listen(state, word, listening);
    disinherit(listening);
    pthread_mutex_unlock(&inherited.mutex);
    return result;
}

static int64_t
sleep_until_told(const golock_state *state, uint32_t *word, golock_listening *listening, int64_t deadline)
{
    bool in_time = true;
    while (in_time && told(listening) == 0) {
        /* Signals that came up to here would go unseen while the thread sleeps. Their handlers may do
         * anything, even fork: nobody knows this listener in the child. */
        if (Py_MakePendingCalls() < 0 || listen_again(state, word, listening) < 0) {
            return -1;
        }
        PyThreadState *thread = PyEval_SaveThread();
        in_time = sleep_detached(listening, deadline);
        PyEval_RestoreThread(thread);
    }
    return told(listening);
}

int64_t
golock_await(const golock_state *state, uint32_t *word, golock_listening *listening, int64_t deadline)
{
    listening->word = word;
    listening->outer = innermost;
    innermost = listening;
    int64_t result = sleep_until_told(state, word, listening, deadline);
    innermost = listening->outer;
    if (golock_has_inherited()) {
        pthread_mutex_lock(&inherited.mutex);
        disinherit(listening);
        pthread_mutex_unlock(&inherited.mutex);
    }
    return result;
}
