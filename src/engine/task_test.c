/* task_test.c: workflow tasks beyond their histories: tokens, retried polls, heartbeats, limits, queries, commands. */
#include <stdio.h>

#include "engine/engine_harness.h"

static struct world *begun(struct task_ref *ret_token)
{
    struct world *w = world_new(1);
    world_start(w);
    *ret_token = world_poll(w);
    return w;
}

TEST(garbage_is_no_token)
{
    struct arena    arena;
    struct task_ref task;
    struct random   random;
    struct error    error = { 0 };
    arena_init(&arena, SIZE_MAX);
    random_seed(&random, 7);
    CHECK_INT(task_token_decode(BYTES("abc"), &arena, &task, &error), ST_INVALID_ARGUMENT);
    CHECK_INT(task_token_decode(BYTES_EMPTY, &arena, &task, &error), ST_INVALID_ARGUMENT);
    for (int i = 0; i < 5000; i++) {
        uint8_t bytes[64];
        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (uint8_t)random_next(&random);
        CHECK_INT(task_token_decode(bytes_of(bytes, random_below(&random, sizeof(bytes))), &arena, &task,
                                    &error),
                  ST_INVALID_ARGUMENT);
    }
    struct task_ref good = { .namespace_id = BYTES(WORLD_NAMESPACE_ID),
                             .workflow_id = BYTES("w"),
                             .kind = STORE_TASK_ACTIVITY,
                             .scheduled_event_id = 5,
                             .attempt = 2,
                             .stamp = 3,
                             .activity_id = BYTES("a") };
    struct bytes    token = task_token_encode(&good, &arena);
    CHECK_INT(task_token_decode(token, &arena, &task, &error), ST_OK);
    CHECK_INT(task.stamp, 3);
    for (size_t cut = 0; cut < token.size; cut++) { /* a prefix is another token at most, never a crash */
        enum status status = task_token_decode(bytes_of(token.base, cut), &arena, &task, &error);
        CHECK(status == ST_OK || status == ST_INVALID_ARGUMENT);
    }
    arena_release(&arena);
}

TEST(a_task_is_started_once_but_the_same_poll_gets_the_same_answer)
{
    struct world *w = world_new(1);
    world_start(w);
    struct store_ready row = *world_find_ready(w, STORE_TASK_WORKFLOW);
    struct task_ref    first = { 0 };
    for (int i = 0; i < 3; i++) {
        struct workflow_request *request = world_request(w, WORKFLOW_TASK_START);
        request->task = row;
        request->poll.identity = BYTES("worker");
        request->poll.request_id = i < 2 ? BYTES("poll") : BYTES("other");
        world_step(w, world_current(w));
        CHECK(request->stale == (i == 2));
        CHECK(w->last_changed == (i == 0));
        if (i == 0)
            first = request->delivery.task;
        else if (i == 1)
            CHECK(request->delivery.task.started_time == first.started_time &&
                  request->delivery.task.started_event_id == first.started_event_id);
        w->now += NS_PER_S;
    }
    world_free(w);
}

TEST(a_token_of_another_start_of_the_same_attempt_is_refused)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    world_request(w, WORKFLOW_TASK_RETURN)->token = token;
    world_step(w, world_current(w));
    CHECK_TEXT(world_history(w, 4),
               "4 WORKFLOW_TASK_TIMED_OUT{2,3,START_TO_CLOSE}\n5 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_completion(w, token);
    CHECK_INT(world_send(w), ST_NOT_FOUND);
    struct task_ref second = world_poll(w);
    CHECK_INT(second.attempt, 1);
    /* transient: silently, and with the same attempt */
    CHECK_INT(world_task_fail(w, second), ST_OK);
    second = world_poll(w);
    int64_t next = world_state(w)->next_event_id;
    world_request(w, WORKFLOW_TASK_RETURN)->token = second;
    w->now += NS_PER_MS;
    world_step(w, world_current(w));
    CHECK_INT(world_state(w)->next_event_id, next);
    w->now += NS_PER_MS;
    struct task_ref third = world_poll(w);
    CHECK_INT(third.attempt, second.attempt);
    world_completion(w, second);
    CHECK_INT(world_send(w), ST_NOT_FOUND);
    world_complete_empty(w, third);
    world_free(w);
}

