/* request.c: a stream from its first header to the call that is handed on, and to its end. */
#include <stdio.h>

#include "wire/grpc.h"
#include "wire/server_internal.h"

/* Larger messages grow as they come: a claimed size costs nobody memory. */
#define ARENA_MESSAGE_SIZE_MAX (16 * 1024)
#define BODY_SIZE_FIRST        (64 * 1024)
#define LEFTOVER_MAX           (64 * 1024)
#define SPARE_MAX              256
#define SPARE_ARENA_SIZE_MAX   (8 * 1024)
#define METADATA_COUNT_FIRST   16
#define HEADER_OVERHEAD        32 /* of each header, as HTTP/2 counts */

/* --- streams come and go --- */

static void due(struct loop_timer *timer);

struct wire_stream *wire_stream_new(struct wire_connection *connection, int32_t id)
{
    struct wire_server *server = connection->server;
    struct list        *spare = list_take_first(&server->spare);
    struct wire_stream *stream;
    struct arena        arena;
    if (spare != NULL) {
        stream = LIST_ENTRY(spare, struct wire_stream, link);
        arena = stream->arena;
        server->spare_count--;
    } else {
        stream = xmalloc(sizeof *stream);
        arena_init(&arena, server->options.limits.call_memory_max);
    }
    *stream = (struct wire_stream){ .server = server, .connection = connection, .id = id, .arena = arena };
    stream->timeout_ns = TIME_NEVER;
    list_init(&stream->service_link);
    list_append(&connection->streams, &stream->link);
    loop_timer_init(&stream->timer, due);
    server->stream_count++;
    return stream;
}

void wire_stream_free(struct wire_stream *stream)
{
    struct wire_server *server = stream->server;
    assert(!stream->call_out);
    assert(stream->connection == NULL);
    assert(!list_linked(&stream->service_link));
    assert(server->request_bytes >= stream->charged + stream->header_charged);
    server->request_bytes -= stream->charged + stream->header_charged;
    server->stream_count--;
    buffer_release(&stream->body);
    arena_reset(&stream->arena);
    if (server->spare_count >= SPARE_MAX) {
        arena_release(&stream->arena);
        free(stream);
        return;
    }
    if (stream->arena.used_total > SPARE_ARENA_SIZE_MAX)
        arena_release(&stream->arena);
    list_prepend(&server->spare, &stream->link);
    server->spare_count++;
}

void wire_stream_spare_release(struct wire_server *server)
{
    LIST_FOR_EACH (stream, &server->spare, struct wire_stream, link) {
        arena_release(&stream->arena);
        free(stream);
    }
    list_init(&server->spare);
    server->spare_count = 0;
}

void wire_stream_gone(struct wire_stream *stream)
{
    if (!stream->call_out || stream->call.gone)
        return;
    struct wire_server *server = stream->server;
    stream->call.gone = true;
    server->counters.calls_gone++;
    if (stream->call.on_gone == NULL)
        return;
    stream->call.on_gone(&stream->call); /* may answer, which frees the stream */
    /* A connection ends in the deferred phase: what the handler did about it would wait for the next event otherwise. */
    loop_again(server->loop);
}

void wire_stream_closed(struct wire_stream *stream)
{
    wire_stream_drop_reply(stream);
    list_remove(&stream->link);
    list_remove(&stream->service_link);
    loop_timer_clear(stream->server->loop, &stream->timer);
    bool out = stream->call_out;
    stream->connection = NULL;
    if (out)
        wire_stream_gone(stream); /* the handler may answer in there, which frees the stream */
    else
        wire_stream_free(stream);
}

static void fail(struct wire_stream *stream, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct wire_stream *stream, enum status code, const char *format, ...)
{
    struct error error;
    va_list      arguments;
    va_start(arguments, format);
    (void)error_setv(&error, code, format, arguments);
    va_end(arguments);
    wire_stream_fail(stream, &error);
}

