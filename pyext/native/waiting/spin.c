#include "waiting/spin.h"

/* Nanoseconds. The longest spin: twice the time to sleep and be woken, so that a spin succeeds even
 * if the other thread has to wake up first. */
#define SPIN 50000

/* Nanoseconds. A spin might have replaced a wait that took less. */
#define SHORT 100000

/* A thread spins after this many short waits in a row. A spin that fails doubles the number for the
 * next, one that succeeds halves it. */
#define SHORT_WAITS 4
#define MOST_DOUBLINGS 6

/* Nanoseconds. How long a thread polls for another to drop the GIL before it requests the GIL. Only
 * drops by golock_detach are seen here; the GIL may be free earlier. */
#define SPIN_FOR_GIL 5000

/* In the default TLS model the first access allocates memory and ends the process if there is
 * none. */
static _Thread_local struct {
    uint16_t short_waits, doublings;
} learned __attribute__((tls_model("initial-exec")));

/* How often threads have dropped the GIL to wait. */
static uint32_t detached;

PyThreadState *
golock_detach(void)
{
    PyThreadState *thread = PyEval_SaveThread();
#ifndef Py_GIL_DISABLED
    __atomic_add_fetch(&detached, 1, __ATOMIC_RELEASE);
#endif
    return thread;
}

golock_spin
golock_spin_begin(golock_deadline deadline, int64_t least)
{
    bool expected = learned.short_waits >= SHORT_WAITS << learned.doublings;
    int64_t now = golock_now();
    int64_t until = now + (expected ? SPIN : least);
    until = until < deadline.at ? until : deadline.at;
    return (golock_spin){.since = now, .expected = expected, .until = until};
}

/* Pauses for some cycles, and returns whether it is still before the moment. */
static bool
pause_before(int64_t moment)
{
    for (int i = 0; i < 8; i++) {
#ifdef __x86_64__
        __asm__ volatile("pause");
#else
        __asm__ volatile("yield");
#endif
    }
    return golock_now() < moment;
}

/* Spins until `detached` differs from `before`. */
static void
spin_for_gil(uint32_t before)
{
#ifndef Py_GIL_DISABLED
    int64_t until = golock_now() + SPIN_FOR_GIL;
    while (__atomic_load_n(&detached, __ATOMIC_RELAXED) == before && pause_before(until)) {
    }
#else
    (void)before;
#endif
}

bool
golock_spin_while(const golock_spin *spin, const uint32_t *word, uint32_t was, uint32_t mask,
                  bool shared)
{
    uint32_t before, now = __atomic_load_n(&detached, __ATOMIC_ACQUIRE);
    do {
        before = now;
        if (!pause_before(spin->until)) {
            return false;
        }
        /* Read this before the word, so that it predates a change that the next load sees. */
        now = __atomic_load_n(&detached, __ATOMIC_ACQUIRE);
    } while (((__atomic_load_n(word, __ATOMIC_ACQUIRE) ^ was) & mask) == 0);
    if (!shared) {
        spin_for_gil(before);
    }
    return true;
}

void
golock_spin_end(golock_spin *spin, bool succeeded)
{
    if (succeeded && golock_now() < spin->until) {
        learned.doublings -= learned.doublings > 0;
    } else if (spin->expected) {
        learned.doublings += learned.doublings < MOST_DOUBLINGS;
        learned.short_waits = 0;
    }
    spin->until = spin->since;
}

void
golock_spin_learn(const golock_spin *spin)
{
    if (golock_now() - spin->since >= SHORT) {
        learned.short_waits = 0;
    } else if (learned.short_waits < SHORT_WAITS << MOST_DOUBLINGS) {
        learned.short_waits++;
    }
}
