/* resource.c: resources/list, resources/templates/list, resources/read. */
#include "mcp/gateway_internal.h"

static json_t *resource_json(const struct request *request, const struct resource *resource)
{
    json_t *value = json_pack("{s:s, s:s, s:s*, s:s*, s:O*}", resource->is_template ? "uriTemplate" : "uri",
                              resource->uri, "name", resource->name == NULL ? resource->uri : resource->name,
                              "description", resource->description, "mimeType", resource->mime_type,
                              "annotations", resource->annotations);
    if (request->revision->structured && resource->title != NULL)
        json_object_set_new(value, "title", json_string(resource->title));
    return value;
}

/* One that a tool reads is there for those alone who may call the tool. */
static bool may_read(const struct request *request, const struct resource *resource)
{
    for (size_t i = 0; resource->tool != NULL && i < resource->tool->scope_count; i++) {
        if (!caller_has_scope(&request->caller, resource->tool->scopes[i]))
            return false;
    }
    return true;
}

static json_t *list_of(const struct request *request, bool templates)
{
    json_t *items = json_array();
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        for (size_t j = 0; j < toolset->resource_count; j++) {
            if (toolset->resources[j].is_template == templates && may_read(request, &toolset->resources[j]))
                json_array_append_new(items, resource_json(request, &toolset->resources[j]));
        }
    }
    return items;
}

void handle_resources_list(struct request *request)
{
    list_answer(request, "resources", list_of(request, false));
}

void handle_resource_templates_list(struct request *request)
{
    json_t *items = list_of(request, true);
    run_resource_templates(request, items);
    list_answer(request, "resourceTemplates", items);
}

void resource_answer(struct request *request, json_t *content)
{
    json_t *result = json_pack("{s:[o]}", "contents", content);
    add_cache_hints(request, result, 0);
    request_result(request, result);
}

static json_t *content_of(const struct request *request, const struct resource *resource)
{
    return json_pack("{s:O, s:s*}", "uri", json_object_get(request->params, "uri"), "mimeType",
                     resource->mime_type);
}

const struct resource *resource_find(const struct request *request, struct bytes uri, json_t **ret_names)
{
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct resource *resource = toolset_resource(request_toolset(request, i), uri, ret_names);
        if (resource != NULL && may_read(request, resource))
            return resource;
        json_decref(*ret_names);
        *ret_names = NULL;
    }
    return NULL;
}

/* A tool's answer as a resource: its first text, or its structured content. */
static void finish_read(struct request *request, const struct outcome *outcome)
{
    json_t                *names = NULL;
    struct bytes           uri = json_text(json_object_get(request->params, "uri"));
    const struct resource *resource = resource_find(request, uri, &names);
    json_decref(names);
    if (outcome->kind == OUTCOME_PROTOCOL || json_is_true(json_object_get(outcome->result, "isError")) ||
        resource == NULL) {
        const char *text = json_string_value(
            json_object_get(json_array_get(json_object_get(outcome->result, "content"), 0), "text"));
        request_error(request, outcome->kind == OUTCOME_PROTOCOL ? outcome->code : RPC_INTERNAL_ERROR, NULL,
                      "%s",
                      outcome->message != NULL ? outcome->message
                      : text != NULL           ? text
                                               : "it cannot be read");
        return;
    }
    json_t       *content = content_of(request, resource);
    const json_t *first = json_array_get(json_object_get(outcome->result, "content"), 0);
    json_t       *text = json_object_get(first, "text");
    json_object_set_new(content, "text", text == NULL ? json_string("") : json_incref(text));
    resource_answer(request, content);
}

void resource_not_found(struct request *request)
{
    json_t *data = json_pack("{s:O}", "uri", json_object_get(request->params, "uri"));
    request_error(request, request->revision->modern ? RPC_INVALID_PARAMS : RPC_RESOURCE_NOT_FOUND, data,
                  "there is no such resource");
}

void handle_resources_read(struct request *request)
{
    struct bytes         uri;
    struct error         error;
    json_t JSON_CLEANUP *names = NULL;
    if (!request_text_param(request, "uri", &uri))
        return;
    const struct resource *resource = resource_find(request, uri, &names);
    if (resource == NULL) {
        if (!run_resource_read(request, uri))
            resource_not_found(request);
        return;
    }
    json_t JSON_CLEANUP *none = json_object();
    json_t              *arguments = names == NULL ? none : names;
    if (resource->tool != NULL) {
        call_begin(request, resource->tool, arguments, finish_read);
        return;
    }
    json_t *content = content_of(request, resource);
    if (resource->text_template == NULL) {
        bool         binary = resource->blob.base != NULL;
        struct bytes bytes = binary ? resource->blob : resource->text;
        json_object_set_new(content, binary ? "blob" : "text",
                            json_stringn((const char *)bytes.base, bytes.size));
        resource_answer(request, content);
        return;
    }
    struct buffer          CLEANUP(buffer_release) text = { 0 };
    struct template_values values = { .arguments = arguments, .caller = bytes_of_text(request->caller.name) };
    if (template_text(resource->text_template, &values, &text, &error) != ST_OK) {
        json_decref(content);
        request_error(request, RPC_INVALID_PARAMS, NULL, "%s", error.message);
        return;
    }
    json_object_set_new(content, "text",
                        json_stringn(text.base == NULL ? "" : (const char *)text.base, text.size));
    resource_answer(request, content);
}
