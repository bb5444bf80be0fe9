/* retry_test.c: whether and when an attempt is made again; what policies are refused. */
#include "engine/retry.h"

#include <math.h>

#include "base/testing.h"
#include "codec/pb_time.h"

struct fixture {
    struct arena              arena;
    struct common_RetryPolicy policy; /* complete: 1 s, 2.0, 100 s */
    struct failure_Failure    failure;
    struct retry_question     question;
    struct error              error;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){ .question = { .attempt = 1, .now = 1000 * NS_PER_S } };
    arena_init(&f->arena, SIZE_MAX);
    assert_int_equal(retry_policy_complete(&f->policy, &f->arena, &f->error), ST_OK);
}

static struct retry_answer ask(struct fixture *f)
{
    f->question.policy = pb_encode_arena(&pb_common_RetryPolicy, &f->policy, &f->arena);
    f->question.failure = pb_encode_arena(&pb_failure_Failure, &f->failure, &f->arena);
    return retry_decide(&f->question, &f->arena);
}

static struct failure_ApplicationFailureInfo *application(struct fixture *f, const char *type)
{
    f->failure.failure_info_case = 5;
    f->failure.application_failure_info = ARENA_NEW(&f->arena, struct failure_ApplicationFailureInfo);
    f->failure.application_failure_info->type = bytes_of_text(type);
    return f->failure.application_failure_info;
}

static void timeout(struct fixture *f, int32_t type)
{
    f->failure.failure_info_case = 6;
    f->failure.timeout_failure_info = ARENA_NEW(&f->arena, struct failure_TimeoutFailureInfo);
    f->failure.timeout_failure_info->timeout_type = type;
}

TEST(the_delay_grows_by_the_coefficient_up_to_the_longest)
{
    struct fixture f;
    fixture_init(&f);
    static const int64_t seconds[] = { 1, 2, 4, 8, 16, 32, 64, 100, 100 };
    for (int32_t i = 0; i < (int32_t)ARRAY_COUNT(seconds); i++) {
        f.question.attempt = i + 1;
        struct retry_answer answer = ask(&f);
        CHECK_INT(answer.state, enums_RETRY_STATE_IN_PROGRESS);
        CHECK_EQ(answer.delay, seconds[i] * NS_PER_S);
        CHECK_EQ(retry_delay(f.question.policy, i + 1, &f.arena), seconds[i] * NS_PER_S);
    }
    f.question.attempt = INT32_MAX; /* 2^(2^31) is no number of nanoseconds */
    CHECK_EQ(ask(&f).delay, 100 * NS_PER_S);
    f.policy.maximum_interval = NULL; /* policies of other makers may lack it */
    CHECK_EQ(ask(&f).delay, INT64_MAX / 4);
    CHECK_EQ(retry_delay(BYTES_EMPTY, 3, &f.arena), 0);
    CHECK_EQ(retry_delay(BYTES("\x0a\x7f"), 3, &f.arena), 0);
    arena_release(&f.arena);
}

