/* client_negative_test.c: the client against servers that misbehave, as in gRPC's http2 negative cases and beyond. A peer is
 * a thread that accepts one connection after the other: the first is spoiled by the case, the later ones are answered. */
#include "wire/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/testing.h"

#define PREFACE_SIZE    24
#define FRAME_HEAD_SIZE 9
#define ANSWER_SIZE_MAX 1000
#define SHORT_NS        (300 * NS_PER_MS)
#define LONG_NS         (20 * NS_PER_S)
#define STATUS_200      "\x88"
#define STATUS_503                                                                                           \
    "\x08\x03"                                                                                               \
    "503"
#define GRPC_STATUS_(n) "\x00\x0bgrpc-status" n
#define GRPC_OK                                                                                              \
    GRPC_STATUS_("\x01"                                                                                      \
                 "0")
#define REPLY "\0\0\0\0\2hi"

static int             listening = -1, connected = -1;
static pthread_t       peer;
static pthread_mutex_t peer_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t          connections, requests; /* under peer_lock: both sides count and look */
static void (*spoil)(void);
static struct arena arena;

/* --- the peer's side; its calls fail when the client has gone, and then there is nothing left to do --- */

static bool read_all(uint8_t *to, size_t size)
{
    while (size > 0) {
        ssize_t count = recv(connected, to, size, 0);
        if (count <= 0)
            return false;
        to += count;
        size -= (size_t)count;
    }
    return true;
}

static bool send_all(struct bytes bytes)
{
    while (bytes.size > 0) {
        ssize_t count = send(connected, bytes.base, bytes.size, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        bytes = bytes_of(bytes.base + count, bytes.size - (size_t)count);
    }
    return true;
}

static bool send_frame(uint8_t type, uint8_t flags, uint32_t stream, struct bytes payload)
{
    uint8_t head[FRAME_HEAD_SIZE] = { (uint8_t)(payload.size >> 16),
                                      (uint8_t)(payload.size >> 8),
                                      (uint8_t)payload.size,
                                      type,
                                      flags,
                                      (uint8_t)(stream >> 24),
                                      (uint8_t)(stream >> 16),
                                      (uint8_t)(stream >> 8),
                                      (uint8_t)stream };
    return send_all(bytes_of(head, sizeof head)) && send_all(payload);
}

static bool send_reset(uint8_t code)
{
    const uint8_t payload[] = { 0, 0, 0, code };
    return send_frame(NGHTTP2_RST_STREAM, 0, 1, bytes_of(payload, sizeof payload));
}

static bool send_goaway(uint8_t last_stream)
{
    const uint8_t payload[] = { 0, 0, 0, last_stream, 0, 0, 0, 0 };
    return send_frame(NGHTTP2_GOAWAY, 0, 0, bytes_of(payload, sizeof payload));
}

/* One frame of the client's; its kind, or -1 at the end. */
static int take_frame(uint32_t *ret_stream)
{
    uint8_t head[FRAME_HEAD_SIZE], piece[4096];
    if (!read_all(head, sizeof head))
        return -1;
    size_t left = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    while (left > 0) {
        size_t count = MIN(left, sizeof piece);
        if (!read_all(piece, count))
            return -1;
        left -= count;
    }
    *ret_stream = (uint32_t)head[7] << 8 | head[8]; /* the tests have few */
    return head[3];
}

/* Until `count` requests have begun; the stream of the last. */
static uint32_t await_requests(size_t count)
{
    uint32_t stream = 0;
    for (size_t seen = 0; seen < count;) {
        int kind = take_frame(&stream);
        if (kind < 0)
            return 0;
        if (kind != NGHTTP2_HEADERS)
            continue;
        seen++;
        pthread_mutex_lock(&peer_lock);
        requests++;
        pthread_mutex_unlock(&peer_lock);
    }
    return stream;
}

static bool greet(void)
{
    uint8_t preface[PREFACE_SIZE];
    return read_all(preface, sizeof preface) && send_frame(NGHTTP2_SETTINGS, 0, 0, BYTES_EMPTY);
}

static void head_of(uint32_t stream)
{
    send_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, BYTES(STATUS_200));
}

static void trailers(uint32_t stream, struct bytes block)
{
    send_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream, block);
}

static void answer(uint32_t stream)
{
    head_of(stream);
    send_frame(NGHTTP2_DATA, 0, stream, BYTES(REPLY));
    trailers(stream, BYTES(GRPC_OK));
}

