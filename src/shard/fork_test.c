/* fork_test.c: runs that begin as another one's beginning, and runs that go: rows that are shared, whatever dies when. */
#include "base/random.h"
#include "base/testing.h"
#include "shard/test_fixture.h"

#define LEDGERS  3
#define RUNS_MAX 256

/* --- asking --- */

static void ignore(struct message *message UNUSED) {}

static struct ledger_request ask_run(struct fixture *fixture, const char *id, const struct uuid *run,
                                     enum ledger_command command, int64_t amount)
{
    struct ledger_request *request = fixture_request(id, command);
    static uint64_t        ids = 1000000;
    request->request_id = ++ids;
    request->amount = amount;
    if (run != NULL && command == LEDGER_FORK) {
        request->to_run = true;
        request->target_run = *run;
    } else if (run != NULL) {
        request->base.has_run_id = true;
        request->base.run_id = *run;
    }
    lane_submit(runtime_lane(fixture->runtime, 0), &request->base);
    fixture_settle(fixture);
    CHECK_INT(request->answers, 1);
    struct ledger_request answer = *request;
    fixture_forget(request);
    return answer;
}

static void page_done(struct history_read *read)
{
    read->branch = 0;
}

/* The ids of a run's events in pages of `limit`, both ways: dense, from 1 to `events`. */
static void check_pages(struct fixture *fixture, const char *id, const struct ledger_request *run,
                        const struct history_segment *prefix, size_t prefix_count, size_t limit)
{
    for (int backward = 0; backward < 2; backward++) {
        int64_t expected = backward ? run->last_event_id : 1, next = expected;
        while (next != 0) {
            struct arena arena;
            arena_init(&arena, SIZE_MAX);
            struct history_read read = { .arena = &arena,
                                         .namespace_number = 1,
                                         .business_id = bytes_of_text(id),
                                         .branch = run->number,
                                         .prefix = prefix,
                                         .prefix_count = prefix_count,
                                         .first = backward ? 1 : next,
                                         .last = backward ? next : run->last_event_id,
                                         .backward = backward != 0,
                                         .count_limit = limit,
                                         .done = page_done };
            lane_read_history(runtime_lane(fixture->runtime, 0), &read);
            fixture_settle(fixture);
            CHECK_EQ(read.branch, 0);
            CHECK_INT(read.error.code, ST_OK);
            CHECK(read.event_count != 0);
            for (size_t i = 0; i < read.event_count; i++) {
                struct ledger_event_bytes event;
                memcpy(&event, read.events[i].base, sizeof(event));
                CHECK_EQ(event.id, expected);
                expected += backward ? -1 : 1;
            }
            next = read.next;
            arena_release(&arena);
        }
        CHECK_EQ(expected, backward ? 0 : run->last_event_id + 1);
    }
}

static size_t count_entities(struct fixture *fixture, enum entity_kind_id kind)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct mailbox mailbox;
    mailbox_init(&mailbox, NULL, NULL);
    struct store_read read = { .kind = STORE_READ_ENTITIES, .entity_kind = (int32_t)kind, .arena = &arena };
    read.home = &mailbox;
    read.message.run = ignore;
    store_read(fixture->store.inner, &read);
    while (atomic_load(&mailbox.newest) == NULL && store_memory_step(fixture->store.inner))
        ;
    CHECK_INT(read.status, ST_OK);
    size_t count = read.entity_count;
    arena_release(&arena);
    return count;
}

static size_t count_rows(struct fixture *fixture, store_number branch)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct mailbox mailbox;
    mailbox_init(&mailbox, NULL, NULL);
    struct store_read read = {
        .kind = STORE_READ_HISTORY, .number = branch, .from = 1, .to = INT64_MAX, .arena = &arena
    };
    read.home = &mailbox;
    read.message.run = ignore;
    store_read(fixture->store.inner, &read);
    while (atomic_load(&mailbox.newest) == NULL && store_memory_step(fixture->store.inner))
        ;
    CHECK_INT(read.status, ST_OK);
    size_t count = read.transition_count;
    arena_release(&arena);
    return count;
}

/* --- one after the other --- */

