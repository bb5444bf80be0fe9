/* actors.h: shared by the simulated clients, workers, programs and the audit (actors.c says how they fit together). */
#ifndef SIM_ACTORS_H
#define SIM_ACTORS_H
#include "sim.h"

#define RPC_NS               (10 * NS_PER_S)
#define POLL_NS              (70 * NS_PER_S)
#define CALL(name)           PB_METHOD_WorkflowService_##name
#define CHILD_TYPE           "child"
#define WAITER_TYPE          "waiter"
#define PROGRAM_COMMANDS_MAX 128
#define PROGRAM_MESSAGES_MAX 64
#define SIM_UPDATES_MAX      3

enum operation_kind {
    OPERATION_ACTIVITIES,
    OPERATION_TIMER,
    OPERATION_CHILDREN,
    OPERATION_MARKER,
    OPERATION_UPSERT,
    OPERATION_RACE,
    OPERATION_CANCELLED_ACTIVITY,
    OPERATION_FAILING_ACTIVITY,
    OPERATION_SIGNAL_OUT,
    OPERATION_CANCELLED_CHILD,
    OPERATION_LEFT_CHILD,
    OPERATION_SIGNALS,
    OPERATION_COUNT
};
struct operation {
    enum operation_kind kind;
    int64_t             count, duration;
};
/* What is to become of a workflow, and who brings it about (interventions.c). */
enum fate {
    FATE_COMPLETES,
    FATE_RETRIED, /* fails first */
    FATE_CRON,    /* until it is cancelled */
    FATE_TIMED_OUT,
    FATE_CANCELLED,
    FATE_TERMINATED,
    FATE_DELETED,
    FATE_RESET,
    FATE_COUNT
};
struct update {
    struct work *work;
    const char  *name; /* says how it is answered */
    char         id[40];
    bool         waits_for_end, settled;
    bool         accepted, completed; /* a client was told so */
};
/* What the receiver of a workflow's callback has heard. */
struct callback {
    bool         is_wanted, is_over, taken_calmly;
    unsigned     arrivals;
    struct bytes state;
    uint64_t     content, boots;
    int64_t      refused_at, forward;
};
struct work {
    struct sim      *sim;
    unsigned         number;
    char             id[24];
    enum fate        fate;
    uint32_t         ends;        /* statuses that it may end with, by bit */
    bool             exact;       /* nobody interferes: it completes, and everything it did is there once */
    bool             is_tinkered; /* its activities' attempts are not its own matter */
    unsigned         failures;    /* attempts that fail before one completes */
    unsigned         generations;
    struct operation operations[SIM_OPS_MAX];
    size_t           operation_count;
    enum { WITH_NOTHING, WITH_SIGNAL, WITH_UPDATE } with_start;
    unsigned signals;
    struct {
        char request_id[40];
        bool acknowledged, refused;
    } signal[SIM_SIGNALS_MAX];
    struct callback callback;
    struct update   updates[SIM_UPDATES_MAX];
    unsigned        update_count;
    unsigned        interventions; /* that are still to come, or under way */
    unsigned        resets;        /* acknowledged */
    bool            started, closed, deleted, is_watched;
    struct bytes    run_id; /* of the last task that a worker had; empty: none yet. In the actors' arena */
    /* what the audit found, over all runs */
    unsigned audit_runs, audit_resets, audit_signals[SIM_SIGNALS_MAX], audit_updates[SIM_UPDATES_MAX];
};
struct visitors;
struct tinkerer;
struct rivals;
struct shadows;
struct audit;
struct actors {
    struct sim  *sim;
    struct arena arena; /* of requests; reset now and then it is not: a run is short */
    struct work *works;
    size_t       work_count;
    uint64_t     features;

    struct visitors *visitors;
    struct tinkerer *tinkerer;
    struct rivals   *rivals;
    struct shadows  *shadows;
    struct audit    *audit;
};
struct worker {
    struct sim *sim;
    char        queue[24];
    bool        sticky, activities;
    bool        is_once; /* got its task in the answer to another call; does not poll */
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
    bool           by_id; /* an activity that is answered by its id, not by the token */
    unsigned       tries;

    struct task_message *messages;
    size_t               message_count;
};
/* What asks a workflow for an update. */
struct task_message {
    struct bytes           id, instance;
    int64_t                event_id;
    struct update_Request *request;
};

