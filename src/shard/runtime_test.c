/* runtime_test.c: the runtime with a small kind: what leaves when, what is written, what a crash leaves. */
#include <stdio.h>

#include "base/testing.h"
#include "history/batch.h"
#include "shard/test_fixture.h"

/* Runs until a batch is in the store's hands and not durable. */
static void until_batch(struct fixture *fixture, int batches)
{
    for (int i = 0; i < 20 && fixture->store.batches < batches; i++) {
        fixture_turn(fixture);
        if (fixture->store.batches < batches)
            (void)store_memory_step(fixture->store.inner);
    }
    CHECK_INT(fixture->store.batches, batches);
}

TEST(an_answer_leaves_when_its_batch_is_durable_and_not_before)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    struct ledger_request *start = fixture_submit(&fixture, "a", LEDGER_START, 1, 0);
    until_batch(&fixture, 1);
    fixture_turn(&fixture);
    CHECK_INT(start->answers, 0);
    while (store_memory_step(fixture.store.inner))
        CHECK_INT(start->answers, 0);
    fixture_turn(&fixture);
    CHECK_INT(start->answers, 1);
    CHECK_INT(start->base.error.code, ST_OK);
    fixture_forget(start);
    fixture_release(&fixture);
}

TEST(no_answer_that_rests_on_an_undurable_start_leaves_before_it)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    struct ledger_request *start = fixture_submit(&fixture, "a", LEDGER_START, 1, 0);
    until_batch(&fixture, 1);
    struct ledger_request *again = fixture_submit(&fixture, "a", LEDGER_START, 1, 0);
    struct ledger_request *other = fixture_submit(&fixture, "a", LEDGER_START, 2, 0);
    struct ledger_request *read = fixture_submit(&fixture, "a", LEDGER_READ, 0, 0);
    fixture_turn(&fixture);
    fixture_turn(&fixture);
    CHECK_INT(start->answers + again->answers + other->answers + read->answers, 0);
    store_memory_crash(fixture.store.inner);
    runtime_abandon(fixture.runtime);
    fixture_boot(&fixture);
    CHECK_INT(start->answers + again->answers + other->answers + read->answers, 0);
    struct ledger_request gone = fixture_call(&fixture, "a", LEDGER_READ, 0, 0);
    CHECK_INT(gone.base.error.code, ST_NOT_FOUND);
    fixture_forget(start);
    fixture_forget(again);
    fixture_forget(other);
    fixture_forget(read);
    fixture_release(&fixture);
}

TEST(answers_leave_in_the_order_they_were_decided_when_the_start_is_durable)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    struct ledger_request *start = fixture_submit(&fixture, "a", LEDGER_START, 1, 0);
    until_batch(&fixture, 1);
    struct ledger_request *again = fixture_submit(&fixture, "a", LEDGER_START, 1, 0);
    struct ledger_request *other = fixture_submit(&fixture, "a", LEDGER_START, 2, 0);
    fixture_run(&fixture);
    CHECK_INT(start->base.error.code, ST_OK);
    CHECK_INT(again->base.error.code, ST_OK);
    CHECK_INT(other->base.error.code, ST_ALREADY_EXISTS);
    CHECK(memcmp(&start->run_id, &again->run_id, sizeof(struct uuid)) == 0);
    fixture_forget(start);
    fixture_forget(again);
    fixture_forget(other);
    fixture_release(&fixture);
}

static void ignore(struct message *message UNUSED) {}

static struct history_read history(struct fixture *fixture, store_number branch, int64_t first, int64_t last,
                                   bool backward, size_t count_limit);

TEST(readers_of_history_see_durable_events_only)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    struct ledger_request  start = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    int                    batches = fixture.store.batches;
    struct ledger_request *add = fixture_submit(&fixture, "a", LEDGER_ADD, 2, 5);
    until_batch(&fixture, batches + 1);
    struct history_read page = history(&fixture, start.number, 1, 2, false, 0);
    CHECK_EQ(page.event_count, 1);
    CHECK_INT(add->answers, 0);
    arena_release(page.arena);
    free(page.arena);
    fixture_run(&fixture);
    page = history(&fixture, start.number, 1, 2, false, 0);
    CHECK_EQ(page.event_count, 2);
    arena_release(page.arena);
    free(page.arena);
    fixture_forget(add);
    fixture_release(&fixture);
}

static void history_done(struct history_read *read)
{
    read->branch = 0;
}

static struct history_read history(struct fixture *fixture, store_number branch, int64_t first, int64_t last,
                                   bool backward, size_t count_limit)
{
    struct history_read read = { .arena = xcalloc(1, sizeof(struct arena)),
                                 .namespace_number = 1,
                                 .business_id = BYTES("a"),
                                 .branch = branch,
                                 .first = first,
                                 .last = last,
                                 .backward = backward,
                                 .count_limit = count_limit,
                                 .done = history_done };
    arena_init(read.arena, SIZE_MAX);
    lane_read_history(runtime_lane(fixture->runtime, 0), &read);
    for (int i = 0; i < 50 && read.branch != 0; i++) {
        fixture_turn(fixture);
        if (read.branch != 0 && fixture->manual && i > 2)
            (void)store_memory_step(fixture->store.inner);
    }
    CHECK_EQ(read.branch, 0);
    return read;
}

static int64_t event_id(struct bytes event)
{
    struct ledger_event_bytes bytes;
    memcpy(&bytes, event.base, sizeof(bytes));
    return bytes.id;
}

/* Every page of a history, both ways, with cuts after every possible count: dense, each event once. */
static void check_pages(struct fixture *fixture, store_number run, int64_t events)
{
    for (int backward = 0; backward < 2; backward++) {
        for (size_t limit = 0; limit < 5; limit++) {
            int64_t expected = backward ? events : 1, next = expected;
            while (next != 0) {
                struct history_read page = backward ? history(fixture, run, 1, next, true, limit)
                                                    : history(fixture, run, next, events, false, limit);
                CHECK_INT(page.error.code, ST_OK);
                CHECK(page.event_count != 0);
                for (size_t i = 0; i < page.event_count; i++) {
                    CHECK_EQ(event_id(page.events[i]), expected);
                    expected += backward ? -1 : 1;
                }
                next = page.next;
                CHECK(next == 0 || next == expected);
                arena_release(page.arena);
                free(page.arena);
            }
            CHECK_EQ(expected, backward ? 0 : events + 1);
        }
    }
}

