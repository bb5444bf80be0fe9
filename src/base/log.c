/* log.c: a line is made on the stack and written with one write(2), so lines of several threads never mix. */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metric.h"

static _Atomic int       minimum = LOG_INFO;
static _Atomic int       form_now = LOG_TEXT;
static const char *const level_names[] = { "debug", "info", "warn", "error", "off" };
static const char *const form_names[] = { "text", "json" };

void log_set_level(enum log_level level)
{
    atomic_store(&minimum, (int)level);
}

void log_set_form(enum log_form form)
{
    atomic_store(&form_now, (int)form);
}

static bool name_find(const char *text, const char *const *names, size_t count, size_t *ret_index)
{
    for (*ret_index = 0; *ret_index < count; (*ret_index)++) {
        if (strcmp(text, names[*ret_index]) == 0)
            return true;
    }
    return false;
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    size_t index;
    bool   found = name_find(text, level_names, ARRAY_COUNT(level_names), &index);
    if (found)
        *ret_level = (enum log_level)index;
    return found;
}

bool log_form_parse(const char *text, enum log_form *ret_form)
{
    size_t index;
    bool   found = name_find(text, form_names, ARRAY_COUNT(form_names), &index);
    if (found)
        *ret_form = (enum log_form)index;
    return found;
}

/* --- a line with room for so much; what is too long is cut, but never its end --- */

struct line {
    char   text[LOG_LINE_SIZE_MAX];
    size_t size, room;
};

static void put(struct line *line, const char *text, size_t size)
{
    size = MIN(size, line->room - line->size);
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* --- values --- */

/* One conversion of the format and its argument. A kind that nobody uses is printed as it stands. */
struct arguments {
    va_list list;
};

static size_t spec_size(const char *spec)
{
    size_t size = 1 + strspn(spec + 1, "0123456789.*+-# lzjh");
    return spec[size] == '\0' ? size : size + 1;
}

static int64_t take_signed(const char *spec, struct arguments *arguments)
{
    if (strchr(spec, 'l') != NULL)
        return va_arg(arguments->list, long);
    if (strchr(spec, 'j') != NULL)
        return va_arg(arguments->list, intmax_t);
    if (strchr(spec, 'z') != NULL)
        return va_arg(arguments->list, ssize_t);
    return va_arg(arguments->list, int);
}

static uint64_t take_unsigned(const char *spec, struct arguments *arguments)
{
    if (strchr(spec, 'l') != NULL)
        return va_arg(arguments->list, unsigned long);
    if (strchr(spec, 'j') != NULL)
        return va_arg(arguments->list, uintmax_t);
    if (strchr(spec, 'z') != NULL)
        return va_arg(arguments->list, size_t);
    return va_arg(arguments->list, unsigned);
}

static void put_conversion(struct line *value, const char *spec, struct arguments *arguments)
{
    char text[64];
    switch (spec[strlen(spec) - 1]) {
    case 's': {
        size_t      max = strchr(spec, '*') == NULL ? SIZE_MAX : (size_t)va_arg(arguments->list, int);
        const char *string = va_arg(arguments->list, const char *);
        put(value, string, strnlen(string, MIN(max, (size_t)LOG_LINE_SIZE_MAX)));
        return;
    }
    case 'd':
    case 'i':
        put(value, text, (size_t)snprintf(text, sizeof text, "%" PRId64, take_signed(spec, arguments)));
        return;
    case 'u':
        put(value, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, take_unsigned(spec, arguments)));
        return;
    case 'x':
        put(value, text, (size_t)snprintf(text, sizeof text, "%" PRIx64, take_unsigned(spec, arguments)));
        return;
    case '%':
        put_text(value, "%");
        return;
    default:
        put_text(value, spec);
        return;
    }
}

/* Whether a field begins here; its name's size. */
static size_t key_size(const char *format, const char *at)
{
    if (at != format && at[-1] != ' ')
        return 0;
    size_t size = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
    return at[size] == '=' ? size : 0;
}

/* Takes one field off the format. `is_number`: it is a number and nothing else. */
static const char *take_field(const char *format, const char *at, struct bytes *ret_key, struct line *value,
                              bool *ret_is_number, struct arguments *arguments)
{
    size_t size = key_size(format, at), pieces = 0;
    bool   number = false;
    *ret_key = bytes_of(at, size);
    at += size == 0 ? 0 : size + 1;
    value->size = 0;
    value->room = sizeof value->text;
    while (*at != '\0' && key_size(format, at) == 0) {
        char   spec[16] = { 0 };
        size_t length = *at == '%' ? spec_size(at) : 1;
        pieces++;
        if (*at == '%' && length < sizeof spec) {
            memcpy(spec, at, length);
            put_conversion(value, spec, arguments);
            number = strchr("diu", spec[length - 1]) != NULL;
        } else if (*at != ' ' || (at[1] != '\0' && key_size(format, at + 1) == 0)) {
            put(value, at, 1);
        } else {
            pieces--; /* between two fields */
        }
        at += length;
    }
    *ret_is_number = number && pieces == 1;
    return at;
}

/* --- text and JSON --- */

/* What came from outside must not forge lines, nor fields. */
static void put_quoted(struct line *line, struct bytes value, bool json)
{
    bool whole = bytes_is_utf8(value);
    put_text(line, "\"");
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.base[i];
        char    escaped[8];
        if (byte == '"' || byte == '\\')
            put(line, (const char[]){ '\\', (char)byte }, 2);
        else if (byte < 0x20 || byte == 0x7F)
            put(line, escaped, (size_t)snprintf(escaped, sizeof escaped, json ? "\\u%04x" : " ", byte));
        else if (byte >= 0x80 && !whole)
            put_text(line, json ? "\\ufffd" : "?");
        else
            put(line, (const char *)&value.base[i], 1);
    }
    put_text(line, "\"");
}

