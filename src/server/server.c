/* server.c: lanes on threads, wired to the loop, the wire and the api. */
#include "server/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/hash.h"
#include "engine/workflow.h"
#include "io/listener.h"
#include "io/loop.h"
#include "outbound/outbound.h"
#include "schedule/schedule.h"
#include "server/metrics.h"
#include "server/tools.h"
#include "server/traces.h"
#include "shard/lane.h"
#include "store/store.h"
#include "web/web.h"
#include "wire/server.h"

/* How long running calls may take to end after SIGTERM; long polls are answered at once. */
#define DRAIN_NS (4 * NS_PER_S)
/* Of namespaces that the command line names. */
#define NAMESPACE_RETENTION_NS (24 * 3600 * NS_PER_S)

struct server_lane {
    struct server          *server;
    struct lane            *lane;
    struct loop            *loop;
    struct wire_server     *wire;
    struct outbound_client *outbound;
    struct loop_timer       due;
    struct message          drain;
    pthread_t               thread;
    bool                    running, draining, drained;
    bool                    awake; /* the lane knows what time it is */
};

struct server {
    struct store           *store;
    struct runtime         *runtime;
    struct api             *api;
    struct listener        *listener;
    struct web             *web;
    struct metrics         *metrics;
    struct traces          *traces; /* NULL: none */
    struct skipping_clock   clock;  /* with --time-skipping */
    bool                    skips;
    struct tools           *tools;      /* NULL: no gateway */
    _Atomic(struct tools *) tools_told; /* the same, for lanes: whom changes of toolsets are told to */
    struct server_lane     *lanes;
    uint32_t                lane_count;
    struct callback_rule    callback_rules[OPTIONS_CALLBACKS_MAX];
    const char             *store_url;
    char                    grpc_address[280], http_address[280];
    atomic_bool             stopping; /* what /readyz says */
    pthread_mutex_t         mutex;    /* drained_count only; a leaf: nothing else is locked under it */
    pthread_cond_t          changed;
    uint32_t                drained_count;
};

/* A flush of unknown outcome: memory may be ahead of the disk or behind it. The disk is the truth, so start again from it. */
static void on_fatal(void *context UNUSED, const struct error *error)
{
    log_error("store.failed", "%s; the process ends so that nothing undurable is ever acknowledged",
              error->message);
    _exit(70);
}

static const struct clock *server_clock(const struct server *server)
{
    return server->skips ? &server->clock.clock : &clock_system;
}

static void lane_fired(struct loop_timer *timer UNUSED) {} /* the turn that follows does the work */

/* Once per loop iteration, after sockets, mailbox and timers: the lane's turn, then when to come back. */
static void lane_turned(void *context)
{
    struct server_lane *self = context;
    lane_turn(self->lane);
    api_lane_turn(self->lane);
    self->awake = false;
    int64_t due = MIN(lane_next_due(self->lane), api_lane_next_due(self->lane));
    if (due == TIME_NEVER) {
        loop_timer_clear(self->loop, &self->due);
        return;
    }
    int64_t wait = MAX(due - clock_wall_ns(server_clock(self->server)), INT64_C(0));
    /* A wall clock that steps must not leave the lane asleep: it looks again at least once a minute. */
    loop_timer_set(self->loop, &self->due, loop_now(self->loop) + MIN(wait, 60 * NS_PER_S));
}

static void on_call(void *context, struct call *call)
{
    struct server_lane *self = context;
    if (!self->awake)
        lane_tell_time(self->lane);
    self->awake = true;
    api_call(self->lane, call);
}

static bool is_method(void *context UNUSED, struct bytes path)
{
    return api_is_method(path);
}

static void *lane_main(void *context)
{
    struct server_lane *self = context;
    lane_turned(self);
    loop_run(self->loop);
    return NULL;
}

static void lane_drained(void *context)
{
    struct server_lane *self = context;
    pthread_mutex_lock(&self->server->mutex);
    self->drained = true;
    self->server->drained_count++;
    pthread_cond_signal(&self->server->changed);
    pthread_mutex_unlock(&self->server->mutex);
}

