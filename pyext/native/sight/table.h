/* The lock of the tables of this layer. It is held for some instructions, and never while
 * Python code may run. */
#ifndef GOLOCK_TABLE_H
#define GOLOCK_TABLE_H

#include <sched.h>
#include <stdbool.h>

extern bool golock_tables_locked;

static inline void
golock_tables_lock(void)
{
    while (__atomic_exchange_n(&golock_tables_locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static inline void
golock_tables_unlock(void)
{
    __atomic_store_n(&golock_tables_locked, false, __ATOMIC_RELEASE);
}

#endif
