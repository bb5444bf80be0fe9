/* errors.c: statuses with the details that clients look for. */
#include "api/api_internal.h"

void error_detail(struct error *error, struct arena *arena, const struct pb_message *type, const void *record)
{
    error->detail_type = bytes_of_text(pb_message_name(type));
    error->detail = pb_encode_arena(type, record, arena);
}

enum status error_namespace_not_found(struct error *error, struct arena *arena, struct bytes name)
{
    error_set(error, ST_NOT_FOUND, "Namespace %.*s is not found.", BYTES_FMT(name));
    struct errordetails_NamespaceNotFoundFailure failure = { .namespace = name };
    error_detail(error, arena, &pb_errordetails_NamespaceNotFoundFailure, &failure);
    return error->code;
}

enum status error_refused(struct error *error, struct arena *arena, const char *reason)
{
    error_set(error, ST_PERMISSION_DENIED, "%s", reason);
    struct errordetails_PermissionDeniedFailure failure = { .reason = bytes_of_text(reason) };
    error_detail(error, arena, &pb_errordetails_PermissionDeniedFailure, &failure);
    return error->code;
}

enum status error_exhausted(struct error *error, struct arena *arena, int32_t cause, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_setv(error, ST_RESOURCE_EXHAUSTED, format, arguments);
    va_end(arguments);
    struct errordetails_ResourceExhaustedFailure failure = {
        .cause = cause, .scope = enums_RESOURCE_EXHAUSTED_SCOPE_NAMESPACE
    };
    error_detail(error, arena, &pb_errordetails_ResourceExhaustedFailure, &failure);
    return error->code;
}
