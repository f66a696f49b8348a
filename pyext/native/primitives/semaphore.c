/* The types golock.Semaphore and golock.BoundedSemaphore: the classes of those names in CPython's
 * Lib/threading.py. */
#include "args/bind.h"
#include "args/timeout.h"
#include "base/errors.h"
#include "fastpath/fastpath.h"
#include "install/install.h"
#include "loops/loops.h"
#include "primitives/condition.h"
#include "primitives/object.h"
#include "primitives/types.h"
#include "sharing/share.h"
#include "waiting/acquire.h"
#include "waiting/notify.h"
#include "waiting/plain.h"

#include <stddef.h>

#define NO_INLINE __attribute__((noinline))

typedef struct {
    golock_object base;
    struct golock_header header;
    union golock_semaphore semaphore;
    uint32_t bound; /* of a bounded semaphore; UINT32_MAX of another */
    uint8_t releases;
    bool bounded;
    bool atomic; /* threads change the words without the GIL: it is shared, or tasks wait */
    golock_listeners listeners; /* the waiters, in case the semaphore is opened */
} SemaphoreObject;

_Static_assert(offsetof(SemaphoreObject, semaphore) ==
                   offsetof(SemaphoreObject, header) + sizeof(struct golock_header),
               "the word follows the header");

/* The word of an opened semaphore, for good: no fast path applies to it. */
#define OPENED ((uint64_t)(GOLOCK_HELD | GOLOCK_WAITERS | GOLOCK_HANDOFF))

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

static inline bool
is_atomic(const SemaphoreObject *self)
{
    return __atomic_load_n(&self->atomic, __ATOMIC_RELAXED);
}

static inline bool
fast_acquire(SemaphoreObject *self, const bool *enabled)
{
    return golock_fast_acquire_permit(&self->semaphore, is_atomic(self), enabled);
}

static inline bool
fast_release(SemaphoreObject *self, uint32_t n, uint32_t most, const bool *enabled)
{
    return golock_fast_release_permits(&self->semaphore, is_atomic(self), n, most, &self->releases,
                                       enabled);
}

static const golock_class *
class_of(PyObject *self)
{
    return ((SemaphoreObject *)self)->bounded ? &golock_bounded_semaphore_class
                                              : &golock_semaphore_class;
}

/* Returns a new reference to a semaphore, or NULL with an exception set. */
static PyObject *
make(PyTypeObject *type, bool bounded)
{
    SemaphoreObject *self = (SemaphoreObject *)golock_object_new(type);
    if (self != NULL) {
        self->bounded = bounded;
        __atomic_store_n(&self->semaphore.both, OPENED, __ATOMIC_RELAXED);
    }
    return (PyObject *)self;
}

static PyObject *
semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return golock_green_exchange(make(type, false), args, kwargs);
}

static PyObject *
bounded_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return golock_green_exchange(make(type, true), args, kwargs);
}

/* The interpreter's semaphore takes any number. A native one takes an int, and not an instance of a
 * subclass, from 0 to UINT32_MAX. Returns false for anything else. */
static bool
parse_permits(PyObject *number, uint32_t *result)
{
    if (!PyLong_CheckExact(number)) {
        return false;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0 || value < 0 || value > UINT32_MAX) {
        return false;
    }
    *result = (uint32_t)value;
    return true;
}

static int
initialize(PyObject *op, const golock_class *class, PyObject *args, PyObject *kwargs)
{
    static const golock_name names[] = {GOLOCK_NAME("value")};
    SemaphoreObject *self = (SemaphoreObject *)op;
    PyObject *number = NULL;
    uint32_t value = 1;
    if (golock_parse_init_args(class->name, names, 1, 0, args, kwargs, &number) < 0) {
        return -1;
    }
    bool native =
        (number == NULL || parse_permits(number, &value)) && golock_object_may_be_native(op, class);
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    native = native && self->base.fresh;
    if (native) {
        self->bound = self->bounded ? value : UINT32_MAX;
        fill(self, value);
        golock_object_make_native(op, class);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return native ? 0 : golock_object_call_init(op, class, args, kwargs);
}

static int
semaphore_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return initialize(self, &golock_semaphore_class, args, kwargs);
}

static int
bounded_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return initialize(self, &golock_bounded_semaphore_class, args, kwargs);
}

