/* update.c: UpdateWorkflowExecution and PollWorkflowExecutionUpdate, and the waiting of ExecuteMultiOperation for its update.
 *
 * Works on the run's owner lane, so that nothing can happen to the update between the engine's answer and the wait: from then
 * on the engine's news say what becomes of it. A wait ends after 20 s with the stage that was reached.
 */
#include "engine/update.h"
#include "api/api_internal.h"
#include "base/hash.h"
#include "engine/failure.h"

#define STAGE(name) enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_##name

static struct rpc *rpc_of_update(struct rpc_update *update)
{
    return CONTAINER_OF(update, struct rpc, update);
}

/* --- the table of a lane --- */

static uint64_t key_hash(store_number run, struct bytes id)
{
    return hash_combine(hash_u64((uint64_t)run), hash_bytes(id));
}

static void update_unlink(struct rpc *rpc)
{
    struct api_lane *lane = rpc_at(rpc);
    if (!rpc->update.linked)
        return;
    table_remove(&lane->updates, &rpc->update.link);
    rpc->update.linked = false;
}

/* --- answers --- */

static struct update_UpdateRef *ref_make(struct rpc *rpc)
{
    struct update_UpdateRef *ref = ARENA_NEW(&rpc->arena, struct update_UpdateRef);
    char                     text[UUID_TEXT_SIZE];
    uuid_print(&rpc->update.run_id, text);
    ref->workflow_execution = ARENA_NEW(&rpc->arena, struct common_WorkflowExecution);
    ref->workflow_execution->workflow_id = rpc->update.workflow_id;
    ref->workflow_execution->run_id = arena_copy(&rpc->arena, bytes_of(text, sizeof text));
    ref->update_id = rpc->update.id;
    return ref;
}

static struct update_Outcome *outcome_decode(struct rpc *rpc, struct bytes encoded)
{
    struct error           error;
    struct update_Outcome *outcome = ARENA_NEW(&rpc->arena, struct update_Outcome);
    if (encoded.base == NULL)
        return NULL;
    if (pb_decode(&pb_update_Outcome, arena_copy(&rpc->arena, encoded), &rpc->arena, outcome, &error) !=
        ST_OK)
        panic("an outcome does not decode: %s", error.message);
    return outcome;
}

static struct workflowservice_UpdateWorkflowExecutionResponse *update_response(struct rpc  *rpc,
                                                                               struct bytes outcome)
{
    struct workflowservice_UpdateWorkflowExecutionResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_UpdateWorkflowExecutionResponse);
    response->update_ref = ref_make(rpc);
    response->outcome = outcome_decode(rpc, outcome);
    response->stage = rpc->update.stage;
    return response;
}

/* With the stage that was reached. `outcome` has no base when there is none. */
static void answer(struct rpc *rpc, struct bytes outcome)
{
    update_unlink(rpc);
    switch (rpc->update.caller) {
    case UPDATE_CALLER_UPDATE:
        rpc_reply(rpc, update_response(rpc, outcome));
        return;
    case UPDATE_CALLER_POLL: {
        struct workflowservice_PollWorkflowExecutionUpdateResponse *response =
            ARENA_NEW(&rpc->arena, struct workflowservice_PollWorkflowExecutionUpdateResponse);
        response->update_ref = ref_make(rpc);
        response->outcome = outcome_decode(rpc, outcome);
        response->stage = rpc->update.stage;
        rpc_reply(rpc, response);
        return;
    }
    default:
        multi_operation_answer(rpc, update_response(rpc, outcome));
    }
}

static void refuse(struct rpc *rpc, const struct error *error)
{
    update_unlink(rpc);
    if (rpc->update.caller == UPDATE_CALLER_MULTI_OPERATION)
        multi_operation_fail(rpc, error);
    else
        rpc_fail_error(rpc, error);
}

/* --- waiting --- */

static void update_expired(struct api_timer *timer)
{
    struct rpc *rpc = CONTAINER_OF(timer, struct rpc, timer);
    if (rpc->update.expires_with_caller)
        refuse(rpc, &(struct error){ .code = ST_DEADLINE_EXCEEDED, .message = "context deadline exceeded" });
    else
        answer(rpc, BYTES_EMPTY);
}

