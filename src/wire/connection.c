/* connection.c: nghttp2's callbacks of a server's connection, and its life: handshake, keepalive, calm, leave. */
#include "wire/server_internal.h"

#define CONNECTION_WINDOW (16 * 1024 * 1024)
#define STREAM_WINDOW     (4 * 1024 * 1024 + 64 * 1024)
#define LEAVE_GRACE_NS    NS_PER_S
/* The allowance of costly frames: a burst, and a rate that honest peers never come near. Answered calls add to it. */
#define CALM_BURST      2000
#define CALM_PER_SECOND 200
#define COST_INVALID    10
/* Window updates that one DATA frame of ours explains; what is above is counted. */
#define UPDATES_PER_DATA 10

static const uint8_t ping_leave[8] = "leaving", ping_alive[8] = "alive?!";

static struct wire_connection *of_http2(struct http2 *http2)
{
    return CONTAINER_OF(http2, struct wire_connection, http2);
}

/* --- calm --- */

void wire_connection_calm(struct wire_connection *connection, int64_t cost)
{
    connection->calm -= cost;
    if (connection->calm >= 0)
        return;
    int64_t now = loop_now(connection->server->loop);
    int64_t earned = (now - connection->calm_at) / (NS_PER_S / CALM_PER_SECOND);
    if (earned > 0) {
        connection->calm = MIN(connection->calm + earned, (int64_t)CALM_BURST);
        connection->calm_at = now;
    }
    if (connection->calm >= 0 || connection->phase == CONNECTION_LEFT)
        return;
    connection->phase = CONNECTION_LEFT;
    connection->server->counters.connections_calmed++;
    nghttp2_session_terminate_session(connection->http2.session, NGHTTP2_ENHANCE_YOUR_CALM);
    http2_dirty(&connection->http2);
}

void wire_connection_reward(struct wire_connection *connection)
{
    connection->calm = MIN(connection->calm + 4, (int64_t)CALM_BURST);
}

/* --- streams that are closed ---
 * nghttp2 would keep closed streams to recognise frames that come too late. We keep only the few ids that we closed before
 * the peer was done; a frame for any other closed stream is the peer's mistake and ends the connection. */

static void remember_reset(struct wire_connection *connection, int32_t id)
{
    connection->reset_ids[connection->reset_count++ % RESETS_REMEMBERED] = id;
}

static bool may_be_late(const struct wire_connection *connection, int32_t id)
{
    if (connection->reset_count > RESETS_REMEMBERED)
        return true; /* some were forgotten: in doubt for the peer */
    for (size_t i = 0; i < connection->reset_count; i++) {
        if (connection->reset_ids[i] == id)
            return true;
    }
    return false;
}

/* What frames other than requests cost the peer. */
static int64_t frame_cost(struct wire_connection *connection, const nghttp2_frame_hd *frame)
{
    switch (frame->type) {
    case NGHTTP2_DATA:
        return frame->length == 0 && !(frame->flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
        return !(frame->flags & NGHTTP2_FLAG_ACK);
    case NGHTTP2_HEADERS:
        return 0;
    case NGHTTP2_WINDOW_UPDATE:
        return connection->updates_due-- <= 0;
    default:
        return 1;
    }
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *frame, void *context)
{
    struct wire_connection *connection = context;
    int32_t                 id = frame->stream_id;
    uint32_t                error = NGHTTP2_NO_ERROR;
    int64_t                 cost = frame_cost(connection, frame);
    if (cost != 0)
        wire_connection_calm(connection, cost);
    if (frame->type == NGHTTP2_PRIORITY && id == 0)
        error = NGHTTP2_PROTOCOL_ERROR; /* nghttp2 does not look at them when priorities are off */
    if ((frame->type == NGHTTP2_DATA || frame->type == NGHTTP2_HEADERS) && id % 2 == 1 &&
        id <= connection->last_id && nghttp2_session_find_stream(session, id) == NULL &&
        !may_be_late(connection, id))
        error = NGHTTP2_STREAM_CLOSED;
    if (error != NGHTTP2_NO_ERROR) {
        nghttp2_session_terminate_session(session, error);
        http2_dirty(&connection->http2);
    }
    return 0;
}

/* Frames of kinds that nobody defined are ignored, as they must be; that they are asked for lets on_begin_frame count them. */
static int drop_unknown(nghttp2_session *session UNUSED, void **payload UNUSED,
                        const nghttp2_frame_hd *frame UNUSED, void *context UNUSED)
{
    return NGHTTP2_ERR_CANCEL;
}

/* --- nghttp2's other callbacks --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct wire_connection *connection = context;
    struct wire_stream     *stream = wire_stream_new(connection, frame->hd.stream_id);
    connection->last_id = MAX(connection->last_id, frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags UNUSED,
                     void *context UNUSED)
{
    struct wire_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream != NULL)
        wire_stream_header(stream, bytes_of(name, name_size), bytes_of(value, value_size));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags UNUSED, int32_t id, const uint8_t *data,
                   size_t size, void *context UNUSED)
{
    struct wire_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream != NULL)
        wire_stream_body(stream, bytes_of(data, size));
    return 0;
}

static void leave_now(struct wire_connection *connection)
{
    if (connection->phase == CONNECTION_LEFT)
        return;
    connection->phase = CONNECTION_LEFT;
    nghttp2_session *session = connection->http2.session;
    nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session),
                          NGHTTP2_NO_ERROR, NULL, 0);
    http2_dirty(&connection->http2);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct wire_connection *connection = context;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        if (memcmp(frame->ping.opaque_data, ping_leave, sizeof ping_leave) == 0)
            leave_now(connection); /* the peer knows by now; what it started before is in */
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA &&
        frame->hd.type != NGHTTP2_RST_STREAM)
        return 0;
    struct wire_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        stream->peer_reset = true;
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS)
        wire_stream_headers_done(stream);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        wire_stream_request_done(stream);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code UNUSED, void *context)
{
    struct wire_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream == NULL)
        return 0;
    if (!stream->request_done && !stream->peer_reset)
        remember_reset(context, id);
    wire_stream_closed(stream);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code UNUSED,
                            void *context)
{
    if (nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) == NULL)
        remember_reset(context, frame->hd.stream_id); /* refused before it became a stream of ours */
    wire_connection_calm(context, COST_INVALID);
    return 0;
}

