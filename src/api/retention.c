/* retention.c: closed runs that are past their namespace's retention go, and namespaces that were deleted with all runs.
 *
 * One sweeper, on the first lane. Of each namespace it reads the closed runs, the oldest first, a page at a time, and asks the
 * owner of each to expire it: what is due is decided there, by the run's own state and the retention of that moment. Nothing is
 * remembered: what a crash or an error left is found by the next sweep. It rests as long as it has worked, so that clients
 * keep half of the store for themselves, however much there is to do.
 *
 *   sweep ──> namespace ──> kind of runs ──> page ──> expire each, so many at once ──> rest ──> page ... ──> next sweep
 */
#include "api/api_internal.h"
#include "base/log.h"
#include "schedule/schedule.h"

#define SWEEP_NS      (10 * NS_PER_S) /* from the end of one to the next, at most */
#define PAGE_RUNS     500
#define PARALLEL_RUNS 64
#define RETRY_NS      NS_PER_S

struct retention {
    struct api_lane  *lane;
    struct api_timer  timer;
    struct arena      arena; /* of the page */
    struct store_read read;
    int64_t           namespace_number; /* that is swept; 0: none */
    int64_t           cutoff;           /* what closed before goes, wall ns */
    bool              erases;           /* all runs go, and then the namespace */
    size_t            seen;             /* runs of it in this sweep */
    int64_t           empty_number;     /* a namespace that had none in the last sweep */
    int32_t           run_kind;
    size_t            next, running; /* of the page: the next one to ask for, and those under way */
    int64_t           page_began;    /* monotonic ns */
    uint64_t          swept;
    bool              page_is_last, failed;
};

/* One run, and what is asked about it. */
struct expiry {
    struct errand           errand;
    struct workflow_request work;
    struct schedule_request schedule; /* instead */
    struct retention       *retention;
};

static void go_on(struct retention *self);
static void go_to_next(struct retention *self);
static void namespace_done(struct retention *self);
static void read_page(struct retention *self);
static void read_queues(struct retention *self);

static void timer_set(struct retention *self, int64_t wait_ns)
{
    if (self->lane->draining)
        return;
    heap_push(&self->lane->timers, &self->timer.link, time_add(lane_monotonic(self->lane->lane), wait_ns), 0);
}

/* --- which namespace --- */

static bool is_to_erase(struct retention *self, const struct namespace_config *config)
{
    struct state_Namespace record;
    struct error           error;
    return config->state == enums_NAMESPACE_STATE_DELETED &&
           pb_decode(&pb_state_Namespace, config->record, &self->arena, &record, &error) == ST_OK &&
           record.delete_time <= lane_now(self->lane->lane);
}

/* The one with the next higher number; false: that was the last one. */
static bool next_namespace(struct retention *self)
{
    const struct namespace_config *configs, *next = NULL;
    size_t                         count = lane_namespaces(self->lane->lane, &configs);
    for (size_t i = 0; i < count; i++) {
        if (configs[i].number > self->namespace_number && (next == NULL || configs[i].number < next->number))
            next = &configs[i];
    }
    self->seen = 0;
    self->namespace_number = next == NULL ? 0 : next->number;
    self->erases = next != NULL && is_to_erase(self, next);
    self->cutoff = next == NULL   ? 0
                   : self->erases ? TIME_NEVER
                                  : lane_now(self->lane->lane) - next->retention_ns;
    arena_reset(&self->arena);
    return next != NULL;
}

static void begin_kind(struct retention *self, int32_t run_kind)
{
    self->run_kind = run_kind;
    self->read.after_is_set = false;
    self->page_is_last = false;
    read_page(self);
}

static void sweep_over(struct retention *self)
{
    if (self->swept != 0)
        log_info("retention",
                 "%" PRIu64 " workflows were past their retention, or of a deleted namespace, and are gone",
                 self->swept);
    self->swept = 0;
    timer_set(self, MIN(SWEEP_NS, self->lane->api->limits.retention_min_ns));
}

static void page_done(struct retention *self)
{
    int64_t took = lane_monotonic(self->lane->lane) - self->page_began;
    arena_reset(&self->arena);
    if (self->lane->draining)
        return;
    if (self->failed) { /* another sweep begins with the oldest again */
        self->failed = false;
        sweep_over(self);
    } else if (!self->page_is_last) {
        timer_set(self, took);
    } else if (self->run_kind == STORE_RUN_WORKFLOW) {
        begin_kind(self, STORE_RUN_APART);
    } else if (self->run_kind == STORE_RUN_APART && self->erases) {
        begin_kind(self, STORE_RUN_SCHEDULE);
    } else {
        namespace_done(self);
    }
}

/* What was on its way when it was deleted has arrived by the second sweep that finds nothing. One namespace at a time gets
 * there. */
static void namespace_done(struct retention *self)
{
    bool is_next = self->empty_number == self->namespace_number;
    if (self->erases && self->seen == 0 && is_next) {
        self->empty_number = 0;
        read_queues(self);
        return;
    }
    if (self->erases && self->seen == 0 && self->empty_number == 0)
        self->empty_number = self->namespace_number;
    else if (is_next)
        self->empty_number = 0;
    go_to_next(self);
}

