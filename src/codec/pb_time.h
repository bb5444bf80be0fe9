/* pb_time.h: google.protobuf.Duration and Timestamp as int64 nanoseconds.
 *
 * Values past what 64 bits of nanoseconds hold (292 years) stop at the end: INT64_MAX is TIME_NEVER. Absent is 0.
 */
#ifndef CODEC_PB_TIME_H
#define CODEC_PB_TIME_H
#include "base/arena.h"

struct google_Duration;
struct google_Timestamp;

/* Saturating; NULL gives 0. They do not judge: see the checks below for what came from outside. */
int64_t duration_ns(const struct google_Duration *duration);
int64_t timestamp_ns(const struct google_Timestamp *timestamp);
/* INVALID_ARGUMENT naming `field` unless seconds and nanos are in range and of one sign, and the duration is not negative.
 * NULL is fine. `ret_ns` gets the value, 0 for NULL. */
enum status duration_check(const struct google_Duration *duration, const char *field, int64_t *ret_ns,
                           struct error *error) MUST_USE;
/* INVALID_ARGUMENT naming `field` unless the time is in the years 1 to 9999. */
enum status timestamp_check(const struct google_Timestamp *timestamp, const char *field, int64_t *ret_ns,
                            struct error *error) MUST_USE;
/* New ones in the arena. */
struct google_Duration  *duration_of_ns(struct arena *arena, int64_t ns);
struct google_Timestamp *timestamp_of_ns(struct arena *arena, int64_t ns);
#endif
