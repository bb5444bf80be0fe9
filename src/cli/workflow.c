/* workflow.c: perdure workflow start, execute, signal-with-start, show, describe, list, count, signal, query, cancel, terminate, result. */
#include <stdio.h>
#include <time.h>

#include "cli/cli_internal.h"

/* How long a server may be gone while the command waits for a workflow. */
#define RESTART_NS_MAX     (60 * NS_PER_S)
#define LIST_PAGE_SIZE_MAX 1000

static const struct cli_name reuse_policies[] = {
    { "AllowDuplicate", enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE },
    { "AllowDuplicateFailedOnly", enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY },
    { "RejectDuplicate", enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE },
    { "TerminateIfRunning", enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING },
    { NULL, 0 },
};
static const struct cli_name conflict_policies[] = {
    { "Fail", enums_WORKFLOW_ID_CONFLICT_POLICY_FAIL },
    { "UseExisting", enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING },
    { "TerminateExisting", enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING },
    { NULL, 0 },
};
static const struct cli_name reject_conditions[] = {
    { "not_open", enums_QUERY_REJECT_CONDITION_NOT_OPEN },
    { "not_completed_cleanly", enums_QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY },
    { NULL, 0 },
};

enum status cli_start_request(struct cli *cli, struct workflowservice_StartWorkflowExecutionRequest *request)
{
    request->namespace = cli_namespace(cli);
    request->workflow_id = cli_value(cli, FLAG_WORKFLOW_ID);
    if (request->workflow_id.size == 0)
        request->workflow_id = cli_request_id(cli);
    request->workflow_type = ARENA_NEW(&cli->arena, struct common_WorkflowType);
    request->workflow_type->name = cli_value(cli, FLAG_TYPE);
    request->task_queue = ARENA_NEW(&cli->arena, struct taskqueue_TaskQueue);
    request->task_queue->name = cli_value(cli, FLAG_TASK_QUEUE);
    request->identity = cli_identity(cli);
    request->request_id = cli_request_id(cli);
    request->cron_schedule = cli_value(cli, FLAG_CRON);
    enum status status = cli_input(cli, &request->input);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_MEMO, &request->memo);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_SEARCH_ATTRIBUTE, &request->search_attributes);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_HEADERS, &request->header);
    if (status == ST_OK)
        status = cli_user_metadata(cli, &request->user_metadata);
    if (status == ST_OK)
        status = cli_duration(cli, FLAG_EXECUTION_TIMEOUT, &request->workflow_execution_timeout);
    if (status == ST_OK)
        status = cli_duration(cli, FLAG_RUN_TIMEOUT, &request->workflow_run_timeout);
    if (status == ST_OK)
        status = cli_duration(cli, FLAG_TASK_TIMEOUT, &request->workflow_task_timeout);
    if (status == ST_OK)
        status = cli_duration(cli, FLAG_START_DELAY, &request->workflow_start_delay);
    if (status == ST_OK)
        status = cli_named_value(cli, FLAG_ID_REUSE_POLICY, reuse_policies,
                                 &request->workflow_id_reuse_policy);
    if (status == ST_OK)
        status = cli_named_value(cli, FLAG_ID_CONFLICT_POLICY, conflict_policies,
                                 &request->workflow_id_conflict_policy);
    return status;
}

static void print_started(struct cli                                                 *cli,
                          const struct workflowservice_StartWorkflowExecutionRequest *request,
                          struct bytes run_id, bool started)
{
    const struct {
        const char  *text, *json;
        struct bytes value;
    } lines[] = {
        { "WorkflowId", "workflowId", request->workflow_id },
        { "RunId", "runId", run_id },
        { "Type", "type", request->workflow_type->name },
        { "TaskQueue", "taskQueue", request->task_queue->name },
        { "Namespace", "namespace", request->namespace },
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        if (cli->json)
            cli_text_field(cli, lines[i].json, lines[i].value);
        else
            printf("%-10s  %.*s\n", lines[i].text, BYTES_FMT(lines[i].value));
    }
    if (cli->json) {
        cli_field(cli, "started");
        fputs(started ? "true" : "false", stdout);
        cli_fields_end(cli);
    } else if (!started) {
        puts("(it was running already)");
    }
}

