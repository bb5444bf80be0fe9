/* spec_test.c: times of schedules, by hand-computed ones and against a walk over every second. */
#include "schedule/spec.h"

#include <time.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/testing.h"
#include "codec/pb_time.h"

struct fixture {
    struct arena                 arena;
    struct schedule_ScheduleSpec given, canonical;
    struct spec                 *spec;
    struct error                 error;
};

static void fixture_begin(struct fixture *f)
{
    *f = (struct fixture){ 0 };
    arena_init(&f->arena, SIZE_MAX);
}

static void fixture_open(struct fixture *f)
{
    CHECK_INT(spec_canonical(&f->given, &f->arena, &f->canonical, &f->error), ST_OK);
    CHECK_INT(spec_open(&f->canonical, &f->spec, &f->error), ST_OK);
}

static void fixture_end(struct fixture *f)
{
    spec_close(f->spec);
    arena_release(&f->arena);
}

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

static int64_t next(struct fixture *f, int64_t after)
{
    struct spec_time time;
    return spec_next(f->spec, after, BYTES("seed"), &time) ? time.nominal : -1;
}

static void of_cron(struct fixture *f, const char *text)
{
    struct bytes *cron = ARENA_NEW(&f->arena, struct bytes);
    *cron = bytes_of_text(text);
    f->given.cron_string = cron;
    f->given.cron_string_count = 1;
    fixture_open(f);
}

static void check_cron(const char *text, int64_t after, int64_t wanted)
{
    struct fixture f;
    fixture_begin(&f);
    of_cron(&f, text);
    CHECK_EQ(next(&f, after), wanted);
    fixture_end(&f);
}

TEST(cron_strings_have_five_to_seven_fields)
{
    int64_t now = utc(2026, 11, 24, 12, 0, 0); /* a Tuesday */
    check_cron("*/15 * * * *", now, utc(2026, 11, 24, 12, 15, 0));
    check_cron("*/15 * * * *", now - 1, now);
    check_cron("0 9 * * MON-FRI # weekdays", now, utc(2026, 11, 25, 9, 0, 0));
    check_cron("0 9 * * 5-7", now, utc(2026, 11, 27, 9, 0, 0));
    check_cron("0 9 * * 7", now, utc(2026, 11, 29, 9, 0, 0));
    check_cron("0 9 * * sunday", now, utc(2026, 11, 29, 9, 0, 0));
    check_cron("30 8 1 jan,JULY *", now, utc(2027, 1, 1, 8, 30, 0));
    check_cron("0 0 29 2 *", now, utc(2028, 2, 29, 0, 0, 0));
    check_cron("0 12 * * * 2030", now, utc(2030, 1, 1, 12, 0, 0));
    check_cron("5/20 0 12 * * * *", now, utc(2026, 11, 24, 12, 0, 5));
    check_cron("5/20 0 12 * * * *", utc(2026, 11, 24, 12, 0, 45), utc(2026, 11, 25, 12, 0, 5));
    check_cron("0 0 13 * 5", now, utc(2027, 8, 13, 0, 0, 0)); /* Friday the 13th: both must match */
    check_cron("@hourly", now, utc(2026, 11, 24, 13, 0, 0));
    check_cron("@every 90m", now, utc(2026, 11, 24, 13, 30, 0));
    check_cron("@every 1h/5m", now, utc(2026, 11, 24, 12, 5, 0));
    check_cron("0 0 31 2 *", now, -1);
    check_cron("0 0 1 1 * 2026", now, -1);
}

TEST(a_local_time_that_is_skipped_never_comes_and_one_that_is_repeated_comes_twice)
{
    check_cron("TZ=America/New_York 30 2 * * *", utc(2026, 3, 7, 12, 0, 0), utc(2026, 3, 9, 6, 30, 0));
    check_cron("CRON_TZ=America/New_York 30 1 * * *", utc(2026, 10, 31, 12, 0, 0),
               utc(2026, 11, 1, 5, 30, 0));
    check_cron("CRON_TZ=America/New_York 30 1 * * *", utc(2026, 11, 1, 5, 30, 0), utc(2026, 11, 1, 6, 30, 0));
    check_cron("CRON_TZ=America/New_York 30 1 * * *", utc(2026, 11, 1, 6, 30, 0), utc(2026, 11, 2, 6, 30, 0));
    /* Half an hour of daylight saving time. */
    check_cron("TZ=Australia/Lord_Howe 45 1 * * *", utc(2026, 4, 4, 14, 44, 0), utc(2026, 4, 4, 14, 45, 0));
    check_cron("TZ=Australia/Lord_Howe 45 1 * * *", utc(2026, 4, 4, 14, 45, 0), utc(2026, 4, 4, 15, 15, 0));
    check_cron("TZ=Australia/Lord_Howe 15 2 * * *", utc(2026, 10, 3, 0, 0, 0), utc(2026, 10, 4, 15, 15, 0));
    /* A day that a zone left out: Samoa had no 2011-12-30; a day of Kiribati begins first. */
    check_cron("TZ=Pacific/Kiritimati 0 0 1 1 *", utc(2026, 11, 24, 0, 0, 0), utc(2026, 12, 31, 10, 0, 0));
}

