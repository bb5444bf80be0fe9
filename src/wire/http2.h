/* http2.h: one HTTP/2 connection over one transport: bytes in to nghttp2, bytes out once per turn. Both halves embed it.
 *
 * Owns:    the transport, the nghttp2 session, and what the socket did not take yet.
 * Thread:  the loop's.
 * Limits:  while the socket takes nothing more, nothing more is asked of nghttp2: so at most one flush (about 128 KiB) is
 *          pending here, and replies wait in their streams, where they are counted. No read buffer is kept while idle.
 */
#ifndef WIRE_HTTP2_H
#define WIRE_HTTP2_H
#include <nghttp2/nghttp2.h>

#include "base/base.h"
#include "base/buffer.h"
#include "io/loop.h"
#include "io/transport.h"

/* Shared by all connections of a server or client. */
struct http2_scratch {
    uint8_t      *read;
    struct buffer write; /* what one flush gathers; data callbacks may append to it too */
    uint64_t      bytes_read, bytes_written, writes;
};
void http2_scratch_init(struct http2_scratch *scratch);
void http2_scratch_release(struct http2_scratch *scratch);

struct http2 {
    struct loop          *loop;
    struct http2_scratch *scratch;
    struct transport      transport;
    struct loop_watch    *watch;
    struct loop_deferred  flush;
    nghttp2_session      *session;
    struct buffer         pending; /* refused by the socket */
    size_t                pending_sent;
    int64_t               last_read_ns, last_write_ns;
    struct loop_timer     linger;
    bool                  dead; /* the end of this turn closes it */
    bool                  over; /* nothing is sent or understood any more */
    /* Sees the first bytes that arrive, before nghttp2; false: they were dealt with, close. May be NULL. */
    bool (*first_bytes)(struct http2 *http2, struct bytes bytes);
    /* Once, at the end of a turn: no stream lives any more. */
    void (*on_over)(struct http2 *http2);
    /* Once, at the end of that turn or of a later one: the owner releases. In between what the peer still sends is read
     * and thrown away, or the kernel would answer it with a reset that overtakes our last frames. */
    void (*on_ended)(struct http2 *http2);
};
/* The session is set by the caller afterwards, before the loop turns. */
void http2_init(struct http2 *http2, struct loop *loop, struct http2_scratch *scratch, int fd);
void http2_release(struct http2 *http2);
/* Something was submitted to the session: flush at the end of the turn. */
void http2_dirty(struct http2 *http2);
/* Ends the connection at the end of the turn, whatever is unsent. */
void http2_kill(struct http2 *http2);
#endif
