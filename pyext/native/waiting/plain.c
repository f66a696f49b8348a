#include "waiting/plain.h"

#include "base/clock.h"
#include "base/futex.h"
#include "base/process.h"
#include "core/loader.h"
#include "fastpath/due.h"
#include "fastpath/fastpath.h"
#include "waiting/counters.h"
#include "waiting/tasks.h"

#include <limits.h>

/* The channels of internal/core/word.go. */
#define SLEEPERS GOLOCK_SLEEPER
#define RETURNERS 0x2u
#define CLAIMANTS 0x4u

#define DUE_MASK (((1u << GOLOCK_DUE_BITS) - 1) << GOLOCK_DUE_SHIFT)
#define NAME_MASK (GOLOCK_CLAIMANT_MASK | DUE_MASK)

/* The memory of a lock or of a semaphore. */
typedef struct {
    uint32_t *word;
    bool semaphore;
    bool shared;                    /* code outside Python may know it */
    uint32_t self;                  /* names a claimant of this process */
    const struct golock_core *core; /* or NULL */
} cell;

static cell
cell_at(uint32_t *word, bool semaphore, bool shared, const struct golock_core *core)
{
    return (cell){word, semaphore, shared, (uint32_t)golock_process << GOLOCK_CLAIMANT_SHIFT, core};
}

bool
golock_plain_applies(const struct golock_core *core)
{
    return core == NULL || (golock_plain_path && golock_threshold(core) != 0);
}

/* Returns the word and, above it, the permits: a free lock has one. */
static uint64_t
load(cell c)
{
    if (c.semaphore) {
        return __atomic_load_n((uint64_t *)c.word, __ATOMIC_ACQUIRE);
    }
    uint32_t word = __atomic_load_n(c.word, __ATOMIC_ACQUIRE);
    return word & GOLOCK_HELD ? word : GOLOCK_PERMIT | word;
}

