/* cli.c: parsing by the tables, help from the tables, and the run of one command. */
#include "cli/cli.h"

#include <stdio.h>

#include "cli/cli_internal.h"
#include "io/listener.h"

struct flag_row {
    const char *name;
    char        letter;
    const char *argument; /* NULL: a switch */
    bool        repeatable;
    const char *help;
};
#define FLAG_ROW(id, name, letter, argument, repeatable, help) { name, letter, argument, repeatable, help },
static const struct flag_row flag_rows[FLAG_COUNT] = { CLI_FLAGS(FLAG_ROW) };

static const struct {
    const struct cli_command *commands;
    const size_t             *count;
} groups[] = {
    { cli_workflow_commands, &cli_workflow_command_count },
    { cli_update_commands, &cli_update_command_count },
    { cli_activity_commands, &cli_activity_command_count },
    { cli_task_queue_commands, &cli_task_queue_command_count },
    { cli_worker_commands, &cli_worker_command_count },
    { cli_schedule_commands, &cli_schedule_command_count },
    { cli_operator_commands, &cli_operator_command_count },
    { cli_tool_commands, &cli_tool_command_count },
};

bool cli_knows(const char *noun)
{
    size_t size = strlen(noun);
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        const char *known = groups[i].commands[0].noun;
        if (strncmp(known, noun, size) == 0 && (known[size] == '\0' || known[size] == ' '))
            return true;
    }
    return false;
}

void cli_print_summary(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        for (size_t j = 0; j < *groups[i].count; j++) {
            const struct cli_command *command = &groups[i].commands[j];
            char                      name[64];
            snprintf(name, sizeof name, "%s %s", command->noun, command->verb);
            printf("  perdure %-33s %s\n", name, command->summary);
        }
    }
}

static void print_flag(const struct flag_row *row, bool required)
{
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", row->name, row->argument == NULL ? "" : " ",
             row->argument == NULL ? "" : row->argument);
    if (row->letter != 0)
        printf("  -%c, %-34s %s%s\n", row->letter, left, row->help, required ? " (required)" : "");
    else
        printf("      %-34s %s%s\n", left, row->help, required ? " (required)" : "");
}

static void print_operands(const struct cli_command *command)
{
    for (size_t flag = 0; flag < FLAG_COUNT; flag++)
        if (command->operand >> flag & 1)
            printf(command->required >> flag & 1 ? " %s" : " [%s]", flag_rows[flag].argument);
}

static void print_command_help(const struct cli_command *command)
{
    printf("perdure %s %s", command->noun, command->verb);
    print_operands(command);
    printf(": %s\n\n", command->summary);
    for (size_t flag = 0; flag < FLAG_COUNT; flag++) {
        if ((command->flags | CLI_COMMON) >> flag & 1)
            print_flag(&flag_rows[flag], command->required >> flag & 1);
    }
}

void cli_print_reference(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        for (size_t j = 0; j < *groups[i].count; j++) {
            const struct cli_command *command = &groups[i].commands[j];
            printf("## perdure %s %s", command->noun, command->verb);
            print_operands(command);
            printf("\n\n%s.\n\n", command->summary);
            if (command->flags != 0)
                printf("| flag | | meaning |\n|---|---|---|\n");
            for (size_t flag = 0; flag < FLAG_COUNT; flag++) {
                if (!(command->flags >> flag & 1))
                    continue;
                const struct flag_row *row = &flag_rows[flag];
                bool                   required = command->required >> flag & 1;
                printf("| `--%s` | `%s` | %s%s |\n", row->name, row->argument == NULL ? "" : row->argument,
                       row->help, required ? " (required)" : "");
            }
            if (command->flags != 0)
                printf("\n");
        }
    }
    printf("## Flags of every client command\n\n| flag | | meaning |\n|---|---|---|\n");
    for (size_t flag = 0; flag < FLAG_COUNT; flag++) {
        if (CLI_COMMON >> flag & 1)
            printf("| `--%s` | `%s` | %s |\n", flag_rows[flag].name,
                   flag_rows[flag].argument == NULL ? "" : flag_rows[flag].argument, flag_rows[flag].help);
    }
}

