/* rpc.c: JSON-RPC over HTTP: which request it is and of which generation, and how answers go out. */
#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"
#include "mcp/gateway_internal.h"

const struct revision revisions[] = {
    { .name = "2026-07-28", .modern = true, .structured = true },
    { .name = "2025-11-25", .structured = true, .input_tasks = true },
    { .name = "2025-06-18", .structured = true },
    { .name = "2025-03-26" },
};
const size_t revision_count = ARRAY_COUNT(revisions);

static const struct method methods[] = {
    { "initialize", IN_LEGACY, handle_initialize, NULL },
    { "ping", IN_LEGACY, handle_empty, NULL },
    { "logging/setLevel", IN_LEGACY, handle_empty, NULL },
    { "server/discover", IN_MODERN, handle_discover, NULL },
    { "tools/list", IN_LEGACY | IN_MODERN, handle_tools_list, NULL },
    { "tools/call", IN_LEGACY | IN_MODERN, handle_tools_call, "name" },
    { "resources/list", IN_LEGACY | IN_MODERN, handle_resources_list, NULL },
    { "resources/templates/list", IN_LEGACY | IN_MODERN, handle_resource_templates_list, NULL },
    { "resources/read", IN_LEGACY | IN_MODERN, handle_resources_read, "uri" },
    { "resources/subscribe", IN_LEGACY, handle_resources_subscribe, NULL },
    { "resources/unsubscribe", IN_LEGACY, handle_resources_unsubscribe, NULL },
    { "prompts/list", IN_LEGACY | IN_MODERN, handle_prompts_list, NULL },
    { "prompts/get", IN_LEGACY | IN_MODERN, handle_prompts_get, "name" },
    { "completion/complete", IN_LEGACY | IN_MODERN, handle_complete, NULL },
    { "tasks/get", IN_LEGACY | IN_MODERN, handle_task_get, "taskId" },
    { "tasks/cancel", IN_LEGACY | IN_MODERN, handle_task_cancel, "taskId" },
    { "tasks/update", IN_MODERN, handle_task_update, "taskId" },
    { "tasks/result", IN_LEGACY, handle_task_result, NULL },
    { "subscriptions/listen", IN_MODERN, handle_listen, NULL },
};

const struct revision *revision_find(struct bytes name)
{
    for (size_t i = 0; i < revision_count; i++) {
        if (bytes_equal_text(name, revisions[i].name))
            return &revisions[i];
    }
    return NULL;
}

const struct method *method_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    }
    return NULL;
}

/* --- answers --- */

static void request_free(struct request *request)
{
    loop_timer_clear(request->gateway->loop, &request->keep_alive);
    list_remove(&request->link);
    request->gateway->request_count--;
    catalog_unref(request->catalog);
    json_decref(request->message);
    json_decref(request->session);
    json_decref(request->answers);
    free(request->event_id);
    free(request);
}

static void on_close(struct http_exchange *exchange)
{
    struct request *request = exchange->user;
    request->exchange = NULL;
    if (request->gone != NULL)
        request->gone(request);
    request_free(request);
}

static size_t answer_headers(const struct request *request, const char *type,
                             struct http_header headers[AUTH_CORS_HEADERS + 3])
{
    size_t count = 0;
    headers[count++] = (struct http_header){ BYTES("Content-Type"), bytes_of_text(type) };
    headers[count++] = (struct http_header){ BYTES("Cache-Control"), BYTES("no-store") };
    if (request->streaming) /* proxies are not to keep events back */
        headers[count++] = (struct http_header){ BYTES("X-Accel-Buffering"), BYTES("no") };
    struct auth *auth = request->gateway->auth;
    return count + (auth == NULL ? 0 : auth_cors_headers(auth, request->exchange, headers + count));
}

static void answer_whole(struct request *request, int status, const json_t *message);

