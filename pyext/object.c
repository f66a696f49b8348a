/* What the objects have that threading writes in Python. */
#include "object.h"

PyMemberDef golock_object_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(golock_object, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(golock_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

int
golock_object_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((golock_object *)self)->dict);
    return 0;
}

int
golock_object_clear(PyObject *self)
{
    Py_CLEAR(((golock_object *)self)->dict);
    return 0;
}

void
golock_object_free(PyObject *self, inquiry clear)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((golock_object *)self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#if PY_VERSION_HEX >= 0x030B0000
PyObject *
golock_object_repr(PyObject *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *what = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    PyObject *module = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__module__");
    PyObject *name = PyType_GetQualName(Py_TYPE(self));
    PyObject *repr = NULL;
    if (what != NULL && module != NULL && name != NULL) {
        repr = PyUnicode_FromFormat("<%S.%U at %p: %U>", module, name, self, what);
    }
    Py_XDECREF(what);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return repr;
}
#else
PyObject *
golock_object_repr(PyObject *self, const char *Py_UNUSED(format), ...)
{
    return PyBaseObject_Type.tp_repr(self);
}
#endif

PyObject *
golock_raised(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return exception;
#endif
}

void
golock_raise(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

void
golock_chain(PyObject *exception)
{
    PyObject *raised = golock_raised();
    PyException_SetContext(raised, exception);
    golock_raise(raised);
}
