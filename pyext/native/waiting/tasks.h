/* Tasks of event loops that wait for a word. A task is a waiter that sleeps in no kernel: its loop
 * does. The tasks that wait for one word stand in a line here, in the order of their arrival. A
 * wake makes the first of them the claimant, and writes the eventfd of its loop. The task claims
 * when its loop runs it. docs/design.md, "Event loops", has the reasons.
 *
 * Nothing here needs the GIL or runs Python code. One recursive mutex guards all of it, and is
 * never held across a wait. A word for which tasks wait is changed by atomic operations alone,
 * because a claim is also passed on by threads without the GIL. */
#ifndef GOLOCK_TASKS_H
#define GOLOCK_TASKS_H

#include "base/compat.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "golock.h"

/* What a task waits for. */
typedef enum { GOLOCK_TASK_LOCK, GOLOCK_TASK_PERMIT, GOLOCK_TASK_EVENT } golock_task_kind;

/* Where the tasks of one loop are woken. */
typedef struct golock_port {
    int descriptor;                  /* an eventfd */
    uint32_t process;                /* see golock_port_is_own */
    bool kicked;                     /* the eventfd has been written */
    bool unresponsive;               /* a claim or a notification of one of its tasks has lapsed */
    uint32_t appointed;              /* how many of its tasks were, and have not claimed since */
    PyInterpreterState *interpreter; /* that has made it */
    pthread_t thread;                /* that has run it last */
    struct golock_task *first_ready, *last_ready; /* to be run */
    struct golock_task *first_enrolled;           /* all its tasks that wait */
} golock_port;

struct golock_listener;

/* A wait of a task. All zero at first but for `word`, `kind` and `port`. */
typedef struct golock_task {
    uint32_t *word; /* or NULL: it waits for a notification alone */
    golock_port *port;
    golock_task_kind kind;
    bool foreign;     /* code that does not know of tasks wakes waiters of the word */
    int64_t since;    /* when the wait began, or 0: now */
    PyObject *future; /* whose set_result(None) makes the loop run the task; a reference of the
                       * waiter's, or NULL */
    bool returns;     /* it has been the claimant before, and goes first */
    bool gave_way;    /* as a newcomer, to those of its loop that were appointed before */
    struct golock_listener *listener; /* at a condition, or NULL */

    /* Private. */
    enum {
        GOLOCK_TASK_OUT,
        GOLOCK_TASK_IN_LINE,
        GOLOCK_TASK_CLAIMANT,
        GOLOCK_TASK_LISTENS /* and waits for no word */
    } state;
    bool runs; /* the loop runs the listener's task now: its notification stays with it */
    bool ready;
    bool appointed;                      /* it has been the claimant, and has not claimed since */
    bool given;                          /* a claim or a notification, which lapses */
    uint32_t period;                     /* in which it was given that */
    struct golock_task *previous, *next; /* in the line */
    struct golock_task *next_given, *previous_given;
    struct golock_task *next_ready, *previous_ready;
    struct golock_task *next_enrolled, *previous_enrolled;
} golock_task;

/* How many tasks stand in lines, by golock_counter_of. */
extern int32_t golock_tasks_in_line[GOLOCK_COUNTERS];

/* Whether tasks may wait for the word. A task that joins the line meanwhile looks at the word
 * afterwards. */
static inline bool
golock_tasks_wait(const uint32_t *word)
{
    return __atomic_load_n(&golock_tasks_in_line[golock_counter_of(word)], __ATOMIC_SEQ_CST) != 0;
}

/* How many tasks were appointed and have not claimed since, by golock_counter_of. */
extern int32_t golock_tasks_appointed[GOLOCK_COUNTERS];

/* Whether tasks may be on their way to the word. */
static inline bool
golock_tasks_come(const uint32_t *word)
{
    return __atomic_load_n(&golock_tasks_appointed[golock_counter_of(word)], __ATOMIC_RELAXED) != 0;
}

void golock_tasks_lock(void);
void golock_tasks_unlock(void);

/* Starts what passes on the claims of loops that do not run. Call it before a task waits. Returns
 * false if there is no memory, or no thread. */
bool golock_tasks_start(void);

/* Puts the task into the line of its word. A foreign word gets an agent: a thread that sleeps on
 * the word on behalf of the line. Returns false if none can be started. Afterwards the caller
 * announces a waiter in the word. */
bool golock_task_enter(golock_task *task);

/* Makes the loop run a task that is in the line, after those of the loop that were appointed
 * before. Returns false, and does nothing, if there are none, or if the task gave way before. */
bool golock_task_give_way(golock_task *task);

/* Removes the task from wherever it is. Returns whether it was the claimant: then the caller has
 * the debt. */
bool golock_task_leave(golock_task *task);

/* The part of notify.c in the wait of a task that listens. All need the mutex. */

/* The task begins to listen. */
void golock_task_listens(golock_task *task);

/* Makes the loop run the task, which was notified. Returns false if the loop does not respond. */
bool golock_task_notify(golock_task *task);

/* The loop runs the task, and goes on to others. Meanwhile its notification does not lapse. */
void golock_task_resumes(golock_task *task);
void golock_task_suspends(golock_task *task, bool notified);

/* Whether the loop runs its tasks, so far as is known. */
static inline bool
golock_task_responds(const golock_task *task)
{
    return !task->port->unresponsive;
}

/* With the mutex: makes the first task whose loop responds the claimant, and wakes it. Returns
 * false if there is none. */
bool golock_tasks_appoint(uint32_t *word);

/* With the mutex: whether the first task goes before the threads that sleep on the word. */
bool golock_tasks_go_first(const uint32_t *word);

/* With the mutex: whether code that knows of no tasks knows the word. */
bool golock_tasks_are_foreign(const uint32_t *word);

/* A thread that has waited since then was woken on the word: those behind it came later. */
void golock_tasks_thread_woken(const uint32_t *word, int64_t since);

/* Wakes all tasks that wait for the word. */
void golock_tasks_wake_all(const uint32_t *word);

/* Code that does not know of tasks gets to know the word. Returns false if there is no thread for
 * the agent that the waiting tasks need. */
bool golock_tasks_share(uint32_t *word);

/* The word is about to be freed. Nobody waits for it. */
void golock_tasks_word_gone(uint32_t *word);

/* Opens and closes a port. golock_port_open needs the GIL, and returns false with errno set. */
bool golock_port_open(golock_port *port);
void golock_port_close(golock_port *port);

/* Whether the port is this process's, and not one copied by fork. */
bool golock_port_is_own(const golock_port *port);

/* The loop begins to run the port's tasks. */
void golock_port_begin(golock_port *port);

/* Returns the future of the next task to run, a new reference, or NULL: no more. Needs the GIL. */
PyObject *golock_port_next(golock_port *port);

/* Between these two calls the calling thread does not write the eventfd of one port of its
 * interpreter. golock_port_resume returns that port, whose loop is to be made to run it, or NULL.
 * They need the GIL, which must not be dropped in between. Without a GIL they do nothing. */
void golock_port_hold(void);
golock_port *golock_port_resume(void);

/* Makes the loop run the port. */
void golock_port_kick(golock_port *port);

void golock_tasks_before_fork(void);
void golock_tasks_after_fork_in_parent(void);
void golock_tasks_after_fork_in_child(void);

#endif
