/* Sentinels: threads of a process that sleep until a process dies that uses one of the same pages.
 * They are not Python's, run no Python code, and take no signals.
 *
 * The life words of this process's slots are in the robust list of such a thread (set_robust_list
 * in futex(2)). When the process dies, whatever the reason, the kernel marks them and wakes those
 * that watch them. Each slot is watched by the sentinels of the two nearest living slots above it,
 * cyclically; one of them may be stopped, or dead as well.
 *
 * Where the kernel refuses that, a sentinel guards no words, and looks at the byte of the holder
 * while threads of its process wait. */
#ifndef GOLOCK_PROCESS_SENTINEL_H
#define GOLOCK_PROCESS_SENTINEL_H

#include "process/page.h"

/* The functions below are called with the mutex of all pages, except for golock_sentinel_kick. */

/* Gives the page a sentinel, started if there is none with room. The page has none in a child that
 * must not start threads. Returns 0, or the error number of a failure to start a thread. */
int golock_sentinel_assign(golock_page *page);

/* Adds the life words of a slot to the robust list if there is one. Returns the value that they are
 * to have. */
uint32_t golock_sentinel_guard(golock_page *page, uint32_t slot);

/* Undoes both. */
void golock_sentinel_forget(golock_page *page);

/* Makes the sentinel look again. */
void golock_sentinel_kick(golock_page *page);

/* Says that threads of this process sleep on the page: the sentinel looks for stopped claimants
 * while there are any. */
void golock_sentinel_waits(golock_page *page);

/* What a sentinel does now and then while threads of its process wait: passes on a claim that
 * nobody has used since the last time. Returns whether the holder is dying. */
bool golock_sentinel_look(golock_page *page);

void golock_sentinels_after_fork(void);

/* Nanoseconds between the looks; and between those at the byte of a holder that no sentinel guards.
 * It is unlocked when the memory of a killed process has been freed. */
#define GOLOCK_LOOK 100000000
#define GOLOCK_LOOK_AT_BYTE 50000000

#endif
