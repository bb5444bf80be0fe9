/* schedule.c: the calls about schedules. What a schedule does is decided in src/schedule; what it orders is done in
 * schedule_orders.c. */
#include "schedule/schedule.h"
#include "api/api_internal.h"
#include "api/list_filter.h"

#define FUTURE_TIMES      10
#define LIST_FUTURE_TIMES 5
#define LIST_RECENT       5
#define LIST_SPEC_ITEMS   10
#define MATCHING_MAX      1000

/* A call's request to a schedule. */
struct ask {
    struct schedule_request request;
    struct rpc             *rpc;
};

static struct ask *ask_of(struct request *request)
{
    return CONTAINER_OF(CONTAINER_OF(request, struct schedule_request, base), struct ask, request);
}

static struct schedule_request *ask_new(struct rpc *rpc, enum schedule_command command,
                                        struct bytes schedule_id, void (*done)(struct request *request))
{
    struct ask     *ask = ARENA_NEW(&rpc->arena, struct ask);
    struct request *request = &ask->request.base;
    ask->rpc = rpc;
    ask->request.schedule_id = schedule_id;
    list_init(&request->link);
    request->kind = ENTITY_SCHEDULE;
    request->arena = &rpc->arena;
    request->namespace_number = rpc->ns.number;
    request->business_id = schedule_business_id(schedule_id, &rpc->arena);
    request->command = command;
    request->done = done;
    return &ask->request;
}

static bool id_given(struct rpc *rpc, struct bytes schedule_id)
{
    if (schedule_id.size == 0) {
        rpc_fail(rpc, ST_NOT_FOUND, "schedule not found: ScheduleId is not set on request.");
        return false;
    }
    return true;
}

static void done_empty(struct request *request)
{
    struct rpc *rpc = ask_of(request)->rpc;
    if (request->error.code != ST_OK)
        rpc_fail_error(rpc, &request->error);
    else
        rpc_reply(rpc, NULL);
}

/* --- what clients give --- */

static enum status check_action(struct rpc *rpc, const struct schedule_ScheduleAction *action,
                                struct error *error)
{
    const struct workflow_NewWorkflowExecutionInfo *start;
    int64_t                                         scratch;
    enum status                                     status;
    if (action == NULL || action->action_case == 0)
        return error_set(error, ST_INVALID_ARGUMENT, "Schedule.Action.StartWorkflow is not set on request.");
    start = action->start_workflow;
    if ((status = check_id("WorkflowId", start->workflow_id, error)) != ST_OK ||
        (status = check_id("WorkflowType",
                           start->workflow_type == NULL ? BYTES_EMPTY : start->workflow_type->name, error)) !=
            ST_OK ||
        (status = check_task_queue(start->task_queue, error)) != ST_OK)
        return status;
    if (start->workflow_id.size + 21 > rpc_limits(rpc)->id_size_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "WorkflowId with the time behind it is longer than the %zu bytes allowed.",
                         rpc_limits(rpc)->id_size_max);
    if (start->cron_schedule.size != 0)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "CronSchedule: a scheduled workflow has none of its own.");
    if (start->workflow_id_reuse_policy != enums_WORKFLOW_ID_REUSE_POLICY_UNSPECIFIED &&
        start->workflow_id_reuse_policy != enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "WorkflowIdReusePolicy: a scheduled workflow may have ALLOW_DUPLICATE only.");
    if ((status = duration_check(start->workflow_execution_timeout, "WorkflowExecutionTimeout", &scratch,
                                 error)) != ST_OK ||
        (status = duration_check(start->workflow_run_timeout, "WorkflowRunTimeout", &scratch, error)) !=
            ST_OK ||
        (status = duration_check(start->workflow_task_timeout, "WorkflowTaskTimeout", &scratch, error)) !=
            ST_OK ||
        (status = check_retry_policy(start->retry_policy, error)) != ST_OK ||
        (status = check_payload(rpc, "Input", start->input, error)) != ST_OK ||
        (status = check_payload(rpc, "Header", start->header, error)) != ST_OK ||
        (status = check_payload(rpc, "Memo", start->memo, error)) != ST_OK ||
        (status = check_priority(start->priority, rpc, error)) != ST_OK)
        return status;
    return rpc_check_search_attributes(rpc, start->search_attributes, error);
}

