/* store.h: what the server keeps on disk, in the field's verbs.
 *
 * A store commits batches and answers reads. Above it there is no SQL, below it nothing of protobuf: rows carry
 * identities, times and opaque bytes. Four implementations pass one contract suite (contract/): sqlite, postgres
 * (later), memory (tests, simulation) and faulty (wraps another).
 *
 * Thread:  store_submit and store_read from any lane. The store works on threads of its own (memory: none) and posts the
 *          answer to the request's home mailbox; it never calls back on its own threads.
 * Order:   batches of one lane are committed in the order of submission, each whole or not at all. Several batches may be
 *          merged into one transaction. A read sees every batch whose durable answer was posted before it was asked for.
 *          A batch that was not done does not hold back those behind it: a lane that would send it again has only one
 *          submitted at a time.
 * Durable: STORE_DURABLE is posted after the commit was flushed to the disk, never before.
 * Limits:  a batch is at most STORE_BATCH_SIZE_MAX bytes, a row STORE_ROW_SIZE_MAX (a larger one is refused); pages are
 *          cut by count and bytes as each read says; filters have the limits below.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H
#include "base/arena.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/random.h"

#define STORE_BATCH_SIZE_MAX    (4U << 20)
#define STORE_ROW_SIZE_MAX      (16U << 20)
#define STORE_FILTER_DEPTH_MAX  24 /* AND and OR take any number of children: flatten them */
#define STORE_FILTER_NODES_MAX  512
#define STORE_FILTER_VALUES_MAX 10000
#define STORE_KEYS_MAX          4    /* of an order, or of a grouping */
#define STORE_GROUPS_MAX        1000 /* a count with more groups is refused */

/* Keys are given in time order by the lanes (number_next in shard/): random keys cost three times the CPU and four times
 * the disk of all else together. A run number is also the number of the first branch of its history. */
typedef int64_t store_number;

/* What a run is, as lists see it: they show workflows, and what is hidden only to those who ask for it. */
enum store_run_kind {
    STORE_RUN_WORKFLOW = 0,
    STORE_RUN_APART =
        1, /* a workflow that its client put into a division of its own (TemporalNamespaceDivision) */
    STORE_RUN_SCHEDULE = 2,
    STORE_RUN_BATCH = 3,
};
#define STORE_RUN_ANY_KIND   (-1)
#define STORE_RUN_KIND_COUNT 4

/* The type is part of an attribute's identity: values of one name and two types are two attributes. The numbers are those of
 * temporal.api.enums.v1.IndexedValueType, and on disk. */
enum store_attribute_type {
    STORE_ATTRIBUTE_TEXT = 1, /* its words, in small letters: see store_words_next */
    STORE_ATTRIBUTE_KEYWORD = 2,
    STORE_ATTRIBUTE_INT = 3,
    STORE_ATTRIBUTE_DOUBLE = 4, /* as store_number_of_double */
    STORE_ATTRIBUTE_BOOL = 5,   /* 0 or 1 */
    STORE_ATTRIBUTE_TIME = 6,   /* ns since 1970 */
    STORE_ATTRIBUTE_LIST = 7,   /* of keywords */
};
struct store_attribute {
    struct bytes              name;
    enum store_attribute_type type;
};

/* The current-run record, the visibility row and the root of a run's state in one. Times are wall nanoseconds, 0: unset.
 * A run is open while close_time is 0; its status is then RUNNING, PAUSED or unspecified, or the row is refused: lists of
 * open runs go by these. */