static enum status usage_error(struct cli *cli, const char *what, const char *about)
{
    return error_set(&cli->error, ST_INVALID_ARGUMENT, "%s%s", what, about);
}

/* Finds the flag that `text` names ("--name", "--name=value", "-n"); *ret_value is what follows '=' or NULL. */
static int find_flag(const char *text, const char **ret_value)
{
    *ret_value = NULL;
    for (int flag = 0; flag < FLAG_COUNT; flag++) {
        const struct flag_row *row = &flag_rows[flag];
        size_t                 size = strlen(row->name);
        if (text[1] == '-' && strncmp(text + 2, row->name, size) == 0 &&
            (text[2 + size] == '\0' || text[2 + size] == '=')) {
            *ret_value = text[2 + size] == '=' ? text + 3 + size : NULL;
            return flag;
        }
        if (text[1] != '-' && row->letter != 0 && text[1] == row->letter && text[2] == '\0')
            return flag;
    }
    return -1;
}

/* Where the official command line takes --type for --name, or the other way round, a command here has one of both. */
static int known_flag(const struct cli_command *command, int flag)
{
    unsigned __int128 flags = command->flags | CLI_COMMON;
    if (flag == FLAG_NAME && !(flags >> FLAG_NAME & 1))
        flag = FLAG_TYPE;
    else if (flag == FLAG_TYPE && !(flags >> FLAG_TYPE & 1))
        flag = FLAG_NAME;
    return flag >= 0 && (flags >> flag & 1) ? flag : -1;
}

/* The first that has not been given; when all were, the last, which is then given too often. */
static int operand_flag(const struct cli *cli, const struct cli_command *command)
{
    int found = -1;
    for (int flag = 0; flag < FLAG_COUNT; flag++) {
        if (!(command->operand >> flag & 1))
            continue;
        found = flag;
        if (cli->arguments.counts[flag] == 0)
            break;
    }
    assert(found >= 0);
    return found;
}

static enum status parse_arguments(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *value = argv[i];
        bool        word = argv[i][0] != '-' || argv[i][1] == '\0';
        int         flag = word ? -1 : find_flag(argv[i], &value);
        if (word && command->operand != 0)
            flag = operand_flag(cli, command);
        flag = known_flag(command, flag);
        if (flag < 0)
            return usage_error(cli, "unknown argument: ", argv[i]);
        const struct flag_row *row = &flag_rows[flag];
        if (row->argument == NULL && value != NULL)
            return usage_error(cli, "this flag takes no value: --", row->name);
        if (row->argument != NULL && value == NULL) {
            if (i + 1 == argc)
                return usage_error(cli, "a value is missing behind --", row->name);
            value = argv[++i];
        }
        size_t *count = &cli->arguments.counts[flag];
        if (*count == (row->repeatable ? CLI_REPEAT_MAX : 1))
            return usage_error(cli, "given too often: --", row->name);
        cli->arguments.values[flag][(*count)++] = value == NULL ? "" : value;
    }
    for (int flag = 0; flag < FLAG_COUNT; flag++) {
        if ((command->required >> flag & 1) && cli->arguments.counts[flag] == 0 && !cli_given(cli, FLAG_HELP))
            return usage_error(cli, "required: --", flag_rows[flag].name);
    }
    return ST_OK;
}

static enum status choose_output(struct cli *cli)
{
    struct bytes output = cli_value(cli, FLAG_OUTPUT);
    cli->json_lines = bytes_equal_text(output, "jsonl");
    cli->json = cli->json_lines || bytes_equal_text(output, "json");
    bool none = bytes_equal_text(output, "none");
    if (output.size != 0 && !cli->json && !none && !bytes_equal_text(output, "text"))
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "--output is text, json, jsonl or none, not %.*s",
                         BYTES_FMT(output));
    if (none && freopen("/dev/null", "w", stdout) == NULL)
        return error_set(&cli->error, ST_INTERNAL, "/dev/null cannot be opened");
    return ST_OK;
}

