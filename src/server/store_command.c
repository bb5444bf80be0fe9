/* store_command.c: the commands about a store's file: one table, from which parsing, help and reference are made. */
#include "server/store_command.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/options.h"
#include "server/store_verify.h"
#include "store/sqlite.h"

#define PROGRESS_NS NS_PER_S

enum exit_code { EXIT_DONE = 0, EXIT_FOUND = 1, EXIT_UNABLE = 2 };

struct arguments {
    const char *files[2];
    size_t      rate; /* bytes a second; 0: as fast as it goes */
    bool        json, force;
};

static int failed(const struct error *error)
{
    struct buffer text = { 0 };
    buffer_printf(&text, "perdure: %s\n", error->message);
    print_readable(stderr, &text);
    buffer_release(&text);
    return EXIT_UNABLE;
}

static int64_t size_of(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 ? (int64_t)found.st_size : 0;
}

/* --- verify --- */

static int run_verify(const struct arguments *arguments)
{
    struct error error = { 0 };
    uint64_t     findings = 0;
    if (store_verify(arguments->files[0], arguments->json, &findings, &error) != ST_OK)
        return failed(&error);
    return findings == 0 ? EXIT_DONE : EXIT_FOUND;
}

/* --- backup and restore --- */

struct copy {
    int64_t began, shown, total;
    bool    has_progress;
};

static void on_copied(void *context, int64_t done, int64_t total)
{
    struct copy *copy = context;
    int64_t      now = clock_monotonic_ns(&clock_system);
    copy->total = total;
    if (!copy->has_progress || now - copy->shown < PROGRESS_NS)
        return;
    copy->shown = now;
    fprintf(stderr, "\r\033[K%.1f of %.1f MB", (double)done / 1e6, (double)total / 1e6);
}

static enum status copy_file(struct store_draft *draft, const struct arguments *arguments, struct copy *copy,
                             struct error *error)
{
    struct store_copy_options options = { .rate = (int64_t)arguments->rate,
                                          .progress = on_copied,
                                          .context = copy };
    *copy = (struct copy){ .has_progress = isatty(STDERR_FILENO) == 1 };
    copy->began = copy->shown = clock_monotonic_ns(&clock_system);
    enum status status = store_draft_copy(draft, arguments->files[0], &options, error);
    if (copy->has_progress)
        fputs("\r\033[K", stderr);
    return status;
}

static void print_copied(const struct arguments *arguments, const struct copy *copy)
{
    double seconds = (double)(clock_monotonic_ns(&clock_system) - copy->began) / (double)NS_PER_S;
    printf("%s: %.1f MB from %s in %.2f s\n", arguments->files[1], (double)copy->total / 1e6,
           arguments->files[0], seconds);
}

static int run_backup(const struct arguments *arguments)
{
    struct error        error = { 0 };
    struct store_draft *draft = NULL;
    struct copy         copy;
    enum status status = store_draft_begin(arguments->files[1], STORE_DRAFT_BACKUP, arguments->force, &draft,
                                           &error);
    if (status == ST_OK)
        status = copy_file(draft, arguments, &copy, &error);
    if (status == ST_OK)
        status = store_draft_finish(draft, &error);
    store_draft_free(draft);
    if (status != ST_OK)
        return failed(&error);
    print_copied(arguments, &copy);
    return EXIT_DONE;
}

/* What is restored is looked through first: a server is to start on it. */
static int run_restore(const struct arguments *arguments)
{
    struct error        error = { 0 };
    struct store_draft *draft = NULL;
    struct copy         copy;
    uint64_t            findings = 0;
    enum status status = store_draft_begin(arguments->files[1], STORE_DRAFT_STORE, arguments->force, &draft,
                                           &error);
    if (status == ST_OK)
        status = copy_file(draft, arguments, &copy, &error);
    if (status == ST_OK)
        status = store_draft_migrate(draft, &error);
    if (status == ST_OK)
        status = store_verify(store_draft_path(draft), false, &findings, &error);
    if (status == ST_OK && findings == 0)
        status = store_draft_finish(draft, &error);
    store_draft_free(draft);
    if (status != ST_OK)
        return failed(&error);
    if (findings != 0) {
        fprintf(stderr, "perdure: %s was not restored: it is not clean\n", arguments->files[0]);
        return EXIT_FOUND;
    }
    print_copied(arguments, &copy);
    return EXIT_DONE;
}

/* --- compact --- */

static int run_compact(const struct arguments *arguments)
{
    struct error        error = { 0 };
    struct store_draft *draft = NULL;
    const char         *path = arguments->files[0];
    if (access(path, F_OK) != 0) {
        error_set(&error, ST_NOT_FOUND, "there is no store %s", path);
        return failed(&error);
    }
    enum status status = store_draft_begin(path, STORE_DRAFT_STORE, true, &draft, &error);
    int64_t     before = size_of(path); /* now that its log is in it */
    if (status == ST_OK)
        status = store_draft_compact(draft, &error);
    if (status == ST_OK)
        status = store_draft_finish(draft, &error);
    store_draft_free(draft);
    if (status != ST_OK)
        return failed(&error);
    printf("%s: %.1f MB, before %.1f MB\n", path, (double)size_of(path) / 1e6, (double)before / 1e6);
    return EXIT_DONE;
}

