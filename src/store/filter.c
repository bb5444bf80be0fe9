/* filter.c: filters as trees: what is allowed, and their evaluation with SQL's three-valued logic.
 *
 * The SQL stores compile the same trees; the contract suite holds both against each other.
 */
#include "store/store_internal.h"

enum truth { TRUTH_FALSE, TRUTH_UNKNOWN, TRUTH_TRUE }; /* AND is the least, OR the greatest, NOT mirrors */

static const enum store_column_type column_types[STORE_COLUMN_COUNT] = {
    [STORE_COLUMN_WORKFLOW_ID] = STORE_COLUMN_TEXT,
    [STORE_COLUMN_RUN_ID] = STORE_COLUMN_UUID,
    [STORE_COLUMN_WORKFLOW_TYPE] = STORE_COLUMN_TEXT,
    [STORE_COLUMN_TASK_QUEUE] = STORE_COLUMN_TEXT,
    [STORE_COLUMN_STATUS] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_START_TIME] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_EXECUTION_TIME] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_CLOSE_TIME] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_HISTORY_LENGTH] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_HISTORY_SIZE] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_STATE_TRANSITIONS] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_EXECUTION_DURATION] = STORE_COLUMN_NUMERIC,
    [STORE_COLUMN_PARENT_WORKFLOW_ID] = STORE_COLUMN_TEXT,
    [STORE_COLUMN_PARENT_RUN_ID] = STORE_COLUMN_UUID,
    [STORE_COLUMN_ROOT_WORKFLOW_ID] = STORE_COLUMN_TEXT,
    [STORE_COLUMN_ROOT_RUN_ID] = STORE_COLUMN_UUID,
    [STORE_COLUMN_NUMBER] = STORE_COLUMN_NUMERIC,
};

enum store_column_type store_column_type(enum store_column column)
{
    assert((size_t)column < STORE_COLUMN_COUNT);
    return column_types[column];
}

static struct store_column_value number(int64_t value)
{
    return (struct store_column_value){ .value.number = value };
}
static struct store_column_value number_if(bool set, int64_t value)
{
    return (struct store_column_value){ .is_null = !set, .value.number = value };
}
static struct store_column_value text(struct bytes value)
{
    return (struct store_column_value){ .value = { .is_text = true, .text = value } };
}
static struct store_column_value text_if(struct bytes value)
{
    return (struct store_column_value){ .is_null = value.size == 0,
                                        .value = { .is_text = true, .text = value } };
}
static struct store_column_value uuid_if(const struct uuid *uuid)
{
    static const struct uuid zero;
    return (struct store_column_value){ .is_null = memcmp(uuid, &zero, sizeof zero) == 0,
                                        .value = { .is_text = true,
                                                   .text = bytes_of(uuid->byte, sizeof uuid->byte) } };
}

struct store_column_value store_run_column(const struct store_run *run, enum store_column column)
{
    bool    closed = run->close_time != 0;
    int64_t duration = 0;
    switch (column) {
    case STORE_COLUMN_WORKFLOW_ID:
        return text(run->workflow_id);
    case STORE_COLUMN_RUN_ID:
        return text(bytes_of(run->run_id.byte, sizeof run->run_id.byte));
    case STORE_COLUMN_WORKFLOW_TYPE:
        return text(run->workflow_type);
    case STORE_COLUMN_TASK_QUEUE:
        return text(run->task_queue);
    case STORE_COLUMN_STATUS:
        return number(run->status);
    case STORE_COLUMN_START_TIME:
        return number(run->start_time);
    case STORE_COLUMN_EXECUTION_TIME:
        return number(run->execution_time);
    case STORE_COLUMN_CLOSE_TIME:
        return number_if(closed, run->close_time);
    case STORE_COLUMN_HISTORY_LENGTH:
        return number_if(closed, run->history_length);
    case STORE_COLUMN_HISTORY_SIZE:
        return number_if(closed, run->history_size);
    case STORE_COLUMN_STATE_TRANSITIONS:
        return number_if(closed, run->state_transitions);
    case STORE_COLUMN_EXECUTION_DURATION:
        closed = closed && !__builtin_sub_overflow(run->close_time, run->execution_time, &duration);
        return number_if(closed, duration);
    case STORE_COLUMN_PARENT_WORKFLOW_ID:
        return text_if(run->parent_workflow_id);
    case STORE_COLUMN_PARENT_RUN_ID:
        return uuid_if(&run->parent_run_id);
    case STORE_COLUMN_ROOT_WORKFLOW_ID:
        return text(run->root_workflow_id.size == 0 ? run->workflow_id : run->root_workflow_id);
    case STORE_COLUMN_ROOT_RUN_ID: {
        struct store_column_value root = uuid_if(&run->root_run_id);
        return root.is_null ? text(bytes_of(run->run_id.byte, sizeof run->run_id.byte)) : root;
    }
    case STORE_COLUMN_NUMBER:
        return number(run->number);
    case STORE_COLUMN_ATTRIBUTE:
    default:
        panic("column %d of a checked filter", (int)column);
    }
}

