/* signal.h: what reaches a run from outside: signals and cancel requests. */
#ifndef ENGINE_SIGNAL_H
#define ENGINE_SIGNAL_H
#include "engine/draft.h"

void decide_signal(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision);
void decide_request_cancel(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision);
/* Signals an open run, or says why not in the request's error. `in_backoff`: wakes it before its first task is due. */
enum status signal_existing(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision, struct history_HistoryEvent *signal,
                            struct bytes request_id, bool in_backoff) MUST_USE;
/* A run that tried to close, and is being asked again, takes no signals meanwhile, so that it can. */
bool signal_is_refused(const struct execution *live);
/* Whether a request that names the first run of its chain means this run. */
bool chain_matches(const struct execution *live, struct bytes first_execution_run_id);
#endif
