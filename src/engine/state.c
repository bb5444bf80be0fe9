/* state.c: ownership and look-ups of an execution's state. */
#include "engine/state.h"
#include "base/mutant.h"

#include "base/hash.h"

/* --- texts and arrays --- */

static void text_free(struct execution *execution, struct bytes *slot)
{
    if (execution->arena == NULL && slot->base != NULL) {
        execution->memory -= slot->size;
        free((void *)(uintptr_t)slot->base);
    }
    *slot = BYTES_EMPTY;
}

void execution_set(struct execution *execution, struct bytes *slot, struct bytes value)
{
    if (execution->arena != NULL) {
        *slot = value.size == 0 ? BYTES_EMPTY : value;
        return;
    }
    uint8_t *copy = NULL;
    if (value.size != 0) { /* before the old one goes: it may be a part of it */
        copy = xmalloc(value.size);
        memcpy(copy, value.base, value.size);
    }
    text_free(execution, slot);
    *slot = bytes_of(copy, value.size);
    execution->memory += value.size;
}

void execution_set_pause(struct execution *execution, struct pause *slot, const struct pause *value)
{
    static const struct pause none;
    if (value == NULL)
        value = &none;
    slot->time = value->time;
    execution_set(execution, &slot->identity, value->identity);
    execution_set(execution, &slot->reason, value->reason);
    execution_set(execution, &slot->request_id, value->request_id);
}

void *execution_grow(struct execution *execution, void *array, uint32_t count, uint32_t *capacity,
                     size_t size)
{
    if (count < *capacity)
        return array;
    uint32_t larger = count < 2 ? count + 1 : count + count / 2;
    if (execution->arena == NULL) {
        execution->memory += (larger - *capacity) * size;
        array = xrealloc(array, larger * size);
    } else {
        void *copy = ARENA_NEW_ARRAY(execution->arena, uint8_t, larger *size);
        if (count != 0)
            memcpy(copy, array, count * size);
        array = copy;
    }
    *capacity = larger;
    return array;
}

static void array_free(struct execution *execution, void *array, uint32_t *count, uint32_t *capacity,
                       size_t size)
{
    if (execution->arena == NULL) {
        free(array);
        execution->memory -= *capacity * size;
    }
    *count = *capacity = 0;
}
#define ARRAY_FREE(execution, array, count, capacity)                                                        \
    do {                                                                                                     \
        array_free((execution), (array), &(count), &(capacity), sizeof(*(array)));                           \
        (array) = NULL;                                                                                      \
    } while (0)

static void *array_copy(struct arena *arena, const void *array, size_t count, size_t size)
{
    if (count == 0)
        return NULL;
    void *copy = ARENA_NEW_ARRAY(arena, uint8_t, count *size);
    memcpy(copy, array, count * size);
    return copy;
}

/* --- life --- */

static void identity_set(struct execution *execution, const struct entity_identity *identity)
{
    execution->namespace_number = identity->namespace_number;
    execution->number = identity->number;
    execution->run_id = identity->run_id;
    execution->next_event_id = 1;
    execution_set(execution, &execution->namespace_id, identity->namespace_id);
    execution_set(execution, &execution->workflow_id, identity->business_id);
}

struct execution *execution_new(const struct entity_identity *identity)
{
    struct execution *execution = xcalloc(1, sizeof(*execution));
    execution->memory = sizeof(*execution);
    identity_set(execution, identity);
    return execution;
}

struct execution *execution_draft_new(const struct entity_identity *identity, struct arena *arena)
{
    struct execution *draft = ARENA_NEW(arena, struct execution);
    draft->arena = arena;
    identity_set(draft, identity);
    return draft;
}

