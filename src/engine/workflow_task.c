/* workflow_task.c: the life of workflow tasks. */
#include "engine/workflow_task.h"
#include "base/hash.h"
#include "base/mutant.h"

#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/server_attributes.h"
#include "engine/update.h"

#define BACKOFF_FROM_ATTEMPT 4
#define BACKOFF_FIRST_NS     (5 * NS_PER_S)
#define BACKOFF_MAX_NS       (600 * NS_PER_S)

/* A worker that does not answer is not hammered: from the fourth attempt on it gets longer and longer. */
static int64_t attempt_timeout(struct draft *draft, int32_t attempt)
{
    int64_t base = draft->state->task_timeout;
    if (attempt < BACKOFF_FROM_ATTEMPT)
        return base;
    int     doublings = MIN(attempt - BACKOFF_FROM_ATTEMPT, 10);
    int64_t more = MIN(BACKOFF_FIRST_NS << doublings, BACKOFF_MAX_NS);
    return time_add(base, more / 1000 * (800 + draft_random_permille(draft) / 5));
}

static struct taskqueue_TaskQueue *queue_message(struct arena *arena, struct bytes name,
                                                 struct bytes normal_of_sticky)
{
    struct taskqueue_TaskQueue *queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    queue->name = arena_copy(arena, name);
    queue->kind = normal_of_sticky.size != 0 ? enums_TASK_QUEUE_KIND_STICKY : enums_TASK_QUEUE_KIND_NORMAL;
    queue->normal_name = arena_copy(arena, normal_of_sticky);
    return queue;
}

static void priority_to_row(const struct execution *state, struct arena *arena, struct store_ready *row)
{
    draft_row_priority(row, state->priority, BYTES_EMPTY, arena);
}

void task_schedule(struct draft *draft, struct task_schedule_options options)
{
    struct execution *state = draft->state;
    assert(!state->task.is_pending && execution_is_open(state));
    draft->wants_task = false;
    if (execution_is_paused(state) && !MUTANT(pause_ignored))
        return; /* the end of the pause schedules one */
    bool                is_sticky = state->sticky_queue.size != 0 && options.attempt == 1;
    bool                is_transient = options.attempt > 1;
    int64_t             timeout = attempt_timeout(draft, options.attempt);
    struct store_ready *row = NULL;
    if (!options.without_row) {
        row = draft_ready(draft, STORE_TASK_WORKFLOW, is_sticky ? state->sticky_queue : state->queue);
        row->normal_queue = is_sticky ? arena_copy(draft->arena, state->queue) : BYTES_EMPTY;
        priority_to_row(state, draft->arena, row);
        row->stamp = options.attempt;
    }
    store_number sequence = row == NULL ? 0 : row->sequence;
    if (is_transient) {
        DRAFT_CHANGE(draft, CHANGE_TRANSIENT_SCHEDULED, transient_scheduled, state_TransientScheduled,
                     .attempt = options.attempt, .timeout = timeout, .sequence = sequence);
    } else {
        struct history_WorkflowTaskScheduledEventAttributes scheduled = {
            .task_queue = is_sticky ? queue_message(draft->arena, state->sticky_queue, state->queue)
                                    : queue_message(draft->arena, state->queue, BYTES_EMPTY),
            .start_to_close_timeout = duration_of_ns(draft->arena, timeout),
            .attempt = 1,
        };
        draft_write(draft, enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, &scheduled);
        if (sequence != 0 || options.original_scheduled_time != 0)
            DRAFT_CHANGE(draft, CHANGE_TASK_READY, task_ready, state_TaskReady, .sequence = sequence,
                         .original_scheduled_time = options.original_scheduled_time);
    }
    if (row != NULL)
        row->scheduled_event_id = task_scheduled_event_id(state);
}

