/* What the extension's files share. */
#ifndef GOLOCK_EXTENSION_H
#define GOLOCK_EXTENSION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "golock.h"
#include "slowpath.h"

#define NANOSECONDS 1000000000 /* in a second */

/* CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t
golock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NANOSECONDS + now.tv_nsec;
}

/* Without a GIL, what the GIL is to one object. */
#if PY_VERSION_HEX >= 0x030D0000
#define GOLOCK_BEGIN_CRITICAL_SECTION(object) Py_BEGIN_CRITICAL_SECTION(object)
#define GOLOCK_END_CRITICAL_SECTION() Py_END_CRITICAL_SECTION()
#else
#define GOLOCK_BEGIN_CRITICAL_SECTION(object)                                                                \
    {                                                                                                        \
        (void)(object);
#define GOLOCK_END_CRITICAL_SECTION() }
#endif

/* What a class of threading looks like while nobody has changed it: see object.h. */
typedef struct {
    PyObject *attributes; /* a tuple of those that the interpreter's methods use on self */
    unsigned int version; /* of the last type that was found to have these */
} golock_class_state;

#define GOLOCK_CLASSES 5
#define GOLOCK_CONDITIONS 0 /* the place of Condition among them */

typedef struct {
    PyTypeObject *lock_type;
    PyTypeObject *rlock_type;
    PyTypeObject *condition_type;
    PyTypeObject *semaphore_type;
    PyTypeObject *bounded_semaphore_type;
    PyTypeObject *event_type;
    PyTypeObject *barrier_type;
    PyObject *core_error;
    golock_class_state classes[GOLOCK_CLASSES];
    PyObject *opened; /* the interpreter's methods by class and name, when they are first needed, or NULL */
    struct golock_green *green;                         /* install.h */
    PyObject *threading_name, *rlock_name, *error_name; /* "threading", "RLock", "BrokenBarrierError" */
} golock_state;

/* module.c */

golock_state *golock_state_look_up(PyTypeObject *type);

/* The first module made, most often the only one, while it exists. A type keeps its module alive. */
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
    /* A type that Python code has made has none. Without a GIL its bases may change meanwhile. */
    while (module == NULL) {
        type = type->tp_base;
        module = ((PyHeapTypeObject *)type)->ht_module;
    }
#endif
    return module != NULL && module == __atomic_load_n(&golock_first_module.module, __ATOMIC_ACQUIRE)
               ? golock_first_module.state
               : golock_state_look_up(type);
}

/* core.c */

/* Remembers where the core lies, after checking that a core lies there. Returns 0, or -1 with
 * ImportError set. */
int golock_core_locate(PyObject *module);

/* False with GOLOCK_CORE=0 in the environment, for tests: golock_core_load and golock_core_get return NULL.
 */
extern bool golock_core_wanted;

/* The id of this process, which forked children change. */
extern pid_t golock_process;

/* Returns the core's table; loads the core if this process has none yet. Needs the GIL. Returns NULL, without
 * an exception, when it cannot be had: then threads wait without it. The first time it warns, which may run
 * any Python code: so it is called before the caller announces or owes anything. The table stays valid until
 * the process forks: ask again after running any Python code.
 *
 * A thread calls the table's functions only if golock_core_bind has returned true for it in that thread:
 * there was memory for the first call. It runs no Python code. */
const struct golock_core *golock_core_load(void);
bool golock_core_bind(const struct golock_core *table);

/* Does both. */
const struct golock_core *golock_core_get(void);

/* The same for callers that cannot do without: NULL comes with CoreError set. */
const struct golock_core *golock_core_require(const golock_state *state);

/* Returns the core's table, or NULL if this process has none. */
const struct golock_core *golock_core_loaded(void);

/* Makes a core that others have loaded into this process the one that its threads wait by. The address may be
 * anything. Returns 0, or -1 with CoreError set when there is no core, or one of another version or of a
 * parent process, or threads wait by another already. */
int golock_core_use(const golock_state *state, const struct golock_core *table);

/* Sets the hand-off threshold of the core, loaded or not. Returns 0, or -1 with MemoryError set. */
int golock_core_set_handoff(int64_t nanoseconds);
int64_t golock_core_handoff(void);

/* The threshold of this core, which may have one of its own, or if it is NULL what golock_core_handoff says.
 */
int64_t golock_threshold(const struct golock_core *table);

/* Returns a new dict that describes the core, or NULL with an exception set. */
PyObject *golock_core_describe(void);

/* corefile.c */

