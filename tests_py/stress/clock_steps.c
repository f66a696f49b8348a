/* For LD_PRELOAD: a wall clock that is set back and forth by hours every few milliseconds, and a
 * count of the futex calls that use it. The other clocks are unaffected. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define STEP_SECONDS 7200
#define STEP_EVERY 3000000 /* nanoseconds */

/* Waits with a time limit through syscall(), and how many of them use the wall clock. */
atomic_long timed_waits, timed_waits_by_wall_clock;

static int
real_clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    return real(clock, now);
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real_clock_gettime(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        struct timespec steady;
        real_clock_gettime(CLOCK_MONOTONIC, &steady);
        now->tv_sec += STEP_SECONDS * (steady.tv_nsec / STEP_EVERY % 3 - 1);
    }
    return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){.tv_sec = precise.tv_sec, .tv_usec = precise.tv_nsec / 1000};
    return result;
}

time_t
time(time_t *where)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where != NULL) {
        *where = now.tv_sec;
    }
    return now.tv_sec;
}

long
syscall(long number, ...)
{
    static long (*real)(long, ...);
    if (real == NULL) {
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    }
    long argument[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        argument[i] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_futex && argument[3] != 0) {
        long operation = argument[1] & FUTEX_CMD_MASK;
        if (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET) {
            atomic_fetch_add(&timed_waits, 1);
            atomic_fetch_add(&timed_waits_by_wall_clock, (argument[1] & FUTEX_CLOCK_REALTIME) != 0);
        }
    }
    return real(number, argument[0], argument[1], argument[2], argument[3], argument[4],
                argument[5]);
}
