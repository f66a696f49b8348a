#include "args/bind.h"

static int
find(PyObject *name, const golock_name *names, int length)
{
    for (int i = 0; i < length; i++) {
        if (golock_is_name(name, names[i])) {
            return i;
        }
    }
    return -1;
}

static int
bind_by_name(const char *function, const golock_name *names, int length, PyObject *name,
             PyObject *value, Py_ssize_t nargs, PyObject **values)
{
    if (!PyUnicode_Check(name)) { /* f(**{1: 2}) gets this far where f is a type */
        PyErr_SetString(PyExc_TypeError, "keywords must be strings");
        return -1;
    }
    int at = find(name, names, length);
    if (at < 0) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function,
                     name);
        return -1;
    }
    if (at < nargs) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, name);
        return -1;
    }
    values[at] = value;
    return 0;
}

static int
bind_by_position(const char *function, int length, PyObject *const *args, Py_ssize_t nargs,
                 PyObject **values)
{
    if (nargs > length) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)", function,
                     length, nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        values[i] = args[i];
    }
    return 0;
}

static int
check_required(const char *function, const golock_name *names, int required, PyObject **values)
{
    for (int i = 0; i < required; i++) {
        if (values[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", function,
                         names[i].text);
            return -1;
        }
    }
    return 0;
}

int
golock_parse_args(const char *function, const golock_name *names, int length, int required,
                  PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **values)
{
    if (bind_by_position(function, length, args, nargs, values) < 0) {
        return -1;
    }
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (bind_by_name(function, names, length, name, args[nargs + i], nargs, values) < 0) {
            return -1;
        }
    }
    return check_required(function, names, required, values);
}

int
golock_parse_init_args_given(const char *function, const golock_name *names, int length,
                             int required, PyObject *args, PyObject *kwargs, PyObject **values)
{
    Py_ssize_t nargs = PyTuple_GET_SIZE(args);
    if (bind_by_position(function, length, ((PyTupleObject *)args)->ob_item, nargs, values) < 0) {
        return -1;
    }
    PyObject *name, *value;
    Py_ssize_t position = 0;
    while (kwargs != NULL && PyDict_Next(kwargs, &position, &name, &value)) {
        if (bind_by_name(function, names, length, name, value, nargs, values) < 0) {
            return -1;
        }
    }
    return check_required(function, names, required, values);
}
