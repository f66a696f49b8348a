/* When a hand-off is due: see internal/core/handoff.go. */
#ifndef GOLOCK_DUE_H
#define GOLOCK_DUE_H

#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether the hand-off to the claimant named in the word is due. For thresholds beyond what the
 * word can express the core decides. */
bool golock_due(uint32_t word);

/* Returns for how many nanoseconds newcomers may go before a claimant if that many threads wait. */
int64_t golock_tenure(int64_t threshold, int32_t waiting);

/* Returns the due bits of a word for a hand-off in `tenure` nanoseconds. */
uint32_t golock_due_after(int64_t tenure);

#endif
