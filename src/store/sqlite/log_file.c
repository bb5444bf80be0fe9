/* log_file.c: the write-ahead log as a file that is written once per commit.
 *
 * SQLite writes each page of a transaction by two small writes behind each other, some thirty for a group of transitions.
 * Here they are collected in memory and reach the real file as one write: right before the flush that makes them durable,
 * and before anything else is done with the file. So whatever was flushed is what it would have been, and a crash before
 * the flush leaves less of what nobody had been promised. Everything but the log goes to the real file system directly.
 *
 * Needs synchronous=FULL: there each commit is flushed before other connections are told of it, and they read the file
 * through handles of their own.
 *
 * A quota that is used up (EDQUOT) is a full disk to those who are told: SQLite would take it for a failing one. So the
 * call by which SQLite's Unix file system writes, to all of its files, says ENOSPC then.
 *
 * Thread:  a file's is its connection's.
 * Limits:  PENDING_SIZE_MAX bytes per file; a transaction that is larger is written in pieces of that size.
 */
#include <errno.h>

#include "store/sqlite/sqlite_internal.h"

/* SQLite's Unix file system takes a write of more than 128 KiB less one for one of its lowest 17 bits. */
#define PENDING_SIZE_MAX (120U << 10)

struct log_file {
    sqlite3_file  base;
    sqlite3_int64 begin; /* where the pending bytes belong */
    size_t        size;
    uint8_t      *pending;
};

static sqlite3_vfs *real_system;

static size_t log_file_space(void)
{
    return (sizeof(struct log_file) + 15) / 16 * 16;
}

/* The real file stands behind ours, as SQLite reserves the space for both. */
static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((uint8_t *)file + log_file_space());
}

static struct log_file *log_of(sqlite3_file *file)
{
    return CONTAINER_OF(file, struct log_file, base);
}

/* What could not be written is dropped: the transaction it belongs to fails by it, and writes it all again if it is tried
 * once more. */
static int write_pending(struct log_file *log)
{
    if (log->size == 0)
        return SQLITE_OK;
    sqlite3_file *real = real_of(&log->base);
    size_t        size = log->size;
    log->size = 0;
    return real->pMethods->xWrite(real, log->pending, (int)size, log->begin);
}

static int log_write(sqlite3_file *file, const void *data, int count, sqlite3_int64 offset)
{
    struct log_file *log = log_of(file);
    sqlite3_file    *real = real_of(file);
    size_t           size = (size_t)count;
    bool             behind = log->size != 0 && offset == log->begin + (sqlite3_int64)log->size;
    int              code = behind && log->size + size <= PENDING_SIZE_MAX ? SQLITE_OK : write_pending(log);
    if (code != SQLITE_OK || size > PENDING_SIZE_MAX)
        return code != SQLITE_OK ? code : real->pMethods->xWrite(real, data, count, offset);
    if (log->pending == NULL)
        log->pending = xmalloc(PENDING_SIZE_MAX);
    if (log->size == 0)
        log->begin = offset;
    memcpy(log->pending + log->size, data, size);
    log->size += size;
    return SQLITE_OK;
}

static int log_read(sqlite3_file *file, void *data, int count, sqlite3_int64 offset)
{
    int code = write_pending(log_of(file));
    return code != SQLITE_OK ? code : real_of(file)->pMethods->xRead(real_of(file), data, count, offset);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int code = write_pending(log_of(file));
    return code != SQLITE_OK ? code : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int log_sync(sqlite3_file *file, int flags)
{
    int code = write_pending(log_of(file));
    return code != SQLITE_OK ? code : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int log_file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    int code = write_pending(log_of(file));
    return code != SQLITE_OK ? code : real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

/* What is still pending was never flushed, so no commit rests on it. */
static int log_close(sqlite3_file *file)
{
    struct log_file *log = log_of(file);
    free(log->pending);
    log->pending = NULL;
    log->size = 0;
    return real_of(file)->pMethods->xClose(real_of(file));
}

/* The log is guarded by locks of the file and of its index; SQLite asks none of the log itself. */
static int log_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int log_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int log_check_lock(sqlite3_file *file, int *ret_locked)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
}

static int log_control(sqlite3_file *file, int operation, void *argument)
{
    int code = write_pending(log_of(file));
    return code != SQLITE_OK ? code
                             : real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int log_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int log_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int system_open(sqlite3_vfs *system UNUSED, const char *path, sqlite3_file *file, int flags,
                       int *ret_flags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 1,
        .xClose = log_close,
        .xRead = log_read,
        .xWrite = log_write,
        .xTruncate = log_truncate,
        .xSync = log_sync,
        .xFileSize = log_file_size,
        .xLock = log_lock,
        .xUnlock = log_unlock,
        .xCheckReservedLock = log_check_lock,
        .xFileControl = log_control,
        .xSectorSize = log_sector_size,
        .xDeviceCharacteristics = log_characteristics,
    };
    if (!(flags & SQLITE_OPEN_WAL))
        return real_system->xOpen(real_system, path, file, flags, ret_flags);
    *log_of(file) = (struct log_file){ .base.pMethods = NULL };
    real_of(file)->pMethods = NULL;
    int code = real_system->xOpen(real_system, path, real_of(file), flags, ret_flags);
    if (real_of(file)->pMethods != NULL) /* also after a failure: then it is to be closed */
        file->pMethods = &methods;
    return code;
}

/* --- a quota --- */

typedef ssize_t (*write_call)(int file, const void *data, size_t size, off_t offset);

static write_call real_write;

static ssize_t write_or_full(int file, const void *data, size_t size, off_t offset)
{
    ssize_t written = real_write(file, data, size, offset);
    if (written < 0 && errno == EDQUOT)
        errno = ENOSPC;
    return written;
}

/* Under which name SQLite writes depends on how it was built. */
static void translate_quota(void)
{
    static const char *const names[] = { "pwrite64", "pwrite" };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        sqlite3_syscall_ptr found = real_system->xGetSystemCall(real_system, names[i]);
        if (found == NULL)
            continue;
        real_write = (write_call)(void (*)(void))found;
        (void)real_system->xSetSystemCall(real_system, names[i],
                                          (sqlite3_syscall_ptr)(void (*)(void))write_or_full);
        return;
    }
}

void sqlite_log_system_register(void)
{
    static sqlite3_vfs system;
    real_system = sqlite3_vfs_find(NULL);
    assert(real_system != NULL && real_system->iVersion >= 3);
    translate_quota();
    system = *real_system;
    system.pNext = NULL;
    system.zName = SQLITE_LOG_SYSTEM;
    system.szOsFile = (int)log_file_space() + real_system->szOsFile;
    system.xOpen = system_open;
    (void)sqlite3_vfs_register(&system, 0); /* if it is not there no store is opened */
}