TEST(an_activity_taken_back_is_ready_again_as_the_same_attempt)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref first = world_poll_activity(w);
    world_request(w, ACTIVITY_TASK_RETURN)->token = first.task;
    world_step(w, world_current(w));
    CHECK(w->last_changed);
    struct activity_ref second = world_poll_activity(w);
    CHECK_INT(second.task.attempt, 1);
    CHECK(second.task.stamp != first.task.stamp);
    CHECK_INT(world_activity_complete(w, first), ST_NOT_FOUND);
    CHECK_INT(world_activity_complete(w, second), ST_OK);
    world_free(w);
}

TEST(a_heartbeating_task_carries_its_first_scheduled_time_and_ends_after_half_an_hour)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    for (int i = 0; i < 2; i++) {
        world_advance(w, 5 * NS_PER_S);
        struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
        input->force_create_new_workflow_task = true;
        input->return_new_workflow_task = true;
        completion_sticky(w, input);
        CHECK_INT(world_send(w), ST_OK);
        CHECK(w->request.has_delivery);
        token = w->request.delivery.task;
        CHECK_INT(world_state(w)->task.original_scheduled_time, WORLD_T0);
        CHECK_INT(w->request.delivery.first_event_id, i == 0 ? 4 : 7);
    }
    w->now = WORLD_T0 + 1801 * NS_PER_S;
    world_completion(w, token)->force_create_new_workflow_task = true;
    CHECK_INT(world_send(w), ST_NOT_FOUND);
    CHECK_TEXT(world_history(w, 10),
               "10 WORKFLOW_TASK_TIMED_OUT{8,9,START_TO_CLOSE}\n11 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(a_new_task_is_returned_only_if_one_is_due)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    world_completion(w, token)->return_new_workflow_task = true;
    CHECK_INT(world_send(w), ST_OK);
    const struct workflowservice_RespondWorkflowTaskCompletedResponse *response = w->request.response;
    CHECK(response->workflow_task == NULL && !w->request.workflow_task_pending);
    CHECK_INT(world_signal(w, "s1", ""), ST_OK);
    token = world_poll(w);
    CHECK_INT(world_signal(w, "s2", ""), ST_OK);
    world_completion(w, token)->return_new_workflow_task = true;
    CHECK_INT(world_send(w), ST_OK);
    response = w->request.response;
    CHECK(response->workflow_task != NULL && response->workflow_task->task_token.size != 0);
    CHECK_INT(response->workflow_task->previous_started_event_id, 7);
    CHECK_INT(w->request.delivery.first_event_id, 8);
    CHECK_INT(w->request.delivery.last_event_id, 11);
    CHECK(w->request.workflow_task_pending);
    CHECK_INT(world_current(w)->ready_count, 0);
    world_free(w);
}

TEST(eager_activities_come_back_with_the_completion)
{
    struct task_ref                                             token;
    struct world                                               *w = begun(&token);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_activity(w, input, "eager")->request_eager_execution = true;
    struct command_ScheduleActivityTaskCommandAttributes *elsewhere = command_activity(w, input, "elsewhere");
    elsewhere->request_eager_execution = true;
    elsewhere->task_queue->name = BYTES("other-queue");
    command_activity(w, input, "cancelled")->request_eager_execution = true;
    command_cancel_activity(w, input, 7);
    CHECK_INT(world_send(w), ST_OK);
    const struct workflowservice_RespondWorkflowTaskCompletedResponse *response = w->request.response;
    CHECK_INT(response->activity_tasks_count, 1);
    CHECK_BYTES(response->activity_tasks[0].activity_id, BYTES("eager"));
    CHECK(response->activity_tasks[0].input.size != 0);
    CHECK_INT(response->activity_tasks[0].attempt, 1);
    struct activity_ref ref = { 0 };
    struct error        error;
    CHECK_INT(task_token_decode(arena_copy(&w->keep, response->activity_tasks[0].task_token), &w->keep,
                                &ref.task, &error),
              ST_OK);
    CHECK_INT(world_activity_complete(w, ref), ST_OK);
    CHECK_BYTES(world_find_ready(w, STORE_TASK_ACTIVITY)->queue, BYTES("other-queue"));
    world_free(w);
}

/* --- bad commands --- */

TEST(a_bad_request_leaves_the_task_where_it_is)
{
    struct task_ref                                             token;
    struct world                                               *w = begun(&token);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_complete(w, input);
    command_marker(w, input);
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK(!w->last_changed);
    command_add(world_completion(w, token), 999);
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK(!w->last_changed);
    world_complete_empty(w, token);
    world_free(w);
}

