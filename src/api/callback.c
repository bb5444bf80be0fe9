/* callback.c: completion callbacks: what clients may ask for, and the workers that deliver.
 *
 * A scheduled callback is a ready row in one of a few queues of the server's own. Each queue has workers on the lane it lives
 * on. A worker polls, asks the run what is to be told to whom, sends it, reports how that went, and polls again:
 *
 *      waits -> asks -> sends -> reports -> rests -> waits
 *
 * The row goes with the report. So a crash, or a drain, in between means that the callback is sent again.
 */
#include <stdio.h>

#include "api/api_internal.h"
#include "api/nexus_http.h"
#include "base/mutant.h"
#include "engine/event.h"
#include "schedule/schedule.h"

/* At most so many are under way for the destinations that share a queue. */
#define CALLBACK_WORKERS    16
#define CALLBACK_TIMEOUT_NS (10 * NS_PER_S)
#define CALLBACK_SYSTEM_URL "temporal://system"

enum worker_state { WORKER_RESTS, WORKER_WAITS, WORKER_ASKS, WORKER_SENDS, WORKER_REPORTS };
struct callback_worker {
    struct workflow_request work;
    struct api_lane        *lane;
    struct poller           poller;
    struct queue_name       name;
    char                    queue[32];
    enum worker_state       state;
    struct arena            arena;
    struct store_ready      task;
    struct nexus_message    message;
    struct outbound         outbound;
};

/* --- what clients may ask for --- */

