/* answer.c: what callers and people do to a run that goes on: ask for its cancel, answer its questions.
 *
 * An answer is looked up first: a question that is not open (answered, unknown, the run has ended) is acknowledged and nothing is sent.
 * What is sent carries a request id made of run and key, so that of two answers to one question the first counts.
 */
#include <stdio.h>

#include "mcp/run_internal.h"

struct run_action {
    struct list          all; /* in runs->actions */
    struct runs         *runs;
    struct run_ref       ref;
    const struct tool   *tool;
    run_acted           *acted;
    void                *context;
    char                *key;
    struct bytes         caller; /* who answers */
    json_t              *response;
    struct arena         arena;
    struct backend_call *call;
    struct look         *look;
};

static void action_free(struct run_action *self)
{
    list_remove(&self->all);
    backend_cancel(self->call);
    look_cancel(self->look);
    run_ref_release(&self->ref);
    json_decref(self->response);
    arena_release(&self->arena);
    free(self->key);
    free(self);
}

static void finish(struct run_action *self, const struct error *error, const char *words)
{
    static const struct error none;
    self->acted(self->context, error == NULL ? &none : error, words);
    action_free(self);
}

static struct run_action *action_new(struct runs *runs, const struct run_ref *ref, run_acted *acted,
                                     void *context)
{
    struct run_action *self = xcalloc(1, sizeof *self);
    self->runs = runs;
    list_append(&runs->actions, &self->all);
    self->acted = acted;
    self->context = context;
    (void)run_ref_copy(ref, &self->ref);
    arena_init(&self->arena, SIZE_MAX);
    return self;
}

void actions_forget(struct runs *runs)
{
    while (!list_empty(&runs->actions))
        action_free(LIST_ENTRY(runs->actions.next, struct run_action, all));
}

void run_action_cancel(struct run_action *action)
{
    if (action != NULL)
        action_free(action);
}

/* A run that has ended by now takes nothing, and that is fine. */
static void sent(void *context, const void *response, const struct error *error, struct arena *arena UNUSED)
{
    struct run_action *self = context;
    self->call = NULL;
    if (response != NULL)
        finish(self, NULL, NULL);
    else if (error->code == ST_NOT_FOUND)
        finish(self, NULL, "the workflow has ended");
    else
        finish(self, error, NULL);
}

/* --- cancel --- */

struct run_action *run_cancel(struct runs *runs, const struct run_ref *ref, run_acted *acted, void *context)
{
    struct run_action              *self = action_new(runs, ref, acted, context);
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(self->ref.workflow_id) };
    struct workflowservice_RequestCancelWorkflowExecutionRequest request = {
        .namespace = bytes_of_text(self->ref.namespace_name),
        .workflow_execution = &execution,
        .identity = BYTES(BACKEND_IDENTITY),
        .request_id = arena_printf(&self->arena, "mcp-cancel-%s", self->ref.first_run_id),
        .first_execution_run_id = bytes_of_text(self->ref.first_run_id),
        .reason = BYTES("cancelled by the caller of the tool"),
    };
    self->call = backend_send(runs->backend, PB_METHOD_WorkflowService_RequestCancelWorkflowExecution,
                              &request, BACKEND_TIMEOUT_NS, sent, self);
    return self;
}

/* --- answers --- */

/* The same for the same run and key. */
static struct bytes answer_id(struct run_action *self)
{
    struct bytes run = bytes_of_text(self->ref.first_run_id), key = bytes_of_text(self->key);
    return arena_printf(&self->arena, "mcp-answer-%.*s-%016" PRIx64, BYTES_FMT(run), hash_stable(key));
}

static void send_signal(struct run_action *self, struct bytes run_id, const char *name, struct bytes input)
{
    struct common_WorkflowExecution execution = { bytes_of_text(self->ref.workflow_id), run_id };
    struct workflowservice_SignalWorkflowExecutionRequest request = { .namespace = bytes_of_text(
                                                                          self->ref.namespace_name),
                                                                      .workflow_execution = &execution,
                                                                      .signal_name = bytes_of_text(name),
                                                                      .input = input,
                                                                      .identity = BYTES(BACKEND_IDENTITY),
                                                                      .request_id = answer_id(self) };
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_SignalWorkflowExecution,
                              &request, BACKEND_TIMEOUT_NS, sent, self);
}

/* Accepted is enough: what the workflow makes of it is seen in its state. */
static void send_update(struct run_action *self, struct bytes run_id, const char *name, struct bytes args)
{
    struct common_WorkflowExecution execution = { bytes_of_text(self->ref.workflow_id), run_id };
    struct update_WaitPolicy        wait = { enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED };
    struct update_Meta              meta = { answer_id(self), BYTES(BACKEND_IDENTITY) };
    struct update_Input             input = { .name = bytes_of_text(name), .args = args };
    struct update_Request           inner = { .meta = &meta, .input = &input };
    struct workflowservice_UpdateWorkflowExecutionRequest request = { .namespace = bytes_of_text(
                                                                          self->ref.namespace_name),
                                                                      .workflow_execution = &execution,
                                                                      .wait_policy = &wait,
                                                                      .request = &inner };
    self->call = backend_send(self->runs->backend, PB_METHOD_WorkflowService_UpdateWorkflowExecution,
                              &request, BACKEND_TIMEOUT_NS, sent, self);
}

