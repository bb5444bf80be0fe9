/* view.c: a run's state in words, made of what the server knows without asking a worker. */
#include <stdio.h>
#include <time.h>

#include "mcp/run_internal.h"

bool status_is_open(int32_t status)
{
    return status == enums_WORKFLOW_EXECUTION_STATUS_RUNNING ||
           status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED;
}

const char *status_words(int32_t status)
{
    switch (status) {
    case enums_WORKFLOW_EXECUTION_STATUS_RUNNING:
        return "running";
    case enums_WORKFLOW_EXECUTION_STATUS_PAUSED:
        return "paused by an operator";
    case enums_WORKFLOW_EXECUTION_STATUS_COMPLETED:
        return "completed";
    case enums_WORKFLOW_EXECUTION_STATUS_FAILED:
        return "failed";
    case enums_WORKFLOW_EXECUTION_STATUS_CANCELED:
        return "cancelled";
    case enums_WORKFLOW_EXECUTION_STATUS_TERMINATED:
        return "terminated";
    case enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
        return "continued as a new run";
    case enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
        return "timed out";
    default:
        return "in an unknown state";
    }
}

void approval_key(struct bytes run_id, char ret_key[32])
{
    snprintf(ret_key, 32, "approval-%016" PRIx64, hash_stable(run_id));
}

