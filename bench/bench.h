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
void server_process_start(struct server_process *server, const char *binary, const char *memory);
/* The same files again, after an end or a kill. */
void    server_process_restart(struct server_process *server, const char *binary, const char *memory);
void    server_process_stop(struct server_process *server, int signal_number); /* waits for the end */
void    server_process_remove(struct server_process *server);
int64_t server_process_cpu_ns(const struct server_process *server);
int64_t server_process_rss(const struct server_process *server);  /* bytes */
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
enum shape {
    SHAPE_EMPTY,
    SHAPE_ONE_ACTIVITY,
    SHAPE_TEN_ACTIVITIES,
    SHAPE_TIMER,
    SHAPE_SLEEPER,
    SHAPE_SIGNALED,
    SHAPE_PARENT /* of one empty child */
};

struct load;
struct load_options {
    uint16_t port;
    size_t   pollers; /* of workflow tasks, and as many of activity tasks; 0: no worker */
    bool     eager;   /* ask for eager activities */
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
void load_run_workflows(struct load *load, const struct server_process *server, enum shape shape,
                        size_t count, size_t in_flight, struct load_result *ret_result);
/* Starts `count` workflows, `in_flight` calls at a time, and waits for none of them. */
void load_run_starts(struct load *load, const struct server_process *server, enum shape shape,
                     const char *prefix, size_t count, size_t in_flight, struct load_result *ret_result);
/* Sends `count` signals to `targets` workflows started under `prefix`. */
void load_run_signals(struct load *load, const struct server_process *server, const char *prefix,
                      size_t targets, size_t count, size_t in_flight, struct load_result *ret_result);
void load_run_queries(struct load *load, const struct server_process *server, const char *prefix,
                      size_t count, size_t in_flight, struct load_result *ret_result);
/* Updates that are completed in the task that brings them, waited for. No more than two thousand per target. */
void load_run_updates(struct load *load, const struct server_process *server, const char *prefix,
                      size_t targets, size_t count, size_t in_flight, struct load_result *ret_result);
/* Each starts a workflow of its own. */
void load_run_updates_with_start(struct load *load, const struct server_process *server, const char *prefix,
                                 size_t count, size_t in_flight, struct load_result *ret_result);
/* Turns the loop until the worker has completed `count` workflows in all, or `limit_ns` passed. */
void   load_wait_completions(struct load *load, size_t count, int64_t limit_ns);
size_t load_completions(const struct load *load);
/* Lateness of timers: ns between due and the task that tells of it. */
struct samples *load_timer_lateness(struct load *load);
/* Asks for GetSystemInfo; the monotonic time of the answer. */
int64_t wait_answer(uint16_t port);

/* --- what the workers answer with; all in the arena --- */
#define BENCH_QUEUE "bench"
struct command_Command *command_schedule_activity(struct arena *arena, int number, bool eager);
struct command_Command *command_start_timer(struct arena *arena, int64_t seconds);
struct command_Command *command_complete_workflow(struct arena *arena);
struct command_Command *command_start_child(struct arena *arena, struct bytes workflow_id);
struct command_Command *command_markers(struct arena *arena, size_t count);
/* Accepts and completes every update that the task brings. */
void update_answers(struct arena *arena, const struct workflowservice_PollWorkflowTaskQueueResponse *task,
                    struct workflowservice_RespondWorkflowTaskCompletedRequest *request);

/* --- the machine --- */
/* Of a few runs of the same thing. */
struct spread {
    double min, median, max;
};
struct spread spread_of(double *values, size_t count); /* sorts */

#define ECHO_LEVELS 3
extern const size_t echo_in_flight[ECHO_LEVELS];
struct machine {
    struct spread appends;           /* per second: 4 KiB overwritten, then fdatasync, one after the other */
    struct spread echo[ECHO_LEVELS]; /* calls per second of a bare HTTP/2 echo */
    struct spread echo_cpu[ECHO_LEVELS]; /* us of the echoing thread per call */
};
void machine_measure(struct machine *machine, const char *directory, int64_t run_ns, size_t runs);
/* At the measured level that is nearest below `in_flight`. */
double machine_echo_cpu(const struct machine *machine, size_t in_flight);
double machine_echo_rate(const struct machine *machine, size_t in_flight);

/* --- what is reported: Markdown, to standard output and to a file --- */
enum goal_kind { AT_MOST, AT_LEAST };
struct report;
struct report *report_new(const char *path); /* NULL: standard output only */
void report_line(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Kept for the table at the end. */
void report_goal(struct report *report, const char *what, struct spread measured, const char *unit,
                 enum goal_kind kind, double limit);
/* Prints the goals; how many are missed. */
size_t report_end(struct report *report);

/* --- the sections --- */
struct bench {
    const char    *binary, *go_source; /* go_source: NULL without the Go SDK's figure */
    struct report *report;
    struct machine machine;
    bool           quick;
    size_t         runs;
    double         run_s;  /* how long one run of one cell should take */
    size_t         errors; /* refused or failed calls, all sections together */
};
void section_machine(struct bench *bench);
void section_process(struct bench *bench);
void section_workflows(struct bench *bench);
void section_rest(struct bench *bench); /* disk at rest */
void section_messages(struct bench *bench);
void section_long(struct bench *bench);
void section_timers(struct bench *bench);
void section_backlog(struct bench *bench);
void section_sleepers(struct bench *bench);
void section_polls(struct bench *bench);
void section_go(struct bench *bench);
#endif
