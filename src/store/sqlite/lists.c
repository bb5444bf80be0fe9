/* lists.c: lists of runs. A list is one or two queries for the numbers of the runs in their order, each along one index,
 * and a look at each row; so sorting, where it is needed, moves numbers only.
 *
 * A filter that matches little may make a query walk over millions of rows, and as long as it does the log cannot start
 * again. So a query that takes longer than a slice is interrupted, and the rest is done in chunks of so many rows of the
 * index, each in a transaction of its own. Keys order rows, so nothing that stays where it is gets lost between them. */
#include "store/sqlite/filter_sql.h"

/* Of the columns that have an index, those that the filter fixes. */
struct fixed {
    const struct store_value *workflow_id, *workflow_type, *status;
};
/* Rows behind one key and up to another, in the order of a list; of open runs the key is the number alone. */
struct position {
    bool    is_set;
    int64_t close_time, number;
};
struct listing {
    struct sqlite_connection *connection;
    struct store_read        *read;
    struct store_page         page;
    struct fixed              fixed;
    bool                      open; /* open runs, or closed ones */
    struct position           from, to;
    bool                      walk; /* along the index, whatever the filter says */
};

/* Said again outside of the filter, where the index that is named can use it. */
static void add_equal(struct sql *sql, enum store_column column, const struct store_value *value)
{
    struct store_filter equal = { .column = column,
                                  .values = (struct store_value *)(uintptr_t)value,
                                  .value_count = 1 };
    equal.relation = STORE_EQUAL;
    sql_add(sql, " AND ");
    sql_add_filter(sql, &equal);
}

static void add_start(struct sql *sql, const struct listing *listing, const char *index)
{
    sql_add(sql, "SELECT number, close_time FROM run INDEXED BY ");
    sql_add(sql, index);
    sql_add(sql, " WHERE namespace = ");
    sql_add_number(sql, listing->read->namespace_number);
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
static void build_by_workflow_id(struct sql *sql, const struct listing *listing)
{
    const struct store_read *read = listing->read;
    add_start(sql, listing, "run_by_workflow_id");
    add_equal(sql, STORE_COLUMN_WORKFLOW_ID, listing->fixed.workflow_id);
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

static void add_open_range(struct sql *sql, const struct listing *listing, const char *index,
                           enum store_column column, const struct store_value *value)
{
    add_start(sql, listing, index);
    add_equal(sql, column, value);
    sql_add(sql, " AND close_time IS NULL AND ");
    sql_add_filter(sql, listing->walk ? NULL : listing->read->filter);
    if (listing->from.is_set) {
        sql_add(sql, " AND number < ");
        sql_add_number(sql, listing->from.number);
    }
    if (listing->to.is_set) {
        sql_add(sql, " AND number >= ");
        sql_add_number(sql, listing->to.number);
    }
}

/* Without a type the index by status serves, with one range for each status an open run has, merged by number. */
static void build_open(struct sql *sql, const struct listing *listing)
{
    const struct fixed *fixed = &listing->fixed;
    if (fixed->workflow_type != NULL) {
        add_open_range(sql, listing, "run_by_type", STORE_COLUMN_WORKFLOW_TYPE, fixed->workflow_type);
    } else if (fixed->status != NULL) {
        add_open_range(sql, listing, "run_by_status", STORE_COLUMN_STATUS, fixed->status);
    } else {
        for (size_t i = 0; i < STORE_OPEN_STATUS_COUNT; i++) {
            const struct store_value status = { .number = store_open_statuses[i] };
            sql_add(sql, i == 0 ? "" : " UNION ALL ");
            add_open_range(sql, listing, "run_by_status", STORE_COLUMN_STATUS, &status);
        }
    }
    sql_add(sql, " ORDER BY number DESC");
}

/* The first condition is for the index, the second for runs that were closed in the same nanosecond. */
static void add_closed_bound(struct sql *sql, const struct position *position, const char *time,
                             const char *number)
{
    if (!position->is_set)
        return;
    sql_add(sql, time);
    sql_add_number(sql, position->close_time);
    sql_add(sql, " AND (close_time <> ");
    sql_add_number(sql, position->close_time);
    sql_add(sql, number);
    sql_add_number(sql, position->number);
    sql_add(sql, ")");
}

static void build_closed(struct sql *sql, const struct listing *listing)
{
    const struct fixed *fixed = &listing->fixed;
    add_start(sql, listing,
              fixed->workflow_type != NULL ? "run_by_type"
              : fixed->status != NULL      ? "run_by_status"
                                           : "run_by_close_time");
    if (fixed->workflow_type != NULL)
        add_equal(sql, STORE_COLUMN_WORKFLOW_TYPE, fixed->workflow_type);
    else if (fixed->status != NULL)
        add_equal(sql, STORE_COLUMN_STATUS, fixed->status);
    sql_add(sql, " AND close_time IS NOT NULL AND ");
    sql_add_filter(sql, listing->walk ? NULL : listing->read->filter);
    add_closed_bound(sql, &listing->from, " AND close_time <= ", " OR number < ");
    add_closed_bound(sql, &listing->to, " AND close_time >= ", " OR number >= ");
    sql_add(sql, " ORDER BY close_time DESC, number DESC");
}

static void build(struct sql *sql, const struct listing *listing)
{
    if (listing->fixed.workflow_id != NULL) {
        build_by_workflow_id(sql, listing);
        return;
    }
    if (listing->open)
        build_open(sql, listing);
    else
        build_closed(sql, listing);
    if (!listing->walk)
        add_limit(sql, listing->read);
}

/* Adds the run with this number; false: the page has ended, or the read has failed. */
static bool add_row(struct listing *listing, int64_t number)
{
    struct sqlite_connection *connection = listing->connection;
    struct sqlite_binder      binder = { .code = SQLITE_OK };
    struct store_run          run;
    binder.code = sqlite_statement(connection, SQL_READ_LISTED_RUN, &binder.statement);
    sqlite_bind_number(&binder, number);
    bool going = false;
    int  code = binder.code == SQLITE_OK ? sqlite3_step(binder.statement) : binder.code;
    if (code == SQLITE_ROW && sqlite_decode_run(binder.statement, &run))
        going = store_page_add(&listing->page, &run) == STORE_PAGE_TAKEN;
    else if (code == SQLITE_ROW || code == SQLITE_DONE) /* an index that leads nowhere is as bad */
        sqlite_damaged(connection, listing->read, "run", number);
    else
        sqlite_read_failed(connection, listing->read, code);
    if (binder.statement != NULL)
        sqlite3_reset(binder.statement);
    return going;
}

/* Runs one query and adds its rows, noting the last one. SQLITE_DONE: there are no more; SQLITE_ROW: the page has ended, or
 * the read has failed; else why the query did. */
static int add_rows(struct listing *listing)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    sql_init(&sql);
    build(&sql, listing);
    int code = sql_prepare(&sql, listing->connection->handle, &statement);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
            if (!add_row(listing, sqlite3_column_int64(statement, 0)))
                break;
            listing->from = (struct position){ true, sqlite3_column_int64(statement, 1),
                                               sqlite3_column_int64(statement, 0) };
        }
    }
    sqlite3_finalize(statement);
    sql_release(&sql);
    return code;
}

