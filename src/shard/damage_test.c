/* damage_test.c: a store whose answers are damaged, incomplete, late or none: who asked is told, nobody else notices, and
 * nothing that was read that way is believed afterwards. */
#include <stdio.h>

#include "base/testing.h"
#include "shard/shard_internal.h"
#include "shard/test_fixture.h"

/* --- answers that were changed on their way --- */

static enum store_read_kind struck_kind;
static int32_t              struck_entity_kind;

static bool is_meant(const struct store_read *read)
{
    return read->kind == struck_kind &&
           (struck_kind != STORE_READ_ENTITIES || read->entity_kind == struck_entity_kind);
}

static bool answer_failed(struct store_read *read)
{
    if (!is_meant(read))
        return false;
    read->status = error_set(&read->error, ST_UNAVAILABLE, "scripted");
    return true;
}

static bool answer_exhausted(struct store_read *read)
{
    if (!is_meant(read))
        return false;
    read->status = error_set(&read->error, ST_RESOURCE_EXHAUSTED, "scripted");
    return true;
}

static bool flip(struct store_read *read)
{
    if (!is_meant(read) || read->transition_count == 0)
        return false;
    struct store_transition *row = &read->transitions[0];
    uint8_t                 *copy = arena_must(arena_alloc(read->arena, row->events.size));
    memcpy(copy, row->events.base, row->events.size);
    copy[row->events.size / 2] ^= 1;
    row->events.base = copy;
    return true;
}

static bool cut(struct store_read *read)
{
    if (!is_meant(read) || read->transition_count < 2)
        return false;
    read->transition_count = 2;
    read->more = false;
    return true;
}

/* The first row of the answer is missing. */
static bool answer_skips(struct store_read *read)
{
    if (!is_meant(read) || read->transition_count < 3)
        return false;
    read->transitions++;
    read->transition_count--;
    return true;
}

static bool empty(struct store_read *read)
{
    if (!is_meant(read))
        return false;
    read->transition_count = 0;
    read->more = false;
    return true;
}

static void strike(struct fixture *fixture, enum store_read_kind kind,
                   bool (*answer)(struct store_read *read))
{
    struck_kind = kind;
    fixture->store.answer = answer;
}

static struct ledger_request add_padded(struct fixture *fixture, const char *id, uint64_t request_id,
                                        size_t padding)
{
    struct ledger_request *add = fixture_request(id, LEDGER_ADD);
    add->request_id = request_id;
    add->amount = 1;
    add->padding = padding;
    lane_submit(runtime_lane(fixture->runtime, 0), &add->base);
    fixture_settle(fixture);
    CHECK_INT(add->answers, 1);
    CHECK_INT(add->base.error.code, ST_OK);
    struct ledger_request answer = *add;
    fixture_forget(add);
    return answer;
}

/* As fixture_call, for what takes many pages. */
static struct ledger_request call_long(struct fixture *fixture, enum ledger_command command,
                                       uint64_t request_id, int64_t amount)
{
    struct ledger_request *request = fixture_submit(fixture, "a", command, request_id, amount);
    for (int i = 0; i < 5; i++)
        fixture_settle(fixture);
    CHECK_INT(request->answers, 1);
    struct ledger_request answer = *request;
    fixture_forget(request);
    return answer;
}

/* --- at the start --- */

static bool shorten_clock(struct store_read *read)
{
    if (!is_meant(read) || read->entity_count == 0)
        return false;
    read->entities[0].state.size--;
    return true;
}

static bool add_bad_namespace(struct store_read *read)
{
    if (!is_meant(read))
        return false;
    read->entities = ARENA_NEW(read->arena, struct store_entity);
    *read->entities = (struct store_entity){ .kind = ENTITY_NAMESPACES,
                                             .key = BYTES("n"),
                                             .state = BYTES("\xff\xff") };
    read->entity_count = 1;
    return true;
}

static bool bad_source(struct store_read *read)
{
    if (!is_meant(read) || read->link_count == 0)
        return false;
    read->links[0].source_range = SHARD_RANGE_COUNT;
    return true;
}

static bool bad_target(struct store_read *read)
{
    if (!is_meant(read) || read->link_count == 0)
        return false;
    read->links[0].target_range = -1;
    return true;
}

