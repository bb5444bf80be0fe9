/* lane.h: the runtime of entities: lanes, shards, mailboxes, cache, output commit, wake-ups.
 *
 * A lane is plain single-threaded code driven by its host: the server's event loop, or a simulation. The host calls
 * lane_turn when the mailbox woke it, when sockets brought something, and when lane_next_due has come. All lanes share
 * one store and nothing else; they talk by mailboxes.
 *
 * Output commit: an entity remembers the last batch that wrote it. A request's `done` is called only when that batch is
 * durable, at once if it is. No handler can do otherwise: decide has no other way out.
 *
 * Survives a crash: nothing here. A lane reloads from the store what it is asked for.
 * Limits: the cache by bytes (options.memory_limit over all lanes), requests that wait for loads, batches in flight.
 */
#ifndef SHARD_LANE_H
#define SHARD_LANE_H
#include "base/clock.h"
#include "shard/entity.h"
#include "shard/number.h"
#include "shard/rows.h"

struct runtime;

/* What the layers above do at the points where execution and matching meet. All on the lane's thread. */
struct lane_hooks {
    /* A task is about to become ready: a waiting poller of its queue on this lane, as a request that starts the task
     * (addressed and filled with it), or NULL. The runtime decides it on the same entity in the same batch. If decide
     * refuses it, done is called with the error, and the poller waits on. */
    struct request *(*reserve)(void *context, struct lane *lane, const struct store_ready *task);
    /* Rows that are durable now: offer them (a hint; a lost one is found by the next page). */
    void (*offer)(void *context, struct lane *lane, const struct store_ready *task);
    /* A row went in a batch that is durable now: forget its key. */
    void (*withdraw)(void *context, struct lane *lane, store_number sequence);
    /* Durable history of a run grew, or it closed: wakes long polls. last_event_id is the durable end. */
    void (*released)(void *context, struct lane *lane, store_number run, int64_t last_event_id, bool open);
    /* A decision's news about a run, when it is true for good. */
    void (*noticed)(void *context, struct lane *lane, store_number run, const struct news *news);
    /* The lane dropped this run's shard, or everything: answer its waiters UNAVAILABLE. */
    void (*forgotten)(void *context, struct lane *lane);
};

struct runtime_options {
    struct store *store;
    struct clock  clock;
    uint32_t      lane_count;
    size_t        memory_limit;   /* bytes of cached entities, all lanes together */
    uint64_t      seed;           /* 0: from the system */
    size_t        window_size;    /* keys per window (wake-ups, ready tasks); the simulator uses 2 */
    size_t        second_after;   /* transitions with which a second batch follows the one in flight; 0: 16 */
    size_t        snapshot_after; /* bytes of rows after which an open run gets a snapshot; 0: 16 KiB */
    const struct limits       *limits;
    const struct entity_kind **kinds;
    size_t                     kind_count;
    bool              know_ids; /* keep a filter of all ids: starts of new ones need no read, see known.h */
    struct lane_hooks hooks;
    void             *hooks_context;
    /* runtime_new waits for the store by calling this until the answer came; NULL: it sleeps. For stores without threads. */
    void (*wait)(void *context);
    void *wait_context;
    /* Failed flush: nothing may be acknowledged any more. The server exits; a simulation restarts. */
    void (*fatal)(void *context, const struct error *error);
    void *fatal_context;
};
/* Loads namespaces; blocking is allowed here only. */
enum status runtime_new(const struct runtime_options *options, struct runtime **ret_runtime,
                        struct error *error) MUST_USE;
void        runtime_free(struct runtime *runtime); /* every lane idle and no request outstanding */
/* With every lane's thread ended: turns the lanes on the calling thread until all are idle, or one is dead. */
void runtime_settle(struct runtime *runtime);
/* For simulations, after the store forgot what was pending: frees everything as a crash would. Requests that were submitted
 * are their owner's again, unanswered. */
void          runtime_abandon(struct runtime *runtime);
struct lane  *runtime_lane(struct runtime *runtime, uint32_t index);
uint32_t      runtime_lane_count(const struct runtime *runtime);
struct store *runtime_store(struct runtime *runtime);
/* The lane that owns (namespace, business id), and the one of a task queue family (namespace, normal queue name). */
struct lane *runtime_owner(struct runtime *runtime, int64_t namespace_number, struct bytes business_id);
struct lane *runtime_queue_lane(struct runtime *runtime, int64_t namespace_number, struct bytes normal_queue);

