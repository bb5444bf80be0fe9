/* start_test.c: the outcome table of starts, deduplication, delays, signal-with-start. */
#include "engine/engine_harness.h"

enum existing { NONE, OPEN, COMPLETED, FAILED, CANCELED, TERMINATED, TIMED_OUT, EXISTING_COUNT };

static struct world *with_existing(enum existing existing)
{
    struct world *w = world_new(1);
    if (existing == NONE)
        return w;
    struct workflowservice_StartWorkflowExecutionRequest *start = world_start_request(w, "old");
    start->workflow_run_timeout = duration_of_ns(&w->arena, 100 * NS_PER_S);
    CHECK(world_start_send(w) != NULL);
    if (existing == OPEN)
        return w;
    if (existing == TERMINATED) {
        CHECK_INT(world_terminate(w), ST_OK);
        return w;
    }
    if (existing == TIMED_OUT) {
        world_next(w);
        return w;
    }
    struct task_ref                                             token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    if (existing == COMPLETED) {
        command_complete(w, input);
    } else if (existing == FAILED) {
        command_fail(w, input, app_failure(&w->arena, "f"));
    } else {
        struct command_Command *command = command_add(input, enums_COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION);
        command->attributes_case = 8;
        command->cancel_workflow_execution_command_attributes =
            ARENA_NEW(&w->arena, struct command_CancelWorkflowExecutionCommandAttributes);
    }
    CHECK_INT(world_send(w), ST_OK);
    CHECK(world_state(w)->close_time != 0);
    return w;
}

enum outcome { NEW_RUN, REFUSED, USED, REPLACED };

static enum outcome expected(enum existing existing, int32_t reuse, int32_t conflict)
{
    bool terminates = reuse == enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING ||
                      conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING;
    if (existing == NONE)
        return NEW_RUN;
    if (existing == OPEN)
        return terminates                                                   ? REPLACED
               : conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING ? USED
                                                                            : REFUSED;
    if (reuse == enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
        return REFUSED;
    if (reuse == enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY && existing == COMPLETED)
        return REFUSED;
    return NEW_RUN;
}

static void check_refused(struct world *w)
{
    const struct error *error = &w->request.base.error;
    CHECK_INT(error->code, ST_ALREADY_EXISTS);
    CHECK_BYTES(error->detail_type,
                BYTES("temporal.api.errordetails.v1.WorkflowExecutionAlreadyStartedFailure"));
    struct errordetails_WorkflowExecutionAlreadyStartedFailure detail = { 0 };
    struct error                                               why;
    CHECK_INT(pb_decode(&pb_errordetails_WorkflowExecutionAlreadyStartedFailure, error->detail, &w->arena,
                        &detail, &why),
              ST_OK);
    CHECK_BYTES(detail.run_id, uuid_text(&w->arena, &w->runs[0]->identity.run_id));
    CHECK_BYTES(detail.start_request_id, BYTES("old"));
    CHECK(!w->last_changed);
}

static void check_outcome(struct world *w, enum outcome outcome, size_t runs_before)
{
    const struct workflowservice_StartWorkflowExecutionResponse *response = w->request.response;
    if (outcome == REFUSED) {
        check_refused(w);
        return;
    }
    CHECK_INT(w->request.base.error.code, ST_OK);
    CHECK_INT(response->status, enums_WORKFLOW_EXECUTION_STATUS_RUNNING);
    CHECK_BYTES(response->run_id, uuid_text(&w->arena, &world_current(w)->identity.run_id));
    CHECK(response->started == (outcome != USED));
    CHECK_INT(w->run_count, runs_before + (outcome == USED ? 0 : 1));
    if (outcome == USED)
        CHECK(!w->last_changed);
    if (outcome == REPLACED) {
        CHECK_INT(w->runs[0]->state->status, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
        CHECK_TEXT(world_history_of(w, w->runs[0], 3), "3 WORKFLOW_EXECUTION_TERMINATED{history-service}");
        CHECK_TEXT(world_history(w, 1), "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_TASK_SCHEDULED{queue,1}");
    }
}

TEST(every_combination_of_state_and_policies)
{
    for (enum existing existing = NONE; existing < EXISTING_COUNT; existing++) {
        for (int32_t reuse = 0; reuse <= 4; reuse++) {
            for (int32_t conflict = 0; conflict <= 3; conflict++) {
                struct world                                         *w = with_existing(existing);
                size_t                                                runs = w->run_count;
                struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "new");
                input->workflow_id_reuse_policy = reuse;
                input->workflow_id_conflict_policy = conflict;
                world_start_send(w);
                check_outcome(w, expected(existing, reuse, conflict), runs);
                world_free(w);
            }
        }
    }
}

TEST(the_same_request_id_finds_its_run_even_closed)
{
    for (enum existing existing = OPEN; existing < EXISTING_COUNT; existing++) {
        struct world *w = with_existing(existing);
        int32_t       status = world_state(w)->status;
        world_start_request(w, "old")->workflow_id_reuse_policy =
            enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
        const struct workflowservice_StartWorkflowExecutionResponse *response = world_start_send(w);
        CHECK(response != NULL && response->started && !w->last_changed);
        CHECK_INT(response->status, status);
        CHECK_BYTES(response->run_id, uuid_text(&w->arena, &w->runs[0]->identity.run_id));
        CHECK(response->link.size != 0);
        world_free(w);
    }
}

TEST(an_attached_request_id_is_remembered)
{
    for (int buffered = 0; buffered <= 1; buffered++) {
        struct world *w = with_existing(OPEN);
        if (buffered)
            world_poll(w);
        for (int again = 0; again <= 1; again++) {
            struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "attached");
            input->workflow_id_conflict_policy = enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
            input->on_conflict_options = ARENA_NEW(&w->arena, struct workflow_OnConflictOptions);
            input->on_conflict_options->attach_request_id = true;
            const struct workflowservice_StartWorkflowExecutionResponse *response = world_start_send(w);
            CHECK(response != NULL && !response->started);
            CHECK(w->last_changed == (again == 0));
        }
        if (!buffered)
            CHECK_TEXT(world_history(w, 3), "3 WORKFLOW_EXECUTION_OPTIONS_UPDATED");
        else
            CHECK_INT(world_state(w)->buffer_count, 1);
        CHECK_INT(world_state(w)->attached[0].event_id, buffered ? 0 : 3);
        world_free(w);
    }
}