TEST(pages_of_history_are_dense_from_memory_and_from_the_store)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request start = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 10; i++) {
        (void)fixture_call(&fixture, "a", LEDGER_ADD, i, 1);
        (void)fixture_call(&fixture, "a", LEDGER_TIMER, i, 3600 * NS_PER_S); /* rows without events between */
    }
    check_pages(&fixture, start.number, 10);
    fixture_crash(&fixture);
    check_pages(&fixture, start.number, 10); /* not resident */
    (void)fixture_call(&fixture, "a", LEDGER_ADD, 11, 1);
    check_pages(&fixture, start.number, 11);
    fixture_release(&fixture);
}

/* Part of the history in the store, the rest in the tail, and nothing between the two is missing. */
TEST(a_page_of_stored_rows_and_the_tail_has_no_gap)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request start = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 40; i++) {
        struct ledger_request *add = fixture_request("a", LEDGER_ADD);
        add->request_id = i;
        add->padding = 4096; /* the tail holds 32 KiB: about seven of these */
        lane_submit(runtime_lane(fixture.runtime, 0), &add->base);
        fixture_run(&fixture);
        CHECK_INT(add->answers, 1);
        fixture_forget(add);
    }
    int reads = fixture.store.reads;
    check_pages(&fixture, start.number, 40);
    CHECK(fixture.store.reads > reads);
    fixture_release(&fixture);
}

/* A run of many transitions that stays open: it loads from a snapshot and the rows after it. */
TEST(a_long_open_run_loads_from_a_snapshot)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request start = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 2; i <= 200; i++) {
        struct ledger_request *add = fixture_request("a", LEDGER_ADD);
        add->request_id = i;
        add->amount = 1;
        add->padding = 1000;
        lane_submit(runtime_lane(fixture.runtime, 0), &add->base);
        fixture_run(&fixture);
        CHECK_INT(add->base.error.code, ST_OK);
        fixture_forget(add);
        if (i % 40 == 0)
            fixture_crash(&fixture);
    }
    struct arena   arena;
    struct mailbox mailbox;
    arena_init(&arena, SIZE_MAX);
    mailbox_init(&mailbox, NULL, NULL);
    struct store_read read = { .kind = STORE_READ_RUN,
                               .number = start.number,
                               .with_history = true,
                               .arena = &arena,
                               .home = &mailbox,
                               .message = { .run = ignore } };
    store_read(fixture.store.inner, &read);
    CHECK(read.runs[0].snapshot_transition > 100);
    CHECK(read.transition_count < 40);
    arena_release(&arena);
    fixture_crash(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 199);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_SUM, 0, 0).sum, 199);
    check_pages(&fixture, start.number, 200);
    fixture_release(&fixture);
}

TEST(transitions_of_one_run_in_one_batch_are_one_row)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request  start = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    struct ledger_request *adds[3];
    for (uint64_t i = 0; i < 3; i++)
        adds[i] = fixture_submit(&fixture, "a", LEDGER_ADD, 10 + i, 7);
    fixture_run(&fixture);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(adds[i]->answers, 1);
        fixture_forget(adds[i]);
    }
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct mailbox mailbox;
    mailbox_init(&mailbox, NULL, NULL);
    struct store_read read = { .kind = STORE_READ_HISTORY,
                               .number = start.number,
                               .from = 1,
                               .to = INT64_MAX,
                               .arena = &arena,
                               .home = &mailbox,
                               .message = { .run = ignore } };
    store_read(fixture.store.inner, &read);
    CHECK_EQ(read.transition_count, 2);
    CHECK_INT(read.transitions[1].event_count, 3);
    CHECK_EQ(read.transitions[1].number, 2);
    arena_release(&arena);
    fixture_crash(&fixture);
    struct ledger_request total = fixture_call(&fixture, "a", LEDGER_READ, 0, 0);
    CHECK_EQ(total.total, 21);
    fixture_release(&fixture);
}

TEST(a_decision_gets_the_events_it_needs_from_memory_or_from_the_store)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 0; i < 5; i++)
        (void)fixture_call(&fixture, "a", LEDGER_ADD, 10 + i, 3);
    /* An event of the open batch is there too. */
    struct ledger_request *add = fixture_submit(&fixture, "a", LEDGER_ADD, 20, 100);
    struct ledger_request *sum = fixture_submit(&fixture, "a", LEDGER_SUM, 0, 0);
    fixture_run(&fixture);
    CHECK_EQ(sum->sum, 115);
    fixture_forget(add);
    fixture_forget(sum);
    fixture_crash(&fixture);
    struct ledger_request cold = fixture_call(&fixture, "a", LEDGER_SUM, 0, 0);
    CHECK_EQ(cold.sum, 115);
    fixture_release(&fixture);
}

TEST(a_run_is_found_by_its_id_and_a_closed_one_stays_readable)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request first = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_ADD, 2, 9);
    struct ledger_request next = fixture_call(&fixture, "a", LEDGER_NEXT, 3, 0);
    CHECK(next.number > first.number);
    for (int restart = 0; restart < 2; restart++) {
        struct ledger_request *by_id = fixture_request("a", LEDGER_READ);
        by_id->base.has_run_id = true;
        by_id->base.run_id = first.run_id;
        lane_submit(runtime_lane(fixture.runtime, 0), &by_id->base);
        fixture_run(&fixture);
        CHECK_INT(by_id->base.error.code, ST_OK);
        CHECK_EQ(by_id->total, 9);
        fixture_forget(by_id);
        struct ledger_request current = fixture_call(&fixture, "a", LEDGER_READ, 0, 0);
        CHECK_EQ(current.number, next.number);
        struct ledger_request *foreign = fixture_request("b",
                                                         LEDGER_READ); /* a run id of another workflow id */
        foreign->base.has_run_id = true;
        foreign->base.run_id = first.run_id;
        lane_submit(runtime_lane(fixture.runtime, 0), &foreign->base);
        fixture_run(&fixture);
        CHECK_INT(foreign->base.error.code, ST_NOT_FOUND);
        fixture_forget(foreign);
        fixture_crash(&fixture);
    }
    fixture_release(&fixture);
}

