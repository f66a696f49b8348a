/* What install() asks of C: a record that every copy of the package finds, and whether a library of green
 * threads has made the interpreter's threads its own. */
#ifndef GOLOCK_INSTALL_H
#define GOLOCK_INSTALL_H

#include "object.h"

struct golock_green {
    PyObject *thread;        /* the dict of _thread */
    const uint64_t *version; /* another number after each change of the dict */
    uint64_t seen;           /* the number when the dict was last looked at */
    bool replaced;
    int watcher;
    PyObject *listener;
};

/* Begins to watch _thread. Returns 0, or -1 with an exception set. */
int golock_green_watch(golock_state *state);
void golock_green_unwatch(golock_state *state);
int golock_green_traverse(const golock_state *state, visitproc visit, void *arg);

/* Calls the listener once, when it finds that _thread has been changed so. */
bool golock_green_look(struct golock_green *green);

/* Whether _thread.start_new_thread or _thread.allocate_lock is neither the interpreter's nor golock's: then a
 * thread that sleeps in the kernel stops all the green threads that it carries. */
static inline bool
golock_green_threads(const golock_state *state)
{
    struct golock_green *green = state->green;
    if (__atomic_load_n(green->version, __ATOMIC_ACQUIRE) ==
        __atomic_load_n(&green->seen, __ATOMIC_ACQUIRE)) {
        return __atomic_load_n(&green->replaced, __ATOMIC_RELAXED);
    }
    return golock_green_look(green);
}

/* Whether threads may wait natively for an object: it is not opened, the threads are not green, and nobody
 * has changed the class of conditions. If not, it is the interpreter's turn, whose algorithm waits at a
 * condition, and makes the lock that a thread sleeps on when it comes to wait. */
static inline bool
golock_waits_natively(PyObject *self)
{
    golock_state *state = golock_state_of(self);
    return !golock_object_opened(self) && !golock_green_threads(state) && golock_conditions_are_plain(state);
}

/* Whether threading.RLock, which Condition() calls as it stands, is neither the interpreter's function nor
 * golock's type. */
bool golock_rlock_is_replaced(golock_state *state);

/* Takes what a tp_new has made, or NULL. Under green threads it returns an object of the interpreter's class
 * in place of one of golock's own class. */
PyObject *golock_green_exchange(PyObject *self, PyObject *args, PyObject *kwargs);

/* Has the function called with None when green threads are found, and with a type of golock's to return the
 * interpreter's class. Returns None. */
PyObject *golock_green_listen(PyObject *module, PyObject *listener);

/* Returns a new reference to the dict that the copies of the package in this interpreter share, or NULL with
 * an exception set. */
PyObject *golock_installation(void);

#endif
