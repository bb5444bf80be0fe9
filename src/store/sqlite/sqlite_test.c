/* sqlite_test.c: the SQLite store keeps the contract; and what is true of files only. */
#include "store/sqlite.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing.h"
#include "store/contract/fixture.h"
#include "store/sqlite/schema.h"

static char directory[64]; /* of this test binary; removed at its end */

static void remove_directory(void)
{
    (void)rmdir(directory);
}

static const char *store_path(void)
{
    static char path[128];
    if (directory[0] == '\0') {
        snprintf(directory, sizeof directory, "/tmp/perdure-store-XXXXXX");
        if (mkdtemp(directory) == NULL)
            panic("cannot make %s", directory);
        atexit(remove_directory);
        snprintf(path, sizeof path, "%s/store.db", directory);
    }
    return path;
}

static void remove_files(const struct store_contract_subject *subject UNUSED)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-lock", "-ballast" };
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s", store_path(), suffixes[i]);
        (void)unlink(name);
    }
}

static struct store *open_with(const struct store_sqlite_options *options)
{
    struct store_sqlite_options at_path = *options;
    struct store               *store;
    struct error                error;
    at_path.path = store_path();
    if (store_sqlite_open(&at_path, &store, &error) == ST_OK)
        return store;
    print_error("%s\n", error.message);
    return NULL;
}

static struct store *open_default(const struct store_contract_subject *subject UNUSED)
{
    return open_with(&(struct store_sqlite_options){ .busy_ms = 50 });
}

static const struct store_contract_subject sqlite = {
    .name = "sqlite", .open = open_default, .remove = remove_files, .durable = true
};
static void *sqlite_state = (void *)(uintptr_t)&sqlite;

/* Lists and counts in the smallest pieces. */
static struct store *open_in_chunks(const struct store_contract_subject *subject UNUSED)
{
    return open_with(&(struct store_sqlite_options){ .list_slice_ns = -1, .list_chunk_rows = 7 });
}

static const struct store_contract_subject in_chunks = {
    .name = "sqlite, lists in chunks", .open = open_in_chunks, .remove = remove_files, .durable = true
};

__attribute__((constructor)) static void add_contract(void)
{
    store_contract_add(&in_chunks, testing_tests, &testing_count, TEST_COUNT_MAX);
    store_contract_add(&sqlite, testing_tests, &testing_count, TEST_COUNT_MAX);
}

/* Another process with the file, as far as SQLite is concerned: a connection of our own. */
static sqlite3 *shell_open(void)
{
    sqlite3 *shell;
    CHECK_EQ(sqlite3_open_v2(store_path(), &shell, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    return shell;
}

static void shell_run(sqlite3 *shell, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(shell, sql, NULL, NULL, &message) != SQLITE_OK)
        print_error("%s: %s\n", sql, message);
    CHECK_PTR(message, NULL);
}

static enum status open_error(struct error *error)
{
    struct store *store = NULL;
    enum status   status = store_sqlite_open(&(struct store_sqlite_options){ .path = store_path() }, &store,
                                             error);
    if (status == ST_OK)
        store_close(store);
    return status;
}

TEST(files_belong_to_their_owner_only)
{
    struct fixture f;
    fixture_init(&f, &sqlite_state);
    static const char *const suffixes[] = { "", "-wal", "-shm", "-lock", "-ballast" };
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char        name[160];
        struct stat stat_of;
        snprintf(name, sizeof name, "%s%s", store_path(), suffixes[i]);
        CHECK_EQ(stat(name, &stat_of), 0);
        CHECK_INT(stat_of.st_mode & 0777, 0600);
    }
    fixture_release(&f);
}