static enum status start(struct cli *cli, struct common_WorkflowExecution *ret_execution, bool quiet)
{
    struct workflowservice_StartWorkflowExecutionRequest  request = { 0 };
    struct workflowservice_StartWorkflowExecutionResponse response = { 0 };
    enum status                                           status = cli_start_request(cli, &request);
    if (status == ST_OK)
        status = CALL(cli, StartWorkflowExecution, &request, &response);
    if (status != ST_OK)
        return status;
    ret_execution->workflow_id = request.workflow_id;
    ret_execution->run_id = response.run_id;
    if (quiet)
        return ST_OK;
    print_started(cli, &request, response.run_id, response.started);
    return ST_OK;
}

static enum status run_start(struct cli *cli)
{
    struct common_WorkflowExecution execution = { 0 };
    return start(cli, &execution, false);
}

static enum status run_signal_with_start(struct cli *cli)
{
    struct workflowservice_StartWorkflowExecutionRequest            start_part = { 0 };
    struct workflowservice_SignalWithStartWorkflowExecutionResponse response = { 0 };
    enum status status = cli_start_request(cli, &start_part);
    struct workflowservice_SignalWithStartWorkflowExecutionRequest request = {
        .namespace = start_part.namespace,
        .workflow_id = start_part.workflow_id,
        .workflow_type = start_part.workflow_type,
        .task_queue = start_part.task_queue,
        .input = start_part.input,
        .workflow_execution_timeout = start_part.workflow_execution_timeout,
        .workflow_run_timeout = start_part.workflow_run_timeout,
        .workflow_task_timeout = start_part.workflow_task_timeout,
        .identity = start_part.identity,
        .request_id = start_part.request_id,
        .workflow_id_reuse_policy = start_part.workflow_id_reuse_policy,
        .workflow_id_conflict_policy = start_part.workflow_id_conflict_policy,
        .cron_schedule = start_part.cron_schedule,
        .memo = start_part.memo,
        .search_attributes = start_part.search_attributes,
        .header = start_part.header,
        .workflow_start_delay = start_part.workflow_start_delay,
        .user_metadata = start_part.user_metadata,
        .signal_name = cli_value(cli, FLAG_SIGNAL_NAME),
    };
    if (status == ST_OK)
        status = cli_signal_input(cli, &request.signal_input);
    if (status == ST_OK)
        status = CALL(cli, SignalWithStartWorkflowExecution, &request, &response);
    if (status == ST_OK)
        print_started(cli, &start_part, response.run_id, response.started);
    return status;
}

/* Reads one page of history; `token` is what the page before gave. */
static enum status history_page(struct cli *cli, const struct common_WorkflowExecution *execution, bool wait,
                                int32_t filter, struct bytes token,
                                struct workflowservice_GetWorkflowExecutionHistoryResponse *ret_page)
{
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = cli_namespace(cli),
        .execution = (struct common_WorkflowExecution *)execution,
        .wait_new_event = wait,
        .history_event_filter_type = filter,
        .next_page_token = token,
    };
    *ret_page = (struct workflowservice_GetWorkflowExecutionHistoryResponse){ 0 };
    return CALL(cli, GetWorkflowExecutionHistory, &request, ret_page);
}

/* The same while waiting: a server that restarts answers again soon, and nobody waits for a workflow to be told otherwise. */
static enum status next_page(struct cli *cli, const struct common_WorkflowExecution *execution,
                             int32_t filter, struct bytes token,
                             struct workflowservice_GetWorkflowExecutionHistoryResponse *ret_page)
{
    int64_t give_up = clock_monotonic_ns(&clock_system) + RESTART_NS_MAX;
    for (;;) {
        enum status status = history_page(cli, execution, true, filter, token, ret_page);
        if (status != ST_UNAVAILABLE || token.size == 0 || clock_monotonic_ns(&clock_system) > give_up)
            return status;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 200 * NS_PER_MS }, NULL);
    }
}

/* The run that goes on where this close event ends; empty: none. */
static struct bytes next_run(const struct history_HistoryEvent *event)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return event->workflow_execution_continued_as_new_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return event->workflow_execution_failed_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return event->workflow_execution_timed_out_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return event->workflow_execution_completed_event_attributes->new_execution_run_id;
    default:
        return BYTES_EMPTY;
    }
}

static const char *const status_of_event[] = {
    [enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED] = "COMPLETED",
    [enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED] = "FAILED",
    [enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT] = "TIMED_OUT",
    [enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED] = "CANCELED",
    [enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED] = "TERMINATED",
};

