/* Starts and ends Python repeatedly in one process: `finalize PYTHON ROUNDS SCRIPT` runs the file
 * SCRIPT each time, as PYTHON would, with the number of the round as its argument. */
#include <Python.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

static void
check(PyStatus status)
{
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
}

static void
initialize(const char *python, const char *script, int round)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", round);
    char *arguments[] = {(char *)script, number};
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    check(PyConfig_SetBytesString(&config, &config.program_name, python));
    check(PyConfig_SetBytesArgv(&config, 2, arguments));
    check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
}

static bool
read_line(const char *folder, const char *task, const char *name, char *line, int size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s/%s", folder, task, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    bool found = fgets(line, size, file) != NULL;
    fclose(file);
    return found;
}

/* Counts the threads named "brief" that are still running. The others have ended or, from 3.14 on
 * and without a GIL, sleep for ever in the interpreter. */
static int
under_way(void)
{
    static const char folder[] = "/proc/self/task";
    int count = 0;
    DIR *tasks = opendir(folder);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char line[256];
        if (read_line(folder, task->d_name, "comm", line, sizeof(line)) &&
            strcmp(line, "brief\n") == 0 &&
            read_line(folder, task->d_name, "syscall", line, sizeof(line))) {
            /* "running", or the number of a system call and its arguments */
            long number;
            unsigned long timeout = 0;
            int found = sscanf(line, "%ld %*s %*s %*s %lx", &number, &timeout);
            count += found == 0 || (number == SYS_futex && timeout != 0);
        }
    }
    closedir(tasks);
    return count;
}

/* A daemon thread that wakes after Python has been restarted uses a freed thread state. That is a
 * property of the interpreter, whatever the thread slept on. */
static void
settle(void)
{
    for (int i = 0, quiet = 0; quiet < 3; i++) {
        quiet = under_way() > 0 ? 0 : quiet + 1;
        if (i == 20000) {
            fprintf(stderr, "threads that wait with a time-out do not come to an end\n");
            exit(1);
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    int rounds = atoi(argv[2]);
    for (int round = 0; round < rounds; round++) {
        initialize(argv[1], argv[3], round);
        FILE *script = fopen(argv[3], "r");
        if (script == NULL || PyRun_SimpleFileEx(script, argv[3], 1) != 0 || Py_FinalizeEx() != 0) {
            fprintf(stderr, "round %d failed\n", round);
            return 1;
        }
        settle();
    }
    printf("%d\n", rounds);
    return 0;
}
