/* run_resource.c: runs as resources: temporal://NAMESPACE/WORKFLOW_ID/RUN_ID/result, .../status and .../history.
 *
 * The address is told to whoever called, and is no secret: so it is looked up whether the run is of this caller and of a tool that this
 * path serves. None of them needs a worker.
 */
#include "mcp/gateway_internal.h"
#include "mcp/run_internal.h"

#define EVENTS_MAX 200

struct run_read {
    struct request      *request;
    struct run_uri       uri;
    const struct tool   *tool; /* that the run is of */
    struct run_ref       ref;
    struct backend_call *call;
    struct run_look     *look;
};

static void read_free(struct run_read *read)
{
    read->request->gone = NULL;
    backend_cancel(read->call);
    run_look_cancel(read->look);
    run_uri_release(&read->uri);
    run_ref_release(&read->ref);
    free(read);
}

static void read_gone(struct request *request)
{
    read_free(request->work);
}

static void refuse(struct run_read *read)
{
    struct request *request = read->request;
    read_free(read);
    resource_not_found(request);
}

static void answer_text(struct run_read *read, const char *mime_type, json_t *text)
{
    struct request *request = read->request;
    read_free(read);
    resource_answer(request, json_pack("{s:O, s:s, s:o}", "uri", json_object_get(request->params, "uri"),
                                       "mimeType", mime_type, "text", text));
}

/* `value` is taken. */
static void answer_json(struct run_read *read, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    answer_text(read, "application/json", json_string(text));
    free(text);
}

/* --- the address --- */

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

static const char *const kind_names[] = {
    [RUN_URI_RESULT] = "result", [RUN_URI_STATUS] = "status", [RUN_URI_HISTORY] = "history"
};

bool run_uri_parse(struct bytes text, struct run_uri *ret_uri)
{
    struct bytes scheme = BYTES("temporal://");
    *ret_uri = (struct run_uri){ 0 };
    if (!bytes_starts_with(text, scheme))
        return false;
    struct bytes rest = bytes_of(text.base + scheme.size, text.size - scheme.size);
    for (size_t i = 0; i < ARRAY_COUNT(ret_uri->part); i++) {
        ret_uri->part[i] = take_part(&rest);
        if (ret_uri->part[i] == NULL)
            return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(kind_names); i++) {
        ret_uri->kind = (enum run_uri_kind)i;
        if (bytes_equal_text(rest, kind_names[i]))
            return true;
    }
    return false;
}

void run_uri_release(struct run_uri *uri)
{
    for (size_t i = 0; i < ARRAY_COUNT(uri->part); i++)
        free(uri->part[i]);
    *uri = (struct run_uri){ 0 };
}

/* --- whose it is --- */

const struct tool *run_tool(const struct catalog *catalog, const struct toolset *only, const char *caller,
                            const char                                                     *namespace_name,
                            const struct workflowservice_DescribeWorkflowExecutionResponse *described,
                            struct arena                                                   *arena)
{
    if (described->workflow_execution_info == NULL)
        return NULL;
    struct bytes         memo = described->workflow_execution_info->memo;
    json_t JSON_CLEANUP *started_by = memo_json(memo, MEMO_CALLER, arena);
    json_t JSON_CLEANUP *started_as = memo_json(memo, MEMO_TOOL, arena);
    struct bytes         name = json_text(started_as);
    const uint8_t       *at = name.size == 0 ? NULL : memchr(name.base, '@', name.size);
    if (at == NULL || !bytes_equal_text(json_text(started_by), caller))
        return NULL;
    for (size_t i = 0; i < catalog->toolset_count; i++) {
        const struct toolset *toolset = catalog->toolsets[i];
        if ((only != NULL && toolset != only) || strcmp(toolset->namespace_name, namespace_name) != 0)
            continue;
        const struct tool *tool = toolset_tool(toolset, bytes_of(name.base, (size_t)(at - name.base)));
        if (tool != NULL)
            return tool;
    }
    return NULL;
}

struct backend_call *run_uri_describe(struct gateway *gateway, const struct run_uri *uri, backend_done *done,
                                      void *context)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(uri->part[1]),
                                                  .run_id = bytes_of_text(uri->part[2]) };
    struct workflowservice_DescribeWorkflowExecutionRequest request = {
        .namespace = bytes_of_text(uri->part[0]), .execution = &execution
    };
    return backend_send(&gateway->backend, PB_METHOD_WorkflowService_DescribeWorkflowExecution, &request,
                        BACKEND_TIMEOUT_NS, done, context);
}

/* --- result --- */

static void read_closed(void *context, const void *response, const struct error *error, struct arena *arena)
{
    struct run_read                                                  *read = context;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = response;
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
    if (view.form != PAYLOAD_JSON)
        refuse(read);
    else if (json_is_string(view.value))
        answer_text(read, "text/plain", view.value);
    else
        answer_json(read, view.value);
}

static void read_result(struct run_read *read)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(read->uri.part[1]),
                                                  .run_id = bytes_of_text(read->uri.part[2]) };
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = bytes_of_text(read->uri.part[0]),
        .execution = &execution,
        .history_event_filter_type = enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
    };
    read->call = backend_send(&read->request->gateway->backend,
                              PB_METHOD_WorkflowService_GetWorkflowExecutionHistory, &request,
                              BACKEND_TIMEOUT_NS, read_closed, read);
}

