/* commands.c: the completion of a workflow task.
 *
 * Commands are tried one after the other on a draft. The first bad one gives the draft up, so that none of them takes
 * effect, and the task fails instead.
 */
#include "engine/commands.h"
#include "base/mutant.h"

#include "engine/activity.h"
#include "engine/child.h"
#include "engine/cron.h"
#include "engine/execution.h"
#include "engine/external.h"
#include "engine/failure.h"
#include "engine/retry.h"
#include "engine/search_attributes.h"
#include "engine/server_attributes.h"
#include "engine/update.h"
#include "engine/workflow_task.h"

/* Local activities keep a task alive for so long at most. */
#define HEARTBEAT_MAX_NS (30 * 60 * NS_PER_S)

/* Events that a speculative task may show a worker once more, see leaves_no_trace. */
#define EVENTS_SHOWN_AGAIN_MAX 10

#define CAUSE(name) enums_WORKFLOW_TASK_FAILED_CAUSE_##name

struct completion {
    struct draft                                                      draft;
    struct workflow_request                                          *request;
    struct decision                                                  *decision;
    int64_t                                                           completed_id;
    const struct workflowservice_RespondWorkflowTaskCompletedRequest *input;
    int64_t               *scheduled;       /* activities of this completion, by scheduled event id */
    bool                  *scheduled_eager; /* and whether the worker would run them itself */
    size_t                 scheduled_count;
    bool                   needs;
    bool                   is_malformed;    /* the request itself: nothing happens */
    bool                  *message_taken;   /* by the order of the request's messages */
    bool                   leaves_no_trace; /* of a speculative task: nothing but rejections came of it */
    struct command_problem problem;         /* of the bad command */
};

bool command_bad(struct command_problem *problem, int32_t cause, const char *format, ...)
{
    va_list arguments;
    problem->cause = cause;
    va_start(arguments, format);
    error_setv(&problem->error, ST_INVALID_ARGUMENT, format, arguments);
    va_end(arguments);
    return false;
}

bool command_fits(struct command_problem *problem, int32_t cause, const char *what, size_t size,
                  size_t size_max)
{
    if (size <= size_max)
        return true;
    problem->terminates = true;
    return command_bad(problem, cause, "%s exceeds size limit: %zu bytes, at most %zu are allowed.", what,
                       size, size_max);
}

bool command_search_attributes(struct command_problem *problem, const struct draft *draft, struct bytes base,
                               struct bytes given)
{
    const struct namespace_config *namespace = draft->env->namespace;
    if (search_attributes_check(namespace, given, draft->arena, &problem->error) == ST_OK) {
        struct bytes merged = base.size == 0 ? given : fields_merge(base, given, draft->arena);
        if (search_attributes_fit(namespace, merged, draft->arena, &problem->error) == ST_OK)
            return true;
        problem->terminates = true;
    }
    problem->cause = CAUSE(BAD_SEARCH_ATTRIBUTES);
    return false;
}

#define bad(completion, ...) command_bad(&(completion)->problem, __VA_ARGS__)

static bool payload_fits(struct completion *completion, int32_t cause, const char *what, size_t size)
{
    return command_fits(&completion->problem, cause, what, size,
                        completion->draft.env->limits->payload_size_max);
}

static void write(struct completion *completion, const struct command_Command *command, int32_t type,
                  const void *attributes)
{
    struct history_HistoryEvent event = event_make(type, attributes);
    event.user_metadata = command->user_metadata;
    event.event_group_markers = command->event_group_markers;
    event.event_group_markers_count = command->event_group_markers_count;
    draft_event(&completion->draft, &event);
}

/* --- activities --- */

static bool run_schedule_activity(struct completion *completion, const struct command_Command *command)
{
    const struct command_ScheduleActivityTaskCommandAttributes *attributes =
        command->schedule_activity_task_command_attributes;
    struct draft *draft = &completion->draft;
    if (!payload_fits(completion, CAUSE(BAD_SCHEDULE_ACTIVITY_ATTRIBUTES),
                      "ScheduleActivityTaskCommandAttributes.Input", attributes->input.size))
        return false;
    if (execution_activity_by_id(draft->state, attributes->activity_id) != NULL)
        return bad(completion, CAUSE(SCHEDULE_ACTIVITY_DUPLICATE_ID), "an activity with id %.*s is pending",
                   BYTES_FMT(attributes->activity_id));
    if (draft->state->activity_count >= draft->env->limits->pending_activities_max)
        return bad(completion, CAUSE(PENDING_ACTIVITIES_LIMIT_EXCEEDED),
                   "the number of pending activities, %u, has reached the per-workflow limit of %zu",
                   draft->state->activity_count, draft->env->limits->pending_activities_max);
    int64_t id;
    if (activity_schedule(draft, attributes, completion->completed_id, command->user_metadata, &id,
                          &completion->problem.error) != ST_OK) {
        completion->problem.cause = CAUSE(BAD_SCHEDULE_ACTIVITY_ATTRIBUTES);
        return false;
    }
    completion->scheduled[completion->scheduled_count] = id;
    /* The worker keeps a slot for it only on the workflow's own queue. */
    completion->scheduled_eager[completion->scheduled_count++] = attributes->request_eager_execution &&
                                                                 bytes_equal(attributes->task_queue->name,
                                                                             draft->state->queue);
    return true;
}

