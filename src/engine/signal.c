/* signal.c: signals, cancel requests, termination by users. */
#include "engine/signal.h"
#include "base/mutant.h"

#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/workflow_task.h"

#define TERMINATE_REASON_DEFAULT   BYTES("terminated by user")
#define TERMINATE_IDENTITY_DEFAULT BYTES("frontend-service")

bool signal_is_refused(const struct execution *live)
{
    return live->close_blocked && task_is_started(live);
}

enum status signal_existing(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision, struct history_HistoryEvent *signal,
                            struct bytes request_id, bool in_backoff)
{
    struct arena *arena = request->base.arena;
    if (request_id.size != 0 && !MUTANT(signal_applied_twice) && execution_signal_seen(live, request_id))
        return ST_OK;
    if (signal_is_refused(live))
        return error_busy(&request->base.error, arena, "Workflow is closing.");
    if (live->signal_count >= (int64_t)env->limits->signals_max)
        return error_set(&request->base.error, ST_INVALID_ARGUMENT,
                         "Workflow has reached its limit of %zu signals.", env->limits->signals_max);
    struct draft draft;
    draft_begin(&draft, live, env, arena);
    draft_arrive(&draft, signal);
    draft_settle(&draft, in_backoff);
    decision_finish(&draft, decision);
    return ST_OK;
}

void decide_signal(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision)
{
    const struct workflowservice_SignalWorkflowExecutionRequest *input = request->input;
    struct history_WorkflowExecutionSignaledEventAttributes signaled = { .signal_name = input->signal_name,
                                                                         .input = input->input,
                                                                         .identity = input->identity,
                                                                         .header = input->header,
                                                                         .request_id = input->request_id };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, &signaled);
    event.links = input->links;
    event.links_count = input->links_count;
    if (signal_existing(live, request, env, decision, &event, input->request_id, false) != ST_OK)
        return;
    struct workflowservice_SignalWorkflowExecutionResponse *response =
        ARENA_NEW(request->base.arena, struct workflowservice_SignalWorkflowExecutionResponse);
    if (input->request_id.size != 0)
        response->link = link_to_request(request->base.arena, env->namespace,
                                         arena_copy(request->base.arena, live->workflow_id),
                                         uuid_text(request->base.arena, &live->run_id), input->request_id,
                                         enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
    request->response = response;
}

bool chain_matches(const struct execution *live, struct bytes first_execution_run_id)
{
    if (first_execution_run_id.size == 0)
        return true;
    char text[UUID_TEXT_SIZE];
    uuid_print(&live->first_run_id, text);
    return bytes_equal(first_execution_run_id, bytes_of(text, sizeof(text)));
}

void decide_request_cancel(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision)
{
    const struct workflowservice_RequestCancelWorkflowExecutionRequest *input = request->input;
    struct arena                                                       *arena = request->base.arena;
    if (!chain_matches(live, input->first_execution_run_id)) {
        error_not_found(&request->base.error, arena, "Workflow execution not found");
        return;
    }
    request->response = ARENA_NEW(arena, struct workflowservice_RequestCancelWorkflowExecutionResponse);
    if (!execution_is_open(live) || live->cancel_requested ||
        (MUTANT(cancel_request_lost) && task_is_started(live)))
        return;
    struct history_WorkflowExecutionCancelRequestedEventAttributes requested = {
        .cause = input->reason, .identity = input->identity
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
                                                   &requested);
    event.links = input->links;
    event.links_count = input->links_count;
    struct draft draft;
    draft_begin(&draft, live, env, arena);
    draft_arrive(&draft, &event);
    draft_settle(&draft, true);
    decision_finish(&draft, decision);
}

void decide_terminate(const struct execution *live, struct workflow_request *request, struct env *env,
                      struct decision *decision)
{
    const struct workflowservice_TerminateWorkflowExecutionRequest *input = request->input;
    if (!chain_matches(live, input->first_execution_run_id)) {
        error_not_found(&request->base.error, request->base.arena, "Workflow execution not found");
        return;
    }
    struct draft draft;
    draft_begin(&draft, live, env, request->base.arena);
    execution_terminate_linked(&draft, input->reason.size != 0 ? input->reason : TERMINATE_REASON_DEFAULT,
                               input->details,
                               input->identity.size != 0 ? input->identity : TERMINATE_IDENTITY_DEFAULT,
                               input->links, input->links_count);
    decision_finish(&draft, decision);
    request->response = ARENA_NEW(request->base.arena,
                                  struct workflowservice_TerminateWorkflowExecutionResponse);
}
