/* matching_test.c: pollers and tasks on a lane that only tells the time, and a store that answers when told to. */
#include <stdio.h>

#include "base/testing.h"
#include "matching/matching.h"

/* --- a lane of four functions --- */

static int64_t        fake_now;
static struct mailbox fake_mailbox;
static struct store   fake_store;
static struct lane   *fake_lane = (struct lane *)&fake_now;

int64_t lane_now(const struct lane *lane UNUSED)
{
    return fake_now;
}
struct mailbox *lane_mailbox(struct lane *lane UNUSED)
{
    return &fake_mailbox;
}
struct runtime *lane_runtime(const struct lane *lane UNUSED)
{
    return NULL;
}
void lane_after_sealed(struct lane *lane UNUSED, struct message *message)
{
    message->run(message); /* nothing is on its way to this store */
}
struct store *runtime_store(struct runtime *runtime UNUSED)
{
    return &fake_store;
}

/* --- rows, and reads that wait for answer() --- */

#define ROWS_MAX  512
#define READS_MAX 8
static struct store_ready rows[ROWS_MAX];
static size_t             row_count;
static struct store_read *reads[READS_MAX];
static size_t             read_count, reads_total;

static void fake_read(struct store *store UNUSED, struct store_read *read)
{
    assert(read_count < READS_MAX);
    reads[read_count++] = read;
    reads_total++;
}
static const struct store_operations fake_operations = { .name = "fake", .read = fake_read };

/* Rows are kept in this order. */
static int row_compare(int32_t priority, struct bytes key, store_number sequence,
                       const struct store_ready *row)
{
    if (priority != row->priority)
        return priority < row->priority ? -1 : 1;
    int order = bytes_compare(key, row->fairness_key);
    return order != 0 ? order : (sequence > row->sequence) - (sequence < row->sequence);
}

static bool row_wanted(const struct store_ready *row, const struct store_read *read)
{
    if (!bytes_equal(row->queue, read->queue) || row->kind != read->task_kind)
        return false;
    if (read->kind == STORE_READ_READY)
        return row->priority == read->priority && bytes_equal(row->fairness_key, read->fairness_key) &&
               row->sequence > read->after;
    const struct store_ready *last = read->ready_count == 0 ? NULL : &read->ready[read->ready_count - 1];
    if (last != NULL && last->priority == row->priority && bytes_equal(last->fairness_key, row->fairness_key))
        return false;
    return row_compare(read->priority, read->fairness_key, INT64_MAX, row) < 0;
}

static void answer_one(struct store_read *read, enum status status)
{
    read->status = status;
    read->ready = ARENA_NEW_ARRAY(read->arena, struct store_ready, ROWS_MAX);
    for (size_t i = 0; i < row_count && status == ST_OK; i++) { /* rows are kept in order of their keys */
        if (!row_wanted(&rows[i], read))
            continue;
        if (read->ready_count == read->limit) {
            read->more = true;
            break;
        }
        read->ready[read->ready_count++] = rows[i];
    }
    read->message.run(&read->message);
}

static void answer(struct matching *matching)
{
    matching_turn(matching);
    while (read_count != 0) {
        struct store_read *read = reads[--read_count];
        answer_one(read, ST_OK);
        matching_turn(matching);
    }
}

/* --- pollers that remember --- */

struct worker {
    struct poller       poller;
    struct poll_terms   terms;
    store_number        got; /* 0: nothing yet */
    struct direct_task *direct;
};
static void worker_assign(struct poller *poller, const struct store_ready *task)
{
    struct worker *worker = CONTAINER_OF(poller, struct worker, poller);
    assert_int_equal(worker->got, 0);
    assert_null(poller->queue);
    worker->got = task->sequence;
}
static void worker_assign_direct(struct poller *poller, struct direct_task *direct)
{
    CONTAINER_OF(poller, struct worker, poller)->direct = direct;
}
static struct worker worker_make(const char *identity)
{
    struct worker worker = { .poller = { .identity = bytes_of_text(identity),
                                         .assign = worker_assign,
                                         .assign_direct = worker_assign_direct } };
    return worker;
}

