/* For LD_PRELOAD: fails one allocation of the calling thread, or all from one on. A Go runtime
 * without memory ends the process by design, so its allocations and the threads that it starts are
 * spared unless spare_core is cleared. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

/* How many allocations of the calling thread succeed before one fails, or -1: all. */
__thread long allocations_left = -1;
__thread int lasting; /* all fail after the first failure */
__thread long failed;
int spare_core = 1;

static __thread int depth; /* nested calls by the core in which libc allocates */

static bool
is_of_core(const void *caller)
{
    Dl_info info;
    const char *name = dladdr(caller, &info) != 0 ? strrchr(info.dli_fname, '/') : NULL;
    return info.dli_fname != NULL && name != NULL &&
           (strstr(name, "libgolock") != NULL || strncmp(info.dli_fname, "/proc/self/", 11) == 0);
}

static bool
fails(const void *caller)
{
    if (allocations_left < 0 || depth > 0 || (spare_core && is_of_core(caller))) {
        return false;
    }
    if (allocations_left > 0) {
        allocations_left--;
        return false;
    }
    if (!lasting) {
        allocations_left = -1;
    }
    failed++;
    errno = ENOMEM;
    return true;
}

#define FAILS fails(__builtin_return_address(0))

void *
malloc(size_t size)
{
    return FAILS ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    return FAILS ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
    return FAILS ? NULL : __libc_realloc(old, size);
}

void *
memalign(size_t alignment, size_t size)
{
    return FAILS ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return FAILS ? NULL : __libc_memalign(alignment, size);
}

int
posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = FAILS ? NULL : __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

void *
mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return FAILS ? MAP_FAILED
                 : (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

int
memfd_create(const char *name, unsigned flags)
{
    return FAILS ? -1 : (int)syscall(SYS_memfd_create, name, flags);
}

/* Whether the core is in a call of libc that allocates. */
#define SPARED (allocations_left >= 0 && spare_core && is_of_core(__builtin_return_address(0)))

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
               void *argument)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (FAILS) {
        return EAGAIN;
    }
    bool spared = SPARED;
    depth += spared;
    int result = real(thread, attributes, start, argument);
    depth -= spared;
    return result;
}

int
pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes)
{
    int (*real)(pthread_t, pthread_attr_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_getattr_np");
    bool spared = SPARED;
    depth += spared;
    int result = real(thread, attributes);
    depth -= spared;
    return result;
}
