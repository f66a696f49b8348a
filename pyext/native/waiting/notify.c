/* How a Python thread waits for a notification. The listeners of a condition or a barrier are in a
 * list in the object, and each sleeps on a word of its own. The protocol is that of
 * internal/core/listener.go, with the GIL (or a spin lock, without a GIL) as the mutex of the list.
 * A listener that needs a lock next is not woken but moved to the lock's word. */
#include "waiting/notify.h"

#include "base/futex.h"
#include "base/process.h"
#include "core/loader.h"
#include "waiting/counters.h"
#include "waiting/mutex.h"
#include "waiting/plain.h"
#include "waiting/spin.h"
#include "waiting/tasks.h"

#include <errno.h>
#include <sched.h>

/* Another number in each child process. */
static uint32_t process = 1;

/* The number of the last listener that arrived where tasks listen. The mutex of the tasks guards
 * it. */
static uint64_t arrivals;

/* The listeners of this thread, the newest first. In the default TLS model the first access
 * allocates memory and ends the process if there is none. */
static _Thread_local golock_listener *innermost __attribute__((tls_model("initial-exec")));

golock_listener *
golock_listener_new(void)
{
    golock_listener *listener = PyMem_RawCalloc(1, sizeof(golock_listener));
    if (listener == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    listener->outer = innermost;
    innermost = listener;
    return listener;
}

/* An acquire: the listener sees what the notifier did before. */
static uint32_t
notification_of(const golock_listener *listener)
{
    return __atomic_load_n(&listener->notification, __ATOMIC_ACQUIRE);
}

/* In a child process the parent's listeners do not exist. */
static void
forget_the_parents(golock_listeners *listeners)
{
    if (__atomic_load_n(&listeners->process, __ATOMIC_RELAXED) != process) {
        listeners->first = listeners->last = listeners->lapsed = NULL;
        listeners->tasks = false;
        /* golock.sight reads it at any time. */
        __atomic_store_n(&listeners->length, 0, __ATOMIC_RELAXED);
#ifdef Py_GIL_DISABLED
        listeners->locked = false;
#endif
        __atomic_store_n(&listeners->process, process, __ATOMIC_RELAXED);
    }
}

#ifdef Py_GIL_DISABLED
/* Not a PyMutex, which would suspend the caller's critical section. */
static void
lock_threads(golock_listeners *listeners)
{
    while (__atomic_exchange_n(&listeners->locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void
unlock_threads(golock_listeners *listeners)
{
    __atomic_store_n(&listeners->locked, false, __ATOMIC_RELEASE);
}
#else
#define lock_threads(listeners) ((void)(listeners))
#define unlock_threads(listeners) ((void)(listeners))
#endif

/* The keeper of the tasks changes a list too, without the GIL. */
static void
lock_list(golock_listeners *listeners)
{
    for (;;) {
        const bool tasks = __atomic_load_n(&listeners->tasks, __ATOMIC_RELAXED);
        if (tasks) {
            golock_tasks_lock();
        }
        lock_threads(listeners);
        if (tasks == __atomic_load_n(&listeners->tasks, __ATOMIC_RELAXED)) {
            return;
        }
        unlock_threads(listeners); /* without a GIL the first task has come meanwhile */
    }
}

static void
unlock_list(golock_listeners *listeners)
{
    const bool tasks = __atomic_load_n(&listeners->tasks, __ATOMIC_RELAXED);
    unlock_threads(listeners);
    if (tasks) {
        golock_tasks_unlock();
    }
}

/* Locks it for a task that is to listen. */
static void
lock_list_for_task(golock_listeners *listeners)
{
    golock_tasks_lock();
    lock_threads(listeners);
    __atomic_store_n(&listeners->tasks, true, __ATOMIC_RELAXED);
}

uint32_t
golock_count_listeners(golock_listeners *listeners)
{
    /* Without the condition's lock the caller must not reset the list: another thread may just have
     * done so, and entered it. */
    const bool is_own = __atomic_load_n(&listeners->process, __ATOMIC_RELAXED) == process;
    return is_own ? __atomic_load_n(&listeners->length, __ATOMIC_RELAXED) : 0;
}

static void
unlink_listener(golock_listener *listener)
{
    golock_listeners *listeners = listener->listeners;
    *(listener->previous == NULL ? &listeners->first : &listener->previous->next) = listener->next;
    *(listener->next == NULL ? &listeners->last : &listener->next->previous) = listener->previous;
    listener->previous = listener->next = NULL;
    __atomic_store_n(&listener->listeners, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&listeners->length, listeners->length - 1, __ATOMIC_RELAXED);
}

/* Links the listener by its arrival. */
static void
link_listener(golock_listeners *listeners, golock_listener *listener)
{
    golock_listener *before = listeners->last;
    while (before != NULL && before->arrival > listener->arrival) {
        before = before->previous;
    }
    __atomic_store_n(&listener->listeners, listeners, __ATOMIC_RELAXED);
    listener->previous = before;
    listener->next = before == NULL ? listeners->first : before->next;
    *(before == NULL ? &listeners->first : &before->next) = listener;
    *(listener->next == NULL ? &listeners->last : &listener->next->previous) = listener;
    __atomic_store_n(&listeners->length, listeners->length + 1, __ATOMIC_RELAXED);
}

void
golock_listen(golock_listeners *listeners, golock_listener *listener)
{
    forget_the_parents(listeners);
    if (listener->task != NULL) {
        lock_list_for_task(listeners);
        listener->home = listeners;
        listener->task->listener = listener;
        golock_task_listens(listener->task);
    } else {
        lock_list(listeners);
    }
    listener->arrival = listeners->tasks ? ++arrivals : 0;
    link_listener(listeners, listener);
    unlock_list(listeners);
}

static void
unlink_lapsed(golock_listener *listener)
{
    golock_listeners *home = listener->home;
    *(listener->previous == NULL ? &home->lapsed : &listener->previous->next) = listener->next;
    if (listener->next != NULL) {
        listener->next->previous = listener->previous;
    }
    listener->previous = listener->next = NULL;
    listener->lapsed = false;
}

static uint32_t
withdraw_task(golock_listener *listener)
{
    golock_listeners *home = listener->home;
    lock_list(home);
    if (listener->listeners != NULL) {
        unlink_listener(listener);
    } else if (listener->lapsed) {
        unlink_lapsed(listener);
    }
    listener->task->listener = NULL;
    unlock_list(home);
    return notification_of(listener);
}

uint32_t
golock_withdraw(golock_listener *listener)
{
    if (listener->task != NULL) {
        return withdraw_task(listener);
    }
    golock_listeners *listeners;
    while ((listeners = __atomic_load_n(&listener->listeners, __ATOMIC_ACQUIRE)) != NULL) {
        lock_list(listeners);
        if (listener->listeners == listeners) { /* it was neither notified nor moved meanwhile */
            unlink_listener(listener);
        }
        unlock_list(listeners);
    }
    return notification_of(listener);
}

bool
golock_withdraw_native(PyObject *object, golock_listener *listener)
{
    bool native;
    (void)object; /* used without a GIL */
    GOLOCK_BEGIN_CRITICAL_SECTION(object);
    native = listener->condition == NULL;
    if (native) {
        golock_withdraw(listener);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return native;
}

/* The notifier may still use the listener: withdrawing waits for it. Waits need not end in the
 * reverse order of their beginnings: a thread with greenlets has several stacks. */
void
golock_listener_free(golock_listener *listener)
{
    golock_withdraw(listener);
    golock_uncount_moved(listener->counter);
    golock_listener **each = &innermost;
    while (*each != listener) {
        each = &(*each)->outer;
    }
    *each = listener->outer;
    PyObject *lock = listener->lock, *condition = listener->condition;
    PyMem_RawFree(listener);
    Py_XDECREF(lock);
    Py_XDECREF(condition);
}

/* Below, up to the functions with a header, the caller has locked the list. */

static bool
responds(const golock_listener *listener)
{
    return listener->task == NULL || golock_task_responds(listener->task);
}

/* Returns the first listener that can respond, of those with numbers below `before`, or NULL. */
static golock_listener *
first_responsive(const golock_listeners *listeners, uint64_t before)
{
    golock_listener *each = listeners->first;
    while (each != NULL && each->arrival < before && !responds(each)) {
        each = each->next;
    }
    return each != NULL && each->arrival < before ? each : NULL;
}

/* Returns the listener to notify next, or NULL. */
static golock_listener *
next_to_notify(const golock_listeners *listeners)
{
    golock_listener *first = listeners->tasks ? first_responsive(listeners, UINT64_MAX) : NULL;
    return first != NULL ? first : listeners->first;
}

static void
link_lapsed(golock_listener *listener)
{
    golock_listeners *home = listener->home;
    listener->lapsed = true;
    listener->next = home->lapsed;
    if (home->lapsed != NULL) {
        home->lapsed->previous = listener;
    }
    home->lapsed = listener;
}

/* Notifies a task, and removes it from the list. */
static void
notify_task(golock_listener *listener, uint32_t notification, uint64_t before)
{
    __atomic_store_n(&listener->notification, notification, __ATOMIC_RELEASE);
    listener->before = before;
    unlink_listener(listener);
    if (!golock_task_notify(listener->task) && notification != GOLOCK_OPENED) {
        link_lapsed(listener);
    }
}

/* Makes a task that was notified listen again. */
static void
take_notification_back(golock_listener *listener)
{
    __atomic_store_n(&listener->notification, 0, __ATOMIC_RELEASE);
    link_listener(listener->home, listener);
}

/* Notifies the first listener and removes it. Returns false if there is none. Sets *sleeps to the
 * word on which it sleeps or is about to, or to NULL if it spins or is a task. It is moved while it
 * is in the list: once removed, its memory may be freed. */
static bool
notify_first(golock_listeners *listeners, uint32_t notification, const struct golock_core *core,
             golock_mutex *lock, uint32_t **sleeps)
{
    lock_list(listeners);
    golock_listener *listener = next_to_notify(listeners);
    if (listener != NULL && listener->task != NULL) {
        *sleeps = NULL;
        notify_task(listener, notification, arrivals + 1);
    } else if (listener != NULL) {
        uint32_t *word = &listener->notification;
        /* A listener that withdraws and is in no list reads its notification. */
        bool spins = __atomic_exchange_n(word, notification, __ATOMIC_ACQ_REL) == GOLOCK_SPINNING;
        *sleeps = spins ? NULL : word;
        if (lock != NULL && !spins &&
            golock_plain_move(core, word, notification, &lock->word,
                              golock_mutex_is_shared(lock))) {
            listener->counter = golock_count_moved(core, &lock->word);
            golock_wait_record *record = golock_wait_of(&listener->record);
            if (record != NULL) {
                golock_wait_moves(record, golock_mutex_know(lock));
            }
        }
        unlink_listener(listener);
    }
    unlock_list(listeners);
    return listener != NULL;
}

/* The listener may be freed as soon as it is notified. Whoever sleeps on that address by then gets
 * a spurious wake-up. */
void
golock_notify(golock_listeners *listeners, uint32_t n, uint32_t notification, golock_mutex *lock)
{
    const struct golock_core *core = golock_core_loaded();
    forget_the_parents(listeners);
    uint32_t *word;
    if (lock != NULL && golock_plain_applies(core) && golock_threshold(core) != 0) {
        while (n-- > 0 && notify_first(listeners, GOLOCK_MOVED, core, lock, &word)) {
        }
        return;
    }
    while (n-- > 0 && notify_first(listeners, notification, NULL, NULL, &word)) {
        if (word != NULL) {
            golock_futex_wake(word, 1, GOLOCK_ANY_CHANNEL);
        }
    }
}

/* A thread is woken, not moved to the word of its lock: that is for those who have the lock. */
void
golock_let_notification_lapse(golock_listener *listener)
{
    golock_listeners *home = listener->home;
    lock_list(home);
    const uint32_t notification = notification_of(listener);
    if (listener->listeners == NULL && !listener->lapsed && notification != 0 &&
        notification != GOLOCK_OPENED) {
        golock_listener *next = first_responsive(home, listener->before);
        if (next == NULL) {
            link_lapsed(listener);
        } else if (next->task != NULL) {
            take_notification_back(listener);
            notify_task(next, GOLOCK_NOTIFIED, listener->before);
        } else {
            take_notification_back(listener);
            uint32_t *word = &next->notification;
            bool spins =
                __atomic_exchange_n(word, GOLOCK_NOTIFIED, __ATOMIC_ACQ_REL) == GOLOCK_SPINNING;
            unlink_listener(next);
            if (!spins) {
                golock_futex_wake(word, 1, GOLOCK_ANY_CHANNEL);
            }
        }
    }
    unlock_list(home);
}

/* A task that responds again takes over a notification that is for it too. */
uint32_t
golock_listener_resumes(golock_listener *listener)
{
    golock_listeners *home = listener->home;
    lock_list(home);
    golock_task_resumes(listener->task);
    if (listener->lapsed) {
        unlink_lapsed(listener);
    } else if (listener->listeners != NULL) {
        golock_listener *each = home->lapsed;
        while (each != NULL && each->before <= listener->arrival) {
            each = each->next;
        }
        if (each != NULL) {
            unlink_lapsed(each);
            take_notification_back(each);
            notify_task(listener, GOLOCK_NOTIFIED, each->before);
        }
    }
    const uint32_t notification = notification_of(listener);
    unlock_list(home);
    return notification;
}

void
golock_listener_suspends(golock_listener *listener)
{
    lock_list(listener->home);
    golock_task_suspends(listener->task, notification_of(listener) != 0);
    unlock_list(listener->home);
}

void
golock_move_listeners(golock_listeners *from, golock_listeners *to, PyObject *condition)
{
    forget_the_parents(from);
    lock_list(from);
    to->first = from->first;
    to->last = from->last;
    to->length = from->length;
    to->process = process;
    for (golock_listener *each = to->first; each != NULL; each = each->next) {
        each->condition = Py_NewRef(condition);
        __atomic_store_n(&each->listeners, to, __ATOMIC_RELEASE);
    }
    from->first = from->last = NULL;
    from->length = 0;
    unlock_list(from);
}

void
golock_forget_listeners(golock_listeners *listeners)
{
    forget_the_parents(listeners);
    lock_list(listeners);
    while (listeners->first != NULL) {
        unlink_listener(listeners->first);
    }
    while (listeners->lapsed != NULL) {
        unlink_lapsed(listeners->lapsed);
    }
    unlock_list(listeners);
}

void
golock_listen_after_fork(void)
{
    process++;
    for (golock_listener *each = innermost; each != NULL; each = each->outer) {
        golock_listeners *listeners = each->listeners;
        if (listeners == NULL) {
            continue;
        }
        forget_the_parents(listeners);
        each->previous = NULL;
        each->next = listeners->first;
        *(listeners->first == NULL ? &listeners->last : &listeners->first->previous) = each;
        listeners->first = each;
        listeners->length++;
    }
}

/* Sleeps until notified. Returns false when the deadline has passed. A thread that runs signal
 * handlers also returns when a signal arrives. */
static bool
sleep_detached(golock_listener *listener, golock_deadline deadline)
{
    for (;;) {
        long result = golock_futex_wait(&listener->notification, 0, deadline, GOLOCK_SLEEPER);
        uint32_t notification = notification_of(listener);
        if (notification != 0) {
            /* A spurious wake-up just before the notification looks the same. A debt that does not
             * exist does no harm. */
            listener->woken = result == 0 && notification == GOLOCK_MOVED;
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

/* Waits for the lock that the opener has put into the condition's _waiters. Returns as golock_await
 * does. */
static int
await_lock(golock_listener *listener, golock_deadline deadline)
{
    int taken = golock_mutex_acquire(listener->mutex, deadline);
    return taken > 0 ? GOLOCK_NOTIFIED : taken;
}

/* Marks the listener as spinning, so that its notifier need not wake it. Returns false if it has
 * been notified. Needs no GIL. */
static bool
begin_to_spin(golock_listener *listener)
{
    uint32_t none = 0;
    return __atomic_compare_exchange_n(&listener->notification, &none, GOLOCK_SPINNING, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Ends the spin, with or without a notification. Needs the GIL, as golock_spin_end does. */
static void
end_spin(golock_listener *listener, golock_spin *spin)
{
    uint32_t spins = GOLOCK_SPINNING;
    bool none_came = __atomic_compare_exchange_n(&listener->notification, &spins, 0, false,
                                                 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    golock_spin_end(spin, !none_came);
}

static int
sleep_until_notified(golock_listener *listener, golock_object_record *object,
                     golock_deadline deadline, golock_spin spin, golock_unwoken unwoken)
{
    bool in_time = true;
    while (in_time && (notification_of(listener) == 0 || unwoken.word != NULL)) {
        /* Run the handlers of pending signals, which would not interrupt the sleep. */
        if (unwoken.word == NULL && golock_make_pending_calls(listener->record) < 0) {
            return -1;
        }
        if (!golock_may_spin(&spin)) {
            golock_wait_sleeps(&listener->record, object, spin.since, deadline);
        }
        /* The claimant needs the GIL next, so wake it without the GIL. */
        PyThreadState *thread = golock_detach();
        bool woken = golock_wake(&unwoken);
        bool spins = woken && golock_may_spin(&spin) && begin_to_spin(listener);
        if (spins) {
            golock_spin_while(&spin, &listener->notification, GOLOCK_SPINNING, UINT32_MAX, false);
        } else if (woken) {
            in_time = sleep_detached(listener, deadline);
        }
        golock_attach(listener->record, thread);
        if (spins) {
            end_spin(listener, &spin);
        }
        if (!woken) { /* it has taken time, so look for signals again */
            golock_wake_again(&unwoken);
        }
        unwoken.word = NULL;
    }
    golock_spin_learn(&spin);
    uint32_t notification = notification_of(listener);
    return notification == GOLOCK_MOVED ? GOLOCK_NOTIFIED : (int)notification;
}

/* Ends the record of the wait. A notifier may use it while the listener is in its list. */
static void
end_record(golock_listener *listener, golock_object_record *object, int64_t since)
{
    golock_wait_record *record = listener->record;
    golock_listeners *listeners;
    while (listener->record != NULL &&
           (listeners = __atomic_load_n(&listener->listeners, __ATOMIC_ACQUIRE)) != NULL) {
        lock_list(listeners);
        if (listener->listeners == listeners) {
            listener->record = NULL;
        }
        unlock_list(listeners);
    }
    golock_wait_ends(record, object, since);
}

int
golock_await(golock_listener *listener, golock_object_record *object, golock_deadline deadline,
             const golock_unwoken *unwoken)
{
    const golock_spin spin = golock_spin_begin(deadline, 0);
    int result = sleep_until_notified(listener, object, deadline, spin,
                                      unwoken != NULL ? *unwoken : (golock_unwoken){0});
    end_record(listener, object, spin.since);
    return result == GOLOCK_OPENED ? await_lock(listener, deadline) : result;
}
