/* child.c: child workflows. */
#include "engine/child.h"
#include "base/mutant.h"

#include "engine/close.h"
#include "engine/cron.h"
#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/fold.h"
#include "engine/retry.h"
#include "engine/search_attributes.h"
#include "engine/workflow_task.h"

#define BAD             enums_WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
#define COMMAND         "StartChildWorkflowExecutionCommand"
#define REASON_POLICY   BYTES("by parent close policy")
#define REASON_ORPHANED BYTES("the parent closed before it recorded the start of this child")
#define STARTED_CHILD   enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED
#define ALREADY_EXISTS  enums_START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS

/* --- the command --- */

static bool names_check(const struct draft                                                *draft,
                        const struct command_StartChildWorkflowExecutionCommandAttributes *child,
                        struct command_problem                                            *problem)
{
    size_t       id_max = draft->env->limits->id_size_max;
    struct bytes queue = child->task_queue == NULL ? BYTES_EMPTY : child->task_queue->name;
    if (child->namespace.size != 0 && !bytes_equal(child->namespace, draft->env->namespace->name))
        return command_bad(problem, BAD, "cross namespace commands are not allowed");
    if (child->workflow_id.size == 0 || child->workflow_id.size > id_max)
        return command_bad(problem, BAD, "WorkflowId is not set or longer than %zu bytes on %s.", id_max,
                           COMMAND);
    if (child->workflow_type == NULL || child->workflow_type->name.size == 0 ||
        child->workflow_type->name.size > id_max)
        return command_bad(problem, BAD,
                           "WorkflowType is not set or longer than %zu bytes on %s. WorkflowId=%.*s", id_max,
                           COMMAND, BYTES_FMT(child->workflow_id));
    if (queue.size > id_max || bytes_starts_with(queue, BYTES("/_sys/")))
        return command_bad(
            problem, BAD,
            "TaskQueue is longer than %zu bytes, or begins with the reserved prefix /_sys/, on "
            "%s. WorkflowId=%.*s",
            id_max, COMMAND, BYTES_FMT(child->workflow_id));
    return true;
}

static bool options_check(const struct draft                                                *draft,
                          const struct command_StartChildWorkflowExecutionCommandAttributes *child,
                          struct command_problem                                            *problem)
{
    struct common_Priority priority = { 0 };
    if (duration_ns(child->workflow_execution_timeout) < 0 || duration_ns(child->workflow_run_timeout) < 0 ||
        duration_ns(child->workflow_task_timeout) < 0)
        return command_bad(problem, BAD, "A timeout is negative on %s. WorkflowId=%.*s", COMMAND,
                           BYTES_FMT(child->workflow_id));
    if (child->parent_close_policy < 0 ||
        child->parent_close_policy > enums_PARENT_CLOSE_POLICY_REQUEST_CANCEL ||
        child->workflow_id_reuse_policy < 0 ||
        child->workflow_id_reuse_policy > enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING)
        return command_bad(problem, BAD,
                           "ParentClosePolicy or WorkflowIdReusePolicy is unknown on %s. WorkflowId=%.*s",
                           COMMAND, BYTES_FMT(child->workflow_id));
    if (child->retry_policy != NULL &&
        retry_policy_complete(child->retry_policy, draft->arena, &problem->error) != ST_OK) {
        problem->cause = BAD;
        return false;
    }
    if (child->cron_schedule.size != 0 && cron_check(child->cron_schedule, &problem->error) != ST_OK) {
        problem->cause = BAD;
        return false;
    }
    if (child->priority.size != 0 &&
        (pb_decode(&pb_common_Priority, child->priority, draft->arena, &priority, &problem->error) != ST_OK ||
         priority.priority_key < 0))
        return command_bad(problem, BAD, "priority key can't be negative");
    return true;
}

