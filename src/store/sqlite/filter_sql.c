/* filter_sql.c: filters compiled to SQL. Values are always parameters; what is text here comes from tables here. */
#include "store/sqlite/filter_sql.h"

#define WHEN_CLOSED(column) "CASE WHEN close_time IS NOT NULL THEN " column " END"

static const char *const columns[STORE_COLUMN_COUNT] = {
    [STORE_COLUMN_WORKFLOW_ID] = "workflow_id",
    [STORE_COLUMN_RUN_ID] = "run_id",
    [STORE_COLUMN_WORKFLOW_TYPE] = "workflow_type",
    [STORE_COLUMN_TASK_QUEUE] = "task_queue",
    [STORE_COLUMN_STATUS] = "status",
    [STORE_COLUMN_START_TIME] = "start_time",
    [STORE_COLUMN_EXECUTION_TIME] = "execution_time",
    [STORE_COLUMN_CLOSE_TIME] = "close_time",
    [STORE_COLUMN_HISTORY_LENGTH] = WHEN_CLOSED("history_length"),
    [STORE_COLUMN_HISTORY_SIZE] = WHEN_CLOSED("history_size"),
    [STORE_COLUMN_STATE_TRANSITIONS] = WHEN_CLOSED("state_transitions"),
    [STORE_COLUMN_EXECUTION_DURATION] = "(close_time - execution_time)",
    [STORE_COLUMN_PARENT_WORKFLOW_ID] = "parent_workflow_id",
    [STORE_COLUMN_PARENT_RUN_ID] = "parent_run_id",
    [STORE_COLUMN_ROOT_WORKFLOW_ID] = "coalesce(root_workflow_id, workflow_id)",
    [STORE_COLUMN_ROOT_RUN_ID] = "coalesce(root_run_id, run_id)",
};

void sql_init(struct sql *sql)
{
    *sql = (struct sql){ .parameter_count = 0 };
    buffer_init(&sql->text);
    arena_init(&sql->arena, SIZE_MAX);
}

void sql_release(struct sql *sql)
{
    buffer_release(&sql->text);
    free(sql->parameters);
    arena_release(&sql->arena);
}

void sql_add(struct sql *sql, const char *text)
{
    buffer_append_text(&sql->text, text);
}

static void add_parameter(struct sql *sql, struct sql_parameter parameter)
{
    if (sql->parameter_count == sql->parameter_capacity) {
        sql->parameter_capacity = sql->parameter_capacity == 0 ? 16 : sql->parameter_capacity * 2;
        sql->parameters = xrealloc(sql->parameters, sql->parameter_capacity * sizeof *sql->parameters);
    }
    sql->parameters[sql->parameter_count++] = parameter;
    buffer_printf(&sql->text, "?%zu", sql->parameter_count);
}

void sql_add_number(struct sql *sql, int64_t number)
{
    add_parameter(sql, (struct sql_parameter){ .type = SQL_NUMBER, .number = number });
}

static void add_value(struct sql *sql, enum store_column column, const struct store_value *value)
{
    switch (store_column_type(column)) {
    case STORE_COLUMN_NUMBER:
        sql_add_number(sql, value->number);
        return;
    case STORE_COLUMN_TEXT:
        add_parameter(sql, (struct sql_parameter){ .type = SQL_TEXT, .bytes = value->text });
        return;
    case STORE_COLUMN_UUID:
        add_parameter(sql, (struct sql_parameter){ .type = SQL_BLOB, .bytes = value->text });
        return;
    }
}

const char *sql_column(enum store_column column)
{
    assert((size_t)column < STORE_COLUMN_COUNT);
    return columns[column];
}

/* As a range, so that an index can serve it. */
static void add_prefix(struct sql *sql, const struct store_filter *filter)
{
    struct store_value end = { .is_text = true };
    sql_add(sql, "(");
    sql_add(sql, columns[filter->column]);
    sql_add(sql, " >= ");
    add_value(sql, filter->column, &filter->values[0]);
    uint8_t *room = arena_must(arena_alloc(&sql->arena, filter->values[0].text.size + 1));
    if (store_prefix_end(filter->values[0].text, room, &end.text)) {
        sql_add(sql, " AND ");
        sql_add(sql, columns[filter->column]);
        sql_add(sql, " < ");
        add_value(sql, filter->column, &end);
    }
    sql_add(sql, ")");
}

