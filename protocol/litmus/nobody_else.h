/* There is no core, and no task of an event loop waits. */
#ifndef GOLOCK_NOBODY_ELSE_H
#define GOLOCK_NOBODY_ELSE_H

#include "golock.h"
#include "waiting/tasks.h"

int64_t
golock_threshold(const struct golock_core *core)
{
    (void)core;
    return GOLOCK_DEFAULT_HANDOFF;
}

const struct golock_core *
golock_core_loaded(void)
{
    return NULL;
}

int32_t golock_tasks_in_line[GOLOCK_COUNTERS];

void
golock_tasks_lock(void)
{
}

void
golock_tasks_unlock(void)
{
}

bool
golock_tasks_go_first(const uint32_t *word)
{
    (void)word;
    return false;
}

bool
golock_tasks_are_foreign(const uint32_t *word)
{
    (void)word;
    return false;
}

bool
golock_tasks_appoint(uint32_t *word)
{
    (void)word;
    return false;
}

void
golock_task_wake(golock_task *task)
{
    (void)task;
}

void
golock_task_listens(golock_task *task)
{
    (void)task;
}

bool
golock_task_notify(golock_task *task)
{
    (void)task;
    return true;
}

void
golock_tasks_wake_all(const uint32_t *word)
{
    (void)word;
}

#endif
