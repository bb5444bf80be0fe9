/* server.c: the server as a whole: limits, drain, counters. */
#include "wire/server.h"

#include <unistd.h>

#include "wire/server_internal.h"

#define MIB ((size_t)1024 * 1024)

static void limits_fill(struct wire_server_limits *limits)
{
#define DEFAULT(name, value) limits->name = limits->name == 0 ? (value) : limits->name
    DEFAULT(connections_max, 16384);
    DEFAULT(streams_per_connection_max, 4096);
    DEFAULT(calls_max, 65536);
    DEFAULT(message_size_max, 4 * MIB);
    DEFAULT(header_list_size_max, 64 * 1024);
    DEFAULT(call_memory_max, 64 * MIB);
    DEFAULT(request_bytes_max, 256 * MIB);
    DEFAULT(reply_bytes_soft_max, 16 * MIB);
    DEFAULT(reply_bytes_max, 64 * MIB);
    DEFAULT(reply_bytes_total_max, 512 * MIB);
    DEFAULT(gzip_reply_size_min, 1024);
    DEFAULT(keepalive_ns, 60 * NS_PER_S);
    DEFAULT(keepalive_timeout_ns, 20 * NS_PER_S);
    DEFAULT(handshake_ns, 10 * NS_PER_S);
    DEFAULT(request_ns, 60 * NS_PER_S);
    DEFAULT(send_ns, 120 * NS_PER_S);
#undef DEFAULT
    assert(limits->message_size_max < UINT32_MAX);
    assert(limits->call_memory_max >=
           limits->header_list_size_max * 8 + MIB); /* what wire itself takes of it */
}

static nghttp2_option *session_options_new(void)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        panic("out of memory");
    nghttp2_option_set_no_closed_streams(option, 1);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        nghttp2_option_set_user_recv_extension_type(option,
                                                    (uint8_t)type); /* to be counted, see connection.c */
    nghttp2_option_set_max_deflate_dynamic_table_size(option, 512); /* our headers are few and the same */
    nghttp2_option_set_max_send_header_block_length(option, 256 * 1024);
    nghttp2_option_set_max_continuations(option, 8);
    /* The second line: wire_connection_calm, which the peer can make sense of, is the first. */
    nghttp2_option_set_max_outbound_ack(option, 4000);
    nghttp2_option_set_stream_reset_rate_limit(option, 4000, 400);
    return option;
}

static void tell_drained(struct loop_deferred *deferred)
{
    struct wire_server *server = CONTAINER_OF(deferred, struct wire_server, drained_later);
    void (*drained)(void *context) = server->drained;
    server->drained = NULL;
    if (drained != NULL)
        drained(server->drained_context);
}

struct wire_server *wire_server_new(const struct wire_server_options *options)
{
    struct wire_server *server = xcalloc(1, sizeof *server);
    server->options = *options;
    limits_fill(&server->options.limits);
    server->loop = options->loop;
    server->callbacks = wire_connection_callbacks();
    server->session_options = session_options_new();
    http2_scratch_init(&server->scratch);
    gzip_init(&server->gzip);
    buffer_init(&server->packed);
    list_init(&server->connections);
    list_init(&server->spare);
    list_init(&server->health_watchers);
    loop_deferred_init(&server->drained_later, tell_drained);
    return server;
}

void wire_server_free(struct wire_server *server)
{
    if (server == NULL)
        return;
    LIST_FOR_EACH (connection, &server->connections, struct wire_connection, link) {
        struct http2 *http2 = &connection->http2;
        if (!http2->over) {
            http2->over = true;
            http2->on_over(http2);
        }
        http2->on_ended(http2);
    }
    assert(server->counters.calls_open == 0);
    assert(server->stream_count == 0);
    assert(server->request_bytes == 0);
    assert(server->reply_bytes == 0);
    loop_defer_cancel(server->loop, &server->drained_later);
    wire_stream_spare_release(server);
    nghttp2_session_callbacks_del(server->callbacks);
    nghttp2_option_del(server->session_options);
    http2_scratch_release(&server->scratch);
    gzip_release(&server->gzip);
    buffer_release(&server->packed);
    free(server);
}

void wire_server_adopt(void *context, int fd)
{
    struct wire_server *server = context;
    if (server->draining || server->counters.connections_open >= server->options.limits.connections_max) {
        server->counters.connections_refused++;
        close(fd);
        return;
    }
    wire_connection_new(server, fd);
}

void wire_server_drain(struct wire_server *server, void (*drained)(void *context), void *context)
{
    server->draining = true;
    server->drained = drained;
    server->drained_context = context;
    LIST_FOR_EACH (connection, &server->connections, struct wire_connection, link)
        wire_connection_leave(connection);
    if (list_empty(&server->connections))
        loop_defer(server->loop, &server->drained_later);
}

void wire_server_close_all(struct wire_server *server)
{
    LIST_FOR_EACH (connection, &server->connections, struct wire_connection, link)
        http2_kill(&connection->http2);
}

const struct wire_server_counters *wire_server_counters(const struct wire_server *server)
{
    struct wire_server *mine = CONTAINER_OF(&server->counters, struct wire_server, counters);
    mine->counters.bytes_read = server->scratch.bytes_read;
    mine->counters.bytes_written = server->scratch.bytes_written;
    mine->counters.writes = server->scratch.writes;
    return &server->counters;
}
