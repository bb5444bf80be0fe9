/* clock_test.c: the clock steps back, or the machine comes up with another time. Nothing that time has ordered may be in
 * another order afterwards. */
#include "scenario.h"

/* The run's number, of which the first digits of its id are the time. */
static int64_t number_of_start(struct recorded *started)
{
    const struct workflowservice_StartWorkflowExecutionResponse *response = answer_of(started);
    struct uuid                                                  run_id;
    CHECK(uuid_parse(response->run_id, &run_id));
    recorded_free(started);
    int64_t number = 0;
    for (int i = 0; i < 6; i++)
        number = number << 8 | run_id.byte[i];
    return number;
}

/* Times of events, oldest first. */
static size_t times_of(struct world *world, const char *id, int64_t *times, size_t room)
{
    struct recorded *read = history(world, 0, id, false, 0, BYTES_EMPTY);
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = answer_of(read);
    size_t                                                            count = page->history->events_count;
    CHECK(count <= room);
    for (size_t i = 0; i < count; i++) {
        struct history_HistoryEvent event;
        struct error                error;
        CHECK_EQ(pb_decode(&pb_history_HistoryEvent, page->history->events[i], &read->arena, &event, &error),
                 ST_OK);
        times[i] = timestamp_ns(event.event_time);
    }
    recorded_free(read);
    return count;
}

static void crash_and_step_back(struct world *world, int64_t ns)
{
    world->wall -= ns;
    crash(world);
}

/* Between two rows of the clock time goes on in events only. */
static void half_a_second_after_the_clock_was_written(struct world *world)
{
    world_begin(world, 1, true);
    recorded_free(start(world, 0, "first"));
    world_advance(world, 3 * NS_PER_S);
    recorded_free(start(world, 0, "second")); /* writes the clock */
    world_advance(world, 500 * NS_PER_MS);
}

TEST(times_of_events_never_go_back)
{
    struct world world;
    int64_t      times[16];
    half_a_second_after_the_clock_was_written(&world);
    recorded_free(start(&world, 0, "w"));
    crash_and_step_back(&world, 3600 * NS_PER_S);
    expect_code(signal_run(&world, 0, "w"), ST_OK);
    size_t count = times_of(&world, "w", times, ARRAY_COUNT(times));
    CHECK_INT(count, 3);
    for (size_t i = 1; i < count; i++)
        CHECK(times[i] >= times[i - 1]);
    world_end(&world);
}

TEST(time_goes_on_where_it_was_after_a_restart)
{
    struct world world;
    int64_t      times[16];
    half_a_second_after_the_clock_was_written(&world);
    int64_t before = world.wall;
    crash_and_step_back(&world, 3600 * NS_PER_S);
    recorded_free(start(&world, 0, "later"));
    CHECK(times_of(&world, "later", times, ARRAY_COUNT(times)) > 0);
    CHECK(times[0] >= before - NS_PER_S); /* the clock is written once a second */
    world_end(&world);
}

TEST(numbers_of_runs_grow_over_a_restart)
{
    struct world world;
    half_a_second_after_the_clock_was_written(&world);
    int64_t before = number_of_start(start(&world, 0, "before"));
    crash_and_step_back(&world, 3600 * NS_PER_S);
    CHECK(number_of_start(start(&world, 0, "after")) > before);
    world_end(&world);
}

TEST(a_timer_is_not_early_when_the_clock_stepped_back)
{
    struct world world;
    int64_t      times[16];
    world_begin(&world, 1, true);
    recorded_free(start(&world, 0, "w"));
    struct recorded                           *polled = poll_workflow(&world, 0, 70 * NS_PER_S);
    struct google_Duration                     minute = { .seconds = 60, .nanos = 300000000 };
    struct command_StartTimerCommandAttributes timer = { .timer_id = BYTES("t"),
                                                         .start_to_fire_timeout = &minute };
    struct command_Command                     command = { .command_type = enums_COMMAND_TYPE_START_TIMER,
                                                           .attributes_case = 3,
                                                           .start_timer_command_attributes = &timer };
    expect_code(complete_task(&world, 0, token_of(polled), &command, 1), ST_OK);
    recorded_free(polled);
    world_advance(&world, 30 * NS_PER_S);
    crash_and_step_back(&world, 20 * NS_PER_S);
    world_advance(&world, 45 * NS_PER_S); /* as long as it asked for, but not by the clock */
    CHECK_INT(times_of(&world, "w", times, ARRAY_COUNT(times)), 5);
    world_advance(&world, 6 * NS_PER_S);
    CHECK_INT(times_of(&world, "w", times, ARRAY_COUNT(times)), 7); /* fired, and a task is scheduled */
    CHECK(times[5] - times[4] >= 60 * NS_PER_S + 300 * NS_PER_MS);
    CHECK(times[5] - times[4] < 61 * NS_PER_S);
    world_end(&world);
}
