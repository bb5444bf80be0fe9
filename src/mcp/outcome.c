/* outcome.c: results and failures in the words of MCP. */
#include "mcp/outcome.h"

#include <stdarg.h>
#include <stdio.h>

#include "codec/pb.h"
#include "codec/pb_time.h"

void outcome_release(struct outcome *outcome)
{
    json_decref(outcome->result);
    json_decref(outcome->data);
    free(outcome->message);
    *outcome = (struct outcome){ 0 };
}

void outcome_copy(const struct outcome *from, struct outcome *ret_outcome)
{
    *ret_outcome = *from;
    json_incref(ret_outcome->result);
    json_incref(ret_outcome->data);
    if (from->message != NULL) {
        ret_outcome->message = xmalloc(strlen(from->message) + 1);
        memcpy(ret_outcome->message, from->message, strlen(from->message) + 1);
    }
}

/* --- making results --- */

/* Text that is not UTF-8 (cut, or never was) does not go into JSON. */
static json_t *text_json(struct bytes text)
{
    size_t size = MIN(text.size, (size_t)JSON_TEXT_SIZE_MAX);
    for (size_t cut = 0; cut < 4 && cut <= size; cut++) {
        if (bytes_is_utf8(bytes_of(text.base, size - cut)))
            return json_stringn((const char *)text.base, size - cut);
    }
    return json_string("(a text that is not UTF-8)");
}

static json_t *content_text(struct bytes text)
{
    return json_pack("[{s:s, s:o}]", "type", "text", "text", text_json(text));
}

struct outcome outcome_text(bool is_error, struct bytes text)
{
    json_t *result = json_object();
    json_object_set_new(result, "content", content_text(text));
    if (is_error)
        json_object_set_new(result, "isError", json_true());
    return (struct outcome){ .kind = OUTCOME_RESULT, .result = result };
}

struct outcome outcome_words(bool is_error, const char *format, ...)
{
    char    text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return outcome_text(is_error, bytes_of_text(text));
}

static struct outcome outcome_protocol(int code, struct bytes message, json_t *data)
{
    struct outcome outcome = { .kind = OUTCOME_PROTOCOL, .code = code, .data = data };
    outcome.message = xcalloc(1, message.size + 1);
    if (message.size != 0)
        memcpy(outcome.message, message.base, message.size);
    return outcome;
}

static void put_escaped(struct buffer *to, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c) != NULL)
            buffer_append_byte(to, c);
        else
            buffer_printf(to, "%%%02X", c);
    }
}

void outcome_uri(const struct run_name *run, const char *what, struct buffer *to)
{
    buffer_append_text(to, "temporal://");
    put_escaped(to, run->namespace_name);
    buffer_append_byte(to, '/');
    put_escaped(to, run->workflow_id);
    buffer_append_byte(to, '/');
    put_escaped(to, run->run_id);
    buffer_append_byte(to, '/');
    buffer_append_text(to, what);
}

static struct outcome outcome_link(const struct run_name *run, size_t size, const char *type)
{
    struct buffer uri = { 0 };
    outcome_uri(run, "result", &uri);
    json_t *result = json_pack("{s:[{s:s, s:o, s:s, s:s, s:I}]}", "content", "type", "resource_link", "uri",
                               text_json(buffer_bytes(&uri)), "name", "result", "mimeType", type, "size",
                               (json_int_t)size);
    buffer_release(&uri);
    return (struct outcome){ .kind = OUTCOME_RESULT, .result = result };
}

/* The form of a CallToolResult: content is an array, and what else is known has its type. */
static bool is_tool_result(const json_t *value)
{
    const json_t *content = json_object_get(value, "content"), *is_error = json_object_get(value, "isError");
    if (!json_is_array(content) || (is_error != NULL && !json_is_boolean(is_error)))
        return false;
    for (size_t i = 0; i < json_array_size(content); i++) {
        if (!json_is_string(json_object_get(json_array_get(content, i), "type")))
            return false;
    }
    return true;
}

