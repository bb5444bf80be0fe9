/* namespace.c: Register-, Describe-, List-, Update- and DeprecateNamespace, and the search attributes of a namespace. What
 * changes something is decided by the singleton (namespace_kind.c); what reads uses the lane's snapshot. */
#include "api/api_internal.h"

/* --- views --- */

static struct namespace_NamespaceInfo *info_of(struct rpc *rpc, const struct state_Namespace *record)
{
    const struct namespace_config  *own = lane_namespace_by_number(rpc_lane(rpc), record->number);
    const struct limits            *limits = own == NULL ? &rpc->home->api->limits : own->limits;
    struct namespace_NamespaceInfo *info = ARENA_NEW(&rpc->arena, struct namespace_NamespaceInfo);
    info->name = record->name;
    info->id = record->id;
    info->state = record->state;
    info->description = record->description;
    info->owner_email = record->owner_email;
    info->data = ARENA_NEW_ARRAY(&rpc->arena, struct namespace_NamespaceInfo_DataEntry,
                                 record->data_count + 1);
    info->data_count = record->data_count;
    for (size_t i = 0; i < record->data_count; i++) {
        info->data[i].key = record->data[i].key;
        info->data[i].value = record->data[i].value;
    }
    info->capabilities = ARENA_NEW(&rpc->arena, struct namespace_NamespaceInfo_Capabilities);
    info->capabilities->eager_workflow_start = true;
    info->capabilities->workflow_pause = true;
    info->capabilities->reported_problems_search_attribute = true;
    info->capabilities->poller_autoscaling = true;
    info->capabilities->worker_heartbeats = true;
    info->capabilities->worker_poll_complete_on_shutdown = true;
    info->supports_schedules = true;
    info->limits = ARENA_NEW(&rpc->arena, struct namespace_NamespaceInfo_Limits);
    info->limits->blob_size_limit_error = (int64_t)limits->payload_size_max;
    info->limits->memo_size_limit_error = (int64_t)limits->memo_size_max;
    return info;
}

static struct namespace_NamespaceConfig *config_of(struct rpc *rpc, const struct state_Namespace *record)
{
    struct namespace_NamespaceConfig *config = ARENA_NEW(&rpc->arena, struct namespace_NamespaceConfig);
    config->workflow_execution_retention_ttl = duration_of_ns(&rpc->arena, record->retention_ns);
    config->bad_binaries = ARENA_NEW(&rpc->arena, struct namespace_BadBinaries);
    config->history_archival_state = enums_ARCHIVAL_STATE_DISABLED;
    config->visibility_archival_state = enums_ARCHIVAL_STATE_DISABLED;
    return config;
}

static struct replication_NamespaceReplicationConfig *replication_of(struct rpc *rpc)
{
    struct replication_NamespaceReplicationConfig *config =
        ARENA_NEW(&rpc->arena, struct replication_NamespaceReplicationConfig);
    config->active_cluster_name = bytes_of_text(rpc->home->api->cluster_name);
    config->clusters = ARENA_NEW(&rpc->arena, struct replication_ClusterReplicationConfig);
    config->clusters[0].cluster_name = config->active_cluster_name;
    config->clusters_count = 1;
    config->state = enums_REPLICATION_STATE_NORMAL;
    return config;
}

/* False: the rpc has failed. */
static bool record_decode(struct rpc *rpc, struct bytes encoded, struct state_Namespace *ret_record)
{
    struct bytes copy = arena_copy(&rpc->arena, encoded);
    if (pb_decode(&pb_state_Namespace, copy, &rpc->arena, ret_record, &rpc->error) == ST_OK)
        return true;
    rpc_fail(rpc, ST_INTERNAL, "the record of a namespace does not decode");
    return false;
}

static void describe_into(struct rpc *rpc, const struct state_Namespace *record,
                          struct workflowservice_DescribeNamespaceResponse *response)
{
    response->namespace_info = info_of(rpc, record);
    response->config = config_of(rpc, record);
    response->replication_config = replication_of(rpc);
}

