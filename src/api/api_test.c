/* api_test.c: calls end to end, without sockets: routing over lanes, polls, long polls, queries, what is refused and how. */
#include "api/api_harness.h"

/* Scenarios run with one lane, and with four where the call's home, the run's owner and the queue mostly differ. */
static const struct {
    uint32_t lanes;
    bool     manual;
} worlds[] = { { 1, false }, { 1, true }, { 4, false }, { 4, true } };

#define FOR_EACH_WORLD(world)                                                                                \
    for (size_t world_index = 0; world_index < ARRAY_COUNT(worlds); world_index++)                           \
        for (struct world world##_value,                                                                     \
             *world = (world_begin(&world##_value, worlds[world_index].lanes, worlds[world_index].manual),   \
                       &world##_value);                                                                      \
             world != NULL; world_end(world), world = NULL)

static const char *const ids[] = { "a", "b", "c", "d", "e", "f", "g", "h" };

static uint32_t lane_for(const struct world *world, size_t index)
{
    return (uint32_t)(index % world->lanes);
}

static struct bytes run_id_of(struct recorded *started)
{
    const struct workflowservice_StartWorkflowExecutionResponse *response = answer_of(started);
    return response->run_id;
}

/* --- the table --- */

TEST(every_rpc_has_a_line_and_what_is_missing_names_itself)
{
    FOR_EACH_WORLD(world)
    {
        size_t ours = 0;
        for (size_t i = 0; i < pb_method_count; i++) {
            if (!api_is_method(pb_methods[i].path))
                continue;
            struct api_method_info info = api_method(ours++);
            CHECK_TEXT(info.name, (const char *)pb_methods[i].name.base);
            for (const char *at = info.note; *at != '\0'; at++)
                CHECK(*at >= ' ' && *at < 127 && *at != '"' && *at != '\\' && *at != '|');
            if (info.support != API_NOT_YET)
                continue;
            struct recorded *call = send_raw(world, 0, &pb_methods[i], BYTES("\xff\xff"));
            CHECK(call->done);
            CHECK(strstr(call->error.message, info.name) != NULL);
            expect_code(call, ST_UNIMPLEMENTED);
        }
        CHECK_INT(ours, api_method_count());
    }
}

TEST(an_unknown_method_is_unimplemented)
{
    struct world world;
    world_begin(&world, 1, false);
    struct recorded *call = recorded_new(&world, 0, NS_PER_S);
    call->method = &pb_methods[0];
    call->call.path = BYTES("/temporal.api.workflowservice.v1.WorkflowService/Invented");
    api_call(call->call.home, &call->call);
    CHECK(strstr(call->error.message, "unknown method") != NULL);
    expect_code(call, ST_UNIMPLEMENTED);
    world_end(&world);
}

/* --- order of checks --- */

TEST(an_unknown_namespace_comes_before_any_field)
{
    struct world world;
    world_begin(&world, 1, false);
    struct workflowservice_StartWorkflowExecutionRequest request = { .namespace = BYTES("nowhere") };
    struct recorded *call = send(&world, 0, PB_METHOD_WorkflowService_StartWorkflowExecution, &request);
    CHECK(bytes_equal_text(call->error.detail_type, "temporal.api.errordetails.v1.NamespaceNotFoundFailure"));
    struct errordetails_NamespaceNotFoundFailure detail;
    CHECK_INT(pb_decode(&pb_errordetails_NamespaceNotFoundFailure, call->error.detail, &call->arena, &detail,
                        NULL),
              ST_OK);
    CHECK_BYTES(detail.namespace, BYTES("nowhere"));
    expect_code(call, ST_NOT_FOUND);
    world_end(&world);
}

TEST(garbage_is_an_invalid_argument_everywhere)
{
    struct world world;
    world_begin(&world, 1, false);
    for (size_t i = 0; i < pb_method_count; i++) {
        if (!api_is_method(pb_methods[i].path) || pb_methods[i].request->field_count == 0)
            continue;
        struct recorded *call = send_raw(&world, 0, &pb_methods[i], BYTES("\x0a\xff\xff\xff"));
        CHECK(call->done);
        CHECK(call->error.code == ST_INVALID_ARGUMENT || call->error.code == ST_UNIMPLEMENTED);
        recorded_free(call);
    }
    world_end(&world);
}

TEST(a_run_id_that_is_no_uuid_is_invalid)
{
    struct world world;
    world_begin(&world, 1, false);
    struct common_WorkflowExecution                         execution = { .workflow_id = BYTES("!sonotreal"),
                                                                          .run_id = BYTES("superneverexistwf!") };
    struct workflowservice_DescribeWorkflowExecutionRequest request = { .namespace = BYTES("default"),
                                                                        .execution = &execution };
    struct recorded *call = send(&world, 0, PB_METHOD_WorkflowService_DescribeWorkflowExecution, &request);
    CHECK(strstr(call->error.message, "Invalid RunId") != NULL);
    expect_code(call, ST_INVALID_ARGUMENT);
    world_end(&world);
}

TEST(clients_of_another_major_version_are_refused)
{
    static const struct {
        const char *name, *version, *range;
        enum status code;
    } cases[] = {
        { "temporal-go", "1.48.0", ">=1.0.0 <2.0.0", ST_OK },
        { "temporal-go", "2.0.0", "", ST_FAILED_PRECONDITION },
        { "temporal-ui", "2.9.1", "", ST_OK },
        { "temporal-ui", "3.0.0", "", ST_FAILED_PRECONDITION },
        { "temporal-java", "one", "", ST_INVALID_ARGUMENT },
        { "some-other", "one", "", ST_OK },
        { "temporal-java", "", "<1.30.0", ST_FAILED_PRECONDITION },
        { "", "", "<1.30.0 || >=1.31.0 <1.32.0", ST_OK },
        { "", "", "!=1.31.0", ST_FAILED_PRECONDITION },
        { "", "", "whatever", ST_INVALID_ARGUMENT },
    };
    struct world world;
    world_begin(&world, 1, false);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct workflowservice_GetSystemInfoRequest request;
        struct recorded                            *call = recorded_new(&world, 0, NS_PER_S);
        memset(&request, 0, sizeof request);
        call->metadata[0] = (struct metadata){ BYTES("client-name"), bytes_of_text(cases[i].name) };
        call->metadata[1] = (struct metadata){ BYTES("client-version"), bytes_of_text(cases[i].version) };
        call->metadata[2] = (struct metadata){ BYTES("supported-server-versions"),
                                               bytes_of_text(cases[i].range) };
        call->call.metadata_count = 3;
        send_prepared(&world, call, PB_METHOD_WorkflowService_GetSystemInfo, &request);
        expect_code(call, cases[i].code);
    }
    world_end(&world);
}

/* Whatever arrives is answered, or waits and ends at the drain: never twice, never not. */
TEST(random_requests_are_each_answered_once)
{
    struct world            world;
    struct random           random;
    static struct recorded *calls[4000];
    size_t                  count = 0;
    world_begin(&world, 2, false);
    random_seed(&random, 7);
    while (count < ARRAY_COUNT(calls)) {
        const struct pb_method *method = &pb_methods[random_below(&random, pb_method_count)];
        uint8_t                 bytes[64] = "\x0a\x07"
                                            "default";
        size_t                  size = random_below(&random, 2) == 0 ? 9 : 0;
        if (!api_is_method(method->path))
            continue;
        for (size_t more = random_below(&random, sizeof bytes - 9); more > 0; more--)
            bytes[size++] = (uint8_t)random_below(&random, random_below(&random, 2) == 0 ? 256 : 32);
        calls[count++] = send_raw(&world, (uint32_t)random_below(&random, 2), method, bytes_of(bytes, size));
        if (count % 16 == 0)
            world_run(&world);
    }
    world_advance(&world, NS_PER_S);
    world_end(&world);
    for (size_t i = 0; i < count; i++)
        recorded_free(calls[i]);
}

/* --- namespaces --- */

TEST(a_namespace_is_known_to_every_lane_when_its_registration_is_answered)
{
    FOR_EACH_WORLD(world)
    {
        struct google_Duration                          day = { .seconds = 86400 };
        struct workflowservice_RegisterNamespaceRequest request = {
            .namespace = BYTES("mine"),
            .workflow_execution_retention_period = &day,
            .description = BYTES("text")
        };
        struct recorded *call = send(world, world->lanes - 1, PB_METHOD_WorkflowService_RegisterNamespace,
                                     &request);
        expect_code(call, ST_OK);
        for (uint32_t lane = 0; lane < world->lanes; lane++) {
            struct workflowservice_DescribeNamespaceRequest which = { .namespace = BYTES("mine") };
            call = send(world, lane, PB_METHOD_WorkflowService_DescribeNamespace, &which);
            const struct workflowservice_DescribeNamespaceResponse *response = answer_of(call);
            CHECK_BYTES(response->namespace_info->description, BYTES("text"));
            CHECK_INT(response->config->workflow_execution_retention_ttl->seconds, 86400);
            CHECK_INT(response->namespace_info->state, enums_NAMESPACE_STATE_REGISTERED);
            recorded_free(call);
        }
        call = send(world, 0, PB_METHOD_WorkflowService_RegisterNamespace, &request);
        CHECK(bytes_equal_text(call->error.detail_type,
                               "temporal.api.errordetails.v1.NamespaceAlreadyExistsFailure"));
        expect_code(call, ST_ALREADY_EXISTS);
    }
}

TEST(namespaces_are_listed_in_pages_by_name)
{
    struct world world;
    world_begin(&world, 1, false);
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct google_Duration                          day = { .seconds = 86400 };
        struct workflowservice_RegisterNamespaceRequest request = {
            .namespace = bytes_of_text(ids[i]), .workflow_execution_retention_period = &day
        };
        expect_code(send(&world, 0, PB_METHOD_WorkflowService_RegisterNamespace, &request), ST_OK);
    }
    struct workflowservice_ListNamespacesRequest request = { .page_size = 4 };
    struct recorded                             *last = NULL;
    size_t                                       seen = 0, pages = 0;
    do {
        struct recorded *call = send(&world, 0, PB_METHOD_WorkflowService_ListNamespaces, &request);
        const struct workflowservice_ListNamespacesResponse *response = answer_of(call);
        seen += response->namespaces_count;
        pages++;
        request.next_page_token = response->next_page_token;
        if (last != NULL)
            recorded_free(last);
        last = call;
    } while (request.next_page_token.size != 0);
    recorded_free(last);
    CHECK_INT(seen, ARRAY_COUNT(ids) + 1);
    CHECK_INT(pages, 3);
    world_end(&world);
}

