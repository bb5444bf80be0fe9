/* status.h: how functions say what went wrong.
 *
 * One type for the whole server, numbered as gRPC codes, so that no layer translates it. The words go into the caller's
 * `struct error`; the detail is an encoded google.protobuf.Any for the grpc-status-details-bin trailer.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define MUST_USE __attribute__((warn_unused_result))

enum status {
    ST_OK = 0,
    ST_CANCELLED = 1,
    ST_UNKNOWN = 2,
    ST_INVALID_ARGUMENT = 3,
    ST_DEADLINE_EXCEEDED = 4,
    ST_NOT_FOUND = 5,
    ST_ALREADY_EXISTS = 6,
    ST_PERMISSION_DENIED = 7,
    ST_RESOURCE_EXHAUSTED = 8,
    ST_FAILED_PRECONDITION = 9,
    ST_ABORTED = 10,
    ST_OUT_OF_RANGE = 11,
    ST_UNIMPLEMENTED = 12,
    ST_INTERNAL = 13,
    ST_UNAVAILABLE = 14,
    ST_DATA_LOSS = 15,
    ST_UNAUTHENTICATED = 16,
};

#define ERROR_MESSAGE_SIZE_MAX 512

/* Embedded by value wherever an error can happen; needs no release. `detail` is borrowed from the request's arena. */
struct error {
    enum status code;
    struct bytes
        detail_type; /* full message name of the first detail, e.g. temporal.api.errordetails.v1.NotFoundFailure */
    struct bytes detail; /* its encoded bytes; meaningful only when detail_type is not empty */
    char         message[ERROR_MESSAGE_SIZE_MAX];
};

/* Fills `error` (NULL is fine) and returns `code`, so that callers can write `return error_set(...)`. Clears the detail.
 * Text that does not fit is cut at a UTF-8 boundary. */
enum status error_set(struct error *error, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status error_setv(struct error *error, enum status code, const char *format, va_list arguments);
#if defined(__clang_analyzer__) && !defined(ERROR_SET_DEFINED_HERE)
/* The analyzer looks at one file at a time: this tells it that what is returned is the code. */
#define error_set(error, code, ...) ((void)(error_set)((error), (code), __VA_ARGS__), (enum status)(code))
#endif
void error_clear(struct error *error);

/* The canonical upper-case name, e.g. "NOT_FOUND"; "UNKNOWN" for a number that is none. */
const char *status_name(enum status code);
#endif
