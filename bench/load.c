/* load.c: starters, pollers and waiters on one loop. */
#include <stdio.h>

#include "bench.h"

#define SERVICE "/temporal.api.workflowservice.v1.WorkflowService/"
#define STICKY  BENCH_QUEUE "-sticky"

enum poll_kind { POLL_WORKFLOW, POLL_STICKY, POLL_ACTIVITY };

struct load_poller {
    struct wire_client_call call;
    struct load            *load;
    enum poll_kind          kind;
    struct arena            arena;
    bool completes; /* the answer under way is the last of its workflow, or the one that puts it to sleep */
};

/* One slot of the closed loop: starts a workflow, waits for its end, starts the next. */
struct slot {
    struct wire_client_call call;
    struct load            *load;
    struct arena            arena;
    char                    workflow_id[96];
    char                    run_id[UUID_TEXT_SIZE];
    int64_t                 started_ns;
    bool                    waiting;
};

struct load {
    struct loop        *loop;
    struct load_options options;
    struct wire_client *starter, *worker;
    struct load_poller *pollers;
    size_t              poller_count;
    struct buffer       scratch;
    size_t              completions, polls_failed;
    struct samples      lateness;
    bool                stopping;
    /* the run */
    struct slot        *slots;
    struct load_result *result;
    enum shape          shape;
    const char         *prefix;
    size_t              begun, wanted, ended, wait_for, targets;
    enum {
        MODE_WORKFLOWS,
        MODE_STARTS,
        MODE_SIGNALS,
        MODE_QUERIES,
        MODE_UPDATES,
        MODE_UPDATE_WITH_START
    } mode;
    uint64_t serial;
};

static const char *const shape_names[] = { "empty", "one", "ten", "timer", "sleeper", "signaled", "parent" };

static struct bytes encode(struct load *load, const struct pb_message *type, const void *record)
{
    buffer_clear(&load->scratch);
    pb_encode(type, record, &load->scratch);
    return buffer_bytes(&load->scratch);
}

static void start_call(struct wire_client *client, struct wire_client_call *call, const char *path,
                       struct bytes request,
                       void (*done)(struct wire_client_call *, enum status, struct bytes,
                                    const struct error *))
{
    call->path = bytes_of_text(path);
    call->request = request;
    call->metadata = NULL;
    call->metadata_count = 0;
    call->timeout_ns = 70 * NS_PER_S;
    call->done = done;
    wire_client_start(client, call);
}

/* --- the worker --- */

static void poll_again(struct load_poller *poller);

static void responded(struct wire_client_call *call, enum status status, struct bytes reply UNUSED,
                      const struct error *error)
{
    struct load_poller *poller = CONTAINER_OF(call, struct load_poller, call);
    if (status != ST_OK && !poller->load->stopping && poller->load->result != NULL) {
        if (poller->load->result->errors++ == 0)
            fprintf(stderr, "bench: a worker's answer was refused: %s\n", error->message);
    }
    if (status == ST_OK && poller->completes)
        poller->load->completions++;
    poll_again(poller);
}

static void complete_activity(struct load_poller *poller, struct bytes task_token)
{
    struct workflowservice_RespondActivityTaskCompletedRequest request = { .task_token = task_token,
                                                                           .namespace = BYTES("default"),
                                                                           .identity = BYTES("bench") };
    start_call(poller->load->worker, &poller->call, SERVICE "RespondActivityTaskCompleted",
               encode(poller->load, &pb_workflowservice_RespondActivityTaskCompletedRequest, &request),
               responded);
}

/* The answer to a completed workflow task, which may bring the activity that was asked for eagerly. */
static void workflow_task_responded(struct wire_client_call *call, enum status status, struct bytes reply,
                                    const struct error *error)
{
    struct load_poller *poller = CONTAINER_OF(call, struct load_poller, call);
    struct workflowservice_RespondWorkflowTaskCompletedResponse response = { 0 };
    struct error                                                problem;
    arena_reset(&poller->arena);
    if (status == ST_OK && pb_decode(&pb_workflowservice_RespondWorkflowTaskCompletedResponse, reply,
                                     &poller->arena, &response, &problem) != ST_OK)
        panic("undecodable answer: %s", problem.message);
    if (response.activity_tasks_count > 0)
        complete_activity(poller, response.activity_tasks[0].task_token);
    else
        responded(call, status, reply, error);
}

