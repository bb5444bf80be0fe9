/* external.c: signals and cancel requests between workflows. */
#include "engine/external.h"

#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/signal.h"
#include "engine/workflow_task.h"

#define SIGNAL_BAD enums_WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES
#define CANCEL_BAD enums_WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES
#define SIGNAL_NOT_FOUND                                                                                     \
    enums_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND
#define CANCEL_NOT_FOUND                                                                                     \
    enums_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND

/* --- commands --- */

struct target {
    int32_t     bad;
    const char *command;
    struct bytes namespace, workflow_id, run_id;
};

static bool target_check(const struct draft *draft, const struct target *target,
                         struct command_problem *problem)
{
    size_t      id_max = draft->env->limits->id_size_max;
    struct uuid run_id;
    if (target->workflow_id.size == 0)
        return command_bad(problem, target->bad, "WorkflowId is not set on %s.", target->command);
    if (target->workflow_id.size > id_max)
        return command_bad(problem, target->bad, "WorkflowId on %s is longer than %zu bytes.",
                           target->command, id_max);
    if (target->run_id.size != 0 && !uuid_parse(target->run_id, &run_id))
        return command_bad(problem, target->bad, "Invalid RunId set on %s. WorkflowId=%.*s RunId=%.*s",
                           target->command, BYTES_FMT(target->workflow_id), BYTES_FMT(target->run_id));
    if (target->namespace.size != 0 && !bytes_equal(target->namespace, draft->env->namespace->name))
        return command_bad(problem, target->bad, "cross namespace commands are not allowed");
    return true;
}

static struct common_WorkflowExecution *execution_of(struct arena *arena, struct bytes workflow_id,
                                                     struct bytes run_id)
{
    struct common_WorkflowExecution *execution = ARENA_NEW(arena, struct common_WorkflowExecution);
    execution->workflow_id = workflow_id;
    execution->run_id = run_id;
    return execution;
}

/* To the target; or, when a workflow means itself, the answer that this does not work, by the same way as any other. */
static void request_send(struct draft *draft, const struct target *target, int64_t initiated_id,
                         struct bytes control, const struct state_Message *message)
{
    const struct execution *state = draft->state;
    if (!bytes_equal(target->workflow_id, state->workflow_id)) {
        struct uuid run_id;
        bool        has_run_id = target->run_id.size != 0 && uuid_parse(target->run_id, &run_id);
        draft_request(draft, target->workflow_id, has_run_id ? &run_id : NULL, message);
        return;
    }
    bool                        is_cancel = message->kind_case == MESSAGE_EXTERNAL_CANCEL;
    struct state_ExternalAnswer answer = { .initiated_event_id = initiated_id,
                                           .is_cancel = is_cancel,
                                           .cause = is_cancel ? (int32_t)CANCEL_NOT_FOUND
                                                              : (int32_t)SIGNAL_NOT_FOUND,
                                           .workflow_id = target->workflow_id,
                                           .run_id = target->run_id,
                                           .control = control };
    struct state_Message        self = { .kind_case = MESSAGE_EXTERNAL_ANSWER, .external_answer = &answer };
    draft_request(draft, state->workflow_id, &state->run_id, &self);
}

static int64_t initiate(struct draft *draft, const struct command_Command *command, int32_t type,
                        const void *attributes)
{
    struct history_HistoryEvent event = event_make(type, attributes);
    event.user_metadata = command->user_metadata;
    event.event_group_markers = command->event_group_markers;
    event.event_group_markers_count = command->event_group_markers_count;
    return draft_event(draft, &event);
}

