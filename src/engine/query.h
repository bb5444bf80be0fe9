/* query.h: requests that only read: queries, describe, history. They never change the state. */
#ifndef ENGINE_QUERY_H
#define ENGINE_QUERY_H
#include "engine/draft.h"

void decide_query(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision);
void decide_history(const struct execution *live, struct workflow_request *request, struct env *env,
                    struct decision *decision);
void decide_describe(const struct execution *live, struct workflow_request *request, struct env *env,
                     struct decision *decision);
#endif
