/* How a child process ends that a thread other than the main one has forked.
 *
 * In such a child the forking thread is the first thread of the process, but it is not in main: when it and
 * all others have returned, the C library sees its last thread go and calls exit(0). It never does where the
 * core is loaded, whose threads do not end. So here the first thread, when it has returned, waits until all
 * but those are gone, and calls exit(0) itself. */
#include "extension.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Nanoseconds between two looks. */
#define PAUSE 2000000

/* Threads take over the name of the one that starts them, and Go's are started by Go's, but for the first
 * ones: by the thread that loads the core. */
#define NAME_OF_GOS_THREADS "golock"

static pthread_key_t first_thread;
static bool has_key;
static bool not_in_main;        /* the first thread of this process is not in main */
static bool forker_not_in_main; /* that of the child which is being forked will not be */

void
golock_name_threads(char before[GOLOCK_THREAD_NAME])
{
    prctl(PR_GET_NAME, before);
    prctl(PR_SET_NAME, NAME_OF_GOS_THREADS);
}

void
golock_restore_name(const char before[GOLOCK_THREAD_NAME])
{
    prctl(PR_SET_NAME, before);
}

static bool
is_gos(const char *thread)
{
    char path[64], name[GOLOCK_THREAD_NAME] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", thread);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool read = fgets(name, sizeof(name), file) != NULL;
    fclose(file);
    name[strcspn(name, "\n")] = '\0';
    return read && strcmp(name, NAME_OF_GOS_THREADS) == 0;
}

/* Whether a thread is left that is neither Go's nor the calling one. */
static bool
others_left(void)
{
    DIR *threads = opendir("/proc/self/task");
    long self = syscall(SYS_gettid);
    bool found = false;
    struct dirent *entry;
    while (threads != NULL && !found && (entry = readdir(threads)) != NULL) {
        found = entry->d_name[0] != '.' && atol(entry->d_name) != self && !is_gos(entry->d_name);
    }
    if (threads != NULL) {
        closedir(threads);
    }
    return found;
}

static void
first_thread_ends(void *Py_UNUSED(value))
{
    const struct timespec pause = {.tv_nsec = PAUSE};
    while (others_left()) { /* one of them may load the core yet */
        nanosleep(&pause, NULL);
    }
    if (golock_core_loaded() != NULL) {
        exit(0);
    }
}

void
golock_last_thread_before_fork(void)
{
    forker_not_in_main = not_in_main || syscall(SYS_gettid) != getpid();
    has_key = has_key || (forker_not_in_main && pthread_key_create(&first_thread, first_thread_ends) == 0);
}

void
golock_last_thread_in_child(void)
{
    not_in_main = forker_not_in_main;
    if (not_in_main && has_key) {
        pthread_setspecific(first_thread, &first_thread); /* anything but NULL */
    }
}
