#include "waiting/tasks.h"

#include "base/clock.h"
#include "base/futex.h"
#include "waiting/notify.h"
#include "waiting/plain.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Nanoseconds. A claim or a notification lapses after one to two periods. Long compared with a turn
 * of a healthy loop. */
#define PERIOD 50000000

/* The channel on which an agent is told to end. */
#define AGENTS 0x10u

/* Bytes. The threads here call nothing deep. */
#define STACK 65536

typedef struct line {
    struct line *next; /* in its bucket */
    uint32_t *word;
    golock_task *first, *last; /* in the order of `since` */
    int64_t threads_since;     /* when the thread that was woken last had come */
    golock_task_kind kind;
    bool has_agent;
    bool ends; /* the agent is to end */
    pthread_cond_t changed;
} line;

int32_t golock_tasks_in_line[GOLOCK_COUNTERS];
int32_t golock_tasks_appointed[GOLOCK_COUNTERS];

static pthread_mutex_t mutex;
static line *lines[GOLOCK_COUNTERS];
static golock_task *first_given, *last_given;
static uint32_t period;
static bool gave; /* in this period */
static bool keeper_runs, keeper_idle;
static pthread_cond_t keeper_bell = PTHREAD_COND_INITIALIZER;
static uint32_t process = 1; /* another number in each child process */

/* Between golock_port_hold and golock_port_resume: whose ports may be held, and the one that is. */
static _Thread_local struct {
    PyInterpreterState *interpreter;
    golock_port *port;
} held __attribute__((tls_model("initial-exec")));

static void __attribute__((constructor))
make_mutex(void)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

void
golock_tasks_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
golock_tasks_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

/* Below, the caller has the mutex, up to the functions with a header. */

static line *
line_of(const uint32_t *word)
{
    line *l = lines[golock_counter_of(word)];
    while (l != NULL && l->word != word) {
        l = l->next;
    }
    return l;
}

static line *
make_line(const golock_task *task)
{
    line *l = PyMem_RawCalloc(1, sizeof(line));
    if (l != NULL) {
        line **bucket = &lines[golock_counter_of(task->word)];
        *l = (line){.next = *bucket, .word = task->word, .kind = task->kind};
        pthread_cond_init(&l->changed, NULL);
        *bucket = l;
    }
    return l;
}

static void
free_line(line *l)
{
    line **each = &lines[golock_counter_of(l->word)];
    while (*each != l) {
        each = &(*each)->next;
    }
    *each = l->next;
    pthread_cond_destroy(&l->changed);
    PyMem_RawFree(l);
}

static void
link_after(golock_task **first, golock_task **last, golock_task *task, golock_task *before)
{
    task->previous = before;
    task->next = before == NULL ? *first : before->next;
    *(task->previous == NULL ? first : &task->previous->next) = task;
    *(task->next == NULL ? last : &task->next->previous) = task;
}

static void
unlink_task(golock_task **first, golock_task **last, golock_task *task)
{
    *(task->previous == NULL ? first : &task->previous->next) = task->next;
    *(task->next == NULL ? last : &task->next->previous) = task->previous;
    task->previous = task->next = NULL;
}

static void
remove_from_line(golock_task *task)
{
    line *l = line_of(task->word);
    unlink_task(&l->first, &l->last, task);
    task->state = GOLOCK_TASK_OUT;
    __atomic_sub_fetch(&golock_tasks_in_line[golock_counter_of(task->word)], 1, __ATOMIC_SEQ_CST);
    if (l->first == NULL && !l->has_agent) {
        free_line(l);
    }
}

void
golock_port_kick(golock_port *port)
{
    pthread_mutex_lock(&mutex);
    if (!port->kicked) {
        port->kicked = true;
        /* It fails only if the counter is at its limit, and then the descriptor is readable. */
        ssize_t written = write(port->descriptor, &(uint64_t){1}, sizeof(uint64_t));
        (void)written;
    }
    pthread_mutex_unlock(&mutex);
}

static void
make_ready(golock_task *task)
{
    golock_port *port = task->port;
    if (!task->ready) {
        task->ready = true;
        task->next_ready = NULL;
        task->previous_ready = port->last_ready;
        *(port->last_ready == NULL ? &port->first_ready : &port->last_ready->next_ready) = task;
        port->last_ready = task;
    }
    if (held.interpreter == port->interpreter && (held.port == NULL || held.port == port)) {
        held.port = port;
    } else {
        golock_port_kick(port);
    }
}

static void
make_unready(golock_task *task)
{
    golock_port *port = task->port;
    if (task->ready) {
        task->ready = false;
        *(task->previous_ready == NULL ? &port->first_ready : &task->previous_ready->next_ready) =
            task->next_ready;
        *(task->next_ready == NULL ? &port->last_ready : &task->next_ready->previous_ready) =
            task->previous_ready;
    }
}

