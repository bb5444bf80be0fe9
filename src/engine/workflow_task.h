/* workflow_task.h: the life of workflow tasks: scheduled, started, ended, and what is delivered.
 *
 *                 schedule                start                 complete
 *      none ------------------> scheduled -----------> started -----------> none, or the next one
 *        ^                        | sticky: timed out     | failed, timed out, returned
 *        +------------------------+-----------------------+   then always scheduled again
 *
 * The second and later attempts are transient: nothing of them is written until one completes. A speculative task is there for
 * updates alone and in memory only; when something durable happens beside it, it becomes a normal one first.
 */
#ifndef ENGINE_WORKFLOW_TASK_H
#define ENGINE_WORKFLOW_TASK_H
#include "engine/draft.h"

/* Schedules one; there must be none. Attempts from 2 on are transient. With `ready` a row for matching is made. */
struct task_schedule_options {
    int32_t attempt;
    bool    without_row;             /* it is started in this same transition */
    int64_t original_scheduled_time; /* of a heartbeating task; 0: now */
};
void task_schedule(struct draft *draft, struct task_schedule_options options);
/* Another row for the one that is scheduled, in place of any that it has: its queue or its priority has changed. */
void task_offer_again(struct draft *draft);
/* A speculative one; there must be none. Matching is told, unless it is started in this same transition. */
void task_schedule_speculative(struct draft *draft, bool is_started_here);
/* Writes what a speculative task has done so far: from here on it is a normal one. Does nothing for others. */
void task_materialize(struct draft *draft);
/* Writes the events that a transient or speculative task showed, with the ids that it showed. */
void task_write_virtual(struct draft *draft);
/* Takes a speculative task back without a trace. */
void task_drop_speculative(struct draft *draft);
/* Hands the scheduled one to a worker. A transient one that new events have overtaken becomes a normal one first. */
struct task_start_options {
    struct bytes identity, request_id;
    bool         eager; /* with the start of the run: no history size is told */
};
void task_start(struct draft *draft, struct task_start_options options);

/* How a task in a worker's hands ends without completing. Flushes the buffer and schedules the next. */
struct task_failure {
    bool                                    timed_out; /* else it failed, with a cause */
    int32_t                                 cause;
    struct bytes                            failure; /* encoded; empty: none */
    struct bytes                            identity, binary_checksum;
    const struct common_WorkerVersionStamp *worker_version;
    bool                                    counts;          /* the next attempt is one higher */
    bool                                    buffer_overflow; /* so is it then, whatever was flushed */
    bool                                    is_last; /* the run is about to be closed: nothing is scheduled */
};
void task_fail(struct draft *draft, const struct task_failure *failure);
/* A sticky or speculative task that nobody took in time. */
void task_time_out_unstarted(struct draft *draft);
/* Ends a task in a worker's hands because the run closes from outside. */
void task_force_close(struct draft *draft);

/* The end of every decision: schedules a task if one is wanted and possible, keeps the buffer and the history within
 * limits. `in_backoff`: also when the first task is not due yet. */
void draft_settle(struct draft *draft, bool in_backoff);

/* What a worker gets for the started task of this state. */
struct workflowservice_PollWorkflowTaskQueueResponse *task_response(const struct execution *state,
                                                                    struct arena           *arena);
void task_delivery(const struct execution *state, struct arena *arena, bool full_history,
                   struct workflow_delivery *ret_delivery);
/* The events of a transient task that are not written yet: none, Scheduled, or Scheduled and Started. */
size_t task_virtual_events(const struct execution *state, struct arena *arena, struct bytes **ret_events);
/* Whether a token names the task that a worker has now. */
/* What names the task that is started; its texts are the state's. */
struct task_ref task_started_ref(const struct execution *state);
bool            task_matches(const struct execution *state, const struct task_ref *token);

/* Requests; live is an open run. */
void decide_task_start(const struct execution *live, struct workflow_request *request, struct env *env,
                       struct decision *decision);
void decide_task_return(const struct execution *live, struct workflow_request *request, struct env *env,
                        struct decision *decision);
void decide_task_fail(const struct execution *live, struct workflow_request *request, struct env *env,
                      struct decision *decision);
void decide_reset_sticky(const struct execution *live, struct workflow_request *request, struct env *env,
                         struct decision *decision);

/* Ends a decision that changes this run. */
void decision_finish(struct draft *draft, struct decision *decision);
#endif
