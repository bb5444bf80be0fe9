/* workflow.h: the workflow execution as a kind of entity: its commands and their answers.
 *
 * A command is a struct request (shard/entity.h) with the decoded RPC request as input and the decoded RPC response as
 * output, both in the request's arena. decide validates against the state and fills `response` or base.error; api has
 * validated everything that needs no state (ids, sizes, names, namespaces) before.
 *
 * Answers that hold history are given as ranges: api reads them by lane_read_history and appends `virtual_events`.
 */
#ifndef ENGINE_WORKFLOW_H
#define ENGINE_WORKFLOW_H
#include "pb/all.pb.h"
#include "shard/entity.h"

extern const struct entity_kind workflow_kind;

enum workflow_command {
    WORKFLOW_DUE = ENTITY_COMMAND_DUE,
    WORKFLOW_START, /* in: StartWorkflowExecutionRequest; out: ...Response (+ eager task: delivery) */
    WORKFLOW_SIGNAL_WITH_START, /* in/out: SignalWithStartWorkflowExecution* */
    WORKFLOW_SIGNAL,            /* in/out: SignalWorkflowExecution* */
    WORKFLOW_REQUEST_CANCEL,    /* in/out: RequestCancelWorkflowExecution* */
    WORKFLOW_TERMINATE,         /* in/out: TerminateWorkflowExecution* */
    WORKFLOW_TASK_START, /* in: task (from matching), poll; out: PollWorkflowTaskQueueResponse + delivery */
    WORKFLOW_TASK_RETURN, /* in: task as delivered; the poller was gone before anything was written: ends it at once */
    WORKFLOW_TASK_COMPLETE,  /* in/out: RespondWorkflowTaskCompleted* (+ inline task: delivery), token */
    WORKFLOW_TASK_FAIL,      /* in/out: RespondWorkflowTaskFailed*, token */
    ACTIVITY_TASK_START,     /* in: task, poll; out: PollActivityTaskQueueResponse (complete) */
    ACTIVITY_TASK_RETURN,    /* like WORKFLOW_TASK_RETURN: the same attempt is ready again */
    ACTIVITY_TASK_COMPLETE,  /* in: activity_ref, result; */
    ACTIVITY_TASK_FAIL,      /* in: activity_ref, failure, last_heartbeat_details; out: failures */
    ACTIVITY_TASK_CANCEL,    /* in: activity_ref, details */
    ACTIVITY_TASK_HEARTBEAT, /* in: activity_ref, details; out: cancel_requested (paused, reset) */
    WORKFLOW_DESCRIBE,       /* out: DescribeWorkflowExecutionResponse */
    WORKFLOW_HISTORY,        /* out: history: what there is to read */
    WORKFLOW_QUERY,          /* in: QueryWorkflowRequest, deadline; out: query */
    WORKFLOW_RESET_STICKY,   /* in: poll.queue: only if it is still this one; empty: whatever it is */
    /* operators */
    ACTIVITY_PAUSE,          /* in/out: PauseActivity* */
    ACTIVITY_UNPAUSE,        /* in/out: UnpauseActivity* */
    ACTIVITY_RESET,          /* in/out: ResetActivity* */
    ACTIVITY_UPDATE_OPTIONS, /* in/out: UpdateActivityOptions*; retry policy, priority and times are sound */
    WORKFLOW_PAUSE,          /* in/out: PauseWorkflowExecution* */
    WORKFLOW_UNPAUSE,        /* in/out: UnpauseWorkflowExecution* */
    WORKFLOW_UPDATE_OPTIONS, /* in/out: UpdateWorkflowExecutionOptions*; mask and values are sound */
    WORKFLOW_RESET,          /* in/out: ResetWorkflowExecution*; to the current run, whichever one is reset */
    WORKFLOW_DELETE,         /* in/out: DeleteWorkflowExecution* */
    WORKFLOW_EXPIRE, /* in: whatever_follows; out: is_expired: it was closed for longer than its namespace keeps it */
    WORKFLOW_CALLBACK_LOAD,   /* in: task (from matching); out: callback, or stale */
    WORKFLOW_CALLBACK_REPORT, /* in: task, payload (encoded Failure; empty: delivered), callback_retry */
    /* updates */
    WORKFLOW_UPDATE,      /* in: UpdateWorkflowExecutionRequest; out: update */
    WORKFLOW_UPDATE_POLL, /* in: PollWorkflowExecutionUpdateRequest; out: update */
    WORKFLOW_UPDATE_WITH_START, /* in: StartWorkflowExecutionRequest, update_input; out: StartWorkflowExecutionResponse,
                                   update */
    WORKFLOW_COMMAND_COUNT
};

/* What matching hands out and a token carries: enough to find the task again after any restart. */
struct task_ref {
    struct bytes         namespace_id; /* UUID text */
    struct bytes         workflow_id;
    struct uuid          run_id;
    enum store_task_kind kind;
    int64_t              scheduled_event_id;
    int64_t              started_event_id; /* workflow tasks; virtual ids included */
    int64_t              started_time;     /* wall ns; tells two starts of one attempt apart */
    int64_t              attempt;          /* workflow and activity attempt, from 1 */
    int64_t              stamp; /* of workflow tasks: of the start; of activities: see struct activity */
    struct bytes         activity_id;
    bool                 is_query; /* a direct query's task: query_id then */
    struct bytes         query_id;
};
/* Of one workflow: whether both name the same start of a workflow task. */
bool task_same_start(const struct task_ref *task, const struct task_ref *other);
/* Task tokens: opaque to clients, ours is an encoded token_Task. INVALID_ARGUMENT for what is none. */
struct bytes task_token_encode(const struct task_ref *task, struct arena *arena);
enum status  task_token_decode(struct bytes token, struct arena *arena, struct task_ref *ret_task,
                               struct error *error) MUST_USE;

