/* declared.c: /api/v1/mcp/toolsets: what is declared and served, for scripts that speak HTTP: the registry of `perdure mcp apply`.
 *
 *   GET    .../toolsets        every toolset in force, with the tools that the caller may call
 *   GET    .../toolsets/NAME   a toolset of the registry with its document; of one of the file, what the list says
 *   PUT    .../toolsets/NAME   the body becomes the toolset; If-Match: "VERSION" or If-None-Match: * guard against others
 *   DELETE .../toolsets/NAME
 *
 * All but the list need the scope SCOPE_ADMIN. Documents go by the API, which checks them as it does those that come by gRPC. */
#include <stdio.h>

#include "codec/pb_time.h"
#include "mcp/gateway_internal.h"

#define SCOPE_ADMIN "mcp:admin"

struct declaration {
    struct gateway       *gateway;
    struct http_exchange *exchange;
    struct backend_call  *call;
    enum http_method      method;
    bool                  guarded; /* by a version */
};

static void answer_json(struct gateway *gateway, struct http_exchange *exchange, int status, json_t *body)
{
    struct http_header headers[AUTH_CORS_HEADERS + 2] = {
        { BYTES("Content-Type"), BYTES("application/json") }, { BYTES("Cache-Control"), BYTES("no-store") }
    };
    size_t count = 2 + auth_cors_headers(gateway->auth, exchange, headers + 2);
    char  *text = json_dumps(body, JSON_INDENT(2));
    json_decref(body);
    if (text == NULL) /* texts of the registry are UTF-8, or it would not have them */
        http_answer_text(exchange, 500, "the answer is no text");
    else
        http_answer(exchange, status, headers, count, bytes_of_text(text));
    free(text);
}

static void answer_error(struct gateway *gateway, struct http_exchange *exchange, int status,
                         const char *words)
{
    answer_json(gateway, exchange, status, json_pack("{s:s}", "error", words));
}

/* --- what is served --- */

static json_t *tool_json(const struct tool *tool)
{
    return json_pack("{s:s, s:s, s:b, s:s*, s:s*, s:s*, s:s}", "name", tool->name, "kind",
                     tool_kind_name(tool->kind), "read_only", tool->read_only, "title", tool->title,
                     "description", tool->description, "workflow", tool->workflow, "version", tool->version);
}

static json_t *toolset_json(const struct toolset *toolset, const struct caller *caller)
{
    json_t *tools = json_array();
    for (size_t i = 0; i < toolset->tool_count; i++)
        if (tool_is_for(&toolset->tools[i], caller))
            json_array_append_new(tools, tool_json(&toolset->tools[i]));
    json_t *value = json_pack("{s:s, s:s, s:s*, s:s, s:o}", "name", toolset->name, "source",
                              toolset->from_registry ? "registry" : "file", "title", toolset->title,
                              "namespace", toolset->namespace_name, "tools", tools);
    if (toolset->from_registry)
        json_object_set_new(value, "version", json_integer((json_int_t)toolset->version));
    return value;
}

static void answer_list(struct gateway *gateway, struct http_exchange *exchange, const struct caller *caller)
{
    json_t *toolsets = json_array();
    for (size_t i = 0; i < gateway->catalog->toolset_count; i++)
        json_array_append_new(toolsets, toolset_json(gateway->catalog->toolsets[i], caller));
    answer_json(gateway, exchange, 200, json_pack("{s:o}", "toolsets", toolsets));
}

/* --- what the API answers --- */

static int status_of(const struct declaration *self, enum status code)
{
    switch ((int)code) {
    case ST_INVALID_ARGUMENT:
    case ST_RESOURCE_EXHAUSTED:
        return 400;
    case ST_NOT_FOUND:
        return 404;
    case ST_FAILED_PRECONDITION:
        return self->guarded ? 412 : 409;
    case ST_UNAVAILABLE:
    case ST_DEADLINE_EXCEEDED:
        return 503;
    default:
        return 500;
    }
}

static json_t *registered_json(const struct api_Toolset *toolset)
{
    json_t *document = NULL;
    if (toolset->document.size != 0)
        document = json_loadb((const char *)toolset->document.base, toolset->document.size, 0, NULL);
    return json_pack("{s:s%, s:s, s:I, s:s%, s:o, s:o*}", "name", toolset->name.base, toolset->name.size,
                     "source", "registry", "version", (json_int_t)toolset->version, "identity",
                     toolset->identity.size == 0 ? "" : (const char *)toolset->identity.base,
                     toolset->identity.size, "update_time", time_json(timestamp_ns(toolset->update_time)),
                     "document", document);
}

static json_t *applied_json(const struct api_ApplyToolsetResponse *response)
{
    json_t *value = registered_json(response->toolset), *warnings = json_array();
    for (size_t i = 0; i < response->warnings_count; i++)
        json_array_append_new(warnings, json_stringn((const char *)response->warnings[i].base,
                                                     response->warnings[i].size));
    json_object_set_new(value, "changed", json_boolean(response->changed));
    json_object_set_new(value, "warnings", warnings);
    return value;
}

