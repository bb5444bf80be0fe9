/* child_test.c: children, and signals and cancel requests to other workflows, between worlds of one workflow id each. */
#include <stdio.h>

#include "engine/engine_harness.h"

#include "engine/message.h"

struct pair {
    struct world *parent, *child;
};

static struct pair pair_new(void)
{
    struct pair pair = { world_new(1), world_new(2) };
    pair.parent->workflow_id = BYTES("parent");
    pair.child->workflow_id = BYTES("child");
    pair.child->numbers.lane = 1;
    world_start(pair.parent);
    return pair;
}

static void pair_free(struct pair pair)
{
    world_free(pair.parent);
    world_free(pair.child);
}

static int kind_of(struct world *w, const struct entity_message *message)
{
    struct state_Message decoded = { 0 };
    struct error         error = { 0 };
    CHECK_INT(pb_decode(&pb_state_Message, message->body, &w->arena, &decoded, &error), ST_OK);
    return decoded.kind_case;
}

/* How many messages of this kind have been sent and not delivered. */
static size_t waiting(struct world *w, int kind)
{
    size_t count = 0;
    for (size_t i = 0; i < w->mail_count; i++)
        count += !w->mail[i].is_delivered && kind_of(w, &w->mail[i].message) == kind;
    return count;
}

/* Delivers the oldest message of this kind. */
static void deliver(struct pair pair, struct world *from, int kind)
{
    for (size_t i = 0; i < from->mail_count; i++) {
        struct world_mail *mail = &from->mail[i];
        if (mail->is_delivered || kind_of(from, &mail->message) != kind)
            continue;
        mail->is_delivered = true;
        struct world *to = bytes_equal(mail->message.business_id, pair.parent->workflow_id) ? pair.parent
                                                                                            : pair.child;
        world_receive(to, &mail->message);
        CHECK_INT(to->arrival.base.error.code, ST_OK);
        return;
    }
    fail_msg("no message of kind %d waits", kind);
}

/* The parent asks for a child in its first task. */
static void initiate(struct pair pair, int32_t policy)
{
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.parent, world_poll(pair.parent));
    command_child(pair.parent, input)->parent_close_policy = policy;
    CHECK_INT(world_send(pair.parent), ST_OK);
}

static void start_child(struct pair pair, int32_t policy)
{
    initiate(pair, policy);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
}

static enum status complete_with(struct world *w)
{
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, world_poll(w));
    command_complete(w, input);
    return world_send(w);
}

TEST(a_child_starts_when_its_parent_has_recorded_it_and_its_end_is_told_once)
{
    struct pair pair = pair_new();
    initiate(pair, 0);
    CHECK_INT(world_state(pair.parent)->child_count, 1);
    CHECK_TEXT(world_history(pair.parent, 5), "5 START_CHILD_WORKFLOW_EXECUTION_INITIATED");
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    CHECK_TEXT(world_history(pair.child, 1), "1 WORKFLOW_EXECUTION_STARTED");
    CHECK(world_state(pair.child)->awaits_parent);
    CHECK_INT(world_signal(pair.child, "early", ""), ST_OK); /* does not start it either */
    CHECK(!world_state(pair.child)->task.is_pending);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    CHECK_TEXT(world_history(pair.parent, 6),
               "6 CHILD_WORKFLOW_EXECUTION_STARTED\n7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK_TEXT(world_history(pair.child, 2),
               "2 WORKFLOW_EXECUTION_SIGNALED{early}\n3 WORKFLOW_TASK_SCHEDULED{queue,1}");
    const struct history_WorkflowExecutionStartedEventAttributes *started =
        world_event(pair.child, world_current(pair.child), 1)->workflow_execution_started_event_attributes;
    CHECK_BYTES(started->parent_workflow_execution->workflow_id, BYTES("parent"));
    CHECK_BYTES(started->root_workflow_execution->workflow_id, BYTES("parent"));
    CHECK_INT(started->parent_initiated_event_id, 5);
    CHECK(started->workflow_run_timeout != NULL && duration_ns(started->workflow_run_timeout) == 0);
    CHECK_INT(complete_with(pair.child), ST_OK);
    CHECK_INT(waiting(pair.child, MESSAGE_CHILD_END), 1);
    deliver(pair, pair.child, MESSAGE_CHILD_END);
    CHECK_TEXT(world_history(pair.parent, 8), "8 CHILD_WORKFLOW_EXECUTION_COMPLETED");
    const struct history_ChildWorkflowExecutionCompletedEventAttributes *completed =
        world_event(pair.parent, world_current(pair.parent), 8)
            ->child_workflow_execution_completed_event_attributes;
    CHECK_INT(completed->initiated_event_id, 5);
    CHECK_INT(completed->started_event_id, 6);
    CHECK(completed->result.size != 0);
    CHECK_INT(world_state(pair.parent)->child_count, 0);
    pair_free(pair);
}

