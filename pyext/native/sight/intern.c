#include "sight/intern.h"

#include "sight/frame.h"
#include "sight/image_writer.h"
#include "sight/table.h"

#include <stdbool.h>
#include <string.h>

#define MOST_STRINGS (1u << 16)
#define MOST_BYTES (1u << 23)
#define MOST_FRAMES (1u << 16)
#define MOST_STACKS (1u << 18)
#define MOST_PLACES (1u << 16)

/* Longer texts are cut off. */
#define LONGEST_STRING 4096

uint64_t golock_stacks_dropped;

/* Entries are written under the lock of the tables, before the count that includes them, and never
 * change. Each table has an open hash table of indexes, which is at most half full; 0 is an empty
 * slot. Slots are filled under the lock, after their entries. Memory that is not used costs
 * nothing. */
static struct {
    uint32_t strings, frames, stacks;
} counts = {1, 1, 1}; /* apart: the tables would be in the file if a part of them were not zero */

static struct {
    uint32_t ends[MOST_STRINGS];
    uint8_t bytes[MOST_BYTES];
    uint32_t slots[2 * MOST_STRINGS];
} strings;

static struct {
    struct golock_image_frame entries[MOST_FRAMES];
    uint32_t slots[2 * MOST_FRAMES];
} frames;

static struct {
    struct golock_image_stack entries[MOST_STACKS];
    uint32_t slots[2 * MOST_STACKS];
} stacks;

/* The frames of instructions of the main interpreter's code, in an open hash table. Each entry has
 * a reference to its code object, so that no other gets its address. */
static struct {
    struct place {
        PyCodeObject *code;
        uint64_t instruction_and_frame; /* read at once */
    } slots[2 * MOST_PLACES];
    uint32_t used[MOST_PLACES]; /* the indexes of slots, in the order in which they were filled */
    uint32_t count;
} places;

static uint32_t
mix(uint64_t key)
{
    return (uint32_t)(key * 0x9E3779B97F4A7C15u >> 32);
}

static uint32_t
dropped(void)
{
    __atomic_add_fetch(&golock_stacks_dropped, 1, __ATOMIC_RELAXED);
    return 0;
}

/* A table as the search sees it: whether the entry with that index is the one. */
typedef bool matches(uint32_t index, const void *key);

/* Returns the index of the entry, or 0; then *slot is where it belongs. */
static uint32_t
find(const uint32_t *slots, uint32_t size, uint32_t hash, matches *same, const void *key,
     uint32_t *slot)
{
    for (uint32_t i = hash & (size - 1);; i = (i + 1) & (size - 1)) {
        uint32_t index = __atomic_load_n(&slots[i], __ATOMIC_ACQUIRE);
        if (index == 0 || same(index, key)) {
            *slot = i;
            return index;
        }
    }
}

/* Publishes the entry with the next index. Needs the lock. */
static uint32_t
publish(uint32_t *count, uint32_t *slot)
{
    uint32_t index = *count;
    __atomic_store_n(count, index + 1, __ATOMIC_RELEASE);
    __atomic_store_n(slot, index, __ATOMIC_RELEASE);
    return index;
}

typedef struct {
    const char *text;
    size_t length;
} text;

static bool
same_string(uint32_t index, const void *key)
{
    const text *wanted = key;
    const uint32_t start = strings.ends[index - 1];
    return strings.ends[index] - start == wanted->length &&
           memcmp(strings.bytes + start, wanted->text, wanted->length) == 0;
}

static uint32_t
hash_of_text(const text *key)
{
    uint64_t hash = key->length, word;
    size_t i = 0;
    for (; i + 8 <= key->length; i += 8) {
        memcpy(&word, key->text + i, 8);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, key->text + i, key->length - i);
    return mix(hash ^ word);
}

uint32_t
golock_intern_string(const char *given, size_t length)
{
    const text key = {given, length};
    if (length == 0) {
        return 0;
    }
    if (length > LONGEST_STRING) {
        return dropped();
    }
    const uint32_t hash = hash_of_text(&key);
    uint32_t slot, index = find(strings.slots, 2 * MOST_STRINGS, hash, same_string, &key, &slot);
    if (index != 0) {
        return index;
    }
    golock_tables_lock();
    index = find(strings.slots, 2 * MOST_STRINGS, hash, same_string, &key, &slot);
    if (index == 0 && counts.strings < MOST_STRINGS) {
        const uint32_t start = strings.ends[counts.strings - 1];
        if (length <= MOST_BYTES - start) {
            memcpy(strings.bytes + start, given, length);
            strings.ends[counts.strings] = start + (uint32_t)length;
            index = publish(&counts.strings, &strings.slots[slot]);
        }
    }
    golock_tables_unlock();
    return index != 0 ? index : dropped();
}

