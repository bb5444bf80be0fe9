/* activity.c: perdure activity pause, unpause, reset, update-options; workflow pause, unpause, update-options. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli_internal.h"

static enum status run_pause(struct cli *cli)
{
    struct workflowservice_PauseActivityRequest request = {
        .namespace = cli_namespace(cli),
        .execution = cli_execution(cli),
        .identity = cli_identity(cli),
        .activity_case = 4,
        .id = cli_value(cli, FLAG_ACTIVITY_ID),
        .reason = cli_value(cli, FLAG_REASON),
        .request_id = cli_request_id(cli),
    };
    struct workflowservice_PauseActivityResponse response = { 0 };
    enum status                                  status = CALL(cli, PauseActivity, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Paused");
    return status;
}

static enum status run_unpause(struct cli *cli)
{
    struct workflowservice_UnpauseActivityRequest request = {
        .namespace = cli_namespace(cli),
        .execution = cli_execution(cli),
        .identity = cli_identity(cli),
        .activity_case = 4,
        .id = cli_value(cli, FLAG_ACTIVITY_ID),
        .reset_attempts = cli_given(cli, FLAG_RESET_ATTEMPTS),
        .reset_heartbeat = cli_given(cli, FLAG_RESET_HEARTBEATS),
    };
    struct workflowservice_UnpauseActivityResponse response = { 0 };
    enum status                                    status = cli_duration(cli, FLAG_JITTER, &request.jitter);
    if (status == ST_OK)
        status = CALL(cli, UnpauseActivity, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Unpaused");
    return status;
}

static enum status run_reset(struct cli *cli)
{
    struct workflowservice_ResetActivityRequest request = {
        .namespace = cli_namespace(cli),
        .execution = cli_execution(cli),
        .identity = cli_identity(cli),
        .activity_case = 4,
        .id = cli_value(cli, FLAG_ACTIVITY_ID),
        .reset_heartbeat = cli_given(cli, FLAG_RESET_HEARTBEATS),
        .keep_paused = cli_given(cli, FLAG_KEEP_PAUSED),
        .restore_original_options = cli_given(cli, FLAG_RESTORE_ORIGINAL_OPTIONS),
    };
    struct workflowservice_ResetActivityResponse response = { 0 };
    enum status                                  status = cli_duration(cli, FLAG_JITTER, &request.jitter);
    if (status == ST_OK)
        status = CALL(cli, ResetActivity, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Reset");
    return status;
}

/* --- options --- */

struct option_paths {
    struct bytes list[9];
    size_t       count;
};

static enum status duration_option(struct cli *cli, enum cli_flag flag, const char *path,
                                   struct option_paths *paths, struct google_Duration **ret)
{
    if (!cli_given(cli, flag))
        return ST_OK;
    paths->list[paths->count++] = bytes_of_text(path);
    return cli_duration(cli, flag, ret);
}

static enum status retry_options(struct cli *cli, struct option_paths *paths,
                                 struct common_RetryPolicy *policy)
{
    enum status status = duration_option(cli, FLAG_RETRY_INITIAL_INTERVAL, "retry_policy.initial_interval",
                                         paths, &policy->initial_interval);
    if (status == ST_OK)
        status = duration_option(cli, FLAG_RETRY_MAXIMUM_INTERVAL, "retry_policy.maximum_interval", paths,
                                 &policy->maximum_interval);
    if (status == ST_OK && cli_given(cli, FLAG_RETRY_BACKOFF_COEFFICIENT)) {
        const char *text = cli->arguments.values[FLAG_RETRY_BACKOFF_COEFFICIENT][0];
        char       *end;
        policy->backoff_coefficient = strtod(text, &end);
        if (end == text || *end != '\0')
            return error_set(&cli->error, ST_INVALID_ARGUMENT, "--retry-backoff-coefficient is no number: %s",
                             text);
        paths->list[paths->count++] = BYTES("retry_policy.backoff_coefficient");
    }
    if (status == ST_OK && cli_given(cli, FLAG_RETRY_MAXIMUM_ATTEMPTS)) {
        const char *text = cli->arguments.values[FLAG_RETRY_MAXIMUM_ATTEMPTS][0];
        char       *end;
        errno = 0;
        long attempts = strtol(text, &end, 10); /* 0 is a value here: no limit */
        if (end == text || *end != '\0' || errno != 0 || attempts < 0 || attempts > INT32_MAX)
            return error_set(&cli->error, ST_INVALID_ARGUMENT, "--retry-maximum-attempts is no count: %s",
                             text);
        policy->maximum_attempts = (int32_t)attempts;
        paths->list[paths->count++] = BYTES("retry_policy.maximum_attempts");
    }
    return status;
}

