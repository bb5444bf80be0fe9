/* clients.c: simulated clients: they start, signal, query and watch workflows. */
#include <stdio.h>

#include "actors.h"

static void signal_one(struct sim *sim, void *context);
static void watch(struct sim *sim, void *context);

struct signal_errand {
    struct work *work;
    unsigned     number;
};

static void started(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                    struct arena *arena UNUSED)
{
    struct work *work = context;
    if (error->code != ST_OK && error->code != ST_ALREADY_EXISTS) {
        if (!sim_try_again(error))
            sim_fail(sim, "start of %s: %s %s", work->id, status_name(error->code), error->message);
        sim_later(sim, sim_backoff(sim), client_start, work);
        return;
    }
    sim_log(sim, "%s started", work->id);
    work->started = true;
    for (unsigned i = 0; i < work->signals; i++) {
        struct signal_errand *errand = NEW(sim, struct signal_errand);
        *errand = (struct signal_errand){ work, i };
        sim_later(sim, sim_between(sim, 0, sim->configuration.busy ? NS_PER_S : 20 * NS_PER_S), signal_one,
                  errand);
    }
    sim_later(sim, sim_between(sim, 0, NS_PER_S), watch, work);
}

/* Tasks of several priorities and fairness keys, so that queues have more streams than they may hold. */
static struct bytes draw_priority(struct sim *sim)
{
    static const char     *keys[] = { "", "a", "b", "c" };
    struct common_Priority priority = { .priority_key = (int32_t)sim_between(sim, 0, 5),
                                        .fairness_key = bytes_of_text(keys[sim_between(sim, 0, 3)]),
                                        .fairness_weight = (float)sim_between(sim, 0, 3) };
    return pb_encode_arena(&pb_common_Priority, &priority, &sim->actors->arena);
}

void client_start(struct sim *sim, void *context)
{
    struct work                                         *work = context;
    struct workflowservice_StartWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .workflow_id = bytes_of_text(work->id),
        .workflow_type = NEW(sim, struct common_WorkflowType),
        .task_queue = sim_queue(sim, SIM_QUEUE, false),
        .identity = BYTES("client"),
        .request_id = bytes_of_text(work->id),
        .workflow_id_reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
        .priority = sim->configuration.fair ? draw_priority(sim) : BYTES_EMPTY,
    };
    request.workflow_type->name = BYTES("generation 0");
    sim_send(sim, CALL(StartWorkflowExecution), &request, RPC_NS, started, work);
}

/* --- clients: signals, queries, watching --- */

static void signalled(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                      struct arena *arena UNUSED)
{
    struct signal_errand *errand = context;
    struct work          *work = errand->work;
    if (error->code == ST_OK)
        work->signal[errand->number].acknowledged = true;
    else if (error->code == ST_NOT_FOUND)
        work->signal[errand->number].refused = true;
    else if (sim_try_again(error))
        sim_later(sim, sim_backoff(sim), signal_one, errand);
    else
        sim_fail(sim, "signal to %s: %s %s", work->id, status_name(error->code), error->message);
}

static void signal_one(struct sim *sim, void *context)
{
    struct signal_errand *errand = context;
    struct work          *work = errand->work;
    char                  name[16];
    snprintf(name, sizeof(name), "signal %u", errand->number);
    struct workflowservice_SignalWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .workflow_execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
        .signal_name = sim_text(sim, name),
        .identity = BYTES("client"),
        .request_id = bytes_of_text(work->signal[errand->number].request_id),
    };
    sim_send(sim, CALL(SignalWorkflowExecution), &request, RPC_NS, signalled, errand);
}

static void queried(struct sim *sim UNUSED, void *context UNUSED, const struct error *error UNUSED,
                    struct bytes reply UNUSED, struct arena *arena UNUSED)
{
}

static void watched(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                    struct arena *arena)
{
    struct work                                             *work = context;
    struct workflowservice_DescribeWorkflowExecutionResponse response;
    struct error                                             bad;
    if (error->code != ST_OK) {
        if (!sim_try_again(error))
            sim_fail(sim, "describe %s, which was acknowledged: %s %s", work->id, status_name(error->code),
                     error->message);
        sim_later(sim, NS_PER_S, watch, work);
        return;
    }
    if (pb_decode(&pb_workflowservice_DescribeWorkflowExecutionResponse, reply, arena, &response, &bad) !=
        ST_OK) {
        sim_fail(sim, "describe does not decode: %s", bad.message);
        return;
    }
    int32_t status = response.workflow_execution_info->status;
    if (status == enums_WORKFLOW_EXECUTION_STATUS_COMPLETED) {
        sim_log(sim, "%s is closed", work->id);
        work->closed = true;
        return;
    }
    if (status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED
            ? !sim->configuration.operators
            : status != enums_WORKFLOW_EXECUTION_STATUS_RUNNING &&
                  status != enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW)
        sim_fail(sim, "%s has status %d", work->id, status);
    sim_later(sim, sim_between(sim, NS_PER_S, 3 * NS_PER_S), watch, work);
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
    sim_later(sim, sim_backoff(sim), watch, context);
}

static void watch(struct sim *sim, void *context)
{
    struct work *work = context;
    if (sim->configuration.queries && sim_chance(sim, 0.3)) {
        struct workflowservice_QueryWorkflowRequest query = {
            .namespace = BYTES("default"),
            .execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
            .query = NEW(sim, struct query_WorkflowQuery),
        };
        query.query->query_type = BYTES("state");
        sim_send(sim, CALL(QueryWorkflow), &query, RPC_NS, queried, work);
    }
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
    struct workflowservice_DescribeWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
    };
    sim_send(sim, CALL(DescribeWorkflowExecution), &request, RPC_NS, watched, work);
}