struct execution *execution_draft(const struct execution *live, struct arena *arena)
{
    struct execution *draft = ARENA_NEW(arena, struct execution);
    *draft = *live;
    draft->arena = arena;
    draft->activities = array_copy(arena, live->activities, live->activity_count, sizeof(*live->activities));
    draft->timers = array_copy(arena, live->timers, live->timer_count, sizeof(*live->timers));
    draft->buffer = array_copy(arena, live->buffer, live->buffer_count, sizeof(*live->buffer));
    draft->attached = array_copy(arena, live->attached, live->attached_count, sizeof(*live->attached));
    draft->reset_points = array_copy(arena, live->reset_points, live->reset_point_count,
                                     sizeof(*live->reset_points));
    execution_children_share(draft, live);
    draft->callbacks = array_copy(arena, live->callbacks, live->callback_count, sizeof(*live->callbacks));
    draft->callback_capacity = live->callback_count;
    draft->activity_capacity = live->activity_count;
    draft->timer_capacity = live->timer_count;
    draft->buffer_capacity = live->buffer_count;
    draft->attached_capacity = live->attached_count;
    draft->reset_point_capacity = live->reset_point_count;
    return draft;
}

static void activity_free(struct execution *execution, struct activity *activity)
{
    if (execution->arena != NULL)
        return;
    struct bytes *texts[] = { &activity->activity_id,
                              &activity->type,
                              &activity->queue,
                              &activity->retry_policy,
                              &activity->identity,
                              &activity->request_id,
                              &activity->last_failure,
                              &activity->priority,
                              &activity->heartbeat_details,
                              &activity->volatile_details,
                              &activity->original_options };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        text_free(execution, texts[i]);
    execution_set_pause(execution, &activity->pause, NULL);
    execution->memory -= sizeof(*activity);
    free(activity);
}

void execution_task_clear(struct execution *execution)
{
    text_free(execution, &execution->task.identity);
    text_free(execution, &execution->task.request_id);
    execution->task = (struct workflow_task){ 0 };
}

void execution_buffer_clear(struct execution *execution)
{
    for (uint32_t i = 0; i < execution->buffer_count; i++)
        text_free(execution, &execution->buffer[i]);
    ARRAY_FREE(execution, execution->buffer, execution->buffer_count, execution->buffer_capacity);
    execution->buffer_size = 0;
}

const struct update_book *execution_updates(const struct execution *execution)
{
    static const struct update_book none = { 0 };
    return execution->updates == NULL ? &none : execution->updates;
}

struct update_book *execution_updates_write(struct execution *execution)
{
    const struct update_book *old = execution_updates(execution);
    if (old->owner == execution)
        return execution->updates;
    struct update_book *book;
    if (execution->arena == NULL) {
        assert(execution->updates == NULL);
        book = xcalloc(1, sizeof(*book));
        execution->memory += sizeof(*book);
    } else {
        book = ARENA_NEW(execution->arena, struct update_book);
        *book = *old;
        book->updates = array_copy(execution->arena, old->updates, old->update_count, sizeof(*old->updates));
        book->waiting = array_copy(execution->arena, old->waiting, old->waiting_count, sizeof(*old->waiting));
        book->update_capacity = old->update_count;
        book->waiting_capacity = old->waiting_count;
    }
    book->owner = execution;
    execution->updates = book;
    return book;
}

static void updates_stop_waiting(struct execution *execution)
{
    if (execution_updates(execution)->waiting_count == 0)
        return;
    struct update_book *book = execution_updates_write(execution);
    for (uint32_t i = 0; i < book->waiting_count; i++) {
        text_free(execution, &book->waiting[i].id);
        text_free(execution, &book->waiting[i].request);
    }
    ARRAY_FREE(execution, book->waiting, book->waiting_count, book->waiting_capacity);
    book->waiting_size = 0;
}

static void updates_free(struct execution *execution)
{
    struct update_book *book = execution->updates;
    if (book == NULL)
        return;
    for (uint32_t i = 0; i < book->update_count; i++)
        text_free(execution, &book->updates[i].id);
    ARRAY_FREE(execution, book->updates, book->update_count, book->update_capacity);
    ARRAY_FREE(execution, book->waiting, book->waiting_count, book->waiting_capacity);
    execution->memory -= sizeof(*book);
    free(book);
    execution->updates = NULL;
}

void execution_unset(struct execution *execution, struct bytes *slot)
{
    text_free(execution, slot);
}

