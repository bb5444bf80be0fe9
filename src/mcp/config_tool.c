/* config_tool.c: tools. */
#include <stdio.h>

#include "mcp/config_internal.h"

#define INPUT_HOPS_MAX 8 /* "@other" that says "@another" */
#define DEFAULT_ID     "mcp-{tool}-{caller}-{hash}"

/* By the name of the field that declares it. */
static const struct {
    const char                *name;
    enum tool_kind             kind;
    const struct config_table *table;
} kinds[] = {
    { "start", TOOL_START, &table_start },
    { "update_with_start", TOOL_UPDATE_WITH_START, &table_update_with_start },
    { "signal_with_start", TOOL_SIGNAL_WITH_START, &table_signal_with_start },
    { "signal", TOOL_SIGNAL, &table_signal },
    { "update", TOOL_UPDATE, &table_update },
    { "query", TOOL_QUERY, &table_query },
};

const char *tool_kind_name(enum tool_kind kind)
{
    assert(kinds[kind].kind == kind);
    return kinds[kind].name;
}

/* --- schemas --- */

static bool is_file_reference(const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "$ref"));
    return name != NULL && *name != '#' && json_object_size(value) == 1;
}

/* The schema in a file beside the document: findings in it name the file. */
static const struct schema *schema_of_file(struct reader *reader, const char *name,
                                           const json_t **ret_document)
{
    struct config_text   outer = reader->text, text;
    struct error         error;
    struct json_place    where;
    json_t              *document = NULL;
    const struct schema *schema = NULL;
    if (!config_file(reader, name, CONFIG_SIZE_MAX, &text))
        return NULL;
    if (json_read(text.text, CONFIG_SIZE_MAX, JSON_WITH_COMMENTS, &document, &where, &error) != ST_OK) {
        config_error(reader, NULL, "%s:%u:%u: %s", text.file, where.line, where.column, error.message);
        return NULL;
    }
    struct buffer pointer = reader->pointer;
    text.commented = true;
    reader->text = text;
    reader->pointer = (struct buffer){ 0 };
    schema = config_schema(reader, config_own(reader, document));
    if (schema != NULL && !schema_is_of_objects(schema)) {
        config_error(reader, NULL, "must be of \"type\": \"object\"");
        schema = NULL;
    }
    buffer_release(&reader->pointer);
    reader->pointer = pointer;
    reader->text = outer;
    *ret_document = document;
    return schema;
}

static const struct schema *schema_of(struct reader *reader, json_t *value, const char *name,
                                      const json_t **ret_document)
{
    const struct schema *schema = NULL;
    size_t               before = config_enter(reader, name);
    if (is_file_reference(value)) {
        schema = schema_of_file(reader, json_string_value(json_object_get(value, "$ref")), ret_document);
    } else if (!json_is_object(value)) {
        config_error(reader, NULL, "must be a JSON Schema, an object");
    } else if ((schema = config_schema(reader, value)) != NULL && !schema_is_of_objects(schema)) {
        config_error(reader, NULL, "must be of \"type\": \"object\"");
        schema = NULL;
    }
    if (schema != NULL && *ret_document == NULL)
        *ret_document = value;
    config_leave(reader, before);
    return schema;
}

/* "@other": the input that another tool of the toolset has. NULL with a finding. */
static json_t *input_of_other(struct reader *reader, const json_t *tools, json_t *value)
{
    for (int hops = 0; json_is_string(value); hops++) {
        const char   *name = json_string_value(value);
        const json_t *other = name[0] == '@' ? json_object_get(tools, name + 1) : NULL;
        value = json_object_get(other, "input");
        if (value == NULL || hops == INPUT_HOPS_MAX) {
            config_error(reader, "input", "%.100s: no tool of this toolset has such an input", name);
            return NULL;
        }
    }
    return value;
}