bool external_signal(struct draft *draft, const struct command_Command *command, int64_t completed_id,
                     struct command_problem *ret_problem)
{
    const struct command_SignalExternalWorkflowExecutionCommandAttributes *attributes =
        command->signal_external_workflow_execution_command_attributes;
    const struct limits *limits = draft->env->limits;
    if (attributes->execution == NULL)
        return command_bad(ret_problem, SIGNAL_BAD,
                           "Execution is not set on SignalExternalWorkflowExecutionCommand.");
    struct target target = { SIGNAL_BAD, "SignalExternalWorkflowExecutionCommand", attributes->namespace,
                             attributes->execution->workflow_id, attributes->execution->run_id };
    if (!target_check(draft, &target, ret_problem))
        return false;
    if (attributes->signal_name.size == 0 || attributes->signal_name.size > limits->id_size_max)
        return command_bad(ret_problem, SIGNAL_BAD, "SignalName is not set or longer than %zu bytes on %s.",
                           limits->id_size_max, target.command);
    if (!command_fits(ret_problem, SIGNAL_BAD, "SignalExternalWorkflowExecutionCommandAttributes.Input",
                      attributes->input.size, limits->payload_size_max))
        return false;
    if (draft->state->external_signal_count >= limits->pending_external_signals_max)
        return command_bad(ret_problem, enums_WORKFLOW_TASK_FAILED_CAUSE_PENDING_SIGNALS_LIMIT_EXCEEDED,
                           "the number of pending signals to external workflows, %u, has reached the "
                           "per-workflow limit of %zu",
                           draft->state->external_signal_count, limits->pending_external_signals_max);
    struct history_SignalExternalWorkflowExecutionInitiatedEventAttributes initiated = {
        .workflow_task_completed_event_id = completed_id,
        .namespace = attributes->namespace,
        .namespace_id = draft->env->namespace->id,
        .workflow_execution = execution_of(draft->arena, target.workflow_id, target.run_id),
        .signal_name = attributes->signal_name,
        .input = attributes->input,
        .control = attributes->control,
        .child_workflow_only = attributes->child_workflow_only,
        .header = attributes->header,
    };
    int64_t id = initiate(draft, command, enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
                          &initiated);
    struct state_ExternalSignal signal = { .sender = sender_of(draft->state, id, draft->arena),
                                           .run_id = target.run_id,
                                           .child_workflow_only = attributes->child_workflow_only,
                                           .control = attributes->control,
                                           .signal_name = attributes->signal_name,
                                           .input = attributes->input,
                                           .header = attributes->header };
    struct state_Message message = { .kind_case = MESSAGE_EXTERNAL_SIGNAL, .external_signal = &signal };
    request_send(draft, &target, id, attributes->control, &message);
    return true;
}

/* Of a child that this very task starts there is nothing yet to cancel. */
static bool is_started_now(const struct execution *state, struct bytes workflow_id, int64_t completed_id)
{
    for (uint32_t i = state->child_count; i > 0; i--) {
        const struct child *child = state->children[i - 1].record;
        if (child->initiated_event_id <= completed_id)
            break;
        if (bytes_equal(child->workflow_id, workflow_id))
            return true;
    }
    return false;
}

bool external_cancel(struct draft *draft, const struct command_Command *command, int64_t completed_id,
                     struct command_problem *ret_problem)
{
    const struct command_RequestCancelExternalWorkflowExecutionCommandAttributes *attributes =
        command->request_cancel_external_workflow_execution_command_attributes;
    const struct limits *limits = draft->env->limits;
    struct target        target = { CANCEL_BAD, "RequestCancelExternalWorkflowExecutionCommand",
                                    attributes->namespace, attributes->workflow_id, attributes->run_id };
    if (!target_check(draft, &target, ret_problem))
        return false;
    if (is_started_now(draft->state, target.workflow_id, completed_id))
        return command_bad(ret_problem, CANCEL_BAD,
                           "Start and RequestCancel for child workflow is not allowed in same workflow task. "
                           "WorkflowId=%.*s",
                           BYTES_FMT(target.workflow_id));
    if (!command_fits(ret_problem, CANCEL_BAD,
                      "RequestCancelExternalWorkflowExecutionCommandAttributes.Reason",
                      attributes->reason.size, limits->payload_size_max))
        return false;
    if (draft->state->external_cancel_count >= limits->pending_external_cancels_max)
        return command_bad(ret_problem,
                           enums_WORKFLOW_TASK_FAILED_CAUSE_PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED,
                           "the number of pending requests to cancel external workflows, %u, has reached the "
                           "per-workflow limit of %zu",
                           draft->state->external_cancel_count, limits->pending_external_cancels_max);
    struct history_RequestCancelExternalWorkflowExecutionInitiatedEventAttributes initiated = {
        .workflow_task_completed_event_id = completed_id,
        .namespace = attributes->namespace,
        .namespace_id = draft->env->namespace->id,
        .workflow_execution = execution_of(draft->arena, target.workflow_id, target.run_id),
        .control = attributes->control,
        .child_workflow_only = attributes->child_workflow_only,
        .reason = attributes->reason,
    };
    int64_t                     id = initiate(draft, command,
                                              enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, &initiated);
    struct state_ExternalCancel cancel = { .sender = sender_of(draft->state, id, draft->arena),
                                           .run_id = target.run_id,
                                           .child_workflow_only = attributes->child_workflow_only,
                                           .control = attributes->control,
                                           .reason = attributes->reason };
    struct state_Message message = { .kind_case = MESSAGE_EXTERNAL_CANCEL, .external_cancel = &cancel };
    request_send(draft, &target, id, attributes->control, &message);
    return true;
}

