#include "sight/permits.h"

#include "base/clock.h"
#include "sight/image_writer.h"
#include "sight/table.h"

#include <stdlib.h>

#define BLOCK 256
#define MOST_BLOCKS 256

/* The permits of one thread. Index 0 is none. */
typedef struct {
    golock_object_record *semaphore; /* or NULL: it is free */
    uint64_t thread;
    int64_t since;
    uint32_t stack, count;
    uint32_t next; /* of the semaphore, younger; or the next free one */
    uint32_t generation;
} permit;

/* Guarded by the lock of the tables. The length may also be read without it. */
static struct {
    uint32_t free;
    uint32_t length;
    permit *blocks[MOST_BLOCKS];
} table;

static permit *
at(uint32_t index)
{
    return &table.blocks[index / BLOCK][index % BLOCK];
}

static void
grow(void)
{
    permit *block = table.length < BLOCK * MOST_BLOCKS ? calloc(BLOCK, sizeof(permit)) : NULL;
    if (block == NULL) {
        return;
    }
    table.blocks[table.length / BLOCK] = block;
    for (uint32_t i = table.length + BLOCK - 1; i > table.length; i--) {
        at(i)->next = table.free;
        table.free = i;
    }
    if (table.length > 0) {
        at(table.length)->next = table.free;
        table.free = table.length;
    }
    __atomic_store_n(&table.length, table.length + BLOCK, __ATOMIC_RELEASE);
}

/* Removes the entry to which a link leads. */
static void
drop(uint32_t *link)
{
    const uint32_t index = *link;
    *link = at(index)->next;
    *at(index) = (permit){.next = table.free};
    table.free = index;
}

/* Drops what counts no more. */
static void
drop_old(golock_object_record *semaphore)
{
    uint32_t *link = &semaphore->permits;
    while (*link != 0) {
        if (golock_generation_counts(at(*link)->generation)) {
            link = &at(*link)->next;
        } else {
            drop(link);
        }
    }
}

/* Returns the link to the thread's entry, or to the end. */
static uint32_t *
find(golock_object_record *semaphore, uint64_t thread)
{
    uint32_t *link = &semaphore->permits;
    while (*link != 0 && at(*link)->thread != thread) {
        link = &at(*link)->next;
    }
    return link;
}

void
golock_permit_taken(golock_object_record *semaphore, uint64_t thread, uint32_t stack)
{
    golock_tables_lock();
    drop_old(semaphore);
    uint32_t *link = find(semaphore, thread);
    if (*link == 0) {
        if (table.free == 0) {
            grow();
        }
        const uint32_t new = table.free;
        if (new == 0) {
            __atomic_add_fetch(&golock_objects_dropped, 1, __ATOMIC_RELAXED);
        } else {
            table.free = at(new)->next;
            *at(new) = (permit){
                .semaphore = semaphore,
                .thread = thread,
                .since = golock_now_coarse(),
                .stack = stack,
                .generation = golock_generation_now(),
            };
            *link = new;
        }
    }
    if (*link != 0) {
        at(*link)->count++;
    }
    golock_tables_unlock();
}

/* Takes up to n permits from the entry to which a link leads. Returns how many. */
static uint32_t
take(uint32_t *link, uint32_t n)
{
    permit *its = at(*link);
    if (n >= its->count) {
        n = its->count;
        drop(link);
    } else {
        its->count -= n;
    }
    return n;
}

bool
golock_permits_has(golock_object_record *semaphore, uint64_t thread)
{
    golock_tables_lock();
    const bool has = *find(semaphore, thread) != 0;
    golock_tables_unlock();
    return has;
}

bool
golock_permits_of_tasks(const golock_object_record *semaphore)
{
    bool found = false;
    golock_tables_lock();
    for (uint32_t i = semaphore->permits; i != 0 && !found; i = at(i)->next) {
        found = at(i)->thread & GOLOCK_TASK;
    }
    golock_tables_unlock();
    return found;
}

bool
golock_permits_given(golock_object_record *semaphore, uint64_t thread, uint32_t n)
{
    golock_tables_lock();
    drop_old(semaphore);
    uint32_t *own = find(semaphore, thread);
    if (*own != 0) {
        n -= take(own, n);
    }
    const bool had_them = n == 0;
    while (n > 0 && semaphore->permits != 0) {
        n -= take(&semaphore->permits, n);
    }
    golock_tables_unlock();
    return had_them;
}

void
golock_permits_forget(golock_object_record *semaphore)
{
    golock_tables_lock();
    while (semaphore->permits != 0) {
        drop(&semaphore->permits);
    }
    golock_tables_unlock();
}

size_t
golock_permits_of(const golock_object_record *semaphore,
                  void (*each)(uint64_t thread, void *argument), void *argument)
{
    size_t count = 0;
    golock_tables_lock();
    for (uint32_t i = semaphore->permits; i != 0; i = at(i)->next) {
        if (golock_generation_counts(at(i)->generation)) {
            each(at(i)->thread, argument);
            count++;
        }
    }
    golock_tables_unlock();
    return count;
}

void
golock_permits_image(struct golock_image_writer *writer)
{
    const uint32_t length = __atomic_load_n(&table.length, __ATOMIC_ACQUIRE);
    struct golock_image_permit *entries =
        golock_image_begin(writer, GOLOCK_IMAGE_PERMITS, sizeof(*entries), length);
    if (entries == NULL) {
        return;
    }
    uint64_t count = 0;
    for (uint32_t start = 0; start < length; start += BLOCK) {
        golock_tables_lock(); /* for one block at a time, so that nobody waits for long */
        for (uint32_t i = start; i < start + BLOCK; i++) {
            const permit *its = at(i);
            if (its->semaphore != NULL && golock_generation_counts(its->generation)) {
                entries[count++] = (struct golock_image_permit){
                    .object = (uint64_t)(uintptr_t)its->semaphore->address,
                    .thread = its->thread,
                    .since = its->since,
                    .stack = its->stack,
                    .count = its->count,
                };
            }
        }
        golock_tables_unlock();
    }
    golock_image_end(writer, count);
}

void
golock_permits_after_fork(bool (*survives)(uint64_t thread))
{
    for (uint32_t i = 1; i < table.length; i++) {
        permit *its = at(i);
        if (its->semaphore != NULL && !survives(its->thread)) {
            its->thread = GOLOCK_LOST;
        }
    }
}
