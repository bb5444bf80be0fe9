/* schedule.h: a schedule as a kind of entity: a record with wake-ups and a row in lists.
 *
 *   time comes ──> taken, or missed ──> buffer ──overlap policy──> order: start this workflow ──> running ──> closed
 *
 * Decisions only write down what is to be done. Orders are carried out by the layer above, which is told by news when they are
 * durable, asks for them (SCHEDULE_ORDERS), and reports each (SCHEDULE_STARTED, SCHEDULE_ENDED); after a crash it is told again. An
 * order's request id is the same every time, so it has its effect once. How a workflow ended is reported by SCHEDULE_CLOSED.
 *
 * The record (state_Schedule) is one row of the store, written whole by each transition: a schedule of ten years is as large as
 * one of a day. Pure: no clock, no randomness.
 * Limits: see below; what is past them is counted and dropped.
 */
#ifndef SCHEDULE_SCHEDULE_H
#define SCHEDULE_SCHEDULE_H
#include "pb/all.pb.h"
#include "schedule/spec.h"
#include "shard/entity.h"

/* Of business ids, so that no workflow's is in the way: starts under ids that begin so are refused. */
#define SCHEDULE_ID_PREFIX       "temporal-sys-scheduler:"
#define SCHEDULE_BUFFER_MAX      1000
#define SCHEDULE_RUNNING_MAX     1000 /* beside each other, by ALLOW_ALL */
#define SCHEDULE_BACKFILLS_MAX   100
#define SCHEDULE_RECENT_MAX      10
#define SCHEDULE_TIMES_MAX       1000 /* that one transition takes */
#define SCHEDULE_BACKFILL_ROUND  10   /* actions of backfills that one transition takes */
#define SCHEDULE_CATCHUP_DEFAULT (365 * 86400 * NS_PER_S)
#define SCHEDULE_CATCHUP_MIN     (10 * NS_PER_S)
#define SCHEDULE_IDLE_NS         (7 * 86400 * NS_PER_S)
#define SCHEDULE_NEWS_ORDERS                                                                                 \
    100 /* there are some; the subject is the business id, the body the namespace's number */
#define SCHEDULE_NEWS_COUNTS 101 /* of times; the body is a struct schedule_counts */

/* What became of times since the record was as it is, for metrics: memory only. */
struct schedule_counts {
    int64_t namespace_number, missed, skipped, dropped;
};

enum schedule_command {
    SCHEDULE_CREATE = 1, /* in: schedule, patch, memo, search_attributes, schedule_id, request_id */
    SCHEDULE_UPDATE,     /* in: schedule, search_attributes if has_search_attributes, conflict_token */
    SCHEDULE_PATCH,      /* in: patch */
    SCHEDULE_DELETE,
    SCHEDULE_GET,
    SCHEDULE_ORDERS,  /* out: the record; orders are its runs without a run id, and those with end_wanted */
    SCHEDULE_STARTED, /* in: id, run_id; or is_refused: there is no such workflow, and there will be none */
    SCHEDULE_ENDED,   /* in: id: its cancel or terminate was asked for */
    SCHEDULE_CLOSED,  /* in: id, workflow_id, run_id, status, result, failure */
};
struct schedule_request {
    struct request                       base;
    const struct schedule_Schedule      *schedule; /* canonical: see schedule_complete */
    const struct schedule_SchedulePatch *patch;    /* NULL: none */
    struct bytes                         schedule_id, request_id, memo, search_attributes;
    bool                                 has_search_attributes;
    struct bytes                         conflict_token; /* empty: whatever it is */
    int64_t                              id;
    bool                                 is_refused;
    struct bytes                         workflow_id, run_id, result, failure;
    int32_t                              status;
    /* out, of every command: as it is then; in the request's arena */
    struct state_Schedule *record;
};
/* What clients gave, checked and completed: the spec canonical, policies with their defaults. INVALID_ARGUMENT names the field. */
enum status  schedule_complete(const struct schedule_Schedule *given, struct arena *arena,
                               struct schedule_Schedule *ret_schedule, struct error *error) MUST_USE;
enum status  schedule_patch_check(const struct schedule_SchedulePatch *patch, struct error *error) MUST_USE;
struct bytes schedule_business_id(struct bytes schedule_id, struct arena *arena);
/* By which jitter is the same every time. */
struct bytes schedule_seed(struct bytes namespace_id, struct bytes schedule_id, struct arena *arena);
/* Whether time alone lets it act: it is not paused, and has actions left. */
bool schedule_is_active(const struct state_Schedule *record);
/* The token that clients get, 8 bytes. */
struct bytes                    schedule_token(const struct state_Schedule *record, struct arena *arena);
extern const struct entity_kind schedule_kind;
#endif
