/* update_test.c: workflow updates and speculative workflow tasks: what is written, what is not, and who is told what. */
#include "engine/update_harness.h"

#define STAGE(name) enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_##name
#define UP          BYTES("u")

/* A run whose first task is done: events 1 to 4, and nothing pending. */
static struct world *idle(void)
{
    struct world *w = world_new(1);
    world_start(w);
    world_complete_empty(w, world_poll(w));
    CHECK(!world_state(w)->task.is_pending);
    return w;
}

static void check_history(struct world *w, int64_t from, const char *expected)
{
    const char *found = world_history(w, from);
    if (strcmp(found, expected) != 0)
        print_error("found:\n%s\nexpected:\n%s\n", found, expected);
    CHECK(strcmp(found, expected) == 0);
}

static void check_stage(const struct world *w, int32_t stage)
{
    CHECK_INT(w->request.update.stage, stage);
    CHECK((w->request.update.outcome.base != NULL) == (stage == STAGE(COMPLETED)));
}

TEST(an_update_waits_in_memory_only)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    check_stage(w, STAGE(ADMITTED));
    CHECK(w->last_changed && w->last_volatile);
    const struct execution *run = world_state(w);
    CHECK(run->task.is_speculative && execution_is_pinned(run));
    CHECK_INT(world_current(w)->offer.kind, STORE_TASK_WORKFLOW);
    CHECK_BYTES(world_current(w)->offer.queue, BYTES("queue"));
    CHECK_INT(execution_next_due(run), TIME_NEVER);
    CHECK_INT(execution_volatile_due(run), w->now + 5 * NS_PER_S);
    CHECK_INT(world_update(w, "u"), ST_OK); /* joins */
    check_stage(w, STAGE(ADMITTED));
    CHECK(!w->last_changed);
    world_free(w);
}

TEST(accepted_and_completed)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref token = world_poll(w);
    CHECK(w->last_volatile);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = w->request.response;
    CHECK_INT(task->messages_count, 1);
    CHECK_BYTES(task->messages[0].id, BYTES("u/request"));
    CHECK_INT(task->messages[0].event_id, 5);
    CHECK_INT(w->request.delivery.virtual_event_count, 2);
    CHECK_INT(w->request.delivery.last_event_id, 4);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    message_accept(w, input, UP);
    command_marker(w, input);
    message_respond(w, input, UP);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_news(w, "u"), UPDATE_COMPLETED);
    check_history(w, 5,
                  "5 WORKFLOW_TASK_SCHEDULED{queue,1}\n6 WORKFLOW_TASK_STARTED{5}\n"
                  "7 WORKFLOW_TASK_COMPLETED{5,6}\n8 WORKFLOW_EXECUTION_UPDATE_ACCEPTED\n"
                  "9 MARKER_RECORDED\n10 WORKFLOW_EXECUTION_UPDATE_COMPLETED");
    CHECK(!execution_is_pinned(world_state(w)));
    CHECK_INT(world_update(w, "u"), ST_OK); /* by the event */
    check_stage(w, STAGE(COMPLETED));
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(world_news(w, "u"), 0);
    CHECK_INT(world_update_poll(w, world_current(w), "u"), ST_OK);
    check_stage(w, STAGE(COMPLETED));
    CHECK_INT(world_update_poll(w, world_current(w), "other"), ST_NOT_FOUND);
    world_free(w);
}

TEST(a_rejection_leaves_no_trace_and_ids_are_used_again)
{
    struct world *w = idle();
    for (int i = 0; i < 3; i++) {
        CHECK_INT(world_update(w, "u"), ST_OK);
        struct task_ref token = world_poll(w);
        CHECK_INT(token.started_event_id, 6);
        message_reject(w, world_completion(w, token), UP);
        CHECK_INT(world_send(w), ST_OK);
        CHECK(w->last_volatile);
        CHECK_INT(world_news(w, "u"), UPDATE_COMPLETED);
        const struct workflowservice_RespondWorkflowTaskCompletedResponse *response = w->request.response;
        CHECK_INT(response->reset_history_event_id, 3);
        CHECK(!execution_is_pinned(world_state(w)));
        CHECK_INT(world_state(w)->next_event_id, 5);
        CHECK_INT(world_task_fail(w, token), ST_NOT_FOUND); /* the token is spent */
    }
    world_free(w);
}

