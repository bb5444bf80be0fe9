/* state.h: the state of one workflow execution: plain data, changed by the fold and by nothing else.
 *
 * A state is either live (state_new: it owns its texts and arrays by malloc) or a draft (execution_draft: a shallow copy
 * inside a decision, in the request's arena, that shares all it does not change with the live one). Both go through the
 * same fold, so what decide foresees is what apply makes. Records of a draft are copied when they are first written.
 *
 * Thread:   the lane's. Durable: as events, deltas and snapshots; members marked volatile are not.
 * Limits:   pending activities, signals, buffered events by env's limits; everything else by the size of the record.
 */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H
#include "base/arena.h"
#include "base/clock.h"
#include "pb/all.pb.h"
#include "shard/entity.h"

/* The one workflow task that is pending, if any. Of a transient one no events are written until it completes: its ids are
 * the next two to come, see task_scheduled_event_id. A speculative one is there for updates alone: all of it is volatile, and
 * the first durable thing that happens beside it makes it a normal one (task_materialize). */
struct workflow_task {
    bool         is_pending, is_transient, is_speculative, is_sticky;
    int32_t      attempt;
    int64_t      scheduled_event_id, started_event_id; /* 0: not yet, or transient */
    int64_t      scheduled_time, original_scheduled_time;
    int64_t      started_time; /* 0: no worker has it */
    int64_t      timeout;      /* start to close */
    store_number sequence;     /* of its ready row; 0: none */
    int64_t      history_size; /* as told to the worker */
    uint32_t     suggest;      /* bit n: reason n to continue as new, as told to the worker */
    struct bytes identity, request_id;
};

/* Who has paused an activity or the whole run, and since when. */
struct pause {
    int64_t      time; /* 0: not paused */
    struct bytes identity, reason, request_id;
};

struct activity {
    const void  *owner; /* the execution that may write this record */
    int64_t      scheduled_event_id;
    struct bytes activity_id, type, queue;
    int64_t      schedule_to_close, schedule_to_start, start_to_close, heartbeat; /* 0: none */
    int64_t      first_scheduled_time;
    int64_t      scheduled_time; /* of this attempt, backoff included */
    int64_t      started_time;   /* 0: not started */
    int64_t      heartbeat_time; /* the last one that was stored; 0: none */
    int64_t      last_attempt_complete_time;
    int64_t      cancel_requested_event_id;
    int64_t      stamp;
    store_number sequence; /* of its ready row; 0: none */
    int32_t      attempt;
    bool         cancel_requested, has_heartbeat_details, has_volatile_details;
    struct bytes retry_policy; /* encoded, defaults filled */
    struct bytes identity;     /* of the worker that has, or last had, an attempt */
    struct bytes request_id;   /* of the poll that took it */
    struct bytes last_failure; /* encoded; of the attempt before */
    struct bytes heartbeat_details, priority;
    struct bytes
        original_options; /* encoded ActivityOptions, once an operator has changed them; else empty */
    struct pause pause;
    bool         was_reset;          /* while a worker has an attempt, which counts as the first then */
    bool         resets_heartbeat;   /* the next attempt does not get the details of this one */
    int64_t      volatile_heartbeat; /* volatile: the last one, stored or not */
    int64_t      loaded_time;        /* volatile: heartbeats before this load are not missed */
    struct bytes volatile_details;   /* volatile: newer than heartbeat_details */
};
struct activity_slot {
    int64_t          scheduled_event_id; /* ascending */
    uint64_t         id_hash;
    struct activity *record;
};
struct timer {
    struct bytes id;
    int64_t      started_event_id;
    int64_t      fire_time;
};
struct child {
    const void  *owner; /* the execution that may write this record */
    int64_t      initiated_event_id;
    int64_t      started_event_id; /* 0: not started, or that is in the buffer */
    bool         is_started;
    struct bytes workflow_id, type;
    struct uuid  first_run_id; /* of its chain, once it is started */
    int32_t      parent_close_policy;
};
/* Where a child comes from: set with its first event, and the same for ever. */
struct family {
    struct bytes parent_workflow_id; /* empty: none */
    struct uuid  parent_run_id;
    int64_t      parent_initiated_event_id;
    struct bytes root_workflow_id; /* empty: it is its own root */
    struct uuid  root_run_id;
};
struct child_slot {
    int64_t       initiated_event_id; /* ascending */
    struct child *record;
};
struct attached_request {
    struct bytes request_id;
    int64_t      event_id; /* 0: in the buffer */
};
struct callback {
    struct bytes encoded;    /* common.Callback */
    struct bytes request_id; /* of the start that attached it; empty: it came with the run */
    int64_t      registration_time;
    int64_t      complete_time; /* of the last attempt; 0: there was none */
    int64_t      next_time;     /* of the next attempt, while it backs off */
    int32_t      state;         /* enums_CallbackState */
    int32_t      attempt;
    struct bytes failure;  /* encoded; of the last attempt */
    store_number sequence; /* of its ready row; 0: none */
};
/* An update that history knows of. */
struct update {
    struct bytes id;
    int64_t      admitted_event_id, accepted_event_id, completed_event_id; /* 0: not (yet) */
};
/* Volatile: one that waits for a worker's verdict. */
struct waiting_update {
    struct bytes id;
    struct bytes request; /* encoded update_Request */
    bool         is_sent; /* some worker was given it */
};
/* Most runs have none. A draft shares the live one's until it writes. */
struct update_book {
    const void            *owner; /* the execution that may write this record */
    struct update         *updates;
    struct waiting_update *waiting; /* in order of admission */
    uint32_t               update_count, update_capacity, waiting_count, waiting_capacity;
    size_t                 waiting_size; /* of their requests */
};
struct reset_point {
    struct bytes checksum, build_id;
    struct bytes run_id;                                       /* text; empty: this run */
    int64_t      completed_event_id, create_time, expire_time; /* 0: of a run that is still there */
    bool         not_resettable;
};
/* What resets have made of a run; few have it. */
#define RESETS_KNOWN_MAX 16