static void
enroll(golock_task *task)
{
    golock_port *port = task->port;
    task->previous_enrolled = NULL;
    task->next_enrolled = port->first_enrolled;
    if (port->first_enrolled != NULL) {
        port->first_enrolled->previous_enrolled = task;
    }
    port->first_enrolled = task;
}

static void
unenroll(golock_task *task)
{
    *(task->previous_enrolled == NULL ? &task->port->first_enrolled
                                      : &task->previous_enrolled->next_enrolled) =
        task->next_enrolled;
    if (task->next_enrolled != NULL) {
        task->next_enrolled->previous_enrolled = task->previous_enrolled;
    }
}

static void
count_appointed(golock_task *task, int change)
{
    task->appointed = change > 0;
    task->port->appointed += (uint32_t)change;
    __atomic_add_fetch(&golock_tasks_appointed[golock_counter_of(task->word)], change,
                       __ATOMIC_RELAXED);
}

/* Begins the patience with a task that has a claim or a notification. */
static void
give(golock_task *task)
{
    if (task->given) {
        return;
    }
    task->given = true;
    task->period = period;
    task->next_given = NULL;
    task->previous_given = last_given;
    *(last_given == NULL ? &first_given : &last_given->next_given) = task;
    last_given = task;
    gave = true;
    if (keeper_idle) {
        keeper_idle = false;
        pthread_cond_signal(&keeper_bell);
    }
}

/* Ends it. */
static void
take(golock_task *task)
{
    if (task->given) {
        task->given = false;
        *(task->previous_given == NULL ? &first_given : &task->previous_given->next_given) =
            task->next_given;
        *(task->next_given == NULL ? &last_given : &task->next_given->previous_given) =
            task->previous_given;
    }
}

/* The loop runs again. Its tasks look at their words, because nobody has woken them meanwhile. It
 * may stop before they do, so notifications lapse again. */
static void
respond(golock_port *port)
{
    if (port->unresponsive) {
        port->unresponsive = false;
        for (golock_task *each = port->first_enrolled; each != NULL; each = each->next_enrolled) {
            make_ready(each);
            if (each->listener != NULL && !each->runs && golock_is_notified(each->listener)) {
                give(each);
            }
        }
    }
}

/* Returns the first task of the line whose loop responds, or NULL. */
static golock_task *
first_responsive(const line *l)
{
    golock_task *task = l == NULL ? NULL : l->first;
    while (task != NULL && task->port->unresponsive) {
        task = task->next;
    }
    return task;
}

bool
golock_tasks_go_first(const uint32_t *word)
{
    const line *l = line_of(word);
    const golock_task *task = first_responsive(l);
    return task != NULL && !task->foreign && (task->returns || task->since <= l->threads_since);
}

bool
golock_tasks_are_foreign(const uint32_t *word)
{
    const line *l = line_of(word);
    return l == NULL || l->has_agent;
}

bool
golock_tasks_appoint(uint32_t *word)
{
    golock_task *task = first_responsive(line_of(word));
    if (task == NULL || task->kind == GOLOCK_TASK_EVENT) {
        return false;
    }
    remove_from_line(task);
    task->state = GOLOCK_TASK_CLAIMANT;
    task->returns = true;
    if (!task->appointed) {
        count_appointed(task, 1);
    }
    give(task);
    make_ready(task);
    return true;
}

/* A loop stops responding. The notifications of its tasks go to others. */
static void
stop_responding(golock_port *port)
{
    if (!port->unresponsive) {
        port->unresponsive = true;
        for (golock_task *each = port->first_enrolled; each != NULL; each = each->next_enrolled) {
            if (each->listener != NULL && !each->runs) {
                if (each->state != GOLOCK_TASK_CLAIMANT) {
                    take(each);
                }
                golock_let_notification_lapse(each->listener);
            }
        }
    }
}

/* Passes on the claims and notifications that were given before the last period. */
static void
let_lapse(void)
{
    golock_task *task;
    while ((task = first_given) != NULL && period - task->period >= 2) {
        take(task);
        stop_responding(task->port);
        if (task->state == GOLOCK_TASK_CLAIMANT) {
            task->state = GOLOCK_TASK_LISTENS;
            if (task->listener == NULL) {
                task->state = GOLOCK_TASK_OUT;
                unenroll(task);
            }
            golock_plain_pass_claim(task->word, task->kind == GOLOCK_TASK_PERMIT);
        }
    }
}

/* The keeper: a thread that passes on the claims and the notifications of tasks whose loops do not
 * run. It sleeps while none are given. */
