/* counts.c: counts of runs, in groups or not. One that takes longer than a slice is begun again in chunks of so many rows,
 * each in a transaction of its own (see lists.c); it is then of no single moment. */
#include "store/sqlite/filter_sql.h"

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

struct counting {
    struct sqlite_connection *connection;
    struct store_read        *read;
    bool                      in_chunks;
    int64_t                   after, last; /* runs of a chunk: numbers behind `after` up to `last` */
    size_t                    capacity;
};

static int count_rows(struct counting *counting)
{
    struct store_read *read = counting->read;
    struct sql         sql;
    sqlite3_stmt      *statement = NULL;
    sql_init(&sql);
    sql_add(&sql, "SELECT count(*), ");
    sql_add(&sql, read->group_column >= 0 ? sql_column((enum store_column)read->group_column) : "NULL");
    sql_add(&sql, " FROM run WHERE namespace = ");
    sql_add_number(&sql, read->namespace_number);
    sql_add(&sql, " AND ");
    sql_add_filter(&sql, read->filter);
    if (counting->in_chunks) {
        sql_add(&sql, " AND number > ");
        sql_add_number(&sql, counting->after);
        sql_add(&sql, " AND number <= ");
        sql_add_number(&sql, counting->last);
    }
    if (read->group_column >= 0)
        sql_add(&sql, " GROUP BY 2");
    int code = sql_prepare(&sql, counting->connection->handle, &statement);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
            if (add_group(read, statement, &counting->capacity) != ST_OK)
                break;
        }
    }
    sqlite3_finalize(statement);
    sql_release(&sql);
    return code;
}

/* The number so many runs behind `after`, or the greatest there can be. */
static int find_chunk_end(struct counting *counting)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    sql_init(&sql);
    sql_add(&sql, "SELECT number FROM run WHERE number > ");
    sql_add_number(&sql, counting->after);
    sql_add(&sql, " ORDER BY number LIMIT 1 OFFSET ");
    sql_add_number(&sql, counting->connection->chunk_rows - 1);
    counting->last = INT64_MAX;
    int code = sql_prepare(&sql, counting->connection->handle, &statement);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        counting->last = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sql_release(&sql);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int count_chunks(struct counting *counting)
{
    int code = SQLITE_DONE;
    counting->in_chunks = true;
    counting->after = INT64_MIN;
    counting->last = INT64_MIN;
    counting->capacity = 0;
    counting->read->count = 0;
    counting->read->groups = NULL;
    counting->read->group_count = 0;
    while (code == SQLITE_DONE && counting->last != INT64_MAX) {
        counting->after = counting->last;
        code = sqlite_read_again(counting->connection);
        if (code == SQLITE_OK)
            code = find_chunk_end(counting);
        if (code == SQLITE_OK)
            code = count_rows(counting);
    }
    return code;
}

void sqlite_read_count(struct sqlite_connection *connection, struct store_read *read)
{
    struct counting counting = { .connection = connection, .read = read };
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status == ST_OK && read->group_column >= STORE_COLUMN_COUNT)
        read->status = error_set(&read->error, ST_INVALID_ARGUMENT, "unknown column %d", read->group_column);
    if (read->status != ST_OK)
        return;
    sqlite_read_slice(connection);
    int code = connection->slice_ns < 0 ? SQLITE_INTERRUPT : count_rows(&counting);
    if (code == SQLITE_INTERRUPT) {
        sqlite_read_whole(connection);
        code = count_chunks(&counting);
    }
    if (code != SQLITE_DONE && read->status == ST_OK)
        sqlite_read_failed(connection, read, code);
    read->found = read->count > 0;
}
