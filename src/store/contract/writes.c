/* writes.c: batches: whole or not at all, in order, and what becomes of groups that are refused. */
#include "store/contract/fixture.h"

static void a_run_comes_back_with_every_field(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    struct store_run *run = operation_insert_run(&operation, 0, 41, "workflow");
    struct store_run *bare = operation_insert_run(&operation, 0, 42, "bare");
    bare->parent_workflow_id = bare->root_workflow_id = bare->memo = bare->search_attributes = BYTES_EMPTY;
    bare->workflow_type = bare->task_queue = BYTES_EMPTY;
    memset(&bare->parent_run_id, 0, sizeof bare->parent_run_id);
    memset(&bare->root_run_id, 0, sizeof bare->root_run_id);
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    struct store_read read = fixture_load(&f, 41);
    CHECK(read.found);
    CHECK_EQ(read.run_count, 1);
    check_run(&read.runs[0], run);
    read = fixture_load(&f, 42);
    CHECK(read.found);
    check_run(&read.runs[0], bare);
    read = fixture_load(&f, 43);
    CHECK(!read.found);
    CHECK_EQ(read.run_count, 0);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void an_update_changes_all_but_the_identity(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 5, "workflow");
    operation_must_commit(&operation);
    struct store_run expected = fixture_load(&f, 5).runs[0];
    for (int closed = 0; closed < 2; closed++) {
        struct store_run *change = operation_update_run(&operation, 0, &expected);
        change->status = closed ? STATUS_COMPLETED : STATUS_RUNNING;
        change->task_queue = BYTES("moved");
        change->execution_time = 77;
        change->close_time = closed ? 12345 : 0;
        change->history_length = 11;
        change->history_size = INT64_C(1) << 40;
        change->state_transitions = 4 + closed;
        change->memo = BYTES_EMPTY;
        change->search_attributes = BYTES("new");
        change->snapshot = BYTES("\0snap");
        change->snapshot_transition = 3;
        expected = *change;
        change->workflow_id = change->workflow_type = change->parent_workflow_id = BYTES("ignored");
        change->root_workflow_id = BYTES("ignored");
        change->start_time = 1;
        change->namespace_number = 99;
        memset(&change->run_id, 0x77, sizeof change->run_id);
        memset(&change->parent_run_id, 0x77, sizeof change->parent_run_id);
        memset(&change->root_run_id, 0x77, sizeof change->root_run_id);
        CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
        struct store_read read = fixture_load(&f, 5);
        check_run(&read.runs[0], &expected);
        expected = read.runs[0];
        store_batch_clear(&operation.batch);
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void batches_are_answered_in_order(void **state)
{
    enum { BATCHES = 50 };
    struct fixture f;
    fixture_init(&f, state);
    struct operation operations[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        operation_init(&operations[i], &f);
        operation_put_entity(&operations[i], 0, 1, "counter", "x");
        operations[i].batch.writes[0].entity.state = arena_printf(&operations[i].batch.arena, "%d", i);
        operation_insert_outbox(&operations[i], 0, 1, 2, i + 1, "body");
        operation_submit(&operations[i]);
    }
    for (int i = 0; i < BATCHES; i++) {
        fixture_wait(&f, &operations[i].done);
        CHECK_EQ(operations[i].batch.outcome, STORE_DURABLE);
        CHECK_EQ(operations[i].place, i);
        store_batch_release(&operations[i].batch);
    }
    struct store_read read = { .kind = STORE_READ_ENTITIES,
                               .entity_kind = 1,
                               .entity_key = BYTES("counter") };
    fixture_read(&f, &read);
    CHECK_BYTES(read.entities[0].state, BYTES("49"));
    fixture_release(&f);
}

static void an_empty_batch_is_durable(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void a_refused_batch_of_one_group_does_nothing(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "first");
    operation_insert_transition(&operation, 0, 1, 1, BYTES("events"), "delta");
    operation_must_commit(&operation);
    operation_insert_run(&operation, 0, 2, "second");
    operation_set_wakeup(&operation, 0, 2, 500);
    operation_put_entity(&operation, 0, 1, "key", "state");
    operation_insert_ready(&operation, 0, 9, "queue", 3);
    operation_insert_transition(&operation, 0, 1, 1, BYTES("other"), "delta"); /* exists */
    CHECK_EQ(operation_commit(&operation), STORE_REFUSED);
    CHECK(operation.batch.refused[0]);
    CHECK(operation.batch.error.message[0] != '\0');
    CHECK(!fixture_load(&f, 2).found);
    struct store_read read = { .kind = STORE_READ_WAKEUPS };
    fixture_read(&f, &read);
    CHECK_EQ(read.wakeup_count, 0);
    read = (struct store_read){ .kind = STORE_READ_ENTITIES, .entity_kind = 1 };
    fixture_read(&f, &read);
    CHECK_EQ(read.entity_count, 0);
    read = fixture_load(&f, 1);
    CHECK_EQ(read.transition_count, 1);
    check_transition(&read.transitions[0], 1, 1, BYTES("events"), "delta");
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void other_groups_of_a_refused_batch_are_durable(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 10, "taken");
    operation_must_commit(&operation);
    operation_insert_run(&operation, 0, 11, "a");
    operation_insert_run(&operation, 1, 12, "b");
    operation_insert_run(&operation, 2, 13, "c");
    operation_insert_run(&operation, 1, 10, "b"); /* exists: takes run 12 with it */
    operation_insert_transition(&operation, 2, 13, 1, BYTES("events"), "");
    operation_update_run(&operation, 3, &(struct store_run){ .number = 99 }); /* is not there */
    operation_insert_transition(&operation, 0, 11, 1, BYTES("events"), "");
    CHECK_EQ(operation_commit(&operation), STORE_REFUSED);
    CHECK(!operation.batch.refused[0]);
    CHECK(operation.batch.refused[1]);
    CHECK(!operation.batch.refused[2]);
    CHECK(operation.batch.refused[3]);
    CHECK_EQ(fixture_load(&f, 11).transition_count, 1);
    CHECK(!fixture_load(&f, 12).found);
    CHECK_EQ(fixture_load(&f, 13).transition_count, 1);
    CHECK(!fixture_load(&f, 99).found);
    CHECK_BYTES(fixture_load(&f, 10).runs[0].workflow_id, BYTES("taken"));
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void a_refused_batch_does_not_take_others_with_it(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operations[3];
    for (int i = 0; i < 3; i++) {
        operation_init(&operations[i], &f);
        operation_insert_run(&operations[i], 0, i == 1 ? 1 : 1 + i, "workflow"); /* 1, 1, 3 */
        operation_submit(&operations[i]);
    }
    fixture_wait(&f, &operations[2].done);
    CHECK_EQ(operations[0].batch.outcome, STORE_DURABLE);
    CHECK_EQ(operations[1].batch.outcome, STORE_REFUSED);
    CHECK_EQ(operations[2].batch.outcome, STORE_DURABLE);
    CHECK(operations[0].place < operations[1].place && operations[1].place < operations[2].place);
    CHECK(fixture_load(&f, 3).found);
    for (int i = 0; i < 3; i++)
        store_batch_release(&operations[i].batch);
    fixture_release(&f);
}

static void a_row_past_the_limit_is_refused(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    CLEANUP(free_pointer) uint8_t *large = xcalloc(1, STORE_ROW_SIZE_MAX + 1);
    operation_insert_transition(&operation, 0, 1, 1, bytes_of(large, STORE_ROW_SIZE_MAX + 1), "");
    operation_insert_transition(&operation, 1, 2, 1, bytes_of(large, STORE_ROW_SIZE_MAX - 100), "delta");
    CHECK_EQ(operation_commit(&operation), STORE_REFUSED);
    CHECK(operation.batch.refused[0]);
    CHECK(!operation.batch.refused[1]);
    struct store_read read = { .kind = STORE_READ_HISTORY, .number = 2, .from = 1, .to = 1 };
    fixture_read(&f, &read);
    CHECK_EQ(read.transition_count, 1);
    CHECK_EQ(read.transitions[0].events.size, STORE_ROW_SIZE_MAX - 100);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void an_open_run_of_a_closed_status_is_refused(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow")->status = STATUS_COMPLETED;
    CHECK_EQ(operation_commit(&operation), STORE_REFUSED);
    CHECK(!fixture_load(&f, 1).found);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void deleting_what_is_not_there_is_no_error(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    struct store_run    run = { .number = 1 };
    struct store_ready  ready = { .sequence = 1 };
    struct store_outbox outbox = { .source_range = 1, .target_range = 1, .number = 1 };
    store_batch_add(&operation.batch, STORE_RUN_DELETE, 0)->run = &run;
    store_batch_add(&operation.batch, STORE_READY_DELETE, 0)->ready = &ready;
    store_batch_add(&operation.batch, STORE_OUTBOX_DELETE, 0)->outbox = &outbox;
    store_batch_add(&operation.batch, STORE_WAKEUP_DELETE, 0)->wakeup.entity = 1;
    store_batch_add(&operation.batch, STORE_ENTITY_DELETE, 0)->entity.key = BYTES("none");
    struct store_write *write = store_batch_add(&operation.batch, STORE_TRANSITIONS_DELETE, 0);
    write->transitions.branch = 1;
    write->transitions.first = 1;
    write->transitions.last = INT64_MAX;
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void a_run_is_deleted_with_its_transitions_piece_by_piece(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    operation_insert_run(&operation, 0, 2, "workflow");
    for (int64_t i = 1; i <= 9; i++)
        operation_insert_transition(&operation, 0, 1, i, BYTES("events"), "");
    operation_insert_transition(&operation, 0, 2, 1, BYTES("events"), "");
    operation_must_commit(&operation);
    struct store_write *write = store_batch_add(&operation.batch, STORE_TRANSITIONS_DELETE, 0);
    write->transitions.branch = 1;
    write->transitions.first = 2;
    write->transitions.last = 8;
    operation_must_commit(&operation);
    struct store_read read = fixture_load(&f, 1);
    CHECK_EQ(read.transition_count, 2);
    CHECK_EQ(read.transitions[0].number, 1);
    CHECK_EQ(read.transitions[1].number, 9);
    store_batch_add(&operation.batch, STORE_RUN_DELETE, 0)->run = &(struct store_run){ .number = 2 };
    operation_must_commit(&operation);
    CHECK(!fixture_load(&f, 2).found);
    read = fixture_current(&f, "workflow");
    CHECK_EQ(read.runs[0].number, 1); /* the one before is current again */
    /* A transition that was deleted may be written again. */
    operation_insert_transition(&operation, 0, 1, 2, BYTES("again"), "");
    operation_must_commit(&operation);
    CHECK_EQ(fixture_load(&f, 1).transition_count, 3);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void statistics_count(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct store_statistics before, after;
    store_statistics(f.store, &before);
    struct operation operation;
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    operation_insert_transition(&operation, 0, 1, 1, BYTES("events"), "");
    operation_must_commit(&operation);
    (void)fixture_load(&f, 1);
    store_statistics(f.store, &after);
    CHECK_EQ(after.batches - before.batches, 1);
    CHECK_EQ(after.writes - before.writes, 2);
    CHECK_EQ(after.reads - before.reads, 1);
    CHECK_EQ(after.commits - before.commits, 1);
    CHECK_EQ(store_probe(f.store, NULL), ST_OK);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void a_snapshot_changes_nothing_else(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    struct store_run inserted = *operation_insert_run(&operation, 0, 5, "a");
    operation_must_commit(&operation);
    struct store_run *run = operation_update_run(&operation, 0, &(struct store_run){ .number = 5 });
    operation.batch.writes[operation.batch.write_count - 1].kind = STORE_RUN_SNAPSHOT;
    run->snapshot = BYTES("state");
    run->snapshot_transition = 9;
    operation_must_commit(&operation);
    struct store_read read = fixture_load(&f, 5);
    CHECK(read.found);
    inserted.snapshot = BYTES("state");
    inserted.snapshot_transition = 9;
    inserted.workflow_id = BYTES("a"); /* the others of its slices lived in the operation */
    CHECK_BYTES(read.runs[0].snapshot, inserted.snapshot);
    CHECK_EQ(read.runs[0].snapshot_transition, 9);
    CHECK_BYTES(read.runs[0].workflow_id, inserted.workflow_id);
    CHECK_EQ(read.runs[0].status, inserted.status);
    CHECK_EQ(read.runs[0].start_time, inserted.start_time);
    run = operation_update_run(&operation, 0, &(struct store_run){ .number = 6 });
    operation.batch.writes[operation.batch.write_count - 1].kind = STORE_RUN_SNAPSHOT;
    CHECK_EQ(operation_commit(&operation), STORE_REFUSED);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

const struct CMUnitTest store_contract_writes[] = {
    cmocka_unit_test(a_run_comes_back_with_every_field),
    cmocka_unit_test(an_update_changes_all_but_the_identity),
    cmocka_unit_test(a_snapshot_changes_nothing_else),
    cmocka_unit_test(batches_are_answered_in_order),
    cmocka_unit_test(an_empty_batch_is_durable),
    cmocka_unit_test(a_refused_batch_of_one_group_does_nothing),
    cmocka_unit_test(other_groups_of_a_refused_batch_are_durable),
    cmocka_unit_test(a_refused_batch_does_not_take_others_with_it),
    cmocka_unit_test(a_row_past_the_limit_is_refused),
    cmocka_unit_test(an_open_run_of_a_closed_status_is_refused),
    cmocka_unit_test(deleting_what_is_not_there_is_no_error),
    cmocka_unit_test(a_run_is_deleted_with_its_transitions_piece_by_piece),
    cmocka_unit_test(statistics_count),
};
const size_t store_contract_writes_count = ARRAY_COUNT(store_contract_writes);
