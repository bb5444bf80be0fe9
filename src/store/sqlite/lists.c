/* lists.c: lists and counts of runs. A list is one or two queries for the numbers of the runs in their order, each along
 * one index, and a look at each row; so sorting, where it is needed, moves numbers only. */
#include "store/sqlite/filter_sql.h"

/* Of the columns that have an index, those that the filter fixes. */
struct fixed {
    const struct store_value *workflow_id, *workflow_type, *status;
};

/* Said again outside of the filter, where the index that is named can use it. */
static void add_equal(struct sql *sql, enum store_column column, const struct store_value *value)
{
    struct store_filter equal = { .column = column,
                                  .values = (struct store_value *)(uintptr_t)value,
                                  .value_count = 1 };
    equal.operator= STORE_EQUAL;
    sql_add(sql, " AND ");
    sql_add_filter(sql, &equal);
}

static void add_start(struct sql *sql, const struct store_read *read, const char *index)
{
    sql_add(sql, "SELECT number FROM run INDEXED BY ");
    sql_add(sql, index);
    sql_add(sql, " WHERE namespace = ");
    sql_add_number(sql, read->namespace_number);
}

static void add_limit(struct sql *sql, const struct store_read *read)
{
    if (read->limit == 0 || read->limit >= INT32_MAX)
        return;
    sql_add(sql, " LIMIT ");
    sql_add_number(sql,
                   (int64_t)(read->limit - read->run_count) + 1); /* one more tells whether there is more */
}

/* Few runs have one workflow id: all are sorted. */
static void build_by_workflow_id(struct sql *sql, const struct store_read *read, const struct fixed *fixed)
{
    add_start(sql, read, "run_by_workflow_id");
    add_equal(sql, STORE_COLUMN_WORKFLOW_ID, fixed->workflow_id);
    sql_add(sql, " AND ");
    sql_add_filter(sql, read->filter);
    if (read->after_is_set && read->after_open) {
        sql_add(sql, " AND (close_time IS NOT NULL OR number < ");
        sql_add_number(sql, read->after);
        sql_add(sql, ")");
    } else if (read->after_is_set) {
        sql_add(sql, " AND (close_time, number) < (");
        sql_add_number(sql, read->after_close_time);
        sql_add(sql, ", ");
        sql_add_number(sql, read->after);
        sql_add(sql, ")");
    }
    sql_add(sql, " ORDER BY close_time IS NOT NULL, close_time DESC, number DESC");
    add_limit(sql, read);
}

static void add_open_range(struct sql *sql, const struct store_read *read, const char *index,
                           enum store_column column, const struct store_value *value)
{
    add_start(sql, read, index);
    add_equal(sql, column, value);
    sql_add(sql, " AND close_time IS NULL AND ");
    sql_add_filter(sql, read->filter);
    if (read->after_is_set) {
        sql_add(sql, " AND number < ");
        sql_add_number(sql, read->after);
    }
}

/* Without a type the index by status serves, with one range for each status an open run has, merged by number. */
static void build_open(struct sql *sql, const struct store_read *read, const struct fixed *fixed)
{
    if (fixed->workflow_type != NULL) {
        add_open_range(sql, read, "run_by_type", STORE_COLUMN_WORKFLOW_TYPE, fixed->workflow_type);
    } else if (fixed->status != NULL) {
        add_open_range(sql, read, "run_by_status", STORE_COLUMN_STATUS, fixed->status);
    } else {
        for (size_t i = 0; i < STORE_OPEN_STATUS_COUNT; i++) {
            const struct store_value status = { .number = store_open_statuses[i] };
            sql_add(sql, i == 0 ? "" : " UNION ALL ");
            add_open_range(sql, read, "run_by_status", STORE_COLUMN_STATUS, &status);
        }
    }
    sql_add(sql, " ORDER BY number DESC");
    add_limit(sql, read);
}

static void build_closed(struct sql *sql, const struct store_read *read, const struct fixed *fixed)
{
    add_start(sql, read,
              fixed->workflow_type != NULL ? "run_by_type"
              : fixed->status != NULL      ? "run_by_status"
                                           : "run_by_close_time");
    if (fixed->workflow_type != NULL)
        add_equal(sql, STORE_COLUMN_WORKFLOW_TYPE, fixed->workflow_type);
    else if (fixed->status != NULL)
        add_equal(sql, STORE_COLUMN_STATUS, fixed->status);
    sql_add(sql, " AND close_time IS NOT NULL AND ");
    sql_add_filter(sql, read->filter);
    if (read->after_is_set && !read->after_open) {
        sql_add(sql, " AND close_time <= ");
        sql_add_number(sql, read->after_close_time);
        sql_add(sql, " AND (close_time < ");
        sql_add_number(sql, read->after_close_time);
        sql_add(sql, " OR number < ");
        sql_add_number(sql, read->after);
        sql_add(sql, ")");
    }
    sql_add(sql, " ORDER BY close_time DESC, number DESC");
    add_limit(sql, read);
}

