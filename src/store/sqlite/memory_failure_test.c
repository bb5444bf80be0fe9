/* memory_failure_test.c: SQLite gets no memory, from its Nth request on, at every N of each thing a store does.
 *
 * What is answered then must be an error or the truth, and what is on disk the whole of a batch or nothing of it.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/testing.h"
#include "store/contract/fixture.h"
#include "store/sqlite.h"

/* Requests that are still granted; negative: all. Readers and the writer ask on threads of their own. */
static atomic_long         granted = -1;
static sqlite3_mem_methods real;
static char                directory[64], path[96];

static bool is_granted(void)
{
    long left = atomic_load(&granted);
    while (left > 0 && !atomic_compare_exchange_weak(&granted, &left, left - 1))
        ;
    return left != 0;
}

static void *take(int size)
{
    return is_granted() ? real.xMalloc(size) : NULL;
}

static void *resize(void *memory, int size)
{
    return is_granted() ? real.xRealloc(memory, size) : NULL;
}

/* No small blocks of a connection's own: each request is one of these. */
__attribute__((constructor)) static void replace_memory(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real);
    sqlite3_mem_methods methods = real;
    methods.xMalloc = take;
    methods.xRealloc = resize;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK)
        panic("SQLite was used already");
}

static void remove_files(const struct store_contract_subject *subject UNUSED)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-lock", "-ballast", ".partial" };
    for (size_t i = 0; directory[0] != '\0' && i < ARRAY_COUNT(suffixes); i++) {
        char name[112];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
}

static void remove_directory(void)
{
    remove_files(NULL);
    (void)rmdir(directory);
}

static enum status try_open(struct store **ret_store)
{
    struct error error;
    /* One reader of each kind and chunks at once: what is asked for is the same each time. */
    return store_sqlite_open(
        &(struct store_sqlite_options){
            .path = path, .load_threads = 1, .list_threads = 1, .list_slice_ns = -1, .list_chunk_rows = 2 },
        ret_store, &error);
}

static struct store *open_store(const struct store_contract_subject *subject UNUSED)
{
    struct store *store = NULL;
    if (directory[0] == '\0') {
        snprintf(directory, sizeof directory, "/tmp/perdure-memory-XXXXXX");
        if (mkdtemp(directory) == NULL)
            panic("cannot make %s", directory);
        atexit(remove_directory);
        snprintf(path, sizeof path, "%s/store.db", directory);
    }
    return try_open(&store) == ST_OK ? store : NULL;
}

static const struct store_contract_subject subject = {
    .name = "no memory", .open = open_store, .remove = remove_files, .durable = true
};

/* A write of each kind but deletions, for run `number`, and deletions of what was written for the one before. */
static void add_writes(struct operation *operation, store_number number)
{
    struct store_run *run = operation_insert_run(operation, 0, number, "workflow");
    operation_insert_transition(operation, 0, number, 1, BYTES("events"), "delta");
    operation_insert_ready(operation, 0, number, "queue", 1);
    operation_set_wakeup(operation, 0, number, 100);
    operation_insert_outbox(operation, 0, 1, 2, number, "body");
    operation_put_entity(operation, 0, 1, "a", "state");
    operation_update_run(operation, 0, run)->task_queue = BYTES("elsewhere");
    struct store_run *closed = operation_update_run(operation, 0, run);
    closed->status = STATUS_COMPLETED;
    closed->close_time = 5;
    store_batch_add(&operation->batch, STORE_LINK_TAKE, 0)->link = (struct store_link){ .source_range = 1,
                                                                                        .target_range = 2,
                                                                                        .number = number };
    struct store_ready *ready = ARENA_NEW(&operation->batch.arena, struct store_ready);
    *ready = (struct store_ready){ .sequence = number };
    store_batch_add(&operation->batch, STORE_READY_DELETE, 0)->ready = ready;
    store_batch_add(&operation->batch, STORE_WAKEUP_DELETE, 0)->wakeup.entity = number;
}

