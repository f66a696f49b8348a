/* Addresses that may be anything. */
#ifndef GOLOCK_READABLE_H
#define GOLOCK_READABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes an address for a message; what %p makes of NULL differs. Returns text. */
#define GOLOCK_ADDRESS_TEXT 19
static inline const char *
golock_address_text(const void *address, char text[GOLOCK_ADDRESS_TEXT])
{
    snprintf(text, GOLOCK_ADDRESS_TEXT, "0x%zx", (size_t)address);
    return text;
}

/* Returns whether so many bytes, in steps of eight, can be read at an address that may be anything. */
bool golock_readable(const void *address, size_t size);

#endif