/* Between the start of the child and what its parent hears of it, again and again. */
TEST(a_parent_that_is_reset_hears_of_its_child)
{
    struct pair pair = pair_new();
    initiate(pair, 0); /* 5 */
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    CHECK_INT(world_signal(pair.parent, "s", ""), ST_OK);
    world_complete_empty(pair.parent, world_poll(pair.parent)); /* 6 to 9 */
    CHECK_INT(world_reset(pair.parent, -1, 9, "reset-1"), ST_OK);
    CHECK_INT(waiting(pair.parent, MESSAGE_PARENT_END), 0);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);  /* to the run that was reset */
    deliver(pair, pair.parent, MESSAGE_CHILD_ANSWER); /* and on */
    CHECK_TEXT(world_history(pair.parent, 10),
               "10 WORKFLOW_TASK_SCHEDULED{queue,1}\n11 CHILD_WORKFLOW_EXECUTION_STARTED");
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK(!world_state(pair.child)->awaits_parent);
    world_complete_empty(pair.parent, world_poll(pair.parent)); /* 12, 13 */
    CHECK_INT(world_signal(pair.parent, "s", ""), ST_OK);
    world_complete_empty(pair.parent, world_poll(pair.parent)); /* 14 to 17 */
    CHECK_INT(world_reset(pair.parent, -1, 17, "reset-2"), ST_OK);
    CHECK_INT(world_state(pair.parent)->child_count, 1);
    CHECK_INT(complete_with(pair.child), ST_OK);
    deliver(pair, pair.child, MESSAGE_CHILD_END);
    for (int hop = 0; hop < 2; hop++)
        deliver(pair, pair.parent, MESSAGE_CHILD_END);
    CHECK_INT(world_state(pair.parent)->child_count, 0);
    CHECK_INT(waiting(pair.parent, MESSAGE_CHILD_END), 0);
    pair_free(pair);
}

/* Its Initiated is not in what the new run has, which may have another child by the time, and by the same number. */
TEST(a_child_that_a_reset_took_back_is_nobodys)
{
    struct pair pair = pair_new();
    initiate(pair, 0);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    CHECK_INT(world_reset(pair.parent, -1, 4, "reset-1"), ST_OK);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    CHECK_INT(waiting(pair.parent, MESSAGE_CHILD_ANSWER), 0);
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK_INT(world_state(pair.child)->status, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
    CHECK_INT(world_state(pair.parent)->child_count, 0);
    pair_free(pair);
}

/* After a reset to before its start, the parent starts another one, which gets the number of the first. */
TEST(the_end_of_a_child_that_a_reset_took_back_does_not_end_its_namesake)
{
    struct pair   pair = pair_new();
    struct world *other = world_new(3);
    struct pair   then = { pair.parent, other };
    other->workflow_id = BYTES("other");
    world_complete_empty(pair.parent, world_poll(pair.parent)); /* 3, 4 */
    CHECK_INT(world_signal(pair.parent, "s", ""), ST_OK);
    start_child(pair, 0);
    int64_t number = world_state(pair.parent)->children[0].initiated_event_id;
    CHECK_INT(world_reset(pair.parent, -1, 4, "reset-1"), ST_OK);
    CHECK_INT(world_state(pair.parent)->child_count, 0);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.parent, world_poll(pair.parent));
    command_child(pair.parent, input)->workflow_id = BYTES("other");
    CHECK_INT(world_send(pair.parent), ST_OK);
    CHECK_INT(world_state(pair.parent)->children[0].initiated_event_id, number);
    deliver(then, pair.parent, MESSAGE_CHILD_START);
    deliver(then, other, MESSAGE_CHILD_ANSWER);
    deliver(then, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK_INT(complete_with(pair.child), ST_OK);
    deliver(pair, pair.child, MESSAGE_CHILD_END);
    while (waiting(pair.parent, MESSAGE_CHILD_END) != 0)
        deliver(pair, pair.parent, MESSAGE_CHILD_END);
    CHECK_INT(world_state(pair.parent)->child_count, 1);
    CHECK_INT(complete_with(other), ST_OK);
    deliver(then, other, MESSAGE_CHILD_END);
    CHECK_INT(world_state(pair.parent)->child_count, 0);
    world_free(other);
    pair_free(pair);
}

TEST(a_child_of_a_child_has_the_same_root)
{
    struct pair   pair = pair_new();
    struct world *grandchild = world_new(3);
    grandchild->workflow_id = BYTES("grandchild");
    start_child(pair, 0);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.child, world_poll(pair.child));
    command_child(pair.child, input)->workflow_id = BYTES("grandchild");
    CHECK_INT(world_send(pair.child), ST_OK);
    struct pair below = { pair.child, grandchild };
    deliver(below, pair.child, MESSAGE_CHILD_START);
    const struct family *below_it = execution_family(world_state(grandchild));
    CHECK_BYTES(below_it->root_workflow_id, BYTES("parent"));
    CHECK_BYTES(below_it->parent_workflow_id, BYTES("child"));
    CHECK(memcmp(&below_it->root_run_id, &world_state(pair.parent)->run_id, sizeof(struct uuid)) == 0);
    world_free(grandchild);
    pair_free(pair);
}