static enum status print_outcome_json(struct cli *cli, const struct common_WorkflowExecution *execution,
                                      const struct history_HistoryEvent *event)
{
    size_t      type = (size_t)event->event_type;
    const char *name = type < ARRAY_COUNT(status_of_event) ? status_of_event[type] : NULL;
    enum status status = ST_OK;
    cli_text_field(cli, "workflowId", execution->workflow_id);
    cli_text_field(cli, "runId", execution->run_id);
    cli_text_field(cli, "status", bytes_of_text(name == NULL ? "" : name));
    if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
        status = cli_payloads_field(cli, "result",
                                    event->workflow_execution_completed_event_attributes->result);
    if (status == ST_OK)
        status = cli_message_field(cli, "closeEvent", &pb_history_HistoryEvent, event);
    cli_fields_end(cli);
    return status;
}

static enum status print_outcome(struct cli *cli, const struct common_WorkflowExecution *execution,
                                 const struct history_HistoryEvent *event)
{
    bool        completed = event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED;
    enum status status = ST_OK;
    if (cli->json) {
        status = print_outcome_json(cli, execution, event);
    } else if (completed) {
        cli_print_payloads(cli, event->workflow_execution_completed_event_attributes->result);
    } else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED) {
        cli_print_failure(cli, event->workflow_execution_failed_event_attributes->failure, 0);
    } else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED) {
        struct bytes reason = event->workflow_execution_terminated_event_attributes->reason;
        printf("reason: %.*s\n", BYTES_FMT(reason));
    }
    if (status != ST_OK || completed)
        return status;
    return error_set(&cli->error, ST_ABORTED, "the workflow ended with %s",
                     cli_event_text(event->event_type));
}

/* Waits for the end of the execution, over continue-as-new, retries and cron, and prints its result. */
static enum status wait_result(struct cli *cli, struct common_WorkflowExecution execution)
{
    struct bytes token = BYTES_EMPTY;
    for (;;) {
        struct workflowservice_GetWorkflowExecutionHistoryResponse page;
        enum status status = next_page(cli, &execution, enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, token,
                                       &page);
        if (status != ST_OK)
            return status;
        token = page.next_page_token;
        if (page.history == NULL || page.history->events_count == 0)
            continue;
        struct history_HistoryEvent event = { 0 };
        status = pb_decode(&pb_history_HistoryEvent, page.history->events[page.history->events_count - 1],
                           &cli->arena, &event, &cli->error);
        if (status != ST_OK)
            return status;
        struct bytes next = next_run(&event);
        if (next.size == 0)
            return print_outcome(cli, &execution, &event);
        execution.run_id = next;
        token = BYTES_EMPTY;
    }
}

static enum status run_execute(struct cli *cli)
{
    struct common_WorkflowExecution execution = { 0 };
    enum status                     status = start(cli, &execution, true);
    return status == ST_OK ? wait_result(cli, execution) : status;
}

static enum status run_result(struct cli *cli)
{
    struct common_WorkflowExecution *execution = cli_execution(cli);
    if (execution->run_id.size == 0) { /* the run there is now: another one of this id is none of ours */
        struct workflowservice_DescribeWorkflowExecutionRequest  request = { .namespace = cli_namespace(cli),
                                                                             .execution = execution };
        struct workflowservice_DescribeWorkflowExecutionResponse response = { 0 };
        enum status status = CALL(cli, DescribeWorkflowExecution, &request, &response);
        if (status != ST_OK)
            return status;
        if (response.workflow_execution_info != NULL && response.workflow_execution_info->execution != NULL)
            execution = response.workflow_execution_info->execution;
    }
    return wait_result(cli, *execution);
}

static enum status print_event(struct cli *cli, struct bytes wire)
{
    struct history_HistoryEvent event = { 0 };
    enum status status = pb_decode(&pb_history_HistoryEvent, wire, &cli->arena, &event, &cli->error);
    if (status != ST_OK)
        return status;
    if (cli_given(cli, FLAG_DETAILED) || cli->json)
        return cli_print_json(cli, &pb_history_HistoryEvent, &event);
    printf("%5" PRId64 "  %s  %s\n", event.event_id, cli_time_text(cli, event.event_time),
           cli_event_text(event.event_type));
    return ST_OK;
}

