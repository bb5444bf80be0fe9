/* fold.c: the effects of events and changes. */
#include "engine/fold.h"
#include "base/mutant.h"

#include "engine/activity_operator.h"
#include "engine/child.h"
#include "engine/close.h"
#include "engine/external.h"
#include "engine/options.h"
#include "engine/pause.h"
#include "engine/reset.h"
#include "engine/update.h"

/* --- memo and search attributes --- */

static bool payload_removes(struct bytes encoded, struct arena *arena)
{
    struct common_Payload payload = { 0 };
    struct error          error;
    if (encoded.base == NULL || encoded.size == 0)
        return true;
    if (pb_decode(&pb_common_Payload, encoded, arena, &payload, &error) != ST_OK)
        return false;
    for (size_t i = 0; i < payload.metadata_count; i++)
        if (bytes_equal_text(payload.metadata[i].key, "encoding") &&
            bytes_equal_text(payload.metadata[i].value, "binary/null"))
            return true;
    return bytes_equal_text(payload.data, "[]");
}

struct bytes fields_merge(struct bytes base, struct bytes changes, struct arena *arena)
{
    struct common_Memo old = { 0 }, new = { 0 }, merged = { 0 };
    struct error       error;
    if ((base.size != 0 && pb_decode(&pb_common_Memo, base, arena, &old, &error) != ST_OK) ||
        (changes.size != 0 && pb_decode(&pb_common_Memo, changes, arena, &new, &error) != ST_OK))
        return base;
    merged.fields = arena_must(
        arena_zalloc(arena, old.fields_count + new.fields_count + 1, sizeof(*merged.fields)));
    for (size_t i = 0; i < old.fields_count + new.fields_count; i++) {
        bool                     is_new = i >= old.fields_count;
        __typeof__(*old.fields) *field = is_new ? &new.fields[i - old.fields_count] : &old.fields[i];
        size_t                   at = 0;
        while (at < merged.fields_count && !bytes_equal(merged.fields[at].key, field->key))
            at++;
        if (is_new && payload_removes(field->value, arena)) {
            if (at < merged.fields_count)
                merged.fields[at] = merged.fields[--merged.fields_count];
        } else {
            merged.fields[at] = *field;
            merged.fields_count += at == merged.fields_count;
        }
    }
    return merged.fields_count == 0 ? BYTES_EMPTY : pb_encode_arena(&pb_common_Memo, &merged, arena);
}

/* --- effects of events, by type. `id` is 0 while the event waits in the buffer. --- */

static enum status inconsistent(struct error *error, int32_t type)
{
    return error_set(error, ST_DATA_LOSS, "history does not fit: an event of type %d in this state", type);
}

static void started_points(struct execution *state, const struct workflow_ResetPoints *points)
{
    if (points == NULL)
        return;
    for (size_t i = 0; i < points->points_count; i++) {
        const struct workflow_ResetPointInfo *info = &points->points[i];
        struct reset_point                    point = { .checksum = info->binary_checksum,
                                                        .build_id = info->build_id,
                                                        .run_id = info->run_id,
                                                        .completed_event_id = info->first_workflow_task_completed_id,
                                                        .create_time = timestamp_ns(info->create_time),
                                                        .expire_time = timestamp_ns(info->expire_time),
                                                        .not_resettable = !info->resettable };
        execution_reset_point_add(state, &point);
    }
}

static void callbacks_add(struct execution *state, const struct bytes *encoded, size_t count,
                          struct bytes request_id, int64_t time)
{
    for (size_t i = 0; i < count; i++) {
        struct callback callback = { .encoded = encoded[i],
                                     .request_id = request_id,
                                     .registration_time = time,
                                     .state = enums_CALLBACK_STATE_STANDBY };
        execution_callback_add(state, &callback);
    }
}