TEST(from_the_second_attempt_on_a_bad_command_is_only_answered)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    token = world_poll(w);
    command_cancel_timer(w, world_completion(w, token), "unknown");
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK(!w->last_changed);
    world_complete_empty(w, token);
    world_free(w);
}

TEST(unhandled_on_a_later_attempt_ends_the_task_without_an_event)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    token = world_poll(w);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK_TEXT(world_history(w, 5), "5 WORKFLOW_EXECUTION_SIGNALED{s}\n6 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_poll(w);
    CHECK_INT(world_signal(w, "busy", ""), ST_RESOURCE_EXHAUSTED);
    world_free(w);
}

TEST(a_payload_that_is_too_large_ends_the_run)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    w->limits.payload_size_max = 1000;
    char *large = ARENA_NEW_ARRAY(&w->keep, char, 1200);
    memset(large, 'x', 1199);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_activity(w, input, "a")->input = payloads_of(&w->arena, large);
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK_TEXT(world_history(w, 4),
               "4 WORKFLOW_TASK_FAILED{2,3,BAD_SCHEDULE_ACTIVITY_ATTRIBUTES,worker,server}\n"
               "5 WORKFLOW_EXECUTION_TERMINATED{history-service}");
    world_free(w);
}

TEST(too_many_pending_activities_fail_the_task)
{
    struct task_ref                                             token;
    struct world                                               *w = begun(&token);
    char                                                        names[2001][8];
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    for (int i = 0; i <= 2000; i++) {
        snprintf(names[i], sizeof(names[i]), "%d", i);
        command_activity(w, input, names[i]);
    }
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK(strstr(world_history(w, 4), "PENDING_ACTIVITIES_LIMIT_EXCEEDED") != NULL);
    CHECK_INT(world_state(w)->activity_count, 0);
    token = world_poll(w);
    input = world_completion(w, token);
    for (int i = 0; i < 2000; i++)
        command_activity(w, input, names[i]);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_state(w)->activity_count, 2000);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(world_current(w)->ready_count, 0);
    world_free(w);
}

TEST(an_overflowing_buffer_fails_the_task_and_the_next_is_transient)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    w->limits.buffered_events_max = 3;
    for (int i = 0; i < 4; i++)
        CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_TEXT(world_history(w, 4), "4 WORKFLOW_TASK_FAILED{2,3,FORCE_CLOSE_COMMAND,history-service}\n"
                                    "5 WORKFLOW_EXECUTION_SIGNALED{s}\n6 WORKFLOW_EXECUTION_SIGNALED{s}\n"
                                    "7 WORKFLOW_EXECUTION_SIGNALED{s}\n8 WORKFLOW_EXECUTION_SIGNALED{s}");
    token = world_poll(w);
    CHECK_INT(token.attempt, 2);
    CHECK_INT(token.scheduled_event_id, 9);
    world_free(w);
}

TEST(limits_of_signals_and_of_history)
{
    struct world *w = world_new(1);
    w->limits.signals_max = 2;
    world_start(w);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_INVALID_ARGUMENT);
    w->limits.signals_max = 100;
    w->limits.history_events_max = 5;
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_state(w)->status, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
    world_free(w);
}

/* --- queries --- */

static enum workflow_query_verdict ask(struct world *w, int32_t condition, enum status expected)
{
    struct workflow_request                     *request = world_request(w, WORKFLOW_QUERY);
    struct workflowservice_QueryWorkflowRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_QueryWorkflowRequest);
    input->query_reject_condition = condition;
    request->input = input;
    request->deadline_ns = w->now + 5 * NS_PER_S;
    world_step(w, world_current(w));
    CHECK_INT(request->base.error.code, expected);
    CHECK(!w->last_changed);
    return request->query;
}

