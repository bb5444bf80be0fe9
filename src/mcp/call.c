/* call.c: tools/call: invoke, wait, and answer as the client can take it.
 *
 *   client                     until            then
 *   modern with tasks          task_after       a task
 *   modern without             sync_wait        requestState alone: it asks again at once; after `legs` of them a hand-off
 *   legacy, progressToken      max_stream       a hand-off; the stream can be taken up again by Last-Event-ID
 *   legacy, task parameter     -                the task of 2025-11-25
 *   legacy                     hold (50 s)      a hand-off
 *
 * A question of the workflow goes to the client, if it can ask people: as input_required, or on the stream.
 */
#include <stdio.h>

#include "mcp/gateway_internal.h"

#define HOLD_NS_MAX       (50 * NS_PER_S)
#define PROGRESS_EVERY_NS (10 * NS_PER_S)
#define ANSWERS_MAX       64

enum client_class { CLIENT_TASK, CLIENT_LEGS, CLIENT_STREAM, CLIENT_OLD_TASK, CLIENT_HOLD };

struct tool_call {
    struct request    *request;
    const struct tool *tool; /* of the request's catalog */
    struct invocation *invocation;
    struct run_action *action;
    struct run_ref     ref; /* a copy; namespace_name NULL: none yet */
    struct run_watcher watcher;
    struct loop_timer  due, tick;
    enum client_class class;
    json_t       *arguments;      /* of the call; NULL: unknown, it was made before */
    const json_t *progress_token; /* NULL: progress is not told */
    double        progress;
    char          told[1024]; /* the words told last */
    json_t       *answers;    /* {key: response} that came with the request; NULL: none */
    json_t       *ready;      /* those whose questions are there: on their way to the workflow */
    char         *bringing;   /* the key of the one that is */
    json_t       *asked;      /* {key: true}: asked on this stream, or answered */
    char     digest[2 * JSON_DIGEST_SIZE + 1]; /* of name and arguments: a requestState is for one call */
    uint32_t legs;
    bool     attached;
    bool     to_the_end; /* no hand-off: it is what was handed off */
    void (*finish)(struct request *request, const struct outcome *outcome);
};

static void call_free(struct tool_call *call)
{
    struct loop *loop = call->request->gateway->loop;
    call->request->work = NULL;
    call->request->gone = NULL;
    call->request->drain = NULL;
    if (call->invocation != NULL)
        run_invoke_cancel(call->invocation);
    run_action_cancel(call->action);
    run_watch_end(&call->watcher);
    loop_timer_clear(loop, &call->due);
    loop_timer_clear(loop, &call->tick);
    if (call->ref.namespace_name != NULL)
        run_ref_release(&call->ref);
    json_decref(call->arguments);
    json_decref(call->answers);
    json_decref(call->ready);
    free(call->bringing);
    json_decref(call->asked);
    free(call);
}

static void nobody_listens(void *context UNUSED, const struct error *error UNUSED, const char *words UNUSED)
{
}

/* The client went away. The run goes on, unless its declaration says that it is for this client alone. */
static void call_gone(struct request *request)
{
    struct tool_call *call = request->work;
    if (call->tool->on_disconnect == DISCONNECT_CANCEL && call->ref.namespace_name != NULL &&
        !request->gateway->draining)
        (void)run_cancel(request->gateway->runs, &call->ref, nobody_listens, NULL);
    call_free(call);
}

static json_t *call_state(const struct tool_call *call)
{
    json_t *state = ref_to_json(&call->ref, call->tool);
    json_object_set_new(state, "d", json_string(call->digest));
    json_object_set_new(state, "l", json_integer(call->legs));
    if (json_object_size(call->asked) != 0)
        json_object_set(state, "a", call->asked);
    return state;
}

/* --- the ways to answer before the end --- */

/* The tool's own words for a run that goes on, and a space; nothing where the arguments lack what they name. */
static void print_running_text(const struct tool_call *call, struct buffer *to)
{
    struct template_values values = { .arguments = call->arguments,
                                      .caller = bytes_of_text(call->request->caller.name),
                                      .tool = bytes_of_text(call->tool->name) };
    size_t                 before = to->size;
    struct error           error;
    if (call->tool->running_text == NULL || call->arguments == NULL)
        return;
    if (template_text(call->tool->running_text, &values, to, &error) == ST_OK)
        buffer_append_byte(to, ' ');
    else
        to->size = before;
}