/* Writes the character in UTF-8, and returns where it ends. What has no encoding, half of a
 * surrogate pair, is replaced: U+FFFD. */
static char *
encode(char *end, Py_UCS4 c)
{
    if (c >= 0xD800 && c <= 0xDFFF) {
        c = 0xFFFD;
    }
    if (c < 0x80) {
        *end++ = (char)c;
        return end;
    }
    if (c < 0x800) {
        *end++ = (char)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *end++ = (char)(0xE0 | c >> 12);
        } else {
            *end++ = (char)(0xF0 | c >> 18);
            *end++ = (char)(0x80 | (c >> 12 & 0x3F));
        }
        *end++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *end++ = (char)(0x80 | (c & 0x3F));
    return end;
}

uint32_t
golock_intern_unicode(PyObject *string)
{
    const Py_ssize_t length = PyUnicode_GET_LENGTH(string);
    const int kind = PyUnicode_KIND(string);
    const void *data = PyUnicode_DATA(string);
    if (PyUnicode_IS_ASCII(string)) {
        return golock_intern_string(data, length < LONGEST_STRING ? length : LONGEST_STRING);
    }
    char encoded[LONGEST_STRING], *end = encoded;
    for (Py_ssize_t i = 0; i < length && end <= encoded + LONGEST_STRING - 4; i++) {
        end = encode(end, PyUnicode_READ(kind, data, i));
    }
    return golock_intern_string(encoded, end - encoded);
}

static bool
same_frame(uint32_t index, const void *key)
{
    return memcmp(&frames.entries[index], key, sizeof(struct golock_image_frame)) == 0;
}

static uint32_t
intern_frame(const struct golock_image_frame *frame)
{
    const uint32_t hash = mix(((uint64_t)frame->file << 40) ^ ((uint64_t)frame->function << 20) ^
                              (uint32_t)frame->line ^ ((uint64_t)frame->flags << 63));
    uint32_t slot, index = find(frames.slots, 2 * MOST_FRAMES, hash, same_frame, frame, &slot);
    if (index != 0) {
        return index;
    }
    golock_tables_lock();
    index = find(frames.slots, 2 * MOST_FRAMES, hash, same_frame, frame, &slot);
    if (index == 0 && counts.frames < MOST_FRAMES) {
        frames.entries[counts.frames] = *frame;
        index = publish(&counts.frames, &frames.slots[slot]);
    }
    golock_tables_unlock();
    return index != 0 ? index : dropped();
}

uint32_t
golock_intern_go_frame(const char *file, const char *function, int line)
{
    const struct golock_image_frame frame = {
        .file = golock_intern_string(file, strlen(file)),
        .function = golock_intern_string(function, strlen(function)),
        .line = line,
        .flags = GOLOCK_FRAME_GO,
    };
    return intern_frame(&frame);
}

static bool
same_stack(uint32_t index, const void *key)
{
    return memcmp(&stacks.entries[index], key, sizeof(struct golock_image_stack)) == 0;
}

uint32_t
golock_intern_stack(uint32_t caller, uint32_t frame)
{
    const struct golock_image_stack stack = {.caller = caller, .frame = frame};
    const uint32_t hash = mix((uint64_t)caller << 32 | frame);
    uint32_t slot, index = find(stacks.slots, 2 * MOST_STACKS, hash, same_stack, &stack, &slot);
    if (index != 0) {
        return index;
    }
    golock_tables_lock();
    index = find(stacks.slots, 2 * MOST_STACKS, hash, same_stack, &stack, &slot);
    if (index == 0 && counts.stacks < MOST_STACKS) {
        stacks.entries[counts.stacks] = stack;
        index = publish(&counts.stacks, &stacks.slots[slot]);
    }
    golock_tables_unlock();
    return index != 0 ? index : dropped();
}

static uint32_t
resolve(PyCodeObject *code, int instruction)
{
#if PY_VERSION_HEX >= 0x030B0000
    PyObject *function = code->co_qualname;
#else
    PyObject *function = code->co_name;
#endif
    const int line = PyCode_Addr2Line(code, instruction);
    const struct golock_image_frame frame = {
        .file = golock_intern_unicode(code->co_filename),
        .function = golock_intern_unicode(function),
        .line = line > 0 ? line : 0,
    };
    return intern_frame(&frame);
}