TEST(eviction_keeps_memory_bounded_and_loses_nothing)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    fixture.options.memory_limit = 20000;
    fixture_crash(&fixture);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++) {
            char id[16];
            snprintf(id, sizeof(id), "w%d", i);
            if (round == 0)
                (void)fixture_call(&fixture, id, LEDGER_START, 1, 0);
            struct ledger_request add = fixture_call(&fixture, id, LEDGER_ADD, (uint64_t)round + 2, 1);
            CHECK_EQ(add.total, round + 1);
        }
        struct lane_statistics statistics;
        lane_statistics(runtime_lane(fixture.runtime, 0), &statistics);
        CHECK(statistics.entity_bytes < 25000);
    }
    struct lane_statistics statistics;
    lane_statistics(runtime_lane(fixture.runtime, 0), &statistics);
    CHECK(statistics.evictions > 300);
    fixture_release(&fixture);
}

/* --- timers --- */

TEST(a_timer_fires_when_due_and_never_before)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 2, 10 * NS_PER_S);
    fixture_advance(&fixture, 10 * NS_PER_S - 1);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 1);
    CHECK_EQ(lane_next_due(runtime_lane(fixture.runtime, 0)), fixture.wall + 1);
    fixture_advance(&fixture, 1);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 2);
    fixture_release(&fixture);
}

TEST(a_timer_fires_after_a_restart_also_when_its_run_was_never_loaded)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 2, 10 * NS_PER_S);
    fixture_crash(&fixture);
    fixture_advance(&fixture, 3600 * NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 2);
    fixture_release(&fixture);
}

TEST(the_stored_wake_up_is_lazy_but_never_late)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 2, 10 * NS_PER_S);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 3, 30 * NS_PER_S); /* the row stays at 10 s */
    fixture_advance(&fixture, 15 * NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 1);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 4, NS_PER_S); /* earlier: must be written */
    fixture_advance(&fixture, NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 2);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 5, NS_PER_S);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 6, 0); /* cancelled */
    fixture_advance(&fixture, 100 * NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 2);
    fixture_release(&fixture);
}

static size_t stored_wakeups(struct fixture *fixture)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct mailbox mailbox;
    mailbox_init(&mailbox, NULL, NULL);
    struct store_read read = { .kind = STORE_READ_WAKEUPS,
                               .after_due = INT64_MIN,
                               .after = INT64_MIN,
                               .arena = &arena,
                               .home = &mailbox,
                               .message = { .run = ignore } };
    store_read(fixture->store.inner, &read);
    size_t count = read.wakeup_count;
    arena_release(&arena);
    return count;
}

TEST(a_closed_run_leaves_no_wake_up_behind)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 2, 10 * NS_PER_S);
    CHECK_EQ(stored_wakeups(&fixture), 1);
    (void)fixture_call(&fixture, "a", LEDGER_CLOSE, 3, 0);
    CHECK_EQ(stored_wakeups(&fixture), 0);
    (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "b", LEDGER_TIMER, 2, 10 * NS_PER_S);
    fixture_crash(&fixture);
    (void)fixture_call(&fixture, "b", LEDGER_CLOSE, 3, 0);
    CHECK_EQ(stored_wakeups(&fixture), 0);
    fixture_release(&fixture);
}

/* Windows of 2: most wake-ups are on disk only; every one fires, in order, none early. */
TEST(many_timers_fire_through_a_small_window)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    fixture.options.memory_limit = 8000; /* and most runs are not in memory */
    fixture_crash(&fixture);
    for (int i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        (void)fixture_call(&fixture, id, LEDGER_START, 1, 0);
        (void)fixture_call(&fixture, id, LEDGER_TIMER, 2, ((i * 7) % 40 + 1) * NS_PER_S + NS_PER_S);
    }
    for (int second = 0; second <= 50; second++) {
        fixture_advance(&fixture, NS_PER_S);
        fixture_run(&fixture);
    }
    for (int i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        CHECK_EQ(fixture_call(&fixture, id, LEDGER_READ, 0, 0).last_event_id, 2);
    }
    CHECK_EQ(stored_wakeups(&fixture), 0);
    fixture_release(&fixture);
}

TEST(a_wake_up_whose_run_cannot_be_read_now_fires_later)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 2, 10 * NS_PER_S);
    fixture_crash(&fixture);
    fixture_run(&fixture); /* the window is read */
    fixture_advance(&fixture, 10 * NS_PER_S);
    fixture.store.reads_to_fail = 1;
    fixture_run(&fixture);
    fixture_advance(&fixture, 2 * NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 2);
    fixture_release(&fixture);
}

TEST(time_does_not_go_back_over_a_restart_and_new_runs_stay_the_newest)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request first = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    int64_t               now = lane_now(runtime_lane(fixture.runtime, 0));
    fixture.wall -= 3600 * NS_PER_S;
    fixture_crash(&fixture);
    CHECK(lane_now(runtime_lane(fixture.runtime, 0)) >= now);
    struct ledger_request next = fixture_call(&fixture, "a", LEDGER_NEXT, 2, 0);
    CHECK(next.number > first.number);
    /* And timers still fire, as the monotonic clock goes on. */
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 3, 5 * NS_PER_S);
    for (int i = 0; i < 6; i++) {
        fixture_advance(&fixture, NS_PER_S);
        fixture_run(&fixture);
    }
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 2);
    fixture_release(&fixture);
}

/* The clock stands still, or is far behind: each process must go on where the one before may have been. */
TEST(numbers_are_never_given_twice_over_restarts)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    store_number last = 0;
    fixture.wall -= 3600 * NS_PER_S;
    for (int i = 0; i < 5; i++) {
        fixture_crash(&fixture);
        struct ledger_request schedule = fixture_call(&fixture, "a", LEDGER_SCHEDULE, 2, 0);
        CHECK_INT(schedule.base.error.code, ST_OK);
        CHECK(schedule.sequence > last);
        last = schedule.sequence;
    }
    /* A process that lived long, and one after it whose clock is behind. */
    for (int i = 0; i < 50; i++) {
        fixture_advance(&fixture, 100 * NS_PER_S);
        last = fixture_call(&fixture, "a", LEDGER_SCHEDULE, 2, 0).sequence;
    }
    fixture.wall -= 7200 * NS_PER_S;
    fixture_crash(&fixture);
    CHECK(fixture_call(&fixture, "a", LEDGER_SCHEDULE, 2, 0).sequence > last);
    fixture_release(&fixture);
}

