/* system.c: calls of the kernel, on their way to the disk. */
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hash.h"

#define FILES_MAX      1024
#define FULL_CALLS     40 /* that fail for want of space, at most */
#define TICKETS_NO_END UINT32_MAX

const char *const system_fault_names[SYSTEM_FAULT_COUNT] = { "none", "io", "full", "short", "memory" };

enum role { ROLE_UNKNOWN, ROLE_MAIN, ROLE_WRITER, ROLE_COPIER, ROLE_OTHER };
static _Thread_local enum role own_role;

enum watched {
    NOT_WATCHED,
    WATCHED_FILE,
    WATCHED_DIRECTORY,
    WATCHED_BESIDE /* lock, ballast, shared memory */
};
struct descriptor {
    enum watched       watched;
    enum disk_name     name;
    struct disk_inode *inode;
};
static struct machine {
    pthread_mutex_t      lock;
    pthread_cond_t       changed;
    char                 directory[64], path[96];
    unsigned             lives;
    bool                 watches; /* calls are noted, counted and may fail */
    struct disk          disk;
    struct disk_image    left;
    struct system_trace *trace;
    enum system_flushes  flushes;
    struct random        random;
    struct descriptor    descriptors[FILES_MAX];
    uint64_t             operations, cut_at, calls, fail_at;
    enum disk_survival   survival;
    enum system_fault    fault;
    unsigned             full_calls;
    bool                 cuts; /* at cut_at, the power; else the process dies there */
    bool                 off, failed, must_stop;
    char                 flushed_again[64], failed_call[24]; /* the last one */
    enum role            flush_failed[DISK_NAME_COUNT];
    /* threads */
    uint32_t tickets; /* calls that the copier may still make */
    bool     gated, writer_rests, copier_rests;
} machine = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void lock(void)
{
    pthread_mutex_lock(&machine.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&machine.lock);
}

static enum role role(void)
{
    char name[16];
    if (own_role == ROLE_UNKNOWN && pthread_getname_np(pthread_self(), name, sizeof(name)) == 0)
        own_role = strcmp(name, "store-writer") == 0 ? ROLE_WRITER
                   : strcmp(name, "store-copy") == 0 ? ROLE_COPIER
                                                     : ROLE_OTHER;
    return own_role;
}

/* --- Threads: whose turn it is --- */

static void set_rest(enum role of, bool rests)
{
    if (of == ROLE_WRITER)
        machine.writer_rests = rests;
    if (of == ROLE_COPIER)
        machine.copier_rests = rests;
    pthread_cond_broadcast(&machine.changed);
}

static void give_tickets(uint32_t count)
{
    machine.tickets = count;
    if (machine.gated && count != 0) {
        machine.gated = false;
        set_rest(ROLE_COPIER, false);
    }
}

/* Under the lock, before a call: the copier waits for tickets; the writer lets it go on for a few calls now and then. */
static void take_turn(void)
{
    if (!machine.watches)
        return;
    if (role() == ROLE_COPIER) {
        if (machine.tickets == 0) {
            machine.gated = true;
            set_rest(ROLE_COPIER, true);
            while (machine.tickets == 0)
                pthread_cond_wait(&machine.changed, &machine.lock);
        }
        if (machine.tickets != TICKETS_NO_END)
            machine.tickets--;
    } else if (role() == ROLE_WRITER && machine.gated && random_below(&machine.random, 3) == 0) {
        give_tickets(1 + (uint32_t)random_below(&machine.random, 8));
        while (!machine.copier_rests)
            pthread_cond_wait(&machine.changed, &machine.lock);
    }
}

/* Semaphores: SQLite has none, so each is the store's. One thread waits at each. */
struct semaphore {
    int       value;
    enum role waits; /* of a thread of the store */
};
static_assert(sizeof(struct semaphore) <= sizeof(sem_t), "it takes the place of the library's");

int sem_init(sem_t *semaphore, int shared UNUSED, unsigned value)
{
    *(struct semaphore *)(void *)semaphore = (struct semaphore){ .value = (int)value };
    return 0;
}

int sem_destroy(sem_t *semaphore UNUSED)
{
    return 0;
}