static void read_schemas(struct reader *reader, const json_t *tools, const json_t *object, struct tool *tool)
{
    json_t *input = json_object_get(object, "input"), *output = json_object_get(object, "output");
    if (input == NULL) {
        input = config_own(reader, json_pack("{s:s, s:{}}", "type", "object", "properties"));
    } else if ((input = input_of_other(reader, tools, input)) == NULL) {
        return;
    }
    tool->input_schema = schema_of(reader, input, "input", &tool->input);
    if (output != NULL)
        tool->output_schema = schema_of(reader, output, "output", &tool->output);
}

/* --- what it does --- */

static const struct template *template_of_text(struct reader *reader, const char *text,
                                               enum template_kind kind)
{
    JSON_CLEANUP json_t *object = json_object();
    if (json_object_set_new(object, "id",
                            kind == TEMPLATE_VALUE ? json_pack("[s]", text) : json_string(text)) != 0)
        panic("out of memory");
    const struct template *template = config_template(reader, object, "id", kind, NULL);
    assert(template != NULL);
    return template;
}

static const struct template *arguments_of(struct reader *reader, const json_t *object, const char *name,
                                           const char *fallback, const struct tool *tool)
{
    if (json_object_get(object, name) != NULL)
        return config_template(reader, object, name, TEMPLATE_VALUE, tool->input_schema);
    if (fallback != NULL)
        return template_of_text(reader, fallback, TEMPLATE_VALUE);
    JSON_CLEANUP json_t *empty = json_pack("{s:[]}", name);
    return config_template(reader, empty, name, TEMPLATE_VALUE, NULL);
}

static void read_start(struct reader *reader, const json_t *object, struct tool *tool)
{
    tool->id_is_default = json_object_get(object, "id") == NULL;
    tool->id = tool->id_is_default ? template_of_text(reader, DEFAULT_ID, TEMPLATE_ID)
                                   : config_template(reader, object, "id", TEMPLATE_ID, tool->input_schema);
    tool->args = arguments_of(reader, object, "args", "{@}", tool);
    if (tool->kind != TOOL_START)
        tool->operation_args = arguments_of(reader, object,
                                            tool->kind == TOOL_UPDATE_WITH_START ? "update_args"
                                                                                 : "signal_args",
                                            NULL, tool);
    if (tool->task_queue == NULL)
        config_error(reader, NULL, "\"task_queue\" is missing, here or in the toolset");
    if (json_object_get(object, "window") != NULL && tool->closed == CLOSED_RERUN)
        config_find(reader, CONFIG_WARNING, "window", "says nothing while \"closed\" is \"rerun\"");
}

static void read_kind(struct reader *reader, const json_t *object, struct tool *tool)
{
    const struct config_table *table = NULL;
    const char                *name = NULL;
    size_t                     found = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (json_object_get(object, kinds[i].name) == NULL)
            continue;
        found++;
        table = kinds[i].table;
        name = kinds[i].name;
        tool->kind = kinds[i].kind;
    }
    if (found != 1) {
        config_error(
            reader, NULL,
            "must have exactly one of start, update_with_start, signal_with_start, signal, update, query");
        return;
    }
    const json_t *action = json_object_get(object, name);
    size_t        before = config_enter(reader, name);
    if (config_read_fields(reader, action, table, tool)) {
        if (tool->kind <= TOOL_SIGNAL_WITH_START) {
            read_start(reader, action, tool);
        } else {
            tool->id = config_template(reader, action, "workflow_id", TEMPLATE_ID, tool->input_schema);
            tool->operation_args = arguments_of(reader, action, "args", NULL, tool);
        }
        if (config_field_named(table, "update_id") != NULL)
            tool->update_id = config_template(reader, action, "update_id", TEMPLATE_ID, tool->input_schema);
    }
    config_leave(reader, before);
}

/* --- approvals --- */