/* What the light worker has to know of a history, whole or partial: how far the workflow is. */
struct progress {
    int     activities; /* the highest activity id seen scheduled */
    bool    timer_fired, timer_started, child_started, child_ended;
    int64_t timer_due_ns;
};

static void read_progress(struct arena *arena, const struct history_History *history,
                          struct progress *progress)
{
    for (size_t i = 0; history != NULL && i < history->events_count; i++) {
        struct history_HistoryEvent event = { 0 };
        struct error                error;
        if (pb_decode(&pb_history_HistoryEvent, history->events[i], arena, &event, &error) != ST_OK)
            continue;
        if (event.event_type == enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) {
            struct bytes id = event.activity_task_scheduled_event_attributes->activity_id;
            int          number = 0;
            for (size_t j = 0; j < id.size; j++)
                number = number * 10 + (id.base[j] - '0');
            progress->activities = MAX(progress->activities, number);
        } else if (event.event_type == enums_EVENT_TYPE_TIMER_STARTED) {
            progress->timer_started = true;
            progress->timer_due_ns = (event.event_time->seconds + 1) * NS_PER_S + event.event_time->nanos;
        } else if (event.event_type == enums_EVENT_TYPE_TIMER_FIRED) {
            progress->timer_fired = true;
        } else if (event.event_type == enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED) {
            progress->child_started = true;
        } else if (event.event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED) {
            progress->child_ended = true;
        }
    }
}

static struct command_Command *next_command(struct load_poller *poller,
                                            const struct workflowservice_PollWorkflowTaskQueueResponse *task)
{
    struct load    *load = poller->load;
    struct arena   *arena = &poller->arena;
    struct progress progress = { 0 };
    struct bytes    type = task->workflow_type->name;
    read_progress(arena, task->history, &progress);
    int wanted = bytes_equal_text(type, "one") ? 1 : bytes_equal_text(type, "ten") ? 10 : 0;
    if (progress.activities < wanted)
        return command_schedule_activity(arena, progress.activities + 1, load->options.eager);
    if (bytes_equal_text(type, "timer") && !progress.timer_fired)
        return progress.timer_started ? NULL : command_start_timer(arena, 1);
    if (bytes_equal_text(type, "timer"))
        samples_add(&load->lateness, clock_wall_ns(&clock_system) - progress.timer_due_ns);
    if (bytes_equal_text(type, "sleeper")) {
        poller->completes = task->previous_started_event_id == 0;
        return poller->completes ? command_start_timer(arena, INT64_C(30) * 24 * 3600) : NULL;
    }
    if (bytes_equal_text(type, "signaled"))
        return NULL;
    if (bytes_equal_text(type, "parent") && !progress.child_ended) {
        /* The task that tells of the child's start is a partial history without what came before. */
        if (progress.child_started || task->previous_started_event_id != 0)
            return NULL;
        return command_start_child(arena, arena_printf(arena, "%.*s-child",
                                                       BYTES_FMT(task->workflow_execution->workflow_id)));
    }
    poller->completes = true;
    return command_complete_workflow(arena);
}

static void answer_workflow_task(struct load_poller                                         *poller,
                                 const struct workflowservice_PollWorkflowTaskQueueResponse *task)
{
    struct load                                               *load = poller->load;
    struct command_Command                                    *command = next_command(poller, task);
    struct taskqueue_StickyExecutionAttributes                 sticky = { 0 };
    struct taskqueue_TaskQueue                                 queue = { .name = BYTES(STICKY),
                                                                         .kind = enums_TASK_QUEUE_KIND_STICKY,
                                                                         .normal_name = BYTES(BENCH_QUEUE) };
    struct google_Duration                                     timeout = { .seconds = 10 };
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
        .task_token = task->task_token,
        .namespace = BYTES("default"),
        .identity = BYTES("bench"),
        .commands = command,
        .commands_count = command == NULL ? 0 : 1,
    };
    if (load->options.sticky) {
        sticky.worker_task_queue = &queue;
        sticky.schedule_to_start_timeout = &timeout;
        request.sticky_attributes = &sticky;
    }
    if (task->messages_count != 0)
        update_answers(&poller->arena, task, &request);
    start_call(load->worker, &poller->call, SERVICE "RespondWorkflowTaskCompleted",
               encode(load, &pb_workflowservice_RespondWorkflowTaskCompletedRequest, &request),
               workflow_task_responded);
}

