/* Who takes a lock or a permit sees what its last holder did, and the holder saw nothing that was
 * done later: fastpath.h, "Taking the lock is an acquire operation and releasing it a release
 * operation", and the same of plain.c. */
#include "litmus.h"

#include "fastpath/fastpath.h"
#include "waiting/plain.h"

struct instance {
    union golock_semaphore memory;
    uint8_t releases;
    int done, later; /* data that the lock guards */
    int saw_later, saw_done;
    bool taken;
};

static int way;
static const bool on = true;

static void
prepare(struct instance *i)
{
    i->memory.both = GOLOCK_HELD;
}

static void
left(struct instance *i)
{
    i->saw_later = __atomic_load_n(&i->later, __ATOMIC_RELAXED);
    __atomic_store_n(&i->done, 1, __ATOMIC_RELAXED);
    switch (way) {
    case 0:
        golock_fast_release(&i->memory.word, true, &i->releases, &on);
        break;
    case 1:
        golock_fast_release_permits(&i->memory, true, 1, UINT32_MAX, &i->releases, &on);
        break;
    case 2:
        golock_plain_release(NULL, &i->memory.word, true, NULL);
        break;
    default:
        golock_plain_release_semaphore(NULL, &i->memory.word, true, 1, UINT32_MAX);
    }
}

static void
right(struct instance *i)
{
    switch (way) {
    case 0:
        i->taken = golock_fast_acquire(&i->memory.word, true, &on);
        break;
    case 1:
        i->taken = golock_fast_acquire_permit(&i->memory, true, &on);
        break;
    default:
        i->taken = golock_plain_try_acquire(&i->memory.word, way == 3);
    }
    if (i->taken) {
        i->saw_done = __atomic_load_n(&i->done, __ATOMIC_RELAXED);
        __atomic_store_n(&i->later, 1, __ATOMIC_RELAXED);
    }
}

static enum outcome
outcome(const struct instance *i)
{
    if (!i->taken) {
        return RIGHT_FIRST;
    }
    return i->saw_done && !i->saw_later ? LEFT_FIRST : FORBIDDEN;
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {"a lock", "a permit", "a lock, slow path",
                                        "a permit, slow path"};
    const long rounds = argc > 1 ? atol(argv[1]) : 1000;
    int failed = 0;
    for (way = 0; way < 4; way++) {
        failed |= litmus(names[way], sizeof(struct instance), rounds);
    }
    return failed;
}
