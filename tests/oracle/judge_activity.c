/* judge_activity.c: activities: each pending once and ended once, attempts and their back-off, timeouts, retry states. */
#include <math.h>

#include "internal.h"

static const struct history_ActivityTaskScheduledEventAttributes *scheduled_of(const struct thing *activity)
{
    return activity->event->activity_task_scheduled_event_attributes;
}

/* What operators changed, events do not say: options, attempts, pauses. */
static bool is_ruled_by_events(const struct judge *judge)
{
    return judge->first != NULL &&
           !oracle_has_operated(judge->run->oracle,
                                judge->first->workflow_execution_started_event_attributes->workflow_id);
}

/* --- failures --- */

static bool decode_failure(struct arena *arena, struct bytes wire, struct failure_Failure *ret_failure)
{
    struct error error;
    return wire.base != NULL && pb_decode(&pb_failure_Failure, wire, arena, ret_failure, &error) == ST_OK;
}

static bool is_listed(const struct common_RetryPolicy *policy, struct bytes type)
{
    for (size_t i = 0; policy != NULL && i < policy->non_retryable_error_types_count; i++) {
        if (bytes_equal(policy->non_retryable_error_types[i], type))
            return true;
    }
    return false;
}

bool failure_is_retryable(struct arena *arena, struct bytes wire, const struct common_RetryPolicy *policy)
{
    struct failure_Failure failure;
    if (!decode_failure(arena, wire, &failure))
        return true;
    switch (failure.failure_info_case) {
    case 5:
        return !failure.application_failure_info->non_retryable &&
               !is_listed(policy, failure.application_failure_info->type);
    case 6:
        if (failure.timeout_failure_info->timeout_type == enums_TIMEOUT_TYPE_START_TO_CLOSE)
            return !is_listed(policy, BYTES("TemporalTimeout:StartToClose"));
        if (failure.timeout_failure_info->timeout_type == enums_TIMEOUT_TYPE_HEARTBEAT)
            return !is_listed(policy, BYTES("TemporalTimeout:Heartbeat"));
        return false;
    case 7:
    case 8:
        return false;
    case 9:
        return !failure.server_failure_info->non_retryable;
    default:
        return true;
    }
}

int64_t failure_delay(struct arena *arena, struct bytes wire)
{
    struct failure_Failure failure;
    if (!decode_failure(arena, wire, &failure) || failure.failure_info_case != 5 ||
        failure.application_failure_info->next_retry_delay == NULL)
        return -1;
    return duration_ns(failure.application_failure_info->next_retry_delay);
}

static int32_t timeout_type_of(struct arena *arena, struct bytes wire)
{
    struct failure_Failure failure;
    if (!decode_failure(arena, wire, &failure) || failure.failure_info_case != 6)
        return enums_TIMEOUT_TYPE_UNSPECIFIED;
    return failure.timeout_failure_info->timeout_type;
}

/* --- scheduled and started --- */

static void check_timeouts(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskScheduledEventAttributes *attributes =
        event->activity_task_scheduled_event_attributes;
    int64_t close = duration_ns(attributes->schedule_to_close_timeout);
    int64_t start = duration_ns(attributes->schedule_to_start_timeout);
    int64_t run = duration_ns(attributes->start_to_close_timeout);
    int64_t beat = duration_ns(attributes->heartbeat_timeout);
    if (close <= 0 && run <= 0)
        judge_fail(judge, ORACLE_ACTIVITY, event, "it has neither schedule-to-close nor start-to-close");
    if (run <= 0 || beat > run || (close > 0 && (run > close || start > close)))
        judge_fail(judge, ORACLE_ACTIVITY, event,
                   "timeouts do not fit: to close %" PRId64 ", to start %" PRId64 ", run %" PRId64
                   ", heartbeat %" PRId64,
                   close, start, run, beat);
    if (attributes->schedule_to_close_timeout == NULL || attributes->schedule_to_start_timeout == NULL ||
        attributes->start_to_close_timeout == NULL || attributes->heartbeat_timeout == NULL)
        judge_fail(judge, ORACLE_ACTIVITY, event, "a timeout is absent, not zero");
}

void judge_activity_scheduled(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskScheduledEventAttributes *attributes =
        event->activity_task_scheduled_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    LIST_FOR_EACH (other, &judge->open[THING_ACTIVITY], struct thing, link) {
        if (bytes_equal(other->name, attributes->activity_id))
            judge_fail(judge, ORACLE_ACTIVITY, event, "id '%.*s' is pending since event %" PRId64,
                       BYTES_FMT(other->name), other->event->event_id);
    }
    const struct common_RetryPolicy *policy = attributes->retry_policy;
    if (policy == NULL || duration_ns(policy->initial_interval) <= 0 || policy->backoff_coefficient < 1.0)
        judge_fail(judge, ORACLE_ACTIVITY, event, "its retry policy is not filled");
    if (attributes->activity_type == NULL || attributes->task_queue == NULL)
        judge_fail(judge, ORACLE_ACTIVITY, event, "it has no type or no task queue");
    check_timeouts(judge, event);
    judge_begin(judge, THING_ACTIVITY, event, attributes->activity_id);
}

