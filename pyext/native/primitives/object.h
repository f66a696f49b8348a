/* What the classes that threading writes in Python have in common: attributes of their own, weak
 * references, and two ways to work.
 *
 * A native object keeps its state in C, and its methods are C. An opened object keeps its state in
 * its __dict__, under the interpreter's names, and its methods call the interpreter's own
 * functions, which golock/_opened.py makes from the code of threading. An object is opened, for
 * good, when a private attribute or its __dict__ is accessed, or when its class or the object
 * itself overrides a method that other methods call. Threads that wait natively at that moment go
 * on waiting, and either way of waking reaches them.
 *
 * A new object is opened and has an empty __dict__, so that everything before __init__, or without
 * it, is as in the interpreter. __init__ makes the object native if nothing prevents that.
 *
 * Changes between the two happen with the GIL, or within the object's critical section, in one step
 * in which no Python code runs. C code that has run foreign code, or has waited, must check again
 * which of the two the object is. */
#ifndef GOLOCK_OBJECT_H
#define GOLOCK_OBJECT_H

#include "base/compat.h"
#include "base/state.h"
#include "install/install.h"
#include "sight/objects.h"

#include <stdbool.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    golock_object_record *record; /* of golock.sight, or NULL: nothing is recorded */
    unsigned int checked;         /* the type's version tag when it was found to override nothing */
    bool opened;
    bool fresh; /* neither initialized nor accessed yet */
} golock_object;

/* A class of threading. */
typedef struct {
    int number;       /* its index in golock_state.classes */
    const char *name; /* in threading */
    /* The attributes that the interpreter's methods use on self, up to NULL. */
    const char *const *used;
    /* Opens a native object. Returns 0, or -1 with an exception set: RuntimeError if the object is
     * shared. */
    int (*open)(PyObject *self);
    golock_object_traits traits;
} golock_class;

extern const golock_class golock_condition_class, golock_semaphore_class,
    golock_bounded_semaphore_class, golock_event_class, golock_barrier_class;

/* Records the attributes of a type just made. Returns 0, or -1 with MemoryError set. */
int golock_class_remember(golock_class_state *known, PyTypeObject *type, const golock_class *class);

/* A private attribute of a class, the closure of golock_get_field and golock_set_field. `native`
 * returns it without opening the object, or is NULL. */
typedef struct {
    const golock_class *class;
    const char *name;
    PyObject *(*native)(PyObject *self);
} golock_field;