/* --- at the target --- */

/* `draft`: what the message does here; NULL: nothing. `cause` 0: it worked. */
static void answer(const struct arrival *arrival, struct draft *draft, const struct state_Sender *sender,
                   const struct state_ExternalAnswer *what)
{
    struct state_ExternalAnswer answered = *what;
    struct uuid                 run_id;
    answered.initiated_event_id = sender->initiated_event_id;
    answered.workflow_id = arrival->request->base.business_id;
    struct state_Message message = { .kind_case = MESSAGE_EXTERNAL_ANSWER, .external_answer = &answered };
    if (!uuid_of_bytes(sender->run_id, &run_id))
        return;
    if (draft == NULL) {
        arrival_answer(arrival, sender->workflow_id, &run_id, &message);
        return;
    }
    draft_send(draft, sender->workflow_id, &run_id, &message);
    decision_finish(draft, arrival->decision);
}

void external_arrive_signal(const struct arrival *arrival, const struct state_ExternalSignal *signal)
{
    const struct execution     *live = arrival->live;
    struct state_ExternalAnswer done = { .run_id = signal->run_id, .control = signal->control };
    if (live == NULL || !execution_is_open(live) ||
        (signal->child_workflow_only && !sender_is_parent(live, signal->sender))) {
        done.cause = SIGNAL_NOT_FOUND;
        answer(arrival, NULL, signal->sender, &done);
        return;
    }
    if (signal_is_refused(live)) {
        error_busy(&arrival->request->base.error, arrival->arena, "Workflow is closing.");
        return;
    }
    if (live->signal_count >= (int64_t)arrival->env->limits->signals_max) {
        done.cause = enums_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED;
        answer(arrival, NULL, signal->sender, &done);
        return;
    }
    struct history_WorkflowExecutionSignaledEventAttributes signaled = {
        .signal_name = signal->signal_name,
        .input = signal->input,
        .identity = IDENTITY_SERVER,
        .header = signal->header,
        .external_workflow_execution = sender_execution(signal->sender, arrival->arena),
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, &signaled);
    struct draft                draft;
    draft_begin(&draft, live, arrival->env, arrival->arena);
    draft_arrive(&draft, &event);
    draft_settle(&draft, false);
    answer(arrival, &draft, signal->sender, &done);
}

/* What is closed, or being cancelled already, needs no more cancelling. */
void external_arrive_cancel(const struct arrival *arrival, const struct state_ExternalCancel *cancel)
{
    const struct execution     *live = arrival->live;
    struct state_ExternalAnswer done = { .is_cancel = true,
                                         .run_id = cancel->run_id,
                                         .control = cancel->control };
    bool                        is_open = live != NULL && execution_is_open(live);
    if (live == NULL || (is_open && cancel->child_workflow_only && !sender_is_parent(live, cancel->sender)))
        done.cause = CANCEL_NOT_FOUND;
    if (!is_open || done.cause != 0 || live->cancel_requested) {
        answer(arrival, NULL, cancel->sender, &done);
        return;
    }
    struct history_WorkflowExecutionCancelRequestedEventAttributes requested = {
        .cause = cancel->reason,
        .external_initiated_event_id = cancel->sender->initiated_event_id,
        .external_workflow_execution = sender_execution(cancel->sender, arrival->arena),
        .identity = IDENTITY_SERVER,
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
                                                   &requested);
    struct draft                draft;
    draft_begin(&draft, live, arrival->env, arrival->arena);
    draft_arrive(&draft, &event);
    draft_settle(&draft, true);
    answer(arrival, &draft, cancel->sender, &done);
}

/* --- back at the sender --- */

static struct history_HistoryEvent signal_result(const struct state_ExternalAnswer *answer,
                                                 const struct namespace_config *namespace,
                                                 struct common_WorkflowExecution *execution,
                                                 struct arena                    *arena)
{
    if (answer->cause == 0) {
        struct history_ExternalWorkflowExecutionSignaledEventAttributes *signaled =
            ARENA_NEW(arena, struct history_ExternalWorkflowExecutionSignaledEventAttributes);
        *signaled = (struct history_ExternalWorkflowExecutionSignaledEventAttributes){
            .initiated_event_id = answer->initiated_event_id,
            .namespace = namespace->name,
            .namespace_id = namespace->id,
            .workflow_execution = execution,
            .control = answer->control,
        };
        return event_make(enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, signaled);
    }
    struct history_SignalExternalWorkflowExecutionFailedEventAttributes *failed =
        ARENA_NEW(arena, struct history_SignalExternalWorkflowExecutionFailedEventAttributes);
    *failed = (struct history_SignalExternalWorkflowExecutionFailedEventAttributes){
        .cause = answer->cause,
        .namespace = namespace->name,
        .namespace_id = namespace->id,
        .workflow_execution = execution,
        .initiated_event_id = answer->initiated_event_id,
        .control = answer->control,
    };
    return event_make(enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, failed);
}

