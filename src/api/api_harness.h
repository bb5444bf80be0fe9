/* api_harness.h: runtime, engine, matching and api over the memory store in one thread, with calls that are recorded. Time
 * stands until the test moves it; with a manual store nothing is durable before the test lets it be. For tests only.
 */
#ifndef API_API_HARNESS_H
#define API_API_HARNESS_H
#include <stdio.h>

#include "api/api.h"
#include "base/testing.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "engine/workflow.h"
#include "schedule/schedule.h"
#include "store/memory.h"

#define WORLD_START (INT64_C(1790000000) * NS_PER_S)
#define HOPS_MAX    16 /* turns in a row that a call may need to travel over lanes */

struct world {
    struct store   *store;
    struct runtime *runtime;
    struct api     *api;
    int64_t         wall, monotonic;
    bool            manual;
    bool            held; /* manual: nothing becomes durable meanwhile */
    uint32_t        lanes;
    uint64_t        boots;        /* each has ids of its own */
    size_t          memory_limit; /* 0: none */
    const char *namespace;
    uint64_t names;
};
/* One call and what became of it. */
struct recorded {
    struct call             call; /* its memory is the recorder's, so that answers can be looked at */
    struct arena            arena;
    struct metadata         metadata[4];
    bool                    done, dead;
    struct error            error;
    struct buffer           reply, detail;
    const struct pb_method *method;
};

static int64_t world_wall(void *context)
{
    return ((struct world *)context)->wall;
}
static int64_t world_monotonic(void *context)
{
    return ((struct world *)context)->monotonic;
}
static void world_fatal(void *context UNUSED, const struct error *error)
{
    panic("fatal: %s", error->message);
}
static void world_wait(void *context)
{
    struct world *world = context;
    if (world->manual)
        (void)store_memory_step(world->store);
}

static void world_turn(struct world *world)
{
    for (uint32_t i = 0; i < world->lanes; i++) {
        lane_turn(runtime_lane(world->runtime, i));
        api_lane_turn(runtime_lane(world->runtime, i));
    }
}

/* Until nothing happens any more, now or within the few milliseconds that a batch may wait for company. */
static void world_run(struct world *world)
{
    for (int quiet = 0, rounds = 0; quiet < HOPS_MAX; quiet++) {
        int64_t due = TIME_NEVER;
        world_turn(world);
        if (world->manual && !world->held && store_memory_step(world->store))
            quiet = -1;
        for (uint32_t i = 0; i < world->lanes; i++) {
            struct lane *lane = runtime_lane(world->runtime, i);
            due = MIN(due, lane_next_due(lane));
            due = MIN(due, api_lane_next_due(lane));
        }
        if (!world->held && due <= world->wall + 5 * NS_PER_MS) {
            int64_t step = MAX(due - world->wall, INT64_C(0));
            world->wall += step;
            world->monotonic += step;
            quiet = -1;
        }
        if (++rounds > 100000)
            panic("the lanes never come to rest");
    }
}

/* Moves time on, in steps of at most 100 ms, so that what falls due does so at its time. */
static UNUSED void world_advance(struct world *world, int64_t ns)
{
    while (ns > 0) {
        int64_t step = MIN(ns, 100 * NS_PER_MS);
        world->wall += step;
        world->monotonic += step;
        ns -= step;
        world_run(world);
    }
}

static void world_ensured(void *context, const struct error *error)
{
    assert_int_equal(error->code, ST_OK);
    *(bool *)context = true;
}

static void world_boot(struct world *world)
{
    static const struct entity_kind *kinds[] = { &workflow_kind, &namespaces_kind, &task_queue_kind,
                                                 &tools_kind, &schedule_kind };
    struct runtime_options           options = {
                  .store = world->store,
                  .clock = { world_wall, world_monotonic, world },
                  .lane_count = world->lanes,
                  .memory_limit = world->memory_limit,
                  .seed = 1,
                  .kinds = kinds,
                  .kind_count = ARRAY_COUNT(kinds),
                  .know_ids = true,
                  .hooks = api_hooks(),
                  .fatal = world_fatal,
                  .wait = world_wait,
                  .wait_context = world,
    };
    struct error error;
    if (runtime_new(&options, &world->runtime, &error) != ST_OK)
        panic("runtime: %s", error.message);
    world->api = api_new(world->runtime,
                         &(struct api_options){ .store_name = "memory", .seed = ++world->boots });
}

