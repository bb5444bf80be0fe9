/* invoke.c: a call of a tool, from its arguments to something to wait for or an answer.
 *
 * What may start a run first sees to it that the run can say who called, and that the caller may have one more (quota.h); when not,
 * only what is there already is attached to.
 *
 *   start              StartWorkflow ── started ──> ref
 *                          ├─ it runs already, attach ──> look: same arguments? ──> ref
 *                          └─ ALREADY_EXISTS ──> look: what the policies say ──> ref | StartWorkflow | words
 *   update, with start Update | ExecuteMultiOperation ── accepted ──> ref with the update's id; completed ──> outcome
 *   signal, with start [query] Signal | SignalWithStart ──> outcome
 *   query              [look] Query ──> outcome; no answer: look ──> outcome
 */
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "mcp/run_internal.h"

/* Of the open runs of a namespace, where they cannot be counted by their caller. */
#define COUNT_PAGES_MAX 20
#define COUNT_PAGE_SIZE 1000

struct invocation {
    struct runs        *runs;
    const struct tool  *tool;
    json_t             *arguments;
    invoke_done        *done;
    void               *context;
    struct arena        arena; /* ids, payloads, memo: for as long as it may be sent again */
    struct bytes        caller, workflow_id, request_id, update_id, input, operation_input, memo, header;
    char                hash[2 * JSON_DIGEST_SIZE + 1];
    int32_t             reuse_policy;
    bool                attached;
    struct quota_entry *quota;                 /* NULL: nothing is counted */
    uint64_t            starts;                /* quota_starts, when the count was asked for */
    uint32_t            open_max, seen, pages; /* seen in so many pages */
    bool         has_started, full, again;     /* again: the search attributes were looked up a second time */
    struct bytes search_attributes;            /* none: the namespace does not take them */
    struct backend_call *call;
    struct look         *look;
    struct ask          *ask;
    struct loop_timer    later;
    struct outcome       outcome; /* which `later` gives */
};

/* --- ends --- */

static void invocation_free(struct invocation *self)
{
    loop_timer_clear(self->runs->backend->loop, &self->later);
    backend_cancel(self->call);
    look_cancel(self->look);
    ask_cancel(self->ask);
    quota_drop(self->quota, self->has_started);
    json_decref(self->arguments);
    arena_release(&self->arena);
    outcome_release(&self->outcome);
    free(self);
}

static void finish(struct invocation *self, struct outcome outcome)
{
    struct invoke_answer answer = { .attached = self->attached, .outcome = outcome };
    self->done(self->context, &answer);
    outcome_release(&outcome);
    invocation_free(self);
}

static void finish_error(struct invocation *self, const struct error *error)
{
    finish(self, outcome_error(error));
}

static void finish_ref(struct invocation *self, struct bytes first_run_id)
{
    char                *run_id = text_copy(first_run_id), *workflow_id = text_copy(self->workflow_id);
    char                *update_id = self->update_id.size == 0 ? NULL : text_copy(self->update_id);
    struct invoke_answer answer = { .has_ref = true,
                                    .attached = self->attached,
                                    .ref = { self->tool->namespace_name, workflow_id, run_id, update_id } };
    self->done(self->context, &answer);
    free(run_id);
    free(workflow_id);
    free(update_id);
    invocation_free(self);
}

static void finish_now(struct loop_timer *timer)
{
    struct invocation *self = CONTAINER_OF(timer, struct invocation, later);
    struct outcome     outcome = self->outcome;
    self->outcome = (struct outcome){ 0 };
    finish(self, outcome);
}

static void finish_later(struct invocation *self, struct outcome outcome)
{
    struct loop *loop = self->runs->backend->loop;
    self->outcome = outcome;
    loop_timer_set(loop, &self->later, loop_now(loop));
}

/* --- what requests are made of --- */

static void memo_put(struct common_Memo *memo, const char *name, struct bytes payload)
{
    memo->fields[memo->fields_count++] = (struct common_Memo_FieldsEntry){ bytes_of_text(name), payload };
    assert(memo->fields_count <= 5);
}

static void make_memo(struct invocation *self, struct bytes traceparent)
{
    struct common_Memo_FieldsEntry fields[5];
    struct common_Memo             memo = { .fields = fields };
    struct arena                  *arena = &self->arena;
    memo_put(&memo, MEMO_TOOL,
             payload_of_text(arena_printf(arena, "%s@%s", self->tool->name, self->tool->version), arena));
    memo_put(&memo, MEMO_CALLER, payload_of_text(self->caller, arena));
    memo_put(&memo, MEMO_ARGS, payload_of_text(bytes_of_text(self->hash), arena));
    if (traceparent.size != 0)
        memo_put(&memo, MEMO_TRACE, payload_of_text(traceparent, arena));
    if (self->tool->approval != NULL)
        memo_put(&memo, MEMO_ARGUMENTS, payload_of_json(self->arguments, arena));
    self->memo = pb_encode_arena(&pb_common_Memo, &memo, arena);
}

