/* zone.h: the offsets of a time zone, as stretches between which they change.
 *
 * Pure: rules come from ICU's built-in data. One thread at a time.
 */
#ifndef SCHEDULE_ZONE_H
#define SCHEDULE_ZONE_H
#include "base/bytes.h"
#include "base/status.h"

struct zone;
/* An IANA name; empty: UTC. INVALID_ARGUMENT: there is no such zone. */
enum status zone_open(struct bytes name, struct zone **ret_zone, struct error *error) MUST_USE;
void        zone_close(struct zone *zone);
/* At `time` (seconds since 1970): seconds that are added for local time, and when that changes next; INT64_MAX: never. */
int64_t zone_offset(struct zone *zone, int64_t time, int64_t *ret_until);
#endif
