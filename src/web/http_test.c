/* http_test.c: the server by sockets: answers in order, streams, and peers that go away, stall, or send too much. */
#include "web/http.h"

#include <netinet/in.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/testing.h"
#include "web/web.h"

/* What the handlers tell the test. */
static sem_t                 held, closed, drained;
static struct http_exchange *last; /* the exchange that is held or streams; read after `held` */
static struct web           *web;

static void echo(void *context UNUSED, struct http_exchange *exchange)
{
    http_answer(exchange, 200, &(struct http_header){ BYTES("X-Peer"), bytes_of_text(exchange->peer) }, 1,
                exchange->body);
}

static void on_close(struct http_exchange *exchange UNUSED)
{
    last = NULL;
    sem_post(&closed);
}

static void hold(void *context UNUSED, struct http_exchange *exchange)
{
    exchange->on_close = on_close;
    last = exchange;
    sem_post(&held);
}

static void stream(void *context UNUSED, struct http_exchange *exchange)
{
    static const struct http_header type = { BYTES("Content-Type"), BYTES("text/event-stream") };
    exchange->on_close = on_close;
    exchange->user = &drained; /* a stream */
    last = exchange;
    http_stream_begin(exchange, 200, &type, 1);
    http_stream_write(exchange, BYTES("data: 1\n\n"));
    sem_post(&held);
}

static void say_goodbye(void *context UNUSED)
{
    if (last != NULL && last->user == &drained) {
        http_stream_write(last, BYTES("data: bye\n\n"));
        http_stream_end(last);
        last = NULL;
    }
    sem_post(&drained);
}

static struct loop_timer flood_timer;
static void              flood_more(struct loop_timer *timer)
{
    static uint8_t megabyte[64 * 1024];
    if (sem_trywait(&held) != 0)
        return; /* it was cut */
    sem_post(&held);
    http_stream_write(last, bytes_of(megabyte, sizeof megabyte));
    loop_timer_set(http_server_loop(web_http(web)), timer, 0);
}
static void flood_closed(struct http_exchange *exchange UNUSED)
{
    sem_wait(&held);
    last = NULL;
    sem_post(&closed);
}
static void flood(void *context UNUSED, struct http_exchange *exchange)
{
    exchange->on_close = flood_closed;
    last = exchange;
    http_stream_begin(exchange, 200, NULL, 0);
    sem_post(&held);
    loop_timer_init(&flood_timer, flood_more);
    loop_timer_set(http_server_loop(web_http(web)), &flood_timer, 0);
}

static void start(struct http_limits limits)
{
    struct error       error;
    struct web_options options = {
        .address = "127.0.0.1:0", .grpc_address = "", .version = "", .limits = limits
    };
    sem_init(&held, 0, 0);
    sem_init(&closed, 0, 0);
    sem_init(&drained, 0, 0);
    last = NULL;
    CHECK_EQ(web_new(&options, &web, &error), ST_OK);
    struct http_server *http = web_http(web);
    http_server_route(http, &(struct http_route){ .path = "/echo",
                                                  .below = true,
                                                  .methods = HTTP_POST | HTTP_GET | HTTP_OPTIONS,
                                                  .body_size_max = 1 << 20,
                                                  .handle = echo });
    http_server_route(http, &(struct http_route){ .path = "/hold", .methods = HTTP_GET, .handle = hold });
    http_server_route(http,
                      &(struct http_route){
                          .path = "/stream", .methods = HTTP_GET, .handle = stream, .drain = say_goodbye });
    http_server_route(http, &(struct http_route){ .path = "/flood", .methods = HTTP_GET, .handle = flood });
    CHECK_EQ(web_start(web, &error), ST_OK);
}

