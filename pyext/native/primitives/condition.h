/* Waiting at a condition, for waits that began at another object. */
#ifndef GOLOCK_CONDITION_H
#define GOLOCK_CONDITION_H

#include "base/compat.h"
#include "waiting/notify.h"

/* For objects that are opened and whose interpreter's algorithm waits at a condition.
 *
 * golock_condition_add sets the field _cond to a new native condition over a Lock, or over a new
 * Lock if it is NULL; it is native even if its class was changed. Returns a new reference, or NULL
 * with an exception set. golock_condition_adopt moves all listeners of another object to the
 * condition. golock_condition_resume continues the wait of one of them. It returns as golock_await
 * does, but with the condition's lock held, which golock_condition_unlock releases. */
PyObject *golock_condition_add(PyObject *self, PyObject *fields, PyObject *lock);
void golock_condition_adopt(PyObject *condition, golock_listeners *from);
int golock_condition_resume(golock_listener *listener, golock_deadline deadline);
void golock_condition_unlock(golock_listener *listener);

/* Ends the wait of such a listener, whose thread waits no longer; a notification goes to the next.
 * Takes and releases the lock. Preserves an exception that is set. */
void golock_condition_abandon(golock_listener *listener);

/* Ends the wait of such a listener for which golock_await returned `result`. The lock is held.
 * Preserves an exception that is set. */
void golock_condition_finish(golock_listener *listener, int result);

#endif
