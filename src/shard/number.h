/* number.h: numbers that grow with time, and run ids that carry one.
 *
 * A number is 43 bits of milliseconds since 2024-01-01 UTC, 6 bits of lane, 14 bits of counter. Run numbers, ready-task
 * sequences and namespace numbers are such numbers: keys in time order. A lane's numbers only grow, also when the clock
 * steps back; a lane that runs out of counter borrows from the next millisecond.
 *
 * A run id is a UUID (version 8 layout) whose bits carry the run number and 59 random bits, so that a run is found by its
 * id without an index of random keys.
 */
#ifndef SHARD_NUMBER_H
#define SHARD_NUMBER_H
#include "store/store.h"

#define NUMBER_LANE_BITS    6
#define NUMBER_COUNTER_BITS 14
#define NUMBER_EPOCH_MS     INT64_C(1704067200000)

struct number_source {
    store_number last;
    uint32_t     lane;
};
store_number number_next(struct number_source *source, int64_t now_ns);
/* The time in a number: wall ns, cut to milliseconds. */
int64_t number_time(store_number number);

struct uuid  run_id_make(store_number number, uint64_t entropy);
store_number run_id_number(const struct uuid *run_id); /* any UUID gives some number; the row decides */
#endif
