/* external.h: signals and cancel requests that a workflow sends to others. */
#ifndef ENGINE_EXTERNAL_H
#define ENGINE_EXTERNAL_H
#include "engine/commands.h"
#include "engine/message.h"

/* The commands; false: the command is bad, and *ret_problem says why. */
bool external_signal(struct draft *draft, const struct command_Command *command, int64_t completed_id,
                     struct command_problem *ret_problem);
bool external_cancel(struct draft *draft, const struct command_Command *command, int64_t completed_id,
                     struct command_problem *ret_problem);

/* At the target, and back at the sender. */
void external_arrive_signal(const struct arrival *arrival, const struct state_ExternalSignal *signal);
void external_arrive_cancel(const struct arrival *arrival, const struct state_ExternalCancel *cancel);
void external_arrive_answer(const struct arrival *arrival, const struct state_ExternalAnswer *answer);
/* If the run waits for it. */
void external_apply_answer(struct draft *draft, const struct state_ExternalAnswer *answer);

/* A result that the base of a reset had, for the new run: if it has begun what this is the result of and waits for it. */
void external_apply_again(struct draft *draft, const struct history_HistoryEvent *event);

/* The fold's: effects of events. False: the event is none of these. */
bool external_effect(struct execution *state, const struct history_HistoryEvent *event, int64_t id);
#endif
