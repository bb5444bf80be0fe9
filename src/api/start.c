/* start.c: StartWorkflowExecution and SignalWithStartWorkflowExecution. */
#include "api/api_internal.h"
#include "base/log.h"
#include "engine/cron.h"
#include "schedule/schedule.h"

/* What both requests have in common, by pointers into either. */
struct start_fields {
    struct bytes workflow_id, cron_schedule, memo, search_attributes, input, header, user_metadata, priority;
    const struct common_WorkflowType       *type;
    const struct taskqueue_TaskQueue       *task_queue;
    const struct common_RetryPolicy        *retry_policy;
    const struct google_Duration           *execution_timeout, *run_timeout, *task_timeout, *start_delay;
    struct workflow_VersioningOverride     *versioning;
    const struct common_TimeSkippingConfig *time_skipping;
    const struct bytes                     *links;
    size_t                                  link_count;
    int32_t                                 reuse, conflict;
    struct bytes                           *request_id;
};

/* The two requests name what they have in common alike; C has no other word for that. */
#define START_FIELDS(request)                                                                                \
    (struct start_fields)                                                                                    \
    {                                                                                                        \
        .workflow_id = (request)->workflow_id, .cron_schedule = (request)->cron_schedule,                    \
        .memo = (request)->memo, .search_attributes = (request)->search_attributes,                          \
        .input = (request)->input, .header = (request)->header, .user_metadata = (request)->user_metadata,   \
        .priority = (request)->priority, .type = (request)->workflow_type,                                   \
        .task_queue = (request)->task_queue, .retry_policy = (request)->retry_policy,                        \
        .execution_timeout = (request)->workflow_execution_timeout,                                          \
        .run_timeout = (request)->workflow_run_timeout, .task_timeout = (request)->workflow_task_timeout,    \
        .start_delay = (request)->workflow_start_delay, .versioning = (request)->versioning_override,        \
        .time_skipping = (request)->time_skipping_config, .links = (request)->links,                         \
        .link_count = (request)->links_count, .reuse = (request)->workflow_id_reuse_policy,                  \
        .conflict = (request)->workflow_id_conflict_policy, .request_id = &(request)->request_id,            \
    }

enum status check_namespace_open(struct rpc *rpc, struct error *error)
{
    if (rpc->ns.state != enums_NAMESPACE_STATE_DEPRECATED)
        return ST_OK;
    int32_t                                          allowed = enums_NAMESPACE_STATE_REGISTERED;
    struct errordetails_NamespaceInvalidStateFailure failure = { .namespace = rpc->ns.name,
                                                                 .state = rpc->ns.state,
                                                                 .allowed_states = &allowed,
                                                                 .allowed_states_count = 1 };
    error_set(error, ST_FAILED_PRECONDITION,
              "Namespace %.*s is deprecated: no workflow may be started in it.", BYTES_FMT(rpc->ns.name));
    error_detail(error, &rpc->arena, &pb_errordetails_NamespaceInvalidStateFailure, &failure);
    return error->code;
}

static enum status check_policies(int32_t reuse, int32_t conflict, struct error *error)
{
    if (reuse < 0 || reuse > enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING)
        return error_set(error, ST_INVALID_ARGUMENT, "WorkflowIdReusePolicy %d is unknown.", reuse);
    if (conflict < 0 || conflict > enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING)
        return error_set(error, ST_INVALID_ARGUMENT, "WorkflowIdConflictPolicy %d is unknown.", conflict);
    if (reuse == enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING && conflict != 0)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "WorkflowIdReusePolicy TERMINATE_IF_RUNNING excludes any WorkflowIdConflictPolicy.");
    if (reuse == enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE &&
        conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING)
        return error_set(
            error, ST_INVALID_ARGUMENT,
            "WorkflowIdReusePolicy REJECT_DUPLICATE excludes WorkflowIdConflictPolicy TERMINATE_EXISTING.");
    return ST_OK;
}

