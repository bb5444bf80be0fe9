/* sources.c: which condition of a filter gives few runs, by looks at the index of each. */
#include "store/sqlite/lists.h"

/* Columns with an index of their own, and whether it is of workflows only. */
struct indexed {
    enum store_column column;
    const char       *index;
    bool              of_workflows;
};
static const struct indexed indexed_columns[] = {
    { STORE_COLUMN_NUMBER, NULL, false },
    { STORE_COLUMN_WORKFLOW_ID, "run_by_workflow_id", false },
    { STORE_COLUMN_PARENT_WORKFLOW_ID, "run_by_parent", false },
    { STORE_COLUMN_ROOT_WORKFLOW_ID, "run_by_root", false },
    { STORE_COLUMN_WORKFLOW_TYPE, "run_by_type", true },
    { STORE_COLUMN_STATUS, "run_by_status", true },
    { STORE_COLUMN_START_TIME, "run_by_start_time", true },
    { STORE_COLUMN_CLOSE_TIME, "run_by_close_time", true },
};

static const struct indexed *index_of(enum store_column column)
{
    for (size_t i = 0; i < ARRAY_COUNT(indexed_columns); i++) {
        if (indexed_columns[i].column == column)
            return &indexed_columns[i];
    }
    return NULL;
}

/* A range, or several, of an index whose NULLs are not in it. */
static bool is_range(const struct store_filter *condition)
{
    switch (condition->relation) {
    case STORE_EQUAL:
    case STORE_LESS:
    case STORE_LESS_EQUAL:
    case STORE_GREATER:
    case STORE_GREATER_EQUAL:
    case STORE_IN:
    case STORE_BETWEEN:
    case STORE_STARTS_WITH:
        return true;
    case STORE_IS_NOT_NULL:
        return condition->attribute != NULL;
    default:
        return false;
    }
}

static bool is_indexed(const struct store_read *read, const struct store_filter *condition)
{
    if (!is_range(condition))
        return false;
    if (condition->attribute != NULL)
        return true;
    const struct indexed *indexed = index_of(condition->column);
    if (indexed == NULL || (indexed->of_workflows && read->run_kind != STORE_RUN_WORKFLOW))
        return false;
    return condition->column != STORE_COLUMN_ROOT_WORKFLOW_ID || condition->relation == STORE_EQUAL;
}

static bool is_same_subject(const struct store_filter *a, const struct store_filter *b)
{
    if (a->column != b->column || (a->attribute == NULL) != (b->attribute == NULL))
        return false;
    return a->attribute == NULL ||
           (a->attribute->type == b->attribute->type && bytes_equal(a->attribute->name, b->attribute->name));
}

/* All conditions over the same thing are one range: times are bounded from both sides. Of what has several values each
 * condition may be met by another one of them. */
static void add_ranges(struct sql *sql, const struct store_filter *condition, const char *subject)
{
    struct sql_conditions conditions;
    bool is_many = condition->attribute != NULL && store_attribute_is_many(condition->attribute->type);
    sql_conditions_begin(&conditions, sql->read->filter);
    for (const struct store_filter *at; (at = sql_conditions_next(&conditions)) != NULL;) {
        if (at != condition && (is_many || !is_same_subject(at, condition) || !is_range(at)))
            continue;
        sql_add(sql, " AND ");
        sql_add_comparison(sql, at, subject);
    }
}

static void add_from_run(struct sql *sql, const struct indexed *indexed)
{
    sql_add(sql, "SELECT number FROM run ");
    sql_add(sql, indexed->index == NULL ? "NOT INDEXED" : "INDEXED BY ");
    sql_add(sql, indexed->index == NULL ? "" : indexed->index);
    sql_add(sql, " WHERE ");
    sql_add_scope(sql);
}

static void add_select(struct sql *sql, const struct store_filter *condition)
{
    static const char *const names[] = {
        [STORE_COLUMN_NUMBER] = "number",
        [STORE_COLUMN_WORKFLOW_ID] = "workflow_id",
        [STORE_COLUMN_PARENT_WORKFLOW_ID] = "parent_workflow_id",
        [STORE_COLUMN_ROOT_WORKFLOW_ID] = "root_workflow_id",
        [STORE_COLUMN_WORKFLOW_TYPE] = "workflow_type",
        [STORE_COLUMN_STATUS] = "status",
        [STORE_COLUMN_START_TIME] = "start_time",
        [STORE_COLUMN_CLOSE_TIME] = "close_time",
    };
    if (condition->attribute != NULL) {
        sql_add(sql, "SELECT run FROM attribute INDEXED BY attribute_by_value WHERE name");
        sql_add_names(sql, condition->attribute);
        add_ranges(sql, condition, "value");
        return;
    }
    add_from_run(sql, index_of(condition->column));
    add_ranges(sql, condition, names[condition->column]);
    if (condition->column == STORE_COLUMN_CLOSE_TIME)
        sql_add(sql, " AND close_time IS NOT NULL"); /* in the words of the partial index */
    if (condition->column == STORE_COLUMN_ROOT_WORKFLOW_ID) {
        sql_add(sql, " UNION ALL ");
        add_from_run(sql, index_of(STORE_COLUMN_WORKFLOW_ID));
        sql_add(sql, " AND root_workflow_id IS NULL");
        add_ranges(sql, condition, "workflow_id");
    }
}