static struct queue_name normal_name(const char *name)
{
    return (struct queue_name){ 1, bytes_of_text(name), BYTES_EMPTY, STORE_TASK_WORKFLOW };
}
static struct queue_name sticky_name(const char *name, const char *normal)
{
    return (struct queue_name){ 1, bytes_of_text(name), bytes_of_text(normal), STORE_TASK_WORKFLOW };
}
static struct store_ready row_make(const struct queue_name *name, store_number sequence, int32_t priority)
{
    return (struct store_ready){ .sequence = sequence,
                                 .namespace_number = 1,
                                 .queue = name->name,
                                 .normal_queue = name->normal,
                                 .kind = name->kind,
                                 .priority = priority,
                                 .workflow_id = BYTES("workflow") };
}
static void row_store(const struct store_ready *row)
{
    size_t at = row_count++;
    assert(row_count <= ROWS_MAX);
    for (; at > 0 && row_compare(row->priority, row->fairness_key, row->sequence, &rows[at - 1]) < 0; at--)
        rows[at] = rows[at - 1];
    rows[at] = *row;
}
static void row_delete(store_number sequence)
{
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].sequence == sequence) {
            memmove(rows + i, rows + i + 1, (row_count - i - 1) * sizeof rows[0]);
            row_count--;
            return;
        }
    }
}
static void poll_as(struct matching *matching, const struct queue_name *name, struct worker *worker)
{
    struct error error;
    list_init(&worker->poller.link);
    worker->poller.since = 0;
    CHECK_INT(matching_poll(matching, name, &worker->poller, &worker->terms, &error), ST_OK);
}
static struct matching *begin(size_t window_size)
{
    fake_now = 1000 * NS_PER_S;
    row_count = read_count = reads_total = 0;
    fake_store.operations = &fake_operations;
    mailbox_init(&fake_mailbox, NULL, NULL);
    return matching_new(fake_lane, window_size, NULL, NULL);
}

TEST(a_first_poller_reads_the_rows_that_waited_on_disk)
{
    struct matching   *matching = begin(4);
    struct queue_name  name = normal_name("q");
    struct worker      worker = worker_make("w");
    struct store_ready row = row_make(&name, 7, 3);
    row_store(&row);
    poll_as(matching, &name, &worker);
    CHECK_INT(worker.got, 0);
    answer(matching);
    CHECK_INT(worker.got, 7);
    matching_free(matching);
}

TEST(pollers_are_served_in_the_order_they_came_and_tasks_by_priority_then_age)
{
    struct matching   *matching = begin(8);
    struct queue_name  name = normal_name("q");
    struct store_ready late = row_make(&name, 5, 3), urgent = row_make(&name, 9, 1),
                       early = row_make(&name, 4, 3);
    row_store(&late);
    row_store(&urgent);
    row_store(&early);
    struct worker first = worker_make("1"), second = worker_make("2"), third = worker_make("3");
    poll_as(matching, &name, &first);
    poll_as(matching, &name, &second);
    poll_as(matching, &name, &third);
    answer(matching);
    CHECK_INT(first.got, 9);
    CHECK_INT(second.got, 4);
    CHECK_INT(third.got, 5);
    matching_free(matching);
}

TEST(an_offer_reaches_a_waiting_poller_at_once_and_only_one)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    struct worker     first = worker_make("1"), second = worker_make("2");
    poll_as(matching, &name, &first);
    poll_as(matching, &name, &second);
    answer(matching);
    struct store_ready row = row_make(&name, 7, 3);
    matching_offer(matching, &row);
    CHECK_INT(first.got, 7);
    CHECK_INT(second.got, 0);
    matching_cancel(matching, &second.poller);
    matching_free(matching);
}

TEST(a_poller_is_reserved_only_when_nothing_older_waits)
{
    struct matching   *matching = begin(4);
    struct queue_name  name = normal_name("q");
    struct worker      worker = worker_make("w");
    struct store_ready row = row_make(&name, 7, 3);
    CHECK_PTR(matching_reserve(matching, &row), NULL); /* nobody */
    poll_as(matching, &name, &worker);
    CHECK_PTR(matching_reserve(matching, &row), NULL); /* what is on disk is not known yet */
    answer(matching);
    CHECK_PTR(matching_reserve(matching, &row), &worker.poller);
    CHECK_PTR(matching_reserve(matching, &row), NULL); /* it is taken */
    matching_unreserve(matching, &name, &worker.poller);
    CHECK_PTR(matching_reserve(matching, &row), &worker.poller);
    matching_free(matching);
}

