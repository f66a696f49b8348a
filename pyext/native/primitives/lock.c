/* The type golock.Lock, which is called _thread.lock as the interpreter's is: the interface of
 * CPython's _thread.lock (Modules/_threadmodule.c). */
#include "primitives/lock.h"

#include "args/bind.h"
#include "args/timeout.h"
#include "base/state.h"
#include "install/install.h"
#include "loops/loops.h"
#include "primitives/types.h"
#include "sharing/share.h"
#include "waiting/plain.h"

#include <structmember.h>

#define NO_INLINE __attribute__((noinline))

PyObject *
golock_lock_new(PyTypeObject *type)
{
    LockObject *self = PyObject_New(LockObject, type);
    if (self == NULL) {
        return NULL;
    }
    self->header = (struct golock_header){0};
    self->mutex = (golock_mutex){.offset = offsetof(LockObject, mutex), .kind = GOLOCK_KIND_LOCK};
    self->loop_thread = 0;
    self->closed_waits = 0;
    self->weakrefs = NULL;
    golock_mutex_made(&self->mutex);
    return (PyObject *)self;
}

bool
golock_lock_signals(PyObject *lock)
{
    golock_mutex *mutex = &((LockObject *)lock)->mutex;
    mutex->signals = true;
    if (mutex->record != NULL) {
        golock_object_reset(mutex->record);
        golock_object_mark_stranger(mutex->record);
    }
    return true;
}

static void
lock_dealloc(LockObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (golock_is_shared(&self->header)) {
        golock_tasks_word_gone(&self->mutex.word);
    }
    golock_object_gone(&self->mutex.record);
    golock_unshare(&self->header);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

/* Whether a task of this thread's event loop has the lock, so far as is known: code outside Python
 * may have released it. */
static bool
own_loop_has_it(LockObject *self)
{
    return __atomic_load_n(&self->loop_thread, __ATOMIC_RELAXED) == golock_thread() &&
           !golock_is_shared(&self->header) && golock_mutex_locked(&self->mutex);
}

/* A wait without a limit would stop the loop, and so the task that is to release the lock. Returns
 * 0, or -1 with RuntimeError set. */
static int
refuse_to_stop_own_loop(LockObject *self)
{
    if (!own_loop_has_it(self)) {
        return 0;
    }
    int runs = golock_loop_runs();
    if (runs > 0 && own_loop_has_it(self)) { /* also after Python code has run */
        PyErr_SetString(PyExc_RuntimeError, "the lock is held by a task of this thread's event "
                                            "loop, which the wait would stop");
        return -1;
    }
    return runs < 0 ? -1 : 0;
}

/* The slow paths are not inlined but tail-called, so that the fast ones save no registers. */
NO_INLINE static PyObject *
acquire_slow(LockObject *self, golock_deadline deadline)
{
    if (golock_mutex_acquire_owned(&self->mutex)) {
        Py_RETURN_TRUE;
    }
    if (deadline.at == GOLOCK_FOREVER && refuse_to_stop_own_loop(self) < 0) {
        return NULL;
    }
    int taken = golock_mutex_acquire_slow(&self->mutex, deadline, 0);
    return taken < 0 ? NULL : Py_NewRef(taken ? Py_True : Py_False);
}

NO_INLINE static PyObject *
acquire_with_arguments(LockObject *self, const char *function, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    golock_timeout timeout;
    if (golock_parse_acquire(function, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    if (golock_mutex_fast_acquire(&self->mutex)) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, golock_deadline_after(timeout));
}

PyObject *
golock_lock_acquire(LockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const bool tries = nargs == 1 && kwnames == NULL && args[0] == Py_False;
    if ((nargs > 0 || kwnames != NULL) && !tries) {
        return acquire_with_arguments(self, "acquire", args, nargs, kwnames);
    }
    if (golock_mutex_fast_acquire(&self->mutex)) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, tries ? GOLOCK_DO_NOT_WAIT : GOLOCK_NO_LIMIT);
}

NO_INLINE static PyObject *
release_slow(LockObject *self)
{
    golock_port_hold();
    bool released = golock_mutex_release_contended(&self->mutex);
    if (!released) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
    }
    return golock_loop_resume((PyObject *)self, released ? Py_NewRef(Py_None) : NULL);
}

