/* Locks that other processes take too: golock.process.Lock and golock.etcd.Lock. And events that
 * they share: golock.process.Event. The layers above know their state. Each lock and event of this
 * process is in a list here, and golock.sight asks it. */
#ifndef GOLOCK_ACROSS_H
#define GOLOCK_ACROSS_H

#include "sight/image.h"
#include "sight/level.h"
#include "sight/objects.h"

#include <stdbool.h>
#include <stdint.h>

/* A lock or an event of several processes, as this process knows it. */
typedef struct golock_across {
    golock_object_record *record; /* or NULL: see golock_across_known */
    enum golock_object_kind kind;
    const char *name; /* UTF-8, or NULL: it has none */

    /* Fills in the entry but for object and name. It must not block, and needs no GIL.
     * The mutex of the list is held. */
    void (*view)(const struct golock_across *lock, struct golock_image_across *entry);

    /* Called when the recording of owners begins, and after it has ended; or NULL. The mutex of the
     * list is held. */
    void (*record_owners)(struct golock_across *lock, bool records);

    /* The thread of this process that was recorded as the owner has the lock as long as the masked
     * word is `hold`, which is not 0. Other processes may release it. An event is set as long as
     * the masked word is not 0. Accessed atomically. */
    const uint64_t *word;
    uint64_t mask, hold;

    struct golock_across *previous, *next;
} golock_across;

/* Adds a lock to the list, or removes it before it is freed. */
void golock_across_add(golock_across *lock);
void golock_across_remove(golock_across *lock);

/* Returns the record of a lock, which is made if there is none; NULL if there is no room. Needs no
 * GIL. */
golock_object_record *golock_across_know(golock_across *lock);

/* The same, or NULL if sight is off. */
static inline golock_object_record *
golock_across_known(golock_across *lock)
{
    return golock_sight_now() == GOLOCK_SIGHT_OFF ? NULL : golock_across_know(lock);
}

/* Names the lock by an interned string; 0 gives it its own name again. */
void golock_across_rename(golock_across *lock, golock_object_record *record, uint32_t name);

/* Records, if sight is on, that the calling thread has made an object for the lock. Needs the
 * GIL. */
void golock_across_made(golock_across *lock);

/* Says which hold is that of the owner, after the owner was recorded. */
static inline void
golock_across_set_hold(golock_across *lock, uint64_t hold)
{
    __atomic_store_n(&lock->hold, hold, __ATOMIC_RELEASE);
}

/* Whether the owner that was recorded still has the lock. */
static inline bool
golock_across_holds(const golock_across *lock)
{
    const uint64_t hold = __atomic_load_n(&lock->hold, __ATOMIC_ACQUIRE);
    return hold != 0 && (__atomic_load_n(lock->word, __ATOMIC_RELAXED) & lock->mask) == hold;
}

/* Whether the event is set. */
static inline bool
golock_across_is_set(const golock_across *event)
{
    return (__atomic_load_n(event->word, __ATOMIC_RELAXED) & event->mask) != 0;
}

/* Guards the list, and what record_owners changes. The lock of the tables may be taken inside it,
 * not the other way round. */
void golock_across_lock(void);
void golock_across_unlock(void);

/* Whether owners are recorded. The mutex is held. */
bool golock_across_records_owners(void);

/* Call this before the recording of owners begins, and after it has ended. */
void golock_across_record_owners(bool records);

struct golock_image_writer;
void golock_across_know_all(void); /* before OBJECTS */
void golock_across_image(struct golock_image_writer *writer);

/* Call these around a fork. The child holds none of the locks. */
void golock_across_before_fork(void);
void golock_across_after_fork_in_parent(void);
void golock_across_after_fork_in_child(void);

#endif
