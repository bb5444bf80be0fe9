/* durable.c: what a store that outlives its process keeps. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/contract/fixture.h"

static void rows_are_there_after_a_reopen(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    struct operation operation;
    operation_init(&operation, &f);
    struct store_run *run = operation_insert_run(&operation, 0, 1, "workflow");
    operation_insert_transition(&operation, 0, 1, 1, BYTES("events"), "delta");
    operation_insert_ready(&operation, 0, 2, "queue", 3);
    operation_set_wakeup(&operation, 0, 1, 9);
    operation_insert_outbox(&operation, 0, 1, 2, 3, "body");
    operation_put_entity(&operation, 0, 4, "key", "state");
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    fixture_reopen(&f);
    struct store_read read = fixture_load(&f, 1);
    check_run(&read.runs[0], run);
    check_transition(&read.transitions[0], 1, 1, BYTES("events"), "delta");
    read = (struct store_read){ .kind = STORE_READ_WAKEUPS };
    fixture_read(&f, &read);
    CHECK_EQ(read.wakeup_count, 1);
    read = (struct store_read){ .kind = STORE_READ_OUTBOX };
    fixture_read(&f, &read);
    CHECK_EQ(read.outbox_count, 1);
    read = (struct store_read){ .kind = STORE_READ_ENTITIES, .entity_kind = 4 };
    fixture_read(&f, &read);
    CHECK_EQ(read.entity_count, 1);
    /* Writing goes on behind what is there. */
    store_batch_clear(&operation.batch);
    operation_insert_transition(&operation, 0, 1, 2, BYTES("more"), "");
    operation_must_commit(&operation);
    CHECK_EQ(fixture_load(&f, 1).transition_count, 2);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static void closing_finishes_what_was_submitted(void **state)
{
    enum { BATCHES = 20 };
    struct fixture f;
    fixture_init(&f, state);
    struct operation operations[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        operation_init(&operations[i], &f);
        operation_insert_run(&operations[i], 0, i + 1, "workflow");
        operation_submit(&operations[i]);
    }
    fixture_reopen(&f);
    for (int i = 0; i < BATCHES; i++) {
        fixture_wait(&f, &operations[i].done);
        CHECK_EQ(operations[i].batch.outcome, STORE_DURABLE);
        CHECK(fixture_load(&f, i + 1).found);
        store_batch_release(&operations[i].batch);
    }
    fixture_release(&f);
}

/* The child: commits run after run and says so on the pipe after each DURABLE, until it is killed. */
NORETURN static void commit_until_killed(const struct store_contract_subject *subject, int said)
{
    struct fixture f;
    fixture_open(&f, subject);
    struct operation operation;
    operation_init(&operation, &f);
    for (int64_t number = 1;; number++) {
        operation_insert_run(&operation, 0, number, "workflow");
        operation_insert_transition(&operation, 0, number, 1, BYTES("events"), "delta");
        if (operation_commit(&operation) != STORE_DURABLE ||
            write(said, &number, sizeof number) != sizeof number)
            _exit(1);
        store_batch_clear(&operation.batch);
    }
}

static void what_was_durable_survives_a_kill(void **state)
{
    struct fixture f;
    fixture_init(&f, state);
    store_close(f.store);
    int64_t expected = 0;
    for (int round = 0; round < 3; round++) {
        f.subject->remove(f.subject);
        int said[2];
        CHECK_EQ(pipe(said), 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(said[0]);
            commit_until_killed(f.subject, said[1]);
        }
        close(said[1]);
        for (int64_t number; expected < 40 + round && read(said[0], &number, sizeof number) == sizeof number;)
            expected = number;
        CHECK_EQ(kill(child, SIGKILL), 0);
        for (int64_t number; read(said[0], &number, sizeof number) == sizeof number;)
            expected = number; /* said before it died */
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status));
        close(said[0]);
        CHECK(expected >= 40);
        f.store = f.subject->open(f.subject);
        for (int64_t number = 1; number <= expected; number++) {
            struct store_read load = fixture_load(&f, number);
            CHECK(load.found);
            CHECK_EQ(load.transition_count, 1);
        }
        /* One more may have been done without being said, and that whole or not at all. */
        struct store_read next = fixture_load(&f, expected + 1);
        CHECK_EQ(next.transition_count, next.found ? 1 : 0);
        CHECK(!fixture_load(&f, expected + 2).found);
        store_close(f.store);
        expected = 0;
    }
    f.store = f.subject->open(f.subject);
    fixture_release(&f);
}

const struct CMUnitTest store_contract_durable[] = {
    cmocka_unit_test(rows_are_there_after_a_reopen),
    cmocka_unit_test(closing_finishes_what_was_submitted),
    cmocka_unit_test(what_was_durable_survives_a_kill),
};
const size_t store_contract_durable_count = ARRAY_COUNT(store_contract_durable);
