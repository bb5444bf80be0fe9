/* poll.c: PollWorkflowTaskQueue and PollActivityTaskQueue: pollers wait on their queue's lane, tasks are started for them.
 *
 *   home -> queue's lane: waits -> assigned a row (or reserved for one): asks the owner to start it
 *        -> started: history -> home: answer | stale or refused: waits on | time over, peer gone, draining: empty answer
 */
#include "api/api_internal.h"
#include "base/metric.h"
#include "base/trace.h"

static void poll_again(struct rpc *rpc);

static struct rpc *rpc_of_poller(struct poller *poller)
{
    return CONTAINER_OF(CONTAINER_OF(poller, struct rpc_poll, poller), struct rpc, poll);
}

/* --- what dashboards show of polls --- */

static uint32_t task_label(const struct rpc *rpc)
{
    return rpc->poll.kind == STORE_TASK_ACTIVITY ? TASK_LABEL_ACTIVITY : TASK_LABEL_WORKFLOW;
}

static void poll_empty(struct rpc *rpc)
{
    metric_add(METRIC_POLL_TIMEOUTS, rpc->ns.metrics, task_label(rpc), 1);
    rpc_reply(rpc, NULL);
}

/* A task is on its way to the poller; a query's has been nowhere. */
static void count_task(const struct rpc *rpc, bool was_waiting, int64_t created)
{
    const struct lane *lane = rpc_lane(rpc);
    uint32_t           task = task_label(rpc);
    metric_add(METRIC_POLL_SUCCESS, rpc->ns.metrics, task, 1);
    if (was_waiting)
        metric_add(METRIC_POLL_SUCCESS_SYNC, rpc->ns.metrics, task, 1);
    metric_observe(METRIC_POLL_LATENCY, rpc->ns.metrics, task, lane_monotonic(lane) - rpc->begun);
    if (created != 0)
        metric_observe(METRIC_TASK_DISPATCH_LATENCY, rpc->ns.metrics, task, lane_now(lane) - created);
}

/* Under whatever brought the task about, as far as that is remembered. */
static void trace_task(const struct rpc *rpc)
{
    const struct store_ready *task = &rpc->work.task;
    struct trace              trace;
    if (!trace_recall(task->run, &trace))
        return;
    bool               activity = rpc->poll.kind == STORE_TASK_ACTIVITY;
    int64_t            now = clock_wall_ns(&clock_system);
    struct trace_span *span = trace_span_new(&trace, false, TRACE_PRODUCER,
                                             activity ? BYTES("dispatch activity task")
                                                      : BYTES("dispatch workflow task"),
                                             task->created_time == 0 ? now : task->created_time, now);
    if (span == NULL)
        return;
    trace_text(span, "messaging.destination.name", task->queue);
    trace_text(span, "perdure.namespace", rpc->ns.name);
    trace_text(span, "perdure.workflow_id", task->workflow_id);
    trace_text(span, "perdure.worker", rpc->poll.poller.identity);
    trace_span_end(span);
}

/* --- the ends of a poll without a task --- */

static void poll_expire(struct rpc *rpc)
{
    matching_expire(rpc_at(rpc)->matching, &rpc->poll.poller);
    poll_empty(rpc);
}

static void poll_gone(struct rpc *rpc)
{
    matching_cancel(rpc_at(rpc)->matching, &rpc->poll.poller);
    poll_empty(rpc);
}

static void poll_timer_fired(struct api_timer *timer)
{
    poll_expire(CONTAINER_OF(timer, struct rpc, timer));
}

/* --- a task --- */

static void poll_ready(struct rpc *rpc)
{
    rpc_reply(rpc, rpc->delivery.response);
}

