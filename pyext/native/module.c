/* The extension module golock._golock. */
#include "args/timeout.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/state.h"
#include "core/loader.h"
#include "fastpath/fastpath.h"
#include "fork.h"
#include "install/install.h"
#include "loops/loops.h"
#include "primitives/known_lock.h"
#include "primitives/lock.h"
#include "primitives/object.h"
#include "primitives/page_object.h"
#include "primitives/types.h"
#include "process/page.h"
#include "sharing/share.h"
#include "sight/cycles.h"
#include "sight/image_writer.h"
#include "sight/intern.h"
#include "sight/objects.h"
#include "sight/order.h"
#include "sight/profile.h"
#include "sight/report.h"
#include "sight/serve.h"
#include "sight/threads.h"
#include "sight/waits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static PyObject *
allocate_signal(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    golock_state *state = PyModule_GetState(module);
    PyObject *lock = golock_lock_new(state->lock_type);
    if (lock != NULL) {
        golock_lock_signals(lock);
    }
    return lock;
}

static PyObject *
allocate_lock(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return golock_lock_new(((golock_state *)PyModule_GetState(module))->lock_type);
}

static PyObject *
set_handoff(PyObject *Py_UNUSED(module), PyObject *seconds)
{
    int64_t nanoseconds;
    if (golock_parse_seconds(seconds, &nanoseconds) < 0) {
        return NULL;
    }
    if (nanoseconds < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "the hand-off threshold must be a non-negative number of seconds");
        return NULL;
    }
    if (golock_core_set_handoff(nanoseconds) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
get_handoff(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble((double)golock_core_handoff() / NS_PER_SECOND);
}

static PyObject *
describe_core(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return golock_core_describe();
}

static PyObject *
sight_level(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(golock_sight_now());
}

/* Call this when the interpreter ends. */
static void
leave_sight(void)
{
    golock_forget_waits();
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
        golock_serve_end();
        golock_set_level(GOLOCK_SIGHT_OFF);
        golock_drop_references(NULL);
    }
}

