/* The types golock.Semaphore and golock.BoundedSemaphore: the classes of that name in CPython's
 * Lib/threading.py. */
#include "mutex.h"
#include "object.h"
#include "share.h"

#include <stddef.h>

#define NO_INLINE __attribute__((noinline))

typedef struct {
    golock_object base;
    struct golock_header header;
    union golock_semaphore semaphore;
    uint32_t bound; /* UINT32_MAX, or a bounded semaphore's */
    uint8_t turns;
    bool bounded;
} SemaphoreObject;

_Static_assert(offsetof(SemaphoreObject, semaphore) ==
                   offsetof(SemaphoreObject, header) + sizeof(struct golock_header),
               "the word follows the header");

static uint32_t
permits(SemaphoreObject *self)
{
    return (uint32_t)(__atomic_load_n(&self->semaphore.both, __ATOMIC_RELAXED) >> 32);
}

static void
fill(SemaphoreObject *self, uint32_t value)
{
    uint64_t both = value * GOLOCK_PERMIT | (value == 0 ? GOLOCK_HELD : 0);
    __atomic_store_n(&self->semaphore.both, both, __ATOMIC_RELAXED);
}

static PyObject *
semaphore_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    SemaphoreObject *self = (SemaphoreObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->bound = UINT32_MAX;
        fill(self, 1);
    }
    return (PyObject *)self;
}

/* Reads a number of permits, at least `least`; if it is less, raises ValueError with the message. Returns 0,
 * or -1 with an exception set. */
static int
parse_permits(PyObject *number, int least, const char *message, uint32_t *result)
{
    PyObject *whole = PyNumber_Index(number);
    if (whole == NULL) {
        return -1;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(whole, &overflow);
    Py_DECREF(whole);
    if (overflow < 0 || (overflow == 0 && value < least)) {
        PyErr_SetString(PyExc_ValueError, message);
        return -1;
    }
    if (overflow > 0 || value > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a semaphore has at most 4294967295 permits");
        return -1;
    }
    *result = (uint32_t)value;
    return 0;
}

static int
initialize(SemaphoreObject *self, const char *function, PyObject *args, PyObject *kwargs, uint32_t *value)
{
    static const char *const names[] = {"value"};
    PyObject *number = NULL;
    *value = 1;
    if (golock_bind_init(function, names, 1, 0, args, kwargs, &number) < 0) {
        return -1;
    }
    if (number != NULL && parse_permits(number, 0, "semaphore initial value must be >= 0", value) < 0) {
        return -1;
    }
    fill(self, *value);
    return 0;
}

static int
semaphore_init(SemaphoreObject *self, PyObject *args, PyObject *kwargs)
{
    uint32_t value;
    return initialize(self, "Semaphore", args, kwargs, &value);
}

static int
bounded_init(SemaphoreObject *self, PyObject *args, PyObject *kwargs)
{
    uint32_t value;
    if (initialize(self, "BoundedSemaphore", args, kwargs, &value) < 0) {
        return -1;
    }
    self->bound = value;
    self->bounded = true;
    return 0;
}

static void
semaphore_dealloc(PyObject *self)
{
    golock_unshare(&((SemaphoreObject *)self)->header);
    golock_object_free(self, golock_object_clear);
}

struct golock_header *
golock_semaphore_share(PyObject *semaphore)
{
    struct golock_header *header = &((SemaphoreObject *)semaphore)->header;
    golock_share(header, GOLOCK_SEMAPHORE);
    return header;
}

PyObject *
golock_semaphore_with(struct golock_header *header)
{
    return (PyObject *)((char *)header - offsetof(SemaphoreObject, header));
}

/* Takes a permit if there is one, without waiting. Returns 1 or 0, or -1 with CoreError or MemoryError set.
 */
static int
try_acquire(SemaphoreObject *self)
{
    if (golock_fastpath && permits(self) == 0) {
        return 0;
    }
    return golock_permit_try_acquire(&self->semaphore);
}

NO_INLINE static PyObject *
acquire_slow(SemaphoreObject *self, int64_t timeout)
{
    int taken = timeout == 0 ? try_acquire(self)
                             : golock_wait(&self->semaphore.word, timeout, GOLOCK_WAIT_FOR_PERMIT, NULL);
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

NO_INLINE static PyObject *
acquire_with_arguments(SemaphoreObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"blocking", "timeout"};
    PyObject *values[2] = {Py_True, Py_None};
    if (golock_bind("acquire", names, 2, 0, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    int blocking = PyObject_IsTrue(values[0]);
    if (blocking < 0) {
        return NULL;
    }
    if (!blocking && values[1] != Py_None) {
        PyErr_SetString(PyExc_ValueError, "can't specify timeout for non-blocking acquire");
        return NULL;
    }
    /* The timeout counts only where there is none to take. */
    int taken = golock_fast_take(&self->semaphore) ? 1 : golock_fastpath ? 0 : try_acquire(self);
    if (taken != 0) {
        return taken < 0 ? NULL : Py_NewRef(Py_True);
    }
    int64_t timeout = 0;
    if (blocking && golock_parse_timeout(values[1], true, &timeout) < 0) {
        return NULL;
    }
    return acquire_slow(self, timeout);
}

static PyObject *
semaphore_acquire(SemaphoreObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 0 || kwnames != NULL) {
        return acquire_with_arguments(self, args, nargs, kwnames);
    }
    if (golock_fast_take(&self->semaphore)) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, -1);
}

NO_INLINE static PyObject *
release_slow(SemaphoreObject *self, uint32_t n)
{
    if (golock_permits_release(&self->semaphore, n, self->bound)) {
        Py_RETURN_NONE;
    }
    if (self->bounded) {
        PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
    } else {
        PyErr_SetString(PyExc_OverflowError, "a semaphore has at most 4294967295 permits");
    }
    return NULL;
}

NO_INLINE static PyObject *
release_with_arguments(SemaphoreObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"n"};
    PyObject *number = NULL;
    uint32_t n = 1;
    if (golock_bind("release", names, 1, 0, args, nargs, kwnames, &number) < 0) {
        return NULL;
    }
    if (number != NULL && parse_permits(number, 1, "n must be one or more", &n) < 0) {
        if (self->bounded && PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
        }
        return NULL;
    }
    if (golock_fast_give(&self->semaphore, n, self->bound, &self->turns)) {
        Py_RETURN_NONE;
    }
    return release_slow(self, n);
}

