/* connection.c: one connection: its settings, its statements, and binding of values. */
#include "base/metric.h"
#include "base/mutant.h"
#include <stdio.h>
#include <sys/stat.h>

#include "store/sqlite/sqlite_internal.h"

#define VIEW_BUSY_MS 10000

#define RUN_COLUMNS                                                                                          \
    "number, namespace, workflow_id, run_id, workflow_type, task_queue, status, start_time, "                \
    "execution_time, "                                                                                       \
    "close_time, history_length, history_size, state_transitions, parent_workflow_id, parent_run_id, "       \
    "root_workflow_id, root_run_id, memo, search_attributes, snapshot_transition, kind, attributes, "
#define RUN_CHANGES                                                                                          \
    "task_queue = ?2, execution_time = ?3, history_length = ?4, history_size = ?5, state_transitions = ?6, " \
    "memo = ?7, search_attributes = ?8, snapshot = ?9, snapshot_transition = ?10"
#define HISTORY                                                                                              \
    "SELECT p.branch, p.number, l.first_event_id, l.event_count, l.checksum, l.events, l.delta, l.branch, "  \
    "l.number FROM transition_position p LEFT JOIN transition_log l ON l.sequence = p.sequence "             \
    "WHERE p.branch = ?1 AND p.number BETWEEN ?2 AND ?3 ORDER BY p.number "

#define READY_QUEUE "FROM ready INDEXED BY ready_by_queue WHERE namespace = ?1 AND queue = ?2 AND kind = ?3 "
#define READY_COLUMNS                                                                                        \
    "SELECT sequence, namespace, queue, kind, priority, normal_queue, fairness_key, version, run, "          \
    "workflow_id, "                                                                                          \
    "scheduled_event_id, stamp, created_time, fairness_weight "
#define READY READY_COLUMNS READY_QUEUE
/* A page begins inside of one due time and goes on to the next ones: two ranges of the index, merged. One condition for
 * both would walk over all of the first due time again for each page. */
#define WAKEUP_COLUMNS "SELECT entity, due, namespace, workflow_id, kind FROM wakeup "
#define WAKEUP         WAKEUP_COLUMNS "INDEXED BY wakeup_by_due WHERE "

