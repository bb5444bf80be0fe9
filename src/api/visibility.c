/* visibility.c: lists and counts of runs, straight from the rows that their transitions wrote. */
#include "api/api_internal.h"
#include "api/list_filter.h"
#include "base/hash.h"
#include "codec/json_text.h"
#include "schedule/schedule.h"

/* --- rows as clients see them --- */

static struct common_WorkflowExecution *execution_of(struct rpc *rpc, struct bytes workflow_id,
                                                     const struct uuid *run_id)
{
    char                             text[UUID_TEXT_SIZE];
    struct common_WorkflowExecution *execution = ARENA_NEW(&rpc->arena, struct common_WorkflowExecution);
    uuid_print(run_id, text);
    execution->workflow_id = workflow_id;
    execution->run_id = arena_copy(&rpc->arena, bytes_of(text, sizeof text));
    return execution;
}

static void info_fill(struct rpc *rpc, const struct store_run *run,
                      struct workflow_WorkflowExecutionInfo *info)
{
    struct arena *arena = &rpc->arena;
    info->execution = execution_of(rpc, run->workflow_id, &run->run_id);
    info->type = ARENA_NEW(arena, struct common_WorkflowType);
    info->type->name = run->workflow_type;
    info->start_time = timestamp_of_ns(arena, run->start_time);
    info->execution_time = timestamp_of_ns(arena,
                                           run->execution_time != 0 ? run->execution_time : run->start_time);
    info->status = run->status;
    info->task_queue = run->task_queue;
    info->memo = run->memo.size != 0 ? run->memo
                                     : BYTES(""); /* present, if empty: readers take it for granted */
    info->search_attributes = run->search_attributes.size != 0
                                  ? rpc_typed_search_attributes(rpc, run->search_attributes)
                                  : BYTES("");
    if (run->close_time != 0) {
        info->close_time = timestamp_of_ns(arena, run->close_time);
        info->history_length = run->history_length;
        info->history_size_bytes = run->history_size;
        info->state_transition_count = run->state_transitions;
        info->execution_duration = duration_of_ns(
            arena, MAX(run->close_time - (run->execution_time != 0 ? run->execution_time : run->start_time),
                       INT64_C(0)));
    }
    if (run->parent_workflow_id.size != 0)
        info->parent_execution = execution_of(rpc, run->parent_workflow_id, &run->parent_run_id);
    info->root_execution = run->root_workflow_id.size != 0
                               ? execution_of(rpc, run->root_workflow_id, &run->root_run_id)
                               : execution_of(rpc, run->workflow_id, &run->run_id);
}

/* --- pages --- */

static uint64_t query_hash(const struct rpc *rpc, struct bytes query)
{
    return hash_combine(hash_stable(query), (uint64_t)rpc->ns.number ^ ((uint64_t)rpc->method->index << 32));
}

static enum status page_parse(struct rpc *rpc, struct bytes token, struct bytes query, struct error *error)
{
    struct store_read    *read = &rpc->list.read->read;
    struct token_ListPage page;
    if (token.size == 0)
        return ST_OK;
    if (pb_decode(&pb_token_ListPage, token, &rpc->arena, &page, NULL) != ST_OK ||
        page.format != PAGE_TOKEN_FORMAT)
        return error_set(error, ST_INVALID_ARGUMENT, "NextPageToken is not a token of this call.");
    if (page.query_hash != query_hash(rpc, query))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "NextPageToken is of another namespace or query than the request.");
    if (page.keys_count != read->key_count)
        return error_set(error, ST_INVALID_ARGUMENT, "NextPageToken is not a token of this call.");
    for (size_t i = 0; i < page.keys_count; i++)
        read->after_keys[i] = (struct store_column_value){
            .is_null = page.keys[i].is_null,
            .value = { .is_text = list_type_is_text((enum list_type)rpc->list.parsed->key_types[i]),
                       .text = page.keys[i].text,
                       .number = page.keys[i].number }
        };
    read->after_is_set = true;
    read->after_open = page.open;
    read->after = page.number;
    read->after_close_time = page.close_time;
    return ST_OK;
}

