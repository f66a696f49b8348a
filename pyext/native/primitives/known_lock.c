/* golock._golock.KnownLock: what golock.sight knows of a lock in etcd. The lock itself is in the
 * library of golock-etcd; golock.etcd tells this object what its threads do. */
#include "primitives/known_lock.h"

#include "base/process.h"
#include "base/state.h"
#include "core/call.h"
#include "primitives/event.h"
#include "primitives/types.h"
#include "sight/intern.h"

#include "golock_view.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    golock_across across;
    char *name;
    uint64_t held;  /* the number of the hold, or 0 */
    uint64_t holds; /* so far */
    uint32_t waiting;
    /* The library, or NULL: there is no connection yet. Guarded by the mutex of the list. */
    golock_etcd_view_function *ask;
    uintptr_t handle;
    pid_t process; /* which has made the object */
    PyObject *weakrefs;
} KnownLockObject;

golock_across *
golock_known_lock_across(PyObject *lock)
{
    return &((KnownLockObject *)lock)->across;
}

static uint32_t
intern(const char *text)
{
    return golock_intern_string(text, strlen(text));
}

static void
view(const golock_across *lock, struct golock_image_across *entry)
{
    const KnownLockObject *self =
        (const KnownLockObject *)((const char *)lock - offsetof(KnownLockObject, across));
    if (self->process != golock_process) {
        return;
    }
    entry->waiting = __atomic_load_n(&self->waiting, __ATOMIC_RELAXED);
    if (self->ask == NULL) {
        return;
    }
    struct golock_etcd_view found = {0};
    golock_signals before = golock_block_signals();
    self->ask(self->handle, &found);
    golock_restore_signals(before);
    const int64_t now = golock_now();
    entry->token = (uint64_t)found.token;
    entry->lease = found.lease > 0 ? now + found.lease : 0;
    entry->known = found.age > 0 ? now - found.age : 0;
    entry->process = found.process;
    entry->before = found.before;
    entry->endpoints = intern(found.endpoints);
    entry->host = intern(found.host);
    entry->program = intern(found.program);
    entry->flags = (found.flags & GOLOCK_VIEW_HELD ? GOLOCK_ACROSS_HELD : 0u) |
                   (found.flags & GOLOCK_VIEW_OWN ? GOLOCK_ACROSS_OWN : 0u) |
                   (found.flags & GOLOCK_VIEW_LOST ? GOLOCK_ACROSS_LOST : 0u);
}

/* Returns an allocated copy of the text, or NULL with an exception set. */
static char *
copy_of(PyObject *text)
{
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
    char *copy = bytes == NULL ? NULL : strdup(PyBytes_AS_STRING(bytes));
    if (bytes != NULL && copy == NULL) {
        PyErr_NoMemory();
    }
    Py_XDECREF(bytes);
    return copy;
}

static PyObject *
known_lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *name;
    if (!PyArg_ParseTuple(args, "U:KnownLock", &name) ||
        (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        return NULL;
    }
    char *its_name = copy_of(name);
    KnownLockObject *self = its_name == NULL ? NULL : (KnownLockObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        free(its_name);
        return NULL;
    }
    self->name = its_name;
    self->process = golock_process;
    self->across = (golock_across){
        .kind = GOLOCK_KIND_ETCD_LOCK,
        .name = self->name,
        .view = view,
        .word = &self->held,
        .mask = UINT64_MAX,
    };
    golock_across_add(&self->across);
    golock_across_made(&self->across);
    return (PyObject *)self;
}