/* --- reading --- */

void describe_namespace(struct rpc *rpc)
{
    const struct workflowservice_DescribeNamespaceRequest *request = rpc->request;
    struct lane                                           *lane = rpc->home->lane;
    if (request->namespace.size == 0 && request->id.size == 0) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "Namespace or Id is not set on request.");
        return;
    }
    const struct namespace_config *config = request->namespace.size != 0
                                                ? lane_namespace_by_name(lane, request->namespace)
                                                : lane_namespace_by_id(lane, request->id);
    if (config == NULL) {
        error_namespace_not_found(&rpc->error, &rpc->arena,
                                  request->namespace.size != 0 ? request->namespace : request->id);
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    struct state_Namespace record;
    if (!record_decode(rpc, config->record, &record))
        return;
    struct workflowservice_DescribeNamespaceResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_DescribeNamespaceResponse);
    describe_into(rpc, &record, response);
    rpc_reply(rpc, response);
}

void list_namespaces(struct rpc *rpc)
{
    const struct workflowservice_ListNamespacesRequest *request = rpc->request;
    struct token_NamespacePage                          page = { 0 };
    const struct namespace_config                      *configs;
    size_t limit = request->page_size <= 0 || request->page_size > LIST_PAGE_MAX ? NAMESPACE_PAGE_MAX
                                                                                 : (size_t)request->page_size;
    bool   with_deleted = request->namespace_filter != NULL && request->namespace_filter->include_deleted;
    if (request->next_page_token.size != 0 &&
        pb_decode(&pb_token_NamespacePage, request->next_page_token, &rpc->arena, &page, NULL) != ST_OK) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "NextPageToken is not a token of this call.");
        return;
    }
    struct workflowservice_ListNamespacesResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_ListNamespacesResponse);
    size_t count = lane_namespaces(rpc->home->lane, &configs);
    response->namespaces = ARENA_NEW_ARRAY(&rpc->arena, struct workflowservice_DescribeNamespaceResponse,
                                           MIN(limit, count) + 1);
    for (size_t i = 0; i < count; i++) {
        if (bytes_compare(configs[i].name, page.after_name) <= 0 ||
            (configs[i].state == enums_NAMESPACE_STATE_DELETED && !with_deleted))
            continue;
        if (response->namespaces_count == limit) {
            page.after_name = response->namespaces[limit - 1].namespace_info->name;
            response->next_page_token = pb_encode_arena(&pb_token_NamespacePage, &page, &rpc->arena);
            break;
        }
        struct state_Namespace record;
        if (!record_decode(rpc, configs[i].record, &record))
            return;
        describe_into(rpc, &record, &response->namespaces[response->namespaces_count++]);
    }
    rpc_reply(rpc, response);
}

/* --- changing --- */

static struct rpc *rpc_of_namespaces(struct request *request)
{
    return CONTAINER_OF(CONTAINER_OF(request, struct namespaces_request, base), struct rpc, namespaces);
}

static void namespaces_submit(struct rpc *rpc, enum namespaces_command command, struct bytes name,
                              void (*done)(struct request *request))
{
    struct namespaces_request *self = &rpc->namespaces;
    *self = (struct namespaces_request){ .input = rpc->request, .name = name };
    list_init(&self->base.link);
    self->base.kind = ENTITY_NAMESPACES;
    self->base.arena = &rpc->arena;
    self->base.command = command;
    self->base.done = done;
    lane_submit(rpc_lane(rpc), &self->base);
}

static void changed(struct request *request)
{
    struct rpc *rpc = rpc_of_namespaces(request);
    if (request->error.code != ST_OK)
        rpc_fail_error(rpc, &request->error);
    else
        rpc_reply(rpc, NULL);
}

