/* history_test.c: histories as clients know them, event by event. */
#include "engine/engine_harness.h"

#define P                                                                                                    \
    "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_TASK_SCHEDULED{queue,1}\n3 WORKFLOW_TASK_STARTED{2}\n"         \
    "4 WORKFLOW_TASK_COMPLETED{2,3}"

/* Started, and the first task is in a worker's hands. */
static struct world *begun(struct task_ref *ret_token)
{
    struct world *w = world_new(1);
    world_start(w);
    *ret_token = world_poll(w);
    return w;
}

/* An activity "a" is scheduled by event 5. */
static struct world *with_activity(struct activity_ref *ret)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    w->request.input = w->request.input;
    CHECK_INT(world_send(w), ST_OK);
    *ret = world_poll_activity(w);
    return w;
}

TEST(activity_success)
{
    struct activity_ref activity;
    struct world       *w = with_activity(&activity);
    CHECK_TEXT(world_history(w, 1), P "\n5 ACTIVITY_TASK_SCHEDULED{a,wftc 4}");
    int64_t started = w->now;
    world_advance(w, NS_PER_S);
    CHECK_INT(world_activity_complete(w, activity), ST_OK);
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_STARTED{5,attempt 1}\n7 ACTIVITY_TASK_COMPLETED{5,6}\n"
                                    "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK(event_time(world_event(w, world_current(w), 6)) == started);
    CHECK(event_time(world_event(w, world_current(w), 7)) == w->now);
    const struct history_ActivityTaskScheduledEventAttributes *scheduled = event_attributes(
        world_event(w, world_current(w), 5));
    CHECK(scheduled->schedule_to_close_timeout != NULL && scheduled->schedule_to_close_timeout->seconds == 0);
    CHECK(scheduled->heartbeat_timeout != NULL && scheduled->start_to_close_timeout->seconds == 10);
    CHECK_INT(scheduled->retry_policy->initial_interval->seconds, 1);
    CHECK_INT(scheduled->retry_policy->maximum_interval->seconds, 100);
    CHECK(scheduled->retry_policy->backoff_coefficient == 2.0);
    /* the same completion again */
    CHECK_INT(world_activity_complete(w, activity), ST_NOT_FOUND);
    CHECK_BYTES(w->request.base.error.detail_type, BYTES("temporal.api.errordetails.v1.NotFoundFailure"));
    world_free(w);
}

