/* task_queue.c: ResetStickyTaskQueue, DescribeTaskQueue, ListTaskQueuePartitions. */
#include "api/api_internal.h"
#include "base/hash.h"

void reset_sticky_task_queue(struct rpc *rpc)
{
    const struct workflowservice_ResetStickyTaskQueueRequest *request = rpc->request;
    struct execution_ref                                      execution;
    if (check_execution(request->execution, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_address(rpc, WORKFLOW_RESET_STICKY, execution.workflow_id,
                execution.has_run_id ? &execution.run_id : NULL);
    rpc_submit(rpc, rpc_answer);
}

/* --- DescribeTaskQueue: what matching knows, and counts of the store --- */

static enum store_task_kind kind_of(int32_t type)
{
    return type == enums_TASK_QUEUE_TYPE_ACTIVITY ? STORE_TASK_ACTIVITY
           : type == enums_TASK_QUEUE_TYPE_NEXUS  ? STORE_TASK_NEXUS
                                                  : STORE_TASK_WORKFLOW;
}

/* The types that are asked about, one after the other: each needs a read. */
struct described {
    int32_t                      type;
    struct queue_name            name;
    struct queue_description     queue;   /* its pollers' texts are matching's, and good for this turn only */
    struct taskqueue_PollerInfo *pollers; /* so they are copied at once */
    struct store_ready_count     counts[MATCHING_PRIORITIES];
};
struct rpc_describe {
    struct described                 *types;
    size_t                            type_count, at;
    bool                              reads; /* counts are asked for */
    struct taskqueue_TaskQueueConfig *config;
};

static struct taskqueue_PollerInfo *pollers_of(struct rpc *rpc, const struct queue_description *description)
{
    struct taskqueue_PollerInfo *pollers = ARENA_NEW_ARRAY(&rpc->arena, struct taskqueue_PollerInfo,
                                                           description->poller_count + 1);
    for (size_t i = 0; i < description->poller_count; i++) {
        const struct poller_record *record = &description->pollers[i];
        pollers[i].identity = arena_copy(&rpc->arena, record->identity);
        pollers[i].last_access_time = timestamp_of_ns(&rpc->arena, record->last_access);
        pollers[i].rate_per_second = record->rate;
        if (record->build_id.size != 0) {
            pollers[i].worker_version_capabilities = ARENA_NEW(&rpc->arena,
                                                               struct common_WorkerVersionCapabilities);
            pollers[i].worker_version_capabilities->build_id = arena_copy(&rpc->arena, record->build_id);
            pollers[i].worker_version_capabilities->use_versioning = record->use_versioning;
        }
        if (record->deployment_name.size != 0) {
            struct deployment_WorkerDeploymentOptions *options =
                ARENA_NEW(&rpc->arena, struct deployment_WorkerDeploymentOptions);
            options->deployment_name = arena_copy(&rpc->arena, record->deployment_name);
            options->build_id = arena_copy(&rpc->arena, record->build_id);
            options->worker_versioning_mode = record->versioning_mode;
            pollers[i].deployment_options = options;
        }
    }
    return pollers;
}

/* Of one priority, or of all: `priority` 0. */
static struct taskqueue_TaskQueueStats *stats_of(struct rpc *rpc, const struct described *described,
                                                 int32_t priority)
{
    struct taskqueue_TaskQueueStats *stats = ARENA_NEW(&rpc->arena, struct taskqueue_TaskQueueStats);
    int64_t                          now = lane_now(rpc_lane(rpc)), oldest = now;
    double                           added = 0, dispatched = 0;
    for (int32_t i = 0; i < MATCHING_PRIORITIES; i++) {
        if (priority != 0 && i != priority)
            continue;
        stats->approximate_backlog_count += described->counts[i].count;
        if (described->counts[i].count != 0)
            oldest = MIN(oldest, described->counts[i].oldest_created);
        added += described->queue.add_rate[i];
        dispatched += described->queue.dispatch_rate[i];
    }
    stats->approximate_backlog_age = duration_of_ns(&rpc->arena, now - oldest);
    stats->tasks_add_rate = (float)added;
    stats->tasks_dispatch_rate = (float)dispatched;
    stats->rate_limiting_active = described->queue.limited;
    return stats;
}

static void stats_by_priority(struct rpc *rpc, const struct described *described,
                              struct workflowservice_DescribeTaskQueueResponse *response)
{
    response->stats_by_priority_key =
        ARENA_NEW_ARRAY(&rpc->arena, struct workflowservice_DescribeTaskQueueResponse_StatsByPriorityKeyEntry,
                        MATCHING_PRIORITIES);
    for (int32_t i = 1; i < MATCHING_PRIORITIES; i++) {
        /* The usual one is always there, others when there is something to say. */
        if (i != PRIORITY_DEFAULT && described->counts[i].count == 0 && described->queue.add_rate[i] == 0 &&
            described->queue.dispatch_rate[i] == 0)
            continue;
        size_t at = response->stats_by_priority_key_count++;
        response->stats_by_priority_key[at].key = i;
        response->stats_by_priority_key[at].value = stats_of(rpc, described, i);
    }
}

static int32_t source_of(enum rate_source source)
{
    return source == RATE_OF_API      ? enums_RATE_LIMIT_SOURCE_API
           : source == RATE_OF_WORKER ? enums_RATE_LIMIT_SOURCE_WORKER
                                      : enums_RATE_LIMIT_SOURCE_SYSTEM;
}

static void answer_usual(struct rpc *rpc, const struct described *described)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    struct workflowservice_DescribeTaskQueueResponse      *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_DescribeTaskQueueResponse);
    response->pollers = described->pollers;
    response->pollers_count = described->queue.poller_count;
    response->versioning_info = ARENA_NEW(&rpc->arena, struct taskqueue_TaskQueueVersioningInfo);
    response->versioning_info->current_version = BYTES("__unversioned__");
    response->effective_rate_limit =
        ARENA_NEW(&rpc->arena, struct workflowservice_DescribeTaskQueueResponse_EffectiveRateLimit);
    response->effective_rate_limit->requests_per_second = (float)described->queue.rate;
    response->effective_rate_limit->rate_limit_source = source_of(described->queue.rate_source);
    const struct taskqueue_TaskQueueConfig *config = rpc->list.describe->config;
    if (request->report_config)
        response->config = rpc->list.describe->config;
    if (config != NULL && config->queue_rate_limit != NULL && config->queue_rate_limit->rate_limit != NULL &&
        !described->queue.known) {
        response->effective_rate_limit->requests_per_second =
            config->queue_rate_limit->rate_limit->requests_per_second;
        response->effective_rate_limit->rate_limit_source = enums_RATE_LIMIT_SOURCE_API;
    }
    if (request->report_stats) {
        response->stats = stats_of(rpc, described, 0);
        stats_by_priority(rpc, described, response);
    }
    if (request->include_task_queue_status) {
        struct taskqueue_TaskQueueStatus *status = ARENA_NEW(&rpc->arena, struct taskqueue_TaskQueueStatus);
        for (size_t i = 0; i < MATCHING_PRIORITIES; i++)
            status->backlog_count_hint += described->counts[i].count;
        status->rate_per_second = described->queue.rate;
        response->task_queue_status = status;
    }
    rpc_reply(rpc, response);
}

