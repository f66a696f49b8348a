/* The permits of semaphores that threads have taken and, as far as is known, not given back, while
 * owners are recorded. No function needs the GIL. */
#ifndef GOLOCK_PERMITS_H
#define GOLOCK_PERMITS_H

#include "sight/image.h"
#include "sight/objects.h"

#include <stddef.h>
#include <stdint.h>

/* Records that a thread has taken a permit. */
void golock_permit_taken(golock_object_record *semaphore, uint64_t thread, uint32_t stack);

/* Whether that thread has permits, and whether any task has. */
bool golock_permits_has(golock_object_record *semaphore, uint64_t thread);
bool golock_permits_of_tasks(const golock_object_record *semaphore);

/* Records that a thread gives n permits back: its own, and for want of them the oldest ones.
 * Returns false if it did not have n. */
bool golock_permits_given(golock_object_record *semaphore, uint64_t thread, uint32_t n);

/* Forgets the permits of the semaphore. */
void golock_permits_forget(golock_object_record *semaphore);

/* Calls the function with the key of each thread that has permits, with the lock of the tables
 * held. Returns how many there are. */
size_t golock_permits_of(const golock_object_record *semaphore,
                         void (*each)(uint64_t thread, void *argument), void *argument);

struct golock_image_writer;
void golock_permits_image(struct golock_image_writer *writer);

/* Call this in a child process: the threads that do not survive are GOLOCK_LOST. */
void golock_permits_after_fork(bool (*survives)(uint64_t thread));

#endif
