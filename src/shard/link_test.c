/* link_test.c: messages between entities are applied once, whatever dies when. */
#include <stdio.h>

#include "base/testing.h"
#include "shard/shard_internal.h"
#include "shard/test_fixture.h"

#define LEDGERS 12 /* open from the beginning */
#define OPENED  4  /* opened by messages */
#define ABSENT  4  /* there are none, and what is sent to them comes back */

static void ledger_name(char *name, size_t size, uint64_t number)
{
    snprintf(name, size, "ledger-%" PRIu64, number);
}

static struct ledger_request *prepare_send(uint64_t from, uint64_t to, uint64_t request_id, int64_t amount)
{
    char name[24];
    ledger_name(name, sizeof(name), from);
    struct ledger_request *request = fixture_request(name, LEDGER_SEND);
    ledger_name(name, sizeof(name), to);
    request->to = arena_copy(request->base.arena, bytes_of_text(name));
    request->request_id = request_id;
    request->amount = amount;
    return request;
}

static struct ledger_request *send_amount(struct fixture *fixture, uint64_t from, uint64_t to,
                                          uint64_t request_id, int64_t amount)
{
    struct ledger_request *request = prepare_send(from, to, request_id, amount);
    lane_submit(runtime_lane(fixture->runtime, 0), &request->base);
    return request;
}

static struct ledger_request *send_opening(struct fixture *fixture, uint64_t from, uint64_t to,
                                           uint64_t request_id, int64_t amount)
{
    struct ledger_request *request = prepare_send(from, to, request_id, amount);
    request->opens = true;
    lane_submit(runtime_lane(fixture->runtime, 0), &request->base);
    return request;
}

static void open_ledgers(struct fixture *fixture)
{
    for (uint64_t i = 0; i < LEDGERS; i++) {
        char name[24];
        ledger_name(name, sizeof(name), i);
        CHECK_INT(fixture_call(fixture, name, LEDGER_START, 1, 0).base.error.code, ST_OK);
    }
}

static int64_t total(struct fixture *fixture, uint64_t number)
{
    char name[24];
    ledger_name(name, sizeof(name), number);
    struct ledger_request read = fixture_call(fixture, name, LEDGER_READ, 0, 0);
    CHECK_INT(read.base.error.code, ST_OK);
    return read.total;
}

static void ignore(struct message *message UNUSED) {}

/* Rows of answered messages go a little later. */
static size_t stored_messages(struct fixture *fixture)
{
    fixture_settle(fixture);
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct mailbox mailbox;
    mailbox_init(&mailbox, NULL, NULL);
    struct store_read read = { .kind = STORE_READ_OUTBOX,
                               .after = -1,
                               .arena = &arena,
                               .home = &mailbox,
                               .message = { .run = ignore } };
    store_read(fixture->store.inner, &read);
    while (mailbox_take(&mailbox) == NULL)
        CHECK(store_memory_step(fixture->store.inner));
    arena_release(&arena);
    return read.outbox_count;
}

TEST(a_message_arrives_and_leaves_no_row_behind)
{
    for (uint32_t lanes = 1; lanes <= 3; lanes++) {
        struct fixture fixture;
        fixture_init(&fixture, false, lanes);
        open_ledgers(&fixture);
        for (uint64_t i = 0; i < LEDGERS; i++) {
            struct ledger_request *sent = send_amount(&fixture, i, (i + 1) % LEDGERS, 100 + i,
                                                      10 + (int64_t)i);
            fixture_settle(&fixture);
            CHECK_INT(sent->base.error.code, ST_OK);
            fixture_forget(sent);
        }
        for (uint64_t i = 0; i < LEDGERS; i++)
            CHECK_EQ(total(&fixture, i), i == 0 ? 10 + LEDGERS - 1 - 10 : -1);
        CHECK_EQ(stored_messages(&fixture), 0);
        fixture_release(&fixture);
    }
}

/* One that nobody can take is answered without a transition; one that opens its target is answered with the first. */
TEST(a_message_to_itself_to_nobody_and_to_somebody_new)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 2);
    open_ledgers(&fixture);
    struct ledger_request *self = send_amount(&fixture, 3, 3, 100, 7);
    struct ledger_request *nobody = send_amount(&fixture, 4, 999, 101, 7);
    struct ledger_request *new = send_opening(&fixture, 5, 998, 102, 7);
    fixture_settle(&fixture);
    CHECK_EQ(total(&fixture, 3), 0);
    CHECK_EQ(total(&fixture, 4), 0);
    CHECK_EQ(total(&fixture, 5), -6);
    CHECK_EQ(total(&fixture, 998), 6);
    CHECK_EQ(stored_messages(&fixture), 0);
    fixture_forget(self);
    fixture_forget(nobody);
    fixture_forget(new);
    fixture_release(&fixture);
}

