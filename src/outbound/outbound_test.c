/* outbound_test.c: requests to a server of the test's own, on a thread that answers what the test says. */
#include "outbound/outbound.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/testing.h"

/* Takes one connection, reads one request and answers; without an answer it waits until the peer closes. */
struct peer {
    pthread_t     thread;
    int           listener;
    char          url[64];
    struct bytes  answer;
    struct buffer request;
};

static size_t body_size(const struct buffer *request)
{
    static const char name[] = "Content-Length: ";
    const char       *text = (const char *)request->base, *found = strstr(text, name);
    return found == NULL ? 0 : strtoul(found + sizeof name - 1, NULL, 10);
}

static void read_request(struct peer *peer, int fd)
{
    for (;;) {
        uint8_t *room = buffer_reserve(&peer->request, 65536);
        ssize_t  count = read(fd, room, 65535);
        if (count <= 0)
            return;
        peer->request.size += (size_t)count;
        peer->request.base[peer->request.size] = '\0';
        const char *end = strstr((const char *)peer->request.base, "\r\n\r\n");
        if (end != NULL && peer->request.size >= (size_t)(end + 4 - (const char *)peer->request.base) +
                                                     body_size(&peer->request))
            return;
    }
}

static void *peer_main(void *context)
{
    struct peer *peer = context;
    int          fd = accept(peer->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    read_request(peer, fd);
    for (size_t sent = 0; sent < peer->answer.size;) {
        ssize_t count = send(fd, peer->answer.base + sent, peer->answer.size - sent, MSG_NOSIGNAL);
        if (count <= 0)
            break;
        sent += (size_t)count;
    }
    uint8_t ignored[256];
    while (peer->answer.size == 0 && read(fd, ignored, sizeof ignored) > 0)
        continue;
    close(fd);
    return NULL;
}

static void peer_begin(struct peer *peer, struct bytes answer)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          size = sizeof address;
    *peer = (struct peer){ .answer = answer };
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(peer->listener >= 0);
    CHECK_EQ(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(listen(peer->listener, 4), 0);
    CHECK_EQ(getsockname(peer->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(peer->url, sizeof peer->url, "http://127.0.0.1:%u/path?a=b", ntohs(address.sin_port));
    CHECK_EQ(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
}

/* What it was sent may be looked at afterwards. */
static void peer_join(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

static void peer_end(struct peer *peer)
{
    peer_join(peer);
    buffer_release(&peer->request);
}

/* --- one client on one loop --- */

static struct loop            *loop;
static struct outbound_client *client;
static struct outbound         outbound;
static struct buffer           answer; /* as `done` saw it */
static int                     done_count;

static void done(struct outbound *self)
{
    CHECK_PTR(self, &outbound);
    buffer_clear(&answer);
    buffer_append(&answer, self->answer);
    done_count++;
    loop_stop(loop);
}

static void begin(void)
{
    struct error error;
    CHECK_EQ(outbound_prepare(&error), ST_OK);
    loop = loop_new(&(struct loop_options){ 0 });
    CHECK(loop != NULL);
    client = outbound_client_new(loop);
    done_count = 0;
}

static void end(void)
{
    outbound_client_free(client);
    loop_free(loop);
    buffer_release(&answer);
}

static void send_to(const char *url, int64_t timeout_ns)
{
    static const struct outbound_header headers[] = { { BYTES("content-type"), BYTES("text/x") },
                                                      { BYTES("my-key"), BYTES("a value") },
                                                      { BYTES("empty"), BYTES("") } };
    outbound = (struct outbound){ .url = bytes_of_text(url),
                                  .headers = headers,
                                  .header_count = ARRAY_COUNT(headers),
                                  .body = BYTES("the body"),
                                  .timeout_ns = timeout_ns,
                                  .done = done };
    outbound_client_send(client, &outbound);
}

TEST(a_request_is_sent_and_its_answer_read)
{
    struct peer peer;
    begin();
    peer_begin(&peer, BYTES("HTTP/1.1 429 Slow down\r\ncontent-length: 4\r\nNexus-Request-Retryable: "
                            "false\r\n\r\nwhat"));
    send_to(peer.url, 20 * NS_PER_S);
    CHECK_EQ(done_count, 0); /* never from inside send */
    loop_run(loop);
    CHECK_INT(done_count, 1);
    CHECK_INT(outbound.status, 429);
    CHECK_INT(outbound.retryable, 0);
    CHECK_BYTES(buffer_bytes(&answer), BYTES("what"));
    peer_join(&peer);
    const char *request = (const char *)peer.request.base;
    CHECK(strncmp(request, "POST /path?a=b HTTP/1.1\r\n", 25) == 0);
    CHECK(strstr(request, "\r\ncontent-type: text/x\r\n") != NULL);
    CHECK(strstr(request, "\r\nmy-key: a value\r\n") != NULL);
    CHECK(strstr(request, "\r\nempty:\r\n") != NULL);
    CHECK(strstr(request, "Expect:") == NULL);
    CHECK(strstr(request, "\r\n\r\nthe body") != NULL);
    buffer_release(&peer.request);
    end();
}

TEST(a_redirect_is_an_answer_like_any_other)
{
    struct peer peer;
    begin();
    peer_begin(&peer, BYTES("HTTP/1.1 302 There\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"));
    send_to(peer.url, 20 * NS_PER_S);
    loop_run(loop);
    CHECK_INT(outbound.status, 302);
    CHECK_INT(outbound.retryable, -1);
    peer_end(&peer);
    end();
}

TEST(a_long_answer_is_cut)
{
    struct peer   peer;
    struct buffer text = { 0 };
    begin();
    buffer_printf(&text, "HTTP/1.1 200 OK\r\ncontent-length: %u\r\n\r\n", 3 * OUTBOUND_ANSWER_MAX);
    for (unsigned i = 0; i < 3 * OUTBOUND_ANSWER_MAX; i++)
        buffer_append_byte(&text, 'x');
    peer_begin(&peer, buffer_bytes(&text));
    send_to(peer.url, 20 * NS_PER_S);
    loop_run(loop);
    CHECK_INT(outbound.status, 200);
    CHECK_EQ(answer.size, OUTBOUND_ANSWER_MAX);
    peer_end(&peer);
    buffer_release(&text);
    end();
}

TEST(who_does_not_answer_or_does_not_listen_is_told_of_as_an_error)
{
    struct peer peer;
    char        url[64];
    begin();
    peer_begin(&peer, BYTES_EMPTY);
    send_to(peer.url, 50 * NS_PER_MS);
    loop_run(loop);
    CHECK_INT(outbound.status, 0);
    CHECK(outbound.error.message[0] != '\0');
    memcpy(url, peer.url, sizeof url);
    peer_end(&peer);
    send_to(url, 20 * NS_PER_S);
    loop_run(loop);
    CHECK_INT(done_count, 2);
    CHECK_INT(outbound.status, 0);
    end();
}

TEST(what_is_cancelled_or_abandoned_is_not_heard_of_again)
{
    struct peer peer;
    begin();
    peer_begin(&peer, BYTES_EMPTY);
    send_to(peer.url, 20 * NS_PER_S);
    outbound_client_cancel(client, &outbound);
    outbound_client_cancel(client, &outbound); /* harmless */
    CHECK(outbound.transfer == NULL);
    send_to(peer.url, 20 * NS_PER_S);
    end(); /* with one under way */
    CHECK_INT(done_count, 0);
    CHECK(outbound.transfer == NULL);
    peer_end(&peer);
}
