/* damage_harness.h: stored transitions and snapshots, damaged at random: by bits, and by whole changes and events that are
 * missing, doubled, or another's. What comes from a disk may be any of it, and a checksum only makes it unlikely.
 *
 * Folding answers ST_OK (another state, if a possible one) or ST_DATA_LOSS; it never crashes. */
#ifndef ENGINE_DAMAGE_HARNESS_H
#define ENGINE_DAMAGE_HARNESS_H
#include "engine/engine_harness.h"

static inline struct bytes damage_bits(struct world *w, struct bytes bytes)
{
    if (bytes.size == 0)
        return bytes;
    uint8_t *copy = ARENA_NEW_ARRAY(&w->arena, uint8_t, bytes.size);
    memcpy(copy, bytes.base, bytes.size);
    size_t flips = 1 + (size_t)random_below(&w->random, 3);
    for (size_t i = 0; i < flips; i++)
        copy[random_below(&w->random, bytes.size)] ^= (uint8_t)(1U << random_below(&w->random, 8));
    return bytes_of(copy, random_below(&w->random, 4) == 0 ? (size_t)random_below(&w->random, bytes.size)
                                                           : bytes.size);
}

static inline struct world_row *damage_any_row(struct world *w, struct world_run *run)
{
    return &run->rows[random_below(&w->random, run->row_count)];
}

/* Another event of the run in the place of this one: its id and time stay. */
static inline struct bytes damage_event(struct world *w, struct world_run *run, struct bytes encoded)
{
    struct error                 error;
    struct history_HistoryEvent *event, *other;
    const struct world_row      *row = damage_any_row(w, run);
    if (row->event_count == 0)
        return damage_bits(w, encoded);
    struct bytes from = row->events[random_below(&w->random, row->event_count)];
    CHECK_INT(event_decode(encoded, &w->arena, &event, &error), ST_OK);
    CHECK_INT(event_decode(from, &w->arena, &other, &error), ST_OK);
    other->event_id = event->event_id;
    other->event_time = event->event_time;
    return pb_encode_arena(&pb_history_HistoryEvent, other, &w->arena);
}

/* A change less, one more, or one of another transition. */
static inline struct bytes damage_delta(struct world *w, struct world_run *run, struct bytes encoded)
{
    struct error       error;
    struct state_Delta delta = { 0 }, other = { 0 };
    struct bytes       from = damage_any_row(w, run)->delta;
    CHECK_INT(pb_decode(&pb_state_Delta, encoded, &w->arena, &delta, &error), ST_OK);
    CHECK_INT(pb_decode(&pb_state_Delta, from, &w->arena, &other, &error), ST_OK);
    struct state_Change *changes = ARENA_NEW_ARRAY(&w->arena, struct state_Change, delta.changes_count + 1);
    size_t               count = 0, at = (size_t)random_below(&w->random, delta.changes_count + 1);
    bool                 drops = other.changes_count == 0 || random_below(&w->random, 3) == 0;
    for (size_t i = 0; i < delta.changes_count; i++)
        if (!drops || i != at)
            changes[count++] = delta.changes[i];
    if (!drops) {
        changes[count] = other.changes[random_below(&w->random, other.changes_count)];
        changes[count].after = at < count ? changes[at].after : count == 0 ? 0 : changes[count - 1].after;
        struct state_Change last = changes[count];
        memmove(&changes[at + 1], &changes[at], (count - at) * sizeof(*changes));
        changes[at] = last;
        count++;
    }
    delta.changes = changes;
    delta.changes_count = count;
    return pb_encode_arena(&pb_state_Delta, &delta, &w->arena);
}

static inline void damage_record(struct world *w, struct world_run *run, struct transition_record *record)
{
    struct bytes *events = ARENA_NEW_ARRAY(&w->arena, struct bytes, record->event_count + 1);
    uint64_t      kind = random_below(&w->random, 4);
    memcpy(events, record->events, record->event_count * sizeof(*events));
    record->events = events;
    if (kind < 2 && record->event_count != 0) {
        struct bytes *victim = &events[random_below(&w->random, record->event_count)];
        *victim = kind == 0 ? damage_bits(w, *victim) : damage_event(w, run, *victim);
    } else {
        record->delta = kind == 2 ? damage_bits(w, record->delta) : damage_delta(w, run, record->delta);
    }
}

/* Folds the run with one transition damaged; whether that was found. */
static inline bool damage_fold(struct world *w, struct world_run *run)
{
    struct execution *folded = world_new_state(w, run);
    size_t            victim = (size_t)random_below(&w->random, run->row_count);
    enum status       status = ST_OK;
    for (size_t i = 0; i < run->row_count && status == ST_OK; i++) {
        struct error             error = { 0 };
        struct transition_record record = { .number = (int64_t)i + 1,
                                            .first_event_id = run->rows[i].first_event_id,
                                            .events = run->rows[i].events,
                                            .event_count = run->rows[i].event_count,
                                            .delta = run->rows[i].delta };
        if (i == victim)
            damage_record(w, run, &record);
        status = execution_apply(folded, &record, &error);
        CHECK(status == ST_OK || (status == ST_DATA_LOSS && error.message[0] != 0));
    }
    execution_free(folded);
    return status != ST_OK;
}

static inline void damage_restore(struct world *w, struct world_run *run)
{
    struct error      error = { 0 };
    struct execution *restored = workflow_kind.state_new(&run->identity);
    struct bytes      snapshot = damage_bits(w, world_snapshot(w, run->state));
    enum status       status = execution_restore(restored, snapshot, &error);
    CHECK(status == ST_OK || (status == ST_DATA_LOSS && error.message[0] != 0));
    execution_next_due(restored);
    execution_free(restored);
}
#endif
