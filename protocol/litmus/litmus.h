/* Runs two threads against each other many times, on memory that they share, and counts the
 * outcomes. A litmus program includes this file, defines what is declared here, and calls the
 * extension's own functions. */
#ifndef GOLOCK_LITMUS_H
#define GOLOCK_LITMUS_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "golock.h"

/* The memory that the threads of one run share, and what they saw. */
struct instance;

static void prepare(struct instance *); /* it is all zero */
static void left(struct instance *);
static void right(struct instance *);

/* Which thread came first, or that the protocol forbids what they saw. */
enum outcome { LEFT_FIRST, RIGHT_FIRST, FORBIDDEN };
static enum outcome outcome(const struct instance *);

/* What the core's loader answers where there is no core. */
int64_t
golock_threshold(const struct golock_core *core)
{
    (void)core;
    return GOLOCK_DEFAULT_HANDOFF;
}

/* How many instances the threads go through between two meetings. */
#define NUMBER 500

struct race {
    char *instances;
    size_t size;
    long rounds;
    long arrived; /* at a meeting */
};

/* Waits for the other thread, if possible without sleep, so that both go on at once. */
static void
meet(struct race *race)
{
    const long all = (__atomic_fetch_add(&race->arrived, 1, __ATOMIC_SEQ_CST) / 2 + 1) * 2;
    for (int turns = 0; __atomic_load_n(&race->arrived, __ATOMIC_SEQ_CST) < all; turns++) {
        if (turns > 20000) {
            sched_yield();
        }
    }
}

/* Which of the two is ahead changes from meeting to meeting. */
static void
stagger(long round, long step)
{
    for (volatile long turns = round * step % 499; turns > 0; turns--) {
    }
}

static struct instance *
at(const struct race *race, int i)
{
    return (struct instance *)(race->instances + (size_t)i * race->size);
}

static void *
run_right(void *memory)
{
    struct race *race = memory;
    for (long round = 0; round < race->rounds; round++) {
        meet(race);
        stagger(round, 151);
        for (int i = 0; i < NUMBER; i++) {
            right(at(race, i));
        }
        meet(race);
    }
    return NULL;
}

/* Prints one line. Returns the exit status: 1 if a forbidden outcome was seen. */
static int
litmus(const char *name, size_t size, long rounds)
{
    /* No two instances share a cache line. */
    struct race race = {.size = (size + 255) & ~(size_t)255, .rounds = rounds};
    long counts[3] = {0};
    golock_process_remember();
    race.instances = aligned_alloc(256, race.size * NUMBER);
    pthread_t thread;
    if (race.instances == NULL || pthread_create(&thread, NULL, run_right, &race) != 0) {
        perror(name);
        return 2;
    }
    for (long round = 0; round < rounds; round++) {
        memset(race.instances, 0, race.size * NUMBER);
        for (int i = 0; i < NUMBER; i++) {
            prepare(at(&race, i));
        }
        meet(&race);
        stagger(round, 347);
        for (int i = 0; i < NUMBER; i++) {
            left(at(&race, i));
        }
        meet(&race);
        for (int i = 0; i < NUMBER; i++) {
            counts[outcome(at(&race, i))]++;
        }
    }
    pthread_join(thread, NULL);
    free(race.instances);
    printf("%-36s %10ld %10ld %10ld\n", name, counts[LEFT_FIRST], counts[RIGHT_FIRST],
           counts[FORBIDDEN]);
    return counts[FORBIDDEN] != 0;
}

#endif