static bool sizes_check(const struct draft                                                *draft,
                        const struct command_StartChildWorkflowExecutionCommandAttributes *child,
                        struct command_problem                                            *problem)
{
    const struct limits *limits = draft->env->limits;
    if (!command_search_attributes(problem, draft, BYTES_EMPTY, child->search_attributes))
        return false;
    if (!command_fits(problem, BAD, "StartChildWorkflowExecutionCommandAttributes.Input", child->input.size,
                      limits->payload_size_max) ||
        !command_fits(problem, BAD, "StartChildWorkflowExecutionCommandAttributes.Memo", child->memo.size,
                      limits->memo_size_max))
        return false;
    if (draft->state->child_count >= limits->pending_children_max)
        return command_bad(
            problem, enums_WORKFLOW_TASK_FAILED_CAUSE_PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED,
            "the number of pending child workflow executions, %u, has reached the per-workflow "
            "limit of %zu",
            draft->state->child_count, limits->pending_children_max);
    return true;
}

static void timeouts_default(const struct draft                                                 *draft,
                             struct history_StartChildWorkflowExecutionInitiatedEventAttributes *child)
{
    const struct limits *limits = draft->env->limits;
    int64_t              execution = MIN(duration_ns(child->workflow_execution_timeout), TIMEOUT_MAX_NS);
    int64_t              run = MIN(duration_ns(child->workflow_run_timeout), TIMEOUT_MAX_NS);
    int64_t              task = duration_ns(child->workflow_task_timeout);
    if (execution != 0)
        run = run == 0 ? execution : MIN(run, execution);
    task = MIN(task == 0 ? limits->workflow_task_timeout_default_ns : task,
               limits->workflow_task_timeout_max_ns);
    if (run != 0)
        task = MIN(task, run);
    child->workflow_execution_timeout = execution == 0 ? NULL : duration_of_ns(draft->arena, execution);
    child->workflow_run_timeout = duration_of_ns(draft->arena, run); /* there also when it says nothing */
    child->workflow_task_timeout = duration_of_ns(draft->arena, task);
}

static struct taskqueue_TaskQueue *queue_default(const struct draft               *draft,
                                                 const struct taskqueue_TaskQueue *given)
{
    struct taskqueue_TaskQueue *queue = ARENA_NEW(draft->arena, struct taskqueue_TaskQueue);
    queue->name = given != NULL && given->name.size != 0 ? given->name : draft->state->queue;
    queue->kind = enums_TASK_QUEUE_KIND_NORMAL;
    return queue;
}

bool child_start(struct draft *draft, const struct command_Command *command, int64_t completed_id,
                 struct command_problem *ret_problem)
{
    const struct command_StartChildWorkflowExecutionCommandAttributes *child =
        command->start_child_workflow_execution_command_attributes;
    const struct execution *state = draft->state;
    if (!names_check(draft, child, ret_problem) || !options_check(draft, child, ret_problem) ||
        !sizes_check(draft, child, ret_problem))
        return false;
    struct history_StartChildWorkflowExecutionInitiatedEventAttributes initiated = {
        .namespace = draft->env->namespace->name,
        .namespace_id = draft->env->namespace->id,
        .workflow_id = child->workflow_id,
        .workflow_type = child->workflow_type,
        .task_queue = queue_default(draft, child->task_queue),
        .input = child->input,
        .workflow_execution_timeout = child->workflow_execution_timeout,
        .workflow_run_timeout = child->workflow_run_timeout,
        .workflow_task_timeout = child->workflow_task_timeout,
        .parent_close_policy = child->parent_close_policy != 0 ? child->parent_close_policy
                                                               : enums_PARENT_CLOSE_POLICY_TERMINATE,
        .control = child->control,
        .workflow_task_completed_event_id = completed_id,
        .workflow_id_reuse_policy = child->workflow_id_reuse_policy != 0
                                        ? child->workflow_id_reuse_policy
                                        : enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
        .retry_policy = child->retry_policy,
        .cron_schedule = child->cron_schedule,
        .header = child->header,
        .memo = fields_merge(BYTES_EMPTY, child->memo, draft->arena),
        .search_attributes = fields_merge(BYTES_EMPTY, child->search_attributes, draft->arena),
        .inherit_build_id = child->inherit_build_id,
        .priority = child->priority,
        .versioning_override = child->versioning_override,
    };
    timeouts_default(draft, &initiated);
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
                                                   &initiated);
    event.user_metadata = command->user_metadata;
    event.event_group_markers = command->event_group_markers;
    event.event_group_markers_count = command->event_group_markers_count;
    int64_t                 id = draft_event(draft, &event);
    bool                    is_root = execution_family(state)->root_workflow_id.size == 0;
    struct state_ChildStart start = {
        .parent = sender_of(state, id, draft->arena),
        .root_workflow_id = is_root ? state->workflow_id : execution_family(state)->root_workflow_id,
        .root_run_id = uuid_bytes(is_root ? &state->run_id : &execution_family(state)->root_run_id),
        .initiated = draft->events[draft->event_count - 1],
        .priority = priority_merge(state->priority, child->priority, draft->arena),
    };
    struct state_Message message = { .kind_case = MESSAGE_CHILD_START, .child_start = &start };
    draft_request(draft, child->workflow_id, NULL, &message);
    return true;
}

