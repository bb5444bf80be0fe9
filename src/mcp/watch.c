/* watch.c: all who wait for one run share one long poll; those who show what it does share one look at it, too.
 *
 *   poll (close event) ── ended, with a successor ──> poll of the successor
 *        ├─ terminated ──> look: was it a reset? then the poll of the run that it made
 *        ├─ failed in an activity ──> the newest events say how many attempts it had ──> closed
 *        └─ else ──> closed
 *   news (any event) or every RUN_LOOK_NS ──> look ──> view, told when it differs
 */
#include <stdio.h>

#include "mcp/run_internal.h"

#define POLL_WAIT_NS  (60 * NS_PER_S)
#define POLL_AGAIN_NS (1 * NS_PER_S)
#define ATTEMPT_PAGES_MAX                                                                                    \
    50 /* of 200 events, looked through for an attempt's number; beyond it none is told */

struct run_watch {
    struct table_link    link;
    bool                 listed; /* in runs->watches */
    bool                 delivering, closing;
    struct runs         *runs;
    struct run_ref       ref;
    const struct tool   *tool;
    struct list          watchers;
    size_t               count, viewers;
    char                *run_id; /* whose end is waited for; "": the current one */
    struct backend_call *poll, *news, *attempts;
    struct look         *look, *reset_look;
    bool                 look_again;
    struct loop_timer    poll_timer, look_timer;
    struct buffer        poll_token, news_token;
    struct run_view      view;
    uint64_t             view_number; /* 0: none yet */
    unsigned             attempt_pages;
    struct buffer        last_page; /* with the event that ends the run, while more is asked about it */
};

static void poll(struct run_watch *watch);
static void look_now(struct run_watch *watch);
static void news(struct run_watch *watch);

/* --- the runs --- */

struct runs *runs_new(struct backend *backend)
{
    struct runs *runs = xcalloc(1, sizeof *runs);
    runs->backend = backend;
    runs->created_ns = loop_now(backend->loop);
    list_init(&runs->actions);
    table_init(&runs->watches);
    quota_init(&runs->quota);
    return runs;
}

void runs_free(struct runs *runs)
{
    if (runs == NULL)
        return;
    assert(runs->watch_count == 0);
    actions_forget(runs);
    silences_forget(runs);
    table_release(&runs->watches);
    quota_release(&runs->quota);
    free(runs);
}

static uint64_t ref_hash(const struct run_ref *ref)
{
    uint64_t hash = hash_bytes(bytes_of_text(ref->namespace_name));
    hash = hash_combine(hash, hash_bytes(bytes_of_text(ref->workflow_id)));
    hash = hash_combine(hash, hash_bytes(bytes_of_text(ref->first_run_id)));
    return hash_combine(hash, hash_bytes(bytes_of_text(ref->update_id)));
}

static bool ref_same(const struct run_ref *a, const struct run_ref *b)
{
    return strcmp(a->namespace_name, b->namespace_name) == 0 && strcmp(a->workflow_id, b->workflow_id) == 0 &&
           strcmp(a->first_run_id, b->first_run_id) == 0 &&
           (a->update_id == NULL) == (b->update_id == NULL) &&
           (a->update_id == NULL || strcmp(a->update_id, b->update_id) == 0);
}

/* --- a watch's life --- */

static void unlist(struct run_watch *watch)
{
    if (!watch->listed)
        return;
    watch->listed = false;
    table_remove(&watch->runs->watches, &watch->link);
}

static void stop_asking(struct run_watch *watch)
{
    struct loop *loop = watch->runs->backend->loop;
    loop_timer_clear(loop, &watch->poll_timer);
    loop_timer_clear(loop, &watch->look_timer);
    backend_cancel(TAKE_PTR(watch->poll));
    backend_cancel(TAKE_PTR(watch->news));
    backend_cancel(TAKE_PTR(watch->attempts));
    look_cancel(TAKE_PTR(watch->look));
    look_cancel(TAKE_PTR(watch->reset_look));
}

static void watch_free(struct run_watch *watch)
{
    unlist(watch);
    stop_asking(watch);
    watch->runs->watch_count--;
    run_ref_release(&watch->ref);
    run_view_release(&watch->view);
    buffer_release(&watch->poll_token);
    buffer_release(&watch->news_token);
    buffer_release(&watch->last_page);
    free(watch->run_id);
    free(watch);
}

