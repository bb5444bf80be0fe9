/* reply.c: how streams answer: messages in a buffer that nghttp2 pulls from, then trailers; or trailers only. */
#include <stdio.h>

#include "codec/pb.h"
#include "pb/all.pb.h"
#include "wire/grpc.h"
#include "wire/server_internal.h"

/* Peers hold metadata to about 16 KiB; a detail that is larger than this would lose the code and the message too. */
#define DETAILS_SIZE_MAX (48 * 1024)
#define FRAME_HEAD_SIZE  9
/* The detail is two numbers. */
#define EXHAUSTED_ARENA_MAX 4096
#define LEFTOVER_NS         (5 * NS_PER_S)

/* A header whose name and value both outlive the submission: nothing is copied. */
static nghttp2_nv header(struct bytes name, struct bytes value, uint8_t flags)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.base, (uint8_t *)(uintptr_t)value.base, name.size,
                         value.size, (uint8_t)(flags | NGHTTP2_NV_FLAG_NO_COPY_NAME) };
}
#define FIXED   NGHTTP2_NV_FLAG_NO_COPY_VALUE
#define PASSING NGHTTP2_NV_FLAG_NO_INDEX /* copied by nghttp2, and kept out of the compression table */

static const struct bytes code_texts[] = {
    { (const uint8_t *)"0", 1 },  { (const uint8_t *)"1", 1 },  { (const uint8_t *)"2", 1 },
    { (const uint8_t *)"3", 1 },  { (const uint8_t *)"4", 1 },  { (const uint8_t *)"5", 1 },
    { (const uint8_t *)"6", 1 },  { (const uint8_t *)"7", 1 },  { (const uint8_t *)"8", 1 },
    { (const uint8_t *)"9", 1 },  { (const uint8_t *)"10", 2 }, { (const uint8_t *)"11", 2 },
    { (const uint8_t *)"12", 2 }, { (const uint8_t *)"13", 2 }, { (const uint8_t *)"14", 2 },
    { (const uint8_t *)"15", 2 }, { (const uint8_t *)"16", 2 },
};

/* "BusyWorkflow" for RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW. */
static void append_camel(struct buffer *to, const char *name, const char *prefix)
{
    bool upper = true;
    if (name == NULL || strncmp(name, prefix, strlen(prefix)) != 0)
        return;
    for (name += strlen(prefix); *name != '\0'; name++) {
        if (*name != '_')
            buffer_append_byte(to, (uint8_t)(upper || *name < 'A' ? *name : *name + 32));
        upper = *name == '_';
    }
}

/* Who is told that something is exhausted is told of what in headers, too: proxies count by them. Appends cause and scope;
 * false: the error is another one. */
static bool append_exhausted(const struct error *error, struct buffer *to, size_t *ret_cause_size)
{
    struct arena                                 arena;
    struct errordetails_ResourceExhaustedFailure failure = { 0 };
    if (error->code != ST_RESOURCE_EXHAUSTED ||
        !bytes_equal_text(error->detail_type, pb_message_name(&pb_errordetails_ResourceExhaustedFailure)))
        return false;
    arena_init(&arena, EXHAUSTED_ARENA_MAX);
    bool   known = pb_decode(&pb_errordetails_ResourceExhaustedFailure, error->detail, &arena, &failure,
                             NULL) == ST_OK;
    size_t before = to->size;
    if (known) {
        append_camel(to, pb_enum_value_name(&pb_enum_enums_ResourceExhaustedCause, failure.cause),
                     "RESOURCE_EXHAUSTED_CAUSE_");
        *ret_cause_size = to->size - before;
        append_camel(to, pb_enum_value_name(&pb_enum_enums_ResourceExhaustedScope, failure.scope),
                     "RESOURCE_EXHAUSTED_SCOPE_");
    }
    arena_release(&arena);
    return known;
}