/* --- at the child: its start --- */

static struct history_WorkflowExecutionStartedEventAttributes *started_of(
    const struct arrival *arrival, const struct state_ChildStart *start,
    const struct history_StartChildWorkflowExecutionInitiatedEventAttributes *initiated)
{
    struct arena                                           *arena = arrival->arena;
    struct history_WorkflowExecutionStartedEventAttributes *started =
        ARENA_NEW(arena, struct history_WorkflowExecutionStartedEventAttributes);
    struct uuid root_run_id;
    *started = (struct history_WorkflowExecutionStartedEventAttributes){
        .workflow_type = initiated->workflow_type,
        .parent_workflow_namespace = arrival->env->namespace->name,
        .parent_workflow_namespace_id = arrival->env->namespace->id,
        .parent_workflow_execution = sender_execution(start->parent, arena),
        .parent_initiated_event_id = start->parent->initiated_event_id,
        .task_queue = initiated->task_queue,
        .input = initiated->input,
        .workflow_execution_timeout = initiated->workflow_execution_timeout,
        .workflow_run_timeout = initiated->workflow_run_timeout,
        .workflow_task_timeout = initiated->workflow_task_timeout,
        .retry_policy = initiated->retry_policy,
        .cron_schedule = initiated->cron_schedule,
        .memo = initiated->memo,
        .search_attributes = initiated->search_attributes,
        .header = initiated->header,
        .versioning_override = initiated->versioning_override,
        .priority = start->priority,
    };
    started->root_workflow_execution = ARENA_NEW(arena, struct common_WorkflowExecution);
    started->root_workflow_execution->workflow_id = start->root_workflow_id;
    if (uuid_of_bytes(start->root_run_id, &root_run_id))
        started->root_workflow_execution->run_id = uuid_text(arena, &root_run_id);
    return started;
}

void child_arrive_start(const struct arrival *arrival, const struct state_ChildStart *start)
{
    struct history_HistoryEvent *event;
    struct error                *error = &arrival->request->base.error;
    struct uuid                  parent_run_id, run_id;
    if (!uuid_of_bytes(start->parent->run_id, &parent_run_id) ||
        event_decode(start->initiated, arrival->arena, &event, error) != ST_OK ||
        event->event_type != enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED) {
        error_set(error, ST_DATA_LOSS, "the start of a child cannot be decoded");
        return;
    }
    const struct history_StartChildWorkflowExecutionInitiatedEventAttributes *initiated =
        event->start_child_workflow_execution_initiated_event_attributes;
    struct bytes             parent_run = uuid_text(arrival->arena, &parent_run_id);
    struct child_run_request request = {
        .request_id = arena_printf(arrival->arena, "%.*s:%" PRId64 ":0", BYTES_FMT(parent_run),
                                   start->parent->initiated_event_id),
        .user_metadata = event->user_metadata,
        .reuse = initiated->workflow_id_reuse_policy,
        .started = started_of(arrival, start, initiated),
    };
    struct state_ChildAnswer answer = { .initiated_event_id = start->parent->initiated_event_id,
                                        .workflow_id = arrival->request->base.business_id,
                                        .header = initiated->header };
    struct state_Message     message = { .kind_case = MESSAGE_CHILD_ANSWER, .child_answer = &answer };
    if (child_run_create(arrival->live, &arrival->request->base, arrival->env, arrival->decision, &request,
                         &run_id))
        answer.run_id = uuid_bytes(&run_id);
    else
        answer.cause = ALREADY_EXISTS;
    arrival_answer(arrival, start->parent->workflow_id, &parent_run_id, &message);
    if (arrival->decision->creates) { /* with the run that it tells of */
        arrival->decision->created.messages = arrival->decision->messages;
        arrival->decision->created.message_count = arrival->decision->message_count;
        arrival->decision->message_count = 0;
    }
}