TEST(a_million_rows_cost_a_window_and_come_out_in_order)
{
    struct matching  *matching = begin(2);
    struct queue_name name = normal_name("q");
    for (store_number sequence = 1; sequence <= 40; sequence++) {
        struct store_ready row = row_make(&name, sequence, 3);
        row_store(&row);
        matching_offer(matching, &row);
    }
    for (store_number sequence = 1; sequence <= 40; sequence++) {
        struct worker worker = worker_make("w");
        poll_as(matching, &name, &worker);
        answer(matching);
        CHECK_INT(worker.got, sequence);
        row_delete(sequence);
        struct matching_statistics statistics;
        matching_statistics(matching, &statistics);
        CHECK(statistics.items <= 2);
    }
    matching_free(matching);
}

TEST(a_lost_offer_is_found_by_the_sweep)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    struct worker     worker = worker_make("w");
    poll_as(matching, &name, &worker);
    answer(matching);
    struct store_ready row = row_make(&name, 7, 3);
    row_store(&row); /* durable, and its offer went astray */
    fake_now += MATCHING_SWEEP_NS - 1;
    answer(matching);
    CHECK_INT(worker.got, 0);
    fake_now += 1;
    CHECK(matching_next_due(matching) <= fake_now);
    answer(matching);
    CHECK_INT(worker.got, 7);
    matching_free(matching);
}

TEST(a_dirty_queue_reads_again_at_once)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    struct worker     worker = worker_make("w");
    poll_as(matching, &name, &worker);
    answer(matching);
    struct store_ready row = row_make(&name, 7, 3);
    row_store(&row);
    matching_mark_dirty(matching);
    answer(matching);
    CHECK_INT(worker.got, 7);
    matching_free(matching);
}

TEST(a_failed_read_is_tried_again_by_the_sweep)
{
    struct matching   *matching = begin(4);
    struct queue_name  name = normal_name("q");
    struct worker      worker = worker_make("w");
    struct store_ready row = row_make(&name, 7, 3);
    row_store(&row);
    poll_as(matching, &name, &worker);
    matching_turn(matching);
    CHECK_INT(read_count, 1);
    read_count = 0;
    answer_one(reads[0], ST_UNAVAILABLE);
    matching_turn(matching);
    CHECK_INT(read_count, 0); /* no hot loop */
    fake_now += MATCHING_SWEEP_NS;
    answer(matching);
    CHECK_INT(worker.got, 7);
    matching_free(matching);
}

TEST(a_withdrawn_task_is_not_handed_out)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    struct worker     first = worker_make("1"), second = worker_make("2");
    poll_as(matching, &name, &first);
    answer(matching);
    struct store_ready one = row_make(&name, 7, 3), two = row_make(&name, 8, 3),
                       three = row_make(&name, 9, 3);
    matching_offer(matching, &one);
    CHECK_INT(first.got, 7);
    matching_offer(matching, &two);
    matching_offer(matching, &three);
    matching_withdraw(matching, 8);
    matching_withdraw(matching, 12345); /* unknown: nothing happens */
    poll_as(matching, &name, &second);
    CHECK_INT(second.got, 9);
    matching_free(matching);
}

TEST(a_task_without_a_row_waits_for_a_poller_and_no_longer_than_it_is_wanted)
{
    struct matching   *matching = begin(4);
    struct queue_name  name = normal_name("q"), sticky = sticky_name("s", "q");
    struct worker      first = worker_make("a"), second = worker_make("b"), third = worker_make("c");
    struct store_ready task = row_make(&name, 7, 3), on_sticky = row_make(&sticky, 8, 3);
    task.without_row = on_sticky.without_row = true;
    matching_offer(matching, &task); /* to a queue that nobody knows yet */
    poll_as(matching, &name, &first);
    CHECK_INT(first.got, 7);
    matching_offer(matching, &on_sticky); /* nobody polls there: the normal queue has it */
    poll_as(matching, &name, &second);
    CHECK_INT(second.got, 8);
    task.sequence = 9;
    matching_offer(matching, &task);
    fake_now += MATCHING_FLEETING_NS + 1;
    poll_as(matching, &name, &third);
    CHECK_INT(third.got, 0);
    task.sequence = 10;
    matching_offer(matching, &task); /* at once */
    CHECK_INT(third.got, 10);
    for (store_number i = 0; i <= MATCHING_FLEETING_MAX; i++) { /* one too many: the oldest goes */
        task.sequence = 100 + i;
        matching_offer(matching, &task);
    }
    third.got = 0;
    poll_as(matching, &name, &third);
    CHECK_INT(third.got, 101);
    answer(matching);
    matching_free(matching);
}

