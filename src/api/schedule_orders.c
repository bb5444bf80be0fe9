/* schedule_orders.c: what schedules order is done: workflows are started, cancelled, terminated, and each is reported.
 *
 * One errand for each time that a schedule has told of orders. It asks for them and does one after the other; each may have
 * been done before, and then it has no effect: a start by its request id, the others because the workflow is closed. What
 * cannot be done now is tried again until the lane drains; the next process is told of it again.
 */
#include "api/api_internal.h"
#include "base/civil.h"
#include "base/log.h"
#include "base/metric.h"
#include "codec/json_text.h"
#include "schedule/schedule.h"

#define RETRY_NS NS_PER_S

struct ordering {
    struct errand           errand;
    struct api_lane        *lane;
    struct api_timer        timer;
    struct schedule_request ask;
    struct workflow_request work;
    int64_t                 namespace_number;
    struct bytes            business_id;
    struct state_Schedule  *record;
    size_t                  at;   /* the run that is worked on */
    bool                    ends; /* it is to end, else to start */
};

static void work_on(struct ordering *self);

static void ask(struct ordering *self, enum schedule_command command, void (*done)(struct request *request))
{
    struct request *request = &self->ask.base;
    self->ask = (struct schedule_request){ 0 };
    list_init(&request->link);
    request->kind = ENTITY_SCHEDULE;
    request->arena = &self->errand.arena;
    request->namespace_number = self->namespace_number;
    request->business_id = self->business_id;
    request->command = command;
    request->done = done;
}

static void order(struct ordering *self, int command, struct bytes workflow_id, const void *input,
                  void (*done)(struct request *request))
{
    struct request *request = &self->work.base;
    memset(&self->work, 0, sizeof self->work);
    list_init(&request->link);
    request->kind = ENTITY_WORKFLOW;
    request->arena = &self->errand.arena;
    request->namespace_number = self->namespace_number;
    request->business_id = workflow_id;
    request->command = command;
    request->done = done;
    self->work.input = input;
    lane_submit(self->lane->lane, request);
}

static struct ordering *of_ask(struct request *request)
{
    return CONTAINER_OF(CONTAINER_OF(request, struct schedule_request, base), struct ordering, ask);
}
static struct ordering *of_work(struct request *request)
{
    return CONTAINER_OF(CONTAINER_OF(request, struct workflow_request, base), struct ordering, work);
}

static void end(struct ordering *self)
{
    errand_end(&self->errand);
}

/* --- what goes wrong --- */

static void timer_fired(struct api_timer *timer)
{
    struct ordering *self = CONTAINER_OF(timer, struct ordering, timer);
    if (self->lane->draining)
        end(self);
    else
        work_on(self);
}

static bool may_pass(const struct error *error)
{
    return error->code == ST_UNAVAILABLE || error->code == ST_RESOURCE_EXHAUSTED ||
           error->code == ST_INTERNAL;
}

static void try_again(struct ordering *self)
{
    if (self->lane->draining)
        end(self);
    else
        heap_push(&self->lane->timers, &self->timer.link,
                  time_add(lane_monotonic(self->lane->lane), RETRY_NS), 0);
}

/* --- reports --- */

static void reported(struct request *request)
{
    struct ordering *self = of_ask(request);
    if (request->error.code == ST_OK) {
        self->at++;
        work_on(self);
    } else if (may_pass(&request->error)) {
        try_again(self); /* the order is done again, too */
    } else {
        end(self); /* the schedule is gone */
    }
}

static uint32_t metrics_of(struct api_lane *lane, int64_t namespace_number)
{
    const struct namespace_config *namespace = lane_namespace_by_number(lane->lane, namespace_number);
    return namespace == NULL ? 0 : namespace->metrics;
}

static void count_start(struct ordering *self, const struct state_ScheduledRun *run, bool is_refused)
{
    uint32_t namespace = metrics_of(self->lane, self->namespace_number);
    metric_add(is_refused ? METRIC_SCHEDULE_ACTION_ERRORS : METRIC_SCHEDULE_ACTION_SUCCESS, namespace, 0, 1);
    if (!is_refused)
        metric_observe(METRIC_SCHEDULE_ACTION_DELAY, namespace, 0,
                       MAX(lane_now(self->lane->lane) - run->start->actual_time, INT64_C(0)));
}

void schedule_counted(struct api_lane *lane, struct bytes body)
{
    struct schedule_counts counts;
    assert(body.size == sizeof counts);
    memcpy(&counts, body.base, sizeof counts);
    uint32_t namespace = metrics_of(lane, counts.namespace_number);
    metric_add(METRIC_SCHEDULE_MISSED, namespace, 0, (uint64_t)counts.missed);
    metric_add(METRIC_SCHEDULE_SKIPPED, namespace, 0, (uint64_t)counts.skipped);
    metric_add(METRIC_SCHEDULE_OVERRUNS, namespace, 0, (uint64_t)counts.dropped);
}

