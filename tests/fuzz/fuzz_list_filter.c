/* fuzz_list_filter.c: list queries: their grammar, and SQL against the evaluator.
 *
 * Input: a byte chooses whose columns are meant, the rest is the query.
 * What must hold: a query of runs finds the same rows in SQLite as in the memory store, which evaluates the tree itself, in
 * one order, and is refused by both or by none; counts by status add up; what a tree takes is in proportion to its query; a
 * filter and its NOT never both match, on rows of workers too.
 */
#include <stdio.h>
#include <unistd.h>

#include "api/list_filter.h"
#include "base/testing.h"
#include "fuzz.h"
#include "store/contract/fixture.h"
#include "store/memory.h"
#include "store/sqlite.h"
#include "store/store_internal.h"

#define ROWS 40

static struct fixture sqlite, memory;
static char           directory[] = "/tmp/perdure-fuzz-XXXXXX", path[64];

static struct store *open_sqlite(const struct store_contract_subject *subject UNUSED)
{
    struct store               *store;
    struct error                error;
    struct store_sqlite_options options = { .path = path };
    FUZZ_REQUIRE(store_sqlite_open(&options, &store, &error) == ST_OK, "%s", error.message);
    return store;
}

static struct store *open_memory(const struct store_contract_subject *subject UNUSED)
{
    return store_memory_open(STORE_MEMORY_IMMEDIATE);
}

static void remove_files(void)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-lock", "-ballast" };
    store_close(sqlite.store);
    store_close(memory.store);
    fixture_lane_release(&sqlite);
    fixture_lane_release(&memory);
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        char file[80];
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
    rmdir(directory);
}

/* Texts that are easily mistaken, numbers on both sides of every end, things that are not set. */
static struct store_run row_make(size_t i)
{
    static const struct bytes ids[] = { BYTES("a"),        BYTES("A"),       BYTES("ab"),  BYTES("a\0b"),
                                        BYTES("a'b"),      BYTES("a%"),      BYTES("a_b"), BYTES("\xff"),
                                        BYTES("\xff\xff"), BYTES("order-1"), BYTES("10"),  BYTES("1e1"),
                                        BYTES("\xc3\xa9"), BYTES("NULL"),    BYTES(" a"),  BYTES("a ") };
    static const int64_t      times[] = {
        1, 500, 1000000000, 1709208000000000000, INT64_MAX - 1, INT64_MAX, 2, 17
    };
    static const int32_t closed[] = { 2, 3, 4, 5, 6, 7 };
    bool                 is_closed = i % 3 != 0;
    struct store_run     run = {
            .number = (store_number)i + 1,
            .namespace_number = NAMESPACE,
            .workflow_id = ids[i % ARRAY_COUNT(ids)],
            .workflow_type = ids[i * 7 % ARRAY_COUNT(ids)],
            .task_queue = i % 5 == 0 ? BYTES("queue") : ids[i * 3 % ARRAY_COUNT(ids)],
            .status = is_closed    ? closed[i % ARRAY_COUNT(closed)]
                      : i % 2 == 0 ? 1
                                   : 8,
            .start_time = times[i % ARRAY_COUNT(times)],
            .execution_time = times[i * 5 % ARRAY_COUNT(times)],
            .close_time = is_closed ? (int64_t)(i / 4 + 1) * 1000 : 0,
            .history_length = is_closed ? (int64_t)i : 0,
            .history_size = is_closed ? (int64_t)i * 100 : 0,
            .state_transitions = is_closed ? (int64_t)i % 4 : 0,
            .parent_workflow_id = i % 4 == 1 ? ids[i % 9] : BYTES_EMPTY,
            .root_workflow_id = i % 4 == 1 ? ids[i % 7] : BYTES_EMPTY,
    };
    memset(run.run_id.byte, (int)i + 1, sizeof run.run_id.byte);
    memset(run.parent_run_id.byte, i % 4 == 1 ? (int)i : 0, sizeof run.parent_run_id.byte);
    memset(run.root_run_id.byte, i % 4 == 1 ? 1 : 0, sizeof run.root_run_id.byte);
    return run;
}

static void setup(void)
{
    static struct store_contract_subject subjects[] = { { .name = "sqlite", .open = open_sqlite },
                                                        { .name = "memory", .open = open_memory } };
    FUZZ_REQUIRE(mkdtemp(directory) != NULL, "no directory");
    snprintf(path, sizeof path, "%s/store.db", directory);
    for (int which = 0; which < 2; which++) {
        struct fixture  *fixture = which == 0 ? &sqlite : &memory;
        struct operation operation;
        fixture_open(fixture, &subjects[which]);
        operation_init(&operation, fixture);
        for (size_t i = 0; i < ROWS; i++) {
            struct store_write *write = store_batch_add(&operation.batch, STORE_RUN_INSERT, 0);
            write->run = ARENA_NEW(&operation.batch.arena, struct store_run);
            *write->run = row_make(i);
            operation.batch.size += 200;
        }
        operation_must_commit(&operation);
        store_batch_release(&operation.batch);
    }
    atexit(remove_files);
}

/* --- runs --- */

