/* Loads the core when a thread first has to wait, and again in a child process. */
#include "core/loader.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/process.h"
#include "base/readable.h"
#include "core/call.h"
#include "core/file.h"
#include "fastpath/fastpath.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Nanoseconds. How long a first wait waits for the Go runtime. It starts in some milliseconds, in
 * some tenths of a second where a hundred processes load it at once, and in seconds where the
 * processor is emulated or throttled: then threads wait without it until it has started. */
#define START_LIMIT ((int64_t)2 * NS_PER_SECOND)

/* Nanoseconds. A runtime that takes longer is reported as one that does not start. */
#define OVERDUE ((int64_t)60 * NS_PER_SECOND)

/* Nanoseconds. The pause before the next attempt to load a core that could not be loaded. It
 * doubles each time. */
#define FIRST_RETRY_PAUSE (NS_PER_SECOND / 10)
#define LONGEST_RETRY_PAUSE ((int64_t)10 * NS_PER_SECOND)

/* How many private copies one process may map, with those of its parents; each takes some MB. */
#define MOST_COPIES 64

bool golock_core_wanted = true;

/* Why there is no core. */
typedef struct {
    char text[512];
    bool starting; /* its Go runtime is starting, and lacks nothing: that is no reason to warn */
} reason;

static const char first_call[] = "not enough memory for the thread's first call";

static struct {
    pthread_mutex_t loading;
    const struct golock_core *table; /* NULL: not loaded in this process */
    char *path;
    int copies; /* how many private copies are mapped into this process */
    int opened; /* how many private copies the dynamic linker was given, including failures */
    bool forked_by_a_thread; /* this process or an ancestor was forked by another thread than the
                              * main one */
    bool forked_by_main;
    bool warned;                   /* that threads wait without a core */
    golock_core_function function; /* of the loaded library; its runtime may not run yet */
    int64_t overdue_at;            /* its runtime should have started by this moment */
    int64_t retry_at;              /* the core is not loaded again before this moment */
    int64_t retry_pause;
    reason missing;
    bool file_unusable; /* the file is or may be mapped but cannot be used: by a parent, or after a
                         * failed dlopen */
    bool offered;       /* the table came from golock.use_core and not from the file */
    bool threshold_set; /* the threshold was set explicitly */
    int64_t handoff;
} core = {.loading = PTHREAD_MUTEX_INITIALIZER, .handoff = GOLOCK_DEFAULT_HANDOFF};

static const char forked_by_a_thread[] = "this process was forked by a thread other than the main "
                                         "one, and must be able to end with its last thread";

/* The core must not be half loaded when the process forks. The Go runtime does not survive a fork,
 * because its threads are gone; the child loads a fresh core when it needs one.
 *
 * A child forked by another thread than the main one loads none. Nobody runs main there, and the C
 * library ends the process with its last thread, while Go's threads never end. */
void
golock_core_before_fork(void)
{
    pthread_mutex_lock(&core.loading);
    core.forked_by_main = syscall(SYS_gettid) == getpid();
}

void
golock_core_after_fork_in_parent(void)
{
    pthread_mutex_unlock(&core.loading);
}

void
golock_core_after_fork_in_child(void)
{
    pthread_mutex_unlock(&core.loading);
    core.forked_by_a_thread |= !core.forked_by_main;
    core.file_unusable |= core.function != NULL;
    core.function = NULL;
    core.table = NULL;
    core.offered = false;
    core.warned = false;
    core.retry_at = 0;
    core.retry_pause = 0;
    core.missing.text[0] = '\0';
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
    pthread_mutex_lock(&core.loading); /* interpreters with their own GIL may import at once */
    if (result == 0 && core.path == NULL) {
        core.path = path;
        path = NULL;
    }
    pthread_mutex_unlock(&core.loading);
    free(path);
    return result;
}

/* What a Go runtime needs to start, with the C library's heaps for its threads and the reserves of
 * guest.c. Measured with Go 1.26: 1665 MB of address space, 55 MB of them writable, and six
 * threads. */
#define GO_ADDRESS_SPACE ((size_t)1700 << 20)
#define GO_MEMORY ((size_t)56 << 20)
#define GO_THREADS 6
#define GO_STACK ((size_t)320 << 10)

/* Whether a thread's first call into a Go runtime will have memory. The call asks the C library for
 * the bounds of the thread's stack, and without memory for the answer it frees what was never
 * allocated. */
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

