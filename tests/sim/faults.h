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
    X(CRASH, "crash", 0.5, 0.002)                                                                            \
    X(CRASH_IN_TURN, "crash-in-turn", 0.4, 0.002) /* some of what it does is out, the rest is not */         \
    X(CRASH_LOOP, "crash-loop", 0.2, 0.0003)      /* again, and again, soon after each start */              \
    X(RESTART, "restart", 0.3, 0.0005)            /* SIGTERM, a drain, a new process */                      \
    X(PAUSE, "pause", 0.15, 0.0002)               /* SIGSTOP: all clocks go on */                            \
    X(SUSPEND, "suspend", 0.15, 0.0002)           /* of the machine: the monotonic clock stands still */     \
    X(CLOCK_FORWARD, "clock-forward", 0.2, 0.0005)                                                           \
    X(CLOCK_BACK, "clock-back", 0.2, 0.0005)                                                                 \
    X(CLOCK_HOURS_FORWARD, "clock-hours-forward", 0.1, 0.0001)                                               \
    X(CLOCK_HOURS_BACK, "clock-hours-back", 0.1, 0.0001)                                                     \
    X(LANE_STALLED, "lane-stalled", 0.25, 0.001)                                                             \
    X(LANE_WOKEN, "lane-woken", 0.25, 0.01)        /* for nothing */                                         \
    X(TURNS_IN_A_ROW, "turns-in-a-row", 0.2, 0.02) /* one lane turns again and again before the others */    \
    /* a new process, per start */                                                                           \
    X(CRASH_AT_START, "crash-at-start", 0.2, 0.2)                                                            \
    X(CRASH_WHILE_LOADING, "crash-while-loading", 0.2, 0.2)                                                  \
    X(READ_ERROR_AT_START, "read-error-at-start", 0.2, 0.1)                                                  \
    X(CLOCK_FORWARD_AT_START, "clock-forward-at-start", 0.15, 0.1)                                           \
    X(CLOCK_BACK_AT_START, "clock-back-at-start", 0.15, 0.1)                                                 \
    X(LANES_CHANGED, "lanes-changed", 0.3, 0.3)                                                              \
    X(WINDOWS_CHANGED, "windows-changed", 0.2, 0.3)                                                          \
    X(MEMORY_CHANGED, "memory-changed", 0.2, 0.3)                                                            \
    X(SNAPSHOTS_CHANGED, "snapshots-changed", 0.2, 0.3)                                                      \
    X(TINY_CACHE, "tiny-cache", 0.4, 1)                                                                      \
    X(TINY_WINDOWS, "tiny-windows", 0.7, 1)                                                                  \
    X(SNAPSHOTS_OFTEN, "snapshots-often", 0.4, 1)                                                            \
    /* the store, per batch */                                                                               \
    X(STORE_ABORTED, "store-aborted", 0.3, 0.05)                                                             \
    X(STORE_ABORTED_LONG, "store-aborted-long", 0.15, 0.005)                                                 \
    X(STORE_REFUSED, "store-refused", 0.15, 0.01)                                                            \
    X(STORE_REFUSED_GROUP, "store-refused-group", 0.25, 0.02)                                                \
    X(STORE_LOST_FENCE, "store-lost-fence", 0.25, 0.02)                                                      \
    X(STORE_UNKNOWN_DONE, "store-unknown-done", 0.2, 0.01)                                                   \
    X(STORE_UNKNOWN_LOST, "store-unknown-lost", 0.2, 0.01)                                                   \
    X(STORE_FULL, "store-full", 0.15, 0.01)                                                                  \
    X(STORE_FULL_BALLAST, "store-full-with-ballast", 0.15, 0.01)                                             \
    X(CRASH_BEFORE_WRITE, "crash-before-write", 0.3, 0.01)                                                   \
    X(CRASH_AFTER_WRITE, "crash-after-write", 0.3, 0.01)   /* done, and nobody was told */                   \
    X(CRASH_AFTER_ANSWER, "crash-after-answer", 0.2, 0.01) /* told, and nothing came of it */                \
    X(TORN_TAIL, "torn-tail", 0.5, 0.5)                    /* per crash: some of what was pending is done */ \
    X(STORE_STALLED, "store-stalled", 0.15, 0.001)                                                           \
    X(STORE_SLOW, "store-slow", 0.2, 0.002)                                                                  \
    X(ANSWERS_REORDERED, "answers-reordered", 0.4, 0.2)                                                      \
    /* per read */                                                                                           \
    X(READ_ERROR, "read-error", 0.25, 0.03)                                                                  \
    X(READ_ERRORS, "read-errors", 0.15, 0.005) /* all, for a while */                                        \
    X(READ_CORRUPT, "read-corrupt", 0.2, 0.02) /* a bit of a row of history has flipped */                   \
    X(READ_LATE, "read-late", 0.25, 0.02)                                                                    \
    /* the network, per call */                                                                              \
    X(REQUEST_LOST, "request-lost", 0.25, 0.02)                                                              \
    X(REQUEST_DUPLICATED, "request-duplicated", 0.25, 0.02)                                                  \
    X(REQUEST_DELAYED, "request-delayed", 0.3, 0.05)                                                         \
    X(DEADLINE_SHORT, "deadline-short", 0.25, 0.02)                                                          \
    X(REPLY_LOST, "reply-lost", 0.3, 0.02)                                                                   \
    X(REPLY_DELAYED, "reply-delayed", 0.3, 0.05)                                                             \
    X(REPLIES_REORDERED, "replies-reordered", 0.4, 0.2)                                                      \
    X(POLLER_SLOW, "poller-slow", 0.2, 0.05)                                                                 \
    /* per step */                                                                                           \
    X(POLLERS_GONE, "pollers-gone", 0.15, 0.0003) /* nobody polls, for a while */                            \
    X(CLIENT_GONE, "client-gone", 0.3, 0.002)                                                                \
    X(CLIENT_VANISHED, "client-vanished", 0.25, 0.002) /* and the server does not hear of it */              \
    X(CONNECTIONS_CUT, "connections-cut", 0.2, 0.0005)                                                       \
    /* workers, per task */                                                                                  \
    X(WORKER_DIES, "worker-dies", 0.3, 0.05)                                                                 \
    X(TASK_FAILS, "task-fails", 0.3, 0.05)                                                                   \
    /* who takes callbacks, per request */                                                                   \
    X(CALLBACK_LOST, "callback-lost", 0.4, 0.2)                                                              \
    X(CALLBACK_SLOW, "callback-slow", 0.3, 0.1)                                                              \
    X(CALLBACK_REFUSED, "callback-refused", 0.4, 0.3)                                                        \
    X(CALLBACK_REFUSED_FOR_GOOD, "callback-refused-for-good", 0.15, 0.05)                                    \
    X(CALLBACK_ANSWER_LOST, "callback-answer-lost", 0.4, 0.2)

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
/* How bad it is; from the kind's own generator. */
int64_t sim_fault_between(struct sim *sim, enum sim_fault kind, int64_t low, int64_t high);
#endif