static enum status effect_started(struct fold *fold, const struct history_HistoryEvent *event, int64_t time,
                                  struct error *error)
{
    const struct history_WorkflowExecutionStartedEventAttributes *started = event_attributes(event);
    struct execution                                             *state = fold->state;
    if (state->is_started || state->next_event_id != 1)
        return inconsistent(error, event->event_type);
    state->is_started = true;
    state->status = enums_WORKFLOW_EXECUTION_STATUS_RUNNING;
    execution_set(state, &state->type,
                  started->workflow_type == NULL ? BYTES_EMPTY : started->workflow_type->name);
    execution_set(state, &state->queue,
                  started->task_queue == NULL ? BYTES_EMPTY : started->task_queue->name);
    if (!uuid_parse(started->first_execution_run_id, &state->first_run_id))
        state->first_run_id = state->run_id;
    if (!uuid_parse(started->original_execution_run_id, &state->original_run_id))
        state->original_run_id = state->run_id;
    if (started->retry_policy != NULL)
        execution_set(state, &state->retry_policy,
                      pb_encode_arena(&pb_common_RetryPolicy, started->retry_policy, fold->arena));
    execution_set(state, &state->cron, started->cron_schedule);
    execution_set(state, &state->memo, started->memo);
    execution_set(state, &state->search_attributes, started->search_attributes);
    execution_set(state, &state->priority, started->priority);
    if (started->versioning_override != NULL)
        execution_set(state, &state->versioning_override,
                      pb_encode_arena(&pb_workflow_VersioningOverride, started->versioning_override,
                                      fold->arena));
    state->execution_timeout = duration_ns(started->workflow_execution_timeout);
    state->run_timeout = duration_ns(started->workflow_run_timeout);
    state->task_timeout = duration_ns(started->workflow_task_timeout);
    state->attempt = started->attempt;
    int64_t backoff = duration_ns(started->first_workflow_task_backoff);
    state->start_time = time;
    state->execution_time = time_add(time, backoff);
    state->backoff_pending = backoff > 0;
    state->execution_expiration = timestamp_ns(started->workflow_execution_expiration_time);
    if (state->run_timeout != 0)
        state->run_expiration = time_add(state->execution_time, state->run_timeout);
    if (state->execution_expiration != 0 && state->run_expiration > state->execution_expiration)
        state->run_expiration = state->execution_expiration;
    state->has_user_metadata = event->user_metadata.base != NULL;
    started_points(state, started->prev_auto_reset_points);
    child_effect_started(state, started);
    callbacks_add(state, started->completion_callbacks, started->completion_callbacks_count, BYTES_EMPTY,
                  time);
    return ST_OK;
}

static void effect_task_scheduled(struct execution *state, const struct history_HistoryEvent *event,
                                  int64_t id, int64_t time)
{
    const struct history_WorkflowTaskScheduledEventAttributes *scheduled = event_attributes(event);
    execution_task_clear(state);
    state->task = (struct workflow_task){
        .is_pending = true,
        .is_sticky = scheduled->task_queue != NULL &&
                     scheduled->task_queue->kind == enums_TASK_QUEUE_KIND_STICKY,
        .attempt = scheduled->attempt,
        .scheduled_event_id = id,
        .scheduled_time = time,
        .original_scheduled_time = time,
        .timeout = duration_ns(scheduled->start_to_close_timeout),
    };
    state->backoff_pending = state->awaits_parent = false;
}

uint32_t fold_suggest_bits(const int32_t *reasons, size_t count)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++)
        if (reasons[i] > 0 && reasons[i] < 32)
            bits |= UINT32_C(1) << reasons[i];
    return bits;
}

void fold_task_started(struct execution *state, int64_t time, struct bytes identity, struct bytes request_id,
                       int64_t history_size, uint32_t suggest)
{
    state->task.started_time = time;
    state->task.sequence = 0;
    state->task.history_size = history_size;
    state->task.suggest = suggest;
    execution_set(state, &state->task.identity, identity);
    execution_set(state, &state->task.request_id, request_id);
}

static enum status effect_task_started(struct execution *state, const struct history_HistoryEvent *event,
                                       int64_t id, int64_t time, struct error *error)
{
    const struct history_WorkflowTaskStartedEventAttributes *started = event_attributes(event);
    if (!state->task.is_pending)
        return inconsistent(error, event->event_type);
    state->task.started_event_id = id;
    fold_task_started(state, time, started->identity, started->request_id, started->history_size_bytes,
                      fold_suggest_bits(started->suggest_continue_as_new_reasons,
                                        started->suggest_continue_as_new_reasons_count));
    return ST_OK;
}

