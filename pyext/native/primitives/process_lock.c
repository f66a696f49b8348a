/* The type of locks across processes, from which golock.process.Lock is derived. */
#include "args/timeout.h"
#include "base/state.h"
#include "primitives/page_object.h"
#include "primitives/types.h"
#include "process/cell.h"
#include "process/page.h"
#include "process/slot.h"
#include "process/view.h"
#include "process/wait.h"

#define NO_INLINE __attribute__((noinline))

typedef struct {
    golock_page_object base;
    bool refuses; /* raises Abandoned */
} ProcessLockObject;

static golock_page *
page_of(const ProcessLockObject *self)
{
    return self->base.page;
}

static PyObject *
process_lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", "device", "inode", "descriptor", "refuses", "own", NULL};
    const char *path;
    unsigned long long device, inode;
    int descriptor, refuses, own = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sKKip|p:ProcessLock", names, &path, &device,
                                     &inode, &descriptor, &refuses, &own)) {
        return NULL;
    }
    PyObject *self =
        golock_page_object_new(type, GOLOCK_PAGE_LOCK, path, device, inode, descriptor);
    if (self != NULL) {
        ((ProcessLockObject *)self)->refuses = refuses;
        if (own) {
            golock_page_set_own(page_of((ProcessLockObject *)self), true);
        }
    }
    return self;
}

/* Not inlined but tail-called, so that the fast path saves no registers. */
NO_INLINE static PyObject *
acquire_slow(ProcessLockObject *self, golock_deadline deadline)
{
    switch (golock_page_acquire(page_of(self), deadline, self->refuses)) {
    case GOLOCK_PAGE_ACQUIRED:
        Py_RETURN_TRUE;
    case GOLOCK_PAGE_TIMED_OUT:
        Py_RETURN_FALSE;
    case GOLOCK_PAGE_ABANDONED:
        PyErr_Format(golock_state_of((PyObject *)self)->abandoned_error,
                     "a process died while it held the lock '%s'", page_of(self)->path);
        return NULL;
    case GOLOCK_PAGE_FAILED:
        break;
    }
    return NULL;
}

NO_INLINE static PyObject *
acquire_with_arguments(ProcessLockObject *self, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    golock_timeout timeout;
    if (golock_parse_acquire("acquire", args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    if (golock_cell_fast_acquire(page_of(self), golock_page_quick(page_of(self)))) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, golock_deadline_after(timeout));
}

static PyObject *
process_lock_acquire(ProcessLockObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    const bool tries = nargs == 1 && kwnames == NULL && args[0] == Py_False;
    if ((nargs > 0 || kwnames != NULL) && !tries) {
        return acquire_with_arguments(self, args, nargs, kwnames);
    }
    if (golock_cell_fast_acquire(page_of(self), golock_page_quick(page_of(self)))) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, tries ? GOLOCK_DO_NOT_WAIT : GOLOCK_NO_LIMIT);
}

/* A release that finds waiters names a claimant, and needs a slot, so that others see it die. That
 * of a dead holder is not a release: the next holder is told of the death. */
