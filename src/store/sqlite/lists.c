/* lists.c: lists of runs in the order of lists. A list is one or two queries for the numbers of the runs in their order,
 * each along one index, and a look at each row; so nothing is sorted.
 *
 * A filter that matches little may make a query walk over millions of rows, and as long as it does the log cannot start
 * again. So a query that takes longer than a slice is interrupted, and the rest is done in chunks of so many rows of the
 * index, each in a transaction of its own. Keys order rows, so nothing that stays where it is gets lost between them. */
#include "store/sqlite/lists.h"

/* Of the columns that have an index, those that the filter fixes. */
struct fixed {
    const struct store_value *workflow_type, *status;
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
    struct sql_source         source;
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

static void add_start(struct sql *sql, const char *index)
{
    sql_add(sql, "SELECT number, close_time FROM run INDEXED BY ");
    sql_add(sql, index);
    sql_add(sql, " WHERE ");
    sql_add_scope(sql);
}

static void add_filter(struct sql *sql, const struct listing *listing)
{
    if (!listing->walk)
        sql_add_source(sql, &listing->source);
    sql_add(sql, " AND ");
    sql_add_filter(sql, listing->walk ? NULL : listing->read->filter);
}

static void add_limit(struct sql *sql, const struct store_read *read)
{
    if (read->limit == 0 || read->limit >= INT32_MAX)
        return;
    sql_add(sql, " LIMIT ");
    sql_add_number(sql,
                   (int64_t)(read->limit - read->run_count) + 1); /* one more tells whether there is more */
}

static void add_open_range(struct sql *sql, const struct listing *listing, const char *index,
                           enum store_column column, const struct store_value *value)
{
    add_start(sql, index);
    if (value != NULL)
        add_equal(sql, column, value);
    sql_add(sql, " AND close_time IS NULL");
    add_filter(sql, listing);
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
    if (listing->read->run_kind != STORE_RUN_WORKFLOW) {
        add_open_range(sql, listing, "run_by_kind", 0, NULL);
    } else if (fixed->workflow_type != NULL) {
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
    add_start(sql, listing->read->run_kind != STORE_RUN_WORKFLOW ? "run_by_kind"
                   : fixed->workflow_type != NULL                ? "run_by_type"
                   : fixed->status != NULL                       ? "run_by_status"
                                                                 : "run_by_close_time");
    if (fixed->workflow_type != NULL)
        add_equal(sql, STORE_COLUMN_WORKFLOW_TYPE, fixed->workflow_type);
    else if (fixed->status != NULL)
        add_equal(sql, STORE_COLUMN_STATUS, fixed->status);
    sql_add(sql, " AND close_time IS NOT NULL");
    add_filter(sql, listing);
    add_closed_bound(sql, &listing->from, " AND close_time <= ", " OR number < ");
    add_closed_bound(sql, &listing->to, " AND close_time >= ", " OR number >= ");
    sql_add(sql, " ORDER BY close_time DESC, number DESC");
}

static void build(struct sql *sql, const struct listing *listing)
{
    if (listing->open)
        build_open(sql, listing);
    else
        build_closed(sql, listing);
    if (!listing->walk)
        add_limit(sql, listing->read);
}

bool sqlite_list_add(struct sqlite_connection *connection, struct store_page *page, int64_t number,
                     bool may_be_gone, bool *ret_added)
{
    struct sqlite_binder binder = { .code = SQLITE_OK };
    struct store_run     run;
    binder.code = sqlite_statement(connection, SQL_READ_LISTED_RUN, &binder.statement);
    sqlite_bind_number(&binder, number);
    bool going = false;
    int  code = binder.code == SQLITE_OK ? sqlite3_step(binder.statement) : binder.code;
    *ret_added = false;
    if (code == SQLITE_ROW && sqlite_decode_run(binder.statement, &run))
        going = *ret_added = store_page_add(page, &run) == STORE_PAGE_TAKEN;
    else if (code == SQLITE_DONE && may_be_gone)
        going = true;
    else if (code == SQLITE_ROW || code == SQLITE_DONE) /* an index that leads nowhere is as bad */
        sqlite_damaged(connection, page->read, "run", number);
    else
        sqlite_read_failed(connection, page->read, code);
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
    sql_init(&sql, listing->connection, listing->read);
    build(&sql, listing);
    int code = sql_prepare(&sql, &statement);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
            bool added;
            if (!sqlite_list_add(listing->connection, &listing->page, sqlite3_column_int64(statement, 0),
                                 false, &added))
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
    sql_init(&sql, listing->connection, listing->read);
    listing->to.is_set = false;
    listing->walk = true;
    build(&sql, listing);
    listing->walk = false;
    sql_add(&sql, " LIMIT 1 OFFSET ");
    sql_add_number(&sql, listing->connection->chunk_rows - 1);
    int code = sql_prepare(&sql, &statement);
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

/* Adds the open runs or the closed ones; false: the page has ended, or the read has failed. */
static bool add_phase(struct listing *listing)
{
    struct sqlite_connection *connection = listing->connection;
    int                       code = SQLITE_INTERRUPT;
    sqlite_read_slice(connection);
    if (connection->slice_ns > 0)
        code = add_rows(listing);
    if (code == SQLITE_INTERRUPT) {
        listing->source.use = SOURCE_NONE; /* its set would be made again for each chunk */
        sqlite_read_whole(connection);
        code = add_chunks(listing);
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        sqlite_read_failed(connection, listing->read, code);
    return code == SQLITE_DONE;
}

/* In the order of lists, along indexes. */
static void list_along(struct listing *listing)
{
    struct store_read        *read = listing->read;
    const struct store_value *status = listing->fixed.status;
    listing->open = (!read->after_is_set || read->after_open) &&
                    (status == NULL || store_status_is_open(status->number));
    if (listing->open) {
        listing->from = (struct position){ read->after_is_set, 0, read->after };
        if (!add_phase(listing))
            return;
        listing->open = false;
    }
    bool in_closed = read->after_is_set && !read->after_open;
    listing->from = (struct position){ in_closed, read->after_close_time, read->after };
    listing->to.is_set = false;
    (void)add_phase(listing);
}

void sqlite_read_list(struct sqlite_connection *connection, struct store_read *read)
{
    struct listing listing = { .connection = connection, .read = read };
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status == ST_OK)
        read->status = store_keys_check(read, &read->error);
    if (read->status != ST_OK)
        return;
    int code = sql_source_choose(connection, read, &listing.source);
    if (code != SQLITE_OK) {
        sqlite_read_failed(connection, read, code);
        return;
    }
    if (listing.source.use == SOURCE_FEW || read->key_count != 0 || read->run_kind == STORE_RUN_ANY_KIND) {
        sqlite_list_ordered(connection, read, &listing.source);
        return;
    }
    listing.fixed.workflow_type = sql_filter_equal(read->filter, STORE_COLUMN_WORKFLOW_TYPE);
    listing.fixed.status = sql_filter_equal(read->filter, STORE_COLUMN_STATUS);
    store_page_runs(&listing.page, read);
    list_along(&listing);
}