/* --- Checking --- */

static bool is_for_many(enum store_operator relation)
{
    return relation < STORE_LESS || relation == STORE_IN || relation == STORE_NOT_IN ||
           relation >= STORE_STARTS_WITH;
}

static enum status check_values(const struct store_filter *filter, size_t least, size_t most, bool text_only,
                                struct error *error)
{
    bool of_attribute = filter->column == STORE_COLUMN_ATTRIBUTE;
    if ((size_t)filter->column > STORE_COLUMN_COUNT || of_attribute != (filter->attribute != NULL))
        return error_set(error, ST_INVALID_ARGUMENT, "unknown column %d", (int)filter->column);
    if (of_attribute && store_attribute_is_many(filter->attribute->type) && !is_for_many(filter->relation))
        return error_set(error, ST_INVALID_ARGUMENT, "operator %d is not for several values",
                         (int)filter->relation);
    if (filter->value_count < least || filter->value_count > most)
        return error_set(error, ST_INVALID_ARGUMENT, "operator %d with %zu values", (int)filter->relation,
                         filter->value_count);
    bool is_text = of_attribute ? store_attribute_is_text(filter->attribute->type)
                                : column_types[filter->column] != STORE_COLUMN_NUMERIC;
    for (size_t i = 0; i < filter->value_count; i++) {
        if (filter->values[i].is_text != is_text)
            return error_set(error, ST_INVALID_ARGUMENT, "a value of the wrong type for column %d",
                             (int)filter->column);
    }
    if (text_only && !is_text)
        return error_set(error, ST_INVALID_ARGUMENT, "column %d has no prefixes", (int)filter->column);
    return ST_OK;
}

static enum status check_node(const struct store_filter *filter, struct error *error)
{
    switch (filter->relation) {
    case STORE_AND:
    case STORE_OR:
        return filter->child_count > 0 ? ST_OK : error_set(error, ST_INVALID_ARGUMENT, "an empty AND or OR");
    case STORE_NOT:
        return filter->child_count == 1 ? ST_OK
                                        : error_set(error, ST_INVALID_ARGUMENT, "NOT takes one condition");
    case STORE_EQUAL:
    case STORE_NOT_EQUAL:
    case STORE_LESS:
    case STORE_LESS_EQUAL:
    case STORE_GREATER:
    case STORE_GREATER_EQUAL:
        return check_values(filter, 1, 1, false, error);
    case STORE_IN:
    case STORE_NOT_IN:
        return check_values(filter, 1, STORE_FILTER_VALUES_MAX, false, error);
    case STORE_BETWEEN:
    case STORE_NOT_BETWEEN:
        return check_values(filter, 2, 2, false, error);
    case STORE_STARTS_WITH:
    case STORE_NOT_STARTS_WITH:
        return check_values(filter, 1, 1, true, error);
    case STORE_IS_NULL:
    case STORE_IS_NOT_NULL:
        return check_values(filter, 0, 0, false, error);
    }
    return error_set(error, ST_INVALID_ARGUMENT, "unknown operator %d", (int)filter->relation);
}