void execution_drop_pending(struct execution *execution)
{
    for (uint32_t i = 0; i < execution->activity_count; i++)
        activity_free(execution, execution->activities[i].record);
    ARRAY_FREE(execution, execution->activities, execution->activity_count, execution->activity_capacity);
    for (uint32_t i = 0; i < execution->timer_count; i++)
        text_free(execution, &execution->timers[i].id);
    ARRAY_FREE(execution, execution->timers, execution->timer_count, execution->timer_capacity);
    execution_children_drop(execution);
    execution_buffer_clear(execution);
    execution_task_clear(execution);
    updates_stop_waiting(execution);
    ARRAY_FREE(execution, execution->signal_ids, execution->signal_id_count, execution->signal_id_capacity);
    execution_set(execution, &execution->sticky_queue, BYTES_EMPTY);
    execution->sticky_timeout = 0;
    execution_set_pause(execution, &execution->pause, NULL);
    execution->backoff_pending = execution->close_blocked = execution->awaits_parent = false;
}

/* --- what resets have made of it --- */

const struct lineage *execution_lineage(const struct execution *execution)
{
    static const struct lineage none;
    return execution->lineage == NULL ? &none : execution->lineage;
}

struct lineage *execution_lineage_write(struct execution *execution)
{
    struct lineage *lineage = execution->lineage;
    if (lineage != NULL && lineage->owner == execution)
        return lineage;
    if (execution->arena != NULL) {
        lineage = ARENA_NEW(execution->arena, struct lineage);
        *lineage = *execution_lineage(execution);
    } else {
        lineage = xcalloc(1, sizeof(*lineage));
        execution->memory += sizeof(*lineage);
    }
    lineage->owner = execution;
    execution->lineage = lineage;
    return lineage;
}

void execution_prefix_set(struct execution *execution, const struct state_HistorySegment *prefix,
                          size_t count)
{
    struct lineage *lineage = execution_lineage_write(execution);
    size_t          size = sizeof(*lineage->prefix);
    if (execution->arena == NULL) {
        free(lineage->prefix);
        execution->memory += (count - lineage->prefix_count) * size;
        lineage->prefix = count == 0 ? NULL : xcalloc(count, size);
    } else {
        lineage->prefix = ARENA_NEW_ARRAY(execution->arena, struct history_segment, count + 1);
    }
    lineage->prefix_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        lineage->prefix[i] = (struct history_segment){ prefix[i].branch, prefix[i].last_event_id };
}

void execution_resets_set(struct execution *execution, const struct state_Reset *resets, size_t count)
{
    struct lineage     *lineage = execution_lineage_write(execution);
    struct known_reset *old = lineage->resets;
    uint32_t old_count = lineage->reset_count, kept = (uint32_t)MIN(count, (size_t)RESETS_KNOWN_MAX);
    size_t   size = sizeof(*old);
    resets += count - kept;
    if (execution->arena != NULL)
        lineage->resets = ARENA_NEW_ARRAY(execution->arena, struct known_reset, kept + 1);
    else
        lineage->resets = kept == 0 ? NULL : xcalloc(kept, size);
    for (uint32_t i = 0; i < kept; i++) {
        execution_set(execution, &lineage->resets[i].request_id, resets[i].request_id);
        execution_set(execution, &lineage->resets[i].run_id, resets[i].run_id);
    }
    lineage->reset_count = kept;
    if (execution->arena != NULL)
        return;
    execution->memory += kept * size;
    for (uint32_t i = 0; i < old_count; i++) {
        text_free(execution, &old[i].request_id);
        text_free(execution, &old[i].run_id);
    }
    execution->memory -= old_count * size;
    free(old);
}

static void lineage_free(struct execution *execution)
{
    if (execution->lineage == NULL)
        return;
    execution_prefix_set(execution, NULL, 0);
    execution_resets_set(execution, NULL, 0);
    text_free(execution, &execution->lineage->reset_run_id);
    text_free(execution, &execution->lineage->late_answers);
    text_free(execution, &execution->lineage->reset_request_id);
    execution->memory -= sizeof(*execution->lineage);
    free(execution->lineage);
}

const struct history_segment *execution_prefix_copy(const struct execution *execution, struct arena *arena)
{
    const struct lineage *lineage = execution_lineage(execution);
    return array_copy(arena, lineage->prefix, lineage->prefix_count, sizeof(*lineage->prefix));
}

