/* cron.h: when a cron workflow runs next.
 *
 *   [CRON_TZ=Zone|TZ=Zone] minute hour day-of-month month day-of-week, or @every <duration>, @hourly, @daily, ...
 *
 * Fields take *, ?, numbers, names (JAN, MON), ranges, lists and steps. Without a zone times are UTC.
 *
 * Pure: the time is the caller's; zone rules come from ICU's built-in data. A local time that a clock change skips does not
 * fire; one that comes twice fires at its first occurrence. The search ends five years ahead, as the field's library does.
 */
#ifndef ENGINE_CRON_H
#define ENGINE_CRON_H
#include "base/base.h"

#define CRON_TEXT_MAX 1000

/* INVALID_ARGUMENT says what is wrong. Empty text is no schedule and is refused too. */
enum status cron_check(struct bytes text, struct error *error) MUST_USE;

/* From `now` to the first slot after `from` that is not before now, rounded up to whole seconds; -1: there is none in the
 * next years, or the text is no schedule. Slots of @every are from + k * interval. */
int64_t cron_backoff(struct bytes text, int64_t from, int64_t now);
/* The first slot after `after` (wall ns, exclusive), -1 as above. */
int64_t cron_next(struct bytes text, int64_t after);
#endif
