/* Strings, frames and stacks, each known by an index that stays valid until the process ends; 0
 * means unknown. The tables only grow, up to a limit, so they can be read at any time without the
 * GIL. */
#ifndef GOLOCK_INTERN_H
#define GOLOCK_INTERN_H

#include "base/compat.h"
#include "sight/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest stack that is recorded, in frames: the innermost ones. */
#define GOLOCK_MOST_FRAMES 128

/* These need no GIL. They return 0, and count it, when there is no room. */
uint32_t golock_intern_string(const char *text, size_t length); /* UTF-8 */
uint32_t golock_intern_go_frame(const char *file, const char *function, int line);
uint32_t golock_intern_stack(uint32_t caller, uint32_t frame);

/* These need the GIL, never run Python code, and make no objects that the collector knows. */
uint32_t golock_intern_unicode(PyObject *text); /* an instance of str */

/* Returns the stack of the calling thread. */
uint32_t golock_stack_here(void);

/* Leaves out of stacks the frame of this code, and those below it: golock's, which has started the
 * program. */
void golock_intern_root(PyCodeObject *code);

/* Whether golock_line_here keeps no more code objects alive. */
bool golock_places_are_full(void);

/* Returns a stack of one frame: the line in which the calling thread is. */
uint32_t golock_line_here(void);

/* Returns where a primitive is made that the calling thread makes. The stack's last frame, which
 * names the primitive, is that line, or the line that has called threading.RLock, or the one that
 * has called the generated __init__ of a dataclass. The frames below tell apart primitives that
 * the standard library has made: its callers, through constructors, up to the code that has asked
 * for the object. */
uint32_t golock_site_here(void);

/* The same, and golock_stack_here and golock_line_here, for code that golock's own modules have
 * called: without their innermost frames. */
uint32_t golock_site_outside(void);
uint32_t golock_stack_outside(void);
uint32_t golock_line_outside(void);

/* Takes the folder of golock's own modules, for these. */
void golock_intern_package(const char *folder, size_t length);

/* Takes the folder of the standard library, for golock_site_here. */
void golock_intern_library(const char *folder, size_t length);

/* Returns the stack of another thread of this interpreter. Without a GIL returns 0: the thread may
 * run. */
uint32_t golock_stack_of(PyThreadState *thread);

/* How many strings, frames and stacks were dropped for lack of room. Access it atomically. */
extern uint64_t golock_stacks_dropped;

/* Readers. The index is one that was returned, or read from a record. The string is not terminated
 * by zero. */
struct golock_image_frame golock_interned_frame(uint32_t frame);
struct golock_image_stack golock_interned_stack(uint32_t stack);
const char *golock_interned_string(uint32_t string, size_t *length);

struct golock_image_writer;
void golock_intern_image(struct golock_image_writer *writer); /* after all other sections */

/* Drops the references to code objects: see golock_drop_references. Needs the GIL of the main
 * interpreter. */
void golock_intern_stop(void);

#endif
