/* traces.c: the exporter. Spans come by the loop's mailbox, leave together: when there are enough, or PAUSE_NS after the first.
 *
 *   trace_span_end ──> mailbox ──> waiting ──> a request under way ──2xx──> gone
 *                                    ^              │ no answer, 429, 502, 503, 504: again after a pause, RETRIES_MAX times
 *                                    └── full ──────┘ anything else: dropped
 */
#include "server/traces.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/trace.h"
#include "io/loop.h"
#include "outbound/outbound.h"

#define TRACES_BATCH_MAX 512
#define PAUSE_NS         NS_PER_S
#define TIMEOUT_NS       (10 * NS_PER_S)
#define RETRIES_MAX      4
#define FAREWELL_NS      (2 * NS_PER_S)

struct traces {
    struct loop            *loop;
    struct outbound_client *client;
    struct loop_timer       due, farewell;
    struct outbound         outbound;
    struct buffer           spans, body; /* of those that wait; of the request under way */
    size_t                  waiting, sending;
    unsigned                tries;
    bool                    busy, leaving;
    char                    url[1024];
    struct message          leave;
    pthread_t               thread;
};
static struct traces *exporter; /* spans know no other way to it */

static const struct outbound_header headers[] = {
    { { (const uint8_t *)"content-type", 12 }, { (const uint8_t *)"application/x-protobuf", 22 } },
};

static void put_field(struct buffer *to, unsigned field, struct bytes value)
{
    buffer_append_varint(to, field << 3 | 2);
    buffer_append_varint(to, value.size);
    buffer_append(to, value);
}

static void put_attribute(struct buffer *to, const char *key, const char *value)
{
    CLEANUP(buffer_release) struct buffer any = { 0 }, pair = { 0 };
    put_field(&any, 1, bytes_of_text(value));
    put_field(&pair, 1, bytes_of_text(key));
    put_field(&pair, 2, buffer_bytes(&any));
    put_field(to, 1, buffer_bytes(&pair));
}

/* ExportTraceServiceRequest { resource_spans = 1 { resource = 1 { attributes = 1 }, scope_spans = 2 { scope = 1, spans = 2 } } } */
static void make_body(struct traces *traces)
{
    CLEANUP(buffer_release) struct buffer resource = { 0 }, scope = { 0 }, scoped = { 0 }, whole = { 0 };
    put_attribute(&resource, "service.name", "perdure");
    put_attribute(&resource, "service.version", PERDURE_VERSION);
    put_field(&scope, 1, BYTES("perdure"));
    put_field(&scoped, 1, buffer_bytes(&scope));
    buffer_append(&scoped, buffer_bytes(&traces->spans));
    put_field(&whole, 1, buffer_bytes(&resource));
    put_field(&whole, 2, buffer_bytes(&scoped));
    buffer_clear(&traces->body);
    put_field(&traces->body, 1, buffer_bytes(&whole));
    buffer_clear(&traces->spans);
}

static void send_now(struct traces *traces)
{
    traces->busy = true;
    outbound_client_send(traces->client, &traces->outbound);
}

static void send_waiting(struct traces *traces)
{
    if (traces->busy || traces->tries != 0 || traces->waiting == 0)
        return;
    loop_timer_clear(traces->loop, &traces->due);
    make_body(traces);
    traces->sending = traces->waiting;
    traces->waiting = 0;
    traces->outbound.body = buffer_bytes(&traces->body);
    send_now(traces);
}

static void finished(struct traces *traces)
{
    traces->tries = 0;
    traces->sending = 0;
    send_waiting(traces);
    if (traces->leaving && !traces->busy)
        loop_stop(traces->loop);
}

static void answered(struct outbound *outbound)
{
    struct traces *traces = CONTAINER_OF(outbound, struct traces, outbound);
    int            status = outbound->status;
    traces->busy = false;
    if (status >= 200 && status < 300) {
        metric_add(METRIC_TRACES_EXPORTED, 0, 0, traces->sending);
        finished(traces);
        return;
    }
    bool again = status == 0 || status == 429 || (status >= 502 && status <= 504);
    if (again && traces->tries < RETRIES_MAX) {
        loop_timer_set(traces->loop, &traces->due, loop_now(traces->loop) + (PAUSE_NS << traces->tries));
        traces->tries++;
        return;
    }
    log_warn("traces.dropped", "spans=%zu status=%d error=%s", traces->sending, status,
             status == 0 ? outbound->error.message : "the collector did not take them");
    metric_add(METRIC_TRACES_DROPPED, 0, 0, traces->sending);
    finished(traces);
}

