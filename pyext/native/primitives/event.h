#ifndef GOLOCK_EVENT_H
#define GOLOCK_EVENT_H

#include "base/compat.h"
#include "sight/objects.h"

/* Event.wait(timeout), which golock.sight shows as a wait for another object, if there is one.
 * Returns a new reference, or NULL with an exception set. */
PyObject *golock_event_wait_for(PyObject *event, PyObject *timeout, golock_object_record *object);

/* Event.wait_async(timeout), which golock.sight shows as a wait for a KnownLock. Returns a new
 * reference, or NULL with an exception set. */
PyObject *golock_event_await_for(PyObject *event, PyObject *timeout, PyObject *known);

#endif
