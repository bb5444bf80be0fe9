/* store.c: a disk that takes its time, answers in its own order, and fails in each of the ways a disk can. */
#include "sim.h"

struct sim_operation {
    struct list         link;
    struct store_batch *batch; /* or */
    struct store_read  *read;
    struct mailbox     *home;
    enum store_outcome  outcome; /* batches: what will be answered */
    bool                commit;  /* whether it is done all the same */
    bool                read_fails;
};

static struct sim_store *store_of(struct store *store)
{
    return CONTAINER_OF(store, struct sim_store, store);
}

static void delay(struct sim_store *self)
{
    int64_t most = self->sim->configuration.store_delay_max;
    self->ready_at = self->sim->now + (self->sim->faulty ? sim_between(self->sim, 0, most) : 0);
}

static enum store_outcome fate(struct sim_store *self, bool *ret_commit)
{
    struct sim *sim = self->sim;
    *ret_commit = false;
    if (sim->faulty && self->full_until > sim->now) /* a small batch may still find room */
        return sim_chance(sim, 0.7) ? STORE_FULL : (*ret_commit = true, STORE_DURABLE);
    if (sim_strikes(sim, FAULT_STORE_FULL)) {
        self->full_until = sim->now + sim_between(sim, NS_PER_S, 30 * NS_PER_S);
        return STORE_FULL;
    }
    if (sim_strikes(sim, FAULT_STORE_ABORTED))
        return STORE_ABORTED;
    if (sim_strikes(sim, FAULT_STORE_REFUSED))
        return STORE_REFUSED;
    if (sim_strikes(sim, FAULT_STORE_LOST_FENCE))
        return STORE_LOST_FENCE;
    if (sim_strikes(sim, FAULT_STORE_UNKNOWN_LOST))
        return STORE_UNKNOWN;
    *ret_commit = true;
    return sim_strikes(sim, FAULT_STORE_UNKNOWN_DONE) ? STORE_UNKNOWN : STORE_DURABLE;
}

static void submit(struct store *store, struct store_batch *batch)
{
    struct sim_store     *self = store_of(store);
    struct sim_operation *operation = xcalloc(1, sizeof(*operation));
    self->batches++;
    operation->batch = batch;
    operation->home = batch->home;
    operation->outcome = fate(self, &operation->commit);
    if (list_empty(&self->pending))
        delay(self);
    list_append(&self->pending, &operation->link);
}

static void read(struct store *store, struct store_read *read)
{
    struct sim_store     *self = store_of(store);
    struct sim_operation *operation = xcalloc(1, sizeof(*operation));
    operation->read = read;
    operation->home = read->home;
    operation->read_fails = sim_strikes(self->sim, FAULT_READ_ERROR);
    if (list_empty(&self->pending))
        delay(self);
    list_append(&self->pending, &operation->link);
}

/* Whether there is a disk below that fails by itself. If its power went, the process is gone before it answers. */
static bool look_at_disk(struct sim_store *self)
{
    if (self->disk != NULL && self->disk->is_off(self->disk->context))
        self->sim->fatal = true;
    return self->disk != NULL;
}

static void perform_batch(struct sim_store *self, struct sim_operation *operation)
{
    struct store_batch *batch = operation->batch;
    if (operation->commit) {
        batch->home = &self->box;
        store_submit(self->inner, batch);
        struct message *message = mailbox_take(&self->box);
        assert(message == &batch->message);
        batch->home = operation->home;
        if (look_at_disk(self) && batch->outcome != STORE_DURABLE)
            return; /* its own trouble */
        if (batch->outcome != STORE_DURABLE)
            sim_violated(self->sim, "batch-refused", "a batch that the runtime made was refused: %s",
                         batch->error.message);
    }
    batch->outcome = operation->outcome;
    if (batch->outcome != STORE_DURABLE)
        error_set(&batch->error, ST_UNAVAILABLE, "simulated");
    if (batch->outcome == STORE_REFUSED) {
        batch->refused = ARENA_NEW_ARRAY(&batch->arena, bool, batch->group_count + 1);
        for (uint32_t i = 0; i < batch->group_count; i++)
            batch->refused[i] = true;
    }
}