/* What the client still says, until it closes. */
static void drain(void)
{
    uint8_t piece[4096];
    while (recv(connected, piece, sizeof piece, 0) > 0)
        ;
}

static void serve_well(void)
{
    if (!greet())
        return;
    for (uint32_t stream = await_requests(1); stream != 0; stream = await_requests(1))
        answer(stream);
}

static void *serve(void *context UNUSED)
{
    int fd;
    while ((fd = accept(listening, NULL, NULL)) >= 0) {
        pthread_mutex_lock(&peer_lock);
        bool first = connections++ == 0;
        connected = fd;
        pthread_mutex_unlock(&peer_lock);
        if (first)
            spoil();
        else
            serve_well();
        pthread_mutex_lock(&peer_lock);
        connected = -1;
        close(fd);
        pthread_mutex_unlock(&peer_lock);
    }
    return NULL;
}

/* --- the test's side --- */

static uint16_t start(void (*how)(void))
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          size = sizeof address;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listening, (struct sockaddr *)&address, size) == 0 && listen(listening, 8) == 0);
    CHECK_EQ(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    connections = requests = 0;
    spoil = how;
    arena_init(&arena, SIZE_MAX);
    CHECK_EQ(pthread_create(&peer, NULL, serve, NULL), 0);
    return ntohs(address.sin_port);
}

static void stop(struct wire_client *client)
{
    wire_client_free(client); /* ends the connection the peer reads of */
    shutdown(listening, SHUT_RDWR);
    pthread_mutex_lock(&peer_lock);
    if (connected >= 0)
        shutdown(connected, SHUT_RDWR);
    pthread_mutex_unlock(&peer_lock);
    pthread_join(peer, NULL);
    close(listening);
    arena_release(&arena);
}

static size_t counted(const size_t *counter)
{
    pthread_mutex_lock(&peer_lock);
    size_t value = *counter;
    pthread_mutex_unlock(&peer_lock);
    return value;
}

static struct wire_client *client_of(uint16_t port, struct loop *loop)
{
    return wire_client_new(&(struct wire_client_options){
        .loop = loop, .host = "127.0.0.1", .port = port, .reply_size_max = ANSWER_SIZE_MAX });
}

static enum status call(struct wire_client *client, struct bytes request, int64_t timeout_ns,
                        struct error *error)
{
    struct bytes reply;
    enum status status = wire_client_call(client, BYTES("/t/t"), request, NULL, 0, timeout_ns, &arena, &reply,
                                          error);
    if (status == ST_OK)
        CHECK_BYTES(reply, BYTES("hi"));
    return status;
}

/* One call that ends so, with one request; the next one is answered, on a new connection when `again` says so. */
static void try_case(void (*how)(void), enum status wanted, const char *words, size_t again)
{
    struct wire_client *client = client_of(start(how), NULL);
    struct error        error = { 0 };
    CHECK_INT(call(client, BYTES("once"), LONG_NS, &error), wanted);
    if (words != NULL && strstr(error.message, words) == NULL)
        fail_msg("%s: not in: %s", words, error.message);
    CHECK_EQ(counted(&connections), 1);
    CHECK(counted(&requests) <= 1); /* what may have been done is not sent again */
    CHECK_INT(call(client, BYTES("next"), LONG_NS, &error), ST_OK);
    CHECK_EQ(counted(&connections), again);
    stop(client);
}

/* --- how servers end a call --- */

/* The rest of a connection whose first request had its end. */
static void answer_the_next(void)
{
    uint32_t stream = await_requests(1);
    if (stream != 0)
        answer(stream);
    drain();
}

static uint8_t reset_code;
enum moment { BEFORE_HEAD, AFTER_HEAD, DURING_DATA, AFTER_DATA };
static enum moment reset_at;

static void reset_then(void)
{
    if (!greet() || await_requests(1) == 0)
        return;
    if (reset_at >= AFTER_HEAD)
        head_of(1);
    if (reset_at >= DURING_DATA)
        send_frame(NGHTTP2_DATA, 0, 1, reset_at == AFTER_DATA ? BYTES(REPLY) : BYTES("\0\0\0\0\2h"));
    send_reset(reset_code);
    answer_the_next();
}

