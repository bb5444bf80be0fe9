/* fuzz_rpc.c: sequences of calls into api, engine, shards and matching over the memory store, in one thread.
 *
 * Input: steps, a byte each with what it needs: a call of any method with a request of generate.h, time that passes, a caller
 * that goes away, a store that holds back and lets go, a crash with what was not durable.
 * What must hold, beside the asserts of all layers: every call is answered once, with a message of its method or an error whose
 * detail is one, never with INTERNAL, UNKNOWN or DATA_LOSS; histories are what the oracle of tests/oracle accepts, also after a
 * crash: they go on as they began, and are whole.
 */
#include <stdio.h>

#include "api/api_harness.h"
#include "base/log.h"
#include "fuzz.h"
#include "generate.h"
#include "oracle/oracle.h"

#define STEPS_MAX     200
#define CALLS_MAX     24  /* at once */
#define JUMPS_MAX     100 /* of time, in one step */
#define EVENTS_MAX    1024
#define PAGES_MAX     64
#define REQUEST_BYTES 4096

struct session {
    struct world       world;
    struct fuzz_input *input;
    struct pools       pools;
    struct recorded   *calls[CALLS_MAX]; /* under way */
    struct oracle     *oracle;
};

/* Those that make things happen; the others come too, more rarely. */
static const uint16_t usual[] = {
    PB_METHOD_WorkflowService_StartWorkflowExecution,
    PB_METHOD_WorkflowService_PollWorkflowTaskQueue,
    PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted,
    PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted,
    PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted,
    PB_METHOD_WorkflowService_PollWorkflowTaskQueue,
    PB_METHOD_WorkflowService_RespondWorkflowTaskFailed,
    PB_METHOD_WorkflowService_PollActivityTaskQueue,
    PB_METHOD_WorkflowService_RespondActivityTaskCompleted,
    PB_METHOD_WorkflowService_RespondActivityTaskFailed,
    PB_METHOD_WorkflowService_RespondActivityTaskCanceled,
    PB_METHOD_WorkflowService_RecordActivityTaskHeartbeat,
    PB_METHOD_WorkflowService_SignalWorkflowExecution,
    PB_METHOD_WorkflowService_SignalWithStartWorkflowExecution,
    PB_METHOD_WorkflowService_ExecuteMultiOperation,
    PB_METHOD_WorkflowService_RequestCancelWorkflowExecution,
    PB_METHOD_WorkflowService_TerminateWorkflowExecution,
    PB_METHOD_WorkflowService_ResetWorkflowExecution,
    PB_METHOD_WorkflowService_UpdateWorkflowExecution,
    PB_METHOD_WorkflowService_PollWorkflowExecutionUpdate,
    PB_METHOD_WorkflowService_QueryWorkflow,
    PB_METHOD_WorkflowService_RespondQueryTaskCompleted,
    PB_METHOD_WorkflowService_DescribeWorkflowExecution,
    PB_METHOD_WorkflowService_GetWorkflowExecutionHistory,
    PB_METHOD_WorkflowService_PauseActivity,
    PB_METHOD_WorkflowService_UnpauseActivity,
    PB_METHOD_WorkflowService_ResetActivity,
    PB_METHOD_WorkflowService_UpdateActivityOptions,
    PB_METHOD_WorkflowService_PauseWorkflowExecution,
    PB_METHOD_WorkflowService_UnpauseWorkflowExecution,
    PB_METHOD_WorkflowService_DeleteWorkflowExecution,
    PB_METHOD_WorkflowService_ListWorkflowExecutions,
};

/* --- answers --- */

static void check_error(const struct recorded *call)
{
    const char  *method = (const char *)call->method->name.base;
    enum status  code = call->error.code;
    struct error error;
    FUZZ_REQUIRE(code != ST_INTERNAL && code != ST_UNKNOWN && code != ST_DATA_LOSS, "%s: %s %s", method,
                 status_name(code), call->error.message);
    FUZZ_REQUIRE(bytes_is_utf8(bytes_of_text(call->error.message)), "%s: a message that is no text", method);
    if (call->error.detail_type.size == 0)
        return;
    const struct pb_message *detail = pb_message_find(call->error.detail_type);
    FUZZ_REQUIRE(detail != NULL && pb_validate(detail, call->error.detail, &error) == ST_OK,
                 "%s: a detail that is no %.*s", method, BYTES_FMT(call->error.detail_type));
}

/* Frees the call. */
static void answered(struct session *session, struct recorded *call)
{
    struct error error;
    struct bytes reply = buffer_bytes(&call->reply);
    if (call->error.code != ST_OK) {
        check_error(call);
    } else {
        FUZZ_REQUIRE(pb_validate(call->method->response, reply, &error) == ST_OK, "%s: the answer: %s",
                     (const char *)call->method->name.base, error.message);
        harvest(&session->pools, call->method->response, reply);
    }
    recorded_free(call);
}

