/* Handing an object's word to code that is not Python: struct golock_header of golock.h. */
#ifndef GOLOCK_SHARE_H
#define GOLOCK_SHARE_H

#include "extension.h"

/* Writes the header, which stands before the word in the object. Needs the GIL. */
void golock_share(struct golock_header *header, enum golock_kind kind);

/* Takes the header back, before the object goes. */
static inline void
golock_unshare(struct golock_header *header)
{
    if (header->kind != 0) {
        __atomic_store_n(&header->magic, 0, __ATOMIC_RELEASE);
    }
}

/* What a Lock, a Semaphore and an Event do to be shared: they return their header, written. */
struct golock_header *golock_lock_share(PyObject *lock);
struct golock_header *golock_semaphore_share(PyObject *semaphore);
struct golock_header *golock_event_share(PyObject *event);

/* The object whose header this is. */
PyObject *golock_lock_with(struct golock_header *header);
PyObject *golock_semaphore_with(struct golock_header *header);
PyObject *golock_event_with(struct golock_header *header);

/* Returns the address of the header of an object that can be shared, as an int; or a new capsule around it,
 * which keeps the object alive. NULL with TypeError or MemoryError set. */
PyObject *golock_share_address(const golock_state *state, PyObject *object);
PyObject *golock_share_capsule(const golock_state *state, PyObject *object);

/* Returns a new reference to the object with the header at an address, or NULL with TypeError, OverflowError
 * or ValueError set. */
PyObject *golock_share_at(const golock_state *state, PyObject *address);

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
