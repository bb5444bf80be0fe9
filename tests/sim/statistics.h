/* statistics.h: what a number of runs has covered: time, calls and their answers, faults, and which faults struck while a
 * call of which method was under way.
 *
 * Owns:    plain numbers in memory that processes may share; each writes to one of its own, and they are added up.
 */
#ifndef SIM_STATISTICS_H
#define SIM_STATISTICS_H
#include "api/api.h"
#include "base/metric.h"
#include "faults.h"
#include "pb/all.pb.h"

struct sim;

struct sim_statistics {
    uint64_t runs, failed, steps, boots, batches, transitions, dozes;
    int64_t  simulated_ms, cpu_ns;      /* a hundred thousand seeds are thousands of years */
    int64_t  simulated_max;             /* of one seed */
    uint64_t steps_max, steps_max_seed; /* of one seed, and which that is */
    uint64_t answers[PB_METHOD_COUNT][METRIC_ERRORS_MAX]; /* of calls, as the server gave them */
    uint64_t struck[SIM_FAULT_COUNT];
    uint64_t hit[PB_METHOD_COUNT][SIM_FAULT_COUNT]; /* calls that were under way when the fault struck */
};
void statistics_struck(struct sim *sim, enum sim_fault kind);
void statistics_add(struct sim_statistics *to, const struct sim_statistics *from);
/* One line; with `tables` also what is in the tables. */
void statistics_print(const struct sim_statistics *statistics, bool tables);
#endif