TEST(a_sticky_queue_that_died_is_served_by_the_normal_pollers)
{
    struct matching  *matching = begin(4);
    struct queue_name normal = normal_name("q"), sticky = sticky_name("q-sticky", "q");
    struct worker     worker = worker_make("sticky"), helper = worker_make("normal");
    poll_as(matching, &sticky, &worker);
    poll_as(matching, &normal, &helper);
    answer(matching);
    matching_cancel(matching, &worker.poller); /* its process was killed */
    CHECK(matching_alive(matching, &sticky));
    struct store_ready row = row_make(&sticky, 7, 3);
    matching_offer(matching, &row);
    CHECK_INT(helper.got, 0); /* it may still come back */
    fake_now += MATCHING_ALIVE_NS;
    CHECK(!matching_alive(matching, &sticky));
    matching_turn(matching);
    CHECK_INT(helper.got, 7);
    matching_free(matching);
}

TEST(a_sticky_queue_whose_worker_said_goodbye_is_dead_at_once_and_alive_after_the_next_poll)
{
    struct matching  *matching = begin(4);
    struct queue_name normal = normal_name("q"), sticky = sticky_name("q-sticky", "q");
    struct worker     worker = worker_make("sticky"), helper = worker_make("normal");
    poll_as(matching, &sticky, &worker);
    poll_as(matching, &normal, &helper);
    answer(matching);
    matching_forget_sticky(matching, &sticky);
    CHECK(!matching_alive(matching, &sticky));
    struct store_ready row = row_make(&sticky, 7, 3);
    CHECK_PTR(matching_reserve(matching, &row), &helper.poller);
    matching_unreserve(matching, &normal, &helper.poller);
    matching_expire(matching, &worker.poller);
    poll_as(matching, &sticky, &worker);
    answer(matching);
    CHECK_PTR(matching_reserve(matching, &row), &worker.poller);
    matching_cancel(matching, &helper.poller);
    matching_free(matching);
}

TEST(rows_of_a_sticky_queue_nobody_knows_after_a_restart_go_to_the_normal_queue)
{
    struct matching  *matching = begin(4);
    struct queue_name normal = normal_name("q"), sticky = sticky_name("q-sticky", "q");
    struct worker     helper = worker_make("normal");
    poll_as(matching, &normal, &helper);
    answer(matching);
    struct store_ready row = row_make(&sticky, 7, 3);
    row_store(&row);
    matching_offer(matching, &row);
    answer(matching);
    CHECK_INT(helper.got, 7);
    matching_free(matching);
}

TEST(rows_of_a_sticky_queue_nobody_polled_wait_for_the_next_normal_poller)
{
    struct matching  *matching = begin(4);
    struct queue_name normal = normal_name("q"), sticky = sticky_name("q-sticky", "q");
    struct worker     early = worker_make("early"), late = worker_make("late");
    poll_as(matching, &normal, &early);
    answer(matching);
    matching_cancel(matching, &early.poller);
    struct store_ready row = row_make(&sticky, 7, 3);
    row_store(&row);
    matching_offer(matching, &row);
    answer(matching);
    poll_as(matching, &normal, &late);
    answer(matching);
    CHECK_INT(late.got, 7);
    matching_free(matching);
}

TEST(a_query_goes_to_a_waiting_poller_or_waits_for_one)
{
    struct matching   *matching = begin(4);
    struct queue_name  name = normal_name("q");
    struct worker      worker = worker_make("w");
    struct direct_task early = { .queue = NULL }, late = { .queue = NULL }, dropped = { .queue = NULL };
    struct error       error;
    CHECK_INT(matching_direct(matching, &name, &dropped, &error), ST_OK);
    CHECK_INT(matching_direct(matching, &name, &early, &error), ST_OK);
    matching_direct_cancel(&dropped);
    matching_direct_cancel(&dropped);
    poll_as(matching, &name, &worker);
    CHECK_PTR(worker.direct, &early);
    CHECK_PTR(early.queue, NULL);
    poll_as(matching, &name, &worker);
    CHECK_INT(matching_direct(matching, &name, &late, &error), ST_OK);
    CHECK_PTR(worker.direct, &late);
    matching_free(matching);
}

TEST(an_idle_queue_is_forgotten_and_its_rows_are_read_again)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    struct worker     worker = worker_make("w");
    poll_as(matching, &name, &worker);
    answer(matching);
    struct queue_description description;
    matching_describe(matching, &name, &description);
    CHECK(description.known);
    CHECK_INT(description.poller_count, 1);
    CHECK_BYTES(description.pollers[0].identity, BYTES("w"));
    matching_cancel(matching, &worker.poller);
    struct store_ready row = row_make(&name, 7, 3);
    row_store(&row);
    matching_offer(matching, &row);
    fake_now += MATCHING_IDLE_NS;
    matching_turn(matching);
    matching_describe(matching, &name, &description);
    CHECK(!description.known);
    CHECK_INT(matching_next_due(matching), TIME_NEVER);
    poll_as(matching, &name, &worker);
    answer(matching);
    CHECK_INT(worker.got, 7);
    matching_free(matching);
}