static void
semaphore_dealloc(PyObject *self)
{
    if (golock_is_shared(&((SemaphoreObject *)self)->header)) {
        golock_tasks_word_gone(&((SemaphoreObject *)self)->semaphore.word);
    }
    golock_unshare(&((SemaphoreObject *)self)->header);
    golock_object_free(self, semaphore_dealloc, golock_object_clear);
}

/* Moves the waiters to the interpreter's condition. */
static int
semaphore_open(PyObject *op)
{
    SemaphoreObject *self = (SemaphoreObject *)op;
    if (golock_is_shared(&self->header)) {
        return golock_refuse_to_open(op);
    }
    PyObject *fields = golock_object_fields(op, &golock_semaphore_class, "(i)", 0);
    PyObject *condition = fields == NULL ? NULL : golock_condition_add(op, fields, NULL);
    PyObject *dict = NULL;
    int result = -1;
    while (condition != NULL) {
        uint64_t both = __atomic_load_n(&self->semaphore.both, __ATOMIC_RELAXED);
        PyObject *value = PyLong_FromUnsignedLong((unsigned long)(both >> 32));
        PyObject *bound = PyLong_FromUnsignedLong(self->bound);
        int set =
            value == NULL || bound == NULL ? -1 : PyDict_SetItemString(fields, "_value", value);
        if (set == 0 && self->bounded) {
            set = PyDict_SetItemString(fields, "_initial_value", bound);
        }
        Py_XDECREF(value);
        Py_XDECREF(bound);
        Py_XSETREF(dict, set < 0 ? NULL : golock_object_merge(op, fields));
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
        if (__atomic_compare_exchange_n(&self->semaphore.both, &both, OPENED, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            golock_condition_adopt(condition, &self->listeners);
            golock_object_commit(op, Py_NewRef(dict));
            golock_wake_all(&self->semaphore.word);
            result = 0;
            break;
        }
    }
    Py_XDECREF(dict);
    Py_XDECREF(condition);
    Py_XDECREF(fields);
    return result;
}

struct golock_header *
golock_semaphore_share(PyObject *semaphore)
{
    SemaphoreObject *self = (SemaphoreObject *)semaphore;
    __atomic_store_n(&self->atomic, true, __ATOMIC_RELAXED);
    struct golock_header *header =
        golock_object_share(semaphore, class_of(semaphore), &self->header, GOLOCK_SEMAPHORE);
    if (header != NULL && !golock_tasks_share(&self->semaphore.word)) {
        PyErr_NoMemory();
        return NULL;
    }
    return header;
}

PyObject *
golock_semaphore_from_header(struct golock_header *header)
{
    return (PyObject *)((char *)header - offsetof(SemaphoreObject, header));
}

/* Records that the calling thread has taken a permit, while owners are recorded. */
static void
record_taken(SemaphoreObject *self)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        golock_object_record *record =
            golock_object_record_of((PyObject *)self, class_of((PyObject *)self));
        if (record != NULL) {
            golock_object_permit_taken(record);
        }
    }
}

/* The same for the task that it runs. */
static void
record_task(SemaphoreObject *self)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        golock_object_record *record =
            golock_object_record_of((PyObject *)self, class_of((PyObject *)self));
        if (record != NULL && !golock_object_taken_by_task(record)) {
            golock_object_permit_taken(record);
        }
    }
}

/* The same for n permits that it has given back. */
static void
record_given(SemaphoreObject *self, uint32_t n)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        golock_object_record *record =
            golock_object_record_of((PyObject *)self, class_of((PyObject *)self));
        if (record != NULL) {
            golock_object_permits_given(record, n);
        }
    }
}

/* Takes a permit while owners are recorded: what the fast path does otherwise. */
static bool
acquire_owned(SemaphoreObject *self)
{
    bool taken =
        golock_sight_now() >= GOLOCK_SIGHT_OWNERS && fast_acquire(self, &golock_plain_path);
    if (taken) {
        record_taken(self);
    }
    return taken;
}

/* Takes a permit if there is one. */
static bool
try_acquire(SemaphoreObject *self)
{
    return (!golock_plain_path || permits(self) > 0) && golock_permit_try_acquire(&self->semaphore);
}

/* Continues an acquire whose semaphore was opened while it waited: at the interpreter's condition,
 * to which the listener was moved, and then in the interpreter's acquire. */
