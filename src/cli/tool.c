/* tool.c: perdure mcp apply, show, delete: the registry of toolsets, by the API. */
#include <stdio.h>

#include "cli/cli_internal.h"
#include "mcp/config.h"

#define SERVICE "/perdure.api.v1.ToolService/"

/* --- apply --- */

static void print_findings(const struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        CLEANUP(buffer_release) struct buffer line = { 0 };
        config_finding_print(&report->findings[i], &line);
        fprintf(stderr, "%.*s\n", BYTES_FMT(buffer_bytes(&line)));
    }
}

static enum status apply_document(struct cli *cli, struct bytes name, struct bytes document)
{
    struct api_ApplyToolsetRequest  request = { .name = name,
                                                .document = document,
                                                .identity = cli_identity(cli) };
    struct api_ApplyToolsetResponse response = { 0 };
    enum status status = cli_call(cli, SERVICE "ApplyToolset", &pb_api_ApplyToolsetRequest, &request,
                                  &pb_api_ApplyToolsetResponse, &response);
    if (status != ST_OK)
        return status;
    cli_list_item(cli, "[");
    if (cli->json)
        return cli_print_json(cli, &pb_api_ApplyToolsetResponse, &response);
    printf("Toolset %.*s %s, version %" PRId64 "\n", BYTES_FMT(name),
           response.changed ? "applied" : "is the same", response.toolset->version);
    return ST_OK;
}

/* A file may hold an mcp.json, of which the toolsets are applied, or one toolset by itself. */
static enum status apply_all(struct cli *cli, const json_t *whole, const struct catalog *catalog)
{
    struct bytes only = cli_value(cli, FLAG_NAME);
    enum status  status = ST_OK;
    size_t       found = 0;
    for (size_t i = 0; i < catalog->toolset_count && status == ST_OK; i++) {
        const struct toolset *toolset = catalog->toolsets[i];
        if (only.size != 0 && !bytes_equal_text(only, toolset->name))
            continue;
        JSON_CLEANUP json_t *alone = config_export(whole, toolset, &cli->error);
        if (alone == NULL)
            return cli->error.code;
        char *text = json_dumps(alone, JSON_INDENT(2));
        status = apply_document(cli, bytes_of_text(toolset->name), bytes_of_text(text));
        free(text);
        found++;
    }
    if (status == ST_OK && found == 0)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "the file has no toolset \"%.*s\"",
                         BYTES_FMT(only));
    return status;
}

static enum status apply_text(struct cli *cli, struct bytes text, struct config_report *report)
{
    const char          *path = cli->arguments.values[FLAG_FILE][0];
    const char          *name = cli_given(cli, FLAG_NAME) ? cli->arguments.values[FLAG_NAME][0] : NULL;
    JSON_CLEANUP json_t *whole = NULL;
    struct json_place    where;
    struct catalog      *catalog = NULL;
    if (json_read(text, CONFIG_SIZE_MAX, JSON_WITH_COMMENTS, &whole, &where, &cli->error) != ST_OK) {
        fprintf(stderr, "%s:%u:%u: %s\n", path, where.line, where.column, cli->error.message);
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "%s is not JSON", path);
    }
    bool                 many = json_object_get(whole, "toolsets") != NULL;
    struct config_source source = { .file = path, .text = text, .toolset = many ? NULL : name };
    if (!many && name == NULL)
        return error_set(&cli->error, ST_INVALID_ARGUMENT,
                         "%s has no \"toolsets\"; if it is one toolset, --name says which", path);
    enum status status = config_build(&source, 1, &catalog, report);
    print_findings(report);
    if (status != ST_OK)
        return error_set(&cli->error, status, "nothing was applied: %zu errors", report->error_count);
    if (many) {
        status = apply_all(cli, whole, catalog);
    } else {
        char *document = json_dumps(whole, JSON_INDENT(2)); /* without its comments */
        status = apply_document(cli, bytes_of_text(name), bytes_of_text(document));
        free(document);
    }
    catalog_unref(catalog);
    return status;
}