TEST(queues_of_two_kinds_or_namespaces_share_a_name_and_nothing_else)
{
    struct matching  *matching = begin(4);
    struct queue_name workflow = normal_name("q"), activity = workflow, other = workflow;
    activity.kind = STORE_TASK_ACTIVITY;
    other.namespace_number = 2;
    struct worker workers[3] = { worker_make("a"), worker_make("b"), worker_make("c") };
    poll_as(matching, &workflow, &workers[0]);
    poll_as(matching, &activity, &workers[1]);
    poll_as(matching, &other, &workers[2]);
    answer(matching);
    struct store_ready row = row_make(&activity, 7, 3);
    matching_offer(matching, &row);
    CHECK_INT(workers[0].got, 0);
    CHECK_INT(workers[1].got, 7);
    CHECK_INT(workers[2].got, 0);
    matching_cancel(matching, &workers[0].poller);
    matching_cancel(matching, &workers[2].poller);
    matching_free(matching);
}

static void count_poller(void *context, struct poller *poller UNUSED)
{
    ++*(size_t *)context;
}

TEST(pollers_of_one_worker_are_found_by_its_key)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    struct worker     mine = worker_make("a"), foreign = worker_make("b");
    mine.poller.worker_instance_key = BYTES("key");
    poll_as(matching, &name, &mine);
    poll_as(matching, &name, &foreign);
    answer(matching);
    size_t count = 0;
    matching_each_poller(matching, 2, BYTES("key"), count_poller, &count);
    CHECK_INT(count, 0);
    matching_each_poller(matching, 1, BYTES("key"), count_poller, &count);
    CHECK_INT(count, 1);
    matching_cancel(matching, &mine.poller);
    matching_cancel(matching, &foreign.poller);
    matching_free(matching);
}

/* --- priorities, fairness, limits, statistics --- */

static struct store_ready row_of_key(const struct queue_name *name, store_number sequence, int32_t priority,
                                     const char *key)
{
    struct store_ready row = row_make(name, sequence, priority);
    row.fairness_key = bytes_of_text(key);
    row.created_time = fake_now;
    return row;
}

static void assign_and_delete(struct poller *poller, const struct store_ready *task)
{
    worker_assign(poller, task);
    row_delete(task->sequence); /* reads come after what was decided before them */
}
/* One poll after the other: what is handed out, which then goes from the disk. */
static store_number take_one(struct matching *matching, const struct queue_name *name)
{
    struct worker worker = worker_make("w");
    worker.poller.assign = assign_and_delete;
    poll_as(matching, name, &worker);
    answer(matching);
    if (worker.got == 0)
        matching_cancel(matching, &worker.poller);
    return worker.got;
}

TEST(an_urgent_task_passes_a_backlog_that_memory_does_not_hold)
{
    struct matching  *matching = begin(2);
    struct queue_name name = normal_name("q");
    for (store_number sequence = 1; sequence <= 40; sequence++) {
        struct store_ready row = row_of_key(&name, sequence, 3, "");
        row_store(&row);
    }
    CHECK_INT(take_one(matching, &name), 1);
    struct store_ready urgent = row_of_key(&name, 100, 1, ""), late = row_of_key(&name, 101, 5, "");
    row_store(&urgent);
    matching_offer(matching, &urgent);
    row_store(&late);
    matching_offer(matching, &late);
    CHECK_INT(take_one(matching, &name), 100);
    for (store_number sequence = 2; sequence <= 40; sequence++)
        CHECK_INT(take_one(matching, &name), sequence);
    CHECK_INT(take_one(matching, &name), 101);
    CHECK_INT(take_one(matching, &name), 0);
    matching_free(matching);
}

