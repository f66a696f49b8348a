/* The primitives that golock.sight knows: one record each, from the first recorded event until the
 * object dies. */
#ifndef GOLOCK_OBJECTS_H
#define GOLOCK_OBJECTS_H

#include "base/clock.h"
#include "base/compat.h"
#include "sight/image.h"
#include "sight/level.h"
#include "sight/threads.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Records are allocated in blocks and never freed, but used again. With a GIL, the record of an
 * object that neither Go nor another interpreter can reach is written with the GIL. Otherwise the
 * version serves as a lock, and the fields are accessed atomically: read them by
 * golock_object_read. */
typedef struct golock_object_record {
    const void *address; /* of the object; of the word, if Go made it; of the golock_across of what
                          * several processes share; NULL: the record is free */
    uint64_t owner;      /* as in struct golock_image_object: the key of a thread, or 0 */
    int64_t since;       /* CLOCK_MONOTONIC_COARSE, in nanoseconds */
    union {
        uintptr_t place; /* the instruction that `stack` stands for, or 0: see sight/frame.h */
        struct golock_object_record *next_free;
    };
    uint32_t version;    /* odd while the record is written */
    uint32_t generation; /* of owner, since and stack: see golock_generation_counts */
    uint32_t stack;      /* where the owner took, set or notified the object */
    uint32_t created;    /* where it was made, as golock_site_here() says; or 0 */
    uint32_t name;       /* a string, or 0 */
    uint32_t permits;    /* of a semaphore: the first of permits.c, under the lock of the tables */
    uint32_t number;     /* of this use of the record: each gets the next one, from 1 on */
    uint8_t kind;        /* enum golock_object_kind */
    uint8_t flags;       /* GOLOCK_OBJECT_..., without HELD */
    uint8_t offset;      /* of the word in the object, in bytes; of a barrier's parties */
} golock_object_record;

_Static_assert(sizeof(golock_object_record) <= 64, "one cache line");

/* Whether objects of a kind have one holder. */
static inline bool
golock_kind_is_lock(unsigned kind)
{
    return kind == GOLOCK_KIND_LOCK || kind == GOLOCK_KIND_RLOCK ||
           kind == GOLOCK_KIND_PROCESS_LOCK || kind == GOLOCK_KIND_ETCD_LOCK;
}

/* Whether they are locks of several processes. Two interpreters with GILs of their own may use one
 * at the same time. */
static inline bool
golock_kind_is_across(unsigned kind)
{
    return kind == GOLOCK_KIND_PROCESS_LOCK || kind == GOLOCK_KIND_ETCD_LOCK;
}

/* What is known of an object from its type. */
typedef struct {
    enum golock_object_kind kind;
    unsigned flags; /* GOLOCK_OBJECT_SHARED and _STRANGER */
    size_t offset;  /* of the word in the object: see golock_object_record */
    uint32_t name;  /* a string, or 0 */
} golock_object_traits;

golock_object_record *golock_object_begin(golock_object_record **place, const void *address,
                                          const golock_object_traits *traits);

/* Where to read the state of objects, in bytes from the word: the owner of an RLock,
 * threading.get_ident() or 0, and how often it has taken it; how many wait at a barrier. */
#define GOLOCK_RLOCK_OWNER 16
#define GOLOCK_RLOCK_COUNT 24
#define GOLOCK_BARRIER_ARRIVED 60

extern uint32_t golock_generation;

/* Each time that the recording of owners begins or ends, another generation begins. */
static inline uint32_t
golock_generation_now(void)
{
    return __atomic_load_n(&golock_generation, __ATOMIC_RELAXED);
}

/* Whether what was recorded in that generation counts. What threads still record when the recording
 * has ended does not: locks are released without notice then. */
static inline bool
golock_generation_counts(uint32_t generation)
{
    return generation % 2 != 0 && generation == golock_generation_now();
}

/* Returns the record to which *place points, and makes one if it is NULL. Returns NULL if there is
 * no room. */
static inline golock_object_record *
golock_object_know(golock_object_record **place, const void *address,
                   const golock_object_traits *traits)
{
    golock_object_record *record = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    return record != NULL ? record : golock_object_begin(place, address, traits);
}

