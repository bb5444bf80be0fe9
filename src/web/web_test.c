/* web_test.c: what a prober, a browser and somebody else's page get from the side port. */
#include "web/web.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/testing.h"
#include "web/web_internal.h"

#define CONNECTIONS_MAX 256

static _Atomic bool is_ready;

static bool ready(void *context)
{
    return *(_Atomic bool *)context;
}

static struct web *serve(const char *address)
{
    struct error       error;
    struct web        *web = NULL;
    struct web_options options = { .address = address,
                                   .grpc_address = "127.0.0.1:7233 <&>",
                                   .version = "1.2.3",
                                   .ready = ready,
                                   .context = &is_ready,
                                   .limits = { .connections_max = CONNECTIONS_MAX } };
    CHECK_EQ(web_new(&options, &web, &error), ST_OK);
    CHECK_EQ(web_start(web, &error), ST_OK);
    return web;
}

static int connect_to(const struct web *web)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(web_port(web)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval     bound = { .tv_sec = 20 };
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Everything until the server closes, as text. */
static char *exchange(const struct web *web, const char *request)
{
    struct buffer in;
    int           fd = connect_to(web);
    buffer_init(&in);
    send_text(fd, request);
    for (;;) {
        ssize_t size = recv(fd, buffer_reserve(&in, 4096), 4096, 0);
        CHECK(size >= 0);
        if (size == 0)
            break;
        in.size += (size_t)size;
    }
    close(fd);
    buffer_append_byte(&in, 0);
    return (char *)in.base;
}

static char *get(const struct web *web, const char *method, const char *path, const char *host)
{
    char request[512];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", method, path,
             host);
    return exchange(web, request);
}

static void check_answer(char *answer, const char *status_line, const char *body_part)
{
    if (strncmp(answer, status_line, strlen(status_line)) != 0)
        fail_msg("expected %s in: %s", status_line, answer);
    const char *body = strstr(answer, "\r\n\r\n");
    CHECK(body != NULL);
    if (strstr(body, body_part) == NULL)
        fail_msg("expected %s in: %s", body_part, answer);
    free(answer);
}

TEST(health_and_readiness)
{
    struct web *web = serve("127.0.0.1:0");
    is_ready = false;
    check_answer(get(web, "GET", "/healthz", "127.0.0.1"), "HTTP/1.1 200 ", "ok\n");
    check_answer(get(web, "GET", "/readyz", "127.0.0.1"), "HTTP/1.1 503 ", "not ready\n");
    is_ready = true;
    check_answer(get(web, "GET", "/readyz", "localhost:8233"), "HTTP/1.1 200 ", "ok\n");
    check_answer(get(web, "GET", "/readyz?verbose=1", "[::1]:8233"), "HTTP/1.1 200 ", "ok\n");
    check_answer(get(web, "GET", "/healthz/", "localhost"), "HTTP/1.1 404 ", "nothing here");
    check_answer(get(web, "GET", "/api/v1/namespaces", "localhost"), "HTTP/1.1 404 ", "nothing here");
    web_free(web);
}

TEST(the_page_says_what_this_is_and_loads_nothing)
{
    struct web *web = serve("127.0.0.1:0");
    char       *page = get(web, "GET", "/", "localhost");
    CHECK(strstr(page, "Content-Security-Policy: default-src 'none';") != NULL);
    CHECK(strstr(page, "version 1.2.3") != NULL);
    CHECK(strstr(page, "127.0.0.1:7233 &lt;&amp;&gt;") != NULL);
    CHECK(strstr(page, "://") == NULL); /* nothing is fetched from elsewhere */
    free(page);
    check_answer(get(web, "GET", "/style.css", "localhost"), "HTTP/1.1 200 ", "body{");
    web_free(web);
}

TEST(head_gets_the_headers_and_no_body)
{
    struct web *web = serve("127.0.0.1:0");
    char       *answer = get(web, "HEAD", "/healthz", "localhost");
    CHECK(strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
    CHECK(strstr(answer, "Content-Length: 3\r\n") != NULL);
    CHECK_TEXT(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
    web_free(web);
}

TEST(other_methods_are_refused)
{
    static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "PATCH" };
    struct web              *web = serve("127.0.0.1:0");
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        char *answer = get(web, methods[i], "/healthz", "localhost");
        CHECK(strstr(answer, "Allow: GET, HEAD") != NULL);
        check_answer(answer, "HTTP/1.1 405 ", "");
    }
    web_free(web);
}