void task_offer_again(struct draft *draft)
{
    const struct execution *state = draft->state;
    assert(state->task.is_pending && state->task.started_time == 0 && !execution_is_paused(state));
    bool is_sticky = state->task.is_sticky;
    draft_unready(draft, state->task.sequence);
    struct store_ready *row = draft_ready(draft, STORE_TASK_WORKFLOW,
                                          is_sticky ? state->sticky_queue : state->queue);
    row->normal_queue = is_sticky ? arena_copy(draft->arena, state->queue) : BYTES_EMPTY;
    row->scheduled_event_id = task_scheduled_event_id(state);
    row->stamp = state->task.attempt;
    priority_to_row(state, draft->arena, row);
    DRAFT_CHANGE(draft, CHANGE_TASK_READY, task_ready, state_TaskReady, .sequence = row->sequence);
}

/* --- speculative tasks --- */

static void offer_speculative(struct draft *draft, bool is_sticky)
{
    const struct execution *state = draft->state;
    struct store_ready     *offer = draft_offer(draft, is_sticky ? state->sticky_queue : state->queue);
    offer->normal_queue = is_sticky ? arena_copy(draft->arena, state->queue) : BYTES_EMPTY;
    offer->scheduled_event_id = state->next_event_id;
    offer->stamp = 1;
    priority_to_row(state, draft->arena, offer);
}

void task_schedule_speculative(struct draft *draft, bool is_started_here)
{
    const struct execution *state = draft->state;
    assert(!state->task.is_pending && execution_is_open(state) && state->buffer_count == 0);
    bool is_sticky = state->sticky_queue.size != 0;
    if (!is_started_here)
        offer_speculative(draft, is_sticky);
    struct state_SpeculativeScheduled *scheduled = ARENA_NEW(draft->arena, struct state_SpeculativeScheduled);
    *scheduled = (struct state_SpeculativeScheduled){ .timeout = attempt_timeout(draft, 1),
                                                      .sequence = is_started_here ? 0
                                                                                  : draft->offer->sequence,
                                                      .is_sticky = is_sticky };
    draft_volatile(draft, (struct state_Change){ .kind_case = CHANGE_SPECULATIVE_SCHEDULED,
                                                 .speculative_scheduled = scheduled });
}

/* The events that the delivered task showed, now with the same ids for good. */
void task_write_virtual(struct draft *draft)
{
    struct bytes *events;
    size_t        count = task_virtual_events(draft->state, draft->arena, &events);
    draft->materializing = true;
    for (size_t i = 0; i < count; i++) {
        struct history_HistoryEvent *event;
        struct error                 error = { 0 };
        if (event_decode(events[i], draft->arena, &event, &error) != ST_OK)
            panic("a virtual event does not decode: %s", error.message);
        draft_event(draft, event);
    }
    draft->materializing = false;
    /* A reset may go back to before the completion, unless something arrived while the task was virtual: that is told of
     * with the completion only. */
    if (task_is_started(draft->state) && draft->state->buffer_count == 0)
        draft_cut(draft);
}

void task_materialize(struct draft *draft)
{
    struct execution *state = draft->state;
    if (!state->task.is_speculative || draft->materializing)
        return;
    if (MUTANT(speculative_task_left_virtual)) {
        task_drop_speculative(draft);
        draft->wants_task = true;
        return;
    }
    bool is_started = task_is_started(state);
    draft->offer = NULL;
    task_write_virtual(draft);
    if (!is_started)
        task_offer_again(draft);
}

/* Who waits for the task to end, for instance with a query, sees no history grow: it is told. */
void task_drop_speculative(struct draft *draft)
{
    draft_tell(draft, BYTES_EMPTY, UPDATE_TASK_GONE, BYTES_EMPTY);
    draft_volatile(draft, (struct state_Change){ .kind_case = CHANGE_SPECULATIVE_DROPPED,
                                                 .speculative_dropped = true });
}

/* --- start --- */

struct suggestion {
    int32_t reasons[3];
    size_t  count;
};

