/* client_test.c: both halves in one process, over loopback. The server has a thread of its own, as a lane has. */
#include "wire/client.h"

#include <pthread.h>

#include "base/testing.h"
#include "io/listener.h"
#include "wire/server.h"

static struct loop        *serving;
static struct wire_server *server;
static struct listener    *listener;
static pthread_t           thread;
static struct call        *held;
static struct arena        arena;

static void on_gone(struct call *call)
{
    struct error error;
    held = NULL;
    call_fail(call, (error_set(&error, ST_CANCELLED, "gone"), &error));
}

/* /t/echo, /t/fail, /t/hold, /t/metadata, /t/leave: what the last part says. */
static void on_call(void *context UNUSED, struct call *call)
{
    struct error error;
    if (bytes_equal(call->path, BYTES("/t/echo"))) {
        call_reply(call, call->request);
    } else if (bytes_equal(call->path, BYTES("/t/metadata"))) {
        call_reply(call,
                   call_metadata(
                       call,
                       (const char *)arena_printf(call->arena, "%.*s%c", BYTES_FMT(call->request), 0).base));
    } else if (bytes_equal(call->path, BYTES("/t/hold"))) {
        held = call;
        call->on_gone = on_gone;
    } else if (bytes_equal(call->path, BYTES("/t/leave"))) {
        call_reply(call, BYTES_EMPTY);
        wire_server_close_all(server);
    } else {
        (void)error_set(&error, ST_NOT_FOUND, "100%% \xC3\xBC\n");
        error.detail_type = BYTES("a.b.Detail");
        error.detail = call->request;
        call_fail(call, &error);
    }
}

static void *serve(void *context UNUSED)
{
    loop_run(serving);
    return NULL;
}

static uint16_t start(void)
{
    struct error error;
    serving = loop_new(&(struct loop_options){ 0 });
    server = wire_server_new(&(struct wire_server_options){ .loop = serving, .on_call = on_call });
    struct listener_target target = { NULL, wire_server_adopt, server };
    CHECK_EQ(listener_new(&(struct listener_options){ serving, "127.0.0.1", 0, &target, 1 }, &listener,
                          &error),
             ST_OK);
    uint16_t port = listener_port(listener);
    CHECK_EQ(pthread_create(&thread, NULL, serve, NULL), 0);
    arena_init(&arena, SIZE_MAX);
    return port;
}

static void stop_server(void)
{
    loop_stop(serving);
    pthread_join(thread, NULL);
    listener_free(listener);
    wire_server_free(server);
    loop_free(serving);
}

static struct wire_client *client_of(uint16_t port, struct loop *loop)
{
    return wire_client_new(&(struct wire_client_options){ .loop = loop, .host = "127.0.0.1", .port = port });
}

static enum status call(struct wire_client *client, const char *path, struct bytes request,
                        struct bytes *ret_reply, struct error *error)
{
    return wire_client_call(client, bytes_of_text(path), request, NULL, 0, 20 * NS_PER_S, &arena, ret_reply,
                            error);
}

TEST(one_call_after_the_other)
{
    struct wire_client *client = client_of(start(), NULL);
    struct error        error;
    struct bytes        reply;
    CHECK_EQ(call(client, "/t/echo", BYTES("hello"), &reply, &error), ST_OK);
    CHECK_BYTES(reply, BYTES("hello"));
    CHECK_EQ(call(client, "/t/echo", BYTES_EMPTY, &reply, &error), ST_OK);
    CHECK_EQ(reply.size, 0);
    uint8_t *large = xcalloc(4 << 20, 1);
    CHECK_EQ(call(client, "/t/echo", bytes_of(large, 4 << 20), &reply, &error), ST_OK);
    CHECK_EQ(reply.size, 4 << 20);
    free(large);
    wire_client_free(client);
    stop_server();
    arena_release(&arena);
}

TEST(errors_come_with_their_words_and_detail)
{
    struct wire_client *client = client_of(start(), NULL);
    struct error        error;
    struct bytes        reply;
    CHECK_EQ(call(client, "/t/fail", BYTES("detail"), &reply, &error), ST_NOT_FOUND);
    CHECK_EQ(error.code, ST_NOT_FOUND);
    CHECK_TEXT(error.message, "100% \xC3\xBC\n");
    CHECK_BYTES(error.detail_type, BYTES("a.b.Detail"));
    CHECK_BYTES(error.detail, BYTES("detail"));
    wire_client_free(client);
    stop_server();
    arena_release(&arena);
}

