/* cron.c: parse into bit sets, search by skipping whole months, days and hours. */
#include "engine/cron.h"

#include <unicode/ucal.h>

#include "base/clock.h"
#include "base/duration.h"

#define SEARCH_YEARS  5
#define CRON_ZONE_MAX 64
#define SECOND_MS     1000.0

struct cron_spec {
    uint64_t minutes;            /* bit per minute; hours, days and so on likewise */
    uint32_t hours, days;        /* days 1-31 */
    uint16_t months;             /* 1-12 */
    uint8_t  weekdays;           /* 0 is Sunday */
    bool any_day, any_weekday;   /* the field began with '*': then the other one alone decides, else either */
    int64_t interval_ns;         /* @every; 0: the fields above */
    char    zone[CRON_ZONE_MAX]; /* IANA name; empty: UTC */
};

static const char *const month_names[] = { "jan", "feb", "mar", "apr", "may", "jun",
                                           "jul", "aug", "sep", "oct", "nov", "dec" };
static const char *const weekday_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

struct field_rule {
    const char        *name;
    unsigned           low, high;
    const char *const *names; /* NULL: numbers only */
    unsigned           name_count, name_first;
};
static const struct field_rule rules[] = {
    { "minute", 0, 59, NULL, 0, 0 },
    { "hour", 0, 23, NULL, 0, 0 },
    { "day of month", 1, 31, NULL, 0, 0 },
    { "month", 1, 12, month_names, 12, 1 },
    { "day of week", 0, 6, weekday_names, 7, 0 },
};

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
}

static bool same_word(struct bytes word, const char *name)
{
    if (word.size != strlen(name))
        return false;
    for (size_t i = 0; i < word.size; i++) {
        if (lower(word.base[i]) != (uint8_t)name[i])
            return false;
    }
    return true;
}

/* Cuts `rest` at the first `separator`; returns the part before it. */
static struct bytes cut(struct bytes *rest, uint8_t separator)
{
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->base, separator, rest->size);
    size_t         size = at == NULL ? rest->size : (size_t)(at - rest->base);
    struct bytes   part = bytes_of(rest->base, size);
    size_t         skip = at == NULL ? size : size + 1;
    *rest = bytes_of(rest->base + skip, rest->size - skip);
    return part;
}

static bool parse_number(struct bytes text, const struct field_rule *rule, unsigned *ret_value)
{
    unsigned value = 0;
    for (unsigned i = 0; i < rule->name_count; i++) {
        if (same_word(text, rule->names[i])) {
            *ret_value = i + rule->name_first;
            return true;
        }
    }
    if (text.size == 0 || text.size > 4)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.base[i] < '0' || text.base[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.base[i] - '0');
    }
    *ret_value = value;
    return true;
}

/* One item of a list: "*", "a", "a-b", each with an optional "/step". "a/step" runs to the end, as in the field's library. */
static bool parse_item(struct bytes item, const struct field_rule *rule, uint64_t *bits, bool *ret_any)
{
    struct bytes rest = item, range = cut(&rest, '/'), high_text = range;
    bool         has_step = range.size != item.size, has_range = false;
    unsigned     low = rule->low, high = rule->high, step = 1;
    if (has_step && (!parse_number(rest, &(struct field_rule){ 0 }, &step) || step == 0))
        return false;
    if (bytes_equal_text(range, "*") || bytes_equal_text(range, "?")) {
        *ret_any = step == 1 || *ret_any;
    } else {
        struct bytes low_text = cut(&high_text, '-');
        has_range = low_text.size != range.size;
        if (!parse_number(low_text, rule, &low))
            return false;
        if (has_range && !parse_number(high_text, rule, &high))
            return false;
        if (!has_range && !has_step)
            high = low;
    }
    if (rule->names == weekday_names && low == 7 && high == 7)
        low = high = 0; /* Sunday by its other number */
    if (low < rule->low || high > rule->high || low > high)
        return false;
    for (unsigned value = low; value <= high; value += step)
        *bits |= UINT64_C(1) << value;
    return true;
}

static enum status parse_field(struct bytes text, const struct field_rule *rule, uint64_t *ret_bits,
                               bool *ret_any, struct error *error)
{
    struct bytes rest = text;
    *ret_bits = 0;
    *ret_any = false;
    do {
        struct bytes item = cut(&rest, ',');
        if (!parse_item(item, rule, ret_bits, ret_any))
            return error_set(error, ST_INVALID_ARGUMENT,
                             "invalid CronSchedule: %s \"%.*s\" (allowed: %u-%u, lists, ranges, /steps)",
                             rule->name, BYTES_FMT(text), rule->low, rule->high);
    } while (rest.size != 0 ||
             (rest.base != text.base && rest.base[-1] == ',' && rest.base == text.base + text.size));
    return ST_OK;
}