/* --- workflow tasks --- */

static struct command_Command *complete_command(struct recorded *owner)
{
    struct command_Command *command = ARENA_NEW(&owner->arena, struct command_Command);
    command->command_type = enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION;
    command->attributes_case = 4;
    command->complete_workflow_execution_command_attributes =
        ARENA_NEW(&owner->arena, struct command_CompleteWorkflowExecutionCommandAttributes);
    return command;
}

static void finish(struct world *world, uint32_t lane, struct recorded *polled)
{
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    CHECK(task->task_token.size != 0);
    expect_code(complete_task(world, lane, task->task_token, complete_command(polled), 1), ST_OK);
    recorded_free(polled);
}

TEST(a_workflow_runs_whether_its_worker_waits_or_comes_later)
{
    FOR_EACH_WORLD(world)
    {
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            uint32_t         lane = lane_for(world, i);
            struct recorded *early = i % 2 == 0 ? poll_workflow(world, lane_for(world, i + 1), 70 * NS_PER_S)
                                                : NULL;
            struct recorded *started = start(world, lane, ids[i]);
            answer_of(started);
            if (early == NULL)
                early = poll_workflow(world, lane_for(world, i + 1), 70 * NS_PER_S);
            const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(early);
            CHECK_BYTES(task->workflow_execution->workflow_id, bytes_of_text(ids[i]));
            CHECK_BYTES(task->workflow_execution->run_id, run_id_of(started));
            CHECK_INT(task->history->events_count, 3);
            CHECK_INT(event_type(early, task->history->events[2]), enums_EVENT_TYPE_WORKFLOW_TASK_STARTED);
            finish(world, lane_for(world, i + 2), early);
            struct recorded *read = history(world, lane_for(world, i + 3), ids[i], false, 0, BYTES_EMPTY);
            const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(read);
            CHECK_INT(page->history->events_count, 5);
            CHECK_INT(page->next_page_token.size, 0);
            CHECK_INT(event_type(read, page->history->events[4]),
                      enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
            recorded_free(read);
            recorded_free(started);
        }
    }
}

