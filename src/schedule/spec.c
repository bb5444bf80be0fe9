/* spec.c: the search for the next time. Calendars are searched in local time, as if there were no zones, once for each stretch
 * of one offset; so clock changes need no rules of their own. */
#include "schedule/spec.h"

#include "base/civil.h"
#include "base/clock.h"
#include "base/hash.h"
#include "codec/pb_time.h"
#include "schedule/field.h"
#include "schedule/zone.h"

#define DAY_SECONDS 86400

struct calendar {
    uint64_t bits[FIELD_COUNT][2];
    bool     any_year;
};
struct interval {
    int64_t length, phase; /* seconds */
};
struct spec {
    struct calendar *calendars, *excluded;
    size_t           calendar_count, excluded_count;
    struct interval *intervals;
    size_t           interval_count;
    int64_t          start, end; /* seconds, inclusive */
    int64_t          jitter_ms;
    struct zone     *zone;
};
/* A local time, in parts. */
struct local {
    int64_t days, year, month, day, hour, minute, second;
};

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static struct local local_of(int64_t seconds)
{
    struct local local = { .days = floor_divide(seconds, DAY_SECONDS) };
    int64_t      rest = seconds - local.days * DAY_SECONDS;
    civil_date(local.days, &local.year, &local.month, &local.day);
    local.hour = rest / 3600;
    local.minute = rest / 60 % 60;
    local.second = rest % 60;
    return local;
}

static bool has(const struct calendar *calendar, enum field_kind kind, int64_t index)
{
    return index >= 0 && index < 128 && (calendar->bits[kind][index / 64] >> (index % 64) & 1) != 0;
}

/* The first member from `from` on; -1: none. Of fields below 64. */
static int64_t first_from(const struct calendar *calendar, enum field_kind kind, int64_t from)
{
    uint64_t rest = from > 63 ? 0 : calendar->bits[kind][0] >> from << from;
    return rest == 0 ? -1 : __builtin_ctzll(rest);
}

static bool year_matches(const struct calendar *calendar, int64_t year)
{
    return calendar->any_year || has(calendar, FIELD_YEAR, year - FIELD_YEAR_FIRST);
}

static bool day_matches(const struct calendar *calendar, const struct local *local)
{
    int64_t weekday = (local->days % 7 + 11) % 7; /* 1970-01-01 was a Thursday */
    return year_matches(calendar, local->year) && has(calendar, FIELD_MONTH, local->month - 1) &&
           has(calendar, FIELD_DAY_OF_MONTH, local->day - 1) && has(calendar, FIELD_DAY_OF_WEEK, weekday);
}

static bool calendar_matches(const struct calendar *calendar, const struct local *local)
{
    return has(calendar, FIELD_SECOND, local->second) && has(calendar, FIELD_MINUTE, local->minute) &&
           has(calendar, FIELD_HOUR, local->hour) && day_matches(calendar, local);
}

/* --- the search in local time --- */

/* The first time of day from `from` (seconds of a day) on; -1: none. */
static int64_t time_of_day_from(const struct calendar *calendar, int64_t from)
{
    int64_t hour = from / 3600, minute = from / 60 % 60,
            second = first_from(calendar, FIELD_SECOND, from % 60);
    if (!has(calendar, FIELD_HOUR, hour))
        minute = 60;
    else if (second < 0 || !has(calendar, FIELD_MINUTE, minute)) {
        second = -1;
        minute = first_from(calendar, FIELD_MINUTE, minute + 1);
        minute = minute < 0 ? 60 : minute;
    }
    if (minute == 60) { /* nothing is left of this hour */
        hour = first_from(calendar, FIELD_HOUR, hour + 1);
        minute = first_from(calendar, FIELD_MINUTE, 0);
        second = -1;
    }
    if (second < 0)
        second = first_from(calendar, FIELD_SECOND, 0);
    return hour < 0 || minute < 0 || second < 0 ? -1 : hour * 3600 + minute * 60 + second;
}

/* To the next day that may match: months and years that do not are left out. */
static void next_day(const struct calendar *calendar, struct local *local)
{
    bool in_month = year_matches(calendar, local->year) && has(calendar, FIELD_MONTH, local->month - 1);
    if (in_month)
        local->days++;
    else if (!year_matches(calendar, local->year))
        local->days = civil_days(local->year + 1, 1, 1);
    else
        local->days = local->month == 12 ? civil_days(local->year + 1, 1, 1)
                                         : civil_days(local->year, local->month + 1, 1);
    civil_date(local->days, &local->year, &local->month, &local->day);
}

/* The first local time from `from` on that is before `limit`; INT64_MAX: none. */
static int64_t local_from(const struct calendar *calendar, int64_t from, int64_t limit)
{
    struct local local = local_of(from);
    int64_t      of_day = from - local.days * DAY_SECONDS;
    while (local.year <= FIELD_YEAR_LAST && local.days * DAY_SECONDS < limit) {
        int64_t found = day_matches(calendar, &local) ? time_of_day_from(calendar, of_day) : -1;
        if (found >= 0) {
            int64_t time = local.days * DAY_SECONDS + found;
            return time < limit ? time : INT64_MAX;
        }
        next_day(calendar, &local);
        of_day = 0;
    }
    return INT64_MAX;
}

/* --- in universal time --- */

static int64_t calendar_next(const struct spec *spec, const struct calendar *calendar, int64_t after)
{
    static const int64_t end_of_search = INT64_C(4133980800) + DAY_SECONDS; /* past 2100 in every zone */
    for (int64_t from = after + 1, until; from < end_of_search; from = until) {
        int64_t offset = zone_offset(spec->zone, from, &until);
        int64_t limit = until == INT64_MAX ? INT64_MAX : until + offset;
        int64_t local = local_from(calendar, from + offset, limit);
        if (local != INT64_MAX)
            return local - offset;
        if (until == INT64_MAX)
            break;
    }
    return INT64_MAX;
}

