/* The type golock.Condition: the class of that name in CPython's Lib/threading.py. Native over
 * golock's own locks, whose internals it uses. Over any other lock the interpreter's algorithm uses
 * the lock's methods. */
#include "primitives/condition.h"

#include "args/bind.h"
#include "args/timeout.h"
#include "base/clock.h"
#include "base/errors.h"
#include "install/install.h"
#include "loops/loops.h"
#include "primitives/lock.h"
#include "primitives/object.h"
#include "primitives/types.h"
#include "waiting/notify.h"
#include "waiting/plain.h"

#include <stddef.h>

#define NO_INLINE __attribute__((noinline))

typedef struct {
    golock_object base;
    bool reentrant; /* the lock is an RLock */
    PyObject *lock; /* a Lock or an RLock, or NULL until the condition is first native; no part of a
                     * cycle */
    golock_listeners listeners;
} ConditionObject;

static int
drop(ConditionObject *self)
{
    Py_CLEAR(self->lock);
    return golock_object_clear((PyObject *)self);
}

static void
condition_dealloc(PyObject *self)
{
    golock_object_free(self, condition_dealloc, (inquiry)drop);
}

static PyObject *
condition_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return golock_green_exchange(golock_object_new(type), args, kwargs);
}

static int
condition_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const golock_name names[] = {GOLOCK_NAME("lock")};
    ConditionObject *self = (ConditionObject *)op;
    PyObject *lock = Py_None;
    if (golock_parse_init_args("Condition", names, 1, 0, args, kwargs, &lock) < 0) {
        return -1;
    }
    golock_state *state = golock_state_of(op);
    bool reentrant = Py_IS_TYPE(lock, state->rlock_type) ||
                     (lock == Py_None && !golock_rlock_is_replaced(state));
    bool native = reentrant || Py_IS_TYPE(lock, state->lock_type);
    /* An own reference: the check of the class may run code that removes the lock from kwargs. */
    lock = native && lock == Py_None ? state->rlock_type->tp_new(state->rlock_type, NULL, NULL)
                                     : Py_NewRef(lock);
    if (lock == NULL) {
        return -1;
    }
    native = native && golock_object_may_be_native(op, &golock_condition_class);
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    native = native && self->base.fresh;
    if (native) {
        self->reentrant = reentrant;
        self->lock = Py_NewRef(lock);
        golock_object_make_native(op, &golock_condition_class);
    }
    GOLOCK_END_CRITICAL_SECTION();
    Py_DECREF(lock);
    return native ? 0 : golock_object_call_init(op, &golock_condition_class, args, kwargs);
}

