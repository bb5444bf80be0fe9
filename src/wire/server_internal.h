/* server_internal.h: connections and streams of a server, shared by the files of its half. */
#ifndef WIRE_SERVER_INTERNAL_H
#define WIRE_SERVER_INTERNAL_H
#include "base/list.h"
#include "wire/gzip.h"
#include "wire/http2.h"
#include "wire/server.h"
#include "wire/session_memory.h"

#define HEALTH_NAMES_MAX  16
#define RESETS_REMEMBERED 32

struct wire_stream;
/* A method that wire answers itself. */
struct wire_service_method {
    const char *path;
    /* A whole message has come; borrowed for the call. */
    void (*message)(struct wire_stream *stream, struct bytes message);
    /* The peer sends nothing more. Must see to it that the stream ends some day. */
    void (*half_closed)(struct wire_stream *stream);
};

struct wire_server {
    struct wire_server_options  options;
    struct wire_server_counters counters;
    struct loop                *loop;
    nghttp2_session_callbacks  *callbacks;
    nghttp2_option             *session_options;
    struct http2_scratch        scratch;
    struct gzip                 gzip;
    struct buffer               packed; /* scratch of compressing and of header values */
    struct list                 connections;
    struct list                 spare; /* streams to use again */
    size_t                      spare_count, stream_count, request_bytes, reply_bytes;
    bool                        draining;
    void (*drained)(void *context);
    void                *drained_context;
    struct loop_deferred drained_later;
    struct health_name {
        char name[128];
        bool serving;
    } health[HEALTH_NAMES_MAX];
    size_t      health_count;
    struct list health_watchers; /* wire_stream.service_link */
};

enum connection_phase { CONNECTION_NEW, CONNECTION_OPEN, CONNECTION_LEAVING, CONNECTION_LEFT };
struct wire_connection {
    struct http2          http2;
    struct session_memory session_memory;
    struct wire_server   *server;
    struct list           link, streams;
    struct loop_timer     timer; /* handshake, keepalive, age, the grace of a GOAWAY: whichever is next */
    int64_t               age_due, calm_at;
    int64_t calm;         /* what is left of the peer's allowance of frames that cost more than they say */
    int64_t updates_due;  /* window updates that the data we sent explains */
    size_t  reply_bytes;  /* unsent, in all streams */
    int64_t ping_sent_ns; /* TIME_NEVER: no keepalive ping is out */
    enum connection_phase phase;
    int32_t               last_id;     /* the highest stream that the peer has opened */
    uint32_t              reset_count; /* streams that we ended while the peer was sending: */
    int32_t               reset_ids[RESETS_REMEMBERED]; /* their frames may be on their way */
};

enum stream_stage {
    STREAM_HEADERS,
    STREAM_BODY,
    STREAM_RUNNING,  /* a call is out, or a service keeps the stream open */
    STREAM_REPLYING, /* all was said; the peer has to take it */
};
enum stream_encoding { ENCODING_NONE, ENCODING_GZIP, ENCODING_OTHER };
/* What was wrong in the headers; the first one counts. */
enum stream_fault { FAULT_NONE, FAULT_TOO_LARGE, FAULT_CROWDED, FAULT_TIMEOUT, FAULT_BINARY };

struct wire_stream {
    struct call                       call; /* what api sees */
    struct wire_server               *server;
    struct wire_connection           *connection;    /* NULL once the HTTP/2 stream is closed */
    const struct wire_service_method *method;        /* NULL: on_call's */
    struct list                       link;          /* of connection->streams; of server->spare */
    struct list                       service_link;  /* the service's own */
    struct bytes                      service_name;  /* the service's own; lives in the arena */
    bool                              service_asked; /* a first message has come */
    struct loop_timer                 timer;
    struct arena                      arena;
    int64_t                           timeout_ns;
    int32_t                           id;
    /* request */
    struct buffer        body;    /* of messages that are too large for the arena, and of streaming methods */
    uint8_t             *message; /* where the message goes: into body or the arena */
    size_t               message_got;
    size_t               charged, header_charged; /* parts of server->request_bytes */
    size_t               leftover;                /* bytes that came after the answer */
    size_t               header_size, metadata_capacity;
    struct bytes         request_encoding; /* only when it is ENCODING_OTHER */
    uint8_t              prefix[5], prefix_got;
    enum stream_stage    stage;
    enum stream_encoding encoding;
    enum stream_fault    fault;
    bool                 is_post, is_grpc, accepts_gzip;
    bool                 is_plain_http;  /* the answer is no gRPC either */
    bool                 peer_reset;     /* RST_STREAM came */
    bool                 end_sent;       /* our END_STREAM is out while the request still comes */
    bool                 message_done;   /* unary: its one message is complete */
    bool                 request_done;   /* END_STREAM was seen */
    bool                 call_out;       /* api has it and must answer */
    bool                 response_begun; /* HEADERS were submitted */
    bool                 reply_packed;   /* the response says grpc-encoding: gzip */
    bool                 reply_ended;    /* no more messages; the trailers follow */
    /* reply */
    struct buffer reply;
    size_t        reply_sent;
    struct error *end; /* in the arena; NULL: OK */
};

/* connection.c */
void                       wire_connection_new(struct wire_server *server, int fd);
void                       wire_connection_leave(struct wire_connection *connection);
nghttp2_session_callbacks *wire_connection_callbacks(void);
/* Takes from the peer's allowance; when it is spent the peer is sent away. */
void wire_connection_calm(struct wire_connection *connection, int64_t cost);
/* An answered call earns allowance. */
void wire_connection_reward(struct wire_connection *connection);

/* request.c: from headers to a call */
struct wire_stream *wire_stream_new(struct wire_connection *connection, int32_t id);
void                wire_stream_header(struct wire_stream *stream, struct bytes name, struct bytes value);
void                wire_stream_headers_done(struct wire_stream *stream);
void                wire_stream_body(struct wire_stream *stream, struct bytes data);
void                wire_stream_request_done(struct wire_stream *stream);
/* The HTTP/2 stream is closed, for whatever reason; frees it when no call is out. */
void wire_stream_closed(struct wire_stream *stream);
/* Closed and answered. */
void wire_stream_free(struct wire_stream *stream);
/* The peer will not see an answer: tells the call's handler, once. */
void wire_stream_gone(struct wire_stream *stream);
void wire_stream_spare_release(struct wire_server *server);

/* reply.c: answers */
void wire_stream_send(struct wire_stream *stream, struct bytes message);
/* Ends the stream with OK, after what was sent. */
void wire_stream_end(struct wire_stream *stream);
/* Ends the stream with an error, after what was sent. */
void wire_stream_fail(struct wire_stream *stream, const struct error *error);
/* An answer of plain HTTP, for what is no gRPC call at all. */
void wire_stream_refuse_http(struct wire_stream *stream);
/* The frame that ends our side has left. */
void wire_stream_end_sent(struct wire_stream *stream);
/* Tells a peer that still sends its request, though it has the answer, to stop. */
void wire_stream_stop_request(struct wire_stream *stream);
/* nghttp2's callback: appends a DATA frame to what is being written. */
int wire_stream_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t size,
                          nghttp2_data_source *source, void *context);
/* What was queued is no longer owed. */
void                                wire_stream_drop_reply(struct wire_stream *stream);
extern const struct call_operations wire_stream_operations;

/* health.c, reflection.c */
const struct wire_service_method *wire_service_find(struct bytes path);
const struct wire_service_method *wire_reflection_find(struct bytes path);
#endif
