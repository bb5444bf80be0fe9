/* visibility_bench.c: what lists and counts over many runs cost in the SQLite store, without a server around it.
 *
 *   visibility_bench [DIRECTORY [RUNS [SECONDS [TEXT]]]]
 *
 * Fills a store with runs as a year of orders leaves them: 2,000 of a thousand customers are open, five statuses, 20 types, and
 * five search attributes each. Then each question is asked with other values for so many seconds; prints its latencies. The
 * file stays when DIRECTORY was given and is used again by the next run of the same size. TEXT: only
 * the questions that contain it. */
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/random.h"
#include "store/sqlite.h"

#define BATCH_RUNS    2000
#define LATENCIES_MAX 100000
#define YEAR_NS       (365 * 86400 * NS_PER_S)
#define FIRST_NS      (INT64_C(1767225600) * NS_PER_S) /* 2026-01-01 */
#define NAMESPACE     1
#define OPEN_RUNS     2000

static const struct store_attribute customer = { BYTES("Customer"), STORE_ATTRIBUTE_KEYWORD };
static const struct store_attribute city = { BYTES("City"), STORE_ATTRIBUTE_KEYWORD };
static const struct store_attribute amount = { BYTES("Amount"), STORE_ATTRIBUTE_DOUBLE };
static const struct store_attribute due = { BYTES("Due"), STORE_ATTRIBUTE_TIME };
static const struct store_attribute tags = { BYTES("Tags"), STORE_ATTRIBUTE_LIST };

struct bench {
    struct store *store;
    struct arena  arena;
    struct random random;
    int64_t       runs, duration_ns;
    int64_t       latencies[LATENCIES_MAX];
};

static int64_t below(struct bench *bench, int64_t end)
{
    return (int64_t)random_below(&bench->random, (uint64_t)end);
}

static struct store_value text_value(struct bench *bench, const char *form, int64_t number)
{
    return (struct store_value){ .is_text = true, .text = arena_printf(&bench->arena, form, number) };
}
static struct store_value number_value(int64_t number)
{
    return (struct store_value){ .number = number };
}
static struct store_value amount_value(struct bench *bench)
{
    return number_value(store_number_of_double((double)below(bench, 1000000) / 100));
}

/* --- the rows --- */

static struct bytes attributes_make(struct bench *bench, struct arena *arena, int64_t start_ns)
{
    struct store_attribute_value values[] = {
        { customer, text_value(bench, "customer-%" PRId64, below(bench, 100000)) },
        { city, text_value(bench, "city-%" PRId64, below(bench, 50)) },
        { amount, amount_value(bench) },
        { due, number_value(start_ns + below(bench, 30) * 86400 * NS_PER_S) },
        { tags, text_value(bench, "tag-%" PRId64, below(bench, 10)) },
        { tags, text_value(bench, "tag-%" PRId64, below(bench, 10)) },
    };
    return store_attributes_encode(values, ARRAY_COUNT(values), arena);
}

static void add_run(struct bench *bench, struct store_batch *batch, int64_t number)
{
    struct store_write *write = store_batch_add(batch, STORE_RUN_INSERT, (uint32_t)number);
    struct store_run   *run = write->run = ARENA_NEW(&batch->arena, struct store_run);
    bool                is_open = number > bench->runs - OPEN_RUNS;
    run->number = number;
    run->namespace_number = NAMESPACE;
    run->workflow_id = arena_printf(&batch->arena, "order-%016" PRIx64,
                                    (uint64_t)number * UINT64_C(0x9E3779B97F4A7C15));
    run->workflow_type = arena_printf(&batch->arena, "Order%" PRId64, below(bench, 20));
    run->task_queue = BYTES("orders");
    run->start_time = run->execution_time = FIRST_NS + number * (YEAR_NS / bench->runs);
    run->status = is_open ? 1 : below(bench, 50) != 0 ? 2 : 3 + (int32_t)below(bench, 5);
    if (run->status == 6)
        run->status = 7;
    memcpy(run->run_id.byte, &number, sizeof number);
    run->attributes = attributes_make(bench, &batch->arena, run->start_time);
    batch->size += 300;
    if (is_open)
        return;
    run->close_time = run->start_time + below(bench, 3600) * NS_PER_S;
    run->history_length = 11;
    run->history_size = 1170;
    run->state_transitions = 5;
}

