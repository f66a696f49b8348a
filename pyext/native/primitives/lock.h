/* The objects that a condition looks into: golock.lock and golock.RLock. */
#ifndef GOLOCK_LOCK_H
#define GOLOCK_LOCK_H

#include "base/compat.h"
#include "waiting/mutex.h"
#include "golock.h"

#include <pthread.h>

typedef struct {
    PyObject_HEAD
    struct golock_header header;
    golock_mutex mutex;
    PyObject *weakrefs;
} LockObject;

_Static_assert(offsetof(LockObject, mutex.word) ==
                   offsetof(LockObject, header) + sizeof(struct golock_header),
               "the word follows the header");

typedef struct {
    PyObject_HEAD
    golock_mutex mutex;
    unsigned long owner; /* the thread that has it, or 0 */
    unsigned long count; /* how often; touched by the owner alone */
    PyObject *weakrefs;
} RLockObject;

/* pthread_self(), which is what threading.get_ident() returns; where that is the thread pointer, without the
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

/* Returns a new reference to a free lock, or NULL with MemoryError set. */
PyObject *golock_lock_new(PyTypeObject *type);
#if PY_VERSION_HEX >= 0x030D0000
PyObject *golock_lock_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames);
#endif

/* What a condition does with its lock, as the methods of that name do. Need the GIL; return a new reference,
 * or NULL with an exception set. */
PyObject *golock_lock_acquire(LockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *golock_lock_release(LockObject *self, PyObject *ignored);
PyObject *golock_rlock_acquire(RLockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *golock_rlock_release(RLockObject *self, PyObject *ignored);

/* _release_save and _acquire_restore. The former returns 0, or -1 with RuntimeError set, and may leave a
 * claimant unwoken; the latter is as golock_mutex_reacquire. */
int golock_rlock_save(RLockObject *self, unsigned long *count, unsigned long *owner, golock_unwoken *unwoken);
void golock_rlock_restore(RLockObject *self, unsigned long count, unsigned long owner, bool woken);

void golock_rlock_reset(RLockObject *self);

#endif
