/* large.c: results that were too large for an answer, read as temporal://NAMESPACE/WORKFLOW_ID/RUN_ID/result.
 *
 * The address is told to whoever called, and is no secret: so it is looked up whether the run is of this caller and of a tool that this
 * path serves.
 */
#include "mcp/gateway_internal.h"

struct large_read {
    struct request      *request;
    struct backend_call *call;
    char                *part[3]; /* namespace, workflow id, run id */
};

static void read_free(struct large_read *read)
{
    read->request->gone = NULL;
    backend_cancel(read->call);
    for (size_t i = 0; i < ARRAY_COUNT(read->part); i++)
        free(read->part[i]);
    free(read);
}

static void read_gone(struct request *request)
{
    read_free(request->work);
}

static void refuse(struct large_read *read)
{
    struct request *request = read->request;
    read_free(read);
    resource_not_found(request);
}

static int digit_of(uint8_t letter)
{
    static const char digits[] = "0123456789abcdef";
    const char       *found = letter == 0 ? NULL
                                          : strchr(digits, letter | (letter >= 'A' && letter <= 'F' ? 0x20 : 0));
    return found == NULL ? -1 : (int)(found - digits);
}

/* The next part of the path, decoded; NULL: not well-formed. */
static char *take_part(struct bytes *rest)
{
    struct buffer text = { 0 };
    size_t        i = 0;
    for (; i < rest->size && rest->base[i] != '/'; i++) {
        uint8_t byte = rest->base[i];
        if (byte == '%') {
            int high = i + 2 < rest->size ? digit_of(rest->base[i + 1]) : -1;
            int low = i + 2 < rest->size ? digit_of(rest->base[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
                break;
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        }
        buffer_append_byte(&text, byte);
    }
    if (i == 0 || i >= rest->size || rest->base[i] != '/') {
        buffer_release(&text);
        return NULL;
    }
    *rest = bytes_of(rest->base + i + 1, rest->size - i - 1);
    buffer_append_byte(&text, 0);
    return (char *)text.base;
}

static void read_closed(void *context, const void *response, const struct error *error, struct arena *arena)
{
    struct large_read                                                *read = context;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = response;
    struct request                                                   *request = read->request;
    read->call = NULL;
    struct history_HistoryEvent event;
    size_t count = error->code != ST_OK || page->history == NULL ? 0 : page->history->events_count;
    if (count == 0 ||
        pb_decode(&pb_history_HistoryEvent, page->history->events[count - 1], arena, &event, NULL) != ST_OK ||
        event.event_type != enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED) {
        refuse(read);
        return;
    }
    struct payload_view view =
        payloads_read_first(event.workflow_execution_completed_event_attributes->result, arena);
    if (view.form != PAYLOAD_JSON) {
        refuse(read);
        return;
    }
    read_free(read);
    bool    is_text = json_is_string(view.value);
    char   *text = is_text ? NULL : json_dumps(view.value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_t *content = json_pack("{s:O, s:s, s:o}", "uri", json_object_get(request->params, "uri"), "mimeType",
                                is_text ? "text/plain" : "application/json", "text",
                                is_text ? json_incref(view.value) : json_string(text));
    free(text);
    json_decref(view.value);
    resource_answer(request, content);
}

/* Whose run it is, and of which tool, is in its memo. */
static bool is_callers(const struct request *request, const char *namespace_name, struct bytes memo,
                       struct arena *arena)
{
    json_t JSON_CLEANUP *caller = memo_json(memo, MEMO_CALLER, arena);
    json_t JSON_CLEANUP *tool = memo_json(memo, MEMO_TOOL, arena);
    struct bytes         name = json_text(tool);
    const uint8_t       *at = name.size == 0 ? NULL : memchr(name.base, '@', name.size);
    if (at == NULL || !bytes_equal_text(json_text(caller), request->caller.name))
        return false;
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        if (strcmp(toolset->namespace_name, namespace_name) == 0 &&
            toolset_tool(toolset, bytes_of(name.base, (size_t)(at - name.base))) != NULL)
            return true;
    }
    return false;
}

static void read_described(void *context, const void *response, const struct error *error,
                           struct arena *arena)
{
    struct large_read                                              *read = context;
    const struct workflowservice_DescribeWorkflowExecutionResponse *described = response;
    read->call = NULL;
    if (error->code != ST_OK || described->workflow_execution_info == NULL ||
        !is_callers(read->request, read->part[0], described->workflow_execution_info->memo, arena)) {
        refuse(read);
        return;
    }
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(read->part[1]),
                                                  .run_id = bytes_of_text(read->part[2]) };
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = bytes_of_text(read->part[0]),
        .execution = &execution,
        .history_event_filter_type = enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
    };
    read->call = backend_send(&read->request->gateway->backend,
                              PB_METHOD_WorkflowService_GetWorkflowExecutionHistory, &request,
                              BACKEND_TIMEOUT_NS, read_closed, read);
}

bool large_result_read(struct request *request, struct bytes uri)
{
    struct bytes scheme = BYTES("temporal://");
    if (!bytes_starts_with(uri, scheme))
        return false;
    struct large_read *read = xcalloc(1, sizeof *read);
    struct bytes       rest = bytes_of(uri.base + scheme.size, uri.size - scheme.size);
    read->request = request;
    request->work = read;
    request->gone = read_gone;
    for (size_t i = 0; i < ARRAY_COUNT(read->part); i++) {
        read->part[i] = take_part(&rest);
        if (read->part[i] == NULL) {
            refuse(read);
            return true;
        }
    }
    if (!bytes_equal_text(rest, "result")) {
        refuse(read);
        return true;
    }
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(read->part[1]),
                                                  .run_id = bytes_of_text(read->part[2]) };
    struct workflowservice_DescribeWorkflowExecutionRequest describe = {
        .namespace = bytes_of_text(read->part[0]), .execution = &execution
    };
    read->call = backend_send(&request->gateway->backend, PB_METHOD_WorkflowService_DescribeWorkflowExecution,
                              &describe, BACKEND_TIMEOUT_NS, read_described, read);
    return true;
}