static enum status check_times(const struct start_fields *fields, struct error *error)
{
    int64_t     ignored, delay;
    enum status status;
    if ((status = duration_check(fields->execution_timeout, "WorkflowExecutionTimeout", &ignored, error)) !=
            ST_OK ||
        (status = duration_check(fields->run_timeout, "WorkflowRunTimeout", &ignored, error)) != ST_OK ||
        (status = duration_check(fields->task_timeout, "WorkflowTaskTimeout", &ignored, error)) != ST_OK ||
        (status = duration_check(fields->start_delay, "WorkflowStartDelay", &delay, error)) != ST_OK)
        return status;
    if (fields->cron_schedule.size == 0)
        return ST_OK;
    struct error reason;
    if (cron_check(fields->cron_schedule, &reason) != ST_OK)
        return error_set(error, ST_INVALID_ARGUMENT, "CronSchedule is invalid: %s", reason.message);
    if (delay != 0)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "CronSchedule and WorkflowStartDelay exclude each other.");
    return ST_OK;
}

static enum status check_sizes(struct rpc *rpc, const struct start_fields *fields, struct error *error)
{
    enum status status;
    size_t      memo_max = rpc_limits(rpc)->memo_size_max;
    if ((status = check_payload(rpc, "Input", fields->input, error)) != ST_OK ||
        (status = check_payload(rpc, "Header", fields->header, error)) != ST_OK ||
        (status = check_payload(rpc, "UserMetadata", fields->user_metadata, error)) != ST_OK)
        return status;
    if (fields->memo.size > memo_max)
        return error_set(error, ST_INVALID_ARGUMENT, "Memo exceeds size limit of %zu bytes.", memo_max);
    if (fields->memo.size > rpc_limits(rpc)->memo_size_warn)
        log_warn("limit.memo", "namespace=%.*s workflow_id=%.*s size=%zu max=%zu", BYTES_FMT(rpc->ns.name),
                 BYTES_FMT(fields->workflow_id), fields->memo.size, memo_max);
    return ST_OK;
}

static enum status check_unsupported(const struct start_fields *fields, struct error *error)
{
    if (fields->time_skipping != NULL && fields->time_skipping->enabled)
        return error_set(error, ST_UNIMPLEMENTED, "TimeSkippingConfig is not implemented");
    return check_versioning_override(fields->versioning, error);
}

static enum status check_start(struct rpc *rpc, const struct start_fields *fields, struct error *error)
{
    struct bytes type = fields->type == NULL ? BYTES_EMPTY : fields->type->name;
    enum status  status;
    if ((status = check_namespace_open(rpc, error)) != ST_OK ||
        (status = check_id("WorkflowId", fields->workflow_id, error)) != ST_OK)
        return status;
    if (bytes_starts_with(fields->workflow_id, BYTES(SCHEDULE_ID_PREFIX)))
        return error_set(error, ST_INVALID_ARGUMENT, "WorkflowId begins with the reserved prefix %s.",
                         SCHEDULE_ID_PREFIX);
    if ((status = check_id("WorkflowType", type, error)) != ST_OK ||
        (status = check_task_queue(fields->task_queue, error)) != ST_OK ||
        (status = check_name(rpc, "WorkflowId", fields->workflow_id, error)) != ST_OK ||
        (status = check_name(rpc, "WorkflowType", type, error)) != ST_OK ||
        (status = check_name(rpc, "TaskQueue name", fields->task_queue->name, error)) != ST_OK ||
        (status = check_name(rpc, "RequestId", *fields->request_id, error)) != ST_OK ||
        (status = check_times(fields, error)) != ST_OK ||
        (status = check_retry_policy(fields->retry_policy, error)) != ST_OK ||
        (status = check_policies(fields->reuse, fields->conflict, error)) != ST_OK ||
        (status = check_sizes(rpc, fields, error)) != ST_OK ||
        (status = rpc_check_search_attributes(rpc, fields->search_attributes, error)) != ST_OK ||
        (status = check_priority(fields->priority, rpc, error)) != ST_OK ||
        (status = check_links(fields->links, fields->link_count, rpc, error)) != ST_OK)
        return status;
    return check_unsupported(fields, error);
}

