/* draft.c: a store's file in the making, which takes its place at once and whole, or never.
 *
 *   TARGET.partial ──filled, flushed──> [the file that is there: closed in order] ──rename──> TARGET, directory flushed
 *
 * Whoever dies on the way leaves a TARGET.partial, which the next one takes over, and TARGET as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite/schema.h"
#include "store/sqlite/sqlite_internal.h"

#define CACHE_KIB  8192
#define STEP_PAGES 64 /* between two looks at the rate */
#define FLUSH_SIZE (4 << 20)

struct store_draft {
    char              *target, *partial;
    int                file; /* the partial one; held and locked by us until the end */
    bool               has_owner, replaces;
    struct sqlite_file owner; /* of the target: no server may have it, or take it meanwhile */
};

static char *joined(const char *left, const char *right)
{
    size_t size = strlen(left) + strlen(right) + 1;
    char  *text = xmalloc(size);
    snprintf(text, size, "%s%s", left, right);
    return text;
}

static enum status system_error(const char *what, const char *path, struct error *error)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return error_set(error, full ? ST_RESOURCE_EXHAUSTED : ST_UNAVAILABLE, "cannot %s %s: %s", what, path,
                     strerror(errno));
}

/* --- begin --- */

static bool is_filled(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && found.st_size != 0;
}

/* The file that is there, if any, must be nobody's, and is closed in order: what is still in its log would be taken for the new
 * file's. */