static void effect_task_completed(struct execution *state, const struct history_HistoryEvent *event,
                                  int64_t id, int64_t time)
{
    const struct history_WorkflowTaskCompletedEventAttributes *completed = event_attributes(event);
    execution_task_clear(state);
    state->previous_started_event_id = completed->started_event_id;
    state->close_blocked = false;
    state->problem_count = 0;
    struct reset_point point = { .checksum = completed->binary_checksum,
                                 .completed_event_id = id,
                                 .create_time = time,
                                 .not_resettable = state->child_count != 0 ||
                                                   state->external_signal_count != 0 ||
                                                   state->external_cancel_count != 0 };
    if (completed->worker_version != NULL)
        point.build_id = completed->worker_version->build_id;
    if (completed->deployment_version != NULL)
        point.build_id = completed->deployment_version->build_id;
    for (uint32_t i = 0; i < state->reset_point_count; i++)
        if (bytes_equal(state->reset_points[i].checksum, point.checksum) &&
            bytes_equal(state->reset_points[i].build_id, point.build_id))
            return;
    execution_reset_point_add(state, &point);
}

static void task_ended(struct execution *state, bool close_blocked)
{
    execution_task_clear(state);
    if (MUTANT(sticky_queue_kept))
        return;
    execution_set(state, &state->sticky_queue, BYTES_EMPTY);
    state->sticky_timeout = 0;
    state->close_blocked = close_blocked;
}

static enum status effect_activity_scheduled(struct fold *fold, const struct history_HistoryEvent *event,
                                             int64_t id, int64_t time, struct error *error)
{
    const struct history_ActivityTaskScheduledEventAttributes *scheduled = event_attributes(event);
    struct execution                                          *state = fold->state;
    struct activity *activity = execution_activity_add(state, id, scheduled->activity_id);
    if (activity == NULL)
        return inconsistent(error, event->event_type);
    execution_set(state, &activity->type,
                  scheduled->activity_type == NULL ? BYTES_EMPTY : scheduled->activity_type->name);
    execution_set(state, &activity->queue,
                  scheduled->task_queue == NULL ? BYTES_EMPTY : scheduled->task_queue->name);
    if (scheduled->retry_policy != NULL)
        execution_set(state, &activity->retry_policy,
                      pb_encode_arena(&pb_common_RetryPolicy, scheduled->retry_policy, fold->arena));
    execution_set(state, &activity->priority, scheduled->priority);
    activity->schedule_to_close = duration_ns(scheduled->schedule_to_close_timeout);
    activity->schedule_to_start = duration_ns(scheduled->schedule_to_start_timeout);
    activity->start_to_close = duration_ns(scheduled->start_to_close_timeout);
    activity->heartbeat = duration_ns(scheduled->heartbeat_timeout);
    activity->first_scheduled_time = activity->scheduled_time = time;
    activity->attempt = 1;
    return ST_OK;
}

static void effect_closed(struct execution *state, int32_t status, int64_t time, bool is_superseded)
{
    execution_drop_pending(state);
    state->status = status;
    state->close_time = time;
    state->is_superseded = state->is_superseded || is_superseded;
}

static void effect_timer_started(struct execution *state, const struct history_HistoryEvent *event,
                                 int64_t id, int64_t time)
{
    const struct history_TimerStartedEventAttributes *started = event_attributes(event);
    int64_t fires = time_add(time, duration_ns(started->start_to_fire_timeout));
    execution_timer_add(state, started->timer_id, id,
                        MUTANT(timer_rounded_down) ? fires / NS_PER_S * NS_PER_S : fires);
}

static void effect_cancel_requested(struct execution *state, const struct history_HistoryEvent *event,
                                    int64_t id)
{
    const struct history_ActivityTaskCancelRequestedEventAttributes *requested = event_attributes(event);
    struct activity *activity = execution_activity_write(state, requested->scheduled_event_id);
    if (activity == NULL)
        return; /* its end is in the buffer */
    activity->cancel_requested = !MUTANT(activity_cancel_lost);
    activity->cancel_requested_event_id = id;
}