/* Where the SDKs' interceptors for OpenTelemetry look for the caller's span. */
static void make_header(struct invocation *self, struct bytes traceparent, struct bytes tracestate)
{
    if (traceparent.size == 0 || traceparent.size > 512 || !bytes_is_utf8(traceparent))
        return;
    JSON_CLEANUP json_t *data = json_object();
    json_object_set_new(data, "traceparent", json_stringn((const char *)traceparent.base, traceparent.size));
    if (tracestate.size != 0 && tracestate.size <= 512 && bytes_is_utf8(tracestate))
        json_object_set_new(data, "tracestate", json_stringn((const char *)tracestate.base, tracestate.size));
    struct common_Header_FieldsEntry entry = { BYTES("_tracer-data"), payload_of_json(data, &self->arena) };
    struct common_Header             header = { .fields = &entry, .fields_count = 1 };
    self->header = pb_encode_arena(&pb_common_Header, &header, &self->arena);
}

static enum status make_value(struct invocation            *self, const struct template *template,
                              const struct template_values *values, struct bytes *ret_payloads,
                              struct error *error)
{
    json_t *value = NULL;
    if (template == NULL)
        return ST_OK;
    enum status status = template_value(template, values, &value, error);
    if (status == ST_OK)
        *ret_payloads = payloads_of_array(value, &self->arena);
    json_decref(value);
    return status;
}

static enum status make_id(struct invocation            *self, const struct template *template,
                           const struct template_values *values, const char *suffix, struct bytes *ret_id,
                           struct error *error)
{
    struct buffer text = { 0 };
    enum status   status = template_text(template, values, &text, error);
    if (status == ST_OK && suffix != NULL)
        buffer_printf(&text, "-%s", suffix);
    if (status == ST_OK)
        *ret_id = arena_copy(&self->arena, buffer_bytes(&text));
    buffer_release(&text);
    return status;
}

/* The caller's own UUID for this attempt, mixed with who calls, so that nobody meets another's; else a fresh one. */
static struct bytes attempt_of(struct invocation *self, const struct invoke_request *request)
{
    struct uuid attempt;
    uint8_t     digest[JSON_DIGEST_SIZE];
    char        text[UUID_TEXT_SIZE];
    json_t     *pair;
    if (!uuid_parse(request->attempt, &attempt))
        return backend_new_id(self->runs->backend, &self->arena);
    uuid_print(&attempt, text);
    pair = json_pack("[s%, s%]", text, (size_t)UUID_TEXT_SIZE, (const char *)self->caller.base,
                     self->caller.size);
    bool mixed = pair != NULL && json_digest(pair, digest);
    json_decref(pair);
    if (!mixed) /* a caller whose name is no text */
        return backend_new_id(self->runs->backend, &self->arena);
    memcpy(attempt.byte, digest, sizeof attempt.byte);
    uuid_print(&attempt, text);
    return arena_copy(&self->arena, bytes_of(text, sizeof text));
}

/* Everything that is derived from the arguments; words for who made them when it cannot be. */
static enum status make_parts(struct invocation *self, const struct invoke_request *request,
                              struct error *error)
{
    const struct tool     *tool = self->tool;
    uint8_t                digest[JSON_DIGEST_SIZE];
    struct bytes           uuid = attempt_of(self, request);
    char                  *uuid_text = NULL;
    struct template_values values = {
        .arguments = self->arguments, .caller = self->caller, .tool = bytes_of_text(tool->name), .uuid = uuid
    };
    if (!json_digest(self->arguments, digest))
        return error_set(error, ST_INVALID_ARGUMENT, "the arguments are nested too deeply");
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(self->hash + 2 * i, 3, "%02x", digest[i]);
    values.hash = bytes_of_text(self->hash);
    self->request_id = uuid;
    if (tool->kind == TOOL_START && tool->running == RUNNING_NEW)
        uuid_text = text_copy(uuid);
    enum status status = make_id(self, tool->id, &values, uuid_text, &self->workflow_id, error);
    free(uuid_text);
    if (status == ST_OK)
        status = make_value(self, tool->args, &values, &self->input, error);
    if (status == ST_OK)
        status = make_value(self, tool->operation_args, &values, &self->operation_input, error);
    if (status == ST_OK && (tool->kind == TOOL_UPDATE || tool->kind == TOOL_UPDATE_WITH_START)) {
        self->update_id = uuid;
        if (tool->update_id != NULL)
            status = make_id(self, tool->update_id, &values, NULL, &self->update_id, error);
    }
    if (status != ST_OK)
        return status;
    make_memo(self, request->traceparent);
    make_header(self, request->traceparent, request->tracestate);
    return ST_OK;
}

static struct google_Duration *duration_or_none(struct invocation *self, int64_t ns)
{
    return ns == 0 ? NULL : duration_of_ns(&self->arena, ns);
}

