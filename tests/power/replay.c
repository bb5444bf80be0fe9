/* replay.c: power cuts at every point of a trace; recovery by SQLite on files in memory. */
#include "replay.h"

#include <sqlite3.h>
#include <stdio.h>

#include "base/hash.h"

#define SYSTEM_NAME  "power"
#define SHARED_PAGES 64 /* of 32 KiB: the index of the log */

/* --- A file system in memory: one store --- */

struct memory_file {
    sqlite3_file   base;
    enum disk_name name;
};
static struct memory {
    struct disk_image image;
    void             *shared[SHARED_PAGES];
} memory;

static enum disk_name name_of(sqlite3_file *file)
{
    return CONTAINER_OF(file, struct memory_file, base)->name;
}

static int memory_close(sqlite3_file *file UNUSED)
{
    return SQLITE_OK;
}
static int memory_read(sqlite3_file *file, void *to, int size, sqlite3_int64 offset)
{
    const struct disk_bytes *bytes = &memory.image.file[name_of(file)];
    size_t there = (size_t)offset >= bytes->size ? 0 : MIN((size_t)size, bytes->size - (size_t)offset);
    if (there != 0)
        memcpy(to, bytes->base + offset, there);
    memset((uint8_t *)to + there, 0, (size_t)size - there);
    return there == (size_t)size ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}