/* The buffered event that ends this activity; not one that a command of this completion put there. */
static bool end_is_buffered(struct completion *completion, int64_t scheduled_event_id)
{
    const struct execution *state = completion->draft.state;
    for (uint32_t i = 0; i + completion->draft.own_buffered < state->buffer_count; i++) {
        struct history_HistoryEvent *event;
        struct error                 error;
        if (event_decode(state->buffer[i], completion->draft.arena, &event, &error) != ST_OK ||
            !event_has(event->event_type, EVENT_END))
            continue;
        int64_t id = 0;
        switch (event->event_type) {
        case enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            id = event->activity_task_completed_event_attributes->scheduled_event_id;
            break;
        case enums_EVENT_TYPE_ACTIVITY_TASK_FAILED:
            id = event->activity_task_failed_event_attributes->scheduled_event_id;
            break;
        case enums_EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
            id = event->activity_task_timed_out_event_attributes->scheduled_event_id;
            break;
        case enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED:
            id = event->activity_task_canceled_event_attributes->scheduled_event_id;
            break;
        default:
            break;
        }
        if (id == scheduled_event_id)
            return true;
    }
    return false;
}

static bool run_cancel_activity(struct completion *completion, const struct command_Command *command)
{
    struct draft          *draft = &completion->draft;
    int64_t                id = command->request_cancel_activity_task_command_attributes->scheduled_event_id;
    const struct activity *activity = execution_activity(draft->state, id);
    if (activity == NULL && !end_is_buffered(completion, id))
        return bad(completion, CAUSE(BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES),
                   "ACTIVITY_UNKNOWN: no pending activity was scheduled by event %" PRId64, id);
    if (activity != NULL && activity->cancel_requested)
        return bad(completion, CAUSE(BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES),
                   "the activity scheduled by event %" PRId64 " is being cancelled already", id);
    struct history_ActivityTaskCancelRequestedEventAttributes requested = {
        .scheduled_event_id = id, .workflow_task_completed_event_id = completion->completed_id
    };
    write(completion, command, enums_EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED, &requested);
    activity = execution_activity(draft->state, id);
    if (activity != NULL && activity->started_time == 0) {
        activity_cancel_unstarted(draft, activity, completion->input->identity);
        draft->wants_task = true;
    }
    return true;
}

/* --- timers --- */

static bool run_start_timer(struct completion *completion, const struct command_Command *command)
{
    const struct command_StartTimerCommandAttributes *attributes = command->start_timer_command_attributes;
    struct draft                                     *draft = &completion->draft;
    size_t                                            id_max = draft->env->limits->id_size_max;
    if (attributes->timer_id.size == 0 || attributes->timer_id.size > id_max)
        return bad(completion, CAUSE(BAD_START_TIMER_ATTRIBUTES),
                   "TimerId is not set or longer than %zu bytes on StartTimerCommand.", id_max);
    if (duration_ns(attributes->start_to_fire_timeout) < 0)
        return bad(completion, CAUSE(BAD_START_TIMER_ATTRIBUTES),
                   "StartToFireTimeout is negative on StartTimerCommand. TimerId=%.*s",
                   BYTES_FMT(attributes->timer_id));
    if (execution_timer_by_id(draft->state, attributes->timer_id) != NULL)
        return bad(completion, CAUSE(START_TIMER_DUPLICATE_ID), "a timer with id %.*s is pending",
                   BYTES_FMT(attributes->timer_id));
    struct history_TimerStartedEventAttributes started = {
        .timer_id = attributes->timer_id,
        .start_to_fire_timeout = attributes->start_to_fire_timeout != NULL ? attributes->start_to_fire_timeout
                                                                           : duration_of_ns(draft->arena, 0),
        .workflow_task_completed_event_id = completion->completed_id,
    };
    write(completion, command, enums_EVENT_TYPE_TIMER_STARTED, &started);
    return true;
}

