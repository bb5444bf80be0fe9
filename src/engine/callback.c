/* callback.c: completion callbacks. */
#include "engine/callback.h"

#include "base/hash.h"
#include "base/mutant.h"
#include "engine/close.h"
#include "engine/execution.h"
#include "engine/workflow_task.h"

#define BACKOFF_FIRST_NS NS_PER_S
#define BACKOFF_MAX_NS   (3600 * NS_PER_S)

/* The host of a URL, with its port: what callbacks to one place have in common. */
static struct bytes authority_of(struct bytes url)
{
    size_t at = 0;
    while (at + 2 < url.size && memcmp(url.base + at, "://", 3) != 0)
        at++;
    if (at + 2 >= url.size)
        return BYTES_EMPTY;
    size_t begin = at += 3;
    while (at < url.size && url.base[at] != '/' && url.base[at] != '?' && url.base[at] != '#')
        at++;
    return bytes_of(url.base + begin, at - begin);
}

/* Callbacks to one place share a queue, so that a place that does not answer holds up few others. */
static void callback_ready(struct draft *draft, uint32_t index)
{
    const struct callback *callback = &draft->state->callbacks[index];
    struct common_Callback decoded = { 0 };
    struct bytes           url = BYTES_EMPTY;
    if (pb_decode(&pb_common_Callback, callback->encoded, draft->arena, &decoded, NULL) == ST_OK &&
        decoded.variant_case == 2)
        url = decoded.nexus->url;
    uint64_t            queue = hash_stable(authority_of(url)) % CALLBACK_QUEUES;
    struct store_ready *row = draft_ready(draft, STORE_TASK_CALLBACK, BYTES_EMPTY);
    row->queue = arena_printf(draft->arena, CALLBACK_QUEUE_FORMAT, (unsigned)queue);
    row->namespace_number =
        0; /* one set of queues for all; the namespace stands in the key, and is fair's unit */
    row->fairness_key = arena_copy(draft->arena, draft->state->namespace_id);
    row->priority = 1;
    row->scheduled_event_id = index;
    row->stamp = callback->attempt + 1;
    DRAFT_CHANGE(draft, CHANGE_CALLBACK_READY, callback_ready, state_CallbackReady, .index = index,
                 .sequence = row->sequence);
}

static bool carried_on(const struct history_HistoryEvent *close)
{
    const void *attributes = event_attributes(close);
    if (!close_continues(close))
        return false;
    switch (close->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return ((const struct history_WorkflowExecutionFailedEventAttributes *)attributes)->retry_state ==
               enums_RETRY_STATE_IN_PROGRESS;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return ((const struct history_WorkflowExecutionTimedOutEventAttributes *)attributes)->retry_state ==
               enums_RETRY_STATE_IN_PROGRESS;
    default:
        return close->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW;
    }
}

void callbacks_trigger(struct draft *draft, const struct history_HistoryEvent *close)
{
    if (draft->state->callback_count == 0 || carried_on(close) || MUTANT(callback_not_scheduled))
        return;
    for (uint32_t i = 0; i < draft->state->callback_count; i++)
        if (draft->state->callbacks[i].state == enums_CALLBACK_STATE_STANDBY)
            callback_ready(draft, i);
}

enum status callbacks_room(const struct execution *live, size_t more, const struct env *env,
                           struct error *error)
{
    size_t present = live->callback_count;
    if (present + more <= env->limits->callbacks_max)
        return ST_OK;
    return error_set(
        error, ST_FAILED_PRECONDITION,
        "CompletionCallbacks: cannot attach more than %zu callbacks to a workflow (%zu callbacks "
        "already attached).",
        env->limits->callbacks_max, present);
}

struct bytes *callbacks_encoded(const struct execution *state, struct arena *arena, size_t *ret_count)
{
    struct bytes *encoded = ARENA_NEW_ARRAY(arena, struct bytes, state->callback_count + 1);
    for (uint32_t i = 0; i < state->callback_count; i++)
        encoded[i] = arena_copy(arena, state->callbacks[i].encoded);
    *ret_count = state->callback_count;
    return encoded;
}

void callbacks_due(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision)
{
    struct draft draft;
    draft_begin(&draft, live, env, request->base.arena);
    for (uint32_t i = 0; i < live->callback_count; i++)
        if (live->callbacks[i].state == enums_CALLBACK_STATE_BACKING_OFF &&
            live->callbacks[i].next_time <= env->now)
            callback_ready(&draft, i);
    decision_finish(&draft, decision);
}

static void callback_attempted(struct draft *draft, uint32_t index, int32_t state, struct bytes failure,
                               int64_t next_time)
{
    draft_unready(draft, draft->state->callbacks[index].sequence);
    DRAFT_CHANGE(draft, CHANGE_CALLBACK_ATTEMPTED, callback_attempted, state_CallbackAttempted,
                 .index = index, .state = state, .failure = failure, .next_time = next_time);
}