TEST(the_year_2100_is_the_last)
{
    check_cron("0 0 31 12 *", utc(2100, 6, 1, 0, 0, 0), utc(2100, 12, 31, 0, 0, 0));
    check_cron("0 0 31 12 *", utc(2100, 12, 31, 0, 0, 0), -1);
    check_cron("@every 1h", utc(2100, 12, 31, 23, 0, 0), -1);
}

TEST(start_and_end_are_inclusive)
{
    struct fixture f;
    fixture_begin(&f);
    f.given.start_time = timestamp_of_ns(&f.arena, utc(2026, 12, 1, 0, 0, 0));
    f.given.end_time = timestamp_of_ns(&f.arena, utc(2026, 12, 2, 0, 0, 0));
    of_cron(&f, "0 0 * * *");
    CHECK_EQ(next(&f, 0), utc(2026, 12, 1, 0, 0, 0));
    CHECK_EQ(next(&f, utc(2026, 12, 1, 0, 0, 0)), utc(2026, 12, 2, 0, 0, 0));
    CHECK_EQ(next(&f, utc(2026, 12, 2, 0, 0, 0)), -1);
    fixture_end(&f);
}

TEST(excluded_times_are_left_out_however_many_there_are)
{
    struct fixture               f;
    struct schedule_CalendarSpec excluded[] = {
        { .second = BYTES("*"), .minute = BYTES("*"), .hour = BYTES("*"), .year = BYTES("2026-2040") },
        { .second = BYTES("*"), .minute = BYTES("0-29"), .hour = BYTES("0"), .year = BYTES("2041") },
    };
    fixture_begin(&f);
    f.given.exclude_calendar = excluded;
    f.given.exclude_calendar_count = ARRAY_COUNT(excluded);
    of_cron(&f, "@every 1s");
    CHECK_EQ(next(&f, utc(2026, 11, 24, 0, 0, 0)), utc(2041, 1, 1, 0, 30, 0));
    CHECK_EQ(next(&f, utc(2041, 1, 1, 0, 30, 0)), utc(2041, 1, 1, 0, 30, 1));
    fixture_end(&f);
}

TEST(jitter_stays_below_the_gap_and_is_the_same_every_time)
{
    struct fixture   f;
    struct spec_time time = { 0 }, again;
    bool             differs = false;
    fixture_begin(&f);
    f.given.jitter = duration_of_ns(&f.arena, 3600 * NS_PER_S);
    of_cron(&f, "*/10 * * * *");
    for (int i = 0; i < 200; i++) {
        int64_t before = time.nominal;
        CHECK(spec_next(f.spec, time.nominal, BYTES("a"), &time));
        CHECK(time.nominal == before + 600 * NS_PER_S && time.actual >= time.nominal &&
              time.actual < time.nominal + 600 * NS_PER_S);
        CHECK(spec_next(f.spec, before, BYTES("a"), &again) && again.actual == time.actual);
        CHECK(spec_next(f.spec, before, BYTES("b"), &again));
        differs = differs || again.actual != time.actual;
    }
    CHECK(differs);
    fixture_end(&f);
}

/* --- errors --- */

static void check_refused(const char *cron, const char *words)
{
    struct fixture f;
    struct bytes   text = bytes_of_text(cron);
    fixture_begin(&f);
    f.given.cron_string = &text;
    f.given.cron_string_count = 1;
    CHECK_INT(spec_canonical(&f.given, &f.arena, &f.canonical, &f.error), ST_INVALID_ARGUMENT);
    if (strstr(f.error.message, words) == NULL)
        CHECK_BYTES(bytes_of_text(f.error.message), bytes_of_text(words));
    fixture_end(&f);
}

TEST(what_is_wrong_is_named)
{
    check_refused("* * * *", "Spec.CronString[0] has not 5 to 7 fields");
    check_refused("* * * * * * * *", "has not 5 to 7 fields");
    check_refused("60 * * * *", "Spec.CronString[0].Minute: \"60\" is not made of");
    check_refused("* * 0 * *", "DayOfMonth");
    check_refused("* * * * 8", "DayOfWeek");
    check_refused("* * * ja *", "Month");
    check_refused("* * * * * 1999", "Year");
    check_refused("*/0 * * * *", "Minute");
    check_refused("5-1 * * * *", "Minute");
    check_refused("@every 0s", "shorter than a second");
    check_refused("@every 1h/1h", "Phase");
    check_refused("@every", "fields");
    check_refused("@every soon", "followed by a duration");
    check_refused("TZ=Mars/Olympus * * * * *", "unknown time zone \"Mars/Olympus\"");
}