TEST(timeouts_are_defaulted_and_capped)
{
    struct world                                         *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "r");
    input->workflow_execution_timeout = duration_of_ns(&w->arena, 60 * NS_PER_S);
    input->workflow_task_timeout = duration_of_ns(&w->arena, 600 * NS_PER_S);
    CHECK(world_start_send(w) != NULL);
    const struct history_WorkflowExecutionStartedEventAttributes *started = event_attributes(
        world_event(w, w->runs[0], 1));
    CHECK_INT(started->workflow_run_timeout->seconds, 60);
    CHECK_INT(started->workflow_task_timeout->seconds, 60);
    CHECK(timestamp_ns(started->workflow_execution_expiration_time) == WORLD_T0 + 60 * NS_PER_S);
    CHECK(started->first_workflow_task_backoff != NULL && started->first_workflow_task_backoff->seconds == 0);
    CHECK_INT(started->attempt, 1);
    CHECK(started->root_workflow_execution == NULL);
    world_free(w);

    w = world_new(1);
    world_start(w);
    started = event_attributes(world_event(w, w->runs[0], 1));
    CHECK(started->workflow_run_timeout == NULL && started->workflow_execution_timeout == NULL);
    CHECK_INT(started->workflow_task_timeout->seconds, 10);
    world_free(w);
}

static struct world *delayed(void)
{
    struct world                                         *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "r");
    input->workflow_start_delay = duration_of_ns(&w->arena, 20 * NS_PER_S);
    input->workflow_run_timeout = duration_of_ns(&w->arena, 30 * NS_PER_S);
    input->request_eager_execution = true;
    CHECK(world_start_send(w) != NULL);
    CHECK(!w->request.has_delivery);
    return w;
}

