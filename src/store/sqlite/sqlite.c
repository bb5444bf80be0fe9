/* sqlite.c: the SQLite store as a whole: what is started and stopped in which order. */
#include "store/sqlite/sqlite_internal.h"

#define LOAD_THREADS      2
#define LIST_THREADS      2
#define LOADS_WAITING_MAX 65536
#define LISTS_WAITING_MAX 1024
#define BUSY_MS           1000
#define CHECKPOINT_SIZE   (4 << 20)
#define LOG_SIZE_MAX      (256 << 20)

#define LIST_SLICE_NS   (250 * NS_PER_MS)
#define LIST_CHUNK_ROWS 20000

static struct sqlite_store *sqlite_of(struct store *store)
{
    return CONTAINER_OF(store, struct sqlite_store, store);
}

static void sqlite_submit(struct store *store, struct store_batch *batch)
{
    mailbox_post(&sqlite_of(store)->writer.requests, &batch->message);
}

static void sqlite_read_request(struct store *store, struct store_read *read)
{
    struct sqlite_store *sqlite = sqlite_of(store);
    bool                 list = read->kind == STORE_READ_LIST || read->kind == STORE_READ_COUNT ||
                read->kind == STORE_READ_READY_COUNTS;
    sqlite_readers_post(list ? &sqlite->lists : &sqlite->loads, read);
}

static enum status sqlite_probe(struct store *store, struct error *error)
{
    return sqlite_writer_probe(&sqlite_of(store)->writer, error);
}

static void sqlite_statistics(struct store *store, struct store_statistics *ret_statistics)
{
    struct sqlite_store    *sqlite = sqlite_of(store);
    struct sqlite_counters *counters = &sqlite->counters;
    *ret_statistics = (struct store_statistics){
        .commits = atomic_load_explicit(&counters->commits, memory_order_relaxed),
        .batches = atomic_load_explicit(&counters->batches, memory_order_relaxed),
        .writes = atomic_load_explicit(&counters->writes, memory_order_relaxed),
        .bytes = atomic_load_explicit(&counters->bytes, memory_order_relaxed),
        .reads = atomic_load_explicit(&counters->reads, memory_order_relaxed),
        .aborts = atomic_load_explicit(&counters->aborts, memory_order_relaxed),
        .refusals = atomic_load_explicit(&counters->refusals, memory_order_relaxed),
        .checkpoints = atomic_load_explicit(&counters->checkpoints, memory_order_relaxed),
        .commit_ns_total = atomic_load_explicit(&counters->commit_ns_total, memory_order_relaxed),
        .commit_ns_max = atomic_load_explicit(&counters->commit_ns_max, memory_order_relaxed),
        .log_size = atomic_load_explicit(&sqlite->checkpointer.log_pages, memory_order_relaxed) *
                    SQLITE_PAGE_SIZE,
    };
}

/* The writer's connection is the last to be closed: SQLite then copies the log into the file. */
static void sqlite_close(struct store *store)
{
    struct sqlite_store *sqlite = sqlite_of(store);
    sqlite_readers_stop(&sqlite->lists);
    sqlite_readers_stop(&sqlite->loads);
    sqlite_writer_stop(&sqlite->writer);
    sqlite_checkpointer_stop(&sqlite->checkpointer);
    sqlite_writer_close(&sqlite->writer);
    sqlite_file_close(&sqlite->file);
    free(sqlite);
}

static void set_defaults(struct store_sqlite_options *options)
{
    options->load_threads = options->load_threads > 0 ? options->load_threads : LOAD_THREADS;
    options->list_threads = options->list_threads > 0 ? options->list_threads : LIST_THREADS;
    options->busy_ms = options->busy_ms > 0 ? options->busy_ms : BUSY_MS;
    options->checkpoint_size = options->checkpoint_size > 0 ? options->checkpoint_size : CHECKPOINT_SIZE;
    options->list_slice_ns = options->list_slice_ns != 0 ? options->list_slice_ns : LIST_SLICE_NS;
    options->list_chunk_rows = options->list_chunk_rows > 0 ? options->list_chunk_rows : LIST_CHUNK_ROWS;
    options->log_size_max = options->log_size_max > 0 ? options->log_size_max : LOG_SIZE_MAX;
}

enum status store_sqlite_open(const struct store_sqlite_options *options, struct store **ret_store,
                              struct error *error)
{
    static const struct store_operations operations = {
        .name = "sqlite",
        .submit = sqlite_submit,
        .read = sqlite_read_request,
        .probe = sqlite_probe,
        .statistics = sqlite_statistics,
        .close = sqlite_close,
    };
    struct sqlite_store *sqlite = xcalloc(1, sizeof *sqlite);
    sqlite->store.operations = &operations;
    sqlite->options = *options;
    set_defaults(&sqlite->options);
    enum status status = sqlite_file_open(&sqlite->file, options->path, error);
    if (status != ST_OK)
        goto no_file;
    /* The writer's connection first: it brings the schema up to date. Its thread last: it looks at the others. */
    status = sqlite_writer_open(&sqlite->writer, sqlite, error);
    if (status != ST_OK)
        goto no_file;
    status = sqlite_checkpointer_start(&sqlite->checkpointer, sqlite, error);
    if (status != ST_OK)
        goto no_checkpointer;
    status = sqlite_readers_start(&sqlite->loads, sqlite, sqlite->options.load_threads, LOADS_WAITING_MAX,
                                  error);
    if (status != ST_OK)
        goto no_loads;
    status = sqlite_readers_start(&sqlite->lists, sqlite, sqlite->options.list_threads, LISTS_WAITING_MAX,
                                  error);
    if (status != ST_OK)
        goto no_lists;
    /* A disk that is nearly full is found out by the first write that does not fit. */
    (void)sqlite_ballast_take(&sqlite->file, false, NULL);
    sqlite_writer_start(&sqlite->writer);
    *ret_store = &sqlite->store;
    return ST_OK;
no_lists:
    sqlite_readers_stop(&sqlite->lists);
no_loads:
    sqlite_readers_stop(&sqlite->loads);
    sqlite_checkpointer_stop(&sqlite->checkpointer);
no_checkpointer:
    sqlite_writer_close(&sqlite->writer);
no_file:
    sqlite_file_close(&sqlite->file);
    free(sqlite);
    return status;
}
