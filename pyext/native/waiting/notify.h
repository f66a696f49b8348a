#ifndef GOLOCK_NOTIFY_H
#define GOLOCK_NOTIFY_H

#include "base/clock.h"
#include "base/compat.h"
#include "sight/waits.h"
#include "waiting/acquire.h"

#include <stdbool.h>
#include <stdint.h>

/* A wait for a notification. */
typedef struct golock_listener {
    struct golock_listener *previous, *next;
    struct golock_listeners *listeners; /* the list that it is in, or NULL */
    struct golock_listener *outer;      /* of the wait that a signal handler interrupted, or NULL */
    PyObject *condition;                /* to which it was moved; a reference */
    PyObject *lock;                     /* a reference; with GOLOCK_OPENED it waits for this lock */
    struct golock_mutex *mutex;         /* the lock's */
    struct golock_task *task;           /* which listens, or NULL: a thread */
    struct golock_listeners *home;      /* where the task listens */
    uint64_t arrival;                   /* its number; 0: before any task listened there */
    uint64_t before; /* those with a number below this one may get the task's notification */
    bool lapsed;     /* the task's loop does not respond, and nobody else was there to notify */
    uint32_t notification;      /* or GOLOCK_SPINNING, or 0: the thread sleeps on this word */
    bool woken;                 /* by a release of the lock to whose word it was moved */
    int32_t *counter;           /* which counted it there, or NULL */
    golock_wait_record *record; /* of the wait, or NULL */
} golock_listener;

/* The listeners of one object, in the order of arrival. All zero at first. The GIL guards it;
 * without a GIL it has a lock. */
typedef struct golock_listeners {
    golock_listener *first, *last;
    uint32_t length;
    uint32_t process; /* whose listeners they are: fork copies the list but not the threads */
    golock_listener *lapsed; /* tasks with notifications that others may take */
    bool tasks; /* a task has listened here: the mutex of the tasks guards the list too */
#ifdef Py_GIL_DISABLED
    bool locked;
#endif
} golock_listeners;

/* The notifications: go on; the barrier is broken; wait for your lock; go on, and you may have been
 * moved to the word of the lock that you take next. */
enum { GOLOCK_NOTIFIED = 1, GOLOCK_BROKEN, GOLOCK_OPENED, GOLOCK_MOVED };

/* Instead of a notification: the listener is awake and polls for one. */
#define GOLOCK_SPINNING UINT32_MAX

struct golock_mutex;

#define GOLOCK_EVERYONE UINT32_MAX

/* Returns a new listener, or NULL with MemoryError set. The calling thread owns it and frees it
 * after the wait. If the interpreter ends while the thread sleeps, nobody frees it. */
golock_listener *golock_listener_new(void);
void golock_listener_free(golock_listener *listener);

/* Returns the number of listeners, without those copied by fork. */
uint32_t golock_count_listeners(golock_listeners *listeners);

/* Appends a listener. */
void golock_listen(golock_listeners *listeners, golock_listener *listener);

/* Waits for a notification until the deadline. `object` is the record of the condition or the
 * barrier, or NULL: the wait is not recorded. Needs the GIL, and drops it while it waits. Wakes
 * `unwoken`, unless it is NULL, first; then it looks for no signals before it sleeps.
 *
 * Returns the notification; GOLOCK_NOTIFIED also for GOLOCK_MOVED, and for GOLOCK_OPENED once it
 * has got the lock. Returns 0 when the deadline has passed, and -1 with an exception set when a
 * signal handler raised. In both cases a notification may still arrive until the listener is
 * withdrawn. */
int golock_await(golock_listener *listener, golock_object_record *object, golock_deadline deadline,
                 const golock_unwoken *unwoken);

/* Removes the listener from its list. Returns the notification that it got, or 0. */
uint32_t golock_withdraw(golock_listener *listener);

/* The same for a thread that waits at an object for something else than a notification. Returns
 * false, and does nothing, if the object was opened and the listener moved to a condition. */
bool golock_withdraw_native(PyObject *object, golock_listener *listener);

/* Notifies the first n listeners. Where they take a lock next, `lock` is that lock, and they are
 * moved to its word instead of being woken: its releases wake them. Otherwise `lock` is NULL. */
void golock_notify(golock_listeners *listeners, uint32_t n, uint32_t notification,
                   struct golock_mutex *lock);

/* The notification of a task is its own once its wait has ended. Until then it lapses when the loop
 * does not respond: it goes to the first listener that had arrived before it was sent and can
 * respond, and the task listens again. If there is none, the task keeps it until one responds.
 *
 * golock_listener_resumes says that the loop runs the task, and returns the notification, or 0. It
 * does not lapse until golock_listener_suspends. */
uint32_t golock_listener_resumes(golock_listener *listener);
void golock_listener_suspends(golock_listener *listener);

/* With the mutex of the tasks. */
static inline bool
golock_is_notified(const golock_listener *listener)
{
    return __atomic_load_n(&listener->notification, __ATOMIC_RELAXED) != 0;
}

/* With the mutex of the tasks: the task's loop does not respond. */
void golock_let_notification_lapse(golock_listener *listener);

/* Moves all listeners to a condition that has none. */
void golock_move_listeners(golock_listeners *from, golock_listeners *to, PyObject *condition);

/* Removes all listeners without notifying them. Their waits go on. */
void golock_forget_listeners(golock_listeners *listeners);

/* Call this in a child process. The waits that the forking signal handler interrupted go on
 * there. */
void golock_listen_after_fork(void);

#endif
