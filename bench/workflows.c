/* workflows.c: the sections that run workflows from start to result, and what they leave on the disk. */
#include <signal.h>
#include <stdio.h>

#include "bench.h"

#define RUNS_MAX 16

static const char *const names[] = {
    [SHAPE_EMPTY] = "empty", [SHAPE_ONE_ACTIVITY] = "one activity", [SHAPE_TEN_ACTIVITIES] = "ten activities"
};

/* The same thing, measured a few times. */
struct cell {
    struct spread  rate, cpu_us, flushes;
    struct samples latency;
};

static double us(int64_t ns)
{
    return (double)ns / (double)NS_PER_US;
}

static double ms(int64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

/* As many workflows as take about `seconds`, by the rate of a short first run that also warms everything up. */
static size_t calibrate(struct bench *bench, struct load *load, const struct server_process *server,
                        enum shape shape, size_t in_flight)
{
    struct load_result result;
    load_run_workflows(load, server, shape, MAX(in_flight * 4, (size_t)40), in_flight, &result);
    double count = (double)result.count * (double)NS_PER_S / (double)result.wall_ns * bench->run_s;
    bench->errors += result.errors;
    samples_release(&result.latency);
    return MIN(MAX((size_t)count, in_flight * 4), (size_t)200000);
}

static void measure(struct bench *bench, const struct server_process *server, enum shape shape,
                    size_t in_flight, bool eager, struct cell *ret_cell)
{
    double              rates[RUNS_MAX], cpu[RUNS_MAX], flushes[RUNS_MAX];
    struct loop        *loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    struct load_options options = {
        .port = server->port, .pollers = in_flight + in_flight / 2 + 4, .sticky = true, .eager = eager
    };
    struct load *load = load_new(loop, &options);
    size_t       count = calibrate(bench, load, server, shape, in_flight);
    *ret_cell = (struct cell){ 0 };
    for (size_t i = 0; i < bench->runs; i++) {
        struct load_result result;
        load_run_workflows(load, server, shape, count, in_flight, &result);
        rates[i] = (double)count * (double)NS_PER_S / (double)result.wall_ns;
        cpu[i] = us(result.cpu_ns) / (double)count;
        flushes[i] = (double)result.flushes / (double)count;
        for (size_t j = 0; j < result.latency.count; j++)
            samples_add(&ret_cell->latency, result.latency.values[j]);
        bench->errors += result.errors;
        samples_release(&result.latency);
    }
    ret_cell->rate = spread_of(rates, bench->runs);
    ret_cell->cpu_us = spread_of(cpu, bench->runs);
    ret_cell->flushes = spread_of(flushes, bench->runs);
    load_free(load);
    loop_free(loop);
}

static void print_cell(struct bench *bench, const char *name, size_t in_flight, struct cell *cell)
{
    report_line(bench->report,
                "| %s | %zu | %.0f / **%.0f** / %.0f | %.3f | %.2f | %.1f | %.2f | %.2f | %.2f | %.0f / "
                "**%.0f** / %.0f | %.1f |",
                name, in_flight, cell->rate.min, cell->rate.median, cell->rate.max,
                cell->rate.median / machine_echo_rate(&bench->machine, in_flight),
                ms(samples_percentile(&cell->latency, 50)),
                ms(samples_percentile(&cell->latency, 50)) * bench->machine.appends.median / 1000,
                ms(samples_percentile(&cell->latency, 95)), ms(samples_percentile(&cell->latency, 99)),
                cell->flushes.median, cell->cpu_us.min, cell->cpu_us.median, cell->cpu_us.max,
                cell->cpu_us.median / machine_echo_cpu(&bench->machine, in_flight));
}

static void judge(struct bench *bench, enum shape shape, size_t in_flight, struct cell *cell)
{
    double p50 = ms(samples_percentile(&cell->latency, 50));
    if (in_flight == 16 && shape == SHAPE_EMPTY)
        report_goal(bench->report, "server CPU per empty workflow, 16 in flight", cell->cpu_us, "us", AT_MOST,
                    80);
    if (in_flight == 16 && shape == SHAPE_ONE_ACTIVITY)
        report_goal(bench->report, "server CPU per one-activity workflow, 16 in flight", cell->cpu_us, "us",
                    AT_MOST, 150);
    if (in_flight == 64 && shape == SHAPE_ONE_ACTIVITY)
        report_goal(bench->report, "one-activity workflows, 64 in flight", cell->rate, "per s", AT_LEAST,
                    8000);
    if (in_flight != 1 || shape != SHAPE_ONE_ACTIVITY)
        return;
    /* Checkpoints flush too, once in thousands of workflows. */
    if (machine_flushes() >= 0)
        report_goal(bench->report, "flushes per one-activity workflow, alone", cell->flushes, "", AT_MOST,
                    4.05);
    report_goal(bench->report, "p50 of a one-activity workflow, alone (four flushes and 1 ms)",
                (struct spread){ p50, p50, p50 }, "ms", AT_MOST,
                1 + 4 * 1000 / bench->machine.appends.median);
}

void section_workflows(struct bench *bench)
{
    static const size_t levels[] = { 1, 16, 64, 256 };
    static const struct {
        enum shape  shape;
        bool        eager;
        const char *name;
    } kinds[] = { { SHAPE_EMPTY, false, "empty" },
                  { SHAPE_ONE_ACTIVITY, false, "one activity" },
                  { SHAPE_ONE_ACTIVITY, true, "one eager activity" },
                  { SHAPE_PARENT, false, "one child" },
                  { SHAPE_TEN_ACTIVITIES, false, "ten activities" } };
    report_line(bench->report,
                "\n## Workflows\n\nFrom start to result by long poll. Rates and CPU are min / **median** / "
                "max of %zu runs, latencies of "
                "all runs together.\n\"x\" is a ratio: the rate to echoed calls per second, the p50 to one "
                "flush, the CPU to one "
                "echoed call.\n\n| workflow | in flight | per s | x | p50 ms | x | p95 ms | p99 ms | flushes "
                "| server CPU us | "
                "x |\n|---|---|---|---|---|---|---|---|---|---|---|",
                bench->runs);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct server_process server;
        server_process_start(&server, bench->binary, "256M");
        for (size_t j = 0; j < ARRAY_COUNT(levels); j++) {
            struct cell cell;
            if (bench->quick && (levels[j] == 256 || (kinds[i].eager && levels[j] != 16)))
                continue;
            measure(bench, &server, kinds[i].shape, levels[j], kinds[i].eager, &cell);
            print_cell(bench, kinds[i].name, levels[j], &cell);
            if (!kinds[i].eager)
                judge(bench, kinds[i].shape, levels[j], &cell);
            samples_release(&cell.latency);
        }
        server_process_stop(&server, SIGTERM);
        server_process_remove(&server);
    }
}