static struct suggestion suggest(const struct execution *state, const struct limits *limits)
{
    struct suggestion suggestion = { .count = 0 };
    if (state->history_size >= (int64_t)limits->suggest_size)
        suggestion.reasons[suggestion.count++] = enums_SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE;
    if (state->next_event_id - 1 >= (int64_t)limits->suggest_events)
        suggestion.reasons[suggestion.count++] = enums_SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS;
    if (updates_suggest_continue(state, limits))
        suggestion.reasons[suggestion.count++] = enums_SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_UPDATES;
    return suggestion;
}

static struct history_WorkflowTaskStartedEventAttributes started_attributes(const struct execution *state,
                                                                            struct arena           *arena)
{
    const struct workflow_task                       *task = &state->task;
    struct history_WorkflowTaskStartedEventAttributes started = {
        .scheduled_event_id = task_scheduled_event_id(state),
        .identity = task->identity,
        .request_id = task->request_id,
        .suggest_continue_as_new = task->suggest != 0,
        .history_size_bytes = task->history_size,
    };
    started.suggest_continue_as_new_reasons = ARENA_NEW_ARRAY(arena, int32_t, 32);
    for (int32_t reason = 1; reason < 32; reason++)
        if ((task->suggest >> reason & 1) != 0)
            started.suggest_continue_as_new_reasons[started.suggest_continue_as_new_reasons_count++] = reason;
    return started;
}

static void task_start_virtual(struct draft *draft, struct task_start_options options,
                               struct suggestion suggestion)
{
    struct state_TransientStarted *started = ARENA_NEW(draft->arena, struct state_TransientStarted);
    int32_t                       *reasons = ARENA_NEW_ARRAY(draft->arena, int32_t, 3);
    memcpy(reasons, suggestion.reasons, sizeof(suggestion.reasons));
    *started = (struct state_TransientStarted){ .identity = options.identity,
                                                .request_id = options.request_id,
                                                .history_size = draft->state->history_size,
                                                .suggest_reasons = reasons,
                                                .suggest_reasons_count = suggestion.count };
    if (draft->state->task.is_speculative)
        draft_volatile(draft, (struct state_Change){ .kind_case = CHANGE_SPECULATIVE_STARTED,
                                                     .speculative_started = started });
    else
        draft_change(draft, (struct state_Change){ .kind_case = CHANGE_TRANSIENT_STARTED,
                                                   .transient_started = started });
}

void task_start(struct draft *draft, struct task_start_options options)
{
    struct execution *state = draft->state;
    assert(state->task.is_pending && state->task.started_time == 0);
    if (!state->task.is_speculative)
        draft_unready(draft, state->task.sequence);
    if (state->task.is_transient && state->task.scheduled_event_id != state->next_event_id) {
        struct history_WorkflowTaskScheduledEventAttributes scheduled = {
            .task_queue = queue_message(draft->arena, state->queue, BYTES_EMPTY),
            .start_to_close_timeout = duration_of_ns(draft->arena, state->task_timeout),
            .attempt = 1,
        };
        draft_write(draft, enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, &scheduled);
    }
    struct suggestion suggestion = suggest(state, draft->env->limits);
    if (task_is_virtual(state)) {
        task_start_virtual(draft, options, suggestion);
        return;
    }
    struct history_WorkflowTaskStartedEventAttributes started = {
        .scheduled_event_id = state->task.scheduled_event_id,
        .identity = options.identity,
        .request_id = options.request_id,
        .history_size_bytes = options.eager ? 0 : state->history_size,
        .suggest_continue_as_new = suggestion.count != 0,
        .suggest_continue_as_new_reasons = suggestion.reasons,
        .suggest_continue_as_new_reasons_count = suggestion.count,
    };
    draft_write(draft, enums_EVENT_TYPE_WORKFLOW_TASK_STARTED, &started);
}

/* --- ends --- */

