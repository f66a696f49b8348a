/* The order in which threads take locks, at the level order: the locks that each thread holds, and
 * the circles in that order that graph.c finds. */
#ifndef GOLOCK_ORDER_H
#define GOLOCK_ORDER_H

#include "base/compat.h"
#include "sight/graph.h"
#include "sight/level.h"
#include "sight/objects.h"

#include <stdbool.h>
#include <stdint.h>

void golock_order_check(const golock_object_record *record);
void golock_order_push(const golock_object_record *record);
void golock_order_pop(const golock_object_record *record);
void golock_order_remove(const golock_object_record *record, bool all);

/* Records that the calling thread is about to take the lock, and may wait for it. Tells of the
 * circles that this closes. Needs the GIL, and never runs Python code. */
static inline void
golock_order_before(const golock_object_record *record)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_ORDER && record != NULL) {
        golock_order_check(record);
    }
}

/* Records that the calling thread has taken the lock. Call it after golock_object_taken. Needs the
 * GIL. */
static inline void
golock_order_taken(const golock_object_record *record)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_ORDER) {
        golock_order_push(record);
    }
}

/* Records that the calling thread releases the lock. Needs the GIL. */
static inline void
golock_order_released(const golock_object_record *record)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_ORDER) {
        golock_order_pop(record);
    }
}

/* The same for a goroutine, with its key. `tried` says that it would not have waited. They need no
 * GIL. */
void golock_order_taken_by(const golock_object_record *record, uint64_t key, bool tried);
void golock_order_released_by(const golock_object_record *record, uint64_t key);

/* Call this when another thread than its holder has released the lock, so it is no mutex, or when
 * the lock is made free otherwise. */
void golock_order_not_held(const golock_object_record *record);

/* Call this before the record is freed. */
static inline void
golock_order_gone(const golock_object_record *record)
{
    if (golock_sight_now() >= GOLOCK_SIGHT_ORDER) {
        golock_order_remove(record, false);
    }
}

/* Forgets all. Call this before the level is set to order. */
void golock_order_start(void);

/* Returns the circle with this index; false beyond the last. Circles stay until the next start.
 * Needs no GIL. */
bool golock_order_circle_at(uint32_t index, golock_order_circle *circle);

struct golock_image_writer;
void golock_order_image(struct golock_image_writer *writer);

/* Writes the section with `count` circles, or fewer if there are not so many. */
void golock_order_section(struct golock_image_writer *writer, uint32_t first, uint32_t count);

uint64_t golock_order_dropped(void);

/* Call these around a fork. */
void golock_order_before_fork(void);
void golock_order_after_fork_in_parent(void);
void golock_order_after_fork_in_child(void);

#endif
