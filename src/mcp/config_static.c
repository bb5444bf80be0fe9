/* config_static.c: prompts and resources, which are text of the document itself (or come from a tool). */
#include <stdio.h>

#include "base/hash.h"
#include "mcp/config_internal.h"

#define NAMES_MAX 64

/* The tool of the same toolset that a member names; NULL with a finding, or because there is no such member. */
static const struct tool *tool_named(struct reader *reader, const json_t *object,
                                     const struct config_table *table, const struct toolset *toolset)
{
    const json_t *name = config_member(reader, object, table, "tool");
    if (name == NULL)
        return NULL;
    const struct tool *tool = toolset_tool(toolset, json_text(name));
    if (tool == NULL)
        config_error(reader, "tool", "the toolset has no such tool");
    return tool;
}

static const json_t *read_completions(struct reader *reader, const json_t *object,
                                      const struct config_table *table, const struct bytes *names,
                                      size_t count)
{
    const char *name;
    json_t     *values, *completions = config_member(reader, object, table, "completions");
    json_object_foreach(completions, name, values)
    {
        bool known = false, fine = json_is_array(values);
        for (size_t i = 0; i < count; i++)
            known = known || bytes_equal_text(names[i], name);
        for (size_t i = 0; i < json_array_size(values); i++)
            fine = fine && json_is_string(json_array_get(values, i));
        size_t before = config_enter(reader, "completions");
        if (!known || !fine)
            config_error(reader, name,
                         known ? "must be an array of strings" : "there is nothing of this name to complete");
        config_leave(reader, before);
    }
    return completions;
}

/* --- prompts --- */

static size_t argument_names(struct reader *reader, const json_t *arguments, struct bytes names[NAMES_MAX])
{
    size_t before = config_enter(reader, "arguments"), count = 0;
    for (size_t i = 0; i < json_array_size(arguments); i++) {
        struct bytes name = json_text(json_object_get(json_array_get(arguments, i), "name"));
        size_t       inner = config_enter_index(reader, i);
        if (name.size == 0 || count == NAMES_MAX)
            config_error(reader, NULL, name.size == 0 ? "\"name\" is missing" : "more than 64 arguments");
        else
            names[count++] = name;
        config_leave(reader, inner);
    }
    config_leave(reader, before);
    return count;
}

/* A content that is a string is text. NULL with findings. */
static json_t *full_messages(struct reader *reader, const json_t *messages)
{
    size_t  before = config_enter(reader, "messages"), errors = reader->report->error_count;
    json_t *full = config_own(reader, json_deep_copy(messages));
    if (!json_is_array(full))
        config_error(reader, NULL, "must be an array");
    for (size_t i = 0; i < json_array_size(full); i++) {
        json_t     *message = json_array_get(full, i), *content = json_object_get(message, "content");
        const char *role = json_string_value(json_object_get(message, "role"));
        size_t      inner = config_enter_index(reader, i);
        if (role == NULL || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0))
            config_error(reader, "role", "must be \"user\" or \"assistant\"");
        if (json_is_string(content) &&
            json_object_set_new(message, "content",
                                json_pack("{s:s, s:O}", "type", "text", "text", content)) != 0)
            panic("out of memory");
        else if (!json_is_string(content) && !json_is_object(content))
            config_error(reader, "content", "must be a string or a content of MCP");
        config_leave(reader, inner);
    }
    config_leave(reader, before);
    return reader->report->error_count == errors ? full : NULL;
}

static void read_prompt(struct reader *reader, const json_t *object, const struct toolset *toolset,
                        struct prompt *prompt)
{
    struct bytes names[NAMES_MAX];
    if (!config_is_name(prompt->name, 128, true))
        config_error(reader, NULL, "a prompt's name is 1 to 128 of A-Z a-z 0-9 _ . -");
    if (!config_read_fields(reader, object, &table_prompt, prompt))
        return;
    prompt->arguments = config_member(reader, object, &table_prompt, "arguments");
    size_t        count = argument_names(reader, prompt->arguments, names);
    const json_t *messages = json_object_get(object, "messages");
    prompt->completions = read_completions(reader, object, &table_prompt, names, count);
    prompt->tool = tool_named(reader, object, &table_prompt, toolset);
    if ((messages == NULL) == (json_object_get(object, "tool") == NULL)) {
        config_error(reader, NULL, "must have either \"messages\" or \"tool\"");
        return;
    }
    json_t *full = messages == NULL ? NULL : full_messages(reader, messages);
    if (full == NULL)
        return;
    JSON_CLEANUP json_t *holder = json_pack("{s:O}", "messages", full);
    prompt->messages = config_template(reader, holder, "messages", TEMPLATE_VALUE,
                                       config_names_schema(reader, names, count));
}

