/* delete.c: a run that is to be gone. */
#include "engine/delete.h"

#include "engine/callback.h"
#include "engine/execution.h"

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