static void updated(struct request *request)
{
    struct rpc            *rpc = rpc_of_namespaces(request);
    struct state_Namespace record;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    if (!record_decode(rpc, rpc->namespaces.record, &record))
        return;
    struct workflowservice_UpdateNamespaceResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_UpdateNamespaceResponse);
    response->namespace_info = info_of(rpc, &record);
    response->config = config_of(rpc, &record);
    response->replication_config = replication_of(rpc);
    rpc_reply(rpc, response);
}

static enum status check_retention(const struct rpc *rpc, const struct google_Duration *retention,
                                   struct error *error)
{
    int64_t     min_ns = rpc->home->api->limits.retention_min_ns;
    int64_t     ns;
    enum status status = duration_check(retention, "WorkflowExecutionRetentionPeriod", &ns, error);
    if (status != ST_OK)
        return status;
    if (ns < min_ns)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "WorkflowExecutionRetentionPeriod must be at least %" PRId64 " seconds.",
                         min_ns / NS_PER_S);
    return ST_OK;
}

/* Data is the owner's, but for what begins with the prefix of limits. `may_remove`: an empty value takes one back. */
static enum status check_limit(struct bytes key, struct bytes value, bool may_remove, struct error *error)
{
    struct limits scratch = limits_default;
    if (!bytes_starts_with(key, LIMIT_DATA_PREFIX))
        return ST_OK;
    struct bytes name = bytes_of(key.base + LIMIT_DATA_PREFIX.size, key.size - LIMIT_DATA_PREFIX.size);
    if (may_remove && value.size == 0)
        return limits_known(name) ? ST_OK : limits_set(&scratch, name, value, error);
    return limits_set(&scratch, name, value, error);
}

static enum status check_register(const struct rpc                                      *rpc,
                                  const struct workflowservice_RegisterNamespaceRequest *request,
                                  struct error                                          *error)
{
    enum status status = check_retention(rpc, request->workflow_execution_retention_period, error);
    if (status != ST_OK || (status = check_id("Namespace", request->namespace, error)) != ST_OK ||
        (status = check_id_optional("Description", request->description, error)) != ST_OK ||
        (status = check_id_optional("OwnerEmail", request->owner_email, error)) != ST_OK)
        return status;
    if (request->is_global_namespace)
        return error_set(error, ST_INVALID_ARGUMENT, "IsGlobalNamespace: this is a single cluster.");
    if (request->data_count > NAMESPACE_DATA_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "Data has more than %d keys.", NAMESPACE_DATA_MAX);
    for (size_t i = 0; i < request->data_count; i++)
        if ((status = check_limit(request->data[i].key, request->data[i].value, false, error)) != ST_OK)
            return status;
    if (request->history_archival_state == enums_ARCHIVAL_STATE_ENABLED ||
        request->visibility_archival_state == enums_ARCHIVAL_STATE_ENABLED)
        return error_set(error, ST_INVALID_ARGUMENT, "ArchivalState: archival is not available.");
    return ST_OK;
}

void register_namespace(struct rpc *rpc)
{
    const struct workflowservice_RegisterNamespaceRequest *request = rpc->request;
    if (check_register(rpc, request, &rpc->error) != ST_OK)
        rpc_fail_error(rpc, &rpc->error);
    else
        namespaces_submit(rpc, NAMESPACES_REGISTER, request->namespace, changed);
}

