/* check.h: whether a store says what it ought to say: every row can be read, and every state is what its history folds to.
 *
 * Goes through all runs in the order of their workflow ids, and folds the history of each from its first event, also that part
 * which belongs to other runs' branches; then through all other tables. What is found is told by a callback; nothing is changed.
 *
 *   run          its row belongs to a namespace, its ids fit, at most one run of a workflow id is open: the newest
 *   history      checksums and sizes are right, transitions and event ids have no gap
 *   state        the snapshot is what the transitions before it fold to, and what follows it leads to the same state
 *   row          what lists show is what the state says
 *   ready        each task that waits has its row, and each row its task
 *   wakeup       not later than what the run waits for
 *   fork         histories that begin in another run's branch: it is there, and kept from deletion
 *   message      what waits in the outbox can be read, and belongs to its link
 *   entity       namespaces, task queues, clocks and what is left of deleted runs can be read; numbers are below the clocks'
 *   branch       transitions belong to a run, or to one that is being deleted
 *   read         the store cannot give rows that it has
 *
 * Thread:  one; blocks in the store's reads.
 * Memory:  one run's state and a page of rows; the namespaces.
 * Needs:   that what is read between two calls of `renew` is of one moment.
 */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H
#include "shard/entity.h"

struct check_finding {
    const char  *rule;                        /* static: one of the above */
    struct bytes namespace_name, workflow_id; /* empty: of no run */
    store_number run;                         /* 0: of none */
    bool         has_run_id;
    struct uuid  run_id;
    const char  *what;
};
/* How far it has come. Leftovers are what deletions have not yet come to: rows that are to go. */
struct check_counts {
    uint64_t runs, transitions, events, bytes, ready, wakeups, messages, links, entities, branches;
    uint64_t leftovers, findings;
};
struct check_options {
    struct store                    *store;
    const struct entity_kind *const *kinds; /* the first that is no record is the runs' */
    size_t                           kind_count;
    void (*found)(void *context, const struct check_finding *finding);
    void (*progress)(void *context, const struct check_counts *counts); /* often; NULL: nobody looks */
    void (*renew)(void *context); /* what follows may be of a later moment; NULL: nobody writes */
    void *context;
    void (*wait)(void *context); /* as of store_read_blocking */
    void *wait_context;
};
/* ST_OK when all of it was looked at, whatever was found. Otherwise the store could not be read any further. */
enum status check_store(const struct check_options *options, struct check_counts *ret_counts,
                        struct error *error) MUST_USE;
#endif
