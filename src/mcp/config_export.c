/* config_export.c: a toolset of a file as a document that stands alone: what a registry can keep. */
#include "mcp/config_internal.h"

static void set(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        panic("out of memory");
}

/* A schema that is in a file of its own comes into the document; the catalog has read it. */
static void take_schema(json_t *tool, const char *name, const json_t *read)
{
    const char *file = json_string_value(json_object_get(json_object_get(tool, name), "$ref"));
    if (file != NULL && *file != '#' && read != NULL)
        set(tool, name, json_deep_copy(read));
}

static enum status take_file(json_t *object, const struct resource *resource, struct error *error)
{
    if (json_object_get(object, "file") == NULL) /* also where a tool's own field has made it */
        return ST_OK;
    if (resource->is_template)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "resource %s: a file for a URI with {names} cannot stand in the registry",
                         resource->uri);
    json_object_del(object, "file");
    set(object, "text", json_stringn((const char *)resource->text.base, resource->text.size));
    return ST_OK;
}

json_t *config_export(const json_t *document, const struct toolset *toolset, struct error *error)
{
    json_t       *of_all = json_object_get(json_object_get(document, "toolsets"), toolset->name);
    json_t       *alone = json_deep_copy(of_all);
    const json_t *defaults = json_object_get(document, "defaults");
    json_t       *tools = json_object_get(alone, "tools"), *resources = json_object_get(alone, "resources");
    if (defaults != NULL) {
        JSON_CLEANUP json_t *both = json_deep_copy(defaults);
        if (json_object_get(alone, "task_queue") != NULL)
            json_object_del(both, "task_queue"); /* the toolset's own goes before that of all */
        json_object_update(both, json_object_get(alone, "defaults"));
        set(alone, "defaults", json_incref(both));
    }
    for (size_t i = 0; i < toolset->tool_count; i++) {
        json_t *tool = json_object_get(tools, toolset->tools[i].name);
        take_schema(tool, "input", toolset->tools[i].input);
        take_schema(tool, "output", toolset->tools[i].output);
    }
    for (size_t i = 0; i < toolset->resource_count; i++) {
        if (take_file(json_object_get(resources, toolset->resources[i].uri), &toolset->resources[i], error) ==
            ST_OK)
            continue;
        json_decref(alone);
        return NULL;
    }
    return alone;
}
