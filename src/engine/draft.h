/* draft.h: a transition in the making: a draft of the state, and what is written so far.
 *
 * Everything decide does to an execution goes through here: an event or a change is encoded, noted and folded into the
 * draft in one step, so that the next step sees it exactly as the live state will. A draft that is not finished has
 * never been: that is how a bad command takes all of its completion with it.
 *
 * What is volatile is noted apart: it is applied after the rest and never stored, so its order beside the rest must not
 * matter.
 *
 * Owns nothing: all of it lives in the request's arena.
 */
#ifndef ENGINE_DRAFT_H
#define ENGINE_DRAFT_H
#include "engine/fold.h"
#include "engine/workflow.h"

struct draft {
    struct execution       *state;
    const struct execution *live; /* NULL for a run that is being created */
    struct env             *env;
    struct arena           *arena;
    struct bytes           *events;
    struct state_Change    *changes;
    struct store_ready     *ready;
    store_number           *unready;
    struct entity_message  *messages, *requests;
    size_t                  event_count, event_capacity, change_count, change_capacity;
    size_t                  ready_count, ready_capacity, unready_count, unready_capacity;
    size_t                  message_count, message_capacity, request_count, request_capacity;
    struct state_Change    *fleetings; /* volatile changes */
    struct news            *news;
    size_t                  fleeting_count, fleeting_capacity, news_count, news_capacity;
    size_t                  head_events, head_changes; /* a transition of its own, see draft_cut */
    struct store_ready     *offer;                     /* of a speculative workflow task; NULL: none */
    int64_t                 first_event_id;
    uint32_t                flush_left;
    uint32_t own_buffered; /* of the buffer: put there by commands of the completion that is being decided */
    uint32_t uuids_taken;
    bool     materializing;
    bool     wants_task;  /* something happened that a worker must hear of */
    bool     row_changed; /* status, memo or search attributes: the run's row is written */
    bool     is_reset;    /* its end is a reset's: neither parent nor children hear of it (engine/close.h) */
};

void draft_begin(struct draft *draft, const struct execution *live, struct env *env, struct arena *arena);
void draft_begin_new(struct draft *draft, const struct entity_identity *identity, struct env *env,
                     struct arena *arena);
static inline bool draft_is_empty(const struct draft *draft)
{
    return draft->event_count == 0 && draft->change_count == 0 && draft->fleeting_count == 0;
}

/* Writes an event now. `event` has type and attributes; id, time (unless set) and task id are filled in. Returns its id. */
int64_t draft_event(struct draft *draft, struct history_HistoryEvent *event);
/* The same with no more than attributes. */
int64_t draft_write(struct draft *draft, int32_t type, const void *attributes);
/* Writes the event, or puts it into the buffer while a worker has the workflow task. Sets wants_task if it wakes. */
void draft_arrive(struct draft *draft, struct history_HistoryEvent *event);
/* Puts the event into the buffer, whether or not a worker has the task. */
void draft_buffer(struct draft *draft, struct history_HistoryEvent *event);
/* Writes what is in the buffer: arrival order, but ends of activities last, with their started ids. Returns how many. */
uint32_t draft_flush(struct draft *draft);

/* An end of an activity or child gets the id of the event that started it, from a list of (scheduled or initiated, started). */
void event_patch_started_id(struct history_HistoryEvent *event, const int64_t (*started)[2], size_t count);

/* Notes a change; time is set to now unless it is set. */
void draft_change(struct draft *draft, struct state_Change change);
#define DRAFT_CHANGE(draft, KIND, member, type, ...)                                                         \
    do {                                                                                                     \
        struct type *change_record = ARENA_NEW((draft)->arena, struct type);                                 \
        *change_record = (struct type){ __VA_ARGS__ };                                                       \
        draft_change((draft), (struct state_Change){ .kind_case = (KIND), .member = change_record });        \
    } while (0)

/* What is written so far is a transition of its own: a reset may go back to this moment. Once. */
void draft_cut(struct draft *draft);
/* Notes a change that is never stored. */
void draft_volatile(struct draft *draft, struct state_Change change);
/* News about a subject of this run, which take the place of earlier ones of this decision. */
void draft_tell(struct draft *draft, struct bytes subject, int what, struct bytes body);

struct store_ready *draft_ready(struct draft *draft, enum store_task_kind kind, struct bytes queue);
/* The same for a task without a row. */
struct store_ready *draft_offer(struct draft *draft, struct bytes queue);
/* Priority and fairness of a row from encoded Priorities: those of `own` go before those of `inherited`. */
void draft_row_priority(struct store_ready *row, struct bytes inherited, struct bytes own,
                        struct arena *arena);
/* What an activity is to be delivered with: its own priority, and where that says nothing its workflow's. In the arena. */
struct bytes priority_merge(struct bytes inherited, struct bytes own, struct arena *arena);
void         draft_unready(struct draft *draft, store_number sequence); /* 0: nothing */

/* A message to another workflow, sent once with this transition: to a run, or (NULL) to the one that is current then. */
void draft_send(struct draft *draft, struct bytes workflow_id, const struct uuid *run_id,
                const struct state_Message *message);
/* The same for what a command asks of another workflow: it is not sent when the run closes in this very transition. */
void                  draft_request(struct draft *draft, struct bytes workflow_id, const struct uuid *run_id,
                                    const struct state_Message *message);
struct entity_message message_make(struct arena *arena, int64_t namespace_number, struct bytes workflow_id,
                                   const struct uuid *run_id, const struct state_Message *message);

/* Fresh from env's entropy: as often as wanted, the same again when decide is asked again. */
struct uuid  draft_uuid(struct draft *draft);
struct bytes draft_uuid_text(struct draft *draft);
/* Uniform in [0, limit): for jitter; 0 when there is nothing below the limit. */
int64_t draft_random_below(struct draft *draft, int64_t limit);
/* In [0, 1000). */
int64_t draft_random_permille(struct draft *draft);

void draft_finish(struct draft *draft, struct transition *ret_transition);
#endif
