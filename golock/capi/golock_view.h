/* What the library of golock-etcd tells golock.sight of a lock. */
#ifndef GOLOCK_VIEW_H
#define GOLOCK_VIEW_H

#include <stdint.h>

struct golock_etcd_view {
    int64_t token; /* of this process's hold, or 0 */
    int64_t lease; /* nanoseconds for which the hold lasts without another answer of etcd */
    int64_t age;   /* nanoseconds since the holder was known; 0: it is known as of now */
    uint32_t process, before;
    uint32_t flags; /* GOLOCK_VIEW_... */
    char host[256]; /* UTF-8 that ends with a zero, as far as there is room */
    char program[64];
    char endpoints[512]; /* of etcd, with commas */
};

#define GOLOCK_VIEW_HELD 0x1u /* by some process; otherwise that is unknown */
#define GOLOCK_VIEW_OWN 0x2u  /* by this one */
#define GOLOCK_VIEW_LOST 0x4u /* this process has lost it, and has not released it yet */

/* Fills in a view, all zero before, of the lock with a handle. Does not wait for etcd. */
typedef void golock_etcd_view_function(uintptr_t handle, struct golock_etcd_view *view);

#endif
