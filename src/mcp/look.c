/* look.c: one look at a run: describe the newest of its chain, and ask for what the description does not say.
 *
 *   describe (current run of the id) ── of this chain ──> [query of the approval] ──> [open timers] ──> done
 *        └─ another chain has the id by now ──> describe (first run) ── ended with a successor ──> describe (successor) ...
 */
#include "mcp/run_internal.h"

#define CHAIN_MAX     10000
#define QUERY_WAIT_NS (3 * NS_PER_S)

struct look {
    struct runs         *runs;
    struct run_ref       ref;
    const struct tool   *tool;
    look_done           *done;
    void                *context;
    struct backend_call *call;
    struct ask          *ask;
    struct arena         arena; /* of the facts */
    struct buffer        wire;  /* the description, since its answer goes before the facts do */
    struct run_facts     facts;
    struct timer_scan   *timers; /* in the arena */
    char                *run_id; /* of the run that is described; NULL: the current one of the id */
    unsigned             runs_seen;
};

char *text_copy(struct bytes text)
{
    char *copy = xcalloc(1, text.size + 1);
    if (text.size != 0)
        memcpy(copy, text.base, text.size);
    return copy;
}

bool run_ref_copy(const struct run_ref *from, struct run_ref *ret_ref)
{
    ret_ref->namespace_name = text_copy(bytes_of_text(from->namespace_name));
    ret_ref->workflow_id = text_copy(bytes_of_text(from->workflow_id));
    ret_ref->first_run_id = text_copy(bytes_of_text(from->first_run_id));
    ret_ref->update_id = from->update_id == NULL ? NULL : text_copy(bytes_of_text(from->update_id));
    return true;
}

void run_ref_release(struct run_ref *ref)
{
    free((void *)(uintptr_t)ref->namespace_name);
    free((void *)(uintptr_t)ref->workflow_id);
    free((void *)(uintptr_t)ref->first_run_id);
    free((void *)(uintptr_t)ref->update_id);
    *ref = (struct run_ref){ 0 };
}

struct bytes close_successor(const struct history_HistoryEvent *event)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return event->workflow_execution_completed_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return event->workflow_execution_failed_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return event->workflow_execution_timed_out_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return event->workflow_execution_continued_as_new_event_attributes->new_execution_run_id;
    default:
        return BYTES_EMPTY;
    }
}

struct history_HistoryEvent *page_event(
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page, size_t index, struct arena *arena)
{
    struct history_HistoryEvent *event = ARENA_NEW(arena, struct history_HistoryEvent);
    if (page->history == NULL || index >= page->history->events_count ||
        pb_decode(&pb_history_HistoryEvent, page->history->events[index], arena, event, NULL) != ST_OK)
        return NULL;
    return event;
}

static void look_free(struct look *look)
{
    backend_cancel(look->call);
    ask_cancel(look->ask);
    run_ref_release(&look->ref);
    arena_release(&look->arena);
    buffer_release(&look->wire);
    free(look->run_id);
    free(look);
}

static void finish(struct look *look, const struct error *error)
{
    static const struct error none;
    look->done(look->context, error == NULL ? &look->facts : NULL, error == NULL ? &none : error,
               &look->arena);
    look_free(look);
}

static struct common_WorkflowExecution execution_of(const struct look *look)
{
    return (struct common_WorkflowExecution){ .workflow_id = bytes_of_text(look->ref.workflow_id),
                                              .run_id = bytes_of_text(look->run_id) };
}

/* --- open timers: in the newest pages of history, once per event --- */

#define TIMER_PAGE       200
#define TIMER_EVENTS_MAX 2000

/* Timers whose end was seen, newest first: whose beginning comes later is over. */
struct timer_scan {
    int64_t ended[TIMER_EVENTS_MAX], due;
    size_t  ended_count, events;
};

static struct timer_memo *timer_memo_of(struct look *look)
{
    struct bytes       run = look->facts.description->workflow_execution_info->execution->run_id;
    uint64_t           key = hash_bytes(run) | 1;
    struct timer_memo *memo = &look->runs->timers[(key >> 8) % ARRAY_COUNT(look->runs->timers)];
    if (memo->key != key)
        *memo = (struct timer_memo){ .key = key, .history_length = -1 };
    return memo;
}