/* Has the store refuse the first group that says how far numbers may go. */
static bool spoil_a_clock(struct store_batch *batch)
{
    static uint8_t large[17 << 20]; /* a row larger than the store takes */
    for (size_t i = 0; i < batch->write_count; i++) {
        struct store_write *write = &batch->writes[i];
        if (write->kind != STORE_ENTITY_PUT || write->entity.kind != ENTITY_CLOCK)
            continue;
        write->entity.state = bytes_of(large, sizeof(large));
        return true;
    }
    return false;
}

/* Found by the simulator: only one group of a batch said how far numbers may go, and another one had them. */
TEST(numbers_are_not_given_twice_when_a_group_beside_them_is_refused_and_the_process_dies)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
    fixture_advance(&fixture, 100 * NS_PER_S);
    fixture.store.spoil = spoil_a_clock;
    struct ledger_request *first = fixture_submit(&fixture, "a", LEDGER_SCHEDULE, 2, 0);
    struct ledger_request *second = fixture_submit(&fixture, "b", LEDGER_SCHEDULE, 2, 0);
    fixture_run(&fixture);
    CHECK(fixture.store.spoil == NULL);
    CHECK_INT(second->base.error.code, ST_OK);
    CHECK_INT(second->answers, 1);
    fixture.wall -= 3600 * NS_PER_S;
    fixture_crash(&fixture);
    struct ledger_request again = fixture_call(&fixture, "b", LEDGER_SCHEDULE, 3, 0);
    CHECK_INT(again.base.error.code, ST_OK);
    CHECK(again.sequence > second->sequence);
    fixture_forget(first);
    fixture_forget(second);
    fixture_release(&fixture);
}

/* --- outcomes --- */

static void script(struct fixture *fixture, size_t count, enum store_outcome outcome)
{
    for (size_t i = 0; i < count; i++)
        fixture->store.outcomes[fixture->store.outcome_count++] = outcome;
}

TEST(an_aborted_batch_is_sent_again_and_nobody_notices)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    script(&fixture, 3, STORE_ABORTED);
    struct ledger_request *add = fixture_submit(&fixture, "a", LEDGER_ADD, 2, 5);
    for (int i = 0; i < 10; i++) {
        fixture_run(&fixture);
        fixture_advance(&fixture, 10 * NS_PER_MS);
    }
    CHECK_INT(add->answers, 1);
    CHECK_INT(add->base.error.code, ST_OK);
    fixture_forget(add);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 5);
    fixture_release(&fixture);
}

TEST(a_refused_change_fails_its_callers_and_nobody_else)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "bad", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "good", LEDGER_START, 1, 0);
    struct ledger_request *poison = fixture_request("bad", LEDGER_ADD);
    poison->request_id = 2;
    poison->padding = 17 << 20; /* a row larger than the store takes */
    lane_submit(runtime_lane(fixture.runtime, 0), &poison->base);
    struct ledger_request *after = fixture_submit(&fixture, "bad", LEDGER_ADD, 3, 1); /* rests on it */
    struct ledger_request *good = fixture_submit(&fixture, "good", LEDGER_ADD, 4, 1);
    fixture_run(&fixture);
    CHECK_INT(poison->base.error.code, ST_INTERNAL);
    CHECK_INT(after->base.error.code, ST_INTERNAL);
    CHECK_INT(good->base.error.code, ST_OK);
    CHECK_INT(poison->answers + after->answers + good->answers, 3);
    CHECK_INT(fixture_call(&fixture, "bad", LEDGER_READ, 0, 0).base.error.code, ST_INTERNAL);
    CHECK_EQ(fixture_call(&fixture, "good", LEDGER_READ, 0, 0).total, 1);
    fixture_advance(&fixture, 61 * NS_PER_S);
    struct ledger_request again = fixture_call(&fixture, "bad", LEDGER_ADD, 5, 2);
    CHECK_INT(again.base.error.code, ST_OK);
    CHECK_EQ(fixture_call(&fixture, "bad", LEDGER_READ, 0, 0).total, 2);
    fixture_forget(poison);
    fixture_forget(after);
    fixture_forget(good);
    fixture_release(&fixture);
}

TEST(what_was_decided_on_top_of_a_refused_change_while_it_was_in_flight_fails_with_it)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    (void)fixture_call(&fixture, "bad", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "good", LEDGER_START, 1, 0);
    int                    batches = fixture.store.batches;
    struct ledger_request *poison = fixture_request("bad", LEDGER_ADD);
    poison->request_id = 2;
    poison->padding = 17 << 20;
    lane_submit(runtime_lane(fixture.runtime, 0), &poison->base);
    until_batch(&fixture, batches + 1);
    struct ledger_request *after = fixture_submit(&fixture, "bad", LEDGER_READ, 0, 0);
    struct ledger_request *add = fixture_submit(&fixture, "bad", LEDGER_ADD, 3, 1);
    struct ledger_request *good = fixture_submit(&fixture, "good", LEDGER_ADD, 4, 1);
    fixture_turn(&fixture);
    fixture_run(&fixture);
    CHECK_INT(poison->base.error.code, ST_INTERNAL);
    CHECK_INT(after->base.error.code, ST_INTERNAL);
    CHECK_INT(add->base.error.code, ST_INTERNAL);
    CHECK_INT(good->base.error.code, ST_OK);
    CHECK_INT(poison->answers + after->answers + add->answers + good->answers, 4);
    fixture_forget(poison);
    fixture_forget(after);
    fixture_forget(add);
    fixture_forget(good);
    fixture_release(&fixture);
}

