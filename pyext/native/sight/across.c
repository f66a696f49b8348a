#include "sight/across.h"

#include "sight/image_writer.h"
#include "sight/intern.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static golock_across *locks;
static bool records_owners;

void
golock_across_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
golock_across_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

bool
golock_across_records_owners(void)
{
    return records_owners;
}

void
golock_across_add(golock_across *lock)
{
    golock_across_lock();
    lock->previous = NULL;
    lock->next = locks;
    if (locks != NULL) {
        locks->previous = lock;
    }
    locks = lock;
    golock_across_unlock();
}

void
golock_across_remove(golock_across *lock)
{
    golock_across_lock();
    *(lock->previous == NULL ? &locks : &lock->previous->next) = lock->next;
    if (lock->next != NULL) {
        lock->next->previous = lock->previous;
    }
    golock_across_unlock();
    golock_object_gone(&lock->record);
}

static uint32_t
intern(const char *text)
{
    return text == NULL ? 0 : golock_intern_string(text, strlen(text));
}

golock_object_record *
golock_across_know(golock_across *lock)
{
    golock_object_record *record = __atomic_load_n(&lock->record, __ATOMIC_ACQUIRE);
    if (record == NULL) {
        const golock_object_traits traits = {.kind = lock->kind, .name = intern(lock->name)};
        record = golock_object_know(&lock->record, lock, &traits);
    }
    return record;
}

void
golock_across_rename(golock_across *lock, golock_object_record *record, uint32_t name)
{
    golock_object_set_name(record, name != 0 ? name : intern(lock->name));
}

void
golock_across_made(golock_across *lock)
{
    golock_object_record *record = golock_across_known(lock);
    if (record != NULL && __atomic_load_n(&record->created, __ATOMIC_RELAXED) == 0) {
        golock_object_record_site_outside(record);
    }
}

void
golock_across_record_owners(bool records)
{
    golock_across_lock();
    records_owners = records;
    for (golock_across *lock = locks; lock != NULL; lock = lock->next) {
        if (lock->record_owners != NULL) {
            lock->record_owners(lock, records);
        }
    }
    golock_across_unlock();
}

void
golock_across_know_all(void)
{
    golock_across_lock();
    for (golock_across *lock = locks; lock != NULL; lock = lock->next) {
        (void)golock_across_known(lock);
    }
    golock_across_unlock();
}

void
golock_across_image(struct golock_image_writer *writer)
{
    uint64_t room = 0;
    golock_across_lock();
    for (const golock_across *lock = locks; lock != NULL; lock = lock->next) {
        room += __atomic_load_n(&lock->record, __ATOMIC_ACQUIRE) != NULL;
    }
    struct golock_image_across *entry =
        golock_image_begin(writer, GOLOCK_IMAGE_ACROSS, sizeof(*entry), room);
    uint64_t count = 0;
    for (const golock_across *lock = locks; entry != NULL && lock != NULL; lock = lock->next) {
        /* Others may get a record meanwhile. */
        if (__atomic_load_n(&lock->record, __ATOMIC_ACQUIRE) != NULL && count < room) {
            entry[count].object = (uint64_t)(uintptr_t)lock;
            entry[count].name = intern(lock->name);
            lock->view(lock, &entry[count]);
            count++;
        }
    }
    if (entry != NULL) {
        golock_image_end(writer, count);
    }
    golock_across_unlock();
}

void
golock_across_before_fork(void)
{
    golock_across_lock();
}

void
golock_across_after_fork_in_parent(void)
{
    golock_across_unlock();
}

void
golock_across_after_fork_in_child(void)
{
    for (golock_across *lock = locks; lock != NULL; lock = lock->next) {
        lock->hold = 0;
    }
    golock_across_unlock();
}
