/* reset.c: a run begins again from an earlier workflow task of it. */
#include "engine/reset.h"
#include "base/mutant.h"

#include "engine/activity.h"
#include "engine/activity_operator.h"
#include "engine/child.h"
#include "engine/execution.h"
#include "engine/external.h"
#include "engine/failure.h"
#include "engine/message.h"
#include "engine/options.h"
#include "engine/run.h"
#include "engine/workflow_task.h"
#include "shard/number.h"

#define IDENTITY_RESETTER BYTES("history-resetter")

/* --- the fold --- */

/* As when it was scheduled, but now: who had an attempt of it has nothing to say here. */
static void activity_begin_again(struct fold *fold, int64_t scheduled_event_id, int64_t now)
{
    struct execution *state = fold->state;
    struct activity  *activity = execution_activity_write(state, scheduled_event_id);
    struct bytes     *texts[] = { &activity->identity, &activity->request_id, &activity->last_failure,
                                  &activity->heartbeat_details, &activity->volatile_details };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        execution_set(state, texts[i], BYTES_EMPTY);
    activity->first_scheduled_time = activity->scheduled_time = now;
    activity->started_time = activity->heartbeat_time = activity->last_attempt_complete_time = 0;
    activity->volatile_heartbeat = activity->loaded_time = 0;
    activity->has_heartbeat_details = activity->has_volatile_details = false;
    activity->was_reset = activity->resets_heartbeat = false;
    execution_set_pause(state, &activity->pause, NULL);
    activity->attempt = 1;
    activity->stamp = 0;
    activity->sequence = 0;
    if (activity->original_options.size != 0)
        activity_operator_restore(fold, activity);
}

void fold_forked(struct fold *fold, const struct state_Change *change)
{
    const struct state_Forked *forked = change->forked;
    struct execution          *state = fold->state;
    int64_t                    now = change->time;
    struct lineage            *lineage = execution_lineage_write(state);
    execution_set(state, &lineage->reset_run_id, BYTES_EMPTY);
    lineage->reset_event_id = 0;
    execution_set(state, &lineage->reset_request_id, forked->request_id);
    if (lineage->original_start_time == 0)
        lineage->original_start_time = state->start_time;
    execution_prefix_set(state, forked->prefix, forked->prefix_count);
    execution_resets_set(state, forked->resets, forked->resets_count);
    state->start_time = state->execution_time = now;
    state->execution_expiration = state->execution_timeout == 0 ? 0 : time_add(now, state->execution_timeout);
    state->run_expiration = state->run_timeout == 0 ? 0 : time_add(now, state->run_timeout);
    if (state->execution_expiration != 0 && state->run_expiration > state->execution_expiration)
        state->run_expiration = state->execution_expiration;
    state->backoff_pending = state->close_blocked = state->is_superseded = false;
    state->task.sequence = 0;
    for (uint32_t i = 0; i < state->activity_count; i++)
        activity_begin_again(fold, state->activities[i].scheduled_event_id, now);
}

/* The array has room for one more. */
static size_t resets_of(const struct lineage *lineage, struct state_Reset resets[RESETS_KNOWN_MAX + 1])
{
    assert(lineage->reset_count <= RESETS_KNOWN_MAX);
    for (uint32_t i = 0; i < lineage->reset_count; i++)
        resets[i] = (struct state_Reset){ .request_id = lineage->resets[i].request_id,
                                          .run_id = lineage->resets[i].run_id };
    return lineage->reset_count;
}

void fold_reset_to(struct execution *state, const struct state_ResetTo *reset_to)
{
    struct lineage *lineage = execution_lineage_write(state);
    execution_set(state, &lineage->reset_run_id, reset_to->run_id);
    lineage->reset_event_id = reset_to->event_id;
    state->is_superseded = true;
    if (reset_to->request_id.size == 0)
        return; /* written before requests were remembered here */
    struct state_Reset resets[RESETS_KNOWN_MAX + 1];
    size_t             count = resets_of(lineage, resets);
    resets[count++] = (struct state_Reset){ .request_id = reset_to->request_id, .run_id = reset_to->run_id };
    execution_resets_set(state, resets, count);
}

/* --- what is applied again --- */

static bool is_kept(int32_t type)
{
    switch (type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
    case enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
    case enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
    case enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
    case enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
    case enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
        return true;
    default:
        return false;
    }
}

static bool keep(struct bytes event)
{
    return is_kept(event_peek_type(event));
}

