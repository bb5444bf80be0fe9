/* audit.c: everything is read back and compared with what clients and workers were told. */
#include <stdio.h>

#include "actors.h"

static void audit(struct sim *sim, void *context);

static void audit_end(struct sim *sim, struct work *work)
{
    for (unsigned i = 0; i < work->signals; i++) {
        if (work->audit_signals[i] > 1)
            sim_fail(sim, "%s: signal %u is there %u times", work->id, i, work->audit_signals[i]);
        if (work->signal[i].acknowledged && work->audit_signals[i] != 1)
            sim_fail(sim, "%s: signal %u was acknowledged and is not there", work->id, i);
    }
    work->audited = true;
    actors_of(sim)->audited++;
}

static struct bytes first_run_of(struct sim *sim, const struct history_HistoryEvent *last)
{
    if (last->event_type != enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
        return BYTES_EMPTY;
    return arena_copy(&actors_of(sim)->arena,
                      last->workflow_execution_continued_as_new_event_attributes->new_execution_run_id);
}

static void audited(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                    struct arena *arena)
{
    struct work                                               *work = context;
    struct workflowservice_GetWorkflowExecutionHistoryResponse response;
    struct error                                               bad;
    if (error->code != ST_OK && sim_try_again(error)) {
        sim_later(sim, NS_PER_S, audit, work);
        return;
    }
    if (error->code != ST_OK) {
        sim_fail(sim, "history of %s: %s %s", work->id, status_name(error->code), error->message);
        return;
    }
    if (pb_decode(&pb_workflowservice_GetWorkflowExecutionHistoryResponse, reply, arena, &response, &bad) !=
        ST_OK) {
        sim_fail(sim, "history does not decode: %s", bad.message);
        return;
    }
    size_t count = response.history == NULL ? 0 : response.history->events_count;
    if (count == 0) {
        sim_fail(sim, "history of %s is empty", work->id);
        return;
    }
    oracle_history(journal_oracle(sim->journal), work->audit_run, response.history->events, count);
    journal_check_run(sim->journal, work->audit_run);
    if (sim_failed(sim))
        return;
    for (int64_t id = 1; id <= (int64_t)count; id++) {
        const struct history_HistoryEvent *event = journal_event(sim->journal, work->audit_run, id);
        if (!is_client_signal(event))
            continue;
        struct bytes name = event->workflow_execution_signaled_event_attributes->signal_name;
        work->audit_signals[name.base[name.size - 1] - '0']++;
    }
    work->audit_run = first_run_of(sim, journal_event(sim->journal, work->audit_run, (int64_t)count));
    if (work->audit_run.size != 0)
        audit(sim, work);
    else
        audit_end(sim, work);
}

static void audit(struct sim *sim, void *context)
{
    struct work                                              *work = context;
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = BYTES("default"),
        .execution = sim_execution(sim, bytes_of_text(work->id), work->audit_run),
    };
    sim_send(sim, CALL(GetWorkflowExecutionHistory), &request, RPC_NS, audited, work);
}

static void describe_for_audit(struct sim *sim, void *context);

/* The current run names the first one of its chain. */
static void described(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                      struct arena *arena)
{
    struct work                                             *work = context;
    struct workflowservice_DescribeWorkflowExecutionResponse response;
    struct error                                             bad;
    if (error->code != ST_OK && sim_try_again(error)) { /* quarantined still, say */
        sim_later(sim, NS_PER_S, describe_for_audit, work);
        return;
    }
    if (error->code != ST_OK || pb_decode(&pb_workflowservice_DescribeWorkflowExecutionResponse, reply, arena,
                                          &response, &bad) != ST_OK) {
        sim_fail(sim, "describe of %s: %s %s", work->id, status_name(error->code), error->message);
        return;
    }
    work->audit_run = arena_copy(&actors_of(sim)->arena, response.workflow_execution_info->first_run_id);
    audit(sim, work);
}

static void counted(struct sim *sim, void *context UNUSED, const struct error *error, struct bytes reply,
                    struct arena *arena)
{
    struct actors                                         *actors = actors_of(sim);
    struct workflowservice_CountWorkflowExecutionsResponse response;
    struct error                                           bad;
    if (error->code != ST_OK || pb_decode(&pb_workflowservice_CountWorkflowExecutionsResponse, reply, arena,
                                          &response, &bad) != ST_OK)
        sim_fail(sim, "count: %s %s", status_name(error->code), error->message);
    else if (response.count != (int64_t)actors->work_count)
        sim_fail(sim, "%" PRId64 " workflows are listed as completed, there are %zu", response.count,
                 actors->work_count);
    actors->counted = true;
}

static void describe_for_audit(struct sim *sim, void *context)
{
    struct work                                            *work = context;
    struct workflowservice_DescribeWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .execution = sim_execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
    };
    sim_send(sim, CALL(DescribeWorkflowExecution), &request, RPC_NS, described, work);
}

void actors_audit(struct sim *sim)
{
    struct actors *actors = actors_of(sim);
    for (size_t i = 0; i < actors->work_count; i++)
        describe_for_audit(sim, &actors->works[i]);
    struct workflowservice_CountWorkflowExecutionsRequest request = {
        .namespace = BYTES("default"),
        .query = BYTES("ExecutionStatus = 'Completed' AND ParentWorkflowId IS NULL")
    };
    sim_send(sim, CALL(CountWorkflowExecutions), &request, RPC_NS, counted, NULL);
}

bool actors_audited(const struct sim *sim)
{
    return sim->actors->audited == sim->actors->work_count && sim->actors->counted;
}