TEST(activity_retry_then_success)
{
    struct activity_ref activity;
    struct world       *w = with_activity(&activity);
    CHECK_INT(world_activity_fail(w, activity, app_failure(&w->keep, "f1")), ST_OK);
    CHECK(world_find_ready(w, STORE_TASK_ACTIVITY) == NULL);
    CHECK_INT(world_activity_complete(w, activity), ST_NOT_FOUND);
    world_advance(w, NS_PER_S - 1);
    CHECK_INT(world_due(w), 0);
    world_advance(w, 1);
    CHECK_INT(world_due(w), 1);
    activity = world_poll_activity(w);
    CHECK_INT(activity.task.attempt, 2);
    CHECK_INT(world_activity_complete(w, activity), ST_OK);
    CHECK_TEXT(world_history(w, 6),
               "6 ACTIVITY_TASK_STARTED{5,attempt 2,last f1}\n7 ACTIVITY_TASK_COMPLETED{5,6}\n"
               "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

static struct world *with_retries(struct activity_ref *ret, int32_t attempts, int64_t schedule_to_close,
                                  int64_t schedule_to_start, int64_t heartbeat)
{
    struct task_ref                                       token;
    struct world                                         *w = begun(&token);
    struct command_ScheduleActivityTaskCommandAttributes *attributes =
        command_activity(w, world_completion(w, token), "a");
    attributes->retry_policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    attributes->retry_policy->maximum_attempts = attempts;
    if (schedule_to_close != 0)
        attributes->schedule_to_close_timeout = duration_of_ns(&w->arena, schedule_to_close);
    if (schedule_to_start != 0)
        attributes->schedule_to_start_timeout = duration_of_ns(&w->arena, schedule_to_start);
    if (heartbeat != 0)
        attributes->heartbeat_timeout = duration_of_ns(&w->arena, heartbeat);
    CHECK_INT(world_send(w), ST_OK);
    if (ret != NULL)
        *ret = world_poll_activity(w);
    return w;
}

TEST(activity_retries_exhausted)
{
    struct activity_ref activity;
    struct world       *w = with_retries(&activity, 2, 0, 0, 0);
    CHECK_INT(world_activity_fail(w, activity, app_failure(&w->keep, "f1")), ST_OK);
    world_next(w);
    activity = world_poll_activity(w);
    CHECK_INT(world_activity_fail(w, activity, app_failure(&w->keep, "f2")), ST_OK);
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_STARTED{5,attempt 2,last f1}\n"
                                    "7 ACTIVITY_TASK_FAILED{5,6,MAXIMUM_ATTEMPTS_REACHED,f2}\n"
                                    "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(activity_schedule_to_start_timeout)
{
    struct world *w = with_retries(NULL, 0, 0, 3 * NS_PER_S, 0);
    world_next(w);
    CHECK_INT(w->now - WORLD_T0, 3 * NS_PER_S);
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_TIMED_OUT{5,0,TIMEOUT,SCHEDULE_TO_START}\n"
                                    "7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(activity_start_to_close_and_heartbeat_timeouts)
{
    for (int heartbeat = 0; heartbeat <= 1; heartbeat++) {
        struct activity_ref activity;
        struct world       *w = with_retries(&activity, 2, 0, 0, heartbeat ? 2 * NS_PER_S : 0);
        world_next(w);
        CHECK_INT(w->now - WORLD_T0, (heartbeat ? 2 : 10) * NS_PER_S);
        world_next(w); /* the backoff */
        activity = world_poll_activity(w);
        CHECK_INT(activity.task.attempt, 2);
        world_next(w);
        CHECK_TEXT(
            world_history(w, 6),
            heartbeat
                ? "6 ACTIVITY_TASK_STARTED{5,attempt 2,last HEARTBEAT}\n"
                  "7 ACTIVITY_TASK_TIMED_OUT{5,6,MAXIMUM_ATTEMPTS_REACHED,HEARTBEAT<-HEARTBEAT}\n"
                  "8 WORKFLOW_TASK_SCHEDULED{queue,1}"
                : "6 ACTIVITY_TASK_STARTED{5,attempt 2,last START_TO_CLOSE}\n"
                  "7 ACTIVITY_TASK_TIMED_OUT{5,6,MAXIMUM_ATTEMPTS_REACHED,START_TO_CLOSE<-START_TO_CLOSE}\n"
                  "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
        world_free(w);
    }
}

TEST(activity_schedule_to_close_while_running_and_while_waiting)
{
    struct activity_ref activity;
    struct world       *w = with_retries(&activity, 0, 4 * NS_PER_S, 0, 0);
    CHECK_INT(world_activity_fail(w, activity, app_failure(&w->keep, "f1")), ST_OK);
    world_next(w);
    activity = world_poll_activity(w);
    world_next(w);
    CHECK_INT(w->now - WORLD_T0, 4 * NS_PER_S);
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_STARTED{5,attempt 2,last f1}\n"
                                    "7 ACTIVITY_TASK_TIMED_OUT{5,6,TIMEOUT,SCHEDULE_TO_CLOSE<-f1}\n"
                                    "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);

    w = with_retries(&activity, 0, 4 * NS_PER_S, 0, 0);
    world_advance(w, NS_PER_S / 2);
    CHECK_INT(world_activity_fail(w, activity, app_failure(&w->keep, "f1")), ST_OK);
    world_next(w); /* waits for a poller, who does not come */
    world_next(w);
    CHECK_INT(w->now - WORLD_T0, 4 * NS_PER_S);
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_TIMED_OUT{5,0,TIMEOUT,SCHEDULE_TO_CLOSE<-f1}\n"
                                    "7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(of_an_attempt_and_its_activity_that_end_together_the_activity_is_told)
{
    struct activity_ref activity;
    struct world       *w = with_retries(&activity, 1, 10 * NS_PER_S, 0, 0);
    world_next(w); /* start to close is 10 s as well, and the attempt began when the activity did */
    CHECK_INT(w->now - WORLD_T0, 10 * NS_PER_S);
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_STARTED{5,attempt 1}\n"
                                    "7 ACTIVITY_TASK_TIMED_OUT{5,6,TIMEOUT,SCHEDULE_TO_CLOSE}\n"
                                    "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(activity_without_room_to_retry)
{
    struct activity_ref activity;
    struct world       *w = with_retries(&activity, 0, 10 * NS_PER_S + 1, 0, 0);
    world_next(w); /* start to close, 10 s: the next attempt would begin after the end */
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_STARTED{5,attempt 1}\n"
                                    "7 ACTIVITY_TASK_TIMED_OUT{5,6,TIMEOUT,SCHEDULE_TO_CLOSE}\n"
                                    "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
    w = with_retries(&activity, 0, NS_PER_S / 2, 0, 0);
    CHECK_INT(world_activity_fail(w, activity, app_failure(&w->keep, "f1")), ST_OK);
    CHECK_TEXT(world_history(w, 6),
               "6 ACTIVITY_TASK_STARTED{5,attempt 1}\n7 ACTIVITY_TASK_FAILED{5,6,TIMEOUT,f1}\n"
               "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(activity_cancelled_before_it_started)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_cancel_activity(w, input, 5);
    command_marker(w, input);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 5),
               "5 ACTIVITY_TASK_SCHEDULED{a,wftc 4}\n6 WORKFLOW_EXECUTION_SIGNALED{s}\n"
               "7 WORKFLOW_TASK_SCHEDULED{queue,1}\n8 WORKFLOW_TASK_STARTED{7}\n"
               "9 WORKFLOW_TASK_COMPLETED{7,8}\n10 ACTIVITY_TASK_CANCEL_REQUESTED{5,wftc 9}\n"
               "11 MARKER_RECORDED\n12 ACTIVITY_TASK_CANCELED{5,0,requested 10}\n"
               "13 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(activity_cancelled_while_it_runs)
{
    struct activity_ref activity;
    struct world       *w = with_activity(&activity);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_CANCEL, activity, BYTES_EMPTY), ST_INVALID_ARGUMENT);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    struct task_ref token = world_poll(w);
    command_cancel_activity(w, world_completion(w, token), 5);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, activity, BYTES_EMPTY), ST_OK);
    CHECK(w->request.cancel_requested);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_CANCEL, activity, BYTES_EMPTY), ST_OK);
    CHECK_TEXT(world_history(w, 9),
               "9 WORKFLOW_TASK_COMPLETED{7,8}\n10 ACTIVITY_TASK_CANCEL_REQUESTED{5,wftc 9}\n"
               "11 ACTIVITY_TASK_STARTED{5,attempt 1}\n12 ACTIVITY_TASK_CANCELED{5,11,requested 10}\n"
               "13 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(timers_fire_and_are_cancelled)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_timer(w, world_completion(w, token), "t", NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    world_advance(w, NS_PER_S - 1);
    CHECK_INT(world_due(w), 0);
    world_advance(w, 1);
    CHECK_INT(world_due(w), 1);
    token = world_poll(w);
    command_timer(w, world_completion(w, token), "u", 3600 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    token = world_poll(w);
    command_cancel_timer(w, world_completion(w, token), "u");
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 1),
               P "\n5 TIMER_STARTED{t,wftc 4}\n6 TIMER_FIRED{t,5}\n"
                 "7 WORKFLOW_TASK_SCHEDULED{queue,1}\n8 WORKFLOW_TASK_STARTED{7}\n"
                 "9 WORKFLOW_TASK_COMPLETED{7,8}\n10 TIMER_STARTED{u,wftc 9}\n"
                 "11 WORKFLOW_EXECUTION_SIGNALED{s}\n12 WORKFLOW_TASK_SCHEDULED{queue,1}\n"
                 "13 WORKFLOW_TASK_STARTED{12}\n14 WORKFLOW_TASK_COMPLETED{12,13}\n"
                 "15 TIMER_CANCELED{u,10,wftc 14}");
    CHECK(execution_next_due(world_state(w)) == TIME_NEVER);
    world_free(w);
}

TEST(timers_due_together_fire_in_one_transition_by_time_and_start)
{
    struct task_ref                                             token;
    struct world                                               *w = begun(&token);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_timer(w, input, "late", 2 * NS_PER_S);
    command_timer(w, input, "x", NS_PER_S);
    command_timer(w, input, "y", NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    world_advance(w, 5 * NS_PER_S);
    CHECK_INT(world_due(w), 1);
    CHECK_TEXT(world_history(w, 8), "8 TIMER_FIRED{x,6}\n9 TIMER_FIRED{y,7}\n10 TIMER_FIRED{late,5}\n"
                                    "11 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(signal_while_the_task_is_in_flight)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_state(w)->next_event_id, 4);
    command_timer(w, world_completion(w, token), "t", NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 4), "4 WORKFLOW_TASK_COMPLETED{2,3}\n5 TIMER_STARTED{t,wftc 4}\n"
                                    "6 WORKFLOW_EXECUTION_SIGNALED{s}\n7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(flush_order)
{
    struct task_ref                                             token;
    struct world                                               *w = begun(&token);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_activity(w, input, "a");
    command_activity(w, input, "b");
    command_timer(w, input, "t", 2 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref a = world_poll_activity(w), b = world_poll_activity(w);
    CHECK_INT(world_signal(w, "s0", ""), ST_OK);
    token = world_poll(w); /* 8 signaled, 9, 10 */
    CHECK_INT(world_activity_complete(w, b), ST_OK);
    CHECK_INT(world_signal(w, "s1", ""), ST_OK);
    world_advance(w, 2 * NS_PER_S);
    world_due(w);
    CHECK_INT(world_signal(w, "s2", ""), ST_OK);
    CHECK_INT(world_activity_fail(w, a, app_failure_full(&w->keep, "f", true, -1)), ST_OK);
    CHECK_INT(world_cancel(w), ST_OK);
    CHECK_INT(world_signal(w, "s3", ""), ST_OK);
    command_marker(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 11),
               "11 WORKFLOW_TASK_COMPLETED{9,10}\n12 MARKER_RECORDED\n13 ACTIVITY_TASK_STARTED{6,attempt 1}\n"
               "14 WORKFLOW_EXECUTION_SIGNALED{s1}\n15 TIMER_FIRED{t,7}\n16 WORKFLOW_EXECUTION_SIGNALED{s2}\n"
               "17 ACTIVITY_TASK_STARTED{5,attempt 1}\n18 WORKFLOW_EXECUTION_CANCEL_REQUESTED\n"
               "19 WORKFLOW_EXECUTION_SIGNALED{s3}\n20 ACTIVITY_TASK_COMPLETED{6,13}\n"
               "21 ACTIVITY_TASK_FAILED{5,17,NON_RETRYABLE_FAILURE,f}\n22 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(closing_with_something_buffered_is_unhandled)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK_TEXT(world_history(w, 4), "4 WORKFLOW_TASK_FAILED{2,3,UNHANDLED_COMMAND,worker,server}\n"
                                    "5 WORKFLOW_EXECUTION_SIGNALED{s}\n6 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_signal(w, "waits", ""), ST_OK); /* the retry is not in a worker's hands yet */
    token = world_poll(w);
    CHECK_INT(world_signal(w, "busy", ""), ST_RESOURCE_EXHAUSTED);
    CHECK_BYTES(w->request.base.error.detail_type,
                BYTES("temporal.api.errordetails.v1.ResourceExhaustedFailure"));
    CHECK_INT(world_cancel(w), ST_OK); /* is let through, and blocks again */
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    token = world_poll(w);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_state(w)->status, enums_WORKFLOW_EXECUTION_STATUS_COMPLETED);
    world_free(w);
}

TEST(a_timer_that_fired_unseen_can_be_cancelled_and_does_not_block_closing)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_timer(w, world_completion(w, token), "t", NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    token = world_poll(w);
    world_advance(w, NS_PER_S);
    world_due(w);
    CHECK_INT(world_state(w)->buffer_count, 1);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_cancel_timer(w, input, "t");
    command_complete(w, input);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 9), "9 WORKFLOW_TASK_COMPLETED{7,8}\n10 TIMER_CANCELED{t,5,wftc 9}\n"
                                    "11 WORKFLOW_EXECUTION_COMPLETED{wftc 9}");
    world_free(w);
}

TEST(failing_tasks_are_written_once)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    CHECK_TEXT(world_history(w, 4),
               "4 WORKFLOW_TASK_FAILED{2,3,WORKFLOW_WORKER_UNHANDLED_FAILURE,worker,boom}");
    for (int attempt = 2; attempt <= 4; attempt++) {
        token = world_poll(w);
        CHECK_INT(token.attempt, attempt);
        CHECK_INT(token.scheduled_event_id, 5);
        CHECK_INT(token.started_event_id, 6);
        CHECK_INT(w->request.delivery.last_event_id, 4);
        CHECK_INT(w->request.delivery.virtual_event_count, 2);
        if (attempt < 4)
            CHECK_INT(world_task_fail(w, token), ST_OK);
    }
    CHECK_INT(world_state(w)->next_event_id, 5);
    CHECK(world_state(w)->task.timeout > 10 * NS_PER_S && world_state(w)->task.timeout <= 15 * NS_PER_S);
    int64_t size = world_state(w)->history_size, started = world_state(w)->task.started_time;
    world_advance(w, NS_PER_S);
    world_complete_empty(w, token);
    CHECK_TEXT(world_history(w, 5), "5 WORKFLOW_TASK_SCHEDULED{queue,4}\n6 WORKFLOW_TASK_STARTED{5}\n"
                                    "7 WORKFLOW_TASK_COMPLETED{5,6}");
    const struct history_HistoryEvent *event = world_event(w, world_current(w), 6);
    CHECK(event_time(event) == started);
    CHECK_INT(event->workflow_task_started_event_attributes->history_size_bytes, size);
    world_free(w);
}

TEST(what_is_delivered_of_a_transient_task_is_what_is_stored)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    token = world_poll(w);
    struct bytes scheduled = arena_copy(&w->keep, w->request.delivery.virtual_events[0]);
    struct bytes started = arena_copy(&w->keep, w->request.delivery.virtual_events[1]);
    world_advance(w, NS_PER_S);
    world_complete_empty(w, token);
    CHECK_BYTES(world_current(w)->events[4], scheduled);
    CHECK_BYTES(world_current(w)->events[5], started);
    world_free(w);
}

TEST(a_sticky_task_fails_once_without_counting)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    completion_sticky(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    token = world_poll(w);
    CHECK_INT(w->request.delivery.first_event_id, 4);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    token = world_poll(w);
    CHECK_INT(w->request.delivery.first_event_id, 1);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    CHECK_TEXT(
        world_history(w, 5),
        "5 WORKFLOW_EXECUTION_SIGNALED{s}\n6 WORKFLOW_TASK_SCHEDULED{sticky,1}\n7 WORKFLOW_TASK_STARTED{6}\n"
        "8 WORKFLOW_TASK_FAILED{6,7,WORKFLOW_WORKER_UNHANDLED_FAILURE,worker,boom}\n"
        "9 WORKFLOW_TASK_SCHEDULED{queue,1}\n10 WORKFLOW_TASK_STARTED{9}\n"
        "11 WORKFLOW_TASK_FAILED{9,10,WORKFLOW_WORKER_UNHANDLED_FAILURE,worker,boom}");
    token = world_poll(w);
    CHECK_INT(token.attempt, 2);
    world_free(w);
}

TEST(a_sticky_task_that_nobody_takes_goes_to_the_normal_queue)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    completion_sticky(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_BYTES(world_find_ready(w, STORE_TASK_WORKFLOW)->queue, BYTES("sticky"));
    CHECK_BYTES(world_find_ready(w, STORE_TASK_WORKFLOW)->normal_queue, BYTES("queue"));
    world_next(w);
    CHECK_INT(w->now - WORLD_T0, 5 * NS_PER_S);
    CHECK_TEXT(world_history(w, 6), "6 WORKFLOW_TASK_SCHEDULED{sticky,1}\n"
                                    "7 WORKFLOW_TASK_TIMED_OUT{6,0,SCHEDULE_TO_START}\n"
                                    "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(cancel_and_terminate)
{
    struct world *w = world_new(1);
    world_start(w);
    CHECK_INT(world_cancel(w), ST_OK);
    CHECK_INT(world_cancel(w), ST_OK); /* the first one wins */
    struct task_ref         token = world_poll(w);
    struct command_Command *command = command_add(world_completion(w, token),
                                                  enums_COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION);
    command->attributes_case = 8;
    command->cancel_workflow_execution_command_attributes =
        ARENA_NEW(&w->arena, struct command_CancelWorkflowExecutionCommandAttributes);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 1), "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_TASK_SCHEDULED{queue,1}\n"
                                    "3 WORKFLOW_EXECUTION_CANCEL_REQUESTED\n4 WORKFLOW_TASK_STARTED{2}\n"
                                    "5 WORKFLOW_TASK_COMPLETED{2,4}\n6 WORKFLOW_EXECUTION_CANCELED");
    CHECK_INT(world_cancel(w), ST_OK);
    CHECK_INT(world_terminate(w), ST_NOT_FOUND);
    world_free(w);

    w = begun(&token);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_TEXT(world_history(w, 4),
               "4 WORKFLOW_TASK_FAILED{2,3,FORCE_CLOSE_COMMAND,history-service}\n"
               "5 WORKFLOW_EXECUTION_SIGNALED{s}\n6 WORKFLOW_EXECUTION_TERMINATED{client}");
    CHECK_INT(world_signal(w, "s", ""), ST_NOT_FOUND);
    world_free(w);

    w = world_new(1);
    world_start(w);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_TEXT(world_history(w, 2),
               "2 WORKFLOW_TASK_SCHEDULED{queue,1}\n3 WORKFLOW_EXECUTION_TERMINATED{client}");
    world_free(w);
}

TEST(run_and_execution_timeouts)
{
    struct world                                         *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *start = world_start_request(w, "r");
    start->workflow_run_timeout = duration_of_ns(&w->arena, 30 * NS_PER_S);
    CHECK(world_start_send(w) != NULL);
    world_advance(w, 25 * NS_PER_S);
    world_poll(w);
    world_advance(w, 5 * NS_PER_S);
    world_due(w);
    CHECK_TEXT(world_history(w, 3), "3 WORKFLOW_TASK_STARTED{2}\n"
                                    "4 WORKFLOW_TASK_FAILED{2,3,FORCE_CLOSE_COMMAND,history-service}\n"
                                    "5 WORKFLOW_EXECUTION_TIMED_OUT{RETRY_POLICY_NOT_SET}");
    CHECK_INT(world_state(w)->status, enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT);
    world_free(w);

    w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "r");
    input->workflow_execution_timeout = duration_of_ns(&w->arena, 30 * NS_PER_S);
    input->retry_policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    CHECK(world_start_send(w) != NULL);
    world_next(w);
    CHECK_TEXT(world_history(w, 3), "3 WORKFLOW_EXECUTION_TIMED_OUT{TIMEOUT}");
    CHECK_INT(w->run_count, 1);
    world_free(w);
}

