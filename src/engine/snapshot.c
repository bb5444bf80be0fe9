/* snapshot.c: the state as one encoded state_Execution, and back.
 *
 * Volatile members are left out. A closed run's is small: its pending things are gone.
 */
#include "base/mutant.h"
#include "engine/fold.h"
#include "engine/update.h"

#define EVENT_ID_MAX (INT64_C(1) << 48)

static void task_to(const struct workflow_task *task, struct state_WorkflowTask *to)
{
    *to = (struct state_WorkflowTask){
        .scheduled_event_id = task->scheduled_event_id,
        .started_event_id = task->started_event_id,
        .attempt = task->attempt,
        .is_transient = task->is_transient,
        .is_sticky = task->is_sticky,
        .scheduled_time = task->scheduled_time,
        .original_scheduled_time = task->original_scheduled_time,
        .started_time = task->started_time,
        .timeout = task->timeout,
        .sequence = task->sequence,
        .history_size = task->history_size,
        .suggest = task->suggest,
        .identity = task->identity,
        .request_id = task->request_id,
    };
}

static struct state_Pause *pause_to(const struct pause *pause, struct arena *arena)
{
    if (pause->time == 0)
        return NULL;
    struct state_Pause *to = ARENA_NEW(arena, struct state_Pause);
    *to = (struct state_Pause){ .time = pause->time,
                                .identity = pause->identity,
                                .reason = pause->reason,
                                .request_id = pause->request_id };
    return to;
}

static void activity_to(const struct activity *activity, struct state_Activity *to, struct arena *arena)
{
    *to = (struct state_Activity){
        .scheduled_event_id = activity->scheduled_event_id,
        .activity_id = activity->activity_id,
        .activity_type = activity->type,
        .task_queue = activity->queue,
        .schedule_to_close = activity->schedule_to_close,
        .schedule_to_start = activity->schedule_to_start,
        .start_to_close = activity->start_to_close,
        .heartbeat = activity->heartbeat,
        .first_scheduled_time = activity->first_scheduled_time,
        .scheduled_time = activity->scheduled_time,
        .started_time = MUTANT(activity_of_snapshot_unstarted) ? 0 : activity->started_time,
        .attempt = activity->attempt,
        .cancel_requested = activity->cancel_requested,
        .cancel_requested_event_id = activity->cancel_requested_event_id,
        .retry_policy = activity->retry_policy,
        .identity = activity->identity,
        .request_id = activity->request_id,
        .last_failure = activity->last_failure,
        .heartbeat_details = activity->heartbeat_details,
        .has_heartbeat_details = activity->has_heartbeat_details,
        .heartbeat_time = activity->heartbeat_time,
        .last_attempt_complete_time = activity->last_attempt_complete_time,
        .sequence = activity->sequence,
        .stamp = activity->stamp,
        .priority = activity->priority,
        .pause = pause_to(&activity->pause, arena),
        .was_reset = activity->was_reset,
        .resets_heartbeat = activity->resets_heartbeat,
        .original_options = activity->original_options,
    };
}

static void lineage_to(const struct lineage *lineage, struct state_Execution *to, struct arena *arena)
{
    to->reset_run_id = lineage->reset_run_id;
    to->reset_request_id = lineage->reset_request_id;
    to->reset_event_id = lineage->reset_event_id;
    to->late_answers = lineage->late_answers;
    to->original_start_time = lineage->original_start_time;
    to->prefix_count = lineage->prefix_count;
    to->prefix = ARENA_NEW_ARRAY(arena, struct state_HistorySegment, lineage->prefix_count + 1);
    for (uint32_t i = 0; i < lineage->prefix_count; i++)
        to->prefix[i] = (struct state_HistorySegment){ .branch = lineage->prefix[i].branch,
                                                       .last_event_id = lineage->prefix[i].last_event_id };
    to->resets_count = lineage->reset_count;
    to->resets = ARENA_NEW_ARRAY(arena, struct state_Reset, lineage->reset_count + 1);
    for (uint32_t i = 0; i < lineage->reset_count; i++)
        to->resets[i] = (struct state_Reset){ .request_id = lineage->resets[i].request_id,
                                              .run_id = lineage->resets[i].run_id };
}

