/* field.h: the fields of calendars: as text ("1-5,MON/2"), as ranges, and as sets.
 *
 * Plain data; nothing is owned, ranges are made in the caller's arena. Errors are INVALID_ARGUMENT and name the field.
 */
#ifndef SCHEDULE_FIELD_H
#define SCHEDULE_FIELD_H
#include "base/arena.h"
#include "base/status.h"
#include "pb/all.pb.h"

enum field_kind {
    FIELD_SECOND,
    FIELD_MINUTE,
    FIELD_HOUR,
    FIELD_DAY_OF_MONTH,
    FIELD_MONTH,
    FIELD_YEAR,
    FIELD_DAY_OF_WEEK,
    FIELD_COUNT
};
#define FIELD_YEAR_FIRST 2000
#define FIELD_YEAR_LAST  2100
#define FIELD_RANGES_MAX 100

struct field_ranges {
    struct schedule_Range *ranges;
    size_t                 count;
};
/* In a calendar, whose fields have names of their own. */
struct field_ranges field_of(const struct schedule_StructuredCalendarSpec *calendar, enum field_kind kind);
void                field_put(struct schedule_StructuredCalendarSpec *calendar, enum field_kind kind,
                              struct field_ranges ranges);

/* What text means: `*`, numbers and names (three letters or more of them), a-b, /step, lists. Empty text is "0" for the parts
 * of a time of day, else "*". `where` is what the error calls the calendar. */
enum status field_parse(const char *where, enum field_kind kind, struct bytes text, struct arena *arena,
                        struct field_ranges *ret_ranges, struct error *error) MUST_USE;
/* The same ranges, complete: end is not before start, step is 1 or more. */
enum status field_clean(const char *where, enum field_kind kind, struct field_ranges given,
                        struct arena *arena, struct field_ranges *ret_ranges, struct error *error) MUST_USE;
/* Bit n is the field's lowest value plus n; of cleaned ranges. Years need two words. */
void field_bits(enum field_kind kind, struct field_ranges ranges, uint64_t ret_bits[2]);
#endif
