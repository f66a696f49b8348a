/* What acquire_async and __aenter__ return: golock._golock.Awaitable. It takes nothing before it is
 * awaited, so nothing is lost if it never is. An uncontended wait ends in the first step; a
 * contended one goes on in a coroutine of golock/_loops.py. */
#include "loops/loops.h"

#include "args/bind.h"
#include "base/errors.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    const golock_awaited *kind;
    bool awaited;
    bool enters; /* it is an __aenter__'s */
    PyObject *object;
    PyObject *timeout;
    PyObject *owner;     /* as in a wait */
    PyObject *shown;     /* the same */
    PyObject *coroutine; /* of a contended wait, or NULL */
} Awaitable;

PyObject *
golock_await_by(const golock_state *state, const golock_awaited *kind, PyObject *object,
                PyObject *timeout, PyObject *owner)
{
    if (timeout == Py_None) {
        Py_INCREF(timeout);
    } else {
        double seconds = PyFloat_AsDouble(timeout);
        if (seconds == -1 && PyErr_Occurred()) {
            return NULL;
        }
        if (isnan(seconds)) {
            PyErr_SetString(PyExc_ValueError, "Invalid value NaN (not a number)");
            return NULL;
        }
        timeout = PyFloat_FromDouble(seconds); /* which can be added to the time of a loop */
    }
    Awaitable *self = timeout == NULL ? NULL : PyObject_GC_New(Awaitable, state->awaitable_type);
    if (self == NULL) {
        Py_XDECREF(timeout);
        return NULL;
    }
    self->kind = kind;
    self->awaited = true; /* so far there is nothing to warn of */
    self->enters = false;
    self->object = Py_NewRef(object);
    self->timeout = timeout;
    self->owner = Py_XNewRef(owner);
    self->shown = NULL;
    self->coroutine = NULL;
    if (kind->owned && owner == NULL && golock_running_task(state, &self->owner) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->awaited = false;
    if (PyObject_IS_GC(object)) { /* a Lock refers to nothing, so it is in no cycle yet */
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

PyObject *
golock_await_object(const golock_state *state, const golock_awaited *kind, PyObject *object,
                    PyObject *timeout)
{
    return golock_await_by(state, kind, object, timeout, NULL);
}

PyObject *
golock_await_enter(const golock_state *state, const golock_awaited *kind, PyObject *object)
{
    PyObject *awaitable = golock_await_object(state, kind, object, Py_None);
    if (awaitable != NULL) {
        ((Awaitable *)awaitable)->enters = true;
    }
    return awaitable;
}

void
golock_await_for(PyObject *awaitable, PyObject *shown)
{
    Py_XSETREF(((Awaitable *)awaitable)->shown, Py_NewRef(shown));
}

static int
awaitable_traverse(Awaitable *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->object);
    Py_VISIT(self->timeout);
    Py_VISIT(self->owner);
    Py_VISIT(self->shown);
    Py_VISIT(self->coroutine);
    return 0;
}

static int
awaitable_clear(Awaitable *self)
{
    Py_CLEAR(self->object);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->shown);
    Py_CLEAR(self->coroutine);
    return 0;
}

/* As of a coroutine. Preserves an exception that is set. */
static void
warn_of_no_await(const Awaitable *self)
{
    PyObject *raised = golock_raised();
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "'%s' was never awaited", self->kind->name) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    if (raised != NULL) {
        golock_raise(raised);
    }
}

static void
awaitable_dealloc(Awaitable *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_GC_IsTracked((PyObject *)self)) {
        PyObject_GC_UnTrack(self);
    }
    if (!self->awaited) {
        warn_of_no_await(self);
    }
    awaitable_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

PyObject *
golock_call_loops(const char *function, PyObject *const *args, size_t nargs)
{
    PyObject *loops = PyImport_ImportModule("golock._loops");
    PyObject *found = loops == NULL ? NULL : PyObject_GetAttrString(loops, function);
    PyObject *result = found == NULL ? NULL : PyObject_Vectorcall(found, args, nargs, NULL);
    Py_XDECREF(found);
    Py_XDECREF(loops);
    return result;
}

/* Of None or a float. */
static int64_t
deadline_of(PyObject *timeout)
{
    if (timeout == Py_None) {
        return GOLOCK_FOREVER;
    }
    const double seconds = PyFloat_AS_DOUBLE(timeout);
    const int64_t now = golock_now();
    const double most = (double)(GOLOCK_FOREVER - now) / NS_PER_SECOND;
    return seconds >= most  ? GOLOCK_FOREVER
           : seconds <= 0.0 ? now
                            : now + (int64_t)(seconds * NS_PER_SECOND);
}