/* To a run that has been followed by another one, as opposed to whichever is current. */
TEST(a_message_to_one_run)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 2);
    open_ledgers(&fixture);
    struct ledger_request was = fixture_call(&fixture, "ledger-2", LEDGER_READ, 0, 0);
    CHECK_INT(fixture_call(&fixture, "ledger-2", LEDGER_NEXT, 50, 0).base.error.code, ST_OK);
    struct ledger_request is = fixture_call(&fixture, "ledger-2", LEDGER_READ, 0, 0);
    CHECK(memcmp(&was.run_id, &is.run_id, sizeof(was.run_id)) != 0);
    struct ledger_request *sent[] = { prepare_send(1, 2, 100, 5), prepare_send(1, 2, 101, 7),
                                      prepare_send(1, 2, 102, 11) };
    sent[0]->to_run = sent[1]->to_run = sent[2]->to_run = true;
    sent[0]->target_run = was.run_id;
    sent[1]->target_run = is.run_id;
    sent[2]->target_run.byte[5] = 1; /* never was */
    for (size_t i = 0; i < ARRAY_COUNT(sent); i++)
        lane_submit(runtime_lane(fixture.runtime, 0), &sent[i]->base);
    fixture_settle(&fixture);
    CHECK_EQ(total(&fixture, 1), -7);
    CHECK_EQ(total(&fixture, 2), 7);
    CHECK_EQ(stored_messages(&fixture), 0);
    for (size_t i = 0; i < ARRAY_COUNT(sent); i++)
        fixture_forget(sent[i]);
    fixture_release(&fixture);
}

/* Found by the simulator: the batch that received the message was released after the run, and with it its chain, had gone. */
TEST(a_message_that_is_refused_and_the_end_of_its_target_in_one_batch)
{
    for (int moment = 0; moment < 40; moment++) {
        struct fixture fixture;
        fixture_init(&fixture, true, 1);
        open_ledgers(&fixture);
        CHECK_INT(fixture_call(&fixture, "ledger-2", LEDGER_CLOSE, 50, 0).base.error.code, ST_OK);
        struct ledger_request *sent = send_amount(&fixture, 1, 2, 100, 5);
        struct ledger_request
            *others[40]; /* something is always on its way to the store, so that a batch stays open */
        for (int i = 0; i < moment; i++) {
            others[i] = fixture_submit(&fixture, "ledger-5", LEDGER_ADD, 200 + (uint64_t)i, 1);
            fixture_turn(&fixture);
            if (i % 3 == 2)
                (void)store_memory_step(fixture.store.inner);
        }
        struct ledger_request *gone = fixture_submit(&fixture, "ledger-2", LEDGER_DELETE, 0, 0);
        fixture_settle(&fixture);
        CHECK_INT(sent->base.error.code, ST_OK);
        CHECK_INT(gone->base.error.code, ST_OK);
        CHECK_EQ(stored_messages(&fixture), 0);
        CHECK_EQ(total(&fixture, 1), 0);
        fixture_forget(sent);
        fixture_forget(gone);
        for (int i = 0; i < moment; i++)
            fixture_forget(others[i]);
        fixture_release(&fixture);
    }
}

static void damage_a_row(struct store_read *read)
{
    if (read->transition_count == 0)
        return;
    struct store_transition *row = &read->transitions[0];
    row->events = arena_copy(read->arena, row->events);
    ((uint8_t *)row->events.base)[row->events.size / 2] ^= 1;
}

