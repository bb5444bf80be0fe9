/* check.c: what can be said of a request without looking at any state. Errors name the field. */
#include "api/api_internal.h"
#include "base/log.h"

enum status check_id_optional(const char *field, struct bytes value, struct error *error)
{
    if (value.size > ID_SIZE_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "%s length exceeds limit of %d bytes.", field,
                         ID_SIZE_MAX);
    return ST_OK;
}

enum status check_id(const char *field, struct bytes value, struct error *error)
{
    if (value.size == 0)
        return error_set(error, ST_INVALID_ARGUMENT, "%s is not set on request.", field);
    return check_id_optional(field, value, error);
}

enum status check_name(const struct rpc *rpc, const char *field, struct bytes value, struct error *error)
{
    size_t limit = rpc_limits(rpc)->id_size_max;
    if (value.size > limit)
        return error_set(error, ST_INVALID_ARGUMENT, "%s length exceeds limit of %zu bytes.", field, limit);
    return ST_OK;
}

enum status check_build_id(const struct rpc *rpc, struct bytes build_id, struct error *error)
{
    size_t limit = rpc_limits(rpc)->build_id_size_max;
    if (build_id.size > limit)
        return error_set(error, ST_INVALID_ARGUMENT, "Build id length exceeds limit of %zu bytes.", limit);
    return ST_OK;
}

enum status check_payload(const struct rpc *rpc, const char *field, struct bytes value, struct error *error)
{
    const struct limits *limits = rpc_limits(rpc);
    if (value.size > limits->payload_size_max)
        return error_set(error, ST_INVALID_ARGUMENT, "%s exceeds size limit of %zu bytes.", field,
                         limits->payload_size_max);
    if (value.size > limits->payload_size_warn)
        log_warn("limit.payload", "method=%s namespace=%.*s field=%s size=%zu warn=%zu max=%zu",
                 (const char *)rpc->method->name.base, BYTES_FMT(rpc->ns.name), field, value.size,
                 limits->payload_size_warn, limits->payload_size_max);
    return ST_OK;
}

enum status check_run_id(struct bytes run_id, bool *ret_set, struct uuid *ret_run_id, struct error *error)
{
    *ret_set = run_id.size != 0;
    if (run_id.size != 0 && !uuid_parse(run_id, ret_run_id))
        return error_set(error, ST_INVALID_ARGUMENT, "Invalid RunId.");
    return ST_OK;
}

enum status check_execution(const struct common_WorkflowExecution *execution,
                            struct execution_ref *ret_execution, struct error *error)
{
    *ret_execution = (struct execution_ref){ 0 };
    if (execution == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "Execution is not set on request.");
    enum status status = check_id("WorkflowId", execution->workflow_id, error);
    if (status != ST_OK)
        return status;
    ret_execution->workflow_id = execution->workflow_id;
    return check_run_id(execution->run_id, &ret_execution->has_run_id, &ret_execution->run_id, error);
}

enum status check_task_queue(const struct taskqueue_TaskQueue *queue, struct error *error)
{
    if (queue == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "TaskQueue is not set on request.");
    enum status status = check_id("TaskQueue name", queue->name, error);
    if (status != ST_OK)
        return status;
    if (bytes_starts_with(queue->name, BYTES("/_sys/")))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "TaskQueue name must not begin with the reserved prefix /_sys/.");
    if (queue->kind < enums_TASK_QUEUE_KIND_UNSPECIFIED || queue->kind > enums_TASK_QUEUE_KIND_STICKY)
        return error_set(error, ST_INVALID_ARGUMENT, "TaskQueue kind %d is not supported.", queue->kind);
    status = check_id_optional("TaskQueue normal_name", queue->normal_name, error);
    if (status != ST_OK)
        return status;
    if (bytes_starts_with(queue->normal_name, BYTES("/_sys/")))
        return error_set(error, ST_INVALID_ARGUMENT, "TaskQueue normal_name must not begin with /_sys/.");
    return ST_OK;
}

enum status check_retry_policy(const struct common_RetryPolicy *policy, struct error *error)
{
    int64_t     initial, maximum;
    enum status status;
    if (policy == NULL)
        return ST_OK;
    if (policy->maximum_attempts < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "RetryPolicy: MaximumAttempts must not be negative.");
    if ((status = duration_check(policy->initial_interval, "RetryPolicy.InitialInterval", &initial, error)) !=
            ST_OK ||
        (status = duration_check(policy->maximum_interval, "RetryPolicy.MaximumInterval", &maximum, error)) !=
            ST_OK)
        return status;
    if (policy->maximum_attempts == 1)
        return ST_OK; /* nothing of it is ever used */
    if (policy->backoff_coefficient != 0 && !(policy->backoff_coefficient >= 1))
        return error_set(error, ST_INVALID_ARGUMENT, "RetryPolicy: BackoffCoefficient must be at least 1.");
    if (maximum != 0 && maximum < (initial == 0 ? NS_PER_S : initial))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "RetryPolicy: MaximumInterval is less than InitialInterval.");
    for (size_t i = 0; i < policy->non_retryable_error_types_count; i++) {
        static const char timeout_prefix[] = "TemporalTimeout:";
        struct bytes      type = policy->non_retryable_error_types[i];
        if (bytes_starts_with(type, bytes_of_text(timeout_prefix)) &&
            !bytes_equal_text(type, "TemporalTimeout:StartToClose") &&
            !bytes_equal_text(type, "TemporalTimeout:ScheduleToStart") &&
            !bytes_equal_text(type, "TemporalTimeout:ScheduleToClose") &&
            !bytes_equal_text(type, "TemporalTimeout:Heartbeat"))
            return error_set(error, ST_INVALID_ARGUMENT, "RetryPolicy: \"%.*s\" is not a kind of timeout.",
                             BYTES_FMT(type));
    }
    return ST_OK;
}

