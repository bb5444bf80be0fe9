/* canonical.c: the many ways to write a spec, made one. */
#include <stdio.h>

#include "base/clock.h"
#include "base/duration.h"
#include "codec/pb_time.h"
#include "schedule/field.h"
#include "schedule/spec.h"
#include "schedule/zone.h"

struct making {
    const struct schedule_ScheduleSpec     *given;
    struct arena                           *arena;
    struct schedule_StructuredCalendarSpec *calendars;
    struct schedule_IntervalSpec           *intervals;
    size_t                                  calendar_count, interval_count;
    struct bytes                            zone;
    struct error                           *error;
};

#define WHERE_MAX 64

static enum status too_many(struct making *making, const char *field, size_t count)
{
    return count <= SPEC_ITEMS_MAX
               ? ST_OK
               : error_set(making->error, ST_INVALID_ARGUMENT,
                           "Spec.%s has %zu items, more than the %d allowed", field, count, SPEC_ITEMS_MAX);
}

static enum status comment_check(struct making *making, const char *where, struct bytes comment)
{
    return comment.size <= SPEC_COMMENT_MAX
               ? ST_OK
               : error_set(making->error, ST_INVALID_ARGUMENT, "%s.Comment is longer than %d bytes", where,
                           SPEC_COMMENT_MAX);
}

/* --- calendars --- */

static enum status clean(struct making *making, const char *where,
                         const struct schedule_StructuredCalendarSpec *given,
                         struct schedule_StructuredCalendarSpec       *ret_calendar)
{
    enum status status = comment_check(making, where, given->comment);
    *ret_calendar = (struct schedule_StructuredCalendarSpec){ .comment = given->comment };
    for (int i = 0; i < FIELD_COUNT && status == ST_OK; i++) {
        enum field_kind     kind = (enum field_kind)i;
        struct field_ranges ranges;
        status = field_clean(where, kind, field_of(given, kind), making->arena, &ranges, making->error);
        field_put(ret_calendar, kind, ranges);
    }
    return status;
}

static enum status of_texts(struct making *making, const char *where, const struct bytes texts[FIELD_COUNT],
                            struct bytes comment, struct schedule_StructuredCalendarSpec *ret_calendar)
{
    enum status status = comment_check(making, where, comment);
    *ret_calendar = (struct schedule_StructuredCalendarSpec){ .comment = comment };
    for (int i = 0; i < FIELD_COUNT && status == ST_OK; i++) {
        enum field_kind     kind = (enum field_kind)i;
        struct field_ranges ranges;
        status = field_parse(where, kind, texts[kind], making->arena, &ranges, making->error);
        field_put(ret_calendar, kind, ranges);
    }
    return status;
}

static enum status of_calendar(struct making *making, const char *where,
                               const struct schedule_CalendarSpec     *given,
                               struct schedule_StructuredCalendarSpec *ret_calendar)
{
    const struct bytes texts[FIELD_COUNT] = {
        [FIELD_SECOND] = given->second,
        [FIELD_MINUTE] = given->minute,
        [FIELD_HOUR] = given->hour,
        [FIELD_DAY_OF_MONTH] = given->day_of_month,
        [FIELD_MONTH] = given->month,
        [FIELD_YEAR] = given->year,
        [FIELD_DAY_OF_WEEK] = given->day_of_week,
    };
    return of_texts(making, where, texts, given->comment, ret_calendar);
}

/* Both lists of calendars, structured ones first, as one. */
static enum status calendars_join(struct making *making, bool excluded,
                                  struct schedule_StructuredCalendarSpec *calendars, size_t *ret_count)
{
    const struct schedule_ScheduleSpec *given = making->given;
    size_t                              structured = excluded ? given->exclude_structured_calendar_count
                                                              : given->structured_calendar_count;
    size_t      textual = excluded ? given->exclude_calendar_count : given->calendar_count;
    char        where[WHERE_MAX];
    enum status status = ST_OK;
    for (size_t i = 0; i < structured && status == ST_OK; i++) {
        snprintf(where, sizeof where, "Spec.%sStructuredCalendar[%zu]", excluded ? "Exclude" : "", i);
        status = clean(making, where,
                       excluded ? &given->exclude_structured_calendar[i] : &given->structured_calendar[i],
                       &calendars[(*ret_count)++]);
    }
    for (size_t i = 0; i < textual && status == ST_OK; i++) {
        snprintf(where, sizeof where, "Spec.%sCalendar[%zu]", excluded ? "Exclude" : "", i);
        status = of_calendar(making, where, excluded ? &given->exclude_calendar[i] : &given->calendar[i],
                             &calendars[(*ret_count)++]);
    }
    return status;
}

/* --- intervals --- */

