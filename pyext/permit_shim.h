#pragma once
#include "corecall.h"
#include "fastpath.h"
#include <limits.h>
#include <linux/futex.h>
enum { GOLOCK_WAIT_ENDED = 2 };
static inline bool golock_permit_try_acquire(union golock_semaphore *s) { if (golock_fastpath && (s->both>>32)==0) return false; const struct golock_core *c = golock_core_get(); return c && golock_core_try_acquire(c, &s->word, true); }
static inline bool golock_permits_release(union golock_semaphore *s, uint32_t n, uint32_t most) { const struct golock_core *c = golock_core_get(); return c && golock_core_release_semaphore(c, &s->word, n, most); }
static inline int golock_permit_wait(PyObject *self, union golock_semaphore *s, int64_t deadline, const bool *ended) { (void)ended; return golock_wait(golock_state_of(self), &s->word, true, deadline == GOLOCK_FOREVER ? -1 : deadline - golock_now() > 0 ? deadline - golock_now() : 0, true); }
static inline void golock_wake_all(uint32_t *w) { syscall(SYS_futex, w, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX); }
