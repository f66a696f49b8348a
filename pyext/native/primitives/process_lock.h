#ifndef GOLOCK_PROCESS_LOCK_H
#define GOLOCK_PROCESS_LOCK_H

#include "base/compat.h"
#include "sight/across.h"

/* Returns what golock.sight asks of an instance of ProcessLock. */
golock_across *golock_process_lock_across(PyObject *lock);

#endif
