/* The image: everything that golock.sight knows at one time, as one piece of memory. snapshot() and
 * the commands decode it (pyext/golock/sight/_image.py); it is the reply to GOLOCK_SIGHT_IMAGE.
 *
 * An image is a header, then sections: a struct golock_image_section, its entries, and zero to
 * seven bytes of padding up to a multiple of eight. All numbers are little-endian. Times are
 * nanoseconds of CLOCK_MONOTONIC; 0 means unknown. An index of a string, a frame or a stack is one
 * into its section, whose entry 0 stands for "unknown". A decoder skips sections that it does not
 * know, and the end of entries that are longer than it knows. */
#ifndef GOLOCK_IMAGE_H
#define GOLOCK_IMAGE_H

#include "base/compat.h"

#include <stdint.h>

#define GOLOCK_IMAGE_MAGIC 0x3147494C4F474C47ull /* "GLGOLIG1" */

struct golock_image_header {
    uint64_t magic;
    uint32_t level; /* enum golock_sight_level */
    int32_t process;
    int64_t now;
    int64_t wall;    /* CLOCK_REALTIME at the same moment, in nanoseconds */
    int64_t started; /* when sight was switched on, or 0 */
    int64_t period;  /* waits that are shorter than this were sampled; 0: all were recorded */
    uint32_t sections;
    uint32_t flags; /* GOLOCK_IMAGE_... */
    /* What was not recorded for lack of room. */
    uint64_t dropped_waits, dropped_objects, dropped_stacks, dropped_samples, dropped_order;
    /* All waits that have ended since sight was switched on, the shortest too, and the nanoseconds
     * that they took: for the object, and for the GIL afterwards. */
    uint64_t ended_waits, delay, gil_delay;
};

#define GOLOCK_IMAGE_WITH_GIL 0x1u /* names of threads are those of this moment */

struct golock_image_section {
    uint32_t tag;   /* enum golock_image_tag */
    uint32_t size;  /* of an entry, in bytes */
    uint64_t count; /* of entries */
};

enum golock_image_tag {
    GOLOCK_IMAGE_STRING_ENDS = 1, /* uint32_t: where each string ends in STRING_BYTES */
    GOLOCK_IMAGE_STRING_BYTES,    /* uint8_t: UTF-8, one string after the other */
    GOLOCK_IMAGE_FRAMES,          /* struct golock_image_frame */
    GOLOCK_IMAGE_STACKS,          /* struct golock_image_stack */
    GOLOCK_IMAGE_THREADS,         /* struct golock_image_thread */
    GOLOCK_IMAGE_OBJECTS,         /* struct golock_image_object */
    GOLOCK_IMAGE_PERMITS,         /* struct golock_image_permit */
    GOLOCK_IMAGE_WAITS,           /* struct golock_image_wait, in the order in which they began */
    GOLOCK_IMAGE_SAMPLES,         /* struct golock_image_sample */
    GOLOCK_IMAGE_CYCLES,          /* uint32_t: see below */
    GOLOCK_IMAGE_ORDER,           /* struct golock_image_order */
    GOLOCK_IMAGE_ACROSS,          /* struct golock_image_across */
};

/* The sections that a request wants: a set of 1 << tag. */
#define GOLOCK_IMAGE_SECTION(tag) ((uint64_t)1 << (tag))

/* A line of code. */
struct golock_image_frame {
    uint32_t file, function; /* strings */
    int32_t line;            /* or 0 */
    uint32_t flags;          /* GOLOCK_FRAME_... */
};

#define GOLOCK_FRAME_GO 0x1u /* of Go code */

/* A stack: the innermost frame, and the stack of its caller, or 0. */
struct golock_image_stack {
    uint32_t caller, frame;
};

/* The key of a thread: for a Python thread the number of its interpreter << 40, plus
 * PyThreadState_GetID(); for a goroutine GOLOCK_GOROUTINE plus the number that its traceback shows.
 * Keys are not used again. 0: nobody, or unknown. */
