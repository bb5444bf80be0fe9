/* history.c: GetWorkflowExecutionHistory, forwards and reverse: pages, long polls, the close-event filter.
 *
 * Works on the run's owner lane, so that nothing can happen to the run between its answer and the wait. A token pins the
 * run; one that came with a workflow task also pins where its history ends.
 */
#include "api/api_internal.h"
#include "base/mutant.h"
#include "engine/failure.h"

/* How often a call without a run id may find a run that is gone when it is read. */
#define ASKS_MAX 16

static void history_ask(struct rpc *rpc);

static struct rpc *rpc_of_history(struct rpc_history *history)
{
    return CONTAINER_OF(history, struct rpc, history);
}

/* --- answers --- */

static void answer(struct rpc *rpc, struct bytes *events, size_t count, struct bytes token)
{
    struct history_History *history = ARENA_NEW(&rpc->arena, struct history_History);
    history->events = events;
    history->events_count = count;
    if (rpc->history.reverse) {
        struct workflowservice_GetWorkflowExecutionHistoryReverseResponse *response =
            ARENA_NEW(&rpc->arena, struct workflowservice_GetWorkflowExecutionHistoryReverseResponse);
        response->history = history;
        response->next_page_token = token;
        rpc_reply(rpc, response);
        return;
    }
    struct workflowservice_GetWorkflowExecutionHistoryResponse *response =
        ARENA_NEW(&rpc->arena, struct workflowservice_GetWorkflowExecutionHistoryResponse);
    response->history = history;
    response->next_page_token = token;
    rpc_reply(rpc, response);
}

static struct bytes token_make(struct rpc *rpc, int64_t next)
{
    struct rpc_history      *self = &rpc->history;
    struct token_HistoryPage token = {
        .namespace_id = rpc->ns.id,
        .workflow_id = rpc->work.base.business_id,
        .run_id = bytes_of(rpc->work.run_id.byte, sizeof rpc->work.run_id.byte),
        .branch = rpc->work.history.branch,
        .next_event_id = next,
        .reverse = self->reverse,
        .format = PAGE_TOKEN_FORMAT,
    };
    if (self->token != NULL && self->token->last_event_id != 0) {
        token = *self->token;
        token.next_event_id = next;
    }
    return pb_encode_arena(&pb_token_HistoryPage, &token, &rpc->arena);
}

/* --- a page --- */

/* Events that are not stored follow the last stored one: of a task that came with a token, or of the transient task. Who
 * waits for news gets them when they are real. */
static void append_virtual(struct rpc *rpc, struct bytes **events, size_t *count)
{
    struct rpc_history *self = &rpc->history;
    struct bytes       *more = rpc->work.history.virtual_events;
    size_t              more_count = rpc->work.history.virtual_event_count;
    if (self->token != NULL && self->token->last_event_id != 0) {
        more = self->token->virtual_events;
        more_count = self->token->virtual_events_count;
    } else if (self->reverse || self->waits || !self->reader_sees_virtual_events) {
        return;
    }
    if (more_count == 0)
        return;
    struct bytes *all = ARENA_NEW_ARRAY(&rpc->arena, struct bytes, *count + more_count);
    for (size_t i = 0; i < *count; i++)
        all[i] = (*events)[i];
    for (size_t i = 0; i < more_count; i++)
        all[*count + i] = more[i];
    *events = all;
    *count += more_count;
}

/* --- callers that do not follow runs --- */

/* The run that goes on where this close event ends; empty: none. Also what ended: a result or a failure. */
static struct bytes run_after(const struct history_HistoryEvent *event, struct arena *arena,
                              struct bytes *ret_result, struct bytes *ret_failure)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        *ret_result = event->workflow_execution_completed_event_attributes->result;
        return event->workflow_execution_completed_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        *ret_failure = event->workflow_execution_failed_event_attributes->failure;
        return event->workflow_execution_failed_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        *ret_failure = failure_run_timeout(arena);
        return event->workflow_execution_timed_out_event_attributes->new_execution_run_id;
    default:
        return BYTES_EMPTY;
    }
}

/* Clients that do not announce follows-next-run-id know one way only to a next run: ContinuedAsNew. For them the close event
 * of a run that was retried, or that cron follows, is told so; the stored event stays what it is. */
static struct bytes closing_event(struct rpc *rpc, struct bytes encoded)
{
    struct history_HistoryEvent                                   event;
    struct history_WorkflowExecutionContinuedAsNewEventAttributes told = { 0 };
    if (rpc->history.follows_next_run ||
        pb_decode(&pb_history_HistoryEvent, encoded, &rpc->arena, &event, NULL) != ST_OK)
        return encoded;
    told.new_execution_run_id = run_after(&event, &rpc->arena, &told.last_completion_result, &told.failure);
    if (told.new_execution_run_id.size == 0)
        return encoded;
    event.event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW;
    event.attributes_case = 33;
    event.workflow_execution_continued_as_new_event_attributes = &told;
    return pb_encode_arena(&pb_history_HistoryEvent, &event, &rpc->arena);
}

