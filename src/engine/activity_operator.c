/* activity_operator.c: what operators do to pending activities. */
#include "engine/activity_operator.h"

#include "engine/activity.h"
#include "engine/failure.h"
#include "engine/options.h"
#include "engine/retry.h"
#include "engine/workflow_task.h"

/* --- the fold --- */

static void forget_heartbeat(struct execution *execution, struct activity *activity)
{
    activity->heartbeat_time = activity->volatile_heartbeat = 0;
    activity->has_heartbeat_details = activity->has_volatile_details = false;
    execution_set(execution, &activity->heartbeat_details, BYTES_EMPTY);
    execution_set(execution, &activity->volatile_details, BYTES_EMPTY);
}

void activity_operator_fold_retried(struct execution *execution, struct activity *activity)
{
    if (activity->resets_heartbeat)
        forget_heartbeat(execution, activity);
    activity->was_reset = activity->resets_heartbeat = false;
}

static void fold_paused(struct execution *execution, struct activity *activity,
                        const struct state_ActivityPaused *paused, int64_t time)
{
    struct pause pause = {
        .time = time, .identity = paused->identity, .reason = paused->reason, .request_id = paused->request_id
    };
    execution_set_pause(execution, &activity->pause, &pause);
    activity->sequence = 0;
    if (activity->started_time == 0)
        activity->stamp++;
}

/* A running attempt keeps its details, which are its worker's; only the next one does without them. */
static void reset_heartbeat(struct execution *execution, struct activity *activity)
{
    if (activity->started_time != 0)
        activity->resets_heartbeat = true;
    else
        forget_heartbeat(execution, activity);
}

static enum status fold_options(struct fold *fold, struct activity *activity,
                                const struct state_ActivityOptionsChanged *change, struct error *error)
{
    struct activity_ActivityOptions options;
    struct execution               *state = fold->state;
    enum status status = pb_decode(&pb_activity_ActivityOptions, change->options, fold->arena, &options,
                                   error);
    if (status != ST_OK || options.task_queue == NULL || options.retry_policy == NULL)
        return error_set(error, ST_DATA_LOSS, "stored options of an activity do not decode");
    if (change->are_original) {
        execution_set(state, &activity->original_options, BYTES_EMPTY);
    } else if (activity->original_options.size == 0) {
        const struct activity_ActivityOptions *before = activity_options(activity, fold->arena);
        execution_set(state, &activity->original_options,
                      pb_encode_arena(&pb_activity_ActivityOptions, before, fold->arena));
    }
    execution_set(state, &activity->queue, options.task_queue->name);
    execution_set(state, &activity->retry_policy,
                  pb_encode_arena(&pb_common_RetryPolicy, options.retry_policy, fold->arena));
    execution_set(state, &activity->priority, options.priority);
    activity->schedule_to_close = duration_ns(options.schedule_to_close_timeout);
    activity->schedule_to_start = duration_ns(options.schedule_to_start_timeout);
    activity->start_to_close = duration_ns(options.start_to_close_timeout);
    activity->heartbeat = duration_ns(options.heartbeat_timeout);
    return ST_OK;
}

void activity_operator_restore(struct fold *fold, struct activity *activity)
{
    struct state_ActivityOptionsChanged original = {
        .options = arena_copy(fold->arena, activity->original_options), .are_original = true
    };
    struct error error;
    if (fold_options(fold, activity, &original, &error) != ST_OK)
        panic("the options of an activity do not decode: %s", error.message);
}