void config_read_prompts(struct reader *reader, const json_t *prompts, struct toolset *toolset)
{
    const char *name;
    json_t     *object;
    if (json_object_size(prompts) > CONFIG_TOOLS_MAX) {
        config_error(reader, NULL, "more than %d prompts", CONFIG_TOOLS_MAX);
        return;
    }
    toolset->prompts = config_alloc(reader, json_object_size(prompts), sizeof *toolset->prompts);
    json_object_foreach((json_t *)(uintptr_t)prompts, name, object)
    {
        struct prompt *prompt = &toolset->prompts[toolset->prompt_count++];
        size_t         before = config_enter(reader, name);
        prompt->toolset = toolset;
        prompt->name = name;
        read_prompt(reader, object, toolset, prompt);
        config_leave(reader, before);
    }
}

/* --- resources --- */

/* The names in a URI like test://template/{id}/data; false: braces that do not fit. */
static bool uri_names(const char *uri, struct bytes names[NAMES_MAX], size_t *ret_count)
{
    size_t count = 0;
    for (const char *open; (open = strpbrk(uri, "{}")) != NULL;) {
        size_t size = strcspn(open + 1, "{}./|@");
        if (*open == '}' || open[1 + size] != '}' || size == 0 || count == NAMES_MAX)
            return false;
        names[count++] = bytes_of(open + 1, size);
        uri = open + size + 2;
    }
    *ret_count = count;
    return true;
}

static struct bytes owned_text(struct reader *reader, struct bytes text)
{
    char *copy = config_alloc(reader, text.size + 1, 1);
    if (text.size > 0)
        memcpy(copy, text.base, text.size);
    return bytes_of(copy, text.size); /* not NULL even when it is empty */
}

static void read_content(struct reader *reader, const json_t *object, const struct toolset *toolset,
                         struct resource *resource, const struct schema *names)
{
    static const char *const ways[] = { "text", "json", "blob", "file", "tool" };
    size_t                   found = 0;
    const json_t            *member;
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++)
        found += json_object_get(object, ways[i]) != NULL;
    if (found != 1) {
        config_error(reader, NULL, "must have exactly one of text, json, blob, file and tool");
        return;
    }
    resource->tool = tool_named(reader, object, &table_resource, toolset);
    if ((member = json_object_get(object, "text")) != NULL) {
        if (!json_is_string(member))
            config_error(reader, "text", "must be a string");
        else if (resource->is_template)
            resource->text_template = config_template(reader, object, "text", TEMPLATE_TEXT, names);
        else
            resource->text = owned_text(reader, json_text(member));
    }
    if ((member = json_object_get(object, "json")) != NULL) {
        CLEANUP(buffer_release) struct buffer text = { 0 };
        bool fine UNUSED = json_canonical(member, &text); /* json_read bounded its depth */
        resource->text = owned_text(reader, buffer_bytes(&text));
        if (resource->mime_type == NULL)
            resource->mime_type = "application/json";
    }
    if ((member = config_member(reader, object, &table_resource, "blob")) != NULL)
        resource->blob = owned_text(reader, json_text(member));
    if ((member = config_member(reader, object, &table_resource, "file")) != NULL) {
        struct config_text file;
        size_t             before = config_enter(reader, "file");
        if (config_file(reader, json_string_value(member), RESOURCE_CONTENT_MAX, &file)) {
            if (bytes_is_utf8(file.text))
                resource->text = file.text;
            else
                config_error(reader, NULL, "must be text in UTF-8");
        }
        config_leave(reader, before);
    }
}

static void read_resource(struct reader *reader, const json_t *object, const struct toolset *toolset,
                          struct resource *resource)
{
    struct bytes names[NAMES_MAX];
    size_t       count = 0;
    if (strchr(resource->uri, ':') == NULL || !uri_names(resource->uri, names, &count))
        config_error(reader, NULL, "must be a URI, perhaps with {names} in it");
    if (!config_read_fields(reader, object, &table_resource, resource))
        return;
    resource->is_template = count > 0;
    if (resource->name == NULL)
        resource->name = resource->uri;
    resource->annotations = config_member(reader, object, &table_resource, "annotations");
    resource->completions = read_completions(reader, object, &table_resource, names, count);
    read_content(reader, object, toolset, resource,
                 count > 0 ? config_names_schema(reader, names, count) : NULL);
}

