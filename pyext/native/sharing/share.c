#include "sharing/share.h"

#include "base/readable.h"

void
golock_share(struct golock_header *header, enum golock_kind kind)
{
    __atomic_store_n(&header->version, GOLOCK_VERSION, __ATOMIC_RELAXED);
    __atomic_store_n(&header->kind, kind, __ATOMIC_RELAXED);
    __atomic_store_n(&header->magic, GOLOCK_HEADER_MAGIC, __ATOMIC_RELEASE);
}

int
golock_refuse_to_open(PyObject *self)
{
    PyErr_Format(PyExc_RuntimeError,
                 "cannot access the internals of a %s that is shared with code outside Python",
                 Py_TYPE(self)->tp_name);
    return -1;
}

void *
golock_refuse_to_share(PyObject *self)
{
    PyErr_Format(PyExc_TypeError,
                 "cannot share a %s whose internals were accessed, or are overridden by its class",
                 Py_TYPE(self)->tp_name);
    return NULL;
}

/* Returns the header of an object that can be shared, or NULL with TypeError set. */
static struct golock_header *
header_of(const golock_state *state, PyObject *object)
{
    for (int kind = 0; kind < GOLOCK_SHAREABLE; kind++) {
        const struct golock_shareable *shareable = &state->shareable[kind];
        if (shareable->type != NULL && PyObject_TypeCheck(object, shareable->type)) {
            return shareable->share(object);
        }
    }
    PyErr_Format(PyExc_TypeError,
                 "only golock's Lock, Semaphore and Event can be shared, not '%.200s'",
                 Py_TYPE(object)->tp_name);
    return NULL;
}

PyObject *
golock_share_address(const golock_state *state, PyObject *object)
{
    struct golock_header *header = header_of(state, object);
    return header == NULL ? NULL : PyLong_FromVoidPtr(header);
}

static void
release_object(PyObject *capsule)
{
    Py_DECREF((PyObject *)PyCapsule_GetContext(capsule));
}

PyObject *
golock_share_capsule(const golock_state *state, PyObject *object)
{
    struct golock_header *header = header_of(state, object);
    PyObject *capsule = header == NULL ? NULL : PyCapsule_New(header, GOLOCK_CAPSULE, NULL);
    if (capsule != NULL) {
        PyCapsule_SetContext(capsule, Py_NewRef(object));
        PyCapsule_SetDestructor(capsule, release_object);
    }
    return capsule;
}

/* Returns 1 if this is the address of the type or of a subtype, 0 if not, or -1 with an exception
 * set. Does not read the memory at the address, which may be invalid. */
static int
is_or_derives(PyTypeObject *type, const void *address)
{
    if (address == (void *)type) {
        return 1;
    }
    PyObject *derived = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", type);
    int result = derived == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(derived); i++) {
        result = is_or_derives((PyTypeObject *)PyList_GET_ITEM(derived, i), address);
    }
    Py_XDECREF(derived);
    return result;
}

/* Returns a borrowed reference to the object with this header; NULL if there is none in this
 * interpreter, or with an exception set. An object being deallocated does not count, though what it
 * drops may ask for it. Code outside Python may have written the header; then there is no object
 * around it. */
static PyObject *
object_with(const golock_state *state, struct golock_header *header)
{
    if (header->kind >= GOLOCK_SHAREABLE || state->shareable[header->kind].type == NULL) {
        return NULL;
    }
    const struct golock_shareable *shareable = &state->shareable[header->kind];
    PyObject *object = shareable->with(header);
    bool found = golock_readable(object, sizeof(*object)) &&
                 is_or_derives(shareable->type, Py_TYPE(object)) > 0 && Py_REFCNT(object) > 0;
    return found ? object : NULL;
}

/* Returns why this is not the address of a header of this version, or NULL. */
static const char *
fault_of_header(const struct golock_header *header)
{
    if (header == NULL) {
        return "nil";
    }
    if ((uintptr_t)header % sizeof(*header) != 0) {
        return "misaligned";
    }
    if (!golock_readable(header, 2 * sizeof(*header))) {
        return "no readable memory";
    }
    if (golock_word(header, header->kind) != NULL) {
        return NULL;
    }
    return header->magic == GOLOCK_HEADER_MAGIC
               ? "an object with another version of golock's protocol"
               : "not a shared golock object, or one that no longer exists";
}

PyObject *
golock_share_at(const golock_state *state, PyObject *address)
{
    struct golock_header *header = PyLong_AsVoidPtr(address);
    if (header == NULL && PyErr_Occurred()) {
        return NULL;
    }
    const char *fault = fault_of_header(header);
    PyObject *object = fault == NULL ? object_with(state, header) : NULL;
    if (object != NULL) {
        return Py_NewRef(object);
    }
    if (!PyErr_Occurred()) {
        char at[GOLOCK_ADDRESS_TEXT];
        PyErr_Format(PyExc_ValueError, "address %s: %s", golock_address_text(header, at),
                     fault != NULL ? fault : "not an object of this interpreter");
    }
    return NULL;
}
