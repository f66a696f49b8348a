/* What module.c needs from the primitives. */
#ifndef GOLOCK_TYPES_H
#define GOLOCK_TYPES_H

#include "base/compat.h"

#include "golock.h"

/* The types; each module makes its own. */
extern PyType_Spec golock_lock_spec;
extern PyType_Spec golock_rlock_spec;
extern PyType_Spec golock_condition_spec;
extern PyType_Spec golock_semaphore_spec;
extern PyType_Spec golock_bounded_semaphore_spec;
extern PyType_Spec golock_event_spec;
extern PyType_Spec golock_barrier_spec;
extern PyType_Spec golock_process_lock_spec;
extern PyType_Spec golock_known_lock_spec;
extern PyType_Spec golock_process_event_spec;

/* Removes _recursion_count from a type just made if the interpreter's RLock has none. 3.11.6 and
 * 3.12.1 added it (gh-109593), and one build serves all releases of a version. Returns 0, or -1
 * with an exception set. */
int golock_rlock_match(PyTypeObject *type);

/* Write and return the header of an object of that type, for struct golock_shareable. */
struct golock_header *golock_lock_share(PyObject *lock);
struct golock_header *golock_semaphore_share(PyObject *semaphore);
struct golock_header *golock_event_share(PyObject *event);

/* Return the object with that header, a borrowed reference. */
PyObject *golock_lock_from_header(struct golock_header *header);
PyObject *golock_semaphore_from_header(struct golock_header *header);
PyObject *golock_event_from_header(struct golock_header *header);

#endif