TEST(a_fork_shares_the_beginning)
{
    for (int crash = 0; crash < 2; crash++) {
        struct fixture fixture;
        fixture_init(&fixture, false, 1);
        ask_run(&fixture, "a", NULL, LEDGER_START, 0);
        for (int i = 1; i <= 9; i++)
            ask_run(&fixture, "a", NULL, LEDGER_ADD, i);
        struct ledger_request base = ask_run(&fixture, "a", NULL, LEDGER_READ, 0);
        CHECK_EQ(base.total, 45);
        struct ledger_request first = ask_run(&fixture, "a", NULL, LEDGER_FORK, 5);
        CHECK_INT(first.base.error.code, ST_OK);
        if (crash)
            fixture_crash(&fixture);
        first = ask_run(&fixture, "a", NULL, LEDGER_SUM, 0);
        CHECK_EQ(first.last_event_id, 6);
        CHECK_EQ(first.total, 45);
        CHECK_EQ(first.sum, 45);
        ask_run(&fixture, "a", NULL, LEDGER_ADD, 100);
        /* Another one from within the shared part, and one from behind it. */
        struct ledger_request second = ask_run(&fixture, "a", &first.run_id, LEDGER_FORK, 3);
        CHECK_EQ(ask_run(&fixture, "a", NULL, LEDGER_SUM, 0).sum, 145);
        struct ledger_request third = ask_run(&fixture, "a", &first.run_id, LEDGER_FORK, 7);
        if (crash)
            fixture_crash(&fixture);
        CHECK_EQ(ask_run(&fixture, "a", &third.run_id, LEDGER_SUM, 0).sum, 145);
        struct history_segment of_second[] = { { base.number, 2 } };
        struct history_segment of_third[] = { { base.number, 4 }, { first.number, 6 } };
        for (size_t limit = 1; limit < 4; limit++) {
            second = ask_run(&fixture, "a", &second.run_id, LEDGER_READ, 0);
            third = ask_run(&fixture, "a", &third.run_id, LEDGER_READ, 0);
            check_pages(&fixture, "a", &second, of_second, 1, limit);
            check_pages(&fixture, "a", &third, of_third, 2, limit);
        }
        CHECK_EQ(count_entities(&fixture, ENTITY_BRANCH_USE), 4);
        CHECK_EQ(ask_run(&fixture, "a", &base.run_id, LEDGER_SUM, 0).sum, 45);
        fixture_release(&fixture);
    }
}

TEST(a_run_that_is_written_to_all_the_time_can_be_forked)
{
    struct ledger_request *adds[80];
    struct fixture         fixture;
    size_t                 count = 0;
    fixture_init(&fixture, true, 1);
    for (int i = 0; i < 5; i++)
        ask_run(&fixture, "a", NULL, i == 0 ? LEDGER_START : LEDGER_ADD, i);
    struct ledger_request *fork = NULL;
    while ((fork == NULL || fork->answers == 0) && count < ARRAY_COUNT(adds)) {
        for (int i = 0; i < 2; i++) { /* one batch is under way, another one is open */
            adds[count] = fixture_submit(&fixture, "a", LEDGER_ADD, 100 + count, 10);
            count++;
            fixture_turn(&fixture);
        }
        if (fork == NULL)
            fork = fixture_submit(&fixture, "a", LEDGER_FORK, 1, 4);
        (void)store_memory_step(fixture.store.inner);
        fixture_advance(&fixture, 2 * NS_PER_MS);
    }
    CHECK_INT(fork->answers, 1);
    CHECK_INT(fork->base.error.code, ST_OK);
    fixture_settle(&fixture);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(adds[i]->answers, 1);
        fixture_forget(adds[i]);
    }
    fixture_forget(fork);
    fixture_release(&fixture);
}

/* Two forks of the current run meet. The second one has read it when the first one ends it, but not what it wrote last. */
TEST(a_fork_of_a_run_that_ends_while_it_is_read_has_all_its_events)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    for (int i = 1; i <= 5; i++)
        ask_run(&fixture, "a", NULL, i == 1 ? LEDGER_START : LEDGER_ADD, i);
    struct ledger_request  base = ask_run(&fixture, "a", NULL, LEDGER_READ, 0);
    struct ledger_request *first = fixture_submit(&fixture, "a", LEDGER_FORK, 1, 3);
    struct ledger_request *second = fixture_submit(&fixture, "a", LEDGER_FORK, 2, 4);
    first->to_run = second->to_run = true;
    first->target_run = second->target_run = base.run_id;
    fixture_turn(&fixture);
    struct ledger_request *add = fixture_submit(&fixture, "a", LEDGER_ADD, 3, 100);
    fixture_settle(&fixture);
    CHECK_INT(first->base.error.code, ST_OK);
    CHECK_INT(second->base.error.code, ST_OK);
    CHECK_INT(add->base.error.code, ST_OK);
    CHECK_EQ(ask_run(&fixture, "a", &base.run_id, LEDGER_SUM, 0).sum, base.total + 100);
    CHECK_EQ(ask_run(&fixture, "a", &first->run_id, LEDGER_SUM, 0).sum, base.total + 100);
    CHECK_EQ(ask_run(&fixture, "a", &second->run_id, LEDGER_SUM, 0).sum, base.total + 100);
    fixture_forget(first);
    fixture_forget(second);
    fixture_forget(add);
    fixture_release(&fixture);
}

