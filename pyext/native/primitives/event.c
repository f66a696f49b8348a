/* The type golock.Event: the class of that name in CPython's Lib/threading.py. */
#include "args/bind.h"
#include "args/timeout.h"
#include "base/futex.h"
#include "base/process.h"
#include "fastpath/fastpath.h"
#include "install/install.h"
#include "loops/loops.h"
#include "primitives/condition.h"
#include "primitives/object.h"
#include "primitives/event.h"
#include "primitives/known_lock.h"
#include "primitives/types.h"
#include "sharing/share.h"
#include "sight/waits.h"
#include "waiting/notify.h"
#include "waiting/spin.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>

#define NO_INLINE __attribute__((noinline))

typedef struct {
    golock_object base;
    struct golock_header header;
    uint32_t word;
    golock_listeners listeners; /* the waiters, in case the event is opened */
} EventObject;

_Static_assert(offsetof(EventObject, word) ==
                   offsetof(EventObject, header) + sizeof(struct golock_header),
               "the word follows the header");

/* The word of an opened event, for good. A native event's word never has both bits. */
#define OPENED (GOLOCK_SET | GOLOCK_SLEEPERS)

static bool
is_opened(uint32_t word)
{
    return (word & OPENED) == OPENED;
}

static PyObject *
event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    EventObject *self = (EventObject *)golock_object_new(type);
    if (self != NULL) {
        __atomic_store_n(&self->word, OPENED, __ATOMIC_RELAXED);
    }
    return golock_green_exchange((PyObject *)self, args, kwargs);
}

static void
event_dealloc(PyObject *self)
{
    if (golock_is_shared(&((EventObject *)self)->header)) {
        golock_tasks_word_gone(&((EventObject *)self)->word);
    }
    golock_unshare(&((EventObject *)self)->header);
    golock_object_free(self, event_dealloc, golock_object_clear);
}

struct golock_header *
golock_event_share(PyObject *event)
{
    EventObject *self = (EventObject *)event;
    struct golock_header *header =
        golock_object_share(event, &golock_event_class, &self->header, GOLOCK_EVENT);
    if (header != NULL && !golock_tasks_share(&self->word)) {
        PyErr_NoMemory();
        return NULL;
    }
    return header;
}

PyObject *
golock_event_from_header(struct golock_header *header)
{
    return (PyObject *)((char *)header - offsetof(EventObject, header));
}

/* A native event that is initialized again gets a new condition, so it is opened. A shared event is
 * only cleared. */
static int
event_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    EventObject *self = (EventObject *)op;
    if (golock_parse_init_args("Event", NULL, 0, 0, args, kwargs, NULL) < 0) {
        return -1;
    }
    if (golock_is_shared(&self->header)) {
        __atomic_and_fetch(&self->word, ~GOLOCK_SET, __ATOMIC_SEQ_CST);
        return 0;
    }
    bool native = golock_object_may_be_native(op, &golock_event_class);
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    native = native && self->base.fresh;
    if (native) {
        __atomic_store_n(&self->word, 0, __ATOMIC_RELAXED);
        golock_object_make_native(op, &golock_event_class);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return native ? 0 : golock_object_call_init(op, &golock_event_class, args, kwargs);
}

/* Wakes all. The caller has changed the word, so nobody can go to sleep on the old one. */
static void
wake_all(EventObject *self)
{
    golock_futex_wake(&self->word, INT_MAX, GOLOCK_ANY_CHANNEL);
    if (golock_tasks_wait(&self->word)) {
        golock_tasks_wake_all(&self->word);
    }
}

