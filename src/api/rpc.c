/* rpc.c: the way of a call: from the wire, over lanes, to its one answer. */
#include "api/api_internal.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/mutant.h"
#include "base/trace.h"

/* A call that waits for nothing but the server itself and takes this long is told to the log. */
#define SLOW_NS NS_PER_S

/* --- pool --- */

static struct rpc *rpc_new(struct api_lane *lane)
{
    struct list *idle = list_take_first(&lane->pool);
    struct rpc  *rpc;
    struct arena arena;
    if (idle != NULL) {
        rpc = LIST_ENTRY(idle, struct rpc, waiting);
        lane->pool_count--;
        arena = rpc->arena;
    } else {
        rpc = xmalloc(sizeof *rpc);
        arena_init(&arena, SIZE_MAX);
    }
    memset(rpc, 0, sizeof *rpc);
    rpc->arena = arena;
    rpc->home = lane;
    atomic_store_explicit(&rpc->at, lane, memory_order_relaxed);
    list_init(&rpc->waiting);
    list_init(&rpc->all);
    list_append(&lane->rpcs, &rpc->all);
    heap_link_init(&rpc->timer.link);
    lane->rpc_count++;
    return rpc;
}

static void rpc_free(struct rpc *rpc)
{
    struct api_lane *lane = rpc->home;
    assert(rpc_at(rpc) == lane);
    assert(!heap_linked(&rpc->timer.link));
    assert(!list_linked(&rpc->waiting));
    lane->rpc_count--;
    list_remove(&rpc->all);
    if (lane->pool_count >= RPC_POOL_MAX) {
        arena_release(&rpc->arena);
        free(rpc);
        return;
    }
    arena_reset(&rpc->arena);
    if (rpc->arena.used_total > RPC_POOL_ARENA_MAX)
        arena_release(&rpc->arena);
    list_append(&lane->pool, &rpc->waiting);
    lane->pool_count++;
}

void api_lane_abandon(struct api_lane *lane)
{
    for (struct list *at; (at = list_take_first(&lane->rpcs)) != NULL;) {
        struct rpc *rpc = LIST_ENTRY(at, struct rpc, all);
        arena_release(&rpc->arena);
        free(rpc);
    }
    lane->rpc_count = 0;
    errands_abandon(lane);
}

void api_lane_release(struct api_lane *lane)
{
    assert(lane->rpc_count == 0);
    assert(list_empty(&lane->errands));
    for (struct list *idle; (idle = list_take_first(&lane->pool)) != NULL;) {
        struct rpc *rpc = LIST_ENTRY(idle, struct rpc, waiting);
        arena_release(&rpc->arena);
        free(rpc);
    }
    buffer_release(&lane->scratch);
    heap_release(&lane->timers);
    table_release(&lane->waits);
    table_release(&lane->queries_by_id);
    table_release(&lane->queries_by_run);
    free(lane->goodbyes);
    free(lane->backlog_memos);
    table_release(&lane->updates);
}

/* --- timers: monotonic, one per rpc --- */

void rpc_set_timer(struct rpc *rpc, int64_t monotonic, void (*fire)(struct api_timer *timer))
{
    rpc_clear_timer(rpc);
    rpc->timer.fire = fire;
    heap_push(&rpc_at(rpc)->timers, &rpc->timer.link, monotonic, 0);
}

void rpc_clear_timer(struct rpc *rpc)
{
    if (heap_linked(&rpc->timer.link))
        heap_remove(&rpc_at(rpc)->timers, &rpc->timer.link);
}

int64_t api_timers_due(struct api_lane *lane)
{
    const struct heap_link *first = heap_first(&lane->timers);
    if (first == NULL)
        return TIME_NEVER;
    return time_add(lane_now(lane->lane), first->due - lane_monotonic(lane->lane));
}

void api_timers_fire(struct api_lane *lane)
{
    int64_t now = lane_monotonic(lane->lane);
    for (unsigned bound = 0; bound < 1024; bound++) {
        struct heap_link *first = heap_first(&lane->timers);
        if (first == NULL || first->due > now)
            return;
        struct api_timer *timer = CONTAINER_OF(first, struct api_timer, link);
        heap_remove(&lane->timers, first);
        timer->fire(timer);
    }
}

int64_t rpc_hold_until(const struct rpc *rpc, int64_t hold_ns)
{
    int64_t until = time_add(lane_monotonic(rpc->home->lane), hold_ns);
    if (rpc->call->deadline_ns == TIME_NEVER)
        return until;
    return MIN(until, rpc->call->deadline_ns - HOLD_MARGIN_NS);
}