static void wake(void *context)
{
    sem_post(context);
}

static void nothing(struct message *message)
{
    (void)message;
}

static void fill(struct bench *bench)
{
    struct mailbox     mailbox;
    struct store_batch batch;
    sem_t              woken;
    int64_t            begin_ns = clock_monotonic_ns(&clock_system);
    sem_init(&woken, 0, 0);
    mailbox_init(&mailbox, wake, &woken);
    store_batch_init(&batch, &mailbox, nothing);
    for (int64_t at = 1; at <= bench->runs; at += BATCH_RUNS) {
        for (int64_t i = at; i < at + BATCH_RUNS && i <= bench->runs; i++)
            add_run(bench, &batch, i);
        store_submit(bench->store, &batch);
        while (mailbox_take(&mailbox) == NULL)
            sem_wait(&woken);
        if (batch.outcome != STORE_DURABLE)
            panic("outcome %d: %s", (int)batch.outcome, batch.error.message);
        store_batch_clear(&batch);
        arena_reset(&bench->arena);
    }
    store_batch_release(&batch);
    sem_destroy(&woken);
    int64_t took_ns = clock_monotonic_ns(&clock_system) - begin_ns;
    printf("%" PRId64 " runs with five search attributes each: filled in %.0f s, %.1f us each\n", bench->runs,
           (double)took_ns / 1e9, (double)took_ns / 1e3 / (double)bench->runs);
}

/* --- the questions --- */

static struct store_filter *condition(struct bench *bench, enum store_operator relation,
                                      const struct store_attribute *attribute, enum store_column column,
                                      struct store_value a, struct store_value b)
{
    struct store_filter *filter = ARENA_NEW(&bench->arena, struct store_filter);
    filter->relation = relation;
    filter->attribute = attribute;
    filter->column = attribute != NULL ? STORE_COLUMN_ATTRIBUTE : column;
    filter->values = ARENA_NEW_ARRAY(&bench->arena, struct store_value, 2);
    filter->values[0] = a;
    filter->values[1] = b;
    filter->value_count = relation == STORE_BETWEEN || relation == STORE_IN ? 2 : 1;
    return filter;
}

static struct store_filter *both(struct bench *bench, struct store_filter *a, struct store_filter *b)
{
    struct store_filter *filter = ARENA_NEW(&bench->arena, struct store_filter);
    filter->relation = STORE_AND;
    filter->children = ARENA_NEW_ARRAY(&bench->arena, struct store_filter *, 2);
    filter->children[0] = a;
    filter->children[1] = b;
    filter->child_count = 2;
    return filter;
}

static struct store_filter *of_status(struct bench *bench, int64_t status)
{
    return condition(bench, STORE_EQUAL, NULL, STORE_COLUMN_STATUS, number_value(status), number_value(0));
}
static struct store_filter *of_city(struct bench *bench)
{
    struct store_value value = text_value(bench, "city-%" PRId64, below(bench, 50));
    return condition(bench, STORE_EQUAL, &city, 0, value, value);
}
static struct store_filter *of_customer(struct bench *bench)
{
    struct store_value value = text_value(bench, "customer-%" PRId64, below(bench, 100000));
    return condition(bench, STORE_EQUAL, &customer, 0, value, value);
}
static struct store_filter *of_days(struct bench *bench, int64_t days)
{
    int64_t from = FIRST_NS + below(bench, 365 - days) * 86400 * NS_PER_S;
    return condition(bench, STORE_BETWEEN, NULL, STORE_COLUMN_START_TIME, number_value(from),
                     number_value(from + days * 86400 * NS_PER_S));
}

struct question {
    const char          *text;
    enum store_read_kind kind;
    struct store_filter *(*filter)(struct bench *bench);
    struct store_key keys[2];
    size_t           key_count;
};

