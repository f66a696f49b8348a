#include "sight/threads.h"

#include "base/process.h"
#include "sight/image_writer.h"
#include "sight/intern.h"
#include "sight/lookup.h"
#include "sight/table.h"
#include "sight/tasks.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK 256
#define MOST_BLOCKS 1024
#define BUCKETS 4096 /* a power of two */

/* Guarded by the lock of the tables. The length may also be read without it. */
static struct {
    golock_thread_record *buckets[BUCKETS];
    golock_thread_record *free;
    int length;
    golock_thread_record *blocks[MOST_BLOCKS];
} table;

_Thread_local struct golock_thread_self golock_thread_self;
#define self golock_thread_self

uint64_t
golock_thread_key_of(PyThreadState *state)
{
    const int64_t interpreter = PyInterpreterState_GetID(PyThreadState_GetInterpreter(state));
    return ((uint64_t)interpreter << 40) + PyThreadState_GetID(state);
}

uint64_t
golock_thread_key(void)
{
    const golock_thread_record *record = self.record;
    PyThreadState *state = PyThreadState_Get();
    return record != NULL && record->state == state ? record->key : golock_thread_key_of(state);
}

static golock_thread_record **
bucket_of(uint64_t key)
{
    return &table.buckets[(key ^ key >> 40) % BUCKETS];
}

/* Returns the record, or NULL. Needs the lock. */
static golock_thread_record *
find(uint64_t key)
{
    golock_thread_record *record = *bucket_of(key);
    while (record != NULL && record->key != key) {
        record = record->next;
    }
    return record;
}

bool
golock_thread_find(uint64_t key, golock_thread_record *copy)
{
    struct golock_image_thread task;
    if (key & GOLOCK_TASK) {
        const bool found = golock_task_find(key, &task);
        if (found) {
            *copy = (golock_thread_record){.key = key,
                                           .identifier = task.identifier,
                                           .native = task.native,
                                           .name = task.name};
        }
        return found;
    }
    golock_tables_lock();
    const golock_thread_record *record = find(key);
    if (record != NULL) {
        *copy = (golock_thread_record){
            .key = record->key,
            .identifier = record->identifier,
            .state = record->state,
            .native = record->native,
            .name = record->name,
            .flags = record->flags,
        };
    }
    golock_tables_unlock();
    return record != NULL;
}

uint64_t
golock_thread_identified(unsigned long identifier)
{
    uint64_t key = 0;
    golock_tables_lock();
    for (int i = 0; key == 0 && i < table.length * BLOCK; i++) {
        const golock_thread_record *record = &table.blocks[i / BLOCK][i % BLOCK];
        key = record->identifier == identifier ? record->key : 0;
    }
    golock_tables_unlock();
    return key != 0 ? key : GOLOCK_IDENTIFIED | identifier;
}

/* Adds a block to the free records, if there is memory. Needs the lock. */
static void
grow(void)
{
    golock_thread_record *block =
        table.length < MOST_BLOCKS ? calloc(BLOCK, sizeof(golock_thread_record)) : NULL;
    if (block == NULL) {
        return;
    }
    for (int i = BLOCK; i-- > 0;) {
        block[i].next = table.free;
        table.free = &block[i];
    }
    table.blocks[table.length] = block;
    __atomic_store_n(&table.length, table.length + 1, __ATOMIC_RELEASE);
}

/* Frees the record with this key, if there is one. Needs the lock. */
static void
forget(uint64_t key)
{
    golock_thread_record **place = bucket_of(key), *record;
    while ((record = *place) != NULL && record->key != key) {
        place = &record->next;
    }
    if (record != NULL) {
        *place = record->next;
        __atomic_store_n(&record->key, 0, __ATOMIC_RELAXED);
        record->state = NULL;
        record->next = table.free;
        table.free = record;
    }
}

/* The destructor of a capsule in the dict of a thread state, which is cleared when the thread state
 * ends. In a forked child it also runs for threads that do not exist there. */
static void
end_thread(PyObject *capsule)
{
    const uint64_t key = (uintptr_t)PyCapsule_GetContext(capsule);
    if (self.record != NULL && self.record->key == key) {
        self.record = NULL;
        self.ended = key;
    }
    golock_tables_lock();
    forget(key);
    golock_tables_unlock();
}