/* One of a batch has its answer, or needs none; the last one answers for all. */
static void batch_note(struct request *batch, const json_t *message)
{
    if (message != NULL)
        json_array_append(batch->answers, (json_t *)message);
    if (--batch->answers_due != 0)
        return;
    bool any = json_array_size(batch->answers) != 0;
    answer_whole(batch, any ? 200 : 202, any ? batch->answers : NULL);
}

/* The session's token is told in the answer to `initialize`. */
static void answer_whole(struct request *request, int status, const json_t *message)
{
    if (request->batch != NULL) {
        struct request *batch = request->batch;
        request_free(request);
        batch_note(batch, message);
        return;
    }
    struct http_header headers[AUTH_CORS_HEADERS + 4];
    size_t             count = answer_headers(request, "application/json", headers);
    const char        *session = json_string_value(json_object_get(request->session, "token"));
    if (session != NULL)
        headers[count++] = (struct http_header){ BYTES("Mcp-Session-Id"), bytes_of_text(session) };
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
    http_answer(request->exchange, status, headers + (message == NULL), count - (message == NULL),
                bytes_of_text(text));
    free(text);
    request_free(request);
}

void request_status(struct request *request, int status)
{
    answer_whole(request, status, NULL);
}

void request_end(struct request *request)
{
    http_stream_end(request->exchange);
    request_free(request);
}

static void keep_alive(struct loop_timer *timer)
{
    struct request *request = CONTAINER_OF(timer, struct request, keep_alive);
    struct loop    *loop = request->gateway->loop;
    loop_timer_set(loop, timer, loop_now(loop) + KEEP_ALIVE_NS);
    http_stream_write(request->exchange, BYTES(":\n\n"));
}

void request_stream(struct request *request)
{
    struct http_header headers[AUTH_CORS_HEADERS + 3];
    if (request->streaming || request->batch != NULL)
        return;
    request->streaming = true;
    size_t count = answer_headers(request, "text/event-stream", headers);
    http_stream_begin(request->exchange, 200, headers, count);
    loop_timer_set(request->gateway->loop, &request->keep_alive,
                   loop_now(request->gateway->loop) + KEEP_ALIVE_NS);
    if (request->event_id != NULL && request->revision == REVISION_NEWEST_LEGACY) {
        /* An event without data, so that a client that loses the connection now has something to come again with. */
        struct buffer CLEANUP(buffer_release) event = { 0 };
        buffer_printf(&event, "id: ");
        buffer_append_text(&event, request->event_id);
        buffer_printf(&event, ".%" PRIu64 "\nretry: 500\ndata:\n\n", request->event_count);
        http_stream_write(request->exchange, buffer_bytes(&event));
    }
}

/* JSON in one line is one line of data: jansson escapes line ends in strings. */
void request_send(struct request *request, json_t *message)
{
    struct buffer CLEANUP(buffer_release) event = { 0 };
    if (request->batch != NULL)
        return;
    request_stream(request);
    char *text = json_dumps(message, JSON_COMPACT);
    if (request->event_id != NULL) {
        buffer_append_text(&event, "id: ");
        buffer_append_text(&event, request->event_id);
        buffer_printf(&event, ".%" PRIu64 "\n", ++request->event_count);
    }
    buffer_append_text(&event, "event: message\ndata: ");
    buffer_append_text(&event, text);
    buffer_append_text(&event, "\n\n");
    http_stream_write(request->exchange, buffer_bytes(&event));
    free(text);
}

void request_notify(struct request *request, const char *method, json_t *params)
{
    json_t *message = json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
    request_send(request, message);
    json_decref(message);
}

static void answer_message(struct request *request, int status, json_t *message)
{
    if (request->streaming) {
        request_send(request, message);
        request_end(request);
    } else {
        answer_whole(request, status, message);
    }
    json_decref(message);
}