static struct taskqueue_TaskQueue *queue_of(struct invocation *self)
{
    struct taskqueue_TaskQueue *queue = ARENA_NEW(&self->arena, struct taskqueue_TaskQueue);
    queue->name = bytes_of_text(self->tool->task_queue);
    queue->kind = enums_TASK_QUEUE_KIND_NORMAL;
    return queue;
}

static struct common_WorkflowType *type_of(struct invocation *self)
{
    struct common_WorkflowType *type = ARENA_NEW(&self->arena, struct common_WorkflowType);
    type->name = bytes_of_text(self->tool->workflow);
    return type;
}

static void fill_start(struct invocation *self, struct workflowservice_StartWorkflowExecutionRequest *request)
{
    const struct tool *tool = self->tool;
    *request = (struct workflowservice_StartWorkflowExecutionRequest){
        .namespace = bytes_of_text(tool->namespace_name),
        .workflow_id = self->workflow_id,
        .workflow_type = type_of(self),
        .task_queue = queue_of(self),
        .input = self->input,
        .workflow_execution_timeout = duration_or_none(self, tool->execution_timeout_ns),
        .workflow_run_timeout = duration_or_none(self, tool->run_timeout_ns),
        .workflow_task_timeout = duration_or_none(self, tool->workflow_task_timeout_ns),
        .workflow_start_delay = duration_or_none(self, tool->start_delay_ns),
        .identity = BYTES(BACKEND_IDENTITY),
        .request_id = self->request_id,
        .memo = self->memo,
        .search_attributes = self->search_attributes,
        .header = self->header,
        .workflow_id_reuse_policy = self->reuse_policy,
        .workflow_id_conflict_policy = tool->kind == TOOL_START && tool->running != RUNNING_ATTACH
                                           ? enums_WORKFLOW_ID_CONFLICT_POLICY_FAIL
                                           : enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
    };
}

/* --- start --- */

static void start(struct invocation *self);
static bool prepared_again(struct invocation *self, const struct error *error);

static void finish_full(struct invocation *self)
{
    char message[300];
    snprintf(message, sizeof message,
             "%.100s has %u runs open in namespace %.64s, and may not have more (open_tasks_per_caller)",
             (const char *)arena_printf(&self->arena, "%.*s%c", BYTES_FMT(self->caller), 0).base,
             self->open_max, self->tool->namespace_name);
    finish(self, (struct outcome){
                     .kind = OUTCOME_PROTOCOL, .code = RPC_CODE_INTERNAL, .message = strdup(message) });
}

/* Whether the run was started by this tool with the same arguments; else the words that say so. */
static bool same_arguments(struct invocation *self, const struct workflow_WorkflowExecutionInfo *info,
                           struct arena *arena, struct outcome *ret_outcome)
{
    JSON_CLEANUP json_t *hash = memo_json(info->memo, MEMO_ARGS, arena);
    if (self->tool->same_id_other_args == OTHER_ARGS_IGNORE || bytes_equal_text(json_text(hash), self->hash))
        return true;
    *ret_outcome = outcome_words(true,
                                 hash == NULL ? "\"%.*s\" is the id of a workflow that no tool has started"
                                              : "id \"%.*s\" was already used with different arguments",
                                 BYTES_FMT(self->workflow_id));
    return false;
}

/* Whether the policies let another run follow this one, which has ended: it is no answer any more, or never was one. */
static bool runs_again(const struct invocation *self, const struct workflow_WorkflowExecutionInfo *info)
{
    const struct tool *tool = self->tool;
    bool               completed = info->status == enums_WORKFLOW_EXECUTION_STATUS_COMPLETED;
    if (tool->closed == CLOSED_RERUN || (tool->closed == CLOSED_RERUN_IF_FAILED && !completed))
        return true;
    return tool->window_ns != 0 && info->close_time != NULL &&
           time_add(timestamp_ns(info->close_time), tool->window_ns) <= clock_wall_ns(&clock_system);
}

static void existing_looked(void *context, const struct run_facts *facts, const struct error *error,
                            struct arena *arena)
{
    struct invocation *self = context;
    struct outcome     outcome;
    self->look = NULL;
    if (facts == NULL && error->code == ST_NOT_FOUND) {
        start(self); /* it was deleted in between */
        return;
    }
    if (facts == NULL) {
        finish_error(self, error);
        return;
    }
    const struct workflow_WorkflowExecutionInfo *info = facts->description->workflow_execution_info;
    bool                                         open = status_is_open(info->status);
    if (open && self->tool->running == RUNNING_REJECT) {
        finish(self, outcome_words(true, "it is already running as \"%.*s\"", BYTES_FMT(self->workflow_id)));
    } else if (!open && !self->attached && runs_again(self, info)) {
        self->reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
        start(self);
    } else if (!same_arguments(self, info, arena, &outcome)) {
        finish(self, outcome);
    } else {
        self->attached = true;
        finish_ref(self, info->first_run_id);
    }
}

