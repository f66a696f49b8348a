#ifndef GOLOCK_LOOKUP_H
#define GOLOCK_LOOKUP_H

#include "base/compat.h"

/* Returns a new reference to the value, or NULL, and may set an exception. The keys that it is
 * compared with are strings, integers or compared by identity, so that no Python code runs. */
static inline PyObject *
golock_get_item(PyObject *dict, PyObject *key)
{
    PyObject *value = NULL;
    if (dict == NULL || key == NULL || !PyDict_CheckExact(dict)) {
        return NULL;
    }
#if PY_VERSION_HEX >= 0x030D0000
    PyDict_GetItemRef(dict, key, &value);
#else
    value = Py_XNewRef(PyDict_GetItemWithError(dict, key));
#endif
    return value;
}

/* What is kept while no Python code may run: the exception that is set, and whether new objects
 * start a collection. Since 3.12 they do not. */
typedef struct {
    PyObject *type, *value, *traceback;
    int collects;
} golock_quiet;

static inline golock_quiet
golock_quiet_begin(void)
{
    golock_quiet quiet = {0};
    PyErr_Fetch(&quiet.type, &quiet.value, &quiet.traceback);
#if PY_VERSION_HEX < 0x030C0000
    quiet.collects = PyGC_Disable();
#endif
    return quiet;
}

static inline void
golock_quiet_end(golock_quiet quiet)
{
    PyErr_Restore(quiet.type, quiet.value, quiet.traceback);
#if PY_VERSION_HEX < 0x030C0000
    if (quiet.collects) {
        PyGC_Enable();
    }
#endif
}

#endif
