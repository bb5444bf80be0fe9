/* lane.c: turns, and requests on their way between lanes. */
#include "shard/shard_internal.h"

#include "base/log.h"
#include "base/metric.h"
#include "pb/enums.pb.h"

/* An encoded ResourceExhaustedFailure: cause, scope. Static, so that refusing needs no memory. */
static const uint8_t overloaded_detail[] = { 0x08, enums_RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED, 0x10,
                                             enums_RESOURCE_EXHAUSTED_SCOPE_SYSTEM };
static const uint8_t full_detail[] = { 0x08, enums_RESOURCE_EXHAUSTED_CAUSE_PERSISTENCE_STORAGE_LIMIT, 0x10,
                                       enums_RESOURCE_EXHAUSTED_SCOPE_SYSTEM };
#define EXHAUSTED_TYPE BYTES("temporal.api.errordetails.v1.ResourceExhaustedFailure")

/* --- time --- */

/* Never goes back. While the wall clock is behind (it stepped back), time goes on as the monotonic clock does, so that
 * timers still fire; a small step is waited for. */
void lane_tell_time(struct lane *lane)
{
    const struct clock *clock = &lane->runtime->options.clock;
    int64_t             monotonic = clock_monotonic_ns(clock), wall = clock_wall_ns(clock);
    int64_t             elapsed = MAX(monotonic - lane->monotonic, INT64_C(0));
    if (wall >= lane->now)
        lane->now = wall;
    else if (lane->now - wall >= NS_PER_S)
        lane->now = time_add(lane->now, elapsed);
    lane->wall = wall;
    lane->monotonic = MAX(monotonic, lane->monotonic);
}

int64_t lane_now(const struct lane *lane)
{
    return lane->now;
}

int64_t lane_monotonic(const struct lane *lane)
{
    return lane->monotonic;
}

int64_t lane_clock_monotonic(const struct lane *lane)
{
    return clock_monotonic_ns(&lane->runtime->options.clock);
}

/* --- requests --- */

static struct lane *owner_of(struct runtime *runtime, const struct request *request)
{
    if (request->kind == ENTITY_NAMESPACES)
        return runtime->lanes[0];
    return runtime_owner(runtime, request->namespace_number, request->business_id);
}

static void request_arrived(struct message *message)
{
    struct request *request = CONTAINER_OF(message, struct request, message);
    lane_enqueue(owner_of(request->home->runtime, request), request);
}

static void request_home(struct message *message)
{
    struct request *request = CONTAINER_OF(message, struct request, message);
    request->done(request);
}

void request_wait_for_batch(struct lane *lane, struct request *request, int64_t batch)
{
    request->message.run = request_arrived;
    commit_after(lane, batch, &request->message);
}

void lane_enqueue(struct lane *lane, struct request *request)
{
    list_append(&lane->queue, &request->link);
}

void request_prepare(struct lane *home, struct request *request)
{
    assert(request->done != NULL && request->arena != NULL);
    request->home = home;
    request->chain = NULL;
    request->number = request->by_number;
    request->batch = 0;
    request->version = 0;
    request->rounds = 0;
    request->cold = (struct event_range){ 0 };
    request->other = 0;
    request->fork = NULL;
    list_init(&request->link);
}

void lane_submit(struct lane *from, struct request *request)
{
    request_prepare(from, request);
    struct lane *owner = owner_of(from->runtime, request);
    if (owner == from) {
        lane_enqueue(from, request);
        return;
    }
    request->message.run = request_arrived;
    mailbox_post(&owner->mailbox, &request->message);
}

void lane_finish(struct lane *lane, struct request *request)
{
    assert(!list_linked(&request->link));
    request->chain = NULL;
    if (request->fork != NULL)
        fork_free(request);
    if (request->home == lane) {
        list_append(&lane->finished, &request->link);
        return;
    }
    request->message.run = request_home;
    mailbox_post(&request->home->mailbox, &request->message);
}

