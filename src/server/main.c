/* main.c: perdure server, perdure store, perdure compat, and the client commands. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/metric.h"
#include "base/mutant.h"
#include "bridge/bridge.h"
#include "cli/cli.h"
#include "mcp/config.h"
#include "server/compat.h"
#include "server/metrics.h"
#include "server/server.h"
#include "server/store_command.h"
#include "server/token_command.h"

static void print_usage(void)
{
    printf(
        "perdure %s: durable execution in one binary\n\n"
        "  perdure server                            runs the server\n"
        "  perdure compat                            the table of RPCs and how far each is served\n"
        "  perdure reference NAME                    cli, configuration, limits, metrics, mcp or mcp-schema\n"
        "  perdure version                           prints the version\n",
        PERDURE_VERSION);
    store_command_print_summary();
    bridge_print_summary();
    token_command_print_summary();
    cli_print_summary();
    printf("\nEach command explains itself with --help.\n");
}

/* Blocked here, before any thread exists, so that only the main thread takes them, by sigwait. */
static void prepare_signals(bool reloads)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (reloads)
        sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed peer is an error of the write, not the end of the process */
}

/* Every connection is a descriptor: take what the system allows. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("server.descriptors", "the limit of open files stays at %ju", (uintmax_t)limit.rlim_cur);
}

/* Threads grow and shrink the top of their heap with each burst of work: by default that is a system call for every few
 * workflows, and page faults behind it. Large blocks still go back to the system at once. */
static void prepare_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

static int run_server(int argc, char **argv)
{
    struct options options;
    struct error   error;
    struct server *server;
    if (options_parse(argc, argv, &options, &error) != ST_OK) {
        fprintf(stderr, "perdure: %s\nsee: perdure server --help\n", error.message);
        return 2;
    }
    if (options.help) {
        options_print_help();
        return 0;
    }
    log_set_level(options.log_level);
    log_set_form(options.log_form);
    prepare_memory();
    prepare_signals(options.mcp_config != NULL);
    raise_descriptor_limit();
    if (server_new(&options, &server, &error) != ST_OK) {
        fprintf(stderr, "perdure: %s\n", error.message);
        return 1;
    }
    server_run(server);
    server_free(server);
    return 0;
}

static void print_commands(void)
{
    store_command_print_reference();
    bridge_print_reference();
    token_command_print_reference();
    cli_print_reference();
}

static void print_mcp_reference(void)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    config_print_reference(&text);
    fwrite(text.base, 1, text.size, stdout);
}

static void print_metrics_reference(void)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    metric_print_reference(&text);
    metrics_print_reference(&text);
    fwrite(text.base, 1, text.size, stdout);
}

static void print_mcp_schema(void)
{
    JSON_CLEANUP json_t *schema = config_json_schema();
    if (json_dumpf(schema, stdout, JSON_INDENT(2)) == 0)
        putchar('\n');
}

static int run_reference(int argc, char **argv)
{
    if (argc == 1 && strcmp(argv[0], "cli") == 0)
        print_commands();
    else if (argc == 1 && strcmp(argv[0], "configuration") == 0)
        options_print_reference();
    else if (argc == 1 && strcmp(argv[0], "limits") == 0)
        options_print_limits();
    else if (argc == 1 && strcmp(argv[0], "metrics") == 0)
        print_metrics_reference();
    else if (argc == 1 && strcmp(argv[0], "mcp") == 0)
        print_mcp_reference();
    else if (argc == 1 && strcmp(argv[0], "mcp-schema") == 0)
        print_mcp_schema();
    else {
        fprintf(stderr,
                "perdure: reference of what? cli, configuration, limits, metrics, mcp or mcp-schema\n");
        return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    mutant_plant();
    const char *command = argc > 1 ? argv[1] : "help";
    if (strcmp(command, "server") == 0)
        return run_server(argc - 2, argv + 2);
    if (strcmp(command, "compat") == 0)
        return compat_main(argc - 2, argv + 2);
    if (strcmp(command, "store") == 0)
        return store_command_main(argc - 2, argv + 2);
    if (strcmp(command, "mcp") == 0 && argc > 2 && strcmp(argv[2], "stdio") == 0)
        return bridge_main(argc - 3, argv + 3);
    if (strcmp(command, "mcp") == 0 && argc > 2 && strcmp(argv[2], "token") == 0)
        return token_command_main(argc - 3, argv + 3);
    if (strcmp(command, "reference") == 0)
        return run_reference(argc - 2, argv + 2);
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        printf("perdure %s\n", PERDURE_VERSION);
        return 0;
    }
    if (cli_knows(command))
        return cli_main(argc - 1, argv + 1);
    bool help = strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0;
    if (!help)
        fprintf(stderr, "perdure: unknown command: %s\n", command);
    print_usage();
    return help ? 0 : 2;
}