PyObject *
golock_condition_add(PyObject *op, PyObject *fields, PyObject *lock)
{
    const golock_state *state = golock_state_of(op);
    lock = lock == NULL ? golock_lock_new(state->lock_type) : Py_NewRef(lock);
    PyObject *self = lock == NULL ? NULL : golock_object_new(state->condition_type);
    if (self == NULL) {
        Py_XDECREF(lock);
        return NULL;
    }
    ((ConditionObject *)self)->lock = lock;
    golock_object_make_native(self, &golock_condition_class);
    if (PyDict_SetItemString(fields, "_cond", self) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

/* Opening gives each listener a lock of its own in the interpreter's _waiters; the interpreter's
 * notify releases these locks. */

/* Appends acquired locks to the list and to the deque until there are `length`. Returns 0, or -1
 * with an exception set. */
static int
add_waiters(const golock_state *state, PyObject *locks, PyObject *waiters, Py_ssize_t length)
{
    while (PyList_GET_SIZE(locks) < length) {
        PyObject *lock = golock_lock_new(state->lock_type);
        PyObject *appended = NULL;
        if (lock != NULL &&
            golock_mutex_acquire(&((LockObject *)lock)->mutex, GOLOCK_DO_NOT_WAIT) > 0 &&
            golock_lock_signals(lock) && PyList_Append(locks, lock) == 0) {
            appended = PyObject_CallMethod(waiters, "append", "O", lock);
        }
        Py_XDECREF(lock);
        if (appended == NULL) {
            return -1;
        }
        Py_DECREF(appended);
    }
    return 0;
}

/* The last step of opening. Steals the reference to the dict. Returns false if there is not one
 * lock for each listener: a notification of a task has lapsed meanwhile. */
static bool
commit(ConditionObject *self, PyObject *dict, PyObject *locks)
{
    Py_ssize_t i = 0;
    golock_tasks_lock();
    if (golock_count_listeners(&self->listeners) != PyList_GET_SIZE(locks)) {
        golock_tasks_unlock();
        Py_DECREF(dict);
        return false;
    }
    golock_listener *each = PyList_GET_SIZE(locks) > 0 ? self->listeners.first : NULL;
    for (; each != NULL; each = each->next) {
        each->lock = Py_NewRef(PyList_GET_ITEM(locks, i++));
        each->mutex = &((LockObject *)each->lock)->mutex;
    }
    golock_object_commit((PyObject *)self, dict);
    golock_notify(&self->listeners, GOLOCK_EVERYONE, GOLOCK_OPENED, NULL);
    golock_tasks_unlock();
    return true;
}

static int
condition_open(PyObject *op)
{
    ConditionObject *self = (ConditionObject *)op;
    int result = -1;
    PyObject *fields = golock_object_fields(op, &golock_condition_class, "(O)", self->lock);
    PyObject *waiters = fields == NULL ? NULL : PyMapping_GetItemString(fields, "_waiters");
    PyObject *locks = PyList_New(0);
    PyObject *dict = NULL;
    while (waiters != NULL && locks != NULL) {
        Py_ssize_t length = golock_count_listeners(&self->listeners);
        if (golock_object_opened(op)) { /* code that ran meanwhile has opened it */
            result = 0;
            break;
        }
        if (PyList_GET_SIZE(locks) > length) { /* some were notified: begin again */
            Py_DECREF(locks);
            Py_DECREF(waiters);
            Py_DECREF(fields);
            return condition_open(op);
        }
        if (dict != NULL && PyList_GET_SIZE(locks) == length) {
            if (commit(self, Py_NewRef(dict), locks)) {
                result = 0;
                break;
            }
            continue;
        }
        Py_XSETREF(dict, golock_object_merge(op, fields));
        if (dict == NULL || add_waiters(golock_state_of(op), locks, waiters, length) < 0) {
            break;
        }
    }
    Py_XDECREF(dict);
    Py_XDECREF(locks);
    Py_XDECREF(waiters);
    Py_XDECREF(fields);
    return result;
}

/* acquire, release and locked come from the lock. An opened condition has them in its __dict__, so
 * these methods are called for it only by name. */
static PyObject *
call_field(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *method = golock_object_attribute(self, name);
    PyObject *result =
        method == NULL ? NULL : PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
    Py_XDECREF(method);
    return result;
}

/* Takes a reference to the lock, because the condition may be opened during the wait. */
static PyObject *
acquire_native(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *lock = Py_NewRef(self->lock);
    PyObject *taken = self->reentrant
                          ? golock_rlock_acquire((RLockObject *)lock, args, nargs, kwnames)
                          : golock_lock_acquire((LockObject *)lock, args, nargs, kwnames);
    Py_DECREF(lock);
    return taken;
}

static PyObject *
release_native(ConditionObject *self)
{
    return self->reentrant ? golock_rlock_release((RLockObject *)self->lock, NULL)
                           : golock_lock_release((LockObject *)self->lock, NULL);
}

static PyObject *
condition_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (golock_object_opened(self)) {
        return call_field(self, "acquire", args, nargs, kwnames);
    }
    return acquire_native((ConditionObject *)self, args, nargs, kwnames);
}

static PyObject *
condition_release(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (golock_object_opened(self)) {
        return call_field(self, "release", args, nargs, kwnames);
    }
    if ((nargs > 0 || kwnames != NULL) &&
        golock_parse_args("release", NULL, 0, 0, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    return release_native((ConditionObject *)self);
}

static PyObject *
condition_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (golock_object_opened(self)) {
        return golock_object_call(self, &golock_condition_class, "__enter__", NULL, 0, NULL);
    }
    return acquire_native((ConditionObject *)self, NULL, 0, NULL);
}

static PyObject *
condition_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (golock_object_opened(self)) {
        return golock_object_call(self, &golock_condition_class, "__exit__", args, nargs, NULL);
    }
#if PY_VERSION_HEX >= 0x030F0000
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "__exit__ expected 3 arguments, got %zd", nargs);
        return NULL;
    }
#endif
    return release_native((ConditionObject *)self);
}

/* Below, up to the methods, the condition is native. */

/* Whether the calling thread owns the lock; a Lock has no owner, so whether it is held. */
static bool
is_owned(const ConditionObject *self)
{
    return self->reentrant ? golock_rlock_owned((RLockObject *)self->lock)
                           : golock_mutex_locked(&((LockObject *)self->lock)->mutex);
}

/* Whether the running task owns the lock, an RLock; or -1 with an exception set. */
static int
is_owned_by_task(PyObject *op)
{
    const ConditionObject *self = (ConditionObject *)op;
    return golock_object_is_native(op, &golock_condition_class) && self->reentrant
               ? golock_rlock_owned_by_task((RLockObject *)self->lock)
               : 0;
}

/* `by_task` is what is_owned_by_task has returned, or whether a task owns the lock for other
 * reasons. */
static int
check_owned(const ConditionObject *self, int by_task, const char *message)
{
    if (by_task == 0 && !is_owned(self)) {
        PyErr_SetString(PyExc_RuntimeError, message);
        return -1;
    }
    return by_task < 0 ? -1 : 0;
}

static golock_mutex *
mutex_of(const ConditionObject *self)
{
    return self->reentrant ? &((RLockObject *)self->lock)->mutex
                           : &((LockObject *)self->lock)->mutex;
}

static uint32_t *
closed_waits_of(const ConditionObject *self)
{
    return self->reentrant ? &((RLockObject *)self->lock)->closed_waits
                           : &((LockObject *)self->lock)->closed_waits;
}

/* What is needed to take a released lock again. */
typedef struct {
    PyObject *lock;
    bool reentrant;
    golock_hold hold;       /* of an RLock */
    golock_unwoken unwoken; /* a claimant of the lock */
} saved;

/* Releases the lock, however often it was taken. Returns 0, or -1 with RuntimeError set. On success
 * state->lock is a new reference. */