/* Whether the worker had better poll more, or less; NULL: it may go on as it does. */
static struct taskqueue_PollerScalingDecision *scaling_of(struct rpc *rpc)
{
    int delta = matching_scaling(rpc_at(rpc)->matching, &rpc->poll.name, rpc->poll.poller.since);
    if (delta == 0)
        return NULL;
    struct taskqueue_PollerScalingDecision *decision = ARENA_NEW(&rpc->arena,
                                                                 struct taskqueue_PollerScalingDecision);
    decision->poll_request_delta_suggestion = delta;
    return decision;
}

static void workflow_task_started(struct rpc *rpc)
{
    struct workflowservice_PollWorkflowTaskQueueResponse *response = rpc->work.response;
    const struct workflow_delivery                       *delivery = &rpc->work.delivery;
    assert(response != NULL);
    assert(rpc->work.has_delivery);
    if (response->task_token.size == 0)
        response->task_token = task_token_encode(&delivery->task, &rpc->arena);
    response->backlog_count_hint = (int64_t)matching_backlog(rpc_at(rpc)->matching, &rpc->poll.name);
    response->poller_scaling_decision = scaling_of(rpc);
    delivery_begin(rpc, delivery, response, poll_ready);
}

static void activity_task_started(struct rpc *rpc)
{
    struct workflowservice_PollActivityTaskQueueResponse *response = rpc->work.response;
    struct task_ref                                       task;
    assert(response != NULL);
    response->poller_scaling_decision = scaling_of(rpc);
    if (task_token_decode(response->task_token, &rpc->arena, &task, NULL) == ST_OK)
        rpc_hand(rpc, HANDED_ACTIVITY_TASK, &task);
    rpc_reply(rpc, response);
}

static void poll_started(struct request *request)
{
    struct rpc *rpc = rpc_of_work(request);
    bool        reserved = rpc->poll.reserved;
    rpc->poll.reserved = false;
    if (request->error.code == ST_OK && !rpc->work.stale) {
        count_task(rpc, reserved, rpc->work.task.created_time);
        if (trace_is_on())
            trace_task(rpc);
        if (rpc->poll.kind == STORE_TASK_WORKFLOW)
            workflow_task_started(rpc);
        else
            activity_task_started(rpc);
        return;
    }
    /* The row was old, or its shard could not say. It is the owner's to offer it again. */
    matching_refund(rpc_at(rpc)->matching, &rpc->poll.name);
    rpc->poll.stale_count += reserved ? 0 : 1;
    poll_again(rpc);
}

static void fill_start(struct rpc *rpc, const struct store_ready *task)
{
    struct rpc_poll   *poll = &rpc->poll;
    struct store_ready copy = *task;
    char               text[UUID_TEXT_SIZE];
    struct uuid        id = uuid_random(&rpc_at(rpc)->random);
    uuid_print(&id, text);
    copy.queue = arena_copy(&rpc->arena, task->queue);
    copy.normal_queue = arena_copy(&rpc->arena, task->normal_queue);
    copy.workflow_id = arena_copy(&rpc->arena, task->workflow_id);
    copy.fairness_key = arena_copy(&rpc->arena, task->fairness_key);
    copy.version = arena_copy(&rpc->arena, task->version);
    rpc_address(rpc, poll->kind == STORE_TASK_WORKFLOW ? WORKFLOW_TASK_START : ACTIVITY_TASK_START,
                copy.workflow_id, NULL);
    rpc->work.task = copy;
    rpc->work.poll = (struct workflow_poll){
        .identity = poll->poller.identity,
        .queue = poll->name.name,
        .sticky = poll->name.normal.size != 0,
        .request_id = arena_copy(&rpc->arena, bytes_of(text, sizeof text)),
        .build_id = poll->build_id,
        .deployment_name = poll->deployment_name,
    };
    rpc->work.base.done = poll_started;
}

static void poll_assign(struct poller *poller, const struct store_ready *task)
{
    struct rpc *rpc = rpc_of_poller(poller);
    if (list_linked(&rpc->waiting))
        rpc_wake(rpc);
    fill_start(rpc, task);
    rpc_submit(rpc, poll_started);
}

