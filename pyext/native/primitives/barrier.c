/* The type golock.Barrier: the class of that name in CPython's Lib/threading.py. The threads that
 * arrive at a native barrier listen until the last one notifies them of the result. So the barrier
 * can be used again before all have left. */
#include "args/bind.h"
#include "args/timeout.h"
#include "base/errors.h"
#include "install/install.h"
#include "primitives/condition.h"
#include "primitives/lock.h"
#include "primitives/object.h"
#include "primitives/types.h"
#include "waiting/notify.h"

#include <stddef.h>

/* Threads arrive; the last one runs the action, with the lock held; then it notifies the others one
 * by one, and none of them counts as waiting. */
enum phase { FILLING, ACTING, LEAVING };

typedef struct {
    golock_object base;
    bool broken;
    unsigned char phase;
    uint32_t count_of_parties; /* UINT32_MAX if there are more */
    /* NULL until the barrier is first native. A thread holds the lock while it arrives, gives up or
     * runs the action. The lock becomes that of the interpreter's condition when the barrier is
     * opened. */
    PyObject *lock, *parties, *action, *timeout;
    PyObject *error; /* threading.BrokenBarrierError, which cannot be imported at exit */
    golock_listeners listeners;
} BarrierObject;

_Static_assert(offsetof(BarrierObject, listeners.length) ==
                   offsetof(BarrierObject, count_of_parties) + GOLOCK_BARRIER_ARRIVED,
               "sight knows where it is");

static int
barrier_traverse(BarrierObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->action);
    Py_VISIT(self->timeout);
    Py_VISIT(self->error);
    return golock_object_traverse((PyObject *)self, visit, arg);
}

static void
forget(PyObject **value)
{
    if (*value != NULL) {
        Py_SETREF(*value, Py_NewRef(Py_None));
    }
}

static int
barrier_clear(BarrierObject *self)
{
    forget(&self->action);
    forget(&self->timeout);
    return golock_object_clear((PyObject *)self);
}

static int
drop(BarrierObject *self)
{
    Py_CLEAR(self->lock);
    Py_CLEAR(self->parties);
    Py_CLEAR(self->action);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->error);
    return golock_object_clear((PyObject *)self);
}

static void
barrier_dealloc(PyObject *self)
{
    golock_object_free(self, barrier_dealloc, (inquiry)drop);
}

static PyObject *
call(PyObject *self, const char *method, PyObject *const *args, Py_ssize_t nargs)
{
    return golock_object_call(self, &golock_barrier_class, method, args, nargs, NULL);
}

/* A native barrier counts to a positive int. The interpreter's algorithm compares any other number
 * of parties. */
static bool
can_count_to(PyObject *parties)
{
    int overflow;
    return PyLong_CheckExact(parties) &&
           (PyLong_AsLongLongAndOverflow(parties, &overflow) > 0 || overflow > 0);
}

/* Returns a new reference to threading.BrokenBarrierError, or NULL with an exception set. */
static PyObject *
find_error(const golock_state *state)
{
    PyObject *threading = golock_threading(state);
    PyObject *error =
        threading == NULL ? NULL : PyDict_GetItemWithError(threading, state->error_name);
    if (error == NULL && threading != NULL && !PyErr_Occurred()) {
        PyErr_SetObject(PyExc_AttributeError, state->error_name);
    }
    return Py_XNewRef(error);
}

static PyObject *
barrier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return golock_green_exchange(golock_object_new(type), args, kwargs);
}