static void answer_query(struct load_poller                                         *poller,
                         const struct workflowservice_PollWorkflowTaskQueueResponse *task)
{
    struct workflowservice_RespondQueryTaskCompletedRequest request = {
        .task_token = task->task_token,
        .namespace = BYTES("default"),
        .completed_type = enums_QUERY_RESULT_TYPE_ANSWERED,
    };
    start_call(poller->load->worker, &poller->call, SERVICE "RespondQueryTaskCompleted",
               encode(poller->load, &pb_workflowservice_RespondQueryTaskCompletedRequest, &request),
               responded);
}

static void polled(struct wire_client_call *call, enum status status, struct bytes reply,
                   const struct error *error)
{
    struct load_poller *poller = CONTAINER_OF(call, struct load_poller, call);
    struct load        *load = poller->load;
    struct error        problem;
    arena_reset(&poller->arena);
    if (status != ST_OK) {
        if (!load->stopping && load->polls_failed++ == 0)
            fprintf(stderr, "bench: a poll failed: %s\n", error->message);
        return;
    }
    reply = arena_copy(&poller->arena, reply);
    if (poller->kind == POLL_ACTIVITY) {
        struct workflowservice_PollActivityTaskQueueResponse task = { 0 };
        if (pb_decode(&pb_workflowservice_PollActivityTaskQueueResponse, reply, &poller->arena, &task,
                      &problem) != ST_OK)
            panic("undecodable activity task: %s", problem.message);
        if (task.task_token.size == 0) {
            poll_again(poller);
            return;
        }
        complete_activity(poller, task.task_token);
        return;
    }
    struct workflowservice_PollWorkflowTaskQueueResponse task = { 0 };
    if (pb_decode(&pb_workflowservice_PollWorkflowTaskQueueResponse, reply, &poller->arena, &task,
                  &problem) != ST_OK)
        panic("undecodable workflow task: %s", problem.message);
    if (task.task_token.size == 0)
        poll_again(poller);
    else if (task.query != NULL)
        answer_query(poller, &task);
    else
        answer_workflow_task(poller, &task);
}

static void poll_again(struct load_poller *poller)
{
    struct load *load = poller->load;
    poller->completes = false;
    if (load->stopping)
        return;
    struct taskqueue_TaskQueue queue = { .name = BYTES(BENCH_QUEUE) };
    if (poller->kind == POLL_ACTIVITY) {
        struct workflowservice_PollActivityTaskQueueRequest request = { .namespace = BYTES("default"),
                                                                        .task_queue = &queue,
                                                                        .identity = BYTES("bench") };
        start_call(load->worker, &poller->call, SERVICE "PollActivityTaskQueue",
                   encode(load, &pb_workflowservice_PollActivityTaskQueueRequest, &request), polled);
        return;
    }
    if (poller->kind == POLL_STICKY)
        queue = (struct taskqueue_TaskQueue){ .name = BYTES(STICKY),
                                              .kind = enums_TASK_QUEUE_KIND_STICKY,
                                              .normal_name = BYTES(BENCH_QUEUE) };
    struct workflowservice_PollWorkflowTaskQueueRequest request = { .namespace = BYTES("default"),
                                                                    .task_queue = &queue,
                                                                    .identity = BYTES("bench") };
    start_call(load->worker, &poller->call, SERVICE "PollWorkflowTaskQueue",
               encode(load, &pb_workflowservice_PollWorkflowTaskQueueRequest, &request), polled);
}

/* --- the clients --- */

static void slot_next(struct slot *slot);

static void slot_ended(struct slot *slot, bool failed, const struct error *error)
{
    struct load *load = slot->load;
    load->ended++;
    if (failed && load->result->errors++ == 0)
        fprintf(stderr, "bench: a call failed: %s\n", error == NULL ? "?" : error->message);
    samples_add(&load->result->latency, loop_now(load->loop) - slot->started_ns);
    slot_next(slot);
}

static void slot_wait(struct slot *slot);

static void slot_waited(struct wire_client_call *call, enum status status, struct bytes reply,
                        const struct error *error)
{
    struct slot                                               *slot = CONTAINER_OF(call, struct slot, call);
    struct error                                               problem;
    struct workflowservice_GetWorkflowExecutionHistoryResponse page = { 0 };
    arena_reset(&slot->arena);
    if (status == ST_OK)
        status = pb_decode(&pb_workflowservice_GetWorkflowExecutionHistoryResponse, reply, &slot->arena,
                           &page, &problem);
    if (status == ST_OK && (page.history == NULL || page.history->events_count == 0))
        slot_wait(slot);
    else
        slot_ended(slot, status != ST_OK, error);
}