static void write_failed(struct draft *draft, const struct task_failure *failure)
{
    const struct workflow_task                      *task = &draft->state->task;
    struct history_WorkflowTaskFailedEventAttributes failed = {
        .scheduled_event_id = task->scheduled_event_id,
        .started_event_id = task->started_event_id,
        .cause = failure->cause,
        .failure = failure->failure,
        .identity = failure->identity,
        .binary_checksum = failure->binary_checksum,
        .worker_version = (void *)(uintptr_t)failure->worker_version,
    };
    draft_write(draft, enums_EVENT_TYPE_WORKFLOW_TASK_FAILED, &failed);
}

static void write_timed_out(struct draft *draft, int32_t type)
{
    const struct workflow_task                        *task = &draft->state->task;
    struct history_WorkflowTaskTimedOutEventAttributes timed_out = {
        .scheduled_event_id = task->scheduled_event_id,
        .started_event_id = type == enums_TIMEOUT_TYPE_SCHEDULE_TO_START ? 0 : task->started_event_id,
        .timeout_type = type,
    };
    draft_write(draft, enums_EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT, &timed_out);
}

void task_fail(struct draft *draft, const struct task_failure *failure)
{
    task_materialize(draft);
    struct workflow_task was = draft->state->task;
    assert(was.is_pending && was.started_time != 0);
    if (failure->counts && !was.is_sticky)
        DRAFT_CHANGE(draft, CHANGE_TASK_PROBLEM, task_problem, state_TaskProblem,
                     .failed_cause = failure->timed_out ? 0 : failure->cause,
                     .timeout_type = failure->timed_out ? enums_TIMEOUT_TYPE_START_TO_CLOSE : 0);
    draft->row_changed |= execution_reports_problems(draft->state);
    if (was.is_transient)
        DRAFT_CHANGE(draft, CHANGE_TRANSIENT_ENDED, transient_ended, state_TransientEnded,
                     .close_blocked = failure->cause == enums_WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND);
    else if (failure->timed_out)
        write_timed_out(draft, enums_TIMEOUT_TYPE_START_TO_CLOSE);
    else
        write_failed(draft, failure);
    bool    flushed = draft_flush(draft) != 0;
    int32_t attempt = was.attempt + (failure->counts ? 1 : 0);
    if (was.is_sticky || flushed)
        attempt = 1;
    if (failure->buffer_overflow)
        attempt = was.attempt + 1;
    if (!failure->is_last)
        task_schedule(draft, (struct task_schedule_options){ .attempt = attempt });
}

void task_time_out_unstarted(struct draft *draft)
{
    assert(draft->state->task.is_pending && draft->state->task.started_time == 0);
    task_materialize(draft);
    draft_unready(draft, draft->state->task.sequence);
    write_timed_out(draft, enums_TIMEOUT_TYPE_SCHEDULE_TO_START);
    task_schedule(draft, (struct task_schedule_options){ .attempt = 1 });
}

void task_force_close(struct draft *draft)
{
    if (!task_is_started(draft->state))
        return; /* what is only scheduled, or virtual, goes without a trace */
    struct task_failure failure = { .cause = enums_WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
                                    .identity = IDENTITY_SERVER,
                                    .is_last = true };
    task_fail(draft, &failure);
}

/* --- the end of a decision --- */

static void settle_buffer(struct draft *draft)
{
    const struct execution *state = draft->state;
    const struct limits    *limits = draft->env->limits;
    if (!task_is_started(state) || (state->buffer_count <= limits->buffered_events_max &&
                                    state->buffer_size <= limits->buffered_bytes_max))
        return;
    struct task_failure failure = { .cause = enums_WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
                                    .identity = IDENTITY_SERVER,
                                    .counts = true,
                                    .buffer_overflow = true };
    task_fail(draft, &failure);
}

