/* message.c: headers by name, and lines of an event stream. */
#include "bridge/message.h"

#include <strings.h>

struct curl_slist *message_header(struct curl_slist *headers, const char *name, const char *value)
{
    struct buffer line = { 0 };
    buffer_printf(&line, "%s: %s", name, value);
    buffer_append_byte(&line, '\0');
    headers = curl.slist_append(headers, (const char *)line.base);
    buffer_release(&line);
    return headers;
}

struct curl_slist *message_name_header(struct curl_slist *headers, const char *value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t            size = strlen(value);
    bool              plain = size != 0 && value[0] != ' ' && value[size - 1] != ' ';
    for (size_t i = 0; i < size; i++)
        plain = plain && value[i] >= ' ' && value[i] < 0x7F;
    if (plain && strncmp(value, "=?base64?", 9) != 0)
        return message_header(headers, "Mcp-Name", value);
    struct buffer  text = { 0 };
    const uint8_t *at = (const uint8_t *)value;
    buffer_append_text(&text, "=?base64?");
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)at[i] << 16 | (i + 1 < size ? (uint32_t)at[i + 1] << 8 : 0) |
                         (i + 2 < size ? at[i + 2] : 0);
        buffer_append_byte(&text, (uint8_t)digits[three >> 18]);
        buffer_append_byte(&text, (uint8_t)digits[three >> 12 & 63]);
        buffer_append_byte(&text, i + 1 < size ? (uint8_t)digits[three >> 6 & 63] : '=');
        buffer_append_byte(&text, i + 2 < size ? (uint8_t)digits[three & 63] : '=');
    }
    buffer_append_text(&text, "?=");
    buffer_append_byte(&text, '\0');
    headers = message_header(headers, "Mcp-Name", (const char *)text.base);
    buffer_release(&text);
    return headers;
}

struct curl_slist *message_bearer_header(struct curl_slist *headers, const char *token)
{
    struct buffer bearer = { 0 };
    if (token == NULL || *token == '\0')
        return headers;
    buffer_printf(&bearer, "Bearer %s", token);
    buffer_append_byte(&bearer, '\0');
    headers = message_header(headers, "Authorization", (const char *)bearer.base);
    buffer_release(&bearer);
    return headers;
}

/* --- what comes back --- */

void message_stream_clear(struct message_stream *stream)
{
    buffer_clear(&stream->rest);
    buffer_clear(&stream->data);
    stream->begun = stream->is_stream = false;
}

void message_stream_release(struct message_stream *stream)
{
    buffer_release(&stream->rest);
    buffer_release(&stream->data);
}

/* A line of an event stream, without its end. */
static void take_line(struct message_stream *stream, struct bytes line)
{
    if (line.size == 0) {
        if (stream->data.size != 0)
            stream->message(stream->context, buffer_bytes(&stream->data));
        buffer_clear(&stream->data);
    } else if (bytes_starts_with(line, BYTES("data:"))) {
        size_t skip = line.size > 5 && line.base[5] == ' ' ? 6 : 5;
        if (stream->data.size != 0)
            buffer_append_byte(&stream->data, '\n');
        buffer_append(&stream->data, bytes_of(line.base + skip, line.size - skip));
    }
}

static void take_lines(struct message_stream *stream)
{
    size_t done = 0;
    for (;;) {
        const uint8_t *from = stream->rest.base + done;
        const uint8_t *end = stream->rest.size == done ? NULL : memchr(from, '\n', stream->rest.size - done);
        if (end == NULL)
            break;
        size_t size = (size_t)(end - from);
        done += size + 1;
        take_line(stream, bytes_of(from, size != 0 && from[size - 1] == '\r' ? size - 1 : size));
    }
    buffer_consume(&stream->rest, done);
}

bool message_stream_take(struct message_stream *stream, CURL *easy, struct bytes piece)
{
    if (!stream->begun) {
        const char *type = NULL;
        stream->begun = true;
        if (curl.easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type != NULL)
            stream->is_stream = strncasecmp(type, "text/event-stream", 17) == 0;
    }
    if (stream->rest.size + stream->data.size + piece.size > MESSAGE_ANSWER_MAX)
        return false;
    buffer_append(&stream->rest, piece);
    if (stream->is_stream)
        take_lines(stream);
    return true;
}

void message_stream_end(struct message_stream *stream)
{
    if (stream->is_stream)
        take_line(stream, BYTES_EMPTY); /* an event whose blank line did not come any more */
    else if (stream->rest.size != 0)
        stream->message(stream->context, buffer_bytes(&stream->rest));
}
