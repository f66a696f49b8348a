#pragma GCC visibility push(hidden)
#include "_cgo_export.h"
#pragma GCC visibility pop

#include "table.h"

#include <pthread.h>
#include <unistd.h>

/* cgo knows no const. */
static int
serve(const struct golock_sight *sight, const char *path)
{
    return golockServe((struct golock_sight *)sight, (char *)path);
}

static struct golock_core core = {
    .magic = GOLOCK_CORE_MAGIC,
    .version = GOLOCK_VERSION,
    .try_acquire = golockTryAcquire,
    .next = golockNext,
    .stay = golockStay,
    .release = golockRelease,
    .release_semaphore = golockReleaseSemaphore,
    .set_handoff = golockSetHandoff,
    .serve = serve,
};

static void
complete(void)
{
    core.process = getpid();
    core.go_version = golockGoVersion();
    core.handoff = golockHandoff();
    core.waiting = golockWaiting();
    core.slow = golockSlow();
}

const struct golock_core *
golock_core_table(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, complete);
    return &core;
}
