/* checkpoint.c: keeps the write-ahead log short.
 *
 * A thread of its own copies the log into the file while the writer goes on. That alone would never let the log start
 * again from its beginning, because under steady writes there is no moment when all of it is copied; so when little
 * remains the writer copies the rest itself, between two transactions. What counts as little grows with the log. Past the
 * limit the writer waits for readers, which end soon: no read holds its transaction for long. Someone else's reader (a
 * shell) may not, so the wait is bounded; the writer waits again each time the log has grown by another piece. */
#include "store/sqlite/sqlite_internal.h"

#define CACHE_KIB 256
/* How long the writer waits for readers, each time: ours end sooner, and a backup goes on for long, with all commits waiting. */
#define READERS_BUSY_MS 100

static int64_t pages_of(int64_t size)
{
    return size / (SQLITE_PAGE_SIZE + 24); /* a frame has a header */
}

static bool is_little(int64_t remaining, int64_t log)
{
    return remaining < 100 || (log >= pages_of(16 << 20) && remaining < 1000) || log >= pages_of(64 << 20);
}

static void copy(struct sqlite_checkpointer *checkpointer)
{
    int log = 0, copied = 0;
    pthread_mutex_lock(&checkpointer->copying);
    int code = sqlite3_wal_checkpoint_v2(checkpointer->connection.handle, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                         &log, &copied);
    pthread_mutex_unlock(&checkpointer->copying);
    switch (code & 0xFF) {
    case SQLITE_OK:
        atomic_fetch_add_explicit(&checkpointer->store->counters.checkpoints, 1, memory_order_relaxed);
        if (is_little(log - copied, log)) {
            atomic_store(&checkpointer->finish, true);
            sem_post(&checkpointer->store->writer.wake);
        }
        return;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL: /* the log has it all: nothing is lost, and the writer finds out by itself */
        return;
    default: /* a failed flush must not be tried again: the writer stops, too */
        atomic_store(&checkpointer->failed, code);
        sem_post(&checkpointer->store->writer.wake);
        return;
    }
}

static void *checkpointer_main(void *context)
{
    struct sqlite_checkpointer *checkpointer = context;
    pthread_setname_np(pthread_self(), "store-copy");
    for (;;) {
        sem_wait(&checkpointer->wake);
        if (atomic_load(&checkpointer->stopping))
            return NULL;
        if (atomic_load(&checkpointer->failed) == SQLITE_OK)
            copy(checkpointer);
    }
}

enum status sqlite_checkpointer_start(struct sqlite_checkpointer *checkpointer, struct sqlite_store *store,
                                      struct error *error)
{
    *checkpointer = (struct sqlite_checkpointer){ .store = store };
    checkpointer->wake_pages = pages_of(store->options.checkpoint_size);
    checkpointer->limit_pages = pages_of(store->options.log_size_max);
    sem_init(&checkpointer->wake, 0, 0);
    pthread_mutex_init(&checkpointer->copying, NULL);
    enum status status = sqlite_connection_open(&checkpointer->connection, store->file.path, CACHE_KIB,
                                                store->options.busy_ms, error);
    if (status != ST_OK) {
        pthread_mutex_destroy(&checkpointer->copying);
        sem_destroy(&checkpointer->wake);
        return status;
    }
    if (pthread_create(&checkpointer->thread, NULL, checkpointer_main, checkpointer) != 0)
        panic("cannot start the store's checkpointer");
    return ST_OK;
}

void sqlite_checkpointer_stop(struct sqlite_checkpointer *checkpointer)
{
    atomic_store(&checkpointer->stopping, true);
    sem_post(&checkpointer->wake);
    pthread_join(checkpointer->thread, NULL);
    sqlite_connection_close(&checkpointer->connection);
    pthread_mutex_destroy(&checkpointer->copying);
    sem_destroy(&checkpointer->wake);
}

int sqlite_checkpoint_hook(void *context, sqlite3 *handle UNUSED, const char *database UNUSED, int pages)
{
    struct sqlite_checkpointer *checkpointer = context;
    int64_t                     step = pages_of(checkpointer->store->options.checkpoint_size);
    if (pages < atomic_load_explicit(&checkpointer->log_pages, memory_order_relaxed)) { /* it began again */
        checkpointer->wake_pages = step;
        checkpointer->limit_pages = pages_of(checkpointer->store->options.log_size_max);
    }
    atomic_store_explicit(&checkpointer->log_pages, pages, memory_order_relaxed);
    if (pages >= checkpointer->wake_pages) {
        checkpointer->wake_pages = pages + step;
        sem_post(&checkpointer->wake);
    }
    return SQLITE_OK;
}

/* What remains in the log for want of space or because of a reader is not lost: SQLite flushes the log first. */
static int copy_on(struct sqlite_connection *connection, int mode)
{
    int code = sqlite3_wal_checkpoint_v2(connection->handle, NULL, mode, NULL, NULL);
    int primary = code & 0xFF;
    return primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_FULL ? SQLITE_OK : code;
}

int sqlite_checkpoint_first(struct sqlite_connection *writer)
{
    return copy_on(writer, SQLITE_CHECKPOINT_RESTART);
}

int sqlite_checkpoint_between(struct sqlite_checkpointer *checkpointer, struct sqlite_connection *writer)
{
    int failed = atomic_load_explicit(&checkpointer->failed, memory_order_relaxed);
    if (failed != SQLITE_OK)
        return failed;
    int64_t pages = atomic_load_explicit(&checkpointer->log_pages, memory_order_relaxed);
    bool    over = pages >= checkpointer->limit_pages;
    if (!over && !atomic_load_explicit(&checkpointer->finish, memory_order_relaxed))
        return SQLITE_OK;
    /* The last pages can wait if more are being copied already; the limit cannot. */
    if (over)
        pthread_mutex_lock(&checkpointer->copying);
    else if (pthread_mutex_trylock(&checkpointer->copying) != 0)
        return SQLITE_OK;
    atomic_store(&checkpointer->finish, false);
    if (over)
        checkpointer->limit_pages = pages + pages_of(checkpointer->store->options.log_size_max / 16);
    sqlite3_busy_timeout(writer->handle, MIN(checkpointer->store->options.busy_ms, READERS_BUSY_MS));
    int code = copy_on(writer, over ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE);
    sqlite3_busy_timeout(writer->handle, checkpointer->store->options.busy_ms);
    pthread_mutex_unlock(&checkpointer->copying);
    return code;
}
