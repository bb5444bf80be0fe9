/* activity_operator.h: what operators do to pending activities: pause, unpause, reset, change their options.
 *
 *      scheduled --pause--> paused (no row) --unpause, reset--> scheduled now, or backs off for a jitter
 *      started   --pause--> pause requested: completes as ever; its failure or timeout parks it, with one attempt more
 *
 * None of this is in the history: it is changes only. A worker hears of it with its next heartbeat.
 */
#ifndef ENGINE_ACTIVITY_OPERATOR_H
#define ENGINE_ACTIVITY_OPERATOR_H
#include "engine/draft.h"

enum status activity_operator_fold(struct fold *fold, const struct state_Change *change,
                                   struct error *error) MUST_USE;
/* The options that it was scheduled with, which operators have changed since. */
void activity_operator_restore(struct fold *fold, struct activity *activity);
/* What ends with an attempt that is made again. */
void activity_operator_fold_retried(struct execution *execution, struct activity *activity);

/* Everything that options are about, as it is now. In the arena. */
struct activity_ActivityOptions *activity_options(const struct activity *activity, struct arena *arena);

/* It goes to a worker from `time` on, at once when that is now: a row that it has gives way to a new one. */
void activity_reschedule(struct draft *draft, int64_t scheduled_event_id, int64_t time);

/* Requests; live is an open run. */
void decide_activity_pause(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision);
void decide_activity_unpause(const struct execution *live, struct workflow_request *request, struct env *env,
                             struct decision *decision);
void decide_activity_reset(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision);
void decide_activity_update_options(const struct execution *live, struct workflow_request *request,
                                    struct env *env, struct decision *decision);
#endif
