/* clients.c: simulated clients: they start workflows in each of the three ways, signal, query and watch them. */
#include <stdio.h>

#include "actors.h"

struct signal_errand {
    struct work *work;
    unsigned     number;
    bool         again;
};

static void signal_one(struct sim *sim, void *context);
static void watch(struct sim *sim, void *context);

/* --- start --- */

/* When a client has something to say to a workflow that has started. */
static int64_t soon(struct sim *sim)
{
    return sim->patient && sim_chance(sim, 0.3)
               ? sim_span(sim)
               : sim_between(sim, 0, sim->configuration.busy ? NS_PER_S : 20 * NS_PER_S);
}

static void is_started(struct work *work)
{
    struct sim *sim = work->sim;
    sim_log(sim, "%s started", work->id);
    work->started = true;
    for (unsigned i = 0; i < work->signals; i++) {
        if (work->signal[i].acknowledged || work->signal[i].refused)
            continue;
        struct signal_errand *errand = NEW(sim, struct signal_errand);
        *errand = (struct signal_errand){ .work = work, .number = i };
        sim_later(sim, soon(sim), signal_one, errand);
    }
    for (unsigned i = 0; i < work->update_count; i++) {
        if (!work->updates[i].settled)
            sim_later(sim, soon(sim), client_update, &work->updates[i]);
    }
    interventions_start(work);
    client_watch(work);
}

static void started(struct sim *sim, void *context, const struct error *error UNUSED, const void *answer)
{
    const struct workflowservice_StartWorkflowExecutionResponse *response = answer;
    if (response != NULL && response->eager_workflow_task != NULL)
        take_workflow_task(new_worker_once(sim), response->eager_workflow_task);
    is_started(context);
}

/* ALREADY_EXISTS: an earlier attempt did it all, and the workflow is closed. */
static void started_with_signal(struct sim *sim UNUSED, void *context, const struct error *error,
                                const void *response UNUSED)
{
    struct work *work = context;
    if (error->code == ST_OK)
        work->signal[0].acknowledged = true;
    else
        work->signal[0].refused = true;
    is_started(work);
}

static void started_with_update(struct sim *sim, void *context, const struct error *error, const void *answer)
{
    struct work                                                *work = context;
    const struct workflowservice_ExecuteMultiOperationResponse *response = answer;
    if (response == NULL) {
        /* The update did not come through; whether the start did is told by another one. */
        sim_log(sim, "%s with an update: %s %s", work->id, status_name(error->code), error->message);
        work->with_start = WITH_NOTHING;
        client_start(sim, work);
        return;
    }
    if (response->responses_count != 2 || response->responses[1].response_case != 2) {
        sim_fail(sim, "%s: update with start has other answers than it should", work->id);
        return;
    }
    const struct workflowservice_UpdateWorkflowExecutionResponse *update =
        response->responses[1].update_workflow;
    client_updated(&work->updates[0], update->outcome, update->stage);
    is_started(work);
}

/* Tasks of several priorities and fairness keys, so that queues have more streams than they may hold. */
static struct bytes draw_priority(struct sim *sim)
{
    static const char     *keys[] = { "", "a", "b", "c" };
    struct common_Priority priority = { .priority_key = (int32_t)sim_between(sim, 0, 5) };
    priority.fairness_key = bytes_of_text(keys[sim_between(sim, 0, 3)]);
    priority.fairness_weight = (float)sim_between(sim, 0, 3);
    return pb_encode_arena(&pb_common_Priority, &priority, &sim->actors->arena);
}

static struct bytes draw_cron(struct sim *sim)
{
    static const struct bytes often[] = { BYTES("@every 10s"), BYTES("* * * * *") };
    static const struct bytes rarely[] = { BYTES("@every 240h"), BYTES("0 0 * * 1"), BYTES("30 4 1 * *") };
    return sim->patient ? rarely[sim_between(sim, 0, 2)] : often[!sim_chance(sim, 0.5)];
}