static void slot_wait(struct slot *slot)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(slot->workflow_id),
                                                  .run_id = bytes_of(slot->run_id, UUID_TEXT_SIZE) };
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = BYTES("default"),
        .execution = &execution,
        .wait_new_event = true,
        .history_event_filter_type = enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
    };
    start_call(slot->load->starter, &slot->call, SERVICE "GetWorkflowExecutionHistory",
               encode(slot->load, &pb_workflowservice_GetWorkflowExecutionHistoryRequest, &request),
               slot_waited);
}

static void slot_started(struct wire_client_call *call, enum status status, struct bytes reply,
                         const struct error *error)
{
    struct slot                                          *slot = CONTAINER_OF(call, struct slot, call);
    struct error                                          problem;
    struct workflowservice_StartWorkflowExecutionResponse response = { 0 };
    arena_reset(&slot->arena);
    if (status == ST_OK)
        status = pb_decode(&pb_workflowservice_StartWorkflowExecutionResponse, reply, &slot->arena, &response,
                           &problem);
    if (status != ST_OK || slot->load->mode == MODE_STARTS || response.run_id.size != UUID_TEXT_SIZE) {
        slot_ended(slot, status != ST_OK, error);
        return;
    }
    memcpy(slot->run_id, response.run_id.base, UUID_TEXT_SIZE);
    slot_wait(slot);
}

static void slot_called(struct wire_client_call *call, enum status status, struct bytes reply UNUSED,
                        const struct error *error)
{
    slot_ended(CONTAINER_OF(call, struct slot, call), status != ST_OK, error);
}

/* In the slot's arena, which is empty between its calls. */
static struct workflowservice_StartWorkflowExecutionRequest *start_request(struct slot *slot)
{
    struct arena                                         *arena = &slot->arena;
    struct workflowservice_StartWorkflowExecutionRequest *request =
        ARENA_NEW(arena, struct workflowservice_StartWorkflowExecutionRequest);
    request->namespace = BYTES("default");
    request->workflow_id = bytes_of_text(slot->workflow_id);
    request->workflow_type = ARENA_NEW(arena, struct common_WorkflowType);
    request->workflow_type->name = bytes_of_text(shape_names[slot->load->shape]);
    request->task_queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    request->task_queue->name = BYTES(BENCH_QUEUE);
    request->identity = BYTES("bench");
    request->request_id = arena_printf(arena, "r-%s", slot->workflow_id);
    return request;
}

static void slot_start_workflow(struct slot *slot)
{
    struct load *load = slot->load;
    arena_reset(&slot->arena);
    start_call(load->starter, &slot->call, SERVICE "StartWorkflowExecution",
               encode(load, &pb_workflowservice_StartWorkflowExecutionRequest, start_request(slot)),
               slot_started);
}

static struct workflowservice_UpdateWorkflowExecutionRequest *update_request(struct slot *slot)
{
    struct arena                                          *arena = &slot->arena;
    struct workflowservice_UpdateWorkflowExecutionRequest *request =
        ARENA_NEW(arena, struct workflowservice_UpdateWorkflowExecutionRequest);
    request->namespace = BYTES("default");
    request->workflow_execution = ARENA_NEW(arena, struct common_WorkflowExecution);
    request->workflow_execution->workflow_id = bytes_of_text(slot->workflow_id);
    request->wait_policy = ARENA_NEW(arena, struct update_WaitPolicy);
    request->wait_policy->lifecycle_stage = enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED;
    request->request = ARENA_NEW(arena, struct update_Request);
    request->request->meta = ARENA_NEW(arena, struct update_Meta);
    request->request->meta->identity = BYTES("bench");
    request->request->input = ARENA_NEW(arena, struct update_Input);
    request->request->input->name = BYTES("u");
    return request;
}

static void slot_update(struct slot *slot)
{
    struct load *load = slot->load;
    arena_reset(&slot->arena);
    if (load->mode == MODE_UPDATES) {
        start_call(load->starter, &slot->call, SERVICE "UpdateWorkflowExecution",
                   encode(load, &pb_workflowservice_UpdateWorkflowExecutionRequest, update_request(slot)),
                   slot_called);
        return;
    }
    struct workflowservice_StartWorkflowExecutionRequest *start = start_request(slot);
    start->workflow_id_conflict_policy = enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    struct workflowservice_ExecuteMultiOperationRequest_Operation operations[] = {
        { .operation_case = 1, .start_workflow = start },
        { .operation_case = 2, .update_workflow = update_request(slot) }
    };
    struct workflowservice_ExecuteMultiOperationRequest request = { .namespace = BYTES("default"),
                                                                    .operations = operations,
                                                                    .operations_count = 2 };
    start_call(load->starter, &slot->call, SERVICE "ExecuteMultiOperation",
               encode(load, &pb_workflowservice_ExecuteMultiOperationRequest, &request), slot_called);
}

