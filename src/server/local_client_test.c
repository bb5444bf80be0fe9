/* local_client_test.c: calls to a lane that is a thread with a script; run under the thread sanitizer, too. */
#include "server/local_client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/testing.h"

/* Answers "echo" at once, holds "wait" until it is gone, fails "fail". */
struct script {
    struct loop *loop;
    pthread_t    thread;
    int          seen, gone;
    int          home;
};
static void on_gone(struct call *call)
{
    struct script *script = call->handler;
    struct error   error;
    script->gone++;
    error_set(&error, ST_CANCELLED, "gone");
    call_fail(call, &error);
}
static void on_call(void *context, struct call *call)
{
    struct script *script = context;
    struct error   error;
    script->seen++;
    assert_ptr_equal(call->home, &script->home);
    assert_true(bytes_equal_text(call_metadata(call, "client-name"), "gateway"));
    if (bytes_equal_text(call->path, "echo")) {
        call_reply(call, call->request);
    } else if (bytes_equal_text(call->path, "fail")) {
        error_set(&error, ST_NOT_FOUND, "nothing there");
        error.detail_type = BYTES("some.Detail");
        error.detail = BYTES("more");
        call_fail(call, &error);
    } else {
        call->handler = script;
        call->on_gone = on_gone;
    }
}
static void *lane_main(void *context)
{
    loop_run(((struct script *)context)->loop);
    return NULL;
}

struct asked {
    struct local_call call;
    struct world     *world;
    char              answer[64];
    int               done;
};
struct world {
    struct script               script[2];
    struct loop                *loop;
    struct local_server_client *client;
    struct local_client         face;
    int                         left; /* answers that the loop runs for */
};
static void on_done(struct local_call *call)
{
    struct asked *asked = CONTAINER_OF(call, struct asked, call);
    asked->done++;
    snprintf(asked->answer, sizeof asked->answer, "%.*s", BYTES_FMT(call->answer));
    if (--asked->world->left == 0)
        loop_stop(asked->world->loop);
}
static void world_begin(struct world *world, size_t calls_max)
{
    struct local_lane lanes[2];
    memset(world, 0, sizeof *world);
    world->loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    for (int i = 0; i < 2; i++) {
        world->script[i].loop = loop_new(&(struct loop_options){ .clock = &clock_system });
        lanes[i] = (struct local_lane){ loop_mailbox(world->script[i].loop), on_call, &world->script[i],
                                        &world->script[i].home };
        assert_int_equal(pthread_create(&world->script[i].thread, NULL, lane_main, &world->script[i]), 0);
    }
    world->client = local_client_new(&(struct local_client_options){ .loop = world->loop,
                                                                     .lanes = lanes,
                                                                     .lane_count = 2,
                                                                     .calls_max = calls_max,
                                                                     .client_name = "gateway",
                                                                     .client_version = "1.0.0" });
    world->face = local_client_face(world->client);
}
/* Lanes end first in the sense of the server: the client is closed, then the lanes' threads end, then all goes. */
static void world_end(struct world *world)
{
    local_client_close(world->client);
    loop_free(world->loop);
    for (int i = 0; i < 2; i++) {
        loop_stop(world->script[i].loop);
        pthread_join(world->script[i].thread, NULL);
    }
}
static void world_free(struct world *world)
{
    local_client_free(world->client);
    for (int i = 0; i < 2; i++)
        loop_free(world->script[i].loop);
}
static void ask(struct world *world, struct asked *asked, const char *path, int64_t wait_ns)
{
    *asked = (struct asked){ .world = world,
                             .call = { .path = bytes_of_text(path),
                                       .request = BYTES("hello"),
                                       .deadline_ns = wait_ns == TIME_NEVER
                                                          ? TIME_NEVER
                                                          : clock_monotonic_ns(&clock_system) + wait_ns,
                                       .done = on_done } };
    world->face.send(world->face.context, &asked->call);
    assert_int_equal(asked->done, 0);
}

TEST(answers_and_errors_come_back)
{
    struct world world;
    struct asked asked[3];
    world_begin(&world, 10);
    world.left = 3;
    ask(&world, &asked[0], "echo", TIME_NEVER);
    ask(&world, &asked[1], "fail", 10 * NS_PER_S);
    ask(&world, &asked[2], "echo", 10 * NS_PER_S);
    loop_run(world.loop);
    assert_string_equal(asked[0].answer, "hello");
    assert_string_equal(asked[2].answer, "hello");
    assert_int_equal(asked[1].call.error.code, ST_NOT_FOUND);
    assert_string_equal(asked[1].call.error.message, "nothing there");
    assert_int_equal(local_client_count(world.client), 0);
    world_end(&world);
    assert_int_equal(world.script[0].seen + world.script[1].seen, 3);
    assert_int_equal(world.script[1].seen, 1); /* each lane in turn */
    world_free(&world);
}

TEST(past_the_limit_calls_are_refused_and_a_deadline_ends_the_wait)
{
    struct world world;
    struct asked asked[3];
    world_begin(&world, 1);
    world.left = 2;
    ask(&world, &asked[0], "wait", 20 * NS_PER_MS);
    ask(&world, &asked[1], "echo", TIME_NEVER);
    loop_run(world.loop);
    assert_int_equal(asked[0].call.error.code, ST_DEADLINE_EXCEEDED);
    assert_int_equal(asked[1].call.error.code, ST_RESOURCE_EXHAUSTED);
    world_end(&world);
    world_free(&world);
    assert_int_equal(world.script[0].gone, 1);
}

TEST(a_cancelled_call_is_gone_for_the_lane_and_silent_for_its_owner)
{
    struct world world;
    struct asked asked[2];
    world_begin(&world, 10);
    world.left = 1;
    ask(&world, &asked[0], "wait", TIME_NEVER);
    ask(&world, &asked[1], "echo", TIME_NEVER);
    world.face.cancel(world.face.context, &asked[0].call);
    loop_run(world.loop);
    world_end(&world);
    assert_int_equal(asked[0].done, 0);
    assert_string_equal(asked[1].answer, "hello");
    world_free(&world);
}

TEST(a_closing_client_answers_what_waits)
{
    struct world world;
    struct asked asked[2];
    world_begin(&world, 10);
    ask(&world, &asked[0], "wait", TIME_NEVER);
    ask(&world, &asked[1], "wait", TIME_NEVER);
    world.left = 2;
    world_end(&world);
    assert_int_equal(asked[0].call.error.code, ST_UNAVAILABLE);
    assert_int_equal(asked[1].call.error.code, ST_UNAVAILABLE);
    world_free(&world);
}
