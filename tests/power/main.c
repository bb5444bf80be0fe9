/* main.c: perdure-power: the real store and the whole server above it, on a disk that fails. Exit 0: all was clean; 1: something
 * was not, with its seed on the standard error; 2: a wrong command. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../sim/runner.h"
#include "base/log.h"
#include "base/mutant.h"
#include "replay.h"
#include "stack.h"

#define SEED_SECONDS_MAX 600 /* then it hangs, and ends by a signal */

static const char usage[] =
    "usage: perdure-power COMMAND [--seed S] [--jobs J] [--verbose]\n"
    "  cuts [--points N]     records runs and cuts the power before every change of the disk, until N images "
    "were recovered\n"
    "  live [--runs N]       cuts the power in runs, which go on with what is left\n"
    "  faults [--runs N] [--fault io|full|short|memory]   the same, but calls fail\n"
    "  every [--stride K] [--fault ..]   the Kth, 2Kth, .. call of one small run fails, until one has fewer\n"
    "  --events N            cuts, kills or faults in each run\n"
    "  --repeats N           cuts: how often what survives is drawn at each point\n"
    "  --flushes normal|none a disk that takes no notice of flushes: exit 0 when that is found\n";

struct share { /* of a process */
    uint64_t             seed, runs, failed, events, deaths, opens, verified;
    struct replay_counts counts;
    int64_t              cpu_ns;
    bool                 over;
};
struct command {
    void (*run)(const struct command *command, struct share *share, uint64_t seed);
    uint64_t            seed, points, runs, stride;
    unsigned            repeats, events, jobs;
    enum system_fault   fault;
    enum system_flushes flushes;
    bool                verbose;
};

/* --- What a process does with one seed --- */

static bool play(const struct command *command, struct share *share, const struct sim_options *options,
                 const struct stack_plan *plan, struct system_trace *trace)
{
    struct stack stack;
    bool         good = stack_run(&stack, options, plan, trace, command->flushes);
    share->runs++;
    share->failed += !good;
    share->events += stack.events;
    share->deaths += stack.deaths;
    share->opens += stack.opens_failed;
    share->verified += stack.verified;
    return stack.events != 0;
}

/* What a process left to be flushed is shown by the next one; so in these runs processes die, and then the power goes. */
static void record_and_cut(const struct command *command, struct share *share, uint64_t seed)
{
    const struct stack_plan  plan = { .event = STACK_KILL, .events = command->events, .distance = 200 };
    const struct sim_options options = { .seed = seed, .strikes_max = UINT64_MAX };
    struct system_trace      trace = { .operations = NULL };
    uint64_t                 wrong = share->counts.lost + share->counts.damaged;
    (void)play(command, share, &options, &plan, &trace);
    replay(&trace, seed, command->repeats, command->points / command->jobs, command->verbose, &share->counts);
    if (share->counts.lost + share->counts.damaged != wrong) {
        share->failed++;
        fprintf(stderr, "seed %" PRIu64 ": what was answered is lost, or something else is there\n", seed);
    }
    if (command->verbose)
        fprintf(stderr, "seed %" PRIu64 ": %zu operations, trace %016" PRIx64 "\n", seed, trace.count,
                trace.hash);
    system_trace_release(&trace);
}

static void play_on(const struct command *command, struct share *share, uint64_t seed)
{
    const struct stack_plan  plan = { .event = command->fault == SYSTEM_NO_FAULT ? STACK_CUT : STACK_FAULT,
                                      .events = command->events,
                                      .distance = 150,
                                      .fault = command->fault };
    const struct sim_options options = { .seed = seed, .strikes_max = UINT64_MAX };
    (void)play(command, share, &options, &plan, NULL);
}

static void fail_every(const struct command *command, struct share *share, uint64_t seed)
{
    const struct sim_options options = { .seed = seed, .strikes_max = 0, .workflows_max = 2 };
    for (uint64_t call = command->stride;; call += command->stride) {
        const struct stack_plan plan = {
            .event = STACK_FAULT, .events = 1, .first = call, .fault = command->fault
        };
        if (!play(command, share, &options, &plan, NULL))
            return;
    }
}