static void started(struct request *request)
{
    struct ordering                 *self = of_work(request);
    const struct state_ScheduledRun *run = &self->record->running[self->at];
    if (request->error.code != ST_OK && may_pass(&request->error)) {
        try_again(self);
        return;
    }
    count_start(self, run, request->error.code != ST_OK);
    ask(self, SCHEDULE_STARTED, reported);
    self->ask.id = run->start->id;
    self->ask.is_refused = request->error.code != ST_OK;
    if (self->ask.is_refused) {
        log_warn("schedule.start", "schedule_id=%.*s workflow_id=%.*s error=%s",
                 BYTES_FMT(self->record->schedule_id), BYTES_FMT(run->workflow_id), request->error.message);
    } else {
        const struct workflowservice_StartWorkflowExecutionResponse *response = self->work.response;
        self->ask.run_id = response->run_id;
    }
    lane_submit(self->lane->lane, &self->ask.base);
}

static void ended(struct request *request)
{
    struct ordering *self = of_work(request);
    if (request->error.code != ST_OK && may_pass(&request->error)) {
        try_again(self);
        return;
    }
    ask(self, SCHEDULE_ENDED, reported);
    self->ask.id = self->record->running[self->at].start->id;
    lane_submit(self->lane->lane, &self->ask.base);
}

/* --- orders --- */