static enum status take_schedule(struct rpc *rpc, const struct schedule_Schedule *given,
                                 const struct schedule_Schedule **ret_schedule)
{
    struct schedule_Schedule *schedule = ARENA_NEW(&rpc->arena, struct schedule_Schedule);
    enum status               status;
    *ret_schedule = schedule;
    if (given == NULL)
        return error_set(&rpc->error, ST_INVALID_ARGUMENT, "Schedule is not set on request.");
    status = check_action(rpc, given->action, &rpc->error);
    return status == ST_OK ? schedule_complete(given, &rpc->arena, schedule, &rpc->error) : status;
}

static void created(struct request *request)
{
    struct ask *ask = ask_of(request);
    if (request->error.code != ST_OK) {
        rpc_fail_error(ask->rpc, &request->error);
        return;
    }
    struct workflowservice_CreateScheduleResponse *response =
        ARENA_NEW(&ask->rpc->arena, struct workflowservice_CreateScheduleResponse);
    response->conflict_token = schedule_token(ask->request.record, &ask->rpc->arena);
    rpc_reply(ask->rpc, response);
}

void create_schedule(struct rpc *rpc)
{
    const struct workflowservice_CreateScheduleRequest *request = rpc->request;
    const struct schedule_Schedule                     *schedule;
    struct error                                       *error = &rpc->error;
    if (check_namespace_open(rpc, error) != ST_OK ||
        check_id("ScheduleId", request->schedule_id, error) != ST_OK ||
        check_id_optional("RequestId", request->request_id, error) != ST_OK ||
        take_schedule(rpc, request->schedule, &schedule) != ST_OK ||
        schedule_patch_check(request->initial_patch, error) != ST_OK ||
        check_payload(rpc, "Memo", request->memo, error) != ST_OK ||
        rpc_check_search_attributes(rpc, request->search_attributes, error) != ST_OK) {
        rpc_fail_error(rpc, error);
        return;
    }
    struct schedule_request *ask = ask_new(rpc, SCHEDULE_CREATE, request->schedule_id, created);
    ask->schedule = schedule;
    ask->patch = request->initial_patch;
    ask->request_id = request->request_id;
    ask->memo = request->memo;
    ask->search_attributes = request->search_attributes;
    lane_submit(rpc_lane(rpc), &ask->base);
}