enum status activity_operator_fold(struct fold *fold, const struct state_Change *change, struct error *error)
{
    struct execution *state = fold->state;
    /* The first field of each is the scheduled event's id. */
    struct activity *activity = execution_activity_write(state, change->activity_paused->scheduled_event_id);
    if (activity == NULL)
        return error_set(error, ST_DATA_LOSS, "a stored change names an activity that is not pending");
    switch (change->kind_case) {
    case CHANGE_ACTIVITY_PAUSED:
        fold_paused(state, activity, change->activity_paused, change->time);
        return ST_OK;
    case CHANGE_ACTIVITY_UNPAUSED:
        execution_set_pause(state, &activity->pause, NULL);
        if (change->activity_unpaused->resets_attempts) {
            activity->attempt = 1;
            activity->was_reset = activity->started_time != 0;
        }
        if (change->activity_unpaused->resets_heartbeat)
            reset_heartbeat(state, activity);
        return ST_OK;
    case CHANGE_ACTIVITY_RESET:
        activity->attempt = 1;
        activity->was_reset = activity->started_time != 0;
        if (change->activity_reset->resets_heartbeat)
            reset_heartbeat(state, activity);
        return ST_OK;
    case CHANGE_ACTIVITY_OPTIONS:
        return fold_options(fold, activity, change->activity_options_changed, error);
    default:
        assert(change->kind_case == CHANGE_ACTIVITY_RESCHEDULED);
        activity->sequence = 0;
        activity->stamp++;
        activity->scheduled_time = change->activity_rescheduled->scheduled_time;
        return ST_OK;
    }
}

/* --- options --- */

struct activity_ActivityOptions *activity_options(const struct activity *activity, struct arena *arena)
{
    struct activity_ActivityOptions *options = ARENA_NEW(arena, struct activity_ActivityOptions);
    struct error                     error;
    options->task_queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    options->task_queue->name = arena_copy(arena, activity->queue);
    options->task_queue->kind = enums_TASK_QUEUE_KIND_NORMAL;
    options->schedule_to_close_timeout = duration_of_ns(arena, activity->schedule_to_close);
    options->schedule_to_start_timeout = duration_of_ns(arena, activity->schedule_to_start);
    options->start_to_close_timeout = duration_of_ns(arena, activity->start_to_close);
    options->heartbeat_timeout = duration_of_ns(arena, activity->heartbeat);
    options->retry_policy = ARENA_NEW(arena, struct common_RetryPolicy);
    if (pb_decode(&pb_common_RetryPolicy, arena_copy(arena, activity->retry_policy), arena,
                  options->retry_policy, &error) != ST_OK)
        *options->retry_policy = (struct common_RetryPolicy){ 0 };
    if (activity->priority.size != 0)
        options->priority = arena_copy(arena, activity->priority);
    return options;
}

static enum status merge_policy(struct common_RetryPolicy *into, const struct common_RetryPolicy *from,
                                struct bytes path, bool *ret_known, struct error *error)
{
    *ret_known = true;
    bool whole = mask_path_is(path, "retry_policy");
    if (!whole && !mask_path_is(path, "retry_policy.initial_interval") &&
        !mask_path_is(path, "retry_policy.backoff_coefficient") &&
        !mask_path_is(path, "retry_policy.maximum_interval") &&
        !mask_path_is(path, "retry_policy.maximum_attempts")) {
        *ret_known = false;
        return ST_OK;
    }
    if (from == NULL)
        return mask_not_provided("RetryPolicy", error);
    if (whole)
        *into = *from;
    else if (mask_path_is(path, "retry_policy.initial_interval"))
        into->initial_interval = from->initial_interval;
    else if (mask_path_is(path, "retry_policy.backoff_coefficient"))
        into->backoff_coefficient = from->backoff_coefficient;
    else if (mask_path_is(path, "retry_policy.maximum_interval"))
        into->maximum_interval = from->maximum_interval;
    else
        into->maximum_attempts = from->maximum_attempts;
    return ST_OK;
}

