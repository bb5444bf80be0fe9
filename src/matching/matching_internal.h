/* matching_internal.h: families, queues, streams and items, shared by the files of this directory only.
 *
 * A queue's tasks of one (priority, fairness key) are a stream: a window over their rows, in the order they came. Streams of
 * the lowest priority go first, and among them the one that has had the least for its weight (stream.c). Which streams there
 * are on disk is found by reading the first row of each (refill.c); a queue without fairness keys has one stream for each
 * priority in use.
 */
#ifndef MATCHING_MATCHING_INTERNAL_H
#define MATCHING_MATCHING_INTERNAL_H
#include "base/heap.h"
#include "base/table.h"
#include "matching/matching.h"

/* What a turn does at most, each: reads that are begun, queues whose time has come. */
#define MATCHING_TURN_MAX 64

#define STREAMS_MAX        512  /* per queue; others on disk wait until one is empty, or for the next sweep */
#define STREAM_WINDOW_SIZE 64   /* of a stream with a fairness key; others have the queue's */
#define STREAM_REFILLS_MAX 4    /* per queue at a time */
#define WEIGHT_DEFAULT     1000 /* in thousandths */
#define WEIGHT_MAX         1000000

struct recent_poller {
    struct bytes text; /* owned: identity, build id, deployment name behind each other */
    struct bytes identity, build_id, deployment_name;
    int32_t      versioning_mode;
    bool         use_versioning, has_rate;
    double       rate;
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

/* A token bucket that holds a second's worth of tokens, and one at least. */
struct bucket {
    int64_t next; /* when the last of the tokens that were taken is earned, wall ns */
};
/* When the next token may be taken: <= now, or later; TIME_NEVER for a rate of 0. */
int64_t bucket_ready(const struct bucket *bucket, double rate);
void    bucket_take(struct bucket *bucket, double rate, int64_t now);
void    bucket_return(struct bucket *bucket, double rate);

/* How many tasks came and went lately, in slots of 5 s. */
#define RATE_SLOTS     7
#define RATE_SLOT_NS   (5 * NS_PER_S)
#define RATE_WINDOW_NS (30 * NS_PER_S)
struct rates {
    int64_t  begun, slot; /* wall ns; the number of the newest slot */
    uint32_t added[MATCHING_PRIORITIES][RATE_SLOTS], dispatched[MATCHING_PRIORITIES][RATE_SLOTS];
};

struct matching_stream {
    struct list            siblings; /* matching_queue.streams */
    struct heap_link       turn;     /* matching_queue.turns, while there are items: by (priority, pass) */
    struct matching_queue *queue;
    int32_t                priority, weight;
    int32_t                task_weight; /* as the last task said */
    struct bytes           key;         /* owned */
    bool                   failed;      /* to read its rows, the last time */
    int64_t                pass;        /* what it has had, divided by its weight */
    struct bucket          bucket;
    struct window          window;
    struct message         sealed; /* a refill reads after all that was decided before it is durable */
    struct store_read      read;   /* while window.refilling */
    struct arena           arena;
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
    struct list             pollers, directs;
    struct list             fleeting; /* tasks without a row, in order of arrival */
    size_t                  poller_count, direct_count, fleeting_count;
    int64_t                 last_poll, last_used, swept; /* wall ns */
    struct recent_poller   *recent;
    uint32_t                recent_count, recent_capacity;
    /* tasks */
    struct list streams;
    struct heap turns;
    size_t      stream_count, item_count, refills;
    int64_t     passes[MATCHING_PRIORITIES]; /* of the stream that was served last, by priority */
    bool        heads_wanted;                /* there may be streams on disk that are not here */
    bool        scanning;                    /* for them */
    bool        scan_whole;                  /* and from the first */
    bool        sweeping;                    /* by a sweep of a queue that was caught up */
    bool    swept_scan; /* by a sweep of any: what is found is read again, and may take the place of others */
    int32_t scan_priority;      /* where the next scan goes on */
    struct bytes      scan_key; /* owned */
    struct message    sealed;
    struct store_read read; /* while scanning */
    struct arena      arena;
    /* limits */
    struct rates        *rates; /* NULL before the first task */
    struct bucket        bucket;
    bool                 has_worker_rate;
    double               worker_rate;
    int64_t              resume; /* wall ns: when a limit lets the next task through; 0: none waits for it */
    int64_t              scaling_next; /* no hint to add pollers before it */
    struct queue_config *config;       /* owned; NULL: none */
    bool                 config_asked, config_known;
};
/* One ready row in memory. The slices of `task` point behind the struct. */
struct matching_item {
    struct window_link      window;
    struct table_link       by_sequence;
    struct matching_stream *stream;
    struct store_ready      task;
};
/* A task that is in memory only. The slices of `task` point behind the struct. */
struct fleeting_task {
    struct list        link;
    int64_t            expires; /* wall ns; its owner has given it up by then */
    struct store_ready task;
};
struct matching {
    struct lane  *lane;
    struct store *store;
    void (*ask)(void *context, const struct queue_name *name);
    void        *ask_context;
    size_t       window_size, streams_max;
    struct table families, queues;
    struct table items; /* by sequence, over all queues */
    struct heap  dues;
    struct list  work; /* queues to look at in the next turn */
    size_t       poller_count, reads;
    bool         draining;
    uint64_t     offers, matches, reservations, refills, swept;
};

/* --- matching.c --- */
struct bytes           bytes_own(struct bytes slice);
void                   bytes_disown(struct bytes *slice);
struct matching_queue *matching_queue_find(const struct matching *matching, const struct queue_name *name);
/* --- fleeting.c: tasks that no row stands behind --- */
void fleeting_offer(struct matching *matching, const struct queue_name *name, const struct store_ready *task);
/* Gives the oldest to the poller; false: there is none. */
bool fleeting_assign(struct matching_queue *queue, struct poller *poller);
void fleeting_drop_all(struct matching_queue *queue);

/* --- matching.c --- */
/* NULL when the lane holds as many queues as it may. */
struct matching_queue *queue_get(struct matching *matching, const struct queue_name *name);
void                   poller_leave(struct poller *poller);
int64_t                queue_now(const struct matching_queue *queue);
bool                   queue_dead(const struct matching_queue *queue);
/* Hands tasks to waiting pollers while there are both. */
void queue_match(struct matching_queue *queue);
/* Asks for what is set for the queue, unless that is known or under way. */
void queue_ask_config(struct matching_queue *queue);
/* The next turn looks at the queue. */
void queue_work(struct matching_queue *queue);
/* Makes sure that the queue's time comes no later than its state asks for. */
void queue_schedule(struct matching_queue *queue);
void queue_free(struct matching_queue *queue);
/* Whether the queue is in the list of its family's sticky queues with tasks, as it should be. */
void queue_restock(struct matching_queue *queue);

/* --- stream.c --- */
struct matching_stream *stream_find(const struct matching_queue *queue, int32_t priority, struct bytes key);
/* A new one, of which memory holds nothing yet. */
struct matching_stream *stream_new(struct matching_queue *queue, int32_t priority, struct bytes key,
                                   int32_t weight);
void                    stream_free(struct matching_stream *stream);
/* The queue holds as many as it may: the one that matters least, which gives way for a task of this priority; NULL: none. */
struct matching_stream *stream_victim(const struct matching_queue *queue, int32_t priority, bool rotates);
/* After its window changed: joins or leaves the turns; a stream with a key that has nothing any more is freed. */
void stream_settle(struct matching_stream *stream);
/* Nothing in memory, nothing on disk. */
bool stream_is_idle(const struct matching_stream *stream);
int  queue_weight_order(const void *a, const void *b); /* as a configuration holds them */
void stream_set_weight(struct matching_stream *stream, int32_t weight);
/* The stream to take the next task from. NULL: none, or limits let none through; then *ret_resume (unless it is earlier) is
 * when the first of them does. */
struct matching_stream *stream_next(struct matching_queue *queue, int64_t now, int64_t *ret_resume);
/* A task was taken from it, or past it, by a poller. */
void                                stream_charge(struct matching_stream *stream, int64_t now);
bool                                queue_has_more(const struct matching_queue *queue); /* on disk, perhaps */
struct matching_item               *item_new(struct matching_stream *stream, const struct store_ready *task);
void                                item_free(struct window_link *link);
struct window_key                   item_key(const struct store_ready *task);
static inline struct matching_item *stream_first(const struct matching_stream *stream)
{
    struct window_link *link = window_first(&stream->window);
    return link == NULL ? NULL : CONTAINER_OF(link, struct matching_item, window);
}
static inline size_t priority_slot(int32_t priority)
{
    return priority < 0 ? 0 : MIN((size_t)priority, (size_t)MATCHING_PRIORITIES - 1);
}

/* --- rates.c --- */
extern const double queue_rate_default;
double              queue_rate(const struct matching_queue *queue, enum rate_source *ret_source);
/* Whether the queue's limit lets a task through now; else *ret_resume is lowered to when it does. */
bool queue_rate_ready(const struct matching_queue *queue, int64_t now, int64_t *ret_resume);
void queue_rate_take(struct matching_queue *queue, int64_t now);
void rates_add(struct matching_queue *queue, int32_t priority, bool dispatched);
void rates_describe(const struct matching_queue *queue, struct queue_description *description);

/* --- refill.c --- */
/* Begins the reads that the queue's state asks for, within limits. */
void queue_read(struct matching_queue *queue);
bool queue_wants_read(const struct matching_queue *queue);
/* Everything in memory may be stale. */
void queue_mark_dirty(struct matching_queue *queue);
#endif
