/* Sharing an object's word with code outside Python: struct golock_header of golock.h. */
#ifndef GOLOCK_SHARE_H
#define GOLOCK_SHARE_H

#include "base/compat.h"
#include "base/state.h"
#include "golock.h"

/* Writes the header that precedes the word in the object. Needs the GIL. */
void golock_share(struct golock_header *header, enum golock_kind kind);

/* Invalidates the header, before the object is freed. */
static inline void
golock_unshare(struct golock_header *header)
{
    if (header->kind != 0) {
        __atomic_store_n(&header->magic, 0, __ATOMIC_RELEASE);
    }
}

/* Whether code outside Python may know the word behind the header. */
static inline bool
golock_is_shared(const struct golock_header *header)
{
    return __atomic_load_n(&header->kind, __ATOMIC_RELAXED) != 0;
}

/* A shared object cannot be opened, because the interpreter's algorithm does not use the word.
 * Returns -1 with RuntimeError set. */
int golock_refuse_to_open(PyObject *self);

/* An opened object cannot be shared. Returns NULL with TypeError set. */
void *golock_refuse_to_share(PyObject *self);

/* Returns the address of the header of an object that can be shared, as an int, or a new capsule
 * around it that keeps the object alive. Returns NULL with TypeError or MemoryError set. */
PyObject *golock_share_address(const golock_state *state, PyObject *object);
PyObject *golock_share_capsule(const golock_state *state, PyObject *object);

/* Returns a new reference to the object with the header at an address, or NULL with TypeError,
 * OverflowError or ValueError set. */
PyObject *golock_share_at(const golock_state *state, PyObject *address);

#endif
