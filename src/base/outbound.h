/* outbound.h: an HTTP request that leaves the server, as api hands it to whoever sends (src/outbound in the server, a script in
 * tests).
 *
 * Owns:    nothing: all slices live until `done`, the answer's for as long as `done` runs.
 * Thread:  the lane's that sends it, from send to done.
 * Ends:    `done` is called exactly once, later than send and never from inside it; not at all after a cancel.
 * Limits:  as many at once as api has workers; OUTBOUND_ANSWER_MAX bytes of an answer (or answer_max) are kept, the rest is dropped.
 */
#ifndef BASE_OUTBOUND_H
#define BASE_OUTBOUND_H
#include "base/base.h"
#include "base/list.h"

#define OUTBOUND_ANSWER_MAX (64U << 10)
#define OUTBOUND_URL_MAX    (8U << 10)

struct outbound_header {
    struct bytes name, value;
};
struct outbound {
    /* in */
    struct bytes                  url;
    const struct outbound_header *headers;
    size_t                        header_count;
    struct bytes                  body;   /* of a POST */
    bool                          is_get; /* without a body */
    int64_t                       timeout_ns;
    size_t                        answer_max; /* bytes of the answer that are kept; 0: OUTBOUND_ANSWER_MAX */
    void (*done)(struct outbound *outbound);
    /* answer */
    int          status;    /* of HTTP; 0: there was no answer, and error says why */
    int          retryable; /* what the header nexus-request-retryable says: 1, 0, or -1: nothing */
    struct bytes answer;    /* the body, as far as it is kept */
    struct error error;
    void        *transfer; /* the sender's */
};

struct lane;
struct outbound_sender {
    void (*send)(void *context, struct lane *lane, struct outbound *outbound);
    /* `done` will not be called. Harmless for one that is not under way. */
    void (*cancel)(void *context, struct lane *lane, struct outbound *outbound);
    void *context;
};
#endif