void request_result(struct request *request, json_t *result)
{
    if (request->revision->modern) {
        if (json_object_get(result, "resultType") == NULL)
            json_object_set_new(result, "resultType", json_string("complete"));
        json_t *meta = json_object_get(result, "_meta");
        if (meta == NULL)
            json_object_set_new(result, "_meta", meta = json_object());
        json_object_set_new(meta, META_SERVER, server_info(request->gateway));
    }
    if (request->related_task != NULL) {
        json_t *related = json_pack("{s:{s:O}}", META_RELATED, "taskId", request->related_task);
        json_object_set_new(result, "_meta", related);
    }
    json_t *message = json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", request->id, "result", result);
    answer_message(request, 200, message);
}

static int status_of_code(const struct request *request, int code)
{
    if (!request->revision->modern)
        return request->needs_400 ? 400 : 200;
    switch (code) {
    case RPC_METHOD_NOT_FOUND:
        return 404;
    case RPC_HEADER_MISMATCH:
    case RPC_MISSING_CAPABILITY:
    case RPC_UNSUPPORTED_VERSION:
    case RPC_PARSE_ERROR:
    case RPC_INVALID_REQUEST:
        return 400;
    default:
        return request->needs_400 ? 400 : 200;
    }
}

void request_error(struct request *request, int code, json_t *data, const char *format, ...)
{
    char    words[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    while (!bytes_is_utf8(bytes_of_text(words))) /* cut inside a character */
        words[strlen(words) - 1] = 0;
    json_t *error = json_pack("{s:i, s:s}", "code", code, "message", words);
    if (data != NULL)
        json_object_set_new(error, "data", data);
    json_t *id = request->id == NULL ? json_null() : json_incref((json_t *)request->id);
    answer_message(request, status_of_code(request, code),
                   json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "id", id, "error", error));
}

void request_missing_capability(struct request *request, const char *name, bool is_extension)
{
    json_t *needed = is_extension ? json_pack("{s:{s:{}}}", "extensions", name) : json_pack("{s:{}}", name);
    request_error(request, RPC_MISSING_CAPABILITY, json_pack("{s:o}", "requiredCapabilities", needed),
                  "the client has not declared the %s %s", is_extension ? "extension" : "capability", name);
}

bool request_can(const struct request *request, const char *capability)
{
    return json_is_object(json_object_get(request->capabilities, capability));
}

bool request_can_extension(const struct request *request, const char *name)
{
    return json_is_object(json_object_get(json_object_get(request->capabilities, "extensions"), name));
}

bool request_text_param(struct request *request, const char *name, struct bytes *ret_value)
{
    const json_t *value = json_object_get(request->params, name);
    if (!json_is_string(value)) {
        request_error(request, RPC_INVALID_PARAMS, NULL, "params.%s must be a string", name);
        return false;
    }
    *ret_value = json_text(value);
    return true;
}

/* --- which request it is --- */

