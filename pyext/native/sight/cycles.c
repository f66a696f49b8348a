#include "sight/cycles.h"

#include "base/clock.h"
#include "sight/image_writer.h"
#include "sight/intern.h"
#include "sight/permits.h"
#include "sight/raise.h"
#include "sight/report.h"
#include "sight/serve.h"
#include "sight/threads.h"

#include <stdlib.h>
#include <string.h>

/* Nanoseconds between two looks, and between two wakes of a thread in which DeadlockError is to be
 * raised. */
#define SPACING 4000000

bool golock_look_planned = true;

static int on_deadlock = GOLOCK_DEADLOCK_IGNORE;
static int64_t threshold = GOLOCK_DEADLOCK_THRESHOLD;

/* The waits at one time, and who waits for whom. */
typedef struct {
    golock_seen_wait wait;
    golock_object_record object;
    uint64_t holder;
    uint32_t next;    /* in the walk: the wait of the holder */
    uint32_t walk[2]; /* the walk that came here, with and without by_gil, or 0 */
    uint32_t visit;   /* the last search among a semaphore's holders that came here */
    uint32_t pending; /* in such a search: the next to be visited */
} node;

#define NONE UINT32_MAX

typedef struct {
    node *nodes;
    size_t length, room;
    uint32_t *slots; /* a hash table of the threads that wait: indices of nodes, or NONE */
    size_t size;
    uint32_t with_gil; /* the Go code that waits while its thread has the GIL, or NONE */
    uint32_t walks, visits;
} graph;

static void
free_graph(graph *g)
{
    free(g->nodes);
    free(g->slots);
}

/* Whether the thread can do nothing but wait. One that was woken and waits for the GIL counts: it
 * does not get a lock that another thread holds. */
static bool
blocks(const golock_seen_wait *wait)
{
    return !(wait->flags & GOLOCK_WAIT_SUSPENDED);
}

static uint32_t *
slot_of(const graph *g, uint64_t thread)
{
    size_t index = (thread ^ thread >> 32) * 0x9E3779B97F4A7C15u >> 20 & (g->size - 1);
    while (g->slots[index] != NONE && g->nodes[g->slots[index]].wait.thread != thread) {
        index = (index + 1) & (g->size - 1);
    }
    return &g->slots[index];
}

/* Reads all waits. Returns false if there is no memory. */
static bool
read_waits(graph *g)
{
    const uint32_t length = golock_waits_length();
    if (g->room < length) {
        size_t size = 1024;
        while (size < 2 * (size_t)length) {
            size *= 2;
        }
        free_graph(g);
        *g = (graph){.nodes = malloc(length * sizeof(node)),
                     .slots = malloc(size * sizeof(uint32_t)),
                     .room = length,
                     .size = size};
        if (g->nodes == NULL || g->slots == NULL) {
            free_graph(g);
            *g = (graph){0};
            return false;
        }
    }
    memset(g->slots, 0xFF, g->size * sizeof(uint32_t));
    g->length = 0;
    g->walks = g->visits = 0;
    g->with_gil = NONE;
    for (uint32_t i = 0; i < length; i++) {
        node *each = &g->nodes[g->length];
        if (!golock_wait_read(golock_wait_at(i), &each->wait) || !blocks(&each->wait)) {
            continue;
        }
        each->walk[0] = each->walk[1] = each->visit = 0;
        if (each->wait.flags & GOLOCK_WAIT_HAS_GIL) {
            g->with_gil = (uint32_t)g->length;
        }
        *slot_of(g, each->wait.thread) = (uint32_t)g->length++;
    }
    return true;
}

static uint32_t
wait_of(const graph *g, uint64_t thread)
{
    return *slot_of(g, thread);
}

/* Whether the holder of a lock needs the GIL of the main interpreter to release it: it is a thread
 * of Python's that did not take the lock in Go. */
static bool
needs_gil(const golock_object_record *object)
{
    if (object->owner >> 40 != 0 || object->stack == 0) {
        return false;
    }
    const uint32_t frame = golock_interned_stack(object->stack).frame;
    return frame != 0 && !(golock_interned_frame(frame).flags & GOLOCK_FRAME_GO);
}

