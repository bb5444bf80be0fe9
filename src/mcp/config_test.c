#include "mcp/config.h"

#include <stdio.h>

#include "base/testing.h"
#include "mcp/config_fields.h"

#define FIXTURE FIXTURES_DIRECTORY "/mcp/mcp.json"

static struct bytes file_text(const char *path, struct buffer *to)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    uint8_t *at = buffer_reserve(to, 64 * 1024);
    to->size += fread(at, 1, 64 * 1024, file);
    CHECK_EQ(fclose(file), 0);
    return buffer_bytes(to);
}

static void show(const struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        CLEANUP(buffer_release) struct buffer line = { 0 };
        config_finding_print(&report->findings[i], &line);
        print_message("%.*s\n", BYTES_FMT(buffer_bytes(&line)));
    }
}

static struct catalog *fixture(void)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    struct config_report                  report;
    struct config_source                  source = { FIXTURE, file_text(FIXTURE, &text), NULL, 0 };
    struct catalog                       *catalog = NULL;
    config_report_init(&report);
    if (config_build(&source, 1, &catalog, &report) != ST_OK || report.count > 0)
        show(&report);
    CHECK_INT(report.count, 0);
    CHECK_INT(report.file_count, 2);
    config_report_release(&report);
    return catalog;
}

static const struct tool *tool_of(const struct catalog *catalog, const char *toolset, const char *name)
{
    const struct toolset *found = catalog_toolset(catalog, bytes_of_text(toolset));
    CHECK(found != NULL);
    const struct tool *tool = toolset_tool(found, bytes_of_text(name));
    CHECK(tool != NULL);
    return tool;
}

TEST(a_document_with_one_of_everything_is_read)
{
    struct catalog *catalog = fixture();
    CHECK_INT(catalog->auth.mode, AUTH_JWT);
    CHECK_TEXT(catalog->auth.caller_claim, "sub");
    CHECK_INT(catalog->auth.leeway_ns, 30 * NS_PER_S);
    CHECK_INT(catalog->open_tasks_per_caller, 50);
    CHECK_INT(catalog->calls_burst, 0);
    CHECK_INT(catalog->toolset_count, 3);

    const struct tool *alerts = tool_of(catalog, "weather", "get_alerts");
    CHECK_INT(alerts->kind, TOOL_START);
    CHECK_TEXT(alerts->workflow, "GetAlertsWorkflow");
    CHECK_TEXT(alerts->task_queue, "weather-task-queue");
    CHECK_TEXT(alerts->namespace_name, "default");
    CHECK(alerts->read_only && alerts->exposed && alerts->hand_off);
    CHECK_INT(alerts->sync_wait_ns, 20 * NS_PER_S);
    CHECK_INT(alerts->hold_ns, 50 * NS_PER_S);
    CHECK_INT(alerts->execution_timeout_ns, 600 * NS_PER_S);
    CHECK_INT(strlen(alerts->version), 16);

    const struct tool *process = tool_of(catalog, "invoices", "process_invoice");
    CHECK_INT(process->closed, CLOSED_RETURN);
    CHECK_INT(process->window_ns, 30 * 24 * 3600 * NS_PER_S);
    CHECK_INT(process->execution_timeout_ns, 3600 * NS_PER_S);
    CHECK_INT(process->task, TASK_ALWAYS);
    CHECK_INT(process->result, RESULT_RAW);
    CHECK_INT(process->legs, 3);
    CHECK_INT(process->scope_count, 2);
    CHECK_TEXT(process->scopes[1], "pay");
    CHECK(json_object_get(process->input, "$defs") != NULL); /* the file, in place of its name */
    CHECK_INT(process->approval->accept_count, 2);
    CHECK_INT(process->approval->decline_count, 1);
    CHECK_TEXT(json_string_value(json_object_get(process->approval->form, "type")), "object");

    const struct tool *status = tool_of(catalog, "invoices", "invoice_status");
    CHECK_INT(status->kind, TOOL_QUERY);
    CHECK_INT(status->query_timeout_ns, 2 * NS_PER_S);
    CHECK_INT(status->fallback, FALLBACK_DESCRIBE);
    CHECK(!status->exposed && status->read_only);
    CHECK_PTR(status->input, tool_of(catalog, "invoices", "approve_invoice")->input);
    CHECK_TEXT(tool_of(catalog, "invoices", "approve_invoice")->require_query.query, "GetInvoiceStatus");
    CHECK(tool_of(catalog, "chat", "send_message")->update_id != NULL);
    CHECK_TEXT(tool_of(catalog, "chat", "send_message")->operation, "send");
    catalog_unref(catalog);
}

