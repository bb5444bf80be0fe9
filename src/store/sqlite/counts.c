/* counts.c: counts of runs, in groups or not. What the counts that are kept can tell is read off them; what one attribute's
 * index can tell, off it. A count that takes longer than a slice is begun again in chunks of so many rows, each in a
 * transaction of its own (see lists.c); it is then of no single moment. */
#include "store/sqlite/lists.h"

struct counting {
    struct sqlite_connection *connection;
    struct store_read        *read;
    struct sql_source         source;
    bool                      in_chunks;
    int64_t                   after, last; /* runs of a chunk: numbers behind `after` up to `last` */
    size_t                    capacity;
};

static enum status add_group(struct counting *counting, sqlite3_stmt *statement)
{
    struct store_read *read = counting->read;
    struct store_value values[STORE_KEYS_MAX];
    int64_t            count = sqlite3_column_int64(statement, 0);
    bool               has_all = true;
    for (size_t i = 0; i < read->key_count; i++) {
        int column = (int)i + 1, type = sqlite3_column_type(statement, column);
        values[i] = (struct store_value){ .number = 0 };
        has_all = has_all && type != SQLITE_NULL;
        if (type == SQLITE_INTEGER) {
            values[i].number = sqlite3_column_int64(statement, column);
        } else {
            values[i].is_text = true;
            values[i].text.base = sqlite3_column_blob(statement, column);
            values[i].text.size = (size_t)sqlite3_column_bytes(statement, column);
        }
    }
    if (read->key_count != 0 && has_all && count != 0)
        return store_groups_add(read, &counting->capacity, values, count);
    return ST_OK;
}

static bool is_many(const struct store_key *key)
{
    return key->attribute != NULL && store_attribute_is_many(key->attribute->type);
}

/* Of a list, each keyword counts; a run is counted once in all. */
static void add_keys(struct sql *sql, const struct store_read *read)
{
    for (size_t i = 0; i < read->key_count; i++) {
        sql_add(sql, ", ");
        if (is_many(&read->keys[i]))
            sql_add(sql, "many.value");
        else
            sql_add_column(sql, read->keys[i].column, read->keys[i].attribute);
    }
}

static void add_grouping(struct sql *sql, const struct store_read *read)
{
    for (size_t i = 0; i < read->key_count; i++)
        buffer_printf(&sql->text, "%s%zu", i == 0 ? " GROUP BY " : ", ", i + 2);
    if (read->key_count != 0) { /* more are refused */
        sql_add(sql, " LIMIT ");
        sql_add_number(sql, 2 * STORE_GROUPS_MAX);
    }
}

/* The conditions of a count of runs, behind FROM. */
static void add_where(struct sql *sql, const struct counting *counting)
{
    sql_add(sql, " WHERE ");
    sql_add_scope(sql);
    sql_add(sql, " AND ");
    sql_add_filter(sql, counting->read->filter);
    if (counting->in_chunks) {
        sql_add_chunk(sql, &counting->source, counting->after, counting->last);
    } else {
        sql_add_source(sql, &counting->source);
    }
}

/* Runs a query for a count and its keys; the whole is summed up when `adds_up`. */
static int run_query(struct counting *counting, struct sql *sql, bool adds_up)
{
    sqlite3_stmt *statement = NULL;
    int           code = sql_prepare(sql, &statement);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
            if (adds_up)
                counting->read->count += sqlite3_column_int64(statement, 0);
            if (add_group(counting, statement) != ST_OK)
                break;
        }
    }
    sqlite3_finalize(statement);
    return code;
}

/* Groups by a list: those that have none of its keywords are in no group, and are counted all the same. */
static int count_by_list(struct counting *counting, const struct store_key *many)
{
    struct sql sql;
    sql_init(&sql, counting->connection, counting->read);
    sql_add(&sql, "SELECT count(*)");
    add_keys(&sql, counting->read);
    sql_add(&sql, " FROM run JOIN attribute AS many ON many.run = run.number AND many.name");
    sql_add_names(&sql, many->attribute);
    add_where(&sql, counting);
    add_grouping(&sql, counting->read);
    int code = run_query(counting, &sql, false);
    sql_release(&sql);
    return code;
}

static int count_rows(struct counting *counting)
{
    struct store_read      *read = counting->read;
    const struct store_key *many = NULL;
    struct sql              sql;
    for (size_t i = 0; i < read->key_count; i++)
        many = is_many(&read->keys[i]) ? &read->keys[i] : many;
    sql_init(&sql, counting->connection, read);
    sql_add(&sql, "SELECT count(*)");
    if (many == NULL)
        add_keys(&sql, read);
    /* In chunks a range of numbers is the way, or numbers in a range; else few runs by their numbers; else what SQLite
     * thinks best. */
    sql_add(&sql, counting->in_chunks || counting->source.use == SOURCE_FEW ? " FROM run NOT INDEXED"
                                                                            : " FROM run");
    add_where(&sql, counting);
    if (many == NULL)
        add_grouping(&sql, read);
    size_t key_count = read->key_count;
    read->key_count = many == NULL ? key_count : 0;
    int code = run_query(counting, &sql, true);
    read->key_count = key_count;
    sql_release(&sql);
    return code == SQLITE_DONE && many != NULL ? count_by_list(counting, many) : code;
}