/* At most 6 headers that say how a call ended. Values live in server->packed until the next call of this. */
#define STATUS_HEADERS_MAX 6
static size_t status_headers(struct wire_stream *stream, const struct error *error, nghttp2_nv *to)
{
    unsigned code = error == NULL                                     ? ST_OK
                    : (unsigned)error->code < ARRAY_COUNT(code_texts) ? (unsigned)error->code
                                                                      : ST_UNKNOWN;
    to[0] = header(BYTES("grpc-status"), code_texts[code], FIXED);
    if (error == NULL)
        return 1;
    struct buffer *packed = &stream->server->packed;
    buffer_clear(packed);
    grpc_percent_encode(bytes_of_text(error->message), packed);
    size_t message_size = packed->size, count = 2, cause_size;
    if (error->detail_type.size != 0 && error->detail.size < DETAILS_SIZE_MAX) {
        struct buffer status;
        buffer_init(&status);
        grpc_status_encode(error, &status);
        grpc_base64_encode(buffer_bytes(&status), packed);
        buffer_release(&status);
    }
    size_t details_end = packed->size;
    bool   is_exhausted = append_exhausted(error, packed, &cause_size);
    to[1] = header(BYTES("grpc-message"), bytes_of(packed->base, message_size), PASSING);
    if (details_end > message_size)
        to[count++] = header(BYTES("grpc-status-details-bin"),
                             bytes_of(packed->base + message_size, details_end - message_size), PASSING);
    if (is_exhausted) {
        const uint8_t *cause = packed->base + details_end, *scope = cause + cause_size;
        to[count++] = header(BYTES("x-resource-exhausted-cause"), bytes_of(cause, cause_size), PASSING);
        to[count++] = header(BYTES("x-resource-exhausted-scope"),
                             bytes_of(scope, (size_t)(packed->base + packed->size - scope)), PASSING);
    }
    if (stream->encoding == ENCODING_OTHER)
        to[count++] = header(BYTES("grpc-accept-encoding"), BYTES("identity,gzip"), FIXED);
    return count;
}

/* What follows when everything was said: a peer that is still sending its request is told to stop, and one that does not
 * take the answer is not waited for for ever. */
static void all_said(struct wire_stream *stream)
{
    struct wire_server *server = stream->server;
    stream->stage = STREAM_REPLYING;
    list_remove(&stream->service_link);
    if (!heap_linked(&stream->timer.link))
        loop_timer_set(server->loop, &stream->timer,
                       time_add(loop_now(server->loop), server->options.limits.send_ns));
}

void wire_stream_end_sent(struct wire_stream *stream)
{
    if (stream->request_done)
        return;
    /* The rest of a small request is let in and forgotten; a reset at once would make some clients miss the answer. */
    stream->end_sent = true;
    loop_timer_set(stream->server->loop, &stream->timer,
                   time_add(loop_now(stream->server->loop), LEFTOVER_NS));
}

void wire_stream_stop_request(struct wire_stream *stream)
{
    /* Only after the end was sent: nghttp2 sends nothing more on a stream once its reset is queued. */
    assert(stream->end_sent);
    nghttp2_submit_rst_stream(stream->connection->http2.session, NGHTTP2_FLAG_NONE, stream->id,
                              NGHTTP2_NO_ERROR);
    http2_dirty(&stream->connection->http2);
}

/* What waits unsent, of the connection and of the server. */
static void reply_bytes_add(struct wire_stream *stream, ptrdiff_t size)
{
    stream->connection->reply_bytes += (size_t)size;
    stream->server->reply_bytes += (size_t)size;
    assert(stream->server->reply_bytes >= stream->connection->reply_bytes);
}

/* Says how much there is; wire_stream_send_data copies it. nghttp2's own frame buffer stays untouched that way, which
 * keeps three pages of every connection unused for ever. */