void execution_free(struct execution *execution)
{
    if (execution == NULL)
        return;
    assert(execution->arena == NULL);
    execution_drop_pending(execution);
    struct bytes *texts[] = { &execution->namespace_id,
                              &execution->workflow_id,
                              &execution->type,
                              &execution->queue,
                              &execution->cron,
                              &execution->start_request_id,
                              &execution->retry_policy,
                              &execution->memo,
                              &execution->search_attributes,
                              &execution->priority,
                              &execution->versioning_override };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        text_free(execution, texts[i]);
    for (uint32_t i = 0; i < execution->attached_count; i++)
        text_free(execution, &execution->attached[i].request_id);
    ARRAY_FREE(execution, execution->attached, execution->attached_count, execution->attached_capacity);
    updates_free(execution);
    for (uint32_t i = 0; i < execution->reset_point_count; i++) {
        text_free(execution, &execution->reset_points[i].checksum);
        text_free(execution, &execution->reset_points[i].build_id);
        text_free(execution, &execution->reset_points[i].run_id);
    }
    ARRAY_FREE(execution, execution->reset_points, execution->reset_point_count,
               execution->reset_point_capacity);
    lineage_free(execution);
    for (uint32_t i = 0; i < execution->callback_count; i++) {
        text_free(execution, &execution->callbacks[i].encoded);
        text_free(execution, &execution->callbacks[i].request_id);
        text_free(execution, &execution->callbacks[i].failure);
    }
    ARRAY_FREE(execution, execution->callbacks, execution->callback_count, execution->callback_capacity);
    execution_family_free(execution);
    assert(execution->memory == sizeof(*execution));
    free(execution);
}

/* --- activities --- */