TEST(a_key_with_a_backlog_does_not_hide_the_others)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    for (store_number sequence = 1; sequence <= 60; sequence++) {
        struct store_ready row = row_of_key(&name, sequence, 3, "big");
        row_store(&row);
    }
    for (store_number sequence = 101; sequence <= 105; sequence++) {
        struct store_ready row = row_of_key(&name, sequence, 3, "small");
        row_store(&row);
    }
    size_t small = 0;
    for (size_t i = 0; i < 10; i++)
        small += take_one(matching, &name) > 100 ? 1 : 0;
    CHECK_INT(small, 5); /* every other one */
    for (size_t i = 0; i < 55; i++)
        CHECK(take_one(matching, &name) != 0);
    CHECK_INT(take_one(matching, &name), 0);
    matching_free(matching);
}

static size_t count_of_big(struct matching *matching, const struct queue_name *name, size_t tasks)
{
    size_t big = 0;
    for (size_t i = 0; i < tasks; i++) {
        store_number got = take_one(matching, name);
        CHECK(got != 0);
        big += got < 1000 ? 1 : 0;
    }
    return big;
}

TEST(weights_share_a_queue_and_an_override_wins_over_what_tasks_say)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    for (store_number sequence = 1; sequence <= 100; sequence++) {
        struct store_ready heavy = row_of_key(&name, sequence, 3, "heavy"),
                           light = row_of_key(&name, 1000 + sequence, 3, "light");
        heavy.fairness_weight = 3000;
        row_store(&heavy);
        row_store(&light);
    }
    size_t heavy = count_of_big(matching, &name, 40);
    CHECK(heavy >= 29 && heavy <= 31);
    struct queue_weight weight = { BYTES("heavy"), 1000 };
    struct queue_config config = { .weights = &weight, .weight_count = 1 };
    matching_configure(matching, &name, &config);
    heavy = count_of_big(matching, &name, 40);
    CHECK(heavy >= 19 && heavy <= 21);
    matching_free(matching);
}

/* More keys than streams: nothing starves, and everything comes in the end. */
TEST(more_keys_than_memory_holds_all_have_their_turn)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    static char       keys[12][8];
    for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
        snprintf(keys[k], sizeof keys[k], "key%zu", k);
        for (store_number i = 0; i < 5; i++) {
            struct store_ready row = row_of_key(&name, (store_number)(100 * (k + 1)) + i, 3, keys[k]);
            row_store(&row);
        }
    }
    bool seen[ARRAY_COUNT(keys)][5] = { { false } };
    for (size_t i = 0; i < ARRAY_COUNT(keys) * 5; i++) {
        store_number got = take_one(matching, &name);
        CHECK(got != 0);
        CHECK(!seen[got / 100 - 1][got % 100]);
        seen[got / 100 - 1][got % 100] = true;
        struct matching_statistics statistics;
        matching_statistics(matching, &statistics);
        CHECK(statistics.items <= 16);
    }
    CHECK_INT(take_one(matching, &name), 0);
    matching_free(matching);
}

TEST(an_urgent_key_takes_the_place_of_another_when_there_are_too_many)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    static char       keys[8][8];
    for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
        snprintf(keys[k], sizeof keys[k], "key%zu", k);
        for (store_number i = 0; i < 3; i++) {
            struct store_ready row = row_of_key(&name, (store_number)(100 * (k + 1)) + i, 3, keys[k]);
            row_store(&row);
        }
    }
    CHECK(take_one(matching, &name) != 0);
    struct store_ready urgent = row_of_key(&name, 5000, 1, "vip");
    row_store(&urgent);
    matching_offer(matching, &urgent);
    CHECK_INT(take_one(matching, &name), 5000);
    for (size_t i = 1; i < ARRAY_COUNT(keys) * 3; i++)
        CHECK(take_one(matching, &name) != 0);
    CHECK_INT(take_one(matching, &name), 0);
    matching_free(matching);
}