static enum status check_update(const struct rpc                                    *rpc,
                                const struct workflowservice_UpdateNamespaceRequest *request,
                                struct error                                        *error)
{
    const struct namespace_UpdateNamespaceInfo *info = request->update_info;
    enum status                                 status;
    if (info != NULL) {
        if ((status = check_id_optional("Description", info->description, error)) != ST_OK ||
            (status = check_id_optional("OwnerEmail", info->owner_email, error)) != ST_OK)
            return status;
        if (info->state < enums_NAMESPACE_STATE_UNSPECIFIED || info->state > enums_NAMESPACE_STATE_DEPRECATED)
            return error_set(error, ST_INVALID_ARGUMENT, "UpdateInfo.State cannot be set to %d.",
                             info->state);
        for (size_t i = 0; i < info->data_count; i++)
            if ((status = check_limit(info->data[i].key, info->data[i].value, true, error)) != ST_OK)
                return status;
    }
    if (request->promote_namespace)
        return error_set(error, ST_INVALID_ARGUMENT, "PromoteNamespace: this is a single cluster.");
    if (request->config != NULL && request->config->workflow_execution_retention_ttl != NULL)
        return check_retention(rpc, request->config->workflow_execution_retention_ttl, error);
    return ST_OK;
}

void update_namespace(struct rpc *rpc)
{
    const struct workflowservice_UpdateNamespaceRequest *request = rpc->request;
    if (check_update(rpc, request, &rpc->error) != ST_OK)
        rpc_fail_error(rpc, &rpc->error);
    else
        namespaces_submit(rpc, NAMESPACES_UPDATE, request->namespace, updated);
}

void deprecate_namespace(struct rpc *rpc)
{
    namespaces_submit(rpc, NAMESPACES_DEPRECATE, rpc->ns.name, changed);
}

static void deleted(struct request *request)
{
    struct rpc            *rpc = rpc_of_namespaces(request);
    struct state_Namespace record;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    if (!record_decode(rpc, rpc->namespaces.record, &record))
        return;
    struct operatorservice_DeleteNamespaceResponse *response =
        ARENA_NEW(&rpc->arena, struct operatorservice_DeleteNamespaceResponse);
    response->deleted_namespace = record.name;
    rpc_reply(rpc, response);
}

void delete_namespace(struct rpc *rpc)
{
    const struct operatorservice_DeleteNamespaceRequest *request = rpc->request;
    const struct namespace_config                       *config = NULL;
    int64_t                                              delay;
    struct bytes name = request->namespace, id = request->namespace_id;
    if ((name.size == 0) == (id.size == 0)) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "One of Namespace and NamespaceId is to be set on request.");
        return;
    }
    if (duration_check(request->namespace_delete_delay, "NamespaceDeleteDelay", &delay, &rpc->error) !=
        ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    if (id.size != 0) {
        config = lane_namespace_by_id(rpc_lane(rpc), id);
        if (config == NULL || config->state == enums_NAMESPACE_STATE_DELETED) {
            error_namespace_not_found(&rpc->error, &rpc->arena, id);
            rpc_fail_error(rpc, &rpc->error);
            return;
        }
        name = arena_copy(&rpc->arena, config->name);
    }
    namespaces_submit(rpc, NAMESPACES_DELETE, name, deleted);
}

/* --- search attributes (OperatorService) --- */

static bool is_system_attribute(struct bytes name)
{
    if (search_attribute_system(name) != NULL)
        return true;
    return bytes_starts_with(name, BYTES("Temporal"));
}

void add_search_attributes(struct rpc *rpc)
{
    const struct operatorservice_AddSearchAttributesRequest *request = rpc->request;
    if (request->search_attributes_count == 0) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "SearchAttributes are not set on request.");
        return;
    }
    for (size_t i = 0; i < request->search_attributes_count; i++) {
        struct bytes name = request->search_attributes[i].key;
        int32_t      type = request->search_attributes[i].value;
        if (check_id("SearchAttributes name", name, &rpc->error) != ST_OK) {
            rpc_fail_error(rpc, &rpc->error);
            return;
        }
        if (is_system_attribute(name)) {
            rpc_fail(rpc, ST_INVALID_ARGUMENT, "Search attribute %.*s is reserved by the system.",
                     BYTES_FMT(name));
            return;
        }
        if (type <= enums_INDEXED_VALUE_TYPE_UNSPECIFIED || type > enums_INDEXED_VALUE_TYPE_KEYWORD_LIST) {
            rpc_fail(rpc, ST_INVALID_ARGUMENT, "Search attribute %.*s has no known type.", BYTES_FMT(name));
            return;
        }
    }
    namespaces_submit(rpc, NAMESPACES_ADD_ATTRIBUTES, rpc->ns.name, changed);
}