static void effect_signaled(struct execution *state, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionSignaledEventAttributes *signaled = event_attributes(event);
    state->signal_count++;
    if (signaled->request_id.size != 0)
        execution_signal_id_add(state, signaled->request_id);
}

static void effect_options_updated(struct fold *fold, const struct history_HistoryEvent *event, int64_t id)
{
    struct execution                                                    *state = fold->state;
    const struct history_WorkflowExecutionOptionsUpdatedEventAttributes *updated = event_attributes(event);
    if (updated->attached_request_id.size != 0)
        execution_attach(state, updated->attached_request_id, id);
    options_fold(state, updated, fold->arena);
}

/* On arrival, be it in the buffer: at the flush only the id is news. */
static void effect_options_arrived(struct execution *state, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionOptionsUpdatedEventAttributes *updated = event_attributes(event);
    callbacks_add(state, updated->attached_completion_callbacks, updated->attached_completion_callbacks_count,
                  updated->attached_request_id, event_time(event));
}

static int64_t scheduled_id_of_end(const struct history_HistoryEvent *event)
{
    const void *attributes = event_attributes(event);
    switch (event->event_type) {
    case enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        return ((const struct history_ActivityTaskCompletedEventAttributes *)attributes)->scheduled_event_id;
    case enums_EVENT_TYPE_ACTIVITY_TASK_FAILED:
        return ((const struct history_ActivityTaskFailedEventAttributes *)attributes)->scheduled_event_id;
    case enums_EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        return ((const struct history_ActivityTaskTimedOutEventAttributes *)attributes)->scheduled_event_id;
    default:
        return ((const struct history_ActivityTaskCanceledEventAttributes *)attributes)->scheduled_event_id;
    }
}

/* Effects that do not depend on an id, and so may take place on arrival in the buffer. */
static void effect_of_arrival(struct fold *fold, const struct history_HistoryEvent *event, int64_t id)
{
    struct execution *state = fold->state;
    switch (event->event_type) {
    case enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
    case enums_EVENT_TYPE_ACTIVITY_TASK_FAILED:
    case enums_EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
    case enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        execution_activity_remove(state, scheduled_id_of_end(event));
        break;
    case enums_EVENT_TYPE_TIMER_FIRED:
        execution_timer_remove(
            state,
            ((const struct history_TimerFiredEventAttributes *)event_attributes(event))->started_event_id);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        effect_signaled(state, event);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
        state->cancel_requested = true;
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED:
        effect_options_updated(fold, event, id);
        effect_options_arrived(state, event);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED:
        pause_fold(state, event);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED: /* its id comes with the flush */
        break;
    default: /* ActivityTaskStarted comes with its end and says nothing new */
        if (!child_effect(fold, event, id))
            (void)external_effect(state, event, id);
        break;
    }
}

static void effect_fields(struct fold *fold, const struct history_HistoryEvent *event)
{
    struct execution *state = fold->state;
    if (event->event_type == enums_EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES) {
        const struct history_UpsertWorkflowSearchAttributesEventAttributes *upsert = event_attributes(event);
        execution_set(state, &state->search_attributes,
                      fields_merge(state->search_attributes, upsert->search_attributes, fold->arena));
    } else {
        const struct history_WorkflowPropertiesModifiedEventAttributes *modified = event_attributes(event);
        execution_set(state, &state->memo, fields_merge(state->memo, modified->upserted_memo, fold->arena));
    }
}

static int32_t status_of_close(int32_t event_type)
{
    switch (event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return enums_WORKFLOW_EXECUTION_STATUS_COMPLETED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return enums_WORKFLOW_EXECUTION_STATUS_FAILED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        return enums_WORKFLOW_EXECUTION_STATUS_CANCELED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        return enums_WORKFLOW_EXECUTION_STATUS_TERMINATED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW;
    default:
        assert(event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT);
        return enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT;
    }
}