static json_t *hand_off(const struct tool_call *call)
{
    struct buffer CLEANUP(buffer_release) text = { 0 };
    char         *handle = task_id_make(call->request, &call->ref, call->tool);
    print_running_text(call, &text);
    buffer_append_text(&text, "Still running as ");
    buffer_append_text(&text, handle);
    buffer_append_text(&text, "; call task_result with this handle; do not start it again.");
    json_t *result = json_pack("{s:[{s:s, s:s%}]}", "content", "type", "text", "text", text.base, text.size);
    if (call->request->revision->structured)
        json_object_set_new(result, "structuredContent",
                            json_pack("{s:s, s:s, s:i}", "status", "working", "handle", handle,
                                      "poll_after_ms", 5000));
    free(handle);
    json_t *meta = run_meta(&call->ref);
    if (meta != NULL)
        json_object_set_new(result, "_meta", meta);
    return result;
}

static void answer_hand_off(struct tool_call *call)
{
    struct request *request = call->request;
    json_t         *result = hand_off(call);
    call_free(call);
    request_result(request, result);
}

static void answer_input_required(struct tool_call *call, json_t *questions)
{
    struct request *request = call->request;
    json_t         *state = call_state(call);
    char           *token = token_make(request, SEAL_REQUEST_STATE, REQUEST_STATE_NS, state);
    json_t         *result = json_pack("{s:s, s:s, s:o*}", "resultType", "input_required", "requestState",
                               token == NULL ? "" : token, "inputRequests", questions);
    free(token);
    json_decref(state);
    call_free(call);
    request_result(request, result);
}

static void answer_task(struct tool_call *call, const struct run_view *view)
{
    struct request *request = call->request;
    int64_t         now = clock_wall_ns(&clock_system);
    struct run_view fresh = { .state = RUN_WORKING, .created_ns = now, .updated_ns = now };
    char           *id = task_id_make(request, &call->ref, call->tool);
    json_t         *task = task_json(request, id, &call->ref, view != NULL ? view : &fresh);
    bool            modern = request->revision->modern;
    free(id);
    if (modern)
        json_object_set_new(task, "resultType", json_string("task"));
    call_free(call);
    request_result(request, modern ? task : json_pack("{s:o}", "task", task));
}

static void call_due(struct loop_timer *timer)
{
    struct tool_call *call = CONTAINER_OF(timer, struct tool_call, due);
    switch (call->class) {
    case CLIENT_TASK:
    case CLIENT_OLD_TASK:
        answer_task(call, NULL);
        return;
    case CLIENT_LEGS:
        if (call->legs == 0) {
            answer_hand_off(call);
            return;
        }
        call->legs--;
        answer_input_required(call, NULL);
        return;
    case CLIENT_STREAM:
    case CLIENT_HOLD:
        answer_hand_off(call);
        return;
    }
}

/* When it is given up to wait, TIME_NEVER where the tool does not hand off. */
static int64_t call_patience(const struct tool_call *call)
{
    const struct tool *tool = call->tool;
    if (call->to_the_end || (call->finish != content_answer && !call->request->revision->modern))
        return TIME_NEVER;
    switch (call->class) {
    case CLIENT_TASK:
        return tool->task == TASK_ALWAYS ? 0 : tool->task_after_ns;
    case CLIENT_OLD_TASK:
        return 0;
    case CLIENT_LEGS:
        return call->legs == 0 && (!tool->hand_off || call->finish != content_answer) ? TIME_NEVER
                                                                                      : tool->sync_wait_ns;
    case CLIENT_STREAM:
        return tool->hand_off ? tool->max_stream_ns : TIME_NEVER;
    case CLIENT_HOLD:
        return tool->hand_off ? MIN(tool->hold_ns, HOLD_NS_MAX) : TIME_NEVER;
    }
    return TIME_NEVER;
}

/* --- questions --- */

static const char *capability_of(const char *method)
{
    static const char *const needs[][2] = { { "elicitation/create", "elicitation" },
                                            { "sampling/createMessage", "sampling" },
                                            { "roots/list", "roots" } };
    for (size_t i = 0; i < ARRAY_COUNT(needs); i++) {
        if (method != NULL && strcmp(method, needs[i][0]) == 0)
            return needs[i][1];
    }
    return NULL;
}