void lane_fail(struct lane *lane, struct request *request, enum status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_setv(&request->error, code, format, arguments);
    va_end(arguments);
    lane_finish(lane, request);
}

void lane_refuse_full(struct lane *lane, struct request *request)
{
    error_set(&request->error, ST_RESOURCE_EXHAUSTED, "the disk of the server is full");
    request->error.detail_type = EXHAUSTED_TYPE;
    request->error.detail = bytes_of(full_detail, sizeof(full_detail));
    lane_finish(lane, request);
}

void lane_refuse_overloaded(struct lane *lane, struct request *request)
{
    error_set(&request->error, ST_RESOURCE_EXHAUSTED, "too many requests wait for executions to be loaded");
    request->error.detail_type = EXHAUSTED_TYPE;
    request->error.detail = bytes_of(overloaded_detail, sizeof(overloaded_detail));
    lane_finish(lane, request);
}

/* --- turns --- */

static void run_messages(struct lane *lane)
{
    for (struct message *message = mailbox_take(&lane->mailbox), *next; message != NULL; message = next) {
        next = message->next; /* the message may be gone after it has run */
        message->run(message);
        if (lane->dead)
            return;
    }
}

static void run_finished(struct lane *lane)
{
    /* Answers lead to further ones (a task's history is read when its start is durable); a turn is bounded all the same. */
    for (unsigned round = 0; round < 4; round++) {
        struct list requests, reads;
        list_init(&requests);
        list_init(&reads);
        list_splice(&requests, &lane->finished);
        list_splice(&reads, &lane->reads_finished);
        if (list_empty(&requests) && list_empty(&reads))
            return;
        for (struct list *at; (at = list_take_first(&requests)) != NULL;) {
            struct request *request = LIST_ENTRY(at, struct request, link);
            request->done(request);
        }
        for (struct list *at; (at = list_take_first(&reads)) != NULL;) {
            struct history_read *read = LIST_ENTRY(at, struct history_read, link);
            read->done(read);
        }
    }
}

void lane_turn(struct lane *lane)
{
    if (lane->dead)
        return;
    lane_tell_time(lane);
    run_messages(lane);
    if (lane->dead)
        return;
    run_finished(lane);
    wakeup_fire(lane);
    for (unsigned i = 0; i < TURN_REQUESTS_MAX && !list_empty(&lane->queue) && !commit_open_is_full(lane);
         i++) {
        struct request *request = LIST_ENTRY(list_take_first(&lane->queue), struct request, link);
        lane->statistics.requests++;
        request_process(lane, request);
    }
    run_finished(lane);
    commit_turn(lane);
    wakeup_refill(lane);
    link_turn(lane);
    cache_turn(lane);
    known_turn(lane);
    deletion_turn(lane);
}

int64_t lane_next_due(const struct lane *lane)
{
    if (lane->dead)
        return TIME_NEVER;
    if (!list_empty(&lane->finished) || !list_empty(&lane->reads_finished) ||
        (!list_empty(&lane->queue) && !commit_open_is_full(lane)))
        return lane->wall;
    /* Times of the commit are monotonic, those of wake-ups are the lane's own; the host counts by the wall clock. */
    int64_t commit = MIN(commit_next_due(lane), deletion_next_due(lane)), wakeup = wakeup_next_due(lane);
    int64_t due = TIME_NEVER;
    if (commit != TIME_NEVER)
        due = time_add(lane->wall, MAX(commit - lane->monotonic, INT64_C(0)));
    wakeup = MIN(wakeup, link_next_due(lane));
    if (wakeup != TIME_NEVER)
        due = MIN(due, time_add(lane->wall, MAX(wakeup - lane->now, INT64_C(0))));
    return due;
}

