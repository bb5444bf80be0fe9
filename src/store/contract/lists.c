/* lists.c: lists and counts of runs. What a filter means is said once, by the evaluator of filter.c inside the memory
 * store: every store is held against it with random rows and random filters. */
#include "store/contract/fixture.h"
#include "store/memory.h"
#include "store/store_internal.h"

static void close_run(struct operation *operation, const struct store_run *run, int32_t status,
                      int64_t close_time)
{
    struct store_run *change = operation_update_run(operation, 0, run);
    change->status = status;
    change->close_time = close_time;
    change->history_length = run->number % 7;
    change->history_size = run->number * 100;
    change->state_transitions = run->number % 5;
}

static void a_list_shows_open_runs_first_and_pages_stay_stable(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    struct store_run *runs[9];
    for (int i = 1; i <= 8; i++)
        runs[i] = operation_insert_run(&operation, 0, i, i % 2 ? "odd" : "even");
    close_run(&operation, runs[1], 2, 500);
    close_run(&operation, runs[5], 3, 400);
    close_run(&operation, runs[3], 2, 500);
    runs[6]->status = 8; /* paused ones are open */
    operation_insert_run(&operation, 0, 100, "elsewhere")->namespace_number = NAMESPACE + 1;
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    static const store_number order[] = { 8, 7, 6, 4, 2, 3, 1, 5, 8 }; /* 8 is closed meanwhile */
    struct store_read         read = { .kind = STORE_READ_LIST, .namespace_number = NAMESPACE, .limit = 3 };
    struct operation          changes;
    size_t                    at = 0;
    operation_init(&changes, &f);
    do {
        fixture_read(&f, &read);
        CHECK_EQ(read.status, ST_OK);
        for (size_t i = 0; i < read.run_count; i++, at++) {
            CHECK(at < ARRAY_COUNT(order));
            CHECK_INT(read.runs[i].number, order[at]);
        }
        const struct store_run *last = &read.runs[read.run_count - 1];
        read.after_is_set = true;
        read.after_open = last->close_time == 0;
        read.after_close_time = last->close_time;
        read.after = last->number;
        if (at == 3) { /* none of these may shift the pages that follow */
            operation_insert_run(&changes, 0, 9, "new");
            operation_must_commit(&changes);
            close_run(&changes, runs[8], 2, 300);
            operation_must_commit(&changes);
        }
    } while (read.more);
    CHECK_EQ(at, ARRAY_COUNT(order));
    store_batch_release(&changes.batch);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void lists_leave_out_snapshots_and_show_what_was_just_written(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    for (store_number number = 1; number <= 20; number++) {
        struct store_run *run = operation_insert_run(&operation, 0, number, "workflow");
        run->snapshot = BYTES("snapshot");
        CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
        struct store_read read = { .kind = STORE_READ_LIST, .namespace_number = NAMESPACE, .limit = 1 };
        fixture_read(&f, &read);
        CHECK_EQ(read.run_count, 1);
        CHECK_EQ(read.runs[0].snapshot.size, 0);
        run->snapshot = BYTES_EMPTY;
        check_run(&read.runs[0], run);
        store_batch_clear(&operation.batch);
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static struct bytes one_attribute(struct arena *arena, const char *name, const char *value)
{
    struct store_attribute_value attribute = { { bytes_of_text(name), STORE_ATTRIBUTE_KEYWORD },
                                               { .is_text = true, .text = bytes_of_text(value) } };
    return store_attributes_encode(&attribute, 1, arena);
}

/* Of one run: whether loads show these attributes, and lists find it by them. */
static void check_attributes(struct fixture *f, struct bytes expected, const char *value, bool found)
{
    struct store_read load = { .kind = STORE_READ_RUN, .number = 1, .with_attributes = true };
    fixture_read(f, &load);
    CHECK_EQ(load.status, ST_OK);
    CHECK_BYTES(load.found ? load.runs[0].attributes : BYTES_EMPTY, expected);
    struct store_attribute attribute = { BYTES("Kw"), STORE_ATTRIBUTE_KEYWORD };
    struct store_value     given = { .is_text = true, .text = bytes_of_text(value) };
    struct store_filter    filter = { .relation = STORE_EQUAL,
                                      .column = STORE_COLUMN_ATTRIBUTE,
                                      .attribute = &attribute,
                                      .values = &given,
                                      .value_count = 1 };
    struct store_read list = { .kind = STORE_READ_LIST, .namespace_number = NAMESPACE, .filter = &filter };
    fixture_read(f, &list);
    CHECK_EQ(list.status, ST_OK);
    CHECK_EQ(list.run_count, found ? 1 : 0);
}

static void attributes_are_those_of_the_last_update_and_go_with_the_run(void **state)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, state);
    operation_init(&operation, &f);
    struct bytes      first = one_attribute(&f.arena, "Kw", "x"), second = one_attribute(&f.arena, "Kw", "y");
    struct store_run *inserted = operation_insert_run(&operation, 0, 1, "workflow");
    inserted->attributes = first;
    struct store_run run = *inserted;
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    check_attributes(&f, first, "x", true);
    operation_update_run(&operation, 0, &run)->attributes = second;
    CHECK_EQ(operation_commit(&operation), STORE_REFUSED); /* the insert again; the update is of its group */
    check_attributes(&f, first, "x", true);
    operation.batch.writes[0].kind = STORE_RUN_UPDATE;
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    check_attributes(&f, second, "x", false);
    check_attributes(&f, second, "y", true);
    close_run(&operation, &run, STATUS_COMPLETED, 500);
    operation.batch.writes[2].run->attributes = BYTES_EMPTY;
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    check_attributes(&f, BYTES_EMPTY, "y", false);
    operation.batch.writes[2].run->attributes = first;
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    check_attributes(&f, first, "x", true);
    store_batch_clear(&operation.batch);
    store_batch_add(&operation.batch, STORE_RUN_DELETE, 0)->run = &run;
    operation_must_commit(&operation);
    check_attributes(&f, BYTES_EMPTY, "x", false);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void words_and_doubles_keep_their_order(void **state UNUSED)
{
    static const double doubles[] = { -1e300, -2, -0.5, -1e-300, 0, 1e-300, 0.5, 2, 1e300 };
    for (size_t i = 0; i < ARRAY_COUNT(doubles); i++) {
        CHECK(store_double_of_number(store_number_of_double(doubles[i])) == doubles[i]);
        CHECK(i == 0 || store_number_of_double(doubles[i - 1]) < store_number_of_double(doubles[i]));
    }
    CHECK_INT(store_number_of_double(-0.0), 0);
    uint8_t      room[WORD_SIZE_MAX];
    struct bytes text = BYTES("  The quick-BROWN f\xc3\xb6x, 7!"), word;
    CHECK(store_words_next(&text, room, &word));
    CHECK_BYTES(word, BYTES("the"));
    CHECK(store_words_next(&text, room, &word));
    CHECK_BYTES(word, BYTES("quick"));
    CHECK(store_words_next(&text, room, &word));
    CHECK_BYTES(word, BYTES("brown"));
    CHECK(store_words_next(&text, room, &word));
    CHECK_BYTES(word, BYTES("f\xc3\xb6x"));
    CHECK(store_words_next(&text, room, &word));
    CHECK_BYTES(word, BYTES("7"));
    CHECK(!store_words_next(&text, room, &word));
}

/* --- Random filters --- */

enum { RUNS = 120 };

static struct bytes random_text(struct random *random, enum store_column column, struct arena *arena)
{
    static const char *const ids[] = { "a", "ab", "abc", "b", "ba", "parent", "root", "", "\xff", "z" };
    static const char *const types[] = { "type-0", "type-1", "type-2", "type", "queue-0", "queue-1" };
    if (store_column_type(column) == STORE_COLUMN_UUID) {
        struct uuid uuid;
        memset(uuid.byte, random_below(random, 3) == 0 ? 0xAA : (int)random_below(random, RUNS) + 1,
               sizeof uuid.byte);
        return arena_copy(arena, bytes_of(uuid.byte, sizeof uuid.byte - random_below(random, 2)));
    }
    if (column == STORE_COLUMN_WORKFLOW_TYPE || column == STORE_COLUMN_TASK_QUEUE)
        return bytes_of_text(types[random_below(random, ARRAY_COUNT(types))]);
    return bytes_of_text(ids[random_below(random, ARRAY_COUNT(ids))]);
}

static int64_t random_number(struct random *random, enum store_column column)
{
    switch (column) {
    case STORE_COLUMN_STATUS:
        return (int64_t)random_below(random, 9);
    case STORE_COLUMN_CLOSE_TIME:
        return 1000000 + (int64_t)random_below(random, 10);
    case STORE_COLUMN_HISTORY_LENGTH:
    case STORE_COLUMN_STATE_TRANSITIONS:
        return (int64_t)random_below(random, 8);
    default:
        return (int64_t)random_below(random, RUNS) * 1000 + (int64_t)random_below(random, 2);
    }
}

/* Of every type; "Kw" is of two, which are two attributes. */
static const struct store_attribute attributes[] = {
    { BYTES("Kw"), STORE_ATTRIBUTE_KEYWORD },    { BYTES("Kw"), STORE_ATTRIBUTE_INT },
    { BYTES("Dbl"), STORE_ATTRIBUTE_DOUBLE },    { BYTES("Flag"), STORE_ATTRIBUTE_BOOL },
    { BYTES("When"), STORE_ATTRIBUTE_TIME },     { BYTES("List"), STORE_ATTRIBUTE_LIST },
    { BYTES("Text"), STORE_ATTRIBUTE_TEXT },     { BYTES("List"), STORE_ATTRIBUTE_KEYWORD },
    { BYTES("Never"), STORE_ATTRIBUTE_KEYWORD }, /* set nowhere */
};
enum { ATTRIBUTES = ARRAY_COUNT(attributes), ATTRIBUTES_SET = ATTRIBUTES - 1 };

static struct store_value random_value(struct random *random, const struct store_attribute *attribute)
{
    static const char *const words[] = { "a", "ab", "abc", "b", "", "\xff\xff", "12", "\xc3\xa9" };
    struct store_value       value = { .is_text = store_attribute_is_text(attribute->type) };
    if (value.is_text)
        value.text = bytes_of_text(words[random_below(random, ARRAY_COUNT(words))]);
    else if (attribute->type == STORE_ATTRIBUTE_DOUBLE)
        value.number = store_number_of_double(((double)random_below(random, 9) - 4) / 2);
    else
        value.number = (int64_t)random_below(random, attribute->type == STORE_ATTRIBUTE_BOOL ? 2 : 9) - 1;
    return value;
}

static struct bytes random_attributes(struct random *random, struct arena *arena)
{
    struct store_attribute_value values[3 * ATTRIBUTES_SET];
    size_t                       count = 0;
    for (size_t i = 0; i < ATTRIBUTES_SET; i++) {
        size_t most = random_below(random, store_attribute_is_many(attributes[i].type) ? 4 : 2);
        for (size_t k = 0; k < most; k++, count++) {
            values[count].attribute = attributes[i];
            values[count].value = random_value(random, &attributes[i]);
        }
    }
    return store_attributes_encode(values, count, arena);
}

static bool is_for_many(enum store_operator verb)
{
    return verb == STORE_EQUAL || verb == STORE_NOT_EQUAL || verb == STORE_IN || verb == STORE_NOT_IN ||
           verb >= STORE_STARTS_WITH;
}

static struct store_filter *random_leaf(struct random *random, struct arena *arena)
{
    struct store_filter *filter = ARENA_NEW(arena, struct store_filter);
    filter->column = (enum store_column)random_below(random, STORE_COLUMN_COUNT);
    if (random_below(random, 2) == 0) {
        filter->column = STORE_COLUMN_ATTRIBUTE;
        filter->attribute = &attributes[random_below(random, ATTRIBUTES)];
    }
    bool is_text = filter->attribute != NULL ? store_attribute_is_text(filter->attribute->type)
                                             : store_column_type(filter->column) != STORE_COLUMN_NUMERIC;
    bool is_many = filter->attribute != NULL && store_attribute_is_many(filter->attribute->type);
    enum store_operator verb;
    do
        verb = STORE_EQUAL + (enum store_operator)random_below(random, STORE_IS_NOT_NULL - STORE_EQUAL + 1);
    while ((!is_text && (verb == STORE_STARTS_WITH || verb == STORE_NOT_STARTS_WITH)) ||
           (is_many && !is_for_many(verb)));
    bool set = verb == STORE_IN || verb == STORE_NOT_IN;
    bool range = verb == STORE_BETWEEN || verb == STORE_NOT_BETWEEN;
    bool null = verb == STORE_IS_NULL || verb == STORE_IS_NOT_NULL;
    filter->relation = verb;
    filter->value_count = null ? 0 : range ? 2 : set ? 1 + random_below(random, 4) : 1;
    filter->values = ARENA_NEW_ARRAY(arena, struct store_value, filter->value_count);
    for (size_t i = 0; i < filter->value_count; i++) {
        filter->values[i].is_text = is_text;
        if (filter->attribute != NULL)
            filter->values[i] = random_value(random, filter->attribute);
        else if (is_text)
            filter->values[i].text = random_text(random, filter->column, arena);
        else
            filter->values[i].number = random_number(random, filter->column);
    }
    return filter;
}

static struct store_filter *join(struct arena *arena, enum store_operator verb, struct store_filter *a,
                                 struct store_filter *b)
{
    struct store_filter *filter = ARENA_NEW(arena, struct store_filter);
    filter->relation = verb;
    filter->child_count = b == NULL ? 1 : 2;
    filter->children = ARENA_NEW_ARRAY(arena, struct store_filter *, 2);
    filter->children[0] = a;
    filter->children[1] = b;
    return filter;
}

/* Grown from a leaf by joining others to it, so that both deep and flat trees come up. */
static struct store_filter *random_filter(struct random *random, struct arena *arena)
{
    struct store_filter *filter = random_leaf(random, arena);
    for (uint64_t steps = random_below(random, 6); steps > 0; steps--) {
        switch (random_below(random, 5)) {
        case 0:
            filter = join(arena, STORE_NOT, filter, NULL);
            break;
        case 1:
            filter = join(arena, STORE_OR, filter, random_leaf(random, arena));
            break;
        case 2:
            filter = join(arena, STORE_OR, join(arena, STORE_NOT, random_leaf(random, arena), NULL), filter);
            break;
        default:
            filter = join(arena, STORE_AND, random_leaf(random, arena), filter);
            break;
        }
    }
    return filter;
}

static void add_random_runs(struct operation *operation, struct random *random)
{
    static const char *const ids[] = { "a", "ab", "abc", "b", "ba", "c", "\xff\xff" };
    for (store_number number = 1; number <= RUNS; number++) {
        struct store_run *run = operation_insert_run(operation, 0, number,
                                                     ids[random_below(random, ARRAY_COUNT(ids))]);
        if (random_below(random, 2) == 0) {
            run->parent_workflow_id = BYTES_EMPTY;
            memset(&run->parent_run_id, 0, sizeof run->parent_run_id);
        }
        if (random_below(random, 2) == 0) {
            run->root_workflow_id = BYTES_EMPTY;
            memset(&run->root_run_id, 0, sizeof run->root_run_id);
        }
        run->attributes = random_attributes(random, &operation->batch.arena);
        run->kind = random_below(random, 4) == 0 ? STORE_RUN_SCHEDULE : STORE_RUN_WORKFLOW;
        if (random_below(random, 4) == 0) { /* set anew, none or others */
            struct store_run *change = operation_update_run(operation, 0, run);
            change->attributes = random_attributes(random, &operation->batch.arena);
            change->kind = random_below(random, 4) == 0 ? STORE_RUN_APART : run->kind;
            run = ARENA_NEW(&operation->batch.arena, struct store_run);
            *run = *change;
            run = operation_update_run(operation, 0, run);
        }
        if (random_below(random, 3) == 0)
            run->status = random_below(random, 2) == 0 ? 8 : 0;
        else if (random_below(random, 2) == 0)
            close_run(operation, run, 2 + (int32_t)random_below(random, 6),
                      1000000 + (int64_t)random_below(random, 10));
    }
}

/* What a list is ordered or a count is grouped by; a list of keywords once at most, and only in groups. */
struct shape {
    struct store_key keys[2];
    size_t           key_count;
    int32_t          run_kind;
};

static bool is_fit(const struct store_key *key, bool for_groups)
{
    return key->attribute == NULL || !store_attribute_is_many(key->attribute->type) ||
           (for_groups && key->attribute->type == STORE_ATTRIBUTE_LIST);
}

static struct shape random_shape(struct random *random, bool for_groups)
{
    static const int32_t kinds[] = { STORE_RUN_WORKFLOW, STORE_RUN_WORKFLOW, STORE_RUN_WORKFLOW,
                                     STORE_RUN_ANY_KIND, STORE_RUN_SCHEDULE, STORE_RUN_APART };
    struct shape         shape = { .key_count = random_below(random, 3),
                                   .run_kind = kinds[random_below(random, ARRAY_COUNT(kinds))] };
    for (size_t i = 0; i < shape.key_count; i++) {
        struct store_key *key = &shape.keys[i];
        do {
            *key = (struct store_key){ .column = (enum store_column)random_below(random, STORE_COLUMN_COUNT),
                                       .descending = random_below(random, 2) == 0,
                                       .nulls_first = random_below(random, 2) == 0 };
            if (random_below(random, 2) == 0) {
                key->column = STORE_COLUMN_ATTRIBUTE;
                key->attribute = &attributes[random_below(random, ATTRIBUTES)];
            }
        } while (!is_fit(key, for_groups && i == 0));
    }
    return shape;
}

/* Reads a whole list in pages of random sizes. */
static size_t read_list(struct fixture *fixture, const struct store_filter *filter, const struct shape *shape,
                        struct random *random, store_number numbers[RUNS])
{
    struct store_read read = { .kind = STORE_READ_LIST,
                               .namespace_number = NAMESPACE,
                               .keys = shape->keys,
                               .key_count = shape->key_count,
                               .run_kind = shape->run_kind,
                               .filter = (struct store_filter *)(uintptr_t)filter };
    size_t            count = 0;
    do {
        read.limit = 1 + random_below(random, RUNS);
        fixture_read(fixture, &read);
        CHECK_EQ(read.status, ST_OK);
        for (size_t i = 0; i < read.run_count; i++) {
            CHECK(count < RUNS);
            numbers[count++] = read.runs[i].number;
            read.after_is_set = true;
            read.after_open = read.runs[i].close_time == 0;
            read.after_close_time = read.runs[i].close_time;
            read.after = read.runs[i].number;
        }
        memcpy(read.after_keys, read.last_keys, sizeof read.after_keys);
    } while (read.more);
    return count;
}

static bool is_same_group(const struct store_group_count *a, const struct store_group_count *b, size_t keys)
{
    for (size_t i = 0; i < keys; i++) {
        if (a->values[i].is_text != b->values[i].is_text || a->values[i].number != b->values[i].number ||
            !bytes_equal(a->values[i].text, b->values[i].text))
            return false;
    }
    return true;
}

static void check_counts(struct fixture *fixture, struct fixture *oracle, struct store_filter *filter,
                         const struct shape *shape)
{
    struct store_read read = { .kind = STORE_READ_COUNT,
                               .namespace_number = NAMESPACE,
                               .filter = filter,
                               .keys = shape->keys,
                               .key_count = shape->key_count,
                               .run_kind = shape->run_kind };
    struct store_read expected = read;
    fixture_read(fixture, &read);
    fixture_read(oracle, &expected);
    CHECK_EQ(read.status, ST_OK);
    CHECK_INT(read.count, expected.count);
    CHECK_INT(read.group_count, expected.group_count);
    for (size_t i = 0; i < expected.group_count; i++) {
        size_t found = 0;
        for (size_t j = 0; j < read.group_count; j++) {
            if (is_same_group(&expected.groups[i], &read.groups[j], shape->key_count)) {
                CHECK_INT(read.groups[j].count, expected.groups[i].count);
                found++;
            }
        }
        CHECK_INT(found, 1);
    }
}

static struct store *open_oracle(const struct store_contract_subject *subject UNUSED)
{
    return store_memory_open(STORE_MEMORY_IMMEDIATE);
}

static void random_filters_mean_what_the_evaluator_says(void **state)
{
    static const struct store_contract_subject memory = { .name = "memory", .open = open_oracle };
    void                                      *oracle_state = (void *)(uintptr_t)&memory;
    struct fixture                             f, oracle;
    struct random                              random, again;
    struct operation                           operation;
    fixture_init(&f, state);
    fixture_init(&oracle, &oracle_state);
    for (int store = 0; store < 2; store++) {
        random_seed(&again, 11);
        operation_init(&operation, store == 0 ? &f : &oracle);
        add_random_runs(&operation, &again);
        operation_must_commit(&operation);
        store_batch_release(&operation.batch);
    }
    random_seed(&random, 12);
    size_t listed = 0;
    for (int round = 0; round < 900; round++) {
        struct store_filter *filter = round == 0 ? NULL : random_filter(&random, &oracle.arena);
        store_number         numbers[RUNS], expected[RUNS];
        struct shape         order = random_shape(&random, false), grouping = random_shape(&random, true);
        if (round % 2 == 0)
            order.key_count = 0;
        size_t count = read_list(&f, filter, &order, &random, numbers);
        size_t expected_count = read_list(&oracle, filter, &order, &random, expected);
        if (count != expected_count || memcmp(numbers, expected, count * sizeof numbers[0]) != 0)
            print_error("round %d differs\n", round);
        CHECK_INT(count, expected_count);
        assert_memory_equal(numbers, expected, count * sizeof numbers[0]);
        listed += count;
        check_counts(&f, &oracle, round % 8 == 0 ? NULL : filter, &grouping);
        arena_reset(&f.arena);
        arena_reset(&oracle.arena);
    }
    CHECK(listed > 600); /* the filters do find something */
    fixture_release(&oracle);
    fixture_release(&f);
}

static void filters_past_their_limits_are_refused(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct store_value  text = { .is_text = true, .text = BYTES("x") }, number = { .number = 1 };
    struct store_filter leaf = {
        .relation = STORE_EQUAL, .column = STORE_COLUMN_STATUS, .values = &number, .value_count = 1
    };
    struct store_filter bad[] = {
        { .relation = STORE_EQUAL, .column = STORE_COLUMN_STATUS, .values = &text, .value_count = 1 },
        { .relation = STORE_EQUAL, .column = STORE_COLUMN_WORKFLOW_ID, .values = &number, .value_count = 1 },
        { .relation = STORE_STARTS_WITH, .column = STORE_COLUMN_STATUS, .values = &number, .value_count = 1 },
        { .relation = STORE_BETWEEN, .column = STORE_COLUMN_STATUS, .values = &number, .value_count = 1 },
        { .relation = STORE_IN, .column = STORE_COLUMN_STATUS },
        { .relation = STORE_AND },
        { .relation = (enum store_operator)99 },
        { .relation = STORE_IS_NULL, .column = (enum store_column)99 },
        { .relation = STORE_IS_NULL, .column = STORE_COLUMN_ATTRIBUTE },
        { .relation = STORE_LESS,
          .column = STORE_COLUMN_ATTRIBUTE,
          .attribute = &attributes[5],
          .values = &text,
          .value_count = 1 },
    };
    struct store_read read = { .kind = STORE_READ_LIST, .namespace_number = NAMESPACE };
    for (size_t i = 0; i <= ARRAY_COUNT(bad); i++) {
        read.kind = i % 2 == 0 ? STORE_READ_LIST : STORE_READ_COUNT;
        read.filter = i == ARRAY_COUNT(bad) ? &leaf : &bad[i];
        fixture_read(&f, &read);
        CHECK_EQ(read.status, i == ARRAY_COUNT(bad) ? ST_OK : ST_INVALID_ARGUMENT);
    }
    struct store_filter *deep = &leaf;
    for (int i = 0; i < STORE_FILTER_DEPTH_MAX; i++)
        deep = join(&f.arena, STORE_NOT, deep, NULL);
    read.filter = deep;
    fixture_read(&f, &read);
    CHECK_EQ(read.status, ST_OK);
    read.filter = join(&f.arena, STORE_NOT, deep, NULL);
    fixture_read(&f, &read);
    CHECK_EQ(read.status, ST_INVALID_ARGUMENT);
    struct store_filter wide = { .relation = STORE_OR, .child_count = STORE_FILTER_NODES_MAX - 1 };
    wide.children = ARENA_NEW_ARRAY(&f.arena, struct store_filter *, STORE_FILTER_NODES_MAX);
    for (size_t i = 0; i < STORE_FILTER_NODES_MAX; i++)
        wide.children[i] = &leaf;
    read.filter = &wide;
    fixture_read(&f, &read);
    CHECK_EQ(read.status, ST_OK);
    wide.child_count++;
    fixture_read(&f, &read);
    CHECK_EQ(read.status, ST_INVALID_ARGUMENT);
    fixture_release(&f);
}

const struct CMUnitTest store_contract_lists[] = {
    cmocka_unit_test(a_list_shows_open_runs_first_and_pages_stay_stable),
    cmocka_unit_test(lists_leave_out_snapshots_and_show_what_was_just_written),
    cmocka_unit_test(attributes_are_those_of_the_last_update_and_go_with_the_run),
    cmocka_unit_test(words_and_doubles_keep_their_order),
    cmocka_unit_test(random_filters_mean_what_the_evaluator_says),
    cmocka_unit_test(filters_past_their_limits_are_refused),
};
const size_t store_contract_lists_count = ARRAY_COUNT(store_contract_lists);
