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

TEST(fields_take_names_steps_and_lists_in_any_case)
{
    int64_t now = utc(2026, 11, 23, 12, 0, 0); /* a Monday */
    CHECK_EQ(next("  0   6  *  *  Tue  ", now), utc(2026, 11, 24, 6, 0, 0));
    CHECK_EQ(next("0 6 * * sun-MON", now), utc(2026, 11, 29, 6, 0, 0));
    CHECK_EQ(next("10/20 * * * *", now), utc(2026, 11, 23, 12, 10, 0));
    CHECK_EQ(next("0-30/20 13 ? * ?", now), utc(2026, 11, 23, 13, 0, 0));
    CHECK_EQ(next("0 0 */2 * *", now), utc(2026, 11, 25, 0, 0, 0));
    CHECK_EQ(next("0 0 */2 * MON", now), utc(2026, 11, 25, 0, 0, 0)); /* a step leaves the field a choice */
    CHECK_EQ(next("0 0 *,1 * MON", now), utc(2026, 11, 30, 0, 0, 0));
    CHECK_EQ(next("*,*/7 * * * *", now), utc(2026, 11, 23, 12, 1, 0));
    CHECK_EQ(next("59 23 31 12 *", now), utc(2026, 12, 31, 23, 59, 0));
    CHECK_EQ(next("0 5 1 JAN,Jul *", now), utc(2027, 1, 1, 5, 0, 0));
    CHECK_EQ(next("@yearly", now), utc(2027, 1, 1, 0, 0, 0));
    CHECK_EQ(next("@weekly", now), utc(2026, 11, 29, 0, 0, 0));
}

TEST(intervals_add_their_parts_and_are_whole_seconds)
{
    CHECK_EQ(next("@every 1h30m5s", 0), (5400 + 5) * NS_PER_S);
    CHECK_EQ(next("@every 1.5h", 0), 5400 * NS_PER_S);
    CHECK_EQ(next("@every .5m", 0), 30 * NS_PER_S);
    CHECK_EQ(next("@every 2.00000000099m", 0), 120 * NS_PER_S);
    CHECK_EQ(next("@every 1999ms", 0), NS_PER_S);
    CHECK_EQ(next("@every 1us", 0), NS_PER_S);
    CHECK_EQ(next("@every 3s", INT64_MAX - NS_PER_S), -1); /* the end of time */
    CHECK_EQ(next("nonsense", 0), -1);
    CHECK_EQ(cron_backoff(BYTES("0 0 30 2 *"), 0, 0), -1);
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
    /* Past the year 2262 there is no time. */
    CHECK_EQ(cron_backoff(BYTES("@every 2000000h"), start, start), INT64_C(2000000) * 3600 * NS_PER_S);
    CHECK_EQ(cron_backoff(BYTES("@every 2400000h"), start, start), -1);
    CHECK_EQ(cron_backoff(BYTES("@every 2000000h"), 0, start + INT64_C(6000000000) * NS_PER_S), -1);
}

TEST(bad_specifications_are_refused_by_name)
{
    static const char *const bad[] = {
        "",
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
        "60-61 * * * *",
        "5-x * * * *",
        "*/x * * * *",
        "12345 * * * *",
        "1- * * * *",
        "-1 * * * *",
        "é * * * *",
        "* * * * 0-7",
        "* * * * * * * *",
        "@every 1",
        "@every 1.",
        "@every .s",
        "@every 1.5",
        "@every 5x",
        "@every 2562048h",
        "@every 2562047h60m",
        "@every 2562047h47m16s854ms776us.9us",
        "@every 92233720368547758079h",
        "CRON_TZ= * * * * *",
        "CRON_TZ=Mars/Olympus * * * * *",
        "TZ=aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1234567890 * * * * *"
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct error error;
        if (cron_check(bytes_of_text(bad[i]), &error) != ST_INVALID_ARGUMENT)
            fail_msg("accepted: %s", bad[i]);
        CHECK(strstr(error.message, "CronSchedule") != NULL);
    }
}

TEST(a_specification_has_a_longest)
{
    char         text[CRON_TEXT_MAX + 2];
    struct error error;
    memset(text, ' ', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "* * * * *", 9);
    CHECK_INT(cron_check(bytes_of(text, CRON_TEXT_MAX), &error), ST_OK);
    CHECK_INT(cron_check(bytes_of(text, CRON_TEXT_MAX + 1), &error), ST_INVALID_ARGUMENT);
    CHECK_TEXT(error.message, "invalid CronSchedule: over 1000 bytes");
}
