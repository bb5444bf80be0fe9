/* chain.c: how runs end, and what follows them: continue-as-new, retry, cron. */
#include "base/mutant.h"
#include "engine/callback.h"
#include "engine/cron.h"
#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/fold.h"
#include "engine/retry.h"
#include "engine/run.h"
#include "engine/workflow_task.h"

/* A chain does not spin: the next run begins at least this long after the one before began. */
#define RUN_INTERVAL_MIN_NS NS_PER_S

const struct history_HistoryEvent *cold_event(struct env *env, struct decision *decision, int64_t event_id,
                                              struct arena *arena)
{
    const struct event_range *cold = &env->cold;
    if (event_id >= cold->first_event_id && event_id < cold->first_event_id + (int64_t)cold->count) {
        struct history_HistoryEvent *event;
        struct error                 error = { 0 };
        if (event_decode(cold->events[event_id - cold->first_event_id], arena, &event, &error) == ST_OK &&
            event->event_id == event_id)
            return event;
    }
    *decision = (struct decision){ .needs = true, .need_from = event_id, .need_to = event_id };
    return NULL;
}

void execution_terminate(struct draft *draft, struct bytes reason, struct bytes details,
                         struct bytes identity)
{
    execution_terminate_linked(draft, reason, details, identity, NULL, 0);
}

void execution_terminate_linked(struct draft *draft, struct bytes reason, struct bytes details,
                                struct bytes identity, const struct bytes *links, size_t links_count)
{
    task_force_close(draft);
    struct history_WorkflowExecutionTerminatedEventAttributes terminated = { .reason = reason,
                                                                             .identity = identity };
    if (details.size != 0)
        terminated.details = details;
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
                                                   &terminated);
    event.links = (void *)(uintptr_t)links;
    event.links_count = links_count;
    draft_event(draft, &event);
}

/* --- the next run --- */

static struct workflow_ResetPoints *points_of(const struct execution *state, const struct env *env,
                                              struct arena *arena)
{
    const struct namespace_config *namespace = env->namespace;
    if (state->reset_point_count == 0)
        return NULL;
    struct workflow_ResetPoints *points = ARENA_NEW(arena, struct workflow_ResetPoints);
    points->points_count = state->reset_point_count;
    points->points = ARENA_NEW_ARRAY(arena, struct workflow_ResetPointInfo, state->reset_point_count);
    for (uint32_t i = 0; i < state->reset_point_count; i++) {
        const struct reset_point       *point = &state->reset_points[i];
        struct workflow_ResetPointInfo *info = &points->points[i];
        info->binary_checksum = point->checksum;
        info->build_id = point->build_id;
        info->run_id = point->run_id.size != 0 ? point->run_id : uuid_text(arena, &state->run_id);
        info->first_workflow_task_completed_id = point->completed_event_id;
        info->create_time = timestamp_or_null(arena, point->create_time);
        /* Until the run that has the point is past its retention. */
        info->expire_time = point->expire_time != 0 || namespace == NULL
                                ? timestamp_or_null(arena, point->expire_time)
                                : timestamp_of_ns(arena, time_add(env->now, namespace->retention_ns));
        info->resettable = !point->not_resettable;
    }
    return points;
}

static int64_t backoff_at_least(const struct draft *draft, int64_t backoff)
{
    int64_t lifetime = MAX(draft->env->now - draft->state->execution_time, 0);
    return lifetime < RUN_INTERVAL_MIN_NS ? MAX(backoff, RUN_INTERVAL_MIN_NS - lifetime) : backoff;
}

struct next_run {
    struct entity_identity                                 identity;
    struct bytes                                           run_id; /* text */
    int32_t                                                initiator, retry_state;
    int64_t                                                backoff;
    const struct history_HistoryEvent                     *first_event;
    struct history_WorkflowExecutionStartedEventAttributes started;
};

