/* sim.h: a deterministic simulation: the server's layers below the wire, its clients, workers, disk and clock in one thread.
 *
 * One seed draws the configuration (lanes, windows, memory, fault rates) and then every choice: which lane turns, which
 * store operation completes, what it answers, when the process dies, what clients and workers do next. The same seed gives
 * the same trace. Clients and workers keep a journal; at the end it is compared with what the server says happened.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H
#include "api/api.h"
#include "base/heap.h"
#include "base/random.h"
#include "base/table.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "pb/all.pb.h"
#include "store/memory.h"

#define SIM_LANES_MAX   3
#define SIM_SIGNALS_MAX 4
#define SIM_OPS_MAX     6
#define SIM_QUEUE       "queue"

struct sim;

/* What the server's data is on, when it is not memory. The store it opens answers within submit and read. */
struct sim_disk {
    struct store *(*open)(void *context);
    struct store *(*restart)(
        void *context);            /* the process dies: the store is left as it is, and opened again */
    bool (*is_off)(void *context); /* the power went: nothing of the last operation may be answered */
    void *context;
};

/* --- store.c: the memory store, or one on a disk, behind faults --- */
struct sim_store {
    struct store           store;
    struct store          *inner;
    const struct sim_disk *disk; /* NULL: memory */
    struct sim            *sim;
    struct mailbox         box;     /* the memory store answers here */
    struct list            pending; /* struct sim_operation: submitted, not done */
    struct list            done;    /* done, not yet answered */
    int64_t                ready_at, answer_at;
    int64_t                full_until;
    bool                   foreign_full;
    uint64_t               batches, faults[6];
};
void    sim_store_init(struct sim_store *store, struct sim *sim, const struct sim_disk *disk);
bool    sim_store_step(struct sim_store *store);   /* one operation is done; false: none may be now */
bool    sim_store_answer(struct sim_store *store); /* one answer goes out */
int64_t sim_store_due(const struct sim_store *store);
void    sim_store_crash(struct sim_store *store);
void    sim_store_restart(struct sim_store *store);
void    sim_store_release(struct sim_store *store);

/* --- world.c: time, lanes, calls --- */
struct sim_action {
    struct heap_link link;
    void (*run)(struct sim *sim, void *context);
    void *context;
};
/* What a caller learns: error->code ST_OK and the reply, or what went wrong; it may have happened all the same. */
typedef void sim_answered(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                          struct arena *arena);
struct sim_call {
    struct call   call;
    struct arena  arena;
    struct list   link; /* in sim->calls */
    struct sim   *sim;
    unsigned      lane;
    sim_answered *answered;
    void         *context;
    bool          client_left, server_answered;
    struct error  error;
    struct bytes  reply;
};
struct sim_configuration {
    unsigned lanes, workflows, workflow_workers, sticky_workers, activity_workers;
    size_t   window_size, memory_limit, snapshot_after, second_after;
    double   crash_rate, abort_rate, refuse_rate, fence_rate, unknown_rate, full_rate, read_error_rate,
        lost_reply_rate;
    double  worker_death_rate, task_failure_rate, gone_rate;
    int64_t store_delay_max;
    bool    sticky, queries, calm, know_ids, busy, fair, operators;
};
struct sim_lane {
    struct sim *sim;
    bool        woken;
    int64_t     due;
};

struct sim {
    uint64_t                 seed, trace, steps;
    struct random            random;
    int64_t                  wall, monotonic;
    struct sim_configuration configuration;
    struct sim_store         store;
    struct runtime          *runtime;
    struct api              *api;
    struct sim_lane          lanes[SIM_LANES_MAX];
    struct heap              actions;
    uint64_t                 action_count;
    struct list              calls, answered;
    bool                     faulty, fatal, verbose, namespace_ready;
    uint64_t                 crashes, calls_made;
    struct journal          *journal;
    struct actors           *actors;
    struct operators        *operators;
    char                     failure[512];
};
/* `disk`: NULL for memory. */
bool    sim_run(uint64_t seed, const struct sim_disk *disk, bool verbose, uint64_t *ret_trace);
void    sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void    sim_log(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool    sim_chance(struct sim *sim, double probability);
int64_t sim_between(struct sim *sim, int64_t low, int64_t high);
void    sim_later(struct sim *sim, int64_t delay, void (*run)(struct sim *sim, void *context), void *context);
void sim_send(struct sim *sim, unsigned method, const void *request, int64_t timeout, sim_answered *answered,
              void *context);
void sim_trace(struct sim *sim, uint64_t value);

/* --- journal.c: what clients and workers saw --- */
struct journal *journal_new(struct sim *sim);
void            journal_free(struct journal *journal);
/* Events of a run as somebody was shown them: dense ids, and the same bytes for one id for ever. */
void journal_events(struct journal *journal, struct bytes run_id, struct bytes *events, size_t count,
                    int64_t up_to);
/* The decoded event; NULL when nobody has seen it. */
const struct history_HistoryEvent *journal_event(struct journal *journal, struct bytes run_id,
                                                 int64_t event_id);
int64_t                            journal_last(struct journal *journal, struct bytes run_id);
void journal_attempt_delivered(struct journal *journal, struct bytes run_id, struct bytes activity_id,
                               int32_t attempt);
void journal_attempt_accepted(struct journal *journal, struct bytes run_id, struct bytes activity_id,
                              int32_t attempt);
/* The attempt whose completion was acknowledged; 0: none. */
int32_t journal_attempt_of(struct journal *journal, struct bytes run_id, struct bytes activity_id);
/* What only histories that have ended can show: timers, activities, signals. */
void journal_check_run(struct journal *journal, struct bytes run_id);

/* --- actors.c: clients and workers --- */
void actors_start(struct sim *sim);
bool actors_finished(struct sim *sim, bool explain);
/* Reads everything back and compares; sets sim->failure. */
void actors_audit(struct sim *sim);
bool actors_audited(const struct sim *sim);
void actors_free(struct sim *sim);

/* --- operators.c: pauses, and their ends --- */
void operators_start(struct sim *sim);
bool operators_finished(const struct sim *sim);
void operators_free(struct sim *sim);
#endif