static enum status merge_path(struct activity_ActivityOptions       *into,
                              const struct activity_ActivityOptions *from, struct bytes path,
                              struct arena *arena, struct error *error)
{
    bool        known;
    enum status status = merge_policy(into->retry_policy, from->retry_policy, path, &known, error);
    if (status == ST_OK && !known)
        status = mask_merge_priority(&into->priority, from->priority, path, arena, &known, error);
    if (status != ST_OK || known)
        return status;
    if (mask_path_is(path, "task_queue.name") || mask_path_is(path, "task_queue") ||
        mask_path_is(path, "task_queue_name")) {
        if (from->task_queue == NULL)
            return mask_not_provided("TaskQueue", error);
        into->task_queue->name = from->task_queue->name;
    } else if (mask_path_is(path, "schedule_to_close_timeout")) {
        into->schedule_to_close_timeout = from->schedule_to_close_timeout;
    } else if (mask_path_is(path, "schedule_to_start_timeout")) {
        into->schedule_to_start_timeout = from->schedule_to_start_timeout;
    } else if (mask_path_is(path, "start_to_close_timeout")) {
        into->start_to_close_timeout = from->start_to_close_timeout;
    } else if (mask_path_is(path, "heartbeat_timeout")) {
        into->heartbeat_timeout = from->heartbeat_timeout;
    } else {
        return error_set(error, ST_INVALID_ARGUMENT, "UpdateMask: \"%.*s\" is no option of an activity.",
                         BYTES_FMT(path));
    }
    return ST_OK;
}

/* The merged options as they take effect: defaults filled, capped, checked. */
static enum status options_complete(const struct draft *draft, const struct activity *activity,
                                    struct activity_ActivityOptions *options, struct error *error)
{
    struct activity_timeouts timeouts = { duration_ns(options->schedule_to_close_timeout),
                                          duration_ns(options->schedule_to_start_timeout),
                                          duration_ns(options->start_to_close_timeout),
                                          duration_ns(options->heartbeat_timeout) };
    size_t                   id_max = draft->env->limits->id_size_max;
    if (options->task_queue->name.size == 0 || options->task_queue->name.size > id_max)
        return error_set(error, ST_INVALID_ARGUMENT, "TaskQueue name is not set or longer than %zu bytes.",
                         id_max);
    if (bytes_starts_with(options->task_queue->name, BYTES("/_sys/")))
        return error_set(error, ST_INVALID_ARGUMENT, "TaskQueue begins with the reserved prefix /_sys/.");
    enum status status = activity_timeouts_complete(draft->state, activity->activity_id, &timeouts, error);
    if (status == ST_OK)
        status = retry_policy_complete(options->retry_policy, draft->arena, error);
    if (status != ST_OK)
        return status;
    options->schedule_to_close_timeout = duration_of_ns(draft->arena, timeouts.schedule_to_close);
    options->schedule_to_start_timeout = duration_of_ns(draft->arena, timeouts.schedule_to_start);
    options->start_to_close_timeout = duration_of_ns(draft->arena, timeouts.start_to_close);
    options->heartbeat_timeout = duration_of_ns(draft->arena, timeouts.heartbeat);
    return ST_OK;
}

/* --- which activities --- */

enum match_kind { MATCH_ID, MATCH_TYPE, MATCH_ALL };
struct match {
    enum match_kind kind;
    struct bytes    text;
};

/* One by its id, those of a type, or all of them: requests say it in the same three ways. */
static struct match match_of(bool by_id, struct bytes id, bool by_type, struct bytes type)
{
    return by_id     ? (struct match){ MATCH_ID, id }
           : by_type ? (struct match){ MATCH_TYPE, type }
                     : (struct match){ MATCH_ALL, BYTES_EMPTY };
}

static bool matches(const struct match *match, const struct activity *activity)
{
    return match->kind == MATCH_ALL ||
           bytes_equal(match->text, match->kind == MATCH_ID ? activity->activity_id : activity->type);
}

