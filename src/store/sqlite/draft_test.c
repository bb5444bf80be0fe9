/* draft_test.c: files in the making, and looks at files that a server may have. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/testing.h"
#include "store/contract/fixture.h"
#include "store/sqlite.h"
#include "store/sqlite/schema.h"

static char directory[64], path[96], copy[96], partial[112];

static void remove_all(const struct store_contract_subject *subject UNUSED)
{
    static const char *const names[] = { "store.db", "copy.db", "copy.db.partial", "store.db.partial" };
    static const char *const suffixes[] = { "", "-wal", "-shm", "-lock", "-ballast" };
    for (size_t i = 0; directory[0] != '\0' && i < ARRAY_COUNT(names) * ARRAY_COUNT(suffixes); i++) {
        char name[160];
        snprintf(name, sizeof name, "%s/%s%s", directory, names[i / ARRAY_COUNT(suffixes)],
                 suffixes[i % ARRAY_COUNT(suffixes)]);
        (void)unlink(name);
    }
}

static void remove_directory(void)
{
    remove_all(NULL);
    (void)rmdir(directory);
}

static struct store *open_at(const char *at)
{
    struct store *store = NULL;
    struct error  error;
    if (store_sqlite_open(&(struct store_sqlite_options){ .path = at }, &store, &error) != ST_OK)
        print_error("%s\n", error.message);
    return store;
}

static struct store *open_store(const struct store_contract_subject *subject UNUSED)
{
    if (directory[0] == '\0') {
        snprintf(directory, sizeof directory, "/tmp/perdure-draft-XXXXXX");
        if (mkdtemp(directory) == NULL)
            panic("cannot make %s", directory);
        atexit(remove_directory);
        snprintf(path, sizeof path, "%s/store.db", directory);
        snprintf(copy, sizeof copy, "%s/copy.db", directory);
        snprintf(partial, sizeof partial, "%s.partial", copy);
    }
    return open_at(path);
}

static const struct store_contract_subject subject = {
    .name = "drafts", .open = open_store, .remove = remove_all, .durable = true
};

/* A store with runs 1 to 50, whose log is still beside it. */
static void start(struct fixture *f)
{
    struct operation operation;
    remove_all(NULL);
    fixture_open(f, &subject);
    operation_init(&operation, f);
    for (store_number number = 1; number <= 50; number++) {
        operation_insert_run(&operation, 0, number, "workflow");
        operation_insert_transition(&operation, 0, number, 1, BYTES("events"), "delta");
    }
    operation_must_commit(&operation);
    store_batch_release(&operation.batch);
}

static int64_t count_in(struct fixture *f, struct store *store)
{
    struct fixture    lane;
    struct store_read read = { .kind = STORE_READ_COUNT, .namespace_number = NAMESPACE };
    fixture_lane(&lane, &(struct fixture){ .subject = f->subject, .store = store });
    fixture_read(&lane, &read);
    CHECK_EQ(read.status, ST_OK);
    fixture_lane_release(&lane);
    return read.count;
}

static int64_t count_at(struct fixture *f, const char *at)
{
    struct store *view;
    struct error  error;
    CHECK_EQ(store_sqlite_view(at, &view, &error), ST_OK);
    int64_t count = count_in(f, view);
    store_close(view);
    return count;
}