/* Returns the slot of the instruction, or the empty one where it belongs. Sets *frame to the frame,
 * or to 0. A slot may be emptied meanwhile; what it then gets is not this code, which the caller
 * keeps alive. */
static struct place *
find_place(PyCodeObject *code, int instruction, uint32_t *frame)
{
    const uint32_t size = 2 * MOST_PLACES;
    uint32_t i = mix((uintptr_t)code >> 4 ^ (uint64_t)instruction << 44) & (size - 1);
    for (;; i = (i + 1) & (size - 1)) {
        struct place *place = &places.slots[i];
        PyCodeObject *its = __atomic_load_n(&place->code, __ATOMIC_ACQUIRE);
        const uint64_t both = __atomic_load_n(&place->instruction_and_frame, __ATOMIC_ACQUIRE);
        if (its == NULL) {
            *frame = 0;
            return place;
        }
        if (its == code && both >> 32 == (uint32_t)instruction &&
            __atomic_load_n(&place->code, __ATOMIC_RELAXED) == code) {
            *frame = (uint32_t)both;
            return place;
        }
    }
}

static uint32_t
intern_place(PyCodeObject *code, int instruction)
{
    uint32_t frame, other;
    find_place(code, instruction, &frame);
    if (frame != 0) {
        return frame;
    }
    frame = resolve(code, instruction);
    golock_tables_lock();
    struct place *place = find_place(code, instruction, &other);
    if (frame != 0 && other == 0 && places.count < MOST_PLACES) {
        Py_INCREF(code);
        places.used[places.count] = (uint32_t)(place - places.slots);
        __atomic_store_n(&places.count, places.count + 1, __ATOMIC_RELAXED);
        const uint64_t both = (uint64_t)(uint32_t)instruction << 32 | frame;
        __atomic_store_n(&place->instruction_and_frame, both, __ATOMIC_RELAXED);
        __atomic_store_n(&place->code, code, __ATOMIC_RELEASE);
    }
    golock_tables_unlock();
    return frame;
}

bool
golock_places_are_full(void)
{
    return __atomic_load_n(&places.count, __ATOMIC_RELAXED) == MOST_PLACES;
}

/* The code objects that have been kept until it changes may be gone. */
static uint32_t generation;

/* The slots are emptied in the reverse order, so that a search ends at no slot that was emptied too
 * early. */
void
golock_intern_stop(void)
{
    __atomic_add_fetch(&generation, 1, __ATOMIC_RELAXED);
    for (;;) {
        golock_tables_lock();
        PyCodeObject *code = NULL;
        if (places.count > 0) {
            __atomic_store_n(&places.count, places.count - 1, __ATOMIC_RELAXED);
            struct place *place = &places.slots[places.used[places.count]];
            code = place->code;
            __atomic_store_n(&place->code, NULL, __ATOMIC_RELEASE);
        }
        golock_tables_unlock();
        if (code == NULL) {
            __atomic_add_fetch(&generation, 1, __ATOMIC_RELAXED);
            return;
        }
        Py_DECREF(code); /* may run Python code, which may switch sight on */
    }
}

/* Code objects of other interpreters are not kept: their references could outlive them. */
static uint32_t
intern_code(PyCodeObject *code, int instruction, bool keep)
{
    return keep ? intern_place(code, instruction) : resolve(code, instruction);
}

/* Stacks by a hash of their code objects and instructions, which are kept alive: two stacks with
 * one hash of 64 bits do not occur. `check` is the hash XOR the stack, so that an entry that two
 * threads write at once is none. */
static struct {
    uint64_t check;
    uint64_t stack;
} known[4096];

