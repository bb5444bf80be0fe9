/* http1_test.c: what is a request and what is refused; a head or body that comes in pieces is the same as one that comes whole. */
#include "web/http1.h"

#include <stdio.h>

#include "base/testing.h"

#define HEAD_MAX 4096

static int parse(const char *text, struct http1_head *head, size_t *ret_size)
{
    return http1_parse_head(bytes_of_text(text), HEAD_MAX, head, ret_size);
}

TEST(a_request_is_taken_apart)
{
    static struct http1_head head;
    size_t                   size = 0;
    const char              *text =
        "\r\nPOST /mcp/weather?a=b&c HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 12\r\n"
        "X-Odd:\t two words \t\r\nConnection: keep-alive, Close\r\nExpect: 100-continue\r\n\r\nBODY";
    CHECK_INT(parse(text, &head, &size), HTTP1_DONE);
    CHECK_INT(size, strlen(text) - 4);
    CHECK_INT(head.method, HTTP_POST);
    CHECK_INT(head.minor, 1);
    CHECK_BYTES(head.path, BYTES("/mcp/weather"));
    CHECK_BYTES(head.query, BYTES("a=b&c"));
    CHECK_BYTES(head.host, BYTES("localhost:1"));
    CHECK_BYTES(head.headers[2].value, BYTES("two words"));
    CHECK_INT(head.header_count, 5);
    CHECK_INT(head.length, 12);
    CHECK(head.close && head.expects_continue && !head.chunked);
    CHECK_INT(parse("GET http://h.example:80?q HTTP/1.1\r\nHost: other\r\n\r\n", &head, &size), HTTP1_DONE);
    CHECK_BYTES(head.host, BYTES("h.example:80"));
    CHECK_BYTES(head.path, BYTES("/"));
    CHECK_BYTES(head.query, BYTES("q"));
    CHECK_INT(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &head, &size), HTTP1_DONE);
    CHECK_INT(parse("GET / HTTP/1.0\r\n\r\n", &head, &size), HTTP1_DONE);
    CHECK(head.close);
}

static const struct {
    const char *text;
    int         status;
} refusals[] = {
    { "GET / HTTP/1.1\r\n\r\n", 400 },                       /* no Host */
    { "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 }, /* two */
    { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\nHost: a\n\n", 400 }, /* bare LF */
    { "GET / HTTP/1.1\r\nHost: a\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400 }, /* bare CR */
    { "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400 }, /* obs-fold */
    { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },           /* space before the colon */
    { "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400 },
    { "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
    { "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /\xC3\xA4 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /\r\n\r\n", 400 }, /* HTTP/0.9 */
    { "GET / http/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
    { "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505 },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
    /* what request smuggling is made of */
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413 },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501 },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417 },
};

TEST(what_two_readers_could_read_differently_is_refused)
{
    static struct http1_head head;
    size_t                   size;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        int status = parse(refusals[i].text, &head, &size);
        if (status != refusals[i].status)
            fail_msg("%d, not %d: %s", status, refusals[i].status, refusals[i].text);
    }
}

TEST(a_head_in_pieces_waits_for_the_rest)
{
    static struct http1_head head;
    size_t                   size = 0;
    const char              *text = "GET /a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    for (size_t i = 0; i < strlen(text); i++)
        CHECK_INT(http1_parse_head(bytes_of(text, i), HEAD_MAX, &head, &size), HTTP1_MORE);
    CHECK_INT(parse(text, &head, &size), HTTP1_DONE);
}

TEST(heads_that_are_too_large_are_refused)
{
    static struct http1_head head;
    static char              text[HEAD_MAX + 256];
    size_t                   size;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "GET /", 5);
    CHECK_INT(parse(text, &head, &size), 431);
    int used = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 0; i < HTTP1_HEADERS_MAX; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "X: y\r\n");
    snprintf(text + used, sizeof text - (size_t)used, "\r\n");
    CHECK_INT(parse(text, &head, &size), 431);
}

static int take(const char *text, size_t step, struct buffer *body, size_t *ret_left)
{
    struct http1_chunks chunks = { 0 };
    size_t              size = strlen(text), at = 0, used = 0;
    int                 status = HTTP1_MORE;
    buffer_clear(body);
    while (at < size && status == HTTP1_MORE) {
        status = http1_chunks_take(&chunks, bytes_of(text + at, MIN(step, size - at)), &used, body, 64);
        at += used;
    }
    *ret_left = size - at;
    return status;
}

TEST(bodies_in_chunks)
{
    static const struct {
        const char *text, *body;
        int         status;
    } cases[] = {
        { "5\r\nhello\r\n0\r\n\r\nNEXT", "hello", HTTP1_DONE },
        { "5;a=\"b\"\r\nhello\r\n00000001\r\n!\r\n0\r\nX: y\r\nZ: \r\n\r\nNEXT", "hello!", HTTP1_DONE },
        { "A\r\n0123456789\r\n0\r\n", "0123456789", HTTP1_MORE },
        { "000000001\r\n", "", 400 },
        { "5\nhello\r\n", "", 400 },
        { "5\r\nhello0\r\n", "hello", 400 },
        { "5 \r\nhello", "", 400 },
        { "\r\n", "", 400 },
        { "-1\r\n", "", 400 },
        { "0x1\r\n", "", 400 },
        { "5;a\nb\r\nhello", "", 400 },
        { "0\r\nX: y\nZ\r\n\r\n", "", 400 },
        { "41\r\n", "", 413 },
        { "FFFFFFFF\r\n", "", 413 },
    };
    struct buffer body = { 0 };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (size_t step = 1; step < 40; step++) {
            size_t left;
            int    status = take(cases[i].text, step, &body, &left);
            if (status != cases[i].status)
                fail_msg("%d, not %d: %s", status, cases[i].status, cases[i].text);
            if (status == HTTP1_DONE)
                CHECK_INT(left, 4);
            if (status == HTTP1_DONE || status == HTTP1_MORE)
                CHECK_BYTES(buffer_bytes(&body), bytes_of_text(cases[i].body));
        }
    }
    buffer_release(&body);
}

TEST(a_body_that_is_all_wrapping_is_refused)
{
    struct http1_chunks chunks = { 0 };
    struct buffer       body = { 0 };
    size_t              used;
    int                 status = http1_chunks_take(&chunks, BYTES("0\r\n"), &used, &body, 64);
    for (size_t i = 0; i < 10000 && status == HTTP1_MORE; i++)
        status = http1_chunks_take(&chunks, BYTES("Trailer: again\r\n"), &used, &body, 64);
    CHECK_INT(status, 431);
    buffer_release(&body);
}
