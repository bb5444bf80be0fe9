/* start.c: starts: policies, deduplication, defaults, and the first transition of a run. */
#include "base/mutant.h"
#include "engine/callback.h"
#include "engine/cron.h"
#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/fold.h"
#include "engine/retry.h"
#include "engine/run.h"
#include "engine/signal.h"
#include "engine/update.h"
#include "engine/workflow_task.h"
#include "shard/number.h"

/* --- the first transition --- */

struct entity_identity run_identity(struct env *env, const struct execution *of, struct uuid entropy)
{
    uint64_t bits;
    memcpy(&bits, entropy.byte, sizeof(bits));
    struct entity_identity identity = { .namespace_number = of->namespace_number,
                                        .namespace_id = of->namespace_id,
                                        .business_id = of->workflow_id,
                                        .number = env_number(env) };
    identity.run_id = run_id_make(identity.number, bits);
    return identity;
}

void run_create(struct env *env, struct arena *arena, struct decision *decision,
                const struct run_create *create, struct draft *ret_draft)
{
    struct draft                draft;
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
                                                   create->started);
    event.user_metadata = create->user_metadata;
    event.links = (void *)(uintptr_t)create->links;
    event.links_count = create->links_count;
    decision->creates = true;
    decision->created_identity = create->identity;
    decision->created_identity.namespace_id = arena_copy(arena, create->identity.namespace_id);
    decision->created_identity.business_id = arena_copy(arena, create->identity.business_id);
    draft_begin_new(&draft, &decision->created_identity, env, arena);
    draft_event(&draft, &event);
    DRAFT_CHANGE(&draft, CHANGE_CREATED, created, state_Created, .request_id = create->request_id);
    if (create->signal != NULL) {
        struct history_HistoryEvent signal = *create->signal;
        draft_event(&draft, &signal);
    }
    if (create->backoff == 0 && !create->awaits_parent) {
        task_schedule(&draft, (struct task_schedule_options){ .attempt = 1, .without_row = create->eager });
        if (create->eager)
            task_start(&draft, (struct task_start_options){ .identity = create->started->identity,
                                                            .request_id = create->request_id,
                                                            .eager = true });
    }
    if (create->update != NULL) {
        struct error error = { 0 };
        if (!update_admit(&draft, create->update, &error))
            panic("a run without updates refuses its first: %s", error.message);
    }
    draft_finish(&draft, &decision->created);
    if (ret_draft != NULL)
        *ret_draft = draft;
}

/* --- links --- */

static struct bytes link_encode(struct arena *arena, const struct namespace_config *namespace,
                                struct bytes workflow_id, struct bytes run_id,
                                struct common_Link_WorkflowEvent *target)
{
    target->namespace = namespace == NULL ? BYTES_EMPTY : namespace->name;
    target->workflow_id = workflow_id;
    target->run_id = run_id;
    struct common_Link link = { .variant_case = 1 };
    link.workflow_event = target;
    return pb_encode_arena(&pb_common_Link, &link, arena);
}

struct bytes link_to_event(struct arena *arena, const struct namespace_config *namespace,
                           struct bytes workflow_id, struct bytes run_id, int64_t event_id,
                           int32_t event_type)
{
    struct common_Link_WorkflowEvent_EventReference reference = { .event_id = event_id,
                                                                  .event_type = event_type };
    struct common_Link_WorkflowEvent                target = { .reference_case = 100 };
    target.event_ref = &reference;
    return link_encode(arena, namespace, workflow_id, run_id, &target);
}

struct bytes link_to_request(struct arena *arena, const struct namespace_config *namespace,
                             struct bytes workflow_id, struct bytes run_id, struct bytes request_id,
                             int32_t event_type)
{
    struct common_Link_WorkflowEvent_RequestIdReference reference = { .request_id = request_id,
                                                                      .event_type = event_type };
    struct common_Link_WorkflowEvent                    target = { .reference_case = 101 };
    target.request_id_ref = &reference;
    return link_encode(arena, namespace, workflow_id, run_id, &target);
}

/* --- what a start asks for --- */

struct start {
    struct workflow_request                               *request;
    struct env                                            *env;
    struct arena                                          *arena;
    struct decision                                       *decision;
    const struct execution                                *live;
    struct bytes                                           request_id, user_metadata;
    struct bytes                                           workflow_id;
    const struct bytes                                    *links;
    size_t                                                 links_count;
    int32_t                                                reuse, conflict;
    int64_t                                                start_delay;
    bool                                                   eager, is_signal, is_child;
    const struct workflow_OnConflictOptions               *on_conflict;
    const struct update_Request                           *update;
    struct history_HistoryEvent                            signal;
    struct history_WorkflowExecutionStartedEventAttributes started;
};

