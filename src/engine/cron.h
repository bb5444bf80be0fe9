/* cron.h: cron specifications of workflows: five fields, @every, @hourly and its like, CRON_TZ= and TZ= prefixes.
 *
 * Pure: the time is the caller's; zone rules come from ICU's built-in data. A local time that a clock change skips does not
 * fire; one that comes twice fires at its first occurrence that is due.
 * Limits:  a specification is at most CRON_TEXT_MAX bytes; the search ends five years ahead, as the field's library does.
 */
#ifndef ENGINE_CRON_H
#define ENGINE_CRON_H
#include "base/base.h"

#define CRON_TEXT_MAX 1000
#define CRON_ZONE_MAX 64

struct cron_spec {
    uint64_t minutes;       /* bit per minute; hours, days and so on likewise */
    uint32_t hours, days;   /* days 1-31 */
    uint16_t months;        /* 1-12 */
    uint8_t  weekdays;      /* 0 is Sunday */
    bool     any_day, any_weekday; /* the field began with '*': then the other one alone decides, else either */
    int64_t  interval_ns;   /* @every; 0: the fields above */
    char     zone[CRON_ZONE_MAX]; /* IANA name; empty: UTC */
};
/* INVALID_ARGUMENT with what is wrong and where. */
enum status cron_parse(struct bytes text, struct cron_spec *ret_spec, struct error *error) MUST_USE;
/* The first slot after `after_ns` (wall ns, exclusive); TIME_NEVER: none. For @every: after_ns + interval. */
int64_t cron_next(const struct cron_spec *spec, int64_t after_ns);
/* How long the run that follows waits: the first slot after execution_time that is not before now, as whole seconds rounded
 * up, in ns. TIME_NEVER: no slot is left. */
int64_t cron_backoff(const struct cron_spec *spec, int64_t execution_time_ns, int64_t now_ns);
#endif
