/* client.c: requests out, replies in. A connecting socket needs no state of its own: until it is connected it takes no
 * bytes, and when that fails reading it says why. */
#include "wire/client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/grpc.h"
#include "wire/http2.h"

#define WINDOW_SIZE        (8 * 1024 * 1024)
#define REPLY_SIZE_DEFAULT ((size_t)128 * 1024 * 1024)

struct client_connection {
    struct http2        http2;
    struct wire_client *client;
    struct list         link, calls;
    uint32_t            broken; /* the HTTP/2 error for which we leave; 0: none */
};
struct wire_client {
    struct loop               *loop;
    char                      *host, *authority;
    uint16_t                   port;
    size_t                     reply_size_max, metadata_count;
    struct metadata           *metadata;
    struct arena               arena;      /* of metadata */
    struct arena               call_arena; /* reset by every start */
    nghttp2_session_callbacks *callbacks;
    struct http2_scratch       scratch;
    struct list                connections; /* the current one and those that are on their way out */
    struct client_connection  *current;
    struct list                refused; /* calls that could not even be sent, until the end of the turn */
    struct loop_deferred       refuse;
    bool                       own_loop;
};

/* --- how a call ends --- */

static void finish(struct wire_client_call *call, enum status status, struct bytes reply)
{
    struct wire_client *client = call->client;
    list_remove(&call->link);
    loop_timer_clear(client->loop, &call->timer);
    call->connection = NULL;
    buffer_release(&call->out);
    struct buffer in = call->in, details = call->details;
    buffer_init(&call->in);
    buffer_init(&call->details);
    call->done(call, status, reply, status == ST_OK ? NULL : &call->error); /* may start it again */
    buffer_release(&in);
    buffer_release(&details);
}

/* Ends a call before its stream does. */
static void abandon(struct wire_client_call *call, enum status code, const char *words)
{
    struct client_connection *connection = call->connection;
    if (connection != NULL) {
        nghttp2_session_set_stream_user_data(connection->http2.session, call->stream_id, NULL);
        nghttp2_submit_rst_stream(connection->http2.session, NGHTTP2_FLAG_NONE, call->stream_id,
                                  NGHTTP2_CANCEL);
        http2_dirty(&connection->http2);
    }
    finish(call, error_set(&call->error, code, "%s", words), BYTES_EMPTY);
}

static void timed_out(struct loop_timer *timer)
{
    abandon(CONTAINER_OF(timer, struct wire_client_call, timer), ST_DEADLINE_EXCEEDED, "deadline exceeded");
}

static enum status status_of_http(int http_status)
{
    switch (http_status) {
    case 400:
        return ST_INTERNAL;
    case 401:
        return ST_UNAUTHENTICATED;
    case 403:
        return ST_PERMISSION_DENIED;
    case 404:
        return ST_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return ST_UNAVAILABLE;
    default:
        return ST_UNKNOWN;
    }
}

static enum status status_of_reset(uint32_t code)
{
    switch (code) {
    case NGHTTP2_REFUSED_STREAM:
        return ST_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return ST_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return ST_RESOURCE_EXHAUSTED;
    default:
        return ST_INTERNAL;
    }
}

/* The stream is closed; what came decides. */
static void conclude(struct wire_client_call *call, uint32_t reset_code)
{
    if (!call->status_known) {
        if (reset_code != NGHTTP2_NO_ERROR)
            (void)error_set(&call->error, status_of_reset(reset_code), "the server reset the stream: %s",
                            nghttp2_http2_strerror(reset_code));
        else if (call->http_status == 0)
            (void)error_set(&call->error, ST_INTERNAL, "the server ended the call without an answer");
        else if (call->http_status != 200)
            (void)error_set(&call->error, status_of_http(call->http_status),
                            "the server answered with HTTP status %d", call->http_status);
        else
            (void)error_set(&call->error, ST_INTERNAL, "the server's answer has no status");
    } else if (call->error.code == ST_OK) {
        if (call->in.size >= GRPC_PREFIX_SIZE && call->in.base[0] == 0 &&
            grpc_prefix_size(call->in.base) == call->in.size - GRPC_PREFIX_SIZE) {
            finish(call, ST_OK, bytes_of(call->in.base + GRPC_PREFIX_SIZE, call->in.size - GRPC_PREFIX_SIZE));
            return;
        }
        (void)error_set(&call->error, ST_INTERNAL, "the server's answer is not one plain message");
    } else if (call->details.size != 0) {
        struct bytes type, detail;
        if (grpc_status_decode(buffer_bytes(&call->details), &type, &detail)) {
            call->error.detail_type = type;
            call->error.detail = detail;
        }
    }
    finish(call, call->error.code, BYTES_EMPTY);
}

