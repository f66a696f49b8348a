/* Reading timeouts. */
#ifndef GOLOCK_TIMEOUT_H
#define GOLOCK_TIMEOUT_H

#include "base/clock.h"
#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

/* Reads acquire's arguments as the running interpreter's lock does; `function` is for messages. Returns 0, or
 * -1 with TypeError, ValueError or OverflowError set. Sets a timeout, because a lock that is free is taken
 * without a look at the clock. */
int golock_parse_acquire(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         golock_timeout *timeout);

/* Converts a number of seconds, rounding away from zero. Returns 0, or -1 with TypeError, ValueError
 * or OverflowError set. */
int golock_parse_seconds(PyObject *seconds, int64_t *nanoseconds);

/* Reads the timeout of what threading writes in Python, where None is no limit, and one that is not above 0
 * does not wait; `added` says whether threading adds it to a time, which not every number can be. To be
 * called when the wait begins. Returns 0, or -1 with TypeError, ValueError (for NaN) or OverflowError set. */
int golock_parse_timeout(PyObject *timeout, bool added, golock_deadline *deadline);

/* Returns the seconds until the deadline as the timeout of a method of threading, a new reference: None
 * without a limit, 0 when it has passed. Returns NULL with MemoryError set. */
PyObject *golock_seconds_left(golock_deadline deadline);

#endif