static uint64_t
add_to_hash(uint64_t hash, const PyCodeObject *code, int instruction)
{
    hash = (hash ^ (uintptr_t)code ^ (uint64_t)instruction << 48) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

/* The code of golock that has started the program. Stacks end above it. */
static PyCodeObject *root;

void
golock_intern_root(PyCodeObject *code)
{
    Py_INCREF(code);
    Py_XDECREF(__atomic_exchange_n(&root, code, __ATOMIC_RELAXED));
}

/* Returns the stack that begins with the frame, up to `most` frames. */
static uint32_t
stack_from(PyThreadState *thread, const void *frame, int most)
{
    const bool keep = PyThreadState_GetInterpreter(thread) == PyInterpreterState_Main();
    PyCodeObject *codes[GOLOCK_MOST_FRAMES];
    int instructions[GOLOCK_MOST_FRAMES], length = 0;
    const uint32_t before = __atomic_load_n(&generation, __ATOMIC_RELAXED);
    /* Mixed, so that it does not cancel a difference of addresses. */
    uint64_t hash = add_to_hash(before, NULL, 0);
    const PyCodeObject *end = __atomic_load_n(&root, __ATOMIC_RELAXED);
    for (; frame != NULL && length < most; frame = golock_calling_frame(frame), length++) {
        codes[length] = golock_frame_code(frame, &instructions[length]);
        if (codes[length] == end) {
            break;
        }
        hash = add_to_hash(hash, codes[length], instructions[length]);
    }
    const size_t slot = hash % (sizeof(known) / sizeof(known[0]));
    uint64_t stack = __atomic_load_n(&known[slot].stack, __ATOMIC_RELAXED);
    if (keep && stack != 0 &&
        (__atomic_load_n(&known[slot].check, __ATOMIC_RELAXED) ^ stack) == hash) {
        return (uint32_t)stack;
    }
    stack = 0;
    while (length-- > 0) {
        const uint32_t found = intern_code(codes[length], instructions[length], keep);
        stack = golock_intern_stack((uint32_t)stack, found);
    }
    if (keep && !golock_places_are_full() &&
        __atomic_load_n(&generation, __ATOMIC_RELAXED) == before) {
        __atomic_store_n(&known[slot].stack, stack, __ATOMIC_RELAXED);
        __atomic_store_n(&known[slot].check, hash ^ stack, __ATOMIC_RELAXED);
    }
    return (uint32_t)stack;
}

static uint32_t
stack_of(PyThreadState *thread, int most)
{
    return stack_from(thread, golock_innermost_frame(thread), most);
}

uint32_t
golock_stack_here(void)
{
    return stack_of(PyThreadState_Get(), GOLOCK_MOST_FRAMES);
}

uint32_t
golock_line_here(void)
{
    return stack_of(PyThreadState_Get(), 1);
}

static bool
is_threading_rlock(const PyCodeObject *code)
{
    static const char file[] = "/threading.py";
    Py_ssize_t length;
    if (PyUnicode_CompareWithASCIIString(code->co_name, "RLock") != 0) {
        return false;
    }
    const char *name = PyUnicode_AsUTF8AndSize(code->co_filename, &length);
    if (name == NULL) {
        PyErr_Clear();
        return false;
    }
    const Py_ssize_t end = length - (Py_ssize_t)strlen(file);
    return end >= 0 && strcmp(name + end, file) == 0;
}

static bool
is_named_init(const PyCodeObject *code)
{
    return PyUnicode_CompareWithASCIIString(code->co_name, "__init__") == 0;
}

static bool
is_from_no_file(const PyCodeObject *code)
{
    return PyUnicode_GET_LENGTH(code->co_filename) > 0 &&
           PyUnicode_READ_CHAR(code->co_filename, 0) == '<';
}

typedef struct {
    char name[512];
    size_t length; /* or 0: it is unknown */
} path;

static path library, package;

static void
set_path(path *to, const char *folder, size_t length)
{
    to->length = 0;
    if (length > 0 && length < sizeof(to->name)) {
        memcpy(to->name, folder, length);
        to->length = length;
    }
}

/* Returns what follows the folder in the name of a file in it; otherwise NULL. */
static const char *
below(const path *folder, const char *file)
{
    const bool is_below = folder->length > 0 && strncmp(file, folder->name, folder->length) == 0 &&
                          file[folder->length] == '/';
    return is_below ? file + folder->length : NULL;
}

void
golock_intern_library(const char *folder, size_t length)
{
    set_path(&library, folder, length);
}

void
golock_intern_package(const char *folder, size_t length)
{
    set_path(&package, folder, length);
}

/* Returns the file of a code object, or "" if it cannot be encoded. */
static const char *
file_of(const PyCodeObject *code)
{
    const char *file = PyUnicode_AsUTF8(code->co_filename);
    if (file == NULL) {
        PyErr_Clear();
        return "";
    }
    return file;
}

/* Returns the innermost frame of a thread that is not of golock's own modules. */
static const void *
frame_outside(PyThreadState *thread)
{
    int instruction;
    const void *frame = golock_innermost_frame(thread);
    while (frame != NULL && below(&package, file_of(golock_frame_code(frame, &instruction)))) {
        frame = golock_calling_frame(frame);
    }
    return frame;
}

uint32_t
golock_stack_outside(void)
{
    PyThreadState *thread = PyThreadState_Get();
    return stack_from(thread, frame_outside(thread), GOLOCK_MOST_FRAMES);
}

uint32_t
golock_line_outside(void)
{
    PyThreadState *thread = PyThreadState_Get();
    return stack_from(thread, frame_outside(thread), 1);
}

static bool
is_in_library(const PyCodeObject *code)
{
    const char *file = file_of(code);
    if (strncmp(file, "<frozen ", strlen("<frozen ")) == 0) {
        return true;
    }
    const char *rest = below(&library, file);
    return rest != NULL && strncmp(rest, "/site-packages/", strlen("/site-packages/")) != 0 &&
           strncmp(rest, "/dist-packages/", strlen("/dist-packages/")) != 0;
}

/* Whether the code is an __init__ that dataclasses, attrs or the like have generated, given the
 * code that has called it. A class of python -c is called by code that has no file either. */
static bool
is_generated(const PyCodeObject *code, const PyCodeObject *caller)
{
    return is_named_init(code) && is_from_no_file(code) && !is_in_library(code) &&
           !is_from_no_file(caller);
}

#define MOST_SITE_FRAMES 8

static uint32_t
site_from(PyThreadState *thread, const void *frame)
{
    const bool keep = PyThreadState_GetInterpreter(thread) == PyInterpreterState_Main();
    int instruction = 0;
    if (frame != NULL && is_threading_rlock(golock_frame_code(frame, &instruction))) {
        frame = golock_calling_frame(frame);
    }
    if (frame == NULL) {
        return 0;
    }
    uint32_t found[MOST_SITE_FRAMES];
    int count = 0;
    int generated = 0;
    PyCodeObject *code = golock_frame_code(frame, &instruction);
    for (;;) {
        found[count++] = intern_code(code, instruction, keep);
        frame = golock_calling_frame(frame);
        if (frame == NULL || count == MOST_SITE_FRAMES) {
            break;
        }
        PyCodeObject *caller = golock_frame_code(frame, &instruction);
        if (count == 1) {
            generated = is_generated(code, caller);
        }
        if (!is_in_library(code) && !(count == 1 ? generated : is_named_init(code))) {
            break;
        }
        code = caller;
    }
    uint32_t site = generated ? golock_intern_stack(0, found[0]) : 0;
    for (int i = count - 1; i >= generated; i--) {
        site = golock_intern_stack(site, found[i]);
    }
    return site;
}

uint32_t
golock_site_here(void)
{
    PyThreadState *thread = PyThreadState_Get();
    return site_from(thread, golock_innermost_frame(thread));
}

uint32_t
golock_site_outside(void)
{
    PyThreadState *thread = PyThreadState_Get();
    return site_from(thread, frame_outside(thread));
}

uint32_t
golock_stack_of(PyThreadState *thread)
{
#ifdef Py_GIL_DISABLED
    return thread == PyThreadState_Get() ? golock_stack_here() : 0;
#else
    return stack_of(thread, GOLOCK_MOST_FRAMES);
#endif
}

struct golock_image_frame
golock_interned_frame(uint32_t frame)
{
    return frames.entries[frame];
}

struct golock_image_stack
golock_interned_stack(uint32_t stack)
{
    return stacks.entries[stack];
}

const char *
golock_interned_string(uint32_t string, size_t *length)
{
    const uint32_t start = string == 0 ? 0 : strings.ends[string - 1];
    *length = strings.ends[string] - start;
    return (const char *)strings.bytes + start;
}

static void
add(struct golock_image_writer *writer, enum golock_image_tag tag, uint32_t size, uint32_t count,
    const void *entries)
{
    void *room = golock_image_begin(writer, tag, size, count);
    if (room != NULL) {
        memcpy(room, entries, (size_t)size * count);
        golock_image_end(writer, count);
    }
}

/* Stacks refer to frames and these to strings, so the counts are read in this order. */
void
golock_intern_image(struct golock_image_writer *writer)
{
    const uint32_t stack_count = __atomic_load_n(&counts.stacks, __ATOMIC_ACQUIRE);
    const uint32_t frame_count = __atomic_load_n(&counts.frames, __ATOMIC_ACQUIRE);
    const uint32_t string_count = __atomic_load_n(&counts.strings, __ATOMIC_ACQUIRE);
    add(writer, GOLOCK_IMAGE_STACKS, sizeof(stacks.entries[0]), stack_count, stacks.entries);
    add(writer, GOLOCK_IMAGE_FRAMES, sizeof(frames.entries[0]), frame_count, frames.entries);
    add(writer, GOLOCK_IMAGE_STRING_ENDS, sizeof(strings.ends[0]), string_count, strings.ends);
    add(writer, GOLOCK_IMAGE_STRING_BYTES, 1, strings.ends[string_count - 1], strings.bytes);
}