/* Names the object by an interned string, or takes its name away: 0. */
void golock_object_set_name(golock_object_record *record, uint32_t name);

/* Records where a new object is made; the second one, which code outside golock's own modules has
 * asked for it. They need the GIL. */
void golock_object_record_site(golock_object_record *record);
void golock_object_record_site_outside(golock_object_record *record);

/* Frees the record, if there is one, before its object is freed. */
void golock_object_gone(golock_object_record **place);

/* Records that the calling thread has taken the lock, set the event or notified the condition.
 * Needs the GIL. */
void golock_object_taken(golock_object_record *record);

/* The same for a lock that golock's own modules take for the code that has called them. */
void golock_object_taken_outside(golock_object_record *record);

/* The same for the task that the calling thread runs, and a lock or a semaphore. Returns false, and
 * records nothing, if no task is known. */
bool golock_object_taken_by_task(golock_object_record *record);

void golock_object_release(golock_object_record *record);

/* Records that the calling thread releases the lock. Call it while the lock is held. Needs the
 * GIL. */
static inline void
golock_object_released(golock_object_record *record)
{
#ifndef Py_GIL_DISABLED
    /* In the common case the owner releases it within the same tick of the coarse clock. */
    const golock_thread_record *self = golock_thread_self.record;
    if (self != NULL && self->key == __atomic_load_n(&record->owner, __ATOMIC_RELAXED) &&
        !(__atomic_load_n(&record->flags, __ATOMIC_RELAXED) & GOLOCK_OBJECT_SHARED) &&
        golock_now_coarse() == __atomic_load_n(&record->since, __ATOMIC_RELAXED)) {
        __atomic_store_n(&record->owner, 0, __ATOMIC_RELAXED);
        return;
    }
#endif
    golock_object_release(record);
}

/* The same for a semaphore: records that the calling thread has taken a permit, or gives n back. */
void golock_object_permit_taken(golock_object_record *record);
void golock_object_permits_given(golock_object_record *record, uint32_t n);

/* The same for a thread or goroutine with this key, and a lock or a semaphore. They need no GIL. */
void golock_object_taken_by(golock_object_record *record, uint64_t key, uint32_t stack);
void golock_object_released_by(golock_object_record *record, uint64_t key);

/* Forgets the owner, and that strangers have released the lock. */
void golock_object_reset(golock_object_record *record);

/* Marks an object that other threads than its owner release. */
void golock_object_mark_stranger(golock_object_record *record);

/* Marks an object whose word code outside Python may know, so that it is found by its word. */
void golock_object_shared(golock_object_record *record);

/* Returns the record of the object with this word. With `make`, makes one for a word that belongs
 * to no object, with `kind`, an enum golock_kind. Returns NULL if there is none, or no room. Needs
 * no GIL. */
golock_object_record *golock_object_of_word(const void *word, int kind, bool make);

/* Copies a record as it was at one moment. What does not count any more is 0 in the copy: owner,
 * since, stack. Returns false if the record is free. Needs no GIL. */
bool golock_object_read(const golock_object_record *record, golock_object_record *copy);

/* Returns where the lock was last taken, also if it has been released since; or 0. Needs no GIL. */
uint32_t golock_object_last_taken(const golock_object_record *record);

/* All records have an index below the length, which only grows. */
uint32_t golock_objects_length(void);
golock_object_record *golock_object_at(uint32_t index);

/* Fills in up to `room` entries, from the record *next on, with the state of the objects, and sets
 * *next to the first record that was not looked at. Returns how many it filled in; 0 when all were
 * looked at. Needs no GIL. */
size_t golock_objects_copy(uint32_t *next, struct golock_image_object *entries, size_t room);

/* How many objects have no record for lack of room. */
extern uint64_t golock_objects_dropped;

/* Begins another generation. Call this before the recording of owners begins, and before it ends.
 * Needs no GIL. */
void golock_next_generation(void);

/* Call this in a child process: threads that do not exist there are GOLOCK_LOST. */
void golock_objects_after_fork(void);

#endif