TEST(metadata_of_client_and_call_goes_along)
{
    uint16_t              port = start();
    const struct metadata fixed = { BYTES("x-fixed"), BYTES("f") };
    const struct metadata own[] = { { BYTES("x-own"), BYTES("o") },
                                    { BYTES("x-own-bin"), BYTES("\x00\xFF") } };
    struct wire_client   *client = wire_client_new(&(struct wire_client_options){
          .host = "127.0.0.1", .port = port, .metadata = &fixed, .metadata_count = 1 });
    const struct metadata wanted[] = { fixed, own[0], own[1] };
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        struct bytes reply;
        CHECK_EQ(wire_client_call(client, BYTES("/t/metadata"), wanted[i].name, own, 2, TIME_NEVER, &arena,
                                  &reply, NULL),
                 ST_OK);
        CHECK_BYTES(reply, wanted[i].value);
    }
    wire_client_free(client);
    stop_server();
    arena_release(&arena);
}

TEST(a_deadline_ends_the_call_at_both_ends)
{
    struct wire_client *client = client_of(start(), NULL);
    struct error        error;
    struct bytes        reply;
    CHECK_EQ(wire_client_call(client, BYTES("/t/hold"), BYTES_EMPTY, NULL, 0, 20 * NS_PER_MS, &arena, &reply,
                              &error),
             ST_DEADLINE_EXCEEDED);
    CHECK_EQ(call(client, "/t/echo", BYTES("next"), &reply, &error), ST_OK);
    wire_client_free(client);
    stop_server();
    CHECK_PTR(held, NULL); /* on_gone ran */
    arena_release(&arena);
}

TEST(no_server_and_a_server_that_leaves)
{
    uint16_t            port = start();
    struct wire_client *client = client_of(port, NULL);
    struct error        error;
    struct bytes        reply;
    CHECK_EQ(call(client, "/t/leave", BYTES_EMPTY, &reply, &error),
             ST_UNAVAILABLE); /* closed before the answer left */
    CHECK_EQ(call(client, "/t/echo", BYTES("again"), &reply, &error), ST_OK); /* on a new connection */
    stop_server();
    CHECK_EQ(call(client, "/t/echo", BYTES("nobody"), &reply, &error), ST_UNAVAILABLE);
    CHECK_EQ(call(client, "/t/echo", BYTES("nobody"), &reply, &error), ST_UNAVAILABLE);
    CHECK(strstr(error.message, "cannot reach 127.0.0.1:") == error.message);
    wire_client_free(client);
    client = wire_client_new(&(struct wire_client_options){ .host = "not a host", .port = 1 });
    CHECK_EQ(call(client, "/t/echo", BYTES_EMPTY, &reply, &error), ST_UNAVAILABLE);
    wire_client_free(client);
    arena_release(&arena);
}

#define MANY 500
static struct wire_client_call calls[MANY];
static size_t                  ok_count, cancelled_count, other_count;
static struct loop            *calling;

static void many_done(struct wire_client_call *one, enum status status, struct bytes reply,
                      const struct error *error UNUSED)
{
    uint32_t number = (uint32_t)(one - calls);
    if (status == ST_OK && reply.size == sizeof number && memcmp(reply.base, &number, sizeof number) == 0)
        ok_count++;
    else if (status == ST_CANCELLED)
        cancelled_count++;
    else
        other_count++;
    if (ok_count + cancelled_count + other_count == MANY)
        loop_stop(calling);
}

TEST(many_in_flight_and_some_cancelled)
{
    uint16_t port = start();
    calling = loop_new(&(struct loop_options){ 0 });
    struct wire_client *client = client_of(port, calling);
    for (uint32_t i = 0; i < MANY; i++) {
        calls[i] = (struct wire_client_call){ .path = i % 5 == 0 ? BYTES("/t/hold") : BYTES("/t/echo"),
                                              .done = many_done,
                                              .request = bytes_of(&i, sizeof i),
                                              .timeout_ns = TIME_NEVER };
        wire_client_start(client, &calls[i]);
    }
    for (size_t i = 0; i < MANY; i += 5)
        wire_client_cancel(client, &calls[i]);
    loop_run(calling);
    CHECK_EQ(ok_count, MANY - MANY / 5);
    CHECK_EQ(cancelled_count, MANY / 5);
    CHECK_EQ(other_count, 0);
    wire_client_free(client);
    loop_free(calling);
    stop_server();
    arena_release(&arena);
}
