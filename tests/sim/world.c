/* world.c: time, lanes, calls; the choice of what happens next. */
#include <stdio.h>

#include "base/hash.h"
#include "base/log.h"
#include "engine/workflow.h"
#include "sim.h"

#define START_NS      (INT64_C(1790000000) * NS_PER_S)
#define FAULTY_NS     (40 * NS_PER_S)
#define LIVENESS_NS   (7200 * NS_PER_S)
#define STEPS_MAX     2000000
#define SAME_TIME_MAX 200000 /* steps without time passing: a hot loop */

void sim_log(struct sim *sim, const char *format, ...)
{
    if (!sim->verbose)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%12.6f ", (double)(sim->wall - START_NS) / 1e9);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failure[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, arguments);
    va_end(arguments);
    sim_log(sim, "FAILED: %s", sim->failure);
}

void sim_trace(struct sim *sim, uint64_t value)
{
    sim->trace = hash_combine(sim->trace, value);
}

bool sim_chance(struct sim *sim, double probability)
{
    return (double)(random_next(&sim->random) >> 11) * 0x1p-53 < probability;
}

int64_t sim_between(struct sim *sim, int64_t low, int64_t high)
{
    return low + (int64_t)random_below(&sim->random, (uint64_t)(high - low) + 1);
}

void sim_later(struct sim *sim, int64_t delay, void (*run)(struct sim *sim, void *context), void *context)
{
    struct sim_action *action = xcalloc(1, sizeof(*action));
    action->run = run;
    action->context = context;
    heap_link_init(&action->link);
    heap_push(&sim->actions, &action->link, sim->wall + delay, sim->action_count++);
}

/* --- calls --- */

static struct sim_call *call_of(struct call *call)
{
    return CONTAINER_OF(call, struct sim_call, call);
}

static void server_answered(struct sim_call *self)
{
    assert(!self->server_answered);
    self->server_answered = true;
    list_remove(&self->link);
    list_append(&self->sim->answered, &self->link);
}

static void on_reply(struct call *call, struct bytes message)
{
    struct sim_call *self = call_of(call);
    self->reply = arena_copy(&self->arena, message);
    server_answered(self);
}

static void on_fail(struct call *call, const struct error *error)
{
    struct sim_call *self = call_of(call);
    self->error = *error;
    self->error.detail = arena_copy(&self->arena, error->detail);
    server_answered(self);
}

static bool alive(const struct call *call)
{
    return !call->gone;
}

static const struct call_operations call_operations = { on_reply, on_fail, alive };

static void call_free(struct sim_call *self)
{
    list_remove(&self->link);
    arena_release(&self->arena);
    free(self);
}

/* The deadline passed, or the client hung up: the server is told, the client goes on. */
static void leave(struct sim_call *self, enum status code)
{
    struct error error;
    error_set(&error, code, "simulated");
    self->client_left = true;
    self->call.gone = true;
    if (self->call.on_gone != NULL)
        self->call.on_gone(&self->call);
    self->answered(self->sim, self->context, &error, BYTES_EMPTY, NULL);
    self->sim->lanes[self->lane].woken = true;
}

void sim_send(struct sim *sim, unsigned method, const void *request, int64_t timeout, sim_answered *answered,
              void *context)
{
    static struct metadata  as_cli = { BYTES("client-name"), BYTES("temporal-cli") };
    const struct pb_method *description = &pb_methods[method];
    struct sim_call        *self = xcalloc(1, sizeof(*self));
    arena_init(&self->arena, SIZE_MAX);
    self->sim = sim;
    self->answered = answered;
    self->context = context;
    self->lane = (unsigned)random_below(&sim->random, sim->configuration.lanes);
    self->call = (struct call){
        .path = description->path,
        .request = pb_encode_arena(description->request, request, &self->arena),
        .arena = &self->arena,
        .metadata = &as_cli,
        .metadata_count = 1,
        .deadline_ns = sim->monotonic + timeout,
        .home = runtime_lane(sim->runtime, self->lane),
        .operations = &call_operations,
    };
    list_init(&self->link);
    list_append(&sim->calls, &self->link);
    sim->calls_made++;
    sim->lanes[self->lane].woken = true;
    api_call(runtime_lane(sim->runtime, self->lane), &self->call);
}