static void check_whole_or_nothing(struct fixture *f, bool durable)
{
    struct store_read run = fixture_load(f, 2);
    CHECK(run.found || !durable);
    CHECK_EQ(run.transition_count, run.found ? 1 : 0);
    assert_true(!run.found || run.runs[0].status == STATUS_COMPLETED);
    struct store_read outbox = { .kind = STORE_READ_OUTBOX };
    fixture_read(f, &outbox);
    CHECK_EQ(outbox.outbox_count, run.found ? 2 : 1);
}

TEST(a_batch_without_memory_is_done_or_unknown_and_never_half)
{
    bool passed = false;
    for (long limit = 0; !passed; limit += 5) {
        struct fixture   f;
        struct operation operation;
        fixture_init(&f, &(void *){ (void *)(uintptr_t)&subject });
        operation_init(&operation, &f);
        operation_insert_run(&operation, 0, 1, "workflow");
        operation_insert_outbox(&operation, 0, 1, 2, 1, "body");
        operation_must_commit(&operation);
        add_writes(&operation, 2);
        if (limit % 2 == 1) /* a second batch that is refused: savepoints */
            operation_insert_run(&operation, 1, 1, "workflow");
        atomic_store(&granted, limit);
        enum store_outcome outcome = operation_commit(&operation);
        passed = atomic_exchange(&granted, -1) > 0;
        bool done = outcome == STORE_DURABLE || outcome == STORE_REFUSED;
        CHECK(done || outcome == STORE_UNKNOWN);
        CHECK(done || !passed);
        if (!done)
            CHECK_EQ(store_probe(f.store, NULL), ST_UNAVAILABLE); /* it stays stopped */
        store_batch_release(&operation.batch);
        fixture_reopen(&f);
        check_whole_or_nothing(&f, done);
        fixture_release(&f);
    }
}

static size_t rows_of(const struct store_read *read)
{
    return read->run_count + read->transition_count + read->ready_count + read->ready_count_count +
           read->wakeup_count + read->branch_count + read->identity_count + read->outbox_count +
           read->link_count + read->entity_count + (size_t)read->count + read->group_count;
}

TEST(a_read_without_memory_is_an_error_or_the_truth)
{
    struct store_value  id = { .is_text = true, .text = BYTES("workflow") };
    struct store_filter by_id = { .column = STORE_COLUMN_WORKFLOW_ID, .values = &id, .value_count = 1 };
    by_id.relation = STORE_EQUAL;
    static const struct store_key by_queue = { .column = STORE_COLUMN_TASK_QUEUE };
    const struct store_read       reads[] = {
        { .kind = STORE_READ_CURRENT_RUN, .workflow_id = BYTES("workflow"), .with_history = true },
        { .kind = STORE_READ_RUN, .number = 1, .with_history = true },
        { .kind = STORE_READ_HISTORY, .number = 1, .from = 1, .to = 9, .from_event = 3 },
        { .kind = STORE_READ_READY,
                .queue = BYTES("queue"),
                .task_kind = STORE_TASK_ACTIVITY,
                .priority = 1,
                .fairness_key = BYTES("fair") },
        { .kind = STORE_READ_READY_HEADS,
                .queue = BYTES("queue"),
                .task_kind = STORE_TASK_ACTIVITY,
                .priority = INT32_MIN },
        { .kind = STORE_READ_READY_COUNTS, .queue = BYTES("queue"), .task_kind = STORE_TASK_ACTIVITY },
        { .kind = STORE_READ_WAKEUPS },
        { .kind = STORE_READ_OUTBOX },
        { .kind = STORE_READ_ENTITIES, .entity_kind = 1 },
        { .kind = STORE_READ_LIST },
        { .kind = STORE_READ_LIST, .filter = &by_id },
        { .kind = STORE_READ_LIST, .keys = &by_queue, .key_count = 1 },
        { .kind = STORE_READ_COUNT, .keys = &by_queue, .key_count = 1 },
        { .kind = STORE_READ_COUNT },
    };
    struct fixture   f;
    struct operation operation;
    fixture_init(&f, &(void *){ (void *)(uintptr_t)&subject });
    operation_init(&operation, &f);
    for (store_number number = 1; number <= 5; number++) {
        operation_insert_run(&operation, 0, number, "workflow");
        operation_insert_transition(&operation, 0, number, 1, BYTES("events"), "delta");
        operation_insert_ready(&operation, 0, number, "queue", 1);
        operation_set_wakeup(&operation, 0, number, 100);
        operation_insert_outbox(&operation, 0, 1, 2, number, "body");
    }
    operation_put_entity(&operation, 0, 1, "a", "state");
    operation_must_commit(&operation);
    for (size_t i = 0; i < ARRAY_COUNT(reads); i++) {
        struct store_read whole = reads[i];
        bool              passed = false;
        whole.namespace_number = NAMESPACE;
        const struct store_read request = whole;
        fixture_read(&f, &whole);
        CHECK_EQ(whole.status, ST_OK);
        CHECK(rows_of(&whole) > 0);
        for (long limit = 0; !passed; limit += 3) {
            struct store_read read = request;
            if (limit % 8 == 0) /* with nothing prepared yet */
                fixture_reopen(&f);
            atomic_store(&granted, limit);
            fixture_read(&f, &read);
            passed = atomic_exchange(&granted, -1) > 0;
            if (read.status != ST_OK && passed)
                print_error("kind %d: %s\n", (int)read.kind, read.error.message);
            CHECK(read.status == ST_OK || !passed);
            CHECK(read.status == ST_OK || read.status == ST_UNAVAILABLE || read.status == ST_DATA_LOSS);
            assert_true(read.status != ST_OK || rows_of(&read) == rows_of(&whole));
            arena_reset(&f.arena);
        }
    }
    store_batch_release(&operation.batch);
    fixture_release(&f);
}

