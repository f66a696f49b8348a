/* The type golock.RLock: the interface of CPython's _thread.RLock (Modules/_threadmodule.c). */
#include "primitives/lock.h"

#include "args/bind.h"
#include "args/timeout.h"
#include "base/state.h"
#include "install/install.h"
#include "loops/loops.h"
#include "primitives/types.h"
#include "waiting/plain.h"

#include <structmember.h>

#define NO_INLINE __attribute__((noinline))

/* From 3.15 on arguments are refused unless a subclass has an __init__. A Condition passes NULL for
 * both. */
static PyObject *
rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
#if PY_VERSION_HEX >= 0x030F0000
    bool keywords = kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0;
    bool positional = args != NULL && PyTuple_GET_SIZE(args) > 0;
    if (type->tp_init == PyBaseObject_Type.tp_init && (keywords || positional)) {
        PyErr_Format(PyExc_TypeError, "RLock() takes no %s arguments",
                     keywords ? "keyword" : "positional");
        return NULL;
    }
#else
    (void)args;
    (void)kwargs;
#endif
    RLockObject *self = (RLockObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->mutex.offset = offsetof(RLockObject, mutex);
        self->mutex.kind = GOLOCK_KIND_RLOCK;
        golock_mutex_made(&self->mutex);
    }
    return (PyObject *)self;
}

static void
rlock_dealloc(RLockObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    golock_object_gone(&self->mutex.record);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Py_XDECREF(self->task);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static void
own(RLockObject *self, unsigned long count)
{
    __atomic_store_n(&self->owner, golock_thread(), __ATOMIC_RELAXED);
    __atomic_store_n(&self->count, count, __ATOMIC_RELAXED);
}

static void
disown(RLockObject *self)
{
    __atomic_store_n(&self->owner, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&self->count, 0, __ATOMIC_RELAXED);
}

static unsigned long
count_of(const RLockObject *self)
{
    return __atomic_load_n(&self->count, __ATOMIC_RELAXED);
}

static PyObject *
acquire_again(RLockObject *self)
{
    unsigned long count = count_of(self) + 1;
    if (count == 0) {
        PyErr_SetString(PyExc_OverflowError, "Internal lock count overflowed");
        return NULL;
    }
    __atomic_store_n(&self->count, count, __ATOMIC_RELAXED);
    Py_RETURN_TRUE;
}

int
golock_rlock_owned_by_task(const RLockObject *self)
{
    if (golock_rlock_task(self) == NULL) {
        return 0;
    }
    /* Held while it is compared: no other task's can have its address meanwhile. */
    PyObject *running;
    int result = golock_running_task(golock_state_of((PyObject *)self), &running);
    if (result == 0) {
        result = running != NULL && running == golock_rlock_task(self);
    }
    Py_XDECREF(running);
    return result;
}

/* Whether another task of this thread's event loop has the lock. */
static bool
own_loop_has_it(const RLockObject *self)
{
    return golock_rlock_task(self) != NULL &&
           __atomic_load_n(&self->owner, __ATOMIC_RELAXED) == golock_thread() + 1;
}

NO_INLINE static PyObject *
acquire_slow(RLockObject *self, golock_deadline deadline)
{
    int again = golock_rlock_owned_by_task(self);
    if (again != 0) {
        return again < 0 ? NULL : acquire_again(self);
    }
    if (deadline.at == GOLOCK_FOREVER && own_loop_has_it(self)) {
        int runs = golock_loop_runs();
        if (runs > 0 && own_loop_has_it(self)) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the lock is held by another task of this thread's event loop, which "
                            "the wait would stop");
        }
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    int taken = golock_mutex_acquire_owned(&self->mutex)
                    ? 1
                    : golock_mutex_acquire_slow(&self->mutex, deadline, 0);
    if (taken > 0) {
        own(self, 1);
    }
    return taken < 0 ? NULL : Py_NewRef(taken ? Py_True : Py_False);
}

