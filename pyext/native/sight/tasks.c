#include "sight/tasks.h"

#include "sight/intern.h"
#include "sight/lookup.h"
#include "sight/table.h"
#include "sight/threads.h"

#include <stdlib.h>

#define BLOCK 256
#define MOST_BLOCKS 256
#define BUCKETS 4096 /* a power of two */

/* How many references a call drops. */
#define MOST_DROPPED 256

/* A name that ends with a number is kept as what precedes it, and the number: most tasks are called
 * Task-1, Task-2 and so on. */
#define MOST_DIGITS 9

typedef struct record {
    struct golock_image_thread seen; /* its key is 0: the record is free */
    const void *task;
    PyObject *reference; /* a weak one, which tells another task at the same address apart */
    struct record *next_of_task, *next_of_key;
} record;

/* Guarded by the lock of the tables. */
static struct {
    record *of_task[BUCKETS], *of_key[BUCKETS];
    record *free; /* by next_of_key */
    record *blocks[MOST_BLOCKS];
    uint32_t length;      /* in blocks */
    uint32_t count;       /* of records in use */
    uint32_t since_sweep; /* how many were made since those of ended tasks were freed */
    uint64_t last_number;
} table;

enum { ASYNCIO, LOOP, CURRENT, TRIO, CONTEXT, TASK, GET_NAME, NAME, NAMES };

/* Strings of the main interpreter, made when they are first needed. */
static PyObject *names[NAMES];

static const char *const texts[NAMES] = {
    [ASYNCIO] = "_asyncio",
    [LOOP] = "_get_running_loop",
#if PY_VERSION_HEX >= 0x030C0000
    [CURRENT] = "current_task",
#else
    [CURRENT] = "_current_tasks",
#endif
    [TRIO] = "trio._core._run",
    [CONTEXT] = "GLOBAL_RUN_CONTEXT",
    [TASK] = "task",
    [GET_NAME] = "get_name",
    [NAME] = "name",
};

/* Returns a borrowed reference, or NULL. */
static PyObject *
string(int which)
{
    PyObject *known = __atomic_load_n(&names[which], __ATOMIC_ACQUIRE);
    if (known == NULL) {
        PyObject *new = PyUnicode_InternFromString(texts[which]);
        if (new == NULL || __atomic_compare_exchange_n(&names[which], &known, new, false,
                                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return new;
        }
        Py_DECREF(new);
    }
    return known;
}

/* Returns a new reference to the dict of a module that was imported, or NULL. */
static PyObject *
dict_of_module(int name)
{
    PyObject *module = golock_get_item(PyImport_GetModuleDict(), string(name));
    PyObject *dict =
        module != NULL && PyModule_Check(module) ? Py_XNewRef(PyModule_GetDict(module)) : NULL;
    Py_XDECREF(module);
    return dict;
}

/* Returns a new reference to the task of trio, or NULL, and may set an exception. The context is a
 * threading.local. */
static PyObject *
task_of_trio(void)
{
    PyObject *dict = dict_of_module(TRIO);
    PyObject *context = golock_get_item(dict, string(CONTEXT));
    PyObject *task = context == NULL ? NULL : PyObject_GetAttr(context, string(TASK));
    Py_XDECREF(context);
    Py_XDECREF(dict);
    return task;
}

/* The same for asyncio. What it calls are functions of C. */
static PyObject *
task_of_asyncio(void)
{
    PyObject *dict = dict_of_module(ASYNCIO);
    PyObject *get_loop = golock_get_item(dict, string(LOOP));
    PyObject *loop =
        get_loop != NULL && PyCFunction_Check(get_loop) ? PyObject_CallNoArgs(get_loop) : NULL;
    PyObject *current =
        loop == NULL || loop == Py_None ? NULL : golock_get_item(dict, string(CURRENT));
    PyObject *task = NULL;
#if PY_VERSION_HEX >= 0x030C0000
    if (current != NULL && PyCFunction_Check(current)) {
        task = PyObject_CallOneArg(current, loop);
    }
#else
    task = golock_get_item(current, loop);
#endif
    Py_XDECREF(current);
    Py_XDECREF(loop);
    Py_XDECREF(get_loop);
    Py_XDECREF(dict);
    if (task == Py_None) {
        Py_CLEAR(task);
    }
    return task;
}

/* Returns a new reference to the name of a task, or NULL, and may set an exception. Calls no method
 * of Python's. */
static PyObject *
name_of(PyObject *task)
{
    PyTypeObject *type = Py_TYPE(task);
    PyObject *get_name = string(GET_NAME), *name = string(NAME);
    if (get_name == NULL || name == NULL) {
        return NULL;
    }
    PyObject *method = Py_XNewRef(_PyType_Lookup(type, get_name)), *result = NULL;
    if (method != NULL && Py_IS_TYPE(method, &PyMethodDescr_Type)) {
        result = PyObject_CallOneArg(method, task);
    } else if (method == NULL) {
        PyObject *attribute = _PyType_Lookup(type, name);
        if (attribute == NULL || Py_IS_TYPE(attribute, &PyMemberDescr_Type)) {
            result = PyObject_GenericGetAttr(task, name);
        }
    }
    Py_XDECREF(method);
    return result;
}

static void
set_name(struct golock_image_thread *seen, PyObject *name)
{
    Py_ssize_t length = 0;
    const char *text =
        name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &length) : NULL;
    if (text == NULL) {
        return;
    }
    Py_ssize_t digits = 0;
    uint32_t number = 0, unit = 1;
    while (digits < length && digits < MOST_DIGITS && text[length - digits - 1] >= '0' &&
           text[length - digits - 1] <= '9') {
        number += unit * (uint32_t)(text[length - digits - 1] - '0');
        unit *= 10;
        digits++;
    }
    while (digits > 1 && text[length - digits] == '0') { /* that would be lost */
        digits--;
    }
    unit = 1;
    for (Py_ssize_t i = 0; i < digits; i++) {
        unit *= 10;
    }
    seen->name = golock_intern_string(text, (size_t)(length - digits));
    seen->number = digits == 0 ? 0 : 1 + number % unit;
}