static int
barrier_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const golock_name names[] = {GOLOCK_NAME("parties"), GOLOCK_NAME("action"),
                                        GOLOCK_NAME("timeout")};
    BarrierObject *self = (BarrierObject *)op;
    PyObject *values[3] = {NULL, Py_None, Py_None};
    if (golock_parse_init_args("Barrier", names, 3, 1, args, kwargs, values) < 0) {
        return -1;
    }
    if (!can_count_to(values[0])) {
        return golock_object_call_init(op, &golock_barrier_class, args, kwargs);
    }
    /* Own references: the check of the class and the import may run code that removes them from
     * kwargs. */
    PyObject *parties = Py_NewRef(values[0]), *action = Py_NewRef(values[1]),
             *timeout = Py_NewRef(values[2]);
    PyObject *error = find_error(golock_state_of(op));
    PyObject *lock = golock_lock_new(golock_state_of(op)->lock_type);
    bool made = error != NULL && lock != NULL;
    bool native = made && golock_object_may_be_native(op, &golock_barrier_class);
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    native = native && self->base.fresh;
    if (native) {
        self->lock = Py_NewRef(lock);
        self->error = Py_NewRef(error);
        self->parties = Py_NewRef(parties);
        self->action = Py_NewRef(action);
        self->timeout = Py_NewRef(timeout);
        int overflow;
        long long count = PyLong_AsLongLongAndOverflow(parties, &overflow);
        self->count_of_parties = overflow == 0 && count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
        golock_object_make_native(op, &golock_barrier_class);
    }
    GOLOCK_END_CRITICAL_SECTION();
    Py_XDECREF(lock);
    Py_XDECREF(error);
    Py_DECREF(parties);
    Py_DECREF(action);
    Py_DECREF(timeout);
    if (!made) {
        return -1;
    }
    return native ? 0 : golock_object_call_init(op, &golock_barrier_class, args, kwargs);
}

static uint32_t
waiting(BarrierObject *self)
{
    return golock_count_listeners(&self->listeners);
}

static bool
is_broken(const BarrierObject *self)
{
    return __atomic_load_n(&self->broken, __ATOMIC_RELAXED);
}

static PyObject *
native_parties(PyObject *self)
{
    return Py_NewRef(((BarrierObject *)self)->parties);
}

static PyObject *
native_action(PyObject *self)
{
    return Py_NewRef(((BarrierObject *)self)->action);
}

static PyObject *
native_timeout(PyObject *self)
{
    return Py_NewRef(((BarrierObject *)self)->timeout);
}

static PyObject *
native_broken(PyObject *self)
{
    return PyBool_FromLong(is_broken((BarrierObject *)self));
}

static PyObject *
native_state(PyObject *self)
{
    return PyLong_FromLong(is_broken((BarrierObject *)self) ? -2 : 0);
}

/* Needs no lock. A notified thread sees the phase LEAVING or, because of the acquire, a list
 * without those notified with it. The thread that runs the action counts, though it does not
 * listen. */
static unsigned long
count(BarrierObject *self)
{
    unsigned char phase = __atomic_load_n(&self->phase, __ATOMIC_ACQUIRE);
    return phase == LEAVING ? 0 : (unsigned long)waiting(self) + (phase == ACTING);
}

static PyObject *
native_count(PyObject *self)
{
    return PyLong_FromUnsignedLong(count((BarrierObject *)self));
}

static PyObject *
native_waiting(PyObject *self)
{
    return is_broken((BarrierObject *)self) ? PyLong_FromLong(0) : native_count(self);
}

/* Moves the listeners to the interpreter's condition, which uses the same lock. */
static int
barrier_open(PyObject *op)
{
    BarrierObject *self = (BarrierObject *)op;
    PyObject *fields =
        golock_object_fields(op, &golock_barrier_class, "(iOO)", 1, self->action, self->timeout);
    PyObject *condition = fields == NULL ? NULL : golock_condition_add(op, fields, self->lock);
    PyObject *state = native_state(op), *arrived = native_count(op), *dict = NULL;
    if (condition != NULL && state != NULL && arrived != NULL &&
        PyDict_SetItemString(fields, "_parties", self->parties) == 0 &&
        PyDict_SetItemString(fields, "_state", state) == 0 &&
        PyDict_SetItemString(fields, "_count", arrived) == 0) {
        dict = golock_object_merge(op, fields);
    }
    int result = dict == NULL ? -1 : 0;
    /* The code that ran meanwhile may have opened the barrier, or let threads arrive or leave. */
    bool opened = golock_object_opened(op);
    bool same = result == 0 && PyLong_AsUnsignedLong(arrived) == count(self) &&
                PyLong_AsLong(state) == (is_broken(self) ? -2 : 0);
    if (same && !opened) {
        golock_condition_adopt(condition, &self->listeners);
        golock_object_commit(op, Py_NewRef(dict));
    }
    Py_XDECREF(dict);
    Py_XDECREF(arrived);
    Py_XDECREF(state);
    Py_XDECREF(condition);
    Py_XDECREF(fields);
    return result < 0 || opened || same ? result : barrier_open(op);
}

