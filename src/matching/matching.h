/* matching.h: task queues of one lane: waiting pollers on one side, ready tasks on the other.
 *
 * A family is (namespace, normal queue name): its workflow, activity and Nexus pollers, and its sticky queues with it. It
 * lives on runtime_queue_lane. Queues only read ready rows; the owner of an execution inserts and deletes them.
 *
 * Never lost: an offer is a hint; a queue with waiting pollers re-reads its index when it was marked dirty and every 10 s.
 * A sticky queue that nobody polled for 10 s, or whose worker said goodbye, is dead: its tasks go to the pollers of the
 * normal queue, in memory only; the rows stay where they are.
 * Knows nothing of the engine: a match is handed to the poller's `assign`, which asks the owner to start the task and polls
 * again when it was stale.
 *
 * Order: priorities, and within one the fairness keys in turn by weight, and within one the age; see matching_internal.h.
 * Limits of rates hold tasks back, never queries.
 *
 * Thread: the lane's. Limits: pollers per queue and per lane, queues per lane, window keys per queue, direct tasks
 * (queries) per queue. A queue without pollers is forgotten after 5 minutes; its rows are read again when one comes.
 */
#ifndef MATCHING_MATCHING_H
#define MATCHING_MATCHING_H
#include "shard/lane.h"
#include "shard/window.h"

#define MATCHING_WINDOW_SIZE       1024
#define MATCHING_POLLERS_MAX       65536 /* per lane */
#define MATCHING_QUEUE_POLLERS_MAX 32768
#define MATCHING_QUEUES_MAX        65536 /* per lane */
#define MATCHING_DIRECT_MAX        4096  /* per queue */
#define MATCHING_ALIVE_NS          (10 * NS_PER_S)
#define MATCHING_SWEEP_NS          (10 * NS_PER_S)
#define MATCHING_IDLE_NS           (300 * NS_PER_S)
#define MATCHING_FLEETING_MAX      1024 /* tasks without a row per queue; past it the oldest goes */
#define MATCHING_FLEETING_NS       (60 * NS_PER_S)
#define MATCHING_HISTORY_MAX       32 /* identities remembered per queue */
#define MATCHING_PRIORITIES                                                                                  \
    (PRIORITY_MAX + 1) /* by number; what is below or above counts as 0 and the last */

struct matching;
struct matching_queue;
struct direct_task;

/* A poll that waits. Embedded in the poll's handler; must be removed before it dies. list_init(&link) before first use. */
struct poller {
    struct list            link;
    struct matching_queue *queue;    /* NULL while it waits nowhere */
    int64_t                since;    /* wall ns */
    struct bytes           identity; /* borrowed; lives as long as the poller */
    struct bytes           worker_instance_key;
    /* A ready row for this poller, which has left its queue. The row stays the owner's; copy what is needed. */
    void (*assign)(struct poller *poller, const struct store_ready *task);
    /* A direct task (a query) for this poller. It belongs to the poller now. */
    void (*assign_direct)(struct poller *poller, struct direct_task *direct);
};

/* A task that is never stored: matched while its caller waits, or dropped by direct_cancel. */
struct direct_task {
    struct list            link;
    struct matching_queue *queue; /* NULL once it was assigned */
};

/* The lane must outlive it. A window_size of 0 stands for MATCHING_WINDOW_SIZE. `ask` is called when a normal queue becomes
 * known by a poll: matching_configure must follow, and until then the queue hands nothing out. NULL: nothing is ever set. */
struct queue_name;
struct matching *matching_new(struct lane *lane, size_t                                        window_size,
                              void (*ask)(void *context, const struct queue_name *name), void *context);
/* Pollers and direct tasks have been cancelled; reads that are under way must have been answered (matching_idle). */
void matching_free(struct matching *matching);
bool matching_idle(const struct matching *matching);
/* It waits for the store to answer. */
bool matching_reads(const struct matching *matching);
/* A crash: forgets its pollers, direct tasks and reads, which are their owners' again; matching_free may follow. */
void matching_abandon(struct matching *matching);

struct queue_name {
    int64_t              namespace_number;
    struct bytes         name;   /* the queue's own */
    struct bytes         normal; /* of a sticky queue; else empty */
    enum store_task_kind kind;
};
/* What a poller says of itself; borrowed. */
struct poll_terms {
    struct bytes build_id, deployment_name;
    int32_t      versioning_mode;
    bool         use_versioning;
    bool         has_rate; /* tasks per second of the whole queue; the last word of any poller holds */
    double       rate;
};
/* The poller waits, or is assigned at once (from inside). RESOURCE_EXHAUSTED past the limit of pollers. */
enum status matching_poll(struct matching *matching, const struct queue_name *name, struct poller *poller,
                          const struct poll_terms *terms, struct error *error) MUST_USE;