TEST(rows_go_when_nobody_needs_them)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request base = ask_run(&fixture, "a", NULL, LEDGER_START, 0);
    for (int i = 1; i <= 9; i++)
        ask_run(&fixture, "a", NULL, LEDGER_ADD, i);
    struct ledger_request first = ask_run(&fixture, "a", NULL, LEDGER_FORK, 8);
    struct ledger_request second = ask_run(&fixture, "a", &base.run_id, LEDGER_FORK, 4);
    CHECK_EQ(count_rows(&fixture, base.number), 12);
    CHECK_INT(ask_run(&fixture, "a", &base.run_id, LEDGER_DELETE, 0).base.error.code, ST_OK);
    CHECK_INT(ask_run(&fixture, "a", &base.run_id, LEDGER_READ, 0).base.error.code, ST_NOT_FOUND);
    CHECK_EQ(count_rows(&fixture, base.number), 7);
    CHECK_EQ(ask_run(&fixture, "a", &first.run_id, LEDGER_SUM, 0).sum, 45);
    CHECK_INT(ask_run(&fixture, "a", &first.run_id, LEDGER_DELETE, 0).base.error.code, ST_OK);
    CHECK_EQ(count_rows(&fixture, base.number), 3);
    CHECK_EQ(count_rows(&fixture, first.number), 0);
    fixture_crash(&fixture);
    CHECK_EQ(ask_run(&fixture, "a", NULL, LEDGER_SUM, 0).sum, 45);
    CHECK_INT(ask_run(&fixture, "a", &second.run_id, LEDGER_DELETE, 0).base.error.code, ST_OK);
    CHECK_EQ(count_rows(&fixture, base.number) + count_rows(&fixture, second.number), 0);
    fixture_settle(&fixture);
    CHECK_EQ(count_entities(&fixture, ENTITY_BRANCH_USE) + count_entities(&fixture, ENTITY_DELETION), 0);
    CHECK_INT(ask_run(&fixture, "a", NULL, LEDGER_READ, 0).base.error.code, ST_NOT_FOUND);
    CHECK_INT(ask_run(&fixture, "a", NULL, LEDGER_START, 0).base.error.code, ST_OK);
    fixture_release(&fixture);
}

/* The batch that deletes is sent twice; whoever asks in between must not bring the run back from its row. */
TEST(a_run_that_is_about_to_be_gone_is_not_loaded_again)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    ask_run(&fixture, "a", NULL, LEDGER_START, 0);
    fixture.store.outcomes[fixture.store.outcome_count++] = STORE_ABORTED;
    fixture.store.hold_answers = true;
    struct ledger_request *gone = fixture_submit(&fixture, "a", LEDGER_DELETE, 1, 0);
    fixture_run(&fixture);
    CHECK(fixture.store.held != NULL);
    struct ledger_request *read = fixture_submit(&fixture, "a", LEDGER_READ, 2, 0);
    fixture_run(&fixture);
    CHECK_INT(read->answers, 0);
    scripted_let_go(&fixture.store);
    fixture_settle(&fixture);
    CHECK_INT(gone->base.error.code, ST_OK);
    CHECK_INT(read->base.error.code, ST_NOT_FOUND);
    CHECK_INT(gone->answers + read->answers, 2);
    CHECK_INT(ask_run(&fixture, "a", NULL, LEDGER_READ, 0).base.error.code, ST_NOT_FOUND);
    fixture_forget(gone);
    fixture_forget(read);
    fixture_release(&fixture);
}

