/* http_connection.c: the life of a connection: reading, handing over, sending, and noticing that the peer is gone. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "web/http_internal.h"
#include "web/web_internal.h"

#define LINGER_NS     NS_PER_S
#define LOOK_FIRST_NS (10 * NS_PER_MS)
#define LOOK_LAST_NS  NS_PER_S
/* What is read in one turn; further requests wait in the kernel. */
#define READS_PER_TURN_MAX 4
/* A silent connection whose peer is gone for good is found by the kernel after about this long. */
#define ALIVE_AFTER_S 60

static int64_t now_of(const struct http_connection *connection)
{
    return loop_now(connection->server->loop);
}

static bool is_handed_over(const struct http_connection *connection)
{
    return connection->stage == STAGE_HELD || connection->stage == STAGE_STREAM;
}

static size_t unsent(const struct http_connection *connection)
{
    return connection->out.size - connection->out_sent;
}

/* While an answer is pending nothing is read beyond this, so that nobody fills memory by sending ahead. */
static bool wants_to_read(const struct http_connection *connection)
{
    return !connection->ended && (connection->stage == STAGE_LINGER ||
                                  connection->in.size < connection->server->limits.head_size_max);
}

/* Says to the loop what is waited for now. */
static void rearm(struct http_connection *connection)
{
    int64_t due = connection->deadline;
    bool    blind = is_handed_over(connection) && !wants_to_read(connection);
    if (!blind)
        connection->look_due = TIME_NEVER;
    else if (connection->look_due == TIME_NEVER) {
        connection->look_ns = LOOK_FIRST_NS;
        connection->look_due = time_add(now_of(connection), connection->look_ns);
    }
    due = MIN(due, connection->look_due);
    if (unsent(connection) != 0)
        due = MIN(due, connection->send_due);
    loop_timer_set(connection->server->loop, &connection->timer, due);
    loop_watch_set(connection->watch, (wants_to_read(connection) ? LOOP_READ : 0u) |
                                          (unsent(connection) != 0 ? LOOP_WRITE : 0u));
    http_connection_count(connection);
}

void http_connection_count(struct http_connection *connection)
{
    size_t held = connection->in.size + unsent(connection) + connection->body.size + connection->head.size;
    connection->server->counters.bytes_held += held - connection->held;
    connection->held = held;
}

void http_connection_work(struct http_connection *connection)
{
    loop_defer(connection->server->loop, &connection->work);
}

void http_request_release(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;
    buffer_release(&connection->head);
    buffer_release(&connection->body);
    free(connection->headers);
    connection->headers = NULL;
    exchange->headers = NULL;
    exchange->header_count = 0;
    exchange->host = exchange->path = exchange->query = exchange->body = BYTES_EMPTY;
}

/* --- the end --- */

void http_connection_close(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    assert(!connection->dispatching);
    if (is_handed_over(connection)) {
        struct http_exchange *exchange = &connection->exchange;
        server->counters.exchanges_open--;
        server->counters.streams_open -= connection->stage == STAGE_STREAM;
        connection->stage = STAGE_LINGER;
        if (exchange->on_close != NULL)
            exchange->on_close(exchange);
    }
    loop_watch_free(connection->watch);
    loop_timer_clear(server->loop, &connection->timer);
    loop_defer_cancel(server->loop, &connection->work);
    transport_close(&connection->transport);
    list_remove(&connection->link);
    http_request_release(connection);
    buffer_release(&connection->in);
    buffer_release(&connection->out);
    connection->out_sent = 0;
    http_connection_count(connection);
    assert(connection->held == 0);
    free(connection);
    server->counters.connections_open--;
    if (server->full && server->listener != NULL) {
        server->full = false;
        listener_pause(server->listener, false);
    }
    if (server->draining && list_empty(&server->connections))
        loop_defer(server->loop, &server->drained_later);
}

void http_connection_leave(struct http_connection *connection)
{
    connection->keep = false;
    if (connection->stage == STAGE_HEAD && connection->in.size == 0 && unsent(connection) == 0)
        http_connection_close(connection);
}

/* Our side is over; what the peer still sends is read for a moment, since closing with unread bytes would reset the connection and
 * could take the answer away from who has not read it yet. False: closed already. */
static bool linger(struct http_connection *connection)
{
    if (connection->ended) {
        http_connection_close(connection);
        return false;
    }
    transport_end(&connection->transport);
    connection->stage = STAGE_LINGER;
    connection->deadline = time_add(now_of(connection), LINGER_NS);
    buffer_release(&connection->in);
    return true;
}

/* --- sending --- */