/* That a target cannot be loaded is no answer of the target's, also when it is its own rows that are damaged. */
TEST(a_message_to_one_that_cannot_be_loaded_waits)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 2);
    open_ledgers(&fixture);
    fixture_crash(&fixture);
    CHECK_EQ(total(&fixture, 1), 0); /* the sender is in memory, its target is not */
    fixture.store.tamper = damage_a_row;
    struct ledger_request *sent = send_amount(&fixture, 1, 2, 100, 5);
    fixture_settle(&fixture);
    CHECK_INT(sent->base.error.code, ST_OK);
    CHECK(fixture.store.tamper == NULL);
    for (int i = 0; i < 70; i++) { /* the quarantine ends */
        fixture_advance(&fixture, NS_PER_S);
        fixture_settle(&fixture);
    }
    CHECK_EQ(total(&fixture, 1), -5);
    CHECK_EQ(total(&fixture, 2), 5);
    CHECK_EQ(stored_messages(&fixture), 0);
    fixture_forget(sent);
    fixture_release(&fixture);
}

/* More messages of one link than a receiver's window and the sender's memory hold. */
TEST(a_long_queue_of_one_link_arrives_whole)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 2);
    open_ledgers(&fixture);
    enum { COUNT = 300 };
    struct ledger_request *sent[COUNT];
    for (uint64_t i = 0; i < COUNT; i++)
        sent[i] = send_amount(&fixture, 1, 2, 100 + i, 1);
    fixture_settle(&fixture);
    for (int i = 0; i < 1000 && stored_messages(&fixture) != 0; i++)
        fixture_run(&fixture);
    CHECK_EQ(total(&fixture, 2), COUNT);
    CHECK_EQ(stored_messages(&fixture), 0);
    for (int i = 0; i < COUNT; i++)
        fixture_forget(sent[i]);
    fixture_release(&fixture);
}

static int32_t range_of(uint64_t number)
{
    char name[24];
    ledger_name(name, sizeof(name), number);
    return runtime_range(1, bytes_of_text(name));
}

static void turns(struct fixture *fixture)
{
    for (int i = 0; i < 10; i++) {
        fixture_turn(fixture);
        fixture_advance(fixture, 200 * NS_PER_US);
    }
}

/* Two messages of one link, of which the second is decided while the first is on its way to the disk, to be sent again. If
 * the first wrote the row of the link as it was then, the second would come twice. */
TEST(a_link_in_two_batches_at_once)
{
    struct fixture fixture;
    uint64_t       near = 1, far = 2;
    while (range_of(far) != range_of(near))
        far++;
    fixture_init(&fixture, true, 1);
    fixture.options.second_after = 1;
    fixture_crash(&fixture);
    char name[24];
    ledger_name(name, sizeof(name), far);
    CHECK_INT(fixture_call(&fixture, name, LEDGER_START, 1, 0).base.error.code, ST_OK);
    open_ledgers(&fixture);
    fixture_crash(&fixture);
    CHECK_EQ(total(&fixture, 0) + total(&fixture, near), 0); /* in memory; the far one is not */
    struct ledger_request *sent[] = { send_amount(&fixture, 0, near, 100, 5),
                                      send_amount(&fixture, 0, far, 101, 7) };
    turns(&fixture);
    while (store_memory_step(fixture.store.inner)) { /* both were sent */
    }
    fixture.store.outcomes[fixture.store.outcome_count++] = STORE_ABORTED;
    fixture.store.hold_answers = true;
    int batches = fixture.store.batches;
    for (turns(&fixture); fixture.store.batches == batches;
         turns(&fixture)) /* the window of the link is read */
        CHECK(store_memory_step(fixture.store.inner));
    CHECK_INT(fixture.store.batches, batches + 1);
    CHECK(store_memory_step(fixture.store.inner)); /* the far one is loaded */
    turns(&fixture);
    (void)store_memory_step(fixture.store.inner);
    scripted_let_go(&fixture.store);
    turns(&fixture);
    CHECK(store_memory_step(fixture.store.inner)); /* the first again */
    fixture_crash(&fixture);
    fixture_settle(&fixture);
    fixture_settle(&fixture);
    CHECK_EQ(total(&fixture, near), 5);
    CHECK_EQ(total(&fixture, far), 7);
    for (size_t i = 0; i < ARRAY_COUNT(sent); i++)
        fixture_forget(sent[i]);
    fixture_release(&fixture);
}

static store_number spoiled_lower, spoiled_higher;