static enum status interval_put(struct making *making, const char *where, int64_t interval_ns,
                                int64_t phase_ns)
{
    struct schedule_IntervalSpec *interval = &making->intervals[making->interval_count++];
    if (interval_ns < NS_PER_S)
        return error_set(making->error, ST_INVALID_ARGUMENT, "%s.Interval is shorter than a second", where);
    if (phase_ns < 0 || phase_ns >= interval_ns)
        return error_set(making->error, ST_INVALID_ARGUMENT,
                         "%s.Phase is negative, or not shorter than the interval", where);
    interval->interval = duration_of_ns(making->arena, interval_ns / NS_PER_S * NS_PER_S);
    interval->phase = duration_of_ns(making->arena, phase_ns / NS_PER_S * NS_PER_S);
    return ST_OK;
}

static enum status intervals_take(struct making *making)
{
    const struct schedule_ScheduleSpec *given = making->given;
    enum status                         status = ST_OK;
    for (size_t i = 0; i < given->interval_count && status == ST_OK; i++) {
        char    where[WHERE_MAX], field[2 * WHERE_MAX];
        int64_t interval_ns, phase_ns;
        snprintf(where, sizeof where, "Spec.Interval[%zu]", i);
        snprintf(field, sizeof field, "%s.Interval", where);
        status = duration_check(given->interval[i].interval, field, &interval_ns, making->error);
        snprintf(field, sizeof field, "%s.Phase", where);
        if (status == ST_OK)
            status = duration_check(given->interval[i].phase, field, &phase_ns, making->error);
        if (status == ST_OK)
            status = interval_put(making, where, interval_ns, phase_ns);
    }
    return status;
}

/* --- cron strings --- */