static void perform_read(struct sim_store *self, struct sim_operation *operation)
{
    struct store_read *read_ = operation->read;
    if (operation->read_fails) {
        read_->status = error_set(&read_->error, ST_UNAVAILABLE, "simulated");
        return;
    }
    read_->home = &self->box;
    store_read(self->inner, read_);
    struct message *message = mailbox_take(&self->box);
    assert(message == &read_->message);
    read_->home = operation->home;
    (void)look_at_disk(self);
}

/* A read that is drawn, or the oldest batch: batches are done in order, readers run beside the writer. */
static struct sim_operation *draw_operation(struct sim_store *self)
{
    struct sim_operation *picked = NULL, *oldest_batch = NULL;
    size_t                count = 0;
    LIST_FOR_EACH (operation, &self->pending, struct sim_operation, link) {
        if (operation->batch != NULL && oldest_batch == NULL)
            oldest_batch = operation;
        if (random_below(&self->sim->random, ++count) == 0)
            picked = operation;
    }
    assert(picked != NULL);
    return picked->batch != NULL ? oldest_batch : picked;
}

bool sim_store_step(struct sim_store *self)
{
    if (list_empty(&self->pending) || self->ready_at > self->sim->now)
        return false;
    struct sim_operation *picked = draw_operation(self);
    list_remove(&picked->link);
    if (picked->batch != NULL)
        perform_batch(self, picked);
    else
        perform_read(self, picked);
    sim_trace(self->sim, picked->batch != NULL ? 100 + picked->outcome : 110);
    list_append(&self->done, &picked->link);
    delay(self);
    return true;
}

bool sim_store_answer(struct sim_store *self)
{
    struct list *first = list_take_first(&self->done);
    if (first == NULL)
        return false;
    struct sim_operation *operation = LIST_ENTRY(first, struct sim_operation, link);
    mailbox_post(operation->home,
                 operation->batch != NULL ? &operation->batch->message : &operation->read->message);
    free(operation);
    return true;
}

int64_t sim_store_due(const struct sim_store *self)
{
    if (!list_empty(&self->done))
        return self->sim->now;
    return list_empty(&self->pending) ? TIME_NEVER : self->ready_at;
}

static void forget(struct list *operations)
{
    for (struct list *at; (at = list_take_first(operations)) != NULL;)
        free(LIST_ENTRY(at, struct sim_operation, link));
}

void sim_store_crash(struct sim_store *self)
{
    forget(&self->pending);
    forget(&self->done);
}

void sim_store_restart(struct sim_store *self)
{
    if (self->disk != NULL)
        self->inner = self->disk->restart(self->disk->context);
}

static enum status probe(struct store *store, struct error *error)
{
    struct sim_store *self = store_of(store);
    if (self->sim->faulty && self->full_until > self->sim->now)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "still full");
    return self->disk == NULL ? ST_OK : store_probe(self->inner, error);
}

static void statistics(struct store *store, struct store_statistics *ret_statistics)
{
    store_statistics(store_of(store)->inner, ret_statistics);
}

static void close_store(struct store *store)
{
    store_close(store_of(store)->inner);
}

static const struct store_operations operations = {
    "simulated", submit, read, probe, statistics, close_store
};

void sim_store_init(struct sim_store *self, struct sim *sim, const struct sim_disk *disk)
{
    *self = (struct sim_store){ .store.operations = &operations, .sim = sim, .disk = disk };
    self->inner = disk == NULL ? store_memory_open(STORE_MEMORY_IMMEDIATE) : disk->open(disk->context);
    mailbox_init(&self->box, NULL, NULL);
    list_init(&self->pending);
    list_init(&self->done);
}

void sim_store_release(struct sim_store *self)
{
    sim_store_crash(self);
    store_close(self->inner);
}
