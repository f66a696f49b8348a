/* What install() asks of C. */
#include "install.h"

/* Never equal to `seen`, where the dict cannot be watched. */
static const uint64_t unknown = UINT64_MAX;

/* CPython 3.12 has watchers, and its predecessors number the versions of a dict. */
#if PY_VERSION_HEX >= 0x030C0000
/* Counts the changes of all dicts watched, in all interpreters. */
static uint64_t changes = 1;

static int
thread_changes(PyDict_WatchEvent Py_UNUSED(event), PyObject *Py_UNUSED(dict), PyObject *Py_UNUSED(key),
               PyObject *Py_UNUSED(value))
{
    __atomic_add_fetch(&changes, 1, __ATOMIC_RELEASE);
    return 0;
}

static void
watch(struct golock_green *green)
{
    green->watcher = PyDict_AddWatcher(thread_changes);
    if (green->watcher >= 0 && PyDict_Watch(green->watcher, green->thread) == 0) {
        green->version = &changes;
        return;
    }
    PyErr_Clear(); /* there are eight for everybody */
}

static void
unwatch(struct golock_green *green)
{
    if (green->watcher >= 0 &&
        (PyDict_Unwatch(green->watcher, green->thread) < 0 || PyDict_ClearWatcher(green->watcher) < 0)) {
        PyErr_Clear();
    }
}
#else
static void
watch(struct golock_green *green)
{
    green->version = &((PyDictObject *)green->thread)->ma_version_tag;
}

static void
unwatch(struct golock_green *Py_UNUSED(green))
{
}
#endif

int
golock_green_watch(golock_state *state)
{
    PyObject *thread = PyImport_ImportModule("_thread");
    PyObject *dict = thread == NULL ? NULL : PyModule_GetDict(thread);
    struct golock_green *green = dict == NULL ? NULL : PyMem_Calloc(1, sizeof(*green));
    if (green == NULL) {
        Py_XDECREF(thread);
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        return -1;
    }
    green->thread = Py_NewRef(dict);
    green->version = &unknown;
    green->watcher = -1;
    Py_DECREF(thread);
    watch(green);
    state->green = green;
    return 0;
}

/* Objects may still be made after this. */
void
golock_green_unwatch(golock_state *state)
{
    struct golock_green *green = state->green;
    if (green == NULL || green->thread == NULL) {
        return;
    }
    unwatch(green);
    green->version = &green->seen;
    green->replaced = false;
    Py_CLEAR(green->thread);
    Py_CLEAR(green->listener);
}

int
golock_green_traverse(const golock_state *state, visitproc visit, void *arg)
{
    if (state->green != NULL) {
        Py_VISIT(state->green->thread);
        Py_VISIT(state->green->listener);
    }
    return 0;
}

/* Whether the function is another than those of the interpreter and of golock, of which there may be several:
 * _thread can be imported anew. While the interpreter ends there are none. */
static bool
is_replaced(struct golock_green *green, const char *name)
{
    PyObject *function = PyDict_GetItemString(green->thread, name);
    if (function == NULL || function == Py_None) {
        return false;
    }
    PyObject *module = PyCFunction_CheckExact(function) ? ((PyCFunctionObject *)function)->m_module : NULL;
    return module == NULL || !PyUnicode_Check(module) ||
           (PyUnicode_CompareWithASCIIString(module, "_thread") != 0 &&
            PyUnicode_CompareWithASCIIString(module, "golock._golock") != 0);
}

bool
golock_green_look(struct golock_green *green)
{
    bool replaced, before;
    uint64_t version;
    GOLOCK_BEGIN_CRITICAL_SECTION(green->thread); /* who changes the dict has the version changed within it */
    version = __atomic_load_n(green->version, __ATOMIC_ACQUIRE);
    replaced = is_replaced(green, "start_new_thread") || is_replaced(green, "allocate_lock");
    before = __atomic_exchange_n(&green->replaced, replaced, __ATOMIC_RELAXED);
    __atomic_store_n(&green->seen, green->version == &unknown ? 0 : version, __ATOMIC_RELEASE);
    GOLOCK_END_CRITICAL_SECTION();
    if (replaced && !before && green->listener != NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyObject *told = PyObject_CallOneArg(green->listener, Py_None);
        if (told == NULL) {
            PyErr_WriteUnraisable(green->listener);
        }
        Py_XDECREF(told);
        PyErr_Restore(type, value, traceback);
    }
    return replaced;
}

PyObject *
golock_green_listen(PyObject *module, PyObject *listener)
{
    struct golock_green *green = ((golock_state *)PyModule_GetState(module))->green;
    Py_XSETREF(green->listener, Py_NewRef(listener));
    Py_RETURN_NONE;
}

/* Returns the dict of threading, or NULL if nobody has imported it. */
static PyObject *
threading_dict(golock_state *state)
{
    PyObject *dict = __atomic_load_n(&state->threading, __ATOMIC_ACQUIRE);
    if (dict == NULL) {
        PyObject *name = PyUnicode_InternFromString("threading");
        PyObject *module = name == NULL ? NULL : PyImport_GetModule(name);
        Py_XDECREF(name);
        if (module == NULL || !PyModule_Check(module)) {
            PyErr_Clear();
            Py_XDECREF(module);
            return NULL;
        }
        dict = Py_NewRef(PyModule_GetDict(module));
        Py_DECREF(module);
        PyObject *none = NULL;
        if (!__atomic_compare_exchange_n(&state->threading, &none, dict, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            Py_DECREF(dict);
            dict = none;
        }
    }
    return dict;
}

/* The interpreter's is a function, written in Python, of the module threading. */
bool
golock_rlock_is_replaced(golock_state *state)
{
    PyObject *dict = threading_dict(state);
    PyObject *current = dict == NULL ? NULL : PyDict_GetItemWithError(dict, state->rlock_name);
    if (current == NULL || current == Py_None || current == (PyObject *)state->rlock_type) {
        return false;
    }
    PyObject *module = PyFunction_Check(current) ? PyFunction_GetModule(current) : NULL;
    return module == NULL || !PyUnicode_Check(module) ||
           PyUnicode_CompareWithASCIIString(module, "threading") != 0;
}

PyObject *
golock_green_exchange(PyObject *self, PyObject *args, PyObject *kwargs)
{
    const golock_state *state = self == NULL ? NULL : golock_state_of(self);
    if (state == NULL || !golock_green_threads(state) || state->green->listener == NULL) {
        return self;
    }
    PyTypeObject *type = Py_TYPE(self);
    if (type != state->condition_type && type != state->semaphore_type &&
        type != state->bounded_semaphore_type && type != state->event_type && type != state->barrier_type) {
        return self;
    }
    PyObject *original = PyObject_CallOneArg(state->green->listener, (PyObject *)type);
    Py_DECREF(self);
    PyObject *object = original == NULL ? NULL : PyObject_Call(original, args, kwargs);
    Py_XDECREF(original);
    return object;
}

PyObject *
golock_installation(void)
{
    PyObject *interpreter = PyInterpreterState_GetDict(PyInterpreterState_Get());
    PyObject *name = interpreter == NULL ? NULL : PyUnicode_InternFromString("golock.installation");
    PyObject *fresh = name == NULL ? NULL : PyDict_New();
    PyObject *installation = fresh == NULL ? NULL : PyDict_SetDefault(interpreter, name, fresh);
    Py_XINCREF(installation);
    Py_XDECREF(fresh);
    Py_XDECREF(name);
    if (installation == NULL && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return installation;
}
