/* workflow_worker.c: what a simulated worker does with a workflow task. */
#include <stdio.h>

#include "actors.h"

static void complete_task(struct sim *sim, void *context);

static void task_over(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                      struct arena *arena UNUSED)
{
    struct task *task = context;
    if (error->code == ST_INVALID_ARGUMENT && task->legacy_query == false)
        sim_log(sim, "task of %.*s refused: %s", BYTES_FMT(task->workflow_id), error->message);
    if (sim_try_again(error) && error->code != ST_INTERNAL && task->tries++ < 3) {
        sim_later(sim, sim_backoff(sim), complete_task,
                  task); /* what an SDK does; the answer may be "not found" then */
        return;
    }
    sim_later(sim, sim_between(sim, 0, NS_PER_MS), worker_poll, task->worker);
}

static void answer_query(struct sim *sim, struct task *task)
{
    struct workflowservice_RespondQueryTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .completed_type = enums_QUERY_RESULT_TYPE_ANSWERED,
        .query_result = sim_payloads(sim, "answer"),
    };
    sim_send(sim, CALL(RespondQueryTaskCompleted), &request, RPC_NS, task_over, task);
}

static void fail_task(struct sim *sim, struct task *task)
{
    struct workflowservice_RespondWorkflowTaskFailedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .cause = enums_WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RespondWorkflowTaskFailed), &request, RPC_NS, task_over, task);
}

static void answer_queries(struct sim *sim, const struct task *task,
                           struct workflowservice_RespondWorkflowTaskCompletedRequest *request)
{
    request->query_results = ARENA_NEW_ARRAY(
        &actors_of(sim)->arena, struct workflowservice_RespondWorkflowTaskCompletedRequest_QueryResultsEntry,
        task->query_count + 1);
    request->query_results_count = task->query_count;
    for (size_t i = 0; i < task->query_count; i++) {
        request->query_results[i].key = task->query_ids[i];
        request->query_results[i].value = NEW(sim, struct query_WorkflowQueryResult);
        request->query_results[i].value->result_type = enums_QUERY_RESULT_TYPE_ANSWERED;
        request->query_results[i].value->answer = sim_payloads(sim, "answer");
    }
}

static void complete_task(struct sim *sim, void *context)
{
    struct task *task = context;
    if (task->legacy_query) {
        answer_query(sim, task);
        return;
    }
    if (sim_strikes(sim, FAULT_TASK_FAILS)) {
        fail_task(sim, task);
        return;
    }
    struct program program = { .sim = sim, .work = work_of(sim, task->workflow_id), .task = task };
    program.commands = ARENA_NEW_ARRAY(&actors_of(sim)->arena, struct command_Command, 16);
    for (int64_t id = 1; id <= task->last_stored; id++) {
        if (journal_event(sim->journal, task->run_id, id) == NULL) {
            /* A sticky task's earlier events went to nobody here: let another worker have it with all of them. */
            sim_later(sim, sim_between(sim, 0, NS_PER_MS), worker_poll, task->worker);
            sim_log(sim, "%.*s: event %" PRId64 " of %" PRId64 " unknown", BYTES_FMT(task->workflow_id), id,
                    task->last_stored);
            return;
        }
    }
    program_run(&program);
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .commands = program.commands,
        .commands_count = program.count,
        .identity = BYTES("worker"),
    };
    answer_queries(sim, task, &request);
    if (sim->configuration.sticky && sim_chance(sim, 0.7)) {
        char name[24];
        snprintf(name, sizeof(name), "sticky-%u",
                 (unsigned)random_below(&sim->random, sim->configuration.sticky_workers));
        request.sticky_attributes = NEW(sim, struct taskqueue_StickyExecutionAttributes);
        request.sticky_attributes->worker_task_queue = sim_queue(sim, name, true);
        request.sticky_attributes->schedule_to_start_timeout = duration_of_ns(&actors_of(sim)->arena,
                                                                              5 * NS_PER_S);
    }
    sim_send(sim, CALL(RespondWorkflowTaskCompleted), &request, RPC_NS, task_over, task);
}

void take_workflow_task(struct worker                                              *worker,
                        const struct workflowservice_PollWorkflowTaskQueueResponse *response)
{
    struct sim   *sim = worker->sim;
    struct arena *arena = &actors_of(sim)->arena;
    struct task  *task = new_task(worker, response->task_token, response->workflow_execution);
    task->type = arena_copy(arena, response->workflow_type->name);
    task->attempt = response->attempt;
    task->started_event_id = response->started_event_id;
    task->legacy_query = response->query != NULL;
    struct work *work = work_of(sim, task->workflow_id);
    if (work != NULL)
        work->run_id = task->run_id;
    task->query_count = response->queries_count;
    task->query_ids = ARENA_NEW_ARRAY(arena, struct bytes, response->queries_count + 1);
    for (size_t i = 0; i < response->queries_count; i++)
        task->query_ids[i] = arena_copy(arena, response->queries[i].key);
    if (response->next_page_token.size != 0)
        sim_fail(sim, "a history of %" PRId64 " events does not fit a page", response->started_event_id);
    /* The Scheduled and Started of a later attempt are virtual: their ids belong to nobody yet. */
    task->last_stored = task->legacy_query      ? journal_last(sim->journal, task->run_id)
                        : response->attempt > 1 ? response->started_event_id - 2
                                                : response->started_event_id;
    if (!task->legacy_query && response->attempt == 1)
        oracle_task_delivered(journal_oracle(sim->journal), task->run_id, response->started_event_id);
    if (response->history != NULL)
        journal_events(sim->journal, task->run_id, response->history->events, response->history->events_count,
                       task->legacy_query ? ORACLE_SETTLED : task->last_stored);
    sim_log(sim, "%.*s task: started event %" PRId64 ", attempt %d, %zu events", BYTES_FMT(task->workflow_id),
            response->started_event_id, response->attempt,
            response->history == NULL ? 0 : response->history->events_count);
    if (sim_strikes(sim, FAULT_WORKER_DIES)) {
        sim_later(sim, sim_between(sim, NS_PER_S, 30 * NS_PER_S), worker_poll,
                  worker); /* the task dies with its worker */
        return;
    }
    sim_later(sim, sim_chance(sim, 0.02) ? 12 * NS_PER_S : sim_between(sim, 0, 20 * NS_PER_MS), complete_task,
              task);
}
