/* query_test.c: queries on their ways: direct, with a workflow task, refused, too late; with one lane and with four. */
#include "api/api_harness.h"

static const struct {
    uint32_t lanes;
    bool     manual;
} worlds[] = { { 1, false }, { 1, true }, { 4, false }, { 4, true } };

static const char *const ids[] = { "a", "b", "c", "d", "e" };

/* A workflow that has completed its first task and waits; returns with nothing pending. */
static void begin_idle(struct world *world, uint32_t lane, const char *id)
{
    recorded_free(start(world, lane, id));
    struct recorded *polled = poll_workflow(world, lane, 70 * NS_PER_S);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    expect_code(complete_task(world, lane, task->task_token, NULL, 0), ST_OK);
    recorded_free(polled);
}

static struct recorded *query(struct world *world, uint32_t lane, const char *id, int64_t timeout_ns)
{
    struct common_WorkflowExecution             execution = { .workflow_id = bytes_of_text(id) };
    struct query_WorkflowQuery                  what = { .query_type = BYTES("what") };
    struct workflowservice_QueryWorkflowRequest request = { .namespace = BYTES("default"),
                                                            .execution = &execution,
                                                            .query = &what };
    return send_timed(world, lane, PB_METHOD_WorkflowService_QueryWorkflow, &request, timeout_ns);
}

static struct bytes payloads_of(const char *text)
{
    static uint8_t        encoded[64];
    struct common_Payload payload = { .data = bytes_of_text(text) };
    struct buffer         inner, outer;
    struct bytes          list;
    buffer_init(&inner);
    buffer_init(&outer);
    pb_encode(&pb_common_Payload, &payload, &inner);
    list = buffer_bytes(&inner);
    struct common_Payloads payloads = { .payloads = &list, .payloads_count = 1 };
    pb_encode(&pb_common_Payloads, &payloads, &outer);
    assert(outer.size <= sizeof encoded);
    memcpy(encoded, outer.base, outer.size);
    struct bytes result = bytes_of(encoded, outer.size);
    buffer_release(&inner);
    buffer_release(&outer);
    return result;
}

static struct recorded *respond(struct world *world, uint32_t lane, struct bytes token, int32_t type)
{
    struct workflowservice_RespondQueryTaskCompletedRequest request = { .task_token = token,
                                                                        .completed_type = type,
                                                                        .query_result = payloads_of("answer"),
                                                                        .error_message = BYTES("it failed") };
    return send(world, lane, PB_METHOD_WorkflowService_RespondQueryTaskCompleted, &request);
}

#define FOR_EACH_WORLD(world)                                                                                \
    for (size_t world_index = 0; world_index < ARRAY_COUNT(worlds); world_index++)                           \
        for (struct world world##_value,                                                                     \
             *world = (world_begin(&world##_value, worlds[world_index].lanes, worlds[world_index].manual),   \
                       &world##_value);                                                                      \
             world != NULL; world_end(world), world = NULL)

TEST(a_query_of_an_idle_workflow_goes_to_a_worker_with_the_whole_history)
{
    FOR_EACH_WORLD(world)
    {
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            uint32_t lane = (uint32_t)(i % world->lanes);
            begin_idle(world, lane, ids[i]);
            struct recorded *poll = i % 2 == 0 ? poll_workflow(world, 0, 70 * NS_PER_S) : NULL;
            struct recorded *asked = query(world, lane, ids[i], 10 * NS_PER_S);
            CHECK(!asked->done);
            if (poll == NULL)
                poll = poll_workflow(world, 0, 70 * NS_PER_S);
            const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
            CHECK(task->query != NULL);
            CHECK_BYTES(task->query->query_type, BYTES("what"));
            CHECK_INT(task->started_event_id, 0);
            CHECK_INT(task->previous_started_event_id, 3);
            CHECK_INT(task->history->events_count, 4);
            expect_code(respond(world, world->lanes - 1, task->task_token, enums_QUERY_RESULT_TYPE_ANSWERED),
                        ST_OK);
            const struct workflowservice_QueryWorkflowResponse *response = answer_of(asked);
            CHECK_BYTES(response->query_result, payloads_of("answer"));
            /* The same answer once more is too late. */
            expect_code(respond(world, 0, task->task_token, enums_QUERY_RESULT_TYPE_ANSWERED), ST_NOT_FOUND);
            recorded_free(poll);
            recorded_free(asked);
        }
    }
}

TEST(a_failed_query_is_an_invalid_argument_with_the_workers_words)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, 0, "w");
        struct recorded *asked = query(world, world->lanes - 1, "w", 10 * NS_PER_S);
        struct recorded *poll = poll_workflow(world, 0, 70 * NS_PER_S);
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
        expect_code(respond(world, 0, task->task_token, enums_QUERY_RESULT_TYPE_FAILED), ST_OK);
        CHECK(asked->done);
        CHECK_TEXT(asked->error.message, "it failed");
        CHECK(bytes_equal_text(asked->error.detail_type, "temporal.api.errordetails.v1.QueryFailedFailure"));
        expect_code(asked, ST_INVALID_ARGUMENT);
        recorded_free(poll);
    }
}

