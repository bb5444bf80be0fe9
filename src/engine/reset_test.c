/* reset_test.c: runs that begin again from one of their workflow tasks, and runs that are deleted. */
#include "engine/engine_harness.h"

#include <stdio.h>

#define FIRST_TASK                                                                                           \
    "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_TASK_SCHEDULED{queue,1}\n3 WORKFLOW_TASK_STARTED{2}\n"

/* Events 5 (activity), 6 (timer), 7 (signal "one"), 8 to 10 (a task), 11 (signal "two"), 12 (a task scheduled). */
static struct world *world_with_much(void)
{
    struct world *w = world_new(1);
    world_start(w);
    struct task_ref                                             token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_activity(w, input, "a");
    command_timer(w, input, "t", 100 * NS_PER_S);
    CHECK_INT(world_send(w), ST_OK);
    world_advance(w, NS_PER_S);
    CHECK_INT(world_signal(w, "one", "signal-1"), ST_OK);
    world_complete_empty(w, world_poll(w));
    CHECK_INT(world_signal(w, "two", "signal-2"), ST_OK);
    world_advance(w, NS_PER_S);
    return w;
}

static const struct history_WorkflowTaskFailedEventAttributes *failed_at(struct world *w, int64_t event_id)
{
    const struct history_HistoryEvent *event = world_event(w, world_current(w), event_id);
    CHECK_INT(event->event_type, enums_EVENT_TYPE_WORKFLOW_TASK_FAILED);
    return event_attributes(event);
}

