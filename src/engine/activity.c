/* activity.c: the life of activities. */
#include "engine/activity.h"
#include "base/mutant.h"

#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/retry.h"
#include "engine/workflow_task.h"

/* Details of heartbeats are stored this often at most; between, the newest are kept in memory. */
#define HEARTBEAT_STORE_INTERVAL_NS NS_PER_S

/* --- schedule --- */

enum status activity_timeouts_complete(const struct execution *state, struct bytes activity_id,
                                       struct activity_timeouts *timeouts, struct error *error)
{
    struct activity_timeouts t = *timeouts;
    if (t.schedule_to_close < 0 || t.schedule_to_start < 0 || t.start_to_close < 0 || t.heartbeat < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "Activity timeouts cannot be negative. ActivityId=%.*s",
                         BYTES_FMT(activity_id));
    if (t.schedule_to_close == 0 && t.start_to_close == 0)
        return error_set(
            error, ST_INVALID_ARGUMENT,
            "A valid StartToClose or ScheduleToCloseTimeout is not set on command. ActivityId=%.*s",
            BYTES_FMT(activity_id));
    int64_t run = state->run_timeout;
    if (t.schedule_to_close != 0) {
        t.schedule_to_start = t.schedule_to_start == 0 ? t.schedule_to_close
                                                       : MIN(t.schedule_to_start, t.schedule_to_close);
        t.start_to_close = t.start_to_close == 0 ? t.schedule_to_close
                                                 : MIN(t.start_to_close, t.schedule_to_close);
    } else {
        t.schedule_to_close = run;
        if (t.schedule_to_start == 0)
            t.schedule_to_start = run;
    }
    if (run != 0) {
        t.schedule_to_close = MIN(t.schedule_to_close, run);
        t.schedule_to_start = MIN(t.schedule_to_start, run);
        t.start_to_close = MIN(t.start_to_close, run);
    }
    t.heartbeat = MIN(t.heartbeat, t.start_to_close);
    *timeouts = t;
    return ST_OK;
}

static enum status schedule_check(struct draft                                               *draft,
                                  const struct command_ScheduleActivityTaskCommandAttributes *command,
                                  struct error                                               *error)
{
    size_t id_max = draft->env->limits->id_size_max;
    if (command->activity_id.size == 0 || command->activity_id.size > id_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "ActivityId is not set or longer than %zu bytes on command.", id_max);
    if (command->activity_type == NULL || command->activity_type->name.size == 0 ||
        command->activity_type->name.size > id_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "ActivityType is not set or longer than %zu bytes on command. ActivityId=%.*s",
                         id_max, BYTES_FMT(command->activity_id));
    if (command->task_queue == NULL || command->task_queue->name.size == 0 ||
        command->task_queue->name.size > id_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "TaskQueue is not set or longer than %zu bytes on command. ActivityId=%.*s", id_max,
                         BYTES_FMT(command->activity_id));
    if (bytes_starts_with(command->task_queue->name, BYTES("/_sys/")))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "TaskQueue begins with the reserved prefix /_sys/ on command. ActivityId=%.*s",
                         BYTES_FMT(command->activity_id));
    return ST_OK;
}

enum status activity_schedule(struct draft                                               *draft,
                              const struct command_ScheduleActivityTaskCommandAttributes *command,
                              int64_t task_completed_id, struct bytes user_metadata,
                              int64_t *ret_scheduled_id, struct error *error)
{
    struct activity_timeouts  timeouts = { duration_ns(command->schedule_to_close_timeout),
                                           duration_ns(command->schedule_to_start_timeout),
                                           duration_ns(command->start_to_close_timeout),
                                           duration_ns(command->heartbeat_timeout) };
    struct common_RetryPolicy policy = { 0 };
    struct arena             *arena = draft->arena;
    enum status               status = schedule_check(draft, command, error);
    if (status == ST_OK)
        status = activity_timeouts_complete(draft->state, command->activity_id, &timeouts, error);
    if (status == ST_OK && command->retry_policy != NULL)
        policy = *command->retry_policy;
    if (status == ST_OK)
        status = retry_policy_complete(&policy, arena, error);
    if (status != ST_OK)
        return status;
    struct taskqueue_TaskQueue                          queue = { .name = command->task_queue->name,
                                                                  .kind = enums_TASK_QUEUE_KIND_NORMAL };
    struct history_ActivityTaskScheduledEventAttributes scheduled = {
        .activity_id = command->activity_id,
        .activity_type = command->activity_type,
        .task_queue = &queue,
        .header = command->header,
        .input = command->input,
        .schedule_to_close_timeout = duration_of_ns(arena, timeouts.schedule_to_close),
        .schedule_to_start_timeout = duration_of_ns(arena, timeouts.schedule_to_start),
        .start_to_close_timeout = duration_of_ns(arena, timeouts.start_to_close),
        .heartbeat_timeout = duration_of_ns(arena, timeouts.heartbeat),
        .workflow_task_completed_event_id = task_completed_id,
        .retry_policy = &policy,
        .use_workflow_build_id = command->use_workflow_build_id,
        .priority = command->priority,
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, &scheduled);
    event.user_metadata = user_metadata;
    *ret_scheduled_id = draft_event(draft, &event);
    return ST_OK;
}