static const struct answer_rule *read_rules(struct reader *reader, const json_t *object, const char *name,
                                            const json_t *form, size_t *ret_count)
{
    json_t             *rules = json_object_get(object, name);
    size_t              count = json_is_array(rules) ? json_array_size(rules) : rules == NULL ? 0 : 1;
    struct answer_rule *list = config_alloc(reader, count, sizeof *list);
    size_t              before = config_enter(reader, name);
    for (size_t i = 0; i < count; i++) {
        const json_t *rule = json_is_array(rules) ? json_array_get(rules, i) : rules;
        size_t        inner = json_is_array(rules) ? config_enter_index(reader, i) : reader->pointer.size;
        if (config_read_fields(reader, rule, &table_rule, &list[i])) {
            list[i].args = config_template(reader, rule, "args", TEMPLATE_VALUE, NULL);
            if ((list[i].signal == NULL) == (list[i].update == NULL))
                config_error(reader, NULL, "must have either \"signal\" or \"update\"");
            if (list[i].condition != NULL &&
                json_object_get(json_object_get(form, "properties"), list[i].condition) == NULL)
                config_error(reader, "if", "the form has no such field");
        }
        config_leave(reader, inner);
    }
    config_leave(reader, before);
    *ret_count = count;
    return list;
}

/* As MCP wants it: a flat object of simple fields. */
static void read_form(struct reader *reader, json_t *form, struct approval *approval)
{
    const char *name;
    json_t     *field, *published = config_own(reader, json_deep_copy(form));
    size_t      before = config_enter(reader, "form");
    if (json_object_get(published, "type") == NULL &&
        json_object_set_new(published, "type", json_string("object")) != 0)
        panic("out of memory");
    if (!json_is_object(json_object_get(form, "properties")))
        config_error(reader, NULL, "\"properties\" is missing");
    json_object_foreach(json_object_get(form, "properties"), name, field)
    {
        const char *type = json_string_value(json_object_get(field, "type"));
        if (type == NULL || strcmp(type, "object") == 0 || strcmp(type, "null") == 0) {
            size_t inner = config_enter(reader, "properties");
            config_error(
                reader, name,
                "must be of a simple type: string, number, integer, boolean (or an array of choices)");
            config_leave(reader, inner);
        }
    }
    approval->form = published;
    approval->form_schema = config_schema(reader, published);
    config_leave(reader, before);
}

static void read_approval(struct reader *reader, const json_t *object, struct tool *tool)
{
    json_t *member = config_member(reader, object, &table_tool, "approval");
    if (member == NULL)
        return;
    struct approval *approval = config_alloc(reader, 1, sizeof *approval);
    size_t           before = config_enter(reader, "approval");
    if (config_read_fields(reader, member, &table_approval, approval)) {
        json_t *when = config_member(reader, member, &table_approval, "when");
        json_t *form = config_member(reader, member, &table_approval, "form");
        size_t  inner = config_enter(reader, "when");
        if (when != NULL && config_read_fields(reader, when, &table_condition, &approval->when))
            approval->when.equals = json_object_get(when, "equals");
        config_leave(reader, inner);
        if (form != NULL)
            read_form(reader, form, approval);
        approval->message = config_template(reader, member, "message", TEMPLATE_TEXT, tool->input_schema);
        approval->accept = read_rules(reader, member, "accept", form, &approval->accept_count);
        approval->decline = read_rules(reader, member, "decline", form, &approval->decline_count);
        if (tool->kind > TOOL_SIGNAL_WITH_START)
            config_error(reader, NULL, "only a tool that starts a workflow asks");
    }
    config_leave(reader, before);
    tool->approval = approval;
}

static void read_require_query(struct reader *reader, const json_t *object, struct tool *tool)
{
    json_t *member = config_member(reader, object, &table_tool, "require_query");
    if (member == NULL)
        return;
    if (json_object_size(member) != 1) {
        config_error(reader, "require_query", "must be one query and what it must answer");
        return;
    }
    void *first = json_object_iter(member);
    tool->require_query = (struct query_condition){ json_object_iter_key(first),
                                                    json_object_iter_value(first) };
}

/* --- one tool --- */