/* A timer that has fired unseen is cancelled all the same: its event leaves the buffer. 0: there is none. */
static int64_t take_buffered_fire(struct completion *completion, struct bytes timer_id)
{
    struct draft *draft = &completion->draft;
    for (uint32_t i = 0; i < draft->state->buffer_count; i++) {
        struct history_HistoryEvent *event;
        struct error                 error;
        if (event_decode(draft->state->buffer[i], draft->arena, &event, &error) != ST_OK ||
            event->event_type != enums_EVENT_TYPE_TIMER_FIRED ||
            !bytes_equal(event->timer_fired_event_attributes->timer_id, timer_id))
            continue;
        draft_change(draft,
                     (struct state_Change){ .kind_case = CHANGE_BUFFERED_REMOVED, .buffered_removed = i });
        return event->timer_fired_event_attributes->started_event_id;
    }
    return 0;
}

static bool run_cancel_timer(struct completion *completion, const struct command_Command *command)
{
    struct bytes        id = command->cancel_timer_command_attributes->timer_id;
    const struct timer *timer = execution_timer_by_id(completion->draft.state, id);
    int64_t started_event_id = timer != NULL ? timer->started_event_id : take_buffered_fire(completion, id);
    if (id.size == 0)
        return bad(completion, CAUSE(BAD_CANCEL_TIMER_ATTRIBUTES),
                   "TimerId is not set on CancelTimerCommand.");
    if (started_event_id == 0)
        return bad(completion, CAUSE(BAD_CANCEL_TIMER_ATTRIBUTES),
                   "TIMER_UNKNOWN: no timer with id %.*s is pending", BYTES_FMT(id));
    struct history_TimerCanceledEventAttributes canceled = {
        .timer_id = id,
        .started_event_id = started_event_id,
        .workflow_task_completed_event_id = completion->completed_id,
        .identity = completion->input->identity
    };
    write(completion, command, enums_EVENT_TYPE_TIMER_CANCELED, &canceled);
    return true;
}

/* --- other workflows --- */

static bool run_start_child(struct completion *completion, const struct command_Command *command)
{
    return child_start(&completion->draft, command, completion->completed_id, &completion->problem);
}

static bool run_signal_external(struct completion *completion, const struct command_Command *command)
{
    return external_signal(&completion->draft, command, completion->completed_id, &completion->problem);
}

static bool run_cancel_external(struct completion *completion, const struct command_Command *command)
{
    return external_cancel(&completion->draft, command, completion->completed_id, &completion->problem);
}

/* --- markers, memo, search attributes --- */

static bool run_record_marker(struct completion *completion, const struct command_Command *command)
{
    const struct command_RecordMarkerCommandAttributes *attributes =
        command->record_marker_command_attributes;
    size_t size = attributes->failure.size;
    size_t id_max = completion->draft.env->limits->id_size_max;
    if (attributes->marker_name.size == 0 || attributes->marker_name.size > id_max)
        return bad(completion, CAUSE(BAD_RECORD_MARKER_ATTRIBUTES),
                   "MarkerName is not set or longer than %zu bytes on RecordMarkerCommand.", id_max);
    struct history_MarkerRecordedEventAttributes_DetailsEntry *details =
        ARENA_NEW_ARRAY(completion->draft.arena, struct history_MarkerRecordedEventAttributes_DetailsEntry,
                        attributes->details_count + 1);
    for (size_t i = 0; i < attributes->details_count; i++) {
        details[i].key = attributes->details[i].key;
        details[i].value = attributes->details[i].value;
        size += details[i].value.size;
    }
    if (!payload_fits(completion, CAUSE(BAD_RECORD_MARKER_ATTRIBUTES),
                      "RecordMarkerCommandAttributes.Details", size))
        return false;
    struct history_MarkerRecordedEventAttributes recorded = {
        .marker_name = attributes->marker_name,
        .details = details,
        .details_count = attributes->details_count,
        .workflow_task_completed_event_id = completion->completed_id,
        .header = attributes->header,
        .failure = attributes->failure
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_MARKER_RECORDED, &recorded);
    event.user_metadata = command->user_metadata;
    draft_event(&completion->draft, &event);
    return true;
}