static void offer(struct draft *draft, const struct activity *activity, bool returned)
{
    int64_t             scheduled_event_id = activity->scheduled_event_id;
    struct store_ready *row = draft_ready(draft, STORE_TASK_ACTIVITY, activity->queue);
    row->scheduled_event_id = scheduled_event_id;
    row->stamp = activity->stamp + (returned ? 1 : 0);
    draft_row_priority(row, draft->state->priority, activity->priority, draft->arena);
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_READY, activity_ready, state_ActivityReady,
                 .scheduled_event_id = scheduled_event_id, .sequence = row->sequence, .stamp = row->stamp,
                 .returned = returned);
}

void activity_ready(struct draft *draft, int64_t scheduled_event_id, bool returned)
{
    const struct activity *activity = execution_activity(draft->state, scheduled_event_id);
    assert(activity != NULL && activity->sequence == 0);
    if (activity_is_held(draft->state, activity)) {
        if (returned)
            DRAFT_CHANGE(draft, CHANGE_ACTIVITY_READY, activity_ready, state_ActivityReady,
                         .scheduled_event_id = scheduled_event_id, .stamp = activity->stamp + 1,
                         .returned = true);
        return; /* the end of the pause makes the row */
    }
    offer(draft, activity, returned);
}

void activity_offer_again(struct draft *draft, const struct activity *activity)
{
    assert(activity->sequence != 0);
    draft_unready(draft, activity->sequence);
    offer(draft, activity, false);
}

/* --- start --- */

static struct bytes activity_token(const struct execution *state, const struct activity *activity,
                                   struct arena *arena)
{
    struct task_ref token = {
        .namespace_id = state->namespace_id,
        .workflow_id = state->workflow_id,
        .run_id = state->run_id,
        .kind = STORE_TASK_ACTIVITY,
        .scheduled_event_id = activity->scheduled_event_id,
        .started_time = activity->started_time,
        .attempt = activity->attempt,
        .stamp = activity->stamp,
        .activity_id = activity->activity_id,
    };
    return task_token_encode(&token, arena);
}

static struct common_RetryPolicy *retry_policy_of(const struct activity *activity, struct arena *arena)
{
    struct common_RetryPolicy *policy = ARENA_NEW(arena, struct common_RetryPolicy);
    struct error               error;
    if (activity->retry_policy.size == 0 ||
        pb_decode(&pb_common_RetryPolicy, arena_copy(arena, activity->retry_policy), arena, policy, &error) !=
            ST_OK)
        return NULL;
    return policy;
}

static struct workflowservice_PollActivityTaskQueueResponse *activity_response(
    const struct execution *state, const struct activity *activity, const struct env *env,
    const struct history_ActivityTaskScheduledEventAttributes *scheduled, struct arena *arena)
{
    struct workflowservice_PollActivityTaskQueueResponse *response =
        ARENA_NEW(arena, struct workflowservice_PollActivityTaskQueueResponse);
    response->task_token = activity_token(state, activity, arena);
    response->workflow_namespace = env->namespace == NULL ? BYTES_EMPTY
                                                          : arena_copy(arena, env->namespace->name);
    response->workflow_type = ARENA_NEW(arena, struct common_WorkflowType);
    response->workflow_type->name = arena_copy(arena, state->type);
    response->workflow_execution = execution_message(state, arena);
    response->activity_type = ARENA_NEW(arena, struct common_ActivityType);
    response->activity_type->name = arena_copy(arena, activity->type);
    response->activity_id = arena_copy(arena, activity->activity_id);
    response->header = scheduled->header;
    response->input = scheduled->input;
    response->retry_policy = retry_policy_of(activity, arena);
    response->priority = priority_merge(state->priority, activity->priority, arena);
    struct bytes details = activity_details(activity);
    if (details.size != 0)
        response->heartbeat_details = arena_copy(arena, details);
    response->scheduled_time = timestamp_or_null(arena, activity->first_scheduled_time);
    response->current_attempt_scheduled_time = timestamp_or_null(arena, activity->scheduled_time);
    response->started_time = timestamp_or_null(arena, activity->started_time);
    response->attempt = activity->attempt;
    response->schedule_to_close_timeout = duration_of_ns(arena, activity->schedule_to_close);
    response->start_to_close_timeout = duration_of_ns(arena, activity->start_to_close);
    response->heartbeat_timeout = duration_of_ns(arena, activity->heartbeat);
    return response;
}

