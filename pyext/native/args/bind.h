/* Arguments by position and by name, as functions written in Python take them. */
#ifndef GOLOCK_BIND_H
#define GOLOCK_BIND_H

#include "base/compat.h"

#include <stdbool.h>
#include <string.h>

/* The name of an argument, in ASCII. */
typedef struct {
    const char *text;
    Py_ssize_t length;
} golock_name;

#define GOLOCK_NAME(text) {text, sizeof(text) - 1}

/* Whether the text is the name. */
static inline bool
golock_is_name(PyObject *text, golock_name name)
{
    if (!PyUnicode_IS_COMPACT_ASCII(text)) { /* an instance of a subclass of str */
        return PyUnicode_CompareWithASCIIString(text, name.text) == 0;
    }
    return PyUnicode_GET_LENGTH(text) == name.length &&
           memcmp(PyUnicode_1BYTE_DATA(text), name.text, (size_t)name.length) == 0;
}

/* Sorts a call's arguments into values, by position or by name, as borrowed references. Values of
 * arguments not given stay as they are. Returns 0, or -1 with TypeError set if there are too many
 * arguments, one is given twice or unknown, or one of the first `required` is missing. */
int golock_parse_args(const char *function, const golock_name *names, int length, int required,
                      PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                      PyObject **values);

/* The same for the arguments of a tp_init. */
int golock_parse_init_args_given(const char *function, const golock_name *names, int length,
                                 int required, PyObject *args, PyObject *kwargs, PyObject **values);

static inline int
golock_parse_init_args(const char *function, const golock_name *names, int length, int required,
                       PyObject *args, PyObject *kwargs, PyObject **values)
{
    return required == 0 && PyTuple_GET_SIZE(args) == 0 && kwargs == NULL
               ? 0
               : golock_parse_init_args_given(function, names, length, required, args, kwargs,
                                              values);
}

#endif
