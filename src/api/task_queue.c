/* task_queue.c: ResetStickyTaskQueue, ShutdownWorker, DescribeTaskQueue. */
#include "api/api_internal.h"

void reset_sticky_task_queue(struct rpc *rpc)
{
    const struct workflowservice_ResetStickyTaskQueueRequest *request = rpc->request;
    struct execution_ref                                      execution;
    if (check_execution(request->execution, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_RESET_STICKY, execution.workflow_id,
                execution.has_run_id ? &execution.run_id : NULL);
    rpc_submit(rpc, rpc_answer);
}

/* --- ShutdownWorker: always OK. Its queues are known by name only when the worker says the normal one; otherwise every lane
 * is visited, because sticky queues live with their normal queue. --- */

static void shutdown_here(struct rpc *rpc)
{
    const struct workflowservice_ShutdownWorkerRequest *request = rpc->request;
    struct api_lane                                    *lane = rpc_at(rpc);
    if (request->sticky_task_queue.size != 0)
        matching_forget_sticky_name(lane->matching, rpc->ns.number, request->sticky_task_queue);
    poll_shutdown_worker(lane, request->worker_instance_key);
    uint32_t next = lane_index(lane->lane) + 1;
    if (next < lane->api->lane_count)
        rpc_move(rpc, lane->api->lanes[next].lane, shutdown_here);
    else
        rpc_reply(rpc, NULL);
}

void shutdown_worker(struct rpc *rpc)
{
    rpc_move(rpc, rpc->home->api->lanes[0].lane, shutdown_here);
}

/* --- DescribeTaskQueue --- */

static enum store_task_kind kind_of(int32_t type)
{
    return type == enums_TASK_QUEUE_TYPE_ACTIVITY ? STORE_TASK_ACTIVITY
           : type == enums_TASK_QUEUE_TYPE_NEXUS  ? STORE_TASK_NEXUS
                                                  : STORE_TASK_WORKFLOW;
}

static struct taskqueue_PollerInfo *pollers_of(struct rpc *rpc, const struct queue_description *description)
{
    struct taskqueue_PollerInfo *pollers = ARENA_NEW_ARRAY(&rpc->arena, struct taskqueue_PollerInfo,
                                                           MATCHING_HISTORY_MAX);
    for (size_t i = 0; i < description->poller_count; i++) {
        pollers[i].identity = arena_copy(&rpc->arena, description->pollers[i].identity);
        pollers[i].last_access_time = timestamp_of_ns(&rpc->arena, description->pollers[i].last_access);
        pollers[i].rate_per_second = 100000;
    }
    return pollers;
}

static struct taskqueue_TaskQueueStats *stats_of(struct rpc *rpc, const struct queue_description *description)
{
    struct taskqueue_TaskQueueStats *stats = ARENA_NEW(&rpc->arena, struct taskqueue_TaskQueueStats);
    int64_t                          age = 0;
    if (description->oldest_created != 0)
        age = MAX(lane_now(rpc_lane(rpc)) - description->oldest_created, INT64_C(0));
    stats->approximate_backlog_count = (int64_t)description->backlog;
    stats->approximate_backlog_age = duration_of_ns(&rpc->arena, age);
    return stats;
}

static void describe_enhanced(struct rpc *rpc, struct workflowservice_DescribeTaskQueueResponse *response)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    static const int32_t both[] = { enums_TASK_QUEUE_TYPE_WORKFLOW, enums_TASK_QUEUE_TYPE_ACTIVITY };
    const int32_t       *types = request->task_queue_types_count != 0 ? request->task_queue_types : both;
    size_t count = request->task_queue_types_count != 0 ? request->task_queue_types_count : ARRAY_COUNT(both);
    count = MIN(count, (size_t)3);
    struct taskqueue_TaskQueueVersionInfo *info = ARENA_NEW(&rpc->arena,
                                                            struct taskqueue_TaskQueueVersionInfo);
    info->types_info = ARENA_NEW_ARRAY(&rpc->arena, struct taskqueue_TaskQueueVersionInfo_TypesInfoEntry,
                                       count);
    for (size_t i = 0; i < count; i++) {
        struct queue_name        name = { rpc->ns.number, request->task_queue->name, BYTES_EMPTY,
                                          kind_of(types[i]) };
        struct queue_description description;
        matching_describe(rpc_at(rpc)->matching, &name, &description);
        struct taskqueue_TaskQueueTypeInfo *type = ARENA_NEW(&rpc->arena, struct taskqueue_TaskQueueTypeInfo);
        if (request->report_pollers) {
            type->pollers = pollers_of(rpc, &description);
            type->pollers_count = description.poller_count;
        }
        if (request->report_stats)
            type->stats = stats_of(rpc, &description);
        info->types_info[info->types_info_count].key = types[i];
        info->types_info[info->types_info_count++].value = type;
    }
    response->versions_info = ARENA_NEW(&rpc->arena,
                                        struct workflowservice_DescribeTaskQueueResponse_VersionsInfoEntry);
    response->versions_info[0].value = info;
    response->versions_info_count = 1;
}

static void describe_here(struct rpc *rpc)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    const struct taskqueue_TaskQueue                      *queue = request->task_queue;
    struct workflowservice_DescribeTaskQueueResponse      *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_DescribeTaskQueueResponse);
    if (request->api_mode == enums_DESCRIBE_TASK_QUEUE_MODE_ENHANCED) {
        describe_enhanced(rpc, response);
        rpc_reply(rpc, response);
        return;
    }
    struct queue_name        name = { .namespace_number = rpc->ns.number,
                                      .name = queue->name,
                                      .normal = queue->kind == enums_TASK_QUEUE_KIND_STICKY ? queue->normal_name
                                                                                            : BYTES_EMPTY,
                                      .kind = kind_of(request->task_queue_type) };
    struct queue_description description;
    matching_describe(rpc_at(rpc)->matching, &name, &description);
    response->pollers = pollers_of(rpc, &description);
    response->pollers_count = description.poller_count;
    if (request->report_stats)
        response->stats = stats_of(rpc, &description);
    if (request->include_task_queue_status) {
        response->task_queue_status = ARENA_NEW(&rpc->arena, struct taskqueue_TaskQueueStatus);
        response->task_queue_status->backlog_count_hint = (int64_t)description.backlog;
        response->task_queue_status->rate_per_second = 100000;
    }
    rpc_reply(rpc, response);
}

void describe_task_queue(struct rpc *rpc)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    const struct taskqueue_TaskQueue                      *queue = request->task_queue;
    if (check_task_queue(queue, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    bool sticky = queue->kind == enums_TASK_QUEUE_KIND_STICKY && queue->normal_name.size != 0;
    if (queue->kind == enums_TASK_QUEUE_KIND_STICKY &&
        request->api_mode == enums_DESCRIBE_TASK_QUEUE_MODE_ENHANCED) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "TaskQueue: a sticky queue cannot be described in enhanced mode.");
        return;
    }
    struct bytes normal = sticky ? queue->normal_name : queue->name;
    rpc_move(rpc, runtime_queue_lane(rpc->home->api->runtime, rpc->ns.number, normal), describe_here);
}
