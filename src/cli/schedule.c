/* schedule.c: perdure schedule create, update, describe, list, trigger, toggle, backfill, delete. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli_internal.h"
#include "codec/json_text.h"
#include "codec/pb_time.h"

#define LIST_PAGE_SIZE_MAX 1000

static const struct cli_name overlap_policies[] = {
    { "Skip", enums_SCHEDULE_OVERLAP_POLICY_SKIP },
    { "BufferOne", enums_SCHEDULE_OVERLAP_POLICY_BUFFER_ONE },
    { "BufferAll", enums_SCHEDULE_OVERLAP_POLICY_BUFFER_ALL },
    { "CancelOther", enums_SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER },
    { "TerminateOther", enums_SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER },
    { "AllowAll", enums_SCHEDULE_OVERLAP_POLICY_ALLOW_ALL },
    { NULL, 0 },
};

/* --- what the flags of a schedule say --- */

static enum status take_time(struct cli *cli, enum cli_flag flag, const char *name,
                             struct google_Timestamp **ret_time)
{
    struct google_Timestamp *time = ARENA_NEW(&cli->arena, struct google_Timestamp);
    if (!cli_given(cli, flag))
        return ST_OK;
    if (!json_get_timestamp(cli_value(cli, flag), &time->seconds, &time->nanos))
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "--%s is no time like 2026-01-31T12:00:00Z", name);
    *ret_time = time;
    return ST_OK;
}

static enum status take_calendars(struct cli *cli, struct schedule_ScheduleSpec *spec)
{
    size_t count = cli->arguments.counts[FLAG_CALENDAR];
    spec->calendar = ARENA_NEW_ARRAY(&cli->arena, struct schedule_CalendarSpec, count + 1);
    for (size_t i = 0; i < count; i++) {
        CLEANUP(buffer_release) struct buffer wire = { 0 };
        struct bytes                          text = bytes_of_text(cli->arguments.values[FLAG_CALENDAR][i]);
        struct error                          why = { 0 };
        if (json_parse(&pb_schedule_CalendarSpec, text, &cli->arena, &wire, &why) != ST_OK ||
            pb_decode(&pb_schedule_CalendarSpec, arena_copy(&cli->arena, buffer_bytes(&wire)), &cli->arena,
                      &spec->calendar[i], &why) != ST_OK)
            return error_set(&cli->error, ST_INVALID_ARGUMENT,
                             "--calendar %zu is no object like {\"dayOfWeek\":\"Fri\",\"hour\":\"17\"}: %s",
                             i + 1, why.message);
        spec->calendar_count++;
    }
    return ST_OK;
}

/* 1h30m, or with a phase: 1h30m/5m. */
static enum status take_intervals(struct cli *cli, struct schedule_ScheduleSpec *spec)
{
    size_t count = cli->arguments.counts[FLAG_INTERVAL];
    spec->interval = ARENA_NEW_ARRAY(&cli->arena, struct schedule_IntervalSpec, count + 1);
    for (size_t i = 0; i < count; i++) {
        const char *given = cli->arguments.values[FLAG_INTERVAL][i], *slash = strchr(given, '/');
        size_t      size = slash == NULL ? strlen(given) : (size_t)(slash - given);
        char        length[64];
        int64_t     length_ns, phase_ns = 0;
        snprintf(length, sizeof length, "%.*s", (int)MIN(size, sizeof length - 1), given);
        if (cli_parse_duration(length, &length_ns) != ST_OK ||
            (slash != NULL && cli_parse_duration(slash + 1, &phase_ns) != ST_OK))
            return error_set(&cli->error, ST_INVALID_ARGUMENT,
                             "--interval %s is not DURATION or DURATION/PHASE", given);
        spec->interval[i].interval = duration_of_ns(&cli->arena, length_ns);
        spec->interval[i].phase = duration_of_ns(&cli->arena, phase_ns);
        spec->interval_count++;
    }
    return ST_OK;
}

