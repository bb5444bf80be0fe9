/* nexus_http.c: Nexus over HTTP. */
#include "api/nexus_http.h"

#include <time.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "codec/pb.h"

#define FAILURE_CAUSES_MAX 100

void nexus_add_header(struct nexus_message *message, const char *name, struct bytes value)
{
    assert(message->header_count < NEXUS_HEADERS_MAX);
    message->headers[message->header_count++] = (struct outbound_header){ bytes_of_text(name), value };
}

/* --- payloads --- */

static struct bytes metadata_of(const struct common_Payload *payload, const char *key)
{
    for (size_t i = 0; i < payload->metadata_count; i++)
        if (bytes_equal_text(payload->metadata[i].key, key))
            return payload->metadata[i].value;
    return BYTES_EMPTY;
}

/* NULL: only the payload itself, encoded, says all of it. Empty: a content without a type. */
static const char *content_type(const struct common_Payload *payload, struct arena *arena)
{
    struct bytes encoding = metadata_of(payload, "encoding"), type = metadata_of(payload, "messageType");
    bool         typed = payload->metadata_count == 2 && type.size != 0;
    if (bytes_equal_text(encoding, "json/plain"))
        return "application/json";
    if (bytes_equal_text(encoding, "binary/plain") && payload->metadata_count == 1)
        return "application/octet-stream";
    if (bytes_equal_text(encoding, "binary/null") && payload->metadata_count == 1)
        return "";
    for (size_t i = 0; i < type.size; i++)
        if (type.base[i] <= ' ' || type.base[i] >= 0x7F || type.base[i] == '"' || type.base[i] == '\\')
            return NULL;
    bool json = bytes_equal_text(encoding, "json/protobuf");
    if (!typed || (!json && !bytes_equal_text(encoding, "binary/protobuf")))
        return NULL;
    struct bytes text = arena_printf(arena, "%s; message-type=\"%.*s\"%c",
                                     json ? "application/json; format=protobuf" : "application/x-protobuf",
                                     BYTES_FMT(type), '\0');
    return (const char *)text.base;
}

void nexus_set_payload(struct nexus_message *message, struct bytes encoded, struct arena *arena)
{
    struct common_Payload payload = { 0 };
    if (encoded.base == NULL)
        return;
    const char *type = pb_decode(&pb_common_Payload, encoded, arena, &payload, NULL) == ST_OK
                           ? content_type(&payload, arena)
                           : NULL;
    message->body = type == NULL ? encoded : payload.data;
    if (type == NULL)
        type = "application/x-temporal-payload";
    if (*type != '\0')
        nexus_add_header(message, "content-type", bytes_of_text(type));
}

/* --- failures --- */

static void put_text(struct buffer *to, const char *name, struct bytes text)
{
    if (text.size == 0)
        return;
    buffer_printf(to, "\"%s\":", name);
    json_put_string(to, text);
    buffer_append_byte(to, ',');
}

/* One failure without its closing brace: message and stack trace stand beside what else the failure says. */
static void put_failure(struct buffer *to, struct failure_Failure failure)
{
    struct buffer wire = { 0 };
    struct error  error;
    buffer_append_byte(to, '{');
    put_text(to, "message", failure.message);
    put_text(to, "stackTrace", failure.stack_trace);
    buffer_append_text(to, "\"metadata\":{\"type\":\"temporal.api.failure.v1.Failure\"},\"details\":");
    failure.message = failure.stack_trace = BYTES_EMPTY;
    pb_encode(&pb_failure_Failure, &failure, &wire);
    if (json_print(&pb_failure_Failure, buffer_bytes(&wire), 0, to, &error) != ST_OK)
        buffer_append_text(to, "{}");
    buffer_release(&wire);
}

void nexus_set_failure(struct nexus_message *message, struct bytes encoded, struct arena *arena)
{
    struct failure_Failure failure = { 0 };
    struct buffer          json = { 0 };
    size_t                 open = 0;
    if (pb_decode(&pb_failure_Failure, encoded, arena, &failure, NULL) != ST_OK)
        failure = (struct failure_Failure){ .message = BYTES("a failure that does not decode") };
    put_failure(&json, failure); /* its details hold all of its causes */
    for (open = 1; failure.cause.size != 0 && open < FAILURE_CAUSES_MAX; open++) {
        struct failure_Failure cause = { 0 };
        if (pb_decode(&pb_failure_Failure, failure.cause, arena, &cause, NULL) != ST_OK)
            break;
        failure = cause;
        cause.cause = BYTES_EMPTY;
        buffer_append_text(&json, ",\"cause\":");
        put_failure(&json, cause);
    }
    while (open-- > 0)
        buffer_append_byte(&json, '}');
    message->body = arena_copy(arena, buffer_bytes(&json));
    nexus_add_header(message, "content-type", BYTES("application/json"));
    buffer_release(&json);
}