static void time_to_send(struct loop_timer *timer)
{
    struct traces *traces = CONTAINER_OF(timer, struct traces, due);
    if (traces->tries != 0)
        send_now(traces);
    else
        send_waiting(traces);
}

static void take_span(struct message *message)
{
    struct trace_span *span = CONTAINER_OF(message, struct trace_span, message);
    struct traces     *traces = exporter;
    if (traces->waiting >= TRACE_SPANS_MAX) {
        metric_add(METRIC_TRACES_DROPPED, 0, 0, 1);
        trace_span_free(span);
        return;
    }
    put_field(&traces->spans, 2, buffer_bytes(&span->encoded));
    trace_span_free(span);
    if (traces->waiting++ == 0 && !traces->busy && traces->tries == 0)
        loop_timer_set(traces->loop, &traces->due, loop_now(traces->loop) + PAUSE_NS);
    if (traces->waiting >= TRACES_BATCH_MAX)
        send_waiting(traces);
}

static void stop_waiting(struct loop_timer *timer)
{
    loop_stop(CONTAINER_OF(timer, struct traces, farewell)->loop);
}

static void leave(struct message *message)
{
    struct traces *traces = CONTAINER_OF(message, struct traces, leave);
    traces->leaving = true;
    loop_timer_set(traces->loop, &traces->farewell, loop_now(traces->loop) + FAREWELL_NS);
    send_waiting(traces);
    if (!traces->busy)
        loop_stop(traces->loop);
}

static void *traces_main(void *context)
{
    loop_run(((struct traces *)context)->loop);
    return NULL;
}

static void traces_free(struct traces *traces)
{
    outbound_client_free(traces->client);
    if (traces->loop != NULL) {
        loop_timer_clear(traces->loop, &traces->due);
        loop_timer_clear(traces->loop, &traces->farewell);
        loop_free(traces->loop);
    }
    buffer_release(&traces->spans);
    buffer_release(&traces->body);
    free(traces);
}

enum status traces_start(const struct traces_options *options, struct traces **ret_traces,
                         struct error *error)
{
    struct traces *traces = xcalloc(1, sizeof *traces);
    size_t         size = strlen(options->endpoint);
    enum status    status = outbound_prepare(error);
    while (size > 0 && options->endpoint[size - 1] == '/')
        size--;
    snprintf(traces->url, sizeof traces->url, "%.*s/v1/traces", (int)size, options->endpoint);
    if (status == ST_OK && (traces->loop = loop_new(&(struct loop_options){ 0 })) == NULL)
        status = error_set(error, ST_UNAVAILABLE, "traces: no event loop: %s", strerror(errno));
    if (status != ST_OK) {
        traces_free(traces);
        return status;
    }
    loop_timer_init(&traces->due, time_to_send);
    loop_timer_init(&traces->farewell, stop_waiting);
    traces->leave.run = leave;
    traces->client = outbound_client_new(traces->loop);
    traces->outbound = (struct outbound){ .url = bytes_of_text(traces->url),
                                          .headers = headers,
                                          .header_count = ARRAY_COUNT(headers),
                                          .timeout_ns = TIMEOUT_NS,
                                          .done = answered };
    exporter = traces;
    if (pthread_create(&traces->thread, NULL, traces_main, traces) != 0) {
        traces_free(traces);
        return error_set(error, ST_UNAVAILABLE, "traces: no thread");
    }
    trace_begin(loop_mailbox(traces->loop), take_span, options->ratio);
    *ret_traces = traces;
    return ST_OK;
}

void traces_stop(struct traces *traces)
{
    if (traces == NULL)
        return;
    trace_end();
    mailbox_post(loop_mailbox(traces->loop), &traces->leave);
    pthread_join(traces->thread, NULL);
    traces_free(traces);
    exporter = NULL;
}
