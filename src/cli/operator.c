/* operator.c: perdure operator namespace create, delete, describe, list, update; search-attribute create, list, remove; cluster
 * health, system, describe. */
#include <stdio.h>

#include "cli/cli_internal.h"

#define OPERATOR_CALL(cli, method, request, response)                                                        \
    cli_call((cli), "/temporal.api.operatorservice.v1.OperatorService/" #method,                             \
             &pb_operatorservice_##method##Request, (request), &pb_operatorservice_##method##Response,       \
             (response))

/* --data KEY=TEXT; false: one of them is none, and the error says so. */
static bool data_pair(struct cli *cli, size_t index, struct bytes *ret_key, struct bytes *ret_value)
{
    const char *given = cli->arguments.values[FLAG_DATA][index], *equals = strchr(given, '=');
    if (equals == NULL || equals == given) {
        error_set(&cli->error, ST_INVALID_ARGUMENT, "--data %s is not KEY=TEXT", given);
        return false;
    }
    *ret_key = bytes_of(given, (size_t)(equals - given));
    *ret_value = bytes_of_text(equals + 1);
    return true;
}

static enum status run_namespace_create(struct cli *cli)
{
    struct workflowservice_RegisterNamespaceRequest  request = { .namespace = cli_namespace(cli),
                                                                 .description = cli_value(cli,
                                                                                          FLAG_DESCRIPTION),
                                                                 .owner_email = cli_value(cli, FLAG_EMAIL) };
    struct workflowservice_RegisterNamespaceResponse response = { 0 };
    enum status status = cli_duration(cli, FLAG_RETENTION, &request.workflow_execution_retention_period);
    if (status == ST_OK && request.workflow_execution_retention_period == NULL) {
        request.workflow_execution_retention_period = ARENA_NEW(&cli->arena, struct google_Duration);
        request.workflow_execution_retention_period->seconds = 72 * 3600;
    }
    struct workflowservice_RegisterNamespaceRequest_DataEntry data[CLI_REPEAT_MAX];
    request.data = data;
    for (size_t i = 0; i < cli->arguments.counts[FLAG_DATA] && status == ST_OK; i++)
        if (!data_pair(cli, request.data_count++, &data[i].key, &data[i].value))
            status = ST_INVALID_ARGUMENT;
    if (status == ST_OK)
        status = CALL(cli, RegisterNamespace, &request, &response);
    if (status == ST_OK && cli->json)
        cli_print_done(cli, "");
    else if (status == ST_OK)
        printf("Namespace %.*s registered\n", BYTES_FMT(request.namespace));
    return status;
}

static void print_namespace(struct cli *cli, const struct namespace_NamespaceInfo *info,
                            const struct namespace_NamespaceConfig *config)
{
    static const char *const states[] = { "-", "Registered", "Deprecated", "Deleted" };
    if (info == NULL)
        return;
    printf("Name         %.*s\nId           %.*s\nState        %s\nDescription  %.*s\nOwner        "
           "%.*s\nRetention    %s\n",
           BYTES_FMT(info->name), BYTES_FMT(info->id),
           (size_t)info->state < ARRAY_COUNT(states) ? states[info->state] : "?",
           BYTES_FMT(info->description), BYTES_FMT(info->owner_email),
           cli_duration_text(cli, config == NULL ? NULL : config->workflow_execution_retention_ttl));
    for (size_t i = 0; i < info->data_count; i++)
        printf("Data         %.*s=%.*s\n", BYTES_FMT(info->data[i].key), BYTES_FMT(info->data[i].value));
}

static enum status run_namespace_describe(struct cli *cli)
{
    struct workflowservice_DescribeNamespaceRequest  request = { .namespace = cli_namespace(cli) };
    struct workflowservice_DescribeNamespaceResponse response = { 0 };
    enum status status = CALL(cli, DescribeNamespace, &request, &response);
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
    enum status                                  status;
    do {
        struct workflowservice_ListNamespacesResponse response = { 0 };
        status = CALL(cli, ListNamespaces, &request, &response);
        for (size_t i = 0; status == ST_OK && i < response.namespaces_count; i++) {
            if (!cli->json && cli->list_count != 0)
                putchar('\n');
            cli_list_item(cli, "[");
            if (cli->json)
                status = cli_print_json(cli, &pb_workflowservice_DescribeNamespaceResponse,
                                        &response.namespaces[i]);
            else
                print_namespace(cli, response.namespaces[i].namespace_info, response.namespaces[i].config);
        }
        request.next_page_token = response.next_page_token;
    } while (status == ST_OK && request.next_page_token.size != 0);
    return cli_list_end(cli, status, "[", "]");
}