/* Takes the barrier's lock. Returns 0, or -1 with an exception set. */
static int
lock_barrier(BarrierObject *self)
{
    return golock_mutex_acquire(&((LockObject *)self->lock)->mutex, GOLOCK_NO_LIMIT) < 0 ? -1 : 0;
}

/* The same for a thread that has listened. Runs no signal handlers. */
static void
relock_barrier(BarrierObject *self, const golock_listener *listener)
{
    golock_mutex_reacquire(&((LockObject *)self->lock)->mutex, listener->woken);
}

static void
unlock_barrier(BarrierObject *self)
{
    golock_mutex_release(&((LockObject *)self->lock)->mutex);
}

static void
set_phase(BarrierObject *self, enum phase phase)
{
    __atomic_store_n(&self->phase, (unsigned char)phase, __ATOMIC_RELEASE);
}

static void
notify_all(BarrierObject *self, uint32_t notification)
{
    set_phase(self, LEAVING);
    golock_notify(&self->listeners, GOLOCK_EVERYONE, notification, NULL);
    set_phase(self, FILLING);
}

static void
break_barrier(BarrierObject *self)
{
    __atomic_store_n(&self->broken, true, __ATOMIC_RELAXED);
    notify_all(self, GOLOCK_BROKEN);
}

static PyObject *
raise_broken(BarrierObject *self)
{
    PyErr_SetNone(self->error);
    return NULL;
}

/* Calls the action. Returns 0, or -1 with an exception set. */
static int
act(PyObject *action)
{
    int acts = action == Py_None ? 0 : PyObject_IsTrue(action);
    PyObject *result = acts > 0 ? PyObject_CallNoArgs(action) : NULL;
    Py_XDECREF(result);
    return acts < 0 || (acts > 0 && result == NULL) ? -1 : 0;
}

/* Runs the action with the lock held, and notifies all. Returns as barrier_wait does. */
static PyObject *
trip(BarrierObject *self, uint32_t index)
{
    int result = act(self->action);
    bool opened;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    opened = golock_object_opened((PyObject *)self);
    if (!opened && result < 0) {
        break_barrier(self);
    } else if (!opened) {
        notify_all(self, GOLOCK_NOTIFIED);
        if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
            golock_object_done((PyObject *)self, &golock_barrier_class);
        }
    }
    GOLOCK_END_CRITICAL_SECTION();
    if (!opened) {
        return result < 0 ? NULL : PyLong_FromUnsignedLong(index);
    }
    PyObject *raised = result < 0 ? golock_raised() : Py_NewRef(Py_None);
    PyObject *done =
        golock_opened_call((PyObject *)self, "trip", "(kO)", (unsigned long)index, raised);
    Py_DECREF(raised);
    return done;
}

/* Ends the wait of a listener without a notification. Returns false if it was moved to a condition
 * meanwhile. Otherwise sets *notification to one that arrived after all, or to GOLOCK_BROKEN if
 * `breaks` and so it has broken the barrier. The caller holds the lock, because nobody may give up
 * while the action runs. */
static bool
give_up(BarrierObject *self, golock_listener *listener, bool breaks, uint32_t *notification)
{
    bool native;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    native = listener->condition == NULL;
    if (native) {
        *notification = golock_withdraw(listener);
        if (*notification == 0 && breaks) {
            break_barrier(self);
            *notification = GOLOCK_BROKEN;
        }
    }
    GOLOCK_END_CRITICAL_SECTION();
    return native;
}

