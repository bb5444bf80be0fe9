/* fuzz_http1.c: a stranger's bytes against the HTTP/1.1 server, over a socket pair.
 *
 * Input: a byte says how large the pieces are in which the rest arrives. What must hold: no crash, no leak; a head that was taken is
 * well-formed and comes out the same however it was cut; every exchange is answered or closed; a peer takes no more memory than
 * MEMORY_MAX, and nothing is left of it.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "web/http_internal.h"

#define MEMORY_MAX     ((size_t)1 << 20)
#define INPUT_SIZE_MAX ((size_t)64 << 10) /* fits the socket's buffer, so that writing never waits */
#define HEAD_SIZE_MAX  4096
#define BODY_SIZE_MAX  16384

static struct loop         *loop;
static struct http_server  *server;
static struct loop_deferred step;
static const uint8_t       *input;
static size_t               input_left, piece_size;
static int                  peer;

static void on_close(struct http_exchange *exchange UNUSED) {}

static void check_request(const struct http_exchange *exchange)
{
    FUZZ_REQUIRE(exchange->path.size != 0 && (exchange->path.base[0] == '/'), "a path that is none");
    FUZZ_REQUIRE(exchange->body.size <= BODY_SIZE_MAX, "a body of %zu bytes", exchange->body.size);
    for (size_t i = 0; i < exchange->header_count; i++)
        FUZZ_REQUIRE(http1_is_token(exchange->headers[i].name) &&
                         http_header_value_is_safe(exchange->headers[i].value),
                     "a header with a line end in it");
    FUZZ_REQUIRE(http_header_count(exchange, "Content-Length") +
                         http_header_count(exchange, "Transfer-Encoding") <=
                     1,
                 "two lengths");
}

/* The path's length chooses what becomes of it. */
static void handle(void *context UNUSED, struct http_exchange *exchange)
{
    static const struct http_header type = { BYTES("Content-Type"), BYTES("text/event-stream") };
    check_request(exchange);
    switch (exchange->path.size % 4) {
    case 0:
        exchange->on_close = on_close; /* for ever */
        return;
    case 1:
        http_stream_begin(exchange, 200, &type, 1);
        http_stream_write(exchange, BYTES("data: 1\n\n"));
        http_stream_end(exchange);
        return;
    default:
        http_answer(exchange, 200, NULL, 0, exchange->body);
    }
}

/* Once a turn: the next piece; after the last one the peer goes; when the server has noticed, the run is over. */
static void next_piece(struct loop_deferred *deferred)
{
    char thrown_away[4096];
    FUZZ_REQUIRE(http_server_counters(server)->bytes_held <= MEMORY_MAX, "one peer takes %zu bytes",
                 http_server_counters(server)->bytes_held);
    while (peer >= 0 && recv(peer, thrown_away, sizeof thrown_away, MSG_DONTWAIT) > 0)
        ;
    if (input_left > 0) {
        size_t  part = MIN(piece_size, input_left);
        ssize_t sent = send(peer, input, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        input += part;
        input_left = sent == (ssize_t)part ? input_left - part : 0;
    } else if (peer >= 0) {
        close(peer);
        peer = -1;
    } else if (http_server_counters(server)->connections_open == 0) {
        loop_stop(loop);
        return;
    }
    loop_defer(loop, deferred);
}

static void setup(void)
{
    struct error error;
    loop = loop_new(&(struct loop_options){ 0 });
    if (http_server_new(&(struct http_server_options){ .loop = loop,
                                                       .host = "127.0.0.1",
                                                       .limits = { .head_size_max = HEAD_SIZE_MAX } },
                        &server, &error) != ST_OK)
        panic("%s", error.message);
    http_server_route(server, &(struct http_route){ .path = "/",
                                                    .methods = HTTP_GET | HTTP_POST | HTTP_OPTIONS,
                                                    .body_size_max = BODY_SIZE_MAX,
                                                    .checks_host = true,
                                                    .handle = handle });
    http_server_route(server, &(struct http_route){ .path = "/mcp",
                                                    .below = true,
                                                    .methods = HTTP_GET | HTTP_POST,
                                                    .body_size_max = BODY_SIZE_MAX,
                                                    .handle = handle });
    loop_deferred_init(&step, next_piece);
}

/* A prefix of a head is either not decided yet or refused, and never taken with another meaning. */
static void check_prefixes(struct bytes text)
{
    static struct http1_head whole, part;
    size_t                   whole_size = 0, part_size = 0;
    int                      status = http1_parse_head(text, HEAD_SIZE_MAX, &whole, &whole_size);
    size_t                   cut = text.size / 2;
    int early = http1_parse_head(bytes_of(text.base, cut), HEAD_SIZE_MAX, &part, &part_size);
    if (early == HTTP1_DONE)
        FUZZ_REQUIRE(status == HTTP1_DONE && part_size == whole_size, "%d after it was taken", status);
    else if (early != HTTP1_MORE)
        FUZZ_REQUIRE(status != HTTP1_DONE && status != HTTP1_MORE, "taken after %d", early);
    if (status == HTTP1_DONE)
        FUZZ_REQUIRE(whole_size <= text.size &&
                         bytes_equal(bytes_of(text.base + whole_size - 2, 2), BYTES("\r\n")),
                     "a head that does not end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    if (size < 1 || size > INPUT_SIZE_MAX)
        return -1;
    if (loop == NULL)
        setup();
    check_prefixes(bytes_of(data + 1, size - 1));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        panic("no sockets: %s", strerror(errno));
    peer = ends[1];
    piece_size = (size_t)data[0] * 64 + 1;
    input = data + 1;
    input_left = size - 1;
    http_adopt(server, ends[0]);
    loop_defer(loop, &step);
    loop_run(loop);
    FUZZ_REQUIRE(http_server_counters(server)->exchanges_open == 0, "an exchange was left");
    FUZZ_REQUIRE(http_server_counters(server)->bytes_held == 0, "bytes were left");
    return 0;
}
