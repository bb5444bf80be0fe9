/* multi_operation.c: ExecuteMultiOperation, which is an update with start: a workflow is started, or found running, and
 * updated in one step. Its errors say for both operations what became of them. */
#include "api/api_internal.h"
#include "engine/failure.h"

#define TEXT_FAILED "Update-with-Start could not be executed."

/* --- errors --- */

static struct errordetails_MultiOperationExecutionFailure_OperationStatus status_of(struct rpc         *rpc,
                                                                                    const struct error *error)
{
    struct errordetails_MultiOperationExecutionFailure_OperationStatus status = {
        .code = (int32_t)error->code, .message = arena_copy(&rpc->arena, bytes_of_text(error->message))
    };
    if (error->code == ST_OK || error->detail_type.size == 0)
        return status;
    struct google_Any detail = { .type_url = arena_printf(&rpc->arena, "type.googleapis.com/%.*s",
                                                          BYTES_FMT(error->detail_type)),
                                 .value = error->detail };
    status.details = ARENA_NEW(&rpc->arena, struct bytes);
    status.details[0] = pb_encode_arena(&pb_google_Any, &detail, &rpc->arena);
    status.details_count = 1;
    return status;
}

static void error_aborted(struct rpc *rpc, struct error *error)
{
    struct failure_MultiOperationExecutionAborted detail = { 0 };
    error_set(error, ST_ABORTED, "Operation was aborted.");
    error_detail(error, &rpc->arena, &pb_failure_MultiOperationExecutionAborted, &detail);
}

/* Both statuses; the whole has the code of the first operation that failed by itself. */
static void fail_both(struct rpc *rpc, const struct error *start, const struct error *update)
{
    struct errordetails_MultiOperationExecutionFailure                  failure = { .statuses_count = 2 };
    struct errordetails_MultiOperationExecutionFailure_OperationStatus *statuses =
        ARENA_NEW_ARRAY(&rpc->arena, struct errordetails_MultiOperationExecutionFailure_OperationStatus, 2);
    struct bytes aborted = BYTES("temporal.api.failure.v1.MultiOperationExecutionAborted");
    bool         by_start = start->code != ST_OK && !bytes_equal(start->detail_type, aborted);
    statuses[0] = status_of(rpc, start);
    statuses[1] = status_of(rpc, update);
    failure.statuses = statuses;
    struct error error = { 0 };
    error_set(&error, by_start ? start->code : update->code, TEXT_FAILED);
    error_detail(&error, &rpc->arena, &pb_errordetails_MultiOperationExecutionFailure, &failure);
    rpc_fail_error(rpc, &error);
}

static void fail_one(struct rpc *rpc, bool is_update, const struct error *error)
{
    struct error aborted = { 0 };
    error_aborted(rpc, &aborted);
    fail_both(rpc, is_update ? &aborted : error, is_update ? error : &aborted);
}

/* --- the way --- */

static void ask(struct rpc *rpc);

void multi_operation_fail(struct rpc *rpc, const struct error *error)
{
    struct rpc_update *update = &rpc->update;
    struct error       copy = *error, none = { 0 };
    if (update->was_started) {
        fail_both(rpc, &none, &copy);
        return;
    }
    if (update->is_closed && !update->is_retry) {
        /* The run that was found is over: there may be another one now, or one is started. */
        if (list_linked(&rpc->waiting))
            rpc_wake(rpc);
        update->is_retry = true;
        update->is_closed = false;
        ask(rpc);
        return;
    }
    if (update->is_closed)
        error_set(&copy, ST_ABORTED, "%s", error->message); /* so that the client tries again */
    fail_one(rpc, true, &copy);
}

void multi_operation_answer(struct rpc *rpc, struct workflowservice_UpdateWorkflowExecutionResponse *update)
{
    struct workflowservice_ExecuteMultiOperationResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_ExecuteMultiOperationResponse);
    response->responses_count = 2;
    response->responses = ARENA_NEW_ARRAY(&rpc->arena,
                                          struct workflowservice_ExecuteMultiOperationResponse_Response, 2);
    response->responses[0].response_case = 1;
    response->responses[0].start_workflow = rpc->work.response;
    response->responses[1].response_case = 2;
    response->responses[1].update_workflow = update;
    rpc_reply(rpc, response);
}