static PyObject *
semaphore_release(SemaphoreObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 0 || kwnames != NULL) {
        return release_with_arguments(self, args, nargs, kwnames);
    }
    if (golock_fast_give(&self->semaphore, 1, self->bound, &self->turns)) {
        Py_RETURN_NONE;
    }
    return release_slow(self, 1);
}

/* A class derived from this one may have a release of its own, which is to be called then. */
static PyObject *
semaphore_exit(SemaphoreObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"t", "v", "tb"};
    PyObject *values[3] = {NULL, NULL, NULL};
    if (golock_bind("__exit__", names, 3, 3, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    if (golock_object_exact((PyObject *)self, semaphore_dealloc)) {
        return semaphore_release(self, NULL, 0, NULL);
    }
    return PyObject_CallMethod((PyObject *)self, "release", NULL);
}

static PyObject *
semaphore_repr(SemaphoreObject *self)
{
    if (self->bounded) {
        return golock_object_repr((PyObject *)self, "value=%u/%u", permits(self), self->bound);
    }
    return golock_object_repr((PyObject *)self, "value=%u", permits(self));
}

static PyObject *
get_value(SemaphoreObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(permits(self));
}

PyDoc_STRVAR(semaphore_doc, "Semaphore(value=1)\n--\n\n"
                            "A number of permits, to be taken and given back by any thread.\n\n"
                            "Waiters are served in the order of their arrival; newcomers may go first, for\n"
                            "get_handoff() seconds. Raises ValueError for a negative value, OverflowError\n"
                            "for one above 2**32 - 1, TypeError for what is no integer.");

PyDoc_STRVAR(bounded_doc, "BoundedSemaphore(value=1)\n--\n\n"
                          "A semaphore that never has more permits than at first.\n\n"
                          "Raises what Semaphore does.");

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, blocking=True, timeout=None)\n--\n\n"
             "Take a permit and return True.\n\n"
             "If there is none, wait for one: for timeout seconds, or without limit with None.\n"
             "Return False when the time has run out, and at once when blocking is false. A\n"
             "signal handler that raises ends the wait.\n\n"
             "Raises ValueError for a timeout without blocking and for NaN, OverflowError for one\n"
             "that is too large; no permit is then taken.");

PyDoc_STRVAR(release_doc, "release($self, /, n=1)\n--\n\n"
                          "Give back n permits, and let so many of the threads that wait go on.\n\n"
                          "Raises ValueError when n is less than 1, OverflowError past 2**32 - 1 permits.");

PyDoc_STRVAR(bounded_release_doc,
             "release($self, /, n=1)\n--\n\n"
             "Give back n permits, and let so many of the threads that wait go on.\n\n"
             "Raises ValueError when n is less than 1, or when there would be more permits\n"
             "than at first; there are then as many as before.");

#define METHOD(name, function, doc)                                                                          \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef semaphore_methods[] = {
    METHOD("acquire", semaphore_acquire, acquire_doc),
    METHOD("release", semaphore_release, release_doc),
    METHOD("__enter__", semaphore_acquire, acquire_doc),
    METHOD("__exit__", semaphore_exit, PyDoc_STR("__exit__($self, /, t, v, tb)\n--\n\nGive back a permit.")),
    {NULL, NULL, 0, NULL},
};

static PyMethodDef bounded_methods[] = {
    METHOD("release", semaphore_release, bounded_release_doc),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef semaphore_getset[] = {
    GOLOCK_OBJECT_DICT,
    {"_value", (getter)get_value, NULL, PyDoc_STR("How many permits there are."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef bounded_members[] = {
    {"_initial_value", T_UINT, offsetof(SemaphoreObject, bound), 0,
     PyDoc_STR("How many permits there may be.")},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_new, semaphore_new},
    {Py_tp_init, semaphore_init},
    {Py_tp_dealloc, semaphore_dealloc},
    {Py_tp_traverse, golock_object_traverse},
    {Py_tp_clear, golock_object_clear},
    {Py_tp_repr, semaphore_repr},
    {Py_tp_doc, (void *)semaphore_doc},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_members, golock_object_members},
    {Py_tp_getset, semaphore_getset},
    {0, NULL},
};

PyType_Spec golock_semaphore_spec = {
    .name = "golock.Semaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = semaphore_slots,
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_init, bounded_init},
    {Py_tp_dealloc, semaphore_dealloc},
    {Py_tp_traverse, golock_object_traverse},
    {Py_tp_clear, golock_object_clear},
    {Py_tp_doc, (void *)bounded_doc},
    {Py_tp_methods, bounded_methods},
    {Py_tp_members, bounded_members},
    {0, NULL},
};

PyType_Spec golock_bounded_semaphore_spec = {
    .name = "golock.BoundedSemaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = bounded_slots,
};
