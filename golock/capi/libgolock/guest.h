#include <stdbool.h>

/* Whether a thread may call the core for the first time: the Go runtime has all its threads, is
 * warm, and has memory in reserve. If not, errno says why: see golock.h. Starts the threads that
 * could not be started before. Does not wait. */
__attribute__((visibility("hidden"))) bool golock_guest_ready(void);