static void call_bring_answers(struct tool_call *call);

/* Answers that came with the request, to questions that are there now. True: they are on their way. */
static bool take_answers(struct tool_call *call, const struct run_view *view)
{
    const char *key;
    json_t     *question;
    json_object_foreach(view->questions, key, question)
    {
        json_t *response = json_object_get(call->answers, key);
        if (response != NULL && json_object_get(call->asked, key) == NULL)
            json_object_set(call->ready, key, response);
    }
    if (json_object_size(call->ready) == 0)
        return false;
    run_watch_end(&call->watcher);
    call_bring_answers(call);
    return true;
}

/* What people or the model are to be asked now: questions that were not asked yet. True: the request has been answered. */
static bool ask_modern(struct tool_call *call, const struct run_view *view)
{
    if (take_answers(call, view))
        return true;

    json_t     *ask = json_object();
    const char *key, *missing = NULL;
    json_t     *question;
    json_object_foreach(view->questions, key, question)
    {
        const char *capability = capability_of(json_string_value(json_object_get(question, "method")));
        if (capability == NULL || json_object_get(call->asked, key) != NULL ||
            question_is_answered(call->request->gateway, &call->ref, key))
            continue;
        if (request_can(call->request, capability))
            json_object_set(ask, key, question);
        else if (strcmp(capability, "elicitation") != 0)
            missing = capability;
    }
    if (json_object_size(ask) != 0) {
        answer_input_required(call, ask);
        return true;
    }
    json_decref(ask);
    if (missing == NULL)
        return false; /* people can still be asked in another way: it stays a run that waits */
    struct request *request = call->request;
    call_free(call);
    request_missing_capability(request, missing, false);
    return true;
}

/* A question as a request of the server's; its id says of which run it is, to which server that asks it ever. NULL: none for this client. */
json_t *question_message(const struct request *request, const struct run_ref *ref, const struct tool *tool,
                         const char *key, const json_t *question, const json_t *task_id)
{
    const char *method = json_string_value(json_object_get(question, "method"));
    const char *capability = capability_of(method);
    if (capability == NULL || !request_can(request, capability))
        return NULL;
    json_t *state = ref_to_json(ref, tool);
    json_object_set_new(state, "k", json_string(key));
    char *id = token_make(request, SEAL_EVENT, SESSION_NS, state);
    json_decref(state);
    if (id == NULL)
        return NULL;
    json_t *given = json_object_get(question, "params");
    json_t *params = given == NULL ? json_object() : json_copy(given);
    if (task_id != NULL) { /* so that the client knows which of its tasks asks */
        json_t *meta = json_object();
        json_object_update(meta, json_object_get(params, "_meta"));
        json_object_set_new(meta, META_RELATED, json_pack("{s:O}", "taskId", task_id));
        json_object_set_new(params, "_meta", meta);
    }
    json_t *message = json_pack("{s:s, s:s, s:s, s:o}", "jsonrpc", "2.0", "id", id, "method", method,
                                "params", params);
    free(id);
    return message;
}

static void ask_legacy(struct tool_call *call, const struct run_view *view)
{
    struct request *request = call->request;
    const char     *key;
    json_t         *question;
    json_object_foreach(view->questions, key, question)
    {
        if (json_object_get(call->asked, key) != NULL || listen_has_asked(request, &call->ref, key))
            continue;
        json_t *message = question_message(request, &call->ref, call->tool, key, question,
                                           request->related_task);
        if (message == NULL)
            continue;
        json_object_set_new(call->asked, key, json_true());
        request_send(request, message);
        json_decref(message);
    }
}

/* --- progress --- */

/* Who gave no token, in the revisions that have a log, reads there what the workflow says of itself. */
static void tell_log(struct tool_call *call, const json_t *words)
{
    const char *text = json_string_value(words);
    if (call->request->revision->modern || text == NULL || strcmp(text, call->told) == 0)
        return;
    snprintf(call->told, sizeof call->told, "%s", text);
    request_notify(call->request, "notifications/message",
                   json_pack("{s:s, s:s, s:O}", "level", "info", "logger", call->tool->name, "data", words));
}

