/* For LD_PRELOAD: while `steals` is set, takes whatever large mapping the process gives back, as
 * another thread might that is short of memory. */
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGE ((size_t)1 << 20)

int steals;

int
munmap(void *address, size_t size)
{
    int result = (int)syscall(SYS_munmap, address, size);
    if (result == 0 && size >= LARGE && __atomic_load_n(&steals, __ATOMIC_RELAXED)) {
        (void)!mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    return result;
}