static enum status print_events(struct cli *cli, const struct history_History *history)
{
    enum status status = ST_OK;
    for (size_t i = 0; status == ST_OK && history != NULL && i < history->events_count; i++) {
        cli_list_item(cli, "{\"events\":[");
        status = print_event(cli, history->events[i]);
    }
    fflush(stdout); /* who follows wants to see it now */
    return status;
}

static enum status show_reverse(struct cli *cli)
{
    struct workflowservice_GetWorkflowExecutionHistoryReverseRequest request = {
        .namespace = cli_namespace(cli), .execution = cli_execution(cli)
    };
    enum status status;
    do {
        struct workflowservice_GetWorkflowExecutionHistoryReverseResponse page = { 0 };
        status = CALL(cli, GetWorkflowExecutionHistoryReverse, &request, &page);
        if (status == ST_OK)
            status = print_events(cli, page.history);
        request.next_page_token = page.next_page_token;
    } while (status == ST_OK && request.next_page_token.size != 0);
    return status;
}

static enum status show_forward(struct cli *cli)
{
    struct common_WorkflowExecution *execution = cli_execution(cli);
    struct bytes                     token = BYTES_EMPTY;
    enum status                      status;
    do {
        struct workflowservice_GetWorkflowExecutionHistoryResponse page;
        int32_t all = enums_HISTORY_EVENT_FILTER_TYPE_ALL_EVENT;
        if (cli_given(cli, FLAG_FOLLOW))
            status = next_page(cli, execution, all, token, &page);
        else
            status = history_page(cli, execution, false, all, token, &page);
        if (status == ST_OK)
            status = print_events(cli, page.history);
        token = page.next_page_token;
    } while (status == ST_OK && token.size != 0);
    return status;
}

static enum status run_show(struct cli *cli)
{
    if (cli_given(cli, FLAG_REVERSE) && cli_given(cli, FLAG_FOLLOW))
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "--follow goes forward, --reverse back");
    enum status status = cli_given(cli, FLAG_REVERSE) ? show_reverse(cli) : show_forward(cli);
    return cli_list_end(cli, status, "{\"events\":[", "]}");
}

static void describe_family(const struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    const struct workflow_WorkflowExecutionInfo *info = response->workflow_execution_info;
    if (info->parent_execution != NULL && info->parent_execution->workflow_id.size != 0)
        printf("Parent            %.*s %.*s\n", BYTES_FMT(info->parent_execution->workflow_id),
               BYTES_FMT(info->parent_execution->run_id));
    for (size_t i = 0; i < response->pending_children_count; i++) {
        const struct workflow_PendingChildExecutionInfo *child = &response->pending_children[i];
        printf("Pending child     %.*s %.*s%s\n", BYTES_FMT(child->workflow_id),
               BYTES_FMT(child->workflow_type_name), child->run_id.size == 0 ? ", not started" : "");
    }
}

static void describe_pending(struct cli                                                     *cli,
                             const struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    for (size_t i = 0; i < response->pending_activities_count; i++) {
        const struct workflow_PendingActivityInfo *activity = &response->pending_activities[i];
        printf("Pending activity  %.*s %.*s, attempt %d%s\n", BYTES_FMT(activity->activity_id),
               BYTES_FMT(activity->activity_type == NULL ? BYTES_EMPTY : activity->activity_type->name),
               activity->attempt,
               activity->state == enums_PENDING_ACTIVITY_STATE_STARTED  ? ", started"
               : activity->state == enums_PENDING_ACTIVITY_STATE_PAUSED ? ", paused"
               : activity->state == enums_PENDING_ACTIVITY_STATE_PAUSE_REQUESTED
                   ? ", started, pause requested"
                   : "");
        if (activity->last_failure.base != NULL)
            cli_print_failure(cli, activity->last_failure, 4);
    }
    if (response->pending_workflow_task != NULL)
        printf("Pending task      attempt %d%s\n", response->pending_workflow_task->attempt,
               response->pending_workflow_task->state == enums_PENDING_WORKFLOW_TASK_STATE_STARTED
                   ? ", started"
                   : "");
}

