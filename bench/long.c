/* long.c: workflows with long histories: what it takes to look at them, to read them, and to reset them. */
#include <signal.h>
#include <stdio.h>

#include "bench.h"

#define SERVICE          "/temporal.api.workflowservice.v1.WorkflowService/"
#define MARKERS_PER_TASK 997 /* with the three events of the task: a thousand */

/* One caller, one call at a time. */
struct caller {
    struct wire_client *client;
    struct arena        arena; /* of the last call */
    struct buffer       scratch;
};

static void caller_begin(struct caller *caller, uint16_t port)
{
    *caller = (struct caller){ 0 };
    caller->client = wire_client_new(&(struct wire_client_options){ .host = "127.0.0.1", .port = port });
    arena_init(&caller->arena, SIZE_MAX);
}

static void caller_end(struct caller *caller)
{
    wire_client_free(caller->client);
    arena_release(&caller->arena);
    buffer_release(&caller->scratch);
}

/* The answer lives until the next call. */
static void call(struct caller *caller, const char *method, const struct pb_message *request_type,
                 const void *request, const struct pb_message *response_type, void *response)
{
    char         path[128];
    struct bytes reply;
    struct error error;
    snprintf(path, sizeof path, SERVICE "%s", method);
    buffer_clear(&caller->scratch);
    pb_encode(request_type, request, &caller->scratch);
    arena_reset(&caller->arena);
    if (wire_client_call(caller->client, bytes_of_text(path), buffer_bytes(&caller->scratch), NULL, 0,
                         60 * NS_PER_S, &caller->arena, &reply, &error) != ST_OK ||
        pb_decode(response_type, reply, &caller->arena, response, &error) != ST_OK)
        panic("%s: %s", method, error.message);
}
#define CALL(caller, method, request, response)                                                              \
    call(caller, #method, &pb_workflowservice_##method##Request, request,                                    \
         &pb_workflowservice_##method##Response, response)

/* A workflow whose worker leaves a thousand events with each task, and then waits for ever. */
static void grow(struct caller *caller, const char *workflow_id, size_t thousands)
{
    struct common_WorkflowType                           type = { .name = BYTES("long") };
    struct taskqueue_TaskQueue                           queue = { .name = bytes_of_text(workflow_id) };
    struct workflowservice_StartWorkflowExecutionRequest start = {
        .namespace = BYTES("default"), .workflow_id = queue.name, .workflow_type = &type, .task_queue = &queue
    };
    struct workflowservice_StartWorkflowExecutionResponse started = { 0 };
    CALL(caller, StartWorkflowExecution, &start, &started);
    for (size_t i = 0; i < thousands; i++) {
        struct workflowservice_PollWorkflowTaskQueueRequest  poll = { .namespace = BYTES("default"),
                                                                      .task_queue = &queue };
        struct workflowservice_PollWorkflowTaskQueueResponse task = { 0 };
        CALL(caller, PollWorkflowTaskQueue, &poll, &task);
        struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
            .task_token = task.task_token,
            .namespace = BYTES("default"),
            .commands = command_markers(&caller->arena, MARKERS_PER_TASK),
            .commands_count = MARKERS_PER_TASK,
            .force_create_new_workflow_task = i + 1 < thousands,
        };
        struct workflowservice_RespondWorkflowTaskCompletedResponse response = { 0 };
        CALL(caller, RespondWorkflowTaskCompleted, &request, &response);
    }
}

static int64_t describe(struct caller *caller, const char *workflow_id)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(workflow_id) };
    struct workflowservice_DescribeWorkflowExecutionRequest  request = { .namespace = BYTES("default"),
                                                                         .execution = &execution };
    struct workflowservice_DescribeWorkflowExecutionResponse response = { 0 };
    CALL(caller, DescribeWorkflowExecution, &request, &response);
    return response.workflow_execution_info->history_length;
}

static int64_t read_all(struct caller *caller, const char *workflow_id, bool reverse)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(workflow_id) };
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = { .namespace = BYTES("default"),
                                                                          .execution = &execution };
    struct workflowservice_GetWorkflowExecutionHistoryReverseRequest backward = {
        .namespace = BYTES("default"), .execution = &execution
    };
    char    token[512];
    int64_t count = 0;
    do {
        struct workflowservice_GetWorkflowExecutionHistoryResponse        page = { 0 };
        struct workflowservice_GetWorkflowExecutionHistoryReverseResponse back = { 0 };
        if (reverse)
            CALL(caller, GetWorkflowExecutionHistoryReverse, &backward, &back);
        else
            CALL(caller, GetWorkflowExecutionHistory, &request, &page);
        const struct history_History *history = reverse ? back.history : page.history;
        struct bytes                  next = reverse ? back.next_page_token : page.next_page_token;
        count += history == NULL ? 0 : (int64_t)history->events_count;
        if (next.size > sizeof token)
            panic("a page token of %zu bytes", next.size);
        if (next.size != 0)
            memcpy(token, next.base, next.size);
        request.next_page_token = backward.next_page_token = bytes_of(token, next.size);
    } while (request.next_page_token.size != 0);
    return count;
}