static PyObject *
acquire_opened(PyObject *self, golock_listener *listener, golock_deadline deadline)
{
    int notified = golock_condition_resume(listener, deadline);
    golock_condition_unlock(listener);
    if (notified < 0) {
        return NULL;
    }
    PyObject *left = golock_seconds_left(deadline);
    PyObject *taken = left == NULL ? NULL
                                   : golock_object_call(self, class_of(self), "acquire",
                                                        (PyObject *[]){Py_True, left}, 2, NULL);
    Py_XDECREF(left);
    return taken;
}

/* Waits for a permit as a listener. Call it outside critical sections: a signal handler may wait,
 * in a loop that never suspends them, for a thread that needs the semaphore. */
static PyObject *
wait_for_a_permit(SemaphoreObject *self, golock_listener *listener, golock_deadline deadline)
{
    unsigned flags = GOLOCK_WAIT_FOR_PERMIT | (is_atomic(self) ? GOLOCK_WAIT_SHARED : 0);
    int taken = golock_wait(&self->semaphore.word,
                            golock_object_known((PyObject *)self, class_of((PyObject *)self)),
                            deadline, flags, &self->base.opened);
    if (taken == GOLOCK_ENDED) {
        return acquire_opened((PyObject *)self, listener, deadline);
    }
    if (taken > 0) {
        record_taken(self);
    }
    if (!golock_withdraw_native((PyObject *)self, listener)) {
        golock_condition_abandon(listener);
    }
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

enum attempt { TAKEN, NOT_TAKEN, LISTENS, NOT_NATIVE };

/* Takes a permit of a native semaphore. If there is none, the listener listens, unless it is
 * NULL. */
static enum attempt
take_or_listen(PyObject *op, golock_listener *listener)
{
    SemaphoreObject *self = (SemaphoreObject *)op;
    enum attempt attempt;
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    if (!golock_waits_natively(op)) {
        attempt = NOT_NATIVE;
    } else if (fast_acquire(self, &golock_plain_path)) {
        attempt = TAKEN;
    } else if (listener == NULL) {
        attempt = try_acquire(self) ? TAKEN : NOT_TAKEN;
    } else {
        attempt = LISTENS;
        golock_listen(&self->listeners, listener);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return attempt;
}

/* The slow paths are not inlined, so that the fast ones save no registers. An opened semaphore
 * calls the interpreter's acquire with the arguments as they were given. */
NO_INLINE static PyObject *
acquire_slow(PyObject *self, golock_deadline deadline, PyObject *const *args, Py_ssize_t nargs)
{
    golock_listener *listener = NULL;
    if (acquire_owned((SemaphoreObject *)self)) {
        Py_RETURN_TRUE;
    }
    if (golock_may_wait(deadline) && (listener = golock_listener_new()) == NULL) {
        return NULL;
    }
    enum attempt attempt = take_or_listen(self, listener);
    PyObject *taken =
        attempt == LISTENS ? wait_for_a_permit((SemaphoreObject *)self, listener, deadline) : NULL;
    if (listener != NULL) {
        golock_listener_free(listener);
    }
    switch (attempt) {
    case LISTENS:
        return taken;
    case NOT_NATIVE:
        return golock_object_call(self, class_of(self), "acquire", args, nargs, NULL);
    case TAKEN:
        record_taken((SemaphoreObject *)self);
        Py_RETURN_TRUE;
    default:
        Py_RETURN_FALSE;
    }
}

NO_INLINE static PyObject *
acquire_with_arguments(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("blocking"), GOLOCK_NAME("timeout")};
    SemaphoreObject *self = (SemaphoreObject *)op;
    PyObject *values[2] = {Py_True, Py_None};
    if (golock_parse_args("acquire", names, 2, 0, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    if (golock_object_opened(op)) {
        return golock_object_call(op, class_of(op), "acquire", values, 2, NULL);
    }
    int blocking = PyObject_IsTrue(values[0]);
    if (blocking < 0) {
        return NULL;
    }
    if (!blocking && values[1] != Py_None) {
        PyErr_SetString(PyExc_ValueError, "can't specify timeout for non-blocking acquire");
        return NULL;
    }
    /* As in threading, the timeout is read only if there is no permit. */
    if (fast_acquire(self, &golock_fastpath) || acquire_owned(self)) {
        Py_RETURN_TRUE;
    }
    golock_deadline deadline = blocking ? GOLOCK_NO_LIMIT : GOLOCK_DO_NOT_WAIT;
    if (values[1] != Py_None) {
        if (!golock_plain_path && !golock_object_opened(op) && try_acquire(self)) {
            record_taken(self);
            Py_RETURN_TRUE;
        }
        if (golock_parse_timeout(values[1], true, &deadline) < 0) {
            return NULL;
        }
    }
    return acquire_slow(op, deadline, values, 2);
}

static PyObject *
semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 0 || kwnames != NULL) {
        return acquire_with_arguments(self, args, nargs, kwnames);
    }
    if (fast_acquire((SemaphoreObject *)self, &golock_fastpath)) {
        Py_RETURN_TRUE;
    }
    return acquire_slow(self, GOLOCK_NO_LIMIT, NULL, 0);
}

/* Adds n permits to a native semaphore. Returns 1, or 0 if there would be more than `most`, or -1
 * if the semaphore is opened. */
static int
release_native(PyObject *op, uint32_t n, uint32_t most)
{
    SemaphoreObject *self = (SemaphoreObject *)op;
    int released = -1;
    GOLOCK_BEGIN_CRITICAL_SECTION(op);
    if (!golock_object_opened(op)) {
        released = fast_release(self, n, most, &golock_plain_path) ||
                   golock_permits_release(&self->semaphore, is_atomic(self), n, most);
        if (released > 0) {
            record_given(self, n);
        }
    }
    GOLOCK_END_CRITICAL_SECTION();
    return released;
}

/* `class` is the class whose release was called: that of Semaphore does not check the bound. The
 * interpreter's release does what a native semaphore cannot. */
NO_INLINE static PyObject *
release_slow(PyObject *op, const golock_class *class, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("n")};
    PyObject *number = NULL;
    uint32_t n = 1;
    if (golock_parse_args("release", names, 1, 0, args, nargs, kwnames, &number) < 0) {
        return NULL;
    }
    bool bounded = class == &golock_bounded_semaphore_class;
    int released = -1;
    if (golock_object_uses_plain_conditions(op) &&
        (number == NULL || (parse_permits(number, &n) && n > 0))) {
        golock_port_hold();
        released = release_native(op, n, bounded ? ((SemaphoreObject *)op)->bound : UINT32_MAX);
        PyObject *resumed = golock_loop_resume(op, Py_NewRef(Py_None));
        if (resumed == NULL || released > 0) {
            return resumed;
        }
        Py_DECREF(resumed);
    }
    if (released == 0 && bounded) {
        PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
        return NULL;
    }
    return golock_object_call(op, class, "release", number == NULL ? NULL : &number, number != NULL,
                              NULL);
}