TEST(a_server_does_not_start_on_rows_that_it_cannot_read)
{
    static const struct {
        enum store_read_kind kind;
        enum entity_kind_id  entity_kind;
        bool (*answer)(struct store_read *read);
        enum status expected;
    } cases[] = {
        { STORE_READ_ENTITIES, ENTITY_CLOCK, answer_failed, ST_UNAVAILABLE },
        { STORE_READ_ENTITIES, ENTITY_CLOCK, shorten_clock, ST_DATA_LOSS },
        { STORE_READ_ENTITIES, ENTITY_NAMESPACES, answer_failed, ST_UNAVAILABLE },
        { STORE_READ_ENTITIES, ENTITY_NAMESPACES, add_bad_namespace, ST_DATA_LOSS },
        { STORE_READ_LINKS, 0, answer_failed, ST_UNAVAILABLE },
        { STORE_READ_LINKS, 0, bad_source, ST_DATA_LOSS },
        { STORE_READ_LINKS, 0, bad_target, ST_DATA_LOSS },
        { STORE_READ_OUTBOX, 0, answer_failed, ST_UNAVAILABLE },
    };
    struct fixture fixture;
    fixture_init(&fixture, false, 2);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
    struct ledger_request *send = fixture_request("a", LEDGER_SEND);
    send->to = BYTES("b");
    send->amount = 3;
    send->request_id = 2;
    lane_submit(runtime_lane(fixture.runtime, 0), &send->base);
    fixture_settle(&fixture);
    fixture_forget(send);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error error;
        runtime_abandon(fixture.runtime);
        struck_entity_kind = (int32_t)cases[i].entity_kind;
        strike(&fixture, cases[i].kind, cases[i].answer);
        CHECK_INT(runtime_new(&fixture.options, &fixture.runtime, &error), cases[i].expected);
        CHECK(fixture.store.answer == NULL);
        fixture_boot(&fixture);
    }
    CHECK_EQ(fixture_call(&fixture, "b", LEDGER_READ, 0, 0).total, 3);
    fixture_release(&fixture);
}

/* --- forks --- */

TEST(a_fork_of_what_cannot_be_read_fails_and_changes_nothing)
{
    static const struct {
        bool (*answer)(struct store_read *read);
        enum status expected;
    } cases[] = {
        { answer_failed, ST_UNAVAILABLE },
        { answer_exhausted, ST_UNAVAILABLE },
        { flip, ST_DATA_LOSS },
        { cut, ST_DATA_LOSS },
        { empty, ST_DATA_LOSS },
        { answer_skips, ST_DATA_LOSS },
    };
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 10; i++)
        (void)fixture_call(&fixture, "a", LEDGER_ADD, i, 1);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        strike(&fixture, STORE_READ_HISTORY, cases[i].answer);
        CHECK_INT(fixture_call(&fixture, "a", LEDGER_FORK, 100 + i, 5).base.error.code, cases[i].expected);
        CHECK(fixture.store.answer == NULL);
        CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 10);
    }
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_FORK, 200, 5).base.error.code, ST_OK);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).sum, 9);
    fixture_release(&fixture);
}

TEST(a_fork_keeps_no_more_than_one_row_can_hold)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 10; i++)
        (void)add_padded(&fixture, "a", i, 1U << 20);
    CHECK_INT(call_long(&fixture, LEDGER_FORK, 100, 2).base.error.code, ST_INVALID_ARGUMENT);
    CHECK_INT(call_long(&fixture, LEDGER_FORK, 100, 6).base.error.code, ST_OK);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 9);
    fixture_release(&fixture);
}

/* A server that ends frees its lanes when they are idle. */
TEST(a_lane_is_not_idle_while_a_fork_is_read)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 10; i++)
        (void)fixture_call(&fixture, "a", LEDGER_ADD, i, 1);
    fixture_settle(&fixture);
    struct lane *lane = runtime_lane(fixture.runtime, 0);
    CHECK(lane_idle(lane));
    fixture.store.hold_read = true;
    struct ledger_request *fork = fixture_submit(&fixture, "a", LEDGER_FORK, 100, 5);
    fixture_turn(&fixture);
    CHECK(fixture.store.held_read != NULL);
    CHECK(!lane_idle(lane));
    scripted_read_let_go(&fixture.store);
    fixture_settle(&fixture);
    CHECK(lane_idle(lane));
    CHECK_INT(fork->base.error.code, ST_OK);
    fixture_forget(fork);
    fixture_release(&fixture);
}

/* --- histories --- */

static void page_done(struct history_read *read)
{
    read->branch = 0;
}