static struct bytes page_make(struct rpc *rpc, const struct store_run *last, struct bytes query)
{
    struct token_ListPage    page = { .open = last->close_time == 0,
                                      .close_time = last->close_time,
                                      .number = last->number,
                                      .query_hash = query_hash(rpc, query),
                                      .format = PAGE_TOKEN_FORMAT };
    const struct store_read *read = &rpc->list.read->read;
    page.keys = ARENA_NEW_ARRAY(&rpc->arena, struct token_ListKey, read->key_count + 1);
    page.keys_count = read->key_count;
    for (size_t i = 0; i < read->key_count; i++)
        page.keys[i] = (struct token_ListKey){ .is_null = read->last_keys[i].is_null,
                                               .text = read->last_keys[i].value.text,
                                               .number = read->last_keys[i].value.number };
    return pb_encode_arena(&pb_token_ListPage, &page, &rpc->arena);
}

/* The four list calls answer with messages of one form: executions, token. */
static void answer_list(struct rpc *rpc, struct workflow_WorkflowExecutionInfo *infos, size_t count,
                        struct bytes token)
{
    struct workflowservice_ListWorkflowExecutionsResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_ListWorkflowExecutionsResponse);
    static_assert(sizeof *response == sizeof(struct workflowservice_ScanWorkflowExecutionsResponse),
                  "one form");
    static_assert(sizeof *response == sizeof(struct workflowservice_ListOpenWorkflowExecutionsResponse),
                  "one form");
    static_assert(sizeof *response == sizeof(struct workflowservice_ListClosedWorkflowExecutionsResponse),
                  "one form");
    response->executions = infos;
    response->executions_count = count;
    response->next_page_token = token;
    rpc_reply(rpc, response);
}

static void list_read(struct message *message)
{
    struct rpc        *rpc = rpc_read_answered(message);
    struct store_read *read = &rpc->list.read->read;
    if (read->status != ST_OK) {
        rpc_fail(rpc, read->status, "%s", read->error.message);
        return;
    }
    struct workflow_WorkflowExecutionInfo *infos = ARENA_NEW_ARRAY(&rpc->arena,
                                                                   struct workflow_WorkflowExecutionInfo,
                                                                   read->run_count + 1);
    for (size_t i = 0; i < read->run_count; i++)
        info_fill(rpc, &read->runs[i], &infos[i]);
    struct bytes token = BYTES_EMPTY;
    if (read->more && read->run_count != 0)
        token = page_make(rpc, &read->runs[read->run_count - 1], rpc->list.query);
    answer_list(rpc, infos, read->run_count, token);
}

static void schedules_read(struct message *message)
{
    struct rpc        *rpc = rpc_read_answered(message);
    struct store_read *read = &rpc->list.read->read;
    if (read->status != ST_OK) {
        rpc_fail(rpc, read->status, "%s", read->error.message);
        return;
    }
    struct bytes token = BYTES_EMPTY;
    if (read->more && read->run_count != 0)
        token = page_make(rpc, &read->runs[read->run_count - 1], rpc->list.query);
    schedules_listed(rpc, read->runs, read->run_count, token);
}

static void read_submit(struct rpc *rpc, enum store_read_kind kind, struct store_filter *filter,
                        void (*done)(struct message *))
{
    struct store_read *read = &rpc->list.read->read;
    read->kind = kind;
    read->namespace_number = rpc->ns.number;
    read->filter = filter;
    read->arena = &rpc->arena;
    read->home = lane_mailbox(rpc->home->lane);
    read->message.run = done;
    rpc_read_submit(rpc, read);
}

static void list_submit(struct rpc *rpc, int32_t page_size, struct store_filter *filter)
{
    struct store_read *read = &rpc->list.read->read;
    read->limit = page_size <= 0 ? rpc_limits(rpc)->list_page_max
                                 : MIN((size_t)page_size, rpc_limits(rpc)->list_page_max);
    read->size_limit = LIST_PAGE_SIZE;
    read_submit(rpc, STORE_READ_LIST, filter,
                read->run_kind == STORE_RUN_SCHEDULE ? schedules_read : list_read);
}

