/* actors.h: shared by the simulated clients, workers, programs and the audit (actors.c says how they fit together). */
#ifndef SIM_ACTORS_H
#define SIM_ACTORS_H
#include "sim.h"

#define RPC_NS     (10 * NS_PER_S)
#define POLL_NS    (70 * NS_PER_S)
#define CALL(name) PB_METHOD_WorkflowService_##name
#define CHILD_TYPE "child"

/* --- what a seed may have: each is drawn by itself --- */
/* X(identifier, name) */
#define SIM_FEATURES(X) X(VISITS, "visits")

enum sim_feature {
#define X(identifier, name) FEATURE_##identifier,
    SIM_FEATURES(X)
#undef X
        FEATURE_COUNT
};

enum operation_kind { OPERATION_ACTIVITIES, OPERATION_TIMER, OPERATION_CHILDREN, OPERATION_SIGNALS };
struct operation {
    enum operation_kind kind;
    int64_t             count, duration;
};
struct work {
    struct sim      *sim;
    unsigned         number;
    char             id[24];
    unsigned         generations;
    struct operation operations[SIM_OPS_MAX];
    size_t           operation_count;
    unsigned         signals;
    struct {
        char request_id[40];
        bool acknowledged, refused;
    } signal[SIM_SIGNALS_MAX];
    bool         started, closed, audited;
    unsigned     audit_signals[SIM_SIGNALS_MAX];
    struct bytes audit_run; /* in the actors' arena */
    struct bytes run_id;    /* of the last task that a worker had; empty: none yet */
};
struct visitors;
struct actors {
    struct sim  *sim;
    struct arena arena; /* of requests; reset now and then it is not: a run is short */
    struct work *works;
    size_t       work_count, audited;
    bool         counted;
    uint64_t     features;

    struct visitors *visitors;
};
struct worker {
    struct sim *sim;
    char        queue[24];
    bool        sticky, activities;
};
/* A task in a worker's hands. */
struct task {
    struct worker *worker;
    struct bytes   token, run_id, workflow_id, type, activity_id;
    int64_t        started_event_id, last_stored;
    int32_t        attempt;
    struct bytes  *query_ids;
    size_t         query_count;
    bool           legacy_query;
    unsigned       tries;
};

/* --- actors.c: what all of them need --- */
struct actors                   *actors_of(struct sim *sim);
struct bytes                     sim_text(struct sim *sim, const char *from);
struct taskqueue_TaskQueue      *sim_queue(struct sim *sim, const char *name, bool sticky);
struct bytes                     sim_payloads(struct sim *sim, const char *data);
struct common_WorkflowExecution *sim_execution(struct sim *sim, struct bytes workflow_id,
                                               struct bytes run_id);
/* Whether a failed call may have happened and is worth repeating. */
bool         sim_try_again(const struct error *error);
int64_t      sim_backoff(struct sim *sim);
struct work *work_of(struct sim *sim, struct bytes workflow_id);
bool         has_feature(const struct sim *sim, enum sim_feature feature);

#define NEW(sim, type) ARENA_NEW(&actors_of(sim)->arena, type)

/* --- errand.c: calls that are repeated until their outcome is known --- */
#define CODE(code) (UINT32_C(1) << (code))
/* `response` is decoded, or NULL when error->code says which of the codes was the answer. */
typedef void errand_done(struct sim *sim, void *context, const struct error *error, const void *response);
const void  *errand_keep(struct sim *sim, const void *request, size_t size);
/* The request lives as long as the actors. Any answer but OK and those of `codes` is a failure; `done` may be NULL. */
void errand_run(struct sim *sim, unsigned method, const void *request, uint32_t codes, errand_done *done,
                void *context);
#define REQUEST_IN(sim, type, space, ...)                                                                    \
    errand_keep(sim, &(struct workflowservice_##type##Request){ .namespace = space, __VA_ARGS__ },           \
                sizeof(struct workflowservice_##type##Request))
#define REQUEST(sim, type, ...) REQUEST_IN(sim, type, BYTES("default"), __VA_ARGS__)
#define ERRAND(sim, type, codes, done, context, ...)                                                         \
    errand_run(sim, CALL(type), REQUEST(sim, type, __VA_ARGS__), codes, done, context)
#define ERRAND_IN(sim, type, space, codes, done, context, ...)                                               \
    errand_run(sim, CALL(type), REQUEST_IN(sim, type, space, __VA_ARGS__), codes, done, context)

/* --- visitors.c: they look at everything, and change what concerns no workflow --- */
void visitors_start(struct sim *sim);
bool visitors_finished(const struct sim *sim);

/* --- clients.c --- */
void client_start(struct sim *sim, void *work);

/* --- program.c --- */
struct program {
    struct sim             *sim;
    struct work            *work; /* NULL: a child */
    const struct task      *task;
    struct command_Command *commands;
    size_t                  count;
};
/* What the program does next, given everything that happened. */
void program_run(struct program *program);
/* A signal of a client, not of a child. */
bool is_client_signal(const struct history_HistoryEvent *event);

/* --- workers.c: polling --- */
void         new_worker(struct sim *sim, const char *queue_name, bool sticky, bool activities);
void         worker_poll(struct sim *sim, void *worker);
struct task *new_task(struct worker *worker, struct bytes token, const struct common_WorkflowExecution *run);

/* --- workflow_worker.c, activity_worker.c: what they do with a task; they poll again when it is over --- */
void take_workflow_task(struct worker                                              *worker,
                        const struct workflowservice_PollWorkflowTaskQueueResponse *response);
void take_activity(struct worker                                              *worker,
                   const struct workflowservice_PollActivityTaskQueueResponse *response);
#endif