TEST(a_query_that_no_worker_answers_ends_at_its_deadline)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, 0, "w");
        struct recorded *asked = query(world, world->lanes - 1, "w", 3 * NS_PER_S);
        struct recorded *assigned = query(world, 0, "w", 20 * NS_PER_S);
        world_advance(world, 4 * NS_PER_S);
        expect_code(asked, ST_DEADLINE_EXCEEDED);
        struct recorded *poll = poll_workflow(world, 0, 70 * NS_PER_S);
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
        CHECK(task->query != NULL);
        world_advance(world, 20 * NS_PER_S);
        expect_code(assigned, ST_DEADLINE_EXCEEDED);
        expect_code(respond(world, 0, task->task_token, enums_QUERY_RESULT_TYPE_ANSWERED), ST_NOT_FOUND);
        recorded_free(poll);
    }
}

TEST(a_caller_that_went_away_takes_its_query_along)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, 0, "w");
        struct recorded *asked = query(world, world->lanes - 1, "w", 20 * NS_PER_S);
        peer_gone(asked);
        world_run(world);
        CHECK(asked->done);
        recorded_free(asked);
        struct recorded *poll = poll_workflow(world, 0, 2 * NS_PER_S);
        world_advance(world, 3 * NS_PER_S);
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
        CHECK_INT(task->task_token.size, 0);
        recorded_free(poll);
    }
}

/* Its answer is on the way, through the history that is read for it, when the peer leaves. */
TEST(a_query_whose_poller_went_away_goes_to_the_next_one)
{
    struct world world;
    world_begin(&world, 1, true);
    begin_idle(&world, 0, "w");
    struct recorded *gone = poll_workflow(&world, 0, 70 * NS_PER_S);
    gone->dead = true; /* the wire knows, and says so when it is asked */
    struct recorded *asked = query(&world, 0, "w", 20 * NS_PER_S);
    CHECK(gone->done);
    CHECK(!asked->done);
    recorded_free(gone);
    struct recorded *poll = poll_workflow(&world, 0, 70 * NS_PER_S);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
    CHECK(task->query != NULL);
    expect_code(respond(&world, 0, task->task_token, enums_QUERY_RESULT_TYPE_ANSWERED), ST_OK);
    answer_of(asked);
    recorded_free(asked);
    recorded_free(poll);
    world_end(&world);
}

/* Completes a task with an answer to the one query that rides on it. */
static struct recorded *answer_query(struct world                                               *world,
                                     const struct workflowservice_PollWorkflowTaskQueueResponse *task)
{
    struct query_WorkflowQueryResult result = { .result_type = enums_QUERY_RESULT_TYPE_ANSWERED,
                                                .answer = payloads_of("x") };
    struct workflowservice_RespondWorkflowTaskCompletedRequest_QueryResultsEntry entry = {
        task->queries[0].key, &result
    };
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = { .task_token = task->task_token,
                                                                           .query_results = &entry,
                                                                           .query_results_count = 1 };
    return send(world, 0, PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted, &request);
}

TEST(a_query_rides_with_the_pending_task_and_a_second_one_is_busy)
{
    FOR_EACH_WORLD(world)
    {
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            uint32_t lane = (uint32_t)(i % world->lanes);
            begin_idle(world, 0, ids[i]);
            recorded_free(signal_run(world, lane, ids[i]));
            struct recorded *asked = query(world, lane, ids[i], 20 * NS_PER_S);
            CHECK(!asked->done);
            struct recorded *second = query(world, 0, ids[i], 20 * NS_PER_S);
            CHECK(bytes_equal_text(second->error.detail_type,
                                   "temporal.api.errordetails.v1.ResourceExhaustedFailure"));
            expect_code(second, ST_RESOURCE_EXHAUSTED);
            struct recorded *poll = poll_workflow(world, lane, 70 * NS_PER_S);
            const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
            CHECK_INT(task->queries_count, 1);
            CHECK_BYTES(task->queries[0].value->query_type, BYTES("what"));
            expect_code(answer_query(world, task), ST_OK);
            const struct workflowservice_QueryWorkflowResponse *response = answer_of(asked);
            CHECK_BYTES(response->query_result, payloads_of("x"));
            recorded_free(asked);
            recorded_free(poll);
        }
    }
}

#define FILL_COUNT 16

/* Starts in every lane, so that what is decided after them is durable after them, and together. */
static void fill_batches(struct world *world, char prefix, struct recorded **starts)
{
    for (size_t i = 0; i < FILL_COUNT; i++)
        starts[i] = start(world, 0, (char[]){ prefix, (char)('a' + i), 0 });
}