int sem_post(sem_t *semaphore)
{
    struct semaphore *self = (struct semaphore *)(void *)semaphore;
    lock();
    enum role woken = self->waits;
    self->value++;
    self->waits = ROLE_UNKNOWN;
    set_rest(woken, false);
    /* The copier goes as far as its first call before the writer does anything else. */
    while (woken == ROLE_COPIER && role() == ROLE_WRITER && machine.watches && !machine.copier_rests)
        pthread_cond_wait(&machine.changed, &machine.lock);
    unlock();
    return 0;
}

int sem_wait(sem_t *semaphore)
{
    struct semaphore *self = (struct semaphore *)(void *)semaphore;
    lock();
    if (self->value == 0) {
        self->waits = role();
        set_rest(self->waits, true);
    }
    while (self->value == 0)
        pthread_cond_wait(&machine.changed, &machine.lock);
    self->value--;
    unlock();
    return 0;
}

void system_answer(bool *answered)
{
    lock();
    *answered = true;
    pthread_cond_broadcast(&machine.changed);
    unlock();
}

void system_await(const bool *answered)
{
    lock();
    while (!*answered || !machine.writer_rests || !machine.copier_rests)
        pthread_cond_wait(&machine.changed, &machine.lock);
    unlock();
}

/* --- Operations --- */

void system_trace_release(struct system_trace *trace)
{
    for (size_t i = 0; i < trace->count; i++)
        free((void *)(uintptr_t)trace->operations[i].data);
    free(trace->operations);
    *trace = (struct system_trace){ .operations = NULL };
}

static void trace(const struct disk_operation *operation)
{
    struct system_trace *self = machine.trace;
    if (self == NULL)
        return;
    if (self->count == self->capacity) {
        self->capacity = self->capacity == 0 ? 1024 : self->capacity * 2;
        self->operations = xrealloc(self->operations, self->capacity * sizeof(*self->operations));
    }
    struct disk_operation *copy = &self->operations[self->count++];
    *copy = *operation;
    self->hash = hash_combine(self->hash, (uint64_t)operation->kind * 16 + (uint64_t)operation->name);
    self->hash = hash_combine(self->hash, (uint64_t)operation->offset);
    if (operation->kind == DISK_WRITE) {
        uint8_t *data = xmalloc(operation->size + 1);
        memcpy(data, operation->data, operation->size);
        copy->data = data;
        self->hash = hash_combine(self->hash, hash_bytes(bytes_of(data, operation->size)));
    }
}

/* A change of the disk, after it was done to the real file. */
static void apply(const struct disk_operation *operation)
{
    disk_apply(&machine.disk, operation);
    trace(operation);
}

/* Before a change: perhaps the power goes. What is asked from then on no longer matters. */
static bool is_on(void)
{
    if (!machine.watches || machine.off)
        return false;
    if (++machine.operations == machine.cut_at) {
        if (machine.cuts)
            disk_survive(&machine.disk, machine.survival, &machine.random, &machine.left);
        machine.off = true;
    }
    return !machine.off;
}

/* --- Faults --- */

/* Whether this call is to fail. `space`: it asks for space. */
static bool fails(const char *call, bool space)
{
    if (!machine.watches || machine.off)
        return false;
    bool wanted = machine.fault == SYSTEM_IO_ERROR || (space && machine.fault != SYSTEM_MEMORY);
    if (machine.full_calls != 0 && space) {
        machine.full_calls--;
        return true;
    }
    if (!wanted || machine.fault == SYSTEM_NO_FAULT || ++machine.calls != machine.fail_at)
        return false;
    machine.failed = true;
    snprintf(machine.failed_call, sizeof(machine.failed_call), "%s", call);
    if (machine.fault == SYSTEM_FULL || machine.fault == SYSTEM_SHORT)
        machine.full_calls = (unsigned)random_below(&machine.random, FULL_CALLS);
    return true;
}

static int fail_with(int code)
{
    errno = code;
    return -1;
}

static int fault_code(void)
{
    return machine.fault == SYSTEM_IO_ERROR ? EIO : ENOSPC;
}

/* --- Files --- */

static struct descriptor *descriptor_of(int file)
{
    return file >= 0 && file < FILES_MAX ? &machine.descriptors[file] : NULL;
}

