/* For LD_PRELOAD: the threads of a Go runtime that golock loads do not run before open_gate(), or
 * cannot be started while `refused` is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int refused;
static int closed = 1;

typedef int create_function(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

struct start {
    void *(*function)(void *);
    void *argument;
};

void
open_gate(void)
{
    __atomic_store_n(&closed, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &closed, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
}

static void *
wait_at_gate(void *memory)
{
    struct start start = *(struct start *)memory;
    free(memory);
    while (__atomic_load_n(&closed, __ATOMIC_SEQ_CST)) {
        syscall(SYS_futex, &closed, FUTEX_WAIT_PRIVATE, 1, NULL);
    }
    return start.function(start.argument);
}

static bool
is_of_core(const void *caller)
{
    Dl_info info;
    return dladdr(caller, &info) != 0 && info.dli_fname != NULL &&
           (strstr(info.dli_fname, "/libgolock") != NULL ||
            strncmp(info.dli_fname, "/proc/self/", 11) == 0);
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
               void *argument)
{
    create_function *create = (create_function *)dlsym(RTLD_NEXT, "pthread_create");
    if (!is_of_core(__builtin_return_address(0))) {
        return create(thread, attributes, function, argument);
    }
    struct start *start = malloc(sizeof(*start));
    if (__atomic_load_n(&refused, __ATOMIC_SEQ_CST) || start == NULL) {
        free(start);
        return EAGAIN;
    }
    *start = (struct start){function, argument};
    return create(thread, attributes, wait_at_gate, start);
}
