#include "sight/goroutines.h"

#include "base/compat.h"
#include "sight/level.h"
#include "sight/objects.h"
#include "sight/order.h"
#include "sight/permits.h"
#include "sight/threads.h"
#include "sight/waits.h"

/* golock_core.slow of the core whose goroutines are recorded, or NULL. */
static uint32_t *slow;

void
golock_goroutines_level(void)
{
    uint32_t *bits = __atomic_load_n(&slow, __ATOMIC_ACQUIRE);
    if (bits == NULL) {
        return;
    }
    if (golock_sight_now() >= GOLOCK_SIGHT_OWNERS) {
        __atomic_fetch_or(bits, GOLOCK_SLOW_OWNERS, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_and(bits, ~GOLOCK_SLOW_OWNERS, __ATOMIC_RELAXED);
    }
}

void
golock_goroutines_record(const struct golock_core *core)
{
    __atomic_store_n(&slow, core == NULL ? NULL : core->slow, __ATOMIC_RELEASE);
    golock_goroutines_level();
}

/* Returns the key of a goroutine. A goroutine that C code of a Python thread has called runs on
 * that thread, and is that thread for everybody else: what it takes in Go, and what it waits for in
 * Python, is one circle. */
static uint64_t
key_of(uint64_t goroutine, PyThreadState **thread)
{
    /* An interpreter that ends frees the states of daemon threads, which may still be in Go. */
    *thread = Py_IsFinalizing() ? NULL : PyGILState_GetThisThreadState();
    return *thread != NULL ? golock_thread_key_of(*thread) : GOLOCK_GOROUTINE | goroutine;
}

/* Whether the calling thread, which has this thread state, has the GIL. */
static bool
has_gil(PyThreadState *thread)
{
#ifdef Py_GIL_DISABLED
    (void)thread;
    return false;
#elif PY_VERSION_HEX >= 0x030D0000
    return thread != NULL && PyThreadState_GetUnchecked() == thread;
#else
    return thread != NULL && _PyThreadState_UncheckedGet() == thread;
#endif
}

void *
golock_goroutine_waits(const void *word, int kind, uint64_t goroutine, int64_t deadline,
                       uint32_t stack)
{
    golock_object_record *object = golock_object_of_word(word, kind, true);
    if (object == NULL) {
        return NULL;
    }
    PyThreadState *thread;
    const uint64_t key = key_of(goroutine, &thread);
    if (!has_gil(thread)) {
        return golock_record_wait_by(object, key, deadline, stack, 0);
    }
    /* A description of the deadlock that this may be has the names of both threads. */
    golock_object_record its;
    golock_thread_record copy;
    golock_thread_record *self = golock_thread_current();
    if (self != NULL) {
        golock_thread_refresh_name(self);
    }
    if (golock_object_read(object, &its) && its.owner >> 40 == key >> 40) {
        golock_thread_find_named(its.owner, &copy);
    }
    return golock_record_wait_by(object, key, deadline, stack, GOLOCK_WAIT_HAS_GIL);
}

void
golock_goroutine_waited(void *wait, int taken)
{
    (void)taken;
    golock_end_wait(wait);
}

void
golock_goroutine_takes(const void *word, int kind, uint64_t goroutine, uint32_t stack)
{
    const bool tried = kind & GOLOCK_TRIED;
    kind &= ~GOLOCK_TRIED;
    golock_object_record *object = golock_object_of_word(word, kind, true);
    if (object == NULL) {
        return;
    }
    PyThreadState *thread;
    const uint64_t key = key_of(goroutine, &thread);
    golock_object_taken_by(object, key, stack);
    if (kind == GOLOCK_LOCK && thread == NULL) {
        golock_order_taken_by(object, key, tried);
    }
}

void
golock_goroutine_releases(const void *word, int kind, uint64_t goroutine, uint32_t count)
{
    golock_object_record *object = golock_object_of_word(word, kind, false);
    if (object == NULL) {
        return;
    }
    PyThreadState *thread;
    const uint64_t key = key_of(goroutine, &thread);
    if (kind == GOLOCK_SEMAPHORE) {
        if (!golock_permits_given(object, key, count)) {
            golock_object_mark_stranger(object);
        }
        return;
    }
    golock_object_released_by(object, key);
    if (kind == GOLOCK_LOCK && thread == NULL) {
        golock_order_released_by(object, key);
    }
}
