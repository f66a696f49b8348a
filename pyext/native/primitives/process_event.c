/* The type of events across processes, from which golock.process.Event is derived. */
#include "args/bind.h"
#include "args/timeout.h"
#include "primitives/page_object.h"
#include "primitives/types.h"
#include "process/event.h"

static golock_page *
page_of(PyObject *self)
{
    return ((golock_page_object *)self)->page;
}

static PyObject *
process_event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", "device", "inode", "descriptor", NULL};
    const char *path;
    unsigned long long device, inode;
    int descriptor;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sKKi:ProcessEvent", names, &path, &device,
                                     &inode, &descriptor)) {
        return NULL;
    }
    return golock_page_object_new(type, GOLOCK_PAGE_EVENT, path, device, inode, descriptor);
}

static PyObject *
process_event_is_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(golock_page_is_set(page_of(self)));
}

static PyObject *
process_event_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (golock_page_set(page_of(self)) < 0) {
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, page_of(self)->path);
    }
    Py_RETURN_NONE;
}

static PyObject *
process_event_clear(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    golock_page_clear(page_of(self));
    Py_RETURN_NONE;
}

static PyObject *
process_event_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("timeout")};
    PyObject *timeout = Py_None;
    golock_deadline deadline;
    if (golock_parse_args("wait", names, 1, 0, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    if (golock_page_is_set(page_of(self))) {
        Py_RETURN_TRUE;
    }
    if (golock_parse_timeout(timeout, false, &deadline) < 0) {
        return NULL;
    }
    int result = golock_page_wait(page_of(self), deadline);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

#define NO_ARGUMENTS(name, function, doc) {name, function, METH_NOARGS, doc}

static PyMethodDef process_event_methods[] = {
    NO_ARGUMENTS("is_set", process_event_is_set,
                 PyDoc_STR("is_set($self, /)\n--\n\nReturn whether the event is set.")),
    NO_ARGUMENTS("set", process_event_set,
                 PyDoc_STR("set($self, /)\n--\n\n"
                           "Set the event. All that wait for it go on, in all processes, also if "
                           "it is\ncleared at once.\n\n"
                           "Raises OSError if a seccomp filter refuses the wake (FUTEX_WAKE_OP in\n"
                           "futex(2)); the event is not set then.")),
    NO_ARGUMENTS("clear", process_event_clear,
                 PyDoc_STR("clear($self, /)\n--\n\n"
                           "Clear the event. Those that a set has let go on are not affected.")),
    {"wait", (PyCFunction)(void (*)(void))process_event_wait, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("wait($self, /, timeout=None)\n--\n\n"
               "Wait until the event is set, for timeout seconds, or without limit with None.\n"
               "Return True, or False when the time has run out. A signal handler that raises\n"
               "ends the wait.\n\n"
               "Raises OverflowError for a timeout that is too large.")},
    NO_ARGUMENTS("_descriptor", golock_page_object_descriptor, golock_page_object_descriptor_doc),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot process_event_slots[] = {
    {Py_tp_new, process_event_new},
    {Py_tp_dealloc, golock_page_object_dealloc},
    {Py_tp_doc, (void *)PyDoc_STR("An event in a page that processes share.")},
    {Py_tp_methods, process_event_methods},
    {Py_tp_members, golock_page_object_members},
    {0, NULL},
};

PyType_Spec golock_process_event_spec = {
    .name = "golock._golock.ProcessEvent",
    .basicsize = sizeof(golock_page_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = process_event_slots,
};
