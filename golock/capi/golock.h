/* The contract between golock's C and Go, and with all other code in the process that uses a Python
 * object's lock: the header of a shared object, the bits of the words, the waiter, and the table of
 * functions that the core exports. internal/core/word.go and event.go describe the protocols.
 * golock/capi does not compile if Go and this file differ. */
#ifndef GOLOCK_H
#define GOLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of everything in this file. */
#define GOLOCK_VERSION 6

/* The header of a shared Lock, Semaphore or Event of the Python package. golock.shared(object)
 * gives its address; a Lock also has the attributes `address`, an int, and `capsule`, of the name
 * below. The header is all zero until one of these is first used, and its magic is zero once the
 * object is gone. The word follows it.
 *
 * An address does not keep the object alive; a capsule does. The address is valid in this process
 * only: a child made by fork must ask again. */
struct golock_header {
    uint32_t magic;
    uint16_t version;
    uint8_t kind;
    uint8_t reserved;
};

#define GOLOCK_CAPSULE "golock.header"
#define GOLOCK_HEADER_MAGIC 0x6B636FC1u

enum golock_kind {
    GOLOCK_LOCK = 1,
    GOLOCK_SEMAPHORE,
    GOLOCK_EVENT,
    GOLOCK_CONDITION, /* of Go; never shared, as a barrier */
    GOLOCK_BARRIER,
};

/* Returns the word of a shared object of that kind, or NULL if there is no such object of this
 * version at the address. The memory must be readable. A semaphore's word is that of a union
 * golock_semaphore. */
static inline uint32_t *
golock_word(const void *address, enum golock_kind kind)
{
    const struct golock_header *header = (const struct golock_header *)address; /* for C++ */
    if (address == NULL || (uintptr_t)address % 8 != 0 ||
        __atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) != GOLOCK_HEADER_MAGIC ||
        header->version != GOLOCK_VERSION || header->kind != kind) {
        return NULL;
    }
    return (uint32_t *)(header + 1);
}

/* The lock word. */
#define GOLOCK_HELD 0x1u
#define GOLOCK_WAITERS 0x2u
#define GOLOCK_HANDOFF 0x4u
#define GOLOCK_DUE_SHIFT 3
#define GOLOCK_DUE_BITS 7
#define GOLOCK_DUE_UNIT 17 /* 2^17 nanoseconds */
#define GOLOCK_CLAIMANT_SHIFT 10
#define GOLOCK_CLAIMANT_MASK 0xFFFFFC00u

/* A semaphore: its word and its permits, changed together. Held is set exactly when there are no
 * permits. */
union golock_semaphore {
    uint64_t both;
    struct {
        uint32_t word, permits;
    };
};
#define GOLOCK_PERMIT ((uint64_t)1 << 32) /* in `both`; little-endian */

/* The word of an event. */
#define GOLOCK_SET 0x1u
#define GOLOCK_SLEEPERS 0x2u
#define GOLOCK_SET_ONCE 0x4u
#define GOLOCK_EVENT_CHANNEL 0x1u

/* An event needs no core. A waiter returns when the event is set or was set since the wait began:
 * the bits from SET_ONCE on then differ. To sleep it sets SLEEPERS by compare-and-swap, and sleeps
 * as a struct golock_waiter does, on EVENT_CHANNEL, while the word is what it wrote. A set adds
 * SET_ONCE, sets SET and clears SLEEPERS in one step, and wakes all if SLEEPERS was set. A clear
 * clears SET. */

#define GOLOCK_FOREVER INT64_MAX
#define GOLOCK_DEFAULT_HANDOFF 1000000 /* nanoseconds */

/* In thresholds: the longest tenure, and the time in which a lock goes round its waiters; see
 * internal/core/handoff.go. */
#define GOLOCK_LONGEST_TENURE 4
#define GOLOCK_LONGEST_ROUND 32

/* The channel of waiters that have not slept before: internal/core/word.go. */
#define GOLOCK_SLEEPER 0x1u

/* The index of a word's counter of waiters in golock_core.waiting. */
#define GOLOCK_COUNTERS 256

static inline unsigned
golock_counter_of(const uint32_t *word)
{
    return (unsigned)((uintptr_t)word >> 2) % GOLOCK_COUNTERS;
}

enum golock_reason {
    GOLOCK_ENTERED,
    GOLOCK_WOKEN,
    GOLOCK_CHANGED,
    GOLOCK_EXPIRED,
    GOLOCK_INTERRUPTED,
};

