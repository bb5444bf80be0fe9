/* retry.c: whether and when a failed attempt is made again. */
#include "engine/retry.h"
#include "base/mutant.h"

#include <math.h>

#include "engine/event.h"

static bool listed(const struct common_RetryPolicy *policy, struct bytes type)
{
    for (size_t i = 0; i < policy->non_retryable_error_types_count; i++)
        if (bytes_equal(policy->non_retryable_error_types[i], type))
            return true;
    return false;
}

/* Only the outermost failure counts. */
static bool retryable(const struct common_RetryPolicy *policy, const struct failure_Failure *failure)
{
    switch (failure->failure_info_case) {
    case 5: /* application */
        return (MUTANT(retry_of_final_failure) || !failure->application_failure_info->non_retryable) &&
               !listed(policy, failure->application_failure_info->type);
    case 6: /* timeout */
        switch (failure->timeout_failure_info->timeout_type) {
        case enums_TIMEOUT_TYPE_START_TO_CLOSE:
            return !listed(policy, BYTES("TemporalTimeout:StartToClose"));
        case enums_TIMEOUT_TYPE_HEARTBEAT:
            return !listed(policy, BYTES("TemporalTimeout:Heartbeat"));
        default:
            return false;
        }
    case 7: /* canceled */
    case 8: /* terminated */
        return false;
    case 9: /* server */
        return !failure->server_failure_info->non_retryable;
    default:
        return true;
    }
}

static int64_t backoff_of(const struct common_RetryPolicy *policy, int32_t attempt)
{
    int64_t first = duration_ns(policy->initial_interval);
    int64_t longest = duration_ns(policy->maximum_interval);
    double  delay = (double)first * pow(policy->backoff_coefficient, (double)(attempt - 1));
    if (longest == 0)
        longest = INT64_MAX / 4;
    /* The comparison is false for NaN as well, and for what does not fit. */
    return MUTANT(retry_at_once) ? 0 : delay < (double)longest ? (int64_t)delay : longest;
}

int64_t retry_delay(struct bytes encoded, int32_t attempt, struct arena *arena)
{
    struct common_RetryPolicy policy = { 0 };
    struct error              error;
    if (encoded.size == 0 || pb_decode(&pb_common_RetryPolicy, encoded, arena, &policy, &error) != ST_OK)
        return 0;
    return backoff_of(&policy, attempt);
}

struct retry_answer retry_decide(const struct retry_question *question, struct arena *arena)
{
    struct common_RetryPolicy policy = { 0 };
    struct failure_Failure    failure = { 0 };
    struct error              error;
    if (question->cancel_requested)
        return (struct retry_answer){ .state = enums_RETRY_STATE_CANCEL_REQUESTED };
    if (question->policy.size == 0 ||
        pb_decode(&pb_common_RetryPolicy, question->policy, arena, &policy, &error) != ST_OK)
        return (struct retry_answer){ .state = enums_RETRY_STATE_RETRY_POLICY_NOT_SET };
    if (question->failure.size != 0) {
        if (pb_decode(&pb_failure_Failure, question->failure, arena, &failure, &error) != ST_OK ||
            !retryable(&policy, &failure))
            return (struct retry_answer){ .state = enums_RETRY_STATE_NON_RETRYABLE_FAILURE };
    }
    if (question->is_paused)
        return (struct retry_answer){ .state = enums_RETRY_STATE_IN_PROGRESS };
    if (policy.maximum_attempts > 0 && !MUTANT(retries_without_end) &&
        question->attempt >= policy.maximum_attempts)
        return (struct retry_answer){ .state = enums_RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED };
    int64_t delay = backoff_of(&policy, question->attempt);
    if (failure.failure_info_case == 5 && failure.application_failure_info->next_retry_delay != NULL) {
        delay = MAX(duration_ns(failure.application_failure_info->next_retry_delay), 0);
        int64_t longest = duration_ns(policy.maximum_interval);
        if (question->caps_delay && longest != 0)
            delay = MIN(delay, longest);
    }
    if (question->expiration != 0 && time_add(question->now, delay) > question->expiration)
        return (struct retry_answer){ .state = enums_RETRY_STATE_TIMEOUT };
    return (struct retry_answer){ .state = enums_RETRY_STATE_IN_PROGRESS, .delay = delay };
}

/* A type that begins as those of timeouts do, and is none of them: it would never match anything. */
static bool is_unknown_timeout(struct bytes type)
{
    return bytes_starts_with(type, BYTES("TemporalTimeout:")) &&
           !bytes_equal(type, BYTES("TemporalTimeout:StartToClose")) &&
           !bytes_equal(type, BYTES("TemporalTimeout:ScheduleToStart")) &&
           !bytes_equal(type, BYTES("TemporalTimeout:ScheduleToClose")) &&
           !bytes_equal(type, BYTES("TemporalTimeout:Heartbeat"));
}

enum status retry_policy_complete(struct common_RetryPolicy *policy, struct arena *arena, struct error *error)
{
    if (policy->initial_interval == NULL || duration_ns(policy->initial_interval) == 0)
        policy->initial_interval = duration_of_ns(arena, NS_PER_S);
    if (policy->backoff_coefficient == 0)
        policy->backoff_coefficient = 2.0;
    int64_t first = duration_ns(policy->initial_interval);
    if (policy->maximum_interval == NULL || duration_ns(policy->maximum_interval) == 0)
        policy->maximum_interval = duration_of_ns(arena, first > INT64_MAX / 100 ? INT64_MAX : 100 * first);
    if (policy->maximum_attempts == 1)
        return ST_OK; /* there is no second attempt for the rest to speak of */
    if (first < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "InitialInterval cannot be negative on retry policy.");
    if (!(policy->backoff_coefficient >= 1))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "BackoffCoefficient cannot be less than 1 on retry policy.");
    if (duration_ns(policy->maximum_interval) < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "MaximumInterval cannot be negative on retry policy.");
    if (duration_ns(policy->maximum_interval) < first)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "MaximumInterval cannot be less than InitialInterval on retry policy.");
    if (policy->maximum_attempts < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "MaximumAttempts cannot be negative on retry policy.");
    for (size_t i = 0; i < policy->non_retryable_error_types_count; i++)
        if (is_unknown_timeout(policy->non_retryable_error_types[i]))
            return error_set(error, ST_INVALID_ARGUMENT, "\"%.*s\" is not a kind of timeout on retry policy.",
                             BYTES_FMT(policy->non_retryable_error_types[i]));
    return ST_OK;
}