static void *
wait_for_others(void *barrier)
{
    pthread_mutex_lock(barrier);
    pthread_mutex_unlock(barrier);
    return NULL;
}

/* Whether GO_THREADS threads can be started at once. */
static bool
room_for_threads(void)
{
    static pthread_mutex_t barrier = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[GO_THREADS];
    pthread_attr_t attributes;
    int started = 0;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    long least = sysconf(_SC_THREAD_STACK_MIN);
    pthread_attr_setstacksize(
        &attributes, GO_STACK + (least > 0 ? ((size_t)least + 0xFFFF) & ~(size_t)0xFFFF : 0));
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are for its own threads */
    pthread_mutex_lock(&barrier);
    while (started < GO_THREADS &&
           pthread_create(&threads[started], &attributes, wait_for_others, &barrier) == 0) {
        started++;
    }
    pthread_mutex_unlock(&barrier);
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started == GO_THREADS;
}

/* Returns what a Go runtime lacks to start, or NULL. A runtime that lacks something would wait for
 * it after the library is loaded. */
static const char *
lacking(void)
{
    if (!memory_for_bounds()) {
        return "not enough memory";
    }
    void *space =
        mmap(NULL, GO_ADDRESS_SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
        return "not enough address space for a Go runtime";
    }
    const char *lack = NULL;
    if (mprotect(space, GO_MEMORY, PROT_READ | PROT_WRITE) != 0) {
        lack = "not enough memory for a Go runtime";
    } else if (!room_for_threads()) {
        lack = "a Go runtime's threads cannot be started";
    }
    munmap(space, GO_ADDRESS_SPACE);
    return lack;
}

/* A thread's first call into a Go runtime gives the thread a signal stack of 32 KiB, if it has
 * none. This removes it again, so that handlers with SA_ONSTACK run on the thread's own stack as
 * before. `before` is what sigaltstack returned before the call. */
static void
put_back_stack(const stack_t *before)
{
    if (before->ss_flags & SS_DISABLE) {
        sigaltstack(before, NULL);
    }
}

/* Loads the library, whose Go runtime then starts by itself: golock/capi/libgolock/guest.c says
 * what it leaves alone. Returns NULL with the reason in words if it cannot be loaded. */
static golock_core_function
open_core(char *reason, size_t size)
{
    const char *lack = lacking();
    if (lack != NULL) {
        snprintf(reason, size, "%s", lack);
        return NULL;
    }
    if (!golock_corefile_check(core.path, reason, size)) {
        return NULL;
    }
    void *handle;
    bool private = core.file_unusable;
    if (private && core.copies >= MOST_COPIES) {
        snprintf(reason, size, "there are already %d private copies of it", core.copies);
        return NULL;
    }
    if (private) {
        handle = golock_corefile_open_copy(core.path, &core.opened, reason, size);
    } else {
        handle = dlopen(core.path, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) {
            snprintf(reason, size, "%s", dlerror());
            /* Without memory glibc may leave the library mapped without calling its constructors.
             * The next dlopen would return it, and its runtime would never start. */
            core.file_unusable = true;
        }
    }
    if (handle == NULL) {
        return NULL;
    }
    golock_core_function function = (golock_core_function)dlsym(handle, GOLOCK_CORE_SYMBOL);
    if (function == NULL) {
        snprintf(reason, size, "%s", dlerror());
        dlclose(handle);
        return NULL;
    }
    core.copies += private;
    return function;
}

static bool set_handoff_of(const struct golock_core *table, int64_t nanoseconds);

/* Says why the library's function has just returned NULL. */
static void
explain(int error, reason *why)
{
    const char *text = "its Go runtime is starting";
    why->starting = error == EINPROGRESS && golock_now() < core.overdue_at;
    if (!why->starting) {
        text = error == ENOMEM   ? "its Go runtime has not started: it lacks memory"
               : error == EAGAIN ? "its Go runtime has not started: it lacks threads"
                                 : "its Go runtime has not started within a minute";
    }
    snprintf(why->text, sizeof(why->text), "%s", text);
}

/* Returns the core's table, or NULL and why. It takes at most START_LIMIT: a runtime that has not
 * started by then may start later. Unless it `must`, it does not retry at once what has just
 * failed. */