static void run_sql(const char *at, const char *sql)
{
    sqlite3 *shell;
    CHECK_EQ(sqlite3_open_v2(at, &shell, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(shell, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(shell);
}

static bool exists(const char *name)
{
    return access(name, F_OK) == 0;
}

struct progress {
    int     calls;
    int64_t done, total;
};

static void note_progress(void *context, int64_t done, int64_t total)
{
    struct progress *progress = context;
    CHECK(done >= progress->done && done <= total);
    *progress = (struct progress){ progress->calls + 1, done, total };
}

TEST(a_backup_is_of_a_store_that_is_served_and_takes_its_place_whole)
{
    struct fixture      f;
    struct store_draft *draft;
    struct error        error;
    struct progress     progress = { 0 };
    start(&f);
    CHECK_EQ(store_draft_begin(copy, STORE_DRAFT_BACKUP, false, &draft, &error), ST_OK);
    CHECK_TEXT(store_draft_path(draft), partial);
    const struct store_copy_options options = { .rate = INT64_C(1) << 40,
                                                .progress = note_progress,
                                                .context = &progress };
    CHECK_EQ(store_draft_copy(draft, path, &options, &error), ST_OK);
    CHECK(!exists(copy));
    struct store_draft *second;
    CHECK_EQ(store_draft_begin(copy, STORE_DRAFT_BACKUP, false, &second, &error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "somebody else"));
    CHECK_EQ(store_draft_finish(draft, &error), ST_OK);
    store_draft_free(draft);
    CHECK(exists(copy) && !exists(partial));
    CHECK_INT(count_at(&f, copy), 50);
    CHECK_EQ(store_draft_begin(copy, STORE_DRAFT_BACKUP, false, &draft, &error), ST_ALREADY_EXISTS);
    CHECK_INT(count_in(&f, f.store), 50);
    fixture_release(&f);
}

TEST(a_draft_that_is_given_up_leaves_nothing)
{
    struct fixture      f;
    struct store_draft *draft;
    struct error        error;
    start(&f);
    CHECK_EQ(store_draft_begin(copy, STORE_DRAFT_STORE, false, &draft, &error), ST_OK);
    CHECK_EQ(store_draft_copy(draft, path, &(struct store_copy_options){ 0 }, &error), ST_OK);
    store_draft_free(draft);
    CHECK(!exists(copy) && !exists(partial));
    store_draft_free(NULL);
    char nowhere[160];
    snprintf(nowhere, sizeof nowhere, "%s/nowhere/copy.db", directory);
    CHECK_EQ(store_draft_begin(nowhere, STORE_DRAFT_BACKUP, false, &draft, &error), ST_UNAVAILABLE);
    fixture_release(&f);
}

TEST(a_restored_store_replaces_the_one_that_is_there_with_its_log)
{
    struct fixture      f;
    struct store_draft *draft;
    struct error        error;
    start(&f);
    CHECK_EQ(store_draft_begin(copy, STORE_DRAFT_STORE, false, &draft, &error), ST_OK);
    CHECK_EQ(store_draft_copy(draft, path, &(struct store_copy_options){ 0 }, &error), ST_OK);
    CHECK_EQ(store_draft_migrate(draft, &error), ST_OK);
    CHECK_EQ(store_draft_finish(draft, &error), ST_OK);
    store_draft_free(draft);
    CHECK_EQ(store_draft_begin(path, STORE_DRAFT_STORE, true, &draft, &error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "in use by another server"));
    store_close(f.store);
    /* A process that died with the store open: its log is there, and its rows only in it. */
    sqlite3 *shell;
    CHECK_EQ(sqlite3_open_v2(path, &shell, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_db_config(shell, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(shell, "UPDATE run SET task_queue = 'newer'", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(shell);
    char log[112];
    snprintf(log, sizeof log, "%s-wal", path);
    CHECK(exists(log));
    CHECK_EQ(store_draft_begin(path, STORE_DRAFT_STORE, true, &draft, &error), ST_OK);
    CHECK_EQ(store_draft_copy(draft, copy, &(struct store_copy_options){ 0 }, &error), ST_OK);
    CHECK_EQ(store_draft_finish(draft, &error), ST_OK);
    store_draft_free(draft);
    CHECK(!exists(log));
    f.store = open_store(NULL);
    CHECK_INT(count_in(&f, f.store), 50);
    struct store_read read = fixture_load(&f, 1);
    CHECK_BYTES(read.runs[0].task_queue, BYTES("queue-1"));
    fixture_release(&f);
}

TEST(a_log_that_someone_uses_keeps_the_old_store)
{
    struct fixture      f;
    struct store_draft *draft;
    struct error        error;
    sqlite3            *shell;
    start(&f);
    store_close(f.store);
    CHECK_EQ(sqlite3_open_v2(path, &shell, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(shell, "UPDATE run SET task_queue = 'newer'; BEGIN; SELECT count(*) FROM run", NULL,
                          NULL, NULL),
             SQLITE_OK);
    enum status status = store_draft_begin(path, STORE_DRAFT_STORE, true, &draft, &error);
    CHECK(status == ST_UNAVAILABLE || status == ST_FAILED_PRECONDITION);
    CHECK_EQ(sqlite3_exec(shell, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(shell);
    f.store = open_store(NULL);
    CHECK_BYTES(fixture_load(&f, 1).runs[0].task_queue, BYTES("newer"));
    fixture_release(&f);
}

TEST(a_compacted_store_has_the_rows_and_not_the_space)
{
    struct fixture      f;
    struct store_draft *draft;
    struct error        error;
    struct stat         before, after;
    start(&f);
    store_close(f.store);
    run_sql(path,
            "CREATE TABLE waste AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
            "i < 300) SELECT randomblob(4000) FROM n; DROP TABLE waste");
    CHECK_EQ(stat(path, &before), 0);
    CHECK_EQ(store_draft_begin(path, STORE_DRAFT_STORE, true, &draft, &error), ST_OK);
    CHECK_EQ(store_draft_compact(draft, &error), ST_OK);
    CHECK_EQ(store_draft_finish(draft, &error), ST_OK);
    store_draft_free(draft);
    CHECK_EQ(stat(path, &after), 0);
    CHECK(after.st_size < before.st_size / 2);
    f.store = open_store(NULL);
    CHECK_INT(count_in(&f, f.store), 50);
    fixture_release(&f);
}

TEST(what_is_no_store_is_not_copied)
{
    struct fixture      f;
    struct store_draft *draft;
    struct error        error;
    struct store       *view;
    char                name[112];
    start(&f);
    const struct store_copy_options options = { 0 };
    snprintf(name, sizeof name, "%s.partial", path);
    CHECK_EQ(store_draft_begin(copy, STORE_DRAFT_BACKUP, false, &draft, &error), ST_OK);
    CHECK_EQ(store_draft_copy(draft, name, &options, &error), ST_UNAVAILABLE); /* there is none */
    run_sql(name, "PRAGMA user_version = 0; CREATE TABLE theirs (x)");
    CHECK_EQ(store_draft_copy(draft, name, &options, &error), ST_FAILED_PRECONDITION);
    CHECK_EQ(store_sqlite_view(name, &view, &error), ST_FAILED_PRECONDITION);
    CHECK_EQ(truncate(name, 0), 0);
    CHECK_EQ(store_draft_copy(draft, name, &options, &error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "empty store"));
    store_draft_free(draft);
    CHECK_EQ(unlink(name), 0);
    store_close(f.store);
    CHECK_EQ(truncate(path, 0), 0);
    CHECK_EQ(store_draft_begin(path, STORE_DRAFT_STORE, true, &draft, &error), ST_OK);
    CHECK_EQ(store_draft_compact(draft, &error), ST_FAILED_PRECONDITION);
    store_draft_free(draft);
    remove_all(NULL);
    f.store = open_store(NULL);
    fixture_release(&f);
}

TEST(a_look_writes_nothing_and_is_of_one_moment)
{
    struct fixture   f, lane;
    struct operation operation;
    struct error     error;
    struct store    *view;
    start(&f);
    CHECK_EQ(store_sqlite_view(path, &view, &error), ST_OK);
    fixture_lane(&lane, &(struct fixture){ .subject = &subject, .store = view });
    operation_init(&operation, &lane);
    operation_insert_run(&operation, 0, 51, "workflow");
    CHECK_EQ(operation_commit(&operation), STORE_ABORTED);
    assert_non_null(strstr(operation.batch.error.message, "writes nothing"));
    CHECK_EQ(store_probe(view, &error), ST_FAILED_PRECONDITION);
    store_batch_release(&operation.batch);
    operation_init(&operation, &f);
    operation_insert_run(&operation, 0, 51, "workflow");
    operation_must_commit(&operation);
    store_batch_release(&operation.batch);
    CHECK_INT(count_in(&f, view), 50);
    store_sqlite_view_renew(view);
    CHECK_INT(count_in(&f, view), 51);
    struct store_statistics statistics;
    store_statistics(view, &statistics);
    CHECK_EQ(statistics.reads, 2);
    fixture_lane_release(&lane);
    store_close(view);
    fixture_release(&f);
}

static void count_report(void *context, const char *what)
{
    struct buffer *reports = context;
    buffer_append_text(reports, what);
    buffer_append_text(reports, "\n");
}

TEST(an_inspection_tells_what_sqlite_and_the_schema_say)
{
    static const struct {
        const char *damage, *found;
    } cases[] = {
        { "SELECT 1", NULL },
        { "DELETE FROM meta WHERE key = 'schema'", "the note of the schema is missing" },
        { "CREATE TABLE further (x)", "the tables and indexes are not those" },
        { "DELETE FROM transition_position WHERE branch = 3", "nothing points to" },
        { "INSERT INTO entity VALUES (300, x'01', x'02')", "entities that nobody can read: kind 300" },
        { "DROP TABLE entity", "no such table" },
        { "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'run_by_status'", "SQLite: " },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture f;
        struct error   error;
        struct store  *view;
        struct buffer  reports = { 0 };
        start(&f);
        store_close(f.store);
        run_sql(path, cases[i].damage);
        CHECK_EQ(store_sqlite_view(path, &view, &error), ST_OK);
        CHECK_EQ(store_sqlite_view_inspect(view, count_report, &reports, &error), ST_OK);
        store_close(view);
        buffer_append_byte(&reports, 0);
        const char *text = (const char *)buffer_bytes(&reports).base;
        if ((cases[i].found == NULL) != (text[0] == '\0') ||
            (cases[i].found != NULL && strstr(text, cases[i].found) == NULL))
            fail_msg("%s: %s", cases[i].damage, text);
        buffer_release(&reports);
        remove_all(NULL);
        f.store = open_store(NULL);
        fixture_release(&f);
    }
}

TEST(a_look_at_an_older_schema_is_refused_and_a_draft_brings_it_up_to_date)
{
    struct fixture      f;
    struct error        error;
    struct store       *view;
    struct store_draft *draft;
    start(&f);
    store_close(f.store);
    remove_all(NULL);
    char older[256];
    snprintf(
        older, sizeof older,
        "PRAGMA application_id = %d; PRAGMA user_version = 1; INSERT OR REPLACE INTO meta VALUES ('schema', "
        "'%s')",
        0x50645572, sqlite_migrations[0].name);
    run_sql(path, sqlite_migrations[0].sql);
    run_sql(path, older);
    CHECK_EQ(store_sqlite_view(path, &view, &error), ST_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "has schema 1"));
    CHECK_EQ(store_draft_begin(copy, STORE_DRAFT_STORE, false, &draft, &error), ST_OK);
    CHECK_EQ(store_draft_copy(draft, path, &(struct store_copy_options){ 0 }, &error), ST_OK);
    CHECK_EQ(store_draft_migrate(draft, &error), ST_OK);
    CHECK_EQ(store_draft_finish(draft, &error), ST_OK);
    store_draft_free(draft);
    CHECK_INT(count_at(&f, copy), 0);
    f.store = open_store(NULL);
    fixture_release(&f);
}