static void lineage_from(struct execution *state, const struct state_Execution *from)
{
    if (from->reset_run_id.size == 0 && from->original_start_time == 0 && from->late_answers.size == 0)
        return;
    struct lineage *lineage = execution_lineage_write(state);
    execution_set(state, &lineage->reset_run_id, from->reset_run_id);
    execution_set(state, &lineage->reset_request_id, from->reset_request_id);
    lineage->original_start_time = from->original_start_time;
    lineage->reset_event_id = from->reset_event_id;
    execution_set(state, &lineage->late_answers, from->late_answers);
    execution_prefix_set(state, from->prefix, from->prefix_count);
    execution_resets_set(state, from->resets, from->resets_count);
}

static void pending_to(const struct execution *state, struct state_Execution *to, struct arena *arena)
{
    to->activities_count = state->activity_count;
    to->activities = ARENA_NEW_ARRAY(arena, struct state_Activity, state->activity_count + 1);
    for (uint32_t i = 0; i < state->activity_count; i++)
        activity_to(state->activities[i].record, &to->activities[i], arena);
    to->timers_count = MUTANT(timer_of_snapshot_lost) ? 0 : state->timer_count;
    to->timers = ARENA_NEW_ARRAY(arena, struct state_Timer, state->timer_count + 1);
    for (uint32_t i = 0; i < state->timer_count; i++)
        to->timers[i] = (struct state_Timer){ .timer_id = state->timers[i].id,
                                              .started_event_id = state->timers[i].started_event_id,
                                              .fire_time = state->timers[i].fire_time };
    to->attached_count = state->attached_count;
    to->attached = ARENA_NEW_ARRAY(arena, struct state_AttachedRequest, state->attached_count + 1);
    for (uint32_t i = 0; i < state->attached_count; i++)
        to->attached[i] = (struct state_AttachedRequest){ .request_id = state->attached[i].request_id,
                                                          .event_id = state->attached[i].event_id };
    to->reset_points_count = state->reset_point_count;
    to->reset_points = ARENA_NEW_ARRAY(arena, struct state_ResetPoint, state->reset_point_count + 1);
    for (uint32_t i = 0; i < state->reset_point_count; i++)
        to->reset_points[i] = (struct state_ResetPoint){
            .binary_checksum = state->reset_points[i].checksum,
            .build_id = state->reset_points[i].build_id,
            .run_id = state->reset_points[i].run_id,
            .completed_event_id = state->reset_points[i].completed_event_id,
            .create_time = state->reset_points[i].create_time,
            .expire_time = state->reset_points[i].expire_time,
            .not_resettable = state->reset_points[i].not_resettable
        };
    lineage_to(execution_lineage(state), to, arena);
    to->callbacks_count = state->callback_count;
    to->callbacks = ARENA_NEW_ARRAY(arena, struct state_Callback, state->callback_count + 1);
    for (uint32_t i = 0; i < state->callback_count; i++) {
        const struct callback *callback = &state->callbacks[i];
        to->callbacks[i] = (struct state_Callback){ .callback = callback->encoded,
                                                    .request_id = callback->request_id,
                                                    .registration_time = callback->registration_time,
                                                    .state = callback->state,
                                                    .attempt = callback->attempt,
                                                    .complete_time = callback->complete_time,
                                                    .failure = callback->failure,
                                                    .next_time = callback->next_time,
                                                    .sequence = callback->sequence };
    }
    to->buffer = state->buffer;
    to->buffer_count = MUTANT(buffer_of_snapshot_lost) ? 0 : state->buffer_count;
    const struct update_book *book = execution_updates(state);
    to->updates_count = book->update_count;
    to->updates = ARENA_NEW_ARRAY(arena, struct state_Update, book->update_count + 1);
    for (uint32_t i = 0; i < book->update_count; i++)
        to->updates[i] = (struct state_Update){ .update_id = book->updates[i].id,
                                                .admitted_event_id = book->updates[i].admitted_event_id,
                                                .accepted_event_id = book->updates[i].accepted_event_id,
                                                .completed_event_id = book->updates[i].completed_event_id };
    to->signal_ids = bytes_of(state->signal_ids, MUTANT(signal_ids_of_snapshot_lost)
                                                     ? 0
                                                     : state->signal_id_count * sizeof(struct uuid));
}

