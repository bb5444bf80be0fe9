/* workflow.c: the workflow execution as a kind of entity: which command is decided where. */
#include "engine/workflow.h"

#include "engine/activity.h"
#include "engine/activity_operator.h"
#include "engine/callback.h"
#include "engine/commands.h"
#include "engine/delete.h"
#include "engine/due.h"
#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/message.h"
#include "engine/options.h"
#include "engine/pause.h"
#include "engine/query.h"
#include "engine/reset.h"
#include "engine/rows.h"
#include "engine/signal.h"
#include "engine/update.h"
#include "engine/workflow_task.h"

/* What a command says about a run that is not there, or not open any more. */
enum absence {
    ABSENCE_DECIDES,   /* the command's own affair */
    ABSENCE_STALE,     /* a task of it is stale */
    ABSENCE_NOT_FOUND, /* the caller is told */
    ABSENCE_NOTHING,
};
struct command_entry {
    void (*decide)(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision);
    enum absence without_run, without_open;
};
static const struct command_entry commands[WORKFLOW_COMMAND_COUNT] = {
    [WORKFLOW_DUE] = { decide_due, ABSENCE_NOTHING, ABSENCE_DECIDES },
    [WORKFLOW_START] = { decide_start, ABSENCE_DECIDES, ABSENCE_DECIDES },
    [WORKFLOW_SIGNAL_WITH_START] = { decide_signal_with_start, ABSENCE_DECIDES, ABSENCE_DECIDES },
    [WORKFLOW_SIGNAL] = { decide_signal, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_REQUEST_CANCEL] = { decide_request_cancel, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_TERMINATE] = { decide_terminate, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_TASK_START] = { decide_task_start, ABSENCE_STALE, ABSENCE_STALE },
    [WORKFLOW_TASK_RETURN] = { decide_task_return, ABSENCE_STALE, ABSENCE_STALE },
    [WORKFLOW_TASK_COMPLETE] = { decide_task_complete, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_TASK_FAIL] = { decide_task_fail, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_TASK_START] = { decide_activity_start, ABSENCE_STALE, ABSENCE_STALE },
    [ACTIVITY_TASK_RETURN] = { decide_activity_return, ABSENCE_STALE, ABSENCE_STALE },
    [ACTIVITY_TASK_COMPLETE] = { decide_activity_complete, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_TASK_FAIL] = { decide_activity_fail, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_TASK_CANCEL] = { decide_activity_cancel, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_TASK_HEARTBEAT] = { decide_activity_heartbeat, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_DESCRIBE] = { decide_describe, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_HISTORY] = { decide_history, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_QUERY] = { decide_query, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_RESET] = { decide_reset, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_DELETE] = { decide_delete, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_EXPIRE] = { decide_expire, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_UPDATE] = { decide_update, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_UPDATE_POLL] = { decide_update_poll, ABSENCE_NOT_FOUND, ABSENCE_DECIDES },
    [WORKFLOW_UPDATE_WITH_START] = { decide_update_with_start, ABSENCE_DECIDES, ABSENCE_DECIDES },
    [WORKFLOW_RESET_STICKY] = { decide_reset_sticky, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_PAUSE] = { decide_activity_pause, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_UNPAUSE] = { decide_activity_unpause, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_RESET] = { decide_activity_reset, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [ACTIVITY_UPDATE_OPTIONS] = { decide_activity_update_options, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_PAUSE] = { decide_pause, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_UNPAUSE] = { decide_unpause, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_UPDATE_OPTIONS] = { decide_update_options, ABSENCE_NOT_FOUND, ABSENCE_NOT_FOUND },
    [WORKFLOW_CALLBACK_LOAD] = { decide_callback_load, ABSENCE_STALE, ABSENCE_DECIDES },
    [WORKFLOW_CALLBACK_REPORT] = { decide_callback_report, ABSENCE_STALE, ABSENCE_DECIDES },
};

static bool answer_absence(struct workflow_request *request, enum absence absence, bool exists)
{
    switch (absence) {
    case ABSENCE_DECIDES:
        return false;
    case ABSENCE_STALE:
        request->stale = true;
        return true;
    case ABSENCE_NOT_FOUND:
        error_not_found(&request->base.error, request->base.arena,
                        exists ? "workflow execution already completed" : "workflow execution not found");
        return true;
    default:
        return true;
    }
}

/* Or was. */
static bool is_deleted(const struct namespace_config *namespace)
{
    return namespace == NULL || namespace->state == enums_NAMESPACE_STATE_DELETED;
}

static void workflow_decide(const void *state, struct request *base, struct env *env,
                            struct decision *decision)
{
    const struct execution *live = state;
    if (live == NULL && base->command == ENTITY_COMMAND_MESSAGE && is_deleted(env->namespace))
        return; /* it begins nothing any more, and who asked is about to be gone */
    if (base->command == ENTITY_COMMAND_MESSAGE) {
        decide_message(live, CONTAINER_OF(base, struct message_request, base), env, decision);
        return;
    }
    struct workflow_request    *request = CONTAINER_OF(base, struct workflow_request, base);
    const struct command_entry *entry = &commands[base->command];
    assert(base->command >= 0 && base->command < WORKFLOW_COMMAND_COUNT);
    if (live == NULL && answer_absence(request, entry->without_run, false))
        return;
    if (live != NULL) {
        if (base->command != WORKFLOW_DUE) { /* which is the runtime's own, a bare struct request */
            request->run_id = live->run_id;
            request->run_number = live->number;
        }
        if (!execution_is_open(live) && answer_absence(request, entry->without_open, true))
            return;
    }
    entry->decide(live, request, env, decision);
}

static void *workflow_state_new(const struct entity_identity *identity)
{
    return execution_new(identity);
}

static void workflow_state_free(void *state)
{
    execution_free(state);
}

static size_t workflow_state_size(const void *state)
{
    const struct execution *execution = state;
    return execution->memory;
}

static enum status workflow_apply(void *state, const struct transition_record *record, struct error *error)
{
    return execution_apply(state, record, error);
}

static void workflow_snapshot(const void *state, struct buffer *to)
{
    execution_snapshot(state, to);
}

static enum status workflow_restore(void *state, struct bytes snapshot, struct error *error)
{
    return execution_restore(state, snapshot, error);
}

/* Heartbeats may have come and gone unseen while the run was not in memory: everyone gets a full interval. */
static void workflow_loaded(void *state, int64_t now)
{
    struct execution *execution = state;
    for (uint32_t i = 0; i < execution->activity_count; i++)
        if (execution->activities[i].record->started_time != 0)
            execution->activities[i].record->loaded_time = now;
}

static int64_t workflow_next_due(const void *state)
{
    return execution_next_due(state);
}

static int64_t workflow_volatile_due(const void *state)
{
    return execution_volatile_due(state);
}

static bool workflow_is_pinned(const void *state)
{
    return execution_is_pinned(state);
}

static int64_t workflow_last_event_time(const void *state)
{
    const struct execution *execution = state;
    return execution->last_event_time;
}

static bool workflow_is_forked(const void *state)
{
    return execution_lineage(state)->reset_run_id.size != 0;
}

static size_t workflow_history_prefix(const void *state, const struct history_segment **ret_segments)
{
    const struct lineage *lineage = execution_lineage(state);
    *ret_segments = lineage->prefix;
    return lineage->prefix_count;
}

static bool workflow_is_superseded(const void *state)
{
    const struct execution *execution = state;
    return !execution_is_open(execution) && execution->is_superseded;
}

static bool workflow_is_open(const void *state)
{
    return execution_is_open(state);
}

/* While the disk is full and while the server drains, only these are refused. */
static bool workflow_adds_work(const struct request *request)
{
    return request->command == WORKFLOW_START || request->command == WORKFLOW_SIGNAL_WITH_START ||
           request->command == WORKFLOW_SIGNAL || request->command == WORKFLOW_UPDATE ||
           request->command == WORKFLOW_UPDATE_WITH_START;
}

static void workflow_rows(const void *state, struct arena *arena, struct entity_rows *ret_rows)
{
    execution_rows(state, arena, ret_rows);
}

static bool workflow_awaits_worker(const void *state)
{
    const struct execution *execution = state;
    return execution_is_open(execution) && (execution->task.is_pending || execution->activity_count != 0);
}

/* Workflow tasks are over soon, and none is to time out because somebody sleeps. An activity that waits for its next attempt keeps
 * nobody. */
static int32_t workflow_keeps_time(const void *state)
{
    const struct execution *execution = state;
    int32_t                 count = 0;
    if (!execution_is_open(execution))
        return 0;
    if (execution->task.is_pending && (task_is_started(execution) || !execution_is_paused(execution)))
        return INT32_MAX;
    for (uint32_t i = 0; i < execution->activity_count; i++) {
        const struct activity *activity = execution->activities[i].record;
        count += activity->started_time != 0 || activity->sequence != 0;
    }
    return count;
}

static_assert(offsetof(struct workflow_request, base) == 0, "the runtime makes DUE requests by request_size");

const struct entity_kind workflow_kind = {
    .id = ENTITY_WORKFLOW,
    .name = "workflow",
    .request_size = sizeof(struct workflow_request),
    .state_new = workflow_state_new,
    .state_free = workflow_state_free,
    .state_size = workflow_state_size,
    .decide = workflow_decide,
    .apply = workflow_apply,
    .snapshot = workflow_snapshot,
    .restore = workflow_restore,
    .loaded = workflow_loaded,
    .next_due = workflow_next_due,
    .volatile_due = workflow_volatile_due,
    .is_pinned = workflow_is_pinned,
    .last_event_time = workflow_last_event_time,
    .history_prefix = workflow_history_prefix,
    .is_forked = workflow_is_forked,
    .is_superseded = workflow_is_superseded,
    .is_open = workflow_is_open,
    .awaits_worker = workflow_awaits_worker,
    .event_type = event_peek_type,
    .keeps_time = workflow_keeps_time,
    .rows = workflow_rows,
    .is_message = message_is_sound,
    .adds_work = workflow_adds_work,
};