/* Checks that the file is a whole core for this machine and this version of the contract. Returns
 * true, or false with the reason in words. */
bool golock_corefile_check(const char *path, char *reason, size_t size);

/* Opens a private copy of the file. *opened is how many copies the dynamic linker was given in this process
 * and its ancestors, which it counts on. Returns dlopen's handle, or NULL with the reason in words. */
void *golock_corefile_open_copy(const char *path, int *opened, char *reason, size_t size);

/* timeout.c */

/* Reads acquire's arguments as the running interpreter's lock does; `function` is for messages. On success
 * sets *timeout to nanoseconds (0: do not wait; -1: no limit) and returns 0; otherwise returns -1 with
 * TypeError, ValueError or OverflowError set. */
int golock_parse_acquire(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         int64_t *timeout);

/* Converts a number of seconds, rounding away from zero. Returns 0, or -1 with TypeError, ValueError
 * or OverflowError set. */
int golock_parse_seconds(PyObject *seconds, int64_t *nanoseconds);

/* Reads the timeout of what threading writes in Python, where None is no limit, and one that is not above 0
 * does not wait; `added` says whether threading adds it to a time, which not every number can be. Sets
 * *nanoseconds as golock_parse_acquire does. Returns 0, or -1 with TypeError, ValueError (for NaN) or
 * OverflowError set. */
int golock_parse_timeout(PyObject *timeout, bool added, int64_t *nanoseconds);

/* arguments.c */

/* The name of an argument, in ASCII. */
typedef struct {
    const char *text;
    Py_ssize_t length;
} golock_name;

#define GOLOCK_NAME(text) {text, sizeof(text) - 1}

/* Whether the text is the name. */
static inline bool
golock_is_name(PyObject *text, golock_name name)
{
    if (!PyUnicode_IS_COMPACT_ASCII(text)) { /* of a class derived from str */
        return PyUnicode_CompareWithASCIIString(text, name.text) == 0;
    }
    return PyUnicode_GET_LENGTH(text) == name.length &&
           memcmp(PyUnicode_1BYTE_DATA(text), name.text, (size_t)name.length) == 0;
}

/* Sorts a call's arguments into values, by position or by name; those not given stay as they are. Returns 0,
 * or -1 with TypeError set when there are too many, one is given twice or not known, or one of the first
 * `required` is missing. */
int golock_bind(const char *function, const golock_name *names, int length, int required,
                PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **values);

/* The same for what tp_init gets; golock_bind_init_given is its outlined part. */
int golock_bind_init_given(const char *function, const golock_name *names, int length, int required,
                           PyObject *args, PyObject *kwargs, PyObject **values);

static inline int
golock_bind_init(const char *function, const golock_name *names, int length, int required, PyObject *args,
                 PyObject *kwargs, PyObject **values)
{
    return required == 0 && PyTuple_GET_SIZE(args) == 0 && kwargs == NULL
               ? 0
               : golock_bind_init_given(function, names, length, required, args, kwargs, values);
}

/* wait.c */

/* The moment that is so many nanoseconds from now (-1: never), or GOLOCK_FOREVER where the clock does not
 * reach. */
int64_t golock_deadline_after(int64_t timeout);

/* Whether the interpreter runs signal handlers in this thread. It may be wrong, at the price of a signal
 * overlooked, where another thread than the first of the process has started the interpreter. */
bool golock_runs_handlers(void);

/* listen.c */

/* A wait for a notification. */
typedef struct golock_listener {
    struct golock_listener *previous, *next;
    struct golock_listeners *listeners; /* among which it stands, or NULL */
    struct golock_listener *outer;      /* the thread's wait below, in whose signal handler this one began */
    PyObject *condition;                /* to which it was moved, and which it keeps alive */
    PyObject *lock;                     /* GOLOCK_OPENED: what it waits on from now on */
    uint32_t told;    /* what it was told, or 0, on which the thread sleeps, or GOLOCK_SPINS */
    bool woken;       /* on the word of the lock to which it was moved */
    int32_t *counter; /* where it was counted then, or NULL */
} golock_listener;

/* Those who wait at one object, first come first. All zero at first. Guarded by the GIL, or else by a lock of
 * their own. */
typedef struct golock_listeners {
    golock_listener *first, *last;
    uint32_t length;
    uint32_t process; /* that they belong to: fork copies the list, and not those in it */
#ifdef Py_GIL_DISABLED
    bool locked;
#endif
} golock_listeners;

/* What a listener is told: to go on; that the barrier is broken; to wait on its lock; to go on, and that it
 * may have been moved to the word of the lock that it is to take. */
