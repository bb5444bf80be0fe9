/* child.h: child workflows: how a parent starts one and hears of its end, and what a child makes of its parent's.
 *
 * A child's first workflow task comes only after its parent has recorded the start, so it cannot end unseen; a child whose
 * parent has closed before that never runs. See message.h for who says what to whom.
 */
#ifndef ENGINE_CHILD_H
#define ENGINE_CHILD_H
#include "engine/commands.h"
#include "engine/message.h"

/* The command; false: it is bad, and *ret_problem says why. */
bool child_start(struct draft *draft, const struct command_Command *command, int64_t completed_id,
                 struct command_problem *ret_problem);

/* At the child. */
void child_arrive_start(const struct arrival *arrival, const struct state_ChildStart *start);
void child_arrive_release(const struct arrival *arrival, const struct state_ChildRelease *release);
void child_arrive_parent_end(const struct arrival *arrival, const struct state_ParentEnd *end);
/* At the parent. */
void child_arrive_answer(const struct arrival *arrival, const struct state_ChildAnswer *answer);
void child_arrive_end(const struct arrival *arrival, const struct state_ChildEnd *end);
/* What came when the run had closed: the same events, in a run that begins again from it, if that waits for them. */
void child_apply_answer(struct draft *draft, const struct state_ChildAnswer *answer);
void child_apply_end(struct draft *draft, const struct state_ChildEnd *end);
/* Nobody waits for this child any more. */
void child_answer_orphan(struct draft *draft, const struct state_ChildAnswer *answer);

/* A run closes by this event: its children get what their parent close policies say, and, if the chain ends with it, its
 * parent is told. */
void child_close_effects(struct draft *draft, const struct history_HistoryEvent *event);

/* The fold's: effects of events. False: the event is none of these. */
bool child_effect(struct fold *fold, const struct history_HistoryEvent *event, int64_t id);
/* Parent and root, from the first event. */
void child_effect_started(struct execution                                             *state,
                          const struct history_WorkflowExecutionStartedEventAttributes *started);
/* A buffered ChildWorkflowExecutionStarted has got its id. */
void child_effect_flushed(struct execution *state, const struct history_HistoryEvent *event);
/* The event that began the child which `event` starts or ends; 0: it is no such event. */
int64_t child_initiated_id(const struct history_HistoryEvent *event);
#endif
