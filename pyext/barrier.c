/* The type golock.Barrier: the class of that name in CPython's Lib/threading.py. Those that arrive listen
 * until the last one tells them how it went, so a barrier may be used again while some have not left yet. */
#include "corecall.h"
#include "mutex.h"
#include "object.h"

#include <stddef.h>

typedef struct {
    golock_object base;
    golock_mutex mutex; /* held while somebody arrives, gives up, or runs the action */
    uint32_t word;
    bool broken;
    PyObject *parties, *action, *timeout; /* NULL before __init__ */
    PyObject *error;                      /* threading.BrokenBarrierError, which cannot be imported at exit */
} BarrierObject;

static int
barrier_traverse(BarrierObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->parties);
    Py_VISIT(self->action);
    Py_VISIT(self->timeout);
    Py_VISIT(self->error);
    return golock_object_traverse((PyObject *)self, visit, arg);
}

static int
barrier_clear(BarrierObject *self)
{
    Py_CLEAR(self->parties);
    Py_CLEAR(self->action);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->error);
    return golock_object_clear((PyObject *)self);
}

static void
barrier_dealloc(PyObject *self)
{
    golock_object_free(self, (inquiry)barrier_clear);
}

/* From 3.13 on the number of parties is checked. Returns 0, or -1 with ValueError or TypeError set. */
static int
check_parties(PyObject *parties)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *one = PyLong_FromLong(1);
    int too_few = one == NULL ? -1 : PyObject_RichCompareBool(parties, one, Py_LT);
    Py_XDECREF(one);
    if (too_few > 0) {
        PyErr_SetString(PyExc_ValueError, "parties must be >= 1");
    }
    return too_few == 0 ? 0 : -1;
#else
    (void)parties;
    return 0;
#endif
}

static int
barrier_init(BarrierObject *self, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"parties", "action", "timeout"};
    PyObject *values[3] = {NULL, Py_None, Py_None};
    if (golock_bind_init("Barrier", names, 3, 1, args, kwargs, values) < 0 || check_parties(values[0]) < 0) {
        return -1;
    }
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *error = threading == NULL ? NULL : PyObject_GetAttrString(threading, "BrokenBarrierError");
    Py_XDECREF(threading);
    if (error == NULL) {
        return -1;
    }
    Py_XSETREF(self->error, error);
    Py_XSETREF(self->parties, Py_NewRef(values[0]));
    Py_XSETREF(self->action, Py_NewRef(values[1]));
    Py_XSETREF(self->timeout, Py_NewRef(values[2]));
    return 0;
}

static uint32_t
waiting(const BarrierObject *self)
{
    return __atomic_load_n(&self->word, __ATOMIC_RELAXED);
}

static bool
is_broken(const BarrierObject *self)
{
    return __atomic_load_n(&self->broken, __ATOMIC_RELAXED);
}

/* Takes the barrier's mutex. Returns 0, or -1 with an exception set. */
static int
enter(BarrierObject *self)
{
    return golock_mutex_acquire(&self->mutex, -1) < 0 ? -1 : 0;
}

/* Frees the mutex. */
static void
leave(BarrierObject *self)
{
    golock_mutex_release(&self->mutex);
}

/* Tells all that wait how it went. Returns 0, or -1 with CoreError or MemoryError set. */
static int
tell(BarrierObject *self, uint32_t told)
{
    if (waiting(self) == 0 && !golock_has_inherited()) {
        return 0;
    }
    return golock_notify(golock_state_of((PyObject *)self), &self->word, GOLOCK_EVERYONE, told);
}

/* Breaks the barrier. Returns as tell does. */
static int
break_barrier(BarrierObject *self)
{
    __atomic_store_n(&self->broken, true, __ATOMIC_RELAXED);
    return tell(self, GOLOCK_BROKEN);
}

/* Returns -1. */
static int
raise_broken(BarrierObject *self)
{
    PyErr_SetNone(self->error);
    return -1;
}

/* Runs the action, with the mutex, and lets all go. Returns 0, or -1 with what the action raised set, and the
 * barrier broken. */
static int
trip(BarrierObject *self)
{
    PyObject *action = Py_NewRef(self->action); /* __init__ may be called again meanwhile */
    int acts = PyObject_IsTrue(action);
    PyObject *result = acts > 0 ? PyObject_CallNoArgs(action) : NULL;
    Py_DECREF(action);
    if (acts < 0 || (acts > 0 && result == NULL)) {
        PyObject *raised = golock_raised();
        if (break_barrier(self) < 0) {
            golock_chain(raised);
        } else {
            golock_raise(raised);
        }
        return -1;
    }
    Py_XDECREF(result);
    return tell(self, GOLOCK_TOLD);
}

/* Waits to be told how it went. Has the mutex when it is called, and does not when it returns 0, or -1 with
 * an exception set. */
static int
wait_for_the_others(BarrierObject *self, PyObject *limit, golock_listening *listening)
{
    const golock_state *state = golock_state_of((PyObject *)self);
    int64_t timeout;
    if (golock_parse_timeout(limit, true, &timeout) < 0 || golock_listen(state, &self->word, listening) < 0) {
        leave(self);
        return -1;
    }
    int64_t deadline = golock_deadline_after(timeout);
    leave(self);
    int64_t told = golock_await(state, &self->word, listening, deadline);
    if (told <= 0) {
        /* While the action runs nobody gives up: it may yet be told that all is well. */
        PyObject *raised = told < 0 ? golock_raised() : NULL;
        golock_mutex_reacquire(&self->mutex);
        told = golock_withdraw(&self->word, listening);
        int failed = 0;
        if (told == 0 && raised == NULL) {
            failed = break_barrier(self);
            told = GOLOCK_BROKEN;
        }
        leave(self);
        if (raised != NULL) {
            golock_raise(raised);
        }
        if (failed < 0 || raised != NULL) {
            return -1;
        }
    }
    return told == GOLOCK_BROKEN ? raise_broken(self) : 0;
}

