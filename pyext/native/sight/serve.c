#include "sight/serve.h"

#include "base/process.h"
#include "core/call.h"
#include "core/loader.h"
#include "sight/cycles.h"
#include "sight/goroutines.h"
#include "sight/image_writer.h"
#include "sight/intern.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

const struct golock_core *golock_serving;

/* The service's own descriptors, in golock_sight_of_process. */
static struct golock_sight_descriptor descriptors[GOLOCK_SIGHT_DESCRIPTORS] = {
    [0 ... GOLOCK_SIGHT_DESCRIPTORS - 1] = {0, -1},
};

static struct {
    /* Guards what is below. Whoever has it does not release the GIL, since a fork takes it too. */
    pthread_mutex_t starting;
    pthread_mutex_t answering;
    bool ended; /* with the interpreter; written with both mutexes */
    bool listens;
    bool exit_watched;
    char version[64];
    /* A datagram socket that is connected to itself: whoever has the number of a closed descriptor
     * can be told from it, unlike an eventfd, by the inode. */
    struct golock_sight_descriptor waker;
} service = {
    .starting = PTHREAD_MUTEX_INITIALIZER,
    .answering = PTHREAD_MUTEX_INITIALIZER,
    .waker = {0, -1},
};

/* Whether the descriptor is still the socket that was opened. Programs close descriptors that are
 * not theirs when they become daemons, and get the numbers for other files. */
static bool
is_ours(int descriptor, uint64_t inode)
{
    struct stat status;
    return descriptor >= 0 && fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode) &&
           status.st_ino == inode;
}

