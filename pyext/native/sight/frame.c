#include "sight/frame.h"

#if PY_VERSION_HEX < 0x030C0000

#if PY_VERSION_HEX < 0x030B0000

#include <frameobject.h>

PyCodeObject *
golock_current_code(PyThreadState *thread, int *instruction)
{
    PyFrameObject *frame = thread->frame;
    if (frame == NULL) {
        return NULL;
    }
    *instruction = frame->f_lasti * (int)sizeof(_Py_CODEUNIT);
    return frame->f_code;
}

#else

#define Py_BUILD_CORE
#include <internal/pycore_frame.h>

PyCodeObject *
golock_current_code(PyThreadState *thread, int *instruction)
{
    const struct _PyInterpreterFrame *frame = thread->cframe->current_frame;
    if (frame == NULL) {
        return NULL;
    }
    *instruction = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
    return frame->f_code;
}

#endif

#else

PyCodeObject *
golock_current_code(PyThreadState *thread, int *instruction)
{
#if PY_VERSION_HEX < 0x030D0000
    struct _PyInterpreterFrame *frame = thread->cframe->current_frame;
#else
    struct _PyInterpreterFrame *frame = thread->current_frame;
#endif
    if (frame == NULL) {
        return NULL;
    }
    PyObject *code = PyUnstable_InterpreterFrame_GetCode(frame);
    Py_DECREF(code); /* the frame has a reference */
    if (!PyCode_Check(code)) {
        return NULL;
    }
    *instruction = PyUnstable_InterpreterFrame_GetLasti(frame);
    return (PyCodeObject *)code;
}

#endif