/* Calls for each match; NOT_FOUND when there is none. Stops at the first error. */
static void for_each(const struct execution *live, struct workflow_request *request, struct env *env,
                     struct decision *decision, struct match match,
                     enum status (*apply)(struct draft *draft, int64_t scheduled_event_id,
                                          struct workflow_request *request))
{
    struct draft draft;
    size_t       count = 0;
    draft_begin(&draft, live, env, request->base.arena);
    for (uint32_t i = 0; i < live->activity_count; i++) {
        const struct activity *activity = live->activities[i].record;
        if (!matches(&match, activity))
            continue;
        count++;
        if (apply(&draft, activity->scheduled_event_id, request) != ST_OK)
            return; /* the draft is given up: nothing has happened to any of them */
    }
    if (count == 0) {
        error_not_found(&request->base.error, request->base.arena,
                        "Activity not found: none that is pending fits.");
        return;
    }
    decision_finish(&draft, decision);
}

void activity_reschedule(struct draft *draft, int64_t scheduled_event_id, int64_t time)
{
    const struct activity *activity = execution_activity(draft->state, scheduled_event_id);
    assert(activity != NULL && activity->started_time == 0);
    draft_unready(draft, activity->sequence);
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_RESCHEDULED, activity_rescheduled, state_ActivityRescheduled,
                 .scheduled_event_id = scheduled_event_id, .scheduled_time = time);
    if (time <= draft->env->now)
        activity_ready(draft, scheduled_event_id, false);
}

/* Now, or a random part of the jitter later. */
static int64_t jittered(struct draft *draft, const struct google_Duration *jitter)
{
    return time_add(draft->env->now, draft_random_below(draft, duration_ns(jitter)));
}

/* --- pause, unpause --- */

static enum status pause_one(struct draft *draft, int64_t id, struct workflow_request *request)
{
    const struct workflowservice_PauseActivityRequest *input = request->input;
    const struct activity                             *activity = execution_activity(draft->state, id);
    if (activity->pause.time != 0)
        return ST_OK;
    draft_unready(draft, activity->sequence);
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_PAUSED, activity_paused, state_ActivityPaused,
                 .scheduled_event_id = id, .identity = input->identity, .reason = input->reason,
                 .request_id = input->request_id);
    draft->row_changed = true;
    return ST_OK;
}

void decide_activity_pause(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision)
{
    const struct workflowservice_PauseActivityRequest *input = request->input;
    struct match match = match_of(input->activity_case == 4, input->id, true, input->type);
    for_each(live, request, env, decision, match, pause_one);
    request->response = ARENA_NEW(request->base.arena, struct workflowservice_PauseActivityResponse);
}

static enum status unpause_one(struct draft *draft, int64_t id, struct workflow_request *request)
{
    const struct workflowservice_UnpauseActivityRequest *input = request->input;
    const struct activity                               *activity = execution_activity(draft->state, id);
    if (activity->pause.time == 0)
        return ST_OK;
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_UNPAUSED, activity_unpaused, state_ActivityUnpaused,
                 .scheduled_event_id = id, .resets_attempts = input->reset_attempts,
                 .resets_heartbeat = input->reset_heartbeat);
    draft->row_changed = true;
    if (activity->started_time == 0)
        activity_reschedule(draft, id, jittered(draft, input->jitter));
    return ST_OK;
}

void decide_activity_unpause(const struct execution *live, struct workflow_request *request, struct env *env,
                             struct decision *decision)
{
    const struct workflowservice_UnpauseActivityRequest *input = request->input;
    struct match match = match_of(input->activity_case == 4, input->id, input->activity_case == 5,
                                  input->type);
    for_each(live, request, env, decision, match, unpause_one);
    request->response = ARENA_NEW(request->base.arena, struct workflowservice_UnpauseActivityResponse);
}

/* --- options, reset --- */

