/* operator.c: perdure operator namespace create, describe, list, update; perdure operator cluster health, system. */
#include <stdio.h>

#include "cli/cli_internal.h"

#define SERVICE "/temporal.api.workflowservice.v1.WorkflowService/"
#define CALL(cli, method, request, response)                                                                      \
    cli_call((cli), SERVICE #method, &pb_workflowservice_##method##Request, (request),                            \
             &pb_workflowservice_##method##Response, (response))

static enum status run_namespace_create(struct cli *cli)
{
    struct workflowservice_RegisterNamespaceRequest  request = { .namespace = cli_namespace(cli),
                                                                 .description = cli_value(cli, FLAG_DESCRIPTION),
                                                                 .owner_email = cli_value(cli, FLAG_EMAIL) };
    struct workflowservice_RegisterNamespaceResponse response = { 0 };
    enum status status = cli_duration(cli, FLAG_RETENTION, &request.workflow_execution_retention_period);
    if (status == ST_OK && request.workflow_execution_retention_period == NULL) {
        request.workflow_execution_retention_period = ARENA_NEW(&cli->arena, struct google_Duration);
        request.workflow_execution_retention_period->seconds = 72 * 3600;
    }
    if (status == ST_OK)
        status = CALL(cli, RegisterNamespace, &request, &response);
    if (status == ST_OK && !cli->json)
        printf("Namespace %.*s registered\n", BYTES_FMT(request.namespace));
    return status;
}

static void print_namespace(struct cli *cli, const struct namespace_NamespaceInfo *info,
                            const struct namespace_NamespaceConfig *config)
{
    static const char *const states[] = { "-", "Registered", "Deprecated", "Deleted" };
    if (info == NULL)
        return;
    printf("Name         %.*s\nId           %.*s\nState        %s\nDescription  %.*s\nOwner        %.*s\nRetention    %s\n",
           BYTES_FMT(info->name), BYTES_FMT(info->id), (size_t)info->state < ARRAY_COUNT(states) ? states[info->state] : "?",
           BYTES_FMT(info->description), BYTES_FMT(info->owner_email),
           cli_duration_text(cli, config == NULL ? NULL : config->workflow_execution_retention_ttl));
}

static enum status run_namespace_describe(struct cli *cli)
{
    struct workflowservice_DescribeNamespaceRequest  request = { .namespace = cli_namespace(cli) };
    struct workflowservice_DescribeNamespaceResponse response = { 0 };
    enum status                                      status = CALL(cli, DescribeNamespace, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_DescribeNamespaceResponse, &response);
    print_namespace(cli, response.namespace_info, response.config);
    return ST_OK;
}

static enum status run_namespace_list(struct cli *cli)
{
    struct workflowservice_ListNamespacesRequest request = { .page_size = 100 };
    bool                                         first = true;
    if (cli->json)
        printf("[");
    do {
        struct workflowservice_ListNamespacesResponse response = { 0 };
        enum status                                   status = CALL(cli, ListNamespaces, &request, &response);
        for (size_t i = 0; status == ST_OK && i < response.namespaces_count; i++, first = false) {
            if (!first)
                printf(cli->json ? "," : "\n");
            if (cli->json)
                status = cli_print_json(cli, &pb_workflowservice_DescribeNamespaceResponse, &response.namespaces[i]);
            else
                print_namespace(cli, response.namespaces[i].namespace_info, response.namespaces[i].config);
        }
        if (status != ST_OK)
            return status;
        request.next_page_token = response.next_page_token;
    } while (request.next_page_token.size != 0);
    if (cli->json)
        printf("]\n");
    return ST_OK;
}

static enum status run_namespace_update(struct cli *cli)
{
    struct namespace_UpdateNamespaceInfo             info = { .description = cli_value(cli, FLAG_DESCRIPTION),
                                                              .owner_email = cli_value(cli, FLAG_EMAIL) };
    struct namespace_NamespaceConfig                 config = { 0 };
    struct workflowservice_UpdateNamespaceRequest    request = { .namespace = cli_namespace(cli) };
    struct workflowservice_UpdateNamespaceResponse   response = { 0 };
    enum status status = cli_duration(cli, FLAG_RETENTION, &config.workflow_execution_retention_ttl);
    if (cli_given(cli, FLAG_DESCRIPTION) || cli_given(cli, FLAG_EMAIL))
        request.update_info = &info;
    if (cli_given(cli, FLAG_RETENTION))
        request.config = &config;
    if (status == ST_OK)
        status = CALL(cli, UpdateNamespace, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_workflowservice_UpdateNamespaceResponse, &response);
    print_namespace(cli, response.namespace_info, response.config);
    return ST_OK;
}

static enum status run_cluster_health(struct cli *cli)
{
    struct health_HealthCheckRequest  request = { .service = BYTES("temporal.api.workflowservice.v1.WorkflowService") };
    struct health_HealthCheckResponse response = { 0 };
    enum status status = cli_call(cli, "/grpc.health.v1.Health/Check", &pb_health_HealthCheckRequest, &request,
                                  &pb_health_HealthCheckResponse, &response);
    if (status != ST_OK)
        return status;
    bool serving = response.status == health_HealthCheckResponse_SERVING;
    printf("%s\n", serving ? "SERVING" : "NOT_SERVING");
    return serving ? ST_OK : error_set(&cli->error, ST_UNAVAILABLE, "the server is not serving");
}

static enum status run_cluster_system(struct cli *cli)
{
    struct workflowservice_GetSystemInfoRequest  request = { 0 };
    struct workflowservice_GetSystemInfoResponse response = { 0 };
    enum status                                  status = CALL(cli, GetSystemInfo, &request, &response);
    return status == ST_OK ? cli_print_json(cli, &pb_workflowservice_GetSystemInfoResponse, &response) : status;
}

#define M CLI_MASK
const struct cli_command cli_operator_commands[] = {
    { "operator namespace", "create", "registers a namespace", M(RETENTION) | M(DESCRIPTION) | M(EMAIL), 0, run_namespace_create },
    { "operator namespace", "describe", "prints a namespace's settings", 0, 0, run_namespace_describe },
    { "operator namespace", "list", "lists namespaces", 0, 0, run_namespace_list },
    { "operator namespace", "update", "changes a namespace's settings", M(RETENTION) | M(DESCRIPTION) | M(EMAIL), 0, run_namespace_update },
    { "operator cluster", "health", "asks whether the server serves", 0, 0, run_cluster_health },
    { "operator cluster", "system", "prints what the server can do", 0, 0, run_cluster_system },
};
const size_t cli_operator_command_count = ARRAY_COUNT(cli_operator_commands);
