/* store_bench.c: what the SQLite store costs per one-activity workflow, without a server around it.
 *
 *   store_bench [DIRECTORY [SECONDS [CHECKPOINT-MIB]]]
 *
 * One lane advances 1,024 workflows in turn, G of them by one transition per batch, one batch at a time: G is the number of
 * transitions that share a flush. The sizes are those of a real one-activity history. Prints one line per G. */
#include <semaphore.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/sqlite.h"

#define IN_FLIGHT     1024
#define STAGES        5
#define LATENCIES_MAX 200000

static const size_t event_sizes[STAGES] = { 380, 0, 300, 250, 240 };
static const size_t delta_sizes[STAGES] = { 40, 60, 30, 30, 10 };

struct bench {
    struct store      *store;
    struct mailbox     mailbox;
    sem_t              wake;
    struct store_batch batch;
    struct {
        store_number number;
        int          stage;
        char         id[40];
    } workflows[IN_FLIGHT];
    store_number next_number;
    size_t       at;
    uint64_t     transitions, batches;
    int64_t     *latencies; /* ns of each batch */
    uint8_t      bytes[512];
};

static void wake(void *context)
{
    sem_post(context);
}

static void nothing(struct message *message)
{
    (void)message;
}

static int64_t cpu_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static void fill_run(struct bench *bench, struct store_run *run, size_t which, bool closed)
{
    run->number = bench->workflows[which].number;
    run->namespace_number = 1;
    run->workflow_id = bytes_of(bench->workflows[which].id, 36);
    run->workflow_type = BYTES("OneActivityWorkflow");
    run->task_queue = BYTES("bench-task-queue");
    run->status = closed ? 2 : 1;
    run->start_time = run->execution_time = clock_wall_ns(&clock_system);
    memcpy(run->run_id.byte, bench->workflows[which].id, sizeof run->run_id.byte);
    if (!closed)
        return;
    run->close_time = run->start_time;
    run->history_length = 11;
    run->history_size = 1170;
    run->state_transitions = STAGES;
}

static void add_run(struct bench *bench, enum store_write_kind kind, size_t which)
{
    struct store_write *write = store_batch_add(&bench->batch, kind, (uint32_t)which);
    write->run = ARENA_NEW(&bench->batch.arena, struct store_run);
    fill_run(bench, write->run, which, kind == STORE_RUN_UPDATE);
    bench->batch.size += 150;
}

/* Adds the next transition of a workflow, and replaces one that is done by a new one. */
static void advance(struct bench *bench, size_t which)
{
    int stage = bench->workflows[which].stage;
    if (stage == 0) {
        bench->workflows[which].number = ++bench->next_number;
        /* Ids as users make them: random. */
        snprintf(bench->workflows[which].id, sizeof bench->workflows[which].id, "%016" PRIx64 "-%019" PRId64,
                 (uint64_t)bench->next_number * UINT64_C(0x9E3779B97F4A7C15), bench->next_number);
        add_run(bench, STORE_RUN_INSERT, which);
    }
    struct store_write *write = store_batch_add(&bench->batch, STORE_TRANSITION_INSERT, (uint32_t)which);
    write->transition = ARENA_NEW(&bench->batch.arena, struct store_transition);
    *write->transition = (struct store_transition){ .branch = bench->workflows[which].number,
                                                    .number = stage + 1,
                                                    .first_event_id = stage * 2 + 1,
                                                    .event_count = event_sizes[stage] > 0 ? 2 : 0,
                                                    .events = bytes_of(bench->bytes, event_sizes[stage]),
                                                    .delta = bytes_of(bench->bytes, delta_sizes[stage]) };
    bench->batch.size += event_sizes[stage] + delta_sizes[stage] + 40;
    if (stage == STAGES - 1)
        add_run(bench, STORE_RUN_UPDATE, which);
    bench->workflows[which].stage = (stage + 1) % STAGES;
    bench->transitions++;
}