static int64_t interval_next(const struct interval *interval, int64_t after)
{
    return (floor_divide(after - interval->phase, interval->length) + 1) * interval->length + interval->phase;
}

/* The next time that is not asked whether it is excluded. */
static int64_t raw_next(const struct spec *spec, int64_t after)
{
    static const int64_t last = INT64_C(4133980799); /* 2100-12-31T23:59:59Z */
    int64_t              next = INT64_MAX;
    for (size_t i = 0; i < spec->calendar_count; i++)
        next = MIN(next, calendar_next(spec, &spec->calendars[i], after));
    for (size_t i = 0; i < spec->interval_count; i++)
        next = MIN(next, interval_next(&spec->intervals[i], after));
    return next > last ? INT64_MAX : next;
}

/* The last second of what is certainly excluded together with this time: the minute, the hour or the day; 0: it is not. */
static int64_t excluded_until(const struct spec *spec, int64_t time)
{
    int64_t      until, offset = zone_offset(spec->zone, time, &until);
    struct local local = local_of(time + offset);
    for (size_t i = 0; i < spec->excluded_count; i++) {
        const struct calendar *calendar = &spec->excluded[i];
        int64_t                size = 1;
        if (!calendar_matches(calendar, &local))
            continue;
        if (calendar->bits[FIELD_SECOND][0] == (UINT64_C(1) << 60) - 1) {
            size = 60;
            if (calendar->bits[FIELD_MINUTE][0] == (UINT64_C(1) << 60) - 1)
                size = calendar->bits[FIELD_HOUR][0] == (UINT64_C(1) << 24) - 1 ? DAY_SECONDS : 3600;
        }
        int64_t begin = floor_divide(time + offset, size) * size - offset;
        return MIN(begin + size - 1, until - 1);
    }
    return 0;
}

static int64_t jitter_of(const struct spec *spec, int64_t time, struct bytes seed)
{
    uint8_t bytes[8 + 64];
    if (spec->jitter_ms == 0)
        return 0;
    int64_t  next = raw_next(spec, time);
    uint64_t most = (uint64_t)MIN(spec->jitter_ms,
                                  next == INT64_MAX ? spec->jitter_ms : (next - time) * 1000);
    uint64_t hash = hash_stable(seed);
    memcpy(bytes, &time, sizeof time);
    memcpy(bytes + 8, &hash, sizeof hash);
    uint64_t part = hash_stable(bytes_of(bytes, 16)) >> 32;
    return (int64_t)(part * MIN(most, (uint64_t)UINT32_MAX) >> 32) * NS_PER_MS;
}

bool spec_next(struct spec *spec, int64_t after_ns, struct bytes seed, struct spec_time *ret_time)
{
    int64_t after = MAX(floor_divide(after_ns, NS_PER_S),
                        spec->start == INT64_MIN ? INT64_MIN : spec->start - 1);
    for (unsigned steps = 0; steps < SPEC_STEPS_MAX; steps++) {
        int64_t time = raw_next(spec, after);
        if (time == INT64_MAX || time > spec->end)
            return false;
        int64_t until = excluded_until(spec, time);
        if (until == 0) {
            ret_time->nominal = time * NS_PER_S;
            ret_time->actual = ret_time->nominal + jitter_of(spec, time, seed);
            return true;
        }
        after = until;
    }
    return false;
}

/* --- life --- */

static struct calendar *compile(const struct schedule_StructuredCalendarSpec *given, size_t count)
{
    struct calendar *calendars = xcalloc(count + 1, sizeof *calendars);
    for (size_t i = 0; i < count; i++) {
        for (int kind = 0; kind < FIELD_COUNT; kind++)
            field_bits((enum field_kind)kind, field_of(&given[i], (enum field_kind)kind),
                       calendars[i].bits[kind]);
        calendars[i].any_year = given[i].year_count == 0;
    }
    return calendars;
}

enum status spec_open(const struct schedule_ScheduleSpec *canonical, struct spec **ret_spec,
                      struct error *error)
{
    struct zone *zone;
    enum status  status = zone_open(canonical->timezone_name, &zone, error);
    if (status != ST_OK)
        return status;
    struct spec *spec = xcalloc(1, sizeof *spec);
    spec->zone = zone;
    spec->calendar_count = canonical->structured_calendar_count;
    spec->calendars = compile(canonical->structured_calendar, spec->calendar_count);
    spec->excluded_count = canonical->exclude_structured_calendar_count;
    spec->excluded = compile(canonical->exclude_structured_calendar, spec->excluded_count);
    spec->interval_count = canonical->interval_count;
    spec->intervals = xcalloc(spec->interval_count + 1, sizeof *spec->intervals);
    for (size_t i = 0; i < spec->interval_count; i++)
        spec->intervals[i] = (struct interval){ duration_ns(canonical->interval[i].interval) / NS_PER_S,
                                                duration_ns(canonical->interval[i].phase) / NS_PER_S };
    spec->start = canonical->start_time == NULL
                      ? INT64_MIN
                      : -floor_divide(-timestamp_ns(canonical->start_time), NS_PER_S);
    spec->end = canonical->end_time == NULL ? INT64_MAX
                                            : floor_divide(timestamp_ns(canonical->end_time), NS_PER_S);
    spec->jitter_ms = duration_ns(canonical->jitter) / NS_PER_MS;
    *ret_spec = spec;
    return ST_OK;
}

void spec_close(struct spec *spec)
{
    if (spec == NULL)
        return;
    zone_close(spec->zone);
    free(spec->calendars);
    free(spec->excluded);
    free(spec->intervals);
    free(spec);
}
