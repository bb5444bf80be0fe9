/* worker.c: workers: their heartbeats, and their goodbye.
 *
 * Heartbeats are kept by lane 0 for all of the server, in memory only: a worker says it again within a minute. The number of
 * workers and their bytes are limited; the one that was silent for longest makes room. A worker that says that it has shut
 * down is forgotten at once, and one that died without a word after an hour.
 */
#include "api/api_internal.h"
#include "api/list_filter.h"
#include "base/hash.h"
#include "engine/failure.h"

#define WORKERS_MAX         10000
#define WORKERS_SIZE_MAX    (32U << 20)
#define WORKER_SIZE_MAX     (16U << 10) /* of one heartbeat */
#define WORKER_SILENT_NS    (3600 * NS_PER_S)
#define WORKER_PAGE_DEFAULT 100
#define WORKER_PAGE_MAX     1000
#define GOODBYES_MAX        4096 /* keys of workers that shut down, per lane: a power of two */
#define GOODBYE_NS          (120 * NS_PER_S)

struct worker {
    struct table_link table;
    struct list       age;                     /* by when it was heard of, oldest first */
    int64_t           namespace_number, heard; /* monotonic */
    struct bytes      key, record; /* behind the struct; the record is an encoded WorkerHeartbeat */
};
struct worker_registry {
    struct table by_key;
    struct list  by_age;
    size_t       size;
};

/* --- the registry --- */

struct worker_registry *workers_new(void)
{
    struct worker_registry *self = xcalloc(1, sizeof *self);
    table_init(&self->by_key);
    list_init(&self->by_age);
    return self;
}

static void worker_forget(struct worker_registry *self, struct worker *worker)
{
    self->size -= sizeof *worker + worker->key.size + worker->record.size;
    table_remove(&self->by_key, &worker->table);
    list_remove(&worker->age);
    free(worker);
}

void workers_free(struct worker_registry *self)
{
    while (!list_empty(&self->by_age))
        worker_forget(self, LIST_ENTRY(self->by_age.next, struct worker, age));
    table_release(&self->by_key);
    free(self);
}

static uint64_t worker_hash(int64_t namespace_number, struct bytes key)
{
    return hash_combine(hash_bytes(key), (uint64_t)namespace_number);
}

static struct worker *worker_find(const struct worker_registry *self, int64_t namespace_number,
                                  struct bytes key)
{
    uint64_t hash = worker_hash(namespace_number, key);
    for (struct table_link *at = table_first(&self->by_key, hash); at != NULL; at = table_next(at)) {
        struct worker *worker = CONTAINER_OF(at, struct worker, table);
        if (worker->namespace_number == namespace_number && bytes_equal(worker->key, key))
            return worker;
    }
    return NULL;
}

/* Those that are silent for too long, and as many of the oldest as there are too many. */
static void workers_expire(struct worker_registry *self, int64_t now)
{
    while (!list_empty(&self->by_age)) {
        struct worker *oldest = LIST_ENTRY(self->by_age.next, struct worker, age);
        if (now - oldest->heard < WORKER_SILENT_NS && self->by_key.count <= WORKERS_MAX &&
            self->size <= WORKERS_SIZE_MAX)
            return;
        worker_forget(self, oldest);
    }
}

static void worker_heard(struct rpc *rpc, struct worker_registry *self,
                         const struct worker_WorkerHeartbeat *heartbeat)
{
    struct bytes   key = heartbeat->worker_instance_key;
    struct worker *old = worker_find(self, rpc->ns.number, key);
    if (old != NULL)
        worker_forget(self, old);
    if (heartbeat->status == enums_WORKER_STATUS_SHUTDOWN)
        return;
    struct bytes   record = pb_encode_arena(&pb_worker_WorkerHeartbeat, heartbeat, &rpc->arena);
    struct worker *worker = xmalloc(sizeof *worker + key.size + record.size);
    uint8_t       *text = (uint8_t *)(worker + 1);
    *worker = (struct worker){ .namespace_number = rpc->ns.number,
                               .heard = lane_monotonic(rpc_lane(rpc)),
                               .key = bytes_of(text, key.size),
                               .record = bytes_of(text + key.size, record.size) };
    memcpy(text, key.base, key.size);
    memcpy(text + key.size, record.base, record.size);
    list_init(&worker->age);
    list_append(&self->by_age, &worker->age);
    table_insert(&self->by_key, &worker->table, worker_hash(rpc->ns.number, key));
    self->size += sizeof *worker + key.size + record.size;
    workers_expire(self, worker->heard);
}