TEST(a_limit_lets_a_second_s_worth_through_and_then_one_at_a_time)
{
    struct matching  *matching = begin(64);
    struct queue_name name = normal_name("q");
    name.kind = STORE_TASK_ACTIVITY;
    for (store_number sequence = 1; sequence <= 20; sequence++) {
        struct store_ready row = row_of_key(&name, sequence, 3, "");
        row_store(&row);
    }
    struct worker workers[20];
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++) {
        workers[i] = worker_make("w");
        workers[i].terms = (struct poll_terms){ .has_rate = true, .rate = 4 };
        poll_as(matching, &name, &workers[i]);
    }
    answer(matching);
    CHECK_INT(workers[3].got, 4);
    CHECK_INT(workers[4].got, 0);
    struct queue_description description;
    matching_describe(matching, &name, &description);
    CHECK(description.rate > 3.9 && description.rate < 4.1);
    CHECK_INT(description.rate_source, RATE_OF_WORKER);
    CHECK(description.limited);
    CHECK_INT(matching_next_due(matching), fake_now + 250 * NS_PER_MS);
    fake_now += 250 * NS_PER_MS - 1;
    matching_turn(matching);
    CHECK_INT(workers[4].got, 0);
    fake_now += 1;
    matching_turn(matching);
    CHECK_INT(workers[4].got, 5);
    CHECK_INT(workers[5].got, 0);
    /* What an operator sets goes before what a worker says; 0 stops the queue. */
    struct queue_config stop = { .has_rate = true, .rate = 0 };
    matching_configure(matching, &name, &stop);
    fake_now += 5 * NS_PER_S;
    matching_turn(matching);
    CHECK_INT(workers[5].got, 0);
    matching_describe(matching, &name, &description);
    CHECK_INT(description.rate_source, RATE_OF_API);
    struct queue_config faster = { .has_rate = true, .rate = 6 };
    matching_configure(matching, &name, &faster);
    CHECK_INT(workers[10].got, 11);
    CHECK_INT(workers[11].got, 0);
    for (size_t i = 11; i < ARRAY_COUNT(workers); i++)
        matching_cancel(matching, &workers[i].poller);
    matching_free(matching);
}

TEST(a_limited_queue_reserves_nobody_and_a_stale_task_costs_no_token)
{
    struct matching  *matching = begin(4);
    struct queue_name name = normal_name("q");
    name.kind = STORE_TASK_ACTIVITY;
    struct worker      first = worker_make("1"), second = worker_make("2");
    struct store_ready row = row_make(&name, 7, 3);
    first.terms = second.terms = (struct poll_terms){ .has_rate = true, .rate = 1 };
    poll_as(matching, &name, &first);
    poll_as(matching, &name, &second);
    answer(matching);
    CHECK_PTR(matching_reserve(matching, &row), &first.poller);
    CHECK_PTR(matching_reserve(matching, &row), NULL);
    matching_refund(matching, &name);
    CHECK_PTR(matching_reserve(matching, &row), &second.poller);
    matching_free(matching);
}

TEST(each_key_has_its_own_limit_by_weight)
{
    struct matching  *matching = begin(64);
    struct queue_name name = normal_name("q");
    name.kind = STORE_TASK_ACTIVITY;
    struct worker asker = worker_make("w");
    poll_as(matching, &name, &asker);
    answer(matching);
    matching_cancel(matching, &asker.poller);
    struct queue_weight weight = { BYTES("b"), 3000 };
    struct queue_config config = {
        .has_key_rate = true, .key_rate = 1, .weights = &weight, .weight_count = 1
    };
    matching_configure(matching, &name, &config);
    for (store_number sequence = 1; sequence <= 10; sequence++) {
        struct store_ready a = row_of_key(&name, sequence, 1, "a"),
                           b = row_of_key(&name, 1000 + sequence, 3, "b");
        row_store(&a);
        matching_offer(matching, &a);
        row_store(&b);
        matching_offer(matching, &b);
    }
    CHECK_INT(take_one(matching, &name), 1);
    CHECK_INT(take_one(matching, &name), 1001); /* the better priority has to wait for its limit */
    CHECK_INT(take_one(matching, &name), 1002);
    CHECK_INT(take_one(matching, &name), 1003);
    CHECK_INT(take_one(matching, &name), 0);
    fake_now += NS_PER_S;
    CHECK_INT(take_one(matching, &name), 2);
    CHECK_INT(take_one(matching, &name), 1004);
    matching_free(matching);
}

TEST(rates_are_of_the_last_half_minute_and_by_priority)
{
    struct matching         *matching = begin(64);
    struct queue_name        name = normal_name("q");
    struct queue_description description;
    for (store_number sequence = 1; sequence <= 30; sequence++) {
        struct store_ready row = row_of_key(&name, sequence, sequence % 2 == 0 ? 1 : 3, "");
        matching_offer(matching, &row);
        row_store(&row);
        fake_now += NS_PER_S;
    }
    matching_describe(matching, &name, &description);
    CHECK(description.add_rate[1] > 0.45 && description.add_rate[1] < 0.55);
    CHECK(description.add_rate[3] > 0.45 && description.add_rate[3] < 0.55);
    CHECK(description.dispatch_rate[1] == 0);
    for (size_t i = 0; i < 3; i++)
        CHECK(take_one(matching, &name) != 0);
    matching_describe(matching, &name, &description);
    CHECK(description.dispatch_rate[1] > 0.09 && description.dispatch_rate[1] < 0.11);
    fake_now += 40 * NS_PER_S;
    matching_describe(matching, &name, &description);
    CHECK(description.known);
    CHECK(description.add_rate[1] == 0 && description.dispatch_rate[1] == 0);
    matching_free(matching);
}

