/* The type golock.Event: the class of that name in CPython's Lib/threading.py. */
#include "install.h"
#include "object.h"
#include "share.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NO_INLINE __attribute__((noinline))

typedef struct {
    golock_object base;
    struct golock_header header;
    uint32_t word;
    PyObject *condition; /* _cond, from the first time that somebody looks at it, or NULL */
} EventObject;

_Static_assert(offsetof(EventObject, word) == offsetof(EventObject, header) + sizeof(struct golock_header),
               "the word follows the header");

static int
event_traverse(EventObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->condition);
    return golock_object_traverse((PyObject *)self, visit, arg);
}

static int
event_clear_references(EventObject *self)
{
    Py_CLEAR(self->condition);
    return golock_object_clear((PyObject *)self);
}

static void
event_dealloc(PyObject *self)
{
    golock_unshare(&((EventObject *)self)->header);
    golock_object_free(self, (inquiry)event_clear_references);
}

struct golock_header *
golock_event_share(PyObject *event)
{
    struct golock_header *header = &((EventObject *)event)->header;
    golock_share(header, GOLOCK_EVENT);
    return header;
}

PyObject *
golock_event_with(struct golock_header *header)
{
    return (PyObject *)((char *)header - offsetof(EventObject, header));
}

static int
event_init(EventObject *self, PyObject *args, PyObject *kwargs)
{
    if (golock_bind_init("Event", NULL, 0, 0, args, kwargs, NULL) < 0) {
        return -1;
    }
    __atomic_store_n(&self->word, 0, __ATOMIC_RELAXED);
    return 0;
}

/* What was done before the event was set is seen by those who find it set. */
static bool
is_set(const EventObject *self)
{
    return __atomic_load_n(&self->word, __ATOMIC_ACQUIRE) & GOLOCK_SET;
}