static enum status effect(struct fold *fold, const struct history_HistoryEvent *event, int64_t id,
                          int64_t time, struct error *error)
{
    struct execution *state = fold->state;
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        return effect_started(fold, event, time, error);
    case enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
        effect_task_scheduled(state, event, id, time);
        return ST_OK;
    case enums_EVENT_TYPE_WORKFLOW_TASK_STARTED:
        return effect_task_started(state, event, id, time, error);
    case enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
        effect_task_completed(state, event, id, time);
        return ST_OK;
    case enums_EVENT_TYPE_WORKFLOW_TASK_FAILED: {
        const struct history_WorkflowTaskFailedEventAttributes *failed = event_attributes(event);
        task_ended(state, failed->cause == enums_WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND);
        return ST_OK;
    }
    case enums_EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
        task_ended(state, false);
        return ST_OK;
    case enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        return effect_activity_scheduled(fold, event, id, time, error);
    case enums_EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
        effect_cancel_requested(state, event, id);
        return ST_OK;
    case enums_EVENT_TYPE_TIMER_STARTED:
        effect_timer_started(state, event, id, time);
        return ST_OK;
    case enums_EVENT_TYPE_TIMER_CANCELED:
        execution_timer_remove(
            state,
            ((const struct history_TimerCanceledEventAttributes *)event_attributes(event))->started_event_id);
        return ST_OK;
    case enums_EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
    case enums_EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
        effect_fields(fold, event);
        return ST_OK;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
        return update_effect(state, event, id, error);
    default:
        if (event_has(event->event_type, EVENT_CLOSE))
            effect_closed(state, status_of_close(event->event_type), time, close_continues(event));
        else
            effect_of_arrival(fold, event, id);
        return ST_OK;
    }
}

enum status fold_event(struct fold *fold, const struct history_HistoryEvent *event, size_t size,
                       struct error *error)
{
    struct execution *state = fold->state;
    int64_t           time = event_time(event);
    bool              is_start = event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED;
    if (event->event_id != state->next_event_id)
        return error_set(error, ST_DATA_LOSS, "event %" PRId64 " follows event %" PRId64, event->event_id,
                         state->next_event_id - 1);
    if (is_start == state->is_started || state->close_time != 0)
        return inconsistent(error, event->event_type);
    enum status status = ST_OK;
    if (fold->flush_left != 0) {
        fold->flush_left--;
        if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED)
            effect_options_updated(fold, event, event->event_id); /* now it has an id */
        else if (event->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
            child_effect_flushed(state, event);
        else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED)
            status = update_effect(state, event, event->event_id, error);
    } else {
        status = effect(fold, event, event->event_id, time, error);
    }
    state->next_event_id++;
    state->history_size += (int64_t)size;
    state->last_event_time = MAX(state->last_event_time, time);
    return status;
}

/* --- effects of changes --- */

static enum status change_activity(struct fold *fold, const struct state_Change *change, struct error *error)
{
    struct execution *state = fold->state;
    /* The first field of each is the scheduled event's id. */
    struct activity *activity = execution_activity_write(state, change->activity_ready->scheduled_event_id);
    if (activity == NULL)
        return error_set(error, ST_DATA_LOSS, "a stored change names an activity that is not pending");
    switch (change->kind_case) {
    case CHANGE_ACTIVITY_READY:
        activity->sequence = change->activity_ready->sequence;
        activity->stamp = change->activity_ready->stamp;
        if (change->activity_ready->returned) {
            activity->started_time = 0;
            execution_set(state, &activity->request_id, BYTES_EMPTY);
        }
        break;
    case CHANGE_ACTIVITY_STARTED:
        activity->sequence = 0;
        activity->started_time = activity->volatile_heartbeat = change->time;
        execution_set(state, &activity->identity, change->activity_started->identity);
        execution_set(state, &activity->request_id, change->activity_started->request_id);
        break;
    case CHANGE_ACTIVITY_RETRIED:
        activity->sequence = 0;
        activity->started_time = activity->volatile_heartbeat = 0;
        activity->attempt = change->activity_retried->attempt;
        activity->stamp++;
        activity->scheduled_time = change->activity_retried->scheduled_time;
        activity->last_attempt_complete_time = change->time;
        execution_set(state, &activity->last_failure, change->activity_retried->last_failure);
        execution_set(state, &activity->request_id, BYTES_EMPTY);
        activity_operator_fold_retried(state, activity);
        break;
    default:
        break;
    }
    return ST_OK;
}