static struct bytes trim(struct bytes text)
{
    while (text.size != 0 && (text.base[0] == ' ' || text.base[0] == '\t'))
        text = bytes_of(text.base + 1, text.size - 1);
    while (text.size != 0 && (text.base[text.size - 1] == ' ' || text.base[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* Takes what is before `separator`, or all of it. */
static struct bytes take_until(struct bytes *text, uint8_t separator)
{
    const uint8_t *at = text->size == 0 ? NULL : memchr(text->base, separator, text->size);
    size_t         size = at == NULL ? text->size : (size_t)(at - text->base);
    struct bytes   part = bytes_of(text->base, size);
    size_t         skip = at == NULL ? size : size + 1;
    *text = bytes_of(text->base + skip, text->size - skip);
    return part;
}

static enum status zone_take(struct making *making, const char *where, struct bytes *text)
{
    if (!bytes_starts_with(*text, BYTES("CRON_TZ=")) && !bytes_starts_with(*text, BYTES("TZ=")))
        return ST_OK;
    (void)take_until(text, '=');
    struct bytes zone = take_until(text, ' ');
    *text = trim(*text);
    if (making->zone.size != 0 && !bytes_equal(making->zone, zone))
        return error_set(making->error, ST_INVALID_ARGUMENT,
                         "%s is of time zone \"%.*s\", and another part of the spec of \"%.*s\"", where,
                         BYTES_FMT(zone), BYTES_FMT(making->zone));
    making->zone = zone;
    return ST_OK;
}

/* "@every 1h30m", with a phase behind a slash. */
static enum status every_take(struct making *making, const char *where, struct bytes text)
{
    int64_t      interval_ns, phase_ns = 0;
    bool         has_phase = text.size != 0 && memchr(text.base, '/', text.size) != NULL;
    struct bytes interval = take_until(&text, '/');
    if (!duration_parse(trim(interval), &interval_ns) ||
        (has_phase && !duration_parse(trim(text), &phase_ns)))
        return error_set(making->error, ST_INVALID_ARGUMENT,
                         "%s: @every is followed by a duration, or by two: 1h/5m", where);
    return interval_put(making, where, interval_ns, phase_ns);
}

static struct bytes macro_of(struct bytes text)
{
    static const struct {
        const char *name, *fields;
    } macros[] = { { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
                   { "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
                   { "@hourly", "0 * * * *" } };
    for (size_t i = 0; i < ARRAY_COUNT(macros); i++) {
        if (bytes_equal_text(text, macros[i].name))
            return bytes_of_text(macros[i].fields);
    }
    return text;
}

/* Five fields; six with a year behind; seven with seconds before as well. */
static enum status fields_take(struct making *making, const char *where, struct bytes text,
                               struct bytes comment)
{
    static const enum field_kind order[] = { FIELD_SECOND, FIELD_MINUTE,      FIELD_HOUR, FIELD_DAY_OF_MONTH,
                                             FIELD_MONTH,  FIELD_DAY_OF_WEEK, FIELD_YEAR };
    struct bytes                 words[ARRAY_COUNT(order)], texts[FIELD_COUNT] = { 0 };
    size_t                       count = 0;
    for (struct bytes word; text.size != 0; text = trim(text)) {
        word = take_until(&text, ' ');
        if (word.size == 0)
            continue;
        if (count == ARRAY_COUNT(order)) {
            count++;
            break;
        }
        words[count++] = word;
    }
    if (count < 5 || count > 7)
        return error_set(
            making->error, ST_INVALID_ARGUMENT,
            "%s has not 5 to 7 fields: [second] minute hour day-of-month month day-of-week [year]", where);
    size_t first = count == 7 ? 0 : 1;
    for (size_t i = 0; i < count; i++)
        texts[order[first + i]] = words[i];
    return of_texts(making, where, texts, comment, &making->calendars[making->calendar_count++]);
}

static enum status cron_take(struct making *making, size_t index)
{
    struct bytes comment = making->given->cron_string[index], text = trim(take_until(&comment, '#'));
    char         where[WHERE_MAX];
    snprintf(where, sizeof where, "Spec.CronString[%zu]", index);
    comment = trim(comment);
    enum status status = zone_take(making, where, &text);
    if (status != ST_OK)
        return status;
    if (bytes_starts_with(text, BYTES("@every ")))
        return every_take(making, where, bytes_of(text.base + 7, text.size - 7));
    return fields_take(making, where, macro_of(text), comment);
}

/* --- the whole --- */

static enum status counts_check(struct making *making)
{
    const struct schedule_ScheduleSpec *given = making->given;
    enum status                         status;
    if ((status = too_many(making, "StructuredCalendar", given->structured_calendar_count)) != ST_OK ||
        (status = too_many(making, "Calendar", given->calendar_count)) != ST_OK ||
        (status = too_many(making, "CronString", given->cron_string_count)) != ST_OK ||
        (status = too_many(making, "Interval", given->interval_count)) != ST_OK ||
        (status = too_many(making, "ExcludeCalendar", given->exclude_calendar_count)) != ST_OK)
        return status;
    return too_many(making, "ExcludeStructuredCalendar", given->exclude_structured_calendar_count);
}

static enum status times_check(struct making *making)
{
    const struct schedule_ScheduleSpec *given = making->given;
    int64_t                             scratch;
    enum status                         status;
    if (given->timezone_data.size != 0)
        return error_set(making->error, ST_INVALID_ARGUMENT,
                         "Spec.TimezoneData is not supported; name a zone in Spec.TimezoneName");
    if ((status = timestamp_check(given->start_time, "Spec.StartTime", &scratch, making->error)) != ST_OK ||
        (status = timestamp_check(given->end_time, "Spec.EndTime", &scratch, making->error)) != ST_OK)
        return status;
    return duration_check(given->jitter, "Spec.Jitter", &scratch, making->error);
}

static enum status zone_check(struct making *making)
{
    struct zone *zone;
    enum status  status = zone_open(making->zone, &zone, making->error);
    if (status != ST_OK)
        return error_set(making->error, ST_INVALID_ARGUMENT, "Spec.TimezoneName: unknown time zone \"%.*s\"",
                         BYTES_FMT(making->zone));
    zone_close(zone);
    return ST_OK;
}

enum status spec_canonical(const struct schedule_ScheduleSpec *given, struct arena *arena,
                           struct schedule_ScheduleSpec *ret_canonical, struct error *error)
{
    static const struct schedule_ScheduleSpec nothing = { 0 };
    struct making making = { .given = given != NULL ? given : &nothing, .arena = arena, .error = error };
    enum status   status = counts_check(&making);
    given = making.given;
    if (status != ST_OK || (status = times_check(&making)) != ST_OK)
        return status;
    making.zone = given->timezone_name;
    making.calendars = ARENA_NEW_ARRAY(arena, struct schedule_StructuredCalendarSpec,
                                       given->structured_calendar_count + given->calendar_count +
                                           given->cron_string_count + 1);
    making.intervals = ARENA_NEW_ARRAY(arena, struct schedule_IntervalSpec,
                                       given->interval_count + given->cron_string_count + 1);
    *ret_canonical = (struct schedule_ScheduleSpec){ .start_time = given->start_time,
                                                     .end_time = given->end_time,
                                                     .jitter = given->jitter };
    ret_canonical->exclude_structured_calendar = ARENA_NEW_ARRAY(arena,
                                                                 struct schedule_StructuredCalendarSpec,
                                                                 given->exclude_structured_calendar_count +
                                                                     given->exclude_calendar_count + 1);
    status = calendars_join(&making, false, making.calendars, &making.calendar_count);
    if (status == ST_OK)
        status = intervals_take(&making);
    for (size_t i = 0; i < given->cron_string_count && status == ST_OK; i++)
        status = cron_take(&making, i);
    if (status == ST_OK)
        status = calendars_join(&making, true, ret_canonical->exclude_structured_calendar,
                                &ret_canonical->exclude_structured_calendar_count);
    if (status == ST_OK)
        status = zone_check(&making);
    ret_canonical->structured_calendar = making.calendars;
    ret_canonical->structured_calendar_count = making.calendar_count;
    ret_canonical->interval = making.intervals;
    ret_canonical->interval_count = making.interval_count;
    ret_canonical->timezone_name = making.zone;
    return status;
}