/* --- at the parent: the answer --- */

static struct common_WorkflowExecution *execution_of(struct arena *arena, struct bytes workflow_id,
                                                     const struct uuid *run_id)
{
    struct common_WorkflowExecution *execution = ARENA_NEW(arena, struct common_WorkflowExecution);
    execution->workflow_id = arena_copy(arena, workflow_id);
    execution->run_id = uuid_text(arena, run_id);
    return execution;
}

static struct common_WorkflowType *type_of(struct arena *arena, const struct child *child)
{
    struct common_WorkflowType *type = ARENA_NEW(arena, struct common_WorkflowType);
    type->name = arena_copy(arena, child->type);
    return type;
}

static void record_started(struct draft *draft, const struct child *child, const struct uuid *run_id,
                           struct bytes header)
{
    struct history_ChildWorkflowExecutionStartedEventAttributes started = {
        .namespace = draft->env->namespace->name,
        .namespace_id = draft->env->namespace->id,
        .initiated_event_id = child->initiated_event_id,
        .workflow_execution = execution_of(draft->arena, child->workflow_id, run_id),
        .workflow_type = type_of(draft->arena, child),
        .header = header,
    };
    struct history_HistoryEvent event = event_make(STARTED_CHILD, &started);
    draft_arrive(draft, &event);
}

static void record_failed(struct draft *draft, const struct child *child, int32_t cause)
{
    struct history_StartChildWorkflowExecutionFailedEventAttributes failed = {
        .namespace = draft->env->namespace->name,
        .namespace_id = draft->env->namespace->id,
        .workflow_id = arena_copy(draft->arena, child->workflow_id),
        .workflow_type = type_of(draft->arena, child),
        .cause = cause,
        .initiated_event_id = child->initiated_event_id,
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
                                                   &failed);
    draft_arrive(draft, &event);
}

void child_apply_answer(struct draft *draft, const struct state_ChildAnswer *answer)
{
    const struct child *child = execution_child(draft->state, answer->initiated_event_id);
    struct uuid         run_id;
    if (child == NULL || child->is_started)
        return;
    if (uuid_of_bytes(answer->run_id, &run_id))
        record_started(draft, child, &run_id, answer->header);
    else
        record_failed(draft, child, answer->cause);
}

static void release_send(struct draft *draft, const struct state_ChildAnswer *answer, bool is_orphan)
{
    struct state_ChildRelease release = { .is_orphan = is_orphan };
    struct state_Message      message = { .kind_case = MESSAGE_CHILD_RELEASE, .child_release = &release };
    struct uuid               run_id;
    if (uuid_of_bytes(answer->run_id, &run_id))
        draft_send(draft, answer->workflow_id, &run_id, &message);
}

void child_answer_orphan(struct draft *draft, const struct state_ChildAnswer *answer)
{
    if (!MUTANT(orphan_runs_on))
        release_send(draft, answer, true);
}