/* Has the store refuse the effect on one of two targets that hear of a link in one batch. */
static bool spoil_one_target(struct store_batch *batch)
{
    store_number             lower = spoiled_lower, higher = spoiled_higher;
    struct store_transition *rows[2] = { NULL, NULL };
    for (size_t i = 0; i < batch->write_count; i++) {
        const struct store_write *write = &batch->writes[i];
        if (write->kind == STORE_TRANSITION_INSERT && write->transition->branch == lower)
            rows[0] = write->transition;
        if (write->kind == STORE_TRANSITION_INSERT && write->transition->branch == higher)
            rows[1] = write->transition;
    }
    if (rows[0] == NULL || rows[1] == NULL)
        return false;
    rows[0]->number = 1; /* exists */
    return true;
}

static store_number run_number(struct fixture *fixture, uint64_t number)
{
    char name[24];
    ledger_name(name, sizeof(name), number);
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct mailbox mailbox;
    mailbox_init(&mailbox, NULL, NULL);
    struct store_read read = { .kind = STORE_READ_CURRENT_RUN,
                               .namespace_number = 1,
                               .workflow_id = bytes_of_text(name),
                               .arena = &arena,
                               .home = &mailbox,
                               .message = { .run = ignore } };
    store_read(fixture->store.inner, &read);
    while (mailbox_take(&mailbox) == NULL)
        CHECK(store_memory_step(fixture->store.inner));
    CHECK_EQ(read.run_count, 1);
    store_number ret = read.runs[0].number;
    arena_release(&arena);
    return ret;
}

/* Two messages of one link in one batch; the store refuses one of them, and the process dies, at once or later. The row of
 * the link must not say of the refused one that it was received, nor the other way round. */
static void refuse_one_of_two(bool first, bool at_once)
{
    struct fixture fixture;
    uint64_t       near = 1, far = 2;
    while (range_of(far) != range_of(near))
        far++;
    fixture_init(&fixture, true, 1);
    open_ledgers(&fixture);
    char name[24];
    ledger_name(name, sizeof(name), far);
    CHECK_INT(fixture_call(&fixture, name, LEDGER_START, 1, 0).base.error.code, ST_OK);
    spoiled_lower = run_number(&fixture, first ? near : far);
    spoiled_higher = run_number(&fixture, first ? far : near);
    fixture.store.spoil = spoil_one_target;
    struct ledger_request *sent[] = { send_amount(&fixture, 0, near, 100, 5),
                                      send_amount(&fixture, 0, far, 101, 7) };
    for (int i = 0; i < 1000 && fixture.store.spoil != NULL; i++) {
        turns(&fixture);
        if (fixture.store.spoil != NULL)
            (void)store_memory_step(fixture.store.inner);
    }
    CHECK(fixture.store.spoil == NULL);
    CHECK(store_memory_step(fixture.store.inner)); /* it is stored, but for what was refused */
    turns(&fixture);
    for (int i = 0; !at_once && i < 3; i++)
        fixture_settle(&fixture);
    fixture_crash(&fixture);
    fixture_settle(&fixture);
    fixture_settle(&fixture);
    CHECK_EQ(total(&fixture, 0), -12);
    CHECK_EQ(total(&fixture, near), 5);
    CHECK_EQ(total(&fixture, far), 7);
    CHECK_EQ(stored_messages(&fixture), 0);
    for (size_t i = 0; i < ARRAY_COUNT(sent); i++)
        fixture_forget(sent[i]);
    fixture_release(&fixture);
}

TEST(one_of_two_messages_of_a_link_is_refused_and_the_process_dies)
{
    for (int i = 0; i < 4; i++)
        refuse_one_of_two(i % 2 == 0, i / 2 == 0);
}

/* A caller that sends once, and asks again when it heard nothing. */
struct caller {
    uint64_t               from, to, id;
    struct ledger_request *request;
    bool                   acknowledged;
};
#define CALLERS 40

static int64_t amount_of(size_t caller)
{
    return 1 + (int64_t)caller;
}

static bool opens(const struct caller *caller)
{
    return caller->to >= LEDGERS && caller->to < LEDGERS + OPENED;
}

static struct ledger_request *caller_ask(struct fixture *fixture, const struct caller *caller, size_t at)
{
    return (opens(caller) ? send_opening : send_amount)(fixture, caller->from, caller->to, caller->id,
                                                        amount_of(at));
}

static void caller_send(struct fixture *fixture, struct caller *callers, size_t at, struct random *random)
{
    struct caller *caller = &callers[at];
    if (caller->request != NULL || caller->acknowledged)
        return;
    if (caller->id == 0) {
        caller->from = random_below(random, LEDGERS);
        caller->to = random_below(random, LEDGERS + OPENED + ABSENT);
        caller->id = 1000 + at;
    }
    caller->request = caller_ask(fixture, caller, at);
}

