/* http1.h: the grammar of HTTP/1.1 requests, strictly: a head, and a body in chunks.
 *
 * Owns:    nothing but the array of headers; the slices point into the bytes that were given.
 * Thread:  any. Pure: bytes in, facts out.
 * Strict:  what two readers could understand differently is refused (request smuggling): lines end with CRLF and nothing else,
 *          no folded lines, no space before a colon, one Content-Length of digits or one Transfer-Encoding "chunked" and never
 *          both, one Host.
 */
#ifndef WEB_HTTP1_H
#define WEB_HTTP1_H
#include "web/http.h"

#define HTTP1_HEADERS_MAX 100
/* Neither an answer nor a refusal yet. */
#define HTTP1_MORE 0
#define HTTP1_DONE 200

struct http1_head {
    enum http_method   method;
    int                minor; /* of the version: 0 or 1 */
    struct bytes       path, query;
    struct bytes       host; /* of an absolute target, else of the header; with its port; may be empty */
    struct http_header headers[HTTP1_HEADERS_MAX];
    size_t             header_count;
    uint64_t           length; /* of the body; 0 when chunked */
    bool               chunked, close, expects_continue;
};
/* `in` begins with a request. HTTP1_MORE: its head is not complete. HTTP1_DONE: `ret_size` bytes were the head. Otherwise the status
 * to refuse it with. */
int http1_parse_head(struct bytes in, size_t size_max, struct http1_head *ret_head,
                     size_t *ret_size) MUST_USE;

/* A body in chunks; zero is its beginning. */
struct http1_chunks {
    int    state;
    size_t left;   /* of the chunk */
    size_t line;   /* bytes of the present line */
    size_t around; /* bytes that were not the body's */
};
/* Takes what it can of `in` (`ret_used`) and appends what is of the body. HTTP1_MORE, HTTP1_DONE, or the status of the refusal. */
int http1_chunks_take(struct http1_chunks *chunks, struct bytes in, size_t *ret_used, struct buffer *body,
                      size_t body_size_max) MUST_USE;
/* Whether a text is an RFC 9110 token. */
bool http1_is_token(struct bytes text);
#endif
