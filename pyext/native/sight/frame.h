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

/* Returns a hash of the addresses of a frame and of the frames that called it, up to eight, and of
 * the calls that they are in. A thread that finds a frame at the address of one that it had, with
 * the same hash, has probably not left it. */
uint64_t golock_frame_identity(const void *frame);

/* Returns a borrowed reference to the code of a frame, and the byte offset of its instruction. */
PyCodeObject *golock_frame_code(const void *frame, int *instruction);

/* Returns a number for the instruction that the thread executes, or 0: it has none. No other
 * instruction has the number while the code is alive. Needs the GIL. */
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED)

#define Py_BUILD_CORE
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE

static inline uintptr_t
golock_current_place(PyThreadState *thread)
{
#if PY_VERSION_HEX < 0x030D0000
    const struct _PyInterpreterFrame *frame = thread->cframe->current_frame;
    return frame == NULL ? 0 : (uintptr_t)frame->prev_instr;
#else
    const struct _PyInterpreterFrame *frame = thread->current_frame;
    return frame == NULL ? 0 : (uintptr_t)frame->instr_ptr;
#endif
}

#else

static inline uintptr_t
golock_current_place(PyThreadState *thread)
{
    int instruction = 0;
    const void *frame = golock_innermost_frame(thread);
    const PyCodeObject *code = frame == NULL ? NULL : golock_frame_code(frame, &instruction);
    uintptr_t unit = (uintptr_t)instruction / 2; /* the size of a code unit */
    return code == NULL || unit > UINT16_MAX ? 0 : (uintptr_t)code | unit << 48;
}

#endif

#endif
