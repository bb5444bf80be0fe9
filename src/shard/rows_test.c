/* rows_test.c: rows from a disk may be anything: each kind of damage is told, and nothing is read beyond what is there. */
#include "shard/rows.h"

#include "base/testing.h"
#include "history/batch.h"

/* A state that counts its events, and refuses a delta "no". */
static enum status counter_apply(void *state, const struct transition_record *record, struct error *error)
{
    if (bytes_equal_text(record->delta, "no"))
        return error_set(error, ST_DATA_LOSS, "refused");
    *(int64_t *)state += (int64_t)record->event_count;
    return ST_OK;
}
static const struct entity_kind counter_kind = { .id = ENTITY_TEST,
                                                 .name = "counter",
                                                 .apply = counter_apply };

/* Folds one row of two events with this delta, behind row 0, up to `end`. */
static enum status fold_one(struct bytes delta, int64_t number, int64_t first_event_id, int64_t end,
                            int64_t *ret_count)
{
    static const struct bytes events[] = { { (const uint8_t *)"a", 1 }, { (const uint8_t *)"b", 1 } };
    struct buffer             packed = { 0 };
    struct arena              arena;
    struct error              error;
    arena_init(&arena, SIZE_MAX);
    batch_pack(&packed, events, 2);
    struct store_transition row = { .branch = 1,
                                    .number = number,
                                    .first_event_id = first_event_id,
                                    .event_count = 2,
                                    .checksum = batch_checksum(buffer_bytes(&packed), delta),
                                    .events = buffer_bytes(&packed),
                                    .delta = delta };
    struct row_fold         fold = {
                .kind = &counter_kind, .state = ret_count, .next_event_id = 1, .end_event_id = end
    };
    *ret_count = 0;
    enum status status = fold_row(&fold, &row, &arena, &error);
    buffer_release(&packed);
    arena_release(&arena);
    return status;
}

TEST(a_row_is_folded_transition_by_transition)
{
    int64_t count;
    CHECK_INT(fold_one(BYTES("\x02\x00"), 1, 1, INT64_MAX, &count), ST_OK);
    CHECK_INT(count, 2);
    CHECK_INT(fold_one(BYTES("\x01\x01x\x01\x00"), 1, 1, INT64_MAX, &count), ST_OK);
    CHECK_INT(count, 2);
    CHECK_INT(fold_one(BYTES("\x01\x01x\x01\x00"), 1, 1, 2, &count), ST_OK); /* up to the second event */
    CHECK_INT(count, 1);
}

TEST(a_damaged_row_is_data_loss)
{
    int64_t count;
    CHECK_INT(fold_one(BYTES("\x02\x00"), 2, 1, INT64_MAX, &count), ST_DATA_LOSS); /* a row is missing */
    CHECK_INT(fold_one(BYTES("\x02\x00"), 1, 2, INT64_MAX, &count), ST_DATA_LOSS); /* an event is */
    CHECK_INT(fold_one(BYTES("\x01\x00"), 1, 1, INT64_MAX, &count),
              ST_DATA_LOSS); /* an event of no transition */
    CHECK_INT(fold_one(BYTES("\x03\x00"), 1, 1, INT64_MAX, &count), ST_DATA_LOSS); /* more than there are */
    CHECK_INT(fold_one(BYTES("\x02"), 1, 1, INT64_MAX, &count), ST_DATA_LOSS);
    CHECK_INT(fold_one(BYTES("\x80"), 1, 1, INT64_MAX, &count), ST_DATA_LOSS);
    CHECK_INT(fold_one(BYTES("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00"), 1, 1, INT64_MAX, &count),
              ST_DATA_LOSS);
    CHECK_INT(fold_one(BYTES("\x02\x05x"), 1, 1, INT64_MAX, &count), ST_DATA_LOSS);
    CHECK_INT(fold_one(BYTES("\x02\x02no"), 1, 1, INT64_MAX, &count),
              ST_DATA_LOSS); /* what the kind refuses */
}

TEST(a_snapshot_of_unknown_form_is_data_loss)
{
    struct buffer good = { 0 };
    struct bytes  rest;
    struct error  error;
    int64_t       next;
    snapshot_begin(&good, 77);
    buffer_append_text(&good, "state");
    CHECK_INT(snapshot_open(buffer_bytes(&good), &rest, &next, &error), ST_OK);
    CHECK_INT(next, 77);
    CHECK_BYTES(rest, BYTES("state"));
    CHECK_INT(snapshot_open(BYTES_EMPTY, &rest, &next, &error), ST_DATA_LOSS);
    CHECK_INT(snapshot_open(BYTES("\x02\x01"), &rest, &next, &error), ST_DATA_LOSS);
    CHECK_INT(snapshot_open(BYTES("\x01"), &rest, &next, &error), ST_DATA_LOSS);
    CHECK_INT(snapshot_open(BYTES("\x01\x00"), &rest, &next, &error), ST_DATA_LOSS);
    CHECK_INT(snapshot_open(BYTES("\x01\xFF\xFF\xFF\xFF\x7F"), &rest, &next, &error), ST_DATA_LOSS);
    buffer_release(&good);
}

TEST(the_body_of_a_message_is_whole_or_refused)
{
    struct arena          arena;
    struct entity_message message = { .kind = ENTITY_TEST,
                                      .namespace_number = 5,
                                      .business_id = BYTES("to"),
                                      .has_run_id = true,
                                      .body = BYTES("what") };
    struct entity_message read;
    arena_init(&arena, SIZE_MAX);
    for (int with_run = 0; with_run < 2; with_run++) {
        message.has_run_id = with_run == 1;
        struct bytes packed = message_pack(&arena, &message);
        CHECK(message_unpack(packed, &read));
        CHECK(read.kind == ENTITY_TEST && read.has_run_id == message.has_run_id);
        CHECK_INT(read.namespace_number, 5);
        CHECK_BYTES(read.business_id, message.business_id);
        CHECK_BYTES(read.body, message.body);
        /* Cut within the head, the run or the id; behind that a shorter body is as good as another. */
        for (size_t size = 0; size < packed.size - message.body.size; size++)
            CHECK(!message_unpack(bytes_of(packed.base, size), &read));
    }
    arena_release(&arena);
}

TEST(keys_are_in_the_order_of_numbers)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    CHECK(bytes_compare(branch_use_key(&arena, 255, 9), branch_use_key(&arena, 256, 1)) < 0);
    CHECK(bytes_compare(branch_use_key(&arena, 256, 1), branch_use_key(&arena, 256, 2)) < 0);
    CHECK_INT(row_number_at(deletion_key(&arena, 63, INT64_MAX).base + 1), INT64_MAX);
    CHECK_INT(row_number_at(entity_row_key(7, BYTES_EMPTY, &arena).base), 7);
    CHECK_INT(entity_row_key(7, BYTES("name"), &arena).size, ROW_NUMBER_SIZE + 4);
    arena_release(&arena);
}