static void poll_assign_direct(struct poller *poller, struct direct_task *direct)
{
    struct rpc *rpc = rpc_of_poller(poller);
    if (list_linked(&rpc->waiting))
        rpc_wake(rpc);
    struct workflowservice_PollWorkflowTaskQueueResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_PollWorkflowTaskQueueResponse);
    struct workflow_delivery *delivery = ARENA_NEW(&rpc->arena, struct workflow_delivery);
    query_fill_task(direct, rpc, response, delivery);
    count_task(rpc, true, 0);
    delivery_begin(rpc, delivery, response, poll_ready);
}

struct request *poll_reserve(struct api_lane *lane, const struct store_ready *task)
{
    if (task->kind == STORE_TASK_CALLBACK) /* it takes its time, and its row stays until it is done */
        return NULL;
    struct bytes normal = task->normal_queue.size != 0 ? task->normal_queue : task->queue;
    if (runtime_queue_lane(lane->api->runtime, task->namespace_number, normal) != lane->lane)
        return NULL;
    struct poller *poller = matching_reserve(lane->matching, task);
    if (poller == NULL)
        return NULL;
    struct rpc *rpc = rpc_of_poller(poller);
    rpc_wake(rpc);
    rpc->poll.reserved = true;
    fill_start(rpc, task);
    rpc->work.base.home = lane->lane;
    return &rpc->work.base;
}

/* --- waiting --- */

/* What the poll says of its worker; borrowed from the request. */
static struct poll_terms poll_terms(const struct rpc *rpc)
{
    const struct common_WorkerVersionCapabilities   *capabilities;
    const struct deployment_WorkerDeploymentOptions *options;
    struct poll_terms                                terms = { 0 };
    if (rpc->poll.kind == STORE_TASK_ACTIVITY) {
        const struct workflowservice_PollActivityTaskQueueRequest *request = rpc->request;
        capabilities = request->worker_version_capabilities;
        options = request->deployment_options;
        if (request->task_queue_metadata != NULL &&
            request->task_queue_metadata->max_tasks_per_second != NULL) {
            terms.has_rate = true;
            terms.rate = request->task_queue_metadata->max_tasks_per_second->value;
        }
    } else {
        const struct workflowservice_PollWorkflowTaskQueueRequest *request = rpc->request;
        capabilities = request->worker_version_capabilities;
        options = request->deployment_options;
    }
    if (capabilities != NULL) {
        terms.build_id = capabilities->build_id;
        terms.use_versioning = capabilities->use_versioning;
    }
    if (options != NULL) {
        terms.build_id = options->build_id;
        terms.deployment_name = options->deployment_name;
        terms.versioning_mode = options->worker_versioning_mode;
    }
    return terms;
}

static void poll_again(struct rpc *rpc)
{
    struct api_lane *lane = rpc_at(rpc);
    struct rpc_poll *poll = &rpc->poll;
    if (rpc->gone_seen || lane->draining || poll->stale_count >= STALE_MAX ||
        lane_monotonic(lane->lane) >= poll->expires ||
        worker_said_goodbye(lane, rpc->ns.number, poll->poller.worker_instance_key)) {
        poll_empty(rpc);
        return;
    }
    rpc_wait(rpc, poll_expire, poll_gone);
    rpc_set_timer(rpc, poll->expires, poll_timer_fired);
    struct error      error;
    struct poll_terms terms = poll_terms(rpc);
    if (matching_poll(lane->matching, &poll->name, &poll->poller, &terms, &error) != ST_OK) {
        struct error refusal;
        error_exhausted(&refusal, &rpc->arena, enums_RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT, "%s",
                        error.message);
        rpc_fail_error(rpc, &refusal);
    }
}

