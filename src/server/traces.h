/* traces.h: sends spans to an OpenTelemetry collector: OTLP over HTTP, protobuf, to ENDPOINT/v1/traces.
 *
 * Owns:    a thread with a loop of its own, so that no lane ever waits for a collector.
 * Limits:  TRACE_SPANS_MAX spans (base/trace.h); TRACES_BATCH_MAX in a request, one request at a time. One that a collector does
 *          not take is sent again a few times, with longer and longer pauses, then dropped and counted.
 * Order:   traces_start before there are calls, traces_stop after the last one: what waits is sent, for two seconds at most.
 */
#ifndef SERVER_TRACES_H
#define SERVER_TRACES_H
#include "base/base.h"

struct traces;
struct traces_options {
    const char *endpoint; /* http://HOST:PORT, borrowed */
    double      ratio;    /* of the calls whose caller does not say */
};
enum status traces_start(const struct traces_options *options, struct traces **ret_traces,
                         struct error *error) MUST_USE;
void        traces_stop(struct traces *traces); /* NULL is fine */
#endif
