/* store.c: a disk that takes its time, answers in its own order, and fails in each of the ways a disk can. */
#include "sim.h"

struct sim_operation {
    struct list         link;
    struct store_batch *batch; /* or */
    struct store_read  *read;
    struct mailbox     *home;
    enum store_outcome  outcome;   /* batches: what will be answered */
    bool                commit;    /* whether it is done all the same */
    bool                one_group; /* STORE_REFUSED: one group is, the others are done */
    int64_t             not_before;
};

static struct sim_store *store_of(struct store *store)
{
    return CONTAINER_OF(store, struct sim_store, store);
}

static void delay(struct sim_store *self)
{
    struct sim *sim = self->sim;
    int64_t     most = sim->configuration.store_delay_max;
    if (sim_strikes(sim, FAULT_STORE_SLOW))
        self->slow_until = sim->now + sim_fault_between(sim, FAULT_STORE_SLOW, NS_PER_S, 20 * NS_PER_S);
    if (self->slow_until > sim->now)
        most = 500 * NS_PER_MS;
    self->ready_at = sim->now + (sim->faulty ? sim_between(sim, 0, most) : 0);
    if (sim_strikes(sim, FAULT_STORE_STALLED))
        self->ready_at += sim_fault_between(sim, FAULT_STORE_STALLED, 5 * NS_PER_S, 40 * NS_PER_S);
}

/* The disk is full for a while. The first batch that hears so gives the ballast up: when there is any, it has room then. */
static void fill(struct sim_store *self, enum sim_fault kind)
{
    self->ballast = kind == FAULT_STORE_FULL_BALLAST;
    self->full_batch = NULL;
    self->full_until = self->sim->now + sim_fault_between(self->sim, kind, NS_PER_S, 30 * NS_PER_S);
}

static enum store_outcome fate_when_full(struct sim_store *self, const struct store_batch *batch,
                                         bool *ret_commit)
{
    bool again = batch == self->full_batch;
    self->full_batch = batch;
    *ret_commit = (again && self->ballast) ||
                  sim_chance(self->sim, 0.1); /* a small one finds room at times */
    return *ret_commit ? STORE_DURABLE : STORE_FULL;
}

static enum store_outcome fate(struct sim_store *self, const struct store_batch *batch, bool *ret_commit)
{
    struct sim *sim = self->sim;
    *ret_commit = false;
    if (sim_strikes(sim, FAULT_STORE_FULL))
        fill(self, FAULT_STORE_FULL);
    else if (sim_strikes(sim, FAULT_STORE_FULL_BALLAST))
        fill(self, FAULT_STORE_FULL_BALLAST);
    if (sim->faulty && self->full_until > sim->now)
        return fate_when_full(self, batch, ret_commit);
    if (sim_strikes(sim, FAULT_STORE_ABORTED_LONG))
        self->aborts = (unsigned)sim_fault_between(sim, FAULT_STORE_ABORTED_LONG, 3, 12);
    if (self->aborts != 0 || sim_strikes(sim, FAULT_STORE_ABORTED)) {
        self->aborts -= self->aborts != 0;
        return STORE_ABORTED;
    }
    if (sim_strikes(sim, FAULT_STORE_REFUSED))
        return STORE_REFUSED;
    if (sim_strikes(sim, FAULT_STORE_LOST_FENCE))
        return STORE_LOST_FENCE;
    if (!sim->settling && sim_strikes(sim, FAULT_STORE_UNKNOWN_LOST))
        return STORE_UNKNOWN;
    *ret_commit = true;
    if (!sim->settling && sim_strikes(sim, FAULT_STORE_UNKNOWN_DONE))
        return STORE_UNKNOWN;
    return sim_strikes(sim, FAULT_STORE_REFUSED_GROUP) ? STORE_REFUSED : STORE_DURABLE;
}

static void enqueue(struct sim_store *self, struct sim_operation *operation)
{
    if (list_empty(&self->pending))
        delay(self);
    list_append(&self->pending, &operation->link);
}

static void submit(struct store *store, struct store_batch *batch)
{
    struct sim_store *self = store_of(store);
    if (!sim_leaves(self->sim))
        return;
    struct sim_operation *operation = xcalloc(1, sizeof(*operation));
    self->batches++;
    operation->batch = batch;
    operation->home = batch->home;
    operation->outcome = fate(self, batch, &operation->commit);
    operation->one_group = operation->outcome == STORE_REFUSED && operation->commit;
    enqueue(self, operation);
}

static void read(struct store *store, struct store_read *read)
{
    struct sim_store *self = store_of(store);
    if (!sim_leaves(self->sim))
        return;
    struct sim_operation *operation = xcalloc(1, sizeof(*operation));
    operation->read = read;
    operation->home = read->home;
    if (sim_strikes(self->sim, FAULT_READ_LATE))
        operation->not_before = self->sim->now +
                                sim_fault_between(self->sim, FAULT_READ_LATE, NS_PER_MS, 5 * NS_PER_S);
    enqueue(self, operation);
}

