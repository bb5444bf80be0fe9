/* actors.c: simulated clients that start and signal, and workers that run small programs and activities.
 *
 * A workflow's program is a list of steps drawn from the seed and its number: activities in parallel, a timer, waiting for
 * signals, children in parallel; its runs follow each other by continue-as-new. A child signals its parent, hears that it
 * arrived, and completes. A worker decides from events alone, as an SDK's replay would.
 */
#include <stdio.h>

#include "base/hash.h"
#include "sim.h"

#define RPC_NS     (10 * NS_PER_S)
#define POLL_NS    (70 * NS_PER_S)
#define CALL(name) PB_METHOD_WorkflowService_##name
#define CHILD_TYPE "child"

enum operation_kind { OPERATION_ACTIVITIES, OPERATION_TIMER, OPERATION_CHILDREN, OPERATION_SIGNALS };
struct operation {
    enum operation_kind kind;
    int64_t             count, duration;
};
struct work {
    struct sim      *sim;
    unsigned         number;
    char             id[24];
    unsigned         generations;
    struct operation operations[SIM_OPS_MAX];
    size_t           operation_count;
    unsigned         signals;
    struct {
        char request_id[40];
        bool acknowledged, refused;
    } signal[SIM_SIGNALS_MAX];
    bool         started, closed, audited;
    unsigned     audit_signals[SIM_SIGNALS_MAX];
    struct bytes audit_run; /* in the actors' arena */
};
struct actors {
    struct sim  *sim;
    struct arena arena; /* of requests; reset now and then it is not: a run is short */
    struct work *works;
    size_t       work_count, audited;
    bool         counted;
    int64_t      closed_ids;
};
struct worker {
    struct sim *sim;
    char        queue[24];
    bool        sticky, activities;
};
/* A task in a worker's hands. */
struct task {
    struct worker *worker;
    struct bytes   token, run_id, workflow_id, type, activity_id;
    int64_t        started_event_id, last_stored;
    int32_t        attempt;
    struct bytes  *query_ids;
    size_t         query_count;
    bool           legacy_query;
    unsigned       tries;
};

static struct actors *actors_of(struct sim *sim)
{
    return sim->actors;
}

static struct bytes text(struct sim *sim, const char *from)
{
    return arena_copy(&actors_of(sim)->arena, bytes_of_text(from));
}

#define NEW(sim, type) ARENA_NEW(&actors_of(sim)->arena, type)

static struct taskqueue_TaskQueue *queue(struct sim *sim, const char *name, bool sticky)
{
    struct taskqueue_TaskQueue *queue_ = NEW(sim, struct taskqueue_TaskQueue);
    queue_->name = text(sim, name);
    queue_->kind = sticky ? enums_TASK_QUEUE_KIND_STICKY : enums_TASK_QUEUE_KIND_NORMAL;
    if (sticky)
        queue_->normal_name = BYTES(SIM_QUEUE);
    return queue_;
}

static struct bytes payloads(struct sim *sim, const char *data)
{
    struct arena          *arena = &actors_of(sim)->arena;
    struct common_Payload  payload = { .data = text(sim, data) };
    struct bytes          *one = NEW(sim, struct bytes);
    struct common_Payloads all = { .payloads = one, .payloads_count = 1 };
    *one = pb_encode_arena(&pb_common_Payload, &payload, arena);
    return pb_encode_arena(&pb_common_Payloads, &all, arena);
}

static struct common_WorkflowExecution *execution(struct sim *sim, struct bytes workflow_id,
                                                  struct bytes run_id)
{
    struct common_WorkflowExecution *one = NEW(sim, struct common_WorkflowExecution);
    one->workflow_id = workflow_id;
    one->run_id = run_id;
    return one;
}

/* Whether a failed call may have happened and is worth repeating. */
static bool try_again(const struct error *error)
{
    return error->code == ST_UNAVAILABLE || error->code == ST_DEADLINE_EXCEEDED ||
           error->code == ST_CANCELLED || error->code == ST_RESOURCE_EXHAUSTED || error->code == ST_INTERNAL;
}

