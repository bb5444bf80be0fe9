/* view.c: a look at a file that somebody else may own: reads of one moment, and what SQLite says about the file.
 *
 * Reads are answered on the thread that asks, within one transaction that lasts until it is renewed.
 */
#include <stdio.h>

#include "store/sqlite/schema.h"
#include "store/sqlite/sqlite_internal.h"

#define INTEGRITY_MESSAGES_MAX 100

struct view {
    struct store             store;
    struct sqlite_connection connection;
    char                    *path;
    uint64_t                 reads;
};

static struct view *view_of(struct store *store)
{
    return CONTAINER_OF(store, struct view, store);
}

/* --- as a store --- */

static void view_submit(struct store *store, struct store_batch *batch)
{
    error_set(&batch->error, ST_FAILED_PRECONDITION, "a look at %s writes nothing", view_of(store)->path);
    store_batch_post(batch, STORE_ABORTED);
}

static void view_read(struct store *store, struct store_read *read)
{
    struct view *view = view_of(store);
    view->reads++;
    sqlite_read(&view->connection, read);
    store_read_post(read);
}

static enum status view_probe(struct store *store, struct error *error)
{
    return error_set(error, ST_FAILED_PRECONDITION, "a look at %s writes nothing", view_of(store)->path);
}

static void view_statistics(struct store *store, struct store_statistics *ret_statistics)
{
    *ret_statistics = (struct store_statistics){ .reads = view_of(store)->reads };
}

static void view_close(struct store *store)
{
    struct view *view = view_of(store);
    sqlite_connection_close(&view->connection);
    free(view->path);
    free(view);
}

/* --- moments --- */

