/* A wait's record is read without a lock, while its thread writes the next wait into it: the reader
 * gets one or the other, and no mixture: sight/waits.c. */
#include "litmus.h"

#include "sight/waits.c"

struct instance {
    golock_wait_record record;
    golock_seen_wait seen;
    bool read;
};

static golock_object_record object;

static void
store(golock_wait_record *record, int64_t number)
{
    write_wait(record, &object, (uint64_t)number, number, number, (uint32_t)number, 0, NULL);
}

static void
prepare(struct instance *i)
{
    store(&i->record, 1);
}

static void
left(struct instance *i)
{
    store(&i->record, 2);
}

static void
right(struct instance *i)
{
    i->read = golock_wait_read(&i->record, &i->seen);
}

static enum outcome
outcome(const struct instance *i)
{
    if (!i->read) {
        return LEFT_FIRST; /* it is being written */
    }
    const int64_t number = i->seen.since;
    const bool whole = i->seen.thread == (uint64_t)number && i->seen.deadline == number &&
                       i->seen.stack == (uint32_t)number;
    return !whole ? FORBIDDEN : number == 2 ? LEFT_FIRST : RIGHT_FIRST;
}

int
main(int argc, char **argv)
{
    return litmus("write a wait, and read it", sizeof(struct instance),
                  argc > 1 ? atol(argv[1]) : 1000);
}
