/* shard_internal.h: what the files of the runtime share.
 *
 *   lane.c          turns, the run queue, requests between lanes
 *   decide.c        one request on one entity: ask, apply, join the open batch
 *   commit.c        the open batch, the one in flight, its outcome, the release of what rests on it
 *   entity_cache.c  chains and entities in memory, eviction, forgetting
 *   load.c          cold loads and cold events
 *   known.c         ids that may have a run
 *   wakeup.c        due times
 *   history_read.c  pages of history
 *   namespaces.c    the singleton, and the snapshot of its rows that every lane holds
 *   link.c          messages between entities
 *   fork.c          runs that begin as the beginning of another one
 *   deletion.c      runs that go, and their rows after them
 *   rows.c          what rows mean: keys, message bodies, the fold
 *
 * While a batch is in flight the next one fills, and that is the group commit. Under load a second one follows, if it rests
 * on nothing of the first, which may yet be refused or have to be sent again; see docs/design/004-output-commit.md.
 */
#ifndef SHARD_INTERNAL_H
#define SHARD_INTERNAL_H
#include <stdatomic.h>

#include "base/heap.h"
#include "base/table.h"
#include "shard/known.h"
#include "shard/lane.h"
#include "shard/window.h"

#define TURN_REQUESTS_MAX 512
#define TURN_WAKEUPS_MAX  64
#define TURN_EVICT_MAX    64
/* Reads of one lane that are in the store at once; further ones wait in the lane. */
#define LOADS_MAX 64
/* Requests of one lane that wait for loads. */
#define LOAD_WAITERS_MAX 10000
#define LOAD_PAGE_SIZE   (256U << 10)
/* How often decide may answer NEED to one request. */
#define NEED_ROUNDS_MAX 8
#define COLD_SIZE_MAX   (16U << 20)
/* A batch is sealed at once when fewer than this many others could join it, else at the first of the next three. */
#define SEAL_OUTSTANDING 4
#define SEAL_TRANSITIONS 8
#define SEAL_SIZE        (64U << 10)
#define SEAL_NS          (500 * NS_PER_US)
/* Rows of answered messages go with the next batch that has something else to write, or after this long. */
#define ACKNOWLEDGE_NS (100 * NS_PER_MS)
/* A second batch follows the one in flight when it carries as much as this. */
#define SECOND_TRANSITIONS 16
/* A workflow that did something this recently, and is open, is about to do something again. */
#define ACTIVE_NS (10 * NS_PER_MS)
/* While a batch syncs the open one takes no more requests past these. */
#define OPEN_SIZE_MAX        (2U << 20)
#define OPEN_TRANSITIONS_MAX 4096
#define SNAPSHOT_AFTER       (16U << 10) /* bytes of rows; runs that close before need none */
#define TAIL_SIZE_MAX        (32U << 10)
#define WINDOW_SIZE_DEFAULT  2048
#define CLOCK_PERIOD_NS      NS_PER_S
#define QUARANTINE_NS        (60 * NS_PER_S)
#define QUARANTINED_MAX      10000
#define ABORT_BACKOFF_NS     NS_PER_MS
#define ABORT_BACKOFF_MAX_NS (100 * NS_PER_MS)
#define RETRY_NS             NS_PER_S

/* Events of one row, as stored; kept while they are likely to be read again, and at least until they are durable. */
struct tail_row {
    struct list link;
    int64_t     first_event_id;
    size_t      event_count, size;
    uint8_t     data[];
};

