/* fuzz_wire.c: a stranger's bytes against the gRPC server, over a socket pair.
 *
 * Input: the first byte says whether the client's preface and an empty SETTINGS are put in front (so that not every input
 * must find them), the second how large the pieces are in which the rest arrives. What must hold: no crash, no leak, every
 * call is answered; a connection takes no more memory than MEMORY_MAX, and after the peer is gone nothing of it is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "io/loop.h"
#include "wire/server.h"

/* Of one peer with the limits below, whatever it sends: 64 KiB of requests, and streams that wait. */
#define MEMORY_MAX     (4 * 1024 * 1024)
#define MEMORY_SLACK   (1024 * 1024) /* what stays: buffers that are used again */
#define INPUT_SIZE_MAX (64 * 1024)   /* fits the socket's buffer, so that writing never waits */

static struct loop         *loop;
static struct wire_server  *server;
static struct loop_deferred step;
static const uint8_t       *input;
static size_t               input_left, piece_size;
static int                  peer;

/* The sanitizer's count; 0 in builds without one. */
size_t        __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
static size_t memory_before;
static size_t memory_taken(void)
{
    size_t now = __sanitizer_get_current_allocated_bytes == NULL ? 0
                                                                 : __sanitizer_get_current_allocated_bytes();
    return now - MIN(now, memory_before);
}

static void on_gone(struct call *call)
{
    struct error error;
    (void)error_set(&error, ST_CANCELLED, "gone");
    call_fail(call, &error);
}

/* The path's length chooses what becomes of a call. */
static void on_call(void *context, struct call *call)
{
    struct error error;
    (void)context;
    switch (call->path.size % 3) {
    case 0:
        call_reply(call, call->request);
        break;
    case 1:
        (void)error_set(&error, ST_NOT_FOUND, "%.*s", BYTES_FMT(call->request));
        error.detail_type = call->path;
        error.detail = call->request;
        call_fail(call, &error);
        break;
    default:
        call->on_gone = on_gone;
        break;
    }
}

/* Once a turn: the next piece; after the last one the peer goes; when the server has noticed, the run is over. */
static void next_piece(struct loop_deferred *deferred)
{
    char thrown_away[4096];
    FUZZ_REQUIRE(memory_taken() <= MEMORY_MAX, "one peer takes %zu bytes", memory_taken());
    while (peer >= 0 && recv(peer, thrown_away, sizeof thrown_away, MSG_DONTWAIT) > 0)
        ;
    if (input_left > 0) {
        size_t  part = MIN(piece_size, input_left);
        ssize_t sent = send(peer, input, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        input += part;
        input_left = sent == (ssize_t)part ? input_left - part : 0; /* the server has closed */
    } else if (peer >= 0) {
        close(peer);
        peer = -1;
    } else if (wire_server_counters(server)->connections_open == 0) {
        loop_stop(loop);
        return;
    }
    loop_defer(loop, deferred);
}

static void setup(void)
{
    loop = loop_new(&(struct loop_options){ 0 });
    server = wire_server_new(&(struct wire_server_options){ .loop = loop,
                                                            .on_call = on_call,
                                                            .limits = { .message_size_max = 16 * 1024,
                                                                        .request_bytes_max = 64 * 1024,
                                                                        .gzip_reply_size_min = 64 } });
    wire_server_set_serving(server, "", true);
    loop_deferred_init(&step, next_piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t opening[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    int                  ends[2];
    if (size < 2 || size > INPUT_SIZE_MAX)
        return -1;
    if (loop == NULL)
        setup();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        panic("no sockets: %s", strerror(errno));
    if (data[0] % 4 != 0 && send(ends[1], opening, sizeof opening - 1, MSG_NOSIGNAL) < 0)
        panic("cannot send: %s", strerror(errno));
    peer = ends[1];
    memory_before = 0;
    memory_before = memory_taken();
    piece_size = (size_t)data[1] * 64 + 1;
    input = data + 2;
    input_left = size - 2;
    wire_server_adopt(server, ends[0]);
    loop_defer(loop, &step);
    loop_run(loop);
    if (wire_server_counters(server)->calls_open != 0)
        panic("a call was left");
    FUZZ_REQUIRE(memory_taken() <= MEMORY_SLACK, "%zu bytes are left of a peer", memory_taken());
    return 0;
}
