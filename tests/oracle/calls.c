/* calls.c: what clients and workers say and hear: every answer is taken apart for what it shows of runs. */
#include "base/hash.h"
#include "internal.h"

#define METHOD(name) PB_METHOD_WorkflowService_##name

/* Where the next page of a history goes on. */
struct page {
    struct table_link link;
    struct bytes      token, run_id;
    int64_t           next;
    uint64_t begun; /* when the first page was asked for; 0: not by the run's id, or not all events */
};

/* --- calls --- */

uint64_t oracle_call(struct oracle *oracle, unsigned method, struct bytes request)
{
    struct error error;
    struct call *call = ARENA_NEW(&oracle->arena, struct call);
    call->number = ++oracle->call_count;
    call->at = ++oracle->now;
    call->method = &pb_methods[method];
    void *decoded = arena_must(arena_zalloc(&oracle->arena, 1, (size_t)call->method->request->size + 1));
    if (pb_decode(call->method->request, arena_copy(&oracle->arena, request), &oracle->arena, decoded,
                  &error) == ST_OK) {
        call->request = decoded;
        operations_called(oracle, call);
    }
    list_append(&oracle->calls, &call->link);
    return call->number;
}

static struct call *take_call(struct oracle *oracle, uint64_t number)
{
    LIST_FOR_EACH (call, &oracle->calls, struct call, link) {
        if (call->number == number) {
            list_remove(&call->link);
            return call;
        }
    }
    return NULL;
}

/* --- tasks --- */

static struct delivery *delivery_of(const struct oracle *oracle, struct bytes token)
{
    for (struct table_link *at = table_first(&oracle->deliveries, hash_bytes(token)); at != NULL;
         at = table_next(at)) {
        struct delivery *delivery = CONTAINER_OF(at, struct delivery, link);
        if (bytes_equal(delivery->token, token))
            return delivery;
    }
    return NULL;
}

static struct delivery *deliver(struct oracle *oracle, struct bytes token,
                                const struct common_WorkflowExecution *execution, struct bytes activity_id,
                                int64_t started, int32_t attempt)
{
    if (delivery_of(oracle, token) != NULL)
        oracle_fail(oracle, ORACLE_TASK_TWICE,
                    "run %.*s: a task was handed out twice (started by event %" PRId64
                    ", activity '%.*s', attempt %d)",
                    BYTES_FMT(execution->run_id), started, BYTES_FMT(activity_id), attempt);
    struct delivery *delivery = ARENA_NEW(&oracle->arena, struct delivery);
    delivery->token = arena_copy(&oracle->arena, token);
    delivery->run_id = arena_copy(&oracle->arena, execution->run_id);
    delivery->activity_id = arena_copy(&oracle->arena, activity_id);
    delivery->started = started;
    delivery->attempt = attempt;
    table_insert(&oracle->deliveries, &delivery->link, hash_bytes(token));
    oracle_run_belongs(oracle, oracle_run_of(oracle, execution->run_id), execution->workflow_id);
    return delivery;
}

static void note_page(struct oracle *oracle, struct bytes token, struct bytes run_id, int64_t next,
                      uint64_t begun)
{
    if (token.size == 0)
        return;
    struct page *page = ARENA_NEW(&oracle->arena, struct page);
    page->token = arena_copy(&oracle->arena, token);
    page->run_id = arena_copy(&oracle->arena, run_id);
    page->next = next;
    page->begun = begun;
    table_insert(&oracle->pages, &page->link, hash_bytes(token));
}

static const struct page *page_of(const struct oracle *oracle, struct bytes token)
{
    if (token.size == 0)
        return NULL;
    for (struct table_link *at = table_first(&oracle->pages, hash_bytes(token)); at != NULL;
         at = table_next(at)) {
        const struct page *page = CONTAINER_OF(at, struct page, link);
        if (bytes_equal(page->token, token))
            return page;
    }
    return NULL;
}

