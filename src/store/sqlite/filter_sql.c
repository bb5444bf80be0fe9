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
    [STORE_COLUMN_NUMBER] = "run.number",
};

void sql_init(struct sql *sql, struct sqlite_connection *connection, const struct store_read *read)
{
    *sql = (struct sql){ .connection = connection, .read = read, .code = SQLITE_OK };
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

void sql_add_value(struct sql *sql, enum store_column column, const struct store_attribute *attribute,
                   const struct store_value *value)
{
    bool is_uuid = attribute == NULL && store_column_type(column) == STORE_COLUMN_UUID;
    if (!value->is_text)
        sql_add_number(sql, value->number);
    else
        add_parameter(sql,
                      (struct sql_parameter){ .type = is_uuid ? SQL_BLOB : SQL_TEXT, .bytes = value->text });
}

static void add_value(struct sql *sql, const struct store_filter *filter, const struct store_value *value)
{
    sql_add_value(sql, filter->column, filter->attribute, value);
}

void sql_add_scope(struct sql *sql)
{
    sql_add(sql, "run.namespace = ");
    sql_add_number(sql, sql->read->namespace_number);
    if (sql->read->run_kind == STORE_RUN_WORKFLOW) {
        sql_add(sql, " AND run.kind = 0"); /* not a parameter: the partial indexes are for this only */
    } else if (sql->read->run_kind != STORE_RUN_ANY_KIND) {
        sql_add(sql, " AND run.kind <> 0 AND run.kind = ");
        sql_add_number(sql, sql->read->run_kind);
    }
}

void sql_add_names(struct sql *sql, const struct store_attribute *attribute)
{
    int  first = sql->read->run_kind == STORE_RUN_ANY_KIND ? 0 : sql->read->run_kind;
    int  last = sql->read->run_kind == STORE_RUN_ANY_KIND ? STORE_RUN_KIND_COUNT - 1 : first;
    bool several = first != last;
    sql_add(sql, several ? " IN (" : " = ");
    for (int kind = first; kind <= last; kind++) {
        int64_t number = 0;
        int     code = sqlite_attribute_number(sql->connection, sql->read->namespace_number, kind, attribute,
                                               &number);
        if (code != SQLITE_OK)
            sql->code = code;
        sql_add(sql, kind == first ? "" : ", ");
        sql_add_number(sql, number);
    }
    sql_add(sql, several ? ")" : "");
}

void sql_add_column(struct sql *sql, enum store_column column, const struct store_attribute *attribute)
{
    if (column != STORE_COLUMN_ATTRIBUTE) {
        assert((size_t)column < STORE_COLUMN_COUNT);
        sql_add(sql, columns[column]);
        return;
    }
    sql_add(sql, "(SELECT value FROM attribute WHERE run = run.number AND name");
    sql_add_names(sql, attribute);
    sql_add(sql, ")");
}

/* As a range, so that an index can serve it. */
static void add_prefix(struct sql *sql, const struct store_filter *filter, const char *subject)
{
    struct store_value end = { .is_text = true };
    sql_add(sql, "(");
    sql_add(sql, subject);
    sql_add(sql, " >= ");
    add_value(sql, filter, &filter->values[0]);
    uint8_t *room = arena_must(arena_alloc(&sql->arena, filter->values[0].text.size + 1));
    if (store_prefix_end(filter->values[0].text, room, &end.text)) {
        sql_add(sql, " AND ");
        sql_add(sql, subject);
        sql_add(sql, " < ");
        add_value(sql, filter, &end);
    }
    sql_add(sql, ")");
}

static void add_list(struct sql *sql, const struct store_filter *filter, const char *subject)
{
    sql_add(sql, subject);
    sql_add(sql, filter->relation == STORE_IN ? " IN (" : " NOT IN (");
    for (size_t i = 0; i < filter->value_count; i++) {
        sql_add(sql, i == 0 ? "" : ", ");
        add_value(sql, filter, &filter->values[i]);
    }
    sql_add(sql, ")");
}

void sql_add_comparison(struct sql *sql, const struct store_filter *filter, const char *subject)
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
        add_list(sql, filter, subject);
        return;
    case STORE_NOT_STARTS_WITH:
        sql_add(sql, "NOT ");
        add_prefix(sql, filter, subject);
        return;
    case STORE_STARTS_WITH:
        add_prefix(sql, filter, subject);
        return;
    default:
        sql_add(sql, subject);
        sql_add(sql, comparisons[filter->relation]);
        break;
    }
    if (filter->value_count > 0)
        add_value(sql, filter, &filter->values[0]);
    if (filter->value_count > 1) {
        sql_add(sql, " AND ");
        add_value(sql, filter, &filter->values[1]);
    }
}