struct workflowservice_PollActivityTaskQueueResponse *activity_start(
    struct draft *draft, int64_t scheduled_event_id, struct bytes identity, struct bytes request_id,
    const struct history_ActivityTaskScheduledEventAttributes *scheduled)
{
    const struct activity *activity = execution_activity(draft->state, scheduled_event_id);
    assert(activity != NULL && activity->started_time == 0);
    draft_unready(draft, activity->sequence);
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_STARTED, activity_started, state_ActivityStarted,
                 .scheduled_event_id = scheduled_event_id, .identity = identity, .request_id = request_id);
    activity = execution_activity(draft->state, scheduled_event_id);
    return activity_response(draft->state, activity, draft->env, scheduled, draft->arena);
}

void decide_activity_start(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision)
{
    struct arena          *arena = request->base.arena;
    const struct activity *activity = execution_activity(live, request->task.scheduled_event_id);
    bool again = activity != NULL && activity->started_time != 0 && request->poll.request_id.size != 0 &&
                 (MUTANT(attempt_given_twice) || bytes_equal(activity->request_id, request->poll.request_id));
    if (activity == NULL ||
        (!again && (activity->sequence == 0 || activity->sequence != request->task.sequence))) {
        request->stale = true;
        return;
    }
    const struct history_HistoryEvent *event = cold_event(env, decision, activity->scheduled_event_id, arena);
    if (event == NULL)
        return;
    const struct history_ActivityTaskScheduledEventAttributes *scheduled = event_attributes(event);
    if (event->event_type != enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) {
        error_set(&request->base.error, ST_DATA_LOSS, "event %" PRId64 " schedules no activity",
                  event->event_id);
        return;
    }
    if (again) {
        request->response = activity_response(live, activity, env, scheduled, arena);
        return;
    }
    struct draft draft;
    draft_begin(&draft, live, env, arena);
    request->response = activity_start(&draft, activity->scheduled_event_id, request->poll.identity,
                                       request->poll.request_id, scheduled);
    decision_finish(&draft, decision);
}

/* --- ends --- */

/* Started, then the end: both now, or both through the buffer. `end` gets the id of Started if that has one. */
static void activity_end(struct draft *draft, const struct activity *activity,
                         struct history_HistoryEvent *end, int64_t *started_event_id,
                         struct bytes made_up_identity)
{
    bool started = activity->started_time != 0 || made_up_identity.base != NULL;
    draft_unready(draft, activity->sequence);
    draft->row_changed |= activity->pause.time != 0; /* search attributes name what is paused */
    if (started) {
        struct history_ActivityTaskStartedEventAttributes attributes = {
            .scheduled_event_id = activity->scheduled_event_id,
            .identity = activity->started_time != 0 ? activity->identity : made_up_identity,
            .request_id = activity->started_time != 0 ? activity->request_id : BYTES_EMPTY,
            .attempt = activity->attempt,
        };
        if (activity->last_failure.size != 0)
            attributes.last_failure = activity->last_failure;
        struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_ACTIVITY_TASK_STARTED, &attributes);
        if (activity->started_time != 0)
            event.event_time = timestamp_or_null(draft->arena, activity->started_time);
        task_materialize(draft); /* the events of a speculative workflow task come first */
        int64_t next = draft->state->next_event_id;
        draft_arrive(draft, &event);
        *started_event_id = task_is_started(draft->state) ? 0 : next; /* 0: known at the flush */
    }
    draft_arrive(draft, end);
}