/* --- history: what happened and when, without payloads --- */

static void read_history_page(void *context, const void *response, const struct error *error UNUSED,
                              struct arena *arena)
{
    struct run_read                                                         *read = context;
    const struct workflowservice_GetWorkflowExecutionHistoryReverseResponse *page = response;
    read->call = NULL;
    if (page == NULL || page->history == NULL) {
        refuse(read);
        return;
    }
    json_t               *events = json_array();
    const struct pb_enum *types = pb_enum_find(BYTES("temporal.api.enums.v1.EventType"));
    for (size_t i = page->history->events_count; i-- > 0;) {
        struct history_HistoryEvent event;
        if (pb_decode(&pb_history_HistoryEvent, page->history->events[i], arena, &event, NULL) != ST_OK)
            continue;
        const char *type = pb_enum_value_name(types, event.event_type);
        json_array_append_new(events, json_pack("{s:I, s:o, s:s}", "id", (json_int_t)event.event_id, "time",
                                                time_json(timestamp_ns(event.event_time)), "type",
                                                type == NULL ? "an unknown event" : type));
    }
    answer_json(read,
                json_pack("{s:o, s:b}", "events", events, "older_left_out", page->next_page_token.size != 0));
}

static void read_history(struct run_read *read)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(read->uri.part[1]),
                                                  .run_id = bytes_of_text(read->uri.part[2]) };
    struct workflowservice_GetWorkflowExecutionHistoryReverseRequest request = {
        .namespace = bytes_of_text(read->uri.part[0]),
        .execution = &execution,
        .maximum_page_size = EVENTS_MAX,
    };
    read->call = backend_send(&read->request->gateway->backend,
                              PB_METHOD_WorkflowService_GetWorkflowExecutionHistoryReverse, &request,
                              BACKEND_TIMEOUT_NS, read_history_page, read);
}

/* --- status: as tasks/get says it --- */

static void read_looked(void *context, const struct run_view *view, const struct error *error)
{
    struct run_read *read = context;
    read->look = NULL;
    if (error->code != ST_OK) {
        refuse(read);
        return;
    }
    char   *id = task_id_make(read->request, &read->ref, read->tool);
    json_t *task = task_json(read->request, id, &read->ref, view);
    free(id);
    if (view->progress != NULL)
        json_object_set(task, "progress", view->progress);
    answer_json(read, task);
}

static void read_described(void *context, const void *response, const struct error *error,
                           struct arena *arena)
{
    struct run_read                                                *read = context;
    struct request                                                 *request = read->request;
    const struct workflowservice_DescribeWorkflowExecutionResponse *described = response;
    read->call = NULL;
    if (error->code == ST_OK)
        read->tool = run_tool(request->catalog, request->toolset, request->caller.name, read->uri.part[0],
                              described, arena);
    if (read->tool == NULL) {
        refuse(read);
    } else if (read->uri.kind == RUN_URI_RESULT) {
        read_result(read);
    } else if (read->uri.kind == RUN_URI_HISTORY) {
        read_history(read);
    } else {
        char          *first = text_copy(described->workflow_execution_info->first_run_id);
        struct run_ref ref = { read->uri.part[0], read->uri.part[1], first, NULL };
        (void)run_ref_copy(&ref, &read->ref);
        free(first);
        read->look = run_look(request->gateway->runs, &read->ref, read->tool, read_looked, read);
    }
}

bool run_resource_read(struct request *request, struct bytes uri)
{
    struct run_uri parsed;
    if (!run_uri_parse(uri, &parsed)) {
        run_uri_release(&parsed);
        return false;
    }
    struct run_read *read = xcalloc(1, sizeof *read);
    read->request = request;
    read->uri = parsed;
    request->work = read;
    request->gone = read_gone;
    read->call = run_uri_describe(request->gateway, &read->uri, read_described, read);
    return true;
}

/* --- how one comes to know of them --- */

json_t *run_meta(const struct run_ref *ref)
{
    struct buffer CLEANUP(buffer_release) uri = { 0 };
    if (ref->first_run_id[0] == '\0')
        return NULL;
    outcome_uri(&(struct run_name){ ref->namespace_name, ref->workflow_id, ref->first_run_id },
                kind_names[RUN_URI_STATUS], &uri);
    return json_pack("{s:s%}", "perdure/run", (const char *)uri.base, uri.size);
}

void run_resource_templates(const struct request *request, json_t *items)
{
    static const char *const words[] = {
        [RUN_URI_RESULT] = "The result of a completed run of one of your calls.",
        [RUN_URI_STATUS] = "Where a run of one of your calls stands.",
        [RUN_URI_HISTORY] = "What happened in a run of one of your calls, event by event."
    };
    bool starts = false;
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        for (size_t j = 0; j < toolset->tool_count; j++)
            starts = starts || (toolset->tools[j].exposed && toolset->tools[j].kind == TOOL_START);
    }
    for (size_t i = 0; starts && i < ARRAY_COUNT(words); i++)
        json_array_append_new(items,
                              json_pack("{s:o, s:o, s:s, s:s}", "uriTemplate",
                                        json_sprintf("temporal://{namespace}/{workflow_id}/{run_id}/%s",
                                                     kind_names[i]),
                                        "name", json_sprintf("run %s", kind_names[i]), "description",
                                        words[i], "mimeType", "application/json"));
}