/* Unlike those of signals these do not repeat `control`. */
static struct history_HistoryEvent cancel_result(const struct state_ExternalAnswer *answer,
                                                 const struct namespace_config *namespace,
                                                 struct common_WorkflowExecution *execution,
                                                 struct arena                    *arena)
{
    if (answer->cause == 0) {
        struct history_ExternalWorkflowExecutionCancelRequestedEventAttributes *requested =
            ARENA_NEW(arena, struct history_ExternalWorkflowExecutionCancelRequestedEventAttributes);
        *requested = (struct history_ExternalWorkflowExecutionCancelRequestedEventAttributes){
            .initiated_event_id = answer->initiated_event_id,
            .namespace = namespace->name,
            .namespace_id = namespace->id,
            .workflow_execution = execution,
        };
        return event_make(enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, requested);
    }
    struct history_RequestCancelExternalWorkflowExecutionFailedEventAttributes *failed =
        ARENA_NEW(arena, struct history_RequestCancelExternalWorkflowExecutionFailedEventAttributes);
    *failed = (struct history_RequestCancelExternalWorkflowExecutionFailedEventAttributes){
        .cause = answer->cause,
        .namespace = namespace->name,
        .namespace_id = namespace->id,
        .workflow_execution = execution,
        .initiated_event_id = answer->initiated_event_id,
    };
    return event_make(enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, failed);
}

static bool is_pending(const struct execution *live, bool is_cancel, int64_t initiated_event_id)
{
    const int64_t *ids = is_cancel ? live->external_cancels : live->external_signals;
    uint32_t       count = is_cancel ? live->external_cancel_count : live->external_signal_count;
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == initiated_event_id)
            return true;
    return false;
}

void external_apply_answer(struct draft *draft, const struct state_ExternalAnswer *answer)
{
    if (!is_pending(draft->state, answer->is_cancel, answer->initiated_event_id))
        return;
    struct common_WorkflowExecution *execution = execution_of(draft->arena, answer->workflow_id,
                                                              answer->run_id);
    struct history_HistoryEvent      event = (answer->is_cancel ? cancel_result
                                                                : signal_result)(answer, draft->env->namespace,
                                                                            execution, draft->arena);
    draft_arrive(draft, &event);
}

void external_arrive_answer(const struct arrival *arrival, const struct state_ExternalAnswer *answer)
{
    struct draft draft;
    if (arrival->live == NULL || !execution_is_open(arrival->live))
        return;
    draft_begin(&draft, arrival->live, arrival->env, arrival->arena);
    external_apply_answer(&draft, answer);
    draft_settle(&draft, false);
    decision_finish(&draft, arrival->decision);
}

/* --- the fold's --- */

/* The initiated event that this is the result of; 0: it is none. */
static int64_t result_of(const struct history_HistoryEvent *event, bool *ret_is_cancel)
{
    *ret_is_cancel = false;
    switch (event->event_type) {
    case enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
        return event->external_workflow_execution_signaled_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
        return event->signal_external_workflow_execution_failed_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
        *ret_is_cancel = true;
        return event->external_workflow_execution_cancel_requested_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
        *ret_is_cancel = true;
        return event->request_cancel_external_workflow_execution_failed_event_attributes->initiated_event_id;
    default:
        return 0;
    }
}

void external_apply_again(struct draft *draft, const struct history_HistoryEvent *event)
{
    bool    is_cancel;
    int64_t initiated = result_of(event, &is_cancel);
    if (initiated == 0 || !is_pending(draft->state, is_cancel, initiated))
        return;
    struct history_HistoryEvent again = event_make(event->event_type, event_attributes(event));
    draft_event(draft, &again);
}

bool external_effect(struct execution *state, const struct history_HistoryEvent *event, int64_t id)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        execution_external_add(state, false, id);
        return true;
    case enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        execution_external_add(state, true, id);
        return true;
    default:
        break;
    }
    bool    is_cancel;
    int64_t initiated = result_of(event, &is_cancel);
    if (initiated == 0)
        return false;
    execution_external_remove(state, is_cancel, initiated);
    return true;
}