TEST(queries_go_where_they_can_be_answered)
{
    struct world *w = world_new(1);
    world_start(w);
    CHECK_INT(ask(w, 0, ST_OK), QUERY_BUFFER);
    struct task_ref token = world_poll(w);
    CHECK_INT(ask(w, 0, ST_OK), QUERY_BUFFER);
    completion_sticky(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(ask(w, 0, ST_OK), QUERY_DIRECT);
    CHECK_BYTES(w->request.sticky_queue, BYTES("sticky"));
    CHECK_BYTES(w->request.normal_queue, BYTES("queue"));
    CHECK_INT(w->request.sticky_timeout_ns, 5 * NS_PER_S);
    CHECK_INT(w->request.delivery.last_event_id, 4);
    CHECK(w->request.delivery.task.is_query);
    CHECK_INT(w->request.query_task->previous_started_event_id, 3);
    CHECK_INT(w->request.query_task->started_event_id, 0);
    CHECK_INT(ask(w, enums_QUERY_REJECT_CONDITION_NOT_OPEN, ST_OK), QUERY_DIRECT);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(ask(w, 0, ST_OK), QUERY_BUFFER);
    token = world_poll(w);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(ask(w, 0, ST_OK), QUERY_DIRECT);
    CHECK_INT(w->request.sticky_queue.size, 0);
    CHECK_INT(ask(w, enums_QUERY_REJECT_CONDITION_NOT_OPEN, ST_OK), QUERY_REJECTED);
    CHECK_INT(((struct workflowservice_QueryWorkflowResponse *)w->request.response)->query_rejected->status,
              enums_WORKFLOW_EXECUTION_STATUS_COMPLETED);
    CHECK_INT(ask(w, enums_QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY, ST_OK), QUERY_DIRECT);
    world_free(w);

    w = world_new(1);
    world_start(w);
    CHECK_INT(world_terminate(w), ST_OK);
    ask(w, 0, ST_FAILED_PRECONDITION);
    CHECK_BYTES(w->request.base.error.detail_type,
                BYTES("temporal.api.errordetails.v1.WorkflowNotReadyFailure"));
    world_free(w);

    w = world_new(1);
    world_start(w);
    for (int i = 0; i < 2; i++)
        CHECK_INT(world_task_fail(w, world_poll(w)), ST_OK);
    ask(w, 0, ST_FAILED_PRECONDITION);
    world_free(w);

    w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *start = world_start_request(w, "r");
    start->workflow_start_delay = duration_of_ns(&w->arena, 60 * NS_PER_S);
    CHECK(world_start_send(w) != NULL);
    ask(w, 0, ST_FAILED_PRECONDITION);
    world_free(w);
}

/* --- reads --- */

TEST(describe_and_history_show_what_is_pending)
{
    struct task_ref                                             token;
    struct world                                               *w = begun(&token);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_activity(w, input, "a")->heartbeat_timeout = duration_of_ns(&w->arena, 20 * NS_PER_S);
    command_activity(w, input, "b");
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref a = world_poll_activity(w), b = world_poll_activity(w);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, a, payloads_of(&w->keep, "5")), ST_OK);
    CHECK_INT(world_activity_fail(w, b, app_failure(&w->keep, "f1")), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    world_request(w, WORKFLOW_DESCRIBE);
    world_step(w, world_current(w));
    const struct workflowservice_DescribeWorkflowExecutionResponse *response = w->request.response;
    CHECK_INT(response->pending_activities_count, 2);
    CHECK_INT(response->pending_activities[0].state, enums_PENDING_ACTIVITY_STATE_STARTED);
    CHECK_BYTES(response->pending_activities[0].heartbeat_details, payloads_of(&w->arena, "5"));
    CHECK_INT(response->pending_activities[1].state, enums_PENDING_ACTIVITY_STATE_SCHEDULED);
    CHECK_INT(response->pending_activities[1].attempt, 2);
    CHECK_BYTES(response->pending_activities[1].last_failure, app_failure(&w->arena, "f1"));
    CHECK_INT(response->pending_activities[1].current_retry_interval->seconds, 1);
    CHECK_INT(response->pending_workflow_task->state, enums_PENDING_WORKFLOW_TASK_STATE_SCHEDULED);
    CHECK_INT(response->workflow_execution_info->history_length, 8);
    CHECK_INT(response->workflow_execution_info->status, enums_WORKFLOW_EXECUTION_STATUS_RUNNING);

    CHECK_INT(world_task_fail(w, world_poll(w)), ST_OK);
    for (int sees = 0; sees <= 1; sees++) {
        world_request(w, WORKFLOW_HISTORY)->reader_sees_virtual_events = sees == 1;
        world_step(w, world_current(w));
        CHECK_INT(w->request.history.virtual_event_count, sees);
        CHECK(w->request.history.open);
        CHECK_INT(w->request.history.last_event_id, 10);
    }
    world_poll(w);
    world_request(w, WORKFLOW_HISTORY)->reader_sees_virtual_events = true;
    world_step(w, world_current(w));
    CHECK_INT(w->request.history.virtual_event_count, 2);
    world_free(w);
}

/* --- heartbeats of activities --- */