void child_arrive_answer(const struct arrival *arrival, const struct state_ChildAnswer *answer)
{
    const struct execution   *live = arrival->live;
    const struct child       *child = live == NULL || !execution_is_open(live)
                                          ? NULL
                                          : execution_child(live, answer->initiated_event_id);
    struct state_ChildRelease release = { .is_orphan = true };
    struct state_Message      message = { .kind_case = MESSAGE_CHILD_RELEASE, .child_release = &release };
    struct uuid               run_id;
    if (child == NULL || child->is_started) {
        if (uuid_of_bytes(answer->run_id, &run_id) && !MUTANT(orphan_runs_on))
            arrival_answer(arrival, answer->workflow_id, &run_id, &message);
        return;
    }
    struct draft draft;
    draft_begin(&draft, live, arrival->env, arrival->arena);
    child_apply_answer(&draft, answer);
    release_send(&draft, answer, false);
    draft_settle(&draft, false);
    decision_finish(&draft, arrival->decision);
}

/* --- at the child: what its parent has to say --- */

void child_arrive_release(const struct arrival *arrival, const struct state_ChildRelease *release)
{
    const struct execution *live = arrival->live;
    struct draft            draft;
    if (live == NULL || !execution_is_open(live) || !live->awaits_parent)
        return;
    draft_begin(&draft, live, arrival->env, arrival->arena);
    if (release->is_orphan) {
        execution_terminate(&draft, REASON_ORPHANED, BYTES_EMPTY, IDENTITY_SERVER);
    } else {
        draft_change(&draft, (struct state_Change){
                                 .kind_case = CHANGE_CHILD_RELEASED,
                                 .child_released = ARENA_NEW(arrival->arena, struct state_ChildReleased) });
        draft.wants_task = !live->backoff_pending || live->execution_time <= arrival->env->now ||
                           live->cancel_requested;
        draft_settle(&draft, draft.wants_task);
    }
    decision_finish(&draft, arrival->decision);
}

void child_arrive_parent_end(const struct arrival *arrival, const struct state_ParentEnd *end)
{
    const struct execution *live = arrival->live;
    struct draft            draft;
    if (live == NULL || !execution_is_open(live) ||
        !bytes_equal(uuid_bytes(&live->first_run_id), end->first_run_id))
        return;
    if (end->cancel && live->cancel_requested)
        return;
    draft_begin(&draft, live, arrival->env, arrival->arena);
    if (end->cancel) {
        struct history_WorkflowExecutionCancelRequestedEventAttributes requested = {
            .external_workflow_execution = sender_execution(end->parent, arrival->arena),
            .identity = IDENTITY_SERVER,
        };
        struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
                                                       &requested);
        draft_arrive(&draft, &event);
        draft_settle(&draft, true);
    } else {
        execution_terminate(&draft, REASON_POLICY, BYTES_EMPTY, IDENTITY_SERVER);
    }
    decision_finish(&draft, arrival->decision);
}

/* --- a run closes --- */

static void children_end(struct draft *draft)
{
    const struct execution *state = draft->state;
    for (uint32_t i = 0; i < state->child_count; i++) {
        const struct child *child = state->children[i].record;
        /* One whose start is on its way is told when it asks; see child_arrive_answer. */
        if (!child->is_started || child->parent_close_policy == enums_PARENT_CLOSE_POLICY_ABANDON)
            continue;
        struct state_ParentEnd end = {
            .parent = sender_of(state, child->initiated_event_id, draft->arena),
            .first_run_id = uuid_bytes(&child->first_run_id),
            .cancel = child->parent_close_policy == enums_PARENT_CLOSE_POLICY_REQUEST_CANCEL,
        };
        struct state_Message message = { .kind_case = MESSAGE_PARENT_END, .parent_end = &end };
        draft_send(draft, child->workflow_id, NULL, &message);
    }
}

static void fill_end(struct state_ChildEnd *end, const struct history_HistoryEvent *event)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        end->payload = event->workflow_execution_completed_event_attributes->result;
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        end->payload = event->workflow_execution_failed_event_attributes->failure;
        end->retry_state = event->workflow_execution_failed_event_attributes->retry_state;
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        end->retry_state = event->workflow_execution_timed_out_event_attributes->retry_state;
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        end->payload = event->workflow_execution_canceled_event_attributes->details;
        break;
    default: /* terminated */
        break;
    }
}