static bool
is_semaphore(const node *n)
{
    return n->object.kind == GOLOCK_KIND_SEMAPHORE ||
           n->object.kind == GOLOCK_KIND_BOUNDED_SEMAPHORE;
}

/* Reads the object for which the node waits. Returns false if it has no holder that is known. */
static bool
read_object(node *n)
{
    return golock_object_read(n->wait.object, &n->object) &&
           (uint64_t)(uintptr_t)n->object.address == n->wait.address &&
           (golock_kind_is_lock(n->object.kind) || is_semaphore(n));
}

/* Returns the wait of the thread that holds the lock for which a node waits; NONE if it does not
 * wait, or is unknown. */
static uint32_t
next_of_lock(graph *g, node *n, bool by_gil)
{
    n->holder = n->object.owner;
    if (n->holder == 0) {
        return NONE;
    }
    return by_gil && needs_gil(&n->object) ? g->with_gil : wait_of(g, n->holder);
}

/* A search of all threads that could, in the end, give back a permit. */
typedef struct {
    graph *graph;
    uint32_t pending; /* the first node to be visited, or NONE */
    bool runs;        /* whether one does not wait */
    const node *from; /* of the permits that are read */
    uint64_t holder;  /* one of from's holders, for another object than its own if there is one */
    uint32_t next;
} search;

static void
visit_holder(uint64_t holder, void *argument)
{
    search *s = argument;
    graph *g = s->graph;
    uint32_t index = holder == 0 ? NONE : wait_of(g, holder);
    if (index == NONE) {
        s->runs = true;
        return;
    }
    node *n = &g->nodes[index];
    if (s->next == NONE || n->wait.address != s->from->wait.address) {
        s->next = index;
        s->holder = holder;
    }
    if (n->visit != g->visits) {
        n->visit = g->visits;
        n->pending = s->pending;
        s->pending = index;
    }
}

/* Visits all holders of what a node waits for. */
static void
visit_holders(search *s, node *n)
{
    s->from = n;
    s->next = NONE;
    if (!read_object(n)) {
        s->runs = true;
    } else if (!is_semaphore(n)) {
        visit_holder(n->object.owner, s);
    } else if (n->object.flags & GOLOCK_OBJECT_STRANGER ||
               golock_permits_of(n->wait.object, visit_holder, s) == 0) {
        s->runs = true; /* permits come from threads that have taken none */
    }
}

/* The same for a semaphore. All who hold permits must wait, in the end for each other. */
static uint32_t
next_of_semaphore(graph *g, node *n)
{
    g->visits++;
    search s = {.graph = g, .pending = NONE};
    visit_holders(&s, n);
    const uint32_t next = s.next;
    n->holder = s.holder;
    while (!s.runs && s.pending != NONE) {
        node *each = &g->nodes[s.pending];
        s.pending = each->pending;
        visit_holders(&s, each);
    }
    return s.runs ? NONE : next;
}

static golock_cycle *
cycle_of(graph *g, uint32_t first)
{
    uint32_t length = 0, each = first;
    do {
        length++;
        each = g->nodes[each].next;
    } while (each != first);
    golock_cycle *cycle = malloc(sizeof(golock_cycle) + length * sizeof(golock_cycle_member));
    if (cycle == NULL) {
        return NULL;
    }
    *cycle = (golock_cycle){.length = length};
    bool certain = true, main = false, one = true, gil = false, task = false;
    for (uint32_t i = 0; i < length; i++, each = g->nodes[each].next) {
        const node *n = &g->nodes[each];
        cycle->members[i] = (golock_cycle_member){n->wait, n->object, n->holder};
        const bool has_gil = n->wait.flags & GOLOCK_WAIT_HAS_GIL;
        golock_thread_record thread;
        certain = certain && n->wait.deadline == GOLOCK_FOREVER && !is_semaphore(n) &&
                  !(n->object.flags & GOLOCK_OBJECT_STRANGER);
        main = main ||
               (golock_thread_find(n->wait.thread, &thread) && thread.flags & GOLOCK_THREAD_MAIN);
        one = one && n->wait.address == g->nodes[first].wait.address;
        gil = gil || (has_gil && n->holder != n->wait.thread);
        task = task || n->wait.thread & GOLOCK_TASK; /* anybody may cancel it */
    }
    /* A lock that its holder waits for may be a signal, which another thread sends by its release,
     * as it may have done before. Likewise the permits of a semaphore may come from other threads
     * than those that have taken some. */
    const bool itself = length == 1 && !gil;
    if (itself ? !certain : one && is_semaphore(&g->nodes[first])) {
        free(cycle);
        return NULL;
    }
    certain = certain && !itself && !task;
    cycle->flags =
        (certain ? GOLOCK_CYCLE_CERTAIN : 0u) | (main && !gil ? GOLOCK_CYCLE_MAIN_THREAD : 0u);
    return cycle;
}