TEST(a_long_history_goes_in_pieces_and_a_new_process_goes_on)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    struct ledger_request base = ask_run(&fixture, "a", NULL, LEDGER_START, 0);
    for (int i = 0; i < 600; i++) {
        struct ledger_request *add = fixture_submit(&fixture, "a", LEDGER_ADD, 10 + (uint64_t)i, 1);
        fixture_run(&fixture);
        fixture_advance(&fixture, 2 * NS_PER_MS);
        fixture_run(&fixture);
        fixture_forget(add);
    }
    size_t                 rows = count_rows(&fixture, base.number);
    struct ledger_request *gone = fixture_submit(&fixture, "a", LEDGER_DELETE, 0, 0);
    while (gone->answers == 0) {
        fixture_turn(&fixture);
        (void)store_memory_step(fixture.store.inner);
    }
    CHECK_INT(gone->base.error.code, ST_OK);
    fixture_forget(gone);
    CHECK(rows > 512);
    size_t left = count_rows(&fixture, base.number);
    CHECK(left + 2 >= rows);
    int crashes = 0;
    for (int i = 0; i < 100 && left != 0; i++) {
        for (int step = 0; step < 12; step++) {
            fixture_turn(&fixture);
            (void)store_memory_step(fixture.store.inner);
            fixture_advance(&fixture, NS_PER_MS);
        }
        size_t now = count_rows(&fixture, base.number);
        if (now < left && now != 0) {
            fixture_crash(&fixture);
            crashes++;
        }
        left = now;
    }
    CHECK_EQ(left, 0);
    CHECK(crashes >= 1);
    fixture_settle(&fixture);
    CHECK_EQ(count_entities(&fixture, ENTITY_DELETION), 0);
    fixture_release(&fixture);
}

/* --- at random --- */

struct known_run {
    uint64_t     ledger;
    struct uuid  run_id;
    store_number number;
    bool         asked, gone; /* deletion asked for; answered */
};
struct call {
    struct ledger_request *request;
    uint64_t               ledger;
    size_t                 run; /* RUNS_MAX: the current one */
};
struct play {
    struct fixture   fixture;
    struct random    random;
    struct known_run runs[RUNS_MAX];
    size_t           run_count;
    struct call      calls[4];
    uint64_t         ids;
};
static const char *const names[LEDGERS] = { "a", "b", "c" };

static void hear(struct play *play, bool died)
{
    for (size_t i = 0; i < ARRAY_COUNT(play->calls); i++) {
        struct call           *call = &play->calls[i];
        struct ledger_request *request = call->request;
        if (request == NULL || (request->answers == 0 && !died))
            continue;
        bool done = request->answers == 1 && request->base.error.code == ST_OK;
        bool creates = request->base.command == LEDGER_START || request->base.command == LEDGER_NEXT ||
                       request->base.command == LEDGER_FORK;
        for (size_t at = 0; done && creates && at < play->run_count; at++)
            creates = play->runs[at].number != request->number;
        if (done && creates && play->run_count < RUNS_MAX)
            play->runs[play->run_count++] = (struct known_run){ call->ledger, request->run_id,
                                                                request->number, false, false };
        if (request->base.command == LEDGER_DELETE && call->run < RUNS_MAX && done)
            play->runs[call->run].gone = true;
        fixture_forget(request);
        call->request = NULL;
    }
}

static size_t some_run(struct play *play, uint64_t ledger)
{
    size_t at = play->run_count == 0 ? 0 : (size_t)random_below(&play->random, play->run_count);
    return play->run_count == 0 || play->runs[at].ledger != ledger ? RUNS_MAX : at;
}

static void send_one(struct play *play)
{
    static const enum ledger_command commands[] = { LEDGER_START, LEDGER_ADD,  LEDGER_ADD,
                                                    LEDGER_ADD,   LEDGER_NEXT, LEDGER_FORK,
                                                    LEDGER_FORK,  LEDGER_READ, LEDGER_DELETE };
    struct call *call = &play->calls[random_below(&play->random, ARRAY_COUNT(play->calls))];
    if (call->request != NULL)
        return;
    enum ledger_command command = commands[random_below(&play->random, ARRAY_COUNT(commands))];
    call->ledger = random_below(&play->random, LEDGERS);
    call->run = some_run(play, call->ledger);
    if (command == LEDGER_DELETE && (call->run == RUNS_MAX || random_below(&play->random, 3) != 0))
        return;
    struct ledger_request *request = fixture_request(names[call->ledger], command);
    request->request_id = ++play->ids;
    request->amount = command == LEDGER_FORK ? (int64_t)(2 + random_below(&play->random, 12))
                                             : (int64_t)random_below(&play->random, 100);
    if (call->run < RUNS_MAX && command == LEDGER_FORK) {
        request->to_run = true;
        request->target_run = play->runs[call->run].run_id;
    } else if (call->run < RUNS_MAX && (command == LEDGER_DELETE || command == LEDGER_READ)) {
        request->base.has_run_id = true;
        request->base.run_id = play->runs[call->run].run_id;
        play->runs[call->run].asked |= command == LEDGER_DELETE;
    }
    call->request = request;
    lane_submit(runtime_lane(play->fixture.runtime, 0), &request->base);
}

