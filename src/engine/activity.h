/* activity.h: the life of activities: scheduled, started, retried, ended.
 *
 *      scheduled --poll--> started --complete, fail, cancel, time out--> ended: Started and the end are written
 *          ^                  | fails, and is tried again
 *          +---- backoff -----+                              nothing is written
 */
#ifndef ENGINE_ACTIVITY_H
#define ENGINE_ACTIVITY_H
#include "engine/draft.h"

/* A schedule command, its timeouts and policy after defaulting. INVALID_ARGUMENT: why the command is bad. */
enum status activity_schedule(struct draft                                               *draft,
                              const struct command_ScheduleActivityTaskCommandAttributes *command,
                              int64_t task_completed_id, struct bytes user_metadata,
                              int64_t *ret_scheduled_id, struct error *error) MUST_USE;
struct activity_timeouts {
    int64_t schedule_to_close, schedule_to_start, start_to_close, heartbeat; /* 0: not given */
};
/* Fills and caps what follows from others. INVALID_ARGUMENT when they make no sense. */
enum status activity_timeouts_complete(const struct execution *state, struct bytes activity_id,
                                       struct activity_timeouts *timeouts, struct error *error) MUST_USE;
/* Makes a row for matching: the activity waits for a poller from now on, unless it is held back by a pause. */
void activity_ready(struct draft *draft, int64_t scheduled_event_id, bool returned);
/* One that waits for a poller does so anew: what its row says of its priority has changed. */
void activity_offer_again(struct draft *draft, const struct activity *activity);
/* Starts it; the answer is complete but for input and header, which come with the Scheduled event's attributes. */
struct workflowservice_PollActivityTaskQueueResponse *activity_start(
    struct draft *draft, int64_t scheduled_event_id, struct bytes identity, struct bytes request_id,
    const struct history_ActivityTaskScheduledEventAttributes *scheduled);
/* Ends one that was cancelled before it was started. The event goes through the buffer. */
void activity_cancel_unstarted(struct draft *draft, const struct activity *activity, struct bytes identity);
/* What is due for this one at env's now. */
void activity_time_out(struct draft *draft, int64_t scheduled_event_id);

/* Requests; live is an open run. */
void decide_activity_start(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision);
void decide_activity_return(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision);
void decide_activity_complete(const struct execution *live, struct workflow_request *request, struct env *env,
                              struct decision *decision);
void decide_activity_fail(const struct execution *live, struct workflow_request *request, struct env *env,
                          struct decision *decision);
void decide_activity_cancel(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision);
void decide_activity_heartbeat(const struct execution *live, struct workflow_request *request,
                               struct env *env, struct decision *decision);
#endif