/* Whether the wait has gone on since it was read, also while its thread runs signal handlers. */
static bool
lasts(const golock_seen_wait *wait)
{
    const golock_wait_record *record = wait->record;
    return __atomic_load_n(&record->object, __ATOMIC_RELAXED) != NULL &&
           __atomic_load_n(&record->thread, __ATOMIC_RELAXED) == wait->thread &&
           __atomic_load_n(&record->since, __ATOMIC_RELAXED) == wait->since;
}

/* All waits went on while the holders were read, so the cycle was one at that time. */
static bool
stands(const golock_cycle *cycle)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < cycle->length; i++) {
        const golock_seen_wait *wait = &cycle->members[i].wait;
        golock_seen_wait now;
        if (!golock_wait_read(wait->record, &now) || now.version != wait->version) {
            return false;
        }
    }
    return true;
}

/* Follows the holders from a node. With `by_gil`, a holder that runs Python code waits for the
 * thread that has the GIL. Returns a cycle that stands, or NULL; NULL also if the walk meets a
 * former one, which has found the cycle. */
static golock_cycle *
walk(graph *g, uint32_t start, bool by_gil)
{
    const uint32_t this = ++g->walks;
    uint32_t each = start;
    while (g->nodes[each].walk[by_gil] == 0) {
        node *n = &g->nodes[each];
        n->walk[by_gil] = this;
        n->next = !read_object(n)   ? NONE
                  : is_semaphore(n) ? next_of_semaphore(g, n)
                                    : next_of_lock(g, n, by_gil);
        if (n->next == NONE) {
            return NULL;
        }
        each = n->next;
    }
    golock_cycle *cycle = g->nodes[each].walk[by_gil] == this ? cycle_of(g, each) : NULL;
    if (cycle != NULL && !stands(cycle)) {
        free(cycle);
        cycle = NULL;
    }
    return cycle;
}

static golock_cycle *
cycle_from(graph *g, uint32_t start)
{
    golock_cycle *cycle = g->with_gil == NONE ? NULL : walk(g, start, true);
    return cycle != NULL ? cycle : walk(g, start, false);
}

void
golock_cycles_free(golock_cycle *cycles)
{
    while (cycles != NULL) {
        golock_cycle *next = cycles->next;
        free(cycles);
        cycles = next;
    }
}

/* Whether the two have the same waits. They may begin with different ones. */
static bool
same(const golock_cycle *a, const golock_cycle *b)
{
    if (a->length != b->length) {
        return false;
    }
    uint32_t shift = 0;
    const golock_seen_wait *first = &a->members[0].wait;
    while (shift < b->length && (b->members[shift].wait.thread != first->thread ||
                                 b->members[shift].wait.since != first->since)) {
        shift++;
    }
    for (uint32_t i = 0; i < a->length; i++) {
        const golock_seen_wait *one = &a->members[i].wait;
        const golock_seen_wait *other = &b->members[(i + shift) % b->length].wait;
        if (one->thread != other->thread || one->since != other->since) {
            return false;
        }
    }
    return true;
}

static bool
contains(const golock_cycle *list, const golock_cycle *cycle)
{
    while (list != NULL && !same(list, cycle)) {
        list = list->next;
    }
    return list != NULL;
}

golock_cycle *
golock_cycles_find(void)
{
    graph g = {0};
    golock_cycle *found = NULL;
    if (read_waits(&g)) {
        for (uint32_t i = 0; i < g.length; i++) {
            golock_cycle *cycle = cycle_from(&g, i);
            if (cycle != NULL && contains(found, cycle)) {
                free(cycle);
            } else if (cycle != NULL) {
                cycle->next = found;
                found = cycle;
            }
        }
        free_graph(&g);
    }
    return found;
}

