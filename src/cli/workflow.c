/* workflow.c: perdure workflow start, execute, show, describe, list, count, signal, query, cancel, terminate, result. */
#include <stdio.h>

#include "cli/cli_internal.h"

#define SERVICE "/temporal.api.workflowservice.v1.WorkflowService/"
/* One call of the WorkflowService; the request and response types follow from the method's name. */
#define CALL(cli, method, request, response)                                                                      \
    cli_call((cli), SERVICE #method, &pb_workflowservice_##method##Request, (request),                            \
             &pb_workflowservice_##method##Response, (response))

static struct common_WorkflowExecution *execution_of(struct cli *cli)
{
    struct common_WorkflowExecution *execution = ARENA_NEW(&cli->arena, struct common_WorkflowExecution);
    execution->workflow_id = cli_value(cli, FLAG_WORKFLOW_ID);
    execution->run_id = cli_value(cli, FLAG_RUN_ID);
    return execution;
}

struct policy_name {
    const char *text;
    int32_t     value;
};
static const struct policy_name reuse_policies[] = {
    { "AllowDuplicate", enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE },
    { "AllowDuplicateFailedOnly", enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY },
    { "RejectDuplicate", enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE },
    { "TerminateIfRunning", enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING },
    { NULL, 0 },
};
static const struct policy_name conflict_policies[] = {
    { "Fail", enums_WORKFLOW_ID_CONFLICT_POLICY_FAIL },
    { "UseExisting", enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING },
    { "TerminateExisting", enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING },
    { NULL, 0 },
};
static const struct policy_name reject_conditions[] = {
    { "not_open", enums_QUERY_REJECT_CONDITION_NOT_OPEN },
    { "not_completed_cleanly", enums_QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY },
    { NULL, 0 },
};

static enum status named_value(struct cli *cli, enum cli_flag flag, const struct policy_name *names, int32_t *ret_value)
{
    struct bytes given = cli_value(cli, flag);
    *ret_value = 0;
    if (given.size == 0)
        return ST_OK;
    for (; names->text != NULL; names++) {
        if (bytes_equal_text(given, names->text)) {
            *ret_value = names->value;
            return ST_OK;
        }
    }
    return error_set(&cli->error, ST_INVALID_ARGUMENT, "no such value: %.*s (see --help)", BYTES_FMT(given));
}

static enum status start_request(struct cli *cli, struct workflowservice_StartWorkflowExecutionRequest *request)
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
        status = cli_duration(cli, FLAG_EXECUTION_TIMEOUT, &request->workflow_execution_timeout);
    if (status == ST_OK)
        status = cli_duration(cli, FLAG_RUN_TIMEOUT, &request->workflow_run_timeout);
    if (status == ST_OK)
        status = cli_duration(cli, FLAG_TASK_TIMEOUT, &request->workflow_task_timeout);
    if (status == ST_OK)
        status = cli_duration(cli, FLAG_START_DELAY, &request->workflow_start_delay);
    if (status == ST_OK)
        status = named_value(cli, FLAG_ID_REUSE_POLICY, reuse_policies, &request->workflow_id_reuse_policy);
    if (status == ST_OK)
        status = named_value(cli, FLAG_ID_CONFLICT_POLICY, conflict_policies, &request->workflow_id_conflict_policy);
    return status;
}

static enum status start(struct cli *cli, struct common_WorkflowExecution *ret_execution, bool quiet)
{
    struct workflowservice_StartWorkflowExecutionRequest  request = { 0 };
    struct workflowservice_StartWorkflowExecutionResponse response = { 0 };
    enum status                                           status = start_request(cli, &request);
    if (status == ST_OK)
        status = CALL(cli, StartWorkflowExecution, &request, &response);
    if (status != ST_OK)
        return status;
    ret_execution->workflow_id = request.workflow_id;
    ret_execution->run_id = response.run_id;
    if (quiet)
        return ST_OK;
    if (cli->json)
        return cli_print_json(cli, &pb_common_WorkflowExecution, ret_execution);
    printf("WorkflowId  %.*s\nRunId       %.*s\nType        %.*s\nTaskQueue   %.*s\nNamespace   %.*s\n%s",
           BYTES_FMT(request.workflow_id), BYTES_FMT(response.run_id), BYTES_FMT(request.workflow_type->name),
           BYTES_FMT(request.task_queue->name), BYTES_FMT(request.namespace),
           response.started ? "" : "(it was running already)\n");
    return ST_OK;
}

