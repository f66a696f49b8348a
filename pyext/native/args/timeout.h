/* Reading timeouts. */
#ifndef GOLOCK_TIMEOUT_H
#define GOLOCK_TIMEOUT_H

#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

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

#endif
