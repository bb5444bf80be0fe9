/* api_internal.h: a call on its way through the server, and what a lane keeps for its calls. For src/api only.
 *
 * A call becomes a struct rpc on its home lane. When it has business elsewhere (a queue's lane, a run's owner) it travels:
 * rpc_move. Exactly one lane works on an rpc at a time, `at`; only that lane touches it, but for what home needs to tell it
 * that the peer is gone. rpc_reply and rpc_fail bring it home from wherever it is.
 *
 *   arrives -> decoded, checked -> [request to the engine] -> [moves, waits] -> answer, at home -> freed
 */
#ifndef API_API_INTERNAL_H
#define API_API_INTERNAL_H
#include <stdatomic.h>

#include "api/api.h"
#include "api/namespace_kind.h"
#include "api/tools_kind.h"
#include "base/heap.h"
#include "base/random.h"
#include "base/table.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "engine/search_attributes.h"
#include "engine/workflow.h"
#include "matching/matching.h"

#define POLL_HOLD_NS       (60 * NS_PER_S) /* an empty answer leaves after it */
#define HISTORY_HOLD_NS    (20 * NS_PER_S)
#define UPDATE_HOLD_NS     (20 * NS_PER_S)
#define HOLD_MARGIN_NS     (1 * NS_PER_S)  /* and at least this long before the caller's deadline */
#define QUERY_HOLD_NS      (30 * NS_PER_S) /* of queries without a deadline */
#define HISTORY_PAGE_MAX   256             /* events */
#define HISTORY_PAGE_SIZE  (4U << 20)      /* bytes; a page ends with the batch that reaches one of them */
#define LIST_PAGE_MAX      1000
#define LIST_PAGE_SIZE     (4U << 20)
#define NAMESPACE_PAGE_MAX 100
#define WAITERS_MAX        32768       /* long polls of history per lane */
#define OFFERS_MAX         4096        /* offers on their way to other lanes, per lane */
#define STALE_MAX          32          /* stale tasks that one poll takes in */
#define RPC_POOL_MAX       256         /* idle ones kept per lane */
#define RPC_POOL_ARENA_MAX (16U << 10) /* memory that an idle one keeps */
#define PAGE_TOKEN_FORMAT  1

struct api_lane;
struct rpc;

struct api_timer {
    struct heap_link link;
    void (*fire)(struct api_timer *timer);
};

/* The caller's namespace, copied: configurations live for one turn only. */
struct rpc_namespace {
    int64_t      number;
    struct bytes id, name;
    int32_t      state;
    uint32_t     metrics; /* where it is counted */
};

/* Which task an answer hands over; taken back when nobody can receive it. */
enum handed_kind { HANDED_WORKFLOW_TASK, HANDED_ACTIVITY_TASK, HANDED_QUERY };
struct handed_task {
    struct handed_task *next;
    enum handed_kind    kind;
    struct task_ref     task; /* in the rpc's arena */
};