/* --- nghttp2's callbacks --- */

static void read_status(struct wire_client_call *call, struct bytes value)
{
    unsigned code = 0;
    for (size_t i = 0; i < value.size && code <= ST_UNAUTHENTICATED; i++) {
        bool digit = value.base[i] >= '0' && value.base[i] <= '9';
        code = digit ? code * 10 + (unsigned)(value.base[i] - '0') : ST_UNAUTHENTICATED + 1;
    }
    call->error.code = code <= ST_UNAUTHENTICATED ? (enum status)code : ST_UNKNOWN;
    call->status_known = value.size > 0;
}

static void read_message(struct wire_client_call *call, struct bytes value)
{
    struct buffer text;
    buffer_init(&text);
    grpc_percent_decode(value, &text);
    enum status code = call->error.code; /* it may have come before */
    (void)error_set(&call->error, code, "%.*s", (int)MIN(text.size, (size_t)ERROR_MESSAGE_SIZE_MAX),
                    (const char *)text.base);
    buffer_release(&text);
}

static void read_details(struct wire_client_call *call, struct bytes value)
{
    struct arena arena;
    struct bytes data;
    arena_init(&arena, SIZE_MAX);
    if (grpc_base64_decode(value, &arena, &data)) {
        buffer_clear(&call->details);
        buffer_append(&call->details, data);
    }
    arena_release(&arena);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags UNUSED,
                     void *context UNUSED)
{
    struct wire_client_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct bytes             key = bytes_of(name, name_size), text = bytes_of(value, value_size);
    if (call == NULL)
        return 0;
    if (bytes_equal(key, BYTES(":status")) && text.size == 3)
        call->http_status = (text.base[0] - '0') * 100 + (text.base[1] - '0') * 10 + (text.base[2] - '0');
    else if (bytes_equal(key, BYTES("grpc-status")))
        read_status(call, text);
    else if (bytes_equal(key, BYTES("grpc-message")))
        read_message(call, text);
    else if (bytes_equal(key, BYTES("grpc-status-details-bin")))
        read_details(call, text);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags UNUSED, int32_t id, const uint8_t *data,
                   size_t size, void *context UNUSED)
{
    struct wire_client_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call == NULL)
        return 0;
    if (call->in.size + size > call->client->reply_size_max + GRPC_PREFIX_SIZE) {
        abandon(call, ST_RESOURCE_EXHAUSTED, "the answer is too large");
        return 0;
    }
    buffer_append(&call->in, bytes_of(data, size));
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context UNUSED)
{
    struct wire_client_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call != NULL)
        conclude(call, code);
    return 0;
}

static void retire(struct client_connection *connection)
{
    if (connection->client->current == connection)
        connection->client->current = NULL;
}

static int on_frame(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *context)
{
    struct client_connection *connection = context;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        retire(connection); /* its calls may end; new ones go to a new connection */
    return 0;
}

/* We say goodbye only to a server that does not keep to the protocol. */
static int on_sent(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *context)
{
    struct client_connection *connection = context;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        connection->broken = frame->goaway.error_code;
    return 0;
}

/* A request that never made it out of the queue: its HEADERS could not be sent (after GOAWAY). */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code UNUSED,
                       void *context UNUSED)
{
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct wire_client_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call != NULL) {
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, NULL);
        finish(call, error_set(&call->error, ST_UNAVAILABLE, "the server is going away"), BYTES_EMPTY);
    }
    return 0;
}

