/* What is told of deadlocks, and of circles in the order of locks: text on standard error, or
 * descriptions that a Python thread takes. */
#ifndef GOLOCK_REPORT_H
#define GOLOCK_REPORT_H

#include "base/compat.h"
#include "sight/cycles.h"

#include <stdbool.h>

/* These need no GIL. */

/* Returns the text, which the caller frees, or NULL if there is no memory. */
char *golock_report_text(const golock_cycle *cycle);

/* Writes the text to descriptor 2, without waiting: golock_report_flush writes the rest. */
void golock_report_write(const golock_cycle *cycle);

/* Returns whether text is left that could not be written yet. */
bool golock_report_flush(void);

/* Appends a description to the queue, unless there are too many. */
void golock_report_queue(const golock_cycle *cycle);

/* Empties the queue, and ends the wait of the thread that takes from it. Returns a ticket for the
 * next one. */
uint32_t golock_report_queue_start(void);

/* Tells of a circle in the order of locks, where deadlocks are told. Runs no Python code. */
void golock_report_order(uint32_t circle);

/* Waits for a description, and returns it: an image, bytes. Returns None when another ticket was
 * given, and NULL with MemoryError set. Needs the GIL, and drops it while it waits. */
PyObject *golock_report_next(uint32_t ticket);

/* Call this in a child process. */
void golock_report_after_fork(void);

#endif