TEST(an_id_that_is_taken_fails_the_start)
{
    struct pair pair = pair_new();
    world_start(pair.child);
    initiate(pair, 0);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    CHECK_INT(pair.child->run_count, 1);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    CHECK_TEXT(world_history(pair.parent, 6),
               "6 START_CHILD_WORKFLOW_EXECUTION_FAILED\n7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_event(pair.parent, world_current(pair.parent), 6)
                  ->start_child_workflow_execution_failed_event_attributes->cause,
              enums_START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS);
    CHECK_INT(world_state(pair.parent)->child_count, 0);
    pair_free(pair);
}

TEST(what_commands_ask_of_others_is_not_sent_when_their_task_closes_the_workflow)
{
    struct pair                                                 pair = pair_new();
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.parent, world_poll(pair.parent));
    command_child(pair.parent, input)->parent_close_policy = enums_PARENT_CLOSE_POLICY_ABANDON;
    command_signal(pair.parent, input, "child");
    command_complete(pair.parent, input);
    CHECK_INT(world_send(pair.parent), ST_OK);
    CHECK_INT(pair.parent->mail_count, 0);
    pair_free(pair);
}

/* Created already, not recorded: it ends before it ran, whatever its policy. */
TEST(a_parent_that_closes_before_it_recorded_the_start_leaves_no_child)
{
    struct pair pair = pair_new();
    initiate(pair, enums_PARENT_CLOSE_POLICY_ABANDON);
    CHECK_INT(world_terminate(pair.parent), ST_OK);
    CHECK_INT(waiting(pair.parent, MESSAGE_PARENT_END), 0);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK_TEXT(world_history(pair.child, 1),
               "1 WORKFLOW_EXECUTION_STARTED\n2 WORKFLOW_EXECUTION_TERMINATED{history-service}");
    deliver(pair, pair.child, MESSAGE_CHILD_END); /* nobody hears it */
    CHECK_TEXT(world_history(pair.parent, 6), "6 WORKFLOW_EXECUTION_TERMINATED{client}");
    pair_free(pair);
}

/* What comes of what a run has begun when it has closed already is there for a run that begins again from it, once. */
TEST(answers_that_came_after_a_run_had_closed_reach_the_run_that_begins_again_from_it)
{
    for (int ended = 0; ended < 2; ended++) {
        struct pair pair = pair_new();
        initiate(pair, enums_PARENT_CLOSE_POLICY_ABANDON); /* 5 */
        CHECK_INT(world_signal(pair.parent, "s", ""), ST_OK);
        world_complete_empty(pair.parent, world_poll(pair.parent)); /* 6 to 9 */
        if (ended)
            deliver(pair, pair.parent, MESSAGE_CHILD_START);
        CHECK_INT(world_reset(pair.parent, -1, 4, "reset-1"), ST_OK); /* it takes the child back */
        if (!ended)
            deliver(pair, pair.parent, MESSAGE_CHILD_START);
        deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
        deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
        if (ended)
            deliver(pair, pair.child, MESSAGE_CHILD_END);
        CHECK_INT(world_reset(pair.parent, 0, 9, "reset-2"), ST_OK); /* of the run that began it */
        if (!ended) {
            CHECK_TEXT(world_history(pair.parent, 9),
                       "9 WORKFLOW_TASK_FAILED{7,8,RESET_WORKFLOW,history-service,other}\n"
                       "10 CHILD_WORKFLOW_EXECUTION_STARTED\n11 WORKFLOW_TASK_SCHEDULED{queue,1}");
            deliver(pair, pair.child, MESSAGE_CHILD_END);  /* to the run that was reset */
            deliver(pair, pair.parent, MESSAGE_CHILD_END); /* and on */
            CHECK_TEXT(world_history(pair.parent, 12), "12 CHILD_WORKFLOW_EXECUTION_TERMINATED");
        } else {
            CHECK_TEXT(world_history(pair.parent, 9),
                       "9 WORKFLOW_TASK_FAILED{7,8,RESET_WORKFLOW,history-service,other}\n"
                       "10 CHILD_WORKFLOW_EXECUTION_STARTED\n11 CHILD_WORKFLOW_EXECUTION_TERMINATED\n"
                       "12 WORKFLOW_TASK_SCHEDULED{queue,1}");
        }
        CHECK_INT(world_state(pair.parent)->child_count, 0);
        pair_free(pair);
    }
}

