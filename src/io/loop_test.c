/* loop_test.c: the order inside a turn, and that timers are never early. */
#include "io/loop.h"

#include <pthread.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/testing.h"
#include "io/listener.h"

static struct loop  *loop;
static struct buffer seen; /* one letter per thing that happened */

static void note(char letter)
{
    buffer_append_byte(&seen, (uint8_t)letter);
}

static void turn_note(void *context UNUSED)
{
    note('t');
}

static void start(void (*turn)(void *context))
{
    buffer_init(&seen);
    loop = loop_new(&(struct loop_options){ .turn = turn });
    CHECK(loop != NULL);
}

static void stop(void)
{
    loop_free(loop);
    buffer_release(&seen);
}

static void post_note(struct message *message UNUSED)
{
    note('m');
}
static void deferred_note_and_stop(struct loop_deferred *deferred UNUSED)
{
    note('d');
    loop_stop(loop);
}
static struct loop_deferred deferred;
static void                 timer_note_and_defer(struct loop_timer *timer UNUSED)
{
    note('w');
    loop_defer(loop, &deferred);
    loop_defer(loop, &deferred); /* once is enough */
}

TEST(a_turn_is_messages_then_timers_then_the_host_then_deferred_work)
{
    struct message    message = { NULL, post_note };
    struct loop_timer timer;
    start(turn_note);
    loop_timer_init(&timer, timer_note_and_defer);
    loop_deferred_init(&deferred, deferred_note_and_stop);
    loop_timer_set(loop, &timer, 0); /* long due */
    mailbox_post(loop_mailbox(loop), &message);
    loop_run(loop);
    CHECK_BYTES(buffer_bytes(&seen), BYTES("mwtd"));
    stop();
}

static struct loop_timer timers[3];
static void              timer_fires(struct loop_timer *timer)
{
    CHECK(timer->link.due <= clock_monotonic_ns(&clock_system) || timer->link.due == 0);
    note((char)('0' + (timer - timers)));
    if (seen.size == 2)
        loop_stop(loop);
}

TEST(timers_fire_in_order_and_cleared_ones_not)
{
    start(NULL);
    int64_t now = clock_monotonic_ns(&clock_system);
    for (size_t i = 0; i < 3; i++)
        loop_timer_init(&timers[i], timer_fires);
    loop_timer_set(loop, &timers[0], now + 3 * NS_PER_MS);
    loop_timer_set(loop, &timers[1], now + 2 * NS_PER_MS);
    loop_timer_set(loop, &timers[2], now + 1 * NS_PER_MS);
    loop_timer_clear(loop, &timers[1]);
    loop_run(loop);
    CHECK_BYTES(buffer_bytes(&seen), BYTES("20"));
    CHECK(clock_monotonic_ns(&clock_system) >= now + 3 * NS_PER_MS);
    stop();
}

static int64_t exact_due;
static void    exact_fires(struct loop_timer *timer UNUSED)
{
    CHECK(clock_monotonic_ns(&clock_system) >= exact_due);
    note('x');
    if (seen.size == 20) {
        loop_stop(loop);
        return;
    }
    exact_due = clock_monotonic_ns(&clock_system) + 100 * NS_PER_US; /* below a millisecond and not early */
    loop_timer_set(loop, timer, exact_due);
}

TEST(a_timer_is_never_early)
{
    struct loop_timer timer;
    start(NULL);
    loop_timer_init(&timer, exact_fires);
    exact_due = clock_monotonic_ns(&clock_system) + 100 * NS_PER_US;
    loop_timer_set(loop, &timer, exact_due);
    loop_run(loop);
    CHECK_EQ(seen.size, 20);
    stop();
}

static struct loop_deferred again;
static void                 defer_again(struct loop_deferred *one)
{
    note('d');
    if (seen.size < 6)
        loop_defer(loop, one); /* the next turn, which must come by itself */
    else
        loop_stop(loop);
}

TEST(work_deferred_while_deferred_work_runs_waits_for_the_next_turn)
{
    start(turn_note);
    loop_deferred_init(&again, defer_again);
    loop_defer(loop, &again);
    loop_run(loop);
    CHECK_BYTES(buffer_bytes(&seen), BYTES("tdtdtd"));
    stop();
}

static void stop_from_message(struct message *message UNUSED)
{
    note('s');
    loop_stop(loop);
}
static void *post_from_thread(void *context)
{
    mailbox_post(loop_mailbox(loop), context);
    return NULL;
}

static void deferred_asks_for_a_turn(struct loop_deferred *work UNUSED)
{
    note('d');
    loop_again(loop);
}

static void turn_note_second_stops(void *context UNUSED)
{
    note('t');
    if (seen.size >= 3)
        loop_stop(loop);
}

TEST(what_deferred_work_brings_to_the_host_does_not_wait_for_an_event)
{
    start(turn_note_second_stops);
    loop_deferred_init(&deferred, deferred_asks_for_a_turn);
    loop_defer(loop, &deferred);
    loop_run(loop); /* would wait for ever after the first turn */
    CHECK_BYTES(buffer_bytes(&seen), BYTES("tdt"));
    stop();
}

TEST(another_thread_wakes_a_loop_that_waits)
{
    struct message message = { NULL, stop_from_message };
    pthread_t      thread;
    start(NULL);
    CHECK_EQ(pthread_create(&thread, NULL, post_from_thread, &message), 0);
    loop_run(loop); /* would wait for ever */
    pthread_join(thread, NULL);
    CHECK_BYTES(buffer_bytes(&seen), BYTES("s"));
    stop();
}

TEST(a_stop_before_the_run_is_kept)
{
    start(turn_note);
    loop_stop(loop);
    loop_run(loop);
    CHECK_EQ(seen.size, 0);
    stop();
}

static struct loop_watch *watch;
static int                ends[2];
static void               watched(void *context UNUSED, unsigned what)
{
    char byte;
    CHECK_EQ(what, LOOP_READ);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    note(byte);
    loop_watch_set(watch, 0);
    loop_stop(loop);
}

TEST(a_watch_tells_of_what_it_waits_for_and_rests)
{
    start(NULL);
    CHECK_EQ(pipe(ends), 0);
    watch = loop_watch_new(loop, ends[0], watched, NULL);
    loop_watch_set(watch, LOOP_READ);
    CHECK_EQ(write(ends[1], "ab", 2), 2);
    loop_run(loop);
    struct message message = { NULL, stop_from_message };
    mailbox_post(loop_mailbox(loop), &message);
    loop_run(loop); /* 'b' is there, but the watch rests */
    CHECK_BYTES(buffer_bytes(&seen), BYTES("as"));
    loop_watch_free(watch);
    close(ends[0]);
    close(ends[1]);
    stop();
}

TEST(addresses_are_read_strictly)
{
    char     host[16];
    uint16_t port;
    CHECK(address_parse("127.0.0.1:7233", host, sizeof host, &port));
    CHECK_TEXT(host, "127.0.0.1");
    CHECK_EQ(port, 7233);
    CHECK(address_parse("[::1]:0", host, sizeof host, &port));
    CHECK_TEXT(host, "::1");
    CHECK_EQ(port, 0);
    const char *bad[] = { "",     ":",    "a",        "a:",   ":1",     "a:65536",
                          "a:-1", "a:1x", "::1:7233", "[]:1", "[::1:1", "0123456789abcdef:1" };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK(!address_parse(bad[i], host, sizeof host, &port));
}