/* --- what indexes and kept counts tell --- */

static bool is_kept(enum store_column column)
{
    return column == STORE_COLUMN_STATUS || column == STORE_COLUMN_WORKFLOW_TYPE;
}

static bool filter_is_kept(const struct store_filter *filter)
{
    const struct store_filter *stack[STORE_FILTER_NODES_MAX];
    size_t                     count = 0;
    if (filter != NULL)
        stack[count++] = filter;
    while (count > 0) {
        const struct store_filter *at = stack[--count];
        if (at->child_count == 0 && !is_kept(at->column))
            return false;
        for (size_t i = 0; i < at->child_count; i++)
            stack[count++] = at->children[i];
    }
    return true;
}

static bool is_of_kept(const struct store_read *read)
{
    for (size_t i = 0; i < read->key_count; i++) {
        if (!is_kept(read->keys[i].column))
            return false;
    }
    return filter_is_kept(read->filter);
}

static int count_kept(struct counting *counting)
{
    struct sql sql;
    sql_init(&sql, counting->connection, counting->read);
    sql_add(&sql, "SELECT coalesce(sum(run.number), 0)");
    add_keys(&sql, counting->read);
    sql_add(&sql, " FROM run_count AS run WHERE ");
    sql_add_scope(&sql);
    sql_add(&sql, " AND ");
    sql_add_filter(&sql, counting->read->filter);
    add_grouping(&sql, counting->read);
    int code = run_query(counting, &sql, true);
    sql_release(&sql);
    return code;
}

/* All runs of a kind, by one attribute. */
static bool is_of_attribute(const struct store_read *read)
{
    return read->filter == NULL && read->key_count == 1 && read->keys[0].attribute != NULL;
}

static int count_attribute(struct counting *counting)
{
    struct store_read *read = counting->read;
    struct sql         sql;
    sql_init(&sql, counting->connection, read);
    sql_add(&sql, "SELECT count(*), value FROM attribute INDEXED BY attribute_by_value WHERE name");
    sql_add_names(&sql, read->keys[0].attribute);
    add_grouping(&sql, read);
    int code = run_query(counting, &sql, false);
    sql_release(&sql);
    if (code != SQLITE_DONE || read->status != ST_OK)
        return code;
    size_t key_count = read->key_count;
    read->key_count = 0;
    code = count_kept(counting);
    read->key_count = key_count;
    return code;
}

/* --- in chunks --- */

static void begin_again(struct counting *counting)
{
    counting->capacity = 0;
    counting->read->count = 0;
    counting->read->groups = NULL;
    counting->read->group_count = 0;
}

static int count_chunks(struct counting *counting)
{
    begin_again(counting);
    counting->in_chunks = true;
    counting->last = INT64_MIN;
    int code = sql_chunk_source_choose(counting->connection, counting->read, &counting->source);
    code = code == SQLITE_OK ? SQLITE_DONE : code;
    while (code == SQLITE_DONE && counting->last != INT64_MAX) {
        counting->after = counting->last;
        code = sqlite_read_again(counting->connection);
        if (code == SQLITE_OK)
            code = sqlite_chunk_end(counting->connection, counting->read, &counting->source, counting->after,
                                    &counting->last);
        if (code == SQLITE_OK)
            code = count_rows(counting);
    }
    return code;
}

/* --- the whole --- */

static int count_whole(struct counting *counting)
{
    if (is_of_attribute(counting->read))
        return count_attribute(counting);
    int code = sql_source_choose(counting->connection, counting->read, &counting->source);
    return code == SQLITE_OK ? count_rows(counting) : code;
}

void sqlite_read_count(struct sqlite_connection *connection, struct store_read *read)
{
    struct counting counting = { .connection = connection, .read = read };
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status == ST_OK)
        read->status = store_keys_check(read, &read->error);
    if (read->status != ST_OK)
        return;
    int code;
    if (is_of_kept(read)) {
        code = count_kept(&counting);
    } else {
        if (is_of_attribute(read)) /* nothing in chunks would be as fast */
            sqlite_read_whole(connection);
        else
            sqlite_read_slice(connection);
        code = connection->slice_ns < 0 ? SQLITE_INTERRUPT : count_whole(&counting);
        if (code == SQLITE_INTERRUPT) {
            sqlite_read_whole(connection);
            code = count_chunks(&counting);
        }
    }
    if (code != SQLITE_DONE && read->status == ST_OK)
        sqlite_read_failed(connection, read, code);
    read->found = read->count > 0;
}