/* What only memory knows of the update goes with the server. */
static void update_drained(struct rpc *rpc)
{
    refuse(rpc, &(struct error){ .code = ST_UNAVAILABLE, .message = "the server is shutting down" });
}

static void update_gone(struct rpc *rpc)
{
    update_unlink(rpc);
    rpc_fail(rpc, ST_CANCELLED, "the caller is gone");
}

static bool is_reached(const struct rpc_update *update)
{
    return update->stage >= update->wanted_stage;
}

void update_wait(struct rpc *rpc)
{
    struct api_lane   *lane = rpc_at(rpc);
    struct rpc_update *update = &rpc->update;
    update->run = rpc->work.run_number;
    update->run_id = rpc->work.run_id;
    update->stage = rpc->work.update.stage;
    if (is_reached(update) || update->stage == STAGE(COMPLETED)) {
        answer(rpc, rpc->work.update.outcome);
        return;
    }
    if (rpc->gone_seen || lane->draining) {
        update_drained(rpc);
        return;
    }
    if (lane->updates.count >= WAITERS_MAX) {
        struct error error;
        error_exhausted(&error, &rpc->arena, enums_RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
                        "too many calls wait for updates on this server");
        refuse(rpc, &error);
        return;
    }
    table_insert(&lane->updates, &update->link, key_hash(update->run, update->id));
    update->linked = true;
    rpc_wait(rpc, update_drained, update_gone);
    rpc_set_timer(rpc, update->expires, update_expired);
}

static void update_tell(struct rpc *rpc, const struct news *news)
{
    struct rpc_update *update = &rpc->update;
    struct error       error = { 0 };
    switch (news->what) {
    case UPDATE_ACCEPTED:
        update->stage = STAGE(ACCEPTED);
        if (is_reached(update))
            answer(rpc, BYTES_EMPTY);
        return;
    case UPDATE_COMPLETED:
        update->stage = STAGE(COMPLETED);
        answer(rpc, news->body);
        return;
    case UPDATE_CLOSED:
        error_not_found(&error, &rpc->arena, "workflow update was aborted by closing workflow");
        update->is_closed = true;
        break;
    case UPDATE_CONTINUES:
        error_busy(&error, &rpc->arena, "workflow operation can not be applied because workflow is closing");
        break;
    case UPDATE_TASK_FAILED:
        error_not_ready(
            &error, &rpc->arena,
            "Unable to perform workflow execution update due to unexpected workflow task failure.");
        break;
    default:
        error_set(&error, ST_UNAVAILABLE, "workflow update was aborted");
        break;
    }
    refuse(rpc, &error);
}

void update_noticed(struct api_lane *lane, store_number run, const struct news *news)
{
    struct table_link *next;
    for (struct table_link *at = table_first(&lane->updates, key_hash(run, news->subject)); at != NULL;
         at = next) {
        struct rpc_update *update = CONTAINER_OF(at, struct rpc_update, link);
        next = table_next(at);
        if (update->run == run && bytes_equal(update->id, news->subject))
            update_tell(rpc_of_update(update), news);
    }
}

void update_forgotten(struct api_lane *lane)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&lane->updates, &iterator)) != NULL;)
        refuse(rpc_of_update(CONTAINER_OF(at, struct rpc_update, link)),
               &(struct error){ .code = ST_UNAVAILABLE,
                                .message = "the workflow moved or was reloaded while the update waited" });
}

void update_expect(struct rpc *rpc, enum update_caller caller, struct bytes workflow_id,
                   struct bytes update_id, int32_t stage)
{
    struct rpc_update *update = &rpc->update;
    int64_t            hold = time_add(lane_monotonic(rpc->home->lane), UPDATE_HOLD_NS);
    update->caller = caller;
    update->workflow_id = workflow_id;
    update->id = update_id;
    update->wanted_stage = stage;
    update->expires_with_caller = rpc->call->deadline_ns < hold;
    update->expires = MIN(hold, rpc->call->deadline_ns);
}

/* --- the requests --- */

static void update_decided(struct request *request)
{
    struct rpc *rpc = rpc_of_work(request);
    if (request->error.code != ST_OK)
        refuse(rpc, &request->error);
    else
        update_wait(rpc);
}