static int64_t timeout_of(const struct google_Duration *duration)
{
    return MIN(MAX(duration_ns(duration), 0), TIMEOUT_MAX_NS);
}

/* A start that says "remove this" of a field says nothing of it, and the event does not show it. */
static void start_fields(struct start *start)
{
    struct history_WorkflowExecutionStartedEventAttributes *started = &start->started;
    started->memo = fields_merge(BYTES_EMPTY, started->memo, start->arena);
    started->search_attributes = fields_merge(BYTES_EMPTY, started->search_attributes, start->arena);
}

/* Timeouts after defaulting: what is not limited stays absent. */
static void start_timeouts(struct start *start)
{
    const struct limits *limits = start->env->limits;
    struct arena        *arena = start->arena;
    int64_t              execution = timeout_of(start->started.workflow_execution_timeout);
    int64_t              run = timeout_of(start->started.workflow_run_timeout);
    int64_t              task = timeout_of(start->started.workflow_task_timeout);
    if (execution != 0)
        run = run == 0 ? execution : MIN(run, execution);
    if (task == 0)
        task = limits->workflow_task_timeout_default_ns;
    task = MIN(task, limits->workflow_task_timeout_max_ns);
    if (run != 0)
        task = MIN(task, run);
    start->started.workflow_execution_timeout = execution == 0 ? NULL : duration_of_ns(arena, execution);
    start->started.workflow_run_timeout = run == 0 && !start->is_child ? NULL : duration_of_ns(arena, run);
    start->started.workflow_task_timeout = duration_of_ns(arena, task);
    if (execution != 0)
        start->started.workflow_execution_expiration_time = timestamp_or_null(arena, time_add(start->env->now,
                                                                                              execution));
}