static void add_list(struct sql *sql, const struct store_filter *filter)
{
    sql_add(sql, columns[filter->column]);
    sql_add(sql, filter->relation == STORE_IN ? " IN (" : " NOT IN (");
    for (size_t i = 0; i < filter->value_count; i++) {
        sql_add(sql, i == 0 ? "" : ", ");
        add_value(sql, filter->column, &filter->values[i]);
    }
    sql_add(sql, ")");
}

static void add_leaf(struct sql *sql, const struct store_filter *filter)
{
    static const char *const comparisons[] = {
        [STORE_EQUAL] = " = ",         [STORE_NOT_EQUAL] = " <> ",
        [STORE_LESS] = " < ",          [STORE_LESS_EQUAL] = " <= ",
        [STORE_GREATER] = " > ",       [STORE_GREATER_EQUAL] = " >= ",
        [STORE_IS_NULL] = " IS NULL",  [STORE_IS_NOT_NULL] = " IS NOT NULL",
        [STORE_BETWEEN] = " BETWEEN ", [STORE_NOT_BETWEEN] = " NOT BETWEEN ",
    };
    switch (filter->relation) {
    case STORE_IN:
    case STORE_NOT_IN:
        add_list(sql, filter);
        return;
    case STORE_NOT_STARTS_WITH:
        sql_add(sql, "NOT ");
        add_prefix(sql, filter);
        return;
    case STORE_STARTS_WITH:
        add_prefix(sql, filter);
        return;
    default:
        assert((size_t)filter->relation < ARRAY_COUNT(comparisons) && comparisons[filter->relation] != NULL);
        sql_add(sql, columns[filter->column]);
        sql_add(sql, comparisons[filter->relation]);
        for (size_t i = 0; i < filter->value_count; i++) {
            sql_add(sql, i == 0 ? "" : " AND "); /* BETWEEN has two */
            add_value(sql, filter->column, &filter->values[i]);
        }
        return;
    }
}

struct frame {
    const struct store_filter *filter;
    size_t                     next_child;
};

void sql_add_filter(struct sql *sql, const struct store_filter *filter)
{
    struct frame stack[STORE_FILTER_DEPTH_MAX];
    size_t       depth = 0;
    sql_add(sql, filter == NULL ? "1" : "(");
    for (const struct store_filter *at = filter; at != NULL;) {
        if (at->child_count > 0) {
            assert(depth < STORE_FILTER_DEPTH_MAX);
            stack[depth++] = (struct frame){ .filter = at };
            sql_add(sql, at->relation == STORE_NOT ? "NOT (" : "(");
        } else {
            add_leaf(sql, at);
        }
        at = NULL;
        while (depth > 0 && at == NULL) {
            struct frame *top = &stack[depth - 1];
            if (top->next_child == top->filter->child_count) {
                sql_add(sql, ")");
                depth--;
                continue;
            }
            if (top->next_child > 0)
                sql_add(sql, top->filter->relation == STORE_AND ? " AND " : " OR ");
            at = top->filter->children[top->next_child++];
        }
    }
    sql_add(sql, filter == NULL ? "" : ")");
}

int sql_prepare(struct sql *sql, sqlite3 *handle, sqlite3_stmt **ret_statement)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(handle, (const char *)sql->text.base, (int)sql->text.size, &statement,
                                  NULL);
    if (code != SQLITE_OK)
        return code;
    struct sqlite_binder binder = { .statement = statement, .code = SQLITE_OK };
    for (size_t i = 0; i < sql->parameter_count; i++) {
        const struct sql_parameter *parameter = &sql->parameters[i];
        if (parameter->type == SQL_NUMBER)
            sqlite_bind_number(&binder, parameter->number);
        else if (parameter->type == SQL_TEXT)
            sqlite_bind_text(&binder, parameter->bytes);
        else
            sqlite_bind_blob(&binder, parameter->bytes);
    }
    if (binder.code != SQLITE_OK) {
        sqlite3_finalize(statement);
        return binder.code;
    }
    *ret_statement = statement;
    return SQLITE_OK;
}

const struct store_value *sql_filter_equal(const struct store_filter *filter, enum store_column column)
{
    struct frame stack[STORE_FILTER_DEPTH_MAX];
    size_t       depth = 0;
    for (const struct store_filter *at = filter; at != NULL;) {
        if (at->relation == STORE_EQUAL && at->column == column)
            return &at->values[0];
        if (at->relation == STORE_AND)
            stack[depth++] = (struct frame){ .filter = at };
        at = NULL;
        while (depth > 0 && at == NULL) {
            struct frame *top = &stack[depth - 1];
            if (top->next_child < top->filter->child_count)
                at = top->filter->children[top->next_child++];
            else
                depth--;
        }
    }
    return NULL;
}