static void leave(struct run_watcher *watcher)
{
    struct run_watch *watch = TAKE_PTR(watcher->watch);
    list_remove(&watcher->link);
    watch->count--;
    watch->viewers -= watcher->wants_views;
    watch->runs->watcher_count--;
}

/* The watch is out of the table first: whoever comes now gets a new one. */
static void close_watch(struct run_watch *watch, const struct outcome *outcome, const struct error *error)
{
    static const struct error none;
    unlist(watch);
    stop_asking(watch);
    watch->closing = true;
    while (!list_empty(&watch->watchers)) {
        struct run_watcher *watcher = LIST_ENTRY(watch->watchers.next, struct run_watcher, link);
        leave(watcher);
        watcher->closed(watcher, outcome, error == NULL ? &none : error);
    }
    watch_free(watch);
}

static void close_with(struct run_watch *watch, struct outcome outcome)
{
    close_watch(watch, &outcome, NULL);
    outcome_release(&outcome);
}

/* --- views --- */

/* Watchers may leave while they are told, also the last of them. */
static void tell_view(struct run_watch *watch)
{
    struct list todo;
    list_init(&todo);
    list_splice(&todo, &watch->watchers);
    watch->delivering = true;
    for (struct list *at; (at = list_take_first(&todo)) != NULL;) {
        struct run_watcher *watcher = LIST_ENTRY(at, struct run_watcher, link);
        list_append(&watch->watchers, at);
        if (!watcher->wants_views || watcher->seen == watch->view_number)
            continue;
        watcher->seen = watch->view_number;
        watcher->viewed(watcher, &watch->view);
    }
    watch->delivering = false;
    if (watch->count == 0)
        watch_free(watch);
}

static void looked(void *context, const struct run_facts *facts, const struct error *error UNUSED,
                   struct arena *arena UNUSED)
{
    struct run_watch *watch = context;
    struct loop      *loop = watch->runs->backend->loop;
    watch->look = NULL;
    if (watch->viewers == 0)
        return;
    if (watch->look_again) {
        watch->look_again = false;
        look_now(watch);
    } else {
        loop_timer_set(loop, &watch->look_timer, loop_now(loop) + RUN_LOOK_NS);
    }
    if (facts == NULL)
        return; /* the poll finds out what is wrong, and says so */
    struct run_view view;
    view_of_facts(facts, watch->tool, &view);
    if (watch->view_number != 0 && view_same(&watch->view, &view)) {
        run_view_release(&view);
    } else {
        run_view_release(&watch->view);
        watch->view = view;
        watch->view_number++;
    }
    tell_view(watch);
}

static void look_now(struct run_watch *watch)
{
    if (watch->look != NULL) {
        watch->look_again = true;
        return;
    }
    loop_timer_clear(watch->runs->backend->loop, &watch->look_timer);
    watch->look = look_begin(watch->runs, &watch->ref, watch->tool, looked, watch);
}

static void look_due(struct loop_timer *timer)
{
    look_now(CONTAINER_OF(timer, struct run_watch, look_timer));
}

/* --- news: any event --- */

static void news_came(void *context, const void *response, const struct error *error UNUSED,
                      struct arena *arena UNUSED)
{
    struct run_watch                                                 *watch = context;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = response;
    watch->news = NULL;
    buffer_clear(&watch->news_token);
    if (watch->viewers == 0 || page == NULL)
        return; /* without it the look's own timer is left */
    if (page->history != NULL && page->history->events_count != 0)
        look_now(watch);
    if (page->next_page_token.size == 0)
        return;
    buffer_append(&watch->news_token, page->next_page_token);
    news(watch);
}

static struct backend_call *ask_history(struct run_watch *watch, int32_t filter, const struct buffer *token,
                                        backend_done *done)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(watch->ref.workflow_id),
                                                  .run_id = bytes_of_text(watch->run_id) };
    struct workflowservice_GetWorkflowExecutionHistoryRequest request = {
        .namespace = bytes_of_text(watch->ref.namespace_name),
        .execution = &execution,
        .next_page_token = buffer_bytes(token),
        .wait_new_event = true,
        .history_event_filter_type = filter,
    };
    return backend_send(watch->runs->backend, PB_METHOD_WorkflowService_GetWorkflowExecutionHistory, &request,
                        POLL_WAIT_NS, done, watch);
}