static void go_to_next(struct retention *self)
{
    if (next_namespace(self))
        begin_kind(self, STORE_RUN_WORKFLOW);
    else
        sweep_over(self);
}

static void timer_fired(struct api_timer *timer)
{
    struct retention *self = CONTAINER_OF(timer, struct retention, timer);
    if (self->namespace_number != 0)
        read_page(self);
    else
        go_to_next(self);
}

/* --- the runs of a page --- */

static void expiry_submit(struct expiry *expiry, bool whatever_follows);
static void expiry_end(struct expiry *expiry, const struct error *error);

static void expired(struct request *request)
{
    struct expiry *expiry = CONTAINER_OF(CONTAINER_OF(request, struct workflow_request, base), struct expiry,
                                         work);
    struct retention *self = expiry->retention;
    /* A run that it was reset to may be gone already; the list has seen the run itself. */
    if (request->error.code == ST_NOT_FOUND && request->command == WORKFLOW_EXPIRE &&
        !expiry->work.whatever_follows) {
        expiry_submit(expiry, true);
        return;
    }
    self->swept += request->error.code == ST_OK &&
                   (expiry->work.is_expired || request->command == WORKFLOW_DELETE);
    expiry_end(expiry, &request->error);
}

static void expiry_submit(struct expiry *expiry, bool whatever_follows)
{
    struct workflow_request work = { .base.arena = &expiry->errand.arena };
    work.base.kind = ENTITY_WORKFLOW;
    work.base.namespace_number = expiry->work.base.namespace_number;
    work.base.business_id = expiry->work.base.business_id;
    work.base.by_number = expiry->work.base.by_number;
    work.base.command = expiry->retention->erases ? WORKFLOW_DELETE : WORKFLOW_EXPIRE;
    work.base.done = expired;
    work.whatever_follows = whatever_follows;
    expiry->work = work;
    list_init(&expiry->work.base.link);
    lane_submit(expiry->retention->lane->lane, &expiry->work.base);
}

static void expiry_end(struct expiry *expiry, const struct error *error)
{
    struct retention *self = expiry->retention;
    self->failed = self->failed || error->code == ST_UNAVAILABLE || error->code == ST_RESOURCE_EXHAUSTED;
    errand_end(&expiry->errand);
    self->running--;
    go_on(self);
}

static void schedule_deleted(struct request *request)
{
    expiry_end(CONTAINER_OF(CONTAINER_OF(request, struct schedule_request, base), struct expiry, schedule),
               &request->error);
}

static void delete_schedule_of(struct expiry *expiry, const struct store_run *run)
{
    struct request *request = &expiry->schedule.base;
    list_init(&request->link);
    request->arena = &expiry->errand.arena;
    request->kind = ENTITY_SCHEDULE;
    request->namespace_number = run->namespace_number;
    request->business_id = arena_copy(&expiry->errand.arena, run->workflow_id);
    request->command = SCHEDULE_DELETE;
    request->done = schedule_deleted;
    lane_submit(expiry->retention->lane->lane, request);
}

static void expire(struct retention *self, const struct store_run *run)
{
    struct expiry *expiry = CONTAINER_OF(errand_new(self->lane, sizeof *expiry), struct expiry, errand);
    expiry->retention = self;
    if (run->kind == STORE_RUN_SCHEDULE) {
        self->running++;
        delete_schedule_of(expiry, run);
        return;
    }
    expiry->work.base.namespace_number = run->namespace_number;
    expiry->work.base.business_id = arena_copy(&expiry->errand.arena, run->workflow_id);
    expiry->work.base.by_number = run->number;
    self->running++;
    expiry_submit(expiry, false);
}

/* A full disk gets its space back one by one: each deletion is written first. */
static void go_on(struct retention *self)
{
    struct lane *lane = self->lane->lane;
    size_t       most = lane_read_only(lane) ? 1 : PARALLEL_RUNS;
    while (self->running < most && self->next < self->read.run_count && !self->failed &&
           !self->lane->draining)
        expire(self, &self->read.runs[self->next++]);
    if (self->running == 0)
        page_done(self);
}

static void page_answered(struct message *message)
{
    struct retention *self = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message), struct retention,
                                          read);
    self->lane->reads--;
    if (self->read.status != ST_OK) {
        log_warn("retention", "closed workflows cannot be read: %s", self->read.error.message);
        self->failed = true;
        self->read.run_count = 0;
    }
    const struct store_run *runs = self->read.runs;
    size_t                  count = self->read.run_count;
    self->page_is_last = !self->read.more;
    while (!self->erases && self->read.run_count > 0 &&
           (runs[self->read.run_count - 1].close_time == 0 ||
            runs[self->read.run_count - 1].close_time > self->cutoff)) {
        self->read.run_count--; /* not yet, and nothing behind it either */
        self->page_is_last = true;
    }
    self->next = 0;
    self->seen += count;
    if (count != 0) {
        self->read.after_is_set = true;
        self->read.after = runs[count - 1].number;
        memcpy(self->read.after_keys, self->read.last_keys, sizeof self->read.after_keys);
    }
    go_on(self);
}

