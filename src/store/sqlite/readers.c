/* readers.c: threads that answer reads, each on its own connection. */
#include <stdio.h>

#include "store/sqlite/sqlite_internal.h"

#define CACHE_KIB           2048  /* the kernel's page cache has the rest */
#define STEPS_BETWEEN_LOOKS 20000 /* at the clock: about a millisecond of a query */

/* SQLite asks now and then; not zero interrupts the query. */
static int is_late(void *context)
{
    const struct sqlite_connection *connection = context;
    return clock_monotonic_ns(&clock_system) > connection->deadline_ns;
}

static struct store_read *take(struct sqlite_readers *readers)
{
    struct message *message = NULL;
    pthread_mutex_lock(&readers->lock);
    while (readers->first == NULL && !readers->stopping)
        pthread_cond_wait(&readers->wake, &readers->lock);
    if (readers->first != NULL) {
        message = readers->first;
        readers->first = message->next;
        if (readers->first == NULL)
            readers->end = &readers->first;
        readers->waiting--;
    }
    pthread_mutex_unlock(&readers->lock);
    return message == NULL ? NULL : CONTAINER_OF(message, struct store_read, message);
}

static void *reader_main(void *context)
{
    struct sqlite_reader *reader = context;
    struct store_read    *read;
    pthread_setname_np(pthread_self(), "store-reader");
    while ((read = take(reader->readers)) != NULL) {
        sqlite_read(&reader->connection, read);
        atomic_fetch_add_explicit(&reader->readers->store->counters.reads, 1, memory_order_relaxed);
        sqlite_publish_cache(&reader->connection);
        store_read_post(read);
    }
    return NULL;
}

enum status sqlite_readers_start(struct sqlite_readers *readers, struct sqlite_store *store, int count,
                                 size_t waiting_max, struct error *error)
{
    *readers = (struct sqlite_readers){ .store = store, .waiting_max = waiting_max };
    readers->end = &readers->first;
    pthread_mutex_init(&readers->lock, NULL);
    pthread_cond_init(&readers->wake, NULL);
    for (int i = 0; i < MIN(count, SQLITE_READERS_MAX); i++) {
        struct sqlite_reader *reader = &readers->reader[i];
        reader->readers = readers;
        enum status status = sqlite_connection_open(&reader->connection, store->file.path, CACHE_KIB,
                                                    store->options.busy_ms, error);
        if (status != ST_OK)
            return status;
        (void)sqlite3_exec(reader->connection.handle, "PRAGMA query_only = ON", NULL, NULL, NULL);
        reader->connection.slice_ns = store->options.list_slice_ns;
        reader->connection.chunk_rows = store->options.list_chunk_rows;
        reader->connection.deadline_ns = TIME_NEVER;
        sqlite3_progress_handler(reader->connection.handle, STEPS_BETWEEN_LOOKS, is_late,
                                 &reader->connection);
        if (pthread_create(&reader->thread, NULL, reader_main, reader) != 0)
            panic("cannot start a reader of the store");
        readers->count++;
    }
    return ST_OK;
}

void sqlite_readers_stop(struct sqlite_readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    readers->stopping = true;
    pthread_cond_broadcast(&readers->wake);
    pthread_mutex_unlock(&readers->lock);
    for (int i = 0; i < readers->count; i++) {
        pthread_join(readers->reader[i].thread, NULL);
        sqlite_connection_close(&readers->reader[i].connection);
    }
    assert(readers->first == NULL);
    pthread_cond_destroy(&readers->wake);
    pthread_mutex_destroy(&readers->lock);
}

void sqlite_readers_post(struct sqlite_readers *readers, struct store_read *read)
{
    pthread_mutex_lock(&readers->lock);
    bool full = readers->waiting >= readers->waiting_max;
    if (!full) {
        read->message.next = NULL;
        *readers->end = &read->message;
        readers->end = &read->message.next;
        readers->waiting++;
        pthread_cond_signal(&readers->wake);
    }
    pthread_mutex_unlock(&readers->lock);
    if (!full)
        return;
    store_read_start(read);
    read->status = error_set(&read->error, ST_RESOURCE_EXHAUSTED, "%zu reads wait for the store already",
                             readers->waiting_max);
    store_read_post(read);
}
