/* describe.c: everything that DescribeWorkflowExecution shows. */
#include "engine/activity_operator.h"
#include "engine/callback.h"
#include "engine/execution.h"
#include "engine/options.h"
#include "engine/query.h"
#include "engine/retry.h"
#include "engine/search_attributes.h"
#include "engine/server_attributes.h"

static struct taskqueue_TaskQueue *queue_of(struct arena *arena, struct bytes name)
{
    struct taskqueue_TaskQueue *queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    queue->name = arena_copy(arena, name);
    queue->kind = enums_TASK_QUEUE_KIND_NORMAL;
    return queue;
}

static struct workflow_ResetPoints *reset_points(const struct execution *live, struct arena *arena)
{
    struct workflow_ResetPoints *points = ARENA_NEW(arena, struct workflow_ResetPoints);
    points->points = ARENA_NEW_ARRAY(arena, struct workflow_ResetPointInfo, live->reset_point_count + 1);
    points->points_count = live->reset_point_count;
    for (uint32_t i = 0; i < live->reset_point_count; i++) {
        const struct reset_point       *point = &live->reset_points[i];
        struct workflow_ResetPointInfo *info = &points->points[i];
        info->binary_checksum = arena_copy(arena, point->checksum);
        info->build_id = arena_copy(arena, point->build_id);
        info->run_id = point->run_id.size != 0 ? arena_copy(arena, point->run_id)
                                               : uuid_text(arena, &live->run_id);
        info->first_workflow_task_completed_id = point->completed_event_id;
        info->create_time = timestamp_or_null(arena, point->create_time);
        info->expire_time = timestamp_or_null(arena, point->expire_time);
        info->resettable = !point->not_resettable;
    }
    return points;
}

static void describe_info(const struct execution *live, const struct env *env, struct arena *arena,
                          struct workflow_WorkflowExecutionInfo *info)
{
    info->execution = execution_message(live, arena);
    info->type = ARENA_NEW(arena, struct common_WorkflowType);
    info->type->name = arena_copy(arena, live->type);
    info->start_time = timestamp_or_null(arena, live->start_time);
    info->execution_time = timestamp_or_null(arena, live->execution_time);
    info->close_time = timestamp_or_null(arena, live->close_time);
    info->status = live->status;
    info->history_length = live->next_event_id - 1;
    info->history_size_bytes = live->history_size;
    info->state_transition_count = live->transitions;
    info->memo = live->memo.size != 0 ? arena_copy(arena, live->memo) : BYTES("");
    struct bytes attributes = execution_search_attributes(live, arena);
    info->search_attributes = attributes.size != 0
                                  ? search_attributes_typed(env->namespace, attributes, arena)
                                  : BYTES("");
    info->auto_reset_points = reset_points(live, arena);
    info->task_queue = arena_copy(arena, live->queue);
    info->first_run_id = uuid_text(arena, &live->first_run_id);
    const struct family *family = execution_family(live);
    info->root_execution = execution_message(live, arena);
    if (family->root_workflow_id.size != 0) {
        info->root_execution->workflow_id = arena_copy(arena, family->root_workflow_id);
        info->root_execution->run_id = uuid_text(arena, &family->root_run_id);
    }
    if (family->parent_workflow_id.size != 0) {
        info->parent_namespace_id = arena_copy(arena, live->namespace_id);
        info->parent_execution = ARENA_NEW(arena, struct common_WorkflowExecution);
        info->parent_execution->workflow_id = arena_copy(arena, family->parent_workflow_id);
        info->parent_execution->run_id = uuid_text(arena, &family->parent_run_id);
    }
    if (live->priority.size != 0)
        info->priority = arena_copy(arena, live->priority);
    struct workflow_VersioningOverride *override = execution_versioning_override(live, arena);
    if (override != NULL) {
        info->versioning_info = ARENA_NEW(arena, struct workflow_WorkflowExecutionVersioningInfo);
        info->versioning_info->versioning_override = override;
        if (override->override_case == 4) /* for readers of the older field */
            override->behavior = enums_VERSIONING_BEHAVIOR_AUTO_UPGRADE;
    }
    if (live->close_time != 0)
        info->execution_duration = duration_of_ns(arena, MAX(live->close_time - live->execution_time, 0));
}

static int32_t activity_state(const struct activity *activity)
{
    if (activity->cancel_requested)
        return enums_PENDING_ACTIVITY_STATE_CANCEL_REQUESTED;
    if (activity->pause.time != 0)
        return activity->started_time != 0 ? enums_PENDING_ACTIVITY_STATE_PAUSE_REQUESTED
                                           : enums_PENDING_ACTIVITY_STATE_PAUSED;
    return activity->started_time != 0 ? enums_PENDING_ACTIVITY_STATE_STARTED
                                       : enums_PENDING_ACTIVITY_STATE_SCHEDULED;
}

