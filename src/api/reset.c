/* reset.c: ResetWorkflowExecution and DeleteWorkflowExecution. */
#include "api/api_internal.h"

static enum status check_reset(struct rpc                                                 *rpc,
                               const struct workflowservice_ResetWorkflowExecutionRequest *request,
                               struct execution_ref *ret_execution, struct error *error)
{
    enum status status = check_id("RequestId", request->request_id, error);
    if (status == ST_OK)
        status = check_name(rpc, "RequestId", request->request_id, error);
    if (status == ST_OK)
        status = check_execution(request->workflow_execution, ret_execution, error);
    if (status == ST_OK)
        status = check_payload(rpc, "Reason", request->reason, error);
    if (status == ST_OK &&
        pb_enum_value_name(&pb_enum_enums_ResetReapplyType, request->reset_reapply_type) == NULL)
        status = error_set(error, ST_INVALID_ARGUMENT, "ResetReapplyType %d is unknown.",
                           request->reset_reapply_type);
    for (size_t i = 0; status == ST_OK && i < request->reset_reapply_exclude_types_count; i++)
        if (pb_enum_value_name(&pb_enum_enums_ResetReapplyExcludeType,
                               request->reset_reapply_exclude_types[i]) == NULL)
            status = error_set(error, ST_INVALID_ARGUMENT,
                               "ResetReapplyExcludeTypes has the unknown value %d.",
                               request->reset_reapply_exclude_types[i]);
    return status;
}

static enum status check_signal(struct rpc                                              *rpc,
                                const struct workflow_PostResetOperation_SignalWorkflow *signal,
                                struct error                                            *error)
{
    enum status status = check_id("PostResetOperations.SignalWorkflow.SignalName", signal->signal_name,
                                  error);
    if (status == ST_OK)
        status = check_name(rpc, "PostResetOperations.SignalWorkflow.SignalName", signal->signal_name, error);
    if (status == ST_OK)
        status = check_payload(rpc, "PostResetOperations.SignalWorkflow.Input", signal->input, error);
    return status == ST_OK ? check_links(signal->links, signal->links_count, rpc, error) : status;
}

static enum status check_operations(struct rpc                                                 *rpc,
                                    const struct workflowservice_ResetWorkflowExecutionRequest *request,
                                    struct error                                               *error)
{
    enum status status = ST_OK;
    for (size_t i = 0; status == ST_OK && i < request->post_reset_operations_count; i++) {
        const struct workflow_PostResetOperation *operation = &request->post_reset_operations[i];
        const struct workflow_PostResetOperation_SignalWorkflow        *signal = operation->signal_workflow;
        const struct workflow_PostResetOperation_UpdateWorkflowOptions *options =
            operation->update_workflow_options;
        if (operation->variant_case == 2 && options != NULL)
            status = check_workflow_options(rpc, options->workflow_execution_options, options->update_mask,
                                            error);
        else if (operation->variant_case == 1 && signal != NULL)
            status = check_signal(rpc, signal, error);
        else
            status = error_set(error, ST_INVALID_ARGUMENT, "PostResetOperations[%zu] is not set.", i);
    }
    return status;
}

/* The engine decides at the current run, which ends; the request names the one that is reset. */
void reset_workflow(struct rpc *rpc)
{
    const struct workflowservice_ResetWorkflowExecutionRequest *request = rpc->request;
    struct execution_ref                                        execution;
    if (check_reset(rpc, request, &execution, &rpc->error) != ST_OK ||
        check_operations(rpc, request, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_RESET, execution.workflow_id, NULL);
    rpc_submit(rpc, rpc_answer);
}

void delete_workflow(struct rpc *rpc)
{
    const struct workflowservice_DeleteWorkflowExecutionRequest *request = rpc->request;
    struct execution_ref                                         execution;
    if (check_execution(request->workflow_execution, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_DELETE, execution.workflow_id, execution.has_run_id ? &execution.run_id : NULL);
    rpc_submit(rpc, rpc_answer);
}