static const char *const statements[SQL_STATEMENT_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVEPOINT] = "SAVEPOINT one",
    [SQL_SAVEPOINT_RELEASE] = "RELEASE one",
    [SQL_SAVEPOINT_ROLLBACK] = "ROLLBACK TO one",
    [SQL_DATA_VERSION] = "PRAGMA data_version",
    [SQL_META_PUT] = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
    [SQL_RUN_INSERT] = "INSERT INTO run (" RUN_COLUMNS "snapshot) VALUES "
                       "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, "
                       "?19, ?20, ?21, ?22, ?23)",
    [SQL_RUN_UPDATE] = "UPDATE run SET " RUN_CHANGES
                       ", status = ?12, close_time = ?13 WHERE number = ?1 AND attributes IS ?11",
    [SQL_RUN_UPDATE_OPEN] =
        "UPDATE run SET " RUN_CHANGES
        " WHERE number = ?1 AND attributes IS ?11 AND status = ?12 AND close_time IS NULL",
    [SQL_RUN_ATTRIBUTES] = "UPDATE run SET attributes = ?2, kind = ?3 WHERE number = ?1",
    [SQL_ATTRIBUTES_DELETE] = "DELETE FROM attribute WHERE run = ?1",
    [SQL_ATTRIBUTE_INSERT] = "INSERT INTO attribute (run, name, value) VALUES (?1, ?2, ?3)",
    [SQL_ATTRIBUTE_NAME] = "SELECT number FROM attribute_name WHERE namespace = ?1 AND kind = ?2 AND "
                           "name = ?3 AND type = ?4",
    [SQL_ATTRIBUTE_NAME_INSERT] =
        "INSERT INTO attribute_name (namespace, kind, name, type) VALUES (?1, ?2, ?3, ?4)",
    [SQL_READ_ATTRIBUTES] = "SELECT n.name, n.type, a.value FROM attribute AS a JOIN attribute_name AS n "
                            "ON n.number = a.name WHERE a.run = ?1",
    [SQL_RUN_SNAPSHOT] = "UPDATE run SET snapshot = ?2, snapshot_transition = ?3 WHERE number = ?1",
    [SQL_RUN_DELETE] = "DELETE FROM run WHERE number = ?1",
    [SQL_TRANSITION_INSERT] =
        "INSERT INTO transition_log (sequence, branch, number, first_event_id, event_count, "
        "checksum, events, delta) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SQL_POSITION_INSERT] = "INSERT INTO transition_position (branch, number, sequence) VALUES (?1, ?2, ?3)",
    [SQL_TRANSITIONS_DELETE] =
        "DELETE FROM transition_log WHERE sequence IN (SELECT sequence FROM transition_position "
        "WHERE branch = ?1 AND number BETWEEN ?2 AND ?3)",
    [SQL_POSITIONS_DELETE] = "DELETE FROM transition_position WHERE branch = ?1 AND number BETWEEN ?2 AND ?3",
    [SQL_READY_INSERT] =
        "INSERT INTO ready (sequence, namespace, queue, kind, priority, normal_queue, fairness_key, "
        "version, run, workflow_id, scheduled_event_id, stamp, created_time, fairness_weight) VALUES "
        "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [SQL_READY_DELETE] = "DELETE FROM ready WHERE sequence = ?1",
    [SQL_WAKEUP_SET] =
        "INSERT INTO wakeup (entity, due, namespace, workflow_id, kind) VALUES (?1, ?2, ?3, ?4, ?5) "
        "ON CONFLICT (entity) DO UPDATE SET due = ?2, namespace = ?3, workflow_id = ?4, kind = ?5",
    [SQL_WAKEUP_DELETE] = "DELETE FROM wakeup WHERE entity = ?1",
    [SQL_OUTBOX_INSERT] = "INSERT INTO outbox (source_range, target_range, number, source_run, body) "
                          "VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_OUTBOX_DELETE] = "DELETE FROM outbox WHERE source_range = ?1 AND target_range = ?2 AND number = ?3",
    /* As store_link_take. A shift by 64 or more gives 0. */
    [SQL_LINK_TAKE] =
        "INSERT INTO link (source_range, target_range, number, window) VALUES (?1, ?2, ?3, 0) "
        "ON CONFLICT (source_range, target_range) DO UPDATE SET number = max(number, ?3), window = CASE "
        "WHEN number = 0 OR number = ?3 THEN window "
        "WHEN number < ?3 THEN (window << (?3 - number)) | (1 << (?3 - number - 1)) "
        "ELSE window | (1 << (number - ?3 - 1)) END",
    [SQL_ENTITY_PUT] = "INSERT OR REPLACE INTO entity (kind, key, state) VALUES (?1, ?2, ?3)",
    [SQL_ENTITY_DELETE] = "DELETE FROM entity WHERE kind = ?1 AND key = ?2",
    [SQL_READ_CURRENT_RUN] = "SELECT " RUN_COLUMNS "snapshot FROM run INDEXED BY run_by_workflow_id "
                             "WHERE namespace = ?1 AND workflow_id = ?2 ORDER BY number DESC LIMIT 1",
    [SQL_READ_RUN] = "SELECT " RUN_COLUMNS "snapshot FROM run WHERE number = ?1",
    [SQL_READ_LISTED_RUN] = "SELECT " RUN_COLUMNS "NULL FROM run WHERE number = ?1",
    [SQL_READ_HISTORY] = HISTORY,
    [SQL_READ_HISTORY_BACKWARD] = HISTORY "DESC",
    [SQL_READ_NEWEST_TRANSITION] =
        "SELECT max(number) FROM transition_position WHERE branch = ?1 AND number <= ?2",
    [SQL_READ_FIRST_EVENT] = "SELECT first_event_id FROM transition_log WHERE sequence = "
                             "(SELECT sequence FROM transition_position WHERE branch = ?1 AND number = ?2)",
    [SQL_READ_READY] = READY "AND priority = ?4 AND fairness_key IS ?5 AND sequence > ?6 ORDER BY sequence",
    [SQL_READ_READY_HEAD_OF_KEYS] = READY
    "AND priority = ?4 AND fairness_key > ?5 ORDER BY fairness_key, sequence LIMIT 1",
    [SQL_READ_READY_HEAD_OF_PRIORITIES] = READY
    "AND priority > ?4 ORDER BY priority, fairness_key, sequence LIMIT 1",
    [SQL_READ_READY_COUNTS] =
        "SELECT counted.priority, counted.number, ready.created_time FROM (SELECT priority, count(*) AS "
        "number, min(sequence) AS oldest " READY_QUEUE
        "GROUP BY priority) AS counted JOIN ready ON ready.sequence = counted.oldest ORDER BY 1",
    [SQL_READ_WAKEUPS] = WAKEUP "due = ?1 AND entity > ?2 UNION ALL " WAKEUP "due > ?1 ORDER BY due, entity",
    [SQL_READ_READY_ROWS] = READY_COLUMNS "FROM ready WHERE sequence > ?1 ORDER BY sequence",
    [SQL_READ_WAKEUP] = WAKEUP_COLUMNS "WHERE entity = ?1",
    [SQL_READ_BRANCHES] = "SELECT branch, count(*), min(number), max(number) FROM transition_position "
                          "WHERE branch > ?1 GROUP BY branch ORDER BY branch",
    [SQL_READ_IDENTITIES] = "SELECT namespace, workflow_id, number FROM run INDEXED BY run_by_workflow_id "
                            "WHERE (namespace, workflow_id, number) > (?1, ?2, ?3) "
                            "ORDER BY namespace, workflow_id, number",
    [SQL_READ_OUTBOX] = "SELECT source_range, target_range, number, source_run, body FROM outbox "
                        "WHERE (source_range, target_range, number) > (?1, ?2, ?3) "
                        "ORDER BY source_range, target_range, number",
    [SQL_READ_LINKS] =
        "SELECT source_range, target_range, number, window FROM link ORDER BY source_range, target_range",
    [SQL_READ_ENTITY] = "SELECT kind, key, state FROM entity WHERE kind = ?1 AND key = ?2",
    [SQL_READ_ENTITIES] = "SELECT kind, key, state FROM entity WHERE kind = ?1 AND key > ?2 ORDER BY key",
};

