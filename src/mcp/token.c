/* token.c: what the gateway gives out and takes back, as JSON under seal. */
#include "base/log.h"
#include "mcp/gateway_internal.h"

char *token_make(const struct request *request, enum seal_purpose purpose, int64_t lifetime_ns,
                 const json_t *value)
{
    struct buffer CLEANUP(buffer_release) text = { 0 };
    struct error  error;
    char         *payload = json_dumps(value, JSON_COMPACT);
    int64_t       expires = lifetime_ns == TIME_NEVER ? TIME_NEVER
                                                      : time_add(clock_wall_ns(&clock_system), lifetime_ns);
    enum status   status = seal_close(request->gateway->seal, purpose, bytes_of_text(request->caller.name),
                                      expires, bytes_of_text(payload), &text, &error);
    /* Ids and keys have limits far below that of a payload; the one thing without is what a client sent with its request. */
    if (status != ST_OK)
        log_error("mcp.token", "cannot seal: %s", error.message);
    else
        buffer_append_byte(&text, 0);
    free(payload);
    return status == ST_OK ? (char *)TAKE_PTR(text.base) : NULL;
}

json_t *token_open(const struct gateway *gateway, const struct caller *caller, enum seal_purpose purpose,
                   struct bytes text)
{
    struct buffer CLEANUP(buffer_release) payload = { 0 };
    struct error  error;
    json_t       *value;
    if (seal_open(gateway->seal, purpose, bytes_of_text(caller->name), clock_wall_ns(&clock_system), text,
                  &payload, &error) != ST_OK ||
        json_read(buffer_bytes(&payload), SEAL_PAYLOAD_MAX, 0, &value, NULL, &error) != ST_OK)
        return NULL;
    return value;
}

json_t *ref_to_json(const struct run_ref *ref, const struct tool *tool)
{
    json_t *value = json_pack("{s:s, s:s, s:s, s:s, s:s}", "n", ref->namespace_name, "w", ref->workflow_id,
                              "r", ref->first_run_id, "s", tool->toolset->name, "t", tool->name);
    if (ref->update_id != NULL)
        json_object_set_new(value, "u", json_string(ref->update_id));
    return value;
}

const struct tool *ref_from_json(const struct request *request, const json_t *value, struct run_ref *ret_ref)
{
    *ret_ref = (struct run_ref){ .namespace_name = json_string_value(json_object_get(value, "n")),
                                 .workflow_id = json_string_value(json_object_get(value, "w")),
                                 .first_run_id = json_string_value(json_object_get(value, "r")),
                                 .update_id = json_string_value(json_object_get(value, "u")) };
    const struct toolset *toolset = catalog_toolset(request->catalog, json_text(json_object_get(value, "s")));
    if (ret_ref->namespace_name == NULL || ret_ref->workflow_id == NULL || ret_ref->first_run_id == NULL ||
        toolset == NULL || (request->toolset != NULL && request->toolset != toolset))
        return NULL;
    return toolset_tool(toolset, json_text(json_object_get(value, "t")));
}
