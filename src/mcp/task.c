/* task.c: tasks of both generations, and the tools that stand in for them: task_result, task_status, task_cancel.
 *
 * A task id is the run's name under seal: it needs no row, belongs to one caller, and lives as long as the run is kept.
 */
#include <stdio.h>
#include <time.h>

#include "base/hash.h"
#include "mcp/gateway_internal.h"

#define UPDATES_MAX 64

/* One thing asked of a run: a look, then perhaps its outcome; or an action. */
struct task_work {
    struct request    *request;
    const struct tool *tool;
    struct run_ref     ref; /* a copy */
    char              *id;
    struct run_look   *look;
    struct run_action *action;
    struct run_watcher watcher;
    json_t            *task, *answers;
    char              *bringing; /* the key whose answer is on its way */
    bool               as_tool;  /* asked by a built-in tool: the answer is a tool's result */
};

char *task_id_make(const struct request *request, const struct run_ref *ref, const struct tool *tool)
{
    json_t *state = ref_to_json(ref, tool);
    char   *id = token_make(request, SEAL_TASK, TIME_NEVER, state);
    json_decref(state);
    return id == NULL ? strdup("") : id;
}

json_t *time_json(int64_t wall_ns)
{
    char      text[40];
    struct tm tm;
    time_t    seconds = (time_t)(wall_ns / NS_PER_S);
    gmtime_r(&seconds, &tm);
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + size, sizeof text - size, ".%03dZ", (int)(wall_ns / NS_PER_MS % 1000));
    return json_string(text);
}

static const char *status_text(enum run_state state)
{
    static const char *const names[] = { [RUN_WORKING] = "working",
                                         [RUN_INPUT_REQUIRED] = "input_required",
                                         [RUN_COMPLETED] = "completed",
                                         [RUN_FAILED] = "failed",
                                         [RUN_CANCELLED] = "cancelled" };
    return names[state];
}

static uint64_t question_hash(const struct run_ref *ref, const char *key)
{
    return hash_combine(hash_bytes(bytes_of_text(ref->first_run_id)), hash_bytes(bytes_of_text(key)));
}

void question_answered(struct gateway *gateway, const struct run_ref *ref, const char *key)
{
    recent_add(&gateway->answered, question_hash(ref, key));
}

bool question_is_answered(const struct gateway *gateway, const struct run_ref *ref, const char *key)
{
    return recent_has(&gateway->answered, question_hash(ref, key));
}

/* The questions that are still to be answered; NULL when there is none. */
static json_t *open_questions(const struct request *request, const struct run_ref *ref,
                              const struct run_view *view)
{
    const char *key;
    json_t     *question, *open = json_object();
    json_object_foreach(view->questions, key, question)
    {
        if (!question_is_answered(request->gateway, ref, key))
            json_object_set(open, key, question);
    }
    if (json_object_size(open) != 0)
        return open;
    json_decref(open);
    return NULL;
}

/* A tenth of its age: what has taken an hour is not asked for each second. */
static json_int_t poll_interval_ms(const struct run_view *view)
{
    int64_t age_ms = (clock_wall_ns(&clock_system) - view->created_ns) / NS_PER_MS;
    return MIN(MAX(age_ms / 10, (int64_t)POLL_INTERVAL_MS), (int64_t)POLL_INTERVAL_MS_MAX);
}

json_t *task_json(const struct request *request, const char *task_id, const struct run_ref *ref,
                  const struct run_view *view)
{
    bool           modern = request->revision->modern;
    json_t        *questions = open_questions(request, ref, view);
    enum run_state state = view->state == RUN_INPUT_REQUIRED && questions == NULL ? RUN_WORKING : view->state;
    json_t        *task = json_pack("{s:s, s:s, s:o, s:o}", "taskId", task_id, "status", status_text(state),
                                    "createdAt", time_json(view->created_ns), "lastUpdatedAt",
                                    time_json(view->updated_ns));
    json_object_set_new(task, modern ? "ttlMs" : "ttl", json_null()); /* as long as the run is kept */
    json_object_set_new(task, modern ? "pollIntervalMs" : "pollInterval",
                        json_integer(poll_interval_ms(view)));
    if (view->message[0] != 0)
        json_object_set_new(task, "statusMessage", json_string(view->message));
    if (modern && questions != NULL)
        json_object_set(task, "inputRequests", questions);
    json_t *meta = run_meta(ref);
    if (meta != NULL)
        json_object_set_new(task, "_meta", meta);
    json_decref(questions);
    return task;
}

static void work_free(struct task_work *work)
{
    work->request->gone = NULL;
    run_look_cancel(work->look);
    run_action_cancel(work->action);
    run_watch_end(&work->watcher);
    run_ref_release(&work->ref);
    json_decref(work->task);
    json_decref(work->answers);
    free(work->id);
    free(work->bringing);
    free(work);
}

static void work_gone(struct request *request)
{
    work_free(request->work);
}

/* --- the answers, as a task or as a tool's result --- */

