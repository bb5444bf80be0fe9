/* pitfalls_test.c: how a server of this design would lose work, one scenario each, over api, engine, matching and runtime. A
 * manual store stops between "decided" and "durable"; a crash forgets what was not. What needs no engine is in
 * src/shard, and perdure-sim meets all of it at random. */
#include "scenario.h"

/* --- answers that write nothing rest on what is not durable --- */

TEST(a_repeated_start_waits_for_the_first_and_is_lost_with_it)
{
    struct world world;
    world_begin(&world, 1, true);
    uint64_t         before = batches(&world);
    struct recorded *first = start_held(&world, "w", "request");
    until_under_way(&world, before);
    struct recorded *again = start_held(&world, "w", "request"); /* the client's retry: "OK, run id" */
    struct recorded *other = start_held(&world, "w", "another"); /* "already started", with its run id */
    CHECK(!first->done && !again->done && !other->done);
    crash(&world);
    dropped(first);
    dropped(again);
    dropped(other);
    expect_code(describe(&world, "w"), ST_NOT_FOUND);
    world_end(&world);
}

TEST(a_second_cancel_request_and_a_repeated_signal_wait_for_the_first)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct common_WorkflowExecution                              execution = { .workflow_id = BYTES("w") };
    struct workflowservice_RequestCancelWorkflowExecutionRequest cancel = { .namespace = BYTES("default"),
                                                                            .workflow_execution = &execution,
                                                                            .request_id = BYTES("one") };
    struct workflowservice_SignalWorkflowExecutionRequest        signal = { .namespace = BYTES("default"),
                                                                            .workflow_execution = &execution,
                                                                            .signal_name = BYTES("signal"),
                                                                            .request_id = BYTES("one") };
    uint64_t                                                     before = batches(&world);
    struct recorded                                             *calls[4];
    calls[0] = send_held(&world, CALL(RequestCancelWorkflowExecution), &cancel);
    until_under_way(&world, before);
    calls[1] = send_held(&world, CALL(RequestCancelWorkflowExecution), &cancel);
    calls[2] = send_held(&world, CALL(SignalWorkflowExecution), &signal);
    calls[3] = send_held(&world, CALL(SignalWorkflowExecution), &signal);
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++)
        CHECK(!calls[i]->done);
    world.held = false;
    world_run(&world);
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++)
        expect_code(calls[i], ST_OK);
    struct recorded *read = history(&world, 0, "w", false, 0, BYTES_EMPTY);
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(read);
    CHECK_INT(page->history->events_count, 4); /* started, task scheduled, one cancel request, one signal */
    recorded_free(read);
    world_end(&world);
}

TEST(the_word_stale_is_not_spoken_before_what_made_it_stale_is_durable)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded       *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct command_Command command = complete_command();
    uint64_t               before = batches(&world);
    world.held = true;
    struct recorded *first = complete_task(&world, 0, token_of(polled), &command, 1);
    until_under_way(&world, before);
    struct recorded *second = complete_task(&world, 0, token_of(polled), &command, 1);
    CHECK(!first->done);
    CHECK(!second->done); /* a worker that heard "not found" would drop its result */
    crash(&world);
    dropped(first);
    dropped(second);
    expect_code(complete_task(&world, 0, token_of(polled), &command, 1),
                ST_OK); /* so the result is not lost */
    expect_code(complete_task(&world, 0, token_of(polled), &command, 1), ST_NOT_FOUND);
    recorded_free(polled);
    world_end(&world);
}

TEST(describe_shows_no_close_that_a_crash_would_undo)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded       *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct command_Command command = complete_command();
    uint64_t               before = batches(&world);
    world.held = true;
    struct recorded *completed = complete_task(&world, 0, token_of(polled), &command, 1);
    until_under_way(&world, before);
    struct recorded *described = describe(&world, "w");
    CHECK(!described->done);
    world.held = false;
    world_run(&world);
    expect_code(completed, ST_OK);
    const struct workflowservice_DescribeWorkflowExecutionResponse *response = answer_of(described);
    CHECK_INT(response->workflow_execution_info->status, enums_WORKFLOW_EXECUTION_STATUS_COMPLETED);
    recorded_free(described);
    recorded_free(polled);
    world_end(&world);
}

