/* operator_test.c: pauses, resets and options where time, races and rows matter; the rest is tested over the wire. */
#include "engine/engine_harness.h"

static struct world *begun(struct task_ref *ret_token)
{
    struct world *w = world_new(1);
    world_start(w);
    *ret_token = world_poll(w);
    return w;
}

/* A run with one pending activity, `a`; retries after a minute. */
static struct world *with_activity(uint64_t seed)
{
    struct world *w = world_new(seed);
    world_start(w);
    struct command_ScheduleActivityTaskCommandAttributes *activity =
        command_activity(w, world_completion(w, world_poll(w)), "a");
    activity->retry_policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    activity->retry_policy->initial_interval = duration_of_ns(&w->arena, 60 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    return w;
}

static const struct activity *the_activity(struct world *w)
{
    return execution_activity_by_id(world_state(w), BYTES("a"));
}

static enum status pause_activity(struct world *w)
{
    struct workflow_request                     *request = world_request(w, ACTIVITY_PAUSE);
    struct workflowservice_PauseActivityRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_PauseActivityRequest);
    *input = (struct workflowservice_PauseActivityRequest){
        .activity_case = 4, .id = BYTES("a"), .identity = BYTES("op"), .reason = BYTES("why")
    };
    request->input = input;
    return world_run_step(w, world_current(w));
}

static enum status unpause_activity(struct world *w, int64_t jitter)
{
    struct workflow_request                       *request = world_request(w, ACTIVITY_UNPAUSE);
    struct workflowservice_UnpauseActivityRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_UnpauseActivityRequest);
    *input = (struct workflowservice_UnpauseActivityRequest){ .activity_case = 4, .id = BYTES("a") };
    input->jitter = duration_of_ns(&w->arena, jitter);
    request->input = input;
    return world_run_step(w, world_current(w));
}

static enum status reset_activity(struct world *w, bool keep_paused)
{
    struct workflow_request                     *request = world_request(w, ACTIVITY_RESET);
    struct workflowservice_ResetActivityRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_ResetActivityRequest);
    *input = (struct workflowservice_ResetActivityRequest){ .activity_case = 4,
                                                            .id = BYTES("a"),
                                                            .keep_paused = keep_paused };
    request->input = input;
    return world_run_step(w, world_current(w));
}

static enum status update_activity(struct world *w, const char *path,
                                   struct activity_ActivityOptions *options)
{
    struct workflow_request                             *request = world_request(w, ACTIVITY_UPDATE_OPTIONS);
    struct workflowservice_UpdateActivityOptionsRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_UpdateActivityOptionsRequest);
    *input = (struct workflowservice_UpdateActivityOptionsRequest){ .activity_case = 6,
                                                                    .id = BYTES("a"),
                                                                    .activity_options = options };
    input->update_mask = ARENA_NEW(&w->arena, struct google_FieldMask);
    input->update_mask->paths = ARENA_NEW_ARRAY(&w->arena, struct bytes, 1);
    input->update_mask->paths[0] = bytes_of_text(path);
    input->update_mask->paths_count = 1;
    request->input = input;
    return world_run_step(w, world_current(w));
}

static enum status pause_run(struct world *w)
{
    struct workflow_request *request = world_request(w, WORKFLOW_PAUSE);
    request->input = ARENA_NEW(&w->arena, struct workflowservice_PauseWorkflowExecutionRequest);
    return world_run_step(w, world_current(w));
}

static enum status unpause_run(struct world *w)
{
    struct workflow_request *request = world_request(w, WORKFLOW_UNPAUSE);
    request->input = ARENA_NEW(&w->arena, struct workflowservice_UnpauseWorkflowExecutionRequest);
    return world_run_step(w, world_current(w));
}

