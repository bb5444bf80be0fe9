/* main.c: perdure-power: the real store and the whole server above it, on a disk that fails. */
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "replay.h"
#include "stack.h"

struct asked {
    uint64_t            seed, points, runs, first;
    unsigned            repeats, events;
    enum system_fault   fault;
    enum system_flushes flushes;
    bool                verbose;
};

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static uint64_t number(const char *text)
{
    char    *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return value;
}

/* Traces of one seed after the other, until so many images were recovered. */
static int cut_traces(const struct asked *asked)
{
    struct replay_counts    counts = { .points = 0 };
    /* What a process left to be flushed is shown by the next one; and then the power goes. */
 const struct stack_plan plan = { .event = STACK_KILL, .events = asked->events, .distance = 200 };
    uint64_t                seed = asked->seed, failed = 0;
    int64_t                 begin = cpu_ns(), recorded = 0;
    for (; counts.recoveries < asked->points; seed++) {
        struct system_trace trace = { .operations = NULL };
        struct stack        stack;
        int64_t             at = cpu_ns();
        failed += !stack_run(&stack, seed, &plan, &trace, asked->flushes);
        recorded += cpu_ns() - at;
        uint64_t wrong = counts.lost + counts.damaged;
        replay(&trace, seed, asked->repeats, asked->points - counts.recoveries, asked->verbose,
               &counts);
        if (counts.lost + counts.damaged != wrong)
            fprintf(stderr, "seed %" PRIu64 ": %" PRIu64 " lost, %" PRIu64 " damaged\n", seed, counts.lost,
                    counts.damaged);
        if (asked->verbose)
            fprintf(stderr,
                    "seed %" PRIu64 ": %zu operations, trace %016" PRIx64 ", %" PRIu64 " recoveries\n", seed,
                    trace.count, trace.hash, counts.recoveries);
        system_trace_release(&trace);
    }
    double took = (double)(cpu_ns() - begin) / 1e9;
    printf("%" PRIu64 " recoveries at %" PRIu64 " points of %" PRIu64 " runs, %" PRIu64 " contents: %" PRIu64
           " lost, %" PRIu64 " damaged, %" PRIu64
           " runs failed; %.0f a second of CPU (%.1f s of %.1f recording)\n",
           counts.recoveries, counts.points, seed - asked->seed, counts.contents, counts.lost,
           counts.damaged, failed, (double)counts.recoveries / took, (double)recorded / 1e9, took);
    return counts.lost + counts.damaged + failed == 0 ? 0 : 1;
}

/* Simulations in which the power goes, or something fails, now and then. */
static int run_stacks(const struct asked *asked)
{
    uint64_t failed = 0, faults = 0, deaths = 0, opens = 0;
    int64_t  begin = cpu_ns();
    for (uint64_t i = 0; i < asked->runs; i++) {
        struct stack_plan plan = {
            .cuts = asked->cuts, .distance = 200, .fault = asked->fault, .first = asked->first
        };
        struct stack stack;
        failed += !stack_run(&stack, asked->seed + i, &plan, NULL, asked->flushes);
        faults += stack.events;
        deaths += stack.deaths;
        opens += stack.opens_failed;
    }
    double took = (double)(cpu_ns() - begin) / 1e9;
    printf("%" PRIu64 " runs, %" PRIu64 " %s, %" PRIu64 " of them while the store was opened, %" PRIu64
           " deaths in all: %" PRIu64 " runs failed; %.1f s of CPU\n",
           asked->runs, faults,
           asked->fault == SYSTEM_NO_FAULT ? "power cuts" : system_fault_names[asked->fault], opens,
           deaths, failed, took);
    return failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct asked asked = { .seed = 1, .points = 10000, .runs = 20, .repeats = 2, .events = 20 };
    const char  *what = argc > 1 ? argv[1] : "";
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--verbose") == 0) {
            asked.verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0)
            asked.seed = number(value);
        else if (strcmp(argv[i], "--points") == 0)
            asked.points = number(value);
        else if (strcmp(argv[i], "--runs") == 0)
            asked.runs = number(value);
        else if (strcmp(argv[i], "--repeats") == 0)
            asked.repeats = (unsigned)number(value);
        else if (strcmp(argv[i], "--events") == 0)
            asked.events = (unsigned)number(value);
        else if (strcmp(argv[i], "--first") == 0)
            asked.first = number(value);
        else if (strcmp(argv[i], "--fault") == 0)
            asked.fault = (enum system_fault)number(value);
        else if (strcmp(argv[i], "--flushes") == 0)
            asked.flushes = (enum system_flushes)number(value);
        else
            what = "";
        i++;
    }
    log_set_level(LOG_OFF);
    if (strcmp(what, "cuts") == 0)
        return cut_traces(&asked);
    if (strcmp(what, "live") == 0)
        return run_stacks(&asked);
    fprintf(stderr, "usage: perdure-power cuts|live ...\n");
    return 2;
}
