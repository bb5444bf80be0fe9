/* workflow_worker.c: what a simulated worker does with a workflow task, well or badly. */
#include <stdio.h>

#include "actors.h"

static void complete_task(struct sim *sim, void *context);

/* A token that has been used, one of the wrong kind, a broken one: none may have an effect. */
static void reused(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                   struct arena *arena UNUSED)
{
    const struct task *task = context;
    if (error->code == ST_OK)
        sim_violated(sim, "E2 stale-token", "%.*s: a token of no task that is under way was accepted",
                     BYTES_FMT(task->workflow_id));
}

void misuse_token(struct task *task)
{
    struct sim *sim = task->worker->sim;
    if (!has_feature(sim, FEATURE_BAD_TOKENS) || !sim_chance(sim, 0.1))
        return;
    struct bytes token = task->token;
    if (sim_chance(sim, 0.3))
        token.size--;
    if (sim_chance(sim, 0.5)) {
        struct workflowservice_RespondWorkflowTaskCompletedRequest request = { .namespace = BYTES("default"),
                                                                               .task_token = token,
                                                                               .identity = BYTES("worker") };
        sim_send(sim, CALL(RespondWorkflowTaskCompleted), &request, RPC_NS, reused, task);
    } else {
        struct workflowservice_RespondActivityTaskCompletedRequest request = { .namespace = BYTES("default"),
                                                                               .task_token = token,
                                                                               .identity = BYTES("worker") };
        sim_send(sim, CALL(RespondActivityTaskCompleted), &request, RPC_NS, reused, task);
    }
}

static bool retry_task(struct task *task, const struct error *error)
{
    struct sim *sim = task->worker->sim;
    if (!sim_try_again(error) || error->code == ST_INTERNAL || task->tries++ >= 3)
        return false;
    /* What an SDK does; the answer may be "not found" then. */
    sim_later(sim, sim_backoff(sim), complete_task, task);
    return true;
}

static void task_over(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                      struct arena *arena UNUSED)
{
    struct task *task = context;
    if (error->code == ST_INVALID_ARGUMENT)
        sim_log(sim, "task of %.*s refused: %s", BYTES_FMT(task->workflow_id), error->message);
    if (!retry_task(task, error))
        worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
}

/* The next task and activities may come with the answer. */
static void task_completed(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                           struct arena *arena)
{
    struct task                                                *task = context;
    struct workflowservice_RespondWorkflowTaskCompletedResponse response;
    struct error                                                bad;
    if (error->code != ST_OK) {
        task_over(sim, context, error, reply, arena);
        return;
    }
    if (pb_decode(&pb_workflowservice_RespondWorkflowTaskCompletedResponse, reply, arena, &response, &bad) !=
        ST_OK) {
        sim_fail(sim, "the answer to a completion does not decode: %s", bad.message);
        return;
    }
    misuse_token(task);
    for (size_t i = 0; i < response.activity_tasks_count; i++)
        take_activity(new_worker_once(sim), &response.activity_tasks[i]);
    if (response.workflow_task != NULL)
        take_workflow_task(task->worker, response.workflow_task);
    else
        worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
}

/* --- answers of other kinds --- */

static void answer_query(struct sim *sim, struct task *task)
{
    struct workflowservice_RespondQueryTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .completed_type = enums_QUERY_RESULT_TYPE_ANSWERED,
        .query_result = sim_payloads(sim, "answer"),
    };
    if (sim_chance(sim, 0.1)) {
        request.completed_type = enums_QUERY_RESULT_TYPE_FAILED;
        request.error_message = BYTES("simulated");
    }
    sim_send(sim, CALL(RespondQueryTaskCompleted), &request, RPC_NS, task_over, task);
}

static void fail_task(struct sim *sim, struct task *task)
{
    static const int32_t causes[] = {
        enums_WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
        enums_WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
        enums_WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
    };
    struct workflowservice_RespondWorkflowTaskFailedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .cause = causes[sim_between(sim, 0, 2)],
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RespondWorkflowTaskFailed), &request, RPC_NS, task_over, task);
}

static void bad_commands_answered(struct sim *sim, void *context, const struct error *error,
                                  struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    struct task *task = context;
    if (error->code == ST_OK)
        sim_violated(sim, "E2 bad-commands", "%.*s: commands that make no sense were accepted",
                     BYTES_FMT(task->workflow_id));
    worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
}

