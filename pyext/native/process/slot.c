#include "process/slot.h"

#include "base/process.h"
#include "process/cell.h"
#include "process/futex.h"
#include "process/sentinel.h"
#include "process/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <sys/stat.h>

_Static_assert(FUTEX_OWNER_DIED == 0x40000000, "the bit that golock_life_guarded looks at");
_Static_assert(GOLOCK_PAGE_LIFE_BYTE == FUTEX_TID_MASK, "no thread has this id");

static uint32_t
load(const golock_page *page, uint32_t slot, int which)
{
    return __atomic_load_n(golock_life_of(page, slot, which), __ATOMIC_ACQUIRE);
}

/* Opens the file of a name again after somebody has closed the descriptor. */
static bool
reopen(golock_page *page)
{
    struct stat file;
    int fd = open(page->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &file) < 0 || file.st_dev != page->device || file.st_ino != page->inode) {
        close(fd);
        return false;
    }
    page->fd = fd;
    return true;
}

static struct flock
byte_of(uint32_t slot, short type)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)slot - 1, .l_len = 1};
}

/* Locks the byte of a slot. Returns 0, or an error number: EAGAIN if another process has it. */
static int
lock_byte(const golock_page *page, uint32_t slot)
{
    struct flock lock = byte_of(slot, F_WRLCK);
    if (!golock_page_has_file(page)) {
        return EBADF;
    }
    return fcntl(page->fd, F_SETLK, &lock) == 0 ? 0 : errno == EACCES ? EAGAIN : errno;
}

static void
unlock_byte(const golock_page *page, uint32_t slot)
{
    struct flock lock = byte_of(slot, F_UNLCK);
    if (golock_page_has_file(page)) {
        (void)fcntl(page->fd, F_SETLK, &lock);
    }
}

/* Whether no process has the byte of another's slot locked. The kernel drops the lock after the
 * last instruction of the last thread. */
static bool
byte_is_free(const golock_page *page, uint32_t slot, bool otherwise)
{
    struct flock lock = byte_of(slot, F_WRLCK);
    if (!golock_page_has_file(page) || fcntl(page->fd, F_GETLK, &lock) < 0) {
        return otherwise;
    }
    return lock.l_type == F_UNLCK;
}

/* Whether no thread of a process whose life words are marked still runs. The kernel marks them when
 * the sentinel has gone; other threads were killed before, but one may still run on another
 * processor. An expedited barrier interrupts all processors that run registered processes, and a
 * killed thread does not return from an interrupt. It takes some microseconds. The byte lock says
 * the same, but only after the memory of the process has been freed. */