static void set_times(struct work *work, struct workflowservice_StartWorkflowExecutionRequest *request)
{
    struct sim   *sim = work->sim;
    struct arena *arena = &actors_of(sim)->arena;
    if (work->failures != 0) {
        request->retry_policy = NEW(sim, struct common_RetryPolicy);
        request->retry_policy->initial_interval = duration_of_ns(arena,
                                                                 sim->patient ? sim_span(sim) : NS_PER_S);
        request->retry_policy->backoff_coefficient = 2;
    }
    if (work->fate == FATE_CRON)
        request->cron_schedule = draw_cron(sim);
    if (work->fate == FATE_TIMED_OUT)
        request->workflow_run_timeout = duration_of_ns(arena, sim->patient ? sim_span(sim)
                                                                           : sim_between(sim, NS_PER_S,
                                                                                         30 * NS_PER_S));
    else if (work->fate != FATE_CRON && work->with_start == WITH_NOTHING && sim_chance(sim, 0.2))
        request->workflow_start_delay = duration_of_ns(arena, sim->patient
                                                                  ? sim_span(sim)
                                                                  : sim_between(sim, 1, 5 * NS_PER_S));
}

static const struct workflowservice_StartWorkflowExecutionRequest *start_request(struct work *work)
{
    struct sim                                           *sim = work->sim;
    struct workflowservice_StartWorkflowExecutionRequest *request =
        NEW(sim, struct workflowservice_StartWorkflowExecutionRequest);
    request->namespace = BYTES("default");
    request->workflow_id = bytes_of_text(work->id);
    request->workflow_type = NEW(sim, struct common_WorkflowType);
    request->workflow_type->name = BYTES("generation 0");
    request->task_queue = sim_queue(sim, SIM_QUEUE, false);
    request->identity = BYTES("client");
    request->request_id = bytes_of_text(work->id);
    request->workflow_id_reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    request->priority = sim->configuration.fair ? draw_priority(sim) : BYTES_EMPTY;
    set_times(work, request);
    if (work->callback.is_wanted) {
        request->completion_callbacks = NEW(sim, struct bytes);
        request->completion_callbacks[0] = callback_encoded(sim, work);
        request->completion_callbacks_count = 1;
    }
    return request;
}

static void start_with_signal(struct work                                                *work,
                              const struct workflowservice_StartWorkflowExecutionRequest *start)
{
    ERRAND(work->sim, SignalWithStartWorkflowExecution, CODE(ST_ALREADY_EXISTS), started_with_signal, work,
           .workflow_id = start->workflow_id, .workflow_type = start->workflow_type,
           .task_queue = start->task_queue, .identity = start->identity,
           .request_id = bytes_of_text(work->signal[0].request_id),
           .workflow_id_reuse_policy = start->workflow_id_reuse_policy, .priority = start->priority,
           .workflow_run_timeout = start->workflow_run_timeout, .signal_name = BYTES("signal 0"));
}

static void start_with_update(struct work                                                *work,
                              const struct workflowservice_StartWorkflowExecutionRequest *start)
{
    struct sim                                                    *sim = work->sim;
    struct workflowservice_ExecuteMultiOperationRequest_Operation *operations = ARENA_NEW_ARRAY(
        &actors_of(sim)->arena, struct workflowservice_ExecuteMultiOperationRequest_Operation, 2);
    operations[0].operation_case = 1;
    operations[0].start_workflow = (struct workflowservice_StartWorkflowExecutionRequest *)start;
    operations[1].operation_case = 2;
    operations[1].update_workflow = client_update_request(&work->updates[0]);
    ERRAND(sim, ExecuteMultiOperation,
           CODE(ST_ALREADY_EXISTS) | CODE(ST_NOT_FOUND) | CODE(ST_ABORTED) | CODE(ST_FAILED_PRECONDITION),
           started_with_update, work, .operations = operations, .operations_count = 2);
}

void client_start(struct sim *sim, void *context)
{
    struct work                                                *work = context;
    const struct workflowservice_StartWorkflowExecutionRequest *request = start_request(work);
    if (work->with_start == WITH_SIGNAL) {
        start_with_signal(work, request);
    } else if (work->with_start == WITH_UPDATE) {
        start_with_update(work, request);
    } else {
        ((struct workflowservice_StartWorkflowExecutionRequest *)request)->request_eager_execution =
            has_feature(sim, FEATURE_EAGER) && request->cron_schedule.size == 0 &&
            request->workflow_start_delay == NULL;
        errand_run(sim, CALL(StartWorkflowExecution), request, CODE(ST_ALREADY_EXISTS), started, work);
    }
}

/* --- signals, queries, watching --- */

static void signalled(struct sim *sim UNUSED, void *context, const struct error *error,
                      const void *response UNUSED)
{
    struct signal_errand *errand = context;
    if (error->code == ST_OK)
        errand->work->signal[errand->number].acknowledged = true;
    else if (!errand->again)
        errand->work->signal[errand->number].refused = true;
}

