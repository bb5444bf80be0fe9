/* draft.c: a transition in the making. */
#include "engine/draft.h"
#include "base/mutant.h"

#include "base/hash.h"
#include "engine/child.h"
#include "engine/close.h"
#include "engine/rows.h"
#include "engine/workflow_task.h"

void draft_begin(struct draft *draft, const struct execution *live, struct env *env, struct arena *arena)
{
    *draft = (struct draft){
        .state = execution_draft(live, arena), .live = live, .env = env, .arena = arena
    };
    draft->first_event_id = live->next_event_id;
}

void draft_begin_new(struct draft *draft, const struct entity_identity *identity, struct env *env,
                     struct arena *arena)
{
    *draft = (struct draft){ .state = execution_draft_new(identity, arena), .env = env, .arena = arena };
    draft->first_event_id = 1;
    draft->row_changed = true;
}

static void *append(struct draft *draft, void *array, size_t *count, size_t *capacity, size_t size)
{
    if (*count == *capacity) {
        size_t larger = *capacity == 0 ? 4 : *capacity * 2;
        void  *copy = ARENA_NEW_ARRAY(draft->arena, uint8_t, larger *size);
        if (*count != 0)
            memcpy(copy, array, *count * size);
        array = copy;
        *capacity = larger;
    }
    ++*count;
    return array;
}
#define APPEND(draft, name)                                                                                  \
    ((draft)->name##s = append((draft), (draft)->name##s, &(draft)->name##_count, &(draft)->name##_capacity, \
                               sizeof(*(draft)->name##s)),                                                   \
     &(draft)->name##s[(draft)->name##_count - 1])

/* --- events --- */

static int64_t event_write(struct draft *draft, struct history_HistoryEvent *event)
{
    event->event_id = draft->state->next_event_id - MUTANT(event_id_reused);
    event->task_id = event->event_id;
    if (event->event_time == NULL)
        event->event_time = timestamp_or_null(draft->arena, draft->env->now);
    struct bytes encoded = event_encode(event, draft->arena);
    *APPEND(draft, event) = encoded;
    struct fold  fold = { .state = draft->state, .arena = draft->arena, .flush_left = draft->flush_left };
    struct error error = { 0 };
    enum status  status = fold_event(&fold, event, encoded.size, &error);
    if (status != ST_OK)
        panic("a decision does not fit its own state: %s", error.message);
    draft->flush_left = fold.flush_left;
    if (event_has(event->event_type, EVENT_CLOSE) ||
        event->event_type == enums_EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES ||
        event->event_type == enums_EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED)
        draft->row_changed = true;
    return event->event_id;
}

int64_t draft_event(struct draft *draft, struct history_HistoryEvent *event)
{
    if (event_has(event->event_type, EVENT_CLOSE))
        close_effects(draft, event);
    else
        task_materialize(draft);
    return event_write(draft, event);
}

int64_t draft_write(struct draft *draft, int32_t type, const void *attributes)
{
    struct history_HistoryEvent event = event_make(type, attributes);
    return draft_event(draft, &event);
}

void draft_buffer(struct draft *draft, struct history_HistoryEvent *event)
{
    assert(event_has(event->event_type, EVENT_BUFFERED));
    if (event->event_time == NULL)
        event->event_time = timestamp_or_null(draft->arena, draft->env->now);
    struct bytes encoded = event_encode(event, draft->arena);
    draft_change(draft, (struct state_Change){ .kind_case = CHANGE_BUFFERED, .buffered = encoded });
}

void draft_arrive(struct draft *draft, struct history_HistoryEvent *event)
{
    if (task_is_started(draft->state) && MUTANT(buffered_event_dropped))
        return;
    if (task_is_started(draft->state))
        draft_buffer(draft, event);
    else
        draft_event(draft, event);
    if (event_has(event->event_type, EVENT_WAKES))
        draft->wants_task = true;
}

/* The start of an activity or child that goes with an end was buffered before it, so it has its id by the time the end is
 * written. Activities and children are known by ids of events, which they cannot share. */
void event_patch_started_id(struct history_HistoryEvent *event, const int64_t (*started)[2], size_t count)
{
    int64_t *started_id, scheduled_id;
    void    *attributes = (void *)(uintptr_t)event_attributes(event);
    switch (event->event_type) {
    case enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        started_id = &((struct history_ActivityTaskCompletedEventAttributes *)attributes)->started_event_id;
        scheduled_id =
            ((struct history_ActivityTaskCompletedEventAttributes *)attributes)->scheduled_event_id;
        break;
    case enums_EVENT_TYPE_ACTIVITY_TASK_FAILED:
        started_id = &((struct history_ActivityTaskFailedEventAttributes *)attributes)->started_event_id;
        scheduled_id = ((struct history_ActivityTaskFailedEventAttributes *)attributes)->scheduled_event_id;
        break;
    case enums_EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        started_id = &((struct history_ActivityTaskTimedOutEventAttributes *)attributes)->started_event_id;
        scheduled_id = ((struct history_ActivityTaskTimedOutEventAttributes *)attributes)->scheduled_event_id;
        break;
    case enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        started_id = &((struct history_ActivityTaskCanceledEventAttributes *)attributes)->started_event_id;
        scheduled_id = ((struct history_ActivityTaskCanceledEventAttributes *)attributes)->scheduled_event_id;
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        started_id = &event->child_workflow_execution_completed_event_attributes->started_event_id;
        scheduled_id = child_initiated_id(event);
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        started_id = &event->child_workflow_execution_failed_event_attributes->started_event_id;
        scheduled_id = child_initiated_id(event);
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        started_id = &event->child_workflow_execution_canceled_event_attributes->started_event_id;
        scheduled_id = child_initiated_id(event);
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        started_id = &event->child_workflow_execution_timed_out_event_attributes->started_event_id;
        scheduled_id = child_initiated_id(event);
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        started_id = &event->child_workflow_execution_terminated_event_attributes->started_event_id;
        scheduled_id = child_initiated_id(event);
        break;
    default:
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (started[i][0] == scheduled_id)
            *started_id = started[i][1];
}

uint32_t draft_flush(struct draft *draft)
{
    uint32_t count = draft->state->buffer_count;
    if (count == 0)
        return 0;
    struct history_HistoryEvent **events = ARENA_NEW_ARRAY(draft->arena, struct history_HistoryEvent *,
                                                           count);
    int64_t(*started)[2] = arena_must(arena_zalloc(draft->arena, count, sizeof(*started)));
    size_t started_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct error error = { 0 };
        if (event_decode(draft->state->buffer[i], draft->arena, &events[i], &error) != ST_OK)
            panic("the buffer holds what was never put there: %s", error.message);
    }
    draft_change(draft, (struct state_Change){ .kind_case = CHANGE_FLUSHED, .flushed = count });
    for (int ends = 0; ends <= 1; ends++) {
        for (uint32_t i = 0; i < count; i++) {
            if (event_has(events[i]->event_type, EVENT_END) !=
                ((ends == 1) != MUTANT(buffer_flushed_ends_first)))
                continue;
            event_patch_started_id(events[i], (const int64_t(*)[2])started, started_count);
            int64_t id = draft_event(draft, events[i]);
            if (events[i]->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_STARTED) {
                started[started_count][0] =
                    events[i]->activity_task_started_event_attributes->scheduled_event_id;
                started[started_count++][1] = id;
            } else if (events[i]->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) {
                started[started_count][0] = child_initiated_id(events[i]);
                started[started_count++][1] = id;
            }
        }
    }
    draft->own_buffered = 0;
    return count;
}

/* --- changes and rows --- */

void draft_change(struct draft *draft, struct state_Change change)
{
    if (change.kind_case != CHANGE_STICKY)
        task_materialize(draft);
    change.after = (uint32_t)draft->event_count;
    if (change.time == 0)
        change.time = draft->env->now;
    *APPEND(draft, change) = change;
    struct fold  fold = { .state = draft->state, .arena = draft->arena, .flush_left = draft->flush_left };
    struct error error = { 0 };
    if (fold_change(&fold, &change, &error) != ST_OK)
        panic("a decision does not fit its own state: %s", error.message);
    draft->flush_left = fold.flush_left;
}

void draft_cut(struct draft *draft)
{
    assert(draft->head_events == 0 && draft->event_count != 0 && draft->flush_left == 0);
    draft->head_events = draft->event_count;
    draft->head_changes = draft->change_count;
    draft->state->transitions++;
}

void draft_volatile(struct draft *draft, struct state_Change change)
{
    if (change.time == 0)
        change.time = draft->env->now;
    *APPEND(draft, fleeting) = change;
    struct fold  fold = { .state = draft->state, .arena = draft->arena };
    struct error error = { 0 };
    if (fold_volatile(&fold, &change, &error) != ST_OK)
        panic("a decision does not fit its own state: %s", error.message);
}

void draft_tell(struct draft *draft, struct bytes subject, int what, struct bytes body)
{
    struct news *news = NULL;
    for (size_t i = 0; i < draft->news_count && news == NULL; i++)
        if (bytes_equal(draft->news[i].subject, subject))
            news = &draft->news[i];
    if (news == NULL) {
        draft->news = append(draft, draft->news, &draft->news_count, &draft->news_capacity, sizeof(*news));
        news = &draft->news[draft->news_count - 1];
    }
    *news = (struct news){ .subject = arena_copy(draft->arena, subject),
                           .what = what,
                           .body = arena_copy(draft->arena, body) };
}

static struct store_ready row_of(struct draft *draft, enum store_task_kind kind, struct bytes queue)
{
    const struct execution *state = draft->state;
    return (struct store_ready){
        .sequence = env_number(draft->env),
        .namespace_number = state->namespace_number,
        .queue = arena_copy(draft->arena, queue),
        .kind = kind,
        .run = state->number,
        .workflow_id = arena_copy(draft->arena, state->workflow_id),
        .created_time = draft->env->now,
    };
}

struct store_ready *draft_ready(struct draft *draft, enum store_task_kind kind, struct bytes queue)
{
    draft->ready = append(draft, draft->ready, &draft->ready_count, &draft->ready_capacity,
                          sizeof(*draft->ready));
    struct store_ready *row = &draft->ready[draft->ready_count - 1];
    *row = row_of(draft, kind, queue);
    return row;
}

struct store_ready *draft_offer(struct draft *draft, struct bytes queue)
{
    draft->offer = ARENA_NEW(draft->arena, struct store_ready);
    *draft->offer = row_of(draft, STORE_TASK_WORKFLOW, queue);
    draft->offer->without_row = true;
    return draft->offer;
}

/* What an activity says of its own wins over what its workflow says, field by field. */
static struct common_Priority priority_of(struct bytes inherited, struct bytes own, struct arena *arena)
{
    struct common_Priority priority = { 0 }, of_own = { 0 };
    struct error           error;
    if (inherited.size != 0 && pb_decode(&pb_common_Priority, inherited, arena, &priority, &error) != ST_OK)
        priority = (struct common_Priority){ 0 };
    if (own.size != 0 && pb_decode(&pb_common_Priority, own, arena, &of_own, &error) == ST_OK) {
        if (of_own.priority_key != 0)
            priority.priority_key = of_own.priority_key;
        if (of_own.fairness_key.size != 0)
            priority.fairness_key = of_own.fairness_key;
        if (of_own.fairness_weight != 0)
            priority.fairness_weight = of_own.fairness_weight;
    }
    return priority;
}

struct bytes priority_merge(struct bytes inherited, struct bytes own, struct arena *arena)
{
    if (inherited.size == 0 || own.size == 0)
        return arena_copy(arena, own.size != 0 ? own : inherited);
    struct common_Priority priority = priority_of(arena_copy(arena, inherited), own, arena);
    return pb_encode_arena(&pb_common_Priority, &priority, arena);
}

void draft_row_priority(struct store_ready *row, struct bytes inherited, struct bytes own,
                        struct arena *arena)
{
    struct common_Priority priority = priority_of(inherited, own, arena);
    row->priority = priority.priority_key <= 0 ? PRIORITY_DEFAULT : MIN(priority.priority_key, PRIORITY_MAX);
    row->fairness_key = arena_copy(arena, priority.fairness_key);
    row->fairness_weight = fairness_weight_stored(priority.fairness_weight);
}

void draft_unready(struct draft *draft, store_number sequence)
{
    if (sequence == 0)
        return;
    /* A row of this very transition was never written. */
    for (size_t i = 0; i < draft->ready_count; i++) {
        if (draft->ready[i].sequence == sequence) {
            draft->ready[i] = draft->ready[--draft->ready_count];
            return;
        }
    }
    draft->unready = append(draft, draft->unready, &draft->unready_count, &draft->unready_capacity,
                            sizeof(*draft->unready));
    draft->unready[draft->unready_count - 1] = sequence;
}

struct uuid draft_uuid(struct draft *draft)
{
    const uint64_t *entropy = draft->env->entropy;
    uint64_t        counter = ++draft->uuids_taken;
    uint64_t        halves[2] = { hash_combine(entropy[0], counter), hash_combine(entropy[1], counter) };
    struct uuid     uuid;
    memcpy(uuid.byte, halves, sizeof(halves));
    uuid.byte[6] = (uint8_t)((uuid.byte[6] & 0x0F) | 0x40);
    uuid.byte[8] = (uint8_t)((uuid.byte[8] & 0x3F) | 0x80);
    return uuid;
}

struct bytes draft_uuid_text(struct draft *draft)
{
    struct uuid uuid = draft_uuid(draft);
    return uuid_text(draft->arena, &uuid);
}

int64_t draft_random_below(struct draft *draft, int64_t limit)
{
    if (limit <= 0)
        return 0;
    return (int64_t)(hash_combine(draft->env->entropy[2], ++draft->uuids_taken) % (uint64_t)limit);
}

int64_t draft_random_permille(struct draft *draft)
{
    return draft_random_below(draft, 1000);
}

struct entity_message message_make(struct arena *arena, int64_t namespace_number, struct bytes workflow_id,
                                   const struct uuid *run_id, const struct state_Message *message)
{
    struct entity_message made = {
        .kind = ENTITY_WORKFLOW,
        .namespace_number = namespace_number,
        .business_id = arena_copy(arena, workflow_id),
        .body = pb_encode_arena(&pb_state_Message, message, arena),
    };
    if (run_id != NULL) {
        made.has_run_id = true;
        made.run_id = *run_id;
    }
    return made;
}

void draft_send(struct draft *draft, struct bytes workflow_id, const struct uuid *run_id,
                const struct state_Message *message)
{
    struct entity_message *sent = APPEND(draft, message);
    *sent = message_make(draft->arena, draft->state->namespace_number, workflow_id, run_id, message);
}

void draft_request(struct draft *draft, struct bytes workflow_id, const struct uuid *run_id,
                   const struct state_Message *message)
{
    struct entity_message *sent = APPEND(draft, request);
    *sent = message_make(draft->arena, draft->state->namespace_number, workflow_id, run_id, message);
}

/* --- the end --- */

static struct store_run *row_make(struct draft *draft)
{
    const struct execution *state = draft->state;
    struct store_run       *run = ARENA_NEW(draft->arena, struct store_run);
    *run = execution_run_row(state, draft->env->namespace, draft->arena);
    if (state->close_time != 0) {
        struct buffer snapshot = { 0 };
        execution_snapshot(state, &snapshot);
        run->snapshot = arena_copy(draft->arena, buffer_bytes(&snapshot));
        buffer_release(&snapshot);
    }
    return run;
}

static struct bytes delta_encode(struct draft *draft, struct state_Change *changes, size_t count,
                                 bool is_volatile)
{
    struct state_Delta delta = { .changes = changes, .changes_count = count, .is_volatile = is_volatile };
    return pb_encode_arena(&pb_state_Delta, &delta, draft->arena);
}

void draft_finish(struct draft *draft, struct transition *ret_transition)
{
    assert(draft->flush_left == 0);
    bool is_volatile = draft->event_count == 0 && draft->change_count == 0;
    assert(!is_volatile || (draft->ready_count == 0 && draft->unready_count == 0 && !draft->row_changed));
    for (size_t i = 0; i < draft->request_count && draft->state->close_time == 0; i++)
        *APPEND(draft, message) = draft->requests[i];
    assert(!is_volatile || draft->message_count == 0);
    *ret_transition = (struct transition){
        .first_event_id = draft->first_event_id,
        .is_volatile = is_volatile,
        .ready = draft->ready,
        .ready_count = draft->ready_count,
        .unready = draft->unready,
        .unready_count = draft->unready_count,
        .messages = draft->messages,
        .message_count = draft->message_count,
        .offer = draft->offer,
        .news = draft->news,
        .news_count = draft->news_count,
    };
    if (draft->fleeting_count != 0)
        ret_transition->volatile_delta = delta_encode(draft, draft->fleetings, draft->fleeting_count, true);
    if (is_volatile)
        return;
    draft->state->transitions++;
    size_t head = draft->head_changes;
    ret_transition->head_count = draft->head_events;
    if (draft->head_events != 0)
        ret_transition->head_delta = delta_encode(draft, draft->changes, head, false);
    for (size_t i = head; i < draft->change_count; i++)
        draft->changes[i].after -= (uint32_t)draft->head_events;
    ret_transition->events = draft->events;
    ret_transition->event_count = draft->event_count;
    ret_transition->delta = draft->change_count == head ? delta_encode(draft, NULL, 0, false)
                                                        : delta_encode(draft, draft->changes + head,
                                                                       draft->change_count - head, false);
    ret_transition->run = draft->row_changed ? row_make(draft) : NULL;
}
