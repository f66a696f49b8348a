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

#include "base/clock.h"
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
    long arrived;  /* how often they have waited for each other */
    bool both_run; /* at the last meeting */
    long position[2];
};

/* Nanoseconds. Two threads that run at the same time answer each other sooner. */
#define ANSWER 50000
#define MOST_TRIES 20

static void
wait_for_other(struct race *race)
{
    const long all = (__atomic_fetch_add(&race->arrived, 1, __ATOMIC_SEQ_CST) / 2 + 1) * 2;
    for (int turns = 0; __atomic_load_n(&race->arrived, __ATOMIC_SEQ_CST) < all; turns++) {
        if (turns > 20000) {
            sched_yield();
        }
    }
}

/* Waits until both threads run at the same time, if they do so soon. */
static void
meet(struct race *race, bool leads)
{
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        wait_for_other(race);
        const int64_t began = golock_now();
        wait_for_other(race);
        if (leads) {
            race->both_run = golock_now() - began < ANSWER;
        }
        wait_for_other(race);
        if (race->both_run) {
            return;
        }
    }
}

/* Waits a little for the other thread to come to the same instance, and then for a time that
 * differs from instance to instance, so that now one comes first and now the other. */
static void
approach(struct race *race, bool leads, long instance)
{
    __atomic_store_n(&race->position[leads], instance, __ATOMIC_RELAXED);
    for (int turns = 0; turns < 1000; turns++) {
        if (__atomic_load_n(&race->position[!leads], __ATOMIC_RELAXED) >= instance) {
            break;
        }
    }
    for (volatile long turns = instance * (leads ? 347 : 151) % 61; turns > 0; turns--) {
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
        meet(race, false);
        for (int i = 0; i < NUMBER; i++) {
            approach(race, false, round * NUMBER + i);
            right(at(race, i));
        }
        wait_for_other(race);
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
        meet(&race, true);
        for (int i = 0; i < NUMBER; i++) {
            approach(&race, true, round * NUMBER + i);
            left(at(&race, i));
        }
        wait_for_other(&race);
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
