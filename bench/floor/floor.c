/* The floor: a type whose acquire(), release() and context manager do nothing. A call costs what
 * the interpreter takes to call a C method; no lock in an extension can be cheaper. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *
floor_acquire(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyObject *
floor_release(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_NONE;
}

static PyObject *
floor_exit(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    Py_RETURN_NONE;
}

static PyMethodDef floor_methods[] = {
    {"acquire", floor_acquire, METH_NOARGS, PyDoc_STR("Do nothing; return True.")},
    {"release", floor_release, METH_NOARGS, PyDoc_STR("Do nothing.")},
    {"__enter__", floor_acquire, METH_NOARGS, PyDoc_STR("Do nothing; return True.")},
    {"__exit__", (PyCFunction)(void (*)(void))floor_exit, METH_FASTCALL, PyDoc_STR("Do nothing.")},
    {NULL, NULL, 0, NULL},
};

static void
floor_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot floor_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A lock that locks nothing.")},
    {Py_tp_methods, floor_methods},
    {Py_tp_dealloc, floor_dealloc},
    {0, NULL},
};

static PyType_Spec floor_spec = {
    .name = "floor.Floor",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = floor_slots,
};

static int
floor_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &floor_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, floor_exec},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_floor",
    .m_doc = PyDoc_STR("What a call of a C method costs when the method does nothing."),
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__floor(void)
{
    return PyModuleDef_Init(&module_def);
}
