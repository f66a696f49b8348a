/* A listener that is notified sees what the notifier did before, also if it learns of it by having
 * been removed from the list. One that ends its spin unnotified is woken: waiting/notify.c. */
#include "litmus.h"

#include "waiting/notify.c"

/* Not called: golock.sight is off. */
void
golock_move_wait(golock_wait_record *record, golock_object_record *object)
{
    (void)record;
    (void)object;
}

golock_object_record *
golock_object_begin(golock_object_record **place, const void *address,
                    const golock_object_traits *traits)
{
    (void)place;
    (void)address;
    (void)traits;
    return NULL;
}

struct instance {
    golock_listeners listeners;
    golock_listener listener;
    int done, saw_done;
    uint32_t notification;
    uint32_t *woken;
    bool removed;
};

static void
prepare(struct instance *i)
{
    i->listener.notification = GOLOCK_SPINNING;
    golock_listen(&i->listeners, &i->listener);
}

static void
left(struct instance *i)
{
    __atomic_store_n(&i->done, 1, __ATOMIC_RELAXED);
    notify_first(&i->listeners, GOLOCK_NOTIFIED, NULL, NULL, &i->woken);
}

static void
right(struct instance *i)
{
    golock_spin spin = {0};
    end_spin(&i->listener, &spin);
    i->removed = __atomic_load_n(&i->listener.listeners, __ATOMIC_ACQUIRE) == NULL;
    i->notification = notification_of(&i->listener);
    i->saw_done = __atomic_load_n(&i->done, __ATOMIC_RELAXED);
}

static enum outcome
outcome(const struct instance *i)
{
    if (i->notification == 0) {
        return i->removed || i->woken == NULL ? FORBIDDEN : RIGHT_FIRST;
    }
    return i->saw_done ? LEFT_FIRST : FORBIDDEN;
}

int
main(int argc, char **argv)
{
    return litmus("notify a listener", sizeof(struct instance), argc > 1 ? atol(argv[1]) : 1000);
}