static int64_t backoff(struct sim *sim)
{
    return sim_between(sim, NS_PER_MS, 500 * NS_PER_MS);
}

/* --- clients: start --- */

static void start(struct sim *sim, void *context);
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
        if (!try_again(error))
            sim_fail(sim, "start of %s: %s %s", work->id, status_name(error->code), error->message);
        sim_later(sim, backoff(sim), start, work);
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

static void start(struct sim *sim, void *context)
{
    struct work                                         *work = context;
    struct workflowservice_StartWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .workflow_id = bytes_of_text(work->id),
        .workflow_type = NEW(sim, struct common_WorkflowType),
        .task_queue = queue(sim, SIM_QUEUE, false),
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
    else if (try_again(error))
        sim_later(sim, backoff(sim), signal_one, errand);
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
        .workflow_execution = execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
        .signal_name = text(sim, name),
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
        if (!try_again(error))
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
    sim_later(sim, backoff(sim), watch, context);
}

static void watch(struct sim *sim, void *context)
{
    struct work *work = context;
    if (sim->configuration.queries && sim_chance(sim, 0.3)) {
        struct workflowservice_QueryWorkflowRequest query = {
            .namespace = BYTES("default"),
            .execution = execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
            .query = NEW(sim, struct query_WorkflowQuery),
        };
        query.query->query_type = BYTES("state");
        sim_send(sim, CALL(QueryWorkflow), &query, RPC_NS, queried, work);
    }
    if (sim_chance(sim, 0.2)) {
        struct workflowservice_GetWorkflowExecutionHistoryRequest poll = {
            .namespace = BYTES("default"),
            .execution = execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
            .wait_new_event = true,
            .history_event_filter_type = enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        };
        sim_send(sim, CALL(GetWorkflowExecutionHistory), &poll, 30 * NS_PER_S, long_polled, work);
        return;
    }
    struct workflowservice_DescribeWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .execution = execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
    };
    sim_send(sim, CALL(DescribeWorkflowExecution), &request, RPC_NS, watched, work);
}

/* --- the program --- */

struct program {
    struct sim             *sim;
    struct work            *work;
    const struct task      *task;
    struct command_Command *commands;
    size_t                  count;
};

static const struct history_HistoryEvent *event_at(const struct program *program, int64_t id)
{
    return journal_event(program->sim->journal, program->task->run_id, id);
}

/* The event id of what was scheduled under a name, or 0. */
static int64_t find_scheduled(const struct program *program, int32_t type, const char *name)
{
    for (int64_t id = 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type != type)
            continue;
        struct bytes of = type == enums_EVENT_TYPE_TIMER_STARTED
                              ? event->timer_started_event_attributes->timer_id
                          : type == enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
                              ? event->activity_task_scheduled_event_attributes->activity_id
                              : event->start_child_workflow_execution_initiated_event_attributes->workflow_id;
        if (bytes_equal_text(of, name))
            return id;
    }
    return 0;
}

static unsigned generation_of(const struct task *task)
{
    return (unsigned)(task->type.base[task->type.size - 1] - '0');
}

static bool is_over(const struct program *program, int64_t scheduled)
{
    for (int64_t id = scheduled + 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type == enums_EVENT_TYPE_TIMER_FIRED &&
            event->timer_fired_event_attributes->started_event_id == scheduled)
            return true;
        if (event->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED &&
            event->activity_task_completed_event_attributes->scheduled_event_id == scheduled)
            return true;
        if (event->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED &&
            event->child_workflow_execution_completed_event_attributes->initiated_event_id == scheduled)
            return true;
    }
    return false;
}

static struct command_Command *add_command(struct program *program, int32_t type)
{
    struct command_Command *command = &program->commands[program->count++];
    command->command_type = type;
    return command;
}

