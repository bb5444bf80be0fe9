/* sim.h: a deterministic simulation: the server's layers below the wire, its clients, workers, disk, network and clocks in
 * one thread.
 *
 * One seed draws the configuration (lanes, windows, memory, which faults and how often) and then every choice: which lane
 * turns, which store operation completes, what it answers, when the process dies, what clients and workers do next. The same
 * seed gives the same trace. Clients and workers keep a journal; at the end it is compared with what the server says happened.
 *
 * Thread:  one. Several seeds at once are several processes, see runner.c.
 * Limits:  STEPS_MAX and the times of the phases, in world.c.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H
#include "api/api.h"
#include "base/heap.h"
#include "base/random.h"
#include "base/table.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "faults.h"
#include "features.h"
#include "oracle/oracle.h"
#include "pb/all.pb.h"
#include "statistics.h"
#include "store/memory.h"

#define SIM_LANES_MAX   4
#define SIM_SIGNALS_MAX 4
#define SIM_OPS_MAX     6
#define SIM_QUEUE       "queue"

#define LIVENESS_NS  (7200 * NS_PER_S) /* in which everything that can finish must */
#define QUIET_MAX_NS (600 * NS_PER_S)  /* in which all calls and long polls end when nobody calls any more */

struct sim;

/* What the server's data is on, when it is not memory. The store it opens answers within submit and read. */
struct sim_disk {
    struct store *(*open)(void *context);
    struct store *(*restart)(
        void *context);            /* the process dies: the store is left as it is, and opened again */
    bool (*is_off)(void *context); /* the power went: nothing of the last operation may be answered */
    void *context;
};

/* --- what a run is asked for, and what came of it --- */
struct sim_options {
    uint64_t               seed;
    const struct sim_disk *disk;                     /* NULL: memory */
    bool                   without[SIM_FAULT_COUNT]; /* kinds of faults that do not strike */
    bool                   without_feature[SIM_FEATURE_COUNT];
    unsigned               workflows_max; /* 0: as drawn */
    uint64_t               strikes_max;   /* faults end after as many; UINT64_MAX: they go on */
};
#define SIM_LINES     200
#define SIM_LINE_SIZE 240
struct sim_recorder { /* the last lines of the log; plain memory, so that processes can share it */
    uint64_t count;
    bool     prints; /* each goes to the standard error too */
    char     line[SIM_LINES][SIM_LINE_SIZE];
};
struct sim_hashes { /* the trace after each step */
    uint64_t *hash;
    size_t    count, capacity;
};
struct sim_outcome {
    uint64_t trace, steps, strikes;
    char     invariant[48]; /* the one that was violated; empty: none was */
    char     failure[512];
};
/* Plays one seed to its end. `recorder` and `hashes` may be NULL. */
void sim_run(const struct sim_options *options, struct sim_statistics *statistics,
             struct sim_recorder *recorder, struct sim_hashes *hashes, struct sim_outcome *ret_outcome);

/* --- store.c: the memory store, or one on a disk, behind faults --- */
struct sim_store {
    struct store              store;
    struct store             *inner;
    const struct sim_disk    *disk; /* NULL: memory */
    struct sim               *sim;
    struct mailbox            box;     /* the memory store answers here */
    struct list               pending; /* struct sim_operation: submitted, not done */
    struct list               done;    /* done, not yet answered */
    int64_t                   ready_at;
    int64_t                   slow_until, full_until, unreadable_until;
    bool                      ballast; /* while it is full, a batch that comes again finds room */
    const struct store_batch *full_batch;
    unsigned                  aborts; /* so many of the next batches are */
    uint64_t                  batches;
};
void    sim_store_init(struct sim_store *store, struct sim *sim, const struct sim_disk *disk);
bool    sim_store_is_ready(const struct sim_store *store);
bool    sim_store_is_unknown(const struct sim_store *store); /* a lane is going to hear that nobody knows */
bool    sim_store_step(struct sim_store *store);   /* one operation is done; false: none may be now */
bool    sim_store_answer(struct sim_store *store); /* one answer goes out */
int64_t sim_store_due(const struct sim_store *store);
void    sim_store_crash(struct sim_store *store);
void    sim_store_restart(struct sim_store *store);
void    sim_store_release(struct sim_store *store);

