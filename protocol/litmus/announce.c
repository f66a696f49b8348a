/* A waiter that may sleep has announced itself before the release, which names a claimant and so
 * wakes it. One that came after the release takes the lock. */
#include "litmus.h"

#include "waiting/plain.h"

struct instance {
    uint32_t word;
    bool named; /* the release wakes a sleeper */
    struct golock_waiter waiter;
    int action;
};

static void
prepare(struct instance *i)
{
    i->word = GOLOCK_HELD;
    i->waiter = (struct golock_waiter){.word = &i->word, .deadline = GOLOCK_FOREVER};
}

static void
left(struct instance *i)
{
    golock_plain_release(NULL, &i->word, true, &i->named);
}

static void
right(struct instance *i)
{
    i->action = golock_plain_next(NULL, &i->waiter, GOLOCK_ENTERED);
}

static enum outcome
outcome(const struct instance *i)
{
    if (i->action == GOLOCK_ACQUIRED) {
        return i->named || i->word != GOLOCK_HELD ? FORBIDDEN : LEFT_FIRST;
    }
    return i->named ? RIGHT_FIRST : FORBIDDEN;
}

int
main(int argc, char **argv)
{
    return litmus("announce, then sleep", sizeof(struct instance), argc > 1 ? atol(argv[1]) : 1000);
}
