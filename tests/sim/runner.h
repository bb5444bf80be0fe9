/* runner.h: seeds played in processes of their own, so that an assertion that fails, or a loop without end, is an outcome like
 * any other: it has a seed, can be played again, and shrinks.
 */
#ifndef SIM_RUNNER_H
#define SIM_RUNNER_H
#include "sim.h"

#define RUNNER_JOBS_MAX 16

struct runner_options {
    struct sim_options sim; /* its seed is the first one */
    uint64_t           runs;
    int64_t            seconds; /* 0: until the runs are done; else no run begins after as many */
    unsigned           jobs;
    bool               twice, until_failure, quiet;
};
/* Plays them all, reports failures on the standard error, and returns how many there were. */
uint64_t runner_play(const struct runner_options *options, struct sim_statistics *ret_statistics,
                     uint64_t *ret_trace);
/* Plays one in a process of its own. `recorder` is NULL or memory from runner_shared. */
void runner_try(const struct sim_options *options, bool twice, struct sim_recorder *recorder,
                struct sim_outcome *ret_outcome);
/* Memory that processes share; zeroed, and never given back. */
void *runner_shared(size_t size);
/* The command that plays this run again. */
void runner_print_command(const struct sim_options *options);
#endif