static enum status settle_old(struct store_draft *draft, struct error *error)
{
    struct sqlite_connection connection;
    enum status              status = draft->replaces ? sqlite_file_open(&draft->owner, draft->target, error)
                                                      : sqlite_file_reserve(&draft->owner, draft->target, error);
    draft->has_owner = true;
    if (status != ST_OK || !draft->replaces)
        return status;
    char *log = joined(draft->target, "-wal");
    if (is_filled(log)) {
        status = sqlite_connection_open(&connection, draft->target, CACHE_KIB, 0, error);
        if (status == ST_OK) {
            if (sqlite3_wal_checkpoint_v2(connection.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
                SQLITE_OK)
                status = sqlite_error(&connection, ST_UNAVAILABLE, "cannot close the log of", error);
            sqlite_connection_close(&connection);
        }
        if (status == ST_OK && is_filled(log))
            status = error_set(error, ST_FAILED_PRECONDITION, "the log %s cannot be emptied: someone uses it",
                               log);
    }
    free(log);
    return status;
}

static enum status open_partial(struct store_draft *draft, struct error *error)
{
    draft->file = open(draft->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (draft->file < 0)
        return system_error("make", draft->partial, error);
    if (flock(draft->file, LOCK_EX | LOCK_NB) != 0) {
        close(draft->file);
        draft->file = -1;
        return error_set(error, ST_FAILED_PRECONDITION, "%s is being written by somebody else",
                         draft->partial);
    }
    return ftruncate(draft->file, 0) == 0 ? ST_OK : system_error("write", draft->partial, error);
}

enum status store_draft_begin(const char *target, enum store_draft_kind kind, bool force,
                              struct store_draft **ret_draft, struct error *error)
{
    struct store_draft *draft = xcalloc(1, sizeof *draft);
    char               *real = realpath(target, NULL); /* a link stays, and what it names is replaced */
    draft->replaces = real != NULL;
    draft->target = real != NULL ? real : joined(target, "");
    draft->partial = joined(draft->target, ".partial");
    draft->file = -1;
    enum status status = ST_OK;
    if (draft->replaces && !force)
        status = error_set(error, ST_ALREADY_EXISTS, "%s exists already (--force replaces it)", target);
    if (status == ST_OK)
        status = open_partial(draft, error);
    /* A plain backup to a new place is nobody's store, and gets no lock beside it. */
    if (status == ST_OK && (draft->replaces || kind == STORE_DRAFT_STORE))
        status = settle_old(draft, error);
    if (status != ST_OK) {
        store_draft_free(draft);
        return status;
    }
    *ret_draft = draft;
    return ST_OK;
}

const char *store_draft_path(const struct store_draft *draft)
{
    return draft->partial;
}

/* --- fill --- */

static enum status failed(sqlite3 *handle, int code, const char *what, const char *path, struct error *error)
{
    enum status status = (code & 0xFF) == SQLITE_FULL      ? ST_RESOURCE_EXHAUSTED
                         : (code & 0xFF) == SQLITE_CORRUPT ? ST_DATA_LOSS
                                                           : ST_UNAVAILABLE;
    return error_set(error, status, "cannot %s %s: %s (SQLite code %d)", what, path, sqlite3_errmsg(handle),
                     sqlite3_extended_errcode(handle));
}

/* Nothing is flushed on the way: the draft is, as a whole, before it takes its place. */
static int open_plain(const char *path, sqlite3 **ret_handle)
{
    int code = sqlite3_open_v2(path, ret_handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(*ret_handle,
                            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192",
                            NULL, NULL, NULL);
    return code;
}

/* Sleeps until so many bytes may have been copied. */
static void keep_rate(int64_t began, int64_t rate, int64_t bytes)
{
    int64_t due = began + (int64_t)((double)bytes / (double)rate * (double)NS_PER_S);
    int64_t wait = due - clock_monotonic_ns(&clock_system);
    if (wait > 0)
        (void)sqlite3_sleep((int)(wait / NS_PER_MS));
}

static int copy_pages(sqlite3_backup *backup, int file, const struct store_copy_options *options)
{
    int64_t began = clock_monotonic_ns(&clock_system), flushed = 0;
    for (;;) {
        int     code = sqlite3_backup_step(backup, STEP_PAGES);
        int64_t total = (int64_t)sqlite3_backup_pagecount(backup) * SQLITE_PAGE_SIZE;
        int64_t done = total - (int64_t)sqlite3_backup_remaining(backup) * SQLITE_PAGE_SIZE;
        if (code != SQLITE_OK)
            return code;
        if (done - flushed >= FLUSH_SIZE) { /* or all of it at the end, and a server's flush behind it */
            flushed = done;
            if (fdatasync(file) != 0)
                return SQLITE_IOERR_FSYNC;
        }
        if (options->progress != NULL)
            options->progress(options->context, done, total);
        if (options->rate > 0)
            keep_rate(began, options->rate, done);
    }
}

enum status store_draft_copy(struct store_draft *draft, const char *from,
                             const struct store_copy_options *options, struct error *error)
{
    struct sqlite_connection source;
    sqlite3                 *handle = NULL;
    int                      version;
    enum status              status = sqlite_connection_view(&source, from, error);
    if (status != ST_OK)
        return status;
    /* One moment of the source: without it every write to it would have the copy begin again. */
    if (sqlite3_exec(source.handle, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) !=
        SQLITE_OK)
        status = sqlite_error(&source, ST_UNAVAILABLE, "cannot read the store", error);
    if (status == ST_OK)
        status = sqlite_schema_version(&source, &version, error);
    if (status == ST_OK && version == 0)
        status = error_set(error, ST_FAILED_PRECONDITION, "%s is an empty store", from);
    if (status == ST_OK) {
        int             code = open_plain(draft->partial, &handle);
        sqlite3_backup *backup = code == SQLITE_OK
                                     ? sqlite3_backup_init(handle, "main", source.handle, "main")
                                     : NULL;
        if (backup != NULL) {
            code = copy_pages(backup, draft->file, options);
            (void)sqlite3_backup_finish(backup);
        }
        if (backup == NULL || code != SQLITE_DONE)
            status = failed(handle, code, "write", draft->partial, error);
        sqlite3_close(handle);
    }
    sqlite_connection_close(&source);
    return status;
}

enum status store_draft_compact(struct store_draft *draft, struct error *error)
{
    struct sqlite_connection source;
    sqlite3_stmt            *statement = NULL;
    int                      version;
    enum status              status = sqlite_connection_view(&source, draft->target, error);
    if (status == ST_OK)
        status = sqlite_schema_version(&source, &version, error);
    if (status == ST_OK && version == 0)
        status = error_set(error, ST_FAILED_PRECONDITION, "%s is an empty store", draft->target);
    if (status == ST_OK) {
        int code = sqlite3_exec(source.handle, "PRAGMA query_only = OFF", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_prepare_v2(source.handle, "VACUUM INTO ?1", -1, &statement, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_bind_text(statement, 1, draft->partial, -1, SQLITE_STATIC);
        if (code == SQLITE_OK)
            code = sqlite3_step(statement);
        if (code != SQLITE_DONE)
            status = failed(source.handle, code, "write", draft->partial, error);
        sqlite3_finalize(statement);
    }
    sqlite_connection_close(&source);
    return status;
}

/* Leaves no log beside the draft. */
enum status store_draft_migrate(struct store_draft *draft, struct error *error)
{
    struct sqlite_connection connection;
    enum status status = sqlite_connection_open(&connection, draft->partial, CACHE_KIB, 0, error);
    if (status != ST_OK)
        return status;
    status = sqlite_migrate(&connection, error);
    if (status == ST_OK && sqlite3_wal_checkpoint_v2(connection.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                                     NULL, NULL) != SQLITE_OK)
        status = sqlite_error(&connection, ST_UNAVAILABLE, "cannot close the log of", error);
    sqlite_connection_close(&connection);
    return status;
}

/* --- end --- */

static enum status sync_directory(const char *path, struct error *error)
{
    char       *directory = joined(path, "");
    char       *slash = strrchr(directory, '/');
    const char *name = slash == NULL ? "." : slash == directory ? "/" : directory;
    if (slash != NULL)
        *slash = '\0';
    int         opened = open(name[0] == '\0' ? "/" : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = opened >= 0 && fsync(opened) == 0 ? ST_OK : system_error("flush", name, error);
    if (opened >= 0)
        close(opened);
    free(directory);
    return status;
}

/* A look at the draft, or a server's before us, may have left these, empty. */
static void remove_beside(const char *path)
{
    static const char *const suffixes[] = { "-wal", "-shm", "-journal" };
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char *beside = joined(path, suffixes[i]);
        (void)unlink(beside);
        free(beside);
    }
}

enum status store_draft_finish(struct store_draft *draft, struct error *error)
{
    enum status status = ST_OK;
    if (fsync(draft->file) != 0)
        return system_error("flush", draft->partial, error);
    remove_beside(draft->partial);
    if (draft->replaces)
        remove_beside(draft->target);
    if (rename(draft->partial, draft->target) != 0)
        return system_error("put the new file in the place of", draft->target, error);
    status = sync_directory(draft->target, error);
    close(draft->file);
    draft->file = -1; /* its name is another one now */
    return status;
}

void store_draft_free(struct store_draft *draft)
{
    if (draft == NULL)
        return;
    if (draft->file >= 0) { /* it was not finished */
        remove_beside(draft->partial);
        (void)unlink(draft->partial);
        close(draft->file);
    }
    if (draft->has_owner)
        sqlite_file_close(&draft->owner);
    free(draft->target);
    free(draft->partial);
    free(draft);
}