static void scan_event(struct timer_scan *scan, const struct history_HistoryEvent *event)
{
    bool open = true;
    if (event->event_type == enums_EVENT_TYPE_TIMER_FIRED)
        scan->ended[scan->ended_count++] = event->timer_fired_event_attributes->started_event_id;
    else if (event->event_type == enums_EVENT_TYPE_TIMER_CANCELED)
        scan->ended[scan->ended_count++] = event->timer_canceled_event_attributes->started_event_id;
    if (event->event_type != enums_EVENT_TYPE_TIMER_STARTED)
        return;
    for (size_t k = 0; k < scan->ended_count; k++)
        open = open && scan->ended[k] != event->event_id;
    int64_t at = time_add(timestamp_ns(event->event_time),
                          duration_ns(event->timer_started_event_attributes->start_to_fire_timeout));
    if (open && (scan->due == 0 || at < scan->due))
        scan->due = at;
}

static void ask_timers(struct look *look, struct bytes token);

static void timers_seen(void *context, const void *response, const struct error *error UNUSED,
                        struct arena *arena)
{
    struct look                                                             *look = context;
    struct timer_scan                                                       *scan = look->timers;
    const struct workflowservice_GetWorkflowExecutionHistoryReverseResponse *page = response;
    look->call = NULL;
    size_t count = page == NULL || page->history == NULL ? 0 : page->history->events_count;
    for (size_t i = 0; i < count && scan->events < TIMER_EVENTS_MAX; i++) { /* newest first */
        struct history_HistoryEvent event;
        scan->events++;
        if (pb_decode(&pb_history_HistoryEvent, page->history->events[i], arena, &event, NULL) == ST_OK)
            scan_event(scan, &event);
    }
    if (count != 0 && page->next_page_token.size != 0 && scan->events < TIMER_EVENTS_MAX) {
        ask_timers(look, page->next_page_token);
        return;
    }
    look->facts.timer_due_ns = scan->due;
    if (page != NULL) {
        struct timer_memo *memo = timer_memo_of(look);
        memo->history_length = look->facts.description->workflow_execution_info->history_length;
        memo->due_ns = scan->due;
    }
    finish(look, NULL);
}

static void ask_timers(struct look *look, struct bytes token)
{
    struct common_WorkflowExecution execution = *look->facts.description->workflow_execution_info->execution;
    struct workflowservice_GetWorkflowExecutionHistoryReverseRequest request = {
        .namespace = bytes_of_text(look->ref.namespace_name),
        .execution = &execution,
        .maximum_page_size = TIMER_PAGE,
        .next_page_token = token,
    };
    look->call = backend_send(look->runs->backend,
                              PB_METHOD_WorkflowService_GetWorkflowExecutionHistoryReverse, &request,
                              BACKEND_TIMEOUT_NS, timers_seen, look);
}

static void look_for_timers(struct look *look)
{
    const struct workflowservice_DescribeWorkflowExecutionResponse *it = look->facts.description;
    if (!status_is_open(it->workflow_execution_info->status) || it->pending_activities_count != 0 ||
        it->pending_children_count != 0 || it->pending_workflow_task != NULL || look->facts.asks) {
        finish(look, NULL);
        return;
    }
    const struct timer_memo *memo = timer_memo_of(look);
    if (memo->history_length == it->workflow_execution_info->history_length) {
        look->facts.timer_due_ns = memo->due_ns;
        finish(look, NULL);
        return;
    }
    look->timers = ARENA_NEW(&look->arena, struct timer_scan);
    ask_timers(look, BYTES_EMPTY);
}

/* --- the approval's query --- */

static struct approval_memo *memo_of(struct look *look)
{
    const struct workflow_WorkflowExecutionInfo *info = look->facts.description->workflow_execution_info;
    uint64_t                                     key = hash_combine(hash_bytes(info->execution->run_id),
                                                                    hash_bytes(bytes_of_text(look->tool->approval->when.query))) |
                   1;
    struct approval_memo *memo = &look->runs->approvals[(key >> 8) % ARRAY_COUNT(look->runs->approvals)];
    if (memo->key != key)
        *memo = (struct approval_memo){ .key = key, .history_length = -1 };
    return memo;
}

static void approval_asked(void *context, const void *response, const struct error *error UNUSED,
                           struct arena *arena)
{
    struct look                                        *look = context;
    const struct workflowservice_QueryWorkflowResponse *answer = response;
    look->ask = NULL;
    if (answer != NULL) {
        struct approval_memo *memo = memo_of(look);
        struct payload_view   view = payloads_read_first(answer->query_result, arena);
        memo->holds = view.form == PAYLOAD_JSON && json_same(view.value, look->tool->approval->when.equals);
        memo->history_length = look->facts.description->workflow_execution_info->history_length;
        look->facts.asks = memo->holds;
        if (view.form == PAYLOAD_JSON)
            json_decref(view.value);
    }
    look_for_timers(look);
}