/* False: the connection was closed. */
static bool flush(struct http_connection *connection)
{
    while (unsent(connection) != 0) {
        ssize_t size = transport_write(&connection->transport, connection->out.base + connection->out_sent,
                                       unsent(connection));
        if (size == TRANSPORT_AGAIN)
            break;
        if (size < 0) {
            http_connection_close(connection);
            return false;
        }
        connection->out_sent += (size_t)size;
        connection->send_due = time_add(now_of(connection), connection->server->limits.send_ns);
    }
    if (unsent(connection) == 0) {
        buffer_release(&connection->out); /* thousands are idle; few send at once */
        connection->out_sent = 0;
    } else if (connection->out_sent > connection->out.size / 2) {
        buffer_consume(&connection->out, connection->out_sent);
        connection->out_sent = 0;
    }
    return true;
}

/* --- requests --- */

static const struct http_route *find_route(const struct http_server *server, struct bytes path)
{
    const struct http_route *best = NULL;
    for (size_t i = 0; i < server->route_count; i++) {
        const struct http_route *route = &server->routes[i];
        struct bytes             own = bytes_of_text(route->path);
        bool                     fits = bytes_equal(own, path) ||
                    (route->below && bytes_starts_with(path, own) && path.base[own.size] == '/');
        if (fits && (best == NULL || strlen(best->path) < own.size))
            best = route;
    }
    return best;
}

/* A browser always says whom it means to talk to; who says nothing (a prober of HTTP/1.0) is no browser. */
static bool may_ask(const struct http_server *server, const struct http1_head *head)
{
    if (!server->loopback)
        return true;
    /* An absolute target decides where a proxy would go, but the header is what a browser was made to say. */
    for (size_t i = 0; i < head->header_count; i++) {
        struct bytes host = head->headers[i].value;
        if (head->headers[i].name.size == 4 &&
            strncasecmp((const char *)head->headers[i].name.base, "host", 4) == 0 && host.size != 0 &&
            !http_host_is_loopback(host))
            return false;
    }
    return head->host.size == 0 || http_host_is_loopback(head->host);
}

static void print_allowed(unsigned methods, char *text, size_t size)
{
    static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH" };
    size_t                   used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if ((methods & 1u << i) != 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ", ", names[i]);
    }
}

/* False: it was refused. */
static bool check_request(struct http_connection *connection, const struct http1_head *head)
{
    struct http_server *server = connection->server;
    char                allowed[64];
    connection->route = find_route(server, head->path);
    if (!may_ask(server, head) && (connection->route == NULL || !connection->route->checks_host)) {
        http_refuse(connection, 403, "this port answers to names of the loopback only", NULL);
    } else if (connection->route == NULL) {
        http_refuse(connection, 404, "there is nothing here; see /", NULL);
    } else if (head->length > connection->route->body_size_max) {
        http_refuse(connection, 413, "the body is too large", NULL);
    } else if ((connection->route->methods & head->method) == 0) {
        print_allowed(connection->route->methods, allowed, sizeof allowed);
        char text[96];
        snprintf(text, sizeof text, "only %s here", allowed);
        http_refuse(connection, 405, text, allowed);
    } else if (server->counters.bytes_held + head->length > server->limits.bytes_max) {
        http_refuse(connection, 503, "too much is under way; try again", NULL);
    } else {
        return true;
    }
    return false;
}

/* The head's bytes become the exchange's; what follows them stays. */
static void keep_head(struct http_connection *connection, const struct http1_head *head, size_t size)
{
    struct http_exchange *exchange = &connection->exchange;
    const uint8_t        *old = connection->in.base;
    connection->head = connection->in;
    buffer_init(&connection->in);
    buffer_append(&connection->in, bytes_of(connection->head.base + size, connection->head.size - size));
    connection->head.size = size;
    assert(connection->head.base == old);
    connection->headers = xcalloc(head->header_count + 1, sizeof *connection->headers);
    memcpy(connection->headers, head->headers, head->header_count * sizeof *head->headers);
    exchange->method = head->method;
    exchange->host = head->host;
    exchange->path = head->path;
    exchange->query = head->query;
    exchange->headers = connection->headers;
    exchange->header_count = head->header_count;
    exchange->peer = connection->peer;
    exchange->server = connection->server;
    exchange->on_close = NULL;
    exchange->user = NULL;
}

