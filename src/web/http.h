/* http.h: an HTTP/1.1 server on a loop: exchanges, bodies and streams for the pages and the MCP gateway.
 *
 * An exchange is one request that has arrived whole, and its answer, which may come later and in pieces. A handler gets it
 * once and then ends it in one of three ways: http_answer; http_stream_begin … http_stream_end; or the peer goes away first and
 * `on_close` is called. After any of them the exchange is gone for the handler: nothing of it may be touched, and no other of
 * the three happens. `on_close` is never called from inside one of the functions below.
 *
 * Owns:    its listening socket and its connections. A handler owns what it hangs on an exchange (`user`).
 * Thread:  the loop's, all of it. web.c runs one on the thread "web".
 * Order:   requests that were pipelined are handed over and answered one after the other.
 * Limits:  struct http_limits; whatever is too large, too slow or ambiguous is refused with a status and the connection
 *          closed. A stream whose reader is too slow is cut when `stream_bytes_max` wait, or when nothing leaves for `send_ns`.
 * Gone:    a peer that closes is noticed at once while an answer is pending or a stream is open. One that only says that it
 *          sends no more (a half-closed connection) still gets its answer: to tell the two apart, 100 Continue (or, on a stream,
 *          the text/event-stream comment ":") is sent, which a closed socket answers with a reset.
 *          On an event stream each piece is therefore whole lines.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H
#include "base/base.h"
#include "base/buffer.h"
#include "io/loop.h"

enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_DELETE = 16,
    HTTP_OPTIONS = 32,
    HTTP_PATCH = 64,
    HTTP_OTHER = 128, /* well-formed, and nobody's */
};
struct http_header {
    struct bytes name, value; /* a request's: as sent, the value without white space around it */
};

struct http_server;
struct http_exchange {
    /* The request. Its slices live until the answer begins (http_answer, http_stream_begin) or on_close has returned. */
    struct http_server *server;
    struct bytes        host; /* of an absolute target, else of the header; with its port; may be empty */
    enum http_method    method;
    struct bytes        path,
        query; /* as sent, still percent-encoded; the path begins with '/'; the query without '?' */
    const struct http_header *headers; /* in the order they came */
    size_t                    header_count;
    struct bytes              body;
    const char               *peer; /* its numeric address, without the port; as long as the exchange */
    /* The handler's. on_close may be NULL. */
    void (*on_close)(struct http_exchange *exchange);
    void *user;
};

struct http_route {
    const char *path;          /* must match whole, or, with `below`, also what continues it after a '/' */
    bool        below;         /* the longest match of all routes counts */
    unsigned    methods;       /* of http_method; others get 405. HTTP_GET brings HEAD along */
    size_t      body_size_max; /* more gets 413 before it is read */
    bool checks_host; /* the handler looks at Host itself; otherwise only names of the loopback pass there */
    void (*handle)(void *context, struct http_exchange *exchange);
    /* The server is about to stop: streams are to be given a last word and ended, pending answers given soon. May be NULL. */
    void (*drain)(void *context);
    void *context;
};

/* 0: the default, which is said. */
struct http_limits {
    size_t connections_max;  /* 6144; more wait in the kernel's backlog */
    size_t head_size_max;    /* 16 KiB: request line and headers; 431 */
    size_t stream_bytes_max; /* 1 MiB of a stream that its reader has not taken */
    size_t
        bytes_max; /* 256 MiB: all that waits to be sent, and all bodies that have come; 503 and streams cut */
    /* From a connection's opening, or the first byte of a further request, to the end of its headers: 10 s; 408. */
    int64_t head_ns;
    int64_t body_ns;  /* of the whole body: 30 s; 408 */
    int64_t idle_ns;  /* between requests: 60 s */
    int64_t send_ns;  /* without a byte taken by the peer: 30 s */
    int64_t drain_ns; /* what is left open at the end of a drain is cut: 2 s */
};
struct http_server_options {
    struct loop       *loop;
    const char        *host; /* a numeric address or a name */
    uint16_t           port; /* 0: any free one */
    struct http_limits limits;
};
struct http_counters {
    size_t   connections_open, exchanges_open, streams_open, bytes_held;
    uint64_t connections_accepted, requests, refused,
        cut; /* refused: before any handler; cut: slow readers */
};
#define HTTP_ROUTES_MAX 16

/* Listens when it returns ST_OK; call from the loop's thread, or before that runs. */
enum status http_server_new(const struct http_server_options *options, struct http_server **ret_server,
                            struct error *error) MUST_USE;
/* Closes everything; every open exchange gets its on_close. From the loop's thread, or after it has ended. NULL is fine. */
void     http_server_free(struct http_server *server);
uint16_t http_server_port(const struct http_server *server);
/* Bound to the loopback: requests whose Host is another name get 403 then. */
bool                        http_server_is_loopback(const struct http_server *server);
struct loop                *http_server_loop(const struct http_server *server);
const struct http_counters *http_server_counters(const struct http_server *server);
/* `path` is borrowed for as long as the server lives. A path is given once. */
void http_server_route(struct http_server *server, const struct http_route *route);
/* Accepts no more, tells the routes, waits for what is open, at most drain_ns; then `drained` is called, once. */
void http_server_drain(struct http_server *server, void (*drained)(void *context), void *context);

/* --- requests --- */
/* The value of a header that came once; `ret_value` is empty when it did not come. False when it came more than once, which is
 * to be refused wherever two readers might choose differently. Names are compared without regard to case. */
bool http_header_single(const struct http_exchange *exchange, const char *name,
                        struct bytes *ret_value) MUST_USE;
/* The first value; empty when there is none. */
struct bytes http_header_first(const struct http_exchange *exchange, const char *name);
size_t       http_header_count(const struct http_exchange *exchange, const char *name);
/* Whether a comma-separated list header has this token, in any case and in any of its lines; parameters are not looked at. */
bool http_header_has_token(const struct http_exchange *exchange, const char *name, const char *token);

/* --- answers. Headers are copied; Content-Length, Transfer-Encoding, Connection and Date are the server's own. A name or value that would
 * break the line is a bug of the caller (assert): what comes from outside is checked by http_header_value_is_safe. --- */
void http_answer(struct http_exchange *exchange, int status, const struct http_header *headers,
                 size_t header_count, struct bytes body);
/* Text of ours with the usual careful headers; adds a line end. */
void http_answer_text(struct http_exchange *exchange, int status, const char *text);
/* 200 with the same headers and another type. */
void http_answer_page(struct http_exchange *exchange, const char *type, struct bytes body);
/* An answer in pieces, flushed at the end of each turn. A response to HEAD sends its headers only, and the pieces are dropped. */
void http_stream_begin(struct http_exchange *exchange, int status, const struct http_header *headers,
                       size_t header_count);
void http_stream_write(struct http_exchange *exchange, struct bytes piece);
/* What the reader has not taken yet. */
size_t http_stream_pending(const struct http_exchange *exchange);
void   http_stream_end(struct http_exchange *exchange);
bool   http_header_value_is_safe(struct bytes value);
/* Whether a Host header names this machine to itself, with or without a port. */
bool http_host_is_loopback(struct bytes host);
#endif
