/* The frames of Python code that a thread is in, without making frame objects: that could collect
 * garbage, and so run Python code. Needs the GIL. */
#ifndef GOLOCK_FRAME_H
#define GOLOCK_FRAME_H

#include "base/compat.h"

#include <stdint.h>

/* Returns the innermost frame of a thread, or that which called another; NULL if there is none.
 * Frames that Python code cannot see are left out. */
const void *golock_innermost_frame(PyThreadState *thread);
const void *golock_calling_frame(const void *frame);

/* Returns a borrowed reference to the code of a frame, and the byte offset of its instruction. */
PyCodeObject *golock_frame_code(const void *frame, int *instruction);

/* Returns a number that stands for the instruction that the calling thread executes, as long as its
 * code object lives; 0 if it executes none. */
uintptr_t golock_place_here(void);

/* Returns a borrowed reference to the code that runs in the thread, and the byte offset of its
 * instruction; NULL if the thread runs no Python code. */
PyCodeObject *golock_current_code(PyThreadState *thread, int *instruction);

#endif
