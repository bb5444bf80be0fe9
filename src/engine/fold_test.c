/* fold_test.c: what comes from a disk may be damaged: folding it answers, it never crashes. And merging of fields. */
#include "engine/engine_harness.h"

/* A run with a bit of everything pending. */
static struct world *busy(void)
{
    struct world *w = world_new(3);
    world_start(w);
    struct task_ref                                             token = world_poll(w);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, token);
    command_activity(w, input, "a");
    command_activity(w, input, "b")->heartbeat_timeout = duration_of_ns(&w->arena, NS_PER_S);
    command_timer(w, input, "t", 100 * NS_PER_S);
    completion_sticky(w, input);
    CHECK_INT(world_send(w), ST_OK);
    struct activity_ref a = world_poll_activity(w), b = world_poll_activity(w);
    CHECK_INT(world_activity(w, ACTIVITY_TASK_HEARTBEAT, b, payloads_of(&w->keep, "1")), ST_OK);
    CHECK_INT(world_activity_fail(w, a, app_failure(&w->keep, "f")), ST_OK);
    CHECK_INT(world_signal(w, "s", "id"), ST_OK);
    token = world_poll(w);
    CHECK_INT(world_signal(w, "buffered", "id-2"), ST_OK);
    CHECK_INT(world_activity_complete(w, b), ST_OK);
    return w;
}

static struct bytes damaged(struct world *w, struct bytes bytes)
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

TEST(damaged_rows_are_data_loss_or_another_state_but_never_a_crash)
{
    struct world     *w = busy();
    struct world_run *run = world_current(w);
    size_t            refused = 0;
    for (int round = 0; round < 3000; round++) {
        struct execution *folded = workflow_kind.state_new(&run->identity);
        size_t            victim = (size_t)random_below(&w->random, run->row_count);
        for (size_t i = 0; i < run->row_count; i++) {
            struct error  error = { 0 };
            struct bytes *events = ARENA_NEW_ARRAY(&w->arena, struct bytes, run->rows[i].event_count + 1);
            for (size_t e = 0; e < run->rows[i].event_count; e++)
                events[e] = i == victim && random_below(&w->random, 2) == 0
                                ? damaged(w, run->rows[i].events[e])
                                : run->rows[i].events[e];
            struct transition_record record = {
                .number = (int64_t)i + 1,
                .first_event_id = run->rows[i].first_event_id,
                .events = events,
                .event_count = run->rows[i].event_count,
                .delta = i == victim ? damaged(w, run->rows[i].delta) : run->rows[i].delta,
            };
            enum status status = execution_apply(folded, &record, &error);
            CHECK(status == ST_OK || status == ST_DATA_LOSS);
            if (status != ST_OK) {
                CHECK(error.message[0] != 0);
                refused++;
                break;
            }
        }
        execution_free(folded);
        if (round % 100 == 0)
            arena_reset(&w->arena);
    }
    CHECK(refused > 500);
    world_free(w);
}

TEST(damaged_snapshots_are_data_loss_or_another_state_but_never_a_crash)
{
    struct world *w = busy();
    struct bytes  good = arena_copy(&w->keep, world_snapshot(w, world_state(w)));
    for (int round = 0; round < 3000; round++) {
        struct error      error = { 0 };
        struct execution *folded = workflow_kind.state_new(&world_current(w)->identity);
        enum status       status = execution_restore(folded, damaged(w, good), &error);
        CHECK(status == ST_OK || status == ST_DATA_LOSS);
        execution_next_due(folded);
        execution_free(folded);
        if (round % 100 == 0)
            arena_reset(&w->arena);
    }
    world_free(w);
}

TEST(rows_are_refused_out_of_order)
{
    struct world     *w = busy();
    struct world_run *run = world_current(w);
    struct execution *folded = workflow_kind.state_new(&run->identity);
    struct error      error = { 0 };
    for (size_t i = run->row_count; i-- > 1;) {
        struct transition_record record = { .events = run->rows[i].events,
                                            .event_count = run->rows[i].event_count,
                                            .delta = run->rows[i].delta };
        CHECK_INT(execution_apply(folded, &record, &error), ST_DATA_LOSS);
    }
    execution_free(folded);
    world_free(w);
}

static struct bytes memo_of(struct arena *arena, const char *key, const char *json)
{
    struct common_Payload_MetadataEntry encoding = { .key = BYTES("encoding"),
                                                     .value = BYTES("binary/null") };
    struct common_Payload payload = { .data = json == NULL ? BYTES_EMPTY : bytes_of_text(json) };
    if (json == NULL) {
        payload.metadata = &encoding;
        payload.metadata_count = 1;
    }
    struct common_Memo_FieldsEntry field = { .key = bytes_of_text(key) };
    struct common_Memo             memo = { .fields = &field, .fields_count = 1 };
    field.value = pb_encode_arena(&pb_common_Payload, &payload, arena);
    return pb_encode_arena(&pb_common_Memo, &memo, arena);
}

TEST(fields_are_merged_replaced_and_removed)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct bytes a = memo_of(&arena, "a", "1"), b = memo_of(&arena, "b", "2");
    CHECK_BYTES(fields_merge(BYTES_EMPTY, a, &arena), a);
    struct bytes both = fields_merge(a, b, &arena);
    CHECK_INT(both.size, a.size + b.size);
    CHECK_BYTES(fields_merge(both, memo_of(&arena, "a", NULL), &arena), b);
    CHECK_BYTES(fields_merge(both, memo_of(&arena, "b", "[]"), &arena), a);
    CHECK_BYTES(fields_merge(a, memo_of(&arena, "a", "3"), &arena), memo_of(&arena, "a", "3"));
    CHECK_INT(fields_merge(a, memo_of(&arena, "a", NULL), &arena).size, 0);
    arena_release(&arena);
}