/* All runs of one business id on this lane, and the requests that wait for them. */
struct chain {
    struct table_link   by_key;
    enum entity_kind_id kind;
    int64_t             namespace_number;
    struct bytes        business_id;
    struct list         entities; /* resident runs */
    struct entity      *current;
    bool                current_known; /* current says what the store says, also when it says none */
    bool        has_old_runs; /* with current NULL and known: there are runs, and none is the current one */
    struct list loads;
    uint64_t    incarnation; /* grows when its runs are forgotten */
    int64_t     last_batch;  /* the last one that wrote any of the runs */
    int64_t
        deleted_batch; /* the last one that deleted one: until it is durable the store is not to be asked */
    unsigned    pins;  /* loads under way, messages received in batches that are not durable */
    uint32_t    group; /* in the batch group_batch */
    int64_t     group_batch, joined_batch;
    struct list active; /* in lane->active */
    int64_t     active_at;
    struct list quarantined; /* in lane->quarantined */
    int64_t     quarantined_until;
};

struct entity {
    struct table_link         by_number;
    struct list               in_chain, lru;
    struct lane              *lane;
    struct chain             *chain;
    const struct entity_kind *kind;
    void                     *state;
    store_number              number;
    struct uuid               run_id;
    int64_t                   row_number; /* of the last transition row, decided or stored */
    int64_t                   next_event_id;
    int64_t                   durable_event_id;         /* the last one that is durable */
    int64_t                   version, durable_version; /* transitions applied, and durable, since the load */
    struct change            *open, *flight;
    struct list               tail;
    size_t                    tail_size, size;
    size_t                    unsnapped; /* bytes of rows since the last snapshot */
    size_t                    snapshot_size;
    /* The row in the store, after all that is decided: TIME_NEVER: none. When `guessed`, it is at most this. */
    int64_t          wakeup;
    int64_t          wakeup_durable; /* the key in the window; TIME_NEVER: none known */
    bool             wakeup_guessed, wakeup_fired;
    struct heap_link volatile_due; /* in lane->volatile_dues */
    bool             published;    /* in the tables; before that a load's own */
    bool             deleted;      /* gone with the batch that its change is in; requests do not find it */
};

/* What an open batch will write for one entity. */
struct ready_change {
    struct ready_change *next;
    struct store_ready  *row; /* NULL: delete */
    store_number         sequence;
};
struct message_change {
    struct message_change *next;
    struct entity_message  message;
    struct store_outbox    row; /* once it is sealed */
};
struct entity_change {
    struct entity_change *next;
    struct store_entity   row;
};
enum wakeup_change { WAKEUP_KEEP, WAKEUP_SET, WAKEUP_CLEAR };
struct change {
    struct list            link;
    struct entity         *entity;
    struct batch          *batch;
    bool                   created, deletes, erases; /* erases: also all of its transitions */
    int64_t                row_number;               /* 0: no transition row */
    int64_t                first_event_id;
    size_t                 event_count;
    struct buffer          events, deltas;
    struct store_run      *run;
    struct ready_change   *ready, **ready_end;
    struct entity_change  *entities, **entities_end;
    struct message_change *messages, **messages_end;
    enum wakeup_change     wakeup;
    int64_t                due;
    int64_t                version; /* of the entity, when it was sealed */
    int64_t                next_event_id;
    bool                   open;
};

struct stray_wakeup {
    struct stray_wakeup *next;
    store_number         entity;
};
/* What sealing made of an open batch: what the lane has in memory beyond the disk, and who waits for it. */
struct batch {
    struct store_batch        store;
    struct arena              arena; /* small things of the changes, until release */
    struct lane              *lane;
    int64_t                   id;
    struct list               changes, outputs;
    struct stray_wakeup      *strays;
    struct link_acknowledged *acknowledged; /* outbox rows that go */
    struct link_received     *received;     /* links that took a message */
    struct erasure           *erasures;     /* rows of runs that are gone */
    size_t                    transitions, chains, size;
    int64_t                   opened_at, sealed_at; /* monotonic */
    unsigned                  full_count, abort_count;
    bool                      namespaces_changed;
    bool                      answered;   /* by the store; worked on when the batches before it are done */
    int64_t                   depends_on; /* the newest batch that it rests on */
    store_number              reserved;   /* numbers that its clock row reserves; 0: it has none */
    struct message           *after;      /* posted when it is done */
    struct buffer             scratch;
};

