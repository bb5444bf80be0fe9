/* memory_test.c: what only memory knows, when memory is short or the process is another one. */
#include "scenario.h"

static struct recorded *update(struct world *world, const char *id)
{
    struct common_WorkflowExecution                       execution = { .workflow_id = bytes_of_text(id) };
    struct update_Meta                                    meta = { .update_id = BYTES("u") };
    struct update_Input                                   input = { .name = BYTES("up") };
    struct update_Request                                 what = { .meta = &meta, .input = &input };
    struct workflowservice_UpdateWorkflowExecutionRequest request = { .namespace = BYTES("default"),
                                                                      .workflow_execution = &execution,
                                                                      .request = &what };
    return send_timed(world, 0, CALL(UpdateWorkflowExecution), &request, 60 * NS_PER_S);
}

/* Until a worker has accepted it an update is nowhere but in memory. */
TEST(an_update_that_waits_outlives_a_shortage_of_memory)
{
    struct world world;
    char         id[16];
    world_begin(&world, 1, true);
    world.memory_limit = 20000;
    crash(&world);
    recorded_free(start(&world, 0, "w"));
    struct recorded *updating = update(&world, "w");
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof(id), "other-%d", i);
        recorded_free(start(&world, 0, id));
    }
    struct lane_statistics statistics;
    lane_statistics(runtime_lane(world.runtime, 0), &statistics);
    CHECK(statistics.evictions > 30);
    CHECK(!updating->done);
    struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S); /* the oldest task is that of "w" */
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    CHECK_BYTES(task->workflow_execution->workflow_id, BYTES("w"));
    CHECK_INT(task->messages_count, 1);
    expect_code(complete_task(&world, 0, task->task_token, NULL, 0),
                ST_OK); /* a worker that knows no updates */
    recorded_free(polled);
    recorded_free(updating);
    world_end(&world);
}

static struct recorded *query(struct world *world)
{
    struct common_WorkflowExecution             execution = { .workflow_id = BYTES("w") };
    struct query_WorkflowQuery                  what = { .query_type = BYTES("state") };
    struct workflowservice_QueryWorkflowRequest request = { .namespace = BYTES("default"),
                                                            .execution = &execution,
                                                            .query = &what };
    return send(world, 0, CALL(QueryWorkflow), &request);
}

static struct recorded *answer(struct world *world, struct bytes token)
{
    struct workflowservice_RespondQueryTaskCompletedRequest request = {
        .namespace = BYTES("default"), .task_token = token, .completed_type = enums_QUERY_RESULT_TYPE_ANSWERED
    };
    return send(world, 0, CALL(RespondQueryTaskCompleted), &request);
}

/* Queries are numbered from 1 by every process. */
TEST(an_answer_to_a_query_of_the_process_before_answers_none_of_this_one)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    expect_code(complete_task(&world, 0, token_of(polled), NULL, 0), ST_OK);
    struct recorded *before = query(&world);
    struct recorded *task_before = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct bytes     token_before = token_of(task_before);
    crash(&world);
    dropped(before);
    struct recorded *after = query(&world);
    struct recorded *task_after = poll_workflow(&world, 0, 70 * NS_PER_S);
    (void)token_of(task_after);
    expect_code(answer(&world, token_before), ST_NOT_FOUND);
    CHECK(!after->done);
    expect_code(answer(&world, token_of(task_after)), ST_OK);
    expect_code(after, ST_OK);
    recorded_free(task_before);
    recorded_free(task_after);
    recorded_free(polled);
    world_end(&world);
}

static struct recorded *signal_once(struct world *world, int number)
{
    static const uint8_t                                  text[512];
    char                                                  request_id[24];
    struct common_WorkflowExecution                       execution = { .workflow_id = BYTES("w") };
    struct common_Payload                                 payload = { .data = bytes_of(text, sizeof(text)) };
    struct arena                                          arena;
    struct common_Payloads                                input = { .payloads_count = 1 };
    struct workflowservice_SignalWorkflowExecutionRequest request = { .namespace = BYTES("default"),
                                                                      .workflow_execution = &execution,
                                                                      .signal_name = BYTES("signal") };
    arena_init(&arena, SIZE_MAX);
    struct bytes encoded = pb_encode_arena(&pb_common_Payload, &payload, &arena);
    input.payloads = &encoded;
    snprintf(request_id, sizeof(request_id), "request-%d", number);
    request.request_id = bytes_of_text(request_id);
    request.input = pb_encode_arena(&pb_common_Payloads, &input, &arena);
    struct recorded *sent = send(world, 0, CALL(SignalWorkflowExecution), &request);
    arena_release(&arena);
    return sent;
}

/* The transitions that held the signals are not read again: the snapshot behind them is. */
TEST(a_signal_that_is_sent_again_after_a_restart_is_known_from_the_snapshot)
{
    enum { SIGNALS = 40 };
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    for (int i = 0; i < SIGNALS; i++)
        expect_code(signal_once(&world, i), ST_OK);
    crash(&world);
    for (int i = 0; i < SIGNALS; i++)
        expect_code(signal_once(&world, i), ST_OK);
    struct recorded *read = history(&world, 0, "w", false, 0, BYTES_EMPTY);
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(read);
    CHECK_INT(page->history->events_count, 2 + SIGNALS);
    recorded_free(read);
    world_end(&world);
}