static void deliver_answer(struct sim *sim)
{
    struct sim_call *self = LIST_ENTRY(list_take_first(&sim->answered), struct sim_call, link);
    sim_trace(sim, 1000 + self->error.code);
    if (!self->client_left) {
        struct error lost;
        error_set(&lost, ST_UNAVAILABLE, "the reply was lost");
        bool drop = sim->faulty && sim_chance(sim, sim->configuration.lost_reply_rate);
        self->answered(sim, self->context, drop ? &lost : &self->error, drop ? BYTES_EMPTY : self->reply,
                       &self->arena);
    }
    call_free(self);
}

/* Deadlines, and clients that hang up before. */
static bool pass_deadlines(struct sim *sim)
{
    LIST_FOR_EACH (self, &sim->calls, struct sim_call, link) {
        if (self->client_left)
            continue;
        if (self->call.deadline_ns <= sim->monotonic) {
            leave(self, ST_DEADLINE_EXCEEDED);
            return true;
        }
        if (sim->faulty && sim_chance(sim, sim->configuration.gone_rate)) {
            leave(self, ST_CANCELLED);
            return true;
        }
    }
    return false;
}

/* --- the server --- */

static int64_t wall_ns(void *context)
{
    return ((struct sim *)context)->wall;
}

static int64_t monotonic_ns(void *context)
{
    return ((struct sim *)context)->monotonic;
}

static void wake(void *context)
{
    ((struct sim_lane *)context)->woken = true;
}

static void fatal(void *context, const struct error *error UNUSED)
{
    ((struct sim *)context)->fatal = true;
}

static void wait_for_store(void *context)
{
    struct sim *sim = context;
    if (!sim_store_answer(&sim->store) && !sim_store_step(&sim->store)) {
        int64_t due = sim_store_due(&sim->store);
        assert(due != TIME_NEVER);
        sim->monotonic += MAX(due - sim->wall, INT64_C(0));
        sim->wall = MAX(due, sim->wall);
    }
}

static void namespace_ready(void *context, const struct error *error)
{
    struct sim *sim = context;
    if (error->code == ST_OK)
        sim->namespace_ready = true;
    else
        api_ensure_namespace(runtime_lane(sim->runtime, 0), BYTES("default"), 24 * 3600 * NS_PER_S,
                             namespace_ready, sim);
}

static void boot(struct sim *sim)
{
    static const struct entity_kind *kinds[3];
    kinds[0] = &workflow_kind;
    kinds[1] = &namespaces_kind;
    kinds[2] = &task_queue_kind;
    struct runtime_options options = {
        .store = &sim->store.store,
        .clock = { wall_ns, monotonic_ns, sim },
        .lane_count = sim->configuration.lanes,
        .memory_limit = sim->configuration.memory_limit,
        .seed = random_next(&sim->random) | 1,
        .window_size = sim->configuration.window_size,
        .snapshot_after = sim->configuration.snapshot_after,
        .second_after = sim->configuration.second_after,
        .know_ids = sim->configuration.know_ids,
        .kinds = kinds,
        .kind_count = 3,
        .hooks = api_hooks(),
        .fatal = fatal,
        .fatal_context = sim,
        .wait = wait_for_store,
        .wait_context = sim,
    };
    struct error error;
    while (runtime_new(&options, &sim->runtime, &error) != ST_OK)
        sim_log(sim, "start failed: %s", error.message);
    sim->api = api_new(sim->runtime, &(struct api_options){ .window_size = sim->configuration.window_size,
                                                            .seed = random_next(&sim->random) | 1 });
    for (unsigned i = 0; i < sim->configuration.lanes; i++) {
        sim->lanes[i] = (struct sim_lane){ .sim = sim, .woken = true };
        lane_set_host(runtime_lane(sim->runtime, i), wake, &sim->lanes[i]);
    }
    api_ensure_namespace(runtime_lane(sim->runtime, 0), BYTES("default"), 24 * 3600 * NS_PER_S,
                         namespace_ready, sim);
}

