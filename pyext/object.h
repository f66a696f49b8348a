/* What the objects have that threading writes in Python: attributes of their own, and weak references. */
#ifndef GOLOCK_OBJECT_H
#define GOLOCK_OBJECT_H

#include "extension.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
} golock_object;

extern PyMemberDef golock_object_members[];

/* The first entry of a type's getset table. */
#define GOLOCK_OBJECT_DICT {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL}

#define GOLOCK_OBJECT_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)

int golock_object_traverse(PyObject *self, visitproc visit, void *arg);
int golock_object_clear(PyObject *self);

/* A tp_dealloc: clears the object by `clear`, frees it, and drops its reference to its type. */
void golock_object_free(PyObject *self, inquiry clear);

/* <module.Name at 0x...: what>, as threading writes it; on 3.10 as object does, without what is said.
 * `format` says it, as PyUnicode_FromFormat takes it. */
PyObject *golock_object_repr(PyObject *self, const char *format, ...);

/* Whether the object's class is the one with this tp_dealloc itself, not one derived from it in Python, which
 * may have methods of its own. */
static inline bool
golock_object_exact(PyObject *self, destructor dealloc)
{
    return Py_TYPE(self)->tp_dealloc == dealloc;
}

/* Takes the exception that is set: returns it, with its traceback. */
PyObject *golock_raised(void);

/* Sets an exception taken before, whose reference it takes over. */
void golock_raise(PyObject *exception);

/* Makes an exception taken before the context of the one that is set. */
void golock_chain(PyObject *exception);

#endif
