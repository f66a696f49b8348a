/* The core of this process. */
#ifndef GOLOCK_LOADER_H
#define GOLOCK_LOADER_H

#include "base/compat.h"
#include "base/state.h"

#include <stdbool.h>
#include <stdint.h>

#include "golock.h"

/* Finds the core beside the module's file, and checks it. Returns 0, or -1 with ImportError set. */
int golock_core_locate(PyObject *module);

/* False with GOLOCK_CORE=0 in the environment, for tests: golock_core_load and golock_core_get
 * return NULL. */
extern bool golock_core_wanted;

/* Returns the core's table, and loads the core if this process has none. Returns NULL, without an
 * exception, if it cannot be loaded or is still starting: then threads wait without it. Needs the
 * GIL. The first failure issues a warning, which may run any Python code, so call it before
 * announcing or owing anything.
 * The table is valid until the process forks: ask again after running Python code.
 *
 * A thread may call the table's functions only after golock_core_bind has returned true in that
 * thread: there was memory for its first call. golock_core_bind runs no Python code. */
const struct golock_core *golock_core_load(void);
bool golock_core_bind(const struct golock_core *table);

/* Does both. Returns NULL if either fails. */
const struct golock_core *golock_core_get(void);

/* The same for callers that need a core: it waits until the core has started, without the GIL, and
 * runs signal handlers meanwhile. NULL comes with an exception set: CoreError, or a handler's. */
const struct golock_core *golock_core_require(const golock_state *state);

/* Returns the core's table, or NULL if this process has none, or one that is still starting. */
const struct golock_core *golock_core_loaded(void);

/* The same, and notices that a core that was starting has started. Needs the GIL, and runs no
 * Python code. */
const struct golock_core *golock_core_started(void);

/* Makes a core that other code has loaded into this process the one that its threads use. The
 * address may be invalid. Returns 0, or -1 with CoreError set if there is no core, it has another
 * version or belongs to a parent process, or threads use another core already. */
int golock_core_use(const golock_state *state, const struct golock_core *table);

/* Sets the hand-off threshold of the core, loaded or not. Returns 0, or -1 with MemoryError set. */
int golock_core_set_handoff(int64_t nanoseconds);
int64_t golock_core_handoff(void);

/* Returns the threshold of this core, which may have its own, or golock_core_handoff() if it is
 * NULL. */
int64_t golock_threshold(const struct golock_core *table);

/* Returns a new dict that describes the core, or NULL with an exception set. */
PyObject *golock_core_describe(void);

/* The loader's part of a fork: before it, after it in the parent, after it in the child. */
void golock_core_before_fork(void);
void golock_core_after_fork_in_parent(void);
void golock_core_after_fork_in_child(void);

#endif