/* A search attribute of the run's row as JSON text; empty when it has none. */
static struct bytes row_attribute(struct world *w, const char *name)
{
    struct common_SearchAttributes attributes = { 0 };
    struct error                   error = { 0 };
    struct bytes                   encoded = world_current(w)->row.search_attributes;
    if (encoded.size != 0)
        CHECK_INT(pb_decode(&pb_common_SearchAttributes, encoded, &w->arena, &attributes, &error), ST_OK);
    for (size_t i = 0; i < attributes.indexed_fields_count; i++) {
        struct common_Payload payload;
        if (!bytes_equal_text(attributes.indexed_fields[i].key, name))
            continue;
        CHECK_INT(pb_decode(&pb_common_Payload, attributes.indexed_fields[i].value, &w->arena, &payload,
                            &error),
                  ST_OK);
        return payload.data;
    }
    return BYTES_EMPTY;
}

/* --- activities --- */

TEST(a_row_from_before_a_pause_starts_nothing)
{
    struct world      *w = with_activity(1);
    struct store_ready row = *world_find_ready(w, STORE_TASK_ACTIVITY);
    CHECK_INT(pause_activity(w), ST_OK);
    CHECK_PTR(world_find_ready(w, STORE_TASK_ACTIVITY), NULL);
    for (int i = 0; i < 2; i++) { /* while it is paused, and after */
        struct workflow_request *request = world_request(w, ACTIVITY_TASK_START);
        request->task = row;
        world_step(w, world_current(w));
        CHECK(request->stale && !w->last_changed);
        if (i == 0)
            CHECK_INT(unpause_activity(w, 0), ST_OK);
    }
    struct activity_ref ref = world_poll_activity(w);
    CHECK_INT(ref.task.attempt, 1);
    CHECK_INT(world_activity_complete(w, ref), ST_OK);
    world_free(w);
}

TEST(a_paused_activity_waits_for_nothing)
{
    struct world *w = with_activity(1);
    CHECK_INT(world_activity_fail(w, world_poll_activity(w), app_failure(&w->keep, "f")), ST_OK);
    CHECK_INT(execution_next_due(world_state(w)), w->now + 60 * NS_PER_S);
    CHECK_INT(pause_activity(w), ST_OK);
    CHECK(execution_next_due(world_state(w)) == TIME_NEVER);
    world_advance(w, 3600 * NS_PER_S);
    CHECK_INT(world_due(w), 0);
    CHECK_INT(the_activity(w)->attempt, 2);
    CHECK_INT(unpause_activity(w, 0), ST_OK);
    CHECK_INT(the_activity(w)->scheduled_time, w->now);
    CHECK_INT(world_poll_activity(w).task.attempt, 2);
    world_free(w);
}

TEST(jitter_is_random_and_bounded)
{
    int64_t low = INT64_MAX, high = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *w = with_activity(seed);
        CHECK_INT(pause_activity(w), ST_OK);
        CHECK_INT(unpause_activity(w, 100 * NS_PER_S), ST_OK);
        int64_t delay = the_activity(w)->scheduled_time - w->now;
        CHECK(delay >= 0 && delay < 100 * NS_PER_S);
        low = MIN(low, delay);
        high = MAX(high, delay);
        CHECK_PTR(world_find_ready(w, STORE_TASK_ACTIVITY), NULL);
        CHECK_INT(execution_next_due(world_state(w)), w->now + delay);
        world_next(w);
        CHECK_INT(world_poll_activity(w).task.attempt, 1);
        world_free(w);
    }
    CHECK(low < 20 * NS_PER_S && high > 80 * NS_PER_S);
}

TEST(a_reset_attempt_keeps_its_token)
{
    struct world *w = with_activity(1);
    CHECK_INT(world_activity_fail(w, world_poll_activity(w), app_failure(&w->keep, "f")), ST_OK);
    world_next(w);
    struct activity_ref ref = world_poll_activity(w);
    CHECK_INT(ref.task.attempt, 2);
    CHECK_INT(reset_activity(w, false), ST_OK);
    CHECK_INT(the_activity(w)->attempt, 1);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, ref, BYTES_EMPTY), ST_OK);
    CHECK(w->request.activity_reset && !w->request.activity_paused);
    /* Its timeout is that of a first attempt, so a second one follows. */
    world_next(w);
    CHECK_INT(the_activity(w)->attempt, 2);
    CHECK(!the_activity(w)->was_reset);
    CHECK_INT(world_activity_complete(w, ref), ST_NOT_FOUND);
    world_free(w);
}