TEST(the_next_update_is_handed_over_at_once)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref token = world_poll(w);
    CHECK_INT(world_update(w, "v"), ST_OK);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    message_reject(w, input, UP);
    input->return_new_workflow_task = true;
    CHECK_INT(world_send(w), ST_OK);
    CHECK(w->last_volatile && w->request.has_delivery);
    const struct workflowservice_RespondWorkflowTaskCompletedResponse *response = w->request.response;
    CHECK_INT(response->workflow_task->messages_count, 1);
    CHECK_BYTES(response->workflow_task->messages[0].protocol_instance_id, BYTES("v"));
    token = w->request.delivery.task;
    token.workflow_id = BYTES("wf");
    CHECK_INT(token.started_event_id, 6);
    world_complete_empty(w, token); /* without an answer: rejected */
    CHECK_INT(world_news(w, "v"), UPDATE_COMPLETED);
    CHECK_INT(world_state(w)->next_event_id, 5);
    world_free(w);
}

TEST(without_an_inline_task_the_next_is_a_normal_one)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref token = world_poll(w);
    CHECK_INT(world_update(w, "v"), ST_OK);
    message_reject(w, world_completion(w, token), UP);
    CHECK_INT(world_send(w), ST_OK);
    CHECK(world_state(w)->task.is_pending && !world_state(w)->task.is_speculative);
    check_history(w, 5, "5 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

TEST(anything_durable_makes_the_task_a_normal_one)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    check_history(w, 5, "5 WORKFLOW_TASK_SCHEDULED{queue,1}\n6 WORKFLOW_EXECUTION_SIGNALED{s}");
    CHECK(!world_state(w)->task.is_speculative && world_state(w)->task.sequence != 0);
    struct task_ref token = world_poll(w);
    CHECK_INT(token.started_event_id, 7);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    message_reject(w, input, UP);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(((const struct workflowservice_RespondWorkflowTaskCompletedResponse *)w->request.response)
                  ->reset_history_event_id,
              0);
    check_history(w, 7, "7 WORKFLOW_TASK_STARTED{5}\n8 WORKFLOW_TASK_COMPLETED{5,7}");

    CHECK_INT(world_update(w, "u"), ST_OK);
    token = world_poll(w);
    CHECK_INT(world_signal(w, "s", ""), ST_OK); /* while a worker has it */
    check_history(w, 9, "9 WORKFLOW_TASK_SCHEDULED{queue,1}\n10 WORKFLOW_TASK_STARTED{9}");
    message_reject(w, world_completion(w, token), UP);
    CHECK_INT(world_send(w), ST_OK);
    check_history(w, 11,
                  "11 WORKFLOW_TASK_COMPLETED{9,10}\n12 WORKFLOW_EXECUTION_SIGNALED{s}\n"
                  "13 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
}

/* The queue that its worker was shown stays in its events when the run is no longer bound to that worker. */
TEST(a_reset_of_the_sticky_queue_keeps_the_events_that_a_speculative_task_showed)
{
    struct world   *w = world_new(1);
    struct task_ref token;
    world_start(w);
    token = world_poll(w);
    completion_sticky(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_update(w, "u"), ST_OK);
    token = world_poll(w);
    CHECK_INT(w->request.delivery.virtual_event_count, 2);
    world_request(w, WORKFLOW_RESET_STICKY);
    world_step(w, world_current(w));
    check_history(w, 5, "5 WORKFLOW_TASK_SCHEDULED{sticky,1}\n6 WORKFLOW_TASK_STARTED{5}");
    CHECK_INT(world_state(w)->sticky_queue.size, 0);
    message_reject(w, world_completion(w, token), UP);
    CHECK_INT(world_send(w), ST_OK);
    check_history(w, 7, "7 WORKFLOW_TASK_COMPLETED{5,6}");
    world_free(w);
}

TEST(a_speculative_task_fails_and_the_update_comes_again)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    CHECK_INT(world_task_fail(w, world_poll(w)), ST_OK);
    CHECK_INT(world_news(w, "u"), 0);
    CHECK(world_state(w)->task.is_transient && world_state(w)->task.attempt == 2);
    struct task_ref token = world_poll(w);
    CHECK_INT(
        ((const struct workflowservice_PollWorkflowTaskQueueResponse *)w->request.response)->messages_count,
        1);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    message_accept(w, input, UP);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_news(w, "u"), UPDATE_ACCEPTED);
    check_history(w, 5,
                  "5 WORKFLOW_TASK_SCHEDULED{queue,1}\n6 WORKFLOW_TASK_STARTED{5}\n"
                  "7 WORKFLOW_TASK_FAILED{5,6,WORKFLOW_WORKER_UNHANDLED_FAILURE,worker,boom}\n"
                  "8 WORKFLOW_TASK_SCHEDULED{queue,2}\n9 WORKFLOW_TASK_STARTED{8}\n"
                  "10 WORKFLOW_TASK_COMPLETED{8,9}\n11 WORKFLOW_EXECUTION_UPDATE_ACCEPTED");
    world_free(w);
}