void callbacks_drop(struct draft *draft)
{
    for (uint32_t i = 0; i < draft->state->callback_count; i++)
        if (draft->state->callbacks[i].sequence != 0)
            callback_attempted(draft, i, enums_CALLBACK_STATE_FAILED, BYTES_EMPTY, 0);
}

/* --- in the hands of who delivers --- */

/* NULL: there is no such task any more. */
static const struct callback *callback_of(const struct execution *live, struct workflow_request *request)
{
    int64_t index = request->task.scheduled_event_id;
    if (index >= 0 && index < live->callback_count && live->callbacks[index].sequence != 0 &&
        live->callbacks[index].sequence == request->task.sequence)
        return &live->callbacks[index];
    request->stale = true;
    return NULL;
}

void decide_callback_load(const struct execution *live, struct workflow_request *request, struct env *env,
                          struct decision *decision)
{
    struct arena          *arena = request->base.arena;
    const struct callback *callback = callback_of(live, request);
    if (callback == NULL)
        return;
    const struct history_HistoryEvent *close = cold_event(env, decision, live->next_event_id - 1, arena);
    if (close == NULL)
        return;
    struct bytes run_id = uuid_text(arena, &live->run_id);
    struct bytes workflow_id = arena_copy(arena, live->workflow_id);
    bool         attached = callback->request_id.size != 0;
    request->callback = (struct workflow_callback){
        .encoded = arena_copy(arena, callback->encoded),
        .close = close,
        .start_time = live->start_time,
        .close_time = live->close_time,
        .link = attached ? link_to_request(arena, env->namespace, workflow_id, run_id,
                                           arena_copy(arena, callback->request_id),
                                           enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED)
                         : link_to_event(arena, env->namespace, workflow_id, run_id, 1,
                                         enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED),
    };
}

/* 1 s, doubled each time up to an hour, and up to a fifth less, so that many do not come at once. */
static int64_t backoff(struct draft *draft, int32_t attempt)
{
    int64_t interval = attempt > 13 ? BACKOFF_MAX_NS : MIN(BACKOFF_FIRST_NS << (attempt - 1), BACKOFF_MAX_NS);
    return interval / 1000 * (800 + draft_random_permille(draft) / 5);
}

void decide_callback_report(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision)
{
    const struct callback *callback = callback_of(live, request);
    if (callback == NULL)
        return;
    int32_t      state = enums_CALLBACK_STATE_SUCCEEDED;
    int64_t      next_time = 0;
    struct draft draft;
    draft_begin(&draft, live, env, request->base.arena);
    if (request->payload.size != 0) {
        state = request->callback_retry ? enums_CALLBACK_STATE_BACKING_OFF : enums_CALLBACK_STATE_FAILED;
        if (request->callback_retry)
            next_time = time_add(env->now, MUTANT(callback_retried_at_once)
                                               ? 1
                                               : backoff(&draft, callback->attempt + 1));
    }
    callback_attempted(&draft, (uint32_t)request->task.scheduled_event_id, state, request->payload,
                       next_time);
    decision_finish(&draft, decision);
}

/* --- readers --- */

/* Between the server and itself: nothing that a client has asked for. */
static bool is_internal(const struct callback *callback, struct arena *arena)
{
    struct common_Callback decoded = { 0 };
    return pb_decode(&pb_common_Callback, arena_copy(arena, callback->encoded), arena, &decoded, NULL) ==
               ST_OK &&
           decoded.variant_case == 3;
}

void callbacks_describe(const struct execution *live, struct arena *arena,
                        struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    response->callbacks = ARENA_NEW_ARRAY(arena, struct workflow_CallbackInfo, live->callback_count + 1);
    for (uint32_t i = 0; i < live->callback_count; i++) {
        const struct callback *callback = &live->callbacks[i];
        if (is_internal(callback, arena))
            continue;
        struct workflow_CallbackInfo *info = &response->callbacks[response->callbacks_count++];
        info->callback = arena_copy(arena, callback->encoded);
        info->trigger = ARENA_NEW(arena, struct workflow_CallbackInfo_Trigger);
        info->trigger->variant_case = 1;
        info->trigger->workflow_closed = ARENA_NEW(arena, struct workflow_CallbackInfo_WorkflowClosed);
        info->registration_time = timestamp_or_null(arena, callback->registration_time);
        info->state = callback->state;
        info->attempt = callback->attempt;
        info->last_attempt_complete_time = timestamp_or_null(arena, callback->complete_time);
        if (callback->failure.size != 0)
            info->last_attempt_failure = arena_copy(arena, callback->failure);
        info->next_attempt_schedule_time = timestamp_or_null(arena, callback->next_time);
        info->request_id = arena_copy(arena, callback->request_id.size != 0 ? callback->request_id
                                                                            : live->start_request_id);
    }
}