TEST(a_second_server_is_refused_and_told_by_whom)
{
    struct fixture f;
    struct error   error;
    char           pid[32];
    fixture_init(&f, &sqlite_state);
    CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(error.message, pid));
    assert_non_null(strstr(error.message, store_path()));
    /* The first one goes on unharmed. */
    CHECK(!fixture_load(&f, 1).found);
    fixture_release(&f);
    CHECK_EQ(open_error(&error), ST_OK);
    remove_files(NULL);
}

TEST(a_holder_that_could_not_write_its_name_is_unknown)
{
    struct fixture f;
    struct error   error;
    char           name[160];
    fixture_init(&f, &sqlite_state);
    snprintf(name, sizeof name, "%s-lock", store_path());
    CHECK_EQ(truncate(name, 0), 0);
    CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "process unknown"));
    fixture_release(&f);
}

/* Two names would be two logs: neither is opened, whether the other one is in use or not. */
TEST(a_store_with_two_names_is_refused)
{
    struct fixture f;
    struct error   error;
    struct store  *store;
    char           name[160], lock[176];
    fixture_init(&f, &sqlite_state);
    snprintf(name, sizeof name, "%s/other.db", directory);
    snprintf(lock, sizeof lock, "%s-lock", name);
    CHECK_EQ(link(store_path(), name), 0);
    CHECK_EQ(store_sqlite_open(&(struct store_sqlite_options){ .path = name }, &store, &error),
             ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "by another name of the same file"));
    CHECK_EQ(store_sqlite_view(name, &store, &error), ST_FAILED_PRECONDITION);
    store_close(f.store);
    CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "hard links"));
    CHECK_EQ(unlink(name), 0);
    CHECK_EQ(unlink(lock), 0);
    f.store = open_default(NULL);
    assert_non_null(f.store);
    fixture_release(&f);
}

TEST(what_is_no_regular_file_is_refused)
{
    struct error error;
    remove_files(NULL);
    CHECK_EQ(mkfifo(store_path(), 0600), 0);
    CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "is not a file"));
    remove_files(NULL);
    CHECK_EQ(mkdir(store_path(), 0700), 0);
    CHECK_EQ(open_error(&error), ST_UNAVAILABLE);
    CHECK_EQ(rmdir(store_path()), 0);
    remove_files(NULL);
}

TEST(a_newer_schema_is_refused)
{
    struct fixture f;
    struct error   error;
    fixture_init(&f, &sqlite_state);
    store_close(f.store);
    sqlite3 *shell = shell_open();
    shell_run(shell, "PRAGMA user_version = 99");
    CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "newer release (schema 99"));
    char back[64];
    snprintf(back, sizeof back, "PRAGMA user_version = %d", sqlite_migration_count);
    shell_run(shell, back);
    sqlite3_close(shell);
    f.store = open_default(NULL);
    fixture_release(&f);
}

TEST(files_of_others_are_refused_and_left_alone)
{
    struct error error;
    remove_files(NULL);
    int file = open(store_path(), O_CREAT | O_WRONLY, 0600);
    CHECK_EQ(write(file, "this is no database, and long enough to look at", 47), 47);
    close(file);
    CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "not a database"));
    struct stat stat_of;
    CHECK_EQ(stat(store_path(), &stat_of), 0);
    CHECK_INT(stat_of.st_size, 47);
    remove_files(NULL);
    sqlite3 *shell;
    CHECK_EQ(sqlite3_open(store_path(), &shell), SQLITE_OK);
    shell_run(shell, "CREATE TABLE theirs (x)");
    sqlite3_close(shell);
    CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "something else"));
    remove_files(NULL);
    static const char *const marks[] = { "PRAGMA user_version = 1", "PRAGMA application_id = 1" };
    for (size_t i = 0; i < ARRAY_COUNT(marks); i++) { /* without tables it is still theirs */
        CHECK_EQ(sqlite3_open(store_path(), &shell), SQLITE_OK);
        shell_run(shell, marks[i]);
        sqlite3_close(shell);
        CHECK_EQ(open_error(&error), ST_FAILED_PRECONDITION);
        assert_non_null(strstr(error.message, "something else"));
        remove_files(NULL);
    }
    struct store *store;
    CHECK_EQ(store_open("sqlite:", &store, &error), ST_INVALID_ARGUMENT);
    CHECK_EQ(store_open("sqlite:/nowhere/at/all/store.db", &store, &error), ST_UNAVAILABLE);
    CHECK_EQ(store_open("postgresql://", &store, &error), ST_INVALID_ARGUMENT);
}

