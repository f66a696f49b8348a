#include "sight/intern.h"

#include "sight/image_writer.h"

uint64_t golock_stacks_dropped;

uint32_t
golock_intern_string(const char *text, size_t length)
{
    (void)text;
    (void)length;
    return 0;
}

uint32_t
golock_intern_go_frame(const char *file, const char *function, int line)
{
    (void)file;
    (void)function;
    (void)line;
    return 0;
}

uint32_t
golock_intern_stack(uint32_t caller, uint32_t frame)
{
    (void)caller;
    (void)frame;
    return 0;
}

uint32_t
golock_intern_unicode(PyObject *text)
{
    (void)text;
    return 0;
}

uint32_t
golock_stack_here(void)
{
    return 0;
}

uint32_t
golock_line_here(void)
{
    return 0;
}

uint32_t
golock_stack_of(PyThreadState *thread)
{
    (void)thread;
    return 0;
}

struct golock_image_frame
golock_interned_frame(uint32_t frame)
{
    (void)frame;
    return (struct golock_image_frame){0};
}

struct golock_image_stack
golock_interned_stack(uint32_t stack)
{
    (void)stack;
    return (struct golock_image_stack){0};
}

const char *
golock_interned_string(uint32_t string, size_t *length)
{
    (void)string;
    *length = 0;
    return "";
}

void
golock_intern_image(struct golock_image_writer *writer)
{
    (void)writer;
}

void
golock_intern_stop(void)
{
}

void
golock_intern_after_fork(void)
{
}
