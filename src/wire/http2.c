/* http2.c: reading, and the one flush per turn. */
#include "wire/http2.h"

#define READ_SIZE           (64 * 1024)
#define READS_PER_TURN_MAX  4
#define WRITE_SIZE          (128 * 1024)
#define WRITES_PER_TURN_MAX 8
#define LINGER_NS           NS_PER_S

void http2_scratch_init(struct http2_scratch *scratch)
{
    *scratch = (struct http2_scratch){ .read = xmalloc(READ_SIZE) };
    buffer_init(&scratch->write);
}

void http2_scratch_release(struct http2_scratch *scratch)
{
    free(scratch->read);
    buffer_release(&scratch->write);
}

void http2_dirty(struct http2 *http2)
{
    loop_defer(http2->loop, &http2->flush);
}

void http2_kill(struct http2 *http2)
{
    http2->dead = true;
    http2_dirty(http2);
}

/* False when there is nothing more to read in this turn. */
static bool read_once(struct http2 *http2)
{
    struct http2_scratch *scratch = http2->scratch;
    ssize_t               count = transport_read(&http2->transport, scratch->read, READ_SIZE);
    if (count == TRANSPORT_AGAIN)
        return false;
    if (count <= 0) {
        http2_kill(http2);
        return false;
    }
    scratch->bytes_read += (uint64_t)count;
    http2->last_read_ns = loop_now(http2->loop);
    if (http2->first_bytes != NULL) {
        bool (*first_bytes)(struct http2 *, struct bytes) = http2->first_bytes;
        http2->first_bytes = NULL;
        if (!first_bytes(http2, bytes_of(scratch->read, (size_t)count))) {
            http2_kill(http2);
            return false;
        }
    }
    ssize_t taken = nghttp2_session_mem_recv(http2->session, scratch->read, (size_t)count);
    if (taken < 0)
        http2_kill(http2); /* protocol errors are answered by nghttp2; what gets here is beyond an answer */
    else
        http2_dirty(http2);
    return taken == READ_SIZE;
}

/* Reads on after the end, so that the peer gets to see why. */
static void discard(struct http2 *http2)
{
    for (size_t i = 0; i < READS_PER_TURN_MAX; i++) {
        ssize_t count = transport_read(&http2->transport, http2->scratch->read, READ_SIZE);
        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            http2_kill(http2);
            return;
        }
    }
}

static void ready(void *context, unsigned what)
{
    struct http2 *http2 = context;
    if (http2->dead)
        return;
    if (http2->over) {
        discard(http2);
        return;
    }
    if (what & LOOP_WRITE)
        http2_dirty(http2);
    if (what & LOOP_READ) {
        for (size_t i = 0; i < READS_PER_TURN_MAX && read_once(http2); i++)
            ;
    }
}

static void write_failed(struct http2 *http2)
{
    http2->dead = true;
}

static void wrote(struct http2 *http2, size_t size)
{
    http2->scratch->bytes_written += size;
    http2->scratch->writes++;
    if (size > 0)
        http2->last_write_ns = loop_now(http2->loop);
}

/* True when nothing is left over from an earlier turn. */
static bool write_pending(struct http2 *http2)
{
    while (http2->pending_sent < http2->pending.size) {
        ssize_t count = transport_write(&http2->transport, http2->pending.base + http2->pending_sent,
                                        http2->pending.size - http2->pending_sent);
        if (count == TRANSPORT_AGAIN)
            return false;
        if (count < 0) {
            write_failed(http2);
            return false;
        }
        wrote(http2, (size_t)count);
        http2->pending_sent += (size_t)count;
    }
    buffer_release(&http2->pending);
    http2->pending_sent = 0;
    return true;
}

/* Gathers frames until a write is worth it. */
static void gather(struct http2 *http2)
{
    struct buffer *write = &http2->scratch->write;
    buffer_clear(write);
    while (write->size < WRITE_SIZE) {
        const uint8_t *frame;
        ssize_t        size = nghttp2_session_mem_send(http2->session, &frame);
        if (size < 0)
            write_failed(http2);
        if (size <= 0)
            return;
        buffer_append(write, bytes_of(frame, (size_t)size));
    }
}

/* True when the socket took everything and there may be more. */
static bool write_once(struct http2 *http2)
{
    gather(http2);
    struct buffer *write = &http2->scratch->write;
    if (write->size == 0)
        return false;
    ssize_t count = transport_write(&http2->transport, write->base, write->size);
    if (count < TRANSPORT_AGAIN) {
        write_failed(http2);
        return false;
    }
    size_t sent = count == TRANSPORT_AGAIN ? 0 : (size_t)count;
    wrote(http2, sent);
    if (sent == write->size)
        return write->size >= WRITE_SIZE;
    buffer_append(&http2->pending, bytes_of(write->base + sent, write->size - sent));
    return false;
}

static void flush(struct loop_deferred *deferred)
{
    struct http2 *http2 = CONTAINER_OF(deferred, struct http2, flush);
    if (!http2->dead && !http2->over && write_pending(http2)) {
        size_t writes = 0;
        while (!http2->dead && write_once(http2)) {
            if (++writes == WRITES_PER_TURN_MAX) {
                http2_dirty(http2); /* others get their turn first */
                break;
            }
        }
    }
    bool finished = !nghttp2_session_want_read(http2->session) && !nghttp2_session_want_write(http2->session);
    if (!http2->over && (http2->dead || (finished && http2->pending.size == 0))) {
        http2->over = true;
        http2->on_over(http2);
        if (!http2->dead) {
            transport_end(&http2->transport);
            loop_timer_set(http2->loop, &http2->linger, time_add(loop_now(http2->loop), LINGER_NS));
        }
    }
    if (http2->dead) {
        loop_defer_cancel(http2->loop, &http2->flush);
        http2->on_ended(http2); /* frees the connection */
        return;
    }
    loop_watch_set(http2->watch, LOOP_READ | (http2->pending.size > 0 ? LOOP_WRITE : 0u));
}

static void lingered(struct loop_timer *timer)
{
    http2_kill(CONTAINER_OF(timer, struct http2, linger));
}

void http2_init(struct http2 *http2, struct loop *loop, struct http2_scratch *scratch, int fd)
{
    *http2 = (struct http2){ .loop = loop, .scratch = scratch };
    transport_init_plain(&http2->transport, fd);
    loop_deferred_init(&http2->flush, flush);
    loop_timer_init(&http2->linger, lingered);
    buffer_init(&http2->pending);
    http2->last_read_ns = http2->last_write_ns = loop_now(loop);
    http2->watch = loop_watch_new(loop, fd, ready, http2);
    loop_watch_set(http2->watch, LOOP_READ);
}

void http2_release(struct http2 *http2)
{
    loop_defer_cancel(http2->loop, &http2->flush);
    loop_timer_clear(http2->loop, &http2->linger);
    loop_watch_free(http2->watch);
    nghttp2_session_del(http2->session);
    transport_close(&http2->transport);
    buffer_release(&http2->pending);
}
