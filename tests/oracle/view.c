/* view.c: what Describe and lists show, against the fold of the history that they must be the view of. */
#include "internal.h"

struct view {
    struct list                                                     link;
    uint64_t                                                        asked;
    struct run                                                     *run;
    const struct workflowservice_DescribeWorkflowExecutionResponse *response;
};

static void fail_view(struct oracle *oracle, enum oracle_check check, const struct view *view,
                      const char *what, int64_t shown, int64_t expected)
{
    oracle_fail(oracle, check,
                "run %.*s at event %" PRId64 ": Describe shows %s %" PRId64 ", history says %" PRId64,
                BYTES_FMT(view->run->id), view->response->workflow_execution_info->history_length, what,
                shown, expected);
}

/* --- memo and search attributes --- */

static bool has_field(const struct list *fields, struct bytes key, struct bytes wire)
{
    struct arena          arena;
    struct common_Payload payload;
    struct error          error;
    bool                  found = false;
    arena_init(&arena, SIZE_MAX);
    if (pb_decode(&pb_common_Payload, wire, &arena, &payload, &error) == ST_OK) {
        LIST_FOR_EACH (field, fields, struct field, link)
            found = found || (bytes_equal(field->key, key) && bytes_equal(field->data, payload.data));
    }
    arena_release(&arena);
    return found;
}

static void check_memo(struct oracle *oracle, const struct view *view, const struct judge *state)
{
    const struct workflow_WorkflowExecutionInfo *info = view->response->workflow_execution_info;
    struct common_Memo                           memo = { 0 };
    struct arena                                 arena;
    struct error                                 error;
    int64_t                                      expected = 0, found = 0;
    arena_init(&arena, SIZE_MAX);
    if (info->memo.size == 0 || pb_decode(&pb_common_Memo, info->memo, &arena, &memo, &error) == ST_OK) {
        LIST_FOR_EACH (field, &state->memo, struct field, link)
            expected += field->key.size != 0;
        for (size_t i = 0; i < memo.fields_count; i++)
            found += has_field(&state->memo, memo.fields[i].key, memo.fields[i].value);
        if (found != expected || (int64_t)memo.fields_count != expected)
            fail_view(oracle, ORACLE_VIEW, view, "as many memo fields", found, expected);
    }
    arena_release(&arena);
}

/* The server adds attributes of its own; those of the workflow are there. */
static void check_attributes(struct oracle *oracle, const struct view *view, const struct judge *state)
{
    const struct workflow_WorkflowExecutionInfo *info = view->response->workflow_execution_info;
    struct common_SearchAttributes               shown = { 0 };
    struct arena                                 arena;
    struct error                                 error;
    int64_t                                      expected = 0, found = 0;
    arena_init(&arena, SIZE_MAX);
    if (info->search_attributes.size == 0 ||
        pb_decode(&pb_common_SearchAttributes, info->search_attributes, &arena, &shown, &error) == ST_OK) {
        LIST_FOR_EACH (field, &state->attributes, struct field, link)
            expected += field->key.size != 0;
        for (size_t i = 0; i < shown.indexed_fields_count; i++)
            found += has_field(&state->attributes, shown.indexed_fields[i].key,
                               shown.indexed_fields[i].value);
        if (found != expected)
            fail_view(oracle, ORACLE_VIEW, view, "as many of its search attributes", found, expected);
    }
    arena_release(&arena);
}

/* --- what is pending --- */

