/* Loading the core: when a thread first has to wait, and again in a child process. */
#include "extension.h"
#include "fastpath.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

bool golock_fastpath = true;

static struct {
    pthread_mutex_t loading;
    const struct golock_core *table; /* NULL: not loaded in this process */
    char *path;
    int copies;     /* how many of the runtimes mapped into this process are private copies */
    bool inherited; /* a core of the parent is mapped, which fork has made useless */
    int64_t handoff;
} core = {.loading = PTHREAD_MUTEX_INITIALIZER, .handoff = 1000000};

/* A core must not be half loaded when the process forks, and the Go runtime does not survive fork: its
 * threads are gone. The child loads a fresh one when it needs one. */
static void
before_fork(void)
{
    pthread_mutex_lock(&core.loading);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&core.loading);
}

static void
after_fork_in_child(void)
{
    pthread_mutex_init(&core.loading, NULL);
    core.inherited |= core.table != NULL;
    core.table = NULL;
}

int
golock_core_locate(PyObject *module)
{
    PyObject *file = PyModule_GetFilenameObject(module);
    PyObject *encoded = NULL;
    if (file == NULL || !PyUnicode_FSConverter(file, &encoded)) {
        Py_XDECREF(file);
        return -1;
    }
    static const char name[] = "libgolock.so";
    const char *extension = PyBytes_AS_STRING(encoded);
    const char *slash = strrchr(extension, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash - extension) + 1;
    char *path = malloc(folder + sizeof(name));
    int result = -1;
    if (path == NULL) {
        PyErr_NoMemory();
    } else {
        memcpy(path, extension, folder);
        memcpy(path + folder, name, sizeof(name));
        char reason[4096];
        if (golock_corefile_check(path, reason, sizeof(reason))) {
            result = 0;
        } else {
            PyObject *message = PyUnicode_DecodeFSDefault(reason);
            PyObject *where = PyUnicode_DecodeFSDefault(path);
            if (message != NULL && where != NULL) {
                PyErr_SetImportError(message, NULL, where);
            }
            Py_XDECREF(message);
            Py_XDECREF(where);
        }
    }
    Py_DECREF(file);
    Py_DECREF(encoded);
    if (result == 0 && core.path == NULL) {
        core.path = path;
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    } else {
        free(path);
    }
    return result;
}

/* Calls dlopen and starts the Go runtime as a guest: all its threads block all signals, which are the
 * program's own, and what it has done to the signal handlers is undone. The core needs none: it does
 * not count on a fault being turned into a panic. */
static const struct golock_core *
load(char *reason, size_t size)
{
    sigset_t all, before;
    sigfillset(&all);
    struct sigaction handlers[NSIG];
    for (int signal = 1; signal < NSIG; signal++) {
        sigaction(signal, NULL, &handlers[signal]);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);

    const struct golock_core *table = NULL;
    void *handle;
    if (core.inherited) {
        handle = golock_corefile_open_copy(core.path, reason, size);
    } else {
        handle = dlopen(core.path, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) {
            snprintf(reason, size, "%s", dlerror());
        }
    }
    if (handle != NULL) {
        golock_core_function function = (golock_core_function)dlsym(handle, GOLOCK_CORE_SYMBOL);
        if (function == NULL) {
            snprintf(reason, size, "%s", dlerror());
        } else {
            table = function();
            table->set_handoff(core.handoff);
            core.copies += core.inherited;
        }
    }

    for (int signal = 1; signal < NSIG; signal++) {
        sigaction(signal, &handlers[signal], NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return table;
}

const struct golock_core *
golock_core_get(const golock_state *state)
{
    const struct golock_core *table = __atomic_load_n(&core.table, __ATOMIC_ACQUIRE);
    if (table != NULL) {
        return table;
    }
    char reason[4096] = "";
    pthread_mutex_lock(&core.loading);
    if (core.table == NULL) {
        __atomic_store_n(&core.table, load(reason, sizeof(reason)), __ATOMIC_RELEASE);
    }
    table = core.table;
    pthread_mutex_unlock(&core.loading);
    if (table == NULL) {
        PyErr_Format(state->core_error, "the lock core cannot be loaded: %s", reason);
    }
    return table;
}

void
golock_core_set_handoff(int64_t nanoseconds)
{
    __atomic_store_n(&core.handoff, nanoseconds, __ATOMIC_RELAXED);
    const struct golock_core *table = __atomic_load_n(&core.table, __ATOMIC_ACQUIRE);
    if (table != NULL) {
        table->set_handoff(nanoseconds);
    }
}

int64_t
golock_core_handoff(void)
{
    return __atomic_load_n(&core.handoff, __ATOMIC_RELAXED);
}

PyObject *
golock_core_describe(void)
{
    const struct golock_core *table = __atomic_load_n(&core.table, __ATOMIC_ACQUIRE);
    PyObject *path = PyUnicode_DecodeFSDefault(core.path);
    if (path == NULL) {
        return NULL;
    }
    return Py_BuildValue("{s:N,s:O,s:s,s:z,s:O,s:i}", "path", path, "loaded",
                         table != NULL ? Py_True : Py_False, "symbol", GOLOCK_CORE_SYMBOL, "go",
                         table != NULL ? table->go_version : NULL, "fastpath",
                         golock_fastpath ? Py_True : Py_False, "private_copies", core.copies);
}