TEST(no_worker_sees_a_signal_that_a_crash_would_undo)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    uint64_t before = batches(&world);
    world.held = true;
    struct recorded *signalled = signal_run(&world, 0, "w");
    until_under_way(&world, before);
    struct recorded *polled = poll_workflow(&world, 0,
                                            70 * NS_PER_S); /* the task itself is durable for long */
    CHECK(!signalled->done);
    CHECK(!polled->done);
    crash(&world);
    dropped(signalled);
    dropped(polled);
    polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    CHECK_INT(task->history->events_count, 3);
    recorded_free(polled);
    world_end(&world);
}

TEST(no_query_goes_out_with_state_that_a_crash_would_undo)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct recorded *waiting = poll_workflow(&world, 0, 70 * NS_PER_S);
    uint64_t         before = batches(&world);
    world.held = true;
    struct recorded *completed = complete_task(&world, 0, token_of(polled), NULL, 0);
    until_under_way(&world, before);
    struct common_WorkflowExecution             execution = { .workflow_id = BYTES("w") };
    struct query_WorkflowQuery                  query = { .query_type = BYTES("state") };
    struct workflowservice_QueryWorkflowRequest request = { .namespace = BYTES("default"),
                                                            .execution = &execution,
                                                            .query = &query };
    struct recorded                            *queried = send(&world, 0, CALL(QueryWorkflow), &request);
    CHECK(!waiting->done); /* directly to a worker, because "no task is pending" */
    world.held = false;
    world_run(&world);
    expect_code(completed, ST_OK);
    CHECK(waiting->done);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(waiting);
    CHECK(task->query != NULL);
    struct workflowservice_RespondQueryTaskCompletedRequest answer = {
        .namespace = BYTES("default"),
        .task_token = task->task_token,
        .completed_type = enums_QUERY_RESULT_TYPE_ANSWERED
    };
    expect_code(send(&world, 0, CALL(RespondQueryTaskCompleted), &answer), ST_OK);
    expect_code(queried, ST_OK);
    recorded_free(waiting);
    recorded_free(polled);
    world_end(&world);
}

/* --- starts are durable before delivery --- */

TEST(a_start_that_a_crash_undid_leaves_the_task_to_the_next_poller)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    uint64_t before = batches(&world);
    world.held = true;
    struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    until_under_way(&world, before);
    CHECK(!polled->done);
    crash(&world);
    dropped(polled);
    polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    CHECK_INT(task->attempt, 1);
    CHECK_INT(task->started_event_id, 3);
    recorded_free(polled);
    world_end(&world);
}

TEST(a_durable_start_survives_a_restart_and_is_handed_to_nobody_else)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct bytes     token = token_of(polled);
    crash(&world);
    struct recorded *second = poll_workflow(&world, 0, 5 * NS_PER_S);
    CHECK(!second->done);
    /* A task that runs local activities goes on over a restart of the server. */
    struct command_Command command = complete_command();
    expect_code(complete_task(&world, 0, token, &command, 1), ST_OK);
    world_advance(&world, 6 * NS_PER_S);
    expect_code(second, ST_OK);
    recorded_free(polled);
    world_end(&world);
}

