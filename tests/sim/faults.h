/* faults.h: what may go wrong in a simulation, kind by kind.
 *
 * Each seed enables some of the kinds and draws a rate for each (swarm). A kind has a random generator of its own, so that
 * leaving one out does not change when the others strike, as long as nothing else differs.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H
#include "base/random.h"

struct sim;
struct sim_options;

/* X(identifier, name, chance that a seed has it, its rate per opportunity) */
#define SIM_FAULTS(X)                                                                                        \
    /* the process, per step */                                                                              \
    X(CRASH, "crash", 0.7, 0.003)                                                                            \
    /* the store, per batch */                                                                               \
    X(STORE_ABORTED, "store-aborted", 0.4, 0.1)                                                              \
    X(STORE_REFUSED, "store-refused", 0.25, 0.02)                                                            \
    X(STORE_LOST_FENCE, "store-lost-fence", 0.3, 0.03)                                                       \
    X(STORE_UNKNOWN_DONE, "store-unknown-done", 0.2, 0.02)                                                   \
    X(STORE_UNKNOWN_LOST, "store-unknown-lost", 0.2, 0.02)                                                   \
    X(STORE_FULL, "store-full", 0.25, 0.02)                                                                  \
    /* per read */                                                                                           \
    X(READ_ERROR, "read-error", 0.3, 0.05)                                                                   \
    /* calls */                                                                                              \
    X(REPLY_LOST, "reply-lost", 0.3, 0.03)                                                                   \
    X(CLIENT_GONE, "client-gone", 0.4, 0.002)                                                                 \
    /* workers, per task */                                                                                  \
    X(WORKER_DIES, "worker-dies", 0.3, 0.05)                                                                 \
    X(TASK_FAILS, "task-fails", 0.3, 0.05)

enum sim_fault {
#define X(identifier, name, chance, rate) FAULT_##identifier,
    SIM_FAULTS(X)
#undef X
        SIM_FAULT_COUNT
};
struct sim_faults {
    double        rate[SIM_FAULT_COUNT]; /* 0: this seed does not have it */
    struct random random[SIM_FAULT_COUNT];
    uint64_t      strikes;
};
const char *sim_fault_name(enum sim_fault kind);
/* SIM_FAULT_COUNT: there is none of this name. */
enum sim_fault sim_fault_named(const char *name, size_t size);
void           sim_faults_draw(struct sim *sim, const struct sim_options *options, bool calm);
/* Whether the fault strikes at this opportunity: counted, and noted for each call under way. */
bool sim_strikes(struct sim *sim, enum sim_fault kind);
/* Whether it may ever strike in this run. */
bool sim_may_strike(const struct sim *sim, enum sim_fault kind);
#endif
