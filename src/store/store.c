/* store.c: batches, and the implementations by URL. */
#include <pthread.h>

#include "base/metric.h"
#include "store/memory.h"
#include "store/sqlite.h"
#include "store/store_internal.h"

void store_batch_init(struct store_batch *batch, struct mailbox *home, void (*run)(struct message *message))
{
    *batch = (struct store_batch){ .home = home, .message.run = run };
    arena_init(&batch->arena, SIZE_MAX);
}

void store_batch_release(struct store_batch *batch)
{
    arena_release(&batch->arena);
    batch->writes = NULL;
    batch->write_count = batch->write_capacity = 0;
}

void store_batch_clear(struct store_batch *batch)
{
    arena_reset(&batch->arena);
    batch->writes = NULL;
    batch->refused = NULL;
    batch->private = NULL;
    batch->write_count = batch->write_capacity = batch->size = 0;
    batch->group_count = 0;
    batch->outcome = STORE_DURABLE;
    error_clear(&batch->error);
}

void store_link_take(struct store_link *link, int64_t number)
{
    int64_t ahead = number - link->number;
    if (ahead > 0) {
        /* The old number becomes a bit of the window; what shifts out of it was answered long ago. */
        link->window = ahead >= STORE_LINK_WINDOW ? 0 : link->window << ahead;
        if (ahead <= STORE_LINK_WINDOW && link->number != 0)
            link->window |= UINT64_C(1) << (ahead - 1);
        link->number = number;
    } else if (ahead < 0 && -ahead <= STORE_LINK_WINDOW) {
        link->window |= UINT64_C(1) << (-ahead - 1);
    }
}

struct store_write *store_batch_add(struct store_batch *batch, enum store_write_kind kind, uint32_t group)
{
    if (batch->write_count == batch->write_capacity) {
        size_t              capacity = batch->write_capacity == 0 ? 16 : batch->write_capacity * 2;
        struct store_write *writes = arena_must(arena_alloc(&batch->arena, capacity * sizeof *writes));
        if (batch->write_count > 0)
            memcpy(writes, batch->writes, batch->write_count * sizeof *writes);
        batch->writes = writes;
        batch->write_capacity = capacity;
    }
    struct store_write *write = &batch->writes[batch->write_count++];
    memset(write, 0, sizeof *write);
    write->kind = kind;
    write->group = group;
    batch->group_count = MAX(batch->group_count, group + 1);
    return write;
}

size_t *store_batch_by_group(struct store_batch *batch)
{
    size_t *next = ARENA_NEW_ARRAY(&batch->arena, size_t, batch->group_count + 1);
    size_t *order = ARENA_NEW_ARRAY(&batch->arena, size_t, batch->write_count);
    for (size_t i = 0; i < batch->write_count; i++) {
        assert(batch->writes[i].group < batch->group_count);
        next[batch->writes[i].group + 1]++;
    }
    for (uint32_t group = 0; group < batch->group_count; group++)
        next[group + 1] += next[group];
    for (size_t i = 0; i < batch->write_count; i++)
        order[next[batch->writes[i].group]++] = i;
    return order;
}

/* As the reference server calls the nearest of its own operations, where there is one. Commits come behind the reads. */
#define OPERATION_COMMIT STORE_READ_KINDS
static const char *operation_name(uint32_t index)
{
    static const char *const names[] = {
        [STORE_READ_CURRENT_RUN] = "GetCurrentExecution",
        [STORE_READ_RUN] = "GetWorkflowExecution",
        [STORE_READ_HISTORY] = "ReadHistoryBranch",
        [STORE_READ_READY] = "GetTasks",
        [STORE_READ_READY_HEADS] = "GetTaskStreams",
        [STORE_READ_READY_COUNTS] = "CountTasks",
        [STORE_READ_READY_ROWS] = "GetAllTasks",
        [STORE_READ_WAKEUPS] = "GetTimerTasks",
        [STORE_READ_WAKEUP] = "GetTimerTask",
        [STORE_READ_BRANCHES] = "GetAllHistoryTreeBranches",
        [STORE_READ_IDENTITIES] = "ListConcreteExecutions",
        [STORE_READ_OUTBOX] = "GetTransferTasks",
        [STORE_READ_LINKS] = "GetLinks",
        [STORE_READ_ENTITIES] = "GetEntities",
        [STORE_READ_LIST] = "ListWorkflowExecutions",
        [STORE_READ_COUNT] = "CountWorkflowExecutions",
        [OPERATION_COMMIT] = "Commit",
    };
    return index < ARRAY_COUNT(names) ? names[index] : NULL;
}