static enum status run_start(struct cli *cli)
{
    struct common_WorkflowExecution execution = { 0 };
    return start(cli, &execution, false);
}

/* Reads one page of history; `token` is what the page before gave. */
static enum status history_page(struct cli *cli, const struct common_WorkflowExecution *execution, bool wait, int32_t filter,
                                struct bytes token, struct workflowservice_GetWorkflowExecutionHistoryResponse *ret_page)
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

static enum status print_outcome(struct cli *cli, const struct history_HistoryEvent *event)
{
    if (cli->json) {
        enum status status = cli_print_json(cli, &pb_history_HistoryEvent, event);
        if (status != ST_OK || event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
            return status;
    } else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED) {
        cli_print_payloads(cli, event->workflow_execution_completed_event_attributes->result);
        return ST_OK;
    } else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED) {
        cli_print_failure(cli, event->workflow_execution_failed_event_attributes->failure, 0);
    } else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED) {
        struct bytes reason = event->workflow_execution_terminated_event_attributes->reason;
        printf("reason: %.*s\n", BYTES_FMT(reason));
    }
    return error_set(&cli->error, ST_ABORTED, "the workflow ended with %s", cli_event_text(event->event_type));
}

/* Waits for the end of the execution, over continue-as-new, retries and cron, and prints its result. */
static enum status wait_result(struct cli *cli, struct common_WorkflowExecution execution)
{
    struct bytes token = BYTES_EMPTY;
    for (;;) {
        struct workflowservice_GetWorkflowExecutionHistoryResponse page;
        enum status status = history_page(cli, &execution, true, enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, token, &page);
        if (status != ST_OK)
            return status;
        token = page.next_page_token;
        if (page.history == NULL || page.history->events_count == 0)
            continue;
        struct history_HistoryEvent event = { 0 };
        status = pb_decode(&pb_history_HistoryEvent, page.history->events[page.history->events_count - 1], &cli->arena,
                           &event, &cli->error);
        if (status != ST_OK)
            return status;
        struct bytes next = next_run(&event);
        if (next.size == 0)
            return print_outcome(cli, &event);
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
    return wait_result(cli, *execution_of(cli));
}

static enum status print_event(struct cli *cli, struct bytes wire)
{
    struct history_HistoryEvent event = { 0 };
    enum status                 status = pb_decode(&pb_history_HistoryEvent, wire, &cli->arena, &event, &cli->error);
    if (status != ST_OK)
        return status;
    if (cli_given(cli, FLAG_DETAILED) || cli->json)
        return cli_print_json(cli, &pb_history_HistoryEvent, &event);
    printf("%5" PRId64 "  %s  %s\n", event.event_id, cli_time_text(cli, event.event_time),
           cli_event_text(event.event_type));
    return ST_OK;
}

static enum status run_show(struct cli *cli)
{
    struct common_WorkflowExecution *execution = execution_of(cli);
    struct bytes                     token = BYTES_EMPTY;
    bool                             follow = cli_given(cli, FLAG_FOLLOW), first = true;
    if (cli->json)
        printf("{\"events\":[");
    do {
        struct workflowservice_GetWorkflowExecutionHistoryResponse page;
        enum status status = history_page(cli, execution, follow && token.size != 0,
                                          enums_HISTORY_EVENT_FILTER_TYPE_ALL_EVENT, token, &page);
        for (size_t i = 0; status == ST_OK && page.history != NULL && i < page.history->events_count; i++) {
            if (cli->json && !first)
                printf(",");
            first = false;
            status = print_event(cli, page.history->events[i]);
        }
        if (status != ST_OK)
            return status;
        fflush(stdout);
        token = page.next_page_token;
        if (follow && token.size == 0 && first)
            break;
    } while (token.size != 0);
    if (cli->json)
        printf("]}\n");
    return ST_OK;
}

static void describe_pending(struct cli *cli, const struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    for (size_t i = 0; i < response->pending_activities_count; i++) {
        const struct workflow_PendingActivityInfo *activity = &response->pending_activities[i];
        printf("Pending activity  %.*s %.*s, attempt %d%s\n", BYTES_FMT(activity->activity_id),
               BYTES_FMT(activity->activity_type == NULL ? BYTES_EMPTY : activity->activity_type->name), activity->attempt,
               activity->state == enums_PENDING_ACTIVITY_STATE_STARTED ? ", started" : "");
        if (activity->last_failure.base != NULL)
            cli_print_failure(cli, activity->last_failure, 4);
    }
    if (response->pending_workflow_task != NULL)
        printf("Pending task      attempt %d%s\n", response->pending_workflow_task->attempt,
               response->pending_workflow_task->state == enums_PENDING_WORKFLOW_TASK_STATE_STARTED ? ", started" : "");
}

static enum status run_describe(struct cli *cli)
{
    struct workflowservice_DescribeWorkflowExecutionRequest request = { .namespace = cli_namespace(cli),
                                                                        .execution = execution_of(cli) };
    struct workflowservice_DescribeWorkflowExecutionResponse response = { 0 };
    enum status                                              status = CALL(cli, DescribeWorkflowExecution, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_DescribeWorkflowExecutionResponse, &response);
    const struct workflow_WorkflowExecutionInfo *info = response.workflow_execution_info;
    if (info == NULL || info->execution == NULL)
        return error_set(&cli->error, ST_INTERNAL, "the server described no execution");
    printf("WorkflowId        %.*s\nRunId             %.*s\nType              %.*s\n", BYTES_FMT(info->execution->workflow_id),
           BYTES_FMT(info->execution->run_id), BYTES_FMT(info->type == NULL ? BYTES_EMPTY : info->type->name));
    printf("Status            %s\nTaskQueue         %.*s\nStart             %s\n", cli_status_text(info->status),
           BYTES_FMT(info->task_queue), cli_time_text(cli, info->start_time));
    printf("Close             %s\nHistory           %" PRId64 " events, %" PRId64 " bytes\n",
           cli_time_text(cli, info->close_time), info->history_length, info->history_size_bytes);
    describe_pending(cli, &response);
    return ST_OK;
}

static enum status run_list(struct cli *cli)
{
    struct workflowservice_ListWorkflowExecutionsRequest request = { .namespace = cli_namespace(cli),
                                                                     .query = cli_value(cli, FLAG_QUERY),
                                                                     .page_size = 1000 };
    size_t limit = SIZE_MAX, shown = 0;
    if (cli_given(cli, FLAG_LIMIT)) {
        char *end;
        limit = strtoull(cli->arguments.values[FLAG_LIMIT][0], &end, 10);
        if (*end != '\0' || limit == 0)
            return error_set(&cli->error, ST_INVALID_ARGUMENT, "--limit is not a positive number");
    }
    if (cli->json)
        printf("[");
    else
        printf("%-10s  %-30s  %-30s  %s\n", "Status", "WorkflowId", "Type", "Start");
    do {
        struct workflowservice_ListWorkflowExecutionsResponse response = { 0 };
        enum status                                           status = CALL(cli, ListWorkflowExecutions, &request, &response);
        for (size_t i = 0; status == ST_OK && i < response.executions_count && shown < limit; i++, shown++) {
            const struct workflow_WorkflowExecutionInfo *info = &response.executions[i];
            if (cli->json) {
                if (shown != 0)
                    printf(",");
                status = cli_print_json(cli, &pb_workflow_WorkflowExecutionInfo, info);
            } else {
                printf("%-10s  %-30.*s  %-30.*s  %s\n", cli_status_text(info->status),
                       BYTES_FMT(info->execution == NULL ? BYTES_EMPTY : info->execution->workflow_id),
                       BYTES_FMT(info->type == NULL ? BYTES_EMPTY : info->type->name), cli_time_text(cli, info->start_time));
            }
        }
        if (status != ST_OK)
            return status;
        request.next_page_token = response.next_page_token;
    } while (request.next_page_token.size != 0 && shown < limit);
    if (cli->json)
        printf("]\n");
    return ST_OK;
}

static enum status run_count(struct cli *cli)
{
    struct workflowservice_CountWorkflowExecutionsRequest  request = { .namespace = cli_namespace(cli),
                                                                       .query = cli_value(cli, FLAG_QUERY) };
    struct workflowservice_CountWorkflowExecutionsResponse response = { 0 };
    enum status                                            status = CALL(cli, CountWorkflowExecutions, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_CountWorkflowExecutionsResponse, &response);
    printf("Total: %" PRId64 "\n", response.count);
    return ST_OK;
}

static enum status run_signal(struct cli *cli)
{
    struct workflowservice_SignalWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_execution = execution_of(cli),
        .signal_name = cli_value(cli, FLAG_NAME),
        .identity = cli_identity(cli),
        .request_id = cli_request_id(cli),
    };
    struct workflowservice_SignalWorkflowExecutionResponse response = { 0 };
    enum status                                            status = cli_input(cli, &request.input);
    if (status == ST_OK)
        status = CALL(cli, SignalWorkflowExecution, &request, &response);
    if (status == ST_OK && !cli->json)
        printf("Signaled\n");
    return status;
}