/* While a task is in a worker's hands, what ended may be in the buffer still: then less is pending than events say. */
static void check_activities(struct oracle *oracle, const struct view *view, const struct judge *state)
{
    const struct workflowservice_DescribeWorkflowExecutionResponse *response = view->response;
    int64_t count = (int64_t)response->pending_activities_count;
    int64_t open = (int64_t)state->open_count[THING_ACTIVITY];
    if (count > open ||
        (count < open && state->task.state != TASK_STARTED && view->response->pending_workflow_task == NULL))
        fail_view(oracle, ORACLE_VIEW, view, "as many pending activities", count, open);
    for (size_t i = 0; i < response->pending_activities_count; i++) {
        const struct workflow_PendingActivityInfo *info = &response->pending_activities[i];
        const struct thing                        *found = NULL;
        LIST_FOR_EACH (activity, &state->open[THING_ACTIVITY], struct thing, link) {
            if (bytes_equal(activity->name, info->activity_id))
                found = activity;
        }
        if (found == NULL) {
            oracle_fail(oracle, ORACLE_VIEW, "run %.*s: Describe shows activity '%.*s', which is not pending",
                        BYTES_FMT(view->run->id), BYTES_FMT(info->activity_id));
            continue;
        }
        if (info->attempt < 1)
            fail_view(oracle, ORACLE_VIEW, view, "activity attempt", info->attempt, 1);
        if ((info->state == enums_PENDING_ACTIVITY_STATE_CANCEL_REQUESTED) != (found->canceling != 0))
            fail_view(oracle, ORACLE_VIEW, view, "activity state", info->state, found->canceling);
        bool waits = info->state == enums_PENDING_ACTIVITY_STATE_SCHEDULED;
        if (waits && info->next_attempt_schedule_time == NULL && info->attempt > 1 &&
            info->last_failure.size == 0)
            fail_view(oracle, ORACLE_VIEW, view, "an attempt after no failure", info->attempt, 1);
    }
}

static void check_children(struct oracle *oracle, const struct view *view, const struct judge *state)
{
    const struct workflowservice_DescribeWorkflowExecutionResponse *response = view->response;
    int64_t count = (int64_t)response->pending_children_count;
    int64_t open = (int64_t)state->open_count[THING_CHILD];
    if (count > open || (count < open && view->response->pending_workflow_task == NULL))
        fail_view(oracle, ORACLE_VIEW, view, "as many pending children", count, open);
    for (size_t i = 0; i < response->pending_children_count; i++) {
        const struct workflow_PendingChildExecutionInfo *info = &response->pending_children[i];
        bool                                             good = false;
        LIST_FOR_EACH (child, &state->open[THING_CHILD], struct thing, link)
            good = good || (child->event->event_id == info->initiated_id &&
                            bytes_equal(child->name, info->workflow_id) &&
                            (child->run_id.size == 0 || info->run_id.size != 0));
        if (!good)
            oracle_fail(oracle, ORACLE_VIEW,
                        "run %.*s: Describe shows child '%.*s' of event %" PRId64 ", which is not pending",
                        BYTES_FMT(view->run->id), BYTES_FMT(info->workflow_id), info->initiated_id);
    }
}

static void check_task(struct oracle *oracle, const struct view *view, const struct judge *state)
{
    const struct workflow_PendingWorkflowTaskInfo *info = view->response->pending_workflow_task;
    const struct history_WorkflowExecutionStartedEventAttributes *start =
        state->first->workflow_execution_started_event_attributes;
    int64_t shown = info == NULL                                               ? TASK_NONE
                    : info->state == enums_PENDING_WORKFLOW_TASK_STATE_STARTED ? TASK_STARTED
                                                                               : TASK_SCHEDULED;
    if (state->close != NULL) {
        if (info != NULL)
            fail_view(oracle, ORACLE_VIEW, view, "a task of a closed run: state", info->state, 0);
        return;
    }
    if (state->task.state != TASK_NONE && shown != (int64_t)state->task.state)
        fail_view(oracle, ORACLE_VIEW, view, "a task in state", shown, state->task.state);
    if (state->task.state != TASK_NONE && info != NULL && info->attempt != state->task.attempt)
        fail_view(oracle, ORACLE_VIEW, view, "a task at attempt", info->attempt, state->task.attempt);
    /* Not before the back-off ends, not before the parent knows, not while it is paused. */
    bool waits = state->task.scheduled == 0 && (duration_ns(start->first_workflow_task_backoff) > 0 ||
                                                start->parent_workflow_execution != NULL);
    if (info == NULL && state->task.needed && !waits && !state->paused)
        oracle_fail(oracle, ORACLE_VIEW_TASK,
                    "run %.*s at event %" PRId64 " has something to tell, and no workflow task",
                    BYTES_FMT(view->run->id), state->last);
}

/* --- the whole --- */

