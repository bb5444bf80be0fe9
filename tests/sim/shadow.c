/* shadow.c: a second namespace with the same workflow ids, request ids and queue as the first: nothing of one is seen in the other.
 *
 * Its workflows complete with their first task; a worker and a client of its own see to that. The oracle is not shown its
 * calls: it judges one namespace.
 */
#include <stdio.h>

#include "actors.h"

#define SHADOWS   3
#define NAMESPACE BYTES("shadow")
#define IDENTITY  BYTES("shadow")

struct shadow {
    struct shadows *all;
    char            id[24];
    struct bytes    run_id;
    bool            closed, deleted;
};
struct shadows {
    struct sim   *sim;
    bool          registered, listed;
    struct shadow list[SHADOWS];
};

static void look(struct sim *sim, void *context);
static void poll(struct sim *sim, void *context);

static void shadow_send(struct sim *sim, unsigned method, const void *request, int64_t timeout,
                        sim_answered *answered, void *context)
{
    sim->unseen = true;
    sim_send(sim, method, request, timeout, answered, context);
    sim->unseen = false;
}

static void again(struct sim *sim, void (*run)(struct sim *sim, void *context), void *context)
{
    sim_later_routine(sim, sim_between(sim, NS_PER_MS, 2 * NS_PER_S), run, context);
}

/* The one of the run that the server speaks of; NULL: it is of nobody here. */
static struct shadow *shadow_of(struct shadows *all, const struct common_WorkflowExecution *execution)
{
    for (unsigned i = 0; i < SHADOWS; i++) {
        struct shadow *self = &all->list[i];
        if (bytes_equal_text(execution->workflow_id, self->id) &&
            (self->run_id.size == 0 || bytes_equal(execution->run_id, self->run_id)))
            return self;
    }
    sim_violated(all->sim, "L3 namespaces-mixed", "run %.*s of %.*s is shown in the second namespace",
                 BYTES_FMT(execution->run_id), BYTES_FMT(execution->workflow_id));
    return NULL;
}

/* --- the worker --- */

static void completed(struct sim *sim, void *context, const struct error *error UNUSED,
                      struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    again(sim, poll, context);
}

static void polled(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                   struct arena *arena)
{
    struct workflowservice_PollWorkflowTaskQueueResponse task = { 0 };
    struct error                                         bad;
    if (error->code != ST_OK ||
        pb_decode(&pb_workflowservice_PollWorkflowTaskQueueResponse, reply, arena, &task, &bad) != ST_OK ||
        task.task_token.size == 0 || shadow_of(context, task.workflow_execution) == NULL) {
        again(sim, poll, context);
        return;
    }
    struct command_CompleteWorkflowExecutionCommandAttributes complete = { .result = BYTES_EMPTY };
    struct command_Command                                    command = {
                                           .command_type = enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
                                           .attributes_case = 4,
                                           .complete_workflow_execution_command_attributes = &complete,
    };
    struct workflowservice_RespondWorkflowTaskCompletedRequest request = {
        .namespace = NAMESPACE,
        .task_token = task.task_token,
        .identity = IDENTITY,
        .commands = &command,
        .commands_count = 1,
    };
    shadow_send(sim, CALL(RespondWorkflowTaskCompleted), &request, RPC_NS, completed, context);
}

static void poll(struct sim *sim, void *context)
{
    struct workflowservice_PollWorkflowTaskQueueRequest request = {
        .namespace = NAMESPACE, .task_queue = sim_queue(sim, SIM_QUEUE, false), .identity = IDENTITY
    };
    if (!shadows_finished(sim))
        shadow_send(sim, CALL(PollWorkflowTaskQueue), &request, POLL_NS, polled, context);
}

/* --- the client --- */

static void looked(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                   struct arena *arena)
{
    struct shadow                                           *self = context;
    struct workflowservice_DescribeWorkflowExecutionResponse response = { 0 };
    struct error                                             bad;
    if (error->code == ST_NOT_FOUND)
        sim_violated(sim, "D1 start-lost", "%s of the second namespace: %s", self->id, error->message);
    if (error->code == ST_OK &&
        pb_decode(&pb_workflowservice_DescribeWorkflowExecutionResponse, reply, arena, &response, &bad) ==
            ST_OK &&
        response.workflow_execution_info->status == enums_WORKFLOW_EXECUTION_STATUS_COMPLETED &&
        shadow_of(self->all, response.workflow_execution_info->execution) != NULL)
        self->closed = true;
    else
        again(sim, look, self);
}

static void look(struct sim *sim, void *context)
{
    struct shadow                                          *self = context;
    struct workflowservice_DescribeWorkflowExecutionRequest request = {
        .namespace = NAMESPACE, .execution = sim_execution(sim, bytes_of_text(self->id), BYTES_EMPTY)
    };
    shadow_send(sim, CALL(DescribeWorkflowExecution), &request, RPC_NS, looked, self);
}

static void start(struct sim *sim, void *context);

