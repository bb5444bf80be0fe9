/* fuzz_history.c: what comes from a disk: packed rows, snapshots and transitions, damaged in any way that no checksum saw.
 *
 * Input: a byte chooses packed rows or a kind of entity. Of an entity: a snapshot behind two bytes of size, two
 * bytes that say which event id comes next, then rows: two bytes for the number of events, and events and deltas as they are
 * stored, each behind two bytes of size. Checksums fit: what is tried is what they do not see.
 * What must hold: a row is unpacked or refused with DATA_LOSS, and what was unpacked packs to the same bytes; a state takes
 * a snapshot or transition or refuses it with words, never by an assert; what it became has a snapshot that is its own again.
 */
#include "api/api.h"
#include "base/log.h"
#include "engine/workflow.h"
#include "fuzz.h"
#include "history/batch.h"
#include "schedule/schedule.h"
#include "shard/shard_internal.h"

#define ROWS_MAX 64

/* --- packed rows --- */

static void check_row(struct fuzz_input *input)
{
    struct store_transition row = { .branch = 1, .number = 1, .event_count = (int32_t)fuzz_number(input, 4) };
    struct bytes           *events;
    size_t                  count;
    struct arena            arena;
    struct error            error;
    struct buffer           again = { 0 };
    row.delta = fuzz_text(input);
    row.events = fuzz_rest(input);
    row.checksum = batch_checksum(row.events, row.delta);
    arena_init(&arena, 1 << 20);
    enum status status = batch_unpack(&row, &arena, &events, &count, &error);
    if (status == ST_OK) {
        FUZZ_REQUIRE(count == (size_t)row.event_count, "%zu events", count);
        batch_pack(&again, events, count);
        /* A size may be written in more bytes than it needs. */
        FUZZ_REQUIRE(again.size <= row.events.size, "rows grow");
        FUZZ_REQUIRE(again.size < row.events.size || bytes_equal(buffer_bytes(&again), row.events),
                     "a row packs to another");
    } else {
        FUZZ_REQUIRE(status == ST_DATA_LOSS || status == ST_RESOURCE_EXHAUSTED, "%s", error.message);
    }
    row.checksum ^= 1;
    FUZZ_REQUIRE(batch_unpack(&row, &arena, &events, &count, &error) == ST_DATA_LOSS,
                 "a checksum is not read");
    buffer_release(&again);
    arena_release(&arena);
}

/* --- entities --- */

static void *state_of(const struct entity_kind *kind)
{
    struct entity_identity identity = { .namespace_number = 1,
                                        .namespace_id = BYTES("00000000-0000-4000-8000-000000000001"),
                                        .business_id = BYTES("w"),
                                        .number = 1 };
    memset(identity.run_id.byte, 7, sizeof identity.run_id.byte);
    return kind->state_new(&identity);
}

/* Asks all that the runtime asks of a state, and takes its snapshot there and back. */
static void check_state(const struct entity_kind *kind, const void *state)
{
    struct buffer                 first = { 0 }, second = { 0 };
    const struct history_segment *segments;
    struct error                  error;
    void                         *again = state_of(kind);
    (void)kind->state_size(state);
    (void)kind->next_due(state);
    (void)kind->is_open(state);
    (void)kind->last_event_time(state);
    if (kind->volatile_due != NULL)
        (void)kind->volatile_due(state);
    if (kind->is_pinned != NULL)
        (void)kind->is_pinned(state);
    if (kind->is_superseded != NULL)
        (void)kind->is_superseded(state);
    if (kind->history_prefix != NULL)
        (void)kind->history_prefix(state, &segments);
    if (kind->awaits_worker != NULL)
        (void)kind->awaits_worker(state);
    kind->snapshot(state, &first);
    /* Of all namespaces together it is for comparing only: their rows are what is read. */
    if (kind != &namespaces_kind && kind->restore(again, buffer_bytes(&first), &error) == ST_OK) {
        kind->snapshot(again, &second);
        FUZZ_REQUIRE(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)),
                     "a snapshot is not the state's");
    }
    kind->state_free(again);
    buffer_release(&first);
    buffer_release(&second);
}

static struct bytes sized(struct fuzz_input *input)
{
    return fuzz_take(input, (size_t)fuzz_number(input, 2));
}

static void check_status(enum status status, const struct error *error)
{
    FUZZ_REQUIRE(status == ST_OK || (status == ST_DATA_LOSS && error->message[0] != '\0'), "%s: %s",
                 status_name(status), error->message);
}

static void check_entity(const struct entity_kind *kind, struct fuzz_input *input)
{
    struct error error = { 0 };
    struct arena arena;
    void        *state = state_of(kind);
    struct bytes snapshot = sized(input);
    enum status  status = ST_OK;
    arena_init(&arena, SIZE_MAX);
    struct row_fold fold = { .kind = kind, .state = state, .end_event_id = INT64_MAX };
    fold.next_event_id = (int64_t)fuzz_number(input, 2);
    if (snapshot.size != 0) {
        status = kind->restore(state, snapshot, &error);
        check_status(status, &error);
        if (status == ST_OK && kind->loaded != NULL)
            kind->loaded(state, INT64_C(1790000000) * NS_PER_S);
    }
    while (status == ST_OK && input->left > 0 && fold.row_number < ROWS_MAX) {
        struct store_transition row = { .branch = 1, .number = fold.row_number + 1 };
        row.event_count = (int32_t)fuzz_number(input, 2);
        row.first_event_id = fold.next_event_id;
        row.events = sized(input);
        row.delta = sized(input);
        row.checksum = batch_checksum(row.events, row.delta);
        check_state(kind, state);
        status = fold_row(&fold, &row, &arena, &error);
        check_status(status, &error);
    }
    if (status == ST_OK)
        check_state(kind, state);
    kind->state_free(state);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    unsigned          choice = fuzz_byte(&input);
    log_set_level(LOG_OFF);
    if (choice < 16)
        check_row(&input);
    else
        check_entity(choice < 24   ? &namespaces_kind
                     : choice < 32 ? &task_queue_kind
                     : choice < 40 ? &tools_kind
                     : choice < 56 ? &schedule_kind
                                   : &workflow_kind,
                     &input);
    return 0;
}