static const struct golock_core *
load(bool must, reason *why)
{
    int64_t at = golock_now(), limit = at;
    if (core.forked_by_a_thread) {
        snprintf(why->text, sizeof(why->text), "%s", forked_by_a_thread);
        return NULL;
    }
    if (core.function == NULL) {
        if (!must && at < core.retry_at) {
            *why = core.missing;
            return NULL;
        }
        core.function = open_core(why->text, sizeof(why->text));
        if (core.function == NULL) {
            core.retry_pause = core.retry_pause == 0 ? FIRST_RETRY_PAUSE : core.retry_pause * 2;
            core.retry_pause =
                core.retry_pause < LONGEST_RETRY_PAUSE ? core.retry_pause : LONGEST_RETRY_PAUSE;
            core.retry_at = golock_now() + core.retry_pause;
            return NULL;
        }
        limit = at + START_LIMIT;
        core.overdue_at = at + OVERDUE;
    }
    const struct golock_core *table;
    const struct timespec pause = {.tv_nsec = 200000};
    while ((table = core.function()) == NULL) {
        int error = errno;
        if (golock_now() >= limit) {
            explain(error, why);
            return NULL;
        }
        nanosleep(&pause, NULL);
    }
    if (!set_handoff_of(table, core.handoff)) {
        snprintf(why->text, sizeof(why->text), "%s", first_call);
        return NULL;
    }
    return table;
}

/* Binds the thread to the Go runtime by its first call, which changes the thread's signal mask and
 * stack; later calls do not. Returns false if there is no memory: the runtime would wait for
 * some. */
static bool
bind_thread(const struct golock_core *table)
{
    /* In the default TLS model the first access allocates memory and ends the process if there is
     * none. */
    static _Thread_local const struct golock_core *bound __attribute__((tls_model("initial-exec")));
    if (bound != table) {
        if (!memory_for_bounds() ||
            (!core.offered && core.function != NULL && core.function() == NULL)) {
            return false;
        }
        golock_signals before = golock_block_signals();
        stack_t stack;
        sigaltstack(NULL, &stack);
        union golock_semaphore none = {.both = GOLOCK_HELD};
        table->release_semaphore(&none.word, 0, 0); /* any call will do; this one changes nothing */
        if (!core.offered) { /* otherwise the runtime may interrupt the thread in calls of the
                              * program */
            put_back_stack(&stack);
        }
        golock_restore_signals(before);
        bound = table;
    }
    return true;
}

/* Sets the threshold of a core's Go runtime. Returns false if there is no memory for the thread's
 * first call. */
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

/* Returns what is wrong with a table that was offered, or NULL. */
static const char *
fault_of_table(const struct golock_core *table)
{
    if (table == NULL || (uintptr_t)table % _Alignof(struct golock_core) != 0 ||
        !golock_readable(table, sizeof(*table)) || table->magic != GOLOCK_CORE_MAGIC) {
        return "there is none";
    }
    if (table->version != GOLOCK_VERSION) {
        return "its interface has another version than this extension's";
    }
    if (table->process != getpid()) {
        return "its Go runtime did not survive the fork";
    }
    if (table->try_acquire == NULL || table->next == NULL || table->stay == NULL ||
        table->release == NULL || table->release_semaphore == NULL || table->set_handoff == NULL ||
        table->go_version == NULL || table->handoff == NULL || table->waiting == NULL ||
        table->slow == NULL || table->serve == NULL) {
        return "it lacks a function";
    }
    return NULL;
}