static void lint(struct reader *reader, const struct tool *tool)
{
    bool starts = tool->kind <= TOOL_SIGNAL_WITH_START;
    if (tool->description == NULL)
        config_find(reader, CONFIG_WARNING, NULL, "no description: a model cannot tell what it is for");
    if (!tool->read_only && !tool->shared && tool->id != NULL && !template_names_caller(tool->id))
        config_find(reader, CONFIG_WARNING, NULL,
                    "the id has no {caller}: all callers %s (\"shared\": true says that it is meant)",
                    starts ? "share these runs" : "reach these workflows");
    if (tool->output_schema != NULL && tool->kind == TOOL_SIGNAL)
        config_find(reader, CONFIG_WARNING, "output", "a signal has no result");
}

static const char *version_of(struct reader *reader, const json_t *object, const struct tool *tool)
{
    JSON_CLEANUP json_t *whole = json_pack("{s:O, s:O?, s:O?, s:s?, s:s?}", "tool", object, "input",
                                           tool->input, "output", tool->output, "queue", tool->task_queue,
                                           "namespace", tool->namespace_name);
    return config_text(reader, "%016" PRIx64, config_hash(whole));
}

static void read_scopes(struct reader *reader, const struct toolset *toolset, struct tool *tool)
{
    const struct auth_options *auth = &reader->catalog->auth;
    size_t                     count = auth->scope_count + toolset->scope_count + tool->scope_count, at = 0;
    const char               **scopes = config_alloc(reader, count, sizeof *scopes);
    for (size_t i = 0; i < auth->scope_count; i++)
        scopes[at++] = auth->scopes[i];
    for (size_t i = 0; i < toolset->scope_count; i++)
        scopes[at++] = toolset->scopes[i];
    for (size_t i = 0; i < tool->scope_count; i++)
        scopes[at++] = tool->scopes[i];
    tool->scopes = scopes;
    tool->scope_count = count;
}

static void read_tool(struct reader *reader, const json_t *tools, const json_t *object, struct tool *tool)
{
    const struct toolset *toolset = tool->toolset;
    if (!config_is_name(tool->name, 128, true))
        config_error(reader, NULL, "a tool's name is 1 to 128 of A-Z a-z 0-9 _ . -");
    if (!config_read_fields(reader, object, &table_tool, tool))
        return;
    tool->namespace_name = toolset->namespace_name;
    tool->annotations = config_member(reader, object, &table_tool, "annotations");
    tool->icons = config_member(reader, object, &table_tool, "icons");
    tool->meta = config_member(reader, object, &table_tool, "_meta");
    read_scopes(reader, toolset, tool);
    read_schemas(reader, tools, object, tool);
    read_kind(reader, object, tool);
    tool->read_only = tool->kind == TOOL_QUERY ||
                      json_is_true(json_object_get(tool->annotations, "readOnlyHint"));
    read_require_query(reader, object, tool);
    read_approval(reader, object, tool);
    tool->running_text = config_template(reader, object, "running_text", TEMPLATE_TEXT, tool->input_schema);
    const json_t *uri = config_member(reader, object, &table_tool, "resource");
    tool->resource = json_string_value(uri);
    tool->version = version_of(reader, object, tool);
    lint(reader, tool);
}

void config_read_tools(struct reader *reader, const json_t *tools, struct toolset *toolset,
                       const struct tool *defaults)
{
    const char *name;
    json_t     *object;
    if (json_object_size(tools) > CONFIG_TOOLS_MAX) {
        config_error(reader, NULL, "more than %d tools", CONFIG_TOOLS_MAX);
        return;
    }
    toolset->tools = config_alloc(reader, json_object_size(tools), sizeof *toolset->tools);
    json_object_foreach((json_t *)(uintptr_t)tools, name, object)
    {
        struct tool *tool = &toolset->tools[toolset->tool_count++];
        size_t       before = config_enter(reader, name);
        *tool = *defaults;
        tool->toolset = toolset;
        tool->name = name;
        tool->version = "";
        read_tool(reader, tools, object, tool);
        config_leave(reader, before);
    }
}