static enum status options_given(struct cli *cli, struct option_paths *paths,
                                 struct activity_ActivityOptions *options)
{
    enum status status = duration_option(cli, FLAG_SCHEDULE_TO_CLOSE_TIMEOUT, "schedule_to_close_timeout",
                                         paths, &options->schedule_to_close_timeout);
    if (status == ST_OK)
        status = duration_option(cli, FLAG_SCHEDULE_TO_START_TIMEOUT, "schedule_to_start_timeout", paths,
                                 &options->schedule_to_start_timeout);
    if (status == ST_OK)
        status = duration_option(cli, FLAG_START_TO_CLOSE_TIMEOUT, "start_to_close_timeout", paths,
                                 &options->start_to_close_timeout);
    if (status == ST_OK)
        status = duration_option(cli, FLAG_HEARTBEAT_TIMEOUT, "heartbeat_timeout", paths,
                                 &options->heartbeat_timeout);
    if (cli_given(cli, FLAG_TASK_QUEUE)) {
        options->task_queue->name = cli_value(cli, FLAG_TASK_QUEUE);
        paths->list[paths->count++] = BYTES("task_queue.name");
    }
    return status == ST_OK ? retry_options(cli, paths, options->retry_policy) : status;
}

static enum status run_update_options(struct cli *cli)
{
    struct option_paths             paths = { .count = 0 };
    struct taskqueue_TaskQueue      queue = { 0 };
    struct common_RetryPolicy       policy = { 0 };
    struct activity_ActivityOptions options = { .task_queue = &queue, .retry_policy = &policy };
    enum status                     status = options_given(cli, &paths, &options);
    if (status != ST_OK)
        return status;
    struct google_FieldMask mask = { .paths = paths.list, .paths_count = paths.count };
    struct workflowservice_UpdateActivityOptionsRequest request = {
        .namespace = cli_namespace(cli),
        .execution = cli_execution(cli),
        .identity = cli_identity(cli),
        .activity_case = 6,
        .id = cli_value(cli, FLAG_ACTIVITY_ID),
        .activity_options = &options,
        .update_mask = &mask,
        .restore_original = cli_given(cli, FLAG_RESTORE_ORIGINAL_OPTIONS),
    };
    struct workflowservice_UpdateActivityOptionsResponse response = { 0 };
    status = CALL(cli, UpdateActivityOptions, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_UpdateActivityOptionsResponse, &response);
    const struct activity_ActivityOptions *now = response.activity_options;
    if (now == NULL || now->task_queue == NULL || now->retry_policy == NULL)
        return error_set(&cli->error, ST_INTERNAL, "the server told no options");
    printf("TaskQueue               %.*s\n", BYTES_FMT(now->task_queue->name));
    printf("ScheduleToCloseTimeout  %s\n", cli_duration_text(cli, now->schedule_to_close_timeout));
    printf("ScheduleToStartTimeout  %s\n", cli_duration_text(cli, now->schedule_to_start_timeout));
    printf("StartToCloseTimeout     %s\n", cli_duration_text(cli, now->start_to_close_timeout));
    printf("HeartbeatTimeout        %s\n", cli_duration_text(cli, now->heartbeat_timeout));
    printf("InitialInterval         %s\n", cli_duration_text(cli, now->retry_policy->initial_interval));
    printf("MaximumInterval         %s\n", cli_duration_text(cli, now->retry_policy->maximum_interval));
    printf("BackoffCoefficient      %g\n", now->retry_policy->backoff_coefficient);
    printf("MaximumAttempts         %d\n", now->retry_policy->maximum_attempts);
    return ST_OK;
}

#define M      CLI_MASK
#define TARGET (M(WORKFLOW_ID) | M(RUN_ID) | M(ACTIVITY_ID))
#define OPTIONS                                                                                              \
    (M(TASK_QUEUE) | M(SCHEDULE_TO_CLOSE_TIMEOUT) | M(SCHEDULE_TO_START_TIMEOUT) |                           \
     M(START_TO_CLOSE_TIMEOUT) | M(HEARTBEAT_TIMEOUT) | M(RETRY_INITIAL_INTERVAL) |                          \
     M(RETRY_MAXIMUM_INTERVAL) | M(RETRY_BACKOFF_COEFFICIENT) | M(RETRY_MAXIMUM_ATTEMPTS) |                  \
     M(RESTORE_ORIGINAL_OPTIONS))