TEST(a_store_that_gets_no_memory_is_not_opened_and_unharmed)
{
    struct fixture f;
    fixture_init(&f, &(void *){ (void *)(uintptr_t)&subject });
    for (int fresh = 0; fresh < 2; fresh++) {
        bool passed = false;
        for (long limit = 0; !passed; limit += fresh ? 97 : 17) {
            struct store *store = NULL;
            store_close(f.store);
            if (fresh)
                remove_files(NULL);
            atomic_store(&granted, limit);
            enum status status = try_open(&store);
            passed = atomic_exchange(&granted, -1) > 0;
            CHECK(status == ST_OK || !passed);
            if (status == ST_OK)
                store_close(store);
            f.store = open_store(NULL);
            assert_non_null(f.store);
        }
    }
    fixture_release(&f);
}

static enum status make_backup(bool compact)
{
    struct store_draft *draft;
    struct error        error;
    char                target[112];
    snprintf(target, sizeof target, "%s%s", path, compact ? "" : ".partial");
    enum status status = store_draft_begin(target, STORE_DRAFT_BACKUP, compact, &draft, &error);
    if (status != ST_OK)
        return status;
    if (compact)
        status = store_draft_compact(draft, &error);
    else
        status = store_draft_copy(draft, path, &(struct store_copy_options){ 0 }, &error);
    if (status == ST_OK)
        status = store_draft_migrate(draft, &error);
    store_draft_free(draft); /* the old one stays either way */
    return status;
}

TEST(a_draft_without_memory_fails_and_the_store_stays)
{
    struct fixture f;
    fixture_init(&f, &(void *){ (void *)(uintptr_t)&subject });
    store_close(f.store);
    for (int compact = 0; compact < 2; compact++) {
        bool passed = false;
        for (long limit = 0; !passed; limit += 9) {
            atomic_store(&granted, limit);
            enum status status = make_backup(compact == 1);
            passed = atomic_exchange(&granted, -1) > 0;
            CHECK(status == ST_OK || !passed);
        }
    }
    f.store = open_store(NULL);
    assert_non_null(f.store);
    fixture_release(&f);
}
