/* How a Python thread waits: plain.c or the core decides what to do, and the thread sleeps on its
 * own C stack. A goroutine's stack is too small for a signal handler. */
#include "waiting/acquire.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/futex.h"
#include "base/process.h"
#include "base/state.h"
#include "core/call.h"
#include "core/loader.h"
#include "fastpath/fastpath.h"
#include "sight/raise.h"
#include "sight/serve.h"
#include "sight/waits.h"
#include "waiting/counters.h"
#include "waiting/plain.h"
#include "waiting/spin.h"

#include <errno.h>
#include <stdlib.h>

/* Nanoseconds that a thread spins whatever its last waits took. Without a GIL the owner of a lock
 * is probably running. */
#ifdef Py_GIL_DISABLED
#define LEAST_SPIN 8000
#else
#define LEAST_SPIN 0
#endif

/* Nanoseconds. While the interpreter ends, its other threads never run again. */
#define PATIENCE_AT_EXIT 1000000

/* Nanoseconds. The thread that runs signal handlers may miss a signal when it goes to sleep as a
 * claimant; it wakes after this time to look. */
#define OVERLOOKED 5000000

static enum golock_reason
park(const struct golock_waiter *waiter, uint32_t raise_channel)
{
    golock_deadline until = {waiter->until};
    bool early = false;
    if (waiter->designated && golock_runs_handlers()) {
        int64_t look = golock_now() + OVERLOOKED;
        early = look < until.at;
        until.at = early ? look : until.at;
    }
    const uint32_t channels = waiter->channel | raise_channel;
    if (golock_futex_wait(waiter->word, waiter->value, until, channels) == 0) {
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

/* Whoever sets the flag changes the word or wakes all waiters afterwards, so read it after both. */
static bool
has_ended(const bool *ended)
{
    return ended != NULL && __atomic_load_n(ended, __ATOMIC_SEQ_CST);
}

/* A wait. plain.c decides what to do until it passes the waiter on to the core. */
typedef struct {
    struct golock_waiter waiter;
    const struct golock_core *core; /* or NULL */
    bool passed;
} wait;

static int
next(wait *w, int reason)
{
    if (!w->passed && golock_plain_applies(w->core)) {
        int action = golock_plain_next(w->core, &w->waiter, reason);
        if (action != GOLOCK_PASS) {
            return action;
        }
    }
    w->passed = w->passed || (w->core != NULL && golock_core_bind(w->core));
    return w->passed ? golock_core_next(w->core, &w->waiter, reason)
                     : golock_plain_next(NULL, &w->waiter, reason);
}

static bool
stay(wait *w)
{
    return w->passed ? golock_core_stay(w->core, &w->waiter) : golock_plain_stay(&w->waiter);
}

/* Sleeps until woken. A woken thread changes the word only after it has attached to the
 * interpreter. A daemon thread never attaches again once the interpreter ends, and would keep the
 * lock for ever. */
static int
sleep_detached(wait *w, const bool *ended, const golock_wait_record *record)
{
    int reason;
    do {
        if (has_ended(ended) || golock_raise_is_due(record)) {
            return GOLOCK_CHANGED;
        }
        reason = park(&w->waiter, golock_raise_channel(record));
    } while (reason == GOLOCK_CHANGED && !golock_runs_handlers() && stay(w));
    return reason;
}

/* Ends a wait whose flag is set. The waiter may have announced itself after the flag was set, and
 * so restored the word that another waiter is about to sleep on. So it wakes all waiters again. */
static void
end_wait(wait *w, int reason)
{
    w->waiter.designated |= reason == GOLOCK_WOKEN;
    next(w, GOLOCK_INTERRUPTED);
    golock_wake_all(w->waiter.word);
}

/* Returns the core for what plain.c passes on, or NULL if this thread cannot call one. */
static const struct golock_core *
core_to_pass_to(const struct golock_core *loaded)
{
    return loaded != NULL ? golock_core_get() : NULL;
}

static bool
try_acquire(uint32_t *word, bool semaphore)
{
    const struct golock_core *core = golock_core_loaded();
    core = golock_plain_applies(core) ? NULL : core_to_pass_to(core);
    return core != NULL ? golock_core_try_acquire(core, word, semaphore)
                        : golock_plain_try_acquire(word, semaphore);
}

/* Takes the lock if it becomes free while the thread spins. Does not spin if the lock is first
 * come, first served: a spinning thread has no place in the queue. */
static bool
spin_for(uint32_t *word, unsigned flags, const bool *ended, golock_spin *spin)
{
    const bool shared = flags & GOLOCK_WAIT_SHARED;
    if (!golock_may_spin(spin) || !golock_plain_path ||
        golock_threshold(golock_core_loaded()) == 0) {
        return false;
    }
    bool free = true, taken = false;
    while (free && !taken && !has_ended(ended)) {
        PyThreadState *thread = golock_detach();
        free = golock_spin_while(spin, word, GOLOCK_HELD, GOLOCK_HELD, shared);
        PyEval_RestoreThread(thread);
        taken = free && try_acquire(word, flags & GOLOCK_WAIT_FOR_PERMIT);
    }
    golock_spin_end(spin, taken);
    return taken;
}

/* Ends a wait that is part of a deadlock. Sets DeadlockError and returns true, unless the request
 * was for a former wait. */
static bool
raise_deadlock(wait *w, golock_wait_record *record)
{
    char *text = golock_raise_take(record);
    if (text == NULL) {
        return false;
    }
    next(w, GOLOCK_INTERRUPTED);
    golock_state *state = golock_state_of((PyObject *)(uintptr_t)record->address);
    PyErr_SetString(state->deadlock_error, text);
    free(text);
    return true;
}

/* Goes on with the core if it has started since the wait began. */
static void
look_for_core(wait *w)
{
    const struct golock_core *core = w->core == NULL ? golock_core_started() : NULL;
    if (core != NULL) {
        golock_uncount(NULL, &w->waiter);
        w->core = core;
    }
}

/* Runs the wait until it ends. Returns as golock_wait does, and the record in *record if the thread
 * has slept. */
static int
drive(wait *w, const struct golock_waiter *fresh, unsigned flags, const bool *ended,
      golock_object_record *object, golock_wait_record **record)
{
    pid_t process = golock_process;
    bool woken = flags & GOLOCK_WAIT_WOKEN;
    int reason = woken ? GOLOCK_WOKEN : GOLOCK_ENTERED;
    for (;;) {
        if (has_ended(ended)) {
            end_wait(w, reason);
            return GOLOCK_ENDED;
        }
        int action = next(w, reason);
        if (action == GOLOCK_ACQUIRED || action == GOLOCK_TIMED_OUT) {
            return action == GOLOCK_ACQUIRED;
        }
        if (golock_raise_is_due(*record) && raise_deadlock(w, *record)) {
            return -1;
        }
        /* Run the handlers of pending signals, which would not interrupt the sleep. Handlers may do
         * anything, even fork. A claimant runs none: a handler that takes this lock would wait for
         * the claimant itself. */
        reason = GOLOCK_ENTERED;
        if (!w->waiter.designated) {
            if (woken) { /* only now may the thread run other code */
                woken = false;
                w->core = golock_core_load();
            }
            bool raised =
                !(flags & GOLOCK_WAIT_NO_HANDLERS) && golock_make_pending_calls(*record) < 0;
            bool forked = golock_process != process; /* nobody knows this waiter in the child */
            if (forked) {
                *w = (wait){.waiter = *fresh};
            } else if (raised) {
                next(w, GOLOCK_INTERRUPTED);
            }
            if (raised) {
                return -1;
            }
            if (forked) {
                w->core = golock_core_load();
                process = golock_process;
                continue;
            }
        }
        if (action == GOLOCK_PARK) {
            golock_count(w->core, &w->waiter);
            golock_wait_sleeps(record, object, fresh->since, (golock_deadline){fresh->deadline});
            if (!(flags & GOLOCK_WAIT_NO_HANDLERS)) {
                golock_wait_may_raise(*record, fresh->word);
            }
            golock_before_sleep(&w->waiter);
            PyThreadState *thread = golock_detach();
            reason = sleep_detached(w, ended, *record);
            golock_attach(*record, thread);
            golock_after_sleep(&w->waiter);
            look_for_core(w);
        }
    }
}

int
golock_wait(uint32_t *word, golock_object_record *object, golock_deadline deadline, unsigned flags,
            const bool *ended)
{
    const bool woken = flags & GOLOCK_WAIT_WOKEN;
    golock_wait_record *record = NULL;
    golock_spin spin = golock_spin_begin(deadline, LEAST_SPIN);
    int result = !woken && spin_for(word, flags, ended, &spin);
    if (!result) {
        const struct golock_waiter fresh = {
            .word = word,
            .deadline = deadline.at,
            .patience = Py_IsFinalizing() ? PATIENCE_AT_EXIT : 0,
            .since = spin.since,
            .semaphore = flags & GOLOCK_WAIT_FOR_PERMIT,
        };
        /* Loading the core may run Python code, which a possible claimant must not do. */
        wait w = {.waiter = fresh, .core = woken ? golock_core_loaded() : golock_core_load()};
        if (!woken) {
            golock_serve_with(w.core);
        }
        result = drive(&w, &fresh, flags, ended, object, &record);
        golock_uncount(w.core, &w.waiter);
    }
    golock_spin_learn(&spin);
    /* A thread that was moved to the word while it slept has been counted as waiting there. */
    golock_wait_ends(record, woken ? NULL : object, spin.since);
    return result;
}

bool
golock_word_try_acquire(uint32_t *word)
{
    return try_acquire(word, false);
}

bool
golock_permit_try_acquire(union golock_semaphore *semaphore)
{
    return try_acquire(&semaphore->word, true);
}

static bool
release(uint32_t *word, bool shared, bool *named)
{
    const struct golock_core *core = golock_core_loaded();
    int released =
        golock_plain_applies(core) ? golock_plain_release(core, word, shared, named) : GOLOCK_PASS;
    if (released == GOLOCK_PASS) {
        core = core_to_pass_to(core);
        released = core != NULL ? golock_core_release(core, word)
                                : golock_plain_release(NULL, word, shared, named);
    }
    return released;
}

bool
golock_word_release(uint32_t *word, bool shared)
{
    return release(word, shared, NULL);
}

bool
golock_word_release_defer_wake(uint32_t *word, bool shared, golock_unwoken *unwoken)
{
    bool named = false;
    bool released = release(word, shared, &named);
    *unwoken = (golock_unwoken){.word = named ? word : NULL, .shared = shared};
    return released;
}

bool
golock_wake(const golock_unwoken *unwoken)
{
    return unwoken->word == NULL || golock_plain_wake_named(unwoken->word, unwoken->shared);
}

void
golock_wake_again(const golock_unwoken *unwoken)
{
    golock_plain_take_back(unwoken->word, unwoken->shared);
}

bool
golock_permits_release(union golock_semaphore *semaphore, bool shared, uint32_t n, uint32_t most)
{
    uint32_t *word = &semaphore->word;
    const struct golock_core *core = golock_core_loaded();
    int released = golock_plain_applies(core)
                       ? golock_plain_release_semaphore(core, word, shared, n, most)
                       : GOLOCK_PASS;
    if (released == GOLOCK_PASS) {
        core = core_to_pass_to(core);
        released = core != NULL ? golock_core_release_semaphore(core, word, n, most)
                                : golock_plain_release_semaphore(NULL, word, shared, n, most);
    }
    return released;
}
