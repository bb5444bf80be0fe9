/* grpc.c: parsers and printers of header values. Everything here reads what strangers sent. */
#include "wire/grpc.h"

#include <stdio.h>

/* --- grpc-timeout --- */

static int64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return 3600 * NS_PER_S;
    case 'M':
        return 60 * NS_PER_S;
    case 'S':
        return NS_PER_S;
    case 'm':
        return NS_PER_MS;
    case 'u':
        return NS_PER_US;
    case 'n':
        return 1;
    default:
        return 0;
    }
}

bool grpc_timeout_parse(struct bytes text, int64_t *ret_ns)
{
    if (text.size < 2 || text.size > 9)
        return false;
    int64_t count = 0, unit = unit_ns(text.base[text.size - 1]);
    if (unit == 0)
        return false;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.base[i] < '0' || text.base[i] > '9')
            return false;
        count = count * 10 + (text.base[i] - '0');
    }
    if (__builtin_mul_overflow(count, unit, ret_ns))
        *ret_ns = TIME_NEVER; /* 99,999,999 hours are more than 292 years: no deadline */
    return true;
}

size_t grpc_timeout_print(int64_t ns, char text[GRPC_TIMEOUT_TEXT_SIZE])
{
    static const char units[] = { 'n', 'u', 'm', 'S', 'M', 'H' };
    static const int  steps[] = { 1, 1000, 1000, 1000, 60, 60 };
    int64_t           count = MAX(ns, INT64_C(0));
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        count = count / steps[i] + (count % steps[i] != 0);
        if (count <= 99999999)
            return (size_t)snprintf(text, GRPC_TIMEOUT_TEXT_SIZE, "%d%c", (int)count, units[i]);
    }
    panic("a timeout of %" PRId64 " ns has no text", ns); /* INT64_MAX ns are 2,562,048 hours */
}

/* --- lists and types --- */

bool grpc_content_type_ok(struct bytes value)
{
    static const struct bytes prefix = { (const uint8_t *)"application/grpc", 16 };
    if (!bytes_starts_with(value, prefix))
        return false;
    struct bytes rest = bytes_of(value.base + prefix.size, value.size - prefix.size);
    if (bytes_starts_with(rest, BYTES("+proto")))
        rest = bytes_of(rest.base + 6, rest.size - 6);
    return rest.size == 0 || rest.base[0] == ';' || rest.base[0] == ' ';
}

bool grpc_list_has(struct bytes list, struct bytes item)
{
    for (size_t at = 0; at < list.size;) {
        while (at < list.size && (list.base[at] == ' ' || list.base[at] == ','))
            at++;
        size_t start = at;
        while (at < list.size && list.base[at] != ',' && list.base[at] != ' ' && list.base[at] != ';')
            at++;
        if (bytes_equal(bytes_of(list.base + start, at - start), item))
            return true;
        while (at < list.size && list.base[at] != ',')
            at++;
    }
    return false;
}

/* --- percent --- */

void grpc_percent_encode(struct bytes text, struct buffer *to)
{
    static const char digits[] = "0123456789ABCDEF";
    uint8_t          *at = buffer_reserve(to, text.size * 3), *start = at;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.base[i];
        if (byte >= 0x20 && byte <= 0x7E && byte != '%') {
            *at++ = byte;
        } else {
            *at++ = '%';
            *at++ = (uint8_t)digits[byte >> 4];
            *at++ = (uint8_t)digits[byte & 15];
        }
    }
    to->size += (size_t)(at - start);
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

void grpc_percent_decode(struct bytes text, struct buffer *to)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.base[i] == '%' && i + 2 < text.size) {
            int high = hex_value(text.base[i + 1]), low = hex_value(text.base[i + 2]);
            if (high >= 0 && low >= 0) {
                buffer_append_byte(to, (uint8_t)(high << 4 | low));
                i += 2;
                continue;
            }
        }
        buffer_append_byte(to, text.base[i]);
    }
}