static PyObject *
semaphore_release(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    SemaphoreObject *self = (SemaphoreObject *)op;
    if (nargs == 0 && kwnames == NULL && golock_object_uses_plain_conditions(op) &&
        fast_release(self, 1, UINT32_MAX, &golock_fastpath)) {
        Py_RETURN_NONE;
    }
    return release_slow(op, &golock_semaphore_class, args, nargs, kwnames);
}

static PyObject *
bounded_release(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    SemaphoreObject *self = (SemaphoreObject *)op;
    if (nargs == 0 && kwnames == NULL && golock_object_uses_plain_conditions(op) &&
        fast_release(self, 1, self->bound, &golock_fastpath)) {
        Py_RETURN_NONE;
    }
    return release_slow(op, &golock_bounded_semaphore_class, args, nargs, kwnames);
}

static PyObject *
semaphore_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const golock_name names[] = {GOLOCK_NAME("t"), GOLOCK_NAME("v"), GOLOCK_NAME("tb")};
    PyObject *values[3] = {NULL, NULL, NULL};
    if (golock_parse_args("__exit__", names, 3, 3, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    const SemaphoreObject *semaphore = (const SemaphoreObject *)self;
    if (!golock_object_is_native(self, class_of(self))) {
        return golock_object_call(self, class_of(self), "__exit__", values, 3, NULL);
    }
    return semaphore->bounded ? bounded_release(self, NULL, 0, NULL)
                              : semaphore_release(self, NULL, 0, NULL);
}

static int
task_try(PyObject *self, PyObject *Py_UNUSED(owner))
{
    SemaphoreObject *semaphore = (SemaphoreObject *)self;
    const uint32_t *word = &semaphore->semaphore.word;
    if (golock_tasks_come(word) && !golock_plain_may_barge(word)) {
        return 0;
    }
    if (fast_acquire(semaphore, &golock_fastpath)) {
        return 1;
    }
    const bool taken =
        golock_sight_now() >= GOLOCK_SIGHT_OWNERS && fast_acquire(semaphore, &golock_plain_path);
    if (taken) {
        record_task(semaphore);
    }
    return taken;
}

/* A word for which tasks wait is changed by atomic operations alone. */
static int
task_claim(golock_waiting *waiting)
{
    PyObject *op = waiting->object;
    SemaphoreObject *self = (SemaphoreObject *)op;
    int taken = 0;
    if (golock_waits_natively(op)) {
        if (golock_waiting_begin(waiting) < 0) {
            return -1;
        }
        __atomic_store_n(&self->atomic, true, __ATOMIC_RELAXED);
        waiting->task.word = &self->semaphore.word;
        waiting->task.kind = GOLOCK_TASK_PERMIT;
        waiting->task.foreign = golock_is_shared(&self->header);
        taken = golock_plain_claim(&waiting->task);
        /* Without a GIL it may have been shared just before the task was in the line. */
        if (taken < 0 || (taken == 0 && golock_is_shared(&self->header) &&
                          !golock_tasks_share(&self->semaphore.word))) {
            return golock_no_thread();
        }
    }
    if (taken == 0 && !golock_waits_natively(op)) { /* whoever opens it wakes those that wait */
        return golock_refuse_to_await(op);
    }
    return taken;
}

static int
task_leave(golock_waiting *waiting)
{
    golock_plain_resign(&waiting->task);
    return 0;
}

static void
task_taken(const golock_waiting *waiting)
{
    record_task((SemaphoreObject *)waiting->object);
}

static golock_object_record *
task_known(const golock_waiting *waiting)
{
    return golock_object_known(waiting->object, class_of(waiting->object));
}

static const golock_awaited awaited = {.name = "Semaphore.acquire_async",
                                       .function = "wait",
                                       .try = task_try,
                                       .claim = task_claim,
                                       .leave = task_leave,
                                       .known = task_known,
                                       .taken = task_taken};

static PyObject *
semaphore_aenter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return golock_await_enter(golock_state_of(self), &awaited, self);
}