static void configure_library(void)
{
    /* Refused when the process has used SQLite before, which costs a little speed and nothing else. */
    (void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite_log_system_register();
}

static int apply_settings(struct sqlite_connection *connection, int cache_kib, int busy_ms)
{
    char settings[256];
    snprintf(settings, sizeof settings,
             "PRAGMA page_size = %d; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size "
             "= -%d; "
             "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0; "
             "PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF",
             SQLITE_PAGE_SIZE, cache_kib);
    sqlite3_busy_timeout(connection->handle, busy_ms);
    sqlite3_extended_result_codes(connection->handle, 1);
    (void)sqlite3_limit(connection->handle, SQLITE_LIMIT_LENGTH, STORE_ROW_SIZE_MAX + (1 << 20));
    int code = sqlite3_exec(connection->handle, settings, NULL, NULL, NULL);
    if (MUTANT(commit_without_flush))
        code = sqlite3_exec(connection->handle, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
    return code;
}

static void configure_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure_library);
}

static enum status opened(struct sqlite_connection *connection, int code, struct error *error)
{
    if (code == SQLITE_OK)
        return ST_OK;
    enum status status = (code & 0xFF) == SQLITE_NOTADB    ? ST_FAILED_PRECONDITION
                         : (code & 0xFF) == SQLITE_CORRUPT ? ST_DATA_LOSS
                                                           : ST_UNAVAILABLE;
    (void)sqlite_error(connection, status, "cannot open the store", error);
    sqlite_connection_close(connection);
    return status;
}

enum status sqlite_connection_open(struct sqlite_connection *connection, const char *path, int cache_kib,
                                   int busy_ms, struct error *error)
{
    configure_once();
    *connection = (struct sqlite_connection){ .path = path };
    int code = sqlite3_open_v2(path, &connection->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                               SQLITE_LOG_SYSTEM);
    if (code == SQLITE_OK)
        code = apply_settings(connection, cache_kib, busy_ms);
    return opened(connection, code, error);
}

enum status sqlite_connection_view(struct sqlite_connection *connection, const char *path,
                                   struct error *error)
{
    configure_once();
    *connection = (struct sqlite_connection){ .path = path };
    struct stat found;
    if (stat(path, &found) == 0 && found.st_nlink > 1) /* its log may be beside another one */
        return error_set(error, ST_FAILED_PRECONDITION, "the store %s has %ju names (hard links)", path,
                         (uintmax_t)found.st_nlink);
    int code = sqlite3_open_v2(path, &connection->handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                               SQLITE_LOG_SYSTEM);
    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(connection->handle, VIEW_BUSY_MS);
        sqlite3_extended_result_codes(connection->handle, 1);
        code =
            sqlite3_exec(connection->handle,
                         "PRAGMA cache_size = -8192; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; "
                         "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON",
                         NULL, NULL, NULL);
    }
    return opened(connection, code, error);
}