static bool run_upsert(struct completion *completion, const struct command_Command *command)
{
    struct bytes  given = command->upsert_workflow_search_attributes_command_attributes->search_attributes;
    struct draft *draft = &completion->draft;
    if (given.size == 0)
        return bad(completion, CAUSE(BAD_SEARCH_ATTRIBUTES),
                   "SearchAttributes is not set, or without any, on UpsertWorkflowSearchAttributesCommand.");
    if (!payload_fits(completion, CAUSE(BAD_SEARCH_ATTRIBUTES), "SearchAttributes", given.size))
        return false;
    if (!command_search_attributes(&completion->problem, draft, draft->state->search_attributes, given))
        return false;
    struct history_UpsertWorkflowSearchAttributesEventAttributes upsert = {
        .workflow_task_completed_event_id = completion->completed_id, .search_attributes = given
    };
    write(completion, command, enums_EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, &upsert);
    return true;
}

static bool run_modify_properties(struct completion *completion, const struct command_Command *command)
{
    struct bytes  given = command->modify_workflow_properties_command_attributes->upserted_memo;
    struct draft *draft = &completion->draft;
    if (given.size == 0)
        return bad(completion, CAUSE(BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES),
                   "UpsertedMemo is not set, or without fields, on ModifyWorkflowPropertiesCommand.");
    size_t merged = fields_merge(draft->state->memo, given, draft->arena).size;
    if (!command_fits(&completion->problem, CAUSE(BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES), "Memo",
                      MAX(merged, given.size), draft->env->limits->memo_size_max))
        return false;
    struct history_WorkflowPropertiesModifiedEventAttributes modified = {
        .workflow_task_completed_event_id = completion->completed_id, .upserted_memo = given
    };
    write(completion, command, enums_EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED, &modified);
    return true;
}

/* --- messages --- */

static bool run_message(struct completion *completion, size_t index)
{
    const struct protocol_Message *message = &completion->input->messages[index];
    const int32_t                  cause = CAUSE(BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE);
    completion->message_taken[index] = true;
    if (!payload_fits(completion, cause, "Message.Body", message->body.size))
        return false;
    completion->problem.cause = cause;
    return update_message(&completion->draft, message, &completion->is_malformed,
                          &completion->problem.error) == ST_OK;
}

/* The place of a message among the commands. */
static bool run_protocol_message(struct completion *completion, const struct command_Command *command)
{
    struct bytes id = command->protocol_message_command_attributes->message_id;
    for (size_t i = 0; i < completion->input->messages_count; i++)
        if (!completion->message_taken[i] && bytes_equal(completion->input->messages[i].id, id))
            return run_message(completion, i);
    return bad(completion, CAUSE(BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE),
               "ProtocolMessageCommand referenced absent message ID %.*s", BYTES_FMT(id));
}

/* Rejections need no place, and old SDKs give none. */
static bool run_messages_left(struct completion *completion)
{
    for (size_t i = 0; i < completion->input->messages_count; i++)
        if (!completion->message_taken[i] && !run_message(completion, i))
            return false;
    return true;
}

/* --- closing commands --- */

static bool run_complete(struct completion *completion, const struct command_Command *command)
{
    struct bytes result = command->complete_workflow_execution_command_attributes->result;
    if (!payload_fits(completion, CAUSE(BAD_SCHEDULE_ACTIVITY_ATTRIBUTES), /* so clients know it */
                      "CompleteWorkflowExecutionCommandAttributes.Result", result.size))
        return false;
    completion->needs = !execution_complete(&completion->draft, completion->decision,
                                            completion->completed_id, result, command->user_metadata);
    return !completion->needs;
}

static bool run_fail(struct completion *completion, const struct command_Command *command)
{
    struct bytes failure = command->fail_workflow_execution_command_attributes->failure;
    if (failure.base == NULL)
        return bad(completion, CAUSE(BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES),
                   "Failure is not set on FailWorkflowExecutionCommand.");
    if (!payload_fits(completion, CAUSE(BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES),
                      "FailWorkflowExecutionCommandAttributes.Failure", failure.size))
        return false;
    completion->needs = !execution_fail(&completion->draft, completion->decision, completion->completed_id,
                                        failure, command->user_metadata);
    return !completion->needs;
}

static bool run_cancel(struct completion *completion, const struct command_Command *command)
{
    struct bytes details = command->cancel_workflow_execution_command_attributes->details;
    if (!payload_fits(completion, CAUSE(BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES),
                      "CancelWorkflowExecutionCommandAttributes.Details", details.size))
        return false;
    struct history_WorkflowExecutionCanceledEventAttributes canceled = {
        .workflow_task_completed_event_id = completion->completed_id, .details = details
    };
    write(completion, command, enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED, &canceled);
    return true;
}

