/* file.c: the store's files: who owns them, the space set aside, and the schema inside. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/sqlite_internal.h"

#define BALLAST_SIZE   (8 << 20)
#define APPLICATION_ID 0x50645572                  /* PdUr: how the file tool and we tell our files */
#define OWNER_BYTE     INT64_C(0x7000000000000000) /* no file is so long, so SQLite locks nothing near it */

static char *with_suffix(const char *path, const char *suffix)
{
    size_t size = strlen(path) + strlen(suffix) + 1;
    char  *name = xmalloc(size);
    snprintf(name, size, "%s%s", path, suffix);
    return name;
}

static enum status take_lock(struct sqlite_file *file, struct error *error)
{
    file->lock = open(file->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->lock < 0)
        return error_set(error, ST_UNAVAILABLE, "cannot open the store's lock %s: %s", file->lock_path,
                         strerror(errno));
    if (flock(file->lock, LOCK_EX | LOCK_NB) != 0) {
        char    holder[32] = "";
        ssize_t size = pread(file->lock, holder, sizeof holder - 1, 0);
        holder[size < 0 ? 0 : size] = '\0';
        holder[strspn(holder, "0123456789")] = '\0';
        return error_set(error, ST_FAILED_PRECONDITION,
                         "the store %s is in use by another server (process %s)", file->path,
                         holder[0] == '\0' ? "unknown" : holder);
    }
    char own[32];
    int  size = snprintf(own, sizeof own, "%d\n", (int)getpid());
    /* Who holds it is only for the message above: a full disk must not keep a server from starting. */
    ssize_t written = ftruncate(file->lock, 0) == 0 ? pwrite(file->lock, own, (size_t)size, 0) : -1;
    if (written < 0)
        log_debug("store-lock-unnamed", "path=%s", file->lock_path);
    return ST_OK;
}

/* The lock beside the file is found by its name, and a file may have several: a hard link, a mount of it elsewhere. So the
 * file itself is locked as well, at a byte that SQLite does not know; and not by POSIX locks, which would be the process's,
 * as SQLite's are, and go when any of its descriptors is closed. */
static enum status lock_itself(struct sqlite_file *file, struct error *error)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = OWNER_BYTE, .l_len = 1 };
    if (fcntl(file->itself, F_OFD_SETLK, &lock) == 0)
        return ST_OK;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(error, ST_FAILED_PRECONDITION,
                         "the store %s is in use by another server, by another name of the same file",
                         file->path);
    return error_set(error, ST_UNAVAILABLE, "cannot lock the store %s: %s", file->path, strerror(errno));
}

/* SQLite would make the file by the umask. It is opened here before SQLite has and stays open until SQLite has closed it,
 * because closing it between would drop the process's locks on it (POSIX). */
static enum status make_file(struct sqlite_file *file, struct error *error)
{
    struct stat stat;
    file->itself = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->itself < 0 || fstat(file->itself, &stat) != 0)
        return error_set(error, ST_UNAVAILABLE, "cannot open the store %s: %s", file->path, strerror(errno));
    if (!S_ISREG(stat.st_mode))
        return error_set(error, ST_FAILED_PRECONDITION, "the store %s is not a file", file->path);
    enum status status = lock_itself(file, error);
    /* SQLite finds its log by the file's name. By another name it would not, and show the file without what is in there. */
    if (status == ST_OK && stat.st_nlink > 1)
        return error_set(
            error, ST_FAILED_PRECONDITION,
            "the store %s has %ju names (hard links), and its newest commits may be beside another "
            "one: remove all names but the one it is served by",
            file->path, (uintmax_t)stat.st_nlink);
    return status;
}

/* With symbolic links followed, as SQLite does when it names its log: so all names have one lock. */
static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    return real != NULL ? real : with_suffix(path, "");
}

