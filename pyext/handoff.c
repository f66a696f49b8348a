/* The clock of the hand-off, for the releases that do not go to the core: see golock/handoff.go. */
#include "extension.h"
#include "fastpath.h"

bool
golock_due(uint32_t word)
{
    uint32_t units = (uint32_t)(golock_now() >> GOLOCK_DUE_UNIT);
    uint32_t left = ((word >> GOLOCK_DUE_SHIFT) - units) & ((1u << GOLOCK_DUE_BITS) - 1);
    return left == 0 || left >= 1u << (GOLOCK_DUE_BITS - 1);
}