NO_INLINE static PyObject *
acquire_with_arguments(RLockObject *self, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    golock_timeout timeout;
    if (golock_parse_acquire("acquire", args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    if (golock_rlock_owned(self)) {
        return acquire_again(self);
    }
    if (golock_mutex_fast_acquire(&self->mutex)) {
        own(self, 1);
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, golock_deadline_after(timeout));
}

PyObject *
golock_rlock_acquire(RLockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 0 || kwnames != NULL) {
        return acquire_with_arguments(self, args, nargs, kwnames);
    }
    if (golock_rlock_owned(self)) {
        return acquire_again(self);
    }
    if (golock_mutex_fast_acquire(&self->mutex)) {
        own(self, 1);
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, GOLOCK_NO_LIMIT);
}

static PyObject *
not_acquired(void)
{
    PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
    return NULL;
}

NO_INLINE static PyObject *
release_slow(RLockObject *self)
{
    golock_port_hold();
    golock_mutex_release_contended(&self->mutex);
    return golock_loop_resume((PyObject *)self, Py_NewRef(Py_None));
}

/* Takes the hold from the lock, which the caller releases next. */
static golock_hold
give_up_hold(RLockObject *self)
{
    const golock_hold hold = {.count = count_of(self),
                              .owner = __atomic_load_n(&self->owner, __ATOMIC_RELAXED),
                              .task = golock_rlock_task(self)};
    __atomic_store_n(&self->task, NULL, __ATOMIC_RELAXED);
    disown(self);
    return hold;
}

/* Gives the lock, which the caller has taken, the hold. Steals the reference in it. */
static void
put_hold(RLockObject *self, golock_hold *hold)
{
    __atomic_store_n(&self->owner, hold->owner, __ATOMIC_RELAXED);
    __atomic_store_n(&self->count, hold->count, __ATOMIC_RELAXED);
    __atomic_store_n(&self->task, hold->task, __ATOMIC_RELAXED);
    hold->task = NULL;
}

/* Undoes one acquire of a task that has the lock. */
static PyObject *
release_of_task(RLockObject *self)
{
    if (count_of(self) > 1) {
        __atomic_store_n(&self->count, count_of(self) - 1, __ATOMIC_RELAXED);
        Py_RETURN_NONE;
    }
    golock_hold hold = give_up_hold(self);
    PyObject *released =
        golock_mutex_fast_release(&self->mutex) ? Py_NewRef(Py_None) : release_slow(self);
    Py_DECREF(hold.task);
    return released;
}

/* For code that handles this exception. If a coroutine is closed by it, that has the lock, or
 * forgoes it, whichever task runs now, if any. Returns false if none is, or if no task has the
 * lock. Otherwise sets *released as release_of_task returns it. */
static bool
release_of_closed(RLockObject *self, PyObject *const *exception, Py_ssize_t nargs,
                  PyObject **released)
{
    if (golock_lock_forgo(&self->closed_waits, exception, nargs)) {
        *released = Py_NewRef(Py_None);
        return true;
    }
    const bool closed = nargs > 0 && exception[0] == PyExc_GeneratorExit;
    if (closed && golock_rlock_task(self) != NULL) {
        *released = release_of_task(self);
        return true;
    }
    return false;
}

/* The thread does not have the lock. */
NO_INLINE static PyObject *
release_for_task(RLockObject *self)
{
    PyObject *handled[3], *released;
    PyErr_GetExcInfo(&handled[0], &handled[1], &handled[2]);
    const bool closed = release_of_closed(self, handled, handled[0] != NULL, &released);
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(handled[i]);
    }
    if (closed) {
        return released;
    }
    int owned = golock_rlock_owned_by_task(self);
    return owned > 0 ? release_of_task(self) : owned < 0 ? NULL : not_acquired();
}

PyObject *
golock_rlock_release(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    unsigned long count = count_of(self);
    if (!golock_rlock_owned(self) || count == 0) {
        return release_for_task(self);
    }
    if (count > 1) {
        __atomic_store_n(&self->count, count - 1, __ATOMIC_RELAXED);
        Py_RETURN_NONE;
    }
    disown(self);
    if (golock_mutex_fast_release(&self->mutex)) {
        Py_RETURN_NONE;
    }
    return release_slow(self);
}

/* Up to 3.14 the interpreter's __enter__ is acquire with all its arguments, and its __exit__ takes
 * any number of arguments. */
#if PY_VERSION_HEX >= 0x030F0000
static PyObject *
rlock_enter(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    return golock_rlock_acquire(self, NULL, 0, NULL);
}