static bool continue_check(struct completion                                                    *completion,
                           const struct command_ContinueAsNewWorkflowExecutionCommandAttributes *attributes)
{
    const int32_t cause = CAUSE(BAD_CONTINUE_AS_NEW_ATTRIBUTES);
    struct draft *draft = &completion->draft;
    size_t        id_max = draft->env->limits->id_size_max;
    if ((attributes->workflow_type != NULL && attributes->workflow_type->name.size > id_max) ||
        (attributes->task_queue != NULL && attributes->task_queue->name.size > id_max))
        return bad(completion, cause, "WorkflowType or TaskQueue is longer than %zu bytes on command.",
                   id_max);
    if (attributes->task_queue != NULL && bytes_starts_with(attributes->task_queue->name, BYTES("/_sys/")))
        return bad(completion, cause, "TaskQueue begins with the reserved prefix /_sys/ on command.");
    if (duration_ns(attributes->workflow_run_timeout) < 0 ||
        duration_ns(attributes->workflow_task_timeout) < 0 ||
        duration_ns(attributes->backoff_start_interval) < 0)
        return bad(completion, cause,
                   "A timeout or the backoff is negative on ContinueAsNewWorkflowExecutionCommand.");
    if (attributes->retry_policy != NULL &&
        retry_policy_complete(attributes->retry_policy, draft->arena, &completion->problem.error) != ST_OK) {
        completion->problem.cause = cause;
        return false;
    }
    if (attributes->cron_schedule.size != 0 &&
        cron_check(attributes->cron_schedule, &completion->problem.error) != ST_OK) {
        completion->problem.cause = cause;
        return false;
    }
    if (!command_search_attributes(&completion->problem, draft, BYTES_EMPTY, attributes->search_attributes))
        return false;
    return payload_fits(completion, cause, "ContinueAsNewWorkflowExecutionCommandAttributes.Input",
                        attributes->input.size) &&
           command_fits(&completion->problem, cause, "ContinueAsNewWorkflowExecutionCommandAttributes.Memo",
                        attributes->memo.size, draft->env->limits->memo_size_max);
}

static bool run_continue_as_new(struct completion *completion, const struct command_Command *command)
{
    const struct command_ContinueAsNewWorkflowExecutionCommandAttributes *attributes =
        command->continue_as_new_workflow_execution_command_attributes;
    if (!continue_check(completion, attributes))
        return false;
    completion->needs = !execution_continue_as_new(&completion->draft, completion->decision,
                                                   completion->completed_id, attributes,
                                                   command->user_metadata);
    return !completion->needs;
}

/* --- the table --- */

struct command_type {
    int32_t     type, field, bad_cause;
    bool        closes;
    const char *name;
    bool (*run)(struct completion            *completion,
                const struct command_Command *command); /* NULL: not supported yet */
};
#define COMMAND(name, field, cause, closes, run)                                                             \
    { enums_COMMAND_TYPE_##name, field, CAUSE(cause), closes, #name, run }
static const struct command_type command_types[] = {
    COMMAND(SCHEDULE_ACTIVITY_TASK, 2, BAD_SCHEDULE_ACTIVITY_ATTRIBUTES, false, run_schedule_activity),
    COMMAND(START_TIMER, 3, BAD_START_TIMER_ATTRIBUTES, false, run_start_timer),
    COMMAND(COMPLETE_WORKFLOW_EXECUTION, 4, BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES, true, run_complete),
    COMMAND(FAIL_WORKFLOW_EXECUTION, 5, BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES, true, run_fail),
    COMMAND(REQUEST_CANCEL_ACTIVITY_TASK, 6, BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES, false,
            run_cancel_activity),
    COMMAND(CANCEL_TIMER, 7, BAD_CANCEL_TIMER_ATTRIBUTES, false, run_cancel_timer),
    COMMAND(CANCEL_WORKFLOW_EXECUTION, 8, BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES, true, run_cancel),
    COMMAND(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, 9,
            BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES, false, run_cancel_external),
    COMMAND(RECORD_MARKER, 10, BAD_RECORD_MARKER_ATTRIBUTES, false, run_record_marker),
    COMMAND(CONTINUE_AS_NEW_WORKFLOW_EXECUTION, 11, BAD_CONTINUE_AS_NEW_ATTRIBUTES, true,
            run_continue_as_new),
    COMMAND(START_CHILD_WORKFLOW_EXECUTION, 12, BAD_START_CHILD_EXECUTION_ATTRIBUTES, false, run_start_child),
    COMMAND(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, 13, BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES, false,
            run_signal_external),
    COMMAND(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, 14, BAD_SEARCH_ATTRIBUTES, false, run_upsert),
    COMMAND(PROTOCOL_MESSAGE, 15, BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE, false, run_protocol_message),
    COMMAND(MODIFY_WORKFLOW_PROPERTIES, 17, BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES, false,
            run_modify_properties),
    COMMAND(SCHEDULE_NEXUS_OPERATION, 18, BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES, false, NULL),
    COMMAND(REQUEST_CANCEL_NEXUS_OPERATION, 19, BAD_REQUEST_CANCEL_NEXUS_OPERATION_ATTRIBUTES, false, NULL),
};

static const struct command_type *command_type_find(int32_t type)
{
    for (size_t i = 0; i < ARRAY_COUNT(command_types); i++)
        if (command_types[i].type == type)
            return &command_types[i];
    return NULL;
}

/* What is wrong with the request itself: then nothing happens and the task stays where it is. */
static enum status request_check(const struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                 struct error                                                     *error)
{
    for (size_t i = 0; i < input->commands_count; i++) {
        const struct command_type *type = command_type_find(input->commands[i].command_type);
        if (type == NULL)
            return error_set(error, ST_INVALID_ARGUMENT, "Unknown command type: %d",
                             input->commands[i].command_type);
        if (type->closes && i + 1 < input->commands_count)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Command %zu of %zu, %s, closes the workflow: it must be the last one.", i + 1,
                             input->commands_count, type->name);
    }
    return ST_OK;
}