TEST(timeouts_of_speculative_tasks)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    world_next(w); /* nobody takes it */
    check_history(w, 5,
                  "5 WORKFLOW_TASK_SCHEDULED{queue,1}\n6 WORKFLOW_TASK_TIMED_OUT{5,0,SCHEDULE_TO_START}\n"
                  "7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    message_reject(w, world_completion(w, world_poll(w)), UP);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_update(w, "v"), ST_OK);
    world_poll(w);
    world_next(w); /* a worker takes it and is not heard of again */
    check_history(w, 10,
                  "10 WORKFLOW_TASK_SCHEDULED{queue,1}\n11 WORKFLOW_TASK_STARTED{10}\n"
                  "12 WORKFLOW_TASK_TIMED_OUT{10,11,START_TO_CLOSE}");
    CHECK(world_state(w)->task.attempt == 2);
    world_free(w);
}

TEST(a_task_that_nobody_received_is_offered_again)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref token = world_poll(w);
    world_request(w, WORKFLOW_TASK_RETURN)->token = token;
    world_step(w, world_current(w));
    CHECK(w->last_volatile && world_state(w)->task.is_speculative && world_state(w)->task.started_time == 0);
    token = world_poll(w);
    CHECK_INT(
        ((const struct workflowservice_PollWorkflowTaskQueueResponse *)w->request.response)->messages_count,
        1);
    world_free(w);
}

/* A clock that was put back stands still for the run until it has caught up; so the time does not tell starts apart. */
TEST(two_starts_of_one_attempt_at_one_moment_have_tokens_of_their_own)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref first = world_poll(w);
    world_request(w, WORKFLOW_TASK_RETURN)->token = first;
    world_step(w, world_current(w));
    struct task_ref second = world_poll(w);
    CHECK_INT(first.started_time, second.started_time);
    message_accept(w, world_completion(w, first), UP);
    CHECK_INT(world_send(w), ST_NOT_FOUND);
    message_accept(w, world_completion(w, second), UP);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_news(w, "u"), UPDATE_ACCEPTED);
    world_free(w);
}

TEST(a_bad_message_fails_the_task_and_who_waits)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref token = world_poll(w);
    CHECK_INT(world_update(w, "unseen"), ST_OK);
    message_respond(w, world_completion(w, token), UP);
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK_INT(world_news(w, "u"), UPDATE_TASK_FAILED);
    CHECK_INT(world_news(w, "unseen"), UPDATE_LOST);
    check_history(w, 7, "7 WORKFLOW_TASK_FAILED{5,6,BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE,worker,server}");
    CHECK_INT(world_update(w, "u"), ST_OK); /* the second attempt: nothing is written, and it may go on */
    token = world_poll(w);
    message_respond(w, world_completion(w, token), UP);
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK(w->last_volatile);
    CHECK_INT(world_news(w, "u"), UPDATE_TASK_FAILED);
    world_complete_empty(w, token);
    world_free(w);
}

