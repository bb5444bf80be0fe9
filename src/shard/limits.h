/* limits.h: one table of the limits of a namespace: what each is called, its unit, default and range.
 *
 * The server's own values come from `--limit NAME=VALUE`; a namespace may have others, kept in its record as data under
 * "perdure.limit.NAME". A decision sees its namespace's values in env, and nothing else. docs/reference/limits.md is made
 * from this table. Past an error limit something is refused or ended; past a warn limit the server's log says so, once.
 *
 * Thread: any; plain data.
 */
#ifndef SHARD_LIMITS_H
#define SHARD_LIMITS_H
#include "base/base.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"

#define LIMIT_KIB(n) ((int64_t)(n) << 10)
#define LIMIT_MIB(n) ((int64_t)(n) << 20)

/* LIMIT(type, member, unit, default, smallest, largest, meaning): in the order of the reference page. */
#define LIMITS(LIMIT)                                                                                        \
    LIMIT(size_t, id_size_max, BYTES, 1000, 1, 1000,                                                         \
          "ids and names given by clients: workflow, type, activity, timer, signal, queue, request")         \
    LIMIT(size_t, build_id_size_max, BYTES, 255, 1, 1000, "build ids of workers")                            \
    LIMIT(size_t, payload_size_max, BYTES, LIMIT_MIB(2), 64, LIMIT_MIB(4),                                   \
          "one field of payloads: input, result, failure, details, query arguments and answers")             \
    LIMIT(size_t, payload_size_warn, BYTES, LIMIT_KIB(512), 1, LIMIT_MIB(4),                                 \
          "the same: the log says so; also what is left of a failure that is too large")                     \
    LIMIT(size_t, memo_size_max, BYTES, LIMIT_MIB(2), 1, LIMIT_MIB(4), "the memo of a workflow, as a whole") \
    LIMIT(size_t, memo_size_warn, BYTES, LIMIT_KIB(2), 1, LIMIT_MIB(4), "the same: the log says so")         \
    LIMIT(size_t, history_size_max, BYTES, LIMIT_MIB(50), LIMIT_KIB(1), LIMIT_MIB(1024),                     \
          "the history of one run; past it the run is terminated")                                           \
    LIMIT(size_t, history_size_warn, BYTES, LIMIT_MIB(10), LIMIT_KIB(1), LIMIT_MIB(1024),                    \
          "the same: the log says so")                                                                       \
    LIMIT(size_t, history_events_max, COUNT, 51200, 4, 1000000,                                              \
          "the events of one run; past it the run is terminated")                                            \
    LIMIT(size_t, history_events_warn, COUNT, 10240, 1, 1000000, "the same: the log says so")                \
    LIMIT(size_t, suggest_size, BYTES, LIMIT_MIB(4), 1, LIMIT_MIB(1024),                                     \
          "of a history: from it on, workers are told to continue as new")                                   \
    LIMIT(size_t, suggest_events, COUNT, 4096, 1, 1000000, "events: the same")                               \
    LIMIT(size_t, state_size_max, BYTES, LIMIT_MIB(8), LIMIT_KIB(1), LIMIT_MIB(64),                          \
          "what is kept in memory of one open run; past it the run is terminated")                           \
    LIMIT(size_t, state_size_warn, BYTES, LIMIT_MIB(1), LIMIT_KIB(16), LIMIT_MIB(64),                        \
          "the same: the log says so")                                                                       \
    LIMIT(size_t, pending_activities_max, COUNT, 2000, 1, 50000, "activities that one run may have pending") \
    LIMIT(size_t, pending_children_max, COUNT, 2000, 1, 50000, "children that one run may have pending")     \
    LIMIT(size_t, pending_external_signals_max, COUNT, 2000, 1, 50000,                                       \
          "signals to other workflows that one run may have on their way")                                   \
    LIMIT(size_t, pending_external_cancels_max, COUNT, 2000, 1, 50000,                                       \
          "cancel requests to other workflows that one run may have on their way")                           \
    LIMIT(size_t, signals_max, COUNT, 10000, 1, 1000000, "signals that one run may receive")                 \
    LIMIT(size_t, updates_in_flight_max, COUNT, 10, 1, 1000, "updates of one run that are not completed")    \
    LIMIT(size_t, updates_in_flight_size_max, BYTES, LIMIT_MIB(20), LIMIT_KIB(1), LIMIT_MIB(64),             \
          "the requests of updates that wait for a worker")                                                  \
    LIMIT(size_t, updates_total_max, COUNT, 2000, 1, 100000,                                                 \
          "distinct updates of one run, rejected ones not counted; near it workers are told so")             \
    LIMIT(size_t, buffered_events_max, COUNT, 100, 1, 10000,                                                 \
          "events that wait while a worker has the workflow task; past it that task fails")                  \
    LIMIT(size_t, buffered_bytes_max, BYTES, LIMIT_MIB(2), 64, LIMIT_MIB(4), "the same events: their size")  \
    LIMIT(size_t, buffered_queries_max, COUNT, 1, 1, 100,                                                    \
          "queries of one run that wait for a workflow task")                                                \
    LIMIT(size_t, kept_failure_size_max, BYTES, LIMIT_KIB(4), 512, LIMIT_MIB(2),                             \
          "the failure that an activity keeps between two attempts; a larger one is cut")                    \
    LIMIT(size_t, search_attributes_max, COUNT, 100, 1, 1000, "search attributes of one workflow")           \
    LIMIT(size_t, search_attribute_size_max, BYTES, LIMIT_KIB(2), 1, LIMIT_KIB(64),                          \
          "one search attribute's value")                                                                    \
    LIMIT(size_t, search_attributes_size_max, BYTES, LIMIT_KIB(40), 1, LIMIT_MIB(1),                         \
          "all search attributes of one workflow")                                                           \
    LIMIT(size_t, callbacks_max, COUNT, 32, 0, 2000, "completion callbacks of one run")                      \
    LIMIT(size_t, callback_url_size_max, BYTES, 1000, 1, LIMIT_KIB(8), "the URL of a completion callback")   \
    LIMIT(size_t, callback_header_size_max, BYTES, LIMIT_KIB(8), 0, LIMIT_KIB(64),                           \
          "the header of a completion callback: names and values")                                           \
    LIMIT(size_t, links_max, COUNT, 10, 0, 1000, "links of one request")                                     \
    LIMIT(size_t, link_size_max, BYTES, 4000, 1, LIMIT_KIB(64), "one link")                                  \
    LIMIT(size_t, list_page_max, COUNT, 1000, 1, 1000, "workflows on one page of a list")                    \
    LIMIT(int64_t, retention_min_ns, SECONDS, 3600, 1, 86400 * 365,                                          \
          "the shortest retention that a namespace may have; the server's own value counts")                 \
    LIMIT(int64_t, workflow_task_timeout_default_ns, SECONDS, 10, 1, 3600,                                   \
          "of workflow tasks whose workflow does not say")                                                   \
    LIMIT(int64_t, workflow_task_timeout_max_ns, SECONDS, 120, 1, 3600, "of workflow tasks, whatever is said")

struct limits {
#define LIMIT_MEMBER(type, member, ...) type member;
    LIMITS(LIMIT_MEMBER)
#undef LIMIT_MEMBER
};
extern const struct limits limits_default;

enum limit_unit { LIMIT_BYTES, LIMIT_COUNT, LIMIT_SECONDS };
struct limit {
    char            name[48]; /* "payload-size-max" */
    enum limit_unit unit;
    int64_t         value_default, value_min, value_max; /* in its unit */
    const char     *meaning;
    uint16_t        offset; /* in struct limits */
};
size_t limits_count(void);
/* The nth of the table. */
struct limit limits_row(size_t index);

/* Sets one by its name; text is a number, of bytes also with K or M behind. INVALID_ARGUMENT says what it may be. */
enum status limits_set(struct limits *limits, struct bytes name, struct bytes text,
                       struct error *error) MUST_USE;

bool limits_known(struct bytes name);

/* Keys of a namespace's data that begin so hold limits. */
#define LIMIT_DATA_PREFIX BYTES("perdure.limit.")
#endif