static bool event_id_of(struct bytes raw, int64_t *ret_id)
{
    struct history_HistoryEvent event;
    struct arena                arena;
    struct error                error;
    arena_init(&arena, SIZE_MAX);
    bool decodes = pb_decode(&pb_history_HistoryEvent, raw, &arena, &event, &error) == ST_OK;
    *ret_id = decodes ? event.event_id : 0;
    arena_release(&arena);
    return decodes;
}

/* A task's history ends with its Started; the last two events may have no place yet. */
static void take_task(struct oracle *oracle, const struct workflowservice_PollWorkflowTaskQueueResponse *task)
{
    if (task->task_token.size == 0 || task->workflow_execution == NULL)
        return;
    struct bytes        run_id = task->workflow_execution->run_id;
    const struct bytes *events = task->history == NULL ? NULL : task->history->events;
    size_t              count = task->history == NULL ? 0 : task->history->events_count;
    int64_t             first = 0, last = 0;
    if (count != 0 && (!event_id_of(events[0], &first) || !event_id_of(events[count - 1], &last)))
        first = last = 0;
    if (task->query != NULL) {
        oracle_run_belongs(oracle, oracle_run_of(oracle, run_id), task->workflow_execution->workflow_id);
        oracle_events(oracle, run_id, events, count, ORACLE_SETTLED);
        note_page(oracle, task->next_page_token, run_id, last + 1, 0);
        return;
    }
    struct delivery *delivery = deliver(oracle, task->task_token, task->workflow_execution, BYTES_EMPTY,
                                        task->started_event_id, task->attempt);
    bool             settled = task->attempt == 1 && task->messages_count == 0;
    if (settled)
        oracle_task_delivered(oracle, run_id, task->started_event_id);
    if (count == 0 || (task->next_page_token.size == 0 && last != task->started_event_id) ||
        (first != 1 && first != task->previous_started_event_id + 1))
        oracle_fail(oracle, ORACLE_TASK_EVENTS,
                    "run %.*s: a task started by event %" PRId64 ", the one before by %" PRId64
                    ", has events %" PRId64 " to %" PRId64,
                    BYTES_FMT(run_id), task->started_event_id, task->previous_started_event_id, first, last);
    if (!settled && count >= 2 && last == task->started_event_id) {
        delivery->tail_count = 2;
        delivery->tail[0] = arena_copy(&oracle->arena, events[count - 2]);
        delivery->tail[1] = arena_copy(&oracle->arena, events[count - 1]);
    }
    oracle_events(oracle, run_id, events, count,
                  settled ? task->started_event_id : task->started_event_id - 2);
    note_page(oracle, task->next_page_token, run_id, last + 1, 0);
}

struct attempt {
    struct table_link link;
    struct bytes      run_id, activity_id;
    int32_t           number;
};

static void take_activity(struct oracle                                              *oracle,
                          const struct workflowservice_PollActivityTaskQueueResponse *task)
{
    if (task->task_token.size == 0 || task->workflow_execution == NULL)
        return;
    struct bytes     run_id = task->workflow_execution->run_id;
    struct delivery *delivery = deliver(oracle, task->task_token, task->workflow_execution, task->activity_id,
                                        0, task->attempt);
    delivery->of_activity = true;
    if (task->attempt < 1)
        oracle_fail(oracle, ORACLE_ACTIVITY_ATTEMPT, "run %.*s: activity '%.*s' came as attempt %d",
                    BYTES_FMT(run_id), BYTES_FMT(task->activity_id), task->attempt);
    /* An id may be used again; then the Scheduled's time tells them apart. */
    uint64_t hash = hash_combine(hash_combine(hash_bytes(run_id), hash_bytes(task->activity_id)),
                                 hash_combine((uint64_t)task->attempt,
                                              (uint64_t)timestamp_ns(task->scheduled_time)));
    for (struct table_link *at = table_first(&oracle->attempts, hash); at != NULL; at = table_next(at)) {
        const struct attempt *attempt = CONTAINER_OF(at, struct attempt, link);
        if (attempt->number == task->attempt && bytes_equal(attempt->run_id, run_id) &&
            bytes_equal(attempt->activity_id, task->activity_id) &&
            !oracle_has_operated(oracle, task->workflow_execution->workflow_id))
            oracle_fail(oracle, ORACLE_TASK_TWICE,
                        "run %.*s: attempt %d of activity '%.*s' was handed out twice", BYTES_FMT(run_id),
                        task->attempt, BYTES_FMT(task->activity_id));
    }
    struct attempt *attempt = ARENA_NEW(&oracle->arena, struct attempt);
    attempt->run_id = delivery->run_id;
    attempt->activity_id = delivery->activity_id;
    attempt->number = task->attempt;
    table_insert(&oracle->attempts, &attempt->link, hash);
}