void sqlite_publish_cache(const struct sqlite_connection *connection)
{
    int used = 0, peak = 0;
    if (sqlite3_db_status(connection->handle, SQLITE_DBSTATUS_CACHE_USED, &used, &peak, 0) == SQLITE_OK)
        metric_set(METRIC_CACHE_BYTES, 0, CACHE_SQLITE, (uint64_t)used);
}

void sqlite_connection_close(struct sqlite_connection *connection)
{
    for (int i = 0; i < SQL_STATEMENT_COUNT; i++) {
        sqlite3_finalize(connection->statements[i]);
        connection->statements[i] = NULL;
    }
    sqlite3_close(connection->handle);
    connection->handle = NULL;
}

int sqlite_statement(struct sqlite_connection *connection, enum sqlite_statement which,
                     sqlite3_stmt **ret_statement)
{
    sqlite3_stmt **statement = &connection->statements[which];
    if (*statement == NULL) {
        int code = sqlite3_prepare_v3(connection->handle, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                      statement, NULL);
        if (code != SQLITE_OK)
            return code;
    }
    *ret_statement = *statement;
    return SQLITE_OK;
}

int sqlite_run(struct sqlite_connection *connection, enum sqlite_statement which)
{
    sqlite3_stmt *statement;
    int           code = sqlite_statement(connection, which, &statement);
    if (code != SQLITE_OK)
        return code;
    (void)sqlite3_step(statement);
    return sqlite3_reset(statement);
}

enum status sqlite_error(const struct sqlite_connection *connection, enum status status, const char *what,
                         struct error *error)
{
    return error_set(error, status, "%s %s: %s (SQLite code %d)", what, connection->path,
                     sqlite3_errmsg(connection->handle), sqlite3_extended_errcode(connection->handle));
}

/* --- Binding. Values are borrowed until the statement is reset (SQLITE_STATIC): the batch outlives its transaction --- */

static void bound(struct sqlite_binder *binder, int code)
{
    if (binder->code == SQLITE_OK)
        binder->code = code;
}

void sqlite_bind_number(struct sqlite_binder *binder, int64_t value)
{
    bound(binder, sqlite3_bind_int64(binder->statement, ++binder->index, value));
}

void sqlite_bind_number_if(struct sqlite_binder *binder, bool set, int64_t value)
{
    if (set)
        sqlite_bind_number(binder, value);
    else
        bound(binder, sqlite3_bind_null(binder->statement, ++binder->index));
}

void sqlite_bind_text(struct sqlite_binder *binder, struct bytes text)
{
    bound(binder, sqlite3_bind_text64(binder->statement, ++binder->index,
                                      text.size == 0 ? "" : (const char *)text.base, text.size, SQLITE_STATIC,
                                      SQLITE_UTF8));
}

void sqlite_bind_text_if_set(struct sqlite_binder *binder, struct bytes text)
{
    if (text.size != 0)
        sqlite_bind_text(binder, text);
    else
        bound(binder, sqlite3_bind_null(binder->statement, ++binder->index));
}

void sqlite_bind_blob(struct sqlite_binder *binder, struct bytes blob)
{
    bound(binder,
          sqlite3_bind_blob64(binder->statement, ++binder->index,
                              blob.size == 0 ? (const void *)"" : blob.base, blob.size, SQLITE_STATIC));
}

void sqlite_bind_blob_if_set(struct sqlite_binder *binder, struct bytes blob)
{
    if (blob.size != 0)
        sqlite_bind_blob(binder, blob);
    else
        bound(binder, sqlite3_bind_null(binder->statement, ++binder->index));
}

void sqlite_bind_uuid_if_set(struct sqlite_binder *binder, const struct uuid *uuid)
{
    static const struct uuid unset;
    bool                     set = memcmp(uuid, &unset, sizeof unset) != 0;
    sqlite_bind_blob_if_set(binder, set ? bytes_of(uuid->byte, sizeof uuid->byte) : BYTES_EMPTY);
}