static void end_completed(struct draft *draft, const struct activity *activity, struct bytes result,
                          struct bytes identity, const struct common_WorkerVersionStamp *version)
{
    struct history_ActivityTaskCompletedEventAttributes completed = {
        .result = result,
        .scheduled_event_id = activity->scheduled_event_id,
        .identity = identity,
        .worker_version = (void *)(uintptr_t)version
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED, &completed);
    activity_end(draft, activity, &event, &completed.started_event_id,
                 identity.base != NULL ? identity : BYTES(""));
}

static void end_failed(struct draft *draft, const struct activity *activity, struct bytes failure,
                       int32_t retry_state, struct bytes identity)
{
    struct history_ActivityTaskFailedEventAttributes failed = {
        .failure = failure,
        .scheduled_event_id = activity->scheduled_event_id,
        .identity = identity,
        .retry_state = retry_state
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_ACTIVITY_TASK_FAILED, &failed);
    activity_end(draft, activity, &event, &failed.started_event_id, BYTES_EMPTY);
}

static void end_timed_out(struct draft *draft, const struct activity *activity, int32_t type,
                          int32_t retry_state)
{
    struct history_ActivityTaskTimedOutEventAttributes timed_out = {
        .failure = failure_timeout(draft->arena, type, activity_details(activity), activity->last_failure),
        .scheduled_event_id = activity->scheduled_event_id,
        .retry_state = retry_state,
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, &timed_out);
    activity_end(draft, activity, &event, &timed_out.started_event_id, BYTES_EMPTY);
}

/* Details that only memory knows become durable with what comes next. */
static void keep_details(struct draft *draft, const struct activity *activity)
{
    if (activity->has_volatile_details && !MUTANT(heartbeat_details_lost))
        DRAFT_CHANGE(draft, CHANGE_ACTIVITY_HEARTBEAT, activity_heartbeat, state_ActivityHeartbeat,
                     .scheduled_event_id = activity->scheduled_event_id,
                     .details = activity->volatile_details, .has_details = true);
}

static struct retry_answer ask_retry(struct draft *draft, const struct activity *activity,
                                     struct bytes failure)
{
    struct retry_question question = { .policy = activity->retry_policy,
                                       .attempt = activity->attempt,
                                       .failure = failure,
                                       .now = draft->env->now,
                                       .cancel_requested = activity->cancel_requested,
                                       .is_paused = activity->pause.time != 0 };
    if (activity->schedule_to_close != 0 && !MUTANT(schedule_to_close_ignored))
        question.expiration = time_add(activity->first_scheduled_time, activity->schedule_to_close);
    return retry_decide(&question, draft->arena);
}

static void activity_retry(struct draft *draft, const struct activity *activity, struct bytes failure,
                           int64_t delay)
{
    int64_t id = activity->scheduled_event_id;
    keep_details(draft, activity);
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_RETRIED, activity_retried, state_ActivityRetried,
                 .scheduled_event_id = id, .attempt = activity->attempt + !MUTANT(attempt_not_counted),
                 .scheduled_time = time_add(draft->env->now, delay),
                 .last_failure = failure_bounded(draft->arena, failure,
                                                 draft->env->limits->kept_failure_size_max, false));
    if (delay == 0)
        activity_ready(draft, id, false);
}

void activity_time_out(struct draft *draft, int64_t scheduled_event_id)
{
    const struct activity *activity = execution_activity(draft->state, scheduled_event_id);
    int32_t                type;
    if (activity == NULL || activity_due(draft->state, activity, &type) > draft->env->now)
        return;
    switch (type) {
    case 0: /* the backoff is over */
        activity_ready(draft, scheduled_event_id, false);
        return;
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_START:
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
        end_timed_out(draft, activity, type, enums_RETRY_STATE_TIMEOUT);
        return;
    default:
        break;
    }
    struct bytes        failure = failure_timeout(draft->arena, type, BYTES_EMPTY, BYTES_EMPTY);
    struct retry_answer answer = ask_retry(draft, activity, failure);
    if (answer.state == enums_RETRY_STATE_IN_PROGRESS)
        activity_retry(draft, activity, failure, answer.delay);
    else /* what does not fit any more is told as the limit that it does not fit into */
        end_timed_out(draft, activity,
                      answer.state == enums_RETRY_STATE_TIMEOUT ? enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE : type,
                      answer.state);
}

