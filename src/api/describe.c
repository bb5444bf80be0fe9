/* describe.c: DescribeWorkflowExecution. */
#include "api/api_internal.h"

static void described(struct request *request)
{
    struct rpc                                               *rpc = rpc_of_work(request);
    struct workflowservice_DescribeWorkflowExecutionResponse *response = rpc->work.response;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct workflow_WorkflowExecutionInfo *info = response->workflow_execution_info;
    if (info != NULL)
        info->search_attributes = rpc_typed_search_attributes(rpc, info->search_attributes);
    rpc_reply(rpc, response);
}

void describe_workflow(struct rpc *rpc)
{
    const struct workflowservice_DescribeWorkflowExecutionRequest *request = rpc->request;
    struct execution_ref                                           execution;
    if (check_execution(request->execution, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_DESCRIBE, execution.workflow_id,
                execution.has_run_id ? &execution.run_id : NULL);
    rpc_submit(rpc, described);
}