/* Bytes of the closed store file per workflow: what stays, with the log folded into it. */
static double rest_bytes(struct bench *bench, enum shape shape, size_t count)
{
    struct server_process server;
    struct load_result    result;
    server_process_start(&server, bench->binary, "256M");
    server_process_stop(&server, SIGTERM);
    int64_t empty = server_process_disk(&server);
    server_process_restart(&server, bench->binary, "256M");
    struct loop *loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    struct load *load = load_new(loop, &(struct load_options){
                                           .port = server.port, .pollers = 100, .sticky = true });
    load_run_workflows(load, &server, shape, count, 64, &result);
    bench->errors += result.errors;
    samples_release(&result.latency);
    load_free(load);
    loop_free(loop);
    server_process_stop(&server, SIGTERM);
    double bytes = (double)(server_process_disk(&server) - empty) / (double)count;
    server_process_remove(&server);
    return bytes;
}

void section_rest(struct bench *bench)
{
    static const enum shape shapes[] = { SHAPE_EMPTY, SHAPE_ONE_ACTIVITY, SHAPE_TEN_ACTIVITIES };
    report_line(bench->report,
                "\n## Disk at rest\n\nBytes that the closed store file grew by, per workflow.\n\n"
                "| workflow | bytes |\n|---|---|");
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        double bytes = rest_bytes(bench, shapes[i], (bench->quick ? 2000U : 10000U) / (i == 2 ? 5 : 1));
        report_line(bench->report, "| %s | **%.0f** |", names[shapes[i]], bytes);
        if (shapes[i] == SHAPE_ONE_ACTIVITY)
            report_goal(bench->report, "disk at rest per one-activity workflow",
                        (struct spread){ bytes, bytes, bytes }, "bytes", AT_MOST, 3000);
    }
}

static void print_calls(struct bench *bench, const char *name, size_t in_flight, struct load_result *result)
{
    double count = (double)result->count;
    report_line(bench->report, "| %s | %zu | **%.0f** | %.2f | %.3f | %.2f | %.2f | **%.0f** | %.1f |", name,
                in_flight, count * (double)NS_PER_S / (double)result->wall_ns,
                count * (double)NS_PER_S / (double)result->wall_ns /
                    machine_echo_rate(&bench->machine, in_flight),
                ms(samples_percentile(&result->latency, 50)), ms(samples_percentile(&result->latency, 95)),
                ms(samples_percentile(&result->latency, 99)), us(result->cpu_ns) / count,
                us(result->cpu_ns) / count / machine_echo_cpu(&bench->machine, in_flight));
    bench->errors += result->errors;
    samples_release(&result->latency);
}