static void read_page(struct retention *self)
{
    static const struct store_key by_close_time = { .column = STORE_COLUMN_CLOSE_TIME };
    struct store_read             read = { .kind = STORE_READ_LIST,
                                           .namespace_number = self->namespace_number,
                                           .run_kind = self->run_kind,
                                           .keys = &by_close_time,
                                           .key_count = 1,
                                           .after_is_set = self->read.after_is_set,
                                           .after = self->read.after,
                                           .limit = PAGE_RUNS,
                                           .size_limit = 1U << 20,
                                           .arena = &self->arena,
                                           .home = lane_mailbox(self->lane->lane),
                                           .message = { .run = page_answered } };
    memcpy(read.after_keys, self->read.after_keys, sizeof read.after_keys);
    self->read = read;
    self->page_began = lane_monotonic(self->lane->lane);
    self->lane->reads++;
    store_read(runtime_store(self->lane->api->runtime), &self->read);
}

/* --- what is left of a deleted namespace --- */

struct erasing {
    struct errand             errand;
    struct namespaces_request work;
    struct namespace_erasure  erasure;
    struct retention         *retention;
};

static void erased(struct request *request)
{
    struct erasing   *erasing = CONTAINER_OF(CONTAINER_OF(request, struct namespaces_request, base),
                                             struct erasing, work);
    struct retention *self = erasing->retention;
    bool              is_all = erasing->erasure.is_all || request->error.code != ST_OK;
    if (request->error.code == ST_OK && is_all)
        log_info("namespace.erased", "namespace=%.*s", BYTES_FMT(erasing->work.name));
    errand_end(&erasing->errand);
    if (self->lane->draining)
        return;
    if (is_all)
        go_to_next(self);
    else
        read_queues(self);
}

static void queues_answered(struct message *message)
{
    struct retention *self = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message), struct retention,
                                          read);
    const struct namespace_config *config = lane_namespace_by_number(self->lane->lane,
                                                                     self->namespace_number);
    self->lane->reads--;
    if (self->lane->draining)
        return;
    if (self->read.status != ST_OK || config == NULL) {
        go_to_next(self);
        return;
    }
    struct erasing *erasing = CONTAINER_OF(errand_new(self->lane, sizeof *erasing), struct erasing, errand);
    struct arena   *arena = &erasing->errand.arena;
    struct bytes   *keys = ARENA_NEW_ARRAY(arena, struct bytes, self->read.entity_count + 1);
    struct bytes    prefix = entity_row_key(self->namespace_number, BYTES_EMPTY, arena);
    size_t          count = 0;
    while (count < self->read.entity_count && bytes_starts_with(self->read.entities[count].key, prefix)) {
        keys[count] = arena_copy(arena, self->read.entities[count].key);
        count++;
    }
    erasing->retention = self;
    erasing->erasure = (struct namespace_erasure){
        .queues = keys, .queue_count = count, .is_all = count < self->read.entity_count || !self->read.more
    };
    arena_reset(&self->arena);
    erasing->work.input = &erasing->erasure;
    erasing->work.name = arena_copy(arena, config->name);
    struct request *request = &erasing->work.base;
    list_init(&request->link);
    request->kind = ENTITY_NAMESPACES;
    request->arena = arena;
    request->command = NAMESPACES_ERASE;
    request->done = erased;
    lane_submit(self->lane->lane, request);
}

static void read_queues(struct retention *self)
{
    self->read = (struct store_read){ .kind = STORE_READ_ENTITIES,
                                      .entity_kind = ENTITY_TASK_QUEUE,
                                      .after_key = entity_row_key(self->namespace_number, BYTES_EMPTY,
                                                                  &self->arena),
                                      .limit = PAGE_RUNS,
                                      .arena = &self->arena,
                                      .home = lane_mailbox(self->lane->lane),
                                      .message = { .run = queues_answered } };
    self->lane->reads++;
    store_read(runtime_store(self->lane->api->runtime), &self->read);
}

/* --- life --- */

void retention_begin(struct api_lane *lane)
{
    struct retention *self = xcalloc(1, sizeof *self);
    self->lane = lane;
    self->timer.fire = timer_fired;
    heap_link_init(&self->timer.link);
    arena_init(&self->arena, SIZE_MAX);
    lane->retention = self;
    timer_set(self, RETRY_NS);
}

void retention_drain(struct api_lane *lane)
{
    if (lane->retention != NULL)
        heap_remove(&lane->timers, &lane->retention->timer.link);
}

void retention_free(struct api_lane *lane)
{
    struct retention *self = TAKE_PTR(lane->retention);
    if (self == NULL)
        return;
    heap_remove(&lane->timers, &self->timer.link);
    arena_release(&self->arena);
    free(self);
}
