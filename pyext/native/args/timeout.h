#ifndef GOLOCK_TIMEOUT_H
#define GOLOCK_TIMEOUT_H

#include "base/clock.h"
#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

/* Reads the arguments of acquire as the running interpreter's lock does. `function` is its name for
 * messages. Gives a timeout and not a deadline, because taking a free lock must not read the clock.
 * Returns 0, or -1 with TypeError, ValueError or OverflowError set. */
int golock_parse_acquire(const char *function, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames, golock_timeout *timeout);

/* Converts a number of seconds, rounding away from zero. Returns 0, or -1 with TypeError,
 * ValueError or OverflowError set. */
int golock_parse_seconds(PyObject *seconds, int64_t *nanoseconds);

/* Reads the timeout of a method that threading writes in Python: None is no limit, and one that is
 * not above 0 does not wait. `added` says whether threading adds the timeout to a time, which is
 * not possible with every number. Call it when the wait begins. Returns 0, or -1 with TypeError,
 * ValueError (for NaN) or OverflowError set. */
int golock_parse_timeout(PyObject *timeout, bool added, golock_deadline *deadline);

/* Returns the seconds until the deadline as a timeout for the interpreter's methods, a new
 * reference: None without a limit, 0 when it has passed. Returns NULL with MemoryError set. */
PyObject *golock_seconds_left(golock_deadline deadline);

#endif