/* The time that the stream's stage has is over. */
static void due(struct loop_timer *timer)
{
    struct wire_stream *stream = CONTAINER_OF(timer, struct wire_stream, timer);
    bool                deadline = stream->call.deadline_ns <= loop_now(stream->server->loop);
    switch (stream->stage) {
    case STREAM_HEADERS:
        panic("a timer before the headers");
    case STREAM_BODY:
        if (deadline)
            fail(stream, ST_DEADLINE_EXCEEDED, "deadline exceeded while the request was received");
        else
            fail(stream, ST_DEADLINE_EXCEEDED, "the request took too long to arrive");
        break;
    case STREAM_RUNNING:
        fail(stream, ST_DEADLINE_EXCEEDED, "context deadline exceeded");
        wire_stream_gone(stream);
        break;
    case STREAM_REPLYING:
        if (stream->end_sent) {
            wire_stream_stop_request(stream);
            break;
        } /* else the caller gave up, or reads too slowly to wait for it */
        nghttp2_submit_rst_stream(stream->connection->http2.session, NGHTTP2_FLAG_NONE, stream->id,
                                  NGHTTP2_CANCEL);
        wire_stream_drop_reply(
            stream); /* nghttp2 pulls no more; the reset itself may have to wait for the socket */
        http2_dirty(&stream->connection->http2);
        break;
    }
}

/* --- headers --- */

/* False when the headers are larger than a request's may be, or all requests together hold too much. HPACK makes large
 * headers out of a few bytes, so what they cost here is counted as bodies are. */
static bool header_take(struct wire_stream *stream, size_t size)
{
    struct wire_server *server = stream->server;
    size_t              size_max = server->options.limits.request_bytes_max;
    stream->header_size += size;
    if (stream->header_size > server->options.limits.header_list_size_max) {
        stream->fault = FAULT_TOO_LARGE;
        return false;
    }
    if (size > size_max - MIN(server->request_bytes, size_max)) {
        stream->fault = FAULT_CROWDED;
        return false;
    }
    server->request_bytes += size;
    stream->header_charged += size;
    return true;
}

static void metadata_add(struct wire_stream *stream, struct bytes name, struct bytes value)
{
    struct call *call = &stream->call;
    if (call->metadata_count == stream->metadata_capacity) {
        size_t           capacity = MAX(stream->metadata_capacity * 2, (size_t)METADATA_COUNT_FIRST);
        struct metadata *grown = ARENA_NEW_ARRAY(&stream->arena, struct metadata, capacity);
        if (call->metadata_count > 0)
            memcpy(grown, call->metadata, call->metadata_count * sizeof *grown);
        call->metadata = grown;
        stream->metadata_capacity = capacity;
    }
    call->metadata[call->metadata_count++] = (struct metadata){ name, value };
}

/* One header may hold several binary values, separated by commas. */
static void metadata_add_binary(struct wire_stream *stream, struct bytes name, struct bytes value)
{
    for (size_t start = 0; start <= value.size;) {
        const uint8_t *comma = start == value.size ? NULL
                                                   : memchr(value.base + start, ',', value.size - start);
        size_t         end = comma == NULL ? value.size : (size_t)(comma - value.base);
        struct bytes   data;
        if (!grpc_base64_decode(bytes_of(value.base + start, end - start), &stream->arena, &data)) {
            stream->fault = FAULT_BINARY;
            return;
        }
        metadata_add(stream, name, data);
        if (comma != NULL && !header_take(stream, HEADER_OVERHEAD))
            return; /* many values of nothing are as many headers */
        start = end + 1;
        while (start < value.size && value.base[start] == ' ')
            start++;
    }
}

