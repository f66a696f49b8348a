#ifndef GOLOCK_KNOWN_LOCK_H
#define GOLOCK_KNOWN_LOCK_H

#include "base/compat.h"
#include "sight/across.h"

/* Returns what golock.sight asks of an instance of KnownLock. */
golock_across *golock_known_lock_across(PyObject *lock);

#endif