TEST(heartbeats_without_details_are_volatile_and_details_are_stored_once_a_second)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a")->heartbeat_timeout = duration_of_ns(&w->arena,
                                                                                             2 * NS_PER_S);
    w->request.input = w->request.input;
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref a = world_poll_activity(w);
    for (int i = 0; i < 8; i++) { /* each one moves the deadline */
        world_advance(w, NS_PER_S);
        CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, a, BYTES_EMPTY), ST_OK);
        CHECK(w->last_volatile);
    }
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, a, payloads_of(&w->keep, "1")), ST_OK);
    CHECK(!w->last_volatile);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, a, payloads_of(&w->keep, "2")), ST_OK);
    CHECK(w->last_volatile);
    /* what memory alone knows is written with the failure, and comes to the next attempt */
    CHECK_INT(world_activity_fail(w, a, app_failure(&w->keep, "f")), ST_OK);
    CHECK(!world_state(w)->activities[0].record->has_volatile_details);
    CHECK_BYTES(world_state(w)->activities[0].record->heartbeat_details, payloads_of(&w->arena, "2"));
    world_next(w);
    const struct store_ready *row = world_find_ready(w, STORE_TASK_ACTIVITY);
    struct workflow_request  *request = world_request(w, ACTIVITY_TASK_START);
    request->task = *row;
    world_step(w, world_current(w));
    const struct workflowservice_PollActivityTaskQueueResponse *response = request->response;
    CHECK_BYTES(response->heartbeat_details, payloads_of(&w->arena, "2"));
    CHECK_INT(response->attempt, 2);
    world_free(w);
}

TEST(after_a_load_a_started_activity_gets_a_full_heartbeat_interval)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a")->heartbeat_timeout = duration_of_ns(&w->arena,
                                                                                             2 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    world_poll_activity(w);
    CHECK_INT(execution_next_due(world_state(w)) - w->now, 2 * NS_PER_S);
    workflow_kind.loaded(world_state(w), w->now + NS_PER_S);
    CHECK_INT(execution_next_due(world_state(w)) - w->now, 3 * NS_PER_S);
    world_free(w);
}

TEST(completion_by_id_works_before_the_start_and_makes_one_up)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref ref = { .by_id = true, .activity_id = BYTES("a"), .identity = BYTES("someone") };
    CHECK_INT(world_activity_fail(w, ref, app_failure(&w->keep, "f")), ST_NOT_FOUND);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, ref, BYTES_EMPTY), ST_NOT_FOUND);
    CHECK_INT(world_activity_complete(w, ref), ST_OK);
    CHECK_TEXT(world_history(w, 6), "6 ACTIVITY_TASK_STARTED{5,attempt 1}\n7 ACTIVITY_TASK_COMPLETED{5,6}\n"
                                    "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    const struct history_ActivityTaskStartedEventAttributes *started = event_attributes(
        world_event(w, w->runs[0], 6));
    CHECK_BYTES(started->identity, BYTES("someone"));
    CHECK_INT(started->request_id.size, 0);
    world_free(w);
}

TEST(retries_obey_the_policy)
{
    static const struct {
        const char *type;
        bool        non_retryable;
        int64_t     next_delay; /* -1: none */
        int64_t     expected;   /* -1: closed */
    } cases[] = {
        { "f", false, -1, NS_PER_S }, { "listed", false, -1, -1 },
        { "f", true, -1, -1 },        { "f", false, 7 * NS_PER_S, 7 * NS_PER_S },
        { "f", false, 0, 0 },         { "f", false, 1000 * NS_PER_S, 1000 * NS_PER_S },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct task_ref                                       token;
        struct world                                         *w = begun(&token);
        struct command_ScheduleActivityTaskCommandAttributes *attributes =
            command_activity(w, world_completion(w, token), "a");
        attributes->retry_policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
        attributes->retry_policy->non_retryable_error_types = ARENA_NEW_ARRAY(&w->arena, struct bytes, 1);
        attributes->retry_policy->non_retryable_error_types[0] = BYTES("listed");
        attributes->retry_policy->non_retryable_error_types_count = 1;
        CHECK_INT(world_send(w), ST_OK);
        struct activity_ref a = world_poll_activity(w);
        CHECK_INT(world_activity_fail(w, a,
                                      app_failure_full(&w->keep, cases[i].type, cases[i].non_retryable,
                                                       cases[i].next_delay)),
                  ST_OK);
        if (cases[i].expected < 0) {
            CHECK_INT(world_state(w)->activity_count, 0);
            CHECK(strstr(world_history(w, 6), "NON_RETRYABLE_FAILURE") != NULL);
        } else {
            CHECK_INT(world_state(w)->activities[0].record->scheduled_time - w->now, cases[i].expected);
            CHECK((world_find_ready(w, STORE_TASK_ACTIVITY) != NULL) == (cases[i].expected == 0));
        }
        world_free(w);
    }
}