void remove_search_attributes(struct rpc *rpc)
{
    const struct operatorservice_RemoveSearchAttributesRequest *request = rpc->request;
    if (request->search_attributes_count == 0) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "SearchAttributes are not set on request.");
        return;
    }
    for (size_t i = 0; i < request->search_attributes_count; i++) {
        if (is_system_attribute(request->search_attributes[i])) {
            rpc_fail(rpc, ST_INVALID_ARGUMENT, "Search attribute %.*s is one of the system's.",
                     BYTES_FMT(request->search_attributes[i]));
            return;
        }
    }
    namespaces_submit(rpc, NAMESPACES_REMOVE_ATTRIBUTES, rpc->ns.name, changed);
}

void list_search_attributes(struct rpc *rpc)
{
    const struct namespace_config *config = lane_namespace_by_number(rpc->home->lane, rpc->ns.number);
    struct state_Namespace         record = { 0 };
    if (config != NULL && !record_decode(rpc, config->record, &record))
        return;
    struct operatorservice_ListSearchAttributesResponse *response =
        ARENA_NEW(&rpc->arena, struct operatorservice_ListSearchAttributesResponse);
    response->custom_attributes = ARENA_NEW_ARRAY(
        &rpc->arena, struct operatorservice_ListSearchAttributesResponse_CustomAttributesEntry,
        record.search_attributes_count + 1);
    response->custom_attributes_count = record.search_attributes_count;
    for (size_t i = 0; i < record.search_attributes_count; i++) {
        response->custom_attributes[i].key = record.search_attributes[i].key;
        response->custom_attributes[i].value = record.search_attributes[i].value;
    }
    response->system_attributes = ARENA_NEW_ARRAY(
        &rpc->arena, struct operatorservice_ListSearchAttributesResponse_SystemAttributesEntry,
        system_attribute_count);
    response->system_attributes_count = system_attribute_count;
    for (size_t i = 0; i < system_attribute_count; i++) {
        response->system_attributes[i].key = system_attributes[i].name;
        response->system_attributes[i].value = system_attributes[i].type;
    }
    rpc_reply(rpc, response);
}

/* --- the namespaces a server starts with --- */

struct ensure {
    struct errand                                   errand;
    struct namespaces_request                       request;
    struct workflowservice_RegisterNamespaceRequest input;
    void (*done)(void *context, const struct error *error);
    void *context;
};

static void ensured(struct request *request)
{
    struct ensure *self = CONTAINER_OF(CONTAINER_OF(request, struct namespaces_request, base), struct ensure,
                                       request);
    struct error   error = request->error;
    if (error.code == ST_ALREADY_EXISTS)
        error_clear(&error);
    error.detail_type = BYTES_EMPTY;
    self->done(self->context, &error);
    errand_end(&self->errand);
}

void api_ensure_namespace(struct lane *lane, struct bytes name, int64_t retention_ns,
                          void (*done)(void *context, const struct error *error), void *context)
{
    struct ensure *self = CONTAINER_OF(errand_new(api_lane_of(lane), sizeof *self), struct ensure, errand);
    self->done = done;
    self->context = context;
    self->input.namespace = arena_copy(&self->errand.arena, name);
    self->input.workflow_execution_retention_period = duration_of_ns(&self->errand.arena, retention_ns);
    self->request.input = &self->input;
    self->request.name = self->input.namespace;
    struct request *request = &self->request.base;
    list_init(&request->link);
    request->kind = ENTITY_NAMESPACES;
    request->arena = &self->errand.arena;
    request->command = NAMESPACES_REGISTER;
    request->done = ensured;
    lane_submit(lane, request);
}