static void
known_lock_dealloc(KnownLockObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    golock_across_remove(&self->across);
    if (self->weakrefs != NULL) { /* whose callbacks give back the handle */
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    free(self->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
known_lock_ask(KnownLockObject *self, PyObject *args)
{
    unsigned long long function, handle;
    if (!PyArg_ParseTuple(args, "KK:ask", &function, &handle)) {
        return NULL;
    }
    golock_across_lock();
    self->ask = (golock_etcd_view_function *)(uintptr_t)function;
    self->handle = (uintptr_t)handle;
    golock_across_unlock();
    Py_RETURN_NONE;
}

static PyObject *
known_lock_wait(KnownLockObject *self, PyObject *args)
{
    PyObject *event, *timeout;
    golock_state *state = golock_state_of((PyObject *)self);
    if (!PyArg_ParseTuple(args, "O!O:wait", state->event_type, &event, &timeout)) {
        return NULL;
    }
    __atomic_fetch_add(&self->waiting, 1, __ATOMIC_RELAXED);
    PyObject *result = golock_event_wait_for(event, timeout, golock_across_known(&self->across));
    __atomic_fetch_sub(&self->waiting, 1, __ATOMIC_RELAXED);
    return result;
}

static PyObject *
known_lock_wait_async(KnownLockObject *self, PyObject *args)
{
    PyObject *event, *timeout;
    golock_state *state = golock_state_of((PyObject *)self);
    if (!PyArg_ParseTuple(args, "O!O:wait_async", state->event_type, &event, &timeout)) {
        return NULL;
    }
    return golock_event_await_for(event, timeout, (PyObject *)self);
}

static PyObject *
known_lock_taken(KnownLockObject *self, PyObject *args)
{
    int by_task = 0;
    if (!PyArg_ParseTuple(args, "|p:taken", &by_task)) {
        return NULL;
    }
    __atomic_store_n(&self->held, ++self->holds, __ATOMIC_RELAXED);
    golock_object_record *record =
        golock_sight_now() < GOLOCK_SIGHT_OWNERS ? NULL : golock_across_know(&self->across);
    if (record != NULL) {
        if (!by_task || !golock_object_taken_by_task(record)) {
            golock_object_taken_outside(record);
        }
        golock_across_set_hold(&self->across, self->holds);
    }
    Py_RETURN_NONE;
}

static PyObject *
known_lock_released(KnownLockObject *self, PyObject *Py_UNUSED(ignored))
{
    golock_object_record *record = __atomic_load_n(&self->across.record, __ATOMIC_ACQUIRE);
    if (record != NULL && golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        golock_object_released(record);
    }
    __atomic_store_n(&self->held, 0, __ATOMIC_RELAXED);
    Py_RETURN_NONE;
}

static PyMethodDef known_lock_methods[] = {
    {"ask", (PyCFunction)known_lock_ask, METH_VARARGS,
     PyDoc_STR("ask($self, function, handle, /)\n--\n\n"
               "Ask the library, by the address of its function and a handle of the lock, which\n"
               "must not be given back before this object is gone.")},
    {"wait", (PyCFunction)known_lock_wait, METH_VARARGS,
     PyDoc_STR("wait($self, event, timeout, /)\n--\n\n"
               "Wait for the event, as a wait for the lock.")},
    {"wait_async", (PyCFunction)known_lock_wait_async, METH_VARARGS,
     PyDoc_STR("wait_async($self, event, timeout, /)\n--\n\n"
               "Return an awaitable that waits for the event, as a wait for the lock.")},
    {"taken", (PyCFunction)known_lock_taken, METH_VARARGS,
     PyDoc_STR("taken($self, by_task=False, /)\n--\n\n"
               "Say that the calling thread, or the task that it runs, has taken the lock.")},
    {"released", (PyCFunction)known_lock_released, METH_NOARGS,
     PyDoc_STR("released($self, /)\n--\n\n"
               "Say that the calling thread is about to release the lock.")},
    {NULL, NULL, 0, NULL},
};

static PyObject *
known_lock_asks(KnownLockObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->ask != NULL);
}

static PyGetSetDef known_lock_getset[] = {
    {"asks", (getter)known_lock_asks, NULL, PyDoc_STR("Whether ask() was called."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef known_lock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(KnownLockObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot known_lock_slots[] = {
    {Py_tp_new, known_lock_new},
    {Py_tp_dealloc, known_lock_dealloc},
    {Py_tp_doc, (void *)PyDoc_STR("KnownLock(name, /)\n--\n\n"
                                  "What golock.sight knows of a lock in etcd.")},
    {Py_tp_methods, known_lock_methods},
    {Py_tp_getset, known_lock_getset},
    {Py_tp_members, known_lock_members},
    {0, NULL},
};

PyType_Spec golock_known_lock_spec = {
    .name = "golock._golock.KnownLock",
    .basicsize = sizeof(KnownLockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = known_lock_slots,
};