static enum status change_heartbeat(struct fold *fold, const struct state_Change *change, bool is_volatile,
                                    struct error *error)
{
    const struct state_ActivityHeartbeat *heartbeat = change->activity_heartbeat;
    struct execution                     *state = fold->state;
    struct activity *activity = execution_activity_write(state, heartbeat->scheduled_event_id);
    if (activity == NULL)
        return error_set(error, ST_DATA_LOSS, "a stored heartbeat names an activity that is not pending");
    activity->volatile_heartbeat = change->time;
    if (is_volatile) {
        if (!heartbeat->has_details)
            return ST_OK;
        activity->has_volatile_details = true;
        execution_set(state, &activity->volatile_details, heartbeat->details);
        return ST_OK;
    }
    activity->heartbeat_time = change->time;
    activity->has_heartbeat_details = heartbeat->details.size != 0;
    execution_set(state, &activity->heartbeat_details, heartbeat->details);
    activity->has_volatile_details = false;
    execution_set(state, &activity->volatile_details, BYTES_EMPTY);
    return ST_OK;
}

static enum status change_callback(struct execution *state, const struct state_Change *change,
                                   struct error *error)
{
    uint32_t index = change->callback_ready->index; /* the first field of both */
    if (index >= state->callback_count)
        return error_set(error, ST_DATA_LOSS, "a stored change names a callback that is not there");
    struct callback *callback = &state->callbacks[index];
    if (change->kind_case == CHANGE_CALLBACK_READY) {
        callback->state = enums_CALLBACK_STATE_SCHEDULED;
        callback->sequence = change->callback_ready->sequence;
        callback->next_time = 0;
        return ST_OK;
    }
    callback->state = change->callback_attempted->state;
    callback->sequence = 0;
    callback->attempt++;
    callback->complete_time = change->time;
    callback->next_time = change->callback_attempted->next_time;
    execution_set(state, &callback->failure, change->callback_attempted->failure);
    return ST_OK;
}

static enum status change_buffered(struct fold *fold, struct bytes encoded, struct error *error)
{
    struct history_HistoryEvent *event;
    enum status                  status = event_decode(encoded, fold->arena, &event, error);
    if (status != ST_OK)
        return status;
    execution_buffer_add(fold->state, encoded);
    effect_of_arrival(fold, event, 0);
    return ST_OK;
}

static void change_task(struct execution *state, const struct state_Change *change)
{
    switch (change->kind_case) {
    case CHANGE_TASK_READY:
        state->task.sequence = change->task_ready->sequence;
        if (change->task_ready->original_scheduled_time != 0)
            state->task.original_scheduled_time = change->task_ready->original_scheduled_time;
        break;
    case CHANGE_TRANSIENT_SCHEDULED:
        execution_task_clear(state);
        state->task = (struct workflow_task){
            .is_pending = true,
            .is_transient = true,
            .attempt = change->transient_scheduled->attempt,
            .scheduled_event_id = state->next_event_id, /* to see whether events have overtaken it */
            .scheduled_time = change->time,
            .original_scheduled_time = change->time,
            .timeout = change->transient_scheduled->timeout,
            .sequence = change->transient_scheduled->sequence,
        };
        state->backoff_pending = false;
        break;
    case CHANGE_TRANSIENT_STARTED: {
        const struct state_TransientStarted *started = change->transient_started;
        fold_task_started(state, change->time, started->identity, started->request_id, started->history_size,
                          fold_suggest_bits(started->suggest_reasons, started->suggest_reasons_count));
        break;
    }
    default:
        task_ended(state, change->transient_ended->close_blocked);
        break;
    }
}

