/* Checks of addresses that may be invalid. */
#ifndef GOLOCK_READABLE_H
#define GOLOCK_READABLE_H

#include "base/compat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Formats an address; %p formats NULL differently on each C library. Returns text. */
#define GOLOCK_ADDRESS_TEXT 19
static inline const char *
golock_address_text(const void *address, char text[GOLOCK_ADDRESS_TEXT])
{
    snprintf(text, GOLOCK_ADDRESS_TEXT, "0x%zx", (size_t)address);
    return text;
}

/* Returns whether `size` bytes, in steps of eight, can be read at an address that may be
 * invalid. */
bool golock_readable(const void *address, size_t size);

#endif