const struct cli_command cli_activity_commands[] = {
    { "activity", "pause", "holds an activity back after the attempt that may be running", TARGET | M(REASON),
      M(WORKFLOW_ID) | M(ACTIVITY_ID), run_pause, 0 },
    { "activity", "unpause", "ends an activity's pause and starts it",
      TARGET | M(RESET_ATTEMPTS) | M(RESET_HEARTBEATS) | M(JITTER), M(WORKFLOW_ID) | M(ACTIVITY_ID),
      run_unpause, 0 },
    { "activity", "reset", "counts an activity's attempts from 1 again and starts it if it waits",
      TARGET | M(RESET_ATTEMPTS) | M(RESET_HEARTBEATS) | M(KEEP_PAUSED) | M(RESTORE_ORIGINAL_OPTIONS) |
          M(JITTER),
      M(WORKFLOW_ID) | M(ACTIVITY_ID), run_reset, 0 },
    { "activity", "update-options", "changes timeouts, retries or the task queue of a pending activity",
      TARGET | OPTIONS, M(WORKFLOW_ID) | M(ACTIVITY_ID), run_update_options, 0 },
};
const size_t cli_activity_command_count = ARRAY_COUNT(cli_activity_commands);

/* --- the whole workflow --- */

enum status cli_workflow_pause(struct cli *cli)
{
    struct workflowservice_PauseWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_id = cli_value(cli, FLAG_WORKFLOW_ID),
        .run_id = cli_value(cli, FLAG_RUN_ID),
        .identity = cli_identity(cli),
        .reason = cli_value(cli, FLAG_REASON),
        .request_id = cli_request_id(cli),
    };
    struct workflowservice_PauseWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, PauseWorkflowExecution, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Paused");
    return status;
}

enum status cli_workflow_unpause(struct cli *cli)
{
    struct workflowservice_UnpauseWorkflowExecutionRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_id = cli_value(cli, FLAG_WORKFLOW_ID),
        .run_id = cli_value(cli, FLAG_RUN_ID),
        .identity = cli_identity(cli),
        .reason = cli_value(cli, FLAG_REASON),
        .request_id = cli_request_id(cli),
    };
    struct workflowservice_UnpauseWorkflowExecutionResponse response = { 0 };
    enum status status = CALL(cli, UnpauseWorkflowExecution, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Unpaused");
    return status;
}

enum status cli_workflow_update_options(struct cli *cli)
{
    static const struct cli_name behaviors[] = { { "unspecified", enums_VERSIONING_BEHAVIOR_UNSPECIFIED },
                                                 { "pinned", enums_VERSIONING_BEHAVIOR_PINNED },
                                                 { "auto_upgrade", enums_VERSIONING_BEHAVIOR_AUTO_UPGRADE },
                                                 { NULL, 0 } };
    struct deployment_WorkerDeploymentVersion version = {
        .deployment_name = cli_value(cli, FLAG_OVERRIDE_DEPLOYMENT),
        .build_id = cli_value(cli, FLAG_OVERRIDE_BUILD_ID)
    };
    struct workflow_VersioningOverride_PinnedOverride pinned = { .behavior = 1, .version = &version };
    struct workflow_VersioningOverride                override = { 0 };
    struct workflow_WorkflowExecutionOptions          options = { 0 };
    struct bytes                                      path = BYTES("versioning_override");
    struct google_FieldMask                           mask = { .paths = &path, .paths_count = 1 };
    struct workflowservice_UpdateWorkflowExecutionOptionsRequest request = {
        .namespace = cli_namespace(cli),
        .workflow_execution = cli_execution(cli),
        .workflow_execution_options = &options,
        .update_mask = &mask,
        .identity = cli_identity(cli),
    };
    struct workflowservice_UpdateWorkflowExecutionOptionsResponse response = { 0 };
    int32_t                                                       behavior = 0;
    enum status status = cli_named_value(cli, FLAG_OVERRIDE_BEHAVIOR, behaviors, &behavior);
    if (status != ST_OK)
        return status;
    if (behavior == enums_VERSIONING_BEHAVIOR_PINNED) {
        override.override_case = 3;
        override.pinned = &pinned;
    } else if (behavior == enums_VERSIONING_BEHAVIOR_AUTO_UPGRADE) {
        override.override_case = 4;
        override.auto_upgrade = true;
    }
    if (behavior != enums_VERSIONING_BEHAVIOR_UNSPECIFIED)
        options.versioning_override = &override;
    status = CALL(cli, UpdateWorkflowExecutionOptions, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_UpdateWorkflowExecutionOptionsResponse, &response);
    cli_print_done(cli, "Updated");
    return ST_OK;
}
