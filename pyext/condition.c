/* The type golock.Condition: the class of that name in CPython's Lib/threading.py. Over golock's own locks it
 * looks into them; any other lock it uses by its methods. */
#include "corecall.h"
#include "lock.h"
#include "object.h"

#include <stddef.h>

#define NO_INLINE __attribute__((noinline))

enum kind { OTHER, LOCK, RLOCK };

/* The methods of another lock. The first ones it must have. */
enum { ACQUIRE, RELEASE, LOCKED, RELEASE_SAVE, ACQUIRE_RESTORE, IS_OWNED, METHODS };

static const char *const method_names[METHODS] = {
    "acquire", "release", "locked", "_release_save", "_acquire_restore", "_is_owned",
};

#if PY_VERSION_HEX >= 0x030E0000
#define REQUIRED RELEASE_SAVE
#else
#define REQUIRED LOCKED
#endif

typedef struct {
    golock_object base;
    uint32_t word;
    enum kind kind;
    PyObject *lock; /* NULL before __init__ */
    PyObject *methods[METHODS];
} ConditionObject;

#define AS_LOCK(self) ((LockObject *)(self)->lock)
#define AS_RLOCK(self) ((RLockObject *)(self)->lock)

static int
condition_traverse(ConditionObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->lock);
    for (int i = 0; i < METHODS; i++) {
        Py_VISIT(self->methods[i]);
    }
    return golock_object_traverse((PyObject *)self, visit, arg);
}

static int
condition_clear(ConditionObject *self)
{
    self->kind = OTHER;
    Py_CLEAR(self->lock);
    for (int i = 0; i < METHODS; i++) {
        Py_CLEAR(self->methods[i]);
    }
    return golock_object_clear((PyObject *)self);
}

static void
condition_dealloc(PyObject *self)
{
    golock_object_free(self, (inquiry)condition_clear);
}

/* Binds the methods of another lock. Returns 0, or -1 with AttributeError set when it has no acquire or no
 * release. */
static int
bind_methods(ConditionObject *self)
{
    for (int i = 0; i < METHODS; i++) {
        PyObject *method = PyObject_GetAttrString(self->lock, method_names[i]);
        if (method == NULL) {
            if (i < REQUIRED || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
                return -1;
            }
            PyErr_Clear();
        }
        Py_XSETREF(self->methods[i], method);
    }
    return 0;
}

static int
condition_init(ConditionObject *self, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"lock"};
    PyObject *lock = Py_None;
    if (golock_bind_init("Condition", names, 1, 0, args, kwargs, &lock) < 0) {
        return -1;
    }
    const golock_state *state = golock_state_of((PyObject *)self);
    if (lock == Py_None) {
        lock = state->rlock_type->tp_new(state->rlock_type, NULL, NULL);
        if (lock == NULL) {
            return -1;
        }
    } else {
        Py_INCREF(lock);
    }
    self->kind = OTHER;
    Py_XSETREF(self->lock, lock);
    if (Py_IS_TYPE(lock, state->lock_type)) {
        self->kind = LOCK;
    } else if (Py_IS_TYPE(lock, state->rlock_type)) {
        self->kind = RLOCK;
    }
    return self->kind == OTHER ? bind_methods(self) : 0;
}

/* A thread that may wait, or run code that is not golock's, has references of its own to what it uses of the
 * condition: __init__ may be called again meanwhile. */

/* Returns a new reference to what the lock's method returns. */
static PyObject *
call(ConditionObject *self, int method, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (self->methods[method] == NULL) {
        PyErr_Format(PyExc_AttributeError, "the lock of the condition has no method '%s'",
                     method_names[method]);
        return NULL;
    }
    PyObject *bound = Py_NewRef(self->methods[method]);
    PyObject *result = PyObject_Vectorcall(bound, args, (size_t)nargs, kwnames);
    Py_DECREF(bound);
    return result;
}

static PyObject *
condition_acquire(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (self->kind == OTHER) {
        return call(self, ACQUIRE, args, nargs, kwnames);
    }
    PyObject *lock = Py_NewRef(self->lock);
    PyObject *taken = self->kind == LOCK ? golock_lock_acquire((LockObject *)lock, args, nargs, kwnames)
                                         : golock_rlock_acquire((RLockObject *)lock, args, nargs, kwnames);
    Py_DECREF(lock);
    return taken;
}

