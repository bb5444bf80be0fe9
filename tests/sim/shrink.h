/* shrink.h: the least of a failing seed that still fails in the same way. */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H
#include "sim.h"

/* Leaves out kinds of faults, features, workflows and late strikes while the same invariant is violated. False: it is clean. */
bool shrink(struct sim_options *options);
#endif
