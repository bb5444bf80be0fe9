/* client.h: the calling half of gRPC: many calls in flight on a loop, or one at a time, blocking, for the command line.
 *
 * Owns:    one connection, made when the first call needs it and again after it was lost. Calls are the caller's memory.
 * Thread:  the loop's; a blocking client is used by one thread at a time.
 * Limits:  the peer's concurrent streams (calls above wait in nghttp2's queue), replies up to reply_size_max,
 *          WIRE_CLIENT_METADATA_MAX entries with each call.
 */
#ifndef WIRE_CLIENT_H
#define WIRE_CLIENT_H
#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/call.h"
#include "io/loop.h"

#define WIRE_CLIENT_METADATA_MAX 48

struct wire_client_options {
    struct loop *loop; /* NULL: a blocking client with a loop of its own */
    const char  *host; /* a name blocks for its look-up at connect; numeric addresses do not */
    uint16_t     port;
    size_t       reply_size_max; /* 0: 128 MiB */
    /* Sent with every call, before its own; copied. */
    const struct metadata *metadata;
    size_t                 metadata_count;
};
struct wire_client;
struct wire_client *wire_client_new(const struct wire_client_options *options);
/* Calls still in flight end with CANCELLED first. */
void wire_client_free(struct wire_client *client);

/* --- many in flight. The struct is the caller's and stays where it is from start until `done` is called. --- */
struct wire_client_call {
    struct bytes           path;
    struct bytes           request;  /* copied by wire_client_start */
    const struct metadata *metadata; /* read by wire_client_start only */
    size_t                 metadata_count;
    int64_t                timeout_ns; /* also sent as grpc-timeout; TIME_NEVER: none */
    /* Once, never from within wire_client_start; may start further calls, not free the client. `reply` and the error's detail are valid during the call only. */
    void (*done)(struct wire_client_call *call, enum status status, struct bytes reply,
                 const struct error *error);
    void *context;

    /* wire's */
    struct list               link;
    struct wire_client       *client;
    struct loop_timer         timer;
    struct client_connection *connection; /* NULL when the call is not under way */
    struct buffer             out, in, details;
    size_t                    sent;
    struct error              error;
    int32_t                   stream_id;
    int                       http_status;
    bool                      status_known; /* grpc-status has come; it is error.code */
};
void wire_client_start(struct wire_client *client, struct wire_client_call *call);
/* Resets the stream and calls `done` with CANCELLED before it returns. The call must be under way. */
void wire_client_cancel(struct wire_client *client, struct wire_client_call *call);

/* --- one at a time, on a blocking client. The reply and the error's detail live in `arena`. --- */
enum status wire_client_call(struct wire_client *client, struct bytes path, struct bytes request,
                             const struct metadata *metadata, size_t metadata_count, int64_t timeout_ns,
                             struct arena *arena, struct bytes *ret_reply, struct error *error) MUST_USE;
#endif