static void answer_task(struct task_work *work)
{
    struct request *request = work->request;
    json_t         *task = json_incref(work->task);
    bool            as_tool = work->as_tool;
    work_free(work);
    if (!as_tool) {
        request_result(request, task);
        return;
    }
    const char *status = json_string_value(json_object_get(task, "status"));
    const char *message = json_string_value(json_object_get(task, "statusMessage"));
    json_t     *text = json_sprintf("%s%s%s", status, message == NULL ? "" : ": ",
                                message == NULL ? "" : message);
    json_t     *result = json_pack("{s:[{s:s, s:o}]}", "content", "type", "text", "text", text);
    if (request->revision->structured)
        json_object_set_new(result, "structuredContent",
                            json_pack("{s:s, s:s}", "status", status, "message",
                                      message == NULL ? "" : message));
    json_decref(task);
    request_result(request, result);
}

static void fail_work(struct task_work *work, const struct error *error)
{
    struct request *request = work->request;
    bool            as_tool = work->as_tool;
    int code = error->code == ST_NOT_FOUND || error->code == ST_INVALID_ARGUMENT ? RPC_INVALID_PARAMS
                                                                                 : RPC_INTERNAL_ERROR;
    work_free(work);
    if (!as_tool) {
        request_error(request, code, NULL, "%s", error->message);
        return;
    }
    struct outcome outcome = outcome_words(true, "%s", error->message);
    content_answer(request, &outcome);
    outcome_release(&outcome);
}

static void work_closed(struct run_watcher *watcher, const struct outcome *outcome, const struct error *error)
{
    struct task_work *work = watcher->context;
    if (outcome == NULL) {
        fail_work(work, error);
        return;
    }
    const char *status = outcome->kind == OUTCOME_RESULT      ? "completed"
                         : outcome->kind == OUTCOME_CANCELLED ? "cancelled"
                                                              : "failed";
    json_object_set_new(work->task, "status", json_string(status));
    if (work->request->revision->modern && outcome->kind == OUTCOME_RESULT) {
        json_t *result = content_result(work->request, outcome);
        json_object_set_new(result, "resultType", json_string("complete"));
        json_object_set_new(work->task, "result", result);
    } else if (work->request->revision->modern && outcome->kind == OUTCOME_PROTOCOL) {
        json_t *failure = json_pack("{s:i, s:s}", "code", outcome->code, "message", outcome->message);
        if (outcome->data != NULL)
            json_object_set(failure, "data", outcome->data);
        json_object_set_new(work->task, "error", failure);
    }
    answer_task(work);
}

static void work_looked(void *context, const struct run_view *view, const struct error *error)
{
    struct task_work *work = context;
    struct error      failure;
    work->look = NULL;
    if (error->code != ST_OK) {
        fail_work(work, error);
        return;
    }
    work->task = task_json(work->request, work->id, &work->ref, view);
    if (!work->request->revision->modern && !work->as_tool && view->questions != NULL)
        listen_ask(work->request, &work->ref, work->tool, view->questions,
                   json_object_get(work->task, "taskId"));
    if (view->state == RUN_WORKING || view->state == RUN_INPUT_REQUIRED) {
        answer_task(work);
        return;
    }
    work->watcher.closed = work_closed;
    work->watcher.context = work;
    if (run_watch_begin(work->request->gateway->runs, &work->ref, work->tool, &work->watcher, &failure) !=
        ST_OK)
        fail_work(work, &failure);
}

/* NULL: there is no such task, which has been answered. */
static struct task_work *work_new(struct request *request, struct bytes id, bool as_tool)
{
    struct run_ref       ref;
    json_t JSON_CLEANUP *state = token_open(request->gateway, &request->caller, SEAL_TASK, id);
    const struct tool   *tool = ref_from_json(request, state, &ref);
    if (tool == NULL && as_tool) {
        struct outcome outcome = outcome_words(true, "there is no such handle");
        content_answer(request, &outcome);
        outcome_release(&outcome);
        return NULL;
    }
    if (tool == NULL) {
        request_error(request, RPC_INVALID_PARAMS, NULL, "there is no such task");
        return NULL;
    }
    struct task_work *work = xcalloc(1, sizeof *work);
    work->request = request;
    work->tool = tool;
    work->as_tool = as_tool;
    work->id = strndup(id.base == NULL ? "" : (const char *)id.base, id.size);
    list_init(&work->watcher.link);
    (void)run_ref_copy(&ref, &work->ref);
    request->work = work;
    request->gone = work_gone;
    return work;
}

static void work_look(struct task_work *work)
{
    work->look = run_look(work->request->gateway->runs, &work->ref, work->tool, work_looked, work);
}

/* Who has not said that it knows tasks does not get to them, and gets no hint whether one exists. */
static struct task_work *work_of_request(struct request *request)
{
    struct bytes id;
    if (request->revision->modern && !request_can_extension(request, TASKS_EXTENSION)) {
        request_missing_capability(request, TASKS_EXTENSION, true);
        return NULL;
    }
    if (!request->revision->modern && !request->revision->input_tasks) {
        request_error(request, RPC_METHOD_NOT_FOUND, NULL, "there are no tasks in this revision");
        return NULL;
    }
    return request_text_param(request, "taskId", &id) ? work_new(request, id, false) : NULL;
}