/* The back-off before attempt `attempt`, at least: the last one; those before are not in history. */
static int64_t backoff_before(struct judge *judge, const struct common_RetryPolicy *policy, int32_t attempt,
                              struct bytes last_failure)
{
    int64_t asked = failure_delay(&judge->arena, last_failure);
    if (asked >= 0)
        return asked;
    double initial = (double)duration_ns(policy->initial_interval);
    double delay = initial * pow(policy->backoff_coefficient, attempt - 2);
    double most = (double)duration_ns(policy->maximum_interval);
    if (most > 0 && delay > most)
        delay = most;
    return delay > 9e18 ? INT64_MAX / 2 : (int64_t)delay - NS_PER_US; /* of another's rounding */
}

void judge_activity_started(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskStartedEventAttributes *attributes =
        event->activity_task_started_event_attributes;
    struct thing *activity = judge_open(judge, THING_ACTIVITY, ORACLE_ACTIVITY, event,
                                        attributes->scheduled_event_id);
    if (activity == NULL)
        return;
    if (activity->started != 0)
        judge_fail(judge, ORACLE_ACTIVITY, event, "it was started by event %" PRId64, activity->started);
    activity->started = event->event_id;
    activity->started_time = event_time(event);
    activity->started_event = event;
    const struct common_RetryPolicy *policy = scheduled_of(activity)->retry_policy;
    if (attributes->attempt < 1 ||
        (is_ruled_by_events(judge) && policy != NULL && policy->maximum_attempts > 0 &&
         attributes->attempt > policy->maximum_attempts))
        judge_fail(judge, ORACLE_ACTIVITY_ATTEMPT, event, "attempt %d of %d", attributes->attempt,
                   policy == NULL ? 0 : policy->maximum_attempts);
    int64_t waited = event_time(event) - event_time(activity->event);
    if (waited < 0)
        judge_fail(judge, ORACLE_ACTIVITY_ATTEMPT, event, "it started before it was scheduled");
    if (attributes->attempt > 1 && is_ruled_by_events(judge) && policy != NULL &&
        waited < backoff_before(judge, policy, attributes->attempt, attributes->last_failure))
        judge_fail(judge, ORACLE_ACTIVITY_ATTEMPT, event, "attempt %d came after %" PRId64 " ns",
                   attributes->attempt, waited);
    if (attributes->attempt == 1 && attributes->last_failure.size != 0 && is_ruled_by_events(judge))
        judge_fail(judge, ORACLE_ACTIVITY_ATTEMPT, event, "a first attempt after a failure");
}

/* --- ends --- */

static struct thing *end_of(struct judge *judge, const struct history_HistoryEvent *event, int64_t scheduled,
                            int64_t started)
{
    struct thing *activity = judge_open(judge, THING_ACTIVITY, ORACLE_ACTIVITY, event, scheduled);
    if (activity == NULL)
        return NULL;
    if (activity->started != started)
        judge_fail(judge, ORACLE_ACTIVITY, event, "it names Started %" PRId64 ", that is %" PRId64, started,
                   activity->started);
    if (started != 0 && event_time(event) < activity->started_time)
        judge_fail(judge, ORACLE_ACTIVITY, event, "it ended before it started");
    judge_end(judge, activity, event);
    return activity;
}

void judge_activity_completed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskCompletedEventAttributes *attributes =
        event->activity_task_completed_event_attributes;
    if (attributes->started_event_id == 0)
        judge_fail(judge, ORACLE_ACTIVITY, event, "it completed without a start");
    (void)end_of(judge, event, attributes->scheduled_event_id, attributes->started_event_id);
}

/* The reason why there is no further attempt must be true. */
static void check_retry_state(struct judge *judge, const struct history_HistoryEvent *event,
                              const struct thing *activity, int32_t state, struct bytes failure)
{
    const struct common_RetryPolicy *policy = scheduled_of(activity)->retry_policy;
    int32_t                          attempt = activity->started_event == NULL
                                                   ? 0
                                                   : activity->started_event->activity_task_started_event_attributes->attempt;
    bool                             retryable = failure_is_retryable(&judge->arena, failure, policy);
    bool exhausted = policy != NULL && policy->maximum_attempts > 0 && attempt >= policy->maximum_attempts;
    bool ruled = is_ruled_by_events(judge);
    const char *why = NULL;
    switch (state) {
    case enums_RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED:
        why = ruled && !exhausted ? "attempts were left" : NULL;
        break;
    case enums_RETRY_STATE_NON_RETRYABLE_FAILURE:
        why = retryable ? "the failure may be retried" : NULL;
        break;
    case enums_RETRY_STATE_CANCEL_REQUESTED:
        why = activity->canceling == 0 ? "nobody asked to cancel" : NULL;
        break;
    case enums_RETRY_STATE_TIMEOUT:
        why = !ruled ? NULL
              : duration_ns(scheduled_of(activity)->schedule_to_close_timeout) <= 0 &&
                      duration_ns(scheduled_of(activity)->schedule_to_start_timeout) <= 0
                  ? "there is no such timeout"
                  : NULL;
        break;
    default:
        why = "an activity that ended says why it is not retried";
    }
    if (why != NULL)
        judge_fail(judge, ORACLE_RETRY_STATE, event, "retry state %d at attempt %d: %s", state, attempt, why);
}