TEST(an_empty_poll_is_ok_before_the_callers_deadline)
{
    FOR_EACH_WORLD(world)
    {
        struct recorded *patient = poll_workflow(world, 0, TIME_NEVER);
        struct recorded *brief = poll_workflow(world, world->lanes - 1, 5 * NS_PER_S);
        struct recorded *late = poll_workflow(world, 0, NS_PER_S / 2);
        CHECK(late->done); /* less than a second is left: no time to wait */
        CHECK(!brief->done);
        world_advance(world, 4 * NS_PER_S);
        CHECK(brief->done);
        world_advance(world, 55 * NS_PER_S);
        CHECK(!patient->done);
        world_advance(world, 2 * NS_PER_S);
        struct recorded *calls[] = { patient, brief, late };
        for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
            const struct workflowservice_PollWorkflowTaskQueueResponse *empty = answer_of(calls[i]);
            CHECK_INT(empty->task_token.size, 0);
            recorded_free(calls[i]);
        }
    }
}

TEST(a_poller_that_went_away_gets_no_task)
{
    FOR_EACH_WORLD(world)
    {
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            struct recorded *gone = poll_workflow(world, lane_for(world, i), 70 * NS_PER_S);
            peer_gone(gone);
            world_run(world);
            recorded_free(gone);
            recorded_free(start(world, lane_for(world, i + 1), ids[i]));
            finish(world, 0, poll_workflow(world, lane_for(world, i + 2), 70 * NS_PER_S));
        }
    }
}