static void news(struct run_watch *watch)
{
    if (watch->news == NULL)
        watch->news = ask_history(watch, enums_HISTORY_EVENT_FILTER_TYPE_ALL_EVENT, &watch->news_token,
                                  news_came);
}

/* --- the end --- */

static void follow(struct run_watch *watch, struct bytes run_id)
{
    free(watch->run_id);
    watch->run_id = text_copy(run_id);
    buffer_clear(&watch->poll_token);
    buffer_clear(&watch->news_token);
    backend_cancel(TAKE_PTR(watch->news));
    poll(watch);
    if (watch->viewers != 0)
        news(watch);
}

static void end_with(struct run_watch *watch, const struct history_HistoryEvent *event, int32_t attempts)
{
    struct run_name name = { watch->ref.namespace_name, watch->ref.workflow_id, watch->run_id };
    close_with(watch, outcome_close_event(watch->tool, event, &name,
                                          watch->view_number == 0 ? NULL : watch->view.message, attempts));
}

/* The close event once more, from the page that was kept. */
static struct history_HistoryEvent *kept_event(struct run_watch *watch, struct arena *arena)
{
    struct workflowservice_GetWorkflowExecutionHistoryResponse page;
    if (pb_decode(&pb_workflowservice_GetWorkflowExecutionHistoryResponse, buffer_bytes(&watch->last_page),
                  arena, &page, NULL) != ST_OK)
        return NULL;
    return page_event(&page, 0, arena);
}

static void ask_attempts(struct run_watch *watch, struct bytes token);

/* The attempt that the event says with which the failed activity began; -1: it is in an older page. */
static int32_t attempts_in(const struct workflowservice_GetWorkflowExecutionHistoryReverseResponse *page,
                           int64_t started_event_id, struct arena *arena)
{
    size_t count = page->history == NULL ? 0 : page->history->events_count;
    for (size_t i = 0; i < count; i++) {
        struct history_HistoryEvent event;
        if (pb_decode(&pb_history_HistoryEvent, page->history->events[i], arena, &event, NULL) != ST_OK ||
            event.event_id < started_event_id)
            return 0;
        if (event.event_id == started_event_id)
            return event.event_type == enums_EVENT_TYPE_ACTIVITY_TASK_STARTED
                       ? event.activity_task_started_event_attributes->attempt
                       : 0;
    }
    return -1;
}

static void attempts_seen(void *context, const void *response, const struct error *error UNUSED,
                          struct arena *arena)
{
    struct run_watch                                                        *watch = context;
    struct history_HistoryEvent                                             *event = kept_event(watch, arena);
    const struct workflowservice_GetWorkflowExecutionHistoryReverseResponse *page = response;
    struct failure_Failure                                                   failure;
    int32_t                                                                  attempts = 0;
    watch->attempts = NULL;
    assert(event != NULL);
    if (page != NULL &&
        pb_decode(&pb_failure_Failure, event->workflow_execution_failed_event_attributes->failure, arena,
                  &failure, NULL) == ST_OK)
        attempts = attempts_in(page, failure.activity_failure_info->started_event_id, arena);
    if (attempts < 0 && page->next_page_token.size != 0 && ++watch->attempt_pages < ATTEMPT_PAGES_MAX)
        ask_attempts(watch, page->next_page_token);
    else
        end_with(watch, event, MAX(attempts, 0));
}

/* Whether the run failed in an activity whose attempts the history knows. */
static bool failed_in_activity(const struct history_HistoryEvent *event, struct arena *arena)
{
    struct failure_Failure failure;
    return event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED &&
           event->workflow_execution_failed_event_attributes->failure.base != NULL &&
           pb_decode(&pb_failure_Failure, event->workflow_execution_failed_event_attributes->failure, arena,
                     &failure, NULL) == ST_OK &&
           failure.failure_info_case == 11 && failure.activity_failure_info->started_event_id > 0;
}