static void look_at_workflow(struct invocation *self, look_done *done)
{
    char          *workflow_id = text_copy(self->workflow_id);
    struct run_ref ref = { self->tool->namespace_name, workflow_id, "", NULL };
    self->look = look_begin(self->runs, &ref, NULL, done, self);
    free(workflow_id);
}

static void started(void *context, const void *response, const struct error *error,
                    struct arena *arena UNUSED)
{
    struct invocation                                           *self = context;
    const struct workflowservice_StartWorkflowExecutionResponse *answer = response;
    self->call = NULL;
    self->has_started = answer != NULL && answer->started;
    if (self->has_started) {
        finish_ref(self, answer->run_id);
    } else if (answer != NULL || error->code == ST_ALREADY_EXISTS) {
        self->attached = answer != NULL;
        look_at_workflow(self, existing_looked);
    } else if (!prepared_again(self, error)) {
        finish_error(self, error);
    }
}

static void start(struct invocation *self)
{
    struct workflowservice_StartWorkflowExecutionRequest request;
    if (self->full) {
        finish_full(self);
        return;
    }
    self->has_started = true; /* unless the answer says otherwise: there may be none */
    fill_start(self, &request);
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_StartWorkflowExecution, &request,
                              BACKEND_TIMEOUT_NS, started, self);
}

/* --- updates --- */

#define UPDATE_WAIT_NS (30 * NS_PER_S)

static void update(struct invocation *self);

static void update_outcome(struct invocation                                            *self,
                           const struct workflowservice_UpdateWorkflowExecutionResponse *answer)
{
    char what[200];
    snprintf(what, sizeof what, "update %s failed", self->tool->operation);
    if (answer->outcome != NULL && answer->outcome->value_case == 2) {
        finish(self, outcome_failure(what, answer->outcome->failure, 0));
    } else if (answer->outcome != NULL) {
        finish(self, outcome_payloads(self->tool, answer->outcome->success, NULL));
    } else if (answer->stage >= enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED) {
        finish_ref(self, BYTES_EMPTY);
    } else {
        update(self); /* the same one, by its id: no worker has seen it yet */
    }
}

static void updated(void *context, const void *response, const struct error *error,
                    struct arena *arena UNUSED)
{
    struct invocation *self = context;
    self->call = NULL;
    if (response != NULL)
        update_outcome(self, response);
    else if (error->code == ST_DEADLINE_EXCEEDED)
        update(self);
    else
        finish_error(self, error);
}

static void multi_updated(void *context, const void *response, const struct error *error,
                          struct arena *arena UNUSED)
{
    struct invocation                                          *self = context;
    const struct workflowservice_ExecuteMultiOperationResponse *answer = response;
    self->call = NULL;
    if (answer != NULL && answer->responses_count == 2 && answer->responses[1].response_case == 2) {
        self->attached = answer->responses[0].response_case == 1 &&
                         !answer->responses[0].start_workflow->started;
        self->has_started = !self->attached;
        update_outcome(self, answer->responses[1].update_workflow);
    } else if (error->code == ST_DEADLINE_EXCEEDED) {
        update(self);
    } else {
        self->has_started = false;
        if (!prepared_again(self, error))
            finish_error(self, error);
    }
}

static void update(struct invocation *self)
{
    struct common_WorkflowExecution execution = { .workflow_id = self->workflow_id };
    struct update_WaitPolicy        wait = { enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED };
    struct update_Meta              meta = { self->update_id, BYTES(BACKEND_IDENTITY) };
    struct update_Input input = { self->header, bytes_of_text(self->tool->operation), self->operation_input };
    struct update_Request                                 inner = { .meta = &meta, .input = &input };
    struct workflowservice_UpdateWorkflowExecutionRequest request = { .namespace = bytes_of_text(
                                                                          self->tool->namespace_name),
                                                                      .workflow_execution = &execution,
                                                                      .wait_policy = &wait,
                                                                      .request = &inner };
    if (self->tool->kind == TOOL_UPDATE) {
        self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_UpdateWorkflowExecution,
                                  &request, UPDATE_WAIT_NS, updated, self);
        return;
    }
    struct workflowservice_StartWorkflowExecutionRequest first;
    self->has_started = !self->full;
    fill_start(self, &first);
    struct workflowservice_ExecuteMultiOperationRequest_Operation operations[] = {
        { .operation_case = 1, .start_workflow = &first },
        { .operation_case = 2, .update_workflow = &request }
    };
    struct workflowservice_ExecuteMultiOperationRequest both = { .namespace = request.namespace,
                                                                 .operations = operations,
                                                                 .operations_count = 2 };
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_ExecuteMultiOperation, &both,
                              UPDATE_WAIT_NS, multi_updated, self);
}

/* --- signals --- */

