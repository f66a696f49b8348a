/* The Python threads that golock.sight has seen. A record is made at a thread's first event, and
 * used again after its thread state has ended. */
#ifndef GOLOCK_THREADS_H
#define GOLOCK_THREADS_H

#include "base/compat.h"
#include "sight/image.h"

#include <stdbool.h>
#include <stdint.h>

struct golock_wait_record;

/* Records are allocated in blocks and never freed. `named`, `held` and `spare` belong to the
 * thread; the lock of the tables guards the rest. */
typedef struct golock_thread_record {
    uint64_t key;                     /* as in image.h; or 0: the record is free */
    unsigned long identifier;         /* threading.get_ident() */
    PyThreadState *state;             /* NULL when it has ended; read it with the GIL */
    uint32_t native;                  /* gettid() */
    uint32_t name;                    /* an interned string, or 0 */
    uint32_t flags;                   /* GOLOCK_THREAD_... */
    uint32_t unnamed;                 /* how often no name was found when it took a lock */
    int64_t named;                    /* when its name was last read for a wait */
    struct golock_held_locks *held;   /* of order.c, or NULL */
    struct golock_wait_record *spare; /* for its next wait, or NULL */
    struct golock_thread_record *next;
} golock_thread_record;

/* In the default TLS model the first access allocates memory and ends the process if there is
 * none. */
extern _Thread_local struct golock_thread_self {
    golock_thread_record *record; /* of the thread state that was here last, or NULL */
    uint64_t ended;               /* the key of a thread state whose record is gone */
} golock_thread_self __attribute__((tls_model("initial-exec")));

golock_thread_record *golock_thread_enter(PyThreadState *state);

/* Returns the record of the calling thread, which has this thread state; NULL if there is no memory
 * or the state is about to end. Needs the GIL. Never runs Python code. */
static inline golock_thread_record *
golock_thread_of(PyThreadState *state)
{
    golock_thread_record *record = golock_thread_self.record;
    return record != NULL && record->state == state ? record : golock_thread_enter(state);
}

static inline golock_thread_record *
golock_thread_current(void)
{
    return golock_thread_of(PyThreadState_Get());
}

/* Returns the key of the calling thread, also when it has no record. Needs the GIL. */
uint64_t golock_thread_key(void);

/* Returns the key of a thread state, which does not end meanwhile. Needs no GIL. */
uint64_t golock_thread_key_of(PyThreadState *state);

/* Copies the record with that key, without what belongs to the thread; of a task what is known of
 * it, with its loop's thread. Returns false if there is none. Needs no GIL. */
bool golock_thread_find(uint64_t key, golock_thread_record *copy);

/* Returns the key of the thread that has this identifier now, GOLOCK_IDENTIFIED plus the identifier
 * if it has no record. Needs no GIL. */
uint64_t golock_thread_identified(unsigned long identifier);

/* Reads the name that threading has for the thread now. Needs the GIL of its interpreter. Never
 * runs Python code. */
void golock_thread_refresh_name(golock_thread_record *thread);

/* The same for all threads of this interpreter. */
void golock_threads_refresh_names(void);

/* Copies the record with that key, which is one of this interpreter's threads, and reads its name
 * if it has none. Returns false if there is none. Needs the GIL. */
bool golock_thread_find_named(uint64_t key, golock_thread_record *copy);

/* Call this when an interpreter has started: one that starts after another has ended in the same
 * process has the same keys. */
void golock_threads_start(void);

/* Drops the references to strings: see golock_drop_references. Needs the GIL of the main
 * interpreter. */
void golock_threads_stop(void);

struct golock_image_writer;
void golock_threads_image(struct golock_image_writer *writer);

/* Call this in a child process: only the calling thread is left. */
void golock_threads_after_fork(void);

#endif