NO_INLINE PyObject *
golock_lock_release(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    golock_lock_disown(self);
    if (golock_mutex_fast_release(&self->mutex)) {
        Py_RETURN_NONE;
    }
    return release_slow(self);
}

/* A task that has taken the lock. */
static void
own(LockObject *self)
{
    __atomic_store_n(&self->loop_thread, golock_thread(), __ATOMIC_RELAXED);
}

static int
lock_try(PyObject *op, PyObject *Py_UNUSED(owner))
{
    LockObject *self = (LockObject *)op;
    if (golock_tasks_come(&self->mutex.word) && !golock_plain_may_barge(&self->mutex.word)) {
        return 0;
    }
    if (golock_mutex_fast_acquire(&self->mutex)) {
        own(self);
        return 1;
    }
    if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS &&
        golock_fast_acquire(&self->mutex.word, golock_mutex_is_shared(&self->mutex),
                            &golock_plain_path)) {
        own(self);
        golock_mutex_record_task(&self->mutex);
        return 1;
    }
    return 0;
}

/* A word for which tasks wait is changed by atomic operations alone. */
int
golock_lock_claim(LockObject *self, golock_task *task)
{
    __atomic_store_n(&self->mutex.shared, true, __ATOMIC_RELAXED);
    task->word = &self->mutex.word;
    task->kind = GOLOCK_TASK_LOCK;
    task->foreign = golock_is_shared(&self->header);
    int taken = golock_plain_claim(task);
    /* Without a GIL it may have been shared just before the task was in the line. */
    if (taken == 0 && golock_is_shared(&self->header) && !golock_tasks_share(&self->mutex.word)) {
        taken = -1;
    }
    if (taken > 0) {
        own(self);
    }
    return taken < 0 ? golock_no_thread() : taken;
}

static int
lock_claim(golock_waiting *waiting)
{
    if (!waiting->begun && golock_green_threads(golock_state_of(waiting->object))) {
        return golock_refuse_to_await(waiting->object);
    }
    return golock_waiting_begin(waiting) < 0
               ? -1
               : golock_lock_claim((LockObject *)waiting->object, &waiting->task);
}

static int
lock_leave(golock_waiting *waiting)
{
    golock_plain_resign(&waiting->task);
    return 0;
}

static void
lock_taken(const golock_waiting *waiting)
{
    golock_mutex_record_task(&((LockObject *)waiting->object)->mutex);
}

static golock_object_record *
lock_known(const golock_waiting *waiting)
{
    return golock_mutex_known(&((LockObject *)waiting->object)->mutex);
}

static const golock_awaited awaited = {.name = "Lock.acquire_async",
                                       .function = "wait",
                                       .try = lock_try,
                                       .claim = lock_claim,
                                       .leave = lock_leave,
                                       .known = lock_known,
                                       .taken = lock_taken};

PyObject *
golock_lock_aenter(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return golock_await_enter(golock_state_of((PyObject *)self), &awaited, (PyObject *)self);
}

