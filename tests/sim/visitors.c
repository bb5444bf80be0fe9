/* visitors.c: simulated visitors: each calls one method after another that concerns no single workflow, or only looks at one.
 *
 * What they are told is decoded and, where it is part of a history, kept in the journal like what workers see. One method in
 * the table is drawn at a time; sometimes any method of all, with a request that says nothing.
 */
#include <stdio.h>

#include "actors.h"

#define VISITORS   2
#define VISITS_MAX 24

struct visitor {
    struct sim  *sim;
    unsigned     visits;
    struct bytes run_id; /* whose history is being paged */
    struct bytes workflow_id;
};
struct visitors {
    struct visitor visitor[VISITORS];
};

static void visit(struct sim *sim, void *context);

static void visited(struct sim *sim, void *context, const struct error *error UNUSED,
                    const void *response UNUSED)
{
    struct visitor *self = context;
    if (--self->visits != 0)
        sim_later(sim, sim_between(sim, 0, 3 * NS_PER_S), visit, self);
}

/* --- namespaces --- */

static struct bytes some_namespace(struct sim *sim)
{
    static const struct bytes names[] = { BYTES("default"), BYTES("first"), BYTES("second") };
    return names[sim_between(sim, 0, 2)];
}

static void register_namespace(struct visitor *self)
{
    struct sim *sim = self->sim;
    ERRAND_IN(sim, RegisterNamespace, some_namespace(sim), CODE(ST_ALREADY_EXISTS), visited, self,
              .workflow_execution_retention_period = duration_of_ns(&actors_of(sim)->arena,
                                                                    86400 * NS_PER_S));
}

static void describe_namespace(struct visitor *self)
{
    ERRAND_IN(self->sim, DescribeNamespace, some_namespace(self->sim), CODE(ST_NOT_FOUND), visited, self);
}

static void update_namespace(struct visitor *self)
{
    struct sim                           *sim = self->sim;
    struct namespace_UpdateNamespaceInfo *info = NEW(sim, struct namespace_UpdateNamespaceInfo);
    info->description = BYTES("visited");
    ERRAND_IN(sim, UpdateNamespace, some_namespace(sim), CODE(ST_NOT_FOUND), visited, self,
              .update_info = info);
}

static void deprecate_namespace(struct visitor *self)
{
    ERRAND_IN(self->sim, DeprecateNamespace, BYTES("second"), CODE(ST_NOT_FOUND), visited, self);
}

static void listed_namespaces(struct sim *sim, void *context, const struct error *error, const void *response)
{
    const struct workflowservice_ListNamespacesResponse *list = response;
    bool                                                 found = false;
    for (size_t i = 0; i < list->namespaces_count; i++)
        found = found || bytes_equal_text(list->namespaces[i].namespace_info->name, "default");
    if (!found)
        sim_fail(sim, "the namespace is not in the list of namespaces");
    visited(sim, context, error, response);
}

static void list_namespaces(struct visitor *self)
{
    struct sim *sim = self->sim;
    errand_run(sim, CALL(ListNamespaces), NEW(sim, struct workflowservice_ListNamespacesRequest), 0,
               listed_namespaces, self);
}

/* --- the cluster, search attributes --- */

static void get_system_info(struct visitor *self)
{
    struct sim *sim = self->sim;
    errand_run(sim, CALL(GetSystemInfo), NEW(sim, struct workflowservice_GetSystemInfoRequest), 0, visited,
               self);
}

static void get_cluster_info(struct visitor *self)
{
    struct sim *sim = self->sim;
    errand_run(sim, CALL(GetClusterInfo), NEW(sim, struct workflowservice_GetClusterInfoRequest), 0, visited,
               self);
}

static void get_search_attributes(struct visitor *self)
{
    struct sim *sim = self->sim;
    errand_run(sim, CALL(GetSearchAttributes), NEW(sim, struct workflowservice_GetSearchAttributesRequest), 0,
               visited, self);
}

static void list_clusters(struct visitor *self)
{
    struct sim *sim = self->sim;
    errand_run(sim, PB_METHOD_OperatorService_ListClusters,
               NEW(sim, struct operatorservice_ListClustersRequest), 0, visited, self);
}

static void list_search_attributes(struct visitor *self)
{
    struct sim                                         *sim = self->sim;
    struct operatorservice_ListSearchAttributesRequest *request =
        NEW(sim, struct operatorservice_ListSearchAttributesRequest);
    request->namespace = BYTES("default");
    errand_run(sim, PB_METHOD_OperatorService_ListSearchAttributes, request, 0, visited, self);
}

