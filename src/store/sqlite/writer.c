/* writer.c: the one thread that writes. Whatever the lanes have submitted while one transaction was flushed goes into the
 * next one together; that is the group commit.
 *
 * First everything is tried as it is. If something is refused, the transaction is begun again with each batch, and then
 * each group of the batch that fails, under a savepoint, so that a bad write costs its own entity only. */
#include "base/mutant.h"
#include "store/sqlite/sqlite_internal.h"

#define GROUP_BATCHES_MAX 1024
#define GROUP_SIZE_MAX    (16U << 20)
#define CACHE_KIB         8192 /* larger is slower: SQLite walks its cache at every commit */

struct group {
    struct store_batch *batch[GROUP_BATCHES_MAX];
    size_t              count;
};
struct probe {
    struct message message;
    sem_t          done;
    enum status    status;
    struct error   error;
};

static void wake(void *context)
{
    sem_post(context);
}

/* Marks a message in the mailbox as a probe; never runs. */
static void is_probe(struct message *message UNUSED) {}

static enum store_outcome outcome_of(int code)
{
    switch (code & 0xFF) {
    case SQLITE_BUSY:
        return STORE_ABORTED;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
        return STORE_REFUSED;
    case SQLITE_FULL:
        return MUTANT(full_disk_is_abort) ? STORE_ABORTED : STORE_FULL;
    default: /* I/O errors, a damaged file, no memory: whatever was done, nothing further may be built on it */
        return MUTANT(io_error_is_abort) ? STORE_ABORTED : STORE_UNKNOWN;
    }
}

static enum status status_of(enum store_outcome outcome)
{
    switch (outcome) {
    case STORE_DURABLE:
        return ST_OK;
    case STORE_ABORTED:
        return ST_ABORTED;
    case STORE_REFUSED:
        return ST_INTERNAL;
    case STORE_FULL:
        return ST_RESOURCE_EXHAUSTED;
    case STORE_LOST_FENCE:
    case STORE_UNKNOWN:
        break;
    }
    return ST_UNAVAILABLE;
}

/* Says what went wrong, unless the write itself did. */
static enum store_outcome failed(struct sqlite_writer *writer, int code, const char *what,
                                 struct error *error)
{
    assert(code != SQLITE_OK && code != SQLITE_DONE);
    enum store_outcome outcome = outcome_of(code);
    if (error->code == ST_OK)
        (void)sqlite_error(&writer->connection, status_of(outcome), what, error);
    return outcome;
}

/* SQLite rolls back by itself after some errors. */
static enum store_outcome roll_back(struct sqlite_writer *writer, enum store_outcome outcome)
{
    if (sqlite3_get_autocommit(writer->connection.handle))
        return outcome;
    return sqlite_run(&writer->connection, SQL_ROLLBACK) == SQLITE_OK ? outcome : STORE_UNKNOWN;
}

/* --- One transaction --- */

/* Within the transaction nobody else can write; so if nobody has since ours before, nobody has at all. */
static enum store_outcome check_foreign(struct sqlite_writer *writer, struct error *error)
{
    sqlite3_stmt *statement;
    int           code = sqlite_statement(&writer->connection, SQL_DATA_VERSION, &statement);
    if (code != SQLITE_OK)
        return failed(writer, code, "cannot read the version of", error);
    if (sqlite3_step(statement) != SQLITE_ROW)
        return failed(writer, sqlite3_reset(statement), "cannot read the version of", error);
    int64_t version = sqlite3_column_int64(statement, 0);
    code = sqlite3_reset(statement);
    if (code != SQLITE_OK)
        return failed(writer, code, "cannot read the version of", error);
    if (writer->data_version == 0)
        writer->data_version = version;
    if (writer->data_version == version || MUTANT(foreign_writer_ignored))
        return STORE_DURABLE;
    (void)error_set(error, ST_UNAVAILABLE,
                    "another process has changed the store %s while this server uses it",
                    writer->connection.path);
    return STORE_UNKNOWN;
}

static enum store_outcome apply_one(struct sqlite_writer *writer, const struct store_write *write,
                                    struct error *error)
{
    int code = sqlite_write(&writer->connection, write, &writer->sequence, error);
    return code == SQLITE_OK ? STORE_DURABLE : failed(writer, code, "cannot write to the store", error);
}

static enum store_outcome apply(struct sqlite_writer *writer, const struct store_batch *batch,
                                struct error *error)
{
    for (size_t i = 0; i < batch->write_count; i++) {
        enum store_outcome outcome = apply_one(writer, &batch->writes[i], error);
        if (outcome != STORE_DURABLE)
            return outcome;
    }
    return STORE_DURABLE;
}

