/* heartbeat_test.c: a worker that heartbeats keeps its attempt, one that stops loses it, and what it said last is not lost. */
#include "scenario.h"

static struct bytes attempt_of(struct recorded *polled, int32_t *ret_attempt)
{
    const struct workflowservice_PollActivityTaskQueueResponse *task = answer_of(polled);
    CHECK(task->task_token.size != 0);
    if (ret_attempt != NULL)
        *ret_attempt = task->attempt;
    return task->task_token;
}

static struct recorded *heartbeat(struct world *world, struct bytes token, struct bytes details)
{
    struct workflowservice_RecordActivityTaskHeartbeatRequest request = { .namespace = BYTES("default"),
                                                                          .task_token = token,
                                                                          .details = details };
    return send(world, 0, CALL(RecordActivityTaskHeartbeat), &request);
}

TEST(a_heartbeat_puts_the_timeout_off)
{
    struct world world;
    with_activity(&world);
    struct recorded *polled = poll_activity(&world, 0, 70 * NS_PER_S);
    struct bytes     token = attempt_of(polled, NULL);
    for (int i = 0; i < 5; i++) {
        world_advance(&world, 9 * NS_PER_S);
        expect_code(heartbeat(&world, token, BYTES_EMPTY), ST_OK);
    }
    world_advance(&world, 9900 * NS_PER_MS);
    expect_code(heartbeat(&world, token, BYTES_EMPTY), ST_OK);
    world_advance(&world, 10100 * NS_PER_MS);
    expect_code(heartbeat(&world, token, BYTES_EMPTY), ST_NOT_FOUND); /* it timed out, and is tried again */
    recorded_free(polled);
    world_end(&world);
}

TEST(details_that_only_memory_knew_reach_the_next_attempt)
{
    struct world world;
    with_activity(&world);
    struct recorded       *polled = poll_activity(&world, 0, 70 * NS_PER_S);
    struct common_Payload  payload = { .data = BYTES("the newest") };
    struct bytes           one = pb_encode_arena(&pb_common_Payload, &payload, &polled->arena);
    struct common_Payloads all = { .payloads = &one, .payloads_count = 1 };
    struct bytes           newest = pb_encode_arena(&pb_common_Payloads, &all, &polled->arena);
    struct bytes           token = attempt_of(polled, NULL);
    int32_t                attempt;
    payload.data = BYTES("an older one");
    one = pb_encode_arena(&pb_common_Payload, &payload, &polled->arena);
    world_advance(&world, 2 * NS_PER_S);
    expect_code(heartbeat(&world, token, pb_encode_arena(&pb_common_Payloads, &all, &polled->arena)), ST_OK);
    world_advance(&world, 300 * NS_PER_MS); /* so soon after the last they are not written */
    expect_code(heartbeat(&world, token, newest), ST_OK);
    world_advance(&world, 12 * NS_PER_S); /* what came next is the retry: with it they are */
    crash(&world);
    struct recorded *again = poll_activity(&world, 0, 70 * NS_PER_S);
    (void)attempt_of(again, &attempt);
    CHECK_INT(attempt, 2);
    const struct workflowservice_PollActivityTaskQueueResponse *task = answer_of(again);
    CHECK_BYTES(task->heartbeat_details, newest);
    recorded_free(again);
    recorded_free(polled);
    world_end(&world);
}

/* The stored wake-up was put off by a heartbeat that nobody has after the crash: the timer comes before both. */
TEST(a_timer_after_a_crash_does_not_wait_for_a_wakeup_that_a_heartbeat_put_off)
{
    struct world world;
    with_activity(&world);
    struct recorded *activity = poll_activity(&world, 0, 70 * NS_PER_S);
    world_advance(&world, 9 * NS_PER_S);
    expect_code(heartbeat(&world, attempt_of(activity, NULL), BYTES_EMPTY), ST_OK);
    world_advance(&world, 2 * NS_PER_S); /* the wake-up came, and the next one is in 8 s */
    crash(&world);
    expect_code(signal_run(&world, 0, "w"), ST_OK);
    struct recorded                           *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct command_StartTimerCommandAttributes timer = {
        .timer_id = BYTES("t"), .start_to_fire_timeout = duration_of_ns(&polled->arena, NS_PER_S)
    };
    struct command_Command command = { .command_type = enums_COMMAND_TYPE_START_TIMER,
                                       .attributes_case = 3,
                                       .start_timer_command_attributes = &timer };
    expect_code(complete_task(&world, 0, token_of(polled), &command, 1), ST_OK);
    recorded_free(polled);
    world_advance(&world, 1100 * NS_PER_MS);
    polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    CHECK(polled->done);
    (void)token_of(polled);
    recorded_free(polled);
    recorded_free(activity);
    world_end(&world);
}