TEST(malformed_messages_are_the_requests_fault)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref                                             token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    message_reject(w, input, UP);
    input->messages[0].body = BYTES_EMPTY;
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK(!w->last_changed);
    message_reject(w, world_completion(w, token), UP);
    CHECK_INT(world_send(w), ST_OK);
    world_free(w);
}

typedef struct workflowservice_RespondWorkflowTaskCompletedRequest completion_t;

static void raw_message(struct world *w, completion_t *input, const struct pb_message *type, const void *body)
{
    message_add(w, input, UP, type, body);
    message_place(w, input);
}
static void accept_without_sequencing_event(struct world *w, completion_t *input)
{
    struct update_Acceptance acceptance = acceptance_of(w, UP);
    acceptance.accepted_request_sequencing_event_id = 0;
    raw_message(w, input, &pb_update_Acceptance, &acceptance);
}
static void accept_without_message_id(struct world *w, completion_t *input)
{
    struct update_Acceptance acceptance = acceptance_of(w, UP);
    acceptance.accepted_request_message_id = BYTES_EMPTY;
    raw_message(w, input, &pb_update_Acceptance, &acceptance);
}
static void accept_twice(struct world *w, completion_t *input)
{
    message_accept(w, input, UP);
    message_accept(w, input, UP);
}
static void reject_after_acceptance(struct world *w, completion_t *input)
{
    message_accept(w, input, UP);
    message_reject(w, input, UP);
}
static void accept_of_an_unknown_update(struct world *w, completion_t *input)
{
    struct update_Acceptance acceptance = acceptance_of(w, UP);
    acceptance.accepted_request = NULL;
    message_add(w, input, BYTES("stranger"), &pb_update_Acceptance, &acceptance);
    message_place(w, input);
}
static void reject_of_an_unknown_update(struct world *w, completion_t *input)
{
    message_reject(w, input, BYTES("stranger"));
}
static void respond_to_an_unknown_update(struct world *w, completion_t *input)
{
    message_respond(w, input, BYTES("stranger"));
}
static void respond_twice(struct world *w, completion_t *input)
{
    message_accept(w, input, UP);
    message_respond(w, input, UP);
    message_respond(w, input, UP);
}
static void respond_before_acceptance(struct world *w, completion_t *input)
{
    message_respond(w, input, UP);
}
static void respond_without_meta(struct world *w, completion_t *input)
{
    struct update_Response response = { 0 };
    message_accept(w, input, UP);
    raw_message(w, input, &pb_update_Response, &response);
}
static void respond_without_id(struct world *w, completion_t *input)
{
    struct update_Meta     meta = { 0 };
    struct update_Response response = { .meta = &meta };
    message_accept(w, input, UP);
    raw_message(w, input, &pb_update_Response, &response);
}
static void respond_with_another_id(struct world *w, completion_t *input)
{
    struct update_Meta     meta = { .update_id = BYTES("other") };
    struct update_Outcome  outcome = { 0 };
    struct update_Response response = { .meta = &meta, .outcome = &outcome };
    message_accept(w, input, UP);
    raw_message(w, input, &pb_update_Response, &response);
}
static void respond_without_outcome(struct world *w, completion_t *input)
{
    struct update_Meta     meta = { .update_id = UP };
    struct update_Response response = { .meta = &meta };
    message_accept(w, input, UP);
    raw_message(w, input, &pb_update_Response, &response);
}
static void message_of_another_type(struct world *w, completion_t *input)
{
    struct update_Meta meta = { .update_id = UP };
    raw_message(w, input, &pb_update_Meta, &meta);
}
static void message_without_body(struct world *w, completion_t *input)
{
    message_accept(w, input, UP);
    input->messages[0].body = BYTES_EMPTY;
}
static void message_of_garbage(struct world *w, completion_t *input)
{
    message_accept(w, input, UP);
    input->messages[0].body = BYTES("\x0a\x7f");
}
static void body_replaced(struct world *w, completion_t *input, const char *type)
{
    struct google_Any any = { .type_url = bytes_of_text(type), .value = BYTES("\x0a\x7f") };
    message_accept(w, input, UP);
    input->messages[0].body = pb_encode_arena(&pb_google_Any, &any, &w->arena);
}
static void acceptance_of_garbage(struct world *w, completion_t *input)
{
    body_replaced(w, input, "type.googleapis.com/temporal.api.update.v1.Acceptance");
}
static void rejection_of_garbage(struct world *w, completion_t *input)
{
    body_replaced(w, input, "temporal.api.update.v1.Rejection"); /* without the address it is the same type */
}
static void response_of_garbage(struct world *w, completion_t *input)
{
    body_replaced(w, input, "type.googleapis.com/temporal.api.update.v1.Response");
}

