/* Saving exceptions and setting them again. */
#ifndef GOLOCK_ERRORS_H
#define GOLOCK_ERRORS_H

#include "base/compat.h"

/* Clears the exception that is set and returns it, a new reference with its traceback; NULL if none
 * is set. */
PyObject *golock_raised(void);

/* Sets the exception, whose reference it steals. */
void golock_raise(PyObject *exception);

/* Makes the exception the context of the one that is set, and steals its reference. */
void golock_chain(PyObject *exception);

#endif
