/* faulty.h: a store that wraps another and lets things go wrong, by script or by chance: for tests and simulations.
 *
 * Owns:    the store inside, which it closes.
 * Thread:  any lane; a lock guards what is drawn and scripted. Faults take effect on the home's thread, when the answer
 *          would run; so a faulty memory store is as deterministic as the memory store.
 * Durable: as the store inside. A batch that "was not done" goes through it empty, to keep its place among the answers.
 */
#ifndef STORE_FAULTY_H
#define STORE_FAULTY_H
#include "store/store.h"

enum store_fault {
    STORE_FAULT_NONE,
    STORE_FAULT_ABORTED,      /* not done */
    STORE_FAULT_REFUSED,      /* at least one group refused, drawn; the others are done */
    STORE_FAULT_FULL,         /* not done */
    STORE_FAULT_LOST_FENCE,   /* not done */
    STORE_FAULT_UNKNOWN,      /* not done */
    STORE_FAULT_UNKNOWN_DONE, /* done, and answered unknown */
    STORE_FAULT_ABORTED_DONE, /* done, and answered aborted: no store may do this; finds out who relies on it */
    STORE_FAULT_READ_FAILED,  /* reads: ST_UNAVAILABLE */
    STORE_FAULT_READ_DAMAGED, /* reads: ST_DATA_LOSS */
    STORE_FAULT_COUNT,
};

/* Takes over `inside`. Without rates and scripts nothing goes wrong. */
struct store *store_faulty_open(struct store *inside, uint64_t seed);
struct store *store_faulty_inside(struct store *store);

/* The chance of a fault, in thousandths, for each batch or read that it applies to. */
void store_faulty_set_rate(struct store *store, enum store_fault fault, uint32_t thousandths);
/* The batch (or read, by the fault's kind) that comes after `count` others; each place takes one fault, the latest said. */
void store_faulty_script(struct store *store, enum store_fault fault, uint64_t count);
/* Every batch (or read) from now on, and with STORE_FAULT_FULL the probe too; STORE_FAULT_NONE ends it. */
void store_faulty_set_always(struct store *store, enum store_fault fault);
/* How often it struck. */
uint64_t store_faulty_struck(struct store *store, enum store_fault fault);

/* The chance, in thousandths, that an answer is held back until it is let go; batches stay in the order of their lane. */
void   store_faulty_set_delay(struct store *store, uint32_t thousandths);
size_t store_faulty_delayed(struct store *store);
/* Lets the oldest answer go that is held back; false: there was none. */
bool store_faulty_let_go(struct store *store);
#endif
