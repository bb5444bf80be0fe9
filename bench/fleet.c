/* fleet.c: the sections about the process itself: its start, its size, and what many sleepers and many pollers weigh. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define STARTS_MAX     20
#define SERVICE        "/temporal.api.workflowservice.v1.WorkflowService/"
#define MIB            (1024.0 * 1024.0)
#define POLLS_PER_NAME 100

static double ms(int64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

static struct spread once(double value)
{
    return (struct spread){ value, value, value };
}

/* --- a command, and its first line of output --- */

static pid_t spawn(char *const arguments[], FILE **ret_output)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        panic("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execvp(arguments[0], arguments);
        _exit(127);
    }
    close(out[1]);
    *ret_output = fdopen(out[0], "r");
    if (pid < 0 || *ret_output == NULL)
        panic("%s cannot be started", arguments[0]);
    return pid;
}

static bool wait_success(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static double stripped_size(const char *binary)
{
    char        path[] = "/tmp/perdure-bench-XXXXXX";
    struct stat status = { 0 };
    FILE       *output;
    int         fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        panic("%s: %s", path, strerror(errno));
    close(fd);
    pid_t pid = spawn((char *[]){ "strip", "-o", path, (char *)binary, NULL }, &output);
    fclose(output);
    if (!wait_success(pid) || stat(path, &status) != 0)
        fprintf(stderr, "bench: the binary cannot be stripped\n");
    unlink(path);
    return (double)status.st_size;
}

/* --- start --- */

void section_process(struct bench *bench)
{
    double                fresh[STARTS_MAX], again[STARTS_MAX], rss[STARTS_MAX];
    size_t                starts = bench->quick ? 5 : STARTS_MAX;
    struct server_process server;
    for (size_t i = 0; i < starts; i++) {
        server_process_start(&server, bench->binary, "256M");
        fresh[i] = ms(wait_answer(server.port) - server.started_ns);
        server_process_stop(&server, SIGTERM);
        server_process_restart(&server, bench->binary, "256M");
        again[i] = ms(wait_answer(server.port) - server.started_ns);
        rss[i] = (double)server_process_rss(&server) / MIB;
        server_process_stop(&server, SIGTERM);
        server_process_remove(&server);
    }
    struct spread first = spread_of(fresh, starts), later = spread_of(again, starts),
                  idle = spread_of(rss, starts);
    double size = stripped_size(bench->binary) / MIB;
    report_line(bench->report,
                "\n## The process\n\n| | min | median | max |\n|---|---|---|---|\n"
                "| start to first answered call, new store, ms | %.1f | **%.1f** | %.1f |\n"
                "| the same, store of an earlier run, ms | %.1f | **%.1f** | %.1f |\n"
                "| idle RSS, MiB | %.1f | **%.1f** | %.1f |\n| stripped binary, MiB | | **%.2f** | |",
                first.min, first.median, first.max, later.min, later.median, later.max, idle.min, idle.median,
                idle.max, size);
    report_goal(bench->report, "start to first answered call, new store", first, "ms", AT_MOST, 50);
    report_goal(bench->report, "idle RSS", idle, "MiB", AT_MOST, 20);
    report_goal(bench->report, "stripped binary", once(size), "MiB", AT_MOST, 5);
}

/* --- sleepers --- */

/* The monotonic time at which one of the sleepers has been described. */
static int64_t describe(const struct server_process *server, size_t number)
{
    struct wire_client *client = wire_client_new(
        &(struct wire_client_options){ .host = "127.0.0.1", .port = server->port });
    struct buffer                   request;
    struct arena                    arena;
    struct error                    error;
    struct bytes                    reply;
    char                            id[64];
    struct common_WorkflowExecution execution = { 0 };
    snprintf(id, sizeof id, "sleeper-%zu", number);
    execution.workflow_id = bytes_of_text(id);
    struct workflowservice_DescribeWorkflowExecutionRequest describe = { .namespace = BYTES("default"),
                                                                         .execution = &execution };
    buffer_init(&request);
    arena_init(&arena, SIZE_MAX);
    pb_encode(&pb_workflowservice_DescribeWorkflowExecutionRequest, &describe, &request);
    if (wire_client_call(client, BYTES(SERVICE "DescribeWorkflowExecution"), buffer_bytes(&request), NULL, 0,
                         30 * NS_PER_S, &arena, &reply, &error) != ST_OK)
        panic("DescribeWorkflowExecution of %s: %s", id, error.message);
    int64_t now = clock_monotonic_ns(&clock_system);
    arena_release(&arena);
    buffer_release(&request);
    wire_client_free(client);
    return now;
}

static struct spread restart(struct bench *bench, struct server_process *server, int signal_number,
                             size_t sleepers, const char *how)
{
    double first[3], described[3];
    size_t runs = bench->quick ? 1 : ARRAY_COUNT(first);
    for (size_t i = 0; i < runs; i++) {
        server_process_stop(server, signal_number);
        server_process_restart(server, bench->binary, "128M");
        first[i] = ms(wait_answer(server->port) - server->started_ns);
        described[i] = ms(describe(server, (i + 1) * sleepers / 5) - server->started_ns);
    }
    struct spread answered = spread_of(first, runs), found = spread_of(described, runs);
    report_line(bench->report, "| restart after %s to first answered call, ms | %.0f | **%.0f** | %.0f |",
                how, answered.min, answered.median, answered.max);
    report_line(bench->report, "| restart after %s to one of them described, ms | %.0f | **%.0f** | %.0f |",
                how, found.min, found.median, found.max);
    return found;
}

void section_sleepers(struct bench *bench)
{
    size_t                count = bench->quick ? 10000 : 100000;
    struct server_process server;
    struct load_result    result;
    server_process_start(&server, bench->binary, "128M");
    struct loop *loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    struct load *load = load_new(loop, &(struct load_options){
                                           .port = server.port, .pollers = 64, .sticky = true });
    load_run_starts(load, &server, SHAPE_SLEEPER, "sleeper", count, 64, &result);
    bench->errors += result.errors;
    samples_release(&result.latency);
    load_wait_completions(load, count, 60 * NS_PER_S);
    size_t asleep = load_completions(load);
    load_free(load);
    loop_free(loop);
    double rss = (double)server_process_rss(&server) / MIB;
    report_line(bench->report,
                "\n## Sleeping workflows\n\n%zu of %zu workflows sleep for 30 days; the server runs with "
                "`--memory 128M`.\n\n"
                "| | min | median | max |\n|---|---|---|---|\n| RSS, MiB | | **%.0f** | |",
                asleep, count, rss);
    bench->errors += count - asleep;
    struct spread stopped = restart(bench, &server, SIGTERM, count, "SIGTERM");
    struct spread killed = restart(bench, &server, SIGKILL, count, "SIGKILL");
    double        rss_after = (double)server_process_rss(&server) / MIB;
    report_line(bench->report, "| RSS after the last restart, MiB | | **%.0f** | |", rss_after);
    server_process_stop(&server, SIGTERM);
    report_line(bench->report, "| store file, bytes per sleeper | | **%.0f** | |",
                (double)server_process_disk(&server) / (double)count);
    server_process_remove(&server);
    report_goal(bench->report,
                bench->quick ? "RSS with 10,000 sleeping workflows" : "RSS with 100,000 sleeping workflows",
                once(rss), "MiB", AT_MOST, 256);
    report_goal(bench->report, "restart with them after SIGTERM, to one described", stopped, "ms", AT_MOST,
                2000);
    report_goal(bench->report, "restart with them after SIGKILL, to one described", killed, "ms", AT_MOST,
                2000);
}

/* --- idle polls, each on a connection of its own --- */

struct idle {
    struct wire_client     *client;
    struct wire_client_call poll, after;
    struct polls           *polls;
};
struct polls {
    struct loop *loop;
    struct idle *idles;
    size_t       count, begun, parked, failed;
    bool         stopping;
};

static void poll_ended(struct wire_client_call *call, enum status status UNUSED, struct bytes reply UNUSED,
                       const struct error *error)
{
    struct polls *polls = ((struct idle *)call->context)->polls;
    if (!polls->stopping && polls->failed++ == 0)
        fprintf(stderr, "bench: an idle poll ended: %s\n", error->message);
}

static void open_next(struct polls *polls);

/* The calls of one connection arrive in order: when the one behind the poll is answered, the poll has been taken. */
static void after_answered(struct wire_client_call *call, enum status status, struct bytes reply UNUSED,
                           const struct error *error)
{
    struct polls *polls = ((struct idle *)call->context)->polls;
    if (polls->stopping)
        return;
    if (status != ST_OK)
        panic("connection %zu: %s", polls->parked, error->message);
    polls->parked++;
    open_next(polls);
    if (polls->parked == polls->count)
        loop_stop(polls->loop);
}

static void open_next(struct polls *polls)
{
    if (polls->begun == polls->count)
        return;
    struct idle               *idle = &polls->idles[polls->begun];
    struct buffer              request;
    char                       name[32];
    struct taskqueue_TaskQueue queue = { 0 };
    snprintf(name, sizeof name, "idle-%zu", polls->begun++ / POLLS_PER_NAME);
    queue.name = bytes_of_text(name);
    struct workflowservice_PollWorkflowTaskQueueRequest poll = { .namespace = BYTES("default"),
                                                                 .task_queue = &queue,
                                                                 .identity = BYTES("bench") };
    buffer_init(&request);
    pb_encode(&pb_workflowservice_PollWorkflowTaskQueueRequest, &poll, &request);
    idle->poll.path = BYTES(SERVICE "PollWorkflowTaskQueue");
    idle->poll.request = buffer_bytes(&request);
    idle->poll.timeout_ns = 300 * NS_PER_S;
    idle->poll.done = poll_ended;
    idle->poll.context = idle;
    wire_client_start(idle->client, &idle->poll);
    idle->after.path = BYTES(SERVICE "GetSystemInfo");
    idle->after.timeout_ns = 60 * NS_PER_S;
    idle->after.done = after_answered;
    idle->after.context = idle;
    wire_client_start(idle->client, &idle->after);
    buffer_release(&request);
}

void section_polls(struct bench *bench)
{
    struct server_process server;
    struct polls          polls = { .count = bench->quick ? 1000 : 10000 };
    server_process_start(&server, bench->binary, "256M");
    wait_answer(server.port);
    int64_t before = server_process_rss(&server);
    polls.loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    polls.idles = xcalloc(polls.count, sizeof *polls.idles);
    for (size_t i = 0; i < polls.count; i++) {
        polls.idles[i].polls = &polls;
        polls.idles[i].client = wire_client_new(
            &(struct wire_client_options){ .loop = polls.loop, .host = "127.0.0.1", .port = server.port });
    }
    for (size_t i = 0; i < 64; i++)
        open_next(&polls);
    loop_run(polls.loop);
    double each = (double)(server_process_rss(&server) - before) / (double)polls.count / 1024;
    polls.stopping = true;
    report_line(
        bench->report,
        "\n## Idle long polls\n\n%zu connections with a poll each (%zu ended early): **%.1f KiB** of RSS per "
        "connection and poll.",
        polls.count, polls.failed, each);
    report_goal(bench->report, "RSS per idle long poll and connection", once(each), "KiB", AT_MOST, 20);
    bench->errors += polls.failed;
    for (size_t i = 0; i < polls.count; i++)
        wire_client_free(polls.idles[i].client);
    free(polls.idles);
    loop_free(polls.loop);
    server_process_stop(&server, SIGTERM);
    server_process_remove(&server);
}

/* --- the official Go SDK as client and worker --- */

static void run_go(struct bench *bench, const char *program, const struct server_process *server)
{
    char    address[32], count[16], line[256], name[16] = "";
    double  rate = 0, p50 = 0, p95 = 0, p99 = 0, cpu[3];
    int64_t begin = 0;
    size_t  runs = 0;
    FILE   *output;
    snprintf(address, sizeof address, "127.0.0.1:%u", server->port);
    snprintf(count, sizeof count, "%u", bench->quick ? 300U : 1500U);
    pid_t pid = spawn((char *[]){ (char *)program, address, count, "16", "3", NULL }, &output);
    /* The program says "begin" before each run, and behind it what it measured. */
    while (fgets(line, sizeof line, output) != NULL && runs < ARRAY_COUNT(cpu)) {
        if (strncmp(line, "begin", 5) == 0)
            begin = server_process_cpu_ns(server);
        else if (sscanf(line, "%15s %lf %lf %lf %lf", name, &rate, &p50, &p95, &p99) == 5) {
            cpu[runs] = (double)(server_process_cpu_ns(server) - begin) / (double)NS_PER_US /
                        strtod(count, NULL);
            report_line(bench->report, "| %zu | **%.0f** | %.2f | %.2f | %.2f | **%.0f** |", runs + 1, rate,
                        p50, p95, p99, cpu[runs]);
            runs++;
        }
    }
    fclose(output);
    if (!wait_success(pid) || runs != ARRAY_COUNT(cpu)) {
        fprintf(stderr, "bench: the Go program did not finish\n");
        bench->errors++;
        return;
    }
    report_goal(bench->report, "server CPU per one-activity workflow of the Go SDK, 16 in flight",
                spread_of(cpu, runs), "us", AT_MOST, 300);
}

void section_go(struct bench *bench)
{
    struct server_process server;
    char                  program[] = "/tmp/perdure-bench-go-XXXXXX";
    FILE                 *output;
    int                   fd = mkostemp(program, O_CLOEXEC);
    if (fd < 0)
        panic("%s: %s", program, strerror(errno));
    close(fd);
    pid_t pid = spawn((char *[]){ "go", "build", "-C", (char *)bench->go_source, "-o", program, ".", NULL },
                      &output);
    fclose(output);
    if (wait_success(pid)) {
        report_line(
            bench->report,
            "\n## The Go SDK\n\nOne-activity workflows, 16 in flight, client and worker of the official "
            "Go SDK in one process.\n\n| run | per s | p50 ms | p95 ms | p99 ms | server CPU us "
            "|\n|---|---|---|---|---|---|");
        server_process_start(&server, bench->binary, "256M");
        run_go(bench, program, &server);
        server_process_stop(&server, SIGTERM);
        server_process_remove(&server);
    } else {
        fprintf(stderr, "bench: bench/go cannot be built\n");
        bench->errors++;
    }
    unlink(program);
}
