/* list.c: what there is: server/discover, initialize, tools/list. Nothing here depends on the connection. */
#include <stdio.h>

#include "mcp/gateway_internal.h"

#define PAGE_SIZE 200

json_t *server_info(const struct gateway *gateway)
{
    return json_pack("{s:s, s:s, s:s}", "name", "perdure", "title", "Perdure durable tools", "version",
                     gateway->version);
}

size_t request_toolset_count(const struct request *request)
{
    return request->toolset != NULL ? 1 : request->catalog->toolset_count;
}

const struct toolset *request_toolset(const struct request *request, size_t index)
{
    return request->toolset != NULL ? request->toolset : request->catalog->toolsets[index];
}

void handle_empty(struct request *request)
{
    request_result(request, json_object());
}

static json_t *instructions(const struct request *request)
{
    struct buffer CLEANUP(buffer_release) text = { 0 };
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        if (toolset->instructions == NULL)
            continue;
        if (text.size != 0)
            buffer_append_text(&text, "\n");
        buffer_append_text(&text, toolset->instructions);
    }
    return text.size == 0 ? NULL : json_stringn((const char *)text.base, text.size);
}

static json_t *capabilities(const struct request *request)
{
    json_t *value = json_pack("{s:{s:b}, s:{s:b}, s:{s:b, s:b}, s:{}}", "tools", "listChanged", true,
                              "prompts", "listChanged", true, "resources", "listChanged", true, "subscribe",
                              true, "completions");
    if (request->revision->modern)
        json_object_set_new(value, "extensions", json_pack("{s:{}}", TASKS_EXTENSION));
    else
        json_object_set_new(value, "logging", json_object());
    if (request->revision->input_tasks)
        json_object_set_new(value, "tasks",
                            json_pack("{s:{}, s:{s:{s:{}}}}", "cancel", "requests", "tools", "call"));
    return value;
}

void add_cache_hints(const struct request *request, json_t *result, int64_t ttl_ms)
{
    if (!request->revision->modern)
        return;
    json_object_set_new(result, "ttlMs", json_integer(ttl_ms));
    json_object_set_new(result, "cacheScope", json_string("private"));
}

void handle_discover(struct request *request)
{
    json_t *result = json_pack("{s:[s], s:o, s:o*}", "supportedVersions", REVISION_NEWEST->name,
                               "capabilities", capabilities(request), "instructions", instructions(request));
    add_cache_hints(request, result, LIST_TTL_MS);
    request_result(request, result);
}

void handle_initialize(struct request *request)
{
    struct bytes wanted = json_text(json_object_get(request->params, "protocolVersion"));
    if (wanted.size == 0 || !json_is_object(json_object_get(request->params, "capabilities"))) {
        request_error(request, RPC_INVALID_PARAMS, NULL, "initialize needs protocolVersion and capabilities");
        return;
    }
    const struct revision *revision = revision_find(wanted);
    request->revision = revision == NULL || revision->modern ? REVISION_NEWEST_LEGACY : revision;
    json_t *result = json_pack("{s:s, s:o, s:o, s:o*}", "protocolVersion", request->revision->name,
                               "capabilities", capabilities(request), "serverInfo",
                               server_info(request->gateway), "instructions", instructions(request));
    /* All that there is to a session. What the client can do is kept by name alone: the rest may be long. */
    json_t     *can = json_object();
    const char *name;
    json_t     *value;
    json_object_foreach(json_object_get(request->params, "capabilities"), name, value)
    {
        if (json_object_size(can) < 16 && strlen(name) < 64)
            json_object_set_new(can, name, json_object());
    }
    uint8_t nonce[8];
    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)random_next(&request->gateway->backend.random);
    json_t *session = json_pack("{s:s, s:o, s:I}", "version", request->revision->name, "capabilities", can,
                                "n", (json_int_t)(*(uint32_t *)(void *)nonce));
    char   *token = token_make(request, SEAL_SESSION, SESSION_NS, session);
    json_decref(session);
    request->session = json_pack("{s:s}", "token", token == NULL ? "" : token);
    free(token);
    request_result(request, result);
}

/* --- tools --- */

/* At /mcp two toolsets may have tools of one name: each is then TOOLSET.NAME there. */
static bool is_ambiguous(const struct request *request, const char *name)
{
    size_t found = 0;
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct tool *tool = toolset_tool(request_toolset(request, i), bytes_of_text(name));
        found += tool != NULL && tool->exposed;
    }
    return found > 1;
}

bool tool_is_for(const struct tool *tool, const struct caller *caller)
{
    if (!tool->exposed)
        return false;
    for (size_t i = 0; i < tool->scope_count; i++) {
        if (!caller_has_scope(caller, tool->scopes[i]))
            return false;
    }
    return true;
}