static struct history_read page_of(struct fixture *fixture, struct arena *arena, store_number run,
                                   bool backward, size_t size_limit)
{
    struct history_read read = { .arena = arena,
                                 .namespace_number = 1,
                                 .business_id = BYTES("a"),
                                 .branch = run,
                                 .first = 1,
                                 .last = 10,
                                 .backward = backward,
                                 .size_limit = size_limit,
                                 .done = page_done };
    lane_read_history(runtime_lane(fixture->runtime, 0), &read);
    fixture_settle(fixture);
    CHECK_EQ(read.branch, 0);
    return read;
}

TEST(a_page_of_a_history_that_cannot_be_read_says_so)
{
    static const struct {
        bool (*answer)(struct store_read *read);
        enum status expected;
    } cases[] = {
        { answer_failed, ST_UNAVAILABLE }, { flip, ST_DATA_LOSS },         { cut, ST_DATA_LOSS },
        { empty, ST_NOT_FOUND },           { answer_skips, ST_DATA_LOSS },
    };
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    store_number run = fixture_call(&fixture, "a", LEDGER_START, 1, 0).number;
    for (uint64_t i = 2; i <= 10; i++)
        (void)fixture_call(&fixture, "a", LEDGER_ADD, i, 1);
    fixture_crash(&fixture); /* nothing of it is in memory */
    for (size_t i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
        struct arena arena;
        arena_init(&arena, SIZE_MAX);
        strike(&fixture, STORE_READ_HISTORY, cases[i / 2].answer);
        struct history_read read = page_of(&fixture, &arena, run, i % 2 == 1, 0);
        CHECK_INT(read.error.code, cases[i / 2].expected);
        CHECK_EQ(read.next, 0);
        CHECK(fixture.store.answer == NULL);
        arena_release(&arena);
    }
    for (int backward = 0; backward < 2; backward++) {
        struct arena arena;
        arena_init(&arena, SIZE_MAX);
        struct history_read read = page_of(&fixture, &arena, run, backward == 1, 1);
        CHECK_INT(read.error.code, ST_OK);
        CHECK(read.event_count >= 1 && read.next != 0);
        arena_release(&arena);
    }
    fixture_release(&fixture);
}

TEST(a_decision_whose_history_cannot_be_read_fails)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 20; i++)
        (void)add_padded(&fixture, "a", i, 4096); /* the tail in memory is shorter */
    strike(&fixture, STORE_READ_HISTORY, answer_failed);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).base.error.code, ST_UNAVAILABLE);
    strike(&fixture, STORE_READ_HISTORY, flip);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).base.error.code, ST_DATA_LOSS);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).sum, 19);
    fixture_release(&fixture);
}

TEST(a_decision_that_needs_more_history_than_memory_takes_fails)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 10; i++)
        (void)add_padded(&fixture, "a", i, 2U << 20);
    CHECK_INT(call_long(&fixture, LEDGER_SUM, 0, 0).base.error.code, ST_INTERNAL);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 9);
    fixture_release(&fixture);
}

TEST(a_decision_that_asks_for_what_it_cannot_have_is_not_asked_for_ever)
{
    static const struct {
        int64_t from;
        int64_t to;
    } ranges[] = { { 0, 2 }, { 1, 4 }, { 3, 2 }, { 1, 3 } };
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_ADD, 2, 1);
    (void)fixture_call(&fixture, "a", LEDGER_ADD, 3, 1);
    for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
        struct ledger_request answer = fixture_call(&fixture, "a", LEDGER_ASK, (uint64_t)ranges[i].to,
                                                    ranges[i].from);
        CHECK_INT(answer.base.error.code, ST_INTERNAL);
    }
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 2);
    fixture_release(&fixture);
}

/* --- loads --- */

static bool bad_snapshot(struct store_read *read)
{
    if (!is_meant(read) || read->run_count == 0)
        return false;
    read->runs[0].snapshot = BYTES("\x02");
    return true;
}

TEST(a_run_of_several_pages_loads_or_says_why_not)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    fixture.options.snapshot_after = 1U << 30;
    fixture_crash(&fixture);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 40; i++)
        (void)add_padded(&fixture, "a", i, 20000);
    fixture_crash(&fixture);
    strike(&fixture, STORE_READ_HISTORY, answer_failed); /* the second page */
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_UNAVAILABLE);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 39);
    fixture_crash(&fixture);
    strike(&fixture, STORE_READ_CURRENT_RUN, answer_exhausted);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_RESOURCE_EXHAUSTED);
    strike(&fixture, STORE_READ_CURRENT_RUN, bad_snapshot);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_DATA_LOSS);
    fixture_crash(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 39);
    fixture_release(&fixture);
}

