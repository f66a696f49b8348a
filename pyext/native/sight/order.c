#include "sight/order.h"

#include "sight/frame.h"
#include "sight/image_writer.h"
#include "sight/intern.h"
#include "sight/report.h"
#include "sight/threads.h"

#include <sched.h>
#include <stdlib.h>

/* A lock that a thread holds. */
typedef struct {
    const golock_object_record *record;
    const void *frame; /* the one that took it, or NULL */
    uint64_t identity; /* of the frame */
    uint64_t chain;    /* a hash of the numbers of the locks up to this one */
    uint32_t number;   /* of the record, when it was taken */
} held_lock;

/* The locks that a thread holds, in the order in which it took them. Only the thread accesses them,
 * so a lock that another thread releases, or that dies, stays for a while: see `epoch`. */
struct golock_held_locks {
    uint64_t epoch;
    uint64_t key; /* of the thread */
    struct golock_held_locks *next;
    uint32_t count;
    held_lock locks[GOLOCK_MOST_HELD];
};

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* Starts are counted in the upper half. The lower half counts events after which a thread may have
 * locks in its list that it does not hold. */
static uint64_t epoch;
#define START ((uint64_t)1 << 32)

static uint64_t dropped;

/* Guards the graph. It is held for one call of graph.c, without a call of anything that may wait.
 */
static bool locked;

