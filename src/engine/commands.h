/* commands.h: the completion of a workflow task: its commands, in order, and what comes next. */
#ifndef ENGINE_COMMANDS_H
#define ENGINE_COMMANDS_H
#include "engine/draft.h"

void decide_task_complete(const struct execution *live, struct workflow_request *request, struct env *env,
                          struct decision *decision);
#endif
