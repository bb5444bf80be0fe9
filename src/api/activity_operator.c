/* activity_operator.c: PauseActivity, UnpauseActivity, ResetActivity, UpdateActivityOptions. */
#include "api/api_internal.h"

/* What all four have in common. `which` is the number of the oneof's member: none of them may be missing. */
static bool check_target(struct rpc *rpc, const struct common_WorkflowExecution *execution, int32_t which,
                         struct execution_ref *ret_execution)
{
    if (check_execution(execution, ret_execution, &rpc->error) == ST_OK) {
        if (which != 0)
            return true;
        error_set(&rpc->error, ST_INVALID_ARGUMENT,
                  "Activity id, type or all of them is not set on request.");
    }
    rpc_fail_error(rpc, &rpc->error);
    return false;
}

static void submit(struct rpc *rpc, int command, const struct execution_ref *execution)
{
    rpc_address(rpc, command, execution->workflow_id, execution->has_run_id ? &execution->run_id : NULL);
    rpc_submit(rpc, rpc_answer);
}

static bool check_jitter(struct rpc *rpc, const struct google_Duration *jitter)
{
    int64_t jitter_ns;
    if (duration_check(jitter, "Jitter", &jitter_ns, &rpc->error) == ST_OK) {
        if (jitter_ns >= 0)
            return true;
        error_set(&rpc->error, ST_INVALID_ARGUMENT, "Jitter cannot be negative.");
    }
    rpc_fail_error(rpc, &rpc->error);
    return false;
}

void pause_activity(struct rpc *rpc)
{
    const struct workflowservice_PauseActivityRequest *request = rpc->request;
    struct execution_ref                               execution;
    if (!check_target(rpc, request->execution, request->activity_case, &execution))
        return;
    if (check_name(rpc, "Reason", request->reason, &rpc->error) != ST_OK ||
        check_name(rpc, "Identity", request->identity, &rpc->error) != ST_OK ||
        check_name(rpc, "RequestId", request->request_id, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    submit(rpc, ACTIVITY_PAUSE, &execution);
}

void unpause_activity(struct rpc *rpc)
{
    const struct workflowservice_UnpauseActivityRequest *request = rpc->request;
    struct execution_ref                                 execution;
    if (check_target(rpc, request->execution, request->activity_case, &execution) &&
        check_jitter(rpc, request->jitter))
        submit(rpc, ACTIVITY_UNPAUSE, &execution);
}

void reset_activity(struct rpc *rpc)
{
    const struct workflowservice_ResetActivityRequest *request = rpc->request;
    struct execution_ref                               execution;
    if (check_target(rpc, request->execution, request->activity_case, &execution) &&
        check_jitter(rpc, request->jitter))
        submit(rpc, ACTIVITY_RESET, &execution);
}

static enum status check_options(struct rpc *rpc, const struct activity_ActivityOptions *options,
                                 struct error *error)
{
    const struct {
        const struct google_Duration *value;
        const char                   *name;
    } durations[] = { { options->schedule_to_close_timeout, "ScheduleToCloseTimeout" },
                      { options->schedule_to_start_timeout, "ScheduleToStartTimeout" },
                      { options->start_to_close_timeout, "StartToCloseTimeout" },
                      { options->heartbeat_timeout, "HeartbeatTimeout" } };
    int64_t     ns;
    enum status status = ST_OK;
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(durations); i++)
        status = duration_check(durations[i].value, durations[i].name, &ns, error);
    if (status == ST_OK)
        status = check_retry_policy(options->retry_policy, error);
    if (status == ST_OK)
        status = check_priority(options->priority, rpc, error);
    return status;
}

void update_activity_options(struct rpc *rpc)
{
    const struct workflowservice_UpdateActivityOptionsRequest *request = rpc->request;
    const struct google_FieldMask                             *mask = request->update_mask;
    struct execution_ref                                       execution;
    struct error                                              *error = &rpc->error;
    if (!check_target(rpc, request->execution, request->activity_case, &execution))
        return;
    enum status status = ST_OK;
    if (request->restore_original && mask != NULL && mask->paths_count != 0)
        status = error_set(error, ST_INVALID_ARGUMENT, "Both UpdateMask and RestoreOriginal are provided.");
    else if (!request->restore_original && request->activity_options == NULL)
        status = error_set(error, ST_INVALID_ARGUMENT, "ActivityOptions are not set on request.");
    else if (!request->restore_original && mask == NULL)
        status = error_set(error, ST_INVALID_ARGUMENT, "UpdateMask is not set on request.");
    else if (request->activity_options != NULL)
        status = check_options(rpc, request->activity_options, error);
    if (status != ST_OK)
        rpc_fail_error(rpc, error);
    else
        submit(rpc, ACTIVITY_UPDATE_OPTIONS, &execution);
}
