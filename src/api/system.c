/* system.c: GetSystemInfo, GetClusterInfo, ListClusters: what this server is and what it can do. */
#include <stdio.h>

#include "api/api_internal.h"

void refuse_method(struct rpc *rpc)
{
    char reason[160];
    snprintf(reason, sizeof(reason), "%s is switched off: %s", (const char *)rpc->method->name.base,
             rpc_entry(rpc->method->index)->note);
    error_refused(&rpc->error, &rpc->arena, reason);
    rpc_fail_error(rpc, &rpc->error);
}

void get_system_info(struct rpc *rpc)
{
    struct workflowservice_GetSystemInfoResponse              *response;
    struct workflowservice_GetSystemInfoResponse_Capabilities *capabilities;
    response = ARENA_NEW(&rpc->arena, struct workflowservice_GetSystemInfoResponse);
    capabilities = ARENA_NEW(&rpc->arena, struct workflowservice_GetSystemInfoResponse_Capabilities);
    capabilities->signal_and_query_header = true;
    capabilities->internal_error_differentiation = true;
    capabilities->activity_failure_include_heartbeat = true;
    capabilities->supports_schedules = true;
    capabilities->encoded_failure_attributes = true;
    capabilities->build_id_based_versioning = true; /* stamps are accepted and stored; rules are refused */
    capabilities->upsert_memo = true;
    capabilities->eager_workflow_start = true;
    capabilities->sdk_metadata = true;
    capabilities->count_group_by_execution_status = true;
    response->server_version = BYTES(API_SERVER_VERSION);
    response->capabilities = capabilities;
    rpc_reply(rpc, response);
}

/* It is stored with the namespaces, of which a server that serves has at least one. */
static struct bytes cluster_id(struct rpc *rpc)
{
    const struct namespace_config *first;
    size_t                         count = lane_namespaces(rpc_lane(rpc), &first);
    for (size_t i = 0; i < count; i++) {
        struct state_Namespace record;
        struct error           error;
        if (pb_decode(&pb_state_Namespace, arena_copy(&rpc->arena, first[i].record), &rpc->arena, &record,
                      &error) == ST_OK &&
            record.cluster_id.size != 0)
            return record.cluster_id;
    }
    return BYTES_EMPTY;
}

void get_cluster_info(struct rpc *rpc)
{
    static const struct {
        const char *name, *range;
    } clients[] = { { "temporal-go", "<2.0.0" },         { "temporal-java", "<2.0.0" },
                    { "temporal-php", "<2.0.0" },        { "temporal-python", "<2.0.0" },
                    { "temporal-typescript", "<2.0.0" }, { "temporal-dotnet", "<2.0.0" },
                    { "temporal-ruby", "<2.0.0" },       { "temporal-cli", "<2.0.0" },
                    { "temporal-ui", "<3.0.0" } };
    const struct api                              *api = rpc->home->api;
    struct workflowservice_GetClusterInfoResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_GetClusterInfoResponse);
    response->supported_clients =
        ARENA_NEW_ARRAY(&rpc->arena, struct workflowservice_GetClusterInfoResponse_SupportedClientsEntry,
                        ARRAY_COUNT(clients));
    response->supported_clients_count = ARRAY_COUNT(clients);
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++) {
        response->supported_clients[i].key = bytes_of_text(clients[i].name);
        response->supported_clients[i].value = bytes_of_text(clients[i].range);
    }
    response->server_version = BYTES(API_SERVER_VERSION);
    response->cluster_id = cluster_id(rpc);
    response->cluster_name = bytes_of_text(api->cluster_name);
    response->history_shard_count = SHARD_COUNT;
    response->persistence_store = bytes_of_text(api->store_name);
    response->visibility_store = bytes_of_text(api->store_name);
    response->version_info = ARENA_NEW(&rpc->arena, struct version_VersionInfo);
    response->version_info->current = ARENA_NEW(&rpc->arena, struct version_ReleaseInfo);
    response->version_info->current->version = BYTES(API_SERVER_VERSION);
    response->version_info->current->notes = BYTES("perdure " PERDURE_VERSION);
    rpc_reply(rpc, response);
}

void list_clusters(struct rpc *rpc)
{
    const struct api                            *api = rpc->home->api;
    struct operatorservice_ListClustersResponse *response =
        ARENA_NEW(&rpc->arena, struct operatorservice_ListClustersResponse);
    response->clusters = ARENA_NEW(&rpc->arena, struct operatorservice_ClusterMetadata);
    response->clusters_count = 1;
    response->clusters[0].cluster_name = bytes_of_text(api->cluster_name);
    response->clusters[0].cluster_id = cluster_id(rpc);
    response->clusters[0].history_shard_count = SHARD_COUNT;
    response->clusters[0].is_connection_enabled = true;
    rpc_reply(rpc, response);
}
