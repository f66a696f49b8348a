/* A page of this process: a file in memory that processes share, mapped once, with the slot that
 * this process has in it. internal/process/page.go describes pages and their protocol. */
#ifndef GOLOCK_PROCESS_PAGE_H
#define GOLOCK_PROCESS_PAGE_H

#include "base/compat.h"
#include "golock_page.h"
#include "sight/across.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a sentinel watches: a life word of another slot, while it has this value. */
typedef struct {
    uint32_t slot; /* 1 + its index, or 0: none */
    uint32_t life;
    bool passed_on; /* its debts, once: see golock_slot_gone */
} golock_aim;

typedef struct golock_page {
    struct golock_page_memory *memory;
    uint32_t me;      /* 1 + the slot of this process, or 0: it has none yet */
    uint32_t quick;   /* the same for the fast paths, or 0: golock.sight records owners */
    uint32_t waiting; /* the threads of this process that sleep */
    uint32_t releases;
    golock_across across;
    /* What follows is guarded by the mutex of all pages. */
    int fd;              /* closing any descriptor of the file would drop the slot's byte lock */
    struct spare *spare; /* others of the file, until then */
    dev_t device;
    ino_t inode;
    size_t references;
    bool own;                         /* no other process has the page, or can get it */
    char *path;                       /* for messages */
    char *name;                       /* or NULL: it is anonymous */
    struct golock_sentinel *sentinel; /* or NULL: threads that wait look for themselves */
    golock_aim aims[GOLOCK_PAGE_LIVES];
    uint64_t seen; /* the cell at the sentinel's last tick */
    struct golock_page *next;
} golock_page;

/* Returns 1 + the slot of this process, or 0. */
static inline uint32_t
golock_page_me(const golock_page *page)
{
    return __atomic_load_n(&page->me, __ATOMIC_ACQUIRE);
}

/* Returns the same while owners are not recorded; otherwise 0, so that the fast paths fail. */
static inline uint32_t
golock_page_quick(const golock_page *page)
{
    return __atomic_load_n(&page->quick, __ATOMIC_ACQUIRE);
}

/* Guards the pages, the slots' robust lists, and the sentinels. Never taken while Python code
 * runs. */
void golock_pages_lock(void);
void golock_pages_unlock(void);

/* Returns the page of a file that this process has mapped already, with a reference, or NULL. */
golock_page *golock_page_find(dev_t device, ino_t inode);

/* Maps a page, and takes the descriptor over. The file has been checked. If the process has mapped
 * it already, another descriptor is closed; where that would make this process look dead, it stays
 * open as long as the page. Returns the page with a reference, or NULL with errno set. */
golock_page *golock_page_adopt(int fd, const char *path);

/* Drops a reference. The page goes with the last one. If this process holds the lock then, and
 * another process may have the page, it goes when pages are found, adopted or dropped after
 * somebody has released the lock. */
void golock_page_drop(golock_page *page);

/* Says whether no other process has the page, or can get it. After a fork one has it. */
void golock_page_set_own(golock_page *page, bool own);

/* Whether the descriptor is still that of the page: programs that become daemons close all, and get
 * the numbers for their own files. */
bool golock_page_has_file(const golock_page *page);

/* The mapping stays in a child, which has no slot and holds nothing. */
void golock_pages_before_fork(void);
void golock_pages_after_fork_in_parent(void);
void golock_pages_after_fork_in_child(void);

/* Whether threads may be started: not in a child forked by a thread other than the main one, which
 * must be able to end with its last thread. */
bool golock_pages_may_start_thread(void);

/* The distance from a robust list's entry to its life word. The entries lie in memory of this
 * process in front of the mapping, so that no other process can write them. */
size_t golock_page_distance(void);

#endif
