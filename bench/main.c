/* main.c: which figures, and where they go. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static const struct section {
    const char *name, *what;
    void (*run)(struct bench *bench);
    bool needs_server;
} sections[] = {
    { "machine", "flushes and bare echo; always measured, for the ratios", section_machine, false },
    { "process", "start, idle memory, size of the binary", section_process, true },
    { "workflows", "none, one and ten activities at 1 to 256 in flight", section_workflows, true },
    { "rest", "disk at rest", section_rest, true },
    { "messages", "signals, queries and updates", section_messages, true },
    { "long", "long histories: describe, reads, reset", section_long, true },
    { "timers", "lateness of 1 s timers", section_timers, true },
    { "backlog", "starts without a worker, then the drain", section_backlog, true },
    { "sleepers", "100,000 sleeping workflows: memory and restart", section_sleepers, true },
    { "polls", "10,000 idle connections with a long poll each", section_polls, true },
    { "go", "the official Go SDK (only with --go)", section_go, true },
};

struct arguments {
    const char *server, *only, *markdown;
    bool        quick, go;
};

static void print_usage(FILE *to)
{
    fprintf(to, "perdure_bench --server PATH [--quick] [--only NAME] [--markdown FILE] [--go]\n\n"
                "  --quick      under a minute, with fewer and shorter runs\n"
                "  --markdown   the report in a file, too\n"
                "  --go         also with the official Go SDK; needs go\n"
                "  --only       one of:\n");
    for (size_t i = 0; i < ARRAY_COUNT(sections); i++)
        fprintf(to, "    %-12s %s\n", sections[i].name, sections[i].what);
}

static bool parse(int argc, char **argv, struct arguments *arguments)
{
    *arguments = (struct arguments){ 0 };
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--server") == 0     ? &arguments->server
                             : strcmp(argv[i], "--only") == 0     ? &arguments->only
                             : strcmp(argv[i], "--markdown") == 0 ? &arguments->markdown
                                                                  : NULL;
        if (value != NULL && i + 1 < argc)
            *value = argv[++i];
        else if (strcmp(argv[i], "--quick") == 0)
            arguments->quick = true;
        else if (strcmp(argv[i], "--go") == 0)
            arguments->go = true;
        else
            return false;
    }
    bool known = arguments->only == NULL;
    for (size_t i = 0; i < ARRAY_COUNT(sections); i++)
        known = known || strcmp(arguments->only, sections[i].name) == 0;
    return known && (arguments->server != NULL ||
                     (arguments->only != NULL && strcmp(arguments->only, "machine") == 0));
}

static void print_processor(struct report *report)
{
    char  line[256], *name = NULL;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "model name", 10) == 0 && (name = strchr(line, ':')) != NULL) {
            name[strcspn(name, "\n")] = '\0';
            break;
        }
    }
    if (file != NULL)
        fclose(file);
    struct utsname system;
    uname(&system);
    report_line(report, "%ld cores (%s), Linux %s, store on `/var/tmp`, SQLite with synchronous=FULL.",
                sysconf(_SC_NPROCESSORS_ONLN), name == NULL ? "unknown" : name + 2, system.release);
}

static void print_head(struct bench *bench)
{
    char      date[32];
    time_t    now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &parts);
    report_line(bench->report, "# Figures of %s, version %s%s\n", date, PERDURE_VERSION,
                bench->quick ? " (quick: short runs, wide errors)" : "");
    print_processor(bench->report);
}

void section_machine(struct bench *bench)
{
    struct machine *machine = &bench->machine;
    machine_measure(machine, "/var/tmp", bench->quick ? 300 * NS_PER_MS : NS_PER_S, bench->runs);
    report_line(bench->report,
                "\n## The machine\n\n| | min | median | max |\n|---|---|---|---|\n"
                "| 4 KiB overwritten and flushed, per s | %.0f | **%.0f** | %.0f |",
                machine->appends.min, machine->appends.median, machine->appends.max);
    for (size_t i = 0; i < ECHO_LEVELS; i++) {
        report_line(bench->report, "| bare HTTP/2 echo, %zu in flight, per s | %.0f | **%.0f** | %.0f |",
                    echo_in_flight[i], machine->echo[i].min, machine->echo[i].median, machine->echo[i].max);
        report_line(bench->report, "| the echoing thread's CPU, us per call | %.2f | **%.2f** | %.2f |",
                    machine->echo_cpu[i].min, machine->echo_cpu[i].median, machine->echo_cpu[i].max);
    }
}

/* Both ends of 10,000 connections: the server raises its own limit. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    if (!parse(argc, argv, &arguments)) {
        print_usage(stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    struct bench bench = { .binary = arguments.server,
                           .go_source = arguments.go ? BENCH_SOURCE_DIRECTORY "/go" : NULL,
                           .report = report_new(arguments.markdown),
                           .quick = arguments.quick,
                           .runs = arguments.quick ? 1 : 3,
                           .run_s = arguments.quick ? 0.5 : 1.5 };
    int64_t      begin = clock_monotonic_ns(&clock_system);
    print_head(&bench);
    for (size_t i = 0; i < ARRAY_COUNT(sections); i++) {
        const struct section *section = &sections[i];
        bool                  wanted = arguments.only == NULL || strcmp(arguments.only, section->name) == 0;
        if (section->run == section_go && bench.go_source == NULL)
            wanted = false;
        if (wanted || !section->needs_server)
            section->run(&bench);
    }
    report_line(bench.report, "\n%zu calls failed. The run took %.0f s.", bench.errors,
                (double)(clock_monotonic_ns(&clock_system) - begin) / (double)NS_PER_S);
    size_t errors = bench.errors;
    report_end(bench.report);
    return errors == 0 ? 0 : 1;
}