static PyObject *
new_waiting(const Awaitable *self, const golock_awaited *kind)
{
    golock_waiting *waiting =
        (golock_waiting *)PyType_GenericAlloc(golock_state_of((PyObject *)self)->waiting_type, 0);
    if (waiting != NULL) {
        waiting->kind = kind;
        waiting->object = Py_NewRef(self->object);
        waiting->shown = Py_XNewRef(self->shown);
        waiting->deadline = deadline_of(self->timeout);
        waiting->owner = Py_XNewRef(self->owner);
    }
    return (PyObject *)waiting;
}

/* Begins a contended wait. Returns 0, or -1 with an exception set. */
static int
begin(Awaitable *self, const golock_awaited *kind)
{
    PyObject *waiting = new_waiting(self, kind);
    if (waiting == NULL) {
        return -1;
    }
    self->coroutine = golock_call_loops(kind->function, (PyObject *[]){waiting, self->timeout}, 2);
    Py_DECREF(waiting);
    if (self->coroutine == NULL) {
        return -1;
    }
    if (!PyObject_GC_IsTracked((PyObject *)self)) {
        PyObject_GC_Track(self);
    }
    return 0;
}

/* The method was called where no task runs. Returns 0, or -1 with an exception set. */
static int
find_owner(Awaitable *self)
{
    if (golock_running_task(golock_state_of((PyObject *)self), &self->owner) < 0) {
        return -1;
    }
    if (self->owner == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no task runs that could own the lock");
        return -1;
    }
    return 0;
}

static PySendResult
resume(Awaitable *self, PyObject *value, PyObject **result)
{
    const golock_awaited *kind = self->kind;
    *result = NULL;
    if (!self->awaited) {
        self->awaited = true;
        if (kind->owned && self->owner == NULL && find_owner(self) < 0) {
            return PYGEN_ERROR;
        }
        int ended = kind->try(self->object, self->owner);
        if (ended > 0) {
            *result = Py_NewRef(Py_True);
            return PYGEN_RETURN;
        }
        if (ended < 0 || begin(self, kind) < 0) {
            return PYGEN_ERROR;
        }
        value = Py_None;
    } else if (self->coroutine == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited wait");
        return PYGEN_ERROR;
    }
    return PyIter_Send(self->coroutine, value, result);
}

static PySendResult
awaitable_send(Awaitable *self, PyObject *value, PyObject **result)
{
    PySendResult sent = resume(self, value, result);
    if (sent == PYGEN_RETURN && self->enters) {
        Py_SETREF(*result, Py_NewRef(Py_None));
    }
    return sent;
}

/* Returns what a step yields, or NULL with StopIteration set. */
static PyObject *
step(Awaitable *self, PyObject *value)
{
    PyObject *result;
    PySendResult sent = awaitable_send(self, value, &result);
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        Py_CLEAR(result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
    }
    return result;
}

/* A second task would steal the steps of the first. */
static PyObject *
awaitable_await(Awaitable *self)
{
    if (self->awaited) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited wait");
        return NULL;
    }
    return Py_NewRef(self);
}

/* From 3.12 on `await` calls this, and no more the send above. To end with None it sets no
 * exception, with which an uncontended `async with` took half as long again. */