TEST(a_reset_at_any_moment_is_the_calls_end)
{
    static const struct {
        uint8_t     code;
        enum status status;
    } codes[] = { { NGHTTP2_NO_ERROR, ST_INTERNAL },
                  { NGHTTP2_INTERNAL_ERROR, ST_INTERNAL },
                  { NGHTTP2_REFUSED_STREAM, ST_UNAVAILABLE },
                  { NGHTTP2_CANCEL, ST_CANCELLED },
                  { NGHTTP2_ENHANCE_YOUR_CALM, ST_RESOURCE_EXHAUSTED } };
    for (reset_at = BEFORE_HEAD; reset_at <= AFTER_DATA; reset_at++) {
        for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
            reset_code = codes[i].code;
            try_case(reset_then, codes[i].status, "the server", 1);
        }
    }
}

static const struct ending {
    struct bytes head, data, trailer; /* no trailer: the data end the stream */
    enum status  status;
    const char  *words;
} *ending;

static void end_so(void)
{
    if (!greet() || await_requests(1) == 0)
        return;
    bool trailer = ending->trailer.size > 0, data = ending->data.size > 0;
    send_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | (data || trailer ? 0 : NGHTTP2_FLAG_END_STREAM), 1,
               ending->head);
    if (data)
        send_frame(NGHTTP2_DATA, trailer ? 0 : NGHTTP2_FLAG_END_STREAM, 1, ending->data);
    if (trailer)
        trailers(1, ending->trailer);
    answer_the_next();
}

TEST(answers_that_are_none)
{
    static const struct ending endings[] = {
        { BYTES(STATUS_200), BYTES(REPLY), BYTES("\x00\x01x\x01y"), ST_INTERNAL, "no status" },
        { BYTES(STATUS_200), BYTES(REPLY), BYTES_EMPTY, ST_INTERNAL, "no status" },
        { BYTES(STATUS_200), BYTES_EMPTY, BYTES_EMPTY, ST_INTERNAL, "no status" },
        { BYTES(STATUS_200 GRPC_OK), BYTES_EMPTY, BYTES_EMPTY, ST_INTERNAL, "not one plain message" },
        { BYTES(STATUS_200), BYTES("\0\0\0\0\3hi"), BYTES(GRPC_OK), ST_INTERNAL, "not one plain message" },
        { BYTES(STATUS_200), BYTES(REPLY REPLY), BYTES(GRPC_OK), ST_INTERNAL, "not one plain message" },
        { BYTES(STATUS_200), BYTES("\1\0\0\0\2hi"), BYTES(GRPC_OK), ST_INTERNAL, "not one plain message" },
        { BYTES(STATUS_200), BYTES("\0\0"), BYTES(GRPC_OK), ST_INTERNAL, "not one plain message" },
        { BYTES(STATUS_503), BYTES("busy"), BYTES_EMPTY, ST_UNAVAILABLE, "HTTP status 503" },
        { BYTES(STATUS_200 GRPC_STATUS_("\x01"
                                        "5")),
          BYTES_EMPTY, BYTES_EMPTY, ST_NOT_FOUND, NULL },
        { BYTES(STATUS_200 GRPC_STATUS_("\x02"
                                        "16")),
          BYTES_EMPTY, BYTES_EMPTY, ST_UNAUTHENTICATED, NULL },
        { BYTES(STATUS_200 GRPC_STATUS_("\x02"
                                        "17")),
          BYTES_EMPTY, BYTES_EMPTY, ST_UNKNOWN, NULL },
        { BYTES(STATUS_200 GRPC_STATUS_("\x02"
                                        "1/")),
          BYTES_EMPTY, BYTES_EMPTY, ST_UNKNOWN, NULL },
        { BYTES(STATUS_200 GRPC_STATUS_("\x02"
                                        "-0")),
          BYTES_EMPTY, BYTES_EMPTY, ST_UNKNOWN, NULL },
        { BYTES(STATUS_200), BYTES(REPLY),
          BYTES(GRPC_STATUS_("\x02"
                             "ok")),
          ST_UNKNOWN, NULL },
    };
    for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
        ending = &endings[i];
        try_case(end_so, ending->status, ending->words, 1);
    }
}

static void too_large(void)
{
    static const uint8_t large[ANSWER_SIZE_MAX + 100];
    if (!greet() || await_requests(1) == 0)
        return;
    head_of(1);
    send_frame(NGHTTP2_DATA, 0, 1, bytes_of(large, sizeof large));
    trailers(1, BYTES(GRPC_OK));
    answer_the_next();
}

TEST(an_answer_that_is_too_large)
{
    try_case(too_large, ST_RESOURCE_EXHAUSTED, "too large", 1);
}

/* --- servers that go away --- */