TEST(a_reset_is_forgotten_when_the_activity_waits)
{
    struct world *w = with_activity(1);
    CHECK_INT(reset_activity(w, false), ST_OK);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, world_poll_activity(w), BYTES_EMPTY), ST_OK);
    CHECK(!w->request.activity_reset);
    world_free(w);
}

TEST(options_move_a_backoff)
{
    struct world *w = with_activity(1);
    int64_t       failed = w->now;
    CHECK_INT(world_activity_fail(w, world_poll_activity(w), app_failure(&w->keep, "f")), ST_OK);
    struct google_Duration          interval = { .seconds = 7 };
    struct common_RetryPolicy       policy = { .initial_interval = &interval };
    struct activity_ActivityOptions options = { .retry_policy = &policy };
    CHECK_INT(update_activity(w, "retry_policy.initial_interval", &options), ST_OK);
    CHECK_INT(the_activity(w)->scheduled_time, failed + 7 * NS_PER_S);
    /* What has nothing to do with it leaves the time alone. */
    world_advance(w, 3 * NS_PER_S);
    options = (struct activity_ActivityOptions){ .heartbeat_timeout = &interval };
    CHECK_INT(update_activity(w, "heartbeat_timeout", &options), ST_OK);
    CHECK_INT(the_activity(w)->scheduled_time, failed + 7 * NS_PER_S);
    CHECK_INT(the_activity(w)->heartbeat, 7 * NS_PER_S);
    world_next(w);
    CHECK_INT(w->now, failed + 7 * NS_PER_S);
    struct activity_ref ref = world_poll_activity(w);
    CHECK_INT(ref.task.attempt, 2);
    world_free(w);
}

TEST(options_of_a_paused_activity_do_not_hand_it_out)
{
    struct world *w = with_activity(1);
    CHECK_INT(pause_activity(w), ST_OK);
    struct taskqueue_TaskQueue      queue = { .name = BYTES("other") };
    struct activity_ActivityOptions options = { .task_queue = &queue };
    CHECK_INT(update_activity(w, "taskQueue.name", &options), ST_OK);
    CHECK_PTR(world_find_ready(w, STORE_TASK_ACTIVITY), NULL);
    CHECK_INT(unpause_activity(w, 0), ST_OK);
    CHECK_BYTES(world_find_ready(w, STORE_TASK_ACTIVITY)->queue, BYTES("other"));
    world_free(w);
}

/* Found by power cuts: the row kept the run's old priority, and `store verify` took it for damage. */
TEST(an_activity_that_waits_does_so_by_its_runs_new_priority)
{
    struct world                *w = with_activity(1);
    const struct common_Priority priority = { .priority_key = 1, .fairness_key = BYTES("tenant") };
    struct bytes                 path = BYTES("priority");
    struct google_FieldMask      mask = { .paths = &path, .paths_count = 1 };
    struct store_ready           before = *world_find_ready(w, STORE_TASK_ACTIVITY);
    struct workflow_WorkflowExecutionOptions options = { .priority = pb_encode_arena(&pb_common_Priority,
                                                                                     &priority, &w->arena) };
    struct workflow_request                 *request = world_request(w, WORKFLOW_UPDATE_OPTIONS);
    struct workflowservice_UpdateWorkflowExecutionOptionsRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_UpdateWorkflowExecutionOptionsRequest);
    input->workflow_execution_options = &options;
    input->update_mask = &mask;
    request->input = input;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    const struct store_ready *after = world_find_ready(w, STORE_TASK_ACTIVITY);
    CHECK(after->sequence > before.sequence);
    CHECK_INT(before.priority, 3);
    CHECK_INT(after->priority, 1);
    CHECK(bytes_equal_text(after->fairness_key, "tenant"));
    CHECK_INT(after->stamp, before.stamp);
    struct activity_ref ref = world_poll_activity(w);
    CHECK_INT(ref.task.attempt, 1);
    CHECK_PTR(world_find_ready(w, STORE_TASK_ACTIVITY), NULL);
    CHECK_INT(world_activity_complete(w, ref), ST_OK);
    world_free(w);
}