/* --- network.c: calls --- */
/* What a caller learns: error->code ST_OK and the reply, or what went wrong; it may have happened all the same. */
typedef void sim_answered(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                          struct arena *arena);
struct sim_network {
    struct list served;                /* struct sim_call: the server has it */
    struct list answered;              /* the answer is on its way, in order */
    struct heap travelling, returning; /* requests and answers that take their time */
    struct heap deadlines;             /* of clients that wait */
    struct heap expiries;              /* deadlines at the server of calls whose clients do not */
    int64_t     pollers_gone_until;
};
void sim_network_init(struct sim_network *network);
void sim_network_release(struct sim_network *network);
void sim_send(struct sim *sim, unsigned method, const void *request, int64_t timeout, sim_answered *answered,
              void *context);
/* One client whose deadline has come, or that hangs up, is told so; false: none. */
bool    sim_network_leave(struct sim *sim);
bool    sim_network_arrive(struct sim *sim);  /* one late request reaches the server; false: none may now */
bool    sim_network_deliver(struct sim *sim); /* one answer arrives; false: none may now */
void    sim_network_turn(struct sim *sim);    /* what may happen to it at any step */
bool    sim_network_arrives(const struct sim *sim);
bool    sim_network_returns(const struct sim *sim);
bool    sim_network_serves(const struct sim *sim);
bool    sim_network_only_polls(const struct sim *sim); /* no call that ends by itself is under way */
bool    sim_network_is_empty(const struct sim *sim);   /* no call is under way anywhere */
int64_t sim_network_due(const struct sim *sim);
/* The process died: what it was at work on, whose callers see their connections break when a new one serves. */
void sim_network_crash(struct sim *sim, struct list *ret_broken);
void sim_network_break(struct list *broken);
/* The server closes all connections; what it still answers reaches nobody. */
void sim_network_close(struct sim *sim);
/* Counts the calls that are under way while a fault of this kind strikes. */
void sim_network_under_way(const struct sim *sim, uint64_t hit[][SIM_FAULT_COUNT], enum sim_fault kind);

/* --- process.c: the server as a process: how it starts and ends --- */
void                       sim_start(struct sim *sim);
void                       sim_crash(struct sim *sim);
void                       sim_process_turn(struct sim *sim); /* what may happen to it at any step */
void                       sim_process_release(struct sim *sim);
void                       sim_stop(struct sim *sim); /* SIGTERM, for good: the last process ends in order */
const struct entity_kind **sim_kinds(size_t *ret_count);
/* Whether what the server does reaches the world: not when it died in the middle of this turn. */
bool sim_leaves(struct sim *sim);

/* --- world.c: time, lanes, the choice of what happens next --- */
struct sim_action {
    struct heap_link link;
    void (*run)(struct sim *sim, void *context);
    void *context;
};
struct sim_configuration {
    unsigned lanes, workflows, workflow_workers, sticky_workers, activity_workers;
    size_t   window_size, memory_limit, snapshot_after, second_after;
    int64_t  store_delay_max;
    bool     sticky, queries, calm, know_ids, busy, fair, operators;
};
struct sim_lane {
    struct sim *sim;
    bool        woken;
    int64_t     due, stalled_until;
};