/* A tool that is a resource besides: its URI's names are arguments. */
static void add_tool_resource(struct reader *reader, const struct tool *tool, struct toolset *toolset)
{
    struct resource *resource = &toolset->resources[toolset->resource_count++];
    const json_t    *properties = json_object_get(tool->input, "properties");
    struct bytes     names[NAMES_MAX];
    size_t           count = 0;
    bool             has_scheme = strstr(tool->resource, "://") != NULL;
    *resource = (struct resource){ .toolset = toolset,
                                   .uri = has_scheme ? tool->resource
                                                     : config_text(reader, "tool://%s/%.400s", toolset->name,
                                                                   tool->resource),
                                   .name = tool->name,
                                   .title = tool->title,
                                   .description = tool->description,
                                   .tool = tool };
    if (!uri_names(resource->uri, names, &count))
        config_error(reader, "resource", "must be a URI, perhaps with {names} in it");
    for (size_t i = 0; i < count; i++)
        if (json_object_getn(properties, (const char *)names[i].base, names[i].size) == NULL)
            config_error(reader, "resource", "the tool has no argument \"%.*s\"", BYTES_FMT(names[i]));
    resource->is_template = count > 0;
    toolset->resources_hash ^= hash_stable(bytes_of_text(resource->uri));
}

void config_add_tool_resources(struct reader *reader, struct toolset *toolset)
{
    for (size_t i = 0; i < toolset->tool_count && toolset->resources != NULL; i++) {
        const struct tool *tool = &toolset->tools[i];
        if (tool->resource == NULL)
            continue;
        size_t before = config_enter(reader, tool->name);
        add_tool_resource(reader, tool, toolset);
        config_leave(reader, before);
    }
}

void config_read_resources(struct reader *reader, const json_t *resources, struct toolset *toolset)
{
    const char *uri;
    json_t     *object;
    if (json_object_size(resources) > CONFIG_TOOLS_MAX) {
        config_error(reader, NULL, "more than %d resources", CONFIG_TOOLS_MAX);
        return;
    }
    toolset->resources = config_alloc(reader, json_object_size(resources) + toolset->tool_count,
                                      sizeof *toolset->resources);
    json_object_foreach((json_t *)(uintptr_t)resources, uri, object)
    {
        struct resource *resource = &toolset->resources[toolset->resource_count++];
        size_t           before = config_enter(reader, uri);
        resource->toolset = toolset;
        resource->uri = uri;
        read_resource(reader, object, toolset, resource);
        if (resource->text.base != NULL) /* a file's content is not in the document */
            toolset->resources_hash ^= hash_stable(resource->text);
        config_leave(reader, before);
    }
}

/* What the names of a URI's form stand for; NULL: it has another form. A name takes everything up to the text that follows
 * it, but no slash. */
static json_t *match_uri(const char *form, struct bytes uri)
{
    json_t *names = json_object();
    size_t  at = 0;
    bool    fits = true;
    while (fits && *form != '\0') {
        if (*form != '{') {
            fits = at < uri.size && uri.base[at] == (uint8_t)*form;
            at++;
            form++;
            continue;
        }
        const char *name = form + 1, *end = strchr(form, '}');
        size_t      begin = at;
        form = end + 1;
        while (at < uri.size && uri.base[at] != '/' && (*form == '\0' || uri.base[at] != (uint8_t)*form))
            at++;
        json_t *value = json_stringn((const char *)uri.base + begin, at - begin);
        fits = at > begin && value != NULL &&
               json_object_setn_new(names, name, (size_t)(end - name), value) == 0;
        if (at == begin)
            json_decref(value);
    }
    if (fits && at == uri.size)
        return names;
    json_decref(names);
    return NULL;
}

const struct resource *toolset_resource(const struct toolset *toolset, struct bytes uri, json_t **ret_names)
{
    *ret_names = NULL;
    for (size_t i = 0; i < toolset->resource_count; i++)
        if (!toolset->resources[i].is_template && bytes_equal_text(uri, toolset->resources[i].uri))
            return &toolset->resources[i];
    for (size_t i = 0; i < toolset->resource_count; i++)
        if (toolset->resources[i].is_template &&
            (*ret_names = match_uri(toolset->resources[i].uri, uri)) != NULL)
            return &toolset->resources[i];
    return NULL;
}
