/* update.h: workflow updates: who waits for a worker's verdict, what history knows of them, and their requests.
 *
 *      admitted --> sent --> accepted --> completed        admitted, sent: memory only
 *            \        \-> rejected: no trace                accepted, completed: events
 *             \-> aborted: the run closed, or its task failed because of what a worker sent
 *
 * An UpdateAdmitted event (of a reset) makes an update known that no message carries: workers read the event.
 * Who waits outside is told by news, whose subject is the update's id.
 *
 * Limits: updates in flight, their bytes, and all of a run (env's limits).
 */
#ifndef ENGINE_UPDATE_H
#define ENGINE_UPDATE_H
#include "engine/draft.h"

enum update_news {
    UPDATE_ACCEPTED = 1,
    UPDATE_COMPLETED, /* body: encoded update_Outcome; also of a rejection, and of one that its run's close cut short */
    UPDATE_CLOSED,      /* aborted by the run's close */
    UPDATE_CONTINUES,   /* the same, and another run follows */
    UPDATE_TASK_FAILED, /* a worker was given it, and its task failed because of what the worker sent */
    UPDATE_LOST,        /* no worker saw it; it may be sent again */
    UPDATE_TASK_GONE,   /* without a subject: a speculative task ended and left no trace */
};

/* --- the fold --- */
void        update_add(struct execution *state, const struct update *update);
enum status update_effect(struct execution *state, const struct history_HistoryEvent *event, int64_t id,
                          struct error *error) MUST_USE;
enum status update_change_forgotten(struct execution *state, struct bytes id, struct error *error) MUST_USE;
void        update_change_volatile(struct execution *state, const struct state_Change *change);

/* --- questions --- */
const struct update         *update_find(const struct execution *state, struct bytes id);
const struct waiting_update *update_waiting(const struct execution *state, struct bytes id);
/* Whether a worker has something to say about one. */
bool updates_wait(const struct execution *state);
/* Whether to suggest to continue as new, because soon there may be no more updates. */
bool updates_suggest_continue(const struct execution *state, const struct limits *limits);

/* --- steps of decisions --- */
/* The started task carries what waits, also what was sent before when `again`. False: nothing. */
bool updates_send(struct draft *draft, bool again,
                  struct workflowservice_PollWorkflowTaskQueueResponse *response);
/* A message of a completion. INVALID_ARGUMENT says why it is bad; *ret_request when the request itself is, so that the task
 * stays where it is. */
enum status update_message(struct draft *draft, const struct protocol_Message *message, bool *ret_request,
                           struct error *error) MUST_USE;
bool        update_message_is_rejection(const struct protocol_Message *message, struct arena *arena);
/* What a worker was given and did not answer is rejected. */
void updates_reject_unprocessed(struct draft *draft);
/* The worker's completion fails its task: what it was given must not be tried again, what it has not seen may. */
void updates_abort(struct draft *draft);
/* The run closes with this event, which is about to be written. */
void updates_close(struct draft *draft, const struct history_HistoryEvent *event);
/* Lets the request in: an existing one with its id is joined, else it waits. Sets error and answers false when it may not.
 * `draft` may be of a run that is being created. */
bool update_admit(struct draft *draft, const struct update_Request *request, struct error *error);
/* Says in request->update what is known of the update. False: an event has to be fetched, or there is no such update. */
bool update_report(const struct execution *live, struct bytes id, struct workflow_request *request,
                   struct env *env, struct decision *decision);

/* --- requests --- */
void decide_update(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision);
void decide_update_poll(const struct execution *live, struct workflow_request *request, struct env *env,
                        struct decision *decision);
/* The update half of an update with start, on the open run: see start.c for the other half. */
bool update_existing(const struct execution                                      *live,
                     const struct workflowservice_UpdateWorkflowExecutionRequest *input,
                     struct workflow_request *request, struct env *env, struct decision *decision);
#endif
