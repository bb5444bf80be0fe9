/* callback_test.c: completion callbacks: when they fall due, what is told, and what becomes of them. */
#include "engine/update_harness.h"

/* Callbacks as a client's request carries them. */
static struct bytes *callbacks_of(struct world *w, const char *const *urls, size_t count)
{
    struct bytes *encoded = ARENA_NEW_ARRAY(&w->arena, struct bytes, count);
    for (size_t i = 0; i < count; i++) {
        struct common_Callback_Nexus nexus = { .url = bytes_of_text(urls[i]) };
        struct common_Callback       callback = { .variant_case = 2 };
        callback.nexus = &nexus;
        encoded[i] = pb_encode_arena(&pb_common_Callback, &callback, &w->arena);
    }
    return encoded;
}

static const char *const two[] = { "http://a/1", "http://b/2" };

static struct world *started(size_t count)
{
    struct world                                         *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "start-1");
    input->completion_callbacks = callbacks_of(w, two, count);
    input->completion_callbacks_count = count;
    CHECK(world_start_send(w) != NULL);
    return w;
}

static void attach(struct world *w, const char *request_id, size_t count, enum status expected)
{
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, request_id);
    struct workflow_OnConflictOptions                     options = { .attach_request_id = true,
                                                                      .attach_completion_callbacks = true };
    input->completion_callbacks = callbacks_of(w, two, count);
    input->completion_callbacks_count = count;
    input->workflow_id_conflict_policy = enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    input->on_conflict_options = &options;
    world_step(w, world_current(w));
    CHECK_INT(w->request.base.error.code, expected);
}

static struct store_ready row_of(const struct world_run *run, size_t index)
{
    for (size_t i = 0; i < run->ready_count; i++)
        if (run->ready[i].kind == STORE_TASK_CALLBACK && run->ready[i].scheduled_event_id == (int64_t)index)
            return run->ready[i];
    fail_msg("callback %zu is not ready", index);
    return (struct store_ready){ 0 };
}

static const struct workflow_callback *load(struct world *w, struct world_run *run, struct store_ready row)
{
    world_request(w, WORKFLOW_CALLBACK_LOAD)->task = row;
    world_step(w, run);
    CHECK_INT(w->request.base.error.code, ST_OK);
    CHECK(!w->last_changed);
    return w->request.stale ? NULL : &w->request.callback;
}

/* `failure` NULL: delivered. */
static bool report(struct world *w, struct world_run *run, struct store_ready row, const char *failure,
                   bool retry)
{
    struct workflow_request *request = world_request(w, WORKFLOW_CALLBACK_REPORT);
    request->task = row;
    request->callback_retry = retry;
    if (failure != NULL)
        request->payload = app_failure(&w->arena, failure);
    world_step(w, run);
    CHECK_INT(w->request.base.error.code, ST_OK);
    CHECK(w->last_changed == !w->request.stale);
    return !w->request.stale;
}

static void due(struct world *w, struct world_run *run)
{
    w->now = MAX(w->now, execution_next_due(run->state));
    world_request(w, WORKFLOW_DUE);
    world_step(w, run);
    CHECK(w->last_changed);
}

static int32_t state_of(const struct world_run *run, uint32_t index)
{
    CHECK(index < run->state->callback_count);
    return run->state->callbacks[index].state;
}

TEST(callbacks_stand_by_until_the_chain_ends)
{
    struct world     *w = started(2);
    struct world_run *run = world_current(w);
    CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_STANDBY);
    CHECK(world_find_ready(w, STORE_TASK_CALLBACK) == NULL);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_SCHEDULED);
    CHECK_INT(state_of(run, 1), enums_CALLBACK_STATE_SCHEDULED);
    struct store_ready row = row_of(run, 1);
    CHECK_INT(row.namespace_number, 0);
    CHECK_BYTES(row.fairness_key, BYTES(WORLD_NAMESPACE_ID));
    CHECK(bytes_starts_with(row.queue, BYTES("/_sys/callbacks/")));
    const struct workflow_callback *callback = load(w, run, row);
    CHECK(callback != NULL);
    CHECK_INT(callback->close->event_type, enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED);
    CHECK_INT(callback->close_time, run->state->close_time);
    CHECK(report(w, run, row, NULL, false));
    CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_SCHEDULED);
    CHECK_INT(state_of(run, 1), enums_CALLBACK_STATE_SUCCEEDED);
    CHECK_INT(run->state->callbacks[1].attempt, 1);
    /* Told twice, as after a crash of whoever delivers: the second is of a row that went. */
    CHECK(load(w, run, row) == NULL);
    CHECK(!report(w, run, row, NULL, false));
    world_free(w);
}

TEST(what_fails_backs_off_longer_and_longer_up_to_an_hour)
{
    struct world     *w = started(1);
    struct world_run *run = world_current(w);
    CHECK_INT(world_terminate(w), ST_OK);
    for (int attempt = 1; attempt <= 15; attempt++) {
        int64_t full = attempt > 12 ? 3600 * NS_PER_S : NS_PER_S << (attempt - 1);
        CHECK(report(w, run, row_of(run, 0), "down", true));
        CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_BACKING_OFF);
        CHECK_INT(run->state->callbacks[0].attempt, attempt);
        int64_t wait = execution_next_due(run->state) - w->now;
        CHECK(wait >= full / 10 * 8 && wait <= full);
        /* Not before its time. */
        world_request(w, WORKFLOW_DUE);
        world_step(w, run);
        CHECK(!w->last_changed);
        due(w, run);
        CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_SCHEDULED);
    }
    CHECK(report(w, run, row_of(run, 0), "never", false));
    CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_FAILED);
    CHECK(execution_next_due(run->state) == TIME_NEVER);
    world_free(w);
}

