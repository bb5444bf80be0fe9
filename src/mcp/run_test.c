/* run_test.c: calls of tools against a scripted API: one workflow id, its runs, and a worker that answers queries or does not. */
#include "mcp/run.h"

#include <stdio.h>

#include "base/testing.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "mcp/run_internal.h"

#define HELD_MAX 16

struct fake {
    struct local_client face;
    struct loop        *loop;
    struct list         queue; /* calls to be answered in the next turn */
    struct loop_timer   turn;
    struct local_call  *held[HELD_MAX]; /* history polls of an open run */
    size_t              held_count;
    /* the workflow */
    int            starts, signals, queries, polls, pages, run_number;
    bool           exists;
    int32_t        status, reuse_seen;
    struct buffer  memo, last_request_id, close_event;
    char           signal_name[64], signal_id[128];
    bool           worker_down, activity_fails;
    const char    *query_answer; /* JSON */
    int64_t        polled_ns;    /* when a worker polled last; 0: none did */
    unsigned       unavailable;  /* so many calls fail first */
    int64_t        history_length;
    bool           has_lists, has_attributes; /* it knows search attributes; the gateway's are there */
    int            counts, open;              /* counts asked for; what they say */
    struct bytes   attributes_seen;
    struct runs   *runs;
    struct backend backend;
    struct arena   arena;
};
struct held_call {
    struct list        link;
    struct local_call *call;
};

static void fake_send(void *context, struct local_call *call)
{
    struct fake      *fake = context;
    struct held_call *held = xcalloc(1, sizeof *held);
    held->call = call;
    /* The request may go when this returns. */
    call->request = arena_copy(&fake->arena, call->request);
    list_init(&held->link);
    list_append(&fake->queue, &held->link);
    loop_timer_set(fake->loop, &fake->turn, loop_now(fake->loop));
}

static void fake_cancel(void *context, struct local_call *call)
{
    struct fake *fake = context;
    LIST_FOR_EACH (held, &fake->queue, struct held_call, link) {
        if (held->call == call) {
            list_remove(&held->link);
            free(held);
        }
    }
    for (size_t i = 0; i < fake->held_count; i++) {
        if (fake->held[i] == call)
            fake->held[i--] = fake->held[--fake->held_count];
    }
}

static void answer(struct local_call *call, const struct pb_message *type, const void *response)
{
    struct buffer wire = { 0 };
    pb_encode(type, response, &wire);
    call->answer = buffer_bytes(&wire);
    error_clear(&call->error);
    call->done(call);
    buffer_release(&wire);
}

static void refuse(struct local_call *call, enum status code)
{
    call->answer = BYTES_EMPTY;
    error_set(&call->error, code, "refused: %s", status_name(code));
    call->done(call);
}

static struct bytes run_id(struct fake *fake)
{
    return arena_printf(&fake->arena, "run-%d", fake->run_number);
}

static void serve_start(struct fake *fake, struct local_call *call)
{
    struct workflowservice_StartWorkflowExecutionRequest  request;
    struct workflowservice_StartWorkflowExecutionResponse response = { .started = true };
    struct error                                          error;
    bool                                                  open = fake->exists && status_is_open(fake->status);
    CHECK_INT(pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, call->request, &fake->arena,
                        &request, &error),
              ST_OK);
    fake->reuse_seen = request.workflow_id_reuse_policy;
    fake->attributes_seen = request.search_attributes;
    if (request.search_attributes.size != 0 && !fake->has_attributes) {
        refuse(call, ST_INVALID_ARGUMENT);
        return;
    }
    if (open && request.workflow_id_conflict_policy == enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING) {
        response.started = false;
    } else if (open ||
               (fake->exists &&
                request.workflow_id_reuse_policy == enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE) ||
               (fake->exists && fake->status == enums_WORKFLOW_EXECUTION_STATUS_COMPLETED &&
                request.workflow_id_reuse_policy ==
                    enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY)) {
        refuse(call, ST_ALREADY_EXISTS);
        return;
    } else {
        fake->starts++;
        fake->run_number++;
        fake->exists = true;
        fake->status = enums_WORKFLOW_EXECUTION_STATUS_RUNNING;
        buffer_clear(&fake->memo);
        buffer_append(&fake->memo, request.memo);
    }
    response.run_id = run_id(fake);
    answer(call, &pb_workflowservice_StartWorkflowExecutionResponse, &response);
}