TEST(a_full_disk_refuses_new_work_parks_timers_and_ends_by_itself)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct lane *lane = runtime_lane(fixture.runtime, 0);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 2, 5 * NS_PER_S);
    fixture.store.probe_fails = true;
    script(&fixture, 1, STORE_FULL);
    /* The first time the same writes are sent again: the store has given its ballast up. */
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_CLOSE + 100, 3, 1).base.error.code,
              ST_OK); /* unknown: nothing */
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_ADD, 3, 1).base.error.code, ST_OK);
    CHECK(lane_read_only(lane));
    struct ledger_request refused = fixture_call(&fixture, "a", LEDGER_ADD, 4, 1);
    CHECK_INT(refused.base.error.code, ST_RESOURCE_EXHAUSTED);
    CHECK(bytes_equal_text(refused.base.error.detail_type,
                           "temporal.api.errordetails.v1.ResourceExhaustedFailure"));
    CHECK_INT(fixture_call(&fixture, "b", LEDGER_START, 1, 0).base.error.code, ST_RESOURCE_EXHAUSTED);
    /* What brings no new work goes on. */
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_SCHEDULE, 5, 0).base.error.code, ST_OK);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 1);
    fixture_advance(&fixture, 10 * NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 3); /* the timer waits */
    CHECK(fixture.store.probes > 0);
    /* No space even for that: the caller hears it, memory is what the disk says, and reads go on. */
    script(&fixture, 2, STORE_FULL);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_CLOSE, 6, 0).base.error.code, ST_RESOURCE_EXHAUSTED);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_OK);
    fixture.store.probe_fails = false;
    fixture_advance(&fixture, 2 * NS_PER_S);
    fixture_run(&fixture);
    CHECK(!lane_read_only(lane));
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 4); /* fired */
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_ADD, 7, 1).base.error.code, ST_OK);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_CLOSE, 8, 0).base.error.code, ST_OK);
    fixture_release(&fixture);
}

static void wake_up(void *context)
{
    sem_post(context);
}

TEST(the_probe_of_a_full_disk_does_not_hold_the_lane_up)
{
    struct fixture fixture;
    sem_t          hold, woken;
    sem_init(&hold, 0, 0);
    sem_init(&woken, 0, 0);
    fixture_init(&fixture, false, 1);
    fixture.options.wait = NULL; /* as in a server: probes have a thread */
    fixture_crash(&fixture);
    struct lane *lane = runtime_lane(fixture.runtime, 0);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    lane_set_host(lane, wake_up, &woken);
    fixture.store.probe_holds = &hold;
    script(&fixture, 1, STORE_FULL);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_ADD, 2, 1).base.error.code, ST_OK);
    fixture_advance(&fixture, 2 * NS_PER_S);
    fixture_run(&fixture); /* the probe is on its way, and waits */
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 1);
    CHECK(lane_read_only(lane));
    CHECK(!lane_idle(lane));
    while (sem_trywait(&woken) == 0) {
    }
    sem_post(&hold);
    while (lane_read_only(lane)) {
        sem_wait(&woken);
        lane_turn(lane);
    }
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_ADD, 3, 1).base.error.code, ST_OK);
    fixture_release(&fixture);
    sem_destroy(&hold);
    sem_destroy(&woken);
}

static int  forgotten;
static void count_forgotten(void *context UNUSED, struct lane *lane UNUSED)
{
    forgotten++;
}

TEST(a_lost_fence_drops_everything_and_callers_retry)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    fixture.options.hooks.forgotten = count_forgotten;
    fixture_crash(&fixture);
    forgotten = 0;
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_TIMER, 9, 20 * NS_PER_S);
    script(&fixture, 1, STORE_LOST_FENCE);
    struct ledger_request *add = fixture_submit(&fixture, "a", LEDGER_ADD, 2, 5);
    struct ledger_request *load = fixture_submit(&fixture, "other", LEDGER_READ, 0,
                                                 0); /* waits for the store */
    fixture_run(&fixture);
    CHECK_INT(add->base.error.code, ST_UNAVAILABLE);
    CHECK_INT(load->base.error.code, ST_UNAVAILABLE);
    CHECK_INT(forgotten, 1);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 0);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_ADD, 2, 5).base.error.code, ST_OK);
    fixture_advance(&fixture, 20 * NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 3);
    fixture_forget(add);
    fixture_forget(load);
    fixture_release(&fixture);
}

TEST(after_an_unknown_outcome_nothing_leaves_any_more)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    script(&fixture, 1, STORE_UNKNOWN);
    struct ledger_request *add = fixture_submit(&fixture, "a", LEDGER_ADD, 2, 5);
    struct ledger_request *read = fixture_submit(&fixture, "a", LEDGER_READ, 0, 0);
    fixture_run(&fixture);
    CHECK_INT(fixture.fatal, 1);
    CHECK_INT(add->answers + read->answers, 0);
    fixture_crash(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 0);
    fixture_forget(add);
    fixture_forget(read);
    fixture_release(&fixture);
}

static void damage(struct store_read *read)
{
    assert(read->transition_count != 0);
    struct store_transition *row = &read->transitions[read->transition_count - 1];
    uint8_t                 *copy = arena_must(arena_alloc(read->arena, row->events.size));
    memcpy(copy, row->events.base, row->events.size);
    copy[row->events.size / 2] ^= 1;
    row->events.base = copy;
}

TEST(a_damaged_row_quarantines_its_workflow_and_no_other)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
    fixture_crash(&fixture);
    fixture.store.tamper = damage;
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_DATA_LOSS);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_INTERNAL);
    CHECK_INT(fixture_call(&fixture, "b", LEDGER_READ, 0, 0).base.error.code, ST_OK);
    fixture_release(&fixture);
}

static void damage_snapshot(struct store_read *read)
{
    read->runs[0].snapshot = BYTES("?");
}

