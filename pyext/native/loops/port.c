/* golock._golock.Port: where the tasks of one event loop are woken. */
#include "loops/loops.h"

#include "base/process.h"
#include "core/loader.h"
#include "sight/serve.h"

#include <errno.h>
#include <stddef.h>

typedef struct {
    PyObject_HEAD
    golock_port port;
} PortObject;

static PyObject *
port_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":Port") || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        return NULL;
    }
    PortObject *self = PyObject_New(PortObject, type);
    if (self == NULL) {
        return NULL;
    }
    if (!golock_port_open(&self->port)) {
        PyErr_SetFromErrno(PyExc_OSError);
        PyObject_Free(self);
        Py_DECREF(type);
        return NULL;
    }
    return (PyObject *)self;
}

static void
port_dealloc(PortObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    golock_port_close(&self->port);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
port_fileno(PortObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->port.descriptor);
}

static PyObject *
port_is_own(PortObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(golock_port_is_own(&self->port));
}

/* A future that is done already has been cancelled; its task leaves the wait. */
static PyObject *
port_run(PortObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!golock_port_is_own(&self->port)) {
        Py_RETURN_NONE;
    }
    const golock_state *state = golock_state_of((PyObject *)self);
    golock_port_begin(&self->port);
    PyObject *future;
    while ((future = golock_port_next(&self->port)) != NULL) {
        PyObject *done = PyObject_CallMethodNoArgs(future, state->done_name);
        int is_done = done == NULL ? -1 : PyObject_IsTrue(done);
        PyObject *set = is_done == 0
                            ? PyObject_CallMethodOneArg(future, state->set_result_name, Py_None)
                            : NULL;
        Py_DECREF(future);
        Py_XDECREF(done);
        if (is_done < 0 || (is_done == 0 && set == NULL)) {
            golock_port_kick(&self->port); /* for the others */
            return NULL;
        }
        Py_XDECREF(set);
    }
    Py_RETURN_NONE;
}

static PyObject *
port_kick(PortObject *self, PyObject *Py_UNUSED(ignored))
{
    golock_port_kick(&self->port);
    Py_RETURN_NONE;
}