#define GOLOCK_GOROUTINE ((uint64_t)1 << 63)
#define GOLOCK_OUTSIDE ((uint64_t)1 << 62) /* code that is neither: "outside Python" */
#define GOLOCK_LOST ((uint64_t)1 << 61)    /* a thread that did not survive a fork */
/* Plus threading.get_ident(): the owner of an RLock, of which nothing else is known. */
#define GOLOCK_IDENTIFIED ((uint64_t)1 << 60)
#define GOLOCK_TASK ((uint64_t)1 << 59) /* plus a number: a task of an event loop */

struct golock_image_thread {
    uint64_t key;
    uint64_t identifier; /* threading.get_ident(), or the goroutine's number */
    uint32_t native;     /* gettid(), or 0; of a task both are those of its loop's thread */
    uint32_t name;       /* a string */
    uint32_t flags;      /* GOLOCK_THREAD_... */
    uint32_t number;     /* 1 + the number that follows the name of a task, or 0 */
    uint64_t loop;       /* the key of the thread that ran the task's loop, or 0 */
};

#define GOLOCK_THREAD_MAIN 0x1u

/* A primitive that is known: it was made, taken, waited for, named or shared while sight was on. */
struct golock_image_object {
    uint64_t address; /* id() of the Python object; of the word, if Go has made it; of a lock of
                       * several processes a number that stands for it in this process */
    uint64_t owner;   /* the thread that holds it, set it last, or notified it last; or 0 */
    int64_t since;    /* when that was */
    uint32_t stack;   /* where that was */
    uint32_t created; /* a stack, whose last frame is where it was made; so below */
    uint32_t name;    /* a string, as golock.sight.name() gave it; or 0 */
    uint32_t value;   /* a semaphore's permits, a barrier's parties, an RLock's depth */
    uint8_t kind;     /* enum golock_object_kind */
    uint8_t flags;    /* GOLOCK_OBJECT_... */
    uint16_t reserved;
    uint32_t arrived; /* how many wait at a barrier */
};

enum golock_object_kind {
    GOLOCK_KIND_OTHER,
    GOLOCK_KIND_LOCK,
    GOLOCK_KIND_RLOCK,
    GOLOCK_KIND_SEMAPHORE,
    GOLOCK_KIND_BOUNDED_SEMAPHORE,
    GOLOCK_KIND_EVENT,
    GOLOCK_KIND_CONDITION,
    GOLOCK_KIND_BARRIER,
    GOLOCK_KIND_PROCESS_LOCK,
    GOLOCK_KIND_ETCD_LOCK,
    GOLOCK_KIND_PROCESS_EVENT,
};

#define GOLOCK_OBJECT_HELD 0x1u     /* a lock that is held, an event that is set, no permits left */
#define GOLOCK_OBJECT_STRANGER 0x2u /* another thread than its holder has released it, or may */
#define GOLOCK_OBJECT_SHARED 0x4u   /* code outside Python knows its word */
#define GOLOCK_OBJECT_GO 0x8u       /* made by Go */

/* What is known of a lock or an event of several processes, beside its entry in OBJECTS. Nobody
 * holds an event. */
struct golock_image_across {
    uint64_t object;
    uint64_t token;         /* of this process's hold of a lock in etcd, or 0 */
    int64_t lease;          /* until when it lasts, or 0 */
    int64_t known;          /* when the holder was known, if it is not as of now; or 0 */
    uint32_t name;          /* a string, or 0: it has none */
    uint32_t endpoints;     /* of etcd: a string, with commas; or 0 */
    uint32_t host, program; /* of the holder: strings, or 0: this machine's, unknown */
    uint32_t process;       /* the holder's id, or 0: unknown */
    uint32_t slot;          /* 1 + the holder's slot in the page, or 0 */
    uint32_t waiting;       /* how many threads of this process wait */
    uint32_t before;        /* keys of other processes before this one's, if it waits; or 0 */
    uint32_t flags;         /* GOLOCK_ACROSS_... */
    uint32_t reserved;
};