TEST(a_shell_may_read_while_the_server_writes)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, &sqlite_state);
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    operation_must_commit(&operation);
    sqlite3 *shell = shell_open();
    shell_run(shell, "SELECT workflow_id, hex(run_id) FROM run");
    shell_run(shell, "BEGIN; SELECT * FROM run");
    operation_insert_run(&operation, 0, 2, "workflow");
    operation_must_commit(&operation);
    shell_run(shell, "COMMIT");
    sqlite3_close(shell);
    operation_insert_run(&operation, 0, 3, "workflow");
    operation_must_commit(&operation);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

TEST(a_shell_that_holds_the_lock_makes_batches_aborted_and_nothing_is_lost)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, &sqlite_state);
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    sqlite3 *shell = shell_open();
    shell_run(shell, "BEGIN IMMEDIATE");
    CHECK_EQ(operation_commit(&operation), STORE_ABORTED);
    assert_non_null(strstr(operation.batch.error.message, "locked"));
    shell_run(shell, "ROLLBACK");
    sqlite3_close(shell);
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE); /* the same batch again */
    CHECK(fixture_load(&f, 1).found);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

TEST(a_write_by_someone_else_stops_the_store)
{
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, &sqlite_state);
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 1, "workflow");
    operation_must_commit(&operation);
    sqlite3 *shell = shell_open();
    shell_run(shell, "UPDATE run SET task_queue = 'elsewhere'");
    sqlite3_close(shell);
    for (store_number number = 2; number < 4; number++) { /* and it stays stopped */
        operation_insert_run(&operation, 0, number, "workflow");
        CHECK_EQ(operation_commit(&operation), STORE_UNKNOWN);
        assert_non_null(strstr(operation.batch.error.message, "another process has changed"));
        store_batch_clear(&operation.batch);
    }
    CHECK_EQ(store_probe(f.store, NULL), ST_UNAVAILABLE);
    CHECK(!fixture_load(&f, 2).found);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

/* --- Several lanes at once --- */

struct lane {
    struct fixture fixture;
    pthread_t      thread;
    store_number   first;
    int            failures; /* checks of cmocka are for the test's own thread */
};

/* Each lane writes runs of its own and reads back what it was told is durable. */
static void *lane_main(void *context)
{
    struct lane     *lane = context;
    struct operation operation;
    operation_init(&operation, &lane->fixture);
    for (store_number number = lane->first; number < lane->first + 60; number++) {
        operation_insert_run(&operation, 0, number, "shared");
        operation_insert_transition(&operation, 0, number, 1, BYTES("events"), "delta");
        operation_insert_run(&operation, 1, lane->first, "shared"); /* refused, but for the first time */
        if (number == lane->first)
            operation.batch.write_count--;
        enum store_outcome outcome = operation_commit(&operation);
        lane->failures += outcome != (number == lane->first ? STORE_DURABLE : STORE_REFUSED);
        store_batch_clear(&operation.batch);
        struct store_read load = { .kind = STORE_READ_RUN, .number = number, .with_history = true };
        struct store_read list = { .kind = STORE_READ_LIST, .namespace_number = NAMESPACE, .limit = 300 };
        fixture_read(&lane->fixture, &load);
        lane->failures += load.status != ST_OK || load.transition_count != 1;
        fixture_read(&lane->fixture, &list);
        bool listed = false;
        for (size_t i = 0; i < list.run_count; i++)
            listed = listed || list.runs[i].number == number;
        lane->failures += list.status != ST_OK || !listed;
        arena_reset(&lane->fixture.arena);
    }
    store_batch_release(&operation.batch);
    return NULL;
}