/* Who wakes this lane's host; set before the first post. `wake` is called on any thread. */
void lane_set_host(struct lane *lane, void (*wake)(void *context), void *context);
/* The host's, before it hands in work outside of a turn (a call that a socket brought): the lane may have slept for long, and
 * deadlines count from now. */
void lane_tell_time(struct lane *lane);
/* One turn: mailbox, due wake-ups, requests, then seal what is ready. Bounded. */
void lane_turn(struct lane *lane);
/* When lane_turn wants to be called next without a wake: wall ns, TIME_NEVER, or <= now: at once. */
int64_t         lane_next_due(const struct lane *lane);
uint32_t        lane_index(const struct lane *lane);
struct runtime *lane_runtime(const struct lane *lane);
struct mailbox *lane_mailbox(struct lane *lane);
int64_t         lane_now(const struct lane *lane); /* wall ns, of this turn; never goes back */
int64_t         lane_monotonic(const struct lane *lane);
/* Right now, not of the turn: for measuring. */
int64_t lane_clock_monotonic(const struct lane *lane);
void   *lane_user(const struct lane *lane); /* the api's per-lane object */
void    lane_set_user(struct lane *lane, void *user);
/* For a clock that skips: how many tasks workers have, or are to get; INT64_MAX: more than that is under way. Looks at all that
 * is in memory. */
int64_t lane_time_holders(const struct lane *lane);
/* When the next of its entities wakes up, by lane_now; TIME_NEVER: none does. */
int64_t lane_next_wakeup(const struct lane *lane);
/* Draining: starts and signals are refused UNAVAILABLE, the rest is finished. */
void lane_drain(struct lane *lane);
bool lane_idle(const struct lane *lane);
/* The disk is full: requests that bring new work are refused and timers wait. Pollers had better wait too. */
bool lane_read_only(const struct lane *lane);
/* Posts `message` to this lane once every batch that was sealed until now is durable: before a window reads its rows. */
void lane_after_sealed(struct lane *lane, struct message *message);

/* Hands a request to whoever owns its entity, from any lane's thread (`from` is the caller's own lane and becomes home).
 * done comes later, never from inside lane_submit. */
void lane_submit(struct lane *from, struct request *request);
/* Runs `message` on the lane's thread. */
static inline void lane_post(struct lane *lane, struct message *message)
{
    mailbox_post(lane_mailbox(lane), message);
}

/* --- namespaces, from env: valid until the lane's next turn --- */
const struct namespace_config *lane_namespace_by_name(struct lane *lane, struct bytes name);
const struct namespace_config *lane_namespace_by_id(struct lane *lane, struct bytes id_text);
const struct namespace_config *lane_namespace_by_number(struct lane *lane, int64_t number);
/* All, in order of name; for ListNamespaces. */
size_t lane_namespaces(struct lane *lane, const struct namespace_config **ret_first);

/* --- history: pages made of the memory tail and stored rows, bounded by what is durable --- */
struct history_read {
    struct list    link;
    struct message message;
    struct lane   *home;
    struct arena  *arena;
    /* which run, as a decision named it */
    int64_t                       namespace_number;
    struct bytes                  business_id;
    store_number                  branch;
    const struct history_segment *prefix; /* what comes before the branch; in the arena */
    size_t                        prefix_count;
    int64_t                       first, last; /* event ids, inclusive */
    bool                          backward;    /* newest first, starting at last */
    size_t count_limit, size_limit; /* a page ends with the commit batch that reaches one of them */
    /* answer */
    struct error  error;
    struct bytes *events; /* encoded HistoryEvents, in the order asked for */
    size_t        event_count;
    int64_t       next; /* the event id to go on with; 0: the range is done */
    void (*done)(struct history_read *read);
};
void lane_read_history(struct lane *from, struct history_read *read);

struct lane_statistics {
    uint64_t requests, transitions, batches, seconds /* batches that followed one in flight */, loads,
        evictions, wakeups;
    size_t entities, entity_bytes, windows, windows_bytes, known_bytes;
};
void lane_statistics(const struct lane *lane, struct lane_statistics *ret_statistics);
/* How long the oldest batch on its way to the disk has waited for its answer; 0: none is. On the lane's thread. */
int64_t lane_commit_age(const struct lane *lane);
/* Hands what the lane counts for itself to the metrics; on its thread. */
void lane_publish_metrics(const struct lane *lane);
#endif
