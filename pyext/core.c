/* Loading the core: when a thread first has to wait, and again in a child process. */
#include "corecall.h"
#include "extension.h"
#include "fastpath.h"
#include "share.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool golock_fastpath = true;
bool golock_core_wanted = true;

static struct {
    pthread_mutex_t loading;
    const struct golock_core *table; /* NULL: not loaded in this process */
    char *path;
    int copies;   /* how many of the runtimes mapped into this process are private copies */
    int opened;   /* how many private copies were opened, also in vain */
    bool forked;  /* this is a child process of one that had the extension */
    bool spent;   /* the file is mapped, or may be, but of no use: by a parent, or by a dlopen that failed */
    bool offered; /* the table is not the file's, but what golock.use_core was given */
    bool chosen;  /* the threshold was set, not only left at its default */
    int64_t handoff;
} core = {.loading = PTHREAD_MUTEX_INITIALIZER, .handoff = GOLOCK_DEFAULT_HANDOFF};

/* A core must not be half loaded when the process forks, and the Go runtime does not survive fork: its
 * threads are gone. The child loads a fresh one when it needs one. */
static void
before_fork(void)
{
    pthread_mutex_lock(&core.loading);
    golock_last_thread_before_fork();
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&core.loading);
}

static void
after_fork_in_child(void)
{
    pthread_mutex_unlock(&core.loading);
    core.forked = true;
    core.spent |= core.table != NULL && !core.offered;
    core.table = NULL;
    core.offered = false;
    golock_last_thread_in_child();
    golock_listen_after_fork();
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
    pthread_mutex_lock(&core.loading); /* interpreters with a GIL of their own may import at once */
    if (result == 0 && core.path == NULL) {
        if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0) {
            core.path = path;
            path = NULL;
        } else {
            PyErr_NoMemory();
            result = -1;
        }
    }
    pthread_mutex_unlock(&core.loading);
    free(path);
    return result;
}

/* What a Go runtime reserves of the address space when it starts; 1.2 GB were measured with Go 1.26. */
#define GO_ADDRESS_SPACE ((size_t)1280 << 20)

static void *
return_at_once(void *argument)
{
    return argument;
}

/* A thread's first call into a Go runtime asks the C library for the bounds of the thread's stack, and
 * frees what was never allocated if there is no memory for the answer. */
static bool
memory_for_bounds(void)
{
    pthread_attr_t attributes;
    int error = pthread_getattr_np(pthread_self(), &attributes);
    if (error == 0) {
        pthread_attr_destroy(&attributes);
    }
    return error != ENOMEM;
}

/* A Go runtime that cannot have its memory and its threads ends the process. Returns NULL when it can,
 * otherwise the reason. */
static const char *
lacking(void)
{
    if (!memory_for_bounds()) {
        return "not enough memory";
    }
    void *space = mmap(NULL, GO_ADDRESS_SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
        return "not enough address space for a Go runtime";
    }
    pthread_t thread;
    int error = pthread_create(&thread, NULL, return_at_once, NULL);
    if (error == 0) {
        pthread_join(thread, NULL);
    }
    munmap(space, GO_ADDRESS_SPACE);
    return error == 0 ? NULL : "no thread can be started";
}

/* Puts a signal's handler back where the Go runtime has replaced it, or added SA_ONSTACK to it. The core
 * needs neither: it does not count on a fault being turned into a panic, and no handler of the program
 * runs on a goroutine's stack. With the flag it would run on one of 32 KiB. */
static void
put_back_handler(int signal, const struct sigaction *before, const void *function_of_the_core)
{
    struct sigaction now;
    if (sigaction(signal, NULL, &now) != 0) {
        return;
    }
    Dl_info handler, core_file;
    bool same = now.sa_handler == before->sa_handler;
    if (same
            ? now.sa_flags != before->sa_flags
            : dladdr((void *)now.sa_handler, &handler) != 0 &&
                  dladdr(function_of_the_core, &core_file) != 0 && handler.dli_fbase == core_file.dli_fbase) {
        sigaction(signal, before, NULL);
    }
}

