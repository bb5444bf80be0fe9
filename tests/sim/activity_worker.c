/* activity_worker.c: what a simulated worker does with an activity task; the activity's type says how it goes.
 *
 * "activity" completes, some of its attempts fail; "waits" goes on until it hears that it is cancelled; "fails" always does;
 * "silent" answers when it is too late.
 */
#include <stdio.h>

#include "actors.h"

static void complete_activity(struct sim *sim, void *context);

/* Attempts of its activities may be numbered anew. */
static bool is_tinkered(const struct task *task)
{
    const struct work *work = work_of(task->worker->sim, task->workflow_id);
    return work != NULL && work->is_tinkered;
}

static void activity_over(struct sim *sim, void *context, const struct error *error,
                          struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    struct task *task = context;
    if (error->code == ST_OK && !task->by_id && !is_tinkered(task)) {
        journal_attempt_accepted(sim->journal, task->run_id, task->activity_id, task->attempt);
        misuse_token(task);
    }
    if (sim_try_again(error) && task->tries++ < 5) {
        sim_later(sim, sim_backoff(sim), complete_activity, task);
        return;
    }
    worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
}

/* It failed or was cancelled, as far as the worker is concerned. */
static void activity_left(struct sim *sim, void *context, const struct error *error UNUSED,
                          struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    struct task *task = context;
    worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
}

static void fail_activity(struct sim *sim, struct task *task)
{
    /* Sometimes one that is not to be tried again, where the workflow is prepared for that. */
    bool         for_good = bytes_equal_text(task->type, "fails") && sim_chance(sim, 0.3);
    struct bytes encoded = sim_failure(sim, "simulated", for_good);
    if (task->by_id) {
        struct workflowservice_RespondActivityTaskFailedByIdRequest request = {
            .namespace = BYTES("default"),
            .workflow_id = task->workflow_id,
            .run_id = task->run_id,
            .activity_id = task->activity_id,
            .failure = encoded,
            .identity = BYTES("worker"),
        };
        sim_send(sim, CALL(RespondActivityTaskFailedById), &request, RPC_NS, activity_left, task);
        return;
    }
    struct workflowservice_RespondActivityTaskFailedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .failure = encoded,
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RespondActivityTaskFailed), &request, RPC_NS, activity_left, task);
}

static void cancel_activity(struct sim *sim, struct task *task)
{
    if (task->by_id) {
        struct workflowservice_RespondActivityTaskCanceledByIdRequest request = {
            .namespace = BYTES("default"),
            .workflow_id = task->workflow_id,
            .run_id = task->run_id,
            .activity_id = task->activity_id,
            .identity = BYTES("worker"),
        };
        sim_send(sim, CALL(RespondActivityTaskCanceledById), &request, RPC_NS, activity_left, task);
        return;
    }
    struct workflowservice_RespondActivityTaskCanceledRequest request = { .namespace = BYTES("default"),
                                                                          .task_token = task->token,
                                                                          .identity = BYTES("worker") };
    sim_send(sim, CALL(RespondActivityTaskCanceled), &request, RPC_NS, activity_left, task);
}

static void complete_activity(struct sim *sim, void *context)
{
    struct task *task = context;
    if (bytes_equal_text(task->type, "fails") ||
        (bytes_equal_text(task->type, "activity") && task->tries == 0 && sim_chance(sim, 0.15))) {
        fail_activity(sim, task);
        return;
    }
    char result[32];
    snprintf(result, sizeof(result), "attempt %d.", task->attempt);
    if (task->by_id) {
        struct workflowservice_RespondActivityTaskCompletedByIdRequest request = {
            .namespace = BYTES("default"),
            .workflow_id = task->workflow_id,
            .run_id = task->run_id,
            .activity_id = task->activity_id,
            .result = sim_payloads(sim, result),
            .identity = BYTES("worker"),
        };
        sim_send(sim, CALL(RespondActivityTaskCompletedById), &request, RPC_NS, activity_over, task);
        return;
    }
    struct workflowservice_RespondActivityTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .result = sim_payloads(sim, result),
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RespondActivityTaskCompleted), &request, RPC_NS, activity_over, task);
}

/* --- heartbeats --- */

static void heartbeat(struct sim *sim, void *context);