TEST(messages_that_are_wrong_change_nothing_and_say_what_is_wrong)
{
    static const struct {
        void (*breaks)(struct world *w, completion_t *input);
        const char *words;
    } rows[] = {
        { accept_without_sequencing_event, "Acceptance.accepted_request_sequencing_event_id is not set" },
        { accept_without_message_id, "Acceptance.accepted_request_message_id is not set" },
        { accept_twice, "cannot take the message Acceptance in its state" },
        { reject_after_acceptance, "cannot take the message Rejection in its state" },
        { accept_of_an_unknown_update, "update stranger is not known" },
        { reject_of_an_unknown_update, "update stranger is not known" },
        { respond_to_an_unknown_update, "update stranger is not known" },
        { respond_twice, "cannot take the message Response in its state" },
        { respond_before_acceptance, "cannot take the message Response in its state" },
        { respond_without_meta, "Response.meta.update_id is not set" },
        { respond_without_id, "Response.meta.update_id is not set" },
        { respond_with_another_id, "Response.meta.update_id is not that of the message" },
        { respond_without_outcome, "Response.outcome is not set" },
        { message_of_another_type, "unsupported type temporal.api.update.v1.Meta" },
        { message_without_body, "Message.body is not set" },
        { message_of_garbage, "" },
        { acceptance_of_garbage, "" },
        { rejection_of_garbage, "" },
        { response_of_garbage, "" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct world *w = idle();
        CHECK_INT(world_update(w, "u"), ST_OK);
        completion_t *input = world_completion(w, world_poll(w));
        rows[i].breaks(w, input);
        if (world_send(w) == ST_OK || strstr(w->request.base.error.message, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].words, w->request.base.error.message);
        CHECK(update_find(world_state(w), UP) == NULL);
        world_free(w);
    }
}

TEST(what_was_lost_does_not_come_back_past_the_limit)
{
    struct world *w = idle();
    w->limits.updates_total_max = 1;
    CHECK_INT(world_update(w, "first"), ST_OK);
    completion_t *input = world_completion(w, world_poll(w));
    message_accept(w, input, BYTES("first"));
    message_respond(w, input, BYTES("first"));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    message_accept(w, world_completion(w, world_poll(w)), UP);
    CHECK_INT(world_send(w), ST_INVALID_ARGUMENT);
    CHECK(strstr(w->request.base.error.message, "limit of 1 updates") != NULL);
    world_free(w);
}

TEST(a_rejection_of_what_was_lost_leaves_no_trace)
{
    struct world *w = idle();
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    completion_t           *input = world_completion(w, world_poll(w));
    struct update_Rejection rejection = { .rejected_request_message_id = BYTES(
                                              "m") }; /* and without a failure */
    rejection.rejected_request = update_request_of(w, "lost");
    message_add(w, input, BYTES("lost"), &pb_update_Rejection, &rejection);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_news(w, "lost"), UPDATE_COMPLETED);
    CHECK(update_waiting(world_state(w), BYTES("lost")) == NULL);
    check_history(w, 8, "8 WORKFLOW_TASK_COMPLETED{6,7}");
    world_free(w);
}