static void serve_describe(struct fake *fake, struct local_call *call)
{
    struct common_WorkflowExecution                          execution = { BYTES("w"), run_id(fake) };
    struct workflow_WorkflowExecutionInfo                    info = { .execution = &execution,
                                                                      .status = fake->status,
                                                                      .first_run_id = run_id(fake),
                                                                      .history_length = fake->history_length,
                                                                      .memo = buffer_bytes(&fake->memo),
                                                                      .task_queue = BYTES("queue") };
    struct workflowservice_DescribeWorkflowExecutionResponse response = { .workflow_execution_info = &info };
    struct common_ActivityType                               type = { BYTES("charge") };
    struct failure_ApplicationFailureInfo                    why = { .type = BYTES("HTTPError") };
    struct failure_Failure                                   failure = { .message = BYTES("503"),
                                                                         .failure_info_case = 5,
                                                                         .application_failure_info = &why };
    struct workflow_PendingActivityInfo                      activity = {
                             .activity_type = &type,
                             .state = enums_PENDING_ACTIVITY_STATE_SCHEDULED,
                             .attempt = 3,
                             .maximum_attempts = 5,
                             .next_attempt_schedule_time = timestamp_of_ns(&fake->arena, 60 * NS_PER_S),
                             .last_failure = pb_encode_arena(&pb_failure_Failure, &failure, &fake->arena)
    };
    if (fake->activity_fails) {
        response.pending_activities = &activity;
        response.pending_activities_count = 1;
    }
    if (fake->exists)
        answer(call, &pb_workflowservice_DescribeWorkflowExecutionResponse, &response);
    else
        refuse(call, ST_NOT_FOUND);
}

static void answer_close(struct fake *fake, struct local_call *call)
{
    struct bytes           event = buffer_bytes(&fake->close_event);
    struct history_History history = { .events = &event, .events_count = 1 };
    struct workflowservice_GetWorkflowExecutionHistoryResponse response = { .history = &history };
    answer(call, &pb_workflowservice_GetWorkflowExecutionHistoryResponse, &response);
}

/* Newest first, in pages of 200: 500 events, of which number 100 began the activity that failed, at its third attempt. */
static void serve_reverse(struct fake *fake, struct local_call *call)
{
    struct workflowservice_GetWorkflowExecutionHistoryReverseRequest request;
    struct error                                                     error;
    CHECK_INT(pb_decode(&pb_workflowservice_GetWorkflowExecutionHistoryReverseRequest, call->request,
                        &fake->arena, &request, &error),
              ST_OK);
    int64_t      newest = request.next_page_token.size == 0 ? 500 : request.next_page_token.base[0] * 100;
    struct bytes events[200];
    struct history_History history = { .events = events };
    for (int64_t id = newest; id > newest - 200 && id > 0; id--) {
        struct history_ActivityTaskStartedEventAttributes started = { .attempt = 3 };
        struct history_HistoryEvent                       event = { .event_id = id,
                                                                    .event_type = enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED };
        if (id == 100) {
            event.event_type = enums_EVENT_TYPE_ACTIVITY_TASK_STARTED;
            event.attributes_case = 16;
            event.activity_task_started_event_attributes = &started;
        }
        events[history.events_count++] = pb_encode_arena(&pb_history_HistoryEvent, &event, &fake->arena);
    }
    uint8_t                                                           next = (uint8_t)((newest - 200) / 100);
    struct workflowservice_GetWorkflowExecutionHistoryReverseResponse response = {
        .history = &history, .next_page_token = bytes_of(&next, newest > 200)
    };
    fake->pages++;
    answer(call, &pb_workflowservice_GetWorkflowExecutionHistoryReverseResponse, &response);
}

