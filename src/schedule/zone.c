/* zone.c */
#include "schedule/zone.h"

#include <unicode/ucal.h>

#include "base/clock.h"

#define ZONE_NAME_MAX 64

/* The stretch that was asked for last: times are asked for in their order. */
struct zone {
    UCalendar *calendar; /* NULL: UTC */
    int64_t    from, until, offset;
};

static UCalendar *calendar_open(struct bytes name)
{
    UChar      wide[ZONE_NAME_MAX] = { 0 }, canonical[2 * ZONE_NAME_MAX];
    UErrorCode code = U_ZERO_ERROR;
    UBool      is_known = 0;
    if (name.size >= ZONE_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < name.size; i++)
        wide[i] = name.base[i];
    (void)ucal_getCanonicalTimeZoneID(wide, (int32_t)name.size, canonical, ARRAY_COUNT(canonical), &is_known,
                                      &code);
    if (U_FAILURE(code) || !is_known)
        return NULL;
    UCalendar *calendar = ucal_open(wide, (int32_t)name.size, "en_US", UCAL_GREGORIAN, &code);
    return U_FAILURE(code) ? NULL : calendar;
}

enum status zone_open(struct bytes name, struct zone **ret_zone, struct error *error)
{
    struct zone *zone = xcalloc(1, sizeof *zone);
    if (name.size != 0 && (zone->calendar = calendar_open(name)) == NULL) {
        free(zone);
        return error_set(error, ST_INVALID_ARGUMENT, "unknown time zone \"%.*s\"", BYTES_FMT(name));
    }
    *ret_zone = zone;
    return ST_OK;
}

void zone_close(struct zone *zone)
{
    if (zone == NULL)
        return;
    if (zone->calendar != NULL)
        ucal_close(zone->calendar);
    free(zone);
}

static int64_t floor_seconds(double millis)
{
    int64_t whole = (int64_t)millis;
    return whole / 1000 - (whole % 1000 < 0);
}

int64_t zone_offset(struct zone *zone, int64_t time, int64_t *ret_until)
{
    *ret_until = INT64_MAX;
    if (zone->calendar == NULL)
        return 0;
    if (time < zone->from || time >= zone->until) {
        UErrorCode code = U_ZERO_ERROR;
        UDate      next;
        ucal_setMillis(zone->calendar, (double)time * 1000, &code);
        int64_t offset = ucal_get(zone->calendar, UCAL_ZONE_OFFSET, &code) +
                         ucal_get(zone->calendar, UCAL_DST_OFFSET, &code);
        bool changes = ucal_getTimeZoneTransitionDate(zone->calendar, UCAL_TZ_TRANSITION_NEXT, &next, &code);
        zone->from = time;
        zone->offset = floor_seconds((double)offset);
        zone->until = U_SUCCESS(code) && changes ? floor_seconds(next) : INT64_MAX;
    }
    *ret_until = zone->until;
    return zone->offset;
}
