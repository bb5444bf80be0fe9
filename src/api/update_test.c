/* update_test.c: calls that wait for updates: how they end, on one lane and on four. */
#include "api/api_harness.h"

static const struct {
    uint32_t lanes;
    bool     manual;
} worlds[] = { { 1, false }, { 1, true }, { 4, false }, { 4, true } };

#define STAGE(name) enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_##name

#define FOR_EACH_WORLD(world)                                                                                \
    for (size_t world_index = 0; world_index < ARRAY_COUNT(worlds); world_index++)                           \
        for (struct world world##_value,                                                                     \
             *world = (world_begin(&world##_value, worlds[world_index].lanes, worlds[world_index].manual),   \
                       &world##_value);                                                                      \
             world != NULL; world_end(world), world = NULL)

/* A workflow that has completed its first task and waits. */
static void begin_idle(struct world *world, const char *id)
{
    recorded_free(start(world, 0, id));
    struct recorded *polled = poll_workflow(world, 0, 70 * NS_PER_S);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    expect_code(complete_task(world, 0, task->task_token, NULL, 0), ST_OK);
    recorded_free(polled);
}

static struct recorded *update(struct world *world, uint32_t lane, const char *id, const char *update_id,
                               int64_t timeout_ns)
{
    struct common_WorkflowExecution                       execution = { .workflow_id = bytes_of_text(id) };
    struct update_Meta                                    meta = { .update_id = bytes_of_text(update_id) };
    struct update_Input                                   input = { .name = BYTES("up") };
    struct update_Request                                 what = { .meta = &meta, .input = &input };
    struct workflowservice_UpdateWorkflowExecutionRequest request = { .namespace = BYTES("default"),
                                                                      .workflow_execution = &execution,
                                                                      .request = &what };
    return send_timed(world, lane, PB_METHOD_WorkflowService_UpdateWorkflowExecution, &request, timeout_ns);
}

static struct recorded *poll_update(struct world *world, uint32_t lane, const char *id, const char *update_id)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(id) };
    struct update_UpdateRef ref = { .workflow_execution = &execution, .update_id = bytes_of_text(update_id) };
    struct update_WaitPolicy policy = { .lifecycle_stage = STAGE(COMPLETED) };
    struct workflowservice_PollWorkflowExecutionUpdateRequest request = { .namespace = BYTES("default"),
                                                                          .update_ref = &ref,
                                                                          .wait_policy = &policy };
    return send_timed(world, lane, PB_METHOD_WorkflowService_PollWorkflowExecutionUpdate, &request,
                      60 * NS_PER_S);
}

TEST(a_wait_ends_with_the_stage_that_was_reached)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, "w");
        struct recorded *updating = update(world, world->lanes - 1, "w", "u", 60 * NS_PER_S);
        struct recorded *impatient = update(world, 0, "w", "u", 3 * NS_PER_S);
        world_advance(world, 4 * NS_PER_S);
        expect_code(impatient, ST_DEADLINE_EXCEEDED);
        struct recorded *polling = poll_update(world, 0, "w", "u");
        world_advance(world, 15 * NS_PER_S);
        CHECK(!updating->done && !polling->done);
        world_advance(world, 2 * NS_PER_S);
        const struct workflowservice_UpdateWorkflowExecutionResponse *answer = answer_of(updating);
        CHECK_INT(answer->stage, STAGE(ADMITTED));
        CHECK(answer->outcome == NULL);
        CHECK_BYTES(answer->update_ref->update_id, BYTES("u"));
        world_advance(world, 4 * NS_PER_S);
        CHECK_INT(
            ((const struct workflowservice_PollWorkflowExecutionUpdateResponse *)answer_of(polling))->stage,
            STAGE(ADMITTED));
        recorded_free(updating);
        recorded_free(polling);
    }
}

TEST(everyone_who_waits_hears_of_a_rejection)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, "w");
        struct recorded *poll = poll_workflow(world, 0, 70 * NS_PER_S);
        struct recorded *updating = update(world, world->lanes - 1, "w", "u", 60 * NS_PER_S);
        struct recorded *joining = update(world, 0, "w", "u", 60 * NS_PER_S);
        struct recorded *polling = poll_update(world, 0, "w", "u");
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
        CHECK_INT(task->messages_count, 1);
        CHECK_INT(task->started_event_id, 6);
        CHECK(!updating->done && !joining->done && !polling->done);
        expect_code(complete_task(world, 0, task->task_token, NULL, 0), ST_OK);
        CHECK_INT(
            ((const struct workflowservice_UpdateWorkflowExecutionResponse *)answer_of(updating))->stage,
            STAGE(COMPLETED));
        CHECK_INT(((const struct workflowservice_UpdateWorkflowExecutionResponse *)answer_of(joining))
                      ->outcome->value_case,
                  2);
        CHECK_INT(
            ((const struct workflowservice_PollWorkflowExecutionUpdateResponse *)answer_of(polling))->stage,
            STAGE(COMPLETED));
        expect_code(poll_update(world, 0, "w", "u"), ST_NOT_FOUND);
        recorded_free(poll);
        recorded_free(updating);
        recorded_free(joining);
        recorded_free(polling);
    }
}

TEST(a_worker_that_comes_late_finds_the_task_without_a_row)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, "w");
        struct recorded *updating = update(world, world->lanes - 1, "w", "u", 60 * NS_PER_S);
        world_advance(world, 2 * NS_PER_S);
        struct recorded *poll = poll_workflow(world, 0, 70 * NS_PER_S);
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(poll);
        CHECK_INT(task->history->events_count, 6);
        expect_code(complete_task(world, 0, task->task_token, NULL, 0), ST_OK);
        CHECK(updating->done);
        recorded_free(poll);
        recorded_free(updating);
    }
}

TEST(a_task_that_no_worker_takes_is_written_after_five_seconds)
{
    FOR_EACH_WORLD(world)
    {
        begin_idle(world, "w");
        struct recorded *updating = update(world, world->lanes - 1, "w", "u", 60 * NS_PER_S);
        world_advance(world, 4 * NS_PER_S);
        struct recorded *before = history(world, 0, "w", false, 0, BYTES_EMPTY);
        world_advance(world, 2 * NS_PER_S);
        struct recorded *after = history(world, 0, "w", false, 0, BYTES_EMPTY);
        CHECK_INT(((const struct workflowservice_GetWorkflowExecutionHistoryResponse *)answer_of(before))
                      ->history->events_count,
                  5); /* the last of them is not written */
        CHECK_INT(((const struct workflowservice_GetWorkflowExecutionHistoryResponse *)answer_of(after))
                      ->history->events_count,
                  7);
        recorded_free(before);
        recorded_free(after);
        world_advance(world, 15 * NS_PER_S);
        expect_code(updating, ST_OK);
    }
}