TEST(a_result_of_a_signal_that_came_after_a_run_had_closed_reaches_the_run_that_begins_again_from_it)
{
    struct pair pair = pair_new();
    world_start(pair.child);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.parent, world_poll(pair.parent));
    command_signal(pair.parent, input, "child"); /* 5 */
    CHECK_INT(world_send(pair.parent), ST_OK);
    CHECK_INT(world_signal(pair.parent, "s", ""), ST_OK);
    world_complete_empty(pair.parent, world_poll(pair.parent)); /* 6 to 9 */
    CHECK_INT(world_terminate(pair.parent), ST_OK);
    deliver(pair, pair.parent, MESSAGE_EXTERNAL_SIGNAL);
    deliver(pair, pair.child, MESSAGE_EXTERNAL_ANSWER);
    CHECK_INT(world_reset(pair.parent, -1, 9, "reset-1"), ST_OK);
    CHECK_TEXT(world_history(pair.parent, 9),
               "9 WORKFLOW_TASK_FAILED{7,8,RESET_WORKFLOW,history-service,other}\n"
               "10 EXTERNAL_WORKFLOW_EXECUTION_SIGNALED\n11 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_state(pair.parent)->external_signal_count, 0);
    pair_free(pair);
}

TEST(a_parents_end_reaches_its_children_as_their_policies_say)
{
    static const struct {
        int32_t     policy;
        const char *tail;
    } cases[] = {
        { enums_PARENT_CLOSE_POLICY_TERMINATE, "3 WORKFLOW_EXECUTION_TERMINATED{history-service}" },
        { enums_PARENT_CLOSE_POLICY_REQUEST_CANCEL, "3 WORKFLOW_EXECUTION_CANCEL_REQUESTED" },
        { enums_PARENT_CLOSE_POLICY_ABANDON, "" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (int how = 0; how < 3; how++) {
            struct pair pair = pair_new();
            start_child(pair, cases[i].policy);
            if (how == 0) {
                CHECK_INT(world_terminate(pair.parent), ST_OK);
            } else {
                struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
                    world_completion(pair.parent, world_poll(pair.parent));
                if (how == 1)
                    command_complete(pair.parent, input);
                else
                    command_continue(pair.parent, input);
                CHECK_INT(world_send(pair.parent), ST_OK);
            }
            bool told = cases[i].policy != enums_PARENT_CLOSE_POLICY_ABANDON;
            CHECK_INT(waiting(pair.parent, MESSAGE_PARENT_END), told);
            if (told)
                deliver(pair, pair.parent, MESSAGE_PARENT_END);
            CHECK_TEXT(world_history(pair.child, 3), cases[i].tail);
            pair_free(pair);
        }
    }
}

/* The chain is known by its first run: another one of the same id is none of the parent's business. */
TEST(a_parents_end_spares_another_chain_of_the_same_id)
{
    struct pair pair = pair_new();
    start_child(pair, enums_PARENT_CLOSE_POLICY_TERMINATE);
    CHECK_INT(world_terminate(pair.child), ST_OK);
    world_start_request(pair.child, "start-2");
    CHECK(world_start_send(pair.child) != NULL);
    CHECK_INT(world_terminate(pair.parent), ST_OK);
    deliver(pair, pair.parent, MESSAGE_PARENT_END);
    CHECK(execution_is_open(world_state(pair.child)));
    pair_free(pair);
}

TEST(only_the_end_of_the_chain_is_told)
{
    struct pair pair = pair_new();
    start_child(pair, 0);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.child, world_poll(pair.child));
    command_continue(pair.child, input);
    CHECK_INT(world_send(pair.child), ST_OK);
    CHECK_INT(waiting(pair.child, MESSAGE_CHILD_END), 0);
    CHECK_INT(pair.child->run_count, 2);
    CHECK(!world_state(pair.child)->awaits_parent);
    CHECK_BYTES(execution_family(world_state(pair.child))->parent_workflow_id, BYTES("parent"));
    world_next(pair.child); /* the interval between runs of a chain */
    CHECK_INT(complete_with(pair.child), ST_OK);
    deliver(pair, pair.child, MESSAGE_CHILD_END);
    const struct history_ChildWorkflowExecutionCompletedEventAttributes *completed =
        world_event(pair.parent, world_current(pair.parent), 8)
            ->child_workflow_execution_completed_event_attributes;
    CHECK_BYTES(completed->workflow_execution->run_id,
                uuid_text(&pair.parent->arena, &world_state(pair.child)->run_id));
    pair_free(pair);
}