/* --- long polls --- */

void rpc_wait(struct rpc *rpc, void (*expire)(struct rpc *rpc), void (*gone_here)(struct rpc *rpc))
{
    assert(!list_linked(&rpc->waiting));
    rpc->waited = true;
    rpc->expire = expire;
    rpc->gone_here = gone_here;
    list_append(&rpc_at(rpc)->waiting, &rpc->waiting);
    arena_trim(&rpc->arena);
}

void rpc_wake(struct rpc *rpc)
{
    list_remove(&rpc->waiting);
    rpc->expire = NULL;
    rpc->gone_here = NULL;
    rpc_clear_timer(rpc);
}

/* --- moving --- */

static void rpc_arrive(struct message *message)
{
    struct rpc *rpc = CONTAINER_OF(message, struct rpc, message);
    rpc->arrived(rpc);
}

void rpc_move(struct rpc *rpc, struct lane *lane, void (*arrived)(struct rpc *rpc))
{
    assert(!heap_linked(&rpc->timer.link));
    assert(!list_linked(&rpc->waiting));
    rpc->gone_here = NULL;
    if (rpc_at(rpc) == rpc->home && rpc->call != NULL && rpc->call->gone)
        rpc->gone_seen = true;
    if (rpc_lane(rpc) == lane) {
        arrived(rpc);
        return;
    }
    rpc->arrived = arrived;
    rpc->message.run = rpc_arrive;
    atomic_store_explicit(&rpc->at, api_lane_of(lane), memory_order_release);
    lane_post(lane, &rpc->message);
}

/* --- the peer goes away --- */

static void rpc_maybe_free(struct rpc *rpc)
{
    if (rpc->ended && !rpc->gone_in_flight && !rpc->returning)
        rpc_free(rpc);
}

void rpc_returned(struct rpc *rpc)
{
    assert(rpc->ended);
    assert(rpc->returning);
    rpc->handed = rpc->handed->next;
    if (rpc->handed != NULL) {
        rpc_take_back(rpc);
        return;
    }
    rpc->returning = false;
    rpc_maybe_free(rpc);
}

static void gone_deliver(struct rpc *rpc)
{
    rpc->gone_seen = true;
    if (rpc->gone_here != NULL)
        rpc->gone_here(rpc);
}

static void gone_home(struct message *message)
{
    struct rpc *rpc = CONTAINER_OF(message, struct rpc, gone_message);
    rpc->gone_in_flight = false;
    if (rpc->ended)
        rpc_maybe_free(rpc);
    else if (rpc_at(rpc) == rpc->home)
        gone_deliver(rpc);
    else
        rpc->gone_in_flight = false; /* it moved on after the word reached it; it knows */
}

/* Follows the rpc from lane to lane; on the lane that works on it, it is told. Then the message goes home. */
static void gone_arrive(struct message *message)
{
    struct rpc      *rpc = CONTAINER_OF(message, struct rpc, gone_message);
    struct api_lane *at = rpc_at(rpc);
    struct lane     *here = rpc->gone_message_lane;
    if (at != rpc->home && at->lane != here) {
        rpc->gone_message_lane = at->lane;
        lane_post(at->lane, message);
        return;
    }
    message->run = gone_home;
    struct lane *home = rpc->home->lane;
    if (at != rpc->home)
        gone_deliver(rpc);
    lane_post(home, message);
}

static void on_gone(struct call *call)
{
    struct rpc      *rpc = call->handler;
    struct api_lane *at = rpc_at(rpc);
    assert(!rpc->ended);
    if (at == rpc->home) {
        gone_deliver(rpc);
        return;
    }
    assert(!rpc->gone_in_flight);
    rpc->gone_in_flight = true;
    rpc->gone_message.run = gone_arrive;
    rpc->gone_message_lane = at->lane;
    lane_post(at->lane, &rpc->gone_message);
}

/* --- the answer --- */

/* What a server is to blame for; callers are told the rest, and dashboards show it by type. */
static bool is_server_error(enum status code)
{
    return code == ST_UNKNOWN || code == ST_INTERNAL || code == ST_UNAVAILABLE || code == ST_DATA_LOSS;
}