static PyObject *
condition_release(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (self->kind == OTHER) {
        return call(self, RELEASE, args, nargs, kwnames);
    }
    if ((nargs > 0 || kwnames != NULL) &&
        golock_bind("release", NULL, 0, 0, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    return self->kind == LOCK ? golock_lock_release(AS_LOCK(self), NULL)
                              : golock_rlock_release(AS_RLOCK(self), NULL);
}

static PyObject *
condition_enter(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->kind == OTHER && self->lock != NULL) {
        return PyObject_CallMethod(self->lock, "__enter__", NULL);
    }
    return condition_acquire(self, NULL, 0, NULL);
}

static PyObject *
condition_exit(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs)
{
#if PY_VERSION_HEX >= 0x030F0000
    if (self->kind != OTHER && nargs != 3) {
        PyErr_Format(PyExc_TypeError, "__exit__ expected 3 arguments, got %zd", nargs);
        return NULL;
    }
#endif
    if (self->kind == LOCK) {
        return golock_lock_release(AS_LOCK(self), NULL);
    }
    if (self->kind == RLOCK) {
        return golock_rlock_release(AS_RLOCK(self), NULL);
    }
    if (self->lock == NULL) {
        return call(self, RELEASE, NULL, 0, NULL);
    }
    PyObject *exit = PyObject_GetAttrString(self->lock, "__exit__");
    PyObject *result = exit == NULL ? NULL : PyObject_Vectorcall(exit, args, (size_t)nargs, NULL);
    Py_XDECREF(exit);
    return result;
}

/* Whether the calling thread has the lock; of a Lock, which knows no owner, whether anybody has. Returns 1 or
 * 0, or -1 with what a method of another lock raised. */
static int
is_owned(ConditionObject *self)
{
    if (self->kind == LOCK) {
        return golock_mutex_locked(&AS_LOCK(self)->mutex);
    }
    if (self->kind == RLOCK) {
        return golock_rlock_owned(AS_RLOCK(self));
    }
    if (self->methods[IS_OWNED] != NULL) {
        PyObject *owned = call(self, IS_OWNED, NULL, 0, NULL);
        int result = owned == NULL ? -1 : PyObject_IsTrue(owned);
        Py_XDECREF(owned);
        return result;
    }
    PyObject *taken = call(self, ACQUIRE, (PyObject *[]){Py_False}, 1, NULL);
    int free = taken == NULL ? -1 : PyObject_IsTrue(taken);
    Py_XDECREF(taken);
    if (free <= 0) {
        return free < 0 ? -1 : 1;
    }
    PyObject *released = call(self, RELEASE, NULL, 0, NULL);
    Py_XDECREF(released);
    return released == NULL ? -1 : 0;
}

static int
check_owned(ConditionObject *self, const char *message)
{
    int owned = is_owned(self);
    if (owned == 0) {
        PyErr_SetString(PyExc_RuntimeError, message);
    }
    return owned > 0 ? 0 : -1;
}

/* What a lock is freed with and taken again. */
typedef struct {
    enum kind kind;
    PyObject *lock;             /* of another lock, the method that takes it again */
    bool restores;              /* whether that method takes an argument */
    PyObject *other;            /* which is what _release_save returned */
    unsigned long count, owner; /* of an RLock */
} saved;

static saved
save(ConditionObject *self)
{
    if (self->kind != OTHER) {
        return (saved){.kind = self->kind, .lock = Py_NewRef(self->lock)};
    }
    bool restores = self->methods[ACQUIRE_RESTORE] != NULL;
    PyObject *method = self->methods[restores ? ACQUIRE_RESTORE : ACQUIRE];
    return (saved){.kind = OTHER, .lock = Py_XNewRef(method), .restores = restores};
}

static void
forget(saved *state)
{
    Py_CLEAR(state->lock);
    Py_CLEAR(state->other);
}

/* Frees the lock, however often it was taken. Returns 0, or -1 with an exception set. */
static int
release_save(ConditionObject *self, saved *state)
{
    *state = save(self);
    int result;
    if (state->kind == LOCK) {
        result = 0;
        if (!golock_mutex_release(&((LockObject *)state->lock)->mutex)) {
            PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
            result = -1;
        }
    } else if (state->kind == RLOCK) {
        result = golock_rlock_save((RLockObject *)state->lock, &state->count, &state->owner);
    } else {
        int method = self->methods[RELEASE_SAVE] != NULL ? RELEASE_SAVE : RELEASE;
        state->other = call(self, method, NULL, 0, NULL);
        result = state->other == NULL ? -1 : 0;
    }
    if (result < 0) {
        forget(state);
        return -1;
    }
    return 0;
}

/* Takes the lock again, as often as before, and forgets the state. Returns 0, or -1 with an exception set. */
static int
acquire_restore(saved *state)
{
    int result = 0;
    if (state->kind == LOCK) {
        golock_mutex_reacquire(&((LockObject *)state->lock)->mutex);
    } else if (state->kind == RLOCK) {
        golock_rlock_restore((RLockObject *)state->lock, state->count, state->owner);
    } else {
        PyObject *taken = PyObject_Vectorcall(state->lock, &state->other, state->restores ? 1 : 0, NULL);
        Py_XDECREF(taken);
        result = taken == NULL ? -1 : 0;
    }
    forget(state);
    return result;
}

/* Takes the lock again though an exception is set, which stays so. */
static void
acquire_restore_raising(saved *state)
{
    PyObject *raised = golock_raised();
    if (acquire_restore(state) < 0) {
        golock_chain(raised);
    } else {
        golock_raise(raised);
    }
}

/* Gives a notification to the next waiter, though an exception is set, which stays so. */
static void
pass_on(ConditionObject *self)
{
    PyObject *raised = golock_raised();
    if (golock_notify(golock_state_of((PyObject *)self), &self->word, 1, GOLOCK_TOLD) < 0) {
        golock_chain(raised);
    } else {
        golock_raise(raised);
    }
}

/* Waits for a notification until timeout nanoseconds (-1: no limit) have passed, without the lock. Returns 1,
 * or 0 when the time ran out, or -1 with an exception set. The lock is taken again in any case. */
static int
wait_without_lock(ConditionObject *self, golock_listening *listening, int64_t timeout)
{
    const golock_state *state = golock_state_of((PyObject *)self);
    int64_t deadline = golock_deadline_after(timeout);
    if (golock_listen(state, &self->word, listening) < 0) {
        return -1;
    }
    saved lock;
    if (release_save(self, &lock) < 0) {
        golock_withdraw(&self->word, listening);
        return -1;
    }
    int64_t told = golock_await(state, &self->word, listening, deadline);
    if (told < 0) {
        acquire_restore_raising(&lock);
        if (golock_withdraw(&self->word, listening) != 0) {
            pass_on(self);
        }
        return -1;
    }
    /* Not before it has the lock again does a waiter give up: until then it can be notified. */
    if (acquire_restore(&lock) < 0) {
        golock_withdraw(&self->word, listening);
        return -1;
    }
    return golock_withdraw(&self->word, listening) != 0;
}

/* Waits for a notification, see condition_wait. */
static int
wait_for_notification(ConditionObject *self, PyObject *limit)
{
    if (check_owned(self, "cannot wait on un-acquired lock") < 0) {
        return -1;
    }
    int64_t timeout;
    if (golock_parse_timeout(limit, false, &timeout) < 0) {
        return -1;
    }
    golock_listening *listening = golock_listening_new();
    if (listening == NULL) {
        return -1;
    }
    int notified = wait_without_lock(self, listening, timeout);
    PyMem_RawFree(listening);
    return notified;
}

static PyObject *
condition_wait(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout = Py_None;
    if (golock_bind("wait", names, 1, 0, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    int notified = wait_for_notification(self, timeout);
    return notified < 0 ? NULL : PyBool_FromLong(notified);
}

/* Calls wait, that of a derived class if it has one. Returns 0, or -1 with an exception set. */
static int
call_wait(ConditionObject *self, PyObject *timeout)
{
    if (golock_object_exact((PyObject *)self, condition_dealloc)) {
        return wait_for_notification(self, timeout) < 0 ? -1 : 0;
    }
    PyObject *result = PyObject_CallMethod((PyObject *)self, "wait", "O", timeout);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* As threading does it, the end is the sum of a float and what was given. Returns a new reference. */
static PyObject *
add_to_now(PyObject *timeout)
{
    PyObject *now = PyFloat_FromDouble((double)golock_now() / NANOSECONDS);
    PyObject *end = now == NULL ? NULL : PyNumber_Add(now, timeout);
    Py_XDECREF(now);
    return end;
}

/* Returns a new reference to end minus now, or NULL with an exception set; sets *over when that is not above
 * 0. */
static PyObject *
subtract_now(PyObject *end, bool *over)
{
    PyObject *now = PyFloat_FromDouble((double)golock_now() / NANOSECONDS);
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
condition_wait_for(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"predicate", "timeout"};
    PyObject *values[2] = {NULL, Py_None};
    if (golock_bind("wait_for", names, 2, 1, args, nargs, kwnames, values) < 0) {
        return NULL;
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
        bool failed = left == NULL || (values[1] != Py_None && end == NULL) || call_wait(self, left) < 0;
        Py_CLEAR(result);
        if (failed) {
            break;
        }
    }
    Py_XDECREF(left);
    Py_XDECREF(end);
    return result;
}

/* Returns how many of the `waiting` waiters notify(n) means, or -1 with an exception set. */
static int64_t
parse_n(PyObject *n, uint32_t waiting)
{
    /* n is compared with 0, and counted down, for as long as there are waiters. */
    if (PyLong_CheckExact(n)) {
        int overflow;
        long long whole = PyLong_AsLongLongAndOverflow(n, &overflow);
        return overflow > 0 || whole > waiting ? waiting : overflow < 0 || whole < 0 ? 0 : whole;
    }
    PyObject *zero = PyLong_FromLong(0), *one = PyLong_FromLong(1);
    PyObject *left = Py_NewRef(n);
    int64_t count = 0;
    while (zero != NULL && one != NULL && left != NULL && count < waiting) {
        int more = PyObject_RichCompareBool(left, zero, Py_GT);
        if (more <= 0) {
            count = more < 0 ? -1 : count;
            break;
        }
        count++;
        Py_SETREF(left, PyNumber_Subtract(left, one));
    }
    if (zero == NULL || one == NULL || left == NULL) {
        count = -1;
    }
    Py_XDECREF(zero);
    Py_XDECREF(one);
    Py_XDECREF(left);
    return count;
}

static uint32_t
waiting(const ConditionObject *self)
{
    return __atomic_load_n(&self->word, __ATOMIC_RELAXED);
}

/* How many there may be to notify. */
static uint32_t
to_notify(const ConditionObject *self)
{
    return golock_has_inherited() ? GOLOCK_EVERYONE : waiting(self);
}

NO_INLINE static PyObject *
notify_some(ConditionObject *self, PyObject *n)
{
    int64_t count = n == NULL ? 1 : parse_n(n, to_notify(self));
    if (count < 0 || (count > 0 && golock_notify(golock_state_of((PyObject *)self), &self->word,
                                                 (uint32_t)count, GOLOCK_TOLD) < 0)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
condition_notify(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"n"};
    PyObject *n = NULL;
    if ((nargs > 0 || kwnames != NULL) && golock_bind("notify", names, 1, 0, args, nargs, kwnames, &n) < 0) {
        return NULL;
    }
    if (check_owned(self, "cannot notify on un-acquired lock") < 0) {
        return NULL;
    }
    if (to_notify(self) == 0) {
        Py_RETURN_NONE;
    }
    return notify_some(self, n);
}

static PyObject *
condition_notify_all(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!golock_object_exact((PyObject *)self, condition_dealloc)) {
        return PyObject_CallMethod((PyObject *)self, "notify", "I", waiting(self));
    }
    if (check_owned(self, "cannot notify on un-acquired lock") < 0) {
        return NULL;
    }
    if (to_notify(self) != 0 &&
        golock_notify(golock_state_of((PyObject *)self), &self->word, GOLOCK_EVERYONE, GOLOCK_TOLD) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
golock_condition_acquire(PyObject *condition)
{
    return condition_acquire((ConditionObject *)condition, NULL, 0, NULL);
}

PyObject *
golock_condition_release(PyObject *condition)
{
    return condition_release((ConditionObject *)condition, NULL, 0, NULL);
}

PyObject *
golock_condition_notify_all(PyObject *condition)
{
    return condition_notify_all((ConditionObject *)condition, NULL);
}

static PyObject *
condition_notify_all_deprecated(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning, "notifyAll() is deprecated, use notify_all() instead", 1) <
        0) {
        return NULL;
    }
    return PyObject_CallMethod((PyObject *)self, "notify_all", NULL);
}

static PyObject *
condition_is_owned(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    int owned = is_owned(self);
    return owned < 0 ? NULL : PyBool_FromLong(owned);
}

static PyObject *
condition_release_save(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    bool saves = self->methods[RELEASE_SAVE] != NULL;
    saved state;
    if (release_save(self, &state) < 0) {
        return NULL;
    }
    PyObject *result = state.kind == RLOCK ? Py_BuildValue("kk", state.count, state.owner)
                                           : Py_NewRef(saves ? state.other : Py_None);
    forget(&state);
    return result;
}

static PyObject *
condition_acquire_restore(ConditionObject *self, PyObject *value)
{
    if (self->kind == OTHER && self->lock == NULL) {
        return call(self, ACQUIRE, NULL, 0, NULL);
    }
    saved state = save(self);
    if (state.kind == RLOCK && !PyArg_Parse(value, "(kk);_acquire_restore", &state.count, &state.owner)) {
        forget(&state);
        return NULL;
    }
    state.other = Py_NewRef(value);
    if (acquire_restore(&state) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
condition_at_fork_reinit(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->kind == LOCK) {
        golock_mutex_reset(&AS_LOCK(self)->mutex);
    } else if (self->kind == RLOCK) {
        golock_rlock_reset(AS_RLOCK(self));
    } else if (self->lock != NULL) {
        PyObject *result = PyObject_CallMethod(self->lock, "_at_fork_reinit", NULL);
        if (result == NULL) {
            return NULL;
        }
        Py_DECREF(result);
    }
    __atomic_store_n(&self->word, 0, __ATOMIC_RELAXED);
    Py_RETURN_NONE;
}

#if PY_VERSION_HEX >= 0x030E0000
static PyObject *
condition_locked(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (self->kind == OTHER) {
        return call(self, LOCKED, args, nargs, kwnames);
    }
    if (golock_bind("locked", NULL, 0, 0, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    return PyBool_FromLong(
        golock_mutex_locked(self->kind == LOCK ? &AS_LOCK(self)->mutex : &AS_RLOCK(self)->mutex));
}
#endif

static PyObject *
condition_repr(ConditionObject *self)
{
    return PyUnicode_FromFormat("<Condition(%S, %u)>", self->lock == NULL ? Py_None : self->lock,
                                (unsigned)waiting(self));
}

static PyObject *
get_waiters(ConditionObject *self, void *Py_UNUSED(closure))
{
    PyObject *waiters = PyTuple_New(waiting(self));
    for (Py_ssize_t i = 0; waiters != NULL && i < PyTuple_GET_SIZE(waiters); i++) {
        PyTuple_SET_ITEM(waiters, i, Py_NewRef(Py_None));
    }
    return waiters;
}

PyDoc_STRVAR(condition_doc,
             "Condition(lock=None)\n--\n\n"
             "A place to wait at until what a lock guards has changed.\n\n"
             "The lock is a Lock or an RLock, golock's or another; a new RLock if None is given.");

PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Free the lock, wait to be notified, take the lock again, and return True.\n\n"
             "Return False when timeout seconds have passed before; the lock is taken again\n"
             "first, and one that is notified until then returns True. A signal handler that raises\n"
             "ends the wait; a notification goes to another then.\n\n"
             "Raises RuntimeError when the lock is not taken, OverflowError for a timeout that\n"
             "is too large, ValueError for NaN, CoreError when the lock core cannot be loaded. The lock\n"
             "is taken whenever wait returns or raises.");

PyDoc_STRVAR(wait_for_doc,
             "wait_for($self, /, predicate, timeout=None)\n--\n\n"
             "Wait until predicate() is true, and return what it returned last.\n\n"
             "With a timeout that is what it returned when so many seconds had passed. Raises what\n"
             "wait raises, and what the predicate raises.");

PyDoc_STRVAR(notify_doc, "notify($self, /, n=1)\n--\n\n"
                         "Wake up to n of those that wait, those that have waited longest.\n\n"
                         "Raises RuntimeError when the lock is not taken.");

#define METHOD(name, function, doc)                                                                          \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef condition_methods[] = {
    METHOD("acquire", condition_acquire,
           PyDoc_STR("acquire($self, /, *args, **kwargs)\n--\n\nTake the lock, as its own acquire does.")),
    METHOD("release", condition_release,
           PyDoc_STR("release($self, /)\n--\n\nFree the lock, as its own release does.")),
#if PY_VERSION_HEX >= 0x030E0000
    METHOD("locked", condition_locked,
           PyDoc_STR("locked($self, /)\n--\n\nReturn whether the lock is taken.")),
#endif
    {"__enter__", (PyCFunction)condition_enter, METH_NOARGS,
     PyDoc_STR("__enter__($self, /)\n--\n\nTake the lock.")},
    {"__exit__", (PyCFunction)(void (*)(void))condition_exit, METH_FASTCALL,
     PyDoc_STR("__exit__($self, /, *args)\n--\n\nFree the lock.")},
    METHOD("wait", condition_wait, wait_doc),
    METHOD("wait_for", condition_wait_for, wait_for_doc),
    METHOD("notify", condition_notify, notify_doc),
    {"notify_all", (PyCFunction)condition_notify_all, METH_NOARGS,
     PyDoc_STR("notify_all($self, /)\n--\n\nWake all that wait.\n\nRaises RuntimeError when the lock is not "
               "taken.")},
    {"notifyAll", (PyCFunction)condition_notify_all_deprecated, METH_NOARGS,
     PyDoc_STR("notifyAll($self, /)\n--\n\nThe old name of notify_all.")},
    {"_is_owned", (PyCFunction)condition_is_owned, METH_NOARGS,
     PyDoc_STR("_is_owned($self, /)\n--\n\nReturn whether the lock is taken, by the calling thread if it is "
               "an RLock.")},
    {"_release_save", (PyCFunction)condition_release_save, METH_NOARGS,
     PyDoc_STR("_release_save($self, /)\n--\n\nFree the lock, and return what _acquire_restore wants.")},
    {"_acquire_restore", (PyCFunction)condition_acquire_restore, METH_O,
     PyDoc_STR("_acquire_restore($self, x, /)\n--\n\nTake the lock as it was.")},
    {"_at_fork_reinit", (PyCFunction)condition_at_fork_reinit, METH_NOARGS,
     PyDoc_STR("_at_fork_reinit($self, /)\n--\n\nForget lock and waiters, in a child process just forked.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef condition_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(golock_object, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(golock_object, weakrefs), READONLY, NULL},
    {"_lock", T_OBJECT, offsetof(ConditionObject, lock), READONLY, PyDoc_STR("The lock.")},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef condition_getset[] = {
    GOLOCK_OBJECT_DICT,
    {"_waiters", (getter)get_waiters, NULL, PyDoc_STR("As long a tuple as threads wait."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, condition_init},
    {Py_tp_dealloc, condition_dealloc},
    {Py_tp_traverse, condition_traverse},
    {Py_tp_clear, condition_clear},
    {Py_tp_repr, condition_repr},
    {Py_tp_doc, (void *)condition_doc},
    {Py_tp_methods, condition_methods},
    {Py_tp_members, condition_members},
    {Py_tp_getset, condition_getset},
    {0, NULL},
};

PyType_Spec golock_condition_spec = {
    .name = "golock.Condition",
    .basicsize = sizeof(ConditionObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = condition_slots,
};