static ssize_t pull(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
                    nghttp2_data_source *source UNUSED, void *context UNUSED)
{
    struct wire_client_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* abandoned meanwhile */
    size_t count = MIN(size, call->out.size - call->sent);
    memcpy(to, call->out.base + call->sent, count);
    call->sent += count;
    if (call->sent == call->out.size)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)count;
}

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        panic("out of memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    return callbacks;
}

/* --- connections --- */

static void over(struct http2 *http2)
{
    struct client_connection *connection = CONTAINER_OF(http2, struct client_connection, http2);
    struct wire_client       *client = connection->client;
    const char               *reason = "the server closed it";
    if (http2->transport.reason != 0)
        reason = strerror(http2->transport.reason);
    else if (connection->broken != NGHTTP2_NO_ERROR)
        reason = nghttp2_http2_strerror(connection->broken);
    retire(connection);
    while (!list_empty(&connection->calls)) {
        struct wire_client_call *call = LIST_ENTRY(connection->calls.next, struct wire_client_call, link);
        nghttp2_session_set_stream_user_data(http2->session, call->stream_id, NULL);
        (void)error_set(&call->error, ST_UNAVAILABLE, "%s %s:%u: %s%s",
                        http2->last_read_ns == 0 ? "cannot reach" : "lost the connection to", client->host,
                        client->port,
                        connection->broken == NGHTTP2_NO_ERROR ? "" : "what answers breaks HTTP/2: ", reason);
        finish(call, ST_UNAVAILABLE, BYTES_EMPTY);
    }
}

static void ended(struct http2 *http2)
{
    struct client_connection *connection = CONTAINER_OF(http2, struct client_connection, http2);
    http2_release(http2);
    list_remove(&connection->link);
    free(connection);
}

/* A socket that is connecting; -1 and the reason in `error` when there can be none. */
static int dial(struct wire_client *client, struct error *error)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found = NULL;
    char            port[8];
    snprintf(port, sizeof port, "%u", client->port);
    int failure = getaddrinfo(client->host, port, &hints, &found);
    if (failure != 0) {
        (void)error_set(error, ST_UNAVAILABLE, "cannot reach %s:%s: %s", client->host, port,
                        gai_strerror(failure));
        return -1;
    }
    int fd = -1, reason = 0, one = 1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) {
            reason = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0)
        (void)error_set(error, ST_UNAVAILABLE, "cannot reach %s:%s: %s", client->host, port,
                        strerror(reason));
    else
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool connect_now(struct wire_client *client, struct error *error)
{
    int fd = dial(client, error);
    if (fd < 0)
        return false;
    struct client_connection *connection = xcalloc(1, sizeof *connection);
    http2_init(&connection->http2, client->loop, &client->scratch, fd);
    connection->http2.last_read_ns = 0; /* nothing was ever read */
    connection->http2.on_over = over;
    connection->http2.on_ended = ended;
    connection->client = client;
    list_init(&connection->calls);
    list_append(&client->connections, &connection->link);
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        panic("out of memory");
    nghttp2_option_set_no_closed_streams(option, 1);
    if (nghttp2_session_client_new2(&connection->http2.session, client->callbacks, connection, option) != 0)
        panic("out of memory");
    nghttp2_option_del(option);
    nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
                                          { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE } };
    nghttp2_submit_settings(connection->http2.session, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings));
    nghttp2_session_set_local_window_size(connection->http2.session, NGHTTP2_FLAG_NONE, 0, WINDOW_SIZE);
    client->current = connection;
    return true;
}

/* --- the face --- */

static void refuse(struct loop_deferred *deferred)
{
    struct wire_client *client = CONTAINER_OF(deferred, struct wire_client, refuse);
    struct list         now, *link;
    list_init(&now);
    list_splice(&now, &client->refused);
    while ((link = now.next) != &now) {
        struct wire_client_call *call = LIST_ENTRY(link, struct wire_client_call, link);
        finish(call, call->error.code, BYTES_EMPTY);
    }
}

