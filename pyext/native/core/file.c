#include "core/file.h"

#include "golock.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define THIS_MACHINE EM_AARCH64
#else
#error "golock's extension is for Linux on amd64 and arm64"
#endif

struct image {
    const unsigned char *bytes;
    uint64_t size;
};

/* Returns the part of the file, or NULL if the file ends before it. */
static const void *
part(const struct image *file, uint64_t offset, uint64_t size)
{
    return offset <= file->size && size <= file->size - offset ? file->bytes + offset : NULL;
}

/* Returns the table of the dynamic symbols' names, or NULL. Its address is in the dynamic section;
 * the loadable segments map it to the file. */
static const char *
dynamic_names(const struct image *file, const Elf64_Ehdr *header, const Elf64_Phdr *segments,
              uint64_t *size)
{
    uint64_t address = 0;
    *size = 0;
    for (int i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_DYNAMIC) {
            continue;
        }
        const Elf64_Dyn *entry = part(file, segments[i].p_offset, segments[i].p_filesz);
        for (uint64_t n = segments[i].p_filesz / sizeof(*entry); n > 0 && entry->d_tag != DT_NULL;
             n--, entry++) {
            if (entry->d_tag == DT_STRTAB) {
                address = entry->d_un.d_ptr;
            }
            if (entry->d_tag == DT_STRSZ) {
                *size = entry->d_un.d_val;
            }
        }
    }
    for (int i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
            address - segment->p_vaddr < segment->p_filesz) {
            return part(file, segment->p_offset + (address - segment->p_vaddr), *size);
        }
    }
    return NULL;
}

/* Returns NULL for a complete core, otherwise what is wrong. */
static const char *
fault_of_image(const struct image *file)
{
    const Elf64_Ehdr *header = part(file, 0, sizeof(*header));
    if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return "it is not a shared library";
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != THIS_MACHINE ||
        header->e_type != ET_DYN) {
        return "it is not a shared library for this machine";
    }
    const Elf64_Phdr *segments =
        part(file, header->e_phoff, (uint64_t)header->e_phnum * sizeof(*segments));
    if (segments == NULL || header->e_phentsize != sizeof(*segments) ||
        part(file, header->e_shoff, (uint64_t)header->e_shnum * header->e_shentsize) == NULL) {
        return "it is truncated";
    }
    for (int i = 0; i < header->e_phnum; i++) {
        if (part(file, segments[i].p_offset, segments[i].p_filesz) == NULL) {
            return "it is truncated";
        }
    }
    uint64_t size;
    const char *names = dynamic_names(file, header, segments, &size);
    if (names == NULL ||
        memmem(names, size, "\0" GOLOCK_CORE_SYMBOL, sizeof("\0" GOLOCK_CORE_SYMBOL)) == NULL) {
        return "it is not golock's core, or has another version (no symbol " GOLOCK_CORE_SYMBOL ")";
    }
    return NULL;
}

bool
golock_corefile_check(const char *path, char *reason, size_t size)
{
    const char *fault = NULL;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0) {
        fault = strerror(errno);
    } else if (!S_ISREG(status.st_mode)) {
        fault = "it is not a file";
    } else if (status.st_size == 0) {
        fault = "it is empty";
    } else {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED) {
            fault = strerror(errno);
        } else {
            fault = fault_of_image(&(struct image){bytes, (uint64_t)status.st_size});
            munmap(bytes, (size_t)status.st_size);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    if (fault != NULL) {
        snprintf(reason, size, "%s: %s", path, fault);
    }
    return fault == NULL;
}

static bool
copy(const char *path, int to)
{
    struct stat status;
    int from = open(path, O_RDONLY | O_CLOEXEC);
    struct rlimit limit;
    bool copied = from >= 0 && fstat(from, &status) == 0;
    if (copied && getrlimit(RLIMIT_FSIZE, &limit) == 0 && (rlim_t)status.st_size > limit.rlim_cur) {
        errno = EFBIG; /* otherwise SIGXFSZ would report it */
        copied = false;
    }
    off_t left = copied ? status.st_size : 0;
    while (copied && left > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)left);
        if (n == 0) {
            errno = EIO; /* the file was truncated meanwhile */
        }
        copied = n > 0 || (n < 0 && errno == EINTR);
        left -= n > 0 ? n : 0;
    }
    if (from >= 0) {
        int error = errno;
        close(from);
        errno = error;
    }
    return copied;
}

/* Copies the file into fd, an empty file, opens the copy under the given name, and closes fd.
 * Returns dlopen's handle, or NULL with the reason in words. */
static void *
open_copied(const char *path, int fd, const char *name, int *opened, char *reason, size_t size)
{
    void *handle = NULL;
    if (!copy(path, fd)) {
        snprintf(reason, size, "copying %s: %s", path, strerror(errno));
    } else {
        ++*opened;
        handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) {
            snprintf(reason, size, "%s", dlerror());
        }
    }
    close(fd);
    return handle;
}

/* The dynamic linker also compares names, and an earlier copy may have had the same descriptor. One
 * more slash for each copy makes another name for the same file. */
static bool
name_of(int fd, int number, char *name, size_t size)
{
    static const char slashes[] = "////////////////////////////////";
    size_t length = (size_t)snprintf(name, size, "/proc/self");
    for (; number > 0 && length < size; number -= (int)sizeof(slashes) - 1) {
        int n = number < (int)sizeof(slashes) - 1 ? number : (int)sizeof(slashes) - 1;
        length += (size_t)snprintf(name + length, size - length, "%.*s", n, slashes);
    }
    return length < size &&
           (size_t)snprintf(name + length, size - length, "/fd/%d", fd) < size - length;
}

void *
golock_corefile_open_copy(const char *path, int *opened, char *reason, size_t size)
{
    char name[4096];
    snprintf(reason, size, "no private copy of %s can be made: there is no place for it", path);
    int fd = (int)syscall(SYS_memfd_create, "libgolock.so", MFD_CLOEXEC);
    if (fd < 0) {
        snprintf(reason, size, "memfd_create: %s", strerror(errno));
    } else if (!name_of(fd, *opened, name, sizeof(name))) {
        snprintf(reason, size, "no name for a private copy was free");
        close(fd);
    } else {
        void *handle = open_copied(path, fd, name, opened, reason, size);
        if (handle != NULL) {
            return handle;
        }
    }
    const char *folders[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (folders[i] == NULL || (size_t)snprintf(name, sizeof(name), "%s/libgolock-XXXXXX",
                                                   folders[i]) >= sizeof(name)) {
            continue;
        }
        fd = mkostemp(name, O_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        void *handle = open_copied(path, fd, name, opened, reason, size);
        unlink(name);
        if (handle != NULL) {
            return handle;
        }
    }
    return NULL;
}
