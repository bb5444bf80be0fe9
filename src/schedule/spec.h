/* spec.h: when a schedule fires.
 *
 *   given ──> canonical: structured calendars and intervals only, what clients are shown ──> spec ──> one time after another
 *
 * A time matches when any calendar or interval matches, no excluded calendar does, and it is within start and end. Times are
 * whole seconds. Calendars are of one time zone: a local time that a clock change skips never matches, one that comes twice
 * matches twice. Jitter moves a time by less than the gap to the next one, always the same for one seed.
 *
 * Pure: no clock, no randomness; rules of zones come from ICU's built-in data. The search ends with the year 2100.
 * Limits: SPEC_ITEMS_MAX of each list. A search gives up after SPEC_STEPS_MAX times that are excluded.
 */
#ifndef SCHEDULE_SPEC_H
#define SCHEDULE_SPEC_H
#include "base/arena.h"
#include "base/status.h"
#include "pb/all.pb.h"

#define SPEC_ITEMS_MAX   200
#define SPEC_COMMENT_MAX 200
#define SPEC_STEPS_MAX   100000

/* INVALID_ARGUMENT names the field. NULL is a spec without times. */
enum status spec_canonical(const struct schedule_ScheduleSpec *given, struct arena *arena,
                           struct schedule_ScheduleSpec *ret_canonical, struct error *error) MUST_USE;

struct spec;
/* Of a canonical one, which is not kept. */
enum status spec_open(const struct schedule_ScheduleSpec *canonical, struct spec **ret_spec,
                      struct error *error) MUST_USE;
void        spec_close(struct spec *spec);

struct spec_time {
    int64_t nominal, actual; /* wall ns; actual is with jitter */
};
/* The first nominal time behind `after` (wall ns); false: there is none. */
bool spec_next(struct spec *spec, int64_t after, struct bytes seed, struct spec_time *ret_time);
#endif
