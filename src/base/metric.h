/* metric.h: counters, gauges and histograms of the process, and their text for Prometheus.
 *
 * One table (METRICS) says all there are: names, labels, help; docs/reference/metrics.md is made from it. Names are those that
 * dashboards of the reference server use where it has the same thing; others begin with perdure_.
 *
 * Owns:    cells, one set per thread that counts; a scrape sums them. A thread that ends leaves its counts to the next one.
 * Thread:  any. A cell is written by its own thread only, by a relaxed load and store, so counting costs a few instructions and
 *          no cache line is shared. The registry is one for the process.
 * Limits:  METRIC_NAMESPACES_MAX namespaces have series of their own, later ones are counted as "_other_"; all other labels have
 *          fixed sets of values. What waits in task queues has names of its users, and is printed by server/metrics.c within
 *          limits of its own.
 * Survives a restart: nothing.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H
#include "base/buffer.h"

#define METRIC_NAMESPACES_MAX 32

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_SECONDS, METRIC_SIZES };
/* Which labels tell the series of a metric apart, besides the namespace. */
enum metric_labels {
    LABELS_NONE,
    LABELS_OPERATION,       /* an RPC */
    LABELS_OPERATION_ERROR, /* an RPC, and what it was answered with */
    LABELS_STORE,           /* what the store was asked for */
    LABELS_TASK,            /* Workflow, Activity */
    LABELS_EVENT,           /* the type of a history event */
    LABELS_CACHE,
    LABELS_LEVEL, /* of a line in the log */
    LABELS_COUNT
};
enum metric_cache { CACHE_RUNS, CACHE_WINDOWS, CACHE_MATCHING, CACHE_KNOWN_IDS, CACHE_SQLITE, CACHE_COUNT };
enum metric_task { TASK_LABEL_WORKFLOW, TASK_LABEL_ACTIVITY, TASK_LABEL_COUNT };