static void children_to(const struct execution *state, struct state_Execution *to, struct arena *arena)
{
    const struct family *family = execution_family(state);
    to->parent_workflow_id = family->parent_workflow_id;
    to->parent_initiated_event_id = family->parent_initiated_event_id;
    to->root_workflow_id = family->root_workflow_id;
    to->awaits_parent = state->awaits_parent;
    if (family->parent_workflow_id.size != 0)
        to->parent_run_id = bytes_of(family->parent_run_id.byte, sizeof(family->parent_run_id.byte));
    if (family->root_workflow_id.size != 0)
        to->root_run_id = bytes_of(family->root_run_id.byte, sizeof(family->root_run_id.byte));
    to->children_count = state->child_count;
    to->children = ARENA_NEW_ARRAY(arena, struct state_Child, state->child_count + 1);
    for (uint32_t i = 0; i < state->child_count; i++) {
        const struct child *child = state->children[i].record;
        to->children[i] = (struct state_Child){ .initiated_event_id = child->initiated_event_id,
                                                .started_event_id = child->started_event_id,
                                                .workflow_id = child->workflow_id,
                                                .workflow_type = child->type,
                                                .parent_close_policy = child->parent_close_policy };
        if (child->is_started)
            to->children[i].first_run_id = bytes_of(child->first_run_id.byte,
                                                    sizeof(child->first_run_id.byte));
    }
    to->external_signals = state->external_signals;
    to->external_signals_count = state->external_signal_count;
    to->external_cancels = state->external_cancels;
    to->external_cancels_count = state->external_cancel_count;
}

void execution_snapshot(const struct execution *state, struct buffer *to)
{
    struct arena              arena;
    struct state_WorkflowTask task;
    arena_init(&arena, SIZE_MAX);
    struct state_Execution record = {
        .transitions = state->transitions,
        .workflow_type = state->type,
        .task_queue = state->queue,
        .start_request_id = state->start_request_id,
        .first_run_id = bytes_of(state->first_run_id.byte, sizeof(state->first_run_id.byte)),
        .original_run_id = bytes_of(state->original_run_id.byte, sizeof(state->original_run_id.byte)),
        .status = state->status,
        .start_time = state->start_time,
        .execution_time = state->execution_time,
        .close_time = state->close_time,
        .last_event_time = state->last_event_time,
        .execution_timeout = state->execution_timeout,
        .run_timeout = state->run_timeout,
        .task_timeout = state->task_timeout,
        .execution_expiration = state->execution_expiration,
        .run_expiration = state->run_expiration,
        .attempt = state->attempt,
        .retry_policy = state->retry_policy,
        .cron_schedule = state->cron,
        .memo = state->memo,
        .search_attributes = state->search_attributes,
        .priority = state->priority,
        .cancel_requested = state->cancel_requested,
        .backoff_pending = state->backoff_pending,
        .close_blocked = state->close_blocked,
        .has_user_metadata = state->has_user_metadata,
        .sticky_queue = state->sticky_queue,
        .sticky_timeout = state->sticky_timeout,
        .previous_started_event_id = state->previous_started_event_id,
        .next_event_id = state->next_event_id,
        .history_size = state->history_size,
        .signal_count = state->signal_count,
        .is_superseded = state->is_superseded,
        .pause = pause_to(&state->pause, &arena),
        .versioning_override = state->versioning_override,
        .problem_count = state->problem_count,
        .problem_cause = state->problem_cause,
        .problem_timeout_type = state->problem_timeout_type,
    };
    pending_to(state, &record, &arena);
    children_to(state, &record, &arena);
    if (state->task.is_pending && !state->task.is_speculative) {
        task_to(&state->task, &task);
        record.task = &task;
    }
    pb_encode(&pb_state_Execution, &record, to);
    arena_release(&arena);
}

/* --- and back --- */

static void task_from(struct execution *state, const struct state_WorkflowTask *from)
{
    if (from == NULL)
        return;
    state->task = (struct workflow_task){
        .is_pending = true,
        .is_transient = from->is_transient,
        .is_sticky = from->is_sticky,
        .attempt = from->attempt,
        .scheduled_event_id = from->scheduled_event_id,
        .started_event_id = from->started_event_id,
        .scheduled_time = from->scheduled_time,
        .original_scheduled_time = from->original_scheduled_time,
        .started_time = from->started_time,
        .timeout = from->timeout,
        .sequence = from->sequence,
        .history_size = from->history_size,
        .suggest = from->suggest,
    };
    execution_set(state, &state->task.identity, from->identity);
    execution_set(state, &state->task.request_id, from->request_id);
}

static void pause_from(struct execution *state, struct pause *slot, const struct state_Pause *from)
{
    if (from == NULL)
        return;
    struct pause pause = {
        .time = from->time, .identity = from->identity, .reason = from->reason, .request_id = from->request_id
    };
    execution_set_pause(state, slot, &pause);
}