/* A reset that was done, by its request id. */
struct known_reset {
    struct bytes request_id, run_id; /* texts; the run that it made */
};

struct lineage {
    const void             *owner;        /* the execution that may write this record */
    struct bytes            reset_run_id; /* text; the run that began again from this one; empty: none did */
    int64_t                 reset_event_id;      /* and from before which event */
    struct bytes            reset_request_id;    /* of the reset that made this run */
    int64_t                 original_start_time; /* of a run that a reset made: its first event's; else 0 */
    struct history_segment *prefix; /* what the history begins with that is not in the run's own branch */
    uint32_t                prefix_count;
    /* Of this run, and of those it follows by resets; oldest first, and the oldest are forgotten. */
    struct known_reset *resets;
    uint32_t            reset_count;
    struct bytes late_answers; /* encoded: to what the run had begun and had no answer to when it closed */
};

struct execution {
    struct arena *arena; /* NULL: live */
    /* identity */
    int64_t      namespace_number;
    store_number number;
    struct uuid  run_id;
    struct bytes namespace_id, workflow_id;
    /* as started */
    struct uuid  first_run_id, original_run_id;
    struct bytes type, queue, start_request_id;
    struct bytes retry_policy, cron, memo, search_attributes, priority;
    struct bytes versioning_override;                          /* encoded; empty: none */
    int64_t      execution_timeout, run_timeout, task_timeout; /* 0: none */
    int64_t      start_time, execution_time, execution_expiration, run_expiration;
    int32_t      attempt;
    int32_t      status;
    bool         is_started, cancel_requested, has_user_metadata;
    bool         backoff_pending; /* no workflow task yet: it comes with execution_time */
    bool is_superseded;    /* closed, and another run came with that: it was current no more from then on */
    bool close_blocked;    /* it tried to close while something was buffered, and is being asked again */
    struct family *family; /* NULL: no child */
    bool           awaits_parent; /* no workflow task before the parent has recorded the start */
    /* progress */
    int64_t              transitions, next_event_id, history_size, close_time, last_event_time;
    int64_t              previous_started_event_id; /* of the last completed workflow task; 0: none was */
    struct lineage      *lineage;                   /* NULL: no reset had to do with it */
    struct workflow_task task;
    struct bytes         sticky_queue;
    int64_t              sticky_timeout;
    int64_t              signal_count;
    struct pause         pause;
    int32_t              problem_count; /* workflow tasks that have failed since one completed */
    int32_t              problem_cause,
        problem_timeout_type; /* of the last of them: a WorkflowTaskFailedCause, or a TimeoutType */
    size_t memory;            /* live: bytes behind the pointers, roughly */
    /* pending */
    struct activity_slot *activities;
    struct timer         *timers;
    struct bytes         *buffer; /* encoded HistoryEvents without ids, in order of arrival */
    struct uuid *signal_ids; /* fingerprints of request ids; live only: a draft has nothing to ask them */
    struct attached_request *attached;
    struct reset_point      *reset_points;
    struct child_slot       *children;
    int64_t            *external_signals, *external_cancels; /* initiated event ids that have no result yet */
    struct update_book *updates;                             /* NULL: it has none; see execution_updates */
    uint32_t activity_count, activity_capacity, timer_count, timer_capacity, buffer_count, buffer_capacity;
    uint32_t signal_id_count, signal_id_capacity, attached_count, attached_capacity;
    uint32_t reset_point_count, reset_point_capacity;
    uint32_t child_count, child_capacity;
    uint32_t external_signal_count, external_signal_capacity, external_cancel_count, external_cancel_capacity;
    struct callback *callbacks; /* in order of registration; they outlive the close */
    uint32_t         callback_count, callback_capacity;
    size_t           buffer_size;
};