static bool is_a(const struct store_filter *filter, enum store_operator verb)
{
    return verb == filter->relation;
}

static bool has_children(const struct store_filter *filter)
{
    return is_a(filter, STORE_AND) || is_a(filter, STORE_OR) || is_a(filter, STORE_NOT);
}

struct frame {
    const struct store_filter *filter;
    size_t                     next_child;
    enum truth                 truth; /* of the children so far */
};

enum status store_filter_check(const struct store_filter *filter, struct error *error)
{
    struct frame stack[STORE_FILTER_DEPTH_MAX];
    size_t       depth = 0, nodes = 0, values = 0;
    for (const struct store_filter *at = filter; at != NULL;) {
        enum status status = check_node(at, error);
        if (status != ST_OK)
            return status;
        values += at->value_count;
        if (++nodes > STORE_FILTER_NODES_MAX || values > STORE_FILTER_VALUES_MAX)
            return error_set(error, ST_INVALID_ARGUMENT, "the query has more than %d conditions or %d values",
                             STORE_FILTER_NODES_MAX, STORE_FILTER_VALUES_MAX);
        if (has_children(at)) {
            if (depth == STORE_FILTER_DEPTH_MAX)
                return error_set(error, ST_INVALID_ARGUMENT, "the query is nested deeper than %d",
                                 STORE_FILTER_DEPTH_MAX);
            stack[depth++] = (struct frame){ .filter = at };
        }
        at = NULL;
        while (depth > 0 && at == NULL) {
            struct frame *top = &stack[depth - 1];
            if (top->next_child < top->filter->child_count)
                at = top->filter->children[top->next_child++];
            else
                depth--;
        }
    }
    return ST_OK;
}

/* --- Evaluation --- */

static bool is_in(const struct store_filter *filter, const struct store_value *value)
{
    for (size_t i = 0; i < filter->value_count; i++) {
        if (store_value_compare(value, &filter->values[i]) == 0)
            return true;
    }
    return false;
}

static enum truth leaf_truth(const struct store_filter *filter, struct store_column_value column)
{
    const struct store_value *value = &column.value, *given = filter->values;
    bool                      is;
    if (is_a(filter, STORE_IS_NULL) || is_a(filter, STORE_IS_NOT_NULL))
        return column.is_null == (is_a(filter, STORE_IS_NULL)) ? TRUTH_TRUE : TRUTH_FALSE;
    if (column.is_null)
        return TRUTH_UNKNOWN;
    switch (filter->relation) {
    case STORE_EQUAL:
        is = store_value_compare(value, given) == 0;
        break;
    case STORE_NOT_EQUAL:
        is = store_value_compare(value, given) != 0;
        break;
    case STORE_LESS:
        is = store_value_compare(value, given) < 0;
        break;
    case STORE_LESS_EQUAL:
        is = store_value_compare(value, given) <= 0;
        break;
    case STORE_GREATER:
        is = store_value_compare(value, given) > 0;
        break;
    case STORE_GREATER_EQUAL:
        is = store_value_compare(value, given) >= 0;
        break;
    case STORE_IN:
    case STORE_NOT_IN:
        is = is_in(filter, value) == (is_a(filter, STORE_IN));
        break;
    case STORE_BETWEEN:
    case STORE_NOT_BETWEEN:
        is = (store_value_compare(value, &given[0]) >= 0 && store_value_compare(value, &given[1]) <= 0) ==
             (is_a(filter, STORE_BETWEEN));
        break;
    case STORE_STARTS_WITH:
    case STORE_NOT_STARTS_WITH:
        is = bytes_starts_with(value->text, given->text) == (is_a(filter, STORE_STARTS_WITH));
        break;
    case STORE_AND:
    case STORE_OR:
    case STORE_NOT:
    case STORE_IS_NULL:
    case STORE_IS_NOT_NULL:
    default:
        panic("operator %d of a checked filter", (int)filter->relation);
    }
    return is ? TRUTH_TRUE : TRUTH_FALSE;
}

