#include "sight/image_writer.h"

#include "base/clock.h"
#include "base/process.h"
#include "sight/across.h"
#include "sight/cycles.h"
#include "sight/intern.h"
#include "sight/level.h"
#include "sight/objects.h"
#include "sight/order.h"
#include "sight/permits.h"
#include "sight/profile.h"
#include "sight/threads.h"
#include "sight/waits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 65536

/* Makes room for `size` more bytes. */
static bool
reserve(struct golock_image_writer *writer, size_t size)
{
    size_t room = writer->room;
    while (room - writer->size < size) {
        room *= 2;
    }
    if (room > writer->room) {
        uint8_t *bytes = realloc(writer->bytes, room);
        if (bytes == NULL) {
            writer->failed = true;
            return false;
        }
        writer->bytes = bytes;
        writer->room = room;
    }
    return true;
}

void *
golock_image_begin(struct golock_image_writer *writer, enum golock_image_tag tag, uint32_t size,
                   uint64_t most)
{
    const struct golock_image_section section = {.tag = tag, .size = size};
    const size_t bytes = size * most + 7;
    if (!golock_image_wants(writer, tag) || writer->failed ||
        !reserve(writer, sizeof(section) + bytes)) {
        return NULL;
    }
    writer->section = writer->size;
    memcpy(writer->bytes + writer->size, &section, sizeof(section));
    writer->size += sizeof(section);
    if (tag == GOLOCK_IMAGE_WAITS) {
        writer->waits = writer->section;
    }
    return memset(writer->bytes + writer->size, 0, bytes);
}

void
golock_image_end(struct golock_image_writer *writer, uint64_t count)
{
    struct golock_image_section *section = (void *)(writer->bytes + writer->section);
    section->count = count;
    writer->size += (section->size * count + 7) & ~(size_t)7;
    ((struct golock_image_header *)writer->bytes)->sections++;
}

uint32_t
golock_image_find_wait(const struct golock_image_writer *writer, uint64_t thread, int64_t since)
{
    if (writer->waits == 0) {
        return UINT32_MAX;
    }
    const struct golock_image_section *section = (const void *)(writer->bytes + writer->waits);
    const struct golock_image_wait *waits = (const void *)(section + 1);
    for (uint32_t i = 0; i < section->count; i++) {
        if (waits[i].thread == thread && waits[i].since == since) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void
objects_image(struct golock_image_writer *writer)
{
    const uint32_t length = golock_objects_length();
    struct golock_image_object *entries =
        golock_image_begin(writer, GOLOCK_IMAGE_OBJECTS, sizeof(*entries), length);
    if (entries == NULL) {
        return;
    }
    uint32_t next = 0;
    uint64_t count = 0;
    for (size_t copied = 1; copied > 0; count += copied) {
        copied = golock_objects_copy(&next, entries + count, length - count);
    }
    golock_image_end(writer, count);
}

bool
golock_image_start(struct golock_image_writer *writer, uint64_t sections)
{
    *writer = (struct golock_image_writer){
        .bytes = malloc(FIRST_ROOM), .room = FIRST_ROOM, .wanted = sections};
    if (writer->bytes == NULL) {
        return false;
    }
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    struct golock_image_header header = {
        .magic = GOLOCK_IMAGE_MAGIC,
        .level = (uint32_t)golock_sight_now(),
        .process = golock_process,
        .now = golock_now(),
        .wall = (int64_t)wall.tv_sec * NS_PER_SECOND + wall.tv_nsec,
        .started = golock_sight_now() == GOLOCK_SIGHT_OFF
                       ? 0
                       : __atomic_load_n(&golock_sight_started, __ATOMIC_RELAXED),
        .dropped_waits = __atomic_load_n(&golock_waits_dropped, __ATOMIC_RELAXED),
        .dropped_objects = __atomic_load_n(&golock_objects_dropped, __ATOMIC_RELAXED),
        .dropped_order = golock_order_dropped(),
        .dropped_stacks = __atomic_load_n(&golock_stacks_dropped, __ATOMIC_RELAXED),
    };
    memcpy(writer->bytes, &header, sizeof(header));
    writer->size = sizeof(header);
    return true;
}

int
golock_image_finish(struct golock_image_writer *writer, void **image, uint64_t *size)
{
    /* The sections of strings come last: what the others refer to is then there. */
    golock_intern_image(writer);
    if (writer->failed) {
        free(writer->bytes);
        return ENOMEM;
    }
    *image = writer->bytes;
    *size = writer->size;
    return 0;
}

int
golock_image(uint64_t sections, void **image, uint64_t *size)
{
    struct golock_image_writer writer;
    if (!golock_image_start(&writer, sections)) {
        return ENOMEM;
    }
    golock_across_know_all();
    objects_image(&writer);
    golock_across_image(&writer);
    golock_permits_image(&writer);
    golock_waits_image(&writer);
    golock_cycles_image(&writer);
    golock_threads_image(&writer);
    golock_order_image(&writer);
    golock_profile_image(&writer);
    return golock_image_finish(&writer, image, size);
}