static void schedule_activity(struct program *program, const char *name)
{
    struct sim             *sim = program->sim;
    struct arena           *arena = &actors_of(sim)->arena;
    struct command_Command *command = add_command(program, enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK);
    struct command_ScheduleActivityTaskCommandAttributes *attributes =
        NEW(sim, struct command_ScheduleActivityTaskCommandAttributes);
    attributes->activity_id = text(sim, name);
    attributes->activity_type = NEW(sim, struct common_ActivityType);
    attributes->activity_type->name = BYTES("activity");
    attributes->task_queue = queue(sim, SIM_QUEUE, false);
    attributes->input = payloads(sim, name);
    attributes->start_to_close_timeout = duration_of_ns(arena, 10 * NS_PER_S);
    if (program->work->number % 2 == 0)
        attributes->heartbeat_timeout = duration_of_ns(arena, 3 * NS_PER_S);
    command->attributes_case = 2;
    command->schedule_activity_task_command_attributes = attributes;
}

static void start_timer(struct program *program, const char *name, int64_t duration)
{
    struct sim             *sim = program->sim;
    struct command_Command *command = add_command(program, enums_COMMAND_TYPE_START_TIMER);
    struct command_StartTimerCommandAttributes *attributes = NEW(sim,
                                                                 struct command_StartTimerCommandAttributes);
    attributes->timer_id = text(sim, name);
    attributes->start_to_fire_timeout = duration_of_ns(&actors_of(sim)->arena, duration);
    command->attributes_case = 3;
    command->start_timer_command_attributes = attributes;
}

static bool activities_pass(struct program *program, size_t index, const struct operation *operation)
{
    bool pass = true;
    for (int64_t i = 0; i < operation->count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "a%zu.%d", index, (int)i);
        int64_t scheduled = find_scheduled(program, enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, name);
        if (scheduled == 0)
            schedule_activity(program, name);
        pass = pass && scheduled != 0 && is_over(program, scheduled);
    }
    return pass;
}

static bool timer_passes(struct program *program, size_t index, const struct operation *operation)
{
    char name[24];
    snprintf(name, sizeof(name), "t%zu", index);
    int64_t started_id = find_scheduled(program, enums_EVENT_TYPE_TIMER_STARTED, name);
    if (started_id == 0)
        start_timer(program, name, operation->duration);
    return started_id != 0 && is_over(program, started_id);
}

static void start_child(struct program *program, const char *name)
{
    struct sim             *sim = program->sim;
    struct command_Command *command = add_command(program, enums_COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION);
    struct command_StartChildWorkflowExecutionCommandAttributes *attributes =
        NEW(sim, struct command_StartChildWorkflowExecutionCommandAttributes);
    attributes->workflow_id = text(sim, name);
    attributes->workflow_type = NEW(sim, struct common_WorkflowType);
    attributes->workflow_type->name = BYTES(CHILD_TYPE);
    attributes->task_queue = queue(sim, SIM_QUEUE, false);
    attributes->workflow_id_reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    command->attributes_case = 12;
    command->start_child_workflow_execution_command_attributes = attributes;
}

static bool children_pass(struct program *program, size_t index, const struct operation *operation)
{
    bool pass = true;
    for (int64_t i = 0; i < operation->count; i++) {
        char name[72];
        snprintf(name, sizeof(name), "%s.%u.%zu.%d", program->work->id, generation_of(program->task), index,
                 (int)i);
        int64_t initiated = find_scheduled(program, enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
                                           name);
        if (initiated == 0)
            start_child(program, name);
        pass = pass && initiated != 0 && is_over(program, initiated);
    }
    return pass;
}

/* A signal of a client, not of a child. */
static bool is_client_signal(const struct history_HistoryEvent *event)
{
    return event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED &&
           event->workflow_execution_signaled_event_attributes->external_workflow_execution == NULL;
}

static bool signals_pass(const struct program *program, const struct operation *operation)
{
    int64_t count = 0;
    for (int64_t id = 1; id <= program->task->last_stored; id++)
        count += is_client_signal(event_at(program, id));
    return count >= operation->count;
}