/* Continues at the condition if the barrier was opened while the thread waited. Needs the lock.
 * Returns as barrier_wait does. */
static PyObject *
wait_opened(BarrierObject *self, golock_listener *listener, int result, uint32_t index,
            golock_deadline deadline)
{
    PyObject *raised = result < 0 ? golock_raised() : NULL;
    golock_condition_finish(listener, result < 0 ? 0 : result);
    PyObject *index_or_null = NULL;
    if (raised != NULL) {
        index_or_null = golock_opened_call((PyObject *)self, "leave", "(O)", raised);
        Py_DECREF(raised);
        return index_or_null;
    }
    PyObject *left = golock_seconds_left(deadline);
    if (left != NULL) {
        index_or_null = golock_opened_call((PyObject *)self, "wait_on", "(OkO)",
                                           listener->condition, (unsigned long)index, left);
        Py_DECREF(left);
    }
    return index_or_null;
}

/* Waits for the result. Needs the lock, and releases it. */
static PyObject *
wait_for_the_others(BarrierObject *self, golock_listener *listener, uint32_t index,
                    golock_deadline deadline)
{
    unlock_barrier(self);
    int result = golock_await(
        listener, golock_object_known((PyObject *)self, &golock_barrier_class), deadline, NULL);
    uint32_t notification = result > 0 ? (uint32_t)result : 0;
    if (result <= 0 || listener->condition != NULL) {
        PyObject *raised = result < 0 ? golock_raised() : NULL;
        relock_barrier(self, listener);
        bool native = give_up(self, listener, raised == NULL, &notification);
        if (raised != NULL) {
            golock_raise(raised);
        }
        PyObject *index_or_null =
            native ? NULL : wait_opened(self, listener, result, index, deadline);
        unlock_barrier(self);
        if (!native || result < 0) {
            return index_or_null;
        }
    }
    return notification == GOLOCK_BROKEN ? raise_broken(self) : PyLong_FromUnsignedLong(index);
}

enum arrival { OPENED, BROKEN, LAST, WAITS, NO_MEMORY };

/* Lets the calling thread, which holds the lock, arrive at the barrier with this index. With WAITS,
 * *listener is new and listens; NO_MEMORY comes with an exception set. */