/* Rows of namespaces as they are durable, and what decisions see of them. Shared by the lanes; never changed. */
struct namespace_set {
    atomic_uint               references;
    struct arena              arena;
    struct namespace_config  *by_name;
    struct namespace_config **by_id, **by_number;
    size_t                    count;
    uint64_t                  generation;
};

struct wakeup_item {
    struct window_link  link;
    int64_t             due;
    store_number        entity;
    enum entity_kind_id kind;
    int64_t             namespace_number;
    struct bytes        business_id; /* behind the structure */
};

struct lane {
    struct runtime      *runtime;
    uint32_t             index;
    struct mailbox       mailbox;
    void                *user;
    int64_t              now, wall, monotonic;
    struct random        random;
    struct number_source numbers;
    bool                 draining, dead, read_only, settling, probing;
    bool                 lost; /* the batch in flight: forgotten when the one after it is answered */
    struct list          queue, finished;
    size_t               waiting; /* requests in loads */
    /* cache */
    struct table by_key, by_number;
    struct list  lru, active, quarantined;
    size_t       active_count, quarantined_count, entity_bytes;
    uint64_t
        forgets; /* chains forgotten: what was pinned of undurable events before may never have happened */
    /* commit */
    struct batch  batches[3];
    struct batch *open;
    struct batch *flight, *second; /* on their way, in order; NULL: none */
    int64_t       next_batch, durable_batch;
    int64_t       resubmit_at, probe_at, clock_written;
    store_number numbers_reserved, numbers_durable; /* on disk: no process after this one gives these again */
    struct list  changes_free;
    struct list  publications; /* of namespaces, that not all lanes have yet */
    /* loads */
    struct list        loads, scans, forks, colds_queued, reads_finished;
    struct deletion   *deletion;    /* NULL: no rows of deleted runs are left, as far as is known */
    int64_t            deletion_at; /* monotonic: when to look for such rows */
    size_t             colds_running;
    struct known       known;
    struct known_fill *known_fill;     /* NULL: done, or never */
    bool               known_complete; /* what is not in `known` is surely new */
    /* wake-ups */
    struct window       wakeups;
    struct wakeup_read *wakeup_read;     /* others are abandoned, and still awaited */
    int64_t             wakeup_retry_at; /* a refill failed: not again before this */
    int64_t due_retry_at; /* wake-ups that were taken, and whose rows are still there, are looked for again */
    struct list   wakeup_reads, due_free, due_all;
    size_t        due_running;
    struct heap   volatile_dues; /* of entities, by what only memory knows */
    struct list   tellings;      /* news on their way out; see decide.c */
    struct links *links;
    /* namespaces */
    struct namespace_set  *namespaces;
    struct entity         *singleton; /* on lane 0 */
    struct lane_statistics statistics;
};

struct runtime {
    struct runtime_options    options;
    struct limits             limits;
    const struct entity_kind *kinds[8];
    size_t                    kind_count;
    uint32_t                  lane_count;
    struct lane             **lanes;
    struct namespace_rows    *namespace_rows; /* lane 0's */
};

