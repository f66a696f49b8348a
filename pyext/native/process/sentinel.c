#include "process/sentinel.h"

#include "base/futex.h"
#include "process/cell.h"
#include "process/futex.h"
#include "process/slot.h"

#include <errno.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

/* For each page a sentinel sleeps on its doorbell and on the life words that it watches; and on
 * `kick`. */
#define WORDS_OF_PAGE (1 + GOLOCK_PAGE_LIVES)
#define PAGES ((GOLOCK_WAITV_MOST - 1) / WORDS_OF_PAGE)

/* Nanoseconds until the next look at a dying process, and an eighth of the time that it takes. */
#define FIRST_PAUSE 30000

/* Nanoseconds until another try when the kernel cannot let it sleep. */
#define AFTER_FAILURE 1000000

typedef struct golock_sentinel {
    struct robust_list_head robust;
    uint32_t life; /* what its life words say: the id of its thread */
    uint32_t kick;
    uint32_t state;
    bool guards; /* its slots' life words; otherwise it only looks */
    bool ticks;  /* it wakes up by itself */
    size_t count;
    golock_page *pages[PAGES];
    struct golock_sentinel *next;
} sentinel;

enum { STARTING, RUNNING };

static sentinel *sentinels;
static bool refused;        /* the kernel lets none guard */
static uint32_t registered; /* for expedited barriers: has_stopped in slot.c */

static struct robust_list *
entry_of(const golock_page *page, uint32_t slot, int which)
{
    return (struct robust_list *)((char *)golock_life_of(page, slot, which) -
                                  golock_page_distance());
}