static int dial(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(web_port(web)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval     bound = { .tv_sec = 20 };
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until `text` has come. */
static void expect(int fd, const char *text)
{
    static char in[8192];
    size_t      size = 0;
    in[0] = '\0';
    while (strstr(in, text) == NULL) {
        ssize_t got = size + 1 < sizeof in ? recv(fd, in + size, 1, 0) : 0;
        if (got != 1)
            fail_msg("expected %s in: %s", text, in);
        in[++size] = '\0';
    }
}

static void expect_end(int fd)
{
    char rest[4096];
    while (recv(fd, rest, sizeof rest, 0) > 0) {
    }
    CHECK_EQ(recv(fd, rest, 1, 0), 0);
    close(fd);
}

static void wait_for(sem_t *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    CHECK_EQ(sem_timedwait(what, &until), 0);
}

TEST(pipelined_requests_are_answered_in_order)
{
    start((struct http_limits){ 0 });
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\noneGET /echo/below "
            "HTTP/1.1\r\nHost: "
            "localhost\r\n\r\nPOST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
            "chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n"
            "0\r\n\r\nOPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    expect(fd, "X-Peer: 127.0.0.1\r\nContent-Length: 3\r\n\r\none");
    expect(fd, "Content-Length: 0\r\n\r\n");
    expect(fd, "Content-Length: 3\r\n\r\ntwo");
    expect(fd, "Connection: close\r\nContent-Length: 0\r\n\r\n");
    expect_end(fd);
    web_free(web);
}

TEST(a_body_in_bytes_and_one_that_waits_to_be_asked_for)
{
    const char *text = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    start((struct http_limits){ 0 });
    int fd = dial();
    for (size_t i = 0; text[i] != '\0'; i++)
        say(fd, (char[]){ text[i], '\0' });
    expect(fd, "\r\n\r\nhello");
    say(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "ok");
    expect(fd, "Content-Length: 2\r\n\r\nok");
    /* One that is too large is not asked for. */
    say(fd,
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n");
    expect(fd, "HTTP/1.1 413 ");
    expect_end(fd);
    web_free(web);
}

TEST(a_peer_that_goes_while_its_answer_is_pending_is_noticed)
{
    start((struct http_limits){ 0 });
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&held);
    close(fd);
    wait_for(&closed);
    /* Also when it has sent so much ahead that nothing more is read from it. */
    static char ahead[64 * 1024];
    memset(ahead, 'x', sizeof ahead - 1);
    fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&held);
    say(fd, ahead);
    close(fd);
    wait_for(&closed);
    web_free(web);
}

struct answer_later {
    struct message message;
};
static void answer_now(struct message *message UNUSED)
{
    http_answer_text(TAKE_PTR(last), 200, "at last");
}

TEST(a_peer_that_only_stops_sending_gets_its_answer)
{
    struct answer_later later = { { NULL, answer_now } };
    start((struct http_limits){ 0 });
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&held);
    shutdown(fd, SHUT_WR);
    expect(fd, "HTTP/1.1 100 Continue\r\n\r\n"); /* asked whether it is there */
    mailbox_post(loop_mailbox(http_server_loop(web_http(web))), &later.message);
    expect(fd, "HTTP/1.1 200 OK\r\n");
    expect(fd, "at last\n");
    expect_end(fd);
    CHECK(sem_trywait(&closed) != 0);
    web_free(web);
}

TEST(streams_come_in_pieces_and_their_readers_going_is_noticed)
{
    start((struct http_limits){ 0 });
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(fd, "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
    wait_for(&held);
    close(fd);
    wait_for(&closed);
    fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    expect(fd, "\r\n\r\ndata: 1\n\n");
    wait_for(&held);
    shutdown(fd, SHUT_WR);
    expect(fd, ":\n");
    CHECK(sem_trywait(&closed) != 0);
    close(fd);
    wait_for(&closed);
    web_free(web);
}

TEST(streams_get_a_last_word)
{
    start((struct http_limits){ 0 });
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&held);
    web_stop(web);
    wait_for(&drained);
    expect(fd, "data: bye\n\n\r\n0\r\n\r\n");
    expect_end(fd);
    web_free(web);
}

TEST(what_does_not_end_by_itself_is_cut_at_the_end_of_a_drain)
{
    start((struct http_limits){ .drain_ns = 50 * NS_PER_MS });
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&held);
    web_stop(web);
    wait_for(&closed);
    expect_end(fd);
    web_free(web);
}

TEST(slow_readers_are_cut)
{
    start((struct http_limits){ .stream_bytes_max = 256 * 1024 });
    int fd = dial();
    say(fd, "GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&closed);
    CHECK_INT(http_server_counters(web_http(web))->streams_open, 0);
    close(fd);
    web_free(web);
}

TEST(slow_senders_are_cut)
{
    start((struct http_limits){
        .head_ns = 50 * NS_PER_MS, .body_ns = 50 * NS_PER_MS, .idle_ns = 50 * NS_PER_MS });
    int silent = dial(), head = dial(), body = dial(), idle = dial();
    say(head, "GET /echo HTTP/1.1\r\nHost:");
    say(body, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx");
    say(idle, "GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(head, "HTTP/1.1 408 ");
    expect(body, "HTTP/1.1 408 ");
    expect(idle, "HTTP/1.1 200 ");
    expect_end(head);
    expect_end(body);
    expect_end(idle);
    expect_end(silent);
    web_free(web);
}

TEST(a_refusal_is_read_though_the_body_was_sent)
{
    static char body[512 * 1024];
    memset(body, 'x', sizeof body - 1);
    start((struct http_limits){ 0 });
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n");
    say(fd, body);
    expect(fd, "HTTP/1.1 413 ");
    shutdown(fd, SHUT_WR);
    expect_end(fd);
    web_free(web);
}

TEST(headers_are_found_whatever_their_case)
{
    struct http_header   headers[] = { { BYTES("ACCEPT"), BYTES("application/json;q=1, Text/Event-Stream") },
                                       { BYTES("x-one"), BYTES("1") },
                                       { BYTES("X-Two"), BYTES("2") },
                                       { BYTES("x-two"), BYTES("3") } };
    struct http_exchange exchange = { .headers = headers, .header_count = ARRAY_COUNT(headers) };
    struct bytes         value;
    CHECK(http_header_has_token(&exchange, "accept", "text/event-stream"));
    CHECK(http_header_has_token(&exchange, "Accept", "application/json"));
    CHECK(!http_header_has_token(&exchange, "Accept", "application"));
    CHECK(http_header_single(&exchange, "X-One", &value));
    CHECK_BYTES(value, BYTES("1"));
    CHECK(!http_header_single(&exchange, "X-Two", &value));
    CHECK(http_header_single(&exchange, "X-Three", &value));
    CHECK_INT(value.size, 0);
    CHECK_INT(http_header_count(&exchange, "x-TWO"), 2);
}
