/* commands.h: the completion of a workflow task: its commands, in order, and what comes next. */
#ifndef ENGINE_COMMANDS_H
#define ENGINE_COMMANDS_H
#include "engine/draft.h"

/* Why a command is bad: then its task fails with this cause, and none of its completion's commands takes effect. */
struct command_problem {
    int32_t      cause;      /* enums_WorkflowTaskFailedCause */
    bool         terminates; /* too large: the run is not worth another try */
    struct error error;
};
/* Returns false, for the command's function to return. */
bool command_bad(struct command_problem *problem, int32_t cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether a field keeps to its limit; if not the run ends. */
bool command_fits(struct command_problem *problem, int32_t cause, const char *what, size_t size,
                  size_t size_max);

/* Whether a command's search attributes are sound, and fit together with those that it adds to (empty: none). */
bool command_search_attributes(struct command_problem *problem, const struct draft *draft, struct bytes base,
                               struct bytes given);

void decide_task_complete(const struct execution *live, struct workflow_request *request, struct env *env,
                          struct decision *decision);
#endif
