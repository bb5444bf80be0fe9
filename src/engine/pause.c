/* pause.c: pausing a whole run. */
#include "engine/pause.h"
#include "base/mutant.h"

#include "engine/activity_operator.h"
#include "engine/failure.h"
#include "engine/workflow_task.h"

/* --- the fold --- */

static void fold_paused(struct execution *execution, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionPausedEventAttributes *paused = event_attributes(event);
    struct pause                                                 pause = { .time = event_time(event),
                                                                           .identity = paused->identity,
                                                                           .reason = paused->reason,
                                                                           .request_id = paused->request_id };
    execution->status = enums_WORKFLOW_EXECUTION_STATUS_PAUSED;
    execution_set_pause(execution, &execution->pause, &pause);
    for (uint32_t i = 0; i < execution->activity_count; i++) {
        if (execution->activities[i].record->started_time != 0)
            continue;
        struct activity *activity = execution_activity_write(execution,
                                                             execution->activities[i].scheduled_event_id);
        activity->sequence = 0;
        activity->stamp++;
    }
    if (!execution->task.is_pending || execution->task.started_time != 0)
        return;
    /* The task stays scheduled. A sticky worker would have to take it in time, so it is everybody's from now on. */
    execution->task.sequence = 0;
    execution->task.is_sticky = false;
    execution_set(execution, &execution->sticky_queue, BYTES_EMPTY);
    execution->sticky_timeout = 0;
}

void pause_fold(struct execution *execution, const struct history_HistoryEvent *event)
{
    if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED) {
        fold_paused(execution, event);
        return;
    }
    execution->status = enums_WORKFLOW_EXECUTION_STATUS_RUNNING;
    execution_set_pause(execution, &execution->pause, NULL);
}

/* --- requests --- */

void decide_pause(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision)
{
    const struct workflowservice_PauseWorkflowExecutionRequest *input = request->input;
    if (execution_is_paused(live)) {
        if (input->request_id.size != 0 && bytes_equal(input->request_id, live->pause.request_id))
            request->response = ARENA_NEW(request->base.arena,
                                          struct workflowservice_PauseWorkflowExecutionResponse);
        else
            error_set(&request->base.error, ST_FAILED_PRECONDITION, "Workflow is already paused.");
        return;
    }
    struct history_WorkflowExecutionPausedEventAttributes paused = { .identity = input->identity,
                                                                     .reason = input->reason,
                                                                     .request_id = input->request_id };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED, &paused);
    struct draft                draft;
    draft_begin(&draft, live, env, request->base.arena);
    task_materialize(&draft); /* the event would do it, with a row that is not wanted */
    if (!task_is_started(draft.state))
        draft_unready(&draft, draft.state->task.sequence);
    for (uint32_t i = 0; i < live->activity_count; i++)
        draft_unready(&draft, live->activities[i].record->sequence);
    draft_arrive(&draft, &event);
    draft.row_changed = true;
    draft_settle(&draft, false);
    decision_finish(&draft, decision);
    request->response = ARENA_NEW(request->base.arena, struct workflowservice_PauseWorkflowExecutionResponse);
}

void decide_unpause(const struct execution *live, struct workflow_request *request, struct env *env,
                    struct decision *decision)
{
    const struct workflowservice_UnpauseWorkflowExecutionRequest *input = request->input;
    if (!execution_is_paused(live)) {
        error_set(&request->base.error, ST_FAILED_PRECONDITION, "Workflow is not paused.");
        return;
    }
    struct history_WorkflowExecutionUnpausedEventAttributes unpaused = { .identity = input->identity,
                                                                         .reason = input->reason,
                                                                         .request_id = input->request_id };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED, &unpaused);
    struct draft                draft;
    draft_begin(&draft, live, env, request->base.arena);
    draft_arrive(&draft, &event);
    draft.row_changed = true;
    for (uint32_t i = 0; i < live->activity_count; i++) {
        const struct activity *activity = live->activities[i].record;
        if (activity->started_time == 0 && activity->pause.time == 0 && activity->scheduled_time <= env->now)
            activity_reschedule(&draft, activity->scheduled_event_id, env->now);
    }
    if (!draft.state->task.is_pending)
        draft.wants_task = !MUTANT(unpause_without_task);
    else if (draft.state->task.started_time == 0)
        task_offer_again(&draft);
    draft_settle(&draft, live->execution_time <= env->now);
    decision_finish(&draft, decision);
    request->response = ARENA_NEW(request->base.arena,
                                  struct workflowservice_UnpauseWorkflowExecutionResponse);
}
