/* Waiting in event loops: what `await lock.acquire_async()` and `async with lock` return. */
#ifndef GOLOCK_LOOPS_H
#define GOLOCK_LOOPS_H

#include "base/compat.h"
#include "base/state.h"
#include "sight/waits.h"
#include "waiting/notify.h"
#include "waiting/tasks.h"

#include <stdbool.h>

struct golock_awaited;

/* Who has an RLock, and how often. */
typedef struct {
    unsigned long count;
    unsigned long owner; /* pthread_self(), plus one if a task of the thread's loop has it */
    PyObject *task;      /* a weak reference to that task, a new reference; or NULL */
} golock_hold;

/* A wait of a task, golock._golock.Waiter, which golock/_loops.py drives. */
typedef struct golock_waiting {
    PyObject_HEAD
    const struct golock_awaited *kind;
    PyObject *object; /* which is waited for */
    PyObject *port;   /* or NULL: the wait has not begun */
    golock_task task;
    golock_listener listener; /* of a condition */
    PyObject *owner;  /* a weak reference to the task for which an RLock is taken, or NULL */
    golock_hold hold; /* of an RLock that a condition takes again */
    uint32_t initial; /* the word of an event when the wait began */
    bool begun;
    bool relocks;               /* it waits at a condition for its lock, not for a notification */
    bool ended;                 /* and never again for a notification */
    bool fails;                 /* it passes a notification of its condition on */
    bool gives_up;              /* it ends without the lock of its condition */
    PyObject *shown;            /* what golock.sight shows in place of the object, or NULL */
    int64_t deadline;           /* or GOLOCK_FOREVER */
    golock_wait_record *record; /* of golock.sight, or NULL */
    pid_t recorded;             /* the process that has made it */
} golock_waiting;

/* How to wait for a kind of object. */
typedef struct golock_awaited {
    const char *name;     /* of the method that returns the awaitable, with its class */
    const char *function; /* of golock/_loops.py, which drives a wait */
    bool owned;           /* it is for the task that called the method: an RLock has an owner */

    /* Tries to end the wait before it begins. `owner` is that of a wait, below. Returns 1 if it
     * could, or 0, also for the sake of a task that is on its way; or -1 with an exception set. */
    int (*try)(PyObject *object, PyObject *owner);

    /* Tries to end the wait; otherwise makes sure that the task is woken when that may be possible.
     * Returns as `try` does. */
    int (*claim)(golock_waiting *waiting);

    /* Ends the wait. Returns whether a condition's waiter was notified; -1 with an exception set.
     */
    int (*leave)(golock_waiting *waiting);

    /* Returns golock.sight's record of what is waited for now, or NULL: sight is off. */
    golock_object_record *(*known)(const golock_waiting *waiting);

    /* Tells golock.sight that the task has got what it waited for, after its wait; or NULL. */
    void (*taken)(const golock_waiting *waiting);
} golock_awaited;

extern PyType_Spec golock_port_spec, golock_waiting_spec, golock_awaitable_spec, golock_done_spec;

/* Returns a new awaitable, which waits for the object when it is awaited. The timeout is None or a
 * number of seconds. Returns NULL with TypeError or ValueError set for another, and with
 * MemoryError. */
PyObject *golock_await_object(const golock_state *state, const golock_awaited *kind,
                              PyObject *object, PyObject *timeout);

/* The same for this owner, which is that of a wait; NULL: the task that runs. */
PyObject *golock_await_by(const golock_state *state, const golock_awaited *kind, PyObject *object,
                          PyObject *timeout, PyObject *owner);

/* The same for an __aenter__: it has no timeout, and its awaitable gives None, as asyncio's. */
PyObject *golock_await_enter(const golock_state *state, const golock_awaited *kind,
                             PyObject *object);

/* Has golock.sight show the wait of a new awaitable as one for another object. */
void golock_await_for(PyObject *awaitable, PyObject *shown);

/* Returns a new reference to an awaitable that is done, or NULL with the exception that is set:
 * what an __aexit__ returns for the result of a release, whose reference it steals. */
PyObject *golock_await_done(const golock_state *state, PyObject *released);

/* Starts the wait of a task, so that it may enter a line. Returns 0, or -1 with an exception set.
 */
int golock_waiting_begin(golock_waiting *waiting);

/* Sets RuntimeError, for an object that cannot be awaited, and returns -1. */
int golock_refuse_to_await(PyObject *object);

/* Sets RuntimeError, for a thread that cannot be started, and returns -1. */
int golock_no_thread(void);

/* Calls a function of golock/_loops.py. Returns a new reference, or NULL with an exception set. */
PyObject *golock_call_loops(const char *function, PyObject *const *args, size_t nargs);

/* Whether an event loop runs in this thread, or -1 with an exception set. */
int golock_loop_runs(void);

/* Sets *task to a new reference to a weak reference to the task that runs in this thread, or to
 * NULL if none does. It is the same object whenever the same task runs, as long as somebody has it.
 * Returns 0, or -1 with an exception set. */
int golock_running_task(const golock_state *state, PyObject **task);

/* Makes the names that golock_running_task looks up. Returns 0, or -1 with an exception set. */
int golock_task_names(golock_state *state);

/* Reads the arguments of an asynchronous method: `timeout`. Returns 0, or -1 with TypeError set. */
int golock_parse_async(const char *function, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames, PyObject **timeout);

/* Wakes the loop that was held since golock_port_hold, for a method of `self` that returns
 * `result`. Returns it, or NULL with an exception set; steals the reference. Needs the GIL, and may
 * drop it and run Python code. */
PyObject *golock_loop_resume(PyObject *self, PyObject *result);

#endif