static void check_times(struct oracle *oracle, const struct view *view, const struct judge *state)
{
    const struct workflow_WorkflowExecutionInfo *info = view->response->workflow_execution_info;
    const struct history_WorkflowExecutionStartedEventAttributes *start =
        state->first->workflow_execution_started_event_attributes;
    int64_t closed = state->close == NULL ? 0 : event_time(state->close);
    if (timestamp_ns(info->close_time) != closed)
        fail_view(oracle, ORACLE_VIEW, view, "close time", timestamp_ns(info->close_time), closed);
    if (state->reset != NULL)
        return;
    int64_t began = event_time(state->first);
    int64_t executes = began + duration_ns(start->first_workflow_task_backoff);
    if (timestamp_ns(info->start_time) != began)
        fail_view(oracle, ORACLE_VIEW, view, "start time", timestamp_ns(info->start_time), began);
    if (timestamp_ns(info->execution_time) != executes)
        fail_view(oracle, ORACLE_VIEW, view, "execution time", timestamp_ns(info->execution_time), executes);
}

static void check_identity(struct oracle *oracle, const struct view *view, const struct judge *state)
{
    const struct workflow_WorkflowExecutionInfo *info = view->response->workflow_execution_info;
    const struct history_WorkflowExecutionStartedEventAttributes *start =
        state->first->workflow_execution_started_event_attributes;
    const struct common_WorkflowExecution *parent = start->parent_workflow_execution;
    bool                                   good = info->type != NULL && start->workflow_type != NULL &&
                bytes_equal(info->type->name, start->workflow_type->name) && start->task_queue != NULL &&
                bytes_equal(info->task_queue, start->task_queue->name) &&
                bytes_equal(info->first_run_id, start->first_execution_run_id) &&
                (info->parent_execution != NULL) == (parent != NULL) &&
                (parent == NULL || (bytes_equal(info->parent_execution->workflow_id, parent->workflow_id) &&
                                    bytes_equal(info->parent_execution->run_id, parent->run_id)));
    if (!good)
        oracle_fail(oracle, ORACLE_VIEW,
                    "run %.*s: Describe shows another type, task queue, first run or parent than its start",
                    BYTES_FMT(view->run->id));
}

static void check_view(struct oracle *oracle, const struct view *view)
{
    const struct workflow_WorkflowExecutionInfo         *info = view->response->workflow_execution_info;
    const struct workflow_WorkflowExecutionExtendedInfo *extended = view->response->workflow_extended_info;
    bool                                                 was_mute = oracle->mute;
    struct judge                                        *state = judge_new(view->run);
    oracle->mute = true; /* it was judged when it came */
    for (int64_t id = 1; id <= info->history_length; id++)
        judge_event(state, run_event(view->run, id));
    oracle->mute = was_mute;
    if (state->first != NULL) {
        int32_t status = state->paused && state->close == NULL ? enums_WORKFLOW_EXECUTION_STATUS_PAUSED
                                                               : state->status;
        /* A pause waits in the buffer while a task is in a worker's hands. */
        bool buffered = state->task.state == TASK_STARTED || view->response->pending_workflow_task != NULL;
        bool paused = info->status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED && buffered &&
                      state->close == NULL;
        bool unpaused = info->status == enums_WORKFLOW_EXECUTION_STATUS_RUNNING && buffered && state->paused;
        if (info->status != status && !paused && !unpaused)
            fail_view(oracle, ORACLE_VIEW, view, "status", info->status, status);
        if (extended != NULL && state->cancel_requested != 0 && !extended->cancel_requested)
            fail_view(oracle, ORACLE_VIEW, view, "cancel requested", 0, state->cancel_requested);
        check_times(oracle, view, state);
        check_identity(oracle, view, state);
        check_memo(oracle, view, state);
        check_attributes(oracle, view, state);
        if (state->close == NULL) {
            check_activities(oracle, view, state);
            check_children(oracle, view, state);
        }
        check_task(oracle, view, state);
    }
    judge_free(state);
}

