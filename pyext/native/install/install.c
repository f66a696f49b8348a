#include "install/install.h"

/* Never equals `seen`: the dict cannot be watched. */
static const uint64_t unknown = UINT64_MAX;

/* CPython 3.12 has dict watchers; its predecessors number the versions of a dict. */
#if PY_VERSION_HEX >= 0x030C0000
/* Counts the changes of all watched dicts, in all interpreters. */
static uint64_t changes = 1;

static int
dict_changes(PyDict_WatchEvent Py_UNUSED(event), PyObject *Py_UNUSED(dict),
             PyObject *Py_UNUSED(key), PyObject *Py_UNUSED(value))
{
    __atomic_add_fetch(&changes, 1, __ATOMIC_RELEASE);
    return 0;
}

static void
begin_to_watch(struct golock_green *green)
{
    green->watcher = PyDict_AddWatcher(dict_changes);
    if (green->watcher < 0) {
        PyErr_Clear(); /* an interpreter has only eight */
    }
}

static const uint64_t *
watch(const struct golock_green *green, PyObject *dict)
{
    if (green->watcher >= 0 && PyDict_Watch(green->watcher, dict) == 0) {
        return &changes;
    }
    PyErr_Clear();
    return &unknown;
}

static void
unwatch(const struct golock_green *green, PyObject *dict)
{
    if (green->watcher >= 0 && PyDict_Unwatch(green->watcher, dict) < 0) {
        PyErr_Clear();
    }
}

static void
end_to_watch(const struct golock_green *green)
{
    if (green->watcher >= 0 && PyDict_ClearWatcher(green->watcher) < 0) {
        PyErr_Clear();
    }
}
#else
static void
begin_to_watch(struct golock_green *Py_UNUSED(green))
{
}

static const uint64_t *
watch(const struct golock_green *Py_UNUSED(green), PyObject *dict)
{
    return &((PyDictObject *)dict)->ma_version_tag;
}

static void
unwatch(const struct golock_green *Py_UNUSED(green), PyObject *Py_UNUSED(dict))
{
}

static void
end_to_watch(const struct golock_green *Py_UNUSED(green))
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
    state->green = green;
    green->watcher = -1;
    green->thread.version = green->threading.version = &unknown;
    green->start_new_thread = PyUnicode_InternFromString("start_new_thread");
    green->allocate_lock = PyUnicode_InternFromString("allocate_lock");
    if (green->start_new_thread == NULL || green->allocate_lock == NULL) {
        Py_DECREF(thread);
        return -1;
    }
    begin_to_watch(green);
    green->thread.dict = Py_NewRef(dict);
    green->thread.version = watch(green, dict);
    Py_DECREF(thread);
    return 0;
}

static void
forget(const struct golock_green *green, struct golock_watched *watched)
{
    watched->version = &watched->seen;
    watched->replaced = false;
    if (watched->dict != NULL) {
        unwatch(green, watched->dict);
        Py_CLEAR(watched->dict);
    }
}

/* Objects may still be made after this. */
void
golock_green_unwatch(golock_state *state)
{
    struct golock_green *green = state->green;
    if (green == NULL) {
        return;
    }
    forget(green, &green->thread);
    forget(green, &green->threading);
    end_to_watch(green);
    green->watcher = -1;
    Py_CLEAR(green->listener);
    Py_CLEAR(green->start_new_thread);
    Py_CLEAR(green->allocate_lock);
}

int
golock_green_traverse(const golock_state *state, visitproc visit, void *arg)
{
    if (state->green != NULL) {
        Py_VISIT(state->green->thread.dict);
        Py_VISIT(state->green->threading.dict);
        Py_VISIT(state->green->listener);
        Py_VISIT(state->green->start_new_thread);
        Py_VISIT(state->green->allocate_lock);
    }
    return 0;
}

/* Records what was found in the dict at this version. Returns what was recorded before. */
static bool
remember(struct golock_watched *watched, uint64_t version, bool replaced)
{
    bool before = __atomic_exchange_n(&watched->replaced, replaced, __ATOMIC_RELAXED);
    __atomic_store_n(&watched->seen, version == unknown ? 0 : version, __ATOMIC_RELEASE);
    return before;
}

/* Whether the function is neither the interpreter's nor one of golock's, of which there may be
 * several because _thread can be imported again. While the interpreter ends it is considered
 * unreplaced. */