bool
golock_lock_forgo(uint32_t *closed_waits, PyObject *const *args, Py_ssize_t nargs)
{
    uint32_t waits = __atomic_load_n(closed_waits, __ATOMIC_RELAXED);
    if (waits == 0 || nargs < 1 || args[0] != PyExc_GeneratorExit) {
        return false;
    }
    while (waits > 0 && !__atomic_compare_exchange_n(closed_waits, &waits, waits - 1, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return waits > 0;
}

PyObject *
golock_lock_aexit(LockObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *released = golock_lock_forgo(&self->closed_waits, args, nargs)
                             ? Py_NewRef(Py_None)
                             : golock_lock_release(self, NULL);
    return golock_await_done(golock_state_of((PyObject *)self), released);
}

PyObject *
golock_lock_acquire_async(LockObject *self, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    PyObject *timeout = Py_None;
    if (golock_parse_async("acquire_async", args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    return golock_await_object(golock_state_of((PyObject *)self), &awaited, (PyObject *)self,
                               timeout);
}

/* Up to 3.14 the interpreter's acquire_lock and __enter__ are acquire with all its arguments, with
 * "acquire" in their messages, and its __exit__ takes any number of arguments. */
#if PY_VERSION_HEX >= 0x030F0000
static PyObject *
lock_acquire_lock(LockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 0 || kwnames != NULL) {
        return acquire_with_arguments(self, "acquire_lock", args, nargs, kwnames);
    }
    return golock_lock_acquire(self, NULL, 0, NULL);
}

static PyObject *
lock_enter(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return golock_lock_acquire(self, NULL, 0, NULL);
}

static PyObject *
lock_exit(LockObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "__exit__ expected 3 arguments, got %zd", nargs);
        return NULL;
    }
    return golock_lock_release(self, NULL);
}
#else
static PyObject *
lock_exit(LockObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    return golock_lock_release(self, NULL);
}
#endif

static PyObject *
lock_locked(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(golock_mutex_locked(&self->mutex) ? Py_True : Py_False);
}

static PyObject *
lock_at_fork_reinit(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    golock_lock_disown(self);
    golock_mutex_reset(&self->mutex);
    Py_RETURN_NONE;
}

/* The fast paths must know before the header says that the word is shared. */
struct golock_header *
golock_lock_share(PyObject *lock)
{
    LockObject *self = (LockObject *)lock;
    __atomic_store_n(&self->mutex.shared, true, __ATOMIC_RELAXED);
    golock_object_record *record = golock_mutex_know(&self->mutex);
    if (record != NULL) {
        golock_object_shared(record);
    }
    golock_share(&self->header, GOLOCK_LOCK);
    if (!golock_tasks_share(&self->mutex.word)) {
        golock_unshare(&self->header);
        PyErr_NoMemory();
        return NULL;
    }
    return &self->header;
}

static PyObject *
lock_address(PyObject *self, void *Py_UNUSED(closure))
{
    return golock_share_address(golock_state_of(self), self);
}

static PyObject *
lock_capsule(PyObject *self, void *Py_UNUSED(closure))
{
    return golock_share_capsule(golock_state_of(self), self);
}

PyObject *
golock_lock_from_header(struct golock_header *header)
{
    return (PyObject *)((char *)header - offsetof(LockObject, header));
}

static PyObject *
lock_repr(LockObject *self)
{
    return PyUnicode_FromFormat("<%s %s object at %p>",
                                golock_mutex_locked(&self->mutex) ? "locked" : "unlocked",
                                Py_TYPE(self)->tp_name, self);
}

PyDoc_STRVAR(lock_doc,
             "lock()\n--\n\n"
             "A mutual exclusion lock. It is free at first, and any thread may release it.\n\n"
             "Waiters are served in the order of their arrival; newcomers may go first, for\n"
             "get_handoff() seconds.");

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
             "Take the lock and return True.\n\n"
             "If it is held, wait for it: for timeout seconds (0 to TIMEOUT_MAX), or\n"
             "without limit with -1. Return False when the time has run out, and at once\n"
             "when blocking is false. A signal handler that raises ends the wait.\n\n"
             "Raises ValueError for a negative or NaN timeout and for a timeout without\n"
             "blocking, OverflowError for one that is too large; the lock is then not\n"
             "taken.");

PyDoc_STRVAR(
    acquire_async_doc,
    "acquire_async($self, /, timeout=None)\n--\n\n"
    "Return an awaitable that takes the lock and returns True.\n\n"
    "If it is held, the task waits for it: for timeout seconds, or without limit with\n"
    "None. It returns False when the time has run out. Nothing is taken by a wait that\n"
    "is cancelled, or never awaited.\n\n"
    "Raises TypeError or ValueError for what is no number of seconds, RuntimeError when a\n"
    "wait is necessary and no event loop runs.");

PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\n"
                          "Release the lock, and let one of the waiting threads go on.\n\n"
                          "Raises RuntimeError if the lock is free.");

PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\n"
                         "Return whether the lock is held, or reserved for a waiter.");

#define ACQUIRE(name, function)                                                                    \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, acquire_doc}
#define RELEASE(name) {name, (PyCFunction)golock_lock_release, METH_NOARGS, release_doc}
#define LOCKED(name) {name, (PyCFunction)lock_locked, METH_NOARGS, locked_doc}

static PyMethodDef lock_methods[] = {
    ACQUIRE("acquire", golock_lock_acquire),
    RELEASE("release"),
    LOCKED("locked"),
    RELEASE("release_lock"),
    LOCKED("locked_lock"),
#if PY_VERSION_HEX >= 0x030F0000
    ACQUIRE("acquire_lock", lock_acquire_lock),
    {"__enter__", (PyCFunction)lock_enter, METH_NOARGS, acquire_doc},
#else
    ACQUIRE("acquire_lock", golock_lock_acquire),
    ACQUIRE("__enter__", golock_lock_acquire),
#endif
    {"__exit__", (PyCFunction)(void (*)(void))lock_exit, METH_FASTCALL, release_doc},
    {"acquire_async", (PyCFunction)(void (*)(void))golock_lock_acquire_async,
     METH_FASTCALL | METH_KEYWORDS, acquire_async_doc},
    {"__aenter__", (PyCFunction)golock_lock_aenter, METH_NOARGS,
     PyDoc_STR("__aenter__($self, /)\n--\n\nReturn an awaitable that takes the lock.")},
    {"__aexit__", (PyCFunction)(void (*)(void))golock_lock_aexit, METH_FASTCALL, release_doc},
    {"_at_fork_reinit", (PyCFunction)lock_at_fork_reinit, METH_NOARGS,
     PyDoc_STR("_at_fork_reinit($self, /)\n--\n\n"
               "Make the lock free again, in a child process just forked.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lock_getset[] = {
    {"address", lock_address, NULL,
     PyDoc_STR(
         "The address of the lock's header, which golock.h describes, for Go, C and other code of\n"
         "this process. It is valid for as long as the lock lives; see golock.shared()."),
     NULL},
    {"capsule", lock_capsule, NULL,
     PyDoc_STR("A new PyCapsule \"golock.header\" around the address, which keeps the lock alive."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef lock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LockObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

#if PY_VERSION_HEX >= 0x030D0000
PyObject *
golock_lock_vectorcall(PyObject *type, PyObject *const *Py_UNUSED(args), size_t nargsf,
                       PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0) {
        PyErr_SetString(PyExc_TypeError, "lock() takes no keyword arguments");
        return NULL;
    }
    if (nargs > 0) {
        PyErr_Format(PyExc_TypeError, "lock expected 0 arguments, got %zd", nargs);
        return NULL;
    }
    return golock_lock_new((PyTypeObject *)type);
}

/* Called only through lock.__new__: a call of the type uses golock_lock_vectorcall. */
static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "lock() takes no arguments");
        return NULL;
    }
    return golock_lock_new(type);
}
#endif

static PyType_Slot lock_slots[] = {
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_repr, lock_repr},
    {Py_tp_doc, (void *)lock_doc},
    {Py_tp_methods, lock_methods},
    {Py_tp_members, lock_members},
    {Py_tp_getset, lock_getset},
#if PY_VERSION_HEX >= 0x030D0000
    {Py_tp_new, lock_new},
#endif
    {0, NULL},
};

/* As in the interpreter, the type can be called from 3.13 on. */
#if PY_VERSION_HEX >= 0x030D0000
#define LOCK_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE)
#else
#define LOCK_FLAGS                                                                                 \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#endif

PyType_Spec golock_lock_spec = {
    .name = "_thread.lock",
    .basicsize = sizeof(LockObject),
    .flags = LOCK_FLAGS,
    .slots = lock_slots,
};