static void add_search_attributes(struct visitor *self)
{
    struct sim                                        *sim = self->sim;
    struct operatorservice_AddSearchAttributesRequest *request =
        NEW(sim, struct operatorservice_AddSearchAttributesRequest);
    request->namespace = BYTES("default");
    request->search_attributes = NEW(sim,
                                     struct operatorservice_AddSearchAttributesRequest_SearchAttributesEntry);
    request->search_attributes_count = 1;
    request->search_attributes[0].key = sim_chance(sim, 0.5) ? BYTES("Visited") : BYTES("Counted");
    request->search_attributes[0].value = enums_INDEXED_VALUE_TYPE_INT;
    errand_run(sim, PB_METHOD_OperatorService_AddSearchAttributes, request, CODE(ST_ALREADY_EXISTS), visited,
               self);
}

static void remove_search_attributes(struct visitor *self)
{
    struct sim                                           *sim = self->sim;
    struct operatorservice_RemoveSearchAttributesRequest *request =
        NEW(sim, struct operatorservice_RemoveSearchAttributesRequest);
    request->namespace = BYTES("default");
    request->search_attributes = NEW(sim, struct bytes);
    request->search_attributes[0] = BYTES("Visited");
    request->search_attributes_count = 1;
    errand_run(sim, PB_METHOD_OperatorService_RemoveSearchAttributes, request, CODE(ST_NOT_FOUND), visited,
               self);
}

/* --- lists --- */

static struct bytes some_query(struct sim *sim)
{
    static const struct bytes queries[] = {
        BYTES(""),
        BYTES("ExecutionStatus = 'Running'"),
        BYTES("WorkflowId STARTS_WITH 'workflow-1'"),
        BYTES("WorkflowType = 'child' OR ExecutionStatus != 'Completed'"),
        BYTES("StartTime > '2020-01-01T00:00:00Z' AND CloseTime IS NULL"),
        BYTES("TaskQueue = 'queue' AND HistoryLength > 5"),
    };
    return queries[sim_between(sim, 0, 5)];
}

static void list_workflows(struct visitor *self)
{
    struct sim  *sim = self->sim;
    struct bytes query = some_query(sim);
    ERRAND(sim, ListWorkflowExecutions, 0, visited, self, .query = query,
           .page_size = (int32_t)sim_between(sim, 0, 5));
}

static void scan_workflows(struct visitor *self)
{
    ERRAND(self->sim, ScanWorkflowExecutions, 0, visited, self, .query = some_query(self->sim));
}

static void count_workflows(struct visitor *self)
{
    ERRAND(self->sim, CountWorkflowExecutions, 0, visited, self,
           .query = sim_chance(self->sim, 0.5) ? BYTES("GROUP BY ExecutionStatus") : some_query(self->sim));
}

static void list_open_workflows(struct visitor *self)
{
    struct sim                    *sim = self->sim;
    struct filter_StartTimeFilter *times = NEW(sim, struct filter_StartTimeFilter);
    times->earliest_time = timestamp_of_ns(&actors_of(sim)->arena, NS_PER_S);
    ERRAND(sim, ListOpenWorkflowExecutions, 0, visited, self, .start_time_filter = times,
           .maximum_page_size = 3);
}

static void list_closed_workflows(struct visitor *self)
{
    struct sim                    *sim = self->sim;
    struct filter_StartTimeFilter *times = NEW(sim, struct filter_StartTimeFilter);
    times->earliest_time = timestamp_of_ns(&actors_of(sim)->arena, NS_PER_S);
    struct filter_StatusFilter *status = NEW(sim, struct filter_StatusFilter);
    status->status = enums_WORKFLOW_EXECUTION_STATUS_COMPLETED;
    ERRAND(sim, ListClosedWorkflowExecutions, 0, visited, self, .start_time_filter = times, .filters_case = 7,
           .status_filter = status);
}

/* --- workers and task queues --- */

static struct worker_WorkerHeartbeat *some_heartbeat(struct sim *sim)
{
    struct worker_WorkerHeartbeat *one = NEW(sim, struct worker_WorkerHeartbeat);
    one->worker_instance_key = sim_chance(sim, 0.5) ? BYTES("worker 1") : BYTES("worker 2");
    one->worker_identity = BYTES("worker");
    one->task_queue = BYTES(SIM_QUEUE);
    one->status = enums_WORKER_STATUS_RUNNING;
    return one;
}

static void record_worker_heartbeat(struct visitor *self)
{
    ERRAND(self->sim, RecordWorkerHeartbeat, 0, visited, self, .identity = BYTES("worker"),
           .worker_heartbeat = some_heartbeat(self->sim), .worker_heartbeat_count = 1);
}