static void change_sticky(struct execution *state, const struct state_Sticky *sticky)
{
    execution_set(state, &state->sticky_queue, sticky->queue);
    state->sticky_timeout = sticky->timeout;
    if (sticky->queue.size == 0 && state->task.started_time == 0)
        state->task.is_sticky = false;
}

enum status fold_change(struct fold *fold, const struct state_Change *change, struct error *error)
{
    struct execution *state = fold->state;
    if (!state->is_started && change->kind_case != CHANGE_CREATED)
        return error_set(error, ST_DATA_LOSS, "a stored change comes before the start");
    state->last_event_time = MAX(state->last_event_time, change->time);
    switch (change->kind_case) {
    case CHANGE_CREATED:
        execution_set(state, &state->start_request_id,
                      MUTANT(start_request_id_not_stored) ? BYTES_EMPTY : change->created->request_id);
        return ST_OK;
    case CHANGE_BUFFERED:
        return change_buffered(fold, change->buffered, error);
    case CHANGE_FLUSHED:
        if (change->flushed != state->buffer_count)
            return error_set(error, ST_DATA_LOSS, "a flush of %u events with %u in the buffer",
                             change->flushed, state->buffer_count);
        fold->flush_left = change->flushed;
        execution_buffer_clear(state);
        return ST_OK;
    case CHANGE_BUFFERED_REMOVED:
        if (change->buffered_removed >= state->buffer_count)
            return error_set(error, ST_DATA_LOSS, "a change removes a buffered event that is not there");
        execution_buffer_remove(state, change->buffered_removed);
        return ST_OK;
    case CHANGE_TASK_READY:
    case CHANGE_TRANSIENT_SCHEDULED:
    case CHANGE_TRANSIENT_STARTED:
    case CHANGE_TRANSIENT_ENDED:
        if (change->kind_case != CHANGE_TRANSIENT_SCHEDULED && !state->task.is_pending)
            return error_set(error, ST_DATA_LOSS,
                             "a stored change names a workflow task that is not pending");
        change_task(state, change);
        return ST_OK;
    case CHANGE_STICKY:
        change_sticky(state, change->sticky);
        return ST_OK;
    case CHANGE_CHILD_RELEASED:
        state->awaits_parent = false;
        return ST_OK;
    case CHANGE_ACTIVITY_READY:
    case CHANGE_ACTIVITY_STARTED:
    case CHANGE_ACTIVITY_RETRIED:
        return change_activity(fold, change, error);
    case CHANGE_ACTIVITY_HEARTBEAT:
        return change_heartbeat(fold, change, false, error);
    case CHANGE_ACTIVITY_PAUSED:
    case CHANGE_ACTIVITY_UNPAUSED:
    case CHANGE_ACTIVITY_RESET:
    case CHANGE_ACTIVITY_OPTIONS:
    case CHANGE_ACTIVITY_RESCHEDULED:
        return activity_operator_fold(fold, change, error);
    case CHANGE_TASK_PROBLEM:
        state->problem_count++;
        state->problem_cause = change->task_problem->failed_cause;
        state->problem_timeout_type = change->task_problem->timeout_type;
        return ST_OK;
    case CHANGE_FORKED:
        fold_forked(fold, change);
        return ST_OK;
    case CHANGE_SUPERSEDED:
        state->is_superseded = change->superseded;
        return ST_OK;
    case CHANGE_RESET_TO:
        fold_reset_to(state, change->reset_to);
        return ST_OK;
    case CHANGE_LATE_ANSWER:
        return fold_late_answer(fold, change->late_answer, error);
    case CHANGE_CALLBACK_READY:
    case CHANGE_CALLBACK_ATTEMPTED:
        return change_callback(state, change, error);
    case CHANGE_UPDATE_FORGOTTEN:
        return update_change_forgotten(state, change->update_forgotten, error);
    default:
        return error_set(error, ST_DATA_LOSS, "a stored change of unknown kind %d", change->kind_case);
    }
}