/* Ends go to the back of a flush, with the ids that their starts have got in it. */
TEST(starts_and_ends_in_one_flush)
{
    struct pair pair = pair_new();
    initiate(pair, 0);
    CHECK_INT(world_signal(pair.parent, "s", ""), ST_OK);
    struct task_ref token = world_poll(pair.parent);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    CHECK(world_state(pair.parent)->children[0].record->is_started);
    CHECK_INT(world_state(pair.parent)->children[0].record->started_event_id, 0);
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK_INT(complete_with(pair.child), ST_OK);
    deliver(pair, pair.child, MESSAGE_CHILD_END);
    CHECK_INT(world_state(pair.parent)->child_count, 0);
    CHECK_INT(world_signal(pair.parent, "t", ""), ST_OK);
    world_complete_empty(pair.parent, token);
    CHECK_TEXT(world_history(pair.parent, 10),
               "10 CHILD_WORKFLOW_EXECUTION_STARTED\n11 WORKFLOW_EXECUTION_SIGNALED{t}\n"
               "12 CHILD_WORKFLOW_EXECUTION_COMPLETED\n13 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_event(pair.parent, world_current(pair.parent), 12)
                  ->child_workflow_execution_completed_event_attributes->started_event_id,
              10);
    pair_free(pair);
}

/* A start that is flushed while its child still runs: the end knows its id later. */
TEST(a_start_from_the_buffer_gets_its_id)
{
    struct pair pair = pair_new();
    initiate(pair, 0);
    CHECK_INT(world_signal(pair.parent, "s", ""), ST_OK);
    struct task_ref token = world_poll(pair.parent);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    world_complete_empty(pair.parent, token);
    CHECK_INT(world_state(pair.parent)->children[0].record->started_event_id, 10);
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK_INT(world_terminate(pair.child), ST_OK);
    deliver(pair, pair.child, MESSAGE_CHILD_END);
    CHECK_TEXT(world_history(pair.parent, 12), "12 CHILD_WORKFLOW_EXECUTION_TERMINATED");
    CHECK_INT(world_event(pair.parent, world_current(pair.parent), 12)
                  ->child_workflow_execution_terminated_event_attributes->started_event_id,
              10);
    pair_free(pair);
}

/* Nothing orders two messages for certain: here the child is terminated, and that is heard before its start. */
TEST(an_end_that_overtakes_its_start)
{
    struct pair pair = pair_new();
    initiate(pair, 0);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    CHECK_INT(world_terminate(pair.child), ST_OK);
    deliver(pair, pair.child, MESSAGE_CHILD_END);
    CHECK_TEXT(world_history(pair.parent, 6),
               "6 CHILD_WORKFLOW_EXECUTION_STARTED\n7 CHILD_WORKFLOW_EXECUTION_TERMINATED\n"
               "8 WORKFLOW_TASK_SCHEDULED{queue,1}");
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    CHECK(!pair.parent->last_changed);
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK(!pair.child->last_changed);
    pair_free(pair);
}