static void log_call(const struct rpc *rpc, enum log_level level, const char *event, int64_t took_ns)
{
    const struct request *request = &rpc->work.base;
    char                  run_id[UUID_TEXT_SIZE + 1] = "";
    if (request->has_run_id)
        uuid_print(&request->run_id, run_id);
    run_id[request->has_run_id ? UUID_TEXT_SIZE : 0] = '\0';
    log_write(level, event,
              "method=%s namespace=%.*s workflow_id=%.*s run_id=%s lane=%u took_ms=%" PRId64
              " code=%s error=%s",
              (const char *)rpc->method->name.base, BYTES_FMT(rpc->ns.name), BYTES_FMT(request->business_id),
              run_id, lane_index(rpc->home->lane), took_ns / NS_PER_MS, status_name(rpc->error.code),
              rpc->error.code == ST_OK ? "" : rpc->error.message);
}

static void count_answer(const struct rpc *rpc)
{
    if (rpc->method == NULL)
        return;
    uint32_t method = rpc->method->index, code = (uint32_t)rpc->error.code;
    int64_t  took = lane_clock_monotonic(rpc->home->lane) - rpc->begun;
    metric_add(METRIC_SERVICE_REQUESTS, rpc->ns.metrics, method, 1);
    metric_observe(METRIC_SERVICE_LATENCY, rpc->ns.metrics, method, took);
    if (code == ST_INTERNAL || code == ST_DATA_LOSS)
        log_call(rpc, LOG_ERROR, "rpc.failed", took);
    else if (took >= SLOW_NS && !rpc->waited)
        log_call(rpc, LOG_WARN, "rpc.slow", took);
    if (code == ST_OK || code >= METRIC_ERRORS_MAX)
        return;
    metric_add(METRIC_SERVICE_ERROR_WITH_TYPE, rpc->ns.metrics, method * METRIC_ERRORS_MAX + code, 1);
    if (is_server_error(rpc->error.code))
        metric_add(METRIC_SERVICE_ERRORS, rpc->ns.metrics, method, 1);
}

/* A long poll that ended empty is not worth a span. */
static void trace_answer(const struct rpc *rpc)
{
    const struct request *request = &rpc->work.base;
    struct bytes          path = rpc->call->path;
    if (rpc->error.code == ST_OK && rpc->response == NULL && rpc->trace->is_poll)
        return;
    struct trace_span *span = trace_span_new(rpc->trace, true, TRACE_SERVER,
                                             bytes_of(path.base + 1, path.size - 1), rpc->trace->start,
                                             clock_wall_ns(&clock_system));
    if (span == NULL)
        return;
    trace_text(span, "rpc.system", BYTES("grpc"));
    if (rpc->method != NULL)
        trace_text(span, "rpc.method", bytes_of_text((const char *)rpc->method->name.base));
    trace_number(span, "rpc.grpc.status_code", rpc->error.code);
    trace_text(span, "perdure.namespace", rpc->ns.name);
    trace_text(span, "perdure.workflow_id", request->business_id);
    trace_number(span, "perdure.lane", lane_index(rpc->home->lane));
    if (rpc->error.code != ST_OK)
        trace_failed(span, rpc->error.message);
    trace_span_end(span);
}

static void rpc_end(struct rpc *rpc)
{
    struct api_lane *lane = rpc->home;
    struct call     *call = rpc->call;
    assert(rpc_at(rpc) == lane);
    rpc->ended = true;
    count_answer(rpc);
    bool alive = call->operations->alive(call);
    if (rpc->error.code != ST_OK) {
        call_fail(call, &rpc->error);
    } else {
        buffer_clear(&lane->scratch);
        if (rpc->response != NULL && rpc->method != NULL)
            pb_encode(rpc->method->response, rpc->response, &lane->scratch);
        call_reply(call, buffer_bytes(&lane->scratch));
        if (lane->scratch.capacity > (1U << 20))
            buffer_release(&lane->scratch);
    }
    if (rpc->trace != NULL)
        trace_answer(rpc);
    rpc->call = NULL;
    /* A task that nobody received goes back at once; a failed answer never carried one. */
    if (rpc->handed != NULL && !MUTANT(gone_poller_keeps_its_task) && (!alive || rpc->error.code != ST_OK)) {
        rpc->returning = true;
        rpc_take_back(rpc);
        return;
    }
    rpc_maybe_free(rpc);
}

static void rpc_finish(struct rpc *rpc)
{
    if (list_linked(&rpc->waiting))
        rpc_wake(rpc);
    rpc_clear_timer(rpc);
    rpc_move(rpc, rpc->home->lane, rpc_end);
}

void rpc_reply(struct rpc *rpc, const void *response)
{
    error_clear(&rpc->error);
    rpc->response = response;
    rpc_finish(rpc);
}