static enum status activity_from(struct execution *state, const struct state_Activity *from,
                                 struct error *error)
{
    struct activity *activity = execution_activity_add(state, from->scheduled_event_id, from->activity_id);
    if (activity == NULL)
        return error_set(error, ST_DATA_LOSS, "a snapshot's activities are not in order");
    execution_set(state, &activity->type, from->activity_type);
    execution_set(state, &activity->queue, from->task_queue);
    execution_set(state, &activity->retry_policy, from->retry_policy);
    execution_set(state, &activity->identity, from->identity);
    execution_set(state, &activity->request_id, from->request_id);
    execution_set(state, &activity->last_failure, from->last_failure);
    execution_set(state, &activity->heartbeat_details, from->heartbeat_details);
    execution_set(state, &activity->priority, from->priority);
    activity->has_heartbeat_details = from->has_heartbeat_details;
    activity->schedule_to_close = from->schedule_to_close;
    activity->schedule_to_start = from->schedule_to_start;
    activity->start_to_close = from->start_to_close;
    activity->heartbeat = from->heartbeat;
    activity->first_scheduled_time = from->first_scheduled_time;
    activity->scheduled_time = from->scheduled_time;
    activity->started_time = from->started_time;
    activity->attempt = from->attempt;
    activity->cancel_requested = from->cancel_requested;
    activity->cancel_requested_event_id = from->cancel_requested_event_id;
    activity->heartbeat_time = from->heartbeat_time;
    activity->last_attempt_complete_time = from->last_attempt_complete_time;
    activity->sequence = from->sequence;
    activity->stamp = from->stamp;
    pause_from(state, &activity->pause, from->pause);
    activity->was_reset = from->was_reset;
    activity->resets_heartbeat = from->resets_heartbeat;
    execution_set(state, &activity->original_options, from->original_options);
    return ST_OK;
}

static void scalars_from(struct execution *state, const struct state_Execution *from)
{
    state->is_started = true;
    state->transitions = from->transitions;
    state->status = from->status;
    state->start_time = from->start_time;
    state->execution_time = from->execution_time;
    state->close_time = from->close_time;
    state->last_event_time = from->last_event_time;
    state->execution_timeout = from->execution_timeout;
    state->run_timeout = from->run_timeout;
    state->task_timeout = from->task_timeout;
    state->execution_expiration = from->execution_expiration;
    state->run_expiration = from->run_expiration;
    state->attempt = from->attempt;
    state->cancel_requested = from->cancel_requested;
    state->backoff_pending = from->backoff_pending;
    state->close_blocked = from->close_blocked;
    state->has_user_metadata = from->has_user_metadata;
    state->sticky_timeout = from->sticky_timeout;
    state->previous_started_event_id = from->previous_started_event_id;
    state->next_event_id = from->next_event_id;
    state->history_size = from->history_size;
    state->signal_count = from->signal_count;
    /* Snapshots that were written before this was noted: one that continued as new had a next run by that. */
    state->is_superseded = from->is_superseded ||
                           from->status == enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW;
    state->problem_count = from->problem_count;
    state->problem_cause = from->problem_cause;
    state->problem_timeout_type = from->problem_timeout_type;
    memcpy(state->first_run_id.byte, from->first_run_id.base, sizeof(state->first_run_id.byte));
    memcpy(state->original_run_id.byte, from->original_run_id.base, sizeof(state->original_run_id.byte));
}

static bool run_id_from(struct bytes from, struct uuid *ret_run_id)
{
    if (from.size != 0 && from.size != sizeof(ret_run_id->byte))
        return false;
    if (from.size != 0)
        memcpy(ret_run_id->byte, from.base, sizeof(ret_run_id->byte));
    return true;
}

static enum status children_from(struct execution *state, const struct state_Execution *from,
                                 struct error *error)
{
    struct family family = { .parent_workflow_id = from->parent_workflow_id,
                             .parent_initiated_event_id = from->parent_initiated_event_id,
                             .root_workflow_id = from->root_workflow_id };
    state->awaits_parent = from->awaits_parent;
    bool is_sound = run_id_from(from->parent_run_id, &family.parent_run_id) &&
                    run_id_from(from->root_run_id, &family.root_run_id);
    execution_family_set(state, &family);
    for (size_t i = 0; i < from->children_count && is_sound; i++) {
        const struct state_Child *record = &from->children[i];
        struct child             *child = execution_child_add(state, record->initiated_event_id);
        is_sound = child != NULL && run_id_from(record->first_run_id, &child->first_run_id);
        if (!is_sound)
            break;
        execution_set(state, &child->workflow_id, record->workflow_id);
        execution_set(state, &child->type, record->workflow_type);
        child->started_event_id = record->started_event_id;
        child->is_started = record->first_run_id.size != 0;
        child->parent_close_policy = record->parent_close_policy;
    }
    if (!is_sound)
        return error_set(error, ST_DATA_LOSS, "a snapshot's parent or children are damaged");
    for (size_t i = 0; i < from->external_signals_count; i++)
        execution_external_add(state, false, from->external_signals[i]);
    for (size_t i = 0; i < from->external_cancels_count; i++)
        execution_external_add(state, true, from->external_cancels[i]);
    return ST_OK;
}