/* The task was started for it in the same batch that made it ready; the peer left before that was durable. */
TEST(a_task_for_a_poller_that_left_meanwhile_goes_to_the_next_one)
{
    for (uint32_t lanes = 1; lanes <= 4; lanes += 3) {
        struct world world;
        world_begin(&world, lanes, true);
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            recorded_free(start(&world, 0, ids[i]));
            struct recorded *first = poll_workflow(&world, 0, 70 * NS_PER_S);
            const struct workflowservice_PollWorkflowTaskQueueResponse *before = answer_of(first);
            expect_code(complete_task(&world, 0, before->task_token, NULL, 0), ST_OK);
            recorded_free(first);
            struct recorded *gone = poll_workflow(&world, lane_for(&world, i), 70 * NS_PER_S);
            world.held =
                true; /* the run is in memory, so the signal and the start are decided, and not durable */
            struct recorded *signalled = signal_run(&world, lane_for(&world, i), ids[i]);
            CHECK(!signalled->done);
            CHECK(!gone->done);
            peer_gone(gone);
            world.held = false;
            world_run(&world);
            expect_code(signalled, ST_OK);
            CHECK(gone->done);
            recorded_free(gone);
            struct recorded *next = poll_workflow(&world, lane_for(&world, i + 1), 70 * NS_PER_S);
            const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(next);
            CHECK_INT(task->attempt, 1);
            finish(&world, 0, next);
        }
        world_end(&world);
    }
}

TEST(a_long_history_comes_in_pages_that_end_where_the_task_began)
{
    FOR_EACH_WORLD(world)
    {
        recorded_free(start(world, 0, "long"));
        for (size_t i = 0; i < 600; i++)
            recorded_free(signal_run(world, lane_for(world, i), "long"));
        struct recorded *polled = poll_workflow(world, 0, 70 * NS_PER_S);
        const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
        size_t                                                      seen = task->history->events_count;
        struct bytes                                                token = task->next_page_token;
        CHECK(seen < 603);
        recorded_free(signal_run(world, 0, "long")); /* comes after the task, and is none of its business */
        while (token.size != 0) {
            struct recorded *read = history(world, lane_for(world, seen), "long", false, 0, token);
            const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(read);
            seen += page->history->events_count;
            token = arena_copy(&polled->arena, page->next_page_token);
            recorded_free(read);
        }
        CHECK_INT(seen, 603);
        recorded_free(polled);
    }
}

/* --- activities --- */

