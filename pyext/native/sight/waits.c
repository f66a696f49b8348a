#include "sight/waits.h"

#include "sight/cycles.h"
#include "sight/image_writer.h"
#include "sight/intern.h"
#include "sight/profile.h"
#include "sight/table.h"
#include "sight/tasks.h"

#include <pthread.h>
#include <stdlib.h>

uint64_t golock_waits_dropped;
bool golock_tables_locked;

/* Nanoseconds. A wait that begins sooner after another reads no name again. */
#define NAME_LASTS 10000000

#define BLOCK 256
#define MOST_BLOCKS 256

/* The lock of the tables guards it. The length may also be read without it. */
static struct {
    golock_wait_record *free;
    uint32_t length; /* in blocks */
    golock_wait_record *blocks[MOST_BLOCKS];
} table;

uint32_t
golock_waits_length(void)
{
    return __atomic_load_n(&table.length, __ATOMIC_ACQUIRE) * BLOCK;
}

golock_wait_record *
golock_wait_at(uint32_t index)
{
    return &table.blocks[index / BLOCK][index % BLOCK];
}

#define GET(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define SET(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)

static void
begin_to_write(golock_wait_record *record)
{
    SET(record->version, GET(record->version) + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* readers of the new fields see the odd version */
}

static void
end_write(golock_wait_record *record)
{
    __atomic_store_n(&record->version, GET(record->version) + 1, __ATOMIC_RELEASE);
}

bool
golock_wait_read(golock_wait_record *record, golock_seen_wait *seen)
{
    uint32_t version;
    do {
        version = __atomic_load_n(&record->version, __ATOMIC_ACQUIRE);
        *seen = (golock_seen_wait){
            .record = record,
            .version = version,
            .flags = GET(record->flags),
            .object = GET(record->object),
            .address = GET(record->address),
            .thread = GET(record->thread),
            .since = GET(record->since),
            .resumed = GET(record->resumed),
            .deadline = GET(record->deadline),
            .taken = GET(record->taken),
            .gil_delay = GET(record->gil_delay),
            .holding_thread = GET(record->holding_thread),
            .stack = GET(record->stack),
            .holder = GET(record->holder),
            .holding_name = GET(record->holding_name),
            .name = GET(record->name),
            .word = GET(record->word),
        };
        const golock_thread_record *who = GET(record->who);
        seen->identifier = who == NULL ? 0 : GET(who->identifier);
        if (version % 2 != 0) {
            return false; /* the wait has just begun, or just ends */
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (GET(record->version) != version);
    return seen->object != NULL;
}

/* Adds a block to the free records, if there is memory. Needs the lock of the tables. */
static void
grow(void)
{
    golock_wait_record *block =
        table.length < MOST_BLOCKS ? calloc(BLOCK, sizeof(golock_wait_record)) : NULL;
    if (block == NULL) {
        return;
    }
    for (int i = BLOCK; i-- > 0;) {
        block[i].next_free = table.free;
        table.free = &block[i];
    }
    table.blocks[table.length] = block;
    __atomic_store_n(&table.length, table.length + 1, __ATOMIC_RELEASE);
}

/* Returns a record that nobody else uses, or NULL. */
static golock_wait_record *
take_free(void)
{
    golock_tables_lock();
    if (table.free == NULL) {
        grow();
    }
    golock_wait_record *record = table.free;
    if (record != NULL) {
        table.free = record->next_free;
    }
    golock_tables_unlock();
    if (record == NULL) {
        __atomic_add_fetch(&golock_waits_dropped, 1, __ATOMIC_RELAXED);
    }
    return record;
}

/* Needs the lock of the tables. */
static void
make_free(golock_wait_record *record)
{
    record->next_free = table.free;
    table.free = record;
}

static void
write_wait(golock_wait_record *record, golock_object_record *object, uint64_t key, int64_t since,
           int64_t deadline, uint32_t stack, uint32_t flags, golock_thread_record *who)
{
    begin_to_write(record);
    SET(record->flags, flags);
    SET(record->object, object);
    SET(record->address, (uint64_t)(uintptr_t)GET(object->address));
    SET(record->thread, key);
    SET(record->since, since);
    SET(record->resumed, since);
    SET(record->deadline, deadline);
    SET(record->taken, 0);
    SET(record->gil_delay, 0);
    SET(record->stack, stack);
    SET(record->word, NULL);
    SET(record->holder, 0);
    SET(record->holding_name, 0);
    SET(record->holding_thread, 0);
    SET(record->name, who != NULL ? GET(who->name) : 0);
    SET(record->who, who);
    end_write(record);
}

static bool
is_lock(const golock_object_record *object)
{
    return golock_kind_is_lock(object->kind);
}

/* Records where the owner of the object is now. */
static void
record_holder(golock_wait_record *record)
{
    golock_object_record object;
    golock_thread_record holder = {0};
    uint64_t owner = 0;
    uint32_t stack = 0;
    if (golock_object_read(record->object, &object) && is_lock(&object)) {
        owner = object.owner;
        stack = object.stack;
    }
    /* Only the threads of this interpreter stand still while this one has the GIL. */
    if (owner != 0 && owner >> 40 == golock_thread_key() >> 40) {
        if (golock_thread_find_named(owner, &holder) && holder.state != NULL) {
            uint32_t its = golock_stack_of(holder.state);
            stack = its != 0 ? its : stack;
        }
    } else if (owner != 0) {
        golock_thread_find(owner, &holder);
    }
    SET(record->holding_thread, owner);
    SET(record->holding_name, holder.name);
    SET(record->holder, stack);
}

golock_wait_record *
golock_record_wait(golock_object_record *object, int64_t since, golock_deadline deadline)
{
    golock_thread_record *who = golock_thread_current();
    golock_wait_record *record = who == NULL ? NULL : who->spare;
    if (record != NULL) {
        who->spare = NULL;
    } else {
        record = take_free();
    }
    if (record == NULL) {
        return NULL;
    }
    /* Threads are seldom renamed, and reading a name takes longer than all the rest here. */
    if (who != NULL && (since - who->named > NAME_LASTS || GET(who->name) == 0)) {
        golock_thread_refresh_name(who);
        who->named = since;
    }
    /* Python code of golock's waits for locks in etcd. */
    const uint32_t stack =
        object->kind == GOLOCK_KIND_ETCD_LOCK ? golock_stack_outside() : golock_stack_here();
    write_wait(record, object, golock_thread_key(), since, deadline.at, stack, 0, who);
    record_holder(record);
    golock_look_later();
    return record;
}

golock_wait_record *
golock_record_wait_by(golock_object_record *object, uint64_t key, int64_t deadline, uint32_t stack,
                      uint32_t flags)
{
    golock_wait_record *record = take_free();
    if (record != NULL) {
        write_wait(record, object, key, golock_now(), deadline, stack, flags, NULL);
        golock_look_later();
    }
    return record;
}

golock_wait_record *
golock_record_task_wait(golock_object_record *object, int64_t deadline)
{
    const uint64_t key = golock_task_waiting();
    golock_wait_record *record = key == 0 ? NULL : take_free();
    if (record != NULL) {
        golock_thread_record task = {0};
        golock_thread_find(key, &task);
        write_wait(record, object, key, golock_now(), deadline, golock_stack_outside(), 0, NULL);
        SET(record->name, task.name);
        record_holder(record);
        golock_look_later();
    }
    return record;
}

/* Sets what depends on the object. Returns false if it is gone. */
static bool
set_object(struct golock_image_sample *key, const golock_object_record *record)
{
    golock_object_record object;
    if (!golock_object_read(record, &object)) {
        return false;
    }
    key->object = (uint64_t)(uintptr_t)object.address;
    key->created = object.created;
    key->name = object.name;
    key->kind = object.kind;
    if (key->holder == 0 && is_lock(&object)) {
        key->holder = golock_object_last_taken(record);
    }
    return true;
}

static struct golock_image_sample
key_of(const golock_seen_wait *wait)
{
    return (struct golock_image_sample){
        .thread = wait->thread,
        .holding_thread = wait->holding_thread,
        .thread_name = wait->name,
        .holding_name = wait->holding_name,
        .stack = wait->stack,
        .holder = wait->holder,
    };
}

/* Adds the wait of the record, which has lasted until now, to the profile. */
static void
profile(golock_wait_record *record, int64_t now)
{
    const int64_t gil_delay = GET(record->gil_delay);
    const int64_t delay = now - record->since - gil_delay;
    const double times = golock_profile_wait(delay, gil_delay);
    golock_seen_wait wait;
    if (times == 0 || !golock_wait_read(record, &wait)) {
        return;
    }
    struct golock_image_sample key = key_of(&wait);
    if (set_object(&key, record->object)) {
        golock_profile_record(&key, times, delay, gil_delay);
    }
}

void
golock_count_wait(golock_object_record *object, int64_t since)
{
    const int64_t delay = golock_now() - since;
    const double times = golock_profile_wait(delay, 0);
    if (times == 0) {
        return;
    }
    golock_thread_record *who = golock_thread_current();
    if (who != NULL && GET(who->name) == 0) {
        golock_thread_refresh_name(who);
    }
    struct golock_image_sample key = {
        .thread = golock_thread_key(),
        .thread_name = who != NULL ? GET(who->name) : 0,
        .stack = golock_stack_here(),
    };
    if (set_object(&key, object)) {
        golock_profile_record(&key, times, delay, 0);
    }
}

uint64_t
golock_waits_samples(int64_t now, struct golock_image_sample *samples, uint64_t room)
{
    const uint32_t length = golock_waits_length();
    uint64_t count = 0;
    for (uint32_t i = 0; i < length && count < room; i++) {
        golock_seen_wait wait;
        if (!golock_wait_read(golock_wait_at(i), &wait) || wait.since >= now) {
            continue;
        }
        struct golock_image_sample *sample = &samples[count];
        *sample = key_of(&wait);
        sample->flags = GOLOCK_SAMPLE_UNDER_WAY;
        sample->count = 1;
        if (set_object(sample, wait.object)) {
            const int64_t taken = wait.taken != 0 && wait.taken < now ? now - wait.taken : 0;
            const int64_t lasted = now - wait.since;
            int64_t gil_delay = wait.gil_delay + taken;
            gil_delay = gil_delay < lasted ? gil_delay : lasted; /* they are not read at once */
            sample->gil_delay = (uint64_t)gil_delay;
            sample->delay = (uint64_t)(lasted - gil_delay);
            count++;
        }
    }
    return count;
}

void
golock_move_wait(golock_wait_record *record, golock_object_record *object)
{
    const int64_t now = golock_now();
    profile(record, now);
    begin_to_write(record);
    SET(record->object, object);
    SET(record->address, (uint64_t)(uintptr_t)GET(object->address));
    SET(record->since, now);
    SET(record->resumed, now);
    SET(record->gil_delay, 0);
    end_write(record);
    record_holder(record);
    golock_look_later();
}

void
golock_suspend_wait(golock_wait_record *record, bool suspended)
{
    const uint32_t flags = record->flags & ~GOLOCK_WAIT_SUSPENDED;
    begin_to_write(record);
    SET(record->flags, flags | (suspended ? GOLOCK_WAIT_SUSPENDED : 0));
    SET(record->resumed, golock_now());
    end_write(record);
    if (!suspended) {
        golock_look_later();
    }
}

void
golock_end_wait(golock_wait_record *record)
{
    profile(record, golock_now());
    golock_thread_record *who = record->who;
    begin_to_write(record);
    SET(record->object, NULL);
    end_write(record);
    if (who != NULL && who->spare == NULL) {
        who->spare = record;
    } else {
        golock_tables_lock();
        make_free(record);
        golock_tables_unlock();
    }
}

struct golock_image_wait
golock_wait_image(const golock_seen_wait *seen)
{
    return (struct golock_image_wait){
        .object = seen->address,
        .thread = seen->thread,
        .since = seen->since,
        .deadline = seen->deadline,
        .taken = seen->taken,
        .stack = seen->stack,
        .flags = seen->flags,
    };
}

static int
in_order(const void *one, const void *other)
{
    const int64_t a = ((const struct golock_image_wait *)one)->since;
    const int64_t b = ((const struct golock_image_wait *)other)->since;
    return (a > b) - (a < b);
}

void
golock_waits_image(struct golock_image_writer *writer)
{
    const uint32_t length = golock_waits_length();
    struct golock_image_wait *entries =
        golock_image_begin(writer, GOLOCK_IMAGE_WAITS, sizeof(*entries), length);
    if (entries == NULL) {
        return;
    }
    uint64_t count = 0;
    for (uint32_t i = 0; i < length; i++) {
        golock_seen_wait seen;
        if (golock_wait_read(golock_wait_at(i), &seen)) {
            entries[count++] = golock_wait_image(&seen);
        }
    }
    qsort(entries, count, sizeof(*entries), in_order);
    golock_image_end(writer, count);
}

/* The records are not used again: their threads may be in their waits for ever. */
void
golock_forget_waits(void)
{
    const uint64_t interpreter = (uint64_t)PyInterpreterState_GetID(PyInterpreterState_Get());
    for (uint32_t i = 0; i < golock_waits_length(); i++) {
        golock_wait_record *record = golock_wait_at(i);
        if (GET(record->object) != NULL &&
            (GET(record->thread) & ~GOLOCK_TASK) >> 40 == interpreter) {
            SET(record->object, NULL);
        }
    }
}

/* A signal handler may fork within a wait, which then goes on in the child. */
void
golock_waits_after_fork(void)
{
    const unsigned long self = (unsigned long)pthread_self();
    golock_tables_locked = false;
    golock_waits_dropped = 0;
    table.free = NULL;
    for (uint32_t i = golock_waits_length(); i-- > 0;) {
        golock_wait_record *record = golock_wait_at(i);
        if (record->object == NULL || record->who == NULL || record->who->identifier != self) {
            record->object = NULL;
            record->version += record->version % 2; /* its writer does not exist any more */
            make_free(record);
        }
    }
}