TEST(lanes_write_and_read_at_the_same_time)
{
    enum { LANES = 4 };
    struct fixture f;
    struct lane    lanes[LANES];
    fixture_init(&f, &sqlite_state);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){ .first = 1000 * (i + 1) };
        fixture_lane(&lanes[i].fixture, &f);
        CHECK_EQ(pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]), 0);
    }
    for (int i = 0; i < LANES; i++) {
        CHECK_EQ(pthread_join(lanes[i].thread, NULL), 0);
        CHECK_INT(lanes[i].failures, 0);
        fixture_lane_release(&lanes[i].fixture);
    }
    struct store_read count = { .kind = STORE_READ_COUNT, .namespace_number = NAMESPACE };
    fixture_read(&f, &count);
    CHECK_INT(count.count, 60 * LANES);
    CHECK_EQ(store_probe(f.store, NULL), ST_OK);
    fixture_release(&f);
}

/* --- Damage --- */

TEST(a_damaged_row_is_data_loss_of_its_read_only)
{
    static const struct {
        const char *damage;
        int         run; /* which is unreadable then */
    } cases[] = {
        { "UPDATE run SET run_id = x'0102' WHERE number = 1", 1 },
        { "UPDATE run SET status = 'broken' WHERE number = 1", 1 },
        { "UPDATE run SET status = 1 << 40 WHERE number = 1", 1 },
        { "UPDATE run SET workflow_type = x'00' WHERE number = 1", 1 },
        { "UPDATE run SET status = -(1 << 40) WHERE number = 1", 1 },
        { "UPDATE run SET parent_run_id = x'01' WHERE number = 1", 1 },
        { "UPDATE transition_log SET checksum = 1 << 40 WHERE branch = 2", 2 },
        { "UPDATE transition_log SET events = 'text' WHERE branch = 2", 2 },
        { "UPDATE transition_log SET checksum = -1 WHERE branch = 2", 2 },
        { "UPDATE transition_log SET number = 5 WHERE branch = 2", 2 },
        { "DELETE FROM transition_log WHERE branch = 2", 2 },
        { "UPDATE transition_position SET sequence = 1 WHERE branch = 2", 2 },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture   f;
        struct operation operation;
        fixture_init(&f, &sqlite_state);
        operation_init(&operation, &f);
        for (store_number number = 1; number <= 3; number++) {
            operation_insert_run(&operation, 0, number, "workflow");
            operation_insert_transition(&operation, 0, number, 1, BYTES("events"), "delta");
        }
        operation_must_commit(&operation);
        store_close(f.store);
        sqlite3 *shell = shell_open();
        shell_run(shell, cases[i].damage);
        sqlite3_close(shell);
        f.store = open_default(NULL);
        for (store_number number = 1; number <= 3; number++) {
            struct store_read read = { .kind = STORE_READ_RUN, .number = number, .with_history = true };
            fixture_read(&f, &read);
            CHECK_EQ(read.status, number == cases[i].run ? ST_DATA_LOSS : ST_OK);
            assert_true(read.status == ST_OK || strstr(read.error.message, store_path()) != NULL);
        }
        store_batch_release(&operation.batch);
        fixture_release(&f);
    }
}