TEST(hints_to_workers_follow_the_wait_and_the_backlog)
{
    struct matching  *matching = begin(64);
    struct queue_name name = normal_name("q");
    CHECK_INT(matching_scaling(matching, &name, fake_now), 0); /* nobody knows this queue */
    struct worker worker = worker_make("w");
    poll_as(matching, &name, &worker);
    answer(matching);
    int64_t since = fake_now;
    CHECK_INT(worker.poller.since, since);
    fake_now += NS_PER_S;
    struct store_ready row = row_of_key(&name, 1, 3, "");
    matching_offer(matching, &row);
    CHECK_INT(worker.got, 1);
    CHECK_INT(matching_scaling(matching, &name, worker.poller.since), -1);
    for (store_number sequence = 2; sequence <= 4; sequence++) {
        row = row_of_key(&name, sequence, 3, "");
        matching_offer(matching, &row);
    }
    CHECK_INT(matching_scaling(matching, &name, fake_now), 1); /* four came, one went */
    CHECK_INT(matching_scaling(matching, &name, fake_now), 0); /* not so often */
    fake_now += 40 * NS_PER_S; /* nothing came for long, but what there is is old */
    CHECK_INT(matching_scaling(matching, &name, fake_now), 1);
    matching_free(matching);
}

TEST(a_queue_that_nobody_ever_polled_counts_and_holds_nothing)
{
    struct matching  *matching = begin(64);
    struct queue_name name = normal_name("q");
    for (store_number sequence = 1; sequence <= 10; sequence++) {
        struct store_ready row = row_of_key(&name, sequence, 3, "");
        matching_offer(matching, &row);
    }
    struct matching_statistics statistics;
    matching_statistics(matching, &statistics);
    CHECK_INT(statistics.items, 0);
    CHECK_INT(statistics.queues, 1);
    fake_now += MATCHING_IDLE_NS;
    matching_turn(matching);
    matching_statistics(matching, &statistics);
    CHECK_INT(statistics.queues, 0);
    matching_free(matching);
}

static void note_question(void *context, const struct queue_name *name UNUSED)
{
    ++*(size_t *)context;
}

TEST(a_queue_asks_for_its_settings_and_hands_nothing_out_before_it_has_them)
{
    size_t           questions = 0;
    struct matching *unused = begin(4);
    matching_free(unused);
    struct matching   *matching = matching_new(fake_lane, 4, note_question, &questions);
    struct queue_name  name = normal_name("q");
    struct worker      worker = worker_make("w");
    struct store_ready row = row_make(&name, 7, 3);
    row_store(&row);
    poll_as(matching, &name, &worker);
    answer(matching);
    CHECK_INT(questions, 1);
    CHECK_INT(worker.got, 0);
    matching_configure_failed(matching, &name); /* the store could not say: the sweep asks again */
    matching_turn(matching);
    CHECK_INT(questions, 1);
    fake_now += MATCHING_SWEEP_NS;
    answer(matching);
    CHECK_INT(questions, 2);
    CHECK_INT(worker.got, 0);
    matching_configure(matching, &name, &(struct queue_config){ 0 });
    CHECK_INT(worker.got, 7);
    matching_free(matching);
}

TEST(queues_that_nobody_polls_leave_room_for_those_that_somebody_does)
{
    struct matching           *matching = begin(4);
    struct matching_statistics statistics;
    for (size_t i = 0; i < MATCHING_QUEUES_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "queue-%zu", i);
        struct queue_name  queue = normal_name(name);
        struct store_ready row = row_of_key(&queue, (store_number)i + 1, 3, "");
        matching_offer(matching, &row);
    }
    matching_statistics(matching, &statistics);
    CHECK_INT(statistics.queues, MATCHING_QUEUES_MAX / 2);
    struct queue_name name = normal_name("polled");
    struct worker     worker = worker_make("w");
    poll_as(matching, &name, &worker);
    answer(matching);
    matching_cancel(matching, &worker.poller);
    fake_now += MATCHING_IDLE_NS;
    while (matching_next_due(matching) <= fake_now)
        matching_turn(matching);
    matching_statistics(matching, &statistics);
    CHECK_INT(statistics.queues, 0);
    matching_free(matching);
}