void activity_cancel_unstarted(struct draft *draft, const struct activity *activity, struct bytes identity)
{
    struct common_Payload_MetadataEntry encoding = { .key = BYTES("encoding"), .value = BYTES("json/plain") };
    struct common_Payload               payload = { .metadata = &encoding,
                                                    .metadata_count = 1,
                                                    .data = BYTES("\"ACTIVITY_ID_NOT_STARTED\"") };
    struct bytes                        encoded = pb_encode_arena(&pb_common_Payload, &payload, draft->arena);
    struct common_Payloads              details = { .payloads = &encoded, .payloads_count = 1 };
    struct history_ActivityTaskCanceledEventAttributes canceled = {
        .details = pb_encode_arena(&pb_common_Payloads, &details, draft->arena),
        .latest_cancel_requested_event_id = activity->cancel_requested_event_id,
        .scheduled_event_id = activity->scheduled_event_id,
        .identity = identity,
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED, &canceled);
    draft_unready(draft, activity->sequence);
    draft->row_changed |= activity->pause.time != 0;
    draft_buffer(draft, &event);
    draft->own_buffered++;
}

/* --- requests about a task in a worker's hands --- */

/* Whether a worker's task is the attempt that is running. One that was reset meanwhile counts from 1 again. */
static bool is_attempt(const struct activity *activity, const struct task_ref *task)
{
    return activity->started_time != 0 &&
           (MUTANT(stale_attempt_token) ||
            (activity->started_time == task->started_time && activity->stamp == task->stamp &&
             (activity->attempt == task->attempt || activity->was_reset)));
}

/* The activity that a request means, or NULL: the error is set. */
static const struct activity *activity_of(const struct execution *live, struct workflow_request *request,
                                          bool may_be_unstarted)
{
    const struct activity_ref *ref = &request->activity;
    const struct activity     *activity = NULL;
    if (!execution_is_open(live)) {
        error_not_found(&request->base.error, request->base.arena, "workflow execution already completed");
        return NULL;
    }
    if (ref->by_id) {
        activity = execution_activity_by_id(live, ref->activity_id);
        if (activity != NULL && activity->started_time == 0 && !may_be_unstarted)
            activity = NULL;
    } else {
        activity = ref->task.kind == STORE_TASK_ACTIVITY
                       ? execution_activity(live, ref->task.scheduled_event_id)
                       : NULL;
        if (activity != NULL && !is_attempt(activity, &ref->task))
            activity = NULL;
    }
    if (activity == NULL)
        error_not_found(&request->base.error, request->base.arena,
                        "invalid activityID or activity already timed out or invoking workflow is completed");
    return activity;
}

void decide_activity_return(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision)
{
    const struct task_ref *task = &request->token;
    const struct activity *activity = execution_activity(live, task->scheduled_event_id);
    if (activity == NULL || !is_attempt(activity, task)) {
        request->stale = true;
        return;
    }
    struct draft draft;
    draft_begin(&draft, live, env, request->base.arena);
    activity_ready(&draft, task->scheduled_event_id, true);
    decision_finish(&draft, decision);
}

static void finish(struct draft *draft, struct decision *decision)
{
    draft_settle(draft, false);
    decision_finish(draft, decision);
}

static struct bytes too_large(struct draft *draft, const char *what, size_t size)
{
    return failure_server(draft->arena,
                          arena_printf(draft->arena,
                                       "%s exceeds size limit: %zu bytes, at most %zu are allowed.", what,
                                       size, draft->env->limits->payload_size_max),
                          true, BYTES_EMPTY);
}

void decide_activity_complete(const struct execution *live, struct workflow_request *request, struct env *env,
                              struct decision *decision)
{
    const struct activity *activity = activity_of(live, request, true);
    struct draft           draft;
    if (activity == NULL)
        return;
    draft_begin(&draft, live, env, request->base.arena);
    if (request->payload.size > env->limits->payload_size_max) {
        if (activity->started_time == 0) {
            error_set(&request->base.error, ST_INVALID_ARGUMENT, "Complete result exceeds size limit.");
            return;
        }
        end_failed(&draft, activity, too_large(&draft, "Complete result", request->payload.size),
                   enums_RETRY_STATE_NON_RETRYABLE_FAILURE, request->activity.identity);
    } else {
        end_completed(&draft, activity, request->payload, request->activity.identity, NULL);
    }
    finish(&draft, decision);
}