TEST(a_cron_child_waits_for_its_slot_after_its_release)
{
    struct pair                                                 pair = pair_new();
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.parent, world_poll(pair.parent));
    command_child(pair.parent, input)->cron_schedule = BYTES("@every 10s");
    CHECK_INT(world_send(pair.parent), ST_OK);
    deliver(pair, pair.parent, MESSAGE_CHILD_START);
    CHECK_EQ(execution_next_due(world_state(pair.child)), TIME_NEVER);
    deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
    deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
    CHECK(!world_state(pair.child)->task.is_pending);
    CHECK_EQ(execution_next_due(world_state(pair.child)), pair.child->now + 10 * NS_PER_S);
    world_next(pair.child);
    CHECK_INT(complete_with(pair.child), ST_OK);
    CHECK_INT(waiting(pair.child, MESSAGE_CHILD_END), 0); /* a cron chain goes on */
    pair_free(pair);
}

TEST(a_child_can_end_in_every_way)
{
    static const char *const expected[] = { "FAILED", "CANCELED", "TIMED_OUT" };
    for (int how = 0; how < 3; how++) {
        struct pair                                                 pair = pair_new();
        struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
            world_completion(pair.parent, world_poll(pair.parent));
        command_child(pair.parent, input)->workflow_run_timeout = duration_of_ns(&pair.parent->arena,
                                                                                 5 * NS_PER_S);
        CHECK_INT(world_send(pair.parent), ST_OK);
        deliver(pair, pair.parent, MESSAGE_CHILD_START);
        deliver(pair, pair.child, MESSAGE_CHILD_ANSWER);
        deliver(pair, pair.parent, MESSAGE_CHILD_RELEASE);
        if (how == 2) {
            world_next(pair.child);
        } else {
            input = world_completion(pair.child, world_poll(pair.child));
            if (how == 0)
                command_fail(pair.child, input, app_failure(&pair.child->arena, "boom"));
            else {
                struct command_Command *command = command_add(input,
                                                              enums_COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION);
                command->attributes_case = 8;
                command->cancel_workflow_execution_command_attributes =
                    ARENA_NEW(&pair.child->arena, struct command_CancelWorkflowExecutionCommandAttributes);
            }
            CHECK_INT(world_send(pair.child), ST_OK);
        }
        deliver(pair, pair.child, MESSAGE_CHILD_END);
        char text[80];
        snprintf(text, sizeof(text), "8 CHILD_WORKFLOW_EXECUTION_%s", expected[how]);
        CHECK_TEXT(world_history(pair.parent, 8), text);
        const struct history_HistoryEvent *event = world_event(pair.parent, world_current(pair.parent), 8);
        if (how == 0)
            CHECK(event->child_workflow_execution_failed_event_attributes->retry_state ==
                      enums_RETRY_STATE_RETRY_POLICY_NOT_SET &&
                  event->child_workflow_execution_failed_event_attributes->failure.size != 0);
        pair_free(pair);
    }
}

TEST(pending_children_and_signals_are_limited)
{
    struct pair pair = pair_new();
    pair.parent->limits.pending_children_max = 2;
    pair.parent->limits.pending_external_signals_max = 1;
    pair.parent->limits.pending_external_cancels_max = 1;
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.parent, world_poll(pair.parent));
    command_child(pair.parent, input);
    command_child(pair.parent, input);
    command_signal(pair.parent, input, "a");
    command_cancel(pair.parent, input, "b");
    CHECK_INT(world_send(pair.parent), ST_OK);
    for (int what = 0; what < 3; what++) {
        CHECK_INT(world_signal(pair.parent, "again", ""), ST_OK);
        input = world_completion(pair.parent, world_poll(pair.parent));
        if (what == 0)
            command_child(pair.parent, input);
        else if (what == 1)
            command_signal(pair.parent, input, "c");
        else
            command_cancel(pair.parent, input, "c");
        CHECK_INT(world_send(pair.parent), ST_INVALID_ARGUMENT);
        static const char *const causes[] = { "PendingChildWorkflowsLimitExceeded",
                                              "PendingSignalsLimitExceeded",
                                              "PendingRequestCancelLimitExceeded" };
        CHECK(strncmp(pair.parent->request.base.error.message, causes[what], strlen(causes[what])) == 0);
        world_complete_empty(pair.parent, world_poll(pair.parent));
    }
    pair_free(pair);
}

/* --- signals and cancel requests --- */

static void ask(struct pair pair,
                void (*command)(struct world                                               *w,
                                struct workflowservice_RespondWorkflowTaskCompletedRequest *input))
{
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        world_completion(pair.parent, world_poll(pair.parent));
    command(pair.parent, input);
    CHECK_INT(world_send(pair.parent), ST_OK);
}