static bool pattern_fits(struct bytes pattern, struct bytes text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, after = 0;
    while (t < text.size) {
        if (p < pattern.size && pattern.base[p] == '*') {
            star = p++;
            after = t;
        } else if (p < pattern.size && pattern.base[p] == text.base[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++after;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.base[p] == '*')
        p++;
    return p == pattern.size;
}

/* The host with its port; user names have no business here. */
static struct bytes host_of(struct bytes url, size_t from)
{
    size_t at = from;
    while (at < url.size && url.base[at] != '/' && url.base[at] != '?' && url.base[at] != '#')
        at++;
    return bytes_of(url.base + from, at - from);
}

static enum status check_url(const struct rpc *rpc, struct bytes url, struct error *error)
{
    const struct api *api = rpc->home->api;
    size_t            size_max = MIN(rpc_limits(rpc)->callback_url_size_max, (size_t)OUTBOUND_URL_MAX);
    bool              secure = bytes_starts_with(url, BYTES("https://")), allowed = false;
    if (url.size > size_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "CompletionCallbacks: URL is longer than the %zu bytes allowed.", size_max);
    if (bytes_equal_text(url, CALLBACK_SYSTEM_URL))
        return ST_OK;
    for (size_t i = 0; i < url.size; i++)
        if (url.base[i] <= ' ' || url.base[i] == 0x7F)
            return error_set(error, ST_INVALID_ARGUMENT, "CompletionCallbacks: invalid URL.");
    if (!secure && !bytes_starts_with(url, BYTES("http://")))
        return error_set(error, ST_INVALID_ARGUMENT, "CompletionCallbacks: unknown scheme of URL: %.*s",
                         BYTES_FMT(url));
    struct bytes host = host_of(url, secure ? 8 : 7);
    if (host.size == 0 || memchr(host.base, '@', host.size) != NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "CompletionCallbacks: URL has no host, or a user: %.*s",
                         BYTES_FMT(url));
    for (size_t i = 0; i < api->callback_rule_count; i++) {
        if (!pattern_fits(api->callback_rules[i].pattern, host))
            continue;
        if (secure || api->callback_rules[i].insecure)
            return ST_OK;
        allowed = true;
    }
    return error_set(
        error, ST_INVALID_ARGUMENT,
        allowed ? "CompletionCallbacks: insecure connections are not allowed to the address of URL: %.*s"
                : "CompletionCallbacks: no --callback-url of the server allows URL: %.*s",
        BYTES_FMT(url));
}

/* Names become lower case. What would break the message open is refused. */
static enum status check_header(const struct rpc *rpc, struct common_Callback_Nexus *nexus,
                                struct error *error)
{
    size_t size = 0, size_max = rpc_limits(rpc)->callback_header_size_max;
    if (nexus->header_count > NEXUS_HEADERS_MAX / 2)
        return error_set(error, ST_INVALID_ARGUMENT, "CompletionCallbacks: more than %d headers.",
                         NEXUS_HEADERS_MAX / 2);
    for (size_t i = 0; i < nexus->header_count; i++) {
        struct bytes key = nexus->header[i].key, value = nexus->header[i].value;
        uint8_t     *lower = arena_must(arena_alloc((struct arena *)(uintptr_t)&rpc->arena, key.size + 1));
        size += key.size + value.size;
        for (size_t k = 0; k < key.size; k++) {
            uint8_t c = key.base[k];
            if (c <= ' ' || c >= 0x7F || strchr("()<>@,;:\\\"/[]?={}", c) != NULL)
                return error_set(error, ST_INVALID_ARGUMENT, "CompletionCallbacks: a header's name is none.");
            lower[k] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        for (size_t k = 0; k < value.size; k++)
            if (value.base[k] < ' ' && value.base[k] != '\t')
                return error_set(error, ST_INVALID_ARGUMENT,
                                 "CompletionCallbacks: the value of header %.*s has control characters.",
                                 BYTES_FMT(key));
        if (key.size == 0)
            return error_set(error, ST_INVALID_ARGUMENT, "CompletionCallbacks: a header's name is none.");
        nexus->header[i].key = bytes_of(lower, key.size);
    }
    if (size > size_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "CompletionCallbacks: header is larger than the %zu bytes allowed.", size_max);
    return ST_OK;
}

enum status check_callbacks(struct rpc *rpc, struct bytes *callbacks, size_t count, struct error *error)
{
    size_t count_max = rpc_limits(rpc)->callbacks_max;
    if (count > count_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "CompletionCallbacks: cannot attach more than %zu callbacks to a workflow.",
                         count_max);
    for (size_t i = 0; i < count; i++) {
        struct common_Callback callback;
        enum status status = pb_decode(&pb_common_Callback, callbacks[i], &rpc->arena, &callback, error);
        if (status != ST_OK)
            return status;
        if (callback.variant_case == 0)
            return error_set(error, ST_INVALID_ARGUMENT, "CompletionCallbacks: a callback has no variant.");
        if (callback.variant_case != 2)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "CompletionCallbacks: this variant of callback is not for clients.");
        if ((status = check_url(rpc, callback.nexus->url, error)) != ST_OK ||
            (status = check_header(rpc, callback.nexus, error)) != ST_OK ||
            (status = check_links(callback.links, callback.links_count, rpc, error)) != ST_OK)
            return status;
        callbacks[i] = pb_encode_arena(&pb_common_Callback, &callback, &rpc->arena);
    }
    return ST_OK;
}

/* --- workers --- */

static void worker_rest(struct callback_worker *worker)
{
    worker->state = WORKER_RESTS;
    worker->lane->callback_busy--;
    worker->lane->callback_resting++;
    arena_reset(&worker->arena);
    arena_trim(&worker->arena);
}

/* It waits for nothing, and has nothing: there will be another turn, unless the lane drains. */
static void worker_refused(struct callback_worker *worker)
{
    worker->state = WORKER_RESTS;
    worker->lane->callback_resting++;
}

static struct callback_worker *worker_of_work(struct request *request)
{
    return CONTAINER_OF(CONTAINER_OF(request, struct workflow_request, base), struct callback_worker, work);
}

static void worker_submit(struct callback_worker *worker, int command, int64_t namespace_number,
                          void (*done)(struct request *request))
{
    memset(&worker->work, 0, sizeof worker->work);
    struct request *request = &worker->work.base;
    list_init(&request->link);
    request->arena = &worker->arena;
    request->kind = ENTITY_WORKFLOW;
    request->namespace_number = namespace_number;
    request->business_id = worker->task.workflow_id;
    request->by_number = worker->task.run;
    request->command = command;
    request->done = done;
    worker->work.task = worker->task;
}

/* Whatever came of it: what could not be stored now is found again, since the row is still there. */
static void reported(struct request *request)
{
    struct callback_worker *worker = worker_of_work(request);
    worker_rest(worker);
}

/* `message` NULL: delivered. */
static void report(struct callback_worker *worker, const char *message, bool retry)
{
    struct failure_ApplicationFailureInfo info = { .non_retryable = !retry };
    struct failure_Failure                failure = { .failure_info_case = 5 };
    int64_t                               namespace_number = worker->work.base.namespace_number;
    struct bytes                          encoded = BYTES_EMPTY;
    if (message != NULL) {
        failure.message = bytes_of_text(message);
        failure.application_failure_info = &info;
        encoded = pb_encode_arena(&pb_failure_Failure, &failure, &worker->arena);
    }
    worker->state = WORKER_REPORTS;
    worker_submit(worker, WORKFLOW_CALLBACK_REPORT, namespace_number, reported);
    worker->work.payload = encoded;
    worker->work.callback_retry = retry;
    lane_submit(worker->lane->lane, &worker->work.base);
}

static void answered(struct outbound *outbound)
{
    struct callback_worker *worker = CONTAINER_OF(outbound, struct callback_worker, outbound);
    bool                    retry;
    if (outbound->status == 0) {
        report(worker, outbound->error.message, true);
        return;
    }
    if (outbound->status >= 200 && outbound->status < 300) {
        report(worker, NULL, false);
        return;
    }
    const char  *type = nexus_error_type(outbound->status, &retry);
    struct bytes text = type != NULL ? arena_printf(&worker->arena, "handler error (%s)%c", type, '\0')
                                     : arena_printf(&worker->arena, "unexpected response status: %d%c",
                                                    outbound->status, '\0');
    if (type != NULL && outbound->retryable >= 0)
        retry = outbound->retryable == 1;
    report(worker, (const char *)text.base, retry);
}

/* --- the message --- */

static struct bytes failure_of_server(struct arena *arena, int info_case)
{
    struct failure_TerminatedFailureInfo terminated = { 0 };
    struct failure_TimeoutFailureInfo    timeout = { 0 };
    struct failure_Failure               failure = { .failure_info_case = info_case };
    if (info_case == 8) {
        failure.message = BYTES("operation terminated");
        failure.terminated_failure_info = &terminated;
    } else {
        failure.message = BYTES("operation exceeded internal timeout");
        failure.timeout_failure_info = &timeout;
    }
    return pb_encode_arena(&pb_failure_Failure, &failure, arena);
}

static struct bytes failure_of_cancel(struct arena *arena, struct bytes details)
{
    struct failure_CanceledFailureInfo info = { .details = details };
    struct failure_Failure failure = { .message = BYTES("operation canceled"), .failure_info_case = 7 };
    failure.canceled_failure_info = &info;
    return pb_encode_arena(&pb_failure_Failure, &failure, arena);
}

static void set_outcome(struct nexus_message *message, const struct history_HistoryEvent *close,
                        struct arena *arena)
{
    struct common_Payloads payloads = { 0 };
    struct bytes           state = BYTES("failed");
    switch (close->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        state = BYTES("succeeded");
        if (pb_decode(&pb_common_Payloads, close->workflow_execution_completed_event_attributes->result,
                      arena, &payloads, NULL) == ST_OK &&
            payloads.payloads_count != 0)
            nexus_set_payload(message, payloads.payloads[0], arena);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        nexus_set_failure(message, close->workflow_execution_failed_event_attributes->failure, arena);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        state = MUTANT(callback_of_cancel_failed) ? BYTES("failed") : BYTES("canceled");
        nexus_set_failure(message,
                          failure_of_cancel(arena,
                                            close->workflow_execution_canceled_event_attributes->details),
                          arena);
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        nexus_set_failure(message, failure_of_server(arena, 8), arena);
        break;
    default:
        nexus_set_failure(message, failure_of_server(arena, 6), arena);
        break;
    }
    nexus_add_header(message, "nexus-operation-state", state);
}

static void compose(struct callback_worker *worker, const struct common_Callback_Nexus *nexus)
{
    const struct workflow_callback *callback = &worker->work.callback;
    struct nexus_message           *message = &worker->message;
    struct arena                   *arena = &worker->arena;
    *message = (struct nexus_message){ 0 };
    set_outcome(message, callback->close, arena);
    nexus_add_header(message, "nexus-operation-start-time", nexus_http_date(callback->start_time, arena));
    nexus_add_header(message, "nexus-operation-close-time", nexus_time(callback->close_time, arena));
    nexus_add_link(message, callback->link, arena);
    for (size_t i = 0; i < nexus->header_count && message->header_count < NEXUS_HEADERS_MAX; i++)
        message->headers[message->header_count++] = (struct outbound_header){ nexus->header[i].key,
                                                                              nexus->header[i].value };
}

/* --- to a schedule --- */

struct closing {
    struct schedule_request ask;
    struct callback_worker *worker;
};

static void schedule_told(struct request *request)
{
    struct closing *closing = CONTAINER_OF(CONTAINER_OF(request, struct schedule_request, base),
                                           struct closing, ask);
    bool            is_gone = request->error.code == ST_NOT_FOUND;
    report(closing->worker, request->error.code == ST_OK || is_gone ? NULL : "the schedule cannot be told",
           true);
}

static int32_t status_of(const struct history_HistoryEvent *close, struct schedule_request *ask)
{
    switch (close->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        ask->result = close->workflow_execution_completed_event_attributes->result;
        return enums_WORKFLOW_EXECUTION_STATUS_COMPLETED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        ask->failure = close->workflow_execution_failed_event_attributes->failure;
        return enums_WORKFLOW_EXECUTION_STATUS_FAILED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        return enums_WORKFLOW_EXECUTION_STATUS_CANCELED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        return enums_WORKFLOW_EXECUTION_STATUS_TERMINATED;
    default:
        return enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT;
    }
}

/* The schedule takes the end of one workflow once, however often it is told. */
static void tell_schedule(struct callback_worker *worker, struct bytes data)
{
    struct arena                 *arena = &worker->arena;
    struct closing               *closing = ARENA_NEW(arena, struct closing);
    struct schedule_request      *ask = &closing->ask;
    struct state_ScheduleCallback callback;
    if (pb_decode(&pb_state_ScheduleCallback, data, arena, &callback, NULL) != ST_OK) {
        report(worker, "the callback does not decode", false);
        return;
    }
    closing->worker = worker;
    list_init(&ask->base.link);
    ask->base.kind = ENTITY_SCHEDULE;
    ask->base.arena = arena;
    ask->base.namespace_number = worker->work.base.namespace_number;
    ask->base.business_id = schedule_business_id(callback.schedule_id, arena);
    ask->base.command = SCHEDULE_CLOSED;
    ask->base.done = schedule_told;
    ask->id = callback.id;
    ask->workflow_id = worker->task.workflow_id;
    ask->run_id = uuid_text(arena, &worker->work.run_id);
    ask->status = status_of(worker->work.callback.close, ask);
    worker->state = WORKER_REPORTS;
    lane_submit(worker->lane->lane, &ask->base);
}

/* The run said what is to be sent. */
static void asked(struct request *request)
{
    struct callback_worker *worker = worker_of_work(request);
    struct api_lane        *lane = worker->lane;
    struct common_Callback  callback = { 0 };
    if (request->error.code != ST_OK || worker->work.stale || lane->draining) {
        worker_rest(worker);
        return;
    }
    if (pb_decode(&pb_common_Callback, worker->work.callback.encoded, &worker->arena, &callback, NULL) !=
            ST_OK ||
        (callback.variant_case != 2 && callback.variant_case != 3)) {
        report(worker, "the callback does not decode", false);
        return;
    }
    if (callback.variant_case == 3) {
        tell_schedule(worker, callback.internal->data);
        return;
    }
    if (bytes_equal_text(callback.nexus->url, CALLBACK_SYSTEM_URL)) {
        /* Of an operation of this server: none is known, and none will be. */
        report(worker, "handler error (NOT_FOUND)", false);
        return;
    }
    compose(worker, callback.nexus);
    worker->state = WORKER_SENDS;
    worker->outbound = (struct outbound){ .url = callback.nexus->url,
                                          .headers = worker->message.headers,
                                          .header_count = worker->message.header_count,
                                          .body = worker->message.body,
                                          .timeout_ns = CALLBACK_TIMEOUT_NS,
                                          .done = answered };
    lane->api->sender.send(lane->api->sender.context, lane->lane, &worker->outbound);
}

/* --- polling --- */

/* A row is read again while it is under way: a queue with waiting pollers looks at its rows every few seconds. */
static bool is_under_way(const struct api_lane *lane, store_number sequence)
{
    for (size_t i = 0; i < lane->callback_worker_count; i++) {
        const struct callback_worker *other = &lane->callback_workers[i];
        if (other->state >= WORKER_ASKS && other->task.sequence == sequence)
            return true;
    }
    return false;
}

static void worker_assign(struct poller *poller, const struct store_ready *task)
{
    struct callback_worker *worker = CONTAINER_OF(poller, struct callback_worker, poller);
    struct api_lane        *lane = worker->lane;
    const struct namespace_config *namespace = lane_namespace_by_id(lane->lane, task->fairness_key);
    bool again = is_under_way(lane, task->sequence);
    lane->callback_busy++;
    if (again || namespace == NULL) {
        worker_rest(worker);
        return;
    }
    worker->task = *task;
    worker->task.queue = bytes_of_text(worker->queue);
    worker->task.normal_queue = worker->task.version = BYTES_EMPTY;
    worker->task.workflow_id = arena_copy(&worker->arena, task->workflow_id);
    worker->task.fairness_key = arena_copy(&worker->arena, task->fairness_key);
    worker->state = WORKER_ASKS;
    worker_submit(worker, WORKFLOW_CALLBACK_LOAD, namespace->number, asked);
    lane_submit(lane->lane, &worker->work.base);
}

/* Queries do not come here: the queue is of a kind of its own. */
static void worker_assign_direct(struct poller *poller UNUSED, struct direct_task *direct UNUSED)
{
    panic("a direct task for a callback worker");
}

static void callbacks_begin(struct api_lane *lane)
{
    lane->callbacks_begun = true;
    if (lane->api->sender.send == NULL)
        return;
    lane->callback_workers = xcalloc(CALLBACK_QUEUES * CALLBACK_WORKERS, sizeof lane->callback_workers[0]);
    for (unsigned queue = 0; queue < CALLBACK_QUEUES; queue++) {
        char name[32];
        snprintf(name, sizeof name, CALLBACK_QUEUE_FORMAT, queue);
        if (runtime_queue_lane(lane->api->runtime, 0, bytes_of_text(name)) != lane->lane)
            continue;
        for (unsigned i = 0; i < CALLBACK_WORKERS; i++) {
            struct callback_worker *worker = &lane->callback_workers[lane->callback_worker_count++];
            worker->lane = lane;
            memcpy(worker->queue, name, sizeof name);
            worker->name = (struct queue_name){ .name = bytes_of_text(worker->queue),
                                                .kind = STORE_TASK_CALLBACK };
            worker->poller.assign = worker_assign;
            worker->poller.assign_direct = worker_assign_direct;
            list_init(&worker->poller.link);
            arena_init(&worker->arena, SIZE_MAX);
            lane->callback_resting++;
        }
    }
}

void callbacks_turn(struct api_lane *lane)
{
    if (!lane->callbacks_begun)
        callbacks_begin(lane);
    if (lane->callback_resting == 0 || lane->draining)
        return;
    for (size_t i = 0; i < lane->callback_worker_count; i++) {
        struct callback_worker *worker = &lane->callback_workers[i];
        struct error            error;
        const struct poll_terms terms = { 0 };
        if (worker->state != WORKER_RESTS)
            continue;
        worker->state = WORKER_WAITS;
        lane->callback_resting--;
        if (matching_poll(lane->matching, &worker->name, &worker->poller, &terms, &error) != ST_OK)
            worker_refused(worker);
    }
}

bool callbacks_want_turn(const struct api_lane *lane)
{
    return lane->callback_resting != 0 && !lane->draining;
}

void callbacks_drain(struct api_lane *lane)
{
    const struct outbound_sender *sender = &lane->api->sender;
    for (size_t i = 0; i < lane->callback_worker_count; i++) {
        struct callback_worker *worker = &lane->callback_workers[i];
        if (worker->state == WORKER_WAITS) {
            matching_cancel(lane->matching, &worker->poller);
            worker_refused(worker);
        } else if (worker->state == WORKER_SENDS) {
            sender->cancel(sender->context, lane->lane, &worker->outbound);
            worker_rest(worker);
        }
    }
}

void callbacks_free(struct api_lane *lane)
{
    for (size_t i = 0; i < lane->callback_worker_count; i++) {
        matching_cancel(lane->matching, &lane->callback_workers[i].poller);
        arena_release(&lane->callback_workers[i].arena);
    }
    free(lane->callback_workers);
    lane->callback_workers = NULL;
    lane->callback_worker_count = 0;
}
