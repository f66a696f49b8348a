/* Makes images: see image.h. */
#ifndef GOLOCK_IMAGE_WRITER_H
#define GOLOCK_IMAGE_WRITER_H

#include "sight/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct golock_image_writer {
    uint8_t *bytes; /* allocated by malloc */
    size_t size, room;
    uint64_t wanted; /* sections */
    size_t section;  /* the offset of the last one */
    size_t waits;    /* the offset of WAITS, or 0 */
    bool failed;     /* there is no memory */
};

/* Begins an image of the sections, a set of GOLOCK_IMAGE_SECTION, or 0 for all. Returns false if
 * there is no memory. */
bool golock_image_start(struct golock_image_writer *writer, uint64_t sections);

/* Adds the strings, frames and stacks, and ends the image. Returns 0, or ENOMEM. The caller frees
 * *image. */
int golock_image_finish(struct golock_image_writer *writer, void **image, uint64_t *size);

static inline bool
golock_image_wants(const struct golock_image_writer *writer, enum golock_image_tag tag)
{
    return writer->wanted == 0 || writer->wanted & GOLOCK_IMAGE_SECTION(tag);
}

/* Begins a section. Returns room for `most` entries, all zero, which is valid until the next call;
 * or NULL if the section is not wanted or there is no memory. */
void *golock_image_begin(struct golock_image_writer *writer, enum golock_image_tag tag,
                         uint32_t size, uint64_t most);

/* Ends the section, which has that many entries. */
void golock_image_end(struct golock_image_writer *writer, uint64_t count);

/* Returns the index in WAITS of the wait of that thread that began then, or UINT32_MAX. */
uint32_t golock_image_find_wait(const struct golock_image_writer *writer, uint64_t thread,
                                int64_t since);

/* Makes an image of these sections. Needs no GIL, and never waits for it. */
int golock_image(uint64_t sections, void **image, uint64_t *size);

#endif