/* Adds the run with this number; false: the page has ended, or the read has failed. */
static bool add_row(struct sqlite_connection *connection, struct store_page *page, int64_t number)
{
    struct sqlite_binder binder = { .code = SQLITE_OK };
    struct store_run     run;
    binder.code = sqlite_statement(connection, SQL_READ_LISTED_RUN, &binder.statement);
    sqlite_bind_number(&binder, number);
    bool going = false;
    int  code = binder.code == SQLITE_OK ? sqlite3_step(binder.statement) : binder.code;
    if (code == SQLITE_ROW && sqlite_decode_run(binder.statement, &run))
        going = store_page_add(page, &run) == STORE_PAGE_TAKEN;
    else if (code == SQLITE_ROW || code == SQLITE_DONE) /* an index that leads nowhere is as bad */
        sqlite_damaged(connection, page->read, "run", number);
    else
        sqlite_read_failed(connection, page->read, code);
    if (binder.statement != NULL)
        sqlite3_reset(binder.statement);
    return going;
}

/* Runs one query and adds its rows; false: the page has ended, or the read has failed. */
static bool add_rows(struct sqlite_connection *connection, struct store_page *page, const struct fixed *fixed,
                     void (*build)(struct sql *sql, const struct store_read *read, const struct fixed *fixed))
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    bool          going = true;
    sql_init(&sql);
    build(&sql, page->read, fixed);
    int code = sql_prepare(&sql, connection->handle, &statement);
    while (going && code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        going = add_row(connection, page, sqlite3_column_int64(statement, 0));
        code = SQLITE_OK;
    }
    if (code != SQLITE_OK && code != SQLITE_DONE) {
        sqlite_read_failed(connection, page->read, code);
        going = false;
    }
    sqlite3_finalize(statement);
    sql_release(&sql);
    return going;
}

void sqlite_read_list(struct sqlite_connection *connection, struct store_read *read)
{
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status != ST_OK)
        return;
    struct store_page  page;
    const struct fixed fixed = { .workflow_id = sql_filter_equal(read->filter, STORE_COLUMN_WORKFLOW_ID),
                                 .workflow_type = sql_filter_equal(read->filter, STORE_COLUMN_WORKFLOW_TYPE),
                                 .status = sql_filter_equal(read->filter, STORE_COLUMN_STATUS) };
    store_page_runs(&page, read);
    if (fixed.workflow_id != NULL) {
        (void)add_rows(connection, &page, &fixed, build_by_workflow_id);
        return;
    }
    bool open = (!read->after_is_set || read->after_open) &&
                (fixed.status == NULL || store_status_is_open(fixed.status->number));
    if (!open || add_rows(connection, &page, &fixed, build_open))
        (void)add_rows(connection, &page, &fixed, build_closed);
}

/* --- Counts --- */

static enum status add_group(struct store_read *read, sqlite3_stmt *statement, size_t *capacity)
{
    struct store_value value = { .number = 0 };
    int                type = sqlite3_column_type(statement, 1);
    int64_t            count = sqlite3_column_int64(statement, 0);
    read->count += count;
    if (type == SQLITE_NULL)
        return ST_OK;
    if (type == SQLITE_INTEGER) {
        value.number = sqlite3_column_int64(statement, 1);
    } else {
        value.is_text = true;
        value.text.base = sqlite3_column_blob(statement, 1);
        value.text.size = (size_t)sqlite3_column_bytes(statement, 1);
    }
    return store_groups_add(read, capacity, &value, count);
}

void sqlite_read_count(struct sqlite_connection *connection, struct store_read *read)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    bool          grouped = read->group_column >= 0;
    size_t        capacity = 0;
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status == ST_OK && read->group_column >= STORE_COLUMN_COUNT)
        read->status = error_set(&read->error, ST_INVALID_ARGUMENT, "unknown column %d", read->group_column);
    if (read->status != ST_OK)
        return;
    sql_init(&sql);
    sql_add(&sql, "SELECT count(*), ");
    sql_add(&sql, grouped ? sql_column((enum store_column)read->group_column) : "NULL");
    sql_add(&sql, " FROM run WHERE namespace = ");
    sql_add_number(&sql, read->namespace_number);
    sql_add(&sql, " AND ");
    sql_add_filter(&sql, read->filter);
    if (grouped)
        sql_add(&sql, " GROUP BY 2");
    int code = sql_prepare(&sql, connection->handle, &statement);
    while (code == SQLITE_OK && read->status == ST_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        code = SQLITE_OK;
        if (add_group(read, statement, &capacity) != ST_OK)
            break;
    }
    if (code != SQLITE_OK && code != SQLITE_DONE)
        sqlite_read_failed(connection, read, code);
    read->found = read->count > 0;
    sqlite3_finalize(statement);
    sql_release(&sql);
}