struct rpc_sleep {
    struct list link;
    int64_t     until; /* lane_now */
    bool        locks; /* when it is over */
};
struct rpc_poll {
    struct poller        poller;
    struct queue_name    name;
    enum store_task_kind kind;
    bool                 reserved; /* the start under way was fused into the task's own transition */
    unsigned             stale_count;
    int64_t              expires; /* monotonic */
    struct bytes         build_id, deployment_name;
};
struct rpc_wait {
    struct table_link link; /* by run */
    struct list       all;
    bool              linked;
    store_number      run;
    int64_t           event_id; /* wakes when it is durable; INT64_MAX: only when the run closes */
};
struct rpc_history {
    struct rpc_wait           wait;
    struct history_read       read;
    struct token_HistoryPage *token; /* NULL: a first call */
    bool                      waits, close_only, reverse, reader_sees_virtual_events, follows_next_run;
    bool                      of_current; /* the run was found without a run id */
    uint8_t                   asks;
    int64_t                   next, last; /* event ids of the range still to be read */
    int64_t                   expires;
    size_t                    page_size;
    struct bytes              run_id_text;
};
enum query_state { QUERY_IDLE, QUERY_BUFFERED, QUERY_ATTACHED, QUERY_WAITING, QUERY_ASSIGNED };
struct rpc_query {
    struct table_link  by_id, by_run;
    bool               id_linked, run_linked;
    uint64_t           number; /* of this query on its lane */
    enum query_state   state;
    struct direct_task direct;
    bool               sticky_phase; /* dispatched to the sticky queue, not yet to the normal one */
    bool               deciding, decide_again;
    int64_t            expires; /* monotonic */
    store_number       run;
    struct bytes       id_text; /* as in queries{} of a workflow task */
    bool               has_behind;
    struct task_ref
        behind; /* a workflow task that had started when the query came: it does not ride on that one */
};
struct rpc_describe; /* of a task queue; in the arena */
struct rpc_workers;  /* a list of them; in the arena */
struct list_query;   /* parsed; in the arena */
struct listing;      /* of schedules; in the arena */
enum update_caller { UPDATE_CALLER_UPDATE, UPDATE_CALLER_POLL, UPDATE_CALLER_MULTI_OPERATION };
struct rpc_update {
    struct table_link  link; /* by run and update id */
    bool               linked, has_run_id, expires_with_caller;
    bool               was_started, is_closed, is_retry; /* of an update with start */
    enum update_caller caller;
    int32_t            wanted_stage, stage; /* stage: reached */
    struct bytes       workflow_id, id;
    store_number       run;
    struct uuid        run_id;
    int64_t            expires; /* monotonic */
};
/* A read of the store that a call waits for; in the arena, since it is large and polls wait without one. */
struct rpc_read {
    struct store_read read;
    struct rpc       *rpc;
};
struct rpc_list {
    struct rpc_read         *read;
    const struct list_query *parsed;
    union {
        struct bytes         query; /* the token goes with it */
        struct rpc_describe *describe;
        struct rpc_workers  *workers;
        struct listing      *listing; /* of schedules */
    };
};
/* A workflow task whose history is being put together; continues with `ready`. */
struct rpc_delivery {
    struct history_read                                   read;
    const struct workflow_delivery                       *delivery;
    struct workflowservice_PollWorkflowTaskQueueResponse *response;
    struct api_lane *back; /* where the rpc was before it fetched queries */
    void (*ready)(struct rpc *rpc);
};

struct rpc {
    struct workflow_request    work; /* one at a time */
    struct message             message, gone_message;
    struct lane               *gone_message_lane; /* where gone_message is going */
    struct list                waiting;           /* among the long polls of `at`, which end at a drain */
    struct list                all;               /* in home->rpcs */
    struct call               *call; /* home only; the decoded request lives in its arena until the answer */
    struct api_lane           *home;
    _Atomic(struct api_lane *) at;
    const struct pb_method    *method;
    struct arena arena; /* results; unbounded, because what is made within the server has limits of its own */
    const void  *request;
    struct rpc_namespace ns;
    int64_t              begun; /* monotonic */
    struct trace        *trace; /* NULL: it is not traced */
    union {
        void (*arrived)(struct rpc *rpc); /* while it moves: what goes on on the new lane */
        void (*expire)(struct rpc *rpc);  /* while `waiting`: answer empty now */
    };
    void (*gone_here)(struct rpc *rpc); /* the peer went away while the rpc waits on `at`; NULL: it is busy */
    struct api_timer    timer;
    bool                gone_seen;      /* as `at` knows it */
    bool                gone_in_flight; /* home's: gone_message is on its way */
    bool                waited;         /* for something that is not the server's to bring about */
    bool                ended;          /* home's: answered; freed when nothing is under way any more */
    bool                returning;      /* home's: tasks are being taken back */
    struct error        error;
    const void         *response; /* of method->response */
    struct handed_task *handed;   /* what the answer carries */
    /* Ten thousand polls wait in these, so what is large is there once: a call uses one of each group. */
    union {
        struct rpc_poll  poll;
        struct rpc_sleep sleep;
        struct rpc_query query;
    };
    union {
        struct rpc_delivery       delivery;
        struct rpc_history        history;
        struct rpc_list           list;
        struct rpc_update         update;
        struct namespaces_request namespaces;
        struct tools_request      tools;
    };
};