static enum watched watched_path(const char *path, enum disk_name *ret_name)
{
    size_t size = strlen(machine.path);
    *ret_name = DISK_STORE;
    if (machine.lives == 0)
        return NOT_WATCHED;
    if (strcmp(path, machine.directory) == 0)
        return WATCHED_DIRECTORY;
    if (strncmp(path, machine.path, size) != 0)
        return NOT_WATCHED;
    for (enum disk_name name = 0; name < DISK_NAME_COUNT; name++) {
        if (strcmp(path + size, disk_suffixes[name]) != 0)
            continue;
        *ret_name = name;
        return WATCHED_FILE;
    }
    return WATCHED_BESIDE;
}

static bool is_file(const struct descriptor *descriptor)
{
    return descriptor != NULL && descriptor->watched == WATCHED_FILE && machine.watches &&
           descriptor->inode == machine.disk.seen[descriptor->name] && descriptor->inode != NULL;
}

static int open_file(const char *path, int flags, mode_t mode)
{
    enum disk_name name;
    lock();
    enum watched watched = watched_path(path, &name);
    bool         makes = watched == WATCHED_FILE && (flags & O_CREAT) && machine.watches &&
                 syscall(SYS_access, path, F_OK) != 0;
    if (watched != NOT_WATCHED) {
        take_turn();
        if (fails("open", makes || ((flags & O_CREAT) && watched == WATCHED_BESIDE))) {
            unlock();
            return fail_with(fault_code());
        }
    }
    makes = makes && is_on();
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (file >= 0 && makes)
        apply(&(struct disk_operation){ .kind = DISK_CREATE, .name = name });
    if (file >= 0 && file < FILES_MAX)
        machine.descriptors[file] = (struct descriptor){ .watched = watched,
                                                         .name = name,
                                                         .inode = watched == WATCHED_FILE
                                                                      ? machine.disk.seen[name]
                                                                      : NULL };
    unlock();
    return file;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_file(path, flags, mode);
}

int close(int file)
{
    lock();
    if (descriptor_of(file) != NULL)
        machine.descriptors[file].watched = NOT_WATCHED;
    unlock();
    return (int)syscall(SYS_close, file);
}

static ssize_t write_file(int file, const void *data, size_t size, off_t offset)
{
    lock();
    const struct descriptor *descriptor = descriptor_of(file);
    size_t                   part = size;
    if (is_file(descriptor)) {
        take_turn();
        if (fails("write", true)) {
            if (machine.fault != SYSTEM_SHORT || size < 2) {
                machine.must_stop = machine.must_stop ||
                                    (machine.fault == SYSTEM_IO_ERROR && role() == ROLE_WRITER);
                unlock();
                return fail_with(fault_code());
            }
            part = 1 + (size_t)random_below(&machine.random, size - 1);
        }
    }
    bool    on = is_file(descriptor) && is_on();
    ssize_t written = syscall(SYS_pwrite64, file, data, part, offset);
    if (on && written > 0)
        apply(&(struct disk_operation){ DISK_WRITE, descriptor->name, offset, (size_t)written, data });
    unlock();
    return written;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    return write_file(file, data, size, offset);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset)
{
    return write_file(file, data, size, offset);
}

static int truncate_file(int file, off_t size)
{
    lock();
    const struct descriptor *descriptor = descriptor_of(file);
    if (is_file(descriptor)) {
        take_turn();
        if (fails("truncate", false)) {
            unlock();
            return fail_with(fault_code());
        }
    }
    bool on = is_file(descriptor) && is_on();
    int  outcome = (int)syscall(SYS_ftruncate, file, size);
    if (on && outcome == 0)
        apply(&(struct disk_operation){ .kind = DISK_TRUNCATE, .name = descriptor->name, .offset = size });
    unlock();
    return outcome;
}

int ftruncate(int file, off_t size)
{
    return truncate_file(file, size);
}

int ftruncate64(int file, off64_t size)
{
    return truncate_file(file, size);
}

static bool is_ignored(const struct descriptor *descriptor)
{
    if (machine.flushes == SYSTEM_FLUSHES_OF_COMMITS_IGNORED)
        return descriptor->name == DISK_LOG && role() == ROLE_WRITER;
    return machine.flushes == SYSTEM_FLUSHES_IGNORED;
}