TEST(prompts_and_resources_are_filled_in)
{
    struct catalog        *catalog = fixture();
    const struct toolset  *invoices = catalog_toolset(catalog, BYTES("invoices"));
    const struct prompt   *prompt = toolset_prompt(invoices, BYTES("check"));
    JSON_CLEANUP json_t   *arguments = json_pack("{s:s}", "invoice_id", "7"), *messages = NULL, *names = NULL;
    struct template_values values = { .arguments = arguments };
    CLEANUP(buffer_release) struct buffer text = { 0 };
    CHECK_EQ(template_value(prompt->messages, &values, &messages, NULL), ST_OK);
    const json_t *content = json_object_get(json_array_get(messages, 0), "content");
    CHECK_TEXT(json_string_value(json_object_get(content, "text")), "Check invoice 7, politely.");

    const struct resource *terms = toolset_resource(invoices, BYTES("doc://terms"), &names);
    CHECK(terms != NULL && names == NULL);
    CHECK_BYTES(terms->text, BYTES("Pay within {30} days."));
    CHECK_BYTES(toolset_resource(invoices, BYTES("doc://limits"), &names)->text, BYTES("{\"most\":1000}"));
    CHECK_PTR(toolset_resource(invoices, BYTES("doc://invoice//text"), &names), NULL);
    CHECK_PTR(toolset_resource(invoices, BYTES("doc://invoice/1/2/text"), &names), NULL);
    CHECK_PTR(toolset_resource(invoices, BYTES("doc://invoice/1/texu"), &names), NULL);
    const struct resource *invoice = toolset_resource(invoices, BYTES("doc://invoice/42/text"), &names);
    CHECK(invoice != NULL && invoice->is_template);
    values.arguments = names;
    CHECK_EQ(template_text(invoice->text_template, &values, &text, NULL), ST_OK);
    CHECK_BYTES(buffer_bytes(&text), BYTES("This is invoice 42."));
    json_decref(TAKE_PTR(names));
    CHECK(toolset_resource(invoices, BYTES("doc://status/9"), &names)->tool ==
          toolset_tool(invoices, BYTES("invoice_status")));
    catalog_unref(catalog);
}

/* Around one tool. */
static void check_finding(const char *text, enum config_finding_kind kind, const char *expected)
{
    CLEANUP(buffer_release) struct buffer line = { 0 };
    struct config_report                  report;
    struct config_source                  source = { "mcp.json", bytes_of_text(text), NULL, 0 };
    struct catalog                       *catalog = NULL;
    config_report_init(&report);
    enum status status = config_build(&source, 1, &catalog, &report);
    CHECK_EQ(status, kind == CONFIG_ERROR ? ST_INVALID_ARGUMENT : ST_OK);
    CHECK(report.count >= 1);
    for (size_t i = 0; i < report.count; i++) {
        config_finding_print(&report.findings[i], &line);
        buffer_append_byte(&line, '\n');
    }
    buffer_append_byte(&line, 0);
    if (strstr((const char *)line.base, expected) == NULL)
        print_message("%s\n", (const char *)line.base);
    CHECK(strstr((const char *)line.base, expected) != NULL);
    config_report_release(&report);
    catalog_unref(catalog);
}

#define TOOL(body)                                                                                           \
    "{\"toolsets\":{\"t\":{\"task_queue\":\"q\",\n\"tools\":{\"x\":{\"description\":\"d\"," body "}}}}}"
#define START "\"start\":{\"workflow\":\"W\"}"

