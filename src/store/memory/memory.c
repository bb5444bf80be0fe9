/* memory.c: the memory store: tables, and the queue of what is pending in manual mode. */
#include "store/memory.h"

#include "store/memory/memory_internal.h"

struct operation {
    struct list         link;
    struct store_batch *batch; /* or */
    struct store_read  *read;
};
struct memory {
    struct store            store;
    struct memory_tables    tables;
    enum store_memory_mode  mode;
    struct list             pending; /* oldest first */
    size_t                  pending_count;
    struct store_statistics statistics;
};

static struct memory *memory_of(const struct store *store)
{
    return CONTAINER_OF(store, struct memory, store);
}

static void complete_batch(struct memory *memory, struct store_batch *batch)
{
    enum store_outcome outcome = memory_apply(&memory->tables, batch);
    memory->statistics.commits++;
    memory->statistics.batches++;
    memory->statistics.writes += batch->write_count;
    memory->statistics.bytes += batch->size;
    memory->statistics.refusals += outcome == STORE_REFUSED;
    store_batch_post(batch, outcome);
}

static void complete_read(struct memory *memory, struct store_read *read)
{
    memory_read(&memory->tables, read);
    memory->statistics.reads++;
    store_read_post(read);
}

static void enqueue(struct memory *memory, struct store_batch *batch, struct store_read *read)
{
    struct operation *operation = xmalloc(sizeof *operation);
    operation->batch = batch;
    operation->read = read;
    list_append(&memory->pending, &operation->link);
    memory->pending_count++;
}

static void complete(struct memory *memory, struct operation *operation)
{
    struct store_batch *batch = operation->batch;
    struct store_read  *read = operation->read;
    list_remove(&operation->link);
    free(operation);
    memory->pending_count--;
    if (batch != NULL)
        complete_batch(memory, batch);
    else
        complete_read(memory, read);
}

static void memory_submit(struct store *store, struct store_batch *batch)
{
    struct memory *memory = memory_of(store);
    if (memory->mode == STORE_MEMORY_IMMEDIATE)
        complete_batch(memory, batch);
    else
        enqueue(memory, batch, NULL);
}

static void memory_read_request(struct store *store, struct store_read *read)
{
    struct memory *memory = memory_of(store);
    if (memory->mode == STORE_MEMORY_IMMEDIATE)
        complete_read(memory, read);
    else
        enqueue(memory, NULL, read);
}

static enum status memory_probe(struct store *store UNUSED, struct error *error UNUSED)
{
    return ST_OK;
}

static void memory_statistics(struct store *store, struct store_statistics *ret_statistics)
{
    *ret_statistics = memory_of(store)->statistics;
}

static void memory_close(struct store *store)
{
    struct memory *memory = memory_of(store);
    while (store_memory_step(store))
        ;
    memory_tables_release(&memory->tables);
    free(memory);
}

struct store *store_memory_open(enum store_memory_mode mode)
{
    static const struct store_operations operations = {
        .name = "memory",
        .submit = memory_submit,
        .read = memory_read_request,
        .probe = memory_probe,
        .statistics = memory_statistics,
        .close = memory_close,
    };
    struct memory *memory = xcalloc(1, sizeof *memory);
    memory->store.operations = &operations;
    memory->mode = mode;
    memory_tables_init(&memory->tables);
    list_init(&memory->pending);
    return &memory->store;
}

size_t store_memory_pending(const struct store *store)
{
    return memory_of(store)->pending_count;
}

bool store_memory_step(struct store *store)
{
    struct memory *memory = memory_of(store);
    if (list_empty(&memory->pending))
        return false;
    complete(memory, LIST_ENTRY(memory->pending.next, struct operation, link));
    return true;
}

bool store_memory_step_random(struct store *store, struct random *random)
{
    struct memory    *memory = memory_of(store);
    struct operation *first_batch = NULL, *chosen = NULL;
    uint64_t          candidates = 0;
    LIST_FOR_EACH (operation, &memory->pending, struct operation, link) {
        if (operation->batch != NULL && first_batch != NULL)
            continue;
        if (operation->batch != NULL)
            first_batch = operation;
        /* Each candidate replaces the earlier choice with a chance of one in how many there are: all equally likely. */
        if (random_below(random, ++candidates) == 0)
            chosen = operation;
    }
    if (chosen == NULL)
        return false;
    complete(memory, chosen);
    return true;
}

void store_memory_crash(struct store *store)
{
    struct memory *memory = memory_of(store);
    for (struct list *link; (link = list_take_first(&memory->pending)) != NULL;)
        free(LIST_ENTRY(link, struct operation, link));
    memory->pending_count = 0;
}
