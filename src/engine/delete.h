/* delete.h: a run that is to be gone: it ends, if it is open, and the runtime takes its rows away (shard/deletion.c). */
#ifndef ENGINE_DELETE_H
#define ENGINE_DELETE_H
#include "engine/workflow.h"

struct execution;
void decide_delete(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision);
#endif
