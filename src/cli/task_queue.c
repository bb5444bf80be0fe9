/* task_queue.c: perdure task-queue describe, list-partition; task-queue config get, set; worker list, describe. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli_internal.h"

#define M(flag) CLI_MASK(flag)

static const struct cli_name type_names[] = { { "workflow", enums_TASK_QUEUE_TYPE_WORKFLOW },
                                              { "activity", enums_TASK_QUEUE_TYPE_ACTIVITY },
                                              { "nexus", enums_TASK_QUEUE_TYPE_NEXUS },
                                              { NULL, 0 } };

static const char *type_text(int32_t type)
{
    return type_names[type - 1].text;
}

/* --- task-queue describe --- */

static void print_stats(struct cli *cli, const char *name, const struct taskqueue_TaskQueueStats *stats)
{
    if (stats == NULL)
        return;
    printf("  %-12s %10" PRId64 " %12s %12.1f %12.1f\n", name, stats->approximate_backlog_count,
           cli_duration_text(cli, stats->approximate_backlog_age), (double)stats->tasks_add_rate,
           (double)stats->tasks_dispatch_rate);
}

static void print_queue(struct cli *cli, int32_t type,
                        const struct workflowservice_DescribeTaskQueueResponse *response)
{
    static const char *const sources[] = { "?", "set by an operator", "asked for by a worker",
                                           "the server's own" };
    const struct workflowservice_DescribeTaskQueueResponse_EffectiveRateLimit *limit =
        response->effective_rate_limit;
    printf("%s tasks\n  %-12s %10s %12s %12s %12s\n", type_text(type), "", "Backlog", "Age", "Added/s",
           "Taken/s");
    print_stats(cli, "all", response->stats);
    for (size_t i = 0; i < response->stats_by_priority_key_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "priority %d", response->stats_by_priority_key[i].key);
        print_stats(cli, name, response->stats_by_priority_key[i].value);
    }
    if (limit != NULL)
        printf("  Limit %.1f/s, %s\n", (double)limit->requests_per_second,
               (size_t)limit->rate_limit_source < ARRAY_COUNT(sources) ? sources[limit->rate_limit_source]
                                                                       : sources[0]);
    for (size_t i = 0; i < response->pollers_count; i++)
        printf("  Poller %.*s, last seen %s, %.1f/s\n", BYTES_FMT(response->pollers[i].identity),
               cli_time_text(cli, response->pollers[i].last_access_time),
               response->pollers[i].rate_per_second);
}

static enum status describe_type(struct cli *cli, int32_t type)
{
    struct taskqueue_TaskQueue                       queue = { .name = cli_value(cli, FLAG_TASK_QUEUE) };
    struct workflowservice_DescribeTaskQueueRequest  request = { .namespace = cli_namespace(cli),
                                                                 .task_queue = &queue,
                                                                 .task_queue_type = type,
                                                                 .report_stats = true,
                                                                 .report_config = true };
    struct workflowservice_DescribeTaskQueueResponse response = { 0 };
    enum status status = CALL(cli, DescribeTaskQueue, &request, &response);
    if (status == ST_OK && cli->json)
        return cli_message_field(cli, type_text(type), &pb_workflowservice_DescribeTaskQueueResponse,
                                 &response);
    if (status == ST_OK)
        print_queue(cli, type, &response);
    return status;
}

static enum status run_describe(struct cli *cli)
{
    int32_t     type = 0;
    enum status status = cli_named_value(cli, FLAG_TASK_QUEUE_TYPE, type_names, &type);
    if (status == ST_OK && type != 0)
        status = describe_type(cli, type);
    else if (status == ST_OK && (status = describe_type(cli, enums_TASK_QUEUE_TYPE_WORKFLOW)) == ST_OK)
        status = describe_type(cli, enums_TASK_QUEUE_TYPE_ACTIVITY);
    if (cli->json && (status == ST_OK || cli->field_count != 0))
        cli_fields_end(cli);
    return status;
}

static enum status run_list_partition(struct cli *cli)
{
    struct taskqueue_TaskQueue                            queue = { .name = cli_value(cli, FLAG_TASK_QUEUE) };
    struct workflowservice_ListTaskQueuePartitionsRequest request = { .namespace = cli_namespace(cli),
                                                                      .task_queue = &queue };
    struct workflowservice_ListTaskQueuePartitionsResponse response = { 0 };
    enum status status = CALL(cli, ListTaskQueuePartitions, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_ListTaskQueuePartitionsResponse, &response);
    for (size_t i = 0; i < response.workflow_task_queue_partitions_count; i++)
        printf("workflow  %.*s  %.*s\n", BYTES_FMT(response.workflow_task_queue_partitions[i].key),
               BYTES_FMT(response.workflow_task_queue_partitions[i].owner_host_name));
    for (size_t i = 0; i < response.activity_task_queue_partitions_count; i++)
        printf("activity  %.*s  %.*s\n", BYTES_FMT(response.activity_task_queue_partitions[i].key),
               BYTES_FMT(response.activity_task_queue_partitions[i].owner_host_name));
    return ST_OK;
}