static const struct answer_rule *choose_rule(const struct approval *approval, const json_t *response)
{
    bool accepted = bytes_equal_text(json_text(json_object_get(response, "action")), "accept");
    const struct answer_rule *rules = accepted ? approval->accept : approval->decline;
    size_t                    count = accepted ? approval->accept_count : approval->decline_count;
    const json_t             *content = json_object_get(response, "content");
    for (size_t i = 0; i < count; i++) {
        if (rules[i].condition == NULL || json_is_true(json_object_get(content, rules[i].condition)))
            return &rules[i];
    }
    return NULL;
}

/* The rule's arguments: paths are the tool's arguments, and "answer" is what the person filled in. */
static enum status rule_args(struct run_action *self, const struct answer_rule *rule,
                             const struct workflow_WorkflowExecutionInfo *info, struct bytes *ret_payloads,
                             struct error *error)
{
    JSON_CLEANUP json_t *arguments = memo_json(info->memo, MEMO_ARGUMENTS, &self->arena);
    json_t              *value = NULL, *content = json_object_get(self->response, "content");
    if (rule->args == NULL)
        return ST_OK;
    if (arguments == NULL)
        arguments = json_object();
    if (content == NULL)
        json_object_set_new(arguments, TEMPLATE_ANSWER_NAME, json_object());
    else
        json_object_set(arguments, TEMPLATE_ANSWER_NAME, content);
    struct template_values values = { .arguments = arguments,
                                      .tool = bytes_of_text(self->tool->name),
                                      .caller = self->caller };
    enum status            status = template_value(rule->args, &values, &value, error);
    if (status == ST_OK)
        *ret_payloads = payloads_of_array(value, &self->arena);
    json_decref(value);
    return status;
}

static void answer_approval(struct run_action *self, const struct workflow_WorkflowExecutionInfo *info)
{
    const struct approval *approval = self->tool->approval;
    const json_t          *content = json_object_get(self->response, "content");
    bool accepted = bytes_equal_text(json_text(json_object_get(self->response, "action")), "accept");
    const struct answer_rule *rule = choose_rule(approval, self->response);
    struct bytes              args = BYTES_EMPTY;
    struct error              error;
    struct buffer             words = { 0 };
    enum status               status = ST_OK;
    if (accepted && approval->form_schema != NULL &&
        (content == NULL || schema_check(approval->form_schema, content, &words) != ST_OK))
        status = error_set(&error, ST_INVALID_ARGUMENT, "the answer does not conform to the form: %.*s",
                           BYTES_FMT(buffer_bytes(&words)));
    else if (rule != NULL)
        status = rule_args(self, rule, info, &args, &error);
    buffer_release(&words);
    if (status != ST_OK)
        finish(self, &error, NULL);
    else if (rule == NULL)
        finish(self, NULL, "no rule of the tool says what this answer does");
    else if (rule->signal != NULL)
        send_signal(self, info->execution->run_id, rule->signal, args);
    else
        send_update(self, info->execution->run_id, rule->update, args);
}

static void answer_question(struct run_action *self, const struct workflow_WorkflowExecutionInfo *info)
{
    JSON_CLEANUP json_t *args = json_pack("[s, O]", self->key, self->response);
    send_signal(self, info->execution->run_id, INPUT_SIGNAL, payloads_of_array(args, &self->arena));
}

static void question_looked(void *context, const struct run_facts *facts, const struct error *error,
                            struct arena *arena)
{
    struct run_action *self = context;
    char               key[32];
    self->look = NULL;
    if (facts == NULL) {
        finish(self, error, NULL);
        return;
    }
    const struct workflow_WorkflowExecutionInfo *info = facts->description->workflow_execution_info;
    approval_key(info->execution->run_id, key);
    JSON_CLEANUP json_t *questions = memo_json(info->memo, MEMO_INPUT, arena);
    if (!status_is_open(info->status))
        finish(self, NULL, "the workflow has ended");
    else if (json_object_get(questions, self->key) != NULL)
        answer_question(self, info);
    else if (facts->asks && strcmp(self->key, key) == 0)
        answer_approval(self, info);
    else
        finish(self, NULL, "this question is not open");
}

struct run_action *run_answer(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                              struct bytes caller, const char *key, const json_t *response, run_acted *acted,
                              void *context)
{
    struct run_action *self = action_new(runs, ref, acted, context);
    self->tool = tool;
    self->key = text_copy(bytes_of_text(key));
    self->caller = arena_copy(&self->arena, caller);
    self->response = json_deep_copy(response);
    self->look = look_begin(runs, ref, tool, question_looked, self);
    return self;
}