static void world_begin(struct world *world, uint32_t lanes, bool manual)
{
    bool done = false;
    *world = (struct world){ .wall = WORLD_START, .monotonic = NS_PER_S, .manual = manual, .lanes = lanes };
    world->namespace = "default";
    world->store = store_memory_open(manual ? STORE_MEMORY_MANUAL : STORE_MEMORY_IMMEDIATE);
    world_boot(world);
    api_ensure_namespace(runtime_lane(world->runtime, 0), BYTES("default"), 24 * 3600 * NS_PER_S,
                         world_ensured, &done);
    world_run(world);
    assert_true(done);
}

/* Every call must have been answered by then. */
static void world_end(struct world *world)
{
    for (uint32_t i = 0; i < world->lanes; i++)
        api_drain(runtime_lane(world->runtime, i));
    world_run(world);
    for (uint32_t i = 0; i < world->lanes; i++)
        assert_true(api_idle(runtime_lane(world->runtime, i)));
    do
        runtime_settle(world->runtime);
    while (api_reads(world->api));
    api_free(world->api);
    runtime_free(world->runtime);
    store_close(world->store);
}

/* --- calls --- */

static void recorder_reply(struct call *call, struct bytes message)
{
    struct recorded *self = CONTAINER_OF(call, struct recorded, call);
    assert_false(self->done);
    self->done = true;
    buffer_append(&self->reply, message);
}
static void recorder_fail(struct call *call, const struct error *error)
{
    struct recorded *self = CONTAINER_OF(call, struct recorded, call);
    assert_false(self->done);
    self->done = true;
    self->error = *error;
    buffer_append(&self->detail, error->detail);
    self->error.detail = buffer_bytes(&self->detail);
}
static bool recorder_alive(const struct call *call)
{
    return !CONTAINER_OF(call, struct recorded, call)->dead;
}
static const struct call_operations recorder_operations = { recorder_reply, recorder_fail, recorder_alive };

static struct recorded *recorded_new(struct world *world, uint32_t lane, int64_t timeout_ns)
{
    struct recorded *self = xcalloc(1, sizeof *self);
    arena_init(&self->arena, 64U << 20);
    self->call.arena = &self->arena;
    self->call.metadata = self->metadata;
    self->call.deadline_ns = timeout_ns == TIME_NEVER ? TIME_NEVER : world->monotonic + timeout_ns;
    self->call.home = runtime_lane(world->runtime, lane);
    self->call.operations = &recorder_operations;
    return self;
}

static void recorded_free(struct recorded *self)
{
    assert_true(self->done);
    arena_release(&self->arena);
    buffer_release(&self->reply);
    buffer_release(&self->detail);
    free(self);
}

static UNUSED struct recorded *send_raw(struct world *world, uint32_t lane, const struct pb_method *method,
                                        struct bytes request)
{
    struct recorded *self = recorded_new(world, lane, 30 * NS_PER_S);
    self->method = method;
    self->call.path = method->path;
    self->call.request = arena_copy(&self->arena, request);
    api_call(self->call.home, &self->call);
    return self;
}

static void send_prepared(struct world *world UNUSED, struct recorded *self, uint16_t index,
                          const void *request)
{
    self->method = &pb_methods[index];
    self->call.path = self->method->path;
    self->call.request = pb_encode_arena(self->method->request, request, &self->arena);
    api_call(self->call.home, &self->call);
}

/* Sends and, when the test has no other plans, runs the world. */
static struct recorded *send_timed(struct world *world, uint32_t lane, uint16_t index, const void *request,
                                   int64_t timeout_ns)
{
    struct recorded *self = recorded_new(world, lane, timeout_ns);
    send_prepared(world, self, index, request);
    world_run(world);
    return self;
}

static UNUSED struct recorded *send(struct world *world, uint32_t lane, uint16_t index, const void *request)
{
    return send_timed(world, lane, index, request, 30 * NS_PER_S);
}

/* The peer goes away. */
static UNUSED void peer_gone(struct recorded *self)
{
    assert_false(self->done);
    self->dead = self->call.gone = true;
    if (self->call.on_gone != NULL)
        self->call.on_gone(&self->call);
}

