/* clock.h: where time comes from. Simulations bring their own.
 *
 * Wall times are int64 nanoseconds since 1970 UTC: workflows sleep for years and over restarts, so never monotonic time.
 * Monotonic times are for deadlines of calls and for measuring.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stdatomic.h>

#include "base/base.h"

struct clock {
    int64_t (*wall_ns)(void *context);
    int64_t (*monotonic_ns)(void *context);
    void *context;
};
/* The operating system's. */
extern const struct clock clock_system;
/* The operating system's, put forward whenever somebody says so: for tests of workflows that sleep for long. Its monotonic half
 * is left alone. Any thread may read it. */
struct skipping_clock {
    struct clock    clock;
    _Atomic int64_t ahead_ns;
};
void                  skipping_clock_init(struct skipping_clock *clock);
void                  skipping_clock_skip(struct skipping_clock *clock, int64_t duration_ns);
static inline int64_t clock_wall_ns(const struct clock *clock)
{
    return clock->wall_ns(clock->context);
}
static inline int64_t clock_monotonic_ns(const struct clock *clock)
{
    return clock->monotonic_ns(clock->context);
}
/* Sums and differences that stop at the ends instead of wrapping; TIME_NEVER stays TIME_NEVER. */
static inline int64_t time_add(int64_t time_ns, int64_t duration_ns)
{
    int64_t sum;
    if (time_ns == TIME_NEVER || duration_ns == TIME_NEVER ||
        __builtin_add_overflow(time_ns, duration_ns, &sum))
        return TIME_NEVER;
    return sum;
}
#endif
