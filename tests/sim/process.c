/* process.c: the server as a process: how it starts, and the ways in which it ends. */
#include "engine/workflow.h"
#include "schedule/schedule.h"
#include "sim.h"

#define RETENTION_NS (30 * 24 * 3600 * NS_PER_S)
#define FORWARD_MAX                                                                                          \
    (10 * 24 * 3600 * NS_PER_S) /* so that no run is old enough to be deleted before it was read */
#define DRAIN_NS (4 * NS_PER_S)

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
    if (sim_store_answer(&sim->store) || sim_store_step(&sim->store))
        return;
    int64_t due = sim_store_due(&sim->store);
    sim_pass(sim, due == TIME_NEVER ? NS_PER_MS : MAX(due - sim->now, INT64_C(0)));
}

bool sim_leaves(struct sim *sim)
{
    if (sim->leaves < 0)
        return true;
    if (sim->leaves == 0) {
        sim->fatal = true;
        return false;
    }
    sim->leaves--;
    return true;
}

/* --- clocks --- */

static void step_clock(struct sim *sim, enum sim_fault kind, int64_t low, int64_t high)
{
    int64_t by = sim_fault_between(sim, kind, low, high);
    if (sim->forward + by > FORWARD_MAX)
        return;
    sim->forward += by;
    sim->wall += by;
    sim_wake(sim);
    /* The event loops' timers know nothing of it, but look again within a minute. */
    for (unsigned i = 0; i < sim->configuration.lanes; i++)
        sim->lanes[i].due = MIN(sim->lanes[i].due, sim->now + 60 * NS_PER_S);
}

static void turn_clocks(struct sim *sim)
{
    if (sim_strikes(sim, FAULT_CLOCK_FORWARD))
        step_clock(sim, FAULT_CLOCK_FORWARD, 1, 60 * NS_PER_S);
    if (sim_strikes(sim, FAULT_CLOCK_BACK))
        step_clock(sim, FAULT_CLOCK_BACK, -60 * NS_PER_S, -1);
    if (sim_strikes(sim, FAULT_CLOCK_HOURS_FORWARD))
        step_clock(sim, FAULT_CLOCK_HOURS_FORWARD, 3600 * NS_PER_S, 6 * 3600 * NS_PER_S);
    if (sim_strikes(sim, FAULT_CLOCK_HOURS_BACK))
        step_clock(sim, FAULT_CLOCK_HOURS_BACK, -6 * 3600 * NS_PER_S, -3600 * NS_PER_S);
    if (sim_strikes(sim, FAULT_PAUSE))
        sim_pass(sim, sim_fault_between(sim, FAULT_PAUSE, NS_PER_MS, 60 * NS_PER_S));
    if (sim_strikes(sim, FAULT_SUSPEND)) {
        int64_t slept = sim_fault_between(sim, FAULT_SUSPEND, NS_PER_MS, 600 * NS_PER_S);
        sim_pass(sim, slept);
        sim->monotonic -= slept;
        sim_wake(sim);
        for (unsigned i = 0; i < sim->configuration.lanes; i++)
            sim->lanes[i].due = MIN(time_add(sim->lanes[i].due, slept), sim->now + 60 * NS_PER_S);
    }
}

/* --- the start --- */

static void namespace_ready(void *context, const struct error *error)
{
    struct sim *sim = context;
    if (error->code == ST_OK)
        sim->namespace_ready = true;
    else
        api_ensure_namespace(runtime_lane(sim->runtime, 0), BYTES("default"), RETENTION_NS, namespace_ready,
                             sim);
}

/* The new process may have other settings, and the clock another time. */
static void change_settings(struct sim *sim)
{
    struct sim_configuration *c = &sim->configuration;
    if (sim_strikes(sim, FAULT_LANES_CHANGED))
        c->lanes = (unsigned)sim_fault_between(sim, FAULT_LANES_CHANGED, 1, SIM_LANES_MAX);
    if (sim_strikes(sim, FAULT_WINDOWS_CHANGED))
        c->window_size = (size_t)sim_fault_between(sim, FAULT_WINDOWS_CHANGED, 2, 40);
    if (sim_strikes(sim, FAULT_MEMORY_CHANGED))
        c->memory_limit = (size_t)sim_fault_between(sim, FAULT_MEMORY_CHANGED, 5000, 500000);
    if (sim_strikes(sim, FAULT_SNAPSHOTS_CHANGED))
        c->snapshot_after = (size_t)sim_fault_between(sim, FAULT_SNAPSHOTS_CHANGED, 1, 8000);
    if (sim_strikes(sim, FAULT_CLOCK_FORWARD_AT_START))
        step_clock(sim, FAULT_CLOCK_FORWARD_AT_START, 1, 3600 * NS_PER_S);
    if (sim_strikes(sim, FAULT_CLOCK_BACK_AT_START))
        step_clock(sim, FAULT_CLOCK_BACK_AT_START, -3600 * NS_PER_S, -1);
    /* These hold for every process of the run, and are counted with each. */
    (void)sim_strikes(sim, FAULT_TINY_CACHE);
    (void)sim_strikes(sim, FAULT_TINY_WINDOWS);
    (void)sim_strikes(sim, FAULT_SNAPSHOTS_OFTEN);
}

static void plan_crash(struct sim *sim)
{
    sim->crash_at = 0;
    if (sim->crashes_planned != 0) {
        sim->crashes_planned--;
        sim->crash_at = sim->steps + (uint64_t)sim_fault_between(sim, FAULT_CRASH_LOOP, 1, 60);
    } else if (sim_strikes(sim, FAULT_CRASH_AT_START)) {
        sim->crash_at = sim->steps + (uint64_t)sim_fault_between(sim, FAULT_CRASH_AT_START, 1, 4);
    } else if (sim_strikes(sim, FAULT_CRASH_WHILE_LOADING)) {
        sim->crash_at = sim->steps + (uint64_t)sim_fault_between(sim, FAULT_CRASH_WHILE_LOADING, 5, 60);
    }
}

