/* callback.h: completion callbacks: who is told, by HTTP, how the chain of runs has ended.
 *
 *      standby --the chain ends--> scheduled --delivered--> succeeded
 *                                   ^     |  \--refused for good--> failed
 *                       its time is |     v tried in vain
 *                              backing off
 *
 * Callbacks come with the start and with starts that use an existing run; continue-as-new and retry carry them on. A
 * scheduled one is a ready row like any task. Who takes it (api/callback.c) asks what to send, sends, and reports. Until the
 * report is durable the row stays: a callback is delivered at least once.
 */
#ifndef ENGINE_CALLBACK_H
#define ENGINE_CALLBACK_H
#include "engine/draft.h"

/* Schedules what stands by, unless the next run carries it on: that of a continue-as-new or of a retry, not that of a cron.
 * Called right before the closing event is written. */
void callbacks_trigger(struct draft *draft, const struct history_HistoryEvent *close);
/* FAILED_PRECONDITION when there would be more than the namespace allows. */
enum status callbacks_room(const struct execution *live, size_t more, const struct env *env,
                           struct error *error) MUST_USE;
/* As the next run's Started event has them. */
struct bytes *callbacks_encoded(const struct execution *state, struct arena *arena, size_t *ret_count);
/* Closed runs: backoffs that are over. */
void callbacks_due(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision);
/* The run is about to be gone: what has not been delivered never will be. */
void callbacks_drop(struct draft *draft);
/* Of Describe. */
void callbacks_describe(const struct execution *live, struct arena *arena,
                        struct workflowservice_DescribeWorkflowExecutionResponse *response);

/* Requests about the row in request->task; live is any run. */
void decide_callback_load(const struct execution *live, struct workflow_request *request, struct env *env,
                          struct decision *decision);
void decide_callback_report(const struct execution *live, struct workflow_request *request, struct env *env,
                            struct decision *decision);
#endif