static void serve_signal(struct fake *fake, struct local_call *call)
{
    struct workflowservice_SignalWorkflowExecutionRequest  request;
    struct workflowservice_SignalWorkflowExecutionResponse response;
    struct error                                           error;
    memset(&response, 0, sizeof response);
    CHECK_INT(pb_decode(&pb_workflowservice_SignalWorkflowExecutionRequest, call->request, &fake->arena,
                        &request, &error),
              ST_OK);
    if (!bytes_equal_text(request.request_id, fake->signal_id))
        fake->signals++;
    snprintf(fake->signal_id, sizeof fake->signal_id, "%.*s", BYTES_FMT(request.request_id));
    snprintf(fake->signal_name, sizeof fake->signal_name, "%.*s", BYTES_FMT(request.signal_name));
    answer(call, &pb_workflowservice_SignalWorkflowExecutionResponse, &response);
}

static void serve_query(struct fake *fake, struct local_call *call)
{
    struct workflowservice_QueryWorkflowResponse response = { 0 };
    JSON_CLEANUP json_t                         *args = json_array();
    fake->queries++;
    if (fake->worker_down) {
        refuse(call, ST_DEADLINE_EXCEEDED);
        return;
    }
    json_array_append_new(args, json_loads(fake->query_answer, JSON_DECODE_ANY, NULL));
    response.query_result = payloads_of_array(args, &fake->arena);
    answer(call, &pb_workflowservice_QueryWorkflowResponse, &response);
}

static void serve_pollers(struct fake *fake, struct local_call *call)
{
    struct taskqueue_PollerInfo poller = { .last_access_time = timestamp_of_ns(&fake->arena,
                                                                               fake->polled_ns) };
    struct workflowservice_DescribeTaskQueueResponse response = { .pollers = &poller,
                                                                  .pollers_count = fake->polled_ns != 0 };
    answer(call, &pb_workflowservice_DescribeTaskQueueResponse, &response);
}

static void serve_attributes(struct fake *fake, struct local_call *call)
{
    struct operatorservice_ListSearchAttributesResponse_CustomAttributesEntry entries[] = {
        { BYTES("McpTool"), enums_INDEXED_VALUE_TYPE_KEYWORD },
        { BYTES("McpCaller"), enums_INDEXED_VALUE_TYPE_KEYWORD }
    };
    struct operatorservice_ListSearchAttributesResponse response = {
        .custom_attributes = entries, .custom_attributes_count = fake->has_attributes ? 2 : 0
    };
    answer(call, &pb_operatorservice_ListSearchAttributesResponse, &response);
}

/* What is only there with has_lists. */
static bool serve_lists(struct fake *fake, struct local_call *call, uint16_t method)
{
    struct workflowservice_CountWorkflowExecutionsResponse count = { .count = fake->open };
    struct operatorservice_AddSearchAttributesResponse     added = { 0 };
    if (!fake->has_lists)
        return false;
    switch (method) {
    case PB_METHOD_OperatorService_ListSearchAttributes:
        serve_attributes(fake, call);
        return true;
    case PB_METHOD_OperatorService_AddSearchAttributes:
        fake->has_attributes = true;
        answer(call, &pb_operatorservice_AddSearchAttributesResponse, &added);
        return true;
    case PB_METHOD_WorkflowService_CountWorkflowExecutions:
        fake->counts++;
        answer(call, &pb_workflowservice_CountWorkflowExecutionsResponse, &count);
        return true;
    default:
        return false;
    }
}

static void serve(struct fake *fake, struct local_call *call)
{
    const struct pb_method *method = pb_method_find(call->path);
    if (serve_lists(fake, call, method->index))
        return;
    if (fake->unavailable > 0) {
        fake->unavailable--;
        refuse(call, ST_UNAVAILABLE);
        return;
    }
    switch (method->index) {
    case PB_METHOD_WorkflowService_StartWorkflowExecution:
        serve_start(fake, call);
        break;
    case PB_METHOD_WorkflowService_DescribeWorkflowExecution:
        if (!fake->exists)
            refuse(call, ST_NOT_FOUND);
        else
            serve_describe(fake, call);
        break;
    case PB_METHOD_WorkflowService_GetWorkflowExecutionHistory:
        fake->polls++;
        if (status_is_open(fake->status))
            fake->held[fake->held_count++] = call;
        else
            answer_close(fake, call);
        break;
    case PB_METHOD_WorkflowService_SignalWorkflowExecution:
        serve_signal(fake, call);
        break;
    case PB_METHOD_WorkflowService_QueryWorkflow:
        serve_query(fake, call);
        break;
    case PB_METHOD_WorkflowService_GetWorkflowExecutionHistoryReverse:
        serve_reverse(fake, call);
        break;
    case PB_METHOD_WorkflowService_DescribeTaskQueue:
        serve_pollers(fake, call);
        break;
    default:
        refuse(call, ST_UNIMPLEMENTED);
    }
}