static void tell_progress(struct tool_call *call, const struct run_view *view)
{
    const json_t *given = view->progress;
    const json_t *number = json_object_get(given, "progress");
    const json_t *words = json_object_get(given, "message");
    const char   *message = json_is_string(words) ? json_string_value(words) : view->message;
    if (call->progress_token == NULL) {
        tell_log(call, words);
        return;
    }
    if (json_is_number(number) && json_number_value(number) > call->progress)
        call->progress = json_number_value(number);
    else if (json_is_number(number) || strcmp(message, call->told) == 0)
        return; /* nothing has moved, and what is told must grow */
    else
        call->progress += 1;
    snprintf(call->told, sizeof call->told, "%s", message);
    json_t *params = json_pack("{s:O, s:o}", "progressToken", call->progress_token, "progress",
                               json_is_integer(number) ? json_incref((json_t *)number)
                                                       : json_real(call->progress));
    json_t *total = json_object_get(given, "total");
    if (json_is_number(total) && json_is_number(number))
        json_object_set(params, "total", total);
    if (message[0] != 0)
        json_object_set_new(params, "message", json_string(message));
    request_notify(call->request, "notifications/progress", params);
}

/* Nothing has happened for a while: said all the same, for hosts that take silence for the end. */
static void call_tick(struct loop_timer *timer)
{
    struct tool_call *call = CONTAINER_OF(timer, struct tool_call, tick);
    struct loop      *loop = call->request->gateway->loop;
    loop_timer_set(loop, timer, loop_now(loop) + PROGRESS_EVERY_NS);
    call->progress += 0.001; /* grows, but leaves the numbers of the workflow their room */
    json_t *params = json_pack("{s:O, s:f}", "progressToken", call->progress_token, "progress",
                               call->progress);
    if (call->told[0] != 0)
        json_object_set_new(params, "message", json_string(call->told));
    request_notify(call->request, "notifications/progress", params);
}

static void call_viewed(struct run_watcher *watcher, const struct run_view *view)
{
    struct tool_call *call = watcher->context;
    tell_progress(call, view);
    if (view->questions == NULL)
        return;
    if (call->request->revision->modern)
        (void)ask_modern(call, view);
    else
        ask_legacy(call, view);
}

static void call_closed(struct run_watcher *watcher, const struct outcome *outcome, const struct error *error)
{
    struct tool_call *call = watcher->context;
    struct request   *request = call->request;
    void (*finish)(struct request *, const struct outcome *) = call->finish;
    call_free(call);
    if (outcome != NULL)
        finish(request, outcome);
    else
        request_error(request, error->code == ST_NOT_FOUND ? RPC_INVALID_PARAMS : RPC_INTERNAL_ERROR, NULL,
                      "%s", error->message);
}

/* A stream of a legacy client can be taken up again: its events' ids name the run and the request. */
static void make_resumable(struct tool_call *call)
{
    struct request *request = call->request;
    if (request->revision->modern || request->event_id != NULL)
        return;
    json_t *state = call_state(call);
    json_object_set(state, "i", (json_t *)request->id);
    if (call->progress_token != NULL)
        json_object_set(state, "p", (json_t *)call->progress_token);
    request->event_id = token_make(request, SEAL_EVENT, SESSION_NS, state);
    json_decref(state);
}

static void call_watch(struct tool_call *call)
{
    struct request *request = call->request;
    struct loop    *loop = request->gateway->loop;
    struct error    error;
    int64_t         patience = call_patience(call);
    call->watcher.viewed = call_viewed;
    call->watcher.closed = call_closed;
    call->watcher.context = call;
    call->watcher.wants_views = true;
    if (patience == 0) { /* a task at once: it is durable, and tells the rest itself */
        answer_task(call, NULL);
        return;
    }
    if (run_watch_begin(request->gateway->runs, &call->ref, call->tool, &call->watcher, &error) != ST_OK) {
        call_free(call);
        request_error(request, RPC_INTERNAL_ERROR, NULL, "%s", error.message);
        return;
    }
    make_resumable(call);
    if (patience != TIME_NEVER)
        loop_timer_set(loop, &call->due, loop_now(loop) + patience);
    if (call->progress_token != NULL)
        loop_timer_set(loop, &call->tick, loop_now(loop) + PROGRESS_EVERY_NS);
}

