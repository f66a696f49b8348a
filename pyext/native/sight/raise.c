#include "sight/raise.h"

#include "base/futex.h"

#include <limits.h>
#include <stdlib.h>

/* A request. The record may be another wait's by the time when it is read. */
struct golock_raise {
    int64_t since; /* of the wait */
    char *text;
};

static void
free_request(struct golock_raise *request)
{
    if (request != NULL) {
        free(request->text);
        free(request);
    }
}

bool
golock_raise_in(const golock_seen_wait *wait, char *text)
{
    struct golock_raise *request = malloc(sizeof(struct golock_raise));
    if (request == NULL) {
        return false;
    }
    *request = (struct golock_raise){wait->since, text};
    free_request(__atomic_exchange_n(&wait->record->raise, request, __ATOMIC_ACQ_REL));
    return true;
}

void
golock_raise_wake(const golock_seen_wait *wait)
{
    golock_futex_wake(wait->word, INT_MAX, golock_raise_channel(wait->record));
}

char *
golock_raise_take(golock_wait_record *record)
{
    struct golock_raise *request = __atomic_exchange_n(&record->raise, NULL, __ATOMIC_ACQ_REL);
    char *text = NULL;
    if (request != NULL && request->since == record->since) {
        text = request->text;
        request->text = NULL;
    }
    free_request(request);
    return text;
}
