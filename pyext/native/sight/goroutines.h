/* Goroutines, as the core records them: the functions of struct golock_sight. They need no GIL. */
#ifndef GOLOCK_GOROUTINES_H
#define GOLOCK_GOROUTINES_H

#include "base/compat.h"

#include <stdbool.h>
#include <stdint.h>

#include "golock.h"

void *golock_goroutine_waits(const void *word, int kind, uint64_t goroutine, int64_t deadline,
                             uint32_t stack);
void golock_goroutine_waited(void *wait, int taken);
void golock_goroutine_takes(const void *word, int kind, uint64_t goroutine, uint32_t stack);
void golock_goroutine_releases(const void *word, int kind, uint64_t goroutine, uint32_t count);

/* Has the goroutines of this core recorded from now on; NULL: none. */
void golock_goroutines_record(const struct golock_core *core);

/* Call this when the level has been set. */
void golock_goroutines_level(void);

#endif
