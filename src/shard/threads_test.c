/* threads_test.c: lanes on threads of their own over the SQLite store, as the server runs them: requests between lanes,
 * group commit, loads and eviction, a drain, and a second life of the store. Runs under ThreadSanitizer, too. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/testing.h"
#include "shard/test_kind.h"
#include "store/sqlite.h"

#define LANES     3
#define CLIENTS   4 /* of each lane */
#define CALLS     60
#define WORKFLOWS 12

struct host;
/* Adds to one workflow after the other; the next call goes out when the answer is in. */
struct client {
    struct ledger_request *request;
    struct host           *host;
    int                    index, calls, failures;
};
struct host {
    struct lane  *lane;
    sem_t         wake;
    pthread_t     thread;
    struct client clients[CLIENTS];
    int           finished;
    atomic_bool   stop;
    sem_t        *done;
};

static struct ledger_request *request_new(const char *id, enum ledger_command command)
{
    struct ledger_request *request = xcalloc(1, sizeof(*request));
    request->base.arena = xcalloc(1, sizeof(struct arena));
    arena_init(request->base.arena, SIZE_MAX);
    request->base.kind = ENTITY_TEST;
    request->base.namespace_number = 1;
    request->base.business_id = arena_copy(request->base.arena, bytes_of_text(id));
    request->base.command = (int)command;
    return request;
}

static void request_free(struct ledger_request *request)
{
    arena_release(request->base.arena);
    free(request->base.arena);
    free(request);
}

static void host_wake(void *context)
{
    sem_post(&((struct host *)context)->wake);
}

static void client_go_on(struct client *client);

static void client_done(struct request *base)
{
    struct ledger_request *request = CONTAINER_OF(base, struct ledger_request, base);
    struct client         *client = request->user;
    client->failures += base->error.code != ST_OK && base->error.code != ST_ALREADY_EXISTS;
    request_free(request);
    client_go_on(client);
}

static bool sends(int call)
{
    return call >= WORKFLOWS && call % 3 == 0;
}

/* Every client begins with starts, so that most of them meet a workflow that is there already. Messages carry nothing, so
 * those that are on their way at the end do not matter to the sum. */
static void client_go_on(struct client *client)
{
    int call = client->calls++;
    if (call == CALLS) {
        if (++client->host->finished == CLIENTS)
            sem_post(client->host->done);
        return;
    }
    char id[16];
    snprintf(id, sizeof(id), "w%d", (call + client->index) % WORKFLOWS);
    bool                   starts = call < WORKFLOWS;
    struct ledger_request *request = request_new(id, starts        ? LEDGER_START
                                                     : sends(call) ? LEDGER_SEND
                                                                   : LEDGER_ADD);
    request->request_id = starts ? 1 : (uint64_t)(client->index * CALLS + call) + 2;
    request->amount = sends(call) ? 0 : 1;
    snprintf(id, sizeof(id), "w%d", (call + client->index + 5) % WORKFLOWS);
    request->to = arena_copy(request->base.arena, bytes_of_text(id));
    request->user = client;
    request->base.done = client_done;
    lane_submit(client->host->lane, &request->base);
}

static void *host_main(void *context)
{
    struct host *host = context;
    for (int i = 0; i < CLIENTS; i++)
        client_go_on(&host->clients[i]);
    while (!atomic_load(&host->stop)) {
        lane_turn(host->lane);
        int64_t wait = lane_next_due(host->lane);
        if (wait != TIME_NEVER) {
            if (wait <= clock_wall_ns(&clock_system))
                continue;
            struct timespec until = { .tv_sec = wait / NS_PER_S, .tv_nsec = wait % NS_PER_S };
            (void)sem_timedwait(&host->wake, &until);
        } else {
            (void)sem_wait(&host->wake);
        }
    }
    return NULL;
}