static void fake_turn(struct loop_timer *timer)
{
    struct fake *fake = CONTAINER_OF(timer, struct fake, turn);
    struct list  todo;
    list_init(&todo);
    list_splice(&todo, &fake->queue);
    for (struct list *at; (at = list_take_first(&todo)) != NULL;) {
        struct held_call  *held = LIST_ENTRY(at, struct held_call, link);
        struct local_call *call = held->call;
        free(held);
        list_splice(&fake->queue, &todo); /* so that a cancel from within finds them */
        serve(fake, call);
        list_splice(&todo, &fake->queue);
    }
}

static void fake_begin(struct fake *fake)
{
    memset(fake, 0, sizeof *fake);
    arena_init(&fake->arena, SIZE_MAX);
    list_init(&fake->queue);
    fake->loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    loop_timer_init(&fake->turn, fake_turn);
    fake->face = (struct local_client){ fake_send, fake_cancel, fake };
    backend_init(&fake->backend, fake->face, fake->loop);
    fake->runs = runs_new(&fake->backend);
    fake->query_answer = "null";
    fake->history_length = 5;
}

static void fake_end(struct fake *fake)
{
    runs_free(fake->runs);
    loop_timer_clear(fake->loop, &fake->turn);
    CHECK(list_empty(&fake->queue));
    CHECK_INT(fake->held_count, 0);
    loop_free(fake->loop);
    arena_release(&fake->arena);
    buffer_release(&fake->memo);
    buffer_release(&fake->close_event);
}

/* Who polls is told. */
static void fake_close(struct fake *fake, int32_t status, const struct history_HistoryEvent *event)
{
    buffer_clear(&fake->close_event);
    pb_encode(&pb_history_HistoryEvent, event, &fake->close_event);
    fake->status = status;
    while (fake->held_count > 0)
        answer_close(fake, fake->held[--fake->held_count]);
}

/* The workflow completes with a JSON value. */
static void fake_complete(struct fake *fake, const char *json)
{
    JSON_CLEANUP json_t *args = json_array();
    json_array_append_new(args, json_loads(json, JSON_DECODE_ANY, NULL));
    struct history_WorkflowExecutionCompletedEventAttributes end = {
        .result = payloads_of_array(args, &fake->arena)
    };
    struct history_HistoryEvent event = { .event_id = 6,
                                          .event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
                                          .attributes_case = 7,
                                          .workflow_execution_completed_event_attributes = &end };
    fake_close(fake, enums_WORKFLOW_EXECUTION_STATUS_COMPLETED, &event);
}

/* --- tools --- */

static struct catalog *tools_of(const char *tool)
{
    struct buffer         text = { 0 };
    struct config_report *report = xcalloc(1, sizeof *report);
    struct catalog       *catalog = NULL;
    config_report_init(report);
    buffer_printf(&text,
                  "{\"toolsets\": {\"set\": {\"namespace\": \"default\", \"task_queue\": \"queue\", "
                  "\"tools\": {\"tool\": %s}}}}",
                  tool);
    struct config_source source = { .file = "mcp.json", .text = buffer_bytes(&text) };
    if (config_build(&source, 1, &catalog, report) != ST_OK)
        fail_msg("%s: %s", report->findings[0].pointer, report->findings[0].words);
    config_report_release(report);
    free(report);
    buffer_release(&text);
    return catalog;
}

static const struct tool *tool_in(const struct catalog *catalog)
{
    return &catalog->toolsets[0]->tools[0];
}

struct got {
    struct fake   *fake;
    bool           done, has_ref, attached, is_error;
    struct run_ref ref;
    char           text[1024];
};

