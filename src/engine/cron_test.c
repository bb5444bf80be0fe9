/* cron_test.c: slots of cron specifications, by hand-computed times. */
#include "engine/cron.h"

#include <time.h>

#include "base/testing.h"

static int64_t utc(int year, int month, int day, int hour, int minute, int second)
{
    struct tm parts = { .tm_year = year - 1900,
                        .tm_mon = month - 1,
                        .tm_mday = day,
                        .tm_hour = hour,
                        .tm_min = minute,
                        .tm_sec = second };
    return (int64_t)timegm(&parts) * NS_PER_S;
}

static int64_t next(const char *text, int64_t after)
{
    return cron_next(bytes_of_text(text), after);
}

TEST(five_fields_find_the_next_slot)
{
    int64_t now = utc(2026, 11, 23, 12, 0, 0);
    CHECK_EQ(next("* * * * *", now), utc(2026, 11, 23, 12, 1, 0));
    CHECK_EQ(next("* * * * *", now - 1), now);
    CHECK_EQ(next("*/15 * * * *", now + NS_PER_S), utc(2026, 11, 23, 12, 15, 0));
    CHECK_EQ(next("0 0 1 1 *", now), utc(2027, 1, 1, 0, 0, 0));
    CHECK_EQ(next("30 8 * * MON-FRI", now), utc(2026, 11, 24, 8, 30, 0));
    CHECK_EQ(next("0 0 * * 7", now), utc(2026, 11, 29, 0, 0, 0));
    CHECK_EQ(next("0 0 29 2 *", now), utc(2028, 2, 29, 0, 0, 0));
    CHECK_EQ(next("0 12 13 * FRI", now), utc(2026, 11, 27, 12, 0, 0)); /* either day field */
    CHECK_EQ(next("5,50 9-10 * dec *", now), utc(2026, 12, 1, 9, 5, 0));
    CHECK_EQ(next("@hourly", now), utc(2026, 11, 23, 13, 0, 0));
    CHECK_EQ(next("0 0 30 2 *", now), -1);
}

TEST(zones_follow_their_clock_changes)
{
    /* New York: 2:30 does not exist on 2026-03-08; 1:30 comes twice on 2026-11-01. */
    CHECK_EQ(next("CRON_TZ=America/New_York 30 2 * * *", utc(2026, 3, 8, 0, 0, 0)),
             utc(2026, 3, 9, 6, 30, 0));
    CHECK_EQ(next("TZ=America/New_York 0 9 * * *", utc(2026, 7, 1, 0, 0, 0)), utc(2026, 7, 1, 13, 0, 0));
    CHECK_EQ(next("CRON_TZ=America/New_York 30 1 * * *", utc(2026, 11, 1, 0, 0, 0)),
             utc(2026, 11, 1, 5, 30, 0));
}

TEST(the_backoff_is_whole_seconds_on_the_grid_of_the_execution_time)
{
    int64_t start = utc(2026, 11, 23, 12, 0, 0) + 250 * NS_PER_MS;
    CHECK_EQ(cron_backoff(BYTES("@every 3s"), start, start), 3 * NS_PER_S);
    CHECK_EQ(cron_backoff(BYTES("@every 3s"), start, start + 4 * NS_PER_S), 2 * NS_PER_S);
    CHECK_EQ(cron_backoff(BYTES("@every 3s"), start, start + 4 * NS_PER_S + 1), 2 * NS_PER_S);
    CHECK_EQ(cron_backoff(BYTES("* * * * *"), start, start), 60 * NS_PER_S);
    CHECK_EQ(cron_backoff(BYTES("nonsense"), start, start), -1);
}

TEST(bad_specifications_are_refused_by_name)
{
    static const char *const bad[] = { "",
                                       "* * * *",
                                       "* * * * * *",
                                       "60 * * * *",
                                       "* 24 * * *",
                                       "* * 0 * *",
                                       "* * * 13 *",
                                       "* * * * 8",
                                       "a * * * *",
                                       "*/0 * * * *",
                                       "5-1 * * * *",
                                       "@every",
                                       "@every 0s",
                                       "@every -1s",
                                       "@fortnightly",
                                       "1,,2 * * * *",
                                       "1, * * * *",
                                       "CRON_TZ=Mars/Olympus * * * * *" };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct error error;
        if (cron_check(bytes_of_text(bad[i]), &error) != ST_INVALID_ARGUMENT)
            fail_msg("accepted: %s", bad[i]);
        CHECK(strstr(error.message, "CronSchedule") != NULL);
    }
}
