#include "base/readable.h"

#include "base/futex.h"

#include <errno.h>

bool
golock_readable(const void *address, size_t size)
{
    for (size_t offset = 0; offset < size; offset += 8) {
        /* Let the kernel compare the memory with 0, to requeue nobody. Unlike a wait, it can
         * neither be woken nor take a wake-up from another. */
        const uint32_t *at = (const uint32_t *)((const char *)address + offset);
        if (golock_futex_move(at, 0, 0, at) < 0 && errno != EAGAIN) {
            return false;
        }
    }
    return true;
}
