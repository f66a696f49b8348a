#include "sight/report.h"

#include "base/clock.h"
#include "base/futex.h"
#include "sight/image_writer.h"
#include "sight/intern.h"
#include "sight/order.h"
#include "sight/tasks.h"
#include "sight/threads.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A text that grows. */
typedef struct {
    char *bytes;
    size_t length, room;
    bool failed; /* there is no memory */
} text;

static void
append_bytes(text *t, const char *bytes, size_t length)
{
    if (t->room - t->length <= length) {
        size_t room = 2 * t->room + length + 256;
        char *grown = t->failed ? NULL : realloc(t->bytes, room);
        if (grown == NULL) {
            t->failed = true;
            return;
        }
        t->bytes = grown;
        t->room = room;
    }
    memcpy(t->bytes + t->length, bytes, length);
    t->length += length;
    t->bytes[t->length] = '\0';
}

/* Appends up to 127 bytes. */
__attribute__((format(printf, 2, 3))) static void
append(text *t, const char *format, ...)
{
    char bytes[128];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(bytes, sizeof(bytes), format, arguments);
    va_end(arguments);
    append_bytes(t, bytes, length < (int)sizeof(bytes) ? (size_t)length : sizeof(bytes) - 1);
}

/* Control characters, which could move a terminal's cursor, become question marks. Returns false
 * for a string that is empty or unknown. */
static bool
append_string(text *t, uint32_t string)
{
    size_t length = 0;
    const char *bytes = string == 0 ? NULL : golock_interned_string(string, &length);
    if (length > 0) {
        size_t i = t->length;
        append_bytes(t, bytes, length);
        for (; i < t->length; i++) {
            const unsigned char byte = (unsigned char)t->bytes[i];
            t->bytes[i] = byte < ' ' || byte == 0x7f ? '?' : (char)byte;
        }
    }
    return length > 0;
}

static void
append_thread(text *t, uint64_t key)
{
    golock_thread_record thread;
    struct golock_image_thread task;
    if (key & GOLOCK_TASK) {
        if (!golock_task_find(key, &task) || !append_string(t, task.name)) {
            append(t, "task %llu", (unsigned long long)(key & ~GOLOCK_TASK));
        } else if (task.number != 0) {
            append(t, "%u", task.number - 1);
        }
    } else if (key & GOLOCK_GOROUTINE) {
        append(t, "goroutine %llu", (unsigned long long)(key & ~GOLOCK_GOROUTINE));
    } else if (key & GOLOCK_OUTSIDE) {
        append(t, "outside Python");
    } else if (key & GOLOCK_LOST) {
        append(t, "a thread that did not survive a fork");
    } else if (!golock_thread_find(key, &thread)) {
        append(t, "thread %llu", (unsigned long long)key);
    } else if (!append_string(t, thread.name)) {
        append(t, "thread %#lx", thread.identifier);
    }
}

static size_t
start_of_name(const char *path, size_t length)
{
    size_t start = length;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    return start;
}

/* As _model.short_path. */
static void
append_short_path(text *t, uint32_t file)
{
    static const char package[] = "__init__.py";
    size_t length = 0;
    const char *path = golock_interned_string(file, &length);
    size_t start = start_of_name(path, length);
    if (start > 0 && length - start == strlen(package) &&
        memcmp(path + start, package, strlen(package)) == 0) {
        start = start_of_name(path, start - 1);
    }
    append_bytes(t, path + start, length - start);
}

static void
append_object(text *t, const golock_object_record *object)
{
    static const char *const kinds[] = {
        "object",    "Lock",    "RLock",        "Semaphore", "BoundedSemaphore", "Event",
        "Condition", "Barrier", "process.Lock", "etcd.Lock", "process.Event"};
    if (append_string(t, object->name)) {
        return;
    }
    const char *kind = kinds[object->kind < sizeof(kinds) / sizeof(kinds[0]) ? object->kind : 0];
    if (object->kind == GOLOCK_KIND_PROCESS_LOCK || object->kind == GOLOCK_KIND_PROCESS_EVENT) {
        append(t, "anonymous ");
    }
    if (object->created == 0) {
        append(t, "%s at %#llx", kind, (unsigned long long)(uintptr_t)object->address);
        return;
    }
    const struct golock_image_frame made =
        golock_interned_frame(golock_interned_stack(object->created).frame);
    append(t, "%s ", kind);
    append_short_path(t, made.file);
    append(t, ":%d (", (int)made.line);
    append_string(t, made.function);
    append(t, ")");
}