enum namespace_need {
    NAMESPACE_NONE,     /* the request has no such field, or may name one that is not there */
    NAMESPACE_REQUIRED, /* known, before any other field is looked at */
    NAMESPACE_TOKEN,    /* may be empty: then the token says which */
};
/* One line of the table of methods. */
struct rpc_entry {
    void (*handle)(struct rpc *rpc); /* NULL: not implemented */
    enum namespace_need need;
    enum api_support    support;
    const char         *note;
};
/* By PB_METHOD_ index; entries of services that wire answers itself have no handler. */
const struct rpc_entry *rpc_entry(uint16_t method);

struct callback_worker;
struct offer; /* a ready row on its way to its queue's lane */
struct api_lane {
    struct api             *api;
    struct lane            *lane;
    struct matching        *matching;
    struct random           random;
    struct heap             timers;
    struct list             waiting; /* rpc.waiting */
    struct list             pool;    /* idle rpcs, by their `waiting` link */
    struct list             rpcs;    /* the calls of its connections, wherever they are */
    size_t                  pool_count, rpc_count;
    size_t                  reads; /* of calls, at the store */
    bool                    draining;
    struct table            waits, queries_by_id, queries_by_run, updates;
    struct list             all_waits;
    size_t                  wait_count;
    uint64_t                query_number;
    atomic_size_t           offers_out;    /* of this lane, on their way elsewhere */
    atomic_bool             offers_lost;   /* to this lane: queues read again */
    struct goodbye         *goodbyes;      /* of workers; NULL before the first */
    struct backlog_memo    *backlog_memos; /* counts of long backlogs; NULL before the first */
    struct buffer           scratch;
    struct callback_worker *callback_workers; /* those of the queues that live here */
    size_t                  callback_worker_count, callback_busy, callback_resting;
    bool                    callbacks_begun;
    struct list             errands;   /* requests without a call */
    struct list             sleepers;  /* rpc.sleep.link, in no order */
    struct retention       *retention; /* of the lane that sweeps; else NULL */
};
struct api {
    struct runtime        *runtime;
    struct limits          limits;
    const char            *cluster_name, *store_name;
    uint32_t               boot;     /* in query ids: those of an earlier process are nobody's */
    struct skipping_clock *skipping; /* NULL: time goes its own way */
    int64_t  time_locks; /* less than 0: more unlocks than locks, which tasks of workers make up for */
    uint32_t lane_count;
    struct api_lane            *lanes;
    struct worker_registry     *workers;           /* lane 0's */
    uint16_t                   *namespace_offsets; /* of the field `namespace` in each method's request */
    struct outbound_sender      sender;
    const struct callback_rule *callback_rules;
    size_t                      callback_rule_count;
    void (*toolsets_changed)(void *context);
    enum status (*toolset_check)(void *context, struct bytes name, struct bytes document,
                                 struct buffer *warnings, struct error *error);
    void *toolsets_context;
};

static inline struct api_lane *api_lane_of(struct lane *lane)
{
    return lane_user(lane);
}
static inline struct api_lane *rpc_at(const struct rpc *rpc)
{
    return atomic_load_explicit(&rpc->at, memory_order_acquire);
}
static inline struct lane *rpc_lane(const struct rpc *rpc)
{
    return rpc_at(rpc)->lane;
}
static inline struct rpc *rpc_of_work(struct request *request)
{
    return CONTAINER_OF(CONTAINER_OF(request, struct workflow_request, base), struct rpc, work);
}