static PyObject *
semaphore_aexit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return golock_await_done(golock_state_of(self), semaphore_exit(self, args, nargs, NULL));
}

static PyObject *
semaphore_acquire_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *timeout = Py_None;
    if (golock_parse_async("acquire_async", args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    return golock_await_object(golock_state_of(self), &awaited, self, timeout);
}

static PyObject *
semaphore_repr(PyObject *self)
{
    if (!golock_object_is_native(self, class_of(self))) {
#if PY_VERSION_HEX >= 0x030B0000
        return golock_object_call(self, class_of(self), "__repr__", NULL, 0, NULL);
#else
        return golock_object_repr(self, "");
#endif
    }
    if (((SemaphoreObject *)self)->bounded) {
        return golock_object_repr(self, "value=%u/%u", permits((SemaphoreObject *)self),
                                  ((SemaphoreObject *)self)->bound);
    }
    return golock_object_repr(self, "value=%u", permits((SemaphoreObject *)self));
}

static PyObject *
native_value(PyObject *self)
{
    return PyLong_FromUnsignedLong(permits((SemaphoreObject *)self));
}

static PyObject *
native_initial_value(PyObject *self)
{
    return PyLong_FromUnsignedLong(((SemaphoreObject *)self)->bound);
}

GOLOCK_DEFINE_FIELD(field_condition, golock_semaphore_class, "_cond", NULL);
GOLOCK_DEFINE_FIELD(field_value, golock_semaphore_class, "_value", native_value);
GOLOCK_DEFINE_FIELD(field_initial_value, golock_bounded_semaphore_class, "_initial_value",
                    native_initial_value);

PyDoc_STRVAR(semaphore_doc,
             "Semaphore(value=1)\n--\n\n"
             "A number of permits. Any thread may take and release them.\n\n"
             "Waiters are served in the order of their arrival; newcomers may go first, for\n"
             "get_handoff() seconds. Raises ValueError for a negative value.");

PyDoc_STRVAR(bounded_doc, "BoundedSemaphore(value=1)\n--\n\n"
                          "A semaphore that never has more permits than its initial value.\n\n"
                          "Raises what Semaphore does.");

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, blocking=True, timeout=None)\n--\n\n"
             "Take a permit and return True.\n\n"
             "If there is none, wait for one: for timeout seconds, or without limit with None.\n"
             "Return False when the time has run out, and at once when blocking is false. A\n"
             "signal handler that raises ends the wait.\n\n"
             "Raises ValueError for a timeout without blocking and for NaN, OverflowError for one\n"
             "that is too large; no permit is then taken.");

