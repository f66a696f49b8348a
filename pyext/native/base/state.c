#include "base/state.h"

struct golock_first_module golock_first_module;

golock_state *
golock_state_look_up(PyTypeObject *type)
{
    return PyModule_GetState(PyType_GetModuleByDef(type, &golock_module));
}
