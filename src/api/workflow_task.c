/* workflow_task.c: RespondWorkflowTaskCompleted and RespondWorkflowTaskFailed. Polls are in poll.c. */
#include "api/api_internal.h"

/* Decoded and of this kind, or the rpc has failed. A token of the wrong kind names a task that is not there. */
static bool token_take(struct rpc *rpc, struct bytes token, struct task_ref *ret_task)
{
    if (check_token(rpc, token, ret_task, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return false;
    }
    if (ret_task->kind == STORE_TASK_WORKFLOW && !ret_task->is_query)
        return true;
    struct errordetails_NotFoundFailure detail = { 0 };
    error_set(&rpc->error, ST_NOT_FOUND, "Workflow task not found.");
    error_detail(&rpc->error, &rpc->arena, &pb_errordetails_NotFoundFailure, &detail);
    rpc_fail_error(rpc, &rpc->error);
    return false;
}

static void inline_ready(struct rpc *rpc)
{
    rpc_reply(rpc, rpc->work.response);
}

static void completed(struct request *request)
{
    struct rpc                                                  *rpc = rpc_of_work(request);
    struct workflowservice_RespondWorkflowTaskCompletedResponse *response = rpc->work.response;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    assert(response != NULL); /* decide answers every completion that it accepts */
    query_results(rpc, rpc->request);
    for (size_t i = 0; i < response->activity_tasks_count; i++) {
        struct task_ref task;
        if (task_token_decode(response->activity_tasks[i].task_token, &rpc->arena, &task, NULL) == ST_OK)
            rpc_hand(rpc, HANDED_ACTIVITY_TASK, &task);
    }
    if (!rpc->work.has_delivery) {
        rpc_reply(rpc, response);
        return;
    }
    assert(response->workflow_task != NULL);
    if (response->workflow_task->task_token.size == 0)
        response->workflow_task->task_token = task_token_encode(&rpc->work.delivery.task, &rpc->arena);
    delivery_begin(rpc, &rpc->work.delivery, response->workflow_task, inline_ready);
}

static void complete(struct rpc *rpc)
{
    struct task_ref task = rpc->work.token;
    rpc_address(rpc, WORKFLOW_TASK_COMPLETE, task.workflow_id, &task.run_id);
    rpc->work.token = task;
    rpc_submit(rpc, completed);
}

static struct bytes command_namespace(const struct command_Command *command)
{
    switch (command->attributes_case) {
    case 9:
        return command->request_cancel_external_workflow_execution_command_attributes->namespace;
    case 12:
        return command->start_child_workflow_execution_command_attributes->namespace;
    case 13:
        return command->signal_external_workflow_execution_command_attributes->namespace;
    default:
        return BYTES_EMPTY;
    }
}

/* A namespace that does not exist is the request's mistake; one that does, but is another one, is its command's. */
static enum status commands_check(struct rpc                                                       *rpc,
                                  const struct workflowservice_RespondWorkflowTaskCompletedRequest *request)
{
    for (size_t i = 0; i < request->commands_count; i++) {
        struct bytes name = command_namespace(&request->commands[i]);
        if (name.size != 0 && lane_namespace_by_name(rpc_lane(rpc), name) == NULL)
            return error_namespace_not_found(&rpc->error, &rpc->arena, name);
    }
    return ST_OK;
}

void respond_workflow_task_completed(struct rpc *rpc)
{
    const struct workflowservice_RespondWorkflowTaskCompletedRequest *request = rpc->request;
    struct task_ref                                                   task;
    if (!token_take(rpc, request->task_token, &task))
        return;
    if (request->intermediate_page || request->page_number > 1) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "Completions in pages are not supported.");
        return;
    }
    if (request->sticky_attributes != NULL && request->sticky_attributes->worker_task_queue != NULL &&
        check_id_optional("Sticky task queue name", request->sticky_attributes->worker_task_queue->name,
                          &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    if ((request->worker_version_stamp != NULL &&
         check_build_id(rpc, request->worker_version_stamp->build_id, &rpc->error) != ST_OK) ||
        commands_check(rpc, request) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc->work.token = task;
    /* Answers to queries go with the transition: on the run's own lane nobody hears of that one before the queries do. */
    if (request->query_results_count != 0)
        rpc_move(rpc, rpc_owner(rpc, task.workflow_id), complete);
    else
        complete(rpc);
}

void respond_workflow_task_failed(struct rpc *rpc)
{
    const struct workflowservice_RespondWorkflowTaskFailedRequest *request = rpc->request;
    struct task_ref                                                task;
    if (!token_take(rpc, request->task_token, &task))
        return;
    rpc_address(rpc, WORKFLOW_TASK_FAIL, task.workflow_id, &task.run_id);
    rpc->work.token = task;
    rpc_submit(rpc, rpc_answer);
}