static void
append_ordered(text *t, const golock_ordered_lock *lock, const golock_ordered_lock *other)
{
    const golock_object_record object = {
        .address = lock->address,
        .name = lock->name,
        .created = lock->place,
        .kind = (uint8_t)lock->kind,
    };
    append_object(t, &object);
    if (lock->place != 0 && lock->place == other->place && lock->name == other->name) {
        append(t, " at %#llx", (unsigned long long)(uintptr_t)lock->address);
    }
}

/* The outermost call first. */
static void
append_stack(text *t, uint32_t stack)
{
    uint32_t frames[GOLOCK_MOST_FRAMES], length = 0;
    while (stack != 0 && length < GOLOCK_MOST_FRAMES) {
        const struct golock_image_stack each = golock_interned_stack(stack);
        frames[length++] = each.frame;
        stack = each.caller;
    }
    while (length > 0) {
        const struct golock_image_frame frame = golock_interned_frame(frames[--length]);
        append(t, "  File \"");
        append_string(t, frame.file);
        append(t, "\", line %d, in ", (int)frame.line);
        append_string(t, frame.function);
        append(t, "\n");
    }
}

static const char *
members_of(const golock_cycle *cycle)
{
    uint32_t tasks = 0;
    for (uint32_t i = 0; i < cycle->length; i++) {
        tasks += (cycle->members[i].wait.thread & GOLOCK_TASK) != 0;
    }
    return tasks == 0 ? "threads" : tasks == cycle->length ? "tasks" : "threads and tasks";
}

/* What str() makes of a Deadlock of golock.sight, without the lines of the source. */
static text
text_of(const golock_cycle *cycle, const char *prefix)
{
    text t = {0};
    const int64_t now = golock_now();
    append(&t, "%s%s of ", prefix,
           cycle->flags & GOLOCK_CYCLE_CERTAIN ? "Deadlock" : "Possible deadlock");
    if (cycle->length == 1) {
        const bool has_gil = cycle->members[0].wait.flags & GOLOCK_WAIT_HAS_GIL;
        const bool is_task = cycle->members[0].wait.thread & GOLOCK_TASK;
        append(&t, "a %s with %s:\n", is_task ? "task" : "thread", has_gil ? "the GIL" : "itself");
    } else {
        append(&t, "%u %s:\n", cycle->length, members_of(cycle));
    }
    for (uint32_t i = 0; i < cycle->length; i++) {
        const golock_cycle_member *member = &cycle->members[i];
        append_thread(&t, member->wait.thread);
        append(&t, " has waited %.1f s%s for ", (double)(now - member->wait.since) / NS_PER_SECOND,
               member->wait.deadline == GOLOCK_FOREVER ? "" : " with a time-out");
        append_object(&t, &member->object);
        append(&t, ", which ");
        append_thread(&t, member->holder);
        append(&t, " holds%s:\n",
               member->wait.flags & GOLOCK_WAIT_HAS_GIL ? ", and keeps the GIL" : "");
        append_stack(&t, member->wait.stack);
        if (member->object.stack != 0) {
            append(&t, "  ");
            append_thread(&t, member->holder);
            append(&t, " took it at:\n");
            append_stack(&t, member->object.stack);
        }
    }
    if (cycle->flags & GOLOCK_CYCLE_MAIN_THREAD) {
        append(&t, "A signal handler that raises may end the wait of the main thread.\n");
    }
    return t;
}

char *
golock_report_text(const golock_cycle *cycle)
{
    text t = text_of(cycle, "");
    if (t.failed) {
        free(t.bytes);
        return NULL;
    }
    t.bytes[t.length - 1] = '\0'; /* for the last end of line */
    return t.bytes;
}

/* What str() makes of an OrderCycle, without the lines of the source. */
static text
text_of_order(const golock_order_circle *circle, const char *prefix)
{
    text t = {0};
    append(&t, "%sPossible deadlock: %u locks are taken in contradictory orders:\n", prefix,
           circle->length);
    for (uint32_t i = 0; i < circle->length; i++) {
        const golock_order_edge *edge = &circle->edges[i];
        const golock_order_edge *before = &circle->edges[(i == 0 ? circle->length : i) - 1];
        if (!append_string(&t, edge->thread_name)) {
            append_thread(&t, edge->thread);
        }
        append(&t, " took %s", edge->from.address == before->to.address ? "" : "another ");
        append_ordered(&t, &edge->from, &edge->to);
        append(&t, ":\n");
        append_stack(&t, edge->from.stack);
        append(&t, "and then ");
        append_ordered(&t, &edge->to, &edge->from);
        append(&t, ":\n");
        append_stack(&t, edge->to.stack);
    }
    return t;
}

/* What could not be written yet. */
#define MOST_UNWRITTEN ((size_t)1 << 20)

static text unwritten;
static size_t written;
static bool unwritten_locked; /* guards both */
static bool writing;          /* one thread at a time, which may have to wait */