/* A worker with a defect: its commands lack what they need. */
static void complete_badly(struct sim *sim, struct task *task)
{
    struct command_StartTimerCommandAttributes                timer = { .timer_id = BYTES("") };
    struct command_RequestCancelActivityTaskCommandAttributes activity = { .scheduled_event_id = 999999 };
    struct command_CancelTimerCommandAttributes               no_timer = { .timer_id = BYTES("none") };
    struct command_Command                                    commands[] = {
        { .command_type = enums_COMMAND_TYPE_START_TIMER,
                                             .attributes_case = 3,
                                             .start_timer_command_attributes = &timer },
        { .command_type = enums_COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
                                             .attributes_case = 6,
                                             .request_cancel_activity_task_command_attributes = &activity },
        { .command_type = enums_COMMAND_TYPE_CANCEL_TIMER,
                                             .attributes_case = 7,
                                             .cancel_timer_command_attributes = &no_timer },
        { .command_type = enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK },
    };
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .commands = &commands[sim_between(sim, 0, 3)],
        .commands_count = 1,
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RespondWorkflowTaskCompleted), &request, RPC_NS, bad_commands_answered, task);
}

/* --- the answer --- */

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

static void become_sticky(struct sim                                                 *sim,
                          struct workflowservice_RespondWorkflowTaskCompletedRequest *request)
{
    char name[24];
    snprintf(name, sizeof(name), "sticky-%u",
             (unsigned)random_below(&sim->random, sim->configuration.sticky_workers));
    request->sticky_attributes = NEW(sim, struct taskqueue_StickyExecutionAttributes);
    request->sticky_attributes->worker_task_queue = sim_queue(sim, name, true);
    request->sticky_attributes->schedule_to_start_timeout = duration_of_ns(&actors_of(sim)->arena,
                                                                           5 * NS_PER_S);
}

/* Whether somebody here has all events; else another worker has to have the task with its whole history. */
static bool knows_history(const struct sim *sim, const struct task *task)
{
    for (int64_t id = 1; id <= task->last_stored; id++) {
        if (journal_event(sim->journal, task->run_id, id) == NULL)
            return false;
    }
    return true;
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
    if (sim->faulty && has_feature(sim, FEATURE_BAD_COMMANDS) && sim_chance(sim, 0.03)) {
        complete_badly(sim, task);
        return;
    }
    if (!knows_history(sim, task)) {
        sim_log(sim, "%.*s: not all of %" PRId64 " events are known", BYTES_FMT(task->workflow_id),
                task->last_stored);
        worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
        return;
    }
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .identity = BYTES("worker"),
    };
    if (has_feature(sim, FEATURE_HEARTBEATS) && task->message_count == 0 && task->tries == 0 &&
        sim_chance(sim, 0.1)) {
        request.force_create_new_workflow_task = true; /* a local activity goes on */
    } else {
        struct program program = { .sim = sim, .work = work_of(sim, task->workflow_id), .task = task };
        program_run(&program);
        request.commands = program.commands;
        request.commands_count = program.count;
        request.messages = program.messages;
        request.messages_count = program.message_count;
    }
    request.return_new_workflow_task = has_feature(sim, FEATURE_INLINE) && sim_chance(sim, 0.7);
    answer_queries(sim, task, &request);
    if (sim->configuration.sticky && sim_chance(sim, 0.7))
        become_sticky(sim, &request);
    sim_send(sim, CALL(RespondWorkflowTaskCompleted), &request, RPC_NS, task_completed, task);
}

/* --- the task --- */

static void take_messages(struct sim *sim, struct task *task,
                          const struct workflowservice_PollWorkflowTaskQueueResponse *response)
{
    struct arena *arena = &actors_of(sim)->arena;
    task->messages = ARENA_NEW_ARRAY(arena, struct task_message, response->messages_count + 1);
    task->message_count = response->messages_count;
    for (size_t i = 0; i < response->messages_count; i++) {
        const struct protocol_Message *from = &response->messages[i];
        struct task_message           *to = &task->messages[i];
        struct google_Any              any;
        struct error                   error;
        to->id = arena_copy(arena, from->id);
        to->instance = arena_copy(arena, from->protocol_instance_id);
        to->event_id = from->event_id;
        to->request = NEW(sim, struct update_Request);
        if (pb_decode(&pb_google_Any, arena_copy(arena, from->body), arena, &any, &error) != ST_OK ||
            pb_decode(&pb_update_Request, any.value, arena, to->request, &error) != ST_OK)
            sim_fail(sim, "a message does not decode: %s", error.message);
    }
}