TEST(failures_say_whether_they_are_tried_again)
{
    struct fixture f;
    fixture_init(&f);
    struct bytes types[] = { BYTES("Fatal"), BYTES("TemporalTimeout:StartToClose") };
    f.policy.non_retryable_error_types = types;
    f.policy.non_retryable_error_types_count = ARRAY_COUNT(types);
    int32_t never = enums_RETRY_STATE_NON_RETRYABLE_FAILURE, again = enums_RETRY_STATE_IN_PROGRESS;

    CHECK_INT(ask(&f).state, again); /* of no kind at all */
    application(&f, "Fatal");
    CHECK_INT(ask(&f).state, never);
    application(&f, "Other");
    CHECK_INT(ask(&f).state, again);
    application(&f, "Other")->non_retryable = true;
    CHECK_INT(ask(&f).state, never);

    timeout(&f, enums_TIMEOUT_TYPE_START_TO_CLOSE);
    CHECK_INT(ask(&f).state, never);
    timeout(&f, enums_TIMEOUT_TYPE_HEARTBEAT);
    CHECK_INT(ask(&f).state, again);
    timeout(&f, enums_TIMEOUT_TYPE_SCHEDULE_TO_START);
    CHECK_INT(ask(&f).state, never);
    timeout(&f, enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
    CHECK_INT(ask(&f).state, never);

    f.failure = (struct failure_Failure){ .failure_info_case = 7 };
    f.failure.canceled_failure_info = ARENA_NEW(&f.arena, struct failure_CanceledFailureInfo);
    CHECK_INT(ask(&f).state, never);
    f.failure = (struct failure_Failure){ .failure_info_case = 8 };
    f.failure.terminated_failure_info = ARENA_NEW(&f.arena, struct failure_TerminatedFailureInfo);
    CHECK_INT(ask(&f).state, never);
    f.failure = (struct failure_Failure){ .failure_info_case = 9 };
    f.failure.server_failure_info = ARENA_NEW(&f.arena, struct failure_ServerFailureInfo);
    CHECK_INT(ask(&f).state, again);
    f.failure.server_failure_info->non_retryable = true;
    CHECK_INT(ask(&f).state, never);

    f.question.policy = pb_encode_arena(&pb_common_RetryPolicy, &f.policy, &f.arena);
    f.question.failure = BYTES("\x0a\x7f"); /* what does not decode says nothing of being safe to repeat */
    CHECK_INT(retry_decide(&f.question, &f.arena).state, never);
    arena_release(&f.arena);
}

TEST(a_failure_may_ask_for_its_own_delay)
{
    struct fixture f;
    fixture_init(&f);
    application(&f, "Busy")->next_retry_delay = duration_of_ns(&f.arena, 500 * NS_PER_S);
    CHECK_EQ(ask(&f).delay, 500 * NS_PER_S);
    f.question.caps_delay = true;
    CHECK_EQ(ask(&f).delay, 100 * NS_PER_S);
    f.policy.maximum_interval = NULL;
    CHECK_EQ(ask(&f).delay, 500 * NS_PER_S);
    application(&f, "Busy")->next_retry_delay = duration_of_ns(&f.arena, -NS_PER_S);
    CHECK_EQ(ask(&f).delay, 0);
    arena_release(&f.arena);
}

TEST(attempts_end_by_number_time_and_cancellation)
{
    struct fixture f;
    fixture_init(&f);
    f.policy.maximum_attempts = 3;
    f.question.attempt = 2;
    CHECK_INT(ask(&f).state, enums_RETRY_STATE_IN_PROGRESS);
    f.question.attempt = 3;
    CHECK_INT(ask(&f).state, enums_RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED);
    f.question.is_paused = true; /* its next attempt is for whoever ends the pause */
    CHECK_INT(ask(&f).state, enums_RETRY_STATE_IN_PROGRESS);
    CHECK_EQ(ask(&f).delay, 0);
    f.question.is_paused = false;
    f.question.attempt = 1;
    f.question.expiration = f.question.now + NS_PER_S;
    CHECK_INT(ask(&f).state, enums_RETRY_STATE_IN_PROGRESS);
    f.question.expiration--;
    CHECK_INT(ask(&f).state, enums_RETRY_STATE_TIMEOUT);
    f.question.cancel_requested = true;
    CHECK_INT(ask(&f).state, enums_RETRY_STATE_CANCEL_REQUESTED);
    f.question.cancel_requested = false;
    f.question.policy = BYTES_EMPTY;
    CHECK_INT(retry_decide(&f.question, &f.arena).state, enums_RETRY_STATE_RETRY_POLICY_NOT_SET);
    f.question.policy = BYTES("\x0a\x7f");
    CHECK_INT(retry_decide(&f.question, &f.arena).state, enums_RETRY_STATE_RETRY_POLICY_NOT_SET);
    arena_release(&f.arena);
}

TEST(defaults_are_filled_in)
{
    struct fixture f;
    fixture_init(&f);
    CHECK_EQ(duration_ns(f.policy.initial_interval), NS_PER_S);
    CHECK(f.policy.backoff_coefficient == 2.0);
    CHECK_EQ(duration_ns(f.policy.maximum_interval), 100 * NS_PER_S);
    f.policy = (struct common_RetryPolicy){ .initial_interval = duration_of_ns(&f.arena, 0),
                                            .maximum_interval = duration_of_ns(&f.arena, 0) };
    CHECK_INT(retry_policy_complete(&f.policy, &f.arena, &f.error), ST_OK);
    CHECK_EQ(duration_ns(f.policy.initial_interval), NS_PER_S);
    CHECK_EQ(duration_ns(f.policy.maximum_interval), 100 * NS_PER_S);
    f.policy = (struct common_RetryPolicy){ .initial_interval = duration_of_ns(&f.arena, INT64_MAX / 50) };
    CHECK_INT(retry_policy_complete(&f.policy, &f.arena, &f.error), ST_OK);
    CHECK_EQ(duration_ns(f.policy.maximum_interval), INT64_MAX);
    arena_release(&f.arena);
}

TEST(policies_that_make_no_sense_are_refused_by_what_is_wrong)
{
    struct fixture f;
    fixture_init(&f);
    struct google_Duration *minus = duration_of_ns(&f.arena, -1),
                           *second = duration_of_ns(&f.arena, NS_PER_S),
                           *hour = duration_of_ns(&f.arena, 3600 * NS_PER_S);
    static struct bytes unknown[] = { BYTES("TemporalTimeout:Teatime") };
    static struct bytes known[] = { BYTES("TemporalTimeout:StartToClose"),
                                    BYTES("TemporalTimeout:ScheduleToStart"),
                                    BYTES("TemporalTimeout:ScheduleToClose"),
                                    BYTES("TemporalTimeout:Heartbeat"), BYTES("Teatime") };
    const struct {
        struct common_RetryPolicy policy;
        const char               *said;
    } rows[] = {
        { { .initial_interval = minus }, "InitialInterval cannot be negative" },
        { { .backoff_coefficient = 0.5 }, "BackoffCoefficient cannot be less than 1" },
        { { .backoff_coefficient = NAN }, "BackoffCoefficient cannot be less than 1" },
        { { .maximum_interval = minus }, "MaximumInterval cannot be negative" },
        { { .initial_interval = hour, .maximum_interval = second }, "less than InitialInterval" },
        { { .maximum_attempts = -1 }, "MaximumAttempts cannot be negative" },
        { { .non_retryable_error_types = unknown, .non_retryable_error_types_count = 1 }, "Teatime" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        f.policy = rows[i].policy;
        CHECK_INT(retry_policy_complete(&f.policy, &f.arena, &f.error), ST_INVALID_ARGUMENT);
        if (strstr(f.error.message, rows[i].said) == NULL)
            fail_msg("%s: %s", rows[i].said, f.error.message);
        f.policy.maximum_attempts = 1; /* with one attempt the rest does not matter */
        CHECK_INT(retry_policy_complete(&f.policy, &f.arena, &f.error), ST_OK);
    }
    f.policy = (struct common_RetryPolicy){ .non_retryable_error_types = known,
                                            .non_retryable_error_types_count = ARRAY_COUNT(known) };
    CHECK_INT(retry_policy_complete(&f.policy, &f.arena, &f.error), ST_OK);
    arena_release(&f.arena);
}
