/* The objects golock.lock and golock.RLock, for conditions and barriers. */
#ifndef GOLOCK_LOCK_H
#define GOLOCK_LOCK_H

#include "base/compat.h"
#include "loops/loops.h"
#include "waiting/mutex.h"
#include "waiting/tasks.h"
#include "golock.h"

#include <pthread.h>

typedef struct {
    PyObject_HEAD
    struct golock_header header;
    golock_mutex mutex;
    unsigned long loop_thread; /* pthread_self() of the event loop whose task has it, or 0 */
    uint32_t closed_waits;     /* of tasks at conditions that ended without it */
    PyObject *weakrefs;
} LockObject;

_Static_assert(offsetof(LockObject, mutex.word) ==
                   offsetof(LockObject, header) + sizeof(struct golock_header),
               "the word follows the header");

typedef struct {
    PyObject_HEAD
    golock_mutex mutex;
    unsigned long owner; /* pthread_self() of the owner, or 0; as in golock_hold */
    unsigned long count; /* how often the owner has taken it; only the owner accesses it */
    PyObject *task;      /* as in golock_hold */
    uint32_t closed_waits;
    PyObject *weakrefs;
} RLockObject;

_Static_assert(offsetof(RLockObject, owner) ==
                   offsetof(RLockObject, mutex.word) + GOLOCK_RLOCK_OWNER,
               "sight knows where the owner is");
_Static_assert(offsetof(RLockObject, count) ==
                   offsetof(RLockObject, mutex.word) + GOLOCK_RLOCK_COUNT,
               "sight knows where the count is");

/* pthread_self(), which is threading.get_ident(). Where that is the thread pointer, this spares the
 * call. */
static inline unsigned long
golock_thread(void)
{
#if defined(__x86_64__) && defined(__linux__)
    unsigned long self;
    __asm__("mov %%fs:0, %0" : "=r"(self)); /* the psABI: %fs:0 holds its own address */
    return self;
#else
    return (unsigned long)pthread_self();
#endif
}

static inline bool
golock_rlock_owned(const RLockObject *self)
{
    return __atomic_load_n(&self->owner, __ATOMIC_RELAXED) == golock_thread();
}

/* Says that other threads than its owner release this lock: the interpreter's conditions use locks
 * as signals. Returns true. */
bool golock_lock_signals(PyObject *lock);

/* Returns a new reference to a free lock, or NULL with MemoryError set. */
PyObject *golock_lock_new(PyTypeObject *type);
#if PY_VERSION_HEX >= 0x030D0000
PyObject *golock_lock_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf,
                                 PyObject *kwnames);
#endif

/* Says that no task of a loop has the lock, before it is released. */
static inline void
golock_lock_disown(LockObject *self)
{
    __atomic_store_n(&self->loop_thread, 0, __ATOMIC_RELAXED);
}

/* The methods of these names. They need the GIL, and return a new reference, or NULL with an
 * exception set. */
PyObject *golock_lock_acquire(LockObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);
PyObject *golock_lock_release(LockObject *self, PyObject *ignored);

/* Takes the lock for a task that has begun to wait, or makes it wait for the lock. Returns 1, or 0;
 * or -1 with RuntimeError set. */
int golock_lock_claim(LockObject *self, golock_task *task);

/* The asynchronous methods. */
PyObject *golock_lock_aenter(LockObject *self, PyObject *ignored);
PyObject *golock_lock_aexit(LockObject *self, PyObject *const *args, Py_ssize_t nargs);

/* Whether an __aexit__ with these arguments releases nothing: a coroutine is closed whose wait at a
 * condition was closed too, and could not take the lock. It counts one of these waits less. Which
 * of the coroutines that are closed now it is does not matter. */
bool golock_lock_forgo(uint32_t *closed_waits, PyObject *const *args, Py_ssize_t nargs);

PyObject *golock_lock_acquire_async(LockObject *self, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kwnames);
PyObject *golock_rlock_acquire(RLockObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *golock_rlock_release(RLockObject *self, PyObject *ignored);

/* A task that has the lock may take it again, as a thread may. A method of another task of the same
 * loop waits, or raises RuntimeError if it would stop the loop. */
PyObject *golock_rlock_aenter(RLockObject *self, PyObject *ignored);
PyObject *golock_rlock_aexit(RLockObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *golock_rlock_acquire_async(RLockObject *self, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kwnames);

/* The weak reference to the task that has the lock, borrowed, or NULL. */
static inline PyObject *
golock_rlock_task(const RLockObject *self)
{
    return __atomic_load_n(&self->task, __ATOMIC_RELAXED);
}

/* Whether the task that runs in this thread has the lock, or -1 with an exception set. */
int golock_rlock_owned_by_task(const RLockObject *self);

/* Takes the lock for a task that has begun to wait, as golock_lock_claim does, with this hold, and
 * steals the reference in it. */
int golock_rlock_claim(RLockObject *self, golock_task *task, golock_hold *hold);

/* _release_save and _acquire_restore. The former returns 0, or -1 with RuntimeError set, and leaves
 * the wake of a claimant to the caller. The latter is as golock_mutex_reacquire, and steals the
 * reference in the hold. */
int golock_rlock_save(RLockObject *self, golock_hold *hold, golock_unwoken *unwoken);
PyObject *golock_rlock_release_save(RLockObject *self, PyObject *ignored);
void golock_rlock_restore(RLockObject *self, golock_hold *hold, bool woken);

void golock_rlock_reset(RLockObject *self);

#endif