/* Returns a socket that is connected to itself, or -1. */
static int
open_waker(void)
{
    const int opened = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (opened < 0) {
        return -1;
    }
    /* The lowest numbers are for the program's standard streams. */
    int descriptor = opened;
    if (opened <= STDERR_FILENO) {
        descriptor = fcntl(opened, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(opened);
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(address);
    if (descriptor >= 0 &&
        (bind(descriptor, (struct sockaddr *)&address, sizeof(address.sun_family)) != 0 ||
         getsockname(descriptor, (struct sockaddr *)&address, &size) != 0 ||
         connect(descriptor, (struct sockaddr *)&address, size) != 0)) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

void
golock_serve_wake(void)
{
    const int error = errno;
    const int descriptor = __atomic_load_n(&service.waker.descriptor, __ATOMIC_ACQUIRE);
    if (is_ours(descriptor, __atomic_load_n(&service.waker.inode, __ATOMIC_RELAXED))) {
        send(descriptor, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    errno = error;
}

static bool
has_standard_streams(void)
{
    return fcntl(STDIN_FILENO, F_GETFD) >= 0 && fcntl(STDOUT_FILENO, F_GETFD) >= 0 &&
           fcntl(STDERR_FILENO, F_GETFD) >= 0;
}

/* The function `wake` of struct golock_sight, which the service's goroutine alone calls. */
static int
empty_waker(bool *woken)
{
    int descriptor = service.waker.descriptor;
    if (!is_ours(descriptor, service.waker.inode)) {
        /* A program that has closed its standard streams is about to open others there. */
        if (descriptor >= 0 && !has_standard_streams()) {
            return -1;
        }
        struct stat status;
        descriptor = open_waker();
        if (descriptor < 0 || fstat(descriptor, &status) != 0) {
            return -1;
        }
        __atomic_store_n(&service.waker.descriptor, -1, __ATOMIC_RELAXED);
        __atomic_store_n(&service.waker.inode, (uint64_t)status.st_ino, __ATOMIC_RELEASE);
        __atomic_store_n(&service.waker.descriptor, descriptor, __ATOMIC_RELEASE);
        *woken = true; /* somebody may have tried */
        return descriptor;
    }
    char bytes[1];
    while (recv(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        *woken = true;
    }
    return descriptor;
}

/* Appends the text as the inside of a JSON string. Returns the end, or NULL if there is no room. */
static char *
append_escaped(char *to, const char *end, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (end - to < 7) {
            return to;
        }
        if (byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = (char)byte;
        } else if (byte == 0) {
            *to++ = ' '; /* between the arguments */
        } else if (byte < 0x20) {
            to += snprintf(to, 7, "\\u%04x", byte);
        } else {
            *to++ = (char)byte;
        }
    }
    return to;
}

static int
say_hello(void **reply, uint64_t *size)
{
    static const char *const levels[] = {"off", "waits", "owners", "order"};
    char command[2048];
    const int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, command, sizeof(command));
    if (file >= 0) {
        close(file);
    }
    length = length > 0 && command[length - 1] == '\0' ? length - 1 : length;
    const size_t room = 4096 + 6 * sizeof(command);
    char *text = malloc(room);
    if (text == NULL) {
        return ENOMEM;
    }
    char *to = text;
    to += snprintf(to, 512, "{\"pid\": %d, \"version\": \"%s\", \"python\": \"%s\", ", getpid(),
                   service.version, PY_VERSION);
    to += snprintf(to, 512, "\"level\": \"%s\", \"command\": \"", levels[golock_sight_now()]);
    to = append_escaped(to, text + room - 2, command, length > 0 ? (size_t)length : 0);
    *to++ = '"';
    *to++ = '}';
    *reply = text;
    *size = (uint64_t)(to - text);
    return 0;
}

static int
reply_to(uint32_t request, uint64_t argument, void **reply, uint64_t *size)
{
    switch (request) {
    case GOLOCK_SIGHT_HELLO:
        return say_hello(reply, size);
    case GOLOCK_SIGHT_IMAGE:
        return golock_image(argument, reply, size) == 0 ? 0 : ENOMEM;
    case GOLOCK_SIGHT_LEVEL:
        if (argument > GOLOCK_SIGHT_ORDER) {
            return EINVAL;
        }
        golock_set_level((int)argument);
        return 0;
    default:
        return EINVAL;
    }
}

static int
answer(uint32_t request, uint64_t argument, void **reply, uint64_t *size)
{
    pthread_mutex_lock(&service.answering);
    const int error = service.ended ? ESHUTDOWN : reply_to(request, argument, reply, size);
    pthread_mutex_unlock(&service.answering);
    return error;
}

static const struct golock_sight sight = {
    .level = &golock_sight,
    .frame = golock_intern_go_frame,
    .stack = golock_intern_stack,
    .wait_begins = golock_goroutine_waits,
    .wait_ended = golock_goroutine_waited,
    .taken = golock_goroutine_takes,
    .released = golock_goroutine_releases,
    .look = golock_sight_look,
    .wake = empty_waker,
    .answer = answer,
    .release_reply = free,
    .descriptors = descriptors,
};

/* Needs `starting`. Returns 0, or an errno. */
static int
serve(const struct golock_core *core, const char *path)
{
    golock_signals before = golock_block_signals();
    const int error = core->serve(&sight, path);
    golock_restore_signals(before);
    service.listens = error == 0 && path != NULL;
    golock_goroutines_record(core);
    __atomic_store_n(&golock_serving, core, __ATOMIC_RELEASE);
    golock_serve_wake();
    return error;
}

/* Ends the service, if it runs. Needs `starting`. */
static void
stop(void)
{
    const struct golock_core *core = golock_serving;
    if (core != NULL && golock_core_bind(core)) {
        __atomic_store_n(&golock_serving, NULL, __ATOMIC_RELEASE);
        service.listens = false;
        golock_signals before = golock_block_signals();
        core->serve(NULL, NULL);
        golock_restore_signals(before);
        golock_serve_wake();
    }
}

void
golock_serve_begin(const struct golock_core *core)
{
    if (pthread_mutex_trylock(&service.starting) != 0) {
        return; /* another thread does it */
    }
    if (golock_serving == NULL && !service.ended && golock_core_bind(core)) {
        serve(core, NULL);
    }
    pthread_mutex_unlock(&service.starting);
}

static PyObject *
at_exit(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    golock_serve_end();
    Py_RETURN_NONE;
}

/* Makes the main interpreter end the service when it ends. Returns 0, or -1 with an exception
 * set. */
static int
watch_exit(void)
{
    static PyMethodDef method = {"_end_service", at_exit, METH_NOARGS, NULL};
    if (service.exit_watched || PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *function = PyCFunction_New(&method, NULL);
    PyObject *result = atexit == NULL || function == NULL
                           ? NULL
                           : PyObject_CallMethod(atexit, "register", "O", function);
    Py_XDECREF(atexit);
    Py_XDECREF(function);
    Py_XDECREF(result);
    if (result == NULL) {
        return -1;
    }
    service.exit_watched = true;
    service.ended = false; /* that was an interpreter before this one */
    return 0;
}

/* Remembers the version of the package. Returns 0, or -1 with an exception set. */
static int
remember_version(void)
{
    PyObject *package = PyImport_ImportModule("golock");
    PyObject *version = package == NULL ? NULL : PyObject_GetAttrString(package, "__version__");
    const char *text = version == NULL ? NULL : PyUnicode_AsUTF8(version);
    if (text != NULL) {
        snprintf(service.version, sizeof(service.version), "%s", text);
    }
    Py_XDECREF(version);
    Py_XDECREF(package);
    return text == NULL ? -1 : 0;
}

int
golock_serve_as_needed(void)
{
    if (golock_sight_now() != GOLOCK_SIGHT_OFF) {
        if (watch_exit() < 0) {
            return -1;
        }
        golock_serve_with(golock_core_loaded());
        return 0;
    }
    pthread_mutex_lock(&service.starting);
    if (!service.listens) {
        stop();
    }
    pthread_mutex_unlock(&service.starting);
    return 0;
}

int
golock_serve_at(const golock_state *state, PyObject *path)
{
    if (path == NULL) {
        pthread_mutex_lock(&service.starting);
        if (service.listens && golock_core_bind(golock_serving)) {
            serve(golock_serving, NULL);
        }
        pthread_mutex_unlock(&service.starting);
        return golock_serve_as_needed();
    }
    PyObject *encoded;
    if (!PyUnicode_FSConverter(path, &encoded)) {
        return -1;
    }
    const struct golock_core *core =
        watch_exit() < 0 || remember_version() < 0 ? NULL : golock_core_require(state);
    if (core == NULL) {
        Py_DECREF(encoded);
        return -1;
    }
    pthread_mutex_lock(&service.starting);
    int error = core == golock_core_loaded() && !service.ended
                    ? serve(core, PyBytes_AS_STRING(encoded))
                    : ESHUTDOWN; /* the process has forked, or ends */
    pthread_mutex_unlock(&service.starting);
    Py_DECREF(encoded);
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        return -1;
    }
    return 0;
}

void
golock_serve_end(void)
{
    pthread_mutex_lock(&service.starting);
    stop();
    pthread_mutex_lock(&service.answering);
    service.ended = true;
    service.exit_watched = false;
    pthread_mutex_unlock(&service.answering);
    pthread_mutex_unlock(&service.starting);
}

void
golock_serve_before_fork(void)
{
    pthread_mutex_lock(&service.starting);
}

void
golock_serve_after_fork_in_parent(void)
{
    pthread_mutex_unlock(&service.starting);
}

static void
close_ours(struct golock_sight_descriptor *opened)
{
    if (is_ours(opened->descriptor, opened->inode)) {
        close(opened->descriptor);
    }
    opened->descriptor = -1;
}

void
golock_serve_after_fork_in_child(void)
{
    for (int i = 0; i < GOLOCK_SIGHT_DESCRIPTORS; i++) {
        close_ours(&descriptors[i]);
    }
    close_ours(&service.waker);
    service.answering = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* the service may have it */
    service.listens = false;
    golock_serving = NULL;
    golock_goroutines_record(NULL);
    pthread_mutex_unlock(&service.starting);
}