/* Moves the waiters to the interpreter's condition. */
static int
event_open(PyObject *op)
{
    EventObject *self = (EventObject *)op;
    PyObject *fields = golock_object_fields(op, &golock_event_class, "()");
    PyObject *condition = fields == NULL ? NULL : golock_condition_add(op, fields, NULL);
    PyObject *dict = NULL;
    int result = -1;
    while (condition != NULL) {
        uint32_t word = __atomic_load_n(&self->word, __ATOMIC_ACQUIRE);
        PyObject *flag = word & GOLOCK_SET ? Py_True : Py_False;
        Py_XSETREF(dict, PyDict_SetItemString(fields, "_flag", flag) < 0
                             ? NULL
                             : golock_object_merge(op, fields));
        if (dict == NULL) {
            break;
        }
        if (golock_object_opened(op)) { /* code that ran meanwhile has opened it */
            result = 0;
            break;
        }
        if (golock_is_shared(&self->header)) {
            result = golock_refuse_to_open(op);
            break;
        }
        if (__atomic_compare_exchange_n(&self->word, &word, OPENED, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_ACQUIRE)) {
            golock_condition_adopt(condition, &self->listeners);
            golock_object_commit(op, Py_NewRef(dict));
            wake_all(self);
            result = 0;
            break;
        }
    }
    Py_XDECREF(dict);
    Py_XDECREF(condition);
    Py_XDECREF(fields);
    return result;
}

static PyObject *
call(PyObject *self, const char *method, PyObject *const *args, Py_ssize_t nargs)
{
    return golock_object_call(self, &golock_event_class, method, args, nargs, NULL);
}

static uint32_t
load(const EventObject *self)
{
    return __atomic_load_n(&self->word, __ATOMIC_ACQUIRE);
}

/* Returns the word before a set. With a GIL a plain load will do. Without one, or if the word is
 * shared, the load is a write: whoever clears the event afterwards must see what was done before
 * this set, and a load could be reordered before earlier stores. */
static uint32_t
load_to_set(EventObject *self)
{
#ifndef Py_GIL_DISABLED
    if (!golock_is_shared(&self->header)) {
        return __atomic_load_n(&self->word, __ATOMIC_RELAXED);
    }
#endif
    return __atomic_fetch_or(&self->word, 0, __ATOMIC_SEQ_CST);
}

static PyObject *
event_set(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    EventObject *self = (EventObject *)op;
    if (!golock_object_uses_plain_conditions(op)) {
        return call(op, "set", NULL, 0);
    }
    const bool shared = golock_is_shared(&self->header);
    uint32_t old = load_to_set(self);
    while ((old & GOLOCK_SET) == 0) {
        uint32_t new = ((old & ~GOLOCK_SLEEPERS) + GOLOCK_SET_ONCE) | GOLOCK_SET;
        if (golock_change(&self->word, shared, &old, new, __ATOMIC_SEQ_CST)) {
            if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
                golock_object_done(op, &golock_event_class);
            }
            if (old & GOLOCK_SLEEPERS) {
                golock_port_hold();
                wake_all(self);
                return golock_loop_resume(op, Py_NewRef(Py_None));
            }
            Py_RETURN_NONE;
        }
    }
    return is_opened(old) ? call(op, "set", NULL, 0) : Py_NewRef(Py_None);
}

static PyObject *
event_clear(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    EventObject *self = (EventObject *)op;
    const bool shared = golock_is_shared(&self->header);
    uint32_t old = __atomic_load_n(&self->word, __ATOMIC_RELAXED);
    while (!is_opened(old)) {
        if (golock_change(&self->word, shared, &old, old & ~GOLOCK_SET, __ATOMIC_SEQ_CST)) {
            Py_RETURN_NONE;
        }
    }
    return call(op, "clear", NULL, 0);
}

static PyObject *
event_is_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    uint32_t word = load((EventObject *)self);
    return is_opened(word) ? call(self, "is_set", NULL, 0) : PyBool_FromLong(word & GOLOCK_SET);
}

static PyObject *
event_is_set_deprecated(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning, "isSet() is deprecated, use is_set() instead", 1) <
        0) {
        return NULL;
    }
    return PyObject_CallMethod(self, "is_set", NULL);
}

/* Whether a wait is over that began with the word `initial`. */
static bool
over(uint32_t initial, uint32_t word)
{
    return (word & GOLOCK_SET) != 0 || ((word ^ initial) & ~(GOLOCK_SET | GOLOCK_SLEEPERS)) != 0;
}