static void slot_next(struct slot *slot)
{
    struct load *load = slot->load;
    if (load->begun == load->wanted) {
        if (load->ended == load->wanted)
            loop_stop(load->loop);
        return;
    }
    size_t number = load->begun++;
    slot->started_ns = loop_now(load->loop);
    if (load->mode == MODE_WORKFLOWS || load->mode == MODE_STARTS) {
        if (load->mode == MODE_STARTS)
            snprintf(slot->workflow_id, sizeof slot->workflow_id, "%s-%zu", load->prefix, number);
        else
            snprintf(slot->workflow_id, sizeof slot->workflow_id, "w-%" PRIu64 "-%zu", load->serial, number);
        slot_start_workflow(slot);
        return;
    }
    snprintf(slot->workflow_id, sizeof slot->workflow_id, "%s-%zu", load->prefix, number % load->targets);
    if (load->mode == MODE_UPDATES || load->mode == MODE_UPDATE_WITH_START) {
        slot_update(slot);
        return;
    }
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(slot->workflow_id) };
    if (load->mode == MODE_SIGNALS) {
        struct workflowservice_SignalWorkflowExecutionRequest request = { .namespace = BYTES("default"),
                                                                          .workflow_execution = &execution,
                                                                          .signal_name = BYTES("s"),
                                                                          .identity = BYTES("bench") };
        start_call(load->starter, &slot->call, SERVICE "SignalWorkflowExecution",
                   encode(load, &pb_workflowservice_SignalWorkflowExecutionRequest, &request), slot_called);
        return;
    }
    struct query_WorkflowQuery                  query = { .query_type = BYTES("q") };
    struct workflowservice_QueryWorkflowRequest request = { .namespace = BYTES("default"),
                                                            .execution = &execution,
                                                            .query = &query };
    start_call(load->starter, &slot->call, SERVICE "QueryWorkflow",
               encode(load, &pb_workflowservice_QueryWorkflowRequest, &request), slot_called);
}

static void run(struct load *load, const struct server_process *server, size_t count, size_t in_flight,
                struct load_result *ret_result)
{
    *ret_result = (struct load_result){ .count = count };
    load->result = ret_result;
    load->begun = load->ended = 0;
    load->wanted = count;
    load->serial++;
    load->slots = xcalloc(in_flight, sizeof *load->slots);
    int64_t wall = clock_monotonic_ns(&clock_system), cpu = server_process_cpu_ns(server);
    int64_t disk = server_process_disk(server), flushes = machine_flushes();
    for (size_t i = 0; i < in_flight; i++) {
        load->slots[i].load = load;
        arena_init(&load->slots[i].arena, SIZE_MAX);
        slot_next(&load->slots[i]);
    }
    loop_run(load->loop);
    ret_result->wall_ns = clock_monotonic_ns(&clock_system) - wall;
    ret_result->cpu_ns = server_process_cpu_ns(server) - cpu;
    ret_result->disk_bytes = server_process_disk(server) - disk;
    ret_result->flushes = machine_flushes() - flushes;
    for (size_t i = 0; i < in_flight; i++)
        arena_release(&load->slots[i].arena);
    free(load->slots);
    load->result = NULL;
}

void load_run_workflows(struct load *load, const struct server_process *server, enum shape shape,
                        size_t count, size_t in_flight, struct load_result *ret_result)
{
    load->mode = MODE_WORKFLOWS;
    load->shape = shape;
    run(load, server, count, in_flight, ret_result);
}

void load_run_starts(struct load *load, const struct server_process *server, enum shape shape,
                     const char *prefix, size_t count, size_t in_flight, struct load_result *ret_result)
{
    load->mode = MODE_STARTS;
    load->shape = shape;
    load->prefix = prefix;
    run(load, server, count, in_flight, ret_result);
}

void load_run_signals(struct load *load, const struct server_process *server, const char *prefix,
                      size_t targets, size_t count, size_t in_flight, struct load_result *ret_result)
{
    load->mode = MODE_SIGNALS;
    load->prefix = prefix;
    load->targets = targets;
    run(load, server, count, in_flight, ret_result);
}