static struct workflow_PendingActivityInfo_PauseInfo *activity_pause(const struct pause *pause,
                                                                     struct arena       *arena)
{
    struct workflow_PendingActivityInfo_PauseInfo *info =
        ARENA_NEW(arena, struct workflow_PendingActivityInfo_PauseInfo);
    info->pause_time = timestamp_or_null(arena, pause->time);
    info->paused_by_case = 2;
    info->manual = ARENA_NEW(arena, struct workflow_PendingActivityInfo_PauseInfo_Manual);
    info->manual->identity = arena_copy(arena, pause->identity);
    info->manual->reason = arena_copy(arena, pause->reason);
    return info;
}

static void describe_activity(const struct activity *activity, const struct env *env, struct arena *arena,
                              struct workflow_PendingActivityInfo *info)
{
    struct common_RetryPolicy *policy = ARENA_NEW(arena, struct common_RetryPolicy);
    struct error               error;
    if (pb_decode(&pb_common_RetryPolicy, arena_copy(arena, activity->retry_policy), arena, policy, &error) !=
        ST_OK)
        *policy = (struct common_RetryPolicy){ 0 };
    info->activity_id = arena_copy(arena, activity->activity_id);
    info->activity_type = ARENA_NEW(arena, struct common_ActivityType);
    info->activity_type->name = arena_copy(arena, activity->type);
    info->state = activity_state(activity);
    info->attempt = activity->attempt;
    info->maximum_attempts = policy->maximum_attempts;
    info->scheduled_time = timestamp_or_null(arena, activity->scheduled_time);
    info->last_started_time = timestamp_or_null(arena, activity->started_time);
    info->last_attempt_complete_time = timestamp_or_null(arena, activity->last_attempt_complete_time);
    info->last_heartbeat_time = timestamp_or_null(
        arena, MAX(activity->heartbeat_time,
                   activity->volatile_heartbeat > activity->started_time ? activity->volatile_heartbeat : 0));
    info->last_worker_identity = arena_copy(arena, activity->identity);
    struct bytes details = activity_details(activity);
    if (details.size != 0)
        info->heartbeat_details = arena_copy(arena, details);
    if (activity->last_failure.size != 0)
        info->last_failure = arena_copy(arena, activity->last_failure);
    if (activity->schedule_to_close != 0)
        info->expiration_time = timestamp_or_null(arena, time_add(activity->first_scheduled_time,
                                                                  activity->schedule_to_close));
    if (activity->pause.time != 0) {
        info->paused = true;
        info->pause_info = activity_pause(&activity->pause, arena);
    } else if (activity->started_time == 0 && activity->scheduled_time > env->now) {
        info->next_attempt_schedule_time = timestamp_or_null(arena, activity->scheduled_time);
        info->current_retry_interval = duration_of_ns(arena, activity->scheduled_time -
                                                                 activity->last_attempt_complete_time);
    }
    if (activity->priority.size != 0)
        info->priority = arena_copy(arena, activity->priority);
    info->activity_options = activity_options(activity, arena);
}

static void describe_task(const struct execution *live, struct arena *arena,
                          struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    const struct workflow_task *task = &live->task;
    if (!task->is_pending)
        return;
    struct workflow_PendingWorkflowTaskInfo *info = ARENA_NEW(arena, struct workflow_PendingWorkflowTaskInfo);
    info->state = task->started_time != 0 ? enums_PENDING_WORKFLOW_TASK_STATE_STARTED
                                          : enums_PENDING_WORKFLOW_TASK_STATE_SCHEDULED;
    info->scheduled_time = timestamp_or_null(arena, task->scheduled_time);
    info->original_scheduled_time = timestamp_or_null(arena, task->original_scheduled_time);
    info->started_time = timestamp_or_null(arena, task->started_time);
    info->attempt = task->attempt;
    response->pending_workflow_task = info;
}

static void describe_children(const struct execution *live, struct arena *arena,
                              struct workflowservice_DescribeWorkflowExecutionResponse *response)
{
    response->pending_children = ARENA_NEW_ARRAY(arena, struct workflow_PendingChildExecutionInfo,
                                                 live->child_count + 1);
    response->pending_children_count = live->child_count;
    for (uint32_t i = 0; i < live->child_count; i++) {
        const struct child                        *child = live->children[i].record;
        struct workflow_PendingChildExecutionInfo *info = &response->pending_children[i];
        info->workflow_id = arena_copy(arena, child->workflow_id);
        info->workflow_type_name = arena_copy(arena, child->type);
        info->initiated_id = child->initiated_event_id;
        info->parent_close_policy = child->parent_close_policy;
        if (child->is_started)
            info->run_id = uuid_text(arena, &child->first_run_id);
    }
}