static void lane_start_drain(struct message *message)
{
    struct server_lane *self = CONTAINER_OF(message, struct server_lane, drain);
    lane_drain(self->lane);
    api_drain(self->lane);
    wire_server_drain(self->wire, lane_drained, self);
}

static enum status start_lane(struct server *server, uint32_t index, struct error *error)
{
    static const char *const services[] = { "", "temporal.api.workflowservice.v1.WorkflowService",
                                            "temporal.api.operatorservice.v1.OperatorService",
                                            "perdure.api.v1.ToolService" };
    struct server_lane      *self = &server->lanes[index];
    self->server = server;
    self->lane = runtime_lane(server->runtime, index);
    self->loop = loop_new(
        &(struct loop_options){ .clock = &clock_system, .turn = lane_turned, .context = self });
    if (self->loop == NULL)
        return error_set(error, ST_UNAVAILABLE, "event loop: %s", strerror(errno));
    loop_timer_init(&self->due, lane_fired);
    self->outbound = outbound_client_new(self->loop);
    lane_set_host(self->lane, loop_wake, self->loop);
    self->wire = wire_server_new(&(struct wire_server_options){ .loop = self->loop,
                                                                .home = self->lane,
                                                                .on_call = on_call,
                                                                .is_method = is_method,
                                                                .context = self });
    for (size_t i = 0; i < ARRAY_COUNT(services); i++)
        wire_server_set_serving(self->wire, services[i], true);
    if (pthread_create(&self->thread, NULL, lane_main, self) != 0)
        return error_set(error, ST_UNAVAILABLE, "no thread for lane %u", index);
    self->running = true;
    return ST_OK;
}

/* --- work that must be done on a lane's thread, waited for by the main thread --- */

struct errand {
    struct message message; /* runs on the lane's thread and ends by errand_done */
    struct server *server;
    struct error   error;
    bool           done;
};