static void count_answer(uint32_t operation, int64_t asked_ns, bool failed)
{
    metric_add(METRIC_PERSISTENCE_REQUESTS, 0, operation, 1);
    if (failed)
        metric_add(METRIC_PERSISTENCE_ERRORS, 0, operation, 1);
    metric_observe(METRIC_PERSISTENCE_LATENCY, 0, operation, clock_monotonic_ns(&clock_system) - asked_ns);
}

void store_submit(struct store *store, struct store_batch *batch)
{
    batch->submitted_ns = clock_monotonic_ns(&clock_system);
    store->operations->submit(store, batch);
}

void store_read(struct store *store, struct store_read *read)
{
    read->asked_ns = clock_monotonic_ns(&clock_system);
    store->operations->read(store, read);
}

void store_batch_post(struct store_batch *batch, enum store_outcome outcome)
{
    batch->outcome = outcome;
    count_answer(OPERATION_COMMIT, batch->submitted_ns, outcome != STORE_DURABLE);
    mailbox_post(batch->home, &batch->message);
}

void store_read_post(struct store_read *read)
{
    count_answer(read->kind, read->asked_ns, read->status != ST_OK);
    mailbox_post(read->home, &read->message);
}

/* Where a thread without a lane waits for the store. */
struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t  condition;
    bool            woken;
};

static void waiter_wake(void *context)
{
    struct waiter *waiter = context;
    pthread_mutex_lock(&waiter->mutex);
    waiter->woken = true;
    pthread_cond_signal(&waiter->condition);
    pthread_mutex_unlock(&waiter->mutex);
}

static void read_answered(struct message *message UNUSED) {}

void store_read_blocking(struct store *store, struct store_read *read, void (*wait)(void *context),
                         void *context)
{
    struct waiter  waiter = { .woken = false };
    struct mailbox mailbox;
    pthread_mutex_init(&waiter.mutex, NULL);
    pthread_cond_init(&waiter.condition, NULL);
    mailbox_init(&mailbox, waiter_wake, &waiter);
    read->home = &mailbox;
    read->message.run = read_answered;
    store_read(store, read);
    while (wait != NULL && atomic_load(&mailbox.newest) == NULL)
        wait(context);
    /* For the wake, not for the message: the message is there first, and whoever wakes still needs the waiter. */
    pthread_mutex_lock(&waiter.mutex);
    while (!waiter.woken)
        pthread_cond_wait(&waiter.condition, &waiter.mutex);
    pthread_mutex_unlock(&waiter.mutex);
    const struct message *answer = mailbox_take(&mailbox);
    assert(answer == &read->message);
    pthread_cond_destroy(&waiter.condition);
    pthread_mutex_destroy(&waiter.mutex);
}

enum status store_open(const char *url, struct store **ret_store, struct error *error)
{
    metric_name_labels(LABELS_STORE, operation_name);
    if (strcmp(url, "memory:") == 0) {
        *ret_store = store_memory_open(STORE_MEMORY_IMMEDIATE);
        return ST_OK;
    }
    if (bytes_starts_with(bytes_of_text(url), BYTES("sqlite:")) && url[strlen("sqlite:")] != '\0')
        return store_sqlite_open(&(struct store_sqlite_options){ .path = url + strlen("sqlite:") }, ret_store,
                                 error);
    return error_set(error, ST_INVALID_ARGUMENT,
                     "cannot open the store \"%s\": expected sqlite:FILE or memory:", url);
}
