/* actors.h: shared by the simulated clients, workers, programs and the audit (actors.c says how they fit together). */
#ifndef SIM_ACTORS_H
#define SIM_ACTORS_H
#include "sim.h"

#define RPC_NS     (10 * NS_PER_S)
#define POLL_NS    (70 * NS_PER_S)
#define CALL(name) PB_METHOD_WorkflowService_##name
#define CHILD_TYPE "child"

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
};
struct actors {
    struct sim  *sim;
    struct arena arena; /* of requests; reset now and then it is not: a run is short */
    struct work *works;
    size_t       work_count, audited;
    bool         counted;
    int64_t      closed_ids;
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

#define NEW(sim, type) ARENA_NEW(&actors_of(sim)->arena, type)

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
