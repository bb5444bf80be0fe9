/* entity.h: what the runtime asks of a kind of entity, and what passes between them. Plain data, no behaviour.
 *
 * A kind is two pure functions over plain data: decide (state, request, env) -> decision, and apply (state, record), the
 * same fold for live traffic, load and replay. No I/O, clock or randomness inside: everything comes in through env. The
 * runtime alone applies and commits a decision, and ties every request's answer to the batch it rests on.
 *
 * Thread: all of it on the lane that owns the entity's shard, but for a request's `done`, which runs on its home lane.
 */
#ifndef SHARD_ENTITY_H
#define SHARD_ENTITY_H
#include "base/arena.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/random.h"
#include "shard/limits.h"
#include "store/store.h"

struct trace;
struct lane;
struct entity;
struct chain;

enum entity_kind_id {
    ENTITY_WORKFLOW = 1,
    ENTITY_NAMESPACES = 2, /* the cluster singleton: names and settings of all namespaces; see namespaces.c */
    ENTITY_CLOCK = 3,      /* the runtime's: rows that say how far time had come, one per lane */
    ENTITY_BRANCH_USE =
        4, /* the runtime's: that a run's history begins with events of another run's branch, see deletion.c */
    ENTITY_DELETION = 5,   /* the runtime's: runs that are gone, whose history is not yet */
    ENTITY_TASK_QUEUE = 6, /* settings of a task queue, one per namespace and name */
    ENTITY_TOOLS = 7,      /* toolsets that were declared through the API; one for the cluster */
    ENTITY_SCHEDULE = 8,
    ENTITY_TEST = 100,
};

/* --- env: an immutable snapshot of what decisions may depend on besides the entity's state --- */

struct namespace_config {
    int64_t              number;
    struct bytes         id; /* UUID text */
    struct bytes         name;
    int32_t              state; /* temporal.api.enums.v1.NamespaceState */
    int64_t              retention_ns;
    struct bytes         record;  /* encoded state_Namespace: everything Describe shows */
    const struct limits *limits;  /* the server's, but for those that the record names */
    uint32_t             metrics; /* where it is counted: metric_namespace */
};

struct event_range {
    int64_t       first_event_id;
    struct bytes *events; /* encoded HistoryEvents */
    size_t        count;
};
/* A run's history: events of other runs' branches, then those of its own, whose number is the run's. */
struct history_segment {
    store_number branch;
    int64_t      last_event_id;
};
/* What a decision may ask for that makes a new run out of the beginning of an old one (NEED fork). */
struct fork_view {
    const void *state; /* of the old run as it was before the event where it is cut */
    int64_t     fork_event_id;
    bool        is_torn; /* that event is within a transition: there was no such state */
    struct bytes *
        events; /* those that `keep` wanted: from the cut on, then of the runs that were asked for after it */
    size_t       count;
    store_number last_run; /* and how far events have been looked at */
    int64_t      last_event_id;
};

struct env {
    int64_t now; /* wall ns: max(clock, last persisted time, the entity's last event time) */
    const struct namespace_config *namespace; /* NULL for kinds that live in none */
    const struct limits  *limits;             /* the namespace's */
    uint64_t              entropy[4];         /* fresh for every decide: UUIDs, jitter */
    struct number_source *numbers; /* decide may take as many as it needs; restored when it is asked again */
    struct event_range    cold;    /* the answer to NEED; count 0 at first */
    const void           *other;   /* the answer to NEED another run; NULL at first */
    const struct fork_view *fork;  /* the answer to NEED fork; NULL at first */
};
store_number env_number(struct env *env);

/* --- requests: how anybody asks an entity for something --- */

struct request {
    struct message message; /* moves the request between lanes */
    struct list    link;    /* while it waits in the runtime */
    struct lane   *home;    /* done runs there; set by lane_submit */
    struct arena  *arena;   /* inputs and results; travels with the request */
    /* whom */
    enum entity_kind_id kind;
    int64_t             namespace_number;
    struct bytes        business_id; /* workflow id */
    bool                has_run_id;  /* else: the current run, open or last closed */
    struct uuid         run_id;
    store_number
        by_number; /* 0: as above; else the run with this number, which has_run_id then does not name */
    /* what: the kind's own struct around this one */
    int command; /* ENTITY_COMMAND_DUE is the runtime's; others are the kind's */
    /* answer: error.code == ST_OK or why not; the kind's result fields are filled by decide */
    struct error error;
    /* Called once, on home's thread, when everything the answer rests on is durable. ST_UNAVAILABLE when the shard was
     * dropped meanwhile: nothing is known then but that a retry is right. */
    void (*done)(struct request *request);
    /* The runtime's; lane_submit sets them. */
    struct chain      *chain;
    store_number       number;  /* of the run that is meant; 0: by the fields above */
    int64_t            batch;   /* what the answer rests on */
    int64_t            version; /* of the entity, when it was decided */
    struct trace      *trace;   /* the caller's; NULL: it is not traced */
    uint32_t           rounds;  /* of NEED */
    struct event_range cold;
    store_number       other; /* the run that was asked for */
    struct fork       *fork;  /* under way, or done; freed with the answer */
};
#define ENTITY_COMMAND_DUE                                                                                   \
    0 /* the time that next_due named has come (or it was named too early: decide nothing) */