static void ask_attempts(struct run_watch *watch, struct bytes token)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(watch->ref.workflow_id),
                                                  .run_id = bytes_of_text(watch->run_id) };
    struct workflowservice_GetWorkflowExecutionHistoryReverseRequest request = {
        .namespace = bytes_of_text(watch->ref.namespace_name),
        .execution = &execution,
        .maximum_page_size = 200,
        .next_page_token = token,
    };
    watch->attempts = backend_send(watch->runs->backend,
                                   PB_METHOD_WorkflowService_GetWorkflowExecutionHistoryReverse, &request,
                                   BACKEND_TIMEOUT_NS, attempts_seen, watch);
}

/* A reset terminates the run and makes another of the same chain. */
static void reset_looked(void *context, const struct run_facts *facts, const struct error *error UNUSED,
                         struct arena *arena)
{
    struct run_watch            *watch = context;
    struct history_HistoryEvent *event = kept_event(watch, arena);
    watch->reset_look = NULL;
    assert(event != NULL);
    const struct workflow_WorkflowExecutionInfo *info = facts == NULL
                                                            ? NULL
                                                            : facts->description->workflow_execution_info;
    if (info != NULL && !bytes_equal_text(info->execution->run_id, watch->run_id) &&
        bytes_equal_text(info->first_run_id, watch->ref.first_run_id))
        follow(watch, info->execution->run_id);
    else
        end_with(watch, event, 0);
}

static void ended(struct run_watch                                                 *watch,
                  const struct workflowservice_GetWorkflowExecutionHistoryResponse *page,
                  const struct history_HistoryEvent *event, struct arena *arena)
{
    struct bytes next = close_successor(event);
    if (next.size != 0) {
        follow(watch, next);
        return;
    }
    buffer_clear(&watch->last_page);
    pb_encode(&pb_workflowservice_GetWorkflowExecutionHistoryResponse, page, &watch->last_page);
    if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
        watch->reset_look = look_begin(watch->runs, &watch->ref, NULL, reset_looked, watch);
    else if (failed_in_activity(event, arena))
        ask_attempts(watch, BYTES_EMPTY);
    else
        end_with(watch, event, 0);
}

/* What passes by itself: the server is busy, restarts, or the run's shard moves. */
static bool is_passing(enum status code)
{
    return code == ST_UNAVAILABLE || code == ST_DEADLINE_EXCEEDED || code == ST_RESOURCE_EXHAUSTED ||
           code == ST_CANCELLED;
}

static void poll_failed(struct run_watch *watch, const struct error *error)
{
    struct loop *loop = watch->runs->backend->loop;
    if (is_passing(error->code))
        loop_timer_set(loop, &watch->poll_timer, loop_now(loop) + POLL_AGAIN_NS);
    else
        close_watch(watch, NULL, error);
}

static void polled(void *context, const void *response, const struct error *error, struct arena *arena)
{
    struct run_watch                                                 *watch = context;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = response;
    watch->poll = NULL;
    if (page == NULL) {
        poll_failed(watch, error);
        return;
    }
    const struct history_HistoryEvent *event = page_event(page, 0, arena);
    if (event != NULL) {
        ended(watch, page, event, arena);
        return;
    }
    buffer_clear(&watch->poll_token);
    buffer_append(&watch->poll_token, page->next_page_token);
    poll(watch);
}

static void update_polled(void *context, const void *response, const struct error *error,
                          struct arena *arena UNUSED)
{
    struct run_watch                                                 *watch = context;
    const struct workflowservice_PollWorkflowExecutionUpdateResponse *answer = response;
    char                                                              what[200];
    watch->poll = NULL;
    if (answer == NULL) {
        poll_failed(watch, error);
        return;
    }
    if (answer->outcome == NULL) {
        poll(watch);
        return;
    }
    snprintf(what, sizeof what, "update %s failed", watch->tool == NULL ? "" : watch->tool->operation);
    if (answer->outcome->value_case == 2)
        close_with(watch, outcome_failure(what, answer->outcome->failure, 0));
    else
        close_with(watch, outcome_payloads(watch->tool, answer->outcome->success, NULL));
}