/* One answer that a completion was taken, under this token. */
static struct delivery *accept(struct oracle *oracle, const struct call *call, struct bytes token)
{
    struct delivery *delivery = delivery_of(oracle, token);
    if (delivery == NULL)
        return NULL;
    if (delivery->accepted++ != 0)
        oracle_fail(oracle, ORACLE_COMPLETION_TWICE,
                    "run %.*s: two completions were accepted (task of event %" PRId64
                    ", activity '%.*s', attempt %d)",
                    BYTES_FMT(delivery->run_id), delivery->started, BYTES_FMT(delivery->activity_id),
                    delivery->attempt);
    delivery->accepted_at = oracle->now;
    delivery->request = call->request;
    delivery->method = call->method->index;
    return delivery;
}

static void task_completed(struct oracle *oracle, const struct call *call,
                           const struct workflowservice_RespondWorkflowTaskCompletedResponse *response)
{
    const struct workflowservice_RespondWorkflowTaskCompletedRequest *request = call->request;
    struct delivery *delivery = accept(oracle, call, request->task_token);
    if (delivery != NULL && delivery->tail_count != 0) {
        /* A speculative task that only rejects leaves no trace; one with commands is written as its worker saw it. */
        delivery->left_no_trace = response->reset_history_event_id != 0 || request->commands_count == 0;
        if (!delivery->left_no_trace)
            oracle_events(oracle, delivery->run_id, delivery->tail, delivery->tail_count, INT64_MAX);
    }
    if (response->workflow_task != NULL)
        take_task(oracle, response->workflow_task);
    for (size_t i = 0; i < response->activity_tasks_count; i++)
        take_activity(oracle, &response->activity_tasks[i]);
}

/* --- histories --- */

/* The run that these events are of, when the caller did not name one: its Started and its last reset say so. */
static struct bytes run_named_by(struct oracle *oracle, const struct bytes *events, size_t count)
{
    struct bytes found = BYTES_EMPTY;
    for (size_t i = 0; i < count; i++) {
        struct history_HistoryEvent *event = ARENA_NEW(&oracle->arena, struct history_HistoryEvent);
        struct error                 error;
        if (pb_decode(&pb_history_HistoryEvent, arena_copy(&oracle->arena, events[i]), &oracle->arena, event,
                      &error) != ST_OK)
            return BYTES_EMPTY;
        if (i == 0 && event->event_id != 1)
            return BYTES_EMPTY;
        if (event->attributes_case == 6)
            found = event->workflow_execution_started_event_attributes->original_execution_run_id;
        else if (event->attributes_case == 14 &&
                 event->workflow_task_failed_event_attributes->new_run_id.size != 0)
            found = event->workflow_task_failed_event_attributes->new_run_id;
    }
    return found;
}