struct store_run {
    store_number        number;
    int64_t             namespace_number;
    struct uuid         run_id;
    struct bytes        workflow_id, workflow_type, task_queue;
    int32_t             status; /* temporal.api.enums.v1.WorkflowExecutionStatus */
    int64_t             start_time, execution_time, close_time;
    int64_t             history_length, history_size, state_transitions; /* written at close */
    struct bytes        parent_workflow_id;                              /* empty: none */
    struct uuid         parent_run_id;
    struct bytes        root_workflow_id; /* empty: its own root */
    struct uuid         root_run_id;
    struct bytes        memo, search_attributes; /* wire bytes, served as they are */
    enum store_run_kind kind;
    struct bytes
        attributes; /* the same values for filters, see store_attributes_encode; in answers: if asked for */
    struct bytes snapshot;            /* the kind's state as of snapshot_transition; empty: none */
    int64_t      snapshot_transition; /* 0: fold from the first transition */
};

/* Others have a row for lists only, under an id that no workflow may have. */
static inline bool store_run_is_workflow(const struct store_run *run)
{
    return run->kind == STORE_RUN_WORKFLOW || run->kind == STORE_RUN_APART;
}

/* What one transition of an entity wrote. (branch, number) is unique; numbers count up from 1 without gaps. A row whose
 * event_count is 0 holds only a delta. Events are (varint size, bytes) each, so that a cut inside is a walk over sizes. */
struct store_transition {
    store_number branch;
    int64_t      number;
    int64_t      first_event_id; /* the next event id to come when event_count is 0 */
    int32_t      event_count;
    uint32_t     checksum; /* crc32c over events, then delta; checked by the reader above, see history/ */
    struct bytes events, delta;
};

enum store_task_kind {
    STORE_TASK_WORKFLOW = 1,
    STORE_TASK_ACTIVITY = 2,
    STORE_TASK_NEXUS = 3,
    STORE_TASK_CALLBACK = 4
};

/* Of tasks: 1 goes first. */
#define PRIORITY_DEFAULT      3
#define PRIORITY_MAX          5
#define FAIRNESS_KEY_SIZE_MAX 64

/* A weight as rows hold it: in thousandths, from 1 to a million; 0 for none. */
static inline int32_t fairness_weight_stored(float weight)
{
    if (!(weight > 0))
        return 0;
    return weight >= 1000.0F ? 1000000 : weight <= 0.001F ? 1 : (int32_t)(weight * 1000.0F);
}

/* A task that waits for a poller. Within a queue and kind, those of one (priority, fairness key) are a stream, in the order
 * of their sequences; who reads decides how streams take turns. */
struct store_ready {
    store_number         sequence;
    int64_t              namespace_number;
    struct bytes         queue;        /* the queue's own name: sticky ones are queues too */
    struct bytes         normal_queue; /* of a sticky queue: the normal one; else empty */
    enum store_task_kind kind;
    int32_t              priority;
    struct bytes         fairness_key, version; /* empty: none */
    int32_t              fairness_weight;       /* in thousandths; 0: 1 */
    store_number         run;
    struct bytes         workflow_id;
    int64_t              scheduled_event_id;
    int64_t              stamp;        /* attempt or stamp: what makes an older row stale */
    int64_t              created_time; /* wall, for backlog age */
    bool                 without_row;  /* never stored: a hint of a task that only memory knows */
};

/* A message to another entity (design: links). Numbered per (source range, target range); applied once by the receiver. */
struct store_outbox {
    int32_t      source_range, target_range;
    int64_t      number;
    store_number source_run; /* so that deletion can count what is still to be sent */
    struct bytes body;
};
#define STORE_LINK_WINDOW 64
struct store_link {
    int32_t  source_range, target_range;
    int64_t  number; /* the highest one received; 0: none. What is below the window was received too */
    uint64_t window; /* bit i: number - 1 - i was received */
};

/* Snapshots of entities that are no runs: namespaces, the cluster singleton, task queues, schedules. */
struct store_entity {
    int32_t      kind;
    struct bytes key;
    struct bytes state;
};

/* Refused are: an insert of a key that exists, an update of a run that does not, and rows past the limits above. Deleting
 * what is not there is no error. */