static void signalled(void *context, const void *response, const struct error *error,
                      struct arena *arena UNUSED)
{
    struct invocation *self = context;
    self->call = NULL;
    if (response == NULL)
        finish_error(self, error);
    else
        finish(self, outcome_words(false, "%s was sent to \"%.*s\"", self->tool->operation,
                                   BYTES_FMT(self->workflow_id)));
}

static void signal_it(struct invocation *self)
{
    struct common_WorkflowExecution                       execution = { .workflow_id = self->workflow_id };
    struct workflowservice_SignalWorkflowExecutionRequest request = {
        .namespace = bytes_of_text(self->tool->namespace_name),
        .workflow_execution = &execution,
        .signal_name = bytes_of_text(self->tool->operation),
        .input = self->operation_input,
        .identity = BYTES(BACKEND_IDENTITY),
        .request_id = self->request_id,
        .header = self->header,
    };
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_SignalWorkflowExecution,
                              &request, BACKEND_TIMEOUT_NS, signalled, self);
}

static void started_and_signalled(void *context, const void *response, const struct error *error,
                                  struct arena *arena)
{
    struct invocation                                                     *self = context;
    const struct workflowservice_SignalWithStartWorkflowExecutionResponse *answer = response;
    self->has_started = answer != NULL && answer->started;
    if (answer == NULL && prepared_again(self, error))
        return;
    signalled(context, response, error, arena);
}

static void signal_with_start(struct invocation *self)
{
    struct workflowservice_StartWorkflowExecutionRequest first;
    self->has_started = !self->full;
    fill_start(self, &first);
    struct workflowservice_SignalWithStartWorkflowExecutionRequest request = {
        .namespace = first.namespace,
        .workflow_id = first.workflow_id,
        .workflow_type = first.workflow_type,
        .task_queue = first.task_queue,
        .input = first.input,
        .workflow_execution_timeout = first.workflow_execution_timeout,
        .workflow_run_timeout = first.workflow_run_timeout,
        .workflow_task_timeout = first.workflow_task_timeout,
        .workflow_start_delay = first.workflow_start_delay,
        .identity = first.identity,
        .request_id = first.request_id,
        .workflow_id_reuse_policy = first.workflow_id_reuse_policy,
        .memo = first.memo,
        .search_attributes = first.search_attributes,
        .header = first.header,
        .signal_name = bytes_of_text(self->tool->operation),
        .signal_input = self->operation_input,
    };
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_SignalWithStartWorkflowExecution,
                              &request, BACKEND_TIMEOUT_NS, started_and_signalled, self);
}

/* --- queries --- */

static void ask_query(struct invocation *self, const char *name, struct bytes input, int64_t timeout_ns,
                      backend_done *done)
{
    struct common_WorkflowExecution             execution = { .workflow_id = self->workflow_id };
    struct query_WorkflowQuery                  query = { bytes_of_text(name), input, self->header };
    struct workflowservice_QueryWorkflowRequest request = {
        .namespace = bytes_of_text(self->tool->namespace_name), .execution = &execution, .query = &query
    };
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_QueryWorkflow, &request,
                              timeout_ns, done, self);
}

/* The server's own knowledge in place of a worker's answer: it says which it is, and of when. */
static void fallback_looked(void *context, const struct run_facts *facts, const struct error *error,
                            struct arena *arena UNUSED)
{
    struct invocation *self = context;
    struct run_view    view;
    self->look = NULL;
    if (facts == NULL) {
        finish_error(self, error);
        return;
    }
    const struct workflow_WorkflowExecutionInfo *info = facts->description->workflow_execution_info;
    view_of_facts(facts, self->tool, &view);
    time_t    now = (time_t)(clock_wall_ns(&clock_system) / NS_PER_S);
    struct tm parts;
    char      at[32] = "";
    if (gmtime_r(&now, &parts) != NULL)
        (void)strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &parts);
    struct outcome outcome = outcome_words(
        false, "No worker answered the query %s. The server's own view, as of %s: the workflow is %s%s%s.",
        self->tool->operation, at, status_words(info->status), status_is_open(info->status) ? "; " : "",
        status_is_open(info->status) ? view.message : "");
    json_object_set_new(outcome.result, "structuredContent",
                        json_pack("{s:s, s:s, s:s, s:s}", "source", "describe", "status",
                                  status_words(info->status), "message", view.message, "as_of", at));
    if (self->tool->output_schema != NULL)
        json_object_set_new(outcome.result, "isError", json_true()); /* it is not what the schema promises */
    run_view_release(&view);
    finish(self, outcome);
}

static void query_answered(void *context, const void *response, const struct error *error,
                           struct arena *arena UNUSED)
{
    struct invocation                                  *self = context;
    const struct workflowservice_QueryWorkflowResponse *answer = response;
    self->call = NULL;
    self->ask = NULL;
    if (answer != NULL) {
        finish(self, outcome_payloads(self->tool, answer->query_result, NULL));
        return;
    }
    if (!ask_went_unheard(error->code) || self->tool->fallback != FALLBACK_DESCRIBE) {
        finish_error(self, error);
        return;
    }
    look_at_workflow(self, fallback_looked);
}

