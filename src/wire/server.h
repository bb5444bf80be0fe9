/* server.h: the gRPC server of one lane: HTTP/2 connections in, struct call out.
 *
 * Owns:    its connections and calls. A call that was handed to on_call must be answered exactly once, also when its peer
 *          is gone; until then the server may not be freed.
 * Thread:  the loop's. No locks: every lane has a server of its own, and a listener deals connections out.
 * Answers: unary methods by on_call; grpc.health.v1 and grpc.reflection (v1, v1alpha) by itself.
 * Limits:  all in struct wire_server_limits, per server. Beyond them callers get RESOURCE_EXHAUSTED; connections beyond
 *          their number are closed; peers that flood with control frames or resets get GOAWAY(ENHANCE_YOUR_CALM).
 */
#ifndef WIRE_SERVER_H
#define WIRE_SERVER_H
#include "base/base.h"
#include "base/call.h"
#include "io/loop.h"

/* 0 stands for the default, given behind each. */
struct wire_server_limits {
    size_t  connections_max;            /* 16,384 */
    size_t  streams_per_connection_max; /* 4,096: SDKs put all pollers of a process on one connection */
    size_t  calls_max;                  /* 65,536 in flight */
    size_t  message_size_max;           /* 4 MiB, after decompression */
    size_t  header_list_size_max;       /* 64 KiB */
    size_t  call_memory_max;            /* 64 MiB: the budget of a call's arena */
    size_t  request_bytes_max;          /* 256 MiB of unfinished and running requests together */
    size_t  reply_bytes_soft_max;       /* 16 MiB unsent on one connection: its new calls are refused */
    size_t  reply_bytes_max;       /* 64 MiB unsent on one connection: replies become RESOURCE_EXHAUSTED */
    size_t  reply_bytes_total_max; /* 512 MiB unsent on all connections: the same */
    size_t  gzip_reply_size_min;   /* 1 KiB; SIZE_MAX: never compress */
    int64_t keepalive_ns;          /* 60 s without a byte from the peer: ping */
    int64_t keepalive_timeout_ns;  /* 20 s without an answer to that: close */
    int64_t handshake_ns;          /* 10 s for the connection preface */
    int64_t request_ns;            /* 60 s for the whole body of a unary request */
    int64_t send_ns;               /* 120 s for a peer to take a finished reply */
    int64_t connection_age_ns;     /* none; then GOAWAY, and calls may still end */
};
struct wire_server_options {
    struct loop *loop;
    void        *home; /* becomes call->home */
    void (*on_call)(void *context, struct call *call);
    /* Whether a path is a method of on_call's; asked when the headers are in. NULL: every path is. */
    bool (*is_method)(void *context, struct bytes path);
    void                     *context;
    struct wire_server_limits limits;
};
struct wire_server_counters {
    uint64_t connections_accepted, connections_refused, calls_started, calls_failed, calls_gone, bytes_read,
        bytes_written, writes, connections_calmed; /* peers sent away for flooding */
    size_t connections_open, calls_open;
};

struct wire_server;
struct wire_server *wire_server_new(const struct wire_server_options *options);
/* All calls must have been answered; open connections are closed. */
void wire_server_free(struct wire_server *server);
/* Takes over a connected non-blocking socket; `server` is a struct wire_server (a listener_target's adopt). */
void wire_server_adopt(void *server, int fd);
/* GOAWAY to every peer; calls that run may end, then connections close. `drained` is called once when none is left (at
 * the end of this or a later turn). Connections that come later are closed at once. */
void wire_server_drain(struct wire_server *server, void (*drained)(void *context), void *context);
/* Closes every connection now: calls become gone. */
void wire_server_close_all(struct wire_server *server);
/* What grpc.health.v1 says of a service ("" is the whole server); watchers are told. At most 16 names. */
void wire_server_set_serving(struct wire_server *server, const char *service, bool serving);
const struct wire_server_counters *wire_server_counters(const struct wire_server *server);
#endif