static void
lock_unwritten(void)
{
    while (__atomic_exchange_n(&unwritten_locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void
unlock_unwritten(void)
{
    __atomic_store_n(&unwritten_locked, false, __ATOMIC_RELEASE);
}

/* Takes over the text. */
static bool
write_text(text t)
{
    lock_unwritten();
    if (!t.failed && unwritten.length - written < MOST_UNWRITTEN) {
        append_bytes(&unwritten, t.bytes, t.length);
    }
    unlock_unwritten();
    free(t.bytes);
    return golock_report_flush();
}

void
golock_report_write(const golock_cycle *cycle)
{
    write_text(text_of(cycle, "golock.sight: "));
}

/* Copies what comes next, after the former copy was written; with `done`, forgets all. */
static size_t
next_piece(char piece[PIPE_BUF], size_t was_written, bool done)
{
    lock_unwritten();
    written += was_written;
    size_t length = done ? 0 : unwritten.length - written;
    length = length < PIPE_BUF ? length : PIPE_BUF;
    if (length > 0) {
        memcpy(piece, unwritten.bytes + written, length);
    } else {
        free(unwritten.bytes);
        unwritten = (text){0};
        written = 0;
    }
    unlock_unwritten();
    return length;
}

bool
golock_report_flush(void)
{
    char piece[PIPE_BUF];
    if (__atomic_exchange_n(&writing, true, __ATOMIC_ACQUIRE)) {
        return true;
    }
    bool left = false;
    size_t length = next_piece(piece, 0, false);
    while (length > 0 && !left) {
        /* A pipe that is writable for poll has room for so many bytes. */
        struct pollfd descriptor = {.fd = STDERR_FILENO, .events = POLLOUT};
        left = poll(&descriptor, 1, 0) <= 0; /* also if a signal came */
        if (!left) {
            ssize_t count = write(STDERR_FILENO, piece, length);
            const bool done = count <= 0; /* nobody reads it */
            length = next_piece(piece, done ? 0 : (size_t)count, done);
        }
    }
    __atomic_store_n(&writing, false, __ATOMIC_RELEASE);
    return left;
}

/* The queue: images of one deadlock or circle each, the oldest first. */
#define MOST_QUEUED 64

static struct {
    bool locked;
    uint32_t first, length;
    struct queued {
        void *image;
        uint64_t size;
    } items[MOST_QUEUED];
    uint32_t ticket; /* of the thread that may take them */
    uint32_t events; /* a futex: changes with every report, start and stop */
} queue;

static void
lock_queue(void)
{
    while (__atomic_exchange_n(&queue.locked, true, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void
unlock_queue(void)
{
    __atomic_store_n(&queue.locked, false, __ATOMIC_RELEASE);
}

static void
announce(void)
{
    __atomic_add_fetch(&queue.events, 1, __ATOMIC_RELEASE);
    golock_futex_wake(&queue.events, INT_MAX, GOLOCK_ANY_CHANNEL);
}

static void
forget_queued(void)
{
    while (queue.length > 0) {
        free(queue.items[queue.first].image);
        queue.first = (queue.first + 1) % MOST_QUEUED;
        queue.length--;
    }
}

static struct golock_image_object
object_entry(const golock_cycle_member *member)
{
    const golock_object_record *object = &member->object;
    return (struct golock_image_object){
        .address = member->wait.address,
        .owner = member->holder,
        .since = object->since,
        .stack = object->stack,
        .created = object->created,
        .name = object->name,
        .kind = object->kind,
        .flags = object->flags | GOLOCK_OBJECT_HELD,
    };
}

/* Writes the members, each of which is the holder of another, and holders that only need the GIL.
 */
static void
threads_of(struct golock_image_writer *writer, const golock_cycle *cycle)
{
    struct golock_image_thread *threads =
        golock_image_begin(writer, GOLOCK_IMAGE_THREADS, sizeof(*threads), 2 * cycle->length);
    if (threads == NULL) {
        return;
    }
    uint64_t count = 0;
    for (uint32_t i = 0; i < cycle->length; i++) {
        const golock_cycle_member *member = &cycle->members[i];
        const uint64_t next = cycle->members[(i + 1) % cycle->length].wait.thread;
        const uint64_t keys[] = {member->wait.thread, member->holder == next ? 0 : member->holder};
        for (int j = 0; j < 2; j++) {
            golock_thread_record thread;
            if (keys[j] & GOLOCK_TASK) {
                count += golock_task_find(keys[j], &threads[count]);
            } else if (keys[j] != 0 && golock_thread_find(keys[j], &thread)) {
                threads[count++] = (struct golock_image_thread){
                    .key = thread.key,
                    .identifier = thread.identifier,
                    .native = thread.native,
                    .name = thread.name,
                    .flags = thread.flags,
                };
            }
        }
    }
    golock_image_end(writer, count);
}

/* The image has only the threads, the waits and the objects of the cycle. */
static bool
image_of(const golock_cycle *cycle, struct queued *made)
{
    struct golock_image_writer writer;
    if (!golock_image_start(&writer, 0)) {
        return false;
    }
    threads_of(&writer, cycle);
    struct golock_image_object *objects =
        golock_image_begin(&writer, GOLOCK_IMAGE_OBJECTS, sizeof(*objects), cycle->length);
    if (objects != NULL) {
        for (uint32_t i = 0; i < cycle->length; i++) {
            objects[i] = object_entry(&cycle->members[i]);
        }
        golock_image_end(&writer, cycle->length);
    }
    struct golock_image_wait *waits =
        golock_image_begin(&writer, GOLOCK_IMAGE_WAITS, sizeof(*waits), cycle->length);
    if (waits != NULL) {
        for (uint32_t i = 0; i < cycle->length; i++) {
            waits[i] = golock_wait_image(&cycle->members[i].wait);
        }
        golock_image_end(&writer, cycle->length);
    }
    uint32_t *numbers =
        golock_image_begin(&writer, GOLOCK_IMAGE_CYCLES, sizeof(uint32_t), cycle->length + 2);
    if (numbers != NULL) {
        numbers[0] = cycle->length;
        numbers[1] = cycle->flags;
        for (uint32_t i = 0; i < cycle->length; i++) {
            numbers[i + 2] = i;
        }
        golock_image_end(&writer, cycle->length + 2);
    }
    return golock_image_finish(&writer, &made->image, &made->size) == 0;
}

static void
enqueue(struct queued made)
{
    lock_queue();
    const bool room = queue.length < MOST_QUEUED;
    if (room) {
        queue.items[(queue.first + queue.length++) % MOST_QUEUED] = made;
    }
    unlock_queue();
    if (room) {
        announce();
    } else {
        free(made.image);
    }
}

void
golock_report_queue(const golock_cycle *cycle)
{
    struct queued made;
    if (image_of(cycle, &made)) {
        enqueue(made);
    }
}

static void
queue_order(uint32_t circle)
{
    struct golock_image_writer writer;
    struct queued made;
    if (!golock_image_start(&writer, 0)) {
        return;
    }
    golock_threads_image(&writer);
    golock_order_section(&writer, circle, 1);
    if (golock_image_finish(&writer, &made.image, &made.size) == 0) {
        enqueue(made);
    }
}

void
golock_report_order(uint32_t index)
{
    const enum golock_on_deadlock what = golock_cycles_on_deadlock();
    golock_order_circle circle;
    if (what == GOLOCK_DEADLOCK_QUEUE) {
        queue_order(index);
    } else if (what != GOLOCK_DEADLOCK_IGNORE && golock_order_circle_at(index, &circle) &&
               write_text(text_of_order(&circle, "golock.sight: "))) {
        golock_plan_look(); /* which writes the rest */
    }
}

/* Takes the first item. Returns false if there is none. */
static bool
take(struct queued *item)
{
    lock_queue();
    const bool any = queue.length > 0;
    if (any) {
        *item = queue.items[queue.first];
        queue.first = (queue.first + 1) % MOST_QUEUED;
        queue.length--;
    }
    unlock_queue();
    return any;
}

PyObject *
golock_report_next(uint32_t ticket)
{
    struct queued item;
    for (;;) {
        uint32_t events = __atomic_load_n(&queue.events, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&queue.ticket, __ATOMIC_RELAXED) != ticket) {
            Py_RETURN_NONE;
        }
        if (take(&item)) {
            PyObject *bytes = PyBytes_FromStringAndSize(item.image, (Py_ssize_t)item.size);
            free(item.image);
            return bytes;
        }
        Py_BEGIN_ALLOW_THREADS golock_futex_wait(&queue.events, events, GOLOCK_NO_LIMIT,
                                                 GOLOCK_ANY_CHANNEL);
        Py_END_ALLOW_THREADS
    }
}

uint32_t
golock_report_queue_start(void)
{
    lock_queue();
    uint32_t ticket = __atomic_add_fetch(&queue.ticket, 1, __ATOMIC_RELAXED);
    forget_queued();
    unlock_queue();
    announce();
    return ticket;
}

void
golock_report_after_fork(void)
{
    queue.locked = false;
    queue.ticket++;
    queue.first = queue.length = 0;
    unwritten = (text){0};
    written = 0;
    unwritten_locked = writing = false;
}