static void history_read(struct oracle *oracle, const struct call *call,
                         const struct workflowservice_GetWorkflowExecutionHistoryResponse *response)
{
    const struct workflowservice_GetWorkflowExecutionHistoryRequest *request = call->request;
    const struct page  *page = page_of(oracle, request->next_page_token);
    const struct bytes *events = response->history == NULL ? NULL : response->history->events;
    size_t              count = response->history == NULL ? 0 : response->history->events_count;
    bool         of_close = request->history_event_filter_type == enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
    bool         named = request->execution != NULL && request->execution->run_id.size != 0;
    struct bytes run_id = page != NULL ? page->run_id
                          : named      ? request->execution->run_id
                                       : run_named_by(oracle, events, count);
    if (run_id.size == 0)
        return;
    int64_t     first = 0, next = page == NULL ? 1 : page->next;
    uint64_t    begun = of_close ? 0 : page != NULL ? page->begun : call->at;
    struct run *run = oracle_run_of(oracle, run_id);
    if (request->execution != NULL)
        oracle_run_belongs(oracle, run, request->execution->workflow_id);
    if (count != 0 && event_id_of(events[0], &first) && !of_close && next != 0 && first != next)
        oracle_fail(oracle, ORACLE_GAP, "run %.*s: a page begins with event %" PRId64 ", not %" PRId64,
                    BYTES_FMT(run_id), first, next);
    oracle_events(oracle, run_id, events, count, ORACLE_SETTLED);
    int64_t last = first == 0 ? next - 1 : first + (int64_t)count - 1;
    note_page(oracle, response->next_page_token, run_id, of_close ? 0 : last + 1, begun);
    if (of_close || response->next_page_token.size != 0 || begun == 0)
        return;
    /* All of it has been read; what somebody knew before it was asked for is there. */
    if (last < oracle_last_known(run, begun))
        oracle_fail(oracle, ORACLE_SHORT, "run %.*s: history ends with event %" PRId64 ", known was %" PRId64,
                    BYTES_FMT(run_id), last, oracle_last_known(run, begun));
    run->read = begun;
    run->read_last = last;
}

static void history_read_back(
    struct oracle *oracle, const struct call *call,
    const struct workflowservice_GetWorkflowExecutionHistoryReverseResponse *response)
{
    const struct workflowservice_GetWorkflowExecutionHistoryReverseRequest *request = call->request;
    size_t count = response->history == NULL ? 0 : response->history->events_count;
    if (request->execution == NULL || request->execution->run_id.size == 0 || count == 0)
        return;
    struct bytes *forward = ARENA_NEW_ARRAY(&oracle->arena, struct bytes, count);
    for (size_t i = 0; i < count; i++)
        forward[i] = response->history->events[count - 1 - i];
    oracle_events(oracle, request->execution->run_id, forward, count, ORACLE_SETTLED);
}

/* --- answers --- */

static void rows_read(struct oracle *oracle, const struct call *call,
                      const struct workflow_WorkflowExecutionInfo *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        view_row(oracle, call, &rows[i]);
}

static void answered(struct oracle *oracle, const struct call *call, const void *response)
{
    switch (call->method->index) {
    case METHOD(PollWorkflowTaskQueue):
        take_task(oracle, response);
        break;
    case METHOD(PollActivityTaskQueue):
        take_activity(oracle, response);
        break;
    case METHOD(RespondWorkflowTaskCompleted):
        task_completed(oracle, call, response);
        break;
    case METHOD(RespondWorkflowTaskFailed):
        (void)accept(
            oracle, call,
            ((const struct workflowservice_RespondWorkflowTaskFailedRequest *)call->request)->task_token);
        break;
    case METHOD(RespondActivityTaskCompleted):
        (void)accept(
            oracle, call,
            ((const struct workflowservice_RespondActivityTaskCompletedRequest *)call->request)->task_token);
        break;
    case METHOD(RespondActivityTaskFailed):
        (void)accept(
            oracle, call,
            ((const struct workflowservice_RespondActivityTaskFailedRequest *)call->request)->task_token);
        break;
    case METHOD(RespondActivityTaskCanceled):
        (void)accept(
            oracle, call,
            ((const struct workflowservice_RespondActivityTaskCanceledRequest *)call->request)->task_token);
        break;
    case METHOD(GetWorkflowExecutionHistory):
        history_read(oracle, call, response);
        break;
    case METHOD(GetWorkflowExecutionHistoryReverse):
        history_read_back(oracle, call, response);
        break;
    case METHOD(DescribeWorkflowExecution):
        view_described(oracle, call, response);
        break;
    case METHOD(ListWorkflowExecutions): {
        const struct workflowservice_ListWorkflowExecutionsResponse *list = response;
        rows_read(oracle, call, list->executions, list->executions_count);
        break;
    }
    case METHOD(ScanWorkflowExecutions): {
        const struct workflowservice_ScanWorkflowExecutionsResponse *list = response;
        rows_read(oracle, call, list->executions, list->executions_count);
        break;
    }
    case METHOD(ListOpenWorkflowExecutions): {
        const struct workflowservice_ListOpenWorkflowExecutionsResponse *list = response;
        rows_read(oracle, call, list->executions, list->executions_count);
        break;
    }
    case METHOD(ListClosedWorkflowExecutions): {
        const struct workflowservice_ListClosedWorkflowExecutionsResponse *list = response;
        rows_read(oracle, call, list->executions, list->executions_count);
        break;
    }
    default:
        break;
    }
}