struct reset {
    struct workflow_request                                    *request;
    const struct workflowservice_ResetWorkflowExecutionRequest *input;
    struct env                                                 *env;
    struct arena                                               *arena;
    struct decision                                            *decision;
    const struct execution                                     *live, *base;
    bool                                                        without_signals, without_updates, without_all;
    bool         beyond_base; /* events of runs that the base has continued as are being applied */
    struct draft created;
    struct bytes run_id; /* the new one, as text */
};

static void exclusions(struct reset *reset)
{
    const struct workflowservice_ResetWorkflowExecutionRequest *input = reset->input;
    bool excluded[enums_RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST + 1] = { false };
    if (input->reset_reapply_type == enums_RESET_REAPPLY_TYPE_SIGNAL ||
        input->reset_reapply_type == enums_RESET_REAPPLY_TYPE_NONE)
        excluded[enums_RESET_REAPPLY_EXCLUDE_TYPE_UPDATE] = true;
    if (input->reset_reapply_type == enums_RESET_REAPPLY_TYPE_NONE)
        excluded[enums_RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL] = true;
    for (size_t i = 0; i < input->reset_reapply_exclude_types_count; i++) {
        int32_t type = input->reset_reapply_exclude_types[i];
        if (type > 0 && (size_t)type < ARRAY_COUNT(excluded))
            excluded[type] = true;
    }
    reset->without_signals = excluded[enums_RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL];
    reset->without_updates = excluded[enums_RESET_REAPPLY_EXCLUDE_TYPE_UPDATE];
    reset->without_all = true;
    for (size_t i = 1; i < ARRAY_COUNT(excluded); i++)
        reset->without_all = reset->without_all && excluded[i];
}

static void apply_signal(struct draft *draft, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionSignaledEventAttributes *old = event_attributes(event);
    struct history_WorkflowExecutionSignaledEventAttributes signaled = { .signal_name = old->signal_name,
                                                                         .input = old->input,
                                                                         .identity = old->identity,
                                                                         .header = old->header,
                                                                         .request_id = old->request_id };
    struct history_HistoryEvent again = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, &signaled);
    again.links = event->links;
    again.links_count = event->links_count;
    draft_event(draft, &again);
}

/* An accepted update that was admitted by an event before has its request there. */
static void apply_update(struct draft *draft, const struct history_HistoryEvent *event)
{
    struct history_WorkflowExecutionUpdateAdmittedEventAttributes admitted = {
        .origin = enums_UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY
    };
    if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED)
        admitted = *(const struct history_WorkflowExecutionUpdateAdmittedEventAttributes *)event_attributes(
            event);
    else
        admitted.request =
            ((const struct history_WorkflowExecutionUpdateAcceptedEventAttributes *)event_attributes(event))
                ->accepted_request;
    if (admitted.request != NULL)
        draft_write(draft, enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED, &admitted);
}

static void apply_options(struct draft *draft, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionOptionsUpdatedEventAttributes *old = event_attributes(event);
    if (old->attached_request_id.size != 0 && old->attached_completion_callbacks_count != 0 &&
        execution_attached(draft->state, old->attached_request_id) != NULL)
        return;
    struct history_HistoryEvent again = event_make(event->event_type, old);
    again.links = event->links;
    again.links_count = event->links_count;
    draft_event(draft, &again);
}

/* What became of a child that is pending at the cut. Where the base goes on in other runs, their children are others. */
static void apply_child(struct draft *draft, const struct history_HistoryEvent *event)
{
    const struct child *child = execution_child(draft->state, child_initiated_id(event));
    bool                starts = event->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED ||
                  event->event_type == enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED;
    if (child == NULL || starts == child->is_started)
        return;
    struct history_HistoryEvent again = event_make(event->event_type, event_attributes(event));
    const int64_t               started[1][2] = { { child->initiated_event_id, child->started_event_id } };
    event_patch_started_id(&again, started, 1);
    draft_event(draft, &again);
}

static void apply_again(struct reset *reset, struct bytes encoded)
{
    struct draft                *draft = &reset->created;
    struct history_HistoryEvent *event;
    struct error                 error;
    if (!keep(encoded))
        return;
    if (event_decode(encoded, reset->arena, &event, &error) != ST_OK)
        panic("an event that was stored is none: %s", error.message);
    if (!reset->beyond_base)
        external_apply_again(
            draft, event); /* nobody asks the others again, so this is the only result there will be */
    if (reset->without_all)
        return;
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        if (!reset->without_signals && !MUTANT(reset_loses_signals))
            apply_signal(draft, event);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
        if (!reset->without_updates)
            apply_update(draft, event);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED:
        apply_options(draft, event);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        reset->beyond_base = true;
        break;
    default:
        if (!reset->beyond_base)
            apply_child(draft, event);
        break;
    }
}