static void read_outcome(struct got *got, const struct outcome *outcome)
{
    const json_t *first = json_array_get(json_object_get(outcome->result, "content"), 0);
    got->is_error = json_is_true(json_object_get(outcome->result, "isError"));
    snprintf(got->text, sizeof got->text, "%s",
             outcome->kind == OUTCOME_PROTOCOL ? outcome->message
             : json_is_string(json_object_get(first, "text"))
                 ? json_string_value(json_object_get(first, "text"))
                 : "");
}

static void invoked(void *context, const struct invoke_answer *answered)
{
    struct got *got = context;
    got->done = true;
    got->has_ref = answered->has_ref;
    got->attached = answered->attached;
    if (answered->has_ref)
        (void)run_ref_copy(&answered->ref, &got->ref);
    else
        read_outcome(got, &answered->outcome);
    loop_stop(got->fake->loop);
}

static void call_bounded(struct fake *fake, const struct tool *tool, const char *arguments, uint32_t open_max,
                         struct got *got)
{
    JSON_CLEANUP json_t  *value = json_loads(arguments, 0, NULL);
    struct invoke_request request = {
        .tool = tool, .caller = BYTES("ann"), .arguments = value, .open_max = open_max
    };
    run_ref_release(&got->ref);
    *got = (struct got){ .fake = fake };
    (void)run_invoke(fake->runs, &request, invoked, got);
    CHECK(!got->done);
    loop_run(fake->loop);
    CHECK(got->done);
}

static void call_tool(struct fake *fake, const struct tool *tool, const char *arguments, struct got *got)
{
    call_bounded(fake, tool, arguments, 0, got);
}

#define START_TOOL(more)                                                                                     \
    "{\"description\": \"d\", \"input\": {\"type\": \"object\", \"required\": [\"city\"], \"properties\": "  \
    "{\"city\": {\"type\": \"string\", \"maxLength\": 5}, \"amount\": {\"type\": \"number\"}}}, "            \
    "\"start\": {\"workflow\": \"Work\", \"args\": [\"{city}\"], \"id\": \"w-{city}\"" more "}}"

