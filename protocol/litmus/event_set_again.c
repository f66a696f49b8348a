/* Who clears an event sees what was done before the sets that found it set: event.c, load_to_set.
 *
 *     event_set_again ROUNDS         the event is shared
 *     event_set_again ROUNDS gil     it is not, and no GIL orders the two: the forbidden outcome
 *                                    can be seen, because a load may go before an earlier store */
#include "litmus.h"

#include "primitives/event.c"

struct instance {
    EventObject event;
    int done, saw_done;
    bool was_set;
};

static bool shared = true;

static void
prepare(struct instance *i)
{
    i->event.header.kind = shared ? GOLOCK_EVENT : 0;
    i->event.word = GOLOCK_SET;
}

static void
left(struct instance *i)
{
    __atomic_store_n(&i->done, 1, __ATOMIC_RELAXED);
    i->was_set = load_to_set(&i->event) & GOLOCK_SET;
}

/* The step of event_clear. */
static void
right(struct instance *i)
{
    uint32_t old = GOLOCK_SET;
    golock_change(&i->event.word, true, &old, old & ~GOLOCK_SET, __ATOMIC_SEQ_CST);
    i->saw_done = __atomic_load_n(&i->done, __ATOMIC_RELAXED);
}

static enum outcome
outcome(const struct instance *i)
{
    if (!i->was_set) {
        return RIGHT_FIRST;
    }
    return i->saw_done ? LEFT_FIRST : FORBIDDEN;
}

int
main(int argc, char **argv)
{
    shared = argc < 3;
    return litmus("set again, then clear", sizeof(struct instance),
                  argc > 1 ? atol(argv[1]) : 1000);
}