static void parent_tell(struct draft *draft, const struct history_HistoryEvent *event)
{
    const struct execution *state = draft->state;
    const struct family    *family = execution_family(state);
    struct state_ChildEnd   end = { .parent_run_id = uuid_bytes(&family->parent_run_id),
                                    .initiated_event_id = family->parent_initiated_event_id,
                                    .first_run_id = uuid_bytes(&state->first_run_id),
                                    .run_id = uuid_bytes(&state->run_id),
                                    .event_type = event->event_type };
    struct state_Message    message = { .kind_case = MESSAGE_CHILD_END, .child_end = &end };
    fill_end(&end, event);
    draft_send(draft, family->parent_workflow_id, &family->parent_run_id, &message);
}

void child_close_effects(struct draft *draft, const struct history_HistoryEvent *event)
{
    if (!MUTANT(parent_close_policy_ignored))
        children_end(draft);
    if (execution_family(draft->state)->parent_workflow_id.size != 0 && !close_continues(event) &&
        !MUTANT(child_end_not_told))
        parent_tell(draft, event);
}

/* --- at the parent: a child has ended --- */

/* All of these attributes but one end alike; the compiler is told once. */
#define END_COMMON(draft, child, end_execution)                                                              \
    .namespace = (draft)->env->namespace->name, .namespace_id = (draft)->env->namespace->id,                 \
    .workflow_execution = (end_execution), .workflow_type = type_of((draft)->arena, (child)),                \
    .initiated_event_id = (child)->initiated_event_id, .started_event_id = (child)->started_event_id

#define END_EVENT(NAME, Name, ...)                                                                           \
    do {                                                                                                     \
        struct history_ChildWorkflowExecution##Name##EventAttributes *ended =                                \
            ARENA_NEW(draft->arena, struct history_ChildWorkflowExecution##Name##EventAttributes);           \
        *ended = (struct history_ChildWorkflowExecution##Name##EventAttributes){                             \
            END_COMMON(draft, child, execution), __VA_ARGS__                                                 \
        };                                                                                                   \
        return event_make(enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_##NAME, ended);                          \
    } while (0)

static struct history_HistoryEvent end_event(const struct draft *draft, const struct child *child,
                                             const struct state_ChildEnd     *end,
                                             struct common_WorkflowExecution *execution)
{
    switch (end->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        END_EVENT(COMPLETED, Completed, .result = end->payload);
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        END_EVENT(FAILED, Failed, .failure = end->payload, .retry_state = end->retry_state);
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        END_EVENT(TIMED_OUT, TimedOut, .retry_state = end->retry_state);
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        END_EVENT(CANCELED, Canceled, .details = end->payload);
    default:
        END_EVENT(TERMINATED, Terminated, );
    }
}

/* Also when the answer to its start has not come: its end says as much. */
static void record_end(struct draft *draft, const struct child *child, const struct state_ChildEnd *end,
                       const struct uuid *run_id, const struct uuid *first_run_id)
{
    if (!child->is_started) {
        record_started(draft, child, first_run_id, BYTES_EMPTY);
        child = execution_child(draft->state, end->initiated_event_id);
    }
    struct history_HistoryEvent event = end_event(draft, child, end,
                                                  execution_of(draft->arena, child->workflow_id, run_id));
    draft_arrive(draft, &event);
}

void child_apply_end(struct draft *draft, const struct state_ChildEnd *end)
{
    const struct child *child = execution_child(draft->state, end->initiated_event_id);
    struct uuid         run_id, first_run_id;
    if (child == NULL || !uuid_of_bytes(end->run_id, &run_id) ||
        !uuid_of_bytes(end->first_run_id, &first_run_id) ||
        (child->is_started && memcmp(&child->first_run_id, &first_run_id, sizeof(first_run_id)) != 0))
        return;
    record_end(draft, child, end, &run_id, &first_run_id);
}

void child_arrive_end(const struct arrival *arrival, const struct state_ChildEnd *end)
{
    const struct execution *live = arrival->live;
    struct uuid             run_id, first_run_id;
    if (live == NULL || !execution_is_open(live) || !uuid_of_bytes(end->run_id, &run_id) ||
        !uuid_of_bytes(end->first_run_id, &first_run_id))
        return;
    const struct child *child = execution_child(live, end->initiated_event_id);
    /* After a reset another child may have the number of one that the reset took back. */
    if (child == NULL ||
        (child->is_started ? !MUTANT(child_end_applied_to_any) &&
                                 memcmp(&child->first_run_id, &first_run_id, sizeof(first_run_id)) != 0
                           : !bytes_equal(end->parent_run_id, uuid_bytes(&live->run_id))))
        return;
    struct draft draft;
    draft_begin(&draft, live, arrival->env, arrival->arena);
    record_end(&draft, child, end, &run_id, &first_run_id);
    draft_settle(&draft, false);
    decision_finish(&draft, arrival->decision);
}

/* --- the fold's --- */

int64_t child_initiated_id(const struct history_HistoryEvent *event)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
        return event->start_child_workflow_execution_failed_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
        return event->child_workflow_execution_started_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        return event->child_workflow_execution_completed_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        return event->child_workflow_execution_failed_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        return event->child_workflow_execution_canceled_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        return event->child_workflow_execution_timed_out_event_attributes->initiated_event_id;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        return event->child_workflow_execution_terminated_event_attributes->initiated_event_id;
    default:
        return 0;
    }
}