/* Arranges that end_thread is called. Returns false if there is no memory. New objects must not
 * start a collection, which runs Python code; since 3.12 they do not. */
static bool
watch(uint64_t key)
{
    const golock_quiet quiet = golock_quiet_begin();
    PyObject *dict = PyThreadState_GetDict();
    PyObject *capsule = dict == NULL ? NULL : PyCapsule_New(&table, "golock.sight", end_thread);
    bool done = capsule != NULL && PyCapsule_SetContext(capsule, (void *)(uintptr_t)key) == 0;
    done = done && PyDict_SetItemString(dict, "golock.sight", capsule) == 0;
    if (capsule != NULL && !done) {
        PyCapsule_SetDestructor(capsule, NULL);
    }
    Py_XDECREF(capsule);
    golock_quiet_end(quiet);
    return done;
}

void
golock_threads_start(void)
{
    self.ended = 0;
}

golock_thread_record *
golock_thread_enter(PyThreadState *state)
{
    const uint64_t key = golock_thread_key_of(state);
    if (self.ended == key) {
        return NULL;
    }
    golock_tables_lock();
    golock_thread_record *record = find(key);
    golock_tables_unlock();
    if (record != NULL || !watch(key)) {
        self.record = record;
        return record;
    }
    golock_tables_lock();
    if (table.free == NULL) {
        grow();
    }
    record = table.free;
    if (record != NULL) {
        table.free = record->next;
        golock_thread_record **bucket = bucket_of(key);
        const bool is_main = key >> 40 == 0 && golock_runs_handlers();
        record->state = state;
        record->native = (uint32_t)syscall(SYS_gettid);
        record->flags = is_main ? GOLOCK_THREAD_MAIN : 0;
        record->named = 0;
        record->next = *bucket;
        *bucket = record;
        /* These are also read without the lock. */
        __atomic_store_n(&record->identifier, (unsigned long)pthread_self(), __ATOMIC_RELAXED);
        __atomic_store_n(&record->name, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&record->key, key, __ATOMIC_RELEASE);
    }
    golock_tables_unlock();
    self.record = record;
    return record;
}

#define NAMES 3
enum { THREADING, ACTIVE, NAME };

/* Strings of the main interpreter, made when they are first needed. */
static PyObject *names[NAMES];

static const char *const texts[NAMES] = {"threading", "_active", "_name"};