/* Resets that the peer's frames made us send cost as much as the peer's own. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        wire_connection_calm(context, 1);
    if (frame->hd.type == NGHTTP2_DATA) {
        struct wire_connection *connection = context;
        connection->updates_due = MAX(connection->updates_due, INT64_C(0)) + UPDATES_PER_DATA;
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        struct wire_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (stream != NULL)
            wire_stream_end_sent(stream);
    }
    return 0;
}

nghttp2_session_callbacks *wire_connection_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        panic("out of memory");
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, drop_unknown);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, wire_stream_send_data);
    return callbacks;
}

/* --- life --- */

static int64_t keepalive_due(const struct wire_connection *connection)
{
    int64_t interval = connection->server->options.limits.keepalive_ns;
    return MIN(time_add(connection->http2.last_read_ns, interval), connection->age_due);
}

void wire_connection_leave(struct wire_connection *connection)
{
    if (connection->http2.over) /* it has left already and waits for the peer to close: no timer any more */
        return;
    if (connection->phase == CONNECTION_NEW) { /* nothing was promised yet */
        http2_kill(&connection->http2);
        return;
    }
    if (connection->phase != CONNECTION_OPEN)
        return;
    connection->phase = CONNECTION_LEAVING;
    nghttp2_submit_shutdown_notice(connection->http2.session);
    nghttp2_submit_ping(connection->http2.session, NGHTTP2_FLAG_NONE, ping_leave);
    http2_dirty(&connection->http2);
    struct loop *loop = connection->server->loop;
    loop_timer_set(loop, &connection->timer, time_add(loop_now(loop), LEAVE_GRACE_NS));
}

static void check_alive(struct wire_connection *connection)
{
    struct wire_server *server = connection->server;
    int64_t             now = loop_now(server->loop), read_at = connection->http2.last_read_ns;
    bool                silent = connection->ping_sent_ns != TIME_NEVER && read_at < connection->ping_sent_ns;
    bool                stuck = connection->http2.pending.size > 0 &&
                 now >= time_add(connection->http2.last_write_ns, server->options.limits.send_ns);
    if (silent || stuck) { /* it was asked and had its time, or it talks and never listens */
        http2_kill(&connection->http2);
        return;
    }
    connection->ping_sent_ns = TIME_NEVER;
    if (now < time_add(read_at, server->options.limits.keepalive_ns)) {
        loop_timer_set(server->loop, &connection->timer, keepalive_due(connection));
        return;
    }
    connection->ping_sent_ns = now;
    nghttp2_submit_ping(connection->http2.session, NGHTTP2_FLAG_NONE, ping_alive);
    http2_dirty(&connection->http2);
    loop_timer_set(server->loop, &connection->timer,
                   time_add(now, server->options.limits.keepalive_timeout_ns));
}

