/* http1.c: requests are read line by line, each line whole. */
#include "web/http1.h"

#include <strings.h>

#define CHUNK_LINE_MAX   256   /* a size and extensions nobody uses */
#define CHUNK_AROUND_MAX 16384 /* beside what grows with the body; trailers are in it */
#define CHUNK_DIGITS_MAX 8

static bool is_token_byte(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

bool http1_is_token(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_token_byte(text.base[i]))
            return false;
    }
    return text.size != 0;
}

static bool same_name(struct bytes name, const char *other)
{
    return name.size == strlen(other) && strncasecmp((const char *)name.base, other, name.size) == 0;
}

static struct bytes part(struct bytes text, size_t from, size_t to)
{
    assert(from <= to && to <= text.size);
    return bytes_of(text.base + from, to - from);
}

/* Where the byte is first, or the size. */
static size_t find(struct bytes text, uint8_t byte)
{
    const uint8_t *at = text.size == 0 ? NULL : memchr(text.base, byte, text.size);
    return at == NULL ? text.size : (size_t)(at - text.base);
}

static struct bytes trim(struct bytes text)
{
    while (text.size != 0 && (text.base[0] == ' ' || text.base[0] == '\t'))
        text = part(text, 1, text.size);
    while (text.size != 0 && (text.base[text.size - 1] == ' ' || text.base[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* The next line without its end. False when it is not complete, or, with `ret_wrong`, when it has a lone CR or LF in it. */
static bool take_line(struct bytes *rest, struct bytes *ret_line, bool *ret_wrong)
{
    size_t end = find(*rest, '\n');
    *ret_wrong = false;
    if (end == rest->size) {
        size_t cr = find(*rest, '\r');
        *ret_wrong = cr + 1 < rest->size; /* a CR that something else follows */
        return false;
    }
    *ret_line = part(*rest, 0, end);
    *rest = part(*rest, end + 1, rest->size);
    *ret_wrong = ret_line->size == 0 || find(*ret_line, '\r') != ret_line->size - 1;
    if (!*ret_wrong)
        ret_line->size--;
    return !*ret_wrong;
}

/* --- the request line --- */

static enum http_method method_of(struct bytes name)
{
    static const struct {
        const char      *name;
        enum http_method method;
    } methods[] = { { "GET", HTTP_GET },    { "HEAD", HTTP_HEAD },     { "POST", HTTP_POST },
                    { "PUT", HTTP_PUT },    { "DELETE", HTTP_DELETE }, { "OPTIONS", HTTP_OPTIONS },
                    { "PATCH", HTTP_PATCH } };
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        if (bytes_equal_text(name, methods[i].name))
            return methods[i].method;
    }
    return HTTP_OTHER;
}

static bool is_host(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.base[i];
        if (byte <= ' ' || byte >= 0x7F || strchr("/?#@\\\"<>^`{|},", byte) != NULL)
            return false;
    }
    return true;
}

/* "/path?query", "http://host/path?query", or "*" with OPTIONS. */
static int parse_target(struct bytes target, struct http1_head *head)
{
    for (size_t i = 0; i < target.size; i++) {
        if (target.base[i] <= ' ' || target.base[i] >= 0x7F || target.base[i] == '#')
            return 400;
    }
    if (bytes_equal_text(target, "*") && head->method == HTTP_OPTIONS) {
        head->path = target;
        return HTTP1_DONE;
    }
    if (target.size > 7 && strncasecmp((const char *)target.base, "http://", 7) == 0) {
        target = part(target, 7, target.size);
        size_t end = MIN(find(target, '/'), find(target, '?'));
        head->host = part(target, 0, end);
        target = part(target, end, target.size);
        if (head->host.size == 0 || !is_host(head->host))
            return 400;
        if (target.size == 0 || target.base[0] == '?') {
            head->path = BYTES("/");
            head->query = target.size == 0 ? BYTES_EMPTY : part(target, 1, target.size);
            return HTTP1_DONE;
        }
    }
    if (target.size == 0 || target.base[0] != '/')
        return 400;
    size_t question = find(target, '?');
    head->path = part(target, 0, question);
    head->query = question == target.size ? BYTES_EMPTY : part(target, question + 1, target.size);
    return HTTP1_DONE;
}

static int parse_request_line(struct bytes line, struct http1_head *head)
{
    size_t       first = find(line, ' ');
    struct bytes method = part(line, 0, first);
    if (first == line.size || !http1_is_token(method) || method.size > 32)
        return 400;
    struct bytes rest = part(line, first + 1, line.size);
    size_t       second = find(rest, ' ');
    if (second == rest.size)
        return 400;
    struct bytes version = part(rest, second + 1, rest.size);
    if (version.size != 8 || memcmp(version.base, "HTTP/", 5) != 0 || version.base[6] != '.')
        return 400;
    if (version.base[5] != '1' || (version.base[7] != '0' && version.base[7] != '1'))
        return 505;
    head->minor = version.base[7] - '0';
    head->method = method_of(method);
    return parse_target(part(rest, 0, second), head);
}

/* --- headers --- */

static int parse_header(struct bytes line, struct http1_head *head)
{
    size_t colon = find(line, ':');
    if (colon == line.size || !http1_is_token(part(line, 0, colon)))
        return 400; /* a folded line begins with a space, which is no token either */
    if (head->header_count == HTTP1_HEADERS_MAX)
        return 431;
    struct http_header *header = &head->headers[head->header_count++];
    header->name = part(line, 0, colon);
    header->value = trim(part(line, colon + 1, line.size));
    for (size_t i = 0; i < header->value.size; i++) {
        uint8_t byte = header->value.base[i];
        if ((byte < ' ' && byte != '\t') || byte == 0x7F)
            return 400;
    }
    return HTTP1_DONE;
}

static int parse_length(struct bytes value, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (value.size == 0)
        return 400;
    if (value.size > 18)
        return 413;
    for (size_t i = 0; i < value.size; i++) {
        if (value.base[i] < '0' || value.base[i] > '9')
            return 400;
        length = length * 10 + (uint64_t)(value.base[i] - '0');
    }
    *ret_length = length;
    return HTTP1_DONE;
}

static bool has_token(struct bytes list, const char *token)
{
    while (list.size != 0) {
        size_t comma = find(list, ',');
        if (same_name(trim(part(list, 0, comma)), token))
            return true;
        list = part(list, MIN(comma + 1, list.size), list.size);
    }
    return false;
}

/* What the headers say about the message itself. */
static int frame(struct http1_head *head)
{
    size_t hosts = 0, lengths = 0, encodings = 0;
    head->close = head->minor == 0;
    for (size_t i = 0; i < head->header_count; i++) {
        struct bytes name = head->headers[i].name, value = head->headers[i].value;
        int          status = HTTP1_DONE;
        if (same_name(name, "host")) {
            hosts++;
            if (!is_host(value))
                status = 400;
            if (head->host.size == 0)
                head->host = value;
        } else if (same_name(name, "content-length")) {
            lengths++;
            status = parse_length(value, &head->length);
        } else if (same_name(name, "transfer-encoding")) {
            encodings++;
            head->chunked = true;
            status = same_name(value, "chunked") ? HTTP1_DONE : 501;
        } else if (same_name(name, "connection")) {
            head->close |= has_token(value, "close");
        } else if (same_name(name, "expect")) {
            head->expects_continue = same_name(value, "100-continue");
            status = head->expects_continue ? HTTP1_DONE : 417;
        }
        if (status != HTTP1_DONE)
            return status;
    }
    if (hosts > 1 || (hosts == 0 && head->minor == 1) || lengths > 1 || encodings > 1 ||
        (lengths != 0 && encodings != 0) || (encodings != 0 && head->minor == 0))
        return 400;
    head->expects_continue &= head->minor == 1;
    return HTTP1_DONE;
}

int http1_parse_head(struct bytes in, size_t size_max, struct http1_head *ret_head, size_t *ret_size)
{
    struct bytes rest = in, line;
    bool         wrong;
    int          status;
    ret_head->header_count = 0;
    ret_head->length = 0;
    ret_head->chunked = ret_head->close = ret_head->expects_continue = false;
    ret_head->host = ret_head->path = ret_head->query = BYTES_EMPTY;
    if (bytes_starts_with(rest, BYTES("\r\n")))
        rest = part(rest, 2, rest.size); /* one empty line after a body was a habit of old clients */
    bool more = !take_line(&rest, &line, &wrong);
    if (wrong)
        return 400;
    if (more)
        return in.size >= size_max ? 431 : HTTP1_MORE;
    status = parse_request_line(line, ret_head);
    while (status == HTTP1_DONE) {
        more = !take_line(&rest, &line, &wrong);
        if (wrong)
            return 400;
        if ((size_t)(rest.base - in.base) > size_max || (more && in.size >= size_max))
            return 431;
        if (more)
            return HTTP1_MORE;
        if (line.size == 0) {
            *ret_size = (size_t)(rest.base - in.base);
            return frame(ret_head);
        }
        status = parse_header(line, ret_head);
    }
    return status;
}

/* --- bodies in chunks --- */

enum {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_END,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    TRAILER,
    TRAILER_END,
    ENDED
};

static int hex(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One byte that is not of the body. False: it may not be there. */
static bool take_around(struct http1_chunks *chunks, uint8_t byte)
{
    switch (chunks->state) {
    case CHUNK_SIZE:
        if (hex(byte) >= 0 && chunks->line < CHUNK_DIGITS_MAX) {
            chunks->left = chunks->left << 4 | (size_t)hex(byte);
            chunks->line++;
            return true;
        }
        if (chunks->line == 0 || (byte != '\r' && byte != ';'))
            return false;
        chunks->state = byte == '\r' ? CHUNK_SIZE_END : CHUNK_EXTENSION;
        return true;
    case CHUNK_EXTENSION:
        if (byte == '\r')
            chunks->state = CHUNK_SIZE_END;
        return byte == '\r' || ((byte >= ' ' || byte == '\t') && ++chunks->line <= CHUNK_LINE_MAX);
    case CHUNK_SIZE_END:
        chunks->state = chunks->left == 0 ? TRAILER : CHUNK_DATA;
        chunks->line = 0;
        return byte == '\n';
    case CHUNK_CR:
        chunks->state = CHUNK_LF;
        return byte == '\r';
    case CHUNK_LF:
        chunks->state = CHUNK_SIZE;
        return byte == '\n';
    case TRAILER: /* they are read and forgotten */
        if (byte == '\r')
            chunks->state = TRAILER_END;
        else
            chunks->line++;
        return byte == '\r' || byte >= ' ' || byte == '\t';
    default:
        assert(chunks->state == TRAILER_END);
        chunks->state = chunks->line == 0 ? ENDED : TRAILER;
        chunks->line = 0;
        return byte == '\n';
    }
}

int http1_chunks_take(struct http1_chunks *chunks, struct bytes in, size_t *ret_used, struct buffer *body,
                      size_t body_size_max)
{
    size_t used = 0;
    while (used < in.size && chunks->state != ENDED) {
        if (chunks->state != CHUNK_DATA) {
            if (!take_around(chunks, in.base[used++]))
                return 400;
            /* Chunks of a byte are lawful; a body that is all wrapping is an attack. */
            if (++chunks->around > CHUNK_AROUND_MAX + 8 * body->size)
                return 431;
            if (chunks->left > body_size_max - MIN(body->size, body_size_max))
                return 413;
            continue;
        }
        size_t piece = MIN(chunks->left, in.size - used);
        buffer_append(body, part(in, used, used + piece));
        used += piece;
        chunks->left -= piece;
        if (chunks->left == 0)
            chunks->state = CHUNK_CR;
    }
    *ret_used = used;
    return chunks->state == ENDED ? HTTP1_DONE : HTTP1_MORE;
}
