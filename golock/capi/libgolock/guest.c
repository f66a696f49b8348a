/* Makes the Go runtime a guest in another program's process. The linker replaces the C library's
 * functions by those below in the calls of runtime/cgo (see setup.py). The runtime ends the process
 * if such a call fails, so none does: a thread that cannot be started is started later, and an
 * allocation waits for memory. */
#include "guest.h"

#include "../table.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL(type, name, parameters)                                                               \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;

REAL(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))
REAL(int, pthread_attr_init, (pthread_attr_t *))
REAL(int, pthread_getattr_np, (pthread_t, pthread_attr_t *))
REAL(void *, mmap, (void *, size_t, int, int, int, off_t))
REAL(int, munmap, (void *, size_t))
REAL(void *, malloc, (size_t))
REAL(int, sigaction, (int, const struct sigaction *, struct sigaction *))

/* A reserve for the time when there is no more memory: several times what the Go heap grows by at
 * once. Threads that have called the core need none. Others may not call it for the first time once
 * the reserve is used up. */
#define RESERVE ((size_t)8 << 20)
/* Reserved address space; the heap takes it in pieces of 64 MiB. */
#define RESERVE_SPACE ((size_t)72 << 20)

static void *reserve, *reserve_space;

static bool
keep(void **kept, size_t size, int protection)
{
    if (__atomic_load_n(kept, __ATOMIC_ACQUIRE) != NULL) {
        return true;
    }
    void *none = NULL;
    void *memory = __real_mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    if (!__atomic_compare_exchange_n(kept, &none, memory, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        __real_munmap(memory, size);
    }
    return true;
}

static bool
give_back(void **kept, size_t size)
{
    void *memory = __atomic_exchange_n(kept, NULL, __ATOMIC_ACQ_REL);
    return memory != NULL && __real_munmap(memory, size) == 0;
}

static int short_of_memory; /* how many threads wait for memory */

/* Called after a failed allocation, before the next try. */
static void
find_memory(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    bool found = give_back(&reserve, RESERVE);
    found |= give_back(&reserve_space, RESERVE_SPACE);
    if (!found) {
        __atomic_add_fetch(&short_of_memory, 1, __ATOMIC_RELAXED);
        nanosleep(&pause, NULL);
        __atomic_sub_fetch(&short_of_memory, 1, __ATOMIC_RELAXED);
    }
}

void *
__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *memory;
    while ((memory = __real_mmap(address, size, protection, flags, fd, offset)) == MAP_FAILED &&
           (errno == ENOMEM || errno == EAGAIN)) {
        find_memory();
    }
    return memory;
}

/* The kernel may need memory to split a mapping. A leaked mapping is the lesser harm. */
int
__wrap_munmap(void *address, size_t size)
{
    __real_munmap(address, size);
    return 0;
}

void *
__wrap_malloc(size_t size)
{
    void *memory;
    while ((memory = __real_malloc(size)) == NULL) {
        find_memory();
    }
    return memory;
}

int
__wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes)
{
    int error;
    while ((error = __real_pthread_getattr_np(thread, attributes)) == ENOMEM) {
        find_memory();
    }
    return error;
}

/* The program's signal handlers stay in place. The core needs none: a fault in it ends the process,
 * and the runtime sends no signals to its threads (asyncpreemptoff). */
int
__wrap_sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    (void)action;
    return before == NULL ? 0 : __real_sigaction(signal, NULL, before);
}

/* The size of a Go thread's C stack, which runs the scheduler and system calls. The C library takes
 * the program's thread-local variables from it; its minimum stack size includes them. */
#define STACK ((size_t)256 << 10)

static size_t
stack_size(void)
{
    long least = sysconf(_SC_THREAD_STACK_MIN);
    return STACK + (least > 0 ? ((size_t)least + 0xFFFF) & ~(size_t)0xFFFF : 0);
}

/* The runtime reads the size of the stack from the attributes. */
int
__wrap_pthread_attr_init(pthread_attr_t *attributes)
{
    int error = __real_pthread_attr_init(attributes);
    return error != 0 ? error : pthread_attr_setstacksize(attributes, stack_size());
}

/* The threads that could not be started yet. There are some five in all. */
struct start {
    void *(*function)(void *);
    void *argument;
};
static struct {
    pthread_mutex_t mutex;
    struct start waiting[64];
    int length;
} threads = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *
run(void *memory)
{
    struct start start = *(struct start *)memory;
    free(memory);
    prctl(PR_SET_NAME, "golock");
    return start.function(start.argument);
}

/* Starts a thread with all signals blocked, because they are for the program's own threads. */
static bool
try_start(struct start start)
{
    struct start *copy = __real_malloc(sizeof(*copy));
    if (copy == NULL) {
        return false;
    }
    *copy = start;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attributes;
    pthread_t thread;
    int error = __wrap_pthread_attr_init(&attributes);
    if (error == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = __real_pthread_create(&thread, &attributes, run, copy);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
    }
    if (error != 0) {
        free(copy);
    }
    return error == 0;
}

