/* call.h: one unary RPC, as wire hands it to api. The boundary: wire knows bytes, streams and deadlines; api answers once.
 *
 * Owns:    wire allocates a call with its arena when the whole request has arrived, and frees it after it was answered.
 * Thread:  the connection's lane. A call may be worked on elsewhere while it waits, but call_reply, call_fail and
 *          call_on_gone run on `home`'s thread only; others post `message` to it.
 * Ends:    exactly one of call_reply and call_fail, also when the peer is gone (then the answer is dropped).
 * Limits:  concurrent calls per connection and per process, in wire.
 */
#ifndef BASE_CALL_H
#define BASE_CALL_H
#include "base/arena.h"
#include "base/mailbox.h"

struct metadata {
    struct bytes name; /* lower case; "-bin" values are already base64-decoded */
    struct bytes value;
};
struct call {
    struct bytes     path; /* e.g. /temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution */
    struct bytes     request; /* the message, decompressed; lives with the arena */
    struct arena    *arena;   /* the call's own; bounded by the budget of requests */
    struct metadata *metadata;
    size_t           metadata_count;
    int64_t          deadline_ns; /* monotonic; TIME_NEVER when the caller gave none */
    void            *home;        /* the lane the connection lives on; opaque here */
    bool gone; /* set on home's thread when the peer went away: reset, closed, or deadline passed */
    /* Set by the handler that wants to know: called once, on home's thread, when `gone` becomes true before the answer.
     * The handler must still answer. */
    void (*on_gone)(struct call *call);
    void                         *handler;    /* the handler's own */
    struct message                message;    /* for whoever works on the call: to post it between threads */
    const struct call_operations *operations; /* wire's; in tests a recorder */
};
struct call_operations {
    void (*reply)(struct call *call, struct bytes message);
    void (*fail)(struct call *call, const struct error *error);
    /* Whether anything of the reply could still reach the peer (false once the stream or connection is gone). */
    bool (*alive)(const struct call *call);
};
/* The message's bytes are copied or written before this returns. Frees the call. */
static inline void call_reply(struct call *call, struct bytes message)
{
    call->operations->reply(call, message);
}
/* error->code must not be ST_OK. Frees the call. */
static inline void call_fail(struct call *call, const struct error *error)
{
    assert(error->code != ST_OK);
    call->operations->fail(call, error);
}
/* The value of a metadata entry, or the empty slice. */
struct bytes call_metadata(const struct call *call, const char *name);
#endif
