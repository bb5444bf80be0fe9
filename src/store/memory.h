/* memory.h: a store that forgets when it is closed: for tests and simulations.
 *
 * Owns:    copies of all rows.
 * Thread:  none of its own, and no locks: everything runs on the caller's thread. Immediate: the answer is posted before
 *          store_submit or store_read returns. Manual: it waits until the harness says so.
 * Durable: no. A simulated crash forgets what is pending and keeps what was completed.
 * Limits:  memory. What is pending is bounded by the batches and reads of the lanes.
 *
 * Nothing in here depends on addresses or on time, so that a simulation repeats exactly.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H
#include "store/store.h"

enum store_memory_mode { STORE_MEMORY_IMMEDIATE, STORE_MEMORY_MANUAL };
struct store *store_memory_open(enum store_memory_mode mode);

/* Manual: how many batches and reads wait. */
size_t store_memory_pending(const struct store *store);
/* Completes the oldest pending operation and posts its answer; false: none was pending. */
bool store_memory_step(struct store *store);
/* The same for the oldest batch or any read, as drawn: readers of a real store run beside its writer. */
bool store_memory_step_random(struct store *store, struct random *random);
/* The server died: pending batches were not done, pending reads get no answer. Their memory is the caller's again. */
void store_memory_crash(struct store *store);
#endif
