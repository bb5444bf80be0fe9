/* machine.c: what the machine can do at all, so that figures of two machines can be compared: flushes, and a bare echo. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "io/listener.h"
#include "wire/server.h"

#define RUNS_MAX      16
#define BLOCK_SIZE    4096
#define FILE_SIZE     (4 * 1024 * 1024)
#define MESSAGE_SIZE  256 /* about what a start or a completion weighs */
#define IN_FLIGHT_MAX 64

const size_t echo_in_flight[ECHO_LEVELS] = { 1, 16, 64 };

/* --- the disk --- */

/* A file that is written already is overwritten: what a write-ahead log does once it has gone round. */
static double measure_appends(const char *directory, int64_t run_ns)
{
    static const uint8_t block[BLOCK_SIZE] = { 1 };
    char                 path[200];
    size_t               count = 0;
    snprintf(path, sizeof path, "%s/perdure-bench-XXXXXX", directory);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        panic("%s: %s", path, strerror(errno));
    unlink(path);
    for (off_t at = 0; at < FILE_SIZE; at += BLOCK_SIZE) {
        if (pwrite(fd, block, BLOCK_SIZE, at) != BLOCK_SIZE)
            panic("pwrite: %s", strerror(errno));
    }
    fsync(fd);
    int64_t begin = clock_monotonic_ns(&clock_system), now = begin;
    while (now - begin < run_ns) {
        off_t at = (off_t)(count * BLOCK_SIZE % FILE_SIZE);
        if (pwrite(fd, block, BLOCK_SIZE, at) != BLOCK_SIZE || fdatasync(fd) != 0)
            panic("fdatasync: %s", strerror(errno));
        count++;
        now = clock_monotonic_ns(&clock_system);
    }
    close(fd);
    return (double)count * (double)NS_PER_S / (double)(now - begin);
}

/* --- the wire --- */

struct echo_server {
    struct loop        *loop;
    struct wire_server *wire;
    struct listener    *listener;
    pthread_t           thread;
};

static void echo(void *context UNUSED, struct call *call)
{
    call_reply(call, call->request);
}

static void *echo_main(void *context)
{
    loop_run(((struct echo_server *)context)->loop);
    return NULL;
}

static void echo_server_start(struct echo_server *server)
{
    struct error error;
    server->loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    server->wire = wire_server_new(&(struct wire_server_options){ .loop = server->loop, .on_call = echo });
    struct listener_target  target = { .adopt = wire_server_adopt, .context = server->wire };
    struct listener_options options = {
        .loop = server->loop, .host = "127.0.0.1", .targets = &target, .target_count = 1
    };
    if (listener_new(&options, &server->listener, &error) != ST_OK)
        panic("echo: %s", error.message);
    if (pthread_create(&server->thread, NULL, echo_main, server) != 0)
        panic("no thread");
}

static void echo_server_stop(struct echo_server *server)
{
    loop_stop(server->loop);
    pthread_join(server->thread, NULL);
    listener_free(server->listener);
    wire_server_close_all(server->wire);
    wire_server_free(server->wire);
    loop_free(server->loop);
}

static int64_t echo_server_cpu_ns(const struct echo_server *server)
{
    clockid_t       clock;
    struct timespec time;
    if (pthread_getcpuclockid(server->thread, &clock) != 0 || clock_gettime(clock, &time) != 0)
        panic("no CPU clock");
    return (int64_t)time.tv_sec * NS_PER_S + time.tv_nsec;
}

struct echo_client {
    struct loop            *loop;
    struct wire_client     *wire;
    struct wire_client_call calls[IN_FLIGHT_MAX];
    uint8_t                 message[MESSAGE_SIZE];
    int64_t                 end_ns;
    size_t                  done, under_way;
};

static void echo_start(struct echo_client *client, struct wire_client_call *call);

static void echoed(struct wire_client_call *call, enum status status, struct bytes reply,
                   const struct error *error)
{
    struct echo_client *client = call->context;
    if (status != ST_OK || reply.size != MESSAGE_SIZE)
        panic("echo: %s", status == ST_OK ? "not what was sent" : error->message);
    client->done++;
    client->under_way--;
    if (clock_monotonic_ns(&clock_system) < client->end_ns)
        echo_start(client, call);
    else if (client->under_way == 0)
        loop_stop(client->loop);
}

static void echo_start(struct echo_client *client, struct wire_client_call *call)
{
    client->under_way++;
    call->path = BYTES("/perdure.Bench/Echo");
    call->request = bytes_of(client->message, MESSAGE_SIZE);
    call->timeout_ns = 10 * NS_PER_S;
    call->done = echoed;
    call->context = client;
    wire_client_start(client->wire, call);
}

static void measure_echo(const struct echo_server *server, struct echo_client *client, size_t in_flight,
                         int64_t run_ns, double *ret_rate, double *ret_cpu_us)
{
    assert(in_flight <= IN_FLIGHT_MAX);
    int64_t begin = clock_monotonic_ns(&clock_system), cpu = echo_server_cpu_ns(server);
    client->done = client->under_way = 0;
    client->end_ns = begin + run_ns;
    for (size_t i = 0; i < in_flight; i++)
        echo_start(client, &client->calls[i]);
    loop_run(client->loop);
    int64_t wall = clock_monotonic_ns(&clock_system) - begin;
    *ret_rate = (double)client->done * (double)NS_PER_S / (double)wall;
    *ret_cpu_us = (double)(echo_server_cpu_ns(server) - cpu) / (double)NS_PER_US / (double)client->done;
}

void machine_measure(struct machine *machine, const char *directory, int64_t run_ns, size_t runs)
{
    struct echo_server  server;
    double              rates[RUNS_MAX], cpu[RUNS_MAX];
    struct echo_client *client = xcalloc(1, sizeof *client);
    assert(runs > 0 && runs <= RUNS_MAX);
    for (size_t i = 0; i < runs; i++)
        rates[i] = measure_appends(directory, run_ns);
    machine->appends = spread_of(rates, runs);
    echo_server_start(&server);
    client->loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    client->wire = wire_client_new(&(struct wire_client_options){
        .loop = client->loop, .host = "127.0.0.1", .port = listener_port(server.listener) });
    measure_echo(&server, client, 1, 50 * NS_PER_MS, &rates[0], &cpu[0]); /* connects, warms up */
    for (size_t level = 0; level < ECHO_LEVELS; level++) {
        for (size_t i = 0; i < runs; i++)
            measure_echo(&server, client, echo_in_flight[level], run_ns, &rates[i], &cpu[i]);
        machine->echo[level] = spread_of(rates, runs);
        machine->echo_cpu[level] = spread_of(cpu, runs);
    }
    wire_client_free(client->wire);
    loop_free(client->loop);
    free(client);
    echo_server_stop(&server);
}

static size_t level_below(size_t in_flight)
{
    size_t level = 0;
    while (level + 1 < ECHO_LEVELS && echo_in_flight[level + 1] <= in_flight)
        level++;
    return level;
}

double machine_echo_cpu(const struct machine *machine, size_t in_flight)
{
    return machine->echo_cpu[level_below(in_flight)].median;
}

double machine_echo_rate(const struct machine *machine, size_t in_flight)
{
    return machine->echo[level_below(in_flight)].median;
}
