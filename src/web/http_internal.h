/* http_internal.h: the server and its connections, shared by http*.c. */
#ifndef WEB_HTTP_INTERNAL_H
#define WEB_HTTP_INTERNAL_H
#include "base/list.h"
#include "io/listener.h"
#include "io/transport.h"
#include "web/http.h"
#include "web/http1.h"

#define PEER_SIZE 46 /* INET6_ADDRSTRLEN */

struct http_server {
    struct loop         *loop;
    struct listener     *listener; /* NULL while draining */
    struct http_limits   limits;
    struct http_counters counters;
    struct list          connections;
    struct http_route    routes[HTTP_ROUTES_MAX];
    size_t               route_count;
    struct http1_head    head; /* scratch of parsing */
    struct loop_timer    drain_timer;
    struct loop_deferred drained_later;
    void (*drained)(void *context);
    void    *drained_context;
    int64_t  date_s;
    char     date[40];
    uint8_t  scratch[64 * 1024];
    uint16_t port;
    bool     loopback, draining, full;
};

/*            head complete        body complete      http_answer         all sent
 *   HEAD ───────────────> BODY ───────────────> HELD ─────────────> SENDING ──────> HEAD (kept alive) or LINGER
 *                                                └─ http_stream_begin ─> STREAM ─ http_stream_end ─> SENDING
 * A refusal goes from HEAD or BODY to SENDING, and LINGER follows: the peer may still send what nobody reads. */
enum stage { STAGE_HEAD, STAGE_BODY, STAGE_HELD, STAGE_STREAM, STAGE_SENDING, STAGE_LINGER };
struct http_connection {
    struct http_exchange     exchange;
    struct http_server      *server;
    struct list              link;
    struct transport         transport;
    struct loop_watch       *watch;
    struct loop_timer        timer;
    struct loop_deferred     work;
    const struct http_route *route;
    struct buffer            in, out; /* what came and is not used yet; what has to leave, from out_sent on */
    struct buffer            head;    /* of the present request; its slices point here */
    struct http_header      *headers;
    struct buffer            body;
    struct http1_chunks      chunks;
    size_t                   out_sent, held;
    uint64_t                 body_left;
    int64_t                  deadline; /* of the stage */
    int64_t                  send_due; /* the peer has taken nothing since send_ns before it */
    int64_t                  look_due; /* whether a peer that sends no more is still there */
    int64_t                  look_ns;
    enum stage               stage;
    bool                     chunked, is_head, minor_0, keep;
    bool                     new_line;    /* came since the head was looked at */
    bool                     ended;       /* the peer sends no more */
    bool                     events;      /* the stream is text/event-stream */
    bool                     raw;         /* the stream ends by closing, for HTTP/1.0 */
    bool                     cut;         /* to be closed by `work` */
    bool                     dispatching; /* inside a handler */
    char                     peer[PEER_SIZE];
};

/* http_connection.c */
void http_adopt(void *context, int fd);
/* Ends it at once; the handler is told when it holds the exchange. */
void http_connection_close(struct http_connection *connection);
/* Idle ones go; others end with what they are doing. */
void http_connection_leave(struct http_connection *connection);
/* The request's memory is given back. */
void http_request_release(struct http_connection *connection);
/* Counts what the connection holds. */
void http_connection_count(struct http_connection *connection);
/* Later in this turn: what is queued is sent, and the connection goes on. */
void http_connection_work(struct http_connection *connection);

/* http_answer.c */
void http_refuse(struct http_connection *connection, int status, const char *text, const char *allow);
#endif
