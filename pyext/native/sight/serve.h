/* The service: a goroutine of the core that looks for deadlocks when it is time, and answers
 * clients. It starts when sight is switched on, or with the core, when a thread first has to wait
 * for a lock; and by listen(). */
#ifndef GOLOCK_SERVE_H
#define GOLOCK_SERVE_H

#include "base/compat.h"
#include "base/state.h"
#include "sight/level.h"

#include "golock.h"

/* The core whose service runs, or NULL. Access it atomically. */
extern const struct golock_core *golock_serving;

void golock_serve_begin(const struct golock_core *core);

/* Starts the service of the core, which may be NULL, if sight is on and the service does not run.
 * Runs no Python code. Needs the GIL. */
static inline void
golock_serve_with(const struct golock_core *core)
{
    if (golock_sight_now() != GOLOCK_SIGHT_OFF && core != NULL &&
        core != __atomic_load_n(&golock_serving, __ATOMIC_RELAXED)) {
        golock_serve_begin(core);
    }
}

/* Starts the service if sight is on and the core is loaded: without it no thread has waited for a
 * lock. Ends it if sight is off and nothing listens. Returns 0, or -1 with an exception set. Needs
 * the GIL. */
int golock_serve_as_needed(void);

/* Listens for clients at the path, or nowhere if it is NULL. Returns 0, or -1 with CoreError or
 * OSError set. Needs the GIL. */
int golock_serve_at(const golock_state *state, PyObject *path);

/* Makes the service call golock_sight_look soon, if it runs. Needs no GIL. Leaves errno alone. */
void golock_serve_wake(void);

/* Ends the service. Call this when the interpreter ends. */
void golock_serve_end(void);

/* Call these around a fork. The child has no service, and closes what the parent's had open. */
void golock_serve_before_fork(void);
void golock_serve_after_fork_in_parent(void);
void golock_serve_after_fork_in_child(void);

#endif