/* kill -9: what is not on disk is gone; callers see their connections break. */
static void crash(struct sim *sim)
{
    struct error error;
    error_set(&error, ST_UNAVAILABLE, "connection reset");
    sim_log(sim, "crash");
    sim->crashes++;
    sim_trace(sim, 2);
    sim_store_crash(&sim->store);
    api_abandon(sim->api);
    runtime_abandon(sim->runtime);
    sim->fatal = false;
    sim->namespace_ready = false;
    sim_store_restart(&sim->store);
    struct list broken;
    list_init(&broken);
    list_splice(&broken, &sim->answered);
    list_splice(&broken, &sim->calls);
    boot(sim);
    for (struct list *at; (at = list_take_first(&broken)) != NULL;) {
        struct sim_call *self = LIST_ENTRY(at, struct sim_call, link);
        if (!self->client_left)
            self->answered(sim, self->context, &error, BYTES_EMPTY, NULL);
        call_free(self);
    }
}

static void turn(struct sim *sim, unsigned index)
{
    struct lane *lane = runtime_lane(sim->runtime, index);
    sim->lanes[index].woken = false;
    lane_turn(lane);
    api_lane_turn(lane);
    sim->lanes[index].due = MIN(lane_next_due(lane), api_lane_next_due(lane));
}

/* --- the loop --- */

static bool lane_wants(const struct sim *sim, unsigned index)
{
    return sim->lanes[index].woken || sim->lanes[index].due <= sim->wall;
}

static bool action_due(const struct sim *sim)
{
    const struct heap_link *first = heap_first(&sim->actions);
    return first != NULL && first->due <= sim->wall && sim->namespace_ready;
}

static void run_action(struct sim *sim)
{
    struct sim_action *action = CONTAINER_OF(heap_first(&sim->actions), struct sim_action, link);
    heap_remove(&sim->actions, &action->link);
    action->run(sim, action->context);
    free(action);
}

static void advance(struct sim *sim)
{
    int64_t due = sim_store_due(&sim->store);
    for (unsigned i = 0; i < sim->configuration.lanes; i++)
        due = MIN(due, sim->lanes[i].due);
    if (heap_first(&sim->actions) != NULL && sim->namespace_ready)
        due = MIN(due, heap_first(&sim->actions)->due);
    LIST_FOR_EACH (self, &sim->calls, struct sim_call, link) {
        if (!self->client_left)
            due = MIN(due, sim->wall + self->call.deadline_ns - sim->monotonic);
    }
    if (due == TIME_NEVER) {
        sim_fail(sim, "nothing will ever happen again");
        return;
    }
    int64_t step = MAX(due - sim->wall, INT64_C(1000));
    sim->wall += step;
    sim->monotonic += step;
}

enum choice { CHOICE_STORE, CHOICE_ANSWER, CHOICE_CALLER, CHOICE_ACTION, CHOICE_LANE };