static void answered(void *context, const void *response, const struct error *error,
                     struct arena *arena UNUSED)
{
    struct declaration   *self = context;
    struct gateway       *gateway = self->gateway;
    struct http_exchange *exchange = self->exchange;
    if (response == NULL)
        answer_error(gateway, exchange, status_of(self, error->code), error->message);
    else if (self->method == HTTP_PUT)
        answer_json(gateway, exchange, 200, applied_json(response));
    else if (self->method == HTTP_DELETE)
        answer_json(gateway, exchange, 200, json_object());
    else
        answer_json(gateway, exchange, 200,
                    registered_json(((const struct api_GetToolsetResponse *)response)->toolset));
    free(self);
}

/* What was sent may still take effect. */
static void gone(struct http_exchange *exchange)
{
    struct declaration *self = exchange->user;
    backend_cancel(self->call);
    free(self);
}

/* --- requests --- */

/* If-Match: "VERSION" and If-None-Match: *, of which none or one may be there. False: they are something else. */
static bool read_guard(const struct http_exchange *exchange, bool *ret_guarded, int64_t *ret_version)
{
    struct bytes match, none;
    char         digits[24] = "", *end = digits;
    if (!http_header_single(exchange, "If-Match", &match) ||
        !http_header_single(exchange, "If-None-Match", &none) || (match.size != 0 && none.size != 0))
        return false;
    *ret_guarded = match.size != 0 || none.size != 0;
    *ret_version = 0;
    if (match.size == 0)
        return none.size == 0 || bytes_equal_text(none, "*");
    if (match.size < 3 || match.size > 20 || match.base[0] != '"' || match.base[match.size - 1] != '"')
        return false;
    memcpy(digits, match.base + 1, match.size - 2);
    if (digits[0] < '0' || digits[0] > '9')
        return false;
    *ret_version = strtoll(digits, &end, 10);
    return *end == '\0';
}

static void send(struct declaration *self, struct bytes name, struct bytes identity, int64_t expected)
{
    struct backend      *backend = &self->gateway->backend;
    struct bytes         body = self->exchange->body;
    struct backend_call *call;
    if (self->method == HTTP_PUT) {
        struct api_ApplyToolsetRequest request = { name, body, self->guarded, expected, identity };
        call = backend_send(backend, PB_METHOD_ToolService_ApplyToolset, &request, BACKEND_TIMEOUT_NS,
                            answered, self);
    } else if (self->method == HTTP_DELETE) {
        struct api_DeleteToolsetRequest request = { name, self->guarded, expected, identity };
        call = backend_send(backend, PB_METHOD_ToolService_DeleteToolset, &request, BACKEND_TIMEOUT_NS,
                            answered, self);
    } else {
        struct api_GetToolsetRequest request = { name };
        call = backend_send(backend, PB_METHOD_ToolService_GetToolset, &request, BACKEND_TIMEOUT_NS, answered,
                            self);
    }
    self->call = call;
}

static void allowed(void *context, struct http_exchange *exchange, const struct caller *caller)
{
    struct gateway       *gateway = context;
    struct bytes          prefix = BYTES(DECLARED_PATH "/"), name = BYTES_EMPTY;
    char                  identity[AUTH_NAME_MAX + 8];
    int64_t               expected;
    bool                  guarded;
    const struct toolset *served;
    if (exchange->path.size > prefix.size)
        name = bytes_of(exchange->path.base + prefix.size, exchange->path.size - prefix.size);
    if (name.size == 0 && exchange->method != HTTP_PUT && exchange->method != HTTP_DELETE) {
        answer_list(gateway, exchange, caller);
        return;
    }
    if (!auth_demand(gateway->auth, exchange, caller, SCOPE_ADMIN))
        return;
    served = catalog_toolset(gateway->catalog, name);
    if (!read_guard(exchange, &guarded, &expected)) {
        answer_error(gateway, exchange, 400,
                     "If-Match is \"VERSION\", If-None-Match is *, and only one of them");
    } else if (name.size == 0) {
        answer_error(gateway, exchange, 400, "the path lacks the toolset's name");
    } else if (served != NULL && !served->from_registry && exchange->method == HTTP_DELETE) {
        answer_error(gateway, exchange, 409, "the server's own file declares this toolset");
    } else if (served != NULL && !served->from_registry && exchange->method != HTTP_PUT) {
        answer_json(gateway, exchange, 200, toolset_json(served, caller));
    } else {
        struct declaration *self = xcalloc(1, sizeof *self);
        *self = (struct declaration){ gateway, exchange, NULL, exchange->method, guarded };
        exchange->user = self;
        exchange->on_close = gone;
        snprintf(identity, sizeof identity, "http:%s", caller->name);
        send(self, name, bytes_of_text(identity), expected);
    }
}

void declared_handle(void *context, struct http_exchange *exchange)
{
    struct gateway *gateway = context;
    if (exchange->method == HTTP_OPTIONS)
        auth_answer_preflight(gateway->auth, exchange);
    else
        auth_check(gateway->auth, exchange, NULL, allowed, gateway);
}

void declared_schema(void *context UNUSED, struct http_exchange *exchange)
{
    JSON_CLEANUP json_t *schema = config_json_schema();
    char                *text = json_dumps(schema, JSON_INDENT(2));
    http_answer_page(exchange, "application/schema+json", bytes_of_text(text));
    free(text);
}