/* An earlier run's row is found damaged while a change of the current run is on its way; the store then refuses the change. */
TEST(a_refused_change_of_a_workflow_that_is_quarantined_already_is_not_acknowledged)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct ledger_request old = fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "a", LEDGER_NEXT, 2, 0);
    fixture_crash(&fixture);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).base.error.code, ST_OK);
    fixture.store.tamper = damage_snapshot;
    struct ledger_request *read = fixture_request("a", LEDGER_READ);
    read->base.has_run_id = true;
    read->base.run_id = old.run_id;
    lane_submit(runtime_lane(fixture.runtime, 0), &read->base);
    struct ledger_request *poison = fixture_request("a", LEDGER_ADD);
    poison->request_id = 3;
    poison->padding = 17 << 20; /* a row larger than the store takes */
    lane_submit(runtime_lane(fixture.runtime, 0), &poison->base);
    fixture_run(&fixture);
    CHECK_INT(read->base.error.code, ST_DATA_LOSS);
    CHECK_INT(poison->answers, 1);
    CHECK_INT(poison->base.error.code, ST_INTERNAL);
    fixture_forget(read);
    fixture_forget(poison);
    fixture_release(&fixture);
}

TEST(requests_that_wait_for_loads_are_bounded)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    enum { COUNT = 10010 };
    struct ledger_request **requests = xcalloc(COUNT, sizeof(*requests));
    for (int i = 0; i < COUNT; i++)
        requests[i] = fixture_submit(&fixture, "a", LEDGER_READ, 0, 0);
    for (int i = 0; i < 30; i++)
        fixture_turn(&fixture);
    int refused = 0;
    for (int i = 0; i < COUNT; i++)
        refused += requests[i]->base.error.code == ST_RESOURCE_EXHAUSTED;
    CHECK_INT(refused, 10);
    for (int i = 0; i < 100; i++)
        fixture_run(&fixture);
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(requests[i]->answers, 1);
        fixture_forget(requests[i]);
    }
    free(requests);
    fixture_release(&fixture);
}

TEST(a_draining_lane_takes_no_new_work_and_finishes_the_rest)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    lane_drain(runtime_lane(fixture.runtime, 0));
    CHECK_INT(fixture_call(&fixture, "b", LEDGER_START, 1, 0).base.error.code, ST_UNAVAILABLE);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_CLOSE, 2, 0).base.error.code, ST_OK);
    CHECK(lane_idle(runtime_lane(fixture.runtime, 0)));
    fixture_release(&fixture);
}

/* Meanwhile the run came into memory another way, went on durably, and was forgotten because of what came after that. */
TEST(a_read_that_began_before_a_forgetting_is_not_believed)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    struct uuid run_id = fixture_call(&fixture, "a", LEDGER_START, 1, 0).run_id;
    (void)fixture_call(&fixture, "a", LEDGER_ADD, 2, 1);
    fixture_crash(&fixture);
    fixture.store.hold_read = true;
    struct ledger_request *early = fixture_submit(&fixture, "a", LEDGER_READ, 0, 0);
    fixture_run(&fixture);
    CHECK(fixture.store.held_read != NULL);
    struct ledger_request *adds[2];
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            script(&fixture, 2, STORE_FULL);
        adds[i] = fixture_request("a", LEDGER_ADD);
        adds[i]->base.has_run_id = true;
        adds[i]->base.run_id = run_id;
        adds[i]->request_id = 10 + (uint64_t)i;
        adds[i]->amount = 2;
        lane_submit(runtime_lane(fixture.runtime, 0), &adds[i]->base);
        fixture_run(&fixture);
        fixture_advance(&fixture, 2 * NS_PER_MS);
        fixture_run(&fixture);
        CHECK_INT(adds[i]->base.error.code, i == 0 ? ST_OK : ST_RESOURCE_EXHAUSTED);
    }
    scripted_read_let_go(&fixture.store);
    fixture_run(&fixture);
    CHECK_INT(early->answers, 1);
    CHECK_EQ(early->total, 3);
    fixture_advance(&fixture, 10 * NS_PER_S); /* there is space again */
    fixture_run(&fixture);
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_ADD, 20, 4).base.error.code, ST_OK);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 7);
    fixture_forget(early);
    fixture_forget(adds[0]);
    fixture_forget(adds[1]);
    fixture_release(&fixture);
}

/* Two batches of different workflows are on their way; the first is to be sent again after the second is done. */
TEST(a_second_batch_rests_on_nothing_of_the_first)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    fixture.options.second_after = 1;
    fixture_crash(&fixture);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
    int batches = fixture.store.batches;
    script(&fixture, 1, STORE_ABORTED);
    struct ledger_request *first = fixture_submit(&fixture, "a", LEDGER_ADD, 2, 1);
    lane_turn(runtime_lane(fixture.runtime, 0)); /* aborted; the answer is in the mailbox */
    CHECK_INT(fixture.store.batches, batches + 1);
    struct ledger_request *more = fixture_submit(&fixture, "a", LEDGER_READ, 0, 0); /* rests on the first */
    struct ledger_request *second = fixture_submit(&fixture, "b", LEDGER_ADD, 2, 1);
    fixture_run(&fixture);
    fixture_advance(&fixture, 100 * NS_PER_MS);
    fixture_run(&fixture);
    CHECK_INT(first->answers + more->answers + second->answers, 3);
    CHECK_EQ(more->total, 1);
    fixture_forget(first);
    fixture_forget(more);
    fixture_forget(second);
    fixture_release(&fixture);
}

TEST(a_second_batch_waits_for_a_first_that_shares_a_workflow)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    fixture.options.second_after = 1;
    fixture_crash(&fixture);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
    fixture_run(&fixture);
    int                    batches = fixture.store.batches;
    struct ledger_request *requests[4];
    requests[0] = fixture_submit(&fixture, "a", LEDGER_ADD, 2, 1);
    fixture_turn(&fixture);
    CHECK_INT(fixture.store.batches, batches + 1);
    requests[1] = fixture_submit(&fixture, "b", LEDGER_ADD, 2, 1);
    fixture_turn(&fixture);
    CHECK_INT(fixture.store.batches, batches + 2); /* it follows at once */
    requests[2] = fixture_submit(&fixture, "b", LEDGER_ADD, 3, 1);
    requests[3] = fixture_submit(&fixture, "a", LEDGER_ADD, 3, 1);
    fixture_turn(&fixture);
    CHECK(store_memory_step(
        fixture.store.inner)); /* the first is durable; the third shares "b" with the second */
    fixture_turn(&fixture);
    CHECK_INT(requests[0]->answers, 1);
    CHECK_INT(requests[1]->answers, 0);
    CHECK_INT(fixture.store.batches, batches + 2);
    CHECK(store_memory_step(fixture.store.inner));
    fixture_turn(&fixture);
    CHECK_INT(requests[1]->answers, 1);
    CHECK_INT(fixture.store.batches, batches + 3);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 2);
    CHECK_EQ(fixture_call(&fixture, "b", LEDGER_READ, 0, 0).total, 2);
    for (int i = 0; i < 4; i++)
        fixture_forget(requests[i]);
    fixture_release(&fixture);
}