static int count_runs(struct sqlite_connection *connection, const struct store_read *read,
                      const struct store_filter *condition, int64_t limit, int64_t *ret_count)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    sql_init(&sql, connection, read);
    sql_add(&sql, "SELECT count(*) FROM (");
    add_select(&sql, condition);
    sql_add(&sql, " LIMIT ");
    sql_add_number(&sql, limit);
    sql_add(&sql, ")");
    int code = sql_prepare(&sql, &statement);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        *ret_count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sql_release(&sql);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

int sql_source_choose(struct sqlite_connection *connection, const struct store_read *read,
                      struct sql_source *ret_source)
{
    struct sql_conditions conditions;
    struct sql_source     best = { .use = SOURCE_NONE, .count = SOME_RUNS + 1 };
    sql_conditions_begin(&conditions, read->filter);
    for (const struct store_filter *at; (at = sql_conditions_next(&conditions)) != NULL;) {
        int64_t count = 0;
        if (!is_indexed(read, at))
            continue;
        int code = count_runs(connection, read, at, best.count, &count);
        if (code != SQLITE_OK)
            return code;
        if (count < best.count)
            best = (struct sql_source){ .condition = at, .count = count };
    }
    if (best.condition != NULL)
        best.use = best.count <= FEW_RUNS ? SOURCE_FEW : SOURCE_SET;
    *ret_source = best;
    return SQLITE_OK;
}

static bool is_in_order(const struct store_filter *condition)
{
    return condition->attribute != NULL && (condition->relation == STORE_EQUAL ||
                                            (condition->relation == STORE_IN && condition->value_count == 1));
}

int sql_chunk_source_choose(struct sqlite_connection *connection, const struct store_read *read,
                            struct sql_source *ret_source)
{
    struct sql_conditions conditions;
    *ret_source = (struct sql_source){ .use = SOURCE_NONE, .count = MANY_RUNS + 1 };
    sql_conditions_begin(&conditions, read->filter);
    for (const struct store_filter *at; (at = sql_conditions_next(&conditions)) != NULL;) {
        int64_t count = 0;
        if (!is_in_order(at))
            continue;
        int code = count_runs(connection, read, at, ret_source->count, &count);
        if (code != SQLITE_OK)
            return code;
        if (count < ret_source->count)
            *ret_source = (struct sql_source){ .use = SOURCE_SET, .condition = at, .count = count };
    }
    return SQLITE_OK;
}

static void add_behind(struct sql *sql, const char *column, store_number after)
{
    sql_add(sql, " AND ");
    sql_add(sql, column);
    sql_add(sql, " > ");
    sql_add_number(sql, after);
}

void sql_add_chunk(struct sql *sql, const struct sql_source *source, store_number after, store_number last)
{
    if (source->use != SOURCE_NONE) {
        sql_add(sql, " AND run.number IN (");
        add_select(sql, source->condition);
        add_behind(sql, "run", after);
        sql_add(sql, " AND run <= ");
        sql_add_number(sql, last);
        sql_add(sql, ")");
        return;
    }
    add_behind(sql, "run.number", after);
    sql_add(sql, " AND run.number <= ");
    sql_add_number(sql, last);
}

int sqlite_chunk_end(struct sqlite_connection *connection, const struct store_read *read,
                     const struct sql_source *source, store_number after, store_number *ret_last)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    bool          has_source = source->use != SOURCE_NONE;
    sql_init(&sql, connection, read);
    if (has_source)
        add_select(&sql, source->condition);
    else
        sql_add(&sql, "SELECT number FROM run WHERE 1");
    add_behind(&sql, has_source ? "run" : "number", after);
    sql_add(&sql, has_source ? " ORDER BY run LIMIT 1 OFFSET " : " ORDER BY number LIMIT 1 OFFSET ");
    sql_add_number(&sql, connection->chunk_rows - 1);
    *ret_last = INT64_MAX;
    int code = sql_prepare(&sql, &statement);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        *ret_last = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sql_release(&sql);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

void sql_add_source(struct sql *sql, const struct sql_source *source)
{
    if (source->use == SOURCE_NONE)
        return;
    sql_add(sql, " AND run.number IN (");
    add_select(sql, source->condition);
    sql_add(sql, ")");
}