static bool
has_stopped(const golock_page *page, uint32_t slot)
{
    return __atomic_load_n(&page->memory->slots[slot - 1].barrier, __ATOMIC_ACQUIRE) != 0 &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

enum golock_life
golock_slot_life(const golock_page *page, uint32_t slot)
{
    if (slot == golock_page_me(page)) {
        return GOLOCK_ALIVE;
    }
    uint32_t first = load(page, slot, 0), second = load(page, slot, 1);
    if (golock_life_guarded(first) && golock_life_guarded(second)) {
        return GOLOCK_ALIVE;
    }
    if (((first | second) & FUTEX_OWNER_DIED) != 0 && has_stopped(page, slot)) {
        return GOLOCK_DEAD;
    }
    if (((first | second) & FUTEX_OWNER_DIED) != 0 || (first | second) == 0) {
        return byte_is_free(page, slot, true) ? GOLOCK_DEAD : GOLOCK_DYING;
    }
    return byte_is_free(page, slot, false) ? GOLOCK_DEAD : GOLOCK_ALIVE;
}

bool
golock_slot_holder_died(const golock_page *page, uint64_t cell)
{
    uint32_t holder = golock_cell_holder(cell);
    return holder != 0 &&
           (holder > GOLOCK_PAGE_SLOTS || golock_slot_life(page, holder) == GOLOCK_DEAD);
}

/* The kernel says which process has the byte, by its id here. */
uint32_t
golock_slot_process(const golock_page *page, uint32_t slot)
{
    struct flock lock = byte_of(slot, F_WRLCK);
    if (slot == golock_page_me(page)) {
        return (uint32_t)golock_process;
    }
    if (!golock_page_has_file(page) || fcntl(page->fd, F_GETLK, &lock) < 0 ||
        lock.l_type == F_UNLCK || lock.l_pid < 0) {
        return 0;
    }
    return (uint32_t)lock.l_pid;
}

bool
golock_slot_gone(const golock_page *page, uint32_t slot)
{
    return byte_is_free(page, slot, true);
}

bool
golock_slot_settle(golock_page *page)
{
    for (;;) {
        uint64_t cell = golock_cell_load(page);
        uint32_t holder = golock_cell_holder(cell);
        if (holder == 0) {
            return false;
        }
        /* The cell counts acquires. If it is still the same below, the dead was the holder. */
        enum golock_life life =
            holder <= GOLOCK_PAGE_SLOTS ? golock_slot_life(page, holder) : GOLOCK_DEAD;
        if (life != GOLOCK_DEAD) {
            return life == GOLOCK_DYING;
        }
        if (golock_cell_bury(page, cell)) {
            return false;
        }
    }
}

/* Rings at those that are to watch a slot: the nearest living ones above it. */
static void
ring(golock_page *page, uint32_t slot)
{
    int rung = 0;
    for (uint32_t i = 0; i < GOLOCK_PAGE_SLOTS - 1 && rung < GOLOCK_PAGE_LIVES; i++) {
        uint32_t other = (slot + i) % GOLOCK_PAGE_SLOTS + 1;
        if (golock_life_guarded(load(page, other, 0))) {
            uint32_t *doorbell = &page->memory->slots[other - 1].doorbell;
            __atomic_fetch_add(doorbell, 1, __ATOMIC_SEQ_CST);
            golock_shared_wake(doorbell, INT_MAX, FUTEX_BITSET_MATCH_ANY);
            rung++;
        }
    }
}

uint32_t
golock_slot_number(const golock_page *page, uint32_t slot)
{
    return __atomic_load_n(&page->memory->slots[slot - 1].lives[0].number, __ATOMIC_ACQUIRE);
}

void
golock_slot_mourned(golock_page *page, uint32_t slot, uint32_t number)
{
    __atomic_store_n(&page->memory->slots[slot - 1].lives[1].number, number, __ATOMIC_RELEASE);
}

bool
golock_slot_aim(golock_page *page)
{
    int found = 0;
    bool unhandled = false;
    for (uint32_t i = 2; i <= GOLOCK_PAGE_SLOTS && found < GOLOCK_PAGE_LIVES; i++) {
        uint32_t other = (page->me + GOLOCK_PAGE_SLOTS - i) % GOLOCK_PAGE_SLOTS + 1;
        const struct golock_page_slot *slot = &page->memory->slots[other - 1];
        uint32_t first = load(page, other, 0), life = load(page, other, found);
        if (golock_life_guarded(life) && golock_life_guarded(first)) {
            page->aims[found++] = (golock_aim){.slot = other, .life = life};
        } else if (((first | life) & FUTEX_OWNER_DIED) != 0 &&
                   __atomic_load_n(&slot->lives[1].number, __ATOMIC_ACQUIRE) !=
                       golock_slot_number(page, other)) {
            page->aims[found++] = (golock_aim){.slot = other}; /* it differs from the life word */
            unhandled = true;
        }
    }
    while (found < GOLOCK_PAGE_LIVES) {
        page->aims[found++] = (golock_aim){0};
    }
    return unhandled;
}

/* Whether a slot may be free: then its byte decides. */
static bool
may_be_free(const golock_page *page, uint32_t slot)
{
    return !golock_life_guarded(load(page, slot, 0)) || !golock_life_guarded(load(page, slot, 1));
}

/* Makes a slot this process's. Its byte is locked, so nobody else changes the slot. */
static void
move_in(golock_page *page, uint32_t slot)
{
    struct golock_page_slot *mine = &page->memory->slots[slot - 1];
    const uint32_t debts = __atomic_load_n(&mine->debts, __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&mine->lives[0].number, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&mine->barrier, 0, __ATOMIC_RELAXED);
    uint32_t life = golock_sentinel_guard(page, slot);
    for (int i = GOLOCK_PAGE_LIVES - 1; i >= 0; i--) {
        __atomic_store_n(&mine->lives[i].life, life, __ATOMIC_SEQ_CST);
    }
    ring(page, slot);
    const uint64_t left = golock_cell_load(page);
    /* From here on other threads may take the lock: what they hold, the dead has not left. */
    __atomic_store_n(&page->me, slot, __ATOMIC_RELEASE);
    golock_page_set_quick(page);
    for (uint64_t cell = left; golock_cell_holder(left) == slot; cell = golock_cell_load(page)) {
        if (!golock_cell_same_hold(cell, left) || golock_cell_bury(page, cell)) {
            break;
        }
    }
    if (debts != 0) {
        golock_cell_pass_on(page);
        __atomic_fetch_sub(&mine->debts, debts, __ATOMIC_SEQ_CST);
    }
    golock_sentinel_kick(page);
}

int
golock_slot_take(golock_page *page)
{
    int error = 0;
    golock_pages_lock();
    if (page->me == 0) {
        error = golock_page_has_file(page) || reopen(page) ? golock_sentinel_assign(page) : EBADF;
        for (uint32_t slot = 1; error == 0 && page->me == 0; slot++) {
            if (slot > GOLOCK_PAGE_SLOTS) {
                error = EUSERS;
                break;
            }
            if (!may_be_free(page, slot)) {
                continue;
            }
            int failed = lock_byte(page, slot);
            if (failed == EAGAIN) {
                continue;
            }
            error = failed;
            if (error == 0 && may_be_free(page, slot)) {
                move_in(page, slot);
            } else if (error == 0) {
                unlock_byte(page, slot); /* its process lives, and has lost its byte lock */
            }
        }
        if (error != 0) {
            golock_sentinel_forget(page);
        }
    }
    golock_pages_unlock();
    return error;
}

void
golock_slot_leave(golock_page *page)
{
    if (page->me == 0) {
        return;
    }
    golock_sentinel_forget(page);
    for (int i = 0; i < GOLOCK_PAGE_LIVES; i++) {
        uint32_t *life = golock_life_of(page, page->me, i);
        __atomic_store_n(life, 0, __ATOMIC_SEQ_CST);
        golock_shared_wake(life, INT_MAX, FUTEX_BITSET_MATCH_ANY);
    }
    page->me = 0;
    golock_page_set_quick(page);
}

bool
golock_slot_survives_close(const golock_page *page)
{
    return page->me == 0 || golock_life_guarded(load(page, page->me, 0));
}

void
golock_slot_lock_again(golock_page *page)
{
    if (page->me != 0) {
        (void)lock_byte(page, page->me);
    }
}