/* identifier, kind, name, labels, whether by namespace, labels that are always there, help */
#define METRICS(X)                                                                                           \
    X(SERVICE_REQUESTS, METRIC_COUNTER, "service_requests", LABELS_OPERATION, true,                          \
      "service_name=\"frontend\"", "Calls that were answered.")                                              \
    X(SERVICE_LATENCY, METRIC_SECONDS, "service_latency", LABELS_OPERATION, true,                            \
      "service_name=\"frontend\"",                                                                           \
      "From a call's arrival, whole, to its answer. Long polls wait for as long as they do.")                \
    X(SERVICE_ERRORS, METRIC_COUNTER, "service_errors", LABELS_OPERATION, true, "service_name=\"frontend\"", \
      "Calls that the server failed: INTERNAL, UNKNOWN, DATA_LOSS, UNAVAILABLE. What a caller did wrong is " \
      "not among them.")                                                                                     \
    X(SERVICE_ERROR_WITH_TYPE, METRIC_COUNTER, "service_error_with_type", LABELS_OPERATION_ERROR, true,      \
      "service_name=\"frontend\"", "Calls that were answered with any error.")                               \
    X(SERVICE_PENDING_REQUESTS, METRIC_GAUGE, "service_pending_requests", LABELS_NONE, false,                \
      "service_name=\"frontend\"", "Calls under way, with long polls.")                                      \
    X(CONNECTIONS_ACCEPTED, METRIC_COUNTER, "service_grpc_conn_accepted", LABELS_NONE, false,                \
      "service_name=\"frontend\"", "gRPC connections that were taken.")                                      \
    X(CONNECTIONS_CLOSED, METRIC_COUNTER, "service_grpc_conn_closed", LABELS_NONE, false,                    \
      "service_name=\"frontend\"", "gRPC connections that have ended.")                                      \
    X(CONNECTIONS_ACTIVE, METRIC_GAUGE, "service_grpc_conn_active", LABELS_NONE, false,                      \
      "service_name=\"frontend\"", "gRPC connections that are open.")                                        \
    X(CONNECTIONS_REFUSED, METRIC_COUNTER, "perdure_connections_refused_total", LABELS_NONE, false, "",      \
      "gRPC connections beyond the limit, and peers that were sent away for flooding.")                      \
    X(GRPC_BYTES_READ, METRIC_COUNTER, "perdure_grpc_read_bytes_total", LABELS_NONE, false, "",              \
      "Bytes that gRPC peers sent.")                                                                         \
    X(GRPC_BYTES_WRITTEN, METRIC_COUNTER, "perdure_grpc_written_bytes_total", LABELS_NONE, false, "",        \
      "Bytes that gRPC peers were sent.")                                                                    \
    X(POLL_SUCCESS, METRIC_COUNTER, "poll_success", LABELS_TASK, true, "service_name=\"matching\"",          \
      "Polls that got a task.")                                                                              \
    X(POLL_SUCCESS_SYNC, METRIC_COUNTER, "poll_success_sync", LABELS_TASK, true,                             \
      "service_name=\"matching\"",                                                                           \
      "Polls that waited when their task came up, and got it in the same commit: the sync match.")           \
    X(POLL_TIMEOUTS, METRIC_COUNTER, "poll_timeouts", LABELS_TASK, true, "service_name=\"matching\"",        \
      "Polls that ended without a task.")                                                                    \
    X(POLL_LATENCY, METRIC_SECONDS, "poll_latency", LABELS_TASK, true, "service_name=\"matching\"",          \
      "From a poll's arrival to the task it got.")                                                           \
    X(TASK_DISPATCH_LATENCY, METRIC_SECONDS, "task_dispatch_latency", LABELS_TASK, true,                     \
      "service_name=\"matching\"", "From when a task was ready to when it was handed to a worker.")          \
    X(LOADED_TASK_QUEUES, METRIC_GAUGE, "loaded_task_queue_count", LABELS_NONE, false,                       \
      "service_name=\"matching\"", "Task queues that memory knows.")                                         \
    X(EVENTS, METRIC_COUNTER, "perdure_history_events_total", LABELS_EVENT, true, "",                        \
      "History events that were written.")                                                                   \
    X(STATE_TRANSITIONS, METRIC_COUNTER, "perdure_state_transitions_total", LABELS_NONE, false, "",          \
      "Transitions of executions and other entities.")                                                       \
    X(WAKEUPS, METRIC_COUNTER, "perdure_wakeups_total", LABELS_NONE, false, "",                              \
      "Times that an execution was woken by its timer or timeout.")                                          \
    X(SCHEDULE_ACTION_SUCCESS, METRIC_COUNTER, "schedule_action_success", LABELS_NONE, true,                 \
      "service_name=\"worker\"", "Actions of schedules that were done.")                                     \
    X(SCHEDULE_ACTION_ERRORS, METRIC_COUNTER, "schedule_action_errors", LABELS_NONE, true,                   \
      "service_name=\"worker\"", "Actions of schedules that failed to start.")                               \
    X(SCHEDULE_ACTION_DELAY, METRIC_SECONDS, "schedule_action_delay", LABELS_NONE, true,                     \
      "service_name=\"worker\"", "From the time a schedule names to when its action was begun.")             \
    X(SCHEDULE_MISSED, METRIC_COUNTER, "schedule_missed_catchup_window", LABELS_NONE, true,                  \
      "service_name=\"worker\"", "Actions that were skipped because their catch-up window had passed.")      \
    X(SCHEDULE_OVERRUNS, METRIC_COUNTER, "schedule_buffer_overruns", LABELS_NONE, true,                      \
      "service_name=\"worker\"", "Actions that were dropped because too many waited.")                       \
    X(SCHEDULE_SKIPPED, METRIC_COUNTER, "perdure_schedule_skipped_total", LABELS_NONE, true, "",             \
      "Actions that were skipped by their overlap policy.")                                                  \
    X(PERSISTENCE_REQUESTS, METRIC_COUNTER, "persistence_requests", LABELS_STORE, false, "",                 \
      "What the store was asked.")                                                                           \
    X(PERSISTENCE_ERRORS, METRIC_COUNTER, "persistence_errors", LABELS_STORE, false, "",                     \
      "What the store did not do, or could not say.")                                                        \
    X(PERSISTENCE_LATENCY, METRIC_SECONDS, "persistence_latency", LABELS_STORE, false, "",                   \
      "From asking the store to its answer, with the time in its queue. A commit's is that of its flush.")   \
    X(BATCH_TRANSITIONS, METRIC_SIZES, "perdure_commit_batch_transitions", LABELS_NONE, false, "",           \
      "Transitions that a lane committed together.")                                                         \
    X(STORE_COMMITS, METRIC_COUNTER, "perdure_store_commits_total", LABELS_NONE, false, "",                  \
      "Transactions of the store, each with its flush.")                                                     \
    X(STORE_WRITES, METRIC_COUNTER, "perdure_store_writes_total", LABELS_NONE, false, "",                    \
      "Rows written or deleted.")                                                                            \
    X(STORE_BYTES, METRIC_COUNTER, "perdure_store_bytes_total", LABELS_NONE, false, "",                      \
      "Bytes of those rows, roughly as stored.")                                                             \
    X(STORE_CHECKPOINTS, METRIC_COUNTER, "perdure_store_checkpoints_total", LABELS_NONE, false, "",          \
      "Times that the write-ahead log was copied into the file.")                                            \
    X(STORE_LOG_BYTES, METRIC_GAUGE, "perdure_store_log_bytes", LABELS_NONE, false, "",                      \
      "Size of the write-ahead log.")                                                                        \
    X(READ_ONLY_LANES, METRIC_GAUGE, "perdure_store_full", LABELS_NONE, false, "",                           \
      "Lanes that refuse new work because the disk is full.")                                                \
    X(CACHE_BYTES, METRIC_GAUGE, "perdure_cache_bytes", LABELS_CACHE, false, "",                             \
      "Memory of each cache, roughly. --memory bounds runs.")                                                \
    X(CACHE_ENTRIES, METRIC_GAUGE, "perdure_cache_entries", LABELS_CACHE, false, "", "What is in each.")     \
    X(CACHE_LOADS, METRIC_COUNTER, "perdure_cache_loads_total", LABELS_NONE, false, "",                      \
      "Executions that were read from the store.")                                                           \
    X(CACHE_EVICTIONS, METRIC_COUNTER, "perdure_cache_evictions_total", LABELS_NONE, false, "",              \
      "Executions that gave way to others.")                                                                 \
    X(LOG_LINES, METRIC_COUNTER, "perdure_log_lines_total", LABELS_LEVEL, false, "",                         \
      "Lines that were written to the log.")                                                                 \
    X(LOG_LEFT_OUT, METRIC_COUNTER, "perdure_log_left_out_total", LABELS_LEVEL, false, "",                   \
      "Lines that were not, because too many of their kind came.")                                           \
    X(TRACES_EXPORTED, METRIC_COUNTER, "perdure_spans_exported_total", LABELS_NONE, false, "",               \
      "Spans that the collector took.")                                                                      \
    X(TRACES_DROPPED, METRIC_COUNTER, "perdure_spans_dropped_total", LABELS_NONE, false, "",                 \
      "Spans that it did not, or for which there was no room.")                                              \
    X(LANES, METRIC_GAUGE, "perdure_lanes", LABELS_NONE, false, "", "Event loops that serve calls.")         \
    X(LANES_LATE, METRIC_GAUGE, "perdure_lanes_late", LABELS_NONE, false, "",                                \
      "Lanes that did not answer this scrape in time; what is said of them is as of an earlier one.")        \
    X(SHARDS, METRIC_GAUGE, "numshards_gauge", LABELS_NONE, false, "service_name=\"history\"",               \
      "Shards: all of them are this server's.")                                                              \
    X(RESTARTS, METRIC_COUNTER, "restarts", LABELS_NONE, false, "", "1: counters begin anew with each start.")

