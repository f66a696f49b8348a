#include "sight/threads.h"

#include "sight/image_writer.h"

golock_thread_record *
golock_thread_current(void)
{
    return NULL;
}

uint64_t
golock_thread_key(void)
{
    PyThreadState *state = PyThreadState_Get();
    return ((uint64_t)PyInterpreterState_GetID(PyThreadState_GetInterpreter(state)) << 40) +
           PyThreadState_GetID(state);
}

bool
golock_thread_find(uint64_t key, golock_thread_record *copy)
{
    (void)key;
    (void)copy;
    return false;
}

void
golock_thread_refresh_name(golock_thread_record *thread)
{
    (void)thread;
}

void
golock_threads_refresh_names(void)
{
}

void
golock_threads_image(struct golock_image_writer *writer)
{
    (void)writer;
}

void
golock_threads_after_fork(void)
{
}
