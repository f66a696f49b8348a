/* The tasks of event loops that golock.sight has seen: those of asyncio and of trio. A record is
 * made when a task first waits, or takes something while owners are recorded. */
#ifndef GOLOCK_SIGHT_TASKS_H
#define GOLOCK_SIGHT_TASKS_H

#include "base/compat.h"
#include "sight/image.h"

#include <stdbool.h>
#include <stdint.h>

/* Returns the key of the task that the calling thread runs, or 0: none, or one of an unknown kind.
 * Needs the GIL. Runs no Python code. */
uint64_t golock_task_running(void);

/* The same. Reads the task's name again. */
uint64_t golock_task_waiting(void);

/* Fills in what is known of a task. Returns false if nothing is. Needs no GIL. */
bool golock_task_find(uint64_t key, struct golock_image_thread *task);

/* Copies what is known of up to `room` tasks. Returns of how many. Needs no GIL. */
uint64_t golock_tasks_copy(struct golock_image_thread *tasks, uint64_t room);
uint64_t golock_tasks_count(void);

/* Drops the references to tasks: see golock_drop_references. Needs the GIL of the main
 * interpreter. */
void golock_sight_tasks_stop(void);

/* Call this in a child process, which has none of the tasks. */
void golock_sight_tasks_after_fork(void);

#endif