static PyObject *
set_sight_level(PyObject *Py_UNUSED(module), PyObject *argument)
{
    long level = PyLong_AsLong(argument);
    if (level == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (level < GOLOCK_SIGHT_OFF || level > GOLOCK_SIGHT_ORDER) {
        PyErr_SetString(PyExc_ValueError, "no such level");
        return NULL;
    }
    golock_set_level((int)level);
    golock_drop_references(NULL);
    Py_RETURN_NONE;
}

static PyObject *
sight_wanted(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    static bool asked;
    const char *level = getenv("GOLOCK_SIGHT");
    if (__atomic_exchange_n(&asked, true, __ATOMIC_RELAXED) || level == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeFSDefault(level);
}

static PyObject *
sight_serve(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return golock_serve_as_needed() < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
sight_listen(PyObject *module, PyObject *path)
{
    int failed = golock_serve_at(PyModule_GetState(module), Py_IsNone(path) ? NULL : path);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *
set_sight_period(PyObject *Py_UNUSED(module), PyObject *argument)
{
    long long period = PyLong_AsLongLong(argument);
    if (period == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (period < 0) {
        PyErr_SetString(PyExc_ValueError, "the period is negative");
        return NULL;
    }
    golock_profile_set_period(period);
    Py_RETURN_NONE;
}

/* Returns the text as UTF-8, "" if it cannot be encoded: then no name of a file in that folder can
 * be either. */
static const char *
encoded(PyObject *folder, Py_ssize_t *length)
{
    const char *name = PyUnicode_AsUTF8AndSize(folder, length);
    if (name == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        *length = 0;
        return "";
    }
    return name;
}

static PyObject *
set_sight_folders(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *library, *package;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "UU:set_sight_folders", &library, &package)) {
        return NULL;
    }
    const char *name = encoded(library, &length);
    if (name == NULL) {
        return NULL;
    }
    golock_intern_library(name, (size_t)length);
    if ((name = encoded(package, &length)) == NULL) {
        return NULL;
    }
    golock_intern_package(name, (size_t)length);
    Py_RETURN_NONE;
}

static PyObject *
set_sight_root(PyObject *Py_UNUSED(module), PyObject *code)
{
    if (!PyCode_Check(code)) {
        PyErr_SetString(PyExc_TypeError, "the root is not a code object");
        return NULL;
    }
    golock_intern_root((PyCodeObject *)code);
    Py_RETURN_NONE;
}

static PyObject *
sight_image(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "sight_image() takes at most 1 argument (%zd given)", nargs);
        return NULL;
    }
    unsigned long long sections = nargs == 0 ? 0 : PyLong_AsUnsignedLongLong(args[0]);
    if (sections == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    golock_threads_refresh_names();
    void *image;
    uint64_t size;
    int failed;
    Py_BEGIN_ALLOW_THREADS;
    failed = golock_image(sections, &image, &size);
    Py_END_ALLOW_THREADS;
    if (failed) {
        return PyErr_NoMemory();
    }
    ((struct golock_image_header *)image)->flags |= GOLOCK_IMAGE_WITH_GIL;
    PyObject *bytes = PyBytes_FromStringAndSize(image, (Py_ssize_t)size);
    free(image);
    return bytes;
}

static PyObject *
set_on_deadlock(PyObject *Py_UNUSED(module), PyObject *args)
{
    int what;
    long long threshold;
    if (!PyArg_ParseTuple(args, "iL:set_on_deadlock", &what, &threshold)) {
        return NULL;
    }
    if (what < GOLOCK_DEADLOCK_IGNORE || what > GOLOCK_DEADLOCK_QUEUE || threshold <= 0) {
        PyErr_SetString(PyExc_ValueError, "no such reaction or threshold");
        return NULL;
    }
    /* Before a look can queue what it finds: the queue is emptied. */
    uint32_t ticket = golock_report_queue_start();
    golock_cycles_set((enum golock_on_deadlock)what, threshold);
    return PyLong_FromUnsignedLong(ticket);
}

static PyObject *
next_deadlock(PyObject *Py_UNUSED(module), PyObject *argument)
{
    unsigned long ticket = PyLong_AsUnsignedLong(argument);
    if (ticket == (unsigned long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    return golock_report_next((uint32_t)ticket);
}

static PyObject *
write_unraisable(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *error, *where;
    if (!PyArg_ParseTuple(args, "OO:write_unraisable", &error, &where)) {
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    PyErr_WriteUnraisable(where);
    Py_RETURN_NONE;
}

/* Returns the mutex of a lock, or NULL for another object. */
static golock_mutex *
mutex_of(golock_state *state, PyObject *object)
{
    if (Py_TYPE(object) == state->lock_type) {
        return &((LockObject *)object)->mutex;
    }
    return PyObject_TypeCheck(object, state->rlock_type) ? &((RLockObject *)object)->mutex : NULL;
}

/* Returns the record of a primitive, or NULL with TypeError or MemoryError set. */
static golock_object_record *
record_of(golock_state *state, PyObject *object)
{
    const struct {
        PyTypeObject *type;
        const golock_class *class;
    } classes[] = {
        {state->condition_type, &golock_condition_class},
        {state->bounded_semaphore_type, &golock_bounded_semaphore_class},
        {state->semaphore_type, &golock_semaphore_class},
        {state->event_type, &golock_event_class},
        {state->barrier_type, &golock_barrier_class},
    };
    golock_mutex *mutex = mutex_of(state, object);
    const golock_class *class = NULL;
    for (size_t i = 0; class == NULL && i < sizeof(classes) / sizeof(classes[0]); i++) {
        class = PyObject_TypeCheck(object, classes[i].type) ? classes[i].class : NULL;
    }
    if (mutex == NULL && class == NULL) {
        PyErr_Format(PyExc_TypeError, "only golock's primitives can be named, not '%.200s'",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (mutex == NULL && golock_object_opened(object)) {
        PyErr_Format(PyExc_TypeError,
                     "cannot name a %s whose internals were accessed, or are overridden by its "
                     "class",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    golock_object_record *record =
        mutex != NULL ? golock_mutex_know(mutex) : golock_object_record_of(object, class);
    if (record == NULL) {
        PyErr_NoMemory();
    }
    return record;
}

/* Returns what golock.sight asks of a lock or an event of several processes, or NULL: it is
 * neither. */
static golock_across *
across_of(golock_state *state, PyObject *object)
{
    const bool has_page = PyObject_TypeCheck(object, state->process_lock_type) ||
                          PyObject_TypeCheck(object, state->process_event_type);
    return has_page                                             ? golock_page_object_across(object)
           : PyObject_TypeCheck(object, state->known_lock_type) ? golock_known_lock_across(object)
                                                                : NULL;
}

static PyObject *
sight_name(PyObject *module, PyObject *args)
{
    PyObject *object, *name;
    if (!PyArg_ParseTuple(args, "OU:name", &object, &name)) {
        return NULL;
    }
    golock_state *state = PyModule_GetState(module);
    golock_across *across = across_of(state, object);
    if (across != NULL) {
        golock_object_record *record = golock_across_know(across);
        if (record == NULL) {
            return PyErr_NoMemory();
        }
        golock_across_rename(across, record, golock_intern_unicode(name));
        Py_RETURN_NONE;
    }
    golock_object_record *record = record_of(state, object);
    if (record == NULL) {
        return NULL;
    }
    golock_object_set_name(record, golock_intern_unicode(name));
    Py_RETURN_NONE;
}

static PyObject *
address(PyObject *module, PyObject *object)
{
    return golock_share_address(PyModule_GetState(module), object);
}

static PyObject *
capsule(PyObject *module, PyObject *object)
{
    return golock_share_capsule(PyModule_GetState(module), object);
}

static PyObject *
at(PyObject *module, PyObject *address)
{
    return golock_share_at(PyModule_GetState(module), address);
}

static PyObject *
hold(PyObject *Py_UNUSED(module), PyObject *object)
{
    Py_INCREF(object);
    Py_RETURN_NONE;
}

static PyObject *
let_go(PyObject *Py_UNUSED(module), PyObject *object)
{
    Py_DECREF(object);
    Py_RETURN_NONE;
}

static PyObject *
core_address(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    const struct golock_core *core = golock_core_require(PyModule_GetState(module));
    return core == NULL ? NULL : PyLong_FromVoidPtr((void *)core);
}

static PyObject *
use_core(PyObject *module, PyObject *address)
{
    const struct golock_core *table = PyLong_AsVoidPtr(address);
    if ((table == NULL && PyErr_Occurred()) ||
        golock_core_use(PyModule_GetState(module), table) < 0) {
        return NULL;
    }
    golock_serve_with(table);
    Py_RETURN_NONE;
}

static PyObject *
page_layout(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("IIIII", GOLOCK_PAGE_MAGIC, GOLOCK_PAGE_VERSION, GOLOCK_PAGE_SIZE,
                         GOLOCK_PAGE_LOCK, GOLOCK_PAGE_EVENT);
}

static PyObject *
installation(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return golock_installation();
}

static PyObject *
green_threads(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(golock_green_threads(PyModule_GetState(module)));
}

static PyObject *
rlock_is_replaced(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(golock_rlock_is_replaced(PyModule_GetState(module)));
}

PyDoc_STRVAR(allocate_lock_doc,
             "allocate_lock($module, /)\n--\n\nReturn a new lock, which is free.");

PyDoc_STRVAR(set_handoff_doc,
             "set_handoff($module, seconds, /)\n--\n\n"
             "Set the hand-off threshold: for how many seconds newcomers may take a lock before\n"
             "its first waiter, and up to four times as long if few threads wait. It holds for\n"
             "all locks of the process.\n\n"
             "With 0 a lock is first come, first served, at a lower rate. The environment\n"
             "variable GOLOCK_HANDOFF sets the threshold at import. A core given to use_core\n"
             "keeps the threshold of its program unless this is called.\n\n"
             "Raises ValueError for a negative or NaN threshold, OverflowError above 292 years,\n"
             "MemoryError when the core cannot be called.");

PyDoc_STRVAR(get_handoff_doc,
             "get_handoff($module, /)\n--\n\n"
             "Return the hand-off threshold in seconds; 0.001 unless it was set from Python.");

PyDoc_STRVAR(address_doc,
             "address($module, primitive, /)\n--\n\n"
             "Return the address of the header of a Lock, a Semaphore or an Event. Raises\n"
             "TypeError for anything else.");

PyDoc_STRVAR(capsule_doc,
             "capsule($module, primitive, /)\n--\n\n"
             "Return a new PyCapsule \"golock.header\" around the address, which keeps the object\n"
             "alive. Raises TypeError as address does.");

PyDoc_STRVAR(at_doc,
             "at($module, address, /)\n--\n\n"
             "Return the object that was shared by this address. It must be alive.\n\n"
             "Raises ValueError if there is no such object of this interpreter and version,\n"
             "TypeError for anything but an integer, OverflowError for one beyond a pointer's\n"
             "range.");

PyDoc_STRVAR(hold_doc,
             "hold($module, primitive, /)\n--\n\n"
             "Keep an object alive until let_go is called for it, by a reference that the end of\n"
             "the interpreter does not drop: goroutines may still use the object then.");

PyDoc_STRVAR(let_go_doc,
             "let_go($module, primitive, /)\n--\n\nDrop the reference of one call of hold.");

PyDoc_STRVAR(core_address_doc,
             "core_address($module, /)\n--\n\n"
             "Return the address of the lock core that this process uses, for C code that waits\n"
             "for shared objects as golock.h describes. Load the core if there is none yet.\n"
             "A child made by fork has another.\n\n"
             "Raises CoreError if it cannot be loaded.");

PyDoc_STRVAR(use_core_doc,
             "use_core($module, address, /)\n--\n\n"
             "Let the threads of this process use the lock core of a Go program or library in\n"
             "it, at the address that its capi.Core() returns, so that no second Go runtime is\n"
             "loaded. A child made by fork loads its own as usual.\n\n"
             "Raises CoreError if there is no core at the address, if it has another version or\n"
             "belongs to a parent process, and if the process has loaded another core already,\n"
             "which happens when a thread first has to wait. Raises TypeError for anything but\n"
             "an integer, OverflowError for one beyond a pointer's range.");

PyDoc_STRVAR(
    core_doc,
    "core($module, /)\n--\n\n"
    "Return a dict that describes the lock core: path; loaded (when a thread first has to\n"
    "wait); offered (by use_core); symbol, which names the version of its interface; go,\n"
    "the version of its Go runtime, or None before it is loaded; fastpath, false with\n"
    "GOLOCK_FASTPATH=0; private_copies, mapped after forks; core_missing, why there is no\n"
    "core, or None.");

PyDoc_STRVAR(page_layout_doc,
             "page_layout($module, /)\n--\n\n"
             "Return what the header of a page says: magic, version, size, and the kinds of locks\n"
             "and of events.");

PyDoc_STRVAR(installation_doc,
             "installation($module, /)\n--\n\n"
             "Return the dict that all copies of the package in this interpreter share.");

PyDoc_STRVAR(green_threads_doc,
             "green_threads($module, /)\n--\n\n"
             "Return whether _thread.start_new_thread or _thread.allocate_lock is neither the\n"
             "interpreter's nor golock's.");

PyDoc_STRVAR(rlock_is_replaced_doc,
             "rlock_is_replaced($module, /)\n--\n\n"
             "Return whether threading.RLock is neither the interpreter's nor golock's.");

PyDoc_STRVAR(on_green_threads_doc,
             "on_green_threads($module, listener, /)\n--\n\n"
             "Register a function. It is called with None when green_threads() becomes true, and\n"
             "with a class of golock's that is instantiated meanwhile, to return the class to\n"
             "instantiate instead.");

PyDoc_STRVAR(sight_level_doc,
             "sight_level($module, /)\n--\n\n"
             "Return what golock.sight records: 0 nothing, 1 waits, 2 owners too.");

PyDoc_STRVAR(set_sight_level_doc,
             "set_sight_level($module, level, /)\n--\n\n"
             "Set what golock.sight records, for the whole process. Raises ValueError for a level\n"
             "that does not exist.");

PyDoc_STRVAR(
    sight_wanted_doc,
    "sight_wanted($module, /)\n--\n\n"
    "Return the value of GOLOCK_SIGHT in the environment, or None if there is none. Later\n"
    "calls in the same process return None: only the first import of golock follows it.");

PyDoc_STRVAR(
    sight_serve_doc,
    "sight_serve($module, /)\n--\n\n"
    "Start the service of the core, which looks for deadlocks, if sight is on and the core\n"
    "is loaded; otherwise it starts with the core. End it if sight is off and nothing\n"
    "listens.");

PyDoc_STRVAR(
    sight_listen_doc,
    "sight_listen($module, path, /)\n--\n\n"
    "Listen for clients at the path, in a folder that exists, and replace the socket of a\n"
    "process that has ended there; with None, listen nowhere. A forked child does not\n"
    "listen. Raises CoreError if no core can be loaded, OSError if it cannot listen there.");

PyDoc_STRVAR(set_sight_root_doc,
             "set_sight_root($module, code, /)\n--\n\n"
             "Leave the frame of this code out of stacks, and those that have called it.");

PyDoc_STRVAR(set_sight_folders_doc,
             "set_sight_folders($module, library, package, /)\n--\n\n"
             "Take the folders of the standard library and of golock: a lock made in the former\n"
             "was made by the code that called it, and callers of the latter are shown in its\n"
             "place where golock takes a lock for them.");

PyDoc_STRVAR(set_sight_period_doc,
             "set_sight_period($module, nanoseconds, /)\n--\n\n"
             "Sample the waits that are shorter than this; 0 records all. Raises ValueError for a\n"
             "negative period.");

PyDoc_STRVAR(sight_image_doc,
             "sight_image($module, sections=0, /)\n--\n\n"
             "Return what golock.sight knows, as bytes: see pyext/native/sight/image.h. The\n"
             "sections are a set of 1 << tag, or 0 for all.");

PyDoc_STRVAR(set_on_deadlock_doc,
             "set_on_deadlock($module, what, threshold, /)\n--\n\n"
             "Set what becomes of deadlocks: 0 nothing, 1 a report on standard error, 2\n"
             "DeadlockError, 3 a description for next_deadlock(); and how many nanoseconds a wait\n"
             "lasts before it is examined. Return a ticket for next_deadlock(), whose former\n"
             "tickets end. Raises ValueError for a threshold that is not positive.");

PyDoc_STRVAR(next_deadlock_doc,
             "next_deadlock($module, ticket, /)\n--\n\n"
             "Wait for a deadlock, and return it, as an image of its members: see\n"
             "pyext/native/sight/image.h. Return None when the ticket has ended.");

PyDoc_STRVAR(write_unraisable_doc, "write_unraisable($module, error, where, /)\n--\n\n"
                                   "Give an exception to sys.unraisablehook.");

static PyMethodDef module_methods[] = {
    {"sight_level", sight_level, METH_NOARGS, sight_level_doc},
    {"set_sight_level", set_sight_level, METH_O, set_sight_level_doc},
    {"sight_wanted", sight_wanted, METH_NOARGS, sight_wanted_doc},
    {"sight_serve", sight_serve, METH_NOARGS, sight_serve_doc},
    {"sight_listen", sight_listen, METH_O, sight_listen_doc},
    {"set_sight_period", set_sight_period, METH_O, set_sight_period_doc},
    {"set_sight_root", set_sight_root, METH_O, set_sight_root_doc},
    {"set_sight_folders", set_sight_folders, METH_VARARGS, set_sight_folders_doc},
    {"sight_name", sight_name, METH_VARARGS,
     PyDoc_STR(
         "sight_name($module, lock, name, /)\n--\n\n"
         "Name one of golock's primitives. Raises TypeError for other objects, for one whose\n"
         "internals were accessed, and for a name that is no str; MemoryError.")},
    {"sight_image", (PyCFunction)(void (*)(void))sight_image, METH_FASTCALL, sight_image_doc},
    {"set_on_deadlock", set_on_deadlock, METH_VARARGS, set_on_deadlock_doc},
    {"next_deadlock", next_deadlock, METH_O, next_deadlock_doc},
    {"write_unraisable", write_unraisable, METH_VARARGS, write_unraisable_doc},
    {"allocate_lock", allocate_lock, METH_NOARGS, allocate_lock_doc},
    {"allocate_signal", allocate_signal, METH_NOARGS,
     PyDoc_STR("allocate_signal($module, /)\n--\n\n"
               "Return a new lock that other threads than its owner release.")},
    {"set_handoff", set_handoff, METH_O, set_handoff_doc},
    {"get_handoff", get_handoff, METH_NOARGS, get_handoff_doc},
    {"core", describe_core, METH_NOARGS, core_doc},
    {"address", address, METH_O, address_doc},
    {"capsule", capsule, METH_O, capsule_doc},
    {"at", at, METH_O, at_doc},
    {"hold", hold, METH_O, hold_doc},
    {"let_go", let_go, METH_O, let_go_doc},
    {"core_address", core_address, METH_NOARGS, core_address_doc},
    {"use_core", use_core, METH_O, use_core_doc},
    {"page_layout", page_layout, METH_NOARGS, page_layout_doc},
    {"installation", installation, METH_NOARGS, installation_doc},
    {"green_threads", green_threads, METH_NOARGS, green_threads_doc},
    {"rlock_is_replaced", rlock_is_replaced, METH_NOARGS, rlock_is_replaced_doc},
    {"on_green_threads", golock_green_listen, METH_O, on_green_threads_doc},
    {NULL, NULL, 0, NULL},
};

/* Reads GOLOCK_FASTPATH, GOLOCK_CORE and GOLOCK_HANDOFF, at the first import in the process, so
 * that a later interpreter does not undo set_handoff. Returns 0, or -1 with ValueError set. */
static int
read_environment(void)
{
    static bool done;
    if (__atomic_exchange_n(&done, true, __ATOMIC_RELAXED)) {
        return 0;
    }
    const char *fastpath = getenv("GOLOCK_FASTPATH");
    golock_plain_path = fastpath == NULL || strcmp(fastpath, "0") != 0;
    golock_fastpath = golock_plain_path;
    const char *core = getenv("GOLOCK_CORE");
    golock_core_wanted = core == NULL || strcmp(core, "0") != 0;
    const char *handoff = getenv("GOLOCK_HANDOFF");
    if (handoff == NULL || *handoff == '\0') {
        return 0;
    }
    double seconds = PyOS_string_to_double(handoff, NULL, NULL);
    if ((seconds == -1 && PyErr_Occurred()) ||
        !(seconds >= 0 && seconds < (double)INT64_MAX / NS_PER_SECOND)) {
        __atomic_store_n(&done, false, __ATOMIC_RELAXED);
        PyErr_Format(PyExc_ValueError, "GOLOCK_HANDOFF is not a number of seconds: '%s'", handoff);
        return -1;
    }
    return golock_core_set_handoff((int64_t)ceil(seconds * NS_PER_SECOND));
}

/* Adds the interpreter's own lock constants. Returns 0, or -1 with an exception set. */
static int
add_constants(PyObject *module)
{
    PyObject *thread = PyImport_ImportModule("_thread");
    PyObject *limit = thread == NULL ? NULL : PyObject_GetAttrString(thread, "TIMEOUT_MAX");
    int result = limit == NULL ? -1 : PyModule_AddObjectRef(module, "TIMEOUT_MAX", limit);
    Py_XDECREF(limit);
    Py_XDECREF(thread);
    return result < 0 ? -1 : PyModule_AddObjectRef(module, "error", PyExc_RuntimeError);
}

/* Returns a new reference to a type, or NULL with an exception set. */
static PyTypeObject *
new_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type == NULL && !PyErr_Occurred()) {
        PyErr_NoMemory(); /* CPython 3.11 forgets to set it */
    }
    return type;
}

/* Makes the types, and adds those with names of their own to the module. Returns 0, or -1 with an
 * exception set. */
static int
add_types(PyObject *module, golock_state *state)
{
    const struct {
        PyTypeObject **type;
        PyType_Spec *spec;
        PyTypeObject **base;
        const golock_class *class;
    } types[] = {
        {&state->lock_type, &golock_lock_spec, NULL, NULL},
        {&state->rlock_type, &golock_rlock_spec, NULL, NULL},
        {&state->condition_type, &golock_condition_spec, NULL, &golock_condition_class},
        {&state->semaphore_type, &golock_semaphore_spec, NULL, &golock_semaphore_class},
        {&state->bounded_semaphore_type, &golock_bounded_semaphore_spec, &state->semaphore_type,
         &golock_bounded_semaphore_class},
        {&state->event_type, &golock_event_spec, NULL, &golock_event_class},
        {&state->barrier_type, &golock_barrier_spec, NULL, &golock_barrier_class},
        {&state->process_lock_type, &golock_process_lock_spec, NULL, NULL},
        {&state->known_lock_type, &golock_known_lock_spec, NULL, NULL},
        {&state->process_event_type, &golock_process_event_spec, NULL, NULL},
        {&state->port_type, &golock_port_spec, NULL, NULL},
        {&state->waiting_type, &golock_waiting_spec, NULL, NULL},
        {&state->awaitable_type, &golock_awaitable_spec, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        PyTypeObject *base = types[i].base == NULL ? NULL : *types[i].base;
        *types[i].type = new_type(module, types[i].spec, base);
        if (*types[i].type == NULL) {
            return -1;
        }
        const golock_class *class = types[i].class;
        if (class != NULL &&
            golock_class_remember(&state->classes[class->number], *types[i].type, class) < 0) {
            return -1;
        }
        if (types[i].spec != &golock_lock_spec && PyModule_AddType(module, *types[i].type) < 0) {
            return -1;
        }
    }
    PyTypeObject *done_type = new_type(module, &golock_done_spec, NULL);
    state->done = done_type == NULL ? NULL : (PyObject *)PyObject_New(PyObject, done_type);
    Py_XDECREF(done_type);
    if (state->done == NULL) {
        return -1;
    }
    state->shareable[GOLOCK_LOCK] =
        (struct golock_shareable){state->lock_type, golock_lock_share, golock_lock_from_header};
    state->shareable[GOLOCK_SEMAPHORE] = (struct golock_shareable){
        state->semaphore_type, golock_semaphore_share, golock_semaphore_from_header};
    state->shareable[GOLOCK_EVENT] =
        (struct golock_shareable){state->event_type, golock_event_share, golock_event_from_header};
    return golock_rlock_match(state->rlock_type);
}

/* Gives the function the interpreter's name for it, and adds it as Lock before 3.13. Returns 0, or
 * -1 with an exception set. */
static int
add_allocate_lock(PyObject *module)
{
    PyObject *function = PyObject_GetAttrString(module, "allocate_lock");
    PyObject *name = PyUnicode_FromString("_thread");
    int result = function == NULL || name == NULL
                     ? -1
                     : PyObject_SetAttrString(function, "__module__", name);
#if PY_VERSION_HEX < 0x030D0000
    if (result == 0) {
        result = PyModule_AddObjectRef(module, "Lock", function);
    }
#endif
    Py_XDECREF(name);
    Py_XDECREF(function);
    return result;
}

static bool first_module_made;

static void
remember_first(PyObject *module)
{
    if (!__atomic_exchange_n(&first_module_made, true, __ATOMIC_ACQ_REL)) {
        golock_first_module.state = PyModule_GetState(module);
        __atomic_store_n(&golock_first_module.module, module, __ATOMIC_RELEASE);
    }
}

static void
forget_first(const PyObject *module)
{
    if (module == __atomic_load_n(&golock_first_module.module, __ATOMIC_RELAXED)) {
        __atomic_store_n(&golock_first_module.module, NULL, __ATOMIC_RELEASE);
        __atomic_store_n(&first_module_made, false, __ATOMIC_RELEASE);
    }
}

static int
module_exec(PyObject *module)
{
    golock_state *state = PyModule_GetState(module);
    remember_first(module);
    golock_threads_start();
    if (golock_watch_forks() < 0 || golock_core_locate(module) < 0 || read_environment() < 0 ||
        add_constants(module) < 0 || golock_green_watch(state) < 0) {
        return -1;
    }
    state->threading_name = PyUnicode_InternFromString("threading");
    state->rlock_name = PyUnicode_InternFromString("RLock");
    state->error_name = PyUnicode_InternFromString("BrokenBarrierError");
    state->done_name = PyUnicode_InternFromString("done");
    state->set_result_name = PyUnicode_InternFromString("set_result");
    if (state->threading_name == NULL || state->rlock_name == NULL || state->error_name == NULL ||
        state->done_name == NULL || state->set_result_name == NULL ||
        golock_task_names(state) < 0) {
        return -1;
    }
    state->core_error = PyErr_NewExceptionWithDoc(
        "golock.CoreError",
        "Raised by use_core and core_address when the lock core cannot be used or loaded.",
        PyExc_RuntimeError, NULL);
    if (state->core_error == NULL ||
        PyModule_AddObjectRef(module, "CoreError", state->core_error) < 0) {
        return -1;
    }
    state->deadlock_error = PyErr_NewExceptionWithDoc(
        "golock.DeadlockError",
        "Raised by the acquire of a lock that would never end, after\n"
        "golock.sight.start(on_deadlock=\"raise\"). The lock is not taken.",
        PyExc_RuntimeError, NULL);
    if (state->deadlock_error == NULL ||
        PyModule_AddObjectRef(module, "DeadlockError", state->deadlock_error) < 0) {
        return -1;
    }
    state->abandoned_error =
        PyErr_NewExceptionWithDoc("golock.Abandoned",
                                  "Raised by the acquire of a golock.process.Lock with "
                                  "on_abandoned=\"raise\" when a process\n"
                                  "has died while it held the lock. The lock is not taken.",
                                  PyExc_RuntimeError, NULL);
    if (state->abandoned_error == NULL ||
        PyModule_AddObjectRef(module, "Abandoned", state->abandoned_error) < 0) {
        return -1;
    }
    if (add_types(module, state) < 0 ||
        PyModule_AddObjectRef(module, "LockType", (PyObject *)state->lock_type) < 0 ||
        add_allocate_lock(module) < 0) {
        return -1;
    }
#if PY_VERSION_HEX >= 0x030D0000
    /* Since 3.13 Lock is the type itself, which is also called lock. */
    state->lock_type->tp_vectorcall = golock_lock_vectorcall;
    if (PyModule_AddObjectRef(module, "lock", (PyObject *)state->lock_type) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Lock", (PyObject *)state->lock_type);
#else
    return 0;
#endif
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    golock_state *state = PyModule_GetState(module);
    Py_VISIT(state->lock_type);
    Py_VISIT(state->rlock_type);
    Py_VISIT(state->condition_type);
    Py_VISIT(state->semaphore_type);
    Py_VISIT(state->bounded_semaphore_type);
    Py_VISIT(state->event_type);
    Py_VISIT(state->barrier_type);
    Py_VISIT(state->process_lock_type);
    Py_VISIT(state->known_lock_type);
    Py_VISIT(state->process_event_type);
    Py_VISIT(state->port_type);
    Py_VISIT(state->waiting_type);
    Py_VISIT(state->awaitable_type);
    Py_VISIT(state->done);
    Py_VISIT(state->done_name);
    Py_VISIT(state->set_result_name);
    for (int i = 0; i < GOLOCK_TASK_NAMES; i++) {
        Py_VISIT(state->task_names[i]);
    }
    Py_VISIT(state->core_error);
    Py_VISIT(state->deadlock_error);
    Py_VISIT(state->abandoned_error);
    for (int i = 0; i < GOLOCK_CLASSES; i++) {
        Py_VISIT(state->classes[i].attributes);
    }
    Py_VISIT(state->opened);
    Py_VISIT(state->threading_name);
    Py_VISIT(state->rlock_name);
    Py_VISIT(state->error_name);
    return golock_green_traverse(state, visit, arg);
}

static int
module_clear(PyObject *module)
{
    golock_state *state = PyModule_GetState(module);
    memset(state->shareable, 0, sizeof(state->shareable)); /* borrowed from the types that are
                                                            * cleared below */
    Py_CLEAR(state->lock_type);
    Py_CLEAR(state->rlock_type);
    Py_CLEAR(state->condition_type);
    Py_CLEAR(state->semaphore_type);
    Py_CLEAR(state->bounded_semaphore_type);
    Py_CLEAR(state->event_type);
    Py_CLEAR(state->barrier_type);
    Py_CLEAR(state->process_lock_type);
    Py_CLEAR(state->known_lock_type);
    Py_CLEAR(state->process_event_type);
    Py_CLEAR(state->port_type);
    Py_CLEAR(state->waiting_type);
    Py_CLEAR(state->awaitable_type);
    Py_CLEAR(state->done);
    Py_CLEAR(state->done_name);
    Py_CLEAR(state->set_result_name);
    for (int i = 0; i < GOLOCK_TASK_NAMES; i++) {
        Py_CLEAR(state->task_names[i]);
    }
    Py_CLEAR(state->core_error);
    Py_CLEAR(state->deadlock_error);
    Py_CLEAR(state->abandoned_error);
    for (int i = 0; i < GOLOCK_CLASSES; i++) {
        Py_CLEAR(state->classes[i].attributes);
    }
    Py_CLEAR(state->opened);
    Py_CLEAR(state->threading_name);
    Py_CLEAR(state->rlock_name);
    Py_CLEAR(state->error_name);
    golock_green_unwatch(state);
    return 0;
}

static void
module_free(void *module)
{
    leave_sight();
    forget_first(module);
    module_clear(module);
    PyMem_Free(((golock_state *)PyModule_GetState(module))->green);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

PyModuleDef golock_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "golock._golock",
    .m_doc = "golock's primitives, and the interface to the lock core.",
    .m_size = sizeof(golock_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__golock(void)
{
    return PyModuleDef_Init(&golock_module);
}