TEST(a_task_of_a_sticky_queue_whose_worker_died_goes_to_the_normal_queue_after_a_restart)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded                           *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct taskqueue_TaskQueue                 queue = { .name = BYTES("sticky"),
                                                         .kind = enums_TASK_QUEUE_KIND_STICKY,
                                                         .normal_name = BYTES("queue") };
    struct google_Duration                     timeout = { .seconds = 5 };
    struct taskqueue_StickyExecutionAttributes sticky = { &queue, &timeout };
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = { .namespace = BYTES("default"),
                                                                           .task_token = token_of(polled),
                                                                           .sticky_attributes = &sticky };
    expect_code(send(&world, 0, CALL(RespondWorkflowTaskCompleted), &request), ST_OK);
    recorded_free(polled);
    expect_code(signal_run(&world, 0, "w"), ST_OK);
    crash(&world);
    polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    world_advance(&world, 6 * NS_PER_S);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    CHECK(task->task_token.size != 0);
    CHECK_INT(event_type(polled, task->history->events[0]), enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
    recorded_free(polled);
    world_end(&world);
}

/* --- a hint that was never given --- */

TEST(a_task_whose_offer_was_lost_is_found_by_the_next_poller)
{
    struct world world;
    world_begin(&world, 1, true);
    uint64_t         before = batches(&world);
    struct recorded *started = start_held(&world, "w", "request");
    until_under_way(&world, before);
    while (store_memory_step(world.store)) { /* durable, and the process dies before it learns that */
    }
    crash(&world);
    dropped(started);
    struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    (void)token_of(polled);
    recorded_free(polled);
    world_end(&world);
}

/* --- activities over restarts --- */

TEST(an_activity_gets_its_input_also_when_nothing_is_in_memory)
{
    struct world world;
    with_activity(&world);
    crash(&world);
    struct recorded *polled = poll_activity(&world, 0, 70 * NS_PER_S);
    const struct workflowservice_PollActivityTaskQueueResponse *task = answer_of(polled);
    CHECK(task->input.size != 0 && memmem(task->input.base, task->input.size, "the input", 9) != NULL);
    recorded_free(polled);
    world_end(&world);
}

TEST(a_heartbeat_that_was_only_in_memory_costs_a_healthy_worker_nothing)
{
    struct world world;
    with_activity(&world);
    struct recorded *polled = poll_activity(&world, 0, 70 * NS_PER_S);
    const struct workflowservice_PollActivityTaskQueueResponse *task = answer_of(polled);
    struct workflowservice_RecordActivityTaskHeartbeatRequest   heartbeat = { .namespace = BYTES("default"),
                                                                              .task_token = task->task_token };
    world_advance(&world, 9900 * NS_PER_MS);
    expect_code(send(&world, 0, CALL(RecordActivityTaskHeartbeat), &heartbeat), ST_OK);
    crash(&world);
    world_advance(&world, 9900 * NS_PER_MS); /* 19.8 s after the last heartbeat that is on disk */
    struct workflowservice_RespondActivityTaskCompletedRequest completed = { .namespace = BYTES("default"),
                                                                             .task_token = task->task_token };
    expect_code(send(&world, 0, CALL(RespondActivityTaskCompleted), &completed), ST_OK);
    recorded_free(polled);
    world_end(&world);
}

/* --- what is written for a transition does not grow with the state --- */

TEST(the_thousandth_signal_writes_no_more_than_the_tenth)
{
    struct world            world;
    struct store_statistics at[3];
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    for (int i = 0; i < 1010; i++) {
        if (i == 10 || i == 20 || i == 1000)
            store_statistics(world.store, &at[i == 10 ? 0 : i == 20 ? 1 : 2]);
        expect_code(signal_run(&world, 0, "w"), ST_OK);
    }
    struct store_statistics end;
    store_statistics(world.store, &end);
    uint64_t early = at[1].bytes - at[0].bytes, late = end.bytes - at[2].bytes, all = end.bytes - at[0].bytes;
    CHECK(early > 0);
    CHECK(late <= early * 2);
    CHECK(all <= early * 100 * 2); /* snapshots included */
    world_end(&world);
}

/* --- who waits pins nothing --- */

