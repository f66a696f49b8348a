#include "process/page.h"

#include "base/process.h"
#include "process/cell.h"
#include "process/sentinel.h"
#include "process/slot.h"
#include "process/view.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static golock_page *pages;
static bool forked_by_main = true, may_start_thread = true;

void
golock_pages_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
golock_pages_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

bool
golock_pages_may_start_thread(void)
{
    return may_start_thread;
}

size_t
golock_page_distance(void)
{
    size_t unit = (size_t)sysconf(_SC_PAGESIZE);
    return (GOLOCK_PAGE_SIZE + unit - 1) / unit * unit;
}

/* A descriptor of a page's file beside the page's own. */
struct spare {
    int fd;
    struct spare *next;
};

static bool
is_of(const golock_page *page, int fd)
{
    struct stat file;
    return fstat(fd, &file) == 0 && file.st_dev == page->device && file.st_ino == page->inode;
}

bool
golock_page_has_file(const golock_page *page)
{
    return is_of(page, page->fd);
}

static golock_page *
find(dev_t device, ino_t inode)
{
    for (golock_page *page = pages; page != NULL; page = page->next) {
        if (page->device == device && page->inode == inode) {
            page->references++;
            return page;
        }
    }
    return NULL;
}

static void
close_if_of(const golock_page *page, int fd)
{
    if (is_of(page, fd)) {
        close(fd);
    }
}

static void
keep(golock_page *page, int fd)
{
    struct spare *spare = malloc(sizeof(*spare));
    if (spare != NULL) { /* or it stays open */
        *spare = (struct spare){.fd = fd, .next = page->spare};
        page->spare = spare;
    }
}

static void
unmap(struct golock_page_memory *memory)
{
    const size_t distance = golock_page_distance();
    munmap((char *)memory - distance, 2 * distance);
}

/* Whether another process may release the lock that this process holds. */
static bool
is_held_for_others(const golock_page *page)
{
    return page->me != 0 && !page->own && golock_cell_held_by(page, page->me);
}

/* Ends the pages that no object has and no other process needs. */
static void
end_unused(void)
{
    for (golock_page **link = &pages, *page; (page = *link) != NULL;) {
        if (page->references != 0 || is_held_for_others(page)) {
            link = &page->next;
            continue;
        }
        *link = page->next;
        golock_slot_leave(page);
        golock_page_hide(page);
        close_if_of(page, page->fd);
        for (struct spare *spare = page->spare, *next; spare != NULL; spare = next) {
            next = spare->next;
            close_if_of(page, spare->fd);
            free(spare);
        }
        unmap(page->memory);
        free(page->path);
        free(page);
    }
}

golock_page *
golock_page_find(dev_t device, ino_t inode)
{
    golock_pages_lock();
    end_unused();
    golock_page *page = find(device, inode);
    golock_pages_unlock();
    return page;
}

static struct golock_page_memory *
map(int fd)
{
    const size_t distance = golock_page_distance();
    char *both = mmap(NULL, 2 * distance, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (both == MAP_FAILED) {
        return NULL;
    }
    void *memory = mmap(both + distance, GOLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED, fd, 0);
    if (memory == MAP_FAILED) {
        int error = errno;
        munmap(both, 2 * distance);
        errno = error;
        return NULL;
    }
    return memory;
}

static golock_page *
make(int fd, const struct stat *file, const char *path)
{
    golock_page *page = calloc(1, sizeof(*page));
    char *copy = strdup(path);
    struct golock_page_memory *memory = page != NULL && copy != NULL ? map(fd) : NULL;
    if (memory == NULL) {
        free(page);
        free(copy);
        return NULL;
    }
    *page = (golock_page){
        .memory = memory,
        .fd = fd,
        .device = file->st_dev,
        .inode = file->st_ino,
        .references = 1,
        .path = copy,
        .next = pages,
    };
    if (!golock_page_show(page)) {
        unmap(memory);
        free(page);
        free(copy);
        return NULL;
    }
    pages = page;
    return page;
}

golock_page *
golock_page_adopt(int fd, const char *path)
{
    struct stat file;
    golock_page *page = NULL;
    bool duplicate = false;
    golock_pages_lock();
    end_unused();
    if (fstat(fd, &file) == 0) {
        page = find(file.st_dev, file.st_ino);
        duplicate = page != NULL && page->fd != fd;
        page = page != NULL ? page : make(fd, &file, path);
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* a byte lock would survive an exec with it */
    }
    int error = errno;
    if (page == NULL) {
        close(fd);
    } else if (duplicate && golock_slot_survives_close(page)) {
        close(fd);
        golock_slot_lock_again(page);
    } else if (duplicate) {
        keep(page, fd);
    }
    golock_pages_unlock();
    errno = error;
    return page;
}

void
golock_page_drop(golock_page *page)
{
    golock_pages_lock();
    page->references--;
    end_unused();
    golock_pages_unlock();
}

void
golock_page_set_own(golock_page *page, bool own)
{
    golock_pages_lock();
    page->own = own;
    golock_pages_unlock();
}

void
golock_pages_before_fork(void)
{
    golock_pages_lock();
    for (golock_page *page = pages; page != NULL; page = page->next) {
        page->own = false;
    }
    forked_by_main = golock_runs_handlers();
}

void
golock_pages_after_fork_in_parent(void)
{
    golock_pages_unlock();
}

void
golock_pages_after_fork_in_child(void)
{
    may_start_thread = may_start_thread && forked_by_main;
    for (golock_page *page = pages; page != NULL; page = page->next) {
        page->me = 0;
        page->quick = 0;
        page->waiting = 0;
        page->sentinel = NULL;
    }
    golock_sentinels_after_fork();
    golock_pages_unlock();
}
