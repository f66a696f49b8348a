/* Waiting for a notification. */
#ifndef GOLOCK_NOTIFY_H
#define GOLOCK_NOTIFY_H

#include "base/clock.h"
#include "base/compat.h"
#include "waiting/acquire.h"

#include <stdbool.h>
#include <stdint.h>

/* A wait for a notification. */
typedef struct golock_listener {
    struct golock_listener *previous, *next;
    struct golock_listeners *listeners; /* among which it stands, or NULL */
    struct golock_listener *outer;      /* the thread's wait below, in whose signal handler this one began */
    PyObject *condition;                /* to which it was moved, and which it keeps alive */
    PyObject *lock;                     /* GOLOCK_OPENED: what it waits on from now on */
    struct golock_mutex *mutex;         /* the lock's */
    uint32_t notification; /* what it was told, or 0, on which the thread sleeps, or GOLOCK_SPINNING */
    bool woken;            /* on the word of the lock to which it was moved */
    int32_t *counter;      /* where it was counted then, or NULL */
} golock_listener;

/* Those who wait at one object, first come first. All zero at first. Guarded by the GIL, or else by a lock of
 * their own. */
typedef struct golock_listeners {
    golock_listener *first, *last;
    uint32_t length;
    uint32_t process; /* that they belong to: fork copies the list, and not those in it */
#ifdef Py_GIL_DISABLED
    bool locked;
#endif
} golock_listeners;

/* What a listener is told: to go on; that the barrier is broken; to wait on its lock; to go on, and that it
 * may have been moved to the word of the lock that it is to take. */
enum { GOLOCK_NOTIFIED = 1, GOLOCK_BROKEN, GOLOCK_OPENED, GOLOCK_MOVED };

/* In the place of what it was told: it is awake, and looks for that. */
#define GOLOCK_SPINNING UINT32_MAX

struct golock_mutex;

#define GOLOCK_EVERYONE UINT32_MAX

/* Returns a new one, or NULL with MemoryError set. It belongs to the calling thread, which frees it when it
 * has waited: unless the interpreter ends while it sleeps, and with it the thread. */
golock_listener *golock_listener_new(void);
void golock_listener_free(golock_listener *listener);

/* How many there are. Those that were copied by fork do not count. */
uint32_t golock_count_listeners(golock_listeners *listeners);

/* Puts a listener behind all others. */
void golock_listen(golock_listeners *listeners, golock_listener *listener);

/* Waits to be told something, and returns it: GOLOCK_NOTIFIED also where it was told GOLOCK_MOVED, or was
 * told GOLOCK_OPENED and then got the lock. Returns 0 when the deadline has passed, -1 with an exception set
 * when a signal handler raised; it can still be told something then, until it is withdrawn. Needs the GIL,
 * and drops it while it waits. It wakes `unwoken` (or NULL) first, and then looks for no signals before it
 * sleeps. */
int golock_await(golock_listener *listener, golock_deadline deadline, const golock_unwoken *unwoken);

/* Ends the wait. Returns what was told, or 0. */
uint32_t golock_withdraw(golock_listener *listener);

/* Ends the wait of one that listens to an object in vain, unless it was moved to a condition when the object
 * was opened: then returns false. */
bool golock_withdraw_native(PyObject *object, golock_listener *listener);

/* Tells up to n of them, those that came first. Those that are to take `lock`, unless it is NULL, are moved
 * to its word rather than woken: its releases wake them. */
void golock_notify(golock_listeners *listeners, uint32_t n, uint32_t notification, struct golock_mutex *lock);

/* Moves all listeners to those of a condition, of which there are none. */
void golock_move_listeners(golock_listeners *from, golock_listeners *to, PyObject *condition);

/* Forgets all of them. They wait on, as those of a condition that is initialized again. */
void golock_forget_listeners(golock_listeners *listeners);

/* To be called in a child process. The waits below the signal handler that has forked go on in it. */
void golock_listen_after_fork(void);

#endif
