/* delete.c: a run that is to be gone. */
#include "engine/delete.h"

#include "engine/callback.h"
#include "engine/execution.h"
#include "shard/number.h"

void decide_delete(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision)
{
    struct draft draft;
    draft_begin(&draft, live, env, request->base.arena);
    if (execution_is_open(live)) /* parent and children hear of its end as of any other */
        execution_terminate(&draft, BYTES("Delete workflow execution"), BYTES_EMPTY, IDENTITY_SERVER);
    callbacks_drop(&draft);
    if (!draft_is_empty(&draft)) {
        decision->changes = true;
        draft_finish(&draft, &decision->self);
    }
    decision->deletes = true;
    request->response = ARENA_NEW(request->base.arena,
                                  struct workflowservice_DeleteWorkflowExecutionResponse);
}

/* Goes along the runs that came of resets, one for each time that it is asked. */
static bool is_needed(const struct execution *live, const struct env *env, struct decision *decision)
{
    const struct execution *last = env->other == NULL ? live : env->other;
    struct uuid             run_id;
    if (execution_is_open(last))
        return true;
    if (!uuid_parse(execution_lineage(last)->reset_run_id, &run_id))
        return false;
    decision->need_run = run_id_number(&run_id);
    return true;
}

void decide_expire(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision)
{
    if (execution_is_open(live) || env->namespace == NULL ||
        time_add(live->close_time, env->namespace->retention_ns) > env->now)
        return;
    if (!request->whatever_follows && is_needed(live, env, decision))
        return;
    decide_delete(live, request, env, decision);
    request->is_expired = true;
}
