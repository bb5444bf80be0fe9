/* failure.h: failures the server makes itself, and the errors it answers with. Everything lives in the arena given. */
#ifndef ENGINE_FAILURE_H
#define ENGINE_FAILURE_H
#include "base/arena.h"
#include "codec/pb.h"
#include "pb/all.pb.h"
#include "shard/limits.h"

/* Encoded temporal.api.failure.v1.Failure, never with a NULL base. `cause` is encoded too; empty: none. */
struct bytes failure_server(struct arena *arena, struct bytes message, bool non_retryable,
                            struct bytes cause);
struct bytes failure_timeout(struct arena *arena, int32_t timeout_type, struct bytes heartbeat_details,
                             struct bytes cause);
/* What the next run of a chain is told of a run whose time was over. */
struct bytes failure_run_timeout(struct arena *arena);
/* The failure itself if it fits; else a server failure around what is left of its text when cut to size_max bytes. */
struct bytes failure_bounded(struct arena *arena, struct bytes failure, size_t size_max, bool non_retryable);

/* To this size a failure is cut that is too large to be stored as it came. */
static inline size_t kept_of_large(const struct limits *limits)
{
    return MIN(limits->payload_size_warn, limits->payload_size_max);
}

/* "BadStartTimerAttributes" for WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES. */
struct bytes cause_name(struct arena *arena, int32_t cause);

/* Errors with the first detail that clients of theirs look at. All return the code they set. */
enum status error_not_found(struct error *error, struct arena *arena, const char *message);
enum status error_not_ready(struct error *error, struct arena *arena, const char *message);
/* Too many at once; clients retry. */
enum status error_concurrent(struct error *error, struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status error_busy(struct error *error, struct arena *arena, const char *message);
enum status error_already_started(struct error *error, struct arena *arena, struct bytes start_request_id,
                                  struct bytes run_id, struct bytes first_run_id);
#endif
