/* world.c: time, lanes, calls; the choice of what happens next. */
#include <stdio.h>
#include <time.h>

#include "base/hash.h"
#include "sim.h"

#define START_NS      (INT64_C(1790000000) * NS_PER_S)
#define FAULTY_NS     (40 * NS_PER_S)
#define STEPS_MAX     2000000
#define SAME_TIME_MAX 200000 /* steps without time passing: a hot loop */

void sim_log(struct sim *sim, const char *format, ...)
{
    struct sim_recorder *recorder = sim->recorder;
    if (recorder == NULL)
        return;
    char   *line = recorder->line[recorder->count++ % SIM_LINES];
    int     size = snprintf(line, SIM_LINE_SIZE, "%8" PRIu64 " %14.6f ", sim->steps,
                            (double)(sim->now - START_NS) / 1e9);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + size, SIM_LINE_SIZE - (size_t)size, format, arguments);
    va_end(arguments);
    if (recorder->prints)
        fprintf(stderr, "%s\n", line);
}

bool sim_failed(const struct sim *sim)
{
    return sim->outcome->invariant[0] != '\0';
}

static void violated(struct sim *sim, const char *invariant, const char *format, va_list arguments)
{
    if (sim_failed(sim))
        return;
    if (getenv("SIM_PRINT_HISTORIES") != NULL)
        oracle_print(journal_oracle(sim->journal), stderr);
    vsnprintf(sim->outcome->failure, sizeof(sim->outcome->failure), format, arguments);
    snprintf(sim->outcome->invariant, sizeof(sim->outcome->invariant), "%s", invariant);
    sim_log(sim, "VIOLATED %s: %s", invariant, sim->outcome->failure);
}