static enum status take_spec(struct cli *cli, struct schedule_ScheduleSpec *spec)
{
    enum status status;
    size_t      count = cli->arguments.counts[FLAG_CRON];
    spec->cron_string = ARENA_NEW_ARRAY(&cli->arena, struct bytes, count + 1);
    for (size_t i = 0; i < count; i++)
        spec->cron_string[spec->cron_string_count++] = bytes_of_text(cli->arguments.values[FLAG_CRON][i]);
    spec->timezone_name = cli_value(cli, FLAG_TIME_ZONE);
    if ((status = take_calendars(cli, spec)) != ST_OK || (status = take_intervals(cli, spec)) != ST_OK ||
        (status = take_time(cli, FLAG_START_TIME, "start-time", &spec->start_time)) != ST_OK ||
        (status = take_time(cli, FLAG_END_TIME, "end-time", &spec->end_time)) != ST_OK)
        return status;
    return cli_duration(cli, FLAG_JITTER, &spec->jitter);
}

static enum status take_action(struct cli *cli, struct workflow_NewWorkflowExecutionInfo *action)
{
    struct workflowservice_StartWorkflowExecutionRequest start = { 0 };
    enum status                                          status = cli_start_request(cli, &start);
    *action = (struct workflow_NewWorkflowExecutionInfo){
        .workflow_id = start.workflow_id,
        .workflow_type = start.workflow_type,
        .task_queue = start.task_queue,
        .input = start.input,
        .workflow_execution_timeout = start.workflow_execution_timeout,
        .workflow_run_timeout = start.workflow_run_timeout,
        .workflow_task_timeout = start.workflow_task_timeout,
        .memo = start.memo,
        .search_attributes = start.search_attributes,
        .header = start.header,
        .user_metadata = start.user_metadata,
    };
    return status;
}

static enum status take_schedule(struct cli *cli, struct schedule_Schedule **ret_schedule)
{
    struct schedule_Schedule         *schedule = ARENA_NEW(&cli->arena, struct schedule_Schedule);
    struct schedule_SchedulePolicies *policies = ARENA_NEW(&cli->arena, struct schedule_SchedulePolicies);
    struct schedule_ScheduleState    *state = ARENA_NEW(&cli->arena, struct schedule_ScheduleState);
    size_t                            remaining = 0;
    enum status                       status;
    schedule->spec = ARENA_NEW(&cli->arena, struct schedule_ScheduleSpec);
    schedule->action = ARENA_NEW(&cli->arena, struct schedule_ScheduleAction);
    schedule->action->action_case = 1;
    schedule->action->start_workflow = ARENA_NEW(&cli->arena, struct workflow_NewWorkflowExecutionInfo);
    schedule->policies = policies;
    schedule->state = state;
    policies->pause_on_failure = cli_given(cli, FLAG_PAUSE_ON_FAILURE);
    state->paused = cli_given(cli, FLAG_PAUSED);
    state->notes = cli_value(cli, FLAG_NOTES);
    state->limited_actions = cli_given(cli, FLAG_REMAINING_ACTIONS);
    *ret_schedule = schedule;
    if ((status = take_spec(cli, schedule->spec)) != ST_OK ||
        (status = take_action(cli, schedule->action->start_workflow)) != ST_OK ||
        (status = cli_named_value(cli, FLAG_OVERLAP_POLICY, overlap_policies, &policies->overlap_policy)) !=
            ST_OK ||
        (status = cli_duration(cli, FLAG_CATCHUP_WINDOW, &policies->catchup_window)) != ST_OK ||
        (status = cli_count(cli, FLAG_REMAINING_ACTIONS, &remaining)) != ST_OK)
        return status;
    state->remaining_actions = (int64_t)remaining;
    return ST_OK;
}