/* --- answers on their way to the workflow, one after the other --- */

static void call_acted(void *context, const struct error *error, const char *words UNUSED)
{
    struct tool_call *call = context;
    struct request   *request = call->request;
    call->action = NULL;
    if (error->code == ST_OK) {
        question_answered(request->gateway, &call->ref, call->bringing);
        call_bring_answers(call);
        return;
    }
    call_free(call);
    request_error(request, error->code == ST_INVALID_ARGUMENT ? RPC_INVALID_PARAMS : RPC_INTERNAL_ERROR, NULL,
                  "%s", error->message);
}

static void call_bring_answers(struct tool_call *call)
{
    struct request *request = call->request;
    void           *first = json_object_iter(call->ready);
    if (first == NULL) {
        call_watch(call);
        return;
    }
    char *key = strdup(json_object_iter_key(first));
    free(call->bringing);
    call->bringing = key;
    json_t *response = json_incref(json_object_iter_value(first));
    json_object_del(call->ready, key);
    json_object_set_new(call->asked, key, json_true());
    call->action = run_answer(request->gateway->runs, &call->ref, call->tool,
                              bytes_of_text(request->caller.name), key, response, call_acted, call);
    json_decref(response);
}

/* --- the beginning --- */

static void call_invoked(void *context, const struct invoke_answer *answer)
{
    struct tool_call *call = context;
    struct request   *request = call->request;
    call->invocation = NULL;
    if (!answer->has_ref) {
        struct outcome outcome;
        void (*finish)(struct request *, const struct outcome *) = call->finish;
        outcome_copy(&answer->outcome, &outcome);
        call_free(call);
        finish(request, &outcome);
        outcome_release(&outcome);
        return;
    }
    (void)run_ref_copy(&answer->ref, &call->ref);
    call->attached = answer->attached;
    call_watch(call);
}

static enum client_class class_of(const struct request *request, const struct tool *tool)
{
    bool runs = tool->kind == TOOL_START || tool->kind == TOOL_UPDATE_WITH_START || tool->kind == TOOL_UPDATE;
    if (request->revision->modern)
        return runs && tool->task != TASK_NEVER && request_can_extension(request, TASKS_EXTENSION)
                   ? CLIENT_TASK
                   : CLIENT_LEGS;
    if (runs && request->revision->input_tasks && tool->task != TASK_NEVER &&
        json_is_object(json_object_get(request->params, "task")))
        return CLIENT_OLD_TASK;
    return json_object_get(request->meta, "progressToken") != NULL && request->batch == NULL ? CLIENT_STREAM
                                                                                             : CLIENT_HOLD;
}

/* The server stops. A stream of events can be taken up again; others get what they would have got a little later. */
static void call_drain(struct request *request)
{
    struct tool_call *call = request->work;
    if (call->ref.namespace_name == NULL)
        return; /* the start is under way: its answer comes first */
    if (request->streaming && request->event_id != NULL) {
        call_free(call);
        request_end(request);
    } else if (!call->to_the_end && call->finish == content_answer) {
        call_due(&call->due);
    }
}

static struct tool_call *call_new(struct request *request, const struct tool *tool)
{
    struct tool_call *call = xcalloc(1, sizeof *call);
    const json_t     *token = json_object_get(request->meta, "progressToken");
    *call = (struct tool_call){ .request = request,
                                .tool = tool,
                                .class = class_of(request, tool),
                                .progress_token = json_is_string(token) || json_is_integer(token) ? token
                                                                                                  : NULL,
                                .progress = -1,
                                .legs = tool->legs,
                                .finish = content_answer,
                                .ready = json_object(),
                                .asked = json_object() };
    loop_timer_init(&call->due, call_due);
    loop_timer_init(&call->tick, call_tick);
    list_init(&call->watcher.link);
    request->work = call;
    request->gone = call_gone;
    request->drain = call_drain;
    return call;
}

static bool take_state(struct tool_call *call, const json_t *state)
{
    struct run_ref     ref;
    const struct tool *tool = ref_from_json(call->request, state, &ref);
    if (tool == NULL || tool != call->tool)
        return false;
    (void)run_ref_copy(&ref, &call->ref);
    call->legs = (uint32_t)json_integer_value(json_object_get(state, "l"));
    if (json_is_object(json_object_get(state, "a")))
        json_object_update(call->asked, json_object_get(state, "a"));
    return true;
}