/* --- the command line --- */

enum flag { FLAG_JSON = 1, FLAG_FORCE = 2, FLAG_RATE = 4 };
static const struct {
    enum flag   flag;
    const char *name, *argument, *help;
} flags[] = {
    { FLAG_JSON, "--json", "", "what was found as one JSON object" },
    { FLAG_RATE, "--rate", "SIZE", "bytes a second, also with K, M or G; default: as fast as it goes" },
    { FLAG_FORCE, "--force", "", "replace a TARGET that exists; it is there until the new one is complete" },
};
static const struct command {
    const char *verb, *operands, *summary, *details;
    size_t      file_count;
    unsigned    flags;
    int (*run)(const struct arguments *arguments);
} commands[] = {
    { "verify", "FILE", "looks through a store, also one that a server is serving",
      "Reads every row, folds the history of every run again, and compares what follows from it. Changes "
      "nothing. Exit code 0: "
      "clean; 1: something was found, a line for each; 2: the file cannot be read",
      1, FLAG_JSON, run_verify },
    { "backup", "FILE TARGET", "copies one moment of a store, also of one that a server is serving",
      "TARGET is one complete file, flushed, or it is not there. Exit code 0: done; 2: it could not be made",
      2, FLAG_RATE | FLAG_FORCE, run_backup },
    { "restore", "BACKUP TARGET", "makes a store of a backup, after it was verified",
      "No server may run on TARGET. A backup of an older release is brought up to date in TARGET. Exit code "
      "0: done; 1: the "
      "backup is not clean, and TARGET is as it was; 2: it could not be made",
      2, FLAG_RATE | FLAG_FORCE, run_restore },
    { "compact", "FILE", "gives space back that deleted runs have left; no server may run",
      "Needs as much space as the rows take, beside the file, until it is done. While a server runs such "
      "space is used again, "
      "and the file does not shrink. Exit code 0: done; 2: it could not be done, and the file is as it was",
      1, 0, run_compact },
};

static int command_usage(const struct command *command, const char *what)
{
    if (what != NULL)
        fprintf(stderr, "perdure: %s\n", what);
    FILE *to = what == NULL ? stdout : stderr;
    fprintf(to, "perdure store %s %s: %s.\n\n%s.\n", command->verb, command->operands, command->summary,
            command->details);
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        if (command->flags & flags[i].flag)
            fprintf(to, "  %s %-6s %s\n", flags[i].name, flags[i].argument, flags[i].help);
    return what == NULL ? EXIT_DONE : EXIT_UNABLE;
}

/* The flag that `text` names, of those that the command has; 0: none. */
static enum flag flag_of(const struct command *command, const char *text)
{
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        if (strcmp(text, flags[i].name) == 0 && (command->flags & flags[i].flag))
            return flags[i].flag;
    return 0;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct arguments arguments = { 0 };
    size_t           count = 0;
    for (int i = 0; i < argc; i++) {
        enum flag flag = flag_of(command, argv[i]);
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return command_usage(command, NULL);
        i += flag == FLAG_RATE; /* its value is the next one */
        if (flag == FLAG_RATE && (i == argc || !options_parse_size(argv[i], &arguments.rate)))
            return command_usage(command, "--rate takes bytes a second, such as 20M");
        if (flag == 0 && (argv[i][0] == '-' || count == command->file_count))
            return command_usage(command, "unknown argument");
        if (flag == 0) /* as --store of the server takes it, or the file alone */
            arguments.files[count++] = strncmp(argv[i], "sqlite:", 7) == 0 ? argv[i] + 7 : argv[i];
        arguments.json = arguments.json || flag == FLAG_JSON;
        arguments.force = arguments.force || flag == FLAG_FORCE;
    }
    if (count != command->file_count)
        return command_usage(command, "a file is missing");
    return command->run(&arguments);
}

int store_command_main(int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands) && argc > 0; i++)
        if (strcmp(argv[0], commands[i].verb) == 0)
            return run_command(&commands[i], argc - 1, argv + 1);
    bool help = argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
    if (!help)
        fprintf(stderr, "perdure: store takes verify, backup, restore or compact\n");
    store_command_print_summary();
    return help ? EXIT_DONE : EXIT_UNABLE;
}

void store_command_print_summary(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        char name[64];
        snprintf(name, sizeof name, "store %s %s", commands[i].verb, commands[i].operands);
        printf("  perdure %-33s %s\n", name, commands[i].summary);
    }
}

void store_command_print_reference(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        const struct command *command = &commands[i];
        printf("## perdure store %s %s\n\n%s. %s.\n\n", command->verb, command->operands, command->summary,
               command->details);
        if (command->flags != 0)
            printf("| flag | | meaning |\n|---|---|---|\n");
        for (size_t j = 0; j < ARRAY_COUNT(flags); j++)
            if (command->flags & flags[j].flag)
                printf("| `%s` | `%s` | %s |\n", flags[j].name, flags[j].argument, flags[j].help);
        if (command->flags != 0)
            printf("\n");
    }
}
