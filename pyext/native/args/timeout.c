/* Follows lock_acquire_parse_args in CPython's Modules/_threadmodule.c and
 * _PyTime_FromSecondsObject in Python/pytime.c, with the differences between the versions. */
#include "args/timeout.h"

#include "args/bind.h"

#include <math.h>

static int
out_of_range(void)
{
    PyErr_SetString(PyExc_OverflowError, "timestamp out of range for C PyTime_t");
    return -1;
}

static int
from_double(double seconds, int64_t *nanoseconds)
{
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "Invalid value NaN (not a number)");
        return -1;
    }
    double exact = seconds * NS_PER_SECOND;
    if (!(exact >= (double)INT64_MIN && exact < -(double)INT64_MIN)) {
        return out_of_range();
    }
    int64_t whole = (int64_t)exact;
    *nanoseconds = whole + (exact > (double)whole) - (exact < (double)whole);
    return 0;
}

int
golock_parse_seconds(PyObject *seconds, int64_t *nanoseconds)
{
    if (PyFloat_Check(seconds)) {
        return from_double(PyFloat_AS_DOUBLE(seconds), nanoseconds);
    }
#if PY_VERSION_HEX >= 0x030F0000
    if (!PyIndex_Check(seconds)) {
        double number = PyFloat_AsDouble(seconds);
        return number == -1 && PyErr_Occurred() ? -1 : from_double(number, nanoseconds);
    }
#endif
    long long whole = PyLong_AsLongLong(seconds);
    if (whole == -1 && PyErr_Occurred()) {
        return PyErr_ExceptionMatches(PyExc_OverflowError) ? out_of_range() : -1;
    }
    if (__builtin_mul_overflow(whole, (long long)NS_PER_SECOND, nanoseconds)) {
        return out_of_range();
    }
    return 0;
}

/* Before 3.12 blocking is a C int, from 3.12 on a truth value. Returns 0 or 1, or -1 with an
 * exception set. */
static int
parse_blocking(PyObject *blocking)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyObject_IsTrue(blocking);
#else
    long value = PyLong_AsLong(blocking);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (value < INT_MIN || value > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError, value > 0 ? "signed integer is greater than maximum"
                                                       : "signed integer is less than minimum");
        return -1;
    }
    return value != 0;
#endif
}

/* Sorts the arguments into values[0], blocking, and values[1], timeout; those not given stay
 * NULL. */
static int
bind_arguments(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
               PyObject *values[2])
{
    static const golock_name names[2] = {GOLOCK_NAME("blocking"), GOLOCK_NAME("timeout")};
    Py_ssize_t nkeywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs + nkeywords > 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 2 arguments (%zd given)", function,
                     nargs + nkeywords);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        values[i] = args[i];
    }
    for (Py_ssize_t i = 0; i < nkeywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (!PyUnicode_Check(name)) {
            PyErr_SetString(PyExc_TypeError, "keywords must be strings");
            return -1;
        }
        int at = 0;
        while (at < 2 && !golock_is_name(name, names[at])) {
            at++;
        }
        if (at == 2) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function,
                         name);
            return -1;
        }
        if (at < nargs) {
            PyErr_Format(PyExc_TypeError,
                         "argument for %s() given by name ('%s') and position (%d)", function,
                         names[at].text, at + 1);
            return -1;
        }
        values[at] = args[nargs + i];
    }
    return 0;
}

/* 3.10 refuses the last microsecond of the range (PY_TIMEOUT_MAX), which 3.11 takes. */
static int
check_limit(golock_timeout timeout)
{
#if PY_VERSION_HEX < 0x030B0000
    if (timeout.nanoseconds > (INT64_MAX / 1000 - 1) * 1000) {
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
        return -1;
    }
#endif
    (void)timeout;
    return 0;
}

/* Returns 0 if a number can be added to a float, or -1 with TypeError set. */
static int
check_added(PyObject *number)
{
    PyObject *now = PyFloat_FromDouble(0);
    PyObject *sum = now == NULL ? NULL : PyNumber_Add(now, number);
    Py_XDECREF(now);
    Py_XDECREF(sum);
    return sum == NULL ? -1 : 0;
}

/* Up to 3.13 a NaN, which is not above 0, does not wait. Where threading adds it to a time, it
 * would wait for ever in a loop: refuse it. */
static bool
refuses_nan(bool added)
{
    return added || PY_VERSION_HEX >= 0x030E0000;
}

int
golock_parse_timeout(PyObject *timeout, bool added, golock_deadline *deadline)
{
    *deadline = timeout == Py_None ? GOLOCK_NO_LIMIT : GOLOCK_DO_NOT_WAIT;
    if (timeout == Py_None) {
        return 0;
    }
    if (PyFloat_Check(timeout)) {
        double seconds = PyFloat_AS_DOUBLE(timeout);
        if (seconds <= 0 || (isnan(seconds) && !refuses_nan(added))) {
            return 0;
        }
    } else {
        if (added && check_added(timeout) < 0) {
            return -1;
        }
        PyObject *zero = PyLong_FromLong(0);
        int above = zero == NULL ? -1 : PyObject_RichCompareBool(timeout, zero, Py_GT);
        Py_XDECREF(zero);
        if (above <= 0) {
            return above;
        }
    }
    golock_timeout limit;
    if (golock_parse_seconds(timeout, &limit.nanoseconds) < 0 || check_limit(limit) < 0) {
        return -1;
    }
    *deadline = golock_deadline_after(limit);
    return 0;
}

PyObject *
golock_seconds_left(golock_deadline deadline)
{
    if (deadline.at == GOLOCK_FOREVER) {
        return Py_NewRef(Py_None);
    }
    int64_t left = deadline.at - golock_now();
    return PyFloat_FromDouble(left > 0 ? (double)left / NS_PER_SECOND : 0);
}

int
golock_parse_acquire(const char *function, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames, golock_timeout *timeout)
{
    const int64_t not_given = -1 * (int64_t)NS_PER_SECOND; /* the default, -1 second */
    int64_t nanoseconds = not_given;
    PyObject *values[2] = {NULL, NULL};
    if (bind_arguments(function, args, nargs, kwnames, values) < 0) {
        return -1;
    }
    int blocking = values[0] == NULL || values[0] == Py_True ? 1
                   : values[0] == Py_False                   ? 0
                                                             : parse_blocking(values[0]);
    if (blocking < 0) {
        return -1;
    }
    if (values[1] != NULL && golock_parse_seconds(values[1], &nanoseconds) < 0) {
        return -1;
    }
    if (nanoseconds == not_given) {
        *timeout = blocking ? GOLOCK_TIMEOUT_UNLIMITED : GOLOCK_TIMEOUT_ZERO;
        return 0;
    }
    if (!blocking) {
        PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
        return -1;
    }
    if (nanoseconds < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout value must be a non-negative number");
        return -1;
    }
    *timeout = (golock_timeout){nanoseconds};
    return check_limit(*timeout);
}