static void answer_enhanced(struct rpc *rpc, const struct rpc_describe *self)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    struct workflowservice_DescribeTaskQueueResponse      *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_DescribeTaskQueueResponse);
    struct taskqueue_TaskQueueVersionInfo *info = ARENA_NEW(&rpc->arena,
                                                            struct taskqueue_TaskQueueVersionInfo);
    info->types_info = ARENA_NEW_ARRAY(&rpc->arena, struct taskqueue_TaskQueueVersionInfo_TypesInfoEntry,
                                       self->type_count);
    for (size_t i = 0; i < self->type_count; i++) {
        const struct described             *described = &self->types[i];
        struct taskqueue_TaskQueueTypeInfo *type = ARENA_NEW(&rpc->arena, struct taskqueue_TaskQueueTypeInfo);
        if (request->report_pollers) {
            type->pollers = described->pollers;
            type->pollers_count = described->queue.poller_count;
        }
        if (request->report_stats)
            type->stats = stats_of(rpc, described, 0);
        info->types_info[info->types_info_count].key = described->type;
        info->types_info[info->types_info_count++].value = type;
    }
    if (request->report_task_reachability)
        info->task_reachability = enums_BUILD_ID_TASK_REACHABILITY_REACHABLE;
    response->versions_info = ARENA_NEW(&rpc->arena,
                                        struct workflowservice_DescribeTaskQueueResponse_VersionsInfoEntry);
    response->versions_info[0].value = info;
    response->versions_info_count = 1;
    rpc_reply(rpc, response);
}