static struct worker_registry *registry_of(struct rpc *rpc)
{
    struct api *api = rpc->home->api;
    assert(rpc_at(rpc) == &api->lanes[0]);
    workers_expire(api->workers, lane_monotonic(rpc_lane(rpc)));
    return api->workers;
}

static struct lane *registry_lane(const struct rpc *rpc)
{
    return rpc->home->api->lanes[0].lane;
}

static enum status check_heartbeat(struct rpc *rpc, const struct worker_WorkerHeartbeat *heartbeat)
{
    enum status status = check_id("WorkerInstanceKey", heartbeat->worker_instance_key, &rpc->error);
    if (status != ST_OK)
        return status;
    size_t size = pb_encode_arena(&pb_worker_WorkerHeartbeat, heartbeat, &rpc->arena).size;
    if (size > WORKER_SIZE_MAX)
        return error_set(&rpc->error, ST_INVALID_ARGUMENT, "WorkerHeartbeat has %zu bytes, the limit is %u.",
                         size, WORKER_SIZE_MAX);
    return ST_OK;
}

/* --- RecordWorkerHeartbeat --- */

static void record_here(struct rpc *rpc)
{
    const struct workflowservice_RecordWorkerHeartbeatRequest *request = rpc->request;
    struct worker_registry                                    *registry = registry_of(rpc);
    for (size_t i = 0; i < request->worker_heartbeat_count; i++)
        worker_heard(rpc, registry, &request->worker_heartbeat[i]);
    rpc_reply(rpc, NULL);
}

void record_worker_heartbeat(struct rpc *rpc)
{
    const struct workflowservice_RecordWorkerHeartbeatRequest *request = rpc->request;
    for (size_t i = 0; i < request->worker_heartbeat_count; i++) {
        if (check_heartbeat(rpc, &request->worker_heartbeat[i]) != ST_OK) {
            rpc_fail_error(rpc, &rpc->error);
            return;
        }
    }
    rpc_move(rpc, registry_lane(rpc), record_here);
}

/* --- DescribeWorker --- */

static void describe_here(struct rpc *rpc)
{
    const struct workflowservice_DescribeWorkerRequest *request = rpc->request;
    const struct worker *worker = worker_find(registry_of(rpc), rpc->ns.number, request->worker_instance_key);
    struct workflowservice_DescribeWorkerResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_DescribeWorkerResponse);
    if (worker == NULL) {
        (void)error_not_found(&rpc->error, &rpc->arena, "There is no worker with this WorkerInstanceKey.");
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    response->worker_info = ARENA_NEW(&rpc->arena, struct worker_WorkerInfo);
    response->worker_info->worker_heartbeat = ARENA_NEW(&rpc->arena, struct worker_WorkerHeartbeat);
    if (pb_decode(&pb_worker_WorkerHeartbeat, arena_copy(&rpc->arena, worker->record), &rpc->arena,
                  response->worker_info->worker_heartbeat, &rpc->error) != ST_OK)
        panic("a heartbeat that was encoded does not decode: %s", rpc->error.message);
    rpc_reply(rpc, response);
}

void describe_worker(struct rpc *rpc)
{
    rpc_move(rpc, registry_lane(rpc), describe_here);
}

/* --- ListWorkers, CountWorkers --- */

static struct store_column_value text_value(struct bytes text)
{
    return (struct store_column_value){ .is_null = text.size == 0,
                                        .value = { .is_text = true, .text = text } };
}

static struct store_column_value time_value(const struct google_Timestamp *time)
{
    return (struct store_column_value){ .is_null = time == NULL,
                                        .value.number = time == NULL ? 0 : timestamp_ns(time) };
}

static struct store_column_value worker_column(const void *row, enum store_column column)
{
    static const struct worker_WorkerHostInfo              no_host;
    static const struct deployment_WorkerDeploymentVersion no_version;
    const struct worker_WorkerHeartbeat                   *worker = row;
    const struct worker_WorkerHostInfo *host = worker->host_info != NULL ? worker->host_info : &no_host;
    const struct deployment_WorkerDeploymentVersion *version = worker->deployment_version != NULL
                                                                   ? worker->deployment_version
                                                                   : &no_version;
    switch ((int)column) {
    case WORKER_INSTANCE_KEY:
        return text_value(worker->worker_instance_key);
    case WORKER_IDENTITY:
        return text_value(worker->worker_identity);
    case WORKER_TASK_QUEUE:
        return text_value(worker->task_queue);
    case WORKER_HOST_NAME:
        return text_value(host->host_name);
    case WORKER_DEPLOYMENT_NAME:
        return text_value(version->deployment_name);
    case WORKER_BUILD_ID:
        return text_value(version->build_id);
    case WORKER_SDK_NAME:
        return text_value(worker->sdk_name);
    case WORKER_SDK_VERSION:
        return text_value(worker->sdk_version);
    case WORKER_STATUS:
        return (struct store_column_value){ .value.number = worker->status };
    case WORKER_START_TIME:
        return time_value(worker->start_time);
    case WORKER_HEARTBEAT_TIME:
        return time_value(worker->heartbeat_time);
    default:
        panic("workers have no column %d", (int)column);
    }
}