static int flush_file(const struct descriptor *descriptor)
{
    enum disk_operation_kind kind = DISK_FLUSH;
    take_turn();
    enum role *failed = &machine.flush_failed[descriptor->name];
    bool       own = *failed == role() || (*failed != ROLE_UNKNOWN && role() == ROLE_MAIN);
    /* While the file is made, before it has a log, SQLite takes back what failed by a journal: that is written anew. */
    if (!machine.off && own && machine.disk.seen[DISK_JOURNAL] == NULL)
        snprintf(machine.flushed_again, sizeof(machine.flushed_again), "of store.db%s by %d, failed for %d",
                 disk_suffixes[descriptor->name], (int)role(), (int)*failed);
    if (fails("flush", false)) {
        kind = DISK_FLUSH_FAILED;
        *failed = role();
        machine.must_stop = true;
    }
    if (is_on() && !is_ignored(descriptor))
        apply(&(struct disk_operation){ .kind = kind, .name = descriptor->name });
    return kind == DISK_FLUSH ? 0 : fail_with(EIO);
}

/* The real disk need not be waited for. */
static int flush(int file)
{
    int outcome = 0;
    lock();
    const struct descriptor *descriptor = descriptor_of(file);
    if (is_file(descriptor)) {
        outcome = flush_file(descriptor);
    } else if (descriptor != NULL && descriptor->watched == WATCHED_DIRECTORY) {
        take_turn();
        outcome = fails("flush-directory", false) ? fail_with(EIO) : 0;
        if (outcome == 0 && is_on() && machine.flushes != SYSTEM_FLUSHES_IGNORED)
            apply(&(struct disk_operation){ .kind = DISK_FLUSH_DIRECTORY });
    }
    unlock();
    return outcome;
}

int fdatasync(int file)
{
    return flush(file);
}

int fsync(int file)
{
    return flush(file);
}

int unlink(const char *path)
{
    enum disk_name name;
    lock();
    enum watched watched = watched_path(path, &name);
    if (watched == WATCHED_FILE && machine.watches) {
        take_turn();
        if (fails("unlink", false)) {
            unlock();
            return fail_with(fault_code());
        }
    }
    if (watched != NOT_WATCHED)
        machine.full_calls = 0;
    bool on = watched == WATCHED_FILE && machine.watches && machine.disk.seen[name] != NULL && is_on();
    int  outcome = (int)syscall(SYS_unlink, path);
    if (on && outcome == 0)
        apply(&(struct disk_operation){ .kind = DISK_UNLINK, .name = name });
    unlock();
    return outcome;
}

/* The space set aside is only tried for: nobody reads it. */
int posix_fallocate(int file, off_t offset UNUSED, off_t size UNUSED)
{
    lock();
    const struct descriptor *descriptor = descriptor_of(file);
    bool failed = descriptor != NULL && descriptor->watched == WATCHED_BESIDE && fails("allocate", true);
    unlock();
    return failed ? fault_code() : 0;
}

/* --- Reads and locks: they can fail, and change nothing --- */

static bool may_read(const char *call, int file)
{
    lock();
    const struct descriptor *descriptor = descriptor_of(file);
    bool watched = descriptor != NULL && machine.watches && descriptor->watched != NOT_WATCHED;
    bool failed = watched && fails(call, false);
    unlock();
    return !failed;
}

ssize_t pread64(int file, void *to, size_t size, off64_t offset)
{
    return may_read("read", file) ? syscall(SYS_pread64, file, to, size, offset) : fail_with(EIO);
}

/* A lock may be refused; the kernel always gives it up. */
int fcntl64(int file, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (command == F_SETLK && ((const struct flock *)argument)->l_type != F_UNLCK && !may_read("lock", file))
        return fail_with(ENOLCK);
    return (int)syscall(SYS_fcntl, file, command, argument);
}

void *mmap64(void *at, size_t size, int protection, int flags, int file, off64_t offset)
{
    if (!may_read("map", file)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}

int fstat64(int file, struct stat64 *status)
{
    return may_read("stat", file) ? (int)syscall(SYS_fstat, file, status) : fail_with(EIO);
}

/* --- SQLite's memory --- */

static sqlite3_mem_methods real_memory;

static bool has_memory(void)
{
    lock();
    bool failed = machine.watches && !machine.off && machine.fault == SYSTEM_MEMORY &&
                  ++machine.calls == machine.fail_at;
    machine.failed = machine.failed || failed;
    unlock();
    return !failed;
}

static void *take_memory(int size)
{
    return has_memory() ? real_memory.xMalloc(size) : NULL;
}

static void *resize_memory(void *memory, int size)
{
    return has_memory() ? real_memory.xRealloc(memory, size) : NULL;
}

static void replace_memory(void)
{
    if (real_memory.xMalloc != NULL)
        return;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods methods = real_memory;
    methods.xMalloc = take_memory;
    methods.xRealloc = resize_memory;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
        panic("SQLite was used already");
}

/* --- Life and death --- */

const char *system_path(void)
{
    return machine.path;
}

static void remove_directory(const char *directory)
{
    static const char *const suffixes[] = { "", "-wal", "-journal", "-shm", "-lock", "-ballast" };
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s/store.db%s", directory, suffixes[i]);
        (void)syscall(SYS_unlink, path);
    }
    (void)rmdir(directory);
}