static struct store_read list(struct fixture *fixture, struct store_filter *filter)
{
    struct store_read read = { .kind = STORE_READ_LIST, .namespace_number = NAMESPACE, .filter = filter };
    fixture_read(fixture, &read);
    return read;
}

static const struct store_key by_status = { .column = STORE_COLUMN_STATUS };

static void check_count(struct fixture *fixture, struct store_filter *filter, const struct store_read *listed)
{
    int64_t           sum = 0, of_list[9] = { 0 };
    struct store_read read = { .kind = STORE_READ_COUNT,
                               .namespace_number = NAMESPACE,
                               .filter = filter,
                               .keys = &by_status,
                               .key_count = 1 };
    fixture_read(fixture, &read);
    for (size_t i = 0; i < listed->run_count; i++)
        of_list[listed->runs[i].status]++;
    for (size_t i = 0; i < read.group_count; i++) {
        sum += read.groups[i].count;
        FUZZ_REQUIRE(read.groups[i].count == of_list[read.groups[i].values[0].number],
                     "status %" PRId64 " is counted %" PRId64 " times", read.groups[i].values[0].number,
                     read.groups[i].count);
    }
    FUZZ_REQUIRE(sum == (int64_t)listed->run_count, "%" PRId64 " are counted, %zu are listed", sum,
                 listed->run_count);
}

static struct store_filter negation(struct store_filter **of)
{
    return (struct store_filter){ .relation = STORE_NOT, .children = of, .child_count = 1 };
}

static void check_runs(struct bytes query, struct arena *arena)
{
    struct list_query parsed;
    struct error      error;
    error_clear(&error);
    enum status status = list_query_parse(query, NULL, arena, &parsed, &error);
    FUZZ_REQUIRE(arena->used_total <= 4096 + 256 * query.size, "%zu bytes for a query of %zu",
                 arena->used_total, query.size);
    if (status != ST_OK) {
        FUZZ_REQUIRE(status == ST_INVALID_ARGUMENT && strstr(error.message, "invalid query") != NULL, "%s",
                     error.message);
        return;
    }
    struct store_read ours = list(&memory, parsed.filter), theirs = list(&sqlite, parsed.filter);
    FUZZ_REQUIRE(ours.status == theirs.status && (ours.status == ST_OK || ours.status == ST_INVALID_ARGUMENT),
                 "%s: %s (%s), SQLite: %s (%s)", error.message, status_name(ours.status), ours.error.message,
                 status_name(theirs.status), theirs.error.message);
    FUZZ_REQUIRE(ours.run_count == theirs.run_count, "%.*s: %zu rows, in SQLite %zu", BYTES_FMT(query),
                 ours.run_count, theirs.run_count);
    for (size_t i = 0; i < ours.run_count; i++)
        FUZZ_REQUIRE(ours.runs[i].number == theirs.runs[i].number, "%.*s: row %zu differs", BYTES_FMT(query),
                     i);
    if (ours.status != ST_OK)
        return;
    check_count(&memory, parsed.filter, &ours);
    check_count(&sqlite, parsed.filter, &theirs);
    struct store_filter opposite = negation(&parsed.filter);
    if (parsed.filter == NULL || store_filter_check(&opposite, &error) != ST_OK)
        return;
    for (size_t i = 0; i < ours.run_count; i++)
        FUZZ_REQUIRE(!store_filter_matches_run(&opposite, &ours.runs[i]), "%.*s: a row matches and does not",
                     BYTES_FMT(query));
}

/* --- workers --- */

/* A row is a number; some of its bits say what is not set. */
static struct store_column_value worker_column(const void *row, enum store_column column)
{
    static const struct bytes texts[] = { BYTES("a"), BYTES("go"), BYTES("1.2.3"), BYTES("") };
    unsigned                  number = *(const unsigned *)row;
    struct store_column_value value = { .is_null = number >> ((unsigned)column % 8) & 1 };
    value.value.is_text = store_column_type(column) != STORE_COLUMN_NUMERIC;
    value.value.text = texts[number % 4];
    value.value.number = number % 5;
    return value;
}

static void check_workers(struct bytes query, struct arena *arena)
{
    struct store_filter *filter = NULL;
    struct error         error;
    if (list_query_parse_workers(query, arena, &filter, &error) != ST_OK || filter == NULL)
        return;
    struct store_filter opposite = negation(&filter);
    if (store_filter_check(&opposite, &error) != ST_OK)
        return;
    for (unsigned row = 0; row < 64; row++)
        FUZZ_REQUIRE(!(store_filter_matches(filter, &row, worker_column) &&
                       store_filter_matches(&opposite, &row, worker_column)),
                     "%.*s: a worker matches and does not", BYTES_FMT(query));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena      arena;
    struct fuzz_input input = { data, size };
    if (sqlite.store == NULL)
        setup();
    arena_init(&arena, SIZE_MAX);
    if (fuzz_below(&input, 4) == 0)
        check_workers(fuzz_rest(&input), &arena);
    else
        check_runs(fuzz_rest(&input), &arena);
    arena_release(&arena);
    arena_reset(&sqlite.arena);
    arena_reset(&memory.arena);
    return 0;
}