static struct workflow_WorkflowExecutionConfig *describe_config(const struct execution *live,
                                                                struct arena           *arena)
{
    struct workflow_WorkflowExecutionConfig *config = ARENA_NEW(arena,
                                                                struct workflow_WorkflowExecutionConfig);
    config->task_queue = queue_of(arena, live->queue);
    config->workflow_execution_timeout = duration_of_ns(arena, live->execution_timeout);
    config->workflow_run_timeout = duration_of_ns(arena, live->run_timeout);
    config->default_workflow_task_timeout = duration_of_ns(arena, live->task_timeout);
    return config;
}

static struct workflow_WorkflowExecutionExtendedInfo *describe_extended(const struct execution *live,
                                                                        struct arena           *arena)
{
    struct workflow_WorkflowExecutionExtendedInfo *info =
        ARENA_NEW(arena, struct workflow_WorkflowExecutionExtendedInfo);
    const struct lineage *lineage = execution_lineage(live);
    size_t                count = live->attached_count + 1;
    info->execution_expiration_time = timestamp_or_null(arena, live->execution_expiration);
    info->run_expiration_time = timestamp_or_null(arena, live->run_expiration);
    info->cancel_requested = live->cancel_requested;
    info->original_start_time = timestamp_or_null(arena, lineage->original_start_time != 0
                                                             ? lineage->original_start_time
                                                             : live->start_time);
    if (lineage->original_start_time != 0)
        info->last_reset_time = timestamp_or_null(arena, live->start_time);
    info->reset_run_id = arena_copy(arena, lineage->reset_run_id);
    info->request_id_infos =
        ARENA_NEW_ARRAY(arena, struct workflow_WorkflowExecutionExtendedInfo_RequestIdInfosEntry, count);
    info->request_id_infos_count = count;
    for (size_t i = 0; i < count; i++) {
        struct workflow_RequestIdInfo *request = ARENA_NEW(arena, struct workflow_RequestIdInfo);
        bool                           is_start = i == 0;
        const struct attached_request *attached = is_start ? NULL : &live->attached[i - 1];
        info->request_id_infos[i].key = arena_copy(arena,
                                                   is_start ? live->start_request_id : attached->request_id);
        request->event_type = is_start ? enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
                                       : enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED;
        request->event_id = is_start ? 1 : attached->event_id;
        request->buffered = !is_start && attached->event_id == 0;
        info->request_id_infos[i].value = request;
    }
    if (live->pause.time != 0) {
        info->pause_info = ARENA_NEW(arena, struct workflow_WorkflowExecutionPauseInfo);
        info->pause_info->identity = arena_copy(arena, live->pause.identity);
        info->pause_info->reason = arena_copy(arena, live->pause.reason);
        info->pause_info->paused_time = timestamp_or_null(arena, live->pause.time);
    }
    return info;
}

void decide_describe(const struct execution *live, struct workflow_request *request, struct env *env,
                     struct decision *decision)
{
    struct arena                                             *arena = request->base.arena;
    struct workflowservice_DescribeWorkflowExecutionResponse *response =
        ARENA_NEW(arena, struct workflowservice_DescribeWorkflowExecutionResponse);
    response->execution_config = describe_config(live, arena);
    if (live->has_user_metadata) {
        const struct history_HistoryEvent *first = cold_event(env, decision, 1, arena);
        if (first == NULL)
            return;
        response->execution_config->user_metadata = first->user_metadata;
    }
    response->workflow_execution_info = ARENA_NEW(arena, struct workflow_WorkflowExecutionInfo);
    describe_info(live, env, arena, response->workflow_execution_info);
    response->workflow_extended_info = describe_extended(live, arena);
    response->pending_activities = ARENA_NEW_ARRAY(arena, struct workflow_PendingActivityInfo,
                                                   live->activity_count + 1);
    response->pending_activities_count = live->activity_count;
    for (uint32_t i = 0; i < live->activity_count; i++)
        describe_activity(live->activities[i].record, env, arena, &response->pending_activities[i]);
    describe_task(live, arena, response);
    describe_children(live, arena, response);
    callbacks_describe(live, arena, response);
    request->response = response;
}
