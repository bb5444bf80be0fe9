/* pause.h: a run that operators have paused: it is open, but no worker gets a task of it until the pause ends.
 *
 *      running --Paused--> paused --Unpaused--> running
 *
 * What takes place while it is paused: a workflow task or activity that a worker has already may end; signals, cancel
 * requests and timers are recorded; timeouts of the run go on; it can be terminated and reset. What does not: workflow
 * tasks and activity attempts are not handed out, queries and updates are refused.
 */
#ifndef ENGINE_PAUSE_H
#define ENGINE_PAUSE_H
#include "engine/draft.h"

/* WorkflowExecutionPaused and WorkflowExecutionUnpaused, on arrival. */
void pause_fold(struct execution *execution, const struct history_HistoryEvent *event);

/* Requests; live is an open run. */
void decide_pause(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision);
void decide_unpause(const struct execution *live, struct workflow_request *request, struct env *env,
                    struct decision *decision);
#endif