enum store_write_kind {
    STORE_RUN_INSERT,
    STORE_RUN_UPDATE, /* all columns but the identity, and all attributes; workflow id, type, run id, parent, root and start time stay */
    STORE_RUN_SNAPSHOT, /* number, snapshot and snapshot_transition only */
    STORE_RUN_DELETE,   /* the row only */
    STORE_TRANSITION_INSERT,
    STORE_TRANSITIONS_DELETE, /* of a branch, from `first` up to and including `last` */
    STORE_READY_INSERT,
    STORE_READY_DELETE, /* sequence */
    STORE_WAKEUP_SET,   /* one per entity: replaces an earlier one */
    STORE_WAKEUP_DELETE,
    STORE_OUTBOX_INSERT,
    STORE_OUTBOX_DELETE, /* source_range, target_range, number */
    STORE_LINK_TAKE, /* source_range, target_range, number: received now, as store_link_take adds it to the row */
    STORE_ENTITY_PUT,
    STORE_ENTITY_DELETE,
};

struct store_write {
    enum store_write_kind kind;
    uint32_t group; /* writes that stand or fall together when others of the batch are refused: an entity's.
                                    Groups count from 0; a refused one does not take later groups with it */
    union {
        struct store_run        *run; /* RUN_INSERT, RUN_UPDATE, RUN_SNAPSHOT; RUN_DELETE uses number only */
        struct store_transition *transition;
        struct {
            store_number branch;
            int64_t      first, last;
        } transitions;
        struct store_ready *ready; /* READY_INSERT; READY_DELETE uses sequence only */
        struct {
            store_number entity;
            int64_t      due; /* wall ns */
            int64_t      namespace_number;
            struct bytes workflow_id; /* routes the wake-up to its shard */
            int32_t      kind;        /* the entity's */
        } wakeup;
        struct store_outbox *outbox;
        struct store_link    link;
        struct store_entity  entity;
    };
};

enum store_outcome {
    STORE_DURABLE,
    STORE_ABORTED, /* certainly not done (busy, serialization): the same writes may be sent again */
    STORE_REFUSED, /* some groups were refused (constraint, too big), see batch.refused; the others are durable */
    STORE_FULL,       /* no space: nothing of it was done */
    STORE_LOST_FENCE, /* another node owns the range: drop the shards */
    STORE_UNKNOWN,    /* done or not (failed flush, lost connection): SQLite stops the process */
};

/* Built by one lane; owned by the store from store_submit until its message has been run; then the lane's again. */
struct store_batch {
    struct arena        arena; /* all rows and bytes of the writes */
    struct store_write *writes;
    size_t              write_count, write_capacity;
    size_t              size; /* bytes, roughly as stored */
    uint32_t            group_count;
    struct mailbox     *home;
    struct message      message;      /* message.run is the lane's */
    int64_t             submitted_ns; /* monotonic */
    enum store_outcome  outcome;
    bool               *refused; /* STORE_REFUSED: per group, in the batch's arena */
    struct error        error;   /* what the store said, for the log */
    void *private;               /* the store's, while it owns the batch */
};
void store_batch_init(struct store_batch *batch, struct mailbox *home, void (*run)(struct message *message));
void store_batch_release(struct store_batch *batch);
void store_batch_clear(struct store_batch *batch);
/* Appends a zeroed write and returns it; the caller fills it and adds to batch->size. */
struct store_write *store_batch_add(struct store_batch *batch, enum store_write_kind kind, uint32_t group);
/* Adds a number to those received. In whatever order numbers less than 64 apart come, and how often, the row is the same. */
void store_link_take(struct store_link *link, int64_t number);

/* --- Lists: a filter is a tree in the request's arena, compiled to SQL with bound parameters by the implementation --- */

/* NULL, as SQL understands it, are: times and texts that are not set, the execution duration and the history's length,
 * size and transitions of an open run. An empty root is the run itself. */
