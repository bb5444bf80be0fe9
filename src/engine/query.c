/* query.c: queries are routed here, and history is bounded; nothing is written. */
#include "engine/query.h"

#include "engine/failure.h"
#include "engine/workflow_task.h"

/* From this attempt on a task counts as failing: a query would wait in vain. */
#define FAILING_FROM_ATTEMPT 3

static bool rejected(const struct execution *live, int32_t condition)
{
    int32_t status = live->status;
    bool    running = status == enums_WORKFLOW_EXECUTION_STATUS_RUNNING;
    switch (condition) {
    case enums_QUERY_REJECT_CONDITION_NOT_OPEN:
        return !running;
    case enums_QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY:
        return !running && status != enums_WORKFLOW_EXECUTION_STATUS_COMPLETED;
    default:
        return status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED;
    }
}

static void answer_direct(const struct execution *live, struct workflow_request *request)
{
    struct arena *arena = request->base.arena;
    request->query = QUERY_DIRECT;
    request->sticky_queue = arena_copy(arena, live->sticky_queue);
    request->normal_queue = arena_copy(arena, live->queue);
    request->sticky_timeout_ns = live->sticky_timeout;
    request->query_task = task_response(live, arena);
    request->query_task->task_token = BYTES_EMPTY;
    request->query_task->started_event_id = 0;
    request->query_task->attempt = 1;
    request->query_task->scheduled_time = request->query_task->started_time = NULL;
    request->has_delivery = true;
    request->delivery = (struct workflow_delivery){
        .branch = live->number,
        .prefix = execution_prefix_copy(live, arena),
        .prefix_count = execution_lineage(live)->prefix_count,
        .first_event_id = 1,
        .last_event_id = live->next_event_id - 1,
        .run_id = live->run_id,
        .task = { .namespace_id = arena_copy(arena, live->namespace_id),
                  .workflow_id = arena_copy(arena, live->workflow_id),
                  .run_id = live->run_id,
                  .kind = STORE_TASK_WORKFLOW,
                  .attempt = 1,
                  .is_query = true },
    };
}

void decide_query(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision UNUSED)
{
    const struct workflowservice_QueryWorkflowRequest *input = request->input;
    struct arena                                      *arena = request->base.arena;
    if (rejected(live, input->query_reject_condition)) {
        struct workflowservice_QueryWorkflowResponse *response =
            ARENA_NEW(arena, struct workflowservice_QueryWorkflowResponse);
        response->query_rejected = ARENA_NEW(arena, struct query_QueryRejected);
        response->query_rejected->status = live->status;
        request->query = QUERY_REJECTED;
        request->response = response;
        return;
    }
    bool open = execution_is_open(live);
    bool any_completed = live->previous_started_event_id != 0;
    if (!open && !any_completed) {
        error_not_ready(
            &request->base.error, arena,
            "Workflow was closed before its first workflow task completed: there is nothing to query.");
        return;
    }
    if (open && live->backoff_pending &&
        (request->deadline_ns == 0 || live->execution_time > request->deadline_ns)) {
        error_not_ready(&request->base.error, arena,
                        "Workflow's first workflow task is not due before the deadline.");
        return;
    }
    if (live->task.is_pending && live->task.attempt >= FAILING_FROM_ATTEMPT) {
        error_not_ready(&request->base.error, arena,
                        "Unable to query a workflow whose workflow task keeps failing.");
        return;
    }
    (void)env;
    request->has_query_behind = false;
    if (any_completed && (!open || !live->task.is_pending)) {
        answer_direct(live, request);
        return;
    }
    request->query = QUERY_BUFFER;
    if (task_is_started(live)) {
        request->has_query_behind = true;
        request->query_behind = task_started_ref(live);
        request->query_behind.namespace_id = request->query_behind.workflow_id = BYTES_EMPTY;
    }
}

void decide_history(const struct execution *live, struct workflow_request *request, struct env *env UNUSED,
                    struct decision *decision UNUSED)
{
    request->history.last_event_id = live->next_event_id - 1;
    request->history.open = execution_is_open(live);
    request->history.branch = live->number;
    request->history.prefix = execution_prefix_copy(live, request->base.arena);
    request->history.prefix_count = execution_lineage(live)->prefix_count;
    if (request->reader_sees_virtual_events)
        request->history.virtual_event_count = task_virtual_events(live, request->base.arena,
                                                                   &request->history.virtual_events);
}
