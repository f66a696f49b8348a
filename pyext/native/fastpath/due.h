/* When the lock is to be handed to its claimant: internal/core/handoff.go. */
#ifndef GOLOCK_DUE_H
#define GOLOCK_DUE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the hand-off to the claimant named in the word is due, but for thresholds that are
 * beyond what the word can say: the core decides. */
bool golock_due(uint32_t word);

/* For how many nanoseconds newcomers may go before a claimant, where so many wait. */
int64_t golock_tenure(int64_t threshold, int32_t waiting);

/* The due bits of a word whose claimant has so many nanoseconds to come. */
uint32_t golock_due_after(int64_t tenure);

#endif