TEST(backoff_grows_to_its_maximum)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    static const int64_t expected[] = { 1, 2, 4, 8, 16, 32, 64, 100, 100 };
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        struct activity_ref a = world_poll_activity(w);
        CHECK_INT(world_activity_fail(w, a, app_failure(&w->keep, "f")), ST_OK);
        CHECK_INT(world_state(w)->activities[0].record->scheduled_time - w->now, expected[i] * NS_PER_S);
        world_next(w);
    }
    world_free(w);
}

TEST(a_large_failure_is_kept_short_until_the_next_attempt)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref a = world_poll_activity(w);
    char               *large = ARENA_NEW_ARRAY(&w->keep, char, 9000);
    memset(large, 'x', 8999);
    CHECK_INT(world_activity_fail(w, a, app_failure(&w->keep, large)), ST_OK);
    struct bytes kept = world_state(w)->activities[0].record->last_failure;
    CHECK(kept.size < 5000);
    struct failure_Failure failure = { 0 };
    struct error           error;
    CHECK_INT(pb_decode(&pb_failure_Failure, kept, &w->arena, &failure, &error), ST_OK);
    CHECK_INT(failure.failure_info_case, 9);
    CHECK(!failure.server_failure_info->non_retryable && failure.cause.size != 0);
    world_free(w);
}

/* The group commit waits for such runs only: a run that sleeps must not slow a lone client down. */
TEST(a_run_awaits_a_worker_only_while_one_holds_a_task)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK(workflow_kind.awaits_worker(world_state(w)));
    (void)world_completion(w, token); /* no commands: it sleeps until something happens */
    CHECK_INT(world_send(w), ST_OK);
    CHECK(!workflow_kind.awaits_worker(world_state(w)));
    world_free(w);
}

TEST(search_attributes_and_memo_are_merged_and_removed)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    for (int i = 0; i < 3; i++) {
        struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
        struct command_Command                                     *command = command_add(input,
                                                                                          enums_COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES);
        struct common_SearchAttributes_IndexedFieldsEntry           field = { .key = i == 2 ? BYTES("Unknown")
                                                                                            : BYTES("CustomKeyword") };
        struct common_Payload_MetadataEntry json = { BYTES("encoding"), BYTES("json/plain") };
        struct common_Payload               payload = { .metadata = &json,
                                                        .metadata_count = 1,
                                                        .data = i == 1 ? BYTES("[]") : BYTES("\"v\"") };
        struct common_SearchAttributes attributes = { .indexed_fields = &field, .indexed_fields_count = 1 };
        field.value = pb_encode_arena(&pb_common_Payload, &payload, &w->arena);
        command->attributes_case = 14;
        command->upsert_workflow_search_attributes_command_attributes =
            ARENA_NEW(&w->arena, struct command_UpsertWorkflowSearchAttributesCommandAttributes);
        command->upsert_workflow_search_attributes_command_attributes->search_attributes =
            pb_encode_arena(&pb_common_SearchAttributes, &attributes, &w->arena);
        input->force_create_new_workflow_task = true;
        CHECK_INT(world_send(w), i == 2 ? ST_INVALID_ARGUMENT : ST_OK);
        if (i == 2)
            CHECK(strstr(world_history(w, 1), "BAD_SEARCH_ATTRIBUTES") != NULL);
        else
            CHECK((world_state(w)->search_attributes.size != 0) == (i == 0));
        if (i < 2)
            token = world_poll(w);
    }
    world_free(w);
}

TEST(an_idle_run_with_a_timer_is_small)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_timer(w, world_completion(w, token), "1", 3600 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    print_message("memory of an idle run: %zu bytes, of which struct: %zu\n",
                  workflow_kind.state_size(world_state(w)), sizeof(struct execution));
    CHECK(workflow_kind.state_size(world_state(w)) < 1024);
    world_free(w);
}