static void fail_a_batch(struct play *play)
{
    static const enum store_outcome bad[] = { STORE_ABORTED, STORE_LOST_FENCE, STORE_FULL };
    struct scripted_store          *store = &play->fixture.store;
    enum store_outcome              outcome = bad[random_below(&play->random, ARRAY_COUNT(bad))];
    if (store->outcome_count != 0)
        return;
    store->outcomes[store->outcome_count++] = outcome;
    if (outcome == STORE_FULL)
        store->outcomes[store->outcome_count++] = outcome;
}

static void random_step(struct play *play)
{
    struct fixture *fixture = &play->fixture;
    uint64_t        what = random_below(&play->random, 240);
    if (what < 20)
        send_one(play);
    else if (what < 22)
        fail_a_batch(play);
    else if (what == 22)
        fixture_crash(fixture);
    else if (what < 43)
        fixture_advance(fixture, (int64_t)random_below(&play->random, 20 * NS_PER_MS));
    else if (what < 100)
        (void)store_memory_step(fixture->store.inner);
    else
        lane_turn(runtime_lane(fixture->runtime,
                               (uint32_t)random_below(&play->random, fixture->options.lane_count)));
    hear(play, what == 22);
}

static void rest(struct play *play)
{
    play->fixture.store.outcome_count = 0;
    for (int i = 0; i < 5; i++) {
        fixture_advance(&play->fixture, 2 * NS_PER_S);
        fixture_settle(&play->fixture);
    }
    hear(play, false);
}

/* Every run that was acknowledged is there with all of its history, unless its deletion was asked for. */
static void check_runs(struct play *play, uint64_t seed)
{
    for (size_t i = 0; i < play->run_count; i++) {
        struct known_run     *run = &play->runs[i];
        struct ledger_request read = ask_run(&play->fixture, names[run->ledger], &run->run_id, LEDGER_SUM, 0);
        if (read.base.error.code == ST_NOT_FOUND ? run->asked : !run->gone && read.sum == read.total)
            continue;
        fail_msg("seed %" PRIu64 ": run %zu: code %d, sum %" PRId64 " of %" PRId64 ", deletion %s", seed, i,
                 (int)read.base.error.code, read.sum, read.total,
                 run->gone    ? "done"
                 : run->asked ? "asked"
                              : "-");
    }
}

static void run_random(uint64_t seed)
{
    struct play *play = xcalloc(1, sizeof(*play));
    random_seed(&play->random, seed);
    fixture_init(&play->fixture, true, 1 + (uint32_t)random_below(&play->random, 3));
    if (random_below(&play->random, 2) == 0)
        play->fixture.options.memory_limit = 4000;
    play->fixture.options.second_after = 1 + random_below(&play->random, 20);
    play->fixture.options.snapshot_after = 1 + random_below(&play->random, 2000);
    fixture_crash(&play->fixture);
    for (int step = 0; step < 2500; step++)
        random_step(play);
    rest(play);
    check_runs(play, seed);
    fixture_crash(&play->fixture);
    check_runs(play, seed);
    /* Without runs there are no rows. */
    for (size_t i = 0; i < LEDGERS; i++)
        while (ask_run(&play->fixture, names[i], NULL, LEDGER_DELETE, 0).base.error.code == ST_OK)
            ;
    rest(play);
    for (size_t i = 0; i < play->run_count; i++)
        CHECK_EQ(count_rows(&play->fixture, play->runs[i].number), 0);
    CHECK_EQ(count_entities(&play->fixture, ENTITY_BRANCH_USE), 0);
    CHECK_EQ(count_entities(&play->fixture, ENTITY_DELETION), 0);
    fixture_release(&play->fixture);
    free(play);
}

TEST(no_row_is_lost_and_none_is_left_whatever_dies_when)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_random(seed);
}