static bool step(struct sim *sim)
{
    struct {
        enum choice what;
        unsigned    lane;
    } choices[8 + SIM_LANES_MAX];
    size_t count = 0;
    if (!list_empty(&sim->store.done))
        choices[count++].what = CHOICE_ANSWER;
    if (!list_empty(&sim->store.pending) && sim->store.ready_at <= sim->wall)
        choices[count++].what = CHOICE_STORE;
    if (!list_empty(&sim->answered))
        choices[count++].what = CHOICE_CALLER;
    if (action_due(sim))
        choices[count++].what = CHOICE_ACTION;
    for (unsigned i = 0; i < sim->configuration.lanes; i++) {
        if (lane_wants(sim, i)) {
            choices[count].what = CHOICE_LANE;
            choices[count++].lane = i;
        }
    }
    if (count == 0)
        return false;
    size_t pick = (size_t)random_below(&sim->random, count);
    sim_trace(sim, (uint64_t)choices[pick].what * 16 +
                       (choices[pick].what == CHOICE_LANE ? choices[pick].lane : 0));
    switch (choices[pick].what) {
    case CHOICE_STORE:
        (void)sim_store_step(&sim->store);
        break;
    case CHOICE_ANSWER:
        (void)sim_store_answer(&sim->store);
        break;
    case CHOICE_CALLER:
        deliver_answer(sim);
        break;
    case CHOICE_ACTION:
        run_action(sim);
        break;
    case CHOICE_LANE:
        turn(sim, choices[pick].lane);
        break;
    }
    return true;
}

static void configure(struct sim *sim)
{
    struct sim_configuration *c = &sim->configuration;
    c->calm = sim_chance(sim, 0.15);
    c->lanes = (unsigned)sim_between(sim, 1, SIM_LANES_MAX);
    c->busy = sim_chance(sim, 0.3); /* everything at once, and a slow disk: batches follow each other */
    c->workflows = (unsigned)sim_between(sim, 3, 14);
    c->workflow_workers = (unsigned)sim_between(sim, 1, 3);
    c->sticky_workers = (unsigned)sim_between(sim, 0, 2);
    c->activity_workers = (unsigned)sim_between(sim, 1, 4);
    c->window_size = sim_chance(sim, 0.7) ? 2 : 16;
    c->memory_limit = sim_chance(sim, 0.5) ? (size_t)sim_between(sim, 5000, 60000) : SIZE_MAX;
    c->know_ids = sim_chance(sim, 0.7);
    c->second_after = sim_chance(sim, 0.7) ? (size_t)sim_between(sim, 1, 3) : 0;
    c->snapshot_after = sim_chance(sim, 0.5) ? (size_t)sim_between(sim, 1, 4000) : 0;
    c->store_delay_max = sim_chance(sim, 0.2) && !c->calm ? 500 * NS_PER_MS : 3 * NS_PER_MS;
    c->sticky = c->sticky_workers != 0;
    c->queries = sim_chance(sim, 0.5);
    c->fair = sim_chance(sim, 0.5);
    c->operators = sim_chance(sim, 0.3);
    if (c->busy) {
        c->workflows *= 2;
        c->workflow_workers += 4;
        c->activity_workers += 4;
        c->store_delay_max = 30 * NS_PER_MS;
    }
    if (c->calm)
        return;
    c->crash_rate = sim_chance(sim, 0.7) ? (sim_chance(sim, 0.2) ? 0.01 : 0.002) : 0;
    c->abort_rate = sim_chance(sim, 0.4) ? 0.1 : 0;
    c->refuse_rate = sim_chance(sim, 0.25) ? 0.02 : 0;
    c->fence_rate = sim_chance(sim, 0.3) ? 0.03 : 0;
    c->unknown_rate = sim_chance(sim, 0.3) ? 0.03 : 0;
    c->full_rate = sim_chance(sim, 0.25) ? 0.02 : 0;
    c->read_error_rate = sim_chance(sim, 0.3) ? 0.05 : 0;
    c->lost_reply_rate = sim_chance(sim, 0.3) ? 0.03 : 0;
    c->worker_death_rate = sim_chance(sim, 0.3) ? 0.05 : 0;
    c->task_failure_rate = sim_chance(sim, 0.3) ? 0.05 : 0;
    c->gone_rate = sim_chance(sim, 0.4) ? 0.001 : 0;
}