static void started(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                    struct arena *arena)
{
    struct shadow                                        *self = context;
    struct workflowservice_StartWorkflowExecutionResponse response = { 0 };
    struct error                                          bad;
    if (error->code == ST_OK &&
        pb_decode(&pb_workflowservice_StartWorkflowExecutionResponse, reply, arena, &response, &bad) == ST_OK)
        self->run_id = arena_copy(&actors_of(sim)->arena, response.run_id);
    if (error->code == ST_OK || error->code == ST_ALREADY_EXISTS)
        again(sim, look, self);
    else if (sim_try_again(error) || error->code == ST_NOT_FOUND)
        again(sim, start, self);
    else
        sim_fail(sim, "%s of the second namespace: %s", self->id, error->message);
}

static void start(struct sim *sim, void *context)
{
    struct shadow                                       *self = context;
    struct common_WorkflowType                           type = { .name = BYTES("generation 0") };
    struct workflowservice_StartWorkflowExecutionRequest request = {
        .namespace = NAMESPACE,
        .workflow_id = bytes_of_text(self->id),
        .workflow_type = &type,
        .task_queue = sim_queue(sim, SIM_QUEUE, false),
        .identity = IDENTITY,
        .request_id = bytes_of_text(self->id),
        .workflow_id_reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
    };
    shadow_send(sim, CALL(StartWorkflowExecution), &request, RPC_NS, started, self);
}

static void registered(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                       struct arena *arena UNUSED);

static void register_namespace(struct sim *sim, void *context)
{
    struct workflowservice_RegisterNamespaceRequest request = {
        .namespace = NAMESPACE,
        .workflow_execution_retention_period = duration_of_ns(&actors_of(sim)->arena, 86400 * NS_PER_S),
    };
    shadow_send(sim, CALL(RegisterNamespace), &request, RPC_NS, registered, context);
}

static void registered(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                       struct arena *arena UNUSED)
{
    struct shadows *all = context;
    if (error->code != ST_OK && error->code != ST_ALREADY_EXISTS) {
        again(sim, register_namespace, all);
        return;
    }
    for (unsigned i = 0; i < SHADOWS; i++)
        sim_later(sim, sim_between(sim, 0, 10 * NS_PER_S), start, &all->list[i]);
    again(sim, poll, all);
}

void shadows_start(struct sim *sim)
{
    if (!sim->has_shadow)
        return;
    struct shadows *all = NEW(sim, struct shadows);
    actors_of(sim)->shadows = all;
    all->sim = sim;
    for (unsigned i = 0; i < SHADOWS; i++) {
        all->list[i].all = all;
        snprintf(all->list[i].id, sizeof(all->list[i].id), "workflow-%u", i);
    }
    sim_later(sim, 0, register_namespace, all);
}

bool shadows_finished(const struct sim *sim)
{
    const struct shadows *all = sim->actors->shadows;
    for (unsigned i = 0; all != NULL && i < SHADOWS; i++)
        if (!all->list[i].closed)
            return false;
    return !sim->has_shadow || all != NULL;
}

/* --- the end --- */

static void list(struct sim *sim, void *context);

static void listed(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                   struct arena *arena)
{
    struct shadows                                       *all = context;
    struct workflowservice_ListWorkflowExecutionsResponse response = { 0 };
    struct error                                          bad;
    if (error->code != ST_OK || pb_decode(&pb_workflowservice_ListWorkflowExecutionsResponse, reply, arena,
                                          &response, &bad) != ST_OK) {
        again(sim, list, all);
        return;
    }
    for (size_t i = 0; i < response.executions_count; i++)
        (void)shadow_of(all, response.executions[i].execution);
    if (response.executions_count != SHADOWS)
        sim_violated(sim, "L3 namespaces-mixed", "%zu runs are listed in the second namespace, not %d",
                     response.executions_count, SHADOWS);
    all->listed = true;
}

static void list(struct sim *sim, void *context)
{
    struct workflowservice_ListWorkflowExecutionsRequest request = { .namespace = NAMESPACE };
    shadow_send(sim, CALL(ListWorkflowExecutions), &request, RPC_NS, listed, context);
}

void shadows_audit(struct sim *sim)
{
    if (sim->has_shadow) {
        sim->actors->shadows->listed = false;
        list(sim, sim->actors->shadows);
    }
}

bool shadows_audited(const struct sim *sim)
{
    return !sim->has_shadow || sim->actors->shadows->listed;
}

static void delete(struct sim *sim, void *context);

static void deleted(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                    struct arena *arena UNUSED)
{
    struct shadow *self = context;
    self->deleted = error->code == ST_OK || error->code == ST_NOT_FOUND;
    if (!self->deleted)
        again(sim, delete, self);
}

static void delete(struct sim *sim, void *context)
{
    struct shadow                                        *self = context;
    struct workflowservice_DeleteWorkflowExecutionRequest request = {
        .namespace = NAMESPACE, .workflow_execution = sim_execution(sim, bytes_of_text(self->id), BYTES_EMPTY)
    };
    shadow_send(sim, CALL(DeleteWorkflowExecution), &request, RPC_NS, deleted, self);
}

void shadows_delete(struct sim *sim)
{
    for (unsigned i = 0; sim->has_shadow && i < SHADOWS; i++)
        delete (sim, &sim->actors->shadows->list[i]);
}

bool shadows_deleted(const struct sim *sim)
{
    for (unsigned i = 0; sim->has_shadow && i < SHADOWS; i++)
        if (!sim->actors->shadows->list[i].deleted)
            return false;
    return true;
}