TEST(every_mistake_is_named_with_its_place)
{
    static const struct {
        const char *text, *finding;
    } cases[] = {
        { "{\"toolsets\":{},}", "mcp.json:1:16: " },
        { "{\"a\":1,\n\"a\":2}", "mcp.json:2:3: duplicate object key" },
        { "[]", "mcp.json:1:1: must be an object" },
        { "{}", "mcp.json:1:1: \"toolsets\" is missing" },
        { "{\"toolsets\":{},\n \"liste\":1}",
          "mcp.json:2:2: /liste: no such field; there are $schema, listen, auth" },
        { "{\"toolsets\":{},\"listen\":\"8300\"}", "/listen: must be HOST:PORT" },
        { "{\"toolsets\":{},\"auth\":{\"mode\":\"open\"}}", "/auth/mode: must be one of none|tokens|jwt" },
        { "{\"toolsets\":{},\"auth\":{\"mode\":\"tokens\"}}", "/auth: \"tokens_file\" is missing" },
        { "{\"toolsets\":{},\"auth\":{\"mode\":\"jwt\"}}", "/auth: mode jwt needs" },
        { "{\"toolsets\":{},\"origins\":[\"x\"]}", "/origins: x: must begin with http" },
        { "{\"toolsets\":{},\"hosts\":\"x\"}", "/hosts: must be an array of strings" },
        { "{\"toolsets\":{},\"calls_burst\":-1}", "/calls_burst: must be a whole number from 0 to" },
        { "{\"toolsets\":{\"A b\":{}}}", "/toolsets/A b: a toolset's name" },
        { "{\"toolsets\":{\"a\":{\"defaults\":{\"sync_wait\":\"25\"}}}}", "/sync_wait: must be a duration" },
        { "{\"toolsets\":{\"a\":{\"defaults\":{\"sync_wait\":\"51s\"}}}}",
          "/sync_wait: must be from 0 ms to 50 s" },
        { TOOL(START ",\"tsk\":1"), "mcp.json:2:58: /toolsets/t/tools/x/tsk: no such field" },
        { TOOL(START ",\"resource\":\"x/{y}\""), "/tools/x/resource: the tool has no argument \"y\"" },
        { TOOL(START ",\"resource\":\"x/{y\""), "/tools/x/resource: must be a URI" },
        { TOOL(START ",\"running_text\":\"{y|nope}\""), "/tools/x/running_text: " },
        { TOOL("\"task\":\"auto\""), "/x: must have exactly one of start" },
        { TOOL(START ",\"signal\":{}"), "/x: must have exactly one of start" },
        { TOOL("\"start\":{}"), "/x/start: \"workflow\" is missing" },
        { TOOL("\"start\":{\"workflow\":\"W\",\"id\":\"a-{nope}\"},\"input\":{\"type\":\"object\","
               "\"properties\":{\"a\":{}}}"),
          "/x/start/id: {nope}: the input has no such field" },
        { TOOL(START ",\"input\":{\"type\":\"array\"}"), "/x/input: must be of \"type\": \"object\"" },
        { TOOL(START ",\"input\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"txt\"}}}"),
          "/x/input/properties/a/type: must be one of null" },
        { TOOL(START ",\"input\":\"@y\""), "/x/input: @y: no tool of this toolset" },
        { TOOL(START ",\"input\":\"@x\""), "/x/input: @x: no tool of this toolset" },
        { TOOL(START ",\"input\":{\"$ref\":\"nothing.json\"}"), "/x/input: nothing.json: No such file" },
        { TOOL(START ",\"annotations\":[]"), "/x/annotations: must be an object" },
        { TOOL(START ",\"approval\":{\"when\":{\"query\":\"Q\"},\"message\":\"m\",\"form\":{\"properties\":{"
                     "\"o\":{\"type\":"
                     "\"object\"}}},\"accept\":[{\"if\":\"z\"}]}"),
          "/x/approval/accept/0/if: the form has no such field" },
        { TOOL("\"query\":{\"workflow_id\":\"w-{caller}\",\"name\":\"n\",\"timeout\":\"1d\"}"),
          "/x/query/timeout: must be from" },
        { TOOL("\"query\":{\"name\":\"n\"}"), "/x/query: \"workflow_id\" is missing" },
        { TOOL(START "}},\"prompts\":{\"p\":{\"arguments\":[{\"name\":\"a\"}],\"messages\":[{\"role\":"
                     "\"user\",\"content\":"
                     "\"{b}\"}]}},\"tools\":{\"y\":{\"description\":\"d\"," START),
          "duplicate object key" },
        { "{\"toolsets\":{\"a\":{\"prompts\":{\"p\":{\"messages\":[{\"role\":\"user\",\"content\":\"{b}\"}]}}"
          "}}}",
          "/prompts/p/messages: {b}: the input has no such field" },
        { "{\"toolsets\":{\"a\":{\"resources\":{\"x:y\":{\"tool\":\"t\"}}}}}",
          "/resources/x:y/tool: the toolset has no such tool" },
        { "{\"toolsets\":{\"a\":{\"resources\":{\"x:{y\":{\"text\":\"\"}}}}}",
          "/resources/x:{y: must be a URI" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        check_finding(cases[i].text, CONFIG_ERROR, cases[i].finding);
}

TEST(what_is_doubtful_is_a_warning)
{
    check_finding(TOOL("\"start\":{\"workflow\":\"W\",\"id\":\"one\"}"), CONFIG_WARNING,
                  "warning: /toolsets/t/tools/x: the id has no");
    check_finding(TOOL("\"start\":{\"workflow\":\"W\",\"window\":\"1d\"}"), CONFIG_WARNING,
                  "says nothing while");
    check_finding(TOOL(START ",\"input\":{\"type\":\"object\",\"odd\":1}"), CONFIG_WARNING,
                  "/x/input/odd: is not known here");
    check_finding(
        "{\"toolsets\":{\"a\":{\"tools\":{\"x\":{\"query\":{\"workflow_id\":\"w\",\"name\":\"n\"}}}}}}",
        CONFIG_WARNING, "no description");
}

TEST(documents_of_the_registry_come_after_the_file)
{
    static const char    file[] = "{\"toolsets\":{\"a\":{\"title\":\"file\"}}}";
    struct config_report report;
    struct catalog      *catalog = NULL;
    struct config_source sources[] = {
        { "mcp.json", bytes_of_text(file), NULL, 0 },
        { "registry:a", BYTES("{\"title\":\"registry\"}"), "a", 3 },
        { "registry:b", BYTES("{\"title\":\"registry\"}"), "b", 4 },
    };
    config_report_init(&report);
    CHECK_EQ(config_build(sources, 3, &catalog, &report), ST_OK);
    CHECK_INT(report.count, 1);
    CHECK_TEXT(report.findings[0].file, "registry:a");
    CHECK_INT(catalog->toolset_count, 2);
    CHECK_TEXT(catalog_toolset(catalog, BYTES("a"))->title, "file");
    CHECK_INT(catalog_toolset(catalog, BYTES("b"))->version, 4);
    CHECK(catalog_toolset(catalog, BYTES("b"))->from_registry);
    config_report_release(&report);
    catalog_unref(catalog);
    /* And without a file. */
    config_report_init(&report);
    CHECK_EQ(config_build(&sources[1], 1, &catalog, &report), ST_OK);
    CHECK_INT(catalog->open_tasks_per_caller, 1000);
    config_report_release(&report);
    catalog_unref(catalog);
    sources[1].text = BYTES("{\"tools\":{\"x\":{\"query\":{\"workflow_id\":\"w\",\"name\":\"n\"},\"input\":{"
                            "\"$ref\":\"/etc/passwd\"}}}}");
    config_report_init(&report);
    CHECK_EQ(config_build(&sources[1], 1, &catalog, &report), ST_INVALID_ARGUMENT);
    CHECK(strstr(report.findings[0].words, "names no files") != NULL);
    config_report_release(&report);
}

TEST(durations_are_numbers_with_units)
{
    int64_t ns = 0;
    CHECK(config_duration("1h30m", &ns) && ns == 5400 * NS_PER_S);
    CHECK(config_duration("250ms", &ns) && ns == 250 * NS_PER_MS);
    CHECK(config_duration("0s", &ns) && ns == 0);
    CHECK(!config_duration("", &ns) && !config_duration("5", &ns) && !config_duration("-5s", &ns));
    CHECK(!config_duration("1y", &ns) && !config_duration("999999999999d", &ns));
}

/* What the parser takes an editor must not mark as wrong. */
TEST(the_published_schema_says_what_the_parser_does)
{
    CLEANUP(buffer_release) struct buffer text = { 0 }, words = { 0 }, reference = { 0 };
    JSON_CLEANUP json_t                  *published = config_json_schema(), *document = NULL;
    struct schema                        *schema = NULL;
    struct error                          error = { 0 };
    CHECK_EQ(schema_compile(published, NULL, &schema, NULL, &error), ST_OK);
    CHECK_EQ(json_read(file_text(FIXTURE, &text), CONFIG_SIZE_MAX, JSON_WITH_COMMENTS, &document, NULL,
                       &error),
             ST_OK);
    if (schema_check(schema, document, &words) != ST_OK)
        print_message("%.*s\n", BYTES_FMT(buffer_bytes(&words)));
    CHECK_INT(words.size, 0);
    CHECK_EQ(json_object_set_new(document, "listne", json_true()), 0);
    CHECK_EQ(schema_check(schema, document, &words), ST_INVALID_ARGUMENT);
    schema_free(schema);
    config_print_reference(&reference);
    buffer_append_byte(&reference, 0);
    CHECK(strstr((const char *)reference.base, "| `sync_wait` | duration | `25s` |") != NULL);
}
