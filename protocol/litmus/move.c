/* A notifier moves a sleeping listener to the word of the lock, and announces it there, while the
 * lock is released: word.go, "Whoever moves it announces it afterwards". The listener wakes up.
 * Three threads and the kernel's own queues, so it does not use litmus.h. */
#include "base/futex.h"
#include "base/process.h"
#include "waiting/notify.h"
#include "waiting/plain.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Nanoseconds, after which a sleep is taken for endless. */
#define LIMIT ((int64_t)30 * NS_PER_SECOND)

static uint32_t notification, word;
static long moved, lost, rounds = 1000;
static pthread_barrier_t together;

int64_t
golock_threshold(const struct golock_core *core)
{
    (void)core;
    return GOLOCK_DEFAULT_HANDOFF;
}

static void
pause_for(unsigned turns)
{
    for (volatile unsigned i = 0; i < turns; i++) {
    }
}

static void *
release(void *nothing)
{
    for (long i = 0; i < rounds; i++) {
        pthread_barrier_wait(&together);
        pause_for((unsigned)i * 53 % 20011);
        golock_plain_release(NULL, &word, true, NULL);
        pthread_barrier_wait(&together);
    }
    return nothing;
}

static void *
notify(void *nothing)
{
    for (long i = 0; i < rounds; i++) {
        pthread_barrier_wait(&together);
        pause_for((unsigned)i * 31 % 20021);
        __atomic_store_n(&notification, GOLOCK_MOVED, __ATOMIC_RELEASE);
        moved += golock_plain_move(NULL, &notification, GOLOCK_MOVED, &word, true);
        pthread_barrier_wait(&together);
    }
    return nothing;
}

int
main(int argc, char **argv)
{
    rounds = argc > 1 ? atol(argv[1]) : rounds;
    golock_process_remember();
    pthread_t threads[2];
    if (pthread_barrier_init(&together, NULL, 3) != 0 ||
        pthread_create(&threads[0], NULL, release, NULL) != 0 ||
        pthread_create(&threads[1], NULL, notify, NULL) != 0) {
        perror("move");
        return 2;
    }
    for (long i = 0; i < rounds; i++) {
        notification = 0;
        word = GOLOCK_HELD;
        pthread_barrier_wait(&together);
        const golock_deadline limit = {golock_now() + LIMIT};
        while (__atomic_load_n(&notification, __ATOMIC_ACQUIRE) == 0) {
            if (golock_futex_wait(&notification, 0, limit, GOLOCK_SLEEPER) < 0 &&
                errno == ETIMEDOUT) {
                lost++;
                break;
            }
        }
        pthread_barrier_wait(&together);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("%-36s %10ld %10ld %10ld\n", "move, then announce", moved, rounds - moved, lost);
    return lost != 0;
}
