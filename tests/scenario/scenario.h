/* scenario.h: what scenarios do: stop between "decided" and "durable", kill the process, step clocks. For tests only. */
#ifndef SCENARIO_SCENARIO_H
#define SCENARIO_SCENARIO_H
#include "api/api_harness.h"

#define CALL(name) PB_METHOD_WorkflowService_##name

static UNUSED uint64_t batches(const struct world *world)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < world->lanes; i++) {
        struct lane_statistics statistics;
        lane_statistics(runtime_lane(world->runtime, i), &statistics);
        count += statistics.batches;
    }
    return count;
}

/* Lets reads through until one more batch than `before` is under way; it is not durable yet. */
static UNUSED void until_under_way(struct world *world, uint64_t before)
{
    for (int i = 0; i < 100 && batches(world) == before; i++) {
        world_turn(world);
        if (batches(world) == before && !store_memory_step(world->store)) {
            world->wall += NS_PER_MS;
            world->monotonic += NS_PER_MS;
        }
    }
    CHECK_EQ(batches(world), before + 1);
    for (int i = 0; i < HOPS_MAX; i++)
        world_turn(world);
}

static UNUSED struct recorded *send_held(struct world *world, uint16_t index, const void *request)
{
    world->held = true;
    return send(world, 0, index, request);
}

/* kill -9: nobody is answered, what was not durable never was. */
static UNUSED void crash(struct world *world)
{
    store_memory_crash(world->store);
    api_abandon(world->api);
    runtime_abandon(world->runtime);
    world_boot(world);
    world->held = false;
    world_run(world);
}

static UNUSED void dropped(struct recorded *call)
{
    CHECK(!call->done);
    call->done = true;
    recorded_free(call);
}

static UNUSED struct recorded *start_held(struct world *world, const char *id, const char *request_id)
{
    struct common_WorkflowType                           type = { BYTES("type") };
    struct taskqueue_TaskQueue                           queue = { .name = BYTES("queue") };
    struct workflowservice_StartWorkflowExecutionRequest request = { .namespace = BYTES("default"),
                                                                     .workflow_id = bytes_of_text(id),
                                                                     .workflow_type = &type,
                                                                     .task_queue = &queue,
                                                                     .request_id = bytes_of_text(
                                                                         request_id) };
    return send_held(world, CALL(StartWorkflowExecution), &request);
}

static UNUSED struct recorded *describe(struct world *world, const char *id)
{
    struct common_WorkflowExecution                         execution = { .workflow_id = bytes_of_text(id) };
    struct workflowservice_DescribeWorkflowExecutionRequest request = { .namespace = BYTES("default"),
                                                                        .execution = &execution };
    return send(world, 0, CALL(DescribeWorkflowExecution), &request);
}

static UNUSED struct bytes token_of(struct recorded *polled)
{
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    CHECK(task->task_token.size != 0);
    return task->task_token;
}

static UNUSED struct command_Command complete_command(void)
{
    static struct command_CompleteWorkflowExecutionCommandAttributes attributes;
    return (struct command_Command){ .command_type = enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
                                     .attributes_case = 4,
                                     .complete_workflow_execution_command_attributes = &attributes };
}

/* --- activities --- */

/* With an input, an hour to run and 10 s between heartbeats. */
static UNUSED struct command_Command activity_command(struct arena *arena)
{
    struct common_Payload payload = { .data = BYTES("the input") };
    struct bytes         *one = ARENA_NEW(arena, struct bytes);
    *one = pb_encode_arena(&pb_common_Payload, &payload, arena);
    struct common_Payloads                                all = { .payloads = one, .payloads_count = 1 };
    struct command_ScheduleActivityTaskCommandAttributes *attributes =
        ARENA_NEW(arena, struct command_ScheduleActivityTaskCommandAttributes);
    attributes->activity_id = BYTES("a");
    attributes->activity_type = ARENA_NEW(arena, struct common_ActivityType);
    attributes->activity_type->name = BYTES("activity");
    attributes->task_queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    attributes->task_queue->name = BYTES("queue");
    attributes->input = pb_encode_arena(&pb_common_Payloads, &all, arena);
    attributes->start_to_close_timeout = duration_of_ns(arena, 3600 * NS_PER_S);
    attributes->heartbeat_timeout = duration_of_ns(arena, 10 * NS_PER_S);
    return (struct command_Command){ .command_type = enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
                                     .attributes_case = 2,
                                     .schedule_activity_task_command_attributes = attributes };
}

/* A workflow whose activity waits for a poller. */
static UNUSED void with_activity(struct world *world)
{
    world_begin(world, 1, true);
    recorded_free(start(world, 0, "w"));
    struct recorded       *polled = poll_workflow(world, 0, 70 * NS_PER_S);
    struct command_Command command = activity_command(&polled->arena);
    expect_code(complete_task(world, 0, token_of(polled), &command, 1), ST_OK);
    recorded_free(polled);
}
#endif
