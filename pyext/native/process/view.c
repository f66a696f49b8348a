#include "process/view.h"

#include "process/cell.h"
#include "process/slot.h"

#include <stdlib.h>
#include <string.h>

/* A lock that changes hands all the time may have another holder whenever it is read. */
#define MOST_READS 8

static golock_page *
page_of(const golock_across *lock)
{
    return (golock_page *)((char *)lock - offsetof(golock_page, across));
}

/* Fills in who holds the lock. Returns false if that has changed meanwhile. */
static bool
read_holder(const golock_page *page, struct golock_image_across *entry)
{
    const uint64_t cell = golock_cell_load(page);
    const uint32_t holder = golock_cell_holder(cell);
    const bool died = golock_slot_holder_died(page, cell);
    entry->flags = GOLOCK_ACROSS_KNOWN;
    if (died || golock_cell_deaths(cell) != 0) {
        entry->flags |= GOLOCK_ACROSS_ABANDONED;
    }
    if (holder != 0 && !died) {
        entry->flags |= GOLOCK_ACROSS_HELD;
        entry->flags |= holder == golock_page_me(page) ? GOLOCK_ACROSS_OWN : 0;
        entry->slot = holder;
        entry->process = golock_slot_process(page, holder);
    }
    return golock_cell_same_hold(golock_cell_load(page), cell);
}

static void
view(const golock_across *lock, struct golock_image_across *entry)
{
    const golock_page *page = page_of(lock);
    entry->waiting = __atomic_load_n(&page->waiting, __ATOMIC_RELAXED);
    for (int reads = 0; reads < MOST_READS; reads++) {
        entry->slot = entry->process = 0;
        if (read_holder(page, entry)) {
            return;
        }
    }
    entry->slot = entry->process = 0;
    entry->flags &= ~GOLOCK_ACROSS_OWN;
}

/* Nobody holds an event. */
static void
view_event(const golock_across *event, struct golock_image_across *entry)
{
    entry->waiting = __atomic_load_n(&page_of(event)->waiting, __ATOMIC_RELAXED);
    entry->flags = GOLOCK_ACROSS_KNOWN;
}

static void
record_owners(golock_across *lock, bool records)
{
    golock_page *page = page_of(lock);
    __atomic_store_n(&page->quick, records ? 0 : golock_page_me(page), __ATOMIC_RELEASE);
}

void
golock_page_set_quick(golock_page *page)
{
    golock_across_lock();
    record_owners(&page->across, golock_across_records_owners());
    golock_across_unlock();
}

static int
hexadecimal(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

/* Returns the name of the page at this path, allocated. golock.process quotes it as in
 * URLs. */
static char *
name_of(const char *path)
{
    char *name = strdup(strrchr(path, '/') + 1), *to = name;
    for (const char *from = name; name != NULL && *from != '\0'; to++) {
        const int high = *from == '%' ? hexadecimal(from[1]) : -1;
        const int low = high < 0 ? -1 : hexadecimal(from[2]);
        *to = low < 0 ? *from : (char)(16 * high + low);
        from += low < 0 ? 1 : 3;
    }
    if (name != NULL) {
        *to = '\0';
    }
    return name;
}

bool
golock_page_show(golock_page *page)
{
    const bool named = strchr(page->path, '/') != NULL;
    page->name = named ? name_of(page->path) : NULL;
    if (named && page->name == NULL) {
        return false;
    }
    const bool is_event = page->memory->kind == GOLOCK_PAGE_EVENT;
    page->across = (golock_across){
        .kind = is_event ? GOLOCK_KIND_PROCESS_EVENT : GOLOCK_KIND_PROCESS_LOCK,
        .name = page->name,
        .view = is_event ? view_event : view,
        .record_owners = is_event ? NULL : record_owners,
        .word = &page->memory->cell,
        .mask = is_event ? GOLOCK_PAGE_SET : GOLOCK_PAGE_HOLD,
    };
    golock_across_add(&page->across);
    return true;
}

void
golock_page_hide(golock_page *page)
{
    golock_across_remove(&page->across);
    free(page->name);
}

void
golock_page_owned(golock_page *page)
{
    golock_object_record *record =
        golock_sight_now() < GOLOCK_SIGHT_OWNERS ? NULL : golock_across_know(&page->across);
    const uint64_t cell = golock_cell_load(page);
    /* Another process may have released the lock by now, and a third one have taken it. */
    if (record != NULL && golock_cell_holder(cell) == golock_page_me(page)) {
        golock_object_taken(record);
        golock_across_set_hold(&page->across, cell & GOLOCK_PAGE_HOLD);
    }
}

void
golock_page_disowned(golock_page *page)
{
    golock_object_record *record = __atomic_load_n(&page->across.record, __ATOMIC_ACQUIRE);
    if (record != NULL && golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        golock_object_released(record);
    }
}
