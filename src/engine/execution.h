/* execution.h: how runs begin and end: starts and their policies, closing, and the next run of a chain. */
#ifndef ENGINE_EXECUTION_H
#define ENGINE_EXECUTION_H
#include "engine/draft.h"

/* Who the server is in events that it writes by itself. */
#define IDENTITY_SERVER BYTES("history-service")

void decide_start(const struct execution *live, struct workflow_request *request, struct env *env,
                  struct decision *decision);
void decide_signal_with_start(const struct execution *live, struct workflow_request *request, struct env *env,
                              struct decision *decision);
void decide_update_with_start(const struct execution *live, struct workflow_request *request, struct env *env,
                              struct decision *decision);
void decide_terminate(const struct execution *live, struct workflow_request *request, struct env *env,
                      struct decision *decision);

/* Starts are bounded by this, whatever they ask for. */
#define TIMEOUT_MAX_NS (INT64_C(100) * 365 * 86400 * NS_PER_S)

/* The first run of a child, whose first task waits for the parent. False: the workflow id is taken. Else `decision` creates
 * a run, or has nothing to do because this very start has made the current one. */
struct child_run_request {
    struct bytes                                            request_id, user_metadata;
    int32_t                                                 reuse;
    struct history_WorkflowExecutionStartedEventAttributes *started; /* timeouts have their defaults */
};
bool child_run_create(const struct execution *live, const struct request *base, struct env *env,
                      struct decision *decision, const struct child_run_request *child,
                      struct uuid *ret_run_id);

/* Ends the run here and now: a task in a worker's hands fails first, and the buffer is written. */
void execution_terminate(struct draft *draft, struct bytes reason, struct bytes details,
                         struct bytes identity);
/* The same on behalf of a caller, whose links go to the event. */
void execution_terminate_linked(struct draft *draft, struct bytes reason, struct bytes details,
                                struct bytes identity, const struct bytes *links, size_t links_count);

/* The closes that may lead to a next run, which `decision` then creates. Each answers false when it needs the first event
 * and asked for it: the decision has to be given up and will be made again. */
bool execution_time_out(struct draft *draft, struct decision *decision, bool whole_execution);
bool execution_complete(struct draft *draft, struct decision *decision, int64_t task_completed_id,
                        struct bytes result, struct bytes user_metadata);
bool execution_fail(struct draft *draft, struct decision *decision, int64_t task_completed_id,
                    struct bytes failure, struct bytes user_metadata);
bool execution_continue_as_new(struct draft *draft, struct decision *decision, int64_t task_completed_id,
                               const struct command_ContinueAsNewWorkflowExecutionCommandAttributes *command,
                               struct bytes user_metadata);

/* An event of this run that the state does not hold: NULL when env does not have it yet, and the decision asks for it. */
const struct history_HistoryEvent *cold_event(struct env *env, struct decision *decision, int64_t event_id,
                                              struct arena *arena);

struct common_WorkflowExecution *execution_message(const struct execution *state, struct arena *arena);
/* Encoded link to an event of a run, or to whatever event a request id led to. */
struct bytes link_to_event(struct arena *arena, const struct namespace_config *namespace,
                           struct bytes workflow_id, struct bytes run_id, int64_t event_id,
                           int32_t event_type);
struct bytes link_to_request(struct arena *arena, const struct namespace_config *namespace,
                             struct bytes workflow_id, struct bytes run_id, struct bytes request_id,
                             int32_t event_type);
#endif