static void describe_callbacks(struct cli                                                     *cli,
                               const struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    static const char *const states[] = { "?",      "standing by", "scheduled", "backing off",
                                          "failed", "succeeded",   "blocked" };
    for (size_t i = 0; i < response->callbacks_count; i++) {
        const struct workflow_CallbackInfo *info = &response->callbacks[i];
        struct common_Callback              callback = { 0 };
        if (pb_decode(&pb_common_Callback, info->callback, &cli->arena, &callback, NULL) != ST_OK)
            continue;
        printf("Callback          %.*s, %s, attempt %d\n",
               BYTES_FMT(callback.variant_case == 2 ? callback.nexus->url : BYTES_EMPTY),
               (size_t)info->state < ARRAY_COUNT(states) ? states[info->state] : "?", info->attempt);
        if (info->last_attempt_failure.base != NULL)
            cli_print_failure(cli, info->last_attempt_failure, 4);
    }
}

static enum status run_describe(struct cli *cli)
{
    struct workflowservice_DescribeWorkflowExecutionRequest  request = { .namespace = cli_namespace(cli),
                                                                         .execution = cli_execution(cli) };
    struct workflowservice_DescribeWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, DescribeWorkflowExecution, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_DescribeWorkflowExecutionResponse, &response);
    const struct workflow_WorkflowExecutionInfo *info = response.workflow_execution_info;
    if (info == NULL || info->execution == NULL)
        return error_set(&cli->error, ST_INTERNAL, "the server described no execution");
    printf("WorkflowId        %.*s\nRunId             %.*s\nType              %.*s\n",
           BYTES_FMT(info->execution->workflow_id), BYTES_FMT(info->execution->run_id),
           BYTES_FMT(info->type == NULL ? BYTES_EMPTY : info->type->name));
    printf("Status            %s\nTaskQueue         %.*s\nStart             %s\n",
           cli_status_text(info->status), BYTES_FMT(info->task_queue), cli_time_text(cli, info->start_time));
    printf("Close             %s\nHistory           %" PRId64 " events, %" PRId64 " bytes\n",
           cli_time_text(cli, info->close_time), info->history_length, info->history_size_bytes);
    describe_family(&response);
    describe_pending(cli, &response);
    describe_callbacks(cli, &response);
    return ST_OK;
}

static void print_listed(struct cli *cli, const struct workflow_WorkflowExecutionInfo *info)
{
    struct bytes id = info->execution == NULL ? BYTES_EMPTY : info->execution->workflow_id;
    struct bytes type = info->type == NULL ? BYTES_EMPTY : info->type->name;
    printf("%-14s  %-30.*s  %-30.*s  %s\n", cli_status_text(info->status), BYTES_FMT(id), BYTES_FMT(type),
           cli_time_text(cli, info->start_time));
}

static enum status run_list(struct cli *cli)
{
    struct workflowservice_ListWorkflowExecutionsRequest request = { .namespace = cli_namespace(cli),
                                                                     .query = cli_value(cli, FLAG_QUERY) };
    size_t                                               limit = SIZE_MAX, page_size = LIST_PAGE_SIZE_MAX;
    enum status                                          status = cli_count(cli, FLAG_LIMIT, &limit);
    if (status == ST_OK)
        status = cli_count(cli, FLAG_PAGE_SIZE, &page_size);
    if (status != ST_OK)
        return status;
    page_size = MIN(page_size, limit);
    request.page_size = (int32_t)MIN(page_size, (size_t)LIST_PAGE_SIZE_MAX);
    do {
        struct workflowservice_ListWorkflowExecutionsResponse response = { 0 };
        status = CALL(cli, ListWorkflowExecutions, &request, &response);
        if (status == ST_OK && !cli->json && request.next_page_token.size == 0)
            printf("%-14s  %-30s  %-30s  %s\n", "Status", "WorkflowId", "Type", "Start");
        for (size_t i = 0; status == ST_OK && i < response.executions_count && cli->list_count < limit; i++) {
            const struct workflow_WorkflowExecutionInfo *info = &response.executions[i];
            cli_list_item(cli, "[");
            if (cli->json)
                status = cli_print_json(cli, &pb_workflow_WorkflowExecutionInfo, info);
            else
                print_listed(cli, info);
        }
        request.next_page_token = response.next_page_token;
    } while (status == ST_OK && request.next_page_token.size != 0 && cli->list_count < limit);
    return cli_list_end(cli, status, "[", "]");
}

static void print_group_value(struct cli *cli, struct bytes encoded)
{
    struct common_Payload payload;
    if (pb_decode(&pb_common_Payload, encoded, &cli->arena, &payload, NULL) == ST_OK)
        printf("%.*s", BYTES_FMT(payload.data));
}