enum { MANY = 100 }; /* more than may be at the store at once */

static void submit_many(struct fixture *fixture, struct ledger_request **requests)
{
    for (int i = 0; i < MANY; i++) {
        char name[24];
        snprintf(name, sizeof(name), "absent-%d", i);
        requests[i] = fixture_submit(fixture, name, LEDGER_READ, 0, 0);
    }
}

TEST(loads_take_their_turns)
{
    struct fixture         fixture;
    struct ledger_request *requests[MANY];
    fixture_init(&fixture, true, 1);
    fixture_run(&fixture);
    int reads = fixture.store.reads;
    submit_many(&fixture, requests);
    fixture_turn(&fixture);
    CHECK(fixture.store.reads - reads <= LOADS_MAX);
    fixture_settle(&fixture);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(requests[i]->answers, 1);
        CHECK_INT(requests[i]->base.error.code, ST_NOT_FOUND);
        fixture_forget(requests[i]);
    }
    fixture_release(&fixture);
}

static void make_long_ledger(struct fixture *fixture, const char *id)
{
    (void)fixture_call(fixture, id, LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 20; i++)
        (void)add_padded(fixture, id, i, 4096);
}

/* What is read for those who were told to come again comes back to nobody, whether it was at the store or in the queue. */
TEST(a_lost_fence_forgets_reads_under_way_and_reads_that_wait)
{
    struct fixture         fixture;
    struct ledger_request *requests[MANY], *others[7];
    fixture_init(&fixture, true, 1);
    const char *names[] = { "a", "b", "c" };
    for (int i = 0; i < 3; i++)
        make_long_ledger(&fixture, names[i]);
    others[0] = fixture_submit(&fixture, "a", LEDGER_SUM, 0, 0);
    others[1] = fixture_submit(&fixture, "b", LEDGER_FORK, 100, 5);
    submit_many(&fixture, requests);
    others[2] = fixture_submit(&fixture, "a", LEDGER_SUM, 0, 0);
    others[3] = fixture_submit(&fixture, "b", LEDGER_FORK, 101, 5);
    others[4] = fixture_submit(&fixture, "b", LEDGER_SUM, 0, 0);
    fixture_turn(&fixture);
    fixture.store.outcomes[0] = STORE_LOST_FENCE;
    fixture.store.outcome_count = 1;
    others[5] = fixture_submit(&fixture, "c", LEDGER_ADD, 100, 5);
    fixture_settle(&fixture);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(others[i]->answers, 1);
        CHECK_INT(others[i]->base.error.code, ST_UNAVAILABLE);
        fixture_forget(others[i]);
    }
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(requests[i]->answers, 1);
        fixture_forget(requests[i]);
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(fixture_call(&fixture, names[i], LEDGER_SUM, 0, 0).sum, 19);
    fixture_release(&fixture);
}

TEST(requests_that_wait_for_histories_and_forks_are_bounded_too)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    make_long_ledger(&fixture, "a");
    struct ledger_request **requests = xcalloc(LOAD_WAITERS_MAX, sizeof(*requests));
    for (size_t i = 0; i < LOAD_WAITERS_MAX; i++)
        requests[i] = fixture_submit(&fixture, "absent", LEDGER_READ, 0, 0);
    for (int i = 0; i < 100; i++)
        fixture_turn(&fixture);
    struct ledger_request *sum = fixture_submit(&fixture, "a", LEDGER_SUM, 0, 0);
    struct ledger_request *fork = fixture_submit(&fixture, "a", LEDGER_FORK, 100, 5);
    struct arena           arena;
    arena_init(&arena, SIZE_MAX);
    struct history_read page = { .arena = &arena,
                                 .namespace_number = 1,
                                 .business_id = BYTES("a"),
                                 .branch = 1,
                                 .first = 1,
                                 .last = 10,
                                 .done = page_done };
    lane_read_history(runtime_lane(fixture.runtime, 0), &page);
    fixture_turn(&fixture);
    fixture_turn(&fixture);
    CHECK_INT(page.error.code, ST_RESOURCE_EXHAUSTED);
    CHECK_INT(sum->base.error.code, ST_RESOURCE_EXHAUSTED);
    CHECK_INT(fork->base.error.code, ST_RESOURCE_EXHAUSTED);
    for (int i = 0; i < 100; i++)
        fixture_run(&fixture);
    for (size_t i = 0; i < LOAD_WAITERS_MAX; i++) {
        CHECK_INT(requests[i]->answers, 1);
        fixture_forget(requests[i]);
    }
    free(requests);
    fixture_forget(sum);
    fixture_forget(fork);
    arena_release(&arena);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).sum, 19);
    fixture_release(&fixture);
}

