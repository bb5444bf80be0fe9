/* json_time.c: times, durations and field masks in the spelling of proto3 JSON. */
#include "base/civil.h"
#include "codec/json_internal.h"

#define SECONDS_PER_DAY       INT64_C(86400)
#define TIMESTAMP_SECONDS_MIN INT64_C(-62135596800) /* 0001-01-01 */
#define TIMESTAMP_SECONDS_MAX INT64_C(253402300799) /* 9999-12-31 */
#define DURATION_SECONDS_MAX  INT64_C(315576000000)

/* A fraction of a second in 0, 3, 6 or 9 digits. */
static void put_fraction(struct buffer *to, int32_t nanos)
{
    if (nanos == 0)
        return;
    if (nanos % 1000000 == 0)
        buffer_printf(to, ".%03" PRId32, nanos / 1000000);
    else if (nanos % 1000 == 0)
        buffer_printf(to, ".%06" PRId32, nanos / 1000);
    else
        buffer_printf(to, ".%09" PRId32, nanos);
}

bool json_put_timestamp(struct buffer *to, int64_t seconds, int32_t nanos)
{
    if (seconds < TIMESTAMP_SECONDS_MIN || seconds > TIMESTAMP_SECONDS_MAX || nanos < 0 || nanos >= NS_PER_S)
        return false;
    int64_t days = seconds / SECONDS_PER_DAY, rest = seconds % SECONDS_PER_DAY, year, month, day;
    if (rest < 0) {
        rest += SECONDS_PER_DAY;
        days--;
    }
    civil_date(days, &year, &month, &day);
    buffer_printf(to, "\"%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64,
                  year, month, day, rest / 3600, rest / 60 % 60, rest % 60);
    put_fraction(to, nanos);
    buffer_append_text(to, "Z\"");
    return true;
}

bool json_put_duration(struct buffer *to, int64_t seconds, int32_t nanos)
{
    if (seconds > DURATION_SECONDS_MAX || seconds < -DURATION_SECONDS_MAX || nanos >= NS_PER_S ||
        nanos <= -NS_PER_S || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0))
        return false;
    buffer_append_text(to, seconds < 0 || nanos < 0 ? "\"-" : "\"");
    buffer_printf(to, "%" PRId64, seconds < 0 ? -seconds : seconds);
    put_fraction(to, nanos < 0 ? -nanos : nanos);
    buffer_append_text(to, "s\"");
    return true;
}

bool json_put_path(struct buffer *to, struct bytes path)
{
    bool upper = false;
    for (size_t i = 0; i < path.size; i++) {
        uint8_t c = path.base[i];
        bool    lower = c >= 'a' && c <= 'z';
        if ((c >= 'A' && c <= 'Z') || c == ',' || (upper && !lower))
            return false;
        if (c != '_')
            buffer_append_byte(to, upper ? (uint8_t)(c - 'a' + 'A') : c);
        upper = c == '_';
    }
    return !upper && path.size != 0;
}

bool json_get_path(struct bytes text, struct buffer *to)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.base[i];
        if (c == '_')
            return false;
        if (c >= 'A' && c <= 'Z') {
            buffer_append_byte(to, '_');
            c = (uint8_t)(c - 'A' + 'a');
        }
        buffer_append_byte(to, c);
    }
    return true;
}

/* `count` digits, exactly. */
static bool get_digits(struct bytes *text, size_t count, int64_t *ret_value)
{
    int64_t value = 0;
    if (text->size < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (text->base[i] < '0' || text->base[i] > '9')
            return false;
        value = value * 10 + (text->base[i] - '0');
    }
    *text = bytes_of(text->base + count, text->size - count);
    *ret_value = value;
    return true;
}

static bool get_char(struct bytes *text, char c)
{
    if (text->size == 0 || text->base[0] != (uint8_t)c)
        return false;
    *text = bytes_of(text->base + 1, text->size - 1);
    return true;
}

/* Nothing, or a point and one to nine digits. */
static bool get_fraction(struct bytes *text, int32_t *ret_nanos)
{
    int64_t nanos = 0, digit;
    int     digits = 0;
    *ret_nanos = 0;
    if (!get_char(text, '.'))
        return true;
    for (; digits < 9 && get_digits(text, 1, &digit); digits++)
        nanos = nanos * 10 + digit;
    if (digits == 0)
        return false;
    for (; digits < 9; digits++)
        nanos *= 10;
    *ret_nanos = (int32_t)nanos;
    return true;
}

static bool get_offset(struct bytes *text, int64_t *ret_seconds)
{
    int64_t hours, minutes;
    *ret_seconds = 0;
    if (get_char(text, 'Z'))
        return true;
    bool west = get_char(text, '-');
    if ((!west && !get_char(text, '+')) || !get_digits(text, 2, &hours) || !get_char(text, ':') ||
        !get_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

bool json_get_timestamp(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    static const uint8_t days_of_month[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t              year, month, day, hour, minute, second, offset;
    if (!get_digits(&text, 4, &year) || !get_char(&text, '-') || !get_digits(&text, 2, &month) ||
        !get_char(&text, '-') || !get_digits(&text, 2, &day) || !get_char(&text, 'T') ||
        !get_digits(&text, 2, &hour) || !get_char(&text, ':') || !get_digits(&text, 2, &minute) ||
        !get_char(&text, ':') || !get_digits(&text, 2, &second) || !get_fraction(&text, ret_nanos) ||
        !get_offset(&text, &offset) || text.size != 0)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_of_month[month - 1] || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    if (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
        return false;
    *ret_seconds = civil_days(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second -
                   offset;
    return *ret_seconds >= TIMESTAMP_SECONDS_MIN && *ret_seconds <= TIMESTAMP_SECONDS_MAX;
}

bool json_get_duration(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    bool    negative = get_char(&text, '-');
    int64_t seconds = 0, digit;
    size_t  digits = 0;
    for (; digits < 12 && get_digits(&text, 1, &digit); digits++)
        seconds = seconds * 10 + digit;
    if (digits == 0 || !get_fraction(&text, ret_nanos) || !get_char(&text, 's') || text.size != 0 ||
        seconds > DURATION_SECONDS_MAX)
        return false;
    *ret_seconds = negative ? -seconds : seconds;
    *ret_nanos = negative ? -*ret_nanos : *ret_nanos;
    return true;
}