/* Returns a new reference to the string, or NULL. */
static PyObject *
string(int which, bool is_main)
{
    if (!is_main) {
        return PyUnicode_InternFromString(texts[which]);
    }
    PyObject *known = __atomic_load_n(&names[which], __ATOMIC_ACQUIRE);
    if (known == NULL) {
        PyObject *new = PyUnicode_InternFromString(texts[which]);
        if (new == NULL || __atomic_compare_exchange_n(&names[which], &known, new, false,
                                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return Py_XNewRef(new);
        }
        Py_DECREF(new);
    }
    return Py_NewRef(known);
}

/* Returns a new reference to threading._active, or NULL. */
static PyObject *
active_threads(bool is_main)
{
    PyObject *module_name = string(THREADING, is_main);
    PyObject *threading = golock_get_item(PyImport_GetModuleDict(), module_name);
    PyObject *active_name = string(ACTIVE, is_main);
    PyObject *active = threading != NULL && PyModule_Check(threading)
                           ? golock_get_item(PyModule_GetDict(threading), active_name)
                           : NULL;
    Py_XDECREF(module_name);
    Py_XDECREF(active_name);
    Py_XDECREF(threading);
    return active;
}

/* Returns the interned name of the Thread object, or 0. Reads the attribute itself, unless its
 * class has one of that name, which could run Python code. */
static uint32_t
name_of(PyObject *thread, bool is_main)
{
    PyObject *attribute = string(NAME, is_main), *name = NULL;
    if (attribute != NULL && _PyType_Lookup(Py_TYPE(thread), attribute) == NULL) {
        name = PyObject_GenericGetAttr(thread, attribute);
    }
    const uint32_t index = name != NULL && PyUnicode_Check(name) ? golock_intern_unicode(name) : 0;
    Py_XDECREF(attribute);
    Py_XDECREF(name);
    return index;
}

static void
refresh(golock_thread_record *record, PyObject *active, bool is_main)
{
    const uint64_t key = __atomic_load_n(&record->key, __ATOMIC_ACQUIRE);
    PyObject *identifier =
        PyLong_FromUnsignedLong(__atomic_load_n(&record->identifier, __ATOMIC_RELAXED));
    PyObject *thread = golock_get_item(active, identifier);
    const uint32_t name = thread == NULL ? 0 : name_of(thread, is_main);
    Py_XDECREF(identifier);
    Py_XDECREF(thread);
    if (name != 0 && name != __atomic_load_n(&record->name, __ATOMIC_RELAXED)) {
        golock_tables_lock();
        if (record->key == key) {
            __atomic_store_n(&record->name, name, __ATOMIC_RELAXED);
        }
        golock_tables_unlock();
    }
}

/* Calls refresh for the records from the first one on. */
static void
refresh_all(golock_thread_record *only)
{
    const bool is_main = PyInterpreterState_Get() == PyInterpreterState_Main();
    const uint64_t interpreter = (uint64_t)PyInterpreterState_GetID(PyInterpreterState_Get());
    /* A condition's lock is taken again after an exception, and a missing attribute makes one. */
    const golock_quiet quiet = golock_quiet_begin();
    PyObject *active = active_threads(is_main);
    if (only != NULL) {
        refresh(only, active, is_main);
    }
    const int length = only != NULL ? 0 : __atomic_load_n(&table.length, __ATOMIC_ACQUIRE);
    for (int i = 0; i < length * BLOCK; i++) {
        golock_thread_record *record = &table.blocks[i / BLOCK][i % BLOCK];
        const uint64_t key = __atomic_load_n(&record->key, __ATOMIC_ACQUIRE);
        if (key != 0 && key >> 40 == interpreter) {
            refresh(record, active, is_main);
        }
    }
    Py_XDECREF(active);
    PyErr_Clear();
    golock_quiet_end(quiet);
}

void
golock_thread_refresh_name(golock_thread_record *thread)
{
    refresh_all(thread);
}

bool
golock_thread_find_named(uint64_t key, golock_thread_record *copy)
{
    golock_tables_lock();
    golock_thread_record *record = find(key);
    golock_tables_unlock();
    if (record == NULL) {
        return false;
    }
    if (__atomic_load_n(&record->name, __ATOMIC_RELAXED) == 0) {
        refresh_all(record); /* it does not end while the caller has the GIL */
    }
    return golock_thread_find(key, copy);
}

void
golock_threads_refresh_names(void)
{
    refresh_all(NULL);
}

void
golock_threads_stop(void)
{
    for (int i = 0; i < NAMES; i++) {
        Py_XDECREF(__atomic_exchange_n(&names[i], NULL, __ATOMIC_ACQ_REL));
    }
}

void
golock_threads_image(struct golock_image_writer *writer)
{
    const int length = __atomic_load_n(&table.length, __ATOMIC_ACQUIRE);
    const uint64_t tasks = golock_tasks_count();
    struct golock_image_thread *entry = golock_image_begin(
        writer, GOLOCK_IMAGE_THREADS, sizeof(*entry), (uint64_t)length * BLOCK + tasks);
    if (entry == NULL) {
        return;
    }
    uint64_t count = 0;
    for (int i = 0; i < length; i++) {
        golock_tables_lock(); /* for one block at a time, so that nobody waits for long */
        for (int j = 0; j < BLOCK; j++) {
            const golock_thread_record *record = &table.blocks[i][j];
            if (record->key != 0) {
                entry[count++] = (struct golock_image_thread){
                    .key = record->key,
                    .identifier = record->identifier,
                    .native = record->native,
                    .name = record->name,
                    .flags = record->flags,
                };
            }
        }
        golock_tables_unlock();
    }
    count += golock_tasks_copy(entry + count, tasks);
    golock_image_end(writer, count);
}

void
golock_threads_after_fork(void)
{
    const unsigned long identifier = (unsigned long)pthread_self();
    for (int i = 0; i < table.length * BLOCK; i++) {
        golock_thread_record *record = &table.blocks[i / BLOCK][i % BLOCK];
        record->spare = NULL; /* golock_waits_after_fork has made it free */
        if (record->key != 0 && record->identifier != identifier) {
            forget(record->key);
        } else if (record->key != 0) {
            record->native = (uint32_t)syscall(SYS_gettid);
            record->flags |= record->key >> 40 == 0 ? GOLOCK_THREAD_MAIN : 0;
        }
    }
}