enum golock_action {
    GOLOCK_ACQUIRED,
    GOLOCK_PARK,
    GOLOCK_TIMED_OUT,
    GOLOCK_ABORTED,
};

/* One acquire that has to wait, on the stack of the waiting thread. The caller fills in `word`,
 * `deadline` (CLOCK_MONOTONIC in nanoseconds, or GOLOCK_FOREVER), `patience` (for how many
 * nanoseconds to trust a reservation; 0: for ever) and `semaphore` (whether the word is a
 * semaphore's), and leaves the rest zero. A waiter that has waited without the core also says since
 * when, and whether it is counted. */
struct golock_waiter {
    uint32_t *word;
    int64_t deadline;
    int64_t patience;

    int64_t since; /* when the wait began, or 0: now */

    /* After GOLOCK_PARK: sleep by FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG while *word == value, with
     * the bitset `channel`, until this CLOCK_MONOTONIC time in nanoseconds or GOLOCK_FOREVER. */
    uint32_t value;
    uint32_t channel;
    int64_t until;

    bool designated;
    bool returns;
    bool counted;
    bool semaphore;

    uint8_t goroutine[4]; /* of a goroutine's waiter; named, so that it is zero and not padding */
};

/* How C code takes and releases a shared lock:
 *
 *     uint32_t free = 0;
 *     if (!__atomic_compare_exchange_n(word, &free, GOLOCK_HELD, false, __ATOMIC_ACQUIRE,
 *                                      __ATOMIC_RELAXED)) {
 *         struct golock_waiter waiter = {.word = word, .deadline = GOLOCK_FOREVER};
 *         int reason = GOLOCK_ENTERED;
 *         while (core->next(&waiter, reason) == GOLOCK_PARK) {
 *             // Sleep as the waiter says: 0 is GOLOCK_WOKEN, ETIMEDOUT is
 *             // GOLOCK_EXPIRED, EAGAIN and EINTR are GOLOCK_CHANGED.
 *             reason = ...;
 *         }
 *     }
 *     ...
 *     core->release(word);
 *
 * with the core at golock.core_address(), which a child made by fork asks for again. As with any
 * lock, whoever has the GIL must not wait for one whose owner may need the GIL: a C extension drops
 * the GIL to sleep. Calls into a core run on a stack of some KiB: block the signals whose handlers
 * need more (core/call.h blocks all), or have SA_ONSTACK set for them. */

/* A descriptor that the service has open, or -1. The inode tells it from a file that has got the
 * same number later. */
struct golock_sight_descriptor {
    uint64_t inode;
    int descriptor;
};

#define GOLOCK_SIGHT_CLIENTS 8
#define GOLOCK_SIGHT_DESCRIPTORS (1 + GOLOCK_SIGHT_CLIENTS)

/* See `taken` of struct golock_sight. */
#define GOLOCK_TRIED 0x100

/* What golock.sight gives the core: how goroutines are recorded, and what the core's service calls.
 * The functions need no GIL, never run Python code, and may be called by any thread at any time
 * until the process ends or forks.
 *
 * `kind` is an enum golock_kind. What a thread does that Python knows, in Go code that it has
 * called, is recorded as that thread's. */
struct golock_sight {
    const int *level; /* enum golock_sight_level of pyext/native/sight/level.h */

    /* Returns the index of a frame of Go code, or of a stack: its innermost frame, called from the
     * stack `caller`, or 0. They return 0 when there is no room. */
    uint32_t (*frame)(const char *file, const char *function, int line);
    uint32_t (*stack)(uint32_t caller, uint32_t frame);

    /* Records that a goroutine waits for a word until the deadline. Returns the record, for
     * wait_ended; NULL if there is no room. */
    void *(*wait_begins)(const void *word, int kind, uint64_t goroutine, int64_t deadline,
                         uint32_t stack);
    void (*wait_ended)(void *wait, int taken);

    /* Records that a goroutine has taken a lock or a permit, set an event or notified a condition;
     * and that it releases a lock, or this many permits. A lock or permit that it has tried to
     * take, without a wait, is of this kind plus GOLOCK_TRIED. */
    void (*taken)(const void *word, int kind, uint64_t goroutine, uint32_t stack);
    void (*released)(const void *word, int kind, uint64_t goroutine, uint32_t count);

    /* Looks for deadlocks among the waits that are old enough. Returns the CLOCK_MONOTONIC time at
     * which to look again, or GOLOCK_FOREVER: when the service is woken. */
    int64_t (*look)(void);

    /* Returns the descriptor that wakes the service when it is readable, or -1. Empties it, and
     * says in *woken whether it was readable. */
    int (*wake)(bool *woken);