/* A count that took long is good for a while: 10 us for each row, so that asking all the time costs a twentieth of a thread.
 * The newest of those that share a slot is kept. */
#define MEMOS_MAX      64 /* per lane */
#define MEMO_ROWS_MIN  10000
#define MEMO_NS_OF_ROW 10000
struct backlog_memo {
    uint64_t                 queue; /* a hash */
    int64_t                  until; /* monotonic */
    struct store_ready_count counts[MATCHING_PRIORITIES];
};

static struct backlog_memo *memo_slot(struct api_lane *lane, const struct queue_name *name,
                                      uint64_t *ret_hash)
{
    *ret_hash = hash_combine(hash_combine(hash_bytes(name->name), (uint64_t)name->namespace_number),
                             (uint64_t)name->kind);
    if (lane->backlog_memos == NULL)
        lane->backlog_memos = xcalloc(MEMOS_MAX, sizeof lane->backlog_memos[0]);
    return &lane->backlog_memos[*ret_hash % MEMOS_MAX];
}

static void memo_put(struct rpc *rpc, const struct described *described)
{
    int64_t rows = 0;
    for (size_t i = 0; i < MATCHING_PRIORITIES; i++)
        rows += described->counts[i].count;
    if (rows < MEMO_ROWS_MIN)
        return;
    uint64_t             hash;
    struct backlog_memo *memo = memo_slot(rpc_at(rpc), &described->name, &hash);
    memo->queue = hash;
    memo->until = lane_monotonic(rpc_lane(rpc)) + rows * MEMO_NS_OF_ROW;
    memcpy(memo->counts, described->counts, sizeof memo->counts);
}

static bool memo_get(struct rpc *rpc, struct described *described)
{
    uint64_t                   hash;
    const struct backlog_memo *memo = memo_slot(rpc_at(rpc), &described->name, &hash);
    if (memo->queue != hash || lane_monotonic(rpc_lane(rpc)) >= memo->until)
        return false;
    memcpy(described->counts, memo->counts, sizeof memo->counts);
    return true;
}

static void describe_next(struct rpc *rpc);

static void counted(struct message *message)
{
    struct store_read   *read = CONTAINER_OF(message, struct store_read, message);
    struct rpc          *rpc = rpc_read_answered(message);
    struct rpc_describe *self = rpc->list.describe;
    if (read->status != ST_OK) {
        rpc_fail(rpc, ST_UNAVAILABLE, "the tasks of the queue could not be counted: %s", read->error.message);
        return;
    }
    struct described *described = &self->types[self->at++];
    for (size_t i = 0; i < read->ready_count_count; i++) {
        const struct store_ready_count *from = &read->ready_counts[i];
        size_t                          slot = (size_t)MIN(MAX(from->priority, 0), MATCHING_PRIORITIES - 1);
        struct store_ready_count       *to = &described->counts[slot];
        if (to->count == 0 || from->oldest_created < to->oldest_created)
            to->oldest_created = from->oldest_created;
        to->count += from->count;
    }
    memo_put(rpc, described);
    describe_next(rpc);
}

/* Counting reads the index of what waits, on a thread of the store: nothing is kept up to date for it. */
static void describe_next(struct rpc *rpc)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    struct rpc_describe                                   *self = rpc->list.describe;
    while (self->reads && self->at < self->type_count && memo_get(rpc, &self->types[self->at]))
        self->at++;
    if (self->reads && self->at < self->type_count) {
        struct store_read *read = rpc_read_new(rpc);
        *read = (struct store_read){
            .kind = STORE_READ_READY_COUNTS,
            .namespace_number = rpc->ns.number,
            .queue = self->types[self->at].name.name,
            .task_kind = self->types[self->at].name.kind,
            .arena = &rpc->arena,
            .home = lane_mailbox(rpc_lane(rpc)),
            .message.run = counted,
        };
        rpc_read_submit(rpc, read);
        return;
    }
    if (request->api_mode == enums_DESCRIBE_TASK_QUEUE_MODE_ENHANCED)
        answer_enhanced(rpc, self);
    else
        answer_usual(rpc, &self->types[0]);
}