/* What an activity sends is too large: it fails, with words in the place of what it sent, and is not tried again. */
TEST(activities_that_send_too_much_fail_for_good)
{
    static const int commands[] = { ACTIVITY_TASK_COMPLETE, ACTIVITY_TASK_CANCEL, ACTIVITY_TASK_HEARTBEAT };
    static const char *const words[] = { "Complete result exceeds size limit",
                                         "Cancel details exceeds size limit",
                                         "Heartbeat details exceeds size limit" };
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        struct world *w = world_new(1);
        world_start(w);
        command_activity(w, world_completion(w, world_poll(w)), "a");
        CHECK_INT(world_send(w), ST_OK);
        struct activity_ref ref = world_poll_activity(w);
        CHECK_INT(world_signal(w, "s", ""), ST_OK);
        command_cancel_activity(w, world_completion(w, world_poll(w)), 5);
        CHECK_INT(world_send(w), ST_OK);
        w->limits.payload_size_max = 10;
        int64_t next = world_state(w)->next_event_id;
        CHECK_INT(world_activity(w, commands[i], ref, payloads_of(&w->keep, "\"more than ten bytes\"")),
                  ST_OK);
        const struct history_HistoryEvent *event = world_event(w, world_current(w), next + 1);
        CHECK_INT(event->event_type, enums_EVENT_TYPE_ACTIVITY_TASK_FAILED);
        struct failure_Failure failure = { 0 };
        CHECK_INT(pb_decode(&pb_failure_Failure, event->activity_task_failed_event_attributes->failure,
                            &w->arena, &failure, NULL),
                  ST_OK);
        CHECK(bytes_starts_with(failure.message, bytes_of_text(words[i])));
        CHECK_INT(world_state(w)->activity_count, 0);
        world_free(w);
    }
}

static const struct activity *the_only_activity(struct world *w)
{
    CHECK_INT(world_state(w)->activity_count, 1);
    return world_state(w)->activities[0].record;
}

TEST(an_activity_is_started_once_but_the_same_poll_gets_the_same_answer)
{
    static const char *const polls[] = { "poll", "poll", "other", "" };
    struct task_ref          token, first = { 0 };
    struct world            *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    struct store_ready row = *world_find_ready(w, STORE_TASK_ACTIVITY);
    for (size_t i = 0; i < ARRAY_COUNT(polls); i++) {
        struct workflow_request *request = world_request(w, ACTIVITY_TASK_START);
        request->task = row;
        request->poll.identity = BYTES("worker");
        request->poll.request_id = bytes_of_text(polls[i]);
        world_step(w, world_current(w));
        CHECK(request->stale == (i >= 2));
        CHECK(w->last_changed == (i == 0));
        if (i >= 2)
            continue;
        const struct workflowservice_PollActivityTaskQueueResponse *task = request->response;
        struct task_ref                                             ref;
        CHECK_BYTES(task->activity_id, BYTES("a"));
        CHECK_INT(task_token_decode(task->task_token, &w->arena, &ref, &request->base.error), ST_OK);
        CHECK(i == 0 || (ref.stamp == first.stamp && ref.attempt == first.attempt));
        first = ref;
        w->now += NS_PER_S;
    }
    world_free(w);
}

TEST(a_start_without_a_name_is_never_repeated)
{
    struct world *w = world_new(1);
    world_start(w);
    struct store_ready row = *world_find_ready(w, STORE_TASK_WORKFLOW);
    for (int i = 0; i < 2; i++) {
        struct workflow_request *request = world_request(w, WORKFLOW_TASK_START);
        request->task = row;
        world_step(w, world_current(w));
        CHECK(request->stale == (i == 1));
    }
    CHECK_INT(world_terminate(w), ST_OK);
    struct workflow_request *request = world_request(w, WORKFLOW_TASK_START);
    request->task = row;
    world_step(w, world_current(w));
    CHECK(request->stale && !w->last_changed);
    world_free(w);
}

TEST(tokens_are_of_one_kind_only)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    token.kind = STORE_TASK_ACTIVITY;
    world_completion(w, token);
    CHECK_INT(world_send(w), ST_NOT_FOUND);
    token.kind = STORE_TASK_WORKFLOW;
    token.is_query = true;
    world_completion(w, token);
    CHECK_INT(world_send(w), ST_NOT_FOUND);
    token.is_query = false;
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref ref = world_poll_activity(w);
    ref.task.kind = STORE_TASK_WORKFLOW;
    CHECK_INT(world_activity_complete(w, ref), ST_NOT_FOUND);
    ref.task.kind = STORE_TASK_ACTIVITY;
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(world_activity_complete(w, ref), ST_NOT_FOUND);
    CHECK_TEXT(w->request.base.error.message, "workflow execution already completed");
    world_free(w);
}

