/* query.c: QueryWorkflow: decided by the run, answered by a worker, never written anywhere.
 *
 *   home -> the run's owner lane: decided
 *        -> rejected: home
 *        -> buffered, at the owner: rides on the next workflow task; whenever the run's history grows it is decided again
 *        -> direct: the queue's lane: waits for a poller of the sticky queue, after its timeout of the normal one
 *   The answer finds it by its id, which names the lane that holds it.
 */
#include "api/api_internal.h"
#include "base/hash.h"
#include "base/mutant.h"

#define QUERY_ID_SIZE 16 /* boot, lane, number */

static void query_decide(struct rpc *rpc);

static struct rpc *rpc_of_query(struct rpc_query *query)
{
    return CONTAINER_OF(query, struct rpc, query);
}

/* --- ids --- */

static struct bytes query_id_make(struct rpc *rpc)
{
    struct api_lane *lane = rpc_at(rpc);
    uint32_t         index = lane_index(lane->lane);
    uint8_t         *id = arena_must(arena_alloc(&rpc->arena, QUERY_ID_SIZE));
    memcpy(id, &lane->api->boot, 4);
    memcpy(id + 4, &index, 4);
    memcpy(id + 8, &rpc->query.number, 8);
    return bytes_of(id, QUERY_ID_SIZE);
}

/* False: of an earlier process, or none at all. */
static bool query_id_parse(const struct api *api, struct bytes id, struct api_lane **ret_lane,
                           uint64_t *ret_number)
{
    uint32_t boot, index;
    if (id.size != QUERY_ID_SIZE)
        return false;
    memcpy(&boot, id.base, 4);
    memcpy(&index, id.base + 4, 4);
    memcpy(ret_number, id.base + 8, 8);
    if ((boot != api->boot && !MUTANT(stale_query_answer)) || index >= api->lane_count)
        return false;
    *ret_lane = &api->lanes[index];
    return true;
}

static struct bytes hex_make(struct bytes id, struct arena *arena)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t          *text = arena_must(arena_alloc(arena, id.size * 2));
    for (size_t i = 0; i < id.size; i++) {
        text[2 * i] = (uint8_t)digits[id.base[i] >> 4];
        text[2 * i + 1] = (uint8_t)digits[id.base[i] & 15];
    }
    return bytes_of(text, id.size * 2);
}

