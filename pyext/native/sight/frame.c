#include "sight/frame.h"

#if PY_VERSION_HEX < 0x030B0000

#include <frameobject.h>

const void *
golock_innermost_frame(PyThreadState *thread)
{
    return thread->frame;
}

const void *
golock_calling_frame(const void *frame)
{
    return ((const PyFrameObject *)frame)->f_back;
}

PyCodeObject *
golock_frame_code(const void *frame, int *instruction)
{
    const PyFrameObject *its = frame;
    *instruction = its->f_lasti * (int)sizeof(_Py_CODEUNIT);
    return its->f_code;
}

static uintptr_t
place_of(const void *frame)
{
    const PyFrameObject *its = frame;
    return (uintptr_t)PyBytes_AS_STRING(its->f_code->co_code) +
           (uintptr_t)its->f_lasti * sizeof(_Py_CODEUNIT);
}

#else

#define Py_BUILD_CORE
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe.h>
#else
#include <internal/pycore_frame.h>
#endif
#pragma GCC diagnostic pop

typedef struct _PyInterpreterFrame frame;

#if PY_VERSION_HEX < 0x030D0000

static frame *
current(PyThreadState *thread)
{
    return thread->cframe->current_frame;
}

static bool
is_shim(const frame *f)
{
    (void)f;
    return false;
}

static PyCodeObject *
code_of(frame *f)
{
    return f->f_code;
}

static _Py_CODEUNIT *
bytecode(frame *f)
{
    return _PyCode_CODE(f->f_code);
}

static _Py_CODEUNIT *
instruction_of(const frame *f)
{
    return f->prev_instr;
}

#else

static frame *
current(PyThreadState *thread)
{
    return thread->current_frame;
}

static bool
is_shim(const frame *f)
{
#if PY_VERSION_HEX < 0x030E0000
    return f->owner == FRAME_OWNED_BY_CSTACK;
#else
    return f->owner >= FRAME_OWNED_BY_INTERPRETER;
#endif
}

static PyCodeObject *
code_of(frame *f)
{
    return _PyFrame_GetCode(f);
}

static _Py_CODEUNIT *
bytecode(frame *f)
{
#if PY_VERSION_HEX < 0x030E0000
    return _PyCode_CODE(_PyFrame_GetCode(f));
#else
    return _PyFrame_GetBytecode(f);
#endif
}

static _Py_CODEUNIT *
instruction_of(const frame *f)
{
    return f->instr_ptr;
}

#endif

/* As _PyFrame_IsIncomplete: a frame is not visible before its first instruction that is traced. */
static const void *
first_complete(frame *f)
{
    while (f != NULL &&
           (is_shim(f) || (f->owner != FRAME_OWNED_BY_GENERATOR &&
                           instruction_of(f) < bytecode(f) + code_of(f)->_co_firsttraceable))) {
        f = f->previous;
    }
    return f;
}

const void *
golock_innermost_frame(PyThreadState *thread)
{
    return first_complete(current(thread));
}

const void *
golock_calling_frame(const void *f)
{
    return first_complete(((const frame *)f)->previous);
}

PyCodeObject *
golock_frame_code(const void *f, int *instruction)
{
    *instruction = (int)(instruction_of(f) - bytecode((frame *)f)) * (int)sizeof(_Py_CODEUNIT);
    return code_of((frame *)f);
}

static uintptr_t
place_of(const void *f)
{
    return (uintptr_t)instruction_of(f);
}

#endif

#define MOST_CALLERS 8

uint64_t
golock_frame_identity(const void *frame)
{
    uint64_t identity = (uintptr_t)frame;
    for (int i = 0; i < MOST_CALLERS && (frame = golock_calling_frame(frame)) != NULL; i++) {
        identity = (identity ^ (uintptr_t)frame ^ place_of(frame)) * 0x9E3779B97F4A7C15u;
    }
    return identity;
}
