#include "base/readable.h"

#include "base/futex.h"

#include <errno.h>

bool
golock_readable(const void *address, size_t size)
{
    for (size_t offset = 0; offset < size; offset += 8) {
        /* Compares the memory with 0 for a requeue of nobody. Nobody is woken, and nobody can be woken in
         * place of another, as by a wait. */
        const uint32_t *at = (const uint32_t *)((const char *)address + offset);
        if (golock_futex_move(at, 0, 0, at) < 0 && errno != EAGAIN) {
            return false;
        }
    }
    return true;
}