/* True: something was done, look again. */
static bool advance_head(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http1_head  *head = &server->head;
    size_t              size = 0;
    if (connection->in.size == 0 ||
        (!connection->new_line && connection->in.size < server->limits.head_size_max))
        return false;
    connection->new_line = false;
    int status = http1_parse_head(buffer_bytes(&connection->in), server->limits.head_size_max, head, &size);
    if (status == HTTP1_MORE)
        return false;
    server->counters.requests++;
    if (status != HTTP1_DONE) {
        connection->minor_0 = connection->is_head = connection->keep = false;
        http_refuse(connection, status, "this is no request that is understood here", NULL);
        return true;
    }
    connection->minor_0 = head->minor == 0;
    connection->is_head = head->method == HTTP_HEAD;
    connection->keep = !head->close && !server->draining;
    connection->chunked = head->chunked;
    connection->body_left = head->length;
    connection->chunks = (struct http1_chunks){ 0 };
    keep_head(connection, head, size);
    if (!check_request(connection, head))
        return true;
    connection->stage = STAGE_BODY;
    connection->deadline = time_add(now_of(connection), server->limits.body_ns);
    if (head->expects_continue && (head->chunked || head->length != 0) && connection->in.size == 0) {
        buffer_append_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
        connection->send_due = time_add(now_of(connection), server->limits.send_ns);
        http_connection_work(connection);
    }
    return true;
}

static void hand_over(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;
    exchange->body = buffer_bytes(&connection->body);
    connection->stage = STAGE_HELD;
    connection->deadline = TIME_NEVER;
    connection->server->counters.exchanges_open++;
    connection->dispatching = true;
    connection->route->handle(connection->route->context, exchange);
    connection->dispatching = false;
}

static bool advance_body(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    size_t              used = 0;
    int                 status = HTTP1_DONE;
    if (connection->chunked) {
        status = http1_chunks_take(&connection->chunks, buffer_bytes(&connection->in), &used,
                                   &connection->body, connection->route->body_size_max);
        if (status == HTTP1_MORE && server->counters.bytes_held > server->limits.bytes_max)
            status = 503;
    } else {
        used = (size_t)MIN(connection->body_left, (uint64_t)connection->in.size);
        buffer_append(&connection->body, bytes_of(connection->in.base, used));
        connection->body_left -= used;
        if (connection->body_left != 0)
            status = HTTP1_MORE;
    }
    if (status != HTTP1_MORE && status != HTTP1_DONE) {
        http_refuse(connection, status, "this body is not taken", NULL);
        return true;
    }
    buffer_consume(&connection->in, used);
    if (status == HTTP1_MORE)
        return false;
    connection->new_line = connection->in.size != 0;
    hand_over(connection);
    return true;
}

/* All of an answer has left. False: the connection was closed. */
static bool next_request(struct http_connection *connection)
{
    http_request_release(connection);
    if (!connection->keep || connection->server->draining)
        return linger(connection);
    if (connection->ended && connection->in.size == 0) {
        http_connection_close(connection);
        return false;
    }
    connection->stage = STAGE_HEAD;
    connection->new_line = connection->in.size != 0;
    connection->deadline = time_add(now_of(connection), connection->in.size == 0
                                                            ? connection->server->limits.idle_ns
                                                            : connection->server->limits.head_ns);
    return true;
}

/* Goes as far as what has come allows. At most one request is handed over, so that one connection cannot hold the turn; the answer
 * brings it back here. */
static void advance(struct http_connection *connection)
{
    bool moved = true;
    while (moved) {
        if (connection->stage == STAGE_HEAD)
            moved = advance_head(connection);
        else if (connection->stage == STAGE_BODY)
            moved = advance_body(connection);
        else
            moved = false;
    }
    if (connection->ended && connection->stage == STAGE_HEAD && connection->in.size == 0) {
        http_connection_close(connection);
        return;
    }
    /* Whoever sends no more while a request is not complete can only be told so. */
    if (connection->ended && (connection->stage == STAGE_HEAD || connection->stage == STAGE_BODY)) {
        connection->keep = false;
        http_refuse(connection, 400, "the request is not complete", NULL);
    }
    rearm(connection);
}

static void work(struct loop_deferred *deferred)
{
    struct http_connection *connection = CONTAINER_OF(deferred, struct http_connection, work);
    if (connection->cut) {
        connection->server->counters.cut++;
        http_connection_close(connection);
        return;
    }
    if (!flush(connection))
        return;
    if (connection->stage == STAGE_SENDING && unsent(connection) == 0 && !next_request(connection))
        return;
    advance(connection);
}

/* --- what the peer does --- */

/* Whether a peer that sends no more still listens is found out by saying something that changes nothing. */
static void probe(struct http_connection *connection)
{
    if (unsent(connection) != 0)
        return;
    if (connection->stage == STAGE_STREAM && connection->events)
        http_stream_write(&connection->exchange, BYTES(":\n"));
    else if (connection->stage == STAGE_HELD && !connection->minor_0)
        buffer_append_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
    connection->send_due = time_add(now_of(connection), connection->server->limits.send_ns);
    http_connection_work(connection);
}

