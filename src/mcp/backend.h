/* backend.h: calls of the public API by method and message, with the one retry that is safe.
 *
 * A call that fails UNAVAILABLE (the server drops a shard, drains) is sent again as it was, with the same request id, until its time is
 * over: so a method that changes something must carry an id. Nothing else is retried.
 *
 * Owns:    the calls under way. Thread: the loop's. Ends: `done` once, never from within backend_send, not after a cancel.
 * Limits:  those of the client below; BACKEND_TRIES_MAX tries of one call.
 */
#ifndef MCP_BACKEND_H
#define MCP_BACKEND_H
#include "base/arena.h"
#include "base/local_call.h"
#include "base/random.h"
#include "io/loop.h"
#include "pb/all.pb.h"

#define BACKEND_TRIES_MAX  12
#define BACKEND_TIMEOUT_NS (10 * NS_PER_S) /* of calls that do not wait for a workflow */
#define BACKEND_IDENTITY   "mcp-gateway"

struct payload_codec;
struct backend {
    struct local_client   client;
    struct payload_codec *codec; /* NULL: payloads go and come as they are */
    struct loop          *loop;
    struct random         random;
};
void backend_init(struct backend *backend, struct local_client client, struct loop *loop);

struct backend_call;
/* `response` is a struct of the method's response when error->code is ST_OK, else NULL; it and the error's detail live in `arena`, which
 * goes when this returns. */
typedef void backend_done(void *context, const void *response, const struct error *error,
                          struct arena *arena);
/* `method` is a PB_METHOD_ index; `request` a struct of its request, encoded before this returns. */
struct backend_call *backend_send(struct backend *backend, uint16_t method, const void *request,
                                  int64_t timeout_ns, backend_done *done, void *context);
void                 backend_cancel(struct backend_call *call); /* NULL is fine */

/* A fresh UUID as text in the arena: for request ids. */
struct bytes backend_new_id(struct backend *backend, struct arena *arena);
#endif