/* What all next runs have in common with the first event of this one. False: that event has to be fetched. */
static bool next_begin(struct draft *draft, struct decision *decision, int32_t initiator, int64_t backoff,
                       struct next_run *next)
{
    const struct execution *state = draft->state;
    next->first_event = cold_event(draft->env, decision, 1, draft->arena);
    if (next->first_event == NULL)
        return false;
    next->identity = run_identity(draft->env, state, draft_uuid(draft));
    next->run_id = uuid_text(draft->arena, &next->identity.run_id);
    next->initiator = initiator;
    next->backoff = backoff;
    next->started = *(const struct history_WorkflowExecutionStartedEventAttributes *)event_attributes(
        next->first_event);
    struct history_WorkflowExecutionStartedEventAttributes *started = &next->started;
    started->identity = BYTES_EMPTY;
    started->eager_execution_accepted = false;
    started->initiator = initiator;
    started->attempt = initiator == enums_CONTINUE_AS_NEW_INITIATOR_RETRY
                           ? state->attempt + !MUTANT(retried_run_attempt_kept)
                           : 1;
    started->continued_execution_run_id = uuid_text(draft->arena, &state->run_id);
    started->first_execution_run_id = uuid_text(draft->arena, &state->first_run_id);
    started->original_execution_run_id = next->run_id;
    started->first_workflow_task_backoff = duration_of_ns(draft->arena, backoff);
    started->prev_auto_reset_points = points_of(state, draft->env, draft->arena);
    started->continued_failure = BYTES_EMPTY;
    /* Also those that were attached later. */
    started->completion_callbacks = callbacks_encoded(state, draft->arena,
                                                      &started->completion_callbacks_count);
    return true;
}

static void next_create(struct draft *draft, struct decision *decision, struct next_run *next)
{
    struct run_create create = {
        .identity = next->identity,
        .started = &next->started,
        .request_id = draft_uuid_text(draft),
        .links = next->first_event->links,
        .links_count = next->first_event->links_count,
        .backoff = next->backoff,
    };
    run_create(draft->env, draft->arena, decision, &create, NULL);
}

/* Whether a failed run is tried again, or goes on by its cron. *ret_follows says whether there is a next run. */
static bool next_after_failure(struct draft *draft, struct decision *decision, struct bytes failure,
                               struct next_run *next, bool *ret_follows)
{
    const struct execution *state = draft->state;
    struct retry_question   question = { .policy = state->retry_policy,
                                         .attempt = state->attempt,
                                         .failure = failure,
                                         .now = draft->env->now,
                                         .expiration = state->execution_expiration,
                                         .caps_delay = true };
    struct retry_answer     answer = retry_decide(&question, draft->arena);
    *ret_follows = false;
    int64_t backoff = -1;
    int32_t initiator = enums_CONTINUE_AS_NEW_INITIATOR_RETRY;
    if (answer.state == enums_RETRY_STATE_IN_PROGRESS) {
        backoff = backoff_at_least(draft, answer.delay);
    } else if (state->cron.size != 0) {
        initiator = enums_CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE;
        backoff = cron_backoff(state->cron, state->execution_time, draft->env->now);
    }
    *next = (struct next_run){ .retry_state = answer.state };
    if (backoff < 0)
        return true;
    if (!next_begin(draft, decision, initiator, backoff, next))
        return false;
    next->retry_state = answer.state;
    next->started.continued_failure = failure;
    if (initiator == enums_CONTINUE_AS_NEW_INITIATOR_RETRY)
        next->started.last_completion_result = BYTES_EMPTY;
    else
        next->started.completion_callbacks_count = 0;
    *ret_follows = true;
    return true;
}

/* --- closes --- */

bool execution_time_out(struct draft *draft, struct decision *decision, bool whole_execution)
{
    struct next_run next = { .retry_state = enums_RETRY_STATE_TIMEOUT };
    bool            follows = false;
    if (!whole_execution) {
        if (!next_after_failure(draft, decision, failure_run_timeout(draft->arena), &next, &follows))
            return false;
    }
    task_force_close(draft);
    struct history_WorkflowExecutionTimedOutEventAttributes timed_out = {
        .retry_state = next.retry_state, .new_execution_run_id = next.run_id
    };
    draft_write(draft, enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT, &timed_out);
    if (follows)
        next_create(draft, decision, &next);
    return true;
}

static void write_with_metadata(struct draft *draft, int32_t type, const void *attributes,
                                struct bytes user_metadata)
{
    struct history_HistoryEvent event = event_make(type, attributes);
    event.user_metadata = user_metadata;
    draft_event(draft, &event);
}

bool execution_complete(struct draft *draft, struct decision *decision, int64_t task_completed_id,
                        struct bytes result, struct bytes user_metadata)
{
    const struct execution *state = draft->state;
    struct next_run         next = { 0 };
    int64_t                 backoff = state->cron.size == 0
                                          ? -1
                                          : cron_backoff(state->cron, state->execution_time, draft->env->now);
    if (backoff >= 0) {
        if (!next_begin(draft, decision, enums_CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE, backoff, &next))
            return false;
        next.started.last_completion_result = result;
        next.started.completion_callbacks_count = 0;
    }
    struct history_WorkflowExecutionCompletedEventAttributes completed = {
        .result = result,
        .workflow_task_completed_event_id = task_completed_id,
        .new_execution_run_id = next.run_id
    };
    write_with_metadata(draft, enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, &completed, user_metadata);
    if (backoff >= 0)
        next_create(draft, decision, &next);
    return true;
}