TEST(damaged_ready_rows_are_data_loss_and_odd_weights_are_none)
{
    static const struct {
        const char *damage;
        enum status status;
    } cases[] = {
        { "UPDATE ready SET kind = 0", ST_DATA_LOSS },
        { "UPDATE ready SET kind = 99", ST_DATA_LOSS },
        { "UPDATE ready SET workflow_id = x'07'", ST_DATA_LOSS },
        { "UPDATE ready SET fairness_weight = -1", ST_OK },
        { "UPDATE ready SET fairness_weight = 1 << 40", ST_OK },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture   f;
        struct operation operation;
        fixture_init(&f, &sqlite_state);
        operation_init(&operation, &f);
        operation_insert_ready(&operation, 0, 1, "queue", 1);
        operation_must_commit(&operation);
        store_close(f.store);
        sqlite3 *shell = shell_open();
        shell_run(shell, "PRAGMA ignore_check_constraints = ON");
        shell_run(shell, cases[i].damage);
        sqlite3_close(shell);
        f.store = open_default(NULL);
        struct store_read read = { .kind = STORE_READ_READY_ROWS };
        fixture_read(&f, &read);
        CHECK_EQ(read.status, cases[i].status);
        assert_true(read.status != ST_OK || read.ready[0].fairness_weight == 0);
        store_batch_release(&operation.batch);
        fixture_release(&f);
    }
}

TEST(a_file_damaged_at_random_never_crashes_the_server)
{
    struct random random;
    enum { ROUNDS = 40 };
    int refused = 0;
    random_seed(&random, 99);
    for (int round = 0; round < ROUNDS; round++) {
        struct fixture   f;
        struct operation operation;
        fixture_init(&f, &sqlite_state);
        operation_init(&operation, &f);
        for (store_number number = 1; number <= 60; number++) {
            operation_insert_run(&operation, 0, number, number % 2 ? "odd" : "even");
            operation_insert_transition(&operation, 0, number, 1, BYTES("some events that are there"),
                                        "delta");
        }
        operation_must_commit(&operation);
        store_close(f.store);
        int         file = open(store_path(), O_RDWR);
        struct stat stat_of;
        CHECK_EQ(fstat(file, &stat_of), 0);
        for (int i = 0; i < 30; i++) { /* behind the first page, without which it would not be opened */
            uint8_t byte = (uint8_t)random_next(&random);
            off_t   at = 4096 + (off_t)random_below(&random, (uint64_t)stat_of.st_size - 4096);
            CHECK_EQ(pwrite(file, &byte, 1, at), 1);
        }
        close(file);
        store_batch_release(&operation.batch);
        struct error error;
        enum status  status = store_sqlite_open(&(struct store_sqlite_options){ .path = store_path() },
                                                &f.store, &error);
        if (status != ST_OK) { /* the schema itself was hit, and that is said */
            CHECK_EQ(status, ST_DATA_LOSS);
            refused++;
            continue;
        }
        for (store_number number = 1; number <= 60; number++) {
            struct store_read read = { .kind = STORE_READ_RUN, .number = number, .with_history = true };
            fixture_read(&f, &read);
            if (read.status != ST_OK && read.status != ST_DATA_LOSS)
                print_error("%s\n", read.error.message);
            CHECK(read.status == ST_OK || read.status == ST_DATA_LOSS);
        }
        struct store_read list = { .kind = STORE_READ_LIST, .namespace_number = NAMESPACE };
        fixture_read(&f, &list);
        CHECK(list.status == ST_OK || list.status == ST_DATA_LOSS);
        fixture_release(&f);
    }
    CHECK(refused < ROUNDS);
}

/* --- The log --- */

static int64_t file_size(const char *suffix)
{
    char        name[160];
    struct stat stat_of;
    snprintf(name, sizeof name, "%s%s", store_path(), suffix);
    return stat(name, &stat_of) == 0 ? stat_of.st_size : -1;
}

static void write_kilobytes(struct operation *operation, int64_t first, int count)
{
    static uint8_t events[1024];
    for (int i = 0; i < count; i++)
        operation_insert_transition(operation, 0, 1, first + i, bytes_of(events, sizeof events), "");
    operation_must_commit(operation);
}