static int
release_save(const ConditionObject *self, saved *state)
{
    *state = (saved){.lock = self->lock, .reentrant = self->reentrant};
    if (state->reentrant) {
        if (golock_rlock_save((RLockObject *)state->lock, &state->hold, &state->unwoken) < 0) {
            return -1;
        }
    } else {
        LockObject *lock = (LockObject *)state->lock;
        golock_lock_disown(lock);
        if (!golock_mutex_release_defer_wake(&lock->mutex, &state->unwoken)) {
            PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
            return -1;
        }
    }
    Py_INCREF(state->lock);
    return 0;
}

/* Takes the lock again, as often as before, and drops the reference in the state. */
static void
acquire_restore(saved *state, bool woken)
{
    if (state->reentrant) {
        golock_rlock_restore((RLockObject *)state->lock, &state->hold, woken);
    } else {
        golock_mutex_reacquire(&((LockObject *)state->lock)->mutex, woken);
    }
    Py_CLEAR(state->lock);
}

/* Ends a wait whose listener has a lock in _waiters. Returns `result`, or -1 with an exception
 * set. */
static int
leave_waiters(PyObject *self, golock_listener *listener, int result)
{
    if (result <= 0) {
        PyObject *raised = result < 0 ? golock_raised() : NULL;
        PyObject *left = golock_opened_call(self, "stop_waiting", "(O)", listener->lock);
        Py_XDECREF(left);
        if (raised != NULL && left == NULL) {
            golock_chain(raised);
        } else if (raised != NULL) {
            golock_raise(raised);
        }
        if (left == NULL) {
            return -1;
        }
    }
    return result;
}

/* Passes a notification to the next waiter. Preserves an exception that is set. Returns 0, or -1
 * with an exception set that the condition's own notify has raised. */
static int
pass_on(ConditionObject *self)
{
    bool native;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    native = !golock_object_opened((PyObject *)self);
    if (native) {
        golock_notify(&self->listeners, 1, GOLOCK_NOTIFIED, mutex_of(self));
    }
    GOLOCK_END_CRITICAL_SECTION();
    if (native) {
        return 0;
    }
    PyObject *raised = golock_raised();
    PyObject *notified = PyObject_CallMethod((PyObject *)self, "notify", NULL);
    if (raised != NULL && notified == NULL) {
        golock_chain(raised);
    } else if (raised != NULL) {
        golock_raise(raised);
    }
    Py_XDECREF(notified);
    return notified == NULL ? -1 : 0;
}

/* Ends a wait for which golock_await returned `result`, with the lock taken again: until then the
 * waiter can still be notified. Returns as golock_await does. */
static int
finish_wait(ConditionObject *self, golock_listener *listener, int result)
{
    bool opened, notified = false;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    opened = listener->lock != NULL;
    if (!opened) {
        notified = golock_withdraw(listener) != 0;
    }
    GOLOCK_END_CRITICAL_SECTION();
    if (opened) {
        return leave_waiters((PyObject *)self, listener, result);
    }
    if (result >= 0) {
        return notified;
    }
    if (notified) {
        pass_on(self);
    }
    return -1;
}

/* Listens, and releases the lock. Returns 0, or -1 with RuntimeError set. */
static int
listen_without_lock(ConditionObject *self, golock_listener *listener, saved *lock)
{
    golock_listen(&self->listeners, listener);
    if (release_save(self, lock) < 0) {
        golock_withdraw(listener);
        return -1;
    }
    return 0;
}

/* Waits for a notification until the deadline, and always takes the lock again. Returns 1, or 0
 * when the deadline has passed, or -1 with an exception set. Call it outside critical sections: a
 * signal handler may wait, in a loop that never suspends them, for a thread that needs the
 * condition. */
static int
await_and_lock(ConditionObject *self, golock_listener *listener, saved *lock,
               golock_deadline deadline)
{
    int result =
        golock_await(listener, golock_object_known((PyObject *)self, &golock_condition_class),
                     deadline, &lock->unwoken);
    PyObject *raised = result < 0 ? golock_raised() : NULL;
    acquire_restore(lock, listener->woken);
    if (raised != NULL) {
        golock_raise(raised);
    }
    return finish_wait(self, listener, result);
}

void
golock_condition_adopt(PyObject *condition, golock_listeners *from)
{
    golock_move_listeners(from, &((ConditionObject *)condition)->listeners, condition);
}

int
golock_condition_resume(golock_listener *listener, golock_deadline deadline)
{
    ConditionObject *condition = (ConditionObject *)listener->condition;
    int result =
        golock_await(listener, golock_object_known((PyObject *)condition, &golock_condition_class),
                     deadline, NULL);
    PyObject *raised = result < 0 ? golock_raised() : NULL;
    golock_mutex_reacquire(&((LockObject *)condition->lock)->mutex, listener->woken);
    if (raised != NULL) {
        golock_raise(raised);
    }
    return finish_wait(condition, listener, result);
}

void
golock_condition_finish(golock_listener *listener, int result)
{
    if (finish_wait((ConditionObject *)listener->condition, listener, result) < 0 && result >= 0) {
        PyErr_Clear(); /* no memory to tidy up with */
    }
}