static struct history_segment *prefix_of_token(struct rpc *rpc, const struct token_HistoryPage *token)
{
    struct history_segment *prefix = ARENA_NEW_ARRAY(&rpc->arena, struct history_segment,
                                                     token->prefix_count + 1);
    for (size_t i = 0; i < token->prefix_count; i++)
        prefix[i] = (struct history_segment){ token->prefix[i].branch, token->prefix[i].last_event_id };
    return prefix;
}

static void page_read(struct history_read *read)
{
    struct rpc         *rpc = rpc_of_history(CONTAINER_OF(read, struct rpc_history, read));
    struct rpc_history *self = &rpc->history;
    struct bytes        token = BYTES_EMPTY;
    if (read->error.code == ST_NOT_FOUND && self->of_current && self->asks < ASKS_MAX) {
        /* It was deleted since it was found as the current run: now that is another one, or none. */
        rpc->work.run_number = 0;
        self->next = 0;
        history_ask(rpc);
        return;
    }
    if (read->error.code != ST_OK) {
        rpc_fail_error(rpc, &read->error);
        return;
    }
    struct bytes *events = read->events;
    size_t        count = read->event_count;
    if (read->next != 0)
        token = token_make(rpc, read->next + (self->reverse ? -1 : 1) * MUTANT(page_token_skips_event));
    else {
        append_virtual(rpc, &events, &count);
        if (self->waits && rpc->work.history.open)
            token = token_make(rpc, self->last + 1);
    }
    if (self->close_only && count == 1)
        events[0] = closing_event(rpc, events[0]);
    answer(rpc, events, count, self->close_only ? BYTES_EMPTY : token);
}

static void read_page(struct rpc *rpc, int64_t first, int64_t last)
{
    struct rpc_history           *self = &rpc->history;
    store_number                  branch = rpc->work.history.branch;
    const struct history_segment *prefix = rpc->work.history.prefix;
    size_t                        prefix_count = rpc->work.history.prefix_count;
    if (self->token != NULL && self->token->last_event_id != 0) {
        branch = self->token->branch;
        prefix = prefix_of_token(rpc, self->token);
        prefix_count = self->token->prefix_count;
    }
    self->read = (struct history_read){
        .arena = &rpc->arena,
        .namespace_number = rpc->ns.number,
        .business_id = rpc->work.base.business_id,
        .branch = branch,
        .prefix = prefix,
        .prefix_count = prefix_count,
        .first = first,
        .last = last,
        .backward = self->reverse,
        .count_limit = self->page_size,
        .size_limit = HISTORY_PAGE_SIZE,
        .done = page_read,
    };
    list_init(&self->read.link);
    lane_read_history(rpc_lane(rpc), &self->read);
}

/* --- waiting --- */

static void history_expire(struct rpc *rpc)
{
    wait_remove(rpc, &rpc->history.wait);
    answer(rpc, NULL, 0, token_make(rpc, rpc->history.next));
}

static void history_gone(struct rpc *rpc)
{
    wait_remove(rpc, &rpc->history.wait);
    rpc_fail(rpc, ST_CANCELLED, "the caller is gone");
}

static void history_timer_fired(struct api_timer *timer)
{
    history_expire(CONTAINER_OF(timer, struct rpc, timer));
}

void history_woken(struct rpc_wait *wait)
{
    struct rpc *rpc = rpc_of_history(CONTAINER_OF(wait, struct rpc_history, wait));
    wait_remove(rpc, wait);
    rpc_wake(rpc);
    history_ask(rpc);
}

void history_forgotten(struct rpc_wait *wait)
{
    struct rpc *rpc = rpc_of_history(CONTAINER_OF(wait, struct rpc_history, wait));
    wait_remove(rpc, wait);
    rpc_fail(rpc, ST_UNAVAILABLE, "the workflow moved or was reloaded while the call waited");
}

static void history_wait(struct rpc *rpc)
{
    struct rpc_history *self = &rpc->history;
    struct api_lane    *lane = rpc_at(rpc);
    if (rpc->gone_seen || lane->draining || lane_monotonic(lane->lane) >= self->expires) {
        answer(rpc, NULL, 0, token_make(rpc, self->next));
        return;
    }
    struct error error;
    if (wait_add(rpc, &self->wait, rpc->work.run_number, self->close_only ? INT64_MAX : self->next, &error) !=
        ST_OK) {
        rpc_fail_error(rpc, &error);
        return;
    }
    rpc_wait(rpc, history_expire, history_gone);
    rpc_set_timer(rpc, self->expires, history_timer_fired);
}

/* --- what there is --- */

