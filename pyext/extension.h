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
    PyObject *core_error;
} golock_state;

/* core.c */

/* Remembers where the core lies, after checking that a core lies there. Returns 0, or -1 with
 * ImportError set. */
int golock_core_locate(PyObject *module);

/* Returns the core's table; loads the core if this process has none yet. Needs the GIL. Returns NULL
 * with golock.CoreError set when it cannot be loaded, or MemoryError. The table stays valid until the process
 * forks: ask again after running any Python code. */
const struct golock_core *golock_core_get(const golock_state *state);

/* Returns the core's table, or NULL if this process has none: then no thread of it has waited for a lock. */
const struct golock_core *golock_core_loaded(void);

/* Sets the hand-off threshold of the core, loaded or not. Returns 0, or -1 with MemoryError set. */
int golock_core_set_handoff(int64_t nanoseconds);
int64_t golock_core_handoff(void);

/* Returns a new dict that describes the core, or NULL with an exception set. */
PyObject *golock_core_describe(void);

/* corefile.c */

/* Checks that the file is a whole core for this machine and this version of the contract. Returns
 * true, or false with the reason in words. */
bool golock_corefile_check(const char *path, char *reason, size_t size);

/* Opens a private copy of the file, the number-th of this process and its ancestors. Returns dlopen's
 * handle, or NULL with the reason in words. */
void *golock_corefile_open_copy(const char *path, int number, char *reason, size_t size);

/* timeout.c */

/* Reads acquire's arguments as the running interpreter's lock does. On success sets *timeout to
 * nanoseconds (0: do not wait; -1: no limit) and returns 0; otherwise returns -1 with TypeError,
 * ValueError or OverflowError set. */
int golock_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, int64_t *timeout);

/* Converts a number of seconds, rounding away from zero. Returns 0, or -1 with TypeError, ValueError
 * or OverflowError set. */
int golock_parse_seconds(PyObject *seconds, int64_t *nanoseconds);

/* wait.c */

/* Takes the lock, and waits for it up to timeout nanoseconds (-1: no limit). Needs the GIL, and drops
 * it while it waits. Returns 1 when the lock was taken, 0 when the time ran out, -1 with an exception
 * set when a signal handler raised or the core could not be loaded; the lock is then not taken. */
int golock_wait(const golock_state *state, uint32_t *word, int64_t timeout);

/* lock.c */
extern PyType_Spec golock_lock_spec;

/* Returns a new reference to a free lock, or NULL with MemoryError set. */
PyObject *golock_lock_new(PyTypeObject *type);
#if PY_VERSION_HEX >= 0x030D0000
PyObject *golock_lock_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames);
#endif

#endif
