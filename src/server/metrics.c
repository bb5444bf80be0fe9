/* metrics.c: a scrape, or a look at readiness: the lanes are asked, then it is answered.
 *
 *   GET /metrics, /readyz ──> waits ──> a message to each lane: it publishes its figures, lists its backlogs ──> home, to the web's loop
 *                      │                                             all are home, or LANE_NS has passed: printed, answered
 */
#include "server/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/metric.h"
#include "io/loop.h"
#include "shard/lane.h"
#include "store/store.h"
#include "web/web.h"
#include "wire/server.h"

#define LANE_NS NS_PER_S
/* A store that takes longer to flush serves nobody. */
#define COMMIT_AGE_MAX_NS (10 * NS_PER_S)
#define BACKLOGS_MAX      128
#define WAITERS_MAX       64

struct backlog {
    struct bytes namespace, queue; /* in the list's arena */
    enum store_task_kind kind;
    size_t               count, pollers;
    double               age;
    bool                 more;
};
/* What a lane has said: `fresh` is the lane's until it is home. */
struct backlogs {
    struct arena   arena;
    struct backlog list[BACKLOGS_MAX];
    size_t         count;
};
struct asked_lane {
    struct metrics_lane of;
    struct metrics     *metrics;
    struct message      ask, home;
    bool                away;
    struct backlogs     fresh, known;
    struct lane_health {
        bool    read_only;
        int64_t commit_age;
    } fresh_health, health;
};
struct metrics {
    struct metrics_options options;
    struct asked_lane     *lanes;
    struct loop_timer      late;
    struct loop           *loop;
    struct waiter {
        struct http_exchange *exchange;
        bool                  asks_ready; /* else for the metrics */
    } waiting[WAITERS_MAX];
    size_t  waiting_count;
    bool    asking;
    int64_t started_wall;
};

/* --- on a lane --- */

static void backlog_found(void *context, const struct api_backlog *found)
{
    struct asked_lane *asked = context;
    struct backlog    *backlog = &asked->fresh.list[asked->fresh.count++];
    assert(asked->fresh.count <= BACKLOGS_MAX);
    int64_t age = found->oldest_created == 0 ? 0 : lane_now(asked->of.lane) - found->oldest_created;
    *backlog = (struct backlog){ .namespace = arena_copy(&asked->fresh.arena, found->namespace),
                                 .queue = arena_copy(&asked->fresh.arena, found->queue),
                                 .kind = found->kind,
                                 .count = found->count,
                                 .pollers = found->pollers,
                                 .age = (double)MAX(age, INT64_C(0)) / (double)NS_PER_S,
                                 .more = found->more };
}

static void lane_answers(struct message *message)
{
    struct asked_lane                 *asked = CONTAINER_OF(message, struct asked_lane, ask);
    const struct wire_server_counters *wire = wire_server_counters(asked->of.wire);
    lane_publish_metrics(asked->of.lane);
    api_publish_metrics(asked->of.lane);
    metric_set(METRIC_CONNECTIONS_ACCEPTED, 0, 0, wire->connections_accepted);
    metric_set(METRIC_CONNECTIONS_CLOSED, 0, 0, wire->connections_accepted - wire->connections_open);
    metric_set(METRIC_CONNECTIONS_ACTIVE, 0, 0, wire->connections_open);
    metric_set(METRIC_CONNECTIONS_REFUSED, 0, 0, wire->connections_refused + wire->connections_calmed);
    metric_set(METRIC_GRPC_BYTES_READ, 0, 0, wire->bytes_read);
    metric_set(METRIC_GRPC_BYTES_WRITTEN, 0, 0, wire->bytes_written);
    asked->fresh_health = (struct lane_health){ lane_read_only(asked->of.lane),
                                                lane_commit_age(asked->of.lane) };
    (void)api_backlogs(asked->of.lane, BACKLOGS_MAX, backlog_found, asked);
    mailbox_post(loop_mailbox(asked->metrics->loop), &asked->home);
}

/* --- the text --- */

static void print_one(struct buffer *to, const char *name, const char *type, const char *help, double value)
{
    buffer_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %.16g\n", name, help, name, type, name, value);
}

static double open_descriptors(void)
{
    DIR   *directory = opendir("/proc/self/fd");
    double count = 0;
    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 3; /* itself, and the two names of directories */
}