/* The first is lost for good while the second is durable: the second's answers leave, the first's say what happened. */
TEST(a_second_batch_that_is_durable_outlives_a_first_that_is_lost)
{
    static const enum store_outcome outcomes[] = { STORE_LOST_FENCE, STORE_FULL };
    for (size_t i = 0; i < ARRAY_COUNT(outcomes); i++) {
        struct fixture fixture;
        fixture_init(&fixture, true, 1);
        fixture.options.second_after = 1;
        fixture_crash(&fixture);
        (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
        (void)fixture_call(&fixture, "b", LEDGER_START, 1, 0);
        fixture_run(&fixture);
        fixture.store.hold_answers = true;
        script(&fixture, 1, outcomes[i]);
        struct ledger_request *first = fixture_submit(&fixture, "a", LEDGER_ADD, 2, 1);
        fixture_turn(&fixture);
        struct ledger_request *second = fixture_submit(&fixture, "b", LEDGER_ADD, 2, 1);
        fixture_turn(&fixture);
        script(&fixture, 1, outcomes[i]); /* for a full disk: the second try */
        scripted_let_go(&fixture.store);
        fixture_run(&fixture);
        CHECK_INT(first->answers + second->answers, 2);
        CHECK_INT(second->base.error.code, ST_OK);
        CHECK_INT(first->base.error.code, outcomes[i] == STORE_FULL ? ST_RESOURCE_EXHAUSTED : ST_UNAVAILABLE);
        fixture.store.outcome_count = 0;
        CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).total, 0);
        CHECK_EQ(fixture_call(&fixture, "b", LEDGER_READ, 0, 0).total, 1);
        fixture_forget(first);
        fixture_forget(second);
        fixture_release(&fixture);
    }
}

/* --- tasks --- */

struct offers {
    store_number           offered[16], withdrawn[16];
    size_t                 offered_count, withdrawn_count;
    struct ledger_request *poller;
};
static struct offers offers;

static struct request *reserve(void *context UNUSED, struct lane *lane UNUSED, const struct store_ready *task)
{
    if (offers.poller == NULL)
        return NULL;
    struct ledger_request *poller = TAKE_PTR(offers.poller);
    poller->base.business_id = arena_copy(poller->base.arena, task->workflow_id);
    poller->amount = task->sequence;
    return &poller->base;
}

static void offer(void *context UNUSED, struct lane *lane UNUSED, const struct store_ready *task)
{
    offers.offered[offers.offered_count++] = task->sequence;
}

static void withdraw(void *context UNUSED, struct lane *lane UNUSED, store_number sequence)
{
    offers.withdrawn[offers.withdrawn_count++] = sequence;
}

static void with_offers(struct fixture *fixture)
{
    offers = (struct offers){ 0 };
    fixture->options.hooks = (struct lane_hooks){ .reserve = reserve, .offer = offer, .withdraw = withdraw };
    fixture_crash(fixture);
}

TEST(a_ready_row_is_offered_when_it_is_durable_and_withdrawn_when_it_is_gone)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    with_offers(&fixture);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    int                    batches = fixture.store.batches;
    struct ledger_request *schedule = fixture_submit(&fixture, "a", LEDGER_SCHEDULE, 2, 0);
    until_batch(&fixture, batches + 1);
    CHECK_EQ(offers.offered_count, 0);
    fixture_run(&fixture);
    CHECK_EQ(offers.offered_count, 1);
    CHECK_EQ(offers.offered[0], schedule->sequence);
    struct ledger_request take = fixture_call(&fixture, "a", LEDGER_TAKE, 3, schedule->sequence);
    CHECK(!take.stale);
    CHECK_EQ(offers.withdrawn_count, 1);
    CHECK(fixture_call(&fixture, "a", LEDGER_TAKE, 4, schedule->sequence).stale);
    fixture_forget(schedule);
    fixture_release(&fixture);
}

TEST(a_waiting_poller_starts_the_task_in_the_batch_that_makes_it_ready)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    with_offers(&fixture);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    struct ledger_request *poller = fixture_request("", LEDGER_TAKE);
    offers.poller = poller;
    int                    batches = fixture.store.batches;
    struct ledger_request *schedule = fixture_submit(&fixture, "a", LEDGER_SCHEDULE, 2, 0);
    until_batch(&fixture, batches + 1);
    fixture_turn(&fixture);
    CHECK_INT(poller->answers, 0); /* the start is durable before it is delivered */
    fixture_run(&fixture);
    CHECK_INT(fixture.store.batches, batches + 1);
    CHECK_INT(poller->answers, 1);
    CHECK(!poller->stale);
    CHECK_INT(schedule->answers, 1);
    /* The row was never written, so it is neither offered nor withdrawn. */
    CHECK_EQ(offers.offered_count, 0);
    CHECK_EQ(offers.withdrawn_count, 0);
    CHECK_EQ(fixture_call(&fixture, "a", LEDGER_READ, 0, 0).last_event_id, 3);
    fixture_crash(&fixture);
    CHECK(fixture_call(&fixture, "a", LEDGER_TAKE, 3, schedule->sequence).stale);
    fixture_forget(schedule);
    fixture_forget(poller);
    fixture_release(&fixture);
}

TEST(a_volatile_change_writes_nothing)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    int batches = fixture.store.batches;
    CHECK_INT(fixture_call(&fixture, "a", LEDGER_BEAT, 0, 0).base.error.code, ST_OK);
    CHECK_INT(fixture.store.batches, batches);
    fixture_release(&fixture);
}