static bool conforms(const struct tool *tool, const json_t *value, struct outcome *ret_outcome)
{
    struct buffer words = { 0 };
    if (tool == NULL || tool->output_schema == NULL ||
        schema_check(tool->output_schema, value, &words) == ST_OK) {
        buffer_release(&words);
        return true;
    }
    *ret_outcome = outcome_words(true,
                                 "the workflow's result does not conform to the tool's output schema:\n%.*s",
                                 BYTES_FMT(buffer_bytes(&words)));
    buffer_release(&words);
    return false;
}

static struct outcome outcome_json(const struct tool *tool, json_t *value)
{
    struct outcome outcome;
    if (tool != NULL && tool->result == RESULT_RAW && is_tool_result(value)) {
        const json_t *structured = json_object_get(value, "structuredContent");
        bool          is_error = json_is_true(json_object_get(value, "isError"));
        if (!is_error && structured != NULL && !conforms(tool, structured, &outcome)) {
            json_decref(value);
            return outcome;
        }
        return (struct outcome){ .kind = OUTCOME_RESULT, .result = value };
    }
    if (!conforms(tool, value, &outcome)) {
        json_decref(value);
        return outcome;
    }
    if (json_is_string(value)) {
        outcome = outcome_text(false, json_text(value));
        if (tool != NULL && tool->output_schema != NULL)
            json_object_set(outcome.result, "structuredContent", value);
        json_decref(value);
        return outcome;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    outcome = outcome_text(false, bytes_of_text(text));
    free(text);
    if (!json_is_null(value))
        json_object_set(outcome.result, "structuredContent", value);
    json_decref(value);
    return outcome;
}

struct outcome outcome_value(const struct tool *tool, json_t *value)
{
    return outcome_json(tool, value);
}

static char *base64(struct bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char             *text = xmalloc((data.size + 2) / 3 * 4 + 1), *to = text;
    for (size_t i = 0; i < data.size; i += 3) {
        size_t   left = data.size - i;
        uint32_t group = (uint32_t)data.base[i] << 16 | (left > 1 ? (uint32_t)data.base[i + 1] << 8 : 0) |
                         (left > 2 ? data.base[i + 2] : 0);
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[group & 63] : '=';
    }
    *to = '\0';
    return text;
}

static struct outcome outcome_blob(struct bytes data, const struct run_name *run)
{
    struct buffer uri = { 0 };
    char         *text = base64(data);
    if (run != NULL)
        outcome_uri(run, "result", &uri);
    else
        buffer_append_text(&uri, "temporal://result");
    json_t *result = json_pack("{s:[{s:s, s:{s:o, s:s, s:s}}]}", "content", "type", "resource", "resource",
                               "uri", text_json(buffer_bytes(&uri)), "mimeType", "application/octet-stream",
                               "blob", text);
    buffer_release(&uri);
    free(text);
    return (struct outcome){ .kind = OUTCOME_RESULT, .result = result };
}

struct outcome outcome_payloads(const struct tool *tool, struct bytes payloads, const struct run_name *run)
{
    struct arena   arena;
    struct outcome outcome;
    arena_init(&arena, SIZE_MAX);
    struct payload_view view = payloads_read_first(payloads, &arena);
    switch (view.form) {
    case PAYLOAD_JSON:
        if (view.size > OUTCOME_INLINE_MAX && run != NULL && conforms(tool, view.value, &outcome)) {
            json_decref(view.value);
            outcome = outcome_link(run, view.size, "application/json");
        } else {
            outcome = outcome_json(tool, view.value);
        }
        break;
    case PAYLOAD_BINARY:
        outcome = view.size > OUTCOME_INLINE_MAX && run != NULL
                      ? outcome_link(run, view.size, "application/octet-stream")
                      : outcome_blob(view.data, run);
        break;
    case PAYLOAD_NONE:
        /* With a schema nothing is checked as null; without, there is simply nothing to say. */
        if (tool != NULL && tool->output_schema != NULL)
            outcome = outcome_json(tool, json_null());
        else
            outcome = (struct outcome){ .kind = OUTCOME_RESULT, .result = json_pack("{s:[]}", "content") };
        break;
    case PAYLOAD_OTHER:
    default:
        outcome = outcome_words(true, "the workflow has a result, but %s", view.words);
        break;
    }
    arena_release(&arena);
    return outcome;
}

/* --- failures --- */

static const char *retry_words(int32_t state)
{
    switch (state) {
    case enums_RETRY_STATE_NON_RETRYABLE_FAILURE:
        return "not retryable";
    case enums_RETRY_STATE_TIMEOUT:
        return "no time left for another attempt";
    case enums_RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED:
        return "all attempts are used up";
    case enums_RETRY_STATE_CANCEL_REQUESTED:
        return "cancel requested";
    default:
        return NULL;
    }
}

static const char *timeout_words(int32_t type)
{
    switch (type) {
    case enums_TIMEOUT_TYPE_START_TO_CLOSE:
        return "an attempt took longer than its start-to-close timeout";
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_START:
        return "no worker took it up within its schedule-to-start timeout";
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
        return "it did not succeed within its schedule-to-close timeout";
    case enums_TIMEOUT_TYPE_HEARTBEAT:
        return "its worker stopped heartbeating";
    default:
        return "it timed out";
    }
}

static void put_link(const struct failure_Failure *failure, int32_t attempts, struct buffer *to)
{
    const char *state = NULL;
    if (failure->failure_info_case == 5 && failure->application_failure_info->type.size != 0)
        buffer_printf(to, "%.*s: ", BYTES_FMT(failure->application_failure_info->type));
    if (failure->failure_info_case == 11) {
        const struct failure_ActivityFailureInfo *info = failure->activity_failure_info;
        buffer_printf(to, "activity %.*s failed",
                      BYTES_FMT(info->activity_type == NULL ? BYTES("?") : info->activity_type->name));
        if (attempts > 0)
            buffer_printf(to, " after %d attempt%s", attempts, attempts == 1 ? "" : "s");
        state = retry_words(info->retry_state);
    } else if (failure->failure_info_case == 12) {
        const struct failure_ChildWorkflowExecutionFailureInfo *info =
            failure->child_workflow_execution_failure_info;
        buffer_printf(to, "child workflow %.*s failed",
                      BYTES_FMT(info->workflow_type == NULL ? BYTES("?") : info->workflow_type->name));
        state = retry_words(info->retry_state);
    } else {
        buffer_append(to, bytes_of(failure->message.base, MIN(failure->message.size, (size_t)8192)));
        if (failure->failure_info_case == 6)
            buffer_printf(to, "%s(%s)", failure->message.size == 0 ? "" : " ",
                          timeout_words(failure->timeout_failure_info->timeout_type));
        else if (failure->failure_info_case == 7 && failure->message.size == 0)
            buffer_append_text(to, "canceled");
        else if (failure->failure_info_case == 8 && failure->message.size == 0)
            buffer_append_text(to, "terminated");
    }
    if (state != NULL)
        buffer_printf(to, " (%s)", state);
}

/* A codec hides message and stack in a payload of their own; by now that has been decoded. The message lives as long as what is returned. */
static json_t *take_attributes(struct failure_Failure *failure, struct arena *arena)
{
    struct payload_view view = payload_read(failure->encoded_attributes, arena);
    json_t             *hidden = view.form == PAYLOAD_JSON ? view.value : NULL;
    struct bytes        message = json_text(json_object_get(hidden, "message"));
    if (message.size != 0)
        failure->message = message;
    return hidden;
}

void outcome_print_failure(struct bytes encoded, int32_t attempts, struct buffer *to)
{
    struct arena arena;
    size_t       begin = to->size;
    arena_init(&arena, SIZE_MAX);
    for (unsigned depth = 0; encoded.base != NULL && depth < FAILURE_CHAIN_MAX; depth++) {
        struct failure_Failure failure;
        if (pb_decode(&pb_failure_Failure, encoded, &arena, &failure, NULL) != ST_OK)
            break;
        if (to->size - begin > OUTCOME_TEXT_MAX) {
            buffer_append_text(to, "\n... and more");
            break;
        }
        if (depth != 0)
            buffer_append_text(to, "\ncaused by ");
        JSON_CLEANUP json_t *hidden = take_attributes(&failure, &arena);
        put_link(&failure, attempts, to);
        encoded = failure.cause;
    }
    arena_release(&arena);
}

static struct outcome protocol_of_failure(struct failure_Failure *failure, struct arena *arena)
{
    JSON_CLEANUP json_t *hidden = take_attributes(failure, arena);
    struct payload_view  view = payloads_read_first(failure->application_failure_info->details, arena);
    int                  code = RPC_CODE_INTERNAL;
    json_t              *data = view.form == PAYLOAD_JSON ? view.value : NULL;
    json_t              *given = json_object_get(data, "code");
    if (json_is_integer(given) && json_integer_value(given) >= -32768 && json_integer_value(given) <= 32767)
        code = (int)json_integer_value(given);
    return outcome_protocol(code, failure->message, data);
}

struct outcome outcome_failure(const char *what, struct bytes encoded, int32_t attempts)
{
    struct failure_Failure failure;
    struct arena           arena;
    struct buffer          text = { 0 };
    struct outcome         outcome;
    arena_init(&arena, SIZE_MAX);
    if (encoded.base != NULL && pb_decode(&pb_failure_Failure, encoded, &arena, &failure, NULL) == ST_OK &&
        failure.failure_info_case == 5 &&
        bytes_equal_text(failure.application_failure_info->type, PROTOCOL_ERROR_TYPE)) {
        outcome = protocol_of_failure(&failure, &arena);
    } else {
        buffer_printf(&text, "%s: ", what);
        outcome_print_failure(encoded, attempts, &text);
        outcome = outcome_text(true, buffer_bytes(&text));
    }
    buffer_release(&text);
    arena_release(&arena);
    return outcome;
}

static struct outcome outcome_terminated(const struct history_WorkflowExecutionTerminatedEventAttributes *end)
{
    struct buffer text = { 0 };
    buffer_append_text(&text, "the workflow was terminated");
    if (end->reason.size != 0)
        buffer_printf(&text, ": %.*s", BYTES_FMT(end->reason));
    struct outcome outcome = outcome_protocol(RPC_CODE_INTERNAL, buffer_bytes(&text), NULL);
    buffer_release(&text);
    return outcome;
}

struct outcome outcome_close_event(const struct tool *tool, const struct history_HistoryEvent *event,
                                   const struct run_name *run, const char *pending, int32_t attempts)
{
    struct outcome outcome;
    char           what[300];
    snprintf(what, sizeof what, "%s failed",
             tool == NULL || tool->workflow == NULL ? "the workflow" : tool->workflow);
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return outcome_payloads(tool, event->workflow_execution_completed_event_attributes->result, run);
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return outcome_failure(what, event->workflow_execution_failed_event_attributes->failure, attempts);
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return outcome_words(true, "%s: it did not end within its execution timeout%s%s", what,
                             pending == NULL || pending[0] == '\0' ? "" : "; at last: ",
                             pending == NULL ? "" : pending);
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        outcome = outcome_words(true, "the workflow was cancelled");
        outcome.kind = OUTCOME_CANCELLED;
        return outcome;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        return outcome_terminated(event->workflow_execution_terminated_event_attributes);
    default:
        return outcome_words(true, "the workflow ended with an event of type %d, which is unknown here",
                             event->event_type);
    }
}

struct outcome outcome_error(const struct error *error)
{
    switch (error->code) {
    case ST_NOT_FOUND:
        return outcome_words(true, "not found: %s", error->message);
    case ST_UNAVAILABLE:
    case ST_DEADLINE_EXCEEDED:
        return outcome_words(true, "the server did not answer in time (%s); the call may be made again",
                             error->message);
    case ST_RESOURCE_EXHAUSTED:
        return outcome_words(true, "the server is busy (%s); the call may be made again", error->message);
    default:
        return outcome_words(true, "%s", error->message);
    }
}