void sim_violated(struct sim *sim, const char *invariant, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    violated(sim, invariant, format, arguments);
    va_end(arguments);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    violated(sim, "unexpected-answer", format, arguments);
    va_end(arguments);
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

static void later(struct sim *sim, struct heap *heap, int64_t delay,
                  void (*run)(struct sim *sim, void *context), void *context)
{
    struct sim_action *action = xcalloc(1, sizeof(*action));
    action->run = run;
    action->context = context;
    heap_link_init(&action->link);
    heap_push(heap, &action->link, sim->now + delay, sim->action_count++);
}

void sim_later(struct sim *sim, int64_t delay, void (*run)(struct sim *sim, void *context), void *context)
{
    later(sim, &sim->actions, delay, run, context);
}

void sim_later_routine(struct sim *sim, int64_t delay, void (*run)(struct sim *sim, void *context),
                       void *context)
{
    later(sim, sim->patient ? &sim->routines : &sim->actions, delay, run, context);
}

void sim_pass(struct sim *sim, int64_t duration)
{
    sim->now += duration;
    sim->wall += duration;
    sim->monotonic += duration;
}

void sim_turn(struct sim *sim, unsigned index)
{
    struct lane *lane = runtime_lane(sim->runtime, index);
    sim->lanes[index].woken = false;
    lane_turn(lane);
    api_lane_turn(lane);
    /* In the lane's own time; what it waits is as long for everybody. */
    int64_t due = MIN(lane_next_due(lane), api_lane_next_due(lane));
    sim->lanes[index].due = due == TIME_NEVER ? TIME_NEVER
                                              : time_add(sim->now, MAX(due - sim->wall, INT64_C(0)));
}

/* --- the loop --- */

static bool lane_wants(const struct sim *sim, unsigned index)
{
    const struct sim_lane *lane = &sim->lanes[index];
    return (lane->woken || lane->due <= sim->now) && lane->stalled_until <= sim->now;
}

static int64_t lane_due(const struct sim *sim, unsigned index)
{
    const struct sim_lane *lane = &sim->lanes[index];
    return MAX(lane->woken ? sim->now : lane->due, lane->stalled_until);
}

/* Which lanes turn is drawn; here is what makes some of them unlucky. */
static void disturb_lanes(struct sim *sim)
{
    int64_t last = sim->configuration.lanes - 1;
    if (sim_strikes(sim, FAULT_LANE_WOKEN))
        sim->lanes[sim_fault_between(sim, FAULT_LANE_WOKEN, 0, last)].woken = true;
    if (sim_strikes(sim, FAULT_LANE_STALLED)) {
        struct sim_lane *lane = &sim->lanes[sim_fault_between(sim, FAULT_LANE_STALLED, 0, last)];
        lane->stalled_until = sim->now + sim_fault_between(sim, FAULT_LANE_STALLED, NS_PER_MS, 5 * NS_PER_S);
    }
    if (sim_strikes(sim, FAULT_TURNS_IN_A_ROW)) {
        sim->in_a_row_lane = (unsigned)sim_fault_between(sim, FAULT_TURNS_IN_A_ROW, 0, last);
        sim->in_a_row = (unsigned)sim_fault_between(sim, FAULT_TURNS_IN_A_ROW, 1, 20);
    }
}

/* The heap of the action that is due first, and when that is. */
static struct heap *next_actions(struct sim *sim, int64_t *ret_due)
{
    const struct heap_link *action = heap_first(&sim->actions), *routine = heap_first(&sim->routines);
    int64_t                 due = action == NULL ? TIME_NEVER : action->due;
    int64_t                 routine_due = routine == NULL ? TIME_NEVER : MAX(routine->due, sim->doze_until);
    *ret_due = MIN(due, routine_due);
    return routine_due < due ? &sim->routines : &sim->actions;
}

static bool action_due(struct sim *sim)
{
    int64_t due;
    (void)next_actions(sim, &due);
    return due <= sim->now && sim->namespace_ready;
}

static void run_action(struct sim *sim)
{
    int64_t            due;
    struct heap       *heap = next_actions(sim, &due);
    struct sim_action *action = CONTAINER_OF(heap_first(heap), struct sim_action, link);
    heap_remove(heap, &action->link);
    action->run(sim, action->context);
    free(action);
}

static void advance(struct sim *sim)
{
    int64_t due, actions_due;
    sim_doze(sim);
    due = sim_store_due(&sim->store);
    for (unsigned i = 0; i < sim->configuration.lanes; i++)
        due = MIN(due, lane_due(sim, i));
    (void)next_actions(sim, &actions_due);
    if (sim->namespace_ready)
        due = MIN(due, actions_due);
    due = MIN(due, sim_network_due(sim));
    if (due == TIME_NEVER) {
        sim_violated(sim, "standstill", "nothing will ever happen again");
        return;
    }
    sim_pass(sim, MAX(due - sim->now, INT64_C(1000)));
}

enum choice { CHOICE_STORE, CHOICE_ANSWER, CHOICE_SERVER, CHOICE_CALLER, CHOICE_ACTION, CHOICE_LANE };

struct choices {
    struct {
        enum choice what;
        unsigned    lane;
    } list[8 + SIM_LANES_MAX];
    size_t count;
};

static void find_choices(struct sim *sim, struct choices *choices)
{
    choices->count = 0;
    if (!list_empty(&sim->store.done))
        choices->list[choices->count++].what = CHOICE_ANSWER;
    if (sim_store_is_ready(&sim->store))
        choices->list[choices->count++].what = CHOICE_STORE;
    if (sim_network_arrives(sim))
        choices->list[choices->count++].what = CHOICE_SERVER;
    if (sim_network_returns(sim))
        choices->list[choices->count++].what = CHOICE_CALLER;
    if (action_due(sim))
        choices->list[choices->count++].what = CHOICE_ACTION;
    for (unsigned i = 0; i < sim->configuration.lanes; i++) {
        if (lane_wants(sim, i)) {
            choices->list[choices->count].what = CHOICE_LANE;
            choices->list[choices->count++].lane = i;
        }
    }
}

static bool step(struct sim *sim)
{
    struct choices choices;
    if (sim->in_a_row != 0 && --sim->in_a_row != 0 && sim->in_a_row_lane < sim->configuration.lanes &&
        lane_wants(sim, sim->in_a_row_lane)) {
        sim_turn(sim, sim->in_a_row_lane);
        return true;
    }
    find_choices(sim, &choices);
    if (choices.count == 0)
        return false;
    size_t      pick = (size_t)random_below(&sim->random, choices.count);
    enum choice what = choices.list[pick].what;
    unsigned    lane = what == CHOICE_LANE ? choices.list[pick].lane : 0;
    sim_trace(sim, (uint64_t)what * 16 + lane);
    switch (what) {
    case CHOICE_STORE:
        (void)sim_store_step(&sim->store);
        break;
    case CHOICE_ANSWER:
        (void)sim_store_answer(&sim->store);
        break;
    case CHOICE_SERVER:
        (void)sim_network_arrive(sim);
        break;
    case CHOICE_CALLER:
        (void)sim_network_deliver(sim);
        break;
    case CHOICE_ACTION:
        run_action(sim);
        break;
    case CHOICE_LANE:
        sim_turn(sim, lane);
        break;
    }
    return true;
}

/* What was drawn is not there when it is to be left out. */
static void leave_out(struct sim *sim)
{
    struct sim_configuration *c = &sim->configuration;
    const bool               *without = sim->options->without_feature;
    c->busy = c->busy && !without[FEATURE_BUSY];
    c->sticky_workers = without[FEATURE_STICKY] ? 0 : c->sticky_workers;
    c->sticky = c->sticky_workers != 0;
    c->queries = c->queries && !without[FEATURE_QUERIES];
    c->fair = c->fair && !without[FEATURE_FAIR];
    c->operators = c->operators && !without[FEATURE_OPERATORS];
    sim->callbacks = sim->callbacks && !without[FEATURE_CALLBACKS];
    sim->has_shadow = sim->has_shadow && !without[FEATURE_SHADOW];
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
    sim_faults_draw(sim, sim->options, c->calm);
    c->window_size = sim_may_strike(sim, FAULT_TINY_WINDOWS) ? 2 : 16;
    c->memory_limit = sim_may_strike(sim, FAULT_TINY_CACHE) ? (size_t)sim_between(sim, 5000, 60000)
                                                            : SIZE_MAX;
    c->know_ids = sim_chance(sim, 0.7);
    c->second_after = sim_chance(sim, 0.7) ? (size_t)sim_between(sim, 1, 3) : 0;
    c->snapshot_after = sim_may_strike(sim, FAULT_SNAPSHOTS_OFTEN) ? (size_t)sim_between(sim, 1, 4000) : 0;
    c->store_delay_max = 3 * NS_PER_MS;
    c->queries = sim_chance(sim, 0.5);
    c->fair = sim_chance(sim, 0.5);
    c->operators = sim_chance(sim, 0.3);
    struct random random;
    random_seed(&random, hash_combine(sim->options->seed, 1000));
    sim->callbacks = random_below(&random, 10) < 3 && sim->options->disk == NULL;
    sim->has_shadow = random_below(&random, 10) < 3 && sim->options->disk == NULL;
    leave_out(sim);
    if (c->busy) {
        c->workflows *= 2;
        c->workflow_workers += 4;
        c->activity_workers += 4;
        c->store_delay_max = 30 * NS_PER_MS;
    }
    if (sim->options->workflows_max != 0)
        c->workflows = MIN(c->workflows, sim->options->workflows_max);
}

static void record_step(struct sim *sim)
{
    struct sim_hashes *hashes = sim->hashes;
    if (hashes == NULL)
        return;
    if (hashes->count == hashes->capacity) {
        hashes->capacity = MAX(hashes->capacity * 2, (size_t)4096);
        hashes->hash = xrealloc(hashes->hash, hashes->capacity * sizeof(hashes->hash[0]));
    }
    hashes->hash[hashes->count++] = sim->trace;
}

bool sim_run_until(struct sim *sim, bool (*done)(struct sim *sim), int64_t limit, const char *what)
{
    int64_t  end = sim->now - sim->dozed + limit, last = sim->now;
    uint64_t same = 0;
    while (!done(sim) && !sim_failed(sim)) {
        sim_process_turn(sim);
        sim_network_turn(sim);
        disturb_lanes(sim);
        if (sim_network_leave(sim))
            continue;
        if (!step(sim))
            advance(sim);
        record_step(sim);
        same = sim->now == last ? same + 1 : 0;
        last = sim->now;
        if (++sim->steps > STEPS_MAX || same > SAME_TIME_MAX || sim->now - sim->dozed > end) {
            (void)actors_finished(sim, true);
            sim_violated(sim, what, "no end after %" PRIu64 " steps and %.0f s", sim->steps,
                         (double)(sim->now - START_NS) / 1e9);
        }
    }
    return !sim_failed(sim);
}

static bool faults_over(struct sim *sim)
{
    return sim->now - sim->dozed >= START_NS + FAULTY_NS || actors_finished(sim, false);
}

static bool work_over(struct sim *sim)
{
    return actors_finished(sim, false);
}

static void play(struct sim *sim)
{
    sim->faulty = true;
    actors_start(sim);
    operators_start(sim);
    if (!sim_run_until(sim, faults_over, LIVENESS_NS, "no-end-under-faults"))
        return;
    sim->faulty = false;
    sim_log(sim, "healed");
    if (!sim_run_until(sim, work_over, LIVENESS_NS, "liveness"))
        return;
    actors_audit(sim);
    if (sim_run_until(sim, actors_audited, LIVENESS_NS, "audit-liveness"))
        sim_end(sim);
}

static void count_run(struct sim *sim, const struct timespec *began)
{
    struct timespec        ended;
    struct sim_statistics *statistics = sim->statistics;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    statistics->cpu_ns += (ended.tv_sec - began->tv_sec) * NS_PER_S + ended.tv_nsec - began->tv_nsec;
    statistics->simulated_ms += (sim->now - START_NS) / NS_PER_MS;
    statistics->simulated_max = MAX(statistics->simulated_max, sim->now - START_NS);
    if (sim->steps > statistics->steps_max) {
        statistics->steps_max = sim->steps;
        statistics->steps_max_seed = sim->options->seed;
    }
    statistics->runs++;
    statistics->failed += sim_failed(sim);
    statistics->steps += sim->steps;
    statistics->batches += sim->store.batches;
    sim->outcome->trace = sim->trace;
    sim->outcome->steps = sim->steps;
    sim->outcome->strikes = sim->faults.strikes;
}

static void release_actions(struct heap *heap)
{
    for (struct heap_link *first; (first = heap_first(heap)) != NULL;) {
        heap_remove(heap, first);
        free(CONTAINER_OF(first, struct sim_action, link));
    }
    heap_release(heap);
}

/* What is under way at the end is abandoned like at a crash. */
static void release(struct sim *sim)
{
    sim_process_release(sim);
    sim_network_release(&sim->network);
    release_actions(&sim->actions);
    release_actions(&sim->routines);
    operators_free(sim);
    actors_free(sim);
    journal_free(sim->journal);
    sim_store_release(&sim->store);
}

void sim_run(const struct sim_options *options, struct sim_statistics *statistics,
             struct sim_recorder *recorder, struct sim_hashes *hashes, struct sim_outcome *ret_outcome)
{
    struct sim     *sim = xcalloc(1, sizeof(*sim));
    struct timespec began;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    *ret_outcome = (struct sim_outcome){ 0 };
    sim->options = options;
    sim->statistics = statistics;
    sim->recorder = recorder;
    sim->hashes = hashes;
    sim->outcome = ret_outcome;
    random_seed(&sim->random, options->seed);
    sim->now = sim->wall = START_NS;
    sim->monotonic = NS_PER_S;
    heap_init(&sim->actions);
    heap_init(&sim->routines);
    list_init(&sim->deliveries);
    sim_network_init(&sim->network);
    configure(sim);
    sim_store_init(&sim->store, sim, options->disk);
    sim->journal = journal_new(sim);
    sim_start(sim);
    play(sim);
    count_run(sim, &began);
    release(sim);
    free(sim);
}