void
golock_condition_abandon(golock_listener *listener)
{
    ConditionObject *condition = (ConditionObject *)listener->condition;
    PyObject *raised = golock_raised();
    golock_mutex_reacquire(&((LockObject *)condition->lock)->mutex, listener->woken);
    finish_wait(condition, listener, -1);
    golock_condition_unlock(listener);
    PyErr_Clear(); /* no memory to tidy up with */
    if (raised != NULL) {
        golock_raise(raised);
    }
}

void
golock_condition_unlock(golock_listener *listener)
{
    PyObject *lock = ((ConditionObject *)listener->condition)->lock;
    golock_mutex_release(&((LockObject *)lock)->mutex);
}

static uint32_t
waiting(ConditionObject *self)
{
    return golock_count_listeners(&self->listeners);
}

static PyObject *
call(PyObject *self, const char *method, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return golock_object_call(self, &golock_condition_class, method, args, nargs, kwnames);
}

static bool
is_native(PyObject *self)
{
    return golock_object_is_native(self, &golock_condition_class);
}

enum { NOT_NATIVE = 2 };

/* Waits for a notification. Returns 1, or 0 when the deadline has passed, or -1 with an exception
 * set, or NOT_NATIVE if the interpreter's method has to be called. */
static int
wait_native(ConditionObject *self, golock_deadline deadline)
{
    golock_listener *listener = golock_listener_new();
    if (listener == NULL) {
        return -1;
    }
    saved lock;
    int result = NOT_NATIVE;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    if (is_native((PyObject *)self)) {
        result = listen_without_lock(self, listener, &lock);
    }
    GOLOCK_END_CRITICAL_SECTION();
    if (result == 0) {
        result = await_and_lock(self, listener, &lock, deadline);
    }
    golock_listener_free(listener);
    return result;
}

/* condition_wait with its timeout. Returns a new reference, or NULL with an exception set. */
static PyObject *
wait_for_notification(PyObject *op, PyObject *limit)
{
    ConditionObject *self = (ConditionObject *)op;
    int notified = NOT_NATIVE;
    if (is_native(op) && golock_waits_natively(op)) {
        golock_deadline deadline;
        /* Run the handlers of pending signals: golock_await does so only if it wakes nobody. They
         * do not use up the timeout. */
        if (check_owned(self, is_owned_by_task(op), "cannot wait on un-acquired lock") < 0 ||
            Py_MakePendingCalls() < 0 || golock_parse_timeout(limit, false, &deadline) < 0) {
            return NULL;
        }
        notified =
            wait_native(self, deadline); /* reading the timeout may have run code that opened it */
    }
    if (notified == NOT_NATIVE) {
        return call(op, "wait", &limit, 1, NULL);
    }
    return notified < 0 ? NULL : PyBool_FromLong(notified);
}

static PyObject *
condition_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("timeout")};
    PyObject *timeout = Py_None;
    if (golock_parse_args("wait", names, 1, 0, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    return wait_for_notification(self, timeout);
}

/* Returns the monotonic time plus the timeout, a new reference, or NULL with an exception set. As
 * in threading, the first is a float and the second may be any number. */
static PyObject *
add_to_now(PyObject *timeout)
{
    PyObject *now = PyFloat_FromDouble((double)golock_now() / NS_PER_SECOND);
    PyObject *end = now == NULL ? NULL : PyNumber_Add(now, timeout);
    Py_XDECREF(now);
    return end;
}

/* Returns a new reference to end minus now, or NULL with an exception set. Sets *over if that is
 * not above 0. */
static PyObject *
subtract_now(PyObject *end, bool *over)
{
    PyObject *now = PyFloat_FromDouble((double)golock_now() / NS_PER_SECOND);
    PyObject *left = now == NULL ? NULL : PyNumber_Subtract(end, now);
    int later = left == NULL ? -1 : PyObject_RichCompareBool(end, now, Py_GT);
    Py_XDECREF(now);
    if (later < 0) {
        Py_CLEAR(left);
    }
    *over = later == 0;
    return left;
}

static PyObject *
condition_wait_for(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("predicate"), GOLOCK_NAME("timeout")};
    PyObject *values[2] = {NULL, Py_None};
    if (golock_parse_args("wait_for", names, 2, 1, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    if (!is_native(self)) {
        return call(self, "wait_for", args, nargs, kwnames);
    }
    PyObject *left = Py_NewRef(values[1]), *end = NULL;
    PyObject *result;
    for (;;) {
        result = PyObject_CallNoArgs(values[0]);
        int is_true = result == NULL ? -1 : PyObject_IsTrue(result);
        if (is_true != 0) {
            if (is_true < 0) {
                Py_CLEAR(result);
            }
            break;
        }
        bool over = false;
        if (end != NULL) {
            Py_XSETREF(left, subtract_now(end, &over));
        } else if (values[1] != Py_None) {
            end = add_to_now(values[1]);
        }
        if (over) {
            break;
        }
        Py_CLEAR(result);
        if (left == NULL || (values[1] != Py_None && end == NULL)) {
            break;
        }
        /* The predicate may have opened the condition. Then look up `wait` as the interpreter
         * does. */
        PyObject *waited = is_native(self) ? wait_for_notification(self, left)
                                           : PyObject_CallMethod(self, "wait", "(O)", left);
        if (waited == NULL) {
            break;
        }
        Py_DECREF(waited);
    }
    Py_XDECREF(left);
    Py_XDECREF(end);
    return result;
}

/* Notifies up to n waiters. Returns 1, or 0 if the condition is not native, or -1 with RuntimeError
 * set. */
static int
notify_native(PyObject *op, uint32_t n)
{
    ConditionObject *self = (ConditionObject *)op;
    int result;
    const int by_task = is_owned_by_task(op);
    if (by_task < 0) {
        return -1;
    }
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    result = is_native(op);
    if (result > 0 && check_owned(self, by_task, "cannot notify on un-acquired lock") < 0) {
        result = -1;
    }
    if (result > 0) {
        golock_port_hold();
        golock_notify(&self->listeners, n, GOLOCK_NOTIFIED, mutex_of(self));
        if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
            golock_object_done(op, &golock_condition_class);
        }
    }
    GOLOCK_END_CRITICAL_SECTION();
    return result;
}

/* Reads an int. The interpreter's notify compares and counts down any other n. */
static bool
parse_n(PyObject *n, uint32_t *count)
{
    if (!PyLong_CheckExact(n)) {
        return false;
    }
    int overflow;
    long long whole = PyLong_AsLongLongAndOverflow(n, &overflow);
    if (overflow != 0) {
        *count = overflow > 0 ? GOLOCK_EVERYONE : 0;
    } else {
        *count = whole < 0 ? 0 : whole > GOLOCK_EVERYONE ? GOLOCK_EVERYONE : (uint32_t)whole;
    }
    return true;
}

static PyObject *
condition_notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("n")};
    PyObject *n = NULL;
    if ((nargs > 0 || kwnames != NULL) &&
        golock_parse_args("notify", names, 1, 0, args, nargs, kwnames, &n) < 0) {
        return NULL;
    }
    uint32_t count = 1;
    int notified = n == NULL || parse_n(n, &count) ? notify_native(self, count) : 0;
    if (notified == 0) {
        return call(self, "notify", args, nargs, kwnames);
    }
    return notified < 0 ? NULL : golock_loop_resume(self, Py_NewRef(Py_None));
}