static record **
bucket_of_task(const void *task)
{
    return &table.of_task[((uintptr_t)task >> 4) * 0x9E3779B97F4A7C15u >> 52];
}

static record **
bucket_of_key(uint64_t key)
{
    return &table.of_key[key % BUCKETS];
}

_Static_assert(BUCKETS == 1 << (64 - 52), "bucket_of_task takes the upper bits");

/* Below, the caller has the lock of the tables. */

static bool
is_of(const record *its, const PyObject *task)
{
    const PyWeakReference *reference = (const PyWeakReference *)its->reference;
    return __atomic_load_n(&reference->wr_object, __ATOMIC_RELAXED) == task;
}

static record *
find_task(const PyObject *task)
{
    record *each = *bucket_of_task(task);
    while (each != NULL && each->task != task) {
        each = each->next_of_task;
    }
    return each;
}

static record *
find_key(uint64_t key)
{
    record *each = *bucket_of_key(key);
    while (each != NULL && each->seen.key != key) {
        each = each->next_of_key;
    }
    return each;
}

/* Returns the reference, which the caller drops without the lock. */
static PyObject *
free_record(record *its)
{
    record **link = bucket_of_task(its->task);
    while (*link != its) {
        link = &(*link)->next_of_task;
    }
    *link = its->next_of_task;
    link = bucket_of_key(its->seen.key);
    while (*link != its) {
        link = &(*link)->next_of_key;
    }
    *link = its->next_of_key;
    PyObject *reference = its->reference;
    *its = (record){.next_of_key = table.free};
    table.free = its;
    table.count--;
    return reference;
}

/* Frees the records of tasks that have ended. Returns how many references are to be dropped. */
static int
sweep(PyObject **dropped)
{
    int count = 0;
    table.since_sweep = 0;
    for (uint32_t i = 0; i < table.length * BLOCK && count < MOST_DROPPED; i++) {
        record *its = &table.blocks[i / BLOCK][i % BLOCK];
        if (its->seen.key != 0 && is_of(its, Py_None)) {
            dropped[count++] = free_record(its);
        }
    }
    return count;
}

static void
grow(void)
{
    record *block = table.length < MOST_BLOCKS ? calloc(BLOCK, sizeof(record)) : NULL;
    if (block == NULL) {
        return;
    }
    table.blocks[table.length++] = block;
    for (int i = BLOCK; i-- > 0;) {
        block[i].next_of_key = table.free;
        table.free = &block[i];
    }
}

static void
add(record *its, struct golock_image_thread seen, PyObject *task, PyObject *reference)
{
    record **of_task = bucket_of_task(task), **of_key = bucket_of_key(seen.key);
    table.free = its->next_of_key;
    table.count++;
    table.since_sweep++;
    *its = (record){seen, task, reference, *of_task, *of_key};
    *of_task = its;
    *of_key = its;
}

/* Up to here. */