void decide_activity_fail(const struct execution *live, struct workflow_request *request, struct env *env,
                          struct decision *decision)
{
    const struct activity *activity = activity_of(live, request, false);
    struct arena          *arena = request->base.arena;
    struct draft           draft;
    if (activity == NULL)
        return;
    struct workflowservice_RespondActivityTaskFailedResponse *response =
        ARENA_NEW(arena, struct workflowservice_RespondActivityTaskFailedResponse);
    response->failures = ARENA_NEW_ARRAY(arena, struct bytes, 2);
    request->response = response;
    draft_begin(&draft, live, env, arena);
    if (request->heartbeat_details.size > env->limits->payload_size_max)
        response->failures[response->failures_count++] = too_large(&draft, "Heartbeat details",
                                                                   request->heartbeat_details.size);
    else if (request->heartbeat_details.size != 0)
        DRAFT_CHANGE(&draft, CHANGE_ACTIVITY_HEARTBEAT, activity_heartbeat, state_ActivityHeartbeat,
                     .scheduled_event_id = activity->scheduled_event_id,
                     .details = request->heartbeat_details, .has_details = true);
    struct bytes failure = request->payload;
    if (failure.size > env->limits->payload_size_max) {
        response->failures[response->failures_count++] = too_large(&draft, "Failure", failure.size);
        failure = failure_bounded(arena, failure, kept_of_large(env->limits), true);
    }
    activity = execution_activity(draft.state, activity->scheduled_event_id);
    struct retry_answer answer = ask_retry(&draft, activity, failure);
    if (answer.state == enums_RETRY_STATE_IN_PROGRESS)
        activity_retry(&draft, activity, failure, answer.delay);
    else
        end_failed(&draft, activity, failure, answer.state, request->activity.identity);
    finish(&draft, decision);
}

void decide_activity_cancel(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision)
{
    const struct activity *activity = activity_of(live, request, false);
    struct draft           draft;
    if (activity == NULL)
        return;
    if (!activity->cancel_requested) {
        error_set(&request->base.error, ST_INVALID_ARGUMENT,
                  "Unable to cancel an activity whose cancellation was not requested. ActivityId=%.*s",
                  BYTES_FMT(activity->activity_id));
        return;
    }
    draft_begin(&draft, live, env, request->base.arena);
    if (request->payload.size > env->limits->payload_size_max) {
        end_failed(&draft, activity, too_large(&draft, "Cancel details", request->payload.size),
                   enums_RETRY_STATE_NON_RETRYABLE_FAILURE, request->activity.identity);
    } else {
        struct history_ActivityTaskCanceledEventAttributes canceled = {
            .details = request->payload,
            .latest_cancel_requested_event_id = activity->cancel_requested_event_id,
            .scheduled_event_id = activity->scheduled_event_id,
            .identity = request->activity.identity,
        };
        struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED, &canceled);
        activity_end(&draft, activity, &event, &canceled.started_event_id, BYTES_EMPTY);
    }
    finish(&draft, decision);
}

void decide_activity_heartbeat(const struct execution *live, struct workflow_request *request,
                               struct env *env, struct decision *decision)
{
    const struct activity *activity = activity_of(live, request, false);
    struct draft           draft;
    if (activity == NULL)
        return;
    request->cancel_requested = activity->cancel_requested;
    request->activity_paused = activity->pause.time != 0;
    request->activity_reset = activity->was_reset;
    draft_begin(&draft, live, env, request->base.arena);
    if (request->payload.size > env->limits->payload_size_max) {
        request->cancel_requested = true;
        end_failed(&draft, activity, too_large(&draft, "Heartbeat details", request->payload.size),
                   enums_RETRY_STATE_NON_RETRYABLE_FAILURE, request->activity.identity);
        finish(&draft, decision);
        return;
    }
    bool news = request->payload.size != 0 || activity_details(activity).size != 0;
    if (!news || env->now - activity->heartbeat_time < HEARTBEAT_STORE_INTERVAL_NS) {
        struct state_ActivityHeartbeat *heartbeat = ARENA_NEW(draft.arena, struct state_ActivityHeartbeat);
        *heartbeat = (struct state_ActivityHeartbeat){ .scheduled_event_id = activity->scheduled_event_id,
                                                       .details = request->payload,
                                                       .has_details = news };
        draft_volatile(&draft, (struct state_Change){ .kind_case = CHANGE_ACTIVITY_HEARTBEAT,
                                                      .activity_heartbeat = heartbeat });
        decision_finish(&draft, decision);
        return;
    }
    DRAFT_CHANGE(&draft, CHANGE_ACTIVITY_HEARTBEAT, activity_heartbeat, state_ActivityHeartbeat,
                 .scheduled_event_id = activity->scheduled_event_id, .details = request->payload,
                 .has_details = true);
    decision_finish(&draft, decision);
}
