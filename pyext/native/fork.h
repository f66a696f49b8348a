/* What a fork does to each layer. */
#ifndef GOLOCK_FORK_H
#define GOLOCK_FORK_H

/* Registers the handlers, once a process. Returns 0, or -1 with MemoryError set. */
int golock_watch_forks(void);

#endif