NO_INLINE static PyObject *
release_slow(ProcessLockObject *self)
{
    golock_page_disowned(page_of(self));
    uint64_t cell = golock_cell_load(page_of(self));
    if (!golock_slot_holder_died(page_of(self), cell) &&
        golock_cell_fast_release(page_of(self), golock_cell_holder(cell))) {
        Py_RETURN_NONE;
    }
    if (golock_cell_holder(cell) != 0) {
        if (golock_page_enter(page_of(self)) < 0) {
            return NULL;
        }
        golock_slot_settle(page_of(self));
        if (golock_cell_release(page_of(self))) {
            Py_RETURN_NONE;
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
    return NULL;
}

static PyObject *
process_lock_release(ProcessLockObject *self, PyObject *Py_UNUSED(ignored))
{
    if (golock_cell_fast_release(page_of(self), golock_page_quick(page_of(self)))) {
        Py_RETURN_NONE;
    }
    return release_slow(self);
}

static PyObject *
process_lock_exit(ProcessLockObject *self, PyObject *const *Py_UNUSED(args),
                  Py_ssize_t Py_UNUSED(nargs))
{
    return process_lock_release(self, NULL);
}

static PyObject *
process_lock_locked(ProcessLockObject *self, PyObject *Py_UNUSED(ignored))
{
    uint64_t cell = golock_cell_load(page_of(self));
    bool locked = golock_cell_locked(cell) && !golock_slot_holder_died(page_of(self), cell);
    return Py_NewRef(locked ? Py_True : Py_False);
}

static PyObject *
process_lock_recover(ProcessLockObject *self, PyObject *Py_UNUSED(ignored))
{
    uint32_t me = golock_page_me(page_of(self));
    if (me == 0 || !golock_cell_held_by(page_of(self), me)) {
        PyErr_SetString(PyExc_RuntimeError, "only a process that holds the lock can recover it");
        return NULL;
    }
    return PyLong_FromUnsignedLong(golock_cell_recover(page_of(self)));
}

static PyObject *
process_lock_abandoned(ProcessLockObject *self, void *Py_UNUSED(closure))
{
    for (;;) {
        uint64_t cell = golock_cell_load(page_of(self));
        if (golock_cell_deaths(cell) != 0) {
            Py_RETURN_TRUE;
        }
        if (!golock_slot_holder_died(page_of(self), cell)) {
            Py_RETURN_FALSE;
        }
        if (golock_cell_load(page_of(self)) == cell) { /* or it released the lock before it ended */
            Py_RETURN_TRUE;
        }
    }
}

static PyObject *
process_lock_holder(ProcessLockObject *self, void *Py_UNUSED(closure))
{
    uint64_t cell = golock_cell_load(page_of(self));
    if (golock_cell_holder(cell) == 0 || golock_slot_holder_died(page_of(self), cell)) {
        Py_RETURN_NONE;
    }
    uint32_t process = golock_slot_process(page_of(self), golock_cell_holder(cell));
    if (process == 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLong(process);
}

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
             "Take the lock and return True.\n\n"
             "If it is held, wait for it: for timeout seconds (0 to TIMEOUT_MAX), or\n"
             "without limit with -1. Return False when the time has run out, and at once\n"
             "when blocking is false. A signal handler that raises ends the wait. A holder\n"
             "whose process ends frees the lock, and `abandoned` is then true.\n\n"
             "Raises Abandoned, with on_abandoned=\"raise\", if a holder's process ended\n"
             "since the last recover(); ValueError for a negative or NaN timeout and for a\n"
             "timeout without blocking, OverflowError for one that is too large; OSError\n"
             "when all slots of the page are taken. The lock is then not taken.");

PyDoc_STRVAR(release_doc,
             "release($self, /)\n--\n\n"
             "Release the lock, and let one of those that wait go on. Any thread of any\n"
             "process may release it.\n\n"
             "Raises RuntimeError if the lock is free; OSError if others wait, and this process\n"
             "has not used the lock and finds no room in its page, as acquire does. The lock is\n"
             "then not released.");

#define NO_ARGUMENTS(name, function, doc) {name, (PyCFunction)function, METH_NOARGS, doc}
#define ACQUIRE(name)                                                                              \
    {name, (PyCFunction)(void (*)(void))process_lock_acquire, METH_FASTCALL | METH_KEYWORDS,       \
     acquire_doc}

static PyMethodDef process_lock_methods[] = {
    ACQUIRE("acquire"),
    NO_ARGUMENTS("release", process_lock_release, release_doc),
    ACQUIRE("__enter__"),
    {"__exit__", (PyCFunction)(void (*)(void))process_lock_exit, METH_FASTCALL, release_doc},
    NO_ARGUMENTS("locked", process_lock_locked,
                 PyDoc_STR("locked($self, /)\n--\n\n"
                           "Return whether the lock is held, or reserved for a waiter.")),
    NO_ARGUMENTS(
        "recover", process_lock_recover,
        PyDoc_STR("recover($self, /)\n--\n\n"
                  "Say that what the lock protects is in order again: `abandoned` becomes\n"
                  "false. Return how many holders have died since the last call.\n\n"
                  "Raises RuntimeError if this process does not hold the lock.")),
    NO_ARGUMENTS("_descriptor", golock_page_object_descriptor, golock_page_object_descriptor_doc),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef process_lock_getset[] = {
    {"abandoned", (getter)process_lock_abandoned, NULL,
     PyDoc_STR("Whether a process has ended while it held the lock, and nobody has called\n"
               "recover() since."),
     NULL},
    {"holder", (getter)process_lock_holder, NULL,
     PyDoc_STR("The id of the process that holds the lock, as this process sees it. None if the\n"
               "lock is free, or if the holder cannot be seen from here: it is in another PID\n"
               "namespace, or has closed the descriptor of the page."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot process_lock_slots[] = {
    {Py_tp_new, process_lock_new},
    {Py_tp_dealloc, golock_page_object_dealloc},
    {Py_tp_doc, (void *)PyDoc_STR("A lock in a page that processes share.")},
    {Py_tp_methods, process_lock_methods},
    {Py_tp_members, golock_page_object_members},
    {Py_tp_getset, process_lock_getset},
    {0, NULL},
};

PyType_Spec golock_process_lock_spec = {
    .name = "golock._golock.ProcessLock",
    .basicsize = sizeof(ProcessLockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = process_lock_slots,
};
