/* matching.h: task queues of one lane: waiting pollers on one side, ready tasks on the other.
 *
 * A family is (namespace, normal queue name): its workflow, activity and Nexus pollers, and its sticky queues with it. It
 * lives on runtime_queue_lane. Queues only read ready rows; the owner of an execution inserts and deletes them.
 *
 * Never lost: an offer is a hint; a queue with waiting pollers re-reads its index when it was marked dirty and every 10 s.
 * Knows nothing of the engine: a match is handed to the poller's `assign`, which asks the owner to start the task and polls
 * again when it was stale.
 *
 * Thread: the lane's. Limits: pollers per queue and per lane, window keys per queue, direct tasks (queries) per queue.
 */
#ifndef MATCHING_MATCHING_H
#define MATCHING_MATCHING_H
#include "shard/lane.h"
#include "shard/window.h"

struct matching;
struct matching_queue;
struct direct_task;

/* A poll that waits. Embedded in the poll's handler; must be removed before it dies. */
struct poller {
    struct list            link;
    struct matching_queue *queue; /* NULL while it waits nowhere */
    int64_t                since; /* wall ns */
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

struct matching *matching_new(struct lane *lane, size_t window_size);
void             matching_free(struct matching *matching);

struct queue_name {
    int64_t              namespace_number;
    struct bytes         name;   /* the queue's own */
    struct bytes         normal; /* of a sticky queue; else empty */
    enum store_task_kind kind;
};
/* The poller waits, or is assigned at once (from inside). RESOURCE_EXHAUSTED past the limit of pollers. */
enum status matching_poll(struct matching *matching, const struct queue_name *name, struct poller *poller,
                          struct error *error) MUST_USE;
void        matching_cancel(struct poller *poller); /* safe when it waits nowhere */
/* Takes a waiting poller for a task that is about to become ready; NULL: none, or older tasks wait before it. For a sticky
 * queue without a recent poller this looks at the normal queue. */
struct poller *matching_reserve(struct matching *matching, const struct store_ready *task);
void           matching_offer(struct matching *matching, const struct store_ready *task);
void           matching_withdraw(struct matching *matching, const struct store_ready *task_key_only);
/* A query: to a waiting poller at once, or it waits until direct_cancel. */
enum status matching_direct(struct matching *matching, const struct queue_name *name, struct direct_task *direct,
                            struct error *error) MUST_USE;
void        matching_direct_cancel(struct direct_task *direct);
/* Whether somebody polled this queue within the last 10 s. */
bool        matching_alive(const struct matching *matching, const struct queue_name *name);
/* A worker shut down: its sticky queue counts as dead from now on. */
void        matching_forget_sticky(struct matching *matching, const struct queue_name *name);
void        matching_turn(struct matching *matching); /* refills, sweeps; called once per lane turn */
int64_t     matching_next_due(const struct matching *matching);
#endif
