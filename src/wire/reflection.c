/* reflection.c: grpc.reflection v1 and v1alpha, which have the same messages: every request gets one answer, in order. */
#include "codec/descriptors.h"
#include "codec/pb.h"
#include "pb/all.pb.h"
#include "wire/server_internal.h"

#define REQUEST_MEMORY_MAX (256 * 1024)
#define SERVICES_MAX       64

/* Whether this server answers the method: those of the schema that it does not are not listed. */
static bool answers(struct wire_server *server, const struct pb_method *method)
{
    if (wire_service_find(method->path) != NULL)
        return true;
    return server->options.is_method != NULL &&
           server->options.is_method(server->options.context, method->path);
}

static void list_services(struct wire_server *server, struct arena *arena,
                          struct reflection_ServerReflectionResponse *to)
{
    struct reflection_ListServiceResponse *list = ARENA_NEW(arena, struct reflection_ListServiceResponse);
    list->service = ARENA_NEW_ARRAY(arena, struct reflection_ServiceResponse, SERVICES_MAX);
    for (size_t i = 0; i < pb_method_count && list->service_count < SERVICES_MAX; i++) {
        struct bytes name = pb_methods[i].service;
        bool same = list->service_count > 0 && bytes_equal(list->service[list->service_count - 1].name, name);
        if (!same && answers(server, &pb_methods[i])) /* methods stand in the order of their paths */
            list->service[list->service_count++].name = name;
    }
    to->message_response_case = 6;
    to->list_services_response = list;
}

static void set_error(struct arena *arena, enum status code, const char *what, struct bytes name,
                      struct reflection_ServerReflectionResponse *to)
{
    struct reflection_ErrorResponse *error = ARENA_NEW(arena, struct reflection_ErrorResponse);
    error->error_code = (int32_t)code;
    error->error_message = arena_printf(arena, "%s: %.*s", what, BYTES_FMT(name));
    to->message_response_case = 7;
    to->error_response = error;
}

static void set_file(struct arena *arena, bool found, struct bytes file, struct bytes name,
                     struct reflection_ServerReflectionResponse *to)
{
    if (!found) {
        set_error(arena, ST_NOT_FOUND, "not in the schema", name, to);
        return;
    }
    struct reflection_FileDescriptorResponse *response = ARENA_NEW(arena,
                                                                   struct reflection_FileDescriptorResponse);
    response->file_descriptor_proto = ARENA_NEW(arena, struct bytes);
    response->file_descriptor_proto[0] = file;
    response->file_descriptor_proto_count = 1;
    to->message_response_case = 4;
    to->file_descriptor_response = response;
}

static void answer(struct wire_server *server, struct arena *arena,
                   struct reflection_ServerReflectionRequest  *request,
                   struct reflection_ServerReflectionResponse *to)
{
    struct bytes file = BYTES_EMPTY;
    bool         found;
    switch (request->message_request_case) {
    case 3:
        found = descriptor_find_file(request->file_by_filename, &file);
        set_file(arena, found, file, request->file_by_filename, to);
        return;
    case 4:
        found = descriptor_find_symbol(request->file_containing_symbol, &file);
        set_file(arena, found, file, request->file_containing_symbol, to);
        return;
    case 5: /* proto3 has no extensions */
        set_error(arena, ST_NOT_FOUND, "no extension of", request->file_containing_extension->containing_type,
                  to);
        return;
    case 6:
        if (pb_message_find(request->all_extension_numbers_of_type) == NULL) {
            set_error(arena, ST_NOT_FOUND, "not in the schema", request->all_extension_numbers_of_type, to);
            return;
        }
        to->message_response_case = 5;
        to->all_extension_numbers_response = ARENA_NEW(arena, struct reflection_ExtensionNumberResponse);
        to->all_extension_numbers_response->base_type_name = request->all_extension_numbers_of_type;
        return;
    case 7:
        list_services(server, arena, to);
        return;
    default:
        set_error(arena, ST_INVALID_ARGUMENT, "the request asks nothing", BYTES_EMPTY, to);
        return;
    }
}

static void info_message(struct wire_stream *stream, struct bytes message)
{
    struct wire_server                        *server = stream->server;
    struct error                               error;
    struct arena                               arena;
    struct reflection_ServerReflectionRequest  request;
    struct reflection_ServerReflectionResponse response = { 0 };
    if (stream->connection->reply_bytes > server->options.limits.reply_bytes_soft_max) {
        (void)error_set(&error, ST_RESOURCE_EXHAUSTED, "the answers are not read");
        wire_stream_fail(stream, &error);
        return;
    }
    arena_init(&arena, REQUEST_MEMORY_MAX);
    if (message.size > REQUEST_MEMORY_MAX / 4) {
        (void)error_set(&error, ST_INVALID_ARGUMENT, "a reflection request of %zu bytes", message.size);
        wire_stream_fail(stream, &error);
    } else if (pb_decode(&pb_reflection_ServerReflectionRequest, message, &arena, &request, &error) !=
               ST_OK) {
        wire_stream_fail(stream, &error);
    } else {
        struct buffer wire;
        buffer_init(&wire);
        response.valid_host = request.host;
        response.original_request = &request;
        answer(server, &arena, &request, &response);
        pb_encode(&pb_reflection_ServerReflectionResponse, &response, &wire);
        wire_stream_send(stream, buffer_bytes(&wire));
        buffer_release(&wire);
    }
    arena_release(&arena);
}

static const struct wire_service_method methods[] = {
    { "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", info_message, wire_stream_end },
    { "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", info_message, wire_stream_end },
};

const struct wire_service_method *wire_reflection_find(struct bytes path)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        if (bytes_equal_text(path, methods[i].path))
            return &methods[i];
    }
    return NULL;
}
