/* activity_worker.c: what a simulated worker does with an activity task. */
#include <stdio.h>

#include "actors.h"

static void complete_activity(struct sim *sim, void *context);

static void activity_over(struct sim *sim, void *context, const struct error *error,
                          struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    struct task *task = context;
    if (error->code == ST_OK)
        journal_attempt_accepted(sim->journal, task->run_id, task->activity_id, task->attempt);
    if (sim_try_again(error) && task->tries++ < 5) {
        sim_later(sim, sim_backoff(sim), complete_activity, task);
        return;
    }
    sim_later(sim, sim_between(sim, 0, NS_PER_MS), worker_poll, task->worker);
}

static void activity_failed(struct sim *sim, void *context, const struct error *error UNUSED,
                            struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    struct task *task = context;
    sim_later(sim, sim_between(sim, 0, NS_PER_MS), worker_poll, task->worker);
}

static void complete_activity(struct sim *sim, void *context)
{
    struct task *task = context;
    if (task->tries == 0 && sim_chance(sim, 0.15)) {
        struct failure_Failure                                  failure = { .message = BYTES("simulated") };
        struct workflowservice_RespondActivityTaskFailedRequest request = {
            .namespace = BYTES("default"),
            .task_token = task->token,
            .failure = pb_encode_arena(&pb_failure_Failure, &failure, &actors_of(sim)->arena),
            .identity = BYTES("worker"),
        };
        sim_send(sim, CALL(RespondActivityTaskFailed), &request, RPC_NS, activity_failed, task);
        return;
    }
    char result[32];
    snprintf(result, sizeof(result), "attempt %d.", task->attempt);
    struct workflowservice_RespondActivityTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .result = sim_payloads(sim, result),
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RespondActivityTaskCompleted), &request, RPC_NS, activity_over, task);
}

static void heartbeaten(struct sim *sim UNUSED, void *context UNUSED, const struct error *error UNUSED,
                        struct bytes reply UNUSED, struct arena *arena UNUSED)
{
}

static void heartbeat(struct sim *sim, void *context)
{
    struct task                                              *task = context;
    struct workflowservice_RecordActivityTaskHeartbeatRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .details = sim_chance(sim, 0.5) ? sim_payloads(sim, "progress") : BYTES_EMPTY,
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RecordActivityTaskHeartbeat), &request, RPC_NS, heartbeaten, task);
}

void take_activity(struct worker                                              *worker,
                   const struct workflowservice_PollActivityTaskQueueResponse *response)
{
    struct sim  *sim = worker->sim;
    struct task *task = new_task(worker, response->task_token, response->workflow_execution);
    task->activity_id = arena_copy(&actors_of(sim)->arena, response->activity_id);
    task->attempt = response->attempt;
    if (response->input.size == 0)
        sim_fail(sim, "activity %.*s came without its input", BYTES_FMT(response->activity_id));
    journal_attempt_delivered(sim->journal, task->run_id, task->activity_id, task->attempt);
    if (sim_strikes(sim, FAULT_WORKER_DIES)) {
        sim_later(sim, sim_between(sim, NS_PER_S, 30 * NS_PER_S), worker_poll, worker);
        return;
    }
    int64_t takes = sim_chance(sim, 0.1) ? sim_between(sim, 0, 12 * NS_PER_S)
                                         : sim_between(sim, 0, 50 * NS_PER_MS);
    for (int64_t at = NS_PER_S; at < takes; at += NS_PER_S)
        sim_later(sim, at, heartbeat, task);
    sim_later(sim, takes, complete_activity, task);
}