static void peer_ended(struct http_connection *connection)
{
    connection->ended = true;
    probe(connection);
}

static void note_arrival(struct http_connection *connection, size_t size)
{
    struct http_server *server = connection->server;
    if (connection->stage == STAGE_LINGER)
        return;
    if (connection->stage == STAGE_HEAD && connection->in.size == 0)
        connection->deadline = MIN(connection->deadline,
                                   time_add(now_of(connection), server->limits.head_ns));
    connection->new_line |= memchr(server->scratch, '\n', size) != NULL;
    buffer_append(&connection->in, bytes_of(server->scratch, size));
}

static void ready(void *context, unsigned what)
{
    struct http_connection *connection = context;
    struct http_server     *server = connection->server;
    if ((what & LOOP_WRITE) != 0)
        http_connection_work(connection);
    if ((what & LOOP_READ) == 0)
        return;
    for (size_t i = 0; i < READS_PER_TURN_MAX && wants_to_read(connection); i++) {
        ssize_t size = transport_read(&connection->transport, server->scratch, sizeof server->scratch);
        if (size == TRANSPORT_AGAIN)
            break;
        if (size == TRANSPORT_BROKEN || (size == TRANSPORT_END && connection->stage == STAGE_LINGER)) {
            http_connection_close(connection);
            return;
        }
        if (size == TRANSPORT_END)
            peer_ended(connection);
        else
            note_arrival(connection, (size_t)size);
        if (connection->stage == STAGE_BODY)
            break; /* it is used up before more is read */
    }
    advance(connection);
}

/* A look at a peer that is not read from. True: it is gone, and closed here. */
static bool look(struct http_connection *connection)
{
    struct pollfd state = { .fd = connection->transport.fd, .events = POLLRDHUP };
    if (poll(&state, 1, 0) > 0) {
        if ((state.revents & (POLLHUP | POLLERR)) != 0) {
            http_connection_close(connection);
            return true;
        }
        if (!connection->ended && (state.revents & POLLRDHUP) != 0)
            peer_ended(connection);
        else if (connection->ended && connection->look_ns == LOOK_LAST_NS)
            probe(connection);
    }
    connection->look_ns = MIN(connection->look_ns * 2, LOOK_LAST_NS);
    connection->look_due = time_add(now_of(connection), connection->look_ns);
    return false;
}

static void timer_fired(struct loop_timer *timer)
{
    struct http_connection *connection = CONTAINER_OF(timer, struct http_connection, timer);
    int64_t                 now = now_of(connection);
    if (unsent(connection) != 0 && now >= connection->send_due) {
        connection->server->counters.cut++;
        http_connection_close(connection);
        return;
    }
    if (now >= connection->look_due && look(connection))
        return;
    if (now >= connection->deadline) {
        bool idle = connection->stage == STAGE_HEAD && connection->in.size == 0;
        if (connection->stage != STAGE_HEAD && connection->stage != STAGE_BODY) {
            http_connection_close(connection);
            return;
        }
        if (idle) {
            if (!linger(connection))
                return;
        } else {
            http_refuse(connection, 408, "the request took too long", NULL);
        }
    }
    rearm(connection);
}

/* --- the beginning --- */

static void set_peer(struct http_connection *connection, int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t               size = sizeof address;
    int                     on = 1, after = ALIVE_AFTER_S, every = 10, count = 3;
    /* Not every family has these; nothing but the time until a lost peer is noticed hangs on them. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after, sizeof after);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0)
        return;
    if (address.ss_family == AF_INET)
        (void)inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, connection->peer, PEER_SIZE);
    else if (address.ss_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, connection->peer, PEER_SIZE);
}

void http_adopt(void *context, int fd)
{
    struct http_server     *server = context;
    struct http_connection *connection = xcalloc(1, sizeof *connection);
    connection->server = server;
    connection->stage = STAGE_HEAD;
    connection->look_due = connection->send_due = TIME_NEVER;
    connection->deadline = time_add(loop_now(server->loop), server->limits.head_ns);
    transport_init_plain(&connection->transport, fd);
    set_peer(connection, fd);
    loop_timer_init(&connection->timer, timer_fired);
    loop_deferred_init(&connection->work, work);
    list_append(&server->connections, &connection->link);
    connection->watch = loop_watch_new(server->loop, fd, ready, connection);
    server->counters.connections_open++;
    server->counters.connections_accepted++;
    if (server->counters.connections_open >= server->limits.connections_max) {
        server->full = true;
        listener_pause(server->listener, true);
    }
    rearm(connection);
}