static enum store_outcome run(struct sqlite_writer *writer, enum sqlite_statement which, struct error *error)
{
    int code = sqlite_run(&writer->connection, which);
    return code == SQLITE_OK ? STORE_DURABLE : failed(writer, code, "cannot write to the store", error);
}

/* Ends the savepoint that a refused write was under, as if nothing had been written since. */
static enum store_outcome take_back(struct sqlite_writer *writer, struct error *error)
{
    enum store_outcome outcome = MUTANT(refused_group_half_kept) ? STORE_DURABLE
                                                                 : run(writer, SQL_SAVEPOINT_ROLLBACK, error);
    return outcome == STORE_DURABLE ? run(writer, SQL_SAVEPOINT_RELEASE, error) : outcome;
}

static enum store_outcome apply_groups(struct sqlite_writer *writer, struct store_batch *batch,
                                       struct error *error)
{
    const size_t *order = store_batch_by_group(batch);
    batch->refused = ARENA_NEW_ARRAY(&batch->arena, bool, batch->group_count);
    for (size_t at = 0; at < batch->write_count;) {
        uint32_t           group = batch->writes[order[at]].group;
        struct error       refusal;
        enum store_outcome outcome = run(writer, SQL_SAVEPOINT, error);
        if (outcome != STORE_DURABLE)
            return outcome;
        error_clear(&refusal);
        for (; at < batch->write_count && batch->writes[order[at]].group == group; at++) {
            if (outcome == STORE_DURABLE)
                outcome = apply_one(writer, &batch->writes[order[at]], &refusal);
        }
        batch->refused[group] = outcome == STORE_REFUSED;
        if (outcome == STORE_DURABLE)
            outcome = run(writer, SQL_SAVEPOINT_RELEASE, error);
        else if (outcome == STORE_REFUSED)
            outcome = take_back(writer, error);
        else
            *error = refusal;
        if (outcome != STORE_DURABLE)
            return outcome;
    }
    return STORE_DURABLE;
}

static enum store_outcome apply_carefully(struct sqlite_writer *writer, struct store_batch *batch,
                                          struct error *error)
{
    struct error       refusal;
    enum store_outcome outcome = run(writer, SQL_SAVEPOINT, error);
    if (outcome != STORE_DURABLE)
        return outcome;
    error_clear(&refusal);
    outcome = apply(writer, batch, &refusal);
    if (outcome == STORE_DURABLE)
        return run(writer, SQL_SAVEPOINT_RELEASE, error);
    if (outcome != STORE_REFUSED) {
        *error = refusal;
        return outcome;
    }
    outcome = take_back(writer, error);
    if (outcome == STORE_DURABLE)
        outcome = apply_groups(writer, batch, error);
    batch->error = refusal;
    return outcome;
}

static enum store_outcome transact(struct sqlite_writer *writer, struct group *group, bool carefully,
                                   struct error *error)
{
    int code = sqlite_run(&writer->connection, SQL_BEGIN);
    if (code != SQLITE_OK)
        return failed(writer, code, "cannot begin to write to the store", error);
    enum store_outcome outcome = check_foreign(writer, error);
    for (size_t i = 0; i < group->count && outcome == STORE_DURABLE; i++) {
        struct store_batch *batch = group->batch[i];
        batch->refused = NULL;
        outcome = carefully ? apply_carefully(writer, batch, error) : apply(writer, batch, error);
    }
    if (outcome == STORE_DURABLE)
        outcome = run(writer, SQL_COMMIT, error);
    return outcome == STORE_DURABLE ? outcome : roll_back(writer, outcome);
}

/* --- Groups of batches --- */

static void count(struct sqlite_writer *writer, const struct group *group, enum store_outcome outcome,
                  int64_t took_ns)
{
    struct sqlite_counters *counters = &writer->store->counters;
    uint64_t                writes = 0, bytes = 0, refusals = 0;
    for (size_t i = 0; i < group->count; i++) {
        writes += group->batch[i]->write_count;
        bytes += group->batch[i]->size;
        refusals += outcome == STORE_DURABLE && group->batch[i]->refused != NULL;
    }
    atomic_fetch_add_explicit(&counters->aborts, outcome == STORE_ABORTED, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->refusals, refusals, memory_order_relaxed);
    if (outcome != STORE_DURABLE)
        return;
    atomic_fetch_add_explicit(&counters->commits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->batches, group->count, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->writes, writes, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->commit_ns_total, took_ns, memory_order_relaxed);
    if (took_ns > atomic_load_explicit(&counters->commit_ns_max, memory_order_relaxed))
        atomic_store_explicit(&counters->commit_ns_max, took_ns,
                              memory_order_relaxed); /* one writer: no race */
}