void oracle_answer(struct oracle *oracle, uint64_t number, enum status code, struct bytes reply)
{
    struct call *call = take_call(oracle, number);
    struct error error;
    oracle->now++;
    if (call == NULL || call->request == NULL)
        return;
    void *response = NULL;
    if (code == ST_OK) {
        response = arena_must(arena_zalloc(&oracle->arena, 1, (size_t)call->method->response->size + 1));
        if (pb_decode(call->method->response, arena_copy(&oracle->arena, reply), &oracle->arena, response,
                      &error) != ST_OK) {
            oracle_fail(oracle, ORACLE_MALFORMED, "an answer of %.*s: %s", BYTES_FMT(call->method->name),
                        error.message);
            return;
        }
    }
    operations_answered(oracle, call, code, response);
    if (response != NULL)
        answered(oracle, call, response);
    const struct workflowservice_GetWorkflowExecutionHistoryRequest *read = call->request;
    if (code == ST_NOT_FOUND && call->method->index == METHOD(GetWorkflowExecutionHistory) &&
        read->execution != NULL && read->execution->run_id.size != 0)
        oracle_run_of(oracle, read->execution->run_id)->missing = true;
}

/* --- the end --- */

void oracle_settle(struct oracle *oracle)
{
    oracle->settled = ++oracle->now;
}

bool oracle_unread(struct oracle *oracle, struct bytes *ret_workflow_id, struct bytes *ret_run_id)
{
    struct table_iterator iterator = { 0 };
    for (struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (run->read >= oracle->settled || run->workflow_id.size == 0 || run->missing)
            continue;
        *ret_workflow_id = run->workflow_id;
        *ret_run_id = run->id;
        return true;
    }
    return false;
}

/* The event with which each command begins what it asks for; 0: none of its own. */
static int32_t event_of_command(int32_t command)
{
    static const int32_t events[] = {
        [enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK] = enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        [enums_COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK] = enums_EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
        [enums_COMMAND_TYPE_START_TIMER] = enums_EVENT_TYPE_TIMER_STARTED,
        [enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION] = enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        [enums_COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION] = enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        [enums_COMMAND_TYPE_CANCEL_TIMER] = enums_EVENT_TYPE_TIMER_CANCELED,
        [enums_COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION] = enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        [enums_COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION] =
            enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        [enums_COMMAND_TYPE_RECORD_MARKER] = enums_EVENT_TYPE_MARKER_RECORDED,
        [enums_COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION] =
            enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        [enums_COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION] =
            enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        [enums_COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION] =
            enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        [enums_COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES] =
            enums_EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        [enums_COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES] = enums_EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
        [enums_COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION] = enums_EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
        [enums_COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION] =
            enums_EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED,
    };
    return command > 0 && (size_t)command < ARRAY_COUNT(events) ? events[command] : 0;
}