static enum status execution_from(struct execution *state, const struct state_Execution *from,
                                  struct error *error)
{
    if (from->first_run_id.size != sizeof(struct uuid) || from->original_run_id.size != sizeof(struct uuid) ||
        from->signal_ids.size % sizeof(struct uuid) != 0 || from->next_event_id < 1 ||
        from->next_event_id > EVENT_ID_MAX)
        return error_set(error, ST_DATA_LOSS, "a snapshot has members of a wrong size");
    scalars_from(state, from);
    execution_set(state, &state->type, from->workflow_type);
    execution_set(state, &state->queue, from->task_queue);
    execution_set(state, &state->start_request_id, from->start_request_id);
    execution_set(state, &state->retry_policy, from->retry_policy);
    execution_set(state, &state->cron, from->cron_schedule);
    execution_set(state, &state->memo, from->memo);
    execution_set(state, &state->search_attributes, from->search_attributes);
    execution_set(state, &state->priority, from->priority);
    execution_set(state, &state->sticky_queue, from->sticky_queue);
    execution_set(state, &state->versioning_override, from->versioning_override);
    pause_from(state, &state->pause, from->pause);
    lineage_from(state, from);
    task_from(state, from->task);
    for (size_t i = 0; i < from->activities_count; i++) {
        enum status status = activity_from(state, &from->activities[i], error);
        if (status != ST_OK)
            return status;
    }
    for (size_t i = 0; i < from->timers_count; i++)
        execution_timer_add(state, from->timers[i].timer_id, from->timers[i].started_event_id,
                            from->timers[i].fire_time);
    for (size_t i = 0; i < from->buffer_count; i++)
        execution_buffer_add(state, from->buffer[i]);
    for (size_t i = 0; i < from->attached_count; i++)
        execution_attach(state, from->attached[i].request_id, from->attached[i].event_id);
    for (size_t i = 0; i < from->reset_points_count; i++) {
        const struct state_ResetPoint *point = &from->reset_points[i];
        struct reset_point             copy = { .checksum = point->binary_checksum,
                                                .build_id = point->build_id,
                                                .run_id = point->run_id,
                                                .completed_event_id = point->completed_event_id,
                                                .create_time = point->create_time,
                                                .expire_time = point->expire_time,
                                                .not_resettable = point->not_resettable };
        execution_reset_point_add(state, &copy);
    }
    for (size_t i = 0; i < from->callbacks_count; i++) {
        const struct state_Callback *callback = &from->callbacks[i];
        struct callback              copy = { .encoded = callback->callback,
                                              .request_id = callback->request_id,
                                              .registration_time = callback->registration_time,
                                              .state = callback->state,
                                              .attempt = callback->attempt,
                                              .complete_time = callback->complete_time,
                                              .failure = callback->failure,
                                              .next_time = callback->next_time,
                                              .sequence = callback->sequence };
        execution_callback_add(state, &copy);
    }
    for (size_t i = 0; i < from->updates_count; i++) {
        struct update update = { .id = from->updates[i].update_id,
                                 .admitted_event_id = from->updates[i].admitted_event_id,
                                 .accepted_event_id = from->updates[i].accepted_event_id,
                                 .completed_event_id = from->updates[i].completed_event_id };
        update_add(state, &update);
    }
    execution_signal_ids_set(state, from->signal_ids);
    return children_from(state, from, error);
}

enum status execution_restore(struct execution *state, struct bytes snapshot, struct error *error)
{
    assert(state->arena == NULL && !state->is_started);
    struct arena           arena;
    struct state_Execution record = { 0 };
    struct error           why = { 0 };
    arena_init(&arena, SIZE_MAX);
    enum status status = pb_decode(&pb_state_Execution, snapshot, &arena, &record, &why);
    if (status != ST_OK)
        status = error_set(error, ST_DATA_LOSS, "a snapshot cannot be decoded: %s", why.message);
    else
        status = execution_from(state, &record, error);
    arena_release(&arena);
    return status;
}
