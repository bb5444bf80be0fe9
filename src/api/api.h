/* api.h: the RPCs of WorkflowService and OperatorService: decode, check, route, encode.
 *
 * Owns:    one object per lane (lane_user): pools of running calls, task queues (matching), long polls, queries.
 * Thread:  each lane's object is its lane's alone. A call that has business on another lane travels there and back by
 *          mailbox; it is answered on the lane it came from.
 * Answers: exactly once per call, and only from a request's done or from memory-only facts (pollers, queries, namespaces).
 * Survives a crash: nothing here. Pollers and queries are asked again by their clients.
 * Limits:  calls by wire; pollers and queries per queue by matching; long polls per lane, see WAITERS_MAX.
 *
 * Order of building: runtime_new with api_hooks and api_kinds, then api_new, then the first lane_turn.
 */
#ifndef API_API_H
#define API_API_H
#include "base/call.h"
#include "base/outbound.h"
#include "shard/lane.h"

/* What clients are told: SDKs refuse servers outside 1.x. */
#define API_SERVER_VERSION "1.31.0"

struct callback_rule {
    struct bytes pattern;
    bool         insecure; /* http: is fine, too */
};

struct api;
struct api_options {
    const struct limits *limits;       /* NULL: limits_default */
    const char          *cluster_name; /* NULL: "active" */
    const char          *store_name;   /* for GetClusterInfo: "sqlite", "memory" */
    size_t               window_size;  /* ready tasks held per queue; 0: default */
    /* Who sends HTTP requests; `send` NULL: nobody, and completion callbacks wait on disk. */
    struct outbound_sender sender;
    /* Where callbacks may go: hosts with their port, * stands for any text; none: nowhere. Live as long as the api. */
    const struct callback_rule *callback_rules;
    size_t                      callback_rule_count;
    /* A toolset was applied or deleted, and that is durable: on a lane's thread. NULL: nobody listens. */
    void (*toolsets_changed)(void *context);
    /* Whether the gateway could serve this: INVALID_ARGUMENT and FAILED_PRECONDITION say why not. `warnings` gets lines. On a lane's
     * thread. NULL: every document is taken. */
    enum status (*toolset_check)(void *context, struct bytes name, struct bytes document,
                                 struct buffer *warnings, struct error *error);
    void *toolsets_context;
    bool  sweeps; /* closed runs that are past their retention go */
    struct skipping_clock
            *skipping; /* the runtime's, which has one lane then; NULL: TestService is not served */
    uint64_t seed;     /* of ids that never reach the disk; 0: from the system */
};
struct api *api_new(struct runtime *runtime, const struct api_options *options);
/* Every call answered and every lane idle. */
void api_free(struct api *api);
/* For simulations, before runtime_abandon: frees everything as a crash would. Calls that were not answered are their owner's
 * again, and so is what the store was asked. */
void api_abandon(struct api *api);

/* For runtime_options. The context is not used: the hooks find the api by lane_user. */
struct lane_hooks api_hooks(void);
/* The kind that holds all namespaces. */
extern const struct entity_kind namespaces_kind;
/* The kind that holds what operators have set for task queues. */
extern const struct entity_kind task_queue_kind;
/* The kind that holds the toolsets that were declared through the API, and the gateway's key. */
extern const struct entity_kind tools_kind;

/* wire's on_call: on the lane's thread. */
void api_call(struct lane *lane, struct call *call);
/* wire's is_method: all services, whether implemented or not. */
bool api_is_method(struct bytes path);
/* After every lane_turn: timers of long polls and queries, refills of queues. Bounded. */
void api_lane_turn(struct lane *lane);
/* When api_lane_turn wants to be called next: wall ns; TIME_NEVER: when something happens. */
int64_t api_lane_next_due(struct lane *lane);
/* Answers every long poll of this lane empty and from now on at once, so that connections can close. */
void api_drain(struct lane *lane);
/* Queues or calls of any lane wait for the store: its answers have to be let in before api_free. For when no lane runs. */
bool api_reads(const struct api *api);
/* No call of this lane is under way. */
bool api_idle(struct lane *lane);

/* Registers a namespace unless it exists; for the server's start. `done` runs on this lane's thread. */
void api_ensure_namespace(struct lane *lane, struct bytes name, int64_t retention_ns,
                          void (*done)(void *context, const struct error *error), void *context);

/* The 32 bytes that the gateway seals with: made with the store, the same ever after, told to nobody outside the process. `done`
 * runs on this lane's thread; `key` is NULL with an error, and lives for as long as it runs. */
void api_ensure_sealing_key(struct lane *lane,
                            void (*done)(void *context, const uint8_t *key, const struct error *error),
                            void *context);

/* --- the table of RPCs: what is answered how; `perdure compat` prints it --- */
enum api_support {
    API_NOT_YET, /* UNIMPLEMENTED, naming itself */
    API_REFUSED, /* PERMISSION_DENIED, so that clients which probe for it go on without; the note says why */
    API_PARTIAL, /* the note says what is missing */
    API_COMPLETE,
};
struct api_method_info {
    const char      *service, *name;
    enum api_support support;
    const char      *note; /* "" when there is nothing to say */
};
size_t                 api_method_count(void);
struct api_method_info api_method(size_t index);

/* --- metrics --- */

/* Hands what a lane counts for itself to the metrics; on its thread. */
void api_publish_metrics(struct lane *lane);
/* A task queue in which tasks wait, as a lane's memory knows it. */
struct api_backlog {
    int64_t namespace_number;
    struct bytes namespace, queue; /* borrowed: until `each` returns */
    enum store_task_kind kind;
    size_t               count;
    int64_t              oldest_created; /* wall ns; of those in memory */
    size_t               pollers;
    bool                 more; /* on disk, besides */
};
/* Of the queues that live on this lane, at most `max`; on its thread. False: there are more. */
bool api_backlogs(struct lane *lane, size_t                                             max,
                  void (*each)(void *context, const struct api_backlog *backlog), void *context);
#endif