/* A workflow task for a worker: what the response does not hold yet. */
struct workflow_delivery {
    store_number                  branch;
    const struct history_segment *prefix;
    size_t                        prefix_count;
    int64_t                       first_event_id, last_event_id; /* stored range; empty when last < first */
    struct bytes   *virtual_events; /* a transient task's Scheduled and Started, with their virtual ids */
    size_t          virtual_event_count;
    struct uuid     run_id;
    struct task_ref task;
    bool            attach_queries; /* buffered queries ride on this task (api keeps them, memory only) */
};

struct workflow_poll {
    struct bytes identity;
    struct bytes queue; /* the queue polled: sticky or normal */
    bool         sticky;
    struct bytes request_id;                /* the poll's own id: the same id gets the same answer */
    struct bytes build_id, deployment_name; /* as the worker says; may be empty */
};

struct activity_ref {
    bool            by_id; /* else by token */
    struct task_ref task;  /* by token */
    struct bytes    activity_id;
    struct bytes    identity;
};

enum workflow_query_verdict {
    QUERY_REJECTED, /* status: response.query_rejected */
    QUERY_DIRECT, /* dispatch by matching: sticky queue first if set, else normal; full history range in delivery */
    QUERY_BUFFER, /* attach to the next workflow task to start */
};

/* A completion callback, and what it is to tell. */
struct workflow_callback {
    struct bytes                       encoded; /* common.Callback */
    const struct history_HistoryEvent *close;   /* the event that ended the chain */
    int64_t                            start_time, close_time;
    struct bytes                       link; /* encoded Link to the event that the callback came with */
};
/* The queues of ready callbacks, of all namespaces: namespace number 0, by destination. */
#define CALLBACK_QUEUES       4
#define CALLBACK_QUEUE_FORMAT "/_sys/callbacks/%u"

struct workflow_request {
    struct request base;
    /* in */
    const void          *input; /* the decoded RPC request, as listed with the command */
    struct store_ready   task;  /* TASK_START */
    struct task_ref      token; /* TASK_RETURN, TASK_COMPLETE, TASK_FAIL */
    struct workflow_poll poll;
    struct activity_ref  activity;
    struct bytes         payload; /* encoded Payloads or Failure, as the command says; base NULL: none */
    struct bytes         heartbeat_details; /* encoded Payloads; base NULL: none */
    int64_t              deadline_ns;       /* QUERY: wall */
    const struct workflowservice_UpdateWorkflowExecutionRequest *update_input; /* UPDATE_WITH_START */
    bool reader_sees_virtual_events; /* HISTORY: not for temporal-cli and temporal-ui */
    bool callback_retry;             /* CALLBACK_REPORT: the failure is worth another try */
    bool whatever_follows;           /* EXPIRE: though it was reset */
    bool is_expired;                 /* out */
    /* out */
    void                    *response; /* the decoded RPC response, as listed with the command */
    bool                     has_delivery;
    struct workflow_delivery delivery; /* of TASK_START, of an inline or eager task, of a direct query */
    bool stale; /* TASK_START: there is no such task any more: matching goes on; not an error */
    bool cancel_requested, activity_paused, activity_reset;
    enum workflow_query_verdict query;
    /* QUERY_BUFFER: the task that had started already, if has_query_behind. It does not show everything that the query has
     * to see (signals wait in the run's buffer), so the query rides on a later one. */
    bool            has_query_behind;
    struct task_ref query_behind;
    struct bytes    sticky_queue, normal_queue; /* QUERY_DIRECT; sticky empty: none */
    int64_t         sticky_timeout_ns;
    /* QUERY_DIRECT: the task for the worker but for its token, query and history: attempt 1, execution, type,
     * previous_started_event_id, workflow_execution_task_queue. */
    struct workflowservice_PollWorkflowTaskQueueResponse *query_task;
    struct uuid                                           run_id; /* the run that answered */
    store_number                                          run_number;
    struct {
        int64_t                       last_event_id; /* stored */
        bool                          open;
        struct bytes                 *virtual_events; /* a transient task's, for the last page */
        size_t                        virtual_event_count;
        store_number                  branch;
        const struct history_segment *prefix;
        size_t                        prefix_count;
    } history;
    struct {
        int32_t      stage;   /* reached: an UpdateWorkflowExecutionLifecycleStage */
        struct bytes outcome; /* encoded update_Outcome, once it is completed */
        bool         failed;  /* UPDATE_WITH_START: the error is the update's, not the start's */
    } update;
    /* After a TASK_COMPLETE: buffered queries that were not answered go direct when no task is pending any more. */
    bool                     workflow_task_pending;
    struct workflow_callback callback; /* CALLBACK_LOAD */
};
#endif