static PyMethodDef port_methods[] = {
    {"fileno", (PyCFunction)port_fileno, METH_NOARGS,
     PyDoc_STR("fileno($self, /)\n--\n\n"
               "Return the descriptor that is readable when the loop is to call run.")},
    {"run", (PyCFunction)port_run, METH_NOARGS,
     PyDoc_STR("run($self, /)\n--\n\n"
               "Call set_result(None) of the futures of the tasks that are to look at what they\n"
               "wait for. The loop calls this in its thread.")},
    {"kick", (PyCFunction)port_kick, METH_NOARGS,
     PyDoc_STR("kick($self, /)\n--\n\nMake the descriptor readable.")},
    {"is_own", (PyCFunction)port_is_own, METH_NOARGS,
     PyDoc_STR("is_own($self, /)\n--\n\nReturn whether this process made the port.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot port_slots[] = {
    {Py_tp_new, port_new},
    {Py_tp_dealloc, port_dealloc},
    {Py_tp_methods, port_methods},
    {Py_tp_doc, (void *)PyDoc_STR("Port()\n--\n\nWhere the tasks of an event loop are woken.")},
    {0, NULL},
};

PyType_Spec golock_port_spec = {
    .name = "golock._golock.Port",
    .basicsize = sizeof(PortObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = port_slots,
};

/* Drops the GIL for the write that wakes another thread, which needs the GIL next. In the loop's
 * own thread a call_soon costs less. */
PyObject *
golock_loop_resume(PyObject *self, PyObject *result)
{
    golock_port *held = golock_port_resume();
    if (held == NULL) {
        return result;
    }
    PyTypeObject *port_type = golock_state_of(self)->port_type;
    PyObject *port = (PyObject *)((char *)held - offsetof(PortObject, port));
    if (result == NULL || !Py_IS_TYPE(port, port_type)) { /* or another module's */
        golock_port_kick(held);
        return result;
    }
    if (!pthread_equal(held->thread, pthread_self())) {
        Py_INCREF(port);
        Py_BEGIN_ALLOW_THREADS golock_port_kick(held);
        Py_END_ALLOW_THREADS Py_DECREF(port);
        return result;
    }
    PyObject *soon = golock_call_loops("run_soon", &port, 1);
    if (soon == NULL) {
        golock_port_kick(held);
        Py_CLEAR(result);
    }
    Py_XDECREF(soon);
    return result;
}

/* golock._golock.Waiter. */

static golock_port *
port_of(PyObject *port)
{
    return &((PortObject *)port)->port;
}

int
golock_no_thread(void)
{
    PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
    return -1;
}

int
golock_waiting_begin(golock_waiting *self)
{
    if (!self->begun) {
        if (!golock_tasks_start()) {
            return golock_no_thread();
        }
        if (golock_sight_now() != GOLOCK_SIGHT_OFF) {
            golock_serve_with(golock_core_load()); /* which looks for deadlocks */
        }
        self->task.since = golock_now();
        self->begun = true;
    }
    return 0;
}

/* Shows the wait to golock.sight, from the first claim on that has failed. */
static void
record_wait(golock_waiting *self)
{
    golock_object_record *object = self->kind->known(self);
    if (object == NULL) {
        return;
    }
    if (self->record == NULL) {
        self->record = golock_record_task_wait(object, self->deadline);
        self->recorded = golock_process;
    } else if (self->recorded == golock_process && self->record->object != object) {
        golock_move_wait(self->record, object);
    }
}

/* In a child made by fork the record is somebody else's. */
static void
end_record(golock_waiting *self)
{
    golock_wait_record *record = self->record;
    self->record = NULL;
    if (record != NULL && self->recorded == golock_process) {
        golock_end_wait(record);
    }
}

static PyObject *
waiting_claim(golock_waiting *self, PyObject *port)
{
    if (!Py_IS_TYPE(port, golock_state_of((PyObject *)self)->port_type)) {
        PyErr_SetString(PyExc_TypeError, "claim() requires a Port");
        return NULL;
    }
    if (self->port == NULL) {
        self->port = Py_NewRef(port);
        self->task.port = port_of(port);
    }
    if (!golock_port_is_own(self->task.port)) {
        PyErr_SetString(PyExc_RuntimeError, "the event loop belongs to a parent process");
        return NULL;
    }
    int ended = self->kind->claim(self);
    if (ended == 0) {
        record_wait(self);
    } else if (ended > 0) {
        end_record(self); /* a task that has a lock and seems to wait for it is a deadlock */
        if (self->kind->taken != NULL) {
            self->kind->taken(self);
        }
    }
    return ended < 0 ? NULL : PyBool_FromLong(ended);
}

static PyObject *
waiting_leave(golock_waiting *self, PyObject *Py_UNUSED(ignored))
{
    end_record(self);
    int notified = self->begun ? self->kind->leave(self) : 0;
    self->begun = false;
    return notified < 0 ? NULL : PyBool_FromLong(notified);
}

static PyObject *
waiting_begun(golock_waiting *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->begun);
}

static PyObject *
waiting_future(golock_waiting *self, PyObject *future)
{
    golock_tasks_lock();
    PyObject *before = self->task.future;
    self->task.future = Py_NewRef(future);
    golock_tasks_unlock();
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyObject *
waiting_relock(golock_waiting *self, PyObject *Py_UNUSED(ignored))
{
    self->relocks = self->ended = true;
    Py_RETURN_NONE;
}

static PyObject *
waiting_fail(golock_waiting *self, PyObject *ignored)
{
    self->fails = true;
    return waiting_relock(self, ignored);
}

static PyObject *
waiting_give_up(golock_waiting *self, PyObject *Py_UNUSED(ignored))
{
    self->gives_up = true;
    Py_RETURN_NONE;
}

static PyObject *
waiting_relocks(golock_waiting *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->relocks);
}

static int
waiting_traverse(golock_waiting *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->object);
    Py_VISIT(self->shown);
    Py_VISIT(self->owner);
    Py_VISIT(self->hold.task);
    Py_VISIT(self->task.future);
    return 0;
}

static int
waiting_clear(golock_waiting *self)
{
    end_record(self);
    if (self->begun) {
        self->begun = false;
        if (self->kind->leave(self) < 0) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
    }
    golock_tasks_lock();
    PyObject *future = self->task.future;
    self->task.future = NULL;
    golock_tasks_unlock();
    Py_XDECREF(future);
    return 0;
}

static void
waiting_dealloc(golock_waiting *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    waiting_clear(self);
    Py_XDECREF(self->port);
    Py_XDECREF(self->object);
    Py_XDECREF(self->shown);
    Py_XDECREF(self->owner);
    Py_XDECREF(self->hold.task);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef waiting_methods[] = {
    {"claim", (PyCFunction)waiting_claim, METH_O,
     PyDoc_STR("claim($self, port, /)\n--\n\n"
               "Return whether the task has got what it waits for. Otherwise the port runs its\n"
               "future when it is to ask again.")},
    {"set_future", (PyCFunction)waiting_future, METH_O,
     PyDoc_STR("set_future($self, future, /)\n--\n\nSet the future that the port runs.")},
    {"relock", (PyCFunction)waiting_relock, METH_NOARGS,
     PyDoc_STR("relock($self, /)\n--\n\n"
               "Wait at the condition no more: from now on claim takes its lock.")},
    {"fail", (PyCFunction)waiting_fail, METH_NOARGS,
     PyDoc_STR("fail($self, /)\n--\n\n"
               "The same for a wait that raises: leave passes a notification on.")},
    {"give_up", (PyCFunction)waiting_give_up, METH_NOARGS,
     PyDoc_STR("give_up($self, /)\n--\n\n"
               "Say that a wait that has failed ends without the lock of its condition: the\n"
               "__aexit__ of a coroutine that is closed releases nothing.")},
    {"leave", (PyCFunction)waiting_leave, METH_NOARGS,
     PyDoc_STR("leave($self, /)\n--\n\n"
               "End the wait. Return whether the waiter of a condition was notified.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef waiting_getset[] = {
    {"begun", (getter)waiting_begun, NULL,
     PyDoc_STR("Whether a claim has begun the wait, which leave ends."), NULL},
    {"relocks", (getter)waiting_relocks, NULL,
     PyDoc_STR("Whether the task was notified at a condition, or called relock."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot waiting_slots[] = {
    {Py_tp_dealloc, waiting_dealloc},
    {Py_tp_traverse, waiting_traverse},
    {Py_tp_clear, waiting_clear},
    {Py_tp_methods, waiting_methods},
    {Py_tp_getset, waiting_getset},
    {Py_tp_doc, (void *)PyDoc_STR("A wait of a task.")},
    {0, NULL},
};

PyType_Spec golock_waiting_spec = {
    .name = "golock._golock.Waiter",
    .basicsize = sizeof(golock_waiting),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_HAVE_GC,
    .slots = waiting_slots,
};
