#include "process/cell.h"

#include "base/clock.h"
#include "core/loader.h"
#include "process/futex.h"

#include <limits.h>

#define SLEEPER (1u << 0)
#define RETURNER (1u << 1)
#define CLAIMANT (1u << 2)
#define ANY_CHANNEL 0xFFFFFFFFu

#define FLAGS (GOLOCK_PAGE_WAITERS | GOLOCK_PAGE_CLAIMED | GOLOCK_PAGE_HANDOFF)

/* Nanoseconds for which a newcomer trusts a reservation. */
#define PATIENCE 20000000

/* The longest tenure in nanoseconds. A due time further away was left by somebody whose clock is
 * another, in another time namespace. */
#define LONGEST_TENURE 8000000

#define RELEASES_PER_CHECK 16

/* Returns the cell with these flags. */
static uint64_t
with_flags(uint64_t cell, uint32_t flags)
{
    return (cell & ~(uint64_t)FLAGS) | flags;
}

static uint64_t
without_holder(uint64_t cell)
{
    return cell & ~(uint64_t)GOLOCK_PAGE_HOLDER_MASK;
}

static bool
claimed(uint64_t cell)
{
    return cell & GOLOCK_PAGE_CLAIMED;
}

static bool
handoff_requested(uint64_t cell)
{
    return ((uint32_t)cell & FLAGS) == FLAGS;
}

static bool
reserved(uint64_t cell)
{
    return golock_cell_holder(cell) == 0 && claimed(cell) && (cell & GOLOCK_PAGE_HANDOFF);
}

bool
golock_cell_locked(uint64_t cell)
{
    return golock_cell_holder(cell) != 0 || reserved(cell);
}

/* When the hand-off to a claimant is due. It is written before the claimant is named. */
static void
set_due(golock_page *page)
{
    int64_t tenure = golock_core_handoff();
    tenure = tenure < LONGEST_TENURE ? tenure : LONGEST_TENURE;
    __atomic_store_n(&page->memory->due, golock_now() + tenure, __ATOMIC_RELAXED);
}

static bool
due(const golock_page *page)
{
    int64_t left = __atomic_load_n(&page->memory->due, __ATOMIC_RELAXED) - golock_now();
    return left <= 0 || left > LONGEST_TENURE;
}

static bool
wake(golock_page *page, uint32_t channels)
{
    return golock_shared_wake(golock_cell_word(page), 1, channels) == 1;
}

static bool
wake_first(golock_page *page)
{
    return wake(page, RETURNER | CLAIMANT) || wake(page, ANY_CHANNEL);
}

/* Wakes a sleeper, which becomes the claimant that the word already names. If nobody sleeps, it
 * takes the name back. Newcomers that have gone to sleep since relied on the name, so it wakes one
 * of them afterwards. */
static void
appoint(golock_page *page)
{
    if (wake_first(page)) {
        return;
    }
    for (;;) {
        uint64_t old = golock_cell_load(page);
        if (handoff_requested(old)) {
            return;
        }
        uint32_t flags = 0;
        if (golock_cell_holder(old) != 0) {
            flags = ((uint32_t)old & GOLOCK_PAGE_HANDOFF) | GOLOCK_PAGE_WAITERS;
        }
        if (golock_cell_swap(page, old, with_flags(old, flags))) {
            break;
        }
    }
    wake_first(page);
}

/* Names a claimant in a free lock, and wakes it. Returns false if the cell is not `old`. */
static bool
swap_and_appoint(golock_page *page, uint64_t old, uint64_t next)
{
    set_due(page);
    golock_cell_owes(page, true);
    bool swapped = golock_cell_swap(page, old, next);
    if (swapped) {
        appoint(page);
    }
    golock_cell_owes(page, false);
    return swapped;
}

bool
golock_cell_release(golock_page *page)
{
    const bool check =
        __atomic_fetch_add(&page->releases, 1, __ATOMIC_RELAXED) % RELEASES_PER_CHECK == 0;
    for (;;) {
        uint64_t old = golock_cell_load(page);
        uint64_t next = without_holder(old);
        if (golock_cell_holder(old) == 0) {
            return false;
        }
        if (claimed(old) && ((old & GOLOCK_PAGE_HANDOFF) || (check && due(page)))) {
            golock_cell_owes(page, true);
            bool released = golock_cell_swap(page, old, next | GOLOCK_PAGE_HANDOFF);
            if (released) {
                /* If the claimant is awake, nobody sleeps on this channel, and it will come. */
                wake(page, CLAIMANT);
            }
            golock_cell_owes(page, false);
            if (released) {
                return true;
            }
        } else if (claimed(old)) {
            if (golock_cell_swap(page, old, with_flags(next, GOLOCK_PAGE_CLAIMED))) {
                return true;
            }
        } else if (old & (GOLOCK_PAGE_HANDOFF | GOLOCK_PAGE_WAITERS)) {
            uint32_t flags = ((uint32_t)old & GOLOCK_PAGE_HANDOFF) | GOLOCK_PAGE_CLAIMED;
            if (swap_and_appoint(page, old, with_flags(next, flags))) {
                return true;
            }
        } else if (golock_cell_swap(page, old, next)) {
            return true;
        }
    }
}

bool
golock_cell_bury(golock_page *page, uint64_t old)
{
    uint64_t next = without_holder(old);
    if (golock_cell_deaths(old) < UINT32_MAX >> GOLOCK_PAGE_DEATHS_SHIFT) {
        next += (uint64_t)1 << GOLOCK_PAGE_DEATHS_SHIFT;
    }
    uint32_t flags = ((uint32_t)old & GOLOCK_PAGE_HANDOFF) | GOLOCK_PAGE_CLAIMED;
    return swap_and_appoint(page, old, with_flags(next, flags));
}