/* --- Processes --- */

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static bool is_over(const struct command *command, const struct share *share, uint64_t seed)
{
    return command->points != 0 ? share->counts.recoveries >= command->points / command->jobs
                                : seed >= command->seed + command->runs;
}

static void work(const struct command *command, struct share *share)
{
    int64_t begin = cpu_ns() - share->cpu_ns;
    for (; !is_over(command, share, share->seed); share->seed += command->jobs) {
        alarm(SEED_SECONDS_MAX);
        command->run(command, share, share->seed);
        share->cpu_ns = cpu_ns() - begin;
    }
    share->over = true;
    exit(0);
}

static pid_t begin_work(const struct command *command, struct share *share)
{
    fflush(stdout);
    pid_t process = fork();
    if (process < 0)
        panic("no process");
    if (process == 0)
        work(command, share);
    return process;
}

static void sum_up(const struct command *command, struct share **shares, struct share *ret_sum)
{
    *ret_sum = (struct share){ .seed = 0 };
    for (unsigned i = 0; i < command->jobs; i++) {
        const struct share *share = shares[i];
        ret_sum->runs += share->runs;
        ret_sum->failed += share->failed;
        ret_sum->events += share->events;
        ret_sum->deaths += share->deaths;
        ret_sum->opens += share->opens;
        ret_sum->verified += share->verified;
        ret_sum->cpu_ns += share->cpu_ns;
        ret_sum->counts.points += share->counts.points;
        ret_sum->counts.recoveries += share->counts.recoveries;
        ret_sum->counts.contents += share->counts.contents;
        ret_sum->counts.lost += share->counts.lost;
        ret_sum->counts.damaged += share->counts.damaged;
        for (size_t j = 0; j < DISK_SURVIVAL_COUNT; j++)
            ret_sum->counts.survivals[j] += share->counts.survivals[j];
    }
}

static void print(const struct command *command, const struct share *sum)
{
    double seconds = (double)sum->cpu_ns / 1e9;
    printf("%" PRIu64 " runs, %" PRIu64 " processes died, %" PRIu64 " times verified, ", sum->runs,
           sum->deaths, sum->verified);
    if (command->points != 0) {
        printf("%" PRIu64 " points, %" PRIu64 " images recovered (", sum->counts.points,
               sum->counts.recoveries);
        for (size_t i = 0; i < DISK_SURVIVAL_COUNT; i++)
            printf("%s%s %" PRIu64, i == 0 ? "" : ", ", disk_survival_names[i], sum->counts.survivals[i]);
        printf("), %" PRIu64 " contents: %" PRIu64 " lost, %" PRIu64 " damaged, ", sum->counts.contents,
               sum->counts.lost, sum->counts.damaged);
    } else {
        printf("%" PRIu64 " events (%s), %" PRIu64 " of them while the store was opened: ", sum->events,
               command->fault == SYSTEM_NO_FAULT ? "power cuts and kills"
                                                 : system_fault_names[command->fault],
               sum->opens);
    }
    printf("%" PRIu64 " failed; %.1f s of CPU\n", sum->failed, seconds);
    fflush(stdout);
}

static unsigned share_of(const pid_t *processes, unsigned count, pid_t process)
{
    for (unsigned i = 0; i < count; i++)
        if (processes[i] == process)
            return i;
    panic("a process of nobody's has ended");
}

/* The parent wakes now and then to say how far they are. */
static void on_alarm(int signal_ UNUSED) {}

static void watch(const struct command *command)
{
    if (!isatty(STDOUT_FILENO) && !command->verbose)
        return;
    sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
    alarm(10);
}

