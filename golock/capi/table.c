#include "_cgo_export.h"

/* Returns the core's table of functions. The first call from any thread waits until the Go runtime
 * has started. */
const struct golock_core *
golock_core_2(void)
{
    static struct golock_core core = {
        .try_acquire = golockTryAcquire,
        .next = golockNext,
        .stay = golockStay,
        .release = golockRelease,
        .release_semaphore = golockReleaseSemaphore,
        .listen = golockListen,
        .notify = golockNotify,
        .withdraw = golockWithdraw,
        .set_handoff = golockSetHandoff,
    };
    if (core.go_version == NULL) {
        core.go_version = golockGoVersion();
    }
    return &core;
}