/* --- two batches, both of which end badly --- */

static void two_batches(struct fixture *fixture, enum store_outcome first, enum store_outcome second,
                        struct ledger_request **ret_first, struct ledger_request **ret_second)
{
    fixture_init(fixture, true, 1);
    fixture->options.second_after = 1;
    fixture_crash(fixture);
    (void)fixture_call(fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(fixture, "b", LEDGER_START, 1, 0);
    fixture_run(fixture);
    fixture->store.hold_answers = true;
    fixture->store.outcomes[0] = first;
    fixture->store.outcome_count = 1;
    *ret_first = fixture_submit(fixture, "a", LEDGER_ADD, 2, 1);
    fixture_turn(fixture);
    CHECK(fixture->store.held != NULL);
    fixture->store.hold_answers = false;
    fixture->store.outcomes[0] = second;
    fixture->store.outcome_count = 1;
    *ret_second = fixture_submit(fixture, "b", LEDGER_ADD, 2, 1);
    fixture_turn(fixture);
    CHECK_EQ(fixture->store.outcome_count, 0);
    fixture->store.outcomes[0] = first; /* for a full disk: the second try */
    fixture->store.outcome_count = first == STORE_FULL ? 1 : 0;
    scripted_let_go(&fixture->store);
    fixture_run(fixture);
    fixture_run(fixture);
}

TEST(a_second_batch_that_lost_the_fence_takes_a_first_without_space_with_it)
{
    struct fixture         fixture;
    struct ledger_request *first, *second;
    two_batches(&fixture, STORE_FULL, STORE_LOST_FENCE, &first, &second);
    CHECK_INT(first->answers + second->answers, 2);
    CHECK_INT(first->base.error.code, ST_UNAVAILABLE);
    CHECK_INT(second->base.error.code, ST_UNAVAILABLE);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 0);
    CHECK_EQ(fixture_call(&fixture, "b", LEDGER_READ, 0, 0).total, 0);
    fixture_forget(first);
    fixture_forget(second);
    fixture_release(&fixture);
}

TEST(a_second_batch_of_unknown_outcome_stops_everything)
{
    struct fixture         fixture;
    struct ledger_request *first, *second;
    two_batches(&fixture, STORE_LOST_FENCE, STORE_UNKNOWN, &first, &second);
    CHECK_INT(fixture.fatal, 1);
    CHECK_INT(first->answers + second->answers, 0);
    fixture_crash(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 0);
    fixture_forget(first);
    fixture_forget(second);
    fixture_release(&fixture);
}

/* --- work behind the scenes --- */

static bool add_bad_deletions(struct store_read *read)
{
    static const uint8_t key[DELETION_KEY_SIZE] = { SHARD_RANGE_COUNT };
    static const uint8_t number[ROW_NUMBER_SIZE];
    if (!is_meant(read))
        return false;
    const struct bytes   good_key = bytes_of(number, sizeof(number)); /* too short, but for this */
    struct store_entity *rows = ARENA_NEW_ARRAY(read->arena, struct store_entity, read->entity_count + 4);
    struct bytes         first = { (const uint8_t *)"\0\0\0\0\0\0\0\0\0", DELETION_KEY_SIZE };
    rows[0] = (struct store_entity){ .key = good_key, .state = good_key };
    rows[1] = (struct store_entity){ .key = first, .state = bytes_of(number, ROW_NUMBER_SIZE - 1) };
    rows[2] = (struct store_entity){ .key = first };
    rows[3] = (struct store_entity){ .key = bytes_of(key, sizeof(key)), .state = good_key };
    for (size_t i = 0; i < read->entity_count; i++)
        rows[4 + i] = read->entities[i];
    read->entities = rows;
    read->entity_count += 4;
    return true;
}

TEST(damaged_rows_of_deletions_are_passed_over)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_ADD, 2, 1);
    struck_entity_kind = ENTITY_DELETION;
    strike(&fixture, STORE_READ_ENTITIES, add_bad_deletions);
    (void)fixture_call(&fixture, "a", LEDGER_DELETE, 3, 0);
    for (int i = 0; i < 5; i++)
        fixture_settle(&fixture);
    CHECK(fixture.store.answer == NULL);
    struct store_read read = { .kind = STORE_READ_ENTITIES, .entity_kind = ENTITY_DELETION };
    struct arena      arena;
    arena_init(&arena, SIZE_MAX);
    read.arena = &arena;
    store_read_blocking(fixture.store.inner, &read, NULL, NULL);
    CHECK_EQ(read.entity_count, 0); /* the good one was worked on */
    arena_release(&arena);
    fixture_release(&fixture);
}

