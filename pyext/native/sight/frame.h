/* The line of Python code that a thread is in, without making a frame object: that could collect
 * garbage, and so run Python code. */
#ifndef GOLOCK_FRAME_H
#define GOLOCK_FRAME_H

#include "base/compat.h"

/* Returns a borrowed reference to the code that runs in the current thread, and the byte offset of
 * its instruction; NULL if the thread runs no Python code. Needs the GIL. */
PyCodeObject *golock_current_code(PyThreadState *thread, int *instruction);

#endif