void handle_task_get(struct request *request)
{
    struct task_work *work = work_of_request(request);
    if (work != NULL)
        work_look(work);
}

static void work_cancelled(void *context, const struct error *error, const char *words)
{
    struct task_work *work = context;
    struct request   *request = work->request;
    work->action = NULL;
    if (error->code != ST_OK) {
        fail_work(work, error);
    } else if (work->as_tool) {
        struct outcome outcome = outcome_words(
            false, "%s", words == NULL || words[0] == 0 ? "The run has been asked to stop." : words);
        work_free(work);
        content_answer(request, &outcome);
        outcome_release(&outcome);
    } else if (!request->revision->modern) {
        work_look(work); /* the old way answers with the task */
    } else {
        work_free(work);
        request_result(request, json_object());
    }
}

static void work_cancel(struct task_work *work)
{
    work->action = run_cancel(work->request->gateway->runs, &work->ref, work_cancelled, work);
}

void handle_task_cancel(struct request *request)
{
    struct task_work *work = work_of_request(request);
    if (work != NULL)
        work_cancel(work);
}

/* --- answers to questions --- */

static void bring_next(struct task_work *work);

static void brought(void *context, const struct error *error, const char *words UNUSED)
{
    struct task_work *work = context;
    work->action = NULL;
    if (error->code != ST_OK) {
        fail_work(work, error);
        return;
    }
    question_answered(work->request->gateway, &work->ref, work->bringing);
    bring_next(work);
}

static void bring_next(struct task_work *work)
{
    struct request *request = work->request;
    void           *first = json_object_iter(work->answers);
    if (first == NULL) {
        work_free(work);
        request_result(request, json_object());
        return;
    }
    char *key = strdup(json_object_iter_key(first));
    free(work->bringing);
    work->bringing = key;
    json_t *response = json_incref(json_object_iter_value(first));
    json_object_del(work->answers, key);
    work->action = run_answer(request->gateway->runs, &work->ref, work->tool,
                              bytes_of_text(request->caller.name), key, response, brought, work);
    json_decref(response);
}

void handle_task_update(struct request *request)
{
    const json_t     *answers = json_object_get(request->params, "inputResponses");
    struct task_work *work = work_of_request(request);
    if (work == NULL)
        return;
    if (!json_is_object(answers) || json_object_size(answers) > UPDATES_MAX) {
        work_free(work);
        request_error(request, RPC_INVALID_PARAMS, NULL,
                      "params.inputResponses must be an object of at most %d answers", UPDATES_MAX);
        return;
    }
    work->answers = json_deep_copy(answers);
    bring_next(work);
}

/* 2025-11-25: waits for the end, and answers as the call itself would have. */
void handle_task_result(struct request *request)
{
    struct bytes id;
    if (!request->revision->input_tasks) {
        request_error(request, RPC_METHOD_NOT_FOUND, NULL, "there are no tasks in this revision");
        return;
    }
    if (!request_text_param(request, "taskId", &id))
        return;
    json_t *state = token_open(request->gateway, &request->caller, SEAL_TASK, id);
    request->related_task = json_object_get(request->params, "taskId");
    call_wait(request, state, true);
    json_decref(state);
}

/* --- tools for those who have no tasks --- */

static const struct builtin {
    const char *name, *description;
} builtins[] = {
    { "task_result", "Waits for the result of a call that is still running, by the handle it gave." },
    { "task_status", "Says how far a call that is still running has come, by the handle it gave." },
    { "task_cancel", "Asks a call that is still running to stop, by the handle it gave." },
};

void builtin_list(json_t *tools, const struct revision *revision UNUSED)
{
    for (size_t i = 0; i < ARRAY_COUNT(builtins); i++) {
        json_t *schema = json_pack("{s:s, s:{s:{s:s, s:s}}, s:[s], s:b}", "type", "object", "properties",
                                   "handle", "type", "string", "description", "as told by the call",
                                   "required", "handle", "additionalProperties", false);
        json_array_append_new(tools, json_pack("{s:s, s:s, s:o, s:{s:b}}", "name", builtins[i].name,
                                               "description", builtins[i].description, "inputSchema", schema,
                                               "annotations", "readOnlyHint", i != 2));
    }
}

bool builtin_call(struct request *request, struct bytes name, const json_t *arguments)
{
    size_t which = 0;
    while (which < ARRAY_COUNT(builtins) && !bytes_equal_text(name, builtins[which].name))
        which++;
    if (which == ARRAY_COUNT(builtins))
        return false;
    struct task_work *work = work_new(request, json_text(json_object_get(arguments, "handle")), true);
    if (work == NULL)
        return true;
    if (which == 1) {
        work_look(work);
    } else if (which == 2) {
        work_cancel(work);
    } else {
        json_t *state = ref_to_json(&work->ref, work->tool);
        work_free(work);
        call_wait(request, state, false);
        json_decref(state);
    }
    return true;
}