void judge_activity_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskFailedEventAttributes *attributes =
        event->activity_task_failed_event_attributes;
    struct thing *activity = end_of(judge, event, attributes->scheduled_event_id,
                                    attributes->started_event_id);
    if (activity == NULL)
        return;
    struct failure_Failure failure;
    bool                   is_reset = decode_failure(&judge->arena, attributes->failure, &failure) &&
                    failure.failure_info_case == 10;
    if (attributes->started_event_id == 0 && !is_reset)
        judge_fail(judge, ORACLE_ACTIVITY, event, "it failed without a start");
    if (!is_reset)
        check_retry_state(judge, event, activity, attributes->retry_state, attributes->failure);
}

/* No sooner than the timeout that it names. Schedule-to-close is decided when there is no room for another attempt. */
static void check_timeout(struct judge *judge, const struct history_HistoryEvent *event,
                          const struct thing *activity, int32_t type)
{
    const struct history_ActivityTaskScheduledEventAttributes *scheduled = scheduled_of(activity);
    bool                                                       started = activity->started != 0;
    int64_t from = started ? activity->started_time : event_time(activity->event);
    int64_t run = duration_ns(scheduled->start_to_close_timeout);
    int64_t beat = duration_ns(scheduled->heartbeat_timeout);
    int64_t close = duration_ns(scheduled->schedule_to_close_timeout);
    int64_t due;
    switch (type) {
    case enums_TIMEOUT_TYPE_START_TO_CLOSE:
        due = from + run;
        break;
    case enums_TIMEOUT_TYPE_HEARTBEAT:
        due = from + beat;
        break;
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_START:
        due = from + duration_ns(scheduled->schedule_to_start_timeout);
        break;
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
        due = event_time(activity->event) + close;
        if (started && beat > 0)
            run = MIN(beat, run);
        if (started)
            due = MIN(due, from + run);
        break;
    default:
        judge_fail(judge, ORACLE_ACTIVITY, event, "timeout type %d", type);
        return;
    }
    if (event_time(event) < due && is_ruled_by_events(judge))
        judge_fail(judge, ORACLE_TIMEOUT_EARLY, event, "timeout type %d came %" PRId64 " ns early", type,
                   due - event_time(event));
    bool needs_start = type == enums_TIMEOUT_TYPE_START_TO_CLOSE || type == enums_TIMEOUT_TYPE_HEARTBEAT;
    if ((needs_start && !started) || (type == enums_TIMEOUT_TYPE_SCHEDULE_TO_START && started))
        judge_fail(judge, ORACLE_ACTIVITY, event, "timeout type %d of an activity that was %sstarted", type,
                   started ? "" : "not ");
}

void judge_activity_timed_out(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskTimedOutEventAttributes *attributes =
        event->activity_task_timed_out_event_attributes;
    struct thing *activity = end_of(judge, event, attributes->scheduled_event_id,
                                    attributes->started_event_id);
    if (activity == NULL)
        return;
    check_timeout(judge, event, activity, timeout_type_of(&judge->arena, attributes->failure));
    check_retry_state(judge, event, activity, attributes->retry_state, attributes->failure);
}

void judge_activity_cancel_requested(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskCancelRequestedEventAttributes *attributes =
        event->activity_task_cancel_requested_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    struct thing *activity = judge_open(judge, THING_ACTIVITY, ORACLE_ACTIVITY, event,
                                        attributes->scheduled_event_id);
    if (activity == NULL)
        return;
    if (activity->canceling != 0)
        judge_fail(judge, ORACLE_ACTIVITY, event, "its cancel was requested by event %" PRId64,
                   activity->canceling);
    activity->canceling = event->event_id;
}

void judge_activity_canceled(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ActivityTaskCanceledEventAttributes *attributes =
        event->activity_task_canceled_event_attributes;
    struct thing *activity = end_of(judge, event, attributes->scheduled_event_id,
                                    attributes->started_event_id);
    if (activity != NULL &&
        (activity->canceling == 0 || attributes->latest_cancel_requested_event_id != activity->canceling))
        judge_fail(judge, ORACLE_ACTIVITY, event,
                   "it names cancel request %" PRId64 ", its cancel was requested by event %" PRId64,
                   attributes->latest_cancel_requested_event_id, activity->canceling);
}
