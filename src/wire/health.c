/* health.c: grpc.health.v1: Check and List answer once, Watch tells of every change. Statuses are set by the host. */
#include "codec/pb.h"
#include "pb/health.pb.h"
#include "wire/server_internal.h"

#define WATCH_UNSENT_MAX 1024 /* a watcher that takes nothing is let go */

static struct health_name *find(struct wire_server *server, struct bytes name)
{
    for (size_t i = 0; i < server->health_count; i++) {
        if (bytes_equal_text(name, server->health[i].name))
            return &server->health[i];
    }
    return NULL;
}

static int32_t serving_status(const struct health_name *name)
{
    return name->serving ? health_HealthCheckResponse_SERVING : health_HealthCheckResponse_NOT_SERVING;
}

static void send_status(struct wire_stream *stream, int32_t status)
{
    struct buffer                     wire;
    struct health_HealthCheckResponse response = { .status = status };
    buffer_init(&wire);
    pb_encode(&pb_health_HealthCheckResponse, &response, &wire);
    wire_stream_send(stream, buffer_bytes(&wire));
    buffer_release(&wire);
}

/* False when it was refused. A second request on a stream that takes one is refused too. */
static bool decode(struct wire_stream *stream, struct bytes message, struct bytes *ret_name)
{
    struct error                     error;
    struct health_HealthCheckRequest request;
    if (stream->service_asked) {
        (void)error_set(&error, ST_INTERNAL, "grpc: more than one message in a unary request");
        wire_stream_fail(stream, &error);
        return false;
    }
    stream->service_asked = true;
    if (pb_decode(&pb_health_HealthCheckRequest, message, &stream->arena, &request, &error) != ST_OK) {
        wire_stream_fail(stream, &error);
        return false;
    }
    *ret_name = request.service;
    return true;
}

static void check_message(struct wire_stream *stream, struct bytes message)
{
    struct bytes name;
    if (!decode(stream, message, &name))
        return;
    struct health_name *found = find(stream->server, name);
    if (found != NULL) {
        send_status(stream, serving_status(found));
        return;
    }
    struct error error;
    (void)error_set(&error, ST_NOT_FOUND, "unknown service");
    wire_stream_fail(stream, &error);
}

static void list_message(struct wire_stream *stream, struct bytes message)
{
    struct bytes none;
    if (!decode(stream, message, &none)) /* the empty request decodes as any */
        return;
    struct wire_server                            *server = stream->server;
    struct health_HealthCheckResponse              values[HEALTH_NAMES_MAX];
    struct health_HealthListResponse_StatusesEntry entries[HEALTH_NAMES_MAX];
    for (size_t i = 0; i < server->health_count; i++) {
        values[i] = (struct health_HealthCheckResponse){ .status = serving_status(&server->health[i]) };
        entries[i] = (struct health_HealthListResponse_StatusesEntry){ bytes_of_text(server->health[i].name),
                                                                       &values[i] };
    }
    struct health_HealthListResponse response = { entries, server->health_count };
    struct buffer                    wire;
    buffer_init(&wire);
    pb_encode(&pb_health_HealthListResponse, &response, &wire);
    wire_stream_send(stream, buffer_bytes(&wire));
    buffer_release(&wire);
}

static void answer_complete(struct wire_stream *stream)
{
    if (stream->service_asked) {
        wire_stream_end(stream);
        return;
    }
    struct error error;
    (void)error_set(&error, ST_INTERNAL, "grpc: a unary call without a message");
    wire_stream_fail(stream, &error);
}

static void watch_message(struct wire_stream *stream, struct bytes message)
{
    struct bytes name;
    if (!decode(stream, message, &name))
        return;
    struct health_name *found = find(stream->server, name);
    stream->service_name = arena_copy(&stream->arena, name);
    list_append(&stream->server->health_watchers, &stream->service_link);
    send_status(stream, found == NULL ? health_HealthCheckResponse_SERVICE_UNKNOWN : serving_status(found));
}

static void watch_half_closed(struct wire_stream *stream)
{
    if (!stream->service_asked)
        answer_complete(stream);
    /* Otherwise it stays until the watcher leaves or its deadline passes. */
}

static void tell_watchers(struct wire_server *server, const struct health_name *name)
{
    LIST_FOR_EACH (stream, &server->health_watchers, struct wire_stream, service_link) {
        if (!bytes_equal_text(stream->service_name, name->name))
            continue;
        if (stream->reply.size < WATCH_UNSENT_MAX) {
            send_status(stream, serving_status(name));
            continue;
        }
        struct error error;
        (void)error_set(&error, ST_RESOURCE_EXHAUSTED, "the watcher does not read what it is told");
        wire_stream_fail(stream, &error);
    }
}

void wire_server_set_serving(struct wire_server *server, const char *service, bool serving)
{
    assert(loop_is_mine(server->loop));
    struct health_name *name = find(server, bytes_of_text(service));
    if (name == NULL) {
        assert(server->health_count < HEALTH_NAMES_MAX);
        assert(strlen(service) < sizeof name->name);
        name = &server->health[server->health_count++];
        memcpy(name->name, service, strlen(service) + 1);
    } else if (name->serving == serving) {
        return;
    }
    name->serving = serving;
    tell_watchers(server, name);
}

static const struct wire_service_method methods[] = {
    { "/grpc.health.v1.Health/Check", check_message, answer_complete },
    { "/grpc.health.v1.Health/List", list_message, answer_complete },
    { "/grpc.health.v1.Health/Watch", watch_message, watch_half_closed },
};

const struct wire_service_method *wire_service_find(struct bytes path)
{
    if (!bytes_starts_with(path, BYTES("/grpc.")))
        return NULL;
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        if (bytes_equal_text(path, methods[i].path))
            return &methods[i];
    }
    return wire_reflection_find(path);
}