static void
wake_kick(sentinel *self)
{
    __atomic_fetch_add(&self->kick, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &self->kick, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}

void
golock_sentinel_kick(golock_page *page)
{
    sentinel *self = page->sentinel;
    if (self != NULL) {
        wake_kick(self);
    }
}

void
golock_sentinel_waits(golock_page *page)
{
    sentinel *self = page->sentinel;
    if (self != NULL && !__atomic_load_n(&self->ticks, __ATOMIC_SEQ_CST)) {
        wake_kick(self);
    }
}

bool
golock_sentinel_look(golock_page *page)
{
    bool dying = golock_slot_settle(page);
    uint64_t cell = golock_cell_load(page);
    bool asked = ((uint32_t)cell & (GOLOCK_PAGE_WAITERS | GOLOCK_PAGE_CLAIMED)) ==
                 (GOLOCK_PAGE_WAITERS | GOLOCK_PAGE_CLAIMED);
    if (cell == __atomic_load_n(&page->seen, __ATOMIC_RELAXED) &&
        (golock_cell_holder(cell) == 0 || ((cell & GOLOCK_PAGE_CLAIMED) && !asked))) {
        golock_cell_pass_on(page);
    }
    __atomic_store_n(&page->seen, golock_cell_load(page), __ATOMIC_RELAXED);
    return dying;
}

/* Handles the deaths of those that were watched. Returns whether to look again soon. */
static bool
attend(golock_page *page)
{
    bool soon = false, owed = false;
    struct {
        uint32_t slot, number;
    } handled[GOLOCK_PAGE_LIVES] = {{0}};
    for (int i = 0; i < GOLOCK_PAGE_LIVES; i++) {
        golock_aim *aim = &page->aims[i];
        if (aim->slot == 0) {
            continue;
        }
        uint32_t *life = golock_life_of(page, aim->slot, i);
        if (__atomic_load_n(life, __ATOMIC_ACQUIRE) == aim->life) {
            continue;
        }
        /* The kernel has woken one of those that watch it. */
        golock_shared_wake(life, INT_MAX, FUTEX_BITSET_MATCH_ANY);
        uint32_t number = golock_slot_number(page, aim->slot);
        enum golock_life now = golock_slot_life(page, aim->slot);
        const uint32_t *debts = &page->memory->slots[aim->slot - 1].debts;
        if (now == GOLOCK_ALIVE) {
            continue; /* the new owner of the slot passes the debts on */
        }
        bool indebted = __atomic_load_n(debts, __ATOMIC_ACQUIRE) != 0;
        bool gone = now == GOLOCK_DEAD && (!indebted || golock_slot_gone(page, aim->slot));
        owed |= now == GOLOCK_DEAD && indebted && (gone || !aim->passed_on);
        aim->passed_on |= now == GOLOCK_DEAD;
        soon |= !gone;
        if (gone) {
            handled[i].slot = aim->slot;
            handled[i].number = number;
        }
    }
    soon |= golock_slot_settle(page);
    if (owed) {
        golock_cell_pass_on(page);
    }
    if (soon) {
        return true;
    }
    for (int i = 0; i < GOLOCK_PAGE_LIVES; i++) {
        if (handled[i].slot != 0) {
            golock_slot_mourned(page, handled[i].slot, handled[i].number);
        }
    }
    return golock_slot_aim(page);
}

/* Adds what to sleep on for a page. */
static unsigned
add_words(golock_page *page, uint32_t doorbell, struct golock_waitv *words, unsigned count)
{
    words[count++] = (struct golock_waitv){
        .value = doorbell,
        .address = (uintptr_t)&page->memory->slots[page->me - 1].doorbell,
        .flags = GOLOCK_WAITV_32,
    };
    for (int i = 0; i < GOLOCK_PAGE_LIVES; i++) {
        if (page->aims[i].slot != 0) {
            words[count++] = (struct golock_waitv){
                .value = page->aims[i].life,
                .address = (uintptr_t)golock_life_of(page, page->aims[i].slot, i),
                .flags = GOLOCK_WAITV_32,
            };
        }
    }
    return count;
}

static void
sleep_until(int64_t until)
{
    const struct timespec at = {.tv_sec = until / NS_PER_SECOND, .tv_nsec = until % NS_PER_SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Sleeps on the words, of which the first is `kick`. Returns whether it could. */
static bool
sleep_on(sentinel *self, const struct golock_waitv *words, unsigned count, int64_t until)
{
    long result;
    if (self->guards) {
        result = golock_waitv(words, count, until);
    } else {
        result = golock_futex_wait(&self->kick, (uint32_t)words[0].value, (golock_deadline){until},
                                   GOLOCK_ANY_CHANNEL);
    }
    return result >= 0 || errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR;
}

static void
serve(sentinel *self)
{
    struct golock_waitv words[GOLOCK_WAITV_MOST];
    int64_t next_look = 0, dying_since = 0;
    for (;;) {
        bool dying = false, waits = false;
        unsigned count = 1;
        words[0] = (struct golock_waitv){
            .value = __atomic_load_n(&self->kick, __ATOMIC_SEQ_CST),
            .address = (uintptr_t)&self->kick,
            .flags = GOLOCK_WAITV_32 | GOLOCK_WAITV_PRIVATE,
        };
        int64_t now = golock_now();
        bool looks = self->ticks && now >= next_look;
        /* Threads that begin to wait from here on kick. */
        __atomic_store_n(&self->ticks, false, __ATOMIC_SEQ_CST);
        golock_pages_lock();
        for (size_t i = 0; i < self->count; i++) {
            golock_page *page = self->pages[i];
            if (page->me == 0) {
                continue;
            }
            uint32_t *bell = &page->memory->slots[page->me - 1].doorbell;
            uint32_t doorbell = __atomic_load_n(bell, __ATOMIC_SEQ_CST);
            __atomic_store_n(&page->memory->slots[page->me - 1].barrier,
                             __atomic_load_n(&registered, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
            bool soon = self->guards ? attend(page) : golock_slot_settle(page);
            if (__atomic_load_n(&page->waiting, __ATOMIC_SEQ_CST) != 0) {
                waits = true;
                soon |= looks && golock_sentinel_look(page);
            }
            dying |= soon;
            count = soon || !self->guards ? count : add_words(page, doorbell, words, count);
        }
        golock_pages_unlock();
        int64_t until = GOLOCK_FOREVER;
        if (waits) {
            __atomic_store_n(&self->ticks, true, __ATOMIC_SEQ_CST);
            next_look = looks || next_look <= now ? now + GOLOCK_LOOK : next_look;
            until = next_look;
            if (!self->guards && now + GOLOCK_LOOK_AT_BYTE < until) {
                until = now + GOLOCK_LOOK_AT_BYTE;
            }
        }
        if (dying) {
            dying_since = dying_since == 0 ? now : dying_since;
            int64_t pause = FIRST_PAUSE + (now - dying_since) / 8;
            until = now + pause < until ? now + pause : until;
        } else {
            dying_since = 0;
        }
        if (!sleep_on(self, words, count, until)) {
            sleep_until(now + AFTER_FAILURE); /* a page has gone since, or there is no memory */
        }
    }
}

static void *
run(void *argument)
{
    sentinel *self = argument;
    self->life = (uint32_t)syscall(SYS_gettid) | FUTEX_WAITERS;
    self->robust.list.next = &self->robust.list;
    self->robust.futex_offset = (long)golock_page_distance();
    self->guards = self->guards &&
                   syscall(SYS_set_robust_list, &self->robust, sizeof(self->robust)) == 0 &&
                   golock_waitv(NULL, 0, GOLOCK_FOREVER) < 0 && errno == EINVAL;
    __atomic_store_n(&self->state, RUNNING, __ATOMIC_RELEASE);
    syscall(SYS_futex, &self->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    serve(self);
    return NULL;
}

/* Registers the process for expedited barriers. In a process with several threads the kernel waits
 * for all processors meanwhile, some milliseconds, so this has a thread of its own. */
static void *
enroll(void *ignored)
{
    (void)ignored;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0) {
        golock_pages_lock();
        __atomic_store_n(&registered, 1, __ATOMIC_RELEASE);
        for (sentinel *self = sentinels; self != NULL; self = self->next) {
            wake_kick(self);
        }
        golock_pages_unlock();
    }
    return NULL;
}

/* Starts a detached thread with all signals blocked. Returns 0, or an error number. */
static int
start_thread(void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) {
        return error;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + 64 * 1024);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, function, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static sentinel *
start(bool guards, int *error)
{
    sentinel *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        *error = ENOMEM;
        return NULL;
    }
    self->guards = guards;
    *error = start_thread(run, self);
    if (*error != 0) {
        free(self);
        return NULL;
    }
    while (__atomic_load_n(&self->state, __ATOMIC_ACQUIRE) == STARTING) {
        syscall(SYS_futex, &self->state, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, STARTING, NULL, NULL, 0);
    }
    if (self->guards && __atomic_load_n(&registered, __ATOMIC_RELAXED) == 0) {
        (void)start_thread(enroll, NULL); /* without it the byte lock says when a process is dead */
    }
    return self;
}

int
golock_sentinel_assign(golock_page *page)
{
    if (!golock_pages_may_start_thread()) {
        return 0;
    }
    const char *wanted = getenv("GOLOCK_SENTINEL");
    bool guards = !refused && (wanted == NULL || wanted[0] != '0');
    sentinel *self = sentinels;
    while (self != NULL && (self->count == PAGES || self->guards != guards)) {
        self = self->next;
    }
    if (self == NULL) {
        int error;
        self = start(guards, &error);
        if (self == NULL) {
            return error;
        }
        refused |= guards && !self->guards;
        self->next = sentinels;
        sentinels = self;
    }
    self->pages[self->count++] = page;
    page->sentinel = self;
    return 0;
}

uint32_t
golock_sentinel_guard(golock_page *page, uint32_t slot)
{
    sentinel *self = page->sentinel;
    if (self == NULL || !self->guards) {
        return GOLOCK_PAGE_LIFE_BYTE;
    }
    for (int i = 0; i < GOLOCK_PAGE_LIVES; i++) {
        /* The kernel may read the list at any moment, and ignores a word that does not name the
         * thread. */
        struct robust_list *entry = entry_of(page, slot, i);
        entry->next = self->robust.list.next;
        __atomic_store_n(&self->robust.list.next, entry, __ATOMIC_RELEASE);
    }
    return self->life;
}

static void
unlink_entry(sentinel *self, struct robust_list *entry)
{
    struct robust_list *before = &self->robust.list;
    while (before->next != &self->robust.list && before->next != entry) {
        before = before->next;
    }
    if (before->next == entry) {
        __atomic_store_n(&before->next, entry->next, __ATOMIC_RELEASE);
    }
}

void
golock_sentinel_forget(golock_page *page)
{
    sentinel *self = page->sentinel;
    if (self == NULL) {
        return;
    }
    for (int i = 0; self->guards && page->me != 0 && i < GOLOCK_PAGE_LIVES; i++) {
        unlink_entry(self, entry_of(page, page->me, i));
    }
    for (size_t i = 0; i < self->count; i++) {
        if (self->pages[i] == page) {
            self->pages[i] = self->pages[--self->count];
            break;
        }
    }
    page->sentinel = NULL;
    wake_kick(self);
}

void
golock_sentinels_after_fork(void)
{
    for (sentinel *self = sentinels, *next; self != NULL; self = next) {
        next = self->next;
        free(self); /* its thread is the parent's */
    }
    sentinels = NULL;
    registered = 0;
}