static void commit(struct bench *bench, size_t transitions)
{
    for (size_t i = 0; i < transitions; i++) {
        advance(bench, bench->at);
        bench->at = (bench->at + 1) % IN_FLIGHT;
    }
    int64_t begin_ns = clock_monotonic_ns(&clock_system);
    store_submit(bench->store, &bench->batch);
    while (mailbox_take(&bench->mailbox) == NULL)
        sem_wait(&bench->wake);
    if (bench->batches < LATENCIES_MAX)
        bench->latencies[bench->batches] = clock_monotonic_ns(&clock_system) - begin_ns;
    bench->batches++;
    if (bench->batch.outcome != STORE_DURABLE)
        panic("outcome %d: %s", (int)bench->batch.outcome, bench->batch.error.message);
    store_batch_clear(&bench->batch);
}

static int compare(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static void report(struct bench *bench, size_t transitions, int64_t wall_ns, int64_t store_cpu_ns)
{
    struct store_statistics statistics;
    store_statistics(bench->store, &statistics);
    size_t count = MIN(bench->batches, (uint64_t)LATENCIES_MAX);
    qsort(bench->latencies, count, sizeof *bench->latencies, compare);
    double workflows = (double)bench->transitions / STAGES;
    printf("G=%-4zu %7.0f workflows/s  store CPU %6.1f us/workflow  batch p50 %5.0f us p99 %6.0f us max "
           "%6.0f us  "
           "checkpoints %" PRIu64 "\n",
           transitions, workflows * 1e9 / (double)wall_ns, (double)store_cpu_ns / 1e3 / workflows,
           (double)bench->latencies[count / 2] / 1e3, (double)bench->latencies[count * 99 / 100] / 1e3,
           (double)bench->latencies[count - 1] / 1e3, statistics.checkpoints);
    fflush(stdout);
}

static void remove_files(const char *path)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-lock", "-ballast" };
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char name[300];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
}

static void run(const char *path, size_t transitions, int64_t duration_ns, int64_t checkpoint_size)
{
    struct bench *bench = xcalloc(1, sizeof *bench);
    struct error  error;
    remove_files(path);
    if (store_sqlite_open(&(struct store_sqlite_options){ .path = path, .checkpoint_size = checkpoint_size },
                          &bench->store, &error) != ST_OK)
        panic("%s", error.message);
    bench->latencies = xcalloc(LATENCIES_MAX, sizeof *bench->latencies);
    sem_init(&bench->wake, 0, 0);
    mailbox_init(&bench->mailbox, wake, &bench->wake);
    store_batch_init(&bench->batch, &bench->mailbox, nothing);
    int64_t begin_ns = clock_monotonic_ns(&clock_system), now_ns = begin_ns;
    int64_t process_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), lane_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    for (; now_ns - begin_ns < duration_ns; now_ns = clock_monotonic_ns(&clock_system))
        commit(bench, transitions);
    process_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - process_ns;
    lane_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - lane_ns;
    report(bench, transitions, now_ns - begin_ns, process_ns - lane_ns);
    store_close(bench->store);
    struct stat stat_of;
    if (stat(path, &stat_of) == 0)
        printf("       at rest %.0f bytes/workflow of %" PRId64 "; lane CPU %.1f us/workflow\n",
               (double)stat_of.st_size / (double)bench->next_number, bench->next_number,
               (double)lane_ns / 1e3 * STAGES / (double)bench->transitions);
    store_batch_release(&bench->batch);
    sem_destroy(&bench->wake);
    free(bench->latencies);
    free(bench);
    remove_files(path);
}

int main(int argc, char **argv)
{
    char path[256];
    snprintf(path, sizeof path, "%s/perdure-store-bench-%d.db", argc > 1 ? argv[1] : "/tmp", (int)getpid());
    int64_t duration_ns = (argc > 2 ? atoll(argv[2]) : 3) * NS_PER_S,
            checkpoint_size = argc > 3 ? atoll(argv[3]) << 20 : 0;
    run(path, 1, duration_ns, checkpoint_size);
    run(path, 8, duration_ns, checkpoint_size);
    run(path, 64, duration_ns, checkpoint_size);
    return 0;
}