/* --- rpc.c: the way of a call --- */
void rpc_start(struct api_lane *lane, struct call *call);
void rpc_set_namespace(struct rpc *rpc, const struct namespace_config *config);
/* Of the rpc's namespace: valid until the lane's next turn. */
const struct limits *rpc_limits(const struct rpc *rpc);
/* Answers. `response` is a struct of method->response in one of the rpc's arenas; NULL: an empty message. */
void rpc_reply(struct rpc *rpc, const void *response);
void rpc_fail(struct rpc *rpc, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void rpc_fail_error(struct rpc *rpc, const struct error *error);
/* Goes on with `arrived` on that lane, at once when it is already there. */
void rpc_move(struct rpc *rpc, struct lane *lane, void (*arrived)(struct rpc *rpc));
/* Among the long polls of its lane; expire is called at a drain (from the lane's own thread). */
void rpc_wait(struct rpc *rpc, void (*expire)(struct rpc *rpc), void (*gone_here)(struct rpc *rpc));
void rpc_wake(struct rpc *rpc);
void rpc_set_timer(struct rpc *rpc, int64_t monotonic, void (*fire)(struct api_timer *timer));
void rpc_clear_timer(struct rpc *rpc);
/* The deadline of the hold: now + hold, or the margin before the caller's deadline when that is sooner. Home only. */
int64_t rpc_hold_until(const struct rpc *rpc, int64_t hold_ns);
/* A task that nobody received is back. */
void rpc_returned(struct rpc *rpc);
void api_lane_release(struct api_lane *lane);
/* A crash: what calls hold is given back, the calls themselves are their owner's. */
void    api_lane_abandon(struct api_lane *lane);
int64_t api_timers_due(struct api_lane *lane);
void    api_timers_fire(struct api_lane *lane);

/* --- request.c: asking the engine --- */
/* A request that no call waits for: the first member of a struct around it, which errand_new makes and errand_end frees.
 * It is made and ends on one lane, whose drain waits for it. */
struct errand {
    struct list  link; /* api_lane.errands */
    struct arena arena;
};
struct errand *errand_new(struct api_lane *lane, size_t size); /* zeroed but for what is above */
void           errand_end(struct errand *errand);
void           errands_abandon(struct api_lane *lane);
/* The worker of this sticky queue does not answer for the run any more; nothing happens if it has another one by now. */
void errand_reset_sticky(struct api_lane *lane, int64_t namespace_number, struct bytes workflow_id,
                         const struct uuid *run_id, struct bytes sticky_queue);
/* Clears rpc->work and addresses it: the run when run_id is set, else the current one. */
void rpc_address(struct rpc *rpc, int command, struct bytes workflow_id, const struct uuid *run_id);
void rpc_submit(struct rpc *rpc, void (*done)(struct request *request));
/* Makes rpc->list.read. What is submitted is counted until its message takes it: a server that ends waits for it. */
struct store_read *rpc_read_new(struct rpc *rpc);
void               rpc_read_submit(struct rpc *rpc, struct store_read *read);
struct rpc        *rpc_read_answered(struct message *message);
/* The usual end: the engine's error, or rpc->work.response. */
void rpc_answer(struct request *request);
/* The lane that owns (the rpc's namespace, workflow id). */
struct lane *rpc_owner(const struct rpc *rpc, struct bytes workflow_id);
/* The answer carries this task: it goes back when nobody can receive it. */
void rpc_hand(struct rpc *rpc, enum handed_kind kind, const struct task_ref *task);
/* Takes back what the answer would have handed over, one after the other. Home only. */
void rpc_take_back(struct rpc *rpc);

/* --- schedule.c, schedule_orders.c --- */
void create_schedule(struct rpc *rpc);
void describe_schedule(struct rpc *rpc);
void update_schedule(struct rpc *rpc);
void patch_schedule(struct rpc *rpc);
void delete_schedule(struct rpc *rpc);
void list_schedules(struct rpc *rpc);
void count_schedules(struct rpc *rpc);
void list_schedule_matching_times(struct rpc *rpc);
/* The rows of a page of schedules: answers with their records. */
void schedules_listed(struct rpc *rpc, const struct store_run *runs, size_t count, struct bytes token);
/* A schedule of this lane has orders. */
void schedule_noticed(struct api_lane *lane, int64_t namespace_number, struct bytes business_id);
/* Times were missed, skipped or dropped: for metrics. */
void schedule_counted(struct api_lane *lane, struct bytes counts);

/* --- retention.c --- */
void retention_begin(struct api_lane *lane);
void retention_drain(struct api_lane *lane);
void retention_free(struct api_lane *lane);

/* --- time_skipping.c --- */
void    time_lock(struct rpc *rpc);
void    time_unlock(struct rpc *rpc);
void    time_sleep(struct rpc *rpc);
void    time_sleep_until(struct rpc *rpc);
void    time_unlock_and_sleep(struct rpc *rpc);
void    time_current(struct rpc *rpc);
void    time_skipping_turn(struct api_lane *lane);
int64_t time_skipping_due(const struct api_lane *lane);

/* --- metrics.c --- */
void metrics_name_labels(void);

/* --- errors.c --- */
void        error_detail(struct error *error, struct arena *arena, const struct pb_message *type,
                         const void *record);
enum status error_namespace_not_found(struct error *error, struct arena *arena, struct bytes name);
enum status error_refused(struct error *error, struct arena *arena, const char *reason);
enum status error_exhausted(struct error *error, struct arena *arena, int32_t cause, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* --- client_version.c --- */
/* FAILED_PRECONDITION or INVALID_ARGUMENT for clients that are too old or want a newer server. */
enum status client_version_check(const struct call *call, struct arena *arena, struct error *error) MUST_USE;
bool        client_is_reader_of_plain_history(const struct call *call); /* temporal-cli, temporal-ui */
bool client_has_feature(const struct call *call, const char *feature);  /* in its supported-features list */

/* --- check.c: what needs no state --- */
#define ID_SIZE_MAX 1000
/* Starts are refused where a namespace is deprecated. */
enum status check_namespace_open(struct rpc *rpc, struct error *error) MUST_USE;
enum status check_id(const char *field, struct bytes value,
                     struct error *error) MUST_USE; /* set, not too long */
enum status check_id_optional(const char *field, struct bytes value,
                              struct error *error) MUST_USE; /* not too long */
/* Not longer than the namespace allows, which is at most ID_SIZE_MAX. */
enum status check_name(const struct rpc *rpc, const char *field, struct bytes value,
                       struct error *error) MUST_USE;
enum status check_build_id(const struct rpc *rpc, struct bytes build_id, struct error *error) MUST_USE;
enum status check_payload(const struct rpc *rpc, const char *field, struct bytes value,
                          struct error *error) MUST_USE;
enum status check_run_id(struct bytes run_id, bool *ret_set, struct uuid *ret_run_id,
                         struct error *error) MUST_USE;
struct execution_ref {
    struct bytes workflow_id;
    bool         has_run_id;
    struct uuid  run_id;
};
enum status check_execution(const struct common_WorkflowExecution *execution,
                            struct execution_ref *ret_execution, struct error *error) MUST_USE;
enum status check_task_queue(const struct taskqueue_TaskQueue *queue, struct error *error) MUST_USE;
enum status check_retry_policy(const struct common_RetryPolicy *policy, struct error *error) MUST_USE;
enum status check_links(const struct bytes *links, size_t count, struct rpc *rpc,
                        struct error *error) MUST_USE;
enum status check_priority(struct bytes priority, struct rpc *rpc, struct error *error) MUST_USE;
/* FAILED_PRECONDITION for a pinned one: there are no worker deployments, so there is no such version. What says the same in
 * the older way is brought into the newer form, in place. */
enum status check_versioning_override(struct workflow_VersioningOverride *override,
                                      struct error                       *error) MUST_USE;
/* Options of a run, and a mask that names which of them are meant. */
enum status check_workflow_options(struct rpc *rpc, const struct workflow_WorkflowExecutionOptions *options,
                                   const struct google_FieldMask *mask, struct error *error) MUST_USE;
/* Token of a task: decodes, and sees that it fits the request's namespace (which an empty one takes from the token). */
enum status check_token(struct rpc *rpc, struct bytes token, struct task_ref *ret_task,
                        struct error *error) MUST_USE;

/* --- callback.c: completion callbacks --- */
/* INVALID_ARGUMENT naming what is wrong with one of them. Headers get lower-case names, in place. */
enum status check_callbacks(struct rpc *rpc, struct bytes *callbacks, size_t count,
                            struct error *error) MUST_USE;
/* Takes up the queues of this lane, at its first turn, and goes on with what has to be asked again. */
void callbacks_turn(struct api_lane *lane);
bool callbacks_want_turn(const struct api_lane *lane);
/* Nothing is sent from now on; what is on its way will be sent again by the next process. */
void callbacks_drain(struct api_lane *lane);
void callbacks_free(struct api_lane *lane);

/* --- search_attributes.c --- */
/* Names known, settable and values of their type: INVALID_ARGUMENT naming the attribute. */
enum status rpc_check_search_attributes(struct rpc *rpc, struct bytes attributes,
                                        struct error *error) MUST_USE;
/* The same attributes with metadata "type" on each payload, as typed readers need. */
struct bytes rpc_typed_search_attributes(struct rpc *rpc, struct bytes attributes);

/* --- wait.c: long polls of history --- */
/* INVALID when the lane holds too many. The waiter is on the run's owner lane. */
enum status wait_add(struct rpc *rpc, struct rpc_wait *wait, store_number run, int64_t event_id,
                     struct error *error) MUST_USE;
void        wait_remove(struct rpc *rpc, struct rpc_wait *wait);
void        wait_released(struct api_lane *lane, store_number run, int64_t last_event_id, bool open);
void        wait_forgotten(struct api_lane *lane);
/* Called by wait.c when the event is there (or the run closed). */
void history_woken(struct rpc_wait *wait);
void history_forgotten(struct rpc_wait *wait);

/* --- delivery.c: workflow tasks with their history --- */
/* Fills history, token and queries of `response`; then `ready`, on the same lane. On failure the rpc is failed and the
 * task taken back. */
void delivery_begin(struct rpc *rpc, const struct workflow_delivery *delivery,
                    struct workflowservice_PollWorkflowTaskQueueResponse *response,
                    void (*ready)(struct rpc *rpc));
/* The branches that the history begins with, for pages to come. */
void token_set_prefix(struct token_HistoryPage *token, const struct history_segment *prefix, size_t count,
                      struct arena *arena);
/* A copy of a task reference in another arena. */
struct task_ref task_ref_copy(const struct task_ref *task, struct arena *arena);

/* --- poll.c --- */
void poll_workflow_task(struct rpc *rpc);
void poll_activity_task(struct rpc *rpc);
/* For the hooks. */
struct request *poll_reserve(struct api_lane *lane, const struct store_ready *task);
/* Answers open polls of a worker that shuts down. */
void poll_shutdown_worker(struct api_lane *lane, int64_t namespace_number, struct bytes worker_instance_key);

/* --- task_queue_config.c --- */
/* For matching: what is set for a queue that became known. The context is the lane's. */
void queue_config_ask(void *context, const struct queue_name *name);
/* What is set for the queue; then `ready` on the same lane, which is the queue's. NULL in *ret_config: nothing. */
void queue_config_get(struct rpc *rpc, struct bytes name, int32_t type,
                      struct taskqueue_TaskQueueConfig **ret_config, void (*ready)(struct rpc *rpc));
void update_task_queue_config(struct rpc *rpc);

/* --- worker.c --- */
struct worker_registry *workers_new(void);
void                    workers_free(struct worker_registry *registry);
/* A poll of a worker that has shut down came late. */
bool worker_said_goodbye(const struct api_lane *lane, int64_t namespace_number,
                         struct bytes worker_instance_key);

/* --- query.c --- */
void query_workflow(struct rpc *rpc);
void respond_query_task_completed(struct rpc *rpc);
void query_released(struct api_lane *lane, store_number run);
void query_forgotten(struct api_lane *lane);
/* Buffered queries of a run ride on the workflow task that was just started; on the run's owner lane. */
void query_attach(struct api_lane *lane, const struct workflow_delivery *delivery,
                  struct workflowservice_PollWorkflowTaskQueueResponse *response, struct arena *arena);
/* A crash: frees an answer on its way to another lane. False: the message is something else. */
bool query_abandon_message(struct message *message);
bool query_is_buffered(const struct api_lane *lane, store_number run);
/* The poller that got a direct query is gone: another one may answer it. Then rpc_returned(poll). */
void query_take_back(struct rpc *poll);
/* The answers that came with a completed workflow task. */
void query_results(struct rpc                                                       *rpc,
                   const struct workflowservice_RespondWorkflowTaskCompletedRequest *request);
/* A direct query as a task for the poller. */
void query_fill_task(struct direct_task *direct, struct rpc *poll,
                     struct workflowservice_PollWorkflowTaskQueueResponse *response,
                     struct workflow_delivery                             *ret_delivery);

/* --- update.c --- */
void update_workflow(struct rpc *rpc);
void poll_workflow_update(struct rpc *rpc);
/* Checks what needs no state, and gives the update an id if it has none. */
enum status update_check(struct rpc *rpc, struct workflowservice_UpdateWorkflowExecutionRequest *request,
                         struct error *error) MUST_USE;
int32_t     update_stage_wanted(const struct update_WaitPolicy *policy);
/* What the call waits for; at home. */
void update_expect(struct rpc *rpc, enum update_caller caller, struct bytes workflow_id,
                   struct bytes update_id, int32_t stage);
/* Answers, or waits for more than rpc->work.update says; on the owner's lane. */
void update_wait(struct rpc *rpc);
void update_noticed(struct api_lane *lane, store_number run, const struct news *news);
void update_forgotten(struct api_lane *lane);

/* --- multi_operation.c --- */
void execute_multi_operation(struct rpc *rpc);
void multi_operation_answer(struct rpc *rpc, struct workflowservice_UpdateWorkflowExecutionResponse *update);
/* The update failed. */
void multi_operation_fail(struct rpc *rpc, const struct error *error);

/* --- start.c --- */
/* Checks what needs no state, and gives the request an id if it has none. */
enum status start_check(struct rpc *rpc, struct workflowservice_StartWorkflowExecutionRequest *request,
                        struct error *error) MUST_USE;

/* --- handlers, by family --- */
void start_workflow(struct rpc *rpc);
void signal_with_start_workflow(struct rpc *rpc);
void signal_workflow(struct rpc *rpc);
void request_cancel_workflow(struct rpc *rpc);
void terminate_workflow(struct rpc *rpc);
void respond_workflow_task_completed(struct rpc *rpc);
void respond_workflow_task_failed(struct rpc *rpc);
void respond_activity_task_completed(struct rpc *rpc);
void respond_activity_task_failed(struct rpc *rpc);
void respond_activity_task_canceled(struct rpc *rpc);
void record_activity_task_heartbeat(struct rpc *rpc);
void respond_activity_task_completed_by_id(struct rpc *rpc);
void respond_activity_task_failed_by_id(struct rpc *rpc);
void respond_activity_task_canceled_by_id(struct rpc *rpc);
void record_activity_task_heartbeat_by_id(struct rpc *rpc);
void pause_activity(struct rpc *rpc);
void unpause_activity(struct rpc *rpc);
void reset_activity(struct rpc *rpc);
void update_activity_options(struct rpc *rpc);
void pause_workflow(struct rpc *rpc);
void unpause_workflow(struct rpc *rpc);
void update_workflow_options(struct rpc *rpc);
void reset_workflow(struct rpc *rpc);
void delete_workflow(struct rpc *rpc);
void get_workflow_history(struct rpc *rpc);
void get_workflow_history_reverse(struct rpc *rpc);
void describe_workflow(struct rpc *rpc);
void list_workflows(struct rpc *rpc);
void scan_workflows(struct rpc *rpc);
void list_open_workflows(struct rpc *rpc);
void list_closed_workflows(struct rpc *rpc);
void count_workflows(struct rpc *rpc);
void get_search_attributes(struct rpc *rpc);
/* PERMISSION_DENIED, with the note of the table as its reason. */
void refuse_method(struct rpc *rpc);
void get_system_info(struct rpc *rpc);
void get_cluster_info(struct rpc *rpc);
void list_clusters(struct rpc *rpc);
void reset_sticky_task_queue(struct rpc *rpc);
void shutdown_worker(struct rpc *rpc);
void record_worker_heartbeat(struct rpc *rpc);
void describe_worker(struct rpc *rpc);
void list_workers(struct rpc *rpc);
void count_workers(struct rpc *rpc);
void describe_task_queue(struct rpc *rpc);
void list_task_queue_partitions(struct rpc *rpc);
void register_namespace(struct rpc *rpc);
void describe_namespace(struct rpc *rpc);
void list_namespaces(struct rpc *rpc);
void update_namespace(struct rpc *rpc);
void deprecate_namespace(struct rpc *rpc);
void delete_namespace(struct rpc *rpc);
void add_search_attributes(struct rpc *rpc);
void remove_search_attributes(struct rpc *rpc);
void list_search_attributes(struct rpc *rpc);
void apply_toolset(struct rpc *rpc);
void get_toolset(struct rpc *rpc);
void list_toolsets(struct rpc *rpc);
void delete_toolset(struct rpc *rpc);
#endif
