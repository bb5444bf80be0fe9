/* field.c: the fields of calendars. */
#include "schedule/field.h"

static const char *const month_names[] = { "january",   "february", "march",    "april",
                                           "may",       "june",     "july",     "august",
                                           "september", "october",  "november", "december" };
static const char *const day_names[] = { "sunday",   "monday", "tuesday", "wednesday",
                                         "thursday", "friday", "saturday" };

static const struct rule {
    const char        *name;
    int32_t            low, high;
    const char        *otherwise; /* what empty text means */
    const char *const *names;
    size_t             name_count;
} rules[FIELD_COUNT] = {
    [FIELD_SECOND] = { "Second", 0, 59, "0", NULL, 0 },
    [FIELD_MINUTE] = { "Minute", 0, 59, "0", NULL, 0 },
    [FIELD_HOUR] = { "Hour", 0, 23, "0", NULL, 0 },
    [FIELD_DAY_OF_MONTH] = { "DayOfMonth", 1, 31, "*", NULL, 0 },
    [FIELD_MONTH] = { "Month", 1, 12, "*", month_names, ARRAY_COUNT(month_names) },
    [FIELD_YEAR] = { "Year", FIELD_YEAR_FIRST, FIELD_YEAR_LAST, "*", NULL, 0 },
    [FIELD_DAY_OF_WEEK] = { "DayOfWeek", 0, 6, "*", day_names, ARRAY_COUNT(day_names) },
};

struct field_ranges field_of(const struct schedule_StructuredCalendarSpec *calendar, enum field_kind kind)
{
    switch (kind) {
    case FIELD_SECOND:
        return (struct field_ranges){ calendar->second, calendar->second_count };
    case FIELD_MINUTE:
        return (struct field_ranges){ calendar->minute, calendar->minute_count };
    case FIELD_HOUR:
        return (struct field_ranges){ calendar->hour, calendar->hour_count };
    case FIELD_DAY_OF_MONTH:
        return (struct field_ranges){ calendar->day_of_month, calendar->day_of_month_count };
    case FIELD_MONTH:
        return (struct field_ranges){ calendar->month, calendar->month_count };
    case FIELD_YEAR:
        return (struct field_ranges){ calendar->year, calendar->year_count };
    default:
        return (struct field_ranges){ calendar->day_of_week, calendar->day_of_week_count };
    }
}

void field_put(struct schedule_StructuredCalendarSpec *calendar, enum field_kind kind,
               struct field_ranges ranges)
{
    struct schedule_Range **slots[] = {
        [FIELD_SECOND] = &calendar->second,
        [FIELD_MINUTE] = &calendar->minute,
        [FIELD_HOUR] = &calendar->hour,
        [FIELD_DAY_OF_MONTH] = &calendar->day_of_month,
        [FIELD_MONTH] = &calendar->month,
        [FIELD_YEAR] = &calendar->year,
        [FIELD_DAY_OF_WEEK] = &calendar->day_of_week,
    };
    size_t *counts[] = {
        [FIELD_SECOND] = &calendar->second_count,
        [FIELD_MINUTE] = &calendar->minute_count,
        [FIELD_HOUR] = &calendar->hour_count,
        [FIELD_DAY_OF_MONTH] = &calendar->day_of_month_count,
        [FIELD_MONTH] = &calendar->month_count,
        [FIELD_YEAR] = &calendar->year_count,
        [FIELD_DAY_OF_WEEK] = &calendar->day_of_week_count,
    };
    *slots[kind] = ranges.ranges;
    *counts[kind] = ranges.count;
}

/* --- text --- */

/* Cuts `rest` at the first `separator`, and says whether there was one. */
static struct bytes cut(struct bytes *rest, uint8_t separator, bool *ret_found)
{
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->base, separator, rest->size);
    size_t         size = at == NULL ? rest->size : (size_t)(at - rest->base);
    struct bytes   part = bytes_of(rest->base, size);
    size_t         skip = at == NULL ? size : size + 1;
    *rest = bytes_of(rest->base + skip, rest->size - skip);
    *ret_found = at != NULL;
    return part;
}

static struct bytes trim(struct bytes text)
{
    while (text.size != 0 && text.base[0] == ' ')
        text = bytes_of(text.base + 1, text.size - 1);
    while (text.size != 0 && text.base[text.size - 1] == ' ')
        text.size--;
    return text;
}

static bool is_name(struct bytes text, const char *name)
{
    size_t size = strlen(name);
    if (text.size < 3 || text.size > size)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.base[i];
        if ((c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c) != (uint8_t)name[i])
            return false;
    }
    return true;
}

static bool parse_value(struct bytes text, const struct rule *rule, int32_t *ret_value)
{
    int32_t value = 0;
    text = trim(text);
    for (size_t i = 0; i < rule->name_count; i++) {
        if (is_name(text, rule->names[i])) {
            *ret_value = rule->low + (int32_t)i;
            return true;
        }
    }
    if (text.size == 0 || text.size > 9)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.base[i] < '0' || text.base[i] > '9')
            return false;
        value = value * 10 + (text.base[i] - '0');
    }
    *ret_value = value;
    return true;
}