/* --- the new run --- */

static struct bytes failure_reset(struct arena *arena, struct bytes reason)
{
    struct failure_ResetWorkflowFailureInfo info = { 0 };
    struct failure_Failure                  failure = { .message = reason, .failure_info_case = 10 };
    failure.reset_workflow_failure_info = &info;
    return pb_encode_arena(&pb_failure_Failure, &failure, arena);
}

/* The history before the cut, by branches: the base's own list as far as that. */
static void prefix_make(struct reset *reset, struct state_Forked *forked)
{
    const struct execution *base = reset->base;
    int64_t               last = reset->input->workflow_task_finish_event_id - 1 - MUTANT(reset_prefix_short);
    const struct lineage *of = execution_lineage(base);
    forked->prefix = ARENA_NEW_ARRAY(reset->arena, struct state_HistorySegment, of->prefix_count + 1);
    for (uint32_t i = 0; i <= of->prefix_count; i++) {
        bool    is_own = i == of->prefix_count;
        int64_t end = is_own ? last : MIN(last, of->prefix[i].last_event_id);
        forked->prefix[forked->prefix_count++] = (struct state_HistorySegment){
            .branch = is_own ? base->number : of->prefix[i].branch, .last_event_id = end
        };
        if (end == last)
            break;
    }
}

/* A repetition may come without a run's id: it goes to the current run, by whatever reset that was made. */
static void resets_make(struct reset *reset, struct state_Forked *forked)
{
    const struct lineage *lineage = execution_lineage(reset->live);
    forked->resets = ARENA_NEW_ARRAY(reset->arena, struct state_Reset, RESETS_KNOWN_MAX + 1);
    forked->resets_count = resets_of(lineage, forked->resets);
    if (lineage->reset_request_id.size != 0)
        forked->resets[forked->resets_count++] = (struct state_Reset){
            .request_id = lineage->reset_request_id, .run_id = uuid_text(reset->arena, &reset->live->run_id)
        };
}

static void fail_task(struct reset *reset)
{
    struct draft *draft = &reset->created;
    if (draft->state->task.started_event_id == 0)
        task_start(draft, (struct task_start_options){ .identity = IDENTITY_SERVER });
    struct history_WorkflowTaskFailedEventAttributes failed = {
        .scheduled_event_id = draft->state->task.scheduled_event_id,
        .started_event_id = draft->state->task.started_event_id,
        .cause = enums_WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
        .failure = failure_reset(reset->arena, reset->input->reason),
        .identity = IDENTITY_SERVER,
        .base_run_id = uuid_text(reset->arena, &reset->base->run_id),
        .new_run_id = reset->run_id,
    };
    draft_write(draft, enums_EVENT_TYPE_WORKFLOW_TASK_FAILED, &failed);
}

static void begin_created(struct reset *reset)
{
    struct draft          *draft = &reset->created;
    struct entity_identity identity;
    draft_begin(draft, reset->env->fork->state, reset->env, reset->arena);
    draft->live = NULL;
    draft->row_changed = true;
    identity = run_identity(reset->env, reset->live, draft_uuid(draft));
    identity.namespace_id = arena_copy(reset->arena, identity.namespace_id);
    identity.business_id = arena_copy(reset->arena, identity.business_id);
    draft->state->number = identity.number;
    draft->state->run_id = identity.run_id;
    reset->decision->created_identity = identity;
    reset->run_id = uuid_text(reset->arena, &identity.run_id);
}

/* After the cut, in the order in which it happened; the last that the current run wrote came with its end. */
static void apply_all(struct reset *reset, const struct draft *ended)
{
    const struct fork_view   *fork = reset->env->fork;
    const struct event_range *cold = &reset->env->cold;
    for (size_t i = 0; i < fork->count; i++)
        apply_again(reset, fork->events[i]);
    if (fork->last_run != reset->live->number)
        return;
    for (int64_t id = fork->last_event_id + 1; id < reset->live->next_event_id; id++)
        apply_again(reset, cold->events[id - cold->first_event_id]);
    for (size_t i = 0; ended != NULL && i < ended->event_count; i++)
        apply_again(reset, ended->events[i]);
}