/* A completion that was accepted is in history, and its commands follow it in their order. */
static void audit_task(struct oracle *oracle, const struct run *run, const struct delivery *delivery)
{
    const struct workflowservice_RespondWorkflowTaskCompletedRequest *request = delivery->request;
    const struct history_HistoryEvent *completed = run_event(run, delivery->started + 1);
    if (completed == NULL || completed->event_type != enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
        oracle_fail(oracle, ORACLE_COMPLETION_LOST,
                    "run %.*s: the completion of the task of event %" PRId64 " is not there",
                    BYTES_FMT(run->id), delivery->started);
        return;
    }
    int64_t id = completed->event_id;
    for (size_t i = 0; i < request->commands_count; i++) {
        int32_t type = event_of_command(request->commands[i].command_type);
        if (type == 0)
            continue;
        do
            id++;
        while (run_event(run, id) != NULL &&
               (run_event(run, id)->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED ||
                run_event(run, id)->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED));
        if (run_event(run, id) == NULL || run_event(run, id)->event_type != type) {
            oracle_fail(oracle, ORACLE_COMPLETION_LOST,
                        "run %.*s: command %zu of the task completed by event %" PRId64
                        " is not event %" PRId64,
                        BYTES_FMT(run->id), i, completed->event_id, id);
            return;
        }
    }
}

/* The end of the activity that this attempt was of, if that attempt ended it; NULL: it went on, or ended otherwise. */
static const struct history_HistoryEvent *end_of_attempt(const struct run      *run,
                                                         const struct delivery *delivery, bool *ret_is_over)
{
    *ret_is_over = false;
    for (int64_t id = 1; id < run->judge->thing_capacity; id++) {
        const struct thing *thing = run->judge->things[id];
        if (thing == NULL || thing->kind != THING_ACTIVITY ||
            !bytes_equal(thing->name, delivery->activity_id))
            continue;
        if (thing->ended == 0)
            continue;
        *ret_is_over = true;
        if (thing->started_event != NULL &&
            thing->started_event->activity_task_started_event_attributes->attempt == delivery->attempt)
            return run_event(run, thing->ended);
    }
    return NULL;
}

/* A completion that was accepted is what history says, with its result. An accepted failure may have been retried. */
static void audit_activity(struct oracle *oracle, const struct run *run, const struct delivery *delivery)
{
    bool                               is_over;
    const struct history_HistoryEvent *end = end_of_attempt(run, delivery, &is_over);
    bool                               good = true;
    /* An operator's reset counts attempts from 1 again, also under the one that is under way. */
    if (oracle_has_operated(oracle, run->workflow_id))
        return;
    switch (delivery->method) {
    case METHOD(RespondActivityTaskCompleted): {
        const struct workflowservice_RespondActivityTaskCompletedRequest *request = delivery->request;
        /* Or the run was reset to before it, or closed with it in the buffer. */
        good = end != NULL && end->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED &&
               bytes_equal(end->activity_task_completed_event_attributes->result, request->result);
        break;
    }
    case METHOD(RespondActivityTaskCanceled):
        good = end != NULL && end->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED;
        break;
    case METHOD(RespondActivityTaskFailed):
        good = end == NULL || end->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_FAILED;
        break;
    default:
        break;
    }
    if (!good)
        oracle_fail(oracle, ORACLE_COMPLETION_LOST,
                    "run %.*s: what was accepted for attempt %d of activity '%.*s' is not in history",
                    BYTES_FMT(run->id), delivery->attempt, BYTES_FMT(delivery->activity_id));
}

void deliveries_audit(struct oracle *oracle)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&oracle->deliveries, &iterator)) != NULL;) {
        const struct delivery *delivery = CONTAINER_OF(at, struct delivery, link);
        const struct run      *run = oracle_run(oracle, delivery->run_id);
        if (delivery->accepted == 0 || run == NULL || !run_is_complete(run))
            continue;
        if (delivery->of_activity)
            audit_activity(oracle, run, delivery);
        else if (delivery->method == METHOD(RespondWorkflowTaskCompleted) && !delivery->left_no_trace)
            audit_task(oracle, run, delivery);
    }
}

void oracle_audit(struct oracle *oracle)
{
    views_audit(oracle);
    deliveries_audit(oracle);
    operations_audit(oracle);
    chain_audit(oracle);
}