static int memory_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 offset)
{
    disk_bytes_put(&memory.image.file[name_of(file)], offset, from, (size_t)size);
    return SQLITE_OK;
}
static int memory_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct disk_bytes *bytes = &memory.image.file[name_of(file)];
    bytes->size = MIN(bytes->size, (size_t)size);
    return SQLITE_OK;
}
static int memory_sync(sqlite3_file *file UNUSED, int flags UNUSED)
{
    return SQLITE_OK;
}
static int memory_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    *ret_size = (sqlite3_int64)memory.image.file[name_of(file)].size;
    return SQLITE_OK;
}
static int memory_lock(sqlite3_file *file UNUSED, int lock UNUSED)
{
    return SQLITE_OK;
}
static int memory_reserved(sqlite3_file *file UNUSED, int *ret_reserved)
{
    *ret_reserved = 0;
    return SQLITE_OK;
}
static int memory_control(sqlite3_file *file UNUSED, int operation UNUSED, void *argument UNUSED)
{
    return SQLITE_NOTFOUND;
}
static int memory_sector(sqlite3_file *file UNUSED)
{
    return 4096;
}
static int memory_traits(sqlite3_file *file UNUSED)
{
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
static int memory_shm_map(sqlite3_file *file UNUSED, int page, int size, int extend, void volatile **ret_at)
{
    if (page >= SHARED_PAGES)
        return SQLITE_IOERR_SHMMAP;
    if (memory.shared[page] == NULL && extend)
        memory.shared[page] = xcalloc(1, (size_t)size);
    *ret_at = memory.shared[page];
    return SQLITE_OK;
}
static int memory_shm_lock(sqlite3_file *file UNUSED, int offset UNUSED, int count UNUSED, int flags UNUSED)
{
    return SQLITE_OK;
}
static void memory_shm_barrier(sqlite3_file *file UNUSED) {}
static int  memory_shm_unmap(sqlite3_file *file UNUSED, int remove UNUSED)
{
    for (size_t i = 0; i < SHARED_PAGES; i++) {
        free(memory.shared[i]);
        memory.shared[i] = NULL;
    }
    return SQLITE_OK;
}

static bool find_name(const char *path, enum disk_name *ret_name)
{
    for (enum disk_name name = DISK_NAME_COUNT; path != NULL && name-- > 0;) {
        size_t size = strlen(path), suffix = strlen(disk_suffixes[name]);
        if (size >= suffix && strcmp(path + size - suffix, disk_suffixes[name]) == 0) {
            *ret_name = name;
            return true;
        }
    }
    return false;
}

static int system_open(sqlite3_vfs *system UNUSED, const char *path, sqlite3_file *file, int flags,
                       int *ret_flags)
{
    static const sqlite3_io_methods methods = { 2,
                                                memory_close,
                                                memory_read,
                                                memory_write,
                                                memory_truncate,
                                                memory_sync,
                                                memory_size,
                                                memory_lock,
                                                memory_lock,
                                                memory_reserved,
                                                memory_control,
                                                memory_sector,
                                                memory_traits,
                                                memory_shm_map,
                                                memory_shm_lock,
                                                memory_shm_barrier,
                                                memory_shm_unmap,
                                                NULL,
                                                NULL };
    struct memory_file             *opened = CONTAINER_OF(file, struct memory_file, base);
    file->pMethods = NULL;
    if (!find_name(path, &opened->name))
        return SQLITE_CANTOPEN;
    memory.image.exists[opened->name] = true;
    file->pMethods = &methods;
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int system_delete(sqlite3_vfs *system UNUSED, const char *path, int flush UNUSED)
{
    enum disk_name name;
    if (find_name(path, &name)) {
        memory.image.exists[name] = false;
        memory.image.file[name].size = 0;
    }
    return SQLITE_OK;
}

static int system_access(sqlite3_vfs *system UNUSED, const char *path, int flags UNUSED, int *ret_exists)
{
    enum disk_name name;
    *ret_exists = find_name(path, &name) && memory.image.exists[name];
    return SQLITE_OK;
}

static void register_system(void)
{
    static sqlite3_vfs system;
    if (system.zName != NULL)
        return;
    system = *sqlite3_vfs_find("unix");
    system.pNext = NULL;
    system.zName = SYSTEM_NAME;
    system.szOsFile = (int)sizeof(struct memory_file);
    system.xOpen = system_open;
    system.xDelete = system_delete;
    system.xAccess = system_access;
    sqlite3_vfs_register(&system, 0);
}

/* --- Recovery --- */

#define UNREADABLE UINT64_C(0xBAD)

static sqlite3 *open_image(void)
{
    sqlite3 *handle;
    if (sqlite3_open_v2("/power/store.db", &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                        SYSTEM_NAME) != SQLITE_OK)
        panic("no memory");
    return handle;
}

/* Recovers what is in memory; the hash of the file that comes of it, the whole log copied into it. */
static uint64_t recover(void)
{
    sqlite3 *handle = open_image();
    /* An empty file has no log to copy; anything else does. */
    int code = sqlite3_exec(handle, "PRAGMA synchronous = OFF; SELECT count(*) FROM sqlite_schema", NULL,
                            NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_close(handle);
    const struct disk_bytes *store = &memory.image.file[DISK_STORE];
    return code == SQLITE_OK ? hash_bytes(bytes_of(store->base, store->size)) : UNREADABLE;
}

/* Of what was just recovered. */
static bool is_whole(void)
{
    sqlite3_stmt *statement;
    sqlite3      *handle = open_image();
    bool whole = sqlite3_prepare_v2(handle, "PRAGMA integrity_check", -1, &statement, NULL) == SQLITE_OK;
    if (whole) {
        whole = sqlite3_step(statement) == SQLITE_ROW &&
                strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
        sqlite3_finalize(statement);
    }
    sqlite3_close(handle);
    return whole;
}

/* --- A trace --- */

struct replayed {
    struct disk           disk;
    struct random         random;
    uint64_t             *contents;                /* hashes, in the order in which the process saw them */
    size_t                content_count, answered; /* what was seen last when something was answered */
    struct replay_counts *counts;
    bool                  explain;
};

/* What the process sees now, if it is something else than before. */
static void look(struct replayed *self)
{
    disk_see(&self->disk, &memory.image);
    uint64_t content = recover();
    if (self->content_count != 0 && self->contents[self->content_count - 1] == content)
        return;
    self->contents = xrealloc(self->contents, (self->content_count + 1) * sizeof(*self->contents));
    self->contents[self->content_count++] = content;
    self->counts->contents++;
    if (content == UNREADABLE || !is_whole())
        self->counts->damaged++;
}

static void cut(struct replayed *self, size_t point, enum disk_survival survival)
{
    disk_survive(&self->disk, survival, &self->random, &memory.image);
    self->counts->recoveries++;
    self->counts->survivals[survival]++;
    uint64_t content = recover();
    for (size_t i = self->content_count; i-- > self->answered;) {
        if (self->contents[i] == content)
            return;
    }
    bool older = false;
    for (size_t i = 0; i < self->answered && i < self->content_count; i++)
        older = older || self->contents[i] == content;
    self->counts->lost += older;
    self->counts->damaged += !older;
    if (self->explain)
        fprintf(stderr, "point %zu, %s survives: %s\n", point, disk_survival_names[survival],
                older ? "what was answered is lost" : "nothing that there ever was");
}

void replay(const struct system_trace *trace, uint64_t seed, unsigned repeats, uint64_t limit, bool explain,
            struct replay_counts *counts)
{
    struct replayed self = { .counts = counts, .explain = explain };
    uint64_t        before = counts->recoveries;
    register_system();
    disk_init(&self.disk, seed);
    random_seed(&self.random, seed);
    look(&self);
    for (size_t point = 0; point <= trace->count && (limit == 0 || counts->recoveries - before < limit);
         point++) {
        const struct disk_operation *next = point < trace->count ? &trace->operations[point] : NULL;
        if (next != NULL && next->kind == DISK_ANSWER) {
            self.answered = self.content_count - 1;
            continue;
        }
        counts->points++;
        bool flushed = disk_is_flushed(&self.disk);
        cut(&self, point, DISK_NOTHING);
        for (unsigned i = 0; !flushed && i < repeats; i++) {
            if (i == 0)
                cut(&self, point, DISK_EVERYTHING);
            for (enum disk_survival survival = DISK_PREFIX; survival < DISK_SURVIVAL_COUNT; survival++)
                cut(&self, point, survival);
        }
        if (next == NULL)
            break;
        disk_apply(&self.disk, next);
        if (next->kind == DISK_WRITE || next->kind == DISK_TRUNCATE || next->kind == DISK_CREATE ||
            next->kind == DISK_UNLINK)
            look(&self);
    }
    free(self.contents);
    disk_release(&self.disk);
    disk_image_release(&memory.image);
}