static enum status connect_client(struct cli *cli)
{
    const char *address = cli_given(cli, FLAG_ADDRESS) ? cli->arguments.values[FLAG_ADDRESS][0]
                                                       : getenv("TEMPORAL_ADDRESS");
    char        host[256];
    uint16_t    port;
    int64_t     timeout_ns;
    if (address == NULL || address[0] == '\0')
        address = "127.0.0.1:7233";
    if (!address_parse(address, host, sizeof host, &port))
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "the server's address is not HOST:PORT: %s",
                         address);
    cli->deadline = TIME_NEVER;
    if (cli_given(cli, FLAG_COMMAND_TIMEOUT)) {
        if (cli_parse_duration(cli->arguments.values[FLAG_COMMAND_TIMEOUT][0], &timeout_ns) != ST_OK)
            return error_set(&cli->error, ST_INVALID_ARGUMENT,
                             "--command-timeout is no duration (10s, 1h30m)");
        int64_t now = clock_monotonic_ns(&clock_system);
        if (timeout_ns > 0 && timeout_ns < TIME_NEVER - now) /* 0 is none, as in the official command line */
            cli->deadline = now + timeout_ns;
    }
    struct metadata client_name[] = { { BYTES("client-name"), BYTES("temporal-cli") } };
    cli->client = wire_client_new(&(struct wire_client_options){
        .host = (const char *)arena_copy(&cli->arena, bytes_of(host, strlen(host) + 1)).base,
        .port = port,
        .metadata = client_name,
        .metadata_count = ARRAY_COUNT(client_name) });
    return ST_OK;
}

static int run_command(const struct cli_command *command, int argc, char **argv)
{
    struct cli *cli = xcalloc(1, sizeof *cli);
    arena_init(&cli->arena, SIZE_MAX);
    int         code = 0;
    enum status status = parse_arguments(cli, command, argc, argv);
    if (status == ST_OK && cli_given(cli, FLAG_HELP)) {
        print_command_help(command);
    } else {
        if (status == ST_OK)
            status = choose_output(cli);
        if (status == ST_OK)
            status = connect_client(cli);
        if (status == ST_OK)
            status = command->run(cli);
        code = status == ST_OK ? 0 : cli->called ? 1 : 2;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) { /* a script must not take half a list for the whole */
        code = 1;
        fprintf(stderr, "perdure: standard output cannot be written\n");
    }
    if (status != ST_OK) {
        bool refused = code == 1 && status == cli->refusal;
        fprintf(stderr, "perdure: %s%s%s\n", refused ? status_name(status) : "", refused ? ": " : "",
                cli->error.message);
    }
    if (code == 2)
        fprintf(stderr, "see: perdure %s %s --help\n", command->noun, command->verb);
    wire_client_free(cli->client);
    arena_release(&cli->arena);
    free(cli);
    return code;
}

/* How many words of argv the command's name takes; 0: it is another command. */
static int match_name(const struct cli_command *command, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof name, "%s %s", command->noun, command->verb);
    int         words = 0;
    const char *at = name;
    for (;; words++) {
        size_t size = strcspn(at, " ");
        if (words >= argc || strlen(argv[words]) != size || strncmp(argv[words], at, size) != 0)
            return 0;
        if (at[size] == '\0')
            return words + 1;
        at += size + 1;
    }
}

int cli_main(int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        for (size_t j = 0; j < *groups[i].count; j++) {
            int words = match_name(&groups[i].commands[j], argc, argv);
            if (words != 0)
                return run_command(&groups[i].commands[j], argc - words, argv + words);
        }
    }
    bool help = argc == 1 || strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0;
    if (!help)
        fprintf(stderr, "perdure: unknown command: %s %s\n", argv[0], argv[1]);
    printf("Commands (each explains itself with --help):\n");
    cli_print_summary();
    return help ? 0 : 2;
}