static struct command_Command *activity_command(struct recorded *owner)
{
    struct command_Command *command = ARENA_NEW(&owner->arena, struct command_Command);
    struct command_ScheduleActivityTaskCommandAttributes *attributes =
        ARENA_NEW(&owner->arena, struct command_ScheduleActivityTaskCommandAttributes);
    command->command_type = enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK;
    command->attributes_case = 2;
    command->schedule_activity_task_command_attributes = attributes;
    attributes->activity_id = BYTES("activity");
    attributes->activity_type = ARENA_NEW(&owner->arena, struct common_ActivityType);
    attributes->activity_type->name = BYTES("type");
    attributes->task_queue = ARENA_NEW(&owner->arena, struct taskqueue_TaskQueue);
    attributes->task_queue->name = BYTES("queue");
    attributes->start_to_close_timeout = duration_of_ns(&owner->arena, 60 * NS_PER_S);
    return command;
}

TEST(an_activity_attempt_that_nobody_received_is_the_same_attempt_again)
{
    for (uint32_t lanes = 1; lanes <= 4; lanes += 3) {
        struct world world;
        world_begin(&world, lanes, true);
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            recorded_free(start(&world, 0, ids[i]));
            struct recorded *polled = poll_workflow(&world, lane_for(&world, i), 70 * NS_PER_S);
            const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
            struct recorded *gone = poll_activity(&world, lane_for(&world, i), 70 * NS_PER_S);
            world.held = true;
            struct recorded *completed = complete_task(&world, 0, task->task_token, activity_command(polled),
                                                       1);
            peer_gone(gone);
            world.held = false;
            world_run(&world);
            expect_code(completed, ST_OK);
            recorded_free(gone);
            struct recorded *next = poll_activity(&world, lane_for(&world, i + 1), 70 * NS_PER_S);
            const struct workflowservice_PollActivityTaskQueueResponse *attempt = answer_of(next);
            CHECK_INT(attempt->attempt, 1);
            struct workflowservice_RespondActivityTaskCompletedRequest request = {
                .task_token = attempt->task_token
            };
            expect_code(send(&world, lane_for(&world, i),
                             PB_METHOD_WorkflowService_RespondActivityTaskCompleted, &request),
                        ST_OK);
            expect_code(send(&world, 0, PB_METHOD_WorkflowService_RespondActivityTaskCompleted, &request),
                        ST_NOT_FOUND);
            recorded_free(next);
            recorded_free(polled);
            finish(&world, 0, poll_workflow(&world, 0, 70 * NS_PER_S));
        }
        world_end(&world);
    }
}

/* What a completion brings back is tasks, too: the next workflow task, and activities that start at once. */
TEST(what_a_completion_hands_over_goes_back_when_its_caller_is_gone)
{
    for (uint32_t lanes = 1; lanes <= 4; lanes += 3) {
        struct world world;
        world_begin(&world, lanes, true);
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            recorded_free(start(&world, 0, ids[i]));
            struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
            const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
            struct command_Command                                     *command = activity_command(polled);
            command->schedule_activity_task_command_attributes->request_eager_execution = true;
            struct recorded *gone = recorded_new(&world, lane_for(&world, i), 30 * NS_PER_S);
            gone->dead = true;
            struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
                .task_token = task->task_token,
                .commands = command,
                .commands_count = 1,
                .return_new_workflow_task = true,
                .force_create_new_workflow_task = true,
            };
            send_prepared(&world, gone, PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted, &request);
            world_run(&world);
            const struct workflowservice_RespondWorkflowTaskCompletedResponse *response = answer_of(gone);
            CHECK(response->workflow_task != NULL);
            CHECK_INT(response->activity_tasks_count, 1);
            struct recorded *activity = poll_activity(&world, 0, 70 * NS_PER_S);
            const struct workflowservice_PollActivityTaskQueueResponse *attempt = answer_of(activity);
            CHECK_INT(attempt->attempt, 1);
            struct recorded *next = poll_workflow(&world, 0, 70 * NS_PER_S);
            answer_of(next);
            finish(&world, 0, next);
            recorded_free(activity);
            recorded_free(gone);
            recorded_free(polled);
        }
        world_end(&world);
    }
}

/* --- tokens --- */