/* On the owner's lane: what becomes of the update later is heard of later. */
static void update_ask(struct rpc *rpc)
{
    bool        is_poll = rpc->update.caller == UPDATE_CALLER_POLL;
    struct uuid run_id = rpc->update.run_id;
    rpc_address(rpc, is_poll ? WORKFLOW_UPDATE_POLL : WORKFLOW_UPDATE, rpc->update.workflow_id,
                rpc->update.has_run_id ? &run_id : NULL);
    rpc_submit(rpc, update_decided);
}

enum status update_check(struct rpc *rpc, struct workflowservice_UpdateWorkflowExecutionRequest *request,
                         struct error *error)
{
    struct execution_ref   execution;
    struct update_Request *update = request->request;
    char                   text[UUID_TEXT_SIZE];
    enum status            status = check_execution(request->workflow_execution, &execution, error);
    if (status != ST_OK)
        return status;
    if (update == NULL || update->meta == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "Update meta is not set on request.");
    if ((status = check_id_optional("UpdateId", update->meta->update_id, error)) != ST_OK)
        return status;
    if (update->input == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "Update input is not set on request.");
    if (update->input->name.size == 0)
        return error_set(error, ST_INVALID_ARGUMENT, "Update name is not set on request.");
    if ((status = check_payload(rpc, "Update arguments", update->input->args, error)) != ST_OK ||
        (status = check_payload(rpc, "Update header", update->input->header, error)) != ST_OK ||
        (status = check_links(update->links, update->links_count, rpc, error)) != ST_OK)
        return status;
    if (update->completion_callbacks_count != 0)
        return error_set(error, ST_UNIMPLEMENTED, "CompletionCallbacks of updates is not implemented");
    if (request->wait_policy != NULL && request->wait_policy->lifecycle_stage == STAGE(ADMITTED)) {
        struct errordetails_PermissionDeniedFailure detail = { 0 };
        error_set(error, ST_PERMISSION_DENIED,
                  "UpdateWorkflowExecution issued asynchronously and waiting on update admitted is not "
                  "supported.");
        error_detail(error, &rpc->arena, &pb_errordetails_PermissionDeniedFailure, &detail);
        return error->code;
    }
    if (update->meta->update_id.size == 0) {
        struct uuid id = uuid_random(&rpc->home->random);
        uuid_print(&id, text);
        update->meta->update_id = arena_copy(&rpc->arena, bytes_of(text, sizeof text));
    }
    return ST_OK;
}

int32_t update_stage_wanted(const struct update_WaitPolicy *policy)
{
    bool is_set = policy != NULL && policy->lifecycle_stage != STAGE(UNSPECIFIED);
    return is_set ? policy->lifecycle_stage : STAGE(COMPLETED);
}

void update_workflow(struct rpc *rpc)
{
    struct workflowservice_UpdateWorkflowExecutionRequest *request =
        (struct workflowservice_UpdateWorkflowExecutionRequest *)(uintptr_t)rpc->request;
    struct execution_ref execution;
    if (update_check(rpc, request, &rpc->error) != ST_OK ||
        check_execution(request->workflow_execution, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    update_expect(rpc, UPDATE_CALLER_UPDATE, execution.workflow_id, request->request->meta->update_id,
                  update_stage_wanted(request->wait_policy));
    rpc->update.has_run_id = execution.has_run_id;
    rpc->update.run_id = execution.run_id;
    rpc_move(rpc, rpc_owner(rpc, execution.workflow_id), update_ask);
}

void poll_workflow_update(struct rpc *rpc)
{
    const struct workflowservice_PollWorkflowExecutionUpdateRequest *request = rpc->request;
    struct execution_ref                                             execution;
    if (request->update_ref == NULL) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "UpdateRef is not set on request.");
        return;
    }
    if (check_execution(request->update_ref->workflow_execution, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    /* Without a stage it is only asked what there is now. */
    update_expect(rpc, UPDATE_CALLER_POLL, execution.workflow_id, request->update_ref->update_id,
                  request->wait_policy == NULL ? STAGE(UNSPECIFIED) : request->wait_policy->lifecycle_stage);
    rpc->update.has_run_id = execution.has_run_id;
    rpc->update.run_id = execution.run_id;
    rpc_move(rpc, rpc_owner(rpc, execution.workflow_id), update_ask);
}