/* Only what waits listens to the answer. */
static void heard(struct task *task, const struct error *error, bool cancel_requested)
{
    struct sim *sim = task->worker->sim;
    if (!bytes_equal_text(task->type, "waits"))
        return;
    if (error->code == ST_NOT_FOUND)
        worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
    else if (error->code == ST_OK && cancel_requested)
        cancel_activity(sim, task);
    else
        sim_later(sim, sim_between(sim, NS_PER_S / 10, 2 * NS_PER_S), heartbeat, task);
}

static void heartbeaten(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                        struct arena *arena)
{
    struct workflowservice_RecordActivityTaskHeartbeatResponse response = { 0 };
    struct error                                               bad;
    if (error->code == ST_OK && pb_decode(&pb_workflowservice_RecordActivityTaskHeartbeatResponse, reply,
                                          arena, &response, &bad) != ST_OK)
        sim_fail(sim, "the answer to a heartbeat does not decode: %s", bad.message);
    heard(context, error, response.cancel_requested);
}

static void heartbeaten_by_id(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                              struct arena *arena)
{
    struct workflowservice_RecordActivityTaskHeartbeatByIdResponse response = { 0 };
    struct error                                                   bad;
    if (error->code == ST_OK && pb_decode(&pb_workflowservice_RecordActivityTaskHeartbeatByIdResponse, reply,
                                          arena, &response, &bad) != ST_OK)
        sim_fail(sim, "the answer to a heartbeat does not decode: %s", bad.message);
    heard(context, error, response.cancel_requested);
}

static void heartbeat(struct sim *sim, void *context)
{
    struct task *task = context;
    struct bytes details = sim_chance(sim, 0.5) ? sim_payloads(sim, "progress") : BYTES_EMPTY;
    if (task->by_id) {
        struct workflowservice_RecordActivityTaskHeartbeatByIdRequest request = {
            .namespace = BYTES("default"),
            .workflow_id = task->workflow_id,
            .run_id = task->run_id,
            .activity_id = task->activity_id,
            .details = details,
            .identity = BYTES("worker"),
        };
        sim_send(sim, CALL(RecordActivityTaskHeartbeatById), &request, RPC_NS, heartbeaten_by_id, task);
        return;
    }
    struct workflowservice_RecordActivityTaskHeartbeatRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .details = details,
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RecordActivityTaskHeartbeat), &request, RPC_NS, heartbeaten, task);
}

/* --- the task --- */

void take_activity(struct worker                                              *worker,
                   const struct workflowservice_PollActivityTaskQueueResponse *response)
{
    struct sim   *sim = worker->sim;
    struct arena *arena = &actors_of(sim)->arena;
    struct task  *task = new_task(worker, response->task_token, response->workflow_execution);
    task->activity_id = arena_copy(arena, response->activity_id);
    task->type = arena_copy(arena, response->activity_type->name);
    task->attempt = response->attempt;
    task->by_id = sim_chance(sim, 0.2);
    if (response->input.size == 0)
        sim_fail(sim, "activity %.*s came without its input", BYTES_FMT(response->activity_id));
    if (!is_tinkered(task))
        journal_attempt_delivered(sim->journal, task->run_id, task->activity_id, task->attempt);
    if (sim_strikes(sim, FAULT_WORKER_DIES)) {
        worker_next(worker, sim_between(sim, NS_PER_S, 30 * NS_PER_S));
        return;
    }
    if (bytes_equal_text(task->type, "waits")) {
        heartbeat(sim, task);
        return;
    }
    if (bytes_equal_text(task->type, "silent")) {
        worker_next(worker, 0);
        task->by_id = false; /* which would complete whatever attempt is under way */
        task->worker = new_worker_once(sim);
        sim_later(sim, sim_between(sim, NS_PER_S, 25 * NS_PER_S), complete_activity, task);
        return;
    }
    int64_t takes = sim_chance(sim, 0.1) ? sim_between(sim, 0, 12 * NS_PER_S)
                                         : sim_between(sim, 0, 50 * NS_PER_MS);
    for (int64_t at = NS_PER_S; at < takes; at += NS_PER_S)
        sim_later(sim, at, heartbeat, task);
    sim_later(sim, takes, complete_activity, task);
}