TEST(tokens_fit_one_namespace_and_one_kind)
{
    struct world world;
    world_begin(&world, 1, false);
    struct google_Duration                          day = { .seconds = 86400 };
    struct workflowservice_RegisterNamespaceRequest other = { .namespace = BYTES("other"),
                                                              .workflow_execution_retention_period = &day };
    expect_code(send(&world, 0, PB_METHOD_WorkflowService_RegisterNamespace, &other), ST_OK);
    recorded_free(start(&world, 0, "w"));
    struct recorded *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = answer_of(polled);
    struct workflowservice_RespondWorkflowTaskCompletedRequest  request = { .namespace = BYTES("other"),
                                                                            .task_token = task->task_token };
    expect_code(send(&world, 0, PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted, &request),
                ST_INVALID_ARGUMENT);
    struct workflowservice_RespondActivityTaskCompletedRequest wrong = { .namespace = BYTES("default"),
                                                                         .task_token = task->task_token };
    expect_code(send(&world, 0, PB_METHOD_WorkflowService_RespondActivityTaskCompleted, &wrong),
                ST_NOT_FOUND);
    struct workflowservice_RespondQueryTaskCompletedRequest query = { .namespace = BYTES("default"),
                                                                      .task_token = task->task_token };
    expect_code(send(&world, 0, PB_METHOD_WorkflowService_RespondQueryTaskCompleted, &query), ST_NOT_FOUND);
    for (size_t cut = 1; cut < task->task_token.size; cut++) {
        uint8_t copy[512];
        CHECK(task->task_token.size < sizeof copy);
        memcpy(copy, task->task_token.base, task->task_token.size);
        request.namespace = BYTES_EMPTY;
        request.task_token = bytes_of(copy, cut);
        struct recorded *refused = send(&world, 0, PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted,
                                        &request);
        CHECK(refused->error.code == ST_INVALID_ARGUMENT || refused->error.code == ST_NOT_FOUND);
        recorded_free(refused);
    }
    request.task_token = task->task_token; /* the namespace is the token's */
    struct command_Command *command = complete_command(polled);
    request.commands = command;
    request.commands_count = 1;
    expect_code(send(&world, 0, PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted, &request), ST_OK);
    recorded_free(polled);
    world_end(&world);
}

/* --- long polls of history --- */

TEST(a_wait_for_news_ends_with_the_news)
{
    FOR_EACH_WORLD(world)
    {
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            recorded_free(start(world, lane_for(world, i), ids[i]));
            struct recorded *first = history(world, lane_for(world, i + 1), ids[i], true, 0, BYTES_EMPTY);
            const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(first);
            CHECK_INT(page->history->events_count, 2);
            CHECK(page->next_page_token.size != 0);
            struct recorded *waiting = history(world, lane_for(world, i + 2), ids[i], true, 0,
                                               page->next_page_token);
            CHECK(!waiting->done);
            recorded_free(signal_run(world, lane_for(world, i + 3), ids[i]));
            page = answer_of(waiting);
            CHECK_INT(page->history->events_count, 1);
            CHECK_INT(event_type(waiting, page->history->events[0]),
                      enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
            recorded_free(first);
            recorded_free(waiting);
        }
    }
}