/* The timer's row says 10 s (it is lazy); at 10 s it is to be set to 30 s, in a batch that the store refuses. */
TEST(a_wake_up_that_was_moved_in_a_refused_batch_still_fires)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    (void)fixture_call(&fixture, "other", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "bad", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "bad", LEDGER_TIMER, 2, 10 * NS_PER_S);
    (void)fixture_call(&fixture, "bad", LEDGER_TIMER, 3, 30 * NS_PER_S);
    struct ledger_request *other = fixture_submit(&fixture, "other", LEDGER_ADD, 4, 1);
    until_batch(&fixture, fixture.store.batches + 1); /* in flight, so that what follows is one batch */
    fixture_advance(&fixture, 10 * NS_PER_S);
    fixture_turn(&fixture);
    struct ledger_request *poison = fixture_request("bad", LEDGER_ADD);
    poison->request_id = 5;
    poison->padding = 17 << 20;
    lane_submit(runtime_lane(fixture.runtime, 0), &poison->base);
    fixture_run(&fixture);
    CHECK_INT(other->base.error.code, ST_OK);
    CHECK_INT(poison->base.error.code, ST_INTERNAL);
    for (int i = 0; i < 63; i++) {
        fixture_advance(&fixture, 2 * NS_PER_S);
        fixture_run(&fixture);
    }
    CHECK_EQ(fixture_call(&fixture, "bad", LEDGER_READ, 0, 0).last_event_id, 2);
    fixture_forget(other);
    fixture_forget(poison);
    fixture_release(&fixture);
}

static int  damaged_reads;
static void damage_again(struct store_read *read)
{
    damaged_reads++;
    damage(read);
}

TEST(timers_of_others_do_not_wait_for_a_damaged_run)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 1);
    (void)fixture_call(&fixture, "bad", LEDGER_START, 1, 0);
    (void)fixture_call(&fixture, "bad", LEDGER_TIMER, 2, NS_PER_S);
    (void)fixture_call(&fixture, "bad", LEDGER_ADD, 3, 1);
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        (void)fixture_call(&fixture, id, LEDGER_START, 1, 0);
        (void)fixture_call(&fixture, id, LEDGER_ADD, 2, 1);
        (void)fixture_call(&fixture, id, LEDGER_TIMER, 3, 5 * NS_PER_S);
    }
    fixture_crash(&fixture);
    fixture_run(&fixture);
    damaged_reads = 0;
    fixture.store.tamper = damage_again;
    fixture_advance(&fixture, NS_PER_S);
    fixture_run(&fixture); /* the damaged one is due, fails, and is quarantined */
    CHECK_INT(damaged_reads, 1);
    fixture_advance(&fixture, 4 * NS_PER_S);
    fixture_run(&fixture);
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        CHECK_EQ(fixture_call(&fixture, id, LEDGER_READ, 0, 0).last_event_id, 3);
    }
    fixture_advance(&fixture, 61 * NS_PER_S); /* the read was bad, the row is not: it fires when it can */
    fixture_run(&fixture);
    fixture_advance(&fixture, 61 * NS_PER_S);
    fixture_run(&fixture);
    CHECK_EQ(fixture_call(&fixture, "bad", LEDGER_READ, 0, 0).last_event_id, 3);
    fixture_release(&fixture);
}

/* A decision waits for old events while the newest ones, on which it rests, are lost with their batch. */
TEST(events_that_were_forgotten_do_not_reach_a_decision)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 1);
    (void)fixture_call(&fixture, "a", LEDGER_START, 1, 0);
    for (uint64_t i = 0; i < 3; i++) {
        struct ledger_request *add = fixture_request("a", LEDGER_ADD);
        add->request_id = 2 + i;
        add->amount = 1;
        add->padding = 20 << 10; /* the tail in memory does not hold them all */
        lane_submit(runtime_lane(fixture.runtime, 0), &add->base);
        fixture_run(&fixture);
        CHECK_INT(add->answers, 1);
        fixture_forget(add);
    }
    script(&fixture, 2, STORE_FULL);
    struct ledger_request *lost = fixture_submit(&fixture, "a", LEDGER_ADD, 9, 1000);
    struct ledger_request *sum = fixture_submit(&fixture, "a", LEDGER_SUM, 0, 0);
    for (int i = 0; i < 5; i++)
        fixture_turn(&fixture); /* the store has refused twice, and has not yet read */
    CHECK_INT(lost->base.error.code, ST_RESOURCE_EXHAUSTED);
    CHECK_INT(sum->answers, 0);
    fixture_run(&fixture);
    CHECK_INT(sum->answers, 1);
    CHECK_INT(sum->base.error.code, ST_OK);
    CHECK_EQ(sum->sum, 3);
    fixture_forget(lost);
    fixture_forget(sum);
    fixture_release(&fixture);
}

/* --- lanes --- */

TEST(requests_find_the_lane_of_their_workflow_and_come_home)
{
    struct fixture fixture;
    fixture_init(&fixture, false, 4);
    bool seen[4] = { false };
    for (int i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        seen[lane_index(runtime_owner(fixture.runtime, 1, bytes_of_text(id)))] = true;
        CHECK_INT(fixture_call(&fixture, id, LEDGER_START, 1, 0).base.error.code, ST_OK);
        CHECK_EQ(fixture_call(&fixture, id, LEDGER_ADD, 2, i).total, i);
        (void)fixture_call(&fixture, id, LEDGER_TIMER, 3, (i + 1) * NS_PER_S);
    }
    CHECK(seen[0] && seen[1] && seen[2] && seen[3]);
    fixture_crash(&fixture);
    for (int i = 0; i < 45; i++) {
        fixture_advance(&fixture, NS_PER_S);
        fixture_run(&fixture);
    }
    for (int i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        struct ledger_request read = fixture_call(&fixture, id, LEDGER_READ, 0, 0);
        CHECK_EQ(read.total, i);
        CHECK_EQ(read.last_event_id, 3);
    }
    fixture_release(&fixture);
}

TEST(settling_finishes_what_was_submitted)
{
    struct fixture fixture;
    fixture_init(&fixture, true, 2);
    struct ledger_request *requests[20];
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        requests[i] = fixture_submit(&fixture, id, LEDGER_START, 1, 0);
    }
    runtime_settle(fixture.runtime);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(requests[i]->answers, 1);
        fixture_forget(requests[i]);
    }
    runtime_free(fixture.runtime);
    store_close(&fixture.store.store);
}
