/* signal.c: SignalWorkflowExecution. */
#include "api/api_internal.h"

void signal_workflow(struct rpc *rpc)
{
    const struct workflowservice_SignalWorkflowExecutionRequest *request = rpc->request;
    struct execution_ref                                         execution;
    if (check_execution(request->workflow_execution, &execution, &rpc->error) != ST_OK ||
        check_id("SignalName", request->signal_name, &rpc->error) != ST_OK ||
        check_name(rpc, "SignalName", request->signal_name, &rpc->error) != ST_OK ||
        check_name(rpc, "RequestId", request->request_id, &rpc->error) != ST_OK ||
        check_payload(rpc, "Input", request->input, &rpc->error) != ST_OK ||
        check_payload(rpc, "Header", request->header, &rpc->error) != ST_OK ||
        check_links(request->links, request->links_count, rpc, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_SIGNAL, execution.workflow_id, execution.has_run_id ? &execution.run_id : NULL);
    rpc_submit(rpc, rpc_answer);
}