/* While a workflow task is outstanding the state is about to change: the question waits for what comes of it. */
static void look_for_approval(struct look *look)
{
    const struct workflowservice_DescribeWorkflowExecutionResponse *it = look->facts.description;
    if (look->tool == NULL || look->tool->approval == NULL || it->pending_workflow_task != NULL ||
        it->workflow_execution_info->status != enums_WORKFLOW_EXECUTION_STATUS_RUNNING) {
        look_for_timers(look);
        return;
    }
    const struct approval_memo *memo = memo_of(look);
    if (memo->history_length == it->workflow_execution_info->history_length) {
        look->facts.asks = memo->holds;
        look_for_timers(look);
        return;
    }
    struct ask_question question = {
        .namespace_name = bytes_of_text(look->ref.namespace_name),
        .workflow_id = it->workflow_execution_info->execution->workflow_id,
        .run_id = it->workflow_execution_info->execution->run_id,
        .task_queue = it->workflow_execution_info->task_queue,
        .query = bytes_of_text(look->tool->approval->when.query),
        .timeout_ns = QUERY_WAIT_NS,
    };
    look->ask = ask_begin(look->runs, &question, approval_asked, look);
}

/* --- the description --- */

static void describe(struct look *look);

static void successor_seen(void *context, const void *response, const struct error *error,
                           struct arena *arena)
{
    struct look *look = context;
    look->call = NULL;
    if (response == NULL) {
        finish(look, error);
        return;
    }
    const struct history_HistoryEvent *event = page_event(response, 0, arena);
    struct bytes                       next = event == NULL ? BYTES_EMPTY : close_successor(event);
    if (next.size == 0) {
        look_for_approval(look);
        return;
    }
    free(look->run_id);
    look->run_id = text_copy(next);
    describe(look);
}

static void look_for_successor(struct look *look)
{
    struct common_WorkflowExecution                           execution = execution_of(look);
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = bytes_of_text(look->ref.namespace_name),
        .execution = &execution,
        .history_event_filter_type = enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
    };
    look->call = backend_send(look->runs->backend, PB_METHOD_WorkflowService_GetWorkflowExecutionHistory,
                              &request, BACKEND_TIMEOUT_NS, successor_seen, look);
}

/* The id belongs to another chain by now, or to none: this one is found from its first run on. */
static void describe_first(struct look *look)
{
    look->run_id = text_copy(bytes_of_text(look->ref.first_run_id));
    describe(look);
}

static void described(void *context, const void *response, const struct error *error,
                      struct arena *arena UNUSED)
{
    struct look *look = context;
    bool         any = look->ref.first_run_id[0] == '\0';
    look->call = NULL;
    if (response == NULL) {
        if (error->code == ST_NOT_FOUND && look->run_id == NULL && !any)
            describe_first(look);
        else
            finish(look, error);
        return;
    }
    struct error local;
    buffer_clear(&look->wire);
    pb_encode(&pb_workflowservice_DescribeWorkflowExecutionResponse, response, &look->wire);
    struct workflowservice_DescribeWorkflowExecutionResponse *own =
        ARENA_NEW(&look->arena, struct workflowservice_DescribeWorkflowExecutionResponse);
    if (pb_decode(&pb_workflowservice_DescribeWorkflowExecutionResponse, buffer_bytes(&look->wire),
                  &look->arena, own, &local) != ST_OK ||
        own->workflow_execution_info == NULL || own->workflow_execution_info->execution == NULL) {
        error_set(&local, ST_INTERNAL, "the description of a workflow does not decode");
        finish(look, &local);
        return;
    }
    look->facts.description = own;
    if (look->run_id == NULL && !any &&
        !bytes_equal_text(own->workflow_execution_info->first_run_id, look->ref.first_run_id))
        describe_first(look);
    else if (look->run_id != NULL && !status_is_open(own->workflow_execution_info->status) &&
             ++look->runs_seen < CHAIN_MAX)
        look_for_successor(look);
    else
        look_for_approval(look);
}

static void describe(struct look *look)
{
    struct common_WorkflowExecution                         execution = execution_of(look);
    struct workflowservice_DescribeWorkflowExecutionRequest request = {
        .namespace = bytes_of_text(look->ref.namespace_name), .execution = &execution
    };
    look->call = backend_send(look->runs->backend, PB_METHOD_WorkflowService_DescribeWorkflowExecution,
                              &request, BACKEND_TIMEOUT_NS, described, look);
}

struct look *look_begin(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                        look_done *done, void *context)
{
    struct look *look = xcalloc(1, sizeof *look);
    look->runs = runs;
    look->tool = tool;
    look->done = done;
    look->context = context;
    (void)run_ref_copy(ref, &look->ref);
    arena_init(&look->arena, SIZE_MAX);
    describe(look);
    return look;
}

void look_cancel(struct look *look)
{
    if (look != NULL)
        look_free(look);
}