static void collect(struct session *session)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        struct recorded *call = session->calls[i];
        if (call == NULL || !call->done)
            continue;
        session->calls[i] = NULL;
        answered(session, call);
    }
}

/* --- steps --- */

static const char *const workflow_ids[] = { "w0", "w1", "w2", "w3" };

/* Policies in events do not rule activities any more that an operator has changed. */
static void note_operator(struct session *session, uint16_t index)
{
    if (index != PB_METHOD_WorkflowService_PauseActivity &&
        index != PB_METHOD_WorkflowService_UnpauseActivity &&
        index != PB_METHOD_WorkflowService_ResetActivity &&
        index != PB_METHOD_WorkflowService_UpdateActivityOptions)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(workflow_ids); i++)
        oracle_activities_changed(session->oracle, bytes_of_text(workflow_ids[i]));
}

static void settle(struct session *session)
{
    world_run(&session->world);
    collect(session);
    session->pools.now = session->world.wall;
}

static void peer_goes(struct session *session, size_t which)
{
    if (session->calls[which] == NULL)
        return;
    peer_gone(session->calls[which]);
    settle(session);
}

static void call(struct session *session, uint16_t index)
{
    const struct pb_method *method = &pb_methods[index];
    struct buffer           request = { 0 };
    size_t                  place = 0;
    if (method->client_streaming || method->server_streaming || !api_is_method(method->path))
        return;
    while (place < CALLS_MAX && session->calls[place] != NULL)
        place++;
    if (place == CALLS_MAX)
        peer_goes(session, place = fuzz_below(session->input, CALLS_MAX));
    if (session->calls[place] != NULL)
        return; /* the store holds back what it waits for */
    uint32_t lane = fuzz_below(session->input, session->world.lanes);
    generate(session->input, &session->pools, method->request, &request);
    note_operator(session, index);
    session->calls[place] = send_raw(&session->world, lane, method, buffer_bytes(&request));
    buffer_release(&request);
    settle(session);
}

/* A worker takes a task and, if there was one, says how it went. */
static void work(struct session *session, uint16_t poll, const uint16_t ends[4])
{
    size_t known = session->pools.task_tokens.taken;
    call(session, poll);
    if (session->pools.task_tokens.taken != known)
        call(session, ends[fuzz_below(session->input, 4)]);
}

static void workflow_work(struct session *session)
{
    static const uint16_t ends[] = { PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted,
                                     PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted,
                                     PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted,
                                     PB_METHOD_WorkflowService_RespondWorkflowTaskFailed };
    work(session, PB_METHOD_WorkflowService_PollWorkflowTaskQueue, ends);
}

static void activity_work(struct session *session)
{
    static const uint16_t ends[] = { PB_METHOD_WorkflowService_RespondActivityTaskCompleted,
                                     PB_METHOD_WorkflowService_RespondActivityTaskFailed,
                                     PB_METHOD_WorkflowService_RecordActivityTaskHeartbeat,
                                     PB_METHOD_WorkflowService_RespondActivityTaskCanceled };
    work(session, PB_METHOD_WorkflowService_PollActivityTaskQueue, ends);
}

/* From one thing that falls due to the next. */
static void pass_time(struct session *session, int64_t ns)
{
    struct world *world = &session->world;
    int64_t       target = world->wall + ns;
    for (unsigned jumps = 0; jumps < JUMPS_MAX && world->wall < target; jumps++) {
        int64_t due = target;
        for (uint32_t i = 0; i < world->lanes; i++) {
            struct lane *lane = runtime_lane(world->runtime, i);
            due = MIN(due, lane_next_due(lane));
            due = MIN(due, api_lane_next_due(lane));
        }
        int64_t step = MAX(due - world->wall, NS_PER_MS);
        world->wall += step;
        world->monotonic += step;
        settle(session);
    }
}

static void crash(struct session *session)
{
    struct world *world = &session->world;
    bool          done = false;
    api_abandon(world->api);
    runtime_abandon(world->runtime);
    store_memory_crash(world->store);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (session->calls[i] != NULL) {
            session->calls[i]->done = true;
            recorded_free(session->calls[i]);
            session->calls[i] = NULL;
        }
    }
    world->held = false;
    world_boot(world);
    api_ensure_namespace(runtime_lane(world->runtime, 0), BYTES("default"), 24 * 3600 * NS_PER_S,
                         world_ensured, &done);
    settle(session);
    FUZZ_REQUIRE(done, "the namespace is not there");
}