/* The name stands by itself too: a member of a constant is no constant to older compilers. */
#define GOLOCK_DEFINE_FIELD(field, class, name, native)                                            \
    static const char field##_name[] = name;                                                       \
    static const golock_field field = {&class, field##_name, native}

/* Returns a new reference to an attribute in the object's __dict__, or NULL with an exception
 * set. */
PyObject *golock_object_attribute(PyObject *self, const char *name);

PyObject *golock_get_field(PyObject *self, void *field);
int golock_set_field(PyObject *self, PyObject *value, void *field);

/* The getter of a public property: `native` of a native object, the interpreter's property of an
 * opened one. */
PyObject *golock_get_property(PyObject *self, void *field);

#define GOLOCK_FIELD(field, doc)                                                                   \
    {field##_name, golock_get_field, golock_set_field, PyDoc_STR(doc), (void *)&field}

extern PyMemberDef golock_object_members[];

/* The first entries of a type's getset and method tables. `class` is the closure of the former. */
#define GOLOCK_OBJECT_DICT(class)                                                                  \
    {"__dict__", golock_get_dict, golock_set_dict, NULL, (void *)&(class)}
#define GOLOCK_OBJECT_METHODS                                                                      \
    {"__getstate__", golock_object_getstate, METH_NOARGS,                                          \
     PyDoc_STR("__getstate__($self, /)\n--\n\nReturn the object's attributes, for copies.")},      \
    {                                                                                              \
        "__reduce_ex__", golock_object_reduce, METH_O,                                             \
            PyDoc_STR("__reduce_ex__($self, protocol, /)\n--\n\nReturn how to make a copy.")       \
    }

PyObject *golock_get_dict(PyObject *self, void *class);
int golock_set_dict(PyObject *self, PyObject *value, void *class);
PyObject *golock_object_getstate(PyObject *self, PyObject *ignored);
PyObject *golock_object_reduce(PyObject *self, PyObject *protocol);

#define GOLOCK_OBJECT_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)

/* Returns a new reference to a new object, or NULL with an exception set. For a tp_new, which
 * passes it to golock_green_exchange (install.h). */
PyObject *golock_object_new(PyTypeObject *type);

int golock_object_traverse(PyObject *self, visitproc visit, void *arg);
int golock_object_clear(PyObject *self);

/* What the tp_dealloc `dealloc` does: clears the object with `clear`, frees it, and drops its
 * reference to its type.
 *
 * A tp_clear is something else: destructors of what it drops may still call methods. So a tp_clear
 * leaves a native object usable. */
void golock_object_free(PyObject *self, destructor dealloc, inquiry clear);

/* Returns the repr <module.Name at 0x...: text> as threading writes it, a new reference; before
 * 3.11 that of object, without the text. `format` and what follows make the text as in
 * PyUnicode_FromFormat. */
PyObject *golock_object_repr(PyObject *self, const char *format, ...);

/* The slow part of golock_object_is_native. */
bool golock_object_check(PyObject *self, const golock_class *class);

static inline bool
golock_object_opened(PyObject *self)
{
    return __atomic_load_n(&((golock_object *)self)->opened, __ATOMIC_RELAXED);
}

/* Whether a method that calls others on self may do so in C. Otherwise it calls the interpreter's
 * method by golock_object_call, which opens the object if necessary. */
static inline bool
golock_object_is_native(PyObject *self, const golock_class *class)
{
    const golock_object *object = (const golock_object *)self;
    return (__atomic_load_n(&object->checked, __ATOMIC_RELAXED) ==
                __atomic_load_n(&Py_TYPE(self)->tp_version_tag, __ATOMIC_RELAXED) &&
            object->dict == NULL) ||
           golock_object_check(self, class);
}

/* The slow part of golock_conditions_are_plain. */
bool golock_conditions_look(golock_state *state);

/* Whether golock's Condition has not been changed. A native object waits without calling its
 * methods; if somebody has changed the class, such as a mock, the interpreter's algorithm calls
 * them. */
static inline bool
golock_conditions_are_plain(golock_state *state)
{
    unsigned int version =
        __atomic_load_n(&state->condition_type->tp_version_tag, __ATOMIC_RELAXED);
    const golock_class_state *known = &state->classes[GOLOCK_CONDITIONS];
    return (version != 0 && version == __atomic_load_n(&known->version, __ATOMIC_RELAXED)) ||
           golock_conditions_look(state);
}

static inline bool
golock_object_uses_plain_conditions(PyObject *self)
{
    return golock_conditions_are_plain(golock_state_of(self));
}

/* Whether threads may wait natively for an object: it is not opened, the threads are not green, and
 * nobody has changed the class of conditions. Otherwise the interpreter's algorithm waits at a
 * condition, with a lock made for each wait. */
static inline bool
golock_waits_natively(PyObject *self)
{
    golock_state *state = golock_state_of(self);
    return !golock_object_opened(self) && !golock_green_threads(state) &&
           golock_conditions_are_plain(state);
}

/* The slow part of golock_object_may_be_native. */
bool golock_object_check_fresh(PyObject *self, const golock_class *class);

/* Whether __init__ may make the object native: it is fresh, and nothing is overridden. */
static inline bool
golock_object_may_be_native(PyObject *self, const golock_class *class)
{
    const golock_object *object = (const golock_object *)self;
    unsigned int version = __atomic_load_n(&Py_TYPE(self)->tp_version_tag, __ATOMIC_RELAXED);
    const golock_class_state *known = &golock_state_of(self)->classes[class->number];
    return (object->fresh && object->dict == NULL && version != 0 &&
            version == __atomic_load_n(&known->version, __ATOMIC_RELAXED)) ||
           golock_object_check_fresh(self, class);
}

/* Makes the object native, once its native state is complete. */
void golock_object_make_native(PyObject *self, const golock_class *class);

/* Returns the record of the object, made if there is none; NULL if there is no room. */
static inline golock_object_record *
golock_object_record_of(PyObject *self, const golock_class *class)
{
    return golock_object_know(&((golock_object *)self)->record, self, &class->traits);
}

/* The same, or NULL if sight is off. */
static inline golock_object_record *
golock_object_known(PyObject *self, const golock_class *class)
{
    return golock_sight_now() == GOLOCK_SIGHT_OFF ? NULL : golock_object_record_of(self, class);
}

/* Opens the object if it is not opened. Returns 0, or -1 with an exception set. */
int golock_object_open(PyObject *self, const golock_class *class);

/* Writes the header of an object to be shared, and returns it, or NULL with TypeError set if the
 * object is opened. */
struct golock_header *golock_object_share(PyObject *self, const golock_class *class,
                                          struct golock_header *header, enum golock_kind kind);

/* Calls the interpreter's method of that name, after opening the object if necessary. Returns a new
 * reference, or NULL with an exception set. */
PyObject *golock_object_call(PyObject *self, const golock_class *class, const char *method,
                             PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

/* The same for __init__. Returns 0, or -1 with an exception set. */
int golock_object_call_init(PyObject *self, const golock_class *class, PyObject *args,
                            PyObject *kwargs);

/* Calls a function of golock/_opened.py. Returns a new reference, or NULL with an exception set. */
PyObject *golock_opened_call(PyObject *self, const char *function, const char *format, ...);

/* Opening takes three steps. golock_object_fields returns a new dict of the attributes that the
 * interpreter's __init__ gives an object when called with these arguments, or NULL with an
 * exception set. It may run any code. golock_object_merge returns a new dict of those and the
 * object's own attributes, or NULL with an exception set. Its allocations may collect garbage, and
 * so run any code as well. golock_object_commit steals the reference, cannot fail, and runs no
 * code. */
PyObject *golock_object_fields(PyObject *self, const golock_class *class, const char *format, ...);
PyObject *golock_object_merge(PyObject *self, PyObject *fields);
void golock_object_commit(PyObject *self, PyObject *dict);

/* Records that the calling thread has set the event, notified the condition, or opened the barrier,
 * while owners are recorded. */
void golock_object_done(PyObject *self, const golock_class *class);

#endif
