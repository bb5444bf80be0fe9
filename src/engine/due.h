/* due.h: what happens by itself when its time has come: timers, timeouts, backoffs. */
#ifndef ENGINE_DUE_H
#define ENGINE_DUE_H
#include "engine/draft.h"

/* Decides nothing when nothing is due. */
void decide_due(const struct execution *live, struct workflow_request *request, struct env *env,
                struct decision *decision);
#endif