static ssize_t pull(nghttp2_session *session, int32_t id, uint8_t *to UNUSED, size_t size, uint32_t *flags,
                    nghttp2_data_source *source, void *context UNUSED)
{
    struct wire_stream *stream = source->ptr;
    size_t              left = stream->reply.size - stream->reply_sent, count = MIN(size, left);
    if (left == 0 && !stream->reply_ended)
        return NGHTTP2_ERR_DEFERRED;
    if (count > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (count < left || !stream->reply_ended)
        return (ssize_t)count;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->is_plain_http)
        return (ssize_t)count;
    nghttp2_nv trailers[STATUS_HEADERS_MAX];
    size_t     trailer_count = status_headers(stream, stream->end, trailers);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(session, id, trailers, trailer_count) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return (ssize_t)count;
}

int wire_stream_send_data(nghttp2_session *session UNUSED, nghttp2_frame *frame, const uint8_t *head,
                          size_t size, nghttp2_data_source *source, void *context UNUSED)
{
    struct wire_stream *stream = source->ptr;
    struct buffer      *write = &stream->server->scratch.write;
    assert(frame->data.padlen == 0); /* we never ask for padding */
    assert(size <= stream->reply.size - stream->reply_sent);
    buffer_append(write, bytes_of(head, FRAME_HEAD_SIZE));
    buffer_append(write, bytes_of(stream->reply.base + stream->reply_sent, size));
    stream->reply_sent += size;
    reply_bytes_add(stream, -(ptrdiff_t)size);
    if (stream->reply_sent == stream->reply.size) {
        stream->reply_sent = 0;
        buffer_release(&stream->reply);
    }
    return 0;
}

/* HEADERS once, or a nudge to pull on. */
static void announce(struct wire_stream *stream)
{
    nghttp2_session *session = stream->connection->http2.session;
    http2_dirty(&stream->connection->http2);
    if (stream->response_begun) {
        nghttp2_session_resume_data(
            session, stream->id); /* fails only when it is not deferred: then it pulls anyway */
        return;
    }
    stream->response_begun = true;
    nghttp2_nv            headers[3] = { header(BYTES(":status"), BYTES("200"), FIXED),
                                         header(BYTES("content-type"), BYTES("application/grpc"), FIXED),
                                         header(BYTES("grpc-encoding"), BYTES("gzip"), FIXED) };
    nghttp2_data_provider provider = { .source.ptr = stream, .read_callback = pull };
    if (nghttp2_submit_response(session, stream->id, headers, stream->reply_packed ? 3 : 2, &provider) != 0)
        http2_kill(&stream->connection->http2); /* only when its memory or stream ids are out */
}

static void append_framed(struct wire_stream *stream, bool packed, struct bytes message)
{
    uint8_t prefix[GRPC_PREFIX_SIZE];
    size_t  before = stream->reply.size;
    grpc_prefix_write(prefix, packed, (uint32_t)message.size);
    buffer_reserve(&stream->reply, sizeof prefix + message.size);
    buffer_append(&stream->reply, bytes_of(prefix, sizeof prefix));
    buffer_append(&stream->reply, message);
    reply_bytes_add(stream, (ptrdiff_t)(stream->reply.size - before));
}

void wire_stream_send(struct wire_stream *stream, struct bytes message)
{
    struct wire_server *server = stream->server;
    assert(stream->stage != STREAM_REPLYING);
    assert(stream->connection != NULL);
    if (stream->connection->reply_bytes + message.size > server->options.limits.reply_bytes_max ||
        server->reply_bytes + message.size > server->options.limits.reply_bytes_total_max ||
        message.size > UINT32_MAX / 2) {
        struct error error;
        (void)error_set(&error, ST_RESOURCE_EXHAUSTED,
                        "the answer has %zu bytes, and %zu bytes wait unread on this connection",
                        message.size, stream->connection->reply_bytes);
        wire_stream_fail(stream, &error);
        return;
    }
    if (!stream->response_begun && stream->accepts_gzip &&
        message.size >= server->options.limits.gzip_reply_size_min) {
        buffer_clear(&server->packed);
        gzip_pack(&server->gzip, message, &server->packed);
        if (server->packed.size < message.size) {
            stream->reply_packed = true;
            append_framed(stream, true, buffer_bytes(&server->packed));
            announce(stream);
            return;
        }
    }
    append_framed(stream, false, message);
    announce(stream);
}