TEST(a_running_run_is_reset)
{
    struct world *w = world_with_much();
    CHECK_INT(world_reset(w, -1, 4, "reset-1"), ST_OK);
    CHECK_INT(w->run_count, 2);
    CHECK_TEXT(world_history(w, 1),
               FIRST_TASK "4 WORKFLOW_TASK_FAILED{2,3,RESET_WORKFLOW,history-service,other}\n5 "
                          "WORKFLOW_EXECUTION_SIGNALED{one}\n"
                          "6 WORKFLOW_EXECUTION_SIGNALED{two}\n7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    const struct history_WorkflowTaskFailedEventAttributes *failed = failed_at(w, 4);
    CHECK_BYTES(failed->identity, BYTES("history-service"));
    CHECK_BYTES(failed->base_run_id, uuid_text(&w->keep, &w->runs[0]->identity.run_id));
    CHECK_BYTES(failed->new_run_id, uuid_text(&w->keep, &w->runs[1]->identity.run_id));
    const struct execution *base = w->runs[0]->state, *made = w->runs[1]->state;
    CHECK_INT(base->status, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
    CHECK_BYTES(execution_lineage(base)->reset_run_id, failed->new_run_id);
    CHECK(workflow_kind.is_superseded(base) && !workflow_kind.is_superseded(made));
    CHECK_INT(made->start_time, w->now);
    CHECK_INT(execution_lineage(made)->original_start_time, base->start_time);
    CHECK_BYTES(made->start_request_id, base->start_request_id);
    CHECK(memcmp(&made->first_run_id, &base->run_id, sizeof(struct uuid)) == 0);
    CHECK_INT(made->activity_count, 0);
    CHECK_INT(made->timer_count, 0);
    CHECK(execution_signal_seen(made, BYTES("signal-1")) && execution_signal_seen(made, BYTES("signal-2")));
    world_complete_empty(w, world_poll(w));
    world_free(w);
}

TEST(what_is_pending_at_the_cut_is_pending_again)
{
    struct world       *w = world_with_much();
    struct activity_ref activity = world_poll_activity(w);
    int64_t             fire_time = world_state(w)->timers[0].fire_time;
    CHECK_INT(world_reset(w, 0, 10, "reset-1"), ST_OK);
    const struct execution *made = world_state(w);
    CHECK_INT(made->activity_count, 1);
    CHECK_INT(made->timer_count, 1);
    CHECK_INT(made->timers[0].fire_time, fire_time);
    const struct activity *again = made->activities[0].record;
    CHECK_INT(again->scheduled_time, w->now);
    CHECK_INT(again->first_scheduled_time, w->now);
    CHECK_INT(again->started_time, 0);
    CHECK(again->sequence != 0);
    CHECK_INT(world_activity_complete(w, activity), ST_NOT_FOUND);
    CHECK_INT(world_activity_complete(w, world_poll_activity(w)), ST_OK);
    world_free(w);
}

TEST(a_task_that_nobody_has_started_gets_a_start)
{
    struct world *w = world_with_much();
    CHECK_INT(world_reset(w, -1, 9, "reset-1"), ST_OK);
    CHECK_INT(failed_at(w, 10)->scheduled_event_id, 8);
    CHECK_INT(failed_at(w, 10)->started_event_id, 9);
    const struct history_WorkflowTaskStartedEventAttributes *started = event_attributes(
        world_event(w, world_current(w), 9));
    CHECK_BYTES(started->identity, BYTES("history-service"));
    world_free(w);
}

TEST(only_the_beginning_of_a_batch_with_a_task_pending_can_be_reset_to)
{
    struct world        *w = world_with_much();
    static const int64_t wrong[] = { -1, 0, 1, 2, 5, 6, 7, 8, 11, 12, 13, 14, 1000 };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        CHECK_INT(world_reset(w, -1, wrong[i], "reset-1"), ST_INVALID_ARGUMENT);
        CHECK(!w->last_changed);
    }
    CHECK_INT(w->run_count, 1);
    world_free(w);
}

TEST(closed_runs_and_older_runs)
{
    struct world   *w = world_with_much();
    struct task_ref token = world_poll(w);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    size_t base_events = w->runs[0]->event_count;
    CHECK_INT(world_reset(w, 0, 10, "reset-1"), ST_OK);
    CHECK_INT(w->runs[0]->state->status, enums_WORKFLOW_EXECUTION_STATUS_COMPLETED);
    CHECK_INT(w->runs[0]->event_count, base_events);
    /* The base is not the current run: three runs are written. */
    CHECK_INT(world_reset(w, 0, 4, "reset-2"), ST_OK);
    CHECK_INT(w->run_count, 3);
    CHECK_INT(w->runs[1]->state->status, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
    CHECK_BYTES(execution_lineage(w->runs[0]->state)->reset_run_id,
                uuid_text(&w->keep, &w->runs[2]->identity.run_id));
    CHECK_INT(execution_lineage(w->runs[1]->state)->reset_run_id.size, 0);
    /* A run that was reset itself: the beginning of its beginning. */
    world_complete_empty(w, world_poll(w));
    CHECK_INT(world_reset(w, 1, 4, "reset-3"), ST_OK);
    const struct lineage *lineage = execution_lineage(world_state(w));
    CHECK_INT(lineage->prefix_count, 1);
    CHECK_INT(lineage->prefix[0].branch, w->runs[0]->identity.number);
    CHECK_INT(lineage->prefix[0].last_event_id, 3);
    CHECK_INT(lineage->original_start_time, w->runs[0]->state->start_time);
    world_free(w);
}

TEST(segments_follow_each_other)
{
    struct world *w = world_with_much();
    CHECK_INT(world_reset(w, -1, 10, "reset-1"), ST_OK);
    world_complete_empty(w, world_poll(w)); /* 11 signaled, 12 to 14 */
    CHECK_INT(world_reset(w, -1, 14, "reset-2"), ST_OK);
    const struct lineage *lineage = execution_lineage(world_state(w));
    CHECK_INT(lineage->prefix_count, 2);
    CHECK_INT(lineage->prefix[0].branch, w->runs[0]->identity.number);
    CHECK_INT(lineage->prefix[0].last_event_id, 9);
    CHECK_INT(lineage->prefix[1].branch, w->runs[1]->identity.number);
    CHECK_INT(lineage->prefix[1].last_event_id, 13);
    CHECK_INT(failed_at(w, 14)->scheduled_event_id, 12);
    world_free(w);
}

/* The second run is reset to before its own beginning, so nothing of it is in what comes of that. */
TEST(a_run_reset_to_before_its_own_beginning)
{
    struct world *w = world_with_much();
    CHECK_INT(world_reset(w, -1, 10, "reset-1"), ST_OK);
    CHECK_INT(world_reset(w, -1, 4, "reset-2"), ST_OK);
    CHECK_INT(execution_lineage(world_state(w))->prefix_count, 1);
    world_complete_empty(w, world_poll(w)); /* 7 to 9 */
    CHECK_INT(world_signal(w, "three", "signal-3"), ST_OK);
    world_complete_empty(w, world_poll(w)); /* 10 signaled, 11 to 13 */
    CHECK_INT(world_reset(w, -1, 9, "reset-3"), ST_OK);
    CHECK_TEXT(world_history(w, 1),
               FIRST_TASK "4 WORKFLOW_TASK_FAILED{2,3,RESET_WORKFLOW,history-service,other}\n"
                          "5 WORKFLOW_EXECUTION_SIGNALED{one}\n6 WORKFLOW_EXECUTION_SIGNALED{two}\n"
                          "7 WORKFLOW_TASK_SCHEDULED{queue,1}\n8 WORKFLOW_TASK_STARTED{7}\n"
                          "9 WORKFLOW_TASK_FAILED{7,8,RESET_WORKFLOW,history-service,other}\n"
                          "10 WORKFLOW_EXECUTION_SIGNALED{three}\n11 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_state(w)->activity_count, 0);
    /* Beyond where the second run began. */
    CHECK_INT(world_reset(w, 2, 13, "reset-4"), ST_OK);
    CHECK_INT(failed_at(w, 13)->scheduled_event_id, 11);
    const struct lineage *lineage = execution_lineage(world_state(w));
    CHECK_INT(lineage->prefix_count, 2);
    CHECK_INT(lineage->prefix[0].branch, w->runs[0]->identity.number);
    CHECK_INT(lineage->prefix[0].last_event_id, 3);
    CHECK_INT(lineage->prefix[1].branch, w->runs[2]->identity.number);
    CHECK_INT(lineage->prefix[1].last_event_id, 12);
    world_free(w);
}

TEST(a_repeated_reset_is_answered_with_the_run_it_made)
{
    struct world *w = world_with_much();
    CHECK_INT(world_reset(w, 0, 4, "reset-1"), ST_OK);
    CHECK_INT(world_reset(w, 0, 4, "reset-1"), ST_OK);
    CHECK(!w->last_changed);
    const struct workflowservice_ResetWorkflowExecutionResponse *response = w->request.response;
    CHECK_BYTES(response->run_id, uuid_text(&w->keep, &world_current(w)->identity.run_id));
    CHECK_INT(w->run_count, 2);
    world_free(w);
}

/* Repeats a request of before, with or without the run's id: the answer is the run that it made then. */
static void repeat(struct world *w, int base, const char *request_id, unsigned made)
{
    size_t count = w->run_count;
    CHECK_INT(world_reset(w, base, 4, request_id), ST_OK);
    CHECK(!w->last_changed);
    CHECK_INT(w->run_count, count);
    const struct workflowservice_ResetWorkflowExecutionResponse *response = w->request.response;
    CHECK_BYTES(response->run_id, uuid_text(&w->keep, &w->runs[made]->identity.run_id));
}

TEST(resets_before_the_last_are_known_by_their_request_ids)
{
    struct world *w = world_with_much();
    CHECK_INT(world_reset(w, 0, 4, "reset-1"), ST_OK);
    CHECK_INT(world_reset(w, 0, 4, "reset-2"), ST_OK);
    CHECK_INT(world_reset(w, -1, 4, "reset-3"), ST_OK);
    CHECK_INT(w->run_count, 4);
    for (int base = -1; base <= 0; base++) {
        repeat(w, base, "reset-1", 1);
        repeat(w, base, "reset-2", 2);
    }
    repeat(w, -1, "reset-3", 3);
    world_free(w);
}

TEST(a_repeated_reset_of_a_run_is_known_after_what_it_made_has_continued)
{
    struct world *w = world_with_much();
    CHECK_INT(world_reset(w, 0, 4, "reset-1"), ST_OK);
    CHECK_INT(world_terminate(w), ST_OK);
    world_start_request(w, "start-2");
    CHECK(world_start_send(w) != NULL);
    CHECK_INT(w->run_count, 3);
    repeat(w, 0, "reset-1", 1);
    world_free(w);
}

TEST(the_oldest_resets_are_forgotten)
{
    struct world *w = world_with_much();
    char          request_id[16];
    for (unsigned i = 0; i < RESETS_KNOWN_MAX + 2; i++) {
        snprintf(request_id, sizeof(request_id), "reset-%u", i);
        struct workflowservice_ResetWorkflowExecutionRequest *input = world_reset_request(w, -1, 4, "");
        input->request_id = arena_copy(&w->keep, bytes_of_text(request_id));
        CHECK_INT(world_run_step(w, world_current(w)), ST_OK);
    }
    CHECK_INT(execution_lineage(world_current(w)->state)->reset_count, RESETS_KNOWN_MAX);
    repeat(w, -1, "reset-2", 3);
    world_free(w);
}

TEST(what_is_excluded_is_not_applied_again)
{
    struct world                                         *w = world_with_much();
    int32_t                                               excluded = enums_RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL;
    struct workflowservice_ResetWorkflowExecutionRequest *input = world_reset_request(w, -1, 4, "reset-1");
    input->reset_reapply_exclude_types = &excluded;
    input->reset_reapply_exclude_types_count = 1;
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 4), "4 WORKFLOW_TASK_FAILED{2,3,RESET_WORKFLOW,history-service,other}\n5 "
                                    "WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(the_buffer_of_the_run_that_ends_is_applied_again)
{
    struct world *w = world_with_much();
    world_poll(w);
    CHECK_INT(world_signal(w, "buffered", ""), ST_OK);
    CHECK_INT(world_reset(w, -1, 4, "reset-1"), ST_OK);
    CHECK_TEXT(world_history(w, 6),
               "6 WORKFLOW_EXECUTION_SIGNALED{two}\n7 WORKFLOW_EXECUTION_SIGNALED{buffered}\n"
               "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(operations_after_a_reset)
{
    struct world                                            *w = world_with_much();
    struct common_Priority                                   priority = { .priority_key = 2 };
    struct bytes                                             path = BYTES("priority");
    struct google_FieldMask                                  mask = { .paths = &path, .paths_count = 1 };
    struct workflow_WorkflowExecutionOptions                 options = { 0 };
    struct workflow_PostResetOperation_UpdateWorkflowOptions change = { &options, &mask };
    struct workflow_PostResetOperation_SignalWorkflow        signal = { .signal_name = BYTES("after") };
    struct workflow_PostResetOperation operations[2] = { { .variant_case = 1 }, { .variant_case = 2 } };
    operations[0].signal_workflow = &signal;
    operations[1].update_workflow_options = &change;
    struct workflowservice_ResetWorkflowExecutionRequest *input = world_reset_request(w, -1, 4, "reset-1");
    options.priority = pb_encode_arena(&pb_common_Priority, &priority, &w->arena);
    input->post_reset_operations = operations;
    input->post_reset_operations_count = 2;
    CHECK_INT(world_send(w), ST_OK);
    CHECK_TEXT(world_history(w, 7),
               "7 WORKFLOW_EXECUTION_SIGNALED{after}\n8 WORKFLOW_EXECUTION_OPTIONS_UPDATED\n"
               "9 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_find_ready(w, STORE_TASK_WORKFLOW)->priority, 2);
    world_free(w);
}

TEST(a_deleted_run_ends_if_it_is_open)
{
    struct world *w = world_with_much();
    CHECK_INT(world_delete(w), ST_OK);
    CHECK_INT(w->run_count, 0);
    CHECK_INT(world_signal(w, "late", ""), ST_NOT_FOUND);
    CHECK_INT(world_delete(w), ST_NOT_FOUND);
    world_start(w);
    struct task_ref token = world_poll(w);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_delete(w), ST_OK);
    CHECK(!w->last_changed && w->run_count == 0);
    world_free(w);
}

TEST(a_run_that_never_was_cannot_be_reset)
{
    struct world *w = world_with_much();
    for (int i = 0; i < 2; i++) { /* a run id of nobody's making, and text that is none */
        struct workflowservice_ResetWorkflowExecutionRequest *input = world_reset_request(w, -1, 4, "r");
        input->workflow_execution->run_id = i == 0 ? BYTES("ffffffff-ffff-ffff-ffff-ffffffffffff")
                                                   : BYTES("00000000-0000-0000-0000-000000000000");
        CHECK_INT(world_run_step(w, world_current(w)), ST_NOT_FOUND);
        CHECK_INT(w->run_count, 1);
    }
    world_free(w);
}

TEST(a_bad_operation_after_a_reset_leaves_the_run_as_it_is)
{
    struct world                                            *w = world_with_much();
    struct workflowservice_ResetWorkflowExecutionRequest    *input = world_reset_request(w, -1, 4, "r");
    struct bytes                                             path = BYTES("priority.priority_key");
    struct google_FieldMask                                  mask = { .paths = &path, .paths_count = 1 };
    struct workflow_WorkflowExecutionOptions                 options = { .priority = BYTES("\x0a\x7f") };
    struct workflow_PostResetOperation                       operation = { .variant_case = 2 };
    struct workflow_PostResetOperation_UpdateWorkflowOptions update = {
        .workflow_execution_options = &options, .update_mask = &mask
    };
    operation.update_workflow_options = &update;
    input->post_reset_operations = &operation;
    input->post_reset_operations_count = 1;
    CHECK(world_run_step(w, world_current(w)) != ST_OK);
    CHECK_INT(w->run_count, 1);
    CHECK(execution_is_open(world_state(w)));
    world_free(w);
}
