/* cancel.c: RequestCancelWorkflowExecution and TerminateWorkflowExecution.
 *
 * With first_execution_run_id the current run is meant, whatever run id is given too; the engine compares the chain.
 */
#include "api/api_internal.h"

static const struct uuid *target_run(const struct execution_ref *execution,
                                     struct bytes                first_execution_run_id)
{
    return execution->has_run_id && first_execution_run_id.size == 0 ? &execution->run_id : NULL;
}

void request_cancel_workflow(struct rpc *rpc)
{
    const struct workflowservice_RequestCancelWorkflowExecutionRequest *request = rpc->request;
    struct execution_ref                                                execution;
    if (check_execution(request->workflow_execution, &execution, &rpc->error) != ST_OK ||
        check_name(rpc, "RequestId", request->request_id, &rpc->error) != ST_OK ||
        check_payload(rpc, "Reason", request->reason, &rpc->error) != ST_OK ||
        check_links(request->links, request->links_count, rpc, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_REQUEST_CANCEL, execution.workflow_id,
                target_run(&execution, request->first_execution_run_id));
    rpc_submit(rpc, rpc_answer);
}

void terminate_workflow(struct rpc *rpc)
{
    const struct workflowservice_TerminateWorkflowExecutionRequest *request = rpc->request;
    struct execution_ref                                            execution;
    if (check_execution(request->workflow_execution, &execution, &rpc->error) != ST_OK ||
        check_payload(rpc, "Reason", request->reason, &rpc->error) != ST_OK ||
        check_payload(rpc, "Details", request->details, &rpc->error) != ST_OK ||
        check_links(request->links, request->links_count, rpc, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_TERMINATE, execution.workflow_id,
                target_run(&execution, request->first_execution_run_id));
    rpc_submit(rpc, rpc_answer);
}
