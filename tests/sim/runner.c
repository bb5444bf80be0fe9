/* runner.c: processes that play seeds, and what is reported of them. */
#include "runner.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CPU_SECONDS_MAX 20 /* of one seed: it loops */

/* What a process tells while it plays, so that it can be read when it has died. */
struct report {
    uint64_t              seed; /* the one being played */
    bool                  over; /* all of its seeds are played */
    uint64_t              trace, failed_count;
    struct sim_outcome    outcome;
    struct sim_statistics statistics;
};
struct job {
    pid_t          process;
    struct report *report;
};

void *runner_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        panic("no memory to share");
    return memory;
}

static void limit_time(void)
{
    const struct itimerval limit = { .it_value = { .tv_sec = CPU_SECONDS_MAX } };
    setitimer(ITIMER_PROF, &limit, NULL);
}

/* The first step at which two runs of one seed differ is what anybody wants to know. */
static void compare(const struct sim_hashes *first, const struct sim_hashes *second,
                    struct sim_outcome *outcome)
{
    size_t step = 0;
    while (step < first->count && step < second->count && first->hash[step] == second->hash[step])
        step++;
    if (step == first->count && step == second->count)
        return;
    snprintf(outcome->invariant, sizeof(outcome->invariant), "determinism");
    snprintf(outcome->failure, sizeof(outcome->failure), "two runs differ from step %zu on", step + 1);
}

static void play(const struct sim_options *options, bool twice, struct sim_statistics *statistics,
                 struct sim_recorder *recorder, struct sim_outcome *outcome)
{
    struct sim_hashes first = { 0 }, second = { 0 };
    limit_time();
    sim_run(options, statistics, recorder, twice ? &first : NULL, outcome);
    if (twice && outcome->invariant[0] == '\0') {
        sim_run(options, statistics, NULL, &second, outcome);
        if (outcome->invariant[0] == '\0')
            compare(&first, &second, outcome);
    }
    free(first.hash);
    free(second.hash);
}

/* The process ended by itself while it played: an assertion, a sanitizer's finding, or the limit of time. */
static void name_death(struct sim_outcome *outcome, int status)
{
    const char *name = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF   ? "no-end-of-a-step"
                       : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? "assertion"
                                                                            : "died";
    snprintf(outcome->invariant, sizeof(outcome->invariant), "%s", name);
    snprintf(outcome->failure, sizeof(outcome->failure), "the process ended, status %d; see above", status);
}

static pid_t fork_child(void)
{
    fflush(stdout);
    fflush(stderr);
    pid_t process = fork();
    if (process < 0)
        panic("no process");
    return process;
}