/* Whether there is a disk below that fails by itself. If its power went, the process is gone before it answers. */
static bool look_at_disk(struct sim_store *self)
{
    if (self->disk != NULL && self->disk->is_off(self->disk->context))
        self->sim->fatal = true;
    return self->disk != NULL;
}

static const char *outcome_name(enum store_outcome outcome)
{
    static const char *const names[] = { "durable", "aborted", "refused", "full", "fence lost", "unknown" };
    return names[outcome];
}

/* The store below takes what of the batch is not refused. */
static void commit(struct sim_store *self, struct store_batch *batch)
{
    struct store_write *writes = batch->writes;
    size_t              write_count = batch->write_count;
    struct mailbox     *home = batch->home;
    if (batch->refused != NULL) {
        batch->writes = ARENA_NEW_ARRAY(&batch->arena, struct store_write, write_count + 1);
        batch->write_count = 0;
        for (size_t i = 0; i < write_count; i++)
            if (!batch->refused[writes[i].group])
                batch->writes[batch->write_count++] = writes[i];
    }
    batch->home = &self->box;
    store_submit(self->inner, batch);
    struct message *message = mailbox_take(&self->box);
    assert(message == &batch->message);
    batch->home = home;
    batch->writes = writes;
    batch->write_count = write_count;
}

/* A group that a store might refuse: one with a transition. The row of the clock, say, is never too large or there already. */
static bool draw_refused(struct sim_store *self, const struct store_batch *batch, uint32_t *ret_group)
{
    int64_t count = 0;
    for (size_t i = 0; i < batch->write_count; i++)
        if (batch->writes[i].kind == STORE_TRANSITION_INSERT &&
            sim_fault_between(self->sim, FAULT_STORE_REFUSED_GROUP, 0, count++) == 0)
            *ret_group = batch->writes[i].group;
    return count != 0;
}

static void refuse(struct sim_store *self, struct sim_operation *operation)
{
    struct store_batch *batch = operation->batch;
    uint32_t            group = 0;
    if (operation->one_group && !draw_refused(self, batch, &group)) {
        operation->outcome = STORE_DURABLE;
        return;
    }
    batch->refused = ARENA_NEW_ARRAY(&batch->arena, bool, batch->group_count + 1);
    for (uint32_t i = 0; i < batch->group_count; i++)
        batch->refused[i] = !operation->one_group || i == group;
}

static void perform_batch(struct sim_store *self, struct sim_operation *operation)
{
    struct store_batch *batch = operation->batch;
    batch->refused = NULL;
    if (operation->outcome == STORE_REFUSED)
        refuse(self, operation);
    bool *refused = batch->refused;
    if (operation->commit) {
        commit(self, batch);
        if (look_at_disk(self) && batch->outcome != STORE_DURABLE)
            return; /* its own trouble */
        if (batch->outcome != STORE_DURABLE)
            sim_violated(self->sim, "batch-refused", "a batch that the runtime made was refused: %s",
                         batch->error.message);
    }
    batch->outcome = operation->outcome;
    batch->refused = refused;
    if (batch->outcome != STORE_DURABLE)
        error_set(&batch->error, ST_UNAVAILABLE, "simulated");
}

static void flip_a_bit(struct sim_store *self, struct store_read *read_)
{
    struct store_transition *row = &read_->transitions[sim_fault_between(
        self->sim, FAULT_READ_CORRUPT, 0, (int64_t)read_->transition_count - 1)];
    struct bytes            *bytes = row->events.size != 0 ? &row->events : &row->delta;
    if (bytes->size == 0)
        return;
    *bytes = arena_copy(read_->arena, *bytes);
    int64_t bit = sim_fault_between(self->sim, FAULT_READ_CORRUPT, 0, (int64_t)bytes->size * 8 - 1);
    ((uint8_t *)bytes->base)[bit / 8] ^= (uint8_t)(1U << (bit % 8));
}

static bool read_fails(struct sim_store *self)
{
    struct sim *sim = self->sim;
    if (sim->starting)
        return sim_strikes(sim, FAULT_READ_ERROR_AT_START);
    if (sim_strikes(sim, FAULT_READ_ERRORS))
        self->unreadable_until = sim->now +
                                 sim_fault_between(sim, FAULT_READ_ERRORS, NS_PER_MS, 5 * NS_PER_S);
    return (sim->faulty && self->unreadable_until > sim->now) || sim_strikes(sim, FAULT_READ_ERROR);
}

static void perform_read(struct sim_store *self, struct sim_operation *operation)
{
    struct store_read *read_ = operation->read;
    if (read_fails(self)) {
        read_->status = error_set(&read_->error, ST_UNAVAILABLE, "simulated");
        return;
    }
    read_->home = &self->box;
    store_read(self->inner, read_);
    struct message *message = mailbox_take(&self->box);
    assert(message == &read_->message);
    read_->home = operation->home;
    if (read_->status == ST_OK && read_->transition_count != 0 && !self->sim->starting &&
        sim_strikes(self->sim, FAULT_READ_CORRUPT))
        flip_a_bit(self, read_);
    (void)look_at_disk(self);
}