static PyObject *
set(EventObject *self)
{
    uint32_t old = __atomic_load_n(&self->word, __ATOMIC_RELAXED);
    while ((old & GOLOCK_SET) == 0) {
        uint32_t new = ((old & ~GOLOCK_SLEEPERS) + GOLOCK_SET_ONCE) | GOLOCK_SET;
        if (__atomic_compare_exchange_n(&self->word, &old, new, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
            if (old & GOLOCK_SLEEPERS) {
                syscall(SYS_futex, &self->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX);
            }
            break;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
clear(EventObject *self)
{
    __atomic_and_fetch(&self->word, ~GOLOCK_SET, __ATOMIC_RELAXED);
    Py_RETURN_NONE;
}

/* Changes the event while _cond is held, as the interpreter does, and then notifies those that wait at _cond
 * itself. For programs that have looked at it. */
NO_INLINE static PyObject *
with_condition(EventObject *self, PyObject *(*change)(EventObject *), bool notify)
{
    PyObject *entered = golock_condition_acquire(self->condition);
    if (entered == NULL) {
        return NULL;
    }
    Py_DECREF(entered);
    PyObject *result = change(self);
    if (result != NULL && notify) {
        Py_SETREF(result, golock_condition_notify_all(self->condition));
    }
    PyObject *raised = result == NULL ? golock_raised() : NULL;
    PyObject *exited = golock_condition_release(self->condition);
    if (exited == NULL) {
        Py_CLEAR(result);
    }
    Py_XDECREF(exited);
    if (raised != NULL && exited == NULL) {
        golock_chain(raised);
    } else if (raised != NULL) {
        golock_raise(raised);
    }
    return result;
}

static bool
has_condition(const EventObject *self)
{
    return __atomic_load_n(&self->condition, __ATOMIC_ACQUIRE) != NULL;
}

static PyObject *
event_set(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    return has_condition(self) ? with_condition(self, set, true) : set(self);
}

static PyObject *
event_clear(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    return has_condition(self) ? with_condition(self, clear, false) : clear(self);
}

static PyObject *
event_is_set(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_set(self));
}

static PyObject *
event_is_set_deprecated(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning, "isSet() is deprecated, use is_set() instead", 1) < 0) {
        return NULL;
    }
    return PyObject_CallMethod((PyObject *)self, "is_set", NULL);
}

/* Whether a wait is over that began when the word was `came`. */
static bool
over(uint32_t came, uint32_t word)
{
    return (word & GOLOCK_SET) != 0 || ((word ^ came) & ~(GOLOCK_SET | GOLOCK_SLEEPERS)) != 0;
}

/* Sleeps on the word while it is as given, until woken, or until the time has come: then returns false. A
 * thread that runs signal handlers also returns when a signal has come. */
static bool
sleep_detached(EventObject *self, uint32_t word, int64_t deadline)
{
    const struct timespec until = {.tv_sec = deadline / NANOSECONDS, .tv_nsec = deadline % NANOSECONDS};
    long result;
    do {
        result = syscall(SYS_futex, &self->word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, word,
                         deadline == GOLOCK_FOREVER ? NULL : &until, NULL, GOLOCK_EVENT_CHANNEL);
    } while (result < 0 && errno == EINTR && !golock_runs_handlers());
    return result == 0 || errno != ETIMEDOUT;
}

/* Waits for the event, which was `came` when the wait began. Returns 1 when it was set, 0 when the time ran
 * out, -1 with an exception set. The waiters of an event need not be told apart, so this waits without the
 * core, as golock/event.go does for goroutines; the protocol is described there. */
NO_INLINE static int
wait_slow(EventObject *self, uint32_t came, PyObject *limit)
{
    int64_t timeout;
    if (golock_parse_timeout(limit, false, &timeout) < 0) {
        return -1;
    }
    int64_t deadline = golock_deadline_after(timeout);
    bool in_time = timeout != 0;
    for (;;) {
        /* Signals that came up to here would go unseen while the thread sleeps. */
        if (in_time && Py_MakePendingCalls() < 0) {
            return -1;
        }
        uint32_t word = __atomic_load_n(&self->word, __ATOMIC_ACQUIRE);
        if (over(came, word)) {
            return 1;
        }
        if (!in_time) {
            return 0;
        }
        if ((word & GOLOCK_SLEEPERS) != 0 ||
            __atomic_compare_exchange_n(&self->word, &word, word | GOLOCK_SLEEPERS, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            PyThreadState *thread = PyEval_SaveThread();
            in_time = sleep_detached(self, word | GOLOCK_SLEEPERS, deadline);
            PyEval_RestoreThread(thread);
        }
    }
}

static PyObject *
event_wait(EventObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout = Py_None;
    if ((nargs > 0 || kwnames != NULL) &&
        golock_bind("wait", names, 1, 0, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    uint32_t came = __atomic_load_n(&self->word, __ATOMIC_ACQUIRE);
    if (came & GOLOCK_SET) {
        Py_RETURN_TRUE;
    }
    int result = wait_slow(self, came, timeout);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *
event_at_fork_reinit(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    if (has_condition(self)) {
        return PyObject_CallMethod(self->condition, "_at_fork_reinit", NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *
event_repr(EventObject *self)
{
    return golock_object_repr((PyObject *)self, is_set(self) ? "set" : "unset");
}

static PyObject *
get_flag(EventObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_set(self));
}

static PyObject *
get_condition(EventObject *self, void *Py_UNUSED(closure))
{
    if (!has_condition(self)) {
        const golock_state *state = golock_state_of((PyObject *)self);
        PyObject *lock = golock_lock_new(state->lock_type);
        PyObject *condition =
            lock == NULL ? NULL : PyObject_CallOneArg((PyObject *)state->condition_type, lock);
        Py_XDECREF(lock);
        if (condition == NULL) {
            return NULL;
        }
        PyObject *none = NULL;
        if (!__atomic_compare_exchange_n(&self->condition, &none, condition, false, __ATOMIC_RELEASE,
                                         __ATOMIC_RELAXED)) {
            Py_DECREF(condition);
        }
    }
    return Py_NewRef(self->condition);
}

PyDoc_STRVAR(event_doc, "Event()\n--\n\nA flag that threads can wait for. It is not set at first.");

PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Wait until the event is set, and return True: also when it was cleared since.\n\n"
             "Return False when timeout seconds have passed. A signal handler that raises ends the\n"
             "wait.\n\n"
             "Raises OverflowError for a timeout that is too large, and from 3.14 on ValueError for NaN.");

static PyMethodDef event_methods[] = {
    {"is_set", (PyCFunction)event_is_set, METH_NOARGS,
     PyDoc_STR("is_set($self, /)\n--\n\nReturn whether the event is set.")},
    {"isSet", (PyCFunction)event_is_set_deprecated, METH_NOARGS,
     PyDoc_STR("isSet($self, /)\n--\n\nThe old name of is_set.")},
    {"set", (PyCFunction)event_set, METH_NOARGS,
     PyDoc_STR("set($self, /)\n--\n\nSet the event, and let all threads go on that wait for it.")},
    {"clear", (PyCFunction)event_clear, METH_NOARGS, PyDoc_STR("clear($self, /)\n--\n\nClear the event.")},
    {"wait", (PyCFunction)(void (*)(void))event_wait, METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"_at_fork_reinit", (PyCFunction)event_at_fork_reinit, METH_NOARGS,
     PyDoc_STR("_at_fork_reinit($self, /)\n--\n\nForget who waits, in a child process just forked.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef event_getset[] = {
    GOLOCK_OBJECT_DICT,
    {"_flag", (getter)get_flag, NULL, PyDoc_STR("Whether the event is set."), NULL},
    {"_cond", (getter)get_condition, NULL, PyDoc_STR("A condition that is held while the event changes."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_new, golock_green_new},
    {Py_tp_init, event_init},
    {Py_tp_dealloc, event_dealloc},
    {Py_tp_traverse, event_traverse},
    {Py_tp_clear, event_clear_references},
    {Py_tp_repr, event_repr},
    {Py_tp_doc, (void *)event_doc},
    {Py_tp_methods, event_methods},
    {Py_tp_members, golock_object_members},
    {Py_tp_getset, event_getset},
    {0, NULL},
};

PyType_Spec golock_event_spec = {
    .name = "golock.Event",
    .basicsize = sizeof(EventObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = event_slots,
};
