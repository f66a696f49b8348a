/* Python.h, and what differs between its versions. Headers include this before any of the system's:
 * Python.h sets feature macros, which those set too. */
#ifndef GOLOCK_COMPAT_H
#define GOLOCK_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* What replaces the GIL for one object without a GIL. */
#if PY_VERSION_HEX >= 0x030D0000
#define GOLOCK_BEGIN_CRITICAL_SECTION(object) Py_BEGIN_CRITICAL_SECTION(object)
#define GOLOCK_END_CRITICAL_SECTION() Py_END_CRITICAL_SECTION()
#else
#define GOLOCK_BEGIN_CRITICAL_SECTION(object)                                                      \
    {                                                                                              \
        (void)(object);
#define GOLOCK_END_CRITICAL_SECTION() }
#endif

#if PY_VERSION_HEX < 0x030D0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

#if PY_VERSION_HEX < 0x030B0000
#define PyType_GetModuleByDef _PyType_GetModuleByDef
#endif

#endif
