/* Signals a thread a given number of nanoseconds after it has announced that it is about to
 * wait. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

static int goes;

static int64_t
now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

void
go(void)
{
    __atomic_store_n(&goes, 1, __ATOMIC_SEQ_CST);
}

int
signal_after(unsigned long thread, int number, int64_t nanoseconds)
{
    while (!__atomic_exchange_n(&goes, 0, __ATOMIC_SEQ_CST)) {
    }
    int64_t then = now() + nanoseconds;
    while (now() < then) {
    }
    return pthread_kill(thread, number);
}