/* True when it was one of those that wire itself understands. */
static bool header_of_grpc(struct wire_stream *stream, struct bytes name, struct bytes value)
{
    if (bytes_equal(name, BYTES("te")))
        return true;
    if (bytes_equal(name, BYTES("content-type"))) {
        stream->is_grpc = grpc_content_type_ok(value);
        return true;
    }
    if (!bytes_starts_with(name, BYTES("grpc-")))
        return false;
    if (bytes_equal(name, BYTES("grpc-timeout"))) {
        if (!grpc_timeout_parse(value, &stream->timeout_ns))
            stream->fault = FAULT_TIMEOUT;
        return true;
    }
    if (bytes_equal(name, BYTES("grpc-encoding"))) {
        stream->encoding = bytes_equal(value, BYTES("gzip"))       ? ENCODING_GZIP
                           : bytes_equal(value, BYTES("identity")) ? ENCODING_NONE
                                                                   : ENCODING_OTHER;
        if (stream->encoding == ENCODING_OTHER)
            stream->request_encoding = arena_copy(&stream->arena, value);
        return true;
    }
    if (bytes_equal(name, BYTES("grpc-accept-encoding"))) {
        stream->accepts_gzip = grpc_list_has(value, BYTES("gzip"));
        return true;
    }
    return bytes_equal(name, BYTES("grpc-internal-encoding-request"));
}

void wire_stream_header(struct wire_stream *stream, struct bytes name, struct bytes value)
{
    if (stream->stage != STREAM_HEADERS)
        return; /* trailers of a request carry nothing that gRPC defines */
    if (!header_take(stream, name.size + value.size + HEADER_OVERHEAD))
        return;
    if (name.size > 0 && name.base[0] == ':') {
        if (bytes_equal(name, BYTES(":path")))
            stream->call.path = arena_copy(&stream->arena, value);
        else if (bytes_equal(name, BYTES(":method")))
            stream->is_post = bytes_equal(value, BYTES("POST"));
        return;
    }
    if (header_of_grpc(stream, name, value))
        return;
    struct bytes kept = arena_copy(&stream->arena, name);
    if (name.size > 4 && memcmp(name.base + name.size - 4, "-bin", 4) == 0)
        metadata_add_binary(stream, kept, value);
    else
        metadata_add(stream, kept, arena_copy(&stream->arena, value));
}

/* "/service/method" in words that clients look for: some of them fall back to older calls when they see them. */
static void fail_unknown(struct wire_stream *stream)
{
    struct bytes path = stream->call.path;
    size_t       slash = path.size;
    for (size_t i = path.size; i > 1; i--) {
        if (path.base[i - 1] == '/') {
            slash = i - 1;
            break;
        }
    }
    if (path.size < 2 || path.base[0] != '/' || slash == path.size) {
        fail(stream, ST_UNIMPLEMENTED, "malformed method name: \"%.*s\"", BYTES_FMT(path));
        return;
    }
    struct bytes service = bytes_of(path.base + 1, slash - 1);
    struct bytes method = bytes_of(path.base + slash + 1, path.size - slash - 1);
    fail(stream, ST_UNIMPLEMENTED, "unknown method %.*s for service %.*s", BYTES_FMT(method),
         BYTES_FMT(service));
}

/* False when the stream was refused. */
static bool headers_acceptable(struct wire_stream *stream)
{
    struct wire_server        *server = stream->server;
    struct wire_server_limits *limits = &server->options.limits;
    if (stream->fault == FAULT_TOO_LARGE) {
        stream->is_grpc = true; /* the type may be among those that were not looked at */
        fail(stream, ST_RESOURCE_EXHAUSTED, "the metadata is larger than %zu bytes",
             limits->header_list_size_max);
        return false;
    }
    if (stream->fault == FAULT_CROWDED) {
        stream->is_grpc = true;
        fail(stream, ST_RESOURCE_EXHAUSTED, "the server holds too many bytes of requests");
        return false;
    }
    if (!stream->is_post) {
        wire_stream_refuse_http(stream);
        return false;
    }
    if (!stream->is_grpc) {
        fail(stream, ST_INVALID_ARGUMENT, "invalid gRPC request content-type");
        return false;
    }
    if (stream->fault == FAULT_TIMEOUT) {
        fail(stream, ST_INTERNAL, "malformed grpc-timeout");
        return false;
    }
    if (stream->fault == FAULT_BINARY) {
        fail(stream, ST_INTERNAL, "malformed binary metadata");
        return false;
    }
    stream->method = wire_service_find(stream->call.path);
    if (stream->method == NULL && server->options.is_method != NULL &&
        !server->options.is_method(server->options.context, stream->call.path)) {
        fail_unknown(stream);
        return false;
    }
    if (server->stream_count > limits->calls_max) {
        fail(stream, ST_RESOURCE_EXHAUSTED, "too many calls in flight");
        return false;
    }
    if (stream->connection->reply_bytes > limits->reply_bytes_soft_max) {
        fail(stream, ST_RESOURCE_EXHAUSTED, "%zu bytes of answers wait unread on this connection",
             stream->connection->reply_bytes);
        return false;
    }
    return true;
}

