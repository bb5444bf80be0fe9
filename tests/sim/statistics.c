/* statistics.c: sums of runs, and their tables. */
#include "statistics.h"

#include <stdio.h>

#include "sim.h"

#define SECONDS_PER_YEAR (365.25 * 24 * 3600)

void statistics_struck(struct sim *sim, enum sim_fault kind)
{
    struct sim_statistics *statistics = sim->statistics;
    statistics->struck[kind]++;
    sim_network_under_way(sim, statistics->hit, kind);
}

void statistics_add(struct sim_statistics *to, const struct sim_statistics *from)
{
    to->runs += from->runs;
    to->failed += from->failed;
    to->steps += from->steps;
    to->boots += from->boots;
    to->batches += from->batches;
    to->transitions += from->transitions;
    to->dozes += from->dozes;
    to->simulated_ms += from->simulated_ms;
    to->cpu_ns += from->cpu_ns;
    to->simulated_max = MAX(to->simulated_max, from->simulated_max);
    if (from->steps_max > to->steps_max) {
        to->steps_max = from->steps_max;
        to->steps_max_seed = from->steps_max_seed;
    }
    for (size_t method = 0; method < PB_METHOD_COUNT; method++) {
        for (size_t code = 0; code < METRIC_ERRORS_MAX; code++)
            to->answers[method][code] += from->answers[method][code];
        for (size_t kind = 0; kind < SIM_FAULT_COUNT; kind++)
            to->hit[method][kind] += from->hit[method][kind];
    }
    for (size_t kind = 0; kind < SIM_FAULT_COUNT; kind++)
        to->struck[kind] += from->struck[kind];
}

static uint64_t calls_of(const struct sim_statistics *statistics, size_t method)
{
    uint64_t calls = 0;
    for (size_t code = 0; code < METRIC_ERRORS_MAX; code++)
        calls += statistics->answers[method][code];
    return calls;
}

static void print_answers(const struct sim_statistics *statistics)
{
    printf("\ncalls by answer\n");
    for (size_t method = 0; method < PB_METHOD_COUNT; method++) {
        uint64_t calls = calls_of(statistics, method);
        if (calls == 0)
            continue;
        printf("  %-42s %10" PRIu64, (const char *)pb_methods[method].name.base, calls);
        for (size_t code = 0; code < METRIC_ERRORS_MAX; code++)
            if (statistics->answers[method][code] != 0)
                printf(" %s %" PRIu64, status_name((enum status)code), statistics->answers[method][code]);
        printf("\n");
    }
}

/* Every method that was called with every kind that struck: how many cells were never hit. */
static void print_matrix(const struct sim_statistics *statistics)
{
    size_t cells = 0, hit = 0;
    printf("\ncalls under way when a fault struck: methods by kinds of faults; listed are the pairs that "
           "never met\n");
    for (size_t method = 0; method < PB_METHOD_COUNT; method++) {
        size_t missing = 0;
        if (calls_of(statistics, method) == 0)
            continue;
        for (size_t kind = 0; kind < SIM_FAULT_COUNT; kind++)
            missing += statistics->hit[method][kind] == 0;
        cells += SIM_FAULT_COUNT;
        hit += SIM_FAULT_COUNT - missing;
        printf("  %-42s %2zu of %d", (const char *)pb_methods[method].name.base, SIM_FAULT_COUNT - missing,
               SIM_FAULT_COUNT);
        for (size_t kind = 0; kind < SIM_FAULT_COUNT && missing <= 12; kind++)
            if (statistics->hit[method][kind] == 0)
                printf(" -%s", sim_fault_name((enum sim_fault)kind));
        printf("\n");
    }
    printf("  %zu of %zu cells (%.1f %%)\n", hit, cells,
           cells == 0 ? 0 : 100.0 * (double)hit / (double)cells);
}

void statistics_print(const struct sim_statistics *statistics, bool tables)
{
    double   simulated = (double)statistics->simulated_ms / 1e3, cpu = (double)statistics->cpu_ns / 1e9;
    uint64_t strikes = 0, calls = 0;
    unsigned kinds = 0;
    for (size_t kind = 0; kind < SIM_FAULT_COUNT; kind++) {
        strikes += statistics->struck[kind];
        kinds += statistics->struck[kind] != 0;
    }
    for (size_t method = 0; method < PB_METHOD_COUNT; method++)
        calls += calls_of(statistics, method);
    printf("%.2f years simulated in %.1f s of one core: %.0f to 1; %" PRIu64 " steps, %" PRIu64
           " calls, %" PRIu64 " batches, %" PRIu64 " starts of the server, %" PRIu64 " faults of %u kinds\n",
           simulated / SECONDS_PER_YEAR, cpu, cpu > 0 ? simulated / cpu : 0, statistics->steps, calls,
           statistics->batches, statistics->boots, strikes, kinds);
    uint64_t runs = MAX(statistics->runs, UINT64_C(1));
    printf("per seed: %.1f ms of CPU, %" PRIu64 " steps (most: %" PRIu64 ", seed %" PRIu64
           "), %.1f days (longest: %.1f), %.1f spans of nothing but time\n",
           cpu * 1e3 / (double)runs, statistics->steps / runs, statistics->steps_max,
           statistics->steps_max_seed, simulated / 86400 / (double)runs,
           (double)statistics->simulated_max / 86400e9, (double)statistics->dozes / (double)runs);
    if (!tables)
        return;
    printf("\nfaults\n");
    for (size_t kind = 0; kind < SIM_FAULT_COUNT; kind++)
        printf("  %-28s %10" PRIu64 "\n", sim_fault_name((enum sim_fault)kind), statistics->struck[kind]);
    print_answers(statistics);
    print_matrix(statistics);
}