static void decided(struct request *request)
{
    struct rpc *rpc = rpc_of_work(request);
    if (request->error.code != ST_OK) {
        fail_one(rpc, rpc->work.update.failed, &request->error);
        return;
    }
    const struct workflowservice_StartWorkflowExecutionResponse *response = rpc->work.response;
    rpc->update.was_started = response->started;
    update_wait(rpc);
}

/* On the owner's lane. */
static void ask(struct rpc *rpc)
{
    const struct workflowservice_ExecuteMultiOperationRequest *request = rpc->request;
    rpc_address(rpc, WORKFLOW_UPDATE_WITH_START, rpc->update.workflow_id, NULL);
    rpc->work.input = request->operations[0].start_workflow;
    rpc->work.update_input = request->operations[1].update_workflow;
    rpc_submit(rpc, decided);
}

/* --- the request --- */

static enum status check_namespace(const struct rpc *rpc, struct bytes name, struct error *error)
{
    if (name.size == 0 || bytes_equal(name, rpc->ns.name))
        return ST_OK;
    return error_set(error, ST_INVALID_ARGUMENT, "Operation namespace did not match request's namespace.");
}

static enum status check_start(struct rpc *rpc, struct workflowservice_StartWorkflowExecutionRequest *start,
                               struct error *error)
{
    enum status status = check_namespace(rpc, start->namespace, error);
    if (status != ST_OK || (status = start_check(rpc, start, error)) != ST_OK)
        return status;
    if (start->cron_schedule.size != 0)
        return error_set(error, ST_INVALID_ARGUMENT, "CronSchedule is not allowed.");
    if (start->request_eager_execution)
        return error_set(error, ST_INVALID_ARGUMENT, "RequestEagerExecution is not supported.");
    if (duration_ns(start->workflow_start_delay) > 0)
        return error_set(error, ST_INVALID_ARGUMENT, "WorkflowStartDelay is not supported.");
    return ST_OK;
}

static enum status check_update(struct rpc                                            *rpc,
                                struct workflowservice_UpdateWorkflowExecutionRequest *update,
                                struct bytes workflow_id, struct error *error)
{
    enum status status = check_namespace(rpc, update->namespace, error);
    if (status != ST_OK || (status = update_check(rpc, update, error)) != ST_OK)
        return status;
    if (update->first_execution_run_id.size != 0)
        return error_set(error, ST_INVALID_ARGUMENT, "FirstExecutionRunId is not allowed.");
    if (update->workflow_execution->run_id.size != 0)
        return error_set(error, ST_INVALID_ARGUMENT, "RunId is not allowed.");
    if (!bytes_equal(update->workflow_execution->workflow_id, workflow_id))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "WorkflowId is not consistent with previous operation(s).");
    return ST_OK;
}

void execute_multi_operation(struct rpc *rpc)
{
    const struct workflowservice_ExecuteMultiOperationRequest *request = rpc->request;
    if (request->operations_count != 2 || request->operations[0].operation_case != 1 ||
        request->operations[1].operation_case != 2) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "Operations have to be exactly [Start, Update].");
        return;
    }
    struct workflowservice_StartWorkflowExecutionRequest  *start = request->operations[0].start_workflow;
    struct workflowservice_UpdateWorkflowExecutionRequest *update = request->operations[1].update_workflow;
    struct error                                           of_start = { 0 }, of_update = { 0 };
    bool start_fits = check_start(rpc, start, &of_start) == ST_OK;
    bool update_fits = check_update(rpc, update,
                                    start_fits ? start->workflow_id
                                    : update->workflow_execution == NULL
                                        ? BYTES_EMPTY
                                        : update->workflow_execution->workflow_id,
                                    &of_update) == ST_OK;
    if (!start_fits || !update_fits) {
        if (start_fits)
            error_aborted(rpc, &of_start);
        if (update_fits)
            error_aborted(rpc, &of_update);
        fail_both(rpc, &of_start, &of_update);
        return;
    }
    update_expect(rpc, UPDATE_CALLER_MULTI_OPERATION, start->workflow_id, update->request->meta->update_id,
                  update_stage_wanted(update->wait_policy));
    rpc_move(rpc, rpc_owner(rpc, start->workflow_id), ask);
}