static void post(const struct group *group, enum store_outcome outcome, const struct error *error)
{
    for (size_t i = 0; i < group->count; i++) {
        struct store_batch *batch = group->batch[i];
        bool                refused = outcome == STORE_DURABLE && batch->refused != NULL;
        if (outcome != STORE_DURABLE)
            batch->error = *error;
        store_batch_post(batch, refused ? STORE_REFUSED : outcome);
    }
}

static void fail_for_good(struct sqlite_writer *writer, const struct error *error)
{
    writer->failed = true;
    writer->failure = *error;
}

static void commit(struct sqlite_writer *writer, struct group *group)
{
    struct error error;
    error_clear(&error);
    int64_t            begin_ns = clock_monotonic_ns(&clock_system);
    enum store_outcome outcome = transact(writer, group, false, &error);
    if (outcome == STORE_REFUSED) {
        error_clear(&error);
        outcome = transact(writer, group, true, &error);
        assert(outcome != STORE_REFUSED); /* under savepoints refusals are of the batches */
    }
    if (outcome == STORE_FULL)
        sqlite_ballast_release(&writer->store->file); /* so that work which is under way can be finished */
    if (outcome == STORE_UNKNOWN)
        fail_for_good(writer, &error);
    count(writer, group, outcome, clock_monotonic_ns(&clock_system) - begin_ns);
    sqlite_publish_cache(&writer->connection);
    post(group, outcome, &error);
}

/* --- The thread --- */

static void take_requests(struct sqlite_writer *writer)
{
    *writer->pending_end = mailbox_take(&writer->requests);
    while (*writer->pending_end != NULL)
        writer->pending_end = &(*writer->pending_end)->next;
}

static struct message *take_first(struct sqlite_writer *writer)
{
    struct message *message = writer->pending;
    writer->pending = message->next;
    if (writer->pending == NULL)
        writer->pending_end = &writer->pending;
    return message;
}

static void collect(struct sqlite_writer *writer, struct group *group)
{
    size_t size = 0;
    group->count = 0;
    while (writer->pending != NULL && writer->pending->run != is_probe && group->count < GROUP_BATCHES_MAX &&
           size < GROUP_SIZE_MAX) {
        struct store_batch *batch = CONTAINER_OF(take_first(writer), struct store_batch, message);
        group->batch[group->count++] = batch;
        size += batch->size;
    }
}

static enum status write_probe(struct sqlite_writer *writer, struct error *error)
{
    sqlite3_stmt *statement;
    int           code = sqlite_statement(&writer->connection, SQL_META_PUT, &statement);
    if (code == SQLITE_OK) {
        struct sqlite_binder binder = { .statement = statement, .code = SQLITE_OK };
        sqlite_bind_text(&binder, BYTES("probe"));
        sqlite_bind_number(&binder, clock_wall_ns(&clock_system));
        (void)sqlite3_step(statement);
        code = sqlite3_reset(statement);
    }
    return code == SQLITE_OK ? ST_OK : status_of(failed(writer, code, "cannot write to the store", error));
}

/* The space set aside is taken again first, because the next shortage could not be survived without it; and with room to
 * spare, or the little that was given up would look like space that came back. */
static void probe(struct sqlite_writer *writer, struct probe *probe)
{
    struct group none = { .count = 0 };
    error_clear(&probe->error);
    probe->status = sqlite_ballast_take(&writer->store->file, true, &probe->error);
    if (probe->status == ST_OK)
        probe->status = status_of(
            transact(writer, &none, false, &probe->error)); /* nobody else has written */
    if (probe->status == ST_OK)
        probe->status = write_probe(writer, &probe->error);
    if (probe->status == ST_UNAVAILABLE)
        fail_for_good(writer, &probe->error);
    if (probe->status == ST_RESOURCE_EXHAUSTED)
        sqlite_ballast_release(&writer->store->file);
    sem_post(&probe->done);
}

static void refuse_for_good(struct sqlite_writer *writer, struct message *message)
{
    if (message->run == is_probe) {
        struct probe *refused = CONTAINER_OF(message, struct probe, message);
        refused->status = writer->failure.code;
        refused->error = writer->failure;
        sem_post(&refused->done);
        return;
    }
    struct store_batch *batch = CONTAINER_OF(message, struct store_batch, message);
    batch->error = writer->failure;
    store_batch_post(batch, STORE_UNKNOWN);
}