/* The signal waits in the run's buffer, so the task that a worker is about to get does not show it. */
TEST(a_query_does_not_ride_with_a_task_that_had_started_when_it_came)
{
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct world world;
        world_begin(&world, 4, true);
        begin_idle(&world, 0, ids[i]);
        recorded_free(signal_run(&world, 0, ids[i]));
        world.held = true;
        struct recorded *starts[2][FILL_COUNT];
        fill_batches(&world, 'x', starts[0]);
        fill_batches(&world, 'y', starts[1]);
        struct recorded *poll = poll_workflow(&world, 0, 70 * NS_PER_S);
        struct recorded *signalled = signal_run(&world, 0, ids[i]);
        struct recorded *asked = query(&world, 0, ids[i], 20 * NS_PER_S);
        CHECK(!poll->done && !signalled->done && !asked->done);
        world.held = false;
        world_run(&world);
        for (size_t j = 0; j < ARRAY_COUNT(starts); j++)
            for (size_t k = 0; k < FILL_COUNT; k++)
                recorded_free(starts[j][k]);
        expect_code(signalled, ST_OK);
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
        CHECK_BYTES(task->workflow_execution->workflow_id, bytes_of_text(ids[i]));
        CHECK_INT(task->queries_count, 0);
        expect_code(complete_task(&world, 0, task->task_token, NULL, 0), ST_OK);
        do {
            recorded_free(poll);
            poll = poll_workflow(&world, 0, 70 * NS_PER_S);
            task = answer_of(poll);
        } while (!bytes_equal_text(task->workflow_execution->workflow_id, ids[i]));
        CHECK_INT(task->queries_count, 1); /* and the signal is in its history */
        expect_code(answer_query(&world, task), ST_OK);
        answer_of(asked);
        recorded_free(asked);
        recorded_free(poll);
        world_end(&world);
    }
}

TEST(a_query_that_its_task_left_unanswered_goes_out_directly)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, 0, "w");
        recorded_free(signal_run(world, 0, "w"));
        struct recorded *asked = query(world, world->lanes - 1, "w", 20 * NS_PER_S);
        struct recorded *poll = poll_workflow(world, 0, 70 * NS_PER_S);
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
        CHECK_INT(task->queries_count, 1);
        expect_code(complete_task(world, 0, task->task_token, NULL, 0), ST_OK);
        recorded_free(poll);
        CHECK(!asked->done);
        poll = poll_workflow(world, 0, 70 * NS_PER_S);
        task = answer_of(poll);
        CHECK(task->query != NULL);
        CHECK_INT(task->history->events_count, 8);
        expect_code(respond(world, 0, task->task_token, enums_QUERY_RESULT_TYPE_ANSWERED), ST_OK);
        answer_of(asked);
        recorded_free(asked);
        recorded_free(poll);
    }
}

TEST(a_query_before_any_task_waits_for_it_and_ends_with_the_drain)
{
    FOR_EACH_WORLD(world)
    {
        recorded_free(start(world, 0, "w"));
        struct recorded *asked = query(world, world->lanes - 1, "w", 20 * NS_PER_S);
        CHECK(!asked->done);
        for (uint32_t i = 0; i < world->lanes; i++)
            api_drain(runtime_lane(world->runtime, i));
        world_run(world);
        expect_code(asked, ST_UNAVAILABLE);
    }
}

TEST(queries_of_nothing_and_nonsense)
{
    struct world world;
    world_begin(&world, 1, false);
    expect_code(query(&world, 0, "nobody", NS_PER_S), ST_NOT_FOUND);
    struct common_WorkflowExecution             execution = { .workflow_id = BYTES("w") };
    struct workflowservice_QueryWorkflowRequest request = { .namespace = BYTES("default"),
                                                            .execution = &execution };
    expect_code(send(&world, 0, PB_METHOD_WorkflowService_QueryWorkflow, &request), ST_INVALID_ARGUMENT);
    expect_code(respond(&world, 0, BYTES("garbage"), 1), ST_INVALID_ARGUMENT);
    /* A token of an earlier process: well-formed, and nobody's. */
    struct workflowservice_DescribeNamespaceRequest which = { .namespace = BYTES("default") };
    struct recorded *described = send(&world, 0, PB_METHOD_WorkflowService_DescribeNamespace, &which);
    const struct workflowservice_DescribeNamespaceResponse *response = answer_of(described);
    struct task_ref task = { .namespace_id = response->namespace_info->id,
                             .workflow_id = BYTES("w"),
                             .kind = STORE_TASK_WORKFLOW,
                             .is_query = true,
                             .query_id = BYTES("0123456789abcdef") };
    expect_code(respond(&world, 0, task_token_encode(&task, &described->arena), 1), ST_NOT_FOUND);
    recorded_free(described);
    world_end(&world);
}