static int run_all(const struct command *command)
{
    struct share *shares[RUNNER_JOBS_MAX], sum;
    pid_t         processes[RUNNER_JOBS_MAX];
    for (unsigned i = 0; i < command->jobs; i++) {
        shares[i] = runner_shared(sizeof(*shares[i]));
        shares[i]->seed = command->seed + i;
        processes[i] = begin_work(command, shares[i]);
    }
    watch(command);
    for (unsigned running = command->jobs; running != 0;) {
        int   status;
        pid_t process = wait(&status);
        if (process < 0) { /* the alarm */
            sum_up(command, shares, &sum);
            print(command, &sum);
            alarm(10);
            continue;
        }
        unsigned i = share_of(processes, command->jobs, process);
        if (status != 0) { /* an assertion, or what a sanitizer found */
            shares[i]->failed++;
            fprintf(stderr, "seed %" PRIu64 ": the process ended, status %d\n", shares[i]->seed, status);
            shares[i]->seed += command->jobs;
        }
        if (shares[i]->over || status != 0)
            running--;
        else
            processes[i] = begin_work(command, shares[i]);
    }
    sum_up(command, shares, &sum);
    print(command, &sum);
    if (command->flushes != SYSTEM_FLUSHES_DONE)
        return sum.counts.lost != 0 ? 0 : 1;
    return sum.failed == 0 ? 0 : 1;
}

/* --- The command line --- */

static void refuse(const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n%s", what, text, usage);
    exit(2);
}

static uint64_t number(const char *text)
{
    char    *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0')
        refuse("not a number", text);
    return value;
}

static enum system_fault fault_named(const char *name)
{
    for (enum system_fault fault = SYSTEM_IO_ERROR; fault < SYSTEM_FAULT_COUNT; fault++)
        if (strcmp(name, system_fault_names[fault]) == 0)
            return fault;
    refuse("no such fault", name);
    return SYSTEM_NO_FAULT;
}

static void parse_value(const char *name, const char *value, struct command *command)
{
    if (strcmp(name, "--seed") == 0)
        command->seed = number(value);
    else if (strcmp(name, "--points") == 0 && command->points != 0)
        command->points = MAX(number(value), UINT64_C(1));
    else if (strcmp(name, "--runs") == 0 && command->points == 0)
        command->runs = number(value);
    else if (strcmp(name, "--stride") == 0)
        command->stride = MAX(number(value), UINT64_C(1));
    else if (strcmp(name, "--repeats") == 0)
        command->repeats = (unsigned)number(value);
    else if (strcmp(name, "--events") == 0)
        command->events = (unsigned)number(value);
    else if (strcmp(name, "--jobs") == 0)
        command->jobs = (unsigned)number(value);
    else if (strcmp(name, "--fault") == 0 && command->fault != SYSTEM_NO_FAULT)
        command->fault = fault_named(value);
    else if (strcmp(name, "--flushes") == 0)
        command->flushes = strcmp(value, "normal") == 0 ? SYSTEM_FLUSHES_OF_COMMITS_IGNORED
                                                        : SYSTEM_FLUSHES_IGNORED;
    else
        refuse("unknown", name);
}

int main(int argc, char **argv)
{
    const char    *what = argc > 1 ? argv[1] : "";
    struct command command = { .seed = 1, .runs = 20, .stride = 1, .repeats = 2, .events = 20, .jobs = 1 };
    mutant_plant();
    if (strcmp(what, "cuts") == 0) {
        command.run = record_and_cut;
        command.points = 10000;
    } else if (strcmp(what, "live") == 0) {
        command.run = play_on;
    } else if (strcmp(what, "faults") == 0 || strcmp(what, "every") == 0) {
        command.run = strcmp(what, "faults") == 0 ? play_on : fail_every;
        command.runs = strcmp(what, "faults") == 0 ? command.runs : 1;
        command.fault = SYSTEM_IO_ERROR;
    } else {
        refuse("no command", what);
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            command.verbose = true;
        else if (i + 1 < argc)
            parse_value(argv[i], argv[i + 1], &command), i++;
        else
            refuse("unknown", argv[i]);
    }
    if (command.jobs < 1 || command.jobs > RUNNER_JOBS_MAX)
        refuse("jobs", "from 1 to 16");
    log_set_level(LOG_OFF);
    return run_all(&command);
}