bool execution_slot_find(const void *slots, uint32_t count, size_t size, int64_t event_id, uint32_t *ret_at)
{
    uint32_t low = 0, high = count;
    int64_t  found;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        memcpy(&found, (const uint8_t *)slots + middle * size, sizeof(found));
        if (found == event_id) {
            *ret_at = middle;
            return true;
        }
        if (found < event_id)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static_assert(offsetof(struct activity_slot, scheduled_event_id) == 0,
              "slots are found by their first member");
static bool activity_find(const struct execution *execution, int64_t scheduled_event_id, uint32_t *ret_at)
{
    return execution_slot_find(execution->activities, execution->activity_count,
                               sizeof(*execution->activities), scheduled_event_id, ret_at);
}

const struct activity *execution_activity(const struct execution *execution, int64_t scheduled_event_id)
{
    uint32_t at;
    return activity_find(execution, scheduled_event_id, &at) ? execution->activities[at].record : NULL;
}

const struct activity *execution_activity_by_id(const struct execution *execution, struct bytes id)
{
    uint64_t hash = hash_stable(id);
    for (uint32_t i = 0; i < execution->activity_count; i++) {
        const struct activity_slot *slot = &execution->activities[i];
        if (slot->id_hash == hash && bytes_equal(slot->record->activity_id, id))
            return slot->record;
    }
    return NULL;
}

struct activity *execution_activity_write(struct execution *execution, int64_t scheduled_event_id)
{
    uint32_t at;
    if (!activity_find(execution, scheduled_event_id, &at))
        return NULL;
    struct activity *record = execution->activities[at].record;
    if (record->owner != execution) {
        assert(execution->arena != NULL);
        struct activity *copy = ARENA_NEW(execution->arena, struct activity);
        *copy = *record;
        copy->owner = execution;
        execution->activities[at].record = record = copy;
    }
    return record;
}

struct activity *execution_activity_add(struct execution *execution, int64_t scheduled_event_id,
                                        struct bytes id)
{
    uint32_t at = execution->activity_count;
    if (at != 0 && execution->activities[at - 1].scheduled_event_id >= scheduled_event_id)
        return NULL;
    execution->activities = execution_grow(execution, execution->activities, at,
                                           &execution->activity_capacity, sizeof(*execution->activities));
    struct activity *record;
    if (execution->arena != NULL) {
        record = ARENA_NEW(execution->arena, struct activity);
    } else {
        record = xcalloc(1, sizeof(*record));
        execution->memory += sizeof(*record);
    }
    record->owner = execution;
    record->scheduled_event_id = scheduled_event_id;
    execution_set(execution, &record->activity_id, id);
    execution->activities[at] = (struct activity_slot){ scheduled_event_id, hash_stable(id), record };
    execution->activity_count++;
    return record;
}

void execution_activity_remove(struct execution *execution, int64_t scheduled_event_id)
{
    uint32_t at;
    if (!activity_find(execution, scheduled_event_id, &at))
        return;
    activity_free(execution, execution->activities[at].record);
    execution->activity_count--;
    memmove(&execution->activities[at], &execution->activities[at + 1],
            (execution->activity_count - at) * sizeof(*execution->activities));
    if (execution->activity_count == 0)
        ARRAY_FREE(execution, execution->activities, execution->activity_count, execution->activity_capacity);
}

struct bytes activity_details(const struct activity *activity)
{
    if (activity->has_volatile_details)
        return activity->volatile_details.size == 0 ? BYTES_EMPTY : activity->volatile_details;
    return activity->has_heartbeat_details ? activity->heartbeat_details : BYTES_EMPTY;
}

static void due_min(int64_t *due, int32_t *type, int64_t candidate, int32_t candidate_type)
{
    if (candidate < *due) {
        *due = candidate;
        *type = candidate_type;
    }
}

int64_t activity_due(const struct execution *execution, const struct activity *activity, int32_t *ret_type)
{
    int64_t due = TIME_NEVER;
    int32_t type = 0;
    /* First, so that of two that are due together it is this one which is told: a task that was started in the transition
     * that scheduled it began at that very moment. */
    if (activity->started_time != 0 && activity->schedule_to_close != 0)
        due_min(&due, &type, time_add(activity->first_scheduled_time, activity->schedule_to_close),
                enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
    if (activity->started_time != 0) {
        if (activity->start_to_close != 0 && !MUTANT(start_to_close_ignored))
            due_min(&due, &type, time_add(activity->started_time, activity->start_to_close),
                    enums_TIMEOUT_TYPE_START_TO_CLOSE);
        if (activity->heartbeat != 0 && !MUTANT(heartbeat_timeout_ignored)) {
            int64_t seen = MUTANT(heartbeat_timeout_from_start)
                               ? 0
                               : MAX(activity->heartbeat_time, activity->volatile_heartbeat);
            seen = MAX(seen, activity->loaded_time);
            seen = MAX(seen, activity->started_time);
            due_min(&due, &type, time_add(seen, activity->heartbeat), enums_TIMEOUT_TYPE_HEARTBEAT);
        }
    } else if (activity->pause.time != 0) {
        *ret_type = 0;
        return TIME_NEVER; /* it stays as it is until somebody ends the pause */
    } else if (execution_is_paused(execution)) {
        /* Nobody may take it, so that nobody took it in time is not its fault; only its whole time goes on. */
    } else if (activity->sequence == 0) {
        due = activity->scheduled_time; /* it backs off; type 0 */
    } else if (activity->schedule_to_start != 0) {
        due_min(&due, &type, time_add(activity->scheduled_time, activity->schedule_to_start),
                enums_TIMEOUT_TYPE_SCHEDULE_TO_START);
    }
    if (activity->started_time == 0 && activity->schedule_to_close != 0)
        due_min(&due, &type, time_add(activity->first_scheduled_time, activity->schedule_to_close),
                enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
    *ret_type = type;
    return due;
}

/* --- timers --- */

void execution_timer_add(struct execution *execution, struct bytes id, int64_t started_event_id,
                         int64_t fire_time)
{
    execution->timers = execution_grow(execution, execution->timers, execution->timer_count,
                                       &execution->timer_capacity, sizeof(*execution->timers));
    struct timer *timer = &execution->timers[execution->timer_count++];
    *timer = (struct timer){ .started_event_id = started_event_id, .fire_time = fire_time };
    execution_set(execution, &timer->id, id);
}

void execution_timer_remove(struct execution *execution, int64_t started_event_id)
{
    for (uint32_t i = 0; i < execution->timer_count; i++) {
        if (execution->timers[i].started_event_id != started_event_id)
            continue;
        text_free(execution, &execution->timers[i].id);
        execution->timers[i] = execution->timers[--execution->timer_count]; /* their order means nothing */
        if (execution->timer_count == 0)
            ARRAY_FREE(execution, execution->timers, execution->timer_count, execution->timer_capacity);
        return;
    }
}

const struct timer *execution_timer_by_id(const struct execution *execution, struct bytes id)
{
    for (uint32_t i = 0; i < execution->timer_count; i++)
        if (bytes_equal(execution->timers[i].id, id))
            return &execution->timers[i];
    return NULL;
}

/* --- the buffer --- */

void execution_buffer_add(struct execution *execution, struct bytes event)
{
    execution->buffer = execution_grow(execution, execution->buffer, execution->buffer_count,
                                       &execution->buffer_capacity, sizeof(*execution->buffer));
    struct bytes *slot = &execution->buffer[execution->buffer_count++];
    *slot = BYTES_EMPTY;
    execution_set(execution, slot, event);
    execution->buffer_size += event.size;
}

void execution_buffer_remove(struct execution *execution, uint32_t index)
{
    assert(index < execution->buffer_count);
    execution->buffer_size -= execution->buffer[index].size;
    text_free(execution, &execution->buffer[index]);
    execution->buffer_count--;
    memmove(&execution->buffer[index], &execution->buffer[index + 1],
            (execution->buffer_count - index) * sizeof(*execution->buffer));
}

/* --- request ids --- */

/* UUIDs, which SDKs send, as they are; anything else by 128 bits of hash, of which a clash hurts only its own sender. */
static struct uuid fingerprint(struct bytes request_id)
{
    struct uuid uuid;
    if (request_id.size == UUID_TEXT_SIZE && uuid_parse(request_id, &uuid))
        return uuid;
    uint64_t halves[2] = { hash_stable(request_id), 0 };
    halves[1] = hash_combine(halves[0] + request_id.size, crc32c(0, request_id));
    memcpy(uuid.byte, halves, sizeof(halves));
    return uuid;
}

void execution_signal_id_add(struct execution *execution, struct bytes request_id)
{
    if (execution->arena != NULL)
        return; /* nothing within the same decision asks, and the set may be long */
    execution->signal_ids = execution_grow(execution, execution->signal_ids, execution->signal_id_count,
                                           &execution->signal_id_capacity, sizeof(*execution->signal_ids));
    execution->signal_ids[execution->signal_id_count++] = fingerprint(request_id);
}

void execution_signal_ids_set(struct execution *execution, struct bytes fingerprints)
{
    assert(execution->arena == NULL && execution->signal_ids == NULL);
    uint32_t count = (uint32_t)(fingerprints.size / sizeof(struct uuid));
    if (count == 0)
        return;
    execution->signal_ids = xmalloc(count * sizeof(struct uuid));
    memcpy(execution->signal_ids, fingerprints.base, count * sizeof(struct uuid));
    execution->signal_id_count = execution->signal_id_capacity = count;
    execution->memory += count * sizeof(struct uuid);
}

bool execution_signal_seen(const struct execution *execution, struct bytes request_id)
{
    struct uuid wanted = fingerprint(request_id);
    for (uint32_t i = execution->signal_id_count; i-- > 0;)
        if (memcmp(&execution->signal_ids[i], &wanted, sizeof(wanted)) == 0)
            return true;
    return false;
}

void execution_attach(struct execution *execution, struct bytes request_id, int64_t event_id)
{
    for (uint32_t i = 0; i < execution->attached_count; i++) {
        if (bytes_equal(execution->attached[i].request_id, request_id)) {
            execution->attached[i].event_id = event_id;
            return;
        }
    }
    execution->attached = execution_grow(execution, execution->attached, execution->attached_count,
                                         &execution->attached_capacity, sizeof(*execution->attached));
    struct attached_request *slot = &execution->attached[execution->attached_count++];
    *slot = (struct attached_request){ .event_id = event_id };
    execution_set(execution, &slot->request_id, request_id);
}

const struct attached_request *execution_attached(const struct execution *execution, struct bytes request_id)
{
    for (uint32_t i = 0; i < execution->attached_count; i++)
        if (bytes_equal(execution->attached[i].request_id, request_id))
            return &execution->attached[i];
    return NULL;
}

void execution_callback_add(struct execution *execution, const struct callback *callback)
{
    execution->callbacks = execution_grow(execution, execution->callbacks, execution->callback_count,
                                          &execution->callback_capacity, sizeof(*execution->callbacks));
    struct callback *slot = &execution->callbacks[execution->callback_count++];
    *slot = *callback;
    slot->encoded = slot->request_id = slot->failure = BYTES_EMPTY;
    execution_set(execution, &slot->encoded, callback->encoded);
    execution_set(execution, &slot->request_id, callback->request_id);
    execution_set(execution, &slot->failure, callback->failure);
}

void execution_reset_point_add(struct execution *execution, const struct reset_point *point)
{
    if (execution->reset_point_count == RESET_POINTS_MAX) { /* the oldest goes */
        text_free(execution, &execution->reset_points[0].checksum);
        text_free(execution, &execution->reset_points[0].build_id);
        text_free(execution, &execution->reset_points[0].run_id);
        execution->reset_point_count--;
        memmove(&execution->reset_points[0], &execution->reset_points[1],
                execution->reset_point_count * sizeof(*execution->reset_points));
    }
    execution->reset_points = execution_grow(execution, execution->reset_points, execution->reset_point_count,
                                             &execution->reset_point_capacity,
                                             sizeof(*execution->reset_points));
    struct reset_point *slot = &execution->reset_points[execution->reset_point_count++];
    *slot = (struct reset_point){ .completed_event_id = point->completed_event_id,
                                  .create_time = point->create_time,
                                  .expire_time = point->expire_time,
                                  .not_resettable = point->not_resettable };
    execution_set(execution, &slot->checksum, point->checksum);
    execution_set(execution, &slot->build_id, point->build_id);
    execution_set(execution, &slot->run_id, point->run_id);
}

/* --- due times --- */

/* Nobody may be there to take a speculative task, and no row waits for somebody to come. */
#define SPECULATIVE_START_NS (5 * NS_PER_S)

int64_t execution_volatile_due(const struct execution *execution)
{
    const struct workflow_task *task = &execution->task;
    if (!task->is_speculative)
        return TIME_NEVER;
    if (task->started_time != 0)
        return time_add(task->started_time, task->timeout);
    bool sticky = task->is_sticky && execution->sticky_timeout != 0;
    return time_add(task->scheduled_time, sticky ? execution->sticky_timeout : SPECULATIVE_START_NS);
}

static int64_t task_due(const struct execution *execution)
{
    const struct workflow_task *task = &execution->task;
    if (!task->is_pending || task->is_speculative)
        return TIME_NEVER;
    if (task->started_time != 0)
        return MUTANT(task_timeout_ignored) ? TIME_NEVER : time_add(task->started_time, task->timeout);
    if (task->is_sticky && execution->sticky_timeout != 0)
        return time_add(task->scheduled_time, execution->sticky_timeout);
    return TIME_NEVER;
}

/* Of a closed run: when a callback is tried again. */
static int64_t callbacks_next(const struct execution *execution)
{
    int64_t due = TIME_NEVER;
    for (uint32_t i = 0; i < execution->callback_count; i++)
        if (execution->callbacks[i].state == enums_CALLBACK_STATE_BACKING_OFF)
            due = MIN(due, execution->callbacks[i].next_time);
    return due;
}

int64_t execution_next_due(const struct execution *execution)
{
    if (!execution_is_open(execution))
        return callbacks_next(execution);
    int64_t due = task_due(execution);
    if (execution->backoff_pending && !execution->awaits_parent && !execution_is_paused(execution))
        due = MIN(due, execution->execution_time);
    if (execution->run_expiration != 0 && !MUTANT(run_timeout_ignored))
        due = MIN(due, execution->run_expiration);
    if (execution->execution_expiration != 0)
        due = MIN(due, execution->execution_expiration);
    for (uint32_t i = 0; i < execution->timer_count; i++)
        due = MIN(due, execution->timers[i].fire_time);
    for (uint32_t i = 0; i < execution->activity_count; i++) {
        int32_t type;
        due = MIN(due, activity_due(execution, execution->activities[i].record, &type));
    }
    return due;
}