/* `created`: the new run's draft, or NULL when nothing was created. */
static void start_answer(struct start *start, struct bytes run_id, struct bytes first_run_id, bool started,
                         int32_t status, struct bytes link)
{
    if (start->is_signal) {
        struct workflowservice_SignalWithStartWorkflowExecutionResponse *response =
            ARENA_NEW(start->arena, struct workflowservice_SignalWithStartWorkflowExecutionResponse);
        response->run_id = run_id;
        response->first_execution_run_id = first_run_id;
        response->started = started;
        response->signal_link = link_to_request(start->arena, start->env->namespace, start->workflow_id,
                                                run_id, start->request_id,
                                                enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
        start->request->response = response;
        return;
    }
    struct workflowservice_StartWorkflowExecutionResponse *response =
        ARENA_NEW(start->arena, struct workflowservice_StartWorkflowExecutionResponse);
    response->run_id = run_id;
    response->first_execution_run_id = first_run_id;
    response->started = started;
    response->status = status;
    response->link = link;
    start->request->response = response;
}

static void start_answer_eager(struct start *start, const struct execution *state)
{
    struct workflowservice_StartWorkflowExecutionResponse *response = start->request->response;
    response->eager_workflow_task = task_response(state, start->arena);
    start->request->has_delivery = true;
    task_delivery(state, start->arena, true, &start->request->delivery);
    start->request->delivery.attach_queries = false;
}

static struct bytes link_to_start(struct start *start, struct bytes run_id)
{
    return link_to_event(start->arena, start->env->namespace, start->workflow_id, run_id, 1,
                         enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
}

/* A new run. `self` has ended the old one, if there was one to end. */
static void start_create(struct start *start, const struct entity_identity *identity)
{
    struct history_WorkflowExecutionStartedEventAttributes *started = &start->started;
    struct bytes run_id = uuid_text(start->arena, &identity->run_id);
    int64_t      backoff = start->start_delay;
    start_timeouts(start);
    start_fields(start);
    if (started->retry_policy != NULL && /* api has refused what is wrong */
        retry_policy_complete(started->retry_policy, start->arena, &start->request->base.error) != ST_OK)
        return;
    started->workflow_id = start->workflow_id;
    started->original_execution_run_id = started->first_execution_run_id = run_id;
    started->attempt = 1;
    if (started->cron_schedule.size != 0) {
        started->initiator = enums_CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE;
        backoff = MAX(cron_backoff(started->cron_schedule, start->env->now, start->env->now), 0);
    }
    started->first_workflow_task_backoff = duration_of_ns(start->arena, backoff);
    started->eager_execution_accepted = start->eager = start->eager && backoff == 0 && !start->is_signal;
    struct run_create create = {
        .identity = *identity,
        .started = started,
        .request_id = start->request_id,
        .user_metadata = start->user_metadata,
        .links = start->is_signal ? NULL : start->links,
        .links_count = start->is_signal ? 0 : start->links_count,
        .backoff = backoff,
        .signal = start->is_signal ? &start->signal : NULL,
        .eager = start->eager,
        .awaits_parent = start->is_child,
        .update = start->update,
    };
    struct draft created;
    run_create(start->env, start->arena, start->decision, &create, &created);
    start->request->run_id = identity->run_id;
    start->request->run_number = identity->number;
    start_answer(start, run_id, run_id, true, enums_WORKFLOW_EXECUTION_STATUS_RUNNING,
                 link_to_start(start, run_id));
    if (start->eager)
        start_answer_eager(start, created.state);
}

static struct uuid fresh_uuid(struct env *env)
{
    struct uuid uuid;
    memcpy(uuid.byte, env->entropy, sizeof(uuid.byte));
    uuid.byte[6] = (uint8_t)((uuid.byte[6] & 0x0F) | 0x40);
    uuid.byte[8] = (uint8_t)((uuid.byte[8] & 0x3F) | 0x80);
    return uuid;
}

static struct entity_identity start_identity(struct start *start)
{
    struct entity_identity identity = { .namespace_number = start->request->base.namespace_number,
                                        .namespace_id = start->env->namespace->id,
                                        .business_id = start->workflow_id,
                                        .number = env_number(start->env) };
    identity.run_id = run_id_make(identity.number, start->env->entropy[3]);
    return identity;
}

/* --- the outcome table --- */

static void answer_existing(struct start *start, bool started, struct bytes link)
{
    const struct execution *live = start->live;
    start->request->run_id = live->run_id;
    start->request->run_number = live->number;
    start_answer(start, uuid_text(start->arena, &live->run_id), uuid_text(start->arena, &live->first_run_id),
                 started, live->status, link);
}

/* The first task, if it is still the one that went out with the start. */
static void answer_deduplicated(struct start *start)
{
    const struct execution *live = start->live;
    answer_existing(start, true, link_to_start(start, uuid_text(start->arena, &live->run_id)));
    if (start->eager && !start->is_signal && task_is_started(live) && live->task.attempt == 1 &&
        live->task.started_event_id == 3 && bytes_equal(live->task.request_id, start->request_id))
        start_answer_eager(start, live);
}

static struct bytes link_to_attached(struct start *start)
{
    return link_to_request(start->arena, start->env->namespace, start->workflow_id,
                           uuid_text(start->arena, &start->live->run_id), start->request_id,
                           enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED);
}

static void use_existing(struct start *start)
{
    const struct workflow_OnConflictOptions *options = start->on_conflict;
    bool attaches = options != NULL && (options->attach_request_id || options->attach_completion_callbacks ||
                                        options->attach_links);
    if (!attaches) {
        answer_existing(start, false, link_to_start(start, uuid_text(start->arena, &start->live->run_id)));
        return;
    }
    struct history_WorkflowExecutionOptionsUpdatedEventAttributes updated = { 0 };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
                                                   &updated);
    if (options->attach_request_id)
        updated.attached_request_id = start->request_id;
    if (options->attach_completion_callbacks &&
        callbacks_room(start->live, start->started.completion_callbacks_count, start->env,
                       &start->request->base.error) != ST_OK)
        return;
    if (options->attach_completion_callbacks) {
        updated.attached_completion_callbacks = start->started.completion_callbacks;
        updated.attached_completion_callbacks_count = start->started.completion_callbacks_count;
    }
    if (options->attach_links) {
        event.links = (void *)(uintptr_t)start->links;
        event.links_count = start->links_count;
    }
    struct draft draft;
    draft_begin(&draft, start->live, start->env, start->arena);
    draft_arrive(&draft, &event);
    draft_settle(&draft, false);
    decision_finish(&draft, start->decision);
    answer_existing(start, false,
                    options->attach_request_id
                        ? link_to_attached(start)
                        : link_to_start(start, uuid_text(start->arena, &start->live->run_id)));
}

static void terminate_existing(struct start *start)
{
    struct draft           draft;
    struct entity_identity identity = start_identity(start);
    struct bytes           run_id = uuid_text(start->arena, &identity.run_id);
    struct bytes           text = arena_printf(start->arena, "\"New RunID: %.*s\"", BYTES_FMT(run_id));
    struct common_Payload_MetadataEntry encoding = { .key = BYTES("encoding"), .value = BYTES("json/plain") };
    struct common_Payload  payload = { .metadata = &encoding, .metadata_count = 1, .data = text };
    struct bytes           encoded = pb_encode_arena(&pb_common_Payload, &payload, start->arena);
    struct common_Payloads details = { .payloads = &encoded, .payloads_count = 1 };
    draft_begin(&draft, start->live, start->env, start->arena);
    execution_terminate(&draft,
                        BYTES("TerminateIfRunning WorkflowIdReusePolicy / TerminateExisting "
                              "WorkflowIdConflictPolicy"),
                        pb_encode_arena(&pb_common_Payloads, &details, start->arena), IDENTITY_SERVER);
    draft_change(&draft, (struct state_Change){ .kind_case = CHANGE_SUPERSEDED, .superseded = true });
    decision_finish(&draft, start->decision);
    start_create(start, &identity);
}

static void start_refuse(struct start *start)
{
    const struct execution *live = start->live;
    error_already_started(&start->request->base.error, start->arena,
                          arena_copy(start->arena, live->start_request_id),
                          uuid_text(start->arena, &live->run_id),
                          uuid_text(start->arena, &live->first_run_id));
}

static bool reuse_allows(const struct start *start)
{
    switch (start->reuse) {
    case enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
        return MUTANT(reuse_policy_ignored);
    case enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY:
        return start->live->status != enums_WORKFLOW_EXECUTION_STATUS_COMPLETED &&
               start->live->status != enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW;
    default:
        return true;
    }
}

static void start_decide(struct start *start)
{
    const struct execution *live = start->live;
    if (start->reuse == enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING) {
        start->reuse = enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
        start->conflict = enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING;
    }
    if (start->request_id.size == 0) {
        struct uuid uuid = fresh_uuid(start->env);
        start->request_id = uuid_text(start->arena, &uuid);
    }
    if (live == NULL) {
        struct entity_identity identity = start_identity(start);
        start_create(start, &identity);
    } else if (bytes_equal(start->request_id, live->start_request_id) && !MUTANT(start_applied_twice)) {
        answer_deduplicated(start);
    } else if (execution_attached(live, start->request_id) != NULL) {
        answer_existing(start, false, link_to_attached(start));
    } else if (!execution_is_open(live) || MUTANT(two_open_runs)) {
        if (!reuse_allows(start)) {
            start_refuse(start);
            return;
        }
        struct entity_identity identity = start_identity(start);
        start_create(start, &identity);
    } else if (start->conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING) {
        terminate_existing(start);
    } else if (start->conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING) {
        if (start->is_signal) {
            if (signal_existing(live, start->request, start->env, start->decision, &start->signal,
                                start->request_id, true) == ST_OK)
                answer_existing(start, false, BYTES_EMPTY);
        } else {
            use_existing(start);
        }
    } else {
        start_refuse(start);
    }
}

/* --- requests --- */

static struct taskqueue_TaskQueue *normal_queue(struct arena *arena, const struct taskqueue_TaskQueue *given)
{
    struct taskqueue_TaskQueue *queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    queue->name = given == NULL ? BYTES_EMPTY : given->name;
    queue->kind = enums_TASK_QUEUE_KIND_NORMAL;
    return queue;
}

static struct start start_of(const struct execution *live, struct workflow_request *request, struct env *env,
                             struct decision *decision)
{
    const struct workflowservice_StartWorkflowExecutionRequest *input = request->input;
    struct arena                                               *arena = request->base.arena;
    return (struct start){
        .request = request,
        .env = env,
        .arena = arena,
        .decision = decision,
        .live = live,
        .request_id = input->request_id,
        .workflow_id = input->workflow_id,
        .user_metadata = input->user_metadata,
        .links = input->links,
        .links_count = input->links_count,
        .reuse = input->workflow_id_reuse_policy,
        .conflict = input->workflow_id_conflict_policy,
        .start_delay = timeout_of(input->workflow_start_delay),
        .eager = input->request_eager_execution,
        .on_conflict = input->on_conflict_options,
        .started = {
            .workflow_type = input->workflow_type,
            .task_queue = normal_queue(arena, input->task_queue),
            .input = input->input,
            .workflow_execution_timeout = input->workflow_execution_timeout,
            .workflow_run_timeout = input->workflow_run_timeout,
            .workflow_task_timeout = input->workflow_task_timeout,
            .continued_failure = input->continued_failure,
            .last_completion_result = input->last_completion_result,
            .identity = input->identity,
            .retry_policy = input->retry_policy,
            .cron_schedule = input->cron_schedule,
            .memo = input->memo,
            .search_attributes = input->search_attributes,
            .header = input->header,
            .completion_callbacks = input->completion_callbacks,
            .completion_callbacks_count = input->completion_callbacks_count,
            .versioning_override = input->versioning_override,
            .priority = input->priority,
        },
    };
}

void decide_start(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision)
{
    struct start start = start_of(live, request, env, decision);
    start_decide(&start);
}

bool child_run_create(const struct execution *live, const struct request *base, struct env *env,
                      struct decision *decision, const struct child_run_request *child,
                      struct uuid *ret_run_id)
{
    struct workflow_request *request = ARENA_NEW(base->arena, struct workflow_request);
    request->base.arena = base->arena;
    request->base.namespace_number = base->namespace_number;
    struct start start = {
        .request = request,
        .env = env,
        .arena = base->arena,
        .decision = decision,
        .live = live,
        .request_id = child->request_id,
        .workflow_id = base->business_id,
        .user_metadata = child->user_metadata,
        .reuse = child->reuse,
        .is_child = true,
        .started = *child->started,
    };
    start_decide(&start);
    *ret_run_id = request->run_id;
    return request->base.error.code == ST_OK;
}

/* The update half: on the run that is there, which the start half finds as it is. */
static void update_run(struct start *start)
{
    const struct workflowservice_UpdateWorkflowExecutionRequest *input = start->request->update_input;
    start->request->update.failed = true;
    if (!update_existing(start->live, input, start->request, start->env, start->decision))
        return;
    start->request->update.failed = false;
    answer_existing(start, false, link_to_start(start, uuid_text(start->arena, &start->live->run_id)));
}

/* Whoever has the run's first task has the update with it: both happen in one step. */
void decide_update_with_start(const struct execution *live, struct workflow_request *request, struct env *env,
                              struct decision *decision)
{
    struct start start = start_of(live, request, env, decision);
    struct bytes id = request->update_input->request->meta->update_id;
    if (live != NULL) {
        const struct update *known = update_find(live, id);
        if (known != NULL && known->completed_event_id != 0) {
            if (update_report(live, id, request, env, decision))
                answer_existing(&start, false, BYTES_EMPTY);
            return;
        }
        bool is_dedup = bytes_equal(start.request_id, live->start_request_id);
        if (execution_is_open(live) && (is_dedup || known != NULL || update_waiting(live, id) != NULL ||
                                        start.conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)) {
            update_run(&start);
            return;
        }
        if (is_dedup) { /* that start has had its run, which is over */
            request->update.failed = true;
            error_not_found(&request->base.error, start.arena, "workflow execution already completed");
            return;
        }
    }
    start.update = request->update_input->request;
    start_decide(&start);
    if (request->base.error.code == ST_OK && !decision->needs)
        request->update.stage = enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED;
}

void decide_signal_with_start(const struct execution *live, struct workflow_request *request, struct env *env,
                              struct decision *decision)
{
    const struct workflowservice_SignalWithStartWorkflowExecutionRequest *input = request->input;
    struct arena                                                         *arena = request->base.arena;
    struct start start = {
        .request = request,
        .env = env,
        .arena = arena,
        .decision = decision,
        .live = live,
        .request_id = input->request_id,
        .workflow_id = input->workflow_id,
        .user_metadata = input->user_metadata,
        .reuse = input->workflow_id_reuse_policy,
        .conflict = input->workflow_id_conflict_policy,
        .start_delay = timeout_of(input->workflow_start_delay),
        .is_signal = true,
        .started = {
            .workflow_type = input->workflow_type,
            .task_queue = normal_queue(arena, input->task_queue),
            .input = input->input,
            .workflow_execution_timeout = input->workflow_execution_timeout,
            .workflow_run_timeout = input->workflow_run_timeout,
            .workflow_task_timeout = input->workflow_task_timeout,
            .identity = input->identity,
            .retry_policy = input->retry_policy,
            .cron_schedule = input->cron_schedule,
            .memo = input->memo,
            .search_attributes = input->search_attributes,
            .header = input->header,
            .versioning_override = input->versioning_override,
            .priority = input->priority,
        },
    };
    if (start.conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED)
        start.conflict = enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    struct history_WorkflowExecutionSignaledEventAttributes *signaled =
        ARENA_NEW(arena, struct history_WorkflowExecutionSignaledEventAttributes);
    *signaled = (struct history_WorkflowExecutionSignaledEventAttributes){ .signal_name = input->signal_name,
                                                                           .input = input->signal_input,
                                                                           .identity = input->identity,
                                                                           .header = input->header,
                                                                           .request_id = input->request_id };
    start.signal = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, signaled);
    start.signal.links = input->links;
    start.signal.links_count = input->links_count;
    start_decide(&start);
}