static void signal_child(struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    command_signal(w, input, "child")->control = BYTES("control");
}
static void signal_own_child(struct world                                               *w,
                             struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    command_signal(w, input, "child")->child_workflow_only = true;
}
static void signal_itself(struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    command_signal(w, input, "parent");
}
static void cancel_child(struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    command_cancel(w, input, "child");
}

TEST(a_signal_arrives_and_its_sender_hears_of_it)
{
    struct pair pair = pair_new();
    world_start(pair.child);
    ask(pair, signal_child);
    CHECK_INT(world_state(pair.parent)->external_signal_count, 1);
    deliver(pair, pair.parent, MESSAGE_EXTERNAL_SIGNAL);
    CHECK_TEXT(world_history(pair.child, 3), "3 WORKFLOW_EXECUTION_SIGNALED{hello}");
    const struct history_WorkflowExecutionSignaledEventAttributes *signaled =
        world_event(pair.child, world_current(pair.child), 3)->workflow_execution_signaled_event_attributes;
    CHECK_BYTES(signaled->identity, BYTES("history-service"));
    CHECK_BYTES(signaled->external_workflow_execution->workflow_id, BYTES("parent"));
    deliver(pair, pair.child, MESSAGE_EXTERNAL_ANSWER);
    CHECK_TEXT(world_history(pair.parent, 6),
               "6 EXTERNAL_WORKFLOW_EXECUTION_SIGNALED\n7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_BYTES(world_event(pair.parent, world_current(pair.parent), 6)
                    ->external_workflow_execution_signaled_event_attributes->control,
                BYTES("control"));
    CHECK_INT(world_state(pair.parent)->external_signal_count, 0);
    pair_free(pair);
}