/* Sets `to` so many rows of the index behind `from`, or leaves it unset when there are no more. */
static int find_chunk_end(struct listing *listing)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    sql_init(&sql);
    listing->to.is_set = false;
    listing->walk = true;
    build(&sql, listing);
    listing->walk = false;
    sql_add(&sql, " LIMIT 1 OFFSET ");
    sql_add_number(&sql, listing->connection->chunk_rows - 1);
    int code = sql_prepare(&sql, listing->connection->handle, &statement);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        listing->to = (struct position){ true, sqlite3_column_int64(statement, 1),
                                         sqlite3_column_int64(statement, 0) };
    sqlite3_finalize(statement);
    sql_release(&sql);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int add_chunks(struct listing *listing)
{
    int code;
    do {
        if (listing->to.is_set)
            listing->from = listing->to;
        code = sqlite_read_again(listing->connection);
        if (code == SQLITE_OK)
            code = find_chunk_end(listing);
        if (code == SQLITE_OK)
            code = add_rows(listing);
    } while (code == SQLITE_DONE && listing->to.is_set);
    return code;
}

/* Adds the runs of one kind, or of one workflow id; false: the page has ended, or the read has failed. */
static bool add_phase(struct listing *listing)
{
    struct sqlite_connection *connection = listing->connection;
    bool                      sliced = listing->fixed.workflow_id == NULL;
    int                       code = SQLITE_INTERRUPT;
    if (sliced)
        sqlite_read_slice(connection);
    if (!sliced || connection->slice_ns > 0)
        code = add_rows(listing);
    if (sliced && code == SQLITE_INTERRUPT) {
        sqlite_read_whole(connection);
        code = add_chunks(listing);
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        sqlite_read_failed(connection, listing->read, code);
    return code == SQLITE_DONE;
}

void sqlite_read_list(struct sqlite_connection *connection, struct store_read *read)
{
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status != ST_OK)
        return;
    struct listing listing = { .connection = connection, .read = read };
    listing.fixed.workflow_id = sql_filter_equal(read->filter, STORE_COLUMN_WORKFLOW_ID);
    listing.fixed.workflow_type = sql_filter_equal(read->filter, STORE_COLUMN_WORKFLOW_TYPE);
    listing.fixed.status = sql_filter_equal(read->filter, STORE_COLUMN_STATUS);
    store_page_runs(&listing.page, read);
    if (listing.fixed.workflow_id != NULL) {
        (void)add_phase(&listing);
        return;
    }
    const struct store_value *status = listing.fixed.status;
    listing.open = (!read->after_is_set || read->after_open) &&
                   (status == NULL || store_status_is_open(status->number));
    if (listing.open) {
        listing.from = (struct position){ read->after_is_set, 0, read->after };
        if (!add_phase(&listing))
            return;
        listing.open = false;
    }
    bool in_closed = read->after_is_set && !read->after_open;
    listing.from = (struct position){ in_closed, read->after_close_time, read->after };
    listing.to.is_set = false;
    (void)add_phase(&listing);
}