/* The opposites are true when there are values and none is so. */
static enum truth many_truth(const struct store_filter *filter, struct bytes attributes)
{
    static const enum store_operator opposites[] = {
        [STORE_NOT_EQUAL] = STORE_EQUAL,
        [STORE_NOT_IN] = STORE_IN,
        [STORE_NOT_STARTS_WITH] = STORE_STARTS_WITH,
    };
    struct store_filter       positive = *filter;
    struct store_column_value column = { .is_null = true };
    bool                      is_opposite = is_a(filter, STORE_NOT_EQUAL) || is_a(filter, STORE_NOT_IN) ||
                       is_a(filter, STORE_NOT_STARTS_WITH);
    if (is_opposite)
        positive.relation = opposites[filter->relation];
    enum truth truth = TRUTH_UNKNOWN;
    while (truth != TRUTH_TRUE && store_attributes_find(&attributes, filter->attribute, &column.value)) {
        column.is_null = false;
        truth = leaf_truth(&positive, column);
    }
    if (column.is_null)
        return leaf_truth(filter, column);
    return is_opposite ? TRUTH_TRUE - truth : truth;
}

static enum truth attribute_truth(const struct store_filter *filter, struct bytes attributes)
{
    struct store_column_value column = { .is_null = false };
    if (store_attribute_is_many(filter->attribute->type))
        return many_truth(filter, attributes);
    column.is_null = !store_attributes_find(&attributes, filter->attribute, &column.value);
    return leaf_truth(filter, column);
}

static void join(struct frame *frame, enum truth truth)
{
    if (is_a(frame->filter, STORE_NOT))
        frame->truth = TRUTH_TRUE - truth;
    else if (is_a(frame->filter, STORE_AND))
        frame->truth = MIN(frame->truth, truth);
    else
        frame->truth = MAX(frame->truth, truth);
}

/* `attributes` may have none. */
static bool matches(const struct store_filter *filter, const void *row, store_column_of *column,
                    struct bytes attributes)
{
    struct frame stack[STORE_FILTER_DEPTH_MAX];
    size_t       depth = 0;
    enum truth   truth = TRUTH_TRUE;
    for (const struct store_filter *at = filter; at != NULL;) {
        if (has_children(at)) {
            assert(depth < STORE_FILTER_DEPTH_MAX);
            stack[depth++] = (struct frame){ .filter = at,
                                             .truth = is_a(at, STORE_OR) ? TRUTH_FALSE : TRUTH_TRUE };
        } else {
            truth = at->column == STORE_COLUMN_ATTRIBUTE ? attribute_truth(at, attributes)
                                                         : leaf_truth(at, column(row, at->column));
            if (depth > 0)
                join(&stack[depth - 1], truth);
        }
        at = NULL;
        while (depth > 0 && at == NULL) {
            struct frame *top = &stack[depth - 1];
            if (top->next_child < top->filter->child_count) {
                at = top->filter->children[top->next_child++];
            } else {
                truth = top->truth;
                if (--depth > 0)
                    join(&stack[depth - 1], truth);
            }
        }
    }
    return truth == TRUTH_TRUE;
}

bool store_filter_matches(const struct store_filter *filter, const void *row, store_column_of *column)
{
    return matches(filter, row, column, BYTES_EMPTY);
}

static struct store_column_value run_column(const void *row, enum store_column column)
{
    return store_run_column(row, column);
}

bool store_filter_matches_run(const struct store_filter *filter, const struct store_run *run)
{
    return matches(filter, run, run_column, run->attributes);
}

bool store_prefix_end(struct bytes prefix, uint8_t *room, struct bytes *ret_end)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.base[size - 1] == 0xFF)
        size--;
    if (size == 0)
        return false;
    memcpy(room, prefix.base, size);
    room[size - 1]++;
    *ret_end = bytes_of(room, size);
    return true;
}