enum metric {
#define METRIC_ID(id, ...) METRIC_##id,
    METRICS(METRIC_ID)
#undef METRIC_ID
        METRIC_COUNT
};

/* Counts `value`. `namespace` is a slot of metric_namespace, 0 for none or unknown; `index` is that of the labels: for two of
 * them first * METRIC_ERRORS_MAX + second. What is past the labels' values is not counted. */
#define METRIC_OPERATIONS_MAX 256
#define METRIC_ERRORS_MAX     17 /* gRPC codes */
void metric_add(enum metric metric, uint32_t namespace, uint32_t index, uint64_t value);
/* The calling thread's part of a gauge, or of a counter that is counted elsewhere; the parts are summed. */
void metric_set(enum metric metric, uint32_t namespace, uint32_t index, uint64_t value);
/* One more in a histogram: nanoseconds (METRIC_SECONDS) or a count (METRIC_SIZES). */
void metric_observe(enum metric metric, uint32_t namespace, uint32_t index, int64_t value);

/* The slot of a namespace, the same for as long as the process lives. Takes a lock: for when namespaces change. */
uint32_t metric_namespace(struct bytes name);
/* Those who know the values of a label say their names: NULL past the last. Static; before anything is printed. */
void metric_name_labels(enum metric_labels labels, const char *(*name)(uint32_t index));

/* What was counted, in the text format of Prometheus 0.0.4. */
void metric_print(struct buffer *to);
/* A label's value with what would end it escaped. */
void metric_print_label(struct buffer *to, struct bytes value);
/* The table, for docs/reference/metrics.md. */
void metric_print_reference(struct buffer *to);
/* The sum over all threads of one counter or gauge; for tests. */
uint64_t metric_value(enum metric metric, uint32_t namespace, uint32_t index);
#endif
