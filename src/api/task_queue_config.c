/* task_queue_config.c: UpdateTaskQueueConfig, and how settings reach the queues.
 *
 * Settings are a record on the queue's own lane (task_queue_kind.h). A queue that becomes known asks for its record before
 * it hands out anything; a change is told to it when it is durable.
 */
#include "api/api_internal.h"
#include "api/task_queue_kind.h"

#define REASON_SIZE_MAX 1000

static enum store_task_kind kind_of(int32_t type)
{
    return type == enums_TASK_QUEUE_TYPE_ACTIVITY ? STORE_TASK_ACTIVITY
           : type == enums_TASK_QUEUE_TYPE_NEXUS  ? STORE_TASK_NEXUS
                                                  : STORE_TASK_WORKFLOW;
}

static int32_t type_of(enum store_task_kind kind)
{
    return kind == STORE_TASK_ACTIVITY ? enums_TASK_QUEUE_TYPE_ACTIVITY
           : kind == STORE_TASK_NEXUS  ? enums_TASK_QUEUE_TYPE_NEXUS
                                       : enums_TASK_QUEUE_TYPE_WORKFLOW;
}

static bool limit_of(const struct taskqueue_RateLimitConfig *config, double *ret_rate)
{
    if (config == NULL || config->rate_limit == NULL)
        return false;
    *ret_rate = (double)config->rate_limit->requests_per_second;
    return true;
}

static void configure(struct api_lane *lane, const struct queue_name *name,
                      const struct taskqueue_TaskQueueConfig *config, struct arena *arena)
{
    struct queue_config set = { 0 };
    if (config != NULL) {
        set.has_rate = limit_of(config->queue_rate_limit, &set.rate);
        set.has_key_rate = limit_of(config->fairness_keys_rate_limit_default, &set.key_rate);
        set.weight_count = config->fairness_weight_overrides_count;
        set.weights = ARENA_NEW_ARRAY(arena, struct queue_weight, set.weight_count + 1);
        for (size_t i = 0; i < set.weight_count; i++) {
            float weight = config->fairness_weight_overrides[i].value;
            set.weights[i] = (struct queue_weight){ config->fairness_weight_overrides[i].key,
                                                    fairness_weight_stored(weight) };
        }
    }
    matching_configure(lane->matching, name, &set);
}

static void request_fill(struct task_queue_request *request, struct arena *arena, int64_t namespace_number,
                         struct bytes name, int32_t type, enum task_queue_command command)
{
    *request = (struct task_queue_request){ .type = type };
    list_init(&request->base.link);
    request->base.arena = arena;
    request->base.kind = ENTITY_TASK_QUEUE;
    request->base.namespace_number = namespace_number;
    request->base.business_id = name;
    request->base.command = (int)command;
}

/* --- a queue became known --- */

struct asking {
    struct errand             errand;
    struct task_queue_request request;
    struct api_lane          *lane;
    struct queue_name         name;
};

static void asked(struct request *request)
{
    struct asking *self = CONTAINER_OF(CONTAINER_OF(request, struct task_queue_request, base), struct asking,
                                       request);
    if (request->error.code == ST_OK)
        configure(self->lane, &self->name, self->request.config, &self->errand.arena);
    else
        matching_configure_failed(self->lane->matching, &self->name);
    errand_end(&self->errand);
}

void queue_config_ask(void *context, const struct queue_name *name)
{
    struct api_lane *lane = context;
    struct asking   *self = CONTAINER_OF(errand_new(lane, sizeof *self), struct asking, errand);
    self->lane = lane;
    self->name = *name;
    self->name.name = arena_copy(&self->errand.arena, name->name);
    request_fill(&self->request, &self->errand.arena, name->namespace_number, self->name.name,
                 type_of(name->kind), TASK_QUEUE_GET);
    self->request.base.done = asked;
    lane_submit(lane->lane, &self->request.base);
}

/* --- a call wants to see it --- */

struct wanting {
    struct task_queue_request          request;
    struct rpc                        *rpc;
    struct taskqueue_TaskQueueConfig **config;
    void (*ready)(struct rpc *rpc);
};

static void got(struct request *request)
{
    struct wanting *self = CONTAINER_OF(CONTAINER_OF(request, struct task_queue_request, base),
                                        struct wanting, request);
    if (request->error.code != ST_OK) {
        rpc_fail_error(self->rpc, &request->error);
        return;
    }
    *self->config = self->request.config;
    self->ready(self->rpc);
}

void queue_config_get(struct rpc *rpc, struct bytes name, int32_t type,
                      struct taskqueue_TaskQueueConfig **ret_config, void (*ready)(struct rpc *rpc))
{
    struct wanting *self = ARENA_NEW(&rpc->arena, struct wanting);
    self->rpc = rpc;
    self->config = ret_config;
    self->ready = ready;
    request_fill(&self->request, &rpc->arena, rpc->ns.number, name, type, TASK_QUEUE_GET);
    self->request.base.done = got;
    lane_submit(rpc_lane(rpc), &self->request.base);
}

/* --- UpdateTaskQueueConfig --- */

