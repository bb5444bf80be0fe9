/* client_updates.c: simulated clients that update workflows, as SDKs do: update until it is accepted, poll until it is over. */
#include <stdio.h>

#include "actors.h"

#define STAGE(name) enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_##name

static void poll_update(struct sim *sim, void *context);

static void settle(struct update *update)
{
    sim_log(update->work->sim, "update %s is settled: accepted=%d completed=%d", update->id, update->accepted,
            update->completed);
    update->settled = true;
}

void client_updated(struct update *update, const struct update_Outcome *outcome, int32_t stage)
{
    struct sim *sim = update->work->sim;
    if (stage >= STAGE(ACCEPTED) && (outcome == NULL || outcome->value_case == 1))
        update->accepted = true;
    if (outcome != NULL) {
        update->completed = outcome->value_case == 1;
        if (update->completed && strcmp(update->name, "reject") == 0)
            sim_fail(sim, "update %s was completed, and should have been rejected", update->id);
        settle(update);
    } else if (stage == STAGE(COMPLETED)) {
        sim_fail(sim, "update %s is complete without an outcome", update->id);
    } else {
        sim_later_routine(sim, sim_backoff(sim), stage >= STAGE(ACCEPTED) ? poll_update : client_update,
                          update);
    }
}

/* Closed, paused, not ready: the first is for ever. */
static void refused(struct update *update, const struct error *error)
{
    if (error->code == ST_NOT_FOUND && update->work->interventions == 0)
        settle(update);
    else
        sim_later_routine(update->work->sim, sim_between(update->work->sim, NS_PER_S, 3 * NS_PER_S),
                          client_update, update);
}

static void updated(struct sim *sim UNUSED, void *context, const struct error *error, const void *answer)
{
    const struct workflowservice_UpdateWorkflowExecutionResponse *response = answer;
    if (response == NULL)
        refused(context, error);
    else
        client_updated(context, response->outcome, response->stage);
}

static void polled(struct sim *sim UNUSED, void *context, const struct error *error, const void *answer)
{
    const struct workflowservice_PollWorkflowExecutionUpdateResponse *response = answer;
    if (response == NULL)
        refused(context, error);
    else
        client_updated(context, response->outcome, response->stage);
}

static struct update_WaitPolicy *wait_policy(struct sim *sim, bool waits_for_end)
{
    struct update_WaitPolicy *policy = NEW(sim, struct update_WaitPolicy);
    policy->lifecycle_stage = waits_for_end ? STAGE(COMPLETED) : STAGE(ACCEPTED);
    return policy;
}

struct workflowservice_UpdateWorkflowExecutionRequest *client_update_request(struct update *update)
{
    struct sim                                            *sim = update->work->sim;
    struct workflowservice_UpdateWorkflowExecutionRequest *request =
        NEW(sim, struct workflowservice_UpdateWorkflowExecutionRequest);
    request->namespace = BYTES("default");
    request->workflow_execution = sim_execution(sim, bytes_of_text(update->work->id), BYTES_EMPTY);
    request->wait_policy = wait_policy(sim, update->waits_for_end);
    request->request = NEW(sim, struct update_Request);
    request->request->meta = NEW(sim, struct update_Meta);
    request->request->meta->update_id = bytes_of_text(update->id);
    request->request->meta->identity = BYTES("client");
    request->request->input = NEW(sim, struct update_Input);
    request->request->input->name = bytes_of_text(update->name);
    request->request->input->args = sim_payloads(sim, update->id);
    return request;
}

void client_update(struct sim *sim, void *context)
{
    struct update *update = context;
    errand_run(sim, CALL(UpdateWorkflowExecution), client_update_request(update),
               CODE(ST_NOT_FOUND) | CODE(ST_FAILED_PRECONDITION), updated, update);
}

static void poll_update(struct sim *sim, void *context)
{
    struct update           *update = context;
    struct update_UpdateRef *ref = NEW(sim, struct update_UpdateRef);
    ref->workflow_execution = sim_execution(sim, bytes_of_text(update->work->id), BYTES_EMPTY);
    ref->update_id = bytes_of_text(update->id);
    ERRAND(sim, PollWorkflowExecutionUpdate, CODE(ST_NOT_FOUND), polled, update, .update_ref = ref,
           .identity = BYTES("client"), .wait_policy = wait_policy(sim, true));
}