static enum status run_query(struct cli *cli)
{
    struct query_WorkflowQuery *query = ARENA_NEW(&cli->arena, struct query_WorkflowQuery);
    struct workflowservice_QueryWorkflowRequest  request = { .namespace = cli_namespace(cli),
                                                             .execution = execution_of(cli),
                                                             .query = query };
    struct workflowservice_QueryWorkflowResponse response = { 0 };
    query->query_type = cli_given(cli, FLAG_NAME) ? cli_value(cli, FLAG_NAME) : cli_value(cli, FLAG_TYPE);
    if (query->query_type.size == 0)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "required: --name (or --type) of the query");
    enum status status = cli_input(cli, &query->query_args);
    if (status == ST_OK)
        status = named_value(cli, FLAG_REJECT_CONDITION, reject_conditions, &request.query_reject_condition);
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
        .workflow_execution = execution_of(cli),
        .identity = cli_identity(cli),
        .request_id = cli_request_id(cli),
        .reason = cli_value(cli, FLAG_REASON),
    };
    struct workflowservice_RequestCancelWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, RequestCancelWorkflowExecution, &request, &response);
    if (status == ST_OK && !cli->json)
        printf("Cancel requested\n");
    return status;
}

static enum status run_terminate(struct cli *cli)
{
    struct workflowservice_TerminateWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_execution = execution_of(cli),
        .identity = cli_identity(cli),
        .reason = cli_value(cli, FLAG_REASON),
    };
    struct workflowservice_TerminateWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, TerminateWorkflowExecution, &request, &response);
    if (status == ST_OK && !cli->json)
        printf("Terminated\n");
    return status;
}