static void between_transactions(struct sqlite_writer *writer)
{
    struct error error;
    error_clear(&error);
    int code = sqlite_checkpoint_between(&writer->store->checkpointer, &writer->connection);
    if (code != SQLITE_OK)
        fail_for_good(writer,
                      (sqlite_error(&writer->connection, ST_UNAVAILABLE, "cannot copy the log into", &error),
                       &error));
}

static void *writer_main(void *context)
{
    struct sqlite_writer               *writer = context;
    CLEANUP(free_pointer) struct group *group = xmalloc(sizeof *group);
    pthread_setname_np(pthread_self(), "store-writer");
    for (;;) {
        /* Read before the mailbox: what was submitted before stopping began is then still found. */
        bool stopping = atomic_load(&writer->stopping);
        if (!writer->failed)
            between_transactions(writer);
        take_requests(writer);
        if (writer->pending == NULL) {
            if (stopping)
                return NULL;
            sem_wait(&writer->wake);
        } else if (writer->failed) {
            refuse_for_good(writer, take_first(writer));
        } else if (writer->pending->run == is_probe) {
            probe(writer, CONTAINER_OF(take_first(writer), struct probe, message));
        } else {
            collect(writer, group);
            commit(writer, group);
        }
    }
}

static enum status find_sequence(struct sqlite_writer *writer, struct error *error)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(writer->connection.handle, "SELECT max(sequence) FROM transition_log", -1,
                           &statement, NULL) != SQLITE_OK)
        return sqlite_error(&writer->connection, ST_UNAVAILABLE, "cannot read the store", error);
    if (sqlite3_step(statement) == SQLITE_ROW)
        writer->sequence = sqlite3_column_int64(statement, 0);
    if (sqlite3_finalize(statement) != SQLITE_OK)
        return sqlite_error(&writer->connection, ST_UNAVAILABLE, "cannot read the store", error);
    return ST_OK;
}

enum status sqlite_writer_open(struct sqlite_writer *writer, struct sqlite_store *store, struct error *error)
{
    *writer = (struct sqlite_writer){ .store = store };
    writer->pending_end = &writer->pending;
    sem_init(&writer->wake, 0, 0);
    mailbox_init(&writer->requests, wake, &writer->wake);
    enum status status = sqlite_connection_open(&writer->connection, store->file.path, CACHE_KIB,
                                                store->options.busy_ms, error);
    if (status == ST_OK && sqlite_checkpoint_first(&writer->connection) != SQLITE_OK)
        status = sqlite_error(&writer->connection, ST_UNAVAILABLE, "cannot copy the log into", error);
    if (status == ST_OK)
        status = sqlite_migrate(&writer->connection, error);
    if (status == ST_OK)
        status = find_sequence(writer, error);
    if (status == ST_OK) {
        /* Notes the file's version, so that a write by someone else is noticed from now on. */
        struct group none = { .count = 0 };
        error_clear(error);
        status = status_of(transact(writer, &none, false, error));
    }
    if (status != ST_OK) {
        /* Perhaps a flush failed: closing must not try it again. */
        writer->failed = writer->connection.handle != NULL;
        sqlite_writer_close(writer);
    }
    return status;
}

void sqlite_writer_start(struct sqlite_writer *writer)
{
    sqlite3_wal_hook(writer->connection.handle, sqlite_checkpoint_hook, &writer->store->checkpointer);
    if (pthread_create(&writer->thread, NULL, writer_main, writer) != 0)
        panic("cannot start the store's writer");
}

void sqlite_writer_stop(struct sqlite_writer *writer)
{
    atomic_store(&writer->stopping, true);
    sem_post(&writer->wake);
    pthread_join(writer->thread, NULL);
}

void sqlite_writer_close(struct sqlite_writer *writer)
{
    if (writer
            ->failed) /* what is on disk is for the next start to recover: this process must not touch it again */
        sqlite3_db_config(writer->connection.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite_connection_close(&writer->connection);
    sem_destroy(&writer->wake);
}

enum status sqlite_writer_probe(struct sqlite_writer *writer, struct error *error)
{
    struct probe request = { .message.run = is_probe };
    sem_init(&request.done, 0, 0);
    mailbox_post(&writer->requests, &request.message);
    while (sem_wait(&request.done) != 0)
        ;
    sem_destroy(&request.done);
    if (request.status != ST_OK && error != NULL)
        *error = request.error;
    return request.status;
}
