#include "base/clock.h"

#include "golock.h"

int64_t
golock_deadline_after(int64_t timeout)
{
    if (timeout < 0) {
        return GOLOCK_FOREVER;
    }
    int64_t at = golock_now();
    return timeout > GOLOCK_FOREVER - at ? GOLOCK_FOREVER : at + timeout;
}