enum store_column {
    STORE_COLUMN_WORKFLOW_ID,
    STORE_COLUMN_RUN_ID,
    STORE_COLUMN_WORKFLOW_TYPE,
    STORE_COLUMN_TASK_QUEUE,
    STORE_COLUMN_STATUS,
    STORE_COLUMN_START_TIME,
    STORE_COLUMN_EXECUTION_TIME,
    STORE_COLUMN_CLOSE_TIME,
    STORE_COLUMN_HISTORY_LENGTH,
    STORE_COLUMN_HISTORY_SIZE,
    STORE_COLUMN_STATE_TRANSITIONS,
    STORE_COLUMN_EXECUTION_DURATION,
    STORE_COLUMN_PARENT_WORKFLOW_ID,
    STORE_COLUMN_PARENT_RUN_ID,
    STORE_COLUMN_ROOT_WORKFLOW_ID,
    STORE_COLUMN_ROOT_RUN_ID,
    STORE_COLUMN_NUMBER,    /* the run's; clients do not know it, but run ids carry it */
    STORE_COLUMN_ATTRIBUTE, /* a search attribute; NULL when it is not set */
};
enum store_operator {
    STORE_AND,
    STORE_OR,
    STORE_NOT, /* children */
    STORE_EQUAL,
    STORE_NOT_EQUAL,
    STORE_LESS,
    STORE_LESS_EQUAL,
    STORE_GREATER,
    STORE_GREATER_EQUAL,
    STORE_IN,
    STORE_NOT_IN,
    STORE_BETWEEN,
    STORE_NOT_BETWEEN,
    STORE_STARTS_WITH,
    STORE_NOT_STARTS_WITH,
    STORE_IS_NULL,
    STORE_IS_NOT_NULL,
};
struct store_value {
    bool         is_text; /* text (also UUIDs, as 16 bytes), else number */
    struct bytes text;
    int64_t      number;
};
/* A condition over an attribute with several values (a list, a text's words) speaks of any of them: EQUAL, IN and STARTS_WITH
 * are true when one value is so, their opposites when there are values and none is. It has no other relations. */
struct store_filter {
    enum store_operator           relation;
    enum store_column             column;
    const struct store_attribute *attribute; /* of STORE_COLUMN_ATTRIBUTE */
    struct store_value           *values;
    size_t                        value_count;
    struct store_filter         **children;
    size_t                        child_count;
};
struct store_column_value {
    bool               is_null;
    struct store_value value;
};
/* Limits, known operators and columns, and the number and type of the values of each. NULL is fine. */
enum status store_filter_check(const struct store_filter *filter, struct error *error) MUST_USE;
/* Of a checked filter, with SQL's three-valued logic: true only when it is certainly true. `column` says what a row holds;
 * also for rows that are in no store and give columns meanings of their own. */
typedef struct store_column_value store_column_of(const void *row, enum store_column column);
bool store_filter_matches(const struct store_filter *filter, const void *row, store_column_of *column);
/* What a list is ordered or a count is grouped by. */
struct store_key {
    enum store_column             column;
    const struct store_attribute *attribute;
    bool                          descending, nulls_first; /* of orders */
};
struct store_group_count {
    struct store_value values[STORE_KEYS_MAX]; /* one for each key */
    int64_t            count;
};

/* --- Attributes as rows carry them: sorted by name, type and value, each once --- */

/* Whether it may have several values. */
static inline bool store_attribute_is_many(enum store_attribute_type type)
{
    return type == STORE_ATTRIBUTE_TEXT || type == STORE_ATTRIBUTE_LIST;
}
static inline bool store_attribute_is_text(enum store_attribute_type type)
{
    return store_attribute_is_many(type) || type == STORE_ATTRIBUTE_KEYWORD;
}
struct store_attribute_value {
    struct store_attribute attribute;
    struct store_value     value;
};
/* Sorts the values and drops what is there twice; the bytes are the arena's. Of a scalar only one value is kept. */
struct bytes store_attributes_encode(struct store_attribute_value *values, size_t count, struct arena *arena);
/* Takes the next value off the front; false: there is none, or (`*attributes` is not empty then) they are damaged. */
bool store_attributes_next(struct bytes *attributes, struct store_attribute_value *ret_value);
/* A number whose order is that of doubles. No NaN; minus zero is zero. */
int64_t store_number_of_double(double value);
double  store_double_of_number(int64_t number);
/* Takes the next word off the front of a text: letters and digits, and all bytes outside of ASCII; A to Z become small
 * letters in `room`, of WORD_SIZE_MAX bytes, where longer words are cut. False: there is none. */