static enum status run_apply(struct cli *cli)
{
    struct config_report report;
    struct bytes         text;
    enum status          status = cli_read_file(cli, cli->arguments.values[FLAG_FILE][0], &text);
    if (status != ST_OK)
        return status;
    config_report_init(&report);
    status = cli_list_end(cli, apply_text(cli, text, &report), "[", "]");
    if (report.error_count != 0)
        cli->called = true; /* the file is wrong, not the command line: so no word of --help */
    config_report_release(&report);
    return status;
}

/* --- show, delete --- */

static enum status show_one(struct cli *cli)
{
    struct api_GetToolsetRequest  request = { .name = cli_value(cli, FLAG_NAME) };
    struct api_GetToolsetResponse response = { 0 };
    enum status status = cli_call(cli, SERVICE "GetToolset", &pb_api_GetToolsetRequest, &request,
                                  &pb_api_GetToolsetResponse, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_api_GetToolsetResponse, &response);
    fwrite(response.toolset->document.base, 1, response.toolset->document.size, stdout);
    putchar('\n');
    return ST_OK;
}

static enum status show_all(struct cli *cli)
{
    struct api_ListToolsetsRequest  request = { 0 };
    struct api_ListToolsetsResponse response = { 0 };
    enum status status = cli_call(cli, SERVICE "ListToolsets", &pb_api_ListToolsetsRequest, &request,
                                  &pb_api_ListToolsetsResponse, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_api_ListToolsetsResponse, &response);
    printf("%-24s %8s  %-24s  %s\n", "TOOLSET", "VERSION", "APPLIED", "BY");
    for (size_t i = 0; i < response.toolsets_count; i++) {
        const struct api_Toolset *toolset = &response.toolsets[i];
        printf("%-24.*s %8" PRId64 "  %-24s  %.*s\n", BYTES_FMT(toolset->name), toolset->version,
               cli_time_text(cli, toolset->update_time), BYTES_FMT(toolset->identity));
    }
    return ST_OK;
}

static enum status run_show(struct cli *cli)
{
    return cli_given(cli, FLAG_NAME) ? show_one(cli) : show_all(cli);
}

static enum status run_delete(struct cli *cli)
{
    struct api_DeleteToolsetRequest  request = { .name = cli_value(cli, FLAG_NAME),
                                                 .identity = cli_identity(cli) };
    struct api_DeleteToolsetResponse response = { 0 };
    enum status status = cli_call(cli, SERVICE "DeleteToolset", &pb_api_DeleteToolsetRequest, &request,
                                  &pb_api_DeleteToolsetResponse, &response);
    if (status == ST_OK && cli->json)
        cli_print_done(cli, "");
    else if (status == ST_OK)
        printf("Toolset %.*s deleted\n", BYTES_FMT(request.name));
    return status;
}

const struct cli_command cli_tool_commands[] = {
    { "mcp", "apply", "Puts toolsets of a file into the server's registry, or replaces them",
      CLI_MASK(FILE) | CLI_MASK(NAME), CLI_MASK(FILE), run_apply, CLI_MASK(FILE) },
    { "mcp", "show", "Shows a toolset of the registry, or lists them", CLI_MASK(NAME), 0, run_show,
      CLI_MASK(NAME) },
    { "mcp", "delete", "Takes a toolset out of the registry", CLI_MASK(NAME), CLI_MASK(NAME), run_delete,
      CLI_MASK(NAME) },
    { "mcp", "tools", "Lists the tools that are served, of the server's file and of the registry",
      CLI_MASK(TOOLSET) | CLI_MASK(URL), 0, cli_tools_list, 0 },
    { "mcp", "call", "Calls a tool, and waits for its answer as long as it takes",
      CLI_MASK(TOOL) | CLI_MASK(INPUT) | CLI_MASK(ARG) | CLI_MASK(TOOLSET) | CLI_MASK(URL), CLI_MASK(TOOL),
      cli_tool_call, CLI_MASK(TOOL) | CLI_MASK(INPUT) },
};
const size_t cli_tool_command_count = ARRAY_COUNT(cli_tool_commands);