TEST(continue_as_new_and_retry_carry_all_of_them_on)
{
    struct world     *w = started(1);
    struct world_run *first = world_current(w);
    struct task_ref   token = world_poll(w);
    attach(w, "second", 1, ST_OK); /* while a worker has the task: it counts at once */
    CHECK_INT(first->state->callback_count, 2);
    CHECK_INT(first->state->buffer_count, 1);
    world_complete_empty(w, token);
    CHECK_INT(first->state->callback_count, 2);
    token = world_poll(w);
    command_continue(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    struct world_run *last = world_current(w);
    CHECK(last != first);
    CHECK_INT(state_of(first, 0), enums_CALLBACK_STATE_STANDBY);
    CHECK_INT(last->state->callback_count, 2);
    CHECK_INT(state_of(last, 1), enums_CALLBACK_STATE_STANDBY);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(state_of(first, 1), enums_CALLBACK_STATE_STANDBY);
    CHECK_INT(state_of(last, 1), enums_CALLBACK_STATE_SCHEDULED);
    world_free(w);
}

TEST(callbacks_are_counted_over_starts_and_attachments)
{
    struct world *w = started(1);
    w->limits.callbacks_max = 3;
    attach(w, "second", 2, ST_OK);
    attach(w, "second", 2, ST_OK); /* seen */
    CHECK_INT(world_state(w)->callback_count, 3);
    attach(w, "third", 1, ST_FAILED_PRECONDITION);
    CHECK_INT(world_state(w)->callback_count, 3);
    CHECK_INT(world_state(w)->attached_count, 1);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(world_current(w)->ready_count, 3);
    world_free(w);
}

TEST(a_new_run_of_the_id_leaves_those_of_the_old_one_alone)
{
    struct world     *w = started(1);
    struct world_run *old = world_current(w);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK(report(w, old, row_of(old, 0), "down", true));
    world_start_request(w, "start-2");
    CHECK(world_start_send(w) != NULL);
    CHECK(world_current(w) != old);
    due(w, old);
    CHECK(load(w, old, row_of(old, 0)) != NULL);
    /* The row says which run; asked of another one it is stale. */
    CHECK(load(w, world_current(w), row_of(old, 0)) == NULL);
    CHECK(report(w, old, row_of(old, 0), NULL, false));
    CHECK_INT(state_of(old, 0), enums_CALLBACK_STATE_SUCCEEDED);
    world_free(w);
}

/* The task for the update is not in the history, and is not wanted there any more. */
TEST(a_run_that_closes_beside_an_update_leaves_no_task_behind)
{
    struct world *w = started(1);
    (void)world_completion(w, world_poll(w));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_update(w, "u"), ST_OK);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(world_news(w, "u"), UPDATE_CLOSED);
    CHECK_INT(world_current(w)->ready_count, 1);
    (void)row_of(world_current(w), 0);
    world_free(w);
}

TEST(only_those_that_are_due_are_tried_again)
{
    struct world     *w = started(2);
    struct world_run *run = world_current(w);
    CHECK_INT(world_terminate(w), ST_OK);
    struct store_ready first = row_of(run, 0), second = row_of(run, 1);
    CHECK(report(w, run, first, "down", true));
    w->now += NS_PER_S / 2;
    CHECK(report(w, run, second, "down", true));
    due(w, run);
    CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_SCHEDULED);
    CHECK_INT(state_of(run, 1), enums_CALLBACK_STATE_BACKING_OFF);
    CHECK(!report(w, run, first, NULL, false)); /* of the attempt before */
    first.scheduled_event_id = -1;
    CHECK(!report(w, run, first, NULL, false));
    due(w, run);
    CHECK_INT(state_of(run, 1), enums_CALLBACK_STATE_SCHEDULED);
    CHECK_INT(state_of(run, 0), enums_CALLBACK_STATE_SCHEDULED);
    world_free(w);
}

TEST(callbacks_of_one_place_share_a_queue_whatever_follows_its_name)
{
    static const char *const urls[] = { "http://a:1/x", "http://a:1", "http://a:1?q=/",
                                        "http://a:1#f", "temporal:x", "x" };
    struct world            *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "start-1");
    input->completion_callbacks = callbacks_of(w, urls, ARRAY_COUNT(urls));
    input->completion_callbacks_count = ARRAY_COUNT(urls);
    CHECK(world_start_send(w) != NULL);
    CHECK_INT(world_terminate(w), ST_OK);
    struct bytes queue = row_of(world_current(w), 0).queue, none = row_of(world_current(w), 4).queue;
    for (size_t i = 1; i < 4; i++)
        CHECK_BYTES(row_of(world_current(w), i).queue, queue);
    CHECK_BYTES(row_of(world_current(w), 5).queue, none);
    CHECK(!bytes_equal(queue, none));
    world_free(w);
}

TEST(a_run_that_is_retried_after_its_time_is_over_carries_them_on)
{
    struct world                                         *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "start-1");
    input->completion_callbacks = callbacks_of(w, two, 1);
    input->completion_callbacks_count = 1;
    input->workflow_run_timeout = duration_of_ns(&w->arena, 5 * NS_PER_S);
    input->retry_policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    input->retry_policy->maximum_attempts = 2;
    CHECK(world_start_send(w) != NULL);
    struct world_run *first = world_current(w);
    world_next(w);
    CHECK(world_current(w) != first);
    CHECK_INT(state_of(first, 0), enums_CALLBACK_STATE_STANDBY);
    world_next(w); /* the backoff */
    struct world_run *last = world_current(w);
    while (last->state->close_time == 0)
        world_next(w);
    CHECK_INT(state_of(last, 0), enums_CALLBACK_STATE_SCHEDULED);
    world_free(w);
}