static void make_directory(void)
{
    machine.lives++;
    snprintf(machine.directory, sizeof(machine.directory), "/dev/shm/perdure-power-%d-%u", (int)getpid(),
             machine.lives);
    snprintf(machine.path, sizeof(machine.path), "%s/store.db", machine.directory);
    remove_directory(machine.directory);
    if (mkdir(machine.directory, 0700) != 0)
        panic("cannot make %s", machine.directory);
}

static void start_watching(void)
{
    machine.watches = true;
    machine.off = machine.failed = machine.must_stop = false;
    machine.full_calls = 0;
    machine.tickets = 0;
    machine.gated = machine.writer_rests = machine.copier_rests = false;
    memset(machine.flush_failed, 0, sizeof(machine.flush_failed));
}

void system_begin(uint64_t seed, struct system_trace *trace_, enum system_flushes flushes)
{
    own_role = ROLE_MAIN;
    replace_memory();
    machine.trace = trace_;
    machine.flushes = flushes;
    machine.operations = machine.cut_at = machine.calls = machine.fail_at = 0;
    machine.fault = SYSTEM_NO_FAULT;
    machine.flushed_again[0] = '\0';
    random_seed(&machine.random, seed);
    disk_init(&machine.disk, seed);
    make_directory();
    start_watching();
}

void system_end(void)
{
    machine.watches = false;
    remove_directory(machine.directory);
    disk_release(&machine.disk);
    disk_image_release(&machine.left);
}

void system_cut(uint64_t operations, enum disk_survival survival)
{
    machine.cut_at = operations == 0 ? 0 : machine.operations + operations;
    machine.survival = survival;
    machine.cuts = true;
}

void system_kill(uint64_t operations)
{
    system_cut(operations, DISK_EVERYTHING);
    machine.cuts = false;
}

void system_fail(uint64_t calls, enum system_fault fault)
{
    machine.fault = fault;
    machine.failed = false;
    machine.fail_at = calls == 0 ? 0 : machine.calls + calls;
}

bool system_is_off(void)
{
    return machine.off;
}

bool system_has_failed(void)
{
    return machine.failed;
}

const char *system_flushed_again(void)
{
    return machine.flushed_again;
}

const char *system_failed_call(void)
{
    return machine.failed_call;
}

bool system_must_stop(void)
{
    return machine.must_stop;
}

void system_die(void)
{
    lock();
    if (machine.off && machine.cuts)
        disk_replace(&machine.disk, &machine.left);
    machine.watches = false;
    give_tickets(TICKETS_NO_END);
    unlock();
}

static void write_image(const struct disk_image *image)
{
    for (enum disk_name name = 0; name < DISK_NAME_COUNT; name++) {
        if (!image->exists[name])
            continue;
        char path[128];
        snprintf(path, sizeof(path), "%s%s", machine.path, disk_suffixes[name]);
        int     file = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY, 0600);
        ssize_t written = syscall(SYS_pwrite64, file, image->file[name].base, image->file[name].size, 0);
        if (file < 0 || written != (ssize_t)image->file[name].size)
            panic("cannot write %s", path);
        syscall(SYS_close, file);
    }
}

void system_revive(void)
{
    struct disk_image image = { .exists = { false } };
    remove_directory(machine.directory);
    make_directory();
    disk_see(&machine.disk, &image);
    write_image(&image);
    disk_image_release(&image);
    start_watching();
}

void system_let_copy(void)
{
    lock();
    give_tickets(TICKETS_NO_END);
    while (!machine.writer_rests || !machine.copier_rests)
        pthread_cond_wait(&machine.changed, &machine.lock);
    unlock();
}

void system_note_answer(void)
{
    lock();
    if (machine.watches && !machine.off)
        trace(&(struct disk_operation){ .kind = DISK_ANSWER });
    unlock();
}