static enum status run_count(struct cli *cli)
{
    struct workflowservice_CountWorkflowExecutionsRequest  request = { .namespace = cli_namespace(cli),
                                                                       .query = cli_value(cli, FLAG_QUERY) };
    struct workflowservice_CountWorkflowExecutionsResponse response = { 0 };
    enum status status = CALL(cli, CountWorkflowExecutions, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_CountWorkflowExecutionsResponse, &response);
    printf("Total: %" PRId64 "\n", response.count);
    for (size_t i = 0; i < response.groups_count; i++) {
        printf("Group total: %" PRId64 ", values:", response.groups[i].count);
        for (size_t k = 0; k < response.groups[i].group_values_count; k++) {
            printf("%s ", k == 0 ? "" : ",");
            print_group_value(cli, response.groups[i].group_values[k]);
        }
        putchar('\n');
    }
    return ST_OK;
}

static enum status run_signal(struct cli *cli)
{
    struct workflowservice_SignalWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_execution = cli_execution(cli),
        .signal_name = cli_value(cli, FLAG_NAME),
        .identity = cli_identity(cli),
        .request_id = cli_request_id(cli),
    };
    struct workflowservice_SignalWorkflowExecutionResponse response = { 0 };
    enum status                                            status = cli_input(cli, &request.input);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_HEADERS, &request.header);
    if (status == ST_OK)
        status = CALL(cli, SignalWorkflowExecution, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Signaled");
    return status;
}

static enum status run_query(struct cli *cli)
{
    struct query_WorkflowQuery                  *query = ARENA_NEW(&cli->arena, struct query_WorkflowQuery);
    struct workflowservice_QueryWorkflowRequest  request = { .namespace = cli_namespace(cli),
                                                             .execution = cli_execution(cli),
                                                             .query = query };
    struct workflowservice_QueryWorkflowResponse response = { 0 };
    query->query_type = cli_value(cli, FLAG_NAME);
    enum status status = cli_input(cli, &query->query_args);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_HEADERS, &query->header);
    if (status == ST_OK)
        status = cli_named_value(cli, FLAG_REJECT_CONDITION, reject_conditions,
                                 &request.query_reject_condition);
    if (status == ST_OK)
        status = CALL(cli, QueryWorkflow, &request, &response);
    if (status != ST_OK)
        return status;
    if (response.query_rejected != NULL)
        return error_set(&cli->error, ST_FAILED_PRECONDITION, "query rejected: the workflow is %s",
                         cli_status_text(response.query_rejected->status));
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_QueryWorkflowResponse, &response);
    cli_print_payloads(cli, response.query_result);
    return ST_OK;
}

static enum status run_cancel(struct cli *cli)
{
    struct workflowservice_RequestCancelWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_execution = cli_execution(cli),
        .identity = cli_identity(cli),
        .request_id = cli_request_id(cli),
        .reason = cli_value(cli, FLAG_REASON),
    };
    struct workflowservice_RequestCancelWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, RequestCancelWorkflowExecution, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Cancel requested");
    return status;
}

static enum status run_terminate(struct cli *cli)
{
    struct workflowservice_TerminateWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_execution = cli_execution(cli),
        .identity = cli_identity(cli),
        .reason = cli_value(cli, FLAG_REASON),
    };
    struct workflowservice_TerminateWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, TerminateWorkflowExecution, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Terminated");
    return status;
}

#define M CLI_MASK
#define START_FLAGS                                                                                          \
    (M(WORKFLOW_ID) | M(TYPE) | M(TASK_QUEUE) | M(INPUT) | M(INPUT_FILE) | M(EXECUTION_TIMEOUT) |            \
     M(RUN_TIMEOUT) | M(TASK_TIMEOUT) | M(START_DELAY) | M(CRON) | M(ID_REUSE_POLICY) |                      \
     M(ID_CONFLICT_POLICY) | M(FAIL_EXISTING) | M(MEMO) | M(SEARCH_ATTRIBUTE) | M(HEADERS) |                 \
     M(STATIC_SUMMARY) | M(STATIC_DETAILS))
#define START_REQUIRED          (M(TYPE) | M(TASK_QUEUE))
#define EXECUTION_FLAGS         (M(WORKFLOW_ID) | M(RUN_ID))
#define SIGNAL_FLAGS            (EXECUTION_FLAGS | M(NAME) | M(INPUT) | M(INPUT_FILE) | M(HEADERS))
#define SIGNAL_WITH_START_FLAGS (START_FLAGS | M(SIGNAL_NAME) | M(SIGNAL_INPUT) | M(SIGNAL_INPUT_FILE))

