/* matching_test.c: pollers and tasks on a lane that only tells the time, and a store that answers when told to. */
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

#define ROWS_MAX  64
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

static bool row_after(const struct store_ready *row, const struct store_read *read)
{
    return row->priority > read->after_priority ||
           (row->priority == read->after_priority && row->sequence > read->after);
}

static void answer_one(struct store_read *read, enum status status)
{
    read->status = status;
    read->ready = ARENA_NEW_ARRAY(read->arena, struct store_ready, ROWS_MAX);
    for (size_t i = 0; i < row_count && status == ST_OK; i++) { /* rows are kept in order of their keys */
        if (!bytes_equal(rows[i].queue, read->queue) || rows[i].kind != read->task_kind ||
            !row_after(&rows[i], read))
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
    for (; at > 0 && (rows[at - 1].priority > row->priority ||
                      (rows[at - 1].priority == row->priority && rows[at - 1].sequence > row->sequence));
         at--)
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
    CHECK_INT(matching_poll(matching, name, &worker->poller, &error), ST_OK);
}
static struct matching *begin(size_t window_size)
{
    fake_now = 1000 * NS_PER_S;
    row_count = read_count = reads_total = 0;
    fake_store.operations = &fake_operations;
    mailbox_init(&fake_mailbox, NULL, NULL);
    return matching_new(fake_lane, window_size);
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
    matching_each_poller(matching, BYTES("key"), count_poller, &count);
    CHECK_INT(count, 1);
    matching_cancel(matching, &mine.poller);
    matching_cancel(matching, &foreign.poller);
    matching_free(matching);
}