void load_run_queries(struct load *load, const struct server_process *server, const char *prefix,
                      size_t count, size_t in_flight, struct load_result *ret_result)
{
    load->mode = MODE_QUERIES;
    load->prefix = prefix;
    load->targets = 1;
    run(load, server, count, in_flight, ret_result);
}

void load_run_updates(struct load *load, const struct server_process *server, const char *prefix,
                      size_t targets, size_t count, size_t in_flight, struct load_result *ret_result)
{
    load->mode = MODE_UPDATES;
    load->prefix = prefix;
    load->targets = targets;
    run(load, server, count, in_flight, ret_result);
}

void load_run_updates_with_start(struct load *load, const struct server_process *server, const char *prefix,
                                 size_t count, size_t in_flight, struct load_result *ret_result)
{
    load->mode = MODE_UPDATE_WITH_START;
    load->shape = SHAPE_SIGNALED;
    load->prefix = prefix;
    load->targets = count;
    run(load, server, count, in_flight, ret_result);
}

/* --- the rest --- */

struct waiting {
    struct loop_timer timer;
    struct load      *load;
};

static void look_again(struct loop_timer *timer)
{
    struct waiting *waiting = CONTAINER_OF(timer, struct waiting, timer);
    if (waiting->load->completions >= waiting->load->wait_for ||
        loop_now(waiting->load->loop) > (int64_t)waiting->load->targets)
        loop_stop(waiting->load->loop);
    else
        loop_timer_set(waiting->load->loop, timer, loop_now(waiting->load->loop) + 5 * NS_PER_MS);
}

void load_wait_completions(struct load *load, size_t count, int64_t limit_ns)
{
    struct waiting waiting = { .load = load };
    load->wait_for = count;
    load->targets = (size_t)(clock_monotonic_ns(&clock_system) + limit_ns);
    loop_timer_init(&waiting.timer, look_again);
    loop_timer_set(load->loop, &waiting.timer, clock_monotonic_ns(&clock_system));
    loop_run(load->loop);
    loop_timer_clear(load->loop, &waiting.timer);
}

size_t load_completions(const struct load *load)
{
    return load->completions;
}

struct samples *load_timer_lateness(struct load *load)
{
    return &load->lateness;
}

int64_t wait_answer(uint16_t port)
{
    struct wire_client *client = wire_client_new(
        &(struct wire_client_options){ .host = "127.0.0.1", .port = port });
    struct arena arena;
    struct error error;
    struct bytes reply;
    arena_init(&arena, SIZE_MAX);
    if (wire_client_call(client, BYTES(SERVICE "GetSystemInfo"), BYTES_EMPTY, NULL, 0, 10 * NS_PER_S, &arena,
                         &reply, &error) != ST_OK)
        panic("GetSystemInfo: %s", error.message);
    int64_t now = clock_monotonic_ns(&clock_system);
    arena_release(&arena);
    wire_client_free(client);
    return now;
}

struct load *load_new(struct loop *loop, const struct load_options *options)
{
    struct load *load = xcalloc(1, sizeof *load);
    load->loop = loop;
    load->options = *options;
    load->serial = (uint64_t)clock_wall_ns(&clock_system);
    struct wire_client_options client = { .loop = loop, .host = "127.0.0.1", .port = options->port };
    load->starter = wire_client_new(&client);
    load->worker = wire_client_new(&client);
    size_t kinds = options->sticky ? 3 : 2;
    load->poller_count = options->pollers * kinds;
    load->pollers = xcalloc(load->poller_count, sizeof *load->pollers);
    for (size_t i = 0; i < load->poller_count; i++) {
        static const enum poll_kind order[] = { POLL_WORKFLOW, POLL_ACTIVITY, POLL_STICKY };
        load->pollers[i].load = load;
        load->pollers[i].kind = order[i % kinds];
        arena_init(&load->pollers[i].arena, SIZE_MAX);
        poll_again(&load->pollers[i]);
    }
    return load;
}

void load_free(struct load *load)
{
    load->stopping = true;
    wire_client_free(load->starter);
    wire_client_free(load->worker);
    for (size_t i = 0; i < load->poller_count; i++)
        arena_release(&load->pollers[i].arena);
    free(load->pollers);
    samples_release(&load->lateness);
    buffer_release(&load->scratch);
    free(load);
}
