/* What a fork does to each layer. */
#include "fork.h"

#include "base/compat.h"
#include "base/process.h"
#include "core/loader.h"
#include "process/page.h"
#include "sight/across.h"
#include "sight/cycles.h"
#include "sight/level.h"
#include "sight/objects.h"
#include "sight/order.h"
#include "sight/profile.h"
#include "sight/serve.h"
#include "sight/table.h"
#include "sight/tasks.h"
#include "sight/threads.h"
#include "sight/waits.h"
#include "waiting/counters.h"
#include "waiting/notify.h"
#include "waiting/tasks.h"

#include <pthread.h>

static void
before(void)
{
    golock_serve_before_fork(); /* it loads the core */
    golock_core_before_fork();
    golock_pages_before_fork();
    golock_level_before_fork();
    golock_across_before_fork();
    golock_order_before_fork();
    golock_tables_lock();
    golock_profile_before_fork();
    golock_tasks_before_fork();
}

static void
in_parent(void)
{
    golock_tasks_after_fork_in_parent();
    golock_profile_after_fork_in_parent();
    golock_tables_unlock();
    golock_order_after_fork_in_parent();
    golock_across_after_fork_in_parent();
    golock_level_after_fork();
    golock_pages_after_fork_in_parent();
    golock_core_after_fork_in_parent();
    golock_serve_after_fork_in_parent();
}

static void
in_child(void)
{
    golock_process_remember();
    golock_pages_after_fork_in_child();
    golock_tasks_after_fork_in_child();
    golock_across_after_fork_in_child();
    golock_level_after_fork();
    golock_order_after_fork_in_child();
    golock_core_after_fork_in_child();
    golock_serve_after_fork_in_child();
    golock_listen_after_fork();
    golock_counters_after_fork();
    golock_waits_after_fork();
    golock_cycles_after_fork();
    golock_objects_after_fork(); /* it looks for the thread that is left */
    golock_threads_after_fork();
    golock_sight_tasks_after_fork();
    golock_profile_after_fork_in_child();
}

int
golock_watch_forks(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static bool watched;
    if (__atomic_load_n(&watched, __ATOMIC_ACQUIRE)) {
        return 0; /* without the mutex, which a fork could leave locked in the child */
    }
    pthread_mutex_lock(&mutex); /* interpreters with their own GIL may import at once */
    bool failed = false;
    if (!watched) {
        golock_process_remember();
        failed = pthread_atfork(before, in_parent, in_child) != 0;
        __atomic_store_n(&watched, !failed, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&mutex);
    if (failed) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}
