#include "sight/level.h"

#include "base/clock.h"
#include "base/compat.h"
#include "fastpath/fastpath.h"
#include "sight/across.h"
#include "sight/goroutines.h"
#include "sight/intern.h"
#include "sight/objects.h"
#include "sight/order.h"
#include "sight/profile.h"
#include "sight/tasks.h"
#include "sight/threads.h"

#include <sched.h>

int golock_sight = GOLOCK_SIGHT_OFF;
int64_t golock_sight_started;

static bool locked;

static void
lock(void)
{
    while (__atomic_exchange_n(&locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void
unlock(void)
{
    __atomic_store_n(&locked, false, __ATOMIC_RELEASE);
}

void
golock_set_level(int level)
{
    lock();
    const int before = golock_sight_now();
    const bool records = level >= GOLOCK_SIGHT_OWNERS;
    const bool recorded = before >= GOLOCK_SIGHT_OWNERS;
    if (before == GOLOCK_SIGHT_OFF && level != GOLOCK_SIGHT_OFF) {
        golock_profile_clear();
        __atomic_store_n(&golock_sight_started, golock_now(), __ATOMIC_RELAXED);
    }
    if (records != recorded) {
        /* Whoever sees the level below finds the fast paths off, so that no lock whose owner is
         * recorded is released without notice. */
        __atomic_store_n(&golock_fastpath, false, __ATOMIC_RELAXED);
        if (records) {
            golock_across_record_owners(true);
        }
        golock_next_generation();
    }
    if (level >= GOLOCK_SIGHT_ORDER && before < GOLOCK_SIGHT_ORDER) {
        golock_order_start();
    }
    __atomic_store_n(&golock_sight, level, __ATOMIC_RELEASE);
    __atomic_store_n(&golock_fastpath, golock_plain_path && !records, __ATOMIC_RELEASE);
    if (recorded && !records) {
        golock_across_record_owners(false);
    }
    golock_goroutines_level();
    unlock();
    if (before != GOLOCK_SIGHT_OFF && level == GOLOCK_SIGHT_OFF) {
        Py_AddPendingCall(golock_drop_references, NULL);
    }
}

/* Objects of the main interpreter are referred to. */
int
golock_drop_references(void *Py_UNUSED(ignored))
{
    if (golock_sight_now() == GOLOCK_SIGHT_OFF &&
        PyInterpreterState_Get() == PyInterpreterState_Main()) {
        golock_intern_stop();
        golock_threads_stop();
        golock_sight_tasks_stop();
    }
    return 0;
}

void
golock_level_before_fork(void)
{
    lock();
}

void
golock_level_after_fork(void)
{
    unlock();
}