const struct entity_kind **sim_kinds(size_t *ret_count)
{
    static const struct entity_kind *kinds[5];
    kinds[0] = &workflow_kind;
    kinds[1] = &namespaces_kind;
    kinds[2] = &task_queue_kind;
    kinds[3] = &tools_kind;
    kinds[4] = &schedule_kind;
    *ret_count = ARRAY_COUNT(kinds);
    return kinds;
}

void sim_start(struct sim *sim)
{
    change_settings(sim);
    plan_crash(sim);
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
        .hooks = api_hooks(),
        .fatal = fatal,
        .fatal_context = sim,
        .wait = wait_for_store,
        .wait_context = sim,
    };
    struct error error;
    options.kinds = sim_kinds(&options.kind_count);
    sim->statistics->boots++;
    sim->leaves = -1;
    sim->fatal = sim->draining = sim->namespace_ready = false;
    sim->starting = true;
    while (runtime_new(&options, &sim->runtime, &error) != ST_OK)
        sim_log(sim, "start failed: %s", error.message);
    sim->starting = false;
    static const struct callback_rule anywhere = { BYTES("receiver.test"), true };
    sim->api = api_new(sim->runtime, &(struct api_options){ .window_size = sim->configuration.window_size,
                                                            .sender = receiver_sender(sim),
                                                            .callback_rules = &anywhere,
                                                            .callback_rule_count = 1,
                                                            .seed = random_next(&sim->random) | 1 });
    for (unsigned i = 0; i < sim->configuration.lanes; i++) {
        sim->lanes[i] = (struct sim_lane){ .sim = sim, .woken = true };
        lane_set_host(runtime_lane(sim->runtime, i), wake, &sim->lanes[i]);
    }
    sim_log(sim, "started, %u lanes", sim->configuration.lanes);
    api_ensure_namespace(runtime_lane(sim->runtime, 0), BYTES("default"), RETENTION_NS, namespace_ready, sim);
}

/* --- the end --- */

void sim_process_release(struct sim *sim)
{
    sim_store_crash(&sim->store);
    receiver_crash(sim);
    if (sim->runtime == NULL)
        return;
    api_abandon(sim->api);
    runtime_abandon(sim->runtime);
}

/* kill -9: what is not on disk is gone; callers see their connections break. */
void sim_crash(struct sim *sim)
{
    struct list broken;
    list_init(&broken);
    sim_log(sim, "crash");
    sim_trace(sim, 2);
    sim_process_release(sim);
    sim_store_restart(&sim->store);
    sim_verify_crashed(sim);
    sim_network_crash(sim, &broken);
    sim_start(sim);
    sim_network_break(&broken);
}

/* SIGTERM: nobody is listened to any more, long polls end, running calls are finished. */
static void begin_drain(struct sim *sim)
{
    sim->draining = true;
    sim->drain_until = sim->now + DRAIN_NS;
    for (unsigned i = 0; i < sim->configuration.lanes; i++) {
        lane_drain(runtime_lane(sim->runtime, i));
        api_drain(runtime_lane(sim->runtime, i));
        sim->lanes[i].woken = true;
    }
}

/* As server_free does it. False: the process ends in another way. */
static bool end_process(struct sim *sim)
{
    sim->leaves = -1;
    if (sim_store_is_unknown(&sim->store)) { /* the process ends when it hears so */
        sim->fatal = true;
        return false;
    }
    sim->settling = true;
    sim_network_close(sim);
    for (unsigned i = 0; i < sim->configuration.lanes; i++)
        api_drain(runtime_lane(sim->runtime, i));
    do { /* as server.c does: nothing that the store still has to answer is waited for in its place */
        runtime_settle(sim->runtime);
        if (api_reads(sim->api))
            wait_for_store(sim);
    } while (!sim->fatal && api_reads(sim->api));
    if (!sim->fatal && sim_store_due(&sim->store) != TIME_NEVER)
        sim_violated(sim, "read-left", "the store still reads for a server that has ended");
    sim->settling = false;
    if (sim->fatal) /* the power went meanwhile */
        return false;
    if (sim_network_serves(sim))
        sim_violated(sim, "call-unanswered", "calls are left when the server has drained");
    api_free(sim->api);
    runtime_free(sim->runtime);
    sim->store.full_batch = NULL;
    sim->runtime = NULL;
    sim_log(sim, "drained");
    return true;
}

void sim_stop(struct sim *sim)
{
    begin_drain(sim);
    (void)end_process(sim);
}

void sim_process_turn(struct sim *sim)
{
    if (sim_strikes(sim, FAULT_CRASH_LOOP))
        sim->crashes_planned = (unsigned)sim_fault_between(sim, FAULT_CRASH_LOOP, 1, 5);
    if (sim_strikes(sim, FAULT_CRASH_IN_TURN) && !sim->draining)
        sim->leaves = (int)sim_fault_between(sim, FAULT_CRASH_IN_TURN, 0, 4);
    bool planned = sim->crash_at != 0 && sim->steps >= sim->crash_at && sim->faulty;
    if (sim->fatal || planned || sim_strikes(sim, FAULT_CRASH)) {
        sim_crash(sim);
        return;
    }
    turn_clocks(sim);
    if (sim->draining && (sim->now >= sim->drain_until || !sim_network_serves(sim))) {
        if (end_process(sim))
            sim_start(sim);
    } else if (!sim->draining && sim_strikes(sim, FAULT_RESTART))
        begin_drain(sim);
}