TEST(a_wait_without_news_ends_empty_with_a_token)
{
    FOR_EACH_WORLD(world)
    {
        recorded_free(start(world, 0, "w"));
        struct recorded *waiting = history(world, world->lanes - 1, "w", true,
                                           enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, BYTES_EMPTY);
        recorded_free(signal_run(world, 0, "w"));
        world_advance(world, 19 * NS_PER_S);
        CHECK(!waiting->done);
        world_advance(world, 2 * NS_PER_S);
        const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(waiting);
        CHECK_INT(page->history->events_count, 0);
        CHECK(page->next_page_token.size != 0);
        struct recorded *again = history(world, 0, "w", true, enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
                                         page->next_page_token);
        CHECK(!again->done);
        finish(world, 0, poll_workflow(world, 0, 70 * NS_PER_S));
        page = answer_of(again);
        CHECK_INT(page->history->events_count, 1);
        CHECK_INT(page->next_page_token.size, 0);
        CHECK_INT(event_type(again, page->history->events[0]), enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        recorded_free(waiting);
        recorded_free(again);
    }
}

TEST(nothing_is_read_before_it_is_durable)
{
    struct world world;
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded *waiting = history(&world, 0, "w", true, enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
                                       BYTES_EMPTY);
    world.held = true;
    struct recorded *signalled = signal_run(&world, 0, "w");
    struct recorded *reading = history(&world, 0, "w", false, 0, BYTES_EMPTY);
    CHECK(!signalled->done);
    CHECK(!reading->done); /* it would show the signal */
    world.held = false;
    world_run(&world);
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(reading);
    CHECK_INT(page->history->events_count, 3);
    expect_code(signalled, ST_OK);
    recorded_free(reading);
    peer_gone(waiting);
    recorded_free(waiting);
    world_end(&world);
}

TEST(a_drain_ends_long_polls_at_once_and_later_ones_do_not_wait)
{
    FOR_EACH_WORLD(world)
    {
        recorded_free(start(world, 0, "w"));
        finish(world, 0, poll_workflow(world, 0, 70 * NS_PER_S));
        recorded_free(start(world, 0, "v"));
        struct recorded *task = poll_workflow(world, 0, 70 * NS_PER_S);
        struct recorded *poll = poll_workflow(world, world->lanes - 1, 70 * NS_PER_S);
        struct recorded *read = history(world, world->lanes - 1, "v", true,
                                        enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, BYTES_EMPTY);
        CHECK(!poll->done);
        CHECK(!read->done);
        for (uint32_t i = 0; i < world->lanes; i++)
            api_drain(runtime_lane(world->runtime, i));
        world_run(world);
        answer_of(poll);
        answer_of(read);
        struct recorded *late = poll_workflow(world, 0, 70 * NS_PER_S);
        answer_of(late);
        recorded_free(late);
        recorded_free(task);
        recorded_free(poll);
        recorded_free(read);
    }
}

/* --- long backlogs are counted now and then --- */

static void rows_written(struct message *message)
{
    struct store_batch *batch = CONTAINER_OF(message, struct store_batch, message);
    CHECK_INT(batch->outcome, STORE_DURABLE);
}

static void write_rows(struct world *world, store_number first, size_t count)
{
    struct store_batch batch;
    store_batch_init(&batch, lane_mailbox(runtime_lane(world->runtime, 0)), rows_written);
    for (size_t i = 0; i < count; i++) {
        struct store_ready *row = ARENA_NEW(&batch.arena, struct store_ready);
        *row = (struct store_ready){
            .sequence = first + (store_number)i,
            .namespace_number =
                lane_namespace_by_name(runtime_lane(world->runtime, 0), BYTES("default"))->number,
            .queue = BYTES("queue"),
            .kind = STORE_TASK_ACTIVITY,
            .priority = PRIORITY_DEFAULT,
            .workflow_id = BYTES("w"),
            .created_time = world->wall,
        };
        store_batch_add(&batch, STORE_READY_INSERT, 0)->ready = row;
    }
    batch.group_count = 1;
    store_submit(world->store, &batch);
    world_run(world);
    store_batch_release(&batch);
}

static int64_t backlog_of(struct world *world)
{
    struct taskqueue_TaskQueue                      queue = { .name = BYTES("queue") };
    struct workflowservice_DescribeTaskQueueRequest request = {
        .namespace = BYTES("default"),
        .task_queue = &queue,
        .task_queue_type = enums_TASK_QUEUE_TYPE_ACTIVITY,
        .report_stats = true
    };
    struct recorded *described = send(world, 0, PB_METHOD_WorkflowService_DescribeTaskQueue, &request);
    const struct workflowservice_DescribeTaskQueueResponse *response = answer_of(described);
    int64_t count = response->stats->approximate_backlog_count;
    recorded_free(described);
    return count;
}

TEST(a_short_backlog_is_counted_each_time_and_a_long_one_now_and_then)
{
    struct world world;
    world_begin(&world, 1, false);
    write_rows(&world, 1, 9998);
    CHECK_INT(backlog_of(&world), 9998);
    write_rows(&world, 20001, 1);
    CHECK_INT(backlog_of(&world), 9999);
    write_rows(&world, 20002, 1);
    CHECK_INT(backlog_of(&world), 10000);
    write_rows(&world, 20003, 1);
    CHECK_INT(backlog_of(&world), 10000);
    world_advance(&world, 200 * NS_PER_MS);
    CHECK_INT(backlog_of(&world), 10001);
    world_end(&world);
}