/* Makes a record. Returns its key, or 0. */
static uint64_t
begin(PyObject *task)
{
    PyObject *dropped[MOST_DROPPED + 1];
    int count = 0;
    PyObject *reference = PyWeakref_NewRef(task, NULL);
    PyObject *name = name_of(task);
    golock_thread_record *thread = golock_thread_current();
    struct golock_image_thread seen = {0};
    if (thread != NULL) {
        seen.loop = thread->key;
        seen.identifier = thread->identifier;
        seen.native = thread->native;
    }
    set_name(&seen, name);
    Py_XDECREF(name);
    if (reference == NULL) {
        return 0;
    }
    golock_tables_lock();
    record *before = find_task(task);
    if (before != NULL) { /* of a task that was at this address */
        dropped[count++] = free_record(before);
    }
    if (table.free == NULL && 2 * table.since_sweep >= table.count) {
        count += sweep(dropped + count);
    }
    if (table.free == NULL) {
        grow();
    }
    if (table.free != NULL) {
        seen.key = GOLOCK_TASK | ++table.last_number;
        add(table.free, seen, task, reference);
        reference = NULL;
    }
    golock_tables_unlock();
    Py_XDECREF(reference);
    while (count > 0) {
        Py_DECREF(dropped[--count]);
    }
    return seen.key;
}

/* Returns the key of a task. With `again`, reads its name again. */
static uint64_t
key_of(PyObject *task, bool again)
{
    golock_tables_lock();
    const record *its = find_task(task);
    const uint64_t key = its != NULL && is_of(its, task) ? its->seen.key : 0;
    golock_tables_unlock();
    if (key == 0) {
        return begin(task);
    }
    if (again) {
        struct golock_image_thread seen = {0};
        PyObject *name = name_of(task);
        set_name(&seen, name);
        Py_XDECREF(name);
        golock_tables_lock();
        record *mine = find_key(key);
        if (mine != NULL) {
            mine->seen.name = seen.name;
            mine->seen.number = seen.number;
        }
        golock_tables_unlock();
    }
    return key;
}

static uint64_t
running(bool again)
{
    if (Py_IsFinalizing() || PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    const golock_quiet quiet = golock_quiet_begin();
    PyObject *task = task_of_trio(); /* in its guest mode a loop of asyncio runs as well */
    if (task == NULL) {
        PyErr_Clear();
        task = task_of_asyncio();
    }
    const uint64_t key = task == NULL ? 0 : key_of(task, again);
    Py_XDECREF(task); /* its loop has another reference */
    PyErr_Clear();
    golock_quiet_end(quiet);
    return key;
}

uint64_t
golock_task_running(void)
{
    return running(false);
}

uint64_t
golock_task_waiting(void)
{
    return running(true);
}

bool
golock_task_find(uint64_t key, struct golock_image_thread *task)
{
    golock_tables_lock();
    const record *its = find_key(key);
    if (its != NULL) {
        *task = its->seen;
    }
    golock_tables_unlock();
    return its != NULL;
}

uint64_t
golock_tasks_count(void)
{
    golock_tables_lock();
    const uint64_t count = table.count;
    golock_tables_unlock();
    return count;
}

uint64_t
golock_tasks_copy(struct golock_image_thread *tasks, uint64_t room)
{
    uint64_t count = 0;
    golock_tables_lock();
    for (uint32_t i = 0; i < table.length * BLOCK && count < room; i++) {
        const record *its = &table.blocks[i / BLOCK][i % BLOCK];
        if (its->seen.key != 0) {
            tasks[count++] = its->seen;
        }
    }
    golock_tables_unlock();
    return count;
}

void
golock_sight_tasks_stop(void)
{
    for (;;) {
        golock_tables_lock();
        PyObject *reference = NULL;
        for (uint32_t i = 0; i < table.length * BLOCK && reference == NULL; i++) {
            record *its = &table.blocks[i / BLOCK][i % BLOCK];
            reference = its->seen.key == 0 ? NULL : free_record(its);
        }
        golock_tables_unlock();
        if (reference == NULL) {
            break;
        }
        Py_DECREF(reference);
    }
    for (int i = 0; i < NAMES; i++) {
        Py_XDECREF(__atomic_exchange_n(&names[i], NULL, __ATOMIC_ACQ_REL));
    }
}

/* The references stay: nobody may drop them without the GIL. */
void
golock_sight_tasks_after_fork(void)
{
    for (uint32_t i = 0; i < table.length * BLOCK; i++) {
        record *its = &table.blocks[i / BLOCK][i % BLOCK];
        if (its->seen.key != 0) {
            (void)free_record(its);
        }
    }
}
