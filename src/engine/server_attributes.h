/* server_attributes.h: the search attributes that the server keeps for a run: TemporalPauseInfo, TemporalReportedProblems.
 *
 * They are not stored with those of the user but made from the state whenever the run's row or a description is, so they
 * cannot be out of date. Whoever changes what they are made from sets row_changed of its draft.
 */
#ifndef ENGINE_SERVER_ATTRIBUTES_H
#define ENGINE_SERVER_ATTRIBUTES_H
#include "engine/state.h"

/* So many workflow tasks in a row must fail before it is reported. */
#define PROBLEMS_REPORTED_FROM 5

static inline bool execution_reports_problems(const struct execution *execution)
{
    return execution->problem_count >= PROBLEMS_REPORTED_FROM;
}
/* The user's and the server's, encoded; a copy in the arena, empty when there are none. */
struct bytes execution_search_attributes(const struct execution *execution, struct arena *arena);
#endif
