/* clock.c: the operating system's clocks. */
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now) != 0)
        panic("clock_gettime failed");
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t system_wall_ns(void *context UNUSED)
{
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_monotonic_ns(void *context UNUSED)
{
    return read_clock(CLOCK_MONOTONIC);
}

const struct clock clock_system = { system_wall_ns, system_monotonic_ns, NULL };