static void settle_history(struct draft *draft)
{
    const struct execution *state = draft->state;
    const struct limits    *limits = draft->env->limits;
    struct bytes            reason = BYTES_EMPTY;
    if (state->next_event_id - 1 > (int64_t)limits->history_events_max)
        reason = BYTES("Workflow history count exceeds limit.");
    else if (state->history_size > (int64_t)limits->history_size_max)
        reason = BYTES("Workflow history size exceeds limit.");
    else if (draft->live != NULL &&
             draft->live->memory - execution_updates(draft->live)->waiting_size > limits->state_size_max)
        reason = BYTES("Workflow mutable state size exceeds limit.");
    if (reason.size != 0)
        execution_terminate(draft, reason, BYTES_EMPTY, IDENTITY_SERVER);
}

void draft_settle(struct draft *draft, bool in_backoff)
{
    struct execution *state = draft->state;
    if (!execution_is_open(state))
        return;
    settle_buffer(draft);
    if (draft->wants_task && !state->task.is_pending && !state->awaits_parent &&
        (in_backoff || !state->backoff_pending))
        task_schedule(draft, (struct task_schedule_options){ .attempt = 1 });
    /* An update does not wait for a first task that is far away. */
    if (updates_wait(state) && !state->task.is_pending && !state->awaits_parent &&
        !execution_is_paused(state))
        task_schedule_speculative(draft, false);
    settle_history(draft);
}

static void notice(struct decision *decision, const char *limit, int64_t before, int64_t now, size_t warn)
{
    if (before > (int64_t)warn || now <= (int64_t)warn)
        return;
    assert(decision->notice_count < LIMIT_NOTICES_MAX);
    decision->notices[decision->notice_count++] = (struct limit_notice){ limit, now };
}

void decision_finish(struct draft *draft, struct decision *decision)
{
    if (draft_is_empty(draft))
        return;
    const struct limits *limits = draft->env->limits;
    notice(decision, "history-size-warn", draft->live->history_size, draft->state->history_size,
           limits->history_size_warn);
    notice(decision, "history-events-warn", draft->live->next_event_id - 1, draft->state->next_event_id - 1,
           limits->history_events_warn);
    decision->changes = true;
    draft_finish(draft, &decision->self);
}

/* --- delivery --- */

/* Tells two starts of one attempt apart, also those at one moment: while a clock that was put back catches up, time stands
 * still, and a speculative task may be lost with the memory and start again. */
static int64_t start_stamp(const struct execution *state)
{
    return (int64_t)(hash_stable(state->task.request_id) >> 1);
}

struct task_ref task_started_ref(const struct execution *state)
{
    return (struct task_ref){
        .namespace_id = state->namespace_id,
        .workflow_id = state->workflow_id,
        .run_id = state->run_id,
        .kind = STORE_TASK_WORKFLOW,
        .scheduled_event_id = task_scheduled_event_id(state),
        .started_event_id = task_started_event_id(state),
        .started_time = state->task.started_time,
        .attempt = state->task.attempt,
        .stamp = start_stamp(state),
    };
}

static struct task_ref token_of(const struct execution *state, struct arena *arena)
{
    struct task_ref token = task_started_ref(state);
    token.namespace_id = arena_copy(arena, state->namespace_id);
    token.workflow_id = arena_copy(arena, state->workflow_id);
    return token;
}

bool task_matches(const struct execution *state, const struct task_ref *token)
{
    if (!task_is_started(state) || token->kind != STORE_TASK_WORKFLOW || token->is_query)
        return false;
    struct task_ref started = task_started_ref(state);
    return MUTANT(stale_task_token) || task_same_start(token, &started);
}

