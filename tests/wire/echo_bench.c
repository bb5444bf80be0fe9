/* echo_bench.c: what a call costs a lane. A server on a thread of its own, our client on another; prints the CPU of the
 * server's thread per call. Arguments: calls in flight, number of calls, bytes of a request, bytes of metadata entries. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "io/listener.h"
#include "wire/client.h"
#include "wire/server.h"

#define IN_FLIGHT_MAX 4096
#define CONNECTIONS   4

struct bench {
    struct loop            *loop;
    struct wire_client     *clients[CONNECTIONS];
    struct wire_client_call calls[IN_FLIGHT_MAX];
    int64_t                 started_ns[IN_FLIGHT_MAX];
    uint32_t               *latency_us;
    struct bytes            body;
    size_t                  started, finished, total, failed;
};

static const struct metadata entries[] = {
    { { (const uint8_t *)"client-name", 11 }, { (const uint8_t *)"temporal-go", 11 } },
    { { (const uint8_t *)"client-version", 14 }, { (const uint8_t *)"1.48.0", 6 } },
    { { (const uint8_t *)"supported-server-versions", 25 }, { (const uint8_t *)">=1.0.0 <2.0.0", 14 } },
    { { (const uint8_t *)"temporal-namespace", 18 }, { (const uint8_t *)"default", 7 } },
};

static void on_call(void *context, struct call *call)
{
    (void)context;
    call_reply(call, call->request);
}

static void *serve(void *context)
{
    loop_run(context);
    return NULL;
}

static int64_t cpu_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void start(struct bench *bench, size_t slot);
static void done(struct wire_client_call *call, enum status status, struct bytes reply,
                 const struct error *error)
{
    struct bench *bench = call->context;
    size_t        slot = (size_t)(call - bench->calls);
    if (status != ST_OK || reply.size != bench->body.size) {
        if (bench->failed++ == 0)
            fprintf(stderr, "a call failed: %s\n", error == NULL ? "another size" : error->message);
    }
    bench->latency_us[bench->finished++] =
        (uint32_t)((clock_monotonic_ns(&clock_system) - bench->started_ns[slot]) / NS_PER_US);
    if (bench->started < bench->total)
        start(bench, slot);
    else if (bench->finished == bench->total)
        loop_stop(bench->loop);
}

static void start(struct bench *bench, size_t slot)
{
    struct wire_client_call *call = &bench->calls[slot];
    bench->started++;
    bench->started_ns[slot] = clock_monotonic_ns(&clock_system);
    *call = (struct wire_client_call){
        .path = BYTES("/temporal.api.workflowservice.v1.WorkflowService/RespondWorkflowTaskCompleted"),
        .request = bench->body,
        .timeout_ns = 10 * NS_PER_S,
        .done = done,
        .context = bench
    };
    wire_client_start(bench->clients[slot % CONNECTIONS], call);
}

static int order(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    size_t              in_flight = argc > 1 ? strtoul(argv[1], NULL, 10) : 16,
           body_size = argc > 3 ? strtoul(argv[3], NULL, 10) : 300;
    bench.total = argc > 2 ? strtoul(argv[2], NULL, 10) : 200000;
    size_t most = MIN(bench.total, (size_t)IN_FLIGHT_MAX);
    in_flight = MIN(MAX(in_flight, (size_t)1), most);
    bench.latency_us = xcalloc(bench.total, sizeof *bench.latency_us);
    uint8_t *body = xcalloc(body_size + 1, 1);
    bench.body = bytes_of(body, body_size);

    struct loop        *serving = loop_new(&(struct loop_options){ 0 });
    struct wire_server *server = wire_server_new(
        &(struct wire_server_options){ .loop = serving, .on_call = on_call });
    struct listener_target target = { NULL, wire_server_adopt, server };
    struct listener       *listener;
    struct error           error;
    if (listener_new(&(struct listener_options){ serving, "127.0.0.1", 0, &target, 1 }, &listener, &error) !=
        ST_OK)
        panic("%s", error.message);
    pthread_t thread;
    clockid_t server_clock;
    pthread_create(&thread, NULL, serve, serving);
    pthread_getcpuclockid(thread, &server_clock);

    bench.loop = loop_new(&(struct loop_options){ 0 });
    for (size_t i = 0; i < CONNECTIONS; i++)
        bench.clients[i] = wire_client_new(
            &(struct wire_client_options){ .loop = bench.loop,
                                           .host = "127.0.0.1",
                                           .port = listener_port(listener),
                                           .metadata = entries,
                                           .metadata_count = ARRAY_COUNT(entries) });
    int64_t wall = clock_monotonic_ns(&clock_system), server_cpu = cpu_ns(server_clock);
    int64_t client_cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < in_flight; i++)
        start(&bench, i);
    loop_run(bench.loop);
    wall = clock_monotonic_ns(&clock_system) - wall;
    server_cpu = cpu_ns(server_clock) - server_cpu;
    client_cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - client_cpu;

    loop_stop(serving);
    pthread_join(thread, NULL);
    qsort(bench.latency_us, bench.total, sizeof *bench.latency_us, order);
    double calls = (double)bench.total;
    printf("in flight %zu: %.0f calls/s, server %.2f us/call, client %.2f us/call, p50 %u us, p99 %u us, "
           "%.2f writes/call, "
           "%zu failed\n",
           in_flight, calls * 1e9 / (double)wall, (double)server_cpu / 1e3 / calls,
           (double)client_cpu / 1e3 / calls, bench.latency_us[bench.total / 2],
           bench.latency_us[bench.total * 99 / 100], (double)wire_server_counters(server)->writes / calls,
           bench.failed);
    for (size_t i = 0; i < CONNECTIONS; i++)
        wire_client_free(bench.clients[i]);
    loop_free(bench.loop);
    listener_free(listener);
    wire_server_free(server);
    loop_free(serving);
    free(bench.latency_us);
    free(body);
    return bench.failed == 0 ? 0 : 1;
}