static enum status run_create(struct cli *cli)
{
    struct workflowservice_CreateScheduleRequest  request = { .namespace = cli_namespace(cli),
                                                              .schedule_id = cli_value(cli, FLAG_SCHEDULE_ID),
                                                              .identity = cli_identity(cli),
                                                              .request_id = cli_request_id(cli) };
    struct workflowservice_CreateScheduleResponse response = { 0 };
    enum status                                   status = take_schedule(cli, &request.schedule);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_SCHEDULE_MEMO, &request.memo);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_SCHEDULE_SEARCH_ATTRIBUTE, &request.search_attributes);
    if (status == ST_OK)
        status = CALL(cli, CreateSchedule, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Schedule created");
    return status;
}

/* It becomes what the flags say, as a whole. */
static enum status run_update(struct cli *cli)
{
    struct workflowservice_UpdateScheduleRequest  request = { .namespace = cli_namespace(cli),
                                                              .schedule_id = cli_value(cli, FLAG_SCHEDULE_ID),
                                                              .identity = cli_identity(cli),
                                                              .request_id = cli_request_id(cli) };
    struct workflowservice_UpdateScheduleResponse response = { 0 };
    enum status                                   status = take_schedule(cli, &request.schedule);
    if (status == ST_OK)
        status = cli_pairs(cli, FLAG_SCHEDULE_SEARCH_ATTRIBUTE, &request.search_attributes);
    if (status == ST_OK)
        status = CALL(cli, UpdateSchedule, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Schedule updated");
    return status;
}

static enum status run_delete(struct cli *cli)
{
    struct workflowservice_DeleteScheduleRequest  request = { .namespace = cli_namespace(cli),
                                                              .schedule_id = cli_value(cli, FLAG_SCHEDULE_ID),
                                                              .identity = cli_identity(cli) };
    struct workflowservice_DeleteScheduleResponse response = { 0 };
    enum status                                   status = CALL(cli, DeleteSchedule, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Schedule deleted");
    return status;
}

/* --- patches --- */

static enum status patch_send(struct cli *cli, struct schedule_SchedulePatch *patch, const char *done)
{
    struct workflowservice_PatchScheduleRequest  request = { .namespace = cli_namespace(cli),
                                                             .schedule_id = cli_value(cli, FLAG_SCHEDULE_ID),
                                                             .patch = patch,
                                                             .identity = cli_identity(cli),
                                                             .request_id = cli_request_id(cli) };
    struct workflowservice_PatchScheduleResponse response = { 0 };
    enum status                                  status = CALL(cli, PatchSchedule, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, done);
    return status;
}

static enum status run_trigger(struct cli *cli)
{
    struct schedule_TriggerImmediatelyRequest trigger = { 0 };
    struct schedule_SchedulePatch             patch = { .trigger_immediately = &trigger };
    enum status status = cli_named_value(cli, FLAG_OVERLAP_POLICY, overlap_policies, &trigger.overlap_policy);
    return status == ST_OK ? patch_send(cli, &patch, "Trigger request sent") : status;
}

static enum status run_toggle(struct cli *cli)
{
    struct schedule_SchedulePatch patch = { 0 };
    bool                          pause = cli_given(cli, FLAG_PAUSE), unpause = cli_given(cli, FLAG_UNPAUSE);
    struct bytes                  reason = cli_value(cli, FLAG_REASON);
    if (pause == unpause)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "one of --pause and --unpause says what is to be");
    if (reason.size == 0)
        reason = pause ? BYTES("paused by perdure schedule toggle")
                       : BYTES("unpaused by perdure schedule toggle");
    *(pause ? &patch.pause : &patch.unpause) = reason;
    return patch_send(cli, &patch, pause ? "Schedule paused" : "Schedule unpaused");
}

static enum status run_backfill(struct cli *cli)
{
    struct schedule_BackfillRequest backfill = { 0 };
    struct schedule_SchedulePatch   patch = { .backfill_request = &backfill, .backfill_request_count = 1 };
    enum status status = take_time(cli, FLAG_START_TIME, "start-time", &backfill.start_time);
    if (status == ST_OK)
        status = take_time(cli, FLAG_END_TIME, "end-time", &backfill.end_time);
    if (status == ST_OK)
        status = cli_named_value(cli, FLAG_OVERLAP_POLICY, overlap_policies, &backfill.overlap_policy);
    return status == ST_OK ? patch_send(cli, &patch, "Backfill request sent") : status;
}

/* --- what there is --- */

static const char *policy_text(int32_t policy)
{
    for (size_t i = 0; overlap_policies[i].text != NULL; i++) {
        if (overlap_policies[i].value == policy)
            return overlap_policies[i].text;
    }
    return "?";
}

static void print_described(struct cli *cli, struct bytes schedule_id,
                            const struct workflowservice_DescribeScheduleResponse *response)
{
    const struct schedule_Schedule                 *schedule = response->schedule;
    const struct schedule_ScheduleInfo             *info = response->info;
    const struct workflow_NewWorkflowExecutionInfo *action = schedule->action->start_workflow;
    printf("ScheduleId      %.*s\nPaused          %s\nNotes           %.*s\nWorkflowId      %.*s\nType       "
           "     "
           "%.*s\nTaskQueue       %.*s\nOverlap         %s\nCatchupWindow   %s\nActions         %" PRId64
           "\nMissed          %" PRId64 "\nSkipped         %" PRId64 "\nDropped         %" PRId64
           "\nBuffered        %" PRId64 "\n",
           BYTES_FMT(schedule_id), schedule->state->paused ? "true" : "false",
           BYTES_FMT(schedule->state->notes), BYTES_FMT(action->workflow_id),
           BYTES_FMT(action->workflow_type->name), BYTES_FMT(action->task_queue->name),
           policy_text(schedule->policies->overlap_policy),
           cli_duration_text(cli, schedule->policies->catchup_window), info->action_count,
           info->missed_catchup_window, info->overlap_skipped, info->buffer_dropped, info->buffer_size);
    if (schedule->state->limited_actions)
        printf("Remaining       %" PRId64 "\n", schedule->state->remaining_actions);
    for (size_t i = 0; i < info->running_workflows_count; i++)
        printf("Running         %.*s %.*s\n", BYTES_FMT(info->running_workflows[i].workflow_id),
               BYTES_FMT(info->running_workflows[i].run_id));
    for (size_t i = 0; i < info->recent_actions_count; i++)
        printf("Recent          %s %.*s %s\n", cli_time_text(cli, info->recent_actions[i].schedule_time),
               BYTES_FMT(info->recent_actions[i].start_workflow_result->workflow_id),
               cli_status_text(info->recent_actions[i].start_workflow_status));
    for (size_t i = 0; i < info->future_action_times_count; i++)
        printf("Next            %s\n", cli_time_text(cli, &info->future_action_times[i]));
}

static enum status run_describe(struct cli *cli)
{
    struct workflowservice_DescribeScheduleRequest request = {
        .namespace = cli_namespace(cli), .schedule_id = cli_value(cli, FLAG_SCHEDULE_ID)
    };
    struct workflowservice_DescribeScheduleResponse response = { 0 };
    enum status                                     status = CALL(cli, DescribeSchedule, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_DescribeScheduleResponse, &response);
    print_described(cli, request.schedule_id, &response);
    return ST_OK;
}

static enum status run_list(struct cli *cli)
{
    struct workflowservice_ListSchedulesRequest request = { .namespace = cli_namespace(cli),
                                                            .query = cli_value(cli, FLAG_QUERY),
                                                            .maximum_page_size = LIST_PAGE_SIZE_MAX };
    size_t                                      limit = SIZE_MAX;
    enum status                                 status = cli_count(cli, FLAG_LIMIT, &limit);
    if (status != ST_OK)
        return status;
    request.maximum_page_size = (int32_t)MIN(limit, (size_t)LIST_PAGE_SIZE_MAX);
    do {
        struct workflowservice_ListSchedulesResponse response = { 0 };
        status = CALL(cli, ListSchedules, &request, &response);
        if (status == ST_OK && !cli->json && request.next_page_token.size == 0)
            printf("%-30s  %-20s  %-6s  %-24s  %s\n", "ScheduleId", "Type", "Paused", "Next", "Notes");
        for (size_t i = 0; status == ST_OK && i < response.schedules_count && cli->list_count < limit; i++) {
            const struct schedule_ScheduleListEntry *entry = &response.schedules[i];
            const struct schedule_ScheduleListInfo  *info = entry->info;
            cli_list_item(cli, "[");
            if (cli->json)
                status = cli_print_json(cli, &pb_schedule_ScheduleListEntry, entry);
            else
                printf("%-30.*s  %-20.*s  %-6s  %-24s  %.*s\n", BYTES_FMT(entry->schedule_id),
                       BYTES_FMT(info->workflow_type->name), info->paused ? "true" : "false",
                       cli_time_text(cli,
                                     info->future_action_times_count == 0 ? NULL : info->future_action_times),
                       BYTES_FMT(info->notes));
        }
        request.next_page_token = response.next_page_token;
    } while (status == ST_OK && request.next_page_token.size != 0 && cli->list_count < limit);
    return cli_list_end(cli, status, "[", "]");
}

#define M CLI_MASK
#define SCHEDULE_FLAGS                                                                                       \
    (M(SCHEDULE_ID) | M(CALENDAR) | M(CRON) | M(INTERVAL) | M(TIME_ZONE) | M(START_TIME) | M(END_TIME) |     \
     M(JITTER) | M(OVERLAP_POLICY) | M(CATCHUP_WINDOW) | M(PAUSE_ON_FAILURE) | M(PAUSED) | M(NOTES) |        \
     M(REMAINING_ACTIONS) | M(SCHEDULE_SEARCH_ATTRIBUTE) | M(WORKFLOW_ID) | M(TYPE) | M(TASK_QUEUE) |        \
     M(INPUT) | M(INPUT_FILE) | M(EXECUTION_TIMEOUT) | M(RUN_TIMEOUT) | M(TASK_TIMEOUT) | M(MEMO) |          \
     M(SEARCH_ATTRIBUTE) | M(HEADERS) | M(STATIC_SUMMARY) | M(STATIC_DETAILS))
#define SCHEDULE_REQUIRED (M(SCHEDULE_ID) | M(WORKFLOW_ID) | M(TYPE) | M(TASK_QUEUE))
const struct cli_command cli_schedule_commands[] = {
    { "schedule", "create", "creates a schedule that starts a workflow again and again",
      SCHEDULE_FLAGS | M(SCHEDULE_MEMO), SCHEDULE_REQUIRED, run_create, 0 },
    { "schedule", "update", "replaces a schedule by what the flags say", SCHEDULE_FLAGS, SCHEDULE_REQUIRED,
      run_update, 0 },
    { "schedule", "describe", "prints a schedule: its settings, what it did, and when it will do so next",
      M(SCHEDULE_ID), M(SCHEDULE_ID), run_describe, 0 },
    { "schedule", "list", "lists schedules", M(QUERY) | M(LIMIT), 0, run_list, 0 },
    { "schedule", "trigger", "starts a schedule's workflow now", M(SCHEDULE_ID) | M(OVERLAP_POLICY),
      M(SCHEDULE_ID), run_trigger, 0 },
    { "schedule", "toggle", "pauses a schedule, or lets it go on",
      M(SCHEDULE_ID) | M(PAUSE) | M(UNPAUSE) | M(REASON), M(SCHEDULE_ID), run_toggle, 0 },
    { "schedule", "backfill", "takes the times of a schedule between two moments, as if it had been there",
      M(SCHEDULE_ID) | M(START_TIME) | M(END_TIME) | M(OVERLAP_POLICY),
      M(SCHEDULE_ID) | M(START_TIME) | M(END_TIME), run_backfill, 0 },
    { "schedule", "delete", "deletes a schedule; workflows that it has started go on", M(SCHEDULE_ID),
      M(SCHEDULE_ID), run_delete, 0 },
};
const size_t cli_schedule_command_count = ARRAY_COUNT(cli_schedule_commands);