size_t task_virtual_events(const struct execution *state, struct arena *arena, struct bytes **ret_events)
{
    const struct workflow_task *task = &state->task;
    *ret_events = NULL;
    if (!task->is_pending || !task_is_virtual(state))
        return 0;
    bool          is_sticky = task->is_sticky && state->sticky_queue.size != 0;
    struct bytes *events = ARENA_NEW_ARRAY(arena, struct bytes, 2);
    struct history_WorkflowTaskScheduledEventAttributes scheduled = {
        .task_queue = is_sticky ? queue_message(arena, state->sticky_queue, state->queue)
                                : queue_message(arena, state->queue, BYTES_EMPTY),
        .start_to_close_timeout = duration_of_ns(arena, task->timeout),
        .attempt = task->attempt,
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, &scheduled);
    event.event_id = event.task_id = task_scheduled_event_id(state);
    event.event_time = timestamp_or_null(arena, task->scheduled_time);
    events[0] = event_encode(&event, arena);
    *ret_events = events;
    if (task->started_time == 0)
        return 1;
    struct history_WorkflowTaskStartedEventAttributes started = started_attributes(state, arena);
    event = event_make(enums_EVENT_TYPE_WORKFLOW_TASK_STARTED, &started);
    event.event_id = event.task_id = task_started_event_id(state);
    event.event_time = timestamp_or_null(arena, task->started_time);
    events[1] = event_encode(&event, arena);
    return 2;
}

struct common_WorkflowExecution *execution_message(const struct execution *state, struct arena *arena)
{
    struct common_WorkflowExecution *message = ARENA_NEW(arena, struct common_WorkflowExecution);
    message->workflow_id = arena_copy(arena, state->workflow_id);
    message->run_id = uuid_text(arena, &state->run_id);
    return message;
}

struct workflowservice_PollWorkflowTaskQueueResponse *task_response(const struct execution *state,
                                                                    struct arena           *arena)
{
    struct workflowservice_PollWorkflowTaskQueueResponse *response =
        ARENA_NEW(arena, struct workflowservice_PollWorkflowTaskQueueResponse);
    response->workflow_execution = execution_message(state, arena);
    response->workflow_type = ARENA_NEW(arena, struct common_WorkflowType);
    response->workflow_type->name = arena_copy(arena, state->type);
    response->previous_started_event_id = state->previous_started_event_id;
    response->workflow_execution_task_queue = queue_message(arena, state->queue, BYTES_EMPTY);
    response->attempt = 1;
    if (task_is_started(state)) {
        struct task_ref token = token_of(state, arena);
        response->task_token = task_token_encode(&token, arena);
        response->started_event_id = task_started_event_id(state);
        response->attempt = state->task.attempt;
        response->scheduled_time = timestamp_or_null(arena, state->task.scheduled_time);
        response->started_time = timestamp_or_null(arena, state->task.started_time);
    }
    return response;
}

void task_delivery(const struct execution *state, struct arena *arena, bool full_history,
                   struct workflow_delivery *ret_delivery)
{
    *ret_delivery = (struct workflow_delivery){
        .branch = state->number,
        .prefix = execution_prefix_copy(state, arena),
        .prefix_count = execution_lineage(state)->prefix_count,
        .first_event_id = full_history ? 1 : state->previous_started_event_id + 1,
        .last_event_id = task_is_virtual(state) ? state->next_event_id - 1 : state->task.started_event_id,
        .run_id = state->run_id,
        .task = token_of(state, arena),
        .attach_queries = true,
    };
    ret_delivery->virtual_event_count = task_virtual_events(state, arena, &ret_delivery->virtual_events);
}

/* --- requests --- */