static void errand_done(struct errand *errand)
{
    struct server *server = errand->server;
    pthread_mutex_lock(&server->mutex);
    errand->done = true;
    pthread_cond_signal(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

static enum status errand_run(struct errand *errand, struct server_lane *lane, struct error *error)
{
    errand->server = lane->server;
    mailbox_post(loop_mailbox(lane->loop), &errand->message);
    pthread_mutex_lock(&lane->server->mutex);
    while (!errand->done)
        pthread_cond_wait(&lane->server->changed, &lane->server->mutex);
    pthread_mutex_unlock(&lane->server->mutex);
    *error = errand->error;
    return errand->error.code;
}

struct registration {
    struct errand errand;
    struct bytes  name;
};

static void registration_end(void *context, const struct error *error)
{
    struct registration *registration = context;
    registration->errand.error = *error;
    errand_done(&registration->errand);
}

static void registration_start(struct message *message)
{
    struct registration *registration = CONTAINER_OF(message, struct registration, errand.message);
    api_ensure_namespace(registration->errand.server->lanes[0].lane, registration->name,
                         NAMESPACE_RETENTION_NS, registration_end, registration);
}

static enum status register_namespace(struct server *server, const char *name, struct error *error)
{
    struct registration registration = { .errand.message.run = registration_start,
                                         .name = bytes_of_text(name) };
    return errand_run(&registration.errand, &server->lanes[0], error);
}

struct listening {
    struct errand           errand;
    struct listener_options options;
    struct listener        *listener;
};

static void listening_start(struct message *message)
{
    struct listening *listening = CONTAINER_OF(message, struct listening, errand.message);
    if (listener_new(&listening->options, &listening->listener, &listening->errand.error) == ST_OK)
        listening->errand.error.code = ST_OK;
    errand_done(&listening->errand);
}

static void listening_stop(struct message *message)
{
    struct listening *listening = CONTAINER_OF(message, struct listening, errand.message);
    listener_free(listening->listener);
    errand_done(&listening->errand);
}

static enum status start_listener(struct server *server, const char *address, struct error *error)
{
    struct listener_target targets[64];
    char                   host[256];
    uint16_t               port;
    if (!address_parse(address, host, sizeof host, &port))
        return error_set(error, ST_INVALID_ARGUMENT, "--grpc %s is not HOST:PORT", address);
    for (uint32_t i = 0; i < server->lane_count; i++)
        targets[i] = (struct listener_target){ .mailbox = i == 0 ? NULL : loop_mailbox(server->lanes[i].loop),
                                               .adopt = wire_server_adopt,
                                               .context = server->lanes[i].wire };
    struct listening listening = { .errand.message.run = listening_start,
                                   .options = { .loop = server->lanes[0].loop,
                                                .host = host,
                                                .port = port,
                                                .targets = targets,
                                                .target_count = server->lane_count } };
    enum status      status = errand_run(&listening.errand, &server->lanes[0], error);
    server->listener = listening.listener;
    if (status == ST_OK)
        snprintf(server->grpc_address, sizeof server->grpc_address, "%s:%u", host,
                 listener_port(server->listener));
    return status;
}

static bool web_ready(void *context)
{
    return !atomic_load(&((struct server *)context)->stopping);
}

struct key_errand {
    struct errand errand;
    uint8_t       key[SEAL_KEY_SIZE];
};

static void key_end(void *context, const uint8_t *key, const struct error *error)
{
    struct key_errand *errand = context;
    errand->errand.error = *error;
    if (key != NULL)
        memcpy(errand->key, key, sizeof errand->key);
    errand_done(&errand->errand);
}

static void key_start(struct message *message)
{
    struct key_errand *errand = CONTAINER_OF(message, struct key_errand, errand.message);
    api_ensure_sealing_key(errand->errand.server->lanes[0].lane, key_end, errand);
}

static enum status start_tools(struct server *server, const char *config_path, struct error *error)
{
    struct local_lane lanes[64];
    struct key_errand key = { .errand.message.run = key_start };
    enum status       status = errand_run(&key.errand, &server->lanes[0], error);
    if (status != ST_OK)
        return status;
    for (uint32_t i = 0; i < server->lane_count; i++)
        lanes[i] = (struct local_lane){ .mailbox = loop_mailbox(server->lanes[i].loop),
                                        .call = on_call,
                                        .context = &server->lanes[i],
                                        .home = server->lanes[i].lane };
    status = tools_new(&(struct tools_options){ .web = server->web,
                                                .lanes = lanes,
                                                .lane_count = server->lane_count,
                                                .config_path = config_path,
                                                .key = key.key },
                       &server->tools, error);
    if (status == ST_OK) {
        atomic_store(&server->tools_told, server->tools);
        tools_registry_changed(server->tools); /* what was applied before the lanes knew whom to tell */
    }
    explicit_bzero(key.key, sizeof key.key);
    return status;
}

static void start_metrics(struct server *server)
{
    struct metrics_lane lanes[64];
    for (uint32_t i = 0; i < server->lane_count; i++)
        lanes[i] = (struct metrics_lane){ server->lanes[i].lane, server->lanes[i].loop,
                                          server->lanes[i].wire };
    server->metrics = metrics_new(&(struct metrics_options){
        .web = server->web, .store = server->store, .lanes = lanes, .lane_count = server->lane_count });
}

static enum status start_web(struct server *server, const struct options *options, struct error *error)
{
    char        host[256];
    uint16_t    port;
    enum status status = web_new(&(struct web_options){ .address = options->http_address,
                                                        .grpc_address = server->grpc_address,
                                                        .version = PERDURE_VERSION,
                                                        .ready = web_ready,
                                                        .context = server },
                                 &server->web, error);
    if (status == ST_OK)
        start_metrics(server);
    if (status == ST_OK && options->mcp_config != NULL)
        status = start_tools(server, options->mcp_config, error);
    if (status == ST_OK)
        status = web_start(server->web, error);
    if (status == ST_OK && address_parse(options->http_address, host, sizeof host, &port))
        snprintf(server->http_address, sizeof server->http_address, "%s:%u", host, web_port(server->web));
    return status;
}

static void stop_listener(struct server *server)
{
    struct error     ignored;
    struct listening listening = { .errand.message.run = listening_stop,
                                   .listener = TAKE_PTR(server->listener) };
    if (listening.listener != NULL)
        (void)errand_run(&listening.errand, &server->lanes[0], &ignored);
}

static void send_outbound(void *context, struct lane *lane, struct outbound *outbound)
{
    struct server *server = context;
    outbound_client_send(server->lanes[lane_index(lane)].outbound, outbound);
}

static void cancel_outbound(void *context, struct lane *lane, struct outbound *outbound)
{
    struct server *server = context;
    outbound_client_cancel(server->lanes[lane_index(lane)].outbound, outbound);
}

static void toolsets_changed(void *context)
{
    struct tools *tools = atomic_load(&((struct server *)context)->tools_told);
    if (tools != NULL)
        tools_registry_changed(tools);
}

static enum status check_toolset(void *context, struct bytes name, struct bytes document,
                                 struct buffer *warnings, struct error *error)
{
    return tools_check_document(atomic_load(&((struct server *)context)->tools_told), name, document,
                                warnings, error);
}

static enum status start_runtime(struct server *server, const struct options *options, struct error *error)
{
    static const struct entity_kind *const kinds[] = { &workflow_kind, &namespaces_kind, &task_queue_kind,
                                                       &tools_kind, &schedule_kind };
    bool                                   in_memory = strncmp(options->store_url, "memory:", 7) == 0;
    struct runtime_options                 runtime_options = {
                        .store = server->store,
                        .clock = *server_clock(server),
                        .lane_count = server->lane_count,
                        .memory_limit = options->memory_limit,
                        .limits = &options->limits,
                        .kinds = (const struct entity_kind **)kinds,
                        .know_ids = true,
                        .kind_count = ARRAY_COUNT(kinds),
                        .hooks = api_hooks(),
                        .fatal = on_fatal,
    };
    for (size_t i = 0; i < options->callback_count; i++)
        server->callback_rules[i] = (struct callback_rule){ .pattern = bytes_of(options->callbacks[i].pattern,
                                                                                options->callbacks[i].size),
                                                            .insecure = options->callbacks[i].insecure };
    enum status status = runtime_new(&runtime_options, &server->runtime, error);
    if (status == ST_OK)
        server->api = api_new(server->runtime,
                              &(struct api_options){ .limits = &options->limits,
                                                     .sender = { send_outbound, cancel_outbound, server },
                                                     .callback_rules = server->callback_rules,
                                                     .callback_rule_count = options->callback_count,
                                                     .toolsets_changed = toolsets_changed,
                                                     .toolset_check = check_toolset,
                                                     .toolsets_context = server,
                                                     .sweeps = true,
                                                     .skipping = server->skips ? &server->clock : NULL,
                                                     .store_name = in_memory ? "memory" : "sqlite" });
    return status;
}

enum status server_new(const struct options *options, struct server **ret_server, struct error *error)
{
    struct server *server = xcalloc(1, sizeof *server);
    long           cores = sysconf(_SC_NPROCESSORS_ONLN);
    server->lane_count = options->lane_count != 0 ? options->lane_count : (uint32_t)MAX(cores - 1, 1L);
    server->lane_count = MIN(server->lane_count, 64U);
    if (strncmp(options->store_url, "memory:", 7) == 0)
        server->lane_count = 1; /* that store has no locks; it is for tests */
    server->skips = options->time_skipping;
    skipping_clock_init(&server->clock);
    if (server->skips)
        server->lane_count = 1; /* one thread knows all that is under way */
    server->lanes = xcalloc(server->lane_count, sizeof *server->lanes);
    server->store_url = options->store_url;
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->changed, NULL);
    hash_seed_from_system();
    enum status status = ST_OK;
    if (options->callback_count != 0)
        status = outbound_prepare(error); /* so that what is missing is told now */
    if (status == ST_OK)
        status = store_open(options->store_url, &server->store, error);
    if (status == ST_OK)
        status = start_runtime(server, options, error);
    if (status == ST_OK && options->otlp_endpoint != NULL)
        status = traces_start(&(struct traces_options){ options->otlp_endpoint, options->otlp_sample },
                              &server->traces, error);
    for (uint32_t i = 0; i < server->lane_count && status == ST_OK; i++)
        status = start_lane(server, i, error);
    if (status == ST_OK)
        status = register_namespace(server, "default", error);
    for (size_t i = 0; i < options->namespace_count && status == ST_OK; i++)
        status = register_namespace(server, options->namespaces[i], error);
    if (status == ST_OK)
        status = start_listener(server, options->grpc_address, error);
    if (status == ST_OK)
        status = start_web(server, options, error);
    if (status != ST_OK) {
        server_free(server);
        return status;
    }
    *ret_server = server;
    return ST_OK;
}

/* Waits until every lane has drained, DRAIN_NS passed, or a second signal says now. */
static void wait_drained(struct server *server)
{
    int64_t         end = clock_monotonic_ns(&clock_system) + DRAIN_NS;
    sigset_t        signals;
    struct timespec step = { .tv_nsec = 20 * NS_PER_MS };
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    for (;;) {
        pthread_mutex_lock(&server->mutex);
        bool drained = server->drained_count == server->lane_count;
        pthread_mutex_unlock(&server->mutex);
        if (drained || clock_monotonic_ns(&clock_system) > end || sigtimedwait(&signals, NULL, &step) > 0)
            return;
    }
}

void server_run(struct server *server)
{
    sigset_t signals;
    int      signal_number;
    printf("perdure %s ready: gRPC %s, HTTP http://%s, store %s\n", PERDURE_VERSION, server->grpc_address,
           server->http_address, server->store_url);
    fflush(stdout);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (server->tools != NULL)
        sigaddset(&signals, SIGHUP);
    while (sigwait(&signals, &signal_number) == 0 && signal_number == SIGHUP)
        tools_reload(server->tools);
    log_info("server.stopping", "signal=%d", signal_number);
    atomic_store(&server->stopping, true);
    if (server->tools != NULL)
        web_stop(server->web); /* while the lanes still answer: who waits for a run gets a last word */
    stop_listener(server);
    for (uint32_t i = 0; i < server->lane_count; i++) {
        server->lanes[i].drain.run = lane_start_drain;
        mailbox_post(loop_mailbox(server->lanes[i].loop), &server->lanes[i].drain);
    }
    wait_drained(server);
}

/* The lanes' threads are gone; what they began comes to its end here. Queues read by themselves, also in a server that is
 * given up while it starts. */
static void settle(struct server *server)
{
    if (server->runtime == NULL)
        return;
    for (uint32_t i = 0; server->api != NULL && i < server->lane_count; i++)
        api_drain(runtime_lane(server->runtime, i));
    do {
        runtime_settle(server->runtime);
    } while (server->api != NULL && api_reads(server->api));
}

void server_free(struct server *server)
{
    web_stop(server->web);
    tools_close(server->tools);
    stop_listener(server);
    for (uint32_t i = 0; i < server->lane_count; i++) {
        if (server->lanes[i].running) {
            loop_stop(server->lanes[i].loop);
            pthread_join(server->lanes[i].thread, NULL);
        }
    }
    /* What is submitted is finished before anything goes: a batch on its way still names its lane. */
    for (uint32_t i = 0; i < server->lane_count; i++) {
        if (server->lanes[i].wire != NULL)
            wire_server_close_all(server->lanes[i].wire);
    }
    traces_stop(server->traces);
    settle(server);
    tools_free(server->tools);
    metrics_free(server->metrics);
    web_free(server->web); /* its loop took the lanes' last answers to the gateway */
    for (uint32_t i = 0; i < server->lane_count; i++) {
        if (server->lanes[i].wire != NULL)
            wire_server_free(server->lanes[i].wire);
    }
    for (uint32_t i = 0; i < server->lane_count; i++)
        outbound_client_free(server->lanes[i].outbound);
    if (server->api != NULL)
        api_free(server->api);
    if (server->runtime != NULL)
        runtime_free(server->runtime);
    if (server->store != NULL)
        store_close(server->store);
    for (uint32_t i = 0; i < server->lane_count; i++) {
        if (server->lanes[i].loop != NULL)
            loop_free(server->lanes[i].loop);
    }
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
    free(server->lanes);
    free(server);
}
