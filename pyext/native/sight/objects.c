#include "sight/objects.h"

#include "base/clock.h"
#include "sight/across.h"
#include "sight/frame.h"
#include "sight/intern.h"
#include "sight/order.h"
#include "sight/permits.h"
#include "sight/profile.h"
#include "sight/table.h"
#include "sight/tasks.h"
#include "sight/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define NO_INLINE __attribute__((noinline))

#define BLOCK 256
#define MOST_BLOCKS 4096
/* What Go has made ends without notice, so its records are never freed, and leave room for others.
 */
#define MOST_OF_GO (BLOCK * MOST_BLOCKS / 2)

/* The places where locks were taken last. */
#define RECENT_BITS 8
#define RECENT (1 << RECENT_BITS)

#define MOST_WORDS ((uint32_t)1 << 21)
#define LEAST_WORDS 256

uint64_t golock_objects_dropped;

uint32_t golock_generation; /* odd while owners are recorded */

/* Guarded by the lock of the tables; the length and the blocks below it are read without. */
static struct {
    golock_object_record *free;
    uint32_t length; /* in records */
    uint32_t of_go;  /* how many records are of what Go has made */
    uint32_t number; /* of the last record made */
    golock_object_record *blocks[MOST_BLOCKS];
} table;

/* The records of shared objects and of Go's words, by the address of the word: an open hash table,
 * guarded by the lock of the tables. */
static struct {
    golock_object_record **slots;
    uint32_t size, used;
} words;

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)

static bool
has_several_writers(const golock_object_record *record)
{
#ifdef Py_GIL_DISABLED
    (void)record;
    return true;
#else
    return LOAD(record->flags) & GOLOCK_OBJECT_SHARED || golock_kind_is_across(LOAD(record->kind));
#endif
}