static PyObject *
condition_notify_all(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int notified = notify_native(self, GOLOCK_EVERYONE);
    if (notified == 0) {
        return call(self, "notify_all", NULL, 0, NULL);
    }
    return notified < 0 ? NULL : golock_loop_resume(self, Py_NewRef(Py_None));
}

static PyObject *
condition_notify_all_deprecated(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning,
                     "notifyAll() is deprecated, use notify_all() instead", 1) < 0) {
        return NULL;
    }
    PyObject *result = PyObject_CallMethod(self, "notify_all", NULL);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

/* Returns 0, or -1 with RuntimeError set if tasks cannot wait at the condition. */
static int
check_awaitable(PyObject *op)
{
    return is_native(op) && golock_waits_natively(op) ? 0 : golock_refuse_to_await(op);
}

static PyObject *
condition_acquire_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const ConditionObject *condition = (ConditionObject *)self;
    return check_awaitable(self) < 0 ? NULL
           : condition->reentrant
               ? golock_rlock_acquire_async((RLockObject *)condition->lock, args, nargs, kwnames)
               : golock_lock_acquire_async((LockObject *)condition->lock, args, nargs, kwnames);
}

static PyObject *
condition_aenter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const ConditionObject *condition = (ConditionObject *)self;
    return check_awaitable(self) < 0 ? NULL
           : condition->reentrant    ? golock_rlock_aenter((RLockObject *)condition->lock, NULL)
                                     : golock_lock_aenter((LockObject *)condition->lock, NULL);
}

static PyObject *
condition_aexit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    const ConditionObject *condition = (ConditionObject *)self;
    if (is_native(self) && condition->reentrant) {
        return golock_rlock_aexit((RLockObject *)condition->lock, args, nargs);
    }
    bool forgoes =
        condition->lock != NULL && golock_lock_forgo(closed_waits_of(condition), args, nargs);
    return golock_await_done(golock_state_of(self),
                             forgoes ? Py_NewRef(Py_None) : condition_exit(self, args, nargs));
}

static int
task_try(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(owner))
{
    return 0;
}

/* Listens, and releases the lock. Returns 0, or -1 with an exception set. */
static int
begin_to_listen(golock_waiting *waiting)
{
    ConditionObject *self = (ConditionObject *)waiting->object;
    golock_listener *listener = &waiting->listener;
    saved lock;
    if (check_awaitable(waiting->object) < 0 ||
        check_owned(self,
                    self->reentrant && waiting->owner != NULL &&
                        golock_rlock_task((RLockObject *)self->lock) == waiting->owner,
                    "cannot wait on un-acquired lock") < 0 ||
        golock_waiting_begin(waiting) < 0) {
        return -1;
    }
    int result = NOT_NATIVE;
    listener->task = &waiting->task;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    if (is_native((PyObject *)self)) {
        result = listen_without_lock(self, listener, &lock);
    }
    GOLOCK_END_CRITICAL_SECTION();
    if (result != 0) {
        golock_task_leave(&waiting->task);
        waiting->begun = false;
        return result < 0 ? -1 : golock_refuse_to_await((PyObject *)self);
    }
    waiting->hold = lock.hold;
    golock_port_hold();
    golock_wake_at_once(&lock.unwoken);
    Py_DECREF(lock.lock);
    PyObject *resumed = golock_loop_resume((PyObject *)self, Py_NewRef(Py_None));
    Py_XDECREF(resumed);
    return resumed == NULL ? -1 : 0;
}