static struct bytes binary_or_text(struct arena *arena, const struct metadata *entry)
{
    struct bytes name = entry->name;
    if (name.size <= 4 || memcmp(name.base + name.size - 4, "-bin", 4) != 0)
        return entry->value;
    struct buffer text;
    buffer_init(&text);
    grpc_base64_encode(entry->value, &text);
    struct bytes kept = arena_copy(arena, buffer_bytes(&text));
    buffer_release(&text);
    return kept;
}

struct wire_client *wire_client_new(const struct wire_client_options *options)
{
    struct wire_client *client = xcalloc(1, sizeof *client);
    client->loop = options->loop;
    if (client->loop == NULL) {
        client->loop = loop_new(&(struct loop_options){ 0 });
        if (client->loop == NULL)
            panic("no event loop: %s", strerror(errno));
        client->own_loop = true;
    }
    assert(options->metadata_count <= WIRE_CLIENT_METADATA_MAX);
    arena_init(&client->arena, SIZE_MAX);
    arena_init(&client->call_arena, SIZE_MAX);
    client->host = strdup(options->host);
    client->authority =
        (char *)(uintptr_t)arena_printf(&client->arena, "%s:%u", options->host, options->port).base;
    client->port = options->port;
    client->reply_size_max = options->reply_size_max == 0 ? REPLY_SIZE_DEFAULT : options->reply_size_max;
    client->metadata_count = options->metadata_count;
    client->metadata = ARENA_NEW_ARRAY(&client->arena, struct metadata, options->metadata_count + 1);
    for (size_t i = 0; i < options->metadata_count; i++) {
        client->metadata[i].name = arena_copy(&client->arena, options->metadata[i].name);
        client->metadata[i].value = arena_copy(&client->arena,
                                               binary_or_text(&client->arena, &options->metadata[i]));
    }
    client->callbacks = callbacks_new();
    http2_scratch_init(&client->scratch);
    list_init(&client->connections);
    list_init(&client->refused);
    loop_deferred_init(&client->refuse, refuse);
    return client;
}

void wire_client_free(struct wire_client *client)
{
    if (client == NULL)
        return;
    LIST_FOR_EACH (connection, &client->connections, struct client_connection, link) {
        while (!list_empty(&connection->calls))
            wire_client_cancel(client, LIST_ENTRY(connection->calls.next, struct wire_client_call, link));
        connection->http2.on_ended(&connection->http2);
    }
    loop_defer_cancel(client->loop, &client->refuse);
    refuse(&client->refuse);
    nghttp2_session_callbacks_del(client->callbacks);
    http2_scratch_release(&client->scratch);
    arena_release(&client->arena);
    arena_release(&client->call_arena);
    free(client->host);
    if (client->own_loop)
        loop_free(client->loop);
    free(client);
}

static nghttp2_nv header(struct bytes name, struct bytes value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.base, (uint8_t *)(uintptr_t)value.base, name.size,
                         value.size, NGHTTP2_NV_FLAG_NONE };
}

