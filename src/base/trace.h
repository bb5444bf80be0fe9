/* trace.h: spans of calls, commits and dispatches, for whoever exports them (server/traces.c). Off until trace_begin.
 *
 * A span is encoded as an OpenTelemetry protobuf Span when it ends, and posted to the exporter's mailbox.
 *
 * Owns:    spans on their way; which trace last touched a run (for the dispatch of its tasks), a few thousand of them.
 * Thread:  any, from trace_begin to trace_end, which are the main thread's: nothing traces before or after.
 * Limits:  TRACE_SPANS_MAX spans wait for the exporter; others are dropped and counted. Values of attributes are cut at
 *          TRACE_VALUE_MAX bytes.
 * Cost:    off, one relaxed load per call. Nothing about traces is ever stored.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H
#include "base/arena.h"
#include "base/buffer.h"
#include "base/mailbox.h"

#define TRACE_SPANS_MAX 8192
#define TRACE_VALUE_MAX 256

/* What a span is a part of, and what begins under it names as its parent. */
struct trace {
    uint8_t id[16], span[8], parent[8];
    bool    has_parent, is_poll; /* a poll's: the run that its task is of is not a part of it */
    int64_t start;               /* wall ns */
    int64_t decided; /* wall ns: when what the call changed began to wait for its commit; 0: nothing does */
};

/* An encoded Span; the exporter's once it is posted, which frees it by trace_span_free. */
struct trace_span {
    struct message message; /* run is `taken`, of trace_begin */
    struct buffer  encoded;
};

/* From now on calls are traced: those whose caller says so, and `ratio` of those whose caller says nothing. */
void trace_begin(struct mailbox *exporter, void (*taken)(struct message *message), double ratio);
void trace_end(void);
bool trace_is_on(void);
void trace_span_free(struct trace_span *span);

/* The trace of a call that came with this header (W3C traceparent; may be empty), in the arena. NULL: it is not traced. */
struct trace *trace_of_call(struct bytes traceparent, int64_t wall_ns, struct arena *arena);
/* "00-…-…-01" of what happens under the span. */
#define TRACE_PARENT_SIZE 55
void trace_print_parent(const struct trace *trace, char text[TRACE_PARENT_SIZE]);

enum trace_kind { TRACE_INTERNAL = 1, TRACE_SERVER = 2, TRACE_PRODUCER = 4, TRACE_CONSUMER = 5 };
/* A span from `start` to `end`. `own`: it is the trace's own span, else a new one below it. NULL: there is no room for it. */
struct trace_span *trace_span_new(const struct trace *trace, bool own, enum trace_kind kind,
                                  struct bytes name, int64_t start, int64_t end);
void               trace_text(struct trace_span *span, const char *key, struct bytes value);
void               trace_number(struct trace_span *span, const char *key, int64_t value);
void               trace_failed(struct trace_span *span, const char *message);
void               trace_span_end(struct trace_span *span); /* hands it to the exporter */

/* A run was changed under this trace: the next task of it belongs there. The newest ones are remembered. */
void trace_remember(int64_t run, const struct trace *trace);
bool trace_recall(int64_t run, struct trace *ret_trace);
#endif