/* Sleeps while the word has this value, until woken. Returns false when the deadline has passed. A
 * thread that runs signal handlers also returns when a signal arrives. */
static bool
sleep_detached(EventObject *self, uint32_t word, golock_deadline deadline)
{
    long result;
    do {
        result = golock_futex_wait(&self->word, word, deadline, GOLOCK_EVENT_CHANNEL);
    } while (result < 0 && errno == EINTR && !golock_runs_handlers());
    return result == 0 || errno != ETIMEDOUT;
}

enum { WAIT_OPENED = 2 };

/* Waits for the event; the wait began with the word `initial`. Returns 1 when it was set, 0 when
 * the deadline has passed, -1 with an exception set, and WAIT_OPENED when it was opened. The
 * protocol is that of internal/core/event.go. Needs no core, because all waiters go on at once. */
static int
wait_native(EventObject *self, uint32_t initial, golock_deadline deadline, golock_spin spin,
            golock_object_record *object, golock_wait_record **record)
{
    bool in_time = golock_may_wait(deadline);
    for (;;) {
        /* Run the handlers of pending signals, which would not interrupt the sleep. */
        if (in_time && golock_make_pending_calls(*record) < 0) {
            return -1;
        }
        uint32_t word = load(self);
        if (is_opened(word)) {
            return WAIT_OPENED;
        }
        if (over(initial, word)) {
            golock_spin_learn(&spin);
            return 1;
        }
        if (!in_time) {
            return 0;
        }
        if (golock_may_spin(&spin)) {
            PyThreadState *thread = golock_detach();
            bool changed = golock_spin_while(&spin, &self->word, initial, ~GOLOCK_SLEEPERS,
                                             golock_is_shared(&self->header));
            PyEval_RestoreThread(thread);
            golock_spin_end(&spin, changed);
            continue;
        }
        if ((word & GOLOCK_SLEEPERS) != 0 ||
            __atomic_compare_exchange_n(&self->word, &word, word | GOLOCK_SLEEPERS, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            golock_wait_sleeps(record, object, spin.since, deadline);
            PyThreadState *thread = golock_detach();
            in_time = sleep_detached(self, word | GOLOCK_SLEEPERS, deadline);
            golock_attach(*record, thread);
        }
    }
}

/* The same, but continues at the condition of an event that is opened meanwhile. Returns
 * WAIT_OPENED only if the event was opened before. Call it outside critical sections: a signal
 * handler may wait, in a loop that never suspends them, for a thread that needs the event. */
static int
wait_listening(EventObject *self, golock_listener *listener, uint32_t initial,
               golock_deadline deadline, golock_object_record *object)
{
    bool native;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    native = !golock_object_opened((PyObject *)self);
    if (native) {
        golock_listen(&self->listeners, listener);
    }
    GOLOCK_END_CRITICAL_SECTION();
    if (!native) {
        return WAIT_OPENED;
    }
    if (!golock_may_wait(deadline)) {
        object = NULL;
    } else if (object == NULL) {
        object = golock_object_known((PyObject *)self, &golock_event_class);
    }
    golock_wait_record *record = NULL;
    const golock_spin spin = golock_spin_begin(deadline, 0);
    int result = wait_native(self, initial, deadline, spin, object, &record);
    golock_wait_ends(record, object, spin.since);
    if (golock_withdraw_native((PyObject *)self, listener)) {
        return result;
    }
    if (result == WAIT_OPENED || result == 0) {
        result = golock_condition_resume(listener, deadline);
        golock_condition_unlock(listener);
    } else {
        golock_condition_abandon(listener);
    }
    return result;
}

NO_INLINE static PyObject *
wait_slow(PyObject *op, uint32_t initial, PyObject *limit, golock_object_record *object)
{
    EventObject *self = (EventObject *)op;
    golock_deadline deadline;
    if (is_opened(initial) || !golock_waits_natively(op)) {
        return call(op, "wait", &limit, 1);
    }
    if (golock_parse_timeout(limit, false, &deadline) < 0) {
        return NULL;
    }
    golock_listener *listener = golock_listener_new();
    if (listener == NULL) {
        return NULL;
    }
    int result = wait_listening(self, listener, initial, deadline, object);
    golock_listener_free(listener);
    if (result == WAIT_OPENED) { /* reading the timeout may have run code that opened it */
        return call(op, "wait", &limit, 1);
    }
    return result < 0 ? NULL : PyBool_FromLong(result);
}

PyObject *
golock_event_wait_for(PyObject *self, PyObject *timeout, golock_object_record *object)
{
    uint32_t initial = load((EventObject *)self);
    if ((initial & OPENED) == GOLOCK_SET) {
        Py_RETURN_TRUE;
    }
    return wait_slow(self, initial, timeout, object);
}

static PyObject *
event_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("timeout")};
    PyObject *timeout = Py_None;
    if ((nargs > 0 || kwnames != NULL) &&
        golock_parse_args("wait", names, 1, 0, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    return golock_event_wait_for(self, timeout, NULL);
}

static int
task_try(PyObject *self, PyObject *Py_UNUSED(owner))
{
    return (load((EventObject *)self) & OPENED) == GOLOCK_SET;
}

/* The task is in the line before it looks at the word, so a set that it does not see sees it. */
static int
task_claim(golock_waiting *waiting)
{
    EventObject *self = (EventObject *)waiting->object;
    const bool first = !waiting->begun;
    uint32_t word = load(self);
    if (is_opened(word) || !golock_waits_natively(waiting->object)) {
        return golock_refuse_to_await(waiting->object);
    }
    if (golock_waiting_begin(waiting) < 0) {
        return -1;
    }
    golock_task *task = &waiting->task;
    if (first) {
        waiting->initial = word;
        task->word = &self->word;
        task->kind = GOLOCK_TASK_EVENT;
    }
    task->foreign = golock_is_shared(&self->header);
    golock_task_leave(task);
    /* Without a GIL it may have been shared just before the task was in the line. */
    if (!golock_task_enter(task) ||
        (golock_is_shared(&self->header) && !golock_tasks_share(&self->word))) {
        return golock_no_thread();
    }
    word = load(self);
    while (!over(waiting->initial, word) && (word & GOLOCK_SLEEPERS) == 0 &&
           !__atomic_compare_exchange_n(&self->word, &word, word | GOLOCK_SLEEPERS, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    if (is_opened(word)) {
        golock_task_leave(task);
        return golock_refuse_to_await(waiting->object);
    }
    const bool ended = over(waiting->initial, word);
    if (ended) {
        golock_task_leave(task);
    }
    return ended;
}

static int
task_leave(golock_waiting *waiting)
{
    golock_task_leave(&waiting->task);
    return 0;
}

static golock_object_record *
task_known(const golock_waiting *waiting)
{
    return waiting->shown != NULL ? golock_across_known(golock_known_lock_across(waiting->shown))
                                  : golock_object_known(waiting->object, &golock_event_class);
}

static const golock_awaited awaited = {.name = "Event.wait_async",
                                       .function = "wait",
                                       .try = task_try,
                                       .claim = task_claim,
                                       .leave = task_leave,
                                       .known = task_known};

PyObject *
golock_event_await_for(PyObject *event, PyObject *timeout, PyObject *known)
{
    PyObject *awaitable = golock_await_object(golock_state_of(event), &awaited, event, timeout);
    if (awaitable != NULL) {
        golock_await_for(awaitable, known);
    }
    return awaitable;
}

static PyObject *
event_wait_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *timeout = Py_None;
    if (golock_parse_async("wait_async", args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    return golock_await_object(golock_state_of(self), &awaited, self, timeout);
}

/* Nobody waits at the condition of a native event, whose lock is free. */
static PyObject *
event_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return golock_object_opened(self) ? call(self, "_at_fork_reinit", NULL, 0) : Py_NewRef(Py_None);
}

static PyObject *
event_repr(PyObject *self)
{
    if (!golock_object_is_native(self, &golock_event_class)) {
#if PY_VERSION_HEX >= 0x030B0000
        return call(self, "__repr__", NULL, 0);
#else
        return golock_object_repr(self, "");
#endif
    }
    return golock_object_repr(self, load((EventObject *)self) & GOLOCK_SET ? "set" : "unset");
}

static PyObject *
native_flag(PyObject *self)
{
    return PyBool_FromLong(load((EventObject *)self) & GOLOCK_SET);
}

GOLOCK_DEFINE_FIELD(field_flag, golock_event_class, "_flag", native_flag);
GOLOCK_DEFINE_FIELD(field_condition, golock_event_class, "_cond", NULL);

static const char *const used[] = {"_cond", "_flag", "is_set", NULL};

const golock_class golock_event_class = {
    .number = 3,
    .name = "Event",
    .used = used,
    .open = event_open,
    .traits = {.kind = GOLOCK_KIND_EVENT, .offset = offsetof(EventObject, word)},
};

PyDoc_STRVAR(event_doc, "Event()\n--\n\nA flag that threads can wait for, not set at first.");

PyDoc_STRVAR(
    wait_doc,
    "wait($self, /, timeout=None)\n--\n\n"
    "Wait until the event is set, and return True, even if it has been cleared since.\n\n"
    "Return False after timeout seconds (None: no limit). A signal handler that raises\n"
    "ends the wait.\n\n"
    "Raises OverflowError for a timeout that is too large, and from 3.14 on ValueError for\n"
    "NaN.");

PyDoc_STRVAR(
    wait_async_doc,
    "wait_async($self, /, timeout=None)\n--\n\n"
    "Return an awaitable that waits until the event is set and returns True, even if it\n"
    "has been cleared since.\n\n"
    "It returns False after timeout seconds (None: no limit).\n\n"
    "Raises TypeError or ValueError for what is no number of seconds, RuntimeError when a\n"
    "wait is necessary and no event loop runs.");

static PyMethodDef event_methods[] = {
    {"is_set", event_is_set, METH_NOARGS,
     PyDoc_STR("is_set($self, /)\n--\n\nReturn whether the event is set.")},
    {"isSet", event_is_set_deprecated, METH_NOARGS,
     PyDoc_STR("isSet($self, /)\n--\n\nThe old name of is_set.")},
    {"set", event_set, METH_NOARGS,
     PyDoc_STR("set($self, /)\n--\n\nSet the event, and wake all threads that wait for it.")},
    {"clear", event_clear, METH_NOARGS, PyDoc_STR("clear($self, /)\n--\n\nClear the event.")},
    {"wait", (PyCFunction)(void (*)(void))event_wait, METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"wait_async", (PyCFunction)(void (*)(void))event_wait_async, METH_FASTCALL | METH_KEYWORDS,
     wait_async_doc},
    GOLOCK_OBJECT_METHODS,
    {"_at_fork_reinit", event_at_fork_reinit, METH_NOARGS,
     PyDoc_STR(
         "_at_fork_reinit($self, /)\n--\n\nReset the waiters, in a child process just forked.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef event_getset[] = {
    GOLOCK_OBJECT_DICT(golock_event_class),
    GOLOCK_FIELD(field_flag, "Whether the event is set."),
    GOLOCK_FIELD(field_condition, "The condition at which threads wait."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_new, event_new},
    {Py_tp_init, event_init},
    {Py_tp_dealloc, event_dealloc},
    {Py_tp_traverse, golock_object_traverse},
    {Py_tp_clear, golock_object_clear},
    {Py_tp_repr, event_repr},
    {Py_tp_doc, (void *)event_doc},
    {Py_tp_methods, event_methods},
    {Py_tp_members, golock_object_members},
    {Py_tp_getset, event_getset},
    {0, NULL},
};

PyType_Spec golock_event_spec = {
    .name = "threading.Event",
    .basicsize = sizeof(EventObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = event_slots,
};
