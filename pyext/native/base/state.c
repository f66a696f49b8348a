#include "base/state.h"

struct golock_first_module golock_first_module;

PyModuleDef golock_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "golock._golock",
    .m_doc = "golock's locks: the uncontended operations, and the way into the lock core.",
    .m_size = sizeof(golock_state),
};

golock_state *
golock_state_look_up(PyTypeObject *type)
{
    return PyModule_GetState(PyType_GetModuleByDef(type, &golock_module));
}