static enum arrival
arrive(BarrierObject *self, golock_listener **listener, uint32_t *index)
{
    enum arrival arrival;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    *index = waiting(self);
    int overflow;
    if (golock_object_opened((PyObject *)self)) {
        arrival = OPENED;
    } else if (is_broken(self)) {
        arrival = BROKEN;
    } else if (PyLong_AsLongLongAndOverflow(self->parties, &overflow) == (long long)*index + 1) {
        arrival = LAST;
        set_phase(self, ACTING);
    } else if ((*listener = golock_listener_new()) == NULL) {
        arrival = NO_MEMORY;
    } else {
        arrival = WAITS;
        golock_listen(&self->listeners, *listener);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return arrival;
}

/* Takes the lock of a native barrier. Returns 1, or 0 without the lock if the barrier is or becomes
 * opened, or -1 with an exception set. */
static int
lock_native(PyObject *op)
{
    BarrierObject *self = (BarrierObject *)op;
    if (!golock_object_is_native(op, &golock_barrier_class) ||
        !golock_object_uses_plain_conditions(op)) {
        return 0;
    }
    if (lock_barrier(self) < 0) {
        return -1;
    }
    if (golock_object_opened(op)) {
        unlock_barrier(self);
        return 0;
    }
    return 1;
}

/* barrier_wait of a native barrier with a timeout that is a plain number or None. If the barrier is
 * opened it sets *opened and returns NULL without an exception: the interpreter's method has to be
 * called. */
static PyObject *
wait_native(BarrierObject *self, PyObject *limit, bool *opened)
{
    golock_deadline deadline;
    uint32_t index;
    if (lock_barrier(self) < 0) {
        return NULL;
    }
    golock_listener *listener = NULL;
    PyObject *result = NULL;
    enum arrival arrival = arrive(self, &listener, &index);
    if (arrival == WAITS && golock_parse_timeout(limit, true, &deadline) == 0) {
        result = wait_for_the_others(self, listener, index, deadline);
    } else {
        if (arrival == LAST) {
            result = trip(self, index);
        } else if (arrival == BROKEN) {
            raise_broken(self);
        } else if (arrival == WAITS) {
            uint32_t notification;
            give_up(self, listener, false, &notification);
        }
        unlock_barrier(self);
    }
    if (listener != NULL) {
        golock_listener_free(listener);
    }
    *opened = arrival == OPENED;
    return result;
}

static PyObject *
barrier_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("timeout")};
    BarrierObject *self = (BarrierObject *)op;
    PyObject *timeout = Py_None;
    if (golock_parse_args("wait", names, 1, 0, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    bool opened = !golock_object_is_native(op, &golock_barrier_class) || !golock_waits_natively(op);
    if (!opened) {
        /* Any other timeout may run any code when it is read. */
        PyObject *limit = timeout == Py_None ? self->timeout : timeout;
        opened = limit != Py_None && !PyFloat_CheckExact(limit) && !PyLong_CheckExact(limit);
        PyObject *index = opened ? NULL : wait_native(self, limit, &opened);
        if (!opened) {
            return index;
        }
    }
    return call(op, "wait", &timeout, 1);
}

static PyObject *
barrier_abort(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int locked;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    locked = lock_native(self);
    if (locked > 0) {
        break_barrier((BarrierObject *)self);
        unlock_barrier((BarrierObject *)self);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return locked == 0 ? call(self, "abort", NULL, 0) : locked < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
barrier_reset(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    BarrierObject *self = (BarrierObject *)op;
    int locked;
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    locked = lock_native(op);
    if (locked > 0) {
        notify_all(self, GOLOCK_BROKEN);
        __atomic_store_n(&self->broken, false, __ATOMIC_RELAXED);
        unlock_barrier(self);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return locked == 0 ? call(op, "reset", NULL, 0) : locked < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
barrier_repr(PyObject *op)
{
    BarrierObject *self = (BarrierObject *)op;
    if (!golock_object_is_native(op, &golock_barrier_class)) {
#if PY_VERSION_HEX >= 0x030B0000
        return call(op, "__repr__", NULL, 0);
#else
        return golock_object_repr(op, "");
#endif
    }
    if (is_broken(self)) {
        return golock_object_repr(op, "broken");
    }
    return golock_object_repr(op, "waiters=%lu/%S", count(self), self->parties);
}

/* The steps of the interpreter's wait. A native barrier does them in C. */
#define DEFINE_STEP(function, name)                                                                \
    static PyObject *barrier_##function(PyObject *self, PyObject *const *args, Py_ssize_t nargs,   \
                                        PyObject *kwnames)                                         \
    {                                                                                              \
        return golock_object_call(self, &golock_barrier_class, name, args, nargs, kwnames);        \
    }

DEFINE_STEP(enter, "_enter")
DEFINE_STEP(release, "_release")
DEFINE_STEP(wait_step, "_wait")
DEFINE_STEP(exit, "_exit")
DEFINE_STEP(break, "_break")

#define STEP(name, function, doc)                                                                  \
    {name, (PyCFunction)(void (*)(void))barrier_##function, METH_FASTCALL | METH_KEYWORDS,         \
     PyDoc_STR(doc)}

PyDoc_STRVAR(
    barrier_doc,
    "Barrier(parties, action=None, timeout=None)\n--\n\n"
    "Lets threads wait until `parties` of them have arrived.\n\n"
    "The last one calls the action before they go on. The timeout, in seconds, applies to\n"
    "every wait without one of its own.");

PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Wait for the other parties; return how many had arrived before.\n\n"
             "If timeout seconds pass before all have arrived, the barrier breaks. Raises\n"
             "threading.BrokenBarrierError if the barrier is broken, or is broken or reset\n"
             "meanwhile, and what the action raised, which breaks it as well.");

static PyMethodDef barrier_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))barrier_wait, METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"reset", barrier_reset, METH_NOARGS,
     PyDoc_STR("reset($self, /)\n--\n\nMake the barrier empty and unbroken. Waiters get "
               "BrokenBarrierError.")},
    {"abort", barrier_abort, METH_NOARGS,
     PyDoc_STR("abort($self, /)\n--\n\nBreak the barrier. Waiting and arriving threads get "
               "BrokenBarrierError.")},
    STEP("_enter", enter, "Wait until the threads of the previous round have left."),
    STEP("_release", release, "Run the action, and wake all."),
    STEP("_wait", wait_step, "Wait for the others."),
    STEP("_exit", exit, "Leave; the last one begins a new round."),
    STEP("_break", break, "Break the barrier."),
    GOLOCK_OBJECT_METHODS,
    {NULL, NULL, 0, NULL},
};