/* False: the caller is told what is wrong with one. */
static bool operations(struct reset *reset)
{
    for (size_t i = 0; i < reset->input->post_reset_operations_count; i++) {
        const struct workflow_PostResetOperation *operation = &reset->input->post_reset_operations[i];
        if (operation->variant_case == 2) {
            struct workflow_WorkflowExecutionOptions merged = { 0 };
            bool                                     changes;
            if (options_change(&reset->created,
                               operation->update_workflow_options->workflow_execution_options,
                               operation->update_workflow_options->update_mask, BYTES_EMPTY, &merged,
                               &changes, &reset->request->base.error) != ST_OK)
                return false;
            continue;
        }
        struct history_WorkflowExecutionSignaledEventAttributes signaled = {
            .signal_name = operation->signal_workflow->signal_name,
            .input = operation->signal_workflow->input,
            .identity = reset->input->identity,
            .header = operation->signal_workflow->header,
        };
        struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
                                                       &signaled);
        event.links = operation->signal_workflow->links;
        event.links_count = operation->signal_workflow->links_count;
        draft_event(&reset->created, &event);
    }
    return true;
}

static bool create(struct reset *reset, const struct draft *ended)
{
    struct draft        *draft = &reset->created;
    struct state_Forked *forked = ARENA_NEW(reset->arena, struct state_Forked);
    forked->request_id = reset->input->request_id;
    prefix_make(reset, forked);
    resets_make(reset, forked);
    draft_change(draft, (struct state_Change){ .kind_case = CHANGE_FORKED, .forked = forked });
    fail_task(reset);
    apply_all(reset, ended);
    messages_apply_late(draft, execution_lineage(reset->base)->late_answers);
    if (!operations(reset))
        return false;
    for (uint32_t i = 0; i < draft->state->activity_count; i++)
        activity_ready(draft, draft->state->activities[i].scheduled_event_id, false);
    task_schedule(draft, (struct task_schedule_options){ .attempt = 1 });
    reset->decision->creates = reset->decision->forks = true;
    draft_finish(draft, &reset->decision->created);
    return true;
}

static void note_reset_run(struct reset *reset, struct draft *draft)
{
    DRAFT_CHANGE(draft, CHANGE_RESET_TO, reset_to, state_ResetTo, .run_id = reset->run_id,
                 .event_id = reset->input->workflow_task_finish_event_id,
                 .request_id = reset->input->request_id);
}

static void answer(struct reset *reset, const struct uuid *run_id, store_number number)
{
    struct workflowservice_ResetWorkflowExecutionResponse *response =
        ARENA_NEW(reset->arena, struct workflowservice_ResetWorkflowExecutionResponse);
    response->run_id = uuid_text(reset->arena, run_id);
    reset->request->response = response;
    reset->request->run_id = *run_id;
    reset->request->run_number = number;
}

/* One commit: the base names the new run, the current one ends, the new one begins. */
static void perform(struct reset *reset)
{
    const struct execution *live = reset->live;
    struct decision        *decision = reset->decision;
    bool                    ends = execution_is_open(live) && !MUTANT(reset_leaves_base_open);
    struct draft            self, other;
    begin_created(reset);
    draft_begin(&self, live, reset->env, reset->arena);
    if (reset->base == live) {
        note_reset_run(reset, &self);
    } else {
        draft_begin(&other, reset->base, reset->env, reset->arena);
        note_reset_run(reset, &other);
        decision->changes_other = true;
        decision->other = reset->base->number;
        draft_finish(&other, &decision->other_self);
    }
    if (ends) {
        self.is_reset = true;
        execution_terminate(&self, reset->input->reason, BYTES_EMPTY, IDENTITY_RESETTER);
    }
    if (reset->base != live)
        draft_change(&self, (struct state_Change){ .kind_case = CHANGE_SUPERSEDED, .superseded = true });
    decision_finish(&self, decision);
    if (create(reset, ends ? &self : NULL))
        answer(reset, &decision->created_identity.run_id, decision->created_identity.number);
    else
        *decision = (struct decision){ 0 };
}

/* --- what it needs --- */

/* The run that is reset. False: it has to be loaded, or there is none. */
static bool find_base(struct reset *reset)
{
    const struct workflowservice_ResetWorkflowExecutionRequest *input = reset->input;
    const struct execution                                     *other = reset->env->other;
    struct uuid                                                 run_id;
    reset->base = reset->live;
    if (input->workflow_execution->run_id.size == 0 ||
        !uuid_parse(input->workflow_execution->run_id, &run_id) ||
        memcmp(&run_id, &reset->live->run_id, sizeof(run_id)) == 0)
        return true;
    store_number number = run_id_number(&run_id);
    if (other == NULL && number > 0 && number < reset->live->number) {
        reset->decision->need_run = number;
        return false;
    }
    reset->base = other;
    if (other != NULL && memcmp(&other->run_id, &run_id, sizeof(run_id)) == 0)
        return true;
    error_not_found(&reset->request->base.error, reset->arena, "workflow execution not found");
    return false;
}

