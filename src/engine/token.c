/* token.c: task tokens. */
#include "codec/pb.h"
#include "engine/workflow.h"

bool task_same_start(const struct task_ref *task, const struct task_ref *other)
{
    return task->scheduled_event_id == other->scheduled_event_id &&
           task->started_event_id == other->started_event_id && task->attempt == other->attempt &&
           task->started_time == other->started_time && task->stamp == other->stamp;
}

struct bytes task_token_encode(const struct task_ref *task, struct arena *arena)
{
    struct token_Task token = {
        .namespace_id = task->namespace_id,
        .workflow_id = task->workflow_id,
        .run_id = bytes_of(task->run_id.byte, sizeof(task->run_id.byte)),
        .kind = (int32_t)task->kind,
        .scheduled_event_id = task->scheduled_event_id,
        .started_event_id = task->started_event_id,
        .started_time = task->started_time,
        .attempt = task->attempt,
        .stamp = task->stamp,
        .activity_id = task->activity_id,
        .is_query = task->is_query,
        .query_id = task->query_id,
    };
    return pb_encode_arena(&pb_token_Task, &token, arena);
}

enum status task_token_decode(struct bytes bytes, struct arena *arena, struct task_ref *ret_task,
                              struct error *error)
{
    struct token_Task token = { 0 };
    struct error      why = { 0 };
    enum status       status = pb_decode(&pb_token_Task, bytes, arena, &token, &why);
    if (status == ST_RESOURCE_EXHAUSTED)
        return error_set(error, status, "%s", why.message);
    if (status != ST_OK || token.run_id.size != sizeof(struct uuid) ||
        token.namespace_id.size != UUID_TEXT_SIZE || token.workflow_id.size == 0 ||
        token.kind < STORE_TASK_WORKFLOW || token.kind > STORE_TASK_NEXUS)
        return error_set(error, ST_INVALID_ARGUMENT, "Error deserializing task token.");
    *ret_task = (struct task_ref){
        .namespace_id = token.namespace_id,
        .workflow_id = token.workflow_id,
        .kind = (enum store_task_kind)token.kind,
        .scheduled_event_id = token.scheduled_event_id,
        .started_event_id = token.started_event_id,
        .started_time = token.started_time,
        .attempt = token.attempt,
        .stamp = token.stamp,
        .activity_id = token.activity_id,
        .is_query = token.is_query,
        .query_id = token.query_id,
    };
    memcpy(ret_task->run_id.byte, token.run_id.base, sizeof(ret_task->run_id.byte));
    return ST_OK;
}
