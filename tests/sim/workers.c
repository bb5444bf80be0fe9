/* workers.c: simulated workers: polling. */
#include <stdio.h>

#include "actors.h"

struct task *new_task(struct worker *worker, struct bytes token, const struct common_WorkflowExecution *run)
{
    struct sim   *sim = worker->sim;
    struct arena *arena = &actors_of(sim)->arena;
    struct task  *task = NEW(sim, struct task);
    task->worker = worker;
    task->token = arena_copy(arena, token);
    task->workflow_id = arena_copy(arena, run->workflow_id);
    task->run_id = arena_copy(arena, run->run_id);
    return task;
}

static void worker_poll(struct sim *sim, void *context);

static void polled(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                   struct arena *arena)
{
    struct worker *worker = context;
    struct error   bad;
    if (error->code != ST_OK) {
        worker_next(worker, sim_backoff(sim));
        return;
    }
    if (worker->activities) {
        struct workflowservice_PollActivityTaskQueueResponse response;
        if (pb_decode(&pb_workflowservice_PollActivityTaskQueueResponse, reply, arena, &response, &bad) !=
            ST_OK)
            sim_fail(sim, "a task does not decode: %s", bad.message);
        else if (response.task_token.size != 0)
            take_activity(worker, &response);
        else
            worker_next(worker, NS_PER_MS);
        return;
    }
    struct workflowservice_PollWorkflowTaskQueueResponse response;
    if (pb_decode(&pb_workflowservice_PollWorkflowTaskQueueResponse, reply, arena, &response, &bad) != ST_OK)
        sim_fail(sim, "a task does not decode: %s", bad.message);
    else if (response.task_token.size != 0)
        take_workflow_task(worker, &response);
    else
        worker_next(worker, NS_PER_MS);
}

static void worker_poll(struct sim *sim, void *context)
{
    struct worker *worker = context;
    if (worker->activities) {
        struct workflowservice_PollActivityTaskQueueRequest request = {
            .namespace = BYTES("default"),
            .task_queue = sim_queue(sim, worker->queue, false),
            .identity = BYTES("worker"),
        };
        sim_send(sim, CALL(PollActivityTaskQueue), &request, POLL_NS, polled, worker);
        return;
    }
    struct workflowservice_PollWorkflowTaskQueueRequest request = {
        .namespace = BYTES("default"),
        .task_queue = sim_queue(sim, worker->queue, worker->sticky),
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(PollWorkflowTaskQueue), &request, POLL_NS, polled, worker);
}

void worker_next(struct worker *worker, int64_t delay)
{
    if (!worker->is_once && !worker->sim->closing)
        sim_later_routine(worker->sim, delay, worker_poll, worker);
}

void new_worker(struct sim *sim, const char *queue_name, bool sticky, bool activities)
{
    struct worker *worker = new_worker_once(sim);
    worker->is_once = false;
    worker->sticky = sticky;
    worker->activities = activities;
    snprintf(worker->queue, sizeof(worker->queue), "%s", queue_name);
    worker_next(worker, sim_backoff(sim));
}

struct worker *new_worker_once(struct sim *sim)
{
    struct worker *worker = NEW(sim, struct worker);
    worker->sim = sim;
    worker->is_once = true;
    return worker;
}