/* Found by the simulator: the base had the result already, nobody sent the signal again, and the new run waited for ever. */
TEST(a_result_that_came_after_the_cut_of_a_reset_is_applied_again)
{
    struct pair pair = pair_new();
    world_start(pair.child);
    ask(pair, signal_child);
    CHECK_INT(world_signal(pair.parent, "one", "signal-1"), ST_OK);
    world_complete_empty(pair.parent, world_poll(pair.parent));
    deliver(pair, pair.parent, MESSAGE_EXTERNAL_SIGNAL);
    deliver(pair, pair.child, MESSAGE_EXTERNAL_ANSWER);
    CHECK_TEXT(world_history(pair.parent, 10),
               "10 EXTERNAL_WORKFLOW_EXECUTION_SIGNALED\n11 WORKFLOW_TASK_SCHEDULED{queue,1}");
    struct workflowservice_ResetWorkflowExecutionRequest *input = world_reset_request(pair.parent, -1, 9,
                                                                                      "reset-1");
    int32_t excluded[] = { enums_RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL, enums_RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
                           enums_RESET_REAPPLY_EXCLUDE_TYPE_NEXUS,
                           enums_RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST };
    input->reset_reapply_exclude_types = excluded;
    input->reset_reapply_exclude_types_count = ARRAY_COUNT(excluded);
    CHECK_INT(world_send(pair.parent), ST_OK);
    CHECK_TEXT(world_history(pair.parent, 9),
               "9 WORKFLOW_TASK_FAILED{7,8,RESET_WORKFLOW,history-service,other}\n"
               "10 EXTERNAL_WORKFLOW_EXECUTION_SIGNALED\n11 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_state(pair.parent)->external_signal_count, 0);
    pair_free(pair);
}

static void check_signal_failed(struct pair pair, struct world *answers, int32_t cause)
{
    deliver(pair, answers, MESSAGE_EXTERNAL_ANSWER);
    CHECK_TEXT(world_history(pair.parent, 6),
               "6 SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED\n7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    CHECK_INT(world_event(pair.parent, world_current(pair.parent), 6)
                  ->signal_external_workflow_execution_failed_event_attributes->cause,
              cause);
    CHECK_INT(world_state(pair.parent)->external_signal_count, 0);
    pair_free(pair);
}

#define NOT_FOUND enums_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND

TEST(a_signal_that_cannot_arrive)
{
    struct pair nobody = pair_new();
    ask(nobody, signal_child);
    deliver(nobody, nobody.parent, MESSAGE_EXTERNAL_SIGNAL);
    check_signal_failed(nobody, nobody.child, NOT_FOUND);

    struct pair closed = pair_new();
    world_start(closed.child);
    CHECK_INT(world_terminate(closed.child), ST_OK);
    ask(closed, signal_child);
    deliver(closed, closed.parent, MESSAGE_EXTERNAL_SIGNAL);
    check_signal_failed(closed, closed.child, NOT_FOUND);

    struct pair stranger = pair_new();
    world_start(stranger.child);
    ask(stranger, signal_own_child);
    deliver(stranger, stranger.parent, MESSAGE_EXTERNAL_SIGNAL);
    check_signal_failed(stranger, stranger.child, NOT_FOUND);

    struct pair itself = pair_new();
    ask(itself, signal_itself);
    CHECK_INT(waiting(itself.parent, MESSAGE_EXTERNAL_SIGNAL), 0);
    check_signal_failed(itself, itself.parent, NOT_FOUND);

    struct pair many = pair_new();
    world_start(many.child);
    many.child->limits.signals_max = 1;
    CHECK_INT(world_signal(many.child, "one", ""), ST_OK);
    ask(many, signal_child);
    deliver(many, many.parent, MESSAGE_EXTERNAL_SIGNAL);
    check_signal_failed(many, many.child,
                        enums_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED);
}

/* A target that tries to close takes no signal before it has, or has not: the message comes again. */
TEST(a_signal_to_a_closing_workflow_waits)
{
    struct pair pair = pair_new();
    world_start(pair.child);
    struct task_ref token = world_poll(pair.child);
    CHECK_INT(world_signal(pair.child, "unseen", ""), ST_OK);
    command_complete(pair.child, world_completion(pair.child, token));
    CHECK_INT(world_send(pair.child), ST_INVALID_ARGUMENT);
    (void)world_poll(pair.child);
    ask(pair, signal_child);
    CHECK_INT(pair.parent->mail_count, 1);
    world_receive(pair.child, &pair.parent->mail[0].message);
    CHECK_INT(pair.child->arrival.base.error.code, ST_RESOURCE_EXHAUSTED);
    CHECK(!pair.child->last_changed);
    CHECK_INT(pair.child->mail_count, 0);
    pair_free(pair);
}

TEST(a_cancel_request_arrives_once_and_closed_workflows_need_none)
{
    struct pair pair = pair_new();
    world_start(pair.child);
    ask(pair, cancel_child);
    deliver(pair, pair.parent, MESSAGE_EXTERNAL_CANCEL);
    CHECK_TEXT(world_history(pair.child, 3), "3 WORKFLOW_EXECUTION_CANCEL_REQUESTED");
    const struct history_WorkflowExecutionCancelRequestedEventAttributes *requested =
        world_event(pair.child, world_current(pair.child), 3)
            ->workflow_execution_cancel_requested_event_attributes;
    CHECK_BYTES(requested->cause, BYTES("enough"));
    CHECK_INT(requested->external_initiated_event_id, 5);
    deliver(pair, pair.child, MESSAGE_EXTERNAL_ANSWER);
    CHECK_TEXT(world_history(pair.parent, 6),
               "6 EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED\n7 WORKFLOW_TASK_SCHEDULED{queue,1}");
    for (int again = 0; again < 2; again++) { /* requested already; closed */
        ask(pair, cancel_child);
        deliver(pair, pair.parent, MESSAGE_EXTERNAL_CANCEL);
        CHECK(!pair.child->last_changed);
        deliver(pair, pair.child, MESSAGE_EXTERNAL_ANSWER);
        const struct world_run *run = world_current(pair.parent);
        CHECK_INT(
            world_event(pair.parent, world_current(pair.parent), (int64_t)run->event_count - 1)->event_type,
            enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED);
        if (again == 0)
            CHECK_INT(world_terminate(pair.child), ST_OK);
    }
    pair_free(pair);
}

TEST(a_damaged_message_is_reported_and_changes_nothing)
{
    static const char *const bodies[] = { "\x0a\x7f", "", "\x0a\x00", "\x2a\x00", "\x32\x00" };
    static const size_t      sizes[] = { 2, 0, 2, 2, 2 };
    struct world            *w = world_new(1);
    world_start(w);
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct entity_message message = { .kind = ENTITY_WORKFLOW,
                                          .namespace_number = 7,
                                          .business_id = w->workflow_id,
                                          .body = bytes_of(bodies[i], sizes[i]) };
        CHECK(!message_is_sound(message.body));
        world_receive(w, &message);
        CHECK_INT(w->arrival.base.error.code, ST_DATA_LOSS);
        CHECK(!w->last_changed);
    }
    world_free(w);
}
