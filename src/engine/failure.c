/* failure.c: failures the server makes itself, and the errors it answers with. */
#include "engine/failure.h"

#define SOURCE_SERVER BYTES("Server")

struct bytes failure_server(struct arena *arena, struct bytes message, bool non_retryable, struct bytes cause)
{
    struct failure_ServerFailureInfo info = { .non_retryable = non_retryable };
    struct failure_Failure failure = { .message = message, .source = SOURCE_SERVER, .failure_info_case = 9 };
    failure.server_failure_info = &info;
    if (cause.size != 0)
        failure.cause = cause;
    return pb_encode_arena(&pb_failure_Failure, &failure, arena);
}

static struct bytes timeout_text(int32_t type)
{
    switch (type) {
    case enums_TIMEOUT_TYPE_START_TO_CLOSE:
        return BYTES("activity StartToClose timeout");
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_START:
        return BYTES("activity ScheduleToStart timeout");
    case enums_TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
        return BYTES("activity ScheduleToClose timeout");
    default:
        return BYTES("activity Heartbeat timeout");
    }
}

static struct bytes timeout_make(struct arena *arena, struct bytes message, int32_t timeout_type,
                                 struct bytes heartbeat_details, struct bytes cause)
{
    struct failure_TimeoutFailureInfo info = { .timeout_type = timeout_type };
    struct failure_Failure failure = { .message = message, .source = SOURCE_SERVER, .failure_info_case = 6 };
    if (heartbeat_details.size != 0)
        info.last_heartbeat_details = heartbeat_details;
    failure.timeout_failure_info = &info;
    if (cause.size != 0)
        failure.cause = cause;
    return pb_encode_arena(&pb_failure_Failure, &failure, arena);
}

struct bytes failure_timeout(struct arena *arena, int32_t timeout_type, struct bytes heartbeat_details,
                             struct bytes cause)
{
    return timeout_make(arena, timeout_text(timeout_type), timeout_type, heartbeat_details, cause);
}

struct bytes failure_run_timeout(struct arena *arena)
{
    return timeout_make(arena, BYTES("workflow timeout"), enums_TIMEOUT_TYPE_START_TO_CLOSE, BYTES_EMPTY,
                        BYTES_EMPTY);
}

/* Cut at a character, not within one. */
static struct bytes text_cut(struct bytes text, size_t size_max)
{
    if (text.size <= size_max)
        return text;
    while (size_max > 0 && (text.base[size_max] & 0xC0) == 0x80)
        size_max--;
    return bytes_of(text.base, size_max);
}

struct bytes failure_bounded(struct arena *arena, struct bytes failure, size_t size_max, bool non_retryable)
{
    if (failure.size <= size_max)
        return failure;
    struct failure_Failure decoded = { 0 }, cut = { 0 };
    struct error           error;
    if (pb_decode(&pb_failure_Failure, failure, arena, &decoded, &error) != ST_OK)
        return failure_server(arena, BYTES("Failure exceeds size limit."), non_retryable, BYTES_EMPTY);
    cut.message = text_cut(decoded.message, size_max / 2);
    cut.source = text_cut(decoded.source, 200);
    cut.stack_trace = text_cut(decoded.stack_trace, size_max > 600 ? size_max / 2 - 300 : 0);
    struct failure_ApplicationFailureInfo application = { 0 };
    if (decoded.failure_info_case == 5) {
        application.type = text_cut(decoded.application_failure_info->type, 200);
        application.non_retryable = decoded.application_failure_info->non_retryable;
        cut.failure_info_case = 5;
        cut.application_failure_info = &application;
    }
    return failure_server(arena, BYTES("Failure exceeds size limit."), non_retryable,
                          pb_encode_arena(&pb_failure_Failure, &cut, arena));
}

struct bytes cause_name(struct arena *arena, int32_t cause)
{
    static const char prefix[] = "WORKFLOW_TASK_FAILED_CAUSE_";
    const char       *name = pb_enum_value_name(&pb_enum_enums_WorkflowTaskFailedCause, cause);
    if (name == NULL || strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return arena_printf(arena, "Cause%d", cause);
    name += sizeof(prefix) - 1;
    char  *text = ARENA_NEW_ARRAY(arena, char, strlen(name) + 1);
    size_t size = 0;
    bool   upper = true;
    for (; *name != 0; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        text[size++] = (char)(upper || *name < 'A' || *name > 'Z' ? *name : *name + 32);
        upper = false;
    }
    return bytes_of(text, size);
}

/* --- errors --- */

static enum status with_detail(struct error *error, struct arena *arena, enum status code,
                               const char *message, const struct pb_message *type, const void *detail)
{
    error_set(error, code, "%s", message);
    error->detail_type = bytes_of_text(pb_message_name(type));
    error->detail = pb_encode_arena(type, detail, arena);
    return code;
}

enum status error_not_found(struct error *error, struct arena *arena, const char *message)
{
    struct errordetails_NotFoundFailure detail = { 0 };
    return with_detail(error, arena, ST_NOT_FOUND, message, &pb_errordetails_NotFoundFailure, &detail);
}

enum status error_not_ready(struct error *error, struct arena *arena, const char *message)
{
    struct errordetails_WorkflowNotReadyFailure detail = { 0 };
    return with_detail(error, arena, ST_FAILED_PRECONDITION, message,
                       &pb_errordetails_WorkflowNotReadyFailure, &detail);
}

enum status error_concurrent(struct error *error, struct arena *arena, const char *format, ...)
{
    struct errordetails_ResourceExhaustedFailure detail = {
        .cause = enums_RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
        .scope = enums_RESOURCE_EXHAUSTED_SCOPE_NAMESPACE
    };
    va_list arguments;
    va_start(arguments, format);
    error_setv(error, ST_RESOURCE_EXHAUSTED, format, arguments);
    va_end(arguments);
    error->detail_type = bytes_of_text(pb_message_name(&pb_errordetails_ResourceExhaustedFailure));
    error->detail = pb_encode_arena(&pb_errordetails_ResourceExhaustedFailure, &detail, arena);
    return error->code;
}

enum status error_busy(struct error *error, struct arena *arena, const char *message)
{
    struct errordetails_ResourceExhaustedFailure detail = {
        .cause = enums_RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW,
        .scope = enums_RESOURCE_EXHAUSTED_SCOPE_NAMESPACE
    };
    return with_detail(error, arena, ST_RESOURCE_EXHAUSTED, message,
                       &pb_errordetails_ResourceExhaustedFailure, &detail);
}

enum status error_already_started(struct error *error, struct arena *arena, struct bytes start_request_id,
                                  struct bytes run_id, struct bytes first_run_id)
{
    struct errordetails_WorkflowExecutionAlreadyStartedFailure detail = {
        .start_request_id = start_request_id, .run_id = run_id, .first_execution_run_id = first_run_id
    };
    return with_detail(error, arena, ST_ALREADY_EXISTS, "Workflow execution already started",
                       &pb_errordetails_WorkflowExecutionAlreadyStartedFailure, &detail);
}
