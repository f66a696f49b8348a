#include "waiting/counters.h"

#include <string.h>

/* Waiters without a core. */
static int32_t without_core[GOLOCK_COUNTERS];

/* Those that sleep on another channel than GOLOCK_SLEEPER. */
static int32_t priority_sleepers[GOLOCK_COUNTERS];

static void
add(int32_t *counters, const uint32_t *word, int32_t number)
{
    __atomic_add_fetch(&counters[golock_counter_of(word)], number, __ATOMIC_RELAXED);
}

static int32_t
get(const int32_t *counters, const uint32_t *word)
{
    return __atomic_load_n(&counters[golock_counter_of(word)], __ATOMIC_RELAXED);
}

static int32_t *
counters_of(const struct golock_core *core)
{
    return core != NULL ? core->waiting : without_core;
}

void
golock_count(const struct golock_core *core, struct golock_waiter *waiter)
{
    if (!waiter->counted) {
        waiter->counted = true;
        add(counters_of(core), waiter->word, 1);
    }
}

void
golock_uncount(const struct golock_core *core, struct golock_waiter *waiter)
{
    if (waiter->counted) {
        waiter->counted = false;
        add(counters_of(core), waiter->word, -1);
    }
}

int32_t *
golock_count_moved(const struct golock_core *core, const uint32_t *word)
{
    int32_t *counters = counters_of(core);
    add(counters, word, 1);
    return &counters[golock_counter_of(word)];
}

void
golock_uncount_moved(int32_t *counter)
{
    if (counter != NULL) {
        __atomic_sub_fetch(counter, 1, __ATOMIC_RELAXED);
    }
}

int32_t
golock_waiting(const struct golock_core *core, const uint32_t *word)
{
    return get(counters_of(core), word);
}

void
golock_before_sleep(const struct golock_waiter *waiter)
{
    if (waiter->channel != GOLOCK_SLEEPER) {
        add(priority_sleepers, waiter->word, 1);
    }
}

void
golock_after_sleep(const struct golock_waiter *waiter)
{
    if (waiter->channel != GOLOCK_SLEEPER) {
        add(priority_sleepers, waiter->word, -1);
    }
}

int32_t
golock_priority_sleepers(const uint32_t *word)
{
    return get(priority_sleepers, word);
}

void
golock_counters_after_fork(void)
{
    memset(without_core, 0, sizeof(without_core));
    memset(priority_sleepers, 0, sizeof(priority_sleepers));
}
