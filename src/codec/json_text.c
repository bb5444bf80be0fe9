/* json_text.c: names, strings, numbers and bytes in the spelling of proto3 JSON. */
#include "codec/json_internal.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void json_put_string(struct buffer *to, struct bytes text)
{
    static const char short_escapes[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'
    };
    size_t clean = 0; /* from here on nothing is written yet */
    buffer_append_byte(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.base[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        buffer_append(to, bytes_of(text.base + clean, i - clean));
        clean = i + 1;
        if (byte >= 0x20) {
            buffer_append_byte(to, '\\');
            buffer_append_byte(to, byte);
        } else if (short_escapes[byte] != 0) {
            buffer_append_byte(to, '\\');
            buffer_append_byte(to, (uint8_t)short_escapes[byte]);
        } else {
            buffer_printf(to, "\\u%04x", byte);
        }
    }
    if (clean < text.size)
        buffer_append(to, bytes_of(text.base + clean, text.size - clean));
    buffer_append_byte(to, '"');
}

/* Steps through the lowerCamel form of a name; 0 at its end. */
static char camel_next(const char **at)
{
    bool upper = false;
    while (**at == '_') {
        upper = true;
        (*at)++;
    }
    char c = **at;
    if (c == '\0')
        return '\0';
    (*at)++;
    return upper && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

void json_put_name(struct buffer *to, const char *name)
{
    buffer_append_byte(to, '"');
    for (char c; (c = camel_next(&name)) != '\0';)
        buffer_append_byte(to, (uint8_t)c);
    buffer_append_byte(to, '"');
}

bool json_name_matches(struct bytes key, const char *name)
{
    if (bytes_equal_text(key, name))
        return true;
    for (size_t i = 0; i < key.size; i++)
        if (key.base[i] == 0 || camel_next(&name) != (char)key.base[i])
            return false;
    return key.size != 0 && camel_next(&name) == '\0';
}

void json_put_base64(struct buffer *to, struct bytes bytes)
{
    uint8_t *at = buffer_reserve(to, bytes.size / 3 * 4 + 6), *start = at;
    *at++ = '"';
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t   left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.base[i] << 16;
        if (left > 1)
            group |= (uint32_t)bytes.base[i + 1] << 8;
        if (left > 2)
            group |= bytes.base[i + 2];
        *at++ = (uint8_t)base64_digits[group >> 18];
        *at++ = (uint8_t)base64_digits[group >> 12 & 63];
        *at++ = left > 1 ? (uint8_t)base64_digits[group >> 6 & 63] : '=';
        *at++ = left > 2 ? (uint8_t)base64_digits[group & 63] : '=';
    }
    *at++ = '"';
    to->size += (size_t)(at - start);
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool json_get_base64(struct bytes text, struct buffer *to)
{
    size_t size = text.size;
    for (int i = 0; i < 2 && size != 0 && text.size % 4 == 0 && text.base[size - 1] == '='; i++)
        size--;
    if (size % 4 == 1)
        return false;
    uint8_t *at = buffer_reserve(to, size / 4 * 3 + 3);
    uint32_t group = 0;
    size_t   written = 0;
    for (size_t i = 0; i < size; i++) {
        int value = base64_value(text.base[i]);
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
        if (i % 4 != 0)
            at[written++] = (uint8_t)(group >> (6 - 2 * (i % 4)));
    }
    to->size += written;
    return true;
}

static void put_number(struct buffer *to, double value, bool is_float)
{
    char text[40];
    if (isnan(value) || isinf(value)) {
        buffer_append_text(to, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (fpclassify(value) == FP_ZERO &&
        signbit(value)) { /* "-0" would be read as an integer, which has no such zero */
        buffer_append_text(to, "-0.0");
        return;
    }
    for (int digits = is_float ? FLT_DIG : DBL_DIG; digits <= DBL_DIG + 2; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (is_float ? strtof(text, NULL) >= (float)value && strtof(text, NULL) <= (float)value
                     : strtod(text, NULL) >= value && strtod(text, NULL) <= value)
            break;
    }
    buffer_append_text(to, text);
}

void json_put_double(struct buffer *to, double value)
{
    put_number(to, value, false);
}

void json_put_float(struct buffer *to, float value)
{
    put_number(to, (double)value, true);
}

static void put_enum(struct buffer *to, const struct pb_enum *type, int32_t number)
{
    const char *name = pb_enum_value_name(type, number);
    if (bytes_equal_text(BYTES("google.protobuf.NullValue"), pb_names + type->name))
        buffer_append_text(to, "null");
    else if (name == NULL)
        buffer_printf(to, "%" PRId32, number);
    else
        json_put_string(to, bytes_of_text(name));
}

void json_put_scalar(struct buffer *to, const struct pb_field *field, uint64_t wire)
{
    union {
        bool     boolean;
        int32_t  int32;
        uint32_t uint32;
        int64_t  int64;
        uint64_t uint64;
        float    single;
        double   whole;
    } value;
    scalar_store(field->kind, wire, &value);
    switch (field->kind) {
    case PB_BOOL:
        buffer_append_text(to, value.boolean ? "true" : "false");
        return;
    case PB_INT32:
        buffer_printf(to, "%" PRId32, value.int32);
        return;
    case PB_UINT32:
        buffer_printf(to, "%" PRIu32, value.uint32);
        return;
    case PB_INT64:
        buffer_printf(to, "\"%" PRId64 "\"", value.int64);
        return;
    case PB_UINT64:
    case PB_FIXED64:
        buffer_printf(to, "\"%" PRIu64 "\"", value.uint64);
        return;
    case PB_FLOAT:
        json_put_float(to, value.single);
        return;
    case PB_DOUBLE:
        json_put_double(to, value.whole);
        return;
    default:
        assert(field->kind == PB_ENUM);
        put_enum(to, pb_enums + field->type, value.int32);
    }
}

static size_t digits_at(struct bytes text, size_t at)
{
    size_t start = at;
    while (at < text.size && text.base[at] >= '0' && text.base[at] <= '9')
        at++;
    return at - start;
}

bool json_is_number(struct bytes text)
{
    size_t at = text.size != 0 && text.base[0] == '-', digits = digits_at(text, at);
    if (digits == 0 || (digits > 1 && text.base[at] == '0'))
        return false;
    at += digits;
    if (at < text.size && text.base[at] == '.') {
        digits = digits_at(text, at + 1);
        if (digits == 0)
            return false;
        at += 1 + digits;
    }
    if (at < text.size && (text.base[at] == 'e' || text.base[at] == 'E')) {
        at++;
        at += at < text.size && (text.base[at] == '+' || text.base[at] == '-');
        digits = digits_at(text, at);
        if (digits == 0)
            return false;
        at += digits;
    }
    return at == text.size;
}

static bool get_integer(struct bytes text, bool *ret_negative, uint64_t *ret_magnitude)
{
    bool     negative = text.base[0] == '-';
    size_t   at = negative;
    uint64_t magnitude = 0;
    for (; at < text.size && text.base[at] >= '0' && text.base[at] <= '9'; at++)
        if (__builtin_mul_overflow(magnitude, UINT64_C(10), &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(text.base[at] - '0'), &magnitude))
            return false;
    if (at != text.size) { /* a fraction or exponent: fine when the value is whole */
        char copy[64];
        if (text.size >= sizeof copy)
            return false;
        memcpy(copy, text.base, text.size);
        copy[text.size] = '\0';
        double value = fabs(strtod(copy, NULL));
        if (!(value < 0x1p63) || floor(value) < value)
            return false;
        magnitude = (uint64_t)value;
    }
    *ret_negative = negative;
    *ret_magnitude = magnitude;
    return true;
}

static bool get_double(struct bytes text, bool is_float, double *ret_value)
{
    if (bytes_equal_text(text, "NaN") || bytes_equal_text(text, "Infinity") ||
        bytes_equal_text(text, "-Infinity")) {
        *ret_value = text.base[0] == 'N'   ? (double)NAN
                     : text.base[0] == 'I' ? (double)INFINITY
                                           : -(double)INFINITY;
        return true;
    }
    if (!json_is_number(text))
        return false;
    char  small[64];
    char *copy = text.size < sizeof small ? small : xmalloc(text.size + 1);
    memcpy(copy, text.base, text.size);
    copy[text.size] = '\0';
    double value = is_float ? (double)strtof(copy, NULL) : strtod(copy, NULL);
    if (copy != small)
        free(copy);
    *ret_value = value;
    return !isinf(value);
}

bool json_get_double(struct bytes text, double *ret_value)
{
    return json_is_number(text) && get_double(text, false, ret_value);
}

bool json_get_scalar(uint8_t kind, struct bytes text, uint64_t *ret_wire)
{
    bool     negative;
    uint64_t magnitude;
    if (kind == PB_DOUBLE || kind == PB_FLOAT) {
        double value;
        if (!get_double(text, kind == PB_FLOAT, &value))
            return false;
        float single = (float)value;
        *ret_wire = kind == PB_FLOAT ? scalar_load(kind, &single) : scalar_load(kind, &value);
        return true;
    }
    if (!json_is_number(text) || !get_integer(text, &negative, &magnitude))
        return false;
    switch (kind) {
    case PB_UINT64:
    case PB_FIXED64:
    case PB_UINT32:
        if ((negative && magnitude != 0) || (kind == PB_UINT32 && magnitude > UINT32_MAX))
            return false;
        *ret_wire = magnitude;
        return true;
    default:
        break;
    }
    bool     half = kind == PB_INT32 || kind == PB_ENUM;
    uint64_t limit = half ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
    if (magnitude > limit || (magnitude == limit && !negative))
        return false;
    *ret_wire = negative ? 0 - magnitude : magnitude;
    return true;
}
