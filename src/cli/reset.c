/* reset.c: perdure workflow reset, delete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli_internal.h"

enum reset_type { RESET_FIRST = 1, RESET_LAST, RESET_CONTINUED_AS_NEW, RESET_BUILD_ID };
static const struct cli_name reset_types[] = {
    { "FirstWorkflowTask", RESET_FIRST },
    { "LastWorkflowTask", RESET_LAST },
    { "LastContinuedAsNew", RESET_CONTINUED_AS_NEW },
    { "BuildId", RESET_BUILD_ID },
    { NULL, 0 },
};

/* --- which event --- */

/* The end of the first or last workflow task of a run; where none has ended, what would follow the first one's start. */
static bool looks_further(const struct history_HistoryEvent *event, int64_t *event_id)
{
    if (event->event_type == enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
        *event_id = event->event_id;
        return false;
    }
    if (event->event_type == enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
        *event_id = event->event_id + 1;
    return true;
}

static enum status look_through(struct cli *cli, const struct history_History *history, int64_t *event_id,
                                bool *ret_found)
{
    for (size_t i = 0; history != NULL && i < history->events_count && !*ret_found; i++) {
        struct history_HistoryEvent event = { 0 };
        enum status status = pb_decode(&pb_history_HistoryEvent, history->events[i], &cli->arena, &event,
                                       &cli->error);
        if (status != ST_OK)
            return status;
        *ret_found = !looks_further(&event, event_id);
    }
    return ST_OK;
}

static enum status first_task(struct cli *cli, struct common_WorkflowExecution *execution, int64_t *event_id)
{
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = { .namespace = cli_namespace(cli),
                                                                          .execution = execution };
    bool                                                      found = false;
    enum status                                               status;
    do {
        struct workflowservice_GetWorkflowExecutionHistoryResponse page = { 0 };
        status = CALL(cli, GetWorkflowExecutionHistory, &request, &page);
        if (status == ST_OK)
            status = look_through(cli, page.history, event_id, &found);
        request.next_page_token = page.next_page_token;
    } while (status == ST_OK && !found && request.next_page_token.size != 0);
    return status;
}

static enum status last_task(struct cli *cli, struct common_WorkflowExecution *execution, int64_t *event_id)
{
    struct workflowservice_GetWorkflowExecutionHistoryReverseRequest request = {
        .namespace = cli_namespace(cli), .execution = execution
    };
    bool        found = false;
    enum status status;
    do {
        struct workflowservice_GetWorkflowExecutionHistoryReverseResponse page = { 0 };
        status = CALL(cli, GetWorkflowExecutionHistoryReverse, &request, &page);
        if (status == ST_OK)
            status = look_through(cli, page.history, event_id, &found);
        request.next_page_token = page.next_page_token;
    } while (status == ST_OK && !found && request.next_page_token.size != 0);
    return status;
}

/* The run before, at its last task: the one that has continued it as new. */
static enum status before_continued(struct cli *cli, struct common_WorkflowExecution *execution,
                                    int64_t *event_id)
{
    struct workflowservice_GetWorkflowExecutionHistoryRequest  request = { .namespace = cli_namespace(cli),
                                                                           .execution = execution,
                                                                           .maximum_page_size = 1 };
    struct workflowservice_GetWorkflowExecutionHistoryResponse page = { 0 };
    struct history_HistoryEvent                                first = { 0 };
    enum status status = CALL(cli, GetWorkflowExecutionHistory, &request, &page);
    if (status == ST_OK && page.history != NULL && page.history->events_count != 0)
        status = pb_decode(&pb_history_HistoryEvent, page.history->events[0], &cli->arena, &first,
                           &cli->error);
    if (status != ST_OK)
        return status;
    struct bytes before = first.event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
                              ? first.workflow_execution_started_event_attributes->continued_execution_run_id
                              : BYTES_EMPTY;
    if (before.size == 0)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "no run has continued as this one");
    execution->run_id = before;
    return last_task(cli, execution, event_id);
}

static enum status by_build_id(struct cli *cli, struct common_WorkflowExecution *execution, int64_t *event_id)
{
    struct workflowservice_DescribeWorkflowExecutionRequest  request = { .namespace = cli_namespace(cli),
                                                                         .execution = execution };
    struct workflowservice_DescribeWorkflowExecutionResponse response = { 0 };
    struct bytes                                             wanted = cli_value(cli, FLAG_BUILD_ID);
    enum status status = CALL(cli, DescribeWorkflowExecution, &request, &response);
    if (status != ST_OK)
        return status;
    const struct workflow_ResetPoints *points = response.workflow_execution_info == NULL
                                                    ? NULL
                                                    : response.workflow_execution_info->auto_reset_points;
    for (size_t i = 0; points != NULL && i < points->points_count; i++) {
        const struct workflow_ResetPointInfo *point = &points->points[i];
        if (!point->resettable || !bytes_equal(point->build_id, wanted))
            continue;
        execution->run_id = point->run_id;
        *event_id = point->first_workflow_task_completed_id;
        return ST_OK;
    }
    return error_set(&cli->error, ST_NOT_FOUND,
                     "build id %.*s has completed no workflow task of this workflow", BYTES_FMT(wanted));
}

