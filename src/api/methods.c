/* methods.c: every RPC of all services in one table: who handles it, what it needs, and what `perdure compat` says. */
#include "api/api_internal.h"

#define WORKFLOW(method, handler, needs, supported, remark)                                                  \
    [PB_METHOD_WorkflowService_##method] = {                                                                 \
        .handle = handler, .need = NAMESPACE_##needs, .support = API_##supported, .note = remark             \
    }
#define OPERATOR(method, handler, needs, supported, remark)                                                  \
    [PB_METHOD_OperatorService_##method] = {                                                                 \
        .handle = handler, .need = NAMESPACE_##needs, .support = API_##supported, .note = remark             \
    }
#define TOOLS(method, handler, needs, supported, remark)                                                     \
    [PB_METHOD_ToolService_##method] = {                                                                     \
        .handle = handler, .need = NAMESPACE_##needs, .support = API_##supported, .note = remark             \
    }

#define TEST(method, handler)                                                                                \
    [PB_METHOD_TestService_##method] = {                                                                     \
        .handle = handler, .need = NAMESPACE_NONE, .support = API_COMPLETE, .note = "with --time-skipping"   \
    }

#define RULES "superseded by worker deployments"

static const struct rpc_entry entries[PB_METHOD_COUNT] = {
    WORKFLOW(RegisterNamespace, register_namespace, NONE, COMPLETE,
             "one cluster: global namespaces are refused"),
    WORKFLOW(DescribeNamespace, describe_namespace, NONE, COMPLETE, ""),
    WORKFLOW(ListNamespaces, list_namespaces, NONE, COMPLETE, ""),
    WORKFLOW(UpdateNamespace, update_namespace, REQUIRED, PARTIAL,
             "custom search attribute aliases are ignored"),
    WORKFLOW(DeprecateNamespace, deprecate_namespace, REQUIRED, COMPLETE, ""),
    WORKFLOW(StartWorkflowExecution, start_workflow, REQUIRED, PARTIAL, "no pinned versions"),
    WORKFLOW(SignalWithStartWorkflowExecution, signal_with_start_workflow, REQUIRED, PARTIAL,
             "no pinned versions"),
    WORKFLOW(SignalWorkflowExecution, signal_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(RequestCancelWorkflowExecution, request_cancel_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(TerminateWorkflowExecution, terminate_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(ResetWorkflowExecution, reset_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(DeleteWorkflowExecution, delete_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(PollWorkflowTaskQueue, poll_workflow_task, REQUIRED, PARTIAL, "no worker deployments"),
    WORKFLOW(RespondWorkflowTaskCompleted, respond_workflow_task_completed, TOKEN, PARTIAL,
             "commands for Nexus fail the task"),
    WORKFLOW(RespondWorkflowTaskFailed, respond_workflow_task_failed, TOKEN, COMPLETE, ""),
    WORKFLOW(PollActivityTaskQueue, poll_activity_task, REQUIRED, PARTIAL, "no worker deployments"),
    WORKFLOW(RecordActivityTaskHeartbeat, record_activity_task_heartbeat, TOKEN, COMPLETE, ""),
    WORKFLOW(RecordActivityTaskHeartbeatById, record_activity_task_heartbeat_by_id, REQUIRED, COMPLETE, ""),
    WORKFLOW(RespondActivityTaskCompleted, respond_activity_task_completed, TOKEN, COMPLETE, ""),
    WORKFLOW(RespondActivityTaskCompletedById, respond_activity_task_completed_by_id, REQUIRED, COMPLETE, ""),
    WORKFLOW(RespondActivityTaskFailed, respond_activity_task_failed, TOKEN, COMPLETE, ""),
    WORKFLOW(RespondActivityTaskFailedById, respond_activity_task_failed_by_id, REQUIRED, COMPLETE, ""),
    WORKFLOW(RespondActivityTaskCanceled, respond_activity_task_canceled, TOKEN, COMPLETE, ""),
    WORKFLOW(RespondActivityTaskCanceledById, respond_activity_task_canceled_by_id, REQUIRED, COMPLETE, ""),
    WORKFLOW(GetWorkflowExecutionHistory, get_workflow_history, REQUIRED, COMPLETE, ""),
    WORKFLOW(GetWorkflowExecutionHistoryReverse, get_workflow_history_reverse, REQUIRED, COMPLETE, ""),
    WORKFLOW(DescribeWorkflowExecution, describe_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(QueryWorkflow, query_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(UpdateWorkflowExecution, update_workflow, REQUIRED, PARTIAL, "no completion callbacks"),
    WORKFLOW(PollWorkflowExecutionUpdate, poll_workflow_update, REQUIRED, COMPLETE, ""),
    WORKFLOW(ExecuteMultiOperation, execute_multi_operation, REQUIRED, COMPLETE, "update with start"),
    WORKFLOW(RespondQueryTaskCompleted, respond_query_task_completed, TOKEN, COMPLETE, ""),
    WORKFLOW(ListWorkflowExecutions, list_workflows, REQUIRED, COMPLETE, ""),
    WORKFLOW(ScanWorkflowExecutions, scan_workflows, REQUIRED, COMPLETE, "as ListWorkflowExecutions"),
    WORKFLOW(CountWorkflowExecutions, count_workflows, REQUIRED, COMPLETE, "GROUP BY any search attribute"),
    WORKFLOW(ListOpenWorkflowExecutions, list_open_workflows, REQUIRED, COMPLETE, ""),
    WORKFLOW(ListClosedWorkflowExecutions, list_closed_workflows, REQUIRED, COMPLETE, ""),
    WORKFLOW(CreateSchedule, create_schedule, REQUIRED, COMPLETE, "TimezoneData is refused"),
    WORKFLOW(DescribeSchedule, describe_schedule, REQUIRED, COMPLETE, ""),
    WORKFLOW(UpdateSchedule, update_schedule, REQUIRED, COMPLETE, ""),
    WORKFLOW(PatchSchedule, patch_schedule, REQUIRED, COMPLETE, ""),
    WORKFLOW(DeleteSchedule, delete_schedule, REQUIRED, COMPLETE, ""),
    WORKFLOW(ListSchedules, list_schedules, REQUIRED, COMPLETE, ""),
    WORKFLOW(CountSchedules, count_schedules, REQUIRED, COMPLETE, ""),
    WORKFLOW(ListScheduleMatchingTimes, list_schedule_matching_times, REQUIRED, COMPLETE, ""),
    WORKFLOW(GetSearchAttributes, get_search_attributes, NONE, COMPLETE, ""),
    WORKFLOW(GetSystemInfo, get_system_info, NONE, COMPLETE, ""),
    WORKFLOW(GetClusterInfo, get_cluster_info, NONE, COMPLETE, ""),
    WORKFLOW(ResetStickyTaskQueue, reset_sticky_task_queue, REQUIRED, COMPLETE, ""),
    WORKFLOW(ShutdownWorker, shutdown_worker, REQUIRED, COMPLETE, ""),
    WORKFLOW(PauseActivity, pause_activity, REQUIRED, COMPLETE, ""),
    WORKFLOW(UnpauseActivity, unpause_activity, REQUIRED, COMPLETE, ""),
    WORKFLOW(ResetActivity, reset_activity, REQUIRED, COMPLETE, ""),
    WORKFLOW(UpdateActivityOptions, update_activity_options, REQUIRED, COMPLETE, ""),
    WORKFLOW(PauseWorkflowExecution, pause_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(UnpauseWorkflowExecution, unpause_workflow, REQUIRED, COMPLETE, ""),
    WORKFLOW(UpdateWorkflowExecutionOptions, update_workflow_options, REQUIRED, PARTIAL,
             "priority and automatic upgrade; no pinned versions, no time skipping"),
    WORKFLOW(UpdateTaskQueueConfig, update_task_queue_config, REQUIRED, COMPLETE, ""),
    WORKFLOW(RecordWorkerHeartbeat, record_worker_heartbeat, REQUIRED, COMPLETE, ""),
    WORKFLOW(DescribeWorker, describe_worker, REQUIRED, COMPLETE, ""),
    WORKFLOW(ListWorkers, list_workers, REQUIRED, COMPLETE, "10,000 workers at most"),
    WORKFLOW(CountWorkers, count_workers, REQUIRED, COMPLETE, ""),
    WORKFLOW(DescribeTaskQueue, describe_task_queue, REQUIRED, PARTIAL, "no worker deployments"),
    WORKFLOW(ListTaskQueuePartitions, list_task_queue_partitions, REQUIRED, COMPLETE, "one"),
    WORKFLOW(UpdateWorkerBuildIdCompatibility, refuse_method, REQUIRED, REFUSED, RULES),
    WORKFLOW(GetWorkerBuildIdCompatibility, refuse_method, REQUIRED, REFUSED, RULES),
    WORKFLOW(UpdateWorkerVersioningRules, refuse_method, REQUIRED, REFUSED, RULES),
    WORKFLOW(GetWorkerVersioningRules, refuse_method, REQUIRED, REFUSED, RULES),
    WORKFLOW(GetWorkerTaskReachability, refuse_method, REQUIRED, REFUSED, RULES),
    OPERATOR(CreateNexusEndpoint, refuse_method, NONE, REFUSED, "Nexus is not there yet"),
    OPERATOR(DeleteNamespace, delete_namespace, NONE, COMPLETE, ""),
    OPERATOR(AddSearchAttributes, add_search_attributes, REQUIRED, COMPLETE, ""),
    OPERATOR(RemoveSearchAttributes, remove_search_attributes, REQUIRED, COMPLETE, ""),
    OPERATOR(ListSearchAttributes, list_search_attributes, REQUIRED, COMPLETE, ""),
    OPERATOR(ListClusters, list_clusters, NONE, COMPLETE, "this cluster"),
    TOOLS(ApplyToolset, apply_toolset, NONE, COMPLETE, "of this server"),
    TOOLS(GetToolset, get_toolset, NONE, COMPLETE, "of this server"),
    TOOLS(ListToolsets, list_toolsets, NONE, COMPLETE, "of this server"),
    TOOLS(DeleteToolset, delete_toolset, NONE, COMPLETE, "of this server"),
    TEST(LockTimeSkipping, time_lock),
    TEST(UnlockTimeSkipping, time_unlock),
    TEST(Sleep, time_sleep),
    TEST(SleepUntil, time_sleep_until),
    TEST(UnlockTimeSkippingWithSleep, time_unlock_and_sleep),
    TEST(GetCurrentTime, time_current),
};

const struct rpc_entry *rpc_entry(uint16_t method)
{
    assert(method < PB_METHOD_COUNT);
    return &entries[method];
}

/* --- for perdure compat: the methods of the two services, in the order of their paths --- */

static bool is_ours(const struct pb_method *method)
{
    return api_is_method(method->path);
}

size_t api_method_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < pb_method_count; i++)
        count += is_ours(&pb_methods[i]);
    return count;
}

struct api_method_info api_method(size_t index)
{
    for (size_t i = 0; i < pb_method_count; i++) {
        if (!is_ours(&pb_methods[i]))
            continue;
        if (index-- != 0)
            continue;
        const struct rpc_entry *entry = &entries[pb_methods[i].index];
        return (struct api_method_info){ .service = (const char *)pb_methods[i].service.base,
                                         .name = (const char *)pb_methods[i].name.base,
                                         .support = entry->support,
                                         .note = entry->note == NULL ? "" : entry->note };
    }
    panic("there is no such method");
}