PyDoc_STRVAR(
    acquire_async_doc,
    "acquire_async($self, /, timeout=None)\n--\n\n"
    "Return an awaitable that takes a permit and returns True.\n\n"
    "If there is none, the task waits for one: for timeout seconds, or without limit with\n"
    "None. It returns False when the time has run out. Nothing is taken by a wait that\n"
    "is cancelled, or never awaited.\n\n"
    "Raises TypeError or ValueError for what is no number of seconds, RuntimeError when a\n"
    "wait is necessary and no event loop runs.");

PyDoc_STRVAR(release_doc, "release($self, /, n=1)\n--\n\n"
                          "Release n permits, and let up to n waiting threads go on.\n\n"
                          "Raises ValueError if n is less than 1.");

PyDoc_STRVAR(bounded_release_doc,
             "release($self, /, n=1)\n--\n\n"
             "Release n permits, and let up to n waiting threads go on.\n\n"
             "Raises ValueError, and releases none, if n is less than 1 or there would be more\n"
             "permits than the initial value.");

#define METHOD(name, function, doc)                                                                \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef semaphore_methods[] = {
    METHOD("acquire", semaphore_acquire, acquire_doc),
    METHOD("release", semaphore_release, release_doc),
    METHOD("__enter__", semaphore_acquire, acquire_doc),
    METHOD("__exit__", semaphore_exit,
           PyDoc_STR("__exit__($self, /, t, v, tb)\n--\n\nRelease a permit.")),
    METHOD("acquire_async", semaphore_acquire_async, acquire_async_doc),
    {"__aenter__", semaphore_aenter, METH_NOARGS,
     PyDoc_STR("__aenter__($self, /)\n--\n\nReturn an awaitable that takes a permit.")},
    {"__aexit__", (PyCFunction)(void (*)(void))semaphore_aexit, METH_FASTCALL,
     PyDoc_STR("__aexit__($self, t, v, tb, /)\n--\n\nRelease a permit.")},
    GOLOCK_OBJECT_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef bounded_methods[] = {
    METHOD("release", bounded_release, bounded_release_doc),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef semaphore_getset[] = {
    GOLOCK_OBJECT_DICT(golock_semaphore_class),
    GOLOCK_FIELD(field_condition, "The condition at which threads wait."),
    GOLOCK_FIELD(field_value, "The number of permits."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef bounded_getset[] = {
    GOLOCK_FIELD(field_initial_value, "The greatest number of permits."),
    {NULL, NULL, NULL, NULL, NULL},
};

static const char *const used[] = {"_cond", "_value", "release", NULL};
static const char *const used_of_bounded[] = {"_cond", "_value", "_initial_value", "release", NULL};

const golock_class golock_semaphore_class = {
    .number = 1,
    .name = "Semaphore",
    .used = used,
    .open = semaphore_open,
    .traits = {.kind = GOLOCK_KIND_SEMAPHORE, .offset = offsetof(SemaphoreObject, semaphore)},
};
const golock_class golock_bounded_semaphore_class = {
    .number = 2,
    .name = "BoundedSemaphore",
    .used = used_of_bounded,
    .open = semaphore_open,
    .traits = {.kind = GOLOCK_KIND_BOUNDED_SEMAPHORE,
               .offset = offsetof(SemaphoreObject, semaphore)},
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
    .name = "threading.Semaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = semaphore_slots,
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_new, bounded_new},
    {Py_tp_init, bounded_init},
    {Py_tp_dealloc, semaphore_dealloc},
    {Py_tp_traverse, golock_object_traverse},
    {Py_tp_clear, golock_object_clear},
    {Py_tp_doc, (void *)bounded_doc},
    {Py_tp_methods, bounded_methods},
    {Py_tp_getset, bounded_getset},
    {0, NULL},
};

PyType_Spec golock_bounded_semaphore_spec = {
    .name = "threading.BoundedSemaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = GOLOCK_OBJECT_FLAGS,
    .slots = bounded_slots,
};