TEST(a_call_starts_once_and_the_same_call_attaches)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *catalog = tools_of(START_TOOL(""));
    fake_begin(&fake);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.has_ref && !got.attached);
    CHECK_TEXT(got.ref.workflow_id, "w-Rome");
    CHECK_TEXT(got.ref.first_run_id, "run-1");
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.has_ref && got.attached);
    CHECK_TEXT(got.ref.first_run_id, "run-1");
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\", \"amount\": 7}", &got);
    CHECK(!got.has_ref && got.is_error);
    CHECK(strstr(got.text, "different arguments") != NULL);
    CHECK_INT(fake.starts, 1);
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(a_caller_has_so_many_open_runs_and_no_more)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *catalog = tools_of(START_TOOL(""));
    fake_begin(&fake);
    fake.has_lists = true;
    call_bounded(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", 2, &got);
    CHECK(got.has_ref && fake.has_attributes && fake.attributes_seen.size != 0);
    CHECK_INT(fake.counts, 1); /* who is seen first is counted */
    fake.exists = false;       /* under another id there is nothing */
    call_bounded(&fake, tool_in(catalog), "{\"city\": \"Oslo\"}", 2, &got);
    CHECK(got.has_ref);
    CHECK_INT(fake.counts, 1); /* two fit whatever has ended */

    fake.open = 2;
    call_bounded(&fake, tool_in(catalog), "{\"city\": \"Oslo\"}", 2, &got);
    CHECK(got.has_ref && got.attached); /* what is there may be waited for */
    CHECK_INT(fake.counts, 2);
    fake.exists = false;
    call_bounded(&fake, tool_in(catalog), "{\"city\": \"Bern\"}", 2, &got);
    CHECK(!got.has_ref && strstr(got.text, "2 runs open") != NULL);
    CHECK_INT(fake.starts, 2);
    fake.open = 1; /* one has ended */
    call_bounded(&fake, tool_in(catalog), "{\"city\": \"Bern\"}", 2, &got);
    CHECK(got.has_ref);
    CHECK_INT(fake.starts, 3);
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(search_attributes_that_were_taken_away_are_added_again)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *catalog = tools_of(START_TOOL(""));
    fake_begin(&fake);
    fake.has_lists = true;
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    fake.exists = fake.has_attributes = false;
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Oslo\"}", &got);
    CHECK(got.has_ref && fake.has_attributes);
    CHECK_INT(fake.starts, 2);
    CHECK_INT(fake.counts, 0); /* without a bound nobody counts */
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(arguments_that_do_not_conform_start_nothing)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *catalog = tools_of(START_TOOL(""));
    fake_begin(&fake);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome on Tiber\"}", &got);
    CHECK(got.is_error);
    CHECK(strstr(got.text, "/city") != NULL);
    call_tool(&fake, tool_in(catalog), "{}", &got);
    CHECK(got.is_error);
    CHECK_INT(fake.starts, 0);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(policies_for_runs_that_run_or_have_ended)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *catalog = tools_of(START_TOOL(", \"running\": \"reject\", \"closed\": \"return\""));
    fake_begin(&fake);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.has_ref);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.is_error);
    CHECK(strstr(got.text, "already running") != NULL);
    fake_complete(&fake, "\"done\"");
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.has_ref && got.attached);
    CHECK_INT(fake.starts, 1);
    run_ref_release(&got.ref);
    catalog_unref(catalog);

    catalog = tools_of(START_TOOL(", \"closed\": \"rerun_if_failed\""));
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.has_ref && got.attached);
    CHECK_INT(fake.starts, 1);
    fake.status = enums_WORKFLOW_EXECUTION_STATUS_FAILED;
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.has_ref && !got.attached);
    CHECK_INT(fake.starts, 2);
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(what_fails_unavailable_is_sent_again_as_it_was)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *catalog = tools_of(START_TOOL(""));
    fake_begin(&fake);
    fake.unavailable = 2;
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(got.has_ref);
    CHECK_INT(fake.starts, 1);
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

struct seen {
    struct run_watcher watcher;
    struct fake       *fake;
    struct got         got;
    int                views, closes;
    enum run_state     state;
    char               message[1024], key[64];
};

static void seen_view(struct run_watcher *watcher, const struct run_view *view)
{
    struct seen *seen = CONTAINER_OF(watcher, struct seen, watcher);
    const char  *key = json_object_iter_key(json_object_iter(view->questions));
    seen->views++;
    seen->state = view->state;
    snprintf(seen->message, sizeof seen->message, "%s", view->message);
    snprintf(seen->key, sizeof seen->key, "%s", key == NULL ? "" : key);
    loop_stop(seen->fake->loop);
}

static void seen_end(struct run_watcher *watcher, const struct outcome *outcome, const struct error *error)
{
    struct seen *seen = CONTAINER_OF(watcher, struct seen, watcher);
    seen->closes++;
    CHECK_INT(error->code, ST_OK);
    read_outcome(&seen->got, outcome);
    loop_stop(seen->fake->loop);
}

static void watch(struct fake *fake, const struct run_ref *ref, const struct tool *tool, bool views,
                  struct seen *seen)
{
    struct error error;
    *seen = (struct seen){ .watcher = { .viewed = seen_view, .closed = seen_end, .wants_views = views },
                           .fake = fake };
    CHECK_INT(run_watch_begin(fake->runs, ref, tool, &seen->watcher, &error), ST_OK);
}

struct pause {
    struct loop_timer timer;
    struct loop      *loop;
};
static void pause_over(struct loop_timer *timer)
{
    loop_stop(CONTAINER_OF(timer, struct pause, timer)->loop);
}
static void turn_until_polled(struct fake *fake, size_t polls)
{
    for (int i = 0; fake->held_count < polls && i < 100; i++) {
        struct pause pause = { .loop = fake->loop };
        loop_timer_init(&pause.timer, pause_over);
        loop_timer_set(fake->loop, &pause.timer, loop_now(fake->loop));
        loop_run(fake->loop);
    }
    CHECK_INT(fake->held_count, polls);
}

