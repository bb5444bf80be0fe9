/* main.c: perdure-sim: what the command line asks for. Exit 0: every run was clean; 1: one was not; 2: a wrong command. */
#include <stdio.h>

#include "base/log.h"
#include "base/mutant.h"
#include "runner.h"
#include "shrink.h"

static const char usage[] =
    "usage: perdure-sim [--seed S] [--runs N] [--seconds T] [--jobs J]   N seeds from S on, or as many as T "
    "seconds allow\n"
    "  --twice            each seed is played twice, and must go the same way, step by step\n"
    "  --statistics       tables of what was covered: faults, methods and answers, methods under faults\n"
    "  --until-failure    ends at the first one\n"
    "  --quiet            failures without the last events before them\n"
    "  --verbose          every event of one seed, on the standard error\n"
    "  --shrink           the least of a failing seed that fails in the same way, and the command that plays "
    "it\n"
    "  --without KIND,..  these kinds of faults do not strike, and these features (of clients, workers, "
    "programs) "
    "are not there; `--without help` lists them\n"
    "  --only KIND,..     no others do\n"
    "  --workflows N      at most N workflows\n"
    "  --strikes N        faults end after N have struck\n";

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

static void print_names(void)
{
    for (int kind = 0; kind < SIM_FAULT_COUNT; kind++)
        printf("%s\n", sim_fault_name((enum sim_fault)kind));
    printf("\nfeatures\n");
    for (int feature = 0; feature < SIM_FEATURE_COUNT; feature++)
        printf("%s\n", sim_feature_name((enum sim_feature)feature));
    exit(0);
}

static void set_kinds(const char *list, bool value, struct sim_options *options)
{
    if (strcmp(list, "help") == 0)
        print_names();
    for (const char *at = list; *at != '\0';) {
        size_t           size = strcspn(at, ",");
        enum sim_fault   kind = sim_fault_named(at, size);
        enum sim_feature feature = sim_feature_named(at, size);
        if (kind != SIM_FAULT_COUNT)
            options->without[kind] = value;
        else if (feature != SIM_FEATURE_COUNT && value)
            options->without_feature[feature] = true;
        else
            refuse("no kind of fault, and no feature to leave out", at);
        at += size + (at[size] == ',');
    }
}

static void only(const char *list, struct sim_options *options)
{
    for (int kind = 0; kind < SIM_FAULT_COUNT; kind++)
        options->without[kind] = true;
    set_kinds(list, false, options);
}

struct command {
    struct runner_options runner;
    bool                  verbose, statistics, shrink;
};

static void parse_value(const char *name, const char *value, struct command *command)
{
    struct runner_options *runner = &command->runner;
    if (strcmp(name, "--seed") == 0)
        runner->sim.seed = number(value);
    else if (strcmp(name, "--runs") == 0)
        runner->runs = number(value);
    else if (strcmp(name, "--seconds") == 0)
        runner->seconds = (int64_t)number(value);
    else if (strcmp(name, "--jobs") == 0)
        runner->jobs = (unsigned)number(value);
    else if (strcmp(name, "--workflows") == 0)
        runner->sim.workflows_max = (unsigned)number(value);
    else if (strcmp(name, "--strikes") == 0)
        runner->sim.strikes_max = number(value);
    else if (strcmp(name, "--without") == 0)
        set_kinds(value, true, &runner->sim);
    else if (strcmp(name, "--only") == 0)
        only(value, &runner->sim);
    else
        refuse("unknown", name);
}

static void parse(int argc, char **argv, struct command *command)
{
    struct {
        const char *name;
        bool       *value;
    } flags[] = {
        { "--twice", &command->runner.twice },    { "--until-failure", &command->runner.until_failure },
        { "--quiet", &command->runner.quiet },    { "--verbose", &command->verbose },
        { "--statistics", &command->statistics }, { "--shrink", &command->shrink },
    };
    for (int i = 1; i < argc; i++) {
        size_t flag = 0;
        while (flag < ARRAY_COUNT(flags) && strcmp(argv[i], flags[flag].name) != 0)
            flag++;
        if (flag < ARRAY_COUNT(flags))
            *flags[flag].value = true;
        else if (i + 1 < argc)
            parse_value(argv[i], argv[i + 1], command), i++;
        else
            refuse("unknown", argv[i]);
    }
    struct runner_options *runner = &command->runner;
    if (runner->seconds != 0 && runner->runs == 0)
        runner->runs = UINT64_MAX - runner->sim.seed;
    runner->runs = MAX(runner->runs, UINT64_C(1));
    if (runner->jobs < 1 || runner->jobs > RUNNER_JOBS_MAX)
        refuse("jobs", "from 1 to 16");
}

/* In this process, so that a debugger sees it. */
static int play_verbose(const struct sim_options *options)
{
    struct sim_recorder  *recorder = xcalloc(1, sizeof(*recorder));
    struct sim_statistics statistics = { 0 };
    struct sim_outcome    outcome;
    log_set_level(LOG_INFO);
    recorder->prints = true;
    sim_run(options, &statistics, recorder, NULL, &outcome);
    free(recorder);
    return outcome.invariant[0] == '\0' ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct sim_statistics statistics;
    struct command command = { .runner = { .jobs = 1, .sim = { .seed = 1, .strikes_max = UINT64_MAX } } };
    uint64_t       trace;
    mutant_plant();
    parse(argc, argv, &command);
    log_set_level(LOG_OFF);
    if (command.verbose)
        return play_verbose(&command.runner.sim);
    if (command.shrink) {
        if (!shrink(&command.runner.sim))
            return 0;
        runner_print_command(&command.runner.sim);
        return 1;
    }
    uint64_t failed = runner_play(&command.runner, &statistics, &trace);
    printf("%" PRIu64 " runs from seed %" PRIu64 ", %" PRIu64 " failed, trace %016" PRIx64 "\n",
           statistics.runs, command.runner.sim.seed, failed, trace);
    if (failed == 0 || command.statistics)
        statistics_print(&statistics, command.statistics);
    return failed == 0 ? 0 : 1;
}