static PyObject *
rlock_exit(RLockObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "__exit__ expected 3 arguments, got %zd", nargs);
        return NULL;
    }
    return golock_rlock_release(self, NULL);
}
#else
static PyObject *
rlock_exit(RLockObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    return golock_rlock_release(self, NULL);
}
#endif

static golock_hold
new_hold(PyObject *owner)
{
    return (golock_hold){.count = 1, .owner = golock_thread() + 1, .task = Py_NewRef(owner)};
}

static int
rlock_try(PyObject *op, PyObject *owner)
{
    RLockObject *self = (RLockObject *)op;
    if (golock_rlock_task(self) == owner) {
        PyObject *taken = acquire_again(self);
        Py_XDECREF(taken);
        return taken == NULL ? -1 : 1;
    }
    if (golock_rlock_owned(self)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the lock is held by this thread, not by a task: take it with async with");
        return -1;
    }
    if (golock_tasks_come(&self->mutex.word) && !golock_plain_may_barge(&self->mutex.word)) {
        return 0;
    }
    const bool recorded = golock_sight_now() >= GOLOCK_SIGHT_OWNERS;
    if (!golock_mutex_fast_acquire(&self->mutex) &&
        !(recorded && golock_fast_acquire(&self->mutex.word, golock_mutex_is_shared(&self->mutex),
                                          &golock_plain_path))) {
        return 0;
    }
    golock_hold hold = new_hold(owner);
    put_hold(self, &hold);
    golock_mutex_record_task(&self->mutex);
    return 1;
}

/* A word for which tasks wait is changed by atomic operations alone. */
int
golock_rlock_claim(RLockObject *self, golock_task *task, golock_hold *hold)
{
    __atomic_store_n(&self->mutex.shared, true, __ATOMIC_RELAXED);
    task->word = &self->mutex.word;
    task->kind = GOLOCK_TASK_LOCK;
    int taken = golock_plain_claim(task);
    if (taken > 0) {
        put_hold(self, hold);
    }
    return taken < 0 ? golock_no_thread() : taken;
}

static int
rlock_claim(golock_waiting *waiting)
{
    if (!waiting->begun && golock_green_threads(golock_state_of(waiting->object))) {
        return golock_refuse_to_await(waiting->object);
    }
    if (golock_waiting_begin(waiting) < 0) {
        return -1;
    }
    golock_hold hold = new_hold(waiting->owner);
    int taken = golock_rlock_claim((RLockObject *)waiting->object, &waiting->task, &hold);
    Py_XDECREF(hold.task);
    return taken;
}

static int
rlock_leave(golock_waiting *waiting)
{
    golock_plain_resign(&waiting->task);
    return 0;
}

static void
rlock_taken(const golock_waiting *waiting)
{
    golock_mutex_record_task(&((RLockObject *)waiting->object)->mutex);
}

static golock_object_record *
rlock_known(const golock_waiting *waiting)
{
    return golock_mutex_known(&((RLockObject *)waiting->object)->mutex);
}

static const golock_awaited awaited = {.name = "RLock.acquire_async",
                                       .function = "wait",
                                       .owned = true,
                                       .try = rlock_try,
                                       .claim = rlock_claim,
                                       .leave = rlock_leave,
                                       .known = rlock_known,
                                       .taken = rlock_taken};

PyObject *
golock_rlock_aenter(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    return golock_await_enter(golock_state_of((PyObject *)self), &awaited, (PyObject *)self);
}

PyObject *
golock_rlock_aexit(RLockObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *released;
    if (!release_of_closed(self, args, nargs, &released)) {
        released = golock_rlock_release(self, NULL);
    }
    return golock_await_done(golock_state_of((PyObject *)self), released);
}