/* Takes the answers that are there; all calls end when the process has died. */
static void callers_hear(struct caller *callers, bool died)
{
    for (size_t i = 0; i < CALLERS; i++) {
        struct ledger_request *request = callers[i].request;
        if (request == NULL || (request->answers == 0 && !died))
            continue;
        callers[i].acknowledged = request->answers == 1 && request->base.error.code == ST_OK;
        fixture_forget(request);
        callers[i].request = NULL;
    }
}

static void fail_a_batch(struct fixture *fixture, struct random *random)
{
    static const enum store_outcome bad[] = { STORE_ABORTED, STORE_LOST_FENCE, STORE_FULL };
    enum store_outcome              outcome = bad[random_below(random, ARRAY_COUNT(bad))];
    if (fixture->store.outcome_count != 0)
        return;
    fixture->store.outcomes[fixture->store.outcome_count++] = outcome;
    if (outcome == STORE_FULL)
        fixture->store.outcomes[fixture->store.outcome_count++] = outcome;
}

static void random_step(struct fixture *fixture, struct caller *callers, struct random *random)
{
    uint64_t what = random_below(random, 240);
    if (what < 20)
        caller_send(fixture, callers, (size_t)random_below(random, CALLERS), random);
    else if (what < 22)
        fail_a_batch(fixture, random);
    else if (what < 23)
        fixture_crash(fixture);
    else if (what < 43)
        fixture_advance(fixture, (int64_t)random_below(random, 20 * NS_PER_MS));
    else if (what < 100)
        (void)store_memory_step(fixture->store.inner);
    else
        lane_turn(
            runtime_lane(fixture->runtime, (uint32_t)random_below(random, fixture->options.lane_count)));
    callers_hear(callers, what == 22);
}

/* Sends at random, with crashes between any two steps of the store, evictions, and batches that fail in every way that can
 * be recovered. At the end the sum is zero and what was acknowledged has arrived. */
static void run_random(uint64_t seed)
{
    struct random  random;
    struct fixture fixture;
    struct caller  callers[CALLERS] = { 0 };
    int64_t        expected[LEDGERS + OPENED] = { 0 };
    bool           is_open[LEDGERS + OPENED] = { 0 };
    random_seed(&random, seed);
    fixture_init(&fixture, true, 1 + (uint32_t)random_below(&random, 3));
    if (random_below(&random, 2) == 0)
        fixture.options.memory_limit = 4000;
    fixture.options.second_after = 1 + random_below(&random, 20);
    fixture_crash(&fixture);
    open_ledgers(&fixture);
    for (int step = 0; step < 1500; step++)
        random_step(&fixture, callers, &random);
    fixture.store.outcome_count = 0;
    for (int i = 0; i < 5; i++) {
        fixture_advance(&fixture, 2 * NS_PER_S);
        fixture_settle(&fixture);
    }
    callers_hear(callers, false);
    /* Those whose answer never came happened or not: asked again, they happen once. */
    for (size_t i = 0; i < CALLERS; i++) {
        if (callers[i].id == 0)
            continue;
        CHECK_PTR(callers[i].request, NULL);
        struct ledger_request *again = caller_ask(&fixture, &callers[i], i);
        fixture_settle(&fixture);
        CHECK_INT(again->base.error.code, ST_OK);
        fixture_forget(again);
        if (callers[i].to >= LEDGERS + OPENED)
            continue;
        int64_t moves = amount_of(i) - (opens(&callers[i]) ? 1 : 0);
        expected[callers[i].from] -= moves;
        expected[callers[i].to] += moves;
        is_open[callers[i].to] = true;
    }
    for (uint64_t i = 0; i < LEDGERS + OPENED; i++) {
        if (i >= LEDGERS && !is_open[i])
            continue;
        int64_t is = total(&fixture, i);
        if (is != expected[i])
            fail_msg("seed %" PRIu64 ": ledger %" PRIu64 " has %" PRId64 ", not %" PRId64, seed, i, is,
                     expected[i]);
    }
    CHECK_EQ(stored_messages(&fixture), 0);
    fixture_release(&fixture);
}

TEST(nothing_is_lost_or_comes_twice_whatever_dies_when)
{
    for (uint64_t seed = 1; seed <= 150; seed++)
        run_random(seed);
}
