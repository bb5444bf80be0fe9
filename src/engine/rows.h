/* rows.h: what the store's rows of a run say, given its state. All in the arena, or the state's own. */
#ifndef ENGINE_ROWS_H
#define ENGINE_ROWS_H
#include "engine/state.h"

/* The run's own row, but for the snapshot. Nothing of it is the state's: it outlives the next transition. */
struct store_run execution_run_row(const struct execution *state, const struct namespace_config *namespace,
                                   struct arena           *arena);
/* That, but for the values of the namespace's own search attributes, and the tasks that wait for a poller. */
void execution_rows(const struct execution *state, struct arena *arena, struct entity_rows *ret_rows);
#endif
