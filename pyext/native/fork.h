#ifndef GOLOCK_FORK_H
#define GOLOCK_FORK_H

/* Registers the fork handlers, once in a process. Returns 0, or -1 with MemoryError set. */
int golock_watch_forks(void);

#endif