void wire_stream_headers_done(struct wire_stream *stream)
{
    if (stream->stage != STREAM_HEADERS)
        return;
    struct loop *loop = stream->server->loop;
    stream->stage = STREAM_BODY;
    stream->call.deadline_ns = TIME_NEVER;
    if (!headers_acceptable(stream))
        return;
    if (stream->timeout_ns != TIME_NEVER)
        stream->call.deadline_ns = time_add(loop_now(loop), stream->timeout_ns);
    int64_t patience = time_add(loop_now(loop), stream->server->options.limits.request_ns);
    if (stream->method != NULL)
        patience = TIME_NEVER; /* a streaming request takes as long as it takes */
    loop_timer_set(loop, &stream->timer, MIN(stream->call.deadline_ns, patience));
}

/* --- the body --- */

/* Answers and returns false when all requests together hold too much. */
static bool charge(struct wire_stream *stream, size_t size)
{
    struct wire_server *server = stream->server;
    if (size > server->options.limits.request_bytes_max -
                   MIN(server->request_bytes, server->options.limits.request_bytes_max)) {
        fail(stream, ST_RESOURCE_EXHAUSTED, "the server holds too many bytes of requests");
        return false;
    }
    server->request_bytes += size;
    stream->charged += size;
    return true;
}

static bool prefix_acceptable(struct wire_stream *stream)
{
    size_t size = grpc_prefix_size(stream->prefix),
           size_max = stream->server->options.limits.message_size_max;
    if (stream->prefix[0] > 1) {
        fail(stream, ST_INTERNAL, "grpc: malformed message: flags %u", stream->prefix[0]);
        return false;
    }
    if (stream->prefix[0] == 1 && stream->encoding == ENCODING_NONE) {
        fail(stream, ST_INTERNAL, "grpc: compressed flag set with identity or empty encoding");
        return false;
    }
    if (stream->prefix[0] == 1 && stream->encoding == ENCODING_OTHER) {
        fail(stream, ST_UNIMPLEMENTED, "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
             BYTES_FMT(stream->request_encoding));
        return false;
    }
    if (size > size_max) {
        fail(stream, ST_RESOURCE_EXHAUSTED, "grpc: received message larger than max (%zu vs. %zu)", size,
             size_max);
        return false;
    }
    return true;
}

/* Room for `more` bytes of a message; small ones of unary calls live in the arena. */
static bool make_room(struct wire_stream *stream, size_t more)
{
    size_t size = grpc_prefix_size(stream->prefix);
    if (size <= ARENA_MESSAGE_SIZE_MAX && stream->method == NULL) {
        if (stream->message != NULL)
            return true;
        if (!charge(stream, size))
            return false;
        stream->message = arena_must(arena_alloc(&stream->arena, MAX(size, (size_t)1)));
        return true;
    }
    size_t needed = stream->message_got + more;
    if (needed > stream->body.capacity) {
        size_t wanted = MAX(stream->body.capacity * 2, (size_t)BODY_SIZE_FIRST);
        size_t capacity = MIN(MAX(wanted, needed), size);
        if (!charge(stream, capacity - stream->body.capacity))
            return false;
        stream->body.base = xrealloc(stream->body.base, capacity);
        stream->body.capacity = capacity;
    }
    stream->message = stream->body.base;
    return true;
}