/* A request without an id gets one, so that a retry inside the server means the same request. */
static void default_request_id(struct rpc *rpc, struct bytes *request_id)
{
    char text[UUID_TEXT_SIZE];
    if (request_id->size != 0)
        return;
    struct uuid id = uuid_random(&rpc->home->random);
    uuid_print(&id, text);
    *request_id = arena_copy(&rpc->arena, bytes_of(text, sizeof text));
}

/* --- StartWorkflowExecution --- */

static void eager_ready(struct rpc *rpc)
{
    rpc_reply(rpc, rpc->work.response);
}

static void started(struct request *request)
{
    struct rpc                                            *rpc = rpc_of_work(request);
    struct workflowservice_StartWorkflowExecutionResponse *response = rpc->work.response;
    if (request->error.code != ST_OK || !rpc->work.has_delivery) {
        rpc_answer(request);
        return;
    }
    assert(response->eager_workflow_task != NULL);
    if (response->eager_workflow_task->task_token.size == 0)
        response->eager_workflow_task->task_token = task_token_encode(&rpc->work.delivery.task, &rpc->arena);
    delivery_begin(rpc, &rpc->work.delivery, response->eager_workflow_task, eager_ready);
}

enum status start_check(struct rpc *rpc, struct workflowservice_StartWorkflowExecutionRequest *request,
                        struct error *error)
{
    struct start_fields                      fields = START_FIELDS(request);
    const struct workflow_OnConflictOptions *options = request->on_conflict_options;
    enum status                              status = check_start(rpc, &fields, error);
    if (status != ST_OK ||
        (status = check_payload(rpc, "LastCompletionResult", request->last_completion_result, error)) !=
            ST_OK ||
        (status = check_payload(rpc, "ContinuedFailure", request->continued_failure, error)) != ST_OK)
        return status;
    if (options != NULL && options->attach_completion_callbacks && !options->attach_request_id)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "OnConflictOptions: callbacks are attached together with the request id.");
    if ((status = check_callbacks(rpc, request->completion_callbacks, request->completion_callbacks_count,
                                  error)) != ST_OK)
        return status;
    default_request_id(rpc, &request->request_id);
    return ST_OK;
}

void start_workflow(struct rpc *rpc)
{
    struct workflowservice_StartWorkflowExecutionRequest *request =
        (struct workflowservice_StartWorkflowExecutionRequest *)(uintptr_t)rpc->request;
    if (start_check(rpc, request, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_START, request->workflow_id, NULL);
    rpc_submit(rpc, started);
}

/* --- SignalWithStartWorkflowExecution --- */

void signal_with_start_workflow(struct rpc *rpc)
{
    struct workflowservice_SignalWithStartWorkflowExecutionRequest *request =
        (struct workflowservice_SignalWithStartWorkflowExecutionRequest *)(uintptr_t)rpc->request;
    struct start_fields fields = START_FIELDS(request);
    if (check_start(rpc, &fields, &rpc->error) != ST_OK ||
        check_id("SignalName", request->signal_name, &rpc->error) != ST_OK ||
        check_name(rpc, "SignalName", request->signal_name, &rpc->error) != ST_OK ||
        check_payload(rpc, "SignalInput", request->signal_input, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    if (request->workflow_id_conflict_policy == enums_WORKFLOW_ID_CONFLICT_POLICY_FAIL) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT,
                 "WorkflowIdConflictPolicy FAIL makes no sense for a signal with start.");
        return;
    }
    default_request_id(rpc, &request->request_id);
    rpc_address(rpc, WORKFLOW_SIGNAL_WITH_START, request->workflow_id, NULL);
    rpc_submit(rpc, rpc_answer);
}