TEST(many_who_wait_share_one_poll_and_all_are_told)
{
    enum { MANY = 50 };
    struct fake     fake;
    struct got      got = { 0 };
    struct seen    *seen = xcalloc(MANY, sizeof *seen);
    struct catalog *catalog = tools_of(START_TOOL(""));
    fake_begin(&fake);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    for (int i = 0; i < MANY; i++)
        watch(&fake, &got.ref, tool_in(catalog), false, &seen[i]);
    turn_until_polled(&fake, 1);
    run_watch_end(&seen[7].watcher);
    fake_complete(&fake, "{\"ok\": true}");
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(seen[i].closes, i == 7 ? 0 : 1);
        CHECK_TEXT(seen[i].got.text, i == 7 ? "" : "{\"ok\":true}");
    }
    CHECK_INT(fake.polls, 1);
    free(seen);
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(views_say_what_is_tried_again_without_a_worker)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct seen     seen;
    struct catalog *catalog = tools_of(START_TOOL(""));
    fake_begin(&fake);
    fake.worker_down = fake.activity_fails = true;
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    watch(&fake, &got.ref, tool_in(catalog), true, &seen);
    loop_run(fake.loop);
    CHECK_INT(seen.state, RUN_WORKING);
    CHECK_TEXT(seen.message,
               "activity charge is tried again at 1970-01-01T00:01:00Z (attempt 3 of 5); last failure: "
               "HTTPError: 503");
    run_watch_end(&seen.watcher);
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(attempts_are_told_however_long_ago_they_were)
{
    struct fake                        fake;
    struct got                         got = { 0 };
    struct seen                        seen;
    struct catalog                    *catalog = tools_of(START_TOOL(""));
    struct common_ActivityType         type = { BYTES("charge") };
    struct failure_ActivityFailureInfo info = { .started_event_id = 100, .activity_type = &type };
    struct failure_Failure             failure = { .failure_info_case = 11, .activity_failure_info = &info };
    fake_begin(&fake);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    struct history_WorkflowExecutionFailedEventAttributes failed = {
        .failure = pb_encode_arena(&pb_failure_Failure, &failure, &fake.arena)
    };
    struct history_HistoryEvent event = { .event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
                                          .attributes_case = 8,
                                          .workflow_execution_failed_event_attributes = &failed };
    fake_close(&fake, enums_WORKFLOW_EXECUTION_STATUS_FAILED, &event);
    watch(&fake, &got.ref, tool_in(catalog), false, &seen);
    loop_run(fake.loop);
    CHECK_INT(seen.closes, 1);
    CHECK(strstr(seen.got.text, "activity charge failed after 3 attempts") != NULL);
    CHECK_INT(fake.pages, 3);
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

static void acted(void *context, const struct error *error, const char *words)
{
    struct got *got = context;
    got->done = true;
    CHECK_INT(error->code, ST_OK);
    snprintf(got->text, sizeof got->text, "%s", words == NULL ? "" : words);
    loop_stop(got->fake->loop);
}

static void say(struct fake *fake, const struct run_ref *ref, const struct tool *tool, const char *key,
                const char *response, struct got *got)
{
    JSON_CLEANUP json_t *value = json_loads(response, 0, NULL);
    *got = (struct got){ .fake = fake };
    (void)run_answer(fake->runs, ref, tool, BYTES("ann"), key, value, acted, got);
    loop_run(fake->loop);
    CHECK(got->done);
}

TEST(an_approval_is_asked_and_answered_by_one_signal)
{
    struct fake     fake;
    struct got      got = { 0 }, said;
    struct seen     seen;
    struct catalog *catalog = tools_of(
        "{\"description\": \"d\", \"input\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": "
        "\"string\"}}}, "
        "\"start\": {\"workflow\": \"Work\", \"args\": [\"{city}\"], \"id\": \"w-{city}\"}, "
        "\"approval\": {\"when\": {\"query\": \"State\", \"equals\": \"PENDING\"}, \"message\": \"Approve "
        "{city}?\", "
        "\"form\": {\"properties\": {\"approve\": {\"type\": \"boolean\"}}, \"required\": [\"approve\"]}, "
        "\"accept\": [{\"if\": \"approve\", \"signal\": \"Approve\"}, {\"signal\": \"Reject\"}], "
        "\"decline\": {\"signal\": \"Reject\"}}}");
    fake_begin(&fake);
    fake.query_answer = "\"PENDING\"";
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    watch(&fake, &got.ref, tool_in(catalog), true, &seen);
    loop_run(fake.loop);
    CHECK_INT(seen.state, RUN_INPUT_REQUIRED);
    CHECK(seen.key[0] != '\0');
    say(&fake, &got.ref, tool_in(catalog), "another",
        "{\"action\": \"accept\", \"content\": {\"approve\": true}}", &said);
    CHECK_TEXT(said.text, "this question is not open");
    CHECK_INT(fake.signals, 0);
    say(&fake, &got.ref, tool_in(catalog), seen.key,
        "{\"action\": \"accept\", \"content\": {\"approve\": true}}", &said);
    CHECK_TEXT(fake.signal_name, "Approve");
    say(&fake, &got.ref, tool_in(catalog), seen.key, "{\"action\": \"decline\"}", &said);
    CHECK_INT(fake.signals, 1); /* the second has the first one's id */
    CHECK_INT(fake.queries, 1); /* once per state of the history */
    run_watch_end(&seen.watcher);
    fake_complete(&fake, "1");
    say(&fake, &got.ref, tool_in(catalog), seen.key, "{\"action\": \"decline\"}", &said);
    CHECK_TEXT(said.text, "the workflow has ended");
    run_ref_release(&got.ref);
    catalog_unref(catalog);
    fake_end(&fake);
}

TEST(a_query_falls_back_on_what_the_server_knows)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *start_tool = tools_of(START_TOOL(""));
    struct catalog *catalog = tools_of(
        "{\"description\": \"d\", \"input\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": "
        "\"string\"}}}, "
        "\"query\": {\"workflow_id\": \"w-{city}\", \"name\": \"State\", \"fallback\": \"describe\"}}");
    fake_begin(&fake);
    fake.query_answer = "\"PENDING\"";
    call_tool(&fake, tool_in(start_tool), "{\"city\": \"Rome\"}", &got);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK_TEXT(got.text, "PENDING");
    fake.worker_down = true;
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(!got.is_error);
    CHECK(strstr(got.text, "No worker answered the query State") != NULL);
    CHECK(strstr(got.text, "running") != NULL);
    catalog_unref(catalog);
    catalog_unref(start_tool);
    fake_end(&fake);
}

