/* Which task runs in this thread: of trio, or of a loop of asyncio or uvloop. No module is imported
 * for that: if it is not there, none of its tasks runs. */
#include "loops/loops.h"

#include "sight/lookup.h"

static const char *const names[GOLOCK_TASK_NAMES] = {
    "trio",
#if PY_VERSION_HEX >= 0x030C0000
    "asyncio.tasks",
    "current_task",
    "",
#else
    "_asyncio",
    "_get_running_loop",
    "_current_tasks",
#endif
};

enum { TRIO, ASYNCIO, CURRENT, TASKS };

int
golock_task_names(golock_state *state)
{
    for (int i = 0; i < GOLOCK_TASK_NAMES; i++) {
        state->task_names[i] = PyUnicode_InternFromString(names[i]);
        if (state->task_names[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* As PyImport_GetModule, but does not look into the module's __spec__ whether its import goes on:
 * what such a module lacks is an AttributeError. */
static PyObject *
imported(const golock_state *state, int name)
{
    return golock_get_item(PyImport_GetModuleDict(), state->task_names[name]);
}

/* Returns a new reference to the running task of a module, or to None; or NULL, without an
 * exception if the module has not been imported. */
static PyObject *
task_of_trio(const golock_state *state)
{
    PyObject *trio = imported(state, TRIO);
    if (trio == NULL) {
        return NULL;
    }
    Py_DECREF(trio);
    return golock_call_loops("trio_task", NULL, 0);
}

#if PY_VERSION_HEX >= 0x030C0000
static PyObject *
current_task(const golock_state *state, PyObject *tasks)
{
    return PyObject_CallMethodNoArgs(tasks, state->task_names[CURRENT]);
}
#else
/* What asyncio.current_task does, which is Python code up to 3.11. */
static PyObject *
current_task(const golock_state *state, PyObject *asyncio)
{
    PyObject *loop = PyObject_CallMethodNoArgs(asyncio, state->task_names[CURRENT]);
    if (loop == NULL || loop == Py_None) {
        return loop;
    }
    PyObject *tasks = PyObject_GetAttr(asyncio, state->task_names[TASKS]);
    PyObject *task = tasks == NULL ? NULL : PyObject_GetItem(tasks, loop);
    if (task == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
        task = Py_NewRef(Py_None);
    }
    Py_XDECREF(tasks);
    Py_DECREF(loop);
    return task;
}
#endif

static PyObject *
task_of_asyncio(const golock_state *state)
{
    PyObject *asyncio = imported(state, ASYNCIO);
    if (asyncio == NULL) {
        return NULL;
    }
    PyObject *task = current_task(state, asyncio);
    Py_DECREF(asyncio);
    /* No loop runs, or another thread is about to import the module. */
    if (task == NULL &&
        (PyErr_Occurred() == PyExc_RuntimeError || PyErr_ExceptionMatches(PyExc_AttributeError))) {
        PyErr_Clear();
    }
    return task;
}

int
golock_running_task(const golock_state *state, PyObject **task)
{
    PyObject *running = task_of_trio(state);
    if (running == Py_None || (running == NULL && !PyErr_Occurred())) {
        Py_XDECREF(running);
        running = task_of_asyncio(state);
    }
    *task = running == NULL || running == Py_None ? NULL : PyWeakref_NewRef(running, NULL);
    Py_XDECREF(running);
    return *task == NULL && PyErr_Occurred() ? -1 : 0;
}