#define WORD_SIZE_MAX 128
bool store_words_next(struct bytes *text, uint8_t *room, struct bytes *ret_word);

/* --- Reads --- */

enum store_read_kind {
    STORE_READ_CURRENT_RUN, /* (namespace, workflow id): the run with the highest number, loaded; found = false: none */
    STORE_READ_RUN,         /* number: loaded */
    STORE_READ_HISTORY,     /* transitions of a branch, in either direction */
    STORE_READ_READY,       /* a page of one queue's stream (priority, fairness key) after a sequence */
    STORE_READ_READY_HEADS, /* the first row of each stream of a queue, behind that of (priority, fairness_key) */
    STORE_READ_READY_COUNTS, /* how many rows of a queue there are of each priority */
    STORE_READ_READY_ROWS,   /* a page of the ready rows of all queues after a sequence */
    STORE_READ_WAKEUPS,      /* a page of all wake-ups after (due, entity) */
    STORE_READ_WAKEUP,       /* the one of the entity `number` */
    STORE_READ_BRANCHES,     /* a page of the branches that have transitions, after one */
    STORE_READ_IDENTITIES, /* a page of (namespace, workflow id, number) of all runs, after that of the page before */
    STORE_READ_OUTBOX,   /* a page after (source range, target range, number) */
    STORE_READ_LINKS,    /* all */
    STORE_READ_ENTITIES, /* all of one kind, or the one with the key */
    STORE_READ_LIST, /* a page of runs: open ones first, newest first (by number), then closed by close time; or in the
                        order of keys, and then by number, in the direction of the last key */
    STORE_READ_COUNT,
};
#define STORE_READ_KINDS (STORE_READ_COUNT + 1)
struct store_ready_count {
    int32_t priority;
    int64_t count;
    int64_t oldest_created; /* the created_time of the row with the lowest sequence */
};
struct store_wakeup {
    store_number entity;
    int64_t      due;
    int64_t      namespace_number;
    struct bytes workflow_id;
    int32_t      kind; /* the entity's */
};
struct store_branch {
    store_number number;
    int64_t      count, first, last; /* of its transitions, and their lowest and highest number */
};
/* Of a run, from an index alone. */
struct store_identity {
    int64_t      namespace_number;
    struct bytes workflow_id;
    store_number number;
};
struct store_read {
    enum store_read_kind kind;
    /* what */
    int64_t      namespace_number;
    struct bytes workflow_id;
    store_number number;   /* run or branch */
    int64_t      from, to; /* HISTORY: transition numbers, both inclusive; a backward read starts at `to` */
    int64_t
        from_event; /* HISTORY, not 0: start, in either direction, at the transition that holds this event id */
    bool         backward;
    bool         with_history; /* loads: also the transitions after the snapshot (that is the default fold) */
    struct bytes queue;
    enum store_task_kind task_kind;
    int32_t              priority; /* READY: of the stream; HEADS: behind which; INT32_MIN: from the first */
    struct bytes         fairness_key;
    int64_t              after_due;                              /* WAKEUPS */
    int32_t              after_source_range, after_target_range; /* OUTBOX */
    store_number         after; /* number, sequence, branch or entity of that last row */
    int32_t              entity_kind;
    struct bytes entity_key, after_key;   /* ENTITIES: the one with this key, or a page behind after_key */
    struct store_filter *filter;          /* NULL: all */
    int32_t              run_kind;        /* LIST, COUNT: a store_run_kind or STORE_RUN_ANY_KIND */
    bool                 with_attributes; /* loads of a run by number: also its attributes */
    bool    after_is_set, after_open;     /* LIST: the last row of the page before; open or closed then */
    int64_t after_close_time;
    const struct store_key *keys; /* LIST: the order, none: the default one; COUNT: the grouping */
    size_t                  key_count;
    struct store_column_value
           after_keys[STORE_KEYS_MAX]; /* LIST with an order: those of the last row, and `after` */
    size_t limit;                      /* rows (loads: transitions); 0: none but the byte limit */
    size_t size_limit;                 /* bytes of rows, 0: none; at least one row is returned */
    /* the answer, in `arena` */
    struct arena     *arena;
    enum status       status; /* ST_OK, or why the read failed; found says whether there was such a row */
    struct error      error;
    bool              found, more; /* any row; rows behind the last one */
    struct store_run *runs;        /* CURRENT_RUN and RUN: one; LIST: a page, without snapshots */
    size_t            run_count;
    struct store_column_value
        last_keys[STORE_KEYS_MAX]; /* LIST with an order: of the last row; also of no page's end */
    struct store_transition  *transitions;
    size_t                    transition_count;
    struct store_ready       *ready;
    size_t                    ready_count;
    struct store_ready_count *ready_counts;
    size_t                    ready_count_count;
    struct store_wakeup      *wakeups;
    size_t                    wakeup_count;
    struct store_branch      *branches;
    size_t                    branch_count;
    struct store_identity    *identities;
    size_t                    identity_count;
    struct store_outbox      *outbox;
    size_t                    outbox_count;
    struct store_link        *links;
    size_t                    link_count;
    struct store_entity      *entities;
    size_t                    entity_count;
    int64_t                   count;
    struct store_group_count *groups;
    size_t                    group_count;
    int64_t                   asked_ns; /* monotonic */
    /* to whom */
    struct mailbox *home;
    struct message  message;
    void *private; /* the store's, while it owns the read */
};

