/* What install() asks of C: a record that every copy of the package finds, and whether a library of green
 * threads has made the interpreter's threads its own. */
#ifndef GOLOCK_INSTALL_H
#define GOLOCK_INSTALL_H

#include "base/compat.h"
#include "base/state.h"

/* Something that is known of a module's dict, and has to be found out anew when the dict has changed. */
struct golock_watched {
    PyObject *dict;          /* or NULL, where nobody has imported the module */
    const uint64_t *version; /* another number after each change of the dict */
    uint64_t seen;           /* the number when it was last found out */
    bool replaced;
};

struct golock_green {
    struct golock_watched thread, threading; /* _thread's functions that make threads and locks; RLock */
    int watcher;
    PyObject *listener;
    PyObject *start_new_thread, *allocate_lock; /* their names */
};

/* Begins to watch _thread. Returns 0, or -1 with an exception set. */
int golock_green_watch(golock_state *state);
void golock_green_unwatch(golock_state *state);
int golock_green_traverse(const golock_state *state, visitproc visit, void *arg);

/* Whether what was found out still holds. */
static inline bool
golock_unchanged(const struct golock_watched *watched)
{
    const uint64_t *version = __atomic_load_n(&watched->version, __ATOMIC_ACQUIRE);
    return __atomic_load_n(version, __ATOMIC_ACQUIRE) == __atomic_load_n(&watched->seen, __ATOMIC_ACQUIRE);
}

/* Calls the listener once, when it finds that _thread has been changed so. */
bool golock_green_look(struct golock_green *green);

/* Whether _thread.start_new_thread or _thread.allocate_lock is neither the interpreter's nor golock's: then a
 * thread that sleeps in the kernel stops all the green threads that it carries. */
static inline bool
golock_green_threads(const golock_state *state)
{
    struct golock_green *green = state->green;
    return golock_unchanged(&green->thread) ? __atomic_load_n(&green->thread.replaced, __ATOMIC_RELAXED)
                                            : golock_green_look(green);
}

bool golock_rlock_look(const golock_state *state);

/* Whether threading.RLock, which Condition() calls as it stands, is neither the interpreter's function nor
 * golock's type. */
static inline bool
golock_rlock_is_replaced(const golock_state *state)
{
    const struct golock_watched *threading = &state->green->threading;
    return golock_unchanged(threading) ? __atomic_load_n(&threading->replaced, __ATOMIC_RELAXED)
                                       : golock_rlock_look(state);
}

/* Returns a borrowed reference to the dict of threading, which is imported if it was not, or NULL with an
 * exception set. */
PyObject *golock_threading(const golock_state *state);

PyObject *golock_green_exchange_for(const golock_state *state, PyObject *self, PyObject *args,
                                    PyObject *kwargs);

/* Takes what a tp_new has made, or NULL. Under green threads it returns an object of the interpreter's class
 * in place of one of golock's own class. */
static inline PyObject *
golock_green_exchange(PyObject *self, PyObject *args, PyObject *kwargs)
{
    const golock_state *state = self == NULL ? NULL : golock_state_of(self);
    return state == NULL || !golock_green_threads(state)
               ? self
               : golock_green_exchange_for(state, self, args, kwargs);
}

/* Has the function called with None when green threads are found, and with a type of golock's to return the
 * interpreter's class. Returns None. */
PyObject *golock_green_listen(PyObject *module, PyObject *listener);

/* Returns a new reference to the dict that the copies of the package in this interpreter share, or NULL with
 * an exception set. */
PyObject *golock_installation(void);

#endif