PyObject *
golock_rlock_acquire_async(RLockObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    PyObject *timeout = Py_None;
    if (golock_parse_async("acquire_async", args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    return golock_await_object(golock_state_of((PyObject *)self), &awaited, (PyObject *)self,
                               timeout);
}

/* Whether a task has the lock is for the caller to check. */
int
golock_rlock_save(RLockObject *self, golock_hold *hold, golock_unwoken *unwoken)
{
#if PY_VERSION_HEX >= 0x030E0000
    bool allowed =
        (golock_rlock_owned(self) || golock_rlock_task(self) != NULL) && count_of(self) > 0;
#else
    bool allowed = count_of(self) > 0; /* whichever thread owns it */
#endif
    if (!allowed) {
        not_acquired();
        return -1;
    }
    *hold = give_up_hold(self);
    golock_mutex_release_defer_wake(&self->mutex, unwoken);
    return 0;
}

void
golock_rlock_restore(RLockObject *self, golock_hold *hold, bool woken)
{
    golock_mutex_reacquire(&self->mutex, woken);
    put_hold(self, hold);
}

/* A number could not name a task, so a task cannot save its hold. */
PyObject *
golock_rlock_release_save(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    if (golock_rlock_task(self) != NULL) {
        return not_acquired();
    }
    unsigned long owner = __atomic_load_n(&self->owner, __ATOMIC_RELAXED);
    PyObject *state = Py_BuildValue("kk", count_of(self), owner); /* before it is released */
    golock_hold hold;
    golock_unwoken unwoken = {0};
    if (state != NULL && golock_rlock_save(self, &hold, &unwoken) < 0) {
        Py_CLEAR(state);
    }
    golock_wake_at_once(&unwoken);
    return state;
}

/* CPython 3.15 takes the state as its one argument. */
#if PY_VERSION_HEX >= 0x030F0000
#define RESTORE_FLAGS METH_O
#define PARSE_STATE PyArg_Parse
#else
#define RESTORE_FLAGS METH_VARARGS
#define PARSE_STATE PyArg_ParseTuple
#endif

static PyObject *
rlock_acquire_restore(RLockObject *self, PyObject *args)
{
    golock_hold hold = {0};
    if (!PARSE_STATE(args, "(kk):_acquire_restore", &hold.count, &hold.owner)) {
        return NULL;
    }
    golock_rlock_restore(self, &hold, false);
    Py_RETURN_NONE;
}

static PyObject *
rlock_is_owned(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    int owned = golock_rlock_owned(self) ? 1 : golock_rlock_owned_by_task(self);
    return owned < 0 ? NULL : PyBool_FromLong(owned);
}

static PyObject *
rlock_recursion_count(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    int owned = golock_rlock_owned(self) ? 1 : golock_rlock_owned_by_task(self);
    return owned < 0 ? NULL : PyLong_FromUnsignedLong(owned ? count_of(self) : 0);
}

#if PY_VERSION_HEX >= 0x030E0000
static PyObject *
rlock_locked(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(golock_mutex_locked(&self->mutex) ? Py_True : Py_False);
}
#endif

void
golock_rlock_reset(RLockObject *self)
{
    golock_hold hold = give_up_hold(self);
    golock_mutex_reset(&self->mutex);
    Py_XDECREF(hold.task);
}

static PyObject *
rlock_at_fork_reinit(RLockObject *self, PyObject *Py_UNUSED(ignored))
{
    golock_rlock_reset(self);
    Py_RETURN_NONE;
}

static PyObject *
rlock_repr(RLockObject *self)
{
    unsigned long count = count_of(self);
    unsigned long owner = __atomic_load_n(&self->owner, __ATOMIC_RELAXED);
    return PyUnicode_FromFormat("<%s %s object owner=%lu count=%lu at %p>",
                                count ? "locked" : "unlocked", Py_TYPE(self)->tp_name,
                                owner - (golock_rlock_task(self) != NULL), count, self);
}

PyDoc_STRVAR(rlock_doc, "RLock()\n--\n\n"
                        "A mutual exclusion lock that its owner may take again.\n\n"
                        "Its owner must release it as often as it has taken it.\n"
                        "Waiters are served as those of a Lock.");

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
             "Take the lock, for the owner once more, and return True.\n\n"
             "If another thread holds it, wait: for timeout seconds (0 to TIMEOUT_MAX), or\n"
             "without limit with -1. Return False when the time has run out, and at once\n"
             "when blocking is false. A signal handler that raises ends the wait.\n\n"
             "Raises ValueError for a negative or NaN timeout and for a timeout without\n"
             "blocking, OverflowError for one that is too large; the lock is then not\n"
             "taken.");

PyDoc_STRVAR(
    acquire_async_doc,
    "acquire_async($self, /, timeout=None)\n--\n\n"
    "Return an awaitable that takes the lock for the task that calls this.\n\n"
    "It is True, at once if the task has the lock already, or False after timeout seconds\n"
    "(None: no limit). Only the task releases the lock.\n\n"
    "Raises RuntimeError if the thread itself has the lock or no task runs, TypeError or\n"
    "ValueError for what is no number of seconds.");

PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\n"
                          "Undo one acquire; the last one frees the lock.\n\n"
                          "Raises RuntimeError if the calling thread does not hold the lock.");