static void poll_update(struct run_watch *watch)
{
    struct common_WorkflowExecution execution = { .workflow_id = bytes_of_text(watch->ref.workflow_id) };
    struct update_UpdateRef         ref = { &execution, bytes_of_text(watch->ref.update_id) };
    struct update_WaitPolicy        wait = { enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED };
    struct workflowservice_PollWorkflowExecutionUpdateRequest request = {
        .namespace = bytes_of_text(watch->ref.namespace_name),
        .update_ref = &ref,
        .identity = BYTES(BACKEND_IDENTITY),
        .wait_policy = &wait,
    };
    watch->poll = backend_send(watch->runs->backend, PB_METHOD_WorkflowService_PollWorkflowExecutionUpdate,
                               &request, POLL_WAIT_NS, update_polled, watch);
}

static void poll(struct run_watch *watch)
{
    assert(watch->poll == NULL);
    if (watch->ref.update_id != NULL)
        poll_update(watch);
    else
        watch->poll = ask_history(watch, enums_HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, &watch->poll_token,
                                  polled);
}

static void poll_again(struct loop_timer *timer)
{
    poll(CONTAINER_OF(timer, struct run_watch, poll_timer));
}

/* --- the face --- */

static struct run_watch *watch_find(struct runs *runs, const struct run_ref *ref, const struct tool *tool)
{
    for (struct table_link *at = table_first(&runs->watches, ref_hash(ref)); at != NULL;
         at = table_next(at)) {
        struct run_watch *watch = CONTAINER_OF(at, struct run_watch, link);
        if (watch->tool == tool && ref_same(&watch->ref, ref))
            return watch;
    }
    return NULL;
}

static struct run_watch *watch_new(struct runs *runs, const struct run_ref *ref, const struct tool *tool)
{
    struct run_watch *watch = xcalloc(1, sizeof *watch);
    watch->runs = runs;
    watch->tool = tool;
    (void)run_ref_copy(ref, &watch->ref);
    watch->run_id = text_copy(bytes_of_text(ref->first_run_id));
    list_init(&watch->watchers);
    loop_timer_init(&watch->poll_timer, poll_again);
    loop_timer_init(&watch->look_timer, look_due);
    table_insert(&runs->watches, &watch->link, ref_hash(ref));
    watch->listed = true;
    runs->watch_count++;
    poll(watch);
    return watch;
}

enum status run_watch_begin(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                            struct run_watcher *watcher, struct error *error)
{
    struct run_watch *watch = watch_find(runs, ref, tool);
    if (runs->watcher_count >= RUN_WATCHERS_MAX || (watch == NULL && runs->watch_count >= RUN_WATCHES_MAX))
        return error_set(error, ST_RESOURCE_EXHAUSTED, "too many calls are waited for");
    if (watch == NULL)
        watch = watch_new(runs, ref, tool);
    watcher->watch = watch;
    watcher->seen = 0;
    list_init(&watcher->link);
    list_append(&watch->watchers, &watcher->link);
    watch->count++;
    runs->watcher_count++;
    if (!watcher->wants_views)
        return ST_OK;
    watch->viewers++;
    look_now(watch);
    news(watch);
    return ST_OK;
}

void run_watch_end(struct run_watcher *watcher)
{
    struct run_watch *watch = watcher->watch;
    if (watch == NULL)
        return;
    leave(watcher);
    if (watch->count == 0 && !watch->delivering && !watch->closing)
        watch_free(watch);
}

/* --- one look --- */

struct run_look {
    struct look       *look;
    const struct tool *tool;
    run_looked        *looked;
    void              *context;
};

static void run_look_done(void *context, const struct run_facts *facts, const struct error *error,
                          struct arena *arena UNUSED)
{
    struct run_look *look = context;
    struct run_view  view = { 0 };
    if (facts != NULL)
        view_of_facts(facts, look->tool, &view);
    look->looked(look->context, facts == NULL ? NULL : &view, error);
    run_view_release(&view);
    free(look);
}

struct run_look *run_look(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                          run_looked *looked_at, void *context)
{
    struct run_look *look = xcalloc(1, sizeof *look);
    *look = (struct run_look){ .tool = tool, .looked = looked_at, .context = context };
    look->look = look_begin(runs, ref, tool, run_look_done, look);
    return look;
}

void run_look_cancel(struct run_look *look)
{
    if (look == NULL)
        return;
    look_cancel(look->look);
    free(look);
}
