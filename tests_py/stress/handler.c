/* A signal handler that C code may install: without SA_ONSTACK, and with 64 KiB on the stack. It
 * counts its runs on a stack other than its thread's. One thread signals the target threads
 * repeatedly. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TARGETS 64

static _Thread_local volatile char *lowest, *highest;

static _Atomic long handled, astray;

static void
handle(int signal)
{
    (void)signal;
    volatile char used[64 << 10];
    for (size_t i = 0; i < sizeof(used); i += 64) {
        used[i] = 1;
    }
    astray += used < lowest || used >= highest;
    handled++;
}

int
install(int signal)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    return sigaction(signal, &action, NULL);
}

/* Whether the handler is installed, without SA_ONSTACK. */
int
is_as_installed(int signal)
{
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == handle &&
           (action.sa_flags & SA_ONSTACK) == 0;
}

long
count_handled(void)
{
    return handled;
}

long
count_astray(void)
{
    return astray;
}

static struct {
    pthread_t thread;
    int signal;
    int pause; /* nanoseconds */
    atomic_int count;
    int targets[TARGETS];
    atomic_bool stop;
} sender;

/* Makes the calling thread a target. */
int
become_target(void)
{
    pthread_attr_t attributes;
    void *stack;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return -1;
    }
    pthread_attr_getstack(&attributes, &stack, &size);
    pthread_attr_destroy(&attributes);
    lowest = stack;
    highest = lowest + size;
    sender.targets[sender.count++] = (int)syscall(SYS_gettid);
    return 0;
}

static void *
send(void *argument)
{
    const struct timespec pause = {.tv_nsec = sender.pause};
    while (!sender.stop) {
        for (int i = 0; i < sender.count; i++) {
            syscall(SYS_tgkill, getpid(), sender.targets[i], sender.signal);
        }
        nanosleep(&pause, NULL);
    }
    return argument;
}

int
start_sending(int signal, int pause)
{
    sender.signal = signal;
    sender.pause = pause;
    sender.stop = false;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&sender.thread, NULL, send, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void
stop_sending(void)
{
    sender.stop = true;
    pthread_join(sender.thread, NULL);
}