/* Once the task is notified, or has ended its wait, it takes the lock again. A notification that
 * lapses while it waits for the lock makes it listen again. */
static int
task_claim(golock_waiting *waiting)
{
    if (!waiting->begun) {
        return begin_to_listen(waiting);
    }
    golock_task *task = &waiting->task;
    int taken = 0;
    waiting->relocks = golock_listener_resumes(&waiting->listener) != 0 || waiting->ended;
    if (waiting->relocks) {
        const ConditionObject *self = (ConditionObject *)waiting->object;
        taken = self->reentrant
                    ? golock_rlock_claim((RLockObject *)self->lock, task, &waiting->hold)
                    : golock_lock_claim((LockObject *)self->lock, task);
    } else if (task->word != NULL) {
        golock_plain_resign(task);
        task->word = NULL;
    }
    if (taken <= 0) {
        golock_listener_suspends(&waiting->listener);
    }
    return taken;
}

/* The wait ends without the lock. `with condition` calls no __aexit__ that would forgo it. */
static void
forgo(const golock_waiting *waiting)
{
    const ConditionObject *self = (ConditionObject *)waiting->object;
    const bool by_thread = self->reentrant && waiting->hold.task == NULL;
    if (!by_thread) {
        __atomic_add_fetch(closed_waits_of(self), self->reentrant ? waiting->hold.count : 1,
                           __ATOMIC_RELAXED);
    }
}

static int
task_leave(golock_waiting *waiting)
{
    golock_listener *listener = &waiting->listener;
    if (waiting->gives_up) {
        forgo(waiting);
    }
    if (!golock_port_is_own(waiting->task.port)) {
        return 0;
    }
    const bool notified = golock_withdraw(listener) != 0;
    const bool opened = listener->lock != NULL;
    if (waiting->task.word != NULL) {
        golock_plain_resign(&waiting->task);
    } else {
        golock_task_leave(&waiting->task);
    }
    int left = opened ? leave_waiters(waiting->object, listener, 0) : 0;
    Py_CLEAR(listener->lock);
    if (left < 0 || !notified || !waiting->fails) {
        return left < 0 ? -1 : notified;
    }
    const bool may_notify = !opened || !waiting->gives_up; /* an opened one only with the lock */
    return may_notify ? pass_on((ConditionObject *)waiting->object) : 0;
}

static void
task_taken(const golock_waiting *waiting)
{
    golock_mutex_record_task(mutex_of((ConditionObject *)waiting->object));
}

static golock_object_record *
task_known(const golock_waiting *waiting)
{
    return waiting->relocks ? golock_mutex_known(mutex_of((ConditionObject *)waiting->object))
                            : golock_object_known(waiting->object, &golock_condition_class);
}

#define AWAITED(is_owned)                                                                          \
    {                                                                                              \
        .name = "Condition.wait_async",                                                            \
        .function = "wait_at_condition",                                                           \
        .owned = is_owned,                                                                         \
        .try = task_try,                                                                           \
        .claim = task_claim,                                                                       \
        .leave = task_leave,                                                                       \
        .known = task_known,                                                                       \
        .taken = task_taken,                                                                       \
    }
static const golock_awaited awaited = AWAITED(false);
static const golock_awaited awaited_by_owner = AWAITED(true);

static const golock_awaited *
awaited_of(PyObject *self)
{
    return ((ConditionObject *)self)->reentrant ? &awaited_by_owner : &awaited;
}

static PyObject *
condition_wait_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *timeout = Py_None;
    if (golock_parse_async("wait_async", args, nargs, kwnames, &timeout) < 0 ||
        check_awaitable(self) < 0) {
        return NULL;
    }
    return golock_await_object(golock_state_of(self), awaited_of(self), self, timeout);
}

/* wait_async for the task that has called wait_for_async, though another may run it. `bound` has
 * the condition and, unless no task ran, the weak reference to that task. */
static PyObject *
wait_async_for_caller(PyObject *bound, PyObject *timeout)
{
    PyObject *self = PyTuple_GET_ITEM(bound, 0);
    PyObject *owner = PyTuple_GET_SIZE(bound) > 1 ? PyTuple_GET_ITEM(bound, 1) : NULL;
    return check_awaitable(self) < 0
               ? NULL
               : golock_await_by(golock_state_of(self), awaited_of(self), self, timeout, owner);
}

/* Returns a new reference to wait_async_for_caller, or NULL with an exception set. */
static PyObject *
bind_caller(PyObject *self)
{
    static PyMethodDef method = {"wait_async", wait_async_for_caller, METH_O, NULL};
    PyObject *owner = NULL;
    if (awaited_of(self)->owned && golock_running_task(golock_state_of(self), &owner) < 0) {
        return NULL;
    }
    PyObject *bound = owner == NULL ? PyTuple_Pack(1, self) : PyTuple_Pack(2, self, owner);
    PyObject *wait = bound == NULL ? NULL : PyCFunction_New(&method, bound);
    Py_XDECREF(bound);
    Py_XDECREF(owner);
    return wait;
}