static void describe_worker(struct visitor *self)
{
    ERRAND(self->sim, DescribeWorker, CODE(ST_NOT_FOUND), visited, self,
           .worker_instance_key = BYTES("worker 1"));
}

static void list_workers(struct visitor *self)
{
    ERRAND(self->sim, ListWorkers, 0, visited, self, .page_size = 1);
}

static void count_workers(struct visitor *self)
{
    ERRAND(self->sim, CountWorkers, 0, visited, self, .query = BYTES("TaskQueue = 'queue'"));
}

/* The worker's pollers come again: it is a worker that restarts. */
static void shutdown_worker(struct visitor *self)
{
    struct sim *sim = self->sim;
    ERRAND(sim, ShutdownWorker, 0, visited, self, .identity = BYTES("worker"),
           .sticky_task_queue = BYTES("sticky-0"), .worker_heartbeat = some_heartbeat(sim),
           .worker_instance_key = BYTES("worker 2"));
}

static void describe_task_queue(struct visitor *self)
{
    struct sim *sim = self->sim;
    bool        sticky = sim_chance(sim, 0.3);
    bool        stats = !sticky && sim_chance(sim, 0.5);
    ERRAND(sim, DescribeTaskQueue, CODE(ST_NOT_FOUND), visited, self,
           .task_queue = sim_queue(sim, sticky ? "sticky-0" : SIM_QUEUE, sticky),
           .task_queue_type = (int32_t)sim_between(sim, 1, 2), .report_stats = stats, .report_config = stats,
           .include_task_queue_status = !stats);
}

static void list_partitions(struct visitor *self)
{
    ERRAND(self->sim, ListTaskQueuePartitions, 0, visited, self,
           .task_queue = sim_queue(self->sim, SIM_QUEUE, false));
}

/* Limits that hold nobody up for long, and are taken away again. */
static void configure_task_queue(struct visitor *self)
{
    struct sim                                                          *sim = self->sim;
    struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate *update =
        NEW(sim, struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate);
    bool activities = sim_chance(sim, 0.5);
    if (sim_chance(sim, 0.5)) {
        update->rate_limit = NEW(sim, struct taskqueue_RateLimit);
        update->rate_limit->requests_per_second = (float)sim_between(sim, 5, 100);
    }
    update->reason = BYTES("simulated");
    struct workflowservice_UpdateTaskQueueConfigRequest_SetFairnessWeightOverridesEntry *weight =
        NEW(sim, struct workflowservice_UpdateTaskQueueConfigRequest_SetFairnessWeightOverridesEntry);
    weight->key = BYTES("a");
    weight->value = 5;
    ERRAND(sim, UpdateTaskQueueConfig, 0, visited, self, .task_queue = BYTES(SIM_QUEUE),
           .task_queue_type = activities ? enums_TASK_QUEUE_TYPE_ACTIVITY : enums_TASK_QUEUE_TYPE_WORKFLOW,
           .update_queue_rate_limit = activities ? update : NULL, .set_fairness_weight_overrides = weight,
           .set_fairness_weight_overrides_count = 1);
}

/* --- one workflow --- */

static struct work *some_work(struct sim *sim)
{
    struct actors *actors = actors_of(sim);
    return &actors->works[random_below(&sim->random, actors->work_count)];
}

static void reset_sticky(struct visitor *self)
{
    struct sim *sim = self->sim;
    ERRAND(sim, ResetStickyTaskQueue, CODE(ST_NOT_FOUND), visited, self,
           .execution = sim_execution(sim, bytes_of_text(some_work(sim)->id), BYTES_EMPTY));
}

static void read_page(struct visitor *self, struct bytes token);

static void page_read(struct sim *sim, void *context, const struct error *error, const void *response)
{
    struct visitor                                                   *self = context;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = response;
    if (page == NULL) {
        visited(sim, context, error, response);
        return;
    }
    if (page->history != NULL)
        journal_events(sim->journal, self->run_id, page->history->events, page->history->events_count,
                       ORACLE_SETTLED);
    if (page->next_page_token.size != 0)
        read_page(self, arena_copy(&actors_of(sim)->arena, page->next_page_token));
    else
        visited(sim, context, error, response);
}

static void read_page(struct visitor *self, struct bytes token)
{
    struct sim *sim = self->sim;
    ERRAND(sim, GetWorkflowExecutionHistory, CODE(ST_NOT_FOUND), page_read, self,
           .execution = sim_execution(sim, self->workflow_id, self->run_id), .next_page_token = token,
           .maximum_page_size = (int32_t)sim_between(sim, 1, 6));
}

static void read_page_back(struct visitor *self, struct bytes token);

