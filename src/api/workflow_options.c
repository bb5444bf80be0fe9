/* workflow_options.c: PauseWorkflowExecution, UnpauseWorkflowExecution, UpdateWorkflowExecutionOptions. */
#include "api/api_internal.h"

#include "engine/options.h"

/* Pause and unpause have the same fields. */
static void change_pause(struct rpc *rpc, int command, struct bytes workflow_id, struct bytes run_id,
                         struct bytes identity, struct bytes reason, struct bytes request_id)
{
    struct uuid run;
    bool        has_run;
    if (check_id("WorkflowId", workflow_id, &rpc->error) != ST_OK ||
        check_run_id(run_id, &has_run, &run, &rpc->error) != ST_OK ||
        check_name(rpc, "Reason", reason, &rpc->error) != ST_OK ||
        check_name(rpc, "RequestId", request_id, &rpc->error) != ST_OK ||
        check_name(rpc, "Identity", identity, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, command, workflow_id, has_run ? &run : NULL);
    rpc_submit(rpc, rpc_answer);
}

void pause_workflow(struct rpc *rpc)
{
    const struct workflowservice_PauseWorkflowExecutionRequest *request = rpc->request;
    change_pause(rpc, WORKFLOW_PAUSE, request->workflow_id, request->run_id, request->identity,
                 request->reason, request->request_id);
}

void unpause_workflow(struct rpc *rpc)
{
    const struct workflowservice_UnpauseWorkflowExecutionRequest *request = rpc->request;
    change_pause(rpc, WORKFLOW_UNPAUSE, request->workflow_id, request->run_id, request->identity,
                 request->reason, request->request_id);
}

/* --- options --- */

static enum status check_path(struct bytes path, struct error *error)
{
    static const char *const known[] = { "versioning_override",      "priority",
                                         "priority.priority_key",    "priority.fairness_key",
                                         "priority.fairness_weight", "time_skipping_config" };
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (mask_path_is(path, known[i]))
            return ST_OK;
    if (bytes_starts_with(path, BYTES("versioning_override.")) ||
        bytes_starts_with(path, BYTES("versioningOverride.")))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "UpdateMask: versioning_override can be set as a whole only.");
    return error_set(error, ST_INVALID_ARGUMENT, "UpdateMask: \"%.*s\" is no option of a workflow execution.",
                     BYTES_FMT(path));
}

enum status check_workflow_options(struct rpc *rpc, const struct workflow_WorkflowExecutionOptions *options,
                                   const struct google_FieldMask *mask, struct error *error)
{
    if (mask == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "UpdateMask is not set on request.");
    if (options == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "WorkflowExecutionOptions is not set on request.");
    for (size_t i = 0; i < mask->paths_count; i++)
        if (check_path(mask->paths[i], error) != ST_OK)
            return error->code;
    if (options->time_skipping_config != NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "TimeSkippingConfig: this server does not skip time.");
    enum status status = check_priority(options->priority, rpc, error);
    return status == ST_OK ? check_versioning_override(options->versioning_override, error) : status;
}

void update_workflow_options(struct rpc *rpc)
{
    const struct workflowservice_UpdateWorkflowExecutionOptionsRequest *request = rpc->request;
    struct execution_ref                                                execution;
    if (check_execution(request->workflow_execution, &execution, &rpc->error) != ST_OK ||
        check_workflow_options(rpc, request->workflow_execution_options, request->update_mask, &rpc->error) !=
            ST_OK ||
        check_name(rpc, "Identity", request->identity, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_UPDATE_OPTIONS, execution.workflow_id,
                execution.has_run_id ? &execution.run_id : NULL);
    rpc_submit(rpc, rpc_answer);
}