/* The description first: it is what is answered with when nobody else does, and says which queue's workers to ask. */
static void queried_looked(void *context, const struct run_facts *facts, const struct error *error,
                           struct arena *arena UNUSED)
{
    struct invocation *self = context;
    self->look = NULL;
    if (facts == NULL) {
        finish_error(self, error);
        return;
    }
    struct ask_question question = { .namespace_name = bytes_of_text(self->tool->namespace_name),
                                     .workflow_id = self->workflow_id,
                                     .task_queue = facts->description->workflow_execution_info->task_queue,
                                     .query = bytes_of_text(self->tool->operation),
                                     .input = self->operation_input,
                                     .header = self->header,
                                     .timeout_ns = self->tool->query_timeout_ns };
    self->ask = ask_begin(self->runs, &question, query_answered, self);
}

static void query(struct invocation *self)
{
    if (self->tool->fallback == FALLBACK_DESCRIBE)
        look_at_workflow(self, queried_looked);
    else
        ask_query(self, self->tool->operation, self->operation_input, self->tool->query_timeout_ns,
                  query_answered);
}

/* A signal or update that is only sent in a certain state of the workflow. */
static void requirement_answered(void *context, const void *response, const struct error *error,
                                 struct arena *arena)
{
    struct invocation                                  *self = context;
    const struct workflowservice_QueryWorkflowResponse *answer = response;
    self->call = NULL;
    if (answer == NULL) {
        finish_error(self, error);
        return;
    }
    struct payload_view view = payloads_read_first(answer->query_result, arena);
    if (view.form == PAYLOAD_JSON && json_same(view.value, self->tool->require_query.equals)) {
        json_decref(view.value);
        if (self->tool->kind == TOOL_SIGNAL)
            signal_it(self);
        else
            update(self);
        return;
    }
    char *is = view.form == PAYLOAD_JSON ? json_dumps(view.value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char *wanted = json_dumps(self->tool->require_query.equals, JSON_ENCODE_ANY | JSON_COMPACT);
    struct outcome outcome = outcome_words(true, "not now: %s of \"%.*s\" is %.300s, not %.300s",
                                           self->tool->require_query.query, BYTES_FMT(self->workflow_id),
                                           is == NULL ? "nothing" : is, wanted == NULL ? "?" : wanted);
    if (view.form == PAYLOAD_JSON)
        json_decref(view.value);
    free(is);
    free(wanted);
    finish(self, outcome);
}

/* --- the face --- */

static int32_t reuse_policy_of(const struct tool *tool)
{
    if (tool->kind == TOOL_START && tool->running == RUNNING_NEW)
        return enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
    switch (tool->closed) {
    case CLOSED_RERUN_IF_FAILED:
        return enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY;
    case CLOSED_RETURN:
        return enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    case CLOSED_RERUN:
    default:
        return enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
    }
}

static void act(struct invocation *self)
{
    const struct tool *tool = self->tool;
    bool               acts = tool->kind == TOOL_SIGNAL || tool->kind == TOOL_UPDATE;
    if (acts && tool->require_query.query != NULL) {
        ask_query(self, tool->require_query.query, BYTES_EMPTY, tool->query_timeout_ns, requirement_answered);
        return;
    }
    switch (tool->kind) {
    case TOOL_START:
        start(self);
        break;
    case TOOL_UPDATE_WITH_START:
    case TOOL_UPDATE:
        update(self);
        break;
    case TOOL_SIGNAL_WITH_START:
        signal_with_start(self);
        break;
    case TOOL_SIGNAL:
        signal_it(self);
        break;
    case TOOL_QUERY:
    default:
        query(self);
        break;
    }
}

/* --- before something is started --- */

static void prepare(struct invocation *self);

/* There is no room for another run: one that is open already may be used all the same. */
static void full_looked(void *context, const struct run_facts *facts, const struct error *error,
                        struct arena *arena)
{
    struct invocation *self = context;
    bool open = facts != NULL && status_is_open(facts->description->workflow_execution_info->status);
    self->look = NULL;
    if (self->tool->kind == TOOL_START && (facts != NULL || error->code == ST_NOT_FOUND))
        existing_looked(self, facts, error, arena);
    else if (open)
        act(self);
    else
        finish_full(self);
}

static void go(struct invocation *self)
{
    if (!self->full) {
        act(self);
        return;
    }
    char          *workflow_id = text_copy(self->workflow_id);
    struct run_ref ref = { self->tool->namespace_name, workflow_id, "", NULL };
    self->look = look_begin(self->runs, &ref, NULL, full_looked, self);
    free(workflow_id);
}

static void count_known(struct invocation *self, uint64_t count)
{
    quota_counted(self->quota, self->starts, count);
    self->full = !quota_surely_fits(self->quota, self->open_max);
    go(self);
}

static void list_page(struct invocation *self, struct bytes token);

static void page_listed(void *context, const void *response, const struct error *error, struct arena *arena)
{
    struct invocation                                           *self = context;
    const struct workflowservice_ListWorkflowExecutionsResponse *page = response;
    self->call = NULL;
    if (page == NULL) {
        log_warn("mcp.quota", "the open runs of a caller cannot be counted: %s", error->message);
        go(self);
        return;
    }
    for (size_t i = 0; i < page->executions_count; i++) {
        JSON_CLEANUP json_t *caller = memo_json(page->executions[i].memo, MEMO_CALLER, arena);
        self->seen += bytes_equal(json_text(caller), self->caller);
    }
    if (page->next_page_token.size != 0 && self->seen < self->open_max && ++self->pages < COUNT_PAGES_MAX)
        list_page(self, page->next_page_token);
    else
        count_known(self, self->seen);
}

/* Where lists have no filter for the attribute: the newest open runs are looked at. */
static void list_page(struct invocation *self, struct bytes token)
{
    struct workflowservice_ListWorkflowExecutionsRequest request = {
        .namespace = bytes_of_text(self->tool->namespace_name),
        .query = BYTES("ExecutionStatus = \"Running\""),
        .page_size = COUNT_PAGE_SIZE,
        .next_page_token = token
    };
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_ListWorkflowExecutions, &request,
                              BACKEND_TIMEOUT_NS, page_listed, self);
}

