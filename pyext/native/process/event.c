#include "process/event.h"

#include "base/process.h"
#include "process/cell.h"
#include "process/futex.h"
#include "sight/waits.h"
#include "waiting/spin.h"

#include <errno.h>

/* One of the channels on which Go's threads sleep: its others are for contexts that end. */
#define EVENT_CHANNEL (1u << 0)

_Static_assert(GOLOCK_PAGE_SET == 1, "golock_shared_set_and_wake_all sets the lowest bit");

static uint32_t
load(const golock_page *page)
{
    return __atomic_load_n(golock_cell_word(page), __ATOMIC_ACQUIRE);
}

static bool
compare_and_swap(golock_page *page, uint32_t *old, uint32_t next)
{
    return __atomic_compare_exchange_n(golock_cell_word(page), old, next, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE);
}

bool
golock_page_is_set(const golock_page *page)
{
    return load(page) & GOLOCK_PAGE_SET;
}

/* It writes the word even if the event is set: whoever clears the event afterwards must see what
 * was done before this call, and a load could be reordered before earlier stores. */
int
golock_page_set(golock_page *page)
{
    uint32_t old = __atomic_fetch_or(golock_cell_word(page), 0, __ATOMIC_SEQ_CST);
    while ((old & GOLOCK_PAGE_SET) == 0) {
        if (old & GOLOCK_PAGE_SLEEPERS) {
            return golock_shared_set_and_wake_all(golock_cell_word(page)) < 0 ? -1 : 0;
        }
        if (compare_and_swap(page, &old, old | GOLOCK_PAGE_SET)) {
            return 0;
        }
    }
    return 0;
}

void
golock_page_clear(golock_page *page)
{
    uint32_t old = load(page);
    while (old & GOLOCK_PAGE_SET) {
        uint32_t next = old & ~(GOLOCK_PAGE_SET | GOLOCK_PAGE_SLEEPERS);
        if (compare_and_swap(page, &old, next + GOLOCK_PAGE_CLEARED_ONCE)) {
            return;
        }
    }
}

/* Whether a wait is over that began with the word `initial`. */
static bool
over(uint32_t initial, uint32_t word)
{
    return (word & GOLOCK_PAGE_SET) != 0 ||
           ((word ^ initial) & ~(GOLOCK_PAGE_SET | GOLOCK_PAGE_SLEEPERS)) != 0;
}

/* Sleeps while the word has this value, until woken. Returns false when the deadline has passed. A
 * thread that runs signal handlers also returns when a signal arrives. */
static bool
sleep_detached(golock_page *page, uint32_t word, golock_deadline deadline,
               golock_wait_record *record)
{
    long result;
    __atomic_fetch_add(&page->waiting, 1, __ATOMIC_RELAXED);
    PyThreadState *thread = golock_detach();
    do {
        result = golock_shared_wait(golock_cell_word(page), word, deadline.at, EVENT_CHANNEL);
    } while (result < 0 && errno == EINTR && !golock_runs_handlers());
    const bool in_time = result == 0 || errno != ETIMEDOUT;
    golock_attach(record, thread);
    __atomic_fetch_sub(&page->waiting, 1, __ATOMIC_RELAXED);
    return in_time;
}

static int
wait(golock_page *page, golock_deadline deadline, golock_wait_record **record)
{
    const uint32_t initial = load(page);
    const int64_t since = golock_now();
    bool in_time = golock_may_wait(deadline);
    for (;;) {
        uint32_t word = load(page);
        if (over(initial, word)) {
            return 1;
        }
        if (!in_time) {
            return 0;
        }
        /* Run the handlers of pending signals, which would not interrupt the sleep. */
        if (golock_make_pending_calls(*record) < 0) {
            return -1;
        }
        if ((word & GOLOCK_PAGE_SLEEPERS) != 0 ||
            compare_and_swap(page, &word, word | GOLOCK_PAGE_SLEEPERS)) {
            golock_wait_sleeps(record, golock_across_known(&page->across), since, deadline);
            in_time = sleep_detached(page, word | GOLOCK_PAGE_SLEEPERS, deadline, *record);
        }
    }
}

int
golock_page_wait(golock_page *page, golock_deadline deadline)
{
    golock_wait_record *record = NULL;
    const int result = wait(page, deadline, &record);
    golock_wait_ends(record, NULL, 0);
    return result;
}