static size_t headers_fill(struct wire_client *client, struct wire_client_call *call,
                           char timeout[GRPC_TIMEOUT_TEXT_SIZE], nghttp2_nv *to)
{
    size_t count = 0;
    to[count++] = header(BYTES(":method"), BYTES("POST"));
    to[count++] = header(BYTES(":scheme"), BYTES("http"));
    to[count++] = header(BYTES(":path"), call->path);
    to[count++] = header(BYTES(":authority"), bytes_of_text(client->authority));
    to[count++] = header(BYTES("content-type"), BYTES("application/grpc"));
    to[count++] = header(BYTES("te"), BYTES("trailers"));
    to[count++] = header(BYTES("user-agent"), BYTES("grpc-c-perdure/" PERDURE_VERSION));
    if (call->timeout_ns != TIME_NEVER) {
        to[count] = header(BYTES("grpc-timeout"),
                           bytes_of(timeout, grpc_timeout_print(call->timeout_ns, timeout)));
        to[count++].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
    for (size_t i = 0; i < client->metadata_count; i++)
        to[count++] = header(client->metadata[i].name, client->metadata[i].value);
    for (size_t i = 0; i < call->metadata_count; i++)
        to[count++] = header(call->metadata[i].name, binary_or_text(&client->call_arena, &call->metadata[i]));
    return count;
}

void wire_client_start(struct wire_client *client, struct wire_client_call *call)
{
    assert(call->metadata_count <= WIRE_CLIENT_METADATA_MAX);
    assert(call->request.size <= UINT32_MAX - GRPC_PREFIX_SIZE);
    call->client = client;
    call->connection = NULL;
    call->status_known = false;
    call->http_status = 0;
    call->sent = 0;
    error_clear(&call->error);
    buffer_init(&call->out);
    buffer_init(&call->in);
    buffer_init(&call->details);
    loop_timer_init(&call->timer, timed_out);
    list_init(&call->link);
    if (client->current == NULL && !connect_now(client, &call->error)) {
        list_append(&client->refused, &call->link);
        loop_defer(client->loop, &client->refuse);
        return;
    }
    struct client_connection *connection = client->current;
    uint8_t                   prefix[GRPC_PREFIX_SIZE];
    char                      timeout[GRPC_TIMEOUT_TEXT_SIZE];
    grpc_prefix_write(prefix, false, (uint32_t)call->request.size);
    buffer_reserve(&call->out, sizeof prefix + call->request.size);
    buffer_append(&call->out, bytes_of(prefix, sizeof prefix));
    buffer_append(&call->out, call->request);

    nghttp2_nv            headers[8 + 2 * WIRE_CLIENT_METADATA_MAX];
    size_t                count = headers_fill(client, call, timeout, headers);
    nghttp2_data_provider provider = { .read_callback = pull };
    call->stream_id = nghttp2_submit_request(connection->http2.session, NULL, headers, count, &provider,
                                             call);
    arena_reset(&client->call_arena);
    if (call->stream_id <
        0) { /* its stream ids are used up: this one fails, the next gets a new connection */
        retire(connection);
        (void)error_set(&call->error, ST_UNAVAILABLE, "%s", nghttp2_strerror(call->stream_id));
        list_append(&client->refused, &call->link);
        loop_defer(client->loop, &client->refuse);
        return;
    }
    call->connection = connection;
    list_append(&connection->calls, &call->link);
    if (call->timeout_ns != TIME_NEVER)
        loop_timer_set(client->loop, &call->timer, time_add(loop_now(client->loop), call->timeout_ns));
    http2_dirty(&connection->http2);
}

void wire_client_cancel(struct wire_client *client, struct wire_client_call *call)
{
    assert(call->client == client);
    assert(list_linked(&call->link)); /* under way */
    abandon(call, ST_CANCELLED, "cancelled by the caller");
}

/* --- blocking --- */

struct blocking {
    struct wire_client_call call;
    struct arena           *arena;
    struct bytes            reply;
    struct error           *error;
    enum status             status;
};

static void blocking_done(struct wire_client_call *call, enum status status, struct bytes reply,
                          const struct error *error)
{
    struct blocking *blocking = CONTAINER_OF(call, struct blocking, call);
    blocking->status = status;
    if (status == ST_OK) {
        blocking->reply = arena_copy(blocking->arena, reply);
    } else if (blocking->error != NULL) {
        *blocking->error = *error;
        blocking->error->detail_type = arena_copy(blocking->arena, error->detail_type);
        blocking->error->detail = arena_copy(blocking->arena, error->detail);
    }
    loop_stop(call->client->loop);
}

enum status wire_client_call(struct wire_client *client, struct bytes path, struct bytes request,
                             const struct metadata *metadata, size_t metadata_count, int64_t timeout_ns,
                             struct arena *arena, struct bytes *ret_reply, struct error *error)
{
    assert(client->own_loop);
    struct blocking blocking = { .arena = arena, .error = error };
    blocking.call.path = path;
    blocking.call.request = request;
    blocking.call.metadata = metadata;
    blocking.call.metadata_count = metadata_count;
    blocking.call.timeout_ns = timeout_ns;
    blocking.call.done = blocking_done;
    wire_client_start(client, &blocking.call);
    loop_run(client->loop);
    if (blocking.status == ST_OK)
        *ret_reply = blocking.reply;
    return blocking.status;
}
