/* batch_test.c: rows round-trip, and damage of any byte is noticed. */
#include "base/testing.h"
#include "history/batch.h"

static void row_make(struct buffer *packed, struct store_transition *row)
{
    static uint8_t     large[300];
    const struct bytes events[] = { BYTES("one"), BYTES(""), bytes_of(large, sizeof(large)) };
    buffer_init(packed);
    batch_pack(packed, events, ARRAY_COUNT(events));
    *row = (struct store_transition){ .branch = 7, .number = 1, .first_event_id = 1, .event_count = 3 };
    row->events = buffer_bytes(packed);
    row->delta = BYTES("delta");
    row->checksum = batch_checksum(row->events, row->delta);
}

TEST(events_come_back_as_they_were_packed)
{
    struct buffer           packed;
    struct store_transition row;
    struct arena            arena;
    struct bytes           *events;
    size_t                  count;
    struct error            error = { 0 };
    row_make(&packed, &row);
    arena_init(&arena, SIZE_MAX);
    CHECK_INT(batch_unpack(&row, &arena, &events, &count, &error), ST_OK);
    CHECK_INT(count, 3);
    CHECK_BYTES(events[0], BYTES("one"));
    CHECK_INT(events[1].size, 0);
    CHECK_INT(events[2].size, 300);
    arena_release(&arena);
    buffer_release(&packed);
}

TEST(a_flipped_bit_anywhere_is_data_loss)
{
    struct buffer           packed;
    struct store_transition row;
    struct arena            arena;
    struct error            error = { 0 };
    row_make(&packed, &row);
    arena_init(&arena, SIZE_MAX);
    for (size_t i = 0; i < packed.size; i++) {
        struct bytes *events;
        size_t        count;
        packed.base[i] ^= 1;
        CHECK_INT(batch_unpack(&row, &arena, &events, &count, &error), ST_DATA_LOSS);
        packed.base[i] ^= 1;
    }
    arena_release(&arena);
    buffer_release(&packed);
}

TEST(sizes_that_do_not_fit_are_data_loss_even_with_a_matching_checksum)
{
    struct buffer           packed;
    struct store_transition row;
    struct arena            arena;
    struct bytes           *events;
    size_t                  count;
    struct error            error = { 0 };
    row_make(&packed, &row);
    arena_init(&arena, SIZE_MAX);
    for (size_t cut = 0; cut < packed.size; cut++) {
        row.events.size = cut;
        row.checksum = batch_checksum(row.events, row.delta);
        CHECK_INT(batch_unpack(&row, &arena, &events, &count, &error), ST_DATA_LOSS);
    }
    row.events.size = packed.size;
    row.event_count = 2;
    row.checksum = batch_checksum(row.events, row.delta);
    CHECK_INT(batch_unpack(&row, &arena, &events, &count, &error), ST_DATA_LOSS);
    arena_release(&arena);
    buffer_release(&packed);
}