/* A read that is drawn, or the oldest batch: batches are done in order, readers run beside the writer. */
static struct sim_operation *draw_operation(struct sim_store *self)
{
    struct sim_operation *picked = NULL, *oldest_batch = NULL;
    size_t                count = 0;
    LIST_FOR_EACH (operation, &self->pending, struct sim_operation, link) {
        if (operation->not_before > self->sim->now)
            continue;
        if (operation->batch != NULL && oldest_batch == NULL)
            oldest_batch = operation;
        if (random_below(&self->sim->random, ++count) == 0)
            picked = operation;
    }
    return picked != NULL && picked->batch != NULL ? oldest_batch : picked;
}

bool sim_store_is_ready(const struct sim_store *self)
{
    if (self->ready_at > self->sim->now)
        return false;
    LIST_FOR_EACH (operation, &self->pending, struct sim_operation, link)
        if (operation->not_before <= self->sim->now)
            return true;
    return false;
}

bool sim_store_step(struct sim_store *self)
{
    struct sim *sim = self->sim;
    if (!sim_store_is_ready(self))
        return false;
    struct sim_operation *picked = draw_operation(self);
    if (picked->batch != NULL && sim_strikes(sim, FAULT_CRASH_BEFORE_WRITE)) {
        sim->fatal = true;
        return true;
    }
    list_remove(&picked->link);
    if (picked->batch != NULL)
        perform_batch(self, picked);
    else
        perform_read(self, picked);
    sim_trace(sim, picked->batch != NULL ? 100 + picked->outcome : 110);
    sim_log(sim, "store: %s", picked->batch != NULL ? outcome_name(picked->outcome) : "read");
    list_append(&self->done, &picked->link);
    if (picked->batch != NULL && sim_strikes(sim, FAULT_CRASH_AFTER_WRITE))
        sim->fatal = true;
    delay(self);
    return true;
}

bool sim_store_answer(struct sim_store *self)
{
    struct sim *sim = self->sim;
    if (list_empty(&self->done))
        return false;
    struct list *picked = self->done.next;
    int64_t      count = 0;
    if (sim_strikes(sim, FAULT_ANSWERS_REORDERED)) {
        LIST_FOR_EACH (operation, &self->done, struct sim_operation, link)
            if (sim_fault_between(sim, FAULT_ANSWERS_REORDERED, 0, count++) == 0)
                picked = &operation->link;
    }
    list_remove(picked);
    struct sim_operation *operation = LIST_ENTRY(picked, struct sim_operation, link);
    mailbox_post(operation->home,
                 operation->batch != NULL ? &operation->batch->message : &operation->read->message);
    if (operation->batch != NULL && sim_strikes(sim, FAULT_CRASH_AFTER_ANSWER))
        sim->fatal = true;
    free(operation);
    return true;
}

int64_t sim_store_due(const struct sim_store *self)
{
    int64_t due = TIME_NEVER;
    if (!list_empty(&self->done))
        return self->sim->now;
    LIST_FOR_EACH (operation, &self->pending, struct sim_operation, link)
        due = MIN(due, MAX(self->ready_at, operation->not_before));
    return due;
}

static bool has_unknown(const struct list *operations)
{
    LIST_FOR_EACH (operation, operations, struct sim_operation, link)
        if (operation->batch != NULL && operation->outcome == STORE_UNKNOWN)
            return true;
    return false;
}

bool sim_store_is_unknown(const struct sim_store *self)
{
    return has_unknown(&self->pending) || has_unknown(&self->done);
}

static void forget(struct list *operations)
{
    for (struct list *at; (at = list_take_first(operations)) != NULL;)
        free(LIST_ENTRY(at, struct sim_operation, link));
}

/* Of what was on its way to the disk a part may be there all the same: the first batches, in their order. */
void sim_store_crash(struct sim_store *self)
{
    if (sim_strikes(self->sim, FAULT_TORN_TAIL)) {
        int64_t kept = sim_fault_between(self->sim, FAULT_TORN_TAIL, 0, 4);
        LIST_FOR_EACH (operation, &self->pending, struct sim_operation, link)
            if (operation->batch != NULL && operation->commit && kept-- > 0)
                perform_batch(self, operation);
    }
    forget(&self->pending);
    forget(&self->done);
}

void sim_store_restart(struct sim_store *self)
{
    self->full_batch = NULL;
    if (self->disk != NULL)
        self->inner = self->disk->restart(self->disk->context);
}

static enum status probe(struct store *store, struct error *error)
{
    struct sim_store *self = store_of(store);
    if (!sim_leaves(self->sim))
        return error_set(error, ST_UNAVAILABLE, "the process died");
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
