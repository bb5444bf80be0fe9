/* fold.h: how events and changes alter the state: the one way for live traffic, load and replay.
 *
 * A transition is its events and an ordered list of changes; each change says after how many of the transition's events it
 * comes. Folding is total for what decide makes; for bytes from the disk it answers DATA_LOSS.
 */
#ifndef ENGINE_FOLD_H
#define ENGINE_FOLD_H
#include "engine/event.h"
#include "engine/state.h"

/* The members of state_Change's oneof. */
enum change_kind {
    CHANGE_CREATED = 3,
    CHANGE_BUFFERED = 4,
    CHANGE_FLUSHED = 5,
    CHANGE_BUFFERED_REMOVED = 6,
    CHANGE_TASK_READY = 7,
    CHANGE_TRANSIENT_SCHEDULED = 8,
    CHANGE_TRANSIENT_STARTED = 9,
    CHANGE_TRANSIENT_ENDED = 10,
    CHANGE_STICKY = 11,
    CHANGE_ACTIVITY_READY = 12,
    CHANGE_ACTIVITY_STARTED = 13,
    CHANGE_ACTIVITY_RETRIED = 14,
    CHANGE_ACTIVITY_HEARTBEAT = 15,
    CHANGE_ACTIVITY_PAUSED = 110,
    CHANGE_ACTIVITY_UNPAUSED = 111,
    CHANGE_ACTIVITY_RESET = 112,
    CHANGE_ACTIVITY_OPTIONS = 113,
    CHANGE_ACTIVITY_RESCHEDULED = 114,
    CHANGE_TASK_PROBLEM = 115,
    CHANGE_CHILD_RELEASED = 50,
    CHANGE_FORKED = 90,
    CHANGE_RESET_TO = 91,
    CHANGE_SUPERSEDED = 92,
    CHANGE_LATE_ANSWER = 170,
    CHANGE_CALLBACK_READY = 140,
    CHANGE_CALLBACK_ATTEMPTED = 141,
    CHANGE_UPDATE_WAITS = 70,
    CHANGE_UPDATES_SENT = 71,
    CHANGE_UPDATE_GONE = 72,
    CHANGE_SPECULATIVE_SCHEDULED = 73,
    CHANGE_SPECULATIVE_STARTED = 74,
    CHANGE_SPECULATIVE_DROPPED = 75,
    CHANGE_UPDATE_FORGOTTEN = 76,
};
struct fold {
    struct execution *state;
    struct arena     *arena; /* scratch: of the fold for a live state, of the request for a draft */
    uint32_t flush_left;     /* so many of the next events come out of the buffer: their effects took place */
};
/* A change that memory alone remembers. */
enum status fold_volatile(struct fold *fold, const struct state_Change *change, struct error *error) MUST_USE;
/* The task is in a worker's hands; and bit n for reason n to continue as new. */
void fold_task_started(struct execution *state, int64_t time, struct bytes identity, struct bytes request_id,
                       int64_t history_size, uint32_t suggest);
uint32_t    fold_suggest_bits(const int32_t *reasons, size_t count);
enum status fold_event(struct fold *fold, const struct history_HistoryEvent *event, size_t size,
                       struct error *error) MUST_USE;
enum status fold_change(struct fold *fold, const struct state_Change *change, struct error *error) MUST_USE;

/* --- the kind's functions --- */
enum status execution_apply(struct execution *execution, const struct transition_record *record,
                            struct error *error) MUST_USE;
void        execution_snapshot(const struct execution *execution, struct buffer *to);
enum status execution_restore(struct execution *execution, struct bytes snapshot,
                              struct error *error) MUST_USE;

/* Merges the fields of a Memo or SearchAttributes (both are one map): later values win, null and empty-list values remove.
 * Both and the result are encoded; never fails for messages that were checked. */
struct bytes fields_merge(struct bytes base, struct bytes changes, struct arena *arena);
#endif