/* The fields are written after the odd version. Returns the version before. */
static inline uint32_t
begin_sole_write(golock_object_record *record)
{
    const uint32_t version = LOAD(record->version);
    STORE(record->version, version + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return version;
}

static bool
is_lock(const golock_object_record *record)
{
    return golock_kind_is_lock(LOAD(record->kind));
}

static bool
is_semaphore(const golock_object_record *record)
{
    const uint8_t kind = LOAD(record->kind);
    return kind == GOLOCK_KIND_SEMAPHORE || kind == GOLOCK_KIND_BOUNDED_SEMAPHORE;
}

static void
begin_write(golock_object_record *record)
{
    if (!has_several_writers(record)) {
        begin_sole_write(record);
    } else {
        uint32_t version = LOAD(record->version);
        while (version % 2 != 0 ||
               !__atomic_compare_exchange_n(&record->version, &version, version + 1, false,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            sched_yield();
            version = LOAD(record->version);
        }
        __atomic_thread_fence(__ATOMIC_RELEASE);
    }
}

static inline void
end_write(golock_object_record *record)
{
    __atomic_store_n(&record->version, LOAD(record->version) + 1, __ATOMIC_RELEASE);
}

static const char *
word_of(const golock_object_record *record)
{
    return (const char *)record->address + record->offset;
}

/* Adds a block to the free records. */
static void
grow(void)
{
    golock_object_record *block =
        table.length / BLOCK < MOST_BLOCKS ? calloc(BLOCK, sizeof(golock_object_record)) : NULL;
    if (block == NULL) {
        return;
    }
    for (int i = BLOCK - 1; i >= 0; i--) {
        block[i].next_free = table.free;
        table.free = &block[i];
    }
    table.blocks[table.length / BLOCK] = block;
    __atomic_store_n(&table.length, table.length + BLOCK, __ATOMIC_RELEASE);
}

/* Needs the lock of the tables. */
static golock_object_record *
new_record(const void *address, const golock_object_traits *traits)
{
    if (table.free == NULL) {
        grow();
    }
    golock_object_record *record = table.free;
    if (record == NULL) {
        __atomic_add_fetch(&golock_objects_dropped, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    table.free = record->next_free;
    begin_write(record);
    STORE(record->owner, 0);
    STORE(record->since, 0);
    STORE(record->place, 0);
    STORE(record->generation, 0);
    STORE(record->stack, 0);
    STORE(record->created, 0);
    STORE(record->name, traits->name);
    record->permits = 0;
    STORE(record->number, ++table.number);
    STORE(record->kind, (uint8_t)traits->kind);
    STORE(record->flags, (uint8_t)traits->flags);
    STORE(record->offset, (uint8_t)traits->offset);
    STORE(record->address, address);
    end_write(record);
    return record;
}

static uint32_t
index_of(uintptr_t word, uint32_t size)
{
    return (uint32_t)((word >> 2) * 0x9E3779B97F4A7C15u >> 32) & (size - 1);
}

/* Returns the slot of a word, or the free one where it belongs. The table must not be empty. */
static golock_object_record **
slot_of(golock_object_record **slots, uint32_t size, const void *word)
{
    uint32_t index = index_of((uintptr_t)word, size);
    while (slots[index] != NULL && word_of(slots[index]) != word) {
        index = (index + 1) & (size - 1);
    }
    return &slots[index];
}

static bool
have_room_for_word(void)
{
    if (words.used * 2 < words.size) {
        return true;
    }
    uint32_t size = words.size == 0 ? LEAST_WORDS : 2 * words.size;
    golock_object_record **slots = size <= MOST_WORDS ? calloc(size, sizeof(*slots)) : NULL;
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < words.size; i++) {
        if (words.slots[i] != NULL) {
            *slot_of(slots, size, word_of(words.slots[i])) = words.slots[i];
        }
    }
    free(words.slots);
    words.slots = slots;
    words.size = size;
    return true;
}

static void
add_word(golock_object_record *record)
{
    if (have_room_for_word()) {
        golock_object_record **slot = slot_of(words.slots, words.size, word_of(record));
        words.used += *slot == NULL;
        *slot = record;
    }
}

golock_object_record *
golock_object_begin(golock_object_record **place, const void *address,
                    const golock_object_traits *traits)
{
    golock_tables_lock();
    golock_object_record *record = *place; /* another thread may have come first */
    if (record == NULL) {
        record = new_record(address, traits);
        if (record != NULL && traits->flags & GOLOCK_OBJECT_SHARED) {
            add_word(record);
        }
        __atomic_store_n(place, record, __ATOMIC_RELEASE);
    }
    golock_tables_unlock();
    return record;
}

void
golock_object_record_site(golock_object_record *record)
{
    STORE(record->created, golock_site_here());
}

void
golock_object_record_site_outside(golock_object_record *record)
{
    STORE(record->created, golock_site_outside());
}

void
golock_object_set_name(golock_object_record *record, uint32_t name)
{
    STORE(record->name, name);
}

static void
forget_word(const golock_object_record *record)
{
    golock_object_record **slot =
        words.size == 0 ? NULL : slot_of(words.slots, words.size, word_of(record));
    if (slot == NULL || *slot != record) {
        return;
    }
    uint32_t mask = words.size - 1, empty = (uint32_t)(slot - words.slots);
    for (uint32_t i = (empty + 1) & mask; words.slots[i] != NULL; i = (i + 1) & mask) {
        uint32_t home = index_of((uintptr_t)word_of(words.slots[i]), words.size);
        if (((i - home) & mask) >= ((i - empty) & mask)) { /* it would not be found behind a gap */
            words.slots[empty] = words.slots[i];
            empty = i;
        }
    }
    words.slots[empty] = NULL;
    words.used--;
}

void
golock_object_gone(golock_object_record **place)
{
    golock_object_record *record = __atomic_exchange_n(place, NULL, __ATOMIC_ACQUIRE);
    if (record == NULL) {
        return;
    }
    golock_order_gone(record);
    if (is_semaphore(record)) {
        golock_permits_forget(record);
    }
    golock_tables_lock();
    forget_word(record);
    begin_write(record);
    STORE(record->address, NULL);
    STORE(record->owner, 0);
    end_write(record);
    STORE(record->next_free, table.free);
    table.free = record;
    golock_tables_unlock();
}

void
golock_object_shared(golock_object_record *record)
{
    golock_tables_lock();
    add_word(record);
    __atomic_fetch_or(&record->flags, GOLOCK_OBJECT_SHARED, __ATOMIC_RELAXED);
    golock_tables_unlock();
}

static enum golock_object_kind
kind_of_word(int kind)
{
    switch (kind) {
    case GOLOCK_LOCK:
        return GOLOCK_KIND_LOCK;
    case GOLOCK_SEMAPHORE:
        return GOLOCK_KIND_SEMAPHORE;
    case GOLOCK_EVENT:
        return GOLOCK_KIND_EVENT;
    case GOLOCK_CONDITION:
        return GOLOCK_KIND_CONDITION;
    case GOLOCK_BARRIER:
        return GOLOCK_KIND_BARRIER;
    default:
        return GOLOCK_KIND_OTHER;
    }
}

golock_object_record *
golock_object_of_word(const void *word, int kind, bool make)
{
    golock_tables_lock();
    golock_object_record *record = words.size == 0 ? NULL : *slot_of(words.slots, words.size, word);
    if (record == NULL && make) {
        if (table.of_go < MOST_OF_GO && have_room_for_word()) {
            record = new_record(
                word, &(golock_object_traits){kind_of_word(kind),
                                              GOLOCK_OBJECT_SHARED | GOLOCK_OBJECT_GO, 0, 0});
        } else {
            __atomic_add_fetch(&golock_objects_dropped, 1, __ATOMIC_RELAXED);
        }
        if (record != NULL) {
            table.of_go++;
            add_word(record);
        }
    }
    golock_tables_unlock();
    return record;
}

/* Returns the key of the calling thread. */
static inline uint64_t
key_of(PyThreadState *thread)
{
    const golock_thread_record *record = golock_thread_of(thread);
    return record != NULL ? record->key : golock_thread_key();
}

/* Records that the lock is released by others than its holder, so that it is no mutex. */
static void
estrange(golock_object_record *record)
{
    uint8_t before = __atomic_fetch_or(&record->flags, GOLOCK_OBJECT_STRANGER, __ATOMIC_RELAXED);
    if (!(before & GOLOCK_OBJECT_STRANGER)) {
        golock_order_not_held(record);
    }
}

/* Needs begin_write. */
static inline void
take(golock_object_record *record, uint64_t key, int64_t now, uintptr_t place, uint32_t stack)
{
    /* If somebody has released the lock before its owner was recorded, nobody knows whose it is,
     * but for a lock of several processes: another process may have released it long ago. */
    if (is_lock(record) && LOAD(record->owner) != 0 &&
        golock_generation_counts(LOAD(record->generation))) {
        estrange(record);
        key = has_several_writers(record) && !golock_kind_is_across(LOAD(record->kind)) ? 0 : key;
    }
    STORE(record->generation, golock_generation_now());
    STORE(record->since, now);
    STORE(record->place, place);
    STORE(record->stack, stack);
    STORE(record->owner, key);
}

/* Returns the line where the calling thread is, and sets *place to 0 if it must not be remembered:
 * only code objects of the main interpreter are kept alive, and so keep their places. */
static uint32_t
line_at(uintptr_t *place, uint64_t key)
{
#ifdef Py_GIL_DISABLED
    const bool remembers = false;
#else
    const bool remembers = *place != 0 && key >> 40 == 0;
#endif
    /* Guarded by the GIL of the main interpreter. */
    static struct {
        uintptr_t place;
        uint32_t stack, generation;
    } recent[RECENT];
    const size_t index = (*place * 0x9E3779B97F4A7C15u) >> (64 - RECENT_BITS);
    const uint32_t generation = golock_generation_now();
    if (remembers && recent[index].place == *place && recent[index].generation == generation) {
        return recent[index].stack;
    }
    const uint32_t stack = golock_line_here();
    if (stack == 0 || key >> 40 != 0 || golock_places_are_full()) {
        *place = 0;
    } else if (remembers) {
        recent[index].place = *place;
        recent[index].stack = stack;
        recent[index].generation = generation;
    }
    return stack;
}

/* A thread takes locks before threading knows it, and some are never known to it. */
#define SOON 8
#define UNNAMED_FOR 10000000 /* nanoseconds */

static void
name_in_time(golock_thread_record *thread, int64_t now)
{
    if (thread != NULL && LOAD(thread->name) == 0 &&
        (thread->unnamed < SOON || now - thread->named > UNNAMED_FOR)) {
        thread->unnamed++;
        thread->named = now;
        golock_thread_refresh_name(thread);
    }
}

NO_INLINE static void
take_elsewhere(golock_object_record *record, PyThreadState *thread, uintptr_t place)
{
    const uint64_t key = key_of(thread);
    const uint32_t stack = line_at(&place, key);
    const int64_t now = golock_now_coarse();
    name_in_time(golock_thread_self.record, now);
    begin_write(record);
    take(record, key, now, place, stack);
    end_write(record);
}

void
golock_object_taken(golock_object_record *record)
{
    PyThreadState *thread = PyThreadState_Get();
    const golock_thread_record *self = golock_thread_self.record;
    const uintptr_t place = golock_current_place(thread);
    /* In the common case the same line has taken the lock before, and it is nobody's. */
    if (self == NULL || self->state != thread || LOAD(self->name) == 0 || place == 0 ||
        LOAD(record->place) != place || LOAD(record->generation) != golock_generation_now() ||
        LOAD(record->owner) != 0 || has_several_writers(record)) {
        take_elsewhere(record, thread, place);
        return;
    }
    const int64_t now = golock_now_coarse();
    const uint32_t version = begin_sole_write(record);
    STORE(record->since, now);
    STORE(record->owner, self->key);
    __atomic_store_n(&record->version, version + 2, __ATOMIC_RELEASE);
}

void
golock_object_taken_outside(golock_object_record *record)
{
    const uint64_t key = key_of(PyThreadState_Get());
    name_in_time(golock_thread_self.record, golock_now_coarse());
    golock_object_taken_by(record, key, golock_line_outside());
}

bool
golock_object_taken_by_task(golock_object_record *record)
{
    const uint64_t key = golock_task_running();
    if (key != 0) {
        golock_object_taken_by(record, key, golock_line_outside());
    }
    return key != 0;
}

void
golock_object_permit_taken(golock_object_record *record)
{
    golock_permit_taken(record, key_of(PyThreadState_Get()), golock_line_here());
}

void
golock_object_permits_given(golock_object_record *record, uint32_t n)
{
    const uint64_t task = golock_permits_of_tasks(record) ? golock_task_running() : 0;
    const uint64_t key =
        task != 0 && golock_permits_has(record, task) ? task : key_of(PyThreadState_Get());
    if (!golock_permits_given(record, key, n)) {
        golock_object_mark_stranger(record);
    }
}

void
golock_object_taken_by(golock_object_record *record, uint64_t key, uint32_t stack)
{
    if (is_semaphore(record)) {
        golock_permit_taken(record, key, stack);
        return;
    }
    const int64_t now = golock_now_coarse();
    begin_write(record);
    take(record, key, now, 0, stack);
    end_write(record);
}

void
golock_object_reset(golock_object_record *record)
{
    STORE(record->owner, 0);
    __atomic_fetch_and(&record->flags, (uint8_t)~GOLOCK_OBJECT_STRANGER, __ATOMIC_RELAXED);
    golock_order_not_held(record);
}

void
golock_object_mark_stranger(golock_object_record *record)
{
    estrange(record);
}

/* Adds a hold of the lock to the profile. */
NO_INLINE static void
profile_hold(const golock_object_record *record, uint64_t key, int64_t nanoseconds)
{
    golock_thread_record thread = {0};
    golock_thread_find(key, &thread);
    const struct golock_image_sample sample = {
        .thread = key,
        .object = (uint64_t)(uintptr_t)LOAD(record->address),
        .thread_name = thread.name,
        .stack = LOAD(record->stack),
        .created = LOAD(record->created),
        .name = LOAD(record->name),
        .kind = LOAD(record->kind),
        .flags = GOLOCK_SAMPLE_HOLD,
    };
    golock_profile_record(&sample, 1, nanoseconds, 0);
}

void
golock_object_released_by(golock_object_record *record, uint64_t key)
{
    if (is_semaphore(record)) {
        if (!golock_permits_given(record, key, 1)) {
            golock_object_mark_stranger(record);
        }
        return;
    }
    uint64_t owner = LOAD(record->owner);
    const bool counts = golock_generation_counts(LOAD(record->generation));
    if (owner == key && counts) {
        /* The coarse clock moves every few milliseconds. Each hold during which it moves counts
         * as long as it has moved, the others as 0: the sums come out right. */
        int64_t held = golock_now_coarse() - LOAD(record->since);
        if (held > 0) {
            profile_hold(record, key, held);
        }
    }
    if (owner != key && owner != 0 && counts) {
        estrange(record);
    }
    if (!has_several_writers(record)) {
        STORE(record->owner, 0);
    } else {
        /* Two threads may release the lock at once, and a third take it meanwhile. */
        __atomic_compare_exchange_n(&record->owner, &owner, 0, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
}

void
golock_object_release(golock_object_record *record)
{
    const uint64_t task = LOAD(record->owner) & GOLOCK_TASK ? golock_task_running() : 0;
    golock_object_released_by(record, task != 0 ? task : key_of(PyThreadState_Get()));
}

/* Whether the object of a record with that number still exists. It goes on to do so while the
 * caller has the lock of the tables. What Go has made may be gone without notice. */
static bool
exists(const golock_object_record *record, uint32_t number)
{
    return record->address != NULL && record->number == number &&
           !(LOAD(record->flags) & GOLOCK_OBJECT_GO);
}

/* Returns the key of the owner that an RLock knows at all levels; 0 if there is none. */
static uint64_t
rlock_owner(const golock_object_record *record, uint32_t number)
{
    unsigned long identifier = 0;
    golock_tables_lock();
    if (exists(record, number)) {
        identifier = LOAD(*(const unsigned long *)(word_of(record) + GOLOCK_RLOCK_OWNER));
    }
    golock_tables_unlock();
    /* One more than the loop's thread if a task has it, whose name is not known then. */
    return identifier == 0 || identifier & 1 ? 0 : golock_thread_identified(identifier);
}

/* Whether the owner of a lock of several processes still has it. Any process may have released
 * it. */
static bool
owner_holds(const golock_object_record *record, uint32_t number)
{
    golock_tables_lock();
    const bool holds = exists(record, number) && golock_across_holds(record->address);
    golock_tables_unlock();
    return holds;
}

/* Copies the fields as they were at one moment. */
static void
read_fields(const golock_object_record *record, golock_object_record *copy)
{
    uint32_t version;
    do {
        while ((version = __atomic_load_n(&record->version, __ATOMIC_ACQUIRE)) % 2 != 0) {
            sched_yield();
        }
        copy->address = LOAD(record->address);
        copy->owner = LOAD(record->owner);
        copy->since = LOAD(record->since);
        copy->place = LOAD(record->place);
        copy->generation = LOAD(record->generation);
        copy->stack = LOAD(record->stack);
        copy->created = LOAD(record->created);
        copy->name = LOAD(record->name);
        copy->number = LOAD(record->number);
        copy->kind = LOAD(record->kind);
        copy->flags = LOAD(record->flags);
        copy->offset = LOAD(record->offset);
        copy->version = version;
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the version is read after the fields */
    } while (LOAD(record->version) != version);
}

bool
golock_object_read(const golock_object_record *record, golock_object_record *copy)
{
    bool holds;
    do {
        read_fields(record, copy);
        holds = !golock_kind_is_across(copy->kind) || owner_holds(record, copy->number);
        /* The hold is written after the owner, so that it is the hold of this one. */
    } while (__atomic_load_n(&record->version, __ATOMIC_ACQUIRE) != copy->version);
    /* An RLock of a thread that did not survive a fork is never released. */
    const bool lost = copy->kind == GOLOCK_KIND_RLOCK && copy->owner == GOLOCK_LOST;
    if (copy->owner == 0 || !holds || (!golock_generation_counts(copy->generation) && !lost)) {
        copy->owner = 0;
        copy->since = 0;
        copy->stack = 0;
    }
    if (copy->owner == 0 && copy->kind == GOLOCK_KIND_RLOCK && copy->address != NULL) {
        copy->owner = rlock_owner(record, copy->number);
    }
    return copy->address != NULL;
}

uint32_t
golock_object_last_taken(const golock_object_record *record)
{
    return golock_generation_counts(LOAD(record->generation)) ? LOAD(record->stack) : 0;
}

uint32_t
golock_objects_length(void)
{
    return __atomic_load_n(&table.length, __ATOMIC_ACQUIRE);
}

golock_object_record *
golock_object_at(uint32_t index)
{
    return &table.blocks[index / BLOCK][index % BLOCK];
}

/* The words of opened objects, whose state is in their __dict__. */
#define OPENED_SEMAPHORE (GOLOCK_HELD | GOLOCK_WAITERS | GOLOCK_HANDOFF)
#define OPENED_EVENT (GOLOCK_SET | GOLOCK_SLEEPERS)

/* Reads the state of the object of a record. Needs the lock of the tables. */
static void
read_state(const golock_object_record *record, struct golock_image_object *entry)
{
    const char *place = word_of(record);
    const uint32_t word = LOAD(*(const uint32_t *)place);
    bool held = false;
    switch (entry->kind) {
    case GOLOCK_KIND_PROCESS_LOCK:
    case GOLOCK_KIND_ETCD_LOCK:
        held = golock_across_holds(record->address);
        break;
    case GOLOCK_KIND_PROCESS_EVENT:
        held = golock_across_is_set(record->address);
        break;
    case GOLOCK_KIND_LOCK:
        held = word & GOLOCK_HELD;
        break;
    case GOLOCK_KIND_RLOCK:
        held = LOAD(*(const unsigned long *)(place + GOLOCK_RLOCK_OWNER)) != 0;
        entry->value = (uint32_t)LOAD(*(const unsigned long *)(place + GOLOCK_RLOCK_COUNT));
        break;
    case GOLOCK_KIND_SEMAPHORE:
    case GOLOCK_KIND_BOUNDED_SEMAPHORE: {
        const uint64_t both = LOAD(((const union golock_semaphore *)place)->both);
        held = both & GOLOCK_HELD && both != OPENED_SEMAPHORE;
        entry->value = (uint32_t)(both >> 32);
        break;
    }
    case GOLOCK_KIND_EVENT:
        held = word & GOLOCK_SET && (word & OPENED_EVENT) != OPENED_EVENT;
        break;
    case GOLOCK_KIND_BARRIER:
        entry->value = word;
        entry->arrived = LOAD(*(const uint32_t *)(place + GOLOCK_BARRIER_ARRIVED));
        break;
    default:
        break;
    }
    entry->flags |= held ? GOLOCK_OBJECT_HELD : 0;
}

static bool
copy_object(const golock_object_record *record, struct golock_image_object *entry)
{
    golock_object_record seen;
    if (!golock_object_read(record, &seen)) {
        return false;
    }
    *entry = (struct golock_image_object){
        .address = (uint64_t)(uintptr_t)seen.address,
        .owner = seen.owner,
        .since = seen.since,
        .stack = seen.stack,
        .created = seen.created,
        .name = seen.name,
        .kind = seen.kind,
        .flags = seen.flags,
    };
    if (seen.flags & GOLOCK_OBJECT_GO) {
        entry->flags |= seen.owner != 0 ? GOLOCK_OBJECT_HELD : 0;
        return true;
    }
    golock_tables_lock();
    const bool same = exists(record, seen.number);
    if (same) {
        read_state(record, entry);
    }
    golock_tables_unlock();
    if (is_lock(&seen) && !(entry->flags & GOLOCK_OBJECT_HELD)) { /* released meanwhile */
        entry->owner = 0;
        entry->since = 0;
        entry->stack = 0;
    }
    return same;
}

size_t
golock_objects_copy(uint32_t *next, struct golock_image_object *entries, size_t room)
{
    size_t filled = 0;
    const uint32_t length = golock_objects_length();
    for (; *next < length && filled < room; ++*next) {
        filled += copy_object(golock_object_at(*next), &entries[filled]);
    }
    return filled;
}

void
golock_next_generation(void)
{
    __atomic_fetch_add(&golock_generation, 1, __ATOMIC_RELAXED);
}

/* Whether the thread with that key exists in this child process. */
static bool
survives(uint64_t key)
{
    golock_thread_record thread;
    return !(key & GOLOCK_TASK) && golock_thread_find(key, &thread) &&
           thread.identifier == (unsigned long)pthread_self();
}

static void
lose(golock_object_record *record)
{
    STORE(record->owner, GOLOCK_LOST);
    STORE(record->generation, golock_generation_now());
}

void
golock_objects_after_fork(void)
{
    for (uint32_t i = 0; i < table.length; i++) {
        golock_object_record *record = golock_object_at(i);
        if (record->version % 2 != 0) { /* the thread that wrote it does not exist */
            record->version++;
            record->owner = record->owner == 0 ? 0 : GOLOCK_LOST;
        }
        if (golock_kind_is_across(record->kind)) {
            STORE(record->owner, 0); /* the parent has the lock */
        } else if (record->owner != 0 && !survives(record->owner)) {
            STORE(record->owner, GOLOCK_LOST);
        }
        if (record->address != NULL && record->kind == GOLOCK_KIND_RLOCK) {
            const unsigned long *owner =
                (const unsigned long *)(word_of(record) + GOLOCK_RLOCK_OWNER);
            if (*owner != 0 && (*owner & ~1ul) != (unsigned long)pthread_self()) {
                lose(record);
            }
        }
    }
    golock_permits_after_fork(survives);
}