TEST(an_acceptance_brings_back_what_was_lost)
{
    struct world   *w = idle();
    struct task_ref token;
    CHECK_INT(world_signal(w, "s", ""), ST_OK);
    token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    message_accept(w, input, UP);
    message_respond(w, input, UP);
    CHECK_INT(world_send(w), ST_OK);
    const struct history_HistoryEvent *event = world_event(w, world_current(w), 9);
    CHECK_INT(event->event_type, enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED);
    CHECK_BYTES(event->workflow_execution_update_accepted_event_attributes->accepted_request->input->name,
                BYTES("up"));
    CHECK(!execution_is_pinned(world_state(w)));
    world_free(w);
}

TEST(the_close_answers_everyone)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "accepted"), ST_OK);
    message_accept(w, world_completion(w, world_poll(w)), BYTES("accepted"));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_update(w, "waiting"), ST_OK);
    struct task_ref token = world_poll(w);
    CHECK_INT(world_update(w, "unseen"), ST_OK);
    command_complete(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_news(w, "accepted"), UPDATE_COMPLETED);
    CHECK_INT(world_news(w, "waiting"), UPDATE_CLOSED);
    CHECK_INT(world_news(w, "unseen"), UPDATE_CLOSED);
    CHECK_INT(world_update(w, "accepted"), ST_OK);
    check_stage(w, STAGE(COMPLETED));
    CHECK_INT(world_update(w, "waiting"), ST_NOT_FOUND);
    world_free(w);
}

TEST(a_run_that_continues_says_so)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref token = world_poll(w);
    command_continue(w, world_completion(w, token));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_news(w, "u"), UPDATE_CONTINUES);
    CHECK_INT(w->run_count, 2);
    CHECK_INT(world_update(w, "u"), ST_OK); /* lands on the new run */
    check_stage(w, STAGE(ADMITTED));
    world_free(w);
}

TEST(a_termination_of_a_speculative_task)
{
    struct world *w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    CHECK_INT(world_terminate(w), ST_OK);
    CHECK_INT(world_news(w, "u"), UPDATE_CLOSED);
    check_history(w, 5, "5 WORKFLOW_EXECUTION_TERMINATED{client}");
    world_free(w);
    w = idle();
    CHECK_INT(world_update(w, "u"), ST_OK);
    world_poll(w);
    CHECK_INT(world_terminate(w), ST_OK);
    check_history(w, 5,
                  "5 WORKFLOW_TASK_SCHEDULED{queue,1}\n6 WORKFLOW_TASK_STARTED{5}\n"
                  "7 WORKFLOW_TASK_FAILED{5,6,FORCE_CLOSE_COMMAND,history-service}\n"
                  "8 WORKFLOW_EXECUTION_TERMINATED{client}");
    world_free(w);
}

TEST(limits_at_and_past)
{
    struct world *w = idle();
    w->limits.updates_in_flight_max = 3;
    w->limits.updates_total_max = 4;
    CHECK_INT(world_update(w, "a"), ST_OK);
    CHECK_INT(world_update(w, "b"), ST_OK);
    CHECK_INT(world_update(w, "c"), ST_OK);
    CHECK_INT(world_update(w, "d"), ST_RESOURCE_EXHAUSTED);
    CHECK_INT(world_update(w, "c"), ST_OK); /* joins all the same */
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, world_poll(w));
    message_accept(w, input, BYTES("a"));
    message_respond(w, input, BYTES("a"));
    message_accept(w, input, BYTES("b"));
    message_respond(w, input, BYTES("b"));
    message_reject(w, input, BYTES("c"));
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_update(w, "d"), ST_OK);
    CHECK_INT(world_update(w, "e"), ST_OK); /* what was rejected does not count */
    CHECK_INT(world_update(w, "f"), ST_FAILED_PRECONDITION);
    world_poll(w);
    CHECK(world_state(w)->task.suggest >> enums_SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_UPDATES & 1);
    w->limits.updates_total_max = 100;
    w->limits.updates_in_flight_size_max = execution_updates(world_state(w))->waiting_size + 1;
    CHECK_INT(world_update(w, "f"), ST_RESOURCE_EXHAUSTED);
    world_free(w);
}