/* --- actors.c: what all of them need --- */
struct actors                   *actors_of(struct sim *sim);
struct bytes                     sim_text(struct sim *sim, const char *from);
struct taskqueue_TaskQueue      *sim_queue(struct sim *sim, const char *name, bool sticky);
struct bytes                     sim_payloads(struct sim *sim, const char *data);
struct common_WorkflowExecution *sim_execution(struct sim *sim, struct bytes workflow_id,
                                               struct bytes run_id);
/* An application's failure; `for_good`: not to be tried again. */
struct bytes sim_failure(struct sim *sim, const char *message, bool for_good);
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

/* --- tinkerers.c: they change options, and set activities back --- */
void tinkerers_start(struct sim *sim);
bool tinkerers_finished(const struct sim *sim);

/* --- rivals.c: they want the same workflow ids --- */
struct listed_run {
    struct bytes workflow_id, run_id;
    int32_t      status;
    int64_t      history_length;
};
void rivals_start(struct sim *sim);
bool rivals_finished(const struct sim *sim);
/* All runs there are, whose histories are known. */
void rivals_audit(struct sim *sim, const struct listed_run *runs, size_t count);

/* --- works.c --- */
void work_draw(struct sim *sim, struct work *work, unsigned number);

/* --- clients.c --- */
void client_start(struct sim *sim, void *work);
/* Looks at it from time to time until it is closed. */
void client_watch(struct work *work);
/* Each that was not refused, as it was: a run that has it already knows it. */
void client_signals_again(struct work *work);

/* --- client_updates.c --- */
void                                                   client_update(struct sim *sim, void *update);
struct workflowservice_UpdateWorkflowExecutionRequest *client_update_request(struct update *update);
/* What an answer to the update says, whichever call it is of. */
void client_updated(struct update *update, const struct update_Outcome *outcome, int32_t stage);

/* --- receiver.c --- */
struct bytes callback_url(struct sim *sim, const struct work *work);
struct bytes callback_encoded(struct sim *sim, const struct work *work);
/* How its last run ended, as history says. */
void callback_check(struct sim *sim, const struct work *work, int32_t status);

/* --- shadow.c: the same workflow ids in another namespace --- */
void shadows_start(struct sim *sim);
bool shadows_finished(const struct sim *sim);
void shadows_audit(struct sim *sim);
bool shadows_audited(const struct sim *sim);
void shadows_delete(struct sim *sim);
bool shadows_deleted(const struct sim *sim);

/* --- interventions.c: what befalls a workflow --- */
void interventions_start(struct work *work);

/* --- reading.c: all runs are read as a whole, and judged together --- */
void reading_start(struct sim *sim, bool *ret_done);

/* --- program.c --- */
struct program {
    struct sim             *sim;
    struct work            *work; /* NULL: a child */
    const struct task      *task;
    struct command_Command *commands;
    size_t                  count;

    struct protocol_Message *messages;
    size_t                   message_count;
};
/* What the program does next, given everything that happened. */
void program_run(struct program *program);
/* A signal of a client, not of a child. */
bool is_client_signal(const struct history_HistoryEvent *event);

/* --- replay.c --- */
/* Plays a run that is known up to its last event again, and compares. */
void replay_run(struct sim *sim, struct bytes workflow_id, struct bytes run_id, int64_t last);

/* --- workers.c: polling --- */
void           new_worker(struct sim *sim, const char *queue_name, bool sticky, bool activities);
struct worker *new_worker_once(struct sim *sim);
/* It polls again, if it is one that polls. */
void         worker_next(struct worker *worker, int64_t delay);
struct task *new_task(struct worker *worker, struct bytes token, const struct common_WorkflowExecution *run);

/* --- workflow_worker.c, activity_worker.c: what they do with a task; they poll again when it is over --- */
void take_workflow_task(struct worker                                              *worker,
                        const struct workflowservice_PollWorkflowTaskQueueResponse *response);
/* Sends the token of a task that is over once more: nothing may come of it. */
void misuse_token(struct task *task);
void take_activity(struct worker                                              *worker,
                   const struct workflowservice_PollActivityTaskQueueResponse *response);

/* --- audit.c --- */
void audit_free(struct audit *audit);
#endif