static enum status parse_macro(struct bytes text, struct cron_spec *spec, struct bytes *ret_fields,
                               struct error *error)
{
    static const struct {
        const char *name, *fields;
    } macros[] = { { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
                   { "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
                   { "@hourly", "0 * * * *" } };
    for (size_t i = 0; i < ARRAY_COUNT(macros); i++) {
        if (bytes_equal_text(text, macros[i].name)) {
            *ret_fields = bytes_of_text(macros[i].fields);
            return ST_OK;
        }
    }
    if (bytes_starts_with(text, BYTES("@every ")) &&
        duration_parse(bytes_of(text.base + 7, text.size - 7), &spec->interval_ns) && spec->interval_ns > 0) {
        /* Below a second the grid would be finer than the backoff, which is in whole seconds. */
        spec->interval_ns = MAX(spec->interval_ns / NS_PER_S * NS_PER_S, NS_PER_S);
        return ST_OK;
    }
    return error_set(error, ST_INVALID_ARGUMENT, "invalid CronSchedule: \"%.*s\"", BYTES_FMT(text));
}

static enum status parse_zone(struct bytes *text, struct cron_spec *spec, struct error *error)
{
    if (!bytes_starts_with(*text, BYTES("CRON_TZ=")) && !bytes_starts_with(*text, BYTES("TZ=")))
        return ST_OK;
    (void)cut(text, '=');
    struct bytes zone = cut(text, ' ');
    UChar        wide[CRON_ZONE_MAX] = { 0 };
    UErrorCode   code = U_ZERO_ERROR;
    UBool        known = 0;
    UChar        canonical[128];
    for (size_t i = 0; i < zone.size && i < CRON_ZONE_MAX - 1; i++)
        wide[i] = zone.base[i];
    if (zone.size != 0 && zone.size < CRON_ZONE_MAX)
        (void)ucal_getCanonicalTimeZoneID(wide, (int32_t)zone.size, canonical, ARRAY_COUNT(canonical), &known,
                                          &code);
    if (U_FAILURE(code) || !known)
        return error_set(error, ST_INVALID_ARGUMENT, "invalid CronSchedule: unknown time zone \"%.*s\"",
                         BYTES_FMT(zone));
    memcpy(spec->zone, zone.base, zone.size);
    return ST_OK;
}

static enum status parse(struct bytes text, struct cron_spec *ret_spec, struct error *error)
{
    struct cron_spec spec = { 0 };
    uint64_t         bits[ARRAY_COUNT(rules)];
    bool             any[ARRAY_COUNT(rules)];
    size_t           count = 0;
    if (text.size > CRON_TEXT_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "invalid CronSchedule: over %d bytes", CRON_TEXT_MAX);
    if (parse_zone(&text, &spec, error) != ST_OK)
        return ST_INVALID_ARGUMENT;
    while (text.size != 0 && text.base[0] == ' ')
        text = bytes_of(text.base + 1, text.size - 1);
    while (text.size != 0 && text.base[text.size - 1] == ' ')
        text.size--;
    if (text.size != 0 && text.base[0] == '@' && parse_macro(text, &spec, &text, error) != ST_OK)
        return ST_INVALID_ARGUMENT;
    while (text.size != 0 && spec.interval_ns == 0) {
        struct bytes field = cut(&text, ' ');
        if (field.size == 0)
            continue;
        if (count == ARRAY_COUNT(rules))
            count++;
        else if (parse_field(field, &rules[count], &bits[count], &any[count], error) != ST_OK)
            return ST_INVALID_ARGUMENT;
        else
            count++;
        if (count > ARRAY_COUNT(rules))
            break;
    }
    if (spec.interval_ns == 0 && count != ARRAY_COUNT(rules))
        return error_set(
            error, ST_INVALID_ARGUMENT,
            "invalid CronSchedule: expected 5 fields (minute hour day-of-month month day-of-week)");
    if (spec.interval_ns == 0) {
        spec.minutes = bits[0];
        spec.hours = (uint32_t)bits[1];
        spec.days = (uint32_t)bits[2];
        spec.months = (uint16_t)bits[3];
        spec.weekdays = (uint8_t)bits[4];
        spec.any_day = any[2];
        spec.any_weekday = any[4];
    }
    *ret_spec = spec;
    return ST_OK;
}

static UCalendar *calendar_open(const struct cron_spec *spec)
{
    UChar      wide[CRON_ZONE_MAX] = { 'U', 'T', 'C' };
    int32_t    size = 3;
    UErrorCode code = U_ZERO_ERROR;
    if (spec->zone[0] != '\0') {
        for (size = 0; spec->zone[size] != '\0'; size++)
            wide[size] = (UChar)spec->zone[size];
    }
    UCalendar *calendar = ucal_open(wide, size, "en_US", UCAL_GREGORIAN, &code);
    if (U_FAILURE(code))
        return NULL;
    /* A time that does not exist moves on to the first that does, and is then matched against the fields again. */
    ucal_setAttribute(calendar, UCAL_SKIPPED_WALL_TIME, UCAL_WALLTIME_NEXT_VALID);
    ucal_setAttribute(calendar, UCAL_REPEATED_WALL_TIME, UCAL_WALLTIME_FIRST);
    return calendar;
}

static int field(UCalendar *calendar, UCalendarDateFields which)
{
    UErrorCode code = U_ZERO_ERROR;
    return ucal_get(calendar, which, &code);
}

static bool day_matches(const struct cron_spec *spec, UCalendar *calendar)
{
    bool day = spec->days >> field(calendar, UCAL_DAY_OF_MONTH) & 1;
    bool weekday = spec->weekdays >> (field(calendar, UCAL_DAY_OF_WEEK) - UCAL_SUNDAY) & 1;
    return spec->any_day || spec->any_weekday ? day && weekday : day || weekday;
}

/* To the start of the next unit: clears what is smaller, then adds one. */
static void advance(UCalendar *calendar, UCalendarDateFields unit)
{
    UErrorCode code = U_ZERO_ERROR;
    if (unit == UCAL_MONTH)
        ucal_set(calendar, UCAL_DAY_OF_MONTH, 1);
    if (unit == UCAL_MONTH || unit == UCAL_DAY_OF_MONTH)
        ucal_set(calendar, UCAL_HOUR_OF_DAY, 0);
    if (unit != UCAL_MINUTE && unit != UCAL_HOUR_OF_DAY)
        ucal_set(calendar, UCAL_MINUTE, 0);
    if (unit == UCAL_HOUR_OF_DAY) {
        /* By elapsed time: in the hour a clock change repeats, setting fields would go back to the first one. */
        double millis = ucal_getMillis(calendar, &code);
        ucal_setMillis(calendar, millis + (60 - field(calendar, UCAL_MINUTE)) * 60 * SECOND_MS, &code);
        return;
    }
    ucal_add(calendar, unit, 1, &code);
}

static int64_t spec_next(const struct cron_spec *spec, int64_t after_ns)
{
    if (spec->interval_ns != 0)
        return time_add(after_ns, spec->interval_ns);
    UCalendar *calendar = calendar_open(spec);
    UErrorCode code = U_ZERO_ERROR;
    int64_t    result = TIME_NEVER;
    if (calendar == NULL)
        return TIME_NEVER;
    int64_t minute = after_ns / (60 * NS_PER_S) + 1; /* the next whole minute: exclusive of after_ns itself */
    ucal_setMillis(calendar, (double)minute * 60 * SECOND_MS, &code);
    int year_last = field(calendar, UCAL_YEAR) + SEARCH_YEARS;
    while (U_SUCCESS(code) && field(calendar, UCAL_YEAR) <= year_last) {
        if (!(spec->months >> (field(calendar, UCAL_MONTH) + 1) & 1))
            advance(calendar, UCAL_MONTH);
        else if (!day_matches(spec, calendar))
            advance(calendar, UCAL_DAY_OF_MONTH);
        else if (!(spec->hours >> field(calendar, UCAL_HOUR_OF_DAY) & 1))
            advance(calendar, UCAL_HOUR_OF_DAY);
        else if (!(spec->minutes >> field(calendar, UCAL_MINUTE) & 1))
            advance(calendar, UCAL_MINUTE);
        else {
            result = (int64_t)ucal_getMillis(calendar, &code) * NS_PER_MS;
            break;
        }
    }
    ucal_close(calendar);
    return U_SUCCESS(code) ? result : TIME_NEVER;
}

enum status cron_check(struct bytes text, struct error *error)
{
    struct cron_spec spec;
    return parse(text, &spec, error);
}

int64_t cron_next(struct bytes text, int64_t after)
{
    struct cron_spec spec;
    if (parse(text, &spec, NULL) != ST_OK)
        return -1;
    int64_t next = spec_next(&spec, after);
    return next == TIME_NEVER ? -1 : next;
}

int64_t cron_backoff(struct bytes text, int64_t from, int64_t now)
{
    struct cron_spec spec;
    int64_t          due, ahead;
    if (parse(text, &spec, NULL) != ST_OK)
        return -1;
    if (spec.interval_ns != 0) {
        int64_t since = MAX(now - from, INT64_C(0));
        int64_t steps = MAX(since / spec.interval_ns + (since % spec.interval_ns != 0), INT64_C(1));
        if (__builtin_mul_overflow(steps, spec.interval_ns, &ahead))
            return -1;
        due = time_add(from, ahead);
    } else {
        due = spec_next(&spec, MAX(from, now - 1));
    }
    /* What is due at the end of time or in the second before it is never due. */
    if (due >= TIME_NEVER - NS_PER_S)
        return -1;
    return (due - now + NS_PER_S - 1) / NS_PER_S * NS_PER_S;
}