TEST(a_bad_option_changes_none_of_many)
{
    struct world                   *w = with_activity(1);
    struct activity_ActivityOptions options = { 0 };
    CHECK_INT(update_activity(w, "start_to_close_timeout", &options), ST_INVALID_ARGUMENT);
    CHECK(!w->last_changed);
    CHECK_INT(update_activity(w, "nonsense", &options), ST_INVALID_ARGUMENT);
    CHECK_INT(update_activity(w, "", &options), ST_INVALID_ARGUMENT);
    CHECK_INT(update_activity(w, "task_queue.name", &options), ST_INVALID_ARGUMENT);
    CHECK_INT(the_activity(w)->start_to_close, 10 * NS_PER_S);
    world_free(w);
}

static const struct activity *activity_named(struct world *w, const char *id)
{
    return execution_activity_by_id(world_state(w), bytes_of_text(id));
}

TEST(activities_are_chosen_by_id_by_type_or_all_of_them)
{
    struct world *w = world_new(1);
    world_start(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, world_poll(w));
    command_activity(w, input, "a");
    command_activity(w, input, "b");
    command_activity(w, input, "c")->activity_type->name = BYTES("Other");
    CHECK_INT(world_send(w), ST_OK);

    struct workflowservice_PauseActivityRequest pause = { .activity_case = 5, .type = BYTES("Act") };
    world_request(w, ACTIVITY_PAUSE)->input = &pause;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    CHECK(activity_named(w, "a")->pause.time != 0 && activity_named(w, "b")->pause.time != 0);
    CHECK_INT(activity_named(w, "c")->pause.time, 0);

    struct activity_ActivityOptions                     options = { 0 };
    struct workflowservice_UpdateActivityOptionsRequest update = { .activity_case = 7, .type = BYTES("Act") };
    struct bytes                                        path = BYTES("heartbeat_timeout");
    struct google_FieldMask                             mask = { .paths = &path, .paths_count = 1 };
    options.heartbeat_timeout = duration_of_ns(&w->keep, 3 * NS_PER_S);
    update.activity_options = &options;
    update.update_mask = &mask;
    world_request(w, ACTIVITY_UPDATE_OPTIONS)->input = &update;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    CHECK_INT(activity_named(w, "a")->heartbeat, 3 * NS_PER_S);
    CHECK_INT(activity_named(w, "c")->heartbeat, 0);
    update = (struct workflowservice_UpdateActivityOptionsRequest){ .activity_case = 9, .match_all = true };
    update.activity_options = &options;
    update.update_mask = &mask;
    world_request(w, ACTIVITY_UPDATE_OPTIONS)->input = &update;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    CHECK_INT(activity_named(w, "c")->heartbeat, 3 * NS_PER_S);

    struct workflowservice_ResetActivityRequest reset = { .activity_case = 5, .type = BYTES("Act") };
    reset.restore_original_options = true;
    reset.keep_paused = true;
    world_request(w, ACTIVITY_RESET)->input = &reset;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    CHECK_INT(activity_named(w, "b")->heartbeat, 0);
    CHECK_INT(activity_named(w, "c")->heartbeat, 3 * NS_PER_S);
    reset = (struct workflowservice_ResetActivityRequest){ .activity_case = 10, .match_all = true };
    reset.keep_paused = true;
    world_request(w, ACTIVITY_RESET)->input = &reset;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    CHECK(activity_named(w, "a")->pause.time != 0);

    struct workflowservice_UnpauseActivityRequest unpause = { .activity_case = 5, .type = BYTES("Other") };
    world_request(w, ACTIVITY_UNPAUSE)->input = &unpause;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    CHECK(!w->last_changed);
    unpause = (struct workflowservice_UnpauseActivityRequest){ .activity_case = 6, .unpause_all = true };
    world_request(w, ACTIVITY_UNPAUSE)->input = &unpause;
    CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    CHECK(activity_named(w, "a")->pause.time == 0 && activity_named(w, "b")->pause.time == 0);
    unpause = (struct workflowservice_UnpauseActivityRequest){ .activity_case = 4, .id = BYTES("nobody") };
    world_request(w, ACTIVITY_UNPAUSE)->input = &unpause;
    CHECK_INT(world_run_step(w, world_current(w)), ST_NOT_FOUND);
    world_free(w);
}

