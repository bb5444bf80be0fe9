/* reset.h: a run begins again from an earlier workflow task of it.
 *
 * The new run's history is the old one's up to that task (the runtime shares the rows, shard/fork.c), a WorkflowTaskFailed in
 * place of what came of the task, and what others had sent since, again. The run that is current then is terminated by the
 * same commit.
 */
#ifndef ENGINE_RESET_H
#define ENGINE_RESET_H
#include "engine/fold.h"
#include "engine/workflow.h"

/* `live` is the current run, open or closed; the request's input names the one that is reset. */
void decide_reset(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision);

/* The fold's part: a state as it was at the cut becomes that of a run that begins now. */
void fold_forked(struct fold *fold, const struct state_Change *change);
/* Another run has begun from this one. */
void fold_reset_to(struct execution *state, const struct state_ResetTo *reset_to);
#endif