#define RESET_POINTS_MAX 20

struct execution *execution_new(const struct entity_identity *identity);
void              execution_free(struct execution *execution);
/* A fresh, empty one for a run that is being created, in the arena. */
struct execution *execution_draft_new(const struct entity_identity *identity, struct arena *arena);
/* A draft of a live state. It must not outlive it, and the live one must not change meanwhile. */
struct execution *execution_draft(const struct execution *live, struct arena *arena);

static inline bool execution_is_open(const struct execution *execution)
{
    return execution->is_started && execution->close_time == 0;
}

/* A paused run is open: it takes signals and its timers fire, but no worker gets a task of it. */
static inline bool execution_is_paused(const struct execution *execution)
{
    return execution->status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED;
}

/* --- what the fold does to it --- */

/* Sets a text: a live state copies it, a draft borrows it. Empty stays empty. */
void execution_set(struct execution *execution, struct bytes *slot, struct bytes value);
/* Sets or, with NULL, ends a pause. */
void execution_set_pause(struct execution *execution, struct pause *slot, const struct pause *value);
/* The slot of an event in an array sorted by event id, the first member of each slot; false: it has none. */
bool execution_slot_find(const void *slots, uint32_t count, size_t size, int64_t event_id, uint32_t *ret_at);
/* Makes room for one more in an array of members of `size`; a draft copies the array out of the live state first. */
void *execution_grow(struct execution *execution, void *array, uint32_t count, uint32_t *capacity,
                     size_t size);

struct activity *execution_activity_add(struct execution *execution, int64_t scheduled_event_id,
                                        struct bytes id);
void             execution_activity_remove(struct execution *execution, int64_t scheduled_event_id);
/* For writing; NULL when there is none. */
struct activity *execution_activity_write(struct execution *execution, int64_t scheduled_event_id);
void             execution_timer_add(struct execution *execution, struct bytes id, int64_t started_event_id,
                                     int64_t fire_time);