static struct bytes time_text(struct arena *arena, int64_t ns)
{
    int64_t seconds = ns / NS_PER_S, year, month, day;
    civil_date(seconds / 86400, &year, &month, &day);
    return arena_printf(arena,
                        "\"%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64
                        "Z\"",
                        year, month, day, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
}

static struct bytes payload_of(struct arena *arena, struct bytes json)
{
    struct common_Payload_MetadataEntry metadata[] = { { BYTES("encoding"), BYTES("json/plain") } };
    struct common_Payload               payload = { .metadata = metadata, .metadata_count = 1, .data = json };
    return pb_encode_arena(&pb_common_Payload, &payload, arena);
}

static struct bytes json_string(struct arena *arena, struct bytes text)
{
    CLEANUP(buffer_release) struct buffer json = { 0 };
    json_put_string(&json, text);
    return arena_copy(arena, buffer_bytes(&json));
}

static struct bytes attributes_of(struct ordering *self, const struct state_ScheduledStart *start,
                                  struct bytes given)
{
    struct arena                                      *arena = &self->errand.arena;
    struct common_SearchAttributes                     all = { 0 };
    struct common_SearchAttributes_IndexedFieldsEntry *fields;
    if (pb_decode(&pb_common_SearchAttributes, given, arena, &all, NULL) != ST_OK)
        all.indexed_fields_count = 0;
    fields = ARENA_NEW_ARRAY(arena, struct common_SearchAttributes_IndexedFieldsEntry,
                             all.indexed_fields_count + 2);
    for (size_t i = 0; i < all.indexed_fields_count; i++)
        fields[i] = all.indexed_fields[i];
    fields[all.indexed_fields_count++] = (struct common_SearchAttributes_IndexedFieldsEntry){
        .key = BYTES("TemporalScheduledStartTime"),
        .value = payload_of(arena, time_text(arena, start->nominal_time))
    };
    fields[all.indexed_fields_count++] = (struct common_SearchAttributes_IndexedFieldsEntry){
        .key = BYTES("TemporalScheduledById"),
        .value = payload_of(arena, json_string(arena, self->record->schedule_id))
    };
    all.indexed_fields = fields;
    return pb_encode_arena(&pb_common_SearchAttributes, &all, arena);
}

/* How the schedule hears of the end: see callback.c. */
static struct bytes *callback_of(struct ordering *self, const struct state_ScheduledStart *start)
{
    struct arena                   *arena = &self->errand.arena;
    struct state_ScheduleCallback   ours = { .schedule_id = self->record->schedule_id, .id = start->id };
    struct common_Callback_Internal internal = { .data = pb_encode_arena(&pb_state_ScheduleCallback, &ours,
                                                                         arena) };
    struct common_Callback          callback = { .variant_case = 3, .internal = &internal };
    struct bytes                   *encoded = ARENA_NEW(arena, struct bytes);
    *encoded = pb_encode_arena(&pb_common_Callback, &callback, arena);
    return encoded;
}

static void start_run(struct ordering *self, const struct state_ScheduledRun *run)
{
    struct arena                                   *arena = &self->errand.arena;
    const struct state_Schedule                    *record = self->record;
    const struct workflow_NewWorkflowExecutionInfo *action = record->schedule->action->start_workflow;
    const struct namespace_config *namespace = lane_namespace_by_number(self->lane->lane,
                                                                        self->namespace_number);
    struct workflowservice_StartWorkflowExecutionRequest *request =
        ARENA_NEW(arena, struct workflowservice_StartWorkflowExecutionRequest);
    bool is_own_id = record->schedule->policies->keep_original_workflow_id || run->start->is_manual;
    if (namespace == NULL) {
        end(self);
        return;
    }
    *request = (struct workflowservice_StartWorkflowExecutionRequest){
        .namespace = arena_copy(arena, namespace->name),
        .workflow_id = run->workflow_id,
        .workflow_type = action->workflow_type,
        .task_queue = action->task_queue,
        .input = action->input,
        .workflow_execution_timeout = action->workflow_execution_timeout,
        .workflow_run_timeout = action->workflow_run_timeout,
        .workflow_task_timeout = action->workflow_task_timeout,
        .identity = arena_printf(arena, "temporal-scheduler-%.*s-%.*s", BYTES_FMT(namespace->name),
                                 BYTES_FMT(record->schedule_id)),
        .request_id = arena_printf(arena, "schedule-%" PRId64 "-%" PRId64, record->number, run->start->id),
        .workflow_id_reuse_policy = is_own_id ? enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
                                              : enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
        .workflow_id_conflict_policy = enums_WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        .retry_policy = action->retry_policy,
        .memo = action->memo,
        .search_attributes = attributes_of(self, run->start, action->search_attributes),
        .header = action->header,
        .last_completion_result = run->is_untracked ? BYTES_EMPTY : record->last_result,
        .continued_failure = run->is_untracked ? BYTES_EMPTY : record->last_failure,
        .completion_callbacks = callback_of(self, run->start),
        .completion_callbacks_count = 1,
        .user_metadata = action->user_metadata,
        .versioning_override = action->versioning_override,
        .priority = action->priority,
    };
    order(self, WORKFLOW_START, run->workflow_id, request, started);
}

static void end_run(struct ordering *self, const struct state_ScheduledRun *run)
{
    struct arena                    *arena = &self->errand.arena;
    struct common_WorkflowExecution *execution = ARENA_NEW(arena, struct common_WorkflowExecution);
    struct bytes                     identity = arena_printf(arena, "temporal-scheduler-%.*s",
                                                             BYTES_FMT(self->record->schedule_id));
    execution->workflow_id = run->workflow_id;
    if (run->end_wanted == 1) {
        struct workflowservice_RequestCancelWorkflowExecutionRequest *request =
            ARENA_NEW(arena, struct workflowservice_RequestCancelWorkflowExecutionRequest);
        request->workflow_execution = execution;
        request->identity = identity;
        request->first_execution_run_id = run->run_id;
        request->reason = BYTES("cancelled by schedule overlap policy");
        request->request_id = arena_printf(arena, "schedule-%" PRId64 "-%" PRId64 "-cancel",
                                           self->record->number, run->start->id);
        order(self, WORKFLOW_REQUEST_CANCEL, run->workflow_id, request, ended);
    } else {
        struct workflowservice_TerminateWorkflowExecutionRequest *request =
            ARENA_NEW(arena, struct workflowservice_TerminateWorkflowExecutionRequest);
        request->workflow_execution = execution;
        request->identity = identity;
        request->first_execution_run_id = run->run_id;
        request->reason = BYTES("terminated by schedule overlap policy");
        order(self, WORKFLOW_TERMINATE, run->workflow_id, request, ended);
    }
}

static void work_on(struct ordering *self)
{
    for (; self->at < self->record->running_count; self->at++) {
        const struct state_ScheduledRun *run = &self->record->running[self->at];
        if (run->run_id.size == 0) {
            start_run(self, run);
            return;
        }
        if (run->end_wanted != 0) {
            end_run(self, run);
            return;
        }
    }
    end(self);
}

static void told(struct request *request)
{
    struct ordering *self = of_ask(request);
    if (request->error.code != ST_OK) { /* gone, or it tells again when it is loaded */
        end(self);
        return;
    }
    self->record = self->ask.record;
    work_on(self);
}

void schedule_noticed(struct api_lane *lane, int64_t namespace_number, struct bytes business_id)
{
    if (lane->draining)
        return;
    struct ordering *self = CONTAINER_OF(errand_new(lane, sizeof *self), struct ordering, errand);
    self->lane = lane;
    self->timer.fire = timer_fired;
    heap_link_init(&self->timer.link);
    self->namespace_number = namespace_number;
    self->business_id = arena_copy(&self->errand.arena, business_id);
    ask(self, SCHEDULE_ORDERS, told);
    lane_submit(lane->lane, &self->ask.base);
}
