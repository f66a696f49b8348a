/* What install() needs from C: a record that all copies of the package share, and whether a
 * green-thread library has replaced the interpreter's threads. */
#ifndef GOLOCK_INSTALL_H
#define GOLOCK_INSTALL_H

#include "base/compat.h"
#include "base/state.h"

/* A fact about a module's dict, to be found again when the dict has changed. */
struct golock_watched {
    PyObject *dict;          /* or NULL if nobody has imported the module */
    const uint64_t *version; /* differs after each change of the dict */
    uint64_t seen;           /* the version at which the fact was found */
    bool replaced;
};

struct golock_green {
    struct golock_watched thread,
        threading; /* _thread's functions that make threads and locks; RLock */
    int watcher;
    PyObject *listener;
    PyObject *start_new_thread, *allocate_lock; /* their names */
};

/* Begins to watch _thread. Returns 0, or -1 with an exception set. */
int golock_green_watch(golock_state *state);
void golock_green_unwatch(golock_state *state);
int golock_green_traverse(const golock_state *state, visitproc visit, void *arg);

/* Whether the fact still holds. */
static inline bool
golock_unchanged(const struct golock_watched *watched)
{
    const uint64_t *version = __atomic_load_n(&watched->version, __ATOMIC_ACQUIRE);
    return __atomic_load_n(version, __ATOMIC_ACQUIRE) ==
           __atomic_load_n(&watched->seen, __ATOMIC_ACQUIRE);
}

/* The slow part of golock_green_threads. Calls the listener when it first finds green threads. */
bool golock_green_look(struct golock_green *green);

/* Whether _thread.start_new_thread or _thread.allocate_lock is neither the interpreter's nor
 * golock's. Then a thread that sleeps in the kernel would stop all green threads that run on it. */
static inline bool
golock_green_threads(const golock_state *state)
{
    struct golock_green *green = state->green;
    return golock_unchanged(&green->thread)
               ? __atomic_load_n(&green->thread.replaced, __ATOMIC_RELAXED)
               : golock_green_look(green);
}

bool golock_rlock_look(const golock_state *state);

/* Whether threading.RLock, which Condition() calls, is neither the interpreter's function nor
 * golock's type. */
static inline bool
golock_rlock_is_replaced(const golock_state *state)
{
    const struct golock_watched *threading = &state->green->threading;
    return golock_unchanged(threading) ? __atomic_load_n(&threading->replaced, __ATOMIC_RELAXED)
                                       : golock_rlock_look(state);
}

/* Returns a borrowed reference to the dict of threading, importing it if necessary, or NULL with an
 * exception set. */
PyObject *golock_threading(const golock_state *state);

PyObject *golock_green_exchange_for(const golock_state *state, PyObject *self, PyObject *args,
                                    PyObject *kwargs);

/* Returns what a tp_new shall return, given the reference that it has made, or NULL. With green
 * threads that is an object of the interpreter's class instead of one of golock's own class. */
static inline PyObject *
golock_green_exchange(PyObject *self, PyObject *args, PyObject *kwargs)
{
    const golock_state *state = self == NULL ? NULL : golock_state_of(self);
    return state == NULL || !golock_green_threads(state)
               ? self
               : golock_green_exchange_for(state, self, args, kwargs);
}

/* Registers a function. It is called with None when green threads are found, and with a type of
 * golock's to get the interpreter's class. Returns None. */
PyObject *golock_green_listen(PyObject *module, PyObject *listener);

/* Returns a new reference to the dict that the copies of the package in this interpreter share, or
 * NULL with an exception set. */
PyObject *golock_installation(void);

#endif