/* Base64 as headers carry it: with its padding, no other letters. */
static bool base64_decode(struct bytes text, struct buffer *ret_plain)
{
    struct buffer CLEANUP(buffer_release) letters = { 0 };
    size_t        padding = 0;
    while (padding < 2 && padding < text.size && text.base[text.size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.size - padding; i++) {
        uint8_t letter = text.base[i];
        if (letter == '-' || letter == '_')
            return false;
        buffer_append_byte(&letters, letter == '+' ? '-' : letter == '/' ? '_' : letter);
    }
    return text.size % 4 == 0 && base64url_decode(buffer_bytes(&letters), ret_plain);
}

/* A value may be written as "=?base64?...?=" when it has letters that headers cannot carry. */
static bool header_says(struct bytes header, struct bytes expected)
{
    struct buffer CLEANUP(buffer_release) plain = { 0 };
    struct bytes  start = BYTES("=?base64?");
    if (!bytes_starts_with(header, start) || header.size < start.size + 2 ||
        memcmp(header.base + header.size - 2, "?=", 2) != 0)
        return bytes_equal(header, expected);
    return base64_decode(bytes_of(header.base + start.size, header.size - start.size - 2), &plain) &&
           bytes_equal(buffer_bytes(&plain), expected);
}

bool request_check_header(struct request *request, const char *header, struct bytes expected, bool required)
{
    struct bytes value;
    if (!http_header_single(request->exchange, header, &value) || (value.size == 0 && required) ||
        (value.size != 0 && !header_says(value, expected))) {
        request_error(request, RPC_HEADER_MISMATCH, NULL,
                      "the header %s must be there once and say what the body says", header);
        return false;
    }
    return true;
}

/* The rules of 2026-07-28: what a request needs is in its _meta, and repeated in headers. */
static bool read_modern(struct request *request, const char *method)
{
    const json_t *version = json_object_get(request->meta, META_VERSION);
    request->needs_400 = true;
    request->revision = REVISION_NEWEST;
    request->capabilities = json_object_get(request->meta, META_CAPABILITY);
    if (!json_is_string(version) || !json_is_object(request->capabilities)) {
        request_error(request, RPC_INVALID_PARAMS, NULL, "params._meta needs %s and %s", META_VERSION,
                      META_CAPABILITY);
        return false;
    }
    if (!request_check_header(request, "MCP-Protocol-Version", json_text(version), true))
        return false;
    const struct revision *revision = revision_find(json_text(version));
    if (revision == NULL || !revision->modern) {
        json_t *data = json_pack("{s:[s], s:O}", "supported", REVISION_NEWEST->name, "requested", version);
        request_error(request, RPC_UNSUPPORTED_VERSION, data, "unsupported protocol version");
        return false;
    }
    if (!request_check_header(request, "Mcp-Method", bytes_of_text(method), true))
        return false;
    const struct method *known = method_find(method);
    if (known != NULL && known->name_header != NULL && strncmp(method, "tasks/", 6) != 0 &&
        !request_check_header(request, "Mcp-Name",
                              json_text(json_object_get(request->params, known->name_header)), true))
        return false;
    /* The official Python client leaves it out for tasks: so only a wrong one is refused there. */
    if (known != NULL && known->name_header != NULL && strncmp(method, "tasks/", 6) == 0 &&
        !request_check_header(request, "Mcp-Name",
                              json_text(json_object_get(request->params, known->name_header)), false))
        return false;
    request->needs_400 = false;
    return true;
}

/* The rules before: what was agreed is in the session's token. Without one (not every client keeps it) the header counts. */
static bool read_legacy(struct request *request, const char *method)
{
    struct bytes token = http_header_first(request->exchange, "Mcp-Session-Id");
    struct bytes version = http_header_first(request->exchange, "MCP-Protocol-Version");
    bool         begins = method != NULL && strcmp(method, "initialize") == 0;
    request->needs_400 = true;
    request->revision = version.size == 0 ? REVISION_OLDEST : revision_find(version);
    if (request->revision == NULL || request->revision->modern) {
        request->revision = REVISION_NEWEST_LEGACY;
        if (!begins && version.size != 0) {
            request_error(request, RPC_INVALID_REQUEST, NULL, "unsupported MCP-Protocol-Version");
            return false;
        }
    }
    if (token.size != 0 && !begins) {
        request->session = token_open(request->gateway, &request->caller, SEAL_SESSION, token);
        const struct revision *agreed = revision_find(
            json_text(json_object_get(request->session, "version")));
        if (agreed == NULL || recent_has(&request->gateway->ended, hash_bytes(token))) {
            request_status(request, 404); /* the client begins a new one */
            return false;
        }
        request->revision = agreed;
        request->session_hash = hash_bytes(token);
        request->capabilities = json_object_get(request->session, "capabilities");
    }
    request->needs_400 = false;
    return true;
}

/* Only _meta makes a request a modern one beyond doubt; without it a known old version in the header says the contrary. */
static bool is_modern(const struct request *request, const char *method)
{
    struct bytes           version = http_header_first(request->exchange, "MCP-Protocol-Version");
    const struct revision *known = revision_find(version);
    if (json_object_get(request->meta, META_VERSION) != NULL ||
        json_object_get(request->meta, META_CAPABILITY) != NULL)
        return true;
    if (strcmp(method, "initialize") == 0 || (known != NULL && !known->modern))
        return false;
    return version.size != 0 || http_header_first(request->exchange, "Mcp-Method").size != 0 ||
           strcmp(method, "server/discover") == 0;
}

/* notifications/cancelled: as if the client had closed the connection of that request. */
static void take_cancellation(struct request *request)
{
    const json_t *id = json_object_get(request->params, "requestId");
    struct list  *all = &request->gateway->requests;
    for (struct list *link = all->next; link != all; link = link->next) {
        struct request *other = CONTAINER_OF(link, struct request, link);
        if (other == request || other->id == NULL || other->gone == NULL || other->revision->modern ||
            other->session_hash != request->session_hash || !json_equal(other->id, id) ||
            strcmp(other->caller.name, request->caller.name) != 0)
            continue;
        other->gone(other);
        other->gone = NULL;
        if (other->streaming)
            request_end(other);
        else
            request_status(other, 202);
        return;
    }
}

static void handle_message(struct request *request)
{
    const json_t *method = json_object_get(request->message, "method");
    const json_t *id = json_object_get(request->message, "id");
    const json_t *params = json_object_get(request->message, "params");
    bool          answer = method == NULL && id != NULL;
    request->revision = REVISION_NEWEST_LEGACY;
    request->needs_400 = true;
    if (json_is_string(id) || json_is_integer(id))
        request->id = id;
    if (!json_is_object(request->message) ||
        !bytes_equal_text(json_text(json_object_get(request->message, "jsonrpc")), "2.0") ||
        (!json_is_string(method) && !answer) || (id != NULL && request->id == NULL) ||
        (params != NULL && !json_is_object(params))) {
        request_error(request, RPC_INVALID_REQUEST, NULL, "not one JSON-RPC 2.0 request");
        return;
    }
    request->params = params;
    request->meta = json_object_get(params, "_meta");
    if (answer) {
        if (read_legacy(request, NULL))
            call_take_response(request);
        return;
    }
    const char *name = json_string_value(method);
    bool        modern = is_modern(request, name);
    if (request->batch != NULL && (modern || strcmp(name, "initialize") == 0)) {
        request_error(request, RPC_INVALID_REQUEST, NULL, "%s cannot be part of a batch", name);
        return;
    }
    if (id == NULL) { /* a notification: only one does anything */
        if (!modern && !read_legacy(request, name))
            return;
        if (!modern && strcmp(name, "notifications/cancelled") == 0)
            take_cancellation(request);
        request_status(request, 202);
        return;
    }
    if (!(modern ? read_modern(request, name) : read_legacy(request, name)))
        return;
    const struct method *known = method_find(name);
    if (known == NULL || (known->generations & (modern ? IN_MODERN : IN_LEGACY)) == 0) {
        request_error(request, RPC_METHOD_NOT_FOUND, NULL, "there is no method %s", name);
        return;
    }
    known->handle(request);
}

/* --- batches, which 2025-03-26 had and no other revision --- */

#define BATCH_MAX 100

static void batch_gone(struct request *batch)
{
    LIST_FOR_EACH (part, &batch->gateway->requests, struct request, link) {
        if (part->batch != batch)
            continue;
        if (part->gone != NULL)
            part->gone(part);
        request_free(part);
    }
}

static struct request *request_new(struct gateway *gateway, struct http_exchange *exchange,
                                   const struct toolset *toolset, const struct caller *caller)
{
    struct request *request = xcalloc(1, sizeof *request);
    *request = (struct request){ .gateway = gateway,
                                 .exchange = exchange,
                                 .catalog = catalog_ref(gateway->catalog),
                                 .toolset = toolset,
                                 .revision = REVISION_NEWEST_LEGACY,
                                 .caller = *caller };
    list_init(&request->link);
    list_append(&gateway->requests, &request->link);
    gateway->request_count++;
    loop_timer_init(&request->keep_alive, keep_alive);
    return request;
}

static void handle_batch(struct request *batch)
{
    size_t count = json_array_size(batch->message);
    if (!read_legacy(batch, NULL))
        return;
    batch->needs_400 = true;
    if (batch->revision != REVISION_OLDEST || count == 0 || count > BATCH_MAX) {
        request_error(batch, RPC_INVALID_REQUEST, NULL, "not one JSON-RPC 2.0 request");
        return;
    }
    if (batch->gateway->request_count + count > GATEWAY_REQUESTS_MAX) {
        request_status(batch, 503);
        return;
    }
    batch->answers = json_array();
    batch->answers_due = count + 1; /* so that it is not answered before the last has begun */
    batch->gone = batch_gone;
    for (size_t i = 0; i < count; i++) {
        struct request *part = request_new(batch->gateway, batch->exchange, batch->toolset, &batch->caller);
        part->batch = batch;
        part->message = json_incref(json_array_get(batch->message, i));
        if (i != 0 && !auth_take(batch->gateway->auth, &batch->caller)) {
            const json_t *id = json_object_get(part->message, "id");
            part->id = json_is_string(id) || json_is_integer(id) ? id : NULL;
            request_error(part, RPC_INTERNAL_ERROR, NULL, "too many requests of this caller");
        } else {
            handle_message(part);
        }
    }
    batch_note(batch, NULL);
}

static const struct toolset *find_toolset(const struct catalog *catalog, struct bytes path, bool *ret_all)
{
    struct bytes prefix = BYTES("/mcp/");
    *ret_all = path.size <= prefix.size;
    return *ret_all ? NULL
                    : catalog_toolset(catalog, bytes_of(path.base + prefix.size, path.size - prefix.size));
}

static void handle_get(struct request *request)
{
    struct bytes last = http_header_first(request->exchange, "Last-Event-ID");
    if (!http_header_has_token(request->exchange, "Accept", "text/event-stream")) {
        request_status(request, 405);
        return;
    }
    if (!read_legacy(request, NULL))
        return;
    if (last.size == 0)
        listen_legacy(request);
    else if (!call_resume(request, last))
        request_status(request, 404);
}

void rpc_handle(struct gateway *gateway, struct http_exchange *exchange, const struct caller *caller)
{
    bool                  all;
    const struct toolset *toolset = find_toolset(gateway->catalog, exchange->path, &all);
    if (!all && toolset == NULL) {
        http_answer_text(exchange, 404, "there is no such toolset");
        return;
    }
    if (gateway->request_count >= GATEWAY_REQUESTS_MAX) {
        http_answer_text(exchange, 503, "too many requests are waiting");
        return;
    }
    struct request *request = request_new(gateway, exchange, toolset, caller);
    exchange->user = request;
    exchange->on_close = on_close;
    if (exchange->method == HTTP_GET) {
        handle_get(request);
        return;
    }
    if (exchange->method == HTTP_DELETE) {
        if (read_legacy(request, NULL)) {
            recent_add(&gateway->ended, hash_bytes(http_header_first(exchange, "Mcp-Session-Id")));
            if (request->session_hash != 0)
                subscriptions_end(gateway, NULL, request->session_hash);
            request_status(request, 200);
        }
        return;
    }
    struct error      error;
    struct json_place place;
    request->needs_400 = true;
    if (json_read(exchange->body, GATEWAY_BODY_MAX, 0, &request->message, &place, &error) != ST_OK) {
        request_error(request, RPC_PARSE_ERROR, NULL, "line %u, column %u: %s", place.line, place.column,
                      error.message);
        return;
    }
    if (json_is_array(request->message))
        handle_batch(request);
    else
        handle_message(request);
}
