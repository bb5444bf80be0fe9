/* test_fixture.h: a runtime over the memory store with a clock and outcomes that the test sets. Only tests include it. */
#ifndef SHARD_TEST_FIXTURE_H
#define SHARD_TEST_FIXTURE_H
#include <semaphore.h>

#include "shard/test_kind.h"
#include "store/memory.h"

#define FIXTURE_START     (INT64_C(1790000000) * NS_PER_S)
#define FIXTURE_LANES_MAX 4

/* Passes everything on, but for batches and reads that the script answers. */
struct scripted_store {
    struct store        store;
    struct store       *inner;
    enum store_outcome  outcomes[16]; /* of the next batches; STORE_DURABLE: passed on */
    size_t              outcome_count;
    int                 reads_to_fail, probes, batches, reads;
    bool                probe_fails;
    bool                hold_answers; /* scripted answers wait for scripted_let_go */
    struct store_batch *held;
    bool                hold_read; /* the next read is done at once and answered by scripted_read_let_go */
    struct store_read  *held_read;
    struct mailbox      held_box, *held_home;
    sem_t              *probe_holds;          /* a probe waits for it */
    void (*tamper)(struct store_read *read);  /* of the next read of a run: before its answer is seen */
    bool (*answer)(struct store_read *read);  /* of every read, until it says that it has changed one */
    bool (*spoil)(struct store_batch *batch); /* each batch before it is stored, until one was spoiled */
};

struct fixture {
    struct scripted_store  store;
    struct runtime        *runtime;
    int64_t                wall, monotonic;
    struct runtime_options options;
    int                    fatal;
    size_t                 answers;
    bool                   manual;
};

static void scripted_submit(struct store *store, struct store_batch *batch)
{
    struct scripted_store *self = CONTAINER_OF(store, struct scripted_store, store);
    self->batches++;
    enum store_outcome outcome = STORE_DURABLE;
    if (self->outcome_count != 0) {
        outcome = self->outcomes[0];
        memmove(self->outcomes, self->outcomes + 1, --self->outcome_count * sizeof(self->outcomes[0]));
    }
    if (self->spoil != NULL && self->spoil(batch))
        self->spoil = NULL;
    if (outcome == STORE_DURABLE) {
        store_submit(self->inner, batch);
        return;
    }
    batch->outcome = outcome;
    error_set(&batch->error, ST_UNAVAILABLE, "scripted");
    if (self->hold_answers) {
        assert(self->held == NULL);
        self->held = batch;
        return;
    }
    mailbox_post(batch->home, &batch->message);
}

UNUSED static void scripted_let_go(struct scripted_store *self)
{
    struct store_batch *held = TAKE_PTR(self->held);
    self->hold_answers = false;
    mailbox_post(held->home, &held->message);
}

static void scripted_read(struct store *store, struct store_read *read)
{
    struct scripted_store *self = CONTAINER_OF(store, struct scripted_store, store);
    self->reads++;
    if (self->reads_to_fail > 0) {
        self->reads_to_fail--;
        read->status = error_set(&read->error, ST_UNAVAILABLE, "scripted");
        mailbox_post(read->home, &read->message);
        return;
    }
    if (self->hold_read) { /* the inner store answers at once */
        self->hold_read = false;
        self->held_read = read;
        self->held_home = read->home;
        mailbox_init(&self->held_box, NULL, NULL);
        read->home = &self->held_box;
    }
    store_read(self->inner, read);
    if (self->tamper != NULL && read->run_count != 0) {
        self->tamper(read);
        self->tamper = NULL;
    }
    if (self->answer != NULL && self->answer(read))
        self->answer = NULL;
}

UNUSED static void scripted_read_let_go(struct scripted_store *self)
{
    struct message *message = mailbox_take(&self->held_box);
    assert(message == &self->held_read->message);
    TAKE_PTR(self->held_read)->home = self->held_home;
    mailbox_post(self->held_home, message);
}

static enum status scripted_probe(struct store *store, struct error *error)
{
    struct scripted_store *self = CONTAINER_OF(store, struct scripted_store, store);
    self->probes++;
    if (self->probe_holds != NULL)
        sem_wait(self->probe_holds);
    return self->probe_fails ? error_set(error, ST_RESOURCE_EXHAUSTED, "still full") : ST_OK;
}

static void scripted_statistics(struct store *store UNUSED, struct store_statistics *ret_statistics)
{
    *ret_statistics = (struct store_statistics){ 0 };
}

static void scripted_close(struct store *store)
{
    store_close(CONTAINER_OF(store, struct scripted_store, store)->inner);
}

static const struct store_operations scripted_operations = { "scripted",          scripted_submit,
                                                             scripted_read,       scripted_probe,
                                                             scripted_statistics, scripted_close };

static int64_t fixture_wall(void *context)
{
    return ((struct fixture *)context)->wall;
}

static int64_t fixture_monotonic(void *context)
{
    return ((struct fixture *)context)->monotonic;
}

static void fixture_fatal(void *context, const struct error *error UNUSED)
{
    ((struct fixture *)context)->fatal++;
}