#define M CLI_MASK
#define START_FLAGS                                                                                                    \
    (M(WORKFLOW_ID) | M(TYPE) | M(TASK_QUEUE) | M(INPUT) | M(INPUT_FILE) | M(EXECUTION_TIMEOUT) | M(RUN_TIMEOUT) |      \
     M(TASK_TIMEOUT) | M(START_DELAY) | M(CRON) | M(ID_REUSE_POLICY) | M(ID_CONFLICT_POLICY) | M(MEMO) |               \
     M(SEARCH_ATTRIBUTE))
#define EXECUTION_FLAGS (M(WORKFLOW_ID) | M(RUN_ID))

const struct cli_command cli_workflow_commands[] = {
    { "workflow", "start", "starts a workflow and prints its ids", START_FLAGS, M(TYPE) | M(TASK_QUEUE), run_start },
    { "workflow", "execute", "starts a workflow and waits for its result", START_FLAGS, M(TYPE) | M(TASK_QUEUE), run_execute },
    { "workflow", "result", "waits for the end of a workflow and prints its result", EXECUTION_FLAGS, M(WORKFLOW_ID), run_result },
    { "workflow", "show", "prints a workflow's history", EXECUTION_FLAGS | M(FOLLOW) | M(DETAILED), M(WORKFLOW_ID), run_show },
    { "workflow", "describe", "prints a workflow's status and what it waits for", EXECUTION_FLAGS, M(WORKFLOW_ID), run_describe },
    { "workflow", "list", "lists workflows", M(QUERY) | M(LIMIT), 0, run_list },
    { "workflow", "count", "counts workflows", M(QUERY), 0, run_count },
    { "workflow", "signal", "sends a signal", EXECUTION_FLAGS | M(NAME) | M(INPUT) | M(INPUT_FILE), M(WORKFLOW_ID) | M(NAME), run_signal },
    { "workflow", "query", "asks a worker for a workflow's state", EXECUTION_FLAGS | M(NAME) | M(TYPE) | M(INPUT) | M(INPUT_FILE) | M(REJECT_CONDITION), M(WORKFLOW_ID), run_query },
    { "workflow", "cancel", "asks a workflow to cancel itself", EXECUTION_FLAGS | M(REASON), M(WORKFLOW_ID), run_cancel },
    { "workflow", "terminate", "ends a workflow at once", EXECUTION_FLAGS | M(REASON), M(WORKFLOW_ID), run_terminate },
};
const size_t cli_workflow_command_count = ARRAY_COUNT(cli_workflow_commands);