TEST(every_option_has_its_path)
{
    struct world           *w = with_activity(1);
    struct google_Duration *seconds = duration_of_ns(&w->keep, 5 * NS_PER_S),
                           *hour = duration_of_ns(&w->keep, 3600 * NS_PER_S);
    struct taskqueue_TaskQueue queue = { .name = BYTES("q1") };
    struct common_RetryPolicy  policy = {
         .initial_interval = seconds, .backoff_coefficient = 3, .maximum_interval = hour, .maximum_attempts = 9
    };
    struct activity_ActivityOptions options = { .task_queue = &queue,
                                                .retry_policy = &policy,
                                                .schedule_to_close_timeout = hour,
                                                .schedule_to_start_timeout = seconds,
                                                .start_to_close_timeout = seconds,
                                                .heartbeat_timeout = seconds };
    static const char *const        paths[] = {
        "task_queue.name",
        "schedule_to_close_timeout",
        "schedule_to_start_timeout",
        "start_to_close_timeout",
        "heartbeat_timeout",
        "retry_policy.maximum_interval",
        "retry_policy.maximum_attempts",
        "retry_policy.initial_interval",
        "retry_policy.backoff_coefficient",
    };
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        if (update_activity(w, paths[i], &options) != ST_OK)
            fail_msg("%s: %s", paths[i], w->request.base.error.message);
    }
    const struct activity    *activity = the_activity(w);
    struct common_RetryPolicy found = { 0 };
    CHECK_BYTES(activity->queue, BYTES("q1"));
    CHECK_INT(activity->schedule_to_close, 3600 * NS_PER_S);
    CHECK_INT(activity->schedule_to_start, 5 * NS_PER_S);
    CHECK_INT(activity->start_to_close, 5 * NS_PER_S);
    CHECK_INT(activity->heartbeat, 5 * NS_PER_S);
    CHECK_INT(pb_decode(&pb_common_RetryPolicy, activity->retry_policy, &w->arena, &found, NULL), ST_OK);
    CHECK_INT(found.initial_interval->seconds, 5);
    CHECK_INT(found.maximum_interval->seconds, 3600);
    CHECK_INT(found.maximum_attempts, 9);
    CHECK(found.backoff_coefficient == 3);

    static const char *const queues[] = { "task_queue", "task_queue_name" };
    for (size_t i = 0; i < ARRAY_COUNT(queues); i++) {
        queue.name = bytes_of_text(queues[i]);
        CHECK_INT(update_activity(w, queues[i], &options), ST_OK);
        CHECK_BYTES(the_activity(w)->queue, queue.name);
    }
    policy.maximum_attempts = 4;
    CHECK_INT(update_activity(w, "retry_policy", &options), ST_OK);
    options.retry_policy = NULL;
    CHECK_INT(update_activity(w, "retry_policy", &options), ST_INVALID_ARGUMENT);
    CHECK_INT(update_activity(w, "retry_policy.maximum_attempts", &options), ST_INVALID_ARGUMENT);
    options.priority = BYTES("\x0a\x7f");
    CHECK(update_activity(w, "priority.priority_key", &options) != ST_OK);
    world_free(w);
}

TEST(an_activity_moves_to_no_queue_that_is_none)
{
    struct world                   *w = with_activity(1);
    struct taskqueue_TaskQueue      queue = { .name = BYTES_EMPTY };
    struct activity_ActivityOptions options = { .task_queue = &queue };
    w->limits.id_size_max = 6;
    CHECK_INT(update_activity(w, "task_queue.name", &options), ST_INVALID_ARGUMENT);
    CHECK_TEXT(w->request.base.error.message, "TaskQueue name is not set or longer than 6 bytes.");
    queue.name = BYTES("seven b");
    CHECK_INT(update_activity(w, "task_queue.name", &options), ST_INVALID_ARGUMENT);
    queue.name = BYTES("/_sys/");
    CHECK_INT(update_activity(w, "task_queue.name", &options), ST_INVALID_ARGUMENT);
    CHECK_TEXT(w->request.base.error.message, "TaskQueue begins with the reserved prefix /_sys/.");
    CHECK_BYTES(the_activity(w)->queue, BYTES("queue"));
    world_free(w);
}