static int64_t reset(struct caller *caller, const char *workflow_id, int64_t finish_event_id, size_t number)
{
    char request_id[32];
    snprintf(request_id, sizeof request_id, "reset-%zu", number);
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(workflow_id) };
    struct workflowservice_ResetWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .workflow_execution = &execution,
        .reason = BYTES("bench"),
        .workflow_task_finish_event_id = finish_event_id,
        .request_id = bytes_of_text(request_id)
    };
    struct workflowservice_ResetWorkflowExecutionResponse response = { 0 };
    CALL(caller, ResetWorkflowExecution, &request, &response);
    return finish_event_id;
}

enum look { LOOK_DESCRIBE, LOOK_READ, LOOK_REVERSE, LOOK_RESET };

static void measure(struct bench *bench, struct caller *caller, const struct server_process *server,
                    const char *name, const char *workflow_id, enum look look, size_t times, int64_t wanted)
{
    struct samples samples = { 0 };
    int64_t        cpu = server_process_cpu_ns(server);
    for (size_t i = 0; i < times; i++) {
        int64_t begin = clock_monotonic_ns(&clock_system), count = 0;
        switch (look) {
        case LOOK_DESCRIBE:
            count = describe(caller, workflow_id);
            break;
        case LOOK_READ:
        case LOOK_REVERSE:
            count = read_all(caller, workflow_id, look == LOOK_REVERSE);
            break;
        case LOOK_RESET:
            count = reset(caller, workflow_id, wanted, i);
            break;
        }
        samples_add(&samples, clock_monotonic_ns(&clock_system) - begin);
        if (count < wanted)
            panic("%s: %" PRId64 " events instead of %" PRId64, name, count, wanted);
    }
    cpu = server_process_cpu_ns(server) - cpu;
    double to_ms = 1 / (double)NS_PER_MS;
    report_line(bench->report, "| %s | %.2f | **%.2f** | %.2f | **%.2f** |", name,
                (double)samples_percentile(&samples, 0) * to_ms,
                (double)samples_percentile(&samples, 50) * to_ms,
                (double)samples_percentile(&samples, 100) * to_ms, (double)cpu * to_ms / (double)times);
    samples_release(&samples);
}

void section_long(struct bench *bench)
{
    size_t                thousands = bench->quick ? 10 : 50, times = bench->quick ? 5 : 20;
    struct server_process server;
    struct caller         caller;
    server_process_start(&server, bench->binary, "256M");
    caller_begin(&caller, server.port);
    grow(&caller, "ten", 10);
    grow(&caller, "fifty", thousands);
    int64_t events = (int64_t)thousands * 1000;
    report_line(
        bench->report,
        "\n## Long histories\n\nA run of 10,000 events, reset to its last workflow task, and one of %" PRId64
        ", looked at and read by one caller; then again after a restart, the first time from the disk.\n\n"
        "| | least ms | p50 ms | most ms | server CPU ms |\n|---|---|---|---|---|",
        events);
    measure(bench, &caller, &server, "describe", "fifty", LOOK_DESCRIBE, times * 10, events);
    measure(bench, &caller, &server, "read all pages", "fifty", LOOK_READ, times, events);
    measure(bench, &caller, &server, "read all pages, newest first", "fifty", LOOK_REVERSE, times, events);
    /* Each reset makes a new run; the next one resets that, to the same event. */
    measure(bench, &caller, &server, "reset of 10,000 events", "ten", LOOK_RESET, times, 9 * 1000 + 4);
    caller_end(&caller);
    server_process_stop(&server, SIGTERM);
    server_process_restart(&server, bench->binary, "256M");
    caller_begin(&caller, server.port);
    measure(bench, &caller, &server, "describe, after a restart", "fifty", LOOK_DESCRIBE, 1, events);
    caller_end(&caller);
    server_process_stop(&server, SIGKILL);
    server_process_restart(&server, bench->binary, "256M");
    caller_begin(&caller, server.port);
    measure(bench, &caller, &server, "read all pages, after a kill", "fifty", LOOK_READ, 1, events);
    measure(bench, &caller, &server, "reset of 10,000 events, after a kill", "ten", LOOK_RESET, 1,
            9 * 1000 + 4);
    caller_end(&caller);
    server_process_stop(&server, SIGTERM);
    server_process_remove(&server);
}