void section_messages(struct bench *bench)
{
    size_t                targets = bench->quick ? 100 : 1000, count = bench->quick ? 1000 : 5000;
    struct server_process server;
    struct load_result    result;
    server_process_start(&server, bench->binary, "256M");
    struct loop *loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    struct load *load = load_new(loop, &(struct load_options){
                                           .port = server.port, .pollers = 32, .sticky = true });
    load_run_starts(load, &server, SHAPE_SIGNALED, "one", 1, 1, &result);
    samples_release(&result.latency);
    load_run_starts(load, &server, SHAPE_SIGNALED, "many", targets, 16, &result);
    samples_release(&result.latency);
    report_line(
        bench->report,
        "\n## Messages\n\nThe workflow is told of each signal by a workflow task; each query is asked "
        "of its worker; each update is accepted and completed by one workflow task.\n\n| call | in flight | "
        "per s | x | p50 ms | p95 ms | p99 ms | server CPU us | x "
        "|\n|---|---|---|---|---|---|---|---|---|");
    for (size_t in_flight = 1; in_flight <= 16; in_flight *= 16) {
        size_t calls = in_flight == 1 ? count / 5 : count;
        load_run_signals(load, &server, "one", 1, calls, in_flight, &result);
        print_calls(bench, "signal to one workflow", in_flight, &result);
        load_run_signals(load, &server, "many", targets, calls, in_flight, &result);
        print_calls(bench, "signal to many workflows", in_flight, &result);
        load_run_queries(load, &server, "many", calls, in_flight, &result);
        print_calls(bench, "query", in_flight, &result);
        load_run_updates(load, &server, "many", targets, calls, in_flight, &result);
        print_calls(bench, "update", in_flight, &result);
        load_run_updates_with_start(load, &server, in_flight == 1 ? "started" : "started too", calls,
                                    in_flight, &result);
        print_calls(bench, "update with start", in_flight, &result);
    }
    load_free(load);
    loop_free(loop);
    server_process_stop(&server, SIGTERM);
    server_process_remove(&server);
}

void section_timers(struct bench *bench)
{
    size_t                count = bench->quick ? 500 : 4000;
    struct server_process server;
    struct load_result    result;
    server_process_start(&server, bench->binary, "256M");
    struct loop *loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    struct load *load = load_new(loop, &(struct load_options){
                                           .port = server.port, .pollers = 64, .sticky = true });
    load_run_workflows(load, &server, SHAPE_TIMER, count, count / 2, &result);
    struct samples *late = load_timer_lateness(load);
    report_line(
        bench->report,
        "\n## Timers of 1 s\n\n%zu workflows that sleep, %zu at a time. Lateness is from due to the task "
        "that tells the worker.\n\n"
        "| earliest ms | p50 | p95 | p99 | last | server CPU us per workflow |\n|---|---|---|---|---|---|\n"
        "| %.2f | **%.2f** | %.2f | %.2f | %.2f | %.0f |",
        count, count / 2, ms(samples_percentile(late, 0)), ms(samples_percentile(late, 50)),
        ms(samples_percentile(late, 95)), ms(samples_percentile(late, 99)), ms(samples_percentile(late, 100)),
        us(result.cpu_ns) / (double)count);
    bench->errors += result.errors;
    samples_release(&result.latency);
    load_free(load);
    loop_free(loop);
    server_process_stop(&server, SIGTERM);
    server_process_remove(&server);
}

void section_backlog(struct bench *bench)
{
    size_t                count = bench->quick ? 5000 : 30000;
    struct server_process server;
    struct load_result    result;
    server_process_start(&server, bench->binary, "256M");
    struct loop *loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    struct load *load = load_new(loop, &(struct load_options){ .port = server.port });
    report_line(
        bench->report,
        "\n## Backlog\n\n%zu empty workflows are started while no worker is there, then one comes.\n\n"
        "| call | in flight | per s | x | p50 ms | p95 ms | p99 ms | server CPU us | x "
        "|\n|---|---|---|---|---|---|---|---|---|",
        count);
    load_run_starts(load, &server, SHAPE_EMPTY, "backlog", count, 64, &result);
    print_calls(bench, "start", 64, &result);
    load_free(load);
    int64_t begin = clock_monotonic_ns(&clock_system), cpu = server_process_cpu_ns(&server);
    load = load_new(loop, &(struct load_options){ .port = server.port, .pollers = 64, .sticky = true });
    load_wait_completions(load, count, 60 * NS_PER_S);
    double seconds = (double)(clock_monotonic_ns(&clock_system) - begin) / (double)NS_PER_S;
    double drained = (double)load_completions(load);
    report_line(bench->report, "| drain (%.0f of %zu) | 64 | **%.0f** | %.2f | | | | **%.0f** | |", drained,
                count, drained / seconds, drained / seconds / machine_echo_rate(&bench->machine, 64),
                us(server_process_cpu_ns(&server) - cpu) / MAX(drained, 1.0));
    bench->errors += count - load_completions(load);
    load_free(load);
    loop_free(loop);
    server_process_stop(&server, SIGTERM);
    server_process_remove(&server);
}
