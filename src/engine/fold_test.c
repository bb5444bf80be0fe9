/* fold_test.c: what comes from a disk may be damaged: folding it answers, it never crashes. And merging of fields. */
#include "engine/damage_harness.h"

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

TEST(damaged_rows_are_data_loss_or_another_state_but_never_a_crash)
{
    struct world *w = busy();
    size_t        refused = 0;
    for (int round = 0; round < 3000; round++) {
        refused += damage_fold(w, world_current(w));
        if (round % 100 == 0)
            arena_reset(&w->arena);
    }
    CHECK(refused > 500);
    world_free(w);
}

TEST(damaged_snapshots_are_data_loss_or_another_state_but_never_a_crash)
{
    struct world *w = busy();
    for (int round = 0; round < 3000; round++) {
        damage_restore(w, world_current(w));
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