TEST(a_waiter_does_not_keep_its_workflow_in_memory)
{
    struct world world;
    world_begin(&world, 1, true);
    world.memory_limit = 20000;
    crash(&world);
    struct recorded *waiting[60];
    char             id[16];
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof(id), "w%d", i);
        recorded_free(start(&world, 0, id));
        waiting[i] = history(&world, 0, id, true, enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, BYTES_EMPTY);
        CHECK(!waiting[i]->done);
    }
    struct lane_statistics statistics;
    lane_statistics(runtime_lane(world.runtime, 0), &statistics);
    CHECK(statistics.evictions > 30);
    CHECK(statistics.entity_bytes <= 25000);
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof(id), "w%d", i);
        struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(id) };
        struct workflowservice_TerminateWorkflowExecutionRequest terminate = {
            .namespace = BYTES("default"), .workflow_execution = &execution
        };
        expect_code(send(&world, 0, CALL(TerminateWorkflowExecution), &terminate), ST_OK);
        expect_code(waiting[i], ST_OK);
    }
    world_end(&world);
}

/* --- one workflow id is one lane's affair --- */

TEST(of_two_starts_at_once_from_two_lanes_one_makes_the_run)
{
    struct world world;
    world_begin(&world, 3, true);
    for (int i = 0; i < 10; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        struct recorded *one, *two;
        world.held = true;
        one = start(&world, 0, id);
        two = start(&world, 1, id);
        world.held = false;
        world_run(&world);
        CHECK(one->done && two->done);
        CHECK((one->error.code == ST_OK) != (two->error.code == ST_OK));
        CHECK(one->error.code == ST_ALREADY_EXISTS || two->error.code == ST_ALREADY_EXISTS);
        recorded_free(one);
        recorded_free(two);
    }
    world_end(&world);
}

/* --- settings of task queues: a record without runs --- */

static struct recorded *set_limit(struct world *world, float rate)
{
    struct taskqueue_RateLimit limit = { .requests_per_second = rate };
    struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate update = { .rate_limit = &limit,
                                                                                   .reason = BYTES("why") };
    struct workflowservice_UpdateTaskQueueConfigRequest                 request = {
                        .namespace = BYTES("default"),
                        .task_queue = BYTES("queue"),
                        .task_queue_type = enums_TASK_QUEUE_TYPE_ACTIVITY,
                        .update_queue_rate_limit = &update
    };
    return send(world, 0, PB_METHOD_WorkflowService_UpdateTaskQueueConfig, &request);
}

static float limit_of(struct world *world)
{
    struct taskqueue_TaskQueue                      queue = { .name = BYTES("queue") };
    struct workflowservice_DescribeTaskQueueRequest request = {
        .namespace = BYTES("default"),
        .task_queue = &queue,
        .task_queue_type = enums_TASK_QUEUE_TYPE_ACTIVITY,
        .report_config = true
    };
    struct recorded *described = send(world, 0, PB_METHOD_WorkflowService_DescribeTaskQueue, &request);
    const struct workflowservice_DescribeTaskQueueResponse *response = answer_of(described);
    float                                                   limit = response->config == NULL
                                                                        ? -1
                                                                        : response->config->queue_rate_limit->rate_limit->requests_per_second;
    recorded_free(described);
    return limit;
}

TEST(settings_of_a_queue_are_durable_when_they_are_acknowledged_and_gone_when_they_were_not)
{
    struct world world;
    world_begin(&world, 1, true);
    CHECK(limit_of(&world) < 0);
    recorded_free(set_limit(&world, 5));
    CHECK(limit_of(&world) > 4.9F && limit_of(&world) < 5.1F);
    world.held = true;
    struct recorded *lost = set_limit(&world, 9);
    CHECK(!lost->done);
    crash(&world);
    dropped(lost);
    CHECK(limit_of(&world) > 4.9F && limit_of(&world) < 5.1F);
    recorded_free(set_limit(&world, 7));
    CHECK(limit_of(&world) > 6.9F && limit_of(&world) < 7.1F);
    world_end(&world);
}