void update_schedule(struct rpc *rpc)
{
    const struct workflowservice_UpdateScheduleRequest *request = rpc->request;
    const struct schedule_Schedule                     *schedule;
    if (!id_given(rpc, request->schedule_id))
        return;
    if (take_schedule(rpc, request->schedule, &schedule) != ST_OK ||
        rpc_check_search_attributes(rpc, request->search_attributes, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    struct schedule_request *ask = ask_new(rpc, SCHEDULE_UPDATE, request->schedule_id, done_empty);
    ask->schedule = schedule;
    ask->conflict_token = request->conflict_token;
    ask->search_attributes = request->search_attributes;
    ask->has_search_attributes = request->search_attributes.base != NULL;
    lane_submit(rpc_lane(rpc), &ask->base);
}

void patch_schedule(struct rpc *rpc)
{
    const struct workflowservice_PatchScheduleRequest *request = rpc->request;
    if (!id_given(rpc, request->schedule_id))
        return;
    if (request->patch == NULL) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "Patch is not set on request.");
        return;
    }
    if (schedule_patch_check(request->patch, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    struct schedule_request *ask = ask_new(rpc, SCHEDULE_PATCH, request->schedule_id, done_empty);
    ask->patch = request->patch;
    lane_submit(rpc_lane(rpc), &ask->base);
}

void delete_schedule(struct rpc *rpc)
{
    const struct workflowservice_DeleteScheduleRequest *request = rpc->request;
    if (id_given(rpc, request->schedule_id))
        lane_submit(rpc_lane(rpc), &ask_new(rpc, SCHEDULE_DELETE, request->schedule_id, done_empty)->base);
}

/* --- what clients are shown --- */

/* Those to come, with jitter, as if nothing were paused; what is limited ends with its actions. */
static struct google_Timestamp *future_times(struct rpc *rpc, const struct state_Schedule *record,
                                             size_t most, size_t *ret_count)
{
    const struct schedule_ScheduleState *state = record->schedule->state;
    struct bytes                         seed = schedule_seed(rpc->ns.id, record->schedule_id, &rpc->arena);
    struct google_Timestamp *times = ARENA_NEW_ARRAY(&rpc->arena, struct google_Timestamp, most + 1);
    struct spec             *spec;
    struct spec_time         time;
    int64_t                  after = MAX(record->processed, lane_now(rpc_lane(rpc)));
    *ret_count = 0;
    if (state->limited_actions)
        most = MIN(most, (size_t)state->remaining_actions);
    if (spec_open(record->schedule->spec, &spec, &rpc->error) != ST_OK)
        return times;
    while (*ret_count < most && spec_next(spec, after, seed, &time)) {
        times[(*ret_count)++] = *timestamp_of_ns(&rpc->arena, time.actual);
        after = time.nominal;
    }
    spec_close(spec);
    return times;
}

static struct schedule_ScheduleInfo *info_of(struct rpc *rpc, const struct state_Schedule *record)
{
    struct arena                 *arena = &rpc->arena;
    struct schedule_ScheduleInfo *info = ARENA_NEW(arena, struct schedule_ScheduleInfo);
    *info = (struct schedule_ScheduleInfo){ .action_count = record->action_count,
                                            .missed_catchup_window = record->missed_catchup_window,
                                            .overlap_skipped = record->overlap_skipped,
                                            .buffer_dropped = record->buffer_dropped,
                                            .buffer_size = (int64_t)record->buffer_count,
                                            .recent_actions = record->recent_actions,
                                            .recent_actions_count = record->recent_actions_count,
                                            .create_time = timestamp_of_ns(arena, record->create_time) };
    if (record->update_time != 0)
        info->update_time = timestamp_of_ns(arena, record->update_time);
    info->running_workflows = ARENA_NEW_ARRAY(arena, struct common_WorkflowExecution,
                                              record->running_count + 1);
    for (size_t i = 0; i < record->running_count; i++) {
        const struct state_ScheduledRun *run = &record->running[i];
        if (run->run_id.size != 0)
            info->running_workflows[info->running_workflows_count++] = (struct common_WorkflowExecution){
                .workflow_id = run->workflow_id, .run_id = run->run_id
            };
    }
    info->future_action_times = future_times(rpc, record, FUTURE_TIMES, &info->future_action_times_count);
    return info;
}

static void described(struct request *request)
{
    struct ask                  *ask = ask_of(request);
    struct rpc                  *rpc = ask->rpc;
    const struct state_Schedule *record = ask->request.record;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct workflowservice_DescribeScheduleResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_DescribeScheduleResponse);
    response->schedule = record->schedule;
    response->info = info_of(rpc, record);
    response->memo = record->memo.size != 0 ? record->memo : BYTES("");
    response->search_attributes = record->search_attributes.size != 0
                                      ? rpc_typed_search_attributes(rpc, record->search_attributes)
                                      : BYTES("");
    response->conflict_token = schedule_token(record, &rpc->arena);
    rpc_reply(rpc, response);
}

void describe_schedule(struct rpc *rpc)
{
    const struct workflowservice_DescribeScheduleRequest *request = rpc->request;
    if (id_given(rpc, request->schedule_id))
        lane_submit(rpc_lane(rpc), &ask_new(rpc, SCHEDULE_GET, request->schedule_id, described)->base);
}

static void matched(struct request *request)
{
    struct ask                                                    *ask = ask_of(request);
    struct rpc                                                    *rpc = ask->rpc;
    const struct workflowservice_ListScheduleMatchingTimesRequest *input = rpc->request;
    const struct state_Schedule                                   *record = ask->request.record;
    struct spec                                                   *spec;
    struct spec_time                                               time;
    if (request->error.code != ST_OK || spec_open(record->schedule->spec, &spec, &request->error) != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct bytes seed = schedule_seed(rpc->ns.id, record->schedule_id, &rpc->arena);
    int64_t      after = timestamp_ns(input->start_time) - 1, end = timestamp_ns(input->end_time);
    struct workflowservice_ListScheduleMatchingTimesResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_ListScheduleMatchingTimesResponse);
    response->start_time = ARENA_NEW_ARRAY(&rpc->arena, struct google_Timestamp, MATCHING_MAX);
    while (response->start_time_count < MATCHING_MAX && spec_next(spec, after, seed, &time) &&
           time.nominal <= end) {
        response->start_time[response->start_time_count++] = *timestamp_of_ns(&rpc->arena, time.actual);
        after = time.nominal;
    }
    spec_close(spec);
    rpc_reply(rpc, response);
}

void list_schedule_matching_times(struct rpc *rpc)
{
    const struct workflowservice_ListScheduleMatchingTimesRequest *request = rpc->request;
    int64_t                                                        scratch;
    if (!id_given(rpc, request->schedule_id))
        return;
    if (request->start_time == NULL || request->end_time == NULL) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "StartTime or EndTime is not set on request.");
        return;
    }
    if (timestamp_check(request->start_time, "StartTime", &scratch, &rpc->error) != ST_OK ||
        timestamp_check(request->end_time, "EndTime", &scratch, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    lane_submit(rpc_lane(rpc), &ask_new(rpc, SCHEDULE_GET, request->schedule_id, matched)->base);
}

/* --- lists: rows, then the record of each --- */

struct listing {
    struct rpc                                   *rpc;
    const struct store_run                       *runs;
    size_t                                        run_count, at;
    struct bytes                                  token;
    struct workflowservice_ListSchedulesResponse *response;
};

static struct schedule_ScheduleListInfo *list_info_of(struct rpc *rpc, const struct state_Schedule *record)
{
    struct schedule_ScheduleListInfo *info = ARENA_NEW(&rpc->arena, struct schedule_ScheduleListInfo);
    struct schedule_ScheduleSpec     *spec = ARENA_NEW(&rpc->arena, struct schedule_ScheduleSpec);
    size_t skip = record->recent_actions_count > LIST_RECENT ? record->recent_actions_count - LIST_RECENT : 0;
    *spec = *record->schedule->spec;
    spec->structured_calendar_count = MIN(spec->structured_calendar_count, (size_t)LIST_SPEC_ITEMS);
    spec->exclude_structured_calendar_count = MIN(spec->exclude_structured_calendar_count,
                                                  (size_t)LIST_SPEC_ITEMS);
    spec->interval_count = MIN(spec->interval_count, (size_t)LIST_SPEC_ITEMS);
    info->spec = spec;
    info->workflow_type = record->schedule->action->start_workflow->workflow_type;
    info->notes = record->schedule->state->notes;
    info->paused = record->schedule->state->paused;
    info->recent_actions = record->recent_actions + skip;
    info->recent_actions_count = record->recent_actions_count - skip;
    info->future_action_times = future_times(rpc, record, LIST_FUTURE_TIMES,
                                             &info->future_action_times_count);
    return info;
}

static void read_record(struct listing *self);

static void record_read(struct message *message)
{
    struct rpc           *rpc = rpc_read_answered(message);
    struct listing       *self = rpc->list.listing;
    struct store_read    *read = &rpc->list.read->read;
    struct state_Schedule record;
    if (read->status != ST_OK) {
        rpc_fail(rpc, read->status, "%s", read->error.message);
        return;
    }
    if (read->entity_count != 0 &&
        pb_decode(&pb_state_Schedule, read->entities[0].state, &rpc->arena, &record, &rpc->error) == ST_OK) {
        struct schedule_ScheduleListEntry *entry =
            &self->response->schedules[self->response->schedules_count++];
        entry->schedule_id = record.schedule_id;
        entry->memo = record.memo.size != 0 ? record.memo : BYTES("");
        entry->search_attributes = record.search_attributes.size != 0
                                       ? rpc_typed_search_attributes(rpc, record.search_attributes)
                                       : BYTES("");
        entry->info = list_info_of(rpc, &record);
    }
    self->at++;
    read_record(self);
}

/* One that was deleted meanwhile has no record, and is left out. */
static void read_record(struct listing *self)
{
    struct rpc        *rpc = self->rpc;
    struct store_read *read = &rpc->list.read->read;
    if (self->at == self->run_count) {
        self->response->next_page_token = self->token;
        rpc_reply(rpc, self->response);
        return;
    }
    *read = (struct store_read){ .kind = STORE_READ_ENTITIES,
                                 .entity_kind = ENTITY_SCHEDULE,
                                 .entity_key = entity_row_key(rpc->ns.number,
                                                              self->runs[self->at].workflow_id, &rpc->arena),
                                 .arena = &rpc->arena,
                                 .home = lane_mailbox(rpc->home->lane),
                                 .message = { .run = record_read } };
    rpc_read_submit(rpc, read);
}

void schedules_listed(struct rpc *rpc, const struct store_run *runs, size_t count, struct bytes token)
{
    struct listing *self = ARENA_NEW(&rpc->arena, struct listing);
    *self = (struct listing){ .rpc = rpc, .runs = runs, .run_count = count, .token = token };
    self->response = ARENA_NEW(&rpc->arena, struct workflowservice_ListSchedulesResponse);
    self->response->schedules = ARENA_NEW_ARRAY(&rpc->arena, struct schedule_ScheduleListEntry, count + 1);
    rpc->list.listing = self;
    read_record(self);
}
