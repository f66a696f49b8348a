/* Calls of the functions of a struct golock_sight: Go cannot call a pointer. A word is passed as a
 * number, since cgo looks at what a pointer points to, and a lock may be anywhere in Go's memory.
 */
#include "golock.h"

struct golock_sight_wake {
    int descriptor;
    bool woken;
};

struct golock_sight_answer {
    int error;
    void *reply;
    uint64_t size;
};

static inline int64_t
golock_sight_look(const struct golock_sight *sight)
{
    return sight->look();
}

static inline struct golock_sight_wake
golock_sight_wake(const struct golock_sight *sight)
{
    struct golock_sight_wake wake = {-1, false};
    wake.descriptor = sight->wake(&wake.woken);
    return wake;
}

static inline struct golock_sight_answer
golock_sight_answer(const struct golock_sight *sight, uint32_t request, uint64_t argument)
{
    struct golock_sight_answer answer = {0, NULL, 0};
    answer.error = sight->answer(request, argument, &answer.reply, &answer.size);
    return answer;
}

static inline void
golock_sight_release_reply(const struct golock_sight *sight, void *reply)
{
    sight->release_reply(reply);
}

/* A fork at any time leaves an entry that is right, or one whose inode is another's. */
static inline void
golock_sight_opened(const struct golock_sight *sight, int place, int descriptor, uint64_t inode)
{
    struct golock_sight_descriptor *entry = &sight->descriptors[place];
    __atomic_store_n(&entry->descriptor, -1, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->inode, inode, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->descriptor, descriptor, __ATOMIC_RELEASE);
}

static inline uint32_t
golock_sight_frame(const struct golock_sight *sight, const char *file, const char *function,
                   int line)
{
    return sight->frame(file, function, line);
}

static inline uint32_t
golock_sight_stack(const struct golock_sight *sight, uint32_t caller, uint32_t frame)
{
    return sight->stack(caller, frame);
}

static inline void *
golock_sight_wait_begins(const struct golock_sight *sight, uintptr_t word, int kind,
                         uint64_t goroutine, int64_t deadline, uint32_t stack)
{
    return sight->wait_begins((const void *)word, kind, goroutine, deadline, stack);
}

static inline void
golock_sight_wait_ended(const struct golock_sight *sight, void *wait, int taken)
{
    sight->wait_ended(wait, taken);
}

static inline void
golock_sight_taken(const struct golock_sight *sight, uintptr_t word, int kind, uint64_t goroutine,
                   uint32_t stack)
{
    sight->taken((const void *)word, kind, goroutine, stack);
}

static inline void
golock_sight_released(const struct golock_sight *sight, uintptr_t word, int kind,
                      uint64_t goroutine, uint32_t count)
{
    sight->released((const void *)word, kind, goroutine, count);
}