static bool digest_call(struct tool_call *call, const json_t *arguments)
{
    uint8_t digest[JSON_DIGEST_SIZE];
    json_t *whole = json_pack("{s:s, s:O}", "name", call->tool->name, "arguments", arguments);
    bool    done = json_digest(whole, digest);
    json_decref(whole);
    for (size_t i = 0; done && i < sizeof digest; i++)
        snprintf(call->digest + 2 * i, 3, "%02x", digest[i]);
    return done;
}

/* The client comes again with what it was given, and perhaps with answers. Both are looked at as if an enemy had sent them. */
static void call_continue(struct tool_call *call, const json_t *token)
{
    struct request      *request = call->request;
    json_t JSON_CLEANUP *state = token_open(request->gateway, &request->caller, SEAL_REQUEST_STATE,
                                            json_text(token));
    if (state == NULL || strcmp(call->digest, json_string_value(json_object_get(state, "d")) ?: "") != 0 ||
        !take_state(call, state)) {
        call_free(call);
        request_error(request, RPC_INVALID_PARAMS, NULL, "requestState is none of this call, or too old");
        return;
    }
    call_watch(call);
}

void call_begin(struct request *request, const struct tool *tool, const json_t *arguments,
                void (*finish)(struct request *request, const struct outcome *outcome))
{
    const json_t     *state = json_object_get(request->params, "requestState");
    struct tool_call *call = call_new(request, tool);
    call->finish = finish;
    call->arguments = json_incref((json_t *)(uintptr_t)arguments);
    if (finish != content_answer) /* what is not a tool has no tasks */
        call->class = request->revision->modern ? CLIENT_LEGS : CLIENT_HOLD;
    if (!digest_call(call, arguments)) {
        call_free(call);
        request_error(request, RPC_INVALID_PARAMS, NULL, "params.arguments is too deep");
        return;
    }
    json_t *answers = json_object_get(request->params, "inputResponses");
    if (answers != NULL && (!json_is_object(answers) || json_object_size(answers) > ANSWERS_MAX)) {
        call_free(call);
        request_error(request, RPC_INVALID_PARAMS, NULL,
                      "params.inputResponses must be an object of at most %d answers", ANSWERS_MAX);
        return;
    }
    call->answers = request->revision->modern ? json_incref(answers) : NULL;
    if (state != NULL) {
        call_continue(call, state);
        return;
    }
    struct invoke_request invoke = { .tool = tool,
                                     .caller = bytes_of_text(request->caller.name),
                                     .arguments = arguments,
                                     .traceparent = json_text(json_object_get(request->meta, "traceparent")),
                                     .tracestate = json_text(json_object_get(request->meta, "tracestate")),
                                     .attempt = http_header_first(request->exchange, HEADER_ATTEMPT),
                                     .open_max = request->catalog->open_tasks_per_caller };
    call->invocation = run_invoke(request->gateway->runs, &invoke, call_invoked, call);
}

/* x-mcp-header: an argument that the client repeats as Mcp-Param-NAME, so that what stands between can route by it. */
static bool check_param_headers(struct request *request, const struct tool *tool, const json_t *arguments)
{
    const char *name;
    json_t     *property;
    if (!request->revision->modern)
        return true;
    json_object_foreach(json_object_get(tool->input, "properties"), name, property)
    {
        const char   *suffix = json_string_value(json_object_get(property, "x-mcp-header"));
        const json_t *argument = json_object_get(arguments, name);
        char          header[160];
        if (suffix == NULL || argument == NULL || json_is_null(argument))
            continue;
        snprintf(header, sizeof header, "Mcp-Param-%s", suffix);
        char *text = json_is_string(argument) ? NULL : json_dumps(argument, JSON_ENCODE_ANY | JSON_COMPACT);
        bool  fine = request_check_header(request, header,
                                         text == NULL ? json_text(argument) : bytes_of_text(text), true);
        free(text);
        if (!fine)
            return false;
    }
    return true;
}