static enum status run_namespace_update(struct cli *cli)
{
    struct namespace_UpdateNamespaceInfo           info = { .description = cli_value(cli, FLAG_DESCRIPTION),
                                                            .owner_email = cli_value(cli, FLAG_EMAIL) };
    struct namespace_NamespaceConfig               config = { 0 };
    struct workflowservice_UpdateNamespaceRequest  request = { .namespace = cli_namespace(cli) };
    struct workflowservice_UpdateNamespaceResponse response = { 0 };
    enum status status = cli_duration(cli, FLAG_RETENTION, &config.workflow_execution_retention_ttl);
    struct namespace_UpdateNamespaceInfo_DataEntry data[CLI_REPEAT_MAX];
    info.data = data;
    for (size_t i = 0; i < cli->arguments.counts[FLAG_DATA] && status == ST_OK; i++)
        if (!data_pair(cli, info.data_count++, &data[i].key, &data[i].value))
            status = ST_INVALID_ARGUMENT;
    if (cli_given(cli, FLAG_DESCRIPTION) || cli_given(cli, FLAG_EMAIL) || cli_given(cli, FLAG_DATA))
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

static enum status run_namespace_delete(struct cli *cli)
{
    struct operatorservice_DeleteNamespaceRequest  request = { .namespace = cli_namespace(cli) };
    struct operatorservice_DeleteNamespaceResponse response = { 0 };
    enum status status = OPERATOR_CALL(cli, DeleteNamespace, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_operatorservice_DeleteNamespaceResponse, &response);
    printf("Namespace %.*s deleted; until its workflows are gone it is %.*s\n", BYTES_FMT(request.namespace),
           BYTES_FMT(response.deleted_namespace));
    return ST_OK;
}

static enum status run_cluster_health(struct cli *cli)
{
    struct health_HealthCheckRequest  request = { .service = BYTES(
                                                     "temporal.api.workflowservice.v1.WorkflowService") };
    struct health_HealthCheckResponse response = { 0 };
    enum status status = cli_call(cli, "/grpc.health.v1.Health/Check", &pb_health_HealthCheckRequest,
                                  &request, &pb_health_HealthCheckResponse, &response);
    if (status != ST_OK)
        return status;
    bool serving = response.status == health_HealthCheckResponse_SERVING;
    if (cli->json)
        status = cli_print_json(cli, &pb_health_HealthCheckResponse, &response);
    else
        puts(serving ? "SERVING" : "NOT_SERVING");
    if (status == ST_OK && !serving)
        status = error_set(&cli->error, ST_UNAVAILABLE, "the server is not serving");
    return status;
}

static enum status run_cluster_system(struct cli *cli)
{
    struct workflowservice_GetSystemInfoRequest  request = { 0 };
    struct workflowservice_GetSystemInfoResponse response = { 0 };
    enum status                                  status = CALL(cli, GetSystemInfo, &request, &response);
    if (status != ST_OK || cli->json)
        return status == ST_OK ? cli_print_json(cli, &pb_workflowservice_GetSystemInfoResponse, &response)
                               : status;
    printf("ServerVersion  %.*s\n", BYTES_FMT(response.server_version));
    return response.capabilities == NULL
               ? ST_OK
               : cli_print_json(cli, &pb_workflowservice_GetSystemInfoResponse_Capabilities,
                                response.capabilities);
}

static enum status run_cluster_describe(struct cli *cli)
{
    struct workflowservice_GetClusterInfoRequest  request = { 0 };
    struct workflowservice_GetClusterInfoResponse response = { 0 };
    enum status                                   status = CALL(cli, GetClusterInfo, &request, &response);
    if (status != ST_OK || cli->json)
        return status == ST_OK ? cli_print_json(cli, &pb_workflowservice_GetClusterInfoResponse, &response)
                               : status;
    printf("ClusterName       %.*s\nClusterId         %.*s\nServerVersion     %.*s\n",
           BYTES_FMT(response.cluster_name), BYTES_FMT(response.cluster_id),
           BYTES_FMT(response.server_version));
    printf("PersistenceStore  %.*s\nVisibilityStore   %.*s\n", BYTES_FMT(response.persistence_store),
           BYTES_FMT(response.visibility_store));
    return ST_OK;
}

static const struct cli_name value_types[] = {
    { "Text", enums_INDEXED_VALUE_TYPE_TEXT },
    { "Keyword", enums_INDEXED_VALUE_TYPE_KEYWORD },
    { "Int", enums_INDEXED_VALUE_TYPE_INT },
    { "Double", enums_INDEXED_VALUE_TYPE_DOUBLE },
    { "Bool", enums_INDEXED_VALUE_TYPE_BOOL },
    { "Datetime", enums_INDEXED_VALUE_TYPE_DATETIME },
    { "KeywordList", enums_INDEXED_VALUE_TYPE_KEYWORD_LIST },
    { NULL, 0 },
};

static enum status run_attribute_create(struct cli *cli)
{
    struct operatorservice_AddSearchAttributesRequest_SearchAttributesEntry entry = {
        .key = cli_value(cli, FLAG_NAME)
    };
    struct operatorservice_AddSearchAttributesRequest  request = { .namespace = cli_namespace(cli),
                                                                   .search_attributes = &entry,
                                                                   .search_attributes_count = 1 };
    struct operatorservice_AddSearchAttributesResponse response = { 0 };
    enum status status = cli_named_value(cli, FLAG_TYPE, value_types, &entry.value);
    if (status == ST_OK)
        status = OPERATOR_CALL(cli, AddSearchAttributes, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Search attribute added");
    return status;
}

static enum status run_attribute_remove(struct cli *cli)
{
    struct bytes                                          name = cli_value(cli, FLAG_NAME);
    struct operatorservice_RemoveSearchAttributesRequest  request = { .namespace = cli_namespace(cli),
                                                                      .search_attributes = &name,
                                                                      .search_attributes_count = 1 };
    struct operatorservice_RemoveSearchAttributesResponse response = { 0 };
    enum status status = OPERATOR_CALL(cli, RemoveSearchAttributes, &request, &response);
    if (status == ST_OK)
        cli_print_done(cli, "Search attribute removed");
    return status;
}

static void print_attribute(struct bytes name, int32_t type)
{
    const struct cli_name *at = value_types;
    while (at->text != NULL && at->value != type)
        at++;
    printf("%-30.*s  %s\n", BYTES_FMT(name), at->text == NULL ? "?" : at->text);
}

static enum status run_attribute_list(struct cli *cli)
{
    struct operatorservice_ListSearchAttributesRequest  request = { .namespace = cli_namespace(cli) };
    struct operatorservice_ListSearchAttributesResponse response = { 0 };
    enum status status = OPERATOR_CALL(cli, ListSearchAttributes, &request, &response);
    if (status != ST_OK)
        return status;
    if (cli->json)
        return cli_print_json(cli, &pb_operatorservice_ListSearchAttributesResponse, &response);
    for (size_t i = 0; i < response.system_attributes_count; i++)
        print_attribute(response.system_attributes[i].key, response.system_attributes[i].value);
    for (size_t i = 0; i < response.custom_attributes_count; i++)
        print_attribute(response.custom_attributes[i].key, response.custom_attributes[i].value);
    return ST_OK;
}

#define M               CLI_MASK
#define NAMESPACE_FLAGS (M(RETENTION) | M(DESCRIPTION) | M(EMAIL) | M(DATA))
const struct cli_command cli_operator_commands[] = {
    { "operator namespace", "create", "registers a namespace", NAMESPACE_FLAGS, 0, run_namespace_create,
      M(NAMESPACE) },
    { "operator namespace", "delete", "deletes a namespace and all of its workflows", M(YES), 0,
      run_namespace_delete, M(NAMESPACE) },
    { "operator namespace", "describe", "prints a namespace's settings", 0, 0, run_namespace_describe,
      M(NAMESPACE) },
    { "operator namespace", "list", "lists namespaces", 0, 0, run_namespace_list, 0 },
    { "operator namespace", "update", "changes a namespace's settings", NAMESPACE_FLAGS, 0,
      run_namespace_update, M(NAMESPACE) },
    { "operator search-attribute", "create",
      "defines a search attribute: Text, Keyword, Int, Double, Bool, Datetime or KeywordList",
      M(NAME) | M(TYPE), M(NAME) | M(TYPE), run_attribute_create, 0 },
    { "operator search-attribute", "list", "lists search attributes and their types", 0, 0,
      run_attribute_list, 0 },
    { "operator search-attribute", "remove", "removes a search attribute", M(NAME) | M(YES), M(NAME),
      run_attribute_remove, 0 },
    { "operator cluster", "health", "asks whether the server serves", 0, 0, run_cluster_health, 0 },
    { "operator cluster", "system", "prints what the server can do", 0, 0, run_cluster_system, 0 },
    { "operator cluster", "describe", "prints what the server is", 0, 0, run_cluster_describe, 0 },
};
const size_t cli_operator_command_count = ARRAY_COUNT(cli_operator_commands);