static bool is_bare(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.base[i];
        if (byte <= ' ' || byte == '"' || byte == '\\' || byte == 0x7F)
            return false;
    }
    return value.size != 0 && bytes_is_utf8(value);
}

static void put_field(struct line *line, enum log_form form, struct bytes key, struct bytes value,
                      bool is_number)
{
    if (key.size == 0)
        key = BYTES("message");
    if (form == LOG_JSON) {
        put_text(line, ",\"");
        put(line, (const char *)key.base, key.size);
        put_text(line, "\":");
    } else {
        put_text(line, " ");
        put(line, (const char *)key.base, key.size);
        put_text(line, "=");
    }
    if (is_number || (form == LOG_TEXT && is_bare(value)))
        put(line, (const char *)value.base, value.size);
    else
        put_quoted(line, value, form == LOG_JSON);
}

static void put_time(struct line *line, int64_t wall_ns)
{
    time_t    seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm parts;
    char      text[64];
    gmtime_r(&seconds, &parts);
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    size += (size_t)snprintf(text + size, sizeof text - size, ".%03dZ",
                             (int)(wall_ns % NS_PER_S / NS_PER_MS));
    put(line, text, size);
}

static void make_line(struct line *line, enum log_form form, enum log_level level, const char *event,
                      int64_t wall_ns, uint64_t left_out, const char *format, struct arguments *arguments)
{
    struct line value;
    line->size = 0;
    line->room = sizeof line->text - 8; /* the end has its place */
    put_text(line, form == LOG_JSON ? "{\"time\":\"" : "");
    put_time(line, wall_ns);
    put_text(line, form == LOG_JSON ? "\",\"level\":\"" : " ");
    put_text(line, level_names[level]);
    put_text(line, form == LOG_JSON ? "\",\"event\":\"" : " ");
    put_text(line, event);
    put_text(line, form == LOG_JSON ? "\"" : "");
    if (left_out != 0) {
        char text[32];
        int  size = snprintf(text, sizeof text, "%" PRIu64, left_out);
        put_field(line, form, BYTES("left_out"), bytes_of(text, (size_t)size), true);
    }
    for (const char *at = format; *at != '\0';) {
        struct bytes key;
        bool         is_number;
        at = take_field(format, at, &key, &value, &is_number, arguments);
        size_t before = line->size;
        /* An escape is at most three times as long; of a field that might not fit, so much is shown as surely does. */
        size_t left = (line->room - MIN(line->room, line->size + key.size + 16)) / 6;
        if (value.size > left && value.size + key.size + 16 > line->room - line->size)
            value.size = left;
        put_field(line, form, key, bytes_of(value.text, value.size), is_number);
        if (line->size == line->room) { /* cut in the middle: not at all */
            line->size = before;
            break;
        }
    }
    line->room = sizeof line->text;
    put_text(line, form == LOG_JSON ? "}\n" : "\n");
}

void log_print(struct buffer *to, enum log_form form, enum log_level level, const char *event,
               int64_t wall_ns, uint64_t left_out, const char *format, ...)
{
    struct line      line;
    struct arguments arguments;
    va_start(arguments.list, format);
    make_line(&line, form, level, event, wall_ns, left_out, format, &arguments);
    va_end(arguments.list);
    buffer_append(to, bytes_of(line.text, line.size));
}

/* --- not too many --- */

static struct rate {
    _Atomic(const char *) event;
    _Atomic int64_t       second;
    _Atomic uint64_t      lines, left_out;
} rates[64];

static struct rate *rate_of(const char *event)
{
    size_t at = ((uintptr_t)event >> 3) % ARRAY_COUNT(rates);
    for (size_t i = 0; i < ARRAY_COUNT(rates); i++, at = (at + 1) % ARRAY_COUNT(rates)) {
        const char *there = NULL;
        if (atomic_compare_exchange_strong(&rates[at].event, &there, event) || there == event)
            return &rates[at];
    }
    return &rates[0]; /* as many kinds share one */
}

/* Whether the line may go, and how many did not since the last that did. */
static bool rate_take(const char *event, int64_t second, uint64_t *ret_left_out)
{
    struct rate *rate = rate_of(event);
    int64_t      since = atomic_load(&rate->second);
    if (since != second && atomic_compare_exchange_strong(&rate->second, &since, second))
        atomic_store(&rate->lines, 0);
    if (atomic_fetch_add(&rate->lines, 1) >= LOG_EVENT_LINES_MAX) {
        atomic_fetch_add(&rate->left_out, 1);
        return false;
    }
    *ret_left_out = atomic_exchange(&rate->left_out, 0);
    return true;
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    struct line      line;
    struct arguments arguments;
    uint64_t         left_out;
    if ((int)level < atomic_load_explicit(&minimum, memory_order_relaxed) || level >= LOG_OFF)
        return;
    if (!rate_take(event, clock_monotonic_ns(&clock_system) / NS_PER_S, &left_out)) {
        metric_add(METRIC_LOG_LEFT_OUT, 0, (uint32_t)level, 1);
        return;
    }
    va_start(arguments.list, format);
    make_line(&line, (enum log_form)atomic_load_explicit(&form_now, memory_order_relaxed), level, event,
              clock_wall_ns(&clock_system), left_out, format, &arguments);
    va_end(arguments.list);
    metric_add(METRIC_LOG_LINES, 0, (uint32_t)level, 1);
    if (write(STDERR_FILENO, line.text, line.size) < 0)
        return; /* nobody left to tell */
}