TEST(the_log_starts_again_under_steady_writes_and_reads)
{
    struct fixture   f;
    struct operation operation;
    remove_files(NULL);
    fixture_open(&f, &sqlite);
    store_close(f.store);
    f.store = open_with(
        &(struct store_sqlite_options){ .checkpoint_size = 256 << 10, .log_size_max = 2 << 20 });
    operation_init(&operation, &f);
    int64_t largest = 0;
    for (int64_t i = 0; i < 600; i++) { /* 60 MB through a log of 2 */
        write_kilobytes(&operation, i * 100 + 1, 100);
        struct store_read read = {
            .kind = STORE_READ_HISTORY, .number = 1, .from = i * 100 + 1, .to = i * 100 + 5
        };
        fixture_read(&f, &read);
        CHECK_EQ(read.transition_count, 5);
        largest = MAX(largest, file_size("-wal"));
    }
    CHECK(largest > 0);
    CHECK(largest < (4 << 20));
    struct store_statistics statistics;
    store_statistics(f.store, &statistics);
    CHECK(statistics.checkpoints > 0);
    CHECK(statistics.log_size > 0 && statistics.log_size < (4 << 20));
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

TEST(a_reader_that_does_not_end_does_not_stop_the_writer_for_ever)
{
    struct fixture   f;
    struct operation operation;
    remove_files(NULL);
    fixture_open(&f, &sqlite);
    store_close(f.store);
    /* With so long a wait for each 64 KiB of log this would take minutes. */
    f.store = open_with(&(struct store_sqlite_options){
        .busy_ms = 60000, .checkpoint_size = 256 << 10, .log_size_max = 1 << 20 });
    operation_init(&operation, &f);
    write_kilobytes(&operation, 1, 10);
    sqlite3 *shell = shell_open();
    shell_run(shell, "BEGIN; SELECT count(*) FROM run");
    for (int64_t i = 1; i < 40; i++)
        write_kilobytes(&operation, i * 100 + 1, 100);
    CHECK(file_size("-wal") > (2 << 20)); /* the log had to grow */
    shell_run(shell, "COMMIT");
    sqlite3_close(shell);
    int64_t grown = file_size("-wal");
    for (int64_t i = 40; i < 300; i++)
        write_kilobytes(&operation, i * 100 + 1, 100);
    CHECK(file_size("-wal") < grown + (20 << 20)); /* and does not go on growing: 26 MB were written since */
    struct store_statistics statistics;
    store_statistics(f.store, &statistics);
    CHECK(statistics.log_size < (20 << 20));
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

TEST(a_list_that_takes_long_goes_on_in_chunks)
{
    enum { RUNS = 4000 };
    struct fixture   f;
    struct operation operation;
    remove_files(NULL);
    fixture_open(&f, &sqlite);
    store_close(f.store);
    f.store = open_with(&(struct store_sqlite_options){ .list_slice_ns = 1, .list_chunk_rows = 500 });
    operation_init(&operation, &f);
    for (store_number number = 1; number <= RUNS; number++)
        operation_insert_run(&operation, 0, number, "workflow");
    operation_must_commit(&operation);
    struct store_value  times[] = { { .number = 3000 }, { .number = 2000000 }, { .number = 3999000 } };
    struct store_filter filter = { .column = STORE_COLUMN_START_TIME, .values = times, .value_count = 3 };
    filter.relation = STORE_IN;
    for (size_t limit = 0; limit < 4; limit++) {
        struct store_read read = {
            .kind = STORE_READ_LIST, .namespace_number = NAMESPACE, .filter = &filter, .limit = limit
        };
        fixture_read(&f, &read);
        CHECK_EQ(read.status, ST_OK);
        CHECK_EQ(read.run_count, limit == 0 ? 3 : limit);
        CHECK_EQ(read.more, limit == 1 || limit == 2);
        for (size_t i = 0; i < read.run_count; i++)
            CHECK_INT(read.runs[i].start_time, times[2 - i].number);
    }
    static const struct store_key by_queue = { .column = STORE_COLUMN_TASK_QUEUE };
    struct store_read             count = {
                    .kind = STORE_READ_COUNT, .namespace_number = NAMESPACE, .keys = &by_queue, .key_count = 1
    };
    fixture_read(&f, &count);
    CHECK_EQ(count.status, ST_OK);
    CHECK_INT(count.count, RUNS);
    CHECK_EQ(count.group_count, 2);
    CHECK_INT(count.groups[0].count, RUNS / 2);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

/* --- A full disk: a small file system of the child's own --- */

static int fill(struct operation *operation, int64_t *number)
{
    int batches = 0;
    do {
        static uint8_t events[64 << 10];
        store_batch_clear(&operation->batch);
        operation_insert_transition(operation, 0, 1, ++*number, bytes_of(events, sizeof events), "");
        batches++;
    } while (operation_commit(operation) == STORE_DURABLE && batches < 10000);
    return batches;
}

static void check_full_disk(void)
{
    struct fixture   f;
    struct operation operation;
    int64_t          number = 0, refused;
    fixture_init(&f, &sqlite_state);
    operation_init(&operation, &f);
    CHECK(file_size("-ballast") == 8 << 20);
    CHECK(fill(&operation, &number) > 10);
    CHECK_EQ(operation.batch.outcome, STORE_FULL);
    assert_non_null(strstr(operation.batch.error.message, "full"));
    refused = number;
    CHECK_EQ(file_size("-ballast"), -1); /* given up */
    CHECK_EQ(store_probe(f.store, NULL), ST_RESOURCE_EXHAUSTED);
    CHECK_EQ(file_size("-ballast"), -1);
    CHECK_EQ(operation_commit(&operation),
             STORE_DURABLE); /* the same batch, now in the space that was set aside */
    CHECK(fill(&operation, &number) > 1);
    CHECK_EQ(operation.batch.outcome, STORE_FULL);
    struct store_read read = { .kind = STORE_READ_HISTORY, .number = 1, .from = number - 1, .to = number };
    fixture_read(&f, &read); /* reads go on; nothing of the refused batch was done */
    CHECK_EQ(read.status, ST_OK);
    CHECK_EQ(read.transition_count, 1);
    CHECK(refused < number);
    char filler[160];
    snprintf(filler, sizeof filler, "%s/filler", directory);
    /* Space comes back: more than the ballast with room to spare, and what is still in the log and not yet in the file. */
    CHECK_EQ(unlink(filler), 0);
    CHECK_EQ(store_probe(f.store, NULL), ST_OK);
    CHECK(file_size("-ballast") == 8 << 20);
    CHECK_EQ(operation_commit(&operation), STORE_DURABLE);
    fixture_reopen(&f);
    read = (struct store_read){ .kind = STORE_READ_HISTORY, .number = 1, .from = 1, .to = number };
    fixture_read(&f, &read);
    CHECK_INT(read.transition_count, number);
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

static bool write_file(const char *name, const char *text)
{
    int  file = open(name, O_WRONLY);
    bool written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    if (file >= 0)
        close(file);
    return written;
}

/* A mount namespace of this process's own: as root at once, else inside of a user namespace. */
static bool own_mounts(void)
{
    char user[64];
    snprintf(user, sizeof user, "0 %u 1", (unsigned)getuid());
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_file("/proc/self/uid_map", user);
}

TEST(a_full_disk_refuses_writes_and_recovers_without_a_restart)
{
    (void)store_path();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char filler[160];
        snprintf(filler, sizeof filler, "%s/filler", directory);
        int file;
        if (!own_mounts() || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", directory, "tmpfs", 0, "size=72m,mode=0700") != 0 ||
            (file = open(filler, O_CREAT | O_WRONLY, 0600)) < 0 || posix_fallocate(file, 0, 48 << 20) != 0)
            _exit(77);
        close(file);
        check_full_disk(); /* a failed check longjmps out of the child's copy of this test and exits with failure */
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}