static void put_time(struct buffer *to, int64_t at_ns)
{
    time_t    seconds = (time_t)(at_ns / NS_PER_S);
    struct tm parts;
    char      text[32];
    if (gmtime_r(&seconds, &parts) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return;
    buffer_append_text(to, text);
}

static void put_activity(struct buffer *to, const struct workflow_PendingActivityInfo *activity)
{
    buffer_printf(to, "activity %.*s",
                  BYTES_FMT(activity->activity_type == NULL ? activity->activity_id
                                                            : activity->activity_type->name));
    if (activity->paused)
        buffer_append_text(to, " is paused by an operator");
    else if (activity->state == enums_PENDING_ACTIVITY_STATE_STARTED)
        buffer_append_text(to, " is running");
    else if (activity->state == enums_PENDING_ACTIVITY_STATE_CANCEL_REQUESTED)
        buffer_append_text(to, " is being cancelled");
    else if (activity->next_attempt_schedule_time != NULL) {
        buffer_append_text(to, " is tried again at ");
        put_time(to, timestamp_ns(activity->next_attempt_schedule_time));
    } else
        buffer_append_text(to, " waits for a worker");
    if (activity->attempt > 1 || activity->last_failure.base != NULL) {
        buffer_printf(to, " (attempt %d", activity->attempt);
        if (activity->maximum_attempts > 0)
            buffer_printf(to, " of %d", activity->maximum_attempts);
        buffer_append_text(to, ")");
    }
    if (activity->last_failure.base != NULL) {
        struct buffer words = { 0 };
        outcome_print_failure(activity->last_failure, 0, &words);
        buffer_append_text(to, "; last failure: ");
        for (size_t i = 0; i < words.size && i < 400; i++)
            buffer_append_byte(to, words.base[i] == '\n' ? ' ' : words.base[i]);
        buffer_release(&words);
    }
}

static void put_pending(struct buffer *to, const struct workflowservice_DescribeWorkflowExecutionResponse *it)
{
    for (size_t i = 0; i < it->pending_activities_count && to->size < 700; i++) {
        if (to->size != 0)
            buffer_append_text(to, "; ");
        put_activity(to, &it->pending_activities[i]);
    }
    for (size_t i = 0; i < it->pending_children_count && i < 3; i++)
        buffer_printf(to, "%swaits for child workflow %.*s", to->size == 0 ? "" : "; ",
                      BYTES_FMT(it->pending_children[i].workflow_type_name));
    const struct workflow_PendingWorkflowTaskInfo *task = it->pending_workflow_task;
    if (task != NULL && task->attempt > 1)
        buffer_printf(to, "%sthe workflow's own code failed or did not answer (attempt %d)",
                      to->size == 0 ? "" : "; ", task->attempt);
    else if (task != NULL && to->size == 0)
        buffer_printf(to,
                      task->state == enums_PENDING_WORKFLOW_TASK_STATE_STARTED
                          ? "the workflow's worker is at it"
                          : "waits for a worker of task queue %.*s",
                      BYTES_FMT(it->workflow_execution_info->task_queue));
}

/* The newest heartbeat that says {"progress": ...}, or what the workflow itself says in its memo. */
static json_t *find_progress(const struct workflowservice_DescribeWorkflowExecutionResponse *it,
                             struct arena                                                   *arena)
{
    json_t *said = memo_json(it->workflow_execution_info->memo, MEMO_PROGRESS, arena);
    if (json_is_number(json_object_get(said, "progress")))
        return said;
    json_decref(said);
    for (size_t i = 0; i < it->pending_activities_count; i++) {
        struct payload_view view = payloads_read_first(it->pending_activities[i].heartbeat_details, arena);
        if (view.form == PAYLOAD_JSON && json_is_number(json_object_get(view.value, "progress")))
            return view.value;
        if (view.form == PAYLOAD_JSON)
            json_decref(view.value);
    }
    return NULL;
}

static void put_approval(const struct workflowservice_DescribeWorkflowExecutionResponse *it,
                         const struct tool *tool, json_t **questions, struct arena *arena)
{
    JSON_CLEANUP json_t   *arguments = memo_json(it->workflow_execution_info->memo, MEMO_ARGUMENTS, arena);
    struct buffer          text = { 0 };
    struct error           error;
    char                   key[32];
    struct template_values values = { .arguments = arguments, .tool = bytes_of_text(tool->name) };
    if (arguments == NULL || tool->approval->message == NULL ||
        template_text(tool->approval->message, &values, &text, &error) != ST_OK) {
        buffer_clear(&text);
        buffer_printf(&text, "%s needs your approval", tool->title != NULL ? tool->title : tool->name);
    }
    json_t *form = json_deep_copy(tool->approval->form);
    if (form == NULL)
        form = json_pack("{s:s, s:{}}", "type", "object", "properties");
    approval_key(it->workflow_execution_info->execution->run_id, key);
    if (*questions == NULL)
        *questions = json_object();
    json_object_set_new(*questions, key,
                        json_pack("{s:s, s:{s:s, s:s%, s:o}}", "method", "elicitation/create", "params",
                                  "mode", "form", "message", (const char *)text.base, text.size,
                                  "requestedSchema", form));
    buffer_release(&text);
}

static json_t *find_questions(const struct workflowservice_DescribeWorkflowExecutionResponse *it,
                              const struct tool *tool, bool asks, struct arena *arena)
{
    JSON_CLEANUP json_t *said = memo_json(it->workflow_execution_info->memo, MEMO_INPUT, arena);
    json_t              *questions = NULL, *question;
    const char          *key;
    json_object_foreach(said, key, question)
    {
        if (!json_is_string(json_object_get(question, "method")))
            continue;
        if (questions == NULL)
            questions = json_object();
        json_object_set(questions, key, question);
    }
    if (asks && tool != NULL && tool->approval != NULL)
        put_approval(it, tool, &questions, arena);
    return questions;
}

static enum run_state state_of(int32_t status, const json_t *questions)
{
    if (status_is_open(status))
        return questions != NULL ? RUN_INPUT_REQUIRED : RUN_WORKING;
    if (status == enums_WORKFLOW_EXECUTION_STATUS_CANCELED)
        return RUN_CANCELLED;
    return status == enums_WORKFLOW_EXECUTION_STATUS_TERMINATED ? RUN_FAILED : RUN_COMPLETED;
}

static int64_t time_of(const struct google_Timestamp *at)
{
    return at == NULL ? 0 : timestamp_ns(at);
}

/* The newest of the times that a description knows. */
static int64_t newest_time(const struct workflowservice_DescribeWorkflowExecutionResponse *it)
{
    int64_t newest = MAX(time_of(it->workflow_execution_info->start_time),
                         time_of(it->workflow_execution_info->close_time));
    for (size_t i = 0; i < it->pending_activities_count; i++) {
        const struct workflow_PendingActivityInfo *activity = &it->pending_activities[i];
        newest = MAX(newest, time_of(activity->scheduled_time));
        newest = MAX(newest, time_of(activity->last_started_time));
        newest = MAX(newest, time_of(activity->last_heartbeat_time));
        newest = MAX(newest, time_of(activity->last_attempt_complete_time));
    }
    if (it->pending_workflow_task != NULL)
        newest = MAX(newest, time_of(it->pending_workflow_task->scheduled_time));
    return newest;
}

void view_of_facts(const struct run_facts *facts, const struct tool *tool, struct run_view *ret_view)
{
    const struct workflowservice_DescribeWorkflowExecutionResponse *it = facts->description;
    const struct workflow_WorkflowExecutionInfo                    *info = it->workflow_execution_info;
    struct arena                                                    arena;
    struct buffer                                                   words = { 0 };
    struct run_view view = { .history_length = info->history_length };
    arena_init(&arena, SIZE_MAX);
    view.created_ns = time_of(info->start_time);
    view.updated_ns = newest_time(it);
    if (status_is_open(info->status)) {
        view.progress = find_progress(it, &arena);
        view.questions = find_questions(it, tool, facts->asks, &arena);
        put_pending(&words, it);
        if (words.size == 0 && facts->timer_due_ns != 0) {
            buffer_append_text(&words, "waiting until ");
            put_time(&words, facts->timer_due_ns);
        }
        const json_t *said = json_object_get(view.progress, "message");
        if (info->status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED)
            snprintf(view.message, sizeof view.message, "paused by an operator");
        else if (view.questions != NULL)
            snprintf(view.message, sizeof view.message, "waits for an answer");
        else if (json_is_string(said))
            snprintf(view.message, sizeof view.message, "%.900s", json_string_value(said));
        else if (words.size != 0)
            snprintf(view.message, sizeof view.message, "%.*s", (int)MIN(words.size, (size_t)900),
                     (const char *)words.base);
        else
            snprintf(view.message, sizeof view.message, "the workflow is waiting");
    } else {
        snprintf(view.message, sizeof view.message, "%s", status_words(info->status));
    }
    view.state = state_of(info->status, view.questions);
    buffer_release(&words);
    arena_release(&arena);
    *ret_view = view;
}

static bool same_json(const json_t *a, const json_t *b)
{
    return a == NULL || b == NULL ? a == b : json_equal(a, b) == 1;
}

bool view_same(const struct run_view *a, const struct run_view *b)
{
    return a->state == b->state && strcmp(a->message, b->message) == 0 &&
           a->history_length == b->history_length && same_json(a->questions, b->questions) &&
           same_json(a->progress, b->progress);
}

void run_view_release(struct run_view *view)
{
    json_decref(view->progress);
    json_decref(view->questions);
    *view = (struct run_view){ 0 };
}