#define ENTITY_COMMAND_MESSAGE                                                                               \
    (-1) /* the request is a struct message_request; its error is the answer "refused" */

/* A message from one entity to another. It goes with the transition that sends it, and its effect with the link's row. To
 * one run, or to the one that is current when it arrives. */
struct entity_message {
    enum entity_kind_id kind;
    int64_t             namespace_number;
    struct bytes        business_id;
    bool                has_run_id;
    struct uuid         run_id;
    struct bytes        body;
};
struct message_request {
    struct request base;
    struct bytes   body;
};

/* --- decisions --- */

/* News for those who wait outside: told by lane_hooks.noticed once everything it rests on is durable. What the numbers and the
 * bytes mean is between the kind and who listens. */
struct news {
    struct bytes subject;
    int          what;
    struct bytes body;
};

/* One transition of one run. All pointers live in the request's arena (for DUE: in a runtime's arena given as such). */
struct transition {
    int64_t       first_event_id; /* of events; the next id to come when there are none */
    struct bytes *events;         /* encoded HistoryEvents, ids dense */
    size_t        event_count;
    struct bytes  delta; /* what events do not say; kept readable for ever */
    /* The first head_count events, if any, and head_delta are folded as a transition of their own: a fork may end there. */
    size_t       head_count;
    struct bytes head_delta;
    struct bytes
         volatile_delta; /* applied after delta, never stored: what a crash may take; empty: nothing */
    bool is_volatile;    /* there is nothing but volatile_delta (and offer) */
    /* Rows. run is complete for a created run, and for a change of status, memo, search attributes or close; else NULL. */
    struct store_run   *run;
    struct store_ready *ready; /* tasks that became ready; sequence from env_number */
    size_t              ready_count;
    store_number       *unready; /* sequences of ready rows that go: started, cancelled, timed out, moved */
    size_t              unready_count;
    struct store_ready
        *offer; /* a task that is ready and has no row (without_row): matching is told at once; or NULL */
    struct news           *news; /* about the run */
    size_t                 news_count;
    struct store_entity   *entities; /* rows of kinds that are no runs; state empty: delete */
    size_t                 entity_count;
    struct entity_message *messages; /* each is applied once by its target, over crashes of either side */
    size_t                 message_count;
};

struct entity_identity {
    int64_t      namespace_number;
    struct bytes namespace_id; /* UUID text */
    struct bytes business_id;
    store_number number;
    struct uuid  run_id;
};

/* A warn limit that a decision crossed: the runtime logs it, which comes to once a run. */
struct limit_notice {
    const char *limit; /* static */
    int64_t     value;
};
#define LIMIT_NOTICES_MAX 4
/* What decide says. Both transitions commit together. Errors to the caller go into request->error, also beside a
 * transition (a bad completion fails the task and the caller). Nothing changes when neither transition is set. */
struct decision {
    bool              changes; /* self is set */
    struct transition self;
    bool              creates; /* a new run of the same business id (start, continue-as-new, retry, cron) */
    struct entity_identity created_identity;
    struct transition      created;
    /* Answers to a message that goes without a transition of the run it was sent to, e.g. because there is none: they go
     * with the link's row. With a transition, messages are the transition's. */
    struct entity_message *messages;
    size_t                 message_count;
    bool                   forks; /* the new run begins as env.fork says; `created` goes on from there */
    bool
        deletes; /* self, if it is set, is the run's last transition: it is gone with this commit, its history soon after */
    /* A further run of the same business id: env.other. */
    bool              changes_other;
    store_number      other;
    struct transition other_self;
    /* NEED another run: load it. When there is none, decide is asked as for a run that does not exist. */
    store_number need_run;
    /* NEED fork: fold the run's history up to, not including, fork_event_id, and keep later events. With fork_event_id 0 go on
     * with the events of another run, which may be gone. */
    store_number fork_run;
    int64_t      fork_event_id;
    bool (*fork_keep)(struct bytes event);
    /* NEED: fetch [need_from, need_to] of the entity's history and ask again; nothing else may be set then. */
    bool    needs;
    int64_t need_from, need_to;
    /* Beside changes: for the log. */
    struct limit_notice notices[LIMIT_NOTICES_MAX];
    uint32_t            notice_count;
};

