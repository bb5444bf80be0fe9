/* pb_time.c: see pb_time.h. The ranges are those of the public definitions of both types. */
#include "codec/pb_time.h"

#include "pb/google.pb.h"

#define DURATION_SECONDS_MAX  INT64_C(315576000000)
#define TIMESTAMP_SECONDS_MIN INT64_C(-62135596800)
#define TIMESTAMP_SECONDS_MAX INT64_C(253402300799)

static int64_t to_ns(int64_t seconds, int32_t nanos)
{
    int64_t ns;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) || __builtin_add_overflow(ns, (int64_t)nanos, &ns))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

int64_t duration_ns(const struct google_Duration *duration)
{
    return duration == NULL ? 0 : to_ns(duration->seconds, duration->nanos);
}

int64_t timestamp_ns(const struct google_Timestamp *timestamp)
{
    return timestamp == NULL ? 0 : to_ns(timestamp->seconds, timestamp->nanos);
}

enum status duration_check(const struct google_Duration *duration, const char *field, int64_t *ret_ns,
                           struct error *error)
{
    if (duration == NULL) {
        *ret_ns = 0;
        return ST_OK;
    }
    int64_t seconds = duration->seconds;
    int32_t nanos = duration->nanos;
    if (seconds > DURATION_SECONDS_MAX || seconds < -DURATION_SECONDS_MAX || nanos >= NS_PER_S ||
        nanos <= -NS_PER_S || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0))
        return error_set(error, ST_INVALID_ARGUMENT, "%s is not a valid duration", field);
    if (seconds < 0 || nanos < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "%s is negative", field);
    *ret_ns = to_ns(seconds, nanos);
    return ST_OK;
}

enum status timestamp_check(const struct google_Timestamp *timestamp, const char *field, int64_t *ret_ns,
                            struct error *error)
{
    if (timestamp != NULL &&
        (timestamp->seconds < TIMESTAMP_SECONDS_MIN || timestamp->seconds > TIMESTAMP_SECONDS_MAX ||
         timestamp->nanos < 0 || timestamp->nanos >= NS_PER_S))
        return error_set(error, ST_INVALID_ARGUMENT, "%s is not a valid time", field);
    *ret_ns = timestamp_ns(timestamp);
    return ST_OK;
}

struct google_Duration *duration_of_ns(struct arena *arena, int64_t ns)
{
    struct google_Duration *duration = ARENA_NEW(arena, struct google_Duration);
    duration->seconds = ns / NS_PER_S; /* both halves have the sign */
    duration->nanos = (int32_t)(ns % NS_PER_S);
    return duration;
}

struct google_Timestamp *timestamp_of_ns(struct arena *arena, int64_t ns)
{
    struct google_Timestamp *timestamp = ARENA_NEW(arena, struct google_Timestamp);
    timestamp->seconds = ns / NS_PER_S;
    timestamp->nanos = (int32_t)(ns % NS_PER_S);
    if (timestamp->nanos < 0) { /* nanos count forward, also before 1970 */
        timestamp->nanos += (int32_t)NS_PER_S;
        timestamp->seconds--;
    }
    return timestamp;
}