void
golock_cell_pass_on(golock_page *page)
{
    for (;;) {
        uint64_t old = golock_cell_load(page);
        uint32_t handoff = (uint32_t)old & GOLOCK_PAGE_HANDOFF;
        if (golock_cell_holder(old) != 0) {
            if (golock_cell_swap(page, old, with_flags(old, handoff | GOLOCK_PAGE_WAITERS))) {
                return;
            }
            continue;
        }
        if (swap_and_appoint(page, old, with_flags(old, handoff | GOLOCK_PAGE_CLAIMED))) {
            return;
        }
    }
}

uint32_t
golock_cell_recover(golock_page *page)
{
    for (;;) {
        uint64_t old = golock_cell_load(page);
        if (golock_cell_swap(page, old, old & ~(uint64_t)GOLOCK_PAGE_DEATHS_MASK)) {
            return golock_cell_deaths(old);
        }
    }
}

/* Whether the waiter has requested the hand-off. It does so until it claims or resigns. */
static bool
requested(const golock_cell_waiter *waiter)
{
    return waiter->designated && waiter->channel == CLAIMANT;
}

/* Whether the waiter is a claimant, and a free word is not reserved for another. */
static bool
may_claim(const golock_cell_waiter *waiter, uint64_t old)
{
    return waiter->designated && (requested(waiter) || !handoff_requested(old));
}

/* Ends the wait without the lock and pays the debt of a claimant. */
static void
resign(golock_page *page, golock_cell_waiter *waiter)
{
    if (!waiter->designated) {
        return;
    }
    const bool asked = requested(waiter);
    waiter->designated = false;
    if (!handoff_requested(golock_cell_load(page)) || asked) {
        golock_cell_pass_on(page);
    }
}

/* Returns the cell after the waiter has taken the lock. A claimant does not know whether others
 * sleep. A newcomer leaves a claimant named. */
static uint64_t
taken(const golock_page *page, const golock_cell_waiter *waiter, uint64_t old)
{
    uint32_t flags = (uint32_t)old & GOLOCK_PAGE_CLAIMED;
    if (waiter->designated) {
        flags = GOLOCK_PAGE_WAITERS;
        flags |= golock_core_handoff() == 0 ? GOLOCK_PAGE_HANDOFF : 0;
    }
    uint64_t holder = (uint64_t)golock_page_me(page) << GOLOCK_PAGE_HOLDER_SHIFT;
    return (with_flags(old, flags) | holder) + GOLOCK_PAGE_TAKEN;
}

/* Returns the cell on whose word the waiter may sleep, and the channel. */
static uint64_t
announced(const golock_cell_waiter *waiter, uint64_t old, int64_t now, uint32_t *channel)
{
    const int64_t threshold = golock_core_handoff();
    const bool held = golock_cell_holder(old) != 0;
    const bool asks =
        held && (requested(waiter) || (waiter->designated && !handoff_requested(old) &&
                                       now - waiter->since >= threshold));
    uint64_t next = old;
    *channel = waiter->returns ? RETURNER : SLEEPER;
    if (asks) {
        /* It was woken, but a newcomer was faster. It requests the hand-off. */
        next |= FLAGS;
        *channel = CLAIMANT;
    } else if (held && !handoff_requested(old) && (waiter->designated || !claimed(old))) {
        next = (old & ~(uint64_t)GOLOCK_PAGE_CLAIMED) | GOLOCK_PAGE_WAITERS;
    }
    return threshold == 0 ? next | GOLOCK_PAGE_HANDOFF : next;
}

enum golock_cell_action
golock_cell_next(golock_page *page, golock_cell_waiter *waiter, enum golock_cell_reason reason)
{
    waiter->designated |= reason == GOLOCK_CELL_WOKEN;
    waiter->returns |= reason == GOLOCK_CELL_WOKEN || reason == GOLOCK_CELL_EXPIRED ||
                       reason == GOLOCK_CELL_INTERRUPTED;
    if (reason == GOLOCK_CELL_INTERRUPTED) {
        resign(page, waiter);
        return GOLOCK_CELL_ABORTED;
    }
    int64_t now = golock_now();
    const bool outlived =
        reason == GOLOCK_CELL_EXPIRED && reserved(waiter->value) && now < waiter->deadline;
    for (;; now = golock_now()) {
        uint64_t old = golock_cell_load(page);
        if (golock_cell_holder(old) == 0 &&
            (may_claim(waiter, old) || outlived || !reserved(old))) {
            /* On a reservation it replaces the claimant that did not come. */
            waiter->designated |= reserved(old);
            if (waiter->refuses && golock_cell_deaths(old) != 0) {
                resign(page, waiter);
                return GOLOCK_CELL_ABANDONED;
            }
            if (golock_cell_swap(page, old, taken(page, waiter, old))) {
                waiter->designated = false;
                return GOLOCK_CELL_ACQUIRED;
            }
            continue;
        }
        if (now >= waiter->deadline) {
            resign(page, waiter);
            return GOLOCK_CELL_TIMED_OUT;
        }
        uint32_t channel;
        uint64_t next = announced(waiter, old, now, &channel);
        if (next == old || golock_cell_swap(page, old, next)) {
            waiter->value = (uint32_t)next;
            waiter->channel = channel;
            waiter->designated = waiter->channel == CLAIMANT;
            waiter->until = waiter->deadline;
            if (reserved(next) && waiter->until - now > PATIENCE) {
                waiter->until = now + PATIENCE;
            }
            return GOLOCK_CELL_PARK;
        }
    }
}