static void describe_here(struct rpc *rpc)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    struct rpc_describe                                   *self = ARENA_NEW(&rpc->arena, struct rpc_describe);
    static const int32_t both[] = { enums_TASK_QUEUE_TYPE_WORKFLOW, enums_TASK_QUEUE_TYPE_ACTIVITY };
    const int32_t       *types = &request->task_queue_type;
    self->type_count = 1;
    if (request->api_mode == enums_DESCRIBE_TASK_QUEUE_MODE_ENHANCED) {
        types = request->task_queue_types_count != 0 ? request->task_queue_types : both;
        self->type_count = request->task_queue_types_count != 0
                               ? MIN(request->task_queue_types_count, (size_t)3)
                               : ARRAY_COUNT(both);
    }
    self->reads = request->report_stats || request->include_task_queue_status;
    self->types = ARENA_NEW_ARRAY(&rpc->arena, struct described, self->type_count);
    for (size_t i = 0; i < self->type_count; i++) {
        struct described *described = &self->types[i];
        described->type = types[i];
        described->name = (struct queue_name){
            .namespace_number = rpc->ns.number,
            .name = request->task_queue->name,
            .normal = request->task_queue->kind == enums_TASK_QUEUE_KIND_STICKY
                          ? request->task_queue->normal_name
                          : BYTES_EMPTY,
            .kind = kind_of(types[i]),
        };
        matching_describe(rpc_at(rpc)->matching, &described->name, &described->queue);
        described->pollers = pollers_of(rpc, &described->queue);
    }
    rpc->list = (struct rpc_list){ .describe = self };
    /* Also for a queue that nobody polls, of which matching knows nothing. */
    int32_t type = request->task_queue_type == enums_TASK_QUEUE_TYPE_UNSPECIFIED
                       ? enums_TASK_QUEUE_TYPE_WORKFLOW
                       : request->task_queue_type;
    queue_config_get(rpc, request->task_queue->name, type, &self->config, describe_next);
}

static enum status check_describe(const struct workflowservice_DescribeTaskQueueRequest *request,
                                  struct error                                          *error)
{
    const struct taskqueue_TaskQueue *queue = request->task_queue;
    enum status                       status = check_task_queue(queue, error);
    if (status != ST_OK)
        return status;
    bool sticky = queue->kind == enums_TASK_QUEUE_KIND_STICKY;
    if (sticky && request->api_mode == enums_DESCRIBE_TASK_QUEUE_MODE_ENHANCED)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "TaskQueue: a sticky queue cannot be described in enhanced mode.");
    if (sticky && request->report_stats)
        return error_set(
            error, ST_INVALID_ARGUMENT,
            "TaskQueue: statistics of a sticky queue are not to be had, ask for the normal one.");
    return ST_OK;
}

void describe_task_queue(struct rpc *rpc)
{
    const struct workflowservice_DescribeTaskQueueRequest *request = rpc->request;
    const struct taskqueue_TaskQueue                      *queue = request->task_queue;
    if (check_describe(request, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    bool         sticky = queue->kind == enums_TASK_QUEUE_KIND_STICKY && queue->normal_name.size != 0;
    struct bytes normal = sticky ? queue->normal_name : queue->name;
    rpc_move(rpc, runtime_queue_lane(rpc->home->api->runtime, rpc->ns.number, normal), describe_here);
}

/* --- ListTaskQueuePartitions: there is one --- */

void list_task_queue_partitions(struct rpc *rpc)
{
    const struct workflowservice_ListTaskQueuePartitionsRequest *request = rpc->request;
    if (check_task_queue(request->task_queue, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    struct workflowservice_ListTaskQueuePartitionsResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_ListTaskQueuePartitionsResponse);
    struct taskqueue_TaskQueuePartitionMetadata *one = ARENA_NEW(&rpc->arena,
                                                                 struct taskqueue_TaskQueuePartitionMetadata);
    one->key = request->task_queue->name;
    one->owner_host_name = BYTES("perdure");
    response->activity_task_queue_partitions = response->workflow_task_queue_partitions = one;
    response->activity_task_queue_partitions_count = response->workflow_task_queue_partitions_count = 1;
    rpc_reply(rpc, response);
}
