/* Waiting at a condition in place of something else. */
#ifndef GOLOCK_CONDITION_H
#define GOLOCK_CONDITION_H

#include "base/compat.h"
#include "waiting/notify.h"

/* For objects that are being opened, and whose interpreter's algorithm waits at a condition.
 * golock_condition_add makes the field _cond a condition over a Lock (NULL: a new one), native whatever has
 * been done to its class, and returns a new reference to it, or NULL with an exception set.
 * golock_condition_adopt lets those who listen elsewhere listen to it. golock_condition_resume waits on for
 * one of them, and returns as golock_await does, but with the lock taken, for which golock_condition_unlock
 * is to be called. */
PyObject *golock_condition_add(PyObject *self, PyObject *fields, PyObject *lock);
void golock_condition_adopt(PyObject *condition, golock_listeners *from);
int golock_condition_resume(golock_listener *listener, golock_deadline deadline);
void golock_condition_unlock(golock_listener *listener);

/* Ends the wait of such a listener, whose thread does not wait at the condition any more: a notification goes
 * to the next. Takes the lock and frees it. An exception that is set stays so. */
void golock_condition_abandon(golock_listener *listener);

/* Ends the wait of such a listener, of which golock_await returned `result`; an exception that is set stays
 * so. The lock is taken. */
void golock_condition_finish(golock_listener *listener, int result);

#endif