/* --- links --- */

static void put_escaped(struct buffer *to, struct bytes text)
{
    static const char plain[] = "-_.~";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.base[i];
        bool    letter = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (letter || (c != 0 && strchr(plain, c) != NULL))
            buffer_append_byte(to, c);
        else
            buffer_printf(to, "%%%02X", c);
    }
}

/* "WorkflowExecutionStarted" for EVENT_TYPE_WORKFLOW_EXECUTION_STARTED. */
static void put_event_type(struct buffer *to, int32_t type)
{
    static const char prefix[] = "EVENT_TYPE_";
    const char       *name = pb_enum_value_name(&pb_enum_enums_EventType, type);
    bool              upper = true;
    if (name == NULL || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return;
    for (name += sizeof prefix - 1; *name != '\0'; name++) {
        if (*name != '_')
            buffer_append_byte(to, (uint8_t)(upper || *name < 'A' ? *name : *name + 32));
        upper = *name == '_';
    }
}

void nexus_add_link(struct nexus_message *message, struct bytes encoded, struct arena *arena)
{
    struct common_Link link = { 0 };
    struct buffer      text = { 0 };
    if (pb_decode(&pb_common_Link, encoded, arena, &link, NULL) != ST_OK || link.variant_case != 1)
        return;
    const struct common_Link_WorkflowEvent *event = link.workflow_event;
    buffer_append_text(&text, "<temporal:///namespaces/");
    put_escaped(&text, event->namespace);
    buffer_append_text(&text, "/workflows/");
    put_escaped(&text, event->workflow_id);
    buffer_append_byte(&text, '/');
    put_escaped(&text, event->run_id);
    buffer_append_text(&text, "/history");
    if (event->reference_case == 100) {
        buffer_printf(&text, "?eventID=%" PRId64 "&eventType=", event->event_ref->event_id);
        put_event_type(&text, event->event_ref->event_type);
        buffer_append_text(&text, "&referenceType=EventReference");
    } else if (event->reference_case == 101) {
        buffer_append_text(&text, "?eventType=");
        put_event_type(&text, event->request_id_ref->event_type);
        buffer_append_text(&text, "&referenceType=RequestIdReference&requestID=");
        put_escaped(&text, event->request_id_ref->request_id);
    }
    buffer_append_text(&text, ">; type=\"temporal.api.common.v1.Link.WorkflowEvent\"");
    nexus_add_header(message, "nexus-link", arena_copy(arena, buffer_bytes(&text)));
    buffer_release(&text);
}

/* --- times, in UTC --- */

struct bytes nexus_time(int64_t wall_ns, struct arena *arena)
{
    time_t    seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    return arena_printf(arena, "%04d-%02d-%02dT%02d:%02d:%02d.%09" PRId64 "Z", parts.tm_year + 1900,
                        parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                        wall_ns % NS_PER_S);
}

struct bytes nexus_http_date(int64_t wall_ns, struct arena *arena)
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t            seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm         parts;
    gmtime_r(&seconds, &parts);
    return arena_printf(arena, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[parts.tm_wday], parts.tm_mday,
                        months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                        parts.tm_sec);
}

/* --- answers --- */

const char *nexus_error_type(int status, bool *ret_retryable)
{
    static const struct {
        int         status;
        const char *type;
        bool        retryable;
    } types[] = {
        { 400, "BAD_REQUEST", false },       { 401, "UNAUTHENTICATED", false },
        { 403, "UNAUTHORIZED", false },      { 404, "NOT_FOUND", false },
        { 408, "REQUEST_TIMEOUT", true },    { 409, "CONFLICT", false },
        { 429, "RESOURCE_EXHAUSTED", true }, { 500, "INTERNAL", true },
        { 501, "NOT_IMPLEMENTED", false },   { 503, "UNAVAILABLE", true },
        { 520, "UPSTREAM_TIMEOUT", true },
    };
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (types[i].status != status)
            continue;
        *ret_retryable = types[i].retryable;
        return types[i].type;
    }
    *ret_retryable = true;
    return NULL;
}