/* --- task-queue config --- */

static void print_limit(const char *name, const struct taskqueue_RateLimitConfig *config)
{
    if (config == NULL)
        return;
    if (config->rate_limit != NULL)
        printf("%-28s %.3f/s", name, (double)config->rate_limit->requests_per_second);
    else
        printf("%-28s none", name);
    if (config->metadata != NULL)
        printf("  by %.*s: %.*s", BYTES_FMT(config->metadata->update_identity),
               BYTES_FMT(config->metadata->reason));
    putchar('\n');
}

static enum status print_config(struct cli *cli, const struct taskqueue_TaskQueueConfig *config)
{
    static const struct taskqueue_TaskQueueConfig nothing;
    if (config == NULL)
        config = &nothing;
    if (cli->json)
        return cli_print_json(cli, &pb_taskqueue_TaskQueueConfig, config);
    print_limit("Tasks of the queue", config->queue_rate_limit);
    print_limit("Tasks of a fairness key", config->fairness_keys_rate_limit_default);
    for (size_t i = 0; i < config->fairness_weight_overrides_count; i++)
        printf("Weight of %-18.*s %.3f\n", BYTES_FMT(config->fairness_weight_overrides[i].key),
               (double)config->fairness_weight_overrides[i].value);
    return ST_OK;
}

static enum status run_config_get(struct cli *cli)
{
    struct taskqueue_TaskQueue                       queue = { .name = cli_value(cli, FLAG_TASK_QUEUE) };
    struct workflowservice_DescribeTaskQueueRequest  request = { .namespace = cli_namespace(cli),
                                                                 .task_queue = &queue,
                                                                 .report_config = true };
    struct workflowservice_DescribeTaskQueueResponse response = { 0 };
    enum status status = cli_named_value(cli, FLAG_TASK_QUEUE_TYPE, type_names, &request.task_queue_type);
    if (status == ST_OK)
        status = CALL(cli, DescribeTaskQueue, &request, &response);
    return status == ST_OK ? print_config(cli, response.config) : status;
}

static enum status number(struct cli *cli, const char *flag, const char *text, float *ret_number)
{
    char *end;
    *ret_number = strtof(text, &end);
    return end != text && *end == '\0'
               ? ST_OK
               : error_set(&cli->error, ST_INVALID_ARGUMENT, "--%s is no number: %s", flag, text);
}

/* A number, or "default": the limit is taken away. */
static enum status limit_update(
    struct cli *cli, enum cli_flag flag, const char *name, enum cli_flag reason,
    struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate **ret_update)
{
    if (!cli_given(cli, flag))
        return ST_OK;
    struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate *update =
        ARENA_NEW(&cli->arena, struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate);
    const char *text = cli->arguments.values[flag][0];
    update->reason = cli_value(cli, reason);
    *ret_update = update;
    if (strcmp(text, "default") == 0)
        return ST_OK;
    update->rate_limit = ARENA_NEW(&cli->arena, struct taskqueue_RateLimit);
    return number(cli, name, text, &update->rate_limit->requests_per_second);
}