TEST(too_large_a_result_by_id_of_what_has_not_started_is_only_refused)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    command_activity(w, world_completion(w, token), "a");
    CHECK_INT(world_send(w), ST_OK);
    w->limits.payload_size_max = 10;
    struct activity_ref ref = { .by_id = true, .activity_id = BYTES("a") };
    struct bytes        large = payloads_of(&w->keep, "\"more than ten bytes\"");
    CHECK_INT(world_activity(w, ACTIVITY_TASK_COMPLETE, ref, large), ST_INVALID_ARGUMENT);
    CHECK(!w->last_changed);
    struct workflow_request *request = world_request(w, ACTIVITY_TASK_FAIL);
    request->activity = world_poll_activity(w);
    request = world_request(w, ACTIVITY_TASK_FAIL);
    request->activity = (struct activity_ref){ .by_id = true, .activity_id = BYTES("a") };
    request->heartbeat_details = large;
    request->payload = BYTES_EMPTY;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    const struct workflowservice_RespondActivityTaskFailedResponse *response = w->request.response;
    CHECK_INT(response->failures_count,
              1); /* the failure counts; the details are answered as one of their own */
    CHECK_INT(the_only_activity(w)->attempt, 2);
    CHECK(!the_only_activity(w)->has_heartbeat_details);
    world_free(w);
}

/* The worker learns of each end when its task is over; it may well have asked to cancel what has ended meanwhile. */
TEST(an_activity_that_ended_unseen_can_be_cancelled)
{
    for (int way = 0; way < 4; way++) {
        struct task_ref                                             token;
        struct world                                               *w = begun(&token);
        struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
        struct command_ScheduleActivityTaskCommandAttributes *activity = command_activity(w, input, "a");
        activity->retry_policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
        activity->retry_policy->maximum_attempts = 1;
        activity->start_to_close_timeout = duration_of_ns(&w->arena, 5 * NS_PER_S);
        CHECK_INT(world_send(w), ST_OK);
        struct activity_ref ref = world_poll_activity(w);
        CHECK_INT(world_signal(w, "s", ""), ST_OK);
        if (way == 3) { /* asked for before */
            command_cancel_activity(w, world_completion(w, world_poll(w)), 5);
            CHECK_INT(world_send(w), ST_OK);
            CHECK_INT(world_signal(w, "s", ""), ST_OK);
        }
        token = world_poll(w);
        if (way == 0)
            CHECK_INT(world_activity_complete(w, ref), ST_OK);
        else if (way == 1)
            CHECK_INT(world_activity_fail(w, ref, app_failure(&w->keep, "f")), ST_OK);
        else if (way == 2) {
            world_advance(w, 5 * NS_PER_S);
            CHECK_INT(world_due(w), 1);
        } else
            CHECK_INT(world_activity(w, ACTIVITY_TASK_CANCEL, ref, BYTES_EMPTY), ST_OK);
        CHECK_INT(world_state(w)->activity_count, 0);
        command_cancel_activity(w, world_completion(w, token), 5);
        CHECK_INT(world_send(w), ST_OK);
        CHECK(strstr(world_history(w, 9), "ACTIVITY_TASK_CANCEL_REQUESTED{5") != NULL);
        world_free(w);
    }
}

TEST(of_timers_that_fired_unseen_the_right_one_is_cancelled)
{
    struct task_ref                                             token;
    struct world                                               *w = begun(&token);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_timer(w, input, "a", NS_PER_S);
    command_timer(w, input, "b", NS_PER_S);
    command_timer(w, input, "now", 0);
    input->commands[2].start_timer_command_attributes->start_to_fire_timeout = NULL; /* as much as 0 */
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_due(w), 1);
    token = world_poll(w);
    world_advance(w, NS_PER_S);
    world_due(w);
    command_cancel_timer(w, world_completion(w, token), "b");
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 11), "11 WORKFLOW_TASK_COMPLETED{9,10}\n12 TIMER_CANCELED{b,6,wftc 11}\n"
                                     "13 TIMER_FIRED{a,5}\n14 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(the_sticky_timeout_is_the_last_one_given)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    completion_sticky(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    completion_sticky(w, input);
    input->sticky_attributes->schedule_to_start_timeout = duration_of_ns(&w->arena, 9 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_state(w)->sticky_timeout, 9 * NS_PER_S);
    world_free(w);
}