#define ACQUIRE(name)                                                                              \
    {name, (PyCFunction)(void (*)(void))golock_rlock_acquire, METH_FASTCALL | METH_KEYWORDS,       \
     acquire_doc}

static PyMethodDef rlock_methods[] = {
    ACQUIRE("acquire"),
    {"release", (PyCFunction)golock_rlock_release, METH_NOARGS, release_doc},
#if PY_VERSION_HEX >= 0x030F0000
    {"__enter__", (PyCFunction)rlock_enter, METH_NOARGS, acquire_doc},
#else
    ACQUIRE("__enter__"),
#endif
    {"__exit__", (PyCFunction)(void (*)(void))rlock_exit, METH_FASTCALL, release_doc},
    {"acquire_async", (PyCFunction)(void (*)(void))golock_rlock_acquire_async,
     METH_FASTCALL | METH_KEYWORDS, acquire_async_doc},
    {"__aenter__", (PyCFunction)golock_rlock_aenter, METH_NOARGS,
     PyDoc_STR("__aenter__($self, /)\n--\n\nReturn an awaitable that takes the lock.")},
    {"__aexit__", (PyCFunction)(void (*)(void))golock_rlock_aexit, METH_FASTCALL,
     PyDoc_STR("__aexit__($self, /, *exc_info)\n--\n\nRelease the lock.")},
#if PY_VERSION_HEX >= 0x030E0000
    {"locked", (PyCFunction)rlock_locked, METH_NOARGS,
     PyDoc_STR("locked($self, /)\n--\n\nReturn whether any thread holds the lock.")},
#endif
    {"_is_owned", (PyCFunction)rlock_is_owned, METH_NOARGS,
     PyDoc_STR("_is_owned($self, /)\n--\n\nReturn whether the calling thread holds the lock.")},
    {"_acquire_restore", (PyCFunction)rlock_acquire_restore, RESTORE_FLAGS,
     PyDoc_STR("_acquire_restore($self, state, /)\n--\n\nTake the lock as _release_save "
               "found it.")},
    {"_release_save", (PyCFunction)golock_rlock_release_save, METH_NOARGS,
     PyDoc_STR("_release_save($self, /)\n--\n\nRelease the lock, and return its count "
               "and owner.")},
    {"_recursion_count", (PyCFunction)rlock_recursion_count, METH_NOARGS,
     PyDoc_STR(
         "_recursion_count($self, /)\n--\n\nReturn how often the calling thread holds the lock.")},
    {"_at_fork_reinit", (PyCFunction)rlock_at_fork_reinit, METH_NOARGS,
     PyDoc_STR("_at_fork_reinit($self, /)\n--\n\nMake the lock free again, in a child process just "
               "forked.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef rlock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RLockObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_new, rlock_new},
    {Py_tp_dealloc, rlock_dealloc},
    {Py_tp_repr, rlock_repr},
    {Py_tp_doc, (void *)rlock_doc},
    {Py_tp_methods, rlock_methods},
    {Py_tp_members, rlock_members},
    {0, NULL},
};

int
golock_rlock_match(PyTypeObject *type)
{
    PyObject *thread = PyImport_ImportModule("_thread");
    PyObject *own = thread == NULL ? NULL : PyObject_GetAttrString(thread, "RLock");
    PyObject *count = own == NULL ? NULL : PyObject_GetAttrString(own, "_recursion_count");
    int result = count == NULL ? -1 : 0;
    if (own != NULL && count == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        result = PyDict_DelItemString(type->tp_dict, "_recursion_count");
        PyType_Modified(type);
    }
    Py_XDECREF(count);
    Py_XDECREF(own);
    Py_XDECREF(thread);
    return result;
}

PyType_Spec golock_rlock_spec = {
    .name = "_thread.RLock",
    .basicsize = sizeof(RLockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = rlock_slots,
};