enum status check_links(const struct bytes *links, size_t count, struct rpc *rpc, struct error *error)
{
    const struct limits *limits = rpc_limits(rpc);
    if (count > limits->links_max)
        return error_set(error, ST_INVALID_ARGUMENT, "%zu links on the request, more than the %zu allowed.",
                         count, limits->links_max);
    for (size_t i = 0; i < count; i++) {
        struct common_Link link;
        if (links[i].size > limits->link_size_max)
            return error_set(error, ST_INVALID_ARGUMENT, "Link exceeds the size limit of %zu bytes.",
                             limits->link_size_max);
        enum status status = pb_decode(&pb_common_Link, links[i], &rpc->arena, &link, error);
        if (status != ST_OK)
            return status;
        if (link.variant_case != 1 && link.variant_case != 2)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Link of an unsupported variant: to a workflow event or a batch job it may be.");
        if (link.variant_case == 1 &&
            (link.workflow_event->namespace.size == 0 || link.workflow_event->workflow_id.size == 0 ||
             link.workflow_event->run_id.size == 0))
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Link to a workflow event without namespace, workflow id or run id.");
        if (link.variant_case == 1 && link.workflow_event->reference_case == 100 &&
            link.workflow_event->event_ref->event_type == 0 && link.workflow_event->event_ref->event_id != 0)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Link to a workflow event by its id, but without its type.");
        if (link.variant_case == 2 && link.batch_job->job_id.size == 0)
            return error_set(error, ST_INVALID_ARGUMENT, "Link to a batch job without its id.");
    }
    return ST_OK;
}

enum status check_priority(struct bytes encoded, struct rpc *rpc, struct error *error)
{
    struct common_Priority priority;
    if (encoded.base == NULL)
        return ST_OK;
    enum status status = pb_decode(&pb_common_Priority, encoded, &rpc->arena, &priority, error);
    if (status != ST_OK)
        return status;
    if (priority.priority_key < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "Priority: priority_key must not be negative.");
    if (priority.fairness_key.size > FAIRNESS_KEY_SIZE_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "Priority: fairness_key exceeds %d bytes.",
                         FAIRNESS_KEY_SIZE_MAX);
    if (!(priority.fairness_weight >= 0))
        return error_set(error, ST_INVALID_ARGUMENT, "Priority: fairness_weight must not be negative.");
    return ST_OK;
}

enum status check_versioning_override(struct workflow_VersioningOverride *override, struct error *error)
{
    if (override == NULL)
        return ST_OK;
    bool is_pinned = override->override_case == 3 || override->override_case == 5 ||
                     (override->override_case == 0 && override->behavior == enums_VERSIONING_BEHAVIOR_PINNED);
    bool upgrades = override->override_case == 4
                        ? override->auto_upgrade
                        : override->override_case == 0 &&
                              override->behavior == enums_VERSIONING_BEHAVIOR_AUTO_UPGRADE;
    if (is_pinned)
        return error_set(error, ST_FAILED_PRECONDITION,
                         "VersioningOverride: no worker deployment has such a version.");
    if (!upgrades)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "VersioningOverride: its behavior is not set on request.");
    *override = (struct workflow_VersioningOverride){ .override_case = 4, .auto_upgrade = true };
    return ST_OK;
}

enum status check_token(struct rpc *rpc, struct bytes token, struct task_ref *ret_task, struct error *error)
{
    if (token.size == 0)
        return error_set(error, ST_INVALID_ARGUMENT, "Task token is not set on request.");
    enum status status = task_token_decode(token, &rpc->arena, ret_task, error);
    if (status != ST_OK)
        return status;
    if (rpc->ns.id.size != 0) {
        if (!bytes_equal(rpc->ns.id, ret_task->namespace_id))
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Task token is of another namespace than the request.");
        return ST_OK;
    }
    const struct namespace_config *config = lane_namespace_by_id(rpc_lane(rpc), ret_task->namespace_id);
    if (config == NULL || config->state == enums_NAMESPACE_STATE_DELETED)
        return error_namespace_not_found(error, &rpc->arena, ret_task->namespace_id);
    rpc_set_namespace(rpc, config);
    return ST_OK;
}