static void signal_one(struct sim *sim, void *context)
{
    struct signal_errand *errand = context;
    struct work          *work = errand->work;
    char                  name[16];
    snprintf(name, sizeof(name), "signal %u", errand->number);
    ERRAND(sim, SignalWorkflowExecution, CODE(ST_NOT_FOUND), signalled, errand,
           .workflow_execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
           .signal_name = sim_text(sim, name), .identity = BYTES("client"),
           .request_id = bytes_of_text(work->signal[errand->number].request_id));
}

void client_signals_again(struct work *work)
{
    for (unsigned i = 0; i < work->signals; i++) {
        if (work->signal[i].refused)
            continue;
        struct signal_errand *errand = NEW(work->sim, struct signal_errand);
        *errand = (struct signal_errand){ .work = work, .number = i, .again = true };
        signal_one(work->sim, errand);
    }
}

static void queried(struct sim *sim UNUSED, void *context UNUSED, const struct error *error UNUSED,
                    struct bytes reply UNUSED, struct arena *arena UNUSED)
{
}

static void is_closed(struct work *work)
{
    sim_log(work->sim, "%s is closed", work->id);
    work->closed = true;
    work->is_watched = false;
}

static void watched(struct sim *sim, void *context, const struct error *error, const void *answer)
{
    struct work                                                    *work = context;
    const struct workflowservice_DescribeWorkflowExecutionResponse *response = answer;
    if (error->code == ST_NOT_FOUND) {
        if (!work->deleted)
            sim_violated(sim, "D1 start-lost", "describe %s, which was acknowledged: %s %s", work->id,
                         status_name(error->code), error->message);
        is_closed(work);
        return;
    }
    int32_t status = response->workflow_execution_info->status;
    if ((work->ends & (UINT32_C(1) << status)) != 0) {
        is_closed(work);
        return;
    }
    if (status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED
            ? !sim->configuration.operators
            : status != enums_WORKFLOW_EXECUTION_STATUS_RUNNING &&
                  status != enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW)
        sim_fail(sim, "%s has status %d", work->id, status);
    /* A copy of a pause may come when its operator has long let go. */
    if (status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED && operators_finished(sim))
        ERRAND(sim, UnpauseWorkflowExecution, CODE(ST_NOT_FOUND) | CODE(ST_FAILED_PRECONDITION), NULL, NULL,
               .workflow_id = bytes_of_text(work->id));
    sim_later_routine(sim, sim_between(sim, NS_PER_S, 3 * NS_PER_S), watch, work);
}

/* The end of a long poll, whatever it is; Describe has the last word. */
static void long_polled(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                        struct arena *arena)
{
    struct workflowservice_GetWorkflowExecutionHistoryResponse response;
    struct error                                               bad;
    if (error->code == ST_OK && pb_decode(&pb_workflowservice_GetWorkflowExecutionHistoryResponse, reply,
                                          arena, &response, &bad) != ST_OK)
        sim_fail(sim, "history does not decode: %s", bad.message);
    sim_later_routine(sim, sim_backoff(sim), watch, context);
}

static void query(struct work *work)
{
    struct sim                                 *sim = work->sim;
    struct workflowservice_QueryWorkflowRequest query = {
        .namespace = BYTES("default"),
        .execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
        .query = NEW(sim, struct query_WorkflowQuery),
    };
    query.query->query_type = BYTES("state");
    query.query_reject_condition = (int32_t)sim_between(sim, 0, 3);
    sim_send(sim, CALL(QueryWorkflow), &query, RPC_NS, queried, work);
}

static void watch(struct sim *sim, void *context)
{
    struct work *work = context;
    if (sim->configuration.queries && sim_chance(sim, 0.3))
        query(work);
    if (sim_chance(sim, 0.2)) {
        struct workflowservice_GetWorkflowExecutionHistoryRequest poll = {
            .namespace = BYTES("default"),
            .execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
            .wait_new_event = true,
            .history_event_filter_type = enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        };
        sim_send(sim, CALL(GetWorkflowExecutionHistory), &poll, 30 * NS_PER_S, long_polled, work);
        return;
    }
    ERRAND(sim, DescribeWorkflowExecution, CODE(ST_NOT_FOUND), watched, work,
           .execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY));
}

void client_watch(struct work *work)
{
    work->closed = false;
    if (work->is_watched)
        return;
    work->is_watched = true;
    sim_later_routine(work->sim, sim_between(work->sim, 0, NS_PER_S), watch, work);
}