int
golock_core_use(const golock_state *state, const struct golock_core *table)
{
    const char *fault = fault_of_table(table);
    if (fault == NULL) {
        pthread_mutex_lock(&core.loading);
        if (core.table == NULL) {
            core.offered = true;
            /* The program's own threshold stays unless Python has set one. */
            if (core.threshold_set && !set_handoff_of(table, core.handoff)) {
                core.offered = false;
                fault = "not enough memory";
            } else {
                __atomic_store_n(&core.table, table, __ATOMIC_RELEASE);
            }
        } else if (core.table != table) {
            fault = "threads of this process already use another core";
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

/* Returns the core's table, loaded if necessary, or NULL and why. */
static const struct golock_core *
find(bool must, reason *why)
{
    const struct golock_core *table = golock_core_loaded();
    if (table == NULL) {
        pthread_mutex_lock(&core.loading);
        if (core.table == NULL) {
            table = load(must, why);
            __atomic_store_n(&core.table, table, __ATOMIC_RELEASE);
            if (table == NULL) {
                core.missing = *why;
            }
        } else {
            table = core.table;
        }
        pthread_mutex_unlock(&core.loading);
    }
    return table;
}

const struct golock_core *
golock_core_started(void)
{
    reason why = {0};
    const struct golock_core *table = golock_core_loaded();
    if (table == NULL && golock_core_wanted) {
        pthread_mutex_lock(&core.loading);
        bool opened = core.function != NULL;
        pthread_mutex_unlock(&core.loading);
        table = opened ? find(false, &why) : NULL;
    }
    return table;
}

bool
golock_core_bind(const struct golock_core *table)
{
    return bind_thread(table);
}

/* The same for a thread that is to call the core. */
static const struct golock_core *
get(bool must, reason *why)
{
    const struct golock_core *table = find(must, why);
    if (table != NULL && !bind_thread(table)) {
        snprintf(why->text, sizeof(why->text), "%s", first_call);
        pthread_mutex_lock(&core.loading);
        core.missing = *why;
        pthread_mutex_unlock(&core.loading);
        table = NULL;
    }
    return table;
}

/* Warns once in a process that threads wait without the core. The caller does not see what the
 * warning raises. */
static void
warn(const reason *why)
{
    if (core.forked_by_a_thread || Py_IsFinalizing() ||
        __atomic_exchange_n(&core.warned, true, __ATOMIC_RELAXED)) {
        return;
    }
    PyObject *before = golock_raised();
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                         "golock waits without its lock core, in no order, because the core cannot "
                         "be loaded: %s",
                         why->text) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    if (before != NULL) {
        golock_raise(before);
    }
}

static const struct golock_core *
get_or_warn(const struct golock_core *(*get)(bool must, reason *why))
{
    reason why = {0};
    if (!golock_core_wanted) {
        return NULL;
    }
    const struct golock_core *table = get(false, &why);
    if (table == NULL && !why.starting) {
        warn(&why);
    }
    return table;
}

const struct golock_core *
golock_core_load(void)
{
    return get_or_warn(find);
}

const struct golock_core *
golock_core_get(void)
{
    return get_or_warn(get);
}

const struct golock_core *
golock_core_require(const golock_state *state)
{
    reason why = {0};
    const struct golock_core *table;
    const struct timespec pause = {.tv_nsec = 1000000};
    while ((table = get(true, &why)) == NULL && why.starting) {
        PyThreadState *thread = PyEval_SaveThread();
        nanosleep(&pause, NULL);
        PyEval_RestoreThread(thread);
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
        why = (reason){0};
    }
    if (table == NULL) {
        PyErr_Format(state->core_error, "the lock core cannot be loaded: %s", why.text);
    }
    return table;
}

int
golock_core_set_handoff(int64_t nanoseconds)
{
    pthread_mutex_lock(&core.loading);
    bool can = core.table == NULL || set_handoff_of(core.table, nanoseconds);
    if (can) {
        core.threshold_set = true;
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

int64_t
golock_threshold(const struct golock_core *table)
{
    return table != NULL ? __atomic_load_n(table->handoff, __ATOMIC_RELAXED)
                         : golock_core_handoff();
}

PyObject *
golock_core_describe(void)
{
    pthread_mutex_lock(&core.loading);
    const struct golock_core *table = core.table;
    int copies = core.copies;
    bool offered = core.offered;
    char missing[sizeof(core.missing.text)] = "";
    if (table == NULL) {
        memcpy(missing, core.forked_by_a_thread ? forked_by_a_thread : core.missing.text,
               core.forked_by_a_thread ? sizeof(forked_by_a_thread) : sizeof(missing));
    }
    pthread_mutex_unlock(&core.loading);
    PyObject *path = PyUnicode_DecodeFSDefault(core.path);
    PyObject *why = missing[0] == '\0' ? Py_NewRef(Py_None) : PyUnicode_DecodeFSDefault(missing);
    if (path == NULL || why == NULL) {
        Py_XDECREF(path);
        Py_XDECREF(why);
        return NULL;
    }
    return Py_BuildValue(
        "{s:N,s:O,s:O,s:s,s:z,s:O,s:i,s:N}", "path", path, "loaded",
        table != NULL ? Py_True : Py_False, "offered", offered ? Py_True : Py_False, "symbol",
        GOLOCK_CORE_SYMBOL, "go", table != NULL ? table->go_version : NULL, "fastpath",
        golock_plain_path ? Py_True : Py_False, "private_copies", copies, "core_missing", why);
}