/* The first read within a transaction fixes the moment. */
static int hold(struct view *view)
{
    int code = sqlite_run(&view->connection, SQL_BEGIN_READ);
    if (code == SQLITE_OK)
        code = sqlite3_exec(view->connection.handle, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    view->connection.holds = code ==
                             SQLITE_OK; /* else each read has its own transaction, and tells what is wrong */
    return code;
}

static void let_go(struct view *view)
{
    if (!sqlite3_get_autocommit(view->connection.handle))
        sqlite3_exec(view->connection.handle, "ROLLBACK", NULL, NULL, NULL);
    view->connection.holds = false;
}

void store_sqlite_view_renew(struct store *store)
{
    struct view *view = view_of(store);
    let_go(view);
    (void)hold(view);
}

static enum status check_version(struct view *view, struct error *error)
{
    int         version = 0;
    enum status status = sqlite_schema_version(&view->connection, &version, error);
    if (status == ST_OK && version < sqlite_migration_count)
        return error_set(error, ST_FAILED_PRECONDITION,
                         "the store %s has schema %d, and this release reads %d: a server that starts on it "
                         "(or `perdure store restore` of it) brings it up to date",
                         view->path, version, sqlite_migration_count);
    return status;
}

enum status store_sqlite_view(const char *path, struct store **ret_store, struct error *error)
{
    static const struct store_operations operations = {
        .name = "sqlite view",
        .submit = view_submit,
        .read = view_read,
        .probe = view_probe,
        .statistics = view_statistics,
        .close = view_close,
    };
    struct view *view = xcalloc(1, sizeof *view);
    view->store.operations = &operations;
    view->path = xmalloc(strlen(path) + 1);
    memcpy(view->path, path, strlen(path) + 1);
    enum status status = sqlite_connection_view(&view->connection, view->path, error);
    if (status == ST_OK && hold(view) != SQLITE_OK)
        status = sqlite_error(&view->connection, ST_UNAVAILABLE, "cannot read the store", error);
    if (status == ST_OK)
        status = check_version(view, error);
    if (status == ST_OK) {
        *ret_store = &view->store;
        return ST_OK;
    }
    view_close(&view->store);
    return status;
}

/* --- what SQLite says --- */

struct inspection {
    struct view *view;
    void (*report)(void *context, const char *what);
    void *context;
};

/* Reports what a query answers, a text each; its own failure as well. */
static void report_rows(struct inspection *inspection, const char *what, const char *sql)
{
    sqlite3      *handle = inspection->view->connection.handle;
    sqlite3_stmt *statement = NULL;
    char          message[1024];
    int           code = sqlite3_prepare_v2(handle, sql, -1, &statement, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (code != SQLITE_ROW || (text != NULL && strcmp(text, "ok") == 0))
            continue;
        snprintf(message, sizeof message, "%s%s", what, text == NULL ? "?" : text);
        inspection->report(inspection->context, message);
    }
    if (code != SQLITE_DONE) {
        snprintf(message, sizeof message, "%s%s (SQLite code %d)", what, sqlite3_errmsg(handle),
                 sqlite3_extended_errcode(handle));
        inspection->report(inspection->context, message);
    }
    sqlite3_finalize(statement);
}

/* The columns of tables and indexes as text, one behind the other. Not the statements that made them: comments change. */
static int append_schema(sqlite3 *handle, struct buffer *to)
{
    static const char query[] =
        "SELECT s.name, c.name, c.type, c.\"notnull\" || c.pk, '' FROM sqlite_schema AS s, "
        "pragma_table_info(s.name) AS c "
        "WHERE s.type = 'table' UNION ALL "
        "SELECT s.name, i.name, s.tbl_name, i.seqno || i.\"desc\" || i.coll, s.type FROM sqlite_schema AS s, "
        "pragma_index_xinfo(s.name) AS i WHERE s.type <> 'table' ORDER BY 1, 5, 4, 2";
    sqlite3_stmt *statement = NULL;
    int           code = sqlite3_prepare_v2(handle, query, -1, &statement, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        for (int i = 0; code == SQLITE_ROW && i < 5; i++) {
            const char *text = (const char *)sqlite3_column_text(statement, i);
            buffer_append_text(to, text == NULL ? "" : text);
            buffer_append_byte(to, 0);
        }
    }
    sqlite3_finalize(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Whether the file has the tables and indexes that its migrations make. */
static void inspect_schema(struct inspection *inspection)
{
    struct buffer found = { 0 }, expected = { 0 };
    sqlite3      *fresh = NULL;
    int           code = sqlite3_open_v2(":memory:", &fresh,
                                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    for (int i = 0; code == SQLITE_OK && i < sqlite_migration_count; i++)
        code = sqlite3_exec(fresh, sqlite_migrations[i].sql, NULL, NULL, NULL);
    if (code != SQLITE_OK || append_schema(fresh, &expected) != SQLITE_OK)
        panic("the schema cannot be made in memory: %s", sqlite3_errmsg(fresh));
    code = append_schema(inspection->view->connection.handle, &found);
    if (code != SQLITE_OK || !bytes_equal(buffer_bytes(&found), buffer_bytes(&expected)))
        inspection->report(inspection->context, "the tables and indexes are not those of its schema");
    sqlite3_close(fresh);
    buffer_release(&found);
    buffer_release(&expected);
}

enum status store_sqlite_view_inspect(struct store *store, void (*report)(void *context, const char *what),
                                      void *context, struct error *error)
{
    struct inspection inspection = { .view = view_of(store), .report = report, .context = context };
    char              sql[64];
    enum status       status = check_version(inspection.view, error);
    if (status != ST_OK)
        return status;
    inspect_schema(&inspection);
    snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", INTEGRITY_MESSAGES_MAX);
    report_rows(&inspection, "SQLite: ", sql);
    report_rows(
        &inspection, "a row of the log of transitions that nothing points to: sequence ",
        "SELECT sequence FROM transition_log AS l WHERE NOT EXISTS (SELECT 1 FROM transition_position AS p "
        "WHERE p.branch = l.branch AND p.number = l.number AND p.sequence = l.sequence) LIMIT 100");
    report_rows(
        &inspection, "a row of entities that nobody can read: kind ",
        "SELECT DISTINCT kind FROM entity WHERE typeof(kind) <> 'integer' OR kind NOT BETWEEN 1 AND 255 OR "
        "typeof(key) <> 'blob'");
    report_rows(&inspection, "the note of the schema is missing: ",
                "SELECT 'meta' WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'schema')");
    return ST_OK;
}