    /* Answers a request, with memory that `release_reply` frees; returns 0, or an errno. */
    int (*answer)(uint32_t request, uint64_t argument, void **reply, uint64_t *size);
    void (*release_reply)(void *reply);

    /* GOLOCK_SIGHT_DESCRIPTORS of them, which the service writes. A child made by fork closes
     * them. */
    struct golock_sight_descriptor *descriptors;
};

/* A client of the service sends a struct golock_sight_request, and receives a struct
 * golock_sight_reply and `size` bytes. The service closes the connection of a client that sends
 * something else. */
struct golock_sight_request {
    uint32_t magic; /* GOLOCK_SIGHT_MAGIC */
    uint32_t request;
    uint64_t argument;
};

struct golock_sight_reply {
    uint32_t magic;
    int32_t error; /* 0, or an errno; then the size is 0 */
    uint64_t size;
};

#define GOLOCK_SIGHT_MAGIC 0x53476FC1u

enum golock_sight_requests {
    GOLOCK_SIGHT_HELLO = 1, /* JSON: pid, version, python, level, command */
    GOLOCK_SIGHT_IMAGE,     /* argument: the sections, or 0: all; see sight/image.h */
    GOLOCK_SIGHT_LEVEL,     /* argument: the level to set; replies nothing */
};

/* The table of the core. GOLOCK_CORE_FUNCTION, the only function that libgolock.so exports, returns
 * it. It never waits, and returns NULL while the library's Go runtime has not started or is short
 * of memory; a thread that has not called the core yet must not do so then. errno is EINPROGRESS
 * while the runtime is starting, and EAGAIN or ENOMEM while it lacks a thread or memory.
 * golock.use_core(address) takes another table. No function sleeps. Those that write the word of a
 * lock that is not shared need the GIL: see fastpath.h. */
struct golock_core {
    uint32_t magic;
    uint32_t version;
    /* The process of the core's Go runtime, which does not survive in a child made by fork. */
    int64_t process;
    /* Takes the lock or a permit and returns 1 if there is one and it is not reserved; otherwise
     * returns 0. */
    int (*try_acquire)(uint32_t *word, bool semaphore);
    /* Takes an enum golock_reason, what happened, and returns an enum golock_action, what to do. */
    int (*next)(struct golock_waiter *waiter, int reason);
    /* After GOLOCK_CHANGED: returns 1 if the waiter may sleep again as it is. Writes no word. */
    int (*stay)(struct golock_waiter *waiter);
    /* Releases the lock and returns 1, or returns 0 if it was free. */
    int (*release)(uint32_t *word);
    /* Adds n permits and returns 1, or returns 0 if there would be more than `most`. */
    int (*release_semaphore)(uint32_t *word, uint32_t n, uint32_t most);
    /* Sets the hand-off threshold, in nanoseconds >= 0. */
    void (*set_handoff)(int64_t nanoseconds);
    /* The version of the Go runtime, such as "go1.26.8". */
    const char *go_version;
    /* The hand-off threshold, in nanoseconds. Access it atomically. */
    const int64_t *handoff;
    /* The counters of waiters. Access them atomically. */
    int32_t *waiting;
    /* GOLOCK_SLOW_... Set and clear the bits atomically. */
    uint32_t *slow;
    /* Records goroutines, and starts the service, one goroutine that looks for deadlocks and, if
     * `path` is not NULL, listens at that path for clients; the directory exists. A second call
     * replaces path and sight. NULL for `sight` ends the service. It notices when it is woken, or
     * within a second. Returns 0, or an errno if it cannot listen. */
    int (*serve)(const struct golock_sight *sight, const char *path);
};

/* In golock_core.slow: record which goroutine owns what, by struct golock_sight. */
#define GOLOCK_SLOW_OWNERS 0x2u

#define GOLOCK_CORE_MAGIC 0x65726FC1u

/* The name of the function that returns the table, golock_core_VERSION, also as a string. */
#define GOLOCK_CORE_FUNCTION GOLOCK_WITH_VERSION(golock_core_, GOLOCK_VERSION)
#define GOLOCK_CORE_SYMBOL GOLOCK_QUOTE(GOLOCK_CORE_FUNCTION)
#define GOLOCK_WITH_VERSION(name, version) GOLOCK_PASTE(name, version)
#define GOLOCK_PASTE(name, version) name##version
#define GOLOCK_QUOTE(name) GOLOCK_STRING(name)
#define GOLOCK_STRING(name) #name
typedef const struct golock_core *(*golock_core_function)(void);

#endif
