/* What the extension's files share. */
#ifndef GOLOCK_EXTENSION_H
#define GOLOCK_EXTENSION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "golock.h"

#define NANOSECONDS 1000000000 /* in a second */

/* CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t
golock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NANOSECONDS + now.tv_nsec;
}

typedef struct {
    PyTypeObject *lock_type;
    PyTypeObject *rlock_type;
    PyTypeObject *condition_type;
    PyTypeObject *semaphore_type;
    PyTypeObject *bounded_semaphore_type;
    PyTypeObject *event_type;
    PyTypeObject *barrier_type;
    PyObject *core_error;
} golock_state;

/* module.c */

/* Returns the state of the module that made the object's type, or a base of it. */
const golock_state *golock_state_of(PyObject *self);

/* core.c */

/* Remembers where the core lies, after checking that a core lies there. Returns 0, or -1 with
 * ImportError set. */
int golock_core_locate(PyObject *module);

/* False with GOLOCK_CORE=0 in the environment, for tests: golock_core_get returns NULL. */
extern bool golock_core_wanted;

/* Returns the core's table; loads the core if this process has none yet. Needs the GIL. Returns NULL, without
 * an exception, when it cannot be had: then threads wait without it. The first time it warns, which may run any
 * Python code: so it is called before the caller announces or owes anything. The table stays valid until the
 * process forks: ask again after running any Python code. */
const struct golock_core *golock_core_get(void);

/* The same for callers that cannot do without: NULL comes with CoreError set. */
const struct golock_core *golock_core_require(const golock_state *state);

/* Returns the core's table, or NULL if this process has none. */
const struct golock_core *golock_core_loaded(void);

/* In a child process that has no core yet nobody listens, whatever a word copied from the parent says. If
 * this is one, clears all bits of the word but those to keep, and returns true; meanwhile no core is loaded
 * by another thread, which might listen then. */
bool golock_core_forgets(uint32_t *word, uint32_t keep);

/* Makes a core that others have loaded into this process the one that its threads wait by. The address may be
 * anything. Returns 0, or -1 with CoreError set when there is no core, or one of another version or of a
 * parent process, or threads wait by another already. */
int golock_core_use(const golock_state *state, const struct golock_core *table);

/* Sets the hand-off threshold of the core, loaded or not. Returns 0, or -1 with MemoryError set. */
int golock_core_set_handoff(int64_t nanoseconds);
int64_t golock_core_handoff(void);

/* Returns a new dict that describes the core, or NULL with an exception set. */
PyObject *golock_core_describe(void);

/* corefile.c */

/* Checks that the file is a whole core for this machine and this version of the contract. Returns
 * true, or false with the reason in words. */
bool golock_corefile_check(const char *path, char *reason, size_t size);

/* Opens a private copy of the file. *opened is how many copies the dynamic linker was given in this process and
 * its ancestors, which it counts on. Returns dlopen's handle, or NULL with the reason in words. */
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

/* Sorts a call's arguments into values, by position or by name; those not given stay as they are. Returns 0,
 * or -1 with TypeError set when there are too many, one is given twice or not known, or one of the first
 * `required` is missing. */
int golock_bind(const char *function, const char *const *names, int length, int required,
                PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **values);

/* The same for what tp_init gets. */
int golock_bind_init(const char *function, const char *const *names, int length, int required, PyObject *args,
                     PyObject *kwargs, PyObject **values);

/* wait.c */

/* The moment that is so many nanoseconds from now (-1: never), or GOLOCK_FOREVER where the clock does not
 * reach. */
int64_t golock_deadline_after(int64_t timeout);

/* Whether the interpreter runs signal handlers in this thread. It may be wrong, at the price of a signal
 * overlooked, where another thread than the first of the process has started the interpreter. */
bool golock_runs_handlers(void);

/* listen.c */

/* A wait for a notification, and the core that knows of it. */
typedef struct golock_listening {
    struct golock_listener listener;
    const struct golock_core *core;
    uint32_t *word;
    struct golock_listening *outer;
} golock_listening;

/* Returns a new one, or NULL with MemoryError set. It belongs to the thread that waits, which frees it by
 * PyMem_RawFree: unless the interpreter ends while it sleeps, and with it the thread. */
golock_listening *golock_listening_new(void);

/* Begins to listen to the word. Returns 0, or -1 with CoreError or MemoryError set. */
int golock_listen(const golock_state *state, uint32_t *word, golock_listening *listening);

/* Waits to be told something, which is returned, or until the deadline has passed: 0. Needs the GIL, and
 * drops it while it waits. Returns -1 with an exception set when a signal handler raised or, in a child that
 * a handler has forked, the core could not be loaded. In the last two cases it has still to be withdrawn. */
int64_t golock_await(const golock_state *state, uint32_t *word, golock_listening *listening,
                     int64_t deadline);

/* Ends the wait. Returns what was told, or 0. */
uint32_t golock_withdraw(uint32_t *word, golock_listening *listening);

/* Tells up to n of those that listen to the word. Returns 0, or -1 with CoreError or MemoryError set. */
int golock_notify(const golock_state *state, uint32_t *word, uint32_t n, uint32_t told);

/* Whether a thread of this process waits below a signal handler that has forked it: who notifies it may not
 * find it among those who listen to the word. */
bool golock_has_inherited(void);

/* To be called in the child process, when the core is forgotten. */
void golock_listen_after_fork(void);

/* lock.c */
extern PyType_Spec golock_lock_spec;

/* Returns a new reference to a free lock, or NULL with MemoryError set. */
PyObject *golock_lock_new(PyTypeObject *type);
#if PY_VERSION_HEX >= 0x030D0000
PyObject *golock_lock_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames);
#endif

/* condition.c: what the methods of that name do; over golock's locks they need no memory. */
PyObject *golock_condition_acquire(PyObject *condition);
PyObject *golock_condition_release(PyObject *condition);
PyObject *golock_condition_notify_all(PyObject *condition);

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