void
golock_cycles_image(struct golock_image_writer *writer)
{
    if (!golock_image_wants(writer, GOLOCK_IMAGE_CYCLES)) {
        return;
    }
    golock_cycle *found = golock_cycles_find();
    uint64_t room = 0;
    for (const golock_cycle *each = found; each != NULL; each = each->next) {
        room += 2 + each->length;
    }
    uint32_t *numbers = golock_image_begin(writer, GOLOCK_IMAGE_CYCLES, sizeof(uint32_t), room);
    if (numbers != NULL) {
        uint64_t count = 0;
        for (const golock_cycle *each = found; each != NULL; each = each->next) {
            bool all = true;
            for (uint32_t i = 0; i < each->length; i++) {
                const golock_seen_wait *wait = &each->members[i].wait;
                uint32_t index = golock_image_find_wait(writer, wait->thread, wait->since);
                all = all && index != UINT32_MAX; /* it may have begun after WAITS was written */
                numbers[count + 2 + i] = index;
            }
            if (all) {
                numbers[count] = each->length;
                numbers[count + 1] = each->flags;
                count += 2 + each->length;
            }
        }
        golock_image_end(writer, count);
    }
    golock_cycles_free(found);
}

/* A wait that DeadlockError is to end. */
typedef struct raise {
    struct raise *next;
    golock_seen_wait wait;
} raise;

/* What the looks know. */
static struct {
    bool looking; /* one looks at a time */
    graph graph;
    golock_cycle *told; /* the cycles that were told and stand */
    int64_t *examined;  /* for each record of a wait: when the wait began that was examined last */
    uint32_t length;    /* of `examined` */
    raise *raises;
} looks;

void
golock_plan_look(void)
{
    if (!__atomic_exchange_n(&golock_look_planned, true, __ATOMIC_SEQ_CST)) {
        golock_serve_wake();
    }
}

enum golock_on_deadlock
golock_cycles_on_deadlock(void)
{
    return __atomic_load_n(&on_deadlock, __ATOMIC_ACQUIRE);
}

void
golock_cycles_set(enum golock_on_deadlock what, int64_t nanoseconds)
{
    __atomic_store_n(&threshold, nanoseconds, __ATOMIC_RELAXED);
    __atomic_store_n(&on_deadlock, what, __ATOMIC_RELEASE);
    __atomic_store_n(&golock_look_planned, false, __ATOMIC_SEQ_CST);
    golock_plan_look();
}

/* Makes `examined` as long as there are records of waits. Returns false if there is no memory. */
static bool
have_room(uint32_t length)
{
    if (length > looks.length) {
        int64_t *examined = realloc(looks.examined, length * sizeof(int64_t));
        if (examined == NULL) {
            return false;
        }
        memset(examined + looks.length, 0, (length - looks.length) * sizeof(int64_t));
        looks.examined = examined;
        looks.length = length;
    }
    return true;
}

/* Forgets the cycles of which a wait has ended. */
static void
forget_the_broken(void)
{
    for (golock_cycle **each = &looks.told; *each != NULL;) {
        golock_cycle *cycle = *each;
        bool all = true;
        for (uint32_t i = 0; i < cycle->length; i++) {
            all = all && lasts(&cycle->members[i].wait);
        }
        if (all) {
            each = &cycle->next;
        } else {
            *each = cycle->next;
            free(cycle);
        }
    }
}

/* Wakes the threads in which DeadlockError is to be raised: again, because one that was about to
 * sleep may have missed the first wake. */
static void
wake_the_raising(void)
{
    for (raise **each = &looks.raises; *each != NULL;) {
        raise *one = *each;
        if (lasts(&one->wait)) {
            golock_raise_wake(&one->wait);
            each = &one->next;
        } else {
            *each = one->next;
            free(one);
        }
    }
}

/* Has DeadlockError raised in the youngest wait that may raise. Returns false if there is none, or
 * no memory. */
