/* The order in which locks are taken, as a graph that knows locks, stacks and threads as numbers.
 * Callers serialize all calls.
 *
 * The nodes are the places where locks were made. An edge says that a lock made in the second was
 * taken while one made in the first was held. Locks made in the same place are nodes of a graph of
 * their own, and a lock of unknown origin is a place of its own. So a circle of single locks made
 * in several places is a circle of the places too. */
#ifndef GOLOCK_GRAPH_H
#define GOLOCK_GRAPH_H

#include "base/compat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most locks that are compared with the one that is taken: the first that the thread took. */
#define GOLOCK_MOST_HELD 64

/* A lock, as one thread has taken it or takes it. The graph hands on what it does not know:
 * address, name, kind, stack. */
typedef struct {
    const void *address;
    uint32_t number; /* of the lock; never 0, and not used again */
    uint32_t place;  /* where it was made; 0: unknown */
    uint32_t stack;  /* where it was taken */
    uint32_t name;
    uint32_t kind;
} golock_ordered_lock;

/* A lock taken while another was held. */
typedef struct {
    uint64_t thread;
    uint32_t thread_name;
    golock_ordered_lock from, to;
} golock_order_edge;

/* A circle: its edges, in order. */
typedef struct {
    const golock_order_edge *edges;
    uint32_t length;
} golock_order_circle;

/* Forgets all. Returns false if there is no memory. */
bool golock_graph_reset(void);

/* Adds the edges to seen->to from each of the `count` locks that the thread holds; seen->from is
 * not used. Returns the number of circles afterwards: those that the call closed are the last. A
 * circle is not one if two of its edges were always seen while the same lock was held. */
uint32_t golock_graph_add(const golock_ordered_lock *held, int count, golock_order_edge seen);

/* Whether golock_graph_add would change nothing. */
bool golock_graph_has(const golock_ordered_lock *held, int count, const golock_ordered_lock *taken);

/* Removes the edges of a lock that is gone: those between it and others of its place, and all of a
 * lock of unknown origin. With `all`, also those between places that it was seen to make. */
void golock_graph_remove(uint32_t number, uint32_t place, bool all);

/* Returns the circle with this index, which stays valid until all is forgotten. */
golock_order_circle golock_graph_circle(uint32_t index);
uint32_t golock_graph_circles(void);

/* How many edges and circles were not recorded for lack of room, and how many searches given up. */
uint64_t golock_graph_dropped(void);

#endif