static PyObject *
awaitable_next(Awaitable *self)
{
    if (!self->enters) {
        return step(self, Py_None);
    }
    PyObject *result;
    if (awaitable_send(self, Py_None, &result) == PYGEN_RETURN) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
awaitable_throw(Awaitable *self, PyObject *const *args, Py_ssize_t nargs)
{
    self->awaited = true;
    if (nargs < 1 || nargs > 3) {
        PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", nargs);
        return NULL;
    }
    if (self->coroutine == NULL) {
        if (PyExceptionInstance_Check(args[0])) {
            PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
        } else if (PyExceptionClass_Check(args[0])) {
            PyErr_SetObject(args[0], nargs > 1 ? args[1] : NULL);
        } else {
            PyErr_Format(PyExc_TypeError,
                         "exceptions must be classes or instances deriving from BaseException, not "
                         "%.100s",
                         Py_TYPE(args[0])->tp_name);
        }
        return NULL;
    }
    PyObject *throw = PyObject_GetAttrString(self->coroutine, "throw");
    PyObject *result = throw == NULL ? NULL : PyObject_Vectorcall(throw, args, (size_t)nargs, NULL);
    Py_XDECREF(throw);
    return result;
}

static PyObject *
awaitable_close(Awaitable *self, PyObject *Py_UNUSED(ignored))
{
    self->awaited = true;
    return self->coroutine == NULL ? Py_NewRef(Py_None)
                                   : PyObject_CallMethod(self->coroutine, "close", NULL);
}

static PyMethodDef awaitable_methods[] = {
    {"send", (PyCFunction)step, METH_O,
     PyDoc_STR("send($self, value, /)\n--\n\nAs a coroutine's.")},
    {"throw", (PyCFunction)(void (*)(void))awaitable_throw, METH_FASTCALL,
     PyDoc_STR("throw($self, type, value=None, traceback=None, /)\n--\n\nAs a coroutine's.")},
    {"close", (PyCFunction)awaitable_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nAs a coroutine's.")},
    {NULL, NULL, 0, NULL},
};

static PyObject *
awaitable_qualname(Awaitable *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(self->kind->name);
}

static PyObject *
awaitable_name(Awaitable *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(strchr(self->kind->name, '.') + 1);
}

/* Of the contended wait; the closure is the attribute's name. */
static PyObject *
awaitable_of_coroutine(Awaitable *self, void *name)
{
    return self->coroutine == NULL ? Py_NewRef(Py_None)
                                   : PyObject_GetAttrString(self->coroutine, name);
}

static PyObject *
awaitable_running(Awaitable *self, void *name)
{
    return self->coroutine == NULL ? Py_NewRef(Py_False)
                                   : PyObject_GetAttrString(self->coroutine, name);
}

#if PY_VERSION_HEX >= 0x030F0000
static PyObject *
awaitable_state(Awaitable *self, void *name)
{
    return self->coroutine == NULL ? PyUnicode_FromString("CORO_CREATED")
                                   : PyObject_GetAttrString(self->coroutine, name);
}
#endif

static PyObject *
awaitable_repr(Awaitable *self)
{
    return PyUnicode_FromFormat("<awaitable %s at %p>", self->kind->name, self);
}

#define OF_COROUTINE(name, get) {name, (getter)get, NULL, PyDoc_STR("As a coroutine's."), name}

/* What debuggers, asyncio's debug mode and trio's stacks read. */
static PyGetSetDef awaitable_getset[] = {
    {"__name__", (getter)awaitable_name, NULL, PyDoc_STR("The name of the method."), NULL},
    {"__qualname__", (getter)awaitable_qualname, NULL,
     PyDoc_STR("The name of the method, with that of its class."), NULL},
    OF_COROUTINE("cr_await", awaitable_of_coroutine),
    OF_COROUTINE("cr_code", awaitable_of_coroutine),
    OF_COROUTINE("cr_frame", awaitable_of_coroutine),
    OF_COROUTINE("cr_running", awaitable_running),
#if PY_VERSION_HEX >= 0x030B0000
    OF_COROUTINE("cr_suspended", awaitable_running),
#endif
#if PY_VERSION_HEX >= 0x030F0000
    OF_COROUTINE("cr_state", awaitable_state),
#endif
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot awaitable_slots[] = {
    {Py_tp_repr, awaitable_repr},
    {Py_tp_getset, awaitable_getset},
    {Py_tp_dealloc, awaitable_dealloc},
    {Py_tp_traverse, awaitable_traverse},
    {Py_tp_clear, awaitable_clear},
    {Py_am_await, awaitable_await},
    {Py_am_send, awaitable_send},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaitable_next},
    {Py_tp_methods, awaitable_methods},
    {Py_tp_doc, (void *)PyDoc_STR("A wait that begins when it is awaited.")},
    {0, NULL},
};

PyType_Spec golock_awaitable_spec = {
    .name = "golock._golock.Awaitable",
    .basicsize = sizeof(Awaitable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_HAVE_GC,
    .slots = awaitable_slots,
};

/* What __aexit__ returns: golock._golock.Done. It has no state, so there is one in a module. */

static PySendResult
done_send(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(value), PyObject **result)
{
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *
done_next(PyObject *Py_UNUSED(self))
{
    return NULL;
}

static void
done_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot done_slots[] = {
    {Py_tp_dealloc, done_dealloc},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, done_send},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, done_next},
    {Py_tp_doc, (void *)PyDoc_STR("An awaitable that has ended.")},
    {0, NULL},
};

PyType_Spec golock_done_spec = {
    .name = "golock._golock.Done",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = done_slots,
};

PyObject *
golock_await_done(const golock_state *state, PyObject *released)
{
    if (released == NULL) {
        return NULL;
    }
    Py_DECREF(released);
    return Py_NewRef(state->done);
}

int
golock_loop_runs(void)
{
    PyObject *result = golock_call_loops("runs", NULL, 0);
    int runs = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return runs;
}

int
golock_refuse_to_await(PyObject *object)
{
    PyErr_Format(PyExc_RuntimeError,
                 "tasks cannot wait for a %.100s whose internals are used or whose methods are "
                 "overridden, or on green threads",
                 Py_TYPE(object)->tp_name);
    return -1;
}

int
golock_parse_async(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **timeout)
{
    static const golock_name names[] = {GOLOCK_NAME("timeout")};
    return nargs == 0 && kwnames == NULL
               ? 0
               : golock_parse_args(function, names, 1, 0, args, nargs, kwnames, timeout);
}