static enum status event_of_type(struct cli *cli, enum reset_type type,
                                 struct common_WorkflowExecution *execution, int64_t *event_id)
{
    switch (type) {
    case RESET_FIRST:
        return first_task(cli, execution, event_id);
    case RESET_LAST:
        return last_task(cli, execution, event_id);
    case RESET_CONTINUED_AS_NEW:
        return before_continued(cli, execution, event_id);
    default:
        return by_build_id(cli, execution, event_id);
    }
}

static enum status event_by_flags(struct cli *cli, struct common_WorkflowExecution *execution,
                                  int64_t *event_id)
{
    int32_t     type = 0;
    enum status status = cli_named_value(cli, FLAG_TYPE, reset_types, &type);
    if (status != ST_OK)
        return status;
    if ((type == 0) == !cli_given(cli, FLAG_EVENT_ID))
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "one of --event-id and --type is needed");
    if ((type == RESET_BUILD_ID) != cli_given(cli, FLAG_BUILD_ID))
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "--build-id and --type BuildId go together");
    if (type == 0) {
        size_t number = 0;
        status = cli_count(cli, FLAG_EVENT_ID, &number);
        *event_id = (int64_t)number;
        return status;
    }
    status = event_of_type(cli, (enum reset_type)type, execution, event_id);
    if (status == ST_OK && *event_id == 0)
        status = error_set(&cli->error, ST_NOT_FOUND, "this run has no workflow task to be reset to");
    return status;
}

/* --- reset --- */

static enum status exclusions(struct cli *cli, struct workflowservice_ResetWorkflowExecutionRequest *request)
{
    size_t count = cli->arguments.counts[FLAG_REAPPLY_EXCLUDE];
    request->reset_reapply_exclude_types = ARENA_NEW_ARRAY(&cli->arena, int32_t, 4 * count + 1);
    for (size_t i = 0; i < count; i++) {
        struct bytes          text = bytes_of_text(cli->arguments.values[FLAG_REAPPLY_EXCLUDE][i]);
        bool                  all = bytes_equal_text(text, "All");
        size_t                before = request->reset_reapply_exclude_types_count;
        const struct cli_name known[] = {
            { "Signal", enums_RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL },
            { "Update", enums_RESET_REAPPLY_EXCLUDE_TYPE_UPDATE },
            { "Nexus", enums_RESET_REAPPLY_EXCLUDE_TYPE_NEXUS },
            { "CancelRequest", enums_RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST },
        };
        for (size_t at = 0; at < ARRAY_COUNT(known); at++)
            if (all || bytes_equal_text(text, known[at].text))
                request->reset_reapply_exclude_types[request->reset_reapply_exclude_types_count++] =
                    known[at].value;
        if (request->reset_reapply_exclude_types_count == before)
            return error_set(&cli->error, ST_INVALID_ARGUMENT,
                             "--reapply-exclude is All, Signal or Update, not %.*s", BYTES_FMT(text));
    }
    return ST_OK;
}

enum status cli_workflow_reset(struct cli *cli)
{
    struct common_WorkflowExecution                     *execution = cli_execution(cli);
    struct workflowservice_ResetWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_execution = execution,
        .reason = cli_value(cli, FLAG_REASON),
        .request_id = cli_request_id(cli),
        .identity = cli_identity(cli),
    };
    struct workflowservice_ResetWorkflowExecutionResponse response = { 0 };
    enum status                                           status = exclusions(cli, &request);
    if (status == ST_OK)
        status = event_by_flags(cli, execution, &request.workflow_task_finish_event_id);
    if (status == ST_OK)
        status = CALL(cli, ResetWorkflowExecution, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_ResetWorkflowExecutionResponse, &response);
    printf("RunId  %.*s\n", BYTES_FMT(response.run_id));
    return ST_OK;
}

/* --- delete --- */

enum status cli_workflow_delete(struct cli *cli)
{
    struct workflowservice_DeleteWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli), .workflow_execution = cli_execution(cli)
    };
    struct workflowservice_DeleteWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, DeleteWorkflowExecution, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Deleted");
    return status;
}