void runner_try(const struct sim_options *options, bool twice, struct sim_recorder *recorder,
                struct sim_outcome *ret_outcome)
{
    static struct report *report;
    if (report == NULL)
        report = runner_shared(sizeof(*report));
    *report = (struct report){ 0 };
    pid_t process = fork_child();
    if (process == 0) {
        if (recorder == NULL && freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        play(options, twice, &report->statistics, recorder, &report->outcome);
        report->over = true;
        exit(0);
    }
    int status;
    waitpid(process, &status, 0);
    if (!report->over || status != 0)
        name_death(&report->outcome, status);
    *ret_outcome = report->outcome;
}

static void print_kinds(const struct sim_options *options)
{
    int without = 0;
    for (int kind = 0; kind < SIM_FAULT_COUNT; kind++)
        without += options->without[kind];
    bool        only = without > SIM_FAULT_COUNT / 2;
    const char *separator = only ? " --only " : " --without ";
    for (int kind = 0; kind < SIM_FAULT_COUNT; kind++) {
        if (options->without[kind] == only)
            continue;
        fprintf(stderr, "%s%s", separator, sim_fault_name((enum sim_fault)kind));
        separator = ",";
    }
    if (without == SIM_FAULT_COUNT)
        fprintf(stderr, " --only \"\"");
    separator = " --without ";
    for (int feature = 0; feature < SIM_FEATURE_COUNT; feature++) {
        if (!options->without_feature[feature])
            continue;
        fprintf(stderr, "%s%s", separator, sim_feature_name((enum sim_feature)feature));
        separator = ",";
    }
}

void runner_print_command(const struct sim_options *options)
{
    fprintf(stderr, "perdure-sim --seed %" PRIu64, options->seed);
    print_kinds(options);
    if (options->workflows_max != 0)
        fprintf(stderr, " --workflows %u", options->workflows_max);
    if (options->strikes_max != UINT64_MAX)
        fprintf(stderr, " --strikes %" PRIu64, options->strikes_max);
    fprintf(stderr, "\n");
}

/* The seed is played once more with everything written down. */
static void explain(const struct sim_options *options, bool twice)
{
    static struct sim_recorder *recorder;
    struct sim_outcome          outcome;
    if (recorder == NULL)
        recorder = runner_shared(sizeof(*recorder));
    recorder->count = 0;
    runner_try(options, twice, recorder, &outcome);
    uint64_t first = recorder->count > SIM_LINES ? recorder->count - SIM_LINES : 0;
    for (uint64_t line = first; line < recorder->count; line++)
        fprintf(stderr, "  %s\n", recorder->line[line % SIM_LINES]);
}

static void report_failure(const struct runner_options *options, const struct sim_options *run,
                           const struct sim_outcome *outcome, bool first)
{
    if (first && !options->quiet)
        explain(run, options->twice);
    fprintf(stderr, "seed %" PRIu64 " (perdure %s): %s: %s\n", run->seed, PERDURE_VERSION, outcome->invariant,
            outcome->failure);
    fprintf(stderr, "again: ");
    runner_print_command(run);
}

static bool is_time_left(const struct runner_options *options, int64_t began)
{
    return options->seconds == 0 || clock_monotonic_ns(&clock_system) - began < options->seconds * NS_PER_S;
}

/* A process: every `jobs`th seed from `seed` on. Ends at a failure, which its parent reports. */
static void work(const struct runner_options *options, struct report *report, int64_t began)
{
    uint64_t end = options->sim.seed + options->runs;
    for (uint64_t seed = report->seed; seed < end && is_time_left(options, began); seed += options->jobs) {
        struct sim_options run = options->sim;
        run.seed = report->seed = seed;
        play(&run, options->twice, &report->statistics, NULL, &report->outcome);
        if (report->outcome.invariant[0] != '\0')
            exit(0);
        report->trace ^= report->outcome.trace;
    }
    report->over = true;
    exit(0);
}

static void begin(struct job *job, const struct runner_options *options, int64_t began)
{
    memset(&job->report->outcome, 0, sizeof(job->report->outcome));
    job->process = fork_child();
    if (job->process == 0)
        work(options, job->report, began);
}

/* One process has ended: by itself when its seeds are done; else the seed that it played has failed. */
static bool ended(struct job *job, int status, const struct runner_options *options, bool first)
{
    struct report *report = job->report;
    job->process = 0;
    if (report->over && status == 0)
        return true;
    if (report->outcome.invariant[0] == '\0' || status != 0) {
        name_death(&report->outcome, status);
        report->statistics.failed++;
    }
    struct sim_options run = options->sim;
    run.seed = report->seed;
    report->failed_count++;
    report_failure(options, &run, &report->outcome, first);
    report->seed += options->jobs;
    return report->over;
}

static struct job *job_of(struct job *jobs, unsigned count, pid_t process)
{
    for (unsigned i = 0; i < count; i++)
        if (jobs[i].process == process)
            return &jobs[i];
    panic("a process of nobody's has ended");
}

uint64_t runner_play(const struct runner_options *options, struct sim_statistics *ret_statistics,
                     uint64_t *ret_trace)
{
    struct job jobs[RUNNER_JOBS_MAX];
    int64_t    began = clock_monotonic_ns(&clock_system);
    uint64_t   failed = 0;
    unsigned   running = options->jobs;
    for (unsigned i = 0; i < options->jobs; i++) {
        jobs[i].report = runner_shared(sizeof(*jobs[i].report));
        jobs[i].report->seed = options->sim.seed + i;
        begin(&jobs[i], options, began);
    }
    while (running != 0) {
        int         status;
        struct job *job = job_of(jobs, options->jobs, wait(&status));
        bool        over = ended(job, status, options, failed == 0);
        failed += !over || status != 0;
        if (over || options->until_failure || !is_time_left(options, began))
            running--;
        else
            begin(job, options, began);
    }
    memset(ret_statistics, 0, sizeof(*ret_statistics));
    *ret_trace = 0;
    for (unsigned i = 0; i < options->jobs; i++) {
        statistics_add(ret_statistics, &jobs[i].report->statistics);
        *ret_trace ^= jobs[i].report->trace;
    }
    return failed;
}
