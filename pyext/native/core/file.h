/* The file libgolock.so. */
#ifndef GOLOCK_FILE_H
#define GOLOCK_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Checks that the file is a complete core for this machine and this version of the contract.
 * Returns true, or false with the reason in words. */
bool golock_corefile_check(const char *path, char *reason, size_t size);

/* Opens a private copy of the file. *opened counts the copies that the dynamic linker was given in
 * this process and its ancestors, and is incremented. Returns dlopen's handle, or NULL with the
 * reason in words. */
void *golock_corefile_open_copy(const char *path, int *opened, char *reason, size_t size);

#endif