const struct tool *tool_find(const struct request *request, struct bytes name)
{
    const struct tool *found = NULL;
    size_t             count = 0;
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        size_t                prefix = strlen(toolset->name);
        const struct tool    *tool = toolset_tool(toolset, name);
        if (tool != NULL && tool->exposed) {
            found = tool;
            count++;
        }
        if (name.size > prefix + 1 && memcmp(name.base, toolset->name, prefix) == 0 &&
            name.base[prefix] == '.') {
            tool = toolset_tool(toolset, bytes_of(name.base + prefix + 1, name.size - prefix - 1));
            if (tool != NULL && tool->exposed)
                return tool;
        }
    }
    return count == 1 ? found : NULL;
}

static json_t *handoff_schema(void)
{
    return json_pack("{s:s, s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}}, s:[s, s]}", "type", "object", "description",
                     "Still running: call task_result with the handle.", "properties", "status", "const",
                     "working", "handle", "type", "string", "poll_after_ms", "type", "integer", "required",
                     "status", "handle");
}

static json_t *advertised_output(const struct tool *tool)
{
    if (tool->output == NULL)
        return NULL;
    if (!tool->hand_off)
        return json_incref((json_t *)tool->output);
    /* Definitions stay at the root, where references look for them. */
    json_t *declared = json_copy((json_t *)tool->output);
    json_t *definitions = json_incref(json_object_get(declared, "$defs"));
    json_object_del(declared, "$defs");
    json_object_del(declared, "$schema");
    return json_pack("{s:s, s:[o, o], s:o*}", "type", "object", "anyOf", declared, handoff_schema(), "$defs",
                     definitions);
}

static json_t *tool_json(const struct request *request, const struct tool *tool)
{
    const struct revision *revision = request->revision;
    char                   name[300];
    snprintf(name, sizeof name, "%s%s%s", is_ambiguous(request, tool->name) ? tool->toolset->name : "",
             is_ambiguous(request, tool->name) ? "." : "", tool->name);
    json_t *value = json_pack("{s:s, s:s*, s:O}", "name", name, "description", tool->description,
                              "inputSchema", tool->input);
    if (tool->annotations != NULL)
        json_object_set(value, "annotations", (json_t *)tool->annotations);
    if (revision->structured && tool->title != NULL)
        json_object_set_new(value, "title", json_string(tool->title));
    json_t *output = revision->structured ? advertised_output(tool) : NULL;
    if (output != NULL)
        json_object_set_new(value, "outputSchema", output);
    if (tool->icons != NULL && (revision->modern || revision->input_tasks))
        json_object_set(value, "icons", (json_t *)tool->icons);
    if (tool->meta != NULL && revision->structured)
        json_object_set(value, "_meta", (json_t *)tool->meta);
    if (revision->input_tasks && tool->kind == TOOL_START && tool->task != TASK_NEVER)
        json_object_set_new(value, "execution", json_pack("{s:s}", "taskSupport", "optional"));
    return value;
}

static bool hands_off(const struct request *request)
{
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        for (size_t j = 0; j < toolset->tool_count; j++) {
            if (toolset->tools[j].exposed && toolset->tools[j].hand_off)
                return true;
        }
    }
    return false;
}

void handle_tools_list(struct request *request)
{
    json_t *tools = json_array();
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        for (size_t j = 0; j < toolset->tool_count; j++) {
            if (tool_is_for(&toolset->tools[j], &request->caller))
                json_array_append_new(tools, tool_json(request, &toolset->tools[j]));
        }
    }
    if (hands_off(request))
        builtin_list(tools, request->revision);
    list_answer(request, "tools", tools);
}

/* A cursor is the number of items before it, under no seal: whatever it says, nothing but this list is shown. */
void list_answer(struct request *request, const char *name, json_t *items)
{
    const json_t *cursor = json_object_get(request->params, "cursor");
    size_t        count = json_array_size(items), first = 0;
    if (cursor != NULL) {
        char              *end = NULL;
        const char        *text = json_string_value(cursor);
        unsigned long long number = text == NULL ? 0 : strtoull(text, &end, 10);
        if (text == NULL || end == text || *end != 0 || number == 0 || number > count) {
            json_decref(items);
            request_error(request, RPC_INVALID_PARAMS, NULL, "params.cursor is none that was given out");
            return;
        }
        first = (size_t)number;
    }
    json_t *page = json_array();
    size_t  end = MIN(first + PAGE_SIZE, count);
    for (size_t i = first; i < end; i++)
        json_array_append(page, json_array_get(items, i));
    json_decref(items);
    json_t *result = json_pack("{s:o}", name, page);
    if (end < count) {
        char text[24];
        snprintf(text, sizeof text, "%zu", end);
        json_object_set_new(result, "nextCursor", json_string(text));
    }
    add_cache_hints(request, result, LIST_TTL_MS);
    request_result(request, result);
}