enum { GOLOCK_TOLD = 1, GOLOCK_BROKEN, GOLOCK_OPENED, GOLOCK_MOVED };

/* In the place of what it was told: it is awake, and looks for that. */
#define GOLOCK_SPINS UINT32_MAX

struct golock_mutex;

#define GOLOCK_EVERYONE UINT32_MAX

/* Returns a new one, or NULL with MemoryError set. It belongs to the calling thread, which frees it when it
 * has waited: unless the interpreter ends while it sleeps, and with it the thread. */
golock_listener *golock_listener_new(void);
void golock_listener_free(golock_listener *listener);

/* How many there are. Those that were copied by fork do not count. */
uint32_t golock_count_listeners(golock_listeners *listeners);

/* Puts a listener behind all others. */
void golock_listen(golock_listeners *listeners, golock_listener *listener);

/* Waits to be told something, and returns it: GOLOCK_TOLD also where it was told GOLOCK_MOVED, or was told
 * GOLOCK_OPENED and then got the lock. Returns 0 when the deadline has passed, -1 with an exception set when
 * a signal handler raised; it can still be told something then, until it is withdrawn. Needs the GIL, and
 * drops it while it waits. It wakes `unwoken` (or NULL) first, and then looks for no signals before it
 * sleeps. */
int golock_await(golock_listener *listener, int64_t deadline, const golock_unwoken *unwoken);

/* Ends the wait. Returns what was told, or 0. */
uint32_t golock_withdraw(golock_listener *listener);

/* Ends the wait of one that listens to an object in vain, unless it was moved to a condition when the object
 * was opened: then returns false. */
bool golock_withdraw_native(PyObject *object, golock_listener *listener);

/* Tells up to n of them, those that came first. Those that are to take `lock`, unless it is NULL, are moved
 * to its word rather than woken: its releases wake them. */
void golock_notify(golock_listeners *listeners, uint32_t n, uint32_t told, struct golock_mutex *lock);

/* Moves all listeners to those of a condition, of which there are none. */
void golock_move_listeners(golock_listeners *from, golock_listeners *to, PyObject *condition);

/* Forgets all of them. They wait on, as those of a condition that is initialized again. */
void golock_forget_listeners(golock_listeners *listeners);

/* To be called in a child process. The waits below the signal handler that has forked go on in it. */
void golock_listen_after_fork(void);

/* lock.c */
extern PyType_Spec golock_lock_spec;

/* Returns a new reference to a free lock, or NULL with MemoryError set. */
PyObject *golock_lock_new(PyTypeObject *type);
#if PY_VERSION_HEX >= 0x030D0000
PyObject *golock_lock_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames);
#endif

/* condition.c, for objects that are being opened, and whose interpreter's algorithm waits at a condition.
 * golock_condition_add makes the field _cond a condition over a Lock (NULL: a new one), native whatever has
 * been done to its class, and returns a new reference to it, or NULL with an exception set.
 * golock_condition_adopt lets those who listen elsewhere listen to it. golock_condition_resume waits on for
 * one of them, and returns as golock_await does, but with the lock taken, for which golock_condition_unlock
 * is to be called. */
PyObject *golock_condition_add(PyObject *self, PyObject *fields, PyObject *lock);
void golock_condition_adopt(PyObject *condition, golock_listeners *from);
int golock_condition_resume(golock_listener *listener, int64_t deadline);
void golock_condition_unlock(golock_listener *listener);

/* Ends the wait of such a listener, whose thread does not wait at the condition any more: a notification goes
 * to the next. Takes the lock and frees it. An exception that is set stays so. */
void golock_condition_abandon(golock_listener *listener);

/* Ends the wait of such a listener, of which golock_await said `told`; an exception that is set stays so. The
 * lock is taken. */
void golock_condition_finish(golock_listener *listener, int told);

/* rlock.c, condition.c, semaphore.c, event.c, barrier.c */
extern PyType_Spec golock_rlock_spec;
extern PyType_Spec golock_condition_spec;
extern PyType_Spec golock_semaphore_spec;
extern PyType_Spec golock_bounded_semaphore_spec;
extern PyType_Spec golock_event_spec;
extern PyType_Spec golock_barrier_spec;

/* rlock.c: takes _recursion_count from a type just made when the interpreter's RLock has none. 3.11.6 and
 * 3.12.1 added it (gh-109593), and one build serves all releases of a version. Returns 0, or -1 with an
 * exception set. */
int golock_rlock_match(PyTypeObject *type);

#endif