void handle_tools_call(struct request *request)
{
    struct bytes  name;
    const json_t *arguments = json_object_get(request->params, "arguments");
    if (!request_text_param(request, "name", &name))
        return;
    if (arguments != NULL && !json_is_object(arguments)) {
        request_error(request, RPC_INVALID_PARAMS, NULL, "params.arguments must be an object");
        return;
    }
    if (arguments == NULL) {
        json_object_set_new((json_t *)request->params, "arguments", json_object());
        arguments = json_object_get(request->params, "arguments");
    }
    const struct tool *tool = tool_find(request, name);
    if (tool == NULL && builtin_call(request, name, arguments))
        return;
    if (tool == NULL) {
        request_error(request, RPC_INVALID_PARAMS, NULL, "there is no tool %.*s", BYTES_FMT(name));
        return;
    }
    for (size_t i = 0; i < tool->scope_count; i++) {
        if (!caller_has_scope(&request->caller, tool->scopes[i])) {
            request_error(request, RPC_INVALID_PARAMS, NULL, "the tool needs the scope %s", tool->scopes[i]);
            return;
        }
    }
    if (request->revision->modern && tool->task == TASK_ALWAYS &&
        !request_can_extension(request, TASKS_EXTENSION)) {
        request_missing_capability(request, TASKS_EXTENSION, true);
        return;
    }
    if (check_param_headers(request, tool, arguments))
        call_begin(request, tool, arguments, content_answer);
}

void call_wait(struct request *request, const json_t *state, bool to_the_end)
{
    struct run_ref     ref;
    const struct tool *tool = ref_from_json(request, state, &ref);
    if (tool == NULL) {
        request_error(request, RPC_INVALID_PARAMS, NULL, "there is no such task");
        return;
    }
    struct tool_call *call = call_new(request, tool);
    (void)take_state(call, state);
    if (call->class == CLIENT_TASK || call->class == CLIENT_OLD_TASK)
        call->class = request->revision->modern ? CLIENT_LEGS : CLIENT_HOLD;
    call->legs = 0;
    call->to_the_end = to_the_end;
    call_watch(call);
}

bool call_resume(struct request *request, struct bytes event_id)
{
    const uint8_t *dot = event_id.size == 0 ? NULL : memchr(event_id.base, '.', event_id.size);
    struct bytes token = bytes_of(event_id.base, dot == NULL ? event_id.size : (size_t)(dot - event_id.base));
    json_t      *state = token_open(request->gateway, &request->caller, SEAL_EVENT, token);
    struct run_ref     ref;
    const struct tool *tool = ref_from_json(request, state, &ref);
    if (tool == NULL || json_object_get(state, "i") == NULL) {
        json_decref(state);
        return false;
    }
    request->message = state;
    request->id = json_object_get(state, "i");
    request->event_id = strndup((const char *)token.base, token.size);
    request->event_count = dot == NULL ? 0 : strtoull((const char *)dot + 1, NULL, 10);
    struct tool_call *call = call_new(request, tool);
    (void)take_state(call, state);
    call->class = CLIENT_STREAM;
    call->progress_token = json_object_get(state, "p");
    call->progress = (double)request->event_count;
    request_stream(request);
    call_watch(call);
    return true;
}

/* --- what a legacy client answers to a question on its stream --- */

static void response_taken(void *context, const struct error *error, const char *words UNUSED)
{
    struct request *request = context;
    request->gone = NULL;
    request_status(request, error->code == ST_OK ? 202 : 400);
}

static void response_gone(struct request *request)
{
    run_action_cancel(request->work);
}

void call_take_response(struct request *request)
{
    struct run_ref     ref;
    const json_t      *id = json_object_get(request->message, "id");
    json_t            *given = json_object_get(request->message, "result");
    json_t            *state = token_open(request->gateway, &request->caller, SEAL_EVENT, json_text(id));
    const struct tool *tool = ref_from_json(request, state, &ref);
    const char        *key = json_string_value(json_object_get(state, "k"));
    if (tool == NULL || key == NULL) {
        json_decref(state);
        request_status(request, 400);
        return;
    }
    json_t *response = json_is_object(given) ? json_incref(given) : json_pack("{s:s}", "action", "cancel");
    request->gone = response_gone;
    request->work = run_answer(request->gateway->runs, &ref, tool, bytes_of_text(request->caller.name), key,
                               response, response_taken, request);
    json_decref(response);
    json_decref(state);
}