TEST(a_queue_that_did_not_answer_is_not_waited_for_again)
{
    struct fake     fake;
    struct got      got = { 0 };
    struct catalog *start_tool = tools_of(START_TOOL(""));
    struct catalog *catalog = tools_of(
        "{\"description\": \"d\", \"input\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": "
        "\"string\"}}}, "
        "\"query\": {\"workflow_id\": \"w-{city}\", \"name\": \"State\", \"fallback\": \"describe\"}}");
    fake_begin(&fake);
    fake.query_answer = "\"PENDING\"";
    fake.worker_down = true;
    fake.polled_ns = clock_wall_ns(&clock_system) - NS_PER_S;
    call_tool(&fake, tool_in(start_tool), "{\"city\": \"Rome\"}", &got);
    for (int i = 0; i < 3;
         i++) { /* the first waits its time; those after it know better, and leave a probe */
        call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
        CHECK(!got.is_error);
        CHECK(strstr(got.text, "No worker answered the query State") != NULL);
        CHECK_INT(fake.queries, 1 + i);
    }
    fake.worker_down = false; /* it polled before: the probe finds it */
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK(strstr(got.text, "No worker answered the query State") != NULL);
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK_TEXT(got.text, "PENDING");
    fake.worker_down = true;
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    fake.worker_down = false;
    fake.polled_ns = clock_wall_ns(&clock_system) + NS_PER_S; /* it has polled since */
    call_tool(&fake, tool_in(catalog), "{\"city\": \"Rome\"}", &got);
    CHECK_TEXT(got.text, "PENDING");
    catalog_unref(catalog);
    catalog_unref(start_tool);
    fake_end(&fake);
}