TEST(the_row_names_what_is_paused)
{
    struct world *w = with_activity(1);
    CHECK_INT(row_attribute(w, "TemporalPauseInfo").size, 0);
    CHECK_INT(pause_activity(w), ST_OK);
    CHECK_BYTES(row_attribute(w, "TemporalPauseInfo"), BYTES("[\"property:activityType=Act\"]"));
    CHECK_INT(pause_run(w), ST_OK);
    CHECK_BYTES(row_attribute(w, "TemporalPauseInfo"),
                BYTES("[\"Workflow:wf\",\"property:activityType=Act\"]"));
    CHECK_INT(world_current(w)->row.status, enums_WORKFLOW_EXECUTION_STATUS_PAUSED);
    CHECK_INT(unpause_run(w), ST_OK);
    CHECK_INT(world_current(w)->row.status, enums_WORKFLOW_EXECUTION_STATUS_RUNNING);
    command_cancel_activity(w, world_completion(w, world_poll(w)), 5);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(row_attribute(w, "TemporalPauseInfo").size, 0);
    world_free(w);
}

/* --- the run --- */

TEST(a_sticky_task_is_everybodys_after_a_pause)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    completion_sticky(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_BYTES(world_find_ready(w, STORE_TASK_WORKFLOW)->queue, BYTES("sticky"));
    CHECK_INT(pause_run(w), ST_OK);
    CHECK_PTR(world_find_ready(w, STORE_TASK_WORKFLOW), NULL);
    CHECK(execution_next_due(world_state(w)) == TIME_NEVER); /* nobody can be late for it */
    world_advance(w, 3600 * NS_PER_S);
    CHECK_INT(unpause_run(w), ST_OK);
    CHECK_BYTES(world_find_ready(w, STORE_TASK_WORKFLOW)->queue, BYTES("queue"));
    token = world_poll(w);
    CHECK_INT(w->request.delivery.first_event_id, 1);
    world_complete_empty(w, token);
    world_free(w);
}

TEST(a_transient_task_becomes_a_real_one_after_a_pause)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    CHECK(world_state(w)->task.is_transient);
    CHECK_INT(pause_run(w), ST_OK);
    CHECK_INT(unpause_run(w), ST_OK);
    token = world_poll(w);
    CHECK_INT(token.attempt, 1);
    world_complete_empty(w, token);
    CHECK_TEXT(world_history(w, 5), "5 WORKFLOW_EXECUTION_PAUSED\n6 WORKFLOW_EXECUTION_UNPAUSED\n"
                                    "7 WORKFLOW_TASK_SCHEDULED{queue,1}\n8 WORKFLOW_TASK_STARTED{7}\n"
                                    "9 WORKFLOW_TASK_COMPLETED{7,8}");
    world_free(w);
}

TEST(a_transient_task_that_fails_while_paused_is_followed_by_a_first_attempt)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    token = world_poll(w);
    CHECK_INT(pause_run(w), ST_OK);
    CHECK_INT(world_task_fail(w, token), ST_OK);
    CHECK(!world_state(w)->task.is_pending);
    CHECK_INT(unpause_run(w), ST_OK);
    CHECK_INT(world_poll(w).attempt, 1);
    world_free(w);
}

TEST(an_attempt_that_nobody_received_is_held_back)
{
    struct world       *w = with_activity(1);
    struct activity_ref ref = world_poll_activity(w);
    CHECK_INT(pause_run(w), ST_OK);
    world_request(w, ACTIVITY_TASK_RETURN)->token = ref.task;
    world_step(w, world_current(w));
    CHECK(w->last_changed && the_activity(w)->started_time == 0);
    CHECK_PTR(world_find_ready(w, STORE_TASK_ACTIVITY), NULL);
    CHECK_INT(unpause_run(w), ST_OK);
    CHECK_INT(world_poll_activity(w).task.attempt, 1);
    CHECK_INT(world_activity_complete(w, ref), ST_NOT_FOUND);
    world_free(w);
}