#define GOLOCK_ACROSS_HELD 0x1u      /* some process holds it */
#define GOLOCK_ACROSS_OWN 0x2u       /* this process holds it */
#define GOLOCK_ACROSS_ABANDONED 0x4u /* a holder has died, and nobody has called recover() */
#define GOLOCK_ACROSS_LOST 0x8u      /* this process has lost it, and has not released it yet */
#define GOLOCK_ACROSS_KNOWN 0x10u    /* GOLOCK_ACROSS_HELD says all: otherwise it may be held */

/* Permits of a semaphore that a thread has taken and, as far as is known, not given back. */
struct golock_image_permit {
    uint64_t object, thread;
    int64_t since; /* of the first of them */
    uint32_t stack, count;
};

/* A wait under way. */
struct golock_image_wait {
    uint64_t object, thread;
    int64_t since;
    int64_t deadline; /* or INT64_MAX */
    int64_t taken;    /* when it had what it waits for, and began to wait for the GIL; or 0 */
    uint32_t stack;
    uint32_t flags; /* GOLOCK_WAIT_... */
};

#define GOLOCK_WAIT_SUSPENDED 0x1u /* runs signal handlers within its wait */
#define GOLOCK_WAIT_HAS_GIL 0x2u   /* Go code that waits while its thread has the GIL */

/* What waits of one kind have cost since sight was switched on: those of one thread at one stack,
 * for one object, while one holder had it. Waits shorter than the period are sampled, and scaled
 * up. When the table is almost full, further kinds are merged: then the threads, the object and the
 * holder are 0, and in the end the stack too.
 *
 * The same index is the same sample in two images with the same `started`, except that later images
 * have more samples at the end, before those that are under way. */
struct golock_image_sample {
    uint64_t thread;         /* the waiter's, or with GOLOCK_SAMPLE_HOLD the holder's */
    uint64_t object;         /* its address, or 0 if its creation site or its name is known */
    uint64_t holding_thread; /* when the wait began, or 0 */
    uint32_t thread_name, holding_name; /* strings: the threads may be gone */
    uint32_t stack;   /* of the waiter, or with GOLOCK_SAMPLE_HOLD of the acquire */
    uint32_t holder;  /* a stack: the holder's when the wait began; if nobody held the lock then,
                       * where it was last taken before the wait ended; or 0 */
    uint32_t created; /* of the object */
    uint32_t name;    /* of the object */
    uint32_t kind;    /* enum golock_object_kind */
    uint32_t flags;   /* GOLOCK_SAMPLE_... */
    /* What follows grows; what precedes is the key. */
    uint64_t count;
    uint64_t delay;     /* nanoseconds of waiting for the object, or of holding it */
    uint64_t gil_delay; /* nanoseconds of waiting for the GIL afterwards */
};

#define GOLOCK_SAMPLE_HOLD 0x1u
#define GOLOCK_SAMPLE_UNDER_WAY 0x2u /* one wait, which has not ended; after all other samples */

/* CYCLES: for each deadlock that stands: the number of members, GOLOCK_CYCLE_..., then the index of
 * each member's wait in WAITS; each waits for what the next one holds. */
#define GOLOCK_CYCLE_CERTAIN 0x1u
#define GOLOCK_CYCLE_MAIN_THREAD 0x2u

/* ORDER: an edge of a circle in the order of locks: the lock `to` was taken while `from` was held.
 * Edges with the same number belong to one circle, in its order. The `to` of one edge and the
 * `from` of the next were made in the same place, and may be two locks. */
struct golock_image_order {
    uint32_t circle;
    uint32_t thread_name; /* a string; the thread may have ended */
    uint64_t thread;
    uint64_t from, to; /* addresses; the locks may be gone */
    uint32_t from_created, to_created, from_name, to_name;
    uint32_t from_stack, to_stack; /* where the first was taken, and then the second */
    uint32_t from_kind, to_kind;
};

#endif