void wire_stream_end(struct wire_stream *stream)
{
    if (stream->stage == STREAM_REPLYING)
        return; /* sending failed, and that was the end */
    stream->reply_ended = true;
    announce(stream);
    wire_connection_reward(stream->connection);
    all_said(stream);
}

void wire_stream_fail(struct wire_stream *stream, const struct error *error)
{
    assert(stream->connection != NULL);
    assert(stream->stage != STREAM_REPLYING);
    stream->server->counters.calls_failed++;
    if (stream->response_begun) {
        stream->end = ARENA_NEW(&stream->arena, struct error);
        *stream->end = *error;
        stream->reply_ended = true;
        announce(stream);
        all_said(stream);
        return;
    }
    nghttp2_nv headers[2 + STATUS_HEADERS_MAX] = {
        header(BYTES(":status"), stream->is_grpc ? BYTES("200") : BYTES("415"), FIXED),
        header(BYTES("content-type"), BYTES("application/grpc"), FIXED),
    };
    size_t count = 2 + status_headers(stream, error, headers + 2);
    stream->response_begun = true;
    stream->reply_ended = true;
    nghttp2_session *session = stream->connection->http2.session;
    http2_dirty(&stream->connection->http2);
    if (nghttp2_submit_response(session, stream->id, headers, count, NULL) != 0)
        http2_kill(&stream->connection->http2);
    all_said(stream);
}

void wire_stream_refuse_http(struct wire_stream *stream)
{
    static const struct bytes text = { (const uint8_t *)"gRPC calls are POST requests\n", 29 };
    nghttp2_nv                headers[3] = { header(BYTES(":status"), BYTES("405"), FIXED),
                                             header(BYTES("allow"), BYTES("POST"), FIXED),
                                             header(BYTES("content-type"), BYTES("text/plain"), FIXED) };
    nghttp2_data_provider     provider = { .source.ptr = stream, .read_callback = pull };
    stream->is_plain_http = true;
    stream->response_begun = true;
    stream->reply_ended = true;
    buffer_append(&stream->reply, text);
    reply_bytes_add(stream, (ptrdiff_t)text.size);
    http2_dirty(&stream->connection->http2);
    if (nghttp2_submit_response(stream->connection->http2.session, stream->id, headers, 3, &provider) != 0)
        http2_kill(&stream->connection->http2);
    all_said(stream);
}

void wire_stream_drop_reply(struct wire_stream *stream)
{
    if (stream->connection != NULL)
        reply_bytes_add(stream, -(ptrdiff_t)(stream->reply.size - stream->reply_sent));
    stream->reply_sent = 0;
    buffer_release(&stream->reply);
}

/* --- what api calls --- */

static struct wire_stream *answered(struct call *call)
{
    struct wire_stream *stream = CONTAINER_OF(call, struct wire_stream, call);
    assert(stream->call_out); /* exactly one answer */
    assert(loop_is_mine(stream->server->loop));
    stream->call_out = false;
    stream->server->counters.calls_open--;
    return stream;
}

static void call_replied(struct call *call, struct bytes message)
{
    struct wire_stream *stream = answered(call);
    if (stream->connection == NULL) {
        wire_stream_free(stream);
    } else if (!call->gone) {
        wire_stream_send(stream, message);
        wire_stream_end(stream);
    }
}

static void call_failed(struct call *call, const struct error *error)
{
    struct wire_stream *stream = answered(call);
    if (stream->connection == NULL)
        wire_stream_free(stream);
    else if (!call->gone)
        wire_stream_fail(stream, error);
}

static bool call_alive(const struct call *call)
{
    return !call->gone;
}

const struct call_operations wire_stream_operations = { call_replied, call_failed, call_alive };