TEST(workflow_task_timeout)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    world_next(w);
    CHECK_INT(w->now - WORLD_T0, 10 * NS_PER_S);
    CHECK_TEXT(world_history(w, 4), "4 WORKFLOW_TASK_TIMED_OUT{2,3,START_TO_CLOSE}");
    world_completion(w, token);
    CHECK_INT(world_send(w), ST_NOT_FOUND);
    token = world_poll(w);
    CHECK_INT(token.attempt, 2);
    world_free(w);
}

TEST(events_overtake_a_transient_task_that_waits)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    token = world_poll(w);
    CHECK_INT(token.attempt, 1);
    CHECK_TEXT(world_history(w, 5), "5 WORKFLOW_EXECUTION_SIGNALED{s}\n6 WORKFLOW_TASK_SCHEDULED{queue,1}\n"
                                    "7 WORKFLOW_TASK_STARTED{6}");
    world_free(w);
}

TEST(events_buffered_while_a_transient_task_ran)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    token = world_poll(w);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    CHECK_TEXT(world_history(w, 5), "5 WORKFLOW_EXECUTION_SIGNALED{s}\n6 WORKFLOW_TASK_SCHEDULED{queue,1}");
    token = world_poll(w);
    CHECK_INT(token.attempt, 1);
    world_free(w);
}