void decide_task_start(const struct execution *live, struct workflow_request *request, struct env *env,
                       struct decision *decision)
{
    const struct workflow_task *task = &live->task;
    struct arena               *arena = request->base.arena;
    bool                        full = !request->poll.sticky;
    if (!execution_is_open(live) || !task->is_pending) {
        request->stale = true;
        return;
    }
    if (task->started_time != 0) { /* the same poll asks again: its first answer was lost on the way */
        request->stale = request->poll.request_id.size == 0 ||
                         (!bytes_equal(task->request_id, request->poll.request_id) &&
                          !MUTANT(task_given_twice));
        if (!request->stale) {
            struct draft again;
            draft_begin(&again, live, env, arena);
            request->response = task_response(live, arena);
            updates_send(&again, true, request->response);
            request->has_delivery = true;
            task_delivery(live, arena, full || !task->is_sticky, &request->delivery);
            decision_finish(&again, decision);
        }
        return;
    }
    if (task->sequence != request->task.sequence) {
        request->stale = true;
        return;
    }
    struct draft draft;
    draft_begin(&draft, live, env, arena);
    if (task->is_speculative && !updates_wait(live)) { /* there is nothing left to tell a worker */
        request->stale = true;
        task_drop_speculative(&draft);
        decision_finish(&draft, decision);
        return;
    }
    if (!request->poll.sticky && live->sticky_queue.size != 0) /* the worker that knew the run is gone */
        DRAFT_CHANGE(&draft, CHANGE_STICKY, sticky, state_Sticky, .timeout = 0);
    task_start(&draft, (struct task_start_options){ .identity = request->poll.identity,
                                                    .request_id = request->poll.request_id });
    request->response = task_response(draft.state, arena);
    updates_send(&draft, true, request->response);
    request->has_delivery = true;
    task_delivery(draft.state, arena, full, &request->delivery);
    decision_finish(&draft, decision);
}

void decide_task_return(const struct execution *live, struct workflow_request *request, struct env *env,
                        struct decision *decision)
{
    if (!task_matches(live, &request->token)) {
        request->stale = true;
        return;
    }
    struct draft        draft;
    struct task_failure timed_out = { .timed_out = true };
    draft_begin(&draft, live, env, request->base.arena);
    if (live->task.is_speculative) { /* nobody has seen it: the next one is the same again */
        task_drop_speculative(&draft);
        if (updates_wait(live))
            task_schedule_speculative(&draft, false);
    } else {
        task_fail(&draft, &timed_out);
    }
    draft_settle(&draft, false);
    decision_finish(&draft, decision);
}

void decide_task_fail(const struct execution *live, struct workflow_request *request, struct env *env,
                      struct decision *decision)
{
    const struct workflowservice_RespondWorkflowTaskFailedRequest *input = request->input;
    struct arena                                                  *arena = request->base.arena;
    if (!task_matches(live, &request->token)) {
        error_not_found(&request->base.error, arena, "Workflow task not found.");
        return;
    }
    struct draft draft;
    draft_begin(&draft, live, env, arena);
    request->response = ARENA_NEW(arena, struct workflowservice_RespondWorkflowTaskFailedResponse);
    if (input->cause == enums_WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE) {
        execution_terminate(&draft, BYTES("GrpcMessageTooLarge"), BYTES_EMPTY, IDENTITY_SERVER);
    } else {
        size_t              size_max = env->limits->payload_size_max;
        struct task_failure failure = {
            .cause = input->cause,
            .failure = input->failure.size <= size_max
                           ? input->failure
                           : failure_bounded(arena, input->failure, kept_of_large(env->limits), true),
            .identity = input->identity,
            .binary_checksum = input->binary_checksum,
            .worker_version = input->worker_version,
            .counts = true,
        };
        task_fail(&draft, &failure);
        draft_settle(&draft, false);
    }
    decision_finish(&draft, decision);
}

void decide_reset_sticky(const struct execution *live, struct workflow_request *request, struct env *env,
                         struct decision *decision)
{
    struct draft draft;
    request->response = ARENA_NEW(request->base.arena, struct workflowservice_ResetStickyTaskQueueResponse);
    struct bytes only = request->poll.queue;
    if (live->sticky_queue.size == 0 || (only.size != 0 && !bytes_equal(live->sticky_queue, only)))
        return;
    draft_begin(&draft, live, env, request->base.arena);
    const struct workflow_task *task = &draft.state->task;
    bool                        moves = task->is_pending && task->is_sticky && task->started_time == 0;
    if (task->is_sticky) /* a worker that has it was shown this queue in its events */
        task_materialize(&draft);
    DRAFT_CHANGE(&draft, CHANGE_STICKY, sticky, state_Sticky, .timeout = 0);
    if (moves) /* the same task, for whoever polls the normal queue */
        task_offer_again(&draft);
    decision_finish(&draft, decision);
}