static void page_read_back(struct sim *sim, void *context, const struct error *error, const void *response)
{
    struct visitor                                                          *self = context;
    const struct workflowservice_GetWorkflowExecutionHistoryReverseResponse *page = response;
    if (page == NULL) {
        visited(sim, context, error, response);
        return;
    }
    size_t count = page->history == NULL ? 0 : page->history->events_count;
    for (size_t i = 0; i < count / 2; i++) {
        struct bytes other = page->history->events[count - 1 - i];
        page->history->events[count - 1 - i] = page->history->events[i];
        page->history->events[i] = other;
    }
    if (count != 0)
        journal_events(sim->journal, self->run_id, page->history->events, count, ORACLE_SETTLED);
    if (page->next_page_token.size != 0)
        read_page_back(self, arena_copy(&actors_of(sim)->arena, page->next_page_token));
    else
        visited(sim, context, error, response);
}

static void read_page_back(struct visitor *self, struct bytes token)
{
    struct sim *sim = self->sim;
    ERRAND(sim, GetWorkflowExecutionHistoryReverse, CODE(ST_NOT_FOUND), page_read_back, self,
           .execution = sim_execution(sim, self->workflow_id, self->run_id), .next_page_token = token,
           .maximum_page_size = (int32_t)sim_between(sim, 1, 6));
}

/* Of the run that a worker saw last, so that the pages can be compared with what it was given. */
static bool pick_run(struct visitor *self)
{
    struct work *work = some_work(self->sim);
    self->workflow_id = bytes_of_text(work->id);
    self->run_id = work->run_id;
    return work->run_id.size != 0;
}

static void read_history(struct visitor *self)
{
    if (pick_run(self))
        read_page(self, BYTES_EMPTY);
    else
        visited(self->sim, self, NULL, NULL);
}

static void read_history_back(struct visitor *self)
{
    if (pick_run(self))
        read_page_back(self, BYTES_EMPTY);
    else
        visited(self->sim, self, NULL, NULL);
}

/* --- any method, with a request that says nothing --- */

static void answered_nothing(struct sim *sim, void *context, const struct error *error,
                             struct bytes reply UNUSED, struct arena *arena UNUSED)
{
    if (error->code == ST_UNKNOWN || error->code == ST_DATA_LOSS)
        sim_fail(sim, "an empty request is answered with %s %s", status_name(error->code), error->message);
    visited(sim, context, error, NULL);
}

static void say_nothing(struct visitor *self)
{
    unsigned method;
    do
        method = (unsigned)random_below(&self->sim->random, pb_method_count);
    while (!api_is_method(pb_methods[method].path));
    void *request = arena_must(
        arena_zalloc(&actors_of(self->sim)->arena, 1, (size_t)pb_methods[method].request->size + 1));
    sim_send(self->sim, method, request, RPC_NS, answered_nothing, self);
}

/* --- */

static void (*const visits[])(struct visitor *self) = {
    register_namespace,    describe_namespace,
    update_namespace,      deprecate_namespace,
    list_namespaces,       get_system_info,
    get_cluster_info,      get_search_attributes,
    list_clusters,         list_search_attributes,
    add_search_attributes, remove_search_attributes,
    list_workflows,        scan_workflows,
    count_workflows,       list_open_workflows,
    list_closed_workflows, record_worker_heartbeat,
    describe_worker,       list_workers,
    count_workers,         shutdown_worker,
    describe_task_queue,   list_partitions,
    configure_task_queue,  reset_sticky,
    read_history,          read_history_back,
    read_history,          read_history_back,
    say_nothing,           say_nothing,
};

static void visit(struct sim *sim, void *context)
{
    visits[sim_between(sim, 0, (int64_t)ARRAY_COUNT(visits) - 1)](context);
}

void visitors_start(struct sim *sim)
{
    struct visitors *visitors = NEW(sim, struct visitors);
    actors_of(sim)->visitors = visitors;
    for (unsigned i = 0; i < VISITORS; i++) {
        struct visitor *self = &visitors->visitor[i];
        self->sim = sim;
        self->visits = has_feature(sim, FEATURE_VISITS) ? (unsigned)sim_between(sim, 1, VISITS_MAX) : 0;
        if (self->visits != 0)
            sim_later(sim, sim_between(sim, 0, 10 * NS_PER_S), visit, self);
    }
}

bool visitors_finished(const struct sim *sim)
{
    const struct visitors *visitors = sim->actors->visitors;
    if (visitors == NULL)
        return false;
    for (unsigned i = 0; i < VISITORS; i++)
        if (visitors->visitor[i].visits != 0)
            return false;
    return true;
}