static bool run_command(struct completion *completion, const struct command_Command *command)
{
    const struct command_type *type = command_type_find(command->command_type);
    if (command->attributes_case != type->field)
        return bad(completion, type->bad_cause, "the command %s has no attributes of its type", type->name);
    if (type->run == NULL)
        return bad(completion, type->bad_cause, "the command %s is not supported yet", type->name);
    if (type->closes && !MUTANT(close_over_unseen_events) &&
        completion->draft.state->buffer_count > completion->draft.own_buffered)
        return bad(
            completion, CAUSE(UNHANDLED_COMMAND),
            "something happened while the workflow task ran: the workflow has to see it before it closes");
    return type->run(completion, command);
}

/* --- the completion --- */

static void write_completed(struct completion *completion)
{
    struct draft                                                     *draft = &completion->draft;
    const struct workflowservice_RespondWorkflowTaskCompletedRequest *input = completion->input;
    struct workflow_task                                              task = draft->state->task;
    if (task_is_virtual(draft->state)) { /* now that it completes it is written as it was delivered */
        task_write_virtual(draft);
        task = draft->state->task;
    }
    struct history_WorkflowTaskCompletedEventAttributes completed = {
        .scheduled_event_id = task.scheduled_event_id,
        .started_event_id = task.started_event_id,
        .identity = input->identity,
        .binary_checksum = input->binary_checksum,
        .worker_version = input->worker_version_stamp,
        .sdk_metadata = input->sdk_metadata,
        .deployment = input->deployment,
        .versioning_behavior = input->versioning_behavior,
        .metering_metadata = input->metering_metadata,
    };
    const struct deployment_WorkerDeploymentOptions *options = input->deployment_options;
    struct deployment_WorkerDeploymentVersion        version;
    if (options != NULL && options->deployment_name.size != 0) {
        completed.worker_deployment_name = options->deployment_name;
        version = (struct deployment_WorkerDeploymentVersion){ .build_id = options->build_id,
                                                               .deployment_name = options->deployment_name };
        completed.deployment_version = &version;
    }
    completion->completed_id = draft_write(draft, enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED, &completed);
}

static void set_sticky(struct completion *completion)
{
    const struct taskqueue_StickyExecutionAttributes *given = completion->input->sticky_attributes;
    struct draft                                     *draft = &completion->draft;
    struct bytes queue = given == NULL || given->worker_task_queue == NULL ? BYTES_EMPTY
                                                                           : given->worker_task_queue->name;
    int64_t      timeout = queue.size == 0 ? 0 : MAX(duration_ns(given->schedule_to_start_timeout), 0);
    if (bytes_equal(queue, draft->state->sticky_queue) && timeout == draft->state->sticky_timeout)
        return;
    DRAFT_CHANGE(draft, CHANGE_STICKY, sticky, state_Sticky, .queue = queue, .timeout = timeout);
}