TEST(a_delayed_start_waits_and_signals_do_not_wake_it)
{
    struct world *w = delayed();
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_TEXT(world_history(w, 1), "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_EXECUTION_SIGNALED{s}");
    CHECK_INT(world_state(w)->execution_time - WORLD_T0, 20 * NS_PER_S);
    CHECK_INT(world_state(w)->run_expiration - WORLD_T0, 50 * NS_PER_S);
    world_advance(w, 20 * NS_PER_S - 1);
    CHECK_INT(world_due(w), 0);
    world_advance(w, 1);
    world_due(w);
    CHECK_TEXT(world_history(w, 3), "3 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(a_cancel_request_wakes_a_delayed_start)
{
    struct world *w = delayed();
    CHECK_INT(world_cancel(w), ST_OK);
    CHECK_TEXT(world_history(w, 2),
               "2 WORKFLOW_EXECUTION_CANCEL_REQUESTED\n3 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

static void signal_with_start(struct world *w, const char *request_id, int32_t conflict, int64_t delay)
{
    struct workflow_request *request = world_request(w, WORKFLOW_SIGNAL_WITH_START);
    struct workflowservice_SignalWithStartWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_SignalWithStartWorkflowExecutionRequest);
    input->workflow_id = BYTES("wf");
    input->workflow_type = ARENA_NEW(&w->arena, struct common_WorkflowType);
    input->workflow_type->name = BYTES("Type");
    input->task_queue = ARENA_NEW(&w->arena, struct taskqueue_TaskQueue);
    input->task_queue->name = BYTES("queue");
    input->signal_name = BYTES("sws");
    input->request_id = bytes_of_text(request_id);
    input->workflow_id_conflict_policy = conflict;
    if (delay != 0)
        input->workflow_start_delay = duration_of_ns(&w->arena, delay);
    request->input = input;
    world_step(w, world_current(w));
    CHECK_INT(request->base.error.code, ST_OK);
}

TEST(signal_with_start)
{
    struct world *w = world_new(1);
    signal_with_start(w, "a", 0, 0);
    const struct workflowservice_SignalWithStartWorkflowExecutionResponse *response = w->request.response;
    CHECK(response->started);
    CHECK_TEXT(world_history(w, 1), "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_EXECUTION_SIGNALED{sws}\n"
                                    "3 WORKFLOW_TASK_SCHEDULED{queue,1}");
    signal_with_start(w, "b", 0, 0);
    response = w->request.response;
    CHECK(!response->started);
    CHECK_TEXT(world_history(w, 4), "4 WORKFLOW_EXECUTION_SIGNALED{sws}");
    signal_with_start(w, "b", 0, 0); /* a retry of the same call */
    CHECK(!w->last_changed);
    signal_with_start(w, "c", enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING, 0);
    CHECK_INT(w->run_count, 2);
    CHECK_INT(w->runs[0]->state->status, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
    world_free(w);

    w = delayed();
    signal_with_start(w, "a", 0, 0);
    CHECK_TEXT(world_history(w, 2), "2 WORKFLOW_EXECUTION_SIGNALED{sws}\n3 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);

    w = world_new(1);
    signal_with_start(w, "a", 0, 5 * NS_PER_S);
    CHECK_TEXT(world_history(w, 1), "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_EXECUTION_SIGNALED{sws}");
    world_free(w);
}

TEST(signal_request_ids_are_deduplicated_also_over_the_buffer)
{
    struct world *w = with_existing(OPEN);
    CHECK_INT(world_signal(w, "s", "id-1"), ST_OK);
    CHECK_INT(world_signal(w, "s", "id-1"), ST_OK);
    CHECK(!w->last_changed);
    struct task_ref token = world_poll(w);
    CHECK_INT(world_signal(w, "s", "id-2"), ST_OK);
    CHECK_INT(world_signal(w, "s", "id-2"), ST_OK);
    CHECK(!w->last_changed);
    world_complete_empty(w, token);
    CHECK_INT(world_signal(w, "s", "id-2"), ST_OK);
    CHECK(!w->last_changed);
    CHECK_INT(world_state(w)->signal_count, 2);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    CHECK_INT(world_state(w)->signal_count, 4);
    world_free(w);
}

TEST(a_chain_is_found_by_its_first_run)
{
    struct world   *w = with_existing(OPEN);
    struct task_ref token = world_poll(w);
    command_continue(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    struct bytes first = arena_copy(&w->keep, uuid_text(&w->arena, &w->runs[0]->identity.run_id));
    for (int right = 0; right <= 1; right++) {
        struct workflow_request *request = world_request(w, WORKFLOW_TERMINATE);
        struct workflowservice_TerminateWorkflowExecutionRequest *input =
            ARENA_NEW(&w->arena, struct workflowservice_TerminateWorkflowExecutionRequest);
        input->first_execution_run_id = right ? first : BYTES("someone else");
        request->input = input;
        CHECK_INT(world_run_step(w, world_current(w)), right ? ST_OK : ST_NOT_FOUND);
    }
    CHECK_TEXT(world_history(w, 2), "2 WORKFLOW_EXECUTION_TERMINATED{frontend-service}");
    world_free(w);
}

TEST(links_and_callbacks_are_attached_without_the_request)
{
    for (int what = 0; what < 2; what++) {
        struct world                                         *w = with_existing(OPEN);
        struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w, "attached");
        struct workflow_OnConflictOptions options = { .attach_completion_callbacks = what == 0,
                                                      .attach_links = what == 1 };
        struct bytes callback = BYTES("\x12\x00"), link = BYTES("\x0a\x00"); /* both empty of their kind */
        input->workflow_id_conflict_policy = enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
        input->on_conflict_options = &options;
        input->completion_callbacks = &callback;
        input->completion_callbacks_count = 1;
        input->links = &link;
        input->links_count = 1;
        const struct workflowservice_StartWorkflowExecutionResponse *response = world_start_send(w);
        CHECK(response != NULL && !response->started);
        const struct history_HistoryEvent *event = world_event(w, world_current(w), 3);
        CHECK_INT(event->event_type, enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED);
        CHECK_INT(event->links_count, what == 1);
        CHECK_INT(world_state(w)->callback_count, what == 0);
        CHECK_INT(event->workflow_execution_options_updated_event_attributes->attached_request_id.size, 0);
        CHECK(execution_attached(world_state(w), BYTES("attached")) == NULL);
        world_free(w);
    }
}

TEST(starts_without_a_request_id_are_never_the_same)
{
    struct world *w = world_new(1);
    CHECK(world_start_request(w, "")->request_id.size == 0);
    CHECK(world_start_send(w) != NULL);
    CHECK(world_state(w)->start_request_id.size != 0);
    world_start_request(w, "");
    CHECK(world_start_send(w) == NULL);
    CHECK_INT(w->request.base.error.code, ST_ALREADY_EXISTS);
    world_free(w);
}