static enum status check_limit(
    const char *field, const struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate *update,
    bool of_workflows, struct error *error)
{
    if (update == NULL)
        return ST_OK;
    if (of_workflows)
        return error_set(error, ST_INVALID_ARGUMENT, "%s: workflow task queues have no rate limit.", field);
    if (update->rate_limit != NULL && !(update->rate_limit->requests_per_second >= 0))
        return error_set(error, ST_INVALID_ARGUMENT, "%s.RateLimit.RequestsPerSecond must not be negative.",
                         field);
    if (update->reason.size > REASON_SIZE_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "%s.Reason exceeds %d bytes.", field, REASON_SIZE_MAX);
    return ST_OK;
}

static int by_text(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* No key is set and unset at once. */
static enum status check_distinct(struct rpc                                                *rpc,
                                  const struct workflowservice_UpdateTaskQueueConfigRequest *request)
{
    size_t        unset = request->unset_fairness_weight_overrides_count;
    struct bytes *keys = ARENA_NEW_ARRAY(&rpc->arena, struct bytes, unset + 1);
    for (size_t i = 0; i < unset; i++)
        keys[i] = request->unset_fairness_weight_overrides[i];
    qsort(keys, unset, sizeof keys[0], by_text);
    for (size_t i = 0; i < request->set_fairness_weight_overrides_count && unset != 0; i++) {
        struct bytes key = request->set_fairness_weight_overrides[i].key;
        if (bsearch(&key, keys, unset, sizeof keys[0], by_text) != NULL)
            return error_set(&rpc->error, ST_INVALID_ARGUMENT,
                             "UnsetFairnessWeightOverrides: \"%.*s\" is set by the same request.",
                             BYTES_FMT(key));
    }
    return ST_OK;
}

static enum status check_weights(const struct workflowservice_UpdateTaskQueueConfigRequest *request,
                                 struct error                                              *error)
{
    size_t set = request->set_fairness_weight_overrides_count,
           unset = request->unset_fairness_weight_overrides_count;
    if (set + unset > WEIGHTS_MAX)
        return error_set(
            error, ST_INVALID_ARGUMENT,
            "SetFairnessWeightOverrides and UnsetFairnessWeightOverrides have %zu keys, the limit is %d.",
            set + unset, WEIGHTS_MAX);
    for (size_t i = 0; i < set; i++) {
        struct bytes key = request->set_fairness_weight_overrides[i].key;
        if (key.size == 0)
            return error_set(error, ST_INVALID_ARGUMENT, "SetFairnessWeightOverrides: a key is empty.");
        if (key.size > FAIRNESS_KEY_SIZE_MAX)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "SetFairnessWeightOverrides: a key exceeds %d bytes.", FAIRNESS_KEY_SIZE_MAX);
        if (!(request->set_fairness_weight_overrides[i].value > 0))
            return error_set(error, ST_INVALID_ARGUMENT,
                             "SetFairnessWeightOverrides: the weight of \"%.*s\" must be greater than zero.",
                             BYTES_FMT(key));
    }
    return ST_OK;
}

static enum status check_update(const struct workflowservice_UpdateTaskQueueConfigRequest *request,
                                struct error                                              *error)
{
    struct taskqueue_TaskQueue queue = { .name = request->task_queue };
    enum status                status = check_task_queue(&queue, error);
    bool                       of_workflows = kind_of(request->task_queue_type) == STORE_TASK_WORKFLOW;
    if (status == ST_OK)
        status = check_id_optional("Identity", request->identity, error);
    if (status == ST_OK)
        status = check_limit("UpdateQueueRateLimit", request->update_queue_rate_limit, of_workflows, error);
    if (status == ST_OK)
        status = check_limit("UpdateFairnessKeyRateLimitDefault",
                             request->update_fairness_key_rate_limit_default, of_workflows, error);
    return status == ST_OK ? check_weights(request, error) : status;
}

static void updated(struct request *base)
{
    struct wanting *self = CONTAINER_OF(CONTAINER_OF(base, struct task_queue_request, base), struct wanting,
                                        request);
    struct rpc     *rpc = self->rpc;
    if (base->error.code != ST_OK) {
        rpc_fail_error(rpc, &base->error);
        return;
    }
    struct queue_name name = { rpc->ns.number, base->business_id, BYTES_EMPTY, kind_of(self->request.type) };
    configure(rpc_at(rpc), &name, self->request.config, &rpc->arena);
    struct workflowservice_UpdateTaskQueueConfigResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_UpdateTaskQueueConfigResponse);
    response->config = self->request.config;
    rpc_reply(rpc, response);
}

static void update_here(struct rpc *rpc)
{
    const struct workflowservice_UpdateTaskQueueConfigRequest *request = rpc->request;
    struct wanting                                            *self = ARENA_NEW(&rpc->arena, struct wanting);
    self->rpc = rpc;
    request_fill(&self->request, &rpc->arena, rpc->ns.number, request->task_queue,
                 type_of(kind_of(request->task_queue_type)), TASK_QUEUE_UPDATE);
    self->request.input = request;
    self->request.base.done = updated;
    lane_submit(rpc_lane(rpc), &self->request.base);
}

void update_task_queue_config(struct rpc *rpc)
{
    const struct workflowservice_UpdateTaskQueueConfigRequest *request = rpc->request;
    if (check_update(request, &rpc->error) != ST_OK || check_distinct(rpc, request) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_move(rpc, runtime_queue_lane(rpc->home->api->runtime, rpc->ns.number, request->task_queue),
             update_here);
}