static void
lock_graph(void)
{
    while (__atomic_exchange_n(&locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void
unlock_graph(void)
{
    __atomic_store_n(&locked, false, __ATOMIC_RELEASE);
}

/* Chains of held locks, with the one taken last, whose edges are in the graph: a cache of hashes in
 * pairs. Chains of before the last start have other hashes. */
#define CHAINS ((uint32_t)1 << 15)
static uint64_t chains[CHAINS];

static inline uint64_t
chain_of(uint64_t before, uint32_t number)
{
    uint64_t hash = (before ^ number) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static inline uint64_t *
pair_of(uint64_t chain)
{
    return &chains[chain % (CHAINS / 2) * 2];
}

static inline bool
is_seen(uint64_t chain)
{
    const uint64_t *pair = pair_of(chain);
    return LOAD(pair[0]) == chain || LOAD(pair[1]) == chain;
}

static void
set_seen(uint64_t chain)
{
    uint64_t *pair = pair_of(chain);
    __atomic_store_n(&pair[1], LOAD(pair[0]), __ATOMIC_RELAXED);
    __atomic_store_n(&pair[0], chain, __ATOMIC_RELAXED);
}

static inline bool
is_mutex(const golock_object_record *record)
{
    return !(LOAD(record->flags) & GOLOCK_OBJECT_STRANGER);
}

static uint64_t
chain_before(const struct golock_held_locks *list, uint32_t index)
{
    return index == 0 ? chain_of(list->epoch / START, 0) : list->locks[index - 1].chain;
}

static void
append(struct golock_held_locks *list, held_lock lock)
{
    lock.chain = chain_of(chain_before(list, list->count), lock.number);
    list->locks[list->count++] = lock;
}

/* Removes the locks that the thread does not hold. */
static void
review(struct golock_held_locks *list, uint64_t key)
{
    const uint64_t now = LOAD(epoch);
    const uint32_t count = list->key == key && list->epoch / START == now / START ? list->count : 0;
    list->count = 0;
    list->key = key;
    list->epoch = now;
    for (uint32_t i = 0; i < count; i++) {
        const golock_object_record *record = list->locks[i].record;
        if (LOAD(record->number) == list->locks[i].number && LOAD(record->owner) == key &&
            is_mutex(record)) {
            append(list, list->locks[i]);
        }
    }
}

static inline void
review_if_due(struct golock_held_locks *list, uint64_t key)
{
    if (list->epoch != LOAD(epoch) || list->key != key) {
        review(list, key);
    }
}

static golock_ordered_lock
ordered_lock(const golock_object_record *record)
{
    return (golock_ordered_lock){
        .address = LOAD(record->address),
        .number = LOAD(record->number),
        .place = LOAD(record->created),
        .stack = LOAD(record->stack),
        .name = LOAD(record->name),
        .kind = LOAD(record->kind),
    };
}

static bool
same_function(uint32_t stack, uint32_t other)
{
    const struct golock_image_frame one = golock_interned_frame(golock_interned_stack(stack).frame);
    const struct golock_image_frame two = golock_interned_frame(golock_interned_stack(other).frame);
    return one.file == two.file && one.function == two.function;
}

/* Adds the callers to the lines where the held locks were taken, as far as the frames that took
 * them still run: they are frames of the stack `now`. */
static void
add_callers(const struct golock_held_locks *list, golock_ordered_lock *held, uint32_t now)
{
    const void *frame = golock_innermost_frame(PyThreadState_Get());
    for (; frame != NULL && now != 0; frame = golock_calling_frame(frame)) {
        const struct golock_image_stack here = golock_interned_stack(now);
        for (uint32_t i = 0; i < list->count; i++) {
            const uint32_t line = held[i].stack;
            if (list->locks[i].frame == frame && line != 0 && same_function(line, now) &&
                list->locks[i].identity == golock_frame_identity(frame)) {
                const uint32_t stack =
                    golock_intern_stack(here.caller, golock_interned_stack(line).frame);
                held[i].stack = stack != 0 ? stack : line;
            }
        }
        now = here.caller;
    }
}

static void
copy_held(const struct golock_held_locks *list, golock_ordered_lock *held)
{
    for (uint32_t i = 0; i < list->count; i++) {
        held[i] = ordered_lock(list->locks[i].record);
    }
}

static void
report(uint32_t circle, uint32_t end)
{
    for (; circle < end; circle++) {
        golock_report_order(circle);
    }
}

static void
check_slow(golock_thread_record *thread, const struct golock_held_locks *list,
           const golock_object_record *record)
{
    golock_ordered_lock held[GOLOCK_MOST_HELD];
    copy_held(list, held);
    golock_order_edge seen = {.thread = thread->key, .to = ordered_lock(record)};
    lock_graph();
    const bool known = golock_graph_has(held, (int)list->count, &seen.to);
    unlock_graph();
    if (known) {
        return;
    }
    seen.to.stack = golock_stack_here();
    add_callers(list, held, seen.to.stack);
    if (thread->name == 0) {
        golock_thread_refresh_name(thread);
    }
    seen.thread_name = LOAD(thread->name);
    lock_graph();
    uint32_t circle = golock_graph_circles();
    const uint32_t circles = golock_graph_add(held, (int)list->count, seen);
    unlock_graph();
    report(circle, circles);
}

void
golock_order_check(const golock_object_record *record)
{
    golock_thread_record *thread = golock_thread_current();
    struct golock_held_locks *list = thread == NULL ? NULL : thread->held;
    if (list == NULL || list->count == 0) {
        return;
    }
    review_if_due(list, thread->key);
    if (list->count == 0 || !is_mutex(record)) {
        return;
    }
    const uint64_t chain = chain_of(list->locks[list->count - 1].chain, LOAD(record->number));
    if (!is_seen(chain)) {
        check_slow(thread, list, record);
        set_seen(chain);
    }
}

void
golock_order_push(const golock_object_record *record)
{
    golock_thread_record *thread = golock_thread_current();
    if (thread == NULL || !is_mutex(record)) {
        return;
    }
    struct golock_held_locks *list = thread->held;
    if (list == NULL) {
        list = thread->held = calloc(1, sizeof(*list));
    }
    if (list != NULL) {
        review_if_due(list, thread->key);
    }
    if (list == NULL || list->count == GOLOCK_MOST_HELD) {
        __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
        return;
    }
    const void *frame = golock_innermost_frame(PyThreadState_Get());
    append(list, (held_lock){
                     .record = record,
                     .frame = frame,
                     .identity = frame == NULL ? 0 : golock_frame_identity(frame),
                     .number = LOAD(record->number),
                 });
}

static void
remove_held(struct golock_held_locks *list, const golock_object_record *record)
{
    uint32_t index = list == NULL ? 0 : list->count;
    while (index > 0 && list->locks[index - 1].record != record) {
        index--;
    }
    if (index == 0) {
        return;
    }
    const uint32_t count = list->count;
    list->count = index - 1;
    for (; index < count; index++) {
        append(list, list->locks[index]);
    }
}

void
golock_order_pop(const golock_object_record *record)
{
    const golock_thread_record *thread = golock_thread_current();
    remove_held(thread == NULL ? NULL : thread->held, record);
}

/* The lists of goroutines that hold locks, by their keys, and those that are free. Guarded as the
 * graph is. */
#define BUCKETS 4096
static struct golock_held_locks *goroutines[BUCKETS], *spare;

static void
free_list(struct golock_held_locks **place)
{
    struct golock_held_locks *list = *place;
    *place = list->next;
    list->next = spare;
    spare = list;
}

/* Returns where the list of the goroutine hangs, or where it belongs. Frees lists of
 * others in which nothing is left: their goroutines may have ended. */
static struct golock_held_locks **
list_at(uint64_t key)
{
    struct golock_held_locks **place = &goroutines[key % BUCKETS];
    while (*place != NULL && (*place)->key != key) {
        review_if_due(*place, (*place)->key);
        if ((*place)->count == 0) {
            free_list(place);
        } else {
            place = &(*place)->next;
        }
    }
    return place;
}

/* Returns the list of the goroutine, or NULL if there is no memory. */
static struct golock_held_locks *
list_of(uint64_t key)
{
    struct golock_held_locks **place = list_at(key);
    if (*place == NULL) {
        struct golock_held_locks *list = spare;
        if (list != NULL) {
            spare = list->next;
        } else if ((list = malloc(sizeof(*list))) == NULL) {
            return NULL;
        }
        list->key = key;
        list->epoch = LOAD(epoch);
        list->count = 0;
        list->next = NULL;
        *place = list;
    }
    return *place;
}

void
golock_order_taken_by(const golock_object_record *record, uint64_t key, bool tried)
{
    if (golock_sight_now() < GOLOCK_SIGHT_ORDER || !is_mutex(record)) {
        return;
    }
    lock_graph();
    struct golock_held_locks *list = list_of(key);
    uint32_t circle = golock_graph_circles(), circles = circle;
    if (list != NULL) {
        review_if_due(list, key);
    }
    if (list == NULL || list->count == GOLOCK_MOST_HELD) {
        __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
    } else {
        if (!tried && list->count > 0) {
            golock_ordered_lock held[GOLOCK_MOST_HELD];
            copy_held(list, held);
            circles =
                golock_graph_add(held, (int)list->count,
                                 (golock_order_edge){.thread = key, .to = ordered_lock(record)});
        }
        append(list, (held_lock){.record = record, .number = LOAD(record->number)});
    }
    unlock_graph();
    report(circle, circles);
}

void
golock_order_released_by(const golock_object_record *record, uint64_t key)
{
    if (golock_sight_now() < GOLOCK_SIGHT_ORDER) {
        return;
    }
    lock_graph();
    struct golock_held_locks **place = list_at(key);
    remove_held(*place, record);
    if (*place != NULL && (*place)->count == 0) {
        free_list(place);
    }
    unlock_graph();
}

void
golock_order_not_held(const golock_object_record *record)
{
    __atomic_add_fetch(&epoch, 1, __ATOMIC_RELAXED);
    if (golock_sight_now() >= GOLOCK_SIGHT_ORDER) {
        golock_order_remove(record, !is_mutex(record));
    }
}

void
golock_order_remove(const golock_object_record *record, bool all)
{
    const uint8_t kind = LOAD(record->kind);
    if (kind != GOLOCK_KIND_LOCK && kind != GOLOCK_KIND_RLOCK) {
        return;
    }
    if (LOAD(record->owner) != 0) {
        __atomic_add_fetch(&epoch, 1, __ATOMIC_RELAXED);
    }
    lock_graph();
    golock_graph_remove(LOAD(record->number), LOAD(record->created), all);
    unlock_graph();
}

void
golock_order_start(void)
{
    lock_graph();
    golock_graph_reset();
    __atomic_store_n(&epoch, (LOAD(epoch) / START + 1) * START, __ATOMIC_RELAXED);
    __atomic_store_n(&dropped, 0, __ATOMIC_RELAXED);
    unlock_graph();
}

bool
golock_order_circle_at(uint32_t index, golock_order_circle *circle)
{
    lock_graph();
    const bool exists = index < golock_graph_circles();
    if (exists) {
        *circle = golock_graph_circle(index);
    }
    unlock_graph();
    return exists;
}

uint64_t
golock_order_dropped(void)
{
    lock_graph();
    const uint64_t of_graph = golock_graph_dropped();
    unlock_graph();
    return of_graph + LOAD(dropped);
}

void
golock_order_image(struct golock_image_writer *writer)
{
    golock_order_section(writer, 0, UINT32_MAX);
}

void
golock_order_section(struct golock_image_writer *writer, uint32_t first, uint32_t count)
{
    golock_order_circle circle;
    uint64_t edges = 0;
    uint32_t end = first;
    while (end - first < count && golock_order_circle_at(end, &circle)) {
        edges += circle.length;
        end++;
    }
    struct golock_image_order *entry =
        golock_image_begin(writer, GOLOCK_IMAGE_ORDER, sizeof(*entry), edges);
    if (entry == NULL) {
        return;
    }
    uint64_t filled = 0;
    for (uint32_t i = first; i < end && golock_order_circle_at(i, &circle); i++) {
        for (uint32_t j = 0; j < circle.length && filled < edges; j++) {
            const golock_order_edge *edge = &circle.edges[j];
            entry[filled++] = (struct golock_image_order){
                .circle = i,
                .thread_name = edge->thread_name,
                .thread = edge->thread,
                .from = (uintptr_t)edge->from.address,
                .to = (uintptr_t)edge->to.address,
                .from_created = edge->from.place,
                .to_created = edge->to.place,
                .from_name = edge->from.name,
                .to_name = edge->to.name,
                .from_stack = edge->from.stack,
                .to_stack = edge->to.stack,
                .from_kind = edge->from.kind,
                .to_kind = edge->to.kind,
            };
        }
    }
    golock_image_end(writer, filled);
}

void
golock_order_before_fork(void)
{
    lock_graph();
}

void
golock_order_after_fork_in_parent(void)
{
    unlock_graph();
}

/* No goroutine survives, and their numbers are used again. */
void
golock_order_after_fork_in_child(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        while (goroutines[i] != NULL) {
            free_list(&goroutines[i]);
        }
    }
    unlock_graph();
}
