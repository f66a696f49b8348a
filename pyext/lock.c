/* The type golock.lock: the interface of CPython's _thread.lock (Modules/_threadmodule.c). */
#include "corecall.h"
#include "extension.h"
#include "fastpath.h"

#include <structmember.h>
#include <unistd.h>

#define NO_INLINE __attribute__((noinline))

typedef struct {
    PyObject_HEAD
    uint32_t word;
    uint8_t turns;
    PyObject *weakrefs;
} LockObject;

static const golock_state *
state_of(LockObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

PyObject *
golock_lock_new(PyTypeObject *type)
{
    LockObject *self = PyObject_New(LockObject, type);
    if (self == NULL) {
        return NULL;
    }
    self->word = 0;
    self->turns = 0;
    self->weakrefs = NULL;
    return (PyObject *)self;
}

static void
lock_dealloc(LockObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

/* In a child process that has no core yet, whoever the word speaks of stayed in the parent. Returns
 * whether that was so, and the fast path may do now. Like everything in this file it accesses the word
 * relaxed: nobody but fastpath.h takes or frees the lock here, and what is read is a hint to where the
 * core decides, or an answer that may be old when it is given. */
static bool
forgot_the_parent(LockObject *self)
{
    if (!golock_fastpath || golock_core_loaded() != NULL) {
        return false;
    }
    __atomic_and_fetch(&self->word, GOLOCK_HELD, __ATOMIC_RELAXED);
    return true;
}

/* Takes the lock if it is free, without waiting. Returns 1 or 0, or -1 with CoreError set. */
static int
try_acquire(LockObject *self)
{
    if (golock_fastpath && __atomic_load_n(&self->word, __ATOMIC_RELAXED) & GOLOCK_HELD) {
        return 0;
    }
    const struct golock_core *core = golock_core_get(state_of(self));
    return core == NULL ? -1 : golock_core_try_acquire(core, &self->word);
}

/* The slow paths are outlined and tail-called, so that the fast ones save no registers. */
NO_INLINE static PyObject *
acquire_slow(LockObject *self, int64_t timeout)
{
    if (forgot_the_parent(self) && golock_fast_acquire(&self->word)) {
        Py_RETURN_TRUE;
    }
    int taken = timeout == 0 ? try_acquire(self) : golock_wait(state_of(self), &self->word, timeout);
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

NO_INLINE static PyObject *
acquire_with_arguments(LockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t timeout;
    if (golock_parse_acquire(args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    if (golock_fast_acquire(&self->word)) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, timeout);
}

static PyObject *
lock_acquire(LockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 0 || kwnames != NULL) {
        return acquire_with_arguments(self, args, nargs, kwnames);
    }
    if (golock_fast_acquire(&self->word)) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, -1);
}

NO_INLINE static PyObject *
release_slow(LockObject *self)
{
    if (forgot_the_parent(self) && golock_fast_release(&self->word, &self->turns)) {
        Py_RETURN_NONE;
    }
    if (!golock_fastpath || __atomic_load_n(&self->word, __ATOMIC_RELAXED) & GOLOCK_HELD) {
        const struct golock_core *core = golock_core_get(state_of(self));
        if (core == NULL) {
            return NULL;
        }
        if (golock_core_release(core, &self->word)) {
            Py_RETURN_NONE;
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
    return NULL;
}

static PyObject *
lock_release(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    if (golock_fast_release(&self->word, &self->turns)) {
        Py_RETURN_NONE;
    }
    return release_slow(self);
}

/* Up to 3.14 the interpreter's __enter__ is acquire with all its arguments, and its __exit__ takes
 * any number of them. */
#if PY_VERSION_HEX >= 0x030F0000
static PyObject *
lock_enter(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return lock_acquire(self, NULL, 0, NULL);
}

static PyObject *
lock_exit(LockObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "__exit__ expected 3 arguments, got %zd", nargs);
        return NULL;
    }
    return lock_release(self, NULL);
}
#else
static PyObject *
lock_exit(LockObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    return lock_release(self, NULL);
}
#endif

/* Whether a newcomer would find the lock taken. A reservation copied by fork binds nobody. */
static bool
is_locked(LockObject *self)
{
    uint32_t word = __atomic_load_n(&self->word, __ATOMIC_RELAXED);
    return (word & GOLOCK_HELD) != 0 ||
           ((word & GOLOCK_HANDOFF) != 0 && word >> GOLOCK_CLAIMANT_SHIFT == (uint32_t)getpid());
}

static PyObject *
lock_locked(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_locked(self));
}

static PyObject *
lock_at_fork_reinit(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    __atomic_store_n(&self->word, 0, __ATOMIC_RELAXED);
    Py_RETURN_NONE;
}

static PyObject *
lock_repr(LockObject *self)
{
    return PyUnicode_FromFormat("<%s %s object at %p>", is_locked(self) ? "locked" : "unlocked",
                                Py_TYPE(self)->tp_name, self);
}

PyDoc_STRVAR(lock_doc, "lock()\n--\n\n"
                       "A mutual exclusion lock, free when new. Any thread may release it.\n\n"
                       "Waiters are served in the order of their arrival; newcomers may go first, for\n"
                       "get_handoff() seconds.");

PyDoc_STRVAR(acquire_doc, "acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
                          "Take the lock and return True.\n\n"
                          "If it is taken, wait for it: for timeout seconds (0 to TIMEOUT_MAX), or\n"
                          "without limit with -1. Return False when the time has run out, and at once\n"
                          "when blocking is false. A signal handler that raises ends the wait.\n\n"
                          "Raises ValueError for a negative or NaN timeout and for a timeout without\n"
                          "blocking, OverflowError for one that is too large, CoreError when the lock\n"
                          "core cannot be loaded; the lock is then not taken.");

PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\n"
                          "Free the lock, and let one of the threads that wait for it go on.\n\n"
                          "Any thread may do so. Raises RuntimeError when the lock is free.");

PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\n"
                         "Return whether the lock is taken, or promised to a waiter.");

#define ACQUIRE(name)                                                                                        \
    {name, (PyCFunction)(void (*)(void))lock_acquire, METH_FASTCALL | METH_KEYWORDS, acquire_doc}
#define RELEASE(name) {name, (PyCFunction)lock_release, METH_NOARGS, release_doc}
#define LOCKED(name) {name, (PyCFunction)lock_locked, METH_NOARGS, locked_doc}

static PyMethodDef lock_methods[] = {
    ACQUIRE("acquire"),
    RELEASE("release"),
    LOCKED("locked"),
    ACQUIRE("acquire_lock"),
    RELEASE("release_lock"),
    LOCKED("locked_lock"),
#if PY_VERSION_HEX >= 0x030F0000
    {"__enter__", (PyCFunction)lock_enter, METH_NOARGS, acquire_doc},
#else
    ACQUIRE("__enter__"),
#endif
    {"__exit__", (PyCFunction)(void (*)(void))lock_exit, METH_FASTCALL, release_doc},
    {"_at_fork_reinit", (PyCFunction)lock_at_fork_reinit, METH_NOARGS,
     PyDoc_STR("_at_fork_reinit($self, /)\n--\n\n"
               "Make the lock free again, in a child process just forked.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef lock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LockObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

#if PY_VERSION_HEX >= 0x030D0000
PyObject *
golock_lock_vectorcall(PyObject *type, PyObject *const *Py_UNUSED(args), size_t nargsf, PyObject *kwnames)
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

/* Reached through lock.__new__ alone: calling the type goes through golock_lock_vectorcall. */
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
#if PY_VERSION_HEX >= 0x030D0000
    {Py_tp_new, lock_new},
#endif
    {0, NULL},
};

/* As in the interpreter, the type can be called from 3.13 on. */
#if PY_VERSION_HEX >= 0x030D0000
#define LOCK_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE)
#else
#define LOCK_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#endif

PyType_Spec golock_lock_spec = {
    .name = "golock.lock",
    .basicsize = sizeof(LockObject),
    .flags = LOCK_FLAGS,
    .slots = lock_slots,
};