/* --- lane.c --- */
void request_prepare(struct lane *home, struct request *request);
/* The request is processed again once this batch is done with. */
void request_wait_for_batch(struct lane *lane, struct request *request, int64_t batch);
void lane_enqueue(struct lane *lane, struct request *request);
/* The answer is there and what it rests on is durable: to its home. */
void lane_finish(struct lane *lane, struct request *request);
void lane_fail(struct lane *lane, struct request *request, enum status code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void lane_refuse_full(struct lane *lane, struct request *request);
void lane_refuse_overloaded(struct lane *lane, struct request *request);
/* Room for a request of any kind. */
size_t                    runtime_request_size(const struct runtime *runtime);
const struct entity_kind *runtime_kind(const struct runtime *runtime, enum entity_kind_id id);

/* --- decide.c --- */
void request_process(struct lane *lane, struct request *request);
/* `entity` NULL: there is none. */
void request_decide(struct lane *lane, struct chain *chain, struct entity *entity, struct request *request);
void wakeup_adjust(struct entity *entity);
void tellings_free_all(struct lane *lane);

/* --- commit.c --- */
void           commit_init(struct lane *lane);
void           commit_free(struct lane *lane);
struct change *commit_change(struct entity *entity);
/* What joins the batch was decided on the chain as it is now, which may not be durable yet. */
void    commit_rests_on(struct batch *batch, const struct chain *chain);
void    commit_output(struct lane *lane, struct request *request);
int64_t commit_next_due(const struct lane *lane);
bool    commit_open_is_full(const struct lane *lane);
bool    commit_is_empty(const struct lane *lane);
void    commit_entity_gone(struct entity *entity);
void    commit_opened(struct lane *lane);
/* Posts the message to the lane when this batch, which is not durable yet, is done with. */
void commit_after(struct lane *lane, int64_t batch, struct message *message);
/* Deletes the wake-up row of a run that does not exist. */
void commit_stray_wakeup(struct lane *lane, store_number run);
void commit_turn(struct lane *lane);

/* --- known.c --- */
void known_begin(struct lane *lane);
void known_turn(struct lane *lane);
bool known_is_reading(const struct lane *lane);
bool known_surely_new(const struct lane *lane, const struct chain *chain);
void known_forget(struct lane *lane);
void known_free(struct lane *lane);

/* --- entity_cache.c --- */
uint64_t      chain_hash(enum entity_kind_id kind, int64_t namespace_number, struct bytes business_id);
struct chain *chain_get(struct lane *lane, enum entity_kind_id kind, int64_t namespace_number,
                        struct bytes business_id);
void          chain_free_if_idle(struct lane *lane, struct chain *chain);
void          chain_touch(struct lane *lane, struct chain *chain);
/* For a while every request to it fails INTERNAL; its runs are the caller's to forget. */
void           chain_mark_quarantined(struct lane *lane, struct chain *chain, const char *reason);
void           chain_forget(struct lane *lane, struct chain *chain);
bool           chain_is_quarantined(const struct lane *lane, const struct chain *chain);
struct entity *entity_new(struct lane *lane, struct chain *chain, const struct entity_kind *kind,
                          const struct entity_identity *identity);
/* From now on requests find it, and it may be evicted. */
void entity_publish(struct entity *entity);
void entity_free(struct entity *entity);
/* Requests do not find it any more; it lives until the batch that deletes it is done with. */
void           entity_hide(struct entity *entity);
struct entity *entity_find(struct lane *lane, store_number number);
void           entity_resize(struct entity *entity);
void           entity_touch(struct entity *entity);
void           entity_trim_tail(struct entity *entity);
void           cache_turn(struct lane *lane); /* evicts what is too much, ends quarantines */
void           cache_forget_all(struct lane *lane);
void           cache_active_expire(struct lane *lane);
void           cache_free_chains(struct lane *lane);

/* --- load.c --- */
/* A turn at the store: at most LOADS_MAX of a lane at once. `start` is called now or when another has ended. */
struct cold {
    struct list link;
    void (*start)(struct cold *cold);
};
void cold_begin(struct lane *lane, struct cold *cold);
void cold_end(struct lane *lane);
/* The request waits for the run `number` of the chain (0: its current one) and is processed again then. */
void load_wait(struct lane *lane, struct chain *chain, store_number number, struct request *request);
/* Nobody waits any more; what is still in the store is dropped when it comes. */
void load_forget_all(struct lane *lane, struct list *ret_waiters);
void load_free_all(struct lane *lane);

/* --- fork.c --- */
/* The request waits for what `decision` asks of a run, and is processed again with it. False: it was answered. */
void fork_for_request(struct lane *lane, struct chain *chain, struct request *request,
                      const struct decision *decision);
/* What was read for the request; NULL: nothing, or it does not hold any more. */
const struct fork_view *fork_view(const struct chain *chain, struct request *request);
/* The state of the created run, as it begins: the fork's, under its own name. */
void fork_begin_entity(const struct fork *fork, struct entity *created);
void fork_free(struct request *request);
void fork_forget_all(struct lane *lane, struct list *ret_requests);
void fork_free_all(struct lane *lane);

/* --- deletion.c --- */
/* The rows that say which branches the new run's history begins with. */
void deletion_note_uses(struct change *change);
/* The run is gone with the open batch. */
void    deletion_join(struct entity *entity);
void    deletion_seal_change(struct change *change, uint32_t group);
void    deletion_released(struct lane *lane, struct entity *entity, bool erased);
void    deletion_seal(struct batch *batch);
void    deletion_turn(struct lane *lane);
int64_t deletion_next_due(const struct lane *lane); /* monotonic */
bool    deletion_is_idle(const struct lane *lane);
void    deletion_free(struct lane *lane);

/* --- history_read.c --- */
void tail_append(struct entity *entity, int64_t first_event_id, size_t event_count, struct bytes packed);
/* The request waits for events [from, to] of the entity, durable or not, and is processed again with them: at once (true)
 * when memory holds all of them. */
bool scan_for_request(struct entity *entity, struct request *request, int64_t from, int64_t to);
void scan_forget_all(struct lane *lane, struct list *ret_requests);
void scan_free_all(struct lane *lane);

/* --- wakeup.c --- */
void wakeup_init(struct lane *lane);
void wakeup_free(struct lane *lane);
void wakeup_fire(struct lane *lane);
/* The entity's time may have come. NULL: the run is gone, its row goes too. */
void wakeup_decide(struct lane *lane, struct chain *chain, struct entity *entity, struct request *request);
void wakeup_refill(struct lane *lane);
/* What is volatile about the entity may have become due earlier or later. */
void    wakeup_adjust_volatile(struct entity *entity);
void    wakeup_released(struct entity *entity, const struct change *change);
int64_t wakeup_next_due(const struct lane *lane);
/* Wake-ups may have been taken for what was forgotten: their rows are looked for after `wait`. */
void wakeup_look_again(struct lane *lane, int64_t wait);
void wakeup_forget_all(struct lane *lane);

/* --- link.c --- */
enum status links_load(struct runtime *runtime, struct error *error) MUST_USE;
void        links_free(struct lane *lane);
void        link_join(struct change *change, const struct transition *transition);
void        link_seal_change(struct change *change, uint32_t group);
void        link_seal(struct batch *batch);
void        link_released(struct change *change);
void        link_batch_released(struct batch *batch);
/* What was received in refused groups of the batch, or in an open batch on top of a refused chain, comes again. */
void link_batch_refused(struct batch *batch);
void link_chain_refused(struct batch *open, const struct chain *chain);
void link_batch_lost(struct batch *batch);
/* Whether this message was received before; its answer is then tied to that. */
bool link_is_received(struct lane *lane, struct request *request, int64_t *ret_batch);
/* The message was decided, whatever came of it, in the open batch. */
void         link_receive(struct lane *lane, struct request *request, struct chain *chain,
                          const struct decision *decision);
void         link_turn(struct lane *lane);
int64_t      link_next_due(const struct lane *lane);
bool         link_idle(const struct lane *lane);
struct lane *runtime_range_lane(struct runtime *runtime, int32_t range);

/* --- namespaces.c --- */
enum status namespaces_load(struct runtime *runtime, struct error *error) MUST_USE;
void        namespaces_free(struct runtime *runtime);
void        namespaces_abandon(struct lane *lane);
void        namespaces_rebuild(struct lane *lane);
/* A batch that changed namespaces is durable: every lane learns it, then its outputs go. */
void namespaces_publish(struct lane *lane, struct batch *batch);
void namespace_set_release(struct namespace_set *set);

/* Sends a read and waits for it; only while no lane runs. */
void runtime_read_blocking(struct runtime *runtime, struct store_read *read);
#endif