TEST(only_names_of_the_loopback_are_answered_on_it)
{
    struct web *web = serve("127.0.0.1:0");
    check_answer(get(web, "GET", "/", "evil.example"), "HTTP/1.1 403 ", "loopback");
    check_answer(get(web, "GET", "/healthz", "127.0.0.1.evil.example:80"), "HTTP/1.1 403 ", "loopback");
    check_answer(get(web, "GET", "http://evil.example/healthz", "localhost"), "HTTP/1.1 403 ", "loopback");
    check_answer(exchange(web, "GET /healthz HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 ", "ok\n");
    web_free(web);
    web = serve("0.0.0.0:0");
    check_answer(get(web, "GET", "/healthz", "perdure.internal"), "HTTP/1.1 200 ", "ok\n");
    web_free(web);
}

TEST(loopback_names)
{
    static const char *const good[] = { "localhost", "LocalHost", "localhost.",       "127.0.0.1",
                                        "127.1.2.3", "[::1]",     "[0:0:0:0:0:0:0:1]" };
    static const char *const bad[] = { "",
                                       "localhost.evil.example",
                                       "127.0.0.1.evil.example",
                                       "::1",
                                       "[::2]",
                                       "[]",
                                       "[::1",
                                       "128.0.0.1",
                                       "0.0.0.0" };
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        CHECK(host_is_loopback(good[i]));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK(!host_is_loopback(bad[i]));
}

TEST(too_much_of_anything_is_refused_and_the_server_goes_on)
{
    struct web   *web = serve("127.0.0.1:0");
    struct buffer request;
    buffer_init(&request);
    buffer_append_text(&request, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ");
    for (size_t i = 0; i < 17000; i++)
        buffer_append_byte(&request, 'x');
    buffer_append_text(&request, "\r\n\r\n");
    buffer_append_byte(&request, 0);
    char *answer = exchange(web, (const char *)request.base);
    CHECK(strstr(answer, " 200 ") == NULL);
    free(answer);
    buffer_release(&request);
    answer = exchange(web, "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
    CHECK(strncmp(answer, "HTTP/1.1 413 ", 13) == 0);
    free(answer);
    answer = exchange(web, "\x16\x03\x01 not HTTP at all\r\n\r\n");
    CHECK(strstr(answer, " 200 ") == NULL);
    free(answer);
    check_answer(get(web, "GET", "/healthz", "localhost"), "HTTP/1.1 200 ", "ok\n");
    web_free(web);
}

static size_t count_descriptors(void)
{
    size_t count = 0;
    DIR   *directory = opendir("/proc/self/fd");
    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* Silent connections fill the limit; when they go, whoever waited in the backlog is served. */
TEST(connections_beyond_the_limit_wait)
{
    static int  fds[CONNECTIONS_MAX + 64];
    struct web *web = serve("127.0.0.1:0");
    size_t      before = count_descriptors();
    char        answer[16] = "";
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        fds[i] = connect_to(web);
    /* Answered on the first connection, so that the server has been through what came before. */
    for (size_t i = 0; i < 3; i++) {
        send_text(fds[0], "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        while (strstr(answer, "ok\n") == NULL) {
            memmove(answer, answer + 1, 3);
            CHECK_EQ(recv(fds[0], answer + 2, 1, 0), 1);
        }
        answer[0] = '\0';
    }
    CHECK(count_descriptors() - before - ARRAY_COUNT(fds) <= CONNECTIONS_MAX);
    int late = connect_to(web);
    send_text(late, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        close(fds[i]);
    CHECK_EQ(recv(late, answer, 12, MSG_WAITALL), 12);
    CHECK(memcmp(answer, "HTTP/1.1 200", 12) == 0);
    close(late);
    web_free(web);
}

TEST(addresses_that_cannot_be_had_are_errors_with_words)
{
    struct error       error;
    struct web        *web = NULL, *first = serve("127.0.0.1:0");
    char               taken[64];
    struct web_options options = { .address = "nonsense", .grpc_address = "", .version = "" };
    CHECK_EQ(web_new(&options, &web, &error), ST_INVALID_ARGUMENT);
    snprintf(taken, sizeof taken, "127.0.0.1:%u", web_port(first));
    options.address = taken;
    CHECK_EQ(web_new(&options, &web, &error), ST_UNAVAILABLE);
    CHECK(strstr(error.message, "in use") != NULL);
    CHECK_PTR(web, NULL);
    web_free(first);
}
