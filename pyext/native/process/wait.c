#include "process/wait.h"

#include "base/process.h"
#include "process/cell.h"
#include "process/futex.h"
#include "process/sentinel.h"
#include "process/slot.h"
#include "process/view.h"
#include "sight/waits.h"
#include "waiting/spin.h"

#include <errno.h>

/* Nanoseconds. The thread that runs signal handlers may miss a signal when it goes to sleep as a
 * claimant; it wakes after this time to look. */
#define OVERLOOKED 5000000

/* Nanoseconds until the next look at a holder that is dying, where there is no sentinel. */
#define WHILE_DYING 1000000

int
golock_page_enter(golock_page *page)
{
    if (golock_page_me(page) != 0) {
        return 0;
    }
    int error = golock_slot_take(page);
    if (error == 0) {
        return 0;
    }
    if (error == EUSERS) {
        PyErr_Format(PyExc_OSError, "all %d slots of the page '%s' are taken", GOLOCK_PAGE_SLOTS,
                     page->path);
    } else if (error == EBADF) {
        PyErr_Format(PyExc_OSError, "the descriptor of the page '%s' was closed", page->path);
    } else {
        errno = error;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, page->path);
    }
    return -1;
}

/* Sleeps. Needs no GIL. */
static enum golock_cell_reason
park(golock_page *page, const golock_cell_waiter *waiter, bool dying)
{
    int64_t until = waiter->until, look = GOLOCK_FOREVER;
    bool interrupts = waiter->designated && golock_runs_handlers();
    if (interrupts) {
        look = golock_now() + OVERLOOKED;
    } else if (page->sentinel == NULL) {
        look = golock_now() + (dying ? WHILE_DYING : GOLOCK_LOOK_AT_BYTE);
    }
    bool early = look < until;
    long result = golock_shared_wait(golock_cell_word(page), waiter->value, early ? look : until,
                                     waiter->channel);
    if (result == 0) {
        return GOLOCK_CELL_WOKEN;
    }
    switch (errno) {
    case ETIMEDOUT:
        if (early && page->sentinel == NULL) {
            golock_sentinel_look(page);
        }
        return early && interrupts ? GOLOCK_CELL_INTERRUPTED
               : early             ? GOLOCK_CELL_CHANGED
                                   : GOLOCK_CELL_EXPIRED;
    case EINTR:
        return GOLOCK_CELL_INTERRUPTED;
    default:
        return GOLOCK_CELL_CHANGED;
    }
}

static enum golock_cell_reason
sleep_detached(golock_page *page, const golock_cell_waiter *waiter, bool dying,
               golock_wait_record *record)
{
    __atomic_fetch_add(&page->waiting, 1, __ATOMIC_SEQ_CST);
    PyThreadState *thread = golock_detach();
    golock_sentinel_waits(page);
    enum golock_cell_reason reason = park(page, waiter, dying);
    golock_attach(record, thread);
    __atomic_fetch_sub(&page->waiting, 1, __ATOMIC_SEQ_CST);
    return reason;
}

static enum golock_page_outcome
acquire(golock_page *page, golock_deadline deadline, bool refuses, golock_wait_record **record)
{
    golock_cell_waiter waiter = {
        .deadline = deadline.at, .since = golock_now(), .refuses = refuses};
    pid_t process = golock_process;
    enum golock_cell_reason reason = GOLOCK_CELL_ENTERED;
    golock_slot_settle(page); /* perhaps nobody was left to see the holder die */
    for (;;) {
        enum golock_cell_action action = golock_cell_next(page, &waiter, reason);
        bool dying = false;
        switch (action) {
        case GOLOCK_CELL_ACQUIRED:
            return GOLOCK_PAGE_ACQUIRED;
        case GOLOCK_CELL_TIMED_OUT:
            return GOLOCK_PAGE_TIMED_OUT;
        case GOLOCK_CELL_ABANDONED:
            return GOLOCK_PAGE_ABANDONED;
        case GOLOCK_CELL_PARK:
            dying = golock_slot_settle(page);
            break;
        case GOLOCK_CELL_ABORTED:
            break;
        }
        reason = GOLOCK_CELL_ENTERED;
        /* Run the handlers of pending signals, which would not interrupt the sleep. Handlers may do
         * anything, even fork. A claimant runs none: a handler that takes this lock would wait for
         * the claimant itself. */
        if (!waiter.designated) {
            bool raised = golock_make_pending_calls(*record) < 0;
            bool forked = golock_process != process; /* nobody knows this waiter in the child */
            if (forked) {
                waiter = (golock_cell_waiter){
                    .deadline = deadline.at, .since = golock_now(), .refuses = refuses};
                process = golock_process;
            } else if (raised) {
                golock_cell_next(page, &waiter, GOLOCK_CELL_INTERRUPTED);
            }
            if (forked &&
                (golock_page_me(page) != 0 || !raised)) { /* the handler may take a slot */
                if (golock_page_enter(page) < 0) {
                    return GOLOCK_PAGE_FAILED;
                }
                golock_cell_owes(page, true);
            }
            if (raised) {
                return GOLOCK_PAGE_FAILED;
            }
            if (forked) {
                continue;
            }
        }
        if (action == GOLOCK_CELL_PARK) {
            if (dying) {
                golock_sentinel_kick(page);
            }
            golock_wait_sleeps(record, golock_across_known(&page->across), waiter.since, deadline);
            reason = sleep_detached(page, &waiter, dying, *record);
        }
    }
}

enum golock_page_outcome
golock_page_acquire(golock_page *page, golock_deadline deadline, bool refuses)
{
    if (golock_page_enter(page) < 0) {
        return GOLOCK_PAGE_FAILED;
    }
    if (golock_page_quick(page) == 0 && golock_cell_fast_acquire(page, golock_page_me(page))) {
        golock_page_owned(page);
        return GOLOCK_PAGE_ACQUIRED;
    }
    golock_wait_record *record = NULL;
    golock_cell_owes(page, true);
    enum golock_page_outcome outcome = acquire(page, deadline, refuses, &record);
    golock_wait_ends(record, NULL, 0);
    if (outcome == GOLOCK_PAGE_ACQUIRED) {
        golock_page_owned(page);
    }
    if (golock_page_me(page) !=
        0) { /* or a handler forked, and the child has failed to take a slot */
        golock_cell_owes(page, false);
    }
    return outcome;
}
