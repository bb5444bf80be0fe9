/* json_token.c: see json_token.h. */
#include "codec/json_token.h"

#include "codec/json_internal.h"

static struct json_token token_of(struct json_reader *reader, enum json_kind kind, const uint8_t *start,
                                  size_t size)
{
    reader->at = start + size;
    return (struct json_token){ .kind = kind, .text = bytes_of(start, size) };
}

static struct json_token read_string(struct json_reader *reader)
{
    const uint8_t *start = reader->at + 1;
    bool           escaped = false;
    for (const uint8_t *at = start; at < reader->end; at++) {
        if (*at == '"') {
            reader->at = at + 1;
            return (struct json_token){ JSON_STRING, escaped, bytes_of(start, (size_t)(at - start)) };
        }
        if (*at < 0x20)
            break;
        if (*at == '\\') {
            escaped = true;
            if (++at == reader->end)
                break;
        }
    }
    return token_of(reader, JSON_BAD, reader->at, 0);
}

static struct json_token read_number(struct json_reader *reader)
{
    const uint8_t *at = reader->at;
    while (at < reader->end &&
           ((*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == '.' || *at == 'e' || *at == 'E'))
        at++;
    struct bytes text = bytes_of(reader->at, (size_t)(at - reader->at));
    return token_of(reader, json_is_number(text) ? JSON_NUMBER : JSON_BAD, text.base, text.size);
}

static struct json_token read_word(struct json_reader *reader, struct bytes word, enum json_kind kind)
{
    struct bytes rest = bytes_of(reader->at, (size_t)(reader->end - reader->at));
    if (!bytes_starts_with(rest, word))
        return token_of(reader, JSON_BAD, reader->at, 0);
    return token_of(reader, kind, reader->at, word.size);
}

struct json_token json_next(struct json_reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' || *reader->at == '\t'))
        reader->at++;
    if (reader->at == reader->end)
        return token_of(reader, JSON_END, reader->at, 0);
    switch (*reader->at) {
    case '{':
        return token_of(reader, JSON_OBJECT_OPEN, reader->at, 1);
    case '}':
        return token_of(reader, JSON_OBJECT_CLOSE, reader->at, 1);
    case '[':
        return token_of(reader, JSON_ARRAY_OPEN, reader->at, 1);
    case ']':
        return token_of(reader, JSON_ARRAY_CLOSE, reader->at, 1);
    case ':':
        return token_of(reader, JSON_COLON, reader->at, 1);
    case ',':
        return token_of(reader, JSON_COMMA, reader->at, 1);
    case '"':
        return read_string(reader);
    case 't':
        return read_word(reader, BYTES("true"), JSON_TRUE);
    case 'f':
        return read_word(reader, BYTES("false"), JSON_FALSE);
    case 'n':
        return read_word(reader, BYTES("null"), JSON_NULL);
    default:
        return read_number(reader);
    }
}

static bool hex4(const uint8_t *at, const uint8_t *end, uint32_t *ret_value)
{
    uint32_t value = 0;
    if (end - at < 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = at[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    *ret_value = value;
    return true;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (uint8_t)point;
        return to;
    }
    if (point < 0x800) {
        *to++ = (uint8_t)(0xC0 | point >> 6);
    } else {
        if (point < 0x10000) {
            *to++ = (uint8_t)(0xE0 | point >> 12);
        } else {
            *to++ = (uint8_t)(0xF0 | point >> 18);
            *to++ = (uint8_t)(0x80 | (point >> 12 & 0x3F));
        }
        *to++ = (uint8_t)(0x80 | (point >> 6 & 0x3F));
    }
    *to++ = (uint8_t)(0x80 | (point & 0x3F));
    return to;
}

/* A code point in one \uXXXX or in a pair of surrogates; `at` stands behind the u. */
static const uint8_t *read_point(const uint8_t *at, const uint8_t *end, uint32_t *ret_point)
{
    uint32_t low;
    if (!hex4(at, end, ret_point))
        return NULL;
    at += 4;
    if (*ret_point < 0xD800 || *ret_point > 0xDFFF)
        return at;
    if (*ret_point > 0xDBFF || end - at < 6 || at[0] != '\\' || at[1] != 'u' || !hex4(at + 2, end, &low) ||
        low < 0xDC00 || low > 0xDFFF)
        return NULL;
    *ret_point = 0x10000 + ((*ret_point - 0xD800) << 10) + (low - 0xDC00);
    return at + 6;
}

bool json_token_string(const struct json_token *token, struct arena *arena, struct bytes *ret)
{
    assert(token->kind == JSON_STRING);
    if (!bytes_is_utf8(token->text))
        return false;
    *ret = token->text;
    if (!token->escaped)
        return true;
    uint8_t *to = arena_alloc(arena, token->text.size),
            *start = to; /* an escape is longer than what it stands for */
    const uint8_t *at = token->text.base, *end = at + token->text.size;
    if (to == NULL)
        return false;
    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        if (++at == end)
            return false;
        static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
        uint8_t           name = *at++;
        const char       *found = name == 0 ? NULL : strchr(names, name);
        uint32_t          point;
        if (found != NULL) {
            *to++ = (uint8_t)values[found - names];
        } else {
            if (name != 'u' || (at = read_point(at, end, &point)) == NULL)
                return false;
            to = put_utf8(to, point);
        }
    }
    *ret = bytes_of(start, (size_t)(to - start));
    return true;
}
