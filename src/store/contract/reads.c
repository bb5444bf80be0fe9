/* reads.c: loads, pages of history and of the indexed rows. */
#include "store/contract/fixture.h"

static void the_current_run_is_the_one_with_the_highest_number(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 30, "workflow");
    operation_insert_run(&operation, 0, 10, "workflow");
    operation_insert_run(&operation, 0, 40, "workflow-b");
    operation_insert_run(&operation, 0, 50, "workflo");
    operation_insert_run(&operation, 0, 60, "workflow")->namespace_number = NAMESPACE + 1;
    operation_must_commit(&operation);
    CHECK_EQ(fixture_current(&f, "workflow").runs[0].number, 30);
    CHECK_EQ(fixture_current(&f, "workflow-b").runs[0].number, 40);
    CHECK(!fixture_current(&f, "workflow-").found);
    CHECK(!fixture_current(&f, "").found);
    CHECK(!fixture_current(&f, "WORKFLOW").found);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void a_load_brings_the_transitions_after_the_snapshot(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    struct store_run *run = operation_insert_run(&operation, 0, 8, "workflow");
    run->snapshot = BYTES("snapshot");
    run->snapshot_transition = 2;
    for (int64_t i = 1; i <= 5; i++)
        operation_insert_transition(&operation, 0, 8, i, i == 4 ? BYTES_EMPTY : BYTES("events\0x"), "delta");
    operation_insert_transition(&operation, 0, 9, 3, BYTES("other branch"), "");
    operation_must_commit(&operation);
    struct store_read read = fixture_load(&f, 8);
    CHECK_BYTES(read.runs[0].snapshot, BYTES("snapshot"));
    CHECK_EQ(read.transition_count, 3);
    check_transition(&read.transitions[0], 8, 3, BYTES("events\0x"), "delta");
    check_transition(&read.transitions[1], 8, 4, BYTES_EMPTY, "delta");
    check_transition(&read.transitions[2], 8, 5, BYTES("events\0x"), "delta");
    read = fixture_current(&f, "workflow"); /* without history */
    CHECK(read.found);
    CHECK_EQ(read.transition_count, 0);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void history_comes_in_pages_in_both_directions(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    char events[1000] = "e";
    for (int64_t i = 1; i <= 10; i++)
        operation_insert_transition(&operation, 0, 1, i, bytes_of(events, sizeof events), "");
    operation_insert_transition(&operation, 0, 2, 1, BYTES("x"), "");
    operation_must_commit(&operation);
    int64_t from = 2, pages = 0;
    for (bool more = true; more; pages++) {
        struct store_read read = {
            .kind = STORE_READ_HISTORY, .number = 1, .from = from, .to = 9, .limit = 3
        };
        fixture_read(&f, &read);
        CHECK_EQ(read.status, ST_OK);
        for (size_t i = 0; i < read.transition_count; i++)
            CHECK_EQ(read.transitions[i].number, from++);
        more = read.more;
    }
    CHECK_EQ(from, 10);
    CHECK_EQ(pages, 3); /* 3 + 3 + 2 */
    int64_t to = 10;
    pages = 0;
    for (bool more = true; more; pages++) {
        struct store_read read = {
            .kind = STORE_READ_HISTORY, .number = 1, .from = 1, .to = to, .backward = true, .size_limit = 2500
        };
        fixture_read(&f, &read);
        CHECK_EQ(read.status, ST_OK);
        CHECK_EQ(read.transition_count, 2);
        for (size_t i = 0; i < read.transition_count; i++)
            CHECK_EQ(read.transitions[i].number, to--);
        more = read.more;
    }
    CHECK_EQ(to, 0);
    CHECK_EQ(pages, 5);
    struct store_read one = { .kind = STORE_READ_HISTORY, .number = 1, .from = 1, .to = 10, .size_limit = 1 };
    fixture_read(&f, &one);
    CHECK_EQ(one.transition_count, 1); /* at least one row */
    CHECK(one.more);
    struct store_read none = { .kind = STORE_READ_HISTORY, .number = 1, .from = 11, .to = 20 };
    fixture_read(&f, &none);
    CHECK(!none.found && !none.more);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

/* Rows of 0, 1 or 3 events; each event is looked for in both directions. */
static void history_starts_at_an_event(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    static const int64_t first_event_ids[] = { 1, 4, 4, 4, 5, 8, 8 }; /* counts 3, 0, 0, 1, 3, 0, 1 */
    for (int64_t number = 1; number <= 7; number++) {
        operation_insert_transition(&operation, 0, 1, number, BYTES("e"), "");
        operation.batch.writes[operation.batch.write_count - 1].transition->first_event_id =
            first_event_ids[number - 1];
    }
    operation_must_commit(&operation);
    static const int64_t holders[] = { 1, 1, 1, 4, 5, 5, 5, 7 };
    for (int64_t event_id = 1; event_id <= 8; event_id++) {
        for (int backward = 0; backward < 2; backward++) {
            struct store_read read = { .kind = STORE_READ_HISTORY,
                                       .number = 1,
                                       .from = 1,
                                       .to = INT64_MAX,
                                       .from_event = event_id,
                                       .backward = backward == 1 };
            fixture_read(&f, &read);
            CHECK_EQ(read.status, ST_OK);
            CHECK_EQ(read.transitions[0].number, holders[event_id - 1]);
            int64_t rest = backward ? holders[event_id - 1] : 8 - holders[event_id - 1];
            CHECK_EQ(read.transition_count, (size_t)rest);
        }
    }
    struct store_read none = {
        .kind = STORE_READ_HISTORY, .number = 2, .from = 1, .to = INT64_MAX, .from_event = 1
    };
    fixture_read(&f, &none);
    CHECK_EQ(none.status, ST_OK);
    CHECK(!none.found);
    none.number = 1;
    none.from = 8; /* behind the newest, and before the first of the next branch */
    fixture_read(&f, &none);
    CHECK_EQ(none.status, ST_OK);
    CHECK(!none.found);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void an_answer_past_the_arenas_budget_is_an_error(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    CLEANUP(free_pointer) uint8_t *events = xcalloc(1, 100000);
    operation_insert_transition(&operation, 0, 1, 1, bytes_of(events, 100000), "");
    operation_must_commit(&operation);
    arena_release(&f.arena);
    arena_init(&f.arena, 50000);
    struct store_read read = { .kind = STORE_READ_HISTORY, .number = 1, .from = 1, .to = 1 };
    fixture_read(&f, &read);
    CHECK_EQ(read.status, ST_RESOURCE_EXHAUSTED);
    CHECK(read.error.message[0] != '\0');
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void check_ready(const struct store_ready *row, store_number sequence, int32_t priority,
                        const char *key)
{
    CHECK_INT(row->sequence, sequence);
    CHECK_INT(row->priority, priority);
    CHECK_INT(row->namespace_number, NAMESPACE);
    CHECK_BYTES(row->queue, BYTES("queue"));
    CHECK_BYTES(row->normal_queue, BYTES("normal"));
    CHECK_INT(row->kind, STORE_TASK_ACTIVITY);
    CHECK_BYTES(row->fairness_key, bytes_of_text(key));
    CHECK_BYTES(row->version, BYTES("v1"));
    CHECK_BYTES(row->workflow_id, BYTES("workflow"));
    CHECK_INT(row->run, sequence + 1);
    CHECK_INT(row->scheduled_event_id, sequence + 2);
    CHECK_INT(row->stamp, sequence + 3);
    CHECK_INT(row->created_time, sequence + 4);
}

static struct store_read ready_read(enum store_read_kind kind)
{
    return (struct store_read){ .kind = kind,
                                .namespace_number = NAMESPACE,
                                .queue = BYTES("queue"),
                                .task_kind = STORE_TASK_ACTIVITY,
                                .priority = INT32_MIN };
}

static const struct ready_order {
    store_number sequence;
    int32_t      priority;
    const char  *key;
} ready_order[] = { { 7, 1, "fair" }, { 9, 1, "fair" }, { 4, 3, "" },  { 6, 3, "" },
                    { 5, 3, "a" },    { 8, 3, "a" },    { 2, 3, "b" }, { 1, 5, "fair" } };

static struct store_ready *last_ready(struct operation *operation)
{
    return operation->batch.writes[operation->batch.write_count - 1].ready;
}

static void insert_ready_order(struct operation *operation)
{
    for (store_number sequence = 1; sequence <= 9; sequence++) {
        for (size_t i = 0; i < ARRAY_COUNT(ready_order); i++) {
            if (ready_order[i].sequence != sequence)
                continue;
            operation_insert_ready(operation, 0, sequence, "queue", ready_order[i].priority);
            last_ready(operation)->fairness_key = bytes_of_text(ready_order[i].key);
            last_ready(operation)->fairness_weight = sequence == 9 ? 2500 : 0;
        }
    }
    operation_insert_ready(operation, 0, 20, "queue-2", 1);
    operation_insert_ready(operation, 0, 21, "queue", 1);
    last_ready(operation)->kind = STORE_TASK_WORKFLOW;
    operation_insert_ready(operation, 0, 22, "queue", 1);
    last_ready(operation)->namespace_number = NAMESPACE + 1;
    operation_must_commit(operation);
}

static void ready_tasks_come_by_stream_and_sequence(void **state)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, state);
    operation_init(&operation, &f);
    insert_ready_order(&operation);
    struct store_read read = ready_read(STORE_READ_READY);
    read.limit = 1;
    for (size_t i = 0; i < ARRAY_COUNT(ready_order); i++) {
        const struct ready_order *row = &ready_order[i];
        bool begins = i == 0 || row->priority != row[-1].priority || strcmp(row->key, row[-1].key) != 0;
        CHECK_EQ(begins, !read.more);
        read.priority = row->priority;
        read.fairness_key = bytes_of_text(row->key);
        read.after = begins ? 0 : read.after;
        fixture_read(&f, &read);
        CHECK_EQ(read.status, ST_OK);
        CHECK_EQ(read.ready_count, 1);
        check_ready(&read.ready[0], row->sequence, row->priority, row->key);
        CHECK_INT(read.ready[0].fairness_weight, row->sequence == 9 ? 2500 : 0);
        read.after = row->sequence;
    }
    CHECK(!read.more);
    struct store_ready gone = { .sequence = 7 };
    store_batch_add(&operation.batch, STORE_READY_DELETE, 0)->ready = &gone;
    operation_must_commit(&operation);
    read.after = 0;
    read.priority = 1;
    fixture_read(&f, &read);
    CHECK_EQ(read.ready[0].sequence, 9);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void ready_heads_are_the_first_of_each_stream(void **state)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, state);
    operation_init(&operation, &f);
    insert_ready_order(&operation);
    static const size_t expected[] = { 0, 2, 4, 6, 7 };
    for (size_t limit = 1; limit <= ARRAY_COUNT(expected) + 1; limit++) {
        struct store_read read = ready_read(STORE_READ_READY_HEADS);
        read.limit = limit;
        size_t at = 0;
        do {
            fixture_read(&f, &read);
            CHECK_EQ(read.status, ST_OK);
            for (size_t i = 0; i < read.ready_count; i++, at++) {
                const struct ready_order *row = &ready_order[expected[at]];
                check_ready(&read.ready[i], row->sequence, row->priority, row->key);
            }
            read.priority = read.ready[read.ready_count - 1].priority;
            read.fairness_key = arena_copy(&operation.batch.arena,
                                           read.ready[read.ready_count - 1].fairness_key);
        } while (read.more);
        CHECK_EQ(at, ARRAY_COUNT(expected));
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void ready_counts_are_of_priorities(void **state)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, state);
    operation_init(&operation, &f);
    struct store_read read = ready_read(STORE_READ_READY_COUNTS);
    fixture_read(&f, &read);
    CHECK_EQ(read.status, ST_OK);
    CHECK_EQ(read.ready_count_count, 0);
    insert_ready_order(&operation);
    fixture_read(&f, &read);
    static const struct store_ready_count expected[] = { { 1, 2, 7 + 4 }, { 3, 5, 2 + 4 }, { 5, 1, 1 + 4 } };
    CHECK_EQ(read.ready_count_count, ARRAY_COUNT(expected));
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        CHECK_INT(read.ready_counts[i].priority, expected[i].priority);
        CHECK_INT(read.ready_counts[i].count, expected[i].count);
        CHECK_INT(read.ready_counts[i].oldest_created, expected[i].oldest_created);
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void wakeups_come_by_due_time_one_per_entity(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_set_wakeup(&operation, 0, 1, 500);
    operation_set_wakeup(&operation, 0, 2, 300);
    operation_set_wakeup(&operation, 0, 3, 500);
    operation_set_wakeup(&operation, 0, 4, 100);
    operation_must_commit(&operation);
    operation_set_wakeup(&operation, 0, 4, 400); /* replaces */
    store_batch_add(&operation.batch, STORE_WAKEUP_DELETE, 0)->wakeup.entity = 2;
    operation_must_commit(&operation);
    static const struct store_wakeup order[] = { { .entity = 4, .due = 400 },
                                                 { .entity = 1, .due = 500 },
                                                 { .entity = 3, .due = 500 } };
    struct store_read                read = { .kind = STORE_READ_WAKEUPS, .limit = 2 };
    size_t                           at = 0;
    do {
        fixture_read(&f, &read);
        for (size_t i = 0; i < read.wakeup_count; i++, at++) {
            CHECK_INT(read.wakeups[i].entity, order[at].entity);
            CHECK_INT(read.wakeups[i].due, order[at].due);
            CHECK_INT(read.wakeups[i].namespace_number, NAMESPACE);
            CHECK_BYTES(read.wakeups[i].workflow_id, BYTES("sleeper"));
        }
        read.after_due = read.wakeups[read.wakeup_count - 1].due;
        read.after = read.wakeups[read.wakeup_count - 1].entity;
    } while (read.more);
    CHECK_EQ(at, 3);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void outbox_messages_come_in_order_of_their_links(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    static const int order[][3] = { { 1, 2, 1 }, { 1, 2, 2 }, { 1, 3, 1 }, { 2, 1, 7 } };
    for (size_t i = ARRAY_COUNT(order); i-- > 0;)
        operation_insert_outbox(&operation, 0, order[i][0], order[i][1], order[i][2], "body");
    operation_insert_outbox(&operation, 0, 1, 2, 3, "deleted");
    operation_must_commit(&operation);
    struct store_outbox gone = { .source_range = 1, .target_range = 2, .number = 3 };
    store_batch_add(&operation.batch, STORE_OUTBOX_DELETE, 0)->outbox = &gone;
    operation_must_commit(&operation);
    struct store_read read = { .kind = STORE_READ_OUTBOX, .limit = 1 };
    size_t            at = 0;
    do {
        fixture_read(&f, &read);
        CHECK_EQ(read.outbox_count, 1);
        const struct store_outbox *row = &read.outbox[0];
        CHECK_INT(row->source_range, order[at][0]);
        CHECK_INT(row->target_range, order[at][1]);
        CHECK_INT(row->number, order[at][2]);
        CHECK_INT(row->source_run, row->number + 100);
        CHECK_BYTES(row->body, BYTES("body"));
        read.after_source_range = row->source_range;
        read.after_target_range = row->target_range;
        read.after = row->number;
        at++;
    } while (read.more);
    CHECK_EQ(at, ARRAY_COUNT(order));
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

/* Numbers of a link in any order and several times: the row is what store_link_take makes of them, by one batch or by many. */
static void links_keep_what_was_received(void **state)
{
    static const int64_t numbers[] = { 2, 1, 1, 5, 4, 68, 67, 69, 6, 134, 200, 263, 200, 300, 1000 };
    struct store_link    expected = { 3, 4, 0, 0 };
    struct fixture       f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        store_batch_add(&operation.batch, STORE_LINK_TAKE, 0)->link = (struct store_link){
            .source_range = 3, .target_range = 4, .number = numbers[i]
        };
        store_batch_add(&operation.batch, STORE_LINK_TAKE, 0)->link = (struct store_link){
            .source_range = 3, .target_range = 5, .number = 10 + numbers[i] % 3
        };
        store_link_take(&expected, numbers[i]);
        if (i % 3 == 2)
            continue;
        operation_must_commit(&operation);
        struct store_read read = { .kind = STORE_READ_LINKS };
        fixture_read(&f, &read);
        CHECK_EQ(read.link_count, 2);
        CHECK_INT(read.links[0].source_range, 3);
        CHECK_INT(read.links[0].target_range, 4);
        CHECK_EQ(read.links[0].number, expected.number);
        CHECK(read.links[0].window == expected.window);
        if (i == 4) /* 1, 2, 4 and 5 */
            CHECK(expected.number == 5 && expected.window == 13);
        if (i < ARRAY_COUNT(numbers) - 1)
            continue;
        CHECK_INT(read.links[1].target_range, 5);
        CHECK_INT(read.links[1].number, 12);
        CHECK(read.links[1].window == 3);
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void entities_are_kept_by_kind_and_key(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    operation_put_entity(&operation, 0, 1, "b", "first");
    operation_put_entity(&operation, 0, 1, "a", "A");
    operation_put_entity(&operation, 0, 1, "c", "");
    operation_put_entity(&operation, 0, 2, "a", "other kind");
    operation_put_entity(&operation, 0, 1, "b", "B");
    operation_must_commit(&operation);
    struct store_read read = { .kind = STORE_READ_ENTITIES, .entity_kind = 1 };
    fixture_read(&f, &read);
    CHECK_EQ(read.entity_count, 3);
    CHECK_BYTES(read.entities[0].key, BYTES("a"));
    CHECK_BYTES(read.entities[1].state, BYTES("B"));
    CHECK_BYTES(read.entities[2].state, BYTES_EMPTY);
    CHECK_INT(read.entities[2].kind, 1);
    read = (struct store_read){
        .kind = STORE_READ_ENTITIES, .entity_kind = 1, .after_key = BYTES("a"), .limit = 1
    };
    fixture_read(&f, &read);
    CHECK_EQ(read.entity_count, 1);
    CHECK_BYTES(read.entities[0].key, BYTES("b"));
    CHECK(read.more);
    read = (struct store_read){ .kind = STORE_READ_ENTITIES, .entity_kind = 2, .entity_key = BYTES("a") };
    fixture_read(&f, &read);
    CHECK(read.found);
    CHECK_BYTES(read.entities[0].state, BYTES("other kind"));
    read.entity_key = BYTES("b");
    fixture_read(&f, &read);
    CHECK(!read.found);
    store_batch_add(&operation.batch, STORE_ENTITY_DELETE, 0)->entity = (struct store_entity){
        .kind = 1, .key = BYTES("a")
    };
    operation_must_commit(&operation);
    read = (struct store_read){ .kind = STORE_READ_ENTITIES, .entity_kind = 1 };
    fixture_read(&f, &read);
    CHECK_EQ(read.entity_count, 2);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void identities_of_all_runs_come_in_pages(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    static const char *const ids[] = { "b", "a", "a", "c", "" };
    for (store_number number = 1; number <= 5; number++)
        operation_insert_run(&operation, 0, number, ids[number - 1]);
    operation_must_commit(&operation);
    static const store_number order[] = { 5, 2, 3, 1, 4 }; /* by workflow id, then by number */
    struct store_read read = { .kind = STORE_READ_IDENTITIES, .namespace_number = INT64_MIN, .limit = 2 };
    size_t            seen = 0;
    for (bool more = true; more;) {
        fixture_read(&f, &read);
        CHECK_EQ(read.status, ST_OK);
        for (size_t i = 0; i < read.identity_count; i++, seen++) {
            CHECK_EQ(read.identities[i].number, order[seen]);
            CHECK_EQ(read.identities[i].namespace_number, NAMESPACE);
            CHECK_BYTES(read.identities[i].workflow_id, bytes_of_text(ids[order[seen] - 1]));
        }
        more = read.more;
        struct store_identity last = read.identities[read.identity_count - 1];
        read = (struct store_read){ .kind = STORE_READ_IDENTITIES,
                                    .namespace_number = last.namespace_number,
                                    .workflow_id = last.workflow_id,
                                    .after = last.number,
                                    .limit = 2 };
    }
    CHECK_EQ(seen, 5);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

/* What only a check of the whole store reads: every ready row, one wake-up, the branches. */
static void whole_tables_come_in_pages(void **state)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, state);
    operation_init(&operation, &f);
    for (store_number sequence = 1; sequence <= 5; sequence++)
        operation_insert_ready(&operation, 0, sequence, sequence % 2 == 0 ? "even" : "odd", 1);
    operation_set_wakeup(&operation, 0, 4, 100);
    for (store_number branch = 1; branch <= 3; branch++) {
        for (int64_t number = branch; number <= 3; number++)
            operation_insert_transition(&operation, 0, branch * 10, number, BYTES("e"), "");
    }
    operation_must_commit(&operation);
    struct store_read ready = { .kind = STORE_READ_READY_ROWS, .limit = 2 };
    do {
        fixture_read(&f, &ready);
        CHECK_EQ(ready.status, ST_OK);
        for (size_t i = 0; i < ready.ready_count; i++)
            CHECK_INT(ready.ready[i].sequence, ++ready.after);
    } while (ready.more);
    CHECK_INT(ready.after, 5);
    struct store_read branches = { .kind = STORE_READ_BRANCHES, .limit = 2 };
    int64_t           branch = 0;
    do {
        fixture_read(&f, &branches);
        CHECK_EQ(branches.status, ST_OK);
        for (size_t i = 0; i < branches.branch_count; i++) {
            branches.after = ++branch * 10;
            CHECK_INT(branches.branches[i].number, branches.after);
            CHECK_INT(branches.branches[i].count, 4 - branch);
            CHECK_INT(branches.branches[i].first, branch);
            CHECK_INT(branches.branches[i].last, 3);
        }
    } while (branches.more);
    CHECK_INT(branch, 3);
    for (store_number entity = 3; entity <= 5; entity++) {
        struct store_read wakeup = { .kind = STORE_READ_WAKEUP, .number = entity };
        fixture_read(&f, &wakeup);
        CHECK_EQ(wakeup.status, ST_OK);
        CHECK_EQ(wakeup.found, entity == 4);
        assert_true(entity != 4 || (wakeup.wakeup_count == 1 && wakeup.wakeups[0].due == 100));
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

/* Each kind of answer keeps to the budget of whoever asked. */
static void every_answer_keeps_to_the_arenas_budget(void **state)
{
    static const enum store_read_kind kinds[] = {
        STORE_READ_RUN,          STORE_READ_CURRENT_RUN, STORE_READ_READY,  STORE_READ_READY_HEADS,
        STORE_READ_READY_COUNTS, STORE_READ_READY_ROWS,  STORE_READ_WAKEUP, STORE_READ_WAKEUPS,
        STORE_READ_BRANCHES,     STORE_READ_IDENTITIES,  STORE_READ_OUTBOX, STORE_READ_LINKS,
        STORE_READ_ENTITIES,     STORE_READ_LIST,        STORE_READ_COUNT
    };
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, state);
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    operation_insert_transition(&operation, 0, 1, 1, BYTES("e"), "");
    operation_insert_ready(&operation, 0, 1, "queue", 1);
    operation_insert_ready(&operation, 0, 2, "queue", 2);
    operation_set_wakeup(&operation, 0, 1, 100);
    operation_insert_outbox(&operation, 0, 1, 2, 1, "body");
    operation_put_entity(&operation, 0, 1, "a", "state");
    store_batch_add(&operation.batch, STORE_LINK_TAKE, 0)->link = (struct store_link){ .source_range = 1,
                                                                                       .target_range = 2,
                                                                                       .number = 1 };
    operation_must_commit(&operation);
    arena_release(&f.arena);
    arena_init(&f.arena, 1);
    static const struct store_key by_queue = { .column = STORE_COLUMN_TASK_QUEUE };
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct store_read read = { .kind = kinds[i],
                                   .number = 1,
                                   .namespace_number = kinds[i] == STORE_READ_IDENTITIES ? 0 : NAMESPACE,
                                   .workflow_id = BYTES("workflow"),
                                   .queue = BYTES("queue"),
                                   .task_kind = STORE_TASK_ACTIVITY,
                                   .entity_kind = 1,
                                   .keys = &by_queue,
                                   .key_count = kinds[i] == STORE_READ_COUNT };
        bool              of_stream = kinds[i] == STORE_READ_READY;
        read.priority = of_stream ? 1 : INT32_MIN;
        read.fairness_key = of_stream ? BYTES("fair") : BYTES_EMPTY;
        fixture_read(&f, &read);
        if (read.status != ST_RESOURCE_EXHAUSTED)
            print_error("kind %d: status %d\n", (int)kinds[i], (int)read.status);
        CHECK_EQ(read.status, ST_RESOURCE_EXHAUSTED);
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

const struct CMUnitTest store_contract_reads[] = {
    cmocka_unit_test(whole_tables_come_in_pages),
    cmocka_unit_test(every_answer_keeps_to_the_arenas_budget),
    cmocka_unit_test(identities_of_all_runs_come_in_pages),
    cmocka_unit_test(the_current_run_is_the_one_with_the_highest_number),
    cmocka_unit_test(a_load_brings_the_transitions_after_the_snapshot),
    cmocka_unit_test(history_comes_in_pages_in_both_directions),
    cmocka_unit_test(history_starts_at_an_event),
    cmocka_unit_test(an_answer_past_the_arenas_budget_is_an_error),
    cmocka_unit_test(ready_tasks_come_by_stream_and_sequence),
    cmocka_unit_test(ready_heads_are_the_first_of_each_stream),
    cmocka_unit_test(ready_counts_are_of_priorities),
    cmocka_unit_test(wakeups_come_by_due_time_one_per_entity),
    cmocka_unit_test(outbox_messages_come_in_order_of_their_links),
    cmocka_unit_test(links_keep_what_was_received),
    cmocka_unit_test(entities_are_kept_by_kind_and_key),
};
const size_t store_contract_reads_count = ARRAY_COUNT(store_contract_reads);