struct sim {
    const struct sim_options *options;
    uint64_t                  trace, steps;
    struct random             random;
    int64_t                   now;             /* as it is, for everybody outside of the server */
    int64_t                   wall, monotonic; /* what the server's clocks show */
    struct sim_configuration  configuration;
    struct sim_faults         faults;
    struct sim_store          store;
    struct sim_network        network;
    struct runtime           *runtime;
    struct api               *api;
    struct sim_lane           lanes[SIM_LANES_MAX];
    struct heap               actions, routines;
    uint64_t                  action_count;
    int64_t                   forward; /* how far the wall clock was put forward in all */
    bool                      faulty, fatal, namespace_ready;
    bool                      starting, draining, settling;
    bool                      patient, callbacks, has_shadow;
    bool                      unseen;            /* what is sent now is not for the oracle */
    struct list               deliveries;        /* callbacks that the server waits for, see receiver.c */
    int64_t                   doze_until, dozed; /* dozed: how much of the time in all */
    bool                      closing;           /* workers go: nobody polls any more */
    int64_t                   drain_until;
    int               leaves; /* so many things more leave the server before it dies; negative: it does not */
    uint64_t          crash_at;                  /* the step; 0: not planned */
    unsigned          crashes_planned, in_a_row; /* turns of in_a_row_lane that come next */
    unsigned          in_a_row_lane;
    struct journal   *journal;
    struct actors    *actors;
    struct operators *operators;
    struct sim_statistics *statistics;
    struct sim_recorder   *recorder; /* or NULL */
    struct sim_hashes     *hashes;   /* or NULL */
    struct sim_outcome    *outcome;
};
bool sim_failed(const struct sim *sim);
/* Only the first violation counts. `invariant` is a short name: a table of what is found by what goes by it. */
void sim_violated(struct sim *sim, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for an answer that no rule of the server explains. */
void    sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void    sim_log(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool    sim_chance(struct sim *sim, double probability);
int64_t sim_between(struct sim *sim, int64_t low, int64_t high);
void    sim_later(struct sim *sim, int64_t delay, void (*run)(struct sim *sim, void *context), void *context);
/* What is done again and again while something is waited for: it waits while nothing else happens (patience.c). */
void sim_later_routine(struct sim *sim, int64_t delay, void (*run)(struct sim *sim, void *context),
                       void *context);
void sim_trace(struct sim *sim, uint64_t value);
void sim_pass(struct sim *sim, int64_t duration); /* time goes on, for all clocks */
void sim_turn(struct sim *sim, unsigned lane);
/* Until `done` says so, or for `limit`; false: something was violated, by this name if it took too long. */
bool sim_run_until(struct sim *sim, bool (*done)(struct sim *sim), int64_t limit, const char *what);

/* --- patience.c: long spans in which nothing happens --- */
/* Nothing happens now: if that is so for long, time may jump. */
void sim_doze(struct sim *sim);
/* The jump ends early: clocks were changed. */
void sim_wake(struct sim *sim);
/* Minutes to two months. */
int64_t sim_span(struct sim *sim);

/* --- ending.c: when all was read: once more after a crash, and then nothing may be left over --- */
void sim_end(struct sim *sim);
/* What a crash has left in the store is whole before the next process reads it. */
void sim_verify_crashed(struct sim *sim);

/* --- journal.c: what clients and workers saw --- */
struct journal *journal_new(struct sim *sim);
void            journal_free(struct journal *journal);
struct oracle  *journal_oracle(struct journal *journal);
/* Events of a run as somebody was shown them: dense ids, and the same bytes for one id for ever. */
void journal_events(struct journal *journal, struct bytes run_id, struct bytes *events, size_t count,
                    int64_t up_to);
/* A task was delivered whose Scheduled or Started has this id for now; another event may come to have it. */
void journal_virtual(struct journal *journal, struct bytes run_id, int64_t event_id);
/* The decoded event, or one of a workflow task without more in a virtual place; NULL when nobody has seen it. */
const struct history_HistoryEvent *journal_event(struct journal *journal, struct bytes run_id,
                                                 int64_t event_id);
int64_t                            journal_last(struct journal *journal, struct bytes run_id);
void journal_attempt_delivered(struct journal *journal, struct bytes run_id, struct bytes activity_id,
                               int32_t attempt);
void journal_attempt_accepted(struct journal *journal, struct bytes run_id, struct bytes activity_id,
                              int32_t attempt);
/* The attempt whose completion was acknowledged; 0: none. */
int32_t journal_attempt_of(struct journal *journal, struct bytes run_id, struct bytes activity_id);
/* What only histories that have ended can show: timers, activities; `exact`: children too, nobody interfered. */
void journal_check_run(struct journal *journal, struct bytes run_id, bool exact);

/* --- actors.c: clients and workers --- */
void actors_start(struct sim *sim);
bool actors_finished(struct sim *sim, bool explain);
/* Reads everything back and compares. */
void actors_audit(struct sim *sim);
bool actors_audited(struct sim *sim);
/* Deletes every run that the audit found. */
void actors_delete_all(struct sim *sim);
bool actors_deleted(struct sim *sim);
void actors_free(struct sim *sim);

/* --- receiver.c: who takes completion callbacks --- */
struct outbound_sender receiver_sender(struct sim *sim);
void                   receiver_crash(struct sim *sim); /* nobody waits for answers any more */

/* --- operators.c: pauses, and their ends --- */
void operators_start(struct sim *sim);
bool operators_finished(const struct sim *sim);
void operators_free(struct sim *sim);
#endif
