/* bench.h: a light client and worker in C that speak the wire, so that the server is the bottleneck, and what they measure.
 *
 * One process, one loop, one thread for all clients and workers; the server is a child process on its own files. CPU is the
 * server process's own (clock_getcpuclockid), disk is what its files grew by.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include <sys/types.h>

#include "base/base.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/random.h"
#include "codec/pb.h"
#include "io/loop.h"
#include "pb/all.pb.h"
#include "wire/client.h"

/* --- the server as a child --- */
struct server_process {
    pid_t    pid;
    char     directory[64]; /* of its store; removed at the end */
    uint16_t port;
    int64_t  started_ns; /* monotonic, before exec */
};
void    server_process_start(struct server_process *server, const char *binary, const char *memory);
/* The same files again, after an end or a kill. */
void    server_process_restart(struct server_process *server, const char *binary, const char *memory);
void    server_process_stop(struct server_process *server, int signal_number); /* waits for the end */
void    server_process_remove(struct server_process *server);
int64_t server_process_cpu_ns(const struct server_process *server);
int64_t server_process_rss(const struct server_process *server); /* bytes */
int64_t server_process_disk(const struct server_process *server); /* bytes of its files without the log */
/* Flush requests the machine's disks have served; -1 where the kernel does not say. */
int64_t machine_flushes(void);

/* --- samples --- */
struct samples {
    int64_t *values;
    size_t   count, capacity;
};
void    samples_add(struct samples *samples, int64_t value);
int64_t samples_percentile(struct samples *samples, double percent); /* sorts */
void    samples_release(struct samples *samples);

/* --- load --- */
enum shape { SHAPE_EMPTY, SHAPE_ONE_ACTIVITY, SHAPE_TEN_ACTIVITIES, SHAPE_TIMER, SHAPE_SLEEPER, SHAPE_SIGNALED };

struct load;
struct load_options {
    uint16_t port;
    size_t   pollers;  /* of workflow tasks, and as many of activity tasks; 0: no worker */
    bool     eager;    /* ask for eager activities */
    bool     sticky;
};
struct load *load_new(struct loop *loop, const struct load_options *options);
void         load_free(struct load *load);

struct load_result {
    size_t         count;
    int64_t        wall_ns, cpu_ns, disk_bytes, flushes;
    struct samples latency; /* ns, start to result */
    size_t         errors;
};
/* Runs `count` workflows, `in_flight` at a time, each from start to result by long poll. */
void load_run_workflows(struct load *load, const struct server_process *server, enum shape shape, size_t count,
                        size_t in_flight, struct load_result *ret_result);
/* Starts `count` workflows, `in_flight` calls at a time, and waits for none of them. */
void load_run_starts(struct load *load, const struct server_process *server, enum shape shape, const char *prefix,
                     size_t count, size_t in_flight, struct load_result *ret_result);
/* Sends `count` signals to `targets` workflows started under `prefix`. */
void load_run_signals(struct load *load, const struct server_process *server, const char *prefix, size_t targets,
                      size_t count, size_t in_flight, struct load_result *ret_result);
void load_run_queries(struct load *load, const struct server_process *server, const char *prefix, size_t count,
                      size_t in_flight, struct load_result *ret_result);
/* Turns the loop until the worker has completed `count` workflows in all, or `limit_ns` passed. */
void load_wait_completions(struct load *load, size_t count, int64_t limit_ns);
size_t load_completions(const struct load *load);
/* Lateness of timers: ns between due and the task that tells of it. */
struct samples *load_timer_lateness(struct load *load);
/* GetSystemInfo until it is answered; the monotonic time of the answer. */
int64_t load_wait_answer(struct load *load);

/* --- the machine --- */
struct machine {
    double appends_per_second;   /* 4 KiB overwrite + fdatasync, one after the other */
    double echo_per_second[3];   /* bare HTTP/2 echo at 1, 16, 64 in flight */
    double echo_cpu_us[3];       /* of the echoing thread, per call */
};
void machine_measure(struct machine *machine, const char *directory);
#endif