static bool
raise_in(const golock_cycle *cycle)
{
    const golock_seen_wait *youngest = NULL;
    for (uint32_t i = 0; i < cycle->length; i++) {
        const golock_seen_wait *wait = &cycle->members[i].wait;
        if (wait->word != NULL && (youngest == NULL || wait->since > youngest->since)) {
            youngest = wait;
        }
    }
    raise *one = youngest == NULL ? NULL : malloc(sizeof(raise));
    char *text = one == NULL ? NULL : golock_report_text(cycle);
    if (text == NULL || !golock_raise_in(youngest, text)) {
        free(text);
        free(one);
        return false;
    }
    *one = (raise){looks.raises, *youngest};
    looks.raises = one;
    return true; /* this look wakes it */
}

static void
tell(const golock_cycle *cycle, int what)
{
    if (what == GOLOCK_DEADLOCK_QUEUE) {
        golock_report_queue(cycle);
    } else if (what != GOLOCK_DEADLOCK_RAISE || !(cycle->flags & GOLOCK_CYCLE_CERTAIN) ||
               !raise_in(cycle)) {
        golock_report_write(cycle);
    }
}

/* Examines one wait. */
static void
examine(graph *g, const golock_seen_wait *wait, int what)
{
    const uint32_t index = wait_of(g, wait->thread);
    golock_cycle *cycle = index == NONE ? NULL : cycle_from(g, index);
    if (cycle != NULL && contains(looks.told, cycle)) {
        free(cycle);
    } else if (cycle != NULL) {
        cycle->next = looks.told;
        looks.told = cycle;
        tell(cycle, what);
    }
}

static int64_t
processor_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * NS_PER_SECOND + time.tv_nsec;
}

static int64_t
look(void)
{
    const int what = golock_cycles_on_deadlock();
    __atomic_store_n(&golock_look_planned, what == GOLOCK_DEADLOCK_IGNORE, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (what == GOLOCK_DEADLOCK_IGNORE) {
        return GOLOCK_FOREVER;
    }
    const int64_t now = golock_now(), patience = __atomic_load_n(&threshold, __ATOMIC_RELAXED);
    const int64_t begun = processor_time();
    const uint32_t length = golock_waits_length();
    int64_t next = GOLOCK_FOREVER;
    bool have_read = false;
    if (!have_room(length)) {
        return now + patience;
    }
    forget_the_broken();
    for (uint32_t i = 0; i < length; i++) {
        golock_seen_wait wait;
        if (!golock_wait_read(golock_wait_at(i), &wait) || !blocks(&wait) ||
            wait.resumed == looks.examined[i]) {
            continue;
        }
        if (now - wait.resumed < patience) {
            next = wait.resumed + patience < next ? wait.resumed + patience : next;
            continue;
        }
        if (!have_read && !read_waits(&looks.graph)) {
            return now + patience;
        }
        have_read = true;
        looks.examined[i] = wait.resumed;
        examine(&looks.graph, &wait, what);
    }
    wake_the_raising();
    const bool unwritten = golock_report_flush();
    if (next != GOLOCK_FOREVER || unwritten || looks.raises != NULL) {
        __atomic_store_n(&golock_look_planned, true, __ATOMIC_RELAXED);
        /* Among many thousands of waits a look takes a while. */
        const int64_t took = processor_time() - begun;
        const int64_t soon = now + (2 * took > SPACING ? 2 * took : SPACING);
        next = unwritten || looks.raises != NULL || next < soon ? soon : next;
    }
    return next;
}

int64_t
golock_sight_look(void)
{
    if (__atomic_exchange_n(&looks.looking, true, __ATOMIC_ACQUIRE)) {
        return golock_now() + SPACING; /* a former core's service looks */
    }
    int64_t next = look();
    __atomic_store_n(&looks.looking, false, __ATOMIC_RELEASE);
    return next;
}

void
golock_cycles_after_fork(void)
{
    if (looks.looking) { /* the parent was changing them */
        looks.graph = (graph){0};
        looks.told = NULL;
        looks.raises = NULL;
        looks.examined = NULL;
    }
    free_graph(&looks.graph);
    looks.graph = (graph){0};
    golock_cycles_free(looks.told);
    looks.told = NULL;
    while (looks.raises != NULL) {
        raise *one = looks.raises;
        looks.raises = one->next;
        free(one);
    }
    free(looks.examined);
    looks.examined = NULL;
    looks.length = 0;
    looks.looking = false;
    golock_look_planned = on_deadlock == GOLOCK_DEADLOCK_IGNORE;
    golock_report_after_fork();
}