TEST(the_canonical_form_says_the_same_again)
{
    struct fixture f, g;
    fixture_begin(&f);
    fixture_begin(&g);
    of_cron(&f, "CRON_TZ=Europe/Berlin 5,10-20/5 */2 * mar-may 1 # spring");
    CHECK_INT(f.canonical.structured_calendar_count, 1);
    CHECK_INT(f.canonical.cron_string_count, 0);
    CHECK_BYTES(f.canonical.timezone_name, BYTES("Europe/Berlin"));
    CHECK_BYTES(f.canonical.structured_calendar[0].comment, BYTES("spring"));
    CHECK_INT(f.canonical.structured_calendar[0].minute_count, 2);
    CHECK_INT(f.canonical.structured_calendar[0].minute[0].end, 5);
    CHECK_INT(f.canonical.structured_calendar[0].year_count, 0);
    g.given = f.canonical;
    fixture_open(&g);
    int64_t time = utc(2026, 1, 1, 0, 0, 0);
    for (int i = 0; i < 1000; i++) {
        int64_t then = next(&f, time);
        CHECK_EQ(next(&g, time), then);
        time = then;
    }
    fixture_end(&g);
    fixture_end(&f);
}

/* --- against a walk over every second --- */

static struct schedule_Range *random_ranges(struct fixture *f, struct random *random, int low, int high,
                                            bool dense, size_t *ret_count)
{
    struct schedule_Range *ranges = ARENA_NEW_ARRAY(&f->arena, struct schedule_Range, 3);
    *ret_count = 1 + random_below(random, 2);
    for (size_t i = 0; i < *ret_count; i++) {
        int start = low + (int)random_below(random, (uint64_t)high - (uint64_t)low + 1);
        ranges[i] = (struct schedule_Range){ .start = start };
        if (dense || random_below(random, 2) == 0) {
            ranges[i].end = start + (int)random_below(random, (uint64_t)high - (uint64_t)start + 1);
            ranges[i].step = 1 + (int)random_below(random, 4);
        }
    }
    return ranges;
}

static bool in_ranges(const struct schedule_Range *ranges, size_t count, int value)
{
    for (size_t i = 0; i < count; i++) {
        int end = MAX(ranges[i].end, ranges[i].start), step = MAX(ranges[i].step, 1);
        if (value >= ranges[i].start && value <= end && (value - ranges[i].start) % step == 0)
            return true;
    }
    return false;
}

static bool matches(const struct schedule_StructuredCalendarSpec *c, int64_t seconds)
{
    struct tm tm;
    time_t    time = seconds;
    gmtime_r(&time, &tm);
    return in_ranges(c->second, c->second_count, tm.tm_sec) &&
           in_ranges(c->minute, c->minute_count, tm.tm_min) &&
           in_ranges(c->hour, c->hour_count, tm.tm_hour) &&
           in_ranges(c->month, c->month_count, tm.tm_mon + 1) &&
           in_ranges(c->day_of_month, c->day_of_month_count, tm.tm_mday) &&
           in_ranges(c->day_of_week, c->day_of_week_count, tm.tm_wday);
}

static void random_calendar(struct fixture *f, struct random *random,
                            struct schedule_StructuredCalendarSpec *c)
{
    *c = (struct schedule_StructuredCalendarSpec){ 0 };
    c->second = random_ranges(f, random, 0, 59, false, &c->second_count);
    c->minute = random_ranges(f, random, 0, 59, false, &c->minute_count);
    c->hour = random_ranges(f, random, 0, 23, true, &c->hour_count);
    c->day_of_month = random_ranges(f, random, 1, 31, true, &c->day_of_month_count);
    c->month = random_ranges(f, random, 1, 12, true, &c->month_count);
    c->day_of_week = random_ranges(f, random, 0, 6, true, &c->day_of_week_count);
}

TEST(random_specs_agree_with_a_walk_over_every_second)
{
    struct random random;
    random_seed(&random, 7);
    for (int round = 0; round < 60; round++) {
        struct fixture                         f;
        struct schedule_StructuredCalendarSpec calendars[2], excluded[1];
        int64_t from = utc(2026, 1, 1, 0, 0, 0) / NS_PER_S + (int64_t)random_below(&random, 40000000);
        fixture_begin(&f);
        random_calendar(&f, &random, &calendars[0]);
        random_calendar(&f, &random, &calendars[1]);
        random_calendar(&f, &random, &excluded[0]);
        f.given.structured_calendar = calendars;
        f.given.structured_calendar_count = 2;
        f.given.exclude_structured_calendar = excluded;
        f.given.exclude_structured_calendar_count = 1;
        fixture_open(&f);
        int64_t found = next(&f, from * NS_PER_S);
        for (int64_t second = from + 1; second < from + 2 * 86400; second++) {
            bool is_time = (matches(&calendars[0], second) || matches(&calendars[1], second)) &&
                           !matches(&excluded[0], second);
            CHECK_EQ(is_time, found == second * NS_PER_S);
            if (is_time)
                found = next(&f, found);
        }
        fixture_end(&f);
    }
}