static struct store_filter *none(struct bench *bench)
{
    (void)bench;
    return NULL;
}
static struct store_filter *running(struct bench *bench)
{
    return of_status(bench, 1);
}
static struct store_filter *failed_in_city(struct bench *bench)
{
    return both(bench, of_status(bench, 3), of_city(bench));
}
static struct store_filter *type_in_week(struct bench *bench)
{
    struct store_value type = text_value(bench, "Order%" PRId64, below(bench, 20));
    return both(bench, condition(bench, STORE_EQUAL, NULL, STORE_COLUMN_WORKFLOW_TYPE, type, type),
                of_days(bench, 7));
}
static struct store_filter *amounts_in_city(struct bench *bench)
{
    struct store_value low = amount_value(bench), high = amount_value(bench);
    bool               turned = low.number > high.number;
    return both(bench, of_city(bench),
                condition(bench, STORE_BETWEEN, &amount, 0, turned ? high : low, turned ? low : high));
}
static struct store_filter *tag_of_city(struct bench *bench)
{
    struct store_value value = text_value(bench, "tag-%" PRId64, below(bench, 10));
    return both(bench, of_city(bench), condition(bench, STORE_EQUAL, &tags, 0, value, value));
}
static struct store_filter *a_day(struct bench *bench)
{
    return of_days(bench, 1);
}
static struct store_filter *like_an_id(struct bench *bench)
{
    struct store_value prefix = text_value(bench, "order-%04" PRIx64, below(bench, 65536));
    return condition(bench, STORE_STARTS_WITH, NULL, STORE_COLUMN_WORKFLOW_ID, prefix, prefix);
}

#define BY_COLUMN(which, down) { .column = (which), .descending = (down) }
#define BY_ATTRIBUTE(which, down)                                                                            \
    { .column = STORE_COLUMN_ATTRIBUTE, .attribute = (which), .descending = (down) }

static const struct question questions[] = {
    { "list: all", STORE_READ_LIST, none, { { 0 } }, 0 },
    { "list: ExecutionStatus = Running", STORE_READ_LIST, running, { { 0 } }, 0 },
    { "list: Customer =", STORE_READ_LIST, of_customer, { { 0 } }, 0 },
    { "list: WorkflowId STARTS_WITH", STORE_READ_LIST, like_an_id, { { 0 } }, 0 },
    { "list: City = (1 of 50)", STORE_READ_LIST, of_city, { { 0 } }, 0 },
    { "list: ExecutionStatus = Failed AND City =", STORE_READ_LIST, failed_in_city, { { 0 } }, 0 },
    { "list: WorkflowType = AND StartTime in a week", STORE_READ_LIST, type_in_week, { { 0 } }, 0 },
    { "list: City = AND Tags =", STORE_READ_LIST, tag_of_city, { { 0 } }, 0 },
    { "list: ORDER BY Amount DESC", STORE_READ_LIST, none, { BY_ATTRIBUTE(&amount, true) }, 1 },
    { "list: Customer = ORDER BY Amount", STORE_READ_LIST, of_customer, { BY_ATTRIBUTE(&amount, false) }, 1 },
    { "list: City = AND Amount BETWEEN ORDER BY Due",
      STORE_READ_LIST,
      amounts_in_city,
      { BY_ATTRIBUTE(&due, false) },
      1 },
    { "list: City = ORDER BY StartTime",
      STORE_READ_LIST,
      of_city,
      { BY_COLUMN(STORE_COLUMN_START_TIME, false) },
      1 },
    { "list: StartTime in a day ORDER BY Amount",
      STORE_READ_LIST,
      a_day,
      { BY_ATTRIBUTE(&amount, false) },
      1 },
    { "count: all", STORE_READ_COUNT, none, { { 0 } }, 0 },
    { "count: GROUP BY ExecutionStatus",
      STORE_READ_COUNT,
      none,
      { BY_COLUMN(STORE_COLUMN_STATUS, false) },
      1 },
    { "count: GROUP BY WorkflowType, ExecutionStatus",
      STORE_READ_COUNT,
      none,
      { BY_COLUMN(STORE_COLUMN_WORKFLOW_TYPE, false), BY_COLUMN(STORE_COLUMN_STATUS, false) },
      2 },
    { "count: Customer = GROUP BY ExecutionStatus",
      STORE_READ_COUNT,
      of_customer,
      { BY_COLUMN(STORE_COLUMN_STATUS, false) },
      1 },
    { "count: Running GROUP BY City", STORE_READ_COUNT, running, { BY_ATTRIBUTE(&city, false) }, 1 },
    { "count: StartTime in a day GROUP BY City", STORE_READ_COUNT, a_day, { BY_ATTRIBUTE(&city, false) }, 1 },
    { "count: GROUP BY City", STORE_READ_COUNT, none, { BY_ATTRIBUTE(&city, false) }, 1 },
    { "count: City = GROUP BY ExecutionStatus",
      STORE_READ_COUNT,
      of_city,
      { BY_COLUMN(STORE_COLUMN_STATUS, false) },
      1 },
};