static void effect_initiated(struct execution *state, const struct history_HistoryEvent *event, int64_t id)
{
    const struct history_StartChildWorkflowExecutionInitiatedEventAttributes *initiated =
        event->start_child_workflow_execution_initiated_event_attributes;
    struct child *child = execution_child_add(state, id);
    assert(child != NULL); /* ids of events grow */
    execution_set(state, &child->workflow_id, initiated->workflow_id);
    execution_set(state, &child->type,
                  initiated->workflow_type == NULL ? BYTES_EMPTY : initiated->workflow_type->name);
    child->parent_close_policy = initiated->parent_close_policy;
}

bool child_effect(struct fold *fold, const struct history_HistoryEvent *event, int64_t id)
{
    struct execution *state = fold->state;
    int64_t           initiated_id = child_initiated_id(event);
    if (event->event_type == enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED) {
        effect_initiated(state, event, id);
        return true;
    }
    if (initiated_id == 0)
        return false;
    if (event->event_type != STARTED_CHILD) {
        execution_child_remove(state, initiated_id);
        return true;
    }
    const struct history_ChildWorkflowExecutionStartedEventAttributes *started =
        event->child_workflow_execution_started_event_attributes;
    struct child *child = execution_child_write(state, initiated_id);
    if (child == NULL || started->workflow_execution == NULL)
        return true;
    child->is_started = uuid_parse(started->workflow_execution->run_id, &child->first_run_id);
    child->started_event_id = id;
    return true;
}

void child_effect_flushed(struct execution *state, const struct history_HistoryEvent *event)
{
    struct child *child = execution_child_write(
        state, event->child_workflow_execution_started_event_attributes->initiated_event_id);
    if (child != NULL) /* its end may have been in the buffer too */
        child->started_event_id = event->event_id;
}

void child_effect_started(struct execution                                             *state,
                          const struct history_WorkflowExecutionStartedEventAttributes *started)
{
    const struct common_WorkflowExecution *parent = started->parent_workflow_execution;
    const struct common_WorkflowExecution *root = started->root_workflow_execution;
    struct family                          family = { 0 };
    if (parent != NULL && uuid_parse(parent->run_id, &family.parent_run_id)) {
        family.parent_workflow_id = parent->workflow_id;
        family.parent_initiated_event_id = started->parent_initiated_event_id;
        /* A next run of the chain is released as its first was. */
        state->awaits_parent = !MUTANT(child_runs_before_release) && parent->workflow_id.size != 0 &&
                               started->continued_execution_run_id.size == 0;
    }
    if (root != NULL && uuid_parse(root->run_id, &family.root_run_id))
        family.root_workflow_id = root->workflow_id;
    execution_family_set(state, &family);
}