#define UPDATE_WITH_START_FLAGS                                                                              \
    (START_FLAGS | M(UPDATE_ID) | M(UPDATE_NAME) | M(UPDATE_INPUT) | M(UPDATE_INPUT_FILE))
const struct cli_command cli_workflow_commands[] = {
    { "workflow", "start", "starts a workflow and prints its ids", START_FLAGS, START_REQUIRED, run_start,
      0 },
    { "workflow", "execute", "starts a workflow and waits for its result", START_FLAGS, START_REQUIRED,
      run_execute, 0 },
    { "workflow", "signal-with-start", "sends a signal, and starts the workflow if it is not running",
      SIGNAL_WITH_START_FLAGS, START_REQUIRED | M(SIGNAL_NAME), run_signal_with_start, 0 },
    { "workflow", "execute-update-with-start",
      "sends an update, starts the workflow if it is not running, and waits for what comes of the update",
      UPDATE_WITH_START_FLAGS, START_REQUIRED | M(UPDATE_NAME), cli_execute_update_with_start, 0 },
    { "workflow", "start-update-with-start",
      "sends an update, starts the workflow if it is not running, and waits until it has accepted the update",
      UPDATE_WITH_START_FLAGS | M(UPDATE_WAIT_FOR_STAGE), START_REQUIRED | M(UPDATE_NAME),
      cli_start_update_with_start, 0 },
    { "workflow", "result", "waits for the end of a workflow and prints its result", EXECUTION_FLAGS,
      M(WORKFLOW_ID), run_result, 0 },
    { "workflow", "show", "prints a workflow's history",
      EXECUTION_FLAGS | M(FOLLOW) | M(REVERSE) | M(DETAILED), M(WORKFLOW_ID), run_show, 0 },
    { "workflow", "describe", "prints a workflow's status and what it waits for", EXECUTION_FLAGS,
      M(WORKFLOW_ID), run_describe, 0 },
    { "workflow", "list", "lists workflows", M(QUERY) | M(LIMIT) | M(PAGE_SIZE), 0, run_list, 0 },
    { "workflow", "count", "counts workflows", M(QUERY), 0, run_count, 0 },
    { "workflow", "signal", "sends a signal", SIGNAL_FLAGS, M(WORKFLOW_ID) | M(NAME), run_signal, 0 },
    { "workflow", "query", "asks a worker for a workflow's state", SIGNAL_FLAGS | M(REJECT_CONDITION),
      M(WORKFLOW_ID) | M(NAME), run_query, 0 },
    { "workflow", "cancel", "asks a workflow to cancel itself", EXECUTION_FLAGS | M(REASON), M(WORKFLOW_ID),
      run_cancel, 0 },
    { "workflow", "terminate", "ends a workflow at once", EXECUTION_FLAGS | M(REASON), M(WORKFLOW_ID),
      run_terminate, 0 },
    { "workflow", "reset", "begins a workflow again from one of its workflow tasks",
      EXECUTION_FLAGS | M(EVENT_ID) | M(TYPE) | M(BUILD_ID) | M(REAPPLY_EXCLUDE) | M(REASON) | M(YES),
      M(WORKFLOW_ID) | M(REASON), cli_workflow_reset, 0 },
    { "workflow", "delete", "deletes a workflow run with its history; a running one is terminated first",
      EXECUTION_FLAGS, M(WORKFLOW_ID), cli_workflow_delete, 0 },
    { "workflow", "pause", "holds a workflow back: no worker gets a task of it", EXECUTION_FLAGS | M(REASON),
      M(WORKFLOW_ID), cli_workflow_pause, 0 },
    { "workflow", "unpause", "ends a workflow's pause", EXECUTION_FLAGS | M(REASON), M(WORKFLOW_ID),
      cli_workflow_unpause, 0 },
    { "workflow", "update-options", "changes the versioning override of a running workflow",
      EXECUTION_FLAGS | M(OVERRIDE_BEHAVIOR) | M(OVERRIDE_DEPLOYMENT) | M(OVERRIDE_BUILD_ID),
      M(WORKFLOW_ID) | M(OVERRIDE_BEHAVIOR), cli_workflow_update_options, 0 },
};
const size_t cli_workflow_command_count = ARRAY_COUNT(cli_workflow_commands);
