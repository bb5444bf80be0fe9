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

static int64_t skipping_wall_ns(void *context)
{
    struct skipping_clock *clock = context;
    return time_add(read_clock(CLOCK_REALTIME), atomic_load_explicit(&clock->ahead_ns, memory_order_relaxed));
}

void skipping_clock_init(struct skipping_clock *clock)
{
    clock->clock = (struct clock){ skipping_wall_ns, system_monotonic_ns, clock };
    atomic_init(&clock->ahead_ns, 0);
}

void skipping_clock_skip(struct skipping_clock *clock, int64_t duration_ns)
{
    assert(duration_ns >= 0);
    atomic_store(&clock->ahead_ns, MIN(time_add(atomic_load(&clock->ahead_ns), duration_ns), TIME_FAR));
}