/* What cannot be counted is not bounded: a tool that does not answer would be worse. */
static void counted(void *context, const void *response, const struct error *error,
                    struct arena *arena UNUSED)
{
    struct invocation                                            *self = context;
    const struct workflowservice_CountWorkflowExecutionsResponse *answer = response;
    self->call = NULL;
    if (answer != NULL) {
        count_known(self, (uint64_t)MAX(answer->count, INT64_C(0)));
    } else if (error->code == ST_INVALID_ARGUMENT) {
        self->seen = self->pages = 0;
        list_page(self, BYTES_EMPTY);
    } else {
        log_warn("mcp.quota", "the open runs of a caller cannot be counted: %s", error->message);
        go(self);
    }
}

static void count(struct invocation *self)
{
    CLEANUP(buffer_release) struct buffer query = { 0 };
    buffer_append_text(&query, "ExecutionStatus = \"Running\" AND " ATTRIBUTE_CALLER " = \"");
    for (size_t i = 0; i < self->caller.size; i++) {
        if (self->caller.base[i] == '"' || self->caller.base[i] == '\\')
            buffer_append_byte(&query, '\\');
        buffer_append_byte(&query, self->caller.base[i]);
    }
    buffer_append_byte(&query, '"');
    struct workflowservice_CountWorkflowExecutionsRequest request = {
        .namespace = bytes_of_text(self->tool->namespace_name), .query = buffer_bytes(&query)
    };
    self->starts = quota_starts(self->quota);
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_CountWorkflowExecutions,
                              &request, BACKEND_TIMEOUT_NS, counted, self);
}

/* A call that names neither: `state` is told of the namespace, and this call goes on without them when they are not there. */
static void attributes_known(struct invocation *self, enum quota_attributes state)
{
    if (state != ATTRIBUTES_UNKNOWN)
        quota_set_attributes(&self->runs->quota, self->tool->namespace_name, state);
    if (state == ATTRIBUTES_THERE)
        prepare(self);
    else
        go(self);
}

static void attributes_added(void *context, const void *response, const struct error *error,
                             struct arena *arena UNUSED)
{
    struct invocation *self = context;
    self->call = NULL;
    if (response == NULL)
        log_warn("mcp.quota", "namespace %s does not take " ATTRIBUTE_TOOL " and " ATTRIBUTE_CALLER ": %s",
                 self->tool->namespace_name, error->message);
    attributes_known(self, response != NULL                     ? ATTRIBUTES_THERE
                           : error->code == ST_INVALID_ARGUMENT ? ATTRIBUTES_REFUSED
                                                                : ATTRIBUTES_UNKNOWN);
}

