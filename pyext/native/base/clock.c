#include "base/clock.h"

golock_deadline
golock_deadline_after(golock_timeout timeout)
{
    if (timeout.nanoseconds == 0) {
        return GOLOCK_DO_NOT_WAIT;
    }
    if (timeout.nanoseconds == GOLOCK_FOREVER) {
        return GOLOCK_NO_LIMIT;
    }
    int64_t now = golock_now();
    return timeout.nanoseconds > GOLOCK_FOREVER - now
               ? GOLOCK_NO_LIMIT
               : (golock_deadline){now + timeout.nanoseconds};
}
