/* faulty_test.c: a faulty store without faults keeps the contract; and each fault does what it says, and no more. */
#include "store/faulty.h"

#include "base/testing.h"
#include "store/contract/fixture.h"
#include "store/memory.h"

static struct store *open_passthrough(const struct store_contract_subject *subject UNUSED)
{
    return store_faulty_open(store_memory_open(STORE_MEMORY_IMMEDIATE), 1);
}
static const struct store_contract_subject passthrough = { .name = "faulty", .open = open_passthrough };
static void                               *passthrough_state = (void *)(uintptr_t)&passthrough;

static struct store *open_manual(const struct store_contract_subject *subject UNUSED)
{
    return store_faulty_open(store_memory_open(STORE_MEMORY_MANUAL), 1);
}
static bool pump_manual(struct store *store)
{
    return store_memory_step(store_faulty_inside(store));
}
static const struct store_contract_subject manual = { .name = "faulty, manual",
                                                      .open = open_manual,
                                                      .pump = pump_manual };

/* Every answer is held back and let go. */
static struct store *open_delayed(const struct store_contract_subject *subject UNUSED)
{
    struct store *store = open_passthrough(NULL);
    store_faulty_set_delay(store, 1000);
    return store;
}
static const struct store_contract_subject delayed = { .name = "faulty, delayed",
                                                       .open = open_delayed,
                                                       .pump = store_faulty_let_go };

__attribute__((constructor)) static void add_contract(void)
{
    store_contract_add(&passthrough, testing_tests, &testing_count, TEST_COUNT_MAX);
    store_contract_add(&manual, testing_tests, &testing_count, TEST_COUNT_MAX);
    store_contract_add(&delayed, testing_tests, &testing_count, TEST_COUNT_MAX);
}

TEST(each_fault_is_answered_once_and_done_or_not_as_it_says)
{
    static const struct {
        enum store_fault   fault;
        enum store_outcome outcome;
        bool               done;
    } cases[] = {
        { STORE_FAULT_ABORTED, STORE_ABORTED, false },
        { STORE_FAULT_FULL, STORE_FULL, false },
        { STORE_FAULT_LOST_FENCE, STORE_LOST_FENCE, false },
        { STORE_FAULT_UNKNOWN, STORE_UNKNOWN, false },
        { STORE_FAULT_UNKNOWN_DONE, STORE_UNKNOWN, true },
        { STORE_FAULT_ABORTED_DONE, STORE_ABORTED, true },
        { STORE_FAULT_REFUSED, STORE_REFUSED, false },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture   f;
        struct operation operation;
        fixture_init(&f, &passthrough_state);
        operation_init(&operation, &f);
        store_faulty_script(f.store, cases[i].fault, 1);
        for (store_number number = 1; number <= 3; number++) {
            operation_insert_run(&operation, 0, number, "workflow");
            enum store_outcome outcome = operation_commit(&operation);
            CHECK_EQ(outcome, number == 2 ? cases[i].outcome : STORE_DURABLE);
            CHECK_EQ(operation.batch.write_count, 1);
            CHECK_EQ(fixture_load(&f, number).found, number != 2 || cases[i].done);
            if (number == 2 && cases[i].outcome == STORE_ABORTED && !cases[i].done) /* the same batch again */
                CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
            store_batch_clear(&operation.batch);
        }
        CHECK_EQ(store_faulty_struck(f.store, cases[i].fault), 1);
        store_batch_release(&operation.batch);
        fixture_release(&f);
    }
}

TEST(what_the_store_inside_refuses_stays_refused)
{
    static const struct {
        enum store_fault   fault;
        enum store_outcome outcome;
    } cases[] = {
        { STORE_FAULT_NONE, STORE_REFUSED },
        { STORE_FAULT_REFUSED, STORE_REFUSED },
        { STORE_FAULT_ABORTED_DONE, STORE_ABORTED },
    };
    enum { GROUPS = 8 };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture   f;
        struct operation operation;
        fixture_init(&f, &passthrough_state);
        operation_init(&operation, &f);
        operation_insert_run(&operation, 0, 1, "workflow");
        operation_must_commit(&operation);
        store_faulty_set_always(f.store, cases[i].fault);
        for (uint32_t group = 0; group < GROUPS; group++) /* the first is there already */
            operation_insert_run(&operation, group, group + 1, "workflow");
        CHECK_EQ(operation_commit(&operation), cases[i].outcome);
        for (uint32_t group = 1; group < GROUPS && cases[i].outcome == STORE_REFUSED; group++)
            CHECK_EQ(fixture_load(&f, group + 1).found, !operation.batch.refused[group]);
        store_batch_release(&operation.batch);
        fixture_release(&f);
    }
}