void             execution_timer_remove(struct execution *execution, int64_t started_event_id);
void             execution_buffer_add(struct execution *execution, struct bytes event);
void             execution_buffer_remove(struct execution *execution, uint32_t index);
void             execution_buffer_clear(struct execution *execution);
void             execution_signal_id_add(struct execution *execution, struct bytes request_id);
/* As a snapshot holds them: 16 bytes each. */
void execution_signal_ids_set(struct execution *execution, struct bytes fingerprints);
void execution_attach(struct execution *execution, struct bytes request_id, int64_t event_id);
/* Stands by from now on. */
void execution_callback_add(struct execution *execution, const struct callback *callback);
void execution_reset_point_add(struct execution *execution, const struct reset_point *point);
/* Copies it; once, while there is none. Nothing of it is empty. */
void execution_family_set(struct execution *execution, const struct family *family);
void execution_family_free(struct execution *execution);
/* NULL: the ids of children do not grow. */
struct child *execution_child_add(struct execution *execution, int64_t initiated_event_id);
void          execution_child_remove(struct execution *execution, int64_t initiated_event_id);
/* For writing; NULL when there is none. */
struct child *execution_child_write(struct execution *execution, int64_t initiated_event_id);
void          execution_external_add(struct execution *execution, bool is_cancel, int64_t initiated_event_id);
void execution_external_remove(struct execution *execution, bool is_cancel, int64_t initiated_event_id);
void execution_children_drop(struct execution *execution); /* and what is on its way to others */
void execution_children_share(struct execution *draft, const struct execution *live);
/* For writing. */
struct lineage *execution_lineage_write(struct execution *execution);
void            execution_prefix_set(struct execution *execution, const struct state_HistorySegment *prefix,
                                     size_t count);
/* The last RESETS_KNOWN_MAX of them; they may be those that are there already. */
void execution_resets_set(struct execution *execution, const struct state_Reset *resets, size_t count);
void execution_task_clear(struct execution *execution);
/* For writing. */
struct update_book *execution_updates_write(struct execution *execution);
/* Takes a text's memory back; a draft just forgets it. */
void execution_unset(struct execution *execution, struct bytes *slot);
/* Drops all that a closed run does not need. */
void execution_drop_pending(struct execution *execution);

/* --- questions --- */

const struct activity *execution_activity(const struct execution *execution, int64_t scheduled_event_id);
const struct activity *execution_activity_by_id(const struct execution *execution, struct bytes id);
/* Never NULL: of no child it is empty. */
const struct family *execution_family(const struct execution *execution);
const struct child  *execution_child(const struct execution *execution, int64_t initiated_event_id);
/* Never NULL. */
const struct lineage     *execution_lineage(const struct execution *execution);
const struct update_book *execution_updates(const struct execution *execution);
/* A copy of the prefix in the arena, for answers that name a range of the history. */
const struct history_segment *execution_prefix_copy(const struct execution *execution, struct arena *arena);
const struct timer           *execution_timer_by_id(const struct execution *execution, struct bytes id);
bool execution_signal_seen(const struct execution *execution, struct bytes request_id);
const struct attached_request *execution_attached(const struct execution *execution, struct bytes request_id);

/* A transient task's ids move with the history until it is started; then nothing else is written. */
static inline bool task_is_virtual(const struct execution *execution)
{
    return execution->task.is_transient || execution->task.is_speculative;
}
static inline int64_t task_scheduled_event_id(const struct execution *execution)
{
    return execution->task.is_transient ? execution->next_event_id : execution->task.scheduled_event_id;
}
static inline int64_t task_started_event_id(const struct execution *execution)
{
    return execution->task.is_transient ? execution->next_event_id + 1 : execution->task.started_event_id;
}
static inline bool task_is_started(const struct execution *execution)
{
    return execution->task.is_pending && execution->task.started_time != 0;
}

/* No worker may get this activity: an operator has paused it, or the run. */
static inline bool activity_is_held(const struct execution *execution, const struct activity *activity)
{
    return activity->pause.time != 0 || execution_is_paused(execution);
}
/* When an activity's current situation ends by itself: `ret_type` is a TimeoutType, or 0 for the end of a backoff. */
int64_t activity_due(const struct execution *execution, const struct activity *activity, int32_t *ret_type);
/* The details a worker would be given now; base NULL: none. */
struct bytes activity_details(const struct activity *activity);
int64_t      execution_next_due(const struct execution *execution);
/* The same for a speculative workflow task, which no row remembers. */
int64_t execution_volatile_due(const struct execution *execution);
/* Volatile members whose loss somebody would notice. */
static inline bool execution_is_pinned(const struct execution *execution)
{
    return execution_updates(execution)->waiting_count != 0 || execution->task.is_speculative;
}
#endif
