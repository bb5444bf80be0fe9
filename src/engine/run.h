/* run.h: the first transition of a run, whoever starts it. */
#ifndef ENGINE_RUN_H
#define ENGINE_RUN_H
#include "engine/draft.h"

struct run_create {
    struct entity_identity                                  identity;
    struct history_WorkflowExecutionStartedEventAttributes *started;
    struct bytes                                            request_id; /* deduplicates starts */
    struct bytes                                            user_metadata;
    const struct bytes                                     *links;
    size_t                                                  links_count;
    int64_t                            backoff;       /* before the first workflow task; 0: at once */
    const struct history_HistoryEvent *signal;        /* arrives with the start; NULL: none */
    const struct update_Request       *update;        /* waits from the start on; NULL: none */
    bool                               eager;         /* the first task goes to who starts it */
    bool                               awaits_parent; /* there is no first task yet */
};
/* Creates a run beside whatever else the decision does. `ret_draft`, if not NULL, gets the new run's draft. */
void run_create(struct env *env, struct arena *arena, struct decision *decision,
                const struct run_create *create, struct draft *ret_draft);
/* A number and id for another run of the same workflow id. */
struct entity_identity run_identity(struct env *env, const struct execution *of, struct uuid entropy);
#endif