static int by_instance_key(const void *a, const void *b)
{
    return bytes_compare(((const struct worker_WorkerHeartbeat *)a)->worker_instance_key,
                         ((const struct worker_WorkerHeartbeat *)b)->worker_instance_key);
}

/* Those of the namespace behind a key that the filter lets through, in the order of their keys. */
static size_t workers_select(struct rpc *rpc, const struct store_filter *filter, struct bytes after,
                             struct worker_WorkerHeartbeat **ret_workers)
{
    struct worker_registry        *registry = registry_of(rpc);
    struct worker_WorkerHeartbeat *found = ARENA_NEW_ARRAY(&rpc->arena, struct worker_WorkerHeartbeat,
                                                           registry->by_key.count + 1);
    size_t                         count = 0;
    LIST_FOR_EACH (worker, &registry->by_age, struct worker, age) {
        if (worker->namespace_number != rpc->ns.number ||
            (after.size != 0 && bytes_compare(worker->key, after) <= 0))
            continue;
        if (pb_decode(&pb_worker_WorkerHeartbeat, arena_copy(&rpc->arena, worker->record), &rpc->arena,
                      &found[count], &rpc->error) != ST_OK)
            panic("a heartbeat that was encoded does not decode: %s", rpc->error.message);
        count += store_filter_matches(filter, &found[count], worker_column) ? 1 : 0;
    }
    qsort(found, count, sizeof found[0], by_instance_key);
    *ret_workers = found;
    return count;
}

static struct worker_WorkerListInfo list_info(const struct worker_WorkerHeartbeat *worker)
{
    struct worker_WorkerListInfo info = { .worker_instance_key = worker->worker_instance_key,
                                          .worker_identity = worker->worker_identity,
                                          .task_queue = worker->task_queue,
                                          .deployment_version = worker->deployment_version,
                                          .sdk_name = worker->sdk_name,
                                          .sdk_version = worker->sdk_version,
                                          .status = worker->status,
                                          .start_time = worker->start_time,
                                          .plugins = worker->plugins,
                                          .plugins_count = worker->plugins_count,
                                          .drivers = worker->drivers,
                                          .drivers_count = worker->drivers_count };
    if (worker->host_info != NULL) {
        info.host_name = worker->host_info->host_name;
        info.worker_grouping_key = worker->host_info->worker_grouping_key;
        info.process_id = worker->host_info->process_id;
    }
    return info;
}

struct rpc_workers {
    struct store_filter *filter;
    struct bytes         after;
    uint64_t             query_hash;
};

static void list_here(struct rpc *rpc)
{
    const struct workflowservice_ListWorkersRequest *request = rpc->request;
    const struct rpc_workers                        *self = rpc->list.workers;
    struct workflowservice_ListWorkersResponse      *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_ListWorkersResponse);
    struct worker_WorkerHeartbeat *found;
    size_t count = workers_select(rpc, self->filter, self->after, &found), all = count;
    size_t page_size = request->page_size <= 0 ? WORKER_PAGE_DEFAULT : (size_t)request->page_size;
    page_size = MIN(page_size, (size_t)WORKER_PAGE_MAX);
    count = MIN(count, page_size);
    response->workers_info = ARENA_NEW_ARRAY(&rpc->arena, struct worker_WorkerInfo, count + 1);
    response->workers = ARENA_NEW_ARRAY(&rpc->arena, struct worker_WorkerListInfo, count + 1);
    response->workers_info_count = response->workers_count = count;
    for (size_t i = 0; i < count; i++) {
        response->workers_info[i].worker_heartbeat = &found[i];
        response->workers[i] = list_info(&found[i]);
    }
    if (count < all) {
        struct token_WorkersPage page = { .format = PAGE_TOKEN_FORMAT,
                                          .after_key = found[count - 1].worker_instance_key,
                                          .query_hash = self->query_hash };
        response->next_page_token = pb_encode_arena(&pb_token_WorkersPage, &page, &rpc->arena);
    }
    rpc_reply(rpc, response);
}

static void count_here(struct rpc *rpc)
{
    struct workflowservice_CountWorkersResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_CountWorkersResponse);
    struct worker_WorkerHeartbeat *found;
    response->count = (int64_t)workers_select(rpc, rpc->list.workers->filter, BYTES_EMPTY, &found);
    rpc_reply(rpc, response);
}