#define CPU_HELP     "CPU time of the process."
#define MEMORY_HELP  "Memory of the process that is in RAM."
#define VIRTUAL_HELP "Address space of the process."
static void print_process(struct buffer *to, int64_t started_wall)
{
    struct rusage usage;
    struct rlimit descriptors;
    long          size = 0, resident = 0;
    FILE         *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%ld %ld", &size, &resident) != 2)
            size = resident = 0;
        fclose(file);
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        print_one(to, "process_cpu_seconds_total", "counter", CPU_HELP,
                  (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    print_one(to, "process_resident_memory_bytes", "gauge", MEMORY_HELP,
              (double)resident * (double)sysconf(_SC_PAGESIZE));
    print_one(to, "process_virtual_memory_bytes", "gauge", VIRTUAL_HELP,
              (double)size * (double)sysconf(_SC_PAGESIZE));
    print_one(to, "process_open_fds", "gauge", "Open descriptors.", open_descriptors());
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
        print_one(to, "process_max_fds", "gauge", "How many may be open.", (double)descriptors.rlim_cur);
    print_one(to, "process_start_time_seconds", "gauge", "When the process began, since 1970.",
              (double)started_wall / (double)NS_PER_S);
}

static void print_backlog(struct buffer *to, const char *name, const struct backlog *backlog, double value)
{
    buffer_printf(to, "%s{namespace=\"", name);
    metric_print_label(to, backlog->namespace);
    buffer_append_text(to, "\",taskqueue=\"");
    metric_print_label(to, backlog->queue);
    buffer_printf(to, "\",task_type=\"%s\",service_name=\"matching\"} %.9g\n",
                  backlog->kind == STORE_TASK_ACTIVITY ? "Activity"
                  : backlog->kind == STORE_TASK_NEXUS  ? "Nexus"
                                                       : "Workflow",
                  value);
}

static double backlog_count(const struct backlog *backlog)
{
    return (double)backlog->count;
}
static double backlog_age(const struct backlog *backlog)
{
    return backlog->age;
}
static double backlog_more(const struct backlog *backlog)
{
    return backlog->more;
}
static double backlog_pollers(const struct backlog *backlog)
{
    return (double)backlog->pollers;
}
static const struct {
    const char *name, *help;
    double (*value)(const struct backlog *backlog);
} backlog_rows[] = {
    { "approximate_backlog_count", "Tasks that wait for a poller, as far as memory holds them.",
      backlog_count },
    { "approximate_backlog_age_seconds", "How long the oldest of them has waited.", backlog_age },
    { "perdure_backlog_is_longer", "1: more tasks of the queue wait on disk.", backlog_more },
    { "perdure_queue_pollers", "Polls that wait at the queue.", backlog_pollers },
};

static void print_backlogs(struct buffer *to, const struct metrics *metrics)
{
    for (size_t row = 0; row < ARRAY_COUNT(backlog_rows); row++) {
        const char *name = backlog_rows[row].name;
        buffer_printf(to, "# HELP %s %s\n# TYPE %s gauge\n", name, backlog_rows[row].help, name);
        for (uint32_t i = 0; i < metrics->options.lane_count; i++) {
            const struct backlogs *known = &metrics->lanes[i].known;
            for (size_t at = 0; at < known->count; at++)
                print_backlog(to, name, &known->list[at], backlog_rows[row].value(&known->list[at]));
        }
    }
}

static void publish_store(const struct metrics *metrics)
{
    struct store_statistics store;
    store_statistics(metrics->options.store, &store);
    metric_set(METRIC_STORE_COMMITS, 0, 0, store.commits);
    metric_set(METRIC_STORE_WRITES, 0, 0, store.writes);
    metric_set(METRIC_STORE_BYTES, 0, 0, store.bytes);
    metric_set(METRIC_STORE_CHECKPOINTS, 0, 0, store.checkpoints);
    metric_set(METRIC_STORE_LOG_BYTES, 0, 0, (uint64_t)store.log_size);
}

void metrics_print_reference(struct buffer *to)
{
    for (size_t row = 0; row < ARRAY_COUNT(backlog_rows); row++)
        buffer_printf(to, "| `%s` | gauge | namespace, taskqueue, task_type | %s |\n", backlog_rows[row].name,
                      backlog_rows[row].help);
    buffer_append_text(to, "| `build_information` | gauge | version | Always 1. |\n"
                           "| `process_cpu_seconds_total` | counter |  | " CPU_HELP " |\n"
                           "| `process_resident_memory_bytes` | gauge |  | " MEMORY_HELP " |\n"
                           "| `process_virtual_memory_bytes` | gauge |  | " VIRTUAL_HELP " |\n"
                           "| `process_open_fds`, `process_max_fds` | gauge |  | Descriptors, and how many "
                           "may be open. |\n"
                           "| `process_start_time_seconds` | gauge |  | When the process began. |\n");
}

static void print_all(struct metrics *metrics, struct buffer *to)
{
    uint32_t late = 0;
    for (uint32_t i = 0; i < metrics->options.lane_count; i++)
        late += metrics->lanes[i].away;
    metric_set(METRIC_LANES_LATE, 0, 0, late);
    publish_store(metrics);
    metric_print(to);
    print_backlogs(to, metrics);
    buffer_printf(to,
                  "# HELP build_information Always 1.\n# TYPE build_information gauge\n"
                  "build_information{version=\"%s\"} 1\n",
                  PERDURE_VERSION);
    print_process(to, metrics->started_wall);
}

/* --- a scrape --- */

/* Draining is said by web.c already. A full disk is no reason to send workers away: what runs is finished. */
static void answer_ready(const struct metrics *metrics, struct http_exchange *exchange)
{
    char text[128] = "ok";
    int  status = 200;
    for (uint32_t i = 0; i < metrics->options.lane_count && status == 200; i++) {
        const struct asked_lane *asked = &metrics->lanes[i];
        if (asked->away) {
            snprintf(text, sizeof text, "not ready: lane %u does not answer", i);
            status = 503;
        } else if (asked->health.commit_age > COMMIT_AGE_MAX_NS) {
            snprintf(text, sizeof text, "not ready: the store has not answered lane %u for %" PRId64 " s", i,
                     asked->health.commit_age / NS_PER_S);
            status = 503;
        } else if (asked->health.read_only) {
            snprintf(text, sizeof text, "ok, but the disk is full: starts and signals are refused");
        }
    }
    http_answer_text(exchange, status, text);
}

static void answer_all(struct metrics *metrics)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    metrics->asking = false;
    loop_timer_clear(metrics->loop, &metrics->late);
    while (metrics->waiting_count != 0) {
        const struct waiter waiter = metrics->waiting[--metrics->waiting_count];
        if (waiter.asks_ready) {
            answer_ready(metrics, waiter.exchange);
            continue;
        }
        if (text.size == 0)
            print_all(metrics, &text);
        http_answer_page(waiter.exchange, "text/plain; version=0.0.4; charset=utf-8", buffer_bytes(&text));
    }
}

static void lane_home(struct message *message)
{
    struct asked_lane *asked = CONTAINER_OF(message, struct asked_lane, home);
    struct metrics    *metrics = asked->metrics;
    struct backlogs    old = asked->known;
    asked->known = asked->fresh;
    arena_reset(&old.arena);
    old.count = 0;
    asked->fresh = old;
    asked->health = asked->fresh_health;
    asked->away = false;
    for (uint32_t i = 0; i < metrics->options.lane_count; i++) {
        if (metrics->lanes[i].away)
            return;
    }
    if (metrics->asking)
        answer_all(metrics);
}

static void lanes_late(struct loop_timer *timer)
{
    answer_all(CONTAINER_OF(timer, struct metrics, late));
}

static void scraper_gone(struct http_exchange *exchange)
{
    struct metrics *metrics = exchange->user;
    for (size_t i = 0; i < metrics->waiting_count; i++) {
        if (metrics->waiting[i].exchange == exchange)
            metrics->waiting[i--] = metrics->waiting[--metrics->waiting_count];
    }
}

static void ask(struct metrics *metrics, struct http_exchange *exchange, bool asks_ready)
{
    if (metrics->waiting_count == WAITERS_MAX) {
        http_answer_text(exchange, 503, "too many ask at once");
        return;
    }
    exchange->on_close = scraper_gone;
    exchange->user = metrics;
    metrics->waiting[metrics->waiting_count++] = (struct waiter){ exchange, asks_ready };
    if (metrics->asking)
        return;
    metrics->asking = true;
    loop_timer_set(metrics->loop, &metrics->late, loop_now(metrics->loop) + LANE_NS);
    for (uint32_t i = 0; i < metrics->options.lane_count; i++) {
        struct asked_lane *asked = &metrics->lanes[i];
        if (asked->away) /* still, since an earlier scrape */
            continue;
        asked->away = true;
        mailbox_post(loop_mailbox(asked->of.loop), &asked->ask);
    }
}

static void serve_metrics(void *context, struct http_exchange *exchange)
{
    ask(context, exchange, false);
}

static void serve_ready(void *context, struct http_exchange *exchange)
{
    ask(context, exchange, true);
}

/* Those that still wait when the routes are drained would hold up the end; the lanes may be gone already. */
static void drain(void *context)
{
    struct metrics *metrics = context;
    if (metrics->asking)
        answer_all(metrics);
}

struct metrics *metrics_new(const struct metrics_options *options)
{
    struct metrics *metrics = xcalloc(1, sizeof *metrics);
    metrics->options = *options;
    metrics->loop = http_server_loop(web_http(options->web));
    metrics->started_wall = clock_wall_ns(&clock_system);
    metrics->lanes = xcalloc(options->lane_count, sizeof *metrics->lanes);
    loop_timer_init(&metrics->late, lanes_late);
    for (uint32_t i = 0; i < options->lane_count; i++) {
        struct asked_lane *asked = &metrics->lanes[i];
        asked->of = options->lanes[i];
        asked->metrics = metrics;
        asked->ask.run = lane_answers;
        asked->home.run = lane_home;
        arena_init(&asked->fresh.arena, SIZE_MAX);
        arena_init(&asked->known.arena, SIZE_MAX);
    }
    metric_set(METRIC_RESTARTS, 0, 0, 1);
    metric_set(METRIC_SHARDS, 0, 0, SHARD_COUNT);
    web_ready_check(options->web, serve_ready, metrics);
    http_server_route(web_http(options->web), &(struct http_route){ .path = "/metrics",
                                                                    .methods = HTTP_GET,
                                                                    .body_size_max = 4096,
                                                                    .handle = serve_metrics,
                                                                    .drain = drain,
                                                                    .context = metrics });
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (uint32_t i = 0; i < metrics->options.lane_count; i++) {
        arena_release(&metrics->lanes[i].fresh.arena);
        arena_release(&metrics->lanes[i].known.arena);
    }
    free(metrics->lanes);
    free(metrics);
}
