/* The slots of a page: who uses it, and who of them lives. The mutex of all pages is held in the
 * functions that change a slot. */
#ifndef GOLOCK_PROCESS_SLOT_H
#define GOLOCK_PROCESS_SLOT_H

#include "process/page.h"

#include <stdbool.h>

/* Takes a slot for this process. Returns 0, or an error number: EUSERS if all are taken. */
int golock_slot_take(golock_page *page);

/* Gives the slot back. This process does not hold the lock, or no other process has the page. */
void golock_slot_leave(golock_page *page);

enum golock_life {
    GOLOCK_ALIVE,
    GOLOCK_DYING, /* it was killed, and a thread of it may still run for some microseconds */
    GOLOCK_DEAD,  /* or nobody has the slot */
};

/* Tells whether the process with a slot, 1 + its index, lives. Needs no mutex. */
enum golock_life golock_slot_life(const golock_page *page, uint32_t slot);

/* Returns the id that the process with a slot has here. Returns 0 if that is unknown: it is in
 * another PID namespace, or has lost its byte lock. Needs no mutex. */
uint32_t golock_slot_process(const golock_page *page, uint32_t slot);

/* Whether the holder in the cell has died, and nobody has freed the lock yet. Needs no mutex. */
bool golock_slot_holder_died(const golock_page *page, uint64_t cell);

/* Whether the threads of a dead process have gone. One that slept may take a wake until then,
 * though it never runs again: so a debt is passed on when the process is dead, and again when it
 * has gone. */
bool golock_slot_gone(const golock_page *page, uint32_t slot);

/* Frees the lock if its holder is dead. Returns whether the holder was dying: look again soon. This
 * process has a slot. Needs no mutex. */
bool golock_slot_settle(golock_page *page);

/* Whether this process keeps its slot though its byte lock is gone, as when another descriptor of
 * the file is closed. */
bool golock_slot_survives_close(const golock_page *page);

/* Locks the byte of this process's slot again. */
void golock_slot_lock_again(golock_page *page);

/* Aims at the nearest slots below this process's, for its sentinel: those that live, and those
 * whose death nobody has handled. Returns whether there is one of the latter. */
bool golock_slot_aim(golock_page *page);

/* Returns the number of the process that has a slot. */
uint32_t golock_slot_number(const golock_page *page, uint32_t slot);

/* Says that the death of the process with that number has been handled. */
void golock_slot_mourned(golock_page *page, uint32_t slot, uint32_t number);

/* Whether the value of a life word says that a thread guards it, or that the thread has died. */
static inline bool
golock_life_guarded(uint32_t life)
{
    return life != 0 && (life & 0x40000000u) == 0 &&
           (life & GOLOCK_PAGE_LIFE_BYTE) != GOLOCK_PAGE_LIFE_BYTE;
}

static inline uint32_t *
golock_life_of(const golock_page *page, uint32_t slot, int which)
{
    return &page->memory->slots[slot - 1].lives[which].life;
}

#endif
