/* Looking at a word for a moment before sleeping on it. That pays where another processor is about to change
 * the word: to sleep and be woken takes some 20 us, most of them the kernel's. Where nothing comes, it costs
 * a processor. So each thread learns from its own waits. */
#ifndef GOLOCK_SPIN_H
#define GOLOCK_SPIN_H

#include "base/clock.h"
#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

/* A wait that may begin with a spin. In nanoseconds of golock_now. */
typedef struct {
    int64_t since;
    int64_t until; /* the spin ends; not above since where there is none */
    bool expected; /* for the last waits were short */
} golock_spin;

/* Begins a wait that must be over at the deadline. It spins for `least` nanoseconds where the last waits
 * were not short. */
golock_spin golock_spin_begin(golock_deadline deadline, int64_t least);

/* Whether the wait may spin now. */
static inline bool
golock_may_spin(const golock_spin *spin)
{
    return spin->until > spin->since;
}

/* Spins until a bit of the mask differs in the word from what it was, and returns true, or returns false
 * where that does not come in time.
 *
 * Where there is a GIL it is called without, and stays a little longer, until another thread lets go of the
 * GIL, for which the caller might sleep otherwise. Others than Python's threads, who may change a word that
 * is shared, have no GIL. */
bool golock_spin_while(const golock_spin *spin, const uint32_t *word, uint32_t was, uint32_t mask,
                       bool shared);

/* Ends the spin, when the thread has the GIL again, and what it waited for, or not. */
void golock_spin_end(golock_spin *spin, bool succeeded);

/* To be called at the end of the wait, that the next ones know how long it took. */
void golock_spin_learn(const golock_spin *spin);

/* PyEval_SaveThread; those who spin for the GIL are told. */
PyThreadState *golock_detach(void);

#endif
