/* fuzz_token.c: task tokens and page tokens that somebody has meddled with.
 *
 * Input: a byte chooses the call, a byte the way: the true token with bytes changed, with fields added (the last one counts),
 * or other bytes altogether.
 * What must hold: a task is completed, failed or heartbeaten only by a token that names this very attempt; a token that is
 * none is refused, never with INTERNAL; what is decoded encodes to what decodes the same.
 */
#include <stdio.h>

#include "api/api_harness.h"
#include "base/log.h"
#include "fuzz.h"
#include "generate.h"

struct choice {
    uint16_t    method;
    bool        of_activity;
    const char *field;
};
static const struct choice choices[] = {
    { PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted, false, "task_token" },
    { PB_METHOD_WorkflowService_RespondWorkflowTaskFailed, false, "task_token" },
    { PB_METHOD_WorkflowService_RespondActivityTaskCompleted, true, "task_token" },
    { PB_METHOD_WorkflowService_RespondActivityTaskFailed, true, "task_token" },
    { PB_METHOD_WorkflowService_RespondActivityTaskCanceled, true, "task_token" },
    { PB_METHOD_WorkflowService_RecordActivityTaskHeartbeat, true, "task_token" },
    { PB_METHOD_WorkflowService_RespondQueryTaskCompleted, false, "task_token" },
    { PB_METHOD_WorkflowService_GetWorkflowExecutionHistory, false, "next_page_token" },
    { PB_METHOD_WorkflowService_GetWorkflowExecutionHistoryReverse, false, "next_page_token" },
    { PB_METHOD_WorkflowService_ListWorkflowExecutions, false, "next_page_token" },
    { PB_METHOD_WorkflowService_ListNamespaces, false, "next_page_token" },
};

/* A workflow whose task is in a worker's hands, and another whose activity is. */
static void prepare(struct world *world, struct buffer *workflow_token, struct buffer *activity_token)
{
    struct common_ActivityType                           type = { .name = BYTES("type") };
    struct taskqueue_TaskQueue                           queue = { .name = BYTES("queue") };
    struct google_Duration                               minute = { .seconds = 60 };
    struct recorded                                     *poll, *done;
    struct command_ScheduleActivityTaskCommandAttributes attributes = { .activity_id = BYTES("a"),
                                                                        .activity_type = &type,
                                                                        .task_queue = &queue,
                                                                        .start_to_close_timeout = &minute };
    struct command_Command                               command = {
                                      .command_type = enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
                                      .attributes_case = 2,
                                      .schedule_activity_task_command_attributes = &attributes,
    };
    expect_code(start(world, 0, "with-activity"), ST_OK);
    poll = poll_workflow(world, 0, 30 * NS_PER_S);
    struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
    done = complete_task(world, 0, task->task_token, &command, 1);
    expect_code(done, ST_OK);
    recorded_free(poll);
    poll = poll_activity(world, 0, 30 * NS_PER_S);
    buffer_append(activity_token,
                  ((struct workflowservice_PollActivityTaskQueueResponse *)answer_of(poll))->task_token);
    recorded_free(poll);
    expect_code(start(world, 0, "with-task"), ST_OK);
    poll = poll_workflow(world, 0, 30 * NS_PER_S);
    buffer_append(workflow_token,
                  ((struct workflowservice_PollWorkflowTaskQueueResponse *)answer_of(poll))->task_token);
    recorded_free(poll);
}

static void meddle(struct fuzz_input *input, struct buffer *token)
{
    struct pools pools = { .bytes = 512 };
    unsigned     way = fuzz_below(input, 4);
    if (way == 0) {
        buffer_clear(token);
        buffer_append(token, fuzz_rest(input));
    } else if (way == 1) {
        generate(input, &pools, pb_message_find(BYTES("perdure.token.v1.Task")), token);
        pools_release(&pools);
    } else {
        for (unsigned changes = fuzz_below(input, 4); changes > 0 && token->size > 0; changes--)
            token->base[fuzz_byte(input) % token->size] = fuzz_byte(input);
        if (way == 2)
            token->size -= MIN(token->size, (size_t)fuzz_below(input, 4));
    }
}

