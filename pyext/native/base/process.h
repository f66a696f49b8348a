/* The current process and thread, without a system call each time. */
#ifndef GOLOCK_PROCESS_H
#define GOLOCK_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* The id of this process. */
extern pid_t golock_process;

/* Call this when the extension is loaded, and in a child process. */
void golock_process_remember(void);

/* Whether the interpreter runs signal handlers in this thread. The answer is wrong, and a signal
 * may be overlooked, if another thread than the first of the process has started the
 * interpreter. */
bool golock_runs_handlers(void);

#endif
