/* replay.h: power cuts at every point of a trace.
 *
 * A trace is what one run asked of the disk. It is gone through once; before each change, and at the end, the power is cut in
 * several ways, and what is left is opened and recovered by SQLite in memory. What SQLite then has must be, byte by byte,
 * what the process itself saw at some moment, no earlier than the last time that anything was answered. Each content that
 * was seen is checked once for integrity, so each that is recovered is, too.
 */
#ifndef POWER_REPLAY_H
#define POWER_REPLAY_H
#include "system.h"

struct replay_counts {
    uint64_t points;     /* places where the power was cut */
    uint64_t recoveries; /* images opened: survivals that differ, of all points */
    uint64_t survivals[DISK_SURVIVAL_COUNT];
    uint64_t contents; /* different ones that the process saw */
    uint64_t lost, damaged;
};
/* `repeats`: how often each random survival is tried at each point. `limit`: images at most, 0: all. */
void replay(const struct system_trace *trace, uint64_t seed, unsigned repeats, uint64_t limit, bool explain,
            struct replay_counts *counts);
#endif