/* The answer, decoded into the call's arena; the test fails when there is none. */
static UNUSED void *answer_of(struct recorded *self)
{
    struct error error;
    if (!self->done)
        fail_msg("%s is not answered", (const char *)self->method->name.base);
    if (self->error.code != ST_OK)
        fail_msg("%s: %s %s", (const char *)self->method->name.base, status_name(self->error.code),
                 self->error.message);
    void *response = arena_must(arena_zalloc(&self->arena, 1, self->method->response->size + 1));
    if (pb_decode(self->method->response, buffer_bytes(&self->reply), &self->arena, response, &error) !=
        ST_OK)
        fail_msg("%s: %s", (const char *)self->method->name.base, error.message);
    return response;
}

static UNUSED void expect_code(struct recorded *self, enum status code)
{
    if (!self->done || self->error.code != code)
        fail_msg("%s: %s %s instead of %s", (const char *)self->method->name.base,
                 self->done ? status_name(self->error.code) : "no answer", self->error.message,
                 status_name(code));
    recorded_free(self);
}

/* --- what tests do again and again --- */

static UNUSED struct recorded *start(struct world *world, uint32_t lane, const char *id)
{
    struct common_WorkflowType                           type = { BYTES("type") };
    struct taskqueue_TaskQueue                           queue = { .name = BYTES("queue") };
    struct workflowservice_StartWorkflowExecutionRequest request = {
        .namespace = bytes_of_text(world->namespace),
        .workflow_id = bytes_of_text(id),
        .workflow_type = &type,
        .task_queue = &queue,
    };
    return send(world, lane, PB_METHOD_WorkflowService_StartWorkflowExecution, &request);
}

static UNUSED struct recorded *signal_run(struct world *world, uint32_t lane, const char *id)
{
    struct common_WorkflowExecution                       execution = { .workflow_id = bytes_of_text(id) };
    struct workflowservice_SignalWorkflowExecutionRequest request = { .namespace = bytes_of_text(
                                                                          world->namespace),
                                                                      .workflow_execution = &execution,
                                                                      .signal_name = BYTES("signal") };
    return send(world, lane, PB_METHOD_WorkflowService_SignalWorkflowExecution, &request);
}

static UNUSED struct recorded *poll_workflow(struct world *world, uint32_t lane, int64_t timeout_ns)
{
    struct taskqueue_TaskQueue queue = { .name = BYTES("queue"), .kind = enums_TASK_QUEUE_KIND_NORMAL };
    struct workflowservice_PollWorkflowTaskQueueRequest request = {
        .namespace = bytes_of_text(world->namespace), .task_queue = &queue, .identity = BYTES("worker")
    };
    return send_timed(world, lane, PB_METHOD_WorkflowService_PollWorkflowTaskQueue, &request, timeout_ns);
}

static UNUSED struct recorded *poll_activity(struct world *world, uint32_t lane, int64_t timeout_ns)
{
    struct taskqueue_TaskQueue queue = { .name = BYTES("queue"), .kind = enums_TASK_QUEUE_KIND_NORMAL };
    struct workflowservice_PollActivityTaskQueueRequest request = {
        .namespace = bytes_of_text(world->namespace), .task_queue = &queue, .identity = BYTES("worker")
    };
    return send_timed(world, lane, PB_METHOD_WorkflowService_PollActivityTaskQueue, &request, timeout_ns);
}

static UNUSED struct recorded *complete_task(struct world *world, uint32_t lane, struct bytes token,
                                             struct command_Command *commands, size_t count)
{
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
        .namespace = bytes_of_text(world->namespace),
        .task_token = token,
        .identity = BYTES("worker"),
        .commands = commands,
        .commands_count = count,
    };
    return send(world, lane, PB_METHOD_WorkflowService_RespondWorkflowTaskCompleted, &request);
}

static UNUSED struct recorded *history(struct world *world, uint32_t lane, const char *id, bool wait,
                                       int32_t filter, struct bytes token)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(id) };
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = bytes_of_text(world->namespace),
        .execution = &execution,
        .wait_new_event = wait,
        .history_event_filter_type = filter,
        .next_page_token = token,
    };
    return send(world, lane, PB_METHOD_WorkflowService_GetWorkflowExecutionHistory, &request);
}

static UNUSED int32_t event_type(struct recorded *self, struct bytes encoded)
{
    struct history_HistoryEvent event;
    struct error                error;
    assert_int_equal(pb_decode(&pb_history_HistoryEvent, encoded, &self->arena, &event, &error), ST_OK);
    return event.event_type;
}
#endif
