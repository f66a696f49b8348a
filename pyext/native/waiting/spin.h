/* Polling a word for a moment before sleeping on it. This pays if another processor is about to
 * change the word: to sleep and be woken takes some 20 us, mostly in the kernel. Otherwise it
 * wastes a processor. So each thread learns from its own waits. */
#ifndef GOLOCK_SPIN_H
#define GOLOCK_SPIN_H

#include "base/clock.h"
#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

/* A wait that may begin with a spin. Moments of golock_now. */
typedef struct {
    int64_t since;
    int64_t until; /* the spin ends; not after `since` if there is none */
    bool expected; /* the last waits were short */
} golock_spin;

/* Begins a wait with that deadline. It spins for `least` nanoseconds if the last waits were not
 * short. */
golock_spin golock_spin_begin(golock_deadline deadline, int64_t least);

static inline bool
golock_may_spin(const golock_spin *spin)
{
    return spin->until > spin->since;
}

/* Spins until a bit of the mask differs between the word and `was`. Returns false if that does not
 * happen in time.
 *
 * Call it without the GIL. After a change it goes on for a little until another thread drops the
 * GIL, for which the caller would have to sleep otherwise; not if the word is `shared`, because
 * then the change may come from code that has no GIL. */
bool golock_spin_while(const golock_spin *spin, const uint32_t *word, uint32_t was, uint32_t mask,
                       bool shared);

/* Ends the spin. Needs the GIL. `succeeded` says whether the thread got what it waited for. */
void golock_spin_end(golock_spin *spin, bool succeeded);

/* Call this at the end of the wait, so that the next waits know how long it took. */
void golock_spin_learn(const golock_spin *spin);

/* PyEval_SaveThread, which also informs those that spin for the GIL. */
PyThreadState *golock_detach(void);

#endif