static void history_known(struct request *request)
{
    struct rpc         *rpc = rpc_of_work(request);
    struct rpc_history *self = &rpc->history;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    int64_t last = rpc->work.history.last_event_id;
    bool    open = rpc->work.history.open;
    self->last = last;
    if (self->reverse) {
        int64_t from = self->next == 0 ? last : MIN(self->next, last);
        read_page(rpc, 1, from);
        return;
    }
    if (self->close_only) {
        self->next = MAX(self->next, INT64_C(1));
        if (!open)
            read_page(rpc, last, last);
        else if (self->waits)
            history_wait(rpc);
        else
            answer(rpc, NULL, 0, BYTES_EMPTY);
        return;
    }
    self->next = self->next == 0 ? 1 : self->next;
    if (self->next <= last)
        read_page(rpc, self->next, last);
    else if (open && self->waits)
        history_wait(rpc);
    else {
        struct bytes *events = NULL;
        size_t        count = 0;
        append_virtual(rpc, &events, &count);
        answer(rpc, events, count, BYTES_EMPTY);
    }
}

/* On the owner's lane. */
static void history_ask(struct rpc *rpc)
{
    struct rpc_history *self = &rpc->history;
    struct uuid         run_id;
    bool                has_run_id;
    struct bytes        workflow_id = rpc->work.base.business_id;
    if (self->token != NULL) {
        memcpy(run_id.byte, self->token->run_id.base, sizeof run_id.byte);
        has_run_id = true;
    } else if (rpc->work.run_number != 0) { /* it waited: the same run as before */
        run_id = rpc->work.run_id;
        has_run_id = true;
    } else {
        has_run_id = uuid_parse(self->run_id_text, &run_id);
    }
    self->of_current = !has_run_id;
    self->asks++;
    if (self->token != NULL && self->token->last_event_id != 0) {
        rpc_address(rpc, WORKFLOW_HISTORY, workflow_id, &run_id);
        rpc->work.run_id = run_id;
        self->last = self->token->last_event_id;
        if (self->next <= self->last)
            read_page(rpc, self->next, self->last);
        else
            answer(rpc, self->token->virtual_events, self->token->virtual_events_count, BYTES_EMPTY);
        return;
    }
    rpc_address(rpc, WORKFLOW_HISTORY, workflow_id, has_run_id ? &run_id : NULL);
    rpc->work.reader_sees_virtual_events = self->reader_sees_virtual_events;
    rpc_submit(rpc, history_known);
}

/* --- the request --- */

static enum status token_parse(struct rpc *rpc, struct bytes token, const struct execution_ref *execution,
                               struct error *error)
{
    struct rpc_history       *self = &rpc->history;
    struct token_HistoryPage *page = ARENA_NEW(&rpc->arena, struct token_HistoryPage);
    if (token.size == 0)
        return ST_OK;
    if (pb_decode(&pb_token_HistoryPage, token, &rpc->arena, page, NULL) != ST_OK ||
        page->format != PAGE_TOKEN_FORMAT || page->run_id.size != sizeof execution->run_id.byte ||
        page->workflow_id.size == 0 || page->next_event_id < 1 || page->last_event_id < 0 ||
        page->reverse != self->reverse)
        return error_set(error, ST_INVALID_ARGUMENT, "NextPageToken is not a token of this call.");
    if (!bytes_equal(page->namespace_id, rpc->ns.id) ||
        !bytes_equal(page->workflow_id, execution->workflow_id) ||
        (execution->has_run_id && memcmp(page->run_id.base, execution->run_id.byte, page->run_id.size) != 0))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "NextPageToken is of another workflow run than the request.");
    self->token = page;
    self->next = page->next_event_id;
    return ST_OK;
}

static void history_begin(struct rpc *rpc, const struct common_WorkflowExecution *target, int32_t page_size,
                          struct bytes token)
{
    struct rpc_history  *self = &rpc->history;
    struct execution_ref execution;
    if (check_execution(target, &execution, &rpc->error) != ST_OK ||
        token_parse(rpc, token, &execution, &rpc->error) != ST_OK) {
        rpc_fail_error(rpc, &rpc->error);
        return;
    }
    self->page_size = page_size <= 0 || page_size > HISTORY_PAGE_MAX ? HISTORY_PAGE_MAX : (size_t)page_size;
    self->run_id_text = target->run_id;
    self->reader_sees_virtual_events = !client_is_reader_of_plain_history(rpc->call);
    self->expires = rpc_hold_until(rpc, HISTORY_HOLD_NS);
    rpc->work.base.business_id = execution.workflow_id;
    rpc_move(rpc, rpc_owner(rpc, execution.workflow_id), history_ask);
}

void get_workflow_history(struct rpc *rpc)
{
    const struct workflowservice_GetWorkflowExecutionHistoryRequest *request = rpc->request;
    rpc->history.waits = request->wait_new_event;
    rpc->history.close_only = request->history_event_filter_type ==
                              enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
    rpc->history.follows_next_run = client_has_feature(rpc->call, "follows-next-run-id");
    history_begin(rpc, request->execution, request->maximum_page_size, request->next_page_token);
}

void get_workflow_history_reverse(struct rpc *rpc)
{
    const struct workflowservice_GetWorkflowExecutionHistoryReverseRequest *request = rpc->request;
    rpc->history.reverse = true;
    history_begin(rpc, request->execution, request->maximum_page_size, request->next_page_token);
}
