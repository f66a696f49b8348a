#include "fastpath/due.h"

#include "base/clock.h"
#include "golock.h"

#define DUE_MASK ((1u << GOLOCK_DUE_BITS) - 1)
#define DUE_LIMIT ((int64_t)((1u << (GOLOCK_DUE_BITS - 1)) - 1) << GOLOCK_DUE_UNIT)

bool
golock_due(uint32_t word)
{
    uint32_t units = (uint32_t)(golock_now() >> GOLOCK_DUE_UNIT);
    uint32_t left = ((word >> GOLOCK_DUE_SHIFT) - units) & DUE_MASK;
    return left == 0 || left >= 1u << (GOLOCK_DUE_BITS - 1);
}

int64_t
golock_tenure(int64_t threshold, int32_t waiting)
{
    threshold = threshold < DUE_LIMIT ? threshold : DUE_LIMIT;
    int64_t round = GOLOCK_LONGEST_ROUND * threshold / (waiting > 1 ? waiting : 1);
    int64_t longest = GOLOCK_LONGEST_TENURE * threshold;
    return round < threshold ? threshold : round < longest ? round : longest;
}

uint32_t
golock_due_after(int64_t tenure)
{
    int64_t at = golock_now() + (tenure < DUE_LIMIT ? tenure : DUE_LIMIT);
    return ((uint32_t)(at >> GOLOCK_DUE_UNIT) & DUE_MASK) << GOLOCK_DUE_SHIFT;
}
