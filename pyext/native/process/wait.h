/* How a Python thread waits for a lock across processes. */
#ifndef GOLOCK_PROCESS_WAIT_H
#define GOLOCK_PROCESS_WAIT_H

#include "base/clock.h"
#include "base/compat.h"
#include "process/page.h"

#include <stdbool.h>

enum golock_page_outcome {
    GOLOCK_PAGE_FAILED = -1, /* with an exception set */
    GOLOCK_PAGE_TIMED_OUT,
    GOLOCK_PAGE_ACQUIRED,
    GOLOCK_PAGE_ABANDONED, /* the last holder died, and the caller refuses such a lock */
};

/* Takes a slot if this process has none. Returns 0, or -1 with OSError set. Needs the GIL. */
int golock_page_enter(golock_page *page);

/* Takes the lock, and waits for it until the deadline. Needs the GIL, and drops it while it waits.
 * The caller keeps the page. */
enum golock_page_outcome golock_page_acquire(golock_page *page, golock_deadline deadline,
                                             bool refuses);

#endif