static int compare(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static int64_t ask(struct bench *bench, const struct question *question, int64_t *ret_rows)
{
    struct store_read read = { .kind = question->kind,
                               .namespace_number = NAMESPACE,
                               .filter = question->filter(bench),
                               .keys = question->keys,
                               .key_count = question->key_count,
                               .limit = question->kind == STORE_READ_LIST ? 100 : 0,
                               .arena = &bench->arena };
    int64_t           begin_ns = clock_monotonic_ns(&clock_system);
    store_read_blocking(bench->store, &read, NULL, NULL);
    int64_t took_ns = clock_monotonic_ns(&clock_system) - begin_ns;
    if (read.status != ST_OK)
        panic("%s: %s", question->text, read.error.message);
    *ret_rows += question->kind == STORE_READ_LIST ? (int64_t)read.run_count : (int64_t)read.group_count;
    arena_reset(&bench->arena);
    return took_ns;
}

static void measure(struct bench *bench, const struct question *question)
{
    size_t  count = 0;
    int64_t rows = 0, begin_ns = clock_monotonic_ns(&clock_system);
    while (count < LATENCIES_MAX &&
           (count < 20 || clock_monotonic_ns(&clock_system) - begin_ns < bench->duration_ns) &&
           clock_monotonic_ns(&clock_system) - begin_ns < 10 * bench->duration_ns)
        bench->latencies[count++] = ask(bench, question, &rows);
    qsort(bench->latencies, count, sizeof *bench->latencies, compare);
    printf("%-48s %7zu times %6.0f rows  p50 %9.2f ms  p99 %9.2f ms\n", question->text, count,
           (double)rows / (double)count, (double)bench->latencies[count / 2] / 1e6,
           (double)bench->latencies[count * 99 / 100] / 1e6);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench *bench = xcalloc(1, sizeof *bench);
    struct error  error;
    struct stat   there;
    char          path[300];
    bench->runs = argc > 2 ? atoll(argv[2]) : 1000000;
    bench->duration_ns = (argc > 3 ? atoll(argv[3]) : 3) * NS_PER_S;
    snprintf(path, sizeof path, "%s/perdure-visibility-%" PRId64 ".db", argc > 1 ? argv[1] : "/tmp",
             bench->runs);
    bool is_filled = stat(path, &there) == 0;
    arena_init(&bench->arena, SIZE_MAX);
    random_seed(&bench->random, 1);
    if (store_sqlite_open(&(struct store_sqlite_options){ .path = path }, &bench->store, &error) != ST_OK)
        panic("%s", error.message);
    if (!is_filled)
        fill(bench);
    if (stat(path, &there) == 0)
        printf("at rest %.0f bytes/run\n", (double)there.st_size / (double)bench->runs);
    for (size_t i = 0; i < ARRAY_COUNT(questions); i++) {
        if (argc <= 4 || strstr(questions[i].text, argv[4]) != NULL)
            measure(bench, &questions[i]);
    }
    store_close(bench->store);
    arena_release(&bench->arena);
    free(bench);
    return 0;
}
