/* base.c: statuses, allocation that cannot fail, and the end of the process. */
#define ERROR_SET_DEFINED_HERE
#include "base/base.h"

#include <stdio.h>

static const char *const status_names[] = {
    "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
};

const char *status_name(enum status code)
{
    return (size_t)code < ARRAY_COUNT(status_names) ? status_names[code] : "UNKNOWN";
}

/* Cuts an incomplete UTF-8 sequence from the end, so that a shortened message is still valid text. */
static void trim_partial_utf8(char *text, size_t size)
{
    size_t end = size;
    while (end > 0 && ((uint8_t)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && !bytes_is_utf8(bytes_of(text + end - 1, size - end + 1)))
        text[end - 1] = '\0';
}

enum status error_setv(struct error *error, enum status code, const char *format, va_list arguments)
{
    if (error == NULL)
        return code;
    error->code = code;
    error->detail_type = BYTES_EMPTY;
    error->detail = BYTES_EMPTY;
    int wanted = vsnprintf(error->message, sizeof error->message, format, arguments);
    if (wanted >= (int)sizeof error->message)
        trim_partial_utf8(error->message, sizeof error->message - 1);
    return code;
}

enum status error_set(struct error *error, enum status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_setv(error, code, format, arguments);
    va_end(arguments);
    return code;
}

void error_clear(struct error *error)
{
    error->code = ST_OK;
    error->detail_type = BYTES_EMPTY;
    error->detail = BYTES_EMPTY;
    error->message[0] = '\0';
}

bool bytes_is_utf8(struct bytes slice)
{
    const uint8_t *at = slice.base, *end = slice.base + slice.size;
    while (at < end) {
        uint8_t lead = *at;
        if (lead < 0x80) {
            at++;
            continue;
        }
        size_t   extra = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        uint32_t lowest = extra == 3 ? 0x10000 : extra == 2 ? 0x800 : 0x80;
        uint32_t point = lead & (0x3FU >> extra);
        if (lead < 0xC2 || lead > 0xF4 || (size_t)(end - at) <= extra)
            return false;
        for (size_t i = 1; i <= extra; i++) {
            if ((at[i] & 0xC0) != 0x80)
                return false;
            point = point << 6 | (at[i] & 0x3FU);
        }
        if (point < lowest || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
            return false;
        at += extra + 1;
    }
    return true;
}

void *xmalloc(size_t size)
{
    void *memory = malloc(size == 0 ? 1 : size);
    if (memory == NULL)
        panic("out of memory: %zu bytes", size);
    return memory;
}

void *xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
    if (memory == NULL)
        panic("out of memory: %zu times %zu bytes", count, size);
    return memory;
}

void *xrealloc(void *memory, size_t size)
{
    void *moved = realloc(memory, size == 0 ? 1 : size);
    if (moved == NULL)
        panic("out of memory: %zu bytes", size);
    return moved;
}

void free_pointer(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("perdure: panic: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}