static void add_exists(struct sql *sql, const struct store_filter *filter, bool any)
{
    sql_add(sql, "EXISTS (SELECT 1 FROM attribute WHERE run = run.number AND name");
    sql_add_names(sql, filter->attribute);
    if (!any) {
        sql_add(sql, " AND ");
        sql_add_comparison(sql, filter, "value");
    }
    sql_add(sql, ")");
}

/* Of an attribute with several values: unknown when it has none; an opposite is true when none of them is so. */
static void add_many(struct sql *sql, const struct store_filter *filter)
{
    struct store_filter positive = *filter;
    bool                is_opposite = true;
    switch (filter->relation) {
    case STORE_IS_NULL:
    case STORE_IS_NOT_NULL:
        sql_add(sql, filter->relation == STORE_IS_NULL ? "NOT " : "");
        add_exists(sql, filter, true);
        return;
    case STORE_NOT_EQUAL:
        positive.relation = STORE_EQUAL;
        break;
    case STORE_NOT_IN:
        positive.relation = STORE_IN;
        break;
    case STORE_NOT_STARTS_WITH:
        positive.relation = STORE_STARTS_WITH;
        break;
    default:
        is_opposite = false;
        break;
    }
    sql_add(sql, "CASE WHEN ");
    add_exists(sql, filter, true);
    sql_add(sql, is_opposite ? " THEN NOT " : " THEN ");
    add_exists(sql, &positive, false);
    sql_add(sql, " END");
}

static void add_leaf(struct sql *sql, const struct store_filter *filter)
{
    if (filter->attribute == NULL) {
        sql_add_comparison(sql, filter, columns[filter->column]);
        return;
    }
    if (store_attribute_is_many(filter->attribute->type)) {
        add_many(sql, filter);
        return;
    }
    struct buffer whole = sql->text; /* the subject is made apart: prefixes need it twice */
    buffer_init(&sql->text);
    sql_add_column(sql, filter->column, filter->attribute);
    buffer_append_byte(&sql->text, 0);
    struct buffer subject = sql->text;
    sql->text = whole;
    sql_add_comparison(sql, filter, (const char *)subject.base);
    buffer_release(&subject);
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

int sql_prepare(struct sql *sql, sqlite3_stmt **ret_statement)
{
    sqlite3_stmt *statement;
    if (sql->code != SQLITE_OK)
        return sql->code;
    int code = sqlite3_prepare_v2(sql->connection->handle, (const char *)sql->text.base, (int)sql->text.size,
                                  &statement, NULL);
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

void sql_conditions_begin(struct sql_conditions *conditions, const struct store_filter *filter)
{
    conditions->depth = 0;
    conditions->next = filter;
}

const struct store_filter *sql_conditions_next(struct sql_conditions *conditions)
{
    const struct store_filter *found = NULL;
    while (found == NULL) {
        const struct store_filter *at = TAKE_PTR(conditions->next);
        if (at != NULL && at->relation == STORE_AND) {
            conditions->stack[conditions->depth].filter = at;
            conditions->stack[conditions->depth++].next_child = 0;
        } else if (at != NULL) {
            found = at->relation == STORE_OR || at->relation == STORE_NOT ? NULL : at;
        }
        while (conditions->next == NULL && conditions->depth > 0) {
            size_t top = conditions->depth - 1;
            if (conditions->stack[top].next_child < conditions->stack[top].filter->child_count)
                conditions->next =
                    conditions->stack[top].filter->children[conditions->stack[top].next_child++];
            else
                conditions->depth--;
        }
        if (conditions->next == NULL)
            break;
    }
    return found;
}

const struct store_value *sql_filter_equal(const struct store_filter *filter, enum store_column column)
{
    struct sql_conditions conditions;
    sql_conditions_begin(&conditions, filter);
    for (const struct store_filter *at; (at = sql_conditions_next(&conditions)) != NULL;) {
        if (at->relation == STORE_EQUAL && at->column == column && at->attribute == NULL)
            return &at->values[0];
    }
    return NULL;
}
