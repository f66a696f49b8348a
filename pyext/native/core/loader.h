/* The core of this process. */
#ifndef GOLOCK_LOADER_H
#define GOLOCK_LOADER_H

#include "base/compat.h"
#include "base/state.h"

#include <stdbool.h>
#include <stdint.h>

#include "golock.h"

/* Remembers where the core lies, after checking that a core lies there. Returns 0, or -1 with
 * ImportError set. */
int golock_core_locate(PyObject *module);

/* False with GOLOCK_CORE=0 in the environment, for tests: golock_core_load and golock_core_get return NULL.
 */
extern bool golock_core_wanted;

/* Returns the core's table; loads the core if this process has none yet. Needs the GIL. Returns NULL, without
 * an exception, when it cannot be had: then threads wait without it. The first time it warns, which may run
 * any Python code: so it is called before the caller announces or owes anything. The table stays valid until
 * the process forks: ask again after running any Python code.
 *
 * A thread calls the table's functions only if golock_core_bind has returned true for it in that thread:
 * there was memory for the first call. It runs no Python code. */
const struct golock_core *golock_core_load(void);
bool golock_core_bind(const struct golock_core *table);

/* Does both. */
const struct golock_core *golock_core_get(void);

/* The same for callers that cannot do without: NULL comes with CoreError set. */
const struct golock_core *golock_core_require(const golock_state *state);

/* Returns the core's table, or NULL if this process has none. */
const struct golock_core *golock_core_loaded(void);

/* Makes a core that others have loaded into this process the one that its threads wait by. The address may be
 * anything. Returns 0, or -1 with CoreError set when there is no core, or one of another version or of a
 * parent process, or threads wait by another already. */
int golock_core_use(const golock_state *state, const struct golock_core *table);

/* Sets the hand-off threshold of the core, loaded or not. Returns 0, or -1 with MemoryError set. */
int golock_core_set_handoff(int64_t nanoseconds);
int64_t golock_core_handoff(void);

/* The threshold of this core, which may have one of its own, or if it is NULL what golock_core_handoff says.
 */
int64_t golock_threshold(const struct golock_core *table);

/* Returns a new dict that describes the core, or NULL with an exception set. */
PyObject *golock_core_describe(void);

/* The loader's part of a fork: before it, after it in the parent, after it in the child. */
void golock_core_before_fork(void);
void golock_core_after_fork_in_parent(void);
void golock_core_after_fork_in_child(void);

#endif