static int hex_digit(uint8_t character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static bool hex_parse(struct bytes text, uint8_t id[QUERY_ID_SIZE])
{
    if (text.size != (size_t)QUERY_ID_SIZE * 2)
        return false;
    for (size_t i = 0; i < QUERY_ID_SIZE; i++) {
        int high = hex_digit(text.base[2 * i]), low = hex_digit(text.base[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* --- the tables of a lane --- */

static void query_register(struct rpc *rpc)
{
    struct api_lane  *lane = rpc_at(rpc);
    struct rpc_query *query = &rpc->query;
    assert(!query->id_linked);
    query->number = ++lane->query_number;
    query->id_text = hex_make(query_id_make(rpc), &rpc->arena);
    table_insert(&lane->queries_by_id, &query->by_id, hash_u64(query->number));
    query->id_linked = true;
}

static void query_unlink(struct rpc *rpc)
{
    struct api_lane  *lane = rpc_at(rpc);
    struct rpc_query *query = &rpc->query;
    if (query->id_linked)
        table_remove(&lane->queries_by_id, &query->by_id);
    if (query->run_linked)
        table_remove(&lane->queries_by_run, &query->by_run);
    query->id_linked = query->run_linked = false;
    matching_direct_cancel(&query->direct);
    if (list_linked(&rpc->waiting))
        rpc_wake(rpc);
    rpc_clear_timer(rpc);
}

static struct rpc *query_find(struct api_lane *lane, uint64_t number)
{
    for (struct table_link *at = table_first(&lane->queries_by_id, hash_u64(number)); at != NULL;
         at = table_next(at)) {
        struct rpc_query *query = CONTAINER_OF(at, struct rpc_query, by_id);
        if (query->number == number)
            return rpc_of_query(query);
    }
    return NULL;
}

static struct table_link *by_run_first(const struct api_lane *lane, store_number run)
{
    struct table_link *at = table_first(&lane->queries_by_run, hash_u64((uint64_t)run));
    while (at != NULL && CONTAINER_OF(at, struct rpc_query, by_run)->run != run)
        at = table_next(at);
    return at;
}

bool query_is_buffered(const struct api_lane *lane, store_number run)
{
    return by_run_first(lane, run) != NULL;
}

/* --- ends --- */

/* A request to the engine that is under way comes back first. */
static bool query_end_later(struct rpc *rpc)
{
    return rpc->query.deciding;
}

static void query_fail(struct rpc *rpc, enum status code, const char *text)
{
    query_unlink(rpc);
    error_set(&rpc->error, code, "%s", text);
    rpc->query.state = QUERY_IDLE;
    if (!query_end_later(rpc))
        rpc_fail_error(rpc, &rpc->error);
}

static void query_expired(struct rpc *rpc)
{
    query_fail(rpc, ST_DEADLINE_EXCEEDED, "the query was not answered before its deadline");
}

static void query_drained(struct rpc *rpc)
{
    query_fail(rpc, ST_UNAVAILABLE, "the server is shutting down");
}

static void query_gone(struct rpc *rpc)
{
    query_fail(rpc, ST_CANCELLED, "the caller is gone");
}

static void deadline_fired(struct api_timer *timer)
{
    query_expired(CONTAINER_OF(timer, struct rpc, timer));
}

/* Slices are copied: they belong to the worker's call. */
static void query_succeed(struct rpc *rpc, int32_t type, struct bytes answer, struct bytes message,
                          struct bytes failure)
{
    size_t limit = rpc_limits(rpc)->payload_size_max;
    query_unlink(rpc);
    rpc->query.state = QUERY_IDLE;
    error_clear(&rpc->error);
    if (type == enums_QUERY_RESULT_TYPE_ANSWERED && answer.size <= limit) {
        struct workflowservice_QueryWorkflowResponse *response =
            ARENA_NEW(&rpc->arena, struct workflowservice_QueryWorkflowResponse);
        response->query_result = answer.size == 0 ? BYTES("")
                                                  : arena_copy(&rpc->arena, answer); /* present in any case */
        rpc->response = response;
    } else {
        struct errordetails_QueryFailedFailure detail = { 0 };
        if (type == enums_QUERY_RESULT_TYPE_ANSWERED)
            error_set(&rpc->error, ST_INVALID_ARGUMENT, "Query result exceeds size limit of %zu bytes.",
                      limit);
        else {
            error_set(&rpc->error, ST_INVALID_ARGUMENT, "%.*s", BYTES_FMT(message));
            if (failure.size <= limit)
                detail.failure = failure;
        }
        error_detail(&rpc->error, &rpc->arena, &pb_errordetails_QueryFailedFailure, &detail);
    }
    if (query_end_later(rpc))
        return;
    if (rpc->error.code != ST_OK)
        rpc_fail_error(rpc, &rpc->error);
    else
        rpc_reply(rpc, rpc->response);
}

/* --- direct --- */

static void query_dispatch(struct rpc *rpc);

static struct queue_name query_queue(const struct rpc *rpc)
{
    const struct workflow_request *work = &rpc->work;
    struct queue_name              name = { .namespace_number = rpc->ns.number,
                                            .name = work->normal_queue,
                                            .kind = STORE_TASK_WORKFLOW };
    if (rpc->query.sticky_phase) {
        name.name = work->sticky_queue;
        name.normal = work->normal_queue;
    }
    return name;
}

/* The sticky worker is gone, or too slow: any worker, with the whole history, and for what comes later too. */
static void give_up_sticky(struct rpc *rpc)
{
    rpc->query.sticky_phase = false;
    errand_reset_sticky(rpc_at(rpc), rpc->ns.number, rpc->work.base.business_id, &rpc->work.run_id,
                        rpc->work.sticky_queue);
}

static void sticky_fired(struct api_timer *timer)
{
    struct rpc *rpc = CONTAINER_OF(timer, struct rpc, timer);
    query_unlink(rpc);
    give_up_sticky(rpc);
    query_dispatch(rpc);
}

/* On the queue's lane. */
static void query_dispatch(struct rpc *rpc)
{
    struct api_lane  *lane = rpc_at(rpc);
    struct rpc_query *query = &rpc->query;
    if (rpc->gone_seen || lane->draining) {
        rpc_fail(rpc, ST_UNAVAILABLE, "the server is shutting down, or the caller is gone");
        return;
    }
    struct queue_name name = query_queue(rpc);
    if (query->sticky_phase && !matching_alive(lane->matching, &name)) {
        give_up_sticky(rpc);
        name = query_queue(rpc);
    }
    query_register(rpc);
    query->state = QUERY_WAITING;
    rpc_wait(rpc, query_drained, query_gone);
    int64_t sticky_until = time_add(lane_monotonic(lane->lane), rpc->work.sticky_timeout_ns);
    if (query->sticky_phase && sticky_until < query->expires)
        rpc_set_timer(rpc, sticky_until, sticky_fired);
    else
        rpc_set_timer(rpc, query->expires, deadline_fired);
    struct error error;
    if (matching_direct(lane->matching, &name, &query->direct, &error) != ST_OK) {
        struct error refusal;
        query_unlink(rpc);
        error_exhausted(&refusal, &rpc->arena, enums_RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT, "%s",
                        error.message);
        rpc_fail_error(rpc, &refusal);
    }
}

static struct query_WorkflowQuery *query_copy(const struct rpc *rpc, struct arena *arena)
{
    const struct workflowservice_QueryWorkflowRequest *request = rpc->request;
    struct query_WorkflowQuery                        *copy = ARENA_NEW(arena, struct query_WorkflowQuery);
    copy->query_type = arena_copy(arena, request->query->query_type);
    copy->query_args = arena_copy(arena, request->query->query_args);
    copy->header = arena_copy(arena, request->query->header);
    return copy;
}

static struct common_WorkflowExecution *execution_copy(const struct common_WorkflowExecution *from,
                                                       struct arena                          *arena)
{
    struct common_WorkflowExecution *copy = ARENA_NEW(arena, struct common_WorkflowExecution);
    copy->workflow_id = arena_copy(arena, from->workflow_id);
    copy->run_id = arena_copy(arena, from->run_id);
    return copy;
}

void query_fill_task(struct direct_task *direct, struct rpc *poll,
                     struct workflowservice_PollWorkflowTaskQueueResponse *response,
                     struct workflow_delivery                             *ret_delivery)
{
    struct rpc *rpc = rpc_of_query(CONTAINER_OF(direct, struct rpc_query, direct));
    const struct workflowservice_PollWorkflowTaskQueueResponse *task = rpc->work.query_task;
    struct arena                                               *arena = &poll->arena;
    rpc->query.state = QUERY_ASSIGNED;
    *ret_delivery = rpc->work.delivery;
    ret_delivery->attach_queries = false;
    ret_delivery->virtual_event_count = 0;
    if (rpc->work.delivery.prefix_count != 0) {
        struct history_segment *prefix = ARENA_NEW_ARRAY(arena, struct history_segment,
                                                         rpc->work.delivery.prefix_count);
        memcpy(prefix, rpc->work.delivery.prefix, rpc->work.delivery.prefix_count * sizeof(*prefix));
        ret_delivery->prefix = prefix;
    }
    ret_delivery->task = task_ref_copy(&rpc->work.delivery.task, arena);
    ret_delivery->task.namespace_id = arena_copy(arena, rpc->ns.id);
    ret_delivery->task.workflow_id = arena_copy(arena, rpc->work.base.business_id);
    ret_delivery->task.kind = STORE_TASK_WORKFLOW;
    ret_delivery->task.is_query = true;
    ret_delivery->task.query_id = arena_copy(arena, query_id_make(rpc));
    if (rpc->query.sticky_phase) { /* its cache holds the run */
        ret_delivery->first_event_id = 1;
        ret_delivery->last_event_id = 0;
    }
    response->task_token = task_token_encode(&ret_delivery->task, arena);
    response->workflow_execution = execution_copy(task->workflow_execution, arena);
    response->workflow_type = ARENA_NEW(arena, struct common_WorkflowType);
    response->workflow_type->name = arena_copy(arena, task->workflow_type->name);
    response->previous_started_event_id = task->previous_started_event_id;
    response->attempt = 1;
    response->workflow_execution_task_queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    response->workflow_execution_task_queue->name = arena_copy(arena, rpc->work.normal_queue);
    response->workflow_execution_task_queue->kind = enums_TASK_QUEUE_KIND_NORMAL;
    response->query = query_copy(rpc, arena);
}

/* --- buffered --- */

/* False: the rpc has ended. */
static bool query_buffer(struct rpc *rpc)
{
    struct api_lane  *lane = rpc_at(rpc);
    struct rpc_query *query = &rpc->query;
    if (query->run_linked) /* it is in the buffer and stays there */
        return true;
    if (rpc->gone_seen || lane->draining) {
        rpc_fail(rpc, ST_UNAVAILABLE, "the server is shutting down, or the caller is gone");
        return false;
    }
    size_t count = 0;
    for (struct table_link *at = by_run_first(lane, rpc->work.run_number); at != NULL; at = table_next(at))
        count += CONTAINER_OF(at, struct rpc_query, by_run)->run == rpc->work.run_number;
    if (count >= rpc_limits(rpc)->buffered_queries_max) {
        struct error refusal;
        error_exhausted(&refusal, &rpc->arena, enums_RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW,
                        "another query waits for this workflow's next task");
        rpc_fail_error(rpc, &refusal);
        return false;
    }
    query_register(rpc);
    query->run = rpc->work.run_number;
    table_insert(&lane->queries_by_run, &query->by_run, hash_u64((uint64_t)query->run));
    query->run_linked = true;
    query->state = QUERY_BUFFERED;
    rpc_wait(rpc, query_drained, query_gone);
    rpc_set_timer(rpc, query->expires, deadline_fired);
    return true;
}

void query_attach(struct api_lane *lane, const struct workflow_delivery *delivery,
                  struct workflowservice_PollWorkflowTaskQueueResponse *response, struct arena *arena)
{
    store_number run = run_id_number(&delivery->run_id);
    size_t       capacity = 0;
    for (struct table_link *at = by_run_first(lane, run); at != NULL; at = table_next(at))
        capacity += CONTAINER_OF(at, struct rpc_query, by_run)->run == run;
    for (struct table_link *at = by_run_first(lane, run); at != NULL; at = table_next(at)) {
        struct rpc_query *query = CONTAINER_OF(at, struct rpc_query, by_run);
        if (query->run != run || (query->has_behind && task_same_start(&query->behind, &delivery->task)))
            continue;
        if (response->queries == NULL)
            response->queries = ARENA_NEW_ARRAY(
                arena, struct workflowservice_PollWorkflowTaskQueueResponse_QueriesEntry, capacity);
        query->state = QUERY_ATTACHED;
        response->queries[response->queries_count].key = arena_copy(arena, query->id_text);
        response->queries[response->queries_count++].value = query_copy(rpc_of_query(query), arena);
    }
}

void query_released(struct api_lane *lane, store_number run)
{
    struct table_link *next;
    if (lane->queries_by_run.count == 0)
        return;
    for (struct table_link *at = by_run_first(lane, run); at != NULL; at = next) {
        struct rpc_query *query = CONTAINER_OF(at, struct rpc_query, by_run);
        next = table_next(at);
        if (query->run != run)
            continue;
        if (query->deciding)
            query->decide_again = true;
        else
            query_decide(rpc_of_query(query));
    }
}

void query_forgotten(struct api_lane *lane)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&lane->queries_by_run, &iterator)) != NULL;)
        query_fail(rpc_of_query(CONTAINER_OF(at, struct rpc_query, by_run)), ST_UNAVAILABLE,
                   "the workflow moved or was reloaded while the query waited");
}

/* --- the decision --- */

static void query_decided(struct request *request)
{
    struct rpc       *rpc = rpc_of_work(request);
    struct rpc_query *query = &rpc->query;
    bool              was_buffered = query->run_linked, again = query->decide_again;
    query->deciding = query->decide_again = false;
    if (!was_buffered && query->number != 0) { /* answered or failed meanwhile */
        if (rpc->error.code != ST_OK)
            rpc_fail_error(rpc, &rpc->error);
        else
            rpc_reply(rpc, rpc->response);
        return;
    }
    if (request->error.code != ST_OK) {
        query_unlink(rpc);
        rpc_fail_error(rpc, &request->error);
    } else if (rpc->work.query == QUERY_REJECTED) {
        query_unlink(rpc);
        rpc_reply(rpc, rpc->work.response);
    } else if (rpc->work.query == QUERY_BUFFER) {
        if (!was_buffered) { /* a task that starts while it waits shows all that it has to see */
            query->has_behind = rpc->work.has_query_behind;
            query->behind = rpc->work.query_behind;
        }
        if (query_buffer(rpc) && again)
            query_decide(rpc);
    } else {
        query_unlink(rpc);
        query->sticky_phase = rpc->work.sticky_queue.size != 0;
        query->number = 0;
        rpc_move(rpc, runtime_queue_lane(rpc->home->api->runtime, rpc->ns.number, rpc->work.normal_queue),
                 query_dispatch);
    }
}

/* On the owner's lane: what happens to the run later is heard of later. */
static void query_decide(struct rpc *rpc)
{
    const struct workflowservice_QueryWorkflowRequest *request = rpc->request;
    struct api_lane                                   *lane = rpc_at(rpc);
    struct uuid                                        run_id;
    bool has_run_id = request->execution->run_id.size != 0 && uuid_parse(request->execution->run_id, &run_id);
    if (rpc->query.run_linked) { /* it was decided for one run and stays with it */
        run_id = rpc->work.run_id;
        has_run_id = true;
    }
    rpc_address(rpc, WORKFLOW_QUERY, request->execution->workflow_id, has_run_id ? &run_id : NULL);
    rpc->work.deadline_ns = time_add(lane_now(lane->lane), rpc->query.expires - lane_monotonic(lane->lane));
    rpc->query.deciding = true;
    rpc_submit(rpc, query_decided);
}

void query_workflow(struct rpc *rpc)
{
    const struct workflowservice_QueryWorkflowRequest *request = rpc->request;
    struct execution_ref                               execution;
    if (check_execution(request->execution, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    if (request->query == NULL) {
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "Query is not set on request.");
        return;
    }
    if (check_id("QueryType", request->query->query_type, &rpc->error) != ST_OK ||
        check_name(rpc, "QueryType", request->query->query_type, &rpc->error) != ST_OK ||
        check_payload(rpc, "Query arguments", request->query->query_args, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    int64_t hold = time_add(lane_monotonic(rpc->home->lane), QUERY_HOLD_NS);
    rpc->query.expires = rpc->call->deadline_ns == TIME_NEVER ? hold : rpc->call->deadline_ns;
    rpc_move(rpc, rpc_owner(rpc, execution.workflow_id), query_decide);
}

/* --- answers from workers --- */

static void respond_find(struct rpc *rpc)
{
    const struct workflowservice_RespondQueryTaskCompletedRequest *request = rpc->request;
    struct api_lane                                               *lane;
    uint64_t                                                       number;
    if (!query_id_parse(rpc->home->api, rpc->work.token.query_id, &lane, &number))
        panic("a query's id changed on its way");
    struct rpc *query = query_find(rpc_at(rpc), number);
    if (query == NULL || query->query.state != QUERY_ASSIGNED) {
        struct errordetails_NotFoundFailure detail = { 0 };
        error_set(&rpc->error, ST_NOT_FOUND, "query task is not known: it was answered, or its time is over");
        error_detail(&rpc->error, &rpc->arena, &pb_errordetails_NotFoundFailure, &detail);
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    query_succeed(query, request->completed_type, request->query_result, request->error_message,
                  request->failure);
    rpc_reply(rpc, NULL);
}

void respond_query_task_completed(struct rpc *rpc)
{
    const struct workflowservice_RespondQueryTaskCompletedRequest *request = rpc->request;
    struct task_ref                                                task;
    struct api_lane                                               *lane;
    uint64_t                                                       number;
    if (check_token(rpc, request->task_token, &task, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    if (!task.is_query || !query_id_parse(rpc->home->api, task.query_id, &lane, &number)) {
        rpc_fail(rpc, ST_NOT_FOUND, "query task is not known: it was answered, or its time is over");
        return;
    }
    rpc->work.token = task;
    rpc_move(rpc, lane->lane, respond_find);
}

/* --- pollers that went away --- */

static void taken_home(struct message *message)
{
    rpc_returned(CONTAINER_OF(message, struct rpc, message));
}

static void take_back_here(struct message *message)
{
    struct rpc      *poll = CONTAINER_OF(message, struct rpc, message);
    struct api_lane *lane;
    uint64_t         number;
    if (query_id_parse(poll->home->api, poll->handed->task.query_id, &lane, &number)) {
        struct rpc *rpc = query_find(lane, number);
        if (rpc != NULL && rpc->query.state == QUERY_ASSIGNED) {
            query_unlink(rpc);
            query_dispatch(rpc);
        }
    }
    message->run = taken_home;
    lane_post(poll->home->lane, message);
}

void query_take_back(struct rpc *poll)
{
    struct api_lane *lane;
    uint64_t         number;
    if (!query_id_parse(poll->home->api, poll->handed->task.query_id, &lane, &number))
        panic("a query's id changed on its way");
    poll->message.run = take_back_here;
    lane_post(lane->lane, &poll->message);
}

/* Answers that rode on a workflow task; the copy for another lane. */
struct query_answer {
    struct message   message;
    struct arena     arena;
    struct api_lane *lane;
    uint64_t         number;
    int32_t          type;
    struct bytes     answer, text, failure;
};

static void answer_arrived(struct message *message)
{
    struct query_answer *self = CONTAINER_OF(message, struct query_answer, message);
    struct rpc          *query = query_find(self->lane, self->number);
    if (query != NULL && query->query.state == QUERY_ATTACHED)
        query_succeed(query, self->type, self->answer, self->text, self->failure);
    arena_release(&self->arena);
    free(self);
}

bool query_abandon_message(struct message *message)
{
    if (message->run != answer_arrived)
        return false;
    struct query_answer *self = CONTAINER_OF(message, struct query_answer, message);
    arena_release(&self->arena);
    free(self);
    return true;
}

void query_results(struct rpc *rpc, const struct workflowservice_RespondWorkflowTaskCompletedRequest *request)
{
    for (size_t i = 0; i < request->query_results_count; i++) {
        const struct query_WorkflowQueryResult *result = request->query_results[i].value;
        struct query_answer                    *answer;
        struct api_lane                        *lane;
        uint64_t                                number;
        uint8_t                                 id[QUERY_ID_SIZE];
        if (result == NULL || !hex_parse(request->query_results[i].key, id) ||
            !query_id_parse(rpc->home->api, bytes_of(id, sizeof id), &lane, &number))
            continue;
        if (lane == rpc_at(rpc)) {
            struct rpc *query = query_find(lane, number);
            if (query != NULL && query->query.state == QUERY_ATTACHED)
                query_succeed(query, result->result_type, result->answer, result->error_message,
                              result->failure);
            continue;
        }
        answer = xcalloc(1, sizeof *answer);
        arena_init(&answer->arena, SIZE_MAX);
        answer->lane = lane;
        answer->number = number;
        answer->type = result->result_type;
        answer->answer = arena_copy(&answer->arena, result->answer);
        answer->text = arena_copy(&answer->arena, result->error_message);
        answer->failure = arena_copy(&answer->arena, result->failure);
        answer->message.run = answer_arrived;
        lane_post(lane->lane, &answer->message);
    }
}