/* A thread's first call into a Go runtime gives it a stack of 32 KiB for handlers with SA_ONSTACK, if it
 * has none. This takes it away again, given what sigaltstack said before the call: such a handler then
 * runs on the thread's own stack, as before. */
static void
put_back_stack(const stack_t *before)
{
    if (before->ss_flags & SS_DISABLE) {
        sigaltstack(before, NULL);
    }
}

/* Calls dlopen and starts the Go runtime as a guest. Its threads start with all signals blocked, which
 * are the program's own; the runtime unblocks again SIGCHLD, SIGPROF and those that faults raise. */
static const struct golock_core *
load(char *reason, size_t size)
{
    const char *lack = lacking();
    if (lack != NULL) {
        snprintf(reason, size, "%s", lack);
        return NULL;
    }
    sigset_t all, before;
    sigfillset(&all);
    struct sigaction handlers[NSIG];
    for (int signal = 1; signal < NSIG; signal++) {
        sigaction(signal, NULL, &handlers[signal]);
    }
    stack_t stack;
    sigaltstack(NULL, &stack);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    char name[GOLOCK_THREAD_NAME];
    golock_name_threads(name);

    const struct golock_core *table = NULL;
    void *handle;
    bool private = core.spent;
    if (private) {
        handle = golock_corefile_open_copy(core.path, core.opened++, reason, size);
    } else {
        handle = dlopen(core.path, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) {
            snprintf(reason, size, "%s", dlerror());
            /* Out of memory, glibc may leave the library mapped whose constructors it has not called.
             * It would find it the next time, and the runtime would never have started. */
            core.spent = true;
        }
    }
    if (handle != NULL) {
        golock_core_function function = (golock_core_function)dlsym(handle, GOLOCK_CORE_SYMBOL);
        if (function == NULL) {
            snprintf(reason, size, "%s", dlerror());
        } else {
            table = function();
            table->set_handoff(core.handoff);
            core.copies += private;
            for (int signal = 1; signal < NSIG; signal++) {
                put_back_handler(signal, &handlers[signal], (void *)function);
            }
        }
    }
    golock_restore_name(name);
    put_back_stack(&stack);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return table;
}

/* A thread's first call into a Go runtime binds it to the runtime, which changes the thread's signal
 * mask and stack. Later calls do not. Returns false when there is no memory for it. */
static bool
bind_thread(const struct golock_core *table)
{
    /* With the default model the first access allocates memory, and ends the process where there is none. */
    static _Thread_local const struct golock_core *bound __attribute__((tls_model("initial-exec")));
    if (bound != table) {
        if (!memory_for_bounds()) {
            return false;
        }
        golock_signals before = golock_block_signals();
        stack_t stack;
        sigaltstack(NULL, &stack);
        union golock_semaphore none = {.both = GOLOCK_HELD};
        table->release_semaphore(&none.word, 0, 0); /* any call will do; this one changes nothing */
        if (!core.offered) { /* else the runtime may interrupt the thread in calls of the program */
            put_back_stack(&stack);
        }
        golock_restore_signals(before);
        bound = table;
    }
    return true;
}

/* Sets the threshold of a core's Go runtime. Returns false when there is no memory for the first call into
 * it. */
static bool
set_handoff_of(const struct golock_core *table, int64_t nanoseconds)
{
    if (!bind_thread(table)) {
        return false;
    }
    golock_signals before = golock_block_signals();
    table->set_handoff(nanoseconds);
    golock_restore_signals(before);
    return true;
}

const struct golock_core *
golock_core_loaded(void)
{
    return __atomic_load_n(&core.table, __ATOMIC_ACQUIRE);
}