/* NULL: the query or the token is no good, and the call was told. */
static struct rpc_workers *workers_begin(struct rpc *rpc, struct bytes query, struct bytes token)
{
    struct rpc_workers      *self = ARENA_NEW(&rpc->arena, struct rpc_workers);
    struct token_WorkersPage page = { 0 };
    self->query_hash = hash_combine(hash_stable(query), (uint64_t)rpc->ns.number);
    enum status status = list_query_parse_workers(query, &rpc->arena, &self->filter, &rpc->error);
    if (status == ST_OK && token.size != 0 &&
        (pb_decode(&pb_token_WorkersPage, token, &rpc->arena, &page, NULL) != ST_OK ||
         page.format != PAGE_TOKEN_FORMAT || page.query_hash != self->query_hash))
        status = error_set(&rpc->error, ST_INVALID_ARGUMENT,
                           "NextPageToken is not a token of this call, namespace and query.");
    if (status != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return NULL;
    }
    self->after = page.after_key;
    rpc->list.workers = self;
    return self;
}

void list_workers(struct rpc *rpc)
{
    const struct workflowservice_ListWorkersRequest *request = rpc->request;
    if (workers_begin(rpc, request->query, request->next_page_token) != NULL)
        rpc_move(rpc, registry_lane(rpc), list_here);
}

void count_workers(struct rpc *rpc)
{
    const struct workflowservice_CountWorkersRequest *request = rpc->request;
    if (workers_begin(rpc, request->query, BYTES_EMPTY) != NULL)
        rpc_move(rpc, registry_lane(rpc), count_here);
}

/* --- ShutdownWorker: always OK. Sticky queues live with their normal queue, and a worker may poll many: every lane is
 * visited. Its polls are answered empty, and so are those that come late. --- */

struct goodbye {
    uint64_t worker; /* a hash; a newer one takes its place when two share a slot */
    int64_t  until;  /* monotonic */
};

static uint64_t goodbye_hash(int64_t namespace_number, struct bytes key)
{
    return worker_hash(namespace_number, key) | 1;
}

bool worker_said_goodbye(const struct api_lane *lane, int64_t namespace_number,
                         struct bytes worker_instance_key)
{
    if (worker_instance_key.size == 0 || lane->goodbyes == NULL)
        return false;
    uint64_t              hash = goodbye_hash(namespace_number, worker_instance_key);
    const struct goodbye *slot = &lane->goodbyes[hash / 2 % GOODBYES_MAX];
    return slot->worker == hash && lane_monotonic(lane->lane) < slot->until;
}

static void remember_goodbye(struct api_lane *lane, int64_t namespace_number, struct bytes key)
{
    uint64_t hash = goodbye_hash(namespace_number, key);
    if (lane->goodbyes == NULL)
        lane->goodbyes = xcalloc(GOODBYES_MAX, sizeof lane->goodbyes[0]);
    lane->goodbyes[hash / 2 % GOODBYES_MAX] = (struct goodbye){ hash,
                                                                lane_monotonic(lane->lane) + GOODBYE_NS };
}

static void shutdown_here(struct rpc *rpc)
{
    const struct workflowservice_ShutdownWorkerRequest *request = rpc->request;
    struct api_lane                                    *lane = rpc_at(rpc);
    if (request->worker_heartbeat != NULL && lane == &rpc->home->api->lanes[0])
        worker_heard(rpc, registry_of(rpc), request->worker_heartbeat);
    if (request->worker_instance_key.size != 0) {
        remember_goodbye(lane, rpc->ns.number, request->worker_instance_key);
        poll_shutdown_worker(lane, rpc->ns.number, request->worker_instance_key);
    }
    if (request->sticky_task_queue.size != 0)
        matching_forget_sticky_name(lane->matching, rpc->ns.number, request->sticky_task_queue);
    uint32_t next = lane_index(lane->lane) + 1;
    if (next < lane->api->lane_count)
        rpc_move(rpc, lane->api->lanes[next].lane, shutdown_here);
    else
        rpc_reply(rpc, NULL);
}

void shutdown_worker(struct rpc *rpc)
{
    const struct workflowservice_ShutdownWorkerRequest *request = rpc->request;
    if (check_id_optional("WorkerInstanceKey", request->worker_instance_key, &rpc->error) != ST_OK ||
        (request->worker_heartbeat != NULL && check_heartbeat(rpc, request->worker_heartbeat) != ST_OK)) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    rpc_move(rpc, registry_lane(rpc), shutdown_here);
}