void rpc_fail(struct rpc *rpc, enum status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_setv(&rpc->error, code, format, arguments);
    va_end(arguments);
    rpc_finish(rpc);
}

void rpc_fail_error(struct rpc *rpc, const struct error *error)
{
    assert(error->code != ST_OK);
    if (&rpc->error != error)
        rpc->error = *error;
    rpc_finish(rpc);
}

/* --- the way in --- */

static const struct namespace_config *namespace_find(struct api_lane *lane, struct bytes name)
{
    const struct namespace_config *config = lane_namespace_by_name(lane->lane, name);
    if (config != NULL && config->state == enums_NAMESPACE_STATE_DELETED)
        return NULL;
    return config;
}

void rpc_set_namespace(struct rpc *rpc, const struct namespace_config *config)
{
    rpc->ns = (struct rpc_namespace){ .number = config->number,
                                      .id = arena_copy(&rpc->arena, config->id),
                                      .name = arena_copy(&rpc->arena, config->name),
                                      .state = config->state,
                                      .metrics = config->metrics };
}

const struct limits *rpc_limits(const struct rpc *rpc)
{
    const struct namespace_config *config = lane_namespace_by_number(rpc_lane(rpc), rpc->ns.number);
    return config == NULL ? &rpc->home->api->limits : config->limits;
}

static enum status namespace_check(struct rpc *rpc)
{
    uint16_t                offset = rpc->home->api->namespace_offsets[rpc->method->index];
    const struct rpc_entry *entry = rpc_entry(rpc->method->index);
    if (entry->need == NAMESPACE_NONE)
        return ST_OK;
    struct bytes name;
    memcpy(&name, (const char *)rpc->request + offset, sizeof name);
    if (name.size == 0) {
        if (entry->need == NAMESPACE_TOKEN)
            return ST_OK;
        return error_set(&rpc->error, ST_INVALID_ARGUMENT, "Namespace is not set on request.");
    }
    const struct namespace_config *config = namespace_find(rpc->home, name);
    if (config == NULL)
        return error_namespace_not_found(&rpc->error, &rpc->arena, name);
    rpc_set_namespace(rpc, config);
    return ST_OK;
}

/* Polls come all the time: only those are traced whose worker asks for it. */
static void trace_begin_call(struct rpc *rpc)
{
    void (*handle)(struct rpc *rpc) = rpc_entry(rpc->method->index)->handle;
    bool         is_poll = handle == poll_workflow_task || handle == poll_activity_task;
    struct bytes traceparent = call_metadata(rpc->call, "traceparent");
    if (is_poll && traceparent.size == 0)
        return;
    rpc->trace = trace_of_call(traceparent, clock_wall_ns(&clock_system), &rpc->arena);
    if (rpc->trace != NULL)
        rpc->trace->is_poll = is_poll;
}

static enum status rpc_open(struct rpc *rpc)
{
    struct call *call = rpc->call;
    rpc->method = pb_method_find(call->path);
    if (rpc->method == NULL)
        return error_set(&rpc->error, ST_UNIMPLEMENTED, "unknown method %.*s", BYTES_FMT(call->path));
    if (trace_is_on())
        trace_begin_call(rpc);
    if (rpc_entry(rpc->method->index)->handle == NULL)
        return error_set(&rpc->error, ST_UNIMPLEMENTED, "%s is not implemented",
                         (const char *)rpc->method->name.base);
    enum status status = client_version_check(call, &rpc->arena, &rpc->error);
    if (status != ST_OK)
        return status;
    void *request = arena_zalloc(call->arena, 1, rpc->method->request->size);
    if (request == NULL)
        return error_set(&rpc->error, ST_RESOURCE_EXHAUSTED,
                         "the request needs more memory than a call may use");
    status = pb_decode_within(rpc->method->request, call->request, REQUEST_DEPTH_MAX, call->arena, request,
                              &rpc->error);
    if (status != ST_OK)
        return status;
    rpc->request = request;
    return namespace_check(rpc);
}

void rpc_start(struct api_lane *lane, struct call *call)
{
    struct rpc *rpc = rpc_new(lane);
    rpc->call = call;
    rpc->begun = lane_monotonic(lane->lane);
    call->handler = rpc;
    call->on_gone = on_gone;
    if (rpc_open(rpc) != ST_OK)
        rpc_finish(rpc);
    else
        rpc_entry(rpc->method->index)->handle(rpc);
}
