/* The page of a lock or an event across processes: what internal/process/page.go and event_linux.go
 * describe, for C. golock/capi/page.go does not compile if they differ. */
#ifndef GOLOCK_PAGE_H
#define GOLOCK_PAGE_H

#include <stdint.h>

#define GOLOCK_PAGE_MAGIC 0x6B636FC2
#define GOLOCK_PAGE_VERSION 1
#define GOLOCK_PAGE_SIZE 16384

/* The kinds of pages. */
#define GOLOCK_PAGE_LOCK 1
#define GOLOCK_PAGE_EVENT 2

/* The word of a lock, the lower half of the cell. */
#define GOLOCK_PAGE_WAITERS (1u << 0)
#define GOLOCK_PAGE_CLAIMED (1u << 1)
#define GOLOCK_PAGE_HANDOFF (1u << 2)
#define GOLOCK_PAGE_HOLDER_SHIFT 3
#define GOLOCK_PAGE_HOLDER_BITS 10
#define GOLOCK_PAGE_DEATHS_SHIFT 13

/* The word of an event, at the same place. */
#define GOLOCK_PAGE_SET (1u << 0)
#define GOLOCK_PAGE_SLEEPERS (1u << 1)
#define GOLOCK_PAGE_CLEARED_ONCE (1u << 2)

#define GOLOCK_PAGE_SLOTS 504
#define GOLOCK_PAGE_LIVES 2

/* A life word that no kernel guards: its process is alive as long as it has the slot's byte
 * locked. Greater than any thread id. */
#define GOLOCK_PAGE_LIFE_BYTE 0x3FFFFFFFu

/* A process that uses the page. */
struct golock_page_slot {
    struct {
        uint32_t life;
        /* Of the first: how many processes have had the slot. Of the second: the number of the last
         * of them whose death has been handled. */
        uint32_t number;
    } lives[GOLOCK_PAGE_LIVES];
    uint32_t doorbell;
    uint32_t reserved;
    uint32_t barrier; /* not 0: the process has registered for expedited memory barriers */
    uint32_t debts;   /* calls that a wake may depend on */
};

struct golock_page_memory {
    uint32_t magic;
    uint32_t version;
    uint32_t size;
    uint32_t kind;
    uint8_t reserved[112];
    _Alignas(128) uint64_t cell;
    int64_t due; /* when the hand-off to the claimant is due, in ns of CLOCK_MONOTONIC; a hint */
    uint8_t rest[112];
    struct golock_page_slot slots[GOLOCK_PAGE_SLOTS];
};

_Static_assert(sizeof(struct golock_page_memory) == GOLOCK_PAGE_SIZE, "pages are of one size");

#endif