/* What was scheduled and is still wanted: to the worker itself, or to matching. */
static void dispatch_activities(struct completion                                           *completion,
                                struct workflowservice_RespondWorkflowTaskCompletedResponse *response)
{
    struct draft *draft = &completion->draft;
    response->activity_tasks = ARENA_NEW_ARRAY(draft->arena,
                                               struct workflowservice_PollActivityTaskQueueResponse,
                                               completion->scheduled_count + 1);
    for (size_t i = 0; i < completion->scheduled_count; i++) {
        int64_t                id = completion->scheduled[i];
        const struct activity *activity = execution_activity(draft->state, id);
        if (activity == NULL)
            continue;
        if (!completion->scheduled_eager[i] || activity->cancel_requested ||
            execution_is_paused(draft->state)) {
            activity_ready(draft, id, false);
            continue;
        }
        struct history_HistoryEvent *event;
        struct error                 error = { 0 };
        if (event_decode(draft->events[id - draft->first_event_id], draft->arena, &event, &error) != ST_OK)
            panic("an event just made does not decode: %s", error.message);
        response->activity_tasks[response->activity_tasks_count++] = *activity_start(
            draft, id, completion->input->identity, draft_uuid_text(draft), event_attributes(event));
    }
}

static bool is_heartbeat(const struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    return input->force_create_new_workflow_task && input->commands_count == 0 && input->messages_count == 0;
}

/* The next task, if one is due: inline if the worker asks for it. */
static void next_task(struct completion *completion, int64_t original_scheduled_time,
                      struct workflowservice_RespondWorkflowTaskCompletedResponse *response)
{
    struct draft                                                     *draft = &completion->draft;
    const struct workflowservice_RespondWorkflowTaskCompletedRequest *input = completion->input;
    bool                                                              flushed = draft_flush(draft) != 0;
    bool wants = (flushed && !MUTANT(buffer_without_task)) || draft->wants_task ||
                 input->force_create_new_workflow_task;
    if (!wants && (MUTANT(update_without_task) || !updates_wait(draft->state)))
        return;
    /* Where commands have left events the worker has something to be told anyway, and the next task is a normal one. */
    bool is_quiet = completion->leaves_no_trace ||
                    draft->state->next_event_id == completion->completed_id + 1;
    if (!wants && is_quiet && input->return_new_workflow_task && !execution_is_paused(draft->state))
        task_schedule_speculative(draft, true);
    else
        task_schedule(draft, (struct task_schedule_options){
                                 .attempt = 1,
                                 .without_row = input->return_new_workflow_task,
                                 .original_scheduled_time = is_heartbeat(input) ? original_scheduled_time : 0,
                             });
    if (!input->return_new_workflow_task || !draft->state->task.is_pending)
        return;
    task_start(draft, (struct task_start_options){ .identity = input->identity,
                                                   .request_id = draft_uuid_text(draft) });
    response->workflow_task = task_response(draft->state, draft->arena);
    /* Who keeps its task alive holds on to what it was given. */
    updates_send(draft, !input->force_create_new_workflow_task, response->workflow_task);
    completion->request->has_delivery = true;
    task_delivery(draft->state, draft->arena, false, &completion->request->delivery);
}

/* The server fails the task because of its commands. The text goes to the worker and into the event. */
static void reject(struct completion *completion, const struct execution *live, struct env *env)
{
    struct arena *arena = completion->request->base.arena;
    struct error *error = &completion->request->base.error;
    struct bytes  text = arena_printf(arena, "%.*s: %s",
                                      BYTES_FMT(cause_name(arena, completion->problem.cause)),
                                      completion->problem.error.message);
    error_set(error, ST_INVALID_ARGUMENT, "%.*s", BYTES_FMT(text));
    bool         is_unhandled = completion->problem.cause == CAUSE(UNHANDLED_COMMAND);
    struct draft draft;
    draft_begin(&draft, live, env, arena);
    updates_abort(&draft);
    *completion->decision = (struct decision){ 0 };
    if (live->task.attempt > 1 && !is_unhandled && !completion->problem.terminates) {
        decision_finish(&draft, completion->decision);
        return; /* it times out, which slows the worker down */
    }
    struct task_failure failure = {
        .cause = completion->problem.cause,
        .failure = failure_server(arena, text, false, BYTES_EMPTY),
        .identity = completion->input->identity,
        .binary_checksum = completion->input->binary_checksum,
        .counts = true,
        .is_last = completion->problem.terminates,
    };
    task_fail(&draft, &failure);
    if (completion->problem.terminates)
        execution_terminate(&draft, text, BYTES_EMPTY, IDENTITY_SERVER);
    draft_settle(&draft, false);
    completion->request->workflow_task_pending = draft.state->task.is_pending;
    decision_finish(&draft, completion->decision);
}

