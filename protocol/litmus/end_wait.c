/* Who ends the waits at an object sets a flag and then wakes all. A waiter that has announced
 * itself sees the flag, or may not sleep any more: acquire.c, has_ended. */
#include "litmus.h"

#include "waiting/plain.h"

struct instance {
    uint32_t word;
    bool ended;
    struct golock_waiter waiter;
    bool saw_ended;
};

static void
prepare(struct instance *i)
{
    i->word = GOLOCK_HELD;
    i->waiter = (struct golock_waiter){.word = &i->word, .deadline = GOLOCK_FOREVER};
}

/* As golock_object_commit sets it. */
static void
left(struct instance *i)
{
    __atomic_store_n(&i->ended, true, __ATOMIC_RELEASE);
    golock_wake_all(&i->word);
}

static void
right(struct instance *i)
{
    golock_plain_next(NULL, &i->waiter, GOLOCK_ENTERED);
    i->saw_ended = __atomic_load_n(&i->ended, __ATOMIC_SEQ_CST);
}

static enum outcome
outcome(const struct instance *i)
{
    if (i->saw_ended) {
        return LEFT_FIRST;
    }
    return i->word == i->waiter.value ? FORBIDDEN : RIGHT_FIRST;
}

int
main(int argc, char **argv)
{
    return litmus("end the waits, then wake", sizeof(struct instance),
                  argc > 1 ? atol(argv[1]) : 1000);
}