static struct runtime *boot(struct store *store)
{
    static const struct entity_kind *kinds[] = { &ledger_kind };
    struct runtime_options           options = {
                  .store = store,
                  .clock = clock_system,
                  .lane_count = LANES,
                  .seed = 1,
                  .window_size = 2,
                  .memory_limit = 2000, /* hardly any: everything is loaded again and again */
                  .kinds = kinds,
                  .kind_count = 1,
    };
    struct error    error;
    struct runtime *runtime;
    if (runtime_new(&options, &runtime, &error) != ST_OK)
        panic("runtime: %s", error.message);
    return runtime;
}

static struct store *open_store(const char *path)
{
    struct store_sqlite_options options = { .path = path };
    struct store               *store;
    struct error                error;
    if (store_sqlite_open(&options, &store, &error) != ST_OK)
        panic("store: %s", error.message);
    return store;
}

static void hosts_start(struct host *hosts, struct runtime *runtime, sem_t *done)
{
    for (int i = 0; i < LANES; i++) {
        struct host *host = &hosts[i];
        *host = (struct host){ .lane = runtime_lane(runtime, (uint32_t)i), .done = done };
        sem_init(&host->wake, 0, 0);
        lane_set_host(host->lane, host_wake, host);
        for (int j = 0; j < CLIENTS; j++)
            host->clients[j] = (struct client){ .host = host, .index = i * CLIENTS + j };
    }
    for (int i = 0; i < LANES; i++)
        CHECK_EQ(pthread_create(&hosts[i].thread, NULL, host_main, &hosts[i]), 0);
}

static void hosts_stop(struct host *hosts)
{
    for (int i = 0; i < LANES; i++) {
        atomic_store(&hosts[i].stop, true);
        host_wake(&hosts[i]);
    }
    for (int i = 0; i < LANES; i++)
        pthread_join(hosts[i].thread, NULL);
}

static void read_done(struct request *base)
{
    CONTAINER_OF(base, struct ledger_request, base)->answers++;
}

static int64_t sum_of_totals(struct runtime *runtime)
{
    int64_t sum = 0;
    for (int i = 0; i < WORKFLOWS; i++) {
        char id[16];
        snprintf(id, sizeof(id), "w%d", i);
        struct ledger_request *request = request_new(id, LEDGER_READ);
        request->base.done = read_done;
        lane_submit(runtime_lane(runtime, 0), &request->base);
        runtime_settle(runtime);
        CHECK_EQ(request->answers, 1);
        CHECK_EQ(request->base.error.code, ST_OK);
        sum += request->total;
        request_free(request);
    }
    return sum;
}

static void remove_store(const char *directory, const char *path)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-lock", "-ballast" };
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char name[96];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    rmdir(directory);
}

TEST(lanes_on_threads_answer_each_other_and_lose_nothing)
{
    char directory[] = "/tmp/perdure-threads-XXXXXX", path[64];
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof(path), "%s/store.db", directory);
    struct store   *store = open_store(path);
    struct runtime *runtime = boot(store);
    struct host     hosts[LANES];
    sem_t           done;
    sem_init(&done, 0, 0);
    hosts_start(hosts, runtime, &done);
    for (int i = 0; i < LANES; i++) {
        while (sem_wait(&done) != 0)
            ;
    }
    hosts_stop(hosts);
    for (int i = 0; i < LANES * CLIENTS; i++)
        CHECK_EQ(hosts[i / CLIENTS].clients[i % CLIENTS].failures, 0);
    int64_t expected = 0;
    for (int call = WORKFLOWS; call < CALLS; call++)
        expected += sends(call) ? 0 : LANES * CLIENTS;
    CHECK_EQ(sum_of_totals(runtime), expected);
    runtime_free(runtime);
    store_close(store); /* its threads may still be waking the hosts */
    for (int i = 0; i < LANES; i++)
        sem_destroy(&hosts[i].wake);
    sem_destroy(&done);

    store = open_store(path);
    runtime = boot(store);
    CHECK_EQ(sum_of_totals(runtime), expected);
    runtime_free(runtime);
    store_close(store);
    remove_store(directory, path);
}
