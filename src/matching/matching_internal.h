/* matching_internal.h: families, queues and items, shared by the files of this directory only. */
#ifndef MATCHING_MATCHING_INTERNAL_H
#define MATCHING_MATCHING_INTERNAL_H
#include "base/heap.h"
#include "base/table.h"
#include "matching/matching.h"

/* What a turn does at most, each: reads that are begun, queues whose time has come. */
#define MATCHING_TURN_MAX 64

struct recent_poller {
    struct bytes identity; /* owned */
    int64_t      last_access;
};
struct matching_family {
    struct table_link table;
    int64_t           namespace_number;
    struct bytes      normal; /* owned */
    struct list       queues; /* matching_queue.siblings */
    struct list stocked; /* sticky queues with items, in memory or perhaps on disk; matching_queue.stock */
    struct matching_queue *workflow; /* the normal workflow queue, when it is known */
};
struct matching_queue {
    struct table_link       table;
    struct list             siblings, stock, work;
    struct heap_link        due;
    struct matching        *matching;
    struct matching_family *family;
    struct bytes            name; /* owned */
    enum store_task_kind    kind;
    bool                    sticky, forgotten;
    bool                    sweeping; /* the refill under way is a sweep of a queue that was caught up */
    struct list             pollers, directs;
    size_t                  poller_count, direct_count;
    struct window           window;
    int64_t                 last_poll, last_used, swept; /* wall ns */
    struct recent_poller    recent[MATCHING_HISTORY_MAX];
    size_t                  recent_count;
    uint64_t                offered, dispatched;
    struct message          sealed; /* a refill reads after all that was decided before it is durable */
    struct store_read       read;   /* one at a time: while window.refilling */
    struct arena            read_arena;
};
/* One ready row in memory. The slices of `task` point behind the struct. */
struct matching_item {
    struct window_link     window;
    struct table_link      by_sequence;
    struct matching_queue *queue;
    struct store_ready     task;
};
struct matching {
    struct lane  *lane;
    struct store *store;
    size_t        window_size;
    struct table  families, queues;
    struct table  items; /* by sequence, over all queues */
    struct heap   dues;
    struct list   work; /* queues to look at in the next turn */
    size_t        poller_count, reads;
    bool          draining;
    uint64_t      offers, matches, reservations, refills, swept;
};

int64_t queue_now(const struct matching_queue *queue);
bool    queue_dead(const struct matching_queue *queue);
/* Hands tasks to waiting pollers while there are both. */
void queue_match(struct matching_queue *queue);
/* The next turn looks at the queue. */
void queue_work(struct matching_queue *queue);
/* Makes sure that the queue's time comes no later than its state asks for. */
void                  queue_schedule(struct matching_queue *queue);
void                  queue_free(struct matching_queue *queue);
struct matching_item *item_new(struct matching_queue *queue, const struct store_ready *task);
void                  item_free(struct window_link *link);
struct window_key     item_key(const struct store_ready *task);
/* Whether the queue is in the list of its family's sticky queues with tasks, as it should be. */
void queue_restock(struct matching_queue *queue);
#endif