/* The run that goes on where the last event of those that were kept continues as new; 0: none, or it is here already. */
static store_number next_run(const struct reset *reset)
{
    const struct fork_view      *fork = reset->env->fork;
    struct history_HistoryEvent *event;
    struct error                 error;
    struct uuid                  run_id;
    if (fork->count == 0 || reset->without_all)
        return 0;
    struct bytes last = fork->events[fork->count - 1];
    if (event_peek_type(last) != enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW ||
        event_decode(last, reset->arena, &event, &error) != ST_OK ||
        !uuid_parse(event->workflow_execution_continued_as_new_event_attributes->new_execution_run_id,
                    &run_id))
        return 0;
    store_number next = run_id_number(&run_id);
    return next == fork->last_run ? 0 : next;
}

/* Asks for all later events, in the base and in the runs that it continued as. True: they are here. */
static bool gather(struct reset *reset)
{
    const struct fork_view   *fork = reset->env->fork;
    const struct event_range *cold = &reset->env->cold;
    struct decision          *decision = reset->decision;
    store_number              next = next_run(reset);
    if (next != 0) {
        decision->fork_run = next;
        decision->fork_keep = keep;
        return false;
    }
    int64_t from = fork->last_event_id + 1, to = reset->live->next_event_id - 1;
    if (fork->last_run != reset->live->number || from > to ||
        (cold->count != 0 && cold->first_event_id <= from &&
         cold->first_event_id + (int64_t)cold->count - 1 >= to))
        return true;
    decision->needs = true;
    decision->need_from = from;
    decision->need_to = to;
    return false;
}

static enum status check_fork(const struct reset *reset)
{
    const struct fork_view *fork = reset->env->fork;
    const struct execution *state = fork->state;
    struct error           *error = &reset->request->base.error;
    if (fork->is_torn)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "WorkflowTaskFinishEventId %" PRId64
                         " is within a batch of events that were written "
                         "together: a run can be reset to the beginning of one only.",
                         fork->fork_event_id);
    if (!state->task.is_pending || state->task.is_transient || !execution_is_open(state))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, "
                         "WorkflowTaskStarted + 1]: %" PRId64,
                         fork->fork_event_id);
    return ST_OK;
}

/* The run that this request has made, looked for in what one run knows; empty: none. */
static struct bytes made_before(const struct execution *state, struct bytes request_id)
{
    const struct lineage *lineage = execution_lineage(state);
    for (uint32_t i = lineage->reset_count; i-- > 0;)
        if (bytes_equal(lineage->resets[i].request_id, request_id))
            return lineage->resets[i].run_id;
    return BYTES_EMPTY;
}

/* True: it is answered. The run that was reset knows its resets, and each run those that led to it. */
static bool is_duplicate(struct reset *reset)
{
    const struct execution *live = reset->live;
    struct bytes            id = reset->input->request_id;
    struct uuid             run_id;
    if (id.size == 0 || MUTANT(reset_applied_twice))
        return false;
    if (bytes_equal(live->start_request_id, id) ||
        bytes_equal(execution_lineage(live)->reset_request_id, id)) {
        answer(reset, &live->run_id, live->number);
        return true;
    }
    struct bytes made = made_before(reset->base, id);
    if (made.size == 0)
        made = made_before(live, id);
    if (!uuid_parse(made, &run_id))
        return false;
    answer(reset, &run_id, run_id_number(&run_id));
    return true;
}

void decide_reset(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision)
{
    struct reset reset = { .request = request,
                           .input = request->input,
                           .env = env,
                           .arena = request->base.arena,
                           .decision = decision,
                           .live = live };
    if (!find_base(&reset))
        return;
    if (is_duplicate(&reset))
        return;
    int64_t finish = reset.input->workflow_task_finish_event_id;
    if (finish <= 1 || finish >= reset.base->next_event_id) {
        error_set(&request->base.error, ST_INVALID_ARGUMENT,
                  "WorkflowTaskFinishEventId must be > 1 and <= the last event's id, %" PRId64 ".",
                  reset.base->next_event_id - 1);
        return;
    }
    if (env->fork == NULL) {
        decision->fork_run = reset.base->number;
        decision->fork_event_id = finish;
        decision->fork_keep = keep;
        return;
    }
    exclusions(&reset);
    if (check_fork(&reset) != ST_OK || !gather(&reset))
        return;
    perform(&reset);
}
