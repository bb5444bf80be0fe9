/* http_answer.c: status lines, headers, bodies and streams. */
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "web/http_internal.h"

#define POLICY                                                                                               \
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static struct http_connection *connection_of(struct http_exchange *exchange)
{
    return CONTAINER_OF(exchange, struct http_connection, exchange);
}

static const char *reason_of(int status)
{
    static const struct {
        int         status;
        const char *reason;
    } reasons[] = { { 200, "OK" },
                    { 202, "Accepted" },
                    { 204, "No Content" },
                    { 304, "Not Modified" },
                    { 400, "Bad Request" },
                    { 401, "Unauthorized" },
                    { 403, "Forbidden" },
                    { 404, "Not Found" },
                    { 405, "Method Not Allowed" },
                    { 406, "Not Acceptable" },
                    { 408, "Request Timeout" },
                    { 409, "Conflict" },
                    { 413, "Content Too Large" },
                    { 415, "Unsupported Media Type" },
                    { 417, "Expectation Failed" },
                    { 429, "Too Many Requests" },
                    { 431, "Request Header Fields Too Large" },
                    { 500, "Internal Server Error" },
                    { 501, "Not Implemented" },
                    { 503, "Service Unavailable" },
                    { 505, "HTTP Version Not Supported" } };
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Status";
}

bool http_header_value_is_safe(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        if ((value.base[i] < ' ' && value.base[i] != '\t') || value.base[i] == 0x7F)
            return false;
    }
    return true;
}

/* What is queued first is what the peer's slowness is measured from. */
static void queue_begins(struct http_connection *connection)
{
    if (connection->out.size == connection->out_sent)
        connection->send_due = time_add(loop_now(connection->server->loop),
                                        connection->server->limits.send_ns);
    http_connection_work(connection);
}

static void append_date(struct http_server *server, struct buffer *out)
{
    int64_t   now_s = clock_wall_ns(&clock_system) / NS_PER_S;
    time_t    time = (time_t)now_s;
    struct tm parts;
    if (now_s != server->date_s && gmtime_r(&time, &parts) != NULL) {
        server->date_s = now_s;
        if (strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &parts) == 0)
            server->date[0] = '\0';
    }
    buffer_printf(out, "Date: %s\r\n", server->date);
}

static void append_head(struct http_connection *connection, int status, const struct http_header *headers,
                        size_t header_count)
{
    struct buffer *out = &connection->out;
    assert(status >= 200 && status <= 599);
    queue_begins(connection);
    buffer_printf(out, "HTTP/1.%d %d %s\r\n", connection->minor_0 ? 0 : 1, status, reason_of(status));
    append_date(connection->server, out);
    for (size_t i = 0; i < header_count; i++) {
        assert(http1_is_token(headers[i].name) && http_header_value_is_safe(headers[i].value));
        buffer_append(out, headers[i].name);
        buffer_append_text(out, ": ");
        buffer_append(out, headers[i].value);
        buffer_append_text(out, "\r\n");
    }
    if (connection->server->draining)
        connection->keep = false;
    if (!connection->keep)
        buffer_append_text(out, "Connection: close\r\n");
}

static void append_answer(struct http_connection *connection, int status, const struct http_header *headers,
                          size_t header_count, struct bytes body)
{
    append_head(connection, status, headers, header_count);
    if (status != 204 && status != 304)
        buffer_printf(&connection->out, "Content-Length: %zu\r\n", body.size);
    else
        assert(body.size == 0);
    buffer_append_text(&connection->out, "\r\n");
    if (!connection->is_head)
        buffer_append(&connection->out, body);
    connection->stage = STAGE_SENDING;
    connection->deadline = TIME_NEVER;
}

void http_answer(struct http_exchange *exchange, int status, const struct http_header *headers,
                 size_t header_count, struct bytes body)
{
    struct http_connection *connection = connection_of(exchange);
    assert(connection->stage == STAGE_HELD);
    connection->server->counters.exchanges_open--;
    append_answer(connection, status, headers, header_count, body);
}

static const struct http_header careful[] = {
    { BYTES("Content-Type"), BYTES("text/plain; charset=utf-8") },
    { BYTES("Cache-Control"), BYTES("no-store") },
    { BYTES("Content-Security-Policy"), BYTES(POLICY) },
    { BYTES("X-Content-Type-Options"), BYTES("nosniff") },
    { BYTES("Referrer-Policy"), BYTES("no-referrer") },
};