static PyObject *
condition_wait_for_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("predicate"), GOLOCK_NAME("timeout")};
    PyObject *values[3] = {NULL, NULL, Py_None};
    if (golock_parse_args("wait_for_async", names, 2, 1, args, nargs, kwnames, values + 1) < 0 ||
        check_awaitable(self) < 0) {
        return NULL;
    }
    values[0] = bind_caller(self);
    PyObject *coroutine = values[0] == NULL ? NULL : golock_call_loops("wait_for", values, 3);
    Py_XDECREF(values[0]);
    return coroutine;
}

static PyObject *
condition_is_owned(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (golock_object_opened(self)) {
        return call(self, "_is_owned", NULL, 0, NULL);
    }
    int owned = is_owned((ConditionObject *)self) ? 1 : is_owned_by_task(self);
    return owned < 0 ? NULL : PyBool_FromLong(owned);
}

static PyObject *
condition_release_save(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (golock_object_opened(self)) {
        return call(self, "_release_save", NULL, 0, NULL);
    }
    const ConditionObject *condition = (ConditionObject *)self;
    if (condition->reentrant) {
        return golock_rlock_release_save((RLockObject *)condition->lock, NULL);
    }
    saved state;
    if (release_save(condition, &state) < 0) {
        return NULL;
    }
    golock_wake_at_once(&state.unwoken);
    Py_DECREF(state.lock);
    Py_RETURN_NONE;
}

static PyObject *
condition_acquire_restore(PyObject *self, PyObject *value)
{
    if (golock_object_opened(self)) {
        return call(self, "_acquire_restore", &value, 1, NULL);
    }
    const ConditionObject *condition = (ConditionObject *)self;
    saved state = {.lock = Py_NewRef(condition->lock), .reentrant = condition->reentrant};
    if (state.reentrant &&
        !(PyTuple_Check(value) &&
          PyArg_ParseTuple(value, "kk;_acquire_restore", &state.hold.count, &state.hold.owner))) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError,
                            "_acquire_restore() requires what _release_save() returned");
        }
        Py_DECREF(state.lock);
        return NULL;
    }
    acquire_restore(&state, false);
    Py_RETURN_NONE;
}

static PyObject *
condition_at_fork_reinit(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    ConditionObject *self = (ConditionObject *)op;
    if (golock_object_opened(op)) {
        return call(op, "_at_fork_reinit", NULL, 0, NULL);
    }
    if (self->reentrant) {
        golock_rlock_reset((RLockObject *)self->lock);
    } else {
        golock_mutex_reset(&((LockObject *)self->lock)->mutex);
    }
    golock_forget_listeners(&self->listeners);
    Py_RETURN_NONE;
}