bool execution_fail(struct draft *draft, struct decision *decision, int64_t task_completed_id,
                    struct bytes failure, struct bytes user_metadata)
{
    struct next_run next;
    bool            follows;
    if (!next_after_failure(draft, decision, failure, &next, &follows))
        return false;
    struct history_WorkflowExecutionFailedEventAttributes failed = {
        .failure = failure,
        .retry_state = next.retry_state,
        .workflow_task_completed_event_id = task_completed_id,
        .new_execution_run_id = next.run_id
    };
    write_with_metadata(draft, enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, &failed, user_metadata);
    if (follows)
        next_create(draft, decision, &next);
    return true;
}

/* The new run takes what the command gives; what it does not give is the old run's only where the event says so. */
static void continue_started(struct draft *draft, struct next_run *next,
                             const struct command_ContinueAsNewWorkflowExecutionCommandAttributes *command)
{
    struct history_WorkflowExecutionStartedEventAttributes *started = &next->started;
    const struct execution                                 *state = draft->state;
    if (command->workflow_type != NULL && command->workflow_type->name.size != 0)
        started->workflow_type = command->workflow_type;
    if (command->task_queue != NULL && command->task_queue->name.size != 0) {
        started->task_queue = ARENA_NEW(draft->arena, struct taskqueue_TaskQueue);
        started->task_queue->name = command->task_queue->name;
        started->task_queue->kind = enums_TASK_QUEUE_KIND_NORMAL;
    }
    if (!MUTANT(continued_run_loses_input))
        started->input = command->input;
    started->header = command->header;
    started->memo = fields_merge(BYTES_EMPTY, command->memo, draft->arena);
    started->search_attributes = fields_merge(BYTES_EMPTY, command->search_attributes, draft->arena);
    started->retry_policy = command->retry_policy;
    started->cron_schedule = command->cron_schedule;
    started->continued_failure = command->failure;
    started->last_completion_result = command->last_completion_result;
    int64_t run_timeout = duration_ns(command->workflow_run_timeout);
    if (run_timeout <= 0)
        run_timeout = state->run_timeout;
    if (state->execution_timeout != 0)
        run_timeout = run_timeout == 0 ? state->execution_timeout
                                       : MIN(run_timeout, state->execution_timeout);
    int64_t task_timeout = duration_ns(command->workflow_task_timeout);
    if (task_timeout <= 0)
        task_timeout = state->task_timeout;
    task_timeout = MIN(task_timeout, draft->env->limits->workflow_task_timeout_max_ns);
    started->workflow_run_timeout = duration_of_ns(draft->arena,
                                                   run_timeout); /* there also when it is none */
    started->workflow_task_timeout = duration_of_ns(draft->arena, run_timeout == 0
                                                                      ? task_timeout
                                                                      : MIN(task_timeout, run_timeout));
}

bool execution_continue_as_new(struct draft *draft, struct decision *decision, int64_t task_completed_id,
                               const struct command_ContinueAsNewWorkflowExecutionCommandAttributes *command,
                               struct bytes user_metadata)
{
    struct next_run next;
    int64_t         backoff = backoff_at_least(draft, MAX(duration_ns(command->backoff_start_interval), 0));
    int32_t         initiator = command->initiator != 0 ? command->initiator
                                                        : enums_CONTINUE_AS_NEW_INITIATOR_WORKFLOW;
    if (!next_begin(draft, decision, initiator, backoff, &next))
        return false;
    next.started.attempt = 1; /* whoever is named as the initiator */
    continue_started(draft, &next, command);
    struct history_WorkflowExecutionContinuedAsNewEventAttributes continued = {
        .new_execution_run_id = next.run_id,
        .workflow_type = next.started.workflow_type,
        .task_queue = next.started.task_queue,
        .input = command->input,
        .workflow_run_timeout = next.started.workflow_run_timeout,
        .workflow_task_timeout = next.started.workflow_task_timeout,
        .workflow_task_completed_event_id = task_completed_id,
        .backoff_start_interval = command->backoff_start_interval,
        .initiator = command->initiator,
        .failure = command->failure,
        .last_completion_result = command->last_completion_result,
        .header = command->header,
        .memo = next.started.memo,
        .search_attributes = next.started.search_attributes,
        .inherit_build_id = command->inherit_build_id,
        .initial_versioning_behavior = command->initial_versioning_behavior,
    };
    write_with_metadata(draft, enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, &continued,
                        user_metadata);
    next_create(draft, decision, &next);
    return true;
}
