/* nexus_http.h: what Nexus says over HTTP: payloads as content, failures as JSON, links as headers. Everything is made in the
 * arena given. */
#ifndef API_NEXUS_HTTP_H
#define API_NEXUS_HTTP_H
#include "base/arena.h"
#include "base/outbound.h"
#include "pb/all.pb.h"

#define NEXUS_HEADERS_MAX 64

struct nexus_message {
    struct outbound_header headers[NEXUS_HEADERS_MAX];
    size_t                 header_count;
    struct bytes           body;
};
void nexus_add_header(struct nexus_message *message, const char *name, struct bytes value);
/* The body and its content-type, from an encoded Payload; base NULL: there is none. */
void nexus_set_payload(struct nexus_message *message, struct bytes payload, struct arena *arena);
/* The body from an encoded Failure; `text`: its message if it has none of its own. */
void nexus_set_failure(struct nexus_message *message, struct bytes failure, struct arena *arena);
/* An encoded common.Link as a nexus-link header; of workflow events only. */
void nexus_add_link(struct nexus_message *message, struct bytes link, struct arena *arena);
/* "2026-11-23T16:21:36.692549963Z", and "Mon, 23 Nov 2026 16:21:36 GMT". */
struct bytes nexus_time(int64_t wall_ns, struct arena *arena);
struct bytes nexus_http_date(int64_t wall_ns, struct arena *arena);
/* How a handler's HTTP status reads as the type of a Nexus handler error: "BAD_REQUEST". NULL: it is none.
 * `ret_retryable`: whether such errors are tried again. */
const char *nexus_error_type(int status, bool *ret_retryable);
#endif