static bool
is_replaced(const struct golock_watched *thread, PyObject *name)
{
    PyObject *function = PyDict_GetItemWithError(thread->dict, name);
    if (function == NULL || function == Py_None) {
        PyErr_Clear();
        return false;
    }
    PyObject *module =
        PyCFunction_CheckExact(function) ? ((PyCFunctionObject *)function)->m_module : NULL;
    return module == NULL || !PyUnicode_Check(module) ||
           (PyUnicode_CompareWithASCIIString(module, "_thread") != 0 &&
            PyUnicode_CompareWithASCIIString(module, "golock._golock") != 0);
}

bool
golock_green_look(struct golock_green *green)
{
    struct golock_watched *thread = &green->thread;
    bool replaced, before;
    GOLOCK_BEGIN_CRITICAL_SECTION(
        thread->dict); /* a writer changes the version within the critical section */
    uint64_t version = __atomic_load_n(thread->version, __ATOMIC_ACQUIRE);
    replaced =
        is_replaced(thread, green->start_new_thread) || is_replaced(thread, green->allocate_lock);
    before = remember(thread, version, replaced);
    GOLOCK_END_CRITICAL_SECTION();
    if (replaced && !before && green->listener != NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyObject *result = PyObject_CallOneArg(green->listener, Py_None);
        if (result == NULL) {
            PyErr_WriteUnraisable(green->listener);
        }
        Py_XDECREF(result);
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
threading_dict(const golock_state *state)
{
    struct golock_green *green = state->green;
    PyObject *dict = __atomic_load_n(&green->threading.dict, __ATOMIC_ACQUIRE);
    if (dict == NULL) {
        PyObject *module = PyImport_GetModule(state->threading_name);
        if (module == NULL || !PyModule_Check(module)) {
            PyErr_Clear();
            Py_XDECREF(module);
            return NULL;
        }
        dict = Py_NewRef(PyModule_GetDict(module));
        Py_DECREF(module);
        PyObject *none = NULL;
        if (!__atomic_compare_exchange_n(&green->threading.dict, &none, dict, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            Py_DECREF(dict);
            return none;
        }
        __atomic_store_n(&green->threading.version, watch(green, dict), __ATOMIC_RELEASE);
    }
    return dict;
}

PyObject *
golock_threading(const golock_state *state)
{
    PyObject *dict = threading_dict(state);
    if (dict != NULL) {
        return dict;
    }
    PyObject *module = PyImport_Import(state->threading_name);
    if (module == NULL) {
        return NULL;
    }
    Py_DECREF(module);
    dict = threading_dict(state);
    if (dict == NULL) {
        PyErr_SetString(PyExc_ImportError, "threading is not a module");
    }
    return dict;
}

/* The interpreter's is a Python function of the module threading. */
static bool
is_foreign(const golock_state *state, PyObject *rlock)
{
    if (rlock == NULL || rlock == Py_None || rlock == (PyObject *)state->rlock_type) {
        return false;
    }
    PyObject *module = PyFunction_Check(rlock) ? PyFunction_GetModule(rlock) : NULL;
    return module == NULL || !PyUnicode_Check(module) ||
           PyUnicode_CompareWithASCIIString(module, "threading") != 0;
}

bool
golock_rlock_look(const golock_state *state)
{
    struct golock_watched *threading = &state->green->threading;
    PyObject *dict = threading_dict(state);
    if (dict == NULL) {
        return false;
    }
    bool replaced;
    GOLOCK_BEGIN_CRITICAL_SECTION(dict);
    const uint64_t *changed = __atomic_load_n(&threading->version, __ATOMIC_ACQUIRE);
    uint64_t version = __atomic_load_n(changed, __ATOMIC_ACQUIRE);
    replaced = is_foreign(state, PyDict_GetItemWithError(dict, state->rlock_name));
    remember(threading, version, replaced);
    GOLOCK_END_CRITICAL_SECTION();
    return replaced;
}

PyObject *
golock_green_exchange_for(const golock_state *state, PyObject *self, PyObject *args,
                          PyObject *kwargs)
{
    PyTypeObject *type = Py_TYPE(self);
    if (state->green->listener == NULL ||
        (type != state->condition_type && type != state->semaphore_type &&
         type != state->bounded_semaphore_type && type != state->event_type &&
         type != state->barrier_type)) {
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