static void step(struct session *session)
{
    static const int64_t durations[] = {
        NS_PER_MS,     100 * NS_PER_MS, NS_PER_S,        10 * NS_PER_S,
        61 * NS_PER_S, 600 * NS_PER_S,  3601 * NS_PER_S, 25 * 3600 * NS_PER_S
    };
    unsigned choice = fuzz_byte(session->input);
    if (choice < 40)
        workflow_work(session);
    else if (choice < 60)
        activity_work(session);
    else if (choice < 180)
        call(session, usual[choice % ARRAY_COUNT(usual)]);
    else if (choice < 205)
        call(session, (uint16_t)(fuzz_number(session->input, 2) % pb_method_count));
    else if (choice < 230)
        pass_time(session, durations[choice % ARRAY_COUNT(durations)]);
    else if (choice < 238)
        peer_goes(session, fuzz_below(session->input, CALLS_MAX));
    else if (choice < 244)
        session->world.held = true;
    else if (choice < 250)
        session->world.held = false;
    else
        crash(session);
}

/* --- histories --- */

static void complain(void *context UNUSED, enum oracle_check check, const char *text)
{
    /* Workers here say of a failed task whatever comes to their mind. */
    FUZZ_REQUIRE(check == ORACLE_TASK_CAUSE, "%s: %s", oracle_check_name(check), text);
}

/* Reads all pages of a run's history and has it judged; false: there is no such run. As the command line, which is shown only
 * what is there for good. */
static bool read_history(struct session *session, const char *workflow_id, struct bytes run_id)
{
    struct common_WorkflowExecution execution = { bytes_of_text(workflow_id), run_id };
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = { .namespace = BYTES("default"),
                                                                          .execution = &execution };
    struct recorded                                          *pages[PAGES_MAX];
    struct bytes                                              events[EVENTS_MAX];
    size_t                                                    page_count = 0, count = 0;
    bool                                                      found = false, complete = false;
    while (page_count < PAGES_MAX && !complete) {
        struct recorded *page = recorded_new(&session->world, 0, 30 * NS_PER_S);
        page->metadata[0] = (struct metadata){ BYTES("client-name"), BYTES("temporal-cli") };
        page->call.metadata_count = 1;
        send_prepared(&session->world, page, PB_METHOD_WorkflowService_GetWorkflowExecutionHistory, &request);
        world_run(&session->world);
        pages[page_count++] = page;
        FUZZ_REQUIRE(page->done, "a history is not answered");
        if (page->error.code != ST_OK)
            break;
        struct workflowservice_GetWorkflowExecutionHistoryResponse *response = answer_of(page);
        found = true;
        request.next_page_token = response->next_page_token;
        complete = request.next_page_token.size == 0;
        for (size_t i = 0; response->history != NULL && i < response->history->events_count; i++) {
            if (count == EVENTS_MAX)
                break;
            events[count++] = response->history->events[i];
        }
    }
    if (complete && count < EVENTS_MAX)
        oracle_history(session->oracle, run_id, events, count);
    while (page_count > 0)
        recorded_free(pages[--page_count]);
    return found;
}

/* All runs that are known, under each id that there is. */
static void read_histories(struct session *session)
{
    for (size_t i = 0; i < POOL_MAX; i++) {
        struct bytes run_id = buffer_bytes(&session->pools.run_ids.values[i]);
        for (size_t j = 0; run_id.size == UUID_TEXT_SIZE && j < ARRAY_COUNT(workflow_ids); j++)
            if (read_history(session, workflow_ids[j], run_id))
                break;
    }
}

/* --- the whole --- */

static void end(struct session *session)
{
    session->world.held = false;
    settle(session);
    read_histories(session);
    crash(session); /* what was durable is all there is, and all there was */
    read_histories(session);
    for (size_t i = 0; i < CALLS_MAX; i++)
        peer_goes(session, i);
    for (size_t i = 0; i < CALLS_MAX; i++)
        FUZZ_REQUIRE(session->calls[i] == NULL, "%s is not answered",
                     (const char *)session->calls[i]->method->name.base);
    world_end(&session->world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    struct session    session = { .input = &input, .pools = { .bytes = REQUEST_BYTES } };
    log_set_level(LOG_OFF);
    world_begin(&session.world, 1 + fuzz_below(&input, 2), true);
    session.pools.now = session.world.wall;
    session.oracle = oracle_new(complain, NULL);
    call(&session, PB_METHOD_WorkflowService_StartWorkflowExecution);
    for (unsigned steps = 0; input.left > 0 && steps < STEPS_MAX; steps++)
        step(&session);
    end(&session);
    pools_release(&session.pools);
    oracle_free(session.oracle);
    return 0;
}