static void fixture_wait(void *context)
{
    struct fixture *fixture = context;
    if (fixture->manual)
        (void)store_memory_step(fixture->store.inner);
}

static void fixture_boot(struct fixture *fixture)
{
    struct error error;
    if (runtime_new(&fixture->options, &fixture->runtime, &error) != ST_OK)
        panic("runtime: %s", error.message);
}

static void fixture_init(struct fixture *fixture, bool manual, uint32_t lanes)
{
    static const struct entity_kind *kinds[] = { &ledger_kind };
    *fixture = (struct fixture){ .wall = FIXTURE_START, .monotonic = NS_PER_S, .manual = manual };
    fixture->store.store.operations = &scripted_operations;
    fixture->store.inner = store_memory_open(manual ? STORE_MEMORY_MANUAL : STORE_MEMORY_IMMEDIATE);
    fixture->options = (struct runtime_options){
        .store = &fixture->store.store,
        .clock = { fixture_wall, fixture_monotonic, fixture },
        .lane_count = lanes,
        .seed = 1,
        .window_size = 2,
        .kinds = kinds,
        .kind_count = 1,
        .hooks_context = fixture,
        .fatal = fixture_fatal,
        .fatal_context = fixture,
        .wait = fixture_wait,
        .wait_context = fixture,
    };
    fixture_boot(fixture);
}

static void fixture_advance(struct fixture *fixture, int64_t ns)
{
    fixture->wall += ns;
    fixture->monotonic += ns;
}

static void fixture_turn(struct fixture *fixture)
{
    for (uint32_t i = 0; i < runtime_lane_count(fixture->runtime); i++)
        lane_turn(runtime_lane(fixture->runtime, i));
}

/* Turns and, with a manual store, steps until nothing happens at this moment of the clock. */
static void fixture_run(struct fixture *fixture)
{
    for (int quiet = 0; quiet < 3; quiet++) {
        fixture_turn(fixture);
        if (fixture->manual && store_memory_step(fixture->store.inner))
            quiet = -1;
        for (uint32_t i = 0; i < runtime_lane_count(fixture->runtime); i++) {
            if (lane_next_due(runtime_lane(fixture->runtime, i)) <= fixture->wall)
                quiet = -1;
        }
    }
}

/* Until nothing happens, also what waits for a moment: batches for others to join, messages for their next try. */
UNUSED static void fixture_settle(struct fixture *fixture)
{
    for (int i = 0; i < 4; i++) {
        fixture_run(fixture);
        fixture_advance(fixture, i < 3 ? 2 * NS_PER_MS : 1100 * NS_PER_MS);
    }
    fixture_run(fixture);
    fixture_advance(fixture, 2 * NS_PER_MS);
    fixture_run(fixture);
}

/* As kill -9 would: what is not durable is gone, nobody is answered. */
static void fixture_crash(struct fixture *fixture)
{
    if (fixture->manual)
        store_memory_crash(fixture->store.inner);
    runtime_abandon(fixture->runtime);
    fixture_boot(fixture);
}

static void fixture_release(struct fixture *fixture)
{
    runtime_abandon(fixture->runtime);
    store_close(&fixture->store.store);
}

static void fixture_done(struct request *base)
{
    struct ledger_request *request = CONTAINER_OF(base, struct ledger_request, base);
    request->answers++;
}

static struct ledger_request *fixture_request(const char *id, enum ledger_command command)
{
    struct ledger_request *request = xcalloc(1, sizeof(*request));
    request->base.arena = xcalloc(1, sizeof(struct arena));
    arena_init(request->base.arena, SIZE_MAX);
    request->base.kind = ENTITY_TEST;
    request->base.namespace_number = 1;
    request->base.business_id = arena_copy(request->base.arena, bytes_of_text(id));
    request->base.command = (int)command;
    request->base.done = fixture_done;
    return request;
}

static void fixture_forget(struct ledger_request *request)
{
    arena_release(request->base.arena);
    free(request->base.arena);
    free(request);
}

static struct ledger_request *fixture_submit(struct fixture *fixture, const char *id,
                                             enum ledger_command command, uint64_t request_id, int64_t amount)
{
    struct ledger_request *request = fixture_request(id, command);
    request->request_id = request_id;
    request->amount = amount;
    lane_submit(runtime_lane(fixture->runtime, 0), &request->base);
    return request;
}

/* Submits, runs until nothing happens, and returns what was answered; the answer must be there. */
UNUSED static struct ledger_request fixture_call(struct fixture *fixture, const char *id,
                                                 enum ledger_command command, uint64_t request_id,
                                                 int64_t amount)
{
    struct ledger_request *request = fixture_submit(fixture, id, command, request_id, amount);
    fixture_run(fixture);
    if (request->answers == 0) { /* its batch waits for others to join */
        fixture_advance(fixture, 2 * NS_PER_MS);
        fixture_run(fixture);
    }
    if (request->answers != 1)
        panic("command %d on %s was answered %d times", (int)command, id, request->answers);
    struct ledger_request answer = *request;
    fixture_forget(request);
    return answer;
}
#endif