/* What apply folds: a stored row, or a transition on its way there. */
struct transition_record {
    int64_t             number; /* of the transition, from 1 */
    int64_t             first_event_id;
    const struct bytes *events;
    size_t              event_count;
    struct bytes        delta;
};

/* What the store's rows of a run ought to say: all columns of its own but for the snapshot, and the tasks that wait for a
 * poller, by their sequences. Of those an empty queue says nothing, and an event id of 0 neither. */
struct entity_rows {
    struct store_run    run;
    struct store_ready *ready;
    size_t              ready_count;
};

/* The key of a record's row (rows.c). */
struct bytes entity_row_key(int64_t namespace_number, struct bytes business_id, struct arena *arena);

struct entity_kind {
    enum entity_kind_id id;
    const char         *name;
    /* Its state is one row of the store's entities (key: entity_row_key), which each transition that changes it writes
     * whole; it has no runs or history. */
    bool is_record;
    /* Of a record that is in lists and has wake-ups: the number that its creation gave it. Its transitions bring its row of a run,
     * whose kind is no workflow's; `deletes` takes that away (the row of entities is deleted as any other). NULL: it has neither. */
    store_number (*number)(const void *state);
    size_t request_size; /* of the kind's struct around struct request, which must be its first member */
    void *(*state_new)(const struct entity_identity *identity); /* identity's bytes are copied as needed */
    void (*state_free)(void *state);
    size_t (*state_size)(const void *state); /* bytes of memory, roughly, in constant time */
    /* state: NULL when there is no such entity (the answer is then NOT_FOUND, or a start). Never changes it. */
    void (*decide)(const void *state, struct request *request, struct env *env, struct decision *decision);
    /* Cannot fail for what decide made (the runtime asserts it); for bytes from the disk DATA_LOSS quarantines. */
    enum status (*apply)(void *state, const struct transition_record *record, struct error *error) MUST_USE;
    void (*snapshot)(const void *state, struct buffer *to);
    enum status (*restore)(void *state, struct bytes snapshot, struct error *error) MUST_USE;
    /* After a load, before the first decide: volatile times start anew at `now` (heartbeats get a full interval). */
    void (*loaded)(void *state, int64_t now);
    int64_t (*next_due)(const void *state); /* wall ns; TIME_NEVER: nothing to wait for */
    /* Optional: the same for what is volatile; in memory only, and DUE comes for it too. */
    int64_t (*volatile_due)(const void *state);
    /* Optional: whether volatile members would be missed, so that the entity has to stay in memory. In constant time. */
    bool (*is_pinned)(const void *state);
    int64_t (*last_event_time)(const void *state); /* wall ns; env.now is never before it */
    /* Optional: whether a later run took its place, so that it is not the current one, not even when that one is deleted. */
    bool (*is_superseded)(const void *state);
    /* Runs must have it, records do not: what its history begins with that is not in its own branch. Valid as long as the state. */
    size_t (*history_prefix)(const void *state, const struct history_segment **ret_segments);
    /* Optional: whether another run has ever begun with this one's history; without it one may have. Where none has, a short
     * history goes with its run in one commit. */
    bool (*is_forked)(const void *state);
    bool (*is_open)(const void *state);
    /* Whether a worker has one of its tasks, or is about to, so that something may come any moment: such entities are worth
     * a wait of the group commit. In constant time. NULL: while it is open. */
    bool (*awaits_worker)(const void *state);
    /* Optional, for a clock that skips: how many of its tasks a worker has or is to get, which take the time that they take;
     * INT32_MAX: nobody may skip meanwhile. */
    int32_t (*keeps_time)(const void *state);
    /* Optional: what an event is counted as; 0: nothing. */
    int32_t (*event_type)(struct bytes event);
    /* Optional, for whoever checks a store: the rows that belong to a state, in the arena or the state's own. */
    void (*rows)(const void *state, struct arena *arena, struct entity_rows *ret_rows);
    /* Optional, likewise: whether these bytes are the body of a message. */
    bool (*is_message)(struct bytes body);
    /* Optional: whether a request brings new work (a start, a signal). Such are refused while the disk is full
     * (RESOURCE_EXHAUSTED) and while the lane drains (UNAVAILABLE). */
    bool (*adds_work)(const struct request *request);
};
/* Whether it has a row that lists show. */
static inline bool entity_kind_is_listed(const struct entity_kind *kind)
{
    return !kind->is_record || kind->number != NULL;
}
#endif