enum status sqlite_file_reserve(struct sqlite_file *file, const char *path, struct error *error)
{
    *file = (struct sqlite_file){ .path = real_path(path), .lock = -1, .itself = -1 };
    file->lock_path = with_suffix(file->path, "-lock");
    file->ballast_path = with_suffix(file->path, "-ballast");
    return take_lock(file, error);
}

enum status sqlite_file_open(struct sqlite_file *file, const char *path, struct error *error)
{
    enum status status = sqlite_file_reserve(file, path, error);
    return status == ST_OK ? make_file(file, error) : status;
}

void sqlite_file_close(struct sqlite_file *file)
{
    if (file->itself >= 0)
        close(file->itself);
    if (file->lock >= 0)
        close(file->lock);
    free(file->path);
    free(file->lock_path);
    free(file->ballast_path);
    *file = (struct sqlite_file){ .lock = -1, .itself = -1 };
}

enum status sqlite_ballast_take(const struct sqlite_file *file, bool with_room, struct error *error)
{
    int ballast = open(file->ballast_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ballast < 0)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "cannot set space aside in %s: %s", file->ballast_path,
                         strerror(errno));
    int failed = posix_fallocate(ballast, 0, with_room ? 2 * BALLAST_SIZE : BALLAST_SIZE);
    if (failed == 0 && ftruncate(ballast, BALLAST_SIZE) != 0)
        failed = errno;
    close(ballast);
    if (failed == 0)
        return ST_OK;
    sqlite_ballast_release(file);
    return error_set(error, ST_RESOURCE_EXHAUSTED, "cannot set space aside in %s: %s", file->ballast_path,
                     strerror(failed));
}

void sqlite_ballast_release(const struct sqlite_file *file)
{
    (void)unlink(file->ballast_path);
}

/* --- Schema --- */

static int query_number(struct sqlite_connection *connection, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement;
    int           code = sqlite3_prepare_v2(connection->handle, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    return sqlite3_finalize(statement);
}

static int apply(struct sqlite_connection *connection, int number)
{
    char finish[256];
    snprintf(finish, sizeof finish,
             "PRAGMA application_id = %d; PRAGMA user_version = %d; "
             "INSERT OR REPLACE INTO meta VALUES ('schema', '%s'); COMMIT",
             APPLICATION_ID, number, sqlite_migrations[number - 1].name);
    int code = sqlite3_exec(connection->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(connection->handle, sqlite_migrations[number - 1].sql, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(connection->handle, finish, NULL, NULL, NULL);
    return code;
}

enum status sqlite_schema_version(struct sqlite_connection *connection, int *ret_version, struct error *error)
{
    int64_t version = 0, application = 0, tables = 0;
    if (query_number(connection, "PRAGMA user_version", &version) != SQLITE_OK ||
        query_number(connection, "PRAGMA application_id", &application) != SQLITE_OK ||
        query_number(connection, "SELECT count(*) FROM sqlite_schema", &tables) != SQLITE_OK)
        return sqlite_error(connection, ST_UNAVAILABLE, "cannot read the store", error);
    if (application != APPLICATION_ID && (tables > 0 || version != 0 || application != 0))
        return error_set(error, ST_FAILED_PRECONDITION, "%s is an SQLite database of something else",
                         connection->path);
    if (version > sqlite_migration_count)
        return error_set(error, ST_FAILED_PRECONDITION,
                         "the store %s was written by a newer release (schema %" PRId64
                         "; this one knows up to %d)",
                         connection->path, version, sqlite_migration_count);
    *ret_version = (int)version;
    return ST_OK;
}

enum status sqlite_migrate(struct sqlite_connection *connection, struct error *error)
{
    int         version = 0;
    enum status status = sqlite_schema_version(connection, &version, error);
    if (status != ST_OK)
        return status;
    for (int number = version + 1; number <= sqlite_migration_count; number++) {
        if (apply(connection, number) != SQLITE_OK)
            return sqlite_error(connection, ST_UNAVAILABLE, "cannot bring the schema up to date in", error);
    }
    return ST_OK;
}
