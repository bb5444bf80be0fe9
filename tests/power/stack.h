/* stack.h: the real store on the disk of system.h, under the simulated server (tests/sim).
 *
 * Each batch and read is passed to SQLite's threads and waited for. When the process dies, by itself or because the power
 * went, the store is opened again on what was left.
 */
#ifndef POWER_STACK_H
#define POWER_STACK_H
#include "system.h"

#include "../sim/sim.h"

enum stack_event {
    STACK_KILL,  /* the process dies before a change of the disk */
    STACK_CUT,   /* the power goes before it, and sometimes only the process dies */
    STACK_FAULT, /* a call fails */
};
struct stack_plan {
    enum stack_event  event;
    unsigned          events;   /* so many of them */
    uint64_t          distance; /* changes or calls between two of them, at most */
    uint64_t          first;    /* when not 0: exactly there, the first time */
    enum system_fault fault;
};
struct stack {
    struct store      store;
    struct store     *inner; /* NULL while it is not open */
    struct stack_plan plan;
    struct random     random;
    struct mailbox    box;
    bool              answered;
    uint64_t          events, deaths, opens_failed, verified,
        findings; /* events that came; of which while the store was opened */
    bool damaged; /* a read failed, which SQLite takes for damage: somebody ends the process */
    bool went_on; /* something was durable although the disk had failed */
};
/* One simulation; false: it failed, or the store did, and the standard error says how. */
bool stack_run(struct stack *stack, const struct sim_options *options, const struct stack_plan *plan,
               struct system_trace *trace, enum system_flushes flushes);
#endif