/* The peer went away. Safe when the poller waits nowhere. */
void matching_cancel(struct matching *matching, struct poller *poller);
/* Its time is over and it gets an empty answer: the worker is alive. Safe when it waits nowhere. */
void matching_expire(struct matching *matching, struct poller *poller);
/* Takes a waiting poller for a task that is about to become ready; NULL: none, or older tasks wait before it. For a sticky
 * queue without a recent poller this looks at the normal queue. */
struct poller *matching_reserve(struct matching *matching, const struct store_ready *task);
/* A reserved poller that got nothing: it waits on, before all others. */
void matching_unreserve(struct matching *matching, const struct queue_name *name, struct poller *poller);
/* A task without a row is kept until a poller takes it or its owner has long given it up; what is lost is its owner's to make
 * again. */
void matching_offer(struct matching *matching, const struct store_ready *task);
/* What was handed out last turned out to be no task: the queue's limit gets its token back. */
void matching_refund(struct matching *matching, const struct queue_name *name);
/* The row with this sequence is gone. */
void matching_withdraw(struct matching *matching, store_number sequence);
/* Offers may have been lost: every queue reads its rows again. */
void matching_mark_dirty(struct matching *matching);
/* A query: to a waiting poller at once, or it waits until direct_cancel. */
enum status matching_direct(struct matching *matching, const struct queue_name *name,
                            struct direct_task *direct, struct error *error) MUST_USE;
void        matching_direct_cancel(struct direct_task *direct); /* safe when it waits nowhere */
/* Whether somebody polled this queue within the last 10 s. */
bool matching_alive(const struct matching *matching, const struct queue_name *name);
/* A worker shut down: its sticky queue counts as dead from now on, until it is polled again. */
void matching_forget_sticky(struct matching *matching, const struct queue_name *name);
/* The same when the normal queue is not known: a walk over the lane's queues. */
void matching_forget_sticky_name(struct matching *matching, int64_t namespace_number, struct bytes name);
/* Calls `each` for every waiting poller with this worker instance key; it may cancel the poller. */
void matching_each_poller(struct matching *matching, int64_t namespace_number,
                          struct bytes worker_instance_key,
                          void (*each)(void *context, struct poller *poller), void *context);

/* What is set for a queue by its operator; fairness keys that are named have this weight, whatever their tasks say. */
struct queue_weight {
    struct bytes key;
    int32_t      weight; /* in thousandths */
};
struct queue_config {
    bool                 has_rate, has_key_rate;
    double               rate, key_rate; /* tasks per second; key_rate of a key of weight 1 */
    struct queue_weight *weights;
    size_t               weight_count;
};
void matching_configure(struct matching *matching, const struct queue_name *name,
                        const struct queue_config *config);
/* The answer could not be had: the queue asks again when it is swept. */
void matching_configure_failed(struct matching *matching, const struct queue_name *name);

struct poller_record {
    struct bytes identity, build_id, deployment_name; /* borrowed until the next turn */
    int32_t      versioning_mode;
    bool         use_versioning;
    double       rate;
    int64_t      last_access; /* wall ns */
};
enum rate_source { RATE_OF_SYSTEM, RATE_OF_API, RATE_OF_WORKER };
struct queue_description {
    bool                 known;
    struct poller_record pollers[MATCHING_HISTORY_MAX];
    size_t               poller_count;
    double               rate; /* tasks per second that may go */
    enum rate_source     rate_source;
    bool                 limited;                                             /* by it, right now */
    double add_rate[MATCHING_PRIORITIES], dispatch_rate[MATCHING_PRIORITIES]; /* lately, by priority */
};
void matching_describe(const struct matching *matching, const struct queue_name *name,
                       struct queue_description *ret_description);
/* Roughly how many tasks wait in memory behind what this poller's queue handed out. */
size_t matching_backlog(const struct matching *matching, const struct queue_name *name);

/* What to tell a worker whose poll began waiting at `since` and now has a task: 1: poll more, -1: less, 0: nothing. */
int matching_scaling(struct matching *matching, const struct queue_name *name, int64_t since);

void    matching_turn(struct matching *matching); /* refills, sweeps; called once per lane turn */
int64_t matching_next_due(const struct matching *matching);

/* Of one normal queue: what waits in memory, also for its sticky queues that are dead. */
struct matching_backlog {
    struct queue_name name; /* borrowed */
    size_t            count, pollers;
    int64_t           oldest_created; /* wall ns; 0: nothing waits */
    bool              more;           /* on disk, besides */
};
void matching_each_backlog(const struct matching *matching,
                           void (*each)(void *context, const struct matching_backlog *backlog),
                           void *context);

struct matching_statistics {
    size_t   queues, pollers, items;
    uint64_t offers, matches, reservations, refills, swept;
};
void matching_statistics(const struct matching *matching, struct matching_statistics *ret_statistics);
#endif