static enum status change_speculative(struct execution *state, const struct state_Change *change,
                                      struct error *error)
{
    struct workflow_task *task = &state->task;
    switch (change->kind_case) {
    case CHANGE_SPECULATIVE_SCHEDULED:
        if (task->is_pending)
            return error_set(error, ST_DATA_LOSS, "a workflow task is pending beside a speculative one");
        *task = (struct workflow_task){
            .is_pending = true,
            .is_speculative = true,
            .is_sticky = change->speculative_scheduled->is_sticky,
            .attempt = 1,
            .scheduled_event_id = state->next_event_id,
            .scheduled_time = change->time,
            .original_scheduled_time = change->time,
            .timeout = change->speculative_scheduled->timeout,
            .sequence = change->speculative_scheduled->sequence,
        };
        return ST_OK;
    case CHANGE_SPECULATIVE_STARTED: {
        const struct state_TransientStarted *started = change->speculative_started;
        if (!task->is_speculative)
            break;
        task->started_event_id = task->scheduled_event_id + 1;
        fold_task_started(state, change->time, started->identity, started->request_id, started->history_size,
                          fold_suggest_bits(started->suggest_reasons, started->suggest_reasons_count));
        return ST_OK;
    }
    default: /* what was stored beside it may have put a normal one in its place by now */
        if (task->is_speculative)
            execution_task_clear(state);
        return ST_OK;
    }
    return error_set(error, ST_DATA_LOSS, "a change names a speculative workflow task that is not there");
}

enum status fold_volatile(struct fold *fold, const struct state_Change *change, struct error *error)
{
    switch (change->kind_case) {
    case CHANGE_ACTIVITY_HEARTBEAT:
        return change_heartbeat(fold, change, true, error);
    case CHANGE_UPDATE_WAITS:
    case CHANGE_UPDATES_SENT:
    case CHANGE_UPDATE_GONE:
        update_change_volatile(fold->state, change);
        return ST_OK;
    case CHANGE_SPECULATIVE_SCHEDULED:
    case CHANGE_SPECULATIVE_STARTED:
    case CHANGE_SPECULATIVE_DROPPED:
        return change_speculative(fold->state, change, error);
    default:
        return error_set(error, ST_DATA_LOSS, "a volatile change of kind %d", change->kind_case);
    }
}

/* --- apply --- */

static enum status apply_volatile(struct fold *fold, const struct state_Delta *delta, struct error *error)
{
    for (size_t i = 0; i < delta->changes_count; i++) {
        enum status status = fold_volatile(fold, &delta->changes[i], error);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

static enum status apply_in_order(struct fold *fold, const struct transition_record *record,
                                  const struct state_Delta *delta, struct error *error)
{
    size_t change = 0;
    for (size_t event = 0;; event++) {
        for (; change < delta->changes_count && delta->changes[change].after <= event; change++) {
            enum status status = fold_change(fold, &delta->changes[change], error);
            if (status != ST_OK)
                return status;
        }
        if (event == record->event_count)
            break;
        struct history_HistoryEvent *decoded;
        enum status status = event_decode(record->events[event], fold->arena, &decoded, error);
        if (status == ST_OK)
            status = fold_event(fold, decoded, record->events[event].size, error);
        if (status != ST_OK)
            return status;
    }
    if (change != delta->changes_count || fold->flush_left != 0)
        return error_set(error, ST_DATA_LOSS, "a stored transition has changes past its last event");
    fold->state->transitions++;
    return ST_OK;
}

enum status execution_apply(struct execution *execution, const struct transition_record *record,
                            struct error *error)
{
    struct arena       arena;
    struct state_Delta delta = { 0 };
    struct error       why = { 0 };
    arena_init(&arena, SIZE_MAX);
    enum status status = pb_decode(&pb_state_Delta, record->delta, &arena, &delta, &why);
    if (status != ST_OK) {
        status = error_set(error, ST_DATA_LOSS, "a stored transition cannot be decoded: %s", why.message);
    } else {
        struct fold fold = { .state = execution, .arena = &arena };
        status = delta.is_volatile ? apply_volatile(&fold, &delta, error)
                                   : apply_in_order(&fold, record, &delta, error);
    }
    arena_release(&arena);
    return status;
}