enum use_damage { USE_SHORT_KEY, USE_LONG_STATE, USE_OF_NOTHING, USE_DAMAGES };

static enum use_damage use_damage;

static bool damage_use(struct store_read *read)
{
    static const uint8_t zeros[BRANCH_USE_KEY_SIZE];
    if (!is_meant(read) || read->entity_count == 0)
        return false;
    struct store_entity *row = &read->entities[0];
    if (use_damage == USE_SHORT_KEY)
        row->key.size--;
    else
        row->state = bytes_of(zeros, use_damage == USE_LONG_STATE ? sizeof(zeros) : ROW_NUMBER_SIZE);
    return true;
}

static size_t deletions_stored(struct fixture *fixture)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct store_read read = { .kind = STORE_READ_ENTITIES, .entity_kind = ENTITY_DELETION, .arena = &arena };
    store_read_blocking(fixture->store.inner, &read, NULL, NULL);
    arena_release(&arena);
    return read.entity_count;
}

/* What may be the beginning of another run's history is not deleted; what is to be deleted besides goes all the same. */
TEST(a_deletion_stops_at_a_damaged_row_of_who_uses_its_history)
{
    for (use_damage = 0; use_damage < USE_DAMAGES; use_damage++) {
        struct fixture fixture;
        fixture_init(&fixture, false, 1);
        struct ledger_request first = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
        for (uint64_t i = 2; i <= 10; i++)
            (void)fixture_call(&fixture, "a", LEDGER_ADD, i, 1);
        CHECK_INT(fixture_call(&fixture, "a", LEDGER_FORK, 100, 5).base.error.code, ST_OK);
        (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
        struck_entity_kind = ENTITY_BRANCH_USE;
        strike(&fixture, STORE_READ_ENTITIES, damage_use);
        struct ledger_request *gone = fixture_request("a", LEDGER_DELETE);
        gone->base.has_run_id = true;
        gone->base.run_id = first.run_id;
        lane_submit(runtime_lane(fixture.runtime, 0), &gone->base);
        for (int i = 0; i < 5; i++)
            fixture_settle(&fixture);
        CHECK(fixture.store.answer == NULL);
        CHECK_INT(gone->base.error.code, ST_OK);
        fixture_forget(gone);
        CHECK_EQ(deletions_stored(&fixture), 1);
        fixture_crash(&fixture);
        CHECK_EQ(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).sum, 9);
        (void)fixture_call(&fixture, "b", LEDGER_DELETE, 3, 0);
        for (int i = 0; i < 5; i++) /* the row was only read wrongly: now it is as it was */
            fixture_settle(&fixture);
        CHECK_EQ(deletions_stored(&fixture), 0);
        CHECK_EQ(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).sum, 9);
        fixture_release(&fixture);
    }
}

static bool more_identities(struct store_read *read)
{
    if (!is_meant(read) || read->identity_count == 0)
        return false;
    read->more = true;
    return true;
}

TEST(the_ids_that_are_known_are_read_in_pages_and_again_after_a_failure)
{
    for (int variant = 0; variant < 4; variant++) {
        struct fixture fixture;
        fixture_init(&fixture, false, 1);
        (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
        fixture.options.know_ids = true;
        fixture_crash(&fixture);
        struct lane *lane = runtime_lane(fixture.runtime, 0);
        int          reads = fixture.store.reads;
        if (variant == 0) {
            strike(&fixture, STORE_READ_IDENTITIES, more_identities);
        } else if (variant == 1) {
            strike(&fixture, STORE_READ_IDENTITIES, answer_failed);
        } else if (variant == 2) {
            lane_drain(lane);
        } else {
            lane_turn(lane); /* the page is under way */
            lane_drain(lane);
        }
        for (int i = 0; i < 3; i++)
            fixture_settle(&fixture);
        CHECK(lane->known_fill == NULL);
        CHECK(lane->known_complete == (variant < 2));
        CHECK(variant >= 2 || fixture.store.reads >= reads + 2);
        CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_OK);
        fixture_release(&fixture);
    }
}