static void append(struct field_ranges *ranges, int32_t start, int32_t end, int32_t step)
{
    ranges->ranges[ranges->count++] = (struct schedule_Range){ .start = start, .end = end, .step = step };
}

/* One item of a list. Sunday is 0, and 7 as well: a range up to 7 becomes two. */
static bool parse_item(struct bytes item, enum field_kind kind, struct field_ranges *ranges)
{
    const struct rule *rule = &rules[kind];
    bool               has_step, has_end;
    struct bytes       rest = trim(item), range = cut(&rest, '/', &has_step), end_text = range;
    int32_t            start, end, step = 1, high = kind == FIELD_DAY_OF_WEEK ? 7 : rule->high;
    if (has_step && (!parse_value(rest, &(struct rule){ 0 }, &step) || step < 1))
        return false;
    range = trim(range);
    if (bytes_equal_text(range, "*")) {
        append(ranges, rule->low, rule->high, step);
        return true;
    }
    struct bytes start_text = cut(&end_text, '-', &has_end);
    if (!parse_value(start_text, rule, &start))
        return false;
    end = has_step ? rule->high : start;
    if (has_end && !parse_value(end_text, rule, &end))
        return false;
    bool is_sunday = kind == FIELD_DAY_OF_WEEK && start == 7;
    if (start < rule->low || start > high || end > high || (end < start && !is_sunday))
        return false;
    if (is_sunday || kind != FIELD_DAY_OF_WEEK || end < 7) {
        append(ranges, is_sunday ? 0 : start, is_sunday ? 0 : end, is_sunday ? 1 : step);
        return true;
    }
    append(ranges, start, 6, step);
    if ((7 - start) % step == 0)
        append(ranges, 0, 0, 1);
    return true;
}

enum status field_parse(const char *where, enum field_kind kind, struct bytes text, struct arena *arena,
                        struct field_ranges *ret_ranges, struct error *error)
{
    const struct rule *rule = &rules[kind];
    struct bytes       rest = trim(text).size == 0 ? bytes_of_text(rule->otherwise) : text;
    bool               has_more = true;
    *ret_ranges = (struct field_ranges){ 0 };
    if (kind == FIELD_YEAR && bytes_equal_text(trim(rest), "*"))
        return ST_OK; /* any year: no range says so */
    ret_ranges->ranges = ARENA_NEW_ARRAY(arena, struct schedule_Range, FIELD_RANGES_MAX + 1);
    while (has_more) {
        struct bytes item = cut(&rest, ',', &has_more);
        if (ret_ranges->count >= FIELD_RANGES_MAX - 1)
            return error_set(error, ST_INVALID_ARGUMENT, "%s.%s has more than %d ranges", where, rule->name,
                             FIELD_RANGES_MAX);
        if (!parse_item(item, kind, ret_ranges))
            return error_set(
                error, ST_INVALID_ARGUMENT,
                "%s.%s: \"%.*s\" is not made of *, values from %d to %d, ranges a-b and steps /n", where,
                rule->name, BYTES_FMT(item), rule->low, rule->high);
    }
    return ST_OK;
}

/* --- ranges --- */

enum status field_clean(const char *where, enum field_kind kind, struct field_ranges given,
                        struct arena *arena, struct field_ranges *ret_ranges, struct error *error)
{
    const struct rule *rule = &rules[kind];
    if (given.count > FIELD_RANGES_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "%s.%s has more than %d ranges", where, rule->name,
                         FIELD_RANGES_MAX);
    *ret_ranges = (struct field_ranges){ ARENA_NEW_ARRAY(arena, struct schedule_Range, given.count + 1),
                                         given.count };
    for (size_t i = 0; i < given.count; i++) {
        struct schedule_Range range = given.ranges[i];
        range.end = MAX(range.end, range.start);
        range.step = MAX(range.step, 1);
        if (range.start < rule->low || range.end > rule->high)
            return error_set(error, ST_INVALID_ARGUMENT, "%s.%s: %d to %d is not within %d to %d", where,
                             rule->name, range.start, range.end, rule->low, rule->high);
        ret_ranges->ranges[i] = range;
    }
    return ST_OK;
}

void field_bits(enum field_kind kind, struct field_ranges ranges, uint64_t ret_bits[2])
{
    int32_t low = rules[kind].low;
    ret_bits[0] = ret_bits[1] = 0;
    for (size_t i = 0; i < ranges.count; i++) {
        const struct schedule_Range *range = &ranges.ranges[i];
        for (int64_t value = range->start; value <= range->end; value += range->step)
            ret_bits[(value - low) / 64] |= UINT64_C(1) << ((value - low) % 64);
    }
}