/* --- base64 --- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void grpc_base64_encode(struct bytes data, struct buffer *to)
{
    uint8_t *at = buffer_reserve(to, data.size / 3 * 4 + 4), *start = at;
    size_t   i = 0;
    for (; i + 3 <= data.size; i += 3) {
        uint32_t group = (uint32_t)data.base[i] << 16 | (uint32_t)data.base[i + 1] << 8 | data.base[i + 2];
        *at++ = (uint8_t)base64_digits[group >> 18];
        *at++ = (uint8_t)base64_digits[group >> 12 & 63];
        *at++ = (uint8_t)base64_digits[group >> 6 & 63];
        *at++ = (uint8_t)base64_digits[group & 63];
    }
    if (i < data.size) {
        bool     two = data.size - i == 2;
        uint32_t group = (uint32_t)data.base[i] << 16 | (two ? (uint32_t)data.base[i + 1] << 8 : 0);
        *at++ = (uint8_t)base64_digits[group >> 18];
        *at++ = (uint8_t)base64_digits[group >> 12 & 63];
        if (two)
            *at++ = (uint8_t)base64_digits[group >> 6 & 63];
    }
    to->size += (size_t)(at - start);
}

static int base64_value(uint8_t digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52;
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

bool grpc_base64_decode(struct bytes text, struct arena *arena, struct bytes *ret_data)
{
    while (text.size > 0 && text.base[text.size - 1] == '=')
        text.size--;
    if (text.size % 4 == 1)
        return false;
    uint8_t *data = arena_alloc(arena, text.size / 4 * 3 + 3), *at = data;
    if (data == NULL)
        return false;
    uint32_t group = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = base64_value(text.base[i]);
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            *at++ = (uint8_t)(group >> 16);
            *at++ = (uint8_t)(group >> 8);
            *at++ = (uint8_t)group;
        }
    }
    if (text.size % 4 == 2) {
        *at++ = (uint8_t)(group >> 4);
    } else if (text.size % 4 == 3) {
        *at++ = (uint8_t)(group >> 10);
        *at++ = (uint8_t)(group >> 2);
    }
    *ret_data = bytes_of(data, (size_t)(at - data));
    return true;
}

/* --- google.rpc.Status: code = 1, message = 2, details = 3 of google.protobuf.Any{type_url = 1, value = 2} ---
 * By hand, because wire must be able to say what is wrong whatever the schema is. */

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static void field_append(struct buffer *to, uint8_t number, struct bytes value)
{
    buffer_append_byte(to, (uint8_t)(number << 3 | 2));
    buffer_append_varint(to, value.size);
    buffer_append(to, value);
}

void grpc_status_encode(const struct error *error, struct buffer *to)
{
    static const struct bytes url = { (const uint8_t *)"type.googleapis.com/", 20 };
    buffer_append_byte(to, 1 << 3);
    buffer_append_varint(to, (uint64_t)error->code);
    field_append(to, 2, bytes_of_text(error->message));
    if (error->detail_type.size == 0)
        return;
    size_t type_size = url.size + error->detail_type.size, value_size = error->detail.size;
    size_t any_size = 1 + varint_size(type_size) + type_size;
    if (value_size != 0)
        any_size += 1 + varint_size(value_size) + value_size;
    buffer_append_byte(to, 3 << 3 | 2);
    buffer_append_varint(to, any_size);
    buffer_append_byte(to, 1 << 3 | 2);
    buffer_append_varint(to, type_size);
    buffer_append(to, url);
    buffer_append(to, error->detail_type);
    if (value_size != 0)
        field_append(to, 2, error->detail);
}

static bool varint_read(struct bytes *from, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && i < from->size; i++) {
        value |= (uint64_t)(from->base[i] & 0x7F) << (7 * i);
        if (from->base[i] < 0x80) {
            *from = bytes_of(from->base + i + 1, from->size - i - 1);
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* Takes the next field; `ret_value` is set for length-delimited ones and empty for the others. */
static bool field_read(struct bytes *from, uint64_t *ret_number, struct bytes *ret_value)
{
    uint64_t tag, skip;
    if (!varint_read(from, &tag))
        return false;
    *ret_number = tag >> 3;
    *ret_value = BYTES_EMPTY;
    switch (tag & 7) {
    case 0:
        return varint_read(from, &skip);
    case 1:
        skip = 8;
        break;
    case 5:
        skip = 4;
        break;
    case 2:
        if (!varint_read(from, &skip))
            return false;
        break;
    default:
        return false;
    }
    if (skip > from->size)
        return false;
    if ((tag & 7) == 2)
        *ret_value = bytes_of(from->base, skip);
    *from = bytes_of(from->base + skip, from->size - skip);
    return true;
}

bool grpc_status_decode(struct bytes wire, struct bytes *ret_detail_type, struct bytes *ret_detail)
{
    uint64_t     number;
    struct bytes value, any = BYTES_EMPTY, type = BYTES_EMPTY, detail = BYTES_EMPTY;
    while (wire.size > 0) {
        if (!field_read(&wire, &number, &value))
            return false;
        if (number == 3 && any.base == NULL)
            any = value;
    }
    while (any.size > 0) {
        if (!field_read(&any, &number, &value))
            return false;
        if (number == 1)
            type = value;
        if (number == 2)
            detail = value;
    }
    for (size_t i = type.size; i > 0; i--) { /* the type is what follows the last slash of its URL */
        if (type.base[i - 1] == '/') {
            type = bytes_of(type.base + i, type.size - i);
            break;
        }
    }
    *ret_detail_type = type;
    *ret_detail = detail;
    return true;
}