/* Waits, see barrier_wait. */
static PyObject *
arrive(BarrierObject *self, PyObject *timeout)
{
    if (enter(self) < 0) {
        return NULL;
    }
    if (is_broken(self)) {
        raise_broken(self);
        leave(self);
        return NULL;
    }
    uint32_t index = waiting(self);
    PyObject *arrived = PyLong_FromUnsignedLong((unsigned long)index + 1);
    PyObject *parties = Py_NewRef(self->parties);
    int last = arrived == NULL ? -1 : PyObject_RichCompareBool(arrived, parties, Py_EQ);
    Py_DECREF(parties);
    Py_XDECREF(arrived);
    if (last != 0) {
        int failed = last < 0 || trip(self) < 0;
        leave(self);
        if (failed) {
            return NULL;
        }
        return PyLong_FromUnsignedLong(index);
    }
    golock_listening *listening = golock_listening_new();
    if (listening == NULL) {
        leave(self);
        return NULL;
    }
    int result = wait_for_the_others(self, timeout, listening);
    PyMem_RawFree(listening);
    return result < 0 ? NULL : PyLong_FromUnsignedLong(index);
}

static PyObject *
barrier_wait(BarrierObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout = Py_None;
    if (golock_bind("wait", names, 1, 0, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    if (self->parties == NULL) {
        PyErr_SetString(PyExc_AttributeError, "Barrier.__init__() was not called");
        return NULL;
    }
    timeout = Py_NewRef(timeout == Py_None ? self->timeout : timeout);
    PyObject *index = arrive(self, timeout);
    Py_DECREF(timeout);
    return index;
}

static PyObject *
barrier_abort(BarrierObject *self, PyObject *Py_UNUSED(ignored))
{
    if (enter(self) < 0) {
        return NULL;
    }
    int failed = break_barrier(self);
    leave(self);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *
barrier_reset(BarrierObject *self, PyObject *Py_UNUSED(ignored))
{
    if (enter(self) < 0) {
        return NULL;
    }
    int failed = tell(self, GOLOCK_BROKEN);
    __atomic_store_n(&self->broken, false, __ATOMIC_RELAXED);
    leave(self);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *
barrier_repr(BarrierObject *self)
{
    if (is_broken(self)) {
        return golock_object_repr((PyObject *)self, "broken");
    }
    return golock_object_repr((PyObject *)self, "waiters=%u/%S", (unsigned)waiting(self),
                              self->parties == NULL ? Py_None : self->parties);
}

static PyObject *
get_waiting(BarrierObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(waiting(self));
}

static PyObject *
get_broken(BarrierObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_broken(self));
}

static PyObject *
get_parties(BarrierObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->parties == NULL ? Py_None : self->parties);
}

/* A class that has fields of the barrier written in Python, as multiprocessing's has, needs the methods that
 * use them. */
static PyObject *
barrier_init_subclass(PyTypeObject *type, PyObject *Py_UNUSED(ignored))
{
    PyObject *field = PyDict_GetItemString(type->tp_dict, "_state");
    if (field == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *module = PyImport_ImportModule("golock._install");
    PyObject *result = module == NULL ? NULL : PyObject_CallMethod(module, "complete", "O", type);
    Py_XDECREF(module);
    return result;
}

PyDoc_STRVAR(barrier_doc,
             "Barrier(parties, action=None, timeout=None)\n--\n\n"
             "Lets threads wait until so many of them have arrived.\n\n"
             "The last one calls the action before they go on. The timeout, in seconds, is that of\n"
             "every wait without one of its own.");

PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Wait for the other parties; return how many had arrived before.\n\n"
             "When timeout seconds pass before they are there, the barrier is broken. Raises\n"
             "threading.BrokenBarrierError when it is broken, or is broken or reset meanwhile; what the\n"
             "action raised, which breaks it too; CoreError when the lock core cannot be loaded.");

static PyMethodDef barrier_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))barrier_wait, METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"reset", (PyCFunction)barrier_reset, METH_NOARGS,
     PyDoc_STR(
         "reset($self, /)\n--\n\nMake the barrier whole and empty. Who waits gets BrokenBarrierError.")},
    {"__init_subclass__", (PyCFunction)barrier_init_subclass, METH_CLASS | METH_NOARGS, NULL},
    {"abort", (PyCFunction)barrier_abort, METH_NOARGS,
     PyDoc_STR("abort($self, /)\n--\n\nBreak the barrier. Who waits or comes gets BrokenBarrierError.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef barrier_getset[] = {
    GOLOCK_OBJECT_DICT,
    {"parties", (getter)get_parties, NULL, PyDoc_STR("How many threads have to arrive."), NULL},
    {"n_waiting", (getter)get_waiting, NULL, PyDoc_STR("How many threads wait."), NULL},
    {"broken", (getter)get_broken, NULL, PyDoc_STR("Whether the barrier is broken."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, barrier_init},
    {Py_tp_dealloc, barrier_dealloc},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_repr, barrier_repr},
    {Py_tp_doc, (void *)barrier_doc},
    {Py_tp_methods, barrier_methods},
    {Py_tp_members, golock_object_members},
    {Py_tp_getset, barrier_getset},
    {0, NULL},
};

PyType_Spec golock_barrier_spec = {
    .name = "golock.Barrier",
    .basicsize = sizeof(BarrierObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = barrier_slots,
};