TEST(refusals_are_of_some_groups_and_the_others_are_done)
{
    enum { GROUPS = 6 };
    struct fixture   f;
    struct operation operation;
    int              refused = 0, done = 0;
    fixture_init(&f, &passthrough_state);
    operation_init(&operation, &f);
    for (store_number first = 0; first < 200; first += GROUPS) {
        store_faulty_script(f.store, STORE_FAULT_REFUSED, 0);
        for (uint32_t group = 0; group < GROUPS; group++)
            operation_insert_run(&operation, group, first + group + 1, "workflow");
        CHECK_EQ(operation_commit(&operation), STORE_REFUSED);
        int of_this = 0;
        for (uint32_t group = 0; group < GROUPS; group++) {
            CHECK_EQ(fixture_load(&f, first + group + 1).found, !operation.batch.refused[group]);
            of_this += operation.batch.refused[group];
            done += !operation.batch.refused[group];
        }
        CHECK(of_this > 0);
        refused += of_this;
        store_batch_clear(&operation.batch);
    }
    CHECK(refused > 60 && done > 30);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

TEST(reads_fail_without_an_answer)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, &passthrough_state);
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    operation_must_commit(&operation);
    store_faulty_script(f.store, STORE_FAULT_READ_FAILED, 0);
    store_faulty_script(f.store, STORE_FAULT_READ_DAMAGED, 1);
    static const enum status expected[] = { ST_UNAVAILABLE, ST_DATA_LOSS, ST_OK };
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        struct store_read read = { .kind = STORE_READ_RUN, .number = 1 };
        fixture_read(&f, &read);
        CHECK_EQ(read.status, expected[i]);
        CHECK_EQ(read.found, expected[i] == ST_OK);
        CHECK_EQ(read.run_count, expected[i] == ST_OK ? 1 : 0);
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

TEST(a_full_store_says_so_to_the_probe_until_it_is_not)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, &passthrough_state);
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    store_faulty_set_always(f.store, STORE_FAULT_FULL);
    CHECK_EQ(operation_commit(&operation), STORE_FULL);
    CHECK_EQ(operation_commit(&operation), STORE_FULL);
    CHECK_EQ(store_probe(f.store, NULL), ST_RESOURCE_EXHAUSTED);
    CHECK(!fixture_load(&f, 1).found); /* reads go on */
    store_faulty_set_always(f.store, STORE_FAULT_NONE);
    CHECK_EQ(store_probe(f.store, NULL), ST_OK);
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

/* Two runs with one seed end alike, and another seed differs. */
static uint64_t trace(uint64_t seed)
{
    struct store    *store = store_faulty_open(store_memory_open(STORE_MEMORY_IMMEDIATE), seed);
    struct fixture   f;
    struct operation operation;
    uint64_t         hash = 0;
    fixture_open(&f, &passthrough);
    store_close(f.store);
    f.store = store;
    for (enum store_fault fault = STORE_FAULT_NONE + 1; fault < STORE_FAULT_READ_FAILED; fault++)
        store_faulty_set_rate(store, fault, 50);
    operation_init(&operation, &f);
    for (store_number number = 1; number <= 300; number++) {
        operation_insert_run(&operation, 0, number, "workflow");
        hash = hash * 31 + operation_commit(&operation);
        hash = hash * 31 + fixture_load(&f, number).found;
        store_batch_clear(&operation.batch);
    }
    for (enum store_fault fault = STORE_FAULT_NONE; fault < STORE_FAULT_READ_FAILED; fault++)
        CHECK(store_faulty_struck(store, fault) > 0);
    store_batch_release(&operation.batch);
    fixture_release(&f);
    return hash;
}

TEST(chance_repeats_with_its_seed)
{
    uint64_t first = trace(3);
    CHECK(trace(3) == first);
    CHECK(trace(4) != first);
}

TEST(batches_behind_a_delayed_one_wait_and_reads_overtake)
{
    struct fixture   f;
    struct operation first, second;
    fixture_init(&f, &passthrough_state);
    operation_init(&first, &f);
    operation_init(&second, &f);
    operation_insert_run(&first, 0, 1, "workflow");
    operation_insert_run(&second, 0, 2, "workflow");
    store_faulty_set_delay(f.store, 1000);
    operation_submit(&first);
    store_faulty_set_delay(f.store, 0);
    operation_submit(&second);
    CHECK(fixture_load(&f, 2).found); /* done, and nobody was told */
    CHECK(!first.done && !second.done);
    CHECK_EQ(store_faulty_delayed(f.store), 2);
    CHECK(store_faulty_let_go(f.store));
    fixture_wait(&f, &first.done);
    CHECK(!second.done);
    CHECK(store_faulty_let_go(f.store));
    fixture_wait(&f, &second.done);
    CHECK(!store_faulty_let_go(f.store));
    store_batch_release(&first.batch);
    store_batch_release(&second.batch);
    fixture_release(&f);
}