/* Replaces the options of one activity; what waits is offered again, on the queue and at the time that are right now. */
static void change_options(struct draft *draft, int64_t id, const struct activity_ActivityOptions *options,
                           bool are_original)
{
    const struct activity *activity = execution_activity(draft->state, id);
    int64_t                time = activity->scheduled_time;
    struct bytes policy = pb_encode_arena(&pb_common_RetryPolicy, options->retry_policy, draft->arena);
    if (activity->attempt > 1 && !bytes_equal(policy, activity->retry_policy))
        time = time_add(activity->last_attempt_complete_time,
                        retry_delay(policy, activity->attempt - 1, draft->arena));
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_OPTIONS, activity_options_changed, state_ActivityOptionsChanged,
                 .scheduled_event_id = id,
                 .options = pb_encode_arena(&pb_activity_ActivityOptions, options, draft->arena),
                 .are_original = are_original);
    activity = execution_activity(draft->state, id);
    if (activity->started_time == 0 && !activity_is_held(draft->state, activity))
        activity_reschedule(draft, id, time);
}

/* False: they are those that it was scheduled with anyway. */
static bool original_options(const struct draft *draft, const struct activity *activity,
                             struct activity_ActivityOptions *ret_options)
{
    struct error error;
    return activity->original_options.size != 0 &&
           pb_decode(&pb_activity_ActivityOptions, arena_copy(draft->arena, activity->original_options),
                     draft->arena, ret_options, &error) == ST_OK;
}

static enum status reset_one(struct draft *draft, int64_t id, struct workflow_request *request)
{
    const struct workflowservice_ResetActivityRequest *input = request->input;
    const struct activity                             *activity = execution_activity(draft->state, id);
    struct activity_ActivityOptions                    options;
    bool                                               was_paused = activity->pause.time != 0;
    if (input->restore_original_options && original_options(draft, activity, &options))
        change_options(draft, id, &options, true);
    DRAFT_CHANGE(draft, CHANGE_ACTIVITY_RESET, activity_reset, state_ActivityReset, .scheduled_event_id = id,
                 .resets_heartbeat = input->reset_heartbeat);
    if (was_paused && !input->keep_paused) {
        DRAFT_CHANGE(draft, CHANGE_ACTIVITY_UNPAUSED, activity_unpaused, state_ActivityUnpaused,
                     .scheduled_event_id = id);
        draft->row_changed = true;
    }
    activity = execution_activity(draft->state, id);
    if (activity->started_time == 0 && activity->pause.time == 0)
        activity_reschedule(draft, id, jittered(draft, input->jitter));
    return ST_OK;
}

void decide_activity_reset(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision)
{
    const struct workflowservice_ResetActivityRequest *input = request->input;
    struct match match = match_of(input->activity_case == 4, input->id, input->activity_case == 5,
                                  input->type);
    for_each(live, request, env, decision, match, reset_one);
    request->response = ARENA_NEW(request->base.arena, struct workflowservice_ResetActivityResponse);
}

static enum status update_one(struct draft *draft, int64_t id, struct workflow_request *request)
{
    const struct workflowservice_UpdateActivityOptionsRequest *input = request->input;
    struct workflowservice_UpdateActivityOptionsResponse      *response = request->response;
    const struct activity           *activity = execution_activity(draft->state, id);
    struct activity_ActivityOptions *options = activity_options(activity, draft->arena);
    if (input->restore_original) {
        if (original_options(draft, activity, options))
            change_options(draft, id, options, true);
    } else {
        enum status status = ST_OK;
        for (size_t i = 0; status == ST_OK && i < input->update_mask->paths_count; i++)
            status = merge_path(options, input->activity_options, input->update_mask->paths[i], draft->arena,
                                &request->base.error);
        if (status == ST_OK)
            status = options_complete(draft, activity, options, &request->base.error);
        if (status != ST_OK)
            return status;
        change_options(draft, id, options, false);
    }
    response->activity_options = options;
    return ST_OK;
}

void decide_activity_update_options(const struct execution *live, struct workflow_request *request,
                                    struct env *env, struct decision *decision)
{
    const struct workflowservice_UpdateActivityOptionsRequest *input = request->input;
    struct match match = match_of(input->activity_case == 6, input->id, input->activity_case == 7,
                                  input->type);
    request->response = ARENA_NEW(request->base.arena, struct workflowservice_UpdateActivityOptionsResponse);
    for_each(live, request, env, decision, match, update_one);
}
