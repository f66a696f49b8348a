/* Exceptions put aside and set again. */
#ifndef GOLOCK_ERRORS_H
#define GOLOCK_ERRORS_H

#include "base/compat.h"

/* Takes the exception that is set: returns it, with its traceback. */
PyObject *golock_raised(void);

/* Sets an exception taken before, whose reference it takes over. */
void golock_raise(PyObject *exception);

/* Makes an exception taken before the context of the one that is set. */
void golock_chain(PyObject *exception);

#endif