bool lane_idle(const struct lane *lane)
{
    return atomic_load_explicit(&lane->mailbox.newest, memory_order_relaxed) == NULL &&
           list_empty(&lane->queue) && list_empty(&lane->finished) && list_empty(&lane->publications) &&
           lane->flight == NULL && commit_is_empty(lane) && list_empty(&lane->loads) &&
           list_empty(&lane->scans) && lane->colds_running == 0 && deletion_is_idle(lane) &&
           list_empty(&lane->reads_finished) && list_empty(&lane->wakeup_reads) && lane->due_running == 0 &&
           !lane->probing && !known_is_reading(lane) && link_idle(lane);
}

int64_t lane_time_holders(const struct lane *lane)
{
    struct table_iterator iterator = { 0 };
    int64_t               count = 0;
    if (!lane_idle(lane) || lane->draining || lane->read_only)
        return INT64_MAX;
    for (struct table_link *at; (at = table_iterate(&lane->by_number, &iterator)) != NULL;) {
        const struct entity *entity = CONTAINER_OF(at, struct entity, by_number);
        int32_t holds = entity->kind->keeps_time == NULL ? 0 : entity->kind->keeps_time(entity->state);
        if (holds == INT32_MAX)
            return INT64_MAX;
        count += holds;
    }
    return count;
}

int64_t lane_next_wakeup(const struct lane *lane)
{
    return MIN(wakeup_next_due(lane), link_next_due(lane));
}

void lane_drain(struct lane *lane)
{
    lane->draining = true;
}

bool lane_read_only(const struct lane *lane)
{
    return lane->read_only;
}

void lane_set_host(struct lane *lane, void (*wake)(void *context), void *context)
{
    lane->mailbox.wake = wake;
    lane->mailbox.wake_context = context;
}

uint32_t lane_index(const struct lane *lane)
{
    return lane->index;
}

struct runtime *lane_runtime(const struct lane *lane)
{
    return lane->runtime;
}

struct mailbox *lane_mailbox(struct lane *lane)
{
    return &lane->mailbox;
}

void *lane_user(const struct lane *lane)
{
    return lane->user;
}

void lane_set_user(struct lane *lane, void *user)
{
    lane->user = user;
}

void lane_statistics(const struct lane *lane, struct lane_statistics *ret_statistics)
{
    *ret_statistics = lane->statistics;
    ret_statistics->entities = lane->by_number.count;
    ret_statistics->entity_bytes = lane->entity_bytes;
    ret_statistics->windows = lane->wakeups.items.count;
    ret_statistics->known_bytes = lane->known.size;
    ret_statistics->windows_bytes = lane->wakeups.items.count * sizeof(struct wakeup_item);
}

int64_t lane_commit_age(const struct lane *lane)
{
    return lane->flight == NULL ? 0 : lane_clock_monotonic(lane) - lane->flight->sealed_at;
}

void lane_publish_metrics(const struct lane *lane)
{
    struct lane_statistics statistics;
    lane_statistics(lane, &statistics);
    metric_set(METRIC_STATE_TRANSITIONS, 0, 0, statistics.transitions);
    metric_set(METRIC_WAKEUPS, 0, 0, statistics.wakeups);
    metric_set(METRIC_CACHE_LOADS, 0, 0, statistics.loads);
    metric_set(METRIC_CACHE_EVICTIONS, 0, 0, statistics.evictions);
    metric_set(METRIC_CACHE_BYTES, 0, CACHE_RUNS, statistics.entity_bytes);
    metric_set(METRIC_CACHE_ENTRIES, 0, CACHE_RUNS, statistics.entities);
    metric_set(METRIC_CACHE_BYTES, 0, CACHE_WINDOWS, statistics.windows_bytes);
    metric_set(METRIC_CACHE_ENTRIES, 0, CACHE_WINDOWS, statistics.windows);
    metric_set(METRIC_CACHE_BYTES, 0, CACHE_KNOWN_IDS, statistics.known_bytes);
    metric_set(METRIC_READ_ONLY_LANES, 0, 0, lane->read_only);
    metric_set(METRIC_LANES, 0, 0, 1);
}

store_number env_number(struct env *env)
{
    return number_next(env->numbers, env->now);
}