bool
golock_core_forgets(uint32_t *word, uint32_t keep)
{
    if (!core.forked || golock_core_loaded() != NULL) {
        return false;
    }
    pthread_mutex_lock(&core.loading);
    bool absent = core.table == NULL;
    if (absent) {
        __atomic_and_fetch(word, keep, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&core.loading);
    return absent;
}

/* What is wrong with a table that was offered, or NULL. */
static const char *
fault_of(const struct golock_core *table)
{
    if (table == NULL || (uintptr_t)table % _Alignof(struct golock_core) != 0 ||
        !golock_readable(table, sizeof(*table)) || table->magic != GOLOCK_CORE_MAGIC) {
        return "there is none";
    }
    if (table->version != GOLOCK_VERSION) {
        return "it has another version of the interface than this extension";
    }
    if (table->process != getpid()) {
        return "its Go runtime did not outlive the fork";
    }
    if (table->try_acquire == NULL || table->next == NULL || table->stay == NULL || table->release == NULL ||
        table->release_semaphore == NULL || table->set_handoff == NULL || table->go_version == NULL) {
        return "it lacks a function";
    }
    return NULL;
}

int
golock_core_use(const golock_state *state, const struct golock_core *table)
{
    const char *fault = fault_of(table);
    if (fault == NULL) {
        pthread_mutex_lock(&core.loading);
        if (core.table == NULL) {
            core.offered = true;
            /* Unless Python has set a threshold, the program's own stays. */
            if (core.chosen && !set_handoff_of(table, core.handoff)) {
                core.offered = false;
                fault = "not enough memory";
            } else {
                __atomic_store_n(&core.table, table, __ATOMIC_RELEASE);
            }
        } else if (core.table != table) {
            fault = "threads of this process wait by another already";
        }
        pthread_mutex_unlock(&core.loading);
    }
    if (fault != NULL) {
        char at[GOLOCK_ADDRESS_TEXT];
        PyErr_Format(state->core_error, "the lock core at %s cannot be used: %s",
                     golock_address_text(table, at), fault);
        return -1;
    }
    return 0;
}

/* Returns the core's table, loaded if need be, or NULL with the reason in words. */
static const struct golock_core *
get(char *reason, size_t size)
{
    const struct golock_core *table = __atomic_load_n(&core.table, __ATOMIC_ACQUIRE);
    if (table == NULL) {
        pthread_mutex_lock(&core.loading);
        if (core.table == NULL) {
            __atomic_store_n(&core.table, load(reason, size), __ATOMIC_RELEASE);
        }
        table = core.table;
        pthread_mutex_unlock(&core.loading);
    }
    if (table != NULL && !bind_thread(table)) {
        snprintf(reason, size, "not enough memory for the thread's first call");
        return NULL;
    }
    return table;
}

const struct golock_core *
golock_core_get(void)
{
    char reason[4096] = "";
    return golock_core_wanted ? get(reason, sizeof(reason)) : NULL;
}

const struct golock_core *
golock_core_require(const golock_state *state)
{
    char reason[4096] = "";
    const struct golock_core *table = get(reason, sizeof(reason));
    if (table == NULL) {
        PyErr_Format(state->core_error, "the lock core cannot be loaded: %s", reason);
    }
    return table;
}

int
golock_core_set_handoff(int64_t nanoseconds)
{
    pthread_mutex_lock(&core.loading);
    bool can = core.table == NULL || set_handoff_of(core.table, nanoseconds);
    if (can) {
        core.chosen = true;
        __atomic_store_n(&core.handoff, nanoseconds, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&core.loading);
    if (!can) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int64_t
golock_core_handoff(void)
{
    return __atomic_load_n(&core.handoff, __ATOMIC_RELAXED);
}

PyObject *
golock_core_describe(void)
{
    pthread_mutex_lock(&core.loading);
    const struct golock_core *table = core.table;
    int copies = core.copies;
    bool offered = core.offered;
    pthread_mutex_unlock(&core.loading);
    PyObject *path = PyUnicode_DecodeFSDefault(core.path);
    if (path == NULL) {
        return NULL;
    }
    return Py_BuildValue("{s:N,s:O,s:O,s:s,s:z,s:O,s:i}", "path", path, "loaded",
                         table != NULL ? Py_True : Py_False, "offered", offered ? Py_True : Py_False,
                         "symbol", GOLOCK_CORE_SYMBOL, "go", table != NULL ? table->go_version : NULL,
                         "fastpath", golock_fastpath ? Py_True : Py_False, "private_copies", copies);
}
