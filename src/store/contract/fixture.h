/* fixture.h: a lane for the tests of the contract: batches and reads one by one, and rows to fill them with. */
#ifndef STORE_CONTRACT_FIXTURE_H
#define STORE_CONTRACT_FIXTURE_H
#include <semaphore.h>

#include "base/testing.h"
#include "store/contract/store_contract.h"

/* Owned by a test, which ends it with fixture_release. */
struct fixture {
    const struct store_contract_subject *subject;
    struct store                        *store;
    struct mailbox                       mailbox;
    sem_t                                wake;
    struct arena                         arena; /* of answers and of rows that tests make */
    int                                  completions;
};
/* Opens the subject's store as it is. */
void fixture_open(struct fixture *fixture, const struct store_contract_subject *subject);
/* Opens the store of a test's subject empty. */
void fixture_init(struct fixture *fixture, void **state);
void fixture_release(struct fixture *fixture);
/* Closes the store and opens it again at the same place. */
void fixture_reopen(struct fixture *fixture);
/* Another lane of the same store, for a thread of its own. */
void fixture_lane(struct fixture *fixture, const struct fixture *of);
void fixture_lane_release(struct fixture *fixture);
/* Runs answers until `*done`. */
void fixture_wait(struct fixture *fixture, const bool *done);

struct operation {
    struct store_batch batch;
    struct fixture    *fixture;
    bool               done;
    int                place; /* in the order of answers */
};
void operation_init(struct operation *operation, struct fixture *fixture);
void operation_submit(struct operation *operation);
/* Submits and waits. */
enum store_outcome operation_commit(struct operation *operation);
/* The same, with the rows of the operation forgotten afterwards. */
void operation_must_commit(struct operation *operation);

/* Writes in group `group`; slices are borrowed until the batch was answered. */
struct store_run *operation_insert_run(struct operation *operation, uint32_t group, store_number number,
                                       const char *workflow_id);
struct store_run *operation_update_run(struct operation *operation, uint32_t group,
                                       const struct store_run *run);
void operation_insert_transition(struct operation *operation, uint32_t group, store_number branch,
                                 int64_t number, struct bytes events, const char *delta);
void operation_insert_ready(struct operation *operation, uint32_t group, store_number sequence,
                            const char *queue, int32_t priority);
void operation_set_wakeup(struct operation *operation, uint32_t group, store_number entity, int64_t due);
void operation_insert_outbox(struct operation *operation, uint32_t group, int32_t source, int32_t target,
                             int64_t number, const char *body);
void operation_put_entity(struct operation *operation, uint32_t group, int32_t kind, const char *key,
                          const char *state);

/* A read whose answer lives in the fixture's arena. */
void fixture_read(struct fixture *fixture, struct store_read *read);
/* Loads a run; with found false when there is none. */
struct store_read fixture_load(struct fixture *fixture, store_number number);
struct store_read fixture_current(struct fixture *fixture, const char *workflow_id);

/* Every field. */
void check_run(const struct store_run *a, const struct store_run *b);
void check_transition(const struct store_transition *row, store_number branch, int64_t number,
                      struct bytes events, const char *delta);

#define NAMESPACE        7
#define STATUS_RUNNING   1
#define STATUS_COMPLETED 2

extern const struct CMUnitTest store_contract_writes[], store_contract_reads[], store_contract_lists[],
    store_contract_durable[];
extern const size_t store_contract_writes_count, store_contract_reads_count, store_contract_lists_count,
    store_contract_durable_count;
#endif
