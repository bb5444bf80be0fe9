/* search_attributes.c: GetSearchAttributes, and the engine's checks for a call's namespace. */
#include "api/api_internal.h"

enum status rpc_check_search_attributes(struct rpc *rpc, struct bytes encoded, struct error *error)
{
    const struct namespace_config *config = lane_namespace_by_number(rpc_lane(rpc), rpc->ns.number);
    enum status                    status = search_attributes_fit(config, encoded, &rpc->arena, error);
    return status == ST_OK ? search_attributes_check(config, encoded, &rpc->arena, error) : status;
}

struct bytes rpc_typed_search_attributes(struct rpc *rpc, struct bytes encoded)
{
    return search_attributes_typed(lane_namespace_by_number(rpc_lane(rpc), rpc->ns.number), encoded,
                                   &rpc->arena);
}

void get_search_attributes(struct rpc *rpc)
{
    struct workflowservice_GetSearchAttributesResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_GetSearchAttributesResponse);
    response->keys = ARENA_NEW_ARRAY(&rpc->arena,
                                     struct workflowservice_GetSearchAttributesResponse_KeysEntry,
                                     system_attribute_count);
    response->keys_count = system_attribute_count;
    for (size_t i = 0; i < system_attribute_count; i++) {
        response->keys[i].key = system_attributes[i].name;
        response->keys[i].value = system_attributes[i].type;
    }
    rpc_reply(rpc, response);
}
