/* operators.c: simulated operators: each holds a workflow, or its activities, back for a while, and then lets go.
 *
 * A pause that is acknowledged holds until its end is asked for, and an end that is acknowledged is one: a workflow that
 * nobody lets go would never close, which the run's own end notices.
 */
#include <stdio.h>

#include "sim.h"

#define RPC_NS     (10 * NS_PER_S)
#define ROUNDS_MAX 3
#define CALL(name) PB_METHOD_WorkflowService_##name

struct operator
{
    struct sim *sim;
    char        workflow_id[24], request_id[40];
    bool        of_activities; /* else of the whole workflow */
    bool        is_paused;     /* as far as it knows */
    unsigned    round, rounds;
    bool        is_done;
};
struct operators {
    struct operator* list;
    size_t count;
};

static void act(struct sim *sim, void *context);

static void next_round(struct operator* self)
{
    self->is_paused = false;
    self->is_done = ++self->round >= self->rounds;
    if (!self->is_done)
        sim_later(self->sim, sim_between(self->sim, 0, 10 * NS_PER_S), act, self);
}

static void acted(struct sim *sim, void *context, const struct error *error, struct bytes reply UNUSED,
                  struct arena *arena UNUSED)
{
    struct operator* self = context;
    switch (error->code) {
    case ST_OK:
        if (self->is_paused) {
            next_round(self);
        } else {
            self->is_paused = true;
            sim_later(sim, sim_between(sim, 0, sim_chance(sim, 0.5) ? NS_PER_S : 15 * NS_PER_S), act, self);
        }
        return;
    case ST_NOT_FOUND: /* not yet there, nothing pending, or closed */
        next_round(self);
        return;
    case ST_FAILED_PRECONDITION: /* an end that was asked for twice; or a copy of the pause came late and holds it */
        if (self->is_paused) {
            next_round(self);
        } else {
            self->is_paused = true;
            sim_later(sim, sim_between(sim, 0, NS_PER_S), act, self);
        }
        return;
    case ST_UNAVAILABLE:
    case ST_DEADLINE_EXCEEDED:
    case ST_CANCELLED:
    case ST_RESOURCE_EXHAUSTED:
    case ST_INTERNAL:
    case ST_DATA_LOSS: /* it may have happened */
        sim_later(sim, sim_between(sim, NS_PER_MS, 500 * NS_PER_MS), act, self);
        return;
    default:
        sim_fail(sim, "operating on %s: %s %s", self->workflow_id, status_name(error->code), error->message);
    }
}

static void act_on_activities(struct sim *sim, struct operator* self)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(self->workflow_id) };
    /* What goes on after a pause does not wait for the rest of its back-off. */
    oracle_activities_changed(journal_oracle(sim->journal), execution.workflow_id);
    if (self->is_paused) {
        struct workflowservice_UnpauseActivityRequest request = {
            .namespace = BYTES("default"), .execution = &execution, .activity_case = 6, .unpause_all = true
        };
        struct google_Duration jitter = { .seconds = 1 };
        request.jitter = sim_chance(sim, 0.5) ? &jitter : NULL;
        sim_send(sim, CALL(UnpauseActivity), &request, RPC_NS, acted, self);
    } else {
        struct workflowservice_PauseActivityRequest request = { .namespace = BYTES("default"),
                                                                .execution = &execution,
                                                                .activity_case = 5,
                                                                .type = BYTES("activity"),
                                                                .identity = BYTES("operator") };
        sim_send(sim, CALL(PauseActivity), &request, RPC_NS, acted, self);
    }
}

static void act(struct sim *sim, void *context)
{
    struct operator* self = context;
    if (self->of_activities) {
        act_on_activities(sim, self);
        return;
    }
    snprintf(self->request_id, sizeof(self->request_id), "%s-pause-%u", self->workflow_id, self->round);
    if (self->is_paused) {
        struct workflowservice_UnpauseWorkflowExecutionRequest request = {
            .namespace = BYTES("default"),
            .workflow_id = bytes_of_text(self->workflow_id),
            .request_id = bytes_of_text(self->request_id),
        };
        sim_send(sim, CALL(UnpauseWorkflowExecution), &request, RPC_NS, acted, self);
    } else {
        struct workflowservice_PauseWorkflowExecutionRequest request = {
            .namespace = BYTES("default"),
            .workflow_id = bytes_of_text(self->workflow_id),
            .request_id = bytes_of_text(self->request_id),
            .reason = BYTES("simulated"),
        };
        sim_send(sim, CALL(PauseWorkflowExecution), &request, RPC_NS, acted, self);
    }
}

void operators_start(struct sim *sim)
{
    struct operators *operators = xcalloc(1, sizeof(*operators));
    sim->operators = operators;
    operators->count = sim->configuration.operators ? sim->configuration.workflows / 2 : 0;
    operators->list = xcalloc(operators->count + 1, sizeof(operators->list[0]));
    for (size_t i = 0; i < operators->count; i++) {
        struct operator* self = & operators->list[i];
        self->sim = sim;
        snprintf(self->workflow_id, sizeof(self->workflow_id), "workflow-%zu", i * 2);
        self->of_activities = sim_chance(sim, 0.5);
        self->rounds = (unsigned)sim_between(sim, 1, ROUNDS_MAX);
        sim_later(sim, sim_between(sim, 0, 15 * NS_PER_S), act, self);
    }
}

bool operators_finished(const struct sim *sim)
{
    for (size_t i = 0; i < sim->operators->count; i++)
        if (!sim->operators->list[i].is_done)
            return false;
    return true;
}

void operators_free(struct sim *sim)
{
    free(sim->operators->list);
    free(sim->operators);
}