/* The Scheduled and Started of a later attempt, and of a task for an update, may be virtual: their ids belong to nobody yet.
 * Then nothing stands between them. */
static bool may_be_virtual(const struct task *task, const struct history_History *history,
                           struct arena *arena)
{
    struct history_HistoryEvent event;
    struct error                error;
    size_t                      count = history == NULL ? 0 : history->events_count;
    if ((task->attempt == 1 && task->message_count == 0) || count < 2)
        return false;
    return pb_decode(&pb_history_HistoryEvent, history->events[count - 2], arena, &event, &error) == ST_OK &&
           event.event_type == enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED;
}

/* The last page, which tells of the task itself. */
static void take_history(struct sim *sim, struct task *task, const struct history_History *history)
{
    bool    is_virtual = may_be_virtual(task, history, &actors_of(sim)->arena);
    int64_t stored = task->started_event_id - (is_virtual ? 2 : 0);
    task->last_stored = task->legacy_query ? journal_last(sim->journal, task->run_id)
                                           : task->started_event_id;
    /* The task that a start brought along is given to each of its attempts, and comes back when one of them is gone. */
    if (!task->legacy_query && !is_virtual && !task->worker->is_once)
        oracle_task_delivered(journal_oracle(sim->journal), task->run_id, task->started_event_id);
    for (int64_t id = stored + 1; !task->legacy_query && id <= task->started_event_id; id++)
        journal_virtual(sim->journal, task->run_id, id);
    if (history != NULL)
        journal_events(sim->journal, task->run_id, history->events, history->events_count,
                       task->legacy_query ? ORACLE_SETTLED : stored);
}

static void take_page(struct sim *sim, struct task *task, const struct history_History *history,
                      struct bytes next);

static void page_taken(struct sim *sim, void *context, const struct error *error UNUSED, const void *response)
{
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = response;
    struct task                                                      *task = context;
    if (page != NULL)
        take_page(sim, task, page->history, page->next_page_token);
    else /* the run is gone */
        worker_next(task->worker, sim_between(sim, 0, NS_PER_MS));
}

static void take_page(struct sim *sim, struct task *task, const struct history_History *history,
                      struct bytes next)
{
    if (next.size != 0) {
        struct arena *arena = &actors_of(sim)->arena;
        if (history != NULL)
            journal_events(sim->journal, task->run_id, history->events, history->events_count,
                           ORACLE_SETTLED);
        ERRAND(sim, GetWorkflowExecutionHistory, CODE(ST_NOT_FOUND), page_taken, task,
               .execution = sim_execution(sim, task->workflow_id, task->run_id),
               .next_page_token = arena_copy(arena, next));
        return;
    }
    take_history(sim, task, history);
    if (sim_strikes(sim, FAULT_WORKER_DIES)) {
        worker_next(task->worker, sim_between(sim, NS_PER_S, 30 * NS_PER_S)); /* it dies with its worker */
        return;
    }
    sim_later(sim, sim_chance(sim, 0.02) ? 12 * NS_PER_S : sim_between(sim, 0, 20 * NS_PER_MS), complete_task,
              task);
}

void take_workflow_task(struct worker                                              *worker,
                        const struct workflowservice_PollWorkflowTaskQueueResponse *response)
{
    struct sim   *sim = worker->sim;
    struct arena *arena = &actors_of(sim)->arena;
    struct task  *task = new_task(worker, response->task_token, response->workflow_execution);
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
    take_messages(sim, task, response);
    sim_log(sim, "%.*s task: started event %" PRId64 ", attempt %d, %zu events, %zu messages",
            BYTES_FMT(task->workflow_id), response->started_event_id, response->attempt,
            response->history == NULL ? 0 : response->history->events_count, task->message_count);
    take_page(sim, task, response->history, response->next_page_token);
}