static void check_decoding(struct bytes token)
{
    struct arena    arena;
    struct task_ref task, again;
    struct error    error;
    arena_init(&arena, 1 << 20);
    if (task_token_decode(token, &arena, &task, &error) == ST_OK) {
        struct bytes once = task_token_encode(&task, &arena);
        FUZZ_REQUIRE(task_token_decode(once, &arena, &again, &error) == ST_OK &&
                         bytes_equal(task_token_encode(&again, &arena), once),
                     "a token decodes to another");
    } else {
        FUZZ_REQUIRE(error.code == ST_INVALID_ARGUMENT || error.code == ST_RESOURCE_EXHAUSTED, "%s",
                     error.message);
    }
    arena_release(&arena);
}

/* Whether both name one attempt of one task. */
static bool is_same_task(struct bytes one, struct bytes other)
{
    struct arena    arena;
    struct task_ref a, b;
    struct error    error;
    arena_init(&arena, SIZE_MAX);
    bool same = task_token_decode(one, &arena, &a, &error) == ST_OK &&
                task_token_decode(other, &arena, &b, &error) == ST_OK && a.kind == b.kind &&
                bytes_equal(a.namespace_id, b.namespace_id) && bytes_equal(a.workflow_id, b.workflow_id) &&
                memcmp(&a.run_id, &b.run_id, sizeof a.run_id) == 0 &&
                a.scheduled_event_id == b.scheduled_event_id && a.attempt == b.attempt &&
                a.started_time == b.started_time;
    arena_release(&arena);
    return same;
}

static void append_named(struct buffer *to, const struct pb_message *message, const char *name,
                         struct bytes value)
{
    for (size_t i = 0; i < message->field_count; i++) {
        const struct pb_field *field = &pb_message_fields(message)[i];
        if (strcmp(pb_field_name(field), name) != 0)
            continue;
        buffer_append_varint(to, (uint64_t)field->number << 3 | 2);
        buffer_append_varint(to, value.size);
        buffer_append(to, value);
    }
}

static void check_call(struct world *world, const struct choice *choice, struct bytes token,
                       struct bytes true_token)
{
    static const struct bytes execution = BYTES("\x0a\x09with-task");
    const struct pb_method   *method = &pb_methods[choice->method];
    struct buffer             request = { 0 };
    append_named(&request, method->request, "namespace", BYTES("default"));
    append_named(&request, method->request, "execution", execution);
    append_named(&request, method->request, choice->field, token);
    struct recorded *call = send_raw(world, 0, method, buffer_bytes(&request));
    world_run(world);
    world_advance(world, NS_PER_MS);
    if (!call->done)
        peer_gone(call); /* a long poll of a history that goes on */
    world_run(world);
    FUZZ_REQUIRE(call->done, "%s is not answered", (const char *)method->name.base);
    FUZZ_REQUIRE(call->error.code != ST_INTERNAL && call->error.code != ST_UNKNOWN &&
                     call->error.code != ST_DATA_LOSS,
                 "%s: %s", (const char *)method->name.base, call->error.message);
    if (call->error.code == ST_OK && strcmp(choice->field, "task_token") == 0)
        FUZZ_REQUIRE(is_same_task(token, true_token), "%s takes a token that is not this task's",
                     (const char *)method->name.base);
    recorded_free(call);
    buffer_release(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input    input = { data, size };
    const struct choice *choice = &choices[fuzz_below(&input, ARRAY_COUNT(choices))];
    struct world         world;
    struct buffer        workflow_token = { 0 }, activity_token = { 0 }, token = { 0 };
    log_set_level(LOG_OFF);
    world_begin(&world, 1, false);
    prepare(&world, &workflow_token, &activity_token);
    struct bytes true_token = buffer_bytes(choice->of_activity ? &activity_token : &workflow_token);
    buffer_append(&token, true_token);
    meddle(&input, &token);
    check_decoding(buffer_bytes(&token));
    check_call(&world, choice, buffer_bytes(&token), true_token);
    world_end(&world);
    buffer_release(&workflow_token);
    buffer_release(&activity_token);
    buffer_release(&token);
    return 0;
}