TEST(only_the_whole_time_of_an_activity_goes_on_in_a_paused_run)
{
    struct task_ref                                       token;
    struct world                                         *w = begun(&token);
    struct command_ScheduleActivityTaskCommandAttributes *activity =
        command_activity(w, world_completion(w, token), "a");
    activity->schedule_to_start_timeout = duration_of_ns(&w->arena, 5 * NS_PER_S);
    activity->schedule_to_close_timeout = duration_of_ns(&w->arena, 60 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    int64_t scheduled = w->now;
    CHECK_INT(pause_run(w), ST_OK);
    CHECK_INT(execution_next_due(world_state(w)), scheduled + 60 * NS_PER_S);
    world_advance(w, 30 * NS_PER_S);
    CHECK_INT(unpause_run(w), ST_OK);
    CHECK_INT(execution_next_due(world_state(w)), w->now + 5 * NS_PER_S); /* it is offered anew */
    CHECK_INT(pause_run(w), ST_OK);
    world_next(w);
    CHECK_INT(w->now, scheduled + 60 * NS_PER_S);
    CHECK_PTR(the_activity(w), NULL);
    CHECK(world_find_ready(w, STORE_TASK_WORKFLOW) == NULL);
    world_free(w);
}

TEST(an_eager_activity_is_not_started_in_a_paused_run)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(pause_run(w), ST_OK);
    command_activity(w, world_completion(w, token), "a")->request_eager_execution = true;
    CHECK_INT(world_send(w), ST_OK);
    const struct workflowservice_RespondWorkflowTaskCompletedResponse *response = w->request.response;
    CHECK_INT(response->activity_tasks_count, 0);
    CHECK_INT(the_activity(w)->started_time, 0);
    CHECK_INT(unpause_run(w), ST_OK);
    CHECK_INT(world_poll_activity(w).task.attempt, 1);
    world_free(w);
}

TEST(a_worker_that_wants_the_next_task_gets_none_of_a_paused_run)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(pause_run(w), ST_OK);
    world_completion(w, token)->return_new_workflow_task = true;
    CHECK_INT(world_send(w), ST_OK);
    CHECK(!w->request.has_delivery && !w->request.workflow_task_pending);
    CHECK_INT(unpause_run(w), ST_OK);
    world_complete_empty(w, world_poll(w));
    world_free(w);
}

TEST(a_pause_ends_with_the_run)
{
    struct world *w = with_activity(1);
    CHECK_INT(pause_activity(w), ST_OK);
    CHECK_INT(pause_run(w), ST_OK);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(world_state(w)->pause.time, 0);
    CHECK_INT(world_state(w)->status, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
    CHECK_INT(row_attribute(w, "TemporalPauseInfo").size, 0);
    world_free(w);
}

/* --- problems --- */

TEST(the_row_reports_problems_until_a_task_completes)
{
    struct task_ref token;
    struct world   *w = begun(&token);
    for (int i = 1; i <= PROBLEMS_REPORTED_FROM; i++) {
        CHECK_INT(row_attribute(w, "TemporalReportedProblems").size, 0);
        CHECK_INT(world_task_fail(w, token), ST_OK);
        token = world_poll(w);
    }
    CHECK_BYTES(row_attribute(w, "TemporalReportedProblems"),
                BYTES("[\"category=WorkflowTaskFailed\","
                      "\"cause=WorkflowTaskFailedCauseWorkflowWorkerUnhandledFailure\"]"));
    world_next(w);
    CHECK_BYTES(row_attribute(w, "TemporalReportedProblems"),
                BYTES("[\"category=WorkflowTaskTimedOut\",\"cause=WorkflowTaskTimedOutCauseStartToClose\"]"));
    world_complete_empty(w, world_poll(w));
    CHECK_INT(row_attribute(w, "TemporalReportedProblems").size, 0);
    world_free(w);
}