struct store_statistics {
    uint64_t commits, batches, writes, bytes, reads, aborts,
        refusals;                            /* commits: transactions, hence flushes */
    int64_t  commit_ns_total, commit_ns_max; /* of a transaction, from begin to durable */
    uint64_t checkpoints;
    int64_t  log_size; /* bytes of a write-ahead log, as of the last commit; 0: none */
};

struct store;
struct store_operations {
    const char *name;
    void (*submit)(struct store *store, struct store_batch *batch);
    void (*read)(struct store *store, struct store_read *read);
    /* Space was freed by the caller or time has passed: tries a small write. ST_OK ends the read-only mode. Blocking. */
    enum status (*probe)(struct store *store, struct error *error);
    void (*statistics)(struct store *store, struct store_statistics *ret_statistics);
    /* Finishes what was submitted, then frees everything. */
    void (*close)(struct store *store);
};
struct store {
    const struct store_operations *operations;
};
/* Both are counted and timed, as the store's answer comes. */
void store_submit(struct store *store, struct store_batch *batch);
void store_read(struct store *store, struct store_read *read);
/* Asks and waits for the answer, on a thread that has nothing else to do. `wait` (NULL: sleeps) is called until it is there:
 * for a store without threads. */
void store_read_blocking(struct store *store, struct store_read *read, void (*wait)(void *context),
                         void *context);
static inline enum status store_probe(struct store *store, struct error *error)
{
    return store->operations->probe(store, error);
}
static inline void store_statistics(struct store *store, struct store_statistics *ret_statistics)
{
    store->operations->statistics(store, ret_statistics);
}
static inline void store_close(struct store *store)
{
    store->operations->close(store);
}

/* Opens by URL: "sqlite:FILE", "memory:". The error names what is wrong with the URL or the file. */
enum status store_open(const char *url, struct store **ret_store, struct error *error) MUST_USE;
#endif