TEST(continue_as_new)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    world_advance(w, NS_PER_S / 4);
    command_continue(w, world_completion(w, token))->input = payloads_of(&w->arena, "\"next\"");
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(w->run_count, 2);
    CHECK_TEXT(world_history_of(w, w->runs[0], 4),
               "4 WORKFLOW_TASK_COMPLETED{2,3}\n5 WORKFLOW_EXECUTION_CONTINUED_AS_NEW");
    CHECK_TEXT(world_history(w, 1), "1 WORKFLOW_EXECUTION_STARTED");
    const struct history_WorkflowExecutionStartedEventAttributes *started = event_attributes(
        world_event(w, w->runs[1], 1));
    CHECK_INT(started->initiator, enums_CONTINUE_AS_NEW_INITIATOR_WORKFLOW);
    CHECK_INT(started->attempt, 1);
    CHECK_INT(started->identity.size, 0);
    CHECK_INT(started->first_workflow_task_backoff->nanos, 750000000);
    CHECK_BYTES(started->first_execution_run_id, uuid_text(&w->arena, &w->runs[0]->identity.run_id));
    CHECK_BYTES(started->continued_execution_run_id, uuid_text(&w->arena, &w->runs[0]->identity.run_id));
    CHECK_BYTES(started->original_execution_run_id, uuid_text(&w->arena, &w->runs[1]->identity.run_id));
    CHECK_BYTES(started->input, payloads_of(&w->arena, "\"next\""));
    world_next(w);
    CHECK_INT(w->now - WORLD_T0, NS_PER_S);
    CHECK_TEXT(world_history(w, 2), "2 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(workflow_retry)
{
    struct world                                         *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *start = world_start_request(w, "r");
    start->retry_policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    start->retry_policy->maximum_attempts = 2;
    start->memo = BYTES_EMPTY;
    CHECK(world_start_send(w) != NULL);
    struct task_ref                                             token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_fail(w, input, app_failure(&w->arena, "f1"));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history_of(w, w->runs[0], 5), "5 WORKFLOW_EXECUTION_FAILED{IN_PROGRESS,new run,wftc 4}");
    const struct history_WorkflowExecutionStartedEventAttributes *started = event_attributes(
        world_event(w, w->runs[1], 1));
    CHECK_INT(started->initiator, enums_CONTINUE_AS_NEW_INITIATOR_RETRY);
    CHECK_INT(started->attempt, 2);
    CHECK_BYTES(started->continued_failure, app_failure(&w->arena, "f1"));
    CHECK_BYTES(started->input, payloads_of(&w->arena, "\"in\""));
    CHECK_INT(started->retry_policy->maximum_attempts, 2);
    world_next(w);
    token = world_poll(w);
    input = world_completion(w, token);
    command_fail(w, input, app_failure(&w->arena, "f2"));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 5), "5 WORKFLOW_EXECUTION_FAILED{MAXIMUM_ATTEMPTS_REACHED,wftc 4}");
    CHECK_INT(w->run_count, 2);
    world_free(w);
}