static void *
keep(void *Py_UNUSED(nothing))
{
    const struct timespec one_period = {.tv_nsec = PERIOD};
    pthread_mutex_lock(&mutex);
    for (;;) {
        if (!gave && first_given == NULL) {
            keeper_idle = true;
            while (keeper_idle) {
                pthread_cond_wait(&keeper_bell, &mutex);
            }
        }
        gave = false;
        pthread_mutex_unlock(&mutex);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &one_period, NULL);
        pthread_mutex_lock(&mutex);
        period++;
        let_lapse();
    }
    return NULL;
}

/* Starts a thread without signals. Returns whether it could. */
static bool
start(void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, run, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* Announces the line in the word of its event, and wakes those whose wait is over. Returns the word
 * on which to sleep. */
static uint32_t
announce_for_event(line *l)
{
    uint32_t word = __atomic_load_n(l->word, __ATOMIC_SEQ_CST);
    while ((word & GOLOCK_SET) == 0 && (word & GOLOCK_SLEEPERS) == 0) {
        if (__atomic_compare_exchange_n(l->word, &word, word | GOLOCK_SLEEPERS, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            word |= GOLOCK_SLEEPERS;
        }
    }
    return word;
}

/* An agent: a thread that sleeps on a word which code knows that does not know of tasks. A wake
 * that reaches it is the first task's. It sleeps elsewhere while no task waits. */
static void *
represent(void *argument)
{
    line *l = argument;
    const bool semaphore = l->kind == GOLOCK_TASK_PERMIT, event = l->kind == GOLOCK_TASK_EVENT;
    pthread_mutex_lock(&mutex);
    while (!l->ends) {
        if (first_responsive(l) == NULL) {
            pthread_cond_wait(&l->changed, &mutex);
            continue;
        }
        uint32_t value = event ? announce_for_event(l) : golock_plain_announce(l->word, semaphore);
        if (event && (value & GOLOCK_SET)) {
            golock_tasks_wake_all(l->word);
            continue;
        }
        if (first_responsive(l) == NULL) {
            continue;
        }
        pthread_mutex_unlock(&mutex);
        long slept = golock_futex_wait(l->word, value, GOLOCK_NO_LIMIT, GOLOCK_SLEEPER | AGENTS);
        pthread_mutex_lock(&mutex);
        if (event) {
            golock_tasks_wake_all(l->word);
        } else if (slept == 0 && !l->ends && !golock_tasks_appoint(l->word)) {
            golock_plain_pass_claim(l->word, semaphore);
        }
    }
    l->has_agent = false;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static bool
give_agent(line *l)
{
    if (!l->has_agent) {
        l->has_agent = start(represent, l);
    }
    return l->has_agent;
}

bool
golock_tasks_start(void)
{
    pthread_mutex_lock(&mutex);
    if (!keeper_runs) {
        keeper_runs = start(keep, NULL);
    }
    bool runs = keeper_runs;
    pthread_mutex_unlock(&mutex);
    return runs;
}

bool
golock_task_enter(golock_task *task)
{
    pthread_mutex_lock(&mutex);
    task->port->thread = pthread_self();
    respond(task->port);
    line *l = line_of(task->word);
    if (l == NULL) {
        l = make_line(task);
    }
    bool in = l != NULL && (!task->foreign || give_agent(l));
    if (in) {
        golock_task *before = l->last;
        while (before != NULL && before->since > task->since) {
            before = before->previous;
        }
        link_after(&l->first, &l->last, task, before);
        task->state = GOLOCK_TASK_IN_LINE;
        enroll(task);
        __atomic_add_fetch(&golock_tasks_in_line[golock_counter_of(task->word)], 1,
                           __ATOMIC_SEQ_CST);
        pthread_cond_broadcast(&l->changed);
    } else if (l != NULL && l->first == NULL && !l->has_agent) {
        free_line(l);
    }
    pthread_mutex_unlock(&mutex);
    return in;
}

bool
golock_task_leave(golock_task *task)
{
    if (!golock_port_is_own(task->port)) {
        return false;
    }
    pthread_mutex_lock(&mutex);
    const bool claimant = task->state == GOLOCK_TASK_CLAIMANT;
    if (task->state != GOLOCK_TASK_OUT) {
        unenroll(task);
    }
    if (task->state == GOLOCK_TASK_IN_LINE) {
        remove_from_line(task);
    }
    if (task->appointed) {
        count_appointed(task, -1);
    }
    take(task);
    task->state = GOLOCK_TASK_OUT;
    make_unready(task);
    respond(task->port);
    pthread_mutex_unlock(&mutex);
    return claimant;
}

bool
golock_task_give_way(golock_task *task)
{
    pthread_mutex_lock(&mutex);
    const bool gives_way = !task->gave_way && task->port->appointed > 0;
    if (gives_way) {
        task->gave_way = true;
        make_ready(task);
    }
    pthread_mutex_unlock(&mutex);
    return gives_way;
}

void
golock_task_listens(golock_task *task)
{
    task->port->thread = pthread_self();
    respond(task->port);
    task->state = GOLOCK_TASK_LISTENS;
    enroll(task);
}

bool
golock_task_notify(golock_task *task)
{
    if (!task->runs && !task->port->unresponsive) {
        give(task);
    }
    make_ready(task);
    return task->runs || !task->port->unresponsive;
}

void
golock_task_resumes(golock_task *task)
{
    task->runs = true;
    if (task->state != GOLOCK_TASK_CLAIMANT) {
        take(task);
    }
    respond(task->port);
}

void
golock_task_suspends(golock_task *task, bool notified)
{
    task->runs = false;
    respond(task->port);
    if (task->state == GOLOCK_TASK_OUT) {
        task->state = GOLOCK_TASK_LISTENS;
        enroll(task);
    }
    if (notified && task->state == GOLOCK_TASK_LISTENS) { /* perhaps while it ran */
        golock_task_notify(task);
    }
}

void
golock_tasks_thread_woken(const uint32_t *word, int64_t since)
{
    pthread_mutex_lock(&mutex);
    line *l = line_of(word);
    if (l != NULL && l->threads_since < since) {
        l->threads_since = since;
    }
    pthread_mutex_unlock(&mutex);
}

void
golock_tasks_wake_all(const uint32_t *word)
{
    pthread_mutex_lock(&mutex);
    line *l;
    while ((l = line_of(word)) != NULL && l->first != NULL) {
        golock_task *task = l->first;
        remove_from_line(task);
        unenroll(task);
        make_ready(task);
    }
    pthread_mutex_unlock(&mutex);
}

bool
golock_tasks_share(uint32_t *word)
{
    pthread_mutex_lock(&mutex);
    line *l = line_of(word);
    bool can = l == NULL || give_agent(l);
    for (golock_task *each = can && l != NULL ? l->first : NULL; each != NULL; each = each->next) {
        each->foreign = true;
    }
    pthread_mutex_unlock(&mutex);
    return can;
}

/* The agent may be about to sleep, and the word does not change for it. */
void
golock_tasks_word_gone(uint32_t *word)
{
    const struct timespec moment = {.tv_nsec = 100000};
    pthread_mutex_lock(&mutex);
    line *l = line_of(word);
    if (l != NULL) {
        l->ends = true;
        pthread_cond_broadcast(&l->changed);
        while (l->has_agent) {
            pthread_mutex_unlock(&mutex);
            golock_futex_wake(word, 1, AGENTS);
            clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
            pthread_mutex_lock(&mutex);
        }
        free_line(l);
    }
    pthread_mutex_unlock(&mutex);
}

bool
golock_port_open(golock_port *port)
{
    *port = (golock_port){.descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    port->process = process;
    port->interpreter = PyInterpreterState_Get();
    return port->descriptor >= 0;
}

void
golock_port_close(golock_port *port)
{
    close(port->descriptor);
}

bool
golock_port_is_own(const golock_port *port)
{
    return port->process == __atomic_load_n(&process, __ATOMIC_RELAXED);
}

void
golock_port_begin(golock_port *port)
{
    pthread_mutex_lock(&mutex);
    port->thread = pthread_self();
    if (port->kicked) {
        uint64_t count;
        ssize_t bytes = read(port->descriptor, &count, sizeof(count));
        (void)bytes;
        port->kicked = false;
    }
    respond(port);
    pthread_mutex_unlock(&mutex);
}

/* The waiter that owns the future removes its task, with the mutex, before it drops the future. */
PyObject *
golock_port_next(golock_port *port)
{
    PyObject *future = NULL;
    pthread_mutex_lock(&mutex);
    while (port->first_ready != NULL && future == NULL) {
        golock_task *task = port->first_ready;
        make_unready(task);
        future = Py_XNewRef(task->future);
    }
    pthread_mutex_unlock(&mutex);
    return future;
}

void
golock_port_hold(void)
{
#ifndef Py_GIL_DISABLED
    held.interpreter = PyInterpreterState_Get();
#endif
}

golock_port *
golock_port_resume(void)
{
    golock_port *port = held.port;
    held.interpreter = NULL;
    held.port = NULL;
    return port;
}

void
golock_tasks_before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

void
golock_tasks_after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

/* The parent's loops, and the threads here, do not exist in the child. */
void
golock_tasks_after_fork_in_child(void)
{
    make_mutex();
    __atomic_store_n(&process, process + 1, __ATOMIC_RELAXED);
    memset(lines, 0, sizeof(lines));
    memset(golock_tasks_in_line, 0, sizeof(golock_tasks_in_line));
    memset(golock_tasks_appointed, 0, sizeof(golock_tasks_appointed));
    first_given = last_given = NULL;
    gave = keeper_runs = keeper_idle = false;
    keeper_bell = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    held.interpreter = NULL;
    held.port = NULL;
}