/* Parses the query and has the read answer it; NULL: failed. */
static const struct list_query *query_take(struct rpc *rpc, struct bytes query, bool of_schedules)
{
    const struct namespace_config *config = lane_namespace_by_number(rpc_lane(rpc), rpc->ns.number);
    struct list_query             *parsed = ARENA_NEW(&rpc->arena, struct list_query);
    struct store_read             *read = rpc_read_new(rpc);
    if (list_query_parse(query, config, &rpc->arena, parsed, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return NULL;
    }
    rpc->list.parsed = parsed;
    read->keys = parsed->keys;
    read->key_count = parsed->key_count;
    read->run_kind = of_schedules             ? STORE_RUN_SCHEDULE
                     : parsed->names_division ? STORE_RUN_ANY_KIND
                                              : STORE_RUN_WORKFLOW;
    return parsed;
}

static void list_by_query(struct rpc *rpc, struct bytes query, int32_t page_size, struct bytes token,
                          bool of_schedules)
{
    rpc->list.query = query;
    const struct list_query *parsed = query_take(rpc, query, of_schedules);
    if (parsed == NULL)
        return;
    if (parsed->is_grouped)
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "invalid query: GROUP BY is for counts only");
    else if (page_parse(rpc, token, query, &rpc->error) != ST_OK)
        rpc_fail_error(rpc, &rpc->error);
    else
        list_submit(rpc, page_size, parsed->filter);
}

void list_workflows(struct rpc *rpc)
{
    const struct workflowservice_ListWorkflowExecutionsRequest *request = rpc->request;
    list_by_query(rpc, request->query, request->page_size, request->next_page_token, false);
}

void scan_workflows(struct rpc *rpc)
{
    const struct workflowservice_ScanWorkflowExecutionsRequest *request = rpc->request;
    list_by_query(rpc, request->query, request->page_size, request->next_page_token, false);
}

void list_schedules(struct rpc *rpc)
{
    const struct workflowservice_ListSchedulesRequest *request = rpc->request;
    list_by_query(rpc, request->query, request->maximum_page_size, request->next_page_token, true);
}

/* --- the older calls: fixed filters --- */

static struct store_filter *filter_one(struct rpc *rpc, enum store_operator relation,
                                       enum store_column column, struct store_value value)
{
    struct store_filter *filter = ARENA_NEW(&rpc->arena, struct store_filter);
    filter->relation = relation;
    filter->column = column;
    filter->values = ARENA_NEW(&rpc->arena, struct store_value);
    filter->values[0] = value;
    filter->value_count = relation == STORE_IS_NULL || relation == STORE_IS_NOT_NULL ? 0 : 1;
    return filter;
}

static void filter_add(struct rpc *rpc, struct store_filter *all, struct store_filter *one)
{
    if (all->children == NULL)
        all->children = ARENA_NEW_ARRAY(&rpc->arena, struct store_filter *, 8);
    assert(all->child_count < 8);
    all->children[all->child_count++] = one;
}

static struct store_value text_value(struct bytes text)
{
    return (struct store_value){ .is_text = true, .text = text };
}

static struct store_value number_value(int64_t number)
{
    return (struct store_value){ .number = number };
}

static void add_times(struct rpc *rpc, struct store_filter *all, enum store_column column,
                      const struct filter_StartTimeFilter *times)
{
    if (times != NULL && times->earliest_time != NULL)
        filter_add(rpc, all,
                   filter_one(rpc, STORE_GREATER_EQUAL, column,
                              number_value(timestamp_ns(times->earliest_time))));
    if (times != NULL && times->latest_time != NULL)
        filter_add(rpc, all,
                   filter_one(rpc, STORE_LESS_EQUAL, column, number_value(timestamp_ns(times->latest_time))));
}