TEST(an_update_starts_a_delayed_run_early_and_without_a_trace)
{
    struct world                                         *w = world_new(1);
    struct workflowservice_StartWorkflowExecutionRequest *start = world_start_request(w, "start-1");
    start->workflow_start_delay = duration_of_ns(&w->arena, 60 * NS_PER_S);
    CHECK(world_start_send(w) != NULL);
    CHECK_INT(world_update(w, "u"), ST_OK);
    message_reject(w, world_completion(w, world_poll(w)), UP);
    CHECK_INT(world_send(w), ST_OK);
    CHECK(w->last_volatile && world_state(w)->backoff_pending);
    world_next(w);
    check_history(w, 2, "2 WORKFLOW_TASK_SCHEDULED{queue,1}");
    world_free(w);
    w = world_new(1); /* the time comes while a worker has the speculative one */
    start = world_start_request(w, "start-1");
    start->workflow_start_delay = duration_of_ns(&w->arena, 3 * NS_PER_S);
    CHECK(world_start_send(w) != NULL);
    CHECK_INT(world_update(w, "u"), ST_OK);
    struct task_ref token = world_poll(w);
    world_next(w);
    check_history(w, 2, "2 WORKFLOW_TASK_SCHEDULED{queue,1}\n3 WORKFLOW_TASK_STARTED{2}");
    world_complete_empty(w, token);
    world_free(w);
}

static enum status update_with_start(struct world *w, const char *request_id, int32_t conflict,
                                     const char *id)
{
    world_start_request(w, request_id)->workflow_id_conflict_policy = conflict;
    w->request.base.command = WORKFLOW_UPDATE_WITH_START;
    w->request.update_input = update_input_of(w, id);
    return world_run_step(w, world_current(w));
}

TEST(a_start_with_an_update_is_one_step)
{
    struct world *w = world_new(1);
    CHECK_INT(update_with_start(w, "r1", 0, "u"), ST_OK);
    check_stage(w, STAGE(ADMITTED));
    CHECK(!world_state(w)->task.is_speculative && execution_is_pinned(world_state(w)));
    struct task_ref token = world_poll(w);
    CHECK_INT(token.started_event_id, 3);
    CHECK_INT(
        ((const struct workflowservice_PollWorkflowTaskQueueResponse *)w->request.response)->messages_count,
        1);
    CHECK_INT(update_with_start(w, "r2", enums_WORKFLOW_ID_CONFLICT_POLICY_FAIL, "v"), ST_ALREADY_EXISTS);
    CHECK(!w->request.update.failed && !w->last_changed);
    CHECK_INT(update_with_start(w, "r1", 0, "v"), ST_OK); /* its own run */
    CHECK_INT(update_with_start(w, "r3", 0, "u"), ST_OK); /* joins */
    CHECK_INT(update_with_start(w, "r4", enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, "w"), ST_OK);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    message_accept(w, input, UP);
    message_respond(w, input, UP);
    command_complete(w, input);
    CHECK_INT(world_send(w), ST_OK);
    CHECK_INT(world_news(w, "u"), UPDATE_COMPLETED);
    CHECK_INT(world_news(w, "v"), UPDATE_CLOSED);
    CHECK_INT(update_with_start(w, "r5", 0, "u"), ST_OK); /* done: no new run */
    check_stage(w, STAGE(COMPLETED));
    CHECK_INT(w->run_count, 1);
    CHECK_INT(update_with_start(w, "r1", 0, "v"), ST_NOT_FOUND);
    CHECK(w->request.update.failed);
    CHECK_INT(update_with_start(w, "r6", 0, "v"), ST_OK);
    CHECK_INT(w->run_count, 2);
    CHECK_INT(update_with_start(w, "r7", enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING, "x"), ST_OK);
    CHECK_INT(world_news(w, "v"), UPDATE_CLOSED);
    CHECK_INT(w->run_count, 3);
    world_free(w);
}
