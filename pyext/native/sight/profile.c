#include "sight/profile.h"

#include "sight/image_writer.h"
#include "sight/waits.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 256
#define MOST_BLOCKS 64
#define MOST (BLOCK * MOST_BLOCKS)
/* From this length on, new samples are merged. */
#define CROWDED (MOST / 4 * 3)
#define SLOTS (2 * MOST)
#define KEY_SIZE offsetof(struct golock_image_sample, count)

_Static_assert(KEY_SIZE == 56, "the key has no padding");

/* A sample, whose counters are not yet rounded. */
typedef struct {
    struct golock_image_sample sample;
    double count, delay, gil_delay;
} entry;

/* The lock is held for some instructions, or while a block is copied. */
static struct {
    bool locked;
    uint32_t generation; /* another one after each start */
    uint32_t length;
    int64_t period;
    uint64_t random;
    uint64_t waits, delay, gil_delay, merged;
    entry *blocks[MOST_BLOCKS]; /* never freed */
    uint16_t slots[SLOTS];      /* an open hash table: the index of a sample + 1, or 0 */
} table = {.period = GOLOCK_PROFILE_PERIOD, .random = 0x9E3779B97F4A7C15u};

_Static_assert(MOST < UINT16_MAX, "an index + 1 fits into a slot");

static void
lock(void)
{
    while (__atomic_exchange_n(&table.locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void
unlock(void)
{
    __atomic_store_n(&table.locked, false, __ATOMIC_RELEASE);
}

/* Returns a number from 0 to 1, without 1: xorshift64*. */
static double
next_random(void)
{
    uint64_t x = table.random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    table.random = x;
    return (double)(x * 0x2545F4914F6CDD1Du >> 11) / 9007199254740992.0;
}

static int64_t
at_least_0(int64_t nanoseconds)
{
    return nanoseconds > 0 ? nanoseconds : 0;
}

double
golock_profile_wait(int64_t delay, int64_t gil_delay)
{
    delay = at_least_0(delay);
    gil_delay = at_least_0(gil_delay);
    int64_t took = delay + gil_delay;
    lock();
    table.waits++;
    table.delay += (uint64_t)delay;
    table.gil_delay += (uint64_t)gil_delay;
    double times = 1;
    if (took < table.period) {
        double period = (double)table.period;
        took = took > 0 ? took : 1;
        times = next_random() * period < (double)took ? period / (double)took : 0;
    }
    unlock();
    return times;
}

static entry *
entry_at(uint32_t index)
{
    return &table.blocks[index / BLOCK][index % BLOCK];
}

/* Returns the slot of this key, which is 0 if the key is new. */
static uint16_t *
slot_of(const struct golock_image_sample *key)
{
    uint64_t words[KEY_SIZE / sizeof(uint64_t)], hash = 0;
    memcpy(words, key, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    size_t slot = hash % SLOTS;
    while (table.slots[slot] != 0 &&
           memcmp(&entry_at(table.slots[slot] - 1u)->sample, key, KEY_SIZE) != 0) {
        slot = (slot + 1) % SLOTS;
    }
    return &table.slots[slot];
}

/* Returns the sample with this key, a new one if there are fewer than `most`; otherwise NULL. */
static entry *
find_or_add(const struct golock_image_sample *key, uint32_t most)
{
    uint16_t *slot = slot_of(key);
    if (*slot != 0) {
        return entry_at(*slot - 1u);
    }
    if (table.length >= most) {
        return NULL;
    }
    entry **block = &table.blocks[table.length / BLOCK];
    if (*block == NULL && (*block = malloc(BLOCK * sizeof(entry))) == NULL) {
        return NULL;
    }
    entry *added = entry_at(table.length);
    *added = (entry){.sample = {0}};
    memcpy(&added->sample, key, KEY_SIZE);
    *slot = (uint16_t)++table.length;
    return added;
}

/* Returns the sample to which a wait with this key is added, or NULL if there is no memory. There
 * is always room for the last, merged ones: they have no stack, so they differ by kind and flags.
 */
static entry *
entry_for(const struct golock_image_sample *key)
{
    entry *found = find_or_add(key, CROWDED);
    if (found == NULL) {
        table.merged++;
        struct golock_image_sample merged = {
            .stack = key->stack, .kind = key->kind, .flags = key->flags};
        found = find_or_add(&merged, MOST - 64);
        if (found == NULL) {
            merged.stack = 0;
            found = find_or_add(&merged, MOST);
        }
    }
    return found;
}

void
golock_profile_record(const struct golock_image_sample *key, double times, int64_t delay,
                      int64_t gil_delay)
{
    struct golock_image_sample kind = *key;
    if (kind.created != 0 || kind.name != 0) {
        kind.object = 0;
    }
    lock();
    entry *to = entry_for(&kind);
    if (to != NULL) {
        to->count += times;
        to->delay += times * (double)at_least_0(delay);
        to->gil_delay += times * (double)at_least_0(gil_delay);
    }
    unlock();
}

/* Needs the lock. */
static void
clear(void)
{
    table.generation++;
    table.length = 0;
    table.waits = table.delay = table.gil_delay = table.merged = 0;
    memset(table.slots, 0, sizeof(table.slots));
}

void
golock_profile_clear(void)
{
    lock();
    clear();
    unlock();
}

void
golock_profile_set_period(int64_t period)
{
    lock();
    table.period = period;
    unlock();
}

static uint64_t
rounded(double number)
{
    return (uint64_t)(number + 0.5);
}

static void
write_sample(const entry *from, struct golock_image_sample *to)
{
    *to = from->sample;
    to->count = rounded(from->count);
    to->delay = rounded(from->delay);
    to->gil_delay = rounded(from->gil_delay);
}

/* Copies samples, and sets what the header says of them. The lock is free between blocks, so that
 * a wait that ends is not delayed for long. */
static size_t
copy_samples(struct golock_image_header *header, struct golock_image_sample *samples, size_t room)
{
    size_t copied = 0;
    uint32_t generation = 0;
    for (bool more = true; more;) {
        lock();
        if (copied == 0 || table.generation != generation) {
            generation = table.generation;
            copied = 0;
        }
        size_t length = table.length < room ? table.length : room;
        size_t end = copied + BLOCK < length ? copied + BLOCK : length;
        for (; copied < end; copied++) {
            write_sample(entry_at((uint32_t)copied), &samples[copied]);
        }
        header->period = table.period;
        header->ended_waits = table.waits;
        header->delay = table.delay;
        header->gil_delay = table.gil_delay;
        header->dropped_samples = table.merged;
        more = copied < length;
        unlock();
    }
    return copied;
}

void
golock_profile_image(struct golock_image_writer *writer)
{
    lock();
    size_t length = table.length;
    unlock();
    const size_t waits = golock_waits_length();
    struct golock_image_sample *samples = golock_image_begin(
        writer, GOLOCK_IMAGE_SAMPLES, sizeof(struct golock_image_sample), length + waits);
    struct golock_image_header *header = (void *)writer->bytes;
    size_t copied = copy_samples(header, samples, samples == NULL ? 0 : length);
    if (samples != NULL) {
        copied += golock_waits_samples(header->now, &samples[copied], waits);
        golock_image_end(writer, copied);
    }
}

void
golock_profile_before_fork(void)
{
    lock();
}

void
golock_profile_after_fork_in_parent(void)
{
    unlock();
}

void
golock_profile_after_fork_in_child(void)
{
    clear();
    unlock();
}