static void poll_begin(struct rpc *rpc, const struct taskqueue_TaskQueue *queue)
{
    struct rpc_poll *poll = &rpc->poll;
    list_init(&poll->poller.link);
    poll->poller.assign = poll_assign;
    poll->poller.assign_direct = poll_assign_direct;
    bool sticky = queue->kind == enums_TASK_QUEUE_KIND_STICKY && queue->normal_name.size != 0;
    poll->name = (struct queue_name){ .namespace_number = rpc->ns.number,
                                      .name = queue->name,
                                      .normal = sticky ? queue->normal_name : BYTES_EMPTY,
                                      .kind = poll->kind };
    poll->expires = rpc_hold_until(rpc, POLL_HOLD_NS);
    struct bytes normal = sticky ? queue->normal_name : queue->name;
    rpc_move(rpc, runtime_queue_lane(rpc->home->api->runtime, rpc->ns.number, normal), poll_again);
}

static enum status poll_check(const struct rpc *rpc, const struct taskqueue_TaskQueue *queue,
                              struct bytes identity, struct error *error)
{
    enum status status = check_task_queue(queue, error);
    if (status == ST_OK)
        status = check_name(rpc, "TaskQueue name", queue->name, error);
    return status != ST_OK ? status : check_name(rpc, "Identity", identity, error);
}

static enum status versioning_check(const struct rpc                                *rpc,
                                    const struct common_WorkerVersionCapabilities   *capabilities,
                                    const struct deployment_WorkerDeploymentOptions *options,
                                    struct error                                    *error)
{
    if (capabilities != NULL && capabilities->use_versioning && capabilities->build_id.size == 0)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "WorkerVersionCapabilities.BuildId is not set on request.");
    if (capabilities != NULL && check_build_id(rpc, capabilities->build_id, error) != ST_OK)
        return error->code;
    if (options != NULL && options->worker_versioning_mode == enums_WORKER_VERSIONING_MODE_VERSIONED)
        return error_set(error, ST_UNIMPLEMENTED,
                         "Worker deployments are not implemented: start the worker unversioned.");
    return ST_OK;
}

void poll_workflow_task(struct rpc *rpc)
{
    const struct workflowservice_PollWorkflowTaskQueueRequest *request = rpc->request;
    struct rpc_poll                                           *poll = &rpc->poll;
    if (poll_check(rpc, request->task_queue, request->identity, &rpc->error) != ST_OK ||
        versioning_check(rpc, request->worker_version_capabilities, request->deployment_options,
                         &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    poll->kind = STORE_TASK_WORKFLOW;
    poll->poller.identity = request->identity;
    poll->poller.worker_instance_key = request->worker_instance_key;
    poll->build_id = request->worker_version_capabilities != NULL
                         ? request->worker_version_capabilities->build_id
                         : request->binary_checksum;
    poll_begin(rpc, request->task_queue);
}

void poll_activity_task(struct rpc *rpc)
{
    const struct workflowservice_PollActivityTaskQueueRequest *request = rpc->request;
    struct rpc_poll                                           *poll = &rpc->poll;
    if (poll_check(rpc, request->task_queue, request->identity, &rpc->error) != ST_OK ||
        versioning_check(rpc, request->worker_version_capabilities, request->deployment_options,
                         &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    poll->kind = STORE_TASK_ACTIVITY;
    poll->poller.identity = request->identity;
    poll->poller.worker_instance_key = request->worker_instance_key;
    if (request->worker_version_capabilities != NULL)
        poll->build_id = request->worker_version_capabilities->build_id;
    poll_begin(rpc, request->task_queue);
}

/* --- a worker says goodbye --- */

static void shutdown_poller(void *context, struct poller *poller)
{
    struct api_lane *lane = context;
    matching_cancel(lane->matching, poller);
    poll_empty(rpc_of_poller(poller));
}

void poll_shutdown_worker(struct api_lane *lane, int64_t namespace_number, struct bytes worker_instance_key)
{
    matching_each_poller(lane->matching, namespace_number, worker_instance_key, shutdown_poller, lane);
}