TEST(cron_runs_follow_each_other)
{
    struct world *w = world_new(1);
    world_start_request(w, "r")->cron_schedule = BYTES("@every 3s");
    CHECK(world_start_send(w) != NULL);
    const struct history_WorkflowExecutionStartedEventAttributes *started = event_attributes(
        world_event(w, w->runs[0], 1));
    CHECK_INT(started->initiator, enums_CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE);
    CHECK_INT(started->first_workflow_task_backoff->seconds, 3);
    world_next(w);
    struct task_ref token = world_poll(w);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history_of(w, w->runs[0], 2),
               "2 WORKFLOW_TASK_SCHEDULED{queue,1}\n3 WORKFLOW_TASK_STARTED{2}\n"
               "4 WORKFLOW_TASK_COMPLETED{2,3}\n5 WORKFLOW_EXECUTION_COMPLETED{wftc 4,new run}");
    started = event_attributes(world_event(w, w->runs[1], 1));
    CHECK_INT(started->first_workflow_task_backoff->seconds, 3);
    CHECK_BYTES(started->last_completion_result, payloads_of(&w->arena, "\"out\""));
    world_next(w);
    token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_fail(w, input, app_failure(&w->arena, "f"));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history_of(w, w->runs[1], 5),
               "5 WORKFLOW_EXECUTION_FAILED{RETRY_POLICY_NOT_SET,new run,wftc 4}");
    started = event_attributes(world_event(w, w->runs[2], 1));
    CHECK_BYTES(started->last_completion_result, payloads_of(&w->arena, "\"out\""));
    CHECK_BYTES(started->continued_failure, app_failure(&w->arena, "f"));
    CHECK_INT(started->attempt, 1);
    world_free(w);
}