/* Starts the pending threads. Returns whether all run. */
static bool
start_waiting(void)
{
    pthread_mutex_lock(&threads.mutex);
    while (threads.length > 0 && try_start(threads.waiting[0])) {
        threads.length--;
        for (int i = 0; i < threads.length; i++) {
            threads.waiting[i] = threads.waiting[i + 1];
        }
    }
    bool all = threads.length == 0;
    pthread_mutex_unlock(&threads.mutex);
    return all;
}

static void
start_or_wait(void *(*function)(void *), void *argument)
{
    struct start start = {function, argument};
    pthread_mutex_lock(&threads.mutex);
    if ((threads.length > 0 || !try_start(start)) &&
        threads.length < (int)(sizeof(threads.waiting) / sizeof(threads.waiting[0]))) {
        threads.waiting[threads.length++] = start;
    }
    pthread_mutex_unlock(&threads.mutex);
}

/* Starts the runtime. The dynamic linker has called it as a constructor already, with no effect,
 * with the program's arguments and environment. Variables such as GOGC and GODEBUG are meant for Go
 * programs, and malformed ones would end the process. So call it again, with the arguments of a
 * program that has none. */
extern const Elf64_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

static void
start_go(void)
{
    static struct {
        char *arguments[2];
        char *environment[1];
        uint64_t auxiliary[16][2];
    } block;
    static const uint64_t kinds[] = {AT_PAGESZ, AT_RANDOM, AT_SYSINFO_EHDR,
                                     AT_HWCAP,  AT_HWCAP2, AT_SECURE};
    static char name[] = "golock";
    block.arguments[0] = name;
    int n = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint64_t value = getauxval(kinds[i]);
        if (value != 0) {
            block.auxiliary[n][0] = kinds[i];
            block.auxiliary[n++][1] = value;
        }
    }
    typedef void (*constructor)(int, char **, char **);
    const constructor *constructors = NULL;
    size_t size = 0;
    for (const Elf64_Dyn *entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_INIT_ARRAY) {
            constructors = (const constructor *)(__ehdr_start + entry->d_un.d_ptr);
        }
        if (entry->d_tag == DT_INIT_ARRAYSZ) {
            size = entry->d_un.d_val;
        }
    }
    for (size_t i = 0; i < size / sizeof(*constructors); i++) {
        constructors[i](1, block.arguments, block.environment);
    }
}

static bool asked;   /* to start the runtime */
static pid_t warmer; /* the thread that has warmed up the core, or -1 once it is gone */

/* Waits for the runtime, and makes each call once, so that everything that a first call allocates
 * or starts is there afterwards. */
static void *
warm_up(void *nothing)
{
    const struct golock_core *core = golock_core_table();
    uint32_t lock = 0;
    union golock_semaphore semaphore = {.both = GOLOCK_HELD};
    core->try_acquire(&lock, false);
    struct golock_waiter waiter = {.word = &lock, .deadline = GOLOCK_FOREVER};
    core->next(&waiter, GOLOCK_ENTERED);
    core->stay(&waiter);
    core->next(&waiter, GOLOCK_INTERRUPTED);
    core->release(&lock);
    core->release_semaphore(&semaphore.word, 1, 1);
    __atomic_store_n(&warmer, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    return nothing;
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                      void *(*function)(void *), void *argument)
{
    (void)thread; /* runtime/cgo detaches its threads, and does not use their ids */
    (void)attributes;
    if (__atomic_load_n(&asked, __ATOMIC_ACQUIRE)) {
        start_or_wait(function, argument);
    }
    return 0;
}

static void
start(void)
{
    __atomic_store_n(&asked, true, __ATOMIC_RELEASE);
    start_go();
    start_or_wait(warm_up, NULL);
}

/* Whether the runtime is warm and the thread that warmed it up has ended. */
static bool
is_warm(void)
{
    pid_t thread = __atomic_load_n(&warmer, __ATOMIC_ACQUIRE);
    if (thread > 0 && syscall(SYS_tgkill, getpid(), thread, 0) != 0) {
        __atomic_store_n(&warmer, -1, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&warmer, __ATOMIC_ACQUIRE) < 0;
}

bool
golock_guest_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    if (!start_waiting()) {
        errno = EAGAIN;
        return false;
    }
    if (!is_warm()) {
        errno = __atomic_load_n(&short_of_memory, __ATOMIC_RELAXED) > 0 ? ENOMEM : EINPROGRESS;
        return false;
    }
    if (!keep(&reserve, RESERVE, PROT_READ | PROT_WRITE) ||
        !keep(&reserve_space, RESERVE_SPACE, PROT_NONE)) {
        errno = ENOMEM;
        return false;
    }
    return true;
}