static void goaway_before(void)
{
    if (greet() && await_requests(1) != 0 && send_goaway(0))
        drain();
}

static void goaway_and_answer(void)
{
    if (!greet() || await_requests(1) == 0)
        return;
    send_goaway(1);
    answer(1);
    drain();
}

static void close_at_once(void) {}

static void close_after_request(void)
{
    if (greet())
        (void)await_requests(1);
}

static void half_close(void)
{
    if (!greet() || await_requests(1) == 0)
        return;
    head_of(1);
    shutdown(connected, SHUT_WR);
    drain();
}

static void abort_connection(void)
{
    const struct linger now = { 1, 0 };
    if (greet() && await_requests(1) != 0)
        (void)setsockopt(connected, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

TEST(servers_that_go_away)
{
    try_case(goaway_before, ST_UNAVAILABLE, NULL, 2);
    try_case(goaway_and_answer, ST_OK, NULL, 2);
    try_case(close_at_once, ST_UNAVAILABLE, "127.0.0.1", 2);
    try_case(close_after_request, ST_UNAVAILABLE, "lost the connection", 2);
    try_case(half_close, ST_UNAVAILABLE, "lost the connection", 2);
    try_case(abort_connection, ST_UNAVAILABLE, "lost the connection", 2);
}

/* --- servers that do not speak HTTP/2, or not well --- */

static struct bytes spoken;

static void speak(void)
{
    uint8_t preface[PREFACE_SIZE];
    if (read_all(preface, sizeof preface) && send_all(spoken)) {
        shutdown(connected, SHUT_WR);
        drain();
    }
}

static void speak_after_request(void)
{
    if (greet() && await_requests(1) != 0 && send_all(spoken))
        drain();
}

TEST(servers_that_speak_something_else)
{
    static const struct bytes first[] = {
        BYTES("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        BYTES("\x15\x03\x03\0\2\2\x46"),           /* TLS: a fatal alert */
        BYTES("\x16\x03\x03\0\x7A\2\0\0\x76\3\3"), /* TLS: a hello */
        BYTES("\0\0\1\1\5\0\0\0\1" STATUS_200),    /* an answer before the settings */
        BYTES("\0\0\1\4\0\0\0\0\0x"),              /* settings of an odd size */
        BYTES("SSH-2.0-OpenSSH_9.2\r\n"),
        BYTES("\0\0\0\0\0\0\0\0\0"),
    };
    for (size_t i = 0; i < ARRAY_COUNT(first); i++) {
        spoken = first[i];
        try_case(speak, ST_UNAVAILABLE, "127.0.0.1", 2);
    }
}

TEST(frames_that_break_the_rules)
{
    static const struct bytes frames[] = {
        BYTES("\0\x40\1\0\0\0\0\0\1"), /* a frame above the largest size */
        BYTES("\0\0\0\4\1\0\0\0\0"
              "\0\0\4\5\4\0\0\0\1\0\0\0\2"),               /* a push, after it agreed to send none */
        BYTES("\0\0\1\0\0\0\0\0\0x"),                      /* data of no stream */
        BYTES("\0\0\1\1\4\0\0\0\5\x88"),                   /* headers of a stream that was never opened */
        BYTES("\0\0\4\x8\0\0\0\0\0\0\0\0\0"),              /* a window that grows by nothing */
        BYTES("\0\0\1\1\4\0\0\0\1\xFF"),                   /* headers that cannot be unpacked */
        BYTES("\0\0\1\1\0\0\0\0\1\x88\0\0\0\6\0\0\0\0\0"), /* a frame between headers and their rest */
        BYTES("\0\0\1\6\0\0\0\0\0x"),                      /* a ping of an odd size */
    };
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        spoken = frames[i];
        try_case(speak_after_request, ST_UNAVAILABLE, "breaks HTTP/2", 2);
    }
}

/* Pings whose answers are never read: what is kept for the peer must stay bounded. */
static void flood(void)
{
    if (!greet() || await_requests(1) == 0)
        return;
    for (size_t i = 0; i < 2000000 && send_frame(NGHTTP2_PING, 0, 0, BYTES("12345678")); i++)
        ;
}

TEST(a_flood_of_pings_ends_the_connection)
{
    try_case(flood, ST_UNAVAILABLE, NULL, 2);
}

static void noise(void)
{
    if (!greet() || await_requests(1) == 0)
        return;
    for (size_t i = 0; i < 300; i++) {
        send_frame(NGHTTP2_PING, 0, 0, BYTES("12345678"));
        send_frame(0xFA, 0xFF, i % 2 == 0 ? 0 : 1, BYTES("from the future"));
        if (i == 100)
            head_of(1);
        else if (i > 100)
            send_frame(NGHTTP2_DATA, 0, 1, BYTES_EMPTY);
    }
    send_frame(NGHTTP2_DATA, 0, 1, BYTES(REPLY));
    trailers(1, BYTES(GRPC_OK));
    answer_the_next();
}

TEST(pings_and_unknown_frames_around_an_answer)
{
    try_case(noise, ST_OK, NULL, 1);
}

/* --- servers that do nothing --- */

static void say_nothing(void)
{
    drain();
}

static void never_read(void)
{
    struct pollfd end = { .fd = connected };
    (void)poll(&end, 1, -1); /* until the test ends this side, too */
}

static void window_of_zero(void)
{
    uint8_t preface[PREFACE_SIZE];
    if (read_all(preface, sizeof preface) && send_frame(NGHTTP2_SETTINGS, 0, 0, BYTES("\0\4\0\0\0\0")))
        drain();
}

static void head_only(void)
{
    if (greet() && await_requests(1) != 0) {
        head_of(1);
        drain();
    }
}

static void no_streams(void)
{
    uint8_t preface[PREFACE_SIZE];
    if (read_all(preface, sizeof preface) && send_frame(NGHTTP2_SETTINGS, 0, 0, BYTES("\0\3\0\0\0\0")))
        drain();
}

TEST(servers_that_do_nothing_until_the_deadline)
{
    static void (*const idle[])(void) = { say_nothing, never_read, window_of_zero, head_only, no_streams };
    static const uint8_t large[1 << 20];
    for (size_t i = 0; i < ARRAY_COUNT(idle); i++) {
        struct wire_client *client = client_of(start(idle[i]), NULL);
        struct error        error = { 0 };
        CHECK_INT(call(client, bytes_of(large, sizeof large), SHORT_NS, &error), ST_DEADLINE_EXCEEDED);
        CHECK_INT(call(client, BYTES("small"), SHORT_NS, &error), ST_DEADLINE_EXCEEDED);
        CHECK(counted(&requests) <= 1);
        stop(client);
    }
}

/* --- one stream at a time --- */

static struct wire_client_call waiting[3];
static enum status             outcomes[ARRAY_COUNT(waiting)];
static size_t                  done_count;
static struct loop            *calling;

static void one_done(struct wire_client_call *one, enum status status, struct bytes reply UNUSED,
                     const struct error *error UNUSED)
{
    outcomes[one - waiting] = status;
    if (++done_count == ARRAY_COUNT(waiting))
        loop_stop(calling);
}

static void run_three(void (*how)(void))
{
    calling = loop_new(&(struct loop_options){ 0 });
    done_count = 0;
    struct wire_client *client = client_of(start(how), calling);
    for (size_t i = 0; i < ARRAY_COUNT(waiting); i++) {
        waiting[i] = (struct wire_client_call){
            .path = BYTES("/t/t"), .request = BYTES("r"), .timeout_ns = LONG_NS, .done = one_done
        };
        wire_client_start(client, &waiting[i]);
    }
    loop_run(calling);
    stop(client);
    loop_free(calling);
}

static bool one_at_a_time(void)
{
    uint8_t preface[PREFACE_SIZE];
    return read_all(preface, sizeof preface) && send_frame(NGHTTP2_SETTINGS, 0, 0, BYTES("\0\3\0\0\0\1"));
}

static void answer_each(void)
{
    if (!one_at_a_time())
        return;
    for (uint32_t stream = await_requests(1); stream != 0; stream = await_requests(1))
        answer(stream);
}

/* All three may have left before the limit was known; then there is nothing that waits, and the goaway refuses two. */
static void leave_after_one(void)
{
    if (!one_at_a_time() || await_requests(1) == 0)
        return;
    send_goaway(1);
    answer(1);
    drain();
}

TEST(calls_above_the_peers_limit_wait)
{
    run_three(answer_each);
    for (size_t i = 0; i < ARRAY_COUNT(outcomes); i++)
        CHECK_INT(outcomes[i], ST_OK);
}

TEST(calls_that_wait_end_with_a_goaway)
{
    run_three(leave_after_one);
    CHECK_INT(outcomes[0], ST_OK);
    CHECK_INT(outcomes[1], ST_UNAVAILABLE);
    CHECK_INT(outcomes[2], ST_UNAVAILABLE);
}