TEST(eager_start)
{
    struct world *w = world_new(1);
    world_start_request(w, "start-1")->request_eager_execution = true;
    struct workflowservice_StartWorkflowExecutionResponse *response = world_start_send(w);
    CHECK(response->eager_workflow_task != NULL && response->started);
    CHECK_INT(w->request.delivery.last_event_id, 3);
    CHECK_INT(w->request.delivery.first_event_id, 1);
    struct task_ref token = w->request.delivery.task;
    CHECK_TEXT(
        world_history(w, 1),
        "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_TASK_SCHEDULED{queue,1}\n3 WORKFLOW_TASK_STARTED{2}");
    const struct history_WorkflowTaskStartedEventAttributes *started = event_attributes(
        world_event(w, w->runs[0], 3));
    CHECK_BYTES(started->request_id, BYTES("start-1"));
    CHECK_BYTES(started->identity, BYTES("client"));
    CHECK_INT(started->history_size_bytes, 0);
    /* the same start again gets the task again */
    world_start_request(w, "start-1")->request_eager_execution = true;
    response = world_start_send(w);
    CHECK(response->eager_workflow_task != NULL && response->started);
    CHECK(!w->last_changed);
    world_complete_empty(w, token);
    world_start_request(w, "start-1")->request_eager_execution = true;
    response = world_start_send(w);
    CHECK(response->eager_workflow_task == NULL && response->started);
    world_free(w);

    w = world_new(2);
    world_start_request(w, "start-1")->request_eager_execution = true;
    CHECK(world_start_send(w) != NULL);
    world_next(w);
    CHECK_TEXT(world_history(w, 4), "4 WORKFLOW_TASK_TIMED_OUT{2,3,START_TO_CLOSE}");
    token = world_poll(w);
    CHECK_INT(token.attempt, 2);
    CHECK_INT(token.scheduled_event_id, 5);
    world_free(w);
}