static void heartbeat_expired(struct completion *completion, const struct execution *live, struct env *env)
{
    struct draft        draft;
    struct task_failure timed_out = { .timed_out = true, .counts = true };
    draft_begin(&draft, live, env, completion->request->base.arena);
    task_fail(&draft, &timed_out);
    draft_settle(&draft, false);
    completion->request->workflow_task_pending = draft.state->task.is_pending;
    decision_finish(&draft, completion->decision);
    error_not_found(&completion->request->base.error, completion->request->base.arena,
                    "Workflow task heartbeat timed out.");
}

static void request_refuse(struct completion *completion)
{
    *completion->decision = (struct decision){ 0 };
    completion->request->base.error = completion->problem.error;
}

/* What a speculative task did is forgotten when a worker only said no. The events that it showed the worker are shown again
 * with the next one: not every worker can take that, and none should have to for long. */
static bool leaves_no_trace(const struct execution                                           *live,
                            const struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                            struct arena                                                     *arena)
{
    bool can_see_again = input->capabilities != NULL &&
                         input->capabilities->discard_speculative_workflow_task_with_events;
    int64_t shown = live->next_event_id - (live->previous_started_event_id + 2);
    if (!live->task.is_speculative || input->commands_count != 0 || input->force_create_new_workflow_task ||
        shown > (can_see_again ? EVENTS_SHOWN_AGAIN_MAX : 0))
        return false;
    for (size_t i = 0; i < input->messages_count; i++)
        if (!update_message_is_rejection(&input->messages[i], arena))
            return false;
    return true;
}

static void complete(struct completion *completion, const struct execution *live, struct env *env)
{
    struct workflow_request                                     *request = completion->request;
    struct draft                                                *draft = &completion->draft;
    struct workflowservice_RespondWorkflowTaskCompletedResponse *response =
        ARENA_NEW(request->base.arena, struct workflowservice_RespondWorkflowTaskCompletedResponse);
    draft->row_changed |= !completion->leaves_no_trace &&
                          execution_reports_problems(draft->state); /* no longer */
    if (completion->leaves_no_trace)
        task_drop_speculative(draft);
    else
        write_completed(completion);
    set_sticky(completion);
    bool good = true;
    for (size_t i = 0; i < completion->input->commands_count && good; i++)
        good = run_command(completion, &completion->input->commands[i]);
    if ((!good && (completion->needs || !MUTANT(bad_command_half_applied))) ||
        !run_messages_left(completion)) {
        if (completion->is_malformed)
            request_refuse(completion);
        else if (!completion->needs)
            reject(completion, live, env);
        return;
    }
    if (completion->leaves_no_trace)
        response->reset_history_event_id = draft->state->previous_started_event_id;
    if (execution_is_open(draft->state)) {
        if (!completion->input->force_create_new_workflow_task)
            updates_reject_unprocessed(draft);
        dispatch_activities(completion, response);
        next_task(completion, live->task.original_scheduled_time, response);
    }
    draft_settle(draft, false);
    if (!execution_is_open(draft->state) && response->workflow_task != NULL) { /* a limit has ended the run */
        response->workflow_task = NULL;
        request->has_delivery = false;
    }
    request->workflow_task_pending = draft->state->task.is_pending;
    request->response = response;
    decision_finish(draft, completion->decision);
}

void decide_task_complete(const struct execution *live, struct workflow_request *request, struct env *env,
                          struct decision *decision)
{
    struct completion completion = { .request = request, .decision = decision, .input = request->input };
    struct arena     *arena = request->base.arena;
    if (!task_matches(live, &request->token)) {
        error_not_found(&request->base.error, arena, "Workflow task not found.");
        return;
    }
    if (request_check(completion.input, &request->base.error) != ST_OK)
        return;
    if (execution_is_paused(live) && completion.input->force_create_new_workflow_task) {
        error_set(&request->base.error, ST_FAILED_PRECONDITION,
                  "Workflow is paused: it gets no new workflow task.");
        return;
    }
    if (is_heartbeat(completion.input) && env->now - live->task.original_scheduled_time > HEARTBEAT_MAX_NS) {
        heartbeat_expired(&completion, live, env);
        return;
    }
    completion.scheduled = ARENA_NEW_ARRAY(arena, int64_t, completion.input->commands_count + 1);
    completion.scheduled_eager = ARENA_NEW_ARRAY(arena, bool, completion.input->commands_count + 1);
    completion.message_taken = ARENA_NEW_ARRAY(arena, bool, completion.input->messages_count + 1);
    completion.leaves_no_trace = leaves_no_trace(live, completion.input, arena);
    draft_begin(&completion.draft, live, env, arena);
    complete(&completion, live, env);
}