#if PY_VERSION_HEX >= 0x030E0000
static PyObject *
condition_locked(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (golock_object_opened(self)) {
        return call_field(self, "locked", args, nargs, kwnames);
    }
    if (golock_parse_args("locked", NULL, 0, 0, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    const ConditionObject *condition = (ConditionObject *)self;
    return PyBool_FromLong(golock_mutex_locked(condition->reentrant
                                                   ? &((RLockObject *)condition->lock)->mutex
                                                   : &((LockObject *)condition->lock)->mutex));
}
#endif

static PyObject *
condition_repr(PyObject *self)
{
    if (!is_native(self)) {
        return call(self, "__repr__", NULL, 0, NULL);
    }
    ConditionObject *condition = (ConditionObject *)self;
    return PyUnicode_FromFormat("<Condition(%S, %u)>", condition->lock,
                                (unsigned)waiting(condition));
}

static PyObject *
native_lock(PyObject *self)
{
    return Py_NewRef(((ConditionObject *)self)->lock);
}

GOLOCK_DEFINE_FIELD(field_lock, golock_condition_class, "_lock", native_lock);
GOLOCK_DEFINE_FIELD(field_waiters, golock_condition_class, "_waiters", NULL);

PyDoc_STRVAR(condition_doc,
             "Condition(lock=None)\n--\n\n"
             "Lets threads wait for a change of what a lock guards.\n\n"
             "The lock is a Lock or an RLock, golock's or another; with None, a new RLock.");

PyDoc_STRVAR(
    wait_doc,
    "wait($self, /, timeout=None)\n--\n\n"
    "Release the lock, wait for a notification, take the lock again, and return True.\n\n"
    "Return False if there is none within timeout seconds (None: no limit); a notification\n"
    "that arrives before the lock is taken again still counts. A signal handler that\n"
    "raises ends the wait, and a notification is passed on.\n\n"
    "Raises RuntimeError if the lock is not held, OverflowError for a timeout that is too\n"
    "large, ValueError for NaN. The lock is held whenever wait returns or raises.");

PyDoc_STRVAR(wait_for_doc,
             "wait_for($self, /, predicate, timeout=None)\n--\n\n"
             "Wait until predicate() is true, and return its last result.\n\n"
             "After timeout seconds (None: no limit) return its last result in any case. Raises\n"
             "what wait and the predicate raise.");

PyDoc_STRVAR(
    wait_async_doc,
    "wait_async($self, /, timeout=None)\n--\n\n"
    "Return an awaitable that does what wait does, for a task.\n\n"
    "When the task is cancelled it takes the lock again before it raises; a notification that\n"
    "it got meanwhile is passed on.\n\n"
    "Raises RuntimeError if the lock is not held, TypeError or ValueError for what is no\n"
    "number of seconds.");

PyDoc_STRVAR(wait_for_async_doc,
             "wait_for_async($self, /, predicate, timeout=None)\n--\n\n"
             "Return an awaitable that does what wait_for does, for a task. The predicate is no\n"
             "coroutine function.");

PyDoc_STRVAR(notify_doc, "notify($self, /, n=1)\n--\n\n"
                         "Wake the n threads that have waited longest, or all if fewer wait.\n\n"
                         "Raises RuntimeError if the lock is not held.");

#define METHOD(name, function, doc)                                                                \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef condition_methods[] = {
    METHOD("acquire", condition_acquire,
           PyDoc_STR("acquire($self, /, *args, **kwargs)\n--\n\nCall the acquire of the lock.")),
    METHOD("release", condition_release,
           PyDoc_STR("release($self, /)\n--\n\nCall the release of the lock.")),
#if PY_VERSION_HEX >= 0x030E0000
    METHOD("locked", condition_locked,
           PyDoc_STR("locked($self, /)\n--\n\nReturn whether the lock is held.")),
#endif
    {"__enter__", condition_enter, METH_NOARGS,
     PyDoc_STR("__enter__($self, /)\n--\n\nTake the lock.")},
    {"__exit__", (PyCFunction)(void (*)(void))condition_exit, METH_FASTCALL,
     PyDoc_STR("__exit__($self, /, *args)\n--\n\nRelease the lock.")},
    METHOD("wait", condition_wait, wait_doc),
    METHOD("wait_for", condition_wait_for, wait_for_doc),
    METHOD("notify", condition_notify, notify_doc),
    METHOD("acquire_async", condition_acquire_async,
           PyDoc_STR("acquire_async($self, /, timeout=None)\n--\n\n"
                     "Return what acquire_async of the lock returns.\n\n"
                     "Raises RuntimeError if the lock is not golock's.")),
    {"__aenter__", condition_aenter, METH_NOARGS,
     PyDoc_STR("__aenter__($self, /)\n--\n\nReturn an awaitable that takes the lock.")},
    {"__aexit__", (PyCFunction)(void (*)(void))condition_aexit, METH_FASTCALL,
     PyDoc_STR("__aexit__($self, /, *args)\n--\n\nRelease the lock.")},
    METHOD("wait_async", condition_wait_async, wait_async_doc),
    METHOD("wait_for_async", condition_wait_for_async, wait_for_async_doc),
    {"notify_all", condition_notify_all, METH_NOARGS,
     PyDoc_STR(
         "notify_all($self, /)\n--\n\nWake all threads that wait.\n\nRaises RuntimeError when the "
         "lock is not "
         "taken.")},
    {"notifyAll", condition_notify_all_deprecated, METH_NOARGS,
     PyDoc_STR("notifyAll($self, /)\n--\n\nThe old name of notify_all.")},
    {"_is_owned", condition_is_owned, METH_NOARGS,
     PyDoc_STR("_is_owned($self, /)\n--\n\nReturn whether the lock is taken, by the calling thread "
               "if it is "
               "an RLock.")},
    {"_release_save", condition_release_save, METH_NOARGS,
     PyDoc_STR("_release_save($self, /)\n--\n\nRelease the lock, and return what _acquire_restore "
               "wants.")},
    {"_acquire_restore", condition_acquire_restore, METH_O,
     PyDoc_STR("_acquire_restore($self, x, /)\n--\n\nTake the lock as it was.")},
    {"_at_fork_reinit", condition_at_fork_reinit, METH_NOARGS,
     PyDoc_STR("_at_fork_reinit($self, /)\n--\n\nReset lock and waiters, in a child process just "
               "forked.")},
    GOLOCK_OBJECT_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef condition_getset[] = {
    GOLOCK_OBJECT_DICT(golock_condition_class),
    GOLOCK_FIELD(field_lock, "The lock."),
    GOLOCK_FIELD(field_waiters, "The locks of the threads that wait."),
    {NULL, NULL, NULL, NULL, NULL},
};

static const char *const used[] = {
#if PY_VERSION_HEX >= 0x030E0000
    "locked",
#endif
    "_lock",     "acquire", "release",  "_waiters", "_release_save", "_acquire_restore",
    "_is_owned", "wait",    "wait_for", "notify",   "notify_all",    NULL,
};

const golock_class golock_condition_class = {
    .number = GOLOCK_CONDITIONS,
    .name = "Condition",
    .used = used,
    .open = condition_open,
    .traits = {.kind = GOLOCK_KIND_CONDITION},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_new, condition_new},
    {Py_tp_init, condition_init},
    {Py_tp_dealloc, condition_dealloc},
    {Py_tp_traverse, golock_object_traverse},
    {Py_tp_clear, golock_object_clear},
    {Py_tp_repr, condition_repr},
    {Py_tp_doc, (void *)condition_doc},
    {Py_tp_methods, condition_methods},
    {Py_tp_members, golock_object_members},
    {Py_tp_getset, condition_getset},
    {0, NULL},
};

PyType_Spec golock_condition_spec = {
    .name = "threading.Condition",
    .basicsize = sizeof(ConditionObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = condition_slots,
};
