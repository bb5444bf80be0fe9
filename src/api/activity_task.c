/* activity_task.c: the ends and heartbeats of activity attempts, by token and by id. Polls are in poll.c. */
#include "api/api_internal.h"

static void fail_not_found(struct rpc *rpc)
{
    struct errordetails_NotFoundFailure detail = { 0 };
    error_set(&rpc->error, ST_NOT_FOUND, "Activity task not found.");
    error_detail(&rpc->error, &rpc->arena, &pb_errordetails_NotFoundFailure, &detail);
    rpc_fail_error(rpc, &rpc->error);
}

/* Addresses the activity of a token; false: the rpc has failed. */
static bool address_by_token(struct rpc *rpc, int command, struct bytes token, struct bytes identity)
{
    struct task_ref task;
    if (check_token(rpc, token, &task, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return false;
    }
    if (task.kind != STORE_TASK_ACTIVITY || task.is_query) {
        fail_not_found(rpc);
        return false;
    }
    rpc_address(rpc, command, task.workflow_id, &task.run_id);
    rpc->work.activity = (struct activity_ref){ .task = task,
                                                .activity_id = task.activity_id,
                                                .identity = identity };
    rpc->work.token = task;
    return true;
}

static bool address_by_id(struct rpc *rpc, int command, struct bytes workflow_id, struct bytes run_id,
                          struct bytes activity_id, struct bytes identity)
{
    struct uuid run;
    bool        has_run;
    if (check_id("ActivityId", activity_id, &rpc->error) != ST_OK ||
        check_id("WorkflowId", workflow_id, &rpc->error) != ST_OK ||
        check_run_id(run_id, &has_run, &run, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return false;
    }
    rpc_address(rpc, command, workflow_id, has_run ? &run : NULL);
    rpc->work.activity = (struct activity_ref){ .by_id = true,
                                                .activity_id = activity_id,
                                                .identity = identity };
    return true;
}

/* --- completed, canceled: an empty response whatever the engine made of it --- */

static void acknowledged(struct request *request)
{
    struct rpc *rpc = rpc_of_work(request);
    if (request->error.code != ST_OK)
        rpc_fail_error(rpc, &request->error);
    else
        rpc_reply(rpc, NULL);
}

void respond_activity_task_completed(struct rpc *rpc)
{
    const struct workflowservice_RespondActivityTaskCompletedRequest *request = rpc->request;
    if (!address_by_token(rpc, ACTIVITY_TASK_COMPLETE, request->task_token, request->identity))
        return;
    rpc->work.payload = request->result;
    rpc_submit(rpc, acknowledged);
}

void respond_activity_task_completed_by_id(struct rpc *rpc)
{
    const struct workflowservice_RespondActivityTaskCompletedByIdRequest *request = rpc->request;
    if (!address_by_id(rpc, ACTIVITY_TASK_COMPLETE, request->workflow_id, request->run_id,
                       request->activity_id, request->identity))
        return;
    rpc->work.payload = request->result;
    rpc_submit(rpc, acknowledged);
}

void respond_activity_task_canceled(struct rpc *rpc)
{
    const struct workflowservice_RespondActivityTaskCanceledRequest *request = rpc->request;
    if (!address_by_token(rpc, ACTIVITY_TASK_CANCEL, request->task_token, request->identity))
        return;
    rpc->work.payload = request->details;
    rpc_submit(rpc, acknowledged);
}

void respond_activity_task_canceled_by_id(struct rpc *rpc)
{
    const struct workflowservice_RespondActivityTaskCanceledByIdRequest *request = rpc->request;
    if (!address_by_id(rpc, ACTIVITY_TASK_CANCEL, request->workflow_id, request->run_id, request->activity_id,
                       request->identity))
        return;
    rpc->work.payload = request->details;
    rpc_submit(rpc, acknowledged);
}

/* --- failed --- */

static bool check_failure(struct rpc *rpc, struct bytes encoded)
{
    struct failure_Failure failure;
    if (encoded.base == NULL)
        return true;
    if (pb_decode(&pb_failure_Failure, encoded, &rpc->arena, &failure, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return false;
    }
    if (failure.failure_info_case == 5) /* application_failure_info */
        return true;
    rpc_fail(rpc, ST_INVALID_ARGUMENT, "Failure must be of type ApplicationFailureInfo.");
    return false;
}

void respond_activity_task_failed(struct rpc *rpc)
{
    const struct workflowservice_RespondActivityTaskFailedRequest *request = rpc->request;
    if (!address_by_token(rpc, ACTIVITY_TASK_FAIL, request->task_token, request->identity) ||
        !check_failure(rpc, request->failure))
        return;
    rpc->work.payload = request->failure;
    rpc->work.heartbeat_details = request->last_heartbeat_details;
    rpc_submit(rpc, rpc_answer);
}

/* The response of the variant by id has the same field. */
static void failed_by_id(struct request *request)
{
    struct rpc                                                     *rpc = rpc_of_work(request);
    const struct workflowservice_RespondActivityTaskFailedResponse *given = rpc->work.response;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct workflowservice_RespondActivityTaskFailedByIdResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_RespondActivityTaskFailedByIdResponse);
    if (given != NULL) {
        response->failures = given->failures;
        response->failures_count = given->failures_count;
    }
    rpc_reply(rpc, response);
}

void respond_activity_task_failed_by_id(struct rpc *rpc)
{
    const struct workflowservice_RespondActivityTaskFailedByIdRequest *request = rpc->request;
    if (!address_by_id(rpc, ACTIVITY_TASK_FAIL, request->workflow_id, request->run_id, request->activity_id,
                       request->identity) ||
        !check_failure(rpc, request->failure))
        return;
    rpc->work.payload = request->failure;
    rpc->work.heartbeat_details = request->last_heartbeat_details;
    rpc_submit(rpc, failed_by_id);
}

/* --- heartbeats --- */

static void heartbeat_known(struct request *request)
{
    struct rpc *rpc = rpc_of_work(request);
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct workflowservice_RecordActivityTaskHeartbeatResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_RecordActivityTaskHeartbeatResponse);
    response->cancel_requested = rpc->work.cancel_requested;
    response->activity_paused = rpc->work.activity_paused;
    response->activity_reset = rpc->work.activity_reset;
    rpc_reply(rpc, response);
}

static void heartbeat_by_id_known(struct request *request)
{
    struct rpc *rpc = rpc_of_work(request);
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct workflowservice_RecordActivityTaskHeartbeatByIdResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_RecordActivityTaskHeartbeatByIdResponse);
    response->cancel_requested = rpc->work.cancel_requested;
    response->activity_paused = rpc->work.activity_paused;
    response->activity_reset = rpc->work.activity_reset;
    rpc_reply(rpc, response);
}

void record_activity_task_heartbeat(struct rpc *rpc)
{
    const struct workflowservice_RecordActivityTaskHeartbeatRequest *request = rpc->request;
    if (!address_by_token(rpc, ACTIVITY_TASK_HEARTBEAT, request->task_token, request->identity))
        return;
    rpc->work.payload = rpc->work.heartbeat_details = request->details;
    rpc_submit(rpc, heartbeat_known);
}

void record_activity_task_heartbeat_by_id(struct rpc *rpc)
{
    const struct workflowservice_RecordActivityTaskHeartbeatByIdRequest *request = rpc->request;
    if (!address_by_id(rpc, ACTIVITY_TASK_HEARTBEAT, request->workflow_id, request->run_id,
                       request->activity_id, request->identity))
        return;
    rpc->work.payload = rpc->work.heartbeat_details = request->details;
    rpc_submit(rpc, heartbeat_by_id_known);
}