/* They are looked up before they are added: a name that is there with another type would stay as it is. */
static void attributes_listed(void *context, const void *response, const struct error *error UNUSED,
                              struct arena *arena UNUSED)
{
    struct invocation                                                      *self = context;
    const struct operatorservice_ListSearchAttributesResponse              *answer = response;
    struct operatorservice_AddSearchAttributesRequest_SearchAttributesEntry entries[] = {
        { BYTES(ATTRIBUTE_TOOL), enums_INDEXED_VALUE_TYPE_KEYWORD },
        { BYTES(ATTRIBUTE_CALLER), enums_INDEXED_VALUE_TYPE_KEYWORD },
    };
    struct operatorservice_AddSearchAttributesRequest request = {
        .namespace = bytes_of_text(self->tool->namespace_name),
        .search_attributes = entries,
        .search_attributes_count = ARRAY_COUNT(entries)
    };
    size_t there = 0;
    bool   fits = true;
    self->call = NULL;
    if (answer == NULL) { /* the start will say what is the matter */
        attributes_known(self, ATTRIBUTES_UNKNOWN);
        return;
    }
    for (size_t i = 0; i < answer->custom_attributes_count; i++)
        for (size_t k = 0; k < ARRAY_COUNT(entries); k++)
            if (bytes_equal(answer->custom_attributes[i].key, entries[k].key)) {
                there++;
                fits = fits && answer->custom_attributes[i].value == entries[k].value;
            }
    if (!fits || there == ARRAY_COUNT(entries)) {
        attributes_known(self, fits ? ATTRIBUTES_THERE : ATTRIBUTES_REFUSED);
        return;
    }
    self->call = backend_send(self->runs->backend, PB_METHOD_OperatorService_AddSearchAttributes, &request,
                              BACKEND_TIMEOUT_NS, attributes_added, self);
}

static void make_search_attributes(struct invocation *self)
{
    struct arena                                     *arena = &self->arena;
    struct common_SearchAttributes_IndexedFieldsEntry fields[] = {
        { BYTES(ATTRIBUTE_TOOL), payload_of_text(bytes_of_text(self->tool->name), arena) },
        { BYTES(ATTRIBUTE_CALLER), payload_of_text(self->caller, arena) },
    };
    struct common_SearchAttributes attributes = { .indexed_fields = fields,
                                                  .indexed_fields_count = ARRAY_COUNT(fields) };
    self->search_attributes = pb_encode_arena(&pb_common_SearchAttributes, &attributes, arena);
}

static void prepare(struct invocation *self)
{
    const char                                        *name = self->tool->namespace_name;
    enum quota_attributes                              state = quota_attributes(&self->runs->quota, name);
    struct operatorservice_ListSearchAttributesRequest request = { .namespace = bytes_of_text(name) };
    if (state == ATTRIBUTES_REFUSED || !bytes_is_utf8(self->caller)) {
        go(self);
        return;
    }
    if (state == ATTRIBUTES_UNKNOWN) {
        self->call = backend_send(self->runs->backend, PB_METHOD_OperatorService_ListSearchAttributes,
                                  &request, BACKEND_TIMEOUT_NS, attributes_listed, self);
        return;
    }
    make_search_attributes(self);
    if (self->open_max != 0 && self->quota == NULL)
        self->quota = quota_hold(&self->runs->quota, name, self->caller);
    if (self->quota == NULL || quota_surely_fits(self->quota, self->open_max))
        go(self);
    else
        count(self);
}

/* A start was refused that carried the search attributes: somebody may have taken them away. True: it goes on from the beginning. */
static bool prepared_again(struct invocation *self, const struct error *error)
{
    if (self->again || self->search_attributes.size == 0 || error->code != ST_INVALID_ARGUMENT)
        return false;
    self->again = true;
    self->search_attributes = BYTES_EMPTY;
    quota_set_attributes(&self->runs->quota, self->tool->namespace_name, ATTRIBUTES_UNKNOWN);
    prepare(self);
    return true;
}

struct invocation *run_invoke(struct runs *runs, const struct invoke_request *request, invoke_done *done,
                              void *context)
{
    struct invocation *self = xcalloc(1, sizeof *self);
    struct buffer      words = { 0 };
    struct error       error;
    self->runs = runs;
    self->tool = request->tool;
    self->done = done;
    self->context = context;
    self->arguments = request->arguments == NULL ? json_object()
                                                 : json_incref((json_t *)(uintptr_t)request->arguments);
    self->open_max = request->open_max;
    self->reuse_policy = reuse_policy_of(request->tool);
    arena_init(&self->arena, SIZE_MAX);
    self->caller = arena_copy(&self->arena, request->caller);
    loop_timer_init(&self->later, finish_now);
    if (self->tool->input_schema != NULL &&
        schema_check(self->tool->input_schema, self->arguments, &words) != ST_OK) {
        struct buffer text = { 0 };
        buffer_append_text(&text, "the arguments do not conform to the tool's input schema:\n");
        buffer_append(&text, buffer_bytes(&words));
        finish_later(self, outcome_text(true, buffer_bytes(&text)));
        buffer_release(&text);
    } else if (make_parts(self, request, &error) != ST_OK) {
        finish_later(self, outcome_words(true, "%s", error.message));
    } else if (self->tool->kind <= TOOL_SIGNAL_WITH_START) {
        prepare(self);
    } else {
        act(self);
    }
    buffer_release(&words);
    return self;
}

void run_invoke_cancel(struct invocation *invocation)
{
    if (invocation != NULL)
        invocation_free(invocation);
}