/* KEY=WEIGHT, or KEY=default. */
static enum status weights(struct cli *cli, struct workflowservice_UpdateTaskQueueConfigRequest *request)
{
    size_t count = cli->arguments.counts[FLAG_FAIRNESS_WEIGHT];
    request->set_fairness_weight_overrides = ARENA_NEW_ARRAY(
        &cli->arena, struct workflowservice_UpdateTaskQueueConfigRequest_SetFairnessWeightOverridesEntry,
        count + 1);
    request->unset_fairness_weight_overrides = ARENA_NEW_ARRAY(&cli->arena, struct bytes, count + 1);
    for (size_t i = 0; i < count; i++) {
        const char *text = cli->arguments.values[FLAG_FAIRNESS_WEIGHT][i], *equals = strrchr(text, '=');
        if (equals == NULL)
            return error_set(&cli->error, ST_INVALID_ARGUMENT, "--fairness-key-weight %s is not KEY=WEIGHT",
                             text);
        struct bytes key = bytes_of(text, (size_t)(equals - text));
        if (strcmp(equals + 1, "default") == 0) {
            request->unset_fairness_weight_overrides[request->unset_fairness_weight_overrides_count++] = key;
            continue;
        }
        size_t at = request->set_fairness_weight_overrides_count++;
        request->set_fairness_weight_overrides[at].key = key;
        enum status status = number(cli, "fairness-key-weight", equals + 1,
                                    &request->set_fairness_weight_overrides[at].value);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

static enum status run_config_set(struct cli *cli)
{
    struct workflowservice_UpdateTaskQueueConfigRequest request = {
        .namespace = cli_namespace(cli),
        .identity = cli_identity(cli),
        .task_queue = cli_value(cli, FLAG_TASK_QUEUE)
    };
    struct workflowservice_UpdateTaskQueueConfigResponse response = { 0 };
    enum status status = cli_named_value(cli, FLAG_TASK_QUEUE_TYPE, type_names, &request.task_queue_type);
    if (status == ST_OK)
        status = limit_update(cli, FLAG_QUEUE_RPS_LIMIT, "queue-rps-limit", FLAG_QUEUE_RPS_REASON,
                              &request.update_queue_rate_limit);
    if (status == ST_OK)
        status = limit_update(cli, FLAG_KEY_RPS_LIMIT, "fairness-key-rps-limit-default", FLAG_KEY_RPS_REASON,
                              &request.update_fairness_key_rate_limit_default);
    if (status == ST_OK)
        status = weights(cli, &request);
    if (status == ST_OK)
        status = CALL(cli, UpdateTaskQueueConfig, &request, &response);
    return status == ST_OK ? print_config(cli, response.config) : status;
}

const struct cli_command cli_task_queue_commands[] = {
    { "task-queue", "describe", "prints how much waits in a task queue, its rates, limits and pollers",
      M(TASK_QUEUE) | M(TASK_QUEUE_TYPE), M(TASK_QUEUE), run_describe, M(TASK_QUEUE) },
    { "task-queue", "list-partition", "prints the partitions of a task queue, of which there is one",
      M(TASK_QUEUE), M(TASK_QUEUE), run_list_partition, M(TASK_QUEUE) },
    { "task-queue config", "get", "prints what is set for a task queue", M(TASK_QUEUE) | M(TASK_QUEUE_TYPE),
      M(TASK_QUEUE) | M(TASK_QUEUE_TYPE), run_config_get, 0 },
    { "task-queue config", "set", "sets limits and weights of a task queue",
      M(TASK_QUEUE) | M(TASK_QUEUE_TYPE) | M(QUEUE_RPS_LIMIT) | M(QUEUE_RPS_REASON) | M(KEY_RPS_LIMIT) |
          M(KEY_RPS_REASON) | M(FAIRNESS_WEIGHT),
      M(TASK_QUEUE) | M(TASK_QUEUE_TYPE), run_config_set, 0 },
};
const size_t cli_task_queue_command_count = ARRAY_COUNT(cli_task_queue_commands);

/* --- workers --- */

static void print_worker(struct cli *cli, const struct worker_WorkerListInfo *worker)
{
    static const char *const statuses[] = { "-", "Running", "ShuttingDown", "Shutdown" };
    printf("%-13s  %.*s  %.*s  %.*s  %.*s %.*s  since %s\n",
           (size_t)worker->status < ARRAY_COUNT(statuses) ? statuses[worker->status] : "?",
           BYTES_FMT(worker->worker_instance_key), BYTES_FMT(worker->worker_identity),
           BYTES_FMT(worker->task_queue), BYTES_FMT(worker->sdk_name), BYTES_FMT(worker->sdk_version),
           cli_time_text(cli, worker->start_time));
}

static enum status run_worker_list(struct cli *cli)
{
    struct workflowservice_ListWorkersRequest request = { .namespace = cli_namespace(cli),
                                                          .query = cli_value(cli, FLAG_QUERY),
                                                          .page_size = 1000 };
    size_t                                    left = SIZE_MAX;
    enum status                               status = cli_count(cli, FLAG_LIMIT, &left);
    if (status != ST_OK)
        return status;
    do {
        struct workflowservice_ListWorkersResponse response = { 0 };
        status = CALL(cli, ListWorkers, &request, &response);
        for (size_t i = 0; status == ST_OK && i < response.workers_count && left > 0; i++, left--) {
            cli_list_item(cli, "[");
            if (cli->json)
                status = cli_print_json(cli, &pb_worker_WorkerListInfo, &response.workers[i]);
            else
                print_worker(cli, &response.workers[i]);
        }
        request.next_page_token = response.next_page_token;
    } while (status == ST_OK && left > 0 && request.next_page_token.size != 0);
    return cli_list_end(cli, status, "[", "]");
}

/* There is too much in a heartbeat for lines of text: as text, too, it is JSON. */
static enum status run_worker_describe(struct cli *cli)
{
    struct workflowservice_DescribeWorkerRequest request = {
        .namespace = cli_namespace(cli), .worker_instance_key = cli_value(cli, FLAG_WORKER_INSTANCE_KEY)
    };
    struct workflowservice_DescribeWorkerResponse response = { 0 };
    enum status                                   status = CALL(cli, DescribeWorker, &request, &response);
    return status == ST_OK ? cli_print_json(cli, &pb_workflowservice_DescribeWorkerResponse, &response)
                           : status;
}

const struct cli_command cli_worker_commands[] = {
    { "worker", "list", "lists workers that have sent heartbeats", M(QUERY) | M(LIMIT), 0, run_worker_list,
      0 },
    { "worker", "describe", "prints the last heartbeat of a worker", M(WORKER_INSTANCE_KEY),
      M(WORKER_INSTANCE_KEY), run_worker_describe, M(WORKER_INSTANCE_KEY) },
};
const size_t cli_worker_command_count = ARRAY_COUNT(cli_worker_commands);
