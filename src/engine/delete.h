/* delete.h: a run that is to be gone: it ends, if it is open, and the runtime takes its rows away (shard/deletion.c). */
#ifndef ENGINE_DELETE_H
#define ENGINE_DELETE_H
#include "engine/workflow.h"

struct execution;
void decide_delete(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision);
/* A run that is past its retention. One that was reset stays as long as the run that goes on from it is open: answers to what it
 * had begun reach that one through it (message.c). */
void decide_expire(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision);
#endif
