/* The state of one module, and so of one interpreter. */
#ifndef GOLOCK_STATE_H
#define GOLOCK_STATE_H

#include "base/compat.h"

#include "golock.h"

/* What a class looks like while nobody has changed it: see object.h. */
typedef struct {
    PyObject *attributes; /* a tuple of those that the interpreter's methods use on self */
    unsigned int version; /* of the last type that was found to have these */
} golock_class_state;

/* A kind of object whose word can be shared. `share` writes the header that precedes the word and
 * returns it, or NULL with TypeError set; `with` returns the object around a header, a borrowed
 * reference. */
struct golock_shareable {
    PyTypeObject *type; /* borrowed from the state */
    struct golock_header *(*share)(PyObject *object);
    PyObject *(*with)(struct golock_header *header);
};

#define GOLOCK_SHAREABLE (GOLOCK_EVENT + 1) /* by enum golock_kind */

#define GOLOCK_TASK_NAMES 4
#define GOLOCK_CLASSES 5
#define GOLOCK_CONDITIONS 0 /* the index of Condition among them */

typedef struct {
    PyTypeObject *lock_type;
    PyTypeObject *rlock_type;
    PyTypeObject *condition_type;
    PyTypeObject *semaphore_type;
    PyTypeObject *bounded_semaphore_type;
    PyTypeObject *event_type;
    PyTypeObject *barrier_type;
    PyTypeObject *process_lock_type;
    PyTypeObject *known_lock_type;
    PyTypeObject *process_event_type;
    PyTypeObject *port_type, *waiting_type, *awaitable_type; /* loops/loops.h */
    PyObject *done, *done_name, *set_result_name; /* an awaitable; "done", "set_result" */
    PyObject *task_names[GOLOCK_TASK_NAMES];      /* loops/task.c */
    PyObject *core_error, *deadlock_error, *abandoned_error;
    golock_class_state classes[GOLOCK_CLASSES];
    PyObject *opened; /* the interpreter's methods by class and name, or NULL before they are
                       * needed */
    struct golock_green *green;                          /* install.h */
    struct golock_shareable shareable[GOLOCK_SHAREABLE]; /* sharing/share.h */
    PyObject *threading_name, *rlock_name,
        *error_name; /* "threading", "RLock", "BrokenBarrierError" */
} golock_state;

golock_state *golock_state_look_up(PyTypeObject *type);

/* The first module of the process while it exists. A type keeps its module alive. */
extern struct golock_first_module {
    PyObject *module;
    golock_state *state;
} golock_first_module;

/* Returns the state of the module that made the object's type, or a base of it. */
static inline golock_state *
golock_state_of(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *module = ((PyHeapTypeObject *)type)->ht_module;
#ifndef Py_GIL_DISABLED
    /* A type made by Python code has no module. Without a GIL its bases may change meanwhile. */
    while (module == NULL) {
        type = type->tp_base;
        module = ((PyHeapTypeObject *)type)->ht_module;
    }
#endif
    return module != NULL &&
                   module == __atomic_load_n(&golock_first_module.module, __ATOMIC_ACQUIRE)
               ? golock_first_module.state
               : golock_state_look_up(type);
}

/* The definition of the module, which identifies its types. */
extern PyModuleDef golock_module;

#endif
