/* The cell of a page: the steps of the protocol in internal/process/page.go. None of them sleeps,
 * needs the GIL, or looks at who lives. */
#ifndef GOLOCK_PROCESS_CELL_H
#define GOLOCK_PROCESS_CELL_H

#include "process/page.h"

#include <stdbool.h>
#include <stdint.h>

#define GOLOCK_PAGE_HOLDER_MASK (((1u << GOLOCK_PAGE_HOLDER_BITS) - 1) << GOLOCK_PAGE_HOLDER_SHIFT)
/* The bits of a cell that are the same as long as one hold lasts. */
#define GOLOCK_PAGE_HOLD (~(uint64_t)UINT32_MAX | GOLOCK_PAGE_HOLDER_MASK)
#define GOLOCK_PAGE_DEATHS_MASK (~0u << GOLOCK_PAGE_DEATHS_SHIFT)
#define GOLOCK_PAGE_TAKEN ((uint64_t)1 << 32) /* one acquire, in the upper half of the cell */

static inline uint64_t
golock_cell_load(const golock_page *page)
{
    return __atomic_load_n(&page->memory->cell, __ATOMIC_ACQUIRE);
}

static inline bool
golock_cell_swap(golock_page *page, uint64_t old, uint64_t next)
{
    return __atomic_compare_exchange_n(&page->memory->cell, &old, next, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* The word is the lower half, where waiters sleep. */
static inline uint32_t *
golock_cell_word(const golock_page *page)
{
    return (uint32_t *)&page->memory->cell;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the word is at the cell's address");

/* Returns 1 + the slot of the holder, or 0: the lock is free. */
static inline uint32_t
golock_cell_holder(uint64_t cell)
{
    return ((uint32_t)cell & GOLOCK_PAGE_HOLDER_MASK) >> GOLOCK_PAGE_HOLDER_SHIFT;
}

static inline bool
golock_cell_held_by(const golock_page *page, uint32_t slot)
{
    return golock_cell_holder(golock_cell_load(page)) == slot;
}

/* Whether two cells were read during one hold of the lock, or during none. */
static inline bool
golock_cell_same_hold(uint64_t cell, uint64_t other)
{
    return ((cell ^ other) & GOLOCK_PAGE_HOLD) == 0;
}

/* Returns how many holders have died since the last recovery. */
static inline uint32_t
golock_cell_deaths(uint64_t cell)
{
    return (uint32_t)cell >> GOLOCK_PAGE_DEATHS_SHIFT;
}

/* Takes a free lock with no other bits in its word. `me` is golock_page_quick or golock_page_me. */
static inline bool
golock_cell_fast_acquire(golock_page *page, uint32_t me)
{
    uint64_t old = golock_cell_load(page);
    uint64_t next = ((old & ~(uint64_t)UINT32_MAX) + GOLOCK_PAGE_TAKEN) |
                    (uint64_t)me << GOLOCK_PAGE_HOLDER_SHIFT;
    return me != 0 && (uint32_t)old == 0 && golock_cell_swap(page, old, next);
}

/* Releases the lock of a holder, unless there are other bits in its word. */
static inline bool
golock_cell_fast_release(golock_page *page, uint32_t holder)
{
    uint64_t old = golock_cell_load(page);
    return holder != 0 && (uint32_t)old == holder << GOLOCK_PAGE_HOLDER_SHIFT &&
           golock_cell_swap(page, old, old & ~(uint64_t)UINT32_MAX);
}

/* Counts a call on which a wake may depend: if this process dies meanwhile, its debt is passed on.
 * It has a slot. */
static inline void
golock_cell_owes(golock_page *page, bool owes)
{
    uint32_t *debts = &page->memory->slots[golock_page_me(page) - 1].debts;
    __atomic_fetch_add(debts, owes ? 1 : UINT32_MAX, __ATOMIC_SEQ_CST);
}

/* Why a step is asked for, and what is to be done next. */
enum golock_cell_reason {
    GOLOCK_CELL_ENTERED,
    GOLOCK_CELL_WOKEN,
    GOLOCK_CELL_CHANGED,
    GOLOCK_CELL_EXPIRED,
    GOLOCK_CELL_INTERRUPTED,
};

enum golock_cell_action {
    GOLOCK_CELL_ACQUIRED,
    GOLOCK_CELL_PARK,
    GOLOCK_CELL_TIMED_OUT,
    GOLOCK_CELL_ABORTED,
    GOLOCK_CELL_ABANDONED, /* the lock is free, and its last holder died: see `refuses` */
};

/* An acquire that waits. */
typedef struct {
    int64_t deadline, since;
    bool refuses; /* does not take a lock whose holder died */
    bool designated, returns;
    /* How to sleep: while the word is this one, on this channel, until then. */
    uint32_t value, channel;
    int64_t until;
} golock_cell_waiter;

/* Decides what the waiter does next. Its process has a slot, and a debt. */
enum golock_cell_action golock_cell_next(golock_page *page, golock_cell_waiter *waiter,
                                         enum golock_cell_reason reason);

/* Releases the lock, whoever holds it. Returns false if it is free. This process has a slot, here
 * and below. */
bool golock_cell_release(golock_page *page);

/* Releases the lock of a holder that has died, if the cell is still `old`: the next holder is
 * told. */
bool golock_cell_bury(golock_page *page, uint64_t old);

/* Does what a claimant, or whoever was to wake one, has left undone: it died, or is stopped. */
void golock_cell_pass_on(golock_page *page);

/* Forgets the deaths of holders. Returns how many there were. */
uint32_t golock_cell_recover(golock_page *page);

/* Whether a newcomer would have to wait. */
bool golock_cell_locked(uint64_t cell);

#endif