static void connection_due(struct loop_timer *timer)
{
    struct wire_connection *connection = CONTAINER_OF(timer, struct wire_connection, timer);
    switch (connection->phase) {
    case CONNECTION_NEW:
        http2_kill(&connection->http2);
        return;
    case CONNECTION_OPEN:
        if (connection->age_due <= loop_now(connection->server->loop))
            wire_connection_leave(connection);
        else
            check_alive(connection);
        return;
    case CONNECTION_LEAVING: /* no answer to the ping: do not wait longer */
        leave_now(connection);
        connection->age_due = TIME_NEVER;
        loop_timer_set(connection->server->loop, &connection->timer,
                       time_add(loop_now(connection->server->loop),
                                connection->server->options.limits.keepalive_ns));
        return;
    case CONNECTION_LEFT: /* calls still run; is the peer still there? */
        check_alive(connection);
        return;
    }
}

#define HTTP1_TEXT "This port speaks gRPC over HTTP/2 only. Web pages are on the HTTP port.\n"
static_assert(sizeof HTTP1_TEXT - 1 == 72, "as Content-Length says");
static const char http1_answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                   "Content-Type: text/plain\r\n"
                                   "Content-Length: 72\r\n"
                                   "Connection: close\r\n\r\n" HTTP1_TEXT;

/* Settings wait for the first bytes, so that a peer that speaks something else gets words and not frames. */
static bool first_bytes(struct http2 *http2, struct bytes bytes)
{
    static const struct bytes  magic = { (const uint8_t *)NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN };
    struct wire_connection    *connection = of_http2(http2);
    struct wire_server_limits *limits = &connection->server->options.limits;
    size_t                     shared = MIN(bytes.size, magic.size);
    if (memcmp(bytes.base, magic.base, shared) != 0) {
        if (memmem(bytes.base, bytes.size, " HTTP/1.", 8) != NULL)
            (void)transport_write(&http2->transport, http1_answer, sizeof http1_answer - 1);
        return false;
    }
    nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)limits->streams_per_connection_max },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->header_list_size_max },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
    };
    nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings));
    nghttp2_session_set_local_window_size(http2->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    connection->phase = CONNECTION_OPEN;
    loop_timer_set(http2->loop, &connection->timer, keepalive_due(connection));
    return true;
}

static void over(struct http2 *http2)
{
    struct wire_connection *connection = of_http2(http2);
    loop_timer_clear(http2->loop, &connection->timer);
    while (!list_empty(&connection->streams)) {
        struct wire_stream *stream = LIST_ENTRY(connection->streams.next, struct wire_stream, link);
        nghttp2_session_set_stream_user_data(http2->session, stream->id, NULL);
        wire_stream_closed(stream);
    }
}

static void ended(struct http2 *http2)
{
    struct wire_connection *connection = of_http2(http2);
    struct wire_server     *server = connection->server;
    assert(!heap_linked(&connection->timer.link));
    http2_release(http2);
    list_remove(&connection->link);
    free(connection);
    server->counters.connections_open--;
    if (server->draining && list_empty(&server->connections))
        loop_defer(server->loop, &server->drained_later);
}

void wire_connection_new(struct wire_server *server, int fd)
{
    struct wire_connection *connection = session_memory_block(sizeof *connection);
    struct loop            *loop = server->loop;
    http2_init(&connection->http2, loop, &server->scratch, fd);
    connection->http2.first_bytes = first_bytes;
    connection->http2.on_over = over;
    connection->http2.on_ended = ended;
    session_memory_init(&connection->session_memory, connection, sizeof *connection);
    if (nghttp2_session_server_new3(&connection->http2.session, server->callbacks, connection,
                                    server->session_options, &connection->session_memory.functions) != 0)
        panic("out of memory");
    session_memory_seal(&connection->session_memory);
    connection->server = server;
    connection->calm = CALM_BURST;
    connection->calm_at = loop_now(loop);
    connection->ping_sent_ns = TIME_NEVER;
    connection->age_due = server->options.limits.connection_age_ns == 0
                              ? TIME_NEVER
                              : time_add(loop_now(loop), server->options.limits.connection_age_ns);
    list_init(&connection->streams);
    list_append(&server->connections, &connection->link);
    loop_timer_init(&connection->timer, connection_due);
    loop_timer_set(loop, &connection->timer, time_add(loop_now(loop), server->options.limits.handshake_ns));
    server->counters.connections_accepted++;
    server->counters.connections_open++;
}