void http_answer_page(struct http_exchange *exchange, const char *type, struct bytes body)
{
    struct http_header headers[ARRAY_COUNT(careful)];
    memcpy(headers, careful, sizeof careful);
    headers[0].value = bytes_of_text(type);
    http_answer(exchange, 200, headers, ARRAY_COUNT(headers), body);
}

void http_answer_text(struct http_exchange *exchange, int status, const char *text)
{
    struct buffer body = { 0 };
    buffer_append_text(&body, text);
    buffer_append_byte(&body, '\n');
    http_answer(exchange, status, careful, ARRAY_COUNT(careful), buffer_bytes(&body));
    buffer_release(&body);
}

void http_refuse(struct http_connection *connection, int status, const char *text, const char *allow)
{
    struct http_header headers[ARRAY_COUNT(careful) + 1];
    struct buffer      body = { 0 };
    size_t             count = ARRAY_COUNT(careful);
    assert(connection->stage == STAGE_HEAD || connection->stage == STAGE_BODY);
    memcpy(headers, careful, sizeof careful);
    if (allow != NULL)
        headers[count++] = (struct http_header){ BYTES("Allow"), bytes_of_text(allow) };
    buffer_append_text(&body, text);
    buffer_append_byte(&body, '\n');
    /* With a body under way nobody knows where the next request begins. */
    if (connection->stage == STAGE_HEAD &&
        (connection->chunked || connection->body_left != 0 || connection->head.size == 0))
        connection->keep = false;
    if (connection->stage == STAGE_BODY)
        connection->keep = false;
    connection->server->counters.refused++;
    append_answer(connection, status, headers, count, buffer_bytes(&body));
    buffer_release(&body);
}

/* --- streams --- */

void http_stream_begin(struct http_exchange *exchange, int status, const struct http_header *headers,
                       size_t header_count)
{
    struct http_connection *connection = connection_of(exchange);
    assert(connection->stage == STAGE_HELD);
    connection->raw = connection->minor_0;
    if (connection->raw)
        connection->keep = false;
    connection->events = false;
    append_head(connection, status, headers, header_count);
    for (size_t i = 0; i < header_count; i++)
        connection->events |= headers[i].name.size == 12 &&
                              strncasecmp((const char *)headers[i].name.base, "content-type", 12) == 0 &&
                              bytes_starts_with(headers[i].value, BYTES("text/event-stream"));
    if (!connection->raw)
        buffer_append_text(&connection->out, "Transfer-Encoding: chunked\r\n");
    buffer_append_text(&connection->out, "\r\n");
    connection->stage = STAGE_STREAM;
    connection->server->counters.streams_open++;
    http_request_release(connection);
}

void http_stream_write(struct http_exchange *exchange, struct bytes piece)
{
    struct http_connection *connection = connection_of(exchange);
    struct http_server     *server = connection->server;
    assert(connection->stage == STAGE_STREAM);
    if (connection->cut || connection->is_head || piece.size == 0)
        return;
    queue_begins(connection);
    if (!connection->raw)
        buffer_printf(&connection->out, "%zx\r\n", piece.size);
    buffer_append(&connection->out, piece);
    if (!connection->raw)
        buffer_append_text(&connection->out, "\r\n");
    http_connection_count(connection);
    connection->cut = http_stream_pending(exchange) > server->limits.stream_bytes_max ||
                      server->counters.bytes_held > server->limits.bytes_max;
}

size_t http_stream_pending(const struct http_exchange *exchange)
{
    const struct http_connection *connection = CONTAINER_OF((struct http_exchange *)(uintptr_t)exchange,
                                                            struct http_connection, exchange);
    return connection->out.size - connection->out_sent;
}

void http_stream_end(struct http_exchange *exchange)
{
    struct http_connection *connection = connection_of(exchange);
    assert(connection->stage == STAGE_STREAM);
    queue_begins(connection);
    if (!connection->raw && !connection->is_head)
        buffer_append_text(&connection->out, "0\r\n\r\n");
    connection->server->counters.exchanges_open--;
    connection->server->counters.streams_open--;
    connection->stage = STAGE_SENDING;
}