/* Replaces a compressed message by what it says. */
static bool unpack(struct wire_stream *stream, struct bytes *message)
{
    struct wire_server *server = stream->server;
    struct error        error;
    struct buffer       unpacked;
    buffer_init(&unpacked);
    if (gzip_unpack(&server->gzip, *message, server->options.limits.message_size_max, &unpacked, &error) !=
        ST_OK) {
        buffer_release(&unpacked);
        wire_stream_fail(stream, &error);
        return false;
    }
    if (!charge(stream, unpacked.capacity)) {
        buffer_release(&unpacked);
        return false;
    }
    buffer_release(&stream->body);
    stream->body = unpacked;
    *message = buffer_bytes(&unpacked);
    return true;
}

static void message_complete(struct wire_stream *stream)
{
    struct bytes message = bytes_of(stream->message, grpc_prefix_size(stream->prefix));
    if (stream->prefix[0] == 1 && !unpack(stream, &message))
        return;
    stream->message = NULL;
    stream->message_got = 0;
    if (stream->method == NULL) {
        stream->call.request = message;
        stream->message_done = true;
        return;
    }
    stream->method->message(stream, message);
    stream->prefix_got = 0;
    buffer_release(&stream->body);
    stream->server->request_bytes -= stream->charged;
    stream->charged = 0;
}

void wire_stream_body(struct wire_stream *stream, struct bytes data)
{
    if (stream->end_sent) {
        stream->leftover += data.size;
        if (stream->leftover > LEFTOVER_MAX)
            wire_stream_stop_request(stream);
        return;
    }
    while (data.size > 0 && stream->stage == STREAM_BODY) {
        if (stream->message_done) {
            fail(stream, ST_INTERNAL, "grpc: more than one message in a unary call");
            return;
        }
        size_t taken;
        if (stream->prefix_got < GRPC_PREFIX_SIZE) {
            taken = MIN(data.size, (size_t)GRPC_PREFIX_SIZE - stream->prefix_got);
            memcpy(stream->prefix + stream->prefix_got, data.base, taken);
            stream->prefix_got = (uint8_t)(stream->prefix_got + taken);
            if (stream->prefix_got < GRPC_PREFIX_SIZE)
                return;
            if (!prefix_acceptable(stream) || !make_room(stream, 0))
                return;
        } else {
            taken = MIN(data.size, grpc_prefix_size(stream->prefix) - stream->message_got);
            if (!make_room(stream, taken))
                return;
            memcpy(stream->message + stream->message_got, data.base, taken);
            stream->message_got += taken;
        }
        data = bytes_of(data.base + taken, data.size - taken);
        if (stream->message_got == grpc_prefix_size(stream->prefix))
            message_complete(stream);
    }
}

void wire_stream_request_done(struct wire_stream *stream)
{
    stream->request_done = true;
    if (stream->stage != STREAM_BODY)
        return;
    struct wire_server *server = stream->server;
    if (stream->method != NULL && stream->prefix_got == 0) {
        stream->stage = STREAM_RUNNING;
        stream->method->half_closed(stream);
        return;
    }
    if (!stream->message_done) {
        fail(stream, ST_INTERNAL,
             stream->prefix_got == 0 ? "grpc: a unary call without a message"
                                     : "grpc: the message ends before its length says");
        return;
    }
    stream->stage = STREAM_RUNNING;
    if (stream->call.deadline_ns == TIME_NEVER)
        loop_timer_clear(server->loop, &stream->timer);
    else
        loop_timer_set(server->loop, &stream->timer, stream->call.deadline_ns);
    struct call *call = &stream->call;
    call->arena = &stream->arena;
    call->home = server->options.home;
    call->operations = &wire_stream_operations;
    stream->call_out = true;
    server->counters.calls_started++;
    server->counters.calls_open++;
    server->options.on_call(server->options.context, call);
}