static void end_run(struct program *program, unsigned generation)
{
    struct sim *sim = program->sim;
    if (generation + 1 >= program->work->generations) {
        struct command_Command *command = add_command(program,
                                                      enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
        command->attributes_case = 4;
        command->complete_workflow_execution_command_attributes =
            NEW(sim, struct command_CompleteWorkflowExecutionCommandAttributes);
        return;
    }
    struct command_Command                                         *command = add_command(program,
                                                                                          enums_COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
    struct command_ContinueAsNewWorkflowExecutionCommandAttributes *attributes =
        NEW(sim, struct command_ContinueAsNewWorkflowExecutionCommandAttributes);
    char name[24];
    snprintf(name, sizeof(name), "generation %u", generation + 1);
    attributes->workflow_type = NEW(sim, struct common_WorkflowType);
    attributes->workflow_type->name = text(sim, name);
    attributes->task_queue = queue(sim, SIM_QUEUE, false);
    command->attributes_case = 11;
    command->continue_as_new_workflow_execution_command_attributes = attributes;
}

static struct work *work_of(struct sim *sim, struct bytes workflow_id)
{
    struct actors *actors = actors_of(sim);
    for (size_t i = 0; i < actors->work_count; i++) {
        if (bytes_equal_text(workflow_id, actors->works[i].id))
            return &actors->works[i];
    }
    return NULL;
}

/* What the program does next, given everything that happened. */
static void run_program(struct program *program)
{
    struct work *work = program->work;
    for (size_t i = 0; i < work->operation_count; i++) {
        const struct operation *operation = &work->operations[i];
        bool pass = operation->kind == OPERATION_ACTIVITIES ? activities_pass(program, i, operation)
                    : operation->kind == OPERATION_TIMER    ? timer_passes(program, i, operation)
                    : operation->kind == OPERATION_CHILDREN ? children_pass(program, i, operation)
                                                            : signals_pass(program, operation);
        if (!pass)
            return;
    }
    end_run(program, generation_of(program->task));
}

/* A child's program: it signals its parent, and completes when it knows that the signal is there. */
static void run_child(struct program *program)
{
    struct sim *sim = program->sim;
    bool        asked = false;
    for (int64_t id = 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        asked = asked || event->event_type == enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED;
        if (event->event_type == enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED)
            sim_fail(sim, "%.*s: its signal did not find its parent", BYTES_FMT(program->task->workflow_id));
        if (event->event_type != enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
            continue;
        struct command_Command *command = add_command(program,
                                                      enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
        command->attributes_case = 4;
        command->complete_workflow_execution_command_attributes =
            NEW(sim, struct command_CompleteWorkflowExecutionCommandAttributes);
        return;
    }
    if (asked)
        return;
    const struct common_WorkflowExecution *parent =
        event_at(program, 1)->workflow_execution_started_event_attributes->parent_workflow_execution;
    struct command_Command                                          *command = add_command(program,
                                                                                           enums_COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION);
    struct command_SignalExternalWorkflowExecutionCommandAttributes *attributes =
        NEW(sim, struct command_SignalExternalWorkflowExecutionCommandAttributes);
    attributes->execution = execution(sim, parent->workflow_id, BYTES_EMPTY);
    attributes->signal_name = BYTES("child");
    command->attributes_case = 13;
    command->signal_external_workflow_execution_command_attributes = attributes;
}

/* --- workflow workers --- */

static void poll(struct sim *sim, void *context);
static void complete_task(struct sim *sim, void *context);

static void task_over(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                      struct arena *arena UNUSED)
{
    struct task *task = context;
    if (error->code == ST_INVALID_ARGUMENT && task->legacy_query == false)
        sim_log(sim, "task of %.*s refused: %s", BYTES_FMT(task->workflow_id), error->message);
    if (try_again(error) && error->code != ST_INTERNAL && task->tries++ < 3) {
        sim_later(sim, backoff(sim), complete_task,
                  task); /* what an SDK does; the answer may be "not found" then */
        return;
    }
    sim_later(sim, sim_between(sim, 0, NS_PER_MS), poll, task->worker);
}

static void answer_query(struct sim *sim, struct task *task)
{
    struct workflowservice_RespondQueryTaskCompletedRequest request = {
        .namespace = BYTES("default"),
        .task_token = task->token,
        .completed_type = enums_QUERY_RESULT_TYPE_ANSWERED,
        .query_result = payloads(sim, "answer"),
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
        request->query_results[i].value->answer = payloads(sim, "answer");
    }
}

static void complete_task(struct sim *sim, void *context)
{
    struct task *task = context;
    if (task->legacy_query) {
        answer_query(sim, task);
        return;
    }
    if (sim->faulty && sim_chance(sim, sim->configuration.task_failure_rate)) {
        fail_task(sim, task);
        return;
    }
    struct program program = { .sim = sim, .work = work_of(sim, task->workflow_id), .task = task };
    program.commands = ARENA_NEW_ARRAY(&actors_of(sim)->arena, struct command_Command, 16);
    for (int64_t id = 1; id <= task->last_stored; id++) {
        if (journal_event(sim->journal, task->run_id, id) == NULL) {
            /* A sticky task's earlier events went to nobody here: let another worker have it with all of them. */
            sim_later(sim, sim_between(sim, 0, NS_PER_MS), poll, task->worker);
            sim_log(sim, "%.*s: event %" PRId64 " of %" PRId64 " unknown", BYTES_FMT(task->workflow_id), id,
                    task->last_stored);
            return;
        }
    }
    (program.work == NULL ? run_child : run_program)(&program);
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
        request.sticky_attributes->worker_task_queue = queue(sim, name, true);
        request.sticky_attributes->schedule_to_start_timeout = duration_of_ns(&actors_of(sim)->arena,
                                                                              5 * NS_PER_S);
    }
    sim_send(sim, CALL(RespondWorkflowTaskCompleted), &request, RPC_NS, task_over, task);
}

static struct task *new_task(struct worker *worker, struct bytes token,
                             const struct common_WorkflowExecution *run)
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

static void take_workflow_task(struct worker                                              *worker,
                               const struct workflowservice_PollWorkflowTaskQueueResponse *response)
{
    struct sim   *sim = worker->sim;
    struct arena *arena = &actors_of(sim)->arena;
    struct task  *task = new_task(worker, response->task_token, response->workflow_execution);
    task->type = arena_copy(arena, response->workflow_type->name);
    task->attempt = response->attempt;
    task->started_event_id = response->started_event_id;
    task->legacy_query = response->query != NULL;
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
    if (response->history != NULL)
        journal_events(sim->journal, task->run_id, response->history->events, response->history->events_count,
                       task->legacy_query ? INT64_MAX : task->last_stored);
    sim_log(sim, "%.*s task: started event %" PRId64 ", attempt %d, %zu events", BYTES_FMT(task->workflow_id),
            response->started_event_id, response->attempt,
            response->history == NULL ? 0 : response->history->events_count);
    if (sim->faulty && sim_chance(sim, sim->configuration.worker_death_rate)) {
        sim_later(sim, sim_between(sim, NS_PER_S, 30 * NS_PER_S), poll,
                  worker); /* the task dies with its worker */
        return;
    }
    sim_later(sim, sim_chance(sim, 0.02) ? 12 * NS_PER_S : sim_between(sim, 0, 20 * NS_PER_MS), complete_task,
              task);
}

/* --- activity workers --- */

static void complete_activity(struct sim *sim, void *context);

static void activity_over(struct sim *sim, void *context, const struct error *error,
                          struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    struct task *task = context;
    if (error->code == ST_OK)
        journal_attempt_accepted(sim->journal, task->run_id, task->activity_id, task->attempt);
    if (try_again(error) && task->tries++ < 5) {
        sim_later(sim, backoff(sim), complete_activity, task);
        return;
    }
    sim_later(sim, sim_between(sim, 0, NS_PER_MS), poll, task->worker);
}

static void activity_failed(struct sim *sim, void *context, const struct error *error UNUSED,
                            struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    struct task *task = context;
    sim_later(sim, sim_between(sim, 0, NS_PER_MS), poll, task->worker);
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
        .result = payloads(sim, result),
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
        .details = sim_chance(sim, 0.5) ? payloads(sim, "progress") : BYTES_EMPTY,
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(RecordActivityTaskHeartbeat), &request, RPC_NS, heartbeaten, task);
}

static void take_activity(struct worker                                              *worker,
                          const struct workflowservice_PollActivityTaskQueueResponse *response)
{
    struct sim  *sim = worker->sim;
    struct task *task = new_task(worker, response->task_token, response->workflow_execution);
    task->activity_id = arena_copy(&actors_of(sim)->arena, response->activity_id);
    task->attempt = response->attempt;
    if (response->input.size == 0)
        sim_fail(sim, "activity %.*s came without its input", BYTES_FMT(response->activity_id));
    journal_attempt_delivered(sim->journal, task->run_id, task->activity_id, task->attempt);
    if (sim->faulty && sim_chance(sim, sim->configuration.worker_death_rate)) {
        sim_later(sim, sim_between(sim, NS_PER_S, 30 * NS_PER_S), poll, worker);
        return;
    }
    int64_t takes = sim_chance(sim, 0.1) ? sim_between(sim, 0, 12 * NS_PER_S)
                                         : sim_between(sim, 0, 50 * NS_PER_MS);
    for (int64_t at = NS_PER_S; at < takes; at += NS_PER_S)
        sim_later(sim, at, heartbeat, task);
    sim_later(sim, takes, complete_activity, task);
}

/* --- polling --- */

static void polled(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                   struct arena *arena)
{
    struct worker *worker = context;
    struct error   bad;
    if (error->code != ST_OK) {
        sim_later(sim, backoff(sim), poll, worker);
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
            sim_later(sim, NS_PER_MS, poll, worker);
        return;
    }
    struct workflowservice_PollWorkflowTaskQueueResponse response;
    if (pb_decode(&pb_workflowservice_PollWorkflowTaskQueueResponse, reply, arena, &response, &bad) != ST_OK)
        sim_fail(sim, "a task does not decode: %s", bad.message);
    else if (response.task_token.size != 0)
        take_workflow_task(worker, &response);
    else
        sim_later(sim, NS_PER_MS, poll, worker);
}

static void poll(struct sim *sim, void *context)
{
    struct worker *worker = context;
    if (worker->activities) {
        struct workflowservice_PollActivityTaskQueueRequest request = {
            .namespace = BYTES("default"),
            .task_queue = queue(sim, worker->queue, false),
            .identity = BYTES("worker"),
        };
        sim_send(sim, CALL(PollActivityTaskQueue), &request, POLL_NS, polled, worker);
        return;
    }
    struct workflowservice_PollWorkflowTaskQueueRequest request = {
        .namespace = BYTES("default"),
        .task_queue = queue(sim, worker->queue, worker->sticky),
        .identity = BYTES("worker"),
    };
    sim_send(sim, CALL(PollWorkflowTaskQueue), &request, POLL_NS, polled, worker);
}

static void new_worker(struct sim *sim, const char *queue_name, bool sticky, bool activities)
{
    struct worker *worker = NEW(sim, struct worker);
    worker->sim = sim;
    worker->sticky = sticky;
    worker->activities = activities;
    snprintf(worker->queue, sizeof(worker->queue), "%s", queue_name);
    sim_later(sim, backoff(sim), poll, worker);
}

/* --- the whole --- */

static void draw_work(struct sim *sim, struct work *work, unsigned number)
{
    work->sim = sim;
    work->number = number;
    snprintf(work->id, sizeof(work->id), "workflow-%u", number);
    /* A client's retry of a signal is recognised by the run it reached; so these do not continue as new. */
    bool takes_signals = sim_chance(sim, 0.5);
    work->signals = takes_signals ? (unsigned)sim_between(sim, 1, SIM_SIGNALS_MAX) : 0;
    work->generations = takes_signals ? 1 : (unsigned)sim_between(sim, 1, 3);
    for (unsigned i = 0; i < work->signals; i++)
        snprintf(work->signal[i].request_id, sizeof(work->signal[i].request_id), "%s-%u", work->id, i);
    work->operation_count = (size_t)sim_between(sim, 0, SIM_OPS_MAX);
    for (size_t i = 0; i < work->operation_count; i++) {
        struct operation *operation = &work->operations[i];
        operation->kind = (enum operation_kind)sim_between(sim, 0,
                                                           takes_signals ? OPERATION_SIGNALS
                                                                         : OPERATION_CHILDREN);
        operation->count = operation->kind == OPERATION_SIGNALS ? sim_between(sim, 1, work->signals)
                                                                : sim_between(sim, 1, 3);
        operation->duration = sim_chance(sim, 0.5) ? sim_between(sim, 1, NS_PER_S)
                                                   : sim_between(sim, NS_PER_S, 30 * NS_PER_S);
    }
}

void actors_start(struct sim *sim)
{
    struct actors *actors = xcalloc(1, sizeof(*actors));
    sim->actors = actors;
    actors->sim = sim;
    arena_init(&actors->arena, SIZE_MAX);
    actors->work_count = sim->configuration.workflows;
    actors->works = xcalloc(actors->work_count, sizeof(struct work));
    for (unsigned i = 0; i < actors->work_count; i++) {
        draw_work(sim, &actors->works[i], i);
        sim_later(sim, sim_between(sim, 0, sim->configuration.busy ? 100 * NS_PER_MS : 10 * NS_PER_S), start,
                  &actors->works[i]);
    }
    for (unsigned i = 0; i < sim->configuration.workflow_workers; i++)
        new_worker(sim, SIM_QUEUE, false, false);
    for (unsigned i = 0; i < sim->configuration.sticky_workers; i++) {
        char name[24];
        snprintf(name, sizeof(name), "sticky-%u", i);
        new_worker(sim, name, true, false);
    }
    for (unsigned i = 0; i < sim->configuration.activity_workers; i++)
        new_worker(sim, SIM_QUEUE, false, true);
}

bool actors_finished(struct sim *sim, bool explain)
{
    struct actors *actors = actors_of(sim);
    bool           finished = operators_finished(sim);
    for (size_t i = 0; i < actors->work_count; i++) {
        struct work *work = &actors->works[i];
        bool         settled = work->closed;
        for (unsigned at = 0; at < work->signals; at++)
            settled = settled && (work->signal[at].acknowledged || work->signal[at].refused);
        if (explain && !settled)
            sim_log(sim, "%s: started=%d closed=%d", work->id, work->started, work->closed);
        finished = finished && settled;
    }
    return finished;
}

/* --- the audit: everything is read back --- */

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
    if (error->code != ST_OK && try_again(error)) {
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
    journal_events(sim->journal, work->audit_run, response.history->events, count, INT64_MAX);
    if (journal_last(sim->journal, work->audit_run) != (int64_t)count)
        sim_fail(sim, "%s: somebody saw event %" PRId64 ", history ends at %zu", work->id,
                 journal_last(sim->journal, work->audit_run), count);
    journal_check_run(sim->journal, work->audit_run);
    if (sim->failure[0] != '\0')
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
        .execution = execution(sim, bytes_of_text(work->id), work->audit_run),
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
    if (error->code != ST_OK && try_again(error)) { /* quarantined still, say */
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
        .execution = execution(sim, bytes_of_text(work->id), BYTES_EMPTY),
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

void actors_free(struct sim *sim)
{
    arena_release(&sim->actors->arena);
    free(sim->actors->works);
    free(sim->actors);
}