GOLOCK_DEFINE_FIELD(field_parties, golock_barrier_class, "parties", native_parties);
GOLOCK_DEFINE_FIELD(field_waiting, golock_barrier_class, "n_waiting", native_waiting);
GOLOCK_DEFINE_FIELD(field_broken, golock_barrier_class, "broken", native_broken);
GOLOCK_DEFINE_FIELD(private_condition, golock_barrier_class, "_cond", NULL);
GOLOCK_DEFINE_FIELD(private_action, golock_barrier_class, "_action", native_action);
GOLOCK_DEFINE_FIELD(private_timeout, golock_barrier_class, "_timeout", native_timeout);
GOLOCK_DEFINE_FIELD(private_parties, golock_barrier_class, "_parties", native_parties);
GOLOCK_DEFINE_FIELD(private_state, golock_barrier_class, "_state", native_state);
GOLOCK_DEFINE_FIELD(private_count, golock_barrier_class, "_count", native_count);

#define PROPERTY(field, doc)                                                                       \
    {field##_name, golock_get_property, NULL, PyDoc_STR(doc), (void *)&field}

static PyGetSetDef barrier_getset[] = {
    GOLOCK_OBJECT_DICT(golock_barrier_class),
    PROPERTY(field_parties, "The number of threads that have to arrive."),
    PROPERTY(field_waiting, "The number of threads that wait."),
    PROPERTY(field_broken, "Whether the barrier is broken."),
    GOLOCK_FIELD(private_condition, "The condition at which threads wait."),
    GOLOCK_FIELD(private_action, "The callable that the last thread calls, or None."),
    GOLOCK_FIELD(private_timeout, "The timeout of a wait without one."),
    GOLOCK_FIELD(private_parties, "The number of threads that have to arrive."),
    GOLOCK_FIELD(private_state,
                 "0; 1 while the threads of a round leave; -1 after reset; -2 when broken."),
    GOLOCK_FIELD(private_count, "The number of threads in the barrier."),
    {NULL, NULL, NULL, NULL, NULL},
};

static const char *const used[] = {
    "_cond", "_action", "_timeout", "_parties", "_state",  "_count",    "_enter", "_release",
    "_wait", "_exit",   "_break",   "broken",   "parties", "n_waiting", NULL,
};

const golock_class golock_barrier_class = {
    .number = 4,
    .name = "Barrier",
    .used = used,
    .open = barrier_open,
    .traits = {.kind = GOLOCK_KIND_BARRIER, .offset = offsetof(BarrierObject, count_of_parties)},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_new, barrier_new},
    {Py_tp_init, barrier_init},
    {Py_tp_dealloc, barrier_dealloc},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_repr, barrier_repr},
    {Py_tp_doc, (void *)barrier_doc},
    {Py_tp_methods, barrier_methods},
    {Py_tp_members, golock_object_members},
    {Py_tp_getset, barrier_getset},
    {0, NULL},
};

PyType_Spec golock_barrier_spec = {
    .name = "threading.Barrier",
    .basicsize = sizeof(BarrierObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = barrier_slots,
};