static void add_execution(struct rpc *rpc, struct store_filter *all,
                          const struct filter_WorkflowExecutionFilter *execution)
{
    struct uuid run_id;
    if (execution->workflow_id.size != 0)
        filter_add(rpc, all,
                   filter_one(rpc, STORE_EQUAL, STORE_COLUMN_WORKFLOW_ID,
                              text_value(execution->workflow_id)));
    if (execution->run_id.size == 0)
        return;
    if (!uuid_parse(execution->run_id, &run_id))
        memset(&run_id, 0, sizeof run_id); /* no run has such an id, nor this one */
    filter_add(rpc, all,
               filter_one(rpc, STORE_EQUAL, STORE_COLUMN_RUN_ID,
                          text_value(arena_copy(&rpc->arena, bytes_of(run_id.byte, sizeof run_id.byte)))));
}

static void list_by_filter(struct rpc *rpc, struct store_filter *all, int32_t page_size, struct bytes token)
{
    rpc_read_new(rpc);
    /* The token goes with the request's own bytes but the token itself; its page follows from the row alone. */
    if (page_parse(rpc, token, BYTES_EMPTY, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    list_submit(rpc, page_size, all);
}

void list_open_workflows(struct rpc *rpc)
{
    const struct workflowservice_ListOpenWorkflowExecutionsRequest *request = rpc->request;
    struct store_filter *all = ARENA_NEW(&rpc->arena, struct store_filter);
    all->relation = STORE_AND;
    filter_add(rpc, all, filter_one(rpc, STORE_IS_NULL, STORE_COLUMN_CLOSE_TIME, number_value(0)));
    add_times(rpc, all, STORE_COLUMN_START_TIME, request->start_time_filter);
    if (request->filters_case == 5)
        add_execution(rpc, all, request->execution_filter);
    else if (request->filters_case == 6)
        filter_add(rpc, all,
                   filter_one(rpc, STORE_EQUAL, STORE_COLUMN_WORKFLOW_TYPE,
                              text_value(request->type_filter->name)));
    list_by_filter(rpc, all, request->maximum_page_size, request->next_page_token);
}

void list_closed_workflows(struct rpc *rpc)
{
    const struct workflowservice_ListClosedWorkflowExecutionsRequest *request = rpc->request;
    struct store_filter *all = ARENA_NEW(&rpc->arena, struct store_filter);
    all->relation = STORE_AND;
    filter_add(rpc, all, filter_one(rpc, STORE_IS_NOT_NULL, STORE_COLUMN_CLOSE_TIME, number_value(0)));
    add_times(rpc, all, STORE_COLUMN_CLOSE_TIME, request->start_time_filter);
    if (request->filters_case == 5)
        add_execution(rpc, all, request->execution_filter);
    else if (request->filters_case == 6)
        filter_add(rpc, all,
                   filter_one(rpc, STORE_EQUAL, STORE_COLUMN_WORKFLOW_TYPE,
                              text_value(request->type_filter->name)));
    else if (request->filters_case == 7) {
        int32_t status = request->status_filter->status;
        if (status <= enums_WORKFLOW_EXECUTION_STATUS_RUNNING ||
            status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED || list_status_name(status) == NULL) {
            rpc_fail(rpc, ST_INVALID_ARGUMENT, "StatusFilter: the status of a closed workflow is expected.");
            return;
        }
        filter_add(rpc, all, filter_one(rpc, STORE_EQUAL, STORE_COLUMN_STATUS, number_value(status)));
    }
    list_by_filter(rpc, all, request->maximum_page_size, request->next_page_token);
}

/* --- counts --- */

/* JSON text of a group's value; the type is that of its payload. */
static const char *value_json(enum list_type type, const struct store_value *value, struct buffer *json)
{
    char        id[UUID_TEXT_SIZE];
    struct uuid uuid;
    switch (type) {
    case LIST_STATUS: {
        const char *name = list_status_name(value->number);
        buffer_printf(json, "\"%s\"", name == NULL ? "Unspecified" : name);
        return "Keyword";
    }
    case LIST_UUID:
        assert(value->text.size == sizeof uuid.byte);
        memcpy(uuid.byte, value->text.base, sizeof uuid.byte);
        uuid_print(&uuid, id);
        json_put_string(json, bytes_of(id, sizeof id));
        return "Keyword";
    case LIST_TIME: {
        int64_t seconds = value->number / NS_PER_S, nanos = value->number % NS_PER_S;
        if (nanos < 0) {
            seconds--;
            nanos += NS_PER_S;
        }
        if (!json_put_timestamp(json, seconds, (int32_t)nanos))
            panic("64 bits of nanoseconds hold no such year");
        return "Datetime";
    }
    case LIST_BOOL:
        buffer_append_text(json, value->number != 0 ? "true" : "false");
        return "Bool";
    case LIST_DOUBLE:
        json_put_double(json, store_double_of_number(value->number));
        return "Double";
    case LIST_INT:
    case LIST_DURATION:
        buffer_printf(json, "%" PRId64, value->number);
        return "Int";
    case LIST_SCHEDULE:
        json_put_string(json, bytes_of(value->text.base + strlen(SCHEDULE_ID_PREFIX),
                                       value->text.size - strlen(SCHEDULE_ID_PREFIX)));
        return "Keyword";
    case LIST_KEYWORD:
    case LIST_KEYWORDS:
    case LIST_TEXT:
    case LIST_WORKER_STATUS:
        break;
    }
    json_put_string(json, value->text);
    return "Keyword";
}

static struct bytes group_value(struct rpc *rpc, enum list_type type, const struct store_value *value)
{
    struct buffer json;
    buffer_init(&json);
    const char                         *name = value_json(type, value, &json);
    struct common_Payload_MetadataEntry metadata[] = { { BYTES("encoding"), BYTES("json/plain") },
                                                       { BYTES("type"), bytes_of_text(name) } };
    struct common_Payload               payload = { .metadata = metadata,
                                                    .metadata_count = ARRAY_COUNT(metadata),
                                                    .data = buffer_bytes(&json) };
    struct bytes                        encoded = pb_encode_arena(&pb_common_Payload, &payload, &rpc->arena);
    buffer_release(&json);
    return encoded;
}

static void count_read(struct message *message)
{
    struct rpc        *rpc = rpc_read_answered(message);
    struct store_read *read = &rpc->list.read->read;
    if (read->status != ST_OK) {
        rpc_fail(rpc, read->status, "%s", read->error.message);
        return;
    }
    struct workflowservice_CountWorkflowExecutionsResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_CountWorkflowExecutionsResponse);
    response->count = read->count;
    if (read->key_count != 0) {
        response->groups = ARENA_NEW_ARRAY(
            &rpc->arena, struct workflowservice_CountWorkflowExecutionsResponse_AggregationGroup,
            read->group_count + 1);
        response->groups_count = read->group_count;
    }
    for (size_t i = 0; i < response->groups_count; i++) {
        response->groups[i].group_values = ARENA_NEW_ARRAY(&rpc->arena, struct bytes, read->key_count);
        response->groups[i].group_values_count = read->key_count;
        for (size_t k = 0; k < read->key_count; k++)
            response->groups[i].group_values[k] = group_value(rpc, rpc->list.parsed->key_types[k],
                                                              &read->groups[i].values[k]);
        response->groups[i].count = read->groups[i].count;
    }
    rpc_reply(rpc, response);
}

static void count_by_query(struct rpc *rpc, struct bytes query, bool of_schedules)
{
    const struct list_query *parsed = query_take(rpc, query, of_schedules);
    if (parsed == NULL)
        return;
    if (parsed->key_count != 0 && !parsed->is_grouped)
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "invalid query: ORDER BY is for lists only");
    else
        read_submit(rpc, STORE_READ_COUNT, parsed->filter, count_read);
}

void count_workflows(struct rpc *rpc)
{
    count_by_query(rpc, ((const struct workflowservice_CountWorkflowExecutionsRequest *)rpc->request)->query,
                   false);
}

/* The two answers are of one shape. */
void count_schedules(struct rpc *rpc)
{
    static_assert(sizeof(struct workflowservice_CountSchedulesResponse) ==
                      sizeof(struct workflowservice_CountWorkflowExecutionsResponse),
                  "one shape");
    count_by_query(rpc, ((const struct workflowservice_CountSchedulesRequest *)rpc->request)->query, true);
}
