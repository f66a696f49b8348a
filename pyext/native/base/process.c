#include "base/process.h"

#include <sys/syscall.h>
#include <unistd.h>

pid_t golock_process;

void
golock_process_remember(void)
{
    golock_process = getpid();
}

bool
golock_runs_handlers(void)
{
    /* In the default TLS model the first access allocates memory and ends the process if there is
     * none. */
    static _Thread_local struct {
        pid_t process, thread;
    } self __attribute__((tls_model("initial-exec")));
    if (self.process != golock_process) {
        self.process = golock_process;
        self.thread = (pid_t)syscall(SYS_gettid);
    }
    return self.thread == self.process;
}