/* Until `done` says so; false: it failed, or took for ever. */
static bool run_until(struct sim *sim, bool (*done)(struct sim *sim), int64_t limit, const char *what)
{
    int64_t  end = sim->wall + limit, last_wall = sim->wall;
    uint64_t same = 0;
    while (!done(sim)) {
        if (sim->failure[0] != '\0')
            return false;
        if (sim->fatal || (sim->faulty && sim_chance(sim, sim->configuration.crash_rate)))
            crash(sim);
        if (pass_deadlines(sim))
            continue;
        if (!step(sim))
            advance(sim);
        same = sim->wall == last_wall ? same + 1 : 0;
        last_wall = sim->wall;
        if (++sim->steps > STEPS_MAX || same > SAME_TIME_MAX || sim->wall > end) {
            (void)actors_finished(sim, true);
            sim_fail(sim, "%s: no end after %" PRIu64 " steps and %.0f s", what, sim->steps,
                     (double)(sim->wall - START_NS) / 1e9);
            return false;
        }
    }
    return sim->failure[0] == '\0';
}

static bool faults_over(struct sim *sim)
{
    return sim->wall >= START_NS + FAULTY_NS || actors_finished(sim, false);
}

static bool work_over(struct sim *sim)
{
    return actors_finished(sim, false);
}

static bool audit_over(struct sim *sim)
{
    return actors_audited(sim);
}

bool sim_run(uint64_t seed, const struct sim_disk *disk, bool verbose, uint64_t *ret_trace)
{
    struct sim *sim = xcalloc(1, sizeof(*sim));
    sim->seed = seed;
    sim->verbose = verbose;
    random_seed(&sim->random, seed);
    sim->wall = START_NS;
    sim->monotonic = NS_PER_S;
    list_init(&sim->calls);
    list_init(&sim->answered);
    heap_init(&sim->actions);
    configure(sim);
    sim_store_init(&sim->store, sim, disk);
    sim->journal = journal_new(sim);
    boot(sim);
    sim->faulty = true;
    actors_start(sim);
    operators_start(sim);
    bool good = run_until(sim, faults_over, 10 * FAULTY_NS, "faults");
    sim->faulty = false;
    sim_log(sim, "healed");
    good = good && run_until(sim, work_over, LIVENESS_NS, "liveness");
    if (good)
        actors_audit(sim);
    good = good && run_until(sim, audit_over, LIVENESS_NS, "audit");
    if (!good)
        fprintf(stderr, "seed %" PRIu64 ": %s\n", seed, sim->failure);
    for (unsigned i = 0; i < sim->configuration.lanes; i++) {
        struct lane_statistics of_lane;
        lane_statistics(runtime_lane(sim->runtime, i), &of_lane);
        sim_log(sim, "lane %u since its start: %" PRIu64 " batches, %" PRIu64 " of them second", i,
                of_lane.batches, of_lane.seconds);
    }
    sim_log(sim, "steps=%" PRIu64 " crashes=%" PRIu64 " calls=%" PRIu64 " batches=%" PRIu64, sim->steps,
            sim->crashes, sim->calls_made, sim->store.batches);
    *ret_trace = sim->trace;
    /* What is under way at the end is abandoned like at a crash. */
    sim_store_crash(&sim->store);
    api_abandon(sim->api);
    runtime_abandon(sim->runtime);
    struct list rest;
    list_init(&rest);
    list_splice(&rest, &sim->calls);
    list_splice(&rest, &sim->answered);
    for (struct list *at; (at = list_take_first(&rest)) != NULL;)
        call_free(LIST_ENTRY(at, struct sim_call, link));
    while (heap_first(&sim->actions) != NULL) {
        struct sim_action *action = CONTAINER_OF(heap_first(&sim->actions), struct sim_action, link);
        heap_remove(&sim->actions, &action->link);
        free(action);
    }
    heap_release(&sim->actions);
    operators_free(sim);
    actors_free(sim);
    journal_free(sim->journal);
    sim_store_release(&sim->store);
    free(sim);
    return good;
}