/* A read that was asked for now shows what anybody knew before. */
static void check_fresh(struct oracle *oracle, const struct call *call, const struct run *run, int64_t shown,
                        bool of_current)
{
    struct table_iterator iterator = { 0 };
    int64_t               known = oracle_last_known(run, call->at);
    if (shown < known)
        oracle_fail(oracle, ORACLE_STALE, "run %.*s: %" PRId64 " events are shown, %" PRId64 " were known",
                    BYTES_FMT(run->id), shown, known);
    for (struct run *other; of_current && (other = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (other != run && bytes_equal(other->workflow_id, run->workflow_id) &&
            oracle_last_known(other, call->at) != 0 && other->judge->first != NULL && !other->deleted &&
            run->judge->first != NULL && other->judge->reset == NULL && run->judge->reset == NULL &&
            event_time(other->judge->first) > event_time(run->judge->first))
            oracle_fail(oracle, ORACLE_STALE, "run %.*s is shown as current, run %.*s was known to follow",
                        BYTES_FMT(run->id), BYTES_FMT(other->id));
    }
}

void view_described(struct oracle *oracle, const struct call *call,
                    const struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    const struct workflowservice_DescribeWorkflowExecutionRequest *request = call->request;
    const struct workflow_WorkflowExecutionInfo                   *info = response->workflow_execution_info;
    if (info == NULL || info->execution == NULL || info->execution->run_id.size == 0) {
        oracle_fail(oracle, ORACLE_VIEW, "Describe names no run");
        return;
    }
    struct run *run = oracle_run_of(oracle, info->execution->run_id);
    oracle_run_belongs(oracle, run, info->execution->workflow_id);
    if (request->execution != NULL &&
        ((request->execution->run_id.size != 0 && !bytes_equal(request->execution->run_id, run->id)) ||
         !bytes_equal(request->execution->workflow_id, run->workflow_id)))
        oracle_fail(oracle, ORACLE_VIEW, "Describe of workflow '%.*s' shows run %.*s",
                    BYTES_FMT(request->execution->workflow_id), BYTES_FMT(run->id));
    check_fresh(oracle, call, run, info->history_length,
                request->execution != NULL && request->execution->run_id.size == 0);
    struct view *view = ARENA_NEW(&oracle->arena, struct view);
    view->asked = call->at;
    view->run = run;
    view->response = response;
    if (run->judge->last >= info->history_length)
        check_view(oracle, view);
    else
        list_append(&oracle->views, &view->link);
}

void views_audit(struct oracle *oracle)
{
    for (struct list *at; (at = list_take_first(&oracle->views)) != NULL;) {
        const struct view *view = LIST_ENTRY(at, struct view, link);
        int64_t            length = view->response->workflow_execution_info->history_length;
        if (view->run->judge->last >= length)
            check_view(oracle, view);
        else if (run_is_complete(view->run))
            oracle_fail(oracle, ORACLE_VIEW,
                        "run %.*s: Describe showed %" PRId64 " events, there are %" PRId64,
                        BYTES_FMT(view->run->id), length, view->run->last);
    }
}

/* --- lists --- */

void view_row(struct oracle *oracle, const struct call *call,
              const struct workflow_WorkflowExecutionInfo *row)
{
    if (row->execution == NULL || row->execution->run_id.size == 0) {
        oracle_fail(oracle, ORACLE_ROW, "a list names no run");
        return;
    }
    struct run *run = oracle_run_of(oracle, row->execution->run_id);
    oracle_run_belongs(oracle, run, row->execution->workflow_id);
    const struct judge                *state = run->judge;
    const struct history_HistoryEvent *close = state->close;
    bool                               open = row->status == enums_WORKFLOW_EXECUTION_STATUS_RUNNING ||
                row->status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED;
    if (!bytes_equal(row->execution->workflow_id, run->workflow_id) || open != (row->close_time == NULL))
        oracle_fail(oracle, ORACLE_ROW, "run %.*s: status %d and close time do not fit, or another id '%.*s'",
                    BYTES_FMT(run->id), row->status, BYTES_FMT(row->execution->workflow_id));
    if (close == NULL)
        return;
    if (open && oracle_last_known(run, call->at) >= close->event_id)
        oracle_fail(oracle, ORACLE_ROW, "run %.*s: a list shows it as open, its close was known",
                    BYTES_FMT(run->id));
    if (!open && (row->status != state->status || row->history_length != close->event_id ||
                  timestamp_ns(row->close_time) != event_time(close)))
        oracle_fail(oracle, ORACLE_ROW,
                    "run %.*s: a list shows status %d with %" PRId64
                    " events, it has status %d with %" PRId64,
                    BYTES_FMT(run->id), row->status, row->history_length, state->status, close->event_id);
}