/* Replaces the state if it is still old, and returns whether it was. */
static bool
compare_and_swap(cell c, uint64_t old, uint64_t new)
{
    if (c.semaphore) {
        return __atomic_compare_exchange_n((uint64_t *)c.word, &old, new, false, __ATOMIC_ACQ_REL,
                                           __ATOMIC_RELAXED);
    }
    uint32_t word = (uint32_t)old;
    return __atomic_compare_exchange_n(c.word, &word, (uint32_t)new, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* Returns the state with the same permits and these bits in its word. Held follows the permits. */
static uint64_t
with_flags(uint64_t state, uint32_t bits)
{
    bits &= ~GOLOCK_HELD;
    if (state < GOLOCK_PERMIT) {
        bits |= GOLOCK_HELD;
    }
    return (state & ~(GOLOCK_PERMIT - 1)) | bits;
}

static bool
has_claimant(cell c, uint32_t word)
{
    return (word & GOLOCK_CLAIMANT_MASK) == c.self;
}

/* Whether the lock is free but reserved for the claimant. */
static bool
reserved(cell c, uint32_t word)
{
    return (word & (GOLOCK_HELD | GOLOCK_HANDOFF)) == GOLOCK_HANDOFF && has_claimant(c, word);
}

/* Whether the claimant has requested the hand-off, which only a core does. */
static bool
handoff_requested(cell c, uint32_t word)
{
    const uint32_t both = GOLOCK_WAITERS | GOLOCK_HANDOFF;
    return (word & both) == both && has_claimant(c, word);
}

/* Returns the bits that name a claimant, with the time when the hand-off is due. */
static uint32_t
claimant_bits(cell c)
{
    return c.self | golock_due_after(
                        golock_tenure(golock_threshold(c.core), golock_waiting(c.core, c.word)));
}

static bool
wake(uint32_t *word, uint32_t channels)
{
    return golock_futex_wake(word, 1, channels) == 1;
}

/* Wakes the longest sleeper, returners and claimants first. Spares a system call if none of those
 * sleep; one that falls asleep just after this check could as well have done so between the two
 * calls. Goroutines are not counted. */
static bool
wake_sleeper(cell c)
{
    bool any = c.shared || golock_priority_sleepers(c.word) > 0;
    return (any && wake(c.word, RETURNERS | CLAIMANTS)) || wake(c.word, GOLOCK_ANY_CHANNEL);
}

/* Whether a thread or a goroutine may sleep on the word. A thread that has announced itself, but is
 * not counted yet, finds that the word has changed. */
static bool
some_sleep(cell c)
{
    return golock_tasks_are_foreign(c.word) || golock_waiting(NULL, c.word) != 0 ||
           golock_waiting(golock_core_loaded(), c.word) != 0;
}

/* Wakes the first waiter: a sleeper, or a task. */
static bool
wake_first(cell c)
{
    if (!golock_tasks_wait(c.word)) {
        return wake_sleeper(c);
    }
    golock_tasks_lock();
    bool woken = (golock_tasks_go_first(c.word) && golock_tasks_appoint(c.word)) ||
                 (some_sleep(c) && wake_sleeper(c)) || golock_tasks_appoint(c.word);
    golock_tasks_unlock();
    return woken;
}

/* Takes back the name of a claimant, because nobody slept who could be woken. A waiter that has
 * gone to sleep since relied on the name, so this wakes one afterwards. */
static void
take_back(cell c)
{
    for (;;) {
        uint64_t old = load(c);
        uint32_t word = (uint32_t)old;
        if (handoff_requested(c, word)) {
            return;
        }
        uint32_t bits = word & GOLOCK_HELD ? (word & ~NAME_MASK) | GOLOCK_WAITERS : 0;
        if (compare_and_swap(c, old, with_flags(old, bits))) {
            break;
        }
    }
    wake_first(c);
}

/* Wakes the claimant that the word already names. */
static void
appoint(cell c)
{
    if (!wake_first(c)) {
        take_back(c);
    }
}

/* Returns the state after a newcomer has taken a lock or a permit. A claimant stays named. */
static uint64_t
barged(cell c, uint64_t old)
{
    return with_flags(old - GOLOCK_PERMIT,
                      has_claimant(c, (uint32_t)old) ? (uint32_t)old & NAME_MASK : 0);
}

/* Returns the state after a claimant has taken a lock or a permit. If permits are left, no release
 * need follow, so the claimant names the next one itself. */
static uint64_t
claimed(cell c, uint64_t old)
{
    uint64_t new = old - GOLOCK_PERMIT;
    return with_flags(new, new < GOLOCK_PERMIT ? GOLOCK_WAITERS : claimant_bits(c));
}

bool
golock_plain_try_acquire(uint32_t *word, bool semaphore)
{
    cell c = cell_at(word, semaphore, true, NULL);
    for (;;) {
        uint64_t old = load(c);
        if ((old & GOLOCK_HELD) != 0 || reserved(c, (uint32_t)old)) {
            return false;
        }
        if (compare_and_swap(c, old, barged(c, old))) {
            return true;
        }
    }
}

/* Whether a release has to hand the lock over, which is the core's task. */
static bool
hands_over(cell c, uint32_t word)
{
    return c.core != NULL && (word & GOLOCK_HELD) && has_claimant(c, word) &&
           ((word & GOLOCK_HANDOFF) || golock_due(word));
}

/* If `named` is NULL, wakes the claimant that it names. Otherwise it sets *named and leaves the
 * wake to the caller. */
static int
release(cell c, uint32_t n, uint32_t most, bool *named)
{
    for (;;) {
        uint64_t old = load(c);
        uint32_t word = (uint32_t)old;
        if (hands_over(c, word)) {
            return GOLOCK_PASS;
        }
        if (most < n || old >> 32 > most - n) {
            return false;
        }
        uint64_t new = old + n * GOLOCK_PERMIT;
        if (!(word & GOLOCK_HELD)) {
            /* Permits were already available, so either a waiter has been woken or none sleeps. */
            if (compare_and_swap(c, old, new)) {
                return true;
            }
        } else if (has_claimant(c, word) && (word & GOLOCK_HANDOFF)) {
            if (compare_and_swap(c, old, with_flags(new, word))) {
                wake(c.word, CLAIMANTS);
                return true;
            }
        } else if (has_claimant(c, word)) {
            if (compare_and_swap(c, old, with_flags(new, word & NAME_MASK))) {
                return true;
            }
        } else if (word & (GOLOCK_HANDOFF | GOLOCK_WAITERS)) {
            uint64_t next = with_flags(new, (word & GOLOCK_HANDOFF) | claimant_bits(c));
            if (compare_and_swap(c, old, next)) {
                if (named != NULL && !(word & GOLOCK_HANDOFF)) {
                    *named = true;
                } else {
                    appoint(c);
                }
                return true;
            }
        } else if (compare_and_swap(c, old, with_flags(new, 0))) {
            return true;
        }
    }
}

int
golock_plain_release(const struct golock_core *core, uint32_t *word, bool shared, bool *named)
{
    return release(cell_at(word, false, shared, core), 1, 1, named);
}

bool
golock_plain_wake_named(uint32_t *word, bool shared)
{
    return wake_first(cell_at(word, false, shared, NULL));
}

void
golock_plain_take_back(uint32_t *word, bool shared)
{
    take_back(cell_at(word, false, shared, NULL));
}

int
golock_plain_release_semaphore(const struct golock_core *core, uint32_t *word, bool shared,
                               uint32_t n, uint32_t most)
{
    return release(cell_at(word, true, shared, core), n, most, NULL);
}

/* Ends the wait without the lock. A claimant pays its debt: it wakes another waiter, or leaves that
 * to the holder's release. */
static void
resign(cell c, struct golock_waiter *waiter)
{
    if (!waiter->designated) {
        return;
    }
    waiter->designated = false;
    for (;;) {
        uint64_t old = load(c);
        uint32_t word = (uint32_t)old;
        if (handoff_requested(c, word)) {
            return; /* that claimant has the same debt */
        }
        if (word & GOLOCK_HELD) {
            if (compare_and_swap(c, old, with_flags(old, (word & ~NAME_MASK) | GOLOCK_WAITERS))) {
                return;
            }
        } else if (compare_and_swap(c, old, with_flags(old, (word & GOLOCK_HANDOFF) | c.self))) {
            appoint(c);
            return;
        }
    }
}

/* Returns the word that the waiter may sleep on. It sets Waiters unless the claimant that the word
 * names will do so. A claimant that came too late is no claimant any more. */
static uint32_t
announced(cell c, const struct golock_waiter *waiter, uint32_t word)
{
    bool claimant_will = !(word & GOLOCK_HELD) || handoff_requested(c, word) ||
                         (has_claimant(c, word) && !waiter->designated);
    return claimant_will ? word : (word & ~NAME_MASK) | GOLOCK_WAITERS;
}

int
golock_plain_next(const struct golock_core *core, struct golock_waiter *waiter, int reason)
{
    cell c = cell_at(waiter->word, waiter->semaphore, true, core);
    waiter->designated |= reason == GOLOCK_WOKEN;
    waiter->returns |=
        reason == GOLOCK_WOKEN || reason == GOLOCK_EXPIRED || reason == GOLOCK_INTERRUPTED;
    if (reason == GOLOCK_INTERRUPTED) {
        resign(c, waiter);
        return GOLOCK_ABORTED;
    }
    /* Whether the claimant for which the lock is reserved has not come within the patience. */
    bool outlived =
        reason == GOLOCK_EXPIRED && reserved(c, waiter->value) && golock_now() < waiter->deadline;
    for (;;) {
        uint64_t old = load(c);
        uint32_t word = (uint32_t)old;
        bool may_claim = waiter->designated && !handoff_requested(c, word);
        if (!(word & GOLOCK_HELD) && (may_claim || outlived || !reserved(c, word))) {
            waiter->designated |= reserved(c, word);
            uint64_t new = waiter->designated ? claimed(c, old) : barged(c, old);
            if (!compare_and_swap(c, old, new)) {
                continue;
            }
            if (waiter->designated && new >= GOLOCK_PERMIT) {
                appoint(c);
            }
            waiter->designated = false;
            return GOLOCK_ACQUIRED;
        }
        int64_t now = golock_now();
        if (now >= waiter->deadline) {
            resign(c, waiter);
            return GOLOCK_TIMED_OUT;
        }
        if (core != NULL && may_claim) {
            return GOLOCK_PASS;
        }
        uint32_t next = announced(c, waiter, word);
        if (next == word || compare_and_swap(c, old, with_flags(old, next))) {
            bool patient = waiter->patience != 0 && waiter->patience < waiter->deadline - now;
            waiter->until = patient ? now + waiter->patience : waiter->deadline;
            waiter->value = next;
            waiter->channel = waiter->returns ? RETURNERS : SLEEPERS;
            waiter->designated = false;
            return GOLOCK_PARK;
        }
    }
}

bool
golock_plain_stay(struct golock_waiter *waiter)
{
    cell c = cell_at(waiter->word, waiter->semaphore, true, NULL);
    uint32_t word = (uint32_t)load(c);
    if ((!(word & GOLOCK_HELD) && !has_claimant(c, word)) || announced(c, waiter, word) != word) {
        return false;
    }
    waiter->value = word;
    return true;
}

/* Announces a waiter that sleeps already, or is about to, as it would do itself. Returns the word
 * on which it may sleep. */
static uint32_t
announce_another(cell c)
{
    const struct golock_waiter another = {.word = c.word};
    for (;;) {
        uint64_t old = load(c);
        uint32_t word = (uint32_t)old, next = announced(c, &another, word);
        if ((word & GOLOCK_HELD) || has_claimant(c, word)) {
            if (next == word || compare_and_swap(c, old, with_flags(old, next))) {
                return next;
            }
        } else {
            uint64_t named = with_flags(old, (word & GOLOCK_HANDOFF) | claimant_bits(c));
            if (compare_and_swap(c, old, named)) {
                appoint(c); /* no release follows that would wake it */
                return (uint32_t)named;
            }
        }
    }
}

bool
golock_plain_move(const struct golock_core *core, uint32_t *from, uint32_t value, uint32_t *word,
                  bool shared)
{
    long moved = golock_futex_move(from, value, 1, word);
    if (moved > 0) {
        announce_another(cell_at(word, false, shared, core));
    } else if (moved < 0) { /* a sandbox may forbid the call */
        wake(from, GOLOCK_ANY_CHANNEL);
    }
    return moved > 0;
}

uint32_t
golock_plain_announce(uint32_t *word, bool semaphore)
{
    return announce_another(cell_at(word, semaphore, true, golock_core_loaded()));
}

void
golock_plain_pass_claim(uint32_t *word, bool semaphore)
{
    struct golock_waiter absent = {.word = word, .designated = true};
    resign(cell_at(word, semaphore, true, golock_core_loaded()), &absent);
}

void
golock_plain_remind(uint32_t *word, bool semaphore)
{
    golock_tasks_lock();
    if (golock_tasks_wait(word)) {
        announce_another(cell_at(word, semaphore, true, golock_core_loaded()));
    }
    golock_tasks_unlock();
}

/* Returns the word that a task may wait on. One that has been the claimant, or any if the order is
 * strict, asks for the lock: the next release lets no newcomer in. */
static uint32_t
announced_for(cell c, const golock_task *task, bool designated, uint32_t word)
{
    const struct golock_waiter waiter = {.designated = designated};
    uint32_t next = announced(c, &waiter, word);
    int64_t threshold = golock_threshold(c.core);
    if ((next & GOLOCK_HELD) && !handoff_requested(c, next) &&
        (threshold == 0 || (task->returns && golock_now() - task->since >= threshold))) {
        next |= GOLOCK_HANDOFF;
    }
    return next;
}

/* Whether a task that newly comes may go before a claimant. Each release of a thread looks at the
 * clock, but a claimant of the same loop cannot even ask for the lock while the newcomer runs. */
static bool
may_barge(cell c, uint32_t word)
{
    return !golock_tasks_come(c.word) || (has_claimant(c, word) && !golock_due(word));
}

bool
golock_plain_may_barge(const uint32_t *word)
{
    cell c = cell_at((uint32_t *)word, false, true, NULL);
    return may_barge(c, __atomic_load_n(word, __ATOMIC_RELAXED));
}

/* Takes a free lock for the claimant. Returns whether it could. */
static bool
claim_at_once(cell c)
{
    uint64_t old = load(c);
    while (!((uint32_t)old & GOLOCK_HELD) && !handoff_requested(c, (uint32_t)old)) {
        uint64_t new = claimed(c, old);
        if (compare_and_swap(c, old, new)) {
            if (new >= GOLOCK_PERMIT) {
                appoint(c);
            }
            return true;
        }
        old = load(c);
    }
    return false;
}

/* The task is in the line before it looks at the word, so a release that it does not see sees it.
 * It may become the claimant once more meanwhile, and then has two debts. */
int
golock_plain_claim(golock_task *task)
{
    cell c = cell_at(task->word, task->kind == GOLOCK_TASK_PERMIT, true, golock_core_loaded());
    bool designated = golock_task_leave(task);
    if (designated && claim_at_once(c)) {
        return 1;
    }
    if (!golock_task_enter(task)) {
        struct golock_waiter gone = {.word = task->word, .designated = designated};
        resign(c, &gone);
        return -1;
    }
    for (;;) {
        uint64_t old = load(c);
        uint32_t word = (uint32_t)old;
        bool may_claim = designated && !handoff_requested(c, word);
        if (!(word & GOLOCK_HELD) && (may_claim || !reserved(c, word))) {
            if (!designated && !may_barge(c, word) && golock_task_give_way(task)) {
                return 0;
            }
            uint64_t new = designated ? claimed(c, old) : barged(c, old);
            if (!compare_and_swap(c, old, new)) {
                continue;
            }
            struct golock_waiter again = {.word = task->word,
                                          .designated = golock_task_leave(task)};
            if (designated && new >= GOLOCK_PERMIT) {
                appoint(c);
            }
            resign(c, &again);
            return 1;
        }
        uint32_t next = announced_for(c, task, designated, word);
        if (next == word || compare_and_swap(c, old, with_flags(old, next))) {
            return 0;
        }
    }
}

void
golock_plain_resign(golock_task *task)
{
    struct golock_waiter waiter = {.word = task->word, .designated = golock_task_leave(task)};
    resign(cell_at(task->word, task->kind == GOLOCK_TASK_PERMIT, true, golock_core_loaded()),
           &waiter);
}

void
golock_wake_all(uint32_t *word)
{
    /* This changes the due time, so the kernel lets nobody sleep on the old word. */
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    uint32_t new;
    do {
        new = (old & ~DUE_MASK) | ((old + (1u << GOLOCK_DUE_SHIFT)) & DUE_MASK);
    } while (
        !__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    golock_futex_wake(word, INT_MAX, GOLOCK_ANY_CHANNEL);
    if (golock_tasks_wait(word)) {
        golock_tasks_wake_all(word);
    }
}
