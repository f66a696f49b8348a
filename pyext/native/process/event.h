/* An event across processes: the protocol in internal/process/event_linux.go. */
#ifndef GOLOCK_PROCESS_EVENT_H
#define GOLOCK_PROCESS_EVENT_H

#include "base/clock.h"
#include "base/compat.h"
#include "process/page.h"

#include <stdbool.h>

/* Whether the event is set. Needs no GIL, here and in the next two. */
bool golock_page_is_set(const golock_page *page);

/* Sets the event. Returns 0, or -1 with errno set if the kernel refuses to wake others; the event
 * is not set then. */
int golock_page_set(golock_page *page);

void golock_page_clear(golock_page *page);

/* Waits until the event is set. Returns 1, 0 when the deadline has passed, or -1 with an exception
 * set by a signal handler. Needs the GIL, and drops it while it sleeps. The caller keeps the
 * page. */
int golock_page_wait(golock_page *page, golock_deadline deadline);

#endif
